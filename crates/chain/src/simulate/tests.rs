//! What simulated blocks are, by themselves.

use super::*;
use alloy_eips::{
    eip2935::HISTORY_STORAGE_ADDRESS, eip4788::BEACON_ROOTS_ADDRESS,
    eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS,
};
use fugue_state::{Account, AssumedStorage, MemoryAccount, MemoryState};
use fugue_types::Bytes;
use std::sync::atomic::{AtomicUsize, Ordering};

const BLOCKS_MAX: u64 = 5;
/// The number of the block below.
const BASE: u64 = 10;
const HERE: Address = Address::repeat_byte(0xc0);
/// INVALID takes all the gas that a call has.
const TAKES_ALL: &[u8] = &[0xfe];
const SYSTEM_CALL_GAS: u64 = 30_000_000;
const MESSAGE_GAS: u64 = 21_000;

fn numbered(number: u64, time: u64) -> SimulatedBlock {
    SimulatedBlock { number: Some(number), time: Some(time), ..SimulatedBlock::default() }
}

fn ordered(blocks: Vec<SimulatedBlock>) -> Result<Vec<(u64, u64)>, SimulateError> {
    let base = Header { number: 10, timestamp: 100, ..Header::default() };
    let all = in_order(&base, blocks, BLOCKS_MAX)?.into_iter();
    Ok(all.map(|block| (block.number.unwrap_or(0), block.time.unwrap_or(0))).collect())
}

#[test]
fn what_lies_between_two_numbers_is_filled() {
    let found = ordered(vec![SimulatedBlock::default(), numbered(14, 200)]);
    assert_eq!(found.expect("in order"), [(11, 112), (12, 124), (13, 136), (14, 200)]);
}

#[test]
fn a_transaction_of_any_type_ends_with_three_empty_strings() {
    let of = |price| {
        let to = Some(Address::repeat_byte(2));
        let (gas, nonce, value) = (21_000, 3, U256::from(5));
        let request = CallRequest { to, gas, nonce, value, price, ..CallRequest::default() };
        let (tx, mut encoded) = (unsigned(&request, 7), Vec::new());
        encode(&tx, &mut encoded);
        assert_eq!(*tx.hash(), keccak256(&encoded), "{price:?}");
        encoded
    };
    // Nonce, price, gas, recipient, value, no data; no signature.
    let mut expected = vec![0xdf, 3, 9, 0x82, 0x52, 0x08, 0x94];
    expected.extend([2; 20]);
    expected.extend([5, 0x80, 0x80, 0x80, 0x80]);
    assert_eq!(of(CallPrice::Fixed(9)), expected);
    let dynamic = of(CallPrice::Dynamic { max: 9, tip: 1 });
    assert_eq!((dynamic[0], &dynamic[dynamic.len() - 3..]), (2, &[0x80; 3][..]));
}

#[test]
fn numbers_and_times_grow() {
    use SimulateError as E;
    let twice = vec![numbered(11, 200), numbered(11, 300)];
    assert!(matches!(ordered(twice), Err(E::Number { number: 11, parent: 11 })));
    let back = vec![numbered(11, 200), numbered(12, 200)];
    assert!(matches!(ordered(back), Err(E::Time { time: 200, parent: 200 })));
    for number in [10 + BLOCKS_MAX + 1, u64::MAX] {
        let found = ordered(vec![numbered(number, 10_000)]);
        assert!(matches!(found, Err(E::TooManyBlocks(BLOCKS_MAX))), "{number}");
    }
    assert!(ordered(vec![numbered(10 + BLOCKS_MAX, 10_000)]).is_ok());
}

/// Blocks of Prague with so much gas in all.
fn simulated(
    view: &dyn StateView,
    blocks: Vec<SimulatedBlock>,
    gas_max: u64,
) -> Result<Vec<Simulated>, SimulateError> {
    let base = Header { number: BASE, timestamp: 100, gas_limit: 30_000_000, ..Header::default() };
    let options = SimulateOptions {
        blocks_max: BLOCKS_MAX,
        gas_max,
        output_bytes_max: 1_000,
        validates: false,
        traces_transfers: false,
    };
    let (spec, codes) = (ChainSpec::at_fork(1, Fork::Prague), CodeCache::new());
    let root = |_: &StateDiff| Ok(B256::ZERO);
    simulate(&spec, &codes, (B256::ZERO, &base), view, root, blocks, options)
}

fn assuming(contract: Address, code: &'static [u8]) -> SimulatedBlock {
    let code = Some(Bytes::from_static(code));
    let account = AssumedAccount { code, ..AssumedAccount::default() };
    let accounts = BTreeMap::from([(contract, account)]);
    SimulatedBlock { accounts, ..SimulatedBlock::default() }
}

fn calling(block: SimulatedBlock) -> SimulatedBlock {
    let request = CallRequest { to: Some(HERE), ..CallRequest::default() };
    let call = SimulatedCall { request, ..SimulatedCall::default() };
    SimulatedBlock { calls: vec![call], ..block }
}

#[test]
fn calls_of_system_contracts_with_assumed_code_have_the_gas_that_messages_have() {
    let state = MemoryState::default();
    let opening = || calling(assuming(HISTORY_STORAGE_ADDRESS, TAKES_ALL));
    let closing = || calling(assuming(WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, TAKES_ALL));
    // One that takes all, and after it one that takes nothing.
    let two = || {
        let mut block = assuming(BEACON_ROOTS_ADDRESS, TAKES_ALL);
        block.accounts.extend(assuming(HISTORY_STORAGE_ADDRESS, &[0]).accounts);
        block
    };
    let both = SYSTEM_CALL_GAS + MESSAGE_GAS;
    assert!(simulated(&state, vec![opening()], both).is_ok());
    // What the opening leaves is for the message.
    let error = simulated(&state, vec![opening()], both - 1).expect_err("too little");
    let SimulateError::GasCap { number, index, gas, left } = error else { panic!("{error}") };
    assert_eq!((number, index, gas, left), (BASE + 1, 0, MESSAGE_GAS, MESSAGE_GAS - 1));
    for (blocks, gas_max, refused) in [
        (vec![opening()], SYSTEM_CALL_GAS - 1, BASE + 1),
        (vec![two()], SYSTEM_CALL_GAS - 1, BASE + 1),
        // What is assumed stays so in later blocks.
        (vec![opening(), SimulatedBlock::default()], SYSTEM_CALL_GAS + both - 1, BASE + 2),
        // And what the message leaves is for the closing.
        (vec![closing()], both - 1, BASE + 1),
    ] {
        let error = simulated(&state, blocks, gas_max).expect_err("too little");
        let SimulateError::SystemGas { number } = error else { panic!("{error}") };
        assert_eq!(number, refused);
    }
    // With all of its gas it fails as any such contract.
    let error = simulated(&state, vec![closing()], both).expect_err("it fails");
    assert!(matches!(error, SimulateError::Block(BlockError::Invalid(_))), "{error}");
}

#[test]
fn what_system_contracts_of_the_chain_take_is_not_of_the_messages() {
    let (mut state, code) = (MemoryState::default(), Bytes::from_static(TAKES_ALL));
    let account = Account { code_hash: keccak256(&code), ..Account::default() };
    let contract = MemoryAccount { account, ..MemoryAccount::default() };
    state.accounts.insert(HISTORY_STORAGE_ADDRESS, contract);
    state.codes.insert(account.code_hash, code);
    for first in [SimulatedBlock::default(), assuming(HISTORY_STORAGE_ADDRESS, TAKES_ALL)] {
        let blocks = vec![first, calling(SimulatedBlock::default())];
        assert_eq!(simulated(&state, blocks, MESSAGE_GAS).expect("it has the gas").len(), 2);
    }
    // Others have the gas of the messages.
    let other = assuming(HISTORY_STORAGE_ADDRESS, &[0xfe, 0]);
    let error = simulated(&state, vec![other], MESSAGE_GAS).expect_err("too little");
    assert!(matches!(error, SimulateError::SystemGas { .. }), "{error}");
}

#[test]
fn what_is_read_of_earlier_blocks_is_answered_while_the_state_below_is() {
    let state = MemoryState::default();
    let looks = |code: &'static [u8]| {
        let looks = AtomicUsize::new(0);
        let view = Guarded::new(&state, |_| {
            looks.fetch_add(1, Ordering::Relaxed);
            Ok(())
        });
        let mut first = assuming(HERE, code);
        for account in first.accounts.values_mut() {
            let slots = (1_u64..=3).map(|slot| (U256::from(slot), U256::from(7)));
            account.storage = AssumedStorage::Some(slots.collect());
        }
        let blocks = vec![first, calling(SimulatedBlock::default())];
        simulated(&view, blocks, 100_000).expect("it runs");
        looks.load(Ordering::Relaxed)
    };
    // SLOAD, POP of one slot, and of three.
    let one = looks(&[0x60, 1, 0x54, 0x50]);
    let three = looks(&[0x60, 1, 0x54, 0x50, 0x60, 2, 0x54, 0x50, 0x60, 3, 0x54, 0x50]);
    assert_eq!(three - one, 2);
}
