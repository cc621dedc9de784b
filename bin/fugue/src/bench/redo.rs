//! `fugue bench redo`: what could be gained by running only parts of transactions again, and by
//! holding one up at a read instead of running it again.
//!
//! 1. Each block runs one transaction after the other, with a clock around each: as it is, with its
//!    instructions recorded, and with the values followed that transactions before it in the block
//!    have changed (`fugue_executor`, `TxRedo`). Medians count.
//! 2. It runs in mode `occ`, observed, which tells what runs that were thrown away took, and why;
//!    and in mode `lanes`, which tells how many transactions ran again.
//!
//! What is *spared at best* is a bound: recording, looking for what changed, and switching between
//! transactions are taken to be free.

mod report;

use super::{
    execution::{
        case::Case,
        setup::{GAS, Setup, distinct},
        source::Workload,
    },
    show,
    spread::Spread,
};
use crate::{UsageError, Verdict, datadir::usage, progress::Progress};
use fugue_executor::{Executor, Fed, Mode, RerunCause, TxRedo, Work};
use report::Report;
use std::time::Duration;

/// Rounds where nothing else is said.
const ROUNDS: u16 = 5;
/// Most rounds: all times of a block are in memory.
const ROUNDS_MAX: i64 = 1_000;
/// Transactions of a hundred that aim at the hot place.
const SHARE: u8 = 100;

/// Options of `fugue bench redo`.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    #[command(flatten)]
    setup: Setup,
    /// Of a hundred generated transactions, how many aim at one hot place; several, separated by
    /// commas
    #[arg(long, value_name = "PERCENT", value_delimiter = ',', default_values_t = [SHARE],
          value_parser = clap::value_parser!(u8).range(0..=100))]
    conflicts: Vec<u8>,
    /// Times that each block is run in each way, after one that is not counted
    #[arg(long, value_name = "R", default_value_t = ROUNDS,
          value_parser = clap::value_parser!(u16).range(1..=ROUNDS_MAX))]
    rounds: u16,
}

/// Blocks that are measured together.
#[derive(Debug, Default)]
struct Group {
    workload: String,
    /// How many transactions of a hundred aim at the hot place, where that was chosen.
    share: Option<u8>,
    blocks: usize,
    txs: usize,
    /// Transactions that read what others before them have changed, and those of them that run the
    /// same instructions without that.
    disturbed: usize,
    keep_path: usize,
    /// What the disturbed ones did, each kind of work in the place of that of one of them.
    work: Fed,
    /// Medians of the times of transactions, of all of them, and of those that are disturbed.
    time: Duration,
    disturbed_time: Duration,
    /// The same of all of them, recorded and followed.
    recorded_time: Duration,
    followed_time: Duration,
    spared: Spared,
    /// For each number of threads.
    runs: Vec<Runs>,
}

/// Time that need not pass at best, where each disturbed transaction has to run twice. That of an
/// instruction is taken to be as its gas.
#[derive(Debug, Clone, Copy, Default)]
struct Spared {
    /// Only what is fed runs again: all guards hold.
    fed: Duration,
    /// The same where the path is kept, and else nothing is spared.
    on_path: Duration,
    /// What is fed runs again, and all from the first guard on.
    guarded: Duration,
    /// All from the first changed read on runs again, or waits there from the start.
    after_read: Duration,
}

/// What parallel runs took, of all rounds.
#[derive(Debug, Clone, Copy, Default)]
struct Runs {
    threads: usize,
    /// Of all transactions in `occ`, and of them what was thrown away, by its cause.
    time: Duration,
    lost: [Duration; CAUSES.len()],
    /// Of what was thrown away because of a value, what is not fed.
    spared: Duration,
    /// Runs that were thrown away.
    reruns: usize,
    /// Transactions that ran more than once in `lanes`.
    lanes_reruns: usize,
}

/// Why runs are thrown away.
const CAUSES: [RerunCause; 5] = [
    RerunCause::Changed,
    RerunCause::Doubted,
    RerunCause::Restored,
    RerunCause::Blocked,
    RerunCause::Parked,
];

/// Whether the transaction had to wait at a read, and lost what it had done before it. All others
/// ran to their ends.
const fn has_waited(cause: RerunCause) -> bool {
    matches!(cause, RerunCause::Blocked | RerunCause::Parked)
}

/// Runs the command.
pub(super) fn run(options: &Options) -> Result<Verdict, UsageError> {
    let executors = options.setup.executors()?.into_iter().map(Executor::observing);
    let executors: Vec<Executor> = executors.collect();
    let wanted = options.setup.wanted(GAS, distinct(&options.conflicts, &[]));
    let rounds = usize::from(options.rounds);
    let mut report = Report { rounds, groups: Vec::new(), left_out: Vec::new() };
    for item in wanted.items(&mut report.left_out)? {
        for workload in wanted.load(&item, &executors, &mut report.left_out)? {
            let Workload { name, share, is_recorded: _, cases } = workload;
            let mut group = Group::new(name, share, &executors);
            let progress = Progress::new("blocks measured", cases.len());
            for (file, case) in &cases {
                let added = group.add(case, &executors, rounds);
                added.map_err(|error| UsageError(format!("{file}: {}", error.0)))?;
                progress.step(file);
            }
            progress.finish();
            if group.blocks > 0 {
                report.groups.push(group);
            }
        }
    }
    if report.groups.is_empty() {
        return Err(UsageError("there is nothing to be measured".to_owned()));
    }
    show(options.setup.json(), &report.to_json(), &report)?;
    Ok(Verdict::Good)
}

impl Group {
    fn new(workload: String, share: Option<u8>, executors: &[Executor]) -> Self {
        let runs = |executor: &Executor| Runs { threads: executor.threads(), ..Runs::default() };
        let runs = executors.iter().map(runs).collect();
        Self { workload, share, runs, ..Self::default() }
    }

    /// Measures a block.
    fn add(
        &mut self,
        case: &Case,
        executors: &[Executor],
        rounds: usize,
    ) -> Result<(), UsageError> {
        let Case { rules, prepared, state, scope, .. } = case;
        let Some(executor) = executors.first() else { return Ok(()) };
        executors.iter().for_each(|executor| executor.warm(&state.codes));
        // The first runs find everything cold, and are not timed.
        executor.times(prepared, rules, state).map_err(usage)?;
        let redo = executor.redo(prepared, rules, state).map_err(usage)?;
        let mut times: Vec<[Vec<Duration>; 3]> = vec![Default::default(); redo.len()];
        for _ in 0..rounds {
            let plain = executor.times(prepared, rules, state).map_err(usage)?;
            let redo = executor.redo(prepared, rules, state).map_err(usage)?;
            for (times, (plain, redo)) in times.iter_mut().zip(plain.iter().zip(&redo)) {
                let TxRedo { recorded_nanos, followed_nanos, .. } = redo;
                let [recorded, followed] =
                    [recorded_nanos, followed_nanos].map(|nanos| Duration::from_nanos(*nanos));
                for (times, time) in times.iter_mut().zip([*plain, recorded, followed]) {
                    times.push(time);
                }
            }
        }
        self.blocks += 1;
        for (redo, times) in redo.iter().zip(&times) {
            self.count(redo, [0, 1, 2].map(|way: usize| Spread::of(&times[way]).p50));
        }
        for (executor, runs) in executors.iter().zip(&mut self.runs) {
            for round in 0..=rounds {
                let run = |mode| executor.execute(mode, prepared, rules, state, *scope);
                // What it has taught it must not help it.
                executor.forget();
                let lanes = run(Mode::Lanes).map_err(usage)?;
                let occ = run(Mode::Occ).map_err(usage)?;
                if round == 0 {
                    continue;
                }
                runs.lanes_reruns += lanes.report.stats.rerun_txs;
                for (tx, redo) in occ.report.tx_runs.iter().zip(&redo) {
                    runs.time += tx.time;
                    runs.reruns += tx.reruns.len();
                    for rerun in &tx.reruns {
                        let causes = CAUSES.iter().zip(&mut runs.lost);
                        for (_, lost) in causes.filter(|(cause, _)| **cause == rerun.cause) {
                            *lost += rerun.lost;
                        }
                        if !has_waited(rerun.cause) {
                            runs.spared += spared(rerun.lost, &redo.fed.fed, &redo.fed.all);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Adds a transaction, with its times as it is, recorded, and followed.
    fn count(&mut self, redo: &TxRedo, [time, recorded, followed]: [Duration; 3]) {
        self.txs += 1;
        self.time += time;
        self.recorded_time += recorded;
        self.followed_time += followed;
        let TxRedo { fed, keeps_path, .. } = redo;
        if fed.reads == 0 {
            return;
        }
        self.disturbed += 1;
        self.disturbed_time += time;
        self.keep_path += usize::from(*keeps_path);
        let Spared { fed: by_fed, on_path, guarded, after_read } = &mut self.spared;
        let of_fed = spared(time, &fed.fed, &fed.all);
        *by_fed += of_fed;
        *on_path += if *keeps_path { of_fed } else { Duration::ZERO };
        *guarded += spared(time, &fed.guarded, &fed.all);
        *after_read += spared(time, &fed.after_read, &fed.all);
        let total = &mut self.work;
        for (total, work) in [
            (&mut total.all, fed.all),
            (&mut total.fed, fed.fed),
            (&mut total.guarded, fed.guarded),
            (&mut total.after_read, fed.after_read),
        ] {
            total.steps = total.steps.saturating_add(work.steps);
            total.gas = total.gas.saturating_add(work.gas);
        }
        total.reads = total.reads.saturating_add(fed.reads);
        total.guards = total.guards.saturating_add(fed.guards);
    }
}

/// Of a time, what passes in other work than this part. All of it, where there is no work.
fn spared(time: Duration, part: &Work, all: &Work) -> Duration {
    if all.gas == 0 {
        return time;
    }
    let rest = all.gas.saturating_sub(part.gas) as f64 / all.gas as f64;
    time.mul_f64(rest.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work(gas: u64) -> Work {
        Work { steps: gas / 3, gas }
    }

    #[test]
    fn what_is_spared_is_what_is_not_fed() {
        let (time, none) = (Duration::from_micros(80), work(0));
        assert_eq!(spared(time, &work(30), &work(40)), Duration::from_micros(20));
        assert_eq!(spared(time, &work(0), &work(40)), time);
        assert_eq!(spared(time, &work(41), &work(40)), Duration::ZERO);
        assert_eq!(spared(time, &none, &none), time);
    }

    #[test]
    fn only_disturbed_transactions_can_be_spared_anything() {
        let executors = [Executor::new(2).expect("threads")];
        let mut group = Group::new("some".to_owned(), None, &executors);
        assert_eq!(group.runs[0].threads, 2);
        let times = [100, 150, 900].map(Duration::from_micros);
        group.count(&TxRedo::default(), times);
        let fed = Fed {
            all: work(100),
            fed: work(10),
            guarded: work(40),
            after_read: work(70),
            reads: 2,
            guards: 1,
        };
        let redo = TxRedo { fed, keeps_path: true, ..TxRedo::default() };
        group.count(&redo, times);
        group.count(&TxRedo { keeps_path: false, ..redo }, times);
        assert_eq!((group.txs, group.disturbed, group.keep_path), (3, 2, 1));
        assert_eq!((group.time, group.disturbed_time), (times[0] * 3, times[0] * 2));
        assert_eq!((group.recorded_time, group.followed_time), (times[1] * 3, times[2] * 3));
        let Spared { fed, on_path, guarded, after_read } = group.spared;
        let micros = [fed, on_path, guarded, after_read].map(|time| time.as_micros());
        assert_eq!(micros, [180, 90, 120, 60]);
        assert_eq!((group.work.fed, group.work.reads), (Work { steps: 6, gas: 20 }, 4));
    }
}
