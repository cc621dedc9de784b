//! `fugue bench root`: state roots of small blocks on a large state, beside their execution.
//!
//! | tries | blocks are imported | what is in memory before each |
//! | --- | --- | --- |
//! | warm | by one chain, which makes nothing durable in between | what earlier blocks came by |
//! | cold | each by a chain that was opened for it | nothing, but for pages of the file |
//!
//! The first block of every run is not counted: to it, all tries are cold.

use super::{
    alone, cell, folder::Folder, machine, mb, per_second, process, ratio, show, workload::Workload,
};
use crate::{
    UsageError, Verdict,
    cli::{Threads, cores},
    datadir::usage,
    progress::Progress,
};
use fugue_chain::{Chain, ChainOptions, Head};
use fugue_chainspec::ChainSpec;
use fugue_executor::{Executor, Mode, PreparedBlock};
use fugue_storage::{Access, Store, StoreOptions};
use fugue_workload::MarketSize;
use serde_json::{Value, json};
use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// Most transactions of a block.
const TXS_MAX: i64 = 20_000;
/// Most blocks that are measured: all of them are in memory.
const ROUNDS_MAX: i64 = 1_000;

/// Options of `fugue bench root`.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Accounts of the state, at least 16
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    accounts: u32,
    /// Transactions of a block
    #[arg(long, value_name = "T", default_value_t = 300,
          value_parser = clap::value_parser!(u32).range(1..=TXS_MAX))]
    txs: u32,
    /// Blocks that are measured
    #[arg(long, value_name = "R", default_value_t = 20,
          value_parser = clap::value_parser!(u32).range(1..=ROUNDS_MAX))]
    rounds: u32,
    /// The same seed generates the same chain
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    threads: Threads,
    /// Where a folder is made for the time of the bench [default: among temporary files]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Write one JSON object to this file, or to standard output with "-"
    #[arg(long, value_name = "PATH|-")]
    json: Option<PathBuf>,
}

/// What of the tries is in memory before a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tries {
    Warm,
    Cold,
}

impl Tries {
    const fn name(self) -> &'static str {
        match self {
            Self::Warm => "warm",
            Self::Cold => "cold",
        }
    }
}

/// What a run took.
struct Run {
    tries: Tries,
    mode: Mode,
    /// Of each block that counts.
    executed: Vec<Duration>,
    rooted: Vec<Duration>,
    head: Head,
}

/// A store at its genesis, and the blocks after it.
struct Bench {
    path: PathBuf,
    spec: ChainSpec,
    executor: Arc<Executor>,
    blocks: Vec<PreparedBlock>,
}

/// Runs the command.
pub(super) fn run(options: &Options) -> Result<Verdict, UsageError> {
    let threads = options.threads.count();
    let folder = Folder::create(options.dir.as_deref())?;
    let size = MarketSize::new(options.accounts as usize, options.txs as usize);
    let blocks = options.rounds as usize + 1;
    let workload = Workload::generate(options.seed, &size, blocks, threads, &folder)?;
    let alone = alone::run(&workload, threads)?;
    let bench = Bench::begin(&workload, &folder, threads)?;
    let mut runs = Vec::new();
    for tries in [Tries::Warm, Tries::Cold] {
        for mode in [Mode::Seq, Mode::Occ] {
            runs.push(bench.run(tries, mode)?);
        }
    }
    let are_heads_equal = runs.iter().all(|run| run.head.hash == alone.head);
    let report = Report {
        workload: &workload,
        threads,
        alone: median(alone.executed.get(1..).unwrap_or_default()),
        leaves: alone.leaves.iter().skip(1).sum(),
        runs,
        are_heads_equal,
    };
    show(options.json.as_deref(), &report.to_json(), &report)?;
    Ok(if are_heads_equal { Verdict::Good } else { Verdict::Differs })
}

impl Bench {
    /// Begins the chain in a store, and prepares its blocks.
    fn begin(workload: &Workload, folder: &Folder, threads: usize) -> Result<Self, UsageError> {
        let genesis = workload.genesis()?;
        let path = folder.path().join("db");
        let store = open(&path, threads)?;
        eprintln!("beginning a chain with {} accounts", genesis.state.accounts.len());
        Chain::init(&store, &genesis).map_err(usage)?;
        drop(store);
        let executor = Arc::new(Executor::new(threads).map_err(usage)?);
        let mut bench = Self { path, spec: genesis.chain, executor, blocks: Vec::new() };
        let preparer = bench.chain(Mode::Seq)?.preparer();
        for block in workload.blocks() {
            bench.blocks.push(preparer.prepare(block?).map_err(usage)?);
        }
        Ok(bench)
    }

    /// The chain of the store, which makes nothing durable until it is told to.
    fn chain(&self, mode: Mode) -> Result<Chain, UsageError> {
        let threads = self.executor.threads();
        let options = ChainOptions {
            batch_blocks_max: usize::MAX,
            batch_bytes_max: usize::MAX,
            ..ChainOptions::new(mode, threads)
        };
        let (store, executor) = (open(&self.path, threads)?, self.executor.clone());
        Chain::with_executor(store, self.spec.clone(), options, executor).map_err(usage)
    }

    /// Imports all blocks, and goes back to the genesis.
    fn run(&self, tries: Tries, mode: Mode) -> Result<Run, UsageError> {
        let noun = match tries {
            Tries::Warm => "blocks on warm tries",
            Tries::Cold => "blocks on cold tries",
        };
        let progress = Progress::new(noun, self.blocks.len());
        let mut chain = self.chain(mode)?;
        let (mut executed, mut rooted) = (Vec::new(), Vec::new());
        for (index, block) in self.blocks.iter().enumerate() {
            if tries == Tries::Cold && index > 0 {
                chain.flush().map_err(usage)?;
                // The store must be closed before it is opened again.
                drop(chain);
                chain = self.chain(mode)?;
            }
            let before = chain.times();
            chain.import_prepared(block.clone()).map_err(usage)?;
            let after = chain.times();
            if index > 0 {
                executed.push(after.executed.saturating_sub(before.executed));
                rooted.push(after.rooted.saturating_sub(before.rooted));
            }
            progress.step(&mode.to_string());
        }
        let head = chain.head();
        chain.unwind(0).map_err(usage)?;
        progress.finish();
        Ok(Run { tries, mode, executed, rooted, head })
    }
}

fn open(path: &Path, threads: usize) -> Result<Store, UsageError> {
    Store::open(path, StoreOptions::new(Access::Write, threads)).map_err(usage)
}

/// The time in the middle, the larger one of two.
fn median(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// What was measured.
struct Report<'r> {
    workload: &'r Workload,
    threads: usize,
    /// Execution alone, of the block in the middle.
    alone: Duration,
    /// Accounts and slots that the measured blocks changed.
    leaves: usize,
    runs: Vec<Run>,
    are_heads_equal: bool,
}

impl Report<'_> {
    fn leaves_per_second(&self, run: &Run) -> Option<f64> {
        per_second(self.leaves as f64, run.rooted.iter().sum())
    }

    fn to_json(&self) -> Value {
        let run = |run: &Run| {
            let (executed, rooted) = (median(&run.executed), median(&run.rooted));
            json!({
                "tries": run.tries.name(),
                "mode": run.mode.to_string(),
                "head": { "number": run.head.number, "hash": run.head.hash },
                "rounds": run.rooted.len(),
                "executedMs": ms(executed),
                "rootedMs": ms(rooted),
                "rootToExecuted": ratio(rooted, executed),
                "rootToAlone": ratio(rooted, self.alone),
                "leavesPerSecond": self.leaves_per_second(run),
            })
        };
        json!({
            "type": "bench-root",
            "cores": cores(),
            "threads": self.threads,
            "workload": self.workload.to_json(),
            "leaves": self.leaves,
            "aloneMs": ms(self.alone),
            "runs": self.runs.iter().map(run).collect::<Vec<_>>(),
            "headsEqual": self.are_heads_equal,
            "peakBytes": process::peak_bytes(),
        })
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", machine(self.threads), self.workload)?;
        let alone = ms(self.alone);
        writeln!(f, "alone      {alone:.3} ms: sequential, in memory (median)\n")?;
        writeln!(
            f,
            "{:<6} {:<5} {:>10} {:>10} {:>8} {:>8} {:>12}",
            "tries", "mode", "exec ms", "root ms", "to exec", "to alone", "leaves/s"
        )?;
        for run in &self.runs {
            let (executed, rooted) = (median(&run.executed), median(&run.rooted));
            writeln!(
                f,
                "{:<6} {:<5} {:>10.3} {:>10.3} {:>8} {:>8} {:>12}",
                run.tries.name(),
                run.mode.to_string(),
                ms(executed),
                ms(rooted),
                cell(ratio(rooted, executed), 2),
                cell(ratio(rooted, self.alone), 2),
                cell(self.leaves_per_second(run), 0),
            )?;
        }
        writeln!(
            f,
            "medians of {} blocks, the first block left out; senders recovered before; cold: tries \
             and caches newly opened, pages of the file as the system has them",
            self.runs.first().map_or(0, |run| run.rooted.len()),
        )?;
        if let Some(peak) = process::peak_bytes() {
            writeln!(f, "memory at most {} (VmHWM of the process)", mb(peak))?;
        }
        let verdict = if self.are_heads_equal { "equal" } else { "DIFFERENT" };
        writeln!(f, "heads: {verdict}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        let of = |all: &[u64]| {
            let times: Vec<Duration> = all.iter().map(|ms| Duration::from_millis(*ms)).collect();
            median(&times).as_millis()
        };
        assert_eq!(of(&[]), 0);
        assert_eq!(of(&[7]), 7);
        assert_eq!(of(&[9, 1, 5]), 5);
        assert_eq!(of(&[4, 1, 3, 2]), 3);
    }
}
