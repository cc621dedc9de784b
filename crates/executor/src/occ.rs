//! Optimistic parallel execution.
//!
//! Transactions run ahead of their turn on multi-version memory and log the value of every read.
//! At its turn, when all before it is final, a transaction's reads are compared with the memory *by
//! value*: if all hold, what it did is what it would do again, since execution is a function of
//! what it reads; if not, it runs again. The commit, in block order, counts gas and gathers the
//! diff. Who runs when, and what differs from Block-STM, is told in [`fugue_scheduler`].
//!
//! The fee recipient's account, which every transaction credits, is kept out of the memory's way:
//! fees are paid at the commit, and a transaction that looks at that account runs at its turn.

mod fill;
mod memory;
mod program;

use crate::{
    BlockError, BlockOutcome, PreparedBlock, Scope, TxRuns,
    build::{Filled, Filling, Job},
    frame,
    hints::Hints,
    lanes::LaneRoom,
    rerun::RunLog,
    sequential::{self, Notes, Progress},
    tally::Tally,
};
use fill::{Ended, Fill};
use fugue_chainspec::Rules;
use fugue_evm::{CodeCache, FeePayment, Kernel, ReadLog, ViewReader};
use fugue_scheduler::{Failure, Program, Session, Stats};
use fugue_state::{Overlay, StateDiff, StateView};
use fugue_types::Header;
use memory::StateMemory;
use parking_lot::Mutex;
use program::{InOrder, Occ, OccBlock};

pub(crate) use memory::Room;
pub(crate) use program::fee_change;

/// A block that was executed in parallel, as far as that went.
pub(crate) struct OccRun {
    pub(crate) outcome: BlockOutcome,
    pub(crate) stats: Stats,
    /// Why the parallel run ended early; what was left then ran one by one.
    pub(crate) ended_by: Option<BlockError>,
    /// What each transaction took, if that was to be observed.
    pub(crate) tx_runs: Vec<TxRuns>,
    /// Bytes that the versioned memory took.
    pub(crate) memory_bytes: usize,
}

/// What a parallel run borrows from its executor.
pub(crate) struct Resources<'e> {
    pub(crate) codes: &'e CodeCache,
    pub(crate) pool: &'e rayon::ThreadPool,
    /// Threads that take part, the caller's included.
    pub(crate) threads: usize,
    /// Taken by one run at a time; another one meanwhile makes room of its own.
    pub(crate) room: &'e Mutex<Option<Room>>,
    /// Likewise, of lanes.
    pub(crate) lane_room: &'e Mutex<Option<LaneRoom>>,
    /// What is known of calls.
    pub(crate) hints: &'e Mutex<Hints>,
    /// Whether it is noted what each transaction takes.
    pub(crate) observes: bool,
}

/// Runs the block on the caller's thread and those of the pool. If that ends early, the
/// transactions that are not committed yet run sequentially.
///
/// # Errors
/// What opening the block, that sequential rest, or closing it came upon.
pub(crate) fn run(
    prepared: &PreparedBlock,
    rules: &Rules,
    view: &dyn StateView,
    scope: Scope,
    resources: &Resources<'_>,
) -> Result<OccRun, BlockError> {
    let Resources { codes, room, observes, .. } = *resources;
    let block = prepared.block.block();
    let (opening, reads) = match scope {
        Scope::Block | Scope::Recorded => open(rules, &block.header, view, codes)?,
        Scope::Transactions => (StateDiff::default(), ReadLog::default()),
    };
    let mut overlay = Overlay::new(view);
    overlay.push(&opening)?;
    let tally = Tally::new(rules, &block.header, prepared.txs.len());
    let mut notes = Notes::new(rules, scope);
    notes.push(&reads, &opening)?;
    let progress = Progress { overlay, tally, notes };
    let commit = InOrder::new(&block.body.transactions, progress);
    let memory = StateMemory::new(room.lock().take().unwrap_or_default(), view, &opening);
    let PreparedBlock { txs, predecessors, .. } = prepared;
    let mut occ = OccBlock::new(&block.header, txs, predecessors, rules, codes, memory);
    if observes {
        occ.observe(RunLog::new(txs.len()));
    }
    let (stats, failure) = work(&Occ { block: &occ, commit: &commit }, txs.len(), resources);
    let ended_by = failure.map(|failure| ended_by(failure).unwrap_or_else(|defect| defect));
    let tx_runs = occ.take_log().map(RunLog::into_runs).unwrap_or_default();
    let (kept, memory_bytes) = occ.into_room();
    *room.lock() = Some(kept);
    let progress = commit.into_progress()?;
    let outcome = sequential::resume(progress, prepared, rules, codes, scope)?;
    Ok(OccRun { outcome, stats, ended_by, tx_runs, memory_bytes })
}

/// Fills a block on the caller's thread and those of the pool; gives what the scheduler did, and
/// the bytes that the versioned memory took, too.
///
/// # Errors
/// What opening the block, a transaction that could not run at its turn, or closing the block came
/// upon; a defect.
pub(crate) fn fill(
    job: &Job<'_>,
    resources: &Resources<'_>,
) -> Result<(Filled, Stats, usize), BlockError> {
    let Resources { codes, room, .. } = *resources;
    let Job { header, rules, view, txs, predecessors, .. } = *job;
    let (opening, reads) = open(rules, header, view, codes)?;
    let mut overlay = Overlay::new(view);
    overlay.push(&opening)?;
    let mut filling = Filling::new(job);
    filling.open(&reads, &opening)?;
    let commit = Fill::new(filling, overlay);
    let memory = StateMemory::new(room.lock().take().unwrap_or_default(), view, &opening);
    let occ = OccBlock::new(header, txs, predecessors, rules, codes, memory);
    let (stats, failure) = work(&Occ { block: &occ, commit: &commit }, txs.len(), resources);
    let (kept, memory_bytes) = occ.into_room();
    *room.lock() = Some(kept);
    match failure.map(ended_by).transpose()? {
        None | Some(Ended::Over) => {}
        Some(Ended::Failed(error)) => return Err(error),
    }
    let (filling, overlay) = commit.into_parts();
    let kernel = Kernel::new(rules, header, codes, ViewReader(overlay), FeePayment::Direct);
    Ok((filling.close(kernel)?, stats, memory_bytes))
}

/// What the opening of the block changes and reads.
pub(crate) fn open(
    rules: &Rules,
    header: &Header,
    view: &dyn StateView,
    codes: &CodeCache,
) -> Result<(StateDiff, ReadLog), BlockError> {
    if !frame::has_opening(rules) {
        return Ok((StateDiff::default(), ReadLog::default()));
    }
    let mut kernel = Kernel::new(rules, header, codes, ViewReader(view), FeePayment::Direct);
    frame::open(&mut kernel, rules, header)?;
    Ok(kernel.take())
}

/// Runs a session of `count` transactions to its end.
fn work<P: Program>(
    program: &P,
    count: usize,
    resources: &Resources<'_>,
) -> (Stats, Option<Failure<P::Error>>) {
    let session = Session::new(program, count);
    resources.pool.in_place_scope(|scope| {
        for _ in 1..resources.threads.min(count) {
            scope.spawn(|_| session.work());
        }
        session.work();
    });
    session.finish()
}

/// What the commit answered that ended the session; an error if the session broke.
fn ended_by<E>(failure: Failure<E>) -> Result<E, BlockError> {
    match failure {
        Failure::Commit(error) => Ok(error),
        Failure::NoWorker => Err(BlockError::Internal("a thread could not begin".to_owned())),
        Failure::Panicked(tx) => Err(BlockError::Internal(format!("transaction {tx} panicked"))),
        Failure::HeadRefused(tx) => {
            Err(BlockError::Internal(format!("transaction {tx} did not run at its turn")))
        }
    }
}

#[cfg(test)]
mod tests;
