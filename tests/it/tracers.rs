//! Traces against those that other clients have recorded.
//!
//! ```text
//! traces/geth-tracetest     a transaction on the accounts that it needs -> what geth's tracers say
//! traces/block-traces       the transactions of a mainnet block         -> what a geth node gave
//! traces/nimbus-structlogs  the transactions of Frontier blocks         -> the steps of Nimbus
//! ```
//! A case is named by its file, and within a block by the index of the transaction. What is found
//! is compared as it is, to the letter. What is expected is brought into the form that the other
//! client prints, where a file has another: because its tests read files into types first, or
//! because it is older than a field. Cases that cannot be equal even so stand in
//! `etc/expected-failures.toml` with their reasons, and must differ. All other differences are
//! printed, each with its place.

use crate::support::{Case, recorded, root};
use alloy_consensus::transaction::SignerRecoverable;
use alloy_eips::Decodable2718;
use alloy_rpc_types_trace::geth::GethDebugTracingOptions;
use fugue_archive::{BundleReader, Record, read_file};
use fugue_chainspec::{ChainConfig, ChainSpec, Rules};
use fugue_evm::{
    Assumed, CodeCache, GethTracer, Place, PreparedTx, TraceBudget, TraceOrigin, TraceSubject,
};
use fugue_executor::{Executor, PreparedBlock, Replay};
use fugue_state::{Account, MemoryAccount, MemoryState, StateView};
use fugue_trie::{Sibling, Witness, WitnessState};
use fugue_types::{Address, B256, Bytes, Header, KECCAK256_EMPTY, Transaction, U256, keccak256};
use serde_json::{Value, json};
use std::{
    convert::Infallible,
    fmt::Write,
    path::{Path, PathBuf},
};

/// Folders of geth's files, and the tracer that each is of.
const GETH: [(&str, &str); 8] = [
    ("call_tracer", "callTracer"),
    ("call_tracer_withLog", "callTracer"),
    ("call_tracer_legacy", "callTracerLegacy"),
    ("call_tracer_flat", "flatCallTracer"),
    ("prestate_tracer", "prestateTracer"),
    ("prestate_tracer_legacy", "prestateTracerLegacy"),
    ("prestate_tracer_with_diff_mode", "prestateTracer"),
    ("erc7562_tracer", "erc7562Tracer"),
];
/// Fields of the actions of other kinds, which some files of flat traces have as zeros in calls.
const OF_OTHERS: [&str; 4] = ["address", "author", "balance", "refundAddress"];
/// Characters of a value that are shown.
const SHOWN_MAX: usize = 160;
/// Far more than any of these traces takes.
const BYTES_MAX: usize = 4 << 30;

/// A case that must differ, and why.
struct Listed {
    fixture: String,
    reason: String,
}

/// What came of the cases.
#[derive(Default)]
struct Report {
    cases: usize,
    wrong: String,
}

impl Report {
    /// Compares a case.
    fn compare(&mut self, listed: &[Listed], name: &str, expected: &Value, found: &Value) {
        let mut differences = Vec::new();
        differ("", Some(expected), Some(found), &mut differences);
        self.add(listed, name, differences);
    }

    fn add(&mut self, listed: &[Listed], name: &str, differences: Vec<String>) {
        self.cases += 1;
        let entry = listed.iter().find(|entry| name.contains(&entry.fixture));
        match (entry, differences.is_empty()) {
            (None, true) | (Some(_), false) => {}
            (Some(Listed { fixture, reason }), true) => {
                writeln!(self.wrong, "{name}: passes, but {fixture:?} is listed: {reason}")
                    .expect("memory takes it");
            }
            (None, false) => {
                for difference in differences {
                    writeln!(self.wrong, "{name}: {difference}").expect("memory takes it");
                }
            }
        }
    }

    #[track_caller]
    fn check(self, cases: usize) {
        assert!(self.wrong.is_empty(), "{}", self.wrong);
        assert_eq!(self.cases, cases, "so many cases are there");
    }
}

/// The entries of the list that are about traces.
fn listed() -> Vec<Listed> {
    let text = std::fs::read_to_string(root().join("etc/expected-failures.toml")).expect("a file");
    let list: toml::Table = text.parse().expect("TOML");
    let failures = list["failure"].as_array().expect("entries");
    let text = |entry: &toml::Value, name: &str| entry[name].as_str().expect("text").to_owned();
    failures
        .iter()
        .map(|entry| Listed { fixture: text(entry, "fixture"), reason: text(entry, "reason") })
        .filter(|entry| entry.fixture.starts_with("traces/"))
        .collect()
}

/// Notes where two values differ; `None` is a field that is not there. What JSON leaves open is the
/// same, and that is the order of fields alone.
fn differ(
    place: &str,
    expected: Option<&Value>,
    found: Option<&Value>,
    differences: &mut Vec<String>,
) {
    match (expected, found) {
        (Some(Value::Object(one)), Some(Value::Object(other))) => {
            let mut names: Vec<_> = one.keys().chain(other.keys()).collect();
            names.sort_unstable();
            names.dedup();
            for name in names {
                differ(&format!("{place}.{name}"), one.get(name), other.get(name), differences);
            }
        }
        (Some(Value::Array(one)), Some(Value::Array(other))) => {
            if one.len() != other.len() {
                let (one, other) = (one.len(), other.len());
                differences.push(format!("{place}: expected {one} items, found {other}"));
            }
            for (index, (one, other)) in one.iter().zip(other).enumerate() {
                differ(&format!("{place}[{index}]"), Some(one), Some(other), differences);
            }
        }
        (one, other) if one == other => {}
        (one, other) => {
            let told = |it: Option<&Value>| it.map_or("nothing".to_owned(), Value::to_string);
            let (one, other) = (told(one), told(other));
            let same = one.chars().zip(other.chars()).take_while(|(one, other)| one == other);
            // Long values are shown from a little before they part.
            let skipped = same.count().saturating_sub(SHOWN_MAX / 2);
            let shown = |it: &str| it.chars().skip(skipped).take(SHOWN_MAX).collect::<String>();
            let (one, other) = (shown(&one), shown(&other));
            let at =
                if skipped > 0 { format!(" from character {skipped} on") } else { String::new() };
            differences.push(format!("{place}: expected{at} {one}, found {other}"));
        }
    }
}

fn json_of(path: &Path) -> Value {
    let bytes = read_file(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The files of a folder that end so, by name.
fn files(folder: &Path, end: &str) -> Vec<PathBuf> {
    let entries = folder.read_dir().unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let paths = entries.map(|entry| entry.expect("a readable folder").path());
    let mut files: Vec<_> = paths.filter(|path| path.to_string_lossy().ends_with(end)).collect();
    files.sort();
    files
}

fn name(path: &Path) -> String {
    path.file_name().expect("a name").to_string_lossy().into_owned()
}

/// A number in hexadecimal or decimal digits, or as a number.
fn wide(value: &Value) -> U256 {
    match value {
        Value::Null => U256::ZERO,
        Value::String(text) => text.parse().unwrap_or_else(|error| panic!("{text}: {error}")),
        other => U256::from(other.as_u64().unwrap_or_else(|| panic!("{other}"))),
    }
}

fn number(value: &Value) -> u64 {
    wide(value).to()
}

fn of<T: std::str::FromStr<Err: std::fmt::Debug>>(value: &Value) -> T {
    let text = value.as_str().unwrap_or_else(|| panic!("no text: {value}"));
    text.parse().unwrap_or_else(|error| panic!("{text}: {error:?}"))
}

/// The state of a genesis file.
fn state(alloc: &Value) -> MemoryState {
    let mut state = MemoryState::default();
    for (address, entry) in alloc.as_object().expect("accounts") {
        let address: Address = address.parse().expect("an address");
        let code: Bytes = entry.get("code").map(of).unwrap_or_default();
        let code_hash = if code.is_empty() { KECCAK256_EMPTY } else { keccak256(&code) };
        let (nonce, balance) = (number(&entry["nonce"]), wide(&entry["balance"]));
        let slots = entry.get("storage").and_then(Value::as_object).into_iter().flatten();
        let slots = slots.map(|(slot, value)| {
            (slot.parse::<B256>().expect("a slot").into(), of::<B256>(value).into())
        });
        let slots = slots.filter(|(_, value): &(U256, U256)| !value.is_zero()).collect();
        let account = Account { nonce, balance, code_hash };
        state.accounts.insert(address, MemoryAccount { account, slots });
        state.codes.insert(code_hash, code);
    }
    state
}

/// The options that ask for this tracer.
fn tracer(name: &str, config: &Value) -> GethTracer {
    let options = json!({ "tracer": name, "tracerConfig": config });
    let options: GethDebugTracingOptions = serde_json::from_value(options).expect("options");
    GethTracer::new(options).expect("a tracer")
}

/// A trace as JSON, or why there is none.
fn trace(
    tracer: &GethTracer,
    (rules, header): (&Rules, &Header),
    codes: &CodeCache,
    view: &dyn StateView,
    tx: &PreparedTx,
    origin: TraceOrigin,
) -> Result<Value, String> {
    let place = Place { rules, header, codes, view, assumed: &Assumed::default() };
    let budget = TraceBudget::new(BYTES_MAX, || false);
    let traced = tracer.trace(&place, TraceSubject::Tx(tx), origin, &budget);
    let trace = traced.map_err(|error| error.to_string())?.trace;
    serde_json::to_value(trace).map_err(|error| error.to_string())
}

/// The configuration of a file as it holds for one block. Geth asks each fork for itself whether it
/// has begun, so in some files a later one begins before an earlier one; and it does not mind the
/// case of letters.
fn config_at(config: &Value, block: u64) -> Value {
    let mut config = config.clone();
    let fields = config.as_object_mut().expect("a configuration");
    for (mut name, value) in std::mem::take(fields) {
        name[..1].make_ascii_lowercase();
        let has_begun =
            name.ends_with("Block") && value.as_u64().is_some_and(|begin| begin <= block);
        fields.insert(name, if has_begun { json!(0) } else { value });
    }
    config
}

/// One of geth's files: what its tracer is to give, and what is given.
fn of_geth(file: &Value, tracer_name: &str) -> Result<Value, String> {
    let (genesis, context) = (&file["genesis"], &file["context"]);
    let config = config_at(&genesis["config"], number(&context["number"]));
    // One file has Cancun, and no gas of blobs.
    let has_blobs = config["cancunTime"].is_u64();
    let config: ChainConfig = serde_json::from_value(config).map_err(|error| error.to_string())?;
    let chain = ChainSpec::try_from(&config).map_err(|error| error.to_string())?;
    let optional = |value: &Value| (!value.is_null()).then(|| number(value));
    let header = Header {
        number: number(&context["number"]),
        timestamp: number(&context["timestamp"]),
        difficulty: wide(&context["difficulty"]),
        gas_limit: number(&context["gasLimit"]),
        beneficiary: of(&context["miner"]),
        base_fee_per_gas: optional(&context["baseFeePerGas"]),
        mix_hash: of(&genesis["mixHash"]),
        excess_blob_gas: optional(&genesis["excessBlobGas"]).or(has_blobs.then_some(0)),
        ..Header::default()
    };
    let rules = chain.rules(&header);
    let input: Bytes = of(&file["input"]);
    let tx = Transaction::decode_2718_exact(&input).map_err(|error| error.to_string())?;
    let sender = tx.recover_signer_unchecked().map_err(|error| error.to_string())?;
    let tx = PreparedTx::new(&tx, sender).map_err(|error| error.to_string())?;
    let tracer = tracer(tracer_name, &file["tracerConfig"]);
    let (codes, state, origin) = (CodeCache::new(), state(&genesis["alloc"]), origin_of(file));
    trace(&tracer, (&rules, &header), &codes, &state, &tx, origin)
}

/// Where a flat trace says that its transaction is: its first call may.
fn origin_of(file: &Value) -> TraceOrigin {
    let first = &file["result"][0];
    let hash = |name: &str| (!first[name].is_null()).then(|| of(&first[name]));
    let (block_hash, tx_hash) = (hash("blockHash"), hash("transactionHash"));
    let tx_index = first["transactionPosition"].as_u64().map(|index| index as usize);
    TraceOrigin { block_hash, tx_hash, tx_index }
}

/// What geth prints where its own tests are content with the trace of a file.
fn as_printed(file: &Value, tracer_name: &str) -> Value {
    let mut trace = file["result"].clone();
    match tracer_name {
        "flatCallTracer" => {
            let (first, number) = (trace[0].clone(), number(&file["context"]["number"]));
            let calls = trace.as_array_mut().expect("a list").iter_mut();
            calls.for_each(|call| print_flat(call, &first, number));
        }
        "callTracerLegacy" => print_legacy(&mut trace),
        _ => number_logs(&mut trace),
    }
    trace
}

/// Where the transaction is stands in the first call of a file, if anywhere. A part without fields
/// is none, and calls have an input and an output also where these are empty.
fn print_flat(call: &mut Value, first: &Value, number: u64) {
    let is_call = call["type"] == "call";
    call["blockHash"] = first["blockHash"].clone();
    call["blockNumber"] = number.into();
    call["transactionHash"] = first["transactionHash"].clone();
    call["transactionPosition"] = first["transactionPosition"].as_u64().unwrap_or(0).into();
    let fields = call.as_object_mut().expect("a call");
    let is_none = |result: &Value| result.as_object().is_none_or(serde_json::Map::is_empty);
    if fields.get("result").is_some_and(is_none) {
        fields.remove("result");
    }
    if !is_call {
        return;
    }
    for (part, bytes) in [("action", "input"), ("result", "output")] {
        if let Some(part) = fields.get_mut(part).and_then(Value::as_object_mut) {
            part.retain(|name, value| !(OF_OTHERS.contains(&name.as_str()) && is_zero(value)));
            part.entry(bytes).or_insert_with(|| json!("0x"));
        }
    }
}

/// The script gives every call that succeeds an output, and a destruction has no input; the files
/// went through a type for which it is the other way round.
fn print_legacy(call: &mut Value) {
    let fields = call.as_object_mut().expect("a call");
    if fields["type"] == "SELFDESTRUCT" {
        fields.remove("input");
    } else if !fields.contains_key("error") {
        fields.entry("output").or_insert_with(|| json!("0x"));
    }
    let calls = fields.get_mut("calls").and_then(Value::as_array_mut);
    calls.into_iter().flatten().for_each(print_legacy);
}

fn is_zero(value: &Value) -> bool {
    let digits = value.as_str().and_then(|text| text.strip_prefix("0x"));
    digits.is_some_and(|digits| digits.bytes().all(|digit| digit == b'0'))
}

/// The logs of older files have no number; there is one of them.
fn number_logs(call: &mut Value) {
    let logs = call.get_mut("logs").and_then(Value::as_array_mut);
    for log in logs.into_iter().flatten().filter_map(Value::as_object_mut) {
        log.entry("index").or_insert_with(|| json!("0x0"));
    }
    let calls = call.get_mut("calls").and_then(Value::as_array_mut);
    calls.into_iter().flatten().for_each(number_logs);
}

#[test]
fn tracers_give_what_those_of_geth_give() {
    let Some(folder) = recorded("traces/geth-tracetest") else { return };
    let listed = listed();
    let mut report = Report::default();
    let mut cases = 0;
    for (part, tracer) in GETH {
        for path in files(&folder.join(part), ".json") {
            let name = format!("traces/geth-tracetest/{part}/{}", name(&path));
            let file = json_of(&path);
            cases += 1;
            match of_geth(&file, tracer) {
                Ok(found) => {
                    report.compare(&listed, &name, &as_printed(&file, tracer), &found);
                }
                Err(reason) => report.add(&listed, &name, vec![format!("no trace: {reason}")]),
            }
        }
    }
    assert_eq!(cases, 97, "files");
    report.check(cases);
}

/// The traces of a block's transactions.
fn of_block(
    tracer: &GethTracer,
    block: PreparedBlock,
    rules: &Rules,
    view: &dyn StateView,
) -> Vec<Result<Value, String>> {
    let codes = CodeCache::new();
    let replay = Replay::run(block.into_block(), rules, view, &codes, usize::MAX);
    let replay = replay.unwrap_or_else(|error| panic!("{error}"));
    let header = &replay.block().block().header;
    let one = |(index, tx)| {
        let before = replay.before(index, view);
        trace(tracer, (rules, header), &codes, &before, tx, TraceOrigin::default())
    };
    replay.txs().iter().enumerate().map(one).collect()
}

/// A trace of accounts as newer nodes tell of them than the one that was asked, and as the files of
/// geth have it: without those that were empty, and with the hash of each code.
fn as_told_since(mut trace: Value) -> Value {
    if trace.get("type").is_some() {
        return trace;
    }
    let is_diff = trace.get("pre").is_some();
    let parts: Vec<(&str, &mut Value)> = if is_diff {
        let parts = trace.as_object_mut().expect("two parts").iter_mut();
        parts.map(|(name, part)| (name.as_str(), part)).collect()
    } else {
        vec![("pre", &mut trace)]
    };
    for (name, part) in parts {
        let accounts = part.as_object_mut().expect("accounts");
        accounts.retain(|_, account| name == "post" || *account != json!({ "balance": "0x0" }));
        for account in accounts.values_mut() {
            if let Some(code) = account.get("code") {
                account["codeHash"] = json!(keccak256(of::<Bytes>(code)));
            }
        }
    }
    trace
}

#[test]
fn tracers_give_what_a_node_of_mainnet_gave() {
    let (Some(traces), Some(blocks)) =
        (recorded("traces/block-traces"), recorded("mainnet-blocks/blocks"))
    else {
        return;
    };
    let listed = listed();
    let mut report = Report::default();
    let mut cases = 0;
    let executor = Executor::new(1).expect("a thread");
    // Of the other block the state before it is not there.
    let number = "22244135";
    let bundle = BundleReader::new().read(&blocks.join(format!("{number}.json.zst")));
    let bundle = bundle.expect("a good bundle");
    for (file, name, config) in [
        ("calltrace", "callTracer", json!({})),
        ("prestatetrace", "prestateTracer", json!({})),
        ("difftrace", "prestateTracer", json!({ "diffMode": true })),
    ] {
        let Case { block, rules, view } = Case::new(&bundle, &executor);
        let answer = json_of(&traces.join(format!("{number}/{file}.json.zst")));
        let expected = answer["result"].as_array().expect("traces");
        let found = of_block(&tracer(name, &config), block, &rules, &view);
        assert_eq!(found.len(), expected.len());
        for (index, (expected, found)) in expected.iter().zip(found).enumerate() {
            let name = format!("traces/block-traces/{number}/{file}::{index}");
            cases += 1;
            match found {
                Ok(found) => {
                    let expected = as_told_since(expected["result"].clone());
                    report.compare(&listed, &name, &expected, &found);
                }
                Err(reason) => report.add(&listed, &name, vec![format!("no trace: {reason}")]),
            }
        }
    }
    report.check(cases);
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

/// A word in 64 digits, of which Nimbus writes some in capitals.
fn padded(word: &Value) -> Value {
    let text = text(word).to_ascii_lowercase();
    format!("{:0>64}", text.strip_prefix("0x").unwrap_or(&text)).into()
}

/// A trace of steps with words as Nimbus writes them, and without what it does not have: what a
/// step costs that fails, and the name that an instruction has since EIP-1803.
fn plain(trace: &Value) -> Value {
    let words = |words: &Value| -> Value {
        words.as_array().into_iter().flatten().map(padded).collect::<Vec<_>>().into()
    };
    let step = |step: &Value| {
        let cost = if step["error"].is_null() { &step["gasCost"] } else { &Value::Null };
        let op = if step["op"] == "SHA3" { "KECCAK256" } else { text(&step["op"]) };
        json!({
            "pc": step["pc"], "op": op, "depth": step["depth"], "gas": step["gas"],
            "gasCost": cost, "stack": words(&step["stack"]), "memory": words(&step["memory"]),
            "fails": !step["error"].is_null(),
        })
    };
    let steps = trace["structLogs"].as_array().expect("steps");
    let output = trace["returnValue"].as_str().unwrap_or_default();
    json!({
        "gas": trace["gas"], "failed": trace["failed"],
        "returnValue": output.strip_prefix("0x").unwrap_or(output),
        "structLogs": steps.iter().map(step).collect::<Vec<_>>(),
    })
}

#[test]
fn steps_are_those_of_nimbus() {
    let (Some(traces), Some(blocks)) =
        (recorded("traces/nimbus-structlogs"), recorded("witness-blocks/blocks"))
    else {
        return;
    };
    let listed = listed();
    let mut report = Report::default();
    let mut cases = 0;
    let executor = Executor::new(1).expect("a thread");
    let options = json!({ "enableMemory": true });
    let options = serde_json::from_value(options).expect("options");
    let tracer = GethTracer::new(options).expect("a tracer");
    let files = files(&traces, ".json.zst");
    assert_eq!(files.len(), 8);
    for path in files {
        let name = name(&path);
        let number = name.trim_start_matches("block");
        let record = BundleReader::new().read_record(&blocks.join(number));
        let Record::Witness(bundle) = record.expect("a good bundle") else {
            panic!("{number} is no witness")
        };
        let chain = ChainSpec::by_chain_id(bundle.chain_id).expect("mainnet");
        let rules = chain.rules(&bundle.block.block().header);
        let witness = Witness::new(bundle.nodes.iter().cloned(), Sibling::Needed);
        let hashes = bundle.block_hashes.iter().map(|(number, hash)| (*number, *hash)).collect();
        let view = WitnessState::new(&witness, bundle.pre_state_root, &bundle.codes, &hashes);
        let checked = bundle.block.clone().check(|_| Ok::<_, Infallible>(()));
        let block = executor.prepare(checked.expect("nothing is judged"), &rules);
        let found = of_block(&tracer, block.expect("good signatures"), &rules, &view);
        let answer = json_of(&path);
        let expected = answer["txTraces"].as_array().expect("traces");
        assert_eq!(found.len(), expected.len(), "{name}");
        for (index, (expected, found)) in expected.iter().zip(found).enumerate() {
            let name = format!("traces/nimbus-structlogs/{name}::{index}");
            cases += 1;
            match found {
                Ok(found) => report.compare(&listed, &name, &plain(expected), &plain(&found)),
                Err(reason) => report.add(&listed, &name, vec![format!("no trace: {reason}")]),
            }
        }
    }
    report.check(cases);
}

#[test]
fn differences_are_told_by_their_place() {
    let told = |expected: Value, found: Value| {
        let mut differences = Vec::new();
        differ("", Some(&expected), Some(&found), &mut differences);
        differences
    };
    let expected = json!({ "a": "0xab", "b": null, "c": [1, { "d": 2 }] });
    let ordered_anew = json!({ "c": [1, { "d": 2 }], "b": null, "a": "0xab" });
    assert!(told(expected.clone(), ordered_anew).is_empty());
    let found = json!({ "a": "0xAB", "c": [1, { "d": 3, "e": null }, 4] });
    let differences = [
        r#".a: expected "0xab", found "0xAB""#,
        ".b: expected null, found nothing",
        ".c: expected 2 items, found 3",
        ".c[1].d: expected 2, found 3",
        ".c[1].e: expected nothing, found null",
    ];
    assert_eq!(told(expected, found), differences);
    // What long values share is not shown.
    let long = |last: &str| json!(format!("{}{last}", "0".repeat(10 * SHOWN_MAX)));
    let differences = told(long("1"), long("2"));
    assert!(differences[0].contains("01\", found 0") && differences[0].ends_with("02\""));
    assert!(differences[0].len() < 3 * SHOWN_MAX, "{differences:?}");
}

#[test]
fn a_listed_case_must_differ() {
    let entry = |fixture: &str| Listed { fixture: fixture.to_owned(), reason: "so".to_owned() };
    let wrong = |listed: &[Listed], found: Value| {
        let mut report = Report::default();
        report.compare(listed, "traces/x.json", &json!(1), &found);
        report.wrong
    };
    let listed = [entry("traces/x")];
    assert_eq!(wrong(&[], json!(1)), "");
    assert_eq!(wrong(&listed, json!(2)), "");
    assert!(wrong(&listed, json!(1)).contains("passes"));
    assert!(wrong(&[], json!(2)).contains("expected 1, found 2"));
}
