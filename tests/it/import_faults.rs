//! The n-th operation on the database fails, for every n: no failure of the store is reported as
//! an invalid block, and nothing is written after one. What is on the disk is then a whole chain.

use crate::import_support::{Recipe, Replayed, TestChain, verify};
use fugue_chain::{Chain, ChainOptions, Head, ImportError, Place, Retention};
use fugue_chainspec::Fork;
use fugue_executor::{Executor, Mode, PreparedBlock};
use fugue_state::MemoryState;
use fugue_storage::{Access, Faults, StorageError, Store, StoreOptions};
use fugue_types::Address;
use std::{path::Path, sync::Arc};

/// Blocks of which the past is kept: just enough for the change of branches.
const WINDOW: u64 = 3;
const BATCH: usize = 4;
/// Threads that share the values of n: each begins with another one.
const WORKERS: [u64; 2] = [0, 1];
/// Of so many values of n, one is tried with a folder, and with parallel execution.
const FOLDER_EVERY: usize = 50;
const PARALLEL_EVERY: usize = 31;

/// Two branches: the first is imported whole, then the second, which is longer.
struct Plan {
    short: TestChain,
    long: TestChain,
    /// Number of their last common block.
    common: u64,
    /// The first branch, then what the second one has of its own.
    blocks: Vec<PreparedBlock>,
}

/// What became of an import.
#[derive(Debug)]
struct Ended {
    failure: Option<ImportError>,
    /// As the chain tells it after the failure, or at the end; `None` if it did not begin.
    durable: Option<Head>,
    /// Of a chain that was durable beyond the block that it left.
    has_unwound: bool,
}

fn options(mode: Mode, executor: &Executor) -> ChainOptions {
    ChainOptions {
        retention: Retention::Full { window: WINDOW },
        batch_blocks_max: BATCH,
        ..ChainOptions::new(mode, executor.threads())
    }
}

fn executor(threads: usize) -> Arc<Executor> {
    Arc::new(Executor::new(threads).expect("threads"))
}

impl Plan {
    fn new() -> Self {
        let (fork, blocks, transactions) = (Fork::Shanghai, 7, 3);
        let recipe = Recipe { seed: 0xfa17, fork, blocks, transactions, shared: 5, branch: 1 };
        let short = TestChain::new(&recipe);
        let long = TestChain::new(&Recipe { blocks: 11, branch: 2, ..recipe });
        let common = short.fork_with(&long);
        let store = Store::memory(Faults::none());
        let mut plan = Self { short, long, common, blocks: Vec::new() };
        let chain = plan.begin(store, Mode::Seq, &executor(1)).expect("nothing fails");
        let own = plan.long.blocks.iter().filter(|block| block.block().header.number > common);
        let all = plan.short.blocks.iter().chain(own);
        let prepared = all.map(|block| chain.preparer().prepare(block.clone()));
        plan.blocks = prepared.collect::<Result<_, _>>().expect("good blocks");
        plan
    }

    fn begin(
        &self,
        store: Store,
        mode: Mode,
        executor: &Arc<Executor>,
    ) -> Result<Chain, ImportError> {
        let genesis = &self.long.genesis;
        Chain::init(&store, genesis)?;
        let options = options(mode, executor);
        Chain::with_executor(store, genesis.chain.clone(), options, executor.clone())
    }

    /// Imports everything, also after a failure.
    fn import(&self, store: Store, mode: Mode, executor: &Arc<Executor>, told: &str) -> Ended {
        let mut ended = Ended { failure: None, durable: None, has_unwound: false };
        let mut chain = match self.begin(store, mode, executor) {
            Ok(chain) => chain,
            Err(error) => {
                ended.note(Err(error), told);
                return ended;
            }
        };
        ended.durable = Some(chain.durable());
        for (index, block) in self.blocks.iter().enumerate() {
            if index == self.short.blocks.len() {
                let flushed = chain.flush();
                ended.step(&chain, flushed, told);
            }
            let before = chain.durable().number;
            let imported = chain.import_prepared(block.clone());
            if let Ok(imported) = imported
                && imported.place == Place::Reorganised
            {
                ended.has_unwound |= before > self.common;
            }
            ended.step(&chain, imported.map(|imported| imported.durable), told);
        }
        let flushed = chain.flush();
        ended.step(&chain, flushed, told);
        ended
    }

    fn has(&self, head: Head) -> bool {
        self.short.has(head) || self.long.has(head)
    }
}

impl Ended {
    /// Looks at what a call gave.
    fn note(&mut self, done: Result<Option<Head>, ImportError>, told: &str) {
        match (done, self.failure.clone()) {
            (Ok(durable), Some(first)) => {
                assert_eq!(durable, None, "{told}: written after a failure: {first}");
            }
            (Ok(_), None) => {}
            // Later blocks may lack their parent; but nothing can be said about any block.
            (Err(error), Some(first)) => {
                let is_invalid = matches!(error, ImportError::Invalid { .. });
                assert!(!is_invalid, "{told}: after {first}: {error}");
            }
            (Err(error), None) => {
                let is_ours = matches!(
                    error,
                    ImportError::Storage(_) | ImportError::State(_) | ImportError::Trie(_)
                );
                assert!(is_ours, "{told}: {error}");
                self.failure = Some(error);
            }
        }
    }

    /// As [`Ended::note`]; after a failure the chain stays where it is.
    fn step(&mut self, chain: &Chain, done: Result<Option<Head>, ImportError>, told: &str) {
        let has_failed = self.failure.is_some();
        self.note(done, told);
        let durable = Some(chain.durable());
        if has_failed {
            assert_eq!(durable, self.durable, "{told}: {:?}", self.failure);
        }
        self.durable = durable;
    }
}

/// Operations of an import without failures. The chain of these tests is what it should be.
fn count(plan: &Plan) -> u64 {
    let faults = Faults::counted();
    let ended = plan.import(Store::memory(faults.clone()), Mode::Seq, &executor(1), "no failure");
    assert_eq!(ended.failure, None);
    assert_eq!(ended.durable, Some(plan.long.head()));
    assert!(ended.has_unwound, "what was durable is left for another branch");
    let operations = faults.operations();
    assert!(operations > 500, "only {operations} operations");
    operations
}

fn has_code(state: &MemoryState, address: &Address) -> bool {
    state.accounts.get(address).is_some_and(|found| found.account.has_code())
}

#[test]
fn the_chain_of_these_tests_creates_and_destroys() {
    let plan = Plan::new();
    let (short, long) = (plan.short.head().number, plan.long.head().number);
    assert!((10..=15).contains(&long), "{long} blocks");
    assert!(short - plan.common <= WINDOW, "the state at the common block is kept");
    let (mut created, mut destroyed) = (0, 0);
    for chain in [&plan.short, &plan.long] {
        let replayed = Replayed::new(chain);
        for pair in replayed.states.windows(2) {
            let [before, after] = pair else { continue };
            let contracts = after.accounts.keys().filter(|address| has_code(after, address));
            created += contracts.filter(|key| !before.accounts.contains_key(*key)).count();
            let contracts = before.accounts.keys().filter(|address| has_code(before, address));
            destroyed += contracts.filter(|address| !has_code(after, address)).count();
        }
    }
    assert!(created >= 4 && destroyed >= 2, "{created} created, {destroyed} destroyed");
}

#[test]
fn no_failure_of_the_store_is_reported_as_an_invalid_block() {
    let plan = Plan::new();
    let operations = count(&plan);
    let worker = |first: u64| {
        let executor = executor(1);
        let mut failed = 0_u64;
        for n in (first..operations).step_by(WORKERS.len()) {
            let (told, faults) = (format!("operation {n} of {operations}"), Faults::at(n));
            let store = Store::memory(faults.clone());
            let ended = plan.import(store, Mode::Seq, &executor, &told);
            let is_expected = faults.operations() > n;
            assert_eq!(ended.failure.is_some(), is_expected, "{told}: {ended:?}");
            failed += u64::from(is_expected);
        }
        failed
    };
    let failed: u64 = std::thread::scope(|scope| {
        let worker = &worker;
        let workers = WORKERS.map(|first| scope.spawn(move || worker(first)));
        workers.into_iter().map(|worker| worker.join().expect("told above")).sum::<u64>()
    });
    // The order of reads, and so their number, may differ a little from run to run.
    assert!(failed > operations * 9 / 10, "{failed} of {operations} failed");
}

#[test]
fn parallel_execution_does_not_take_a_failure_for_an_invalid_block() {
    let plan = Plan::new();
    let operations = count(&plan);
    let executor = executor(2);
    let (mut tried, mut failed) = (0, 0);
    for n in (0..operations).step_by(PARALLEL_EVERY) {
        let (told, faults) = (format!("operation {n} of {operations}"), Faults::at(n));
        let store = Store::memory(faults.clone());
        let ended = plan.import(store, Mode::Occ, &executor, &told);
        tried += 1;
        if ended.failure.is_some() {
            failed += 1;
            assert!(faults.operations() > n, "{told}: {ended:?}");
        } else {
            assert_eq!(ended.durable, Some(plan.long.head()), "{told}");
        }
    }
    // A parallel run may read less often.
    assert!(failed * 2 > tried, "{failed} of {tried} failed");
}

#[test]
fn after_a_failure_the_folder_holds_a_whole_chain_that_goes_on() {
    let plan = Plan::new();
    let operations = count(&plan);
    let executor = executor(1);
    for n in (0..operations).step_by(FOLDER_EVERY) {
        let folder = tempfile::tempdir().expect("a folder");
        let (told, faults) = (format!("operation {n} of {operations}"), Faults::at(n));
        let options = StoreOptions { faults: faults.clone(), ..write() };
        let ended = match Store::open(folder.path(), options) {
            Ok(store) => Some(plan.import(store, Mode::Seq, &executor, &told)),
            Err(error) => {
                assert!(matches!(error, StorageError::Injected(_)), "{told}: {error}");
                None
            }
        };
        if let Some(ended) = &ended {
            assert_eq!(ended.failure.is_some(), faults.operations() > n, "{told}: {ended:?}");
        }
        let durable = ended.as_ref().and_then(|ended| ended.durable);
        let told = format!("{told}: {ended:?}");
        go_on(&plan, folder.path(), durable, &executor, &told);
    }
}

fn write() -> StoreOptions {
    StoreOptions::new(Access::Write, 1)
}

/// Opens the folder without faults, looks at it, and imports the longer branch to its end.
fn go_on(plan: &Plan, path: &Path, durable: Option<Head>, executor: &Arc<Executor>, told: &str) {
    let store = Store::open(path, write()).unwrap_or_else(|error| panic!("{told}: {error}"));
    let mut chain = plan.begin(store, Mode::Seq, executor).expect("nothing fails");
    let head = chain.head();
    assert!(plan.has(head), "{told}: the head is {head:?}");
    let genesis = Head { number: 0, hash: plan.long.hash(0) };
    // If the failure came between unwinding and telling of it, the head is the common block.
    let is_common = head.number == plan.common;
    assert!(is_common || head == durable.unwrap_or(genesis), "{told}: the head is {head:?}");
    verify(&chain.store().snapshot().expect("nothing fails"), told);
    for block in &plan.long.blocks {
        let imported = chain.import(block.clone());
        imported.unwrap_or_else(|error| panic!("{told}: head {head:?}: {error}"));
    }
    chain.flush().unwrap_or_else(|error| panic!("{told}: {error}"));
    assert_eq!(chain.head(), plan.long.head(), "{told}");
    assert_eq!(chain.durable(), plan.long.head(), "{told}");
    verify(&chain.store().snapshot().expect("nothing fails"), told);
}
