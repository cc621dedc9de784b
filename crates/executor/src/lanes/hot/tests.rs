//! What one lane does to another, on a contract with one slot.

use super::*;
use alloy_consensus::{Signed, TxLegacy};
use fugue_chainspec::{ChainSpec, Fork};
use fugue_evm::{CodeCache, FeePayment, Kernel, PreparedTx, ViewReader};
use fugue_state::{MemoryAccount, MemoryState};
use fugue_types::{KECCAK256_EMPTY, Transaction, TxKind, impersonating, keccak256};

const CONTRACT: Address = Address::repeat_byte(0xc0);
const WRITER: Address = Address::repeat_byte(0xa1);
const READER: Address = Address::repeat_byte(0xa2);
const AUTHOR: Address = Address::repeat_byte(0xfe);
/// With data: SSTORE(0, CALLDATALOAD(0)); without: SLOAD(0).
const CODE: [u8; 16] =
    [0x36, 0x60, 8, 0x57, 0x60, 0, 0x54, 0x00, 0x5b, 0x60, 0, 0x35, 0x60, 0, 0x55, 0x00];

fn state() -> MemoryState {
    let mut state = MemoryState::default();
    let balance = U256::from(10).pow(U256::from(18));
    for sender in [WRITER, READER] {
        let account = Account { nonce: 0, balance, code_hash: KECCAK256_EMPTY };
        state.accounts.insert(sender, MemoryAccount { account, ..MemoryAccount::default() });
    }
    let code = Bytes::copy_from_slice(&CODE);
    let account = Account { nonce: 1, balance: U256::ZERO, code_hash: keccak256(&code) };
    state.codes.insert(account.code_hash, code);
    state.accounts.insert(CONTRACT, MemoryAccount { account, ..MemoryAccount::default() });
    state
}

fn tx(sender: Address, nonce: u64, input: &[u8]) -> PreparedTx {
    let tx = TxLegacy {
        nonce,
        gas_price: 10,
        gas_limit: 1_000_000,
        to: TxKind::Call(CONTRACT),
        input: Bytes::copy_from_slice(input),
        ..TxLegacy::default()
    };
    let tx = Transaction::Legacy(Signed::new_unhashed(tx, impersonating(sender)));
    PreparedTx::new(&tx, sender).expect("type 0 is known")
}

fn store(nonce: u64, value: u64) -> PreparedTx {
    tx(WRITER, nonce, &U256::from(value).to_be_bytes::<32>())
}

/// A lane of transactions, each with its index.
fn lane(state: &MemoryState, txs: &[(usize, PreparedTx)]) -> Lane {
    let header =
        Header { number: 1, gas_limit: 30_000_000, beneficiary: AUTHOR, ..Header::default() };
    let rules = ChainSpec::at_fork(1, Fork::Istanbul).rules(&header);
    let codes = CodeCache::new();
    let reader = ViewReader(state);
    let mut kernel = Kernel::new(&rules, &header, &codes, reader, FeePayment::Deferred);
    kernel.note_touches(Touched::default());
    for (_, tx) in txs {
        kernel.transact(tx).expect("valid");
    }
    let noted = txs.iter().map(|(index, _)| *index).collect();
    Lane {
        worker: 0,
        thread: None,
        is_ledger: false,
        txs: Vec::new(),
        noted,
        assumed: Vec::new(),
        heard: Vec::new(),
        heard_slots: 0,
        history: kernel.into_history(),
    }
}

/// What one lane changes and changes back is not in its diff; another lane has looked in between.
#[test]
fn what_was_changed_back_later_is_hot() {
    let state = state();
    let written = lane(&state, &[(0, store(0, 1)), (2, store(1, 0))]);
    assert!(written.history.diff.accounts.iter().all(|change| change.address != CONTRACT));
    let read = lane(&state, &[(1, tx(READER, 0, &[]))]);
    let lanes = [written, read];
    assert_eq!(disturbed(&lanes), [CONTRACT]);

    let [written, read] = &lanes;
    let steps = OnceLock::new();
    let mut hot = Hot::new(&state, &lanes, &steps, AUTHOR);
    hot.begin().expect("a state in memory");
    let touches = Touches::of(&written.history.touched, 0);
    assert!(hot.holds(touches).expect("a state in memory"));
    hot.apply(touches);
    hot.advance(1);
    let touches = Touches::of(&read.history.touched, 0);
    assert!(!hot.holds(touches).expect("a state in memory"), "it saw 0, and not 1");
}

/// Whoever runs again in between reads what is there then.
#[test]
fn a_rerun_reads_what_is_changed_back_later() {
    let state = state();
    let lanes = [lane(&state, &[(0, store(0, 1)), (2, store(1, 0))])];
    let steps = OnceLock::new();
    let mut hot = Hot::new(&state, &lanes, &steps, AUTHOR);
    hot.begin().expect("a state in memory");
    hot.advance(1);
    let mut reader = HotReader(hot);
    assert_eq!(reader.slot(CONTRACT, U256::ZERO), Ok(U256::ONE));
}

#[test]
fn a_slot_that_nobody_else_has_loaded_may_change_back() {
    let state = state();
    let written = lane(&state, &[(0, store(0, 1)), (1, store(1, 0))]);
    let other = lane(&state, &[]);
    assert_eq!(disturbed(&[written, other]), Vec::<Address>::new());
}

/// A run at index 1 that reads the slot where it has this value, as one that guesses.
fn guess(value: u64) -> Lane {
    let mut state = state();
    let contract = state.accounts.get_mut(&CONTRACT).expect("it is there");
    contract.slots.insert(U256::ZERO, U256::from(value));
    lane(&state, &[(1, tx(READER, 0, &[]))])
}

fn guess_holds(hot: &mut Hot<'_>, guess: &Lane) -> bool {
    hot.guess_holds(Touches::of(&guess.history.touched, 0)).expect("a state in memory")
}

#[test]
fn a_guess_is_compared_with_what_a_lane_has_changed() {
    let state = state();
    let lanes = [lane(&state, &[(0, store(0, 1)), (2, store(1, 7))])];
    let steps = OnceLock::new();
    let mut hot = Hot::new(&state, &lanes, &steps, AUTHOR);
    hot.begin().expect("a state in memory");
    hot.advance(1);
    for (value, expected) in [(0, false), (1, true), (7, false)] {
        let guess = guess(value);
        // In a lane it would be right: nobody has disturbed it.
        let mut untouched = Hot::new(&state, &lanes, &steps, AUTHOR);
        untouched.begin().expect("a state in memory");
        let touches = Touches::of(&guess.history.touched, 0);
        assert!(untouched.holds(touches).expect("a state in memory"));
        assert_eq!(guess_holds(&mut hot, &guess), expected, "{value}");
    }
}

/// No lane has changed the contract; guesses have, that come to nothing.
#[test]
fn a_guess_is_compared_with_what_another_guess_has_changed() {
    let state = state();
    let lanes = [lane(&state, &[])];
    let steps = OnceLock::new();
    let mut hot = Hot::new(&state, &lanes, &steps, AUTHOR);
    hot.begin().expect("a state in memory");
    let other = lane(&state, &[(0, store(0, 1))]);
    hot.heat_changed(Touches::of(&other.history.touched, 0)).expect("a state in memory");
    hot.advance(1);
    assert!(!guess_holds(&mut hot, &guess(1)));
    assert!(guess_holds(&mut hot, &guess(0)));
}

#[test]
fn steps_are_in_block_order_and_of_one_account() {
    let state = state();
    let lanes = [
        lane(&state, &[(0, store(0, 1)), (3, store(1, 2))]),
        lane(&state, &[(1, store(0, 5)), (2, tx(READER, 0, &[]))]),
    ];
    let steps = Steps::new(&lanes);
    let values = |index| {
        let steps = steps.before(&lanes, CONTRACT, index).map(|(by, step)| match step {
            Step::Slot(touch) => (by, touch.after),
            Step::Account(touch) => panic!("only a slot was changed: {touch:?}"),
        });
        steps.collect::<Vec<_>>()
    };
    let expected = [(0_usize, 1), (1, 5), (3, 2)].map(|(by, value)| (by, U256::from(value)));
    for (index, count) in [(0, 0), (1, 1), (2, 2), (3, 2), (4, 3)] {
        assert_eq!(values(index), expected[..count], "{index}");
    }
    // It has the same tag.
    let mut other = CONTRACT;
    other.0.0[0] ^= 1;
    assert_eq!(steps.before(&lanes, other, 4).count(), 0);
    assert_eq!(steps.before(&lanes, WRITER, 4).count(), 3);
}
