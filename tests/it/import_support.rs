//! What the tests of stored chains share: generated chains and their files, the same chains
//! executed in another way, and the program on a data folder.

use crate::support::{in_time, program};
use fugue_archive::write_rlp;
use fugue_chain::{Genesis, Head};
use fugue_chainspec::Fork;
use fugue_executor::{Executor, Mode, Scope};
use fugue_state::{MemoryState, StateView};
use fugue_storage::{Access, Snapshot, Store, StoreOptions, Verified};
use fugue_types::{Address, B256, ReceiptEnvelope, SealedBlock, U256};
use fugue_workload::{
    BLOCK_GAS_LIMIT, BlockPlan, Call, Forge, Grant, Market, MarketSize, Props, Rng, Scenario,
    Script, Tiny, bytecode,
};
use serde_json::{Map, Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    fmt,
    ops::RangeInclusive,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::LazyLock,
};
use tempfile::TempDir;

/// Fee recipient of the first blocks, and of the genesis.
const AUTHOR: Address = Address::repeat_byte(0xfe);
/// Senders of transactions.
pub(crate) const USERS: usize = 8;
/// Timestamp of the genesis.
const GENESIS_TIME: u64 = 1_700_000_000;
/// Difficulty of the genesis of a chain with proof of work.
const DIFFICULTY: u64 = 0x2_0000;
/// What a genesis file calls the forks.
const SINCE: [(&str, Fork); 16] = [
    ("homesteadBlock", Fork::Homestead),
    ("eip150Block", Fork::Tangerine),
    ("eip155Block", Fork::SpuriousDragon),
    ("eip158Block", Fork::SpuriousDragon),
    ("byzantiumBlock", Fork::Byzantium),
    ("constantinopleBlock", Fork::Constantinople),
    ("petersburgBlock", Fork::Petersburg),
    ("istanbulBlock", Fork::Istanbul),
    ("berlinBlock", Fork::Berlin),
    ("londonBlock", Fork::London),
    ("terminalTotalDifficulty", Fork::Paris),
    ("shanghaiTime", Fork::Shanghai),
    ("cancunTime", Fork::Cancun),
    ("pragueTime", Fork::Prague),
    ("osakaTime", Fork::Osaka),
    ("amsterdamTime", Fork::Amsterdam),
];

/// What a generated chain is like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Recipe {
    pub(crate) seed: u64,
    /// The fork that holds from genesis on.
    pub(crate) fork: Fork,
    /// Blocks after the one, from Byzantium on, that deploys contracts.
    pub(crate) blocks: usize,
    /// Transactions of each.
    pub(crate) transactions: usize,
    /// So many of the blocks are the same in every branch.
    pub(crate) shared: usize,
    /// What comes after them.
    pub(crate) branch: u64,
}

impl Recipe {
    /// A chain that has no other branches.
    pub(crate) const fn new(seed: u64, fork: Fork, blocks: usize, transactions: usize) -> Self {
        Self { seed, fork, blocks, transactions, shared: blocks, branch: 0 }
    }
}

/// Storage is created, destroyed and created again; a hundred blocks.
pub(crate) static DESTRUCTIVE: LazyLock<TestChain> =
    LazyLock::new(|| TestChain::new(&Recipe::new(0xdead, Fork::Shanghai, 99, 3)));
/// Transactions of every type, and block access lists.
pub(crate) static MODERN: LazyLock<TestChain> =
    LazyLock::new(|| TestChain::new(&Recipe::new(0x30de, Fork::Amsterdam, 40, 4)));
/// Receipts hold state roots, and blocks a difficulty.
pub(crate) static OLD: LazyLock<TestChain> =
    LazyLock::new(|| TestChain::new(&Recipe::new(0x01d, Fork::SpuriousDragon, 40, 3)));
/// Small blocks, so many that an import takes a while.
pub(crate) static LONG: LazyLock<TestChain> =
    LazyLock::new(|| TestChain::new(&Recipe::new(0x1046, Fork::Osaka, 400, 2)));

/// A generated chain.
#[derive(Debug)]
pub(crate) struct TestChain {
    /// The genesis file.
    pub(crate) json: Vec<u8>,
    pub(crate) genesis: Genesis,
    /// Block 0.
    pub(crate) first: SealedBlock,
    /// The blocks after it.
    pub(crate) blocks: Vec<SealedBlock>,
}

impl TestChain {
    pub(crate) fn new(recipe: &Recipe) -> Self {
        Self::of_scenario(scenario(recipe))
    }

    /// The setup of a scenario in one block, and its blocks.
    pub(crate) fn of_scenario(scenario: Scenario) -> Self {
        let json = genesis_json(&scenario).to_string().into_bytes();
        let genesis = Genesis::from_json(&json).expect("a good genesis file");
        let first = genesis.block(scenario.genesis.root());
        let header = first.block().header.clone();
        let forge = Forge::new(genesis.chain.clone(), genesis.state.clone(), header.clone(), 1);
        let mut forge = forge.expect("a thread");
        let Scenario { name, setup, blocks, .. } = scenario;
        assert_eq!(*forge.head(), header, "{name}: the state of the file is another one");
        let (beneficiary, withdrawals, gas_limit) = (AUTHOR, Vec::new(), BLOCK_GAS_LIMIT);
        let setup = BlockPlan { transactions: setup, beneficiary, withdrawals, gas_limit };
        let setup = (!setup.transactions.is_empty()).then_some(setup);
        let forged = setup.iter().chain(&blocks).map(|plan| {
            let forged = forge.add(plan);
            forged.unwrap_or_else(|error| panic!("{name}: {error}")).block
        });
        let blocks = forged.collect();
        Self { json, genesis, first, blocks }
    }

    /// So many blocks of a market, and the state after the last one.
    pub(crate) fn of_market(seed: u64, size: &MarketSize, blocks: usize) -> (Self, MemoryState) {
        let mut market = Market::new(seed, size);
        let mut json = market.genesis_json();
        json["alloc"] = alloc(&market.genesis_state()).into();
        let json = json.to_string().into_bytes();
        let genesis = Genesis::from_json(&json).expect("a good genesis file");
        let header = genesis.header(B256::ZERO);
        let forge = Forge::new(genesis.chain.clone(), genesis.state.clone(), header, 1);
        let mut forge = forge.expect("a thread");
        let first = genesis.block(forge.head().state_root);
        let forged = (0..blocks).map(|_| forge.add(&market.next_block()).expect("a good block"));
        let blocks = forged.map(|forged| forged.block).collect();
        (Self { json, genesis, first, blocks }, forge.state().clone())
    }

    /// The block with this number.
    pub(crate) fn block(&self, number: u64) -> &SealedBlock {
        match number.checked_sub(1) {
            None => &self.first,
            Some(index) => &self.blocks[usize::try_from(index).expect("few blocks")],
        }
    }

    pub(crate) fn hash(&self, number: u64) -> B256 {
        self.block(number).hash()
    }

    /// Whether a head is one of this chain's blocks.
    pub(crate) fn has(&self, head: Head) -> bool {
        head.number <= self.head().number && self.hash(head.number) == head.hash
    }

    /// The last block.
    pub(crate) fn head(&self) -> Head {
        let number = self.blocks.len() as u64;
        Head { number, hash: self.hash(number) }
    }

    /// The number of the last block that two chains have in common.
    pub(crate) fn fork_with(&self, other: &Self) -> u64 {
        let pairs = self.blocks.iter().zip(&other.blocks);
        pairs.take_while(|(one, other)| one.hash() == other.hash()).count() as u64
    }

    /// A file of all blocks.
    pub(crate) fn rlp(&self) -> Vec<u8> {
        rlp(&self.blocks)
    }
}

/// A file of blocks.
pub(crate) fn rlp(blocks: &[SealedBlock]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for block in blocks {
        write_rlp(&mut bytes, block.block()).expect("memory takes it");
    }
    bytes
}

fn scenario(recipe: &Recipe) -> Scenario {
    let Recipe { seed, fork, blocks, transactions, shared, branch } = *recipe;
    let mut script = Script::new("import", "blocks to be imported", seed, fork);
    let mut rng = script.stream("shared");
    let own = script.stream(&format!("branch {branch}"));
    let tiny = Tiny::place(&mut script);
    let props = script.has(Fork::Byzantium).then(|| Props::deploy(&mut script));
    let users = script.users(USERS);
    let mut others: Vec<Address> = users.iter().map(|user| user.address()).collect();
    others.extend([tiny.forwarder, tiny.counter]);
    others.extend(&tiny.killers);
    let stage = Stage { tiny, props, others };
    for block in 0..blocks {
        if block == shared {
            rng = own.clone();
        }
        script.send(rng.pick(&users), stage.in_turn(block, &mut rng));
        for _ in 1..transactions {
            let (user, call) = (rng.pick(&users), stage.any(&mut rng));
            if script.has(Fork::Prague) && rng.chance(10) {
                let grant = Grant::To(rng.pick(&users), stage.tiny.counter);
                script.delegate(user, &[grant], call);
            } else if script.has(Fork::Cancun) && rng.chance(10) {
                script.send(user, call.blobs(1));
            } else {
                script.send(user, call);
            }
        }
        let others = &stage.others;
        let beneficiary = if block == 0 || rng.chance(50) { AUTHOR } else { rng.pick(others) };
        let withdrawals = [(rng.pick(others), rng.below(3))];
        script.block_with(beneficiary, &withdrawals);
    }
    script.end(AUTHOR)
}

/// What transactions may use.
struct Stage {
    tiny: Tiny,
    props: Option<Props>,
    others: Vec<Address>,
}

impl Stage {
    /// A creation, a contract that destroys itself, and one that may come again.
    fn in_turn(&self, block: usize, rng: &mut Rng) -> Call {
        let one = rng.pick(&self.others);
        match block % 3 {
            0 => {
                let code = bytecode::deploy_after(&bytecode::store(0, 7), &bytecode::counter());
                Call::create(code).value(U256::from(rng.below(5)))
            }
            1 => self.tiny.kill(rng, one),
            _ => {
                let call = self.props.and_then(|props| props.rise_or_fall(rng, one));
                call.unwrap_or_else(|| self.tiny.make(rng))
            }
        }
    }

    /// A call of an account or a contract.
    fn any(&self, rng: &mut Rng) -> Call {
        let one = rng.pick(&self.others);
        match (rng.below(10), self.props) {
            (0..=2, _) => {
                let to = if rng.chance(50) { one } else { rng.address() };
                Call::transfer(to, U256::from(rng.below(1_000_000)))
            }
            (3..=6, Some(props)) => props.anything(rng, &self.others),
            _ => self.tiny.anything(rng, &self.others),
        }
    }
}

/// The genesis in geth's format.
fn genesis_json(scenario: &Scenario) -> Value {
    let mut config = Map::new();
    config.insert("chainId".to_owned(), scenario.chain_id.into());
    for (name, since) in SINCE {
        if scenario.fork >= since {
            config.insert(name.to_owned(), 0.into());
        }
    }
    let alloc = alloc(&scenario.genesis);
    let difficulty = if scenario.fork >= Fork::Paris { 0 } else { DIFFICULTY };
    json!({
        "config": config, "timestamp": GENESIS_TIME, "gasLimit": BLOCK_GAS_LIMIT,
        "difficulty": difficulty, "coinbase": AUTHOR, "alloc": alloc,
    })
}

/// The accounts of a genesis.
fn alloc(state: &MemoryState) -> Map<String, Value> {
    let accounts = state.accounts.iter().map(|(address, found)| {
        let slots = found.slots.iter().map(|(slot, value)| (format!("{slot:#x}"), json!(value)));
        let storage: Map<String, Value> = slots.collect();
        let account = found.account;
        let code = state.codes.get(&account.code_hash).cloned().unwrap_or_default();
        let account = json!({
            "balance": account.balance, "nonce": account.nonce, "code": code, "storage": storage,
        });
        (address.to_string(), account)
    });
    accounts.collect()
}

/// A chain executed one transaction after the other on maps in memory.
#[derive(Debug)]
pub(crate) struct Replayed {
    /// The state after each block, block 0 among them.
    pub(crate) states: Vec<MemoryState>,
    /// The receipts of each block from Byzantium on, block 0 among them.
    pub(crate) receipts: Vec<Vec<ReceiptEnvelope>>,
}

impl Replayed {
    pub(crate) fn new(chain: &TestChain) -> Self {
        let executor = Executor::new(1).expect("a thread");
        let mut state = chain.genesis.state.clone();
        state.block_hashes.insert(0, chain.hash(0));
        let (mut states, mut receipts) = (vec![state.clone()], vec![Vec::new()]);
        for block in &chain.blocks {
            let header = &block.block().header;
            let rules = chain.genesis.chain.rules(header);
            let checked = block.clone().check(|_| Ok::<_, Infallible>(()));
            let checked = checked.expect("nothing is judged");
            let prepared = executor.prepare(checked, &rules).expect("good signatures");
            let done = executor.execute(Mode::Seq, &prepared, &rules, &state, Scope::Block);
            let outcome = done.expect("a good block").outcome;
            state.apply(&outcome.diff).expect("the diff follows the state");
            assert_eq!(state.root(), header.state_root, "block {}", header.number);
            state.block_hashes.insert(header.number, block.hash());
            states.push(state.clone());
            receipts.push(outcome.receipts());
        }
        Self { states, receipts }
    }

    /// Every account that there ever was, with every slot.
    pub(crate) fn keys(&self) -> BTreeMap<Address, BTreeSet<U256>> {
        let mut keys: BTreeMap<Address, BTreeSet<U256>> = BTreeMap::new();
        for (address, found) in self.states.iter().flat_map(|state| &state.accounts) {
            keys.entry(*address).or_default().extend(found.slots.keys());
        }
        keys
    }

    /// The store gives the same answers about the states after these blocks.
    pub(crate) fn check(&self, snapshot: &Snapshot, numbers: RangeInclusive<u64>, told: &str) {
        let keys = self.keys();
        for number in numbers {
            let found = snapshot.state_at(number);
            let found = found.unwrap_or_else(|error| panic!("{told}: block {number}: {error}"));
            let expected = &self.states[usize::try_from(number).expect("few blocks")];
            for (address, slots) in &keys {
                let address = *address;
                let told = format!("{told}: {address} after block {number}");
                let account = expected.account(address);
                assert_eq!(found.account(address), account, "{told}");
                assert_eq!(found.has_storage(address), expected.has_storage(address), "{told}");
                if let Ok(Some(account)) = account
                    && account.has_code()
                {
                    let code = expected.code(account.code_hash);
                    assert_eq!(found.code(account.code_hash), code, "{told}");
                }
                for slot in slots {
                    let value = expected.slot(address, *slot);
                    assert_eq!(found.slot(address, *slot), value, "{told}: slot {slot}");
                }
            }
        }
    }
}

/// A folder with the files of a chain.
#[derive(Debug)]
pub(crate) struct Place {
    folder: TempDir,
}

impl Place {
    /// With `genesis.json` and `chain.rlp`.
    pub(crate) fn new(chain: &TestChain) -> Self {
        let place = Self { folder: tempfile::tempdir().expect("a folder") };
        place.write("genesis.json", &chain.json);
        place.write("chain.rlp", &chain.rlp());
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, bytes).expect("a written file");
        path
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.path("chain.rlp")
    }

    /// A data folder of the chain of `genesis.json`.
    pub(crate) fn datadir(&self, name: &str) -> Datadir {
        Datadir { path: self.path(name), chain: text(&self.path("genesis.json")).to_owned() }
    }
}

/// A path as an argument.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("folders of tests have readable names")
}

/// A data folder, and the program on it.
#[derive(Debug, Clone)]
pub(crate) struct Datadir {
    pub(crate) path: PathBuf,
    /// For `--chain`.
    pub(crate) chain: String,
}

impl Datadir {
    /// Where the store lies.
    pub(crate) fn store_path(&self) -> PathBuf {
        self.path.join("db")
    }

    /// `fugue` with these words, the data folder, and the rest.
    pub(crate) fn command(&self, words: &[&str], rest: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.args(words).arg("--datadir").arg(&self.path).args(rest);
        command
    }

    pub(crate) fn run(&self, words: &[&str], rest: &[&str]) -> Ran {
        Ran::of(self.command(words, rest))
    }

    /// `fugue import` of files with two threads.
    pub(crate) fn import_command(&self, options: &[&str], files: &[&Path]) -> Command {
        let own = ["--chain", &self.chain, "--threads", "2", "--json"];
        let mut command = self.command(&["import"], &own);
        command.args(options).args(files);
        command
    }

    pub(crate) fn import(&self, options: &[&str], files: &[&Path]) -> Ran {
        Ran::of(self.import_command(options, files))
    }

    /// `fugue db` with these words.
    pub(crate) fn db(&self, words: &[&str]) -> Ran {
        self.run(&["db"], &[&["--json"][..], words].concat())
    }

    /// The store, to be read.
    pub(crate) fn store(&self) -> Store {
        let store = Store::open(&self.store_path(), StoreOptions::new(Access::Read, 1));
        store.unwrap_or_else(|error| panic!("{error}"))
    }

    /// The program finds nothing wrong, up to this head.
    pub(crate) fn check(&self, head: Head) {
        let verify = self.db(&["verify"]).ends(0);
        assert_eq!(verify.last()["problems"], json!([]), "{verify}");
        assert_eq!(verify.last()["headers"], head.number + 1, "{verify}");
        let stats = self.db(&["stats"]).ends(0);
        assert_eq!(stats.last()["head"], head_json(head), "{stats}");
    }
}

/// A head as the program writes it.
pub(crate) fn head_json(head: Head) -> Value {
    json!({ "number": head.number, "hash": head.hash })
}

/// Fails if anything in the store is wrong.
pub(crate) fn verify(snapshot: &Snapshot, told: &str) -> Verified {
    let verified = snapshot.verify(|| ()).unwrap_or_else(|error| panic!("{told}: {error}"));
    assert!(verified.problems.is_empty(), "{told}: {:?}", verified.problems);
    verified
}

/// A run of the program. Shown, it tells the command.
#[derive(Debug)]
pub(crate) struct Ran {
    command: String,
    /// `None` if a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) signal: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn of(mut command: Command) -> Self {
        let output = command.stdin(Stdio::null()).output().expect("the program starts");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let ran = Self {
            command: format!("{command:?}"),
            code: output.status.code(),
            signal: output.status.signal(),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        };
        assert!(!ran.stderr.contains("panicked"), "{ran}");
        ran
    }

    /// As [`Ran::of`]; a hang becomes a failure.
    pub(crate) fn in_time(told: &str, command: Command) -> Self {
        in_time(told, move || Self::of(command))
    }

    /// With this code.
    #[track_caller]
    pub(crate) fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self}");
        self
    }

    /// With this among what it says to people.
    #[track_caller]
    pub(crate) fn says(self, needle: &str) -> Self {
        assert!(self.stderr.contains(needle), "no \"{needle}\" in: {self}");
        self
    }

    /// Standard output, each line of it one value.
    #[track_caller]
    pub(crate) fn lines(&self) -> Vec<Value> {
        let value = |line: &str| -> Value {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {self}"))
        };
        self.stdout.lines().map(value).collect()
    }

    /// The last value.
    #[track_caller]
    pub(crate) fn last(&self) -> Value {
        self.lines().pop().unwrap_or_else(|| panic!("no output: {self}"))
    }

    /// Ended well, with this head, after so many new blocks and so many that were there.
    #[track_caller]
    pub(crate) fn imported(self, head: Head, blocks: u64, known: u64) -> Self {
        let ran = self.ends(0);
        let summary = ran.last();
        assert_eq!(summary["type"], "summary", "{ran}");
        assert_eq!(summary["head"], head_json(head), "{ran}");
        assert_eq!(summary["blocks"], blocks, "{ran}");
        assert_eq!(summary["known"], known, "{ran}");
        ran
    }
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { command, code, signal, stdout, stderr } = self;
        write!(f, "{command}: code {code:?}, signal {signal:?}\n{stdout}\n{stderr}")
    }
}
