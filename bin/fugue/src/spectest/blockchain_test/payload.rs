//! Blocks as calls of the Engine API carry them. Source: execution-apis, `engine_newPayload`.

use super::verdict::{Call, Expected, Refused, TestBlock, Wire};
use crate::spectest::state_test::schema::{Number, small};
use alloy_consensus::proofs::{calculate_transaction_root, calculate_withdrawals_root};
use alloy_eips::Decodable2718;
use fugue_types::{
    Address, B256, Block, BlockBody, Bloom, Bytes, Header, Requests, SealedBlock, Transaction,
    TransactionTrait as _, Withdrawal, Withdrawals, keccak256,
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use std::str::FromStr;

/// A call of `engine_newPayload`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NewPayload {
    /// The payload; from Cancun on versioned hashes and beacon root; from Prague on requests.
    params: Vec<Value>,
    /// Names of the reasons for which the block is refused.
    validation_error: Option<String>,
    /// What the API answers to a call that it does not understand.
    error_code: Option<Value>,
    #[serde(alias = "version")]
    new_payload_version: Option<Value>,
    forkchoice_updated_version: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload {
    parent_hash: B256,
    fee_recipient: Address,
    state_root: B256,
    receipts_root: B256,
    logs_bloom: Bloom,
    prev_randao: B256,
    #[serde(deserialize_with = "small")]
    block_number: u64,
    #[serde(deserialize_with = "small")]
    gas_limit: u64,
    #[serde(deserialize_with = "small")]
    gas_used: u64,
    #[serde(deserialize_with = "small")]
    timestamp: u64,
    extra_data: Bytes,
    #[serde(deserialize_with = "small")]
    base_fee_per_gas: u64,
    block_hash: B256,
    transactions: Vec<Bytes>,
    withdrawals: Option<Vec<Withdrawal>>,
    blob_gas_used: Option<Number>,
    excess_blob_gas: Option<Number>,
    block_access_list: Option<Bytes>,
    slot_number: Option<Number>,
}

impl NewPayload {
    /// The block of the call.
    ///
    /// # Errors
    /// A message, if the call is not of its form.
    pub(super) fn into_block(self) -> Result<TestBlock, String> {
        let Self {
            params,
            validation_error,
            error_code,
            new_payload_version,
            forkchoice_updated_version,
        } = self;
        let call = Call {
            params: Value::Array(params.clone()),
            new_payload: new_payload_version.as_ref().map(number).transpose()?,
            forkchoice: forkchoice_updated_version.as_ref().map(number).transpose()?,
        };
        let wire = Wire::Call(call);
        if let Some(code) = error_code {
            // Perhaps the parameters cannot be read at all.
            let block = Err(Refused::new("INPUT_UNMARSHAL_ERROR", "the call is refused"));
            return Ok(TestBlock { block, expected: Expected::Error(number(&code)?), wire });
        }
        let mut params = params.into_iter();
        let payload: Payload = param(params.next())?.ok_or("params: empty")?;
        let versioned_hashes: Option<Vec<B256>> = param(params.next())?;
        let beacon_root: Option<B256> = param(params.next())?;
        let requests: Option<Vec<Bytes>> = param(params.next())?;
        let hash = payload.block_hash;
        let expected = match validation_error {
            None => Expected::Valid(hash),
            exception => Expected::Invalid(exception),
        };
        let block = payload
            .into_block(beacon_root, requests.map(Requests::new))
            .and_then(|block| seal(block, hash, versioned_hashes.as_deref()));
        Ok(TestBlock { block, expected, wire })
    }
}

/// A number, or one in decimal text.
fn number<T: FromStr + TryFrom<i64>>(value: &Value) -> Result<T, String> {
    let found = match value {
        Value::String(text) => text.parse().ok(),
        value => value.as_i64().and_then(|number| T::try_from(number).ok()),
    };
    found.ok_or_else(|| format!("{value} is not such a number"))
}

fn param<T: DeserializeOwned>(value: Option<Value>) -> Result<Option<T>, String> {
    let param = value.map(serde_path_to_error::deserialize::<_, T>).transpose();
    param.map_err(|error| format!("params: {error}"))
}

/// Compares with what the call says beside the block.
fn seal(
    block: Block,
    hash: B256,
    versioned_hashes: Option<&[B256]>,
) -> Result<SealedBlock, Refused> {
    if let Some(expected) = versioned_hashes {
        let transactions = block.body.transactions.iter();
        let hashes = transactions.filter_map(|tx| tx.blob_versioned_hashes()).flatten();
        if !hashes.eq(expected) {
            let why = "the versioned hashes are not those of the transactions";
            return Err(Refused::new("INVALID_VERSIONED_HASHES", why));
        }
    }
    SealedBlock::seal_as(block, hash).map_err(|error| Refused::new("INVALID_BLOCK_HASH", error))
}

impl Payload {
    /// Puts the block together, whose header the payload has in parts.
    fn into_block(
        self,
        parent_beacon_block_root: Option<B256>,
        requests: Option<Requests>,
    ) -> Result<Block, Refused> {
        let transactions = self.transactions.iter().map(|tx| Transaction::decode_2718_exact(tx));
        let transactions = transactions
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| Refused::undecodable(&alloy_rlp::Error::from(error)))?;
        let small = |number: Option<Number>| number.map(|number| number.0.saturating_to());
        let header = Header {
            parent_hash: self.parent_hash,
            beneficiary: self.fee_recipient,
            state_root: self.state_root,
            transactions_root: calculate_transaction_root(&transactions),
            receipts_root: self.receipts_root,
            logs_bloom: self.logs_bloom,
            number: self.block_number,
            gas_limit: self.gas_limit,
            gas_used: self.gas_used,
            timestamp: self.timestamp,
            extra_data: self.extra_data,
            mix_hash: self.prev_randao,
            base_fee_per_gas: Some(self.base_fee_per_gas),
            withdrawals_root: self.withdrawals.as_deref().map(calculate_withdrawals_root),
            blob_gas_used: small(self.blob_gas_used),
            excess_blob_gas: small(self.excess_blob_gas),
            parent_beacon_block_root,
            requests_hash: requests.map(|requests| requests.requests_hash()),
            block_access_list_hash: self.block_access_list.map(keccak256),
            slot_number: small(self.slot_number),
            ..Header::default()
        };
        let withdrawals = self.withdrawals.map(Withdrawals::new);
        Ok(Block { header, body: BlockBody { transactions, ommers: Vec::new(), withdrawals } })
    }
}
