//! The bounds of single requests: whoever asks for more than a node's operator allows is told how
//! much that is. Bounds of servers and of logs are in `rules_limits`, those that need an index of
//! addresses in `addresses`.

use crate::{
    rules_limits::wire,
    rules_support::{Wire, quantity, request},
};
use alloy_eips::eip2935::HISTORY_STORAGE_ADDRESS;
use fugue_chain::Retention;
use fugue_chainspec::Fork;
use fugue_rpc::{EthLimits, public_module};
use fugue_types::{Address, B256};
use serde_json::{Value, json};

const APIS: [&str; 6] = ["debug", "eth", "fugue", "ots", "testing", "trace"];
const ONE: Address = Address::repeat_byte(0xa1);
const TWO: Address = Address::repeat_byte(0xa2);
/// PUSH1 32, PUSH0, REVERT: gives back 32 bytes.
const GIVES_32_BYTES: &str = "0x60205ffd";
const REFUSED: i64 = -32_000;
const INVALID_PARAMS: i64 = -32_602;

/// The answer where these limits hold.
fn ask(wire: &Wire, limits: EthLimits, method: &str, params: &Value) -> Value {
    let apis = APIS.map(str::to_owned);
    let methods = public_module(wire.node.engine().clone(), limits, &apis).expect("methods");
    let body = request(method, params);
    let answer = wire.block_on(methods.raw_json_request(&body, 1));
    let (answer, _) = answer.expect("a good request");
    serde_json::from_str(answer.get()).expect("JSON")
}

/// With these limits it is refused with this code and what ends with these words; with the usual
/// ones it is not refused for them.
#[track_caller]
fn assert_told(wire: &Wire, limits: EthLimits, asked: (&str, Value), code: i64, told: &str) {
    let (method, params) = asked;
    let answer = ask(wire, limits, method, &params);
    let error = &answer["error"];
    let message = error["message"].as_str().unwrap_or_default();
    assert_eq!(error["code"], code, "{method} {params}: {answer}");
    assert!(message.ends_with(told), "{method} {params}: {answer}");
    let answer = ask(wire, EthLimits::default(), method, &params);
    let message = answer["error"]["message"].as_str().unwrap_or_default();
    assert!(!message.ends_with(told), "{method} {params}: {answer}");
}

#[test]
fn lists_of_arguments_are_as_long_as_they_may_be() {
    let wire = wire();
    let usual = EthLimits::default();
    let values = EthLimits { filter_values_max: 1, ..usual };
    let topics = json!([null, [B256::ZERO, B256::ZERO]]);
    let hashes = json!({ "transactionHashes": [B256::ZERO, B256::ZERO] });
    let parent = wire.chain.hash(3);
    for (limits, method, params) in [
        (values, "eth_getLogs", json!([{ "address": [ONE, TWO] }])),
        (values, "eth_getLogs", json!([{ "topics": topics.clone() }])),
        (values, "eth_newFilter", json!([{ "topics": topics }])),
        (values, "eth_subscribe", json!(["logs", { "address": [ONE, TWO] }])),
        (values, "trace_filter", json!([{ "toAddress": [ONE, TWO] }])),
        (
            EthLimits { receipt_hashes_max: 1, ..usual },
            "eth_subscribe",
            json!(["transactionReceipts", hashes]),
        ),
        (
            EthLimits { percentiles_max: 1, ..usual },
            "eth_feeHistory",
            json!(["0x1", "latest", [10, 20]]),
        ),
        (
            EthLimits { storage_keys_max: 1, ..usual },
            "eth_getProof",
            json!([ONE, ["0x0", "0x1"], "latest"]),
        ),
        (
            EthLimits { storage_keys_max: 1, ..usual },
            "eth_getStorageValues",
            json!([{ ONE.to_string(): ["0x0", "0x1"] }]),
        ),
        (
            EthLimits { testing_txs_max: 1, ..usual },
            "testing_buildBlockV1",
            json!([parent, wire.chain.attributes(3), ["0x", "0x"]]),
        ),
    ] {
        assert_told(&wire, limits, (method, params), INVALID_PARAMS, "2 values, want at most 1");
    }
    let limits = EthLimits { storage_keys_max: 3, ..usual };
    let keys = json!([{ ONE.to_string(): ["0x0", "0x1"], TWO.to_string(): ["0x0", "0x1"] }]);
    let asked = ("eth_getStorageValues", keys);
    assert_told(&wire, limits, asked, INVALID_PARAMS, "4 storage keys, want at most 3");
}

#[test]
fn no_more_is_assumed_of_the_state_than_may_be() {
    let wire = wire();
    let usual = EthLimits::default();
    let accounts = EthLimits { overridden_accounts_max: 1, ..usual };
    let slots = EthLimits { overridden_slots_max: 1, ..usual };
    let (two, zero) = (json!({ ONE.to_string(): {}, TWO.to_string(): {} }), B256::ZERO);
    let both = json!({ ONE.to_string(): { "stateDiff": { "0x0": zero, "0x1": zero } } });
    for (limits, state, told) in
        [(accounts, two, "2 accounts, want at most 1"), (slots, both, "more than 1 slots in all")]
    {
        let bundles = json!([{ "transactions": [{}] }]);
        let blocks = json!([{ "stateOverrides": state, "calls": [{}] }]);
        for (method, params) in [
            ("eth_call", json!([{}, "latest", state])),
            ("eth_estimateGas", json!([{}, "latest", state])),
            ("eth_createAccessList", json!([{}, "latest", state])),
            ("eth_callMany", json!([bundles, {}, state])),
            ("eth_simulateV1", json!([{ "blockStateCalls": blocks }])),
            ("debug_traceCall", json!([{}, "latest", { "stateOverrides": state }])),
            ("debug_traceCallMany", json!([bundles, {}, { "stateOverrides": state }])),
            ("trace_call", json!([{}, ["trace"], "latest", state])),
        ] {
            assert_told(&wire, limits, (method, params), INVALID_PARAMS, told);
        }
    }
}

#[test]
fn messages_and_what_they_give_back_are_bounded_for_all_of_them_together() {
    let wire = wire();
    let usual = EthLimits::default();
    let limits = EthLimits { messages_max: 2, ..usual };
    let bundles = json!([{ "transactions": [{}, {}] }, { "transactions": [{}] }]);
    for method in ["eth_callMany", "debug_traceCallMany"] {
        let asked = (method, json!([bundles, {}]));
        assert_told(&wire, limits, asked, INVALID_PARAMS, "3 messages, want at most 2");
    }
    let wish = json!([{}, ["trace"]]);
    let asked = ("trace_callMany", json!([[wish, wish, wish]]));
    assert_told(&wire, limits, asked, INVALID_PARAMS, "3 values, want at most 2");

    let limits = EthLimits { simulated_calls_max: 2, ..usual };
    let (two, one) = (json!({ "calls": [{}, {}] }), json!({ "calls": [{}] }));
    let three = json!({ "calls": [{}, {}, {}] });
    for blocks in [json!([two, one]), json!([three])] {
        let asked = ("eth_simulateV1", json!([{ "blockStateCalls": blocks }]));
        let told = "too many calls: 2 are the most, of all blocks together";
        assert_told(&wire, limits, asked, -38_026, told);
    }
    let paid = json!({ "blockOverrides": { "withdrawals": [{}, {}, {}] } });
    let asked = ("eth_simulateV1", json!([{ "blockStateCalls": [paid] }]));
    assert_told(&wire, limits, asked, INVALID_PARAMS, "3 values, want at most 2");

    let limits = EthLimits { simulated_blocks_max: 2, ..usual };
    let far = json!([{ "blockOverrides": { "number": quantity(6) } }]);
    for blocks in [json!([{}, {}, {}]), far] {
        let asked = ("eth_simulateV1", json!([{ "blockStateCalls": blocks }]));
        let told = "too many blocks: 2 are the most, those between included";
        assert_told(&wire, limits, asked, -38_026, told);
    }

    // INVALID takes all that its call has.
    let limits = EthLimits { call_gas_max: 100_000, ..usual };
    let calls = json!([{ "data": "0xfe", "gas": quantity(100_000) }, {}]);
    let asked = ("eth_simulateV1", json!([{ "blockStateCalls": [{ "calls": calls }] }]));
    let told = "RPC gas cap exhausted: need 53000, remaining 0: see --rpc.gascap";
    assert_told(&wire, limits, asked, -38_026, told);
    let state = json!({ HISTORY_STORAGE_ADDRESS.to_string(): { "code": "0xfe" } });
    let asked = ("eth_simulateV1", json!([{ "blockStateCalls": [{ "stateOverrides": state }] }]));
    let told = "RPC gas cap exhausted by system contracts whose code is assumed: see --rpc.gascap";
    assert_told(&wire, limits, asked, -38_026, told);
    let calls = json!([{ "data": "0xfe" }, {}]);
    let full = json!({ "blockOverrides": { "gasLimit": quantity(100_000) }, "calls": calls });
    let answer = ask(&wire, usual, "eth_simulateV1", &json!([{ "blockStateCalls": [full] }]));
    let told = "block gas limit reached: 100000 of 100000 are used, the call takes 53000";
    assert_eq!(answer["error"], json!({ "code": -38_015, "message": told }));

    let limits = EthLimits { output_bytes_max: 63, ..usual };
    let calls = json!([{ "data": GIVES_32_BYTES }, { "data": GIVES_32_BYTES }]);
    let asked = ("eth_callMany", json!([[{ "transactions": calls }], {}]));
    let told = "the messages return more than 63 bytes, the most: send fewer of them";
    assert_told(&wire, limits, asked, REFUSED, told);
    let asked = ("eth_simulateV1", json!([{ "blockStateCalls": [{ "calls": calls }] }]));
    let told = "the calls return and log more than 63 bytes, the most: simulate fewer of them";
    assert_told(&wire, limits, asked, REFUSED, told);
}

#[test]
fn nobody_is_sent_to_blocks_that_are_pruned() {
    let wire = Wire::pruned(0xb0d, Fork::Prague, Retention::Minimal { window: 3 });
    let oldest = wire.node.view().oldest_body().min(wire.node.view().oldest_receipts());
    assert!(oldest > 1, "nothing is pruned");
    let limits = EthLimits {
        log_blocks_max: 1,
        indexed_log_blocks_max: 1,
        trace_blocks_max: 1,
        profile_blocks_max: 1,
        ..EthLimits::default()
    };
    let range = json!({ "fromBlock": "earliest", "toBlock": "latest" });
    let of_one = json!({ "fromBlock": "0x1", "toBlock": "latest", "address": ONE });
    for (method, params) in [
        ("eth_getLogs", json!([range])),
        ("eth_getLogs", json!([of_one])),
        ("trace_filter", json!([range])),
        ("fugue_profileContract", json!([ONE, "0x1", "latest"])),
    ] {
        let answer = ask(&wire, limits, method, &params);
        assert_eq!(answer["error"]["code"], 4_444, "{method} {params}: {answer}");
    }
}

#[test]
fn pages_are_as_long_as_they_may_be() {
    let wire = wire();
    let usual = EthLimits::default();
    let hash = wire.chain.hash(1);
    for (limits, method, params, told) in [
        (
            EthLimits { page_slots_max: 1, ..usual },
            "debug_storageRangeAt",
            json!([hash, 0, ONE, "0x", 2]),
            "(limit): 2, want at most 1",
        ),
        (
            EthLimits { page_txs_max: 1, ..usual },
            "ots_getBlockTransactions",
            json!(["0x1", 0, 2]),
            "(page size): 2, want at most 1",
        ),
        (
            EthLimits { searched_txs_max: 1, ..usual },
            "ots_searchTransactionsBefore",
            json!([ONE, 0, 2]),
            "(page size): 2, want 1 to 1",
        ),
    ] {
        assert_told(&wire, limits, (method, params), INVALID_PARAMS, told);
    }
}

#[test]
fn a_block_is_explained_on_as_many_threads_as_may_be() {
    let wire = wire();
    let limits = EthLimits { explain_threads_max: 1, ..EthLimits::default() };
    let answer = ask(&wire, limits, "fugue_explainBlock", &json!(["0x1"]));
    assert_eq!(answer["result"]["runs"][0]["threads"], 1, "{answer}");
}
