//! `fugue replay`: execute recorded blocks, and prove the results against their headers and each
//! other.
//!
//! The steps for each file: read it (`fugue_archive`), judge the body, and the header by its parent
//! where that is known (`fugue_validation`), recover senders, execute in each mode
//! (`fugue_executor`), compare the modes, judge the outcomes by the header, with the state root
//! where the file allows to compute it (`fugue_trie`).

mod before;
mod check;
mod explain;
mod lists;
mod minimise;
mod modes;
mod report;
mod repro;
mod sources;
mod stored;

pub(crate) use before::Before;
pub(crate) use check::{Checker, chain};
pub(crate) use sources::expand;

use crate::{
    UsageError, Verdict,
    cli::{Modes, Threads},
    datadir::Datadir,
    print,
    progress::Progress,
};
use fugue_archive::BundleReader;
use fugue_executor::Executor;
use lists::Lists;
use minimise::Minimiser;
use report::{JsonLines, Table};
use std::path::PathBuf;

/// Options of `fugue replay`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Block bundles and witness bundles, directories of them, or glob patterns
    #[arg(required_unless_present = "datadir", conflicts_with = "datadir", value_name = "SOURCE")]
    sources: Vec<String>,
    /// Execute blocks of the chain in this data folder again, several at once
    #[arg(long, value_name = "DIR")]
    datadir: Option<PathBuf>,
    /// With --datadir: the first block [default: the oldest one whose parent's state is kept]
    #[arg(long, value_name = "NUMBER", requires = "datadir")]
    from: Option<u64>,
    /// With --datadir: the last block [default: the head]
    #[arg(long, value_name = "NUMBER", requires = "datadir")]
    to: Option<u64>,
    /// How to execute; the results of several modes are compared transaction by transaction
    #[arg(long, value_enum, default_value_t = Modes::Both)]
    mode: Modes,
    /// Execute by the access lists in this folder, as --write-bal has written them; with --mode
    /// bal, auto, both or all
    #[arg(long, value_name = "DIR", conflicts_with = "write_bal")]
    bal: Option<PathBuf>,
    /// Write the access list of each block that passes into this folder, also of blocks that
    /// predate EIP-7928
    #[arg(long, value_name = "DIR")]
    write_bal: Option<PathBuf>,
    #[command(flatten)]
    threads: Threads,
    /// Write one JSON object per block and a summary to this file, or to standard output with "-"
    #[arg(long, value_name = "PATH|-")]
    json: Option<PathBuf>,
    /// Tell why each block takes as long as it does: who waits for whom and for what, and what ran
    /// in parallel more than once
    #[arg(long, conflicts_with = "datadir")]
    explain: bool,
    /// Where the folder that reproduces a mismatch is written
    #[arg(long, value_name = "DIR", default_value = "fugue-repro")]
    repro: PathBuf,
    /// Make a block on which the modes differ as small as it can be while they do
    #[arg(long, conflicts_with = "datadir")]
    minimise: bool,
    /// With --minimise: runs in each parallel mode after which a smaller block counts as equal
    #[arg(long, value_name = "N", requires = "minimise", default_value_t = minimise::TRIES,
          value_parser = clap::value_parser!(u16).range(1..=i64::from(minimise::TRIES_MAX)))]
    minimise_tries: u16,
    /// Execute each block so often in each mode, until something differs; the times are those of
    /// the last round
    #[arg(long, value_name = "N", conflicts_with = "datadir", default_value_t = 1,
          value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Stop at the first block that does not pass
    #[arg(long)]
    stop_at_first: bool,
}

/// Runs the command.
pub(crate) fn run(options: &Options) -> Result<Verdict, UsageError> {
    let modes = options.mode.list(options.bal.is_some());
    modes::check_lists(modes, options.bal.is_some())?;
    let lists = Lists::new(options.bal.as_deref(), options.write_bal.as_deref())?;
    if let Some(datadir) = &options.datadir {
        let json = options.json.as_deref().map(JsonLines::create).transpose()?;
        let range = stored::Range {
            datadir: &Datadir { datadir: datadir.clone() },
            from: options.from,
            to: options.to,
            modes,
            lists: lists.as_ref(),
            workers: options.threads.count(),
            stop_at_first: options.stop_at_first,
        };
        return stored::run(&range, json);
    }
    let paths = sources::expand(&options.sources)?;
    let threads = options.threads.count();
    let mut executor = Executor::new(threads).map_err(|error| UsageError(error.to_string()))?;
    if options.explain {
        executor = executor.observing();
    }
    let minimiser = options
        .minimise
        .then(|| Minimiser::new(&executor, modes, options.minimise_tries, &options.repro));
    let minimiser = minimiser.transpose()?.map(|minimiser| minimiser.with_lists(lists.as_ref()));
    let mut json = options.json.as_deref().map(JsonLines::create).transpose()?;
    let mut table = Table::new(modes, threads);
    let mut reader = BundleReader::new();
    let mut checker =
        Checker::new(&executor, modes).with_lists(lists.as_ref()).repeating(options.rounds);
    if options.explain {
        checker = checker.explaining();
    }
    let mut verdict = Verdict::Good;

    let progress = Progress::new("blocks", paths.len());
    for path in &paths {
        let checked = reader
            .read_record(path)
            .map_err(|error| UsageError(error.to_string()))
            .and_then(|record| checker.check(path, &record).map(|findings| (record, findings)));
        let (record, mut findings) = match checked {
            Ok(checked) => checked,
            Err(UsageError(message)) => {
                progress.say(&format!("error: {message}"));
                verdict = verdict.max(Verdict::BadInput);
                table.count_bad_input();
                if let Some(json) = &mut json {
                    json.unreadable(path, &message)?;
                }
                if options.stop_at_first {
                    break;
                }
                continue;
            }
        };
        if let Some(first) = findings.differences.first() {
            progress.say(&format!("block {} ({}): {first}", findings.number, findings.hash));
            verdict = Verdict::Differs;
            let record = checker.with_parent(record);
            let list = match &lists {
                Some(lists) => lists.read(findings.number, findings.hash),
                None => Ok(None),
            };
            let written = list.and_then(|list| {
                let list = list.as_ref();
                repro::write(&options.repro, &record, &findings, modes, threads, list)
            });
            match written {
                Ok(folder) => {
                    progress.say(&format!("  repro: {}", folder.display()));
                    findings.repro = Some(folder);
                }
                Err(UsageError(message)) => progress.say(&format!("error: {message}")),
            }
            findings.minimal = minimiser.as_ref().and_then(|minimiser| {
                match minimiser.minimise(&record, &findings, &progress) {
                    Ok(minimal) => {
                        minimal.lines().iter().for_each(|line| progress.say(line));
                        Some(minimal)
                    }
                    Err(UsageError(reason)) => {
                        progress.say(&format!("  not minimised: {reason}"));
                        None
                    }
                }
            });
        }
        if let Some(json) = &mut json {
            json.block(&findings)?;
        }
        let is_good = findings.differences.is_empty();
        progress.step(&findings.number.to_string());
        table.add(findings);
        if !is_good && options.stop_at_first {
            break;
        }
    }
    progress.finish();

    if let Some(json) = &mut json {
        json.summary(&table)?;
    }
    if !json.is_some_and(|json| json.is_standard_output()) {
        print(&table)?;
    }
    Ok(verdict)
}
