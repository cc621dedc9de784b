//! Errors by which callers decide what to do, over HTTP: why a transaction is rejected, which
//! argument of a range is wrong, and what is pruned.

use crate::rules_support::{Wire, quantity};
use alloy_consensus::{SignableTransaction as _, TxEip1559};
use alloy_eips::Encodable2718;
use alloy_primitives::Signature;
use fugue_chain::Retention;
use fugue_chainspec::Fork;
use fugue_types::{Address, Bytes, Transaction, TxKind, U256};
use fugue_workload::{CHAIN_ID, gwei};
use serde_json::{Value, json};

const INVALID_PARAMS: i64 = -32_602;

/// What the pool takes.
fn good(nonce: u64) -> TxEip1559 {
    TxEip1559 {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit: 500_000,
        max_fee_per_gas: gwei(100),
        max_priority_fee_per_gas: gwei(2),
        to: TxKind::Call(Address::repeat_byte(0xb0)),
        value: U256::from(5),
        ..TxEip1559::default()
    }
}

/// Code and message of an error.
#[track_caller]
fn error(wire: &Wire, method: &str, params: &Value) -> (i64, String) {
    let error = wire.public.call(method, params).expect_err(method);
    (error.code, error.message)
}

#[test]
fn a_rejected_transaction_has_the_code_of_the_specification_and_the_words_of_geth() {
    let wire = Wire::new(Fork::Cancun);
    wire.follow(1..=1);
    let nonce = wire.deployer_nonce();
    assert!(nonce > 0, "it has sent nothing");
    let block_gas_limit = wire.chain.chain.block(1).block().header.gas_limit;
    let encoded = |tx: TxEip1559| Bytes::from(wire.chain.deployer.eip1559(tx).encoded_2718());
    let of_nonce = encoded(good(nonce));
    wire.public_ok("eth_sendRawTransaction", &json!([of_nonce]));
    let next = good(nonce + 1);
    // No half of a signature is that large. Source: EIP-2.
    let signature = Signature::new(U256::from(1), U256::MAX, false);
    let unsigned = Transaction::Eip1559(next.clone().into_signed(signature));
    let cases = [
        (of_nonce, 1_000, "already known"),
        (encoded(good(nonce - 1)), 1, "nonce too low"),
        (encoded(good(nonce + 1_000)), 2, "nonce too high"),
        (encoded(good(u64::MAX)), -32_003, "nonce has max value"),
        (encoded(TxEip1559 { gas_limit: 20_999, ..next.clone() }), 800, "intrinsic gas too low"),
        (
            encoded(TxEip1559 { value: U256::from(6), ..good(nonce) }),
            802,
            "replacement transaction underpriced",
        ),
        (
            encoded(TxEip1559 { max_fee_per_gas: 0, max_priority_fee_per_gas: 0, ..next.clone() }),
            802,
            "transaction underpriced",
        ),
        (
            encoded(TxEip1559 { gas_limit: block_gas_limit + 1, ..next.clone() }),
            803,
            "exceeds block gas limit",
        ),
        (
            encoded(TxEip1559 { max_fee_per_gas: gwei(1), ..next.clone() }),
            804,
            "max priority fee per gas higher than max fee per gas",
        ),
        (
            encoded(TxEip1559 { value: U256::MAX >> 1, ..next.clone() }),
            809,
            "insufficient funds for gas * price + value",
        ),
        (
            encoded(TxEip1559 { chain_id: CHAIN_ID + 1, ..next.clone() }),
            1_001,
            "invalid sender: invalid chain id for signer",
        ),
        (Bytes::from(unsigned.encoded_2718()), 1_001, "invalid sender: "),
        (encoded(TxEip1559 { input: vec![0; 200_000].into(), ..next }), -32_003, "oversized data"),
        (Bytes::from_static(&[2]), INVALID_PARAMS, "invalid argument 0 (transaction): "),
    ];
    for (encoded, code, words) in cases {
        for method in ["eth_sendRawTransaction", "eth_sendRawTransactionSync"] {
            let (found, told) = error(&wire, method, &json!([encoded]));
            assert_eq!(found, code, "{method}: {told}");
            assert!(told.starts_with(words), "{method}: {told}");
        }
    }
}

#[test]
fn a_range_that_is_wrong_is_told_with_its_argument() {
    let wire = Wire::new(Fork::Prague);
    wire.follow(1..=3);
    let beyond = "block range extends beyond current head block";
    let back = "invalid block range: fromBlock is above toBlock";
    for (from, to, words) in [("0x1", "0xffff", beyond), ("0x3", "0x1", back)] {
        let range = json!({ "fromBlock": from, "toBlock": to });
        for method in ["eth_getLogs", "trace_filter"] {
            let told = format!("invalid argument 0 (filter): {words}");
            assert_eq!(error(&wire, method, &json!([range])), (INVALID_PARAMS, told), "{method}");
        }
        let contract = Address::repeat_byte(0xb0);
        let told = format!("invalid argument 2 (toBlock): {words}");
        let found = error(&wire, "fugue_profileContract", &json!([contract, from, to]));
        assert_eq!(found, (INVALID_PARAMS, told));
    }
    let (code, told) = error(&wire, "eth_feeHistory", &json!(["0x1", "0xffff", []]));
    assert_eq!(code, INVALID_PARAMS);
    assert!(told.starts_with("invalid argument 1 (newest block): "), "{told}");
    let found = error(&wire, "eth_feeHistory", &json!(["0x1", "latest", [50, 50]]));
    let told = "invalid argument 2 (reward percentiles): the percentiles do not rise";
    assert_eq!(found, (INVALID_PARAMS, told.to_owned()));
}

#[test]
fn what_is_wrong_within_an_argument_is_told_with_its_path() {
    let wire = Wire::new(Fork::Prague);
    wire.follow(1..=1);
    let here = Address::repeat_byte(0xaa);
    let key = here.to_string();
    let assuming = |what: Value| json!({ key.as_str(): what });
    let call = |options: Value| json!([{}, "latest", options]);
    let calls = json!([{ "calls": [{}, { "to": "0x12" }] }]);
    let cases = [
        (
            "eth_call",
            json!([{}, "latest", assuming(json!({ "balance": "1000" }))]),
            format!("2 (state overrides): {key}.balance: hex string without 0x prefix"),
        ),
        (
            "eth_estimateGas",
            json!([{}, "latest", {}, { "baseFee": 7 }]),
            "3 (block overrides): baseFee: a hex string is expected".to_owned(),
        ),
        (
            "eth_call",
            json!([{ "accessList": [{ "address": here, "storageKeys": ["0x1"] }] }]),
            "0 (transaction): accessList[0].storageKeys[0]: ".to_owned(),
        ),
        (
            "eth_getLogs",
            json!([{ "topics": [null, ["0x12"]] }]),
            "0 (filter): topics[1][0]: a hash has 32 bytes".to_owned(),
        ),
        (
            "eth_simulateV1",
            json!([{ "blockStateCalls": calls }]),
            "0 (simulation): blockStateCalls[0].calls[1].to: an address has 20 bytes".to_owned(),
        ),
        (
            "debug_traceCall",
            call(json!({ "tracer": "callTracer", "tracerConfig": { "onlyTopCall": "yes" } })),
            "2 (options): tracerConfig.onlyTopCall: invalid type".to_owned(),
        ),
        (
            "debug_traceCall",
            call(json!({ "disableStorage": "true" })),
            "2 (options): disableStorage: invalid type".to_owned(),
        ),
        (
            "debug_traceCall",
            call(json!({ "stateOverrides": assuming(json!({ "stateDiff": { "0x0": 1 } })) })),
            format!("2 (options): stateOverrides.{key}.stateDiff.0x0: a hex string is expected"),
        ),
    ];
    for (method, params, told) in cases {
        let (code, found) = error(&wire, method, &params);
        assert_eq!(code, INVALID_PARAMS, "{method}: {found}");
        assert!(found.starts_with(&format!("invalid argument {told}")), "{method}: {found}");
    }
}

#[test]
fn fees_without_percentiles_need_no_receipts() {
    let wire = Wire::pruned(0xfee, Fork::Prague, Retention::Full { window: 3 });
    let last = wire.chain.last();
    let oldest = wire.node.view().oldest_receipts();
    assert!(oldest > 1, "nothing is pruned");
    let ask = |percentiles: &[u64]| json!([quantity(last), "latest", percentiles]);
    let without = wire.public_ok("eth_feeHistory", &ask(&[]));
    assert_eq!(without.get("reward"), None, "{without}");
    assert_eq!(without["oldestBlock"], "0x1");
    let none = wire.public_ok("eth_feeHistory", &json!([quantity(last), "latest"]));
    assert_eq!(none, without);
    let decimal = wire.public_ok("eth_feeHistory", &json!([last.to_string(), "latest"]));
    assert_eq!(decimal, without);
    let (code, told) = error(&wire, "eth_feeHistory", &ask(&[50]));
    assert_eq!(code, 4_444, "{told}");
    assert!(told.contains("receipts of block 1 are not kept"), "{told}");
    let newest = wire.public_ok("eth_feeHistory", &json!(["0x1", "latest", [50]]));
    assert_eq!(newest["reward"].as_array().map(Vec::len), Some(1), "{newest}");
}
