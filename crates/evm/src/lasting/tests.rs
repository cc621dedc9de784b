//! A lasting journal against one that is emptied after each transaction.

use super::*;
use crate::{
    Executed, FeePayment, PreparedTx, ViewReader,
    kernel::tests::{AUTHOR, SENDER, tx},
};
use alloy_primitives::hex;
use fugue_chainspec::{ChainSpec, Fork};
use fugue_state::{Account, MemoryAccount, MemoryState, Overlay};
use fugue_types::{Bytes, Header, KECCAK256_EMPTY, TxKind, keccak256};

const COUNTER: Address = Address::repeat_byte(0xc0);
const RESTORER: Address = Address::repeat_byte(0xc1);
const REVERTER: Address = Address::repeat_byte(0xc2);
const MORTAL: Address = Address::repeat_byte(0xc3);
const CALLER: Address = Address::repeat_byte(0xc4);
const VACANT: Address = Address::repeat_byte(0xd0);
const OTHER: Address = Address::repeat_byte(0xd1);
/// Adds one to slot 0.
const COUNTS: &[u8] = &hex!("600054600101600055");
/// Doubles slot 0.
const DOUBLES: &[u8] = &hex!("600054800160005500");

const FORKS: [Fork; 7] = [
    Fork::Byzantium,
    Fork::Istanbul,
    Fork::London,
    Fork::Shanghai,
    Fork::Cancun,
    Fork::Prague,
    Fork::Amsterdam,
];

fn state() -> MemoryState {
    let mut state = MemoryState::default();
    let mut add = |address, nonce: u64, balance: u64, code: &[u8], slots: &[(u64, u64)]| {
        let code = Bytes::copy_from_slice(code);
        let code_hash = if code.is_empty() { KECCAK256_EMPTY } else { keccak256(&code) };
        let account = Account { nonce, balance: U256::from(balance), code_hash };
        let slots = slots.iter().map(|(slot, value)| (U256::from(*slot), U256::from(*value)));
        let slots = slots.collect();
        state.accounts.insert(address, MemoryAccount { account, slots });
        state.codes.insert(code_hash, code);
    };
    add(SENDER, 0, 1_000_000_000_000_000_000, &[], &[]);
    add(COUNTER, 1, 0, COUNTS, &[(0, 7)]);
    // Stores 1, then what was there.
    add(RESTORER, 1, 0, &hex!("60016000556007600055"), &[(0, 7)]);
    add(REVERTER, 1, 0, &hex!("600160005560006000fd"), &[(0, 7)]);
    // CALLER, SELFDESTRUCT.
    add(MORTAL, 1, 3, &hex!("33ff"), &[(1, 1)]);
    // Calls the third precompiled contract, and reverts.
    add(CALLER, 1, 0, &hex!("60006000600060006000600361fffff160006000fd"), &[]);
    add(PRECOMPILE3, 0, 0, &[], &[]);
    state
}

fn call(nonce: u64, to: Address, value: u64) -> PreparedTx {
    tx(nonce, TxKind::Call(to), value, &[])
}

/// Lets a test use kernels of one fork.
fn with_kernels<T>(
    fork: Fork,
    state: &MemoryState,
    test: impl for<'t> FnOnce([TestKernel<'t>; 2]) -> T,
) -> T {
    let header = Header {
        number: 1,
        gas_limit: 30_000_000,
        beneficiary: AUTHOR,
        base_fee_per_gas: (fork >= Fork::London).then_some(7),
        excess_blob_gas: (fork >= Fork::Cancun).then_some(0),
        ..Header::default()
    };
    let rules = ChainSpec::at_fork(1, fork).rules(&header);
    let codes = CodeCache::new();
    let kernel = || {
        let reader = ViewReader(Overlay::new(state));
        Kernel::new(&rules, &header, &codes, reader, FeePayment::Direct)
    };
    let mut lasting = kernel();
    lasting.note_changes(9);
    let mut stepping = kernel();
    stepping.list_accesses();
    test([lasting, stepping])
}

type TestKernel<'t> = Kernel<'t, ViewReader<Overlay<'t>>>;

/// Runs a transaction, and gives what it changed: slots, and accounts.
fn run(kernel: &mut TestKernel<'_>, tx: &PreparedTx) -> (Vec<(U256, U256)>, Vec<AccountDiff>) {
    kernel.transact(tx).expect("valid");
    let (changed, _) = kernel.changed().expect("noted");
    let slots = changed.slots().iter().map(|slot| (slot.before, slot.after));
    (slots.collect(), changed.accounts().to_vec())
}

/// Runs a transaction, and gives one of the accounts before and after it.
fn other(kernel: &mut TestKernel<'_>, tx: &PreparedTx) -> (Option<Account>, Option<Account>) {
    let (_, accounts) = run(kernel, tx);
    let found = accounts.iter().find(|change| change.address == OTHER);
    found.map(|change| (change.before, change.after)).expect("it was touched")
}

/// Runs transactions in both kernels, and compares them after each; gives the diffs.
fn compare(fork: Fork, txs: &[PreparedTx]) -> Vec<StateDiff> {
    let state = state();
    with_kernels(fork, &state, |[mut lasting, mut stepping]| {
        let mut diffs = Vec::new();
        for (index, tx) in txs.iter().enumerate() {
            let what = format!("{fork}, transaction {index}");
            let expected: Executed = stepping.transact(tx).expect("valid");
            let (diff, reads) = stepping.take();
            stepping.reader_mut().0.push(&diff).expect("it follows");

            assert_eq!(lasting.transact(tx).expect("valid"), expected, "{what}");
            let (changed, reader) = lasting.changed().expect("noted");
            let found = changed.to_diff();
            assert_eq!(found, StateDiff { codes: Vec::new(), ..diff.clone() }, "{what}");
            assert!(changed.begun().iter().all(|slot| reads.seen.contains(slot)), "{what}");
            let is_whole = |change: &AccountDiff| {
                change.wiped || change.after.is_none_or(|after| after.is_empty())
            };
            assert!(!changed.is_plain() || !diff.accounts.iter().any(is_whole), "{what}");
            reader.0.push(&diff).expect("it follows");
            diffs.push(diff);
        }
        diffs
    })
}

#[test]
fn each_transaction_tells_what_it_changes_alone() {
    let txs = [
        call(0, COUNTER, 0),
        call(1, OTHER, 5),
        call(2, RESTORER, 0),
        call(3, COUNTER, 0),
        call(4, REVERTER, 0),
        call(5, VACANT, 0),
        // Stores, and deploys one byte.
        tx(6, TxKind::Create, 0, &hex!("600160005560016000f3")),
        // Reads a slot, and reverts.
        tx(7, TxKind::Create, 0, &hex!("6005545060006000fd")),
        // Stores, and ends itself.
        tx(8, TxKind::Create, 4, &hex!("600160005533ff")),
        call(9, MORTAL, 0),
        call(10, MORTAL, 2),
        call(11, MORTAL, 0),
        call(12, VACANT, 1),
        call(13, COUNTER, 0),
        call(14, AUTHOR, 1),
    ];
    for fork in FORKS {
        let diffs = compare(fork, &txs);
        let is_wiped = |diff: &StateDiff| diff.accounts.iter().any(|account| account.wiped);
        assert_eq!(diffs.iter().any(is_wiped), fork < Fork::Cancun, "{fork}");
    }
}

/// Source: Yellow Paper, appendix K.1.
#[test]
fn the_third_precompiled_contract_is_cleared_though_its_touch_was_reverted() {
    for fork in FORKS {
        let diffs = compare(fork, &[call(0, COUNTER, 0), call(1, CALLER, 0), call(2, CALLER, 0)]);
        let is_third = |change: &&AccountDiff| change.address == PRECOMPILE3;
        let gone = diffs[1].accounts.iter().find(is_third).expect("it was there");
        assert_eq!((gone.before, gone.after), (Some(Account::default()), None), "{fork}");
        assert!(!diffs[2].accounts.iter().any(|change| is_third(&change)), "{fork}");
    }
}

#[test]
fn what_others_have_left_is_what_the_next_transaction_comes_upon() {
    let mut state = state();
    let hash = keccak256(DOUBLES);
    state.codes.insert(hash, Bytes::from_static(DOUBLES));
    with_kernels(Fork::Shanghai, &state, |[mut kernel, _]| {
        let pair = |before: u64, after: u64| vec![(U256::from(before), U256::from(after))];
        assert_eq!(run(&mut kernel, &call(0, COUNTER, 0)).0, pair(7, 8));
        kernel.put_slot(&COUNTER, &U256::ZERO, U256::from(41));
        assert_eq!(run(&mut kernel, &call(1, COUNTER, 0)).0, pair(41, 42));
        assert_eq!(kernel.loaded_slot(&COUNTER, &U256::ZERO), Some(U256::from(42)));
        // Two others of the sender, and a payment to it.
        kernel.put_field(&SENDER, FieldValue::Nonce(4));
        kernel.put_field(&SENDER, FieldValue::Balance(U256::from(10).pow(U256::from(9))));
        kernel.put_field(&COUNTER, FieldValue::CodeHash(hash));
        let (slots, accounts) = run(&mut kernel, &call(4, COUNTER, 0));
        assert_eq!(slots, pair(42, 84));
        let sender = accounts.iter().find(|change| change.address == SENDER).expect("it paid");
        let before = sender.before.expect("it is there");
        assert_eq!((before.nonce, before.balance), (4, U256::from(10).pow(U256::from(9))));
        // What was not loaded is not there; what is dropped is read again.
        kernel.put_slot(&COUNTER, &U256::from(9), U256::from(1));
        assert_eq!(kernel.loaded_slot(&COUNTER, &U256::from(9)), None);
        assert_eq!(kernel.loaded_slot(&OTHER, &U256::ZERO), None);
        kernel.put_field(&OTHER, FieldValue::Nonce(1));
        kernel.drop_slots(&COUNTER);
        assert_eq!(run(&mut kernel, &call(5, COUNTER, 0)).0, pair(7, 14));
        kernel.forget();
        assert_eq!(run(&mut kernel, &call(0, COUNTER, 0)).0, pair(7, 8));
    });
}

#[test]
fn an_account_that_others_emptied_is_gone_and_may_come_back() {
    let state = state();
    with_kernels(Fork::Shanghai, &state, |[mut kernel, _]| {
        let owns =
            |balance: u64| Some(Account { balance: U256::from(balance), ..Account::default() });
        assert_eq!(other(&mut kernel, &call(0, OTHER, 5)), (None, owns(5)));
        kernel.put_field(&OTHER, FieldValue::Balance(U256::ZERO));
        assert_eq!(other(&mut kernel, &call(1, OTHER, 0)), (None, None));
        assert_eq!(other(&mut kernel, &call(2, OTHER, 3)), (None, owns(3)));
        kernel.put_field(&OTHER, FieldValue::Balance(U256::from(9)));
        assert_eq!(other(&mut kernel, &call(3, OTHER, 1)), (owns(9), owns(10)));
    });
}
