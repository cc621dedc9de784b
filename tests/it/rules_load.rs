//! The program under load, on loopback: the payloads of a chain come in their order, while many
//! connections send to all of its ports what they may send and what they may not.
//!
//! The node is the program, in a process of its own. Those who send are threads of this one, and
//! have the lowest priority: they stand for other machines, whose processors are not the node's.
//! Nothing is asserted of time; how long `engine_newPayload` took is printed.

use crate::{
    engine_support::changed,
    node_support::{Running, Site},
    rules_support::{
        Connection, Endpoint, UNKNOWN, WireChain, WireError, assert_invalid, bearer, choice_of,
        head, open, quantity, request, token, valid,
    },
};
use alloy_eips::Encodable2718;
use fugue_rpc::{ENGINE_BODY_BYTES_MAX, PUBLIC_LIMITS};
use fugue_types::{Address, Bytes, SealedBlock, TransactionTrait as _, keccak256};
use fugue_workload::{MarketSize, call, selector, word};
use jsonwebtoken::{Algorithm, get_current_timestamp};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    ops::RangeInclusive,
    sync::{
        Condvar, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{Scope, ScopedJoinHandle},
    time::{Duration, Instant},
};

/// Accounts of the chain.
const ACCOUNTS: usize = 10_000;
/// Transactions of a block: its payload then takes some 20 ms.
const TXS: usize = 300;
/// Payloads before the load, and beside it.
const IDLE: u64 = 20;
const LOADED: u64 = 40;
/// Blocks after those, which are sent too early all the time.
const LATER: u64 = 6;
/// Connections that read blocks, states and logs, run code, and send transactions.
const READERS: u64 = 24;
/// WebSockets.
const SOCKETS: u64 = 4;
/// Callers of the port of the Engine API who do not have the secret.
const STRANGERS: u64 = 8;
/// Those who have it, beside the one who sends the payloads.
const CLIENTS: u64 = 4;
/// Kinds of requests of readers, of strangers, of clients.
const READS: u64 = 11;
const INTRUSIONS: u64 = 5;
const STEPS: u64 = 10;
/// Answers to readers that are waited for before each payload: all of them are busy by then.
const ANSWERS: u64 = 2 * READERS;
/// Heads for each block that is executed and found invalid: that takes longer than a payload, and
/// what comes meanwhile has to wait, by the order of calls.
const HEADS_PER_INVALID: u64 = 4;
/// Blocks that a filter of logs spans.
const LOG_BLOCKS: u64 = 8;
/// Longest that readers may take for their answers; what is answered at all takes a fraction of it.
const HANG: Duration = Duration::from_secs(60);
/// Most memory that the node may have, pages of the database's file included. The allocator keeps
/// large pages for each thread, and there are as many of those as public calls at a time.
const RESIDENT_BYTES_MAX: u64 = 3 << 29;

/// How many calls of readers were answered.
#[derive(Default)]
struct Answered {
    count: Mutex<u64>,
    more: Condvar,
}

impl Answered {
    fn add(&self) {
        *self.count.lock().expect("nobody panics with it") += 1;
        self.more.notify_all();
    }

    /// Waits for so many more.
    fn wait_for(&self, more: u64) {
        let count = self.count.lock().expect("nobody panics with it");
        let until = *count + more;
        let waited = self.more.wait_timeout_while(count, HANG, |count| *count < until);
        let timeout = waited.expect("nobody panics with it").1;
        assert!(!timeout.timed_out(), "readers are not answered");
    }
}

/// Ends the load when it is dropped, also by a panic: those who send are waited for.
struct Ending<'l>(&'l AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What all who send share.
struct Load<'l> {
    chain: &'l WireChain,
    /// Calls of `engine_newPayload` as they are sent, from block 1 on.
    payloads: Vec<String>,
    /// A contract that many transactions call.
    token: Address,
    engine: Endpoint,
    public: Endpoint,
    websocket: Endpoint,
    /// Number of the head.
    head: AtomicU64,
    /// Number of the head at which an invalid block was executed last.
    judged: AtomicU64,
    answered: Answered,
    is_over: AtomicBool,
}

impl<'l> Load<'l> {
    fn new(chain: &'l WireChain, node: &Running) -> Self {
        let method = chain.new_payload();
        let payloads = (1..=chain.last()).map(|number| request(&method, &chain.params(number)));
        Self {
            chain,
            payloads: payloads.collect(),
            token: token_of(chain.chain.block(1)),
            engine: node.engine(),
            public: node.public(),
            websocket: node.websocket(),
            head: AtomicU64::new(0),
            judged: AtomicU64::new(0),
            answered: Answered::default(),
            is_over: AtomicBool::new(false),
        }
    }

    fn head(&self) -> u64 {
        self.head.load(Ordering::Relaxed)
    }

    fn payload(&self, number: u64) -> &str {
        &self.payloads[usize::try_from(number - 1).expect("few blocks")]
    }

    /// Begins everything that is sent beside the payloads. Each gives how often it has sent.
    fn begin<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
    ) -> Vec<ScopedJoinHandle<'scope, u64>> {
        let mut senders = Vec::new();
        for seed in 0..READERS {
            senders.push(scope.spawn(move || {
                let mut connection = self.public.connect();
                self.keep_on(seed, |nth| {
                    self.read(&mut connection, nth);
                    self.answered.add();
                })
            }));
        }
        for seed in 0..SOCKETS {
            senders.push(scope.spawn(move || {
                let mut socket = self.websocket.connect();
                assert_eq!(socket.upgrade(&[]), 101);
                self.keep_on(seed, |_| exchange(&mut socket))
            }));
        }
        for seed in 0..STRANGERS {
            senders.push(scope.spawn(move || self.keep_on(seed, |nth| self.intrude(nth))));
        }
        for seed in 0..CLIENTS {
            senders.push(scope.spawn(move || {
                let mut connection = self.engine.connect();
                self.keep_on(seed, |nth| self.steer(&mut connection, nth))
            }));
        }
        senders
    }

    /// Sends until the load ends, with the lowest priority. Gives how often.
    fn keep_on(&self, seed: u64, mut send: impl FnMut(u64)) -> u64 {
        give_way();
        let mut count = 0;
        // Once in any case, however late this thread begins.
        loop {
            send(seed + count);
            count += 1;
            if self.is_over.load(Ordering::Relaxed) {
                return count;
            }
        }
    }

    /// A request of the public port.
    fn read(&self, connection: &mut Connection, nth: u64) {
        let Self { chain, token, public, .. } = self;
        let (head, turn) = (self.head(), nth / READS);
        let number = 1 + turn % head;
        let block = chain.chain.block(number);
        let mut ask = |method: &str, params: Value| {
            taken(method, public.call_over(connection, method, &params))
        };
        match nth % READS {
            0 => {
                if let Some(found) = ask("eth_getBlockByNumber", json!([quantity(number), true])) {
                    assert_eq!(found["hash"], json!(block.hash()));
                }
            }
            1 => {
                let from = head.saturating_sub(LOG_BLOCKS);
                let filter = json!({
                    "address": token, "fromBlock": quantity(from), "toBlock": quantity(head),
                });
                if let Some(found) = ask("eth_getLogs", json!([filter])) {
                    assert!(found.as_array().is_some_and(|logs| !logs.is_empty()), "no logs");
                }
            }
            2 => {
                let data = call("Token", "balanceOf(address)", &[word(*token)]);
                let found = ask("eth_call", json!([{ "to": token, "data": data }, "latest"]));
                assert!(found.is_none_or(|found| found.as_str().map(str::len) == Some(66)));
            }
            3 => {
                let tx = &block.block().body.transactions[0];
                if let Some(found) = ask("eth_getTransactionReceipt", json!([tx.hash()])) {
                    assert_eq!(found["blockNumber"], json!(quantity(number)));
                }
            }
            4 => {
                let found = ask("eth_getBlockReceipts", json!([quantity(number)]));
                let count = found.map(|found| found.as_array().map(Vec::len));
                assert!(count.is_none_or(|count| count == Some(TXS)), "{count:?}");
            }
            5 => {
                let found = ask("eth_feeHistory", json!(["0x8", "latest", [10, 50, 90]]));
                assert!(found.is_none_or(|found| found["baseFeePerGas"].is_array()));
            }
            6 => {
                // A transaction of a block that is yet to come.
                let later = chain.chain.block((head + 1 + turn % LATER).min(chain.last()));
                let txs = &later.block().body.transactions;
                let tx = &txs[nth as usize % txs.len()];
                let sent = ask("eth_sendRawTransaction", json!([Bytes::from(tx.encoded_2718())]));
                assert!(sent.is_none_or(|hash| hash == json!(tx.hash())));
            }
            7 => {
                let balance = request("eth_getBalance", &json!([token, "latest"]));
                let calls = vec![balance; 50].join(",");
                let response = public.post_over(connection, &format!("[{calls}]"));
                let answers: Value = serde_json::from_str(&response.body).expect("JSON");
                assert_eq!(answers.as_array().map(Vec::len), Some(50), "{answers}");
            }
            8 => send_head(public.connect(), &[], PUBLIC_LIMITS.body_bytes_max as usize + 1, 413),
            9 => {
                let response = public.post_over(&mut public.connect(), "{ no JSON");
                assert!(response.body.contains("-32700"), "{response:?}");
            }
            _ => {
                let error = public.call_over(connection, "engine_newPayloadV4", &json!([]));
                assert_eq!(error.expect_err("not here").code, -32_601);
            }
        }
    }

    /// What somebody without the secret sends to the port of the Engine API, over a connection of
    /// its own.
    fn intrude(&self, nth: u64) {
        let body = request("eth_chainId", &json!([]));
        let mut connection = self.engine.connect();
        match nth % INTRUSIONS {
            0 => assert_eq!(connection.post(&[], &body).status, 401),
            1 => {
                let claims = json!({ "iat": get_current_timestamp() });
                let forged = token(Algorithm::HS256, &[0x22; 32], &claims);
                let forged = format!("Bearer {forged}");
                let response = connection.post(&[("authorization", forged.as_str())], &body);
                assert_eq!(response.status, 401);
            }
            2 => send_head(connection, &[], ENGINE_BODY_BYTES_MAX as usize + 1, 401),
            3 => {
                connection.write(b"\x16\x03\x01 nothing of HTTP\r\n\r\n");
                connection.read_to_end();
            }
            // Half of a request, and its sender goes.
            _ => connection.write(&head("POST", &[], body.len()).as_bytes()[..20]),
        }
    }

    /// What somebody with the secret sends there: whatever is not the next payload.
    fn steer(&self, connection: &mut Connection, nth: u64) {
        let Self { chain, engine, .. } = self;
        let (head, turn, method) = (self.head(), nth / STEPS, chain.new_payload());
        let unique = keccak256([nth.to_be_bytes(), head.to_be_bytes()].concat());
        let mut call = |method: &str, params: &Value| engine.call_over(connection, method, params);
        match nth % STEPS {
            0 => {
                // A block that is there, and is not executed again.
                let number = 1 + turn % head;
                let response = engine.post_over(connection, self.payload(number));
                assert_eq!(response.result(), Ok(valid(chain.hash(number))));
            }
            1 => {
                // A block whose parent comes later, but not while this goes on.
                let number = chain.last() - turn % (LATER - 1);
                let response = engine.post_over(connection, self.payload(number));
                assert_eq!(response.result(), Ok(open("SYNCING")));
            }
            2 => {
                // A block whose parent never comes.
                let lost = changed(chain.chain.block(head), |header| header.parent_hash = unique);
                assert_eq!(call(&method, &chain.params_of(&lost)), Ok(open("SYNCING")));
            }
            3 => {
                let mut params = chain.params(head);
                params[0]["blockHash"] = json!(UNKNOWN);
                assert_invalid(&call(&method, &params).expect("a status"), None, "another hash");
            }
            4 if self.is_to_be_judged(head) => {
                let bad = changed(chain.chain.block(head), |header| header.state_root = unique);
                let found = call(&method, &chain.params_of(&bad)).expect("a status");
                assert_invalid(&found, Some(chain.hash(head - 1)), "another state root");
            }
            4 => {
                let params = json!(["0x1", "0x2"]);
                let found = call("engine_getPayloadBodiesByRangeV1", &params).expect("bodies");
                assert_eq!(found.as_array().map(Vec::len), Some(2), "{found}");
            }
            5 => {
                let error = call(&method, &json!([{}])).expect_err("an error");
                assert_eq!(error.code, -32_602, "{error:?}");
            }
            6 => {
                let params = json!([choice_of(UNKNOWN), null]);
                let found = call("engine_forkchoiceUpdatedV3", &params).expect("a result");
                assert_eq!(found["payloadStatus"], open("SYNCING"));
            }
            7 => {
                let bearer = bearer();
                let headers = [("authorization", bearer.as_str())];
                send_head(engine.connect(), &headers, ENGINE_BODY_BYTES_MAX as usize + 1, 413);
            }
            8 => {
                let response = engine.post_over(&mut engine.connect(), "{ no JSON");
                assert!(response.body.contains("-32700"), "{response:?}");
            }
            _ => {
                let calls = vec![request("eth_chainId", &json!([])); 50].join(",");
                let response = engine.post_over(connection, &format!("[{calls}]"));
                assert_eq!(response.status, 200, "{response:?}");
            }
        }
    }

    /// Whether it is time for a block that is executed and invalid.
    fn is_to_be_judged(&self, head: u64) -> bool {
        head.is_multiple_of(HEADS_PER_INVALID)
            && self.judged.fetch_max(head, Ordering::Relaxed) < head
    }
}

/// The contract of tokens that the first transfer of tokens in a block calls.
fn token_of(block: &SealedBlock) -> Address {
    let transfer = selector("Token", "transfer(address,uint256)");
    let mut txs = block.block().body.transactions.iter();
    let found = txs.find(|tx| (**tx).input().starts_with(&transfer));
    found.and_then(|tx| tx.to()).expect("a third of them are so")
}

/// A result; `None` where the call was refused: there is little room for those that run code, and
/// the pool does not take everything.
fn taken(method: &str, answer: Result<Value, WireError>) -> Option<Value> {
    match answer {
        Ok(found) => Some(found),
        Err(error) => {
            let is_rejected = method == "eth_sendRawTransaction"
                && matches!(error.code, 1 | 2 | 800..=809 | 1_000 | -32_003);
            assert!(is_rejected || error.code == -32_000, "{method}: {error:?}");
            None
        }
    }
}

/// Sends the head of a request alone, whose body is too large, and waits for this status.
fn send_head(mut connection: Connection, headers: &[(&str, &str)], bytes: usize, status: u16) {
    connection.write(head("POST", headers, bytes).as_bytes());
    assert_eq!(connection.read().status, status);
}

/// A call over a WebSocket.
fn exchange(socket: &mut Connection) {
    let answer = socket.exchange(&request("eth_blockNumber", &json!([])));
    let answer: Value = serde_json::from_str(&answer).expect("JSON");
    assert!(answer["result"].is_string(), "{answer}");
}

/// Lets everything else of this machine go first, from here on with this thread: by the least
/// priority, and where there is `chrt`, by the policy that runs only what else would be idle time.
/// By priority alone, so many threads would weigh as much as one of the node's.
#[cfg(target_os = "linux")]
fn give_way() {
    let thread = rustix::thread::gettid();
    rustix::process::setpriority_process(Some(thread), 19).expect("it may always be lowered");
    let thread = thread.as_raw_nonzero().to_string();
    let _ = std::process::Command::new("chrt").args(["--idle", "--pid", "0", &thread]).status();
}

#[cfg(not(target_os = "linux"))]
fn give_way() {}

/// How the node bore payloads.
#[derive(Default)]
struct Borne {
    /// How long each took.
    times: Vec<Duration>,
    /// Most memory that it had after one of them.
    resident_bytes: u64,
}

impl Borne {
    fn median(&mut self) -> Duration {
        self.times.sort_unstable();
        self.times[self.times.len() / 2]
    }
}

/// The blocks come in their order, each after `before`, and each becomes the head.
fn follow(
    load: &Load<'_>,
    node: &Running,
    numbers: RangeInclusive<u64>,
    before: impl Fn(),
) -> Borne {
    let Load { chain, engine, .. } = load;
    let method = format!("engine_forkchoiceUpdatedV{}", chain.versions.forkchoice);
    let mut connection = engine.connect();
    let mut borne = Borne::default();
    for number in numbers {
        let hash = chain.hash(number);
        before();
        let started = Instant::now();
        let response = engine.post_over(&mut connection, load.payload(number));
        borne.times.push(started.elapsed());
        assert_eq!(response.result(), Ok(valid(hash)), "block {number}");
        let params = json!([choice_of(hash), null]);
        let updated = engine.call_over(&mut connection, &method, &params);
        let expected = json!({ "payloadStatus": valid(hash), "payloadId": null });
        assert_eq!(updated, Ok(expected), "block {number}");
        load.head.store(number, Ordering::Relaxed);
        let resident_bytes = node.resident_bytes().unwrap_or_default();
        borne.resident_bytes = borne.resident_bytes.max(resident_bytes);
    }
    borne
}

#[test]
fn payloads_are_answered_while_many_connections_send_all_kinds_of_requests() {
    let last = IDLE + LOADED + LATER;
    let blocks = usize::try_from(last).expect("few blocks");
    let size = MarketSize::new(ACCOUNTS, TXS);
    let (chain, state) = WireChain::of_market(0x10ad, &size, blocks);
    let site = Site::new(chain);
    let chain = &site.chain;
    let node = site.start(&["--http", "--http.port", "0", "--ws", "--ws.port", "0"]);
    let load = Load::new(chain, &node);

    let mut idle = follow(&load, &node, 1..=IDLE, || ());
    let (mut loaded, sent) = std::thread::scope(|scope| {
        let ending = Ending(&load.is_over);
        let senders = load.begin(scope);
        let numbers = IDLE + 1..=IDLE + LOADED;
        let loaded = follow(&load, &node, numbers, || load.answered.wait_for(ANSWERS));
        drop(ending);
        let counts = senders.into_iter().map(|sender| sender.join().expect("a sender"));
        (loaded, counts.collect::<Vec<u64>>())
    });
    assert!(sent.iter().all(|count| *count > 0), "{sent:?}");
    follow(&load, &node, IDLE + LOADED + 1..=last, || ());

    // Nothing is lost: the head is the last block, and the state is the one after it.
    let (engine, public) = (load.engine, load.public);
    site.assert_head(engine, last);
    let txs = &chain.chain.block(last).block().body.transactions;
    let touched: BTreeSet<Address> = txs.iter().filter_map(|tx| tx.to()).collect();
    let mut connection = public.connect();
    for address in touched {
        let found =
            public.call_over(&mut connection, "eth_getBalance", &json!([address, "latest"]));
        let expected = state.accounts.get(&address).map(|found| found.account.balance);
        assert_eq!(found, Ok(json!(expected.unwrap_or_default())), "{address}");
    }
    node.stop();
    site.place.datadir("data").check(chain.chain.head());

    let resident = idle.resident_bytes.max(loaded.resident_bytes);
    let (idle, loaded) = (idle.median().as_secs_f64(), loaded.median().as_secs_f64());
    let (requests, connections) = (sent.iter().sum::<u64>(), sent.len());
    println!(
        "newPayload of {TXS} transactions, median: {:.1} ms idle, {:.1} ms beside {requests} \
         requests of {connections} connections: {:.2} times as long; at most {} MiB resident",
        1e3 * idle,
        1e3 * loaded,
        loaded / idle,
        resident >> 20,
    );
    assert!(resident <= RESIDENT_BYTES_MAX, "{resident} bytes");
}
