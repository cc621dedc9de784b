//! A recipe that is run by a copy of the scheduler under shuttle.

use super::{
    memory::{Latest, Memory},
    session::{GUESSES_MAX, Place, Program, Ran, Session, probe},
};
use crate::recipe::{Recipe, Run, Stop};
use crate::shuttle_door::{Mutex, scope};
use std::{
    collections::BTreeSet,
    sync::{
        Mutex as Plain, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

/// A recipe being run. What nobody waits for is kept by plain locks and counters: it is no step of
/// a schedule.
struct Kitchen {
    recipe: Recipe,
    memory: Memory<u64, u64>,
    served: Vec<Mutex<Option<Served>>>,
    outputs: Plain<Vec<u64>>,
    begun: Vec<AtomicU32>,
}

/// What a transaction did last.
struct Served {
    run: Run,
    /// Keys that nobody had written when it read them: of those it is not told.
    untold: BTreeSet<u64>,
}

fn plain<T>(lock: &Plain<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Kitchen {
    fn new(recipe: Recipe) -> Self {
        Self {
            memory: Memory::new(),
            served: recipe.transactions.iter().map(|_| Mutex::new(None)).collect(),
            outputs: Plain::new(Vec::new()),
            begun: recipe.transactions.iter().map(|_| AtomicU32::new(0)).collect(),
            recipe,
        }
    }

    /// Whether all that `tx` read is there still, as far as it is told.
    fn is_as_told(&self, tx: usize) -> bool {
        let served = self.served[tx].lock();
        let Some(Served { run, untold }) = &*served else { return false };
        let told = run.reads.iter().filter(|(key, _)| !untold.contains(*key));
        for (key, read) in told {
            let is_same = match self.memory.peek(key, tx) {
                Latest::Written { value, .. } => value == *read,
                Latest::Base => self.recipe.base(*key) == *read,
                // Its writer runs again, and will tell.
                Latest::Suspect { .. } => true,
                Latest::Untouched => false,
            };
            if !is_same {
                return false;
            }
        }
        true
    }
}

impl Program for Kitchen {
    type Worker = ();
    type Error = &'static str;

    fn worker(&self) {}

    fn predecessor(&self, tx: usize) -> Option<usize> {
        self.recipe.predecessors.get(&tx).copied()
    }

    fn execute(&self, _: &mut (), tx: usize, place: Place, overtaken: &mut Vec<usize>) -> Ran {
        self.begun[tx].fetch_add(1, Ordering::Relaxed);
        let mut untold = BTreeSet::new();
        let read = |key: u64| match self.memory.read(&key, tx) {
            Latest::Written { value, .. } => Ok(value),
            Latest::Suspect { by } => Err(Stop::Blocked(by)),
            Latest::Base => Ok(self.recipe.base(key)),
            Latest::Untouched => {
                untold.insert(key);
                Ok(self.recipe.base(key))
            }
        };
        let at_turn = || if place == Place::Head { Ok(()) } else { Err(Stop::Parked) };
        let run = match self.recipe.interpret(tx, read, at_turn) {
            Ok(run) => run,
            Err(Stop::Blocked(on)) => return Ran::Blocked { on },
            Err(Stop::Parked) => return Ran::Parked,
        };
        let mut served = self.served[tx].lock();
        let earlier = served.take().map(|served| served.run.writes).unwrap_or_default();
        for (key, value) in &run.writes {
            self.memory.write(key, tx, *value, overtaken);
        }
        for key in earlier.keys().filter(|key| !run.writes.contains_key(*key)) {
            self.memory.retract(key, tx, overtaken);
        }
        *served = Some(Served { run, untold });
        Ran::Done
    }

    fn suspect(&self, tx: usize) {
        if let Some(Served { run, .. }) = &*self.served[tx].lock() {
            for key in run.writes.keys() {
                self.memory.suspect(key, tx);
            }
        }
    }

    fn is_current(&self, tx: usize) -> bool {
        let served = self.served[tx].lock();
        let Some(Served { run, .. }) = &*served else { return false };
        run.reads.iter().all(|(key, read)| match self.memory.peek(key, tx) {
            Latest::Untouched => true,
            Latest::Written { value, .. } => value == *read,
            Latest::Base => self.recipe.base(*key) == *read,
            Latest::Suspect { .. } => false,
        })
    }

    fn commit(&self, tx: usize) -> Result<(), &'static str> {
        let served = self.served[tx].lock();
        let Some(Served { run, .. }) = &*served else { return Err("no result") };
        let mut outputs = plain(&self.outputs);
        if outputs.len() != tx {
            return Err("out of order");
        }
        outputs.push(run.output);
        Ok(())
    }
}

/// A whole session ends as its definition does, and ran nothing too often.
pub(crate) fn serves(recipe: Recipe, threads: usize) {
    let expected = recipe.expected();
    let kitchen = Kitchen::new(recipe);
    let recipe = &kitchen.recipe;
    let count = recipe.transactions.len();
    let session = Session::new(&kitchen, count);
    scope(|scope| {
        for _ in 1..threads {
            scope.spawn(|| session.work());
        }
        session.work();
    });
    let (stats, failure) = session.finish();
    assert!(failure.is_none(), "{failure:?}: {recipe:?}");
    let begun: Vec<u32> = kitchen.begun.iter().map(|runs| runs.load(Ordering::Relaxed)).collect();
    assert!(begun.iter().all(|runs| *runs <= GUESSES_MAX + 1), "ran {begun:?} times: {recipe:?}");
    assert_eq!(stats.runs, begun.iter().sum::<u32>() as usize, "runs are counted: {recipe:?}");
    let value = |key: u64| match kitchen.memory.peek(&key, count) {
        Latest::Written { value, .. } => value,
        Latest::Base | Latest::Untouched => recipe.base(key),
        Latest::Suspect { by } => panic!("what {by} wrote is in doubt at the end: {recipe:?}"),
    };
    let values: Vec<u64> = (0..recipe.keys).map(value).collect();
    let outputs = std::mem::take(&mut *plain(&kitchen.outputs));
    assert_eq!((outputs, values), expected, "outputs, values: {recipe:?}");
}

/// Where nobody commits, all guesses come to rest, and none is lost: whoever read what has changed
/// since, and was to be told, ran again, unless it has no guess left.
pub(crate) fn settles(recipe: Recipe, threads: usize) {
    let kitchen = Kitchen::new(recipe);
    let recipe = &kitchen.recipe;
    let session = Session::new(&kitchen, recipe.transactions.len());
    scope(|scope| {
        for _ in 1..threads {
            scope.spawn(|| probe::run_all_ahead(&session));
        }
        probe::run_all_ahead(&session);
    });
    probe::nothing_is_lost(&session);
    for tx in probe::with_guesses_left(&session) {
        assert!(kitchen.is_as_told(tx), "transaction {tx} was not told of a change: {recipe:?}");
    }
}
