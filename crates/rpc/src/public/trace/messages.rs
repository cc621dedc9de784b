//! Traces of what is not in the chain: messages, and transactions that might be sent.

use crate::public::{
    Answer, Context,
    args::{Args, bytes, list},
    block_ref::{BlockRef, block_ref},
    error::{self, invalid_params},
    eth::{call_many::Start, calls},
    overrides::{BlockOverrides, StateOverrides, block_overrides, state_overrides},
    question::with_gas,
    trace::types,
    traces::{Part, Traces, question},
};
use alloy_consensus::transaction::SignerRecoverable;
use alloy_eips::Decodable2718;
use alloy_rpc_types_trace::parity::TraceType;
use fugue_evm::{Place, PreparedTx, TraceSubject, trace_parity};
use fugue_state::{Stack, StateDiff, StateView};
use fugue_types::{HashSet, Transaction};
use jsonrpsee::types::ErrorObjectOwned;
use serde_json::Value;

/// A message, and what is wanted of it.
struct Wish {
    message: calls::Message,
    types: HashSet<TraceType>,
}

const fn after(block: BlockRef) -> Start {
    Start { block, transactions: None }
}

/// `trace_call`.
pub(crate) fn call(context: &Context, mut args: Args) -> Answer {
    let chain_id = context.engine.spec().chain_id();
    let message = args.required("transaction", |value| calls::message(value, chain_id))?;
    let types = args.required("trace types", types)?;
    let block = args.optional("block", block_ref)?.unwrap_or_default();
    let limits = &context.limits;
    let state = args.optional("state overrides", |value| state_overrides(value, limits))?;
    let state = state.unwrap_or_default();
    let of_block = args.optional("block overrides", block_overrides)?.unwrap_or_default();
    args.end()?;
    let traces = Traces::new(context);
    let request = with_gas(context, &message);
    question(context, after(block), &state, &of_block, |place| {
        let subject = TraceSubject::Message(&request);
        traces.value(|part| traced(&traces, part, place, subject, &types).map(|_| ()))
    })
}

/// `trace_callMany`: each message on what those before it have left behind.
pub(crate) fn call_many(context: &Context, mut args: Args) -> Answer {
    let chain_id = context.engine.spec().chain_id();
    let max = context.limits.messages_max;
    let wishes = args.required("calls", |value| list(value, max, |value| wish(value, chain_id)))?;
    let block = args.optional("block", block_ref)?.unwrap_or_default();
    args.end()?;
    let traces = Traces::new(context);
    let (state, of_block) = (StateOverrides::default(), BlockOverrides::default());
    question(context, after(block), &state, &of_block, |place| {
        traces.value(|part| all(context, &traces, part, place, &wishes))
    })
}

fn all(
    context: &Context,
    traces: &Traces,
    part: &mut Part<'_>,
    place: &Place<'_>,
    wishes: &[Wish],
) -> Result<(), ErrorObjectOwned> {
    let mut diffs: Vec<StateDiff> = Vec::new();
    part.punctuation("[")?;
    for (index, Wish { message, types }) in wishes.iter().enumerate() {
        context.patience.check()?;
        let request = with_gas(context, message);
        if index > 0 {
            part.punctuation(",")?;
        }
        let diff = {
            let view: &dyn StateView = &Stack::new(&diffs, place.view);
            let place = Place { view, ..*place };
            traced(traces, part, &place, TraceSubject::Message(&request), types)?
        };
        diffs.push(diff);
    }
    part.punctuation("]")
}

/// `trace_rawTransaction`: as if it were the next one after the block, by the rules of that block.
pub(crate) fn raw_transaction(context: &Context, mut args: Args) -> Answer {
    let encoded = args.required("transaction", bytes)?;
    let types = args.required("trace types", types)?;
    let block = args.optional("block", block_ref)?.unwrap_or_default();
    args.end()?;
    let wrong =
        |reason: String| invalid_params(format!("invalid argument 0 (transaction): {reason}"));
    let tx = Transaction::decode_2718_exact(&encoded).map_err(|error| wrong(error.to_string()))?;
    let sender = tx.recover_signer().map_err(|error| wrong(error.to_string()))?;
    let prepared = PreparedTx::new(&tx, sender).map_err(error::internal)?;
    let traces = Traces::new(context);
    let (state, of_block) = (StateOverrides::default(), BlockOverrides::default());
    question(context, after(block), &state, &of_block, |place| {
        let subject = TraceSubject::Tx(&prepared);
        traces.value(|part| traced(&traces, part, place, subject, &types).map(|_| ()))
    })
}

/// Writes the traces of a message or a transaction, and gives what it leaves behind.
fn traced(
    traces: &Traces,
    part: &mut Part<'_>,
    place: &Place<'_>,
    subject: TraceSubject<'_>,
    types: &HashSet<TraceType>,
) -> Result<StateDiff, ErrorObjectOwned> {
    let traced = trace_parity(place, subject, types, &traces.budget);
    let traced = traced.map_err(|error| traces.error(error))?;
    part.value(&traced.trace)?;
    Ok(traced.diff)
}

fn wish(value: &Value, chain_id: u64) -> Result<Wish, String> {
    match value.as_array().map(Vec::as_slice) {
        Some([message, names]) => {
            Ok(Wish { message: calls::message(message, chain_id)?, types: types(names)? })
        }
        _ => Err("a message and a list of trace types are expected".to_owned()),
    }
}
