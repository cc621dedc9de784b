//! The shapes of the specification. `samples/` holds answers from the tests of execution-apis
//! (ethereum/execution-apis at 033ca6e6, CC0-1.0): transactions of types 0, 2, 3 and 4, receipts of
//! types 0 (before Byzantium), 1 and 4, the genesis block, and block 54 with its transactions.

use super::*;
use alloy_consensus::{Signed, TxEip2930, TxEip7702, TxLegacy};
use alloy_primitives::Signature;
use fugue_chainspec::{ChainSpec, Fork};
use fugue_types::{BlockBody, Bytes, Eip658Value, Receipt, TxKind};
use serde::de::DeserializeOwned;
use serde_json::json as object;

const TRANSACTIONS: &str = include_str!("samples/transactions.json");
const RECEIPTS: &str = include_str!("samples/receipts.json");
const GENESIS: &str = include_str!("samples/genesis.json");
const BLOCK: &str = include_str!("samples/block.json");

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

fn values(text: &str) -> Vec<Value> {
    parsed(text).as_array().expect("a list").clone()
}

/// A field of an answer.
fn read<T: DeserializeOwned>(value: &Value, field: &str) -> T {
    serde_json::from_value(value[field].clone()).unwrap_or_else(|error| panic!("{field}: {error}"))
}

fn number(value: &Value, field: &str) -> u64 {
    read::<U256>(value, field).to()
}

fn signed(value: &Value) -> (Transaction, Address) {
    let wired: WireTransaction = serde_json::from_value(value.clone()).expect("a transaction");
    wired.inner.into_parts()
}

fn rules() -> Rules {
    ChainSpec::at_fork(1, Fork::Osaka).rules(&Header::default())
}

/// The block that an answer tells of.
fn viewed(value: &Value) -> ViewedBlock {
    let header: Header = serde_json::from_value(value.clone()).expect("a header");
    let signed = value["transactions"].as_array().expect("transactions").iter().map(signed);
    let (transactions, senders) = signed.unzip();
    let withdrawals = value.get("withdrawals").map(|_| Default::default());
    let body = BlockBody { transactions, ommers: Vec::new(), withdrawals };
    ViewedBlock { hash: header.hash_slow(), header, body, senders }
}

#[test]
fn a_block_has_the_fields_of_the_specification_and_no_others() {
    for text in [GENESIS, BLOCK] {
        let expected = parsed(text);
        let found = block(viewed(&expected), &rules(), Detail::Transactions);
        assert_eq!(serde_json::to_value(&found).expect("serializes"), expected);
    }
}

#[test]
fn a_block_shows_hashes_where_no_more_is_asked_for() {
    let expected = parsed(BLOCK);
    let found = block(viewed(&expected), &rules(), Detail::Hashes);
    let found = serde_json::to_value(&found).expect("serializes");
    let txs = expected["transactions"].as_array().expect("transactions");
    let hashes: Vec<_> = txs.iter().map(|tx| tx["hash"].clone()).collect();
    assert!(!hashes.is_empty());
    assert_eq!(found["transactions"], Value::Array(hashes));
}

#[test]
fn a_transaction_of_a_block_has_the_fields_of_its_type() {
    for expected in values(TRANSACTIONS) {
        let wired: WireTransaction = serde_json::from_value(expected.clone()).expect("parses");
        let (hash, number) = (wired.block_hash.expect("hash"), wired.block_number.expect("number"));
        let timestamp = wired.block_timestamp.expect("time");
        let index = wired.transaction_index.expect("index") as usize;
        let (tx, sender) = wired.inner.into_parts();
        // Every sample offers a tip of 1 that fits under its limit.
        let base_fee = tx.max_priority_fee_per_gas().map(|tip| tx.max_fee_per_gas() - tip);
        let base_fee = base_fee.map(|fee| u64::try_from(fee).expect("small"));
        let place = Place { hash, number, timestamp, base_fee, blob_price: None };
        let found = transaction(&place, index, tx, sender);
        assert_eq!(serde_json::to_value(found).expect("serializes"), expected);
    }
}

#[test]
fn a_transaction_of_the_pool_is_in_no_block() {
    for value in values(TRANSACTIONS) {
        let (tx, sender) = signed(&value);
        let max_fee = U256::from(tx.max_fee_per_gas());
        let found = pending(tx, sender).expect("serializes");
        for name in ["blockHash", "blockNumber", "blockTimestamp", "transactionIndex"] {
            assert_eq!(found.get(name), Some(&Value::Null), "{name}");
        }
        assert_eq!(found["gasPrice"], object!(max_fee));
    }
}

/// A transaction with the hash and all else that a receipt tells of it, whatever signed it. All of
/// the samples offer a tip of 1, and the one that creates has the first nonce.
fn receipted(value: &Value, base_fee: u64) -> Transaction {
    let (hash, to) = (read(value, "transactionHash"), read::<Option<Address>>(value, "to"));
    let kind = to.map_or(TxKind::Create, TxKind::Call);
    let gas_price = u128::from(base_fee) + 1;
    let signature = Signature::new(U256::from(1), U256::from(1), false);
    match value["type"].as_str() {
        Some("0x0") => {
            let tx = TxLegacy { gas_price, to: kind, ..TxLegacy::default() };
            Transaction::Legacy(Signed::new_unchecked(tx, signature, hash))
        }
        Some("0x1") => {
            let tx = TxEip2930 { gas_price, to: kind, ..TxEip2930::default() };
            Transaction::Eip2930(Signed::new_unchecked(tx, signature, hash))
        }
        Some("0x4") => {
            let tx = TxEip7702 {
                max_fee_per_gas: 10 * gas_price,
                max_priority_fee_per_gas: 1,
                to: to.expect("it creates nothing"),
                ..TxEip7702::default()
            };
            Transaction::Eip7702(Signed::new_unchecked(tx, signature, hash))
        }
        other => panic!("no sample is of type {other:?}"),
    }
}

#[test]
fn receipts_have_the_fields_of_their_time() {
    for expected in values(RECEIPTS) {
        let base_fee = number(&expected, "effectiveGasPrice") - 1;
        let tx = receipted(&expected, base_fee);
        let logs = expected["logs"].as_array().expect("logs");
        let place = Place {
            hash: read(&expected, "blockHash"),
            number: number(&expected, "blockNumber"),
            timestamp: logs.first().map_or(0, |log| number(log, "blockTimestamp")),
            base_fee: Some(base_fee),
            blob_price: None,
        };
        let cumulative_gas_used = number(&expected, "cumulativeGasUsed");
        let before = Before {
            gas: cumulative_gas_used - number(&expected, "gasUsed"),
            logs: logs.first().map_or(0, |log| number(log, "logIndex")),
        };
        // Before Byzantium it is the state root after the transaction.
        let status = match expected.get("root") {
            Some(_) => Eip658Value::PostState(read(&expected, "root")),
            None => Eip658Value::Eip658(expected["status"] == "0x1"),
        };
        let log = |log: &Value| {
            Log::new_unchecked(read(log, "address"), read(log, "topics"), read(log, "data"))
        };
        let logs: Vec<Log> = logs.iter().map(log).collect();
        let plain = Receipt { status, cumulative_gas_used, logs };
        let envelope = ReceiptEnvelope::from_typed(tx.tx_type(), plain.with_bloom());
        let index = number(&expected, "transactionIndex") as usize;
        let found = receipt(&place, index, before, &tx, read(&expected, "from"), envelope);
        assert_eq!(serde_json::to_value(found).expect("serializes"), expected);
    }
}

#[test]
fn receipts_count_gas_and_logs_through_the_block() {
    let sample = viewed(&parsed(BLOCK));
    let log = || Log::new_unchecked(Address::ZERO, Vec::new(), Bytes::new());
    let count = sample.body.transactions.len();
    let envelopes: Vec<_> = (1..=count)
        .map(|nth| {
            let status = Eip658Value::Eip658(true);
            let cumulative_gas_used = 100 * nth as u64;
            let logs = vec![log(), log()];
            ReceiptEnvelope::Legacy(Receipt { status, cumulative_gas_used, logs }.with_bloom())
        })
        .collect();
    let found = receipts(&sample, &rules(), envelopes.clone());
    assert_eq!(found.len(), count);
    for (index, receipt) in found.iter().enumerate() {
        assert_eq!(receipt.gas_used, 100);
        let numbered: Vec<_> = receipt.inner.logs().iter().map(|log| log.log_index).collect();
        let first = 2 * index as u64;
        assert_eq!(numbered, [Some(first), Some(first + 1)]);
        let alone = receipt_at(&sample, &rules(), envelopes.clone(), index);
        assert_eq!(alone.as_ref(), Some(receipt));
        assert_eq!(receipt.contract_address.is_some(), receipt.to.is_none());
    }
    assert_eq!(receipt_at(&sample, &rules(), envelopes, count), None);
}

#[test]
fn only_blob_transactions_tell_of_blob_gas() {
    let place =
        Place { hash: B256::ZERO, number: 1, timestamp: 1, base_fee: Some(1), blob_price: Some(5) };
    for value in values(TRANSACTIONS) {
        let (tx, sender) = signed(&value);
        let plain = Receipt { status: true.into(), cumulative_gas_used: 1, logs: Vec::new() };
        let envelope = ReceiptEnvelope::from_typed(tx.tx_type(), plain.with_bloom());
        let found = receipt(&place, 0, Before::default(), &tx, sender, envelope);
        let found = serde_json::to_value(found).expect("serializes");
        let is_blob = value["type"] == "0x3";
        assert_eq!(found.get("blobGasPrice").is_some(), is_blob);
        assert_eq!(found.get("blobGasUsed").is_some(), is_blob);
        if is_blob {
            assert_eq!(found["blobGasPrice"], "0x5");
            assert_eq!(found["blobGasUsed"], "0x20000");
        }
    }
}
