//! The JSON of a genesis file, as loosely as geth takes it.
//!
//! * A number is a JSON number, or a string of decimal digits or of hexadecimal ones after `0x`;
//!   the empty string is zero.
//! * Addresses and keys of slots go with and without `0x`, slots with fewer than 64 digits.
//! * Fields that nobody asks for are passed over.
//!
//! Stricter than geth in one point: an account or a slot that stands there twice, in two
//! notations, is an error; geth takes either.

use super::GenesisError;
use fugue_state::{Account, MemoryAccount, MemoryState};
use fugue_types::{Address, B256, Bytes, KECCAK256_EMPTY, U256, keccak256};
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Unexpected, Visitor},
};
use serde_json::{Value, value::RawValue};
use std::{
    collections::{BTreeMap, btree_map::Entry},
    fmt,
    marker::PhantomData,
};

/// Digits of a slot's key or value.
const WORD_DIGITS_MAX: usize = 64;

/// The fields of a genesis file.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object with the fields of a genesis")]
pub(super) struct GenesisFile {
    pub(super) config: Option<Value>,
    pub(super) nonce: Option<Number<u64>>,
    pub(super) timestamp: Option<Number<u64>>,
    pub(super) extra_data: Option<Bytes>,
    pub(super) gas_limit: Option<Number<u64>>,
    pub(super) difficulty: Option<Number<U256>>,
    #[serde(alias = "mixhash")]
    pub(super) mix_hash: Option<B256>,
    pub(super) coinbase: Option<Address>,
    pub(super) alloc: Option<Alloc>,
    pub(super) number: Option<Number<u64>>,
    pub(super) gas_used: Option<Number<u64>>,
    pub(super) parent_hash: Option<B256>,
    pub(super) base_fee_per_gas: Option<Number<u64>>,
    pub(super) excess_blob_gas: Option<Number<u64>>,
    pub(super) blob_gas_used: Option<Number<u64>>,
    pub(super) slot_number: Option<Number<u64>>,
}

impl GenesisFile {
    /// Parses a whole file.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, GenesisError> {
        let mut json = serde_json::Deserializer::from_slice(bytes);
        let mut file: Self = serde_path_to_error::deserialize(&mut json).map_err(|error| {
            let path = match error.path().to_string() {
                path if path == "." => "JSON".to_owned(),
                path => path,
            };
            GenesisError::Json { path, source: error.into_inner() }
        })?;
        json.end()
            .map_err(|source| GenesisError::Json { path: "after the end".to_owned(), source })?;
        if let Some(config) = &mut file.config
            && let Some(found) = config.get_mut("terminalTotalDifficulty")
            && found.is_f64()
            && let Some(digits) = difficulty_digits(bytes)
        {
            *found = digits.into();
        }
        Ok(file)
    }
}

/// What of a file is read by its digits.
#[derive(Deserialize)]
struct Digits<'f> {
    #[serde(borrow)]
    config: Option<ConfigDigits<'f>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ConfigDigits<'f> {
    #[serde(borrow)]
    terminal_total_difficulty: Option<&'f RawValue>,
}

/// The terminal total difficulty as it stands there, if it is an integer: geth writes it as one,
/// of which a `Value` keeps only a float above 64 bits.
fn difficulty_digits(bytes: &[u8]) -> Option<&str> {
    let file: Digits<'_> = serde_json::from_slice(bytes).ok()?;
    let digits = file.config?.terminal_total_difficulty?.get();
    digits.bytes().all(|digit| digit.is_ascii_digit()).then_some(digits)
}

/// Accounts by address.
pub(super) type Alloc = Unique<Address, AllocAccount>;

/// An account before the first block.
#[derive(Debug, Deserialize)]
#[serde(expecting = "an account")]
pub(super) struct AllocAccount {
    balance: Number<U256>,
    nonce: Option<Number<u64>>,
    code: Option<Bytes>,
    storage: Option<Unique<Word, Word>>,
}

impl Alloc {
    /// The state of these accounts. Every account that is listed exists, also one of which all is
    /// zero (geth: no account is cleared at genesis); a slot that is zero does not.
    pub(super) fn into_state(self) -> MemoryState {
        let mut state = MemoryState::default();
        for (address, account) in self.0 {
            let AllocAccount { balance, nonce, code, storage } = account;
            let code = code.unwrap_or_default();
            let code_hash = if code.is_empty() { KECCAK256_EMPTY } else { keccak256(&code) };
            if !code.is_empty() {
                state.codes.insert(code_hash, code);
            }
            let slots = storage.into_iter().flat_map(|storage| storage.0);
            let slots = slots.filter(|(_, Word(value))| !value.is_zero());
            let slots = slots.map(|(Word(slot), Word(value))| (slot, value)).collect();
            let nonce = nonce.map_or(0, |Number(nonce)| nonce);
            let account = Account { nonce, balance: balance.0, code_hash };
            state.accounts.insert(address, MemoryAccount { account, slots });
        }
        state
    }
}

/// A number in any notation that geth takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Number<T>(pub(super) T);

impl<'de, T: TryFrom<U256>> Deserialize<'de> for Number<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = deserializer.deserialize_any(NumberVisitor)?;
        let fitting = T::try_from(number);
        fitting.map(Self).map_err(|_| de::Error::custom(format!("{number} is too large")))
    }
}

struct NumberVisitor;

impl Visitor<'_> for NumberVisitor {
    type Value = U256;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a number: decimal, or hexadecimal after 0x")
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<U256, E> {
        Ok(U256::from(number))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<U256, E> {
        number(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}

fn number(text: &str) -> Option<U256> {
    if text.is_empty() {
        return Some(U256::ZERO);
    }
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => digits_of(digits, 16),
        None => digits_of(text, 10),
    }
}

/// What the digits say; `None` if there are none, or other characters among them, or too many.
fn digits_of(digits: &str, radix: u32) -> Option<U256> {
    let are_digits = !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(radix));
    are_digits.then(|| U256::from_str_radix(digits, radix.into()).ok()).flatten()
}

/// A slot's key or value: up to 32 bytes in hexadecimal, with or without `0x`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Word(U256);

impl fmt::Display for Word {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:#x}", self.0)
    }
}

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(WordVisitor)
    }
}

struct WordVisitor;

impl Visitor<'_> for WordVisitor {
    type Value = Word;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("up to 32 bytes in hexadecimal")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Word, E> {
        let digits = text.strip_prefix("0x").unwrap_or(text);
        let word = match digits.len() {
            0 => Some(U256::ZERO),
            1..=WORD_DIGITS_MAX => digits_of(digits, 16),
            _ => None,
        };
        word.map(Word).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}

/// An object whose keys differ as values, not only as text.
#[derive(Debug)]
pub(super) struct Unique<K, V>(BTreeMap<K, V>);

impl<'de, K, V> Deserialize<'de> for Unique<K, V>
where
    K: Deserialize<'de> + Ord + fmt::Display,
    V: Deserialize<'de>,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(UniqueVisitor(PhantomData))
    }
}

struct UniqueVisitor<K, V>(PhantomData<(K, V)>);

impl<'de, K, V> Visitor<'de> for UniqueVisitor<K, V>
where
    K: Deserialize<'de> + Ord + fmt::Display,
    V: Deserialize<'de>,
{
    type Value = Unique<K, V>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found: BTreeMap<K, V> = BTreeMap::new();
        while let Some((key, value)) = map.next_entry()? {
            match found.entry(key) {
                Entry::Vacant(vacant) => {
                    vacant.insert(value);
                }
                Entry::Occupied(occupied) => {
                    let twice = format!("{} is listed twice", occupied.key());
                    return Err(de::Error::custom(twice));
                }
            }
        }
        Ok(Unique(found))
    }
}
