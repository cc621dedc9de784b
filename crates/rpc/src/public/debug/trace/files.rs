//! Traces that are written to files, one for each transaction of a block, instruction by
//! instruction: none is held in memory.

use super::options::{FileOptions, file_options};
use crate::public::{
    Answer, Context,
    args::{Args, hash},
    debug::foreign,
    error::{self, refused},
    json,
    patience::Patience,
    traces::{FolderTurn, Rerun, TraceFile, TraceFolder, Traces, rerun, rerun_block},
};
use fugue_evm::{StandardLine, TraceBudget, TraceError, trace_standard};
use fugue_types::{B256, Transaction};
use jsonrpsee::types::ErrorObjectOwned;
use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// `debug_standardTraceBlockToFile`: of a block by its hash, also of one beside the chain.
pub(super) fn block(context: &Context, args: Args) -> Answer {
    let (hash, options) = arguments(args)?;
    let folder = folder(context)?;
    let view = context.view();
    let viewed = view.block_by_hash(hash).map_err(error::of_chain)?;
    let viewed = viewed.ok_or_else(|| refused(format!("block {hash} not found")))?;
    let wanted = wanted(&viewed.body.transactions, &options)?;
    let before = wanted.end.saturating_sub(1);
    rerun(context, &view, viewed, before, |rerun| write(context, folder, rerun, wanted, &options))
}

/// `debug_standardTraceBadBlockToFile`: of one of those that `debug_getBadBlocks` gives.
pub(super) fn bad_block(context: &Context, args: Args) -> Answer {
    let (hash, options) = arguments(args)?;
    let folder = folder(context)?;
    let view = context.view();
    let block = foreign::bad(context, &view, hash)?;
    let block = block.ok_or_else(|| refused(format!("bad block {hash} not found")))?;
    let wanted = wanted(&block.block().body.transactions, &options)?;
    let before = wanted.end.saturating_sub(1);
    rerun_block(context, &view, block, before, foreign::of_block, |rerun| {
        write(context, folder, rerun, wanted, &options)
    })
}

fn arguments(mut args: Args) -> Result<(B256, FileOptions), ErrorObjectOwned> {
    let hash = args.required("block hash", hash)?;
    let options = args.optional("options", file_options)?.unwrap_or_default();
    args.end()?;
    Ok((hash, options))
}

fn folder(context: &Context) -> Result<&TraceFolder, ErrorObjectOwned> {
    context.trace_folder.as_deref().ok_or_else(|| {
        refused("traces are written to files only by a node that has --rpc.trace-files")
    })
}

/// Which transactions of a block are traced.
fn wanted(txs: &[Transaction], options: &FileOptions) -> Result<Range<usize>, ErrorObjectOwned> {
    let Some(hash) = options.tx else { return Ok(0..txs.len()) };
    let index = txs.iter().position(|tx| *tx.hash() == hash);
    let index = index.ok_or_else(|| refused(format!("transaction {hash} not found in block")))?;
    Ok(index..index.saturating_add(1))
}

/// Writes the files, and gives their paths.
fn write(
    context: &Context,
    folder: &TraceFolder,
    rerun: &Rerun<'_>,
    wanted: Range<usize>,
    options: &FileOptions,
) -> Answer {
    let (first, count) = (wanted.start, wanted.len());
    let turn = folder.begin(count, &context.limits)?;
    let traces = Traces::new(context);
    let written = traces.each(count, |index| {
        let index = first.saturating_add(index);
        one(&context.patience, &turn, rerun, &traces, index, options)
    })?;
    context.patience.check()?;
    json(&turn.keep(written)?)
}

/// Writes the file of the transaction with this index.
fn one(
    patience: &Patience,
    turn: &FolderTurn<'_>,
    rerun: &Rerun<'_>,
    traces: &Traces,
    index: usize,
    options: &FileOptions,
) -> Result<TraceFile, ErrorObjectOwned> {
    let mut file = turn.file(rerun.replay.block().hash(), index, rerun.tx_hash(index))?;
    // The run goes on for a moment after a line was not written.
    let has_failed = Arc::new(AtomicBool::new(false));
    let mut failure = None;
    let budget = {
        let (patience, has_failed) = (patience.clone(), Arc::clone(&has_failed));
        // Nothing is kept.
        TraceBudget::new(0, move || has_failed.load(Ordering::Relaxed) || !patience.goes_on())
    };
    let mut sink = |line: &StandardLine| {
        if failure.is_none()
            && let Err(error) = file.line(line)
        {
            failure = Some(error);
            has_failed.store(true, Ordering::Relaxed);
        }
    };
    let traced = rerun.at(traces, index, |place, subject, _| {
        match trace_standard(place, subject, &options.steps, &budget, &mut sink) {
            // For a line: why is known.
            Err(TraceError::GivenUp) if has_failed.load(Ordering::Relaxed) => Ok(()),
            told => told,
        }
    });
    match failure {
        Some(error) => Err(error),
        None => traced.and_then(|()| file.end()),
    }
}
