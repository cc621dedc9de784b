//! What several tests share: the places of the repository, the program, blocks ready to run, and a
//! bound on time.

use fugue_archive::{Bundle, BundleReader};
use fugue_chainspec::{ChainConfig, ChainSpec, Rules};
use fugue_executor::{Executor, PreparedBlock};
use fugue_state::{Account, MemoryAccount, MemoryState};
use fugue_types::KECCAK256_EMPTY;
use fugue_validation::{Ommers, check_block};
use std::{
    hash::{BuildHasher, RandomState},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    time::Duration,
};

/// Longest that work under [`in_time`] may take; what ends at all ends in a fraction of it.
const HANG: Duration = Duration::from_secs(60);

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the repository")
}

/// The program, from the build that this test is of.
pub(crate) fn program() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own file");
    let profile = test.parent().and_then(Path::parent).expect("a test lies in deps/");
    let program = profile.join(format!("fugue{}", std::env::consts::EXE_SUFFIX));
    assert!(program.is_file(), "build the program first: make build");
    program
}

/// How a run of the program ended.
#[derive(Debug)]
pub(crate) struct Done {
    /// `None` if a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Done {
    /// Blocks that are equal, different, partial, unreadable: from the last line of the table.
    pub(crate) fn totals(&self) -> [usize; 4] {
        let last = self.stdout.lines().last().unwrap_or_default();
        let counts = last.split(';').next().unwrap_or_default();
        ["equal", "different", "partial", "unreadable"].map(|word| {
            let mut parts = counts.split(", ").filter_map(|part| part.strip_suffix(word));
            let count = parts.next().and_then(|count| count.trim().parse().ok());
            count.unwrap_or_else(|| panic!("no count of {word} blocks in {last:?}: {self:?}"))
        })
    }
}

/// `fugue replay` of the sources with two threads, in `folder`, where it leaves what it writes.
pub(crate) fn replay(folder: &Path, sources: &[&Path]) -> Command {
    let mut command = Command::new(program());
    command.current_dir(folder).arg("replay").args(sources).args(["--threads", "2"]);
    command
}

/// Runs a command to its end.
pub(crate) fn finish(command: &mut Command) -> Done {
    let output = command.stdin(Stdio::null()).output().expect("the program starts");
    let text = |bytes| String::from_utf8(bytes).expect("the program writes UTF-8");
    Done { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// The folder of generated bundles.
pub(crate) fn generated() -> PathBuf {
    root().join("testdata/bundles")
}

/// Folders that are not part of the repository.
const FOREIGN: [&str; 3] = ["target", ".git", "node_modules"];

/// Every file in a folder and below it, by path.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = folder.read_dir().unwrap_or_else(|error| panic!("{folder:?}: {error}"));
        for entry in entries {
            let path = entry.expect("a readable folder").path();
            if FOREIGN.iter().any(|foreign| path.ends_with(foreign)) {
                continue;
            }
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    files
}

/// The bundles in a folder and below it, by path.
pub(crate) fn bundle_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = files(folder);
    files.retain(|path| {
        path.to_string_lossy().ends_with(".json.zst") && !path.ends_with("codes.json.zst")
    });
    assert!(!files.is_empty(), "{folder:?}: no bundles: fugue generate writes them");
    files
}

/// The smallest generated bundle that fits.
pub(crate) fn small_bundle(fits: impl Fn(&Bundle) -> bool) -> Bundle {
    let mut files = bundle_files(&generated());
    files.sort_by_key(|path| path.metadata().map_or(u64::MAX, |metadata| metadata.len()));
    let mut reader = BundleReader::new();
    let mut bundles = files.iter().map(|path| reader.read(path).expect("a good bundle"));
    bundles.find(|bundle| bundle.state.is_some() && fits(bundle)).expect("some bundle fits")
}

/// A block ready to run, its rules, and the state before it.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) block: PreparedBlock,
    pub(crate) rules: Rules,
    pub(crate) view: MemoryState,
}

impl Case {
    /// The way of `fugue replay` from a bundle to a block that can be executed.
    ///
    /// # Panics
    /// If the bundle is partial or its block breaks a rule that is judged before execution.
    pub(crate) fn new(bundle: &Bundle, executor: &Executor) -> Self {
        let chain = match &bundle.config {
            Some(config) => {
                let config: ChainConfig =
                    serde_json::from_value(config.clone()).expect("a configuration");
                ChainSpec::try_from(&config).expect("a chain")
            }
            None => ChainSpec::by_chain_id(bundle.chain_id).expect("a known chain"),
        };
        let rules = chain.rules(&bundle.block.block().header);
        let ommers = if bundle.has_ommers { Ommers::Known } else { Ommers::Unknown };
        let checked = bundle.block.clone().check(|block| check_block(block, &rules, ommers));
        let checked = checked.unwrap_or_else(|refused| panic!("{}", refused.1));
        let block = executor.prepare(checked, &rules).expect("good signatures");
        Self { block, rules, view: memory_state(bundle) }
    }
}

fn memory_state(bundle: &Bundle) -> MemoryState {
    let state = bundle.state.as_ref().expect("the bundle has a pre-state");
    let accounts = state.accounts.iter().map(|(address, pre)| {
        let code_hash = pre.code_hash.unwrap_or(KECCAK256_EMPTY);
        let account = Account { nonce: pre.nonce, balance: pre.balance, code_hash };
        let slots = pre.storage.iter().filter(|(_, value)| !value.is_zero());
        let slots = slots.map(|(slot, value)| (*slot, *value)).collect();
        (*address, MemoryAccount { account, slots })
    });
    MemoryState {
        accounts: accounts.collect(),
        codes: state.codes.clone(),
        block_hashes: bundle.block_hashes.iter().map(|(number, hash)| (*number, *hash)).collect(),
    }
}

/// What `work` gives; a hang becomes a failure that names `what`.
#[expect(clippy::disallowed_methods, reason = "a thread that hangs cannot be waited for")]
pub(crate) fn in_time<T: Send + 'static>(
    what: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    let (sender, receiver) = mpsc::channel();
    let worker = std::thread::spawn(move || {
        // Nobody listens any longer only if the time was up.
        sender.send(work()).ok();
    });
    match receiver.recv_timeout(HANG) {
        Ok(done) => done,
        Err(RecvTimeoutError::Timeout) => panic!("{what}: not done after {HANG:?}"),
        Err(RecvTimeoutError::Disconnected) => match worker.join() {
            Err(panic) => std::panic::resume_unwind(panic),
            Ok(()) => panic!("{what}: ended without a result"),
        },
    }
}

/// A seed that is another one in each run, or what `FUGUE_SEED` says. It is printed, and a failure
/// has to name it, too.
pub(crate) fn drawn_seed() -> u64 {
    let asked = std::env::var("FUGUE_SEED").ok();
    let asked = asked.map(|seed| seed.parse::<u64>().expect("FUGUE_SEED: a number"));
    let seed = asked.unwrap_or_else(|| RandomState::new().hash_one("seed"));
    eprintln!("FUGUE_SEED={seed}");
    seed
}

/// The folder of recorded data, which is no part of the repository.
pub(crate) fn data() -> PathBuf {
    let data = std::env::var_os("FUGUE_DATA");
    data.map_or_else(|| root().join("../shared/data"), PathBuf::from)
}

/// A folder of recorded data; where CI runs, it has to be there.
pub(crate) fn recorded(folder: &str) -> Option<PathBuf> {
    let folder = data().join(folder);
    if folder.is_dir() {
        return Some(folder);
    }
    let is_ci = std::env::var("CI").is_ok_and(|value| value == "true");
    assert!(!is_ci, "CI needs {}: set FUGUE_DATA", folder.display());
    eprintln!("skipped: {} is not there; FUGUE_DATA says where it is", folder.display());
    None
}
