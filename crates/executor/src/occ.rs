//! Optimistic parallel execution.
//!
//! Transactions run ahead of their turn on multi-version memory and log the value of every read.
//! At its turn, when all before it is final, a transaction's reads are compared with the memory *by
//! value*: if all hold, what it did is what it would do now, since execution is a function of what
//! it reads; if not, it runs again. The commit, in block order, counts gas and gathers the diff.
//!
//! The fee recipient's account, which every transaction credits, is kept out of the memory's way:
//! fees are paid at the commit, and a transaction that looks at that account runs at its turn.

mod memory;
mod program;

use crate::{BlockError, BlockOutcome, PreparedBlock, Scope, frame, tally::Tally};
use fugue_chainspec::Rules;
use fugue_evm::{CodeCache, FeePayment, Kernel, ViewReader};
use fugue_scheduler::{Failure, Session, Stats};
use fugue_state::{Overlay, StateView};
use program::{Ledger, Occ, OccBlock};

/// Runs the block on the caller's thread and `threads - 1` more of the pool.
pub(crate) fn run(
    prepared: &PreparedBlock,
    rules: &Rules,
    view: &dyn StateView,
    codes: &CodeCache,
    scope: Scope,
    pool: &rayon::ThreadPool,
    threads: usize,
) -> Result<(BlockOutcome, Stats), BlockError> {
    let block = prepared.block.block();
    let mut overlay = Overlay::new(view);
    let mut opening = fugue_state::StateDiff::default();
    if scope == Scope::Block {
        let reader = ViewReader(view);
        let mut kernel = Kernel::new(rules, &block.header, codes, reader, FeePayment::Direct);
        frame::open(&mut kernel, rules, block)?;
        (opening, _) = kernel.take();
        overlay.push(&opening)?;
    }

    let tally = Tally::new(rules, &block.header, prepared.txs.len());
    let steps = if rules.receipts_have_status() { None } else { Some(vec![opening.clone()]) };
    let ledger = Ledger { overlay, tally, steps };
    let occ = OccBlock::new(prepared, rules, view, codes, &opening, ledger);
    let program = Occ(&occ);
    let session = Session::new(&program, prepared.txs.len());
    pool.in_place_scope(|scope| {
        for _ in 1..threads.min(prepared.txs.len()) {
            scope.spawn(|_| session.work());
        }
        session.work();
    });
    let stats = session.finish().map_err(|failure| match failure {
        Failure::Commit(error) => error,
        Failure::Panicked(tx) => BlockError::Internal(format!("transaction {tx} panicked")),
        Failure::HeadRefused(tx) => {
            BlockError::Internal(format!("transaction {tx} did not run at its turn"))
        }
    })?;

    let Ledger { overlay, tally, steps } = occ.into_ledger();
    let reader = ViewReader(overlay);
    let mut kernel = Kernel::new(rules, &block.header, codes, reader, FeePayment::Direct);
    let requests = match scope {
        Scope::Block => frame::close(&mut kernel, rules, block, tally.results())?,
        Scope::Transactions => None,
    };
    let (closing, _) = kernel.take();
    let mut overlay = kernel.into_reader().0;
    overlay.push(&closing)?;
    let diff = overlay.into_diff();
    let steps = steps.unwrap_or_default();
    Ok((BlockOutcome { requests, diff, steps, ..tally.into_outcome() }, stats))
}
