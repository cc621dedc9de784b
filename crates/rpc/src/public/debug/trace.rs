//! Traces of go-ethereum: of a transaction, of all of a block, and of messages.

mod options;

use crate::public::{
    Answer, Class, Context, Table,
    args::{Args, bytes, hash},
    block_ref::{BlockRef, block_ref, number_or_tag},
    error::{self, invalid_params, refused},
    eth::{
        blocks,
        call_many::{Bundle, Start, bundles},
        calls,
    },
    json,
    overrides::BlockOverrides,
    question::with_gas,
    revert,
    traces::{Rerun, Traces, question, rerun, rerun_block, tx},
};
use alloy_consensus::transaction::SignerRecoverable;
use alloy_rlp::Decodable;
use alloy_rpc_types_trace::{common::TraceResult, geth::GethTrace};
use fugue_chain::{ChainView, ViewedBlock};
use fugue_chainspec::Fork;
use fugue_evm::{CallRequest, Place, TraceOrigin, TraceSubject};
use fugue_executor::BlockError;
use fugue_state::{Stack, StateDiff, StateView};
use fugue_types::{Block, Header};
use jsonrpsee::{core::JsonRawValue, types::ErrorObjectOwned};
use options::{CallOptions, Options, call_options, options};

/// The methods of this room.
pub(in crate::public) const METHODS: Table = &[
    ("debug_traceBlock", Class::Tracing, block),
    ("debug_traceBlockByHash", Class::Tracing, block_by_hash),
    ("debug_traceBlockByNumber", Class::Tracing, block_by_number),
    ("debug_traceCall", Class::Tracing, call),
    ("debug_traceCallMany", Class::Tracing, call_many),
    ("debug_traceTransaction", Class::Tracing, transaction),
];

/// A block's gas limit may be larger than its parent's by less than this part of it. Source: Yellow
/// Paper, "Block Header Validity".
const GAS_LIMIT_PART: u64 = 1_024;

/// `debug_traceTransaction`.
fn transaction(context: &Context, mut args: Args) -> Answer {
    let hash = args.required("transaction hash", hash)?;
    let options = last(args)?;
    let context = &options.patient(context);
    let view = context.view();
    let (viewed, index) = tx(&view, hash)?;
    let traces = Traces::new(context);
    rerun(context, &view, viewed, index, |rerun| {
        traces.one(|| traces.write(&at(rerun, &traces, index, &options)?))
    })
}

/// `debug_traceBlockByNumber`.
fn block_by_number(context: &Context, mut args: Args) -> Answer {
    let named = args.required("block number", number_or_tag)?;
    let options = last(args)?;
    let context = &options.patient(context);
    let view = context.view();
    let Some(viewed) = blocks::find(&view, &named)? else {
        return Err(refused(match named {
            BlockRef::Number(number) => format!("block #{number} not found"),
            BlockRef::Tag(_) | BlockRef::Hash { .. } => "block not found".to_owned(),
        }));
    };
    known_block(context, &view, viewed, &options)
}

/// `debug_traceBlockByHash`: also of a block beside the chain that is not forgotten.
fn block_by_hash(context: &Context, mut args: Args) -> Answer {
    let hash = args.required("block hash", hash)?;
    let options = last(args)?;
    let context = &options.patient(context);
    let view = context.view();
    let viewed = view.block_by_hash(hash).map_err(error::of_chain)?;
    let viewed = viewed.ok_or_else(|| refused(format!("block {hash} not found")))?;
    known_block(context, &view, viewed, &options)
}

fn known_block(
    context: &Context,
    view: &ChainView,
    viewed: ViewedBlock,
    options: &Options,
) -> Answer {
    let count = viewed.body.transactions.len();
    // The state after the last transaction is not looked at.
    rerun(context, view, viewed, count.saturating_sub(1), |rerun| {
        all_of(rerun, &Traces::new(context), count, options)
    })
}

/// `debug_traceBlock`: of any block on a block of the chain, in RLP.
fn block(context: &Context, mut args: Args) -> Answer {
    let rlp = args.required("block", bytes)?;
    let options = last(args)?;
    let context = &options.patient(context);
    let wrong = |reason: String| invalid_params(format!("invalid argument 0 (block): {reason}"));
    let mut rest = &rlp[..];
    let block = Block::decode(&mut rest).map_err(|error| wrong(error.to_string()))?;
    if !rest.is_empty() {
        return Err(wrong("bytes after the block".to_owned()));
    }
    let view = context.view();
    check_bounds(&view, &block.header)?;
    let is_homestead = view.spec().rules(&block.header).has(Fork::Homestead);
    let recover = |tx: &fugue_types::Transaction| {
        if is_homestead { tx.recover_signer() } else { tx.recover_signer_unchecked() }
    };
    let senders = block.body.transactions.iter().map(recover).collect::<Result<Vec<_>, _>>();
    let senders = senders.map_err(|_| wrong("a signature is invalid".to_owned()))?;
    let hash = block.header.hash_slow();
    let Block { header, body } = block;
    let count = body.transactions.len();
    let viewed = ViewedBlock { hash, header, body, senders };
    let recovered = viewed.into_recovered().map_err(error::internal)?;
    let invalid = |error| match error {
        BlockError::Invalid(reason) => refused(format!("invalid block: {reason}")),
        other => error::of_replay(other),
    };
    rerun_block(context, &view, recovered, count.saturating_sub(1), invalid, |rerun| {
        all_of(rerun, &Traces::new(context), count, &options)
    })
}

/// What bounds a run, its gas limit and the price of blobs, must be what it could be in the chain.
fn check_bounds(view: &ChainView, header: &Header) -> Result<(), ErrorObjectOwned> {
    let parent = view.number(header.parent_hash).map_err(error::of_chain)?;
    // Without a parent it is not run.
    let Some(parent) = parent else { return Ok(()) };
    let found = view.header(parent).map_err(error::of_chain)?;
    let (_, parent) = found.ok_or_else(error::block_not_found)?;
    let limit = parent.gas_limit;
    // The base fee doubles the gas limit at London. Source: EIP-1559, "Specification".
    let limit_max = limit.saturating_mul(2).saturating_add(limit / GAS_LIMIT_PART);
    // Source: EIP-4844, "Header extension".
    let excess_max = parent.excess_blob_gas.unwrap_or_default();
    let excess_max = excess_max.saturating_add(parent.blob_gas_used.unwrap_or_default());
    let excess = header.excess_blob_gas.unwrap_or_default();
    for (what, found, max) in
        [("gasLimit", header.gas_limit, limit_max), ("excessBlobGas", excess, excess_max)]
    {
        if found > max {
            return Err(invalid_params(format!(
                "invalid argument 0 (block): {what} {found} cannot follow its parent, {max} is \
                 the most"
            )));
        }
    }
    Ok(())
}

fn all_of(rerun: &Rerun<'_>, traces: &Traces, count: usize, options: &Options) -> Answer {
    let pieces = traces.each(count, |index| {
        let result = at(rerun, traces, index, options)?;
        let tx_hash = Some(rerun.tx_hash(index));
        traces.write(&TraceResult::<_, String>::new_success(result, tx_hash))
    })?;
    json(&pieces)
}

fn at(
    rerun: &Rerun<'_>,
    traces: &Traces,
    index: usize,
    options: &Options,
) -> Result<GethTrace, ErrorObjectOwned> {
    let traced = rerun.at(traces, index, |place, subject, origin| {
        options.tracer.trace(place, subject, origin, &traces.budget)
    })?;
    Ok(in_words(traced.trace))
}

/// `debug_traceCall`.
fn call(context: &Context, mut args: Args) -> Answer {
    let chain_id = context.engine.spec().chain_id();
    let message = args.required("transaction", |value| calls::message(value, chain_id))?;
    let block = args.optional("block", block_ref)?.unwrap_or_default();
    let CallOptions { options, state, block: of_block, transactions } = last_of_call(args)?;
    let context = &options.patient(context);
    let start = Start { block, transactions };
    // Where it is run in the block is said by an index that must be there.
    if let Some(index) = transactions {
        check_index(context, &block, index)?;
    }
    let traces = Traces::new(context);
    let request = with_gas(context, &message);
    question(context, start, &state, &of_block, |place| {
        traces.one(|| Ok(of_message(&traces, place, &request, &options)?.0))
    })
}

fn check_index(context: &Context, block: &BlockRef, index: usize) -> Result<(), ErrorObjectOwned> {
    let view = context.view();
    block.number_with_state(&view)?;
    let found = blocks::find(&view, block)?.ok_or_else(error::block_not_found)?;
    let count = found.body.transactions.len();
    if index >= count {
        return Err(invalid_params(format!(
            "invalid argument 2 (options): txIndex: the block has {count} transactions"
        )));
    }
    Ok(())
}

/// `debug_traceCallMany`: each message on what those before it have left behind. Source: the
/// documentation of Erigon and of Reth.
fn call_many(context: &Context, mut args: Args) -> Answer {
    let chain_id = context.engine.spec().chain_id();
    let (bundles, start) = bundles(&mut args, chain_id)?;
    let CallOptions { options, state, block: of_block, transactions } = last_of_call(args)?;
    if transactions.is_some() || of_block != BlockOverrides::default() {
        return Err(invalid_params(
            "invalid argument 2 (options): txIndex and blockOverrides belong into the other \
             arguments",
        ));
    }
    let context = &options.patient(context);
    let traces = Traces::new(context);
    question(context, start, &state, &of_block, |place| {
        traces.one(|| json(&all_messages(context, &traces, place, &bundles, &options)?))
    })
}

fn all_messages(
    context: &Context,
    traces: &Traces,
    place: &Place<'_>,
    bundles: &[Bundle],
    options: &Options,
) -> Result<Vec<Vec<Box<JsonRawValue>>>, ErrorObjectOwned> {
    let mut diffs: Vec<StateDiff> = Vec::new();
    let mut answers = Vec::with_capacity(bundles.len());
    for Bundle { messages, overrides } in bundles {
        let (header, rules) = overrides.applied(context.engine.spec(), place.header);
        let mut assumed = place.assumed.clone();
        assumed.blob_base_fee = overrides.blob_base_fee;
        let mut of_bundle = Vec::with_capacity(messages.len());
        for message in messages {
            context.patience.check()?;
            let request = with_gas(context, message);
            let (piece, diff) = {
                let view: &dyn StateView = &Stack::new(&diffs, place.view);
                let (rules, header, assumed) = (&rules, &header, &assumed);
                let place = Place { rules, header, codes: place.codes, view, assumed };
                of_message(traces, &place, &request, options)?
            };
            of_bundle.push(piece);
            diffs.push(diff);
        }
        answers.push(of_bundle);
    }
    Ok(answers)
}

fn of_message(
    traces: &Traces,
    place: &Place<'_>,
    request: &CallRequest,
    options: &Options,
) -> Result<(Box<JsonRawValue>, StateDiff), ErrorObjectOwned> {
    let (subject, origin) = (TraceSubject::Message(request), TraceOrigin::default());
    let traced = options.tracer.trace(place, subject, origin, &traces.budget);
    let traced = traced.map_err(|error| traces.error(error))?;
    Ok((traces.write(&in_words(traced.trace))?, traced.diff))
}

/// The tracer that the last argument asks for.
fn last(mut args: Args) -> Result<Options, ErrorObjectOwned> {
    let found = args.optional("options", options)?;
    args.end()?;
    match found {
        Some(found) => Ok(found),
        None => Options::new(Default::default()).map_err(error::internal),
    }
}

/// The same, where it may also assume something.
fn last_of_call(mut args: Args) -> Result<CallOptions, ErrorObjectOwned> {
    let found = args.optional("options", call_options)?;
    args.end()?;
    match found {
        Some(found) => Ok(found),
        None => {
            let options = Options::new(Default::default()).map_err(error::internal)?;
            let (state, block) = Default::default();
            Ok(CallOptions { options, state, block, transactions: None })
        }
    }
}

/// Steps as geth has them: refunds are left out while there are none, and errors are in its words.
fn in_words(mut trace: GethTrace) -> GethTrace {
    if let GethTrace::Default(frame) = &mut trace {
        for step in &mut frame.struct_logs {
            step.refund_counter = step.refund_counter.filter(|refund| *refund != 0);
            if let Some(error) = &mut step.error {
                // The published type has the name of the halt as the EVM implementation prints it.
                let name = error.strip_prefix("Some(").and_then(|rest| rest.strip_suffix(')'));
                let words = revert::halt_reason(name.unwrap_or(error.as_str()));
                *error = words;
            }
        }
    }
    trace
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_rpc_types_trace::geth::{DefaultFrame, StructLog};

    #[test]
    fn steps_are_told_in_the_words_of_geth() {
        let step = |refund, error: Option<&str>| StructLog {
            refund_counter: refund,
            error: error.map(str::to_owned),
            ..StructLog::default()
        };
        let steps = vec![
            step(Some(0), None),
            step(Some(4_800), Some("Some(OutOfGas)")),
            step(None, Some("Some(MemoryOOG)")),
            step(None, Some("Some(InvalidJump)")),
        ];
        let frame = DefaultFrame { struct_logs: steps, ..DefaultFrame::default() };
        let frame = in_words(frame.into()).try_into_default_frame().expect("steps");
        let told: Vec<_> = frame
            .struct_logs
            .iter()
            .map(|step| (step.refund_counter, step.error.as_deref()))
            .collect();
        let expected = [
            (None, None),
            (Some(4_800), Some("out of gas")),
            (None, Some("out of gas")),
            (None, Some("invalid jump destination")),
        ];
        assert_eq!(told, expected);
    }
}
