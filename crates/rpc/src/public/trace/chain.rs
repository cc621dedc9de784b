//! Traces of the chain's transactions.

use crate::public::{
    Answer, Context,
    args::{Args, count, hash, list},
    block_ref::block_ref,
    eth::{blocks, transactions},
    json,
    made::traceable,
    trace::{rewards, types},
    traces::{Part, Rerun, Traces, rerun, tx},
};
use alloy_rpc_types_trace::parity::{
    LocalizedTransactionTrace, TraceResultsWithTransactionHash, TransactionTrace,
};
use fugue_chain::{ChainView, ViewedBlock};
use fugue_evm::{trace_calls, trace_parity};
use fugue_types::{B256, Header};
use jsonrpsee::{core::JsonRawValue, types::ErrorObjectOwned};

/// Numbers of a trace's address: calls are not deeper.
const ADDRESS_MAX: usize = 1_024;

/// `trace_block`: of all transactions, then the rewards. Null if the block is not known.
pub(crate) fn block(context: &Context, mut args: Args) -> Answer {
    let named = traceable(args.required("block", block_ref)?)?;
    args.end()?;
    let view = context.view();
    let Some(viewed) = blocks::find(&view, &named)? else { return json(&()) };
    let rules = view.spec().rules(&viewed.header);
    let rewarded = rewards::traces(&rules, viewed.hash, &viewed.header, &viewed.body.ommers);
    let write_rewards =
        |part: &mut Part<'_>| rewarded.iter().try_for_each(|reward| part.element(reward));
    let traces = Traces::new(context);
    let count = viewed.body.transactions.len();
    let Some(before_last) = count.checked_sub(1) else {
        return traces.list(1, |_, part| write_rewards(part));
    };
    rerun(context, &view, viewed, before_last, |rerun| {
        // The rewards are the last part.
        traces.list(count.saturating_add(1), |index, part| {
            if index == count {
                return write_rewards(part);
            }
            let calls = of_transaction(rerun, &traces, index)?;
            calls.iter().try_for_each(|call| part.element(call))
        })
    })
}

/// The traces of a block that `is_wanted` takes, the rewards too, each by itself.
pub(super) fn all_of_block(
    context: &Context,
    traces: &Traces,
    view: &ChainView,
    viewed: ViewedBlock,
    is_wanted: impl Fn(&TransactionTrace) -> bool + Sync,
) -> Result<Vec<Box<JsonRawValue>>, ErrorObjectOwned> {
    let rules = view.spec().rules(&viewed.header);
    let mut rewarded = rewards::traces(&rules, viewed.hash, &viewed.header, &viewed.body.ommers);
    rewarded.retain(|reward| is_wanted(&reward.trace));
    let count = viewed.body.transactions.len();
    let mut pieces = Vec::new();
    if count > 0 {
        let of_txs = rerun(context, view, viewed, count - 1, |rerun| {
            traces.each(count, |index| {
                let mut calls = of_transaction(rerun, traces, index)?;
                calls.retain(|call| is_wanted(&call.trace));
                calls.iter().map(|call| traces.write(call)).collect::<Result<Vec<_>, _>>()
            })
        })?;
        pieces.extend(of_txs.into_iter().flatten());
    }
    for reward in &rewarded {
        pieces.push(traces.write(reward)?);
    }
    Ok(pieces)
}

fn of_transaction(
    rerun: &Rerun<'_>,
    traces: &Traces,
    index: usize,
) -> Result<Vec<LocalizedTransactionTrace>, ErrorObjectOwned> {
    let traced =
        rerun.at(traces, index, |place, subject, _| trace_calls(place, subject, &traces.budget))?;
    let (hash, tx_hash) = (rerun.replay.block().hash(), rerun.tx_hash(index));
    let header = rerun.header();
    Ok(traced
        .trace
        .into_iter()
        .map(|trace| localized(trace, hash, header, tx_hash, index))
        .collect())
}

fn localized(
    trace: TransactionTrace,
    block_hash: B256,
    header: &Header,
    tx_hash: B256,
    index: usize,
) -> LocalizedTransactionTrace {
    LocalizedTransactionTrace {
        trace,
        block_hash: Some(block_hash),
        block_number: Some(header.number),
        transaction_hash: Some(tx_hash),
        transaction_position: Some(index as u64),
    }
}

/// `trace_transaction`. Null if it is not known.
pub(crate) fn transaction(context: &Context, mut args: Args) -> Answer {
    let hash = args.required("transaction hash", hash)?;
    args.end()?;
    let view = context.view();
    let Some((viewed, index)) = transactions::find(&view, hash)? else { return json(&()) };
    let traces = Traces::new(context);
    rerun(context, &view, viewed, index, |rerun| {
        traces.value(|part| part.value(&of_transaction(rerun, &traces, index)?))
    })
}

/// `trace_get`: the trace with this address. Null if there is none.
pub(crate) fn get(context: &Context, mut args: Args) -> Answer {
    let hash = args.required("transaction hash", hash)?;
    let address = args.required("trace address", |value| list(value, ADDRESS_MAX, count))?;
    args.end()?;
    let view = context.view();
    let Some((viewed, index)) = transactions::find(&view, hash)? else { return json(&()) };
    let traces = Traces::new(context);
    rerun(context, &view, viewed, index, |rerun| {
        traces.one(|| {
            let calls = of_transaction(rerun, &traces, index)?;
            let is_it = |call: &&LocalizedTransactionTrace| {
                let found = call.trace.trace_address.iter().map(|index| *index as u64);
                found.eq(address.iter().copied())
            };
            traces.write(&calls.iter().find(is_it))
        })
    })
}

/// `trace_replayTransaction`.
pub(crate) fn replay_transaction(context: &Context, mut args: Args) -> Answer {
    let hash = args.required("transaction hash", hash)?;
    let types = args.required("trace types", types)?;
    args.end()?;
    let view = context.view();
    let (viewed, index) = tx(&view, hash)?;
    let traces = Traces::new(context);
    rerun(context, &view, viewed, index, |rerun| {
        traces.value(|part| {
            let traced = rerun.at(&traces, index, |place, subject, _| {
                trace_parity(place, subject, &types, &traces.budget)
            })?;
            part.value(&traced.trace)
        })
    })
}

/// `trace_replayBlockTransactions`. Null if the block is not known.
pub(crate) fn replay_block(context: &Context, mut args: Args) -> Answer {
    let named = traceable(args.required("block", block_ref)?)?;
    let types = args.required("trace types", types)?;
    args.end()?;
    let view = context.view();
    let Some(viewed) = blocks::find(&view, &named)? else { return json(&()) };
    let count = viewed.body.transactions.len();
    let Some(before_last) = count.checked_sub(1) else { return json(&[(); 0]) };
    let traces = Traces::new(context);
    rerun(context, &view, viewed, before_last, |rerun| {
        traces.list(count, |index, part| {
            let traced = rerun.at(&traces, index, |place, subject, _| {
                trace_parity(place, subject, &types, &traces.budget)
            })?;
            part.element(&TraceResultsWithTransactionHash {
                full_trace: traced.trace,
                transaction_hash: rerun.tx_hash(index),
            })
        })
    })
}
