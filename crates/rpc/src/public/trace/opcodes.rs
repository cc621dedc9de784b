//! The gas of each instruction.

use crate::public::{
    Answer, Context,
    args::{Args, hash},
    block_ref::block_ref,
    eth::{blocks, transactions},
    json,
    made::traceable,
    traces::{Rerun, Traces, rerun},
};
use alloy_rpc_types_trace::opcode::{BlockOpcodeGas, TransactionOpcodeGas};
use fugue_evm::trace_opcode_gas;
use jsonrpsee::types::ErrorObjectOwned;

/// `trace_transactionOpcodeGas`. Null if the transaction is not known.
pub(crate) fn transaction(context: &Context, mut args: Args) -> Answer {
    let hash = args.required("transaction hash", hash)?;
    args.end()?;
    let view = context.view();
    let Some((viewed, index)) = transactions::find(&view, hash)? else { return json(&()) };
    let traces = Traces::new(context);
    rerun(context, &view, viewed, index, |rerun| {
        traces.one(|| traces.write(&of_transaction(rerun, &traces, index)?))
    })
}

/// `trace_blockOpcodeGas`. Null if the block is not known.
pub(crate) fn block(context: &Context, mut args: Args) -> Answer {
    let named = traceable(args.required("block", block_ref)?)?;
    args.end()?;
    let view = context.view();
    let Some(viewed) = blocks::find(&view, &named)? else { return json(&()) };
    let (block_hash, block_number) = (viewed.hash, viewed.header.number);
    let count = viewed.body.transactions.len();
    let traces = Traces::new(context);
    let transactions = match count.checked_sub(1) {
        None => Vec::new(),
        Some(before_last) => rerun(context, &view, viewed, before_last, |rerun| {
            traces.each(count, |index| of_transaction(rerun, &traces, index))
        })?,
    };
    traces.write(&BlockOpcodeGas { block_hash, block_number, transactions })
}

fn of_transaction(
    rerun: &Rerun<'_>,
    traces: &Traces,
    index: usize,
) -> Result<TransactionOpcodeGas, ErrorObjectOwned> {
    let traced = rerun
        .at(traces, index, |place, subject, _| trace_opcode_gas(place, subject, &traces.budget))?;
    Ok(TransactionOpcodeGas { transaction_hash: rerun.tx_hash(index), opcode_gas: traced.trace })
}
