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
//! **A block that is one chain** is told by its first transactions, which the caller may run before
//! anybody knows who runs what ([`mod@first`]); the rest is run above them ([`mod@chain`]).
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
mod first;
mod hot;
mod lessons;
mod listening;
mod marks;
mod payments;
mod plan;
mod room;
mod running;
mod settle;
mod steps;

use crate::{
    BlockError, BlockOutcome, FallbackCause, GivenUp, PreparedBlock, Scope,
    crew::Crew,
    frame::{self, Frame},
    hints::Hints,
    occ::{Resources, open},
    rerun::RunLog,
    tally::{Budget, Tally},
};
use chain::is_chain;
use claims::Claims;
use first::First;
use fugue_chainspec::{Fork, Rules};
use fugue_evm::{
    CodeCache, Executed, FeePayment, History, Kernel, PAYMENT_GAS, PreparedTx, TagFilter, Target,
    Touched, ViewReader, tag,
};
use fugue_scheduler::Stats;
use fugue_state::{Stack, StateDiff, StateError, StateView};
use fugue_types::{Address, Header};
use lessons::Log;
use listening::Published;
use marks::Marks;
use parking_lot::Mutex;
use payments::callers;
use room::{JournalRooms, give_back, spare_bytes};
use running::{run_first, run_lanes};
use settle::{Job, Settled, settle};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Instant,
};

use plan::{Hearing, Plan};

pub(crate) use room::LaneRoom;

#[cfg(doc)]
use fugue_evm::AccountTouch;

/// Why a block is no good one for lanes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LaneFault {
    /// So many transactions had not seen what others had changed elsewhere that it does not pay.
    #[error("too many transactions depend on one another")]
    Entangled,
    /// An account that is there and empty, as before EIP-161, was changed in a lane, or had to be
    /// followed or read while lanes were settled.
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
    /// Set if it is one chain, of which a lane ran no more than the first transactions; the rest
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
/// Payments from which on that pays as well, whatever else the block has: about a millisecond of
/// the sequential mode, where threads were asleep and caches are cold.
const PAYMENTS_MIN: usize = 700;
/// As many times the gas limit of the block as the calls in its lanes may use, at most. Those of a
/// valid block use more than that limit only where what they came upon is not what it is at their
/// turn.
const BUDGET_LIMITS: u64 = 2;

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
    /// Whether somebody finds that out.
    is_planned: AtomicBool,
    /// What the caller runs until then.
    first: First,
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
    /// Gas for what runs before settling admits it; payments, which are light, take none.
    budget: Budget,
    /// Transactions that ran.
    ran: AtomicUsize,
    /// Whether the log has all that the caller notes, who goes on with a chain.
    is_told: AtomicBool,
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
/// other transaction. Nor do calls without data count for more, whatever gas they may use, since
/// hardly one has a callee with code.
pub(crate) fn pays(prepared: &PreparedBlock) -> bool {
    let txs = &prepared.txs;
    let calls = txs.iter().filter(|tx| tx.target() != Target::Payment).count();
    let used = prepared.block.block().header.gas_used;
    let beyond = used.saturating_sub(txs.len() as u64 * PAYMENT_GAS);
    let limits = txs.iter().filter(|tx| tx.payee().is_none()).map(PreparedTx::gas_limit);
    let most = limits.map(|gas| gas.saturating_sub(PAYMENT_GAS)).fold(0, u64::saturating_add);
    calls >= CALLS_MIN && beyond.min(most) >= CALLS_GAS_MIN
}

/// Whether a block pays in lanes for its payments alone. In ledgers these take a fraction of what
/// they take in an EVM, so that it pays to settle them.
pub(crate) fn has_many_payments(prepared: &PreparedBlock) -> bool {
    prepared.txs.iter().filter(|tx| tx.payee().is_some()).count() >= PAYMENTS_MIN
}

/// Runs the block on the caller's thread and those of the pool. However that ends, but with
/// [`LaneFault::ManyChains`], the hints learn what it came upon. If it `declines`, a block that is
/// one chain is not gone on with ([`LaneFault::OneChain`]): if its first transactions are all that
/// the caller has run, the rest runs sequentially above them, else nothing does. What it took is
/// `spent`, with what each transaction took if that has room for it.
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
    let started = Instant::now();
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
        is_planned: AtomicBool::new(false),
        first: if declines && workers > 1 { First::of(&prepared.txs) } else { First::default() },
        callers: callers(&prepared.txs),
        marks,
        published: &published,
        declines,
        rooms: Mutex::new(touched),
        journals,
        lanes: Mutex::new(Vec::with_capacity(workers)),
        log: Mutex::default(),
        budget: Budget::new(block.header.gas_limit.saturating_mul(BUDGET_LIMITS)),
        ran: AtomicUsize::new(0),
        is_told: AtomicBool::new(false),
        bytes: AtomicUsize::new(0),
        runs,
        is_over: AtomicBool::new(false),
        failure: Mutex::new(None),
    };
    let plan = || {
        if !shared.is_planned.swap(true, Ordering::Relaxed) {
            shared.plan(workers, hints);
        }
    };
    let crew = Crew::new(workers - 1);
    let went_on = pool.in_place_scope(|threads| {
        for worker in 1..workers {
            let (shared, crew, plan) = (&shared, &crew, &plan);
            threads.spawn(move |_| {
                shared.guard(|| {
                    plan();
                    run_lanes(shared, worker, None)
                });
                if crew.leave() && shared.is_told.load(Ordering::Acquire) && shared.is_one_chain() {
                    shared.guard(|| shared.teach(hints));
                }
            });
        }
        let begun = shared.guard(|| {
            let first = run_first(&shared);
            plan();
            run_lanes(&shared, 0, first)
        });
        let went_on = begun.map(|begun| {
            let (txs, time) = (begun.tx_count(), started.elapsed());
            let go_on = AssertUnwindSafe(|| begun.go_on(&shared, scope, &opening));
            let panicked = |_| BlockError::Internal("the rest of a chain panicked".to_owned());
            (txs, time, catch_unwind(go_on).map_err(panicked).flatten())
        });
        crew.linger();
        went_on
    });
    let Shared { claims, marks, rooms, journals, lanes, log, ran, bytes, failure, .. } = shared;
    let (mut lanes, mut log, touched) = (lanes.into_inner(), log.into_inner(), rooms.into_inner());
    let of_all = marks.memory_bytes() + published.memory_bytes() + spare_bytes(&touched, &journals);
    *txs = ran.into_inner();
    *memory_bytes = bytes.into_inner() + of_all;
    let job = Job { prepared, rules, codes, view: &opened, pool, threads, runs };
    let failure = failure.into_inner();
    let settled = match &failure {
        Some(cause) => Err(cause.clone()),
        None => catch_unwind(AssertUnwindSafe(|| settle(&job, &mut lanes, &mut log)))
            .unwrap_or_else(|_| Err(BlockError::Internal("settling panicked".to_owned()).into())),
    };
    let room = LaneRoom::new(touched, &mut lanes, marks, published, journals.clone());
    *lane_room.lock() = Some(room);
    if workers > 1 {
        give_back(pool, lanes, journals);
        // Of several chains hints would keep that all depend on one another, as if they were one.
        let is_taught = !matches!(settled, Err(FallbackCause::Lanes(LaneFault::ManyChains)));
        if let Some(claims) = claims.into_inner().filter(|_| is_taught) {
            log.teach(claims.plan(), &prepared.txs, hints);
        }
    }
    if let (Some((txs, time, outcome)), Some(cause)) = (went_on, failure) {
        let given_up = Some(GivenUp { cause, txs, is_kept: true, time });
        return Ok(LaneRun { outcome: outcome?, stats: Stats::default(), given_up });
    }
    let Settled { diff, tally, stats } = settled?;
    let outcome = close(prepared, rules, codes, scope, view, [opening, diff], tally)?;
    Ok(LaneRun { outcome, stats, given_up: None })
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
    let above = Stack::new([&opening, &diff], view);
    let reader = ViewReader(&above as &dyn StateView);
    let mut kernel = Kernel::new(rules, &block.header, codes, reader, FeePayment::Direct);
    let requests = frame::close(&mut kernel, rules, &Frame::of(block), tally.results(), scope)?;
    let last = kernel.take().0;
    let diff = diff.between(&opening, &last)?;
    Ok(BlockOutcome { requests, diff, ..tally.into_outcome() })
}

impl Shared<'_> {
    /// Lets a worker work. A panic ends the run, and not the program.
    fn guard<T: Default>(&self, work: impl FnOnce() -> T) -> T {
        catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
            self.fail(BlockError::Internal("a lane panicked".to_owned()).into());
            T::default()
        })
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
        let claims = Claims::new(plan, workers).declining(self.declines);
        self.claims.get_or_init(|| claims.beginning_with(self.first.close()));
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

    /// Takes over what a worker has noted.
    fn append(&self, log: &mut Log) {
        self.ran.fetch_add(log.ran_count(), Ordering::Relaxed);
        self.log.lock().append(log);
    }

    /// Teaches the hints what was noted so far.
    fn teach(&self, hints: &Mutex<Hints>) {
        if let Some(claims) = self.claims.get() {
            let log = std::mem::take(&mut *self.log.lock());
            log.teach(claims.plan(), &self.prepared.txs, hints);
        }
    }

    /// Whether no more is run because the block is one chain.
    fn is_one_chain(&self) -> bool {
        self.failure.lock().as_ref().is_some_and(is_chain)
    }

    fn fail(&self, cause: FallbackCause) {
        self.failure.lock().get_or_insert(cause);
        self.is_over.store(true, Ordering::Release);
    }
}

/// A read of the state, as the readers of lanes give it.
type ReadResult<T> = Result<T, StateError>;

#[cfg(test)]
mod tests;
