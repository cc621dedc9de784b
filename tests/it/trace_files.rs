//! Traces that a node writes to files: against those that it answers with, and what is left of them
//! when something is too much.

use crate::{
    engine_support::changed,
    openrpc,
    rules_support::{UNKNOWN, Wire, assert_invalid, request},
};
use fugue_chainspec::Fork;
use fugue_rpc::{EthLimits, PublicApi, RpcModule};
use serde_json::{Value, json};
use std::{path::Path, time::Duration};
use tempfile::TempDir;

const OF_BLOCK: &str = "debug_standardTraceBlockToFile";
const OF_BAD_BLOCK: &str = "debug_standardTraceBadBlockToFile";

/// The methods of a node that writes traces into this folder, if it has one.
fn methods(wire: &Wire, limits: EthLimits, folder: Option<&TempDir>) -> RpcModule<()> {
    let api = PublicApi::new(wire.node.engine().clone(), limits);
    let api = match folder {
        Some(folder) => api.with_trace_files(folder.path()).expect("a folder"),
        None => api,
    };
    api.module(&["debug".to_owned()], false).expect("methods")
}

/// The result, or code and message of the error.
fn ask(
    wire: &Wire,
    methods: &RpcModule<()>,
    method: &str,
    params: &Value,
) -> Result<Value, (i64, String)> {
    let asked = request(method, params);
    let answer = wire.block_on(methods.raw_json_request(&asked, 1));
    let answer = answer.expect("a good request").0.get().to_owned();
    openrpc::assert_answer(&asked, &answer);
    let mut answer: Value = serde_json::from_str(&answer).expect("JSON");
    match answer.get("error") {
        None => Ok(answer["result"].take()),
        Some(error) => {
            let code = error["code"].as_i64().expect("a code");
            Err((code, error["message"].as_str().expect("a message").to_owned()))
        }
    }
}

/// The paths of the files that a call has written.
#[track_caller]
fn files(wire: &Wire, methods: &RpcModule<()>, method: &str, params: &Value) -> Vec<String> {
    let found = ask(wire, methods, method, params);
    let found = found.unwrap_or_else(|error| panic!("{method}: {error:?}"));
    serde_json::from_value(found).expect("a list of paths")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn count(folder: &TempDir) -> usize {
    folder.path().read_dir().expect("a folder").count()
}

/// Whether two lines are of one instruction.
fn is_again(one: &Value, other: &Value) -> bool {
    ["pc", "depth", "gas"].iter().all(|name| one[*name] == other[*name])
}

/// `0x` and the first four bytes of a hash.
fn short(hash: &str) -> &str {
    &hash[..10]
}

#[test]
fn a_file_has_the_steps_that_an_answer_has() {
    let wire = Wire::new(Fork::Prague);
    let last = wire.chain.last();
    wire.follow(1..=last);
    let folder = tempfile::tempdir().expect("a folder");
    let methods = methods(&wire, EthLimits::default(), Some(&folder));
    let (mut all, mut steps) = (0, 0);
    for number in 1..=last {
        let hash = wire.chain.hash(number).to_string();
        let paths = files(&wire, &methods, OF_BLOCK, &json!([hash]));
        let answer = ask(&wire, &methods, "debug_traceBlockByHash", &json!([hash]));
        let answer = answer.expect("traces");
        let traces = answer.as_array().expect("a list");
        assert_eq!(paths.len(), traces.len(), "block {number}");
        for (index, (path, trace)) in paths.iter().zip(traces).enumerate() {
            let tx = trace["txHash"].as_str().expect("a hash");
            let name = Path::new(path).file_name().expect("a name").to_string_lossy();
            let begin = format!("block_{}-{index}-{}-", short(&hash), short(tx));
            assert!(name.starts_with(&begin), "{name} does not begin with {begin}");
            let text = read(path);
            let mut lines: Vec<Value> =
                text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
            let end = lines.pop().expect("an end");
            let has_failed = trace["result"]["failed"].as_bool().expect("a verdict");
            assert_eq!(end["error"].is_string(), has_failed, "{path}: {end}");
            assert!(end["gasUsed"].is_string() && end["output"].is_string(), "{path}: {end}");
            // What fails while it is executed has a second line.
            lines.dedup_by(|second, first| is_again(second, first));
            let logs = trace["result"]["structLogs"].as_array().expect("steps");
            assert_eq!(lines.len(), logs.len(), "{path}");
            for (line, log) in lines.iter().zip(logs) {
                assert_eq!(line["pc"], log["pc"], "{path}");
                assert_eq!(line["opName"], log["op"], "{path}");
                assert_eq!(line["stack"], log["stack"], "{path}");
                assert_eq!(line["depth"], log["depth"], "{path}");
                let cost = log["gasCost"].as_u64().expect("a number");
                assert_eq!(line["gasCost"], json!(format!("{cost:#x}")), "{path}: {line}");
            }
            steps += lines.len();
            // One alone is the same.
            let one = json!([hash, { "txHash": tx }]);
            let alone = files(&wire, &methods, OF_BLOCK, &one);
            assert_eq!(alone.len(), 1, "{alone:?}");
            let alone = &alone[0];
            assert_ne!(alone, path);
            assert_eq!(read(alone), text, "{path}");
            all += 2;
        }
    }
    assert!(all > 10 && steps > 100, "{all} {steps}");
    assert_eq!(count(&folder), all, "and nothing else");
    // With memory, and without a stack.
    let hash = wire.chain.hash(last);
    let options = json!({ "enableMemory": true, "disableStack": true });
    for path in files(&wire, &methods, OF_BLOCK, &json!([hash, options])) {
        for line in read(&path).lines().filter(|line| line.contains("\"pc\"")) {
            let line: Value = serde_json::from_str(line).expect("JSON");
            let memory = line["memory"].as_str().map_or(0, |memory| memory.len() / 2 - 1);
            assert_eq!(line["memSize"], json!(memory), "{line}");
            assert_eq!(line["stack"], Value::Null, "{line}");
        }
    }
}

#[test]
fn a_bad_block_is_written_as_the_one_that_it_was_made_of() {
    let wire = Wire::new(Fork::Osaka);
    wire.follow(1..=2);
    let folder = tempfile::tempdir().expect("a folder");
    let methods = methods(&wire, EthLimits::default(), Some(&folder));
    let bad = changed(wire.chain.chain.block(3), |header| header.state_root = UNKNOWN);
    let parent = Some(wire.chain.hash(2));
    assert_invalid(&wire.send(&wire.chain.params_of(&bad)), parent, "a bad block");
    let of_bad = files(&wire, &methods, OF_BAD_BLOCK, &json!([bad.hash()]));
    assert!(!of_bad.is_empty());
    wire.follow(3..=3);
    let of_good = files(&wire, &methods, OF_BLOCK, &json!([wire.chain.hash(3)]));
    assert_eq!(of_bad.len(), of_good.len());
    for (bad, good) in of_bad.iter().zip(&of_good) {
        assert_eq!(read(bad), read(good));
    }
    let (code, told) =
        ask(&wire, &methods, OF_BAD_BLOCK, &json!([wire.chain.hash(3)])).unwrap_err();
    assert!(code == -32_000 && told.contains("not found"), "{code} {told}");
}

#[test]
fn without_a_folder_nothing_is_written_and_the_error_names_the_flag() {
    let wire = Wire::new(Fork::Prague);
    wire.follow(1..=1);
    let methods = methods(&wire, EthLimits::default(), None);
    for method in [OF_BLOCK, OF_BAD_BLOCK] {
        let (code, told) = ask(&wire, &methods, method, &json!([wire.chain.hash(1)])).unwrap_err();
        assert!(code == -32_000 && told.contains("--rpc.trace-files"), "{code} {told}");
    }
}

#[test]
fn nothing_is_left_of_what_is_refused_or_given_up() {
    let wire = Wire::new(Fork::Prague);
    let last = wire.chain.last();
    wire.follow(1..=last);
    let folder = tempfile::tempdir().expect("a folder");
    let usual = EthLimits::default();
    let hash = wire.chain.hash(last);
    for (limits, reason) in [
        (EthLimits { trace_files_max: 1, ..usual }, "--rpc.max-trace-files"),
        (EthLimits { trace_file_bytes_max: 10, ..usual }, "--rpc.max-trace-file-size"),
        (EthLimits { trace_folder_bytes_max: 10, ..usual }, "--rpc.max-trace-folder-size"),
        (EthLimits { trace_time_max: Duration::ZERO, ..usual }, "the call was given up"),
    ] {
        let methods = methods(&wire, limits, Some(&folder));
        let (code, told) = ask(&wire, &methods, OF_BLOCK, &json!([hash])).unwrap_err();
        assert!(code == -32_000 && told.contains(reason), "{code} {told}");
        assert_eq!(count(&folder), 0, "{reason}");
    }
    let methods = methods(&wire, usual, Some(&folder));
    let options = json!({ "txHash": UNKNOWN });
    for (params, code, reason) in [
        (json!([UNKNOWN]), -32_000, "not found"),
        (json!([hash, options]), -32_000, "not found in block"),
        (json!([wire.chain.hash(0)]), -32_000, "genesis is not traceable"),
        (json!(["../../x"]), -32_602, "(block hash)"),
        (json!([hash, { "txHash": "../x" }]), -32_602, "(options): txHash"),
        (json!([hash, { "overrides": { "pragueTime": 0 } }]), -32_602, "overrides"),
    ] {
        let (found, told) = ask(&wire, &methods, OF_BLOCK, &params).unwrap_err();
        assert!(found == code && told.contains(reason), "{params}: {found} {told}");
    }
    assert_eq!(count(&folder), 0);
}
