//! Transaction tests: the bytes of one transaction, and what each fork makes of them.

use super::{
    equal,
    plain::{EVERY_FORK, PlainCase, is_wanted, number},
    state_test,
};
use alloy_consensus::{
    TxLegacy,
    transaction::{RlpEcdsaDecodableTx, from_eip155_value},
};
use alloy_eips::{
    Decodable2718,
    eip2718::{
        EIP1559_TX_TYPE_ID, EIP2930_TX_TYPE_ID, Eip2718Error, Eip2718Result, LEGACY_TX_TYPE_ID,
    },
    eip2930::AccessList,
};
use alloy_rlp::{Decodable, Error, Header as ListHeader};
use fugue_chainspec::{ChainSpec, Rules};
use fugue_types::{Address, B256, Bytes, Header, Transaction, TxKind, U256};
use fugue_validation::{InvalidTransaction, check_transaction, check_transaction_type};
use serde::Deserialize;
use serde_json::Value;
use std::{cmp::Ordering, collections::BTreeMap};

/// From this byte on a transaction is in RLP: of type 0. Source: EIP-2718.
const LIST: u8 = 0xc0;
/// Below this byte the first one is a type. Source: EIP-2718.
const TYPE_END: u8 = 0x80;

#[derive(Debug, Deserialize)]
struct TransactionTest {
    txbytes: Bytes,
    result: BTreeMap<String, Expected>,
}

/// What a fork makes of the transaction: all of the first three, or an exception.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Expected {
    hash: Option<B256>,
    sender: Option<Address>,
    #[serde(default)]
    intrinsic_gas: Value,
    exception: Option<String>,
}

/// Every fork of the test.
pub(super) fn cases(name: &str, test: &Value, fork: Option<&str>) -> Vec<PlainCase> {
    let TransactionTest { txbytes, result } = match serde_path_to_error::deserialize(test) {
        Ok(test) => test,
        Err(error) => {
            let (name, result) = (name.to_owned(), Err(error.to_string()));
            return vec![PlainCase { name, fork: EVERY_FORK.to_owned(), result }];
        }
    };
    let wanted = result.into_iter().filter(|(name, _)| is_wanted(name, fork));
    let case = |(fork, expected): (String, Expected)| PlainCase {
        name: format!("{name}[{fork}]"),
        result: run_one(&txbytes, &fork, &expected),
        fork,
    };
    wanted.map(case).collect()
}

fn run_one(bytes: &[u8], fork: &str, expected: &Expected) -> Result<(), String> {
    let fork = state_test::fork(fork).ok_or_else(|| format!("fork {fork} is not known"))?;
    let rules = ChainSpec::at_fork(state_test::CHAIN_ID, fork).rules(&Header::default());
    let judged = match decode(bytes) {
        Ok(tx) => check_transaction(&tx, &rules).map(|facts| (tx, facts)).map_err(Refused::from),
        Err(error) => {
            let names = faults(bytes, &rules);
            Err(Refused { message: format!("transaction: {error}"), names })
        }
    };
    match (judged, &expected.exception) {
        (Ok((tx, facts)), None) => {
            compare("hash", expected.hash, *tx.hash())?;
            compare("sender", expected.sender, facts.sender)?;
            let intrinsic_gas = number(&expected.intrinsic_gas)?;
            compare("intrinsicGas", Some(intrinsic_gas), U256::from(facts.intrinsic_gas))
        }
        (Ok(_), Some(name)) => Err(format!("expected {name}, but the transaction is valid")),
        (Err(refused), None) => Err(refused.message),
        (Err(refused), Some(expected)) => {
            let is_named = |name: &str| {
                let name = name.rsplit('.').next().unwrap_or(name);
                refused.names.iter().any(|known| known == name)
            };
            if expected.split('|').any(is_named) {
                return Ok(());
            }
            let message = refused.message;
            Err(format!("expected {expected}, refused for another reason: {message}"))
        }
    }
}

fn compare<T: PartialEq + std::fmt::Display>(
    what: &str,
    expected: Option<T>,
    found: T,
) -> Result<(), String> {
    equal(what, expected.ok_or_else(|| format!("{what} is missing"))?, found)
}

/// A refused transaction, and the official names of the reasons.
struct Refused {
    message: String,
    names: Vec<String>,
}

impl From<InvalidTransaction> for Refused {
    fn from(error: InvalidTransaction) -> Self {
        Self { message: error.to_string(), names: owned(error.names()) }
    }
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Decodes a transaction to its last byte, and says what is wrong with one of type 0, too.
fn decode(bytes: &[u8]) -> Eip2718Result<Transaction> {
    if bytes.first().is_none_or(|first| *first < LIST) {
        return Transaction::decode_2718_exact(bytes);
    }
    let mut rest = bytes;
    let tx = TxLegacy::rlp_decode_signed(&mut rest)?;
    if rest.is_empty() {
        Ok(Transaction::Legacy(tx))
    } else {
        Err(Eip2718Error::RlpError(Error::UnexpectedLength))
    }
}

/// Official names of what is wrong with bytes that do not decode. The decoder says what it met
/// first, but not in which field, and the names are by field.
fn faults(bytes: &[u8], rules: &Rules) -> Vec<String> {
    let (tx_type, body) = match bytes.split_first() {
        Some((first, body)) if *first < TYPE_END => (*first, body),
        _ => (LEGACY_TX_TYPE_ID, bytes),
    };
    let mut names = match check_transaction_type(tx_type, rules) {
        Ok(()) => Vec::new(),
        Err(error) => owned(error.names()),
    };
    if let Some(fields) = fields(tx_type) {
        names.extend(faults_of_list(body, fields));
    }
    names
}

/// What is wrong with the list as a whole, and with the first field that cannot be read.
fn faults_of_list(bytes: &[u8], fields: &[Field]) -> Vec<String> {
    let mut rest = bytes;
    let header = match ListHeader::decode(&mut rest) {
        Ok(header) if header.list => header,
        // Some take such a string for an envelope, of a type that does not exist.
        Ok(_) => return owned(&["RLP_INVALID_HEADER", "TYPE_NOT_SUPPORTED"]),
        Err(Error::LeadingZero) => return owned(&["RLP_ERROR_SIZE_LEADING_ZEROS"]),
        Err(_) => return owned(&["RLP_ERROR_SIZE", "RLP_ERROR_EOF"]),
    };
    let mut names = Vec::new();
    if rest.len() != header.payload_length {
        names.push("RLP_ERROR_SIZE".to_owned());
    }
    let mut payload = rest.get(..header.payload_length).unwrap_or(rest);
    match item_count(payload).map(|count| count.cmp(&fields.len())) {
        Some(Ordering::Less) => names.push("RLP_TOO_FEW_ELEMENTS".to_owned()),
        Some(Ordering::Greater) => names.push("RLP_TOO_MANY_ELEMENTS".to_owned()),
        Some(Ordering::Equal) | None => {}
    }
    for field in fields {
        if let Err(error) = (field.read)(&mut payload) {
            names.extend(faults_of_field(field.name, error));
            break;
        }
    }
    names
}

/// Items of a list, if all of them begin and end well.
fn item_count(mut payload: &[u8]) -> Option<usize> {
    let mut count = 0;
    while !payload.is_empty() {
        let header = ListHeader::decode(&mut payload).ok()?;
        payload = payload.get(header.payload_length..)?;
        count += 1;
    }
    Some(count)
}

fn faults_of_field(field: &str, error: Error) -> Vec<String> {
    let zeros = format!("RLP_LEADING_ZEROS_{field}");
    match error {
        Error::InputTooShort => owned(&["RLP_ERROR_SIZE"]),
        Error::LeadingZero => {
            let of_size = format!("{zeros}_SIZE");
            vec![zeros, of_size]
        }
        // These, too, are told as zeros in front of the length.
        Error::NonCanonicalSingleByte | Error::NonCanonicalSize => vec![format!("{zeros}_SIZE")],
        Error::UnexpectedList if is_of_signature(field) => {
            vec![format!("RLP_INVALID_SIGNATURE_{field}")]
        }
        Error::UnexpectedList => vec![format!("RLP_INVALID_{field}")],
        Error::UnexpectedLength if field == "TO" => {
            owned(&["ADDRESS_TOO_LONG", "ADDRESS_TOO_SHORT"])
        }
        Error::UnexpectedLength => owned(&[
            "RLP_INVALID_ACCESS_LIST_ADDRESS_TOO_LONG",
            "RLP_INVALID_ACCESS_LIST_ADDRESS_TOO_SHORT",
            "RLP_INVALID_ACCESS_LIST_STORAGE_TOO_LONG",
            "RLP_INVALID_ACCESS_LIST_STORAGE_TOO_SHORT",
        ]),
        // A number of too many bytes may begin with zeros.
        Error::Overflow => [overflows(field), vec![zeros]].concat(),
        // `v` is none of those that there are.
        Error::Custom(_) => owned(&["INVALID_SIGNATURE_VRS", "INVALID_CHAINID"]),
        _ => Vec::new(),
    }
}

fn is_of_signature(field: &str) -> bool {
    matches!(field, "V" | "R" | "S")
}

fn overflows(field: &str) -> Vec<String> {
    match field {
        _ if is_of_signature(field) => owned(&["INVALID_SIGNATURE_VRS"]),
        // A price is read into 128 bits. The names are of what is wrong with one above 256 bits,
        // and of what a price below that makes of the fee.
        "GASPRICE" | "BASEFEE" => owned(&["GASPRICE_OVERFLOW", "GASLIMIT_PRICE_PRODUCT_OVERFLOW"]),
        "PRIORITY_FEE" => owned(&["PRIORITY_OVERFLOW", "PRIORITY_GREATER_THAN_MAX_FEE_PER_GAS_2"]),
        _ => vec![format!("{field}_OVERFLOW")],
    }
}

/// A field of a transaction, by what it is called in the names.
struct Field {
    name: &'static str,
    read: fn(&mut &[u8]) -> Result<(), Error>,
}

impl Field {
    const fn of<T: Decodable>(name: &'static str) -> Self {
        Self { name, read: read::<T> }
    }
}

const CHAIN_ID: Field = Field::of::<u64>("CHAINID");
const NONCE: Field = Field::of::<u64>("NONCE");
const GAS_PRICE: Field = Field::of::<u128>("GASPRICE");
const PRIORITY_FEE: Field = Field::of::<u128>("PRIORITY_FEE");
const MAX_FEE: Field = Field::of::<u128>("BASEFEE");
const GAS_LIMIT: Field = Field::of::<u64>("GASLIMIT");
const TO: Field = Field::of::<TxKind>("TO");
const VALUE: Field = Field::of::<U256>("VALUE");
const DATA: Field = Field::of::<Bytes>("DATA");
const ACCESS_LIST: Field = Field::of::<AccessList>("ACCESS_LIST");
const V: Field = Field { name: "V", read: read_v };
const PARITY: Field = Field::of::<bool>("V");
const R: Field = Field::of::<U256>("R");
const S: Field = Field::of::<U256>("S");

/// Fields of a signed transaction, in the order in which they are written; `None` for the types
/// that no fixture has at their fork.
const fn fields(tx_type: u8) -> Option<&'static [Field]> {
    const LEGACY: &[Field] = &[NONCE, GAS_PRICE, GAS_LIMIT, TO, VALUE, DATA, V, R, S];
    const EIP2930: &[Field] =
        &[CHAIN_ID, NONCE, GAS_PRICE, GAS_LIMIT, TO, VALUE, DATA, ACCESS_LIST, PARITY, R, S];
    const EIP1559: &[Field] = &[
        CHAIN_ID,
        NONCE,
        PRIORITY_FEE,
        MAX_FEE,
        GAS_LIMIT,
        TO,
        VALUE,
        DATA,
        ACCESS_LIST,
        PARITY,
        R,
        S,
    ];
    match tx_type {
        LEGACY_TX_TYPE_ID => Some(LEGACY),
        EIP2930_TX_TYPE_ID => Some(EIP2930),
        EIP1559_TX_TYPE_ID => Some(EIP1559),
        _ => None,
    }
}

fn read<T: Decodable>(bytes: &mut &[u8]) -> Result<(), Error> {
    T::decode(bytes).map(drop)
}

/// Source: EIP-155.
fn read_v(bytes: &mut &[u8]) -> Result<(), Error> {
    let v = u128::decode(bytes)?;
    from_eip155_value(v).map(drop).ok_or(Error::Custom("v is out of range"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::hex;
    use fugue_chainspec::Fork;
    use serde_json::json;

    /// `ttSignature/RightVRSTest`.
    const TRANSFER: &str = "0xf85f030182520894b94f5374fce5edbc8e2a8697c15331677e6ebf0b0a801ca098ff\
        921201554726367d2be8c804a7ff89ccf285ebc57dff8ae4c44b9c19ac4aa01887321be575c8095f789dd4c743\
        dfe42c1820f9231f98a962b210e3ac2452a3";
    /// Where its fields begin: behind the length of the list.
    const FIELDS: usize = 2;

    fn transfer() -> Vec<u8> {
        hex::decode(TRANSFER).unwrap()
    }

    /// The transfer with its list's length as it is, but for `replaced` bytes from `start` on.
    fn changed(start: usize, replaced: usize, with: &[u8]) -> Vec<u8> {
        let mut bytes = transfer();
        drop(bytes.splice(start..start + replaced, with.iter().copied()));
        let payload = u8::try_from(bytes.len() - FIELDS).unwrap();
        bytes[FIELDS - 1] = payload;
        bytes
    }

    fn names(bytes: &[u8]) -> Vec<String> {
        assert!(decode(bytes).is_err());
        let rules = ChainSpec::at_fork(1, Fork::Istanbul).rules(&Header::default());
        faults(bytes, &rules)
    }

    #[test]
    fn each_fork_is_a_case() {
        let good = json!({
            "hash": "0x1cbb233404f49e96cb795d0ea74f485eca2c41a216e0ce80694cef4dd7a45b50",
            "sender": "0x58d79230fc81a042315da7d243272798e27cb40c",
            "intrinsicGas": "0x5208",
        });
        let mut wrong = good.clone();
        wrong["intrinsicGas"] = json!("0x5209");
        let refused = json!({ "exception": "TransactionException.NONCE_TOO_BIG" });
        let test = json!({
            "txbytes": TRANSFER,
            "result": { "Berlin": good, "London": wrong, "Cancun": refused, "Nowhere": good },
        });
        let ended = |fork: &str| {
            let mut cases = cases("f.json::t", &test, Some(fork));
            assert_eq!(cases.len(), 1, "{fork}");
            cases.pop().unwrap()
        };
        let case = ended("Berlin");
        assert_eq!(case.name, "f.json::t[Berlin]");
        assert_eq!(case.result, Ok(()));
        for fork in ["London", "Cancun", "Nowhere"] {
            assert!(ended(fork).result.is_err(), "{fork}");
        }
        assert_eq!(cases("f.json::t", &test, None).len(), 4);
    }

    #[test]
    fn a_refusal_is_compared_by_its_name() {
        let mut bytes = transfer();
        bytes.push(0);
        let ended = |exception: &str| {
            let result = json!({ "Berlin": { "exception": exception, "intrinsicGas": "0x00" } });
            let test = json!({ "txbytes": Bytes::from(bytes.clone()), "result": result });
            cases("f.json::t", &test, None).pop().unwrap().result.is_ok()
        };
        assert!(ended("TransactionException.RLP_ERROR_SIZE"));
        assert!(ended("TransactionException.NONCE_TOO_BIG|TransactionException.RLP_ERROR_SIZE"));
        assert!(!ended("TransactionException.NONCE_TOO_BIG"));
    }

    #[test]
    fn a_fault_is_told_by_its_field() {
        let nonce = FIELDS;
        let cases: [(Vec<u8>, &str); 8] = [
            (changed(nonce, 1, &[0]), "RLP_LEADING_ZEROS_NONCE"),
            (changed(nonce, 1, &[0x81, 3]), "RLP_LEADING_ZEROS_NONCE_SIZE"),
            (changed(nonce, 1, &[0x89, 1, 0, 0, 0, 0, 0, 0, 0, 0]), "NONCE_OVERFLOW"),
            (changed(nonce, 1, &[0xc0]), "RLP_INVALID_NONCE"),
            (changed(nonce, 1, &[]), "RLP_TOO_FEW_ELEMENTS"),
            (changed(nonce, 1, &[3, 1]), "RLP_TOO_MANY_ELEMENTS"),
            (changed(nonce + 5, 21, &[0x81, 0xb9]), "ADDRESS_TOO_SHORT"),
            (vec![0xb8], "RLP_ERROR_EOF"),
        ];
        for (bytes, expected) in cases {
            let found = names(&bytes);
            assert!(found.iter().any(|name| name == expected), "{expected} is not in {found:?}");
        }
    }

    #[test]
    fn a_malformed_transaction_of_a_later_type_has_two_reasons() {
        let found = names(&[EIP1559_TX_TYPE_ID, 0xc1, 0]);
        for expected in ["TYPE_NOT_SUPPORTED", "RLP_LEADING_ZEROS_CHAINID"] {
            assert!(found.iter().any(|name| name == expected), "{expected} is not in {found:?}");
        }
    }
}
