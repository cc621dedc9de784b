//! Execution by a block access list (EIP-7928): all transactions at once, none waits for another.
//!
//! A list says what each step of a block looks at, and the value that it leaves: step 0 is the
//! opening of the block, step `i + 1` transaction `i`, the last step its closing. So the state
//! before each step is known before any has run ([`values`]). Each step runs on it, on whatever
//! thread is free, and its *fragment*, what it really looked at and changed, is compared with the
//! list ([`fragment`]). The caller's thread runs opening and closing, and puts the outcome together
//! in block order: admission and gas ([`Tally`]), results, requests, and the diff ([`whole`]).
//!
//! Why the outcome is the one of sequential execution, whatever the list:
//! 1. Call the list right below `i` if, before each step up to `i`, the state that it has is the
//!    one that sequential execution has there, for all accounts and slots that it names. Below 0 it
//!    is right: where no step is before, values come from the state before the block.
//! 2. Let it be right below `i`. Step `i` is a function of what it reads. Accounts and slots that
//!    are not in the list are not answered; codes and hashes of ancestors are the same everywhere;
//!    whether an address has storage is asked of the state before the block where no step below `i`
//!    has changed it. So all that it read is what it reads in sequential execution: it looks at
//!    the same, changes the same, and gives the same result.
//! 3. If its fragment fits, the list names exactly these changes at `i` and no others, and the
//!    existence of accounts and the loss of their storage follow as the step has them. So the state
//!    that the list has before `i + 1` is the one after step `i`: the list is right below `i + 1`.
//! 4. If all fragments fit, so by induction all results are those of sequential execution, and
//!    what the list leaves in the end is the state that sequential execution leaves. Admission
//!    and gas are the same functions of the same results in the same order.
//! 5. If moreover nothing in the list was left untouched, it is the list that sequential execution
//!    gives: the same accounts and slots, those that changed with the same values, in the one order
//!    that the form allows.
//!
//! What does not fit ends the run, and the block is executed sequentially: that is the answer, and
//! whether the list was to blame it says by its own list. Steps before the first that does not fit
//! are run to their end, so that the one that is named is the first of the block.
//!
//! Lists of blocks that predate the fork are our own ([`crate::Executor::list_accesses`]); they
//! follow the same rules ([`crate::access_list`]), with the fee recipient read and paid by each
//! transaction, balances of the DAO in the opening, withdrawals and rewards in the closing.

mod fault;
mod fragment;
mod index;
mod plan;
mod values;
mod whole;

use crate::{
    BlockError, BlockOutcome, FallbackCause, PreparedBlock, Scope,
    frame::{self, Frame},
    occ::Resources,
    tally::Tally,
};
use alloy_consensus::Transaction as _;
use fragment::End;
use fugue_chainspec::{Fork, Rules};
use fugue_evm::{CodeCache, FeePayment, Kernel, ReadLog};
use fugue_scheduler::Stats;
use fugue_state::{StateDiff, StateView};
use fugue_types::{Block, TxResult};
use parking_lot::Mutex;
use plan::Plan;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};
use values::{ListReader, Values};

pub use fault::ListFault;
pub(crate) use index::{ListIndex, ListLimits};

/// A step of a block, by its index in the list.
type Step = usize;

/// The step that a transaction is.
const fn step_of(tx: usize) -> Step {
    tx + 1
}

/// Runs the block by its list, on the caller's thread and those of the pool.
///
/// # Errors
/// Whatever keeps the block from running like that; it says nothing about the block.
pub(crate) fn run(
    prepared: &PreparedBlock,
    index: &ListIndex,
    rules: &Rules,
    view: &dyn StateView,
    scope: Scope,
    resources: &Resources<'_>,
) -> Result<(BlockOutcome, Stats), FallbackCause> {
    let count = prepared.txs.len();
    let block = prepared.block.block();
    let run = Run {
        block,
        prepared,
        rules,
        codes: resources.codes,
        values: Values::new(index, view, !rules.has(Fork::Cancun)),
        plan: Plan::new(&likely_gas(prepared), resources.threads),
        done: (0..count).map(|_| OnceLock::new()).collect(),
        stop: Stop::new(),
        active: AtomicUsize::new(0),
    };
    let mut opening = Fragment::default();
    resources.pool.in_place_scope(|threads| {
        for _ in 1..resources.threads.min(count) {
            threads.spawn(|_| run.work());
        }
        run.guard(|| match run.open() {
            Ok(fragment) => opening = fragment,
            Err(cause) => run.stop.at(0, cause),
        });
        run.work();
    });
    run.finish(opening, scope)
}

/// Gas that each transaction is likely to use: what it used when it was run before, or its limit.
fn likely_gas(prepared: &PreparedBlock) -> Vec<u64> {
    let txs = prepared.block.block().body.transactions.iter().enumerate();
    let likely = txs.map(|(index, tx)| {
        let foreseen = prepared.foreseen_gas.get(index).copied().flatten();
        foreseen.unwrap_or(u64::MAX).min(tx.gas_limit())
    });
    likely.collect()
}

/// What a step that fits has left to be kept.
#[derive(Debug, Default)]
struct Fragment {
    ends: Vec<End>,
    /// Before Byzantium, where the outcome has it.
    diff: Option<StateDiff>,
}

#[derive(Debug)]
struct TxDone {
    result: TxResult,
    fragment: Fragment,
}

/// Why the run ends early, and which steps are still worth running: those before the one that was
/// found not to fit.
#[derive(Debug)]
struct Stop {
    from: AtomicUsize,
    cause: Mutex<Option<(Step, FallbackCause)>>,
}

impl Stop {
    fn new() -> Self {
        Self { from: AtomicUsize::new(usize::MAX), cause: Mutex::new(None) }
    }

    /// Step `step` cannot be taken into the outcome. Even a failure of the state is the step's own:
    /// where an earlier step does not fit, it may come of what the list says wrongly.
    fn at(&self, step: Step, cause: FallbackCause) {
        let mut known = self.cause.lock();
        if known.as_ref().is_none_or(|(first, _)| step < *first) {
            *known = Some((step, cause));
            self.from.store(step, Ordering::Relaxed);
        }
    }

    /// Whether a step is worth running.
    fn lets(&self, step: Step) -> bool {
        step < self.from.load(Ordering::Relaxed)
    }
}

/// A block that is being run by its list, shared by all threads.
struct Run<'b> {
    block: &'b Block,
    prepared: &'b PreparedBlock,
    rules: &'b Rules,
    codes: &'b CodeCache,
    values: Values<'b>,
    plan: Plan,
    done: Vec<OnceLock<TxDone>>,
    stop: Stop,
    /// Threads that ran a transaction.
    active: AtomicUsize,
}

impl<'b> Run<'b> {
    /// A kernel for the steps of one thread. The fee recipient is paid by each transaction, as
    /// sequential execution does: its balance before each step is in the list like any other.
    fn kernel(&self, step: Step) -> Kernel<'_, ListReader<'_, 'b>> {
        let reader = ListReader::new(&self.values, step);
        let header = &self.block.header;
        let mut kernel = Kernel::new(self.rules, header, self.codes, reader, FeePayment::Direct);
        kernel.list_accesses();
        kernel
    }

    /// Before the first transaction.
    fn open(&self) -> Result<Fragment, FallbackCause> {
        if !frame::has_opening(self.rules) {
            return self.fragment(0, &ReadLog::default(), StateDiff::default());
        }
        let mut kernel = self.kernel(0);
        let opened = frame::open(&mut kernel, self.rules, &self.block.header);
        self.declared(0, &mut kernel)?;
        opened?;
        let (diff, reads) = kernel.take();
        self.fragment(0, &reads, diff)
    }

    /// What every thread does until the block is done, or the run has ended.
    fn work(&self) {
        self.guard(|| {
            self.values.fetch(|| self.stop.lets(0));
            let mut kernel = self.kernel(0);
            let mut is_active = false;
            while let Some(batch) = self.plan.claim() {
                for tx in batch {
                    if self.stop.lets(step_of(*tx)) {
                        is_active = true;
                        self.run_tx(*tx, &mut kernel);
                    }
                }
            }
            self.active.fetch_add(usize::from(is_active), Ordering::Relaxed);
        });
    }

    /// Ends the run for all if `work` panics.
    fn guard(&self, work: impl FnOnce()) {
        // What the panic left half-way is dropped with the run.
        if catch_unwind(AssertUnwindSafe(work)).is_err() {
            let cause = BlockError::Internal("a thread panicked".to_owned());
            self.stop.at(0, cause.into());
        }
    }

    fn run_tx(&self, tx: usize, kernel: &mut Kernel<'_, ListReader<'_, 'b>>) {
        let step = step_of(tx);
        kernel.reader_mut().turn_to(step);
        let executed = kernel.transact(&self.prepared.txs[tx]);
        // Taken whatever happened: the next transaction begins with an empty journal.
        let (diff, reads) = kernel.take();
        let done = self.declared(step, kernel).and_then(|()| {
            let executed = executed.map_err(|fault| {
                let hash = *self.block.body.transactions[tx].hash();
                BlockError::of_transaction(tx, hash, fault)
            })?;
            let fragment = self.fragment(step, &reads, diff)?;
            Ok(TxDone { result: executed.result, fragment })
        });
        match done {
            Ok(done) => {
                let is_first = self.done[tx].set(done).is_ok();
                debug_assert!(is_first, "transaction {tx} was claimed twice");
            }
            Err(cause) => self.stop.at(step, cause),
        }
    }

    /// Whether all that the step has asked for is in the list.
    fn declared(
        &self,
        step: Step,
        kernel: &mut Kernel<'_, ListReader<'_, 'b>>,
    ) -> Result<(), FallbackCause> {
        match kernel.reader_mut().undeclared() {
            Some((address, slot)) => {
                Err(fragment::undeclared(&self.values, step, address, slot).into())
            }
            None => Ok(()),
        }
    }

    fn fragment(
        &self,
        step: Step,
        reads: &ReadLog,
        diff: StateDiff,
    ) -> Result<Fragment, FallbackCause> {
        let ends = fragment::check(&self.values, step, reads, &diff)?;
        let diff = (!self.rules.receipts_have_status()).then_some(diff);
        Ok(Fragment { ends, diff })
    }

    /// Closes the block and puts the outcome together, when all threads have ended.
    fn finish(
        mut self,
        opening: Fragment,
        scope: Scope,
    ) -> Result<(BlockOutcome, Stats), FallbackCause> {
        if let Some((_, cause)) = self.stop.cause.get_mut().take() {
            return Err(cause);
        }
        let transactions = &self.block.body.transactions;
        let mut tally = Tally::new(self.rules, &self.block.header, transactions.len());
        let Fragment { mut ends, diff } = opening;
        let mut steps: Vec<StateDiff> = diff.into_iter().collect();
        let done = std::mem::take(&mut self.done);
        for (index, (tx, done)) in transactions.iter().zip(done).enumerate() {
            let Some(TxDone { result, fragment }) = done.into_inner() else {
                let lost = format!("transaction {index} has no result");
                return Err(BlockError::Internal(lost).into());
            };
            tally.admit(tx).map_err(BlockError::from)?;
            tally.add(tx, result);
            ends.extend(fragment.ends);
            steps.extend(fragment.diff);
        }

        let last = step_of(transactions.len());
        let mut kernel = self.kernel(last);
        let frame = Frame::of(self.block);
        let closed = frame::close(&mut kernel, self.rules, &frame, tally.results(), scope);
        self.declared(last, &mut kernel)?;
        let requests = closed?;
        let (diff, reads) = kernel.take();
        ends.extend(self.fragment(last, &reads, diff)?.ends);
        if let Some((address, slot)) = self.values.untouched() {
            return Err(ListFault::Untouched { address, slot }.into());
        }

        let diff = whole::diff(&self.values, last + 1, &ends).map_err(BlockError::from)?;
        let is_listed = self.rules.has(Fork::Amsterdam);
        let access_list = is_listed.then(|| self.values.index().list().clone());
        let count = transactions.len();
        let active_threads = self.active.load(Ordering::Relaxed);
        let stats = Stats { runs: count, active_threads, ..Stats::default() };
        let outcome = BlockOutcome { requests, diff, steps, access_list, ..tally.into_outcome() };
        Ok((outcome, stats))
    }
}

#[cfg(test)]
mod tests;
