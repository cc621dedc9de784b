//! Small fixtures, put together here, and what becomes of them.

use super::*;
use crate::spectest::ways::{Executors, Way};
use alloy_consensus::{Signed, TxLegacy, transaction::RlpEcdsaDecodableTx};
use alloy_primitives::{address, hex};
use fugue_types::{Address, Block, BlockBody, Transaction};
use serde_json::json;

/// An account with 7 wei, a code and a slot.
const HOLDER: Address = address!("0x00000000000000000000000000000000000000aa");
/// A transfer of type 0 for 1 wei per gas, whose sender has nothing.
const TRANSFER: &str = "0xf85f030182520894b94f5374fce5edbc8e2a8697c15331677e6ebf0b0a801ca098ff9212\
    01554726367d2be8c804a7ff89ccf285ebc57dff8ae4c44b9c19ac4aa01887321be575c8095f789dd4c743dfe42c18\
    20f9231f98a962b210e3ac2452a3";

const PARALLEL: [Mode; 4] = [Mode::Occ, Mode::Bal, Mode::Lanes, Mode::Auto];

fn accounts() -> Value {
    let holder = json!({
        "nonce": "0x01", "balance": "0x07", "code": "0x00", "storage": { "0x01": "0x02" },
    });
    json!({ HOLDER.to_string(): holder })
}

fn state_root() -> B256 {
    state_of(&serde_json::from_value(accounts()).unwrap()).root()
}

fn genesis() -> Header {
    Header {
        state_root: state_root(),
        gas_limit: 30_000_000,
        base_fee_per_gas: Some(7),
        ..Header::default()
    }
}

/// An empty child at Paris, where an empty block changes nothing.
fn child(parent: &Header) -> Block {
    let header = Header {
        parent_hash: parent.hash_slow(),
        number: parent.number + 1,
        timestamp: parent.timestamp + 12,
        ..genesis()
    };
    Block { header, body: BlockBody::default() }
}

fn transfer() -> Signed<TxLegacy> {
    let transfer = hex::decode(TRANSFER).unwrap();
    TxLegacy::rlp_decode_signed(&mut &transfer[..]).unwrap()
}

fn rlp(block: &Block) -> String {
    hex::encode_prefixed(alloy_rlp::encode(block))
}

fn valid(block: &Block) -> Value {
    json!({ "rlp": rlp(block), "blockHeader": { "hash": block.header.hash_slow() } })
}

fn fixture(blocks: Value, last: &Header) -> Value {
    let genesis = genesis();
    json!({
        "network": "Paris",
        "sealEngine": "NoProof",
        "genesisBlockHeader": {
            "parentHash": genesis.parent_hash,
            "uncleHash": genesis.ommers_hash,
            "coinbase": genesis.beneficiary,
            "stateRoot": genesis.state_root,
            "transactionsTrie": genesis.transactions_root,
            "receiptTrie": genesis.receipts_root,
            "bloom": genesis.logs_bloom,
            "difficulty": "0x00",
            "number": "0x00",
            "gasLimit": "0x01c9c380",
            "gasUsed": "0x00",
            "timestamp": "0x00",
            "extraData": "0x",
            "mixHash": genesis.mix_hash,
            "nonce": "0x0000000000000000",
            "baseFeePerGas": "0x07",
            "hash": genesis.hash_slow(),
        },
        "pre": accounts(),
        "blocks": blocks,
        "lastblockhash": last.hash_slow(),
        "postState": accounts(),
    })
}

fn run(test: Value) -> Result<(), String> {
    let test = BlockchainTest::parse("f.json::t", test)?;
    assert_eq!(test.fork(), "Paris");
    let executor = Arc::new(Executor::new(2).unwrap());
    let sequential = test.run(Mode::Seq, &executor);
    for mode in PARALLEL {
        assert_eq!(sequential, test.run(mode, &executor), "{mode}");
    }
    sequential
}

/// What becomes of a fixture in which a block on the genesis is refused for these reasons.
fn refused(block: &Block, exceptions: &[(&str, &str)]) -> Result<(), String> {
    let mut element = json!({ "rlp": rlp(block), "rlp_decoded": {} });
    for (key, names) in exceptions {
        element[*key] = json!(names);
    }
    run(fixture(json!([element]), &genesis()))
}

#[test]
fn a_chain_is_imported_read_back_and_unwound() {
    let first = child(&genesis());
    let second = child(&first.header);
    let blocks = json!([valid(&first), valid(&second)]);
    assert_eq!(run(fixture(blocks, &second.header)), Ok(()));
}

#[test]
fn blocks_are_compared_in_every_way_refused_ones_too() {
    let first = child(&genesis());
    let second = child(&first.header);
    // Its transaction is refused when it is executed.
    let mut refused = child(&second.header);
    refused.body.transactions = vec![Transaction::Legacy(transfer())];
    refused.header.transactions_root =
        alloy_consensus::proofs::calculate_transaction_root(&refused.body.transactions);
    // Its body is not that of its header: it is executed in no mode.
    let mut torn = refused.clone();
    torn.header.transactions_root = B256::ZERO;
    let element = |block: &Block| json!({ "rlp": rlp(block), "rlp_decoded": {} });
    let blocks = json!([valid(&first), valid(&second), element(&refused), element(&torn)]);
    let test = BlockchainTest::parse("f.json::t", fixture(blocks, &second.header)).unwrap();

    let ways: Vec<Way> =
        PARALLEL.into_iter().flat_map(|mode| [1, 3].map(|threads| Way { mode, threads })).collect();
    let manned = Executors::default().of(&ways).unwrap();
    let Compared { runs, fallbacks } = test.compare(&manned).unwrap();
    assert_eq!(runs, 3 * ways.len());
    // The refused block, in every way.
    assert!((ways.len()..runs).contains(&fallbacks), "{fallbacks}");
    assert_eq!(test.compare(&[]), Ok(Compared::default()));
}

#[test]
fn whatever_the_fixture_says_is_compared() {
    let block = child(&genesis());
    let good = fixture(json!([valid(&block)]), &block.header);
    assert_eq!(run(good.clone()), Ok(()));
    type Edit = fn(&mut Value);
    let changes: [(&str, Edit); 7] = [
        ("hash of the genesis", |test| test["pre"] = json!({})),
        ("hash of the last block", |test| test["lastblockhash"] = json!(B256::ZERO)),
        ("state root", |test| test["postState"] = json!({})),
        ("block 0: hash", |test| test["blocks"][0]["blockHeader"]["hash"] = json!(B256::ZERO)),
        ("block 0: expected a refusal", |test| {
            test["blocks"][0] = json!({ "rlp": test["blocks"][0]["rlp"] });
        }),
        ("London in its configuration", |test| test["config"] = json!({ "network": "London" })),
        ("network Nowhere", |test| test["network"] = json!("Nowhere")),
    ];
    let executor = Arc::new(Executor::new(1).unwrap());
    for (expected, change) in changes {
        let mut test = good.clone();
        change(&mut test);
        let test = BlockchainTest::parse("f.json::t", test).unwrap();
        let found = test.run(Mode::Seq, &executor).unwrap_err();
        assert!(found.contains(expected), "{expected}: {found}");
    }
}

#[test]
fn a_root_may_stand_for_the_state_after() {
    let block = child(&genesis());
    let mut test = fixture(json!([valid(&block)]), &block.header);
    test["postState"] = Value::Null;
    assert!(BlockchainTest::parse("f.json::t", test.clone()).is_err());
    test["postStateHash"] = json!(state_root());
    assert_eq!(run(test.clone()), Ok(()));
    test["postStateHash"] = json!(B256::ZERO);
    assert!(run(test).is_err());
}

#[test]
fn a_block_is_refused_for_the_reason_that_is_named() {
    let mut block = child(&genesis());
    block.header.timestamp = 0;
    let name = "BlockException.INVALID_BLOCK_TIMESTAMP_OLDER_THAN_PARENT";
    assert_eq!(refused(&block, &[("expectException", name)]), Ok(()));
    assert_eq!(refused(&block, &[("expectExceptionALL", "InvalidTimestamp")]), Ok(()));
    assert_eq!(refused(&block, &[("expectExceptionParis", "InvalidTimestamp")]), Ok(()));
    assert_eq!(refused(&block, &[]), Ok(()));
    let other = refused(&block, &[("expectException", "BlockException.GASLIMIT_TOO_BIG")]);
    assert!(other.unwrap_err().contains(name.trim_start_matches("BlockException.")));
    // Of another network.
    assert_eq!(refused(&block, &[("expectExceptionLondon", "InvalidGasLimit")]), Ok(()));
}

#[test]
fn a_block_whose_parent_is_not_known_is_refused() {
    let orphan = child(&child(&genesis()).header);
    assert_eq!(refused(&orphan, &[("expectException", "BlockException.UNKNOWN_PARENT")]), Ok(()));
}

#[test]
fn bytes_that_are_no_block_are_refused() {
    let mut element = json!({ "rlp": "0xc0", "expectException": "RLP_STRUCTURES_ENCODING" });
    assert_eq!(run(fixture(json!([element.clone()]), &genesis())), Ok(()));
    element["expectException"] = json!("BlockException.GASLIMIT_TOO_BIG");
    assert!(run(fixture(json!([element]), &genesis())).is_err());
}

#[test]
fn a_transaction_is_judged_where_the_header_does_not_name_it() {
    let mut block = child(&genesis());
    block.body.transactions = vec![Transaction::Legacy(transfer())];
    let exception = |name| refused(&block, &[("expectException", name)]);
    assert_eq!(exception("BlockException.INVALID_TRANSACTIONS_ROOT"), Ok(()));
    assert_eq!(exception("TransactionException.INSUFFICIENT_MAX_FEE_PER_GAS"), Ok(()));
    assert!(exception("TransactionException.NONCE_IS_MAX").is_err());
}

#[test]
fn a_call_of_the_engine_api_is_a_block() {
    let Block { header, .. } = child(&genesis());
    let payload = json!({
        "parentHash": header.parent_hash,
        "feeRecipient": header.beneficiary,
        "stateRoot": header.state_root,
        "receiptsRoot": header.receipts_root,
        "logsBloom": header.logs_bloom,
        "prevRandao": header.mix_hash,
        "blockNumber": "0x1",
        "gasLimit": "0x1c9c380",
        "gasUsed": "0x0",
        "timestamp": "0xc",
        "extraData": "0x",
        "baseFeePerGas": "0x7",
        "blockHash": header.hash_slow(),
        "transactions": [],
    });
    let fixture = |call: Value, last: &Header| {
        let mut test = fixture(json!([]), last);
        test["engineNewPayloads"] = json!([call]);
        test
    };
    let call = json!({ "params": [payload], "newPayloadVersion": "1" });
    assert_eq!(run(fixture(call.clone(), &header)), Ok(()));

    let mut wrong = call.clone();
    wrong["params"][0]["blockHash"] = json!(B256::ZERO);
    wrong["validationError"] = json!("BlockException.INVALID_BLOCK_HASH");
    assert_eq!(run(fixture(wrong.clone(), &genesis())), Ok(()));
    wrong["validationError"] = json!("BlockException.INVALID_GASLIMIT");
    assert!(run(fixture(wrong, &genesis())).is_err());

    let mut refused = call;
    refused["errorCode"] = json!("-32602");
    assert!(run(fixture(refused, &genesis())).is_err());
}

/// What becomes of a fixture over the Engine API, and how many of its blocks are not sent.
fn run_engine(test: Value) -> (usize, Result<(), String>) {
    let test = BlockchainTest::parse("f.json::t", test).unwrap();
    let executor = Arc::new(Executor::new(2).unwrap());
    test.run_engine(&Station::new(Mode::Occ, executor).unwrap())
}

#[test]
fn blocks_in_rlp_are_sent_as_payloads() {
    let first = child(&genesis());
    let second = child(&first.header);
    let blocks = json!([valid(&first), valid(&second)]);
    assert_eq!(run_engine(fixture(blocks.clone(), &second.header)), (0, Ok(())));
    // The head is that of the fixture, not the newest block.
    assert_eq!(run_engine(fixture(blocks.clone(), &first.header)), (0, Ok(())));
    assert!(run_engine(fixture(blocks, &child(&second.header).header)).1.is_err());

    let orphan = json!([valid(&second)]);
    assert!(run_engine(fixture(orphan, &second.header)).1.is_err());
}

#[test]
fn a_refused_block_names_its_parent_and_what_is_no_payload_is_not_sent() {
    let first = child(&genesis());
    let refused = |block: &Block| json!({ "rlp": rlp(block), "expectException": "X" });
    let (mut late, mut worked) = (child(&first.header), child(&first.header));
    late.header.timestamp = first.header.timestamp;
    worked.header.difficulty = fugue_types::U256::from(1);
    let undecodable = json!({ "rlp": "0xc0", "expectException": "X" });
    let unknown = child(&child(&first.header).header);
    let blocks = json!([
        valid(&first),
        refused(&late),
        refused(&child(&late.header)),
        refused(&worked),
        undecodable,
        refused(&unknown),
    ]);
    assert_eq!(run_engine(fixture(blocks, &first.header)), (2, Ok(())));
    // This one is valid.
    let blocks = json!([refused(&first)]);
    assert!(run_engine(fixture(blocks, &genesis())).1.is_err());
}

#[test]
fn a_block_comes_back_from_the_call_that_carries_it() {
    let mut block = child(&genesis());
    block.body.transactions = vec![Transaction::Legacy(transfer())];
    block.header.transactions_root =
        alloy_consensus::proofs::calculate_transaction_root(&block.body.transactions);
    let sealed = fugue_types::SealedBlock::seal(block);
    let params = crate::client::payload::new_payload(&sealed, 1, &Default::default());
    let call = json!({ "params": params, "newPayloadVersion": "1" });
    let call: payload::NewPayload = serde_json::from_value(call).unwrap();
    let read = call.into_block().unwrap();
    assert_eq!(read.block.unwrap(), sealed);
}

#[test]
fn calls_of_a_fixture_are_made_as_they_stand_there() {
    let block = fugue_types::SealedBlock::seal(child(&genesis()));
    let params = crate::client::payload::new_payload(&block, 1, &Default::default()).unwrap();
    let fixture = |call: Value, last: &Header| {
        let mut test = fixture(json!([]), last);
        test["engineNewPayloads"] = json!([call]);
        test
    };
    let call = json!({
        "params": params, "newPayloadVersion": "1", "forkchoiceUpdatedVersion": "1",
    });
    assert_eq!(run_engine(fixture(call.clone(), &block.block().header)), (0, Ok(())));

    let mut other_hash = call.clone();
    other_hash["params"][0]["blockHash"] = json!(B256::ZERO);
    other_hash["validationError"] = json!("BlockException.INVALID_BLOCK_HASH");
    assert_eq!(run_engine(fixture(other_hash, &genesis())), (0, Ok(())));

    let mut malformed = call.clone();
    malformed["params"][0]["gasLimit"] = json!("0x00");
    malformed["errorCode"] = json!("-32602");
    assert_eq!(run_engine(fixture(malformed, &genesis())), (0, Ok(())));

    let mut wrong = call;
    wrong["errorCode"] = json!("-32602");
    assert!(run_engine(fixture(wrong, &genesis())).1.is_err());
}
