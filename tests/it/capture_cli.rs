//! `fugue capture` as its users see it: from a node that gives witnesses, from one that gives
//! nothing but accounts and slots, and from an endpoint that traces transactions; and what it says
//! of blocks that it does not get.

use crate::{
    import_support::{Place, Recipe, text},
    node_support::{Running, Site, fugue},
    rules_support::{Endpoint, WireChain, quantity},
    support::{Done, files, finish, in_time, replay},
};
use alloy_consensus::TxEip1559;
use alloy_eips::Encodable2718;
use fugue_chainspec::Fork;
use fugue_types::{Address, B256, Bytes, TxKind, U256, b256};
use fugue_workload::{Wallet, gwei};
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

/// The first key of the mnemonic `test test test test test test test test test test test junk`.
const DEV_KEY: B256 = b256!("0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80");
/// The chain id of the dev chain.
const DEV_CHAIN_ID: u64 = 1_337;
/// Who gets what the transfers send.
const RECEIVER: Address = Address::repeat_byte(0xde);

/// `fugue capture --json` of these blocks, into `out`.
fn capture(address: &str, chain: &str, blocks: &str, out: &Path, more: &[&str]) -> (Done, Value) {
    let url = format!("http://{address}");
    let own = ["capture", "--rpc", &url, "--chain", chain, "--block", blocks, "--out", text(out)];
    let own = [&own[..], &["--threads", "2", "--json"], more].concat();
    let done = finish(&mut fugue(&own));
    let said = serde_json::from_str(&done.stdout).unwrap_or_default();
    (done, said)
}

/// Every block was captured in this way, and nothing but the files of the blocks was written.
#[track_caller]
fn assert_captured(done: &Done, said: &Value, out: &Path, way: &str, count: usize) {
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(said["ways"][way], json!(count), "{said}");
    assert_eq!(said["failed"], json!([]), "{said}");
    let blocks = said["blocks"].as_array().expect("a list");
    assert!(blocks.iter().all(|block| block["way"] == way), "{said}");
    let written = files(out);
    assert_eq!(written.len(), count, "{written:?}");
    assert!(written.iter().all(|path| path.starts_with(out.join("blocks"))), "{written:?}");
    let entries = out.read_dir().expect("a folder").count();
    assert_eq!(entries, 1, "a folder is left behind in {out:?}");
}

/// `fugue replay` finds all blocks equal in both modes. Gives the lines of the blocks.
#[track_caller]
fn replayed(place: &Place, out: &Path, kind: &str) -> Vec<Value> {
    let mut command = replay(&place.path("."), &[out]);
    let done = finish(command.args(["--mode", "both", "--json", "-"]));
    assert_eq!(done.code, Some(0), "{done:?}");
    let lines = done.stdout.lines();
    let mut lines: Vec<Value> =
        lines.map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let summary = lines.pop().expect("a summary");
    assert_eq!(summary["equal"], json!(lines.len()), "{summary}");
    assert!(lines.iter().all(|line| line["kind"] == kind), "{lines:?}");
    lines
}

/// A node that has a chain of all kinds of transactions, and these groups of methods.
fn node_with(fork: Fork, apis: &str) -> (Site, Running) {
    let site = Site::new(WireChain::of_recipe(&Recipe::new(0xca97, fork, 12, 3)));
    let node = site.start(&["--http", "--http.port", "0", "--http.api", apis]);
    site.follow(node.engine(), 1..=site.chain.last());
    (site, node)
}

#[test]
fn blocks_are_captured_by_witness_where_the_node_gives_some() {
    for fork in [Fork::Shanghai, Fork::Osaka, Fork::Amsterdam] {
        let (site, node) = node_with(fork, "eth,debug");
        let (genesis, out) = (site.place.path("genesis.json"), site.place.path("captured"));
        let last = site.chain.last();
        let blocks = format!("1..{last}");
        let (done, said) = capture(node.address("HTTP"), text(&genesis), &blocks, &out, &[]);
        let count = usize::try_from(last).expect("few blocks");
        assert_captured(&done, &said, &out, "witness", count);
        for (number, block) in (1..=last).zip(said["blocks"].as_array().expect("a list")) {
            assert_eq!(block["number"], json!(number), "{block}");
            assert_eq!(block["hash"], json!(site.chain.hash(number)), "{block}");
            assert_eq!(block["passedOver"], json!([]), "{block}");
        }
        for line in replayed(&site.place, &out, "witness") {
            let checked = line["checked"].as_array().expect("a list");
            assert!(checked.contains(&json!("stateRoot")), "{line}");
        }
        node.stop();
    }
}

#[test]
fn blocks_are_captured_by_what_they_read_where_the_node_gives_nothing_else() {
    let (site, node) = node_with(Fork::Osaka, "eth");
    let (genesis, out) = (site.place.path("genesis.json"), site.place.path("captured"));
    let last = site.chain.last();
    let blocks = format!("1..{last}");
    let (done, said) = capture(node.address("HTTP"), text(&genesis), &blocks, &out, &[]);
    let count = usize::try_from(last).expect("few blocks");
    assert_captured(&done, &said, &out, "reads", count);
    // What is not there at all is asked for once.
    let passed = |index: usize| said["blocks"][index]["passedOver"].as_array().map(Vec::len);
    assert_eq!((passed(0), passed(1)), (Some(2), Some(0)), "{said}");
    assert!(done.stderr.contains("not by witness: http://"), "{}", done.stderr);
    replayed(&site.place, &out, "bundle");
    node.stop();
}

#[test]
fn what_is_not_captured_is_told_and_leaves_nothing() {
    let (site, node) = node_with(Fork::Osaka, "eth");
    let (genesis, out) = (site.place.path("genesis.json"), site.place.path("captured"));
    let address = node.address("HTTP").to_owned();
    let (genesis, above) = (text(&genesis), site.chain.last() + 1);

    let (done, said) = capture(&address, genesis, &above.to_string(), &out, &[]);
    assert_eq!(done.code, Some(2), "{done:?}");
    let reason = said["failed"][0]["reason"].as_str().expect("a reason");
    let told = format!("http://{address}: eth_getBlockByNumber (block {above}): there is no such");
    assert!(reason.starts_with(&told), "{reason}");
    assert!(reason.ends_with(&format!("; the newest block is {}", above - 1)), "{reason}");
    assert!(!done.stderr.contains("not asked for"), "{}", done.stderr);

    // What is said of the first one would be said of all that follow.
    for (blocks, way, told, left) in [
        (
            format!("{above}..{}", above + 98),
            "auto",
            "there is no such block",
            "98 more blocks were",
        ),
        (format!("{above}..{}", above + 1), "auto", "there is no such block", "1 more block was"),
        ("1..99".to_owned(), "witness", "debug_executionWitness (block 1)", "98 more blocks were"),
    ] {
        let (done, said) = capture(&address, genesis, &blocks, &out, &["--way", way]);
        assert_eq!(done.code, Some(2), "{done:?}");
        assert_eq!(said["failed"].as_array().map(Vec::len), Some(1), "{said}");
        let reason = said["failed"][0]["reason"].as_str().expect("a reason");
        assert!(reason.contains(told), "{reason}");
        let errors = done.stderr.lines().filter(|line| line.starts_with("error: "));
        assert_eq!(errors.count(), 1, "{}", done.stderr);
        let left = format!("{left} not asked for");
        assert!(done.stderr.lines().any(|line| line == left), "{}", done.stderr);
        assert!(files(&out).is_empty(), "{:?}", files(&out));
    }

    let (done, _) = capture(&address, "mainnet", "1", &out, &[]);
    assert_eq!(done.code, Some(2), "{done:?}");
    assert!(done.stderr.contains("--chain mainnet is chain 1"), "{}", done.stderr);
    node.stop();

    let (done, _) = capture(&address, genesis, "1", &out, &[]);
    assert_eq!(done.code, Some(2), "{done:?}");
    assert!(done.stderr.contains("eth_chainId: no answer"), "{}", done.stderr);
}

/// A transfer of the first dev account is sent, and is in the next block.
fn transfer(node: Running, nonce: u64) -> Running {
    let wallet = Wallet::from_key(DEV_KEY).expect("a key");
    let tx = wallet.eip1559(TxEip1559 {
        chain_id: DEV_CHAIN_ID,
        nonce,
        gas_limit: 21_000,
        max_fee_per_gas: gwei(100),
        max_priority_fee_per_gas: gwei(1),
        to: TxKind::Call(RECEIVER),
        value: U256::from(1),
        ..TxEip1559::default()
    });
    let sent =
        node.public().call("eth_sendRawTransaction", &json!([Bytes::from(tx.encoded_2718())]));
    assert_eq!(sent, Ok(json!(tx.hash())), "nonce {nonce}");
    node.after("block")
}

/// Traces of a block of one transfer, as `prestateTracer` gives them.
fn traces(node: Endpoint, number: u64, is_diff: bool) -> Value {
    let sender = Wallet::from_key(DEV_KEY).expect("a key").address();
    let at = |number: u64| {
        let mut accounts = json!({});
        for address in [sender, RECEIVER] {
            let ask = |method: &str| {
                let answer = node.call(method, &json!([address, quantity(number)]));
                answer.unwrap_or_else(|error| panic!("{method}: {error:?}"))
            };
            let (balance, nonce) = (ask("eth_getBalance"), ask("eth_getTransactionCount"));
            // As geth has it, one that is empty is left out.
            if balance != "0x0" || nonce != "0x0" {
                accounts[address.to_string()] = json!({ "balance": balance, "nonce": nonce });
            }
        }
        accounts
    };
    let (before, after) = (at(number - 1), at(number));
    let result = if is_diff { json!({ "pre": before, "post": after }) } else { before };
    json!([{ "txHash": B256::ZERO, "result": result }])
}

/// One request of JSON-RPC over HTTP; `None` when the caller has gone.
fn request(stream: &mut BufReader<TcpStream>) -> Option<Value> {
    let mut bytes = 0;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            bytes = value.trim().parse().expect("a length");
        }
    }
    let mut body = vec![0; bytes];
    stream.read_exact(&mut body).ok()?;
    Some(serde_json::from_slice(&body).expect("JSON"))
}

/// What a node has, but without witnesses and proofs, and with traces.
fn answer(node: Endpoint, method: &str, params: &Value) -> Result<Value, (i64, String)> {
    if method == "debug_traceBlockByNumber" {
        let number = params[0].as_str().and_then(|number| number.strip_prefix("0x"));
        let number = number.and_then(|digits| u64::from_str_radix(digits, 16).ok());
        assert_eq!(params[1]["tracer"], "prestateTracer", "{params}");
        let is_diff = params[1]["tracerConfig"]["diffMode"] == json!(true);
        return Ok(traces(node, number.expect("a number"), is_diff));
    }
    if method.starts_with("debug_") || method == "eth_getProof" {
        return Err((-32_601, "the method is not available".to_owned()));
    }
    node.call(method, params).map_err(|error| (error.code, error.message))
}

/// Answers what comes over a connection, until the caller has gone. Notes the methods.
fn serve(stream: TcpStream, node: Endpoint, asked: &Mutex<Vec<String>>) {
    let mut stream = BufReader::new(stream);
    while let Some(call) = request(&mut stream) {
        let method = call["method"].as_str().expect("a method");
        let mut reply = json!({ "jsonrpc": "2.0", "id": call["id"] });
        match answer(node, method, &call["params"]) {
            Ok(result) => reply["result"] = result,
            Err((code, message)) => reply["error"] = json!({ "code": code, "message": message }),
        }
        let body = reply.to_string();
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let sent = stream.get_mut().write_all(format!("{head}{body}").as_bytes());
        sent.expect("the caller reads");
        asked.lock().expect("no call is wrong").push(method.to_owned());
    }
}

/// Calls with the address of an endpoint that answers so. Gives the methods that were asked for.
fn with_endpoint<T>(node: Endpoint, call: impl FnOnce(SocketAddr) -> T) -> (T, Vec<String>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = listener.local_addr().expect("an address");
    let (asked, is_over) = (Mutex::default(), AtomicBool::new(false));
    let (heard, is_over) = (&asked, &is_over);
    let done = std::thread::scope(|scope| {
        scope.spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if is_over.load(Ordering::Acquire) {
                    break;
                }
                scope.spawn(move || serve(stream, node, heard));
            }
        });
        let done = call(address);
        is_over.store(true, Ordering::Release);
        // Wakes who waits for a caller.
        drop(TcpStream::connect(address));
        done
    });
    (done, asked.into_inner().expect("no call is wrong"))
}

#[test]
fn blocks_are_captured_by_traces_where_the_node_traces_and_gives_no_witness() {
    let folder = tempfile::tempdir().expect("a folder");
    let datadir = folder.path().join("dev");
    let own = ["--dev", "--datadir", text(&datadir), "--http", "--http.port", "0"];
    let mut node = Running::start(&[&own[..], &["--http.api", "eth,debug"]].concat());
    for nonce in 0..3 {
        node = transfer(node, nonce);
    }
    let out = folder.path().join("captured");
    let (public, place) = (node.public(), out.clone());
    let ((done, said), asked) = in_time("capturing", move || {
        with_endpoint(public, |address| capture(&address.to_string(), "dev", "1..3", &place, &[]))
    });
    assert_captured(&done, &said, &out, "prestate", 3);
    let reason = said["blocks"][0]["passedOver"][0]["reason"].as_str().expect("a reason");
    assert!(reason.contains("debug_executionWitness"), "{reason}");
    let count = |name: &str| asked.iter().filter(|method| *method == name).count();
    assert_eq!(count("debug_executionWitness"), 1, "{asked:?}");
    assert_eq!(count("debug_traceBlockByNumber"), 6, "{asked:?}");
    // Blocks were put together from their fields.
    assert!(count("debug_getRawBlock") > 0 && count("eth_getBlockByNumber") >= 6, "{asked:?}");

    // The node itself gives witnesses of the same blocks.
    let witnessed = folder.path().join("witnessed");
    let (done, said) = capture(node.address("HTTP"), "dev", "1..3", &witnessed, &[]);
    assert_captured(&done, &said, &witnessed, "witness", 3);
    for (folder, kind) in [(&out, "bundle"), (&witnessed, "witness")] {
        let done = finish(replay(folder, &[folder]).args(["--mode", "both"]));
        assert_eq!(done.totals(), [3, 0, 0, 0], "{kind}: {done:?}");
    }
    node.stop();
}
