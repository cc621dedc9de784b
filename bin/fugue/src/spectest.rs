//! `fugue spectest`: run official consensus fixtures.
//!
//! What a file holds is found by looking at it. Kinds that are run: state tests and blockchain
//! tests, where every case is one fixture, fork, variant and mode; transaction, difficulty, RLP and
//! trie tests, which execute nothing and have no mode. Cases that are known to fail, and kinds that
//! are not run, stand with their reasons in `etc/expected-failures.toml`, which is part of the
//! program.
//!
//! With `--engine`, blocks are sent to a node over HTTP: see [`engine`].

mod blockchain_test;
mod difficulty_test;
mod engine;
mod expected;
mod files;
mod plain;
mod rlp_test;
mod state_test;
mod transaction_test;
mod trie_test;

use crate::{
    UsageError, Verdict,
    cli::{Modes, Threads, cores},
    print,
    progress::Progress,
    written,
};
use blockchain_test::BlockchainTest;
use expected::{DraftCounts, Expectation, Expected};
use files::FixtureFile;
use fugue_executor::{Executor, Mode};
use serde_json::{Value, json};
use state_test::StateTest;
use std::{
    fmt,
    io::Write,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

/// Failures that are printed; all of them are counted.
const FAILURES_SHOWN: usize = 50;

/// Options of `fugue spectest`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Fixtures: .json files, .tar.zst archives, or directories of them
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// How to execute
    #[arg(long, value_enum, default_value_t = Modes::Both)]
    mode: Modes,
    #[command(flatten)]
    threads: Threads,
    /// Send blocks to a node over the Engine API: those of blockchain tests from Paris on, and the
    /// chain of a folder with chain.rlp, genesis.json and headfcu.json. "--mode both" is occ then,
    /// "--mode all" is lanes
    #[arg(long)]
    engine: bool,
    /// Only this fork, by its name in the fixtures
    #[arg(long, value_name = "FORK")]
    fork: Option<String>,
    /// Write one JSON object per failed or skipped case and a summary to this file, or to standard
    /// output with "-"
    #[arg(long, value_name = "PATH|-")]
    json: Option<PathBuf>,
}

/// One case and how it ended.
#[derive(Debug)]
struct Case {
    /// File, test, fork, variant.
    name: String,
    fork: String,
    /// `None` if nothing is executed.
    way: Option<Way>,
    ended: Ended,
}

/// How a case is run.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// Blocks or transactions are executed in this mode.
    Mode(Mode),
    /// Blocks are sent over the Engine API.
    Engine,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mode(mode) => write!(f, "{mode}"),
            Self::Engine => f.write_str("engine"),
        }
    }
}

#[derive(Debug)]
enum Ended {
    Passed,
    Failed(String),
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

/// Runs the files of a batch on all cores.
fn run_batch(
    batch: &[FixtureFile],
    options: &Options,
    expected: &Expected,
    unreadable: &mut Vec<String>,
) -> Result<Vec<Case>, UsageError> {
    let only = options.fork.as_deref();
    let read =
        on_all_cores(batch.len(), || Ok(()), |(), index| Ok(read_file(&batch[index], only)))?;
    let (mut tests, mut chains, mut cases) = (Vec::new(), Vec::new(), Vec::new());
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
                        Fixture::Plain(plain) => cases.extend(plain),
                        Fixture::NotRun(case) => cases.push(case),
                    }
                }
            }
            Err(UsageError(message)) => unreadable.push(message),
        }
    }
    let modes = options.mode.list(false);
    let variants: Vec<_> = tests
        .iter()
        .flat_map(|(name, test)| test.variants(name, options.fork.as_deref()))
        .flat_map(|variant| modes.iter().map(move |mode| (variant.clone(), *mode)))
        .collect();
    let executor =
        || Executor::new(options.threads.count()).map_err(|error| UsageError(error.to_string()));
    let run = |executor: &mut Executor, index: usize| {
        let (variant, mode) = &variants[index];
        Ok(variant.run(*mode, executor))
    };
    cases.extend(on_all_cores(variants.len(), executor, run)?);

    let chains: Vec<_> = chains
        .iter()
        .filter(|(_, test)| only.is_none_or(|fork| fork == test.fork()))
        .flat_map(|chain| modes.iter().map(move |mode| (chain, *mode)))
        .collect();
    let executor = || executor().map(Arc::new);
    let run = |executor: &mut Arc<Executor>, index: usize| {
        let ((name, test), mode) = chains[index];
        let ended = test.run(mode, executor).into();
        let (fork, way) = (test.fork().to_owned(), Some(Way::Mode(mode)));
        Ok(Case { name: name.clone(), fork, way, ended })
    };
    cases.extend(on_all_cores(chains.len(), executor, run)?);
    Ok(cases)
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
    if options.engine {
        return engine::run(options, &expected);
    }
    let sources = files::expand(&options.paths)?;
    let mut report = Report::new(options.json.as_ref())?;
    let progress = Progress::new("sources", sources.len());
    for source in &sources {
        files::read(source, &mut |batch: Vec<FixtureFile>| {
            let mut unreadable = Vec::new();
            for case in run_batch(&batch, options, &expected, &mut unreadable)? {
                report.add(case, &expected)?;
            }
            for message in unreadable {
                progress.say(&format!("error: {message}"));
                report.is_input_bad = true;
            }
            Ok(())
        })?;
        progress.step(&source.display().to_string());
    }
    progress.finish();
    for wrong in expected.check_drafts(&report.drafts, options.mode.list(false).len()) {
        report.failed += 1;
        report.shown.push(wrong);
    }
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
        Self { name, fork, way: None, ended: result.into() }
    }
}

impl Fixture {
    fn not_run(name: String, test: &Value) -> Self {
        let fork = test["network"].as_str().unwrap_or("*").to_owned();
        let ended = Ended::NotRun(kind(test).to_owned());
        Self::NotRun(Case { name, fork, way: None, ended })
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

/// Counts, and what is shown of failures.
struct Report {
    passed: usize,
    failed: usize,
    skipped: usize,
    drafts: DraftCounts,
    /// A file was not JSON, or a fixture not of its kind's form.
    is_input_bad: bool,
    shown: Vec<String>,
    /// What else was counted.
    notes: Vec<Note>,
    json: Option<Box<dyn Write>>,
    /// Standard output belongs to the JSON lines.
    is_output_json: bool,
}

/// Something that is counted, and is no case.
struct Note {
    /// In the summary.
    field: &'static str,
    count: usize,
    /// What follows the count in the text.
    text: &'static str,
}

impl Report {
    fn new(json: Option<&PathBuf>) -> Result<Self, UsageError> {
        let is_output_json = json.is_some_and(|path| path.as_os_str() == "-");
        let json: Option<Box<dyn Write>> = match json {
            None => None,
            Some(path) if path.as_os_str() == "-" => Some(Box::new(std::io::stdout())),
            Some(path) => {
                let file =
                    std::fs::File::create(path).map_err(|error| UsageError::at(path, error))?;
                Some(Box::new(std::io::BufWriter::new(file)))
            }
        };
        Ok(Self {
            passed: 0,
            failed: 0,
            skipped: 0,
            drafts: DraftCounts::default(),
            is_input_bad: false,
            shown: Vec::new(),
            notes: Vec::new(),
            json,
            is_output_json,
        })
    }

    fn add(&mut self, case: Case, expected: &Expected) -> Result<(), UsageError> {
        let Case { name, fork, way, ended } = case;
        let expectation = match &ended {
            Ended::NotRun(kind) => expected.of_kind(kind),
            Ended::Passed | Ended::Failed(_) => expected.of_case(&name, &fork),
        };
        let (verdict, reason) = match (ended, expectation) {
            (Ended::Passed, Expectation::Pass) => {
                self.passed += 1;
                return Ok(());
            }
            (Ended::Passed, Expectation::Fail(reason)) => {
                ("failed", format!("passes, but is listed as an expected failure: {reason}"))
            }
            (Ended::Passed, Expectation::Draft(entry, _)) => {
                self.drafts.add(entry, true);
                self.passed += 1;
                return Ok(());
            }
            (Ended::Failed(why), Expectation::Draft(entry, reason)) => {
                self.drafts.add(entry, false);
                ("skipped", format!("{reason} ({why})"))
            }
            (Ended::Failed(why), Expectation::Pass) => ("failed", why),
            (Ended::Failed(why), Expectation::Fail(reason)) => {
                ("skipped", format!("{reason} ({why})"))
            }
            (Ended::NotRun(_), Expectation::Fail(reason) | Expectation::Draft(_, reason)) => {
                ("skipped", reason.to_owned())
            }
            (Ended::NotRun(kind), Expectation::Pass) => {
                ("failed", format!("a fixture of kind \"{kind}\" is not known here"))
            }
        };
        let mode = way.map(|way| way.to_string()).unwrap_or_default();
        if verdict == "failed" {
            self.failed += 1;
            if self.shown.len() < FAILURES_SHOWN {
                self.shown.push(format!("{name} {fork} {mode}: {reason}"));
            }
        } else {
            self.skipped += 1;
        }
        self.line(&json!({
            "type": "case", "name": name, "fork": fork, "mode": mode,
            "verdict": verdict, "reason": reason,
        }))
    }

    fn line(&mut self, value: &Value) -> Result<(), UsageError> {
        match &mut self.json {
            Some(out) => written("--json", writeln!(out, "{value}")),
            None => Ok(()),
        }
    }

    fn finish(mut self) -> Result<Verdict, UsageError> {
        for failure in &self.shown {
            eprintln!("FAILED {failure}");
        }
        if self.failed > self.shown.len() {
            eprintln!("... and {} more", self.failed - self.shown.len());
        }
        let mut summary = json!({
            "type": "summary",
            "passed": self.passed, "failed": self.failed, "skipped": self.skipped,
        });
        let mut lines = String::new();
        for Note { field, count, text } in &self.notes {
            summary[*field] = json!(count);
            lines.push_str(&format!("{count} {text}\n"));
        }
        self.line(&summary)?;
        if let Some(out) = &mut self.json {
            written("--json", out.flush())?;
        }
        let Self { passed, failed, skipped, .. } = self;
        lines.push_str(&format!("{passed} passed, {failed} failed, {skipped} skipped\n"));
        if self.is_output_json {
            eprint!("{lines}");
        } else {
            print(lines)?;
        }
        Ok(match (self.failed, self.is_input_bad) {
            (0, false) => Verdict::Good,
            (0, true) => Verdict::BadInput,
            _ => Verdict::Differs,
        })
    }
}
