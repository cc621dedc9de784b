//! What traces promise, on states of a few accounts.

mod legacy;
mod standard;

use super::*;
use crate::{Assumed, CallPrice, CodeCache, Place, ViewReader, call};
use alloy_consensus::{Signed, TxLegacy};
use alloy_rpc_types_trace::{
    geth::{CallFrame, DefaultFrame, GethDebugTracingOptions, GethDefaultTracingOptions},
    otterscan::OperationType,
    parity::{Action, TraceType},
};
use fugue_chainspec::{ChainSpec, Fork};
use fugue_state::{Account, Guarded, MemoryAccount, MemoryState, Question, StateError, StateView};
use fugue_types::{
    Address, B256, Bytes, HashSet, Header, KECCAK256_EMPTY, Transaction, TxKind, TxType, U256,
    keccak256,
};
use revm::context_interface::{
    either::Either,
    transaction::{
        AccessList, AccessListItem, Authorization, RecoveredAuthority, RecoveredAuthorization,
    },
};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

const SENDER: Address = Address::repeat_byte(0xa1);
const OUTER: Address = Address::repeat_byte(0xc0);
const INNER: Address = Address::repeat_byte(0xc1);
const AUTHOR: Address = Address::repeat_byte(0xfe);
const ETHER: u64 = 1_000_000_000_000_000_000;
const NO_BOUND: usize = usize::MAX / 2;
const GAS: u64 = 200_000;

/// Stores 1 in slot 0, and stops.
const STORES: &str = "600160005500";
/// JUMPDEST, PUSH1 0, JUMP: never ends.
const LOOPS: &str = "5b600056";

/// Calls `INNER` with 3 wei and all gas, and stops.
fn calls_inner() -> String {
    format!("6000600060006000600373{INNER:x}5af100")
}

fn state(outer: &str, inner: &str) -> MemoryState {
    let mut state = MemoryState::default();
    let mut add = |address, nonce, balance: u64, code: &str| {
        let code = Bytes::from(alloy_primitives::hex::decode(code).expect("hex"));
        let code_hash = if code.is_empty() { KECCAK256_EMPTY } else { keccak256(&code) };
        let account = Account { nonce, balance: U256::from(balance), code_hash };
        state.accounts.insert(address, MemoryAccount { account, ..MemoryAccount::default() });
        if !code.is_empty() {
            state.codes.insert(code_hash, code);
        }
    };
    add(SENDER, 0, ETHER, "");
    add(OUTER, 1, 10, outer);
    add(INNER, 1, 0, inner);
    state
}

fn tx() -> PreparedTx {
    let tx = TxLegacy {
        chain_id: None,
        nonce: 0,
        gas_price: 10,
        gas_limit: GAS,
        to: TxKind::Call(OUTER),
        value: U256::ZERO,
        input: Bytes::from_static(&[1, 2, 3, 4, 5]),
    };
    // The sender is given: nobody looks at the signature.
    let void = alloy_primitives::Signature::new(U256::ONE, U256::ONE, false);
    let tx = Transaction::Legacy(Signed::new_unhashed(tx, void));
    PreparedTx::new(&tx, SENDER).expect("type 0 is known")
}

fn message() -> CallRequest {
    CallRequest {
        from: SENDER,
        to: Some(OUTER),
        gas: GAS,
        price: CallPrice::Free,
        ..CallRequest::default()
    }
}

/// Calls with a place over the view.
fn at<T>(view: &dyn StateView, trace: impl FnOnce(&Place<'_>) -> T) -> T {
    in_fork(Fork::Shanghai, view, trace)
}

fn in_fork<T>(fork: Fork, view: &dyn StateView, trace: impl FnOnce(&Place<'_>) -> T) -> T {
    let header = Header {
        number: 1,
        gas_limit: 30_000_000,
        beneficiary: AUTHOR,
        base_fee_per_gas: Some(7),
        excess_blob_gas: Some(0),
        ..Header::default()
    };
    let rules = ChainSpec::at_fork(1, fork).rules(&header);
    let codes = CodeCache::new();
    let assumed = Assumed::default();
    trace(&Place { rules: &rules, header: &header, codes: &codes, view, assumed: &assumed })
}

fn unbounded() -> TraceBudget {
    TraceBudget::new(NO_BOUND, || false)
}

fn options(json: &str) -> GethDebugTracingOptions {
    serde_json::from_str(json).expect("options")
}

fn geth(json: &str, view: &dyn StateView) -> Traced<GethOutput> {
    geth_of(json, view, TraceSubject::Tx(&tx()))
}

fn geth_of(json: &str, view: &dyn StateView, subject: TraceSubject<'_>) -> Traced<GethOutput> {
    let tracer = GethTracer::new(options(json)).expect("a tracer");
    let origin = TraceOrigin::default();
    at(view, |place| tracer.trace(place, subject, origin, &unbounded())).expect("a trace")
}

fn steps(output: GethOutput) -> DefaultFrame {
    let GethOutput::Steps(frame) = output else { panic!("{output:?}") };
    frame
}

fn frame(json: &str, view: &dyn StateView) -> DefaultFrame {
    steps(geth(json, view).trace)
}

fn calls(json: &str, view: &dyn StateView) -> CallFrame {
    let GethOutput::Calls(frame) = geth(json, view).trace else { panic!("calls are asked for") };
    *frame
}

fn flat(json: &str, view: &dyn StateView) -> Vec<FlatCall> {
    let GethOutput::Flat(calls) = geth(json, view).trace else { panic!("calls are asked for") };
    calls
}

fn state_trace(json: &str, view: &dyn StateView) -> StateTrace {
    let GethOutput::State(state) = geth(json, view).trace else { panic!("a state is asked for") };
    state
}

#[test]
fn without_a_name_all_steps_are_given() {
    let frame = frame("{}", &state(STORES, ""));
    let steps: Vec<_> = frame.struct_logs.iter().map(|step| (step.pc, step.opcode())).collect();
    assert_eq!(steps, [(0, "PUSH1"), (2, "PUSH1"), (4, "SSTORE"), (5, "STOP")]);
    assert!(!frame.failed);
    assert_eq!(frame.struct_logs[2].storage.as_ref().map(|slots| slots.len()), Some(1));
    assert_eq!(frame.struct_logs[2].stack.as_ref().map(Vec::len), Some(2));
    assert!(frame.struct_logs[0].memory.is_none());
}

#[test]
fn a_limit_of_steps_is_kept_and_the_run_goes_on() {
    let frame = frame(r#"{"limit": 2}"#, &state(STORES, ""));
    assert_eq!(frame.struct_logs.len(), 2);
    assert!(!frame.failed);
}

#[test]
fn calls_are_given_as_a_tree_or_flat_and_both_say_the_same() {
    let view = state(&calls_inner(), STORES);
    let tree = calls(r#"{"tracer": "callTracer"}"#, &view);
    assert_eq!((tree.from, tree.to, tree.calls.len()), (SENDER, Some(OUTER), 1));
    let inner = &tree.calls[0];
    assert_eq!((inner.from, inner.to, inner.value), (OUTER, Some(INNER), Some(U256::from(3))));
    let top = r#"{"tracer": "callTracer", "tracerConfig": {"onlyTopCall": true}}"#;
    assert!(calls(top, &view).calls.is_empty());

    let tx = tx();
    let flat = at(&view, |place| trace_calls(place, TraceSubject::Tx(&tx), &unbounded()));
    let flat = flat.expect("a trace").trace;
    let addresses: Vec<_> = flat.iter().map(|call| call.trace_address.clone()).collect();
    assert_eq!(addresses, [Vec::<usize>::new(), vec![0_usize]]);
    let Action::Call(call) = &flat[1].action else { panic!("{flat:?}") };
    assert_eq!((call.from, call.to, call.value), (OUTER, INNER, U256::from(3)));
}

#[test]
fn the_state_before_is_what_the_transaction_looks_at() {
    let view = state(STORES, "");
    let StateTrace::Before(before) = state_trace(r#"{"tracer": "prestateTracer"}"#, &view) else {
        panic!("no diff is asked for")
    };
    assert_eq!(before[&SENDER].state.balance, Some(U256::from(ETHER)));
    let outer = &before[&OUTER];
    assert_eq!(outer.state.storage.len(), 1);
    assert!(outer.state.code.is_some());
    assert_eq!(outer.code_hash, Some(view.accounts[&OUTER].account.code_hash));
    assert!(!before.contains_key(&AUTHOR), "an account that does not exist yet");
    let all = r#"{"tracer": "prestateTracer", "tracerConfig": {"includeEmpty": true}}"#;
    let StateTrace::Before(before) = state_trace(all, &view) else { panic!("no diff") };
    assert_eq!(before[&AUTHOR].state.balance, Some(U256::ZERO));
}

#[test]
fn what_a_static_call_may_not_store_is_refused_and_not_looked_at() {
    // STATICCALL of `INNER` with all gas, and STOP.
    let view = state(&format!("600060006000600073{INNER:x}5afa00"), STORES);
    let tree = calls(r#"{"tracer": "callTracer"}"#, &view);
    assert_eq!(tree.calls[0].error.as_deref(), Some("out of gas: write protection"));
    let StateTrace::Before(before) = state_trace(r#"{"tracer": "prestateTracer"}"#, &view) else {
        panic!("no diff is asked for")
    };
    assert!(before[&INNER].state.storage.is_empty(), "{before:?}");
}

#[test]
fn a_diff_has_what_was_and_what_is_new() {
    let json = r#"{"tracer": "prestateTracer", "tracerConfig": {"diffMode": true}}"#;
    let traced = state_trace(json, &state(&calls_inner(), STORES));
    let StateTrace::Diff { post, pre } = traced else { panic!("a diff is asked for") };
    assert_eq!(pre[&INNER].state.balance, Some(U256::ZERO));
    assert_eq!(pre[&INNER].state.storage.len(), 0, "the slot was zero");
    assert_eq!(post[&INNER].state.balance, Some(U256::from(3)));
    assert_eq!(post[&INNER].state.storage.len(), 1);
    assert_eq!((&post[&INNER].state.code, post[&INNER].state.nonce), (&None, None));
    assert_eq!(post[&SENDER].state.nonce, Some(1));
    assert!(!pre.contains_key(&AUTHOR), "it was not there");
    assert!(post.contains_key(&AUTHOR), "it got a fee");
}

#[test]
fn several_tracers_give_what_each_gives_alone() {
    let view = state(&calls_inner(), STORES);
    let several = r#"{"tracer": "muxTracer", "tracerConfig": {
        "callTracer": {"withLog": true}, "prestateTracer": null, "4byteTracer": null,
        "erc7562Tracer": {}
    }}"#;
    let GethOutput::Several(outputs) = geth(several, &view).trace else { panic!("several") };
    for (name, alone) in [
        ("callTracer", r#"{"tracer": "callTracer", "tracerConfig": {"withLog": true}}"#),
        ("prestateTracer", r#"{"tracer": "prestateTracer"}"#),
        ("4byteTracer", r#"{"tracer": "4byteTracer"}"#),
        ("erc7562Tracer", r#"{"tracer": "erc7562Tracer"}"#),
    ] {
        assert_eq!(outputs[name], geth(alone, &view).trace, "{name}");
    }
    assert_eq!(outputs.len(), 4);
}

/// Makes a contract without code, and stops.
const CREATES: &str = "600060006000f05000";

#[test]
fn a_creation_costs_its_instruction_and_not_what_it_passes_on() {
    let frame = frame("{}", &state(CREATES, ""));
    let create = frame.struct_logs.iter().find(|step| step.opcode() == "CREATE");
    assert_eq!(create.map(|step| step.gas_cost), Some(32_000));
    // Nothing is run where there is no code.
    assert!(frame.struct_logs.iter().all(|step| step.depth == 1));
}

/// Stores 0 in slot 0, and calls `INNER` as `calls_inner` does.
fn clears_and_calls() -> String {
    format!("6000600055{}", calls_inner())
}

#[test]
fn refunds_are_those_of_the_transaction() {
    let mut view = state(&clears_and_calls(), STORES);
    let outer = view.accounts.get_mut(&OUTER).expect("it is there");
    outer.slots.insert(U256::ZERO, U256::ONE);
    let frame = frame("{}", &view);
    let inner: Vec<_> = frame.struct_logs.iter().filter(|step| step.depth == 2).collect();
    assert!(!inner.is_empty());
    // Source: EIP-3529, SSTORE_CLEARS_SCHEDULE.
    assert!(inner.iter().all(|step| step.refund_counter == Some(4_800)), "{inner:?}");
    assert_eq!(frame.struct_logs[0].refund_counter, None);
}

#[test]
fn what_delegations_give_back_is_refunded_from_the_first_step_on() {
    // `INNER`, which is there, delegates.
    let authorization = Authorization { chain_id: U256::ZERO, address: OUTER, nonce: 1 };
    let authority = RecoveredAuthority::Valid(INNER);
    let authorization = RecoveredAuthorization::new_unchecked(authorization, authority);
    let PreparedTx { mut env, .. } = tx();
    env.tx_type = 4;
    env.chain_id = Some(1);
    env.authorization_list = vec![Either::Right(authorization)];
    let tx = PreparedTx { env, tx_type: TxType::Eip7702 };
    let view = state(STORES, "");
    let tracer = GethTracer::new(options("{}")).expect("a tracer");
    let mut told = Vec::new();
    let mut sink = |line: &StandardLine| {
        if let StandardLine::Step(step) = line {
            told.push(step.refund);
        }
    };
    let traced = in_fork(Fork::Prague, &view, |place| {
        let (subject, budget) = (TraceSubject::Tx(&tx), unbounded());
        let shown = GethDefaultTracingOptions::default();
        trace_standard(place, subject, &shown, &budget, &mut sink).expect("a trace");
        tracer.trace(place, subject, TraceOrigin::default(), &budget).expect("a trace").trace
    });
    let refunds: Vec<_> =
        steps(traced).struct_logs.iter().map(|step| step.refund_counter).collect();
    // Source: EIP-7702, PER_EMPTY_ACCOUNT_COST - PER_AUTH_BASE_COST.
    assert_eq!((refunds, told), (vec![Some(12_500); 4], vec![12_500; 4]));
}

#[test]
fn a_slot_is_shown_though_it_was_warm_from_the_start() {
    // SLOAD of slot 0, and STOP.
    let view = state("60005400", "");
    let slots = AccessListItem { address: OUTER, storage_keys: vec![B256::ZERO] };
    let request = CallRequest { access_list: Some(AccessList(vec![slots])), ..message() };
    let frame = steps(geth_of("{}", &view, TraceSubject::Message(&request)).trace);
    let shown = frame.struct_logs[1].storage.as_ref().expect("it looks at a slot");
    assert_eq!(shown.get(&B256::ZERO), Some(&B256::ZERO));
}

#[test]
fn steps_say_what_they_are_and_why_they_end() {
    let told = |code: &str| {
        let frame = frame("{}", &state(code, ""));
        let last = frame.struct_logs.last().expect("a step").clone();
        (last.op.into_owned(), last.error)
    };
    for (code, op, error) in [
        ("0c", "opcode 0xc not defined", "invalid opcode: opcode 0xc not defined"),
        ("01", "ADD", "stack underflow (0 <=> 2)"),
        ("600056", "JUMP", "invalid jump destination"),
        (LOOPS, "JUMPDEST", "out of gas"),
    ] {
        let (found, reason) = told(code);
        assert_eq!((found.as_str(), reason.as_deref()), (op, Some(error)), "{code}");
    }
}

#[test]
fn a_list_of_calls_leaves_out_precompiled_contracts_unless_it_is_to_have_them() {
    // Calls the contract at 4 with 0 wei.
    let view = state("6000600060006000600060045af100", "");
    assert_eq!(flat(r#"{"tracer": "flatCallTracer"}"#, &view).len(), 1);
    let with = r#"{"tracer": "flatCallTracer", "tracerConfig": {"includePrecompiles": true}}"#;
    let calls = flat(with, &view);
    let places = calls.iter().map(|call| (call.trace_address.clone(), call.subtraces));
    let places: Vec<_> = places.collect();
    assert_eq!(places, [(vec![], 1), (vec![0], 0)]);
}

#[test]
fn errors_are_in_the_words_of_one_client_or_the_other() {
    let view = state("fe", "");
    let told = |json: &str| {
        let calls = flat(json, &view);
        assert!(calls[0].result.is_none(), "a halt gives nothing");
        calls[0].error.clone().expect("it fails")
    };
    assert_eq!(told(r#"{"tracer": "flatCallTracer"}"#), "invalid opcode: INVALID");
    let parity = r#"{"tracer": "flatCallTracer", "tracerConfig": {"convertParityErrors": true}}"#;
    assert_eq!(told(parity), "Bad instruction");
}

#[test]
fn logs_of_what_is_reverted_are_forgotten_and_have_no_number() {
    // `INNER` logs and reverts; `OUTER` then logs.
    let outer = calls_inner().trim_end_matches("00").to_owned() + "60006000a000";
    let view = state(&outer, "60006000a060006000fd");
    let frame = calls(r#"{"tracer": "callTracer", "tracerConfig": {"withLog": true}}"#, &view);
    assert!(frame.calls[0].logs.is_empty());
    assert_eq!(frame.calls[0].error.as_deref(), Some("execution reverted"));
    let [log] = &frame.logs[..] else { panic!("{:?}", frame.logs) };
    assert_eq!((log.index, log.position), (Some(0), Some(1)));
}

#[test]
fn the_fee_is_paid_directly_and_the_changes_are_those_of_a_kernel() {
    let view = state(&calls_inner(), STORES);
    let traced = geth("{}", &view);
    let tx = tx();
    let (executed, expected) = at(&view, |place| {
        let Place { rules, header, codes, view, .. } = *place;
        let fees = crate::FeePayment::Direct;
        let mut kernel = crate::Kernel::new(rules, header, codes, ViewReader(view), fees);
        let executed = kernel.transact(&tx).expect("valid");
        (executed, kernel.take().0)
    });
    assert_eq!(traced.diff, expected);
    let paid = traced.diff.accounts.iter().find(|change| change.address == AUTHOR);
    let paid = paid.and_then(|change| change.after).map(|account| account.balance);
    assert_eq!(paid, Some(U256::from(3 * executed.result.gas.used)), "a tip of 10 - 7");
}

#[test]
fn a_message_is_traced_as_it_is_called() {
    let view = state(&calls_inner(), STORES);
    let types: HashSet<TraceType> =
        [TraceType::Trace, TraceType::StateDiff, TraceType::VmTrace].into_iter().collect();
    let request = message();
    let (traced, called) = at(&view, |place| {
        let subject = TraceSubject::Message(&request);
        let traced = trace_parity(place, subject, &types, &unbounded()).expect("a trace");
        (traced, call(place, &request).expect("it runs"))
    });
    let results = traced.trace;
    assert_eq!(results.output, called.output);
    assert_eq!(results.trace.len(), 2);
    let steps = results.vm_trace.expect("steps");
    let below = steps.ops.iter().filter_map(|step| step.sub.as_ref()).count();
    assert_eq!((steps.ops.len(), below), (9, 1));
    let changed = results.state_diff.expect("changes");
    assert!(changed.contains_key(&INNER) && changed.contains_key(&SENDER));
    // What comes after it sees its changes.
    let stored = traced.diff.accounts.iter().find(|change| change.address == INNER);
    assert_eq!(stored.map(|change| change.slots.len()), Some(1));
}

#[test]
fn gas_is_told_by_instruction_and_without_that_of_calls() {
    let view = state(&calls_inner(), STORES);
    let tx = tx();
    let traced = at(&view, |place| {
        trace_opcode_gas(place, TraceSubject::Tx(&tx), &unbounded()).expect("a trace")
    });
    let names: Vec<_> = traced.trace.iter().map(|one| one.opcode.as_str()).collect();
    assert!(names.is_sorted(), "{names:?}");
    let of = |name: &str| traced.trace.iter().find(|one| one.opcode == name).expect("it ran");
    assert_eq!((of("PUSH1").count, of("PUSH1").gas_used), (7, 21));
    assert_eq!(of("SSTORE").count, 1);
    // A cold account and a transfer; not what the call was given.
    assert!(of("CALL").gas_used < 15_000, "{:?}", of("CALL"));
}

#[test]
fn internal_operations_are_those_below_the_transaction() {
    let view = state(&calls_inner(), STORES);
    let tx = tx();
    let traced = at(&view, |place| {
        trace_internal_operations(place, TraceSubject::Tx(&tx), &unbounded()).expect("a trace")
    });
    let [operation] = traced.trace[..] else { panic!("{:?}", traced.trace) };
    assert_eq!(operation.r#type, OperationType::OpTransfer);
    assert_eq!((operation.from, operation.to), (OUTER, INNER));
}

#[test]
fn a_run_that_keeps_too_much_is_stopped() {
    let view = state(LOOPS, "");
    let tx = tx();
    let tracer = GethTracer::new(options("{}")).expect("a tracer");
    let bytes_max = 100_000;
    let budget = TraceBudget::new(bytes_max, || false);
    let origin = TraceOrigin::default();
    let refused = at(&view, |place| tracer.trace(place, TraceSubject::Tx(&tx), origin, &budget));
    assert_eq!(refused.map(|traced| traced.trace), Err(TraceError::TooLarge(bytes_max)));
    // It ended near the bound, and long before its gas did: 40,000 steps have 600 bytes each.
    assert!(budget.bytes() < 4 * bytes_max, "{}", budget.bytes());
    // What keeps nothing has room for any number of steps.
    let tracer = GethTracer::new(options(r#"{"tracer": "noopTracer"}"#)).expect("a tracer");
    let budget = TraceBudget::new(0, || false);
    let traced = at(&view, |place| tracer.trace(place, TraceSubject::Tx(&tx), origin, &budget));
    assert!(traced.is_ok(), "{traced:?}");
}

#[test]
fn traces_for_one_answer_share_their_room() {
    let view = state(STORES, "");
    let tx = tx();
    let tracer = GethTracer::new(options("{}")).expect("a tracer");
    let origin = TraceOrigin::default();
    let trace = |budget: &TraceBudget| {
        at(&view, |place| tracer.trace(place, TraceSubject::Tx(&tx), origin, budget)).is_ok()
    };
    let all = unbounded();
    assert!(trace(&all));
    let budget = TraceBudget::new(2 * all.bytes(), || false);
    assert!(trace(&budget) && trace(&budget) && !trace(&budget));
}

#[test]
fn calls_that_are_left_out_take_no_room() {
    let bytes = |json: &str, outer: &str| {
        let (view, tx, budget) = (state(outer, "60206000f3"), tx(), unbounded());
        let tracer = GethTracer::new(options(json)).expect("a tracer");
        let (subject, origin) = (TraceSubject::Tx(&tx), TraceOrigin::default());
        at(&view, |place| tracer.trace(place, subject, origin, &budget)).expect("a trace");
        budget.bytes()
    };
    let top = r#"{"tracer": "callTracer", "tracerConfig": {"onlyTopCall": true}}"#;
    assert_eq!(bytes(top, &calls_inner()), bytes(top, "00"));
    let all = r#"{"tracer": "callTracer"}"#;
    assert!(bytes(all, &calls_inner()) > bytes(all, "00"));
}

#[test]
fn a_run_that_nobody_waits_for_is_stopped() {
    let view = state(LOOPS, "");
    let tx = tx();
    let looks = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&looks);
    let budget = TraceBudget::new(NO_BOUND, move || counted.fetch_add(1, Ordering::Relaxed) == 2);
    let refused = at(&view, |place| trace_calls(place, TraceSubject::Tx(&tx), &budget));
    assert_eq!(refused, Err(TraceError::GivenUp));
    assert_eq!(looks.load(Ordering::Relaxed), 3, "the third look ended it");
}

#[test]
fn a_code_that_cannot_be_read_is_an_error_and_not_left_out() {
    // BALANCE of `INNER`: its code is not run, but the state before shows it.
    let view = state(&format!("73{INNER:x}3100"), STORES);
    let outer = view.accounts[&OUTER].account.code_hash;
    let inner = view.accounts[&INNER].account.code_hash;
    let outer_code = view.codes[&outer].clone();
    let view = Guarded::new(&view, |question| match question {
        Question::Code(code_hash) => Err(StateError::CodeMissing(code_hash)),
        _ => Ok(()),
    });
    let tracer = GethTracer::new(options(r#"{"tracer": "prestateTracer"}"#)).expect("a tracer");
    let tx = tx();
    let refused = at(&view, |place| {
        place.codes.warm(outer, &outer_code);
        tracer.trace(place, TraceSubject::Tx(&tx), TraceOrigin::default(), &unbounded())
    });
    let missing = CallError::State(StateError::CodeMissing(inner));
    assert_eq!(refused.map(|traced| traced.trace), Err(TraceError::Call(missing)));
}

#[test]
fn a_transaction_that_breaks_a_rule_is_not_traced() {
    let mut view = state(STORES, "");
    view.accounts.remove(&SENDER);
    let tx = tx();
    let refused = at(&view, |place| trace_calls(place, TraceSubject::Tx(&tx), &unbounded()));
    let Err(TraceError::Call(CallError::Invalid(invalid))) = refused else { panic!("{refused:?}") };
    assert!(invalid.names().contains(&"INSUFFICIENT_ACCOUNT_FUNDS"));
}

#[test]
fn tracers_that_are_not_known_are_refused() {
    for (json, expected) in [
        (r#"{"tracer": "noSuchTracer"}"#, "no tracer is named \"noSuchTracer\""),
        (r#"{"tracer": "{result: function() {}}"}"#, "no tracer is named \"{result"),
        (
            r#"{"tracer": "callTracer", "tracerConfig": {"onlyTopCall": 3}}"#,
            "invalid tracer config: onlyTopCall: invalid type",
        ),
        (
            r#"{"tracer": "prestateTracer",
                "tracerConfig": {"diffMode": true, "includeEmpty": true}}"#,
            "invalid tracer config: cannot use diffMode with includeEmpty",
        ),
        (
            r#"{"tracer": "muxTracer", "tracerConfig": {"noSuchTracer": null}}"#,
            "no tracer is named \"noSuchTracer\"",
        ),
        (
            r#"{"tracer": "muxTracer", "tracerConfig": {"muxTracer": {}}}"#,
            "invalid tracer config: a muxTracer in a muxTracer",
        ),
    ] {
        let error = GethTracer::new(options(json)).expect_err("refused").to_string();
        assert!(error.starts_with(expected), "{error}");
    }
    assert!(GethTracer::new(options(r#"{"tracer": ""}"#)).is_ok());
}
