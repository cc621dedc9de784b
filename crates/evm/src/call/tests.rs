//! What a message as a question promises, on states of a few accounts.

use super::*;
use crate::BaseFee;
use fugue_chainspec::ChainSpec;
use fugue_state::{Account, Guarded, MemoryAccount, MemoryState, StateError};
use fugue_types::{B256, Bytes, KECCAK256_EMPTY, TxStatus, keccak256};
use revm::context_interface::transaction::AccessListItem;
use std::sync::atomic::{AtomicUsize, Ordering};

const SENDER: Address = Address::repeat_byte(0xa1);
const CONTRACT: Address = Address::repeat_byte(0xc0);
const BASE_FEE: u64 = 7;
/// Stores 1 in slot 0.
const STORES: &str = "6001600055";
/// Returns what BASEFEE gives.
const RETURNS_BASE_FEE: &str = "4860005260206000f3";
/// Reverts with 42.
const REVERTS: &str = "602a60005260206000fd";

fn state(code: &str) -> MemoryState {
    let mut state = MemoryState::default();
    let code = Bytes::from(alloy_primitives::hex::decode(code).expect("hex"));
    let mut add = |address, nonce, balance: u64, code_hash| {
        let account = Account { nonce, balance: U256::from(balance), code_hash };
        state.accounts.insert(address, MemoryAccount { account, ..MemoryAccount::default() });
    };
    add(SENDER, 5, 1_000_000, KECCAK256_EMPTY);
    add(CONTRACT, 1, 0, keccak256(&code));
    state.codes.insert(keccak256(&code), code);
    state
}

fn request(to: Address) -> CallRequest {
    CallRequest { from: SENDER, to: Some(to), gas: 100_000, ..CallRequest::default() }
}

fn at<T>(view: &dyn StateView, assumed: &Assumed, run: impl FnOnce(&Place<'_>) -> T) -> T {
    let header = Header {
        number: 1,
        gas_limit: 50_000,
        base_fee_per_gas: Some(BASE_FEE),
        ..Header::default()
    };
    let rules = ChainSpec::at_fork(1, Fork::Shanghai).rules(&header);
    let codes = CodeCache::new();
    run(&Place { rules: &rules, header: &header, codes: &codes, view, assumed })
}

fn called(code: &str, request: &CallRequest) -> Result<CallOutcome, CallError> {
    at(&state(code), &Assumed::default(), |place| call(place, request))
}

fn estimated(code: &str, request: &CallRequest) -> Result<u64, EstimateError> {
    at(&state(code), &Assumed::default(), |place| estimate_gas(place, request))
}

fn word(value: u64) -> Bytes {
    Bytes::copy_from_slice(&U256::from(value).to_be_bytes::<32>())
}

#[test]
fn without_a_price_there_is_no_base_fee() {
    let outcome = called(RETURNS_BASE_FEE, &request(CONTRACT)).expect("runs");
    assert_eq!((outcome.status, outcome.output), (TxStatus::Success, word(0)));
}

#[test]
fn with_a_price_the_base_fee_is_demanded() {
    let price = CallPrice::Fixed(u128::from(BASE_FEE));
    let paid = CallRequest { price, ..request(CONTRACT) };
    assert_eq!(called(RETURNS_BASE_FEE, &paid).expect("runs").output, word(BASE_FEE));
    let cheap = CallRequest { price: CallPrice::Fixed(1), ..paid };
    assert!(matches!(called(RETURNS_BASE_FEE, &cheap), Err(CallError::Invalid(_))));
}

#[test]
fn a_question_has_only_what_its_fork_knows() {
    let (state, codes) = (state(STORES), CodeCache::new());
    let (header, assumed) = (Header { number: 1, ..Header::default() }, Assumed::default());
    let plain = request(CONTRACT);
    let price = CallPrice::Dynamic { max: u128::MAX, tip: 1 };
    let dear = CallRequest { price, ..plain.clone() };
    let item = AccessListItem { address: CONTRACT, storage_keys: vec![B256::ZERO] };
    let list = Some(AccessList(vec![item]));
    let listing = CallRequest { access_list: list.clone(), ..plain.clone() };
    let both = CallRequest { access_list: list, ..dear.clone() };
    for fork in [Fork::Istanbul, Fork::Berlin] {
        let rules = ChainSpec::at_fork(1, fork).rules(&header);
        let (rules, header, codes) = (&rules, &header, &codes);
        let place = Place { rules, header, codes, view: &state, assumed: &assumed };
        let ran = call(&place, &plain).expect("runs");
        let listed = call(&place, &listing).expect("runs");
        // No list before Berlin.
        assert_eq!(listed.gas_used == ran.gas_used, fork == Fork::Istanbul, "{fork}");
        // No price before London, also where it is more than the sender has.
        assert_eq!(call(&place, &dear), Ok(ran), "{fork}");
        assert_eq!(call(&place, &both), Ok(listed), "{fork}");
        assert_eq!(access_list(&place, &dear), access_list(&place, &plain), "{fork}");
        assert!(access_list(&place, &dear).is_ok(), "{fork}");
        assert_eq!(estimate_gas(&place, &dear), estimate_gas(&place, &plain), "{fork}");
        assert!(estimate_gas(&place, &dear).is_ok(), "{fork}");
        // A transaction is refused for it.
        let checks = Checks { base_fee: BaseFee::Kept, ..Checks::QUESTION };
        let refused = place.kernel(()).send(&dear, checks);
        assert!(matches!(refused, Err(CallError::Invalid(_))), "{fork}: {refused:?}");
    }
}

#[test]
fn an_account_with_code_may_ask() {
    let from_code = CallRequest { from: CONTRACT, ..request(SENDER) };
    assert_eq!(called(STORES, &from_code).expect("runs").status, TxStatus::Success);
}

#[test]
fn a_value_that_the_sender_lacks_is_invalid() {
    let rich = CallRequest { value: U256::from(1_000_001), ..request(CONTRACT) };
    assert!(matches!(called(STORES, &rich), Err(CallError::Invalid(_))));
}

#[test]
fn a_revert_keeps_its_data() {
    let outcome = called(REVERTS, &request(CONTRACT)).expect("runs");
    assert_eq!((outcome.status, outcome.output), (TxStatus::Revert, word(42)));
}

#[test]
fn a_halt_is_told_in_the_words_of_geth_with_what_was_found() {
    for (code, words) in [
        ("fe", "invalid opcode: INVALID"),
        ("0c", "invalid opcode: opcode 0xc not defined"),
        // BLOBBASEFEE comes later.
        ("4a", "invalid opcode: BLOBBASEFEE"),
        ("01", "stack underflow (0 <=> 2)"),
        ("600101", "stack underflow (1 <=> 2)"),
        // CALL takes its words in several steps.
        ("60016001f1", "stack underflow"),
        // PUSH0 until there is no room: JUMPDEST, PUSH0, PUSH1 0, JUMP.
        ("5b5f600056", "stack limit reached 1024 (1023)"),
        ("600056", "invalid jump destination"),
        ("5b600056", "out of gas"),
    ] {
        let outcome = called(code, &request(CONTRACT)).expect("runs");
        assert_eq!(outcome.status, TxStatus::Halt(words.to_owned()), "{code}");
        let (_, listed) =
            at(&state(code), &Assumed::default(), |place| access_list(place, &request(CONTRACT)))
                .expect("runs");
        assert_eq!(listed.status, outcome.status, "{code}");
    }
}

#[test]
fn the_words_are_of_the_message_and_not_of_one_before_it_or_within_it() {
    let (state, codes) = (state("fe"), CodeCache::new());
    let (header, assumed) = (Header { number: 1, ..Header::default() }, Assumed::default());
    let rules = ChainSpec::at_fork(1, Fork::Shanghai).rules(&header);
    let (rules, header, codes) = (&rules, &header, &codes);
    let place = Place { rules, header, codes, view: &state, assumed: &assumed };
    let mut kernel = place.kernel(());
    let mut told = |to: Option<Address>, data: &[u8]| {
        let data = Bytes::copy_from_slice(data);
        let request = CallRequest { to, data, ..request(CONTRACT) };
        kernel.send(&request, Checks::QUESTION).expect("runs").status
    };
    let halt = |words: &str| TxStatus::Halt(words.to_owned());
    assert_eq!(told(Some(CONTRACT), &[]), halt("invalid opcode: INVALID"));
    // A creation that calls the contract, and then adds what is not there.
    let calls = [&[0x5f_u8, 0x5f, 0x5f, 0x5f, 0x5f, 0x73][..], CONTRACT.as_slice()].concat();
    let creation = [&calls[..], &[0x61, 0xff, 0xff, 0xf1, 0x01]].concat();
    assert_eq!(told(None, &creation), halt("stack underflow (1 <=> 2)"));
    // The precompiled contract for pairings, whose input is too short: no frame is begun.
    let pairing = told(Some(Address::with_last_byte(8)), &[1]);
    assert!(pairing.name().starts_with("precompiled failed"), "{pairing:?}");
}

#[test]
fn more_code_than_a_creation_may_have_is_told_with_both_sizes() {
    let data = Bytes::from(vec![0; 49_153]);
    let request = CallRequest { to: None, data, gas: 10_000_000, ..request(CONTRACT) };
    let told = called(STORES, &request).expect_err("too much");
    assert_eq!(told, CallError::InitCode { size: 49_153, max: 49_152 });
    let words = "max initcode size exceeded: code size 49153 limit 49152";
    assert_eq!(told.to_string(), words);
}

#[test]
fn a_message_with_blobs_creates_no_contract() {
    let hash = B256::repeat_byte(1);
    let request = CallRequest { to: None, blob_hashes: vec![hash], ..request(CONTRACT) };
    assert_eq!(called(STORES, &request), Err(CallError::Creates("blobs")));
}

#[test]
fn a_transfer_is_estimated_at_its_intrinsic_gas() {
    let request = CallRequest { value: U256::from(1), ..request(Address::repeat_byte(9)) };
    assert_eq!(estimated(STORES, &request), Ok(TRANSFER_GAS));
}

#[test]
fn an_estimate_suffices_and_is_little_more_than_needed() {
    let least = 21_000 + 3 + 3 + 22_100;
    let gas = estimated(STORES, &request(CONTRACT)).expect("succeeds");
    assert!((least..=least + least / 50).contains(&gas), "{gas}");
    let outcome = called(STORES, &CallRequest { gas, ..request(CONTRACT) });
    assert_eq!(outcome.expect("runs").status, TxStatus::Success);
}

#[test]
fn an_estimate_tells_a_revert_from_a_want_of_gas() {
    assert!(matches!(estimated(REVERTS, &request(CONTRACT)), Err(EstimateError::Failed(_))));
    let poor = CallRequest { gas: 30_000, ..request(CONTRACT) };
    assert_eq!(estimated(STORES, &poor), Err(EstimateError::Allowance(30_000)));
}

#[test]
fn an_estimate_stays_below_what_the_sender_can_pay() {
    let price = CallPrice::Fixed(100);
    let request = CallRequest { price, ..request(CONTRACT) };
    assert_eq!(estimated(STORES, &request), Err(EstimateError::Allowance(10_000)));
}

#[test]
fn an_access_list_has_what_is_touched_and_is_not_warm_anyhow() {
    // Loads slot 7 of itself, and the balance of 0xbb.
    let code = "60075473bb00000000000000000000000000000000000000315000";
    let request = request(CONTRACT);
    let run = |place: &Place<'_>| access_list(place, &request);
    let (list, outcome) = at(&state(code), &Assumed::default(), run).expect("runs");
    assert_eq!(outcome.status, TxStatus::Success);
    let mut other = [0; 20];
    other[0] = 0xbb;
    let found: Vec<_> = list.0.iter().map(|item| (item.address, item.storage_keys.len())).collect();
    assert_eq!(found, [(Address::from(other), 0), (CONTRACT, 1)]);
}

#[test]
fn a_precompiled_contract_may_be_elsewhere() {
    let (identity, elsewhere) = (Address::with_last_byte(4), Address::repeat_byte(0x44));
    let moved = Assumed { precompiles: vec![(identity, Some(elsewhere))], ..Assumed::default() };
    let echo = |to, assumed: &Assumed| {
        let data = Bytes::from_static(&[1, 2, 3]);
        let request = CallRequest { data, ..request(to) };
        at(&state(STORES), assumed, |place| call(place, &request)).expect("runs").output
    };
    let nothing = Assumed::default();
    assert_eq!([echo(identity, &nothing).len(), echo(elsewhere, &nothing).len()], [3, 0]);
    assert_eq!([echo(identity, &moved).len(), echo(elsewhere, &moved).len()], [0, 3]);
}

type Ask<'a> = &'a dyn Fn(&Place<'_>) -> Result<CallOutcome, CallError>;

/// Asks on a state with this code that answers so many times, and says how often it was to.
fn asked(
    code: &str,
    assumed: &Assumed,
    answers_max: usize,
    ask: Ask<'_>,
) -> (Result<CallOutcome, CallError>, usize) {
    let (state, looks) = (state(code), AtomicUsize::new(0));
    let guarded = Guarded::new(&state, |_| match looks.fetch_add(1, Ordering::Relaxed) {
        look if look < answers_max => Ok(()),
        _ => Err(StateError::Unavailable("given up".to_owned())),
    });
    let answer = at(&guarded, assumed, ask);
    (answer, looks.load(Ordering::Relaxed))
}

#[test]
fn a_message_is_given_up_before_a_call_of_a_slow_precompiled_contract() {
    let (identity, powers) = (Address::with_last_byte(4), Address::with_last_byte(5));
    let elsewhere = Address::repeat_byte(0x44);
    let nothing = Assumed::default();
    let moved = Assumed { precompiles: vec![(powers, Some(elsewhere))], ..Assumed::default() };
    // STATICCALL without input, so many times.
    let calls = |to: Address, count| {
        format!("5f5f5f5f73{}5afa50", alloy_primitives::hex::encode(to)).repeat(count)
    };
    let sent = |place: &Place<'_>| call(place, &request(CONTRACT));
    let listed =
        |place: &Place<'_>| access_list(place, &request(CONTRACT)).map(|(_, outcome)| outcome);
    for (to, assumed, looks_each) in [
        (powers, &nothing, 1),
        (elsewhere, &moved, 1),
        (powers, &moved, 0),
        (identity, &nothing, 0),
    ] {
        let [once, often] = [1, 5].map(|count| {
            let (ran, looks) = asked(&calls(to, count), assumed, usize::MAX, &sent);
            assert_eq!(ran.expect("runs").status, TxStatus::Success, "{to}");
            looks
        });
        assert_eq!(often - once, 4 * looks_each, "{to}");
    }
    let refused: Result<CallOutcome, CallError> =
        Err(CallError::State(StateError::Unavailable("given up".to_owned())));
    for (to, assumed) in [(powers, &nothing), (elsewhere, &moved)] {
        // JUMPDEST before the call, and a JUMP back to it.
        let endless = format!("5b{}5f56", calls(to, 1));
        let asks: [Ask<'_>; 2] = [&sent, &listed];
        for ask in asks {
            let found = asked(&endless, assumed, 20, ask);
            assert_eq!(found, (refused.clone(), 21), "{to}");
        }
    }
    // The message itself may be such a call.
    let direct = |to: Address, answers_max: usize| {
        asked(STORES, &nothing, answers_max, &|place| call(place, &request(to)))
    };
    let (ran, looks) = direct(powers, usize::MAX);
    assert_eq!(ran.expect("runs").status, TxStatus::Success);
    assert_eq!(looks, direct(identity, usize::MAX).1 + 1);
    for answers in 0..looks {
        assert_eq!(direct(powers, answers).0, refused, "{answers}");
    }
}

#[test]
fn a_message_may_pay_nothing_and_still_see_the_base_fee() {
    let state = state(RETURNS_BASE_FEE);
    let seen = |base_fee| {
        at(&state, &Assumed::default(), |place| {
            let checks = Checks { nonce: false, base_fee, gas_cap: false };
            place.kernel(()).send(&request(CONTRACT), checks)
        })
    };
    assert_eq!(seen(BaseFee::Waived).expect("runs").output, word(BASE_FEE));
    assert_eq!(seen(BaseFee::Zero).expect("runs").output, word(0));
    assert!(matches!(seen(BaseFee::Kept), Err(CallError::Invalid(_))));
}

#[test]
fn what_is_waived_for_a_message_is_asked_of_the_next_one() {
    let price = CallPrice::Fixed(u128::from(BASE_FEE));
    let paid = CallRequest { price, ..request(CONTRACT) };
    let seen = at(&state(RETURNS_BASE_FEE), &Assumed::default(), |place| {
        let mut kernel = place.kernel(());
        [request(CONTRACT), paid, request(CONTRACT)]
            .map(|request| kernel.send(&request, Checks::QUESTION).expect("runs").output)
    });
    assert_eq!(seen, [word(0), word(BASE_FEE), word(0)]);
}

#[test]
fn a_blob_base_fee_is_waived_for_one_message() {
    // Returns what BLOBBASEFEE gives.
    let (state, codes) = (state("4a60005260206000f3"), CodeCache::new());
    let header = Header {
        number: 1,
        gas_limit: 50_000,
        base_fee_per_gas: Some(BASE_FEE),
        excess_blob_gas: Some(0),
        ..Header::default()
    };
    let rules = ChainSpec::at_fork(1, Fork::Cancun).rules(&header);
    let assumed = &Assumed { blob_base_fee: Some(9), ..Assumed::default() };
    let place = Place { rules: &rules, header: &header, codes: &codes, view: &state, assumed };
    let mut kernel = place.kernel(());
    let blobs = CallRequest { blob_hashes: vec![B256::repeat_byte(1)], ..request(CONTRACT) };
    let seen = [blobs, request(CONTRACT)]
        .map(|request| kernel.send(&request, Checks::QUESTION).expect("runs").output);
    assert_eq!(seen, [word(0), word(9)]);
}

#[test]
fn an_estimate_tells_who_cannot_pay_the_value() {
    let price = CallPrice::Fixed(u128::from(BASE_FEE));
    let rich = CallRequest { price, value: U256::from(1_000_001), ..request(CONTRACT) };
    let told = estimated(STORES, &rich);
    assert!(matches!(told, Err(EstimateError::Call(CallError::Invalid(_)))), "{told:?}");
}

#[test]
fn an_access_list_keeps_what_was_given_and_is_charged_for() {
    let other = AccessListItem { address: Address::repeat_byte(0xee), storage_keys: Vec::new() };
    let own = AccessListItem { address: CONTRACT, storage_keys: vec![B256::ZERO] };
    let given = |items: &[AccessListItem]| {
        let request =
            CallRequest { access_list: Some(AccessList(items.to_vec())), ..request(CONTRACT) };
        at(&state(STORES), &Assumed::default(), |place| access_list(place, &request)).expect("runs")
    };
    let (list, without) = given(&[]);
    assert_eq!(list.0, std::slice::from_ref(&own));
    // What is given twice, or is warm anyhow, is left out.
    let sender = AccessListItem { address: SENDER, storage_keys: Vec::new() };
    let (list, with) = given(&[other.clone(), sender, other.clone()]);
    assert_eq!(list.0, [own, other]);
    // Source: EIP-2930, 2,400 for an address.
    assert_eq!(with.gas_used, without.gas_used + 2_400);
}

#[test]
fn only_precompiled_contracts_move_and_only_to_where_nothing_is_assumed() {
    let [identity, here, there] =
        [Address::with_last_byte(4), Address::repeat_byte(0x44), Address::repeat_byte(0x55)];
    let rules = ChainSpec::at_fork(1, Fork::Shanghai).rules_at(1, 1);
    let check = |precompiles: &[(Address, Option<Address>)]| {
        Assumed { precompiles: precompiles.to_vec(), ..Assumed::default() }.check(&rules)
    };
    assert_eq!(check(&[(here, None), (identity, Some(there))]), Ok(()));
    assert_eq!(check(&[(here, Some(there))]), Err(MoveError::NotThere(here)));
    assert_eq!(check(&[(identity, Some(here)), (here, None)]), Err(MoveError::Taken(here)));
    assert_eq!(check(&[(identity, Some(identity))]), Err(MoveError::Taken(identity)));
}

#[test]
fn f16_what_a_call_has_returned_is_not_what_became_of_its_memory() {
    let word: Vec<u8> = (1..=32).collect();
    // Stores the word, has it copied to 7 bytes further on by the precompiled contract for that,
    // copies what that returned to 64, and returns all. CALL and CALLCODE take a value.
    for (value, op) in [("6000", "f1"), ("6000", "f2"), ("", "f4"), ("", "fa")] {
        let stores = format!("7f{}600052", alloy_primitives::hex::encode(&word));
        let calls = format!("6020600760206000{value}60045a{op}50");
        let code = format!("{stores}{calls}6020600060403e60606000f3");
        let outcome = called(&code, &request(CONTRACT)).expect("runs");
        assert_eq!(outcome.status, TxStatus::Success, "{op}");
        let memory = &outcome.output;
        assert_eq!((&memory[..7], &memory[7..39]), (&word[..7], &word[..]), "{op}");
        assert_eq!(memory[64..], word[..], "{op}");
    }
}

#[test]
fn f14_inputs_of_precompiled_contracts_are_told_apart_by_all_of_them() {
    // The digests of 0x0100 and 0x001f, whose 32-bit hash by the factor 31 is the same, and of the
    // first one again.
    let one = "47dc540c94ceb704a23875c11273e16bb0b8a87aed84de911f2133568115f254";
    let other = "d8f7720bd76b8e048289b3eeebc5d41e20c35822d4652364a429ab7cb7ea6b1f";
    let digest = |first: &str, second: &str, to: &str| {
        format!("60{first}60005360{second}600153602060{to}6002600060025afa50")
    };
    let calls = digest("01", "00", "20") + &digest("00", "1f", "40") + &digest("01", "00", "60");
    let outcome = called(&(calls + "60606020f3"), &request(CONTRACT)).expect("runs");
    let expected = alloy_primitives::hex::decode([one, other, one].concat()).expect("hex");
    assert_eq!(outcome.output, Bytes::from(expected));
}
