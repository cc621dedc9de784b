//! What becomes of parameters that data change, step by step: three bytes are a step, which says
//! where it is, what is done there, and with what. So every input of a fuzzer means something, and
//! most of what it changes has a meaning, too.

use serde_json::{Map, Value, json};

/// Bytes of a step.
const STEP: usize = 3;
/// Steps that are taken.
const STEPS_MAX: usize = 16;
/// Values of all parameters together, those within others counted.
const VALUES_MAX: usize = 20_000;
/// How deep values may lie. Above what JSON is read at, and below what a stack holds.
const DEPTH_MAX: usize = 300;
/// Characters that one step adds to a text, for each unit of the square of what it is done with:
/// 260,000 at most.
const CHARACTERS: usize = 4;

/// Values that mean something somewhere, or nearly, as JSON.
const WORDS: &[&str] = &[
    "null",
    "true",
    "false",
    "0",
    "1",
    "-1",
    "1.5",
    "1e300",
    "18446744073709551615",
    "[]",
    "[[]]",
    "[null]",
    "{}",
    r#"{"": 0}"#,
    r#""""#,
    r#""\u0000""#,
    r#""0x""#,
    r#""0X1""#,
    r#""0x0""#,
    r#""0x00""#,
    r#""0x1""#,
    r#""0x7f""#,
    r#""0x10000""#,
    r#""0xffffffffffffffff""#,
    r#""0x10000000000000000""#,
    r#""0xffffffffffffffffffffffffffffffff""#,
    r#""0xffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff""#,
    r#""0x10000000000000000000000000000000000000000000000000000000000000000""#,
    r#""0x0000000000000000000000000000000000000004""#,
    r#""0x0000000000000000000000000000000000000100""#,
    r#""0x5b5a31505f56""#,
    r#""0x60006000fd""#,
    r#""0xef0100""#,
    r#""latest""#,
    r#""pending""#,
    r#""safe""#,
    r#""finalized""#,
    r#""earliest""#,
    r#""newHeads""#,
    r#""logs""#,
    r#""newPendingTransactions""#,
    r#""transactionReceipts""#,
    r#""traceChain""#,
    r#""callTracer""#,
    r#""prestateTracer""#,
    r#""flatCallTracer""#,
    r#""4byteTracer""#,
    r#""muxTracer""#,
    r#""erc7562Tracer""#,
    r#""noopTracer""#,
    r#""{result: function() {}}""#,
    r#""trace""#,
    r#""vmTrace""#,
    r#""stateDiff""#,
    r#""union""#,
    r#""1ns""#,
    r#""99999999h""#,
    r#""uint8[]""#,
    r#""(A)""#,
    r#""EIP712Domain""#,
];

/// Names of fields that some method looks for.
const FIELDS: &[&str] = &[
    "",
    "accessList",
    "address",
    "after",
    "authorizationList",
    "balance",
    "baseFeePerGas",
    "beaconRoot",
    "blobBaseFee",
    "blobVersionedHashes",
    "blockHash",
    "blockNumber",
    "blockOverride",
    "blockOverrides",
    "blockStateCalls",
    "blocks",
    "calls",
    "chainId",
    "code",
    "coinbase",
    "count",
    "data",
    "difficulty",
    "diffMode",
    "disableStack",
    "disableStorage",
    "domain",
    "enableMemory",
    "enableReturnData",
    "fee",
    "feeRecipient",
    "forking",
    "from",
    "fromAddress",
    "fromBlock",
    "gas",
    "gasLimit",
    "gasPrice",
    "input",
    "limit",
    "maxFeePerBlobGas",
    "maxFeePerGas",
    "maxPriorityFeePerGas",
    "message",
    "mode",
    "movePrecompileToAddress",
    "nonce",
    "number",
    "onlyTopCall",
    "options",
    "overrides",
    "parentBeaconBlockRoot",
    "prevRandao",
    "primaryType",
    "requireCanonical",
    "returnFullTransactions",
    "slotNumber",
    "state",
    "stateDiff",
    "stateOverrides",
    "time",
    "timeout",
    "timestamp",
    "to",
    "toAddress",
    "toBlock",
    "topics",
    "traceTransfers",
    "tracer",
    "tracerConfig",
    "transactionHashes",
    "transactionIndex",
    "transactions",
    "txHash",
    "txIndex",
    "type",
    "types",
    "validation",
    "value",
    "withLog",
    "withdrawals",
];

/// One of the examples, by the first byte, with what the others change.
pub(super) fn made(examples: &[Value], data: &[u8]) -> Value {
    let (pick, steps) = match data {
        [pick, steps @ ..] => (*pick, steps),
        [] => (0, data),
    };
    let pick = usize::from(pick).checked_rem(examples.len());
    let mut params = pick.and_then(|pick| examples.get(pick)).cloned().unwrap_or(json!([]));
    for step in steps.chunks_exact(STEP).take(STEPS_MAX) {
        if let &[at, what, with] = step {
            change(&mut params, usize::from(at), what, usize::from(with));
        }
    }
    params
}

/// Takes a step, if what is made of it keeps to the bounds.
fn change(params: &mut Value, at: usize, what: u8, with: usize) {
    let (values, depth) = (count(params), depth_of(params));
    let Some(copy) = nth(params, &mut (with % values)).cloned() else { return };
    let (more, deeper) = (count(&copy), depth_of(&copy));
    let is_room = values.saturating_add(more) <= VALUES_MAX;
    let Some(found) = nth(params, &mut (at % values)) else { return };
    match what % 8 {
        0 => *found = word(with),
        1 if is_room && depth.saturating_add(deeper) <= DEPTH_MAX => *found = copy,
        2 if depth.saturating_add(with) <= DEPTH_MAX => {
            for level in 0..with {
                let inner = found.take();
                *found = if level % 2 == 0 {
                    Value::Array(vec![inner])
                } else {
                    Value::Object(Map::from_iter([("a".to_owned(), inner)]))
                };
            }
        }
        3 => add(found, with, VALUES_MAX.saturating_sub(values)),
        4 => remove(found, with),
        5 => match found {
            Value::String(text) => text.push_str(&"f".repeat(CHARACTERS * with * with)),
            other => *other = json!(with),
        },
        6 => match found {
            Value::String(text) => {
                let kept = text.chars().count().saturating_sub(with % 8);
                *text = text.chars().take(kept).collect();
            }
            other => *other = Value::Array(vec![other.take()]),
        },
        7 => match found {
            Value::String(text) => *text = turned(text, with),
            other => *other = json!(other.to_string()),
        },
        _ => {}
    }
}

fn word(with: usize) -> Value {
    let word = WORDS[with % WORDS.len()];
    serde_json::from_str(word).unwrap_or_else(|error| panic!("{error}: {word}"))
}

/// Lists get so many more of their last value, squared; objects a field; others become a list.
fn add(found: &mut Value, with: usize, room: usize) {
    match found {
        Value::Array(items) => {
            let item = items.last().cloned().unwrap_or_else(|| word(with));
            let copies = (with * with).min(room / count(&item));
            items.extend(std::iter::repeat_n(item, copies));
        }
        Value::Object(fields) => {
            let name = FIELDS[with % FIELDS.len()].to_owned();
            // Another word than that which stands at the same place in its table.
            fields.insert(name, word(with / FIELDS.len() + with));
        }
        other => *other = Value::Array(vec![other.take(), word(with)]),
    }
}

/// Lists and objects lose a value; others become null.
fn remove(found: &mut Value, with: usize) {
    match found {
        Value::Array(items) if !items.is_empty() => {
            items.remove(with % items.len());
        }
        Value::Object(fields) if !fields.is_empty() => {
            let name = fields.keys().nth(with % fields.len()).cloned();
            if let Some(name) = name {
                fields.remove(&name);
            }
        }
        other => *other = Value::Null,
    }
}

/// The text with another character somewhere.
fn turned(text: &str, with: usize) -> String {
    const OTHERS: [char; 8] = ['0', '1', 'f', 'X', 'g', '[', '\u{0}', '\u{661}'];
    let characters = text.chars().count().max(1);
    let other = OTHERS[with % OTHERS.len()];
    let turned = text.chars().enumerate();
    turned.map(|(at, c)| if at == with % characters { other } else { c }).collect()
}

/// Values, those within others counted; at least one.
fn count(value: &Value) -> usize {
    let inner: usize = match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(fields) => fields.values().map(count).sum(),
        _ => 0,
    };
    inner.saturating_add(1)
}

fn depth_of(value: &Value) -> usize {
    let inner = match value {
        Value::Array(items) => items.iter().map(depth_of).max(),
        Value::Object(fields) => fields.values().map(depth_of).max(),
        _ => None,
    };
    inner.unwrap_or_default().saturating_add(1)
}

/// The value with this number, the outer before the inner ones; counts down to it.
fn nth<'v>(value: &'v mut Value, left: &mut usize) -> Option<&'v mut Value> {
    let Some(next) = left.checked_sub(1) else { return Some(value) };
    *left = next;
    match value {
        Value::Array(items) => items.iter_mut().find_map(|item| nth(item, left)),
        Value::Object(fields) => fields.values_mut().find_map(|item| nth(item, left)),
        _ => None,
    }
}
