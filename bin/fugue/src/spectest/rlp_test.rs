//! RLP tests: a value and its encoding, or bytes that are not one.

use super::plain::{EVERY_FORK, PlainCase, bytes, is_wanted};
use alloy_primitives::{U512, hex};
use alloy_rlp::{Encodable, Error, Header};
use serde_json::Value;

/// How deep lists are read.
const DEPTH_MAX: usize = 64;

/// A value of RLP.
#[derive(Debug, PartialEq, Eq)]
enum Item {
    String(Vec<u8>),
    List(Vec<Item>),
}

/// The test as one case.
pub(super) fn cases(name: &str, test: &Value, fork: Option<&str>) -> Vec<PlainCase> {
    if !is_wanted(EVERY_FORK, fork) {
        return Vec::new();
    }
    vec![PlainCase { name: name.to_owned(), fork: EVERY_FORK.to_owned(), result: run_one(test) }]
}

fn run_one(test: &Value) -> Result<(), String> {
    let [value, encoded] =
        ["in", "out"].map(|field| test.get(field).ok_or_else(|| format!("{field} is missing")));
    let (value, encoded) = (value?, encoded?);
    let encoded = bytes(encoded.as_str().ok_or("out is no string")?)?;
    let decoded = decode_exact(&encoded);
    if *value == "INVALID" {
        return decoded.map_or(Ok(()), |item| Err(format!("expected a refusal, found {item:?}")));
    }
    let found = decoded.map_err(|error| error.to_string())?;
    // All that is said of a "VALID" one is that it has a value.
    if *value != "VALID" {
        let expected = Item::parse(value, DEPTH_MAX)?;
        if found != expected {
            return Err(format!("expected {expected:?}, found {found:?}"));
        }
    }
    let again = found.encoded();
    if again != encoded {
        let (expected, found) = (hex::encode(&encoded), hex::encode(&again));
        return Err(format!("encoding: expected {expected}, found {found}"));
    }
    Ok(())
}

impl Item {
    /// The value as the fixtures write it: "#" begins a number that JSON cannot hold.
    fn parse(value: &Value, depth: usize) -> Result<Self, String> {
        let depth = depth.checked_sub(1).ok_or_else(|| format!("deeper than {DEPTH_MAX} lists"))?;
        let is_other = || format!("{value} is no value of RLP");
        match value {
            Value::Array(items) => {
                let items = items.iter().map(|item| Self::parse(item, depth));
                items.collect::<Result<_, _>>().map(Self::List)
            }
            Value::Number(number) => {
                number.as_u64().map(|number| Self::number(U512::from(number))).ok_or_else(is_other)
            }
            Value::String(text) => match text.strip_prefix('#') {
                Some(digits) => U512::from_str_radix(digits, 10)
                    .map(Self::number)
                    .map_err(|error| format!("\"{text}\": {error}")),
                None => Ok(Self::String(text.clone().into_bytes())),
            },
            Value::Null | Value::Bool(_) | Value::Object(_) => Err(is_other()),
        }
    }

    fn number(number: U512) -> Self {
        Self::String(number.to_be_bytes_trimmed_vec())
    }

    fn encoded(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::String(bytes) => bytes.as_slice().encode(&mut out),
            Self::List(items) => {
                let payload: Vec<u8> = items.iter().flat_map(Self::encoded).collect();
                Header { list: true, payload_length: payload.len() }.encode(&mut out);
                out.extend(payload);
            }
        }
        out
    }
}

fn decode_exact(mut bytes: &[u8]) -> Result<Item, Error> {
    let item = decode(&mut bytes, DEPTH_MAX)?;
    if bytes.is_empty() { Ok(item) } else { Err(Error::UnexpectedLength) }
}

fn decode(bytes: &mut &[u8], depth: usize) -> Result<Item, Error> {
    let depth = depth.checked_sub(1).ok_or(Error::Custom("too many lists in lists"))?;
    let header = Header::decode(bytes)?;
    let (mut payload, rest) =
        bytes.split_at_checked(header.payload_length).ok_or(Error::InputTooShort)?;
    *bytes = rest;
    if !header.list {
        return Ok(Item::String(payload.to_vec()));
    }
    let mut items = Vec::new();
    while !payload.is_empty() {
        items.push(decode(&mut payload, depth)?);
    }
    Ok(Item::List(items))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_value_is_compared_in_both_directions() {
        let good = [
            json!({ "in": ["zw", [4], 1], "out": "0xc6827a77c10401" }),
            json!({ "in": "#128", "out": "8180" }),
            json!({ "in": 0, "out": "0x80" }),
            json!({ "in": "VALID", "out": "0xc7c0c1c0c3c0c1c0" }),
            json!({ "in": "INVALID", "out": "0x8100" }),
            json!({ "in": "INVALID", "out": "" }),
            json!({ "in": "INVALID", "out": "0x0000" }),
        ];
        for test in good {
            assert_eq!(run_one(&test), Ok(()), "{test}");
        }
        let bad = [
            json!({ "in": "INVALID", "out": "0x80" }),
            json!({ "in": "VALID", "out": "0x8100" }),
            json!({ "in": "dog", "out": "0x83646f68" }),
            json!({ "in": null, "out": "0x80" }),
            json!({ "in": "dog" }),
        ];
        for test in bad {
            assert!(run_one(&test).is_err(), "{test}");
        }
    }

    #[test]
    fn lists_in_lists_have_a_limit() {
        let nested = |depth: usize| {
            (1..depth).fold(Item::List(Vec::new()), |item, _| Item::List(vec![item])).encoded()
        };
        assert!(decode_exact(&nested(DEPTH_MAX)).is_ok());
        assert!(decode_exact(&nested(DEPTH_MAX + 1)).is_err());
    }
}
