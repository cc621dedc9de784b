//! Random arrivals and heads: after each step the indexes agree, the bounds hold, and the best
//! transactions of a sender come without a gap.

use crate::{
    HeadUpdate, MinedTx, Origin, Pool, PoolHead, PoolOptions,
    samples::{cell_sidecar, head, state, wallet},
};
use fugue_chainspec::Fork;
use fugue_state::{Account, MemoryAccount, MemoryState};
use fugue_types::{Address, AddressMap, HashMap, Transaction, U256};
use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{RngSeed, TestRunner},
};
use std::hash::{BuildHasher, RandomState};

/// Courses that are tried.
const CASES: u32 = 48;
/// Senders, which send and delegate each other.
const SENDERS: u64 = 4;

#[derive(Debug, Clone)]
enum Step {
    Add {
        sender: u64,
        nonce: u64,
        max_fee: u128,
        tip: u128,
        kind: Kind,
    },
    /// A block with the best transactions, and a new base fee.
    Mine {
        count: usize,
        base_fee: u64,
    },
    /// The block before is replaced by an empty one.
    Undo,
    /// Something else changes an account.
    Touch {
        sender: u64,
        ahead: u64,
        balance: u64,
    },
    Remove {
        position: usize,
    },
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    External,
    Local,
    Blobs,
    Delegating(u64),
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        6 => Just(Kind::External),
        2 => Just(Kind::Local),
        1 => Just(Kind::Blobs),
        1 => (0..SENDERS).prop_map(Kind::Delegating),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let add = (0..SENDERS, 0_u64..8, 1_u128..40, 1_u128..40, kind());
    let add = add.prop_map(|(sender, nonce, max_fee, tip, kind)| Step::Add {
        sender,
        nonce,
        max_fee,
        tip: tip.min(max_fee),
        kind,
    });
    let touch = (0..SENDERS, 0_u64..2, 0_u64..4_000_000);
    prop_oneof![
        12 => add,
        2 => (0_usize..4, 0_u64..30).prop_map(|(count, base_fee)| Step::Mine { count, base_fee }),
        1 => Just(Step::Undo),
        1 => touch.prop_map(|(sender, ahead, balance)| Step::Touch { sender, ahead, balance }),
        1 => (0_usize..8).prop_map(|position| Step::Remove { position }),
    ]
}

/// A pool, the state after its head, and what the last block did.
struct Subject {
    pool: Pool,
    state: MemoryState,
    head: PoolHead,
    block: Vec<(Transaction, Address)>,
    before: MemoryState,
}

impl Subject {
    fn new() -> Self {
        // About seven transfers; one blob transaction.
        let options = PoolOptions {
            pending_bytes_max: 8_000,
            queued_bytes_max: 4_000,
            blob_bytes_max: 200_000,
            sender_txs_max: 5,
            nonce_gap_max: 4,
            ..PoolOptions::default()
        };
        let head = head(Fork::Osaka);
        let accounts: Vec<_> =
            (0..SENDERS).map(|index| (wallet(index).address, 0, 4_000_000)).collect();
        let state = state(&accounts);
        let pool = Pool::new(options, head);
        Self { pool, before: state.clone(), state, head, block: Vec::new() }
    }

    fn account(&self, address: Address) -> Account {
        self.state.accounts.get(&address).map(|found| found.account).unwrap_or_default()
    }

    fn set(&mut self, address: Address, account: Account) {
        let account = MemoryAccount { account, slots: HashMap::default() };
        self.state.accounts.insert(address, account);
    }

    fn follow(&mut self, mined: &[MinedTx], returned: &[(Transaction, Address)]) {
        let changed: Vec<_> = (0..SENDERS)
            .map(|index| wallet(index).address)
            .map(|address| (address, Some(self.account(address))))
            .collect();
        self.head.number += 1;
        let head = self.head;
        let update = HeadUpdate { head, mined, returned, changed: &changed, finalized: 0 };
        self.pool.advance(update, &self.state);
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Add { sender, nonce, max_fee, tip, kind } => {
                let wallet = wallet(sender);
                let (tx, origin) = match kind {
                    Kind::External => (wallet.transfer(nonce, max_fee, tip), Origin::External),
                    Kind::Local => (wallet.transfer(nonce, max_fee, tip), Origin::Local),
                    Kind::Blobs => {
                        (wallet.blobs(nonce, max_fee, tip, 5, cell_sidecar()), Origin::External)
                    }
                    Kind::Delegating(authority) => {
                        let grants = vec![crate::samples::wallet(authority).authorize(1, 0)];
                        (wallet.delegating(nonce, max_fee, tip, grants), Origin::External)
                    }
                };
                // Whether it is taken is not the question here.
                drop(self.pool.add(tx, origin, &self.state));
            }
            Step::Mine { count, base_fee } => {
                self.before = self.state.clone();
                let best = self.pool.best(self.head.base_fee, self.head.blob_base_fee);
                let txs: Vec<_> = best.take(count).collect();
                let mut mined = Vec::new();
                self.block.clear();
                for tx in &txs {
                    let mut account = self.account(tx.sender);
                    assert_eq!(account.nonce, tx.nonce());
                    account.nonce += 1;
                    account.balance -= tx.cost;
                    self.set(tx.sender, account);
                    mined.push(MinedTx { hash: tx.hash, sender: tx.sender, nonce: tx.nonce() });
                    self.block.push((tx.tx.clone(), tx.sender));
                }
                self.head.base_fee = base_fee;
                self.follow(&mined, &[]);
            }
            Step::Undo => {
                self.state = self.before.clone();
                let returned = std::mem::take(&mut self.block);
                self.follow(&[], &returned);
            }
            Step::Touch { sender, ahead, balance } => {
                let address = wallet(sender).address;
                let mut account = self.account(address);
                account.nonce += ahead;
                account.balance = U256::from(balance);
                self.set(address, account);
                // The block before would not be the one that is undone.
                (self.before, self.block) = (self.state.clone(), Vec::new());
                self.follow(&[], &[]);
            }
            Step::Remove { position } => {
                let best = self.pool.best(0, self.head.blob_base_fee).nth(position);
                if let Some(tx) = best {
                    assert!(self.pool.remove(&tx.hash));
                }
            }
        }
    }

    fn check(&self) {
        self.pool.check_invariants();
        let (base_fee, blob_base_fee) = (self.head.base_fee, self.head.blob_base_fee);
        let mut next = AddressMap::<u64>::default();
        for tx in self.pool.best(base_fee, blob_base_fee) {
            assert!(tx.max_fee() >= u128::from(base_fee));
            let nonce = next.entry(tx.sender).or_insert_with(|| self.account(tx.sender).nonce);
            assert_eq!(tx.nonce(), *nonce);
            *nonce += 1;
        }
    }
}

#[test]
fn indexes_agree_and_bounds_hold() {
    let config = ProptestConfig::with_cases(CASES);
    let seed = match config.rng_seed {
        RngSeed::Fixed(seed) => seed,
        // No two states of a hasher have the same keys.
        RngSeed::Random => RandomState::new().hash_one(CASES),
    };
    let rng_seed = RngSeed::Fixed(seed);
    let config = ProptestConfig { rng_seed, failure_persistence: None, ..config };
    let tested = TestRunner::new(config).run(&vec(step(), 1..60), |steps| {
        let mut subject = Subject::new();
        for step in steps {
            subject.run(step);
            subject.check();
        }
        Ok(())
    });
    if let Err(error) = tested {
        panic!(
            "{error}\nthe same courses again:\nPROPTEST_RNG_SEED={seed} cargo nextest run \
             --release -p fugue-txpool indexes_agree_and_bounds_hold"
        );
    }
}
