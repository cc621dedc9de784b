//! What a transaction did, as Otterscan shows it.

use crate::public::{
    Answer, Context,
    args::{Args, hash},
    eth::transactions,
    json,
    traces::{Traces, rerun},
};
use alloy_rpc_types_trace::{
    otterscan::TraceEntry,
    parity::{Action, CallType, CreationMethod, TransactionTrace},
};
use fugue_evm::{trace_calls, trace_internal_operations};
use fugue_types::{Bytes, TxStatus};

/// `ots_getInternalOperations`: transfers, creations and destructions below the transaction itself.
/// Null if it is not known.
pub(crate) fn internal_operations(context: &Context, mut args: Args) -> Answer {
    let hash = args.required("transaction hash", hash)?;
    args.end()?;
    let view = context.view();
    let Some((viewed, index)) = transactions::find(&view, hash)? else { return json(&()) };
    let traces = Traces::new(context);
    rerun(context, &view, viewed, index, |rerun| {
        traces.one(|| {
            let traced = rerun.at(&traces, index, |place, subject, _| {
                trace_internal_operations(place, subject, &traces.budget)
            })?;
            traces.write(&traced.trace)
        })
    })
}

/// `ots_traceTransaction`: calls, creations and destructions in order. Null if the transaction is
/// not known.
pub(crate) fn calls(context: &Context, mut args: Args) -> Answer {
    let hash = args.required("transaction hash", hash)?;
    args.end()?;
    let view = context.view();
    let Some((viewed, index)) = transactions::find(&view, hash)? else { return json(&()) };
    let traces = Traces::new(context);
    rerun(context, &view, viewed, index, |rerun| {
        traces.one(|| {
            let traced = rerun.at(&traces, index, |place, subject, _| {
                trace_calls(place, subject, &traces.budget)
            })?;
            let entries: Vec<_> = traced.trace.into_iter().filter_map(entry).collect();
            traces.write(&entries)
        })
    })
}

/// Source: Otterscan, "Custom JSON-RPC API", `ots_traceTransaction`.
fn entry(trace: TransactionTrace) -> Option<TraceEntry> {
    let depth = u32::try_from(trace.trace_address.len()).unwrap_or(u32::MAX);
    let created = trace.result.as_ref().and_then(|result| result.created_contract());
    let output = trace.result.map(|result| result.into_output()).unwrap_or_default();
    let (name, from, to, value, input) = match trace.action {
        Action::Call(call) => {
            // These two move no value of their own.
            let moves = !matches!(call.call_type, CallType::DelegateCall | CallType::StaticCall);
            let value = moves.then_some(call.value);
            (call.call_type.to_string(), call.from, call.to, value, call.input)
        }
        Action::Create(create) => {
            let name = match create.creation_method {
                CreationMethod::Create2 => "CREATE2",
                _ => "CREATE",
            };
            let to = created.unwrap_or_default();
            (name.to_owned(), create.from, to, Some(create.value), create.init)
        }
        Action::Selfdestruct(end) => {
            let name = "SELFDESTRUCT".to_owned();
            (name, end.address, end.refund_address, Some(end.balance), Bytes::new())
        }
        Action::Reward(_) => return None,
    };
    Some(TraceEntry { r#type: name, depth, from, to, value, input, output })
}

/// `ots_getTransactionError`: what a transaction reverted with; empty if it did not. Null if it is
/// not known.
pub(crate) fn error_of(context: &Context, mut args: Args) -> Answer {
    let hash = args.required("transaction hash", hash)?;
    args.end()?;
    let view = context.view();
    let Some((viewed, index)) = transactions::find(&view, hash)? else { return json(&()) };
    rerun(context, &view, viewed, index.saturating_add(1), |rerun| {
        let result = rerun.replay.results().get(index);
        let reverted = result.filter(|result| result.status == TxStatus::Revert);
        json(&reverted.map(|result| result.output.clone()).unwrap_or_default())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_rpc_types_trace::parity::{
        CallAction, CallOutput, CreateAction, CreateOutput, SelfdestructAction, TraceOutput,
    };
    use fugue_types::{Address, U256};

    const HERE: Address = Address::repeat_byte(1);
    const THERE: Address = Address::repeat_byte(2);

    fn told(action: Action, result: Option<TraceOutput>) -> TraceEntry {
        let trace_address = vec![0, 3];
        let trace = TransactionTrace { action, result, trace_address, ..Default::default() };
        entry(trace).expect("an entry")
    }

    #[test]
    fn calls_have_a_value_where_they_move_it() {
        let call = |call_type| {
            let value = U256::from(5);
            let action =
                CallAction { from: HERE, to: THERE, call_type, value, ..Default::default() };
            let output = CallOutput { gas_used: 1, output: Bytes::from_static(&[7]) };
            told(Action::Call(action), Some(TraceOutput::Call(output)))
        };
        let entry = call(CallType::Call);
        assert_eq!((entry.r#type.as_str(), entry.depth), ("CALL", 2));
        assert_eq!((entry.value, entry.output), (Some(U256::from(5)), Bytes::from_static(&[7])));
        assert_eq!(call(CallType::StaticCall).value, None);
        assert_eq!(call(CallType::DelegateCall).value, None);
    }

    #[test]
    fn creations_and_destructions_are_entries_too() {
        let create = CreateAction {
            from: HERE,
            creation_method: CreationMethod::Create2,
            ..Default::default()
        };
        let output = CreateOutput { address: THERE, code: Bytes::new(), gas_used: 1 };
        let entry = told(Action::Create(create), Some(TraceOutput::Create(output)));
        assert_eq!((entry.r#type.as_str(), entry.from, entry.to), ("CREATE2", HERE, THERE));
        let end =
            SelfdestructAction { address: HERE, balance: U256::from(9), refund_address: THERE };
        let entry = told(Action::Selfdestruct(end), None);
        assert_eq!((entry.r#type.as_str(), entry.to), ("SELFDESTRUCT", THERE));
        assert_eq!(entry.value, Some(U256::from(9)));
    }
}
