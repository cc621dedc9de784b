//! The life of `fugue node`: it starts or says why not, is driven, is stopped or killed, and goes
//! on from where it was; and its dev chain.

use crate::{
    import_support::{DESTRUCTIVE, Datadir, MODERN, Place, Ran, Recipe, text},
    node_support::{Running, Site, fugue},
    rules_support::{Endpoint, WireChain, bearer, head, quantity, request, valid},
};
use alloy_consensus::TxEip1559;
use alloy_eips::Encodable2718;
use fugue_chainspec::Fork;
use fugue_types::{Address, B256, Bytes, TxKind, U256, b256};
use fugue_workload::{Wallet, gwei};
use serde_json::{Value, json};
use std::path::Path;

/// The chain id of the dev chain.
const DEV_CHAIN_ID: u64 = 1_337;
/// The first key of the mnemonic `test test test test test test test test test test test junk`.
const DEV_KEY: B256 = b256!("0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80");

#[test]
fn a_node_that_is_killed_among_payloads_goes_on_from_its_head() {
    let site = Site::new(WireChain::of_recipe(&Recipe::new(0x11fe, Fork::Osaka, 55, 2)));
    let last = site.chain.last();
    let mut head_number = 0;
    // A batch is full after 32 blocks.
    for next in [0, 7, 20, 33, 34, 50] {
        let node = site.start(&[]);
        let engine = node.engine();
        site.assert_head(engine, head_number);
        site.follow(engine, head_number + 1..=next);
        head_number = next;
        // One block has come that nobody has chosen yet, and another one is on its way.
        let params = site.chain.params(next + 1);
        let status = engine.call(&site.chain.new_payload(), &params);
        assert_eq!(status, Ok(valid(site.chain.hash(next + 1))));
        let body = request(&site.chain.new_payload(), &site.chain.params(next + 2));
        let (mut connection, bearer) = (engine.connect(), bearer());
        let head = head("POST", &[("authorization", bearer.as_str())], body.len());
        connection.write(format!("{head}{body}").as_bytes());
        node.kill();
    }
    let node = site.start(&[]);
    let engine = node.engine();
    site.assert_head(engine, head_number);
    site.follow(engine, head_number + 1..=last);
    node.stop();
    site.place.datadir("data").check(site.chain.chain.head());

    // And once more after it was stopped.
    let node = site.start(&[]);
    site.assert_head(node.engine(), last);
    node.stop();
    site.place.datadir("data").check(site.chain.chain.head());
}

#[test]
fn a_node_ends_in_time_whatever_its_callers_have_under_way() {
    let site = Site::new(WireChain::of_recipe(&Recipe::new(0x11ff, Fork::Osaka, 5, 2)));
    let node = site.start(&["--http", "--http.port", "0"]);
    let (engine, public) = (node.engine(), node.public());
    site.follow(engine, 1..=3);
    // A connection that is kept, and those of which the request has not ended, or not begun.
    let mut kept = engine.connect();
    let chain_id = engine.call_over(&mut kept, "eth_chainId", &json!([]));
    assert!(chain_id.is_ok(), "{chain_id:?}");
    let (body, bearer) = (request("eth_chainId", &json!([])), bearer());
    let mut halves = Vec::new();
    for endpoint in [engine, public] {
        let head = head("POST", &[("authorization", bearer.as_str())], body.len());
        for part in [head.clone(), format!("{head}{}", &body[..10]), head[..20].to_owned()] {
            let mut connection = endpoint.connect();
            connection.write(part.as_bytes());
            halves.push(connection);
        }
        halves.push(endpoint.connect());
    }
    // What comes after them is answered: they were accepted.
    for endpoint in [engine, public] {
        assert!(endpoint.call("eth_chainId", &json!([])).is_ok());
    }
    node.stop();
    drop((kept, halves));
    let node = site.start(&[]);
    site.assert_head(node.engine(), 3);
    node.stop();
}

/// A run of `fugue node` that cannot start.
fn refused(place: &Place, datadir: &str, more: &[&str]) -> Ran {
    let (datadir, genesis) = (place.path(datadir), place.path("genesis.json"));
    let own = ["node", "--datadir", text(&datadir), "--ipcdisable", "--chain", text(&genesis)];
    Ran::in_time("a node that does not start", fugue(&[&own[..], more].concat())).ends(2)
}

#[test]
fn a_secret_that_is_none_is_told_and_nothing_is_started() {
    let place = Place::new(&MODERN);
    for (about, content) in [
        ("short", "5e".repeat(31)),
        ("long", "5e".repeat(33)),
        ("not in hex", "zz".repeat(32)),
        ("empty", String::new()),
        ("two", format!("{0}\n{0}", "5e".repeat(32))),
    ] {
        let secret = place.write("bad.hex", content.as_bytes());
        let ran = refused(&place, "data", &["--authrpc.jwtsecret", text(&secret)]);
        let ran = ran.says("a JWT secret is 32 bytes in hex").says("bad.hex");
        assert!(!ran.stderr.contains(&"5e".repeat(31)), "{about}: the secret is told: {ran}");
    }
    let nowhere = place.path("nowhere.hex");
    let ran = refused(&place, "data", &["--authrpc.jwtsecret", text(&nowhere)]);
    ran.says("the JWT secret cannot be read").says("nowhere.hex");
    assert!(!nowhere.exists(), "a file that was named is not made");
}

#[test]
fn a_node_says_why_it_does_not_start() {
    let place = Place::new(&MODERN);
    let unknown = fugue(&["node", "--datadir", "data", "--nonsense"]);
    Ran::in_time("a node with an unknown flag", unknown).ends(2).says("--nonsense");
    let empty = place.path("empty");
    let none = fugue(&["node", "--datadir", text(&empty), "--ipcdisable"]);
    Ran::in_time("a node without a chain", none).ends(2).says("no chain here");

    let (datadir, genesis) = (place.path("data"), place.path("genesis.json"));
    let own = ["--datadir", text(&datadir), "--chain", text(&genesis)];
    let node = Running::start(&own);
    let ran = refused(&place, "data", &["--authrpc.port", "0"]);
    ran.says("in use by another process").says("data");
    let port = node.address("Engine API").rsplit(':').next().expect("a port").to_owned();
    let address = format!("127.0.0.1:{port}");
    refused(&place, "other", &["--authrpc.port", &port]).says(&address).says("--authrpc.port");
    let taken = ["--authrpc.port", "0", "--http", "--http.port", &port];
    refused(&place, "other", &taken).says(&address).says("--http.port");
    let taken = ["--authrpc.port", "0", "--metrics", &address];
    refused(&place, "other", &taken).says(&address).says("--metrics");
    // The first one has not been disturbed.
    let asked = node.engine().connect().post(&[], &request("eth_chainId", &json!([])));
    assert_eq!(asked.status, 401, "it still asks for a token");
    node.stop();

    let other = place.write("other.json", &DESTRUCTIVE.json);
    let wrong = ["node", "--datadir", text(&datadir), "--chain", text(&other), "--ipcdisable"];
    let wrong = Ran::in_time("a node of another chain", fugue(&wrong)).ends(2);
    wrong.says(&format!("the data is of the chain with genesis {}", MODERN.hash(0)));
    let node = Running::start(&own);
    node.stop();
}

/// A transfer of the first dev account, and its hash.
fn transfer(nonce: u64) -> (Bytes, B256) {
    let wallet = Wallet::from_key(DEV_KEY).expect("a key");
    let tx = wallet.eip1559(TxEip1559 {
        chain_id: DEV_CHAIN_ID,
        nonce,
        gas_limit: 21_000,
        max_fee_per_gas: gwei(100),
        max_priority_fee_per_gas: gwei(1),
        to: TxKind::Call(Address::repeat_byte(0xde)),
        value: U256::from(1),
        ..TxEip1559::default()
    });
    (Bytes::from(tx.encoded_2718()), *tx.hash())
}

/// Sends a transfer. Gives its hash.
#[track_caller]
fn send(public: Endpoint, nonce: u64) -> B256 {
    let (encoded, hash) = transfer(nonce);
    let answer = public.call("eth_sendRawTransaction", &json!([encoded]));
    assert_eq!(answer, Ok(json!(hash)), "nonce {nonce}");
    hash
}

#[track_caller]
fn ok(public: Endpoint, method: &str, params: &Value) -> Value {
    public.call(method, params).unwrap_or_else(|error| panic!("{method}: {error:?}"))
}

/// The transaction is in the block with this number, and has succeeded.
#[track_caller]
fn assert_mined(public: Endpoint, hash: B256, number: u64) {
    let receipt = ok(public, "eth_getTransactionReceipt", &json!([hash]));
    assert_eq!(receipt["blockNumber"], json!(quantity(number)), "{receipt}");
    assert_eq!(receipt["status"], "0x1", "{receipt}");
    assert_eq!(receipt["gasUsed"], "0x5208", "{receipt}");
}

/// A dev chain that is kept.
fn start_dev(datadir: &Path, more: &[&str]) -> Running {
    let own = ["--dev", "--datadir", text(datadir)];
    let http = ["--http", "--http.port", "0", "--http.api", "eth,txpool"];
    Running::start(&[&own[..], &http, more].concat())
}

/// Nothing is wrong with the data that a node has left.
fn verify(datadir: &Path) {
    let datadir = Datadir { path: datadir.to_owned(), chain: String::new() };
    let verify = datadir.db(&["verify"]).ends(0);
    assert_eq!(verify.last()["problems"], json!([]), "{verify}");
}

#[test]
fn a_dev_chain_makes_a_block_for_what_is_sent_and_none_without() {
    let folder = tempfile::tempdir().expect("a folder");
    let datadir = folder.path().join("dev");
    let mut node = start_dev(&datadir, &[]);
    let public = node.public();
    assert_eq!(ok(public, "eth_blockNumber", &json!([])), "0x0");
    // Nothing was made yet, and the genesis is safe and final.
    let genesis = ok(public, "eth_getBlockByNumber", &json!(["0x0", false]));
    for tag in ["safe", "finalized"] {
        assert_eq!(ok(public, "eth_getBlockByNumber", &json!([tag, false])), genesis, "{tag}");
        assert_eq!(ok(public, "eth_getBalance", &json!([Address::ZERO, tag])), "0x0", "{tag}");
    }
    for nonce in 0..3 {
        let hash = send(public, nonce);
        node = node.after("block");
        let (number, said) = (nonce + 1, &node.said["block"]);
        assert_eq!((&said["number"], &said["txs"]), (&json!(number), &json!(1)), "{said}");
        assert_mined(public, hash, number);
        assert_eq!(ok(public, "eth_blockNumber", &json!([])), json!(quantity(number)));
    }
    // One that leaves a gap is no reason for a block.
    send(public, 5);
    let status = ok(public, "txpool_status", &json!([]));
    assert_eq!(status, json!({ "pending": "0x0", "queued": "0x1" }));
    let hash = send(public, 3);
    node = node.after("block");
    assert_mined(public, hash, 4);
    assert_eq!(node.said["block"]["txs"], 1);
    assert_eq!(ok(public, "eth_blockNumber", &json!([])), "0x4");
    node.stop();
    verify(&datadir);
}

#[test]
fn a_dev_chain_makes_blocks_by_the_clock_if_it_is_told_to() {
    let folder = tempfile::tempdir().expect("a folder");
    let datadir = folder.path().join("dev");
    let mut node = start_dev(&datadir, &["--dev.block-time", "1"]);
    let public = node.public();
    for number in 1..=2 {
        node = node.after("block");
        let said = &node.said["block"];
        assert_eq!((&said["number"], &said["txs"]), (&json!(number), &json!(0)), "{said}");
    }
    let hash = send(public, 0);
    while ok(public, "eth_getTransactionReceipt", &json!([hash])).is_null() {
        node = node.after("block");
    }
    node.stop();
    verify(&datadir);
}

#[test]
fn local_transactions_survive_a_restart_and_a_kill() {
    let folder = tempfile::tempdir().expect("a folder");
    let datadir = folder.path().join("dev");
    let mut node = start_dev(&datadir, &[]);
    let first = send(node.public(), 0);
    node = node.after("block");
    assert_mined(node.public(), first, 1);
    // Nonce 1 is missing.
    let queued = [send(node.public(), 2), send(node.public(), 3)];
    let status = json!({ "pending": "0x0", "queued": "0x2" });
    for signal in ["-TERM", "-KILL", "-TERM"] {
        assert_eq!(ok(node.public(), "txpool_status", &json!([])), status, "before {signal}");
        if signal == "-TERM" {
            node.stop()
        } else {
            node.kill()
        }
        node = start_dev(&datadir, &[]);
        assert_eq!(ok(node.public(), "txpool_status", &json!([])), status, "after {signal}");
        assert_eq!(ok(node.public(), "eth_blockNumber", &json!([])), "0x1", "after {signal}");
        for hash in queued {
            let found = ok(node.public(), "eth_getTransactionByHash", &json!([hash]));
            assert_eq!(found["hash"], json!(hash), "after {signal}");
            assert_eq!(found["blockHash"], Value::Null, "after {signal}");
        }
        assert_mined(node.public(), first, 1);
    }
    // With it, they are included too.
    let public = node.public();
    let missing = send(public, 1);
    for hash in [missing, queued[0], queued[1]] {
        while ok(public, "eth_getTransactionReceipt", &json!([hash])).is_null() {
            node = node.after("block");
        }
    }
    let status = json!({ "pending": "0x0", "queued": "0x0" });
    // Receipts are there a moment before the pool hears of their block; a pool that never does is
    // ended from outside.
    while ok(public, "txpool_status", &json!([])) != status {
        std::thread::yield_now();
    }
    node.stop();
    verify(&datadir);
    // What was included does not come back.
    let node = start_dev(&datadir, &[]);
    assert_eq!(ok(node.public(), "txpool_status", &json!([])), status);
    node.stop();
}
