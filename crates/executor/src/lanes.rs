//! Execution in lanes: each worker runs its share of the block in the tight loop of sequential
//! execution, in one journal and without versioned memory, and what they did is settled afterwards.
//!
//! A *lane* is a journal with some of the block's transactions, in block order. Of other lanes it
//! hears which slots they have changed so far, as a guess ([`mod@listening`]); anything else that
//! they write it does not see. The kernel notes what each transaction came upon and left behind
//! ([`Touched`]). Plain payments have no need of a kernel: beside it each worker has a ledger for
//! them, which is a lane as well ([`mod@payments`]).
//!
//! **Settling** goes through the block in order, on the caller's thread. It follows the accounts
//! that are *hot*: changed in one lane where another has looked ([`mod@disturbed`]), or with a slot
//! of which a lane has heard. Any other account is, at each transaction, what its lane says, since
//! the lane ran in block order, and has seen nothing of it that it had not done itself; where
//! several lanes have moved amounts alone, it has at least what was asked of it. So a transaction
//! whose touches of hot accounts hold ([`AccountTouch::holds`], slots by value) did what it would
//! have done in the sequential run, and is settled with what it left behind. One whose touches do
//! not hold runs again, on the state that is settled so far; what it changes, then or now, becomes
//! hot. By induction over the block, every transaction that is settled is that of the sequential
//! run. Where several do not hold, they run again on all threads before that, as guesses:
//! [`mod@settle`] has how, and why that is right.
//!
//! **What was heard** is compared as if the lane had guessed it, however it came about:
//! * Its account is hot before the first transaction. So what earlier ones have left in its slots
//!   is followed from the start, and no lane's diff of it is settled, which may tell of changes
//!   that were another lane's and of values before them that never were.
//! * A slot that no settled transaction has changed is taken to be what the lane came upon, as long
//!   as none has run again: it came upon what was there before the block then, or upon what an
//!   earlier one had left, in its lane or in one that it heard; and that one is settled with the
//!   run that left it, so that it has changed the slot. From the first one on that runs again,
//!   every slot of a hot account is compared ([`hot::Hot::holds`]).
//! * What a lane has heard changes nothing else in it: other accounts follow from transactions that
//!   hold, or are made hot by those that do not.
//!
//! Of a balance it is only asked that it suffices, unless more of it was seen; so fees, plain
//! payments and payments of one sender in several lanes do not disturb one another. A sender whose
//! earlier transactions are in other lanes, be it the other one of the same worker, is taken to
//! have sent them; its account is hot then, and settling compares the nonce.
//!
//! **Bugs are planted** by tests, one for each thing that is compared, followed or kept here: each
//! has a block whose outcome is then another one (`tests/bugs.rs`).
//!
//! Fit for this are blocks from Byzantium on and before Amsterdam: outside, something is taken down
//! of each transaction, or empty accounts are more than none.

/// Whether a test has planted this bug (`tests/bugs.rs`).
#[cfg(test)]
macro_rules! planted {
    ($bug:ident) => {
        $crate::lanes::tests::bugs::Bug::$bug.is_planted()
    };
}

/// The program has none of the bugs that tests plant.
#[cfg(not(test))]
macro_rules! planted {
    ($bug:ident) => {
        false
    };
}

mod chain;
mod changers;
mod claims;
mod disturbed;
mod hot;
mod lessons;
mod listening;
mod marks;
mod payments;
mod plan;
mod room;
mod settle;
mod steps;

use crate::{
    BlockError, BlockOutcome, FallbackCause, GivenUp, PreparedBlock, Scope,
    crew::Crew,
    frame::{self, Frame},
    hints::Hints,
    occ::{Resources, open},
    rerun::{RunLog, timed},
    tally::Tally,
};
use chain::{KEPT_GAS_MIN, first_txs, go_on, is_chain};
use claims::{Claim, Claims};
use fugue_chainspec::{Fork, Rules};
use fugue_evm::{
    CodeCache, Executed, Fault, FeePayment, History, Kernel, PAYMENT_GAS, TagFilter, Target,
    Touched, ViewReader, tag,
};
use fugue_scheduler::{Ran, Stats};
use fugue_state::{Stack, StateDiff, StateError, StateView};
use fugue_types::{Address, Header};
use lessons::Log;
use listening::{Listener, ListeningReader, Published};
use marks::{Dependence, Mark, Marks};
use parking_lot::Mutex;
use payments::{PaymentLane, callers};
use room::{JournalRooms, give_back, spare_bytes};
use settle::{Job, Settled, settle};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use plan::{Hearing, Plan};

pub(crate) use room::LaneRoom;

#[cfg(doc)]
use fugue_evm::AccountTouch;

/// Why a block is no good one for lanes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LaneFault {
    /// So many transactions came upon what others had changed elsewhere that it does not pay.
    #[error("too many transactions depend on one another")]
    Entangled,
    /// An account that is there and empty, as before EIP-161, was come upon in more than one lane.
    #[error("the account {0} is there, and empty")]
    Empty(Address),
    /// As footprints, earlier blocks or its first transactions tell, nearly all of it is one chain.
    #[error("nearly every transaction waits for another one")]
    OneChain,
    /// Nearly all of it is one group whose calls depend on one another in several chains; and lanes
    /// do not see which call belongs to which.
    #[error("nearly every transaction waits for one of several others")]
    ManyChains,
}

/// A block that was executed in lanes.
pub(crate) struct LaneRun {
    pub(crate) outcome: BlockOutcome,
    pub(crate) stats: Stats,
    /// Set if it is one chain, of which lanes ran no more than the first transactions; the rest
    /// ran sequentially above them.
    pub(crate) given_up: Option<GivenUp>,
}

/// What a run in lanes took, however it ended.
#[derive(Debug, Default)]
pub(crate) struct Spent {
    /// Transactions that ran in a lane.
    pub(crate) txs: usize,
    /// Bytes of all that lanes have taken: [`room`] has what bounds what is kept of it.
    pub(crate) memory_bytes: usize,
    /// What each transaction took, if somebody asks for it.
    pub(crate) runs: Option<RunLog>,
}

/// Calls and creations that a block has at least to be run in lanes, and gas that they use beyond
/// that of a payment: a fraction of a millisecond, which is what it takes to wake other threads and
/// to settle.
const CALLS_MIN: usize = 4;
const CALLS_GAS_MIN: u64 = 1_500_000;
/// Payments from which on that pays as well, whatever else the block has.
const PAYMENTS_MIN: usize = 100;

/// Times that a worker that has to wait looks whether it still has to, before it asks again; and
/// that it asks before it sleeps between two times, and for how long: whoever asks holds the lock
/// that those need who run.
const LOOKS_MAX: u32 = 16;
const ASKS_MAX: u32 = 2;
const SLEEP: Duration = Duration::from_micros(30);

/// A kernel that runs a lane.
type LaneKernel<'l> = Kernel<'l, ListeningReader<'l>>;

/// A lane that is run, and the ledger beside it.
struct Running<'l> {
    kernel: LaneKernel<'l>,
    txs: Vec<LaneTx>,
    noted: Vec<usize>,
    assumed: Vec<Address>,
    worker: usize,
    log: Log,
    listener: Listener,
    /// The ledger; `None` as long as no payment was tried.
    payments: Option<PaymentLane<'l>>,
    /// What ran last, in either.
    last: Option<usize>,
}

/// A lane at its end: some of the block's transactions, in block order, in one journal.
struct Lane {
    worker: usize,
    /// The thread of the pool that ran it, by its number; `None` if none did.
    thread: Option<usize>,
    /// It was a ledger: all of its transactions are plain payments.
    is_ledger: bool,
    txs: Vec<LaneTx>,
    /// Index of each transaction that was not refused.
    noted: Vec<usize>,
    /// Senders that were taken to have sent what is in other lanes.
    assumed: Vec<Address>,
    /// Accounts of which it has taken over a slot that another lane had written, each once.
    heard: Vec<Address>,
    /// How often it has.
    heard_slots: usize,
    history: History,
}

impl Lane {
    /// Index of the transaction that was noted at this place.
    fn index_of(&self, noted: usize) -> usize {
        self.noted.get(noted).copied().unwrap_or(usize::MAX)
    }
}

struct LaneTx {
    index: usize,
    /// `None` if it was refused.
    executed: Option<Executed>,
    /// Its place among the touches of the lane.
    touches: Option<usize>,
}

/// What all workers of a block share.
struct Shared<'l> {
    prepared: &'l PreparedBlock,
    rules: &'l Rules,
    header: &'l Header,
    codes: &'l CodeCache,
    view: &'l dyn StateView,
    /// Set when it is known who runs what.
    claims: OnceLock<Claims>,
    /// Tags of who sends something else than payments.
    callers: TagFilter,
    marks: Marks,
    /// What lanes tell one another.
    published: &'l Published,
    /// A chain is left to the sequential mode, and many chains to the optimistic one.
    declines: bool,
    /// Room for the touches of lanes.
    rooms: Mutex<Vec<Touched>>,
    /// Room for their journals.
    journals: JournalRooms,
    lanes: Mutex<Vec<Lane>>,
    log: Mutex<Log>,
    /// Bytes that lanes had taken at their end.
    bytes: AtomicUsize,
    /// Where it is noted what each transaction takes, if somebody asked for it.
    runs: Option<&'l RunLog>,
    /// Set where nothing that is still run is of any use.
    is_over: AtomicBool,
    failure: Mutex<Option<FallbackCause>>,
}

/// Whether the rules of a block let it run in lanes.
pub(crate) fn fits(rules: &Rules) -> bool {
    rules.receipts_have_status() && !rules.has(Fork::Amsterdam)
}

/// Whether a block has enough to do for more than one thread, beside its payments. The gas of one
/// does not count, since that takes no longer than it takes to settle it; nor does as much of any
/// other transaction, which is a payment as well if its callee has no code.
pub(crate) fn pays(prepared: &PreparedBlock) -> bool {
    let calls = prepared.txs.iter().filter(|tx| tx.target() != Target::Payment).count();
    let header = &prepared.block.block().header;
    let gas = header.gas_used.saturating_sub(prepared.txs.len() as u64 * PAYMENT_GAS);
    calls >= CALLS_MIN && gas >= CALLS_GAS_MIN
}

/// Whether a block pays in lanes for its payments alone. In ledgers these take a fraction of what
/// they take in an EVM, so that it pays to settle them.
pub(crate) fn has_many_payments(prepared: &PreparedBlock) -> bool {
    prepared.txs.iter().filter(|tx| tx.payee().is_some()).count() >= PAYMENTS_MIN
}

/// Runs the block on the caller's thread and those of the pool. However that ends, but with
/// [`LaneFault::ManyChains`], the hints learn what it came upon. If it `declines`, a block that is
/// one chain is not begun, or not gone on with ([`LaneFault::OneChain`]): its first transactions,
/// if they have run by themselves until then, are settled, and the rest runs sequentially. What it
/// took is `spent`, with what each transaction took if that has room for it.
///
/// # Errors
/// Whatever it came upon; it says nothing about the block.
pub(crate) fn run(
    prepared: &PreparedBlock,
    rules: &Rules,
    view: &dyn StateView,
    scope: Scope,
    resources: &Resources<'_>,
    declines: bool,
    spent: &mut Spent,
) -> Result<LaneRun, FallbackCause> {
    let begun = Instant::now();
    let Resources { codes, pool, threads, lane_room, hints, .. } = *resources;
    let Spent { txs, memory_bytes, runs } = spent;
    let runs = runs.as_ref();
    let block = prepared.block.block();
    let opening = match scope {
        Scope::Block | Scope::Recorded => open(rules, &block.header, view, codes)?.0,
        Scope::Transactions => StateDiff::default(),
    };
    let opened = Stack::new([&opening], view);
    let workers = threads.min(prepared.txs.len()).max(1);
    let room = lane_room.lock().take().unwrap_or_default();
    let LaneRoom { touched, marks, mut published, journals } = room;
    if workers > 1 {
        published.open();
    }
    let shared = Shared {
        prepared,
        rules,
        header: &block.header,
        codes,
        view: &opened,
        claims: OnceLock::new(),
        callers: callers(&prepared.txs),
        marks,
        published: &published,
        declines,
        rooms: Mutex::new(touched),
        journals,
        lanes: Mutex::new(Vec::with_capacity(workers)),
        log: Mutex::default(),
        bytes: AtomicUsize::new(0),
        runs,
        is_over: AtomicBool::new(false),
        failure: Mutex::new(None),
    };
    // It takes as long to wake a thread as to make the plan: that goes on side by side.
    let crew = Crew::new(workers - 1);
    pool.in_place_scope(|scope| {
        for worker in 1..workers {
            let (shared, crew) = (&shared, &crew);
            scope.spawn(move |_| {
                shared.guard(|| run_lanes(shared, worker));
                crew.leave();
            });
        }
        shared.guard(|| {
            shared.plan(workers, hints);
            run_lanes(&shared, 0);
        });
        crew.linger();
    });
    let Shared { claims, marks, rooms, journals, lanes, log, bytes, failure, .. } = shared;
    let (mut lanes, mut log, touched) = (lanes.into_inner(), log.into_inner(), rooms.into_inner());
    let of_all = marks.memory_bytes() + published.memory_bytes() + spare_bytes(&touched, &journals);
    *txs = log.ran_count();
    *memory_bytes = bytes.into_inner() + of_all;
    let job = Job { prepared, rules, codes, view: &opened, pool, threads, runs };
    let failure = failure.into_inner();
    let (count, of_first) = match &failure {
        None => (prepared.txs.len(), lanes.len()),
        Some(cause) if is_chain(cause) => first_txs(&mut lanes, KEPT_GAS_MIN),
        Some(_) => (0, 0),
    };
    let settled =
        match &failure {
            Some(cause) if count == 0 => Err(cause.clone()),
            _ => catch_unwind(AssertUnwindSafe(|| {
                settle(&job, count, &mut lanes[..of_first], &mut log)
            }))
            .unwrap_or_else(|_| Err(BlockError::Internal("settling panicked".to_owned()).into())),
        };
    let room = LaneRoom::new(touched, &mut lanes, marks, published, journals.clone());
    *lane_room.lock() = Some(room);
    if workers > 1 {
        give_back(pool, lanes, journals);
        // Of several chains hints would keep that all depend on one another, as if they were one.
        let is_taught = !matches!(settled, Err(FallbackCause::Lanes(LaneFault::ManyChains)));
        if let Some(claims) = claims.into_inner().filter(|_| is_taught) {
            log.teach(&claims.into_plan(), &prepared.txs, &mut hints.lock());
        }
    }
    let settled = match (settled, &failure) {
        // That is no better a reason than the one there was.
        (Err(FallbackCause::Lanes(_)), Some(cause)) => Err(cause.clone()),
        (settled, _) => settled,
    };
    let Settled { diff, tally, stats } = settled?;
    let Some(cause) = failure else {
        let outcome = close(prepared, rules, codes, scope, view, [opening, diff], tally)?;
        return Ok(LaneRun { outcome, stats, given_up: None });
    };
    let given_up = GivenUp { cause, txs: *txs, is_kept: true, time: begun.elapsed() };
    let outcome = go_on(prepared, rules, codes, scope, view, [opening, diff], tally)?;
    Ok(LaneRun { outcome, stats: Stats::default(), given_up: Some(given_up) })
}

/// Closes a block that has changed the state by these diffs, and gives its outcome.
fn close(
    prepared: &PreparedBlock,
    rules: &Rules,
    codes: &CodeCache,
    scope: Scope,
    view: &dyn StateView,
    [opening, diff]: [StateDiff; 2],
    tally: Tally,
) -> Result<BlockOutcome, BlockError> {
    let block = prepared.block.block();
    let (requests, last) = match scope {
        Scope::Block | Scope::Recorded => {
            let view = Stack::new([&opening, &diff], view);
            let reader = ViewReader(&view as &dyn StateView);
            let mut kernel = Kernel::new(rules, &block.header, codes, reader, FeePayment::Direct);
            let frame = Frame::of(block);
            let requests = frame::close(&mut kernel, rules, &frame, tally.results(), scope)?;
            (requests, kernel.take().0)
        }
        Scope::Transactions => (None, StateDiff::default()),
    };
    let diff = diff.between(&opening, &last)?;
    Ok(BlockOutcome { requests, diff, ..tally.into_outcome() })
}

impl Shared<'_> {
    /// Lets a worker work. A panic ends the run, and not the program.
    fn guard(&self, work: impl FnOnce()) {
        if catch_unwind(AssertUnwindSafe(work)).is_err() {
            self.fail(BlockError::Internal("a lane panicked".to_owned()).into());
        }
    }

    /// Finds out who runs what.
    fn plan(&self, workers: usize, hints: &Mutex<Hints>) {
        let plan = {
            let mut hints = hints.lock();
            let hearing = if self.published.is_open() { Hearing::Slots } else { Hearing::Nothing };
            let plan = Plan::new(self.prepared, &hints, workers, hearing);
            if self.declines && plan.is_one_chain() {
                plan.doubt(&mut hints);
                return self.fail(LaneFault::OneChain.into());
            }
            plan
        };
        self.claims.get_or_init(|| Claims::new(plan, workers).declining(self.declines));
    }

    /// Who runs what, as soon as it is known; `None` if nothing is run. A sleep would take longer
    /// than it takes.
    fn claims(&self) -> Option<&Claims> {
        loop {
            if self.is_over.load(Ordering::Acquire) {
                return None;
            }
            if let Some(claims) = self.claims.get() {
                return Some(claims);
            }
            std::thread::yield_now();
        }
    }

    /// Whether one of them may send something else than payments.
    fn may_call(&self, payer: Address, payee: Address) -> bool {
        [payer, payee].iter().any(|address| self.callers.passes(tag(address)))
    }

    fn fail(&self, cause: FallbackCause) {
        self.failure.lock().get_or_insert(cause);
        self.is_over.store(true, Ordering::Release);
    }
}

fn run_lanes<'l>(shared: &Shared<'l>, worker: usize) {
    let Some(claims) = shared.claims() else { return };
    let mut lane = Running::new(shared, worker);
    let mut batch = Vec::new();
    let mut asked = 0_u32;
    loop {
        let last = lane.last;
        match claims.claim(worker, last, &mut batch) {
            Claim::Run => asked = 0,
            Claim::Look => {
                claims
                    .look_closely(&shared.prepared.txs, || !shared.is_over.load(Ordering::Relaxed));
                continue;
            }
            Claim::Wait(_) if shared.is_over.load(Ordering::Relaxed) => break,
            Claim::Wait(index) => {
                let goes_on = || !shared.is_over.load(Ordering::Relaxed) && claims.is_unsure(index);
                (0..LOOKS_MAX).take_while(|_| goes_on()).for_each(|_| std::thread::yield_now());
                asked = asked.saturating_add(1);
                if asked >= ASKS_MAX && goes_on() {
                    std::thread::sleep(SLEEP);
                }
                continue;
            }
            Claim::End => break,
        }
        if last.zip(batch.first()).is_some_and(|(last, first)| last > *first) {
            lane.end(shared);
            lane = Running::new(shared, worker);
        }
        for index in &batch {
            let is_kept = if shared.is_over.load(Ordering::Relaxed) {
                shared.failure.lock().as_ref().is_some_and(is_chain)
            } else if let Err(cause) = lane.run(shared, claims, *index) {
                let is_kept = is_chain(&cause);
                shared.fail(cause);
                is_kept
            } else {
                continue;
            };
            return if is_kept { lane.end(shared) } else { lane.give_up(shared) };
        }
    }
    lane.end(shared);
}

impl<'l> Running<'l> {
    fn new(shared: &Shared<'l>, worker: usize) -> Self {
        let Shared { rules, header, codes, view, published, .. } = *shared;
        let lane = published.begin();
        let reader = ListeningReader::new(view, published, lane);
        let mut kernel = Kernel::new(rules, header, codes, reader, FeePayment::Deferred);
        kernel.note_touches(shared.rooms.lock().pop().unwrap_or_default());
        kernel.use_room(shared.journals.lock().pop().unwrap_or_default());
        Self {
            kernel,
            txs: Vec::new(),
            noted: Vec::new(),
            assumed: Vec::new(),
            worker,
            log: Log::default(),
            listener: Listener::new(lane),
            payments: None,
            last: None,
        }
    }

    /// Runs one transaction, above those before it in the lane, or in the ledger.
    fn run(
        &mut self,
        shared: &Shared<'l>,
        claims: &Claims,
        index: usize,
    ) -> Result<(), FallbackCause> {
        let (done, time) = timed(shared.runs, || self.run_untimed(shared, claims, index));
        if let Some(runs) = shared.runs {
            let last = self.txs.last().filter(|last| last.index == index);
            let is_refused = last.is_some_and(|last| last.executed.is_none());
            runs.ran(index, time, None, if is_refused { Ran::Parked } else { Ran::Done });
        }
        done
    }

    fn run_untimed(
        &mut self,
        shared: &Shared<'l>,
        claims: &Claims,
        index: usize,
    ) -> Result<(), FallbackCause> {
        let tx = &shared.prepared.txs[index];
        self.last = Some(index);
        if tx.payee().is_some_and(|payee| !shared.may_call(tx.sender(), payee)) {
            let payments = self.payments.get_or_insert_with(|| PaymentLane::new(shared));
            if let Some(depends) = payments.run(shared, index)? {
                // It has no slots to mark, or to publish.
                self.log.add(index, &Dependence::default());
                claims.note_payment(index, depends);
                return Ok(());
            }
        }
        self.listener.listen(&mut self.kernel, index as u32);
        // Only whose sender has sent before in this block may miss something.
        let (is_assumed, executed) = match shared.prepared.predecessors[index] {
            Some(_) => self.kernel.transact_assuming(tx),
            None => (false, self.kernel.transact(tx)),
        };
        if is_assumed {
            self.assumed.push(tx.sender());
        }
        let executed = match executed {
            Ok(executed) => Some(executed),
            // A guess may be refused as well as run.
            Err(Fault::Invalid(_)) => {
                claims.note_refused(index);
                None
            }
            Err(Fault::Read(error)) => return Err(error.into()),
            Err(Fault::Internal(message)) => return Err(BlockError::Internal(message).into()),
        };
        let noted = self.kernel.touched().map_or(0, Touched::len);
        let touches = executed.is_some().then(|| noted.saturating_sub(1));
        self.txs.push(LaneTx { index, executed, touches });
        let Some(place) = touches else { return Ok(()) };
        self.noted.push(index);
        let dependence = self.mark(shared, place, index);
        self.note(claims, index, dependence)
    }

    /// Notes that a transaction ran, and on whom it depends; fails if it does not pay to go on.
    fn note(
        &mut self,
        claims: &Claims,
        index: usize,
        dependence: Dependence,
    ) -> Result<(), FallbackCause> {
        self.log.add(index, &dependence);
        claims.note(self.worker, index, dependence).map_or(Ok(()), |fault| Err(fault.into()))
    }

    /// Marks the slots of a transaction, publishes what it has changed, and tells whom it has
    /// disturbed, and who it.
    fn mark(&mut self, shared: &Shared<'l>, place: usize, index: usize) -> Dependence {
        let Self { kernel, listener, worker, .. } = self;
        let Shared { marks, published, .. } = shared;
        let slots = kernel.touched().map_or(&[][..], |touched| touched.of(place).1);
        let mark = Mark { worker: *worker, index };
        let dependence = marks.mark(slots, mark, |touch, hash, is_written| {
            listener.note(published, touch, hash, index as u32, is_written)
        });
        listener.publish(published);
        dependence
    }

    /// Leaves what is known of it, and nothing of what it did.
    fn give_up(mut self, shared: &Shared<'l>) {
        shared.log.lock().append(&mut self.log);
        let of_payments = self.payments.as_ref().map_or(0, PaymentLane::memory_bytes);
        let bytes = self.kernel.memory_bytes() + of_payments;
        shared.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn end(self, shared: &Shared<'l>) {
        shared.bytes.fetch_add(self.kernel.memory_bytes(), Ordering::Relaxed);
        let Self {
            mut kernel,
            txs,
            noted,
            assumed,
            worker,
            mut log,
            listener: _,
            payments,
            last: _,
        } = self;
        shared.log.lock().append(&mut log);
        let heard = kernel.reader_mut().take_heard();
        let lane = Lane {
            worker,
            thread: rayon::current_thread_index(),
            is_ledger: false,
            txs,
            noted,
            assumed,
            heard: heard.accounts().collect(),
            heard_slots: heard.count,
            history: kernel.into_history(),
        };
        let payments = payments.and_then(|payments| payments.end(shared, worker));
        shared.lanes.lock().extend(std::iter::once(lane).chain(payments));
    }
}

/// A read of the state, as the readers of lanes give it.
type ReadResult<T> = Result<T, StateError>;

#[cfg(test)]
mod tests;
