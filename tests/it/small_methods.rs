//! Methods that tell of one thing each, over HTTP: what is asked in more than one way is answered
//! alike, and what is kept for a while only is never answered with something else.

use crate::{
    engine_support::{Node, Setup, changed, choice},
    import_support::TestChain,
    openrpc,
    rules_support::{
        Endpoint, FORKS, UNKNOWN, Wire, WireChain, assert_invalid, choice_of, quantity, valid,
    },
    support::recorded,
};
use alloy_consensus::{Signed, TxEip1559, transaction::SignerRecoverable};
use alloy_eips::{
    Decodable2718, Encodable2718, eip4844::BYTES_PER_BLOB, eip7594::CELLS_PER_EXT_BLOB,
};
use fugue_archive::BlockFile;
use fugue_chain::{Genesis, Retention};
use fugue_chainspec::Fork;
use fugue_rpc::{EthLimits, PublicApi};
use fugue_txpool::{PooledTransaction, SidecarForm, prove_blobs, split};
use fugue_types::{Address, B256, Bytes, SealedBlock, Transaction, TxKind, U256};
use fugue_workload::{CHAIN_ID, gwei};
use serde_json::{Value, json};
use std::path::Path;

/// Methods whose recorded exchanges are asked.
const RECORDED: [&str; 11] = [
    "debug_getRawBlock",
    "debug_getRawHeader",
    "debug_getRawReceipts",
    "debug_getRawTransaction",
    "eth_capabilities",
    "eth_config",
    "eth_getStorageValues",
    "testing_buildBlockV1",
    "txpool_content",
    "txpool_contentFrom",
    "txpool_status",
];

/// A node at the head of the recorded chain.
fn recorded_chain(folder: &Path) -> Wire {
    let json = std::fs::read(folder.join("genesis.json")).expect("a genesis file");
    let genesis = Genesis::from_json(&json).expect("a good genesis file");
    let file = BlockFile::open(&folder.join("chain.rlp")).expect("a file of blocks");
    let blocks: Vec<SealedBlock> = file.map(|block| block.expect("a block").block).collect();
    // The file has no state root: the store tells.
    let rootless = genesis.block(B256::ZERO);
    let empty = TestChain {
        json: json.clone(),
        genesis: genesis.clone(),
        first: rootless,
        blocks: Vec::new(),
    };
    let node = Node::in_memory(&empty, &Setup::new(1_000));
    let (hash, header) = node.view().header(0).expect("a good store").expect("a genesis");
    let first = genesis.block(header.state_root);
    assert_eq!(first.hash(), hash);
    node.send(&blocks);
    let head = blocks.last().expect("blocks").hash();
    node.choose(choice(head));
    let chain = TestChain { json, genesis, first, blocks };
    Wire::over(WireChain::of_others(chain, Fork::Osaka), node)
}

/// Sends the requests of a file, and compares the answers with those that follow.
fn check_exchanges(endpoint: Endpoint, path: &Path) {
    let text = std::fs::read_to_string(path).expect("a file of exchanges");
    let told = path.display();
    let is_shape = text.contains("// speconly:");
    let mut connection = endpoint.connect();
    let mut found = None;
    for line in text.lines() {
        if let Some(request) = line.strip_prefix(">> ") {
            let response = endpoint.post_over(&mut connection, request);
            openrpc::assert_answer(request, &response.body);
            found = Some(response);
        } else if let Some(expected) = line.strip_prefix("<< ") {
            let found = found.take().expect("a request before its answer").result();
            let expected: Value = serde_json::from_str(expected).expect("JSON");
            match (found, expected.get("error")) {
                (Err(error), Some(expected)) => {
                    assert_eq!(json!(error.code), expected["code"], "{told}: {error:?}");
                }
                (Ok(_), None) if is_shape => {}
                (Ok(found), None) => assert_eq!(found, expected["result"], "{told}"),
                (found, _) => panic!("{told}: {found:?} for {expected}"),
            }
        }
    }
}

#[test]
fn recorded_exchanges_are_answered_as_they_were() {
    let Some(folder) = recorded("rpc-compat") else { return };
    let wire = recorded_chain(&folder);
    let mut count = 0;
    for method in RECORDED {
        let entries = folder.join("tests").join(method).read_dir().expect("a folder of exchanges");
        let mut paths: Vec<_> = entries.map(|entry| entry.expect("a file").path()).collect();
        paths.sort();
        for path in paths {
            check_exchanges(wire.public, &path);
            count += 1;
        }
    }
    assert!(count >= RECORDED.len(), "{count}");
}

/// A transfer of the deployer.
fn transfer(wire: &Wire, nonce: u64) -> Transaction {
    wire.chain.deployer.eip1559(TxEip1559 {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit: 500_000,
        max_fee_per_gas: gwei(100),
        max_priority_fee_per_gas: gwei(2),
        to: TxKind::Call(Address::repeat_byte(0xb0)),
        value: U256::from(5),
        ..TxEip1559::default()
    })
}

fn bytes_of(tx: &Transaction) -> Bytes {
    tx.encoded_2718().into()
}

#[track_caller]
fn code(wire: &Wire, method: &str, params: &Value) -> i64 {
    match wire.public.call(method, params) {
        Ok(found) => panic!("{method}: no error: {found}"),
        Err(error) => error.code,
    }
}

#[test]
fn a_block_of_named_transactions_is_good_and_changes_nothing() {
    for fork in FORKS {
        let wire = Wire::new(fork);
        wire.follow(1..=2);
        let (parent, attributes) = (wire.chain.hash(2), wire.chain.attributes(2));
        let nonce = wire.deployer_nonce();
        let txs = [nonce, nonce + 1].map(|nonce| bytes_of(&transfer(&wire, nonce)));
        let order = json!([parent, attributes, txs, "0x0102"]);
        let built = wire.public_ok("testing_buildBlockV1", &order);
        let payload = &built["executionPayload"];
        assert_eq!(payload["transactions"], json!(txs), "{fork}");
        assert_eq!(payload["extraData"], "0x0102", "{fork}");
        assert_eq!(payload["parentHash"], json!(parent), "{fork}");
        // One that leaves a gap, one whose sender has no such nonce any more, and garbage.
        let gap = bytes_of(&transfer(&wire, nonce + 1));
        assert_eq!(
            code(&wire, "testing_buildBlockV1", &json!([parent, attributes, [gap]])),
            -32000
        );
        let used = bytes_of(&transfer(&wire, nonce - 1));
        assert_eq!(
            code(&wire, "testing_buildBlockV1", &json!([parent, attributes, [used]])),
            -32000
        );
        let mut early = attributes.clone();
        early["timestamp"] = json!("0x1");
        for wrong in [
            json!([parent, attributes, ["0x00"]]),
            json!([parent, attributes, [], Bytes::from(vec![1; 33])]),
            json!([parent, {}, []]),
            json!([parent, early, []]),
        ] {
            assert_eq!(code(&wire, "testing_buildBlockV1", &wrong), -32602, "{fork}: {wrong}");
        }
        let unknown = json!([UNKNOWN, attributes, []]);
        assert_eq!(code(&wire, "testing_buildBlockV1", &unknown), -32001, "{fork}");
        assert_eq!(wire.tagged("latest"), Some(parent), "{fork}: the head is where it was");
        // Before Shanghai the payload stands alone.
        let built = if fork == Fork::Paris { payload.clone() } else { built.clone() };
        let params = wire.chain.params_of_built(&built, &attributes, &[]);
        let hash: B256 =
            params[0]["blockHash"].as_str().and_then(|text| text.parse().ok()).expect("a hash");
        assert_eq!(wire.send(&params), valid(hash), "{fork}");
    }
}

#[test]
fn a_block_of_the_pool_is_built_where_no_transactions_are_named() {
    let wire = Wire::new(Fork::Osaka);
    wire.follow(1..=2);
    let (parent, attributes) = (wire.chain.hash(2), wire.chain.attributes(2));
    let sent = bytes_of(&transfer(&wire, wire.deployer_nonce()));
    wire.public_ok("eth_sendRawTransaction", &json!([sent]));
    for (order, txs) in [
        (json!([parent, attributes, null]), json!([sent])),
        (json!([parent, attributes]), json!([sent])),
        (json!([parent, attributes, []]), json!([])),
    ] {
        let built = wire.public_ok("testing_buildBlockV1", &order);
        assert_eq!(built["executionPayload"]["transactions"], txs, "{order}");
    }
    // On any block that is known.
    let older = json!([wire.chain.hash(1), wire.chain.attributes(1), []]);
    let built = wire.public_ok("testing_buildBlockV1", &older);
    assert_eq!(built["executionPayload"]["blockNumber"], "0x2");
}

#[test]
fn a_committed_block_is_the_head() {
    for fork in [Fork::Paris, Fork::Prague, Fork::Amsterdam] {
        let wire = Wire::new(fork);
        wire.follow(1..=2);
        let attributes = wire.chain.attributes(2);
        let nonce = wire.deployer_nonce();
        let gap = bytes_of(&transfer(&wire, nonce + 1));
        let refused = code(&wire, "testing_commitBlockV1", &json!([attributes, [gap]]));
        assert_eq!((refused, wire.tagged("latest")), (-32000, Some(wire.chain.hash(2))), "{fork}");
        let tx = transfer(&wire, nonce);
        let hash = wire.public_ok("testing_commitBlockV1", &json!([attributes, [bytes_of(&tx)]]));
        assert_eq!(json!(wire.tagged("latest")), hash, "{fork}");
        let receipt = wire.public_ok("eth_getTransactionReceipt", &json!([tx.hash()]));
        assert_eq!((&receipt["blockHash"], &receipt["status"]), (&hash, &json!("0x1")), "{fork}");
        assert_eq!(wire.deployer_nonce(), nonce + 1, "{fork}");
    }
}

#[test]
fn blocks_are_told_of_in_their_own_encoding() {
    let wire = Wire::new(Fork::Cancun);
    let last = wire.chain.last();
    wire.follow(1..=last);
    for number in 0..=last {
        let block = wire.chain.chain.block(number);
        let (at, hash) = (quantity(number), block.hash());
        for named in [json!([at]), json!([hash]), json!([{ "blockHash": hash }])] {
            let header = wire.public_ok("debug_getRawHeader", &named);
            assert_eq!(header, json!(Bytes::from(alloy_rlp::encode(&block.block().header))));
            let found = wire.public_ok("debug_getRawBlock", &named);
            assert_eq!(found, json!(Bytes::from(alloy_rlp::encode(block.block()))));
            let txs = wire.public_ok("debug_getRawTransactions", &named);
            let expected: Vec<Bytes> =
                block.block().body.transactions.iter().map(bytes_of).collect();
            assert_eq!(txs, json!(expected));
            let receipts = wire.public_ok("debug_getRawReceipts", &named);
            assert_eq!(receipts.as_array().map(Vec::len), Some(expected.len()));
        }
        let whole = wire.public_ok("eth_getBlockByNumber", &json!([at, false]));
        let header = wire.public_ok("eth_getHeaderByNumber", &json!([at]));
        assert_eq!(wire.public_ok("eth_getHeaderByHash", &json!([hash])), header);
        for (field, value) in header.as_object().expect("an object") {
            assert_eq!(&whole[field], value, "{field} of block {number}");
        }
        assert!(header.get("transactions").is_none() && header.get("size").is_none(), "{header}");
        for method in ["eth_getUncleCountByBlockHash", "eth_getUncleCountByBlockNumber"] {
            let named = if method.ends_with("Hash") { json!([hash]) } else { json!([at]) };
            assert_eq!(wire.public_ok(method, &named), "0x0");
        }
        let none = wire.public_ok("eth_getUncleByBlockNumberAndIndex", &json!([at, "0x0"]));
        assert_eq!(none, Value::Null);
        for (index, tx) in block.block().body.transactions.iter().enumerate() {
            let (index, expected) = (quantity(index as u64), json!(bytes_of(tx)));
            for (method, params) in [
                ("debug_getRawTransaction", json!([tx.hash()])),
                ("eth_getRawTransactionByHash", json!([tx.hash()])),
                ("eth_getRawTransactionByBlockHashAndIndex", json!([hash, index])),
                ("eth_getRawTransactionByBlockNumberAndIndex", json!([at, index])),
            ] {
                assert_eq!(wire.public_ok(method, &params), expected, "{method}");
            }
        }
    }
    // What is not known is null.
    let above = quantity(last + 1);
    for (method, params) in [
        ("debug_getRawHeader", json!([above])),
        ("debug_getRawBlock", json!([UNKNOWN])),
        ("debug_getRawReceipts", json!([above])),
        ("debug_getRawTransaction", json!([UNKNOWN])),
        ("debug_getRawTransactions", json!([above])),
        ("debug_codeByHash", json!([UNKNOWN])),
        ("debug_dbGet", json!([UNKNOWN.to_string().replacen("0x", "0x63", 1)])),
        ("eth_getHeaderByHash", json!([UNKNOWN])),
        ("eth_getHeaderByNumber", json!(["pending"])),
        ("eth_getHeaderByNumber", json!(["safe"])),
        ("eth_getUncleCountByBlockHash", json!([UNKNOWN])),
        ("eth_getBlockAccessList", json!([above])),
        ("eth_getBlockAccessList", json!(["pending"])),
        ("debug_getRawBlockAccessList", json!([UNKNOWN])),
    ] {
        assert_eq!(wire.public_ok(method, &params), Value::Null, "{method}");
    }
    // Of the keys of another database only those of codes are known.
    for key in [json!(UNKNOWN), json!("LastBlock"), json!("0x68")] {
        assert_eq!(code(&wire, "debug_dbGet", &json!([key])), -32602, "{key}");
    }
    // Before Amsterdam there are no access lists.
    assert_eq!(code(&wire, "eth_getBlockAccessList", &json!(["latest"])), -32001);
    assert_eq!(code(&wire, "debug_getRawBlockAccessList", &json!(["0x1"])), -32001);
}

#[test]
fn a_node_without_keys_knows_no_account_and_says_what_is_wrong_before() {
    let wire = Wire::new(Fork::Osaka);
    assert_eq!(wire.public_ok("eth_accounts", &json!([])), json!([]));
    let account = Address::repeat_byte(0xac);
    let tx = json!([{ "from": account, "to": account, "gas": "0x5208", "nonce": "0x0" }]);
    let data = json!({
        "types": { "EIP712Domain": [], "Note": [{ "name": "text", "type": "string" }] },
        "primaryType": "Note", "domain": {}, "message": { "text": "hello" },
    });
    let typed = json!([account, data]);
    for (method, params, name) in [
        ("eth_sendTransaction", &tx, "transaction"),
        ("eth_sendTransaction", &json!([{}]), "transaction"),
        ("eth_signTransaction", &tx, "transaction"),
        ("eth_sign", &json!([account, "0x68656c6c6f"]), "address"),
        ("eth_signTypedData", &typed, "address"),
        ("eth_signTypedData_v3", &typed, "address"),
        ("eth_signTypedData_v4", &typed, "address"),
    ] {
        let error = wire.public.call(method, params).expect_err(method);
        assert_eq!((error.code, error.message.as_str()), (-32_000, "unknown account"), "{method}");
        let error = wire.public.call(method, &json!(["0x12"])).expect_err(method);
        let told = format!("invalid argument 0 ({name}): ");
        assert!(error.code == -32_602 && error.message.starts_with(&told), "{method}: {error:?}");
    }
    for (method, params, told) in [
        ("eth_sendTransaction", json!([{ "to": "0x12" }]), "invalid argument 0 (transaction): to:"),
        ("eth_signTransaction", json!([{ "gas": 21_000 }]), "invalid argument 0 (transaction): "),
        ("eth_sign", json!([account, "0x1"]), "invalid argument 1 (message): "),
        ("eth_sign", json!([account]), "missing argument 1 (message)"),
        ("eth_signTypedData_v4", json!([account, {}]), "invalid argument 1 (typed data): types"),
    ] {
        let error = wire.public.call(method, &params).expect_err(method);
        assert!(error.code == -32_602 && error.message.starts_with(told), "{method}: {error:?}");
    }
}

#[test]
fn access_lists_are_those_of_the_headers() {
    let wire = Wire::new(Fork::Amsterdam);
    let last = wire.chain.last();
    wire.follow(1..=last);
    for number in 1..=last {
        let (at, hash) = (json!([quantity(number)]), json!([wire.chain.hash(number)]));
        let raw = wire.public_ok("eth_getBlockAccessListRaw", &at);
        assert_eq!(wire.public_ok("debug_getRawBlockAccessList", &hash), raw);
        let encoded: Bytes = raw.as_str().and_then(|text| text.parse().ok()).expect("bytes");
        let header = &wire.chain.chain.block(number).block().header;
        let list_hash = fugue_types::keccak256(&encoded);
        assert_eq!(Some(list_hash), header.block_access_list_hash, "block {number}");
        let list = wire.public_ok("eth_getBlockAccessList", &at);
        let accounts = list.as_array().expect("a list");
        assert!(!accounts.is_empty(), "system calls touch accounts");
        assert!(accounts.iter().all(|one| one.as_object().is_some_and(|one| one.len() == 6)));
        assert_eq!(wire.public_ok("eth_getBlockAccessListByBlockHash", &hash), list);
        assert_eq!(wire.public_ok("eth_getBlockAccessListByBlockNumber", &at), list);
    }
}

#[test]
fn transactions_are_found_by_sender_and_nonce() {
    let wire = Wire::new(Fork::Prague);
    let last = wire.chain.last();
    wire.follow(1..=last);
    let find = |sender: Address, nonce: u64| {
        let params = json!([sender, quantity(nonce)]);
        wire.public_ok("eth_getTransactionBySenderAndNonce", &params)
    };
    for number in 1..=last {
        for tx in &wire.chain.chain.block(number).block().body.transactions {
            let sender = tx.recover_signer().expect("a good signature");
            let nonce = fugue_types::TransactionTrait::nonce(tx);
            let found = find(sender, nonce);
            assert_eq!(found["hash"], json!(tx.hash()), "block {number}: {sender} {nonce}");
            assert_eq!(found["blockNumber"], json!(quantity(number)));
        }
    }
    let (deployer, nonce) = (wire.chain.deployer.address(), wire.deployer_nonce());
    assert_eq!(find(deployer, nonce), Value::Null);
    let tx = transfer(&wire, nonce);
    wire.public_ok("eth_sendRawTransaction", &json!([bytes_of(&tx)]));
    let found = find(deployer, nonce);
    assert_eq!((&found["hash"], &found["blockHash"]), (&json!(tx.hash()), &Value::Null));
    assert_eq!(find(deployer, nonce + 1), Value::Null);
    assert_eq!(wire.public_ok("eth_pendingTransactions", &json!([])), json!([found]));
    assert_eq!(
        wire.public_ok("eth_getRawTransactionByHash", &json!([tx.hash()])),
        json!(bytes_of(&tx))
    );
}

#[test]
fn f21_what_is_pruned_is_said_to_be() {
    let wire = Wire::pruned(0xf21, Fork::Amsterdam, Retention::Minimal { window: 3 });
    let view = wire.node.view();
    let (state, body) = (view.oldest_state(), view.oldest_body());
    assert!(state > 1 && body > 1, "{state} {body}");
    let told = wire.public_ok("eth_capabilities", &json!([]));
    let window = json!({ "type": "window", "retentionBlocks": "0x3" });
    for (resource, oldest) in [
        ("state", state),
        ("tx", body),
        ("blocks", body),
        ("receipts", view.oldest_receipts().max(body)),
        ("logs", view.oldest_receipts().max(body)),
    ] {
        let expected = json!({
            "disabled": false, "oldestBlock": quantity(oldest), "deleteStrategy": window,
        });
        assert_eq!(told[resource], expected, "{resource}");
    }
    drop(view);
    for number in 1..body {
        let at = json!([quantity(number)]);
        // Headers are kept.
        let hash = json!(wire.chain.hash(number));
        assert_eq!(wire.public_ok("eth_getHeaderByNumber", &at)["hash"], hash);
        for method in ["eth_getBlockAccessList", "debug_getRawBlock", "debug_getRawReceipts"] {
            assert_eq!(code(&wire, method, &at), 4_444, "{method} at {number}");
        }
    }
    let first = &wire.chain.chain.block(1).block().body.transactions[0];
    let sender = first.recover_signer().expect("a good signature");
    let params = json!([sender, quantity(fugue_types::TransactionTrait::nonce(first))]);
    assert_eq!(code(&wire, "eth_getTransactionBySenderAndNonce", &params), 4_444);
    assert_eq!(code(&wire, "eth_getAccount", &json!([sender, "0x0"])), 4_444);
    assert_eq!(code(&wire, "debug_setHead", &json!(["0x0"])), 4_444);
    // What to offer is told by the blocks that are left, fewer than are looked at.
    for method in ["eth_gasPrice", "eth_maxPriorityFeePerGas"] {
        assert!(wire.public_ok(method, &json!([])).is_string(), "{method}");
    }
}

#[test]
fn accounts_are_told_of_as_a_whole() {
    let wire = Wire::new(Fork::Shanghai);
    let last = wire.chain.last();
    wire.follow(1..=last);
    let txs = wire.chain.chain.blocks.iter().flat_map(|block| &block.block().body.transactions);
    let senders = txs.clone().map(|tx| tx.recover_signer().expect("a good signature"));
    let called = txs.filter_map(fugue_types::TransactionTrait::to);
    let mut codes = 0;
    for address in senders.chain(called) {
        for at in ["0x1", "latest"] {
            let params = json!([address, at]);
            let info = wire.public_ok("eth_getAccountInfo", &params);
            assert_eq!(info["balance"], wire.public_ok("eth_getBalance", &params));
            assert_eq!(info["nonce"], wire.public_ok("eth_getTransactionCount", &params));
            assert_eq!(info["code"], wire.public_ok("eth_getCode", &params));
            let account = wire.public_ok("eth_getAccount", &params);
            if account.is_null() {
                assert_eq!(info, json!({ "balance": "0x0", "nonce": "0x0", "code": "0x" }));
                continue;
            }
            assert_eq!(
                (&account["balance"], &account["nonce"]),
                (&info["balance"], &info["nonce"])
            );
            let code: Bytes = info["code"].as_str().and_then(|it| it.parse().ok()).expect("bytes");
            assert_eq!(account["codeHash"], json!(fugue_types::keccak256(&code)));
            let found = wire.public_ok("debug_codeByHash", &json!([account["codeHash"]]));
            assert_eq!(found, info["code"]);
            let hash = account["codeHash"].as_str().expect("a hash");
            let key = hash.replacen("0x", "0x63", 1);
            assert_eq!(wire.public_ok("debug_dbGet", &json!([key])), found);
            codes += usize::from(!code.is_empty());
        }
    }
    assert!(codes > 0, "some account has code");
}

#[test]
fn bad_blocks_are_kept_until_their_verdict_is_forgotten() {
    let wire = Wire::new(Fork::Osaka);
    wire.follow(1..=2);
    let none = wire.public_ok("debug_getBadBlocks", &json!([]));
    assert_eq!(none, json!([]));
    let parent = Some(wire.chain.hash(2));
    let roots = changed(wire.chain.chain.block(3), |header| header.state_root = UNKNOWN);
    let early = changed(wire.chain.chain.block(3), |header| header.timestamp = 1);
    for bad in [&roots, &early, &roots] {
        assert_invalid(&wire.send(&wire.chain.params_of(bad)), parent, "a bad block");
    }
    // What builds on one is not listed.
    let child = changed(wire.chain.chain.block(4), |header| header.parent_hash = roots.hash());
    assert_invalid(&wire.send(&wire.chain.params_of(&child)), parent, "the child of a bad block");
    let found = wire.public_ok("debug_getBadBlocks", &json!([]));
    let found = found.as_array().expect("a list");
    assert_eq!(found.len(), 2, "{found:?}");
    for (found, bad) in found.iter().zip([&early, &roots]) {
        assert_eq!(found["hash"], json!(bad.hash()));
        assert_eq!(found["block"]["hash"], json!(bad.hash()));
        assert_eq!(found["rlp"], json!(Bytes::from(alloy_rlp::encode(bad.block()))));
        let txs = found["block"]["transactions"].as_array().expect("a list");
        let own = &bad.block().body.transactions;
        assert!(!own.is_empty() && txs.len() == own.len(), "{txs:?}");
        for (index, (found, tx)) in txs.iter().zip(own).enumerate() {
            assert_eq!(found["hash"], json!(tx.hash()));
            assert_eq!(found["from"], json!(tx.recover_signer().expect("a good signature")));
            assert_eq!(found["blockHash"], json!(bad.hash()));
            assert_eq!(found["transactionIndex"], quantity(index as u64));
        }
    }
    // It is run as the one that it was made of.
    let options = json!({ "tracer": "callTracer" });
    let traced = wire.public_ok("debug_traceBadBlock", &json!([roots.hash(), options]));
    let between = wire.public_ok("debug_intermediateRoots", &json!([roots.hash()]));
    wire.follow(3..=3);
    let good = wire.chain.hash(3);
    assert_eq!(traced, wire.public_ok("debug_traceBlockByHash", &json!([good, options])));
    assert_eq!(between, wire.public_ok("debug_intermediateRoots", &json!([good])));
    assert_eq!(wire.public_ok("fugue_reconsiderBlock", &json!([roots.hash()])), json!(true));
    assert_eq!(wire.public_ok("debug_getBadBlocks", &json!([])), json!([]));
}

#[test]
fn a_cleared_pool_says_what_it_had() {
    let wire = Wire::new(Fork::Cancun);
    wire.follow(1..=1);
    let nonce = wire.deployer_nonce();
    for (method, nonces) in
        [("debug_clearTxpool", vec![nonce, nonce + 2]), ("admin_clearTxpool", vec![nonce])]
    {
        for nonce in &nonces {
            let encoded = bytes_of(&transfer(&wire, *nonce));
            wire.public_ok("eth_sendRawTransaction", &json!([encoded]));
        }
        let lines = wire.public_ok("txpool_inspect", &json!([]));
        let sender = wire.chain.deployer.address().to_checksum(None);
        let to = Address::repeat_byte(0xb0).to_checksum(None);
        let line = format!("{to}: 5 wei + 500000 gas × {} wei", gwei(100));
        assert_eq!(lines["pending"][&sender], json!({ nonce.to_string(): line }));
        let count = nonces.len();
        assert_eq!(wire.public_ok(method, &json!([])), json!(count));
        assert_eq!(wire.public_ok(method, &json!([])), json!(0));
        let status = wire.public_ok("txpool_status", &json!([]));
        assert_eq!(status, json!({ "pending": "0x0", "queued": "0x0" }));
    }
}

#[test]
fn a_filled_transaction_can_be_signed_and_sent() {
    for fork in [Fork::Paris, Fork::Osaka] {
        let wire = Wire::new(fork);
        wire.follow(1..=2);
        let (from, to) = (wire.chain.deployer.address(), Address::repeat_byte(0xb0));
        let nonce = wire.deployer_nonce();
        let asked = json!([{ "from": from, "to": to, "value": "0x5" }]);
        let filled = wire.public_ok("eth_fillTransaction", &asked);
        let tx = &filled["tx"];
        assert_eq!(tx["nonce"], json!(quantity(nonce)), "{fork}: {tx}");
        assert_eq!(tx["chainId"], json!(quantity(CHAIN_ID)), "{fork}: {tx}");
        assert_eq!((&tx["type"], &tx["value"]), (&json!("0x2"), &json!("0x5")), "{fork}: {tx}");
        let raw: Bytes = filled["raw"].as_str().and_then(|it| it.parse().ok()).expect("bytes");
        let Ok(Transaction::Eip1559(unsigned)) = Transaction::decode_2718_exact(&raw) else {
            panic!("{fork}: another transaction: {raw}");
        };
        let signed = wire.chain.deployer.eip1559(unsigned.tx().clone());
        let sent = wire.public_ok("eth_sendRawTransaction", &json!([bytes_of(&signed)]));
        assert_eq!(sent, json!(signed.hash()), "{fork}");
        // What is given stays; the nonce is after those of the pool.
        let asked = json!([{ "from": from, "to": to, "gas": "0x7530", "gasPrice": "0x9" }]);
        let filled = wire.public_ok("eth_fillTransaction", &asked);
        let tx = &filled["tx"];
        for (field, value) in [("type", "0x0"), ("gas", "0x7530"), ("gasPrice", "0x9")] {
            assert_eq!(tx[field], value, "{fork}: {tx}");
        }
        assert_eq!(tx["nonce"], json!(quantity(nonce + 1)), "{fork}: {tx}");
    }
}

#[test]
fn filled_blobs_come_with_what_proves_them() {
    // Loads the trusted setup, for which the time of a call is short where much else runs.
    prove_blobs(Vec::new(), SidecarForm::BlobProofs).expect("no blobs");
    for (fork, proofs_per_blob) in [(Fork::Prague, 1), (Fork::Osaka, CELLS_PER_EXT_BLOB)] {
        let wire = Wire::new(fork);
        wire.follow(1..=2);
        let (from, to) = (wire.chain.deployer.address(), Address::repeat_byte(0xb0));
        let blobs = [1_u8, 2].map(|byte| Bytes::from(vec![byte; BYTES_PER_BLOB]));
        let asked = json!({ "from": from, "to": to, "blobs": blobs });
        let filled = wire.public_ok("eth_fillTransaction", &json!([asked]));
        let tx = &filled["tx"];
        let count = |list: &str| tx[list].as_array().map(Vec::len);
        let counts = ["blobs", "commitments", "blobVersionedHashes", "proofs"].map(count);
        let expected = [2, 2, 2, 2 * proofs_per_blob].map(Some);
        assert_eq!((counts, &tx["type"]), (expected, &json!("0x3")), "{fork}");

        // What is given in their place is judged.
        let with = |name: &str, value: &Value| {
            let mut asked = asked.clone();
            asked["commitments"] = tx["commitments"].clone();
            asked["proofs"] = tx["proofs"].clone();
            asked[name] = value.clone();
            json!([asked])
        };
        let again = wire.public_ok("eth_fillTransaction", &with("proofs", &tx["proofs"]));
        assert!(again == filled, "{fork}: another transaction");
        let point = tx["commitments"][0].clone();
        let wrong = json!(vec![point.clone(); 2 * proofs_per_blob]);
        for (name, value, told) in [
            ("proofs", wrong, "proofs: invalid blob proof"),
            ("commitments", json!([point, point]), "proofs: invalid blob proof"),
            ("blobVersionedHashes", json!([UNKNOWN, UNKNOWN]), "blob hash mismatch"),
        ] {
            let params = with(name, &value);
            let error = wire.public.call("eth_fillTransaction", &params).expect_err(name);
            let told = format!("invalid argument 0 (transaction): {told}");
            assert!(error.code == -32_602 && error.message.starts_with(&told), "{fork}: {error:?}");
        }
        // Proofs of whole blobs are what there was before Osaka: ours take their place.
        if fork >= Fork::Osaka {
            let params = with("proofs", &json!([point, point]));
            assert!(wire.public_ok("eth_fillTransaction", &params) == filled, "{fork}");
        }

        let raw: Bytes = filled["raw"].as_str().and_then(|it| it.parse().ok()).expect("bytes");
        let unsigned = PooledTransaction::decode_2718_exact(&raw).expect("as it is sent");
        let (Transaction::Eip4844(unsigned), Some(sidecar)) = split(unsigned) else {
            panic!("{fork}: another transaction");
        };
        assert_eq!(json!(unsigned.tx().blob_versioned_hashes), tx["blobVersionedHashes"], "{fork}");
        let signed = wire.chain.deployer.eip4844(unsigned.tx().clone());
        let Transaction::Eip4844(signed) = signed else { panic!("{fork}: of another type") };
        let (tx, signature, hash) = (signed.tx().clone(), *signed.signature(), *signed.hash());
        let signed = Signed::new_unchecked(tx.with_sidecar(sidecar), signature, hash);
        let sent = Bytes::from(PooledTransaction::Eip4844(signed).encoded_2718());
        assert_eq!(wire.public_ok("eth_sendRawTransaction", &json!([sent])), json!(hash), "{fork}");
    }
}

#[test]
fn the_node_tells_of_itself() {
    let wire = Wire::new(Fork::Osaka);
    wire.follow(1..=1);
    let info = wire.public_ok("admin_nodeInfo", &json!([]));
    assert_eq!(info["name"], wire.public_ok("web3_clientVersion", &json!([])));
    let eth = &info["protocols"]["eth"];
    assert_eq!(eth["genesis"], json!(wire.chain.hash(0)));
    assert_eq!(eth["head"], json!(wire.chain.hash(1)));
    assert_eq!(eth["network"], json!(CHAIN_ID));
    assert_eq!(eth["config"], wire.public_ok("debug_chainConfig", &json!([])));
    assert_eq!(eth["config"]["chainId"], json!(CHAIN_ID));
    // The configuration gives the chain that it is of.
    let config = wire.public_ok("debug_chainConfig", &json!([]));
    let mut file: Value = serde_json::from_slice(&wire.chain.chain.json).expect("JSON");
    file["config"] = config;
    let again = Genesis::from_json(file.to_string().as_bytes()).expect("a good configuration");
    assert_eq!(again.chain, wire.chain.chain.genesis.chain);
    assert_eq!(wire.public_ok("admin_peers", &json!([])), json!([]));
    assert_eq!(wire.public_ok("net_peerCount", &json!([])), "0x0");
    // It has no peers, but is there.
    assert_eq!(wire.public_ok("net_listening", &json!([])), json!(true));
    // Where no folder is known, none is named.
    assert_eq!(code(&wire, "admin_datadir", &json!([])), -32601);
    let api = PublicApi::new(wire.node.engine().clone(), EthLimits::default());
    let apis = ["admin".to_owned()];
    let methods = api.with_datadir(Path::new("/data")).module(&apis, false).expect("methods");
    assert!(methods.method_names().any(|name| name == "admin_datadir"));
    let modules = wire.public_ok("rpc_modules", &json!([]));
    for name in ["eth", "net", "web3", "txpool", "debug", "admin", "testing", "fugue", "rpc"] {
        assert_eq!(modules[name], "1.0", "{modules}");
    }
    assert!(modules.get("engine").is_none(), "{modules}");
}

#[test]
fn capabilities_name_the_head() {
    let wire = Wire::new(Fork::Osaka);
    wire.follow(1..=2);
    let told = wire.public_ok("eth_capabilities", &json!([]));
    let head = json!({ "number": "0x2", "hash": wire.chain.hash(2) });
    assert_eq!(told["head"], head);
    assert_eq!(told["state"], json!({ "disabled": false, "oldestBlock": "0x0" }));
    wire.choose(&choice_of(wire.chain.hash(1)));
    let told = wire.public_ok("eth_capabilities", &json!([]));
    assert_eq!(told["head"]["number"], "0x1");
}
