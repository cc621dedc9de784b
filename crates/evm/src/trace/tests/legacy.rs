//! The forms that go-ethereum's tracers had at first: what their scripts see, and what not.

use super::*;
use std::collections::BTreeMap;

/// Returns a word that begins with 42.
const RETURNS: &str = "602a60005360206000f3";
const LEGACY_CALLS: &str = r#"{"tracer": "callTracerLegacy"}"#;
const LEGACY_STATE: &str = r#"{"tracer": "prestateTracerLegacy"}"#;

/// Calls with so many wei and all gas, lets so many bytes of the output into memory, and drops what
/// it says.
fn calls_to(to: Address, value: u8, output_bytes: u32) -> String {
    format!("63{output_bytes:08x}60006000600060{value:02x}73{to:x}5af150")
}

fn legacy_of(view: &dyn StateView, subject: TraceSubject<'_>) -> LegacyCall {
    let traced = geth_of(LEGACY_CALLS, view, subject).trace;
    let GethOutput::LegacyCalls(root) = traced else { panic!("{traced:?}") };
    *root
}

fn legacy(view: &dyn StateView) -> LegacyCall {
    legacy_of(view, TraceSubject::Tx(&tx()))
}

fn accounts(view: &dyn StateView, subject: TraceSubject<'_>) -> BTreeMap<Address, LegacyAccount> {
    let traced = geth_of(LEGACY_STATE, view, subject).trace;
    let GethOutput::State(StateTrace::Legacy(accounts)) = traced else { panic!("{traced:?}") };
    accounts
}

#[test]
fn an_output_is_what_the_caller_has_in_memory() {
    let outer = calls_to(INNER, 0, 1) + &calls_to(INNER, 0, 0) + &calls_to(INNER, 0, 33) + "00";
    let view = state(&outer, RETURNS);
    let root = legacy(&view);
    assert_eq!((root.typ, root.from, root.to), ("CALL", SENDER, Some(OUTER)));
    assert_eq!((root.gas, root.value), (Some(U256::from(GAS)), Some(U256::ZERO)));
    assert_eq!(root.input, Some(Bytes::from_static(&[1, 2, 3, 4, 5])));
    assert_eq!((root.output, root.error), (Some(Bytes::new()), None));
    let told = calls(r#"{"tracer": "callTracer"}"#, &view);
    let mut word = [0_u8; 33];
    word[0] = 42;
    let bytes = |count: usize| Some(Bytes::copy_from_slice(&word[..count]));
    for (call, (told, count)) in root.calls.iter().zip(told.calls.iter().zip([1, 0, 33])) {
        assert_eq!(call.output, bytes(count));
        assert_eq!(told.output, bytes(32));
        assert_eq!((call.gas, call.gas_used), (Some(told.gas), Some(told.gas_used)));
    }
    assert_eq!((root.calls.len(), root.gas_used), (3, Some(told.gas_used)));
}

#[test]
fn of_calls_that_run_nothing_little_is_told() {
    // To the identity, to an account without code, and with more than there is.
    let identity = Address::with_last_byte(4);
    let plain = Address::repeat_byte(0xee);
    let outer = calls_to(identity, 0, 0) + &calls_to(plain, 3, 0) + &calls_to(plain, 8, 0) + "00";
    let root = legacy(&state(&outer, ""));
    let call = |value: u8, output, error| LegacyCall {
        typ: "CALL",
        from: OUTER,
        to: Some(plain),
        value: Some(U256::from(value)),
        input: Some(Bytes::new()),
        output,
        error,
        ..LegacyCall::default()
    };
    let refused = Some("internal failure".to_owned());
    assert_eq!(root.calls, [call(3, Some(Bytes::new()), None), call(8, None, refused)]);
    assert_eq!(root.error, None);
}

#[test]
fn a_call_fails_for_its_instruction_and_has_no_output() {
    for (inner, expected) in [
        ("602a60005360206000fd", "execution reverted"),
        ("6000fe", "invalid opcode: INVALID"),
        ("600056", "invalid jump destination"),
    ] {
        let root = legacy(&state(&(calls_to(INNER, 0, 32) + "00"), inner));
        let [call] = &root.calls[..] else { panic!("{root:?}") };
        assert_eq!((call.error.as_deref(), &call.output), (Some(expected), &None));
        assert_eq!(call.gas == call.gas_used, expected != "execution reverted", "{call:?}");
        // The transaction keeps what it reverts with.
        let root = legacy(&state(inner, ""));
        assert_eq!(root.error.as_deref(), Some(expected));
        assert_eq!(root.output.is_some(), expected == "execution reverted");
        assert!(root.calls.is_empty());
    }
}

#[test]
fn a_creation_fails_for_its_instruction_or_for_no_reason() {
    // From no code, or from INVALID.
    let outer = |size: u8| format!("60fe60005360{size:02x}60006000f05000");
    let creation = |outer: &str| {
        let root = legacy(&state(outer, ""));
        let [creation] = &root.calls[..] else { panic!("{root:?}") };
        creation.clone()
    };
    let empty = creation(&outer(0));
    assert_eq!((empty.typ, empty.gas, empty.gas_used), ("CREATE", None, Some(U256::ZERO)));
    assert_eq!((empty.to, empty.output), (Some(OUTER.create(1)), Some(Bytes::new())));
    let invalid = creation(&outer(1));
    assert_eq!(invalid.error.as_deref(), Some("invalid opcode: INVALID"));
    assert_eq!((invalid.gas, invalid.to, &invalid.output), (invalid.gas_used, None, &None));
    // PUSH1 0xef, PUSH1 0, MSTORE8, PUSH1 1, PUSH1 0, RETURN: a code that may not be. Source:
    // EIP-3541.
    let forbidden = creation("6960ef60005360016000f3600052600a60166000f05000");
    assert_eq!(forbidden.error.as_deref(), Some("internal failure"));
    assert!(forbidden.gas.is_some() && forbidden.gas == forbidden.gas_used);
}

#[test]
fn a_transaction_that_creates_nothing_has_an_address_all_the_same() {
    let request = CallRequest { to: None, data: Bytes::from_static(&[0xfe]), ..message() };
    let root = legacy_of(&state("", ""), TraceSubject::Message(&request));
    assert_eq!((root.typ, root.to), ("CREATE", Some(SENDER.create(0))));
    assert_eq!(root.error.as_deref(), Some("invalid opcode: INVALID"));
    assert_eq!(root.output, None);
}

#[test]
fn a_destruction_is_a_call() {
    let root = legacy(&state(&format!("73{AUTHOR:x}ff"), ""));
    let expected = LegacyCall {
        typ: "SELFDESTRUCT",
        from: OUTER,
        to: Some(AUTHOR),
        value: Some(U256::from(10)),
        ..LegacyCall::default()
    };
    assert_eq!(root.calls, [expected]);
}

#[test]
fn memory_that_is_shown_as_output_is_weighed() {
    let view = state(&(calls_to(INNER, 0, 0x1_0000).repeat(4) + "00"), "");
    let run = |json: &str| {
        let tracer = GethTracer::new(options(json)).expect("a tracer");
        let (tx, budget) = (tx(), TraceBudget::new(200_000, || false));
        let origin = TraceOrigin::default();
        at(&view, |place| tracer.trace(place, TraceSubject::Tx(&tx), origin, &budget))
    };
    assert_eq!(run(LEGACY_CALLS).map(|traced| traced.trace), Err(TraceError::TooLarge(200_000)));
    assert!(run(r#"{"tracer": "callTracer"}"#).is_ok());
}

#[test]
fn accounts_are_told_in_full_as_they_were() {
    let mut view = state(&calls_inner(), &format!("600160005573{AUTHOR:x}ff"));
    let inner = view.accounts.get_mut(&INNER).expect("it is there");
    inner.slots.insert(U256::ZERO, U256::from(7));
    let told = accounts(&view, TraceSubject::Tx(&tx()));
    // Neither who gets the fee, nor who gets the rest.
    assert_eq!(told.keys().copied().collect::<Vec<_>>(), [SENDER, OUTER, INNER]);
    for (address, told) in &told {
        let MemoryAccount { account, slots } = &view.accounts[address];
        assert_eq!((told.balance, told.nonce), (account.balance, account.nonce));
        assert_eq!(keccak256(&told.code), account.code_hash);
        let slots: Vec<(B256, B256)> =
            slots.iter().map(|(slot, value)| ((*slot).into(), (*value).into())).collect();
        assert_eq!(told.storage.clone().into_iter().collect::<Vec<_>>(), slots);
    }
    // Of what a transaction creates there was nothing.
    let request = CallRequest { to: None, data: Bytes::new(), ..message() };
    let told = accounts(&view, TraceSubject::Message(&request));
    assert_eq!(told.into_keys().collect::<Vec<_>>(), [SENDER]);
}

#[test]
fn a_slot_is_noted_before_its_gas_is_paid() {
    // Less than EIP-2200 asks for is left.
    let view = state("6001600055", "");
    let request = CallRequest { gas: 21_000 + 100, ..message() };
    let subject = TraceSubject::Message(&request);
    assert_eq!(accounts(&view, subject)[&OUTER].storage.len(), 1);
    let GethOutput::State(StateTrace::Before(before)) =
        geth_of(r#"{"tracer": "prestateTracer"}"#, &view, subject).trace
    else {
        panic!("no diff is asked for")
    };
    assert!(before[&OUTER].state.storage.is_empty());
}

#[test]
fn several_tracers_may_be_of_the_first_form() {
    let view = state(&(calls_to(INNER, 0, 32) + "00"), RETURNS);
    let several = r#"{"tracer": "muxTracer",
        "tracerConfig": {"callTracerLegacy": null, "prestateTracerLegacy": {}}}"#;
    let GethOutput::Several(outputs) = geth(several, &view).trace else { panic!("several") };
    assert_eq!(outputs["callTracerLegacy"], geth(LEGACY_CALLS, &view).trace);
    assert_eq!(outputs["prestateTracerLegacy"], geth(LEGACY_STATE, &view).trace);
}

#[test]
fn who_sends_a_script_is_told_which_tracers_there_are() {
    let error = GethTracer::new(options(r#"{"tracer": "{result: function() {}}"}"#));
    let error = error.expect_err("refused").to_string();
    let (_, names) = error.split_once("; there are ").expect("names");
    let names = names.replace(" and ", ", ");
    for name in names.split(", ") {
        let json = format!(r#"{{"tracer": "{name}", "tracerConfig": {{}}}}"#);
        assert!(GethTracer::new(options(&json)).is_ok(), "{name}");
    }
    assert_eq!(names.split(", ").count(), 10);
}
