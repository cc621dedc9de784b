//! A block whose parallel run breaks half-way.

use super::*;
use crate::{Execution, Executor, FallbackCause, Mode, Way};
use alloy_consensus::{Signed, TxLegacy};
use fugue_chainspec::{ChainSpec, Fork};
use fugue_state::{Account, Guarded, MemoryAccount, MemoryState, Question};
use fugue_types::{
    Address, B256, Block, BlockBody, Bytes, SealedBlock, SenderCount, Transaction, TxKind, U256,
};
use std::{
    convert::Infallible,
    sync::atomic::{AtomicBool, Ordering},
};

/// Each has one transaction.
const SENDERS: [Address; 6] = [
    Address::repeat_byte(0xa0),
    Address::repeat_byte(0xa1),
    Address::repeat_byte(0xa2),
    Address::repeat_byte(0xa3),
    Address::repeat_byte(0xa4),
    Address::repeat_byte(0xa5),
];
/// The transaction at which the run breaks.
const BROKEN: usize = 3;
const PAYEE: Address = Address::repeat_byte(0xd0);
const AUTHOR: Address = Address::repeat_byte(0xfe);

fn state() -> MemoryState {
    let mut state = MemoryState::default();
    for sender in SENDERS {
        let balance = U256::from(1_000_000_000_000_000_000_u64);
        let account = Account { balance, ..Account::default() };
        state.accounts.insert(sender, MemoryAccount { account, ..MemoryAccount::default() });
    }
    state
}

/// Pays the payee, and a tip.
fn payment() -> Transaction {
    let tx = TxLegacy {
        chain_id: None,
        nonce: 0,
        gas_price: 10,
        gas_limit: 1_000_000,
        to: TxKind::Call(PAYEE),
        value: U256::from(5),
        input: Bytes::new(),
    };
    // The senders are given: nobody looks at the signature.
    let signature = format!("{:0>64}{:0>64}1b", "1", "1").parse().expect("a signature");
    Transaction::Legacy(Signed::new_unhashed(tx, signature))
}

/// A payment of each sender.
fn prepared(executor: &Executor, fork: Fork) -> (PreparedBlock, Rules) {
    let root = (fork >= Fork::Cancun).then_some(B256::repeat_byte(0xbb));
    let header = Header {
        number: 1,
        gas_limit: 30_000_000,
        beneficiary: AUTHOR,
        base_fee_per_gas: (fork >= Fork::London).then_some(7),
        parent_beacon_block_root: root,
        excess_blob_gas: root.map(|_| 0),
        ..Header::default()
    };
    let rules = ChainSpec::at_fork(1, fork).rules(&header);
    let transactions = SENDERS.iter().map(|_| payment()).collect();
    let body = BlockBody { transactions, ommers: Vec::new(), withdrawals: None };
    let sealed = SealedBlock::seal(Block { header, body });
    let checked = sealed.check(|_| Ok::<_, Infallible>(())).expect("nothing is judged");
    let block = checked.recover(|_| Ok::<_, SenderCount>(SENDERS.to_vec()));
    let block = executor.prepare_recovered(block.expect("one for each"));
    (block.expect("known types"), rules)
}

/// With the steps of its time, or its access list, and all its fees.
#[test]
fn a_run_that_breaks_is_told_and_what_is_left_runs_one_by_one() {
    let state = state();
    for fork in [Fork::Frontier, Fork::Osaka, Fork::Amsterdam] {
        for threads in 1..=3 {
            let executor = Executor::new(threads).expect("threads");
            let (block, rules) = prepared(&executor, fork);
            let run = |mode, view: &dyn StateView| {
                let run = executor.execute(mode, &block, &rules, view, Scope::Recorded);
                run.expect("valid")
            };
            let expected = run(Mode::Seq, &state).outcome;
            let has_panicked = AtomicBool::new(false);
            let view = Guarded::new(&state, |question| {
                if question == Question::Account(SENDERS[BROKEN]) {
                    assert!(has_panicked.swap(true, Ordering::Relaxed), "as it was told");
                }
                Ok(())
            });
            let Execution { outcome, report } = run(Mode::Occ, &view);
            assert_eq!(outcome, expected, "{fork}, {threads} threads");
            let cause = BlockError::Internal(format!("transaction {BROKEN} panicked"));
            let told = report.fallback.map(|fallback| fallback.cause);
            assert_eq!((report.way, told), (Way::Optimistic, Some(FallbackCause::from(cause))));
            if threads == 1 {
                // Those before it ran in parallel execution, and so did it, to no end.
                assert_eq!(report.stats.runs, BROKEN + 1, "{fork}");
            }
        }
    }
}
