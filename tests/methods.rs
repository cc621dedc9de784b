//! All methods that a public server may have, over a small chain in memory, and what they are asked
//! with: examples of their parameters, and what becomes of these when they are changed.
//!
//! The methods are those that are registered, of a node that follows a chain and of one that makes
//! its own, so that none is left out by who writes a list. A test insists on an example for each,
//! and on each argument of it being read.
//!
//! ```text
//! data -> which method -> JSON as it is            -> the call -> an answer that is none of our
//!                      -> an example, and changes                 defects
//! ```

mod dev;
mod edits;
mod examples;

use alloy_consensus::transaction::SignerRecoverable;
use alloy_eips::Encodable2718;
use dev::Idle;
use examples::Place;
use fugue_chain::{
    Chain, ChainOptions, Engine, EngineOptions, Forkchoice, ForkchoiceVerdict, Genesis,
    PayloadVerdict, Reply, pool_head,
};
use fugue_executor::Mode;
use fugue_rpc::{EthLimits, ModuleError, PublicApi, RpcModule};
use fugue_state::{Account, MemoryAccount};
use fugue_storage::{Faults, Store};
use fugue_txpool::{Pool, PoolOptions};
use fugue_types::{B256, Bytes, SealedBlock, TransactionTrait};
use fugue_workload::{Forge, Market, MarketSize, Wallet, ether};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, mpsc},
    time::Duration,
};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

/// Of the chain.
const SEED: u64 = 0xf022;
/// Blocks of the chain.
const BLOCKS: usize = 2;
/// Transactions of each.
const TXS: usize = 20;
/// Notifications of a subscription that are kept.
const NEWS_MAX: usize = 16;
/// Calls that change the head. It is put back after them, so that data always mean the same.
const MOVES: [&str; 2] = ["debug_setHead", "testing_commitBlockV1"];
/// An argument is wrong. Source: JSON-RPC 2.0.
const INVALID_PARAMS: i64 = -32_602;
/// There is no such method. Source: JSON-RPC 2.0.
const NOT_FOUND: i64 = -32_601;
/// What a node says where it is at fault. The code alone does not say it: `eth_simulateV1` has it
/// for a nonce that cannot be counted up.
const DEFECT: (i64, &str) = (-32_603, "internal error");

/// Small enough that no call takes long. Nothing here is about how large they are.
fn limits() -> EthLimits {
    EthLimits {
        call_gas_max: 2_000_000,
        call_time_max: Duration::from_secs(10),
        trace_time_max: Duration::from_secs(10),
        trace_threads_max: 1,
        trace_bytes_max: 4 << 20,
        trace_memory_max: 16 << 20,
        trace_files_max: 16,
        trace_file_bytes_max: 1 << 20,
        trace_folder_bytes_max: 4 << 20,
        sync_wait_max: Duration::from_millis(1),
        ..EthLimits::default()
    }
}

/// A method of one of two nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Method {
    /// Its name.
    pub name: &'static str,
    /// It is of the node that makes its own blocks.
    pub is_dev: bool,
}

/// A call was answered with an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What kind of error it is.
    pub code: i64,
    /// What is told.
    pub message: String,
}

impl Refusal {
    /// An argument, or how many there are, is wrong.
    pub fn is_of_arguments(&self) -> bool {
        let begins =
            ["invalid argument ", "missing argument ", "too many arguments", "invalid params"];
        self.code == INVALID_PARAMS && begins.iter().any(|begin| self.message.starts_with(begin))
    }
}

/// The methods, and the chain that they tell of.
pub struct Methods {
    engine: Engine,
    head: B256,
    plain: RpcModule<()>,
    dev: RpcModule<()>,
    all: Vec<Method>,
    examples: BTreeMap<&'static str, Vec<Value>>,
    runtime: Runtime,
    /// Where traces are written to files.
    _folder: TempDir,
}

impl Default for Methods {
    fn default() -> Self {
        Self::new()
    }
}

impl Methods {
    /// Over a new chain of a few blocks, each with transfers and swaps.
    ///
    /// # Panics
    /// If the chain is not made: a defect of ours, or of the machine.
    pub fn new() -> Self {
        let wallet = Wallet::derive(SEED, 0);
        let (genesis, blocks, next) = chain(wallet);
        let engine = engine(&genesis);
        for block in &blocks {
            import(&engine, block);
        }
        let last = blocks.last().expect("there are blocks");
        let head = last.hash();
        choose(&engine, head);

        let folder = tempfile::tempdir().expect("a folder");
        let api = PublicApi::new(engine.clone(), limits());
        let api = api.with_datadir(Path::new("data"));
        let api = api.with_trace_files(folder.path()).expect("an empty folder");
        let plain = module(&api);
        let idle = Idle { engine: engine.clone(), wallet };
        let dev = module(&api.with_dev(Arc::new(idle)));
        let of = |module: &RpcModule<()>, is_dev: bool| -> Vec<Method> {
            let mut names: Vec<&'static str> = module.method_names().collect();
            names.sort_unstable();
            names.into_iter().map(|name| Method { name, is_dev }).collect()
        };
        let all = [of(&plain, false), of(&dev, true)].concat();

        let examples = examples::all(&place(&wallet, last, next));
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        Self { engine, head, plain, dev, all, examples, runtime, _folder: folder }
    }

    /// All methods: by name, first those of the node that follows a chain.
    pub fn all(&self) -> &[Method] {
        &self.all
    }

    /// Examples of parameters, by the name of the method; each is a list.
    pub const fn examples(&self) -> &BTreeMap<&'static str, Vec<Value>> {
        &self.examples
    }

    /// Calls a method.
    ///
    /// # Errors
    /// If it is answered with an error.
    ///
    /// # Panics
    /// If the answer is none.
    pub fn call(&self, method: Method, params: &Value) -> Result<Value, Refusal> {
        let Method { name, is_dev } = method;
        let module = if is_dev { &self.dev } else { &self.plain };
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": name, "params": params });
        let request = request.to_string();
        let called = self.runtime.block_on(module.raw_json_request(&request, NEWS_MAX));
        let (answer, _news) = called.expect("it is a request");
        if MOVES.contains(&name) {
            choose(&self.engine, self.head);
        }
        let mut answer: Value = match serde_json::from_str(answer.get()) {
            Ok(answer) => answer,
            // Calls within calls may lie deeper than JSON is read here; errors are flat.
            Err(error) if error.to_string().contains("recursion") => return Ok(Value::Null),
            Err(error) => panic!("{name}: {error}: {answer}"),
        };
        if let Some(error) = answer.get("error") {
            let message = error["message"].as_str().unwrap_or_default().to_owned();
            return Err(Refusal { code: error["code"].as_i64().unwrap_or_default(), message });
        }
        let result = answer.get_mut("result");
        Ok(result.unwrap_or_else(|| panic!("{name}: neither result nor error")).take())
    }

    /// Which method data name, and the parameters that they make of its examples; `None` if they
    /// are too short to name one.
    pub fn asked(&self, data: &[u8]) -> Option<(Method, Value)> {
        let (at, rest) = data.split_first_chunk()?;
        let at = usize::from(u16::from_le_bytes(*at)).checked_rem(self.all.len())?;
        let method = *self.all.get(at)?;
        Some((method, self.made(method, rest)))
    }

    /// The parameters that data make of a method's examples, or are.
    pub fn made(&self, method: Method, data: &[u8]) -> Value {
        match serde_json::from_slice::<Value>(data) {
            Ok(params) if params.is_array() || params.is_object() => params,
            _ => {
                let examples = self.examples.get(method.name).map(Vec::as_slice);
                edits::made(examples.unwrap_or_default(), data)
            }
        }
    }

    /// Calls a method, whose answer may be any but that the node is at fault.
    ///
    /// # Panics
    /// If it is.
    pub fn check(&self, method: Method, params: &Value) {
        if let Err(Refusal { code, message }) = self.call(method, params) {
            let is_good = !message.is_empty() && ![0, NOT_FOUND].contains(&code);
            let is_defect = (code, message.as_str()) == DEFECT;
            assert!(is_good && !is_defect, "{method:?}: {code}: {message}: {params}");
        }
    }

    /// The body of a fuzz target.
    pub fn fuzz(&self, data: &[u8]) {
        if let Some((method, params)) = self.asked(data) {
            self.check(method, &params);
        }
    }
}

/// The genesis, the blocks, and a transaction that may follow them.
fn chain(wallet: Wallet) -> (Genesis, Vec<SealedBlock>, Bytes) {
    let mut market = Market::new(SEED, &MarketSize::new(100, TXS));
    let json = market.genesis_json().to_string();
    let mut genesis = Genesis::from_json(json.as_bytes()).expect("a good genesis");
    genesis.state = market.genesis_state();
    let account = Account { balance: ether(1_000), ..Account::default() };
    let account = MemoryAccount { account, ..MemoryAccount::default() };
    genesis.state.accounts.insert(wallet.address(), account);
    let header = genesis.header(B256::ZERO);
    let forge = Forge::new(genesis.chain.clone(), genesis.state.clone(), header, 1);
    let mut forge = forge.expect("a thread");
    let forged = (0..BLOCKS).map(|_| forge.add(&market.next_block()).expect("a good block").block);
    let blocks = forged.collect();
    let next = market.next_block().transactions.first().expect("it has some").encoded_2718();
    (genesis, blocks, next.into())
}

/// Of which the examples are. The account is the one whose key there is.
fn place(wallet: &Wallet, last: &SealedBlock, next: Bytes) -> Place {
    let txs = &last.block().body.transactions;
    let tx = txs.iter().find(|tx| !(**tx).input().is_empty()).expect("a call");
    Place {
        own: wallet.address(),
        sender: tx.recover_signer().expect("a good signature"),
        callee: tx.to().expect("it is no creation"),
        input: tx.input().clone(),
        tx: *tx.hash(),
        next,
        number: last.block().header.number,
        timestamp: last.block().header.timestamp,
        head: last.hash(),
        parent: last.block().header.parent_hash,
        block: alloy_rlp::encode(last.block()).into(),
    }
}

fn engine(genesis: &Genesis) -> Engine {
    let store = Store::memory(Faults::none());
    Chain::init_indexed(&store, genesis).expect("a good store");
    let options = ChainOptions::following(Mode::Seq, 1);
    let chain = Chain::open(store, genesis.chain.clone(), options).expect("a good store");
    let snapshot = chain.store().snapshot().expect("a good store");
    let (hash, header) = snapshot.header(0).expect("a genesis");
    drop(snapshot);
    let pool = Pool::new(PoolOptions::default(), pool_head(&genesis.chain, hash, &header));
    let options = EngineOptions { build_mode: Mode::Seq, ..EngineOptions::default() };
    // Its threads end with the last handle.
    let (engine, _threads) = Engine::start(chain, Arc::new(pool), options).expect("threads");
    engine
}

fn import(engine: &Engine, block: &SealedBlock) {
    let block = block.clone();
    let verdict = wait(|reply| engine.new_payload(block, Duration::ZERO, reply));
    assert_eq!(verdict, Ok(PayloadVerdict::Valid));
}

fn choose(engine: &Engine, head: B256) {
    let state = Forkchoice { head, safe: B256::ZERO, finalized: B256::ZERO };
    let verdict = wait(|reply| engine.forkchoice(state, None, reply));
    assert_eq!(verdict, Ok(ForkchoiceVerdict::Valid(None)));
}

fn wait<T: Send + 'static>(ask: impl FnOnce(Reply<T>)) -> T {
    let (sender, receiver) = mpsc::channel();
    ask(Box::new(move |answer: T| {
        // Nobody listens any longer only if this thread has failed.
        sender.send(answer).ok();
    }));
    receiver.recv().expect("the engine answers")
}

/// The methods of all APIs that there are.
fn module(api: &PublicApi) -> RpcModule<()> {
    // Who asks for one that there is not is told which there are.
    let known = match api.module(&["?".to_owned()], true) {
        Err(ModuleError::UnknownApi { known, .. }) => known,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("there is no API of this name"),
    };
    let apis: Vec<String> = known.split(", ").map(str::to_owned).collect();
    api.module(&apis, true).expect("methods")
}
