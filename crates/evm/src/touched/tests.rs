//! What is noted of the transactions of one journal, and what follows from it.

use super::*;
use crate::{
    CodeCache, Executed, Fault, FeePayment, JournalRoom, Kernel, PreparedTx, ViewReader,
    kernel::tests::block_at,
};
use alloy_consensus::{Signed, TxEip2930, TxLegacy};
use alloy_primitives::Signature;
use fugue_chainspec::Fork;
use fugue_state::{MemoryAccount, MemoryState};
use fugue_types::{KECCAK256_EMPTY, Transaction, TxKind, TxStatus, keccak256};
use revm::context_interface::transaction::{AccessList, AccessListItem};

const SENDER: Address = Address::repeat_byte(0xa1);
const POOR: Address = Address::repeat_byte(0xa2);
const CONTRACT: Address = Address::repeat_byte(0xc0);
const INNER: Address = Address::repeat_byte(0xc1);
const OTHER: Address = Address::repeat_byte(0xd0);
const AUTHOR: Address = Address::repeat_byte(0xfe);
const GAS: u64 = 1_000_000;
const GAS_PRICE: u64 = 10;
/// Stores: SSTORE(CALLDATALOAD(0), CALLDATALOAD(32)).
const STORES: &[u8] = &[0x60, 32, 0x35, 0x60, 0, 0x35, 0x55];
/// Ends itself: SELFDESTRUCT(CALLER).
const ENDS: &[u8] = &[0x33, 0xff];

/// PUSH20 of an address.
fn push(address: Address) -> Vec<u8> {
    [&[0x73][..], address.as_slice()].concat()
}

/// Calls an account with some wei: CALL(GAS, address, value, 0, 0, 0, 0).
fn calls(address: Address, value: u8) -> Vec<u8> {
    let zeros = [0x60, 0, 0x60, 0, 0x60, 0, 0x60, 0, 0x60, value];
    [&zeros[..], &push(address)[..], &[0x5a, 0xf1, 0x50][..]].concat()
}

/// Applies an instruction of one operand and one result to an address.
fn asks(instruction: u8, address: Address) -> Vec<u8> {
    [&push(address)[..], &[instruction, 0x50][..]].concat()
}

/// A contract with this balance, code and slots.
type Contract<'c> = (Address, u64, &'c [u8], &'c [(u64, u64)]);

fn state(contracts: &[Contract<'_>]) -> MemoryState {
    let mut state = MemoryState::default();
    let balance = U256::from(10).pow(U256::from(18));
    let account = Account { nonce: 0, balance, code_hash: KECCAK256_EMPTY };
    state.accounts.insert(SENDER, MemoryAccount { account, ..MemoryAccount::default() });
    for (address, balance, code, slots) in contracts {
        let code = Bytes::copy_from_slice(code);
        let balance = U256::from(*balance);
        let account = Account { nonce: 1, balance, code_hash: keccak256(&code) };
        state.codes.insert(account.code_hash, code);
        let slots = slots.iter().map(|(slot, value)| (U256::from(*slot), U256::from(*value)));
        let slots = slots.collect();
        state.accounts.insert(*address, MemoryAccount { account, slots });
    }
    state
}

fn signature() -> Signature {
    // The sender is given: nobody looks at the signature.
    Signature::new(U256::ONE, U256::ONE, false)
}

fn tx_of(sender: Address, nonce: u64, to: TxKind, value: u64, input: &[u8]) -> PreparedTx {
    let tx = TxLegacy {
        chain_id: None,
        nonce,
        gas_price: u128::from(GAS_PRICE),
        gas_limit: GAS,
        to,
        value: U256::from(value),
        input: Bytes::copy_from_slice(input),
    };
    let tx = Transaction::Legacy(Signed::new_unhashed(tx, signature()));
    PreparedTx::new(&tx, sender).expect("type 0 is known")
}

fn call(nonce: u64, to: Address, value: u64) -> PreparedTx {
    tx_of(SENDER, nonce, TxKind::Call(to), value, &[])
}

/// Input of a contract that stores.
fn stored(slot: u64, value: u64) -> Vec<u8> {
    [slot, value].map(|word| U256::from(word).to_be_bytes::<32>()).concat()
}

fn store(nonce: u64, slot: u64, value: u64) -> PreparedTx {
    tx_of(SENDER, nonce, TxKind::Call(CONTRACT), 0, &stored(slot, value))
}

/// As `store`, with an access list that names some slots of the contract.
fn store_listing(nonce: u64, slot: u64, value: u64, listed: &[u64]) -> PreparedTx {
    let storage_keys = listed.iter().map(|slot| B256::from(U256::from(*slot))).collect();
    let items = vec![
        AccessListItem { address: CONTRACT, storage_keys },
        AccessListItem { address: OTHER, storage_keys: vec![B256::ZERO] },
    ];
    let tx = TxEip2930 {
        chain_id: 1,
        nonce,
        gas_price: u128::from(GAS_PRICE),
        gas_limit: GAS,
        to: TxKind::Call(CONTRACT),
        value: U256::ZERO,
        access_list: AccessList(items),
        input: stored(slot, value).into(),
    };
    let tx = Transaction::Eip2930(Signed::new_unhashed(tx, signature()));
    PreparedTx::new(&tx, SENDER).expect("type 1 is known")
}

/// Lends a kernel over the state that notes touches.
fn with_kernel<T>(
    fork: Fork,
    state: &MemoryState,
    body: impl FnOnce(Kernel<'_, ViewReader<&MemoryState>>) -> T,
) -> T {
    let (header, rules) = block_at(fork);
    let codes = CodeCache::new();
    let mut kernel = Kernel::new(&rules, &header, &codes, ViewReader(state), FeePayment::Deferred);
    kernel.note_touches(Touched::default());
    body(kernel)
}

/// Runs transactions in one journal; gives what they did and touched.
fn run(fork: Fork, state: &MemoryState, txs: &[PreparedTx]) -> (Vec<Executed>, Touched) {
    with_kernel(fork, state, |mut kernel| {
        let executed = txs.iter().map(|tx| kernel.transact(tx).expect("valid")).collect();
        (executed, kernel.take_touched())
    })
}

/// Accounts that a transaction touched, in the order of their addresses.
fn addresses(touched: &Touched, tx: usize) -> Vec<Address> {
    let mut addresses: Vec<_> = touched.of(tx).0.iter().map(|touch| touch.address).collect();
    addresses.sort_unstable();
    addresses
}

fn account(touched: &Touched, tx: usize, address: Address) -> &AccountTouch {
    let found = touched.of(tx).0.iter().find(|touch| touch.address == address);
    found.expect("it was touched")
}

/// Account, slot, and values before and after, in the order of the slots.
fn slots(touched: &Touched, tx: usize) -> Vec<(Address, u64, u64, u64)> {
    let numbers = |touch: &SlotTouch| {
        let SlotTouch { address, slot, before, after } = *touch;
        (address, slot.to::<u64>(), before.to::<u64>(), after.to::<u64>())
    };
    let mut slots: Vec<_> = touched.of(tx).1.iter().map(numbers).collect();
    slots.sort_unstable();
    slots
}

/// Accounts of the first transaction that have some property, in the order of their addresses.
fn first_with(touched: &Touched, has: impl Fn(&AccountTouch) -> bool) -> Vec<Address> {
    let touches = touched.of(0).0.iter().filter(|touch| has(touch));
    let mut addresses: Vec<_> = touches.map(|touch| touch.address).collect();
    addresses.sort_unstable();
    addresses
}

#[test]
fn a_transaction_is_noted_with_what_those_before_it_have_left() {
    let state = state(&[(CONTRACT, 0, STORES, &[(0, 7)])]);
    for fork in [Fork::Byzantium, Fork::Istanbul, Fork::Berlin, Fork::Osaka] {
        let txs = [store(0, 0, 8), store(1, 0, 9), store(2, 0, 9), store(3, 1, 5)];
        let (_, touched) = run_paying(fork, &state, &txs);
        assert_eq!(touched.len(), 4, "{fork}");
        let expected = [(0, 7, 8), (0, 8, 9), (0, 9, 9), (1, 0, 5)];
        let mut sender = Some(state.accounts[&SENDER].account);
        for (tx, (slot, before, after)) in expected.into_iter().enumerate() {
            assert_eq!(addresses(&touched, tx), [SENDER, CONTRACT], "{fork}, {tx}");
            assert_eq!(slots(&touched, tx), [(CONTRACT, slot, before, after)], "{fork}, {tx}");
            let touch = account(&touched, tx, SENDER);
            assert_eq!(touch.before, sender, "{fork}, {tx}");
            sender = touch.after;
            assert_eq!(sender.map(|sender| sender.nonce), Some(tx as u64 + 1), "{fork}");
            assert!(touch.is_change(), "{fork}, {tx}");
            // Its slots are no part of an account.
            assert!(!account(&touched, tx, CONTRACT).is_change(), "{fork}, {tx}");
        }
        assert_eq!(touched.of(4), (&[][..], &[][..]), "{fork}");
    }
}

/// As `run`, where all that senders lose is fees, which are left to be paid.
fn run_paying(fork: Fork, state: &MemoryState, txs: &[PreparedTx]) -> (Vec<Executed>, Touched) {
    let (executed, touched) = run(fork, state, txs);
    let paid = |tx: usize| {
        let AccountTouch { before, after, .. } = account(&touched, tx, SENDER);
        before.unwrap_or_default().balance - after.unwrap_or_default().balance
    };
    for (tx, Executed { result, fee_due, .. }) in executed.iter().enumerate() {
        assert_eq!(result.status, TxStatus::Success, "{fork}, {tx}");
        let fee = U256::from(result.gas.used * GAS_PRICE);
        assert_eq!((paid(tx), *fee_due), (fee, Some(fee)), "{fork}, {tx}");
    }
    (executed, touched)
}

#[test]
fn tags_tell_of_the_same_accounts_in_the_same_order() {
    let state = state(&[(CONTRACT, 0, STORES, &[])]);
    let txs = [store(0, 0, 8), call(1, OTHER, 1), store(2, 0, 9)];
    let (_, touched) = run(Fork::Istanbul, &state, &txs);
    for tx in 0..3 {
        let expected = touched.of(tx).0.iter().map(|touch| (tag(&touch.address), tx as u32));
        assert_eq!(touched.tags_of(tx), expected.collect::<Vec<_>>());
    }
    let found = touched.with_tags(|found| found == tag(&CONTRACT));
    let found: Vec<_> = found.map(|(tx, touch)| (tx, touch.address)).collect();
    assert_eq!(found, [(0, CONTRACT), (2, CONTRACT)]);
    let mut touched = touched;
    touched.clear();
    assert!(touched.is_empty() && touched.tags_of(0).is_empty());
}

#[test]
fn what_a_frame_came_upon_that_was_reverted_is_noted() {
    // SLOAD(1), SSTORE(0, 5), REVERT(0, 0)
    let reverts = [0x60, 1, 0x54, 0x50, 0x60, 5, 0x60, 0, 0x55, 0x60, 0, 0x60, 0, 0xfd];
    let outer = calls(INNER, 3);
    let state = state(&[(CONTRACT, 10, &outer, &[]), (INNER, 0, &reverts, &[(0, 7), (1, 9)])]);
    let expected = [(INNER, 0, 7, 7), (INNER, 1, 9, 9)];
    for fork in [Fork::Istanbul, Fork::Berlin] {
        let txs = [call(0, CONTRACT, 0), call(1, CONTRACT, 0), call(2, INNER, 0)];
        let (executed, touched) = run(fork, &state, &txs);
        assert_eq!(executed[1].result.status, TxStatus::Success, "{fork}");
        assert_eq!(executed[2].result.status, TxStatus::Revert, "{fork}");
        for tx in 0..2 {
            assert_eq!(addresses(&touched, tx), [SENDER, CONTRACT, INNER], "{fork}");
            let outer = account(&touched, tx, CONTRACT);
            // It must have had them, though it has them still.
            assert_eq!((outer.spends, outer.before), (U256::from(3), outer.after), "{fork}");
        }
        for tx in 0..3 {
            assert_eq!(slots(&touched, tx), expected, "{fork}, {tx}");
        }
        assert_eq!(addresses(&touched, 2), [SENDER, INNER], "{fork}");
    }
}

/// The account that pays is come upon in a frame that is taken back later than the payment.
#[test]
fn who_pays_in_a_frame_within_a_reverted_one_must_have_had_it() {
    const MIDDLE: Address = Address::repeat_byte(0xc2);
    let reverts = [0x60, 0, 0x60, 0, 0xfd];
    let [outer, middle, inner] = [calls(MIDDLE, 0), calls(INNER, 0), calls(OTHER, 1)];
    let middle = [&middle[..], &reverts[..]].concat();
    let state = state(&[
        (CONTRACT, 0, &outer, &[]),
        (MIDDLE, 0, &middle, &[]),
        (INNER, 5, &inner, &[]),
        (OTHER, 0, &reverts, &[]),
    ]);
    for fork in [Fork::Istanbul, Fork::Berlin] {
        let (_, touched) = run(fork, &state, &[call(0, CONTRACT, 0), call(1, CONTRACT, 0)]);
        for tx in 0..2 {
            let expected = [SENDER, CONTRACT, INNER, MIDDLE, OTHER];
            assert_eq!(addresses(&touched, tx), expected, "{fork}, {tx}");
            let payer = account(&touched, tx, INNER);
            assert_eq!((payer.spends, payer.before), (U256::ONE, payer.after), "{fork}, {tx}");
        }
    }
}

/// The same keys, in one account and another by turns, and again in a frame that is reverted.
#[test]
fn slots_are_those_of_their_accounts_however_they_are_mixed() {
    // SSTORE(slot, SLOAD(slot) + 1)
    let adds = |slot: u8| vec![0x60, slot, 0x54, 0x60, 1, 0x01, 0x60, slot, 0x55];
    let inner = [adds(0), adds(1)].concat();
    let reverts = [&adds(1)[..], &calls(INNER, 0)[..], &[0x60, 0, 0x60, 0, 0xfd][..]].concat();
    let to = |address| calls(address, 0);
    let outer = [adds(0), to(INNER), adds(1), to(OTHER), adds(2), to(INNER), adds(0)].concat();
    let state = state(&[
        (CONTRACT, 0, &outer, &[(0, 10), (1, 20), (2, 30)]),
        (INNER, 0, &inner, &[(0, 40), (1, 50)]),
        (OTHER, 0, &reverts, &[(1, 60)]),
    ]);
    for fork in [Fork::Istanbul, Fork::Berlin] {
        let (executed, touched) = run(fork, &state, &[call(0, CONTRACT, 0), call(1, CONTRACT, 0)]);
        assert_eq!(executed.len(), 2);
        for (tx, executed) in executed.iter().enumerate() {
            assert_eq!(executed.result.status, TxStatus::Success, "{fork}, {tx}");
            let of = |address: Address, slot: u64, first: u64, step: u64| {
                let before = first + tx as u64 * step;
                (address, slot, before, before + step)
            };
            let expected = [
                of(CONTRACT, 0, 10, 2),
                of(CONTRACT, 1, 20, 1),
                of(CONTRACT, 2, 30, 1),
                of(INNER, 0, 40, 2),
                of(INNER, 1, 50, 2),
                of(OTHER, 1, 60, 0),
            ];
            assert_eq!(slots(&touched, tx), expected, "{fork}, {tx}");
            assert_eq!(addresses(&touched, tx), [SENDER, CONTRACT, INNER, OTHER], "{fork}, {tx}");
        }
    }
}

#[test]
fn a_listed_slot_is_noted_once_if_it_is_come_upon_and_not_otherwise() {
    let state = state(&[(CONTRACT, 0, STORES, &[(0, 7), (5, 1)])]);
    let txs = [
        store_listing(0, 0, 8, &[0, 5]),
        store(1, 5, 2),
        // Slot 5 is in the journal; this one does not look at it.
        store_listing(2, 0, 9, &[0, 5]),
        store_listing(3, 5, 3, &[0]),
        store_listing(4, 5, 3, &[0, 5, 6]),
    ];
    let (_, touched) = run(Fork::Berlin, &state, &txs);
    let expected = [(0, 7, 8), (5, 1, 2), (0, 8, 9), (5, 2, 3), (5, 3, 3)];
    for (tx, (slot, before, after)) in expected.into_iter().enumerate() {
        assert_eq!(slots(&touched, tx), [(CONTRACT, slot, before, after)], "{tx}");
        assert_eq!(addresses(&touched, tx), [SENDER, CONTRACT], "{tx}");
    }
}

#[test]
fn of_a_balance_it_is_noted_whether_more_was_seen_than_that_it_suffices() {
    let creates = |value| vec![0x60, 0, 0x60, 0, 0x60, value, 0xf0, 0x50];
    let cases: [(&str, Vec<u8>, u64, &[Address]); 12] = [
        ("nothing", vec![0], 10, &[]),
        ("SSTORE", STORES.to_vec(), 10, &[]),
        ("BALANCE", asks(0x31, OTHER), 10, &[OTHER]),
        ("SELFBALANCE", vec![0x47, 0x50], 10, &[CONTRACT]),
        ("EXTCODESIZE", asks(0x3b, OTHER), 10, &[]),
        // An account that is empty has no hash of a code.
        ("EXTCODEHASH", asks(0x3f, OTHER), 10, &[OTHER]),
        ("SELFDESTRUCT", ENDS.to_vec(), 10, &[CONTRACT]),
        ("CALL with value", calls(OTHER, 1), 10, &[]),
        ("CALL without funds", calls(OTHER, 1), 0, &[CONTRACT]),
        ("CREATE", creates(0), 10, &[]),
        ("CREATE with value", creates(1), 10, &[CONTRACT]),
        ("CREATE without funds", creates(1), 0, &[CONTRACT]),
    ];
    for (name, code, balance, expected) in cases {
        let state = state(&[(CONTRACT, balance, &code, &[])]);
        let (executed, touched) = run(Fork::Istanbul, &state, &[call(0, CONTRACT, 0)]);
        assert_eq!(executed[0].result.status, TxStatus::Success, "{name}");
        assert_eq!(first_with(&touched, |touch| touch.is_balance_seen), expected, "{name}");
    }
    let state = state(&[]);
    for (to, expected) in [(OTHER, vec![]), (SENDER, vec![SENDER])] {
        let (_, touched) = run(Fork::Istanbul, &state, &[call(0, to, 1)]);
        assert_eq!(first_with(&touched, |touch| touch.is_balance_seen), expected, "{to}");
    }
}

#[test]
fn what_an_account_has_to_have_is_what_it_pays() {
    let twice = [calls(OTHER, 2), calls(OTHER, 3)].concat();
    let state = state(&[(CONTRACT, 10, &twice, &[])]);
    let (_, touched) = run(Fork::Istanbul, &state, &[call(0, CONTRACT, 7)]);
    let sender = account(&touched, 0, SENDER);
    // The check before the transaction asks for all of its gas.
    let least = U256::from(GAS * GAS_PRICE + 7);
    assert!(sender.spends >= least && sender.spends <= least + U256::from(7), "{sender:?}");
    assert_eq!(account(&touched, 0, CONTRACT).spends, U256::from(5));
    assert_eq!(account(&touched, 0, OTHER).spends, U256::ZERO);
    let contract = account(&touched, 0, CONTRACT);
    let balances = [contract.before, contract.after].map(|it| it.map(|it| it.balance));
    assert_eq!(balances, [Some(U256::from(10)), Some(U256::from(12))]);
}

#[test]
fn a_nonce_is_seen_where_an_account_sends_or_contracts_are_created() {
    let creates = [0x60, 0, 0x60, 0, 0x60, 0, 0xf0, 0x50];
    let state = state(&[(CONTRACT, 0, &creates, &[]), (INNER, 0, STORES, &[])]);
    let seen = |tx: PreparedTx| {
        let (_, touched) = run(Fork::Istanbul, &state, &[tx]);
        let (all, seen) = (addresses(&touched, 0), first_with(&touched, |it| it.is_nonce_seen));
        (all, seen)
    };
    assert_eq!(seen(call(0, INNER, 0)), (vec![SENDER, INNER], vec![SENDER]));
    let (all, some) = seen(call(0, CONTRACT, 0));
    assert_eq!(all, some);
    assert!(all.contains(&CONTRACT.create(1)), "{all:?}");
    let (all, some) = seen(tx_of(SENDER, 0, TxKind::Create, 0, &[]));
    assert_eq!(all, some);
    assert!(all.contains(&SENDER.create(0)), "{all:?}");
}

#[test]
fn a_created_account_is_noted_as_such_with_its_code() {
    // Deploys one byte: RETURN(0, 1).
    let deploys = [0x60, 1, 0x60, 0, 0xf3];
    let state = state(&[]);
    let txs = [tx_of(SENDER, 0, TxKind::Create, 0, &deploys), call(1, SENDER.create(0), 5)];
    let (_, touched) = run(Fork::Istanbul, &state, &txs);
    let code = Bytes::from_static(&[0]);
    let created = account(&touched, 0, SENDER.create(0));
    assert_eq!((created.before, created.is_created), (None, true));
    let code_hash = keccak256(&code);
    let expected = Account { nonce: 1, balance: U256::ZERO, code_hash };
    assert_eq!(created.after, Some(expected));
    assert_eq!(touched.codes(), [(code_hash, code)]);
    let later = account(&touched, 1, SENDER.create(0));
    assert_eq!((later.before, later.is_created), (Some(expected), false));
    assert_eq!(later.after, Some(Account { balance: U256::from(5), ..expected }));
}

#[test]
fn a_destroyed_account_is_none_to_the_next_transaction() {
    let state = state(&[(CONTRACT, 3, ENDS, &[(1, 1)])]);
    let (_, touched) = run(Fork::Istanbul, &state, &[call(0, CONTRACT, 0), call(1, CONTRACT, 5)]);
    let ended = account(&touched, 0, CONTRACT);
    assert_eq!((ended.after, ended.is_destroyed), (None, true));
    assert!(ended.before.is_some() && ended.is_change());
    let back = account(&touched, 1, CONTRACT);
    assert_eq!((back.before, back.is_destroyed), (None, false));
    assert_eq!(back.after, Some(Account { balance: U256::from(5), ..Account::default() }));
}

#[test]
fn a_refused_transaction_leaves_no_note() {
    let state = state(&[(CONTRACT, 0, STORES, &[(0, 7)])]);
    with_kernel(Fork::Istanbul, &state, |mut kernel| {
        kernel.transact(&store(0, 0, 8)).expect("valid");
        let poor = tx_of(POOR, 0, TxKind::Call(CONTRACT), 0, &[]);
        for refused in [store(5, 0, 9), store(0, 0, 9), poor] {
            let refused = kernel.transact(&refused);
            assert!(matches!(refused, Err(Fault::Invalid(_))), "{refused:?}");
            assert_eq!(kernel.touched().map(Touched::len), Some(1));
        }
        kernel.transact(&store(1, 0, 9)).expect("valid");
        let touched = kernel.take_touched();
        assert_eq!(addresses(&touched, 1), [SENDER, CONTRACT]);
        assert_eq!(slots(&touched, 1), [(CONTRACT, 0, 8, 9)]);
        assert_eq!(account(&touched, 1, SENDER).before, account(&touched, 0, SENDER).after);
        assert!(kernel.touched().is_none(), "they were taken out");
    });
}

#[test]
fn a_sender_is_taken_to_have_sent_what_is_missing() {
    let state = state(&[(CONTRACT, 0, STORES, &[(0, 7)])]);
    with_kernel(Fork::Istanbul, &state, |mut kernel| {
        let (is_assumed, executed) = kernel.transact_assuming(&store(3, 0, 8));
        assert!(is_assumed && executed.is_ok(), "{executed:?}");
        let (is_assumed, executed) = kernel.transact_assuming(&store(4, 0, 9));
        assert!(!is_assumed && executed.is_ok(), "{executed:?}");
        // Nobody is taken not to have sent what was.
        let (is_assumed, executed) = kernel.transact_assuming(&store(2, 0, 10));
        assert!(!is_assumed && matches!(executed, Err(Fault::Invalid(_))), "{executed:?}");
        let (is_assumed, executed) = kernel.transact_assuming(&store(8, 0, 11));
        assert!(is_assumed && executed.is_ok(), "{executed:?}");
        let history = kernel.into_history();
        let touched = &history.touched;
        assert_eq!(touched.len(), 3);
        for (tx, nonce) in [3, 4, 8].into_iter().enumerate() {
            let AccountTouch { before, after, .. } = account(touched, tx, SENDER);
            let nonces = [before, after].map(|it| it.map(|it| it.nonce));
            assert_eq!(nonces, [Some(nonce), Some(nonce + 1)]);
        }
        assert_eq!(slots(touched, 2), [(CONTRACT, 0, 9, 11)]);
        assert!(history.has_changed(&SENDER) && history.has_loaded(&CONTRACT));
        assert!(history.has_loaded_slot(&CONTRACT, &U256::ZERO));
        assert!(!history.has_loaded(&OTHER) && !history.has_changed(&AUTHOR));
    });
}

#[test]
fn each_of_many_accounts_and_slots_is_noted_once() {
    const COUNT: u8 = 40;
    assert!(usize::from(COUNT) > LINEAR_MAX);
    // BALANCE of each, and SLOAD of a slot for each, then REVERT(0, 0); all of it twice.
    let look = |number: u8| [0x60, 0x40 + number, 0x31, 0x50, 0x60, number, 0x54, 0x50];
    let mut inner: Vec<u8> = (0..COUNT).flat_map(look).collect();
    inner.extend([0x60, 0, 0x60, 0, 0xfd]);
    let outer = [calls(INNER, 0), calls(INNER, 0)].concat();
    let state = state(&[(CONTRACT, 0, &outer, &[]), (INNER, 0, &inner, &[])]);
    let (executed, touched) = run(Fork::Istanbul, &state, &[call(0, CONTRACT, 0)]);
    assert_eq!(executed[0].result.status, TxStatus::Success);
    let looked_at = (0..COUNT).map(|number| Address::with_last_byte(0x40 + number));
    let looked_at: Vec<_> = looked_at.collect();
    let expected = [&looked_at[..], &[SENDER, CONTRACT, INNER][..]].concat();
    assert_eq!(addresses(&touched, 0), expected);
    assert_eq!(first_with(&touched, |touch| touch.is_balance_seen), looked_at);
    let expected: Vec<_> = (0..u64::from(COUNT)).map(|slot| (INNER, slot, 0, 0)).collect();
    assert_eq!(slots(&touched, 0), expected);
}

fn some(nonce: u64, balance: u64) -> Option<Account> {
    Some(Account { nonce, balance: U256::from(balance), code_hash: KECCAK256_EMPTY })
}

/// A touch of which nothing but this is noted.
fn touch(before: Option<Account>, after: Option<Account>) -> AccountTouch {
    AccountTouch {
        address: OTHER,
        before,
        after,
        spends: U256::ZERO,
        is_balance_seen: false,
        is_nonce_seen: false,
        is_created: false,
        is_destroyed: false,
    }
}

#[test]
fn a_touch_holds_where_nothing_is_different_that_was_seen() {
    let base = touch(some(1, 10), some(1, 4));
    let spending = AccountTouch { spends: U256::from(6), ..base.clone() };
    let seeing = AccountTouch { is_balance_seen: true, ..base.clone() };
    let sending = AccountTouch { is_nonce_seen: true, ..base.clone() };
    let none = touch(None, some(0, 5));
    let coded = |nonce, balance| {
        let account = some(nonce, balance)?;
        Some(Account { code_hash: B256::repeat_byte(1), ..account })
    };
    let cases = [
        ("the same", &base, some(1, 10), true),
        ("more", &base, some(1, 11), true),
        ("less", &base, some(1, 1), true),
        ("another nonce", &base, some(2, 10), true),
        ("another code", &base, coded(1, 10), false),
        ("gone", &base, None, false),
        ("just enough", &spending, some(1, 6), true),
        ("too little", &spending, some(1, 5), false),
        ("more, seen", &seeing, some(1, 11), false),
        ("the same, seen", &seeing, some(2, 10), true),
        ("another nonce, seen", &sending, some(2, 10), false),
        ("the same nonce, seen", &sending, some(1, 9), true),
        ("still none", &none, None, true),
        ("there", &none, some(0, 1), false),
    ];
    for (name, touch, now, expected) in cases {
        assert_eq!(touch.holds(now), expected, "{name}");
    }
}

#[test]
fn a_rebased_account_changes_by_as_much() {
    let base = touch(some(1, 10), some(2, 4));
    assert_eq!(base.rebased(some(1, 10)), some(2, 4));
    assert_eq!(base.rebased(some(5, 100)), some(6, 94));
    assert_eq!(touch(some(1, 10), some(1, 15)).rebased(some(1, 3)), some(1, 8));
    assert_eq!(touch(None, some(0, 5)).rebased(None), some(0, 5));
    assert_eq!(touch(None, None).rebased(None), None);
    // What is left with nothing is none.
    assert_eq!(touch(some(0, 10), some(0, 4)).rebased(some(0, 6)), None);
    let ended = AccountTouch { is_destroyed: true, ..touch(some(1, 10), None) };
    assert_eq!(ended.rebased(some(1, 25)), None);
    let code_hash = B256::repeat_byte(1);
    let coded = some(1, 10).map(|account| Account { code_hash, ..account });
    let delegated = touch(some(1, 10), coded);
    assert_eq!(delegated.rebased(some(1, 10)), coded);
    assert!(delegated.is_change() && !touch(coded, coded).is_change());
    let anew = AccountTouch { is_created: true, ..touch(coded, coded) };
    assert!(anew.is_change());
}

/// As for those who run transactions again, each in an empty journal, and keep their notes.
#[test]
fn notes_go_on_where_the_journal_is_forgotten() {
    let state = state(&[(CONTRACT, 0, STORES, &[(1, 3)])]);
    let (first, second) = with_kernel(Fork::Istanbul, &state, |mut kernel| {
        let mut first = Touched::default();
        for value in [5, 6] {
            kernel.swap_touched(&mut first);
            kernel.transact(&store(0, 1, value)).expect("valid");
            kernel.swap_touched(&mut first);
            kernel.forget();
        }
        // What is refused leaves nothing.
        kernel.transact(&store(9, 1, 7)).expect_err("its nonce is too high");
        kernel.forget();
        (first, kernel.take_touched())
    });
    assert_eq!((first.len(), second.len()), (2, 0));
    for (tx, value) in [5, 6].into_iter().enumerate() {
        let (accounts, slots) = first.of(tx);
        let nonces = accounts.iter().filter(|touch| touch.address == SENDER);
        let nonces: Vec<_> = nonces.map(|touch| touch.before.map(|it| it.nonce)).collect();
        assert_eq!(nonces, [Some(0)], "it is as in the state");
        let [slot] = slots else { panic!("{slots:?}") };
        assert_eq!((slot.before, slot.after), (U256::from(3), U256::from(value)));
    }
}

#[test]
fn a_journal_in_the_room_of_another_one_begins_with_nothing() {
    let state = state(&[(CONTRACT, 0, STORES, &[(0, 7)])]);
    let txs = [store(0, 0, 8), store(1, 1, 9)];
    let history = |room: JournalRoom| {
        with_kernel(Fork::Istanbul, &state, |mut kernel| {
            kernel.use_room(room);
            for tx in &txs {
                kernel.transact(tx).expect("valid");
                // One that has begun keeps what it has.
                kernel.use_room(JournalRoom::default());
            }
            kernel.into_history()
        })
    };
    let [first, plain, none] = [(); 3].map(|()| history(JournalRoom::default()));
    let room = first.into_room(64);
    let (accounts, slots) = room.capacity();
    assert!(accounts >= 2 && slots >= 2, "its room is kept");
    assert!(room.memory_bytes() > 0);
    let again = history(room);
    assert_eq!(again.diff, plain.diff);
    assert_eq!(again.touched.all(), plain.touched.all());
    assert!(again.has_loaded(&CONTRACT) && again.has_loaded_slot(&CONTRACT, &U256::ONE));
    let none = none.into_room(0);
    assert_eq!((none.capacity(), none.memory_bytes()), ((0, 0), 0), "no more than is asked for");
}

#[test]
fn room_is_given_back() {
    let state = state(&[(CONTRACT, 0, STORES, &[])]);
    let (_, mut touched) = run(Fork::Istanbul, &state, &[store(0, 1, 5), store(1, 2, 6)]);
    touched.clear();
    assert!(touched.is_empty() && touched.accounts.capacity() > 1);
    touched.now.listed.extend((0..9).map(|slot| (CONTRACT, U256::from(slot))));
    touched.now.clear();
    let bytes = touched.memory_bytes();
    touched.shrink_to(1);
    assert_eq!((touched.accounts.capacity(), touched.slots.capacity()), (1, 1));
    assert_eq!(touched.now.listed.capacity(), 1);
    assert!(touched.memory_bytes() < bytes);
    touched.shrink_to(0);
    assert_eq!(touched.memory_bytes(), 0);
}
