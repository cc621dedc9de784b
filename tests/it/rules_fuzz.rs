//! Every method of both ports with random parameters, which are made of words that mean something:
//! none panics, and none answers that the node is at fault.
//!
//! What decodes them is fuzzed for itself, beside the code.

use crate::{
    openrpc,
    rules_support::{Wire, engine_methods, public_methods, quantity, request},
};
use fugue_chainspec::Fork;
use proptest::{
    collection::vec,
    prelude::{Just, Strategy, any},
    prop_oneof,
    sample::select,
    test_runner::{Config, TestCaseError, TestRunner},
};
use serde_json::{Value, json};

/// Lists of parameters, with each of which all methods are called, and how often a failing one is
/// made smaller.
const CASES: u32 = 96;
const SHRINKS_MAX: u32 = 200;
/// Notifications of a subscription that are kept.
const NEWS_MAX: usize = 16;
/// We are broken. Source: JSON-RPC 2.0.
const INTERNAL: i64 = -32_603;

/// Names of fields that some method looks for.
const FIELDS: &[&str] = &[
    "address",
    "blockHash",
    "blockNumber",
    "data",
    "disableStorage",
    "from",
    "fromBlock",
    "gas",
    "gasPrice",
    "headBlockHash",
    "input",
    "maxFeePerGas",
    "nonce",
    "requireCanonical",
    "safeBlockHash",
    "finalizedBlockHash",
    "timeout",
    "to",
    "toBlock",
    "topics",
    "tracer",
    "tracerConfig",
    "type",
    "value",
];

/// Strings that name something of this chain, or of any.
fn words(wire: &Wire) -> Vec<String> {
    let chain = &wire.chain;
    let mut words: Vec<String> =
        (0..=chain.last()).map(|number| chain.hash(number).to_string()).collect();
    let txs = &chain.chain.block(1).block().body.transactions;
    words.extend(txs.iter().map(|tx| tx.hash().to_string()));
    words.extend((0..8).map(quantity));
    words.push(chain.deployer.address().to_string());
    let others = [
        "latest",
        "pending",
        "safe",
        "finalized",
        "earliest",
        "0x",
        "0xffffffffffffffff",
        "0x10000000000000000",
        "0x5b5a31505f56",
        "0x0000000000000000000000000000000000000004",
        "callTracer",
        "newHeads",
        "logs",
        "trace",
        "",
        "\u{0}\u{202e}",
    ];
    words.extend(others.map(str::to_owned));
    words
}

fn value(words: Vec<String>) -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        8 => select(words).prop_map(Value::from),
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
        1 => "0x[0-9a-f]{0,300}".prop_map(Value::from),
        1 => "\\PC{0,30}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 5, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::Array),
            vec((select(FIELDS), inner), 0..5).prop_map(|fields| {
                let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value));
                Value::Object(fields.collect())
            }),
        ]
    })
}

#[test]
fn no_parameters_make_a_method_fail() {
    let wire = Wire::new(Fork::Prague);
    wire.follow(1..=wire.chain.last());
    let engine = engine_methods(wire.node.engine());
    let public = public_methods(wire.node.engine());
    let ports = [engine, public].map(|methods| {
        let mut names: Vec<&'static str> = methods.method_names().collect();
        names.sort_unstable();
        (methods, names)
    });
    let config = Config {
        cases: CASES,
        max_shrink_iters: SHRINKS_MAX,
        failure_persistence: None,
        ..Config::default()
    };
    let tested = TestRunner::new(config).run(&vec(value(words(&wire)), 0..5), |params| {
        let params = Value::Array(params);
        for (methods, names) in &ports {
            for name in names {
                let text = request(name, &params);
                let called = wire.block_on(methods.raw_json_request(&text, NEWS_MAX));
                let (answer, _news) = called.expect("it is a request");
                openrpc::assert_answer(&text, answer.get());
                let answer: Value = serde_json::from_str(answer.get()).expect("JSON");
                if answer["error"]["code"] == json!(INTERNAL) {
                    return Err(TestCaseError::fail(format!("{text}: {answer}")));
                }
            }
        }
        Ok(())
    });
    if let Err(error) = tested {
        panic!("{error}");
    }
    // And it goes on, wherever `debug_setHead` has taken it.
    let last = wire.chain.last();
    wire.follow(last..=last);
    assert_eq!(wire.public_ok("eth_blockNumber", &json!([])), json!(quantity(last)));
}
