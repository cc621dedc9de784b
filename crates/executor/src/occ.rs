//! Optimistic parallel execution.
//!
//! Transactions run ahead of their turn on multi-version memory and log the value of every read.
//! At its turn, when all before it is final, a transaction's reads are compared with the memory *by
//! value*: if all hold, what it did is what it would do again, since execution is a function of
//! what it reads; if not, it runs again. The commit, in block order, counts gas and gathers the
//! diff.
//!
//! The fee recipient's account, which every transaction credits, is kept out of the memory's way:
//! fees are paid at the commit, and a transaction that looks at that account runs at its turn.

mod memory;
mod program;

use crate::{
    BlockError, BlockOutcome, PreparedBlock, Scope, frame,
    sequential::{self, Notes, Progress},
    tally::Tally,
};
use fugue_chainspec::Rules;
use fugue_evm::{CodeCache, FeePayment, Kernel, ReadLog, ViewReader};
use fugue_scheduler::{Failure, Session, Stats};
use fugue_state::{Overlay, StateDiff, StateView};
use memory::StateMemory;
use parking_lot::Mutex;
use program::{Occ, OccBlock};

pub(crate) use memory::Room;

/// A block that was executed in parallel, as far as that went.
pub(crate) struct OccRun {
    pub(crate) outcome: BlockOutcome,
    pub(crate) stats: Stats,
    /// Why the parallel run ended early; what was left then ran one by one.
    pub(crate) ended_by: Option<BlockError>,
}

/// What a parallel run borrows from its executor.
pub(crate) struct Resources<'e> {
    pub(crate) codes: &'e CodeCache,
    pub(crate) pool: &'e rayon::ThreadPool,
    /// Threads that take part, the caller's included.
    pub(crate) threads: usize,
    /// Taken by one run at a time; another one meanwhile makes room of its own.
    pub(crate) room: &'e Mutex<Option<Room>>,
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
    let Resources { codes, pool, threads, room } = *resources;
    let block = prepared.block.block();
    let mut overlay = Overlay::new(view);
    let (mut opening, mut reads) = (StateDiff::default(), ReadLog::default());
    if scope != Scope::Transactions && frame::has_opening(rules) {
        let reader = ViewReader(view);
        let mut kernel = Kernel::new(rules, &block.header, codes, reader, FeePayment::Direct);
        frame::open(&mut kernel, rules, block)?;
        (opening, reads) = kernel.take();
        overlay.push(&opening)?;
    }

    let tally = Tally::new(rules, &block.header, prepared.txs.len());
    let mut notes = Notes::new(rules, scope);
    notes.push(&reads, &opening)?;
    let progress = Progress { overlay, tally, notes };
    let memory = StateMemory::new(room.lock().take().unwrap_or_default(), view, &opening);
    let occ = OccBlock::new(prepared, rules, codes, memory, progress);
    let program = Occ(&occ);
    let session = Session::new(&program, prepared.txs.len());
    pool.in_place_scope(|scope| {
        for _ in 1..threads.min(prepared.txs.len()) {
            scope.spawn(|_| session.work());
        }
        session.work();
    });
    let (stats, failure) = session.finish();
    let ended_by = failure.map(|failure| match failure {
        Failure::Commit(error) => error,
        Failure::Panicked(tx) => BlockError::Internal(format!("transaction {tx} panicked")),
        Failure::HeadRefused(tx) => {
            BlockError::Internal(format!("transaction {tx} did not run at its turn"))
        }
    });
    let (progress, used) = occ.into_parts();
    *room.lock() = Some(used);
    let outcome = sequential::resume(progress?, prepared, rules, codes, scope)?;
    Ok(OccRun { outcome, stats, ended_by })
}
