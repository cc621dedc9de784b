//! Typed data, and the hash of it that is signed. Source: EIP-712.

use crate::public::args::{object, published};
use alloy_dyn_abi::TypedData;
use fugue_types::B256;
use serde_json::{Map, Value};
use std::collections::HashMap;

/// Members of a type, those of the types within it included, at most. A type may name another one
/// twice, and so on: without a bound, a few lines grow beyond all memory.
const MEMBERS_MAX: usize = 10_000;
/// How deep types may lie within one another.
const DEPTH_MAX: usize = 64;
/// How deep lists may lie within one another where a type names them, as `A[2][]` does.
const LISTS_MAX: usize = 16;

/// The hash of typed data, which comes as an object or as its text.
///
/// # Errors
/// What is wrong with it.
pub(super) fn hash(value: &Value) -> Result<B256, String> {
    read(value)?.eip712_signing_hash().map_err(|error| error.to_string())
}

/// Typed data; whether they fit their types is not known yet.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn read(value: &Value) -> Result<TypedData, String> {
    let parsed: Value;
    let value = match value.as_str() {
        Some(text) => {
            parsed = serde_json::from_str(text).map_err(|error| error.to_string())?;
            &parsed
        }
        None => value,
    };
    check_size(value)?;
    published(value)
}

fn check_size(value: &Value) -> Result<(), String> {
    let types = value.get("types").and_then(Value::as_object).ok_or("types are expected")?;
    let primary = value.get("primaryType").and_then(Value::as_str);
    let primary = primary.ok_or("a primary type is expected")?;
    check_name(primary)?;
    for (name, fields) in types {
        check_name(name)?;
        for field in fields.as_array().into_iter().flatten() {
            // A list of the two would be read as well.
            let field = object(field)?;
            check_name(field.get("type").and_then(Value::as_str).unwrap_or_default())?;
        }
    }
    members(types, primary, DEPTH_MAX, &mut HashMap::new()).map(|_| ())
}

/// A type is a name, and brackets where it is a list. Source: EIP-712, "Definition of typed
/// structured data". The library that hashes reads tuples, too: these may be as deep as the text is
/// long, and what they hold is not seen by who looks for circles.
fn check_name(kind: &str) -> Result<(), String> {
    let (name, brackets) = kind.find('[').map_or((kind, ""), |at| kind.split_at(at));
    let may_be_in_it = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '$' | ':' | '.');
    if !name.chars().all(may_be_in_it) {
        return Err("a type is a name, with brackets where it is a list".to_owned());
    }
    let lists = brackets.matches('[').count();
    if lists > LISTS_MAX {
        return Err(format!("{lists} lists within one another, want at most {LISTS_MAX}"));
    }
    Ok(())
}

/// How many members a type has in all; each type is counted once.
fn members<'t>(
    types: &'t Map<String, Value>,
    name: &'t str,
    depth: usize,
    known: &mut HashMap<&'t str, usize>,
) -> Result<usize, String> {
    // `A[2][]` holds `A`.
    let name = name.split('[').next().unwrap_or(name);
    if let Some(count) = known.get(name) {
        return Ok(*count);
    }
    let Some(fields) = types.get(name).and_then(Value::as_array) else { return Ok(1) };
    let depth = depth.checked_sub(1).ok_or_else(|| format!("types nest too deep at {name}"))?;
    let mut count = 1_usize;
    for field in fields {
        let kind = field.get("type").and_then(Value::as_str).unwrap_or_default();
        count = count.saturating_add(members(types, kind, depth, known)?);
        if count > MEMBERS_MAX {
            return Err(format!("{name} has more than {MEMBERS_MAX} members"));
        }
    }
    known.insert(name, count);
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fugue_types::b256;
    use serde_json::json as object;

    /// The example of EIP-712, "Specification of the eth_signTypedData JSON RPC".
    fn mail() -> Value {
        object!({
            "types": {
                "EIP712Domain": [
                    { "name": "name", "type": "string" },
                    { "name": "version", "type": "string" },
                    { "name": "chainId", "type": "uint256" },
                    { "name": "verifyingContract", "type": "address" },
                ],
                "Person": [
                    { "name": "name", "type": "string" },
                    { "name": "wallet", "type": "address" },
                ],
                "Mail": [
                    { "name": "from", "type": "Person" },
                    { "name": "to", "type": "Person" },
                    { "name": "contents", "type": "string" },
                ],
            },
            "primaryType": "Mail",
            "domain": {
                "name": "Ether Mail", "version": "1", "chainId": 1,
                "verifyingContract": "0xCcCCccccCCCCcCCCCCCcCcCccCcCCCcCcccccccC",
            },
            "message": {
                "from": {
                    "name": "Cow", "wallet": "0xCD2a3d9F938E13CD947Ec05AbC7FE734Df8DD826",
                },
                "to": {
                    "name": "Bob", "wallet": "0xbBbBBBBbbBBBbbbBbbBbbbbBBbBbbbbBbBbbBBbB",
                },
                "contents": "Hello, Bob!",
            },
        })
    }

    #[test]
    fn the_example_of_the_proposal_has_its_hash_as_object_and_as_text() {
        let expected = b256!("0xbe609aee343fb3c4b28e1df9e632fca64fcfaede20f02e86244efddf30957bd2");
        assert_eq!(hash(&mail()), Ok(expected));
        assert_eq!(hash(&Value::String(mail().to_string())), Ok(expected));
    }

    #[test]
    fn what_does_not_fit_its_types_is_refused() {
        let mut wrong = mail();
        wrong["message"]["to"] = object!("Bob");
        assert!(hash(&wrong).is_err());
        let mut wrong = mail();
        wrong["primaryType"] = object!("Letter");
        assert!(hash(&wrong).is_err());
        for wrong in [object!(1), object!("{"), object!({ "types": {} })] {
            assert!(hash(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn types_that_are_no_names_are_refused() {
        let typed = |field: Value| {
            object!({
                "types": { "A": [field] }, "primaryType": "A", "domain": {},
                "message": { "a": [] },
            })
        };
        let list = |depth: usize| format!("uint8{}", "[]".repeat(depth));
        let deep = 100_000;
        // The first one would lead back to itself.
        let (tuples, lists) = ("(".repeat(deep), list(deep));
        for kind in ["(A)", "tuple(A,A)", "A ", "\u{c4}", tuples.as_str(), lists.as_str()] {
            let told: String = kind.chars().take(20).collect();
            let named = object!({ "types": { kind: [] }, "primaryType": "A" });
            let primary = object!({ "types": { "A": [] }, "primaryType": kind });
            let fields = [object!({ "name": "a", "type": kind }), object!([kind, "a"])];
            for wrong in fields.map(typed).into_iter().chain([named, primary]) {
                assert!(hash(&wrong).is_err(), "{told}");
            }
        }
        let field = |depth| object!({ "name": "a", "type": list(depth) });
        assert!(hash(&typed(field(LISTS_MAX))).is_ok());
        assert!(hash(&typed(field(LISTS_MAX + 1))).is_err());
    }

    #[test]
    fn types_that_grow_or_go_in_circles_are_refused() {
        let twice =
            |kind: &str| object!([{ "name": "a", "type": kind }, { "name": "b", "type": kind }]);
        let mut types = Map::new();
        for level in 0..40 {
            types.insert(format!("T{level}"), twice(&format!("T{}[]", level + 1)));
        }
        let grown = object!({ "types": types, "primaryType": "T0" });
        let told = hash(&grown).expect_err("too many");
        assert!(told.contains("more than"), "{told}");
        let circle = object!({ "types": { "A": twice("B"), "B": twice("A") }, "primaryType": "A" });
        let told = hash(&circle).expect_err("a circle");
        assert!(told.contains("too deep"), "{told}");
    }
}
