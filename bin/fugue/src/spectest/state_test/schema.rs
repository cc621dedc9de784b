//! The JSON of state tests, over all its ages: numbers as hex with or without leading zeros and of
//! odd length, addresses in any case.

use alloy_consensus::{Signed, TxLegacy};
use fugue_state::{Account, MemoryAccount, MemoryState};
use fugue_types::{
    Address, B256, Bytes, Header, KECCAK256_EMPTY, Transaction, TxKind, U256, keccak256,
};
use serde::{Deserialize, Deserializer, de::Error as _};
use std::collections::BTreeMap;

/// A number as the fixtures write it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::spectest) struct Number(pub(in crate::spectest) U256);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits = text.strip_prefix("0x").unwrap_or(&text);
        let radix = if digits.len() == text.len() { 10 } else { 16 };
        let digits = if digits.is_empty() { "0" } else { digits };
        U256::from_str_radix(digits, radix)
            .map(Self)
            .map_err(|error| D::Error::custom(format!("\"{text}\": {error}")))
    }
}

impl Number {
    pub(in crate::spectest) fn to_u64(self, what: &str) -> Result<u64, String> {
        u64::try_from(self.0).map_err(|_| format!("{what} {} is above 64 bits", self.0))
    }
}

#[derive(Debug, Deserialize)]
pub(in crate::spectest) struct StateTest {
    pub(super) env: Env,
    pre: BTreeMap<Address, PreAccount>,
    pub(super) transaction: TestTransaction,
    pub(super) post: BTreeMap<String, Vec<Post>>,
    pub(super) config: Option<Config>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Config {
    #[serde(default)]
    pub(super) blob_schedule: BTreeMap<String, BlobEntry>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::spectest) struct BlobEntry {
    #[serde(deserialize_with = "small")]
    pub(in crate::spectest) target: u64,
    #[serde(deserialize_with = "small")]
    pub(in crate::spectest) max: u64,
    #[serde(deserialize_with = "small")]
    pub(in crate::spectest) base_fee_update_fraction: u64,
}

pub(in crate::spectest) fn small<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<u64, D::Error> {
    Number::deserialize(deserializer)?.to_u64("number").map_err(D::Error::custom)
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Env {
    pub(super) current_coinbase: Address,
    current_difficulty: Number,
    #[serde(deserialize_with = "small")]
    current_gas_limit: u64,
    #[serde(deserialize_with = "small")]
    current_number: u64,
    #[serde(deserialize_with = "small")]
    current_timestamp: u64,
    current_base_fee: Option<Number>,
    current_random: Option<Number>,
    current_excess_blob_gas: Option<Number>,
    slot_number: Option<Number>,
}

impl Env {
    /// A header that shows the transaction this environment. Fields of later forks may be set;
    /// the rules of the fork leave them out.
    pub(super) fn header(&self) -> Header {
        let small = |number: Option<Number>| number.map(|number| number.0.saturating_to());
        Header {
            beneficiary: self.current_coinbase,
            difficulty: self.current_difficulty.0,
            gas_limit: self.current_gas_limit,
            number: self.current_number,
            timestamp: self.current_timestamp,
            base_fee_per_gas: small(self.current_base_fee),
            mix_hash: self.current_random.map(|random| B256::from(random.0)).unwrap_or_default(),
            excess_blob_gas: small(self.current_excess_blob_gas),
            slot_number: small(self.slot_number),
            ..Header::default()
        }
    }
}

#[derive(Debug, Deserialize)]
pub(in crate::spectest) struct PreAccount {
    balance: Number,
    nonce: Number,
    code: Bytes,
    storage: BTreeMap<Number, Number>,
}

impl StateTest {
    /// The state before.
    pub(super) fn state(&self) -> MemoryState {
        state_of(&self.pre)
    }
}

/// The state that a fixture lists.
pub(in crate::spectest) fn state_of(accounts: &BTreeMap<Address, PreAccount>) -> MemoryState {
    let mut state = MemoryState::default();
    for (address, pre) in accounts {
        let code_hash = if pre.code.is_empty() { KECCAK256_EMPTY } else { keccak256(&pre.code) };
        if !pre.code.is_empty() {
            state.codes.insert(code_hash, pre.code.clone());
        }
        let nonce = pre.nonce.0.saturating_to();
        let account = Account { nonce, balance: pre.balance.0, code_hash };
        let slots = pre.storage.iter().filter(|(_, value)| !value.0.is_zero());
        let slots = slots.map(|(slot, value)| (slot.0, value.0)).collect();
        state.accounts.insert(*address, MemoryAccount { account, slots });
    }
    state
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TestTransaction {
    data: Vec<Bytes>,
    /// Read where the transaction is built from here: the values of others may be above 256 bits.
    gas_limit: Vec<serde_json::Value>,
    gas_price: Option<serde_json::Value>,
    nonce: Number,
    to: String,
    value: Vec<serde_json::Value>,
    pub(super) sender: Address,
}

#[derive(Debug, Deserialize)]
pub(super) struct Post {
    indexes: Indexes,
    pub(super) hash: B256,
    pub(super) logs: B256,
    pub(super) txbytes: Option<Bytes>,
    #[serde(rename = "expectException")]
    pub(super) expect_exception: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Indexes {
    data: usize,
    gas: usize,
    value: usize,
}

impl TestTransaction {
    /// The variant's transaction, from fixtures that give no signed bytes: all are of type 0 and
    /// from before EIP-155. Its signature is void, as the sender is given.
    ///
    /// # Errors
    /// A message that names the field.
    pub(super) fn unsigned(&self, post: &Post) -> Result<Transaction, String> {
        let number = |what: &str, value: Option<&serde_json::Value>| {
            let value = value.ok_or_else(|| format!("{what}: missing"))?;
            Number::deserialize(value).map_err(|error| format!("{what}: {error}"))
        };
        let Indexes { data, gas, value } = post.indexes;
        let gas_price = number("gasPrice", self.gas_price.as_ref())?.0;
        let to = match self.to.as_str() {
            "" => TxKind::Create,
            to => TxKind::Call(to.parse().map_err(|error| format!("to: {error}"))?),
        };
        let tx = TxLegacy {
            chain_id: None,
            nonce: self.nonce.to_u64("nonce")?,
            gas_price: u128::try_from(gas_price).map_err(|_| "gasPrice is above 128 bits")?,
            gas_limit: number("gasLimit", self.gas_limit.get(gas))?.to_u64("gasLimit")?,
            to,
            value: number("value", self.value.get(value))?.0,
            input: self.data.get(data).ok_or("data: missing")?.clone(),
        };
        let void = alloy_primitives::Signature::new(U256::ONE, U256::ONE, false);
        Ok(Transaction::Legacy(Signed::new_unhashed(tx, void)))
    }
}
