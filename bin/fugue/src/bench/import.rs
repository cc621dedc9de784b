//! `fugue bench import`: blocks into new data folders, once in each mode, beside their execution
//! alone.
//!
//! Blocks are read and prepared some at a time, then imported: the two do not overlap, so that what
//! is timed has the machine for itself.

use super::{
    alone,
    folder::Folder,
    process,
    report::Report,
    show,
    workload::{Workload, WorkloadOptions},
};
use crate::{
    UsageError, Verdict,
    cli::{Modes, Threads},
    datadir::usage,
    progress::Progress,
};
use fugue_chain::{Chain, ChainOptions, Head, ImportError, Times};
use fugue_chainspec::ChainSpec;
use fugue_executor::{Mode, PreparedBlock};
use fugue_storage::{Access, Store, StoreOptions};
use fugue_types::SealedBlock;
use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

/// Blocks that are prepared before they are imported.
const AHEAD_BLOCKS: usize = 32;

/// Options of `fugue bench import`.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    #[command(flatten)]
    workload: WorkloadOptions,
    /// How to execute
    #[arg(long, value_enum, default_value_t = Modes::Both)]
    mode: Modes,
    #[command(flatten)]
    threads: Threads,
    /// Where a folder is made for the time of the bench [default: among temporary files]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Blocks that become durable together, at most
    #[arg(long, value_name = "BLOCKS", default_value_t = 1024,
          value_parser = clap::value_parser!(u16).range(1..))]
    batch_blocks: u16,
    /// Write one JSON object to this file, or to standard output with "-"
    #[arg(long, value_name = "PATH|-")]
    json: Option<PathBuf>,
}

/// Size of a database.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Size {
    /// Bytes of its file.
    pub(super) file: u64,
    /// Bytes of it that hold something.
    pub(super) used: u64,
}

impl Size {
    fn of(store: &Store) -> Result<Self, UsageError> {
        let stats = store.stats().map_err(usage)?;
        Ok(Self { file: stats.file_bytes, used: stats.used_bytes })
    }
}

/// An import in one mode.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) mode: Mode,
    pub(super) head: Head,
    pub(super) times: Times,
    /// All that imports took, with what is between the steps that are timed.
    pub(super) wall: Duration,
    pub(super) recovered: Duration,
    /// Commits.
    pub(super) commits: usize,
    /// Blocks whose parallel run gave another outcome.
    pub(super) differed: usize,
    pub(super) before: Size,
    pub(super) after: Size,
    /// Bytes that the process had written meanwhile, where the system says so.
    pub(super) written: Option<u64>,
    /// Most memory at once, in bytes.
    pub(super) peak: Option<u64>,
    /// Whether that is of this import alone, and not of the process since it began.
    pub(super) is_peak_of_run: bool,
    /// Most memory without pages of files, in bytes, as seen after each block.
    pub(super) anonymous: Option<u64>,
}

/// Runs the command.
pub(super) fn run(options: &Options) -> Result<Verdict, UsageError> {
    let threads = options.threads.count();
    let folder = Folder::create(options.dir.as_deref())?;
    let workload = options.workload.make(threads, &folder)?;
    let alone = alone::run(&workload, threads)?;
    let mut runs = Vec::new();
    for mode in options.mode.list(false) {
        let chain_options = ChainOptions {
            batch_blocks_max: usize::from(options.batch_blocks),
            ..ChainOptions::new(*mode, threads)
        };
        runs.push(import(&workload, &folder, chain_options)?);
    }
    let report = Report { workload: &workload, threads, folder: folder.path(), alone, runs };
    show(options.json.as_deref(), &report.to_json(), &report)?;
    Ok(if report.is_good() { Verdict::Good } else { Verdict::Differs })
}

fn import(workload: &Workload, folder: &Folder, options: ChainOptions) -> Result<Run, UsageError> {
    let ChainOptions { mode, threads, .. } = options;
    let path = folder.path().join(mode.to_string());
    let store = Store::open(&path, StoreOptions::new(Access::Write, threads)).map_err(usage)?;
    let (head, spec) = begin(workload, mode, &store)?;
    let before = Size::of(&store)?;
    let mut chain = Chain::open(store, spec, options).map_err(usage)?;

    let mut run = Run {
        mode,
        head,
        times: Times::default(),
        wall: Duration::ZERO,
        recovered: Duration::ZERO,
        commits: 0,
        differed: 0,
        before,
        after: before,
        written: None,
        peak: None,
        is_peak_of_run: process::forget_peak(),
        anonymous: process::anonymous_bytes(),
    };
    let written = process::written_bytes();
    run.all(&mut chain, workload)?;
    run.written = written.and_then(|before| Some(process::written_bytes()?.saturating_sub(before)));
    run.peak = process::peak_bytes();
    run.head = chain.head();
    run.times = chain.times();
    run.after = Size::of(chain.store())?;
    Ok(run)
}

/// Begins the chain. The state of its genesis is gone then, and no memory of the import.
fn begin(workload: &Workload, mode: Mode, store: &Store) -> Result<(Head, ChainSpec), UsageError> {
    let genesis = workload.genesis()?;
    eprintln!("{mode}: beginning a chain with {} accounts", genesis.state.accounts.len());
    let head = Chain::init(store, &genesis).map_err(usage)?;
    Ok((head, genesis.chain))
}

impl Run {
    /// Imports all blocks and makes them durable.
    fn all(&mut self, chain: &mut Chain, workload: &Workload) -> Result<(), UsageError> {
        let noun = match self.mode {
            Mode::Seq => "blocks imported (seq)",
            Mode::Occ => "blocks imported (occ)",
            Mode::Auto => "blocks imported (auto)",
            Mode::Lanes => "blocks imported (lanes)",
            Mode::Bal => "blocks imported (bal)",
        };
        let progress = Progress::new(noun, workload.amount().blocks);
        let preparer = chain.preparer();
        let mut blocks = workload.blocks();
        loop {
            let ahead = blocks.by_ref().take(AHEAD_BLOCKS);
            let ahead: Vec<SealedBlock> = ahead.collect::<Result<_, UsageError>>()?;
            if ahead.is_empty() {
                break;
            }
            let started = Instant::now();
            let prepared: Result<Vec<PreparedBlock>, ImportError> =
                ahead.into_iter().map(|block| preparer.prepare(block)).collect();
            self.recovered += started.elapsed();
            for block in prepared.map_err(usage)? {
                let started = Instant::now();
                let imported = chain.import_prepared(block).map_err(usage)?;
                self.wall += started.elapsed();
                self.commits += usize::from(imported.durable.is_some());
                self.differed += usize::from(imported.parallel_differed);
                self.anonymous = self.anonymous.max(process::anonymous_bytes());
                progress.step(&imported.number.to_string());
            }
        }
        let started = Instant::now();
        let flushed = chain.flush().map_err(usage)?;
        self.wall += started.elapsed();
        self.commits += usize::from(flushed.is_some());
        progress.finish();
        Ok(())
    }
}
