//! Blocks that are invalid, or may be: every mode on any number of threads gives the answer of
//! sequential execution, and in time.

use crate::{
    equivalence::{
        EMPTY_EVERY, MODES, cases_per_fork, executors, parting, random_scenario, sequential,
    },
    noisy::Noisy,
    support::{Case, drawn_seed, in_time, small_bundle},
};
use alloy_consensus::TxLegacy;
use fugue_archive::{Bundle, PreAccount};
use fugue_executor::{BlockError, BlockOutcome, Executor, InvalidBlock, Mode, Scope};
use fugue_types::{Address, Block, BlockAccessList, Transaction, TransactionTrait, TxKind, U256};
use fugue_workload::{FORKS, Rng, Wallet, build, seal_body};
use std::sync::Arc;

/// A change after which a block is invalid, or which makes it another valid one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Damage {
    /// A transaction is gone that another one of its sender follows.
    Gap,
    /// Two of one sender have changed places.
    Swapped,
    /// A transaction comes again at the end.
    Twice,
    /// A sender has nothing.
    Poor,
    /// The block may use half of the gas that it does.
    Full,
}

impl Damage {
    const ALL: [Self; 5] = [Self::Gap, Self::Swapped, Self::Twice, Self::Poor, Self::Full];

    /// Whether the block has to be invalid: nonces are handed out once.
    fn is_fatal(self) -> bool {
        matches!(self, Self::Gap | Self::Swapped | Self::Twice)
    }

    /// The bundle after it; `None` if there is nothing to be damaged in this way.
    fn of(self, bundle: &Bundle, senders: &[Address], rng: &mut Rng) -> Option<Bundle> {
        let mut bundle = bundle.clone();
        let mut block = bundle.block.block().clone();
        let Block { header, body } = &mut block;
        let txs = &mut body.transactions;
        let later =
            |index: usize| (index + 1..senders.len()).find(|n| senders[*n] == senders[index]);
        let followed: Vec<(usize, usize)> =
            (0..senders.len()).filter_map(|index| Some((index, later(index)?))).collect();
        match self {
            Self::Gap | Self::Swapped => {
                let (index, next) = *followed.get(rng.index(followed.len()))?;
                if self == Self::Gap {
                    txs.remove(index);
                } else {
                    txs.swap(index, next);
                }
            }
            Self::Twice => {
                let index = rng.index(txs.len());
                // A blob more may be one too many, which is found before execution.
                let again = txs.get(index).cloned().filter(|tx| tx.blob_gas_used().is_none())?;
                txs.push(again);
            }
            Self::Poor => {
                let sender = senders.get(rng.index(senders.len()))?;
                bundle.state.as_mut()?.accounts.get_mut(sender)?.balance = U256::ZERO;
            }
            Self::Full => {
                header.gas_limit = (header.gas_used / 2).max(5_000);
                header.gas_used = 0;
            }
        }
        bundle.block = seal_body(block);
        Some(bundle)
    }
}

/// The access list of a good block.
fn list_of(bundle: &Bundle, executor: &Executor) -> Arc<BlockAccessList> {
    let Case { block, rules, view } = Case::new(bundle, executor);
    let listed = executor.list_accesses(&block, &rules, &view, Scope::Recorded);
    Arc::new(listed.expect("a good block").1)
}

/// What each mode on each number of threads gives for a block that may be invalid. It has the list
/// of the good block that it was made of.
fn answers(
    bundle: &Bundle,
    list: Arc<BlockAccessList>,
    executors: &[Executor],
    noise: u64,
) -> Vec<(String, Result<BlockOutcome, BlockError>)> {
    let case = Case::new(bundle, &executors[0]);
    let mut answers = vec![("seq".to_owned(), sequential(&case, &executors[0]))];
    let Case { block, rules, view } = &case;
    let listed = block.clone().with_access_list(list);
    for executor in executors {
        for mode in MODES {
            let view = Noisy::new(view, noise);
            let block = if mode == Mode::Bal { &listed } else { block };
            let executed = executor.execute(mode, block, rules, &view, Scope::Recorded);
            let executed = executed.map(|execution| execution.outcome);
            answers.push((format!("{mode} on {} threads", executor.threads()), executed));
        }
    }
    answers
}

#[test]
fn damaged_random_blocks_are_answered_alike_and_in_time() {
    let executors = Arc::new(executors());
    let mut invalid = [0; Damage::ALL.len()];
    let fixed = 0..u64::from(cases_per_fork().div_ceil(2));
    for seed in fixed.chain([drawn_seed()]) {
        let has_empty = seed.is_multiple_of(EMPTY_EVERY as u64);
        for fork in FORKS {
            let bundles = build(&random_scenario(has_empty, seed, fork, 40));
            let bundles = bundles.expect("a random scenario");
            let bundle = &bundles[0];
            let senders = Case::new(bundle, &executors[0]).block.senders().to_vec();
            let list = list_of(bundle, &executors[0]);
            let mut rng = Rng::new(seed).fork(fork.name());
            for (damage, invalid) in Damage::ALL.into_iter().zip(&mut invalid) {
                let Some(damaged) = damage.of(bundle, &senders, &mut rng) else { continue };
                let what = format!(
                    "{fork}, {damage:?}, again: FUGUE_SEED={seed} cargo nextest run --release \
                     -p fugue-tests damaged_random_blocks"
                );
                let (noise, lent, list) = (rng.draw(), executors.clone(), list.clone());
                let answers = in_time(&what, move || answers(&damaged, list, &lent, noise));
                let expected = &answers[0].1;
                let is_invalid = matches!(expected, Err(BlockError::Invalid(_)));
                assert!(is_invalid || !damage.is_fatal(), "{what}: {expected:?}");
                assert!(is_invalid || expected.is_ok(), "{what}: {expected:?}");
                *invalid += usize::from(is_invalid);
                for (who, answer) in &answers {
                    assert!(answer == expected, "{what}: {who}: {}", parting(expected, answer));
                }
            }
        }
    }
    for (damage, invalid) in Damage::ALL.into_iter().zip(invalid) {
        assert!(invalid >= FORKS.len() / 2, "{damage:?} made {invalid} blocks invalid");
    }
}

/// A bundle with room for one more transaction, from a fork that knows base fees.
fn roomy_bundle() -> Bundle {
    small_bundle(|bundle| {
        let block = bundle.block.block();
        let left = block.header.gas_limit.saturating_sub(block.header.gas_used);
        let fits = |tx: &Transaction| left > 2 * tx.gas_limit() && tx.blob_gas_used().is_none();
        let last = block.body.transactions.last();
        block.header.base_fee_per_gas.is_some()
            && block.body.transactions.len() >= 8
            && last.is_some_and(fits)
    })
}

/// The bundle with one more transaction, its roots as they must be before execution.
fn with_transaction(bundle: &Bundle, index: usize, tx: Transaction) -> Bundle {
    let mut block = bundle.block.block().clone();
    block.body.transactions.insert(index, tx);
    Bundle { block: seal_body(block), ..bundle.clone() }
}

#[test]
fn an_invalid_transaction_makes_the_block_invalid_in_every_mode() {
    let mut bundle = roomy_bundle();
    let wallet = Wallet::derive(0x1bad, 0);
    let ether = U256::from(10).pow(U256::from(18));
    let funded = PreAccount { balance: ether, ..PreAccount::default() };
    bundle.state.as_mut().expect("a pre-state").accounts.insert(wallet.address(), funded);
    let block = bundle.block.block();
    let count = block.body.transactions.len();
    let base_fee = block.header.base_fee_per_gas.expect("a base fee");
    let too_high = wallet.legacy(TxLegacy {
        chain_id: Some(bundle.chain_id),
        nonce: 7,
        gas_price: 2 * u128::from(base_fee),
        gas_limit: 100_000,
        to: TxKind::Call(wallet.address()),
        ..TxLegacy::default()
    });
    let last = block.body.transactions.last().expect("a transaction").clone();
    let cases = [
        (0, too_high.clone(), "NONCE_MISMATCH_TOO_HIGH"),
        (count / 2, too_high.clone(), "NONCE_MISMATCH_TOO_HIGH"),
        (count, too_high, "NONCE_MISMATCH_TOO_HIGH"),
        (count, last, "NONCE_MISMATCH_TOO_LOW"),
    ];
    let executors = Arc::new(executors());
    let list = list_of(&bundle, &executors[0]);
    for (index, tx, reason) in cases {
        let changed = with_transaction(&bundle, index, tx);
        let what = format!("{reason} at {index} of {count}");
        let (lent, list) = (executors.clone(), list.clone());
        let answers = in_time(&what, move || answers(&changed, list, &lent, 1));
        for (who, answer) in &answers {
            let Err(BlockError::Invalid(InvalidBlock::Transaction {
                index: found,
                reason: named,
                ..
            })) = answer
            else {
                panic!("{what}: {who}: {answer:?}");
            };
            assert_eq!(*found, index, "{what}: {who}");
            assert!(named.names().contains(&reason), "{what}: {who}: {named}");
            assert_eq!(*answer, answers[0].1, "{what}: {who}");
        }
    }
}
