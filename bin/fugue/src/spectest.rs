//! `fugue spectest`: run official consensus fixtures.
//!
//! What a file holds is found by looking at it. Kinds that are run: state tests and blockchain
//! tests, where every case is one fixture, fork, variant and way ([`ways`]); transaction,
//! difficulty, RLP and trie tests, which execute nothing and have no mode. Cases that are known to
//! fail, and kinds that are not run, stand with their reasons in `etc/expected-failures.toml`,
//! which is part of the program.
//!
//! With `--engine`, blocks are sent to a node over HTTP: see [`engine`].

mod blockchain_test;
mod compared;
mod difficulty_test;
mod engine;
mod expected;
mod files;
mod plain;
mod report;
mod rlp_test;
mod state_test;
mod transaction_test;
mod trie_test;
mod ways;

use crate::{
    UsageError, Verdict,
    cli::{Modes, cores},
    progress::Progress,
};
use blockchain_test::BlockchainTest;
use compared::{Compared, Differed};
use expected::Expected;
use files::FixtureFile;
use fugue_executor::{Executor, Mode, compute_long_hashes_once};
use report::Report;
use serde_json::Value;
use state_test::{StateTest, Variant};
use std::{
    fmt::Display,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use ways::{Executors, Job, Manned, Plan, Turns, Way};

/// Options of `fugue spectest`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Fixtures: .json files, .tar.zst archives, or directories of them
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// How to execute. "bal" takes the list that the sequential run gives, where there is none
    #[arg(long, value_enum, default_value_t = Modes::Both)]
    mode: Modes,
    /// Threads for parallel execution; several numbers, separated by commas: then every case is run
    /// in each mode on each of them, sequentially once [default: all cores]
    #[arg(long, value_name = "N", value_delimiter = ',',
          value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Vec<u16>,
    /// Run each case in N of the ways that --mode and --threads name, by a hash of its name, and
    /// sequentially if that is among the modes [default: in all of them]
    #[arg(long, value_name = "N")]
    turns: Option<u16>,
    /// With --turns: execute the blocks of each case in N more of the ways, without a chain, and
    /// compare with the sequential run
    #[arg(
        long,
        value_name = "N",
        requires = "turns",
        conflicts_with = "engine",
        default_value_t = 0
    )]
    compare: u16,
    /// With --turns: each seed gives a case other ways, and goes on where the one before has ended
    #[arg(long, value_name = "N", requires = "turns", default_value_t = 0)]
    seed: u64,
    /// Send blocks to a node over the Engine API: those of blockchain tests from Paris on, and the
    /// chain of a folder with chain.rlp, genesis.json and headfcu.json. "--mode both" and
    /// "--mode all" are without seq then
    #[arg(long)]
    engine: bool,
    /// Only this fork, by its name in the fixtures
    #[arg(long, value_name = "FORK")]
    fork: Option<String>,
    /// Only cases with this in their names
    #[arg(long, value_name = "NAME")]
    case: Option<String>,
    /// Write one JSON object per failed or skipped case and a summary to this file, or to standard
    /// output with "-"
    #[arg(long, value_name = "PATH|-")]
    json: Option<PathBuf>,
}

impl Options {
    /// What is to be done with each case.
    fn plan(&self) -> Result<Plan, UsageError> {
        let modes = match self.mode {
            // The sequential run gives the lists.
            Modes::All => Modes::All.list(true),
            mode => mode.list(false),
        };
        // A chain is judged in `seq` without a node.
        let is_run = |mode: &&Mode| !self.engine || modes.len() == 1 || **mode != Mode::Seq;
        let modes: Vec<Mode> = modes.iter().filter(is_run).copied().collect();
        let mut threads: Vec<usize> = self.threads.iter().copied().map(usize::from).collect();
        if threads.is_empty() {
            threads.push(cores());
        }
        let turns = self.turns.map(|runs| {
            let (runs, compared) = (usize::from(runs), usize::from(self.compare));
            Turns { runs, compared, seed: self.seed }
        });
        let plan = Plan::new(&modes, &threads, turns);
        if plan.is_empty() {
            return Err(UsageError("with --turns 0 there is nothing to be run".to_owned()));
        }
        Ok(plan)
    }

    fn wants(&self, name: &str) -> bool {
        self.case.as_ref().is_none_or(|case| name.contains(case))
    }
}

/// One case and how it ended.
#[derive(Debug)]
struct Case {
    /// File, test, fork, variant.
    name: String,
    fork: String,
    /// `None` if nothing is executed.
    way: Option<Way>,
    /// Which of the case's runs it is.
    slot: usize,
    ended: Ended,
}

#[derive(Debug)]
enum Ended {
    Passed,
    Failed(String),
    /// An execution beside gave something else than the sequential one, whatever the fixture says.
    Differed(String),
    /// Not run: a kind of fixture that is not run yet.
    NotRun(String),
}

impl From<Result<(), String>> for Ended {
    fn from(result: Result<(), String>) -> Self {
        match result {
            Ok(()) => Self::Passed,
            Err(why) => Self::Failed(why),
        }
    }
}

/// What is executed of a fixture.
enum Test<'t> {
    Variant(Variant<'t>),
    Chain(&'t str, &'t BlockchainTest),
}

impl Test<'_> {
    fn name(&self) -> String {
        match self {
            Self::Variant(variant) => variant.name(),
            Self::Chain(name, _) => (*name).to_owned(),
        }
    }

    fn fork(&self) -> &str {
        match self {
            Self::Variant(variant) => variant.fork(),
            Self::Chain(_, test) => test.fork(),
        }
    }

    /// Whether it can be executed by an access list, which is one of a whole block.
    const fn has_lists(&self) -> bool {
        matches!(self, Self::Chain(..))
    }

    fn run(&self, mode: Mode, executor: &Arc<Executor>) -> Result<(), String> {
        match self {
            Self::Variant(variant) => variant.run(mode, executor),
            Self::Chain(_, test) => test.run(mode, executor),
        }
    }

    fn compare(&self, ways: &[Manned]) -> Result<Compared, Differed> {
        match self {
            Self::Variant(variant) => variant.compare(ways),
            Self::Chain(_, test) => test.compare(ways),
        }
    }

    /// Does a job; a comparison is a case only if something differs.
    fn done(&self, job: &Job, executors: &mut Executors) -> Result<Done, UsageError> {
        let case = |way: Way, slot: usize, ended: Ended| Case {
            name: self.name(),
            fork: self.fork().to_owned(),
            way: Some(way),
            slot,
            ended,
        };
        Ok(match job {
            Job::Run { slot, way } => {
                let executor = executors.get(way.threads)?;
                Done::Case(case(*way, *slot, self.run(way.mode, &executor).into()))
            }
            Job::Compare(ways) => match self.compare(&executors.of(ways)?) {
                Ok(compared) => Done::Compared(compared),
                Err(Differed { way, why }) => Done::Case(case(way, 0, Ended::Differed(why))),
            },
        })
    }
}

/// What a job gave.
enum Done {
    Case(Case),
    Compared(Compared),
}

/// The cases of a batch.
#[derive(Default)]
struct Batch {
    cases: Vec<Case>,
    compared: Compared,
    unreadable: Vec<String>,
}

/// Runs the files of a batch on all cores; each run is told of.
fn run_batch(
    batch: &[FixtureFile],
    options: &Options,
    plan: &Plan,
    expected: &Expected,
    ran: &(impl Fn() + Sync),
) -> Result<Batch, UsageError> {
    let only = options.fork.as_deref();
    let read =
        on_all_cores(batch.len(), || Ok(()), |(), index| Ok(read_file(&batch[index], only)))?;
    let mut done = Batch::default();
    let (mut tests, mut chains) = (Vec::new(), Vec::new());
    for file in read {
        match file {
            Ok(fixtures) => {
                for fixture in fixtures {
                    match fixture {
                        Fixture::StateTest(name, test) => tests.push((name, test)),
                        Fixture::Blockchain(name, mut test) => {
                            if expected.omits_builder_requests(&name, test.fork()) {
                                test.omit_builder_requests();
                            }
                            chains.push((name, test));
                        }
                        Fixture::Plain(plain) => done.cases.extend(plain),
                        Fixture::NotRun(case) => done.cases.push(case),
                    }
                }
            }
            Err(UsageError(message)) => done.unreadable.push(message),
        }
    }
    done.cases.retain(|case| options.wants(&case.name));
    let variants = tests.iter().flat_map(|(name, test)| test.variants(name, only));
    let chains = chains
        .iter()
        .filter(|(_, test)| only.is_none_or(|fork| fork == test.fork()))
        .map(|(name, test)| Test::Chain(name, test));
    let tests: Vec<_> = variants.map(Test::Variant).chain(chains).collect();
    let mut work = Vec::new();
    for test in &tests {
        let name = test.name();
        if options.wants(&name) {
            let jobs = plan.jobs(&name, test.has_lists());
            work.extend(jobs.into_iter().map(|job| (test, job)));
        }
    }
    let run = |executors: &mut Executors, index: usize| {
        let (test, job) = &work[index];
        test.done(job, executors).inspect(|_| ran())
    };
    for ended in on_all_cores(work.len(), || Ok(Executors::default()), run)? {
        match ended {
            Done::Case(case) => done.cases.push(case),
            Done::Compared(compared) => done.compared += compared,
        }
    }
    Ok(done)
}

/// Does `count` jobs on all cores and gives what they gave, in order. Each thread sets itself up.
fn on_all_cores<S, T: Send>(
    count: usize,
    set_up: impl Fn() -> Result<S, UsageError> + Sync,
    job: impl Fn(&mut S, usize) -> Result<T, UsageError> + Sync,
) -> Result<Vec<T>, UsageError> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut state = set_up()?;
        let mut done = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= count {
                return Ok::<_, UsageError>(done);
            }
            done.push((index, job(&mut state, index)?));
        }
    };
    let threads = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..cores().min(count)).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join()).collect::<Vec<_>>()
    });
    let mut done = Vec::with_capacity(count);
    for thread in threads {
        let panicked = |_| UsageError("a fixture made the program panic".to_owned());
        done.extend(thread.map_err(panicked)??);
    }
    done.sort_unstable_by_key(|(index, _)| *index);
    Ok(done.into_iter().map(|(_, done)| done).collect())
}

/// Runs the command.
pub(crate) fn run(options: &Options) -> Result<Verdict, UsageError> {
    let expected = Expected::load()?;
    // Fixtures have it for each fork, and each runs in several ways.
    compute_long_hashes_once();
    if options.engine {
        return engine::run(options, &expected);
    }
    let plan = options.plan()?;
    let sources = files::expand(&options.paths)?;
    let mut report = Report::new(options)?;
    let progress = Progress::new("sources", sources.len());
    for source in &sources {
        report.begin(source);
        let ran = || progress.part(|runs| format!("{}: {runs} runs", source.display()));
        files::read(source, &mut |batch: Vec<FixtureFile>| {
            let Batch { cases, compared, unreadable } =
                run_batch(&batch, options, &plan, &expected, &ran)?;
            for case in cases {
                report.add(case, &expected)?;
            }
            report.compared += compared;
            for message in unreadable {
                progress.say(&format!("error: {message}"));
                report.is_input_bad = true;
            }
            Ok(())
        })?;
        progress.step(&source.display().to_string());
    }
    progress.finish();
    report.judge_drafts(&expected);
    report.finish()
}

enum Fixture {
    StateTest(String, Box<StateTest>),
    Blockchain(String, Box<BlockchainTest>),
    Plain(Vec<Case>),
    NotRun(Case),
}

/// All fixtures of one file.
fn read_file(file: &FixtureFile, only: Option<&str>) -> Result<Vec<Fixture>, UsageError> {
    let tests: Value = serde_json::from_slice(&file.bytes)
        .map_err(|error| UsageError(format!("{}: {error}", file.name)))?;
    if kind_by_fields(&tests).is_some() {
        return Ok(vec![Fixture::not_run(file.name.clone(), &tests)]);
    }
    let Value::Object(tests) = tests else {
        let first = tests.get(0).unwrap_or(&Value::Null);
        return Ok(vec![Fixture::not_run(file.name.clone(), first)]);
    };
    let fixture = |(name, test): (String, Value)| {
        let name = format!("{}::{name}", file.name);
        let wrong = |reason: String| UsageError(format!("{name}: {reason}"));
        let plain = |cases: Vec<plain::PlainCase>| {
            Ok(Fixture::Plain(cases.into_iter().map(Case::from).collect()))
        };
        match kind(&test) {
            "state_test" => {
                let test = StateTest::parse(test).map_err(wrong)?;
                Ok(Fixture::StateTest(name, Box::new(test)))
            }
            "blockchain_test" | "blockchain_test_engine" => {
                let test = BlockchainTest::parse(&name, test).map_err(UsageError)?;
                Ok(Fixture::Blockchain(name, Box::new(test)))
            }
            "transaction_test" => plain(transaction_test::cases(&name, &test, only)),
            "difficulty_test" => plain(difficulty_test::cases(&name, &test, only)),
            "rlp_test" => plain(rlp_test::cases(&name, &test, only)),
            "trie_test" => plain(trie_test::cases(&name, &test, only)),
            _ => Ok(Fixture::not_run(name, &test)),
        }
    };
    tests.into_iter().map(fixture).collect()
}

impl From<plain::PlainCase> for Case {
    fn from(case: plain::PlainCase) -> Self {
        let plain::PlainCase { name, fork, result } = case;
        Self { name, fork, way: None, slot: 0, ended: result.into() }
    }
}

impl Fixture {
    fn not_run(name: String, test: &Value) -> Self {
        let fork = test["network"].as_str().unwrap_or("*").to_owned();
        let ended = Ended::NotRun(kind(test).to_owned());
        Self::NotRun(Case { name, fork, way: None, slot: 0, ended })
    }
}

/// What is found of no known kind.
const UNKNOWN: &str = "unknown";

/// What a fixture is, by the fields that it has.
fn kind_by_fields(test: &Value) -> Option<&'static str> {
    const KINDS: [(&str, &[&str]); 17] = [
        ("state_test", &["pre", "transaction", "post"]),
        ("blockchain_test_engine", &["engineNewPayloads"]),
        ("blockchain_test", &["genesisBlockHeader", "blocks"]),
        ("transaction_test", &["txbytes", "result"]),
        ("trie_test", &["in", "root"]),
        ("rlp_test", &["in", "out"]),
        ("difficulty_test", &["parentDifficulty", "currentDifficulty"]),
        ("genesis_test", &["alloc", "result"]),
        ("genesis_hash_test", &["genesis_rlp_hex", "genesis_hash"]),
        ("ethash_test", &["mixHash", "header", "cache_size"]),
        ("abi_test", &["args", "types", "result"]),
        ("trie_neighbours_test", &["in", "tests"]),
        ("hex_prefix_test", &["seq", "term", "out"]),
        ("transport_test", &["decryption_type", "cipher"]),
        ("key_test", &["seed", "key", "addr"]),
        ("signing_test", &["key", "unsigned", "signed"]),
        ("block_genesis_test", &["inputs", "result"]),
    ];
    let has = |fields: &[&str]| fields.iter().all(|field| test.get(field).is_some());
    KINDS.iter().find(|(_, fields)| has(fields)).map(|(kind, _)| *kind)
}

/// What a fixture is, by what it has. Difficulty tests stand below forks.
fn kind(test: &Value) -> &'static str {
    let is_difficulty = |variants: &Value| {
        variants
            .as_object()
            .into_iter()
            .flat_map(|variants| variants.values())
            .any(|variant| kind_by_fields(variant) == Some("difficulty_test"))
    };
    let by_fork = || test.as_object().into_iter().flat_map(|forks| forks.values());
    match kind_by_fields(test) {
        Some(kind) => kind,
        None if by_fork().any(is_difficulty) => "difficulty_test",
        None => UNKNOWN,
    }
}

/// Whether a case has what its fixture expects.
fn equal<T: PartialEq + Display>(what: &str, expected: T, found: T) -> Result<(), String> {
    if expected == found {
        Ok(())
    } else {
        Err(format!("{what}: expected {expected}, found {found}"))
    }
}
