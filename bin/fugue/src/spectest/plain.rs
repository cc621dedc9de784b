//! What the kinds of fixtures have in common that execute nothing.

use alloy_primitives::hex;
use fugue_types::U256;
use serde_json::Value;

/// In place of a fork, where a fixture holds at all of them.
pub(super) const EVERY_FORK: &str = "*";

/// A case that is the same in every mode, and how it ended.
pub(super) struct PlainCase {
    /// File, test, and what of it.
    pub(super) name: String,
    pub(super) fork: String,
    /// Why it fails.
    pub(super) result: Result<(), String>,
}

/// Whether the cases of a fork are asked for. With a fork asked for, the others are not.
pub(super) fn is_wanted(fork: &str, only: Option<&str>) -> bool {
    only.is_none_or(|only| only.eq_ignore_ascii_case(fork))
}

/// The file of a test by the test's name.
pub(super) fn file(name: &str) -> &str {
    name.split_once("::").map_or(name, |(file, _)| file)
}

/// A number in text: hex after "0x", with any number of digits, else decimal.
pub(super) fn number(value: &Value) -> Result<U256, String> {
    let text = value.as_str().ok_or_else(|| format!("{value} is no number in a string"))?;
    let (digits, radix) = text.strip_prefix("0x").map_or((text, 10), |digits| (digits, 16));
    U256::from_str_radix(digits, radix).map_err(|error| format!("\"{text}\": {error}"))
}

/// Bytes in hex, with or without "0x".
pub(super) fn bytes(text: &str) -> Result<Vec<u8>, String> {
    hex::decode(text).map_err(|error| format!("\"{text}\": {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_are_read_as_fixtures_of_all_ages_write_them() {
        for value in [json!("0x0186a0"), json!("0x186a0"), json!("100000")] {
            assert_eq!(number(&value), Ok(U256::from(100_000)));
        }
        assert!(number(&json!("0xg")).is_err());
        assert!(number(&Value::Null).is_err());
    }

    #[test]
    fn a_fork_that_is_asked_for_leaves_the_others_out() {
        assert!(is_wanted("Berlin", None));
        assert!(is_wanted("Berlin", Some("berlin")));
        assert!(!is_wanted(EVERY_FORK, Some("Berlin")));
    }
}
