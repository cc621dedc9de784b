//! The exchanges of the JSON-RPC specification's tests, against the program: a chain is imported,
//! the Engine API is told its head, and each request is sent as it stands, in the order of the
//! files.
//!
//! An answer has to be the recorded one as JSON, but for the message of an error. Of an exchange
//! that is marked `speconly:`, only the form counts: that of the OpenRPC document where there is
//! one that has the method, else that of the example. Every result has to fit what the document
//! says of its method.
//!
//! A case that cannot pass stands in `etc/expected-failures.toml` as
//! `rpc-compat/<method>/<case>`; it has to fail.

use crate::{
    import_support::{Datadir, text},
    node_support::Running,
    openrpc::{OpenRpc, shown},
    rules_support::SECRET,
    support::{files, recorded, root},
};
use serde_json::{Value, json};
use std::path::Path;

/// Every group of methods that an exchange may ask.
const APIS: &str = "debug,eth,net,testing,txpool,web3";
/// Differences of one exchange that are told.
const DIFFERENCES_SHOWN_MAX: usize = 8;

/// One file: requests with the answers that are expected.
#[derive(Debug)]
struct Case {
    /// `rpc-compat/<method>/<case>`.
    name: String,
    /// The answers are examples of a form.
    is_speconly: bool,
    exchanges: Vec<Exchange>,
}

#[derive(Debug)]
struct Exchange {
    /// As it is sent.
    request: String,
    method: String,
    expected: Value,
}

impl Case {
    /// Reads lines of `// comment`, `>> request` and `<< answer`.
    ///
    /// # Errors
    /// What is wrong with them.
    fn new(name: String, text: &str) -> Result<Self, String> {
        let mut case = Self { name, is_speconly: false, exchanges: Vec::new() };
        let mut request = None;
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            if let Some(comment) = line.strip_prefix("//") {
                let is_before = case.exchanges.is_empty() && request.is_none();
                case.is_speconly |= is_before && comment.trim_start().starts_with("speconly:");
            } else if let Some(sent) = line.strip_prefix(">>") {
                if request.replace(sent.trim()).is_some() {
                    return Err("a request without an answer".to_owned());
                }
            } else if let Some(answer) = line.strip_prefix("<<") {
                let request = request.take().ok_or("an answer without a request")?;
                let [sent, expected] = [request, answer].map(serde_json::from_str::<Value>);
                let sent = sent.map_err(|error| format!("{error}: {request}"))?;
                let expected = expected.map_err(|error| format!("{error}: {answer}"))?;
                let method = sent["method"].as_str().unwrap_or_default().to_owned();
                case.exchanges.push(Exchange { request: request.to_owned(), method, expected });
            } else {
                return Err(format!("neither comment, request nor answer: {line}"));
            }
        }
        match (request, case.exchanges.is_empty()) {
            (None, false) => Ok(case),
            (None, true) => Err("no exchange".to_owned()),
            (Some(_), _) => Err("the last request has no answer".to_owned()),
        }
    }
}

impl Exchange {
    /// What is wrong with an answer.
    fn faults(&self, answer: &str, is_speconly: bool, document: Option<&OpenRpc>) -> Vec<String> {
        let found: Value = match serde_json::from_str(answer) {
            Ok(found) => found,
            Err(error) => return vec![format!("the answer is not JSON: {error}: {answer:.200}")],
        };
        let Self { method, expected, .. } = self;
        let (error, result) = (found.get("error"), found.get("result"));
        let mut faults = Vec::new();
        match (error, result) {
            (Some(error), _) if expected.get("error").is_none() => {
                return vec![format!("an error: {}", shown(error))];
            }
            (None, None) => return vec!["neither result nor error".to_owned()],
            (None, Some(result)) if is_speconly => match document {
                Some(document) if document.has(method) => return document.faults(method, result),
                _ => compare_forms(&found, expected, "$", &mut faults),
            },
            _ => compare(&found, expected, "$", &mut faults),
        }
        if let (Some(document), Some(result)) = (document, result)
            && document.has(method)
        {
            faults.extend(document.faults(method, result));
        }
        faults
    }
}

/// Tells where two values differ. Numbers are equal as numbers, and the message of an error that
/// both have is not compared.
fn compare(found: &Value, expected: &Value, path: &str, faults: &mut Vec<String>) {
    match (found, expected) {
        (Value::Object(found), Value::Object(expected)) => {
            let is_error = path.ends_with(".error");
            for (name, value) in expected {
                match found.get(name) {
                    Some(_) if is_error && name == "message" => {}
                    Some(found) => compare(found, value, &format!("{path}.{name}"), faults),
                    None => faults.push(format!("{path}.{name}: missing, not {}", shown(value))),
                }
            }
            let more = found.iter().filter(|(name, _)| !expected.contains_key(*name));
            faults.extend(
                more.map(|(name, value)| format!("{path}.{name}: {} is too much", shown(value))),
            );
        }
        (Value::Array(found), Value::Array(expected)) => {
            for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
                compare(found, expected, &format!("{path}[{index}]"), faults);
            }
            if found.len() != expected.len() {
                let (found, expected) = (found.len(), expected.len());
                faults.push(format!("{path}: {found} elements, not {expected}"));
            }
        }
        (Value::Number(one), Value::Number(other)) => {
            let is_mixed = one.is_f64() != other.is_f64();
            if one != other && !(is_mixed && one.as_f64() == other.as_f64()) {
                faults.push(format!("{path}: {one}, not {other}"));
            }
        }
        _ if found == expected => {}
        _ => faults.push(format!("{path}: {}, not {}", shown(found), shown(expected))),
    }
}

/// Tells where the form of a value is not that of an example: every member of it has to be there,
/// of the same kind, and every element like the one in its place, or the last.
fn compare_forms(found: &Value, example: &Value, path: &str, faults: &mut Vec<String>) {
    match (found, example) {
        (Value::Object(found), Value::Object(example)) => {
            for (name, value) in example {
                match found.get(name) {
                    Some(found) => compare_forms(found, value, &format!("{path}.{name}"), faults),
                    None => faults.push(format!("{path}.{name}: missing")),
                }
            }
        }
        (Value::Array(found), Value::Array(example)) => {
            let Some(last) = example.last() else { return };
            for (index, found) in found.iter().enumerate() {
                let example = example.get(index).unwrap_or(last);
                compare_forms(found, example, &format!("{path}[{index}]"), faults);
            }
        }
        _ if kind(found) == kind(example) => {}
        _ => faults.push(format!("{path}: {}, not {}", kind(found), kind(example))),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// Parts of the names of cases that have to fail.
fn expected_failures() -> Vec<String> {
    let list = std::fs::read_to_string(root().join("etc/expected-failures.toml"));
    let list: Value = toml::from_str(&list.expect("the list is there")).expect("TOML");
    let failures = list["failure"].as_array().expect("failures").iter();
    let names = failures.filter_map(|failure| failure["fixture"].as_str());
    names.filter(|name| name.starts_with("rpc-compat/")).map(str::to_owned).collect()
}

/// Every case in a folder; those that cannot be read are faults.
fn cases(folder: &Path, faults: &mut Vec<String>) -> Vec<Case> {
    let mut cases = Vec::new();
    for path in files(folder) {
        let inner = path.strip_prefix(folder).expect("it lies in the folder");
        let Some(name) = inner.to_str().and_then(|name| name.strip_suffix(".io")) else { continue };
        let name = format!("rpc-compat/{name}");
        let text = std::fs::read_to_string(&path).expect("a readable file");
        match Case::new(name.clone(), &text) {
            Ok(case) => cases.push(case),
            Err(fault) => faults.push(format!("{name}: {fault}")),
        }
    }
    cases
}

/// A node over the chain of a folder, whose head it has been told.
fn node(folder: &Path, site: &Path) -> Running {
    let genesis = text(&folder.join("genesis.json")).to_owned();
    let datadir = Datadir { path: site.join("data"), chain: genesis };
    datadir.run(&["init"], &["--chain", &datadir.chain]).ends(0);
    datadir.import(&[], &[&folder.join("chain.rlp")]).ends(0);
    let secret = site.join("jwt.hex");
    let digits: String = SECRET.iter().map(|byte| format!("{byte:02x}")).collect();
    std::fs::write(&secret, digits).expect("a written file");
    let node = Running::start(&[
        // More than the chain has: nothing is pruned, and it is told how long all is kept.
        "--retention",
        "minimal:2350000",
        "--datadir",
        text(&datadir.path),
        "--authrpc.jwtsecret",
        text(&secret),
        "--http",
        "--http.port",
        "0",
        "--http.api",
        APIS,
    ]);
    let forkchoice = std::fs::read_to_string(folder.join("headfcu.json")).expect("headfcu.json");
    let engine = node.engine();
    let answer = engine.post_over(&mut engine.connect(), &forkchoice).result();
    let updated = answer.unwrap_or_else(|error| panic!("headfcu.json: {error:?}"));
    assert_eq!(updated["payloadStatus"]["status"], "VALID", "{updated}");
    node
}

#[test]
fn exchanges_of_the_specification_are_as_recorded() {
    let Some(folder) = recorded("rpc-compat") else { return };
    let document = OpenRpc::recorded();
    let (mut faults, failures) = (Vec::new(), expected_failures());
    let cases = cases(&folder.join("tests"), &mut faults);
    assert!(!cases.is_empty(), "{}: no cases", folder.display());
    let site = tempfile::tempdir().expect("a folder");
    let node = node(&folder, site.path());
    let public = node.public();
    let mut connection = public.connect();
    for case in &cases {
        let mut told = Vec::new();
        for exchange in &case.exchanges {
            let answer = public.post_over(&mut connection, &exchange.request).body;
            told.extend(exchange.faults(&answer, case.is_speconly, document.as_ref()));
        }
        let is_expected = failures.iter().any(|part| case.name.contains(part));
        if is_expected == told.is_empty() {
            if is_expected {
                told.push("passes, though etc/expected-failures.toml has it".to_owned());
            }
            let more = told.len().saturating_sub(DIFFERENCES_SHOWN_MAX);
            told.truncate(DIFFERENCES_SHOWN_MAX);
            if more > 0 {
                told.push(format!("and {more} more"));
            }
            faults.push(format!("{}:\n    {}", case.name, told.join("\n    ")));
        }
    }
    drop(connection);
    node.stop();
    let count = cases.len();
    assert!(faults.is_empty(), "{} of {count} cases:\n{}", faults.len(), faults.join("\n"));
    eprintln!("{count} cases, {} of them expected to fail", failures.len());
}

fn faults_of(compare: fn(&Value, &Value, &str, &mut Vec<String>), pair: [&Value; 2]) -> usize {
    let mut faults = Vec::new();
    compare(pair[0], pair[1], "$", &mut faults);
    faults.len()
}

#[test]
fn answers_are_compared_as_json() {
    let expected = json!({ "id": 1, "result": { "a": 1, "b": [1, null] } });
    let swapped = r#"{ "result": { "b": [1.0, null], "a": 1e0 }, "id": 1 }"#;
    let swapped: Value = serde_json::from_str(swapped).expect("JSON");
    assert_eq!(faults_of(compare, [&swapped, &expected]), 0);
    for (result, faults) in [
        (json!({ "a": 1 }), 1),
        (json!({ "a": 1, "b": [null, 1] }), 2),
        (json!({ "a": 1, "b": [1] }), 1),
        (json!({ "a": 1, "b": [1, null], "c": 0 }), 1),
        (json!({ "a": "1", "b": [1, null] }), 1),
        (json!({ "a": true, "b": [1, null] }), 1),
        (json!(null), 1),
    ] {
        let found = json!({ "id": 1, "result": result });
        assert_eq!(faults_of(compare, [&found, &expected]), faults, "{found}");
    }
}

#[test]
fn the_message_of_an_error_is_not_compared_at_any_depth() {
    let error = |code: i64, message: &str| json!({ "code": code, "message": message });
    let wraps: [fn(Value) -> Value; 2] = [
        |error| json!({ "error": error }),
        |error| json!({ "result": [{ "calls": [{ "error": error }] }] }),
    ];
    for wrap in wraps {
        let expected = wrap(error(3, "a"));
        assert_eq!(faults_of(compare, [&wrap(error(3, "b")), &expected]), 0);
        assert_eq!(faults_of(compare, [&wrap(error(4, "a")), &expected]), 1);
        assert_eq!(faults_of(compare, [&wrap(json!({ "code": 3 })), &expected]), 1);
        let more = json!({ "code": 3, "message": "a", "data": "0x" });
        assert_eq!(faults_of(compare, [&wrap(more), &expected]), 1);
    }
    let [one, other] = ["a", "b"].map(|message| json!({ "message": message }));
    assert_eq!(faults_of(compare, [&one, &other]), 1, "it is no error's");
}

#[test]
fn an_example_tells_a_form() {
    let example = json!({ "a": "0x1", "l": [{ "n": 1 }] });
    for (found, faults) in [
        (json!({ "a": "0x2", "l": [{ "n": 5 }, { "n": 6 }], "more": 1 }), 0),
        (json!({ "a": "", "l": [] }), 0),
        (json!({ "a": 2, "l": [] }), 1),
        (json!({ "a": "", "l": [{ "n": 5 }, {}] }), 1),
        (json!({ "l": null }), 2),
    ] {
        assert_eq!(faults_of(compare_forms, [&found, &example]), faults, "{found}");
    }
}

#[test]
fn an_exchange_is_judged_by_what_it_is_marked_as() {
    let schema = json!({ "type": "string", "pattern": "^0x" });
    let document = json!({ "methods": [{ "name": "m", "result": { "schema": schema } }] });
    let document = OpenRpc::new(document);
    let lines =
        "// speconly: a form\n>> {\"id\":1,\"method\":\"m\"}\n<< {\"id\":1,\"result\":\"0x1\"}";
    let case = Case::new("rpc-compat/m/case".to_owned(), lines).expect("a case");
    assert!(case.is_speconly);
    let exchange = &case.exchanges[0];
    let faults = |answer: &str, is_speconly, has_document: bool| {
        exchange.faults(answer, is_speconly, has_document.then_some(&document)).len()
    };
    let other = r#"{ "id": 1, "result": "0x2" }"#;
    assert_eq!([faults(other, true, true), faults(other, true, false)], [0, 0]);
    assert_eq!([faults(other, false, true), faults(other, false, false)], [1, 1]);
    let misfit = r#"{ "id": 1, "result": "2" }"#;
    assert_eq!([faults(misfit, true, true), faults(misfit, true, false)], [1, 0]);
    assert_eq!(faults(misfit, false, true), 2, "another value, and of another form");
    let lines = lines.replace("\"m\"", "\"n\"");
    let case = Case::new("rpc-compat/n/case".to_owned(), &lines).expect("a case");
    let by_example = |answer: &str| case.exchanges[0].faults(answer, true, Some(&document)).len();
    let other_kind = r#"{ "id": 1, "result": 2 }"#;
    assert_eq!([by_example(misfit), by_example(other_kind)], [0, 1], "the document lacks it");
    for wrong in [r#"{ "id": 1, "error": { "code": 1, "message": "m" } }"#, "{ \"id\": 1 }", "no"] {
        assert_eq!(faults(wrong, true, true), 1, "{wrong}");
    }
}

#[test]
fn a_file_of_exchanges_is_read_or_refused() {
    let read = |text: &str| Case::new("case".to_owned(), text);
    let two = ">> {\"id\":1}\n<< {\"id\":1}\n// speconly: too late\n>> {\"id\":2}\n<< {\"id\":2}\n";
    let case = read(two).expect("a case");
    assert_eq!((case.exchanges.len(), case.is_speconly), (2, false));
    assert_eq!(case.exchanges[1].request, "{\"id\":2}");
    for wrong in [
        "",
        "// nothing\n",
        ">> {\"id\":1}\n",
        "<< {\"id\":1}\n",
        ">> {}\n>> {}\n<< {}\n",
        ">> {\n<< {}\n",
        ">> {}\n<< }\n",
        "hello\n",
    ] {
        assert!(read(wrong).is_err(), "{wrong}");
    }
}
