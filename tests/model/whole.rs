//! The whole scheduler with multi-version memory under shuttle: small random recipes, each in a
//! random schedule.
//!
//! Shuttle takes every atomic operation for sequentially consistent: what weaker orderings allow is
//! for loom.

use crate::{by_shuttle::original::kitchen, recipe::Recipe};
use fugue_workload::Rng;
use shuttle::{
    Config, FailurePersistence, MaxSteps, Runner,
    rand::{RngCore, thread_rng},
    scheduler::{PctScheduler, RandomScheduler},
};
use std::{
    hash::{BuildHasher, RandomState},
    ops::RangeInclusive,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// What holds for a recipe that is run by a number of threads.
type Model = fn(Recipe, usize);

/// Schedules of the first kind in the suite.
const SCHEDULES: usize = 6000;
/// Schedules of the first kind within which a planted bug must show: the rarest one does in one of
/// two thousand.
const SCHEDULES_MAX: usize = 30_000;
/// How many schedules instead of [`SCHEDULES`], each time other ones.
const SCHEDULES_VARIABLE: &str = "MODEL_SCHEDULES";
/// For so many schedules of the first kind, one of the second.
const SECOND_KIND: usize = 4;
/// Where the schedules of the suite begin.
const SEED: u64 = 1;
/// Changes of priority in a schedule of the second kind.
const DEPTH: usize = 3;
/// Steps of one schedule; what ends takes a fraction of it.
const STEPS_MAX: usize = 50_000;
/// Bytes of a thread's stack: room for the message of a panic.
const STACK_BYTES: usize = 256 << 10;
/// Transactions of a recipe.
const TRANSACTIONS: RangeInclusive<usize> = 4..=7;
/// Keys of a recipe.
const KEYS: RangeInclusive<usize> = 1..=3;
/// Threads that run it.
const THREADS: RangeInclusive<usize> = 2..=4;

fn config(failure_persistence: FailurePersistence) -> Config {
    let mut config = Config::new();
    config.failure_persistence = failure_persistence;
    config.max_steps = MaxSteps::FailAfter(STEPS_MAX);
    config.silence_warnings = true;
    config.stack_size = STACK_BYTES;
    // A second panic while the first one unwinds would end the process without a word.
    config.ungraceful_shutdown_config.immediately_return_on_panic = true;
    config
}

/// One schedule. Everything follows from it, the recipe too: it can be repeated.
fn run(model: Model) {
    let mut rng = Rng::new(thread_rng().next_u64());
    let mut one_of =
        |range: RangeInclusive<usize>| range.start() + rng.index(range.end() - range.start() + 1);
    let (count, keys, threads) = (one_of(TRANSACTIONS), one_of(KEYS), one_of(THREADS));
    model(Recipe::draw(&mut rng, count, keys as u64), threads);
}

/// Runs a model in `schedules` schedules that choose among all threads at each step, and in some
/// that let one thread run on and change over at few places.
fn explore(model: Model, schedules: usize, seed: u64, config: &Config) {
    let random = RandomScheduler::new_from_seed(seed, schedules);
    Runner::new(random, config.clone()).run(move || run(model));
    let by_priority = PctScheduler::new_from_seed(seed, DEPTH, schedules / SECOND_KIND);
    Runner::new(by_priority, config.clone()).run(move || run(model));
}

/// Runs a model of the scheduler as it is.
fn must_hold(model: Model) {
    let config = config(FailurePersistence::Print);
    match std::env::var(SCHEDULES_VARIABLE) {
        Ok(schedules) => {
            let schedules: usize = schedules.parse().expect("MODEL_SCHEDULES is a number");
            let seed = RandomState::new().hash_one(schedules);
            println!("{schedules} schedules, SHUTTLE_RANDOM_SEED={seed}");
            explore(model, schedules, seed, &config);
        }
        Err(_) => explore(model, SCHEDULES, SEED, &config),
    }
}

/// Runs a model of a scheduler with a planted bug.
pub(crate) fn must_fail(model: Model) {
    let config = config(FailurePersistence::None);
    let explored = catch_unwind(AssertUnwindSafe(|| explore(model, SCHEDULES_MAX, SEED, &config)));
    assert!(explored.is_err(), "the planted bug is not caught");
}

#[test]
fn every_schedule_ends_as_its_definition_does() {
    must_hold(kitchen::serves);
}

#[test]
fn no_guess_is_lost() {
    must_hold(kitchen::settles);
}
