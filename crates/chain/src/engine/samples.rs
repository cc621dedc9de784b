//! What the tests beside the engine share: a chain in memory whose blocks are empty, and what they
//! change made up; and the state after each of them, in maps.

use super::{
    Shared, builder::Builds, feed::Feed, ground::Ground, local::LocalTxs, pending::Pending,
    pool_head,
};
use crate::{Chain, ChainView, Genesis, Head, ImportError, view::Marks};
use alloy_consensus::constants::EMPTY_WITHDRAWALS;
use alloy_eips::eip1559::INITIAL_BASE_FEE;
use fugue_chainspec::{ChainSpec, Fork};
use fugue_executor::Location;
use fugue_state::{Account, AccountDiff, MemoryAccount, MemoryState, SlotDiff, StateDiff};
use fugue_storage::{BlockRecord, CommitBatch, Faults, Retention, Snapshot, Store};
use fugue_trie::{EMPTY_ROOT_HASH, HashedDiff, NoSource, StateTrie};
use fugue_txpool::{Pool, PoolOptions};
use fugue_types::{
    Address, B256, Block, BlockBody, Bytes, Header, SealedBlock, SenderCount, U256, keccak256,
};
use parking_lot::{Mutex, RwLock};
use std::{
    convert::Infallible,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, AtomicUsize},
    },
};

/// Accounts of the genesis that store nothing, by the byte that their address consists of: from 1
/// to this.
const PLAIN: u8 = 150;
/// An account of the genesis with [`SLOTS`] slots, the first of which has the key 1.
const LARGE: u8 = 200;
/// One with two slots.
const PAIR: u8 = 201;
/// One with one slot.
const LONE: u8 = 202;
/// An account that the genesis does not have.
const NEW: u8 = 210;
/// Slots of the largest account.
const SLOTS: u64 = 40;

/// A store in memory that has a genesis, and counts its operations.
pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) faults: Faults,
    pub(crate) spec: Arc<ChainSpec>,
    pub(crate) genesis: After,
}

/// A block, and the state after it.
#[derive(Clone)]
pub(crate) struct After {
    pub(crate) head: Head,
    pub(crate) header: Header,
    pub(crate) state: MemoryState,
    /// Wholly in memory. Nothing was taken out of them since the genesis.
    tries: StateTrie,
    /// The blocks from the first after the genesis to this one.
    path: Vec<Arc<BlockRecord>>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::begun(Chain::init)
    }

    /// One with an index of addresses.
    pub(crate) fn indexed() -> Self {
        Self::begun(Chain::init_indexed)
    }

    fn begun(init: fn(&Store, &Genesis) -> Result<Head, ImportError>) -> Self {
        let mut state = genesis_state();
        let spec = ChainSpec::at_fork(7, Fork::Shanghai);
        let header = Header {
            gas_limit: 30_000_000,
            timestamp: 1_700_000_000,
            base_fee_per_gas: Some(INITIAL_BASE_FEE),
            withdrawals_root: Some(EMPTY_WITHDRAWALS),
            ..Header::default()
        };
        let genesis = Genesis::new(spec.clone(), header, state.clone());
        let faults = Faults::counted();
        let store = Store::memory(faults.clone());
        let head = init(&store, &genesis).expect("an empty store");

        let mut tries = StateTrie::new(EMPTY_ROOT_HASH);
        let diff = HashedDiff::from(&state.diff_from_nothing());
        tries.apply(&NoSource, &diff, None).expect("nothing is blinded");
        // The store has them.
        tries.take_updates();
        let header = genesis.header(tries.root());
        assert_eq!(header.hash_slow(), head.hash);
        state.block_hashes.insert(0, head.hash);
        let genesis = After { head, header, state, tries, path: Vec::new() };
        Self { store, faults, spec: Arc::new(spec), genesis }
    }

    /// The store as it is now.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        Arc::new(self.store.snapshot().expect("a good store"))
    }

    /// Makes the chain of a block durable, which must follow the durable head.
    pub(crate) fn commit(&self, after: &After) {
        let blocks = not_durable(&self.snapshot(), after);
        let trie = after.tries.clone().take_updates();
        self.store.commit(&CommitBatch { blocks, trie }).expect("it follows the durable head");
    }

    /// A view whose head is this block.
    pub(crate) fn view(&self, snapshot: &Arc<Snapshot>, after: &After) -> ChainView {
        self.view_with(snapshot, after, &[])
    }

    /// The same, with the chains of others beside it.
    pub(crate) fn view_with(
        &self,
        snapshot: &Arc<Snapshot>,
        after: &After,
        others: &[&After],
    ) -> ChainView {
        let above = not_durable(snapshot, after);
        let base = after.head.number - above.len() as u64;
        let beside = others.iter().flat_map(|other| not_durable(snapshot, other));
        let blocks = above.iter().cloned().chain(beside);
        let blocks = blocks.map(|record| (record.block.hash(), record)).collect();
        let marks = Marks { head: after.head, safe: None, finalized: None };
        ChainView::new(self.spec.clone(), snapshot.clone(), base, above, blocks, marks)
    }

    /// The ground of a block, made anew.
    pub(crate) fn ground(&self, snapshot: &Arc<Snapshot>, after: &After) -> Ground {
        let view = self.view(snapshot, after);
        Ground::at(after.head, &view, None, None).expect("a good store")
    }

    /// What the threads of an engine share whose head is this block, and whose pool is empty.
    pub(super) fn shared(&self, snapshot: &Arc<Snapshot>, after: &After) -> Shared {
        let head = pool_head(&self.spec, after.head.hash, &after.header);
        let (builds, _) = Builds::new();
        Shared {
            spec: self.spec.clone(),
            pool: Arc::new(Pool::new(PoolOptions::default(), head)),
            view: RwLock::new(Arc::new(self.view(snapshot, after))),
            status: Mutex::default(),
            builds,
            local: LocalTxs::default(),
            bad_blocks: Arc::default(),
            retention: Retention::Archive,
            gas_limit: after.header.gas_limit,
            extra_data: Bytes::new(),
            feed: Feed::default(),
            pending: Pending::default(),
            call_bytes: AtomicUsize::new(0),
            footprints: Arc::default(),
            open_calls: AtomicUsize::new(0),
            ahead_failures: AtomicU64::new(0),
            is_warming: AtomicBool::new(false),
            calls: Weak::new(),
        }
    }
}

/// The blocks up to this one that the store does not have.
fn not_durable(snapshot: &Snapshot, after: &After) -> Vec<Arc<BlockRecord>> {
    let is_there = |hash: B256| snapshot.number(hash).expect("a good store").is_some();
    after.path.iter().filter(|record| !is_there(record.block.hash())).cloned().collect()
}

impl After {
    /// A child, which changes this.
    pub(crate) fn child(&self, diff: StateDiff) -> Self {
        let Self { head: parent, header, mut state, mut tries, mut path } = self.clone();
        state.apply(&diff).expect("the diff follows the state");
        let hashed = HashedDiff::from(&diff);
        let storage_roots = tries.apply(&NoSource, &hashed, None).expect("nothing is blinded");
        let state_root = state.root();
        assert_eq!(tries.root(), state_root);
        let (number, timestamp) = (parent.number + 1, header.timestamp + 12);
        let header = Header { parent_hash: parent.hash, number, timestamp, state_root, ..header };

        let block = SealedBlock::seal(Block { header: header.clone(), body: BlockBody::default() });
        let hash = block.hash();
        let block = block.check(|_| Ok::<_, Infallible>(())).expect("nothing is judged");
        let block = block.recover(|_| Ok::<_, SenderCount>(Vec::new())).expect("it is empty");
        path.push(Arc::new(BlockRecord {
            block,
            total_difficulty: U256::ZERO,
            receipts: Vec::new(),
            access_list: None,
            diff,
            storage_roots,
        }));
        state.block_hashes.insert(number, hash);
        Self { head: Head { number, hash }, header, state, tries, path }
    }

    /// The block with what it changed; `None` of the genesis.
    pub(crate) fn record(&self) -> Option<Arc<BlockRecord>> {
        self.path.last().cloned()
    }

    /// The root of the whole state after a change.
    pub(crate) fn root_after(&self, diff: &StateDiff) -> B256 {
        let mut state = self.state.clone();
        state.apply(diff).expect("the diff follows the state");
        state.root()
    }
}

fn genesis_state() -> MemoryState {
    let mut state = MemoryState::default();
    let with_slots = [(LARGE, SLOTS), (PAIR, 2), (LONE, 1)];
    for (byte, count) in (1..=PLAIN).map(|byte| (byte, 0)).chain(with_slots) {
        let account = Account { nonce: 1, balance: U256::from(byte), ..Account::default() };
        let slots = (1..=count).map(|slot| (U256::from(slot), U256::from(1_000 + slot)));
        let account = MemoryAccount { account, slots: slots.collect() };
        state.accounts.insert(Address::repeat_byte(byte), account);
    }
    state
}

/// Every account, and every slot of those that store something, that these changes come by.
pub(crate) fn keys() -> Vec<Location> {
    let storing = [LARGE, PAIR, LONE, NEW];
    let accounts = (1..=PLAIN).chain(storing).map(|byte| (Address::repeat_byte(byte), None));
    let slots = storing.into_iter().flat_map(|byte| {
        (1..=SLOTS + 1).map(move |slot| (Address::repeat_byte(byte), Some(U256::from(slot))))
    });
    accounts.chain(slots).collect()
}

/// A change of a state, whatever came before.
pub(crate) type Change = fn(&MemoryState) -> StateDiff;

/// Changes to which the way back is known, and what they are about.
pub(crate) const REVERSIBLE: [(&str, Change); 3] =
    [("everything is more", raise), ("an account comes", come), ("slots come and go", turn)];

/// Changes to which it is not.
pub(crate) const IRREVERSIBLE: [(&str, Change); 2] =
    [("storage begins anew", wipe), ("accounts go", go)];

/// Every account has more, and every slot of those with several. Nothing comes or goes.
pub(crate) fn raise(state: &MemoryState) -> StateDiff {
    let one = U256::from(1);
    let change = |(address, found): (&Address, &MemoryAccount)| {
        let MemoryAccount { account, slots } = found;
        let more = Account { balance: account.balance + one, ..*account };
        // Of a trie without a branch nothing stays in memory that was only read.
        let raised = slots.iter().filter(|_| slots.len() > 1);
        let raised = raised.map(|(slot, before)| SlotDiff {
            slot: *slot,
            before: *before,
            after: *before + one,
        });
        AccountDiff {
            address: *address,
            before: Some(*account),
            after: Some(more),
            wiped: false,
            slots: raised.collect(),
        }
    };
    let accounts = state.accounts.iter().map(change).collect();
    StateDiff { accounts, codes: Vec::new() }.canonical()
}

/// An account comes that has a code, and stores.
pub(crate) fn come(state: &MemoryState) -> StateDiff {
    let code = Bytes::from_static(&[0x5f, 0x5f, 0xfd]);
    let code_hash = keccak256(&code);
    let account = Account { nonce: 1, balance: U256::from(7), code_hash };
    let accounts = vec![change(state, NEW, Some(account), &[(1, 5), (2, 6)])];
    StateDiff { accounts, codes: vec![(code_hash, code)] }.canonical()
}

/// Slots come and go: where there are many, where one is left, and where none is.
fn turn(state: &MemoryState) -> StateDiff {
    let of = |byte: u8, slots: &[(u64, u64)]| change(state, byte, account(state, byte), slots);
    let accounts = vec![
        of(LARGE, &[(1, 0), (2, 0), (SLOTS + 1, 9)]),
        of(PAIR, &[(2, 0)]),
        of(LONE, &[(1, 0)]),
    ];
    StateDiff { accounts, codes: Vec::new() }.canonical()
}

/// Nothing is left of what an account stored but what it stores since.
fn wipe(state: &MemoryState) -> StateDiff {
    let slots = vec![SlotDiff { slot: U256::from(3), before: U256::ZERO, after: U256::from(3) }];
    let large = change(state, LARGE, account(state, LARGE), &[]);
    let accounts = vec![AccountDiff { wiped: true, slots, ..large }];
    StateDiff { accounts, codes: Vec::new() }.canonical()
}

/// An account goes that stores something, and one that does not.
fn go(state: &MemoryState) -> StateDiff {
    let accounts = vec![change(state, PAIR, None, &[]), change(state, 9, None, &[])];
    StateDiff { accounts, codes: Vec::new() }.canonical()
}

fn account(state: &MemoryState, byte: u8) -> Option<Account> {
    state.accounts.get(&Address::repeat_byte(byte)).map(|found| found.account)
}

/// What becomes of an account, and of slots of it by key and value.
fn change(
    state: &MemoryState,
    byte: u8,
    after: Option<Account>,
    slots: &[(u64, u64)],
) -> AccountDiff {
    let address = Address::repeat_byte(byte);
    let known = state.accounts.get(&address);
    let slots = slots.iter().map(|(slot, after)| {
        let (slot, after) = (U256::from(*slot), U256::from(*after));
        let before = known.and_then(|found| found.slots.get(&slot)).copied().unwrap_or_default();
        SlotDiff { slot, before, after }
    });
    let slots = slots.collect();
    AccountDiff { address, before: account(state, byte), after, wiped: false, slots }
}
