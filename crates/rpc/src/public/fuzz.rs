//! The decoders of arguments of the public methods on any text, for fuzz targets.

use crate::public::{
    args::{
        self, Args, address, boolean, bytes, count, hash, list, quantity, quantity_u64,
        quantity_u128, slot,
    },
    block_ref::{block_ref, number_or_tag},
    debug, eth, revert,
};
use fugue_types::U256;
use jsonrpsee::types::Params;
use serde_json::Value;

/// Arguments that are read of one call, more than any method has.
const ARGS: usize = 6;
/// Values of a list.
const LIST_MAX: usize = 3;
/// Characters of 32 bytes in hex, with their prefix.
const WORD_CHARACTERS: usize = 66;

/// Reads a text as arguments of a call, and each value in it, down to the second level, as each
/// argument. What is read is what was written, and keeps to its bounds.
pub(crate) fn decode(text: &str) {
    if let Ok(mut args) = Args::new(&Params::new(Some(text))) {
        for _ in 0..ARGS {
            let read = args.optional("any", |found| {
                value(found);
                Ok(())
            });
            assert!(read.is_ok(), "{read:?}");
        }
        let _ = args.end();
    }
    let Ok(outer) = serde_json::from_str::<Value>(text) else { return };
    value(&outer);
    match &outer {
        Value::Array(items) => items.iter().for_each(value),
        Value::Object(fields) => fields.values().for_each(value),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Tells of a message that reverted with any data.
pub(crate) fn tell_revert(data: &[u8]) {
    revert::fuzz(data);
}

fn value(value: &Value) {
    let text = value.as_str().unwrap_or_default();
    let written = text.to_ascii_lowercase();
    if let Ok(number) = quantity(value) {
        assert_eq!(format!("{number:#x}"), written);
        assert_eq!(quantity_u128(value).ok(), u128::try_from(number).ok());
        assert_eq!(quantity_u64(value).ok(), u64::try_from(number).ok());
        assert_eq!(count(value).ok(), u64::try_from(number).ok());
    }
    if let Ok(bytes) = bytes(value) {
        // None may be written as nothing.
        let written = if written.is_empty() { "0x" } else { &written };
        assert_eq!(bytes.to_string(), written);
    }
    if let Ok(address) = address(value) {
        assert_eq!(format!("{address:?}").to_ascii_lowercase(), written);
    }
    if let Ok(hash) = hash(value) {
        assert_eq!(hash.to_string(), written);
    }
    if let Ok(slot) = slot(value) {
        assert!(text.len() <= WORD_CHARACTERS, "{slot}");
        let digits = written.trim_start_matches("0x").trim_start_matches('0');
        assert_eq!(slot == U256::ZERO, digits.is_empty(), "{text}");
    }
    if let Ok(hashes) = list(value, LIST_MAX, hash) {
        assert!(hashes.len() <= LIST_MAX, "{}", hashes.len());
    }
    assert_eq!(boolean(value).is_ok(), value.is_boolean());
    assert_eq!(args::object(value).is_ok(), value.is_object());
    // What a range takes for a block, a state does too.
    let is_block = block_ref(value).is_ok();
    assert!(is_block || number_or_tag(value).is_err(), "{value}");
    debug::trace::fuzz(value);
    eth::fuzz(value);
}
