//! What a kernel promises, on states of a few accounts.

use crate::{
    AccountTouch, CodeCache, Executed, FeePayment, Kernel, PreparedTx, StateReader,
    SystemCallFault, Touched, ViewReader,
};
use alloy_consensus::{Signed, TxLegacy};
use fugue_chainspec::{ChainSpec, Fork, Rules};
use fugue_state::{
    Account, MemoryAccount, MemoryState, Overlay, SlotDiff, StateDiff, StateError, StateView as _,
};
use fugue_types::{
    Address, B256, Bytes, Header, KECCAK256_EMPTY, Transaction, TxKind, TxStatus, TxType, U256,
    keccak256,
};
use revm::context_interface::{
    either::Either,
    transaction::{Authorization, RecoveredAuthority, RecoveredAuthorization},
};

pub(crate) const SENDER: Address = Address::repeat_byte(0xa1);
const CONTRACT: Address = Address::repeat_byte(0xc0);
pub(crate) const AUTHOR: Address = Address::repeat_byte(0xfe);
const GAS_PRICE: u64 = 10;

fn state() -> MemoryState {
    let mut state = MemoryState::default();
    let balance = U256::from(10).pow(U256::from(18));
    let account = Account { nonce: 0, balance, code_hash: KECCAK256_EMPTY };
    state.accounts.insert(SENDER, MemoryAccount { account, ..MemoryAccount::default() });
    state
}

fn with_contract(code: &[u8], slots: &[(u64, u64)]) -> MemoryState {
    let mut state = state();
    let code = Bytes::copy_from_slice(code);
    let account = Account { nonce: 1, balance: U256::ZERO, code_hash: keccak256(&code) };
    let slots = slots.iter().map(|(slot, value)| (U256::from(*slot), U256::from(*value)));
    state.codes.insert(account.code_hash, code);
    state.accounts.insert(CONTRACT, MemoryAccount { account, slots: slots.collect() });
    state
}

/// The header of a block, which may have more than the fork knows, and its rules.
pub(crate) fn block_at(fork: Fork) -> (Header, Rules) {
    let header = Header {
        number: 1,
        gas_limit: 30_000_000,
        beneficiary: AUTHOR,
        excess_blob_gas: Some(0),
        ..Header::default()
    };
    let rules = ChainSpec::at_fork(1, fork).rules(&header);
    (header, rules)
}

pub(crate) fn tx(nonce: u64, to: TxKind, value: u64, input: &[u8]) -> PreparedTx {
    let tx = TxLegacy {
        chain_id: None,
        nonce,
        gas_price: u128::from(GAS_PRICE),
        gas_limit: 1_000_000,
        to,
        value: U256::from(value),
        input: Bytes::copy_from_slice(input),
    };
    // The sender is given: nobody looks at the signature.
    let void = alloy_primitives::Signature::new(U256::ONE, U256::ONE, false);
    let tx = Transaction::Legacy(Signed::new_unhashed(tx, void));
    PreparedTx::new(&tx, SENDER).expect("type 0 is known")
}

/// Runs transactions in one kernel, and gives what they did and the diff of all.
fn run(
    fork: Fork,
    state: &MemoryState,
    fees: FeePayment,
    txs: &[PreparedTx],
) -> (Vec<Executed>, StateDiff) {
    let (header, rules) = block_at(fork);
    let codes = CodeCache::new();
    let mut kernel = Kernel::new(&rules, &header, &codes, ViewReader(state), fees);
    let executed = txs.iter().map(|tx| kernel.transact(tx).expect("valid")).collect();
    let (diff, _) = kernel.take();
    (executed, diff)
}

/// Gas of two or three stores to slot 0, and refund, by EIP-1283, "Test Cases".
#[test]
fn constantinople_meters_stores_net() {
    let cases: [(&str, u64, u64, u64); 17] = [
        ("60006000556000600055", 0, 412, 0),
        ("60006000556001600055", 0, 20_212, 0),
        ("60016000556000600055", 0, 20_212, 19_800),
        ("60016000556002600055", 0, 20_212, 0),
        ("60016000556001600055", 0, 20_212, 0),
        ("60006000556000600055", 1, 5_212, 15_000),
        ("60006000556001600055", 1, 5_212, 4_800),
        ("60006000556002600055", 1, 5_212, 0),
        ("60026000556000600055", 1, 5_212, 15_000),
        ("60026000556003600055", 1, 5_212, 0),
        ("60026000556001600055", 1, 5_212, 4_800),
        ("60026000556002600055", 1, 5_212, 0),
        ("60016000556000600055", 1, 5_212, 15_000),
        ("60016000556002600055", 1, 5_212, 0),
        ("60016000556001600055", 1, 412, 0),
        ("600160005560006000556001600055", 0, 40_218, 19_800),
        ("600060005560016000556000600055", 1, 10_218, 19_800),
    ];
    for (code, original, gas, refund) in cases {
        let bytes = alloy_primitives::hex::decode(code).expect("hex");
        let slots = if original == 0 { Vec::new() } else { vec![(0, original)] };
        let state = with_contract(&bytes, &slots);
        let call = tx(0, TxKind::Call(CONTRACT), 0, &[]);
        let (executed, _) = run(Fork::Constantinople, &state, FeePayment::Direct, &[call]);
        let spent = 21_000 + gas;
        let expected = spent - refund.min(spent / 2);
        assert_eq!(executed[0].result.gas.used, expected, "{code} on {original}");
    }
}

#[test]
fn petersburg_meters_stores_gross() {
    let state = with_contract(&alloy_primitives::hex!("60016000556001600055"), &[(0, 1)]);
    let call = tx(0, TxKind::Call(CONTRACT), 0, &[]);
    let (executed, _) = run(Fork::Petersburg, &state, FeePayment::Direct, &[call]);
    assert_eq!(executed[0].result.gas.used, 21_000 + 10_012);
}

#[test]
fn a_deferred_fee_is_handed_out_and_not_paid() {
    let state = state();
    let transfer = tx(0, TxKind::Call(CONTRACT), 1, &[]);
    let (executed, diff) = run(Fork::Istanbul, &state, FeePayment::Deferred, &[transfer]);
    assert_eq!(executed[0].fee_due, Some(U256::from(21_000 * GAS_PRICE)));
    assert!(diff.accounts.iter().all(|account| account.address != AUTHOR));
}

/// Gas above 2^24 (EIP-7825) is for state alone, and what is left of it is given back (EIP-8037).
#[test]
fn a_deferred_fee_is_not_for_what_is_left_of_the_reservoir() {
    // INVALID uses all other gas.
    let state = with_contract(&[0xfe], &[]);
    let PreparedTx { mut env, tx_type } = tx(0, TxKind::Call(CONTRACT), 0, &[]);
    env.gas_limit = 20_000_000;
    let call = PreparedTx { env, tx_type };
    let (executed, diff) = run(Fork::Amsterdam, &state, FeePayment::Deferred, &[call]);
    let fee = U256::from(GAS_PRICE << 24);
    assert_eq!(executed[0].fee_due, Some(fee));
    let sender = diff.accounts.iter().find(|change| change.address == SENDER).expect("it paid");
    let [before, after] = [sender.before, sender.after].map(|it| it.expect("it is there").balance);
    assert_eq!(before - after, fee);
}

#[test]
fn a_transaction_that_reads_the_fee_recipient_pays_directly() {
    // BALANCE(COINBASE)
    let state = with_contract(&alloy_primitives::hex!("413150"), &[]);
    let call = tx(0, TxKind::Call(CONTRACT), 0, &[]);
    let (executed, diff) = run(Fork::Istanbul, &state, FeePayment::Deferred, &[call]);
    assert_eq!(executed[0].fee_due, None);
    let paid = diff.accounts.iter().find(|account| account.address == AUTHOR).expect("paid");
    let fee = U256::from(executed[0].result.gas.used * GAS_PRICE);
    assert_eq!(paid.after.expect("exists").balance, fee);
}

#[test]
fn a_created_address_with_storage_collides() {
    let mut state = state();
    let created = SENDER.create(0);
    let mut occupied = MemoryAccount::default();
    occupied.slots.insert(U256::ZERO, U256::ONE);
    state.accounts.insert(created, occupied);
    let creation = tx(0, TxKind::Create, 0, &alloy_primitives::hex!("00"));
    let (executed, diff) = run(Fork::Istanbul, &state, FeePayment::Direct, &[creation]);
    assert_eq!(executed[0].result.status, TxStatus::Halt("CreateCollision".to_owned()));
    assert_eq!(executed[0].result.gas.used, 1_000_000);
    assert!(diff.accounts.iter().all(|account| account.address != created));
}

/// The nonce is what makes it collide. Source: EIP-684.
#[test]
fn an_account_at_which_nothing_can_be_created_keeps_its_nonce() {
    let mut state = state();
    let target = SENDER.create(0);
    // As it is after a constructor that stored a slot and returned no code.
    let account = Account { nonce: 1, ..Account::default() };
    let slots = [(U256::ZERO, U256::ONE)].into_iter().collect();
    state.accounts.insert(target, MemoryAccount { account, slots });
    let create = tx(0, TxKind::Create, 0, &[]);
    let pay = tx(1, TxKind::Call(target), 1, &[]);
    let (executed, diff) = run(Fork::Istanbul, &state, FeePayment::Direct, &[create, pay]);
    assert_eq!(executed[0].result.status, TxStatus::Halt("CreateCollision".to_owned()));
    let paid = diff.accounts.iter().find(|change| change.address == target).expect("paid");
    assert_eq!(paid.after, Some(Account { balance: U256::ONE, ..account }));
}

/// EIP-2929: an address is warm when a contract is created there, or fails to be for what is there;
/// and not where the creator has too little ether for it to be looked at.
#[test]
fn an_address_at_which_nothing_can_be_created_stays_cold() {
    // CREATE2(1, 0, 0, 0), which there is no ether for; BALANCE of its address
    let target = CONTRACT.create2(B256::ZERO, KECCAK256_EMPTY);
    let head = alloy_primitives::hex!("6000600060006001f55073");
    let code = [&head[..], target.as_slice(), &[0x31, 0x50]].concat();
    let used = |account: Option<Account>, slots: &[(u64, u64)]| {
        let mut state = with_contract(&code, &[]);
        if let Some(account) = account {
            let slots = slots.iter().map(|(slot, value)| (U256::from(*slot), U256::from(*value)));
            let account = MemoryAccount { account, slots: slots.collect() };
            state.accounts.insert(target, account);
        }
        let call = tx(0, TxKind::Call(CONTRACT), 0, &[]);
        let (executed, _) = run(Fork::Berlin, &state, FeePayment::Direct, &[call]);
        assert_eq!(executed[0].result.status, TxStatus::Success);
        executed[0].result.gas.used
    };
    let cold = used(None, &[]);
    // 32000 and five pushes, POP and PUSH20, 2600 and POP. Source: EIP-2929, EIP-1014.
    assert_eq!(cold, 21_000 + 12 + 32_000 + 5 + 2_600 + 2);
    let contract = Account { nonce: 1, code_hash: keccak256([0]), ..Account::default() };
    let only_stored = Account { balance: U256::ONE, ..Account::default() };
    for account in [contract, only_stored] {
        assert_eq!(used(Some(account), &[(0, 1)]), cold, "{account:?}");
    }
}

/// A journal of many transactions must not take the value before the last one for the value before
/// the block.
#[test]
fn a_diff_spans_all_transactions_of_the_journal() {
    // SSTORE(0, CALLDATALOAD(0))
    let state = with_contract(&alloy_primitives::hex!("60003560005500"), &[(0, 7)]);
    let store = |nonce, value: u64| {
        tx(nonce, TxKind::Call(CONTRACT), 0, &U256::from(value).to_be_bytes::<32>())
    };
    let changed = |txs: &[PreparedTx]| {
        let (_, diff) = run(Fork::Berlin, &state, FeePayment::Direct, txs);
        let contract = diff.accounts.into_iter().find(|account| account.address == CONTRACT);
        contract.map(|account| account.slots)
    };
    let before = U256::from(7);
    let expected = SlotDiff { slot: U256::ZERO, before, after: U256::from(9) };
    assert_eq!(changed(&[store(0, 8), store(1, 9), store(2, 9)]), Some(vec![expected]));
    assert_eq!(changed(&[store(0, 8), store(1, 7)]), None, "back to where it was");
}

#[test]
fn f4_a_destroyed_account_is_gone_and_comes_back_without_its_storage() {
    // SELFDESTRUCT(CALLER)
    let state = with_contract(&alloy_primitives::hex!("33ff"), &[(0, 7)]);
    let destroy = tx(0, TxKind::Call(CONTRACT), 0, &[]);
    let fund = tx(1, TxKind::Call(CONTRACT), 5, &[]);
    let of_contract = |txs: &[PreparedTx]| {
        let (_, diff) = run(Fork::Istanbul, &state, FeePayment::Direct, txs);
        diff.accounts.into_iter().find(|account| account.address == CONTRACT).expect("changed")
    };
    let gone = of_contract(std::slice::from_ref(&destroy));
    assert_eq!((gone.after, gone.wiped), (None, true));
    let back = of_contract(&[destroy, fund]);
    assert!(back.wiped && back.slots.is_empty());
    assert_eq!(back.after, Some(Account { balance: U256::from(5), ..Account::default() }));
}

#[test]
fn what_was_changed_back_is_told_beside_the_diff() {
    // SSTORE(0, CALLDATALOAD(0))
    let state = with_contract(&alloy_primitives::hex!("60003560005500"), &[(0, 7)]);
    let store = |nonce, value: u64| {
        tx(nonce, TxKind::Call(CONTRACT), 0, &U256::from(value).to_be_bytes::<32>())
    };
    let (header, rules) = block_at(Fork::Berlin);
    let codes = CodeCache::new();
    let history = |txs: &[PreparedTx]| {
        let reader = ViewReader(&state);
        let mut kernel = Kernel::new(&rules, &header, &codes, reader, FeePayment::Deferred);
        kernel.note_touches(Touched::default());
        for tx in txs {
            kernel.transact(tx).expect("valid");
        }
        kernel.into_history()
    };
    let back = history(&[store(0, 8), store(1, 7)]);
    assert_eq!(back.restored, [(CONTRACT, Some(U256::ZERO))]);
    assert!(back.has_changed(&CONTRACT));
    assert!(back.diff.accounts.iter().all(|change| change.address != CONTRACT));
    let other = history(&[store(0, 8), store(1, 9)]);
    assert!(other.restored.is_empty() && other.has_changed(&CONTRACT));
    assert!(!history(&[store(0, 7)]).has_changed(&CONTRACT));
}

/// An authority that an earlier transaction of the journal touched, and that is none still, is not
/// refunded for being there (EIP-7702, "Behavior", step 7).
#[test]
fn to_be_touched_does_not_make_an_authority_exist() {
    const AUTHORITY: Address = Address::repeat_byte(0xb0);
    let (header, rules) = block_at(Fork::Prague);
    let codes = CodeCache::new();
    let gas_after = |state: MemoryState, touched: Address, value: u64| {
        let reader = ViewReader(&state);
        let mut kernel = Kernel::new(&rules, &header, &codes, reader, FeePayment::Direct);
        kernel.transact(&tx(0, TxKind::Call(touched), value, &[])).expect("valid");
        let authorization = Authorization { chain_id: U256::ZERO, address: CONTRACT, nonce: 0 };
        let authority = RecoveredAuthority::Valid(AUTHORITY);
        let authorization = RecoveredAuthorization::new_unchecked(authorization, authority);
        let PreparedTx { mut env, .. } = tx(1, TxKind::Call(SENDER), 0, &[]);
        env.tx_type = 4;
        env.chain_id = Some(1);
        env.authorization_list = vec![Either::Right(authorization)];
        let authorizing = PreparedTx { env, tx_type: TxType::Eip7702 };
        kernel.transact(&authorizing).expect("valid").result.gas.used
    };
    let full = 21_000 + 25_000;
    assert_eq!(gas_after(state(), AUTHOR, 0), full);
    assert_eq!(gas_after(state(), AUTHORITY, 0), full, "touched, and not there");
    assert_eq!(gas_after(state(), AUTHORITY, 1), full - full / 5, "there");
    let empty = || with_empty(AUTHORITY);
    assert_eq!(gas_after(empty(), AUTHOR, 0), full - full / 5, "there, and empty");
    assert_eq!(gas_after(empty(), AUTHORITY, 0), full, "not there any more");
}

/// A state with an account that is there, empty, and has something in slot 2.
fn with_empty(address: Address) -> MemoryState {
    let mut state = state();
    let slots = [(U256::from(2), U256::from(7))].into_iter().collect();
    state.accounts.insert(address, MemoryAccount { account: Account::default(), slots });
    state
}

/// What the transactions change, which call and pay these, in one journal and taken out of it one
/// by one.
fn changed_by(fork: Fork, state: &MemoryState, calls: &[(TxKind, u64, &[u8])]) -> [StateDiff; 2] {
    let (header, rules) = block_at(fork);
    let codes = CodeCache::new();
    [false, true].map(|is_taken| {
        let reader = ViewReader(Overlay::new(state));
        let mut kernel = Kernel::new(&rules, &header, &codes, reader, FeePayment::Direct);
        for (nonce, (to, value, input)) in calls.iter().enumerate() {
            kernel.transact(&tx(nonce as u64, *to, *value, input)).expect("valid");
            if is_taken {
                let (diff, _) = kernel.take();
                kernel.reader_mut().0.push(&diff).expect("the next one");
            }
        }
        let (diff, _) = kernel.take();
        kernel.reader_mut().0.push(&diff).expect("the last one");
        kernel.into_reader().0.into_diff()
    })
}

#[test]
fn an_empty_account_that_is_touched_is_gone_with_its_storage() {
    const EMPTY: Address = Address::repeat_byte(0xb0);
    let state = with_empty(EMPTY);
    let touch = (TxKind::Call(EMPTY), 0, &[][..]);
    let pay = (TxKind::Call(EMPTY), 1, &[][..]);
    let funded = Some(Account { balance: U256::ONE, ..Account::default() });
    for (fork, calls, after, wiped) in [
        (Fork::Byzantium, vec![touch], None, true),
        (Fork::Byzantium, vec![touch, pay], funded, true),
        (Fork::Byzantium, vec![pay, touch], funded, false),
        (Fork::Shanghai, vec![touch, touch, pay], funded, true),
    ] {
        for diff in changed_by(fork, &state, &calls) {
            let change = diff.accounts.iter().find(|change| change.address == EMPTY);
            let change = change.expect("it has changed");
            let found = (change.before, change.after, change.wiped, change.slots.len());
            assert_eq!(found, (Some(Account::default()), after, wiped, 0), "{fork} {calls:?}");
        }
    }
}

#[test]
fn a_contract_is_created_where_an_account_with_storage_was_cleared() {
    let target = SENDER.create(1);
    let state = with_empty(target);
    // Stores the value of slot 2 in slot 3, and 5 in slot 2, and returns no code.
    let create = (TxKind::Create, 0, &[0x60, 2, 0x54, 0x60, 3, 0x55, 0x60, 5, 0x60, 2, 0x55][..]);
    let cleared = [(TxKind::Call(target), 0, &[][..]), create];
    let untouched = [(TxKind::Call(AUTHOR), 0, &[][..]), create];
    for fork in [Fork::Byzantium, Fork::Shanghai, Fork::Osaka] {
        for diff in changed_by(fork, &state, &cleared) {
            let change = diff.accounts.iter().find(|change| change.address == target);
            let change = change.expect("it was created");
            let slots =
                vec![SlotDiff { slot: U256::from(2), before: U256::ZERO, after: U256::from(5) }];
            assert_eq!(change.after.map(|after| after.nonce), Some(1), "{fork}");
            assert_eq!((change.wiped, &change.slots), (true, &slots), "{fork}");
        }
        for diff in changed_by(fork, &state, &untouched) {
            assert!(diff.accounts.iter().all(|change| change.address != target), "{fork}");
        }
    }
}

/// It may have been deployed before London (EIP-3541).
#[test]
fn what_looks_like_a_designator_designates_from_prague_on_alone() {
    let code = [&[0xef, 1, 0][..], AUTHOR.as_slice()].concat();
    let state = with_contract(&code, &[]);
    let codes = CodeCache::new();
    for fork in [Fork::Berlin, Fork::Prague, Fork::Berlin, Fork::Osaka, Fork::Cancun] {
        let (header, rules) = block_at(fork);
        let reader = ViewReader(&state);
        let mut kernel = Kernel::new(&rules, &header, &codes, reader, FeePayment::Direct);
        let ran = kernel.transact(&tx(0, TxKind::Call(CONTRACT), 0, &[])).expect("valid");
        // Whom it designates has no code.
        let designates = ran.result.status == TxStatus::Success;
        assert_eq!(designates, fork >= Fork::Prague, "{fork}: {:?}", ran.result.status);
    }
}

/// Gas that it takes to look at the balance of a precompiled contract is given back: GAS,
/// BALANCE(2), POP, GAS, SWAP1, SUB, MSTORE(0), RETURN(0, 32).
#[test]
fn nothing_is_warm_in_a_system_call_whatever_ran_before_it() {
    let measures =
        [0x5a, 0x60, 2, 0x31, 0x50, 0x5a, 0x90, 0x03, 0x60, 0, 0x52, 0x60, 32, 0x60, 0, 0xf3];
    let state = with_contract(&measures, &[]);
    let (header, rules) = block_at(Fork::Prague);
    let codes = CodeCache::new();
    let reader = ViewReader(&state);
    let mut kernel = Kernel::new(&rules, &header, &codes, reader, FeePayment::Direct);
    let before = kernel.system_call(CONTRACT, Bytes::new()).expect("it runs");
    let gas = U256::from_be_slice(&before);
    assert!(gas > U256::from(2_600), "it is cold (EIP-2929): {gas}");
    kernel.transact(&tx(0, TxKind::Call(AUTHOR), 0, &[])).expect("valid");
    assert_eq!(kernel.system_call(CONTRACT, Bytes::new()), Ok(before));
}

/// A call that fails makes the block invalid. Source: EIP-7002, EIP-7251, "Block processing".
#[test]
fn what_a_system_contract_reverts_with_is_no_output() {
    // REVERT(0, 32)
    let state = with_contract(&alloy_primitives::hex!("60206000fd"), &[]);
    let (header, rules) = block_at(Fork::Prague);
    let codes = CodeCache::new();
    let reader = ViewReader(&state);
    let mut kernel = Kernel::new(&rules, &header, &codes, reader, FeePayment::Direct);
    let failed = SystemCallFault::Failed("revert".to_owned());
    assert_eq!(kernel.system_call(CONTRACT, Bytes::new()), Err(failed));
}

/// Without code at the address of a system contract the block is invalid, whatever else is there.
/// Source: EIP-7002, EIP-7251, "Block processing".
#[test]
fn an_account_with_ether_and_no_code_is_no_contract() {
    let state = with_contract(&[0x00], &[]);
    let (header, rules) = block_at(Fork::Prague);
    let codes = CodeCache::new();
    let reader = ViewReader(&state);
    let mut kernel = Kernel::new(&rules, &header, &codes, reader, FeePayment::Direct);
    let found = [CONTRACT, SENDER, AUTHOR].map(|address| kernel.has_code(address));
    assert_eq!(found, [Ok(true), Ok(false), Ok(false)]);
}

/// As of a withdrawal. Source: EIP-161; EIP-7928, whose list has each account that is accessed.
#[test]
fn a_credit_of_nothing_is_an_access_and_ends_an_empty_account() {
    const EMPTY: Address = Address::repeat_byte(0xb0);
    let state = with_empty(EMPTY);
    let codes = CodeCache::new();
    for fork in [Fork::Shanghai, Fork::Amsterdam] {
        let (header, rules) = block_at(fork);
        let reader = ViewReader(&state);
        let mut kernel = Kernel::new(&rules, &header, &codes, reader, FeePayment::Direct);
        for address in [EMPTY, AUTHOR] {
            assert_eq!(kernel.credit(address, U256::ZERO), Ok(()));
        }
        let (diff, reads) = kernel.take();
        let changes = diff.accounts.iter().map(|it| (it.address, it.after, it.wiped));
        assert_eq!(changes.collect::<Vec<_>>(), [(EMPTY, None, true)], "{fork}");
        let accesses = [(EMPTY, Some(Account::default())), (AUTHOR, None)];
        assert_eq!(reads.accounts, accesses, "{fork}");
    }
}

/// Source: EIP-161 ends that later.
#[test]
fn whoever_is_drained_of_nothing_comes_into_being_before_spurious_dragon() {
    const POOR: Address = Address::repeat_byte(0xb0);
    for (fork, after) in [(Fork::Homestead, Some(Account::default())), (Fork::Byzantium, None)] {
        let state = state();
        let (header, rules) = block_at(fork);
        let codes = CodeCache::new();
        let reader = ViewReader(&state);
        let mut kernel = Kernel::new(&rules, &header, &codes, reader, FeePayment::Direct);
        assert_eq!(kernel.drain(POOR), Ok(U256::ZERO));
        let (diff, _) = kernel.take();
        let found = diff.accounts.iter().find(|change| change.address == POOR);
        assert_eq!(found.and_then(|change| change.after), after, "{fork}");
        assert_eq!(kernel.drain(SENDER), Ok(U256::from(10).pow(U256::from(18))));
        let (diff, _) = kernel.take();
        let left = diff.accounts.first().and_then(|change| change.after);
        assert_eq!(left.map(|left| left.balance), after.map(|_| U256::ZERO), "{fork}");
    }
}

/// It is there, and only a new one is paid for. Source: Yellow Paper before EIP-161, appendix G,
/// `G_newaccount` and `G_call`.
#[test]
fn an_empty_account_that_is_called_is_no_new_one_before_spurious_dragon() {
    const EMPTY: Address = Address::repeat_byte(0xb0);
    // CALL(0, EMPTY, 0, 0, 0, 0, 0), POP
    let head = alloy_primitives::hex!("6000600060006000600073");
    let code = [&head[..], EMPTY.as_slice(), &[0x60, 0x00, 0xf1, 0x50]].concat();
    let without = with_contract(&code, &[]);
    let mut with = without.clone();
    with.accounts.insert(EMPTY, MemoryAccount::default());
    let call = |nonce| tx(nonce, TxKind::Call(CONTRACT), 0, &[]);
    let touch = tx(0, TxKind::Call(EMPTY), 0, &[]);
    let used = |state: &MemoryState, txs: &[PreparedTx]| {
        let (executed, _) = run(Fork::Homestead, state, FeePayment::Direct, txs);
        executed.last().expect("it ran").result.gas.used
    };
    // Seven pushes, CALL, POP.
    let there = 21_000 + 7 * 3 + 40 + 2;
    assert_eq!(used(&without, &[call(0)]), there + 25_000);
    assert_eq!(used(&without, &[touch, call(1)]), there, "since the transaction before");
    assert_eq!(used(&with, &[call(0)]), there, "since before the block");
}

/// A reader that notes what it is asked of one address.
struct Asked<'a> {
    state: &'a MemoryState,
    of: Address,
    questions: Vec<&'static str>,
}

impl StateReader for Asked<'_> {
    type Error = StateError;

    fn account(&mut self, address: Address) -> Result<Option<Account>, StateError> {
        self.questions.extend((address == self.of).then_some("account"));
        self.state.account(address)
    }

    fn slot(&mut self, address: Address, slot: U256) -> Result<U256, StateError> {
        self.state.slot(address, slot)
    }

    fn has_storage(&mut self, address: Address) -> Result<bool, StateError> {
        self.questions.extend((address == self.of).then_some("storage"));
        self.state.has_storage(address)
    }

    fn code(&mut self, code_hash: B256) -> Result<Bytes, StateError> {
        self.state.code(code_hash)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, StateError> {
        self.state.block_hash(number)
    }
}

/// Who runs ahead may see an account end between two questions.
#[test]
fn an_account_is_asked_for_before_its_storage_is() {
    let target = SENDER.create(0);
    let with = |account: Account| {
        let mut state = with_empty(target);
        state.accounts.get_mut(&target).expect("it is there").account = account;
        state
    };
    let code_hash = keccak256([0]);
    let funded = Account { balance: U256::ONE, ..Account::default() };
    let cases: [(MemoryState, &[&str]); 4] = [
        (state(), &["account"]),
        (with(Account { nonce: 1, ..funded }), &["account"]),
        (with(Account { code_hash, ..funded }), &["account"]),
        (with(funded), &["account", "storage"]),
    ];
    let (header, rules) = block_at(Fork::Shanghai);
    let codes = CodeCache::new();
    for (state, questions) in cases {
        let reader = Asked { state: &state, of: target, questions: Vec::new() };
        let mut kernel = Kernel::new(&rules, &header, &codes, reader, FeePayment::Direct);
        let create = tx(0, TxKind::Create, 0, &[]);
        let ran = kernel.transact(&create).expect("valid").result.status;
        let collides = state.accounts.contains_key(&target);
        assert_eq!(ran != TxStatus::Success, collides, "{questions:?}");
        assert_eq!(kernel.into_reader().questions, questions);
    }
}

#[test]
fn accounts_that_do_not_exist_are_looked_for_only_where_there_are_any() {
    let state = with_contract(&[0x00], &[]);
    let (header, rules) = block_at(Fork::Istanbul);
    let codes = CodeCache::new();
    let reader = ViewReader(&state);
    let mut kernel = Kernel::new(&rules, &header, &codes, reader, FeePayment::Deferred);
    let mut has_vacant = |nonce, to| {
        kernel.transact(&tx(nonce, TxKind::Call(to), 0, &[])).expect("valid");
        let found = kernel.machine.inner.ctx.journaled_state.database.has_vacant;
        if found {
            kernel.take();
            assert!(!kernel.machine.inner.ctx.journaled_state.database.has_vacant);
        }
        found
    };
    assert!(!has_vacant(0, CONTRACT));
    assert!(has_vacant(1, Address::repeat_byte(0xb0)));
}

#[test]
fn a_balance_that_may_overflow_is_seen() {
    let balance = |bits: usize| Some(Account { balance: U256::ONE << bits, ..Account::default() });
    let touch = AccountTouch {
        address: SENDER,
        before: balance(1),
        after: balance(2),
        spends: U256::ZERO,
        is_balance_seen: false,
        is_nonce_seen: false,
        is_created: false,
        is_destroyed: false,
    };
    assert!(touch.holds(balance(1)) && touch.holds(balance(239)));
    assert!(!touch.holds(balance(240)));
    let rich = AccountTouch { before: balance(240), ..touch };
    assert!(rich.holds(balance(240)), "the same");
}

#[test]
fn what_precompiled_contracts_take_beyond_their_gas_is_counted_for_each_transaction() {
    // CALL(GAS, 6, 0, 0, 0, 0, 0) is a sum of two points at infinity; then REVERT(0, 0).
    let fails = alloy_primitives::hex!("6000600060006000600060065af15060006000fd");
    let state = with_contract(&fails, &[]);
    let sums = TxKind::Call(Address::with_last_byte(6));
    // (1, 2) is on bn254, and (2, 2) is not.
    let [mut good, mut bad] = [[0; 128]; 2];
    for (input, x) in [(&mut good, 1), (&mut bad, 2)] {
        (input[31], input[63]) = (x, 2);
    }
    let txs = [
        tx(0, sums, 0, &good),
        tx(1, sums, 0, &bad),
        tx(2, TxKind::Call(CONTRACT), 0, &[]),
        tx(3, TxKind::Call(AUTHOR), 1, &[]),
        // As it is: 15 gas and 3 for each word.
        tx(4, TxKind::Call(Address::with_last_byte(4)), 0, &good),
    ];
    let (executed, _) = run(Fork::Istanbul, &state, FeePayment::Deferred, &txs);
    let statuses = executed.iter().map(|executed| executed.result.status.is_success());
    assert_eq!(statuses.collect::<Vec<_>>(), [true, false, false, true, true]);
    // Source of the gas: EIP-1108. A sum that fails is not counted, one that is reverted is.
    let excess: Vec<u64> = executed.iter().map(|executed| executed.excess).collect();
    assert_eq!(excess, [150 * 79, 0, 150 * 79, 0, 0]);
}

#[test]
fn a_precompiled_contract_that_fails_late_is_counted_at_most_with_its_price() {
    // MSTORE(0, 2), MSTORE(32, 2): the first of the two points is not on bn254. Then
    // CALL(gas, 8, 0, 0, 192, 0, 0).
    let pairs = |gas: [u8; 3]| {
        let mut code = alloy_primitives::hex!("6002600052600260205260006000").to_vec();
        code.extend(alloy_primitives::hex!("60c0600060006008"));
        code.push(0x62);
        code.extend(gas);
        code.extend([0xf1, 0x00]);
        code
    };
    let excess = |code: &[u8], to: TxKind, input: &[u8]| {
        let state = with_contract(code, &[]);
        let (executed, _) = run(Fork::Prague, &state, FeePayment::Deferred, &[tx(0, to, 0, input)]);
        executed[0].excess
    };
    let contract = TxKind::Call(CONTRACT);
    // Source of the gas: EIP-1108: 79,000, which are 0x013498; one less is out of gas; and twice.
    assert_eq!(excess(&pairs([0x01, 0x34, 0x98]), contract, &[]), 79_000 * 39);
    assert_eq!(excess(&pairs([0x01, 0x34, 0x97]), contract, &[]), 0);
    assert_eq!(excess(&pairs([0x02, 0x69, 0x30]), contract, &[]), 79_000 * 39);
    // A point of a blob. Source of the gas: EIP-4844.
    let blob = TxKind::Call(Address::with_last_byte(10));
    assert_eq!(excess(&[0x00], blob, &[1; 192]), 50_000 * 29);
    // BLAKE2 looks at the length of its input first.
    let blake = TxKind::Call(Address::with_last_byte(9));
    assert_eq!(excess(&[0x00], blake, &[1; 192]), 0);
}
