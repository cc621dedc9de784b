//! Blocks that were made just before, with what their transactions gave back.

use crate::public::{
    Answer, Context, error, json,
    traces::{Traces, rerun},
    wire::{self, Detail},
};
use fugue_chain::{ChainView, Head, ViewedBlock};
use fugue_evm::revert_reason;
use fugue_types::{TxResult, TxStatus};
use jsonrpsee::types::ErrorObjectOwned;
use serde_json::{Value, json as value};

/// The last `count` blocks up to this head. Each may take as long as a call.
///
/// # Errors
/// If the head is no longer in the chain, if they are more than an answer may have, or what
/// running them again gives.
pub(super) fn up_to(context: &Context, head: Head, count: u64) -> Answer {
    let view = context.view();
    if view.number(head.hash).map_err(error::of_chain)? != Some(head.number) {
        return Err(error::block_not_found());
    }
    let traces = Traces::new(context);
    let first = head.number.saturating_sub(count).saturating_add(1);
    let blocks = (first..=head.number).map(|number| {
        let context = &Context { patience: context.patience.anew(), ..context.clone() };
        context.patience.check()?;
        let viewed = view.block(number).map_err(error::of_chain)?;
        let viewed = viewed.ok_or_else(error::block_not_found)?;
        traces.write(&block(context, &view, viewed)?)
    });
    json(&blocks.collect::<Result<Vec<_>, _>>()?)
}

/// A block, which is run again for what its transactions gave back: nobody keeps that.
fn block(
    context: &Context,
    view: &ChainView,
    viewed: ViewedBlock,
) -> Result<Value, ErrorObjectOwned> {
    let rules = view.spec().rules(&viewed.header);
    let told = wire::block(viewed.clone(), &rules, Detail::Transactions);
    let mut told = serde_json::to_value(told).map_err(error::internal)?;
    let count = viewed.body.transactions.len();
    if count > 0 {
        rerun(context, view, viewed, count, |rerun| {
            let txs = told["transactions"].as_array_mut().into_iter().flatten();
            for (tx, result) in txs.zip(rerun.replay.results()) {
                add_output(tx, result);
            }
            Ok(())
        })?;
    }
    Ok(told)
}

/// Source: Foundry, `crates/anvil/src/eth/api.rs`, `evm_mine_detailed`.
fn add_output(tx: &mut Value, result: &TxResult) {
    let TxResult { status, output, .. } = result;
    if matches!(status, TxStatus::Halt(_)) {
        return;
    }
    tx["output"] = value!(output);
    if *status == TxStatus::Revert
        && let Some(reason) = revert_reason(output)
    {
        tx["revertReason"] = value!(reason);
    }
}
