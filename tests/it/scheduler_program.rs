//! The scheduler on programs of its own: small transactions over numbered keys, run by several
//! threads, against an interpreter that runs one after the other.

mod recipe;

use crate::support::in_time;
use fugue_scheduler::{Failure, GUESSES_MAX, Latest, Memory, Place, Program, Ran, Session, Stats};
use fugue_workload::Rng;
use recipe::{Recipe, Run, Stop};
use std::{
    panic::resume_unwind,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    thread::{self, yield_now},
};

/// Numbers of threads that a program is run by.
const THREADS: [usize; 4] = [1, 2, 3, 8];
/// Random programs.
const SEEDS: u64 = 200;
/// How often a thread gives way to another between two steps, in percent.
const YIELDS_PERCENT: u64 = 25;

/// A recipe being run.
struct Kitchen {
    recipe: Recipe,
    memory: Memory<u64, u64>,
    runs: Vec<Mutex<Option<Run>>>,
    outputs: Mutex<Vec<u64>>,
    begun: Vec<AtomicU32>,
    finished: Vec<AtomicU32>,
    workers: AtomicU64,
    /// Somebody has asked for the predecessor that is not told.
    has_asked: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Kitchen {
    fn new(recipe: Recipe) -> Self {
        let counts = || recipe.transactions.iter().map(|_| AtomicU32::new(0)).collect();
        let memory = Memory::new();
        if recipe.is_held {
            // Touched by a transaction behind the last: whoever reads is told of later writes.
            for key in 0..recipe.keys {
                memory.write(&key, recipe.transactions.len(), 0, &mut Vec::new());
            }
        }
        Self {
            memory,
            runs: recipe.transactions.iter().map(|_| Mutex::new(None)).collect(),
            outputs: Mutex::new(Vec::new()),
            begun: counts(),
            finished: counts(),
            workers: AtomicU64::new(0),
            has_asked: AtomicBool::new(false),
            recipe,
        }
    }

    fn read(&self, key: u64, tx: usize) -> Result<u64, Stop> {
        match self.memory.read(&key, tx) {
            Latest::Written { value, .. } => Ok(value),
            Latest::Suspect { by } => Err(Stop::Blocked(by)),
            Latest::Base | Latest::Untouched => Ok(self.recipe.base(key)),
        }
    }

    /// Keeps transaction 1 until all after it have run once, and 0 until they have run twice; or
    /// 0 until somebody has asked for the predecessor that is not told.
    fn hold(&self, tx: usize) {
        let is_to_be_asked = tx == 0 && self.recipe.predecessor_panics.is_some();
        while is_to_be_asked && !self.has_asked.load(Ordering::Acquire) {
            yield_now();
        }
        let Some(runs) = 2_u32.checked_sub(tx as u32).filter(|runs| *runs > 0) else { return };
        let is_short = |count: &AtomicU32| count.load(Ordering::Acquire) < runs;
        while self.recipe.is_held && self.finished.iter().skip(2).any(is_short) {
            yield_now();
        }
    }
}

impl Program for Kitchen {
    type Worker = Rng;
    type Error = &'static str;

    fn worker(&self) -> Rng {
        let number = self.workers.fetch_add(1, Ordering::Relaxed);
        if self.recipe.worker_panics == Some(number) {
            resume_unwind(Box::new("a worker that panics"));
        }
        Rng::new(number)
    }

    fn predecessor(&self, tx: usize) -> Option<usize> {
        if self.recipe.predecessor_panics == Some(tx) {
            self.has_asked.store(true, Ordering::Release);
            resume_unwind(Box::new("a predecessor that panics"));
        }
        self.recipe.predecessors.get(&tx).copied()
    }

    fn execute(&self, rng: &mut Rng, tx: usize, place: Place, overtaken: &mut Vec<usize>) -> Ran {
        self.begun[tx].fetch_add(1, Ordering::Relaxed);
        if self.recipe.panics == Some(tx) {
            // A panic like any other, but for the message.
            resume_unwind(Box::new("meant"));
        }
        let mut give_way = || {
            if rng.chance(YIELDS_PERCENT) {
                yield_now();
            }
        };
        let read = |key| {
            give_way();
            self.read(key, tx)
        };
        let at_turn = || if place == Place::Head { Ok(()) } else { Err(Stop::Parked) };
        let run = match self.recipe.interpret(tx, read, at_turn) {
            Ok(run) => run,
            Err(Stop::Blocked(on)) => return Ran::Blocked { on },
            Err(Stop::Parked) => return Ran::Parked,
        };
        self.hold(tx);
        let mut kept = lock(&self.runs[tx]);
        let earlier = kept.take().map(|run| run.writes).unwrap_or_default();
        for (key, value) in &run.writes {
            give_way();
            self.memory.write(key, tx, *value, overtaken);
        }
        for key in earlier.keys().filter(|key| !run.writes.contains_key(*key)) {
            give_way();
            self.memory.retract(key, tx, overtaken);
        }
        *kept = Some(run);
        self.finished[tx].fetch_add(1, Ordering::Release);
        Ran::Done
    }

    fn suspect(&self, tx: usize) {
        if let Some(run) = &*lock(&self.runs[tx]) {
            for key in run.writes.keys() {
                self.memory.suspect(key, tx);
            }
        }
    }

    fn is_current(&self, tx: usize) -> bool {
        let run = lock(&self.runs[tx]);
        let Some(Run { reads, .. }) = &*run else { return false };
        reads.iter().all(|(key, read)| match self.memory.peek(key, tx) {
            Latest::Untouched => true,
            Latest::Written { value, .. } => value == *read,
            Latest::Base => self.recipe.base(*key) == *read,
            Latest::Suspect { .. } => false,
        })
    }

    fn commit(&self, tx: usize) -> Result<(), &'static str> {
        if self.recipe.refused == Some(tx) {
            return Err("refused");
        }
        if self.recipe.commit_panics == Some(tx) {
            resume_unwind(Box::new("a commit that panics"));
        }
        let mut outputs = lock(&self.outputs);
        if outputs.len() != tx {
            return Err("out of order");
        }
        outputs.push(lock(&self.runs[tx]).take().ok_or("no result")?.output);
        Ok(())
    }
}

/// How a recipe ended.
struct Served {
    stats: Stats,
    failure: Option<Failure<&'static str>>,
    /// Of the committed transactions.
    outputs: Vec<u64>,
    /// Values after the last transaction; `None` where one is in doubt.
    values: Vec<Option<u64>>,
}

/// Runs a recipe, and checks what holds for every run.
fn serve(recipe: Recipe, threads: usize) -> Served {
    let kitchen = Kitchen::new(recipe);
    let count = kitchen.recipe.transactions.len();
    let session = Session::new(&kitchen, count);
    thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(|| session.work());
        }
        session.work();
    });
    let (stats, failure) = session.finish();
    let begun = kitchen.begun.iter().map(|runs| runs.load(Ordering::Relaxed));
    let begun: Vec<u32> = begun.collect();
    assert!(begun.iter().all(|runs| *runs <= GUESSES_MAX + 1), "too many runs: {begun:?}");
    let runs: u32 = begun.iter().sum();
    assert_eq!(stats.runs, runs as usize);
    assert_eq!(stats.rerun_txs, begun.iter().filter(|runs| **runs > 1).count());
    assert!(stats.active_threads <= threads, "{stats:?}");
    let value = |key: u64| match kitchen.memory.peek(&key, count) {
        Latest::Written { value, .. } => Some(value),
        Latest::Base | Latest::Untouched => Some(kitchen.recipe.base(key)),
        Latest::Suspect { .. } => None,
    };
    let values = (0..kitchen.recipe.keys).map(value).collect();
    let outputs = std::mem::take(&mut *lock(&kitchen.outputs));
    Served { stats, failure, outputs, values }
}

/// Runs a recipe to its good end and compares it with the definition.
fn check(recipe: &Recipe, threads: usize, what: &str) -> Stats {
    let (outputs, values) = recipe.expected();
    let what = format!("{what}, {threads} threads");
    let recipe = recipe.clone();
    let served = in_time(&what, move || serve(recipe, threads));
    assert_eq!(served.failure, None, "{what}");
    assert_eq!(served.outputs, outputs, "{what}: outputs");
    assert_eq!(served.values, values.into_iter().map(Some).collect::<Vec<_>>(), "{what}: values");
    served.stats
}

#[test]
fn random_programs_end_as_they_do_one_by_one() {
    for seed in 0..SEEDS {
        let recipe = Recipe::random(seed);
        for threads in THREADS {
            check(&recipe, threads, &format!("seed {seed}"));
        }
    }
}

#[test]
fn transactions_that_never_meet_run_once() {
    for threads in THREADS {
        let stats = check(&Recipe::independent(100), threads, "independent");
        assert_eq!((stats.rerun_txs, stats.runs), (0, 100), "{threads} threads");
        assert_eq!((stats.blocked_runs, stats.head_reruns), (0, 0), "{threads} threads");
    }
}

#[test]
fn a_chain_of_conflicts_ends_in_order() {
    for threads in THREADS {
        check(&Recipe::serial(200), threads, "serial");
    }
}

/// Three threads: one is held in transaction 0, one in 1. The third runs all others, each on what
/// the one before it wrote. Then 1 writes, and all others run a second time, their last guess. Then
/// 0 writes, and they all are wrong.
#[test]
fn where_guesses_keep_failing_the_rest_runs_one_by_one() {
    const { assert!(GUESSES_MAX == 2, "the program above is made for two guesses") };
    let recipe = Recipe { is_held: true, ..Recipe::serial(80) };
    let stats = check(&recipe, 3, "held");
    let from = stats.sequential_from.expect("guessing stops");
    assert!((1..80).contains(&from), "{stats:?}");
    assert!(stats.head_reruns >= 70, "{stats:?}");
}

#[test]
fn a_refused_commit_ends_the_session() {
    for threads in THREADS {
        for refused in [0, 7, 39] {
            let recipe = Recipe { refused: Some(refused), ..Recipe::serial(40) };
            let (expected, _) = recipe.expected();
            let what = format!("commit {refused} refused, {threads} threads");
            let served = in_time(&what, move || serve(recipe, threads));
            assert_eq!(served.failure, Some(Failure::Commit("refused")), "{what}");
            assert_eq!(served.outputs, expected[..refused], "{what}");
        }
    }
}

#[test]
fn a_panic_ends_the_session_and_nobody_waits() {
    for threads in THREADS {
        for panics in [0, 5, 39] {
            let run = Recipe { panics: Some(panics), ..Recipe::independent(40) };
            let commit = Recipe { commit_panics: Some(panics), ..Recipe::independent(40) };
            for (place, recipe) in [("run", run), ("commit", commit)] {
                let (expected, _) = recipe.expected();
                let what = format!("{place} of transaction {panics} panics, {threads} threads");
                let served = in_time(&what, move || serve(recipe, threads));
                assert_eq!(served.failure, Some(Failure::Panicked(panics)), "{what}");
                assert!(served.outputs.len() <= panics, "{what}");
                assert_eq!(served.outputs, expected[..served.outputs.len()], "{what}");
            }
        }
    }
}

/// The thread that keeps transaction 0 until then would wait for the others for ever.
#[test]
fn a_panic_on_asking_whom_to_wait_for_ends_the_session_and_nobody_waits() {
    for threads in THREADS.into_iter().filter(|threads| *threads > 1) {
        for panics in [1, 5, 39] {
            let recipe = Recipe { predecessor_panics: Some(panics), ..Recipe::independent(40) };
            let (expected, _) = recipe.expected();
            let what = format!("predecessor of transaction {panics} panics, {threads} threads");
            let served = in_time(&what, move || serve(recipe, threads));
            assert_eq!(served.failure, Some(Failure::Panicked(panics)), "{what}");
            assert!(served.outputs.len() <= panics, "{what}");
            assert_eq!(served.outputs, expected[..served.outputs.len()], "{what}");
        }
    }
}

#[test]
fn a_panic_on_making_a_worker_ends_the_session_and_nobody_waits() {
    for threads in THREADS {
        for number in 0..threads as u64 {
            let recipe = Recipe { worker_panics: Some(number), ..Recipe::serial(40) };
            let (expected, _) = recipe.expected();
            let what = format!("worker {number} panics, {threads} threads");
            let served = in_time(&what, move || serve(recipe, threads));
            // The others may have committed all before it begins.
            let is_missed = served.outputs.len() < expected.len();
            assert_eq!(served.failure, is_missed.then_some(Failure::NoWorker), "{what}");
            assert!(is_missed || number > 0 || threads > 1, "{what}");
            assert_eq!(served.outputs, expected[..served.outputs.len()], "{what}");
        }
    }
}

#[test]
fn a_worker_that_panics_when_all_is_committed_is_not_missed() {
    let recipe = Recipe { worker_panics: Some(1), ..Recipe::serial(40) };
    let (expected, _) = recipe.expected();
    let kitchen = Kitchen::new(recipe);
    let session = Session::new(&kitchen, expected.len());
    session.work();
    session.work();
    assert_eq!(kitchen.workers.load(Ordering::Relaxed), 2, "the second one was to be made");
    let (_, failure) = session.finish();
    assert_eq!(failure, None);
    assert_eq!(*lock(&kitchen.outputs), expected);
}
