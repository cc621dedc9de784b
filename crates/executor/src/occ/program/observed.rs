//! Two transactions, run by hand in an order in which one of them has to run again.

use super::*;
use crate::{Field, RerunCause};
use alloy_consensus::{Signed, TxLegacy};
use fugue_chainspec::ChainSpec;
use fugue_state::{MemoryAccount, MemoryState};
use fugue_types::{KECCAK256_EMPTY, TxKind, keccak256};
use std::time::Duration;

const SENDERS: [Address; 2] = [Address::repeat_byte(0xa1), Address::repeat_byte(0xa2)];
const COUNTER: Address = Address::repeat_byte(0xc0);
/// Adds one to slot 0: PUSH1 0, SLOAD, PUSH1 1, ADD, PUSH1 0, SSTORE.
const COUNTS: &[u8] = &[0x60, 0, 0x54, 0x60, 1, 0x01, 0x60, 0, 0x55];
/// Looks at the fee recipient: COINBASE, BALANCE, POP.
const LOOKS: &[u8] = &[0x41, 0x31, 0x50];

/// Commits are not looked at.
struct Uncommitted;

impl Commit for Uncommitted {
    type Error = BlockError;

    fn commit(&self, _: &OccBlock<'_>, _: usize) -> Result<(), BlockError> {
        Ok(())
    }
}

fn header() -> Header {
    Header {
        number: 1,
        gas_limit: 30_000_000,
        beneficiary: Address::repeat_byte(0xfe),
        base_fee_per_gas: Some(7),
        ..Header::default()
    }
}

/// With this code for the counter.
fn state(code: &[u8]) -> MemoryState {
    let mut state = MemoryState::default();
    let code = Bytes::copy_from_slice(code);
    let code_hash = keccak256(&code);
    for (address, balance, code_hash) in [
        (SENDERS[0], 1_000_000_000_000_000_000_u64, KECCAK256_EMPTY),
        (SENDERS[1], 1_000_000_000_000_000_000, KECCAK256_EMPTY),
        (COUNTER, 0, code_hash),
    ] {
        let account = Account { nonce: 0, balance: U256::from(balance), code_hash };
        let slots = Default::default();
        state.accounts.insert(address, MemoryAccount { account, slots });
    }
    state.codes.insert(code_hash, code);
    state
}

/// The first transaction of a sender, who counts up.
fn count(sender: Address) -> PreparedTx {
    call(sender, COUNTER, 0)
}

/// The first transaction of a sender.
fn call(sender: Address, to: Address, value: u64) -> PreparedTx {
    let tx = TxLegacy {
        chain_id: None,
        nonce: 0,
        gas_price: 10,
        gas_limit: 100_000,
        to: TxKind::Call(to),
        value: U256::from(value),
        input: Bytes::new(),
    };
    // The senders are given: nobody looks at the signature.
    let signature = format!("{:0>64}{:0>64}1b", "1", "1").parse().expect("a signature");
    let tx = Transaction::Legacy(Signed::new_unhashed(tx, signature));
    PreparedTx::new(&tx, sender).expect("a known type")
}

#[test]
fn a_rerun_names_the_slot_that_changed_and_who_changed_it() {
    let header = header();
    let rules = ChainSpec::at_fork(1, Fork::Shanghai).rules(&header);
    let (view, codes, txs) = (state(COUNTS), CodeCache::new(), SENDERS.map(count));
    let memory = StateMemory::new(Room::default(), &view, &StateDiff::default());
    let mut block = OccBlock::new(&header, &txs, &[None, None], &rules, &codes, memory);
    block.observe(RunLog::new(txs.len()));
    {
        let occ = Occ { block: &block, commit: &Uncommitted };
        let mut worker = occ.worker();
        let mut run = |tx, place| {
            let ran = occ.execute(&mut worker, tx, place, &mut Vec::new());
            assert_eq!(ran, Ran::Done, "{tx}");
        };
        // The second counts from what the first has not written yet.
        run(1, Place::Ahead);
        run(0, Place::Head);
        assert!(occ.is_current(0) && !occ.is_current(1));
        run(1, Place::Head);
        assert!(occ.is_current(1));
    }
    let runs = block.take_log().expect("it was observed").into_runs();
    let [first, second] = &runs[..] else { panic!("two were expected: {runs:?}") };
    assert_eq!((first.runs, first.lost), (1, Duration::ZERO));
    assert!(first.reruns.is_empty());
    assert_eq!((second.runs, second.reruns.len()), (2, 1));
    let rerun = second.reruns[0];
    assert_eq!((rerun.cause, rerun.by), (RerunCause::Changed, Some(0)));
    assert_eq!((rerun.address, rerun.field), (Some(COUNTER), Some(Field::Slot(U256::ZERO))));
    assert!(rerun.lost == second.lost && second.lost <= second.time);
}

/// What one worker has loaded before it gives up, another one changes meanwhile.
#[test]
fn a_run_that_was_given_up_leaves_nothing_to_the_next_one() {
    let header = header();
    let rules = ChainSpec::at_fork(1, Fork::Shanghai).rules(&header);
    let view = state(&[COUNTS, LOOKS].concat());
    let (codes, txs) = (CodeCache::new(), SENDERS.map(count));
    let memory = StateMemory::new(Room::default(), &view, &StateDiff::default());
    let block = OccBlock::new(&header, &txs, &[None, None], &rules, &codes, memory);
    let occ = Occ { block: &block, commit: &Uncommitted };
    let (mut one, mut other) = (occ.worker(), occ.worker());
    assert_eq!(occ.execute(&mut one, 1, Place::Ahead, &mut Vec::new()), Ran::Parked);
    assert_eq!(occ.execute(&mut other, 0, Place::Head, &mut Vec::new()), Ran::Done);
    assert_eq!(occ.execute(&mut one, 1, Place::Head, &mut Vec::new()), Ran::Done);
    let counted = [1, 2].map(|tx| block.memory.slot(COUNTER, U256::ZERO, tx));
    assert_eq!(counted, [Ok(U256::from(1)), Ok(U256::from(2))]);
    assert!(occ.is_current(1));
}

#[test]
fn storage_that_may_have_gone_is_told_at_the_turn() {
    let header = header();
    let rules = ChainSpec::at_fork(1, Fork::Shanghai).rules(&header);
    let (mut view, codes, txs) = (state(COUNTS), CodeCache::new(), SENDERS.map(count));
    let counter = view.accounts.get_mut(&COUNTER).expect("it is there");
    counter.slots.insert(U256::ZERO, U256::ONE);
    let memory = StateMemory::new(Room::default(), &view, &StateDiff::default());
    let block = OccBlock::new(&header, &txs, &[None, None], &rules, &codes, memory);
    let has_storage =
        |place, address| MemoryReader { block: &block, tx: 1, place }.has_storage(address);
    assert_eq!(has_storage(Place::Ahead, COUNTER), Err(ReadFault::NotYet));
    assert_eq!(has_storage(Place::Head, COUNTER), Ok(true));
    // Who had none has none, wherever that is asked.
    assert_eq!(has_storage(Place::Ahead, SENDERS[0]), Ok(false));
}

/// Ahead of the payment that it is to be paid from, its sender has nothing.
#[test]
fn a_guess_that_was_refused_is_compared_as_any_other() {
    let header = header();
    let rules = ChainSpec::at_fork(1, Fork::Shanghai).rules(&header);
    let [payer, payee] = SENDERS;
    let mut view = state(COUNTS);
    view.accounts.remove(&payee);
    let (codes, txs) = (CodeCache::new(), [call(payer, payee, 1_000_000_000), count(payee)]);
    let memory = StateMemory::new(Room::default(), &view, &StateDiff::default());
    let block = OccBlock::new(&header, &txs, &[None, None], &rules, &codes, memory);
    let occ = Occ { block: &block, commit: &Uncommitted };
    let mut worker = occ.worker();
    let mut run = |tx, place| {
        let ran = occ.execute(&mut worker, tx, place, &mut Vec::new());
        assert_eq!(ran, Ran::Done, "{tx}");
        block.runs[tx].lock().as_ref().map(|run| run.executed.is_ok())
    };
    assert_eq!(run(1, Place::Ahead), Some(false));
    // Were it its turn, it would be refused.
    assert!(occ.is_current(1));
    assert_eq!(run(0, Place::Head), Some(true));
    assert!(occ.is_current(0) && !occ.is_current(1));
    assert_eq!(run(1, Place::Head), Some(true));
    assert!(occ.is_current(1));
}
