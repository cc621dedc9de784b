//! Trie tests: operations on an empty trie, and the root after them.

use super::plain::{EVERY_FORK, PlainCase, bytes, file, is_wanted};
use fugue_trie::raw_root;
use fugue_types::{B256, keccak256};
use serde_json::Value;

/// Shuffles of operations that may come in any order.
const SHUFFLES: u8 = 6;

/// A key, and its new value if it gets one.
type Operation = (Vec<u8>, Option<Vec<u8>>);

/// In which order operations are done.
#[derive(Debug, Clone, Copy)]
enum Order {
    Given,
    Reversed,
    /// The same number always gives the same shuffle.
    Shuffled(u8),
}

/// The test as one case.
pub(super) fn cases(name: &str, test: &Value, fork: Option<&str>) -> Vec<PlainCase> {
    if !is_wanted(EVERY_FORK, fork) {
        return Vec::new();
    }
    // Only the file's name tells that a trie is of hashed keys.
    let is_secure = file(name).to_ascii_lowercase().contains("securetrie");
    let result = run_one(test, is_secure);
    vec![PlainCase { name: name.to_owned(), fork: EVERY_FORK.to_owned(), result }]
}

fn run_one(test: &Value, is_secure: bool) -> Result<(), String> {
    let root = test.get("root").and_then(Value::as_str).ok_or("root is no string")?;
    let expected = root.parse::<B256>().map_err(|error| format!("root: {error}"))?;
    let mut operations = operations(test.get("in").unwrap_or(&Value::Null))?;
    if is_secure {
        for (key, _) in &mut operations {
            *key = keccak256(&*key).to_vec();
        }
    }
    // A list is a sequence; an object has a key once, so its order is of no matter.
    let is_sequence = test.get("in").is_some_and(Value::is_array);
    let shuffles = (0..SHUFFLES).map(Order::Shuffled);
    let others = [Order::Reversed].into_iter().chain(shuffles).filter(|_| !is_sequence);
    for order in [Order::Given].into_iter().chain(others) {
        let found = root_of(&operations, order);
        if found != expected {
            return Err(format!("root, order {order:?}: expected {expected}, found {found}"));
        }
    }
    Ok(())
}

fn root_of(operations: &[Operation], order: Order) -> B256 {
    let mut operations = operations.to_vec();
    match order {
        Order::Given => {}
        Order::Reversed => operations.reverse(),
        Order::Shuffled(seed) => {
            operations.sort_by_key(|(key, _)| keccak256([key.as_slice(), &[seed]].concat()));
        }
    }
    raw_root(operations)
}

/// A list of `[key, value or null]`, or an object of values by key.
fn operations(value: &Value) -> Result<Vec<Operation>, String> {
    match value {
        Value::Object(values) => {
            values.iter().map(|(key, value)| Ok((text_or_hex(key)?, new_value(value)?))).collect()
        }
        Value::Array(pairs) => pairs
            .iter()
            .map(|pair| match pair.as_array().map(Vec::as_slice) {
                Some([Value::String(key), value]) => Ok((text_or_hex(key)?, new_value(value)?)),
                _ => Err(format!("{pair} is no key and value")),
            })
            .collect(),
        _ => Err("in is neither a list nor an object".to_owned()),
    }
}

/// A trie knows no empty values: to set one is to delete.
fn new_value(value: &Value) -> Result<Option<Vec<u8>>, String> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text_or_hex(text)?).filter(|value| !value.is_empty())),
        _ => Err(format!("{value} is no value")),
    }
}

fn text_or_hex(text: &str) -> Result<Vec<u8>, String> {
    if text.starts_with("0x") { bytes(text) } else { Ok(text.as_bytes().to_vec()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn ended(name: &str, test: &Value) -> Result<(), String> {
        let mut cases = cases(name, test, None);
        cases.pop().map_or_else(|| Err("no case".to_owned()), |case| case.result)
    }

    #[test]
    fn an_object_is_inserted_in_any_order_and_a_list_in_its_own() {
        let root = "0x5991bb8c6514148a29db676a14ac506cd2cd5775ace63c30a4fe457715e9ac84";
        let object = json!({ "do": "verb", "horse": "stallion", "doge": "coin", "dog": "puppy" });
        let list = json!([
            ["do", "verb"],
            ["ether", "wookiedoo"],
            ["horse", "stallion"],
            ["shaman", "horse"],
            ["doge", "coin"],
            ["ether", null],
            ["dog", "puppy"],
            ["shaman", ""],
        ]);
        for operations in [object, list] {
            let test = json!({ "in": operations, "root": root });
            assert_eq!(ended("trieanyorder.json::t", &test), Ok(()));
        }
    }

    #[test]
    fn a_secure_trie_hashes_its_keys() {
        let root = "0xbc11c02c8ab456db0c4d2728b6a2a6210d06f26a2ace4f7d8bdfc72ddf2630ab";
        let operations = json!({ "0x0045": "0x0123456789", "0x4500": "0x9876543210" });
        let test = json!({ "in": operations, "root": root });
        assert_eq!(ended("trieanyorder_secureTrie.json::hex", &test), Ok(()));
        assert!(ended("trieanyorder.json::hex", &test).is_err());
    }

    #[test]
    fn what_is_no_operation_is_refused() {
        let root = B256::ZERO;
        for operations in [json!("do"), json!([["do"]]), json!([["do", 1]]), json!({ "do": [] })] {
            assert!(run_one(&json!({ "in": operations, "root": root }), false).is_err());
        }
    }
}
