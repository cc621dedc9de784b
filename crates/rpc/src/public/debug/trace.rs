//! Traces of go-ethereum: of a transaction, of all of a block, and of messages.

mod chain;
mod files;
mod options;

pub(in crate::public) use chain::ChainTraces;

use crate::public::{
    Answer, Class, Context, Table,
    args::{Args, bytes, hash},
    block_ref::{BlockRef, block_ref, number_or_tag},
    debug::foreign,
    error::{self, invalid_params, refused},
    eth::{
        blocks,
        call_many::{Bundle, Start, bundles, follow},
        calls,
    },
    made::traceable,
    overrides::BlockOverrides,
    question::{any_number, with_gas},
    traces::{Part, Rerun, Traces, question, rerun, rerun_block, tx},
};
use alloy_rlp::Decodable;
use alloy_rpc_types_trace::common::TraceResult;
use fugue_chain::{ChainView, ViewedBlock};
use fugue_evm::{CallRequest, GethOutput, Place, TraceOrigin, TraceSubject};
use fugue_state::{Stack, StateDiff, StateView};
use fugue_types::{Block, RecoveredBlock};
use jsonrpsee::types::ErrorObjectOwned;
use options::{CallOptions, Options, call_options, options};

/// The methods of this room.
pub(in crate::public) const METHODS: Table = &[
    ("debug_standardTraceBadBlockToFile", Class::Tracing, files::bad_block),
    ("debug_standardTraceBlockToFile", Class::Tracing, files::block),
    ("debug_traceBadBlock", Class::Tracing, bad_block),
    ("debug_traceBlock", Class::Tracing, block),
    ("debug_traceBlockByHash", Class::Tracing, block_by_hash),
    ("debug_traceBlockByNumber", Class::Tracing, block_by_number),
    ("debug_traceCall", Class::Tracing, call),
    ("debug_traceCallMany", Class::Tracing, call_many),
    ("debug_traceTransaction", Class::Tracing, transaction),
];

/// `debug_traceTransaction`.
fn transaction(context: &Context, mut args: Args) -> Answer {
    let hash = args.required("transaction hash", hash)?;
    let options = last(args)?;
    let context = &options.patient(context);
    let view = context.view();
    let (viewed, index) = tx(&view, hash)?;
    let traces = Traces::new(context);
    rerun(context, &view, viewed, index, |rerun| {
        traces.value(|part| part.value(&at(rerun, &traces, index, &options)?))
    })
}

/// `debug_traceBlockByNumber`.
fn block_by_number(context: &Context, mut args: Args) -> Answer {
    let named = traceable(args.required("block number", number_or_tag)?)?;
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

/// `debug_traceBlock`: of any block on a block that is known, in RLP.
fn block(context: &Context, mut args: Args) -> Answer {
    let rlp = args.required("block", bytes)?;
    let options = last(args)?;
    let wrong = |reason: String| invalid_params(format!("invalid argument 0 (block): {reason}"));
    let mut rest = &rlp[..];
    let block = Block::decode(&mut rest).map_err(|error| wrong(error.to_string()))?;
    if !rest.is_empty() {
        return Err(wrong("bytes after the block".to_owned()));
    }
    let view = context.view();
    let block = foreign::recovered(&view, block)?.map_err(wrong)?;
    foreign_block(&options.patient(context), &view, block, &options)
}

/// `debug_traceBadBlock`: of one of those that `debug_getBadBlocks` gives, by its hash.
fn bad_block(context: &Context, mut args: Args) -> Answer {
    let hash = args.required("block hash", hash)?;
    let options = last(args)?;
    let view = context.view();
    let block = foreign::bad(context, &view, hash)?;
    let block = block.ok_or_else(|| refused(format!("bad block {hash} not found")))?;
    foreign_block(&options.patient(context), &view, block, &options)
}

fn foreign_block(
    context: &Context,
    view: &ChainView,
    block: RecoveredBlock,
    options: &Options,
) -> Answer {
    let count = block.block().body.transactions.len();
    rerun_block(context, view, block, count.saturating_sub(1), foreign::of_block, |rerun| {
        all_of(rerun, &Traces::new(context), count, options)
    })
}

fn all_of(rerun: &Rerun<'_>, traces: &Traces, count: usize, options: &Options) -> Answer {
    traces.list(count, |index, part| {
        let result = at(rerun, traces, index, options)?;
        let tx_hash = Some(rerun.tx_hash(index));
        part.element(&TraceResult::<_, String>::new_success(result, tx_hash))
    })
}

fn at(
    rerun: &Rerun<'_>,
    traces: &Traces,
    index: usize,
    options: &Options,
) -> Result<GethOutput, ErrorObjectOwned> {
    let traced = rerun.at(traces, index, |place, subject, origin| {
        options.tracer.trace(place, subject, origin, &traces.budget)
    })?;
    Ok(traced.trace)
}

/// `debug_traceCall`.
fn call(context: &Context, mut args: Args) -> Answer {
    let chain_id = context.engine.spec().chain_id();
    let message = args.required("transaction", |value| calls::message(value, chain_id))?;
    let block = args.optional("block", block_ref)?.unwrap_or_default();
    let CallOptions { options, state, block: of_block, transactions } =
        last_of_call(context, args)?;
    let context = &options.patient(context);
    let start = Start { block, transactions };
    // Where it is run in the block is said by an index that must be there.
    if let Some(index) = transactions {
        check_index(context, &block, index)?;
    }
    let traces = Traces::new(context);
    let request = with_gas(context, &message);
    question(context, start, &state, &of_block, |place| {
        traces.value(|part| of_message(&traces, part, place, &request, &options).map(|_| ()))
    })
}

fn check_index(context: &Context, block: &BlockRef, index: usize) -> Result<(), ErrorObjectOwned> {
    let (view, _) = traceable(*block)?.chain_with_state(context.view())?;
    let found = blocks::find(&view, block)?.ok_or_else(error::block_not_found)?;
    let count = found.body.transactions.len();
    // A block without transactions has a beginning, too. Source: go-ethereum,
    // `eth/state_accessor.go`, `stateAtTransaction`.
    if index >= count.max(1) {
        return Err(invalid_params(format!(
            "invalid argument 2 (options): txIndex: the block has {count} transactions"
        )));
    }
    Ok(())
}

/// `debug_traceCallMany`: each message on what those before it have left behind. Source: the
/// documentation of Erigon and of Reth.
fn call_many(context: &Context, mut args: Args) -> Answer {
    let (bundles, start) = bundles(context, &mut args)?;
    let CallOptions { options, state, block: of_block, transactions } =
        last_of_call(context, args)?;
    if transactions.is_some() || of_block != BlockOverrides::default() {
        return Err(invalid_params(
            "invalid argument 2 (options): txIndex and blockOverrides belong into the other \
             arguments",
        ));
    }
    let context = &options.patient(context);
    let traces = Traces::new(context);
    question(context, start, &state, &of_block, |place| {
        traces.value(|part| all_messages(context, &traces, part, place, &bundles, &options))
    })
}

fn all_messages(
    context: &Context,
    traces: &Traces,
    part: &mut Part<'_>,
    place: &Place<'_>,
    bundles: &[Bundle],
    options: &Options,
) -> Result<(), ErrorObjectOwned> {
    let mut diffs: Vec<StateDiff> = Vec::new();
    let mut next = place.header.clone();
    part.punctuation("[")?;
    for (index, Bundle { messages, overrides }) in bundles.iter().enumerate() {
        let (header, rules) = overrides.applied(context.engine.spec(), &next);
        follow(&mut next, &header);
        let mut assumed = place.assumed.clone();
        assumed.blob_base_fee = overrides.blob_base_fee;
        part.punctuation(if index == 0 { "[" } else { ",[" })?;
        for (index, message) in messages.iter().enumerate() {
            context.patience.check()?;
            let request = with_gas(context, message);
            if index > 0 {
                part.punctuation(",")?;
            }
            let diff = {
                let stack = Stack::new(&diffs, place.view);
                let view: &dyn StateView = &any_number(&stack, &overrides.block_hashes);
                let (rules, header, assumed) = (&rules, &header, &assumed);
                let place = Place { rules, header, codes: place.codes, view, assumed };
                of_message(traces, part, &place, &request, options)?
            };
            diffs.push(diff);
        }
        part.punctuation("]")?;
    }
    part.punctuation("]")
}

/// Writes the trace of a message, and gives what it leaves behind.
fn of_message(
    traces: &Traces,
    part: &mut Part<'_>,
    place: &Place<'_>,
    request: &CallRequest,
    options: &Options,
) -> Result<StateDiff, ErrorObjectOwned> {
    let (subject, origin) = (TraceSubject::Message(request), TraceOrigin::default());
    let traced = options.tracer.trace(place, subject, origin, &traces.budget);
    let traced = traced.map_err(|error| traces.error(error))?;
    part.value(&traced.trace)?;
    Ok(traced.diff)
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

/// For a method that takes such options and has no use for them.
pub(super) fn check_options(args: Args) -> Result<(), ErrorObjectOwned> {
    last(args).map(|_| ())
}

/// The same, where it may also assume something.
fn last_of_call(context: &Context, mut args: Args) -> Result<CallOptions, ErrorObjectOwned> {
    let limits = &context.limits;
    let found = args.optional("options", |value| call_options(value, limits))?;
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

/// Reads any value as options, for fuzz targets.
#[cfg(any(test, feature = "fuzzing"))]
pub(in crate::public) fn fuzz(value: &serde_json::Value) {
    use crate::public::Limits;
    use std::sync::LazyLock;
    static LIMITS: LazyLock<Limits> = LazyLock::new(Limits::default);
    let _ = call_options(value, &LIMITS);
    if let Ok(found) = options::file_options(value) {
        assert!(found.tx.is_none_or(|hash| !hash.is_zero()), "{value}");
    }
}
