//! `fugue bench execution`: modes of execution side by side, on recorded blocks and on generated
//! ones.
//!
//! Only P is measured here; R and D are in [`super::root`] and [`super::import`]. What keeps a
//! ratio honest:
//! * it is of the medians of one run, in which the modes take turns on the same block, each when
//!   the threads of the one before are at rest;
//! * `seq` is always among them, and is what the others are divided by;
//! * each mode must give what `seq` gives, which is compared once, outside of all times;
//! * everything that a mode may need is ready before, and the same for all: senders, transactions
//!   in the form that the EVM takes, analysed code. With `--recover` there is a second time, which
//!   has the recovery of senders in it, for every mode.
//!
//! With `--latency-us` each sample begins with a state of which nothing is in memory: see
//! [`latency`]. Of hints for lanes no block has any that it has taught itself: see [`hints`].

pub(super) mod case;
mod hints;
mod latency;
mod measure;
mod report;
pub(super) mod setup;
pub(super) mod source;

use super::show;
use crate::{UsageError, Verdict, progress::Progress};
use fugue_executor::{Executor, Mode};
use hints::{HintsFrom, Taught};
use latency::Pace;
use measure::Setting;
use report::{Group, Report};
use setup::{GAS, Setup, distinct};
use source::{Wanted, Workload};
use std::time::Duration;

/// The modes that are compared, where nothing is said.
const MODES: [Mode; 4] = [Mode::Seq, Mode::Occ, Mode::Auto, Mode::Bal];
/// Samples of each mode, and of the small preset.
const SAMPLES: u16 = 5;
const QUICK_SAMPLES: u16 = 3;
/// Most samples: all times are in memory.
const SAMPLES_MAX: i64 = 1_000;
/// Gas of a generated block of the small preset.
const QUICK_GAS: u64 = 1_000_000;
/// Transactions of a hundred that aim at the hot place, and of the small preset.
const SHARES: [u8; 4] = [0, 10, 30, 100];
const QUICK_SHARES: [u8; 2] = [0, 100];
/// Longest simulated read in microseconds.
const LATENCY_US_MAX: i64 = 10_000;

/// Options of `fugue bench execution`.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    #[command(flatten)]
    setup: Setup,
    /// Of a hundred generated transactions, how many aim at one hot place; several, separated by
    /// commas [default: 0,10,30,100]
    #[arg(long, value_name = "PERCENT", value_delimiter = ',',
          value_parser = clap::value_parser!(u8).range(0..=100))]
    conflicts: Vec<u8>,
    /// Modes, separated by commas, of seq, occ, bal, lanes and auto; seq is always among them
    /// [default: seq,occ,auto,bal]
    #[arg(long, value_name = "MODES", value_delimiter = ',')]
    modes: Vec<Mode>,
    /// Samples of each mode, after one that is not counted [default: 5]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=SAMPLES_MAX))]
    samples: Option<u16>,
    /// How long the first read of anything takes, in microseconds; several, separated by commas
    /// [default: 0]
    #[arg(long, value_name = "US", value_delimiter = ',',
          value_parser = clap::value_parser!(u32).range(0..=LATENCY_US_MAX))]
    latency_us: Vec<u32>,
    /// What is known beforehand of the calls in a block: cold, nothing; earlier, what blocks of
    /// lower numbers have taught, of the same path or kind
    #[arg(long, value_name = "FROM", default_value = "cold")]
    hints: HintsFrom,
    /// Measure a second time, with the recovery of senders in it
    #[arg(long)]
    recover: bool,
    /// Show each recorded block; the object has them always
    #[arg(long)]
    per_block: bool,
    /// A small preset: 3 samples, blocks of 1000000 gas, conflicts of 0 and 100
    #[arg(long)]
    quick: bool,
}

impl Options {
    /// `seq` first: the others are divided by it.
    fn modes(&self) -> Vec<Mode> {
        let mut modes = vec![Mode::Seq];
        let asked = distinct(&self.modes, &MODES);
        modes.extend(asked.into_iter().filter(|mode| *mode != Mode::Seq));
        modes
    }

    fn samples(&self) -> usize {
        let samples = if self.quick { QUICK_SAMPLES } else { SAMPLES };
        usize::from(self.samples.unwrap_or(samples))
    }

    /// How long first reads take; `None` is no time.
    fn paces(&self) -> Vec<Option<Pace>> {
        let latencies = distinct(&self.latency_us, &[0]).into_iter();
        let pace = |us: u32| (us > 0).then(|| Pace::of(Duration::from_micros(u64::from(us))));
        latencies.map(pace).collect()
    }

    fn wanted(&self) -> Wanted<'_> {
        let (gas, shares) =
            if self.quick { (QUICK_GAS, &QUICK_SHARES[..]) } else { (GAS, &SHARES[..]) };
        self.setup.wanted(gas, distinct(&self.conflicts, shares))
    }
}

/// Runs the command.
pub(super) fn run(options: &Options) -> Result<Verdict, UsageError> {
    let (modes, executors) = (options.modes(), options.setup.executors()?);
    let mut report = Report {
        modes: &modes,
        samples: options.samples(),
        seed: options.setup.seed(),
        hints: options.hints,
        recover: options.recover,
        per_block: options.per_block,
        groups: Vec::new(),
        left_out: Vec::new(),
    };
    let paces = options.paces();
    let wanted = options.wanted();
    // One after the other: what is done with is not kept in memory.
    for item in wanted.items(&mut report.left_out)? {
        let workloads = wanted.load(&item, &executors, &mut report.left_out)?;
        measure(&workloads, &executors, &paces, &mut report)?;
    }
    if report.groups.is_empty() {
        return Err(UsageError("there is nothing to be measured".to_owned()));
    }
    show(options.setup.json(), &report.to_json(), &report)?;
    Ok(if report.is_good() { Verdict::Good } else { Verdict::Differs })
}

/// Measures what was loaded, on all threads and at all latencies that were asked for.
fn measure(
    workloads: &[Workload],
    executors: &[Executor],
    paces: &[Option<Pace>],
    report: &mut Report<'_>,
) -> Result<(), UsageError> {
    let blocks: usize = workloads.iter().map(|workload| workload.cases.len()).sum();
    // One for each executor and pace: nothing is measured twice with what it has taught.
    let settings = executors.len() * paces.len();
    let mut taught: Vec<Taught<'_>> = (0..settings).map(|_| Taught::new(report.hints)).collect();
    let progress = Progress::new("blocks measured", blocks * executors.len() * paces.len());
    for Workload { name, share, is_recorded, cases } in workloads {
        let mut taught = taught.iter_mut();
        for executor in executors {
            for (pace, taught) in paces.iter().zip(taught.by_ref()) {
                let setting = Setting {
                    executor,
                    modes: report.modes,
                    samples: report.samples,
                    pace: *pace,
                    recover: report.recover,
                };
                let mut blocks = Vec::with_capacity(cases.len());
                for (file, case) in taught.in_order(cases) {
                    let hints = taught.before(case, executor)?;
                    blocks.push(setting.measure(file.clone(), case, hints)?);
                    progress.step(file);
                    taught.later(case);
                }
                if blocks.is_empty() {
                    continue;
                }
                report.groups.push(Group {
                    workload: name.clone(),
                    share: *share,
                    is_recorded: *is_recorded,
                    threads: executor.threads(),
                    latency: pace.map_or(Duration::ZERO, |pace| pace.latency),
                    blocks,
                });
            }
        }
    }
    progress.finish();
    Ok(())
}
