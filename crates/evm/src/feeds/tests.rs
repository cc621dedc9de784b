//! What is marked, and what is not, in a few instructions at a time.

use super::*;
use crate::{
    ViewReader,
    kernel::tests::{AUTHOR, SENDER, tx},
};
use fugue_chainspec::{ChainSpec, Fork};
use fugue_state::{Account, MemoryAccount, MemoryState};
use fugue_types::{Address, Bytes, KECCAK256_EMPTY, TxKind, U256, keccak256};

const HERE: Address = Address::repeat_byte(0xc0);
const INNER: Address = Address::repeat_byte(0xc1);
/// Gas of a transaction without data, before its first instruction.
const INTRINSIC: u64 = 21_000;

/// Slot 0 of the account.
const fn slot(address: Address) -> StateValue {
    StateValue::Slot(address, U256::ZERO)
}

/// Calls `HERE`, where slot 0 is 1, once for each set of changed values, in one kernel.
fn run(here: &str, inner: &str, changed: &[&[StateValue]]) -> Vec<Fed> {
    let mut state = MemoryState::default();
    let balance = U256::from(1_000_000_000_000_000_000_u64);
    let account = Account { nonce: 0, balance, code_hash: KECCAK256_EMPTY };
    state.accounts.insert(SENDER, MemoryAccount { account, ..MemoryAccount::default() });
    for (address, code) in [(HERE, here), (INNER, inner)] {
        let code = Bytes::from(alloy_primitives::hex::decode(code).expect("hex"));
        let account = Account { nonce: 1, balance: U256::from(9), code_hash: keccak256(&code) };
        let slots = [(U256::ZERO, U256::from(1))].into_iter().collect();
        state.codes.insert(account.code_hash, code);
        state.accounts.insert(address, MemoryAccount { account, slots });
    }
    let header = Header {
        number: 1,
        gas_limit: 30_000_000,
        beneficiary: AUTHOR,
        base_fee_per_gas: Some(7),
        excess_blob_gas: Some(0),
        ..Header::default()
    };
    let rules = ChainSpec::at_fork(1, Fork::Cancun).rules(&header);
    let (codes, fees) = (CodeCache::new(), FeePayment::Deferred);
    let mut kernel = Kernel::with_feeds(&rules, &header, &codes, ViewReader(&state), fees);
    let mut found = Vec::new();
    for changed in changed {
        *kernel.feeds_mut().changed_mut() = changed.iter().copied().collect();
        let call = tx(0, TxKind::Call(HERE), 0, &[]);
        let executed = kernel.transact_fed(&call).expect("valid");
        assert!(executed.result.status.is_success(), "{here}: {executed:?}");
        let fed = *kernel.feeds_mut().found();
        // Nothing of these is refunded, and no frame fails with gas left.
        assert_eq!(fed.all.gas + INTRINSIC, executed.result.gas.used, "{here}: {fed:?}");
        found.push(fed);
        // The next one finds the state as this one did.
        kernel.take();
    }
    found
}

/// Steps of all work, of what is fed, of that and what comes after a guard, and of what comes after
/// a read; reads, and guards. Slot 0 of `HERE` is changed.
fn steps(here: &str, inner: &str) -> ([u64; 4], u64, u64) {
    let found = run(here, inner, &[&[slot(HERE)], &[]]);
    let [fed, untouched] = &found[..] else { panic!("two were expected: {found:?}") };
    // Where nothing was changed nothing is fed, whatever ran before.
    let nothing = Fed { all: untouched.all, ..Fed::default() };
    assert_eq!(*untouched, nothing, "{here}");
    assert_eq!(untouched.all, fed.all, "{here}");
    let Fed { all, fed, guarded, after_read, reads, guards } = *fed;
    let kinds = [all, fed, guarded, after_read];
    assert!(
        kinds[1].gas <= kinds[2].gas && kinds[2].gas <= kinds[3].gas && kinds[3].gas <= all.gas
    );
    (kinds.map(|work| work.steps), reads, guards)
}

/// Calls `INNER` with the first word of the memory, and has what it gives at byte 64.
fn calls(code: &str, target: &str) -> String {
    let value = if code == "f1" { "6000" } else { "" };
    format!("6020604060206000{value}{target}5a{code}")
}

fn inner() -> String {
    format!("73{INNER:x}")
}

#[test]
fn a_sum_is_followed_through_memory_and_storage() {
    // SLOAD 0, ADD 1, MSTORE 0, MLOAD 0, SSTORE 1, STOP.
    assert_eq!(steps("60005460010160005260005160015500", ""), ([11, 5, 5, 10], 1, 0));
    // The same without STOP; then SLOAD 1, POP.
    let stored = "600054600101600052600051600155";
    assert_eq!(steps(&format!("{stored}6001545000"), ""), ([14, 6, 6, 13], 1, 0));
    // A constant is written over it, and loaded.
    let overwritten = format!("{stored}60056001556001545000");
    assert_eq!(steps(&overwritten, ""), ([17, 5, 5, 16], 1, 0));
    // The same in transient storage: SLOAD 0, TSTORE 1, TLOAD 1, POP.
    assert_eq!(steps("60005460015d60015c5000", ""), ([8, 3, 3, 7], 1, 0));
}

#[test]
fn words_keep_their_marks_where_they_are_moved() {
    // SLOAD 0, PUSH 2, DUP2, SWAP1, POP: the marked word and its copy are left. ADD, POP.
    assert_eq!(steps("6000546002819050015000", ""), ([9, 2, 2, 8], 1, 0));
    // PUSH 2, SLOAD 0, SWAP1, POP, POP: nobody computes with it.
    assert_eq!(steps("600260005490505000", ""), ([7, 1, 1, 5], 1, 0));
}

#[test]
fn a_branch_is_a_guard_only_where_its_condition_is_marked() {
    // PUSH 1, JUMPI over STOP; then SLOAD 0, POP.
    assert_eq!(steps("6001600657005b6000545000", ""), ([8, 1, 1, 3], 1, 0));
    // SLOAD 0, JUMPI over STOP; then PUSH 1, POP.
    assert_eq!(steps("600054600757005b60015000", ""), ([8, 2, 6, 7], 1, 1));
    // What is read where a marked word says: SLOAD (SLOAD 0), POP; MLOAD (SLOAD 0), POP.
    assert_eq!(steps("600054545000", ""), ([5, 2, 4, 4], 1, 1));
    assert_eq!(steps("600054515000", ""), ([5, 2, 4, 4], 1, 1));
}

#[test]
fn memory_is_copied_byte_by_byte() {
    // SLOAD 0, MSTORE 0, MCOPY of byte 31 to 64, MLOAD 64, POP, MLOAD 65, POP.
    let code = "6000546000526001601f60405e604051506041515000";
    assert_eq!(steps(code, ""), ([15, 4, 4, 14], 1, 0));
}

#[test]
fn marks_go_into_calls_and_come_back() {
    let stored = "600054600052";
    // CALLDATALOAD 0, ADD 1, MSTORE 0, RETURN that word.
    let adds = "60003560010160005260206000f3";
    let through = format!("{stored}{}506040515000", calls("f1", &inner()));
    assert_eq!(steps(&through, adds), ([26, 8, 8, 25], 1, 0));
    // What comes back is no more than zero: MLOAD is not fed, nor anything within but the data.
    let clears = "60003550600060005260206000f3";
    assert_eq!(steps(&through, clears), ([26, 4, 4, 25], 1, 0));
    // RETURNDATACOPY to 96, MLOAD 96.
    let copied = format!("{stored}{}506020600060603e6060515000", calls("fa", &inner()));
    assert_eq!(steps(&copied, adds).0[1], 9);
    // The identity contract gives back what it gets.
    let identity = format!("{stored}{}506040515000", calls("f1", "6004"));
    assert_eq!(steps(&identity, ""), ([17, 4, 4, 16], 1, 0));
    // A marked word is the address: SLOAD 0, DELEGATECALL.
    let (kinds, reads, guards) = steps("60006000600060006000545af45000", "");
    assert_eq!((kinds[1], reads, guards), (2, 1, 1));
    assert_eq!(kinds[2], kinds[3] - 1, "all but GAS: {kinds:?}");
}

#[test]
fn what_a_failing_frame_stored_is_gone() {
    // Within: SSTORE 1 (SLOAD 0), REVERT. Here: SLOAD 1, POP.
    let stores = "60005460015560006000fd";
    let here = format!("{}506001545000", calls("f4", &inner()));
    assert_eq!(steps(&here, stores).0[1], 2);
    // The same with STOP in place of REVERT.
    assert_eq!(steps(&here, "60005460015500").0[1], 3);
}

#[test]
fn balances_codes_and_nonces_are_read_as_well() {
    let of_inner = |code: &str, value: StateValue| {
        let found = run(&format!("{}{code}5000", inner()), "", &[&[value]]);
        (found[0].fed.steps, found[0].reads)
    };
    assert_eq!(of_inner("31", StateValue::Balance(INNER)), (1, 1));
    assert_eq!(of_inner("31", StateValue::Balance(HERE)), (0, 0));
    assert_eq!(of_inner("3b", StateValue::Code(INNER)), (1, 1));
    assert_eq!(of_inner("3f", StateValue::Balance(INNER)), (0, 0));
    let own = |code: &str, value: StateValue| run(code, "", &[&[value]])[0];
    let fed = own("475000", StateValue::Balance(HERE));
    assert_eq!((fed.all.steps, fed.fed.steps, fed.reads), (3, 1, 1));
    // CREATE without code.
    let fed = own("600060006000f05000", StateValue::Nonce(HERE));
    assert_eq!((fed.fed.steps, fed.guarded.steps, fed.reads), (1, 1, 1));
    // Other code is other work, all of it.
    let fed = own("60016002015000", StateValue::Code(HERE));
    assert_eq!((fed.fed, fed.after_read, fed.reads), (fed.all, fed.all, 1));
}

#[test]
fn a_store_depends_on_what_it_overwrites_for_its_price_alone() {
    // SSTORE 0 2; SLOAD 0, POP.
    assert_eq!(steps("60026000556000545000", ""), ([7, 1, 1, 5], 1, 0));
}
