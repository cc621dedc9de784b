//! `fugue spectest --engine`: blockchain tests over the Engine API, each with a node of its own.
//!
//! Blocks of all kinds of blockchain tests are sent over HTTP, as a consensus client does. Networks
//! that end before Paris have no payloads, and other kinds of fixtures no blocks: both are counted,
//! and are no cases. Reasons of refusals are not compared, as an answer gives them in words; so the
//! number of passing cases of a draft, which is one with reasons, is not compared either.

use super::{
    Case, Ended, Options,
    blockchain_test::{BlockchainTest, ChainFolder, Station, is_of_engine},
    expected::Expected,
    files::{self, FixtureFile},
    kind, kind_by_fields, on_all_cores,
    plain::EVERY_FORK,
    report::{Note, Report},
    ways::{Executors, Job, Plan, Way},
};
use crate::{UsageError, Verdict, progress::Progress};
use fugue_executor::Mode;
use serde_json::Value;
use std::path::PathBuf;

/// What is no case.
#[derive(Debug, Default)]
struct Counts {
    /// Cases of networks that end before Paris.
    before_paris: usize,
    /// Fixtures of other kinds.
    others: usize,
    /// Blocks that a payload cannot tell of.
    unsent: usize,
    /// What is wrong with files of the batch in hand.
    unreadable: Vec<String>,
}

/// The tests of a file.
#[derive(Debug, Default)]
struct Tests {
    tests: Vec<(String, BlockchainTest)>,
    before_paris: usize,
    others: usize,
}

/// Runs the command.
pub(super) fn run(options: &Options, expected: &Expected) -> Result<Verdict, UsageError> {
    let (mut folders, mut paths) = (Vec::new(), Vec::new());
    for path in &options.paths {
        match ChainFolder::at(path) {
            Some(folder) => folders.push((folder, path)),
            None => paths.push(path.clone()),
        }
    }
    let sources: Vec<PathBuf> = if paths.is_empty() { Vec::new() } else { files::expand(&paths)? };
    let plan = options.plan()?;
    let mut report = Report::new(options)?;
    let mut counts = Counts::default();
    for (folder, path) in &folders {
        let (name, fork) = (folder.name(), EVERY_FORK.to_owned());
        if !options.wants(&name) {
            continue;
        }
        report.begin(path);
        let mut stations = Stations::new()?;
        for (slot, way) in runs(&plan, &name, false) {
            let (unsent, ended) = folder.run_engine(stations.turn_to(way)?)?;
            counts.add_unsent(slot, unsent);
            report.add(case(&name, &fork, slot, way, ended.into()), expected)?;
        }
    }
    let progress = Progress::new("sources", sources.len());
    for source in &sources {
        report.begin(source);
        let ran = || progress.part(|runs| format!("{}: {runs} runs", source.display()));
        files::read(source, &mut |batch: Vec<FixtureFile>| {
            for case in run_batch(&batch, options, &plan, expected, &mut counts, &ran)? {
                report.add(case, expected)?;
            }
            for message in counts.unreadable.drain(..) {
                progress.say(&format!("error: {message}"));
                report.is_input_bad = true;
            }
            Ok(())
        })?;
        progress.step(&source.display().to_string());
    }
    progress.finish();
    let Counts { before_paris, others, unsent, .. } = counts;
    report.notes = vec![
        Note {
            field: "beforeParis",
            count: before_paris,
            text: "cases of networks before Paris, left out",
        },
        Note { field: "otherKinds", count: others, text: "fixtures of other kinds, left out" },
        Note { field: "notPayloads", count: unsent, text: "blocks are not a payload, not sent" },
    ];
    report.finish()
}

impl Counts {
    /// The blocks of a test are counted in its first run.
    const fn add_unsent(&mut self, slot: usize, unsent: usize) {
        if slot == 0 {
            self.unsent += unsent;
        }
    }
}

/// What a thread of the runner keeps from one test to the next.
struct Stations {
    station: Station,
    executors: Executors,
}

impl Stations {
    fn new() -> Result<Self, UsageError> {
        let mut executors = Executors::default();
        let station = Station::new(Mode::Seq, executors.get(1)?)?;
        Ok(Self { station, executors })
    }

    fn turn_to(&mut self, Way { mode, threads }: Way) -> Result<&Station, UsageError> {
        self.station.turn_to(mode, self.executors.get(threads)?);
        Ok(&self.station)
    }
}

/// The runs of a test, each with its place among them.
fn runs(plan: &Plan, name: &str, has_lists: bool) -> Vec<(usize, Way)> {
    let run = |job| match job {
        Job::Run { slot, way } => Some((slot, way)),
        // What is compared has no node.
        Job::Compare(_) => None,
    };
    plan.jobs(name, has_lists).into_iter().filter_map(run).collect()
}

fn case(name: &str, fork: &str, slot: usize, way: Way, ended: Ended) -> Case {
    Case { name: name.to_owned(), fork: fork.to_owned(), way: Some(way), slot, ended }
}

/// Runs the files of a batch on all cores; each run is told of.
fn run_batch(
    batch: &[FixtureFile],
    options: &Options,
    plan: &Plan,
    expected: &Expected,
    counts: &mut Counts,
    ran: &(impl Fn() + Sync),
) -> Result<Vec<Case>, UsageError> {
    let only = options.fork.as_deref();
    let read =
        on_all_cores(batch.len(), || Ok(()), |(), index| Ok(read_file(&batch[index], only)))?;
    let mut chains = Vec::new();
    for file in read {
        match file {
            Ok(Tests { tests, before_paris, others }) => {
                counts.before_paris += before_paris;
                counts.others += others;
                chains.extend(tests);
            }
            Err(UsageError(message)) => counts.unreadable.push(message),
        }
    }
    for (name, test) in &mut chains {
        if expected.omits_builder_requests(name, test.fork()) {
            test.omit_builder_requests();
        }
    }
    let mut work = Vec::new();
    for (name, test) in chains.iter().filter(|(name, _)| options.wants(name)) {
        let runs = runs(plan, name, test.has_lists());
        work.extend(runs.into_iter().map(|(slot, way)| (name, test, slot, way)));
    }
    let run = |stations: &mut Stations, index: usize| {
        let (name, test, slot, way) = work[index];
        let (unsent, ended) = test.run_engine(stations.turn_to(way)?);
        ran();
        let case = case(name, test.fork(), slot, way, ended.into());
        Ok::<_, UsageError>((unsent, case))
    };
    let ran = on_all_cores(work.len(), Stations::new, run)?;
    let cases = ran.into_iter().map(|(unsent, case)| {
        counts.add_unsent(case.slot, unsent);
        case
    });
    Ok(cases.collect())
}

/// The tests of one file that are run.
fn read_file(file: &FixtureFile, only: Option<&str>) -> Result<Tests, UsageError> {
    let read: Value = serde_json::from_slice(&file.bytes)
        .map_err(|error| UsageError(format!("{}: {error}", file.name)))?;
    let mut tests = Tests::default();
    let is_fixture = kind_by_fields(&read).is_some();
    let Value::Object(read) = read else {
        tests.others += 1;
        return Ok(tests);
    };
    if is_fixture {
        tests.others += 1;
        return Ok(tests);
    }
    for (name, test) in read {
        if !matches!(kind(&test), "blockchain_test" | "blockchain_test_engine") {
            tests.others += 1;
            continue;
        }
        let network = test["network"].as_str().unwrap_or_default();
        if only.is_some_and(|fork| fork != network) {
            continue;
        }
        if !is_of_engine(network) {
            tests.before_paris += 1;
            continue;
        }
        let name = format!("{}::{name}", file.name);
        let test = BlockchainTest::parse(&name, test).map_err(UsageError)?;
        tests.tests.push((name, test));
    }
    Ok(tests)
}
