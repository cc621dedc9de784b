//! The OpenRPC document of the JSON-RPC specification: whether a result fits the schema of its
//! method.
//!
//! The document is no part of the repository: `FUGUE_OPENRPC` names it, else it is what `make
//! openrpc` has made, which may be an older document with fewer methods, or `openrpc.json` in the
//! data folder. Where it is there, whoever asks a server in these tests has each result judged
//! whose method it has. Known are the keywords of JSON Schema 2019-09 that assert something; one
//! that is not known fails the test, since a schema that is not understood vouches for nothing.

use crate::support::{data, root};
use regex_automata::nfa::thompson::pikevm::PikeVM;
use serde_json::{Map, Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

/// Keywords that assert nothing by themselves: they describe, or stand beside one that asserts.
const SILENT: [&str; 20] = [
    "$comment",
    "$id",
    "$schema",
    "additionalItems",
    "default",
    "deprecated",
    "description",
    "else",
    "example",
    "examples",
    "externalDocs",
    "format",
    "name",
    "readOnly",
    "summary",
    "then",
    "title",
    "unevaluatedItems",
    "unevaluatedProperties",
    "writeOnly",
];
/// Longest value that is shown whole, in characters.
const SHOWN_MAX: usize = 160;

/// Where `make openrpc` puts the document, from the root of the repository.
const MADE: &str = "target/openrpc/openrpc.json";

/// The document, if there is one; it is read once.
fn document() -> Option<&'static OpenRpc> {
    static DOCUMENT: OnceLock<Option<OpenRpc>> = OnceLock::new();
    DOCUMENT.get_or_init(OpenRpc::recorded).as_ref()
}

/// A result is as the document says, where it is there and speaks of the method.
#[track_caller]
pub(crate) fn assert_fits(method: &str, result: &Value) {
    if let Some(document) = document() {
        document.assert_fits(method, result);
    }
}

/// The same of the answer to a request as they are sent, alone or several together. What is no
/// request, no answer to it, or an error, is none of this function's concern.
#[track_caller]
pub(crate) fn assert_answer(request: &str, answer: &str) {
    if let Some(document) = document() {
        document.assert_answer(request, answer);
    }
}

/// Why a result need not be what the schema of its method says.
fn excuse(method: &str, result: &Value) -> Option<&'static str> {
    let is_pending = |member: &str| result.get(member) == Some(&Value::Null);
    let first = result.get(0);
    match method {
        "debug_getRawBlock"
        | "debug_getRawBlockAccessList"
        | "debug_getRawHeader"
        | "debug_getRawReceipts"
        | "debug_getRawTransaction"
        | "eth_baseFee"
        | "eth_blobBaseFee"
            if result.is_null() =>
        {
            Some("null is what is not there; the schema does not speak of that")
        }
        "eth_getFilterChanges" | "eth_getFilterLogs" | "eth_getLogs"
            if result.as_array().is_some_and(Vec::is_empty) =>
        {
            Some("an empty list fits both of two schemas of which it has to fit one")
        }
        "eth_getFilterChanges" if first.is_some_and(|first| first.get("nonce").is_some()) => {
            Some("a filter may give whole transactions; the schema knows hashes and logs")
        }
        "eth_getBlockByNumber" if is_pending("hash") => {
            Some("what is pending has no hash; the schema does not speak of that")
        }
        "eth_getTransactionByHash" | "eth_getTransactionByBlockNumberAndIndex"
            if is_pending("blockHash") =>
        {
            Some("what is pending has no block; the schema does not speak of that")
        }
        "eth_fillTransaction" if result["tx"].get("blobs").is_some() => {
            Some("with its blobs it fits both of two schemas of which it has to fit one")
        }
        "eth_config" if result["current"]["blobSchedule"].is_null() => {
            Some("there are no blobs before Cancun; the schema does not speak of that")
        }
        "testing_buildBlockV1" if result["executionPayload"]["blobGasUsed"].is_null() => {
            Some("a payload from before Cancun; the schema is that of later ones")
        }
        _ => None,
    }
}

/// The document, with the schema of each method's result.
#[derive(Debug)]
pub(crate) struct OpenRpc {
    document: Value,
    results: BTreeMap<String, Value>,
}

/// What a schema says of a value.
#[derive(Debug, Default)]
struct Judgement {
    faults: Vec<String>,
    /// Members, or indexes of elements, that it has spoken of.
    seen: BTreeSet<String>,
}

impl Judgement {
    fn fault(&mut self, path: &str, what: &str) {
        self.faults.push(format!("{path}: {what}"));
    }

    /// Takes over what another schema says of the same value.
    fn add(&mut self, other: Self) {
        if other.faults.is_empty() {
            self.seen.extend(other.seen);
        }
        self.faults.extend(other.faults);
    }

    /// Takes over what a schema says of a part of the value.
    fn add_part(&mut self, name: String, part: Self) {
        self.faults.extend(part.faults);
        self.seen.insert(name);
    }
}

impl OpenRpc {
    /// The document, if there is one.
    ///
    /// # Panics
    /// If it is there and is none.
    pub(crate) fn recorded() -> Option<Self> {
        let named = std::env::var_os("FUGUE_OPENRPC").map(PathBuf::from);
        let unnamed = || {
            let made = root().join(MADE);
            if made.is_file() { made } else { data().join("openrpc.json") }
        };
        let path = named.clone().unwrap_or_else(unnamed);
        if named.is_none() && !path.is_file() {
            let path = path.display();
            eprintln!("not run: results against OpenRPC: no {path}: make openrpc");
            return None;
        }
        let document = Self::read(&path);
        eprintln!("results are judged by {}", document.origin());
        Some(document)
    }

    fn read(path: &Path) -> Self {
        let bytes = std::fs::read(path);
        let bytes = bytes.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let document = serde_json::from_slice(&bytes);
        Self::new(document.unwrap_or_else(|error| panic!("{}: {error}", path.display())))
    }

    /// # Panics
    /// If no method has a result.
    pub(crate) fn new(document: Value) -> Self {
        let methods = document["methods"].as_array().expect("an OpenRPC document has methods");
        let mut results = BTreeMap::new();
        for method in methods {
            let method = resolved(&document, method);
            let Some(result) = method.get("result") else { continue };
            let name = method["name"].as_str().expect("a method has a name");
            if let Some(schema) = resolved(&document, result).get("schema") {
                results.insert(name.to_owned(), schema.clone());
            }
        }
        assert!(!results.is_empty(), "no method of the OpenRPC document has a result");
        Self { document, results }
    }

    /// What it is, by its own words, and how many methods it has.
    fn origin(&self) -> String {
        let title = self.document["info"]["title"].as_str().unwrap_or("a document without a title");
        format!("{title}: {} methods", self.results.len())
    }

    /// Whether it says what the method gives.
    pub(crate) fn has(&self, method: &str) -> bool {
        self.results.contains_key(method)
    }

    /// Where a result does not fit the schema of its method. A method that the document does not
    /// have is a fault.
    pub(crate) fn faults(&self, method: &str, result: &Value) -> Vec<String> {
        match self.results.get(method) {
            Some(schema) => self.judge(schema, result, "$.result").faults,
            None => vec![format!("the OpenRPC document does not say what {method} gives")],
        }
    }

    #[track_caller]
    fn assert_fits(&self, method: &str, result: &Value) {
        if !self.has(method) || excuse(method, result).is_some() {
            return;
        }
        let faults = self.faults(method, result);
        let told = || format!("does not fit {}:\n{}", self.origin(), faults.join("\n"));
        assert!(faults.is_empty(), "{method} {}", told());
    }

    #[track_caller]
    fn assert_answer(&self, request: &str, answer: &str) {
        let parsed = |text: &str| match serde_json::from_str(text) {
            Ok(Value::Array(several)) => several,
            Ok(one) => vec![one],
            Err(_) => Vec::new(),
        };
        let answers = parsed(answer);
        for request in parsed(request) {
            let answer = answers.iter().find(|answer| answer.get("id") == request.get("id"));
            let result = answer.and_then(|answer| answer.get("result"));
            if let (Some(method), Some(result)) = (request["method"].as_str(), result) {
                self.assert_fits(method, result);
            }
        }
    }

    fn judge(&self, schema: &Value, value: &Value, path: &str) -> Judgement {
        let mut found = Judgement::default();
        if *schema == Value::Bool(false) {
            found.fault(path, "not allowed");
        }
        if schema.is_boolean() {
            return found;
        }
        let members = schema.as_object();
        let members = members.unwrap_or_else(|| panic!("{path}: no schema: {schema}"));
        for (keyword, argument) in members {
            let is_known = SILENT.contains(&keyword.as_str())
                || keyword.starts_with("x-")
                || self.combined(keyword, argument, members, (value, path), &mut found)
                || scalar(keyword, argument, value, path, &mut found)
                || self.of_array(keyword, argument, members, (value, path), &mut found)
                || self.of_object(keyword, argument, members, (value, path), &mut found);
            assert!(is_known, "{path}: schema keyword {keyword:?} is not known to this test");
        }
        let rest = members.get("unevaluatedProperties").zip(value.as_object());
        if let Some((schema, object)) = rest {
            for (name, part) in object {
                if !found.seen.contains(name) {
                    found.add_part(name.clone(), self.member(schema, part, path, name));
                }
            }
        }
        let rest = members.get("unevaluatedItems").zip(value.as_array());
        if let Some((schema, array)) = rest {
            for (index, part) in array.iter().enumerate() {
                if !found.seen.contains(&index.to_string()) {
                    found.add_part(index.to_string(), self.element(schema, part, path, index));
                }
            }
        }
        found
    }

    fn member(&self, schema: &Value, value: &Value, path: &str, name: &str) -> Judgement {
        self.judge(schema, value, &format!("{path}.{name}"))
    }

    fn element(&self, schema: &Value, value: &Value, path: &str, index: usize) -> Judgement {
        self.judge(schema, value, &format!("{path}[{index}]"))
    }

    /// Keywords that judge the value by other schemas. Whether this is one.
    fn combined(
        &self,
        keyword: &str,
        argument: &Value,
        members: &Map<String, Value>,
        (value, path): (&Value, &str),
        found: &mut Judgement,
    ) -> bool {
        match keyword {
            "$ref" => found.add(self.judge(lookup(&self.document, argument), value, path)),
            "allOf" => {
                for schema in list(argument) {
                    found.add(self.judge(schema, value, path));
                }
            }
            "anyOf" | "oneOf" => {
                let tried = list(argument).iter().map(|schema| self.judge(schema, value, path));
                let (fits, misfits): (Vec<_>, Vec<_>) =
                    tried.partition(|judgement| judgement.faults.is_empty());
                if fits.is_empty() {
                    let nearest = misfits.iter().min_by_key(|judgement| judgement.faults.len());
                    let nearest = nearest.map(|judgement| judgement.faults.join("; "));
                    let nearest = nearest.unwrap_or_default();
                    found.fault(path, &format!("fits nothing of {keyword}; nearest: {nearest}"));
                } else if keyword == "oneOf" && fits.len() > 1 {
                    found.fault(path, &format!("fits {} alternatives of oneOf", fits.len()));
                }
                fits.into_iter().for_each(|judgement| found.add(judgement));
            }
            "not" => {
                if self.judge(argument, value, path).faults.is_empty() {
                    found.fault(path, "fits a schema that is ruled out");
                }
            }
            "if" => {
                let condition = self.judge(argument, value, path);
                let is_met = condition.faults.is_empty();
                if is_met {
                    found.add(condition);
                }
                if let Some(schema) = members.get(if is_met { "then" } else { "else" }) {
                    found.add(self.judge(schema, value, path));
                }
            }
            _ => return false,
        }
        true
    }

    /// Keywords that judge elements of arrays. Whether this is one.
    fn of_array(
        &self,
        keyword: &str,
        argument: &Value,
        members: &Map<String, Value>,
        (value, path): (&Value, &str),
        found: &mut Judgement,
    ) -> bool {
        if !["items", "contains", "uniqueItems"].contains(&keyword) {
            return false;
        }
        let Some(array) = value.as_array() else { return true };
        match keyword {
            "items" => {
                for (index, part) in array.iter().enumerate() {
                    let schema = match argument.as_array() {
                        Some(schemas) => {
                            schemas.get(index).or_else(|| members.get("additionalItems"))
                        }
                        None => Some(argument),
                    };
                    if let Some(schema) = schema {
                        found.add_part(index.to_string(), self.element(schema, part, path, index));
                    }
                }
            }
            "contains" => {
                let fits = |part| self.judge(argument, part, path).faults.is_empty();
                if !array.iter().any(fits) {
                    found.fault(path, "no element fits what it has to contain");
                }
            }
            _ => {
                let repeats = |(index, part): (usize, &Value)| {
                    array.iter().take(index).any(|other| other == part)
                };
                if *argument == Value::Bool(true) && array.iter().enumerate().any(repeats) {
                    found.fault(path, "elements repeat");
                }
            }
        }
        true
    }

    /// Keywords that judge members of objects. Whether this is one.
    fn of_object(
        &self,
        keyword: &str,
        argument: &Value,
        members: &Map<String, Value>,
        (value, path): (&Value, &str),
        found: &mut Judgement,
    ) -> bool {
        let known = [
            "required",
            "properties",
            "patternProperties",
            "additionalProperties",
            "propertyNames",
        ];
        if !known.contains(&keyword) {
            return false;
        }
        let Some(object) = value.as_object() else { return true };
        if keyword == "required" {
            for name in list(argument).iter().filter_map(Value::as_str) {
                if !object.contains_key(name) {
                    found.fault(&format!("{path}.{name}"), "missing");
                }
            }
            return true;
        }
        let patterns = members.get("patternProperties");
        let patterns = patterns.and_then(Value::as_object);
        let by_pattern = |name: &str| {
            let patterns = patterns.into_iter().flatten();
            let name = name.to_owned();
            patterns.filter(move |(pattern, _)| is_match(pattern, &name))
        };
        for (name, part) in object {
            match keyword {
                "properties" => {
                    if let Some(schema) = argument.get(name) {
                        found.add_part(name.clone(), self.member(schema, part, path, name));
                    }
                }
                "patternProperties" => {
                    for (_, schema) in by_pattern(name) {
                        found.add_part(name.clone(), self.member(schema, part, path, name));
                    }
                }
                "propertyNames" => {
                    let text = Value::String(name.clone());
                    found.faults.extend(self.member(argument, &text, path, name).faults);
                }
                _ => {
                    let properties = members.get("properties");
                    let is_named = properties.is_some_and(|known| known.get(name).is_some());
                    if !is_named && by_pattern(name).next().is_none() {
                        found.add_part(name.clone(), self.member(argument, part, path, name));
                    }
                }
            }
        }
        true
    }
}

/// Keywords that judge the value alone. Whether this is one.
fn scalar(
    keyword: &str,
    argument: &Value,
    value: &Value,
    path: &str,
    found: &mut Judgement,
) -> bool {
    let size = |wanted: &str| match (wanted, value) {
        ("Length", Value::String(text)) => Some(text.chars().count()),
        ("Items", Value::Array(array)) => Some(array.len()),
        ("Properties", Value::Object(object)) => Some(object.len()),
        _ => None,
    };
    let is_met = match keyword {
        "type" => {
            let wanted = argument.as_array().map_or(std::slice::from_ref(argument), Vec::as_slice);
            wanted.iter().filter_map(Value::as_str).any(|name| is_of_type(value, name))
        }
        "enum" => list(argument).contains(value),
        "const" => argument == value,
        "pattern" => {
            let pattern = argument.as_str().expect("a pattern is a text");
            value.as_str().is_none_or(|text| is_match(pattern, text))
        }
        "minLength" | "minItems" | "minProperties" => {
            size(&keyword[3..]).is_none_or(|found| found as u64 >= bound(argument))
        }
        "maxLength" | "maxItems" | "maxProperties" => {
            size(&keyword[3..]).is_none_or(|found| found as u64 <= bound(argument))
        }
        "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" | "multipleOf" => {
            let limit = argument.as_f64().expect("a limit is a number");
            value.as_f64().is_none_or(|number| match keyword {
                "minimum" => number >= limit,
                "maximum" => number <= limit,
                "exclusiveMinimum" => number > limit,
                "exclusiveMaximum" => number < limit,
                _ => number % limit == 0.0,
            })
        }
        _ => return false,
    };
    if !is_met {
        found.fault(path, &format!("{} breaks {keyword} {argument}", shown(value)));
    }
    true
}

fn is_of_type(value: &Value, name: &str) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "number" => value.is_number(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        _ => panic!("{name:?} is no type"),
    }
}

fn is_match(pattern: &str, text: &str) -> bool {
    /// The patterns of the document, and of few others.
    static KNOWN: Mutex<BTreeMap<String, Arc<PikeVM>>> = Mutex::new(BTreeMap::new());
    let known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner).get(pattern).cloned();
    let regex = known.unwrap_or_else(|| {
        let regex = PikeVM::new(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
        let regex = Arc::new(regex);
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(pattern.to_owned(), Arc::clone(&regex));
        regex
    });
    regex.is_match(&mut regex.create_cache(), text)
}

fn bound(argument: &Value) -> u64 {
    argument.as_u64().unwrap_or_else(|| panic!("{argument} is no length"))
}

fn list(argument: &Value) -> &[Value] {
    argument.as_array().unwrap_or_else(|| panic!("{argument} is no list"))
}

/// What a reference stands for, or the value itself.
fn resolved<'d>(document: &'d Value, mut value: &'d Value) -> &'d Value {
    while let Some(reference) = value.get("$ref") {
        value = lookup(document, reference);
    }
    value
}

fn lookup<'d>(document: &'d Value, reference: &Value) -> &'d Value {
    let path = reference.as_str().and_then(|reference| reference.strip_prefix('#'));
    let found = path.and_then(|path| document.pointer(path));
    found.unwrap_or_else(|| panic!("{reference} leads nowhere in the OpenRPC document"))
}

/// A value on one line that is not too long.
pub(crate) fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(SHOWN_MAX) {
        None => text,
        Some((end, _)) => format!("{}... ({} bytes)", &text[..end], text.len()),
    }
}

/// Whether a value fits a schema, beside one of a number as the specification has it.
fn fits(schema: &Value, value: &Value) -> bool {
    let pattern = "^0x([1-9a-f]+[0-9a-f]*|0)$";
    let document = json!({
        "methods": [
            { "$ref": "#/components/methods/m" },
            { "name": "n", "result": { "$ref": "#/components/results/n" } },
        ],
        "components": {
            "methods": { "m": { "name": "m", "result": { "name": "r", "schema": schema } } },
            "results": { "n": { "schema": true } },
            "schemas": { "uint": { "type": "string", "pattern": pattern } },
        },
    });
    let document = OpenRpc::new(document);
    assert!(document.has("m") && document.has("n") && !document.has("o"));
    assert!(document.faults("n", value).is_empty());
    assert!(!document.faults("o", value).is_empty());
    document.faults("m", value).is_empty()
}

#[test]
fn a_result_fits_its_schema_or_not() {
    let uint = json!({ "$ref": "#/components/schemas/uint" });
    let object = json!({
        "type": "object", "required": ["a"], "additionalProperties": false,
        "properties": { "a": uint, "b": { "type": "array", "items": { "type": "integer" } } },
    });
    let open = json!({
        "allOf": [{ "properties": { "a": uint } }, { "properties": { "b": true } }],
        "unevaluatedProperties": false,
    });
    let by_name = json!({
        "patternProperties": { "^x": uint }, "additionalProperties": { "type": "null" },
        "propertyNames": { "maxLength": 2 }, "minProperties": 1,
    });
    let chosen = json!({
        "if": { "required": ["a"] }, "then": { "required": ["b"] }, "else": { "const": {} },
    });
    let tuple = json!({ "items": [uint, { "type": "null" }], "unevaluatedItems": false });
    for (schema, good, bad) in [
        (&uint, vec![json!("0x0"), json!("0x1a")], vec![json!("0x01"), json!(1), json!("0X1")]),
        (
            &object,
            vec![json!({ "a": "0x1" }), json!({ "a": "0x1", "b": [1, 2.0] })],
            vec![
                json!({}),
                json!({ "a": "0x01" }),
                json!({ "a": "0x1", "b": [1.5] }),
                json!({ "a": "0x1", "c": 0 }),
                json!(null),
            ],
        ),
        (&open, vec![json!({ "a": "0x1", "b": 1 })], vec![json!({ "a": "0x1", "c": 1 })]),
        (
            &by_name,
            vec![json!({ "x1": "0x1", "y": null })],
            vec![json!({}), json!({ "x": "1" }), json!({ "y": "0x1" }), json!({ "xyz": "0x1" })],
        ),
        (&chosen, vec![json!({ "a": 1, "b": 1 }), json!({})], vec![json!({ "a": 1 })]),
        (&tuple, vec![json!(["0x1", null]), json!([])], vec![json!([1]), json!(["0x1", 1])]),
        (&tuple, vec![json!(["0x1"])], vec![json!(["0x1", null, 1])]),
        (
            &json!({ "oneOf": [{ "type": "null" }, uint] }),
            vec![json!(null), json!("0x2")],
            vec![json!("2"), json!({})],
        ),
        (&json!({ "oneOf": [{ "minLength": 1 }, uint] }), vec![json!("2")], vec![json!("0x2")]),
        (&json!({ "anyOf": [{ "minLength": 1 }, uint] }), vec![json!("0x2")], vec![json!("")]),
        (&json!({ "not": { "type": "null" } }), vec![json!(1)], vec![json!(null)]),
        (&json!({ "enum": ["0x0", "0x1"] }), vec![json!("0x1")], vec![json!("0x2"), json!(1)]),
        (&json!({ "type": ["string", "null"] }), vec![json!(null)], vec![json!(false)]),
        (&json!({ "maxItems": 1, "uniqueItems": true }), vec![json!([1])], vec![json!([1, 2])]),
        (&json!({ "uniqueItems": true }), vec![json!([1, 2])], vec![json!([1, 2, 1])]),
        (&json!({ "contains": uint }), vec![json!([1, "0x1"])], vec![json!([1])]),
        (&json!({ "minimum": 0, "multipleOf": 2 }), vec![json!(2)], vec![json!(-2), json!(3)]),
        (&json!({ "exclusiveMaximum": 2 }), vec![json!(1.9)], vec![json!(2)]),
    ] {
        for value in good {
            assert!(fits(schema, &value), "{value} should fit {schema}");
        }
        for value in bad {
            assert!(!fits(schema, &value), "{value} should not fit {schema}");
        }
    }
}

#[test]
#[should_panic(expected = "schema keyword \"dependentRequired\" is not known")]
fn a_keyword_that_is_not_known_is_not_passed_over() {
    fits(&json!({ "dependentRequired": {} }), &json!({}));
}

#[test]
fn answers_are_judged_by_the_request_that_they_are_to() {
    let schema = json!({ "type": "string", "pattern": "^0x" });
    let method = |name: &str| json!({ "name": name, "result": { "schema": schema } });
    let document = OpenRpc::new(json!({ "methods": [method("m"), method("eth_baseFee")] }));
    let request = |id: u64, method: &str| json!({ "id": id, "method": method });
    let is_good = |request: Value, answer: Value| {
        let judged = std::panic::catch_unwind(|| {
            document.assert_answer(&request.to_string(), &answer.to_string());
        });
        judged.is_ok()
    };
    let [good, bad] = ["0x1", "1"].map(|result| json!({ "id": 1, "result": result }));
    assert!(is_good(request(1, "m"), good.clone()));
    assert!(!is_good(request(1, "m"), bad.clone()));
    assert!(!is_good(json!([request(2, "m"), request(1, "m")]), json!([bad, { "id": 2 }])));
    assert!(is_good(request(2, "m"), bad.clone()), "it answers something else");
    assert!(is_good(request(1, "other"), bad.clone()));
    assert!(is_good(request(1, "m"), json!({ "id": 1, "error": {} })));
    assert!(is_good(json!("no request"), bad));
    // Null is excused of some.
    let null = json!({ "id": 1, "result": null });
    assert!(is_good(request(1, "eth_baseFee"), null.clone()));
    assert!(!is_good(request(1, "m"), null));
}
