//! Samples: each block in each mode, in turn.
//!
//! | step | timed |
//! | --- | --- |
//! | the outcome of each mode, compared with that of `seq`: the warm-up | no |
//! | for each sample, each mode once, one after the other | P |
//! | with `--recover`, in each sample each mode once more, on a checked block | recovery and P |
//!
//! Before each run all threads rest, and the executor has the hints that it had before the block.
//!
//! All samples of a block follow one another, so that whoever runs finds it in the same caches. The
//! outcome is dropped after the time is taken.

use super::{
    case::Case,
    latency::{Cold, Pace, Waits},
};
use crate::{UsageError, datadir::usage};
use fugue_executor::{
    BlockOutcome, Execution, Executor, Hints, Mode, PreparedBlock, Report, first_divergence,
};
use fugue_state::StateView;
use std::{
    collections::BTreeMap,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

/// Between two runs: until then the threads of the one before look for work, which would be in the
/// way of the next, above all where there are more of them than cores.
const REST: Duration = Duration::from_millis(3);

/// How blocks are measured.
pub(super) struct Setting<'s> {
    pub(super) executor: &'s Executor,
    /// `seq` is the first.
    pub(super) modes: &'s [Mode],
    pub(super) samples: usize,
    /// How long first reads take, if that is not nothing.
    pub(super) pace: Option<Pace>,
    /// Whether sender recovery is measured as well.
    pub(super) recover: bool,
}

/// What one mode took for one block, or for several.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Samples {
    /// P of each sample.
    pub(super) executed: Vec<Duration>,
    /// P with recovery before it, of each sample; empty if that was not measured.
    pub(super) recovered: Vec<Duration>,
    /// Transactions that ran more than once, of all samples of P.
    pub(super) rerun_txs: usize,
    /// Samples of P whose parallel run ended early, or went on one by one.
    pub(super) fallbacks: usize,
    /// Samples of P by the way that they took.
    pub(super) ways: BTreeMap<String, usize>,
    /// First reads of all samples of P.
    pub(super) waits: Waits,
}

impl Samples {
    /// Adds those of another block, sample by sample.
    pub(super) fn add(&mut self, other: &Self) {
        let Self { executed, recovered, rerun_txs, fallbacks, ways, waits } = other;
        let sum = |times: &mut Vec<Duration>, others: &[Duration]| {
            times.resize(times.len().max(others.len()), Duration::ZERO);
            times.iter_mut().zip(others).for_each(|(time, other)| *time += *other);
        };
        sum(&mut self.executed, executed);
        sum(&mut self.recovered, recovered);
        self.rerun_txs += rerun_txs;
        self.fallbacks += fallbacks;
        for (way, count) in ways {
            *self.ways.entry(way.clone()).or_default() += count;
        }
        self.waits.add(*waits);
    }

    fn count(&mut self, time: Duration, report: &Report, waits: Waits) {
        self.executed.push(time);
        self.rerun_txs += report.stats.rerun_txs;
        let has_ended = report.fallback.is_some() || report.stats.sequential_from.is_some();
        self.fallbacks += usize::from(has_ended);
        *self.ways.entry(way_of(report)).or_default() += 1;
        self.waits.add(waits);
    }
}

/// The way that a run took, with the one that it had begun on, or that it was left to.
fn way_of(report: &Report) -> String {
    let Report { way, fallback, .. } = report;
    match report.lost_lanes() {
        _ if fallback.is_some() => format!("{way}, then sequential"),
        Some(_) => format!("lanes, then {way}"),
        None => way.to_string(),
    }
}

/// A block that was measured.
pub(super) struct Measured {
    /// The file, or what was generated.
    pub(super) name: String,
    pub(super) number: u64,
    pub(super) txs: usize,
    pub(super) gas: u64,
    /// Transactions that failed, as they do on real chains.
    pub(super) failed: usize,
    /// For each mode, in the order of the setting.
    pub(super) runs: Vec<Samples>,
    /// Modes that gave another outcome than `seq`, and where it differs first.
    pub(super) differences: Vec<String>,
}

impl Setting<'_> {
    /// Measures a block, with these hints at the beginning of each run.
    ///
    /// # Errors
    /// If it cannot be executed, or is not what its header says.
    pub(super) fn measure(
        &self,
        name: String,
        case: &Case,
        hints: &Hints,
    ) -> Result<Measured, UsageError> {
        let at = |error: UsageError| UsageError(format!("{name}: {}", error.0));
        self.executor.warm(&case.state.codes);
        let listed = self.listed(case).map_err(at)?;
        let listed = listed.as_ref();
        let mut differences = Vec::new();
        let mut expected: Option<BlockOutcome> = None;
        for mode in self.modes {
            self.executor.remember(hints);
            let Execution { outcome, .. } =
                self.execute(*mode, case, case.ready(*mode, listed), &case.state).map_err(at)?;
            match &expected {
                None => expected = Some(outcome),
                Some(expected) => {
                    let difference = first_divergence(expected, &outcome);
                    differences.extend(difference.map(|it| format!("{name}, {mode}: {it}")));
                }
            }
        }
        let expected = expected.unwrap_or_default();
        if expected.gas_used != case.gas {
            let (used, gas) = (expected.gas_used, case.gas);
            return Err(at(UsageError(format!("uses {used} gas, its header says {gas}"))));
        }
        let failed = expected.results.iter().filter(|result| !result.status.is_success()).count();
        drop(expected);

        let mut runs = vec![Samples::default(); self.modes.len()];
        for _ in 0..self.samples {
            for (mode, run) in self.modes.iter().zip(&mut runs) {
                let ready = case.ready(*mode, listed);
                thread::sleep(REST);
                self.executor.remember(hints);
                let (time, report, waits) = self.sample(*mode, case, ready).map_err(at)?;
                run.count(time, &report, waits);
            }
            if self.recover {
                for (mode, run) in self.modes.iter().zip(&mut runs) {
                    thread::sleep(REST);
                    self.executor.remember(hints);
                    run.recovered.push(self.sample_recovering(*mode, case, listed).map_err(at)?);
                }
            }
        }
        let Case { number, txs, gas, .. } = *case;
        Ok(Measured { name, number, txs, gas, failed, runs, differences })
    }

    /// The block with its access list, if a mode needs it; the list is made beforehand.
    fn listed(&self, case: &Case) -> Result<Option<PreparedBlock>, UsageError> {
        if !self.modes.contains(&Mode::Bal) {
            return Ok(None);
        }
        let Case { rules, prepared, state, scope, .. } = case;
        let listed = self.executor.list_accesses(prepared, rules, state, *scope);
        let (_, list) = listed.map_err(usage)?;
        let listed = prepared.clone().with_access_list(Arc::new(list));
        listed.index_access_list(rules);
        Ok(Some(listed))
    }

    /// P of a block that is prepared.
    fn sample(
        &self,
        mode: Mode,
        case: &Case,
        ready: &PreparedBlock,
    ) -> Result<(Duration, Report, Waits), UsageError> {
        let cold = self.pace.map(Cold::new);
        let view = cold.as_ref().map(|cold| cold.over(&case.state));
        let view = view.as_ref().map_or(&case.state as &dyn StateView, |view| view);
        let started = Instant::now();
        let executed = self.execute(mode, case, ready, view);
        let time = started.elapsed();
        let waits = cold.as_ref().map(Cold::waits).unwrap_or_default();
        Ok((time, executed?.report, waits))
    }

    /// Recovery of all senders, on the threads of the executor whatever the mode, and P.
    fn sample_recovering(
        &self,
        mode: Mode,
        case: &Case,
        listed: Option<&PreparedBlock>,
    ) -> Result<Duration, UsageError> {
        let cold = self.pace.map(Cold::new);
        let view = cold.as_ref().map(|cold| cold.over(&case.state));
        let view = view.as_ref().map_or(&case.state as &dyn StateView, |view| view);
        let checked = case.checked.clone();
        let started = Instant::now();
        let mut prepared = self.executor.prepare(checked, &case.rules).map_err(usage)?;
        if mode == Mode::Bal
            && let Some(list) = listed.and_then(PreparedBlock::access_list)
        {
            prepared = prepared.with_access_list(Arc::clone(list));
        }
        let executed = self.execute(mode, case, &prepared, view);
        let time = started.elapsed();
        executed.map(|_| time)
    }

    fn execute(
        &self,
        mode: Mode,
        case: &Case,
        prepared: &PreparedBlock,
        view: &dyn StateView,
    ) -> Result<Execution, UsageError> {
        let executed = self.executor.execute(mode, prepared, &case.rules, view, case.scope);
        executed.map_err(|error| UsageError(format!("{mode}: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fugue_executor::{Fallback, GivenUp, LaneFault, Way, WhySequential};

    #[test]
    fn blocks_are_added_sample_by_sample() {
        let samples = |executed: [u64; 2], recovered: &[u64]| Samples {
            executed: executed.map(Duration::from_millis).to_vec(),
            recovered: recovered.iter().copied().map(Duration::from_millis).collect(),
            rerun_txs: 1,
            fallbacks: 2,
            ways: BTreeMap::from([("lanes".to_owned(), 2), (executed[0].to_string(), 1)]),
            waits: Waits { reads: 3, waited: Duration::from_millis(4) },
        };
        let mut total = Samples::default();
        total.add(&samples([1, 2], &[5, 6]));
        total.add(&samples([10, 20], &[50, 60]));
        let expected = Samples {
            rerun_txs: 2,
            fallbacks: 4,
            ways: [("lanes", 4_usize), ("1", 1), ("10", 1)]
                .map(|(way, count)| (way.to_owned(), count))
                .into(),
            waits: Waits { reads: 6, waited: Duration::from_millis(8) },
            ..samples([11, 22], &[55, 66])
        };
        assert_eq!(total, expected);
    }

    #[test]
    fn a_way_is_told_with_the_one_that_was_given_up() {
        let given_up = |txs| {
            let cause = LaneFault::OneChain.into();
            Some(GivenUp { cause, txs, is_kept: false, time: Duration::ZERO })
        };
        let report = |way, given_up| Report {
            given_up,
            ..Report::new(Mode::Auto, way, 2, Default::default())
        };
        let chain = Way::Sequential(Some(WhySequential::OneChain));
        let fallback = Some(Fallback { cause: LaneFault::Entangled.into() });
        let ended = Report { fallback, ..report(Way::Lanes, given_up(9)) };
        let mut kept = report(chain, given_up(9));
        kept.given_up.as_mut().expect("it was").is_kept = true;
        for (report, expected) in [
            (report(Way::Lanes, None), "lanes"),
            (kept, "sequential: one chain"),
            (report(chain, given_up(0)), "sequential: one chain"),
            (report(chain, given_up(3)), "lanes, then sequential: one chain"),
            (report(Way::Optimistic, given_up(3)), "lanes, then optimistic"),
            (ended, "lanes, then sequential"),
        ] {
            assert_eq!(way_of(&report), expected);
        }
    }
}
