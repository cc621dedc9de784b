//! Messages as questions, over HTTP: what is assumed of states and blocks, access lists, messages
//! one after the other, and simulated blocks; on durable blocks and on those above them.

use crate::{
    engine_support::{Node, Setup},
    import_support::Recipe,
    openrpc,
    rules_support::{FORKS, Wire, WireChain, WireError, quantity, request},
};
use alloy_eips::eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS;
use fugue_chainspec::Fork;
use fugue_rpc::{EthLimits, public_module};
use fugue_types::{Address, B256, Header, U256};
use serde_json::{Map, Value, json};
use std::time::Duration;

/// Where code is assumed to be.
const HERE: Address = Address::repeat_byte(0xc0);
/// Nobody has its key, and it has nothing.
const SENDER: Address = Address::repeat_byte(0xa5);
/// What a contract returns that ends like this: the word on the stack.
const RETURN: &str = "60005260206000f3";
/// Hash of the block before this one.
const PARENT_HASH: &str = "6001430340";
/// Counts in slot 0.
const COUNT: &str = "60005460010180600055";
/// Runs until the gas is gone.
const SPIN: &str = "0x5b600056";
/// Asks for the balance of one account after the other: for hours, if it has the gas.
const ENDLESS: &str = "0x5b5a3150600056";
/// Returns 96 KiB of zeros, for little gas.
const LARGE: &str = "0x620180006000f3";
const REFUSED: i64 = -32_000;
const INVALID_PARAMS: i64 = -32_602;

/// A node at the end of a chain, the beginning of which is durable.
fn wire(fork: Fork) -> Wire {
    let chain = WireChain::of_recipe(&Recipe::new(0x9e5, fork, 11, 3));
    let node = Node::in_memory(&chain.chain, &Setup::new(8));
    let wire = Wire::over(chain, node);
    let last = wire.chain.last();
    wire.follow(1..=last);
    let durable = durable(&wire);
    assert!(durable > 3 && durable < last, "block {durable} of {last} is durable");
    wire
}

fn durable(wire: &Wire) -> u64 {
    wire.node.settled().durable.number
}

fn returning(opcodes: &str) -> String {
    format!("0x{opcodes}{RETURN}")
}

fn with_code(code: &str) -> Value {
    json!({ HERE.to_string(): { "code": code } })
}

fn word(value: u64) -> Value {
    json!(B256::from(U256::from(value)))
}

fn number(value: &Value) -> u64 {
    let digits = value.as_str().and_then(|text| text.strip_prefix("0x"));
    u64::from_str_radix(digits.unwrap_or_else(|| panic!("{value}")), 16).expect("64 bits")
}

#[track_caller]
fn called(wire: &Wire, code: &str, block: &str, overrides: &Value) -> Value {
    wire.public_ok("eth_call", &json!([{ "to": HERE }, block, with_code(code), overrides]))
}

#[track_caller]
fn refusal(wire: &Wire, method: &str, params: &Value) -> WireError {
    match wire.public.call(method, params) {
        Ok(found) => panic!("{method}: no error: {found}"),
        Err(error) => error,
    }
}

#[test]
fn a_block_is_what_is_assumed_of_it() {
    let wire = wire(Fork::Prague);
    let random = B256::repeat_byte(0x4a);
    for at in [2, wire.chain.last()] {
        let block = quantity(at);
        assert_eq!(called(&wire, &returning("43"), &block, &Value::Null), word(at));
        for (opcode, overrides, expected) in [
            ("43", json!({ "number": "0x9" }), word(9)),
            ("43", json!({ "blockNumber": "0x9" }), word(9)),
            ("42", json!({ "time": "0x77359400" }), word(2_000_000_000)),
            ("42", json!({ "timestamp": "0x77359400" }), word(2_000_000_000)),
            (PARENT_HASH, json!({ "blockHash": { (at - 1).to_string(): random } }), json!(random)),
            (
                PARENT_HASH,
                json!({ "blockHash": { at.to_string(): random } }),
                json!(wire.chain.hash(at - 1)),
            ),
            ("45", json!({ "gasLimit": "0x7" }), word(7)),
            ("4a", json!({ "blobBaseFee": "0x5" }), word(5)),
            ("44", json!({ "prevRandao": random }), json!(random)),
            ("44", json!({ "random": random, "difficulty": "0x7" }), json!(random)),
            ("41", json!({ "feeRecipient": HERE }), json!(HERE.into_word())),
            ("41", json!({ "coinbase": HERE }), json!(HERE.into_word())),
            // Without a price there is no base fee.
            ("48", json!({ "baseFeePerGas": "0x9" }), word(0)),
        ] {
            let found = called(&wire, &returning(opcode), &block, &overrides);
            assert_eq!(found, expected, "block {at}: {overrides}");
        }
        for (assumed, expected) in [
            (at, wire.chain.hash(at - 1)),
            (at + 1, wire.chain.hash(at)),
            (1, wire.chain.hash(0)),
            // There is no such block.
            (at + 100, B256::ZERO),
        ] {
            let overrides = json!({ "number": quantity(assumed) });
            let found = called(&wire, &returning(PARENT_HASH), &block, &overrides);
            assert_eq!(found, json!(expected), "block {at} as {assumed}");
        }
    }
    let twice = json!({ "number": "0x9", "blockNumber": "0x9" });
    for wrong in [json!({ "coinbase": HERE, "feeRecipient": HERE }), twice, json!({ "hash": {} })] {
        let params = json!([{ "to": HERE }, "latest", {}, wrong]);
        assert_eq!(refusal(&wire, "eth_call", &params).code, INVALID_PARAMS, "{wrong}");
    }
}

#[test]
fn a_block_may_be_assumed_to_be_of_a_later_fork() {
    let times = [
        ("shanghaiTime", 100),
        ("cancunTime", 200),
        ("pragueTime", 300),
        ("osakaTime", 400),
        ("amsterdamTime", 500),
    ];
    let chain = WireChain::scheduled(times);
    let node = Node::in_memory(&chain.chain, &Setup::new(1_000));
    let wire = Wire::over(chain, node);
    let genesis = wire.chain.chain.first.block().header.timestamp;
    for seconds in [50, 150, 250, 350, 450, 550] {
        let then = json!({ "time": quantity(genesis + seconds) });
        // PUSH0 comes with Shanghai, BLOBBASEFEE with Cancun.
        for (opcode, name, since) in [("5f", "PUSH0", 100), ("4a", "BLOBBASEFEE", 200)] {
            let code = with_code(&returning(opcode));
            let found =
                wire.public.call("eth_call", &json!([{ "to": HERE }, "latest", code, then]));
            match found {
                Ok(_) => assert!(seconds >= since, "{opcode} at {seconds} s"),
                Err(error) => {
                    assert!(seconds < since, "{opcode} at {seconds} s: {error:?}");
                    let told = format!("invalid opcode: {name}");
                    assert_eq!((error.code, error.message), (REFUSED, told));
                }
            }
        }
    }
}

#[test]
fn a_state_is_what_is_assumed_of_it() {
    let wire = wire(Fork::Prague);
    for at in [2, wire.chain.last()] {
        let block = quantity(at);
        let transfer = json!({ "from": SENDER, "to": HERE, "value": "0x5" });
        for method in ["eth_call", "eth_estimateGas"] {
            let error = refusal(&wire, method, &json!([transfer, block]));
            assert_eq!(error.code, REFUSED);
            assert!(error.message.starts_with("insufficient funds"), "{error:?}");
        }
        let rich = json!({ SENDER.to_string(): { "balance": "0x5" } });
        assert_eq!(wire.public_ok("eth_call", &json!([transfer, block, rich])), "0x");
        let gas = wire.public_ok("eth_estimateGas", &json!([transfer, block, rich]));
        assert_eq!(gas, "0x5208");

        // What slot 1 holds.
        let code = returning("600154");
        for storage in ["state", "stateDiff"] {
            let assumed = json!({ HERE.to_string(): {
                "code": code, storage: { "0x1": word(7) },
            }});
            let found = wire.public_ok("eth_call", &json!([{ "to": HERE }, block, assumed]));
            assert_eq!(found, word(7), "{storage}");
            let gas = wire.public_ok("eth_estimateGas", &json!([{ "to": HERE }, block, assumed]));
            assert!(number(&gas) > 23_100, "{gas}");
        }
    }
    // The identity, elsewhere.
    let identity = Address::with_last_byte(4);
    let moved = json!({ identity.to_string(): { "movePrecompileToAddress": HERE } });
    let ask = |to: Address, assumed: &Value| {
        let params = json!([{ "to": to, "input": "0x0102" }, "latest", assumed]);
        wire.public.call("eth_call", &params)
    };
    assert_eq!(ask(HERE, &moved), Ok(json!("0x0102")));
    assert_eq!(ask(identity, &moved), Ok(json!("0x")));
    for (from, also) in [(HERE, json!({})), (identity, json!({ HERE.to_string(): {} }))] {
        let mut wrong = also;
        wrong[from.to_string()] = json!({ "movePrecompileToAddress": HERE });
        let error = ask(HERE, &wrong).expect_err("refused");
        assert_eq!(error.code, REFUSED, "{wrong}: {error:?}");
    }
}

#[test]
fn an_access_list_is_what_a_message_touches() {
    let wire = wire(Fork::Prague);
    // Loads slot 7 of itself, and the balance of another account.
    let mut other = [0; 20];
    other[0] = 0xbb;
    let other = Address::from(other);
    let code = "0x60075473bb00000000000000000000000000000000000000315000";
    let expected = json!([
        { "address": other, "storageKeys": [] },
        { "address": HERE, "storageKeys": [word(7)] },
    ]);
    for at in [2, wire.chain.last()] {
        let ask = |message: Value, code: &str| {
            let params = json!([message, quantity(at), with_code(code)]);
            wire.public_ok("eth_createAccessList", &params)
        };
        let found = ask(json!({ "to": HERE }), code);
        assert_eq!(found["accessList"], expected);
        assert!(found.get("error").is_none(), "{found}");
        // With the list it touches nothing else, and costs as much.
        let again = ask(json!({ "to": HERE, "accessList": expected }), code);
        assert_eq!(again, found);
        let params = json!([{ "to": HERE, "accessList": expected }, quantity(at), with_code(code)]);
        let gas = wire.public_ok("eth_estimateGas", &params);
        assert!(number(&gas) >= number(&found["gasUsed"]), "{gas}: {found}");

        let reverted = ask(json!({ "to": HERE }), "0x60006000fd");
        assert_eq!(
            (&reverted["accessList"], &reverted["error"]),
            (&json!([]), &json!("execution reverted"))
        );
        let poor = ask(json!({ "to": HERE, "gas": "0x7530" }), SPIN);
        assert_eq!(poor["error"], "out of gas");
    }
}

#[test]
fn messages_find_what_those_before_them_have_left() {
    let wire = wire(Fork::Prague);
    for at in [2, wire.chain.last()] {
        let start = json!({ "blockNumber": quantity(at) });
        let message = json!({ "to": HERE });
        let ask = |bundles: Value, start: &Value, state: &Value| {
            wire.public_ok("eth_callMany", &json!([bundles, start, state]))
        };
        let bundles = json!([
            { "transactions": [message, message] },
            { "transactions": [message], "blockOverride": { "number": "0x1000" } },
        ]);
        let counted = ask(bundles, &start, &with_code(&returning(COUNT)));
        let value = |count| json!({ "value": word(count) });
        assert_eq!(counted, json!([[value(1), value(2)], [value(3)]]));

        // A hash is assumed for one block alone.
        let random = B256::repeat_byte(0x4a);
        let hashes = json!({ "blockHash": { (at - 1).to_string(): random } });
        let bundles = json!([
            { "transactions": [message], "blockOverride": hashes },
            { "transactions": [message], "blockOverride": { "number": quantity(at) } },
        ]);
        let seen = ask(bundles, &start, &with_code(&returning(PARENT_HASH)));
        assert_eq!(seen, json!([[{ "value": random }], [{ "value": wire.chain.hash(at - 1) }]]));

        // What is waived for one is not waived for the next.
        let header = wire.public_ok("eth_getBlockByNumber", &json!([quantity(at), false]));
        let (base_fee, time) = (number(&header["baseFeePerGas"]), number(&header["timestamp"]));
        let mut state = with_code(&returning("48"));
        state[SENDER.to_string()] = json!({ "balance": "0xffffffffffffffffffff" });
        let paid = json!({
            "from": SENDER, "to": HERE, "gas": "0x186a0", "gasPrice": "0x174876e800",
        });
        let seen = ask(json!([{ "transactions": [message, paid, message] }]), &start, &state);
        assert_eq!(seen, json!([[value(0), value(base_fee), value(0)]]));
        assert!(base_fee > 0);

        // Each bundle is a block, and comes after the one before it.
        let values = |of: Vec<u64>| of.into_iter().map(value).collect::<Vec<Value>>();
        let bundles = json!([
            { "transactions": [message, message] },
            { "transactions": [message] },
            { "transactions": [message], "blockOverride": { "number": "0x1000" } },
            { "transactions": [message] },
        ]);
        let seen = ask(bundles.clone(), &start, &with_code(&returning("43")));
        let expected = [vec![at, at], vec![at + 1], vec![0x1000], vec![0x1001]];
        assert_eq!(seen, json!(expected.map(values)));
        let seen = ask(bundles, &start, &with_code(&returning("42")));
        let expected = [vec![time, time], vec![time + 1], vec![time + 2], vec![time + 3]];
        assert_eq!(seen, json!(expected.map(values)));

        // Before the first transaction of the block, and after the last one.
        let block = wire.chain.chain.block(at).block();
        let full = wire.public_ok("eth_getBlockByNumber", &json!([quantity(at), true]));
        assert!(!block.body.transactions.is_empty());
        let sender = full["transactions"][0]["from"].as_str().expect("an address");
        let code = returning(&format!("73{}31", sender.trim_start_matches("0x")));
        for (index, state_of) in [(0, at - 1), (-1, at)] {
            let mut start = start.clone();
            start["transactionIndex"] = json!(index);
            let seen = ask(json!([{ "transactions": [message] }]), &start, &with_code(&code));
            let balance = wire.public_ok("eth_getBalance", &json!([sender, quantity(state_of)]));
            let balance: U256 = balance.as_str().and_then(|it| it.parse().ok()).expect("a number");
            assert_eq!(seen, json!([[{ "value": B256::from(balance) }]]), "{index} of block {at}");
        }
    }
}

#[test]
fn all_messages_together_have_the_gas_and_the_room_of_one_answer() {
    let wire = wire(Fork::Prague);
    let message = json!({ "to": HERE });
    let spin = json!([[{ "transactions": [message, message] }], {}, with_code(SPIN)]);
    let found = wire.public_ok("eth_callMany", &spin);
    assert_eq!(found[0][0]["error"], "out of gas");
    let second = found[0][1]["error"].as_str().unwrap_or_default();
    assert!(second.contains("gas"), "it had none left: {found}");

    let large = |count: usize| {
        let messages = vec![message.clone(); count];
        let many = json!([[{ "transactions": messages }], {}, with_code(LARGE)]);
        let block = json!({ "calls": messages, "stateOverrides": with_code(LARGE) });
        let simulated = json!([{ "blockStateCalls": [block] }]);
        [("eth_callMany", many), ("eth_simulateV1", simulated)]
    };
    for (method, params) in large(2) {
        assert!(wire.public.call(method, &params).is_ok(), "{method}");
    }
    for (method, params) in large(400) {
        let error = refusal(&wire, method, &params);
        assert_eq!(error.code, REFUSED, "{method}");
        assert!(error.message.contains("33554432 bytes"), "{method}: {error:?}");
    }
}

#[test]
fn messages_take_no_longer_than_the_request_says_nor_than_the_node_lets_them() {
    let wire = wire(Fork::Prague);
    let (hour, millisecond) = (Duration::from_secs(3_600), Duration::from_millis(1));
    for (timeout, call_time_max) in [(1, hour), (3_600_000, millisecond), (0, millisecond)] {
        let limits = EthLimits { call_gas_max: 1 << 50, call_time_max, ..EthLimits::default() };
        let methods = public_module(wire.node.engine().clone(), limits, &["eth".to_owned()]);
        let bundles = json!([{ "transactions": [{ "to": HERE }] }]);
        let asked = request("eth_callMany", &json!([bundles, {}, with_code(ENDLESS), timeout]));
        let answer = wire.block_on(methods.expect("methods").raw_json_request(&asked, 1));
        let answer = answer.expect("a good request").0;
        let answer: Value = serde_json::from_str(answer.get()).expect("JSON");
        assert_eq!(answer["error"]["code"], REFUSED, "{answer}");
        let told = answer["error"]["message"].as_str().expect("a message");
        assert!(told.ends_with("it took longer than 0.001 s"), "{timeout}: {told}");
    }
}

/// Fields of a block that do not depend on who has signed its transactions, nor on who has made it.
const FIELDS: [&str; 18] = [
    "baseFeePerGas",
    "blobGasUsed",
    "blockAccessListHash",
    "excessBlobGas",
    "gasLimit",
    "gasUsed",
    "logsBloom",
    "miner",
    "mixHash",
    "number",
    "parentBeaconBlockRoot",
    "parentHash",
    "receiptsRoot",
    "requestsHash",
    "slotNumber",
    "stateRoot",
    "timestamp",
    "withdrawalsRoot",
];

/// A transaction as a message.
fn message(tx: &Value) -> Value {
    let mut message = Map::new();
    for name in [
        "from",
        "to",
        "gas",
        "value",
        "input",
        "nonce",
        "accessList",
        "authorizationList",
        "blobVersionedHashes",
        "maxFeePerBlobGas",
        "maxFeePerGas",
        "maxPriorityFeePerGas",
    ] {
        message.extend(tx.get(name).map(|value| (name.to_owned(), value.clone())));
    }
    // Of the others it is what was paid.
    if !message.contains_key("maxFeePerGas") {
        message.insert("gasPrice".to_owned(), tx["gasPrice"].clone());
    }
    message.into()
}

#[test]
fn a_simulated_block_is_the_one_that_was_made() {
    for fork in FORKS {
        let wire = wire(fork);
        for at in 1..=wire.chain.last() {
            let told = format!("{fork}, block {at}");
            let made = wire.public_ok("eth_getBlockByNumber", &json!([quantity(at), true]));
            let txs = made["transactions"].as_array().expect("a list");
            let overrides = json!({
                "time": made["timestamp"],
                "gasLimit": made["gasLimit"],
                "feeRecipient": made["miner"],
                "prevRandao": made["mixHash"],
                "beaconRoot": made["parentBeaconBlockRoot"],
                "withdrawals": made["withdrawals"],
            });
            let calls: Vec<Value> = txs.iter().map(message).collect();
            let block = json!({ "blockOverrides": overrides, "calls": calls });
            let asked = json!({ "blockStateCalls": [block], "validation": true });
            let found = wire.public_ok("eth_simulateV1", &json!([asked, quantity(at - 1)]));
            let simulated = &found[0];
            for field in FIELDS {
                assert_eq!(simulated.get(field), made.get(field), "{told}: {field}");
            }
            let header: Header = serde_json::from_value(simulated.clone()).expect("a header");
            assert_eq!(json!(header.hash_slow()), simulated["hash"], "{told}");
            let params = json!([quantity(at)]);
            let receipts = wire.public_ok("eth_getBlockReceipts", &params);
            let receipts = receipts.as_array().expect("a list");
            let calls = simulated["calls"].as_array().expect("a list");
            assert_eq!(calls.len(), receipts.len(), "{told}");
            for (call, receipt) in calls.iter().zip(receipts) {
                for field in ["status", "gasUsed"] {
                    assert_eq!(call[field], receipt[field], "{told}: {field}");
                }
                let logs = |value: &Value| value["logs"].as_array().map_or(0, Vec::len);
                assert_eq!(logs(call), logs(receipt), "{told}");
            }
        }
    }
}

#[test]
fn simulated_blocks_follow_one_another() {
    let wire = wire(Fork::Osaka);
    for at in [2, wire.chain.last()] {
        let call = json!({ "to": HERE });
        let blocks = json!([
            { "stateOverrides": with_code(&returning(COUNT)), "calls": [call, call] },
            // Two are left out between them.
            { "blockOverrides": { "number": quantity(at + 4) }, "calls": [call] },
            { "stateOverrides": with_code(&returning(PARENT_HASH)), "calls": [call] },
        ]);
        let params = json!([{ "blockStateCalls": blocks }, quantity(at)]);
        let found = wire.public_ok("eth_simulateV1", &params);
        let found = found.as_array().expect("a list");
        assert_eq!(found.len(), 5);
        let mut parent = json!(wire.chain.hash(at));
        for (block, number) in found.iter().zip(at + 1..) {
            assert_eq!(block["number"], json!(quantity(number)));
            assert_eq!(block["parentHash"], parent, "block {number}");
            parent = block["hash"].clone();
        }
        let given = |block: usize, call: usize| &found[block]["calls"][call]["returnData"];
        assert_eq!([given(0, 0), given(0, 1), given(3, 0)], [&word(1), &word(2), &word(3)]);
        assert_eq!(given(4, 0), &found[3]["hash"]);
    }
}

#[test]
fn a_nonce_that_is_not_checked_may_be_the_last_one() {
    let wire = wire(Fork::Osaka);
    let last = quantity(u64::MAX);
    let call = json!({ "from": SENDER, "to": HERE, "nonce": last });
    for own in [0, u64::MAX] {
        let mut state = with_code(&returning(COUNT));
        let asked = json!([call, "latest", state]);
        assert_eq!(wire.public_ok("eth_call", &asked), word(1));
        state[SENDER.to_string()] = json!({ "nonce": quantity(own) });
        let blocks = json!([{ "stateOverrides": state, "calls": [call, call] }]);
        let asked = json!([{ "blockStateCalls": blocks, "returnFullTransactions": true }]);
        let found = wire.public_ok("eth_simulateV1", &asked);
        for (index, count) in [(0_usize, 1), (1, 2)] {
            assert_eq!(found[0]["calls"][index]["returnData"], word(count), "{own}");
            assert_eq!(found[0]["transactions"][index]["nonce"], json!(last), "{own}");
        }
        let checked = json!([{ "blockStateCalls": blocks, "validation": true }]);
        refusal(&wire, "eth_simulateV1", &checked);
    }
}

#[test]
fn nobody_has_signed_a_simulated_transaction() {
    let wire = wire(Fork::Osaka);
    let calls = json!([{ "to": HERE, "gasPrice": "0x0" }, { "to": HERE }]);
    let asked = json!({ "blockStateCalls": [{ "calls": calls }], "returnFullTransactions": true });
    let found = wire.public_ok("eth_simulateV1", &json!([asked]));
    let txs = found[0]["transactions"].as_array().expect("a list");
    assert_eq!([&txs[0]["type"], &txs[1]["type"]], ["0x0", "0x2"]);
    for tx in txs {
        for field in ["v", "r", "s"] {
            assert_eq!(tx[field], "0x0", "{field}: {tx}");
        }
    }
}

#[test]
fn what_cannot_be_simulated_is_not_our_defect() {
    let wire = wire(Fork::Prague);
    let identity = Address::with_last_byte(4);
    let withdrawals = json!({ "blockOverrides": { "withdrawals": vec![json!({}); 5_001] } });
    let assuming = |address: Address, what: Value| {
        let accounts = json!({ address.to_string(): what });
        json!([{ "stateOverrides": accounts }])
    };
    for (blocks, code) in [
        (assuming(HERE, json!({ "movePrecompileToAddress": SENDER })), REFUSED),
        (assuming(identity, json!({ "movePrecompileToAddress": identity })), REFUSED),
        // A system contract that fails.
        (assuming(WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, json!({ "code": "0xfe" })), REFUSED),
        (json!([withdrawals, withdrawals]), INVALID_PARAMS),
        (json!([]), INVALID_PARAMS),
        (json!([{ "calls": [{ "authorizationList": vec![0; 3_000] }] }]), INVALID_PARAMS),
    ] {
        let params = json!([{ "blockStateCalls": blocks }]);
        let error = refusal(&wire, "eth_simulateV1", &params);
        assert_eq!(error.code, code, "{error:?}");
    }
    // One that is not there answers nothing.
    let gone = assuming(WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, json!({ "code": "0x" }));
    wire.public_ok("eth_simulateV1", &json!([{ "blockStateCalls": gone }]));
    let above = json!([{ "blockStateCalls": [{}] }, quantity(wire.chain.last() + 1)]);
    assert_eq!(refusal(&wire, "eth_simulateV1", &above).code, REFUSED);
}

#[test]
fn simulations_reach_as_far_back_as_proofs() {
    let wire = wire(Fork::Prague);
    let durable = durable(&wire);
    let limits = EthLimits { proof_blocks_max: 2, ..EthLimits::default() };
    let methods = public_module(wire.node.engine().clone(), limits, &["eth".to_owned()]);
    let methods = methods.expect("methods");
    let ask = |number: u64| -> Value {
        let params = json!([{ "blockStateCalls": [{}] }, quantity(number)]);
        let asked = request("eth_simulateV1", &params);
        let answer = wire.block_on(methods.raw_json_request(&asked, 1)).expect("a good request");
        openrpc::assert_answer(&asked, answer.0.get());
        serde_json::from_str(answer.0.get()).expect("JSON")
    };
    for number in [durable - 2, durable, wire.chain.last()] {
        let answer = ask(number);
        assert!(answer.get("result").is_some(), "block {number}: {answer}");
    }
    let refused = ask(durable - 3);
    assert_eq!(refused["error"]["code"], REFUSED, "{refused}");
    let told = refused["error"]["message"].as_str().expect("a message");
    assert!(told.contains("state roots go back 2 blocks"), "{told}");
}
