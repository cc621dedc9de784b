//! One block's run: who executes what, and the commit in block order.
//!
//! Every thread that enters [`Session::work`] does the same until the block is done:
//! 1. If nobody is at the head of the block, and nobody commits: go on from the head. Where it has
//!    been executed, its reads are compared with the memory. If one differs, or it has not been
//!    executed, it runs, this time on final values. Then it is committed.
//! 2. Otherwise run the lowest transaction that is worth running again,
//! 3. otherwise the next one that has never run,
//! 4. otherwise wait a little, and look again: nobody sleeps until somebody wakes him, so that a
//!    lost wake-up would cost a guess, and never the end.
//!
//! States of a transaction (`status`). In Running and Doubted it is in the hands of one thread; at
//! the head it goes from each of the others to Running, and from there to Committed.
//! ```text
//!   Pending      .------------- Queued <-----------.
//!      |         v                ^                |
//!      `----> Running ------------'                |
//!              | | |                               |
//!              | | `----> Executed <--> Doubted ---'
//!              | `------> Waiting --------^
//!              `--------> Parked
//! ```
//! | from | to | when | where |
//! | --- | --- | --- | --- |
//! | Pending, Queued | Running | a thread takes it ahead of its turn | `next_ahead` |
//! | Running | Waiting | the one that it needs has not run | `wait_for` |
//! | Running | Queued | that one has run meanwhile | `run_ahead` |
//! | Running | Parked | it is for its turn, or was blocked in its last guess | `run_ahead` |
//! | Running | Executed | it ran to an end ahead of its turn | `run_ahead` |
//! | Executed | Doubted | it has read what is another value since | `doubt` |
//! | Waiting | Doubted | the one that it waits for has run | `wake` |
//! | Doubted | Queued | what it wrote is marked, if it wrote anything | `enqueue` |
//! | Doubted | Executed | it has no guess left, or guessing has ended | `doubt` |
//! | all but Running and Doubted | Running | it is the head | `commit_head` |
//! | Running | Committed | it is the head, and its run holds | `commit_head` |

use crate::sync::{
    AtomicBool, AtomicU8, AtomicU32, AtomicUsize, Mutex, Ordering, sleep, spin_loop, yield_now,
};
use smallvec::SmallVec;
use std::{
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

/// How often a transaction runs on values that may change, before it waits for its turn.
pub const GUESSES_MAX: u32 = 2;
/// Commits after which the share of reruns is judged.
const SUFFIX_COMMITS_MIN: usize = 32;
/// Above this share of heads that had to run again, the rest of the block runs one by one.
const SUFFIX_RERUNS_PERCENT: usize = 60;
/// Rounds without work before a thread yields, and before it sleeps.
const SPINS_MAX: u32 = 64;
const YIELDS_MAX: u32 = 256;
const SLEEP: Duration = Duration::from_micros(30);

const PENDING: u8 = 0;
const RUNNING: u8 = 1;
const EXECUTED: u8 = 2;
const DOUBTED: u8 = 3;
const QUEUED: u8 = 4;
const WAITING: u8 = 5;
const PARKED: u8 = 6;
const COMMITTED: u8 = 7;

/// Where a transaction runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Before its turn: what it reads may still change.
    Ahead,
    /// At its turn: all before it is committed, what it reads is final.
    Head,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ran {
    /// It has run to an end and its writes are in the memory.
    Done,
    /// It met a value that transaction `on`, below it, is still to write. Never at the head.
    Blocked {
        /// The transaction to wait for.
        on: usize,
    },
    /// It has to wait for its turn. Never at the head.
    Parked,
}

/// What is run: transactions `0..count` over one memory. Methods are called from many threads.
pub trait Program: Sync {
    /// What one thread needs to run transactions.
    type Worker;
    /// Why a commit cannot be done.
    type Error: Send;

    /// Makes what one thread needs.
    fn worker(&self) -> Self::Worker;

    /// An earlier transaction without whose result this one is not worth running.
    /// Asked before each run ahead of its turn.
    fn predecessor(&self, tx: usize) -> Option<usize>;

    /// Runs `tx`, keeps its result, writes to the memory, retracts what an earlier run wrote and
    /// this one did not, and names in `overtaken` whose reads that changed.
    ///
    /// A run that does not end with [`Ran::Done`] leaves the memory, and the result of the one
    /// before it, as they are: what that one wrote stays in doubt until there is another.
    fn execute(
        &self,
        worker: &mut Self::Worker,
        tx: usize,
        place: Place,
        overtaken: &mut Vec<usize>,
    ) -> Ran;

    /// Marks what `tx` last wrote as in doubt.
    fn suspect(&self, tx: usize);

    /// Whether every value that `tx` read is what the memory holds. Called at its turn, once at
    /// most.
    fn is_current(&self, tx: usize) -> bool;

    /// Makes the result of `tx` final. Called in block order, one at a time.
    ///
    /// # Errors
    /// Ends the session.
    fn commit(&self, tx: usize) -> Result<(), Self::Error>;
}

/// Why a session ended early.
#[derive(Debug, PartialEq, Eq)]
pub enum Failure<E> {
    /// A commit was refused.
    Commit(E),
    /// A thread panicked at this transaction: on asking whom it waits for, running it, marking what
    /// it wrote, comparing what it read, or committing it.
    Panicked(usize),
    /// A thread panicked on making what it needs, before the others had committed all.
    NoWorker,
    /// This transaction did not run at the head, where it has nothing to wait for.
    HeadRefused(usize),
}

/// What a session did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Runs, unfinished ones included.
    pub runs: usize,
    /// Transactions that ran more than once.
    pub rerun_txs: usize,
    /// Runs that were given up half-way to wait for another transaction.
    pub blocked_runs: usize,
    /// Transactions that had to run again at the head because a read had changed.
    pub head_reruns: usize,
    /// Threads that ran at least one transaction.
    pub active_threads: usize,
    /// First transaction of the suffix that ran one by one because too many reruns were needed.
    pub sequential_from: Option<usize>,
    /// Slots of another thread's state that were taken over into one's own; in a session, which has
    /// one memory for all, there are none.
    pub heard_slots: usize,
    /// Transactions that first ran in a way of their own, in which they are light; in a session
    /// there is none.
    pub light_txs: usize,
}

/// One block's run.
pub struct Session<'p, P: Program> {
    program: &'p P,
    count: usize,
    status: Vec<AtomicU8>,
    /// A read was overtaken since the last run ahead of the turn began; a read of an earlier run,
    /// perhaps.
    is_dirty: Vec<AtomicBool>,
    /// How often each has begun to run.
    runs: Vec<AtomicU32>,
    /// Who waits for each: mostly one, the next of its sender.
    waiters: Vec<Mutex<SmallVec<[usize; 2]>>>,
    /// The lowest that nobody has taken for its first run ahead; at the head it may have run.
    next: AtomicUsize,
    /// Those that are queued; at the head one may have run.
    again: Mutex<BTreeSet<usize>>,
    /// How many these are, for a look without the lock. It is counted after the lock is let go, so
    /// that for a moment it may be off, and wrap below zero: then a look is in vain, or comes late.
    again_count: AtomicUsize,
    /// The lowest that is not committed.
    head: AtomicUsize,
    /// Held by the one who commits; the head moves under it alone.
    commit: Mutex<()>,
    /// No more guesses: whoever commits runs everything.
    is_sequential: AtomicBool,
    is_over: AtomicBool,
    head_reruns: AtomicUsize,
    failure: Mutex<Option<Failure<P::Error>>>,
    stats: Mutex<Stats>,
}

impl<P: Program> std::fmt::Debug for Session<'_, P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("count", &self.count).finish_non_exhaustive()
    }
}

impl<'p, P: Program> Session<'p, P> {
    /// A run of transactions `0..count`.
    pub fn new(program: &'p P, count: usize) -> Self {
        Self {
            program,
            count,
            status: (0..count).map(|_| AtomicU8::new(PENDING)).collect(),
            is_dirty: (0..count).map(|_| AtomicBool::new(false)).collect(),
            runs: (0..count).map(|_| AtomicU32::new(0)).collect(),
            waiters: (0..count).map(|_| Mutex::new(SmallVec::new())).collect(),
            next: AtomicUsize::new(0),
            again: Mutex::new(BTreeSet::new()),
            again_count: AtomicUsize::new(0),
            head: AtomicUsize::new(0),
            commit: Mutex::new(()),
            is_sequential: AtomicBool::new(false),
            is_over: AtomicBool::new(count == 0),
            head_reruns: AtomicUsize::new(0),
            failure: Mutex::new(None),
            stats: Mutex::new(Stats::default()),
        }
    }

    /// Works until the block is done or has failed. Call it from each thread that shall take part.
    pub fn work(&self) {
        let worker = catch_unwind(AssertUnwindSafe(|| self.program.worker()));
        let Ok(worker) = worker else { return self.fail(Failure::NoWorker) };
        let mut hand = Hand::new(worker);
        while !self.is_over.load(Ordering::Acquire) {
            let has_worked = self.commit_head(&mut hand) || self.run_ahead(&mut hand);
            if has_worked {
                hand.idle_rounds = 0;
            } else {
                hand.idle();
            }
        }
        let Hand { runs, blocked_runs, .. } = hand;
        let mut stats = self.stats.lock();
        stats.runs += runs;
        stats.blocked_runs += blocked_runs;
        stats.active_threads += usize::from(runs > 0);
    }

    /// What was done, once every thread has left [`Self::work`], and why it failed, if it did: so
    /// it has where the block is not committed to its end, and nowhere else.
    pub fn finish(self) -> (Stats, Option<Failure<P::Error>>) {
        let mut stats = self.stats.into_inner();
        stats.head_reruns = self.head_reruns.into_inner();
        let is_rerun = |runs: &AtomicU32| runs.load(Ordering::Relaxed) > 1;
        stats.rerun_txs = self.runs.iter().filter(|runs| is_rerun(runs)).count();
        // Nobody is missed who cannot begin when all is committed.
        let is_committed = self.head.into_inner() == self.count;
        (stats, self.failure.into_inner().filter(|_| !is_committed))
    }

    /// Commits from the head on as far as it goes. `false` if there was nothing to do here.
    fn commit_head(&self, hand: &mut Hand<P::Worker>) -> bool {
        if !self.head_is_ready() {
            return false;
        }
        let Some(_lock) = self.commit.try_lock() else { return false };
        let mut has_worked = false;
        loop {
            let head = self.head.load(Ordering::Acquire);
            if head == self.count || self.is_over.load(Ordering::Acquire) {
                return has_worked;
            }
            let status = self.status[head].load(Ordering::Acquire);
            match status {
                // Somebody is at it, and will look at the head again when done.
                RUNNING | DOUBTED => return has_worked,
                EXECUTED => {
                    if !self.claim(head, EXECUTED) {
                        continue;
                    }
                    let Some(is_current) = self.guarded(head, || self.program.is_current(head))
                    else {
                        return true;
                    };
                    if !is_current {
                        self.head_reruns.fetch_add(1, Ordering::Relaxed);
                        if !self.run_at_head(hand, head) {
                            return true;
                        }
                    }
                }
                _ => {
                    if !self.claim(head, status) {
                        continue;
                    }
                    if !self.run_at_head(hand, head) {
                        return true;
                    }
                }
            }
            has_worked = true;
            match self.guarded(head, || self.program.commit(head)) {
                Some(Ok(())) => {}
                Some(Err(error)) => {
                    self.fail(Failure::Commit(error));
                    return true;
                }
                None => return true,
            }
            self.status[head].store(COMMITTED, Ordering::Release);
            self.wake(head);
            self.judge_reruns(head + 1);
            self.head.store(head + 1, Ordering::Release);
            if head + 1 == self.count {
                self.is_over.store(true, Ordering::Release);
            }
        }
    }

    /// Whether a look at the head is worth the lock: nobody is at it.
    fn head_is_ready(&self) -> bool {
        let head = self.head.load(Ordering::Acquire);
        self.status.get(head).is_some_and(|status| {
            !matches!(status.load(Ordering::Acquire), RUNNING | DOUBTED | COMMITTED)
        })
    }

    fn run_at_head(&self, hand: &mut Hand<P::Worker>, head: usize) -> bool {
        match self.run(hand, head, Place::Head) {
            Some(Ran::Done) => {
                self.doubt_all(&hand.overtaken);
                true
            }
            Some(Ran::Blocked { .. } | Ran::Parked) => {
                self.fail(Failure::HeadRefused(head));
                false
            }
            None => false,
        }
    }

    /// Too many heads had to run again: guessing does not pay in the rest of the block.
    fn judge_reruns(&self, committed: usize) {
        if committed < SUFFIX_COMMITS_MIN || self.is_sequential.load(Ordering::Relaxed) {
            return;
        }
        let head_reruns = self.head_reruns.load(Ordering::Relaxed);
        if head_reruns * 100 > committed * SUFFIX_RERUNS_PERCENT {
            self.stats.lock().sequential_from = Some(committed);
            self.is_sequential.store(true, Ordering::Release);
        }
    }

    /// Runs one transaction before its turn. `false` if there is none worth running.
    fn run_ahead(&self, hand: &mut Hand<P::Worker>) -> bool {
        if self.is_sequential.load(Ordering::Acquire) {
            return false;
        }
        let Some(tx) = self.next_ahead() else { return false };
        let predecessor = self.guarded(tx, || self.program.predecessor(tx));
        let Some(predecessor) = predecessor else { return true };
        if predecessor.is_some_and(|predecessor| self.wait_for(tx, predecessor)) {
            return true;
        }
        self.is_dirty[tx].store(false, Ordering::Release);
        let Some(ran) = self.run(hand, tx, Place::Ahead) else { return true };
        match ran {
            Ran::Done => {
                self.status[tx].store(EXECUTED, Ordering::Release);
                self.doubt_all(&hand.overtaken);
                self.wake(tx);
                // It stays up: it may be raised for the next run already, which lowers it first.
                if self.is_dirty[tx].fetch_or(false, Ordering::AcqRel) {
                    self.doubt(tx);
                }
            }
            Ran::Blocked { on } => {
                hand.blocked_runs += 1;
                if self.runs[tx].load(Ordering::Relaxed) >= GUESSES_MAX {
                    self.status[tx].store(PARKED, Ordering::Release);
                } else if !self.wait_for(tx, on) {
                    self.enqueue(tx);
                }
            }
            Ran::Parked => self.status[tx].store(PARKED, Ordering::Release),
        }
        true
    }

    /// The lowest transaction to run again, else the next that never ran; claimed.
    fn next_ahead(&self) -> Option<usize> {
        while self.again_count.load(Ordering::Acquire) > 0 {
            let tx = self.again.lock().pop_first()?;
            self.again_count.fetch_sub(1, Ordering::AcqRel);
            if self.claim(tx, QUEUED) {
                return Some(tx);
            }
        }
        while self.next.load(Ordering::Relaxed) < self.count {
            let tx = self.next.fetch_add(1, Ordering::Relaxed);
            if tx < self.count && self.claim(tx, PENDING) {
                return Some(tx);
            }
        }
        None
    }

    fn claim(&self, tx: usize, from: u8) -> bool {
        self.status[tx].compare_exchange(from, RUNNING, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Runs a claimed transaction; `None` if it panicked, which ends the session.
    fn run(&self, hand: &mut Hand<P::Worker>, tx: usize, place: Place) -> Option<Ran> {
        let Hand { worker, overtaken, runs, .. } = hand;
        *runs += 1;
        overtaken.clear();
        self.runs[tx].fetch_add(1, Ordering::Relaxed);
        self.guarded(tx, || self.program.execute(worker, tx, place, overtaken))
    }

    /// Calls the program; `None` if it panicked, which ends the session for all threads: nobody
    /// else could bring this transaction further.
    fn guarded<T>(&self, tx: usize, call: impl FnOnce() -> T) -> Option<T> {
        let done = catch_unwind(AssertUnwindSafe(call)).ok();
        if done.is_none() {
            self.fail(Failure::Panicked(tx));
        }
        done
    }

    /// Puts a claimed transaction to sleep until `on` has run. `false` if that is not needed.
    ///
    /// The one who runs `on` first sets its status, then takes this lock and empties the list; we
    /// take the lock, then look at the status. So either we see that it ran, or it sees us.
    fn wait_for(&self, tx: usize, on: usize) -> bool {
        let mut waiters = self.waiters[on].lock();
        if matches!(self.status[on].load(Ordering::Acquire), EXECUTED | COMMITTED) {
            return false;
        }
        self.status[tx].store(WAITING, Ordering::Release);
        waiters.push(tx);
        true
    }

    fn wake(&self, tx: usize) {
        let waiters = std::mem::take(&mut *self.waiters[tx].lock());
        for waiter in waiters {
            let woken = self.status[waiter].compare_exchange(
                WAITING,
                DOUBTED,
                Ordering::AcqRel,
                Ordering::Acquire,
            );
            if woken.is_ok() {
                self.enqueue(waiter);
            }
        }
    }

    /// We raise the flag, then look at the status; the one who runs `tx` sets the status, then
    /// looks at the flag. Both steps on the flag read and write it at once, so the later one sees
    /// what came before the other: either we see that it ran, or it sees the flag.
    fn doubt_all(&self, overtaken: &[usize]) {
        for tx in overtaken {
            self.is_dirty[*tx].swap(true, Ordering::AcqRel);
            self.doubt(*tx);
        }
    }

    /// An executed transaction has read what is no longer so: it is worth running again, and what
    /// it wrote is in doubt. Its writes are marked before anybody can claim it, or the marks could
    /// fall on what it writes the next time.
    fn doubt(&self, tx: usize) {
        let doubted = self.status[tx].compare_exchange(
            EXECUTED,
            DOUBTED,
            Ordering::AcqRel,
            Ordering::Acquire,
        );
        if doubted.is_err() {
            return;
        }
        if self.runs[tx].load(Ordering::Relaxed) >= GUESSES_MAX
            || self.is_sequential.load(Ordering::Acquire)
        {
            // Enough guesses. It may still be right when its turn comes. Whoever saw it doubted
            // waits for a run that will not come.
            self.status[tx].store(EXECUTED, Ordering::Release);
            self.wake(tx);
            return;
        }
        if self.guarded(tx, || self.program.suspect(tx)).is_some() {
            self.enqueue(tx);
        }
    }

    fn enqueue(&self, tx: usize) {
        self.status[tx].store(QUEUED, Ordering::Release);
        if self.again.lock().insert(tx) {
            self.again_count.fetch_add(1, Ordering::AcqRel);
        }
    }

    fn fail(&self, failure: Failure<P::Error>) {
        self.failure.lock().get_or_insert(failure);
        self.is_over.store(true, Ordering::Release);
    }
}

/// One thread's own things.
struct Hand<W> {
    worker: W,
    /// Whose reads its last run changed.
    overtaken: Vec<usize>,
    runs: usize,
    blocked_runs: usize,
    idle_rounds: u32,
}

impl<W> Hand<W> {
    const fn new(worker: W) -> Self {
        Self { worker, overtaken: Vec::new(), runs: 0, blocked_runs: 0, idle_rounds: 0 }
    }

    /// Waits longer the longer there is nothing to do.
    fn idle(&mut self) {
        self.idle_rounds = self.idle_rounds.saturating_add(1);
        if self.idle_rounds < SPINS_MAX {
            spin_loop();
        } else if self.idle_rounds < YIELDS_MAX {
            yield_now();
        } else {
            sleep(SLEEP);
        }
    }
}

#[cfg(test)]
mod tests;
