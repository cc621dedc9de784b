//! The public methods on bad days: blocks full of code that says anything, callers that leave their
//! traces behind, WebSockets whose other end is gone, says too much, or breaks the rules of frames,
//! branches that meet where the past is cut off. Numbers after `f` are those of `rules_http`.

use crate::{
    engine_support::{Node, Setup, choice, index},
    import_support::{Recipe, TestChain},
    rules_limits::Limited,
    rules_support::{
        Connection, Endpoint, SERVING, Wire, WireChain, bearer, head, quantity, request,
    },
    support::in_time,
};
use alloy_consensus::TxEip1559;
use alloy_eips::Encodable2718;
use fugue_chain::Retention;
use fugue_chainspec::Fork;
use fugue_rpc::{EthLimits, PUBLIC_LIMITS, PublicLimits};
use fugue_storage::{Faults, Store};
use fugue_types::{Address, B256, Bytes, Transaction, TxKind};
use fugue_workload::{CHAIN_ID, gwei};
use serde_json::{Value, json};
use std::{collections::BTreeSet, time::Duration};

const HOUR: Duration = Duration::from_secs(3_600);
/// Short enough to be waited for.
const IDLE: Duration = Duration::from_secs(1);
/// Topics of a log, at most.
const TOPICS_MAX: u8 = 4;

/// What code may say when it reverts, or as the data of a log: errors as compilers write them, the
/// same with something wrong in them, and garbage.
fn sayings() -> Vec<Vec<u8>> {
    let word = |last: u8| {
        let mut word = [0; 32];
        word[31] = last;
        word
    };
    let error = |words: &[[u8; 32]], text: &[u8]| {
        [&[0x08, 0xc3, 0x79, 0xa0][..], words.concat().as_slice(), text].concat()
    };
    let panicked = |code: [u8; 32]| [&[0x4e, 0x48, 0x7b, 0x71][..], &code].concat();
    vec![
        vec![],
        vec![0x08, 0xc3, 0x79],
        error(&[], b""),
        error(&[word(32), word(4)], b"good"),
        error(&[word(32), word(3)], &[0xff, 0xfe, 0x00]),
        error(&[word(32), [0xff; 32]], b"too long"),
        error(&[[0xff; 32], word(4)], b"nowhere"),
        panicked(word(0x11)),
        panicked([0xff; 32]),
        vec![0xab; 200],
    ]
}

/// Brings data into memory, does something with them, and ends. `act` has what lies on the stack
/// below their place and size, and what is done.
fn code(data: &[u8], below: &[u8], act: &[u8]) -> Vec<u8> {
    let size = u8::try_from(data.len()).expect("short data");
    // PUSH1 size, PUSH1 offset, PUSH0, CODECOPY; then PUSH1 size, PUSH0.
    let begin = [&[0x60, size, 0x60, 0, 0x5f, 0x39][..], below, &[0x60, size, 0x5f], act].concat();
    let mut code = begin.clone();
    code[3] = u8::try_from(begin.len()).expect("short code");
    code.extend(data);
    code
}

fn reverting(data: &[u8]) -> Vec<u8> {
    code(data, &[], &[0xfd])
}

/// Logs the data with so many topics, each of them all ones, and stops.
fn logging(data: &[u8], topics: u8) -> Vec<u8> {
    let ones = [0x5f, 0x19].repeat(usize::from(topics));
    code(data, &ones, &[0xa0 + topics, 0x00])
}

/// A creation whose code is run at once.
fn creation(wire: &Wire, nonce: u64, code: &[u8]) -> Transaction {
    wire.chain.deployer.eip1559(TxEip1559 {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit: 200_000,
        max_fee_per_gas: gwei(100),
        max_priority_fee_per_gas: gwei(2),
        to: TxKind::Create,
        input: Bytes::copy_from_slice(code),
        ..TxEip1559::default()
    })
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("no list: {value}"))
}

/// What is told over a WebSocket next.
fn told(listener: &mut Connection) -> Value {
    let text = listener.hear();
    let mut told: Value = serde_json::from_str(&text).expect("JSON");
    assert!(told["params"].get("error").is_none(), "{told}");
    told["params"]["result"].take()
}

#[test]
fn f3_a_block_whose_code_says_anything_is_imported_told_of_traced_and_left() {
    let wire = Wire::new(Fork::Prague);
    wire.follow(1..=2);
    let mut listener = wire.public.connect();
    assert_eq!(listener.upgrade(&[]), 101);
    for kind in ["logs", "transactionReceipts"] {
        let answer = listener.exchange(&request("eth_subscribe", &json!([kind])));
        assert!(answer.contains("result"), "{answer}");
    }
    let sayings = sayings();
    let mut codes: Vec<Vec<u8>> = sayings.iter().map(|data| reverting(data)).collect();
    // INVALID.
    codes.push(vec![0xfe]);
    let failing = codes.len();
    let logs: Vec<(u8, &Vec<u8>)> = (0..=TOPICS_MAX)
        .flat_map(|topics| sayings.iter().map(move |data| (topics, data)))
        .collect();
    codes.extend(logs.iter().map(|(topics, data)| logging(data, *topics)));
    let nonces = wire.deployer_nonce()..;
    let txs: Vec<Bytes> = nonces
        .zip(&codes)
        .map(|(nonce, code)| creation(&wire, nonce, code).encoded_2718().into())
        .collect();
    let order = json!([wire.chain.attributes(2), txs]);
    let block = wire.public_ok("testing_commitBlockV1", &order);

    let receipts = wire.public_ok("eth_getBlockReceipts", &json!([block]));
    assert_eq!(list(&receipts).len(), codes.len());
    for (nth, receipt) in list(&receipts).iter().enumerate() {
        let status = if nth < failing { "0x0" } else { "0x1" };
        assert_eq!(receipt["status"], status, "{nth}: {receipt}");
    }
    let found = wire.public_ok("eth_getLogs", &json!([{ "blockHash": block }]));
    assert_eq!(list(&found).len(), logs.len());
    for (log, (topics, data)) in list(&found).iter().zip(&logs) {
        assert_eq!(log["data"], json!(Bytes::copy_from_slice(data)), "{log}");
        assert_eq!(list(&log["topics"]).len(), usize::from(*topics), "{log}");
    }
    // Each log, and all receipts at once.
    let heard: Vec<Value> = (0..=logs.len()).map(|_| told(&mut listener)).collect();
    assert_eq!(heard.iter().filter(|told| told["removed"] == false).count(), logs.len());
    let of_receipts = heard.iter().filter(|told| told.is_array());
    assert_eq!(of_receipts.map(|told| list(told).len()).collect::<Vec<_>>(), [codes.len()]);

    let with_logs = json!({ "tracer": "callTracer", "tracerConfig": { "withLog": true } });
    let calls = wire.public_ok("debug_traceBlockByHash", &json!([block, with_logs]));
    assert_eq!(list(&calls).len(), codes.len());
    for (nth, traced) in list(&calls).iter().enumerate() {
        let frame = &traced["result"];
        assert_eq!(frame.get("error").is_some(), nth < failing, "{nth}: {frame}");
        if let Some(data) = sayings.get(nth).filter(|data| !data.is_empty()) {
            assert_eq!(frame["output"], json!(Bytes::copy_from_slice(data)), "{frame}");
        }
    }
    for method in ["trace_block", "debug_traceBlockByHash", "ots_getBlockDetailsByHash"] {
        wire.public_ok(method, &json!([block]));
    }
    // And the next block takes its place.
    wire.follow(3..=4);
    let mut removed = 0;
    while removed < logs.len() {
        removed += usize::from(told(&mut listener)["removed"] == true);
    }
}

#[test]
fn f9_f23_traces_that_nobody_waits_for_make_room_while_blocks_come() {
    let wire = Wire::new(Fork::Prague);
    wire.follow(1..=2);
    let of_calls = EthLimits {
        call_gas_max: 1_000_000_000_000_000,
        call_time_max: HOUR,
        trace_time_max: HOUR,
        tracing_calls_max: 1,
        ..EthLimits::default()
    };
    let limited = Limited::offering(&wire, &["debug"], PUBLIC_LIMITS, of_calls);
    let endpoint = Endpoint::of_public(limited.address);
    // JUMPDEST, GAS, BALANCE, POP, PUSH0, JUMP: looks at one account after the other, for years.
    let message = json!({ "data": "0x5b5a31505f56" });
    let endless =
        request("debug_traceCall", &json!([message, "latest", { "tracer": "callTracer" }]));
    let bodies = request("engine_getPayloadBodiesByRangeV1", &json!(["0x1", "0x400"]));
    for number in 3..=wire.chain.last() {
        let mut gone = endpoint.connect();
        gone.write(format!("{}{endless}", head("POST", &[], endless.len())).as_bytes());
        let mut gone_too = wire.engine.connect();
        let bearer = bearer();
        let headers = [("authorization", bearer.as_str())];
        gone_too.write(format!("{}{bodies}", head("POST", &headers, bodies.len())).as_bytes());
        wire.follow(number..=number);
        drop((gone, gone_too));
        let traced = endpoint.call("debug_traceBlockByNumber", &json!([quantity(number), {}]));
        let txs = wire.chain.chain.block(number).block().body.transactions.len();
        assert_eq!(traced.as_ref().map(|traced| list(traced).len()), Ok(txs), "{traced:?}");
    }
}

#[test]
fn balances_are_told_while_as_many_search_as_may_wait_or_run() {
    let (chain, faults) = (WireChain::new(Fork::Prague), Faults::counted());
    let store = Store::memory(faults.clone());
    let node = Node::open(store, None, &chain.chain.genesis, &Setup::new(1_000));
    let wire = Wire::over(chain, node.expect("a good store"));
    let of_calls = EthLimits {
        searching_calls_max: 2,
        waiting_calls_max: 2,
        call_time_max: HOUR,
        ..EthLimits::default()
    };
    let limited = Limited::offering(&wire, &["eth"], PUBLIC_LIMITS, of_calls);
    let endpoint = Endpoint::of_public(limited.address);
    let filter = json!({ "fromBlock": "0x0", "toBlock": "0x0", "address": Address::ZERO });
    let (logs, fees) = (json!([filter]), json!(["0x1", "0x0", []]));
    // Each stops at what it reads of the store first; who looks ahead may read meanwhile.
    let held = faults.hold(2, SERVING);
    let searches = [("eth_getLogs", &logs), ("eth_feeHistory", &fees)].map(|(method, params)| {
        let (mut connection, search) = (endpoint.connect(), request(method, params));
        connection.write(format!("{}{search}", head("POST", &[], search.len())).as_bytes());
        connection
    });
    in_time("both search", move || {
        while faults.held() < 2 {
            std::thread::yield_now();
        }
    });
    let balance = || endpoint.call("eth_getBalance", &json!([Address::ZERO, "latest"]));
    assert!(balance().is_ok(), "{:?}", balance());
    for (method, params) in [("eth_getLogs", &logs), ("eth_feeHistory", &fees)] {
        let error = endpoint.call(method, params).expect_err("as many search as may");
        let told = "2 calls that search wait or run already, the most (--rpc.max-waiting-calls)";
        assert_eq!(error.code, -32_000, "{error:?}");
        assert!(error.message.contains(told), "{error:?}");
    }
    assert!(balance().is_ok(), "{:?}", balance());
    drop(held);
    for mut search in searches {
        assert!(search.read().result().is_ok());
    }
    assert!(endpoint.call("eth_getLogs", &logs).is_ok());
}

#[test]
fn a_websocket_whose_other_end_is_gone_ends_with_its_subscriptions() {
    let wire = Wire::new(Fork::Prague);
    let limits = PublicLimits { idle_max: IDLE, ..PUBLIC_LIMITS };
    let of_calls = EthLimits { subscriptions_max: 1, ..EthLimits::default() };
    let limited = Limited::offering(&wire, &["eth"], limits, of_calls);
    let open = || {
        let mut connection = Endpoint::of_public(limited.address).connect();
        assert_eq!(connection.upgrade(&[]), 101);
        connection
    };
    let subscribe = request("eth_subscribe", &json!(["newHeads"]));
    let mut silent = open();
    let answer = silent.exchange(&subscribe);
    assert!(answer.contains("result"), "{answer}");
    let refused = open().exchange(&subscribe);
    assert!(refused.contains("there are 1 subscriptions, the most"), "{refused}");
    // Nothing is said on it, as if its end had lost its power.
    silent.read_to_end();
    // Its subscription ends with it, on another thread.
    let mut next = open();
    assert!((0..10_000).any(|_| next.exchange(&subscribe).contains("result")), "there is no room");
}

/// A frame of a caller with this first byte, and a mask that changes nothing.
fn frame(first: u8, text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).expect("a short text");
    assert!(length >= 126, "a shorter text is told of in fewer bytes");
    [&[first, 0x80 | 126][..], &length.to_be_bytes(), &[0; 4], text.as_bytes()].concat()
}

#[test]
fn a_message_in_parts_that_is_too_long_is_refused_and_the_next_ones_are_answered() {
    let wire = Wire::new(Fork::Prague);
    let limits = PublicLimits { body_bytes_max: 1_000, ..PUBLIC_LIMITS };
    let limited = Limited::offering(&wire, &["eth"], limits, EthLimits::default());
    let mut socket = Endpoint::of_public(limited.address).connect();
    assert_eq!(socket.upgrade(&[]), 101);
    let (part, call) = (" ".repeat(600), request("eth_chainId", &json!([])));
    for firsts in [&[0x01, 0x80][..], &[0x01, 0x00, 0x80], &[0x01, 0x00, 0x00, 0x80]] {
        let parts: Vec<_> = firsts.iter().map(|first| frame(*first, &part)).collect();
        socket.write(&parts.concat());
        let refused: Value = serde_json::from_str(&socket.hear()).expect("JSON");
        assert_eq!(refused["error"]["code"], -32_007, "{firsts:?}: {refused}");
        for _ in 0..2 {
            let answer = socket.exchange(&call);
            assert!(answer.contains("result"), "{firsts:?}: {answer}");
        }
    }
}

#[test]
fn a_websocket_that_breaks_the_rules_of_frames_is_closed() {
    let wire = Wire::new(Fork::Prague);
    let limits = PublicLimits { idle_max: HOUR, ..PUBLIC_LIMITS };
    let limited = Limited::offering(&wire, &["eth"], limits, EthLimits::default());
    let call = format!("{:200}", request("eth_chainId", &json!([])));
    let mut unmasked = frame(0x81, &call);
    unmasked[1] &= 0x7f;
    unmasked.drain(4..8);
    for bad in [
        // A message in a message, a reserved bit, no mask.
        [frame(0x01, &call), frame(0x81, &call)].concat(),
        [frame(0x01, &call), frame(0x90, &call)].concat(),
        unmasked,
    ] {
        let mut socket = Endpoint::of_public(limited.address).connect();
        assert_eq!(socket.upgrade(&[]), 101);
        assert!(socket.exchange(&call).contains("result"), "what is good is answered");
        socket.write(&bad);
        socket.read_to_end();
    }
}

/// The same beginning, and two ends: the second one is so long that what is kept of it begins after
/// the first one has left it.
const ONE: Recipe =
    Recipe { seed: 0xf21b, fork: Fork::Prague, blocks: 12, transactions: 4, shared: 5, branch: 1 };
const TWO: Recipe = Recipe { blocks: 18, branch: 2, ..ONE };
/// Blocks that are kept.
const WINDOW: u64 = 9;

#[test]
fn f21_transactions_are_found_where_they_are_after_branches_meet_where_the_past_is_cut_off() {
    let chain = WireChain::of_recipe(&ONE);
    let two = TestChain::new(&TWO);
    let common = chain.chain.fork_with(&two);
    let mut setup = Setup::new(2);
    setup.chain.retention = Retention::Minimal { window: WINDOW };
    let node = Node::in_memory(&chain.chain, &setup);
    let wire = Wire::over(chain, node);
    let one = &wire.chain.chain;
    wire.node.follow(&one.blocks);
    wire.node.settled();
    wire.node.send(&two.blocks[index(common)..]);
    wire.node.choose(choice(two.head().hash));
    wire.node.settled();
    let (body, receipt) = (wire.node.view().oldest_body(), wire.node.view().oldest_receipts());
    assert!(body > common && body < two.head().number, "{body} is the oldest, {common} common");

    let mut of_two: BTreeSet<B256> = BTreeSet::new();
    for number in 1..=two.head().number {
        let block = json!(two.hash(number));
        for tx in &two.block(number).block().body.transactions {
            of_two.insert(*tx.hash());
            for (method, oldest) in [
                ("eth_getTransactionByHash", body),
                ("eth_getTransactionReceipt", receipt.max(body)),
            ] {
                match wire.public.call(method, &json!([tx.hash()])) {
                    Ok(found) if number >= oldest => {
                        assert_eq!(found["blockHash"], block, "{method}: {number}: {found}");
                        assert_eq!(found["blockNumber"], quantity(number), "{method}: {found}");
                    }
                    // What was there and is not kept may be as if it had never been.
                    Ok(found) => assert_eq!(found, Value::Null, "{method}: {number}"),
                    Err(error) => {
                        assert!(number < oldest && error.code == 4_444, "{number}: {error:?}");
                    }
                }
            }
        }
    }
    let left = one.blocks[index(common)..].iter().flat_map(|it| &it.block().body.transactions);
    let left: Vec<B256> = left.map(|tx| *tx.hash()).filter(|hash| !of_two.contains(hash)).collect();
    assert!(!left.is_empty(), "the branches have the same transactions");
    for hash in left {
        // It may be in the pool again.
        let found = wire.public_ok("eth_getTransactionByHash", &json!([hash]));
        assert_eq!(found["blockHash"], Value::Null, "{found}");
        let receipt = wire.public_ok("eth_getTransactionReceipt", &json!([hash]));
        assert_eq!(receipt, Value::Null);
    }
}
