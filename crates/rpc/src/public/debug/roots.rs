//! State roots within a block, for whoever wants to know where two clients part:
//! `debug_intermediateRoots`.

use crate::public::{
    Answer, Context,
    args::{Args, hash},
    debug::{foreign, trace},
    error::{self, refused},
    json,
    traces::{Rerun, rerun_block},
};
use fugue_executor::{BlockError, InvalidBlock};
use fugue_types::B256;
use jsonrpsee::types::ErrorObjectOwned;
use std::cell::Cell;

/// `debug_intermediateRoots`: the state root after each transaction of a block, before it is
/// closed; also of a block beside the chain, or one that was found invalid: of that up to the first
/// transaction that cannot stand in it.
///
/// Source: go-ethereum, `eth/tracers/api.go`, `IntermediateRoots`. The settings of a trace, which
/// it takes besides, say nothing here.
pub(super) fn intermediate(context: &Context, mut args: Args) -> Answer {
    let hash = args.required("block hash", hash)?;
    trace::check_options(args)?;
    let view = context.view();
    let block = match view.block_by_hash(hash).map_err(error::of_chain)? {
        Some(viewed) => viewed.into_recovered().map_err(error::internal)?,
        None => foreign::bad(context, &view, hash)?
            .ok_or_else(|| refused(format!("block {hash} not found")))?,
    };
    let stopped_at = Cell::new(None);
    let of_block = |error: BlockError| {
        if let BlockError::Invalid(invalid) = &error {
            stopped_at.set(index_of(invalid));
        }
        foreign::of_block(error)
    };
    let again = block.clone();
    let count = block.block().body.transactions.len();
    let done = rerun_block(context, &view, block, count, of_block, |rerun| roots(context, rerun));
    let found = match stopped_at.get() {
        None => done?,
        Some(index) => rerun_block(context, &view, again, index, foreign::of_block, |rerun| {
            roots(context, rerun)
        })?,
    };
    json(&found)
}

/// The transaction that cannot stand in its block, if that is what is wrong.
const fn index_of(invalid: &InvalidBlock) -> Option<usize> {
    match invalid {
        InvalidBlock::Signature { index, .. }
        | InvalidBlock::Transaction { index, .. }
        | InvalidBlock::GasLimit { index, .. }
        | InvalidBlock::BlobGas { index, .. } => Some(*index),
        InvalidBlock::HeaderField(_)
        | InvalidBlock::SystemCall { .. }
        | InvalidBlock::SystemContractEmpty { .. }
        | InvalidBlock::DepositLog { .. } => None,
    }
}

fn roots(context: &Context, rerun: &Rerun<'_>) -> Result<Vec<B256>, ErrorObjectOwned> {
    let check = || context.patience.told();
    let (parent, number) = rerun.parent;
    let found = parent.roots_through(number, rerun.replay.steps(), &context.reach(&check));
    let mut found = found.map_err(error::of_chain)?.ok_or_else(error::block_not_found)?;
    if found.is_empty() {
        return Err(error::internal("a block was not opened"));
    }
    // The first is that after the opening of the block.
    found.remove(0);
    Ok(found)
}
