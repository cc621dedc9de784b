//! A state that is read for the first time: a simulated disk.
//!
//! The first read of each account and slot waits, and of each code, but that the bench has all of
//! them analysed beforehand, so that nobody reads one. Whoever reads the same while that wait
//! lasts waits as well: what is on its way is not there yet. Then it is in memory, as a page would
//! be. Each sample has a memory of its own, so that each begins with nothing in it.
//!
//! A thread that waits sleeps and leaves its core to others, as one does that waits for a disk. By
//! default Linux lets sleepers sleep 50 microseconds longer, to wake several at once: threads that
//! wait here say that they want none of that (prctl(2), `PR_SET_TIMERSLACK`). What is left on top
//! is measured on an idle thread and taken off each sleep. Beside that the sleeper waits for a core
//! where all are busy, as it would for a disk. How long reads waited is counted and told.

use fugue_state::{Guarded, Question, StateView};
use fugue_types::{DefaultHashBuilder, HashSet};
use std::{
    hash::BuildHasher,
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// Parts of what is in memory, each with a lock of its own.
const SHARDS: usize = 64;
/// Sleeps by which it is measured how much longer they last.
const TRIALS: usize = 101;

/// How long a first read takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// What was asked for.
    pub(super) latency: Duration,
    /// What to sleep for that.
    sleep: Duration,
}

impl Pace {
    /// Measures how much longer a sleep lasts.
    pub(super) fn of(latency: Duration) -> Self {
        want_no_slack();
        let mut trials: Vec<Duration> = (0..TRIALS)
            .map(|_| {
                let started = Instant::now();
                std::thread::sleep(latency);
                started.elapsed().saturating_sub(latency)
            })
            .collect();
        trials.sort_unstable();
        let longer = trials.get(TRIALS / 2).copied().unwrap_or_default();
        // Where a sleep takes twice as long, it is told that it does.
        let sleep = latency.saturating_sub(longer).max(latency / 2);
        Self { latency, sleep }
    }
}

/// What is in memory of a state: nothing at first.
pub(super) struct Cold {
    pace: Pace,
    /// What was read, in parts with a lock each.
    shards: Vec<RwLock<HashSet<Question>>>,
    /// Which part a question belongs to.
    hasher: DefaultHashBuilder,
    reads: AtomicU64,
    waited_ns: AtomicU64,
}

/// First reads, and how long they waited together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Waits {
    pub(super) reads: u64,
    pub(super) waited: Duration,
}

impl Waits {
    pub(super) fn add(&mut self, other: Self) {
        self.reads += other.reads;
        self.waited += other.waited;
    }

    /// What a first read waited; `None` if there was none.
    pub(super) fn mean(self) -> Option<Duration> {
        (self.reads > 0).then(|| self.waited.div_f64(self.reads as f64))
    }
}

impl Cold {
    pub(super) fn new(pace: Pace) -> Self {
        Self {
            pace,
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            hasher: DefaultHashBuilder::default(),
            reads: AtomicU64::new(0),
            waited_ns: AtomicU64::new(0),
        }
    }

    pub(super) fn waits(&self) -> Waits {
        Waits {
            reads: self.reads.load(Ordering::Relaxed),
            waited: Duration::from_nanos(self.waited_ns.load(Ordering::Relaxed)),
        }
    }

    /// The state, whose answers come when they are in memory.
    pub(super) fn over<'v>(&'v self, state: &'v dyn StateView) -> impl StateView + 'v {
        Guarded::new(state, |question| {
            self.reach(question);
            Ok(())
        })
    }

    /// Comes back when the answer is in memory.
    fn reach(&self, question: Question) {
        if question == Question::Check {
            return;
        }
        let shard = &self.shards[self.hasher.hash_one(question) as usize % SHARDS];
        if shard.read().unwrap_or_else(PoisonError::into_inner).contains(&question) {
            return;
        }
        let started = Instant::now();
        want_no_slack();
        std::thread::sleep(self.pace.sleep);
        let waited = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.waited_ns.fetch_add(waited, Ordering::Relaxed);
        shard.write().unwrap_or_else(PoisonError::into_inner).insert(question);
    }
}

/// Sleeps of this thread last no longer than they have to, as far as the system allows. Said once
/// by each thread.
#[cfg(target_os = "linux")]
fn want_no_slack() {
    use rustix::thread::set_current_timer_slack;
    use std::{cell::Cell, num::NonZeroU64};

    thread_local! {
        static IS_SAID: Cell<bool> = const { Cell::new(false) };
    }
    if !IS_SAID.replace(true)
        && let Err(error) = set_current_timer_slack(Some(NonZeroU64::MIN))
    {
        eprintln!("warning: sleeps last longer than they have to: {error}");
    }
}

#[cfg(not(target_os = "linux"))]
fn want_no_slack() {}

#[cfg(test)]
mod tests {
    use super::*;
    use fugue_state::MemoryState;
    use fugue_types::{Address, U256};

    const LATENCY: Duration = Duration::from_micros(200);

    fn pace() -> Pace {
        Pace { latency: LATENCY, sleep: LATENCY }
    }

    #[test]
    fn the_first_read_of_a_place_waits_and_no_other() {
        let (state, cold) = (MemoryState::default(), Cold::new(pace()));
        let view = cold.over(&state);
        let [one, two] = [1, 2].map(Address::repeat_byte);
        let slot = U256::from(7);
        for _ in 0..3 {
            for address in [one, two] {
                assert_eq!(view.account(address), Ok(None));
                assert_eq!(view.slot(address, slot), Ok(U256::ZERO));
            }
        }
        // An account, its storage and its slots are not the same place.
        assert_eq!(view.has_storage(one), Ok(false));
        // Whether it would answer is nothing that a disk has.
        assert_eq!(view.check(), Ok(()));
        let Waits { reads, waited } = cold.waits();
        assert_eq!(reads, 5);
        assert!(waited >= LATENCY * 5, "{waited:?}");
        assert!(cold.waits().mean() >= Some(LATENCY));
    }

    #[test]
    fn another_sample_begins_with_nothing_in_memory() {
        let state = MemoryState::default();
        for _ in 0..2 {
            let cold = Cold::new(pace());
            assert_eq!(cold.waits(), Waits::default());
            assert_eq!(cold.waits().mean(), None);
            assert_eq!(cold.over(&state).account(Address::ZERO), Ok(None));
            assert_eq!(cold.waits().reads, 1);
        }
    }

    #[test]
    fn what_sleeps_take_on_top_is_taken_off_up_to_a_half() {
        let Pace { latency, sleep } = Pace::of(LATENCY);
        assert_eq!(latency, LATENCY);
        assert!(sleep <= LATENCY && sleep >= LATENCY / 2, "{sleep:?}");
    }
}
