//! Arguments of a request, decoded one after the other; what is wrong is said by index and name.

use crate::public::error::{invalid_argument, invalid_params};
use fugue_types::{Address, B256, Bytes, U256};
use jsonrpsee::types::{ErrorObjectOwned, Params};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::fmt::Display;

/// Hex digits of 256 bits.
const WORD_DIGITS: usize = 64;
/// Hex digits of an address.
const ADDRESS_DIGITS: usize = 40;
/// What is said of arguments that are not a list.
const NO_LIST: &str = "non-array args: arguments are a list, by position and not by name";

/// The arguments that are not decoded yet.
pub(crate) struct Args {
    values: std::vec::IntoIter<Value>,
    index: usize,
}

impl Args {
    /// # Errors
    /// If they are not a list. What is given by name (JSON-RPC 2.0, section 4.2) is none, as for
    /// geth, whose words come first.
    pub(crate) fn new(params: &Params<'_>) -> Result<Self, ErrorObjectOwned> {
        let values: Vec<Value> = match params.as_str() {
            None | Some("" | "null") => Vec::new(),
            Some(text) if text.trim_start().starts_with('[') => serde_json::from_str(text)
                .map_err(|error| invalid_params(format!("invalid params: {error}")))?,
            Some(_) => return Err(invalid_params(NO_LIST)),
        };
        Ok(Self { values: values.into_iter(), index: 0 })
    }

    /// The next argument; `None` if it is null or not there.
    ///
    /// # Errors
    /// What `decode` says.
    pub(crate) fn optional<T>(
        &mut self,
        name: &str,
        decode: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Result<Option<T>, ErrorObjectOwned> {
        let index = self.index;
        self.index += 1;
        match self.values.next() {
            None | Some(Value::Null) => Ok(None),
            Some(value) => {
                decode(&value).map(Some).map_err(|reason| invalid_argument(index, name, reason))
            }
        }
    }

    /// The next argument.
    ///
    /// # Errors
    /// If it is null or not there, or what `decode` says.
    pub(crate) fn required<T>(
        &mut self,
        name: &str,
        decode: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Result<T, ErrorObjectOwned> {
        let index = self.index;
        self.optional(name, decode)?.ok_or_else(|| missing(index, name))
    }

    /// The next argument, which may be null, but not left out; `None` if it is null.
    ///
    /// # Errors
    /// If it is not there, or what `decode` says.
    pub(crate) fn nullable<T>(
        &mut self,
        name: &str,
        decode: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Result<Option<T>, ErrorObjectOwned> {
        if self.values.as_slice().is_empty() {
            return Err(missing(self.index, name));
        }
        self.optional(name, decode)
    }

    /// No more arguments.
    ///
    /// # Errors
    /// If there are more.
    pub(crate) fn end(mut self) -> Result<(), ErrorObjectOwned> {
        if self.values.all(|value| value.is_null()) {
            return Ok(());
        }
        Err(invalid_params(format!("too many arguments, want at most {}", self.index)))
    }
}

fn missing(index: usize, name: &str) -> ErrorObjectOwned {
    invalid_params(format!("missing argument {index} ({name})"))
}

/// What is wrong, with one more step of the path to it, a name or an index: `calls[1].to: ...`.
/// There are no blanks in a path, and no colon in the first words of a reason without one.
pub(crate) fn under(step: impl Display, reason: &str) -> String {
    match reason.split_once(": ") {
        Some((path, _)) if !path.contains(' ') => {
            let joint = if path.starts_with('[') { "" } else { "." };
            format!("{step}{joint}{reason}")
        }
        _ => format!("{step}: {reason}"),
    }
}

/// The value under a name of an object; `None` if it is null or not there.
///
/// # Errors
/// What `decode` says, with the name.
pub(crate) fn field<T>(
    object: &Map<String, Value>,
    name: &str,
    decode: impl FnOnce(&Value) -> Result<T, String>,
) -> Result<Option<T>, String> {
    match object.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => decode(value).map(Some).map_err(|reason| under(name, &reason)),
    }
}

pub(crate) fn object(value: &Value) -> Result<&Map<String, Value>, String> {
    value.as_object().ok_or_else(|| "an object is expected".to_owned())
}

pub(crate) fn boolean(value: &Value) -> Result<bool, String> {
    value.as_bool().ok_or_else(|| "true or false is expected".to_owned())
}

/// The digits after `0x`.
fn hex_digits(value: &Value) -> Result<&str, String> {
    let text = value.as_str().ok_or("a hex string is expected")?;
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    of_digits(digits.ok_or("hex string without 0x prefix")?)
}

fn of_digits(digits: &str) -> Result<&str, String> {
    if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err("invalid hex digits".to_owned());
    }
    Ok(digits)
}

/// A number up to 256 bits. Source: execution-apis, "Hex value encoding", quantities.
pub(crate) fn quantity(value: &Value) -> Result<U256, String> {
    let digits = hex_digits(value)?;
    if digits.is_empty() {
        return Err("empty hex number".to_owned());
    }
    if digits.len() > 1 && digits.starts_with('0') {
        return Err("hex number with leading zero digits".to_owned());
    }
    if digits.len() > WORD_DIGITS {
        return Err("hex number > 256 bits".to_owned());
    }
    U256::from_str_radix(digits, 16).map_err(|error| error.to_string())
}

pub(crate) fn quantity_u128(value: &Value) -> Result<u128, String> {
    u128::try_from(quantity(value)?).map_err(|_| "hex number > 128 bits".to_owned())
}

pub(crate) fn quantity_u64(value: &Value) -> Result<u64, String> {
    u64::try_from(quantity(value)?).map_err(|_| "hex number > 64 bits".to_owned())
}

/// A number of a message, of which an empty text is zero. Source: go-ethereum, `common/hexutil`,
/// `checkNumberText`.
pub(crate) fn or_zero<T: Default>(
    decode: impl Fn(&Value) -> Result<T, String>,
) -> impl Fn(&Value) -> Result<T, String> {
    move |value| if is_empty(value) { Ok(T::default()) } else { decode(value) }
}

fn is_empty(value: &Value) -> bool {
    value.as_str() == Some("")
}

/// A count, which many send as a number of JSON.
pub(crate) fn count(value: &Value) -> Result<u64, String> {
    value.as_u64().map_or_else(|| quantity_u64(value), Ok)
}

/// Data. An empty text is none. Source: go-ethereum, `common/hexutil`, `checkText`.
pub(crate) fn bytes(value: &Value) -> Result<Bytes, String> {
    if is_empty(value) {
        return Ok(Bytes::new());
    }
    let digits = hex_digits(value)?;
    if digits.len() % 2 == 1 {
        return Err("hex string of odd length".to_owned());
    }
    digits.parse().map_err(|_| "invalid hex digits".to_owned())
}

pub(crate) fn address(value: &Value) -> Result<Address, String> {
    let digits = hex_digits(value)?;
    if digits.len() != ADDRESS_DIGITS {
        return Err(format!("an address has 20 bytes, this has {} hex digits", digits.len()));
    }
    digits.parse().map_err(|_| "invalid hex digits".to_owned())
}

pub(crate) fn hash(value: &Value) -> Result<B256, String> {
    let digits = hex_digits(value)?;
    if digits.len() != WORD_DIGITS {
        return Err(format!("a hash has 32 bytes, this has {} hex digits", digits.len()));
    }
    digits.parse().map_err(|_| "invalid hex digits".to_owned())
}

/// A storage key of up to 32 bytes: tools leave zeros away, or do not.
pub(crate) fn slot(value: &Value) -> Result<U256, String> {
    word(hex_digits(value)?)
}

/// The same, of which the prefix may be left away, too. Source: go-ethereum,
/// `internal/ethapi/api.go`, `decodeStorageKey`.
pub(crate) fn storage_key(value: &Value) -> Result<U256, String> {
    word(storage_key_digits(value)?)
}

/// Its digits.
pub(crate) fn storage_key_digits(value: &Value) -> Result<&str, String> {
    match value.as_str() {
        Some(text) if !text.starts_with("0x") && !text.starts_with("0X") => of_digits(text),
        _ => hex_digits(value),
    }
}

fn word(digits: &str) -> Result<U256, String> {
    if digits.len() > WORD_DIGITS {
        return Err("storage key too long (want at most 32 bytes)".to_owned());
    }
    if digits.is_empty() {
        return Ok(U256::ZERO);
    }
    U256::from_str_radix(digits, 16).map_err(|error| error.to_string())
}

/// A value in the form that its published type has.
///
/// # Errors
/// What the published type says, with the place.
pub(crate) fn published<T: DeserializeOwned>(value: &Value) -> Result<T, String> {
    serde_path_to_error::deserialize(value).map_err(|error| error.to_string())
}

/// A list of at most `max` values.
///
/// # Errors
/// What `decode` says, with the index.
pub(crate) fn list<T>(
    value: &Value,
    max: usize,
    decode: impl Fn(&Value) -> Result<T, String>,
) -> Result<Vec<T>, String> {
    let values = value.as_array().ok_or("a list is expected")?;
    if values.len() > max {
        return Err(format!("{} values, want at most {max}", values.len()));
    }
    let decoded = values.iter().enumerate().map(|(index, value)| {
        decode(value).map_err(|reason| under(format_args!("[{index}]"), &reason))
    });
    decoded.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn args(text: &str) -> Args {
        Args::new(&Params::new(Some(text))).expect("a list")
    }

    #[test]
    fn a_wrong_argument_is_named() {
        let error = args(r#"["0x1", "0xzz"]"#).required("address", address).unwrap_err();
        assert_eq!(error.code(), -32602);
        assert!(error.message().starts_with("invalid argument 0 (address): "));
        let mut two = args(r#"["0x1", "0xzz"]"#);
        two.required("count", quantity_u64).expect("a number");
        let error = two.required("hash", hash).unwrap_err();
        assert_eq!(error.message(), "invalid argument 1 (hash): invalid hex digits");
    }

    #[test]
    fn what_is_wrong_within_a_value_has_its_path() {
        let numbers = |value: &Value| list(value, 2, quantity);
        let inner = |value: &Value| field(object(value)?, "inner", numbers);
        let read = |value: Value| list(&value, 2, inner).expect_err("refused");
        for (value, told) in [
            (json!([{}, { "inner": ["0x1", "1"] }]), "[1].inner[1]: hex string without 0x prefix"),
            (json!([{ "inner": [1, 2, 3] }]), "[0].inner: 3 values, want at most 2"),
            (json!([7]), "[0]: an object is expected"),
            (json!(7), "a list is expected"),
        ] {
            assert_eq!(read(value), told);
        }
        // Of published types, too.
        let lists = |value: Value| published::<Vec<Vec<u8>>>(&value).expect_err("refused");
        assert!(lists(json!([[1], [2, "3"]])).starts_with("[1][1]: invalid type: "));
        assert!(lists(json!(7)).starts_with("invalid type: "));
    }

    #[test]
    fn null_and_absent_are_the_same() {
        for text in ["[]", "[null]"] {
            assert_eq!(args(text).optional("block", quantity).expect("absent"), None);
            let error = args(text).required("block", quantity).unwrap_err();
            assert_eq!(error.message(), "missing argument 0 (block)");
        }
    }

    #[test]
    fn null_may_be_taken_where_nothing_is_not() {
        assert_eq!(args("[null]").nullable("keys", quantity).expect("null"), None);
        let found = args(r#"["0x1"]"#).nullable("keys", quantity).expect("a number");
        assert_eq!(found, Some(U256::from(1)));
        let error = args("[]").nullable("keys", quantity).unwrap_err();
        assert_eq!(error.message(), "missing argument 0 (keys)");
    }

    #[test]
    fn arguments_that_nobody_reads_are_refused() {
        assert!(args("[1]").end().is_err());
        assert!(args("[null]").end().is_ok());
    }

    #[test]
    fn arguments_are_a_list_and_have_no_names() {
        let refused = |text: &str| {
            let error = Args::new(&Params::new(Some(text))).err().expect(text);
            assert_eq!(error.code(), -32602, "{text}");
            error.message().to_owned()
        };
        for text in [r#"{"a": 1}"#, "{}", "7", r#""0x1""#, "true"] {
            assert_eq!(refused(text), NO_LIST, "{text}");
        }
        // What is a list, and cannot be read, is not told to be none.
        for text in ["[".repeat(1_000).as_str(), r#"["\ud800"]"#, "[1e999]"] {
            assert!(refused(text).starts_with("invalid params: "), "{text}");
        }
        assert!(args(" [ ]").end().is_ok());
    }

    #[test]
    fn quantities_are_minimal_hex() {
        assert_eq!(quantity(&json!("0x0")), Ok(U256::ZERO));
        assert_eq!(quantity_u64(&json!("0xFf")), Ok(255));
        for wrong in [json!("0x"), json!("0x01"), json!("1"), json!(1), json!("0x_1")] {
            assert!(quantity(&wrong).is_err(), "{wrong}");
        }
        assert!(quantity_u64(&json!("0x10000000000000000")).is_err());
        assert_eq!(count(&json!(7)), Ok(7));
        assert!(quantity(&json!("")).is_err());
        let number = or_zero(quantity_u64);
        assert_eq!((number(&json!("")), number(&json!("0x7"))), (Ok(0), Ok(7)));
        assert!(number(&json!("0x")).is_err() && number(&json!("7")).is_err());
    }

    #[test]
    fn storage_keys_may_be_short_but_not_long() {
        assert_eq!(slot(&json!("0x0")), Ok(U256::ZERO));
        assert_eq!(slot(&json!("0x001")), Ok(U256::from(1)));
        assert!(slot(&json!(format!("0x{}", "0".repeat(65)))).is_err());
        assert!(slot(&json!("0xasdf")).is_err());
        assert!(slot(&json!("1")).is_err());
    }

    #[test]
    fn the_key_of_a_slot_that_is_read_needs_no_prefix() {
        let word = "11".repeat(32);
        for (text, key) in [
            ("1", U256::from(1)),
            ("0x01", U256::from(1)),
            ("0X1", U256::from(1)),
            ("a0b", U256::from(0xa0b)),
            ("", U256::ZERO),
            (word.as_str(), U256::from_be_bytes([0x11; 32])),
        ] {
            assert_eq!(storage_key(&json!(text)), Ok(key), "{text}");
        }
        for wrong in [json!(1), json!("asdf"), json!("0xasdf"), json!("-1"), json!(word + "1")] {
            assert!(storage_key(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn data_has_whole_bytes() {
        assert_eq!(bytes(&json!("0x")), Ok(Bytes::new()));
        assert_eq!(bytes(&json!("")), Ok(Bytes::new()));
        assert_eq!(bytes(&json!("0x01ff")), Ok(Bytes::from(vec![1, 255])));
        assert!(bytes(&json!("0x1")).is_err());
    }
}
