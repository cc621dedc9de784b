//! What the tests of the engine share: an engine on a generated chain whose calls are waited for,
//! the folder that it leaves, and two branches.
//!
//! Nothing here sleeps. A call that is not answered, and an engine that does not stop, fail the
//! test after a while.

use crate::{
    import_support::{Recipe, Replayed, TestChain, verify},
    support::in_time,
};
use fugue_chain::{
    BuildAttributes, BuiltPayload, Chain, ChainOptions, ChainView, Engine, EngineError,
    EngineOptions, EngineStatus, EngineThread, Forkchoice, ForkchoiceVerdict, Genesis, Head,
    ImportError, PayloadId, PayloadVerdict, Refusal, Reply, pool_head,
};
use fugue_chainspec::Fork;
use fugue_executor::Mode;
use fugue_state::{MemoryState, StateView};
use fugue_storage::{Access, Faults, LOCK_FILE, Store, StoreOptions};
use fugue_txpool::{Pool, PoolOptions};
use fugue_types::{Address, B256, Header, SealedBlock, U256, Withdrawal, keccak256};
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{
        Arc, LazyLock,
        mpsc::{self, Receiver, Sender},
    },
    time::Duration,
};
use tempfile::TempDir;

/// Longest that a call may take; what is answered at all is answered in a fraction of it.
const HANG: Duration = Duration::from_secs(60);

/// Two chains with the same beginning.
pub(crate) struct Branches {
    pub(crate) one: TestChain,
    /// The longer one.
    pub(crate) two: TestChain,
    /// Number of their last common block.
    pub(crate) common: u64,
    pub(crate) of_one: Replayed,
    pub(crate) of_two: Replayed,
}

/// Contracts come, go and come again on both.
pub(crate) static BRANCHES: LazyLock<Branches> = LazyLock::new(|| {
    let (fork, blocks, transactions) = (Fork::Shanghai, 12, 3);
    let recipe = Recipe { seed: 0xe9e, fork, blocks, transactions, shared: 5, branch: 1 };
    let one = TestChain::new(&recipe);
    let two = TestChain::new(&Recipe { blocks: 15, branch: 2, ..recipe });
    let common = one.fork_with(&two);
    let (of_one, of_two) = (Replayed::new(&one), Replayed::new(&two));
    Branches { one, two, common, of_one, of_two }
});

impl Branches {
    /// The blocks that only the first chain has.
    pub(crate) fn own_of_one(&self) -> &[SealedBlock] {
        &self.one.blocks[index(self.common)..]
    }

    /// The blocks that only the second chain has.
    pub(crate) fn own_of_two(&self) -> &[SealedBlock] {
        &self.two.blocks[index(self.common)..]
    }

    /// The chain of this head.
    #[track_caller]
    pub(crate) fn chain_of(&self, head: Head) -> &TestChain {
        let mut chains = [&self.one, &self.two].into_iter();
        chains.find(|chain| chain.has(head)).unwrap_or_else(|| panic!("{head:?} is of no chain"))
    }
}

/// A number of a block as an index.
pub(crate) fn index(number: u64) -> usize {
    usize::try_from(number).expect("few blocks")
}

/// How a node works.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub(crate) chain: ChainOptions,
    pub(crate) engine: EngineOptions,
}

impl Setup {
    /// With one thread and batches of so many blocks. A build begins with what the pool has, and
    /// ends when it is asked for, or when another begins.
    pub(crate) fn new(batch: usize) -> Self {
        let following = ChainOptions::following(Mode::Seq, 1);
        let engine = EngineOptions {
            build_mode: Mode::Seq,
            build_time: Duration::from_secs(3_600),
            builds_empty_first: false,
            build_interval: Duration::from_millis(1),
            ..EngineOptions::default()
        };
        Self { chain: ChainOptions { batch_blocks_max: batch, ..following }, engine }
    }
}

/// A folder for the data of a node, which goes with this value.
#[derive(Debug)]
pub(crate) struct Folder {
    folder: TempDir,
}

impl Folder {
    pub(crate) fn new() -> Self {
        let folder = Self { folder: tempfile::tempdir().expect("a folder") };
        std::fs::create_dir(folder.log()).expect("a folder");
        folder
    }

    /// Where the store lies.
    pub(crate) fn store(&self) -> PathBuf {
        self.folder.path().join("db")
    }

    /// Where the journal lies.
    pub(crate) fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.log().join("journal")
    }

    /// What a process leaves in it that is killed. Nothing may be on its way to the store.
    pub(crate) fn copy(&self) -> Self {
        let copy = Self::new();
        std::fs::copy(self.journal(), copy.journal()).expect("a journal");
        std::fs::create_dir(copy.store()).expect("a folder");
        for entry in self.store().read_dir().expect("a store") {
            let path = entry.expect("a readable folder").path();
            let name = path.file_name().expect("a file").to_string_lossy().into_owned();
            // Locks belong to a process.
            if name != LOCK_FILE && !name.ends_with(".lck") {
                std::fs::copy(&path, copy.store().join(name)).expect("room");
            }
        }
        copy
    }

    /// The store holds the chain up to this head and its states, and nothing is wrong with it.
    pub(crate) fn check(&self, chain: &TestChain, replayed: &Replayed, head: Head, told: &str) {
        let store = Store::open(&self.store(), StoreOptions::new(Access::Read, 1));
        let store = store.unwrap_or_else(|error| panic!("{told}: {error}"));
        let snapshot = store.snapshot().unwrap_or_else(|error| panic!("{told}: {error}"));
        assert_eq!(snapshot.meta().head, head, "{told}");
        assert!(chain.has(head), "{told}: {head:?} is of another chain");
        verify(&snapshot, told);
        replayed.check(&snapshot, 0..=head.number, told);
    }
}

/// A call that waits for its answer.
#[derive(Debug)]
pub(crate) struct Asked<T>(Receiver<T>);

impl<T: Send + 'static> Asked<T> {
    pub(crate) fn of(call: impl FnOnce(Reply<T>)) -> Self {
        let (sender, receiver) = mpsc::channel();
        call(Box::new(move |answer: T| {
            // Nobody listens any longer only if the test has failed.
            sender.send(answer).ok();
        }));
        Self(receiver)
    }

    #[track_caller]
    pub(crate) fn answer(self) -> T {
        self.0.recv_timeout(HANG).unwrap_or_else(|error| panic!("there is no answer: {error}"))
    }
}

/// Holds the thread of the chain until it is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    _release: Sender<()>,
}

/// A running engine.
#[derive(Debug)]
pub(crate) struct Node {
    engine: Engine,
    /// Taken when it is stopped.
    thread: Option<EngineThread>,
    /// Builds that were begun.
    builds: RefCell<Vec<PayloadId>>,
}

impl Drop for Node {
    fn drop(&mut self) {
        // A test that has failed leaves its engine to the end of the process.
        if !std::thread::panicking() && self.thread.is_some() {
            let ended = self.end();
            assert!(ended.is_ok(), "the engine did not end well: {ended:?}");
        }
    }
}

impl Node {
    /// On a store; its chain is begun if there is none.
    pub(crate) fn open(
        store: Store,
        journal: Option<PathBuf>,
        genesis: &Genesis,
        setup: &Setup,
    ) -> Result<Self, ImportError> {
        Chain::init(&store, genesis)?;
        let chain = Chain::open(store, genesis.chain.clone(), setup.chain)?;
        let number = chain.head().number;
        let (hash, header) = chain.store().snapshot()?.header(number)?;
        let head = pool_head(&genesis.chain, hash, &header);
        let pool = Arc::new(Pool::new(PoolOptions::default(), head));
        let options = EngineOptions { journal, ..setup.engine.clone() };
        let (engine, thread) = Engine::start(chain, pool, options)?;
        Ok(Self { engine, thread: Some(thread), builds: RefCell::default() })
    }

    /// In memory, at the genesis of the chain, without a journal.
    pub(crate) fn in_memory(chain: &TestChain, setup: &Setup) -> Self {
        let store = Store::memory(Faults::none());
        Self::open(store, None, &chain.genesis, setup).expect("a good store")
    }

    /// On a folder, at the genesis of the chain, or where the folder stands.
    pub(crate) fn on(folder: &Folder, chain: &TestChain, setup: &Setup) -> Self {
        let options = StoreOptions::new(Access::Write, setup.chain.threads);
        let store = Store::open(&folder.store(), options).expect("a good folder");
        let journal = Some(folder.journal());
        Self::open(store, journal, &chain.genesis, setup).expect("a good store")
    }

    pub(crate) const fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Must be dropped before the folder is opened again.
    pub(crate) fn view(&self) -> Arc<ChainView> {
        self.engine.view()
    }

    pub(crate) fn status(&self) -> EngineStatus {
        self.engine.status()
    }

    /// Head, safe and finalized.
    pub(crate) fn marks(&self) -> (Head, Option<Head>, Option<Head>) {
        let view = self.view();
        (view.head(), view.safe(), view.finalized())
    }

    /// Whether a block is there, on the chain or beside it.
    pub(crate) fn has(&self, hash: B256) -> bool {
        self.view().block_by_hash(hash).expect("a good store").is_some()
    }

    pub(crate) fn new_payload(&self, block: &SealedBlock) -> Result<PayloadVerdict, EngineError> {
        self.begin_payload(block).answer()
    }

    pub(crate) fn begin_payload(
        &self,
        block: &SealedBlock,
    ) -> Asked<Result<PayloadVerdict, EngineError>> {
        let block = block.clone();
        Asked::of(|reply| self.engine.new_payload(block, Duration::ZERO, reply))
    }

    pub(crate) fn forkchoice(&self, state: Forkchoice) -> Result<ForkchoiceVerdict, EngineError> {
        self.begin_forkchoice(state).answer()
    }

    pub(crate) fn begin_forkchoice(
        &self,
        state: Forkchoice,
    ) -> Asked<Result<ForkchoiceVerdict, EngineError>> {
        Asked::of(|reply| self.engine.forkchoice(state, None, reply))
    }

    pub(crate) fn forkchoice_with(
        &self,
        state: Forkchoice,
        attributes: Result<BuildAttributes, EngineError>,
    ) -> Result<ForkchoiceVerdict, EngineError> {
        let asked = Asked::of(|reply| self.engine.forkchoice(state, Some(attributes), reply));
        let verdict = asked.answer();
        if let Ok(ForkchoiceVerdict::Valid(Some(id))) = verdict {
            self.builds.borrow_mut().push(id);
        }
        verdict
    }

    pub(crate) fn payload(&self, id: PayloadId) -> Result<Arc<BuiltPayload>, EngineError> {
        Asked::of(|reply| self.engine.payload(id, reply)).answer()
    }

    pub(crate) fn reconsider(&self, hash: B256) -> Result<bool, EngineError> {
        Asked::of(|reply| self.engine.reconsider(hash, reply)).answer()
    }

    /// Blocks are sent, and are valid.
    #[track_caller]
    pub(crate) fn send(&self, blocks: &[SealedBlock]) {
        for block in blocks {
            let number = block.block().header.number;
            assert_eq!(self.new_payload(block), Ok(PayloadVerdict::Valid), "block {number}");
        }
    }

    /// The chain of a block that is there becomes the chain.
    #[track_caller]
    pub(crate) fn choose(&self, state: Forkchoice) {
        assert_eq!(self.forkchoice(state), Ok(ForkchoiceVerdict::Valid(None)), "{state:?}");
    }

    /// Blocks are sent, and each becomes the head.
    #[track_caller]
    pub(crate) fn follow(&self, blocks: &[SealedBlock]) {
        for block in blocks {
            self.send(std::slice::from_ref(block));
            self.choose(choice(block.hash()));
        }
    }

    /// Begins a build on a block that is there.
    #[track_caller]
    pub(crate) fn begin_build(&self, state: Forkchoice, attributes: &BuildAttributes) -> PayloadId {
        match self.forkchoice_with(state, Ok(attributes.clone())) {
            Ok(ForkchoiceVerdict::Valid(Some(id))) => id,
            answer => panic!("{state:?}: {answer:?}"),
        }
    }

    /// A block of what the pool has. Nothing may have been built with these attributes before.
    #[track_caller]
    pub(crate) fn build(
        &self,
        state: Forkchoice,
        attributes: &BuildAttributes,
    ) -> Arc<BuiltPayload> {
        let id = self.begin_build(state, attributes);
        self.payload(id).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Asks the engine how it is until that is so.
    pub(crate) fn until(
        &self,
        what: &str,
        is_so: impl Fn(&EngineStatus) -> bool + Send + 'static,
    ) -> EngineStatus {
        let engine = self.engine.clone();
        in_time(what, move || {
            loop {
                // Every call makes the thread of the chain look around.
                let looked = Asked::of(|reply| engine.reconsider(B256::ZERO, reply)).answer();
                assert_eq!(looked, Ok(false));
                let status = engine.status();
                if is_so(&status) {
                    return status;
                }
                std::thread::yield_now();
            }
        })
    }

    /// Waits until nothing is on its way to the store.
    pub(crate) fn settled(&self) -> EngineStatus {
        self.until("making blocks durable", |status| !status.is_persisting)
    }

    /// The thread of the chain waits until what this gives is dropped.
    pub(crate) fn hold(&self) -> Held {
        let (entered, is_entered) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let reply = Box::new(move |_: Result<bool, EngineError>| {
            entered.send(()).ok();
            // It is only ever dropped.
            released.recv().ok();
        });
        self.engine.reconsider(B256::ZERO, reply);
        is_entered.recv_timeout(HANG).expect("the thread of the chain comes to it");
        Held { _release: release }
    }

    pub(crate) fn stop(mut self) -> Result<Head, ImportError> {
        self.end()
    }

    fn end(&mut self) -> Result<Head, ImportError> {
        for id in self.builds.take() {
            // A build that is asked for is not made better.
            drop(Asked::of(|reply| self.engine.payload(id, reply)));
        }
        let thread = self.thread.take().expect("it is stopped once");
        in_time("stopping", move || thread.stop())
    }
}

/// A head, and nothing about what is safe or final.
pub(crate) fn choice(head: B256) -> Forkchoice {
    Forkchoice { head, ..Forkchoice::default() }
}

/// The block with another header.
pub(crate) fn changed(block: &SealedBlock, change: impl FnOnce(&mut Header)) -> SealedBlock {
    let mut block = block.block().clone();
    change(&mut block.header);
    SealedBlock::seal(block)
}

/// The block on another parent.
pub(crate) fn moved(block: &SealedBlock, parent: &SealedBlock) -> SealedBlock {
    changed(block, |header| header.parent_hash = parent.hash())
}

/// Why it is invalid.
#[track_caller]
pub(crate) fn refused(verdict: Result<PayloadVerdict, EngineError>) -> Refusal {
    match verdict {
        Ok(PayloadVerdict::Invalid(refusal)) => refusal,
        other => panic!("not invalid: {other:?}"),
    }
}

/// Breaks one rule.
type Change = fn(&mut Header);

/// Ways to break a block of any fork since London, and what they are about.
pub(crate) const WRONGS: [(&str, Change); 9] = [
    ("state root", |header| header.state_root = B256::repeat_byte(1)),
    ("receipts root", |header| header.receipts_root = B256::repeat_byte(2)),
    ("logs bloom", |header| header.logs_bloom.0[7] ^= 0x55),
    ("gas used", |header| header.gas_used += 1),
    ("extra data", |header| header.extra_data = vec![7; 33].into()),
    ("timestamp", |header| header.timestamp = 0),
    ("number", |header| header.number += 1),
    ("base fee", |header| header.base_fee_per_gas = header.base_fee_per_gas.map(|fee| fee + 1)),
    ("gas limit", |header| header.gas_limit *= 2),
];

/// Attributes of a child of this block, by its fork.
pub(crate) fn attributes_on(parent: &Header) -> BuildAttributes {
    let withdrawal = Withdrawal {
        index: 7_000,
        validator_index: 77,
        address: Address::repeat_byte(0x77),
        amount: 3,
    };
    BuildAttributes {
        timestamp: parent.timestamp + 12,
        prev_randao: keccak256(parent.number.to_be_bytes()),
        fee_recipient: Address::repeat_byte(0xfe),
        withdrawals: parent.withdrawals_root.map(|_| vec![withdrawal]),
        parent_beacon_block_root: parent.parent_beacon_block_root.map(keccak256),
        slot_number: parent.slot_number.map(|slot| slot + 1),
        target_gas_limit: None,
    }
}

/// The view gives all blocks, receipts and states of the chain up to its head, and none above.
pub(crate) fn check_view(view: &ChainView, chain: &TestChain, replayed: &Replayed, told: &str) {
    let head = view.head();
    assert!(chain.has(head), "{told}: the head is {head:?}");
    let keys = replayed.keys();
    for number in 0..=head.number {
        let told = format!("{told}: block {number}");
        let (block, hash) = (chain.block(number).block(), chain.hash(number));
        let header = view.header(number).unwrap_or_else(|error| panic!("{told}: {error}"));
        assert_eq!(header, Some((hash, block.header.clone())), "{told}");
        let found = view.block(number).unwrap_or_else(|error| panic!("{told}: {error}"));
        assert_eq!(found.map(|found| (found.hash, found.body)), Some((hash, block.body.clone())));
        assert_eq!(view.number(hash), Ok(Some(number)), "{told}");
        let receipts = replayed.receipts[index(number)].clone();
        assert_eq!(view.receipts(number), Ok(Some(receipts)), "{told}");
        let expected = &replayed.states[index(number)];
        let looked = view.with_state(number, |state| {
            check_state(state, expected, &keys, &told);
            assert_eq!(state.block_hash(number), Ok(hash), "{told}");
        });
        assert_eq!(looked, Ok(Some(())), "{told}");
    }
    let above = head.number + 1;
    assert_eq!(view.header(above), Ok(None), "{told}");
    assert_eq!(view.with_state(above, |_| ()), Ok(None), "{told}");
}

fn check_state(
    found: &dyn StateView,
    expected: &MemoryState,
    keys: &BTreeMap<Address, BTreeSet<U256>>,
    told: &str,
) {
    for (address, slots) in keys {
        let address = *address;
        let account = expected.account(address);
        assert_eq!(found.account(address), account, "{told}: {address}");
        let has_storage = expected.has_storage(address);
        assert_eq!(found.has_storage(address), has_storage, "{told}: {address}");
        if let Ok(Some(account)) = account
            && account.has_code()
        {
            let code = expected.code(account.code_hash);
            assert_eq!(found.code(account.code_hash), code, "{told}: {address}");
        }
        for slot in slots {
            let value = expected.slot(address, *slot);
            assert_eq!(found.slot(address, *slot), value, "{told}: {address}: slot {slot}");
        }
    }
}
