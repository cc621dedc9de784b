//! Traces of a node: on several threads against one, the kinds of traces against each other and
//! against receipts, what bounds them, and searches in the past against the chain.

use crate::{
    engine_support::{Node, Setup},
    import_support::TestChain,
    openrpc,
    rules_support::{Wire, WireChain, request},
};
use fugue_chainspec::Fork;
use fugue_rpc::{EthLimits, RpcModule, public_module};
use fugue_types::{Address, B256, Block, Bytes, TransactionTrait, keccak256};
use fugue_workload::Script;
use serde_json::{Value, json};

/// The groups of methods that are asked here.
const APIS: [&str; 4] = ["debug", "eth", "ots", "trace"];
const CALLS: &str = "callTracer";

/// A node at the head of a small chain.
fn wire() -> Wire {
    let wire = Wire::new(Fork::Shanghai);
    wire.follow(1..=wire.chain.last());
    wire
}

fn methods(wire: &Wire, limits: EthLimits) -> RpcModule<()> {
    public_module(wire.node.engine().clone(), limits, &APIS.map(str::to_owned)).expect("methods")
}

fn usual(wire: &Wire) -> RpcModule<()> {
    methods(wire, EthLimits::default())
}

/// The whole answer, as it is sent.
fn text(wire: &Wire, methods: &RpcModule<()>, method: &str, params: &Value) -> String {
    let asked = request(method, params);
    let answer = wire.block_on(methods.raw_json_request(&asked, 1));
    let answer = answer.expect("a good request").0.get().to_owned();
    openrpc::assert_answer(&asked, &answer);
    answer
}

/// The result, or code and message of the error.
fn ask(
    wire: &Wire,
    methods: &RpcModule<()>,
    method: &str,
    params: &Value,
) -> Result<Value, (i64, String)> {
    let mut answer: Value =
        serde_json::from_str(&text(wire, methods, method, params)).expect("JSON");
    match answer.get("error") {
        None => Ok(answer["result"].take()),
        Some(error) => {
            let code = error["code"].as_i64().expect("a code");
            Err((code, error["message"].as_str().expect("a message").to_owned()))
        }
    }
}

#[track_caller]
fn ok(wire: &Wire, methods: &RpcModule<()>, method: &str, params: &Value) -> Value {
    ask(wire, methods, method, params).unwrap_or_else(|error| panic!("{method}: {error:?}"))
}

#[track_caller]
fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("no list: {value}"))
}

fn wide(value: &Value) -> u128 {
    let digits = value.as_str().and_then(|text| text.strip_prefix("0x"));
    u128::from_str_radix(digits.unwrap_or_else(|| panic!("{value}")), 16).expect("a quantity")
}

fn number(value: &Value) -> u64 {
    u64::try_from(wide(value)).expect("64 bits")
}

fn at(number: u64) -> String {
    format!("{number:#x}")
}

/// Hash of each transaction of the chain, with its block's number and its index.
fn transactions(wire: &Wire) -> Vec<(u64, usize, String)> {
    let of_block = |number: u64| {
        let txs = &wire.chain.chain.block(number).block().body.transactions;
        let hashes: Vec<_> = txs.iter().map(|tx| tx.hash().to_string()).collect();
        hashes.into_iter().enumerate().map(move |(index, hash)| (number, index, hash))
    };
    (1..=wire.chain.last()).flat_map(of_block).collect()
}

#[test]
fn an_answer_is_the_same_on_any_number_of_threads() {
    let wire = wire();
    let limits = EthLimits::default();
    let one = methods(&wire, EthLimits { trace_threads_max: 1, ..limits });
    let four = methods(&wire, EthLimits { trace_threads_max: 4, ..limits });
    for number in 1..=wire.chain.last() {
        let block = at(number);
        let memory = json!({ "enableMemory": true, "enableReturnData": true });
        let before = json!({ "tracer": "prestateTracer" });
        let diff = json!({ "tracer": "prestateTracer", "tracerConfig": { "diffMode": true } });
        let several = json!({
            "tracer": "muxTracer",
            "tracerConfig": {
                "erc7562Tracer": {}, "4byteTracer": null, "flatCallTracer": {},
                "callTracerLegacy": null, "prestateTracerLegacy": null,
            },
        });
        for (method, params) in [
            ("debug_traceBlockByNumber", json!([block])),
            ("debug_traceBlockByNumber", json!([block, memory])),
            ("debug_traceBlockByNumber", json!([block, { "tracer": CALLS }])),
            ("debug_traceBlockByNumber", json!([block, before])),
            ("debug_traceBlockByNumber", json!([block, diff])),
            ("debug_traceBlockByNumber", json!([block, several])),
            ("trace_block", json!([block])),
            ("trace_replayBlockTransactions", json!([block, ["trace", "vmTrace", "stateDiff"]])),
            ("trace_blockOpcodeGas", json!([block])),
        ] {
            let expected = text(&wire, &one, method, &params);
            assert!(expected.contains("\"result\""), "{method}: {expected}");
            let found = text(&wire, &four, method, &params);
            assert!(found == expected, "{method} {params}:\n{expected}\n{found}");
        }
    }
}

#[test]
fn a_block_is_traced_as_its_transactions_are() {
    let wire = wire();
    let methods = usual(&wire);
    for (block, index, hash) in transactions(&wire) {
        let options = json!({ "tracer": CALLS });
        let all = ok(&wire, &methods, "debug_traceBlockByNumber", &json!([at(block), options]));
        let one = ok(&wire, &methods, "debug_traceTransaction", &json!([hash, options]));
        assert_eq!(list(&all)[index], json!({ "txHash": hash, "result": one }));

        let all = ok(&wire, &methods, "trace_block", &json!([at(block)]));
        let one = ok(&wire, &methods, "trace_transaction", &json!([hash]));
        let of_tx: Vec<_> =
            list(&all).iter().filter(|trace| trace["transactionHash"] == *hash).collect();
        assert_eq!(of_tx, list(&one).iter().collect::<Vec<_>>());
        let first = ok(&wire, &methods, "trace_get", &json!([hash, []]));
        assert_eq!(&first, &list(&one)[0]);
        let none = ok(&wire, &methods, "trace_get", &json!([hash, ["0x63"]]));
        assert_eq!(none, Value::Null);

        let types = json!(["trace", "stateDiff"]);
        let all = ok(&wire, &methods, "trace_replayBlockTransactions", &json!([at(block), types]));
        let one = ok(&wire, &methods, "trace_replayTransaction", &json!([hash, types]));
        assert_eq!(list(&all)[index]["trace"], one["trace"]);
        assert_eq!(list(&all)[index]["stateDiff"], one["stateDiff"]);

        let all = ok(&wire, &methods, "trace_blockOpcodeGas", &json!([at(block)]));
        let one = ok(&wire, &methods, "trace_transactionOpcodeGas", &json!([hash]));
        assert_eq!(list(&all["transactions"])[index], one);
    }
}

#[test]
fn traces_and_receipts_agree() {
    let wire = wire();
    let methods = usual(&wire);
    for (_, _, hash) in transactions(&wire) {
        let receipt = ok(&wire, &methods, "eth_getTransactionReceipt", &json!([hash]));
        let steps = ok(&wire, &methods, "debug_traceTransaction", &json!([hash]));
        let options = json!({ "tracer": CALLS, "tracerConfig": { "withLog": true } });
        let calls = ok(&wire, &methods, "debug_traceTransaction", &json!([hash, options]));
        let has_failed = number(&receipt["status"]) == 0;
        assert_eq!(steps["failed"], has_failed, "{hash}");
        assert_eq!(calls.get("error").is_some(), has_failed, "{hash}");
        assert_eq!(steps["gas"], number(&receipt["gasUsed"]), "{hash}");
        assert_eq!(number(&calls["gasUsed"]), number(&receipt["gasUsed"]), "{hash}");
        if !has_failed {
            assert_eq!(count_logs(&calls), list(&receipt["logs"]).len(), "{hash}");
        }
        // Of a step it is told what it costs, and none is told to have cost what it has not.
        let pairs = list(&steps["structLogs"]).windows(2);
        for pair in pairs.filter(|pair| pair[0]["depth"] == pair[1]["depth"]) {
            let [gas, cost, after] = [&pair[0]["gas"], &pair[0]["gasCost"], &pair[1]["gas"]];
            let [gas, cost, after] = [gas, cost, after].map(|it| it.as_u64().expect("a number"));
            assert!(gas.saturating_sub(cost) <= after, "{hash}: {pair:?}");
        }
    }
}

fn count_logs(call: &Value) -> usize {
    let own = call.get("logs").map_or(0, |logs| list(logs).len());
    let below = call.get("calls").map_or(0, |calls| list(calls).iter().map(count_logs).sum());
    own + below
}

#[test]
fn roots_within_a_block_lead_to_that_after_it() {
    let wire = wire();
    let methods = usual(&wire);
    let mut blocks = 0;
    for number in 1..=wire.chain.last() {
        let block = wire.chain.chain.block(number);
        let body = &block.block().body;
        let roots = ok(&wire, &methods, "debug_intermediateRoots", &json!([block.hash()]));
        assert_eq!(list(&roots).len(), body.transactions.len(), "block {number}");
        let ends_with_the_last = body.withdrawals.as_ref().is_none_or(|all| all.is_empty());
        if let Some(last) = list(&roots).last()
            && ends_with_the_last
        {
            blocks += 1;
            assert_eq!(*last, json!(block.block().header.state_root), "block {number}");
        }
    }
    assert!(blocks > 0, "all blocks have withdrawals");
    let genesis = json!([wire.chain.hash(0)]);
    let refused = ask(&wire, &methods, "debug_intermediateRoots", &genesis).expect_err("refused");
    assert_eq!(refused, (-32000, "genesis is not traceable".to_owned()));
}

#[test]
fn slots_are_listed_as_a_transaction_finds_them() {
    let wire = wire();
    let methods = usual(&wire);
    let (mut slots, mut found_last) = (0, None);
    for (block, index, hash) in transactions(&wire) {
        let before = json!([hash, { "tracer": "prestateTracer" }]);
        let before = ok(&wire, &methods, "debug_traceTransaction", &before);
        for (address, account) in before.as_object().expect("accounts") {
            let at = |start: &str, limit: usize| {
                let asked = json!([wire.chain.hash(block), index, address, start, limit]);
                ok(&wire, &methods, "debug_storageRangeAt", &asked)
            };
            let all = at("0x", 1_024);
            let listed = all["storage"].as_object().expect("slots");
            if !listed.is_empty() {
                found_last = Some((block, index, address.clone(), all.clone()));
            }
            for (slot, value) in account["storage"].as_object().into_iter().flatten() {
                let slot: B256 = slot.parse().expect("a slot");
                let value: B256 = value.as_str().and_then(|it| it.parse().ok()).expect("a word");
                let found = listed.get(&keccak256(slot).to_string());
                let expected = (!value.is_zero()).then(|| json!(value));
                assert_eq!(found.map(|found| &found["value"]), expected.as_ref(), "{slot}");
                slots += 1;
            }
            // Page by page it is the same.
            if let Some(second) = listed.keys().nth(1) {
                let first = at("0x", 1);
                assert_eq!(first["storage"].as_object().expect("slots").len(), 1);
                assert_eq!(first["nextKey"], json!(second));
                assert!(at(second, 1)["storage"].get(second).is_some());
            }
        }
    }
    assert!(slots > 0, "the chain stores something");
    // However the block is named it is the same.
    let (block, index, address, by_hash) = found_last.expect("a page with slots");
    let listed = |named: &Value| {
        let asked = json!([named, index, address, "0x", 1_024]);
        ask(&wire, &methods, "debug_storageRangeAt", &asked)
    };
    let own = wire.chain.hash(block);
    let by_object = json!({ "blockHash": own, "requireCanonical": true });
    for named in [json!(at(block)), by_object, json!({ "blockNumber": at(block) })] {
        assert_eq!(listed(&named), Ok(by_hash.clone()), "{named}");
    }
    let last = json!([wire.chain.hash(wire.chain.last()), 0, address, "0x", 1_024]);
    let last = ok(&wire, &methods, "debug_storageRangeAt", &last);
    let by_tag = json!(["latest", 0, address, "0x", 1_024]);
    assert_eq!(ok(&wire, &methods, "debug_storageRangeAt", &by_tag), last);
    let unknown = B256::repeat_byte(0x99);
    for (named, told) in [
        (json!("0xffff"), "block #65535 not found".to_owned()),
        (json!(unknown), format!("block {unknown} not found")),
    ] {
        assert_eq!(listed(&named), Err((-32000, told)), "{named}");
    }
    let beyond = json!([wire.chain.hash(1), 9_999, format!("0x{:040x}", 1), "0x", 1]);
    let (code, message) =
        ask(&wire, &methods, "debug_storageRangeAt", &beyond).expect_err("refused");
    assert!(code == -32000 && message.contains("9999 out of range"), "{code} {message}");
}

#[test]
fn a_block_that_is_given_is_traced_as_the_one_of_the_chain() {
    let wire = wire();
    let methods = usual(&wire);
    let last = wire.chain.last();
    let options = json!({ "tracer": CALLS });
    let expected = ok(&wire, &methods, "debug_traceBlockByNumber", &json!([at(last), options]));
    let block = wire.chain.chain.block(last);
    let by_hash = json!([block.hash(), options]);
    assert_eq!(ok(&wire, &methods, "debug_traceBlockByHash", &by_hash), expected);
    let rlp = |block: &fugue_types::Block| {
        let rlp: fugue_types::Bytes = alloy_rlp::encode(block).into();
        json!([rlp, options])
    };
    assert_eq!(ok(&wire, &methods, "debug_traceBlock", &rlp(block.block())), expected);

    let refused = |change: fn(&mut fugue_types::Block)| {
        let mut block = block.block().clone();
        change(&mut block);
        ask(&wire, &methods, "debug_traceBlock", &rlp(&block)).expect_err("refused")
    };
    // What bounds the run is that of a block that could follow.
    let (code, message) = refused(|block| block.header.gas_limit = u64::MAX);
    assert_eq!(code, -32602, "{message}");
    let (code, message) = refused(|block| block.header.parent_hash = Default::default());
    assert_eq!(code, -32000, "{message}");
    let (code, message) = refused(|block| block.header.base_fee_per_gas = Some(1 << 60));
    assert!(code == -32000 && message.starts_with("invalid block"), "{code} {message}");
    let cut = ask(&wire, &methods, "debug_traceBlock", &json!(["0xc0", options]));
    assert_eq!(cut.expect_err("refused").0, -32602);
}

#[test]
fn what_cannot_be_traced_is_refused_with_its_reason() {
    let wire = wire();
    let methods = usual(&wire);
    let unknown = format!("0x{:064x}", 1);
    for (method, params, code, reason) in [
        ("debug_traceBlockByNumber", json!(["0x0"]), -32000, "genesis is not traceable"),
        ("debug_traceBlockByNumber", json!(["0xffff"]), -32000, "block #65535 not found"),
        ("debug_traceBlockByNumber", json!(["3"]), -32602, "invalid argument 0"),
        ("debug_traceBlockByHash", json!([unknown]), -32000, "block 0x0000"),
        ("debug_traceTransaction", json!([unknown]), -32000, "transaction not found"),
        (
            "debug_traceBlockByNumber",
            json!(["0x1", { "tracer": "x" }]),
            -32602,
            "invalid argument 1",
        ),
        (
            "debug_traceBlockByNumber",
            json!(["0x1", { "timeout": "0s" }]),
            -32000,
            "the call was given up",
        ),
        (
            "debug_traceCall",
            json!([{}, "0x1", { "txIndex": "0xffff" }]),
            -32602,
            "invalid argument 2",
        ),
        ("trace_call", json!([{}, ["all"]]), -32602, "invalid argument 1"),
        ("trace_replayTransaction", json!([unknown, ["trace"]]), -32000, "transaction not found"),
    ] {
        let error = ask(&wire, &methods, method, &params).expect_err("refused");
        assert_eq!(error.0, code, "{method}: {}", error.1);
        assert!(error.1.starts_with(reason), "{method}: {}", error.1);
    }
    for method in ["trace_transaction", "ots_traceTransaction", "ots_getInternalOperations"] {
        assert_eq!(ok(&wire, &methods, method, &json!([unknown])), Value::Null, "{method}");
    }
    assert_eq!(ok(&wire, &methods, "trace_block", &json!(["0x0"])), json!([]));
}

#[test]
fn an_answer_is_bounded_in_what_it_records_and_in_what_it_is() {
    let wire = wire();
    let limits = EthLimits::default();
    let last = json!([at(wire.chain.last())]);
    for (limits, name) in [
        (EthLimits { trace_bytes_max: 100, ..limits }, "100 bytes (--rpc.max-trace-size)"),
        (EthLimits { trace_memory_max: 1_000, ..limits }, "1000 bytes (--rpc.max-trace-memory)"),
    ] {
        let methods = methods(&wire, limits);
        for method in ["debug_traceBlockByNumber", "trace_block"] {
            let (code, message) = ask(&wire, &methods, method, &last).expect_err("too much");
            assert_eq!(code, -32000, "{method}: {message}");
            assert!(message.contains(name), "{method}: {message}");
        }
    }
}

#[test]
fn a_filter_finds_what_the_blocks_have() {
    let wire = wire();
    let methods = usual(&wire);
    let last = wire.chain.last();
    let blocks = (1..=last).map(|number| ok(&wire, &methods, "trace_block", &json!([at(number)])));
    let all: Vec<Value> = blocks.flat_map(|block| list(&block).to_vec()).collect();
    assert!(all.len() > 5);
    let filter = |extra: Value| {
        let mut filter = json!({ "fromBlock": "0x0", "toBlock": "latest" });
        filter.as_object_mut().expect("one").extend(extra.as_object().expect("one").clone());
        ask(&wire, &methods, "trace_filter", &json!([filter]))
    };
    assert_eq!(filter(json!({})), Ok(json!(all)));
    let some = filter(json!({ "after": 2, "count": 3 })).expect("it is found");
    assert_eq!(list(&some), &all[2..5]);
    let from = all[0]["action"]["from"].clone();
    let expected: Vec<_> = all.iter().filter(|trace| trace["action"]["from"] == from).collect();
    assert_eq!(filter(json!({ "fromAddress": [from] })), Ok(json!(expected)));

    let limits = EthLimits::default();
    let narrow = self::methods(&wire, EthLimits { trace_blocks_max: 2, ..limits });
    let range = json!([{ "fromBlock": "0x1", "toBlock": at(last) }]);
    let (code, message) = ask(&wire, &narrow, "trace_filter", &range).expect_err("too many");
    assert!(code == -32602 && message.ends_with("retry with the range 1-2"), "{message}");
    let few = self::methods(&wire, EthLimits { traces_max: 1, ..limits });
    let (code, message) = ask(&wire, &few, "trace_filter", &range).expect_err("too many");
    assert!(code == -32602 && message.contains("retry with the range 1-"), "{message}");
}

#[test]
fn a_message_is_traced_alone_and_among_others() {
    let wire = wire();
    let methods = usual(&wire);
    let last = wire.chain.chain.block(wire.chain.last()).block();
    let tx = last
        .body
        .transactions
        .iter()
        .find(|tx| TransactionTrait::to(*tx).is_some())
        .expect("a call");
    let call = json!({ "to": tx.to(), "data": tx.input(), "gas": "0x30d40" });
    let options = json!({ "tracer": CALLS });
    let alone = ok(&wire, &methods, "debug_traceCall", &json!([call, "latest", options]));
    let bundles = json!([{ "transactions": [call] }]);
    let many = json!([bundles, { "blockNumber": "latest" }, options]);
    let many = ok(&wire, &methods, "debug_traceCallMany", &many);
    assert_eq!(many, json!([[alone]]));
    let types = json!(["trace"]);
    let one = ok(&wire, &methods, "trace_call", &json!([call, types, "latest"]));
    let many = json!([[[call, types]], "latest"]);
    let many = ok(&wire, &methods, "trace_callMany", &many);
    assert_eq!(many, json!([one]));
    // The last one sees what the first has done: the nonce is another one.
    let create = json!({ "data": "0x00", "gas": "0x30d40" });
    let twice = json!([[[create, types], [create, types]], "latest"]);
    let twice = ok(&wire, &methods, "trace_callMany", &twice);
    let made: Vec<_> =
        list(&twice).iter().map(|one| &one["trace"][0]["result"]["address"]).collect();
    assert!(made[0].is_string() && made[0] != made[1], "{made:?}");
    let to = tx.to().unwrap_or_default().to_string();
    // Each bundle is a block, and comes after the one before it. NUMBER, MSTORE, RETURN.
    let code = json!({ "code": "0x4360005260206000f3" });
    let assumed = json!({ "tracer": CALLS, "stateOverrides": { to.clone(): code } });
    let bundles = json!([{ "transactions": [call, call] }, { "transactions": [call] }]);
    let many = ok(&wire, &methods, "debug_traceCallMany", &json!([bundles, {}, assumed]));
    let calls = list(&many).iter().flat_map(list);
    let seen: Vec<_> = calls.map(|call| number(&call["output"])).collect();
    let head = wire.chain.last();
    assert_eq!(seen, [head, head, head + 1]);
    // What is assumed of the state is seen.
    let assumed = json!({ "tracer": CALLS, "stateOverrides": { to: { "code": "0xfe" } } });
    let failed = ok(&wire, &methods, "debug_traceCall", &json!([call, "latest", assumed]));
    assert!(failed["error"].is_string(), "{failed}");
}

#[test]
fn a_message_may_stand_at_the_beginning_of_a_block_without_transactions() {
    let [author, heir, to] = [0xfe, 0xd5, 0xc5].map(Address::repeat_byte);
    let mut script = Script::new("traces", "a withdrawal alone", 0xe3, Fork::Shanghai);
    script.block_with(author, &[(heir, 2)]);
    let mut chain = WireChain::new(Fork::Shanghai);
    // Blocks of this fork have nothing beside them.
    chain.chain = TestChain::of_scenario(script.end(author));
    let node = Node::in_memory(&chain.chain, &Setup::new(1_000));
    let wire = Wire::over(chain, node);
    wire.follow(1..=1);
    let methods = usual(&wire);
    // BALANCE of the heir, MSTORE, RETURN.
    let code = format!("0x73{heir:x}3160005260206000f3");
    let state = json!({ to.to_string(): { "code": code } });
    let traced = |index: Value| {
        let options = json!({ "tracer": CALLS, "stateOverrides": state, "txIndex": index });
        ask(&wire, &methods, "debug_traceCall", &json!([{ "to": to }, "0x1", options]))
    };
    let balance = |index: Value| traced(index).map(|call| wide(&call["output"]));
    assert_eq!(balance(json!("0x0")), Ok(0));
    assert_eq!(balance(Value::Null), Ok(2_000_000_000));
    assert_eq!(balance(json!("0x1")).expect_err("there is none").0, -32602);
    let bundles = json!([{ "transactions": [{ "to": to }] }]);
    let begin = json!({ "blockNumber": "0x1", "transactionIndex": 0 });
    let seen = ok(&wire, &methods, "eth_callMany", &json!([bundles, begin, state]));
    assert_eq!(wide(&seen[0][0]["value"]), 0);
}

#[test]
fn the_past_is_searched_by_what_changed() {
    let wire = wire();
    let methods = usual(&wire);
    assert_eq!(ok(&wire, &methods, "ots_getApiLevel", &json!([])), 8);
    let mut created = 0;
    for (block, index, hash) in transactions(&wire) {
        let tx = ok(&wire, &methods, "eth_getTransactionByHash", &json!([hash]));
        let asked = json!([tx["from"], tx["nonce"]]);
        let found = ok(&wire, &methods, "ots_getTransactionBySenderAndNonce", &asked);
        assert_eq!(found, hash, "{block} {index}");
        let receipt = ok(&wire, &methods, "eth_getTransactionReceipt", &json!([hash]));
        let contract = &receipt["contractAddress"];
        let has_code =
            contract.is_string() && ok(&wire, &methods, "ots_hasCode", &json!([contract])) == true;
        if has_code {
            created += 1;
            let creator = ok(&wire, &methods, "ots_getContractCreator", &json!([contract]));
            assert_eq!(creator, json!({ "hash": hash, "creator": tx["from"] }));
        }
        let reverted = ok(&wire, &methods, "ots_getTransactionError", &json!([hash]));
        assert!(reverted == "0x" || number(&receipt["status"]) == 0, "{hash}: {reverted}");
        let entries = ok(&wire, &methods, "ots_traceTransaction", &json!([hash]));
        assert_eq!((&entries[0]["from"], &entries[0]["depth"]), (&tx["from"], &json!(0)));
    }
    assert!(created > 0, "the chain makes contracts");
    let absent = json!([format!("0x{:040x}", 0xabcd), "0x0"]);
    let found = ok(&wire, &methods, "ots_getTransactionBySenderAndNonce", &absent);
    assert_eq!(found, Value::Null);
    let none = ok(&wire, &methods, "ots_getContractCreator", &json!([absent[0]]));
    assert_eq!(none, Value::Null);
}

#[test]
fn blocks_are_shown_with_their_fees_and_page_by_page() {
    let wire = wire();
    let methods = usual(&wire);
    for number in 1..=wire.chain.last() {
        let receipts = ok(&wire, &methods, "eth_getBlockReceipts", &json!([at(number)]));
        let details = ok(&wire, &methods, "ots_getBlockDetails", &json!([at(number)]));
        let by_hash = json!([wire.chain.hash(number)]);
        assert_eq!(ok(&wire, &methods, "ots_getBlockDetailsByHash", &by_hash), details);
        assert_eq!(details["block"]["transactionCount"], list(&receipts).len());
        let fee = |it: &Value| wide(&it["gasUsed"]) * wide(&it["effectiveGasPrice"]);
        let fees: u128 = list(&receipts).iter().map(fee).sum();
        assert_eq!(wide(&details["totalFees"]), fees);
        assert_eq!(details["issuance"]["issuance"], "0x0");
        let page = json!([at(number), 0, 2]);
        let page = ok(&wire, &methods, "ots_getBlockTransactions", &page);
        let shown = list(&page["fullblock"]["transactions"]);
        let first = list(&receipts).len().saturating_sub(2);
        let expected: Vec<_> =
            list(&receipts)[first..].iter().map(|it| &it["transactionHash"]).collect();
        assert_eq!(shown.iter().map(|tx| &tx["hash"]).collect::<Vec<_>>(), expected);
        assert_eq!(page["fullblock"]["transactionCount"], list(&receipts).len());
        assert!(list(&page["receipts"]).iter().all(|receipt| receipt["logs"].is_null()));
    }
    let header = ok(&wire, &methods, "eth_getHeaderByNumber", &json!(["0x1"]));
    assert_eq!(header["hash"], wire.chain.hash(1).to_string());
    for method in ["ots_getHeaderByNumber", "erigon_getHeaderByNumber"] {
        for number in [json!("0x1"), json!(1)] {
            assert_eq!(ok(&wire, &methods, method, &json!([number])), header, "{method}");
        }
    }
}

#[test]
fn numbers_may_be_those_of_json_in_what_explorers_ask() {
    let wire = wire();
    let methods = usual(&wire);
    let (_, _, hash) = transactions(&wire).remove(0);
    let tx = ok(&wire, &methods, "eth_getTransactionByHash", &json!([hash]));
    for (method, hex, plain) in [
        ("ots_getBlockDetails", json!(["0x2"]), json!([2])),
        ("ots_getBlockTransactions", json!(["0x2", "0x0", "0xa"]), json!([2, 0, 10])),
        (
            "ots_getTransactionBySenderAndNonce",
            json!([tx["from"], tx["nonce"]]),
            json!([tx["from"], number(&tx["nonce"])]),
        ),
        ("ots_hasCode", json!([tx["from"], "0x2"]), json!([tx["from"], 2])),
        (
            "trace_filter",
            json!([{ "fromBlock": "0x1", "toBlock": "0x2" }]),
            json!([{ "fromBlock": 1, "toBlock": 2 }]),
        ),
        ("trace_get", json!([hash, ["0x0"]]), json!([hash, [0]])),
    ] {
        let expected = ok(&wire, &methods, method, &hex);
        assert_eq!(ok(&wire, &methods, method, &plain), expected, "{method}");
    }
}

#[test]
fn the_latest_block_never_stands_for_the_pending_one() {
    let wire = wire();
    let methods = usual(&wire);
    let (types, pending) = (json!(["trace"]), json!({ "blockNumber": "pending" }));
    let bundles = json!([{ "transactions": [{}] }]);
    for (method, params) in [
        ("debug_traceBlockByNumber", json!(["pending"])),
        ("debug_traceCall", json!([{}, "pending"])),
        ("debug_traceCall", json!([{}, pending, { "txIndex": "0x0" }])),
        ("debug_traceCallMany", json!([bundles, pending])),
        ("debug_storageRangeAt", json!(["pending", 0, Address::ZERO, "0x", 1])),
        ("debug_accountAt", json!(["pending", 0, Address::ZERO])),
        ("debug_executionWitness", json!(["pending"])),
        ("trace_block", json!(["pending"])),
        ("trace_blockOpcodeGas", json!([pending])),
        ("trace_replayBlockTransactions", json!(["pending", types])),
        ("trace_call", json!([{}, types, "pending"])),
        ("trace_callMany", json!([[[{}, types]], "pending"])),
        ("trace_filter", json!([{ "toBlock": "pending" }])),
    ] {
        let told = ask(&wire, &methods, method, &params).expect_err(method);
        let expected = (-32000, "tracing on top of pending is not supported".to_owned());
        assert_eq!(told, expected, "{method}");
    }
    for (method, params) in [
        ("debug_setHead", json!(["pending"])),
        ("ots_getHeaderByNumber", json!(["pending"])),
        ("ots_getBlockDetails", json!(["pending"])),
        ("ots_getBlockTransactions", json!(["pending", 0, 1])),
        ("ots_hasCode", json!([Address::ZERO, "pending"])),
    ] {
        let told = ask(&wire, &methods, method, &params).expect_err(method);
        assert_eq!(told, (-32000, "pending block is not available".to_owned()), "{method}");
    }
    // What is built when somebody asks for it has an encoding.
    let raw = |method: &str| ok(&wire, &methods, method, &json!(["pending"]));
    let bytes: Bytes = raw("debug_getRawBlock").as_str().expect("bytes").parse().expect("bytes");
    let block: Block = alloy_rlp::decode_exact(&bytes).expect("a block");
    assert_eq!(block.header.parent_hash, wire.chain.hash(wire.chain.last()));
    let header: Bytes = alloy_rlp::encode(&block.header).into();
    assert_eq!(raw("debug_getRawHeader"), json!(header));
    assert_eq!(raw("debug_getRawTransactions"), json!([]));
    assert_eq!(raw("debug_getRawReceipts"), Value::Null);
}
