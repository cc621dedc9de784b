//! What the tests over the wire share: a node of this process that serves the Engine API and the
//! public methods on free ports of this machine, callers over HTTP, and payloads as JSON.
//!
//! | job | started when | gives | awaited where |
//! | --- | --- | --- | --- |
//! | the engine's threads | before the servers | verdicts, payloads | when [`Wire`] is dropped |
//! | two servers on a runtime of their own | with [`Wire`] | answers | when [`Wire`] is dropped |
//!
//! Callers block the thread that they are on. What is not answered fails the test after a while.
//! It is one thing: a caller, what it sends, and the node that it is sent to.

use crate::{
    engine_support::{Node, Setup},
    import_support::{Recipe, TestChain},
    openrpc,
    support::in_time,
};
use alloy_eips::Encodable2718;
use fugue_chain::{Engine, Genesis, Retention};
use fugue_chainspec::Fork;
use fugue_executor::{BlockOutcome, Executor, Mode, Scope};
use fugue_rpc::{
    ClientVersion, EngineServerOptions, EthLimits, JwtSecret, Listen, PUBLIC_LIMITS,
    PublicServerOptions, RpcModule, RunningServer, Transport, engine_module, public_module,
    start_engine_server, start_public_server,
};
use fugue_state::MemoryState;
use fugue_types::{
    Address, B256, Block, Bytes, Requests, SealedBlock, TransactionTrait as _, Withdrawal,
};
use fugue_workload::{BLOCK_GAS_LIMIT, Market, MarketSize, Script, Wallet};
use jsonwebtoken::{Algorithm, EncodingKey, encode, get_current_timestamp};
use serde_json::{Value, json};
use std::{
    convert::Infallible,
    io::{BufRead, BufReader, ErrorKind, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    ops::RangeInclusive,
    time::Duration,
};
use tokio::runtime::{Builder, Runtime};

/// The forks with an Engine API of their own.
pub(crate) const FORKS: [Fork; 6] =
    [Fork::Paris, Fork::Shanghai, Fork::Cancun, Fork::Prague, Fork::Osaka, Fork::Amsterdam];
/// The hash of no block.
pub(crate) const UNKNOWN: B256 = B256::repeat_byte(0x99);
/// What node and callers share.
pub(crate) const SECRET: [u8; 32] = [0x5e; 32];
/// All groups of public methods.
const APIS: [&str; 10] =
    ["eth", "net", "web3", "txpool", "debug", "trace", "ots", "admin", "testing", "fugue"];
/// Batches so large that nothing becomes durable before the end.
const LARGE: usize = 1_000;
/// The name of the threads that serve.
pub(crate) const SERVING: &str = "serving";
/// Longest that an answer may take; what is answered at all is answered in a fraction of it.
const HANG: Duration = Duration::from_secs(60);
/// Kinds of frames of a WebSocket. Source: RFC 6455, section 5.2.
const TEXT: u8 = 0x1;
const PING: u8 = 0x9;
const PONG: u8 = 0xa;
/// Of the chains that [`WireChain::new`] makes.
const SEED: u64 = 0x31e;

/// A number as the Engine API writes it.
pub(crate) fn quantity(number: u64) -> String {
    format!("{number:#x}")
}

/// A token with these claims.
pub(crate) fn token(algorithm: Algorithm, secret: &[u8], claims: &Value) -> String {
    let header = jsonwebtoken::Header::new(algorithm);
    encode(&header, claims, &EncodingKey::from_secret(secret)).expect("a token")
}

/// The header of a good request.
pub(crate) fn bearer() -> String {
    let claims = json!({ "iat": get_current_timestamp() });
    format!("Bearer {}", token(Algorithm::HS256, &SECRET, &claims))
}

/// A call as it is sent.
pub(crate) fn request(method: &str, params: &Value) -> String {
    json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string()
}

/// An answer over HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// A call was answered with an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WireError {
    pub(crate) code: i64,
    pub(crate) message: String,
    /// `None` if there is no such member.
    pub(crate) data: Option<Value>,
}

impl Response {
    /// The result of a call, or its error.
    #[track_caller]
    pub(crate) fn result(&self) -> Result<Value, WireError> {
        assert_eq!(self.status, 200, "{self:?}");
        let mut answer: Value =
            serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"));
        assert_eq!(answer["jsonrpc"], "2.0", "{self:?}");
        let Some(error) = answer.get("error") else {
            assert!(answer.get("result").is_some(), "neither result nor error: {self:?}");
            return Ok(answer["result"].take());
        };
        assert!(answer.get("result").is_none(), "result and error: {self:?}");
        let code = error["code"].as_i64().unwrap_or_else(|| panic!("no code: {self:?}"));
        let message = error["message"].as_str().unwrap_or_else(|| panic!("no message: {self:?}"));
        Err(WireError { code, message: message.to_owned(), data: error.get("data").cloned() })
    }
}

/// A connection that is kept from one request to the next.
#[derive(Debug)]
pub(crate) struct Connection(BufReader<TcpStream>);

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("a connection");
        stream.set_read_timeout(Some(HANG)).expect("a bound on reading");
        stream.set_nodelay(true).expect("a socket");
        Self(BufReader::new(stream))
    }

    /// Sends bytes as they are.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).expect("the server reads");
    }

    /// Sends a request with these headers, beside those that every request has, and waits for its
    /// answer.
    pub(crate) fn post(&mut self, headers: &[(&str, &str)], body: &str) -> Response {
        let head = head("POST", headers, body.len());
        self.write(format!("{head}{body}").as_bytes());
        self.read()
    }

    /// Waits for an answer.
    pub(crate) fn read(&mut self) -> Response {
        let (status, bytes) = self.read_head();
        let mut body = vec![0; bytes.unwrap_or_default()];
        match bytes {
            Some(_) => self.read_exact(&mut body),
            None => while self.read_piece(&mut body) {},
        }
        Response { status, body: String::from_utf8(body).expect("UTF-8") }
    }

    /// Waits for a piece of a body whose length is not known before. Says whether there are more.
    fn read_piece(&mut self, body: &mut Vec<u8>) -> bool {
        let bytes = usize::from_str_radix(&self.line(), 16).expect("a length");
        let mut piece = vec![0; bytes];
        self.read_exact(&mut piece);
        body.extend(piece);
        assert_eq!(self.line(), "");
        bytes > 0
    }

    /// Waits for the head of an answer. Gives its status, and the bytes of its body, if it says so.
    fn read_head(&mut self) -> (u16, Option<usize>) {
        let first = self.line();
        let status = first.split(' ').nth(1).and_then(|word| word.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status in {first:?}"));
        let mut bytes = None;
        loop {
            let line = self.line();
            if line.is_empty() {
                return (status, bytes);
            }
            let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("{line:?}"));
            if name.eq_ignore_ascii_case("content-length") {
                bytes = value.trim().parse().ok();
            }
        }
    }

    fn read_exact(&mut self, bytes: &mut [u8]) {
        self.0.read_exact(bytes).expect("the server answers");
    }

    /// Waits until the server ends the connection, whatever it says before.
    pub(crate) fn read_to_end(mut self) {
        match self.0.read_to_end(&mut Vec::new()) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}"),
        }
    }

    /// Asks for a WebSocket, with these headers beside those for that. Gives the status of the
    /// answer.
    pub(crate) fn upgrade(&mut self, headers: &[(&str, &str)]) -> u16 {
        let own = [
            ("connection", "Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        self.write(head("GET", &[&own[..], headers].concat(), 0).as_bytes());
        self.read_head().0
    }

    /// Sends a text over a WebSocket, and waits for one.
    pub(crate) fn exchange(&mut self, text: &str) -> String {
        self.say(text);
        let answer = self.hear();
        openrpc::assert_answer(text, &answer);
        answer
    }

    /// Sends a text over a WebSocket.
    pub(crate) fn say(&mut self, text: &str) {
        self.write_frame(TEXT, text.as_bytes());
    }

    /// Waits for a text over a WebSocket.
    pub(crate) fn hear(&mut self) -> String {
        loop {
            let (kind, bytes) = self.read_frame();
            match kind {
                TEXT => return String::from_utf8(bytes).expect("UTF-8"),
                PING => self.write_frame(PONG, &bytes),
                _ => panic!("a frame of kind {kind}: {bytes:?}"),
            }
        }
    }

    /// One frame; masked, as those of callers are, with a mask that changes nothing.
    fn write_frame(&mut self, kind: u8, bytes: &[u8]) {
        let mut frame = vec![0x80 | kind];
        match u8::try_from(bytes.len()) {
            Ok(length) if length < 126 => frame.push(0x80 | length),
            _ => {
                let length = u16::try_from(bytes.len()).expect("a short text");
                frame.push(0x80 | 126);
                frame.extend(length.to_be_bytes());
            }
        }
        frame.extend([0; 4]);
        frame.extend(bytes);
        self.write(&frame);
    }

    fn read_frame(&mut self) -> (u8, Vec<u8>) {
        let mut begin = [0_u8; 2];
        self.read_exact(&mut begin);
        assert!(begin[0] & 0x80 != 0 && begin[1] & 0x80 == 0, "{begin:?}");
        let length = match begin[1] {
            126 => {
                let mut length = [0; 2];
                self.read_exact(&mut length);
                u64::from(u16::from_be_bytes(length))
            }
            127 => {
                let mut length = [0; 8];
                self.read_exact(&mut length);
                u64::from_be_bytes(length)
            }
            length => u64::from(length),
        };
        let mut bytes = vec![0; usize::try_from(length).expect("a text that fits")];
        self.read_exact(&mut bytes);
        (begin[0] & 0xf, bytes)
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        let bytes = self.0.read_line(&mut line).expect("the server answers");
        assert!(bytes > 0, "the server closed the connection without an answer");
        line.trim_end().to_owned()
    }
}

/// The head of a request.
pub(crate) fn head(method: &str, headers: &[(&str, &str)], body_bytes: usize) -> String {
    let mut head = format!("{method} / HTTP/1.1\r\ncontent-length: {body_bytes}\r\n");
    let is_given = |name: &str| headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
    let usual = [("host", "localhost"), ("content-type", "application/json")];
    let usual = usual.iter().filter(|(name, _)| !is_given(name));
    for (name, value) in usual.chain(headers) {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    head
}

/// Where a server listens, and whether it wants a token.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Endpoint {
    address: SocketAddr,
    is_signed: bool,
}

impl Endpoint {
    /// Of the Engine API, whose secret is [`SECRET`].
    pub(crate) const fn of_engine(address: SocketAddr) -> Self {
        Self { address, is_signed: true }
    }

    /// Of a public server.
    pub(crate) const fn of_public(address: SocketAddr) -> Self {
        Self { address, is_signed: false }
    }

    pub(crate) fn connect(&self) -> Connection {
        Connection::open(self.address)
    }

    /// Calls over a connection of this call alone.
    #[track_caller]
    pub(crate) fn call(&self, method: &str, params: &Value) -> Result<Value, WireError> {
        self.call_over(&mut self.connect(), method, params)
    }

    /// Calls over a connection.
    #[track_caller]
    pub(crate) fn call_over(
        &self,
        connection: &mut Connection,
        method: &str,
        params: &Value,
    ) -> Result<Value, WireError> {
        let answer = self.post_over(connection, &request(method, params)).result();
        if let Ok(result) = &answer {
            openrpc::assert_fits(method, result);
        }
        answer
    }

    /// Sends a body over a connection.
    pub(crate) fn post_over(&self, connection: &mut Connection, body: &str) -> Response {
        if !self.is_signed {
            return connection.post(&[], body);
        }
        let bearer = bearer();
        connection.post(&[("authorization", bearer.as_str())], body)
    }
}

/// The versions of the methods for blocks of a fork.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Versions {
    pub(crate) new_payload: u8,
    /// Also that of the structure of attributes.
    pub(crate) forkchoice: u8,
    pub(crate) get_payload: u8,
}

impl Versions {
    pub(crate) fn of(fork: Fork) -> Self {
        let [new_payload, forkchoice, get_payload] = match fork {
            fork if fork >= Fork::Amsterdam => [5, 4, 6],
            fork if fork >= Fork::Osaka => [4, 3, 5],
            fork if fork >= Fork::Prague => [4, 3, 4],
            fork if fork >= Fork::Cancun => [3, 3, 3],
            fork if fork >= Fork::Shanghai => [2, 2, 2],
            _ => [1, 1, 1],
        };
        Self { new_payload, forkchoice, get_payload }
    }
}

/// What a call says of a block that its RLP has hashes of alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Beside {
    requests: Option<Requests>,
    access_list: Option<Bytes>,
}

/// A generated chain, with what calls say of its blocks.
#[derive(Debug)]
pub(crate) struct WireChain {
    pub(crate) chain: TestChain,
    pub(crate) versions: Versions,
    /// Sends nothing after the first block.
    pub(crate) deployer: Wallet,
    /// Of each block but the genesis; nothing where there is nothing to say of any.
    beside: Vec<Beside>,
}

impl WireChain {
    /// Six blocks or more.
    pub(crate) fn new(fork: Fork) -> Self {
        Self::of_recipe(&Recipe::new(SEED, fork, 6, 3))
    }

    pub(crate) fn of_recipe(recipe: &Recipe) -> Self {
        let chain = TestChain::new(recipe);
        // The same name and seed give the same keys.
        let deployer = Script::new("import", "keys", recipe.seed, recipe.fork).deployer();
        let address = deployer.address();
        assert!(chain.genesis.state.accounts.contains_key(&address), "{address}");
        let beside = beside(&chain);
        Self { chain, versions: Versions::of(recipe.fork), deployer, beside }
    }

    /// So many blocks of a market, none of which has requests, and the state after the last one.
    pub(crate) fn of_market(seed: u64, size: &MarketSize, blocks: usize) -> (Self, MemoryState) {
        let (chain, state) = TestChain::of_market(seed, size, blocks);
        let versions = Versions::of(Market::FORK);
        (Self { chain, versions, deployer: Wallet::derive(seed, 0), beside: Vec::new() }, state)
    }

    /// A chain of others, of whose blocks nothing is known beside them.
    pub(crate) fn of_others(chain: TestChain, fork: Fork) -> Self {
        let (versions, deployer) = (Versions::of(fork), Wallet::derive(SEED, 0));
        Self { chain, versions, deployer, beside: Vec::new() }
    }

    /// A chain of Paris without blocks, on which forks come so many seconds after the genesis.
    pub(crate) fn scheduled(times: [(&str, u64); 5]) -> Self {
        let paris = Self::new(Fork::Paris);
        let first = &paris.chain.first.block().header;
        let mut json: Value = serde_json::from_slice(&paris.chain.json).expect("JSON");
        for (name, seconds) in times {
            json["config"][name] = json!(first.timestamp + seconds);
        }
        let json = json.to_string().into_bytes();
        let genesis = Genesis::from_json(&json).expect("a good genesis file");
        let first = genesis.block(first.state_root);
        let chain = TestChain { json, genesis, first, blocks: Vec::new() };
        Self { chain, beside: Vec::new(), ..paris }
    }

    pub(crate) fn hash(&self, number: u64) -> B256 {
        self.chain.hash(number)
    }

    /// Number of the last block.
    pub(crate) fn last(&self) -> u64 {
        self.chain.head().number
    }

    /// The method for payloads of this chain.
    pub(crate) fn new_payload(&self) -> String {
        format!("engine_newPayloadV{}", self.versions.new_payload)
    }

    /// The parameters of that for a block.
    pub(crate) fn params(&self, number: u64) -> Value {
        self.params_of(self.chain.block(number))
    }

    /// The same for a block that is like the one of this number, but for fields that change nothing
    /// of its requests and its access list.
    pub(crate) fn params_of(&self, block: &SealedBlock) -> Value {
        let (header, version) = (&block.block().header, self.versions.new_payload);
        let index = header.number.checked_sub(1).and_then(|index| usize::try_from(index).ok());
        let beside = index.and_then(|index| self.beside.get(index)).cloned().unwrap_or_default();
        let Beside { requests, access_list } = beside;
        let mut params = vec![payload(block, access_list.as_ref())];
        if version >= 3 {
            let hashes = block.block().body.transactions.iter();
            let hashes = hashes.filter_map(|tx| tx.blob_versioned_hashes()).flatten().copied();
            params.push(json!(hashes.collect::<Vec<B256>>()));
            params.push(json!(header.parent_beacon_block_root));
        }
        if version >= 4 {
            let requests = requests.unwrap_or_default();
            let list = requests.iter().filter(|request| request.len() > 1).cloned();
            params.push(json!(list.collect::<Vec<Bytes>>()));
        }
        Value::Array(params)
    }

    /// Attributes for a child of a block.
    pub(crate) fn attributes(&self, parent: u64) -> Value {
        let timestamp = self.chain.block(parent).block().header.timestamp + 12;
        attributes(timestamp, self.versions.forkchoice)
    }

    /// The parameters of `engine_newPayload` for what was built with these attributes.
    pub(crate) fn params_of_built(
        &self,
        built: &Value,
        attributes: &Value,
        hashes: &[B256],
    ) -> Value {
        let Versions { new_payload, get_payload, .. } = self.versions;
        let payload = if get_payload == 1 { built } else { &built["executionPayload"] };
        let mut params = vec![payload.clone()];
        if new_payload >= 3 {
            params.extend([json!(hashes), attributes["parentBeaconBlockRoot"].clone()]);
        }
        if new_payload >= 4 {
            params.push(built["executionRequests"].clone());
        }
        Value::Array(params)
    }
}

/// Executes the blocks.
fn beside(chain: &TestChain) -> Vec<Beside> {
    let executor = Executor::new(1).expect("a thread");
    let mut state = chain.genesis.state.clone();
    state.block_hashes.insert(0, chain.hash(0));
    let mut beside = Vec::new();
    for block in &chain.blocks {
        let header = &block.block().header;
        let rules = chain.genesis.chain.rules(header);
        let checked = block.clone().check(|_| Ok::<_, Infallible>(()));
        let checked = checked.expect("nothing is judged");
        let prepared = executor.prepare(checked, &rules).expect("good signatures");
        let done = executor.execute(Mode::Seq, &prepared, &rules, &state, Scope::Block);
        let BlockOutcome { diff, requests, access_list, .. } = done.expect("a good block").outcome;
        state.apply(&diff).expect("the diff follows the state");
        state.block_hashes.insert(header.number, block.hash());
        let access_list = access_list.map(|list| Bytes::from(alloy_rlp::encode(list)));
        beside.push(Beside { requests, access_list });
    }
    beside
}

/// A block as a payload: with all fields that its header has.
fn payload(block: &SealedBlock, access_list: Option<&Bytes>) -> Value {
    let Block { header, body } = block.block();
    let transactions = body.transactions.iter().map(|tx| Bytes::from(tx.encoded_2718()));
    let mut payload = json!({
        "parentHash": header.parent_hash,
        "feeRecipient": header.beneficiary,
        "stateRoot": header.state_root,
        "receiptsRoot": header.receipts_root,
        "logsBloom": header.logs_bloom,
        "prevRandao": header.mix_hash,
        "blockNumber": quantity(header.number),
        "gasLimit": quantity(header.gas_limit),
        "gasUsed": quantity(header.gas_used),
        "timestamp": quantity(header.timestamp),
        "extraData": header.extra_data,
        "baseFeePerGas": quantity(header.base_fee_per_gas.unwrap_or_default()),
        "blockHash": block.hash(),
        "transactions": transactions.collect::<Vec<Bytes>>(),
    });
    let number = |number: Option<u64>| number.map(|number| json!(quantity(number)));
    for (field, value) in [
        ("withdrawals", body.withdrawals.as_ref().map(|list| withdrawals(list))),
        ("blobGasUsed", number(header.blob_gas_used)),
        ("excessBlobGas", number(header.excess_blob_gas)),
        ("blockAccessList", access_list.map(|list| json!(list))),
        ("slotNumber", number(header.slot_number)),
    ] {
        if let Some(value) = value {
            payload[field] = value;
        }
    }
    payload
}

fn withdrawals(list: &[Withdrawal]) -> Value {
    let withdrawal = |withdrawal: &Withdrawal| {
        let Withdrawal { index, validator_index, address, amount } = withdrawal;
        json!({
            "index": quantity(*index),
            "validatorIndex": quantity(*validator_index),
            "address": address,
            "amount": quantity(*amount),
        })
    };
    list.iter().map(withdrawal).collect()
}

/// Fields of a payload beside those of the first structure, with the structure that brings them and
/// what they are in an empty block.
pub(crate) fn later_fields() -> [(&'static str, u8, Value); 5] {
    [
        ("withdrawals", 2, json!([])),
        ("blobGasUsed", 3, json!("0x0")),
        ("excessBlobGas", 3, json!("0x0")),
        ("blockAccessList", 4, json!("0xc0")),
        ("slotNumber", 4, json!("0x1")),
    ]
}

/// The structure of the payloads of a version of `engine_newPayload`.
pub(crate) const fn structure_of(new_payload: u8) -> u8 {
    match new_payload {
        4 => 3,
        5 => 4,
        version => version,
    }
}

/// The parameters in the form that a version of `engine_newPayload` asks for, its payload of this
/// structure.
pub(crate) fn shaped(params: &Value, new_payload: u8, structure: u8) -> Value {
    let mut payload = params[0].clone();
    let fields = payload.as_object_mut().expect("an object");
    for (field, since, value) in later_fields() {
        if structure < since {
            fields.remove(field);
        } else {
            fields.entry(field).or_insert(value);
        }
    }
    let or = |index: usize, empty: Value| match params.get(index) {
        Some(Value::Null) | None => empty,
        Some(found) => found.clone(),
    };
    let mut shaped = vec![payload];
    if new_payload >= 3 {
        shaped.extend([or(1, json!([])), or(2, json!(B256::ZERO))]);
    }
    if new_payload >= 4 {
        shaped.push(or(3, json!([])));
    }
    Value::Array(shaped)
}

/// Attributes of a structure.
pub(crate) fn attributes(timestamp: u64, structure: u8) -> Value {
    let mut attributes = json!({
        "timestamp": quantity(timestamp),
        "prevRandao": B256::repeat_byte(0x4a),
        "suggestedFeeRecipient": Address::repeat_byte(0xfe),
    });
    for (field, since, value) in [
        ("withdrawals", 2, json!([])),
        ("parentBeaconBlockRoot", 3, json!(B256::repeat_byte(0xbe))),
        ("slotNumber", 4, json!("0x99")),
        ("targetGasLimit", 4, json!(quantity(BLOCK_GAS_LIMIT))),
    ] {
        if structure >= since {
            attributes[field] = value;
        }
    }
    attributes
}

/// A fork choice with nothing that is safe or final.
pub(crate) fn choice_of(head: B256) -> Value {
    state_of(head, B256::ZERO, B256::ZERO)
}

pub(crate) fn state_of(head: B256, safe: B256, finalized: B256) -> Value {
    json!({ "headBlockHash": head, "safeBlockHash": safe, "finalizedBlockHash": finalized })
}

/// What the port of the Engine API offers.
pub(crate) fn engine_methods(engine: &Engine) -> RpcModule<()> {
    let client = ClientVersion {
        code: "FU".to_owned(),
        name: "Fugue".to_owned(),
        version: "v0".to_owned(),
        commit: "0x00000000".to_owned(),
    };
    engine_module(engine.clone(), client, EthLimits::default()).expect("methods")
}

/// What everyone is offered.
pub(crate) fn public_methods(engine: &Engine) -> RpcModule<()> {
    public_module(engine.clone(), EthLimits::default(), &APIS.map(str::to_owned)).expect("methods")
}

struct Served {
    runtime: Runtime,
    engine: RunningServer,
    public: RunningServer,
}

/// A node that serves.
pub(crate) struct Wire {
    pub(crate) chain: WireChain,
    pub(crate) node: Node,
    /// The Engine API.
    pub(crate) engine: Endpoint,
    /// What is for everyone.
    pub(crate) public: Endpoint,
    /// Taken when it is stopped.
    served: Option<Served>,
}

impl Drop for Wire {
    fn drop(&mut self) {
        let Some(Served { runtime, engine, public }) = self.served.take() else { return };
        // A test that has failed leaves its servers to the end of the process.
        if std::thread::panicking() {
            runtime.shutdown_background();
            return;
        }
        in_time("the servers stop", move || {
            runtime.block_on(async {
                engine.stop().await;
                public.stop().await;
            });
        });
    }
}

impl Wire {
    /// At the genesis of a chain of a fork. Nothing becomes durable before the end.
    pub(crate) fn new(fork: Fork) -> Self {
        Self::with(fork, |_| ())
    }

    /// The same with other settings.
    pub(crate) fn with(fork: Fork, change: impl FnOnce(&mut Setup)) -> Self {
        let mut setup = Setup::new(LARGE);
        change(&mut setup);
        let chain = WireChain::new(fork);
        let node = Node::in_memory(&chain.chain, &setup);
        Self::over(chain, node)
    }

    /// At the end of a chain of ten blocks, of which no more is kept than is said.
    pub(crate) fn pruned(seed: u64, fork: Fork, retention: Retention) -> Self {
        let chain = WireChain::of_recipe(&Recipe::new(seed, fork, 10, 2));
        let mut setup = Setup::new(2);
        setup.chain.retention = retention;
        let node = Node::in_memory(&chain.chain, &setup);
        let wire = Self::over(chain, node);
        wire.follow(1..=wire.chain.last());
        wire.node.settled();
        wire
    }

    /// Over a node that runs.
    pub(crate) fn over(chain: WireChain, node: Node) -> Self {
        let mut builder = Builder::new_multi_thread();
        let builder = builder.worker_threads(2).thread_name(SERVING).enable_all();
        let runtime = builder.build().expect("threads");
        let listen = Listen { address: (Ipv4Addr::LOCALHOST, 0).into(), flag: "--test.port" };
        let vhosts = vec!["localhost".to_owned()];
        let engine =
            EngineServerOptions { listen, secret: JwtSecret::new(SECRET), vhosts: vhosts.clone() };
        let started = start_engine_server(engine, engine_methods(node.engine()));
        let engine = runtime.block_on(started).expect("a port");
        let public = PublicServerOptions {
            listen,
            transport: Transport::Both,
            vhosts,
            origins: Vec::new(),
            ws_origins: Vec::new(),
            limits: PUBLIC_LIMITS,
        };
        let started = start_public_server(public, public_methods(node.engine()));
        let public = runtime.block_on(started).expect("a port");
        Self {
            chain,
            node,
            engine: Endpoint::of_engine(engine.local_addr()),
            public: Endpoint::of_public(public.local_addr()),
            served: Some(Served { runtime, engine, public }),
        }
    }

    /// Waits for work on the runtime of the servers.
    pub(crate) fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.served.as_ref().expect("it is stopped at the end").runtime.block_on(work)
    }

    /// Sends a body with a good token, over a connection of its own.
    pub(crate) fn post(&self, body: &str) -> Response {
        let response = self.engine.post_over(&mut self.engine.connect(), body);
        openrpc::assert_answer(body, &response.body);
        response
    }

    /// Calls a method of the port of the Engine API.
    #[track_caller]
    pub(crate) fn call(&self, method: &str, params: &Value) -> Result<Value, WireError> {
        let answer = self.engine.call(method, params);
        if let Err(error) = &answer
            && method.starts_with("engine_")
        {
            check_error(method, error);
        }
        answer
    }

    /// The result of a call.
    #[track_caller]
    pub(crate) fn ok(&self, method: &str, params: &Value) -> Value {
        self.call(method, params).unwrap_or_else(|error| panic!("{method}: {error:?}"))
    }

    /// The result of a call of the public port.
    #[track_caller]
    pub(crate) fn public_ok(&self, method: &str, params: &Value) -> Value {
        let answer = self.public.call(method, params);
        answer.unwrap_or_else(|error| panic!("{method}: {error:?}"))
    }

    /// The code of the error of a call.
    #[track_caller]
    pub(crate) fn code(&self, method: &str, params: &Value) -> i64 {
        match self.call(method, params) {
            Ok(found) => panic!("{method}: no error: {found}"),
            Err(error) => error.code,
        }
    }

    /// Sends a payload. Gives what is said of it.
    #[track_caller]
    pub(crate) fn send(&self, params: &Value) -> Value {
        self.ok(&self.chain.new_payload(), params)
    }

    /// Blocks are sent, are valid, and become the head one after the other.
    #[track_caller]
    pub(crate) fn follow(&self, numbers: RangeInclusive<u64>) {
        for number in numbers {
            let hash = self.chain.hash(number);
            assert_eq!(self.send(&self.chain.params(number)), valid(hash), "block {number}");
            self.choose(&choice_of(hash));
        }
    }

    /// A fork choice of the chain's version.
    #[track_caller]
    pub(crate) fn forkchoice(&self, state: &Value, attributes: &Value) -> Result<Value, WireError> {
        let version = self.chain.versions.forkchoice;
        self.call(&format!("engine_forkchoiceUpdatedV{version}"), &json!([state, attributes]))
    }

    /// A fork choice that is followed.
    #[track_caller]
    pub(crate) fn choose(&self, state: &Value) {
        let updated = self.forkchoice(state, &Value::Null).unwrap_or_else(|it| panic!("{it:?}"));
        assert_eq!(updated["payloadStatus"]["status"], "VALID", "{updated}");
        assert_eq!(updated["payloadStatus"]["latestValidHash"], state["headBlockHash"]);
        assert_eq!(updated["payloadId"], Value::Null);
    }

    /// Begins a build on a block that becomes the head. Gives its id.
    #[track_caller]
    pub(crate) fn begin_build(&self, head: B256, attributes: &Value) -> Value {
        let updated = self.forkchoice(&choice_of(head), attributes);
        let mut updated = updated.unwrap_or_else(|error| panic!("{error:?}"));
        assert_eq!(updated["payloadStatus"], valid(head));
        assert!(updated["payloadId"].is_string(), "{updated}");
        updated["payloadId"].take()
    }

    /// A block on this one, of what the pool has.
    #[track_caller]
    pub(crate) fn build(&self, head: B256, attributes: &Value) -> Value {
        let id = self.begin_build(head, attributes);
        let version = self.chain.versions.get_payload;
        self.ok(&format!("engine_getPayloadV{version}"), &json!([id]))
    }

    /// Hash of the block that a tag names; `None` if it names none.
    #[track_caller]
    pub(crate) fn tagged(&self, tag: &str) -> Option<B256> {
        let found = self.call("eth_getBlockByNumber", &json!([tag, false])).ok()?;
        let hash = found["hash"].as_str().unwrap_or_else(|| panic!("{tag}: {found}"));
        Some(hash.parse().expect("a hash"))
    }

    /// Latest, safe and finalized.
    #[track_caller]
    pub(crate) fn marks(&self) -> [Option<B256>; 3] {
        ["latest", "safe", "finalized"].map(|tag| self.tagged(tag))
    }

    /// The deployer's nonce after the head.
    pub(crate) fn deployer_nonce(&self) -> u64 {
        let address = self.chain.deployer.address();
        let nonce = self.public_ok("eth_getTransactionCount", &json!([address, "latest"]));
        let digits = nonce.as_str().and_then(|text| text.strip_prefix("0x"));
        u64::from_str_radix(digits.expect("a quantity"), 16).expect("a quantity")
    }
}

/// E3: `data` is null, except with code -32000, where it tells what happened.
#[track_caller]
fn check_error(method: &str, error: &WireError) {
    if error.code == -32_000 {
        let told = error.data.as_ref().and_then(|data| data["err"].as_str());
        assert!(told.is_some_and(|told| !told.is_empty()), "{method}: {error:?}");
    } else {
        assert_eq!(error.data, Some(Value::Null), "{method}: {error:?}");
    }
}

/// What is said of a valid payload.
pub(crate) fn valid(hash: B256) -> Value {
    json!({ "status": "VALID", "latestValidHash": hash, "validationError": null })
}

/// What is said of a payload about which nothing is known.
pub(crate) fn open(status: &str) -> Value {
    json!({ "status": status, "latestValidHash": null, "validationError": null })
}

/// The payload is invalid, and this is its newest valid ancestor.
#[track_caller]
pub(crate) fn assert_invalid(found: &Value, latest_valid: Option<B256>, told: &str) {
    assert_eq!(found["status"], "INVALID", "{told}: {found}");
    assert_eq!(found["latestValidHash"], json!(latest_valid), "{told}: {found}");
    let why = found["validationError"].as_str();
    assert!(why.is_some_and(|why| !why.is_empty()), "{told}: {found}");
}
