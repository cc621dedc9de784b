//! In which ways cases are run: modes of execution, numbers of threads, and which of them is whose
//! turn.
//!
//! The whole set of fixtures in every way takes hours. With turns, each case is run sequentially
//! and in a few of the ways, by a hash of its name: over the set each of them has its share, and
//! the next seed gives each case the next ways.

use crate::UsageError;
use fugue_executor::{Executor, Mode};
use fugue_types::keccak256;
use std::{fmt, sync::Arc};

/// Mode and number of threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) mode: Mode,
    pub(super) threads: usize,
}

/// As `occ/8`.
impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.mode {
            Mode::Seq => f.write_str("seq"),
            mode => write!(f, "{mode}/{}", self.threads),
        }
    }
}

/// How many ways each case is given.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turns {
    /// In which it is run.
    pub(super) runs: usize,
    /// In which it is executed beside, and compared with the sequential run.
    pub(super) compared: usize,
    pub(super) seed: u64,
}

/// The ways of all cases.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    /// If it is among the modes: the first run of every case.
    sequential: Option<Way>,
    /// All others.
    parallel: Vec<Way>,
    /// `None` if each case is run in all of them.
    turns: Option<Turns>,
}

/// What is to be done with a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Job {
    /// It is run, and judged by the fixture. Cases of a kind have the same number of runs.
    Run {
        /// Which of its runs this is.
        slot: usize,
        way: Way,
    },
    /// It is executed in these ways, and compared with the sequential run.
    Compare(Vec<Way>),
}

impl Plan {
    /// `threads` are those of the parallel modes; the sequential one has the first of them.
    pub(super) fn new(modes: &[Mode], threads: &[usize], turns: Option<Turns>) -> Self {
        let first = threads.first().copied().unwrap_or(1);
        let sequential = Way { mode: Mode::Seq, threads: first };
        let is_parallel = |mode: &&Mode| **mode != Mode::Seq;
        // Neighbours are of different modes.
        let parallel = threads.iter().flat_map(|threads| {
            let way = move |mode: &Mode| Way { mode: *mode, threads: *threads };
            modes.iter().filter(is_parallel).map(way)
        });
        Self {
            sequential: modes.contains(&Mode::Seq).then_some(sequential),
            parallel: parallel.collect(),
            turns,
        }
    }

    /// Whether there is nothing that any case would be run in.
    pub(super) fn is_empty(&self) -> bool {
        self.jobs("", true).is_empty()
    }

    /// What is to be done with a case. Where there are no access lists, `bal` is `occ` by another
    /// name, and left out if there is another mode.
    pub(super) fn jobs(&self, name: &str, has_lists: bool) -> Vec<Job> {
        let mut ways = self.parallel.clone();
        if !has_lists && ways.iter().any(|way| way.mode != Mode::Bal) {
            ways.retain(|way| way.mode != Mode::Bal);
        }
        let (mut compared, count) = (Vec::new(), ways.len());
        if let Some(turns) = self.turns {
            ways.rotate_left(turns.first(name, count));
            ways.truncate(turns.count());
            compared = ways.split_off(turns.runs.min(ways.len()));
        }
        let runs = self.sequential.into_iter().chain(ways).enumerate();
        let runs = runs.map(|(slot, way)| Job::Run { slot, way });
        let compare = (!compared.is_empty()).then_some(Job::Compare(compared));
        runs.chain(compare).collect()
    }
}

impl Turns {
    const fn count(self) -> usize {
        self.runs.saturating_add(self.compared)
    }

    /// Place among `count` ways from which a case is given its own.
    fn first(self, name: &str, count: usize) -> usize {
        let hash = keccak256(name);
        let hash = hash.iter().take(8).fold(0, |hash: u64, byte| (hash << 8) | u64::from(*byte));
        // Each seed goes on where the one before has ended.
        let of = |number: u64| u128::from(number);
        let place = of(hash) + of(self.seed) * self.count() as u128;
        place.checked_rem(count as u128).map_or(0, |place| place as usize)
    }
}

/// A way, and the threads for it.
pub(super) type Manned = (Way, Arc<Executor>);

/// What a thread of the runner keeps from one case to the next: an executor for each number of
/// threads.
#[derive(Debug, Default)]
pub(super) struct Executors(Vec<Arc<Executor>>);

impl Executors {
    /// # Errors
    /// If the system gives no threads.
    pub(super) fn get(&mut self, threads: usize) -> Result<Arc<Executor>, UsageError> {
        if let Some(executor) = self.0.iter().find(|executor| executor.threads() == threads) {
            return Ok(Arc::clone(executor));
        }
        let executor = Executor::new(threads).map_err(|error| UsageError(error.to_string()))?;
        let executor = executor.on_all_threads();
        let executor = Arc::new(executor);
        self.0.push(Arc::clone(&executor));
        Ok(executor)
    }

    /// # Errors
    /// As [`Executors::get`].
    pub(super) fn of(&mut self, ways: &[Way]) -> Result<Vec<Manned>, UsageError> {
        ways.iter().map(|way| Ok((*way, self.get(way.threads)?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const ALL: [Mode; 5] = [Mode::Seq, Mode::Occ, Mode::Bal, Mode::Lanes, Mode::Auto];
    const THREADS: [usize; 5] = [1, 2, 3, 8, 16];
    /// Parallel modes, each on each number of threads.
    const PARALLEL: usize = 20;

    fn plan(runs: usize, compared: usize, seed: u64) -> Plan {
        Plan::new(&ALL, &THREADS, Some(Turns { runs, compared, seed }))
    }

    /// The runs of a case, and the ways in which it is compared.
    fn ways(plan: &Plan, name: &str, has_lists: bool) -> (Vec<String>, Vec<String>) {
        let (mut runs, mut compared) = (Vec::new(), Vec::new());
        for job in plan.jobs(name, has_lists) {
            match job {
                Job::Run { slot, way } => {
                    assert_eq!(slot, runs.len());
                    runs.push(way.to_string());
                }
                Job::Compare(ways) => compared.extend(ways.iter().map(Way::to_string)),
            }
        }
        (runs, compared)
    }

    #[test]
    fn without_turns_a_case_is_run_in_every_way_and_sequentially_once() {
        let (runs, compared) = ways(&Plan::new(&ALL, &THREADS, None), "a", true);
        assert_eq!(runs.len(), 1 + PARALLEL);
        assert_eq!(runs.iter().collect::<BTreeSet<_>>().len(), runs.len());
        assert_eq!(runs[0], "seq");
        assert!(compared.is_empty());

        let both = Plan::new(&[Mode::Seq, Mode::Occ], &[2], None);
        assert_eq!(ways(&both, "a", false).0, ["seq", "occ/2"]);
    }

    #[test]
    fn turns_are_by_the_name_and_no_way_is_given_twice() {
        let plan = plan(2, 3, 0);
        let (runs, compared) = ways(&plan, "a", true);
        assert_eq!((runs.len(), compared.len()), (1 + 2, 3));
        let all: BTreeSet<_> = runs.iter().chain(&compared).collect();
        assert_eq!(all.len(), 1 + 2 + 3);
        assert_eq!(ways(&plan, "a", true), (runs, compared));
    }

    #[test]
    fn over_a_few_hundred_names_every_way_has_its_turn() {
        let plan = plan(1, 0, 0);
        let names = (0..400).map(|number| format!("file.json::test_{number}"));
        let seen: BTreeSet<_> = names.map(|name| ways(&plan, &name, true).0[1].clone()).collect();
        assert_eq!(seen.len(), PARALLEL, "{seen:?}");
    }

    #[test]
    fn seed_after_seed_a_case_is_run_in_every_way() {
        for picked in [1, 3, 20] {
            let seeds = PARALLEL.div_ceil(picked) as u64;
            let of = |seed| ways(&plan(picked, 0, seed), "a", true).0;
            let seen: BTreeSet<_> = (0..seeds).flat_map(of).collect();
            assert_eq!(seen.len(), 1 + PARALLEL, "{picked}: {seen:?}");
        }
        // The highest seed is one like any other.
        assert_eq!(ways(&plan(1, 1, u64::MAX), "a", true).0.len(), 2);
    }

    #[test]
    fn without_lists_bal_is_left_out_unless_nothing_else_is_asked_for() {
        let (runs, _) = ways(&plan(PARALLEL, 0, 0), "a", false);
        assert_eq!(runs.len(), 1 + 15);
        assert!(runs.iter().all(|way| !way.starts_with("bal")), "{runs:?}");
        let bal = Plan::new(&[Mode::Bal], &[2], None);
        assert_eq!(ways(&bal, "a", false).0, ["bal/2"]);
    }

    #[test]
    fn a_plan_may_be_of_comparisons_alone_or_of_nothing() {
        let turns = |runs, compared| Some(Turns { runs, compared, seed: 0 });
        let compared = Plan::new(&[Mode::Occ], &[8], turns(0, 1));
        assert_eq!(ways(&compared, "a", true), (Vec::new(), vec!["occ/8".to_owned()]));
        assert!(!compared.is_empty());
        assert!(Plan::new(&[Mode::Occ], &[8], turns(0, 0)).is_empty());
        assert!(!Plan::new(&[Mode::Seq], &[8], turns(0, 0)).is_empty());
    }
}
