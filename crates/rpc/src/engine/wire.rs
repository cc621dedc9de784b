//! Numbers and bytes as the Engine API writes them. Source: execution-apis, `common.md`,
//! "Encoding".
//!
//! Reading is as strict as the specification: a prefix, no leading zeros in numbers, whole bytes in
//! data. The published types read more than that.

use alloy_primitives::{FixedBytes, hex};
use fugue_types::{Address, B256, Bytes, U256, Withdrawal};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, Visitor},
};
use std::fmt;

const PREFIX: &str = "0x";

/// `QUANTITY`, 64 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Quantity(pub(super) u64);

/// `QUANTITY`, 256 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(super) struct Wide(pub(super) U256);

/// `DATA` of any length.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(super) struct Data(pub(super) Bytes);

/// `DATA` of `N` bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(super) struct Fixed<const N: usize>(pub(super) FixedBytes<N>);

/// `WithdrawalV1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct WireWithdrawal {
    index: Quantity,
    validator_index: Quantity,
    address: Fixed<20>,
    /// In gwei.
    amount: Quantity,
}

impl From<WireWithdrawal> for Withdrawal {
    fn from(withdrawal: WireWithdrawal) -> Self {
        let WireWithdrawal { index, validator_index, address, amount } = withdrawal;
        Self {
            index: index.0,
            validator_index: validator_index.0,
            address: Address::from(address.0),
            amount: amount.0,
        }
    }
}

impl From<&Withdrawal> for WireWithdrawal {
    fn from(withdrawal: &Withdrawal) -> Self {
        let Withdrawal { index, validator_index, address, amount } = *withdrawal;
        Self {
            index: Quantity(index),
            validator_index: Quantity(validator_index),
            address: Fixed(address.0),
            amount: Quantity(amount),
        }
    }
}

impl From<B256> for Fixed<32> {
    fn from(hash: B256) -> Self {
        Self(hash)
    }
}

/// A string that is read by a function.
struct Text<T> {
    what: &'static str,
    read: fn(&str) -> Result<T, String>,
}

impl<T> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        (self.read)(text).map_err(E::custom)
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read = |text: &str| -> Result<Self, String> {
            let digits = digits(text, 16)?;
            u64::from_str_radix(digits, 16).map(Self).map_err(|error| error.to_string())
        };
        deserializer.deserialize_str(Text { what: "a number as a hex string", read })
    }
}

impl Serialize for Quantity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:#x}", self.0))
    }
}

impl<'de> Deserialize<'de> for Wide {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read = |text: &str| -> Result<Self, String> {
            let digits = digits(text, 64)?;
            U256::from_str_radix(digits, 16).map(Self).map_err(|error| error.to_string())
        };
        deserializer.deserialize_str(Text { what: "a number as a hex string", read })
    }
}

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read = |text: &str| -> Result<Self, String> {
            let bytes = hex::decode(prefixed(text)?).map_err(|error| error.to_string())?;
            Ok(Self(bytes.into()))
        };
        deserializer.deserialize_str(Text { what: "bytes as a hex string", read })
    }
}

impl<'de, const N: usize> Deserialize<'de> for Fixed<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read = |text: &str| -> Result<Self, String> {
            let mut bytes = FixedBytes::<N>::ZERO;
            match hex::decode_to_slice(prefixed(text)?, &mut bytes.0) {
                Ok(()) => Ok(Self(bytes)),
                Err(error) => Err(format!("expected {N} bytes: {error}")),
            }
        };
        deserializer.deserialize_str(Text { what: "bytes as a hex string", read })
    }
}

/// The text itself, which has the prefix: the decoder takes it off.
fn prefixed(text: &str) -> Result<&str, String> {
    if text.starts_with(PREFIX) { Ok(text) } else { Err(format!("no {PREFIX} before the bytes")) }
}

/// The digits of a number.
fn digits(text: &str, digits_max: usize) -> Result<&str, String> {
    let digits =
        text.strip_prefix(PREFIX).ok_or_else(|| format!("no {PREFIX} before the number"))?;
    // The parsers of numbers take a sign, and one of them a separator.
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err("the number is not in hex".to_owned());
    }
    if digits.len() > 1 && digits.starts_with('0') {
        return Err("the number has leading zeros".to_owned());
    }
    if digits.len() > digits_max {
        return Err(format!("the number has more than {digits_max} digits"));
    }
    Ok(digits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::de::DeserializeOwned;

    fn read<T: DeserializeOwned>(text: &str) -> Option<T> {
        serde_json::from_str(&format!("\"{text}\"")).ok()
    }

    #[test]
    fn numbers_have_a_prefix_and_no_leading_zeros() {
        for (text, number) in [
            ("0x0", Some(0)),
            ("0x1f", Some(31)),
            ("0x1F", Some(31)),
            ("0xffffffffffffffff", Some(u64::MAX)),
            ("0x10000000000000000", None),
            ("0x", None),
            ("0x00", None),
            ("0x01", None),
            ("0X1", None),
            ("1", None),
            ("0x+1", None),
            ("0x_1", None),
            ("0xg", None),
        ] {
            assert_eq!(read::<Quantity>(text).map(|found| found.0), number, "{text}");
            let wide = read::<Wide>(text).map(|found| found.0);
            let above = (text == "0x10000000000000000").then(|| U256::from(1_u128 << 64));
            assert_eq!(wide, number.map(U256::from).or(above), "{text}");
        }
        assert!(serde_json::from_str::<Quantity>("1").is_err());
        assert!(serde_json::from_str::<Quantity>("null").is_err());
        assert_eq!(serde_json::to_string(&Quantity(0)).unwrap(), "\"0x0\"");
        assert_eq!(serde_json::to_string(&Quantity(31)).unwrap(), "\"0x1f\"");
        assert_eq!(serde_json::to_string(&Wide(U256::ZERO)).unwrap(), "\"0x0\"");
        assert_eq!(serde_json::to_string(&Wide(U256::from(31))).unwrap(), "\"0x1f\"");
    }

    #[test]
    fn bytes_have_a_prefix_and_their_length() {
        let cases: [(&str, Option<&[u8]>); 8] = [
            ("0x", Some(&[])),
            ("0x00fF", Some(&[0, 255])),
            ("0x0", None),
            ("00", None),
            ("0X00", None),
            ("0x0x00", None),
            ("0xgg", None),
            ("", None),
        ];
        for (text, bytes) in cases {
            assert_eq!(read::<Data>(text).as_ref().map(|found| &found.0[..]), bytes, "{text}");
        }
        assert!(serde_json::from_str::<Data>("[1,2]").is_err());
        assert_eq!(read::<Fixed<2>>("0x00ff"), Some(Fixed(FixedBytes([0, 255]))));
        for text in ["0x00", "0x00ff00", "00ff", "0x0x00", "0x00f"] {
            assert_eq!(read::<Fixed<2>>(text), None, "{text}");
        }
        assert_eq!(serde_json::to_string(&Data(Bytes::new())).unwrap(), "\"0x\"");
        assert_eq!(serde_json::to_string(&Fixed(FixedBytes([0, 255]))).unwrap(), "\"0x00ff\"");
    }

    #[test]
    fn withdrawals_round_trip() {
        let text = r#"{"index":"0x1","validatorIndex":"0x2","#.to_owned()
            + r#""address":"0x0300000000000000000000000000000000000000","amount":"0xff"}"#;
        let wire: WireWithdrawal = serde_json::from_str(&text).unwrap();
        let withdrawal = Withdrawal::from(wire);
        assert_eq!(withdrawal.amount, 255);
        assert_eq!(serde_json::to_string(&WireWithdrawal::from(&withdrawal)).unwrap(), text);
    }
}
