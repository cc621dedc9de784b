//! `fugue bench simulate`: how long blocks would take on machines of other numbers of cores, by
//! list scheduling of their transactions with times that are measured here.
//!
//! 1. Each block runs several times: one transaction after the other in the tight loop with a clock
//!    around each, and as a whole sequentially, in the mode that is asked for on one thread, and in
//!    it on two; and sequentially on two threads at once, each by itself. Medians count.
//! 2. What its transactions read and write says who waits for whom (`fugue_executor`); by an access
//!    list nobody does.
//! 3. The *ideal* prediction schedules the bare times of transactions. The *calibrated* one adds
//!    what the mode costs per block and per transaction ([`model`]), as its runs on one thread
//!    tell, and on more than one core what two threads at once cost each other. Where `auto` is
//!    asked for, each block is that of the way that was taken on two threads, which runs on one
//!    thread as well, by the mode that always takes it.
//! 4. For one and two cores the calibrated prediction is compared with what was measured.

mod model;
mod report;

use super::{
    folder::Folder,
    show,
    spread::Spread,
    workload::{Amount, Workload},
};
use crate::{
    UsageError, Verdict,
    cli::cores,
    datadir::usage,
    progress::Progress,
    replay::{Before, chain, expand},
};
use fugue_archive::{BundleReader, Record};
use fugue_chain::Genesis;
use fugue_chainspec::Rules;
use fugue_executor::{
    BlockError, Executor, Mode, PreparedBlock, Scope, TxAccess, Way, first_divergence,
};
use fugue_state::StateView;
use fugue_types::Address;
use fugue_validation::{Ommers, check_block};
use fugue_workload::MarketSize;
use model::Model;
use report::{Report, Source};
use std::{
    path::PathBuf,
    sync::{Arc, Barrier, OnceLock},
    time::{Duration, Instant},
};

/// Cores for which is predicted where nothing else is said.
const CORES: [u16; 7] = [1, 2, 4, 8, 16, 32, 64];
/// Times that each block is run in each way, at most.
const ROUNDS_MAX: i64 = 1_000;
/// Blocks, at most: what their transactions read and wrote is in memory until all have run.
const BLOCKS_MAX: usize = 10_000;
/// Most transactions of a generated block.
const TXS_MAX: i64 = 20_000;

/// Options of `fugue bench simulate`.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Block bundles and witness bundles, directories of them, or glob patterns, in place of
    /// generated blocks
    #[arg(long, value_name = "SOURCE", num_args = 1..,
          conflicts_with_all = ["accounts", "blocks", "txs", "seed", "dir"])]
    bundles: Vec<String>,
    /// Numbers of cores to predict for
    #[arg(long, value_name = "N,N", value_delimiter = ',', default_values_t = CORES,
          value_parser = clap::value_parser!(u16).range(1..=1024))]
    cores: Vec<u16>,
    /// How blocks are executed: occ, lanes, auto, or bal with an access list that is made before
    #[arg(long, value_name = "MODE", default_value_t = Mode::Auto)]
    mode: Mode,
    /// Times that each block is run in each way; the median counts
    #[arg(long, value_name = "R", default_value_t = 5,
          value_parser = clap::value_parser!(u32).range(1..=ROUNDS_MAX))]
    rounds: u32,
    /// Accounts of the generated chain, at least 16
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    accounts: u32,
    /// Blocks to generate
    #[arg(long, value_name = "M", default_value_t = 20,
          value_parser = clap::value_parser!(u32).range(1..=BLOCKS_MAX as i64))]
    blocks: u32,
    /// Transactions of a generated block
    #[arg(long, value_name = "T", default_value_t = 200,
          value_parser = clap::value_parser!(u32).range(1..=TXS_MAX))]
    txs: u32,
    /// The same seed generates the same chain
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where a folder is made for the time of the bench [default: among temporary files]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Write one JSON object to this file, or to standard output with "-"
    #[arg(long, value_name = "PATH|-")]
    json: Option<PathBuf>,
}

/// A block as it was measured.
#[derive(Debug)]
struct Measured {
    fee_recipient: Address,
    /// Each with the median of its times.
    txs: Vec<TxAccess>,
    /// How it runs on several threads: the mode that was asked for, or the one that this stands for
    /// on this block.
    way: Mode,
    /// Medians of the whole block: sequentially; so while another thread does the same; on one
    /// thread in that way; in the mode that was asked for on one thread, and on two.
    seq: Duration,
    crowded: Duration,
    base: Duration,
    one: Duration,
    two: Duration,
}

/// Runs blocks.
struct Bench {
    mode: Mode,
    rounds: usize,
    /// With one thread and with two.
    one: Executor,
    two: Executor,
    blocks: Vec<Measured>,
    amount: Amount,
    /// Files without a state.
    partial: usize,
    /// Blocks whose parallel run gave another outcome, and those where it ended early.
    differed: usize,
    fallbacks: usize,
}

/// Runs the command.
pub(super) fn run(options: &Options) -> Result<Verdict, UsageError> {
    if options.mode == Mode::Seq {
        return Err(usage("--mode seq: takes as long on any number of cores"));
    }
    let mut bench = Bench::new(options.mode, options.rounds as usize)?;
    let source = if options.bundles.is_empty() {
        let folder = Folder::create(options.dir.as_deref())?;
        let size = MarketSize::new(options.accounts as usize, options.txs as usize);
        let count = options.blocks as usize;
        let workload = Workload::generate(options.seed, &size, count, cores(), &folder)?;
        bench.generated(&workload)?;
        Source::Generated(workload.to_json())
    } else {
        bench.bundles(&options.bundles)?;
        Source::Bundles
    };
    let mut counts: Vec<usize> = options.cores.iter().copied().map(usize::from).collect();
    counts.sort_unstable();
    counts.dedup();
    let model = Model::new(bench.mode, &bench.blocks);
    let report = Report::new(&bench, source, &model, &counts);
    show(options.json.as_deref(), &report.to_json(), &report)?;
    Ok(if bench.differed == 0 { Verdict::Good } else { Verdict::Differs })
}

impl Bench {
    fn new(mode: Mode, rounds: usize) -> Result<Self, UsageError> {
        Ok(Self {
            mode,
            rounds,
            one: Executor::new(1).map_err(usage)?,
            two: Executor::new(2).map_err(usage)?,
            blocks: Vec::new(),
            amount: Amount::default(),
            partial: 0,
            differed: 0,
            fallbacks: 0,
        })
    }

    /// Measures the blocks of files, each on the state that was recorded with it.
    fn bundles(&mut self, sources: &[String]) -> Result<(), UsageError> {
        let paths = expand(sources)?;
        if paths.len() > BLOCKS_MAX {
            let found = paths.len();
            return Err(UsageError(format!("--bundles: {found} files, above {BLOCKS_MAX}")));
        }
        let mut reader = BundleReader::new();
        let progress = Progress::new("blocks", paths.len());
        for path in &paths {
            let record = reader.read_record(path).map_err(usage)?;
            let Some(before) = Before::new(&record) else {
                self.partial += 1;
                continue;
            };
            let header = &record.block().block().header;
            let rules = chain(&record).map_err(|error| UsageError::at(path, error))?.rules(header);
            let ommers = match &record {
                Record::Bundle(bundle) if !bundle.has_ommers => Ommers::Unknown,
                Record::Bundle(_) | Record::Witness(_) => Ommers::Known,
            };
            let checked = record.block().clone().check(|block| check_block(block, &rules, ommers));
            let checked = checked.map_err(|refused| UsageError::at(path, refused.1))?;
            let at = |error: BlockError| UsageError::at(path, error);
            let prepared = self.two.prepare(checked, &rules).map_err(at)?;
            for executor in [&self.one, &self.two] {
                executor.warm(before.codes());
            }
            self.amount.add(prepared.block().block());
            let scope = before.scope();
            before.with_view(|view| self.add(&prepared, &rules, view, scope)).map_err(at)?;
            progress.step(&header.number.to_string());
        }
        progress.finish();
        if self.blocks.is_empty() {
            return Err(UsageError("--bundles: no block with a state in these files".to_owned()));
        }
        Ok(())
    }

    /// Measures the blocks of a chain from its genesis on.
    fn generated(&mut self, workload: &Workload) -> Result<(), UsageError> {
        let Genesis { chain, mut state, .. } = workload.genesis()?;
        self.amount = workload.amount();
        let progress = Progress::new("blocks", self.amount.blocks);
        for block in workload.blocks() {
            let block = block?;
            let header = block.block().header.clone();
            let number = header.number;
            state.block_hashes.insert(number.saturating_sub(1), header.parent_hash);
            let rules = chain.rules(&header);
            let checked = block.check(|block| check_block(block, &rules, Ommers::Known));
            let checked =
                checked.map_err(|refused| UsageError(format!("block {number}: {}", refused.1)))?;
            let prepared = self.two.prepare(checked, &rules).map_err(usage)?;
            self.add(&prepared, &rules, &state, Scope::Block).map_err(usage)?;
            let run = self.one.execute(Mode::Seq, &prepared, &rules, &state, Scope::Block);
            state.apply(&run.map_err(usage)?.outcome.diff).map_err(usage)?;
            progress.step(&number.to_string());
        }
        progress.finish();
        Ok(())
    }

    /// Measures a block.
    fn add(
        &mut self,
        block: &PreparedBlock,
        rules: &Rules,
        view: &dyn StateView,
        scope: Scope,
    ) -> Result<(), BlockError> {
        let mut listed = None;
        if self.mode == Mode::Bal && block.access_list().is_none() {
            let (_, list) = self.one.list_accesses(block, rules, view, scope)?;
            let block = block.clone().with_access_list(Arc::new(list));
            block.index_access_list(rules);
            listed = Some(block);
        }
        let block = listed.as_ref().unwrap_or(block);
        let run =
            |(mode, executor): (Mode, &Executor)| executor.execute(mode, block, rules, view, scope);
        // The first runs find everything cold. They are compared, and not timed.
        let mut txs = self.one.accesses(block, rules, view)?;
        let expected = run((Mode::Seq, &self.one))?.outcome;
        let on_two = run((self.mode, &self.two))?;
        let way = mode_of(on_two.report.way);
        let mut ways = vec![(Mode::Seq, &self.one), (self.mode, &self.two), (self.mode, &self.one)];
        if way != self.mode && way != Mode::Seq {
            ways.push((way, &self.one));
        }
        let mut found = vec![on_two];
        for way in &ways[2..] {
            found.push(run(*way)?);
        }
        let differs =
            found.iter().any(|found| first_divergence(&expected, &found.outcome).is_some());
        let ended_early = found.iter().any(|found| found.report.fallback.is_some());
        drop((expected, found));

        let mut wholes: Vec<Vec<Duration>> = vec![Vec::with_capacity(self.rounds); ways.len()];
        let mut singles: Vec<Vec<Duration>> = vec![Vec::with_capacity(self.rounds); txs.len()];
        self.crowded(block, rules, view, scope)?;
        let mut crowded = Vec::with_capacity(self.rounds);
        for round in 0..self.rounds {
            crowded.push(self.crowded(block, rules, view, scope)?);
            // They take turns at being first, whoever that helps or hinders.
            for step in 0..=ways.len() {
                let turn = (round + step) % (ways.len() + 1);
                match (ways.get(turn), wholes.get_mut(turn)) {
                    (Some(way), Some(times)) => {
                        let started = Instant::now();
                        let done = run(*way);
                        times.push(started.elapsed());
                        done?;
                    }
                    _ => {
                        let found = self.one.times(block, rules, view)?;
                        for (times, time) in singles.iter_mut().zip(found) {
                            times.push(time);
                        }
                    }
                }
            }
        }
        for (tx, times) in txs.iter_mut().zip(&singles) {
            tx.nanos = nanos(Spread::of(times).p50);
        }
        let medians: Vec<Duration> = wholes.iter().map(|times| Spread::of(times).p50).collect();
        let (seq, two, one) = (medians[0], medians[1], medians[2]);
        let same = if way == Mode::Seq { seq } else { one };
        let base = medians.get(3).copied().unwrap_or(same);
        let fee_recipient = block.block().block().header.beneficiary;
        let crowded = Spread::of(&crowded).p50;
        self.blocks.push(Measured { fee_recipient, txs, way, seq, crowded, base, one, two });
        self.differed += usize::from(differs);
        self.fallbacks += usize::from(ended_early);
        Ok(())
    }

    /// How long a block takes sequentially while another thread runs it as well, and begins it at
    /// the same time: each shares no more than the state with the other.
    fn crowded(
        &self,
        block: &PreparedBlock,
        rules: &Rules,
        view: &dyn StateView,
        scope: Scope,
    ) -> Result<Duration, BlockError> {
        let internal = |told: &str| BlockError::Internal(told.to_owned());
        let start = Barrier::new(2);
        let timed = |executor: &Executor| {
            start.wait();
            let started = Instant::now();
            let done = executor.execute(Mode::Seq, block, rules, view, scope);
            (started.elapsed(), done)
        };
        // A thread of the pool has run before, and has its memory.
        let beside = OnceLock::new();
        let pool = self.two.pool().ok_or_else(|| internal("there is no second thread"))?;
        let (one, first) = pool.in_place_scope(|scope| {
            scope.spawn(|_| drop(beside.set(timed(&self.two))));
            timed(&self.one)
        });
        let (other, second) =
            beside.into_inner().ok_or_else(|| internal("nothing ran beside a block"))?;
        first.and(second)?;
        Ok((one + other) / 2)
    }
}

/// The mode that always takes a way.
const fn mode_of(way: Way) -> Mode {
    match way {
        Way::Sequential(_) => Mode::Seq,
        Way::Optimistic => Mode::Occ,
        Way::Lanes => Mode::Lanes,
        Way::List => Mode::Bal,
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
