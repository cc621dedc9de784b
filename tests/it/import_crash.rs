//! Imports that are killed: whatever the moment, what was reported as durable is there and sound,
//! and the next import goes on after it.
//!
//! The moments follow from a seed; what a process has come to by then does not.

use crate::import_support::{Datadir, LONG, Place, Ran, Recipe, TestChain, head_json, verify};
use fugue_chain::Head;
use fugue_chainspec::Fork;
use fugue_storage::{Access, Store, StoreOptions};
use fugue_workload::Rng;
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

/// The store is verified in one of so many rounds.
const VERIFY_EVERY: usize = 20;
/// Longest time before a kill. An import goes on where the one before it was killed, so kills come
/// to every part of one that takes longer.
const WAIT_MAX: Duration = Duration::from_millis(600);

/// Imports of some files, each killed.
struct Rounds<'c> {
    seed: u64,
    count: usize,
    place: &'c Place,
    /// Chains whose blocks may be durable; an import that ends, ends with the last of them.
    chains: Vec<&'c TestChain>,
    files: Vec<PathBuf>,
    options: &'c [&'c str],
    /// An import may make this block the head again, if the chain has become longer than that.
    back_to: Option<u64>,
}

/// What must hold of one data folder.
struct Life {
    datadir: Datadir,
    has_begun: bool,
    /// The block that was last known to be durable.
    durable: u64,
}

impl Rounds<'_> {
    fn import(&self, datadir: &Datadir) -> Command {
        let files: Vec<&Path> = self.files.iter().map(PathBuf::as_path).collect();
        datadir.import_command(self.options, &files)
    }

    fn head(&self) -> Head {
        self.chains.last().expect("a chain").head()
    }

    fn has(&self, head: Head) -> bool {
        self.chains.iter().any(|chain| chain.has(head))
    }

    fn begin(&self, name: &str) -> Life {
        Life { datadir: self.place.datadir(name), has_begun: false, durable: 0 }
    }

    /// How long an import takes that nobody kills.
    fn measure(&self) -> Duration {
        let datadir = self.place.datadir("measured");
        let started = Instant::now();
        self.finish(&datadir, "measuring");
        started.elapsed()
    }

    /// Imports to the end.
    fn finish(&self, datadir: &Datadir, told: &str) {
        // Seen if what follows fails.
        eprintln!("{told}");
        let ran = Ran::of(self.import(datadir)).ends(0);
        assert_eq!(ran.last()["head"], head_json(self.head()), "{told}: {ran}");
        datadir.check(self.head());
    }

    fn run(&self) {
        let Self { seed, count, .. } = self;
        let longest = self.measure().min(WAIT_MAX);
        let micros = u64::try_from(longest.as_micros()).expect("less than a second");
        let mut rng = Rng::new(*seed);
        let (mut life, mut killed) = (self.begin("life-0"), 0);
        for round in 0..*count {
            let wait = Duration::from_micros(rng.below(micros));
            let mut command = self.import(&life.datadir);
            let told = format!("seed {seed:#x}, round {round}, killed after {wait:?}: {command:?}");
            let output = kill(&mut command, wait);
            let (stdout, stderr) = texts(&output);
            let told = format!("{told}: {}\n{stdout}\n{stderr}", output.status);
            assert!(!stderr.contains("panicked"), "{told}");
            life.hear(self, &stdout, &told);
            life.look(self, round % VERIFY_EVERY == 0, &told);
            match output.status.code() {
                None => killed += 1,
                Some(code) => {
                    assert_eq!(code, 0, "{told}");
                    assert_eq!(life.durable, self.head().number, "{told}");
                    std::fs::remove_dir_all(&life.datadir.path).expect("it was there");
                    life = self.begin(&format!("life-{}", round + 1));
                }
            }
        }
        assert!(killed > count / 4, "seed {seed:#x}: only {killed} of {count} runs were killed");
        self.finish(&life.datadir, &format!("seed {seed:#x}, after {count} rounds"));
    }
}

impl Life {
    /// Takes what an import has said; its last line may be cut.
    fn hear(&mut self, rounds: &Rounds<'_>, stdout: &str, told: &str) {
        let whole = stdout.rsplit_once('\n').map_or("", |(whole, _)| whole);
        for line in whole.lines() {
            let line: Value =
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {told}"));
            match line["type"].as_str() {
                Some("began") => self.has_begun = true,
                Some("durable") => {
                    let number = line["number"].as_u64().expect("a number");
                    let hash = line["hash"].as_str().and_then(|hash| hash.parse().ok());
                    let head = Head { number, hash: hash.expect("a hash") };
                    assert!(rounds.has(head), "no block of the file: {line}: {told}");
                    self.durable = number;
                }
                Some("summary") => {}
                _ => panic!("{line}: {told}"),
            }
        }
    }

    /// Compares the store with what was said of it.
    fn look(&mut self, rounds: &Rounds<'_>, is_verified: bool, told: &str) {
        let path = self.datadir.store_path();
        let store = match Store::open(&path, StoreOptions::new(Access::Read, 1)) {
            Ok(store) => store,
            Err(error) => {
                assert!(!self.has_begun, "the store does not open: {error}: {told}");
                return;
            }
        };
        let snapshot = match store.snapshot() {
            Ok(snapshot) => snapshot,
            Err(error) => {
                assert!(!self.has_begun, "the store is not there: {error}: {told}");
                return;
            }
        };
        let head = snapshot.meta().head;
        let least = rounds.back_to.map_or(self.durable, |block| block.min(self.durable));
        assert!(head.number >= least, "head {}, {least} was durable: {told}", head.number);
        assert!(rounds.has(head), "the head {head:?} is no block of the file: {told}");
        if is_verified {
            verify(&snapshot, told);
        }
        self.has_begun = true;
        self.durable = head.number;
    }
}

/// Runs a command and ends it by SIGKILL after a while, if it has not ended.
fn kill(command: &mut Command, wait: Duration) -> Output {
    let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    std::thread::sleep(wait);
    child.kill().expect("it is ours");
    child.wait_with_output().expect("it ends")
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn an_import_may_be_killed_at_any_moment() {
    let place = Place::new(&LONG);
    let rounds = Rounds {
        seed: 0xc4a5_11ed,
        count: 200,
        place: &place,
        chains: vec![&*LONG],
        files: vec![place.file()],
        options: &["--batch", "7"],
        back_to: None,
    };
    rounds.run();
}

#[test]
fn an_import_that_prunes_may_be_killed_at_any_moment() {
    let place = Place::new(&LONG);
    let rounds = Rounds {
        seed: 0xc4a5_12ed,
        count: 40,
        place: &place,
        chains: vec![&*LONG],
        files: vec![place.file()],
        options: &["--batch", "7", "--retention", "minimal:64"],
        back_to: None,
    };
    rounds.run();
}

#[test]
fn an_import_that_changes_branches_may_be_killed_at_any_moment() {
    let (fork, blocks, transactions) = (Fork::Shanghai, 60, 3);
    let recipe = Recipe { seed: 0xc4a5, fork, blocks, transactions, shared: 20, branch: 1 };
    let short = TestChain::new(&recipe);
    let long = TestChain::new(&Recipe { blocks: 75, branch: 2, ..recipe });
    let place = Place::new(&long);
    let rounds = Rounds {
        seed: 0xc4a5_13ed,
        count: 60,
        place: &place,
        chains: vec![&short, &long],
        files: vec![place.write("short.rlp", &short.rlp()), place.file()],
        options: &["--batch", "7"],
        back_to: Some(short.fork_with(&long)),
    };
    rounds.run();
}
