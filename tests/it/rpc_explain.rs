//! `fugue_explainBlock` and `fugue_profileContract` on a chain of which it is known who waits for
//! whom, and on a generated one, whose explanations have to hold together.

use crate::{
    engine_support::{Node, Setup},
    import_support::{Recipe, TestChain},
    rules_support::{Wire, WireChain, quantity, request},
};
use fugue_chainspec::Fork;
use fugue_rpc::{EthLimits, public_module};
use fugue_types::{Address, B256, Bytes, U256};
use fugue_workload::{Call, Fee, Script, Wallet, bytecode};
use serde_json::{Value, json};

/// The fee recipient of all blocks.
const AUTHOR: Address = Address::repeat_byte(0xfe);
/// Everybody counts up its slot 0.
const COUNTER: Address = Address::repeat_byte(0xc0);
/// Keeps the balance of the fee recipient in its slot 0.
const WATCHER: Address = Address::repeat_byte(0xc1);
/// Blocks of the generated chain, after the one that deploys contracts.
const GENERATED: usize = 12;

/// Each transaction pays the fee recipient.
fn paid(call: Call) -> Call {
    call.fee(Fee::Gwei { max: 100, tip: 1 })
}

/// Ether to an account that nobody else looks at.
fn transfer(to: u8) -> Call {
    paid(Call::transfer(Address::repeat_byte(to), U256::from(7)))
}

/// A node whose chain has three blocks: with a slot that three of five transactions count up; with
/// two transactions of one sender, and one that looks at the fee recipient; of strangers.
fn wire() -> (Wire, Vec<Wallet>) {
    let fork = Fork::Shanghai;
    let mut script = Script::new("explain", "a slot that is hot", 0xe8, fork);
    let slots = [(U256::ZERO, U256::from(3))];
    script.place(COUNTER, bytecode::counter().into(), U256::ZERO, &slots);
    script.place(WATCHER, bytecode::coinbase_reader().into(), U256::ZERO, &[]);
    let users = script.users(5);
    let [one, two, three, four, five] = [0, 1, 2, 3, 4].map(|index: usize| users[index]);
    let count = paid(Call::to(COUNTER, Bytes::new()));
    script.send(one, count.clone());
    script.send(two, transfer(0xa0));
    script.send(three, count.clone());
    script.send(four, count);
    script.send(five, transfer(0xa1));
    script.block(AUTHOR);
    script.send(one, transfer(0xa2));
    script.send(one, transfer(0xa3));
    script.send(two, paid(Call::to(WATCHER, Bytes::new())));
    script.block(AUTHOR);
    script.send(one, transfer(0xa4));
    script.send(two, transfer(0xa5));
    script.send(three, transfer(0xa6));
    let mut chain = WireChain::new(fork);
    // Blocks of this fork have nothing beside them.
    chain.chain = TestChain::of_scenario(script.end(AUTHOR));
    let node = Node::in_memory(&chain.chain, &Setup::new(1_000));
    let wire = Wire::over(chain, node);
    wire.follow(1..=3);
    (wire, users)
}

fn explain(wire: &Wire, number: u64) -> Value {
    wire.public_ok("fugue_explainBlock", &json!([quantity(number)]))
}

/// What its run in a mode did.
fn run_in(wire: &Wire, number: u64, mode: &str) -> Value {
    wire.public_ok("fugue_explainBlock", &json!([quantity(number), mode]))["runs"][0].take()
}

/// Gas of each transaction of a block, by its receipts.
fn gas_of(wire: &Wire, number: u64) -> Vec<u64> {
    let receipts = wire.public_ok("eth_getBlockReceipts", &json!([quantity(number)]));
    let gas = |receipt: &Value| {
        let digits = receipt["gasUsed"].as_str().and_then(|text| text.strip_prefix("0x"));
        u64::from_str_radix(digits.expect("a quantity"), 16).expect("a quantity")
    };
    receipts.as_array().expect("a list").iter().map(gas).collect()
}

/// The numbers under a name in each element of a list.
fn numbers(list: &Value, name: &str) -> Vec<u64> {
    let list = list.as_array().unwrap_or_else(|| panic!("no list of {name}: {list}"));
    list.iter().map(|one| one[name].as_u64().expect("a number")).collect()
}

/// Of each transaction, the indices that it depends on.
fn edges(told: &Value) -> Vec<Vec<u64>> {
    let txs = told["transactions"].as_array().expect("a list");
    txs.iter().map(|tx| numbers(&tx["dependsOn"], "index")).collect()
}

/// A number with a fraction; reading one may change its last digit.
#[track_caller]
fn assert_near(found: &Value, expected: f64) {
    let number = found.as_f64().unwrap_or_else(|| panic!("no number: {found}"));
    assert!((number - expected).abs() < 1e-9, "{found} is not {expected}");
}

fn slot(address: Address, slot: u64, cause: &str) -> Value {
    let slot = B256::from(U256::from(slot));
    json!({ "address": address, "field": "storage", "slot": slot, "cause": cause })
}

#[test]
fn the_hot_slot_of_a_block_is_named() {
    let (wire, users) = wire();
    let told = explain(&wire, 1);
    let gas = gas_of(&wire, 1);
    assert_eq!(told["blockNumber"], 1);
    assert_eq!(told["blockHash"], json!(wire.chain.hash(1)));
    assert_eq!(numbers(&told["transactions"], "gasUsed"), gas);
    assert_eq!(told["transactions"][2]["from"], json!(users[2].address()));
    let hash = wire.chain.chain.block(1).block().body.transactions[2].hash();
    assert_eq!(told["transactions"][2]["hash"], json!(hash));

    // The second and the last transaction are nobody's business.
    assert_eq!(edges(&told), [vec![], vec![], vec![0], vec![2], vec![]]);
    let hot = slot(COUNTER, 0, "state");
    assert_eq!(told["transactions"][3]["dependsOn"][0]["locations"], json!([hot]));
    assert_eq!(told["transactions"][3]["dependsOn"][0]["locationCount"], 1);
    let (total, length) = (gas.iter().sum::<u64>(), gas[0] + gas[2] + gas[3]);
    assert_eq!(
        (&told["gas"]["total"], &told["gas"]["criticalPath"]),
        (&json!(total), &json!(length))
    );
    assert_eq!(numbers(&told["gas"]["transactions"], "index"), [0, 2, 3]);
    assert_eq!(told["gas"]["transactions"][0]["locations"], json!([]));
    assert_eq!(told["gas"]["transactions"][2]["locations"], json!([hot]));
    let best = total as f64 / length as f64;
    assert_near(&told["gas"]["bestSpeedUp"], best);
    // The others fit beside that row on a second core.
    assert_eq!(numbers(&told["cores"], "cores"), [2, 4, 8, 16]);
    assert_eq!(numbers(&told["cores"], "gas"), [length; 4]);
    assert_near(&told["cores"][0]["speedUp"], best);
    let mut hottest = hot;
    hottest.as_object_mut().expect("an object").remove("cause");
    hottest["conflictingPairs"] = json!(2);
    assert_eq!(told["hottest"], json!([hottest]));

    // All of them have paid one account, and none waits for that.
    let fees = json!({ "address": AUTHOR, "credits": 5, "readers": [] });
    assert_eq!(told["feeRecipient"], fees);
    assert_eq!(told["senderChains"], json!([]));
    // The row is one in time as well, if another transaction is not the slowest of all.
    let times = numbers(&told["transactions"], "nanoseconds");
    assert_eq!(told["nanoseconds"]["total"], json!(times.iter().sum::<u64>()));
    let row = times[0] + times[2] + times[3];
    let longest = row.max(times[1]).max(times[4]);
    assert_eq!(told["nanoseconds"]["criticalPath"], json!(longest));
}

#[test]
fn what_the_executor_does_is_told() {
    let (wire, _) = wire();
    for (mode, way) in [("occ", "optimistic"), ("lanes", "lanes")] {
        for (number, count) in [(1, 5), (2, 3), (3, 3)] {
            let run = run_in(&wire, number, mode);
            assert_eq!((&run["mode"], &run["way"]), (&json!(mode), &json!(way)));
            let told = |name: &str| run[name].as_u64().unwrap_or_else(|| panic!("{name}: {run}"));
            assert!((1..=4).contains(&told("threads")), "{run}");
            assert!((1..=told("threads")).contains(&told("activeThreads")), "{run}");
            assert!(told("rerunTransactions") <= count && told("headReruns") <= count, "{run}");
            assert_eq!((&run["fallback"], &run["sequentialFrom"]), (&Value::Null, &Value::Null));
            assert_eq!(run.get("givenUp"), Some(&Value::Null), "{run}");
            assert!(told("lostNanoseconds") < told("nanoseconds"), "{run}");
            // All runs but one of each transaction are told, and who disturbed it.
            let again = run["transactions"].as_array().expect("a list");
            let reruns = again.iter().flat_map(|tx| {
                let reruns = tx["reruns"].as_array().expect("a list");
                reruns.iter().map(move |rerun| (tx["index"].as_u64(), rerun))
            });
            let reruns: Vec<_> = reruns.collect();
            assert_eq!(told("runs"), count + reruns.len() as u64, "{run}");
            for (index, rerun) in reruns {
                let by = rerun["by"].as_u64();
                assert!(by.is_some() || rerun["cause"] != "changed", "{run}");
                assert!(by.is_none_or(|by| index.is_some_and(|index| by < index)), "{run}");
            }
        }
    }
    assert_eq!(explain(&wire, 1)["runs"][0]["mode"], "lanes");
    // What is run one after the other has nothing to tell.
    let run = run_in(&wire, 1, "seq");
    assert_eq!((&run["way"], &run["transactions"]), (&json!("sequential"), &json!([])));
}

#[test]
fn nonces_and_fees_are_told_apart_from_conflicts() {
    let (wire, users) = wire();
    let told = explain(&wire, 2);
    let gas = gas_of(&wire, 2);
    // The second payment of a sender may run beside the first one: it names its nonce.
    assert_eq!(edges(&told), [vec![], vec![], vec![1]]);
    let one = users[0].address();
    let fee =
        json!({ "address": AUTHOR, "field": "balance", "slot": null, "cause": "feeRecipient" });
    assert_eq!(told["transactions"][2]["dependsOn"][0]["locations"], json!([fee]));
    assert_eq!(told["hottest"], json!([]));
    let chain = json!({ "address": one, "transactions": 2, "gasUsed": gas[0] + gas[1] });
    assert_eq!(told["senderChains"], json!([chain]));
    let fees = json!({ "address": AUTHOR, "credits": 2, "readers": [2] });
    assert_eq!(told["feeRecipient"], fees);
    // One payment, and who waits for its fee.
    assert_eq!(numbers(&told["gas"]["transactions"], "index"), [1, 2]);
    let total = gas.iter().sum::<u64>() as f64;
    assert_near(&told["gas"]["bestSpeedUp"], total / (gas[1] + gas[2]) as f64);
}

#[test]
fn strangers_run_all_at_once() {
    let (wire, _) = wire();
    // The latest block, where none is named.
    let told = wire.public_ok("fugue_explainBlock", &json!([]));
    assert_eq!(told["blockNumber"], 3);
    assert!(edges(&told).iter().all(Vec::is_empty), "{told}");
    assert_eq!(
        (&told["gas"]["total"], &told["gas"]["criticalPath"]),
        (&json!(63_000), &json!(21_000))
    );
    assert_eq!(told["gas"]["bestSpeedUp"], 3.0);
    assert_eq!(numbers(&told["cores"], "gas"), [42_000, 21_000, 21_000, 21_000]);
    assert_eq!(told["cores"][0]["speedUp"], 1.5);
}

#[test]
fn a_profile_tells_what_a_contract_causes_and_by_which_slot() {
    let (wire, _) = wire();
    let profile = |contract: Address| {
        wire.public_ok("fugue_profileContract", &json!([contract, "earliest", "latest"]))
    };
    let mut told = profile(COUNTER);
    let [one, two, three] = [1, 2, 3].map(|number| gas_of(&wire, number));
    let serial = one[2] + one[3];
    let path = one[0] + serial + two[1] + two[2] + three[0];
    let total: u64 = [&one, &two, &three].into_iter().flatten().sum();
    let share = serial as f64 / path as f64;
    assert_near(&told["serialShare"].take(), share);
    assert_near(&told["locations"][0]["serialShare"].take(), share);
    assert_eq!(
        told,
        json!({
            "address": COUNTER, "fromBlock": 0, "toBlock": 3,
            "blocks": 3, "blocksTouched": 1, "transactions": 11, "transactionsTouched": 3,
            "gasUsed": total, "criticalPathGas": path,
            "serialGas": serial, "serialShare": null, "serialGasAlone": serial,
            "conflictingPairs": 2,
            "locations": [{
                "field": "storage", "slot": B256::ZERO, "serialGas": serial, "serialShare": null,
                "conflictingPairs": 2,
            }],
            "locationCount": 1,
        })
    );
    // It is called, but nobody waits for it.
    let told = profile(WATCHER);
    assert_eq!((&told["blocksTouched"], &told["transactionsTouched"]), (&json!(1), &json!(1)));
    assert_eq!((&told["serialGas"], &told["locations"]), (&json!(0), &json!([])));
}

#[test]
fn what_cannot_be_explained_is_refused() {
    let (wire, _) = wire();
    let error =
        |method: &str, params: Value| wire.public.call(method, &params).expect_err("it is refused");
    assert_eq!(error("fugue_explainBlock", json!(["0x4"])).code, -32_001);
    assert_eq!(error("fugue_explainBlock", json!(["0x0"])).code, -32_000);
    let told = error("fugue_explainBlock", json!(["0x1", "fast"]));
    assert_eq!(told.code, -32_602);
    assert!(told.message.starts_with("invalid argument 1 (mode): \"fast\" is no mode"), "{told:?}");
    let told = error("fugue_explainBlock", json!(["first"]));
    assert_eq!(told.code, -32_602);
    assert!(told.message.starts_with("invalid argument 0 (block): "), "{told:?}");
    let told = error("fugue_profileContract", json!([COUNTER, "0x1"]));
    assert_eq!((told.code, told.message.as_str()), (-32_602, "missing argument 2 (toBlock)"));
    for (from, to) in [("0x1", "0x4"), ("0x3", "0x2")] {
        assert_eq!(error("fugue_profileContract", json!([COUNTER, from, to])).code, -32_602);
    }
    // They are for whoever runs the node.
    assert_eq!(wire.code("fugue_explainBlock", &json!([])), -32_601);

    // A range that is too long is told with one that fits.
    let limits = EthLimits { profile_blocks_max: 2, ..EthLimits::default() };
    let apis = ["fugue".to_owned()];
    let methods = public_module(wire.node.engine().clone(), limits, &apis).expect("methods");
    let ask = |from: &str, to: &str| -> Value {
        let body = request("fugue_profileContract", &json!([COUNTER, from, to]));
        let (answer, _) =
            wire.block_on(methods.raw_json_request(&body, 1)).expect("a good request");
        serde_json::from_str(answer.get()).expect("JSON")
    };
    assert_eq!(ask("0x2", "0x3")["result"]["blocks"], 2);
    let error = ask("0x1", "0x3")["error"].take();
    assert_eq!(error["code"], -32_602);
    let message = error["message"].as_str().expect("a message");
    assert!(message.ends_with("max block range 2, retry with the range 1-2"), "{message}");
}

#[test]
fn explanations_of_generated_blocks_hold_together() {
    let fork = Fork::Shanghai;
    let chain = WireChain::of_recipe(&Recipe::new(0xe9, fork, GENERATED, 12));
    let node = Node::in_memory(&chain.chain, &Setup::new(1_000));
    let wire = Wire::over(chain, node);
    let last = wire.chain.last();
    wire.follow(1..=last);
    let mut dependencies = 0;
    for number in 1..=last {
        let told = explain(&wire, number);
        let gas = gas_of(&wire, number);
        // With their fees paid at the commit, the transactions use the same gas.
        assert_eq!(numbers(&told["transactions"], "gasUsed"), gas, "block {number}");
        let edges = edges(&told);
        dependencies += edges.iter().flatten().count();
        for (index, edges) in (0_u64..).zip(&edges) {
            assert!(edges.iter().all(|on| *on < index), "block {number}: {edges:?}");
            assert!(edges.is_sorted(), "block {number}: {edges:?}");
        }
        let path = numbers(&told["gas"]["transactions"], "index");
        let on_path = path.iter().map(|index| gas[usize::try_from(*index).expect("few")]);
        assert_eq!(told["gas"]["criticalPath"], json!(on_path.sum::<u64>()), "block {number}");
        assert!(path.is_sorted(), "block {number}: {path:?}");
        // More cores never take longer here than one, nor less than the critical path.
        let lengths = numbers(&told["cores"], "gas");
        let (total, length) = (told["gas"]["total"].as_u64(), told["gas"]["criticalPath"].as_u64());
        for found in lengths {
            assert!(Some(found) <= total && Some(found) >= length, "block {number}: {told}");
        }
        let run = run_in(&wire, number, "occ");
        assert_eq!(run["fallback"], Value::Null, "block {number}");
    }
    assert!(dependencies > 0, "nobody depends on anybody");
}
