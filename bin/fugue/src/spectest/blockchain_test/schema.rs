//! The JSON of blockchain tests, over all its ages.

use super::{
    payload::NewPayload,
    verdict::{Expected, Refused, TestBlock, Wire},
};
use crate::spectest::state_test::schema::{BlobEntry, Number, PreAccount, small};
use alloy_primitives::B64;
use fugue_types::{Address, B256, Block, Bloom, Bytes, Header, SealedBlock};
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::Value;
use std::{collections::BTreeMap, fmt};

/// Of a block: its access list (EIP-7928), which its RLP has the hash of.
const ACCESS_LIST: &str = "blockAccessList";
/// Of a block that is refused: what its RLP holds.
const DECODED: &str = "rlp_decoded";
/// How the keys of expected refusals begin. What follows is nothing, [`EVERY_NETWORK`], or the
/// network at which the block is refused.
const EXCEPTION: &str = "expectException";
/// In the key of a refusal: at every network.
const EVERY_NETWORK: &str = "ALL";

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Fixture {
    pub(super) network: String,
    pub(super) config: Option<Config>,
    pub(super) genesis_block_header: GenesisHeader,
    pub(super) pre: BTreeMap<Address, PreAccount>,
    #[serde(default)]
    pub(super) blocks: Vec<Element>,
    #[serde(default)]
    pub(super) engine_new_payloads: Vec<NewPayload>,
    #[serde(rename = "lastblockhash")]
    pub(super) last_block_hash: B256,
    pub(super) post_state: Option<BTreeMap<Address, PreAccount>>,
    pub(super) post_state_hash: Option<B256>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Config {
    pub(super) network: Option<String>,
    pub(super) chainid: Option<Number>,
    #[serde(default)]
    pub(super) blob_schedule: BTreeMap<String, BlobEntry>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct GenesisHeader {
    parent_hash: B256,
    uncle_hash: B256,
    coinbase: Address,
    state_root: B256,
    transactions_trie: B256,
    receipt_trie: B256,
    bloom: Bloom,
    difficulty: Number,
    #[serde(deserialize_with = "small")]
    number: u64,
    #[serde(deserialize_with = "small")]
    gas_limit: u64,
    #[serde(deserialize_with = "small")]
    gas_used: u64,
    #[serde(deserialize_with = "small")]
    timestamp: u64,
    extra_data: Bytes,
    mix_hash: B256,
    nonce: B64,
    base_fee_per_gas: Option<Number>,
    withdrawals_root: Option<B256>,
    blob_gas_used: Option<Number>,
    excess_blob_gas: Option<Number>,
    parent_beacon_block_root: Option<B256>,
    requests_hash: Option<B256>,
    block_access_list_hash: Option<B256>,
    slot_number: Option<Number>,
    pub(super) hash: B256,
}

impl GenesisHeader {
    pub(super) fn into_header(self) -> Header {
        // A number that does not fit gives another hash than the fixture's.
        let small = |number: Option<Number>| number.map(|number| number.0.saturating_to());
        Header {
            parent_hash: self.parent_hash,
            ommers_hash: self.uncle_hash,
            beneficiary: self.coinbase,
            state_root: self.state_root,
            transactions_root: self.transactions_trie,
            receipts_root: self.receipt_trie,
            logs_bloom: self.bloom,
            difficulty: self.difficulty.0,
            number: self.number,
            gas_limit: self.gas_limit,
            gas_used: self.gas_used,
            timestamp: self.timestamp,
            extra_data: self.extra_data,
            mix_hash: self.mix_hash,
            nonce: self.nonce,
            base_fee_per_gas: small(self.base_fee_per_gas),
            withdrawals_root: self.withdrawals_root,
            blob_gas_used: small(self.blob_gas_used),
            excess_blob_gas: small(self.excess_blob_gas),
            parent_beacon_block_root: self.parent_beacon_block_root,
            requests_hash: self.requests_hash,
            block_access_list_hash: self.block_access_list_hash,
            slot_number: small(self.slot_number),
        }
    }
}

/// An element of `blocks`.
#[derive(Debug, Default)]
pub(super) struct Element {
    rlp: Option<Bytes>,
    /// Of a block that is valid; the others have no header in the fixture.
    hash: Option<B256>,
    /// Names of the reasons for which the block is refused, by what follows [`EXCEPTION`].
    exceptions: Vec<(String, String)>,
    /// As the fixture has it, from Amsterdam on.
    access_list: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct Hashed {
    hash: B256,
}

impl<'de> Deserialize<'de> for Element {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ElementVisitor)
    }
}

struct ElementVisitor;

impl<'de> Visitor<'de> for ElementVisitor {
    type Value = Element;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a block")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Element, A::Error> {
        let mut element = Element::default();
        while let Some(key) = map.next_key::<String>()? {
            match (key.as_str(), key.strip_prefix(EXCEPTION)) {
                ("rlp", _) => element.rlp = Some(map.next_value()?),
                ("blockHeader", _) => element.hash = Some(map.next_value::<Hashed>()?.hash),
                (ACCESS_LIST, _) => element.access_list = Some(map.next_value()?),
                (DECODED, _) => {
                    let mut decoded: Value = map.next_value()?;
                    let list = decoded.get_mut(ACCESS_LIST).map(Value::take);
                    element.access_list = element.access_list.or(list);
                }
                (_, Some(network)) => {
                    element.exceptions.push((network.to_owned(), map.next_value()?));
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(element)
    }
}

impl Element {
    /// Decodes the block.
    ///
    /// # Errors
    /// A message, if the fixture has no bytes.
    pub(super) fn into_block(self, network: &str) -> Result<TestBlock, String> {
        let Self { rlp, hash, exceptions, access_list } = self;
        let rlp = rlp.ok_or("rlp: missing")?;
        let exception = ["", network, EVERY_NETWORK].into_iter().find_map(|wanted| {
            exceptions.iter().find(|(at, _)| at == wanted).map(|(_, names)| names.clone())
        });
        let expected = match (exception, hash) {
            (None, Some(hash)) => Expected::Valid(hash),
            (exception, _) => Expected::Invalid(exception),
        };
        let block = alloy_rlp::decode_exact::<Block>(&rlp)
            .map(SealedBlock::seal)
            .map_err(|error| Refused::undecodable(&error));
        Ok(TestBlock { block, expected, wire: Wire::Block { access_list } })
    }
}
