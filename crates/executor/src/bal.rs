//! Execution by a block access list (EIP-7928): all transactions at once, none waits for another.
//!
//! A list says what each step of a block looks at, and the value that it leaves: step 0 is the
//! opening of the block, step `i + 1` transaction `i`, the last step its closing. So the state
//! before each step is known before any has run ([`values`]). Each step runs on it, on whatever
//! thread is free, and its *fragment*, what it really looked at and changed, is compared with the
//! list ([`fragment`]). The caller's thread runs opening and closing, and puts the outcome together
//! in block order: admission and gas ([`Tally`]), results, requests, and the diff ([`whole`]).
//!
//! A thread keeps what it has read in one journal, as sequential execution does. That journal is
//! always the state before some step, for all that it has: after a step whose fragment fits, the
//! step has brought it to the next one; where others ran steps in between, what the list says that
//! they changed is put into it ([`Run::bring`]). So it does not matter whether a step finds a value
//! there or asks for it, and what the journal has is in the list.
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
//! are run to their end, so that the one that is named is the first of the block; but nothing more
//! is run once all together have used more gas than the block has ([`Budget`]).
//!
//! Lists of blocks that predate the fork are our own ([`crate::Executor::list_accesses`]); they
//! follow the same rules ([`crate::access_list`]), with the fee recipient read and paid by each
//! transaction, withdrawals and rewards in the closing. Fit for this are blocks from Byzantium on
//! ([`fits`]).

mod fault;
mod fragment;
mod index;
mod plan;
mod values;
mod whole;

use crate::{
    BlockError, BlockOutcome, FallbackCause, PreparedBlock, Scope,
    crew::Crew,
    frame::{self, Frame},
    hints::{Calls, Hints, Likely},
    occ::Resources,
    tally::{Budget, Tally},
};
use fragment::End;
use fugue_chainspec::{Fork, Rules};
use fugue_evm::{CodeCache, Executed, Fault, FeePayment, FieldValue, Kernel, ReadLog};
use fugue_scheduler::Stats;
use fugue_state::{StateDiff, StateError, StateView};
use fugue_types::{Block, KECCAK256_EMPTY, TxResult};
use parking_lot::Mutex;
use plan::Plan;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};
use values::{ListReader, Values};

pub use fault::ListFault;
pub(crate) use index::{ListIndex, ListLimits};

/// Gas of a block for which other threads are woken: running it takes half a millisecond, and until
/// a thread is awake up to as much may pass.
const WAKE_GAS_MIN: u64 = 1_000_000;
/// Or accounts and slots in its list: a state that is slow has them read by many at a time.
const WAKE_ITEMS_MIN: usize = 256;
/// A step of a block, by its index in the list.
type Step = usize;

/// The step that a transaction is.
const fn step_of(tx: usize) -> Step {
    tx + 1
}

/// Whether the rules of a block let it run by a list. Before Byzantium the receipts want the change
/// of the state by each transaction, and before Spurious Dragon, too, an account may be there and
/// empty, which no value tells.
pub(crate) fn fits(rules: &Rules) -> bool {
    rules.receipts_have_status()
}

/// Runs the block by its list, on the caller's thread and those of the pool. Its rules are fit for
/// that.
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
    let run = Run::new(prepared, index, rules, view, resources);
    let mut opening = Vec::new();
    resources.pool.in_place_scope(|threads| {
        for _ in 1..run.threads {
            threads.spawn(|_| {
                run.guard(|| run.work(run.kernel(0)));
                run.crew.leave();
            });
        }
        run.guard(|| {
            let mut kernel = run.kernel(0);
            match run.open(&mut kernel) {
                Ok(ends) => opening = ends,
                Err(cause) => run.stop.at(0, cause),
            }
            run.work(kernel);
        });
        run.crew.linger();
    });
    run.finish(opening, scope)
}

/// What each transaction is likely to cost.
fn likely(prepared: &PreparedBlock, hints: &Hints) -> Vec<Likely> {
    let mut calls = Calls::new(hints, prepared.txs.len());
    let txs = prepared.txs.iter().enumerate();
    let likely = txs.map(|(index, tx)| {
        let foreseen = prepared.foreseen_gas.get(index).copied().flatten();
        calls.look_up(tx, foreseen).1
    });
    likely.collect()
}

/// Threads that a block is worth, of so many: by its list, and by what its transactions are likely
/// to cost, of which the gas is no more than its header says, if it does.
fn worth(block: &Block, index: &ListIndex, likely: &[Likely], threads: usize) -> usize {
    let mut gas = likely.iter().fold(0_u64, |sum, likely| sum.saturating_add(likely.gas));
    if block.header.gas_used > 0 {
        gas = gas.min(block.header.gas_used);
    }
    let work = likely.iter().fold(gas, |sum, likely| sum.saturating_add(likely.excess));
    let items = index.list().len() + index.slot_count();
    let is_little = work < WAKE_GAS_MIN && items < WAKE_ITEMS_MIN;
    if is_little { 1 } else { threads.min(likely.len()).max(1) }
}

/// A transaction whose fragment fits.
#[derive(Debug)]
struct TxDone {
    result: TxResult,
    excess: u64,
    /// Accounts that it ended.
    ends: Vec<End>,
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

    /// Whether the run ends early.
    fn is_set(&self) -> bool {
        self.from.load(Ordering::Relaxed) != usize::MAX
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
    /// Threads that take part.
    threads: usize,
    done: Vec<OnceLock<TxDone>>,
    budget: Budget,
    stop: Stop,
    /// Threads that ran a transaction.
    active: AtomicUsize,
    /// Threads but for the caller's.
    crew: Crew,
    /// The diff of the block if no account comes to an end, made by the first thread that has
    /// nothing else to do.
    diff: OnceLock<Result<StateDiff, StateError>>,
    is_diff_begun: AtomicBool,
}

/// What one thread runs transactions with.
struct Worker<'p, 'b> {
    kernel: Kernel<'p, ListReader<'p, 'b>>,
    /// The step before which all is as the journal has it; `None` if it is empty.
    position: Option<Step>,
}

impl Worker<'_, '_> {
    fn forget(&mut self) {
        self.kernel.forget();
        self.kernel.reader_mut().forget();
        self.position = None;
    }
}

impl<'b> Run<'b> {
    fn new(
        prepared: &'b PreparedBlock,
        index: &'b ListIndex,
        rules: &'b Rules,
        view: &'b dyn StateView,
        resources: &Resources<'b>,
    ) -> Self {
        let block = prepared.block.block();
        let likely = likely(prepared, &resources.hints.lock());
        let threads = worth(block, index, &likely, resources.threads);
        let work: Vec<u64> = likely.iter().map(Likely::work).collect();
        Self {
            block,
            prepared,
            rules,
            codes: resources.codes,
            values: Values::new(index, view, !rules.has(Fork::Cancun), threads),
            plan: Plan::new(&work, threads),
            threads,
            done: likely.iter().map(|_| OnceLock::new()).collect(),
            budget: Budget::new(block.header.gas_limit),
            stop: Stop::new(),
            active: AtomicUsize::new(0),
            crew: Crew::new(threads - 1),
            diff: OnceLock::new(),
            is_diff_begun: AtomicBool::new(false),
        }
    }

    /// A kernel for the steps of one thread. The fee recipient is paid by each transaction, as
    /// sequential execution does: its balance before each step is in the list like any other.
    fn kernel(&self, step: Step) -> Kernel<'_, ListReader<'_, 'b>> {
        let reader = ListReader::new(&self.values, step);
        let header = &self.block.header;
        let mut kernel = Kernel::new(self.rules, header, self.codes, reader, FeePayment::Direct);
        kernel.list_accesses();
        kernel
    }

    /// Before the first transaction. Gives the accounts that it ended.
    fn open(&self, kernel: &mut Kernel<'_, ListReader<'_, 'b>>) -> Result<Vec<End>, FallbackCause> {
        if !frame::has_opening(self.rules) {
            let (reads, diff) = (ReadLog::default(), StateDiff::default());
            return fragment::check(&self.values, 0, &reads, &diff);
        }
        let opened = frame::open(kernel, self.rules, &self.block.header);
        self.declared(0, kernel)?;
        opened?;
        let (diff, reads) = kernel.take();
        fragment::check(&self.values, 0, &reads, &diff)
    }

    /// What every thread does until the block is done, or the run has ended.
    fn work<'p>(&'p self, kernel: Kernel<'p, ListReader<'p, 'b>>) {
        self.values.fetch(|| self.stop.lets(0));
        let mut worker = self.worker(kernel);
        let mut is_active = false;
        while let Some(batch) = self.plan.claim() {
            for tx in batch {
                if self.stop.lets(step_of(*tx)) {
                    is_active = true;
                    self.run_tx(*tx, &mut worker);
                }
            }
        }
        self.active.fetch_add(usize::from(is_active), Ordering::Relaxed);
        worker.kernel.reader_mut().settle();
        if self.threads > 1
            && !self.stop.is_set()
            && !self.is_diff_begun.swap(true, Ordering::Relaxed)
        {
            // The list says what all steps leave, whether or not they have run.
            let is_first = self.diff.set(whole::diff(&self.values, self.end(), &[])).is_ok();
            debug_assert!(is_first, "the diff was begun twice");
        }
    }

    /// The step after the closing of the block.
    fn end(&self) -> Step {
        step_of(self.prepared.txs.len()) + 1
    }

    /// A kernel that has run nothing, or of which all was taken out, begins its transactions.
    fn worker<'p>(&'p self, mut kernel: Kernel<'p, ListReader<'p, 'b>>) -> Worker<'p, 'b> {
        kernel.note_changes(self.values.index().list().len());
        Worker { kernel, position: None }
    }

    /// Ends the run for all if `work` panics.
    fn guard(&self, work: impl FnOnce()) {
        // What the panic left half-way is dropped with the run.
        if catch_unwind(AssertUnwindSafe(work)).is_err() {
            let cause = BlockError::Internal("a thread panicked".to_owned());
            self.stop.at(0, cause.into());
        }
    }

    fn run_tx(&self, tx: usize, worker: &mut Worker<'_, 'b>) {
        match self.try_tx(tx, worker) {
            Ok(done) => {
                let is_first = self.done[tx].set(done).is_ok();
                debug_assert!(is_first, "transaction {tx} was claimed twice");
            }
            Err(cause) => {
                worker.forget();
                self.stop.at(step_of(tx), cause);
            }
        }
    }

    /// Runs a transaction in a journal that has what those before it have read.
    fn try_tx(&self, tx: usize, worker: &mut Worker<'_, 'b>) -> Result<TxDone, FallbackCause> {
        let step = step_of(tx);
        self.bring(worker, step);
        let Worker { kernel, position } = worker;
        let executed = kernel.transact(&self.prepared.txs[tx]);
        self.declared(step, kernel)?;
        let Executed { result, excess, .. } = self.executed(tx, executed)?;
        self.spend(tx, &result)?;
        let Some((changed, reader)) = kernel.changed() else {
            return Err(BlockError::Internal("changes were not noted".to_owned()).into());
        };
        let ends = fragment::check_changed(&self.values, step, changed)?;
        for (address, slot) in changed.begun() {
            reader.hold_slot(*address, *slot);
        }
        *position = Some(step + 1);
        Ok(TxDone { result, excess, ends })
    }

    /// Makes the journal of a thread the state before a step. What it does not have it will ask
    /// for, and is answered as of that step.
    fn bring(&self, worker: &mut Worker<'_, 'b>, step: Step) {
        if worker.position.is_some_and(|position| position > step) {
            worker.forget();
        }
        let Worker { kernel, position } = worker;
        kernel.reader_mut().turn_to(step);
        let Some(position) = *position else { return };
        let steps = self.values.index().changes(position..step);
        // Ends first: where slots are gone, the list knows what is stored there since.
        for change in steps.iter().flat_map(|changes| &changes.fields) {
            if !kernel.reader_mut().holds(change.place) {
                continue;
            }
            kernel.put_field(&change.address, change.value);
            if self.values.has_ends() && change.value == FieldValue::CodeHash(KECCAK256_EMPTY) {
                kernel.drop_slots(&change.address);
                kernel.reader_mut().drop_slots(change.place);
            }
        }
        for change in steps.iter().flat_map(|changes| &changes.slots) {
            if kernel.reader_mut().holds_slot(change.slot_place) {
                kernel.put_slot(&change.address, &change.key, change.value);
            }
        }
    }

    fn executed(
        &self,
        tx: usize,
        executed: Result<Executed, Fault<StateError>>,
    ) -> Result<Executed, BlockError> {
        executed.map_err(|fault| {
            let hash = *self.block.body.transactions[tx].hash();
            BlockError::of_transaction(tx, hash, fault)
        })
    }

    /// Counts the gas of a transaction, whether or not it fits. Where the block has not so much,
    /// no step is worth running any more.
    fn spend(&self, tx: usize, result: &TxResult) -> Result<(), BlockError> {
        let spent = self.budget.spend(tx, &self.block.body.transactions[tx], result);
        spent.map_err(BlockError::from).inspect_err(|cause| self.stop.at(0, cause.clone().into()))
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

    /// Closes the block and puts the outcome together, when all threads have ended.
    fn finish(
        mut self,
        opening: Vec<End>,
        scope: Scope,
    ) -> Result<(BlockOutcome, Stats), FallbackCause> {
        if let Some((_, cause)) = self.stop.cause.get_mut().take() {
            return Err(cause);
        }
        let transactions = &self.block.body.transactions;
        let mut tally = Tally::new(self.rules, &self.block.header, transactions.len());
        let mut ends = opening;
        let done = std::mem::take(&mut self.done);
        let known_diff = self.diff.take();
        for (index, (tx, done)) in transactions.iter().zip(done).enumerate() {
            let Some(TxDone { result, excess, ends: ended }) = done.into_inner() else {
                let lost = format!("transaction {index} has no result");
                return Err(BlockError::Internal(lost).into());
            };
            tally.admit(tx).map_err(BlockError::from)?;
            tally.add(tx, result, excess);
            ends.extend(ended);
        }

        let last = step_of(transactions.len());
        let mut kernel = self.kernel(last);
        let frame = Frame::of(self.block);
        let closed = frame::close(&mut kernel, self.rules, &frame, tally.results(), scope);
        self.declared(last, &mut kernel)?;
        let requests = closed?;
        let (diff, reads) = kernel.take();
        ends.extend(fragment::check(&self.values, last, &reads, &diff)?);
        if let Some((address, slot)) = self.values.untouched() {
            return Err(ListFault::Untouched { address, slot }.into());
        }

        let diff = match known_diff {
            Some(diff) if ends.is_empty() => diff,
            _ => whole::diff(&self.values, self.end(), &ends),
        };
        let diff = diff.map_err(BlockError::from)?;
        let is_listed = self.rules.has(Fork::Amsterdam);
        let access_list = is_listed.then(|| self.values.index().list().clone());
        let count = transactions.len();
        let active_threads = self.active.load(Ordering::Relaxed);
        let stats = Stats { runs: count, active_threads, ..Stats::default() };
        let outcome = BlockOutcome { requests, diff, access_list, ..tally.into_outcome() };
        Ok((outcome, stats))
    }
}

#[cfg(test)]
mod tests;
