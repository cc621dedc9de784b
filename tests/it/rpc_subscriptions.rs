//! What the node tells by itself, and what it is asked for from time to time: subscriptions over
//! WebSocket and IPC, filters, and calls that wait for a block. Numbers after `f` are failures of
//! other clients, of `FEATURES.md` in the design documents.

use crate::{
    engine_support::{Node, Setup, attributes_on, choice, index},
    import_support::{Recipe, Replayed, TestChain},
    openrpc,
    rules_support::{Connection, UNKNOWN, Wire, WireChain, public_methods, quantity, request},
};
use alloy_consensus::TxLegacy;
use alloy_eips::Encodable2718;
use fugue_chain::ForkchoiceVerdict;
use fugue_chainspec::Fork;
use fugue_rpc::{EthLimits, IPC_LIMITS, ListenSocket, public_module, start_ipc_server};
use fugue_types::{Address, B256, Bytes, SealedBlock, Transaction, TxKind, U256};
use fugue_workload::{CHAIN_ID, gwei};
use serde_json::{Value, json};
use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::Path,
    sync::LazyLock,
    time::Duration,
};

/// Longest that an answer may take; what is answered at all is answered in a fraction of it.
const HANG: Duration = Duration::from_secs(60);
/// Batches so large that nothing becomes durable before the end.
const LARGE: usize = 1_000;
/// So many transactions that the blocks of each branch have logs.
const ONE: Recipe =
    Recipe { seed: 0x5b5, fork: Fork::Prague, blocks: 8, transactions: 24, shared: 4, branch: 1 };
const TWO: Recipe = Recipe { blocks: 9, branch: 2, ..ONE };

/// The chain beside that of [`Stage`], which is longer.
static OTHER: LazyLock<(TestChain, Replayed)> = LazyLock::new(|| {
    let chain = TestChain::new(&TWO);
    let replayed = Replayed::new(&chain);
    (chain, replayed)
});

/// A node that serves, and two chains with the same beginning.
struct Stage {
    wire: Wire,
    of_one: Replayed,
    common: u64,
}

impl Stage {
    fn new(batch: usize) -> Self {
        let chain = WireChain::of_recipe(&ONE);
        let of_one = Replayed::new(&chain.chain);
        let common = chain.chain.fork_with(&OTHER.0);
        let node = Node::in_memory(&chain.chain, &Setup::new(batch));
        Self { wire: Wire::over(chain, node), of_one, common }
    }

    fn one(&self) -> &TestChain {
        &self.wire.chain.chain
    }

    fn own_of_one(&self) -> &[SealedBlock] {
        &self.one().blocks[index(self.common)..]
    }

    fn own_of_two(&self) -> &[SealedBlock] {
        &OTHER.0.blocks[index(self.common)..]
    }

    /// The first chain, block by block.
    fn follow(&self) {
        self.wire.node.follow(&self.one().blocks);
    }

    /// Leaves it for the second chain at once.
    fn leave(&self) {
        self.wire.node.send(self.own_of_two());
        self.wire.node.choose(choice(OTHER.0.head().hash));
    }

    /// Logs of the first chain's blocks, with what is told of them.
    fn logs_of_one(&self, numbers: impl Iterator<Item = u64>, is_removed: bool) -> Vec<Value> {
        logs_of(self.one(), &self.of_one, numbers, is_removed)
    }

    /// What is told when the head goes over to the second chain.
    fn logs_of_leaving(&self) -> Vec<Value> {
        let left = self.logs_of_one((self.common + 1..=self.one().head().number).rev(), true);
        let (two, of_two) = &*OTHER;
        let joined = logs_of(two, of_two, self.common + 1..=two.head().number, false);
        assert!(!left.is_empty() && !joined.is_empty(), "there are no logs: take another seed");
        [left, joined].concat()
    }
}

fn logs_of(
    chain: &TestChain,
    replayed: &Replayed,
    numbers: impl Iterator<Item = u64>,
    is_removed: bool,
) -> Vec<Value> {
    let mut logs = Vec::new();
    for number in numbers {
        let block = chain.block(number);
        let txs = &block.block().body.transactions;
        let found = txs.iter().zip(&replayed.receipts[index(number)]);
        let found = found.flat_map(|(tx, receipt)| receipt.logs().iter().map(move |log| (tx, log)));
        for (log_index, (tx, log)) in (0..).zip(found) {
            logs.push(json!({
                "removed": is_removed, "blockNumber": quantity(number), "blockHash": block.hash(),
                "transactionHash": tx.hash(), "logIndex": quantity(log_index),
                "address": log.address, "topics": log.topics(), "data": log.data.data,
            }));
        }
    }
    logs
}

/// The same of what is told of a log.
fn facts(log: &Value) -> Value {
    let mut facts = log.clone();
    let fields = facts.as_object_mut().unwrap_or_else(|| panic!("{log}"));
    assert!(fields.remove("blockTimestamp").is_some(), "{log}");
    assert!(fields.remove("transactionIndex").is_some(), "{log}");
    facts
}

fn hashes_of(blocks: &[SealedBlock]) -> Vec<B256> {
    blocks.iter().map(SealedBlock::hash).collect()
}

/// A connection over which the node can tell something.
enum Line {
    Socket(Connection),
    File(BufReader<UnixStream>),
}

/// Who calls and subscribes over one.
struct Caller {
    line: Line,
    /// What was told and nobody has asked for.
    told: VecDeque<Value>,
}

impl Caller {
    fn over_socket(wire: &Wire) -> Self {
        let mut connection = wire.public.connect();
        assert_eq!(connection.upgrade(&[]), 101);
        Self { line: Line::Socket(connection), told: VecDeque::new() }
    }

    fn over_file(path: &Path) -> Self {
        let stream = UnixStream::connect(path).expect("a connection");
        stream.set_read_timeout(Some(HANG)).expect("a bound on reading");
        Self { line: Line::File(BufReader::new(stream)), told: VecDeque::new() }
    }

    fn say(&mut self, text: &str) {
        match &mut self.line {
            Line::Socket(connection) => connection.say(text),
            Line::File(stream) => {
                stream.get_mut().write_all(text.as_bytes()).expect("the server reads");
            }
        }
    }

    fn hear(&mut self) -> Value {
        let text = match &mut self.line {
            Line::Socket(connection) => connection.hear(),
            Line::File(stream) => {
                let mut line = String::new();
                stream.read_line(&mut line).expect("the server answers");
                line
            }
        };
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text:?}"))
    }

    /// The answer to a call; what is told meanwhile is kept.
    fn call(&mut self, method: &str, params: &Value) -> Value {
        self.say(&request(method, params));
        loop {
            let heard = self.hear();
            if heard.get("id").is_some() {
                if let Some(result) = heard.get("result") {
                    openrpc::assert_fits(method, result);
                }
                return heard;
            }
            self.told.push_back(heard);
        }
    }

    /// Subscribes. Gives the id.
    #[track_caller]
    fn subscribe(&mut self, params: &Value) -> Value {
        let answer = self.call("eth_subscribe", params);
        let id = &answer["result"];
        assert!(id.as_str().is_some_and(|id| id.starts_with("0x")), "{answer}");
        id.clone()
    }

    /// What a subscription tells next.
    fn next(&mut self, id: &Value) -> Value {
        self.next_of("eth_subscription", id)
    }

    /// The same of notifications with this method.
    fn next_of(&mut self, method: &str, id: &Value) -> Value {
        let is_of = |told: &Value| told["params"]["subscription"] == *id;
        let mut told = match self.told.iter().position(is_of) {
            Some(position) => self.told.remove(position).expect("it is there"),
            None => loop {
                let heard = self.hear();
                if is_of(&heard) {
                    break heard;
                }
                self.told.push_back(heard);
            },
        };
        assert_eq!(told["method"], method, "{told}");
        assert!(told["params"].get("result").is_some(), "{told}");
        told["params"]["result"].take()
    }

    /// The next things that a subscription to logs tells.
    fn logs(&mut self, id: &Value, count: usize) -> Vec<Value> {
        (0..count).map(|_| facts(&self.next(id))).collect()
    }

    /// The hashes that a subscription to heads tells next.
    fn heads(&mut self, id: &Value, count: usize) -> Vec<Value> {
        (0..count).map(|_| self.next(id)["hash"].take()).collect()
    }
}

/// Over a WebSocket and over IPC, each with a node of its own.
fn over_both(batch: usize, check: impl Fn(&Stage, &mut Caller)) {
    let stage = Stage::new(batch);
    check(&stage, &mut Caller::over_socket(&stage.wire));
    drop(stage);
    let (stage, folder) = (Stage::new(batch), tempfile::tempdir().expect("a folder"));
    let listen = ListenSocket { path: folder.path().join("fugue.ipc"), flag: "--ipcpath" };
    let started = start_ipc_server(listen, IPC_LIMITS, public_methods(stage.wire.node.engine()));
    let server = stage.wire.block_on(started).expect("a socket");
    check(&stage, &mut Caller::over_file(server.path()));
    stage.wire.block_on(server.stop());
}

#[test]
fn f23_every_block_is_told_in_order_also_of_a_reorganisation() {
    over_both(LARGE, |stage, caller| {
        let id = caller.subscribe(&json!(["newHeads"]));
        stage.follow();
        for block in &stage.one().blocks {
            let (told, header) = (caller.next(&id), &block.block().header);
            assert_eq!(told["hash"], json!(block.hash()));
            assert_eq!(told["number"], json!(quantity(header.number)));
            assert_eq!(told["parentHash"], json!(header.parent_hash));
            assert_eq!(told["logsBloom"], json!(header.logs_bloom));
            assert!(told.get("transactions").is_none(), "{told}");
        }
        stage.leave();
        let own = hashes_of(stage.own_of_two());
        assert_eq!(json!(caller.heads(&id, own.len())), json!(own));
        stage.wire.node.choose(choice(stage.one().head().hash));
        let own = hashes_of(stage.own_of_one());
        assert_eq!(json!(caller.heads(&id, own.len())), json!(own));

        assert_eq!(caller.call("eth_unsubscribe", &json!([id]))["result"], true);
        let gone = json!({ "code": -32_000, "message": "subscription not found" });
        assert_eq!(caller.call("eth_unsubscribe", &json!([id]))["error"], gone);
        for wrong in [json!([]), json!([7]), json!([id, id])] {
            let answer = caller.call("eth_unsubscribe", &wrong);
            assert_eq!(answer["error"]["code"], -32_602, "{wrong}: {answer}");
        }
        stage.wire.node.choose(choice(OTHER.0.head().hash));
        let head = caller.call("eth_blockNumber", &json!([]));
        assert_eq!(head["result"], quantity(OTHER.0.head().number));
        assert!(caller.told.is_empty(), "{:?}", caller.told);
    });
}

#[test]
fn traces_of_a_range_are_told_block_by_block() {
    over_both(LARGE, |stage, caller| {
        stage.follow();
        let options = json!({ "tracer": "callTracer" });
        let last = stage.one().head().number;
        let asked = json!(["traceChain", "0x1", quantity(last), options]);
        let answer = caller.call("debug_subscribe", &asked);
        let id = answer["result"].clone();
        assert!(id.is_string(), "{answer}");
        // Traces of blocks may come before the answer to anything else.
        let mut told = 0;
        for number in 2..=last {
            if stage.one().block(number).block().body.transactions.is_empty() && number != last {
                continue;
            }
            let found = caller.next_of("debug_subscription", &id);
            let block = json!([quantity(number), options]);
            let traces = caller.call("debug_traceBlockByNumber", &block);
            let expected = json!({
                "block": quantity(number), "hash": stage.one().block(number).hash(),
                "traces": traces["result"],
            });
            assert_eq!(found, expected);
            told += 1;
        }
        assert!(told > 1 && caller.told.is_empty(), "{told} {:?}", caller.told);

        for (wrong, code) in [
            (json!(["newHeads"]), -32_602),
            (json!(["traceChain", "0x1"]), -32_602),
            (json!(["traceChain", "0x1", "0x1"]), -32_602),
            (json!(["traceChain", "0x1", "0xffff"]), -32_000),
            (json!(["traceChain", "0x0", "0x1", { "tracer": "none" }]), -32_602),
        ] {
            let answer = caller.call("debug_subscribe", &wrong);
            assert_eq!(answer["error"]["code"], code, "{wrong}: {answer}");
        }
    });
    let wire = Wire::new(Fork::Prague);
    let asked = json!(["traceChain", "earliest", "latest"]);
    let refused = wire.public.call("debug_subscribe", &asked).expect_err("nobody can be told");
    assert_eq!(refused.code, -32_601, "{refused:?}");
}

/// Logs as they come, and after a reorganisation first those that are gone, newest block first.
fn check_logs(batch: usize) {
    over_both(batch, |stage, caller| {
        let leaving = stage.logs_of_leaving();
        let sample = leaving.last().expect("there are logs");
        let filter = json!({ "address": sample["address"], "topics": sample["topics"] });
        let all = caller.subscribe(&json!(["logs", {}]));
        let some = caller.subscribe(&json!(["logs", filter]));
        let is_like = |log: &Value| {
            let (topics, wanted) = (log["topics"].as_array(), sample["topics"].as_array());
            let is_begun = topics.zip(wanted).is_some_and(|(one, two)| one.starts_with(two));
            log["address"] == sample["address"] && is_begun
        };
        let mut check = |expected: Vec<Value>| {
            assert_eq!(caller.logs(&all, expected.len()), expected);
            let like: Vec<Value> = expected.into_iter().filter(is_like).collect();
            assert_eq!(caller.logs(&some, like.len()), like);
        };
        stage.follow();
        check(stage.logs_of_one(1..=stage.one().head().number, false));
        let durable = stage.wire.node.engine().status().durable.number;
        assert_eq!(durable > stage.common, batch != LARGE, "{durable}");
        stage.leave();
        check(leaving.clone());
    });
}

#[test]
fn logs_of_blocks_that_left_the_chain_are_told_as_removed_before_the_new_ones() {
    check_logs(LARGE);
}

#[test]
fn logs_of_durable_blocks_that_left_the_chain_are_told_as_removed_too() {
    check_logs(2);
}

#[test]
fn receipts_are_told_block_by_block_of_all_transactions_or_of_those_that_are_named() {
    over_both(LARGE, |stage, caller| {
        let named = stage.one().blocks[1].block().body.transactions[2].hash();
        let all = caller.subscribe(&json!(["transactionReceipts"]));
        let filter = json!({ "transactionHashes": [named, UNKNOWN] });
        let some = caller.subscribe(&json!(["transactionReceipts", filter]));
        stage.follow();
        for number in 1..=stage.one().head().number {
            let receipts = stage.wire.public_ok("eth_getBlockReceipts", &json!([quantity(number)]));
            assert_eq!(caller.next(&all), receipts, "block {number}");
            if number == 2 {
                assert_eq!(caller.next(&some), json!([receipts[2]]));
            }
        }
    });
}

/// A transaction of who sends nothing after the first block.
fn transfer(wire: &Wire, nonce: u64) -> Transaction {
    wire.chain.deployer.legacy(TxLegacy {
        chain_id: Some(CHAIN_ID),
        nonce,
        gas_price: gwei(100),
        gas_limit: 100_000,
        to: TxKind::Call(Address::repeat_byte(0xb0)),
        value: U256::from(1),
        input: Bytes::new(),
    })
}

fn encoded(tx: &Transaction) -> Bytes {
    Bytes::from(tx.encoded_2718())
}

#[test]
fn transactions_are_told_when_they_become_executable() {
    over_both(LARGE, |stage, caller| {
        let wire = &stage.wire;
        wire.node.follow(&stage.one().blocks[..1]);
        let hashes = caller.subscribe(&json!(["newPendingTransactions"]));
        let full = caller.subscribe(&json!(["newPendingTransactions", true]));
        let filter = wire.public_ok("eth_newPendingTransactionFilter", &json!([]));
        let full_filter = wire.public_ok("eth_newPendingTransactionFilter", &json!([true]));
        let changes = |id: &Value| wire.public_ok("eth_getFilterChanges", &json!([id]));

        let nonce = wire.deployer_nonce();
        let [first, second] = [nonce, nonce + 1].map(|nonce| transfer(wire, nonce));
        // The second waits for the first.
        wire.public_ok("eth_sendRawTransaction", &json!([encoded(&second)]));
        assert_eq!(changes(&filter), json!([]));
        wire.public_ok("eth_sendRawTransaction", &json!([encoded(&first)]));
        let sender = wire.chain.deployer.address();
        for tx in [&first, &second] {
            assert_eq!(caller.next(&hashes), json!(tx.hash()));
            let told = caller.next(&full);
            assert_eq!((&told["hash"], &told["from"]), (&json!(tx.hash()), &json!(sender)));
            assert_eq!(told["blockHash"], Value::Null);
        }
        assert_eq!(changes(&filter), json!([first.hash(), second.hash()]));
        assert_eq!(changes(&filter), json!([]));
        let told = changes(&full_filter);
        assert_eq!(
            [&told[0]["hash"], &told[1]["hash"]],
            [&json!(first.hash()), &json!(second.hash())]
        );
    });
}

#[test]
fn a_missing_head_is_told_and_that_it_came() {
    over_both(LARGE, |stage, caller| {
        let id = caller.subscribe(&json!(["syncing"]));
        assert_eq!(caller.next(&id), false);
        let node = &stage.wire.node;
        assert_eq!(node.forkchoice(choice(UNKNOWN)), Ok(ForkchoiceVerdict::Syncing));
        let told = caller.next(&id);
        assert_eq!(
            (&told["syncing"], &told["status"]["currentBlock"]),
            (&json!(true), &json!("0x0"))
        );
        node.follow(&stage.one().blocks[..1]);
        assert_eq!(caller.next(&id), false);
    });
}

#[test]
fn what_cannot_be_subscribed_to_is_refused() {
    over_both(LARGE, |_, caller| {
        for (params, code) in [
            (json!([]), -32_602),
            (json!(["news"]), -32_602),
            (json!(["newHeads", 1]), -32_602),
            (json!(["logs", { "address": "0x1" }]), -32_602),
            (json!(["logs", { "blockHash": UNKNOWN }]), -32_602),
            (json!(["newPendingTransactions", "all"]), -32_602),
            (json!(["transactionReceipts", []]), -32_602),
        ] {
            let answer = caller.call("eth_subscribe", &params);
            assert_eq!(answer["error"]["code"], code, "{params}: {answer}");
        }
        // The answer to a batch comes after notifications might have come.
        caller.say(&format!("[{}]", request("eth_subscribe", &json!(["newHeads"]))));
        assert_eq!(caller.hear()[0]["error"]["code"], -32_000);
    });
}

#[test]
fn filters_tell_what_has_changed_since_they_were_asked_last() {
    let stage = Stage::new(LARGE);
    let (wire, common) = (&stage.wire, stage.common);
    wire.node.follow(&stage.one().blocks[..index(common)]);
    // Opened over one connection, asked over others.
    let mut caller = Caller::over_socket(wire);
    let mut open = |method: &str, params: Value| caller.call(method, &params)["result"].take();
    let logs = open("eth_newFilter", json!([{}]));
    let bounded = json!({ "fromBlock": "0x0", "toBlock": quantity(common + 1) });
    let bounded = open("eth_newFilter", json!([bounded]));
    let blocks = open("eth_newBlockFilter", json!([]));
    let changes = |id: &Value| wire.public_ok("eth_getFilterChanges", &json!([id]));
    let logs_in = |id: &Value| -> Vec<Value> {
        changes(id).as_array().expect("a list").iter().map(facts).collect()
    };
    assert_eq!([changes(&logs), changes(&blocks)], [json!([]), json!([])]);

    wire.node.follow(stage.own_of_one());
    assert_eq!(logs_in(&logs), stage.logs_of_one(common + 1..=stage.one().head().number, false));
    assert_eq!(logs_in(&bounded), stage.logs_of_one(common + 1..=common + 1, false));
    assert_eq!(changes(&blocks), json!(hashes_of(stage.own_of_one())));
    assert_eq!([changes(&logs), changes(&blocks)], [json!([]), json!([])]);

    stage.leave();
    assert_eq!(logs_in(&logs), stage.logs_of_leaving());
    assert_eq!(changes(&blocks), json!(hashes_of(stage.own_of_two())));
    // What has come and gone between two questions is not told.
    for head in [stage.one().head(), OTHER.0.head()] {
        wire.node.choose(choice(head.hash));
    }
    assert_eq!([changes(&logs), changes(&blocks)], [json!([]), json!([])]);
    // The head may also go down its own chain, and up again.
    let [last, before] = [0, 1].map(|depth| OTHER.0.head().number - depth);
    wire.node.choose(choice(OTHER.0.hash(before)));
    assert_eq!(changes(&blocks), json!([]));
    wire.node.choose(choice(OTHER.0.hash(last)));
    assert_eq!(changes(&blocks), json!([OTHER.0.hash(last)]));

    let found = wire.public_ok("eth_getFilterLogs", &json!([logs]));
    assert_eq!(found, wire.public_ok("eth_getLogs", &json!([{}])));
    let error = wire.public.call("eth_getFilterLogs", &json!([blocks])).expect_err("no logs");
    assert_eq!((error.code, error.message.as_str()), (-32_000, "filter not found"));
    assert_eq!(wire.public_ok("eth_uninstallFilter", &json!([logs])), true);
    assert_eq!(wire.public_ok("eth_uninstallFilter", &json!([logs])), false);
    let error = wire.public.call("eth_getFilterChanges", &json!([logs])).expect_err("it is gone");
    assert_eq!((error.code, error.message.as_str()), (-32_000, "filter not found"));
}

#[test]
fn logs_above_a_head_that_was_taken_back_are_removed_and_come_again() {
    for batch in [2, LARGE] {
        let stage = Stage::new(batch);
        let (wire, common, last) = (&stage.wire, stage.common, stage.one().head().number);
        stage.follow();
        wire.node.settled();
        let logs = wire.public_ok("eth_newFilter", &json!([{}]));
        let logs_in = || -> Vec<Value> {
            let changes = wire.public_ok("eth_getFilterChanges", &json!([logs]));
            changes.as_array().expect("a list").iter().map(facts).collect()
        };
        wire.public_ok("debug_setHead", &json!([quantity(common)]));
        let removed = logs_in();
        assert!(!removed.is_empty());
        assert_eq!(removed, stage.logs_of_one((common + 1..=last).rev(), true), "{batch}");
        wire.node.choose(choice(stage.one().head().hash));
        assert_eq!(logs_in(), stage.logs_of_one(common + 1..=last, false), "{batch}");
    }
}

#[test]
fn a_call_waits_for_a_block_with_its_transaction() {
    let stage = Stage::new(LARGE);
    let wire = &stage.wire;
    wire.node.follow(&stage.one().blocks[..1]);
    let method = "eth_sendRawTransactionSync";
    let nonce = wire.deployer_nonce();
    let tx = transfer(wire, nonce);
    let (public, params) = (wire.public, json!([encoded(&tx)]));
    let (block, receipt) = std::thread::scope(|scope| {
        let waiting = scope.spawn(move || public.call(method, &params));
        while wire.node.engine().pool().get(tx.hash()).is_none() {
            assert!(!waiting.is_finished(), "it does not wait");
            std::thread::yield_now();
        }
        let parent = &stage.one().blocks[0];
        let attributes = attributes_on(&parent.block().header);
        let built = wire.node.build(choice(parent.hash()), &attributes);
        wire.node.follow(std::slice::from_ref(&built.block));
        (built.block.hash(), waiting.join().expect("no panic").expect("a receipt"))
    });
    assert_eq!(receipt["blockHash"], json!(block));
    assert_eq!(receipt, wire.public_ok("eth_getTransactionReceipt", &json!([tx.hash()])));

    // There is no block with the next one, and none can have the one after the next.
    let next = transfer(wire, nonce + 1);
    for (tx, code) in [(&next, 4), (&transfer(wire, nonce + 3), 5)] {
        let error = wire.public.call(method, &json!([encoded(tx), 1])).expect_err("no block");
        assert_eq!((error.code, error.data), (code, Some(json!(tx.hash()))), "{}", error.message);
    }
    let error = wire.public.call(method, &json!([encoded(&next), "0x1"])).expect_err("sent twice");
    assert_eq!((error.code, error.message.as_str()), (1_000, "already known"));
}

#[test]
fn f12_a_subscriber_that_does_not_read_is_cut_off() {
    let stage = Stage::new(LARGE);
    let wire = &stage.wire;
    stage.follow();
    let limits = EthLimits { kept_moves_max: 8, ..EthLimits::default() };
    let apis = ["eth".to_owned()];
    let methods = public_module(wire.node.engine().clone(), limits, &apis).expect("methods");
    let text = request("eth_subscribe", &json!(["newHeads"]));
    let subscribed = wire.block_on(methods.raw_json_request(&text, 1));
    let (answer, mut told) = subscribed.expect("a good request");
    assert!(answer.get().contains("result"), "{answer}");
    let last = stage.one().head().number;
    for _ in 0..200 {
        for number in [last - 1, last] {
            wire.node.choose(choice(stage.one().hash(number)));
        }
    }
    let heard = async {
        let mut heard: Vec<Value> = Vec::new();
        while let Some(message) = told.recv().await {
            heard.push(serde_json::from_str(message.get()).expect("JSON"));
        }
        heard
    };
    // It ends.
    let heard = wire.block_on(async { tokio::time::timeout(HANG, heard).await });
    let heard = heard.expect("the subscription ends");
    assert!(heard.len() < 10, "{} messages were kept", heard.len());
    let (last, before) = heard.split_last().expect("something is told");
    let error = &last["params"]["error"];
    assert_eq!(error["code"], -32_000, "{last}");
    let message = error["message"].as_str().expect("a message");
    assert!(message.starts_with("the subscription was too slow"), "{message}");
    assert!(message.ends_with("; 8 are kept at most, of 67108864 bytes"), "{message}");
    assert!(before.iter().all(|told| told["params"].get("result").is_some()), "{before:?}");
}
