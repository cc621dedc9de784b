//! Payloads: blocks as the Engine API writes them, and what a call says beside them.
//!
//! ```text
//! parameters -> NewPayload -> SealedBlock
//!               structure,    transactions decode,
//!               fork          hashes are what the call says
//! ```
//! What fails at the first arrow is an error of the call, what fails at the second one an invalid
//! payload. Neither needs the chain, so both are found while syncing, too.

use super::{
    errors::Failure,
    forks::{Era, Version},
    params::ParamList,
    wire::{Data, Fixed, Quantity, Wide, WireWithdrawal},
};
use alloy_consensus::proofs::{calculate_transaction_root, calculate_withdrawals_root};
use alloy_eips::{Decodable2718, Encodable2718};
use fugue_types::{
    Address, B256, Block, BlockAccessList, BlockBody, Bloom, Bytes, HashMismatch, Header, Requests,
    SealedBlock, Transaction, TransactionTrait, U256, Withdrawals, keccak256,
};
use jsonrpsee::types::Params;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

const PAYLOAD: &str = "executionPayload";
const REQUESTS: &str = "executionRequests";
/// Of `engine_newPayloadV1` and V2.
const ALONE: &[&str] = &[PAYLOAD];
/// Of V3.
const WITH_BLOBS: &[&str] = &[PAYLOAD, "expectedBlobVersionedHashes", "parentBeaconBlockRoot"];
/// Of V4 and V5.
const WITH_REQUESTS: &[&str] =
    &[PAYLOAD, "expectedBlobVersionedHashes", "parentBeaconBlockRoot", REQUESTS];

/// `ExecutionPayloadV1` to `V4`, which differ in the optional fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ExecutionPayload {
    parent_hash: Fixed<32>,
    fee_recipient: Fixed<20>,
    state_root: Fixed<32>,
    receipts_root: Fixed<32>,
    logs_bloom: Fixed<256>,
    prev_randao: Fixed<32>,
    block_number: Quantity,
    gas_limit: Quantity,
    gas_used: Quantity,
    timestamp: Quantity,
    extra_data: Data,
    base_fee_per_gas: Wide,
    block_hash: Fixed<32>,
    transactions: Vec<Data>,
    #[serde(skip_serializing_if = "Option::is_none")]
    withdrawals: Option<Vec<WireWithdrawal>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blob_gas_used: Option<Quantity>,
    #[serde(skip_serializing_if = "Option::is_none")]
    excess_blob_gas: Option<Quantity>,
    #[serde(skip_serializing_if = "Option::is_none")]
    block_access_list: Option<Data>,
    #[serde(skip_serializing_if = "Option::is_none")]
    slot_number: Option<Quantity>,
}

/// Which fields a payload has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Structure {
    V1,
    /// And `withdrawals`.
    V2,
    /// And `blobGasUsed`, `excessBlobGas`.
    V3,
    /// And `blockAccessList`, `slotNumber`.
    V4,
}

/// A call of `engine_newPayload` whose parameters have their form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NewPayload {
    payload: ExecutionPayload,
    /// From V3 on.
    versioned_hashes: Option<Vec<Fixed<32>>>,
    /// From V3 on.
    beacon_root: Option<B256>,
    /// From V4 on.
    requests: Option<Requests>,
    /// From V5 on: the payload's `blockAccessList`, decoded.
    access_list: Option<BlockAccessList>,
}

/// A payload that is no block, or not the one that the call says. It is invalid, whatever its
/// ancestors are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unfit {
    #[error("transaction {0} is empty")]
    EmptyTransaction(usize),
    #[error("transaction {index}: {reason}")]
    Transaction { index: usize, reason: String },
    #[error("a base fee of {0} wei is above what any block can have")]
    BaseFee(U256),
    #[error("the versioned hashes are not those of the transactions")]
    VersionedHashes,
    #[error(transparent)]
    Hash(#[from] HashMismatch),
}

impl ExecutionPayload {
    /// The payload of a block.
    pub(super) fn of_block(block: &SealedBlock, access_list: Option<&Bytes>) -> Self {
        let Block { header, body } = block.block();
        let number = |number: Option<u64>| number.map(Quantity);
        let transactions = body.transactions.iter().map(|tx| Data(tx.encoded_2718().into()));
        let withdrawals = body.withdrawals.as_ref();
        Self {
            parent_hash: Fixed(header.parent_hash),
            fee_recipient: Fixed(header.beneficiary.0),
            state_root: Fixed(header.state_root),
            receipts_root: Fixed(header.receipts_root),
            logs_bloom: Fixed(header.logs_bloom.0),
            prev_randao: Fixed(header.mix_hash),
            block_number: Quantity(header.number),
            gas_limit: Quantity(header.gas_limit),
            gas_used: Quantity(header.gas_used),
            timestamp: Quantity(header.timestamp),
            extra_data: Data(header.extra_data.clone()),
            base_fee_per_gas: Wide(U256::from(header.base_fee_per_gas.unwrap_or_default())),
            block_hash: Fixed(block.hash()),
            transactions: transactions.collect(),
            withdrawals: withdrawals.map(|list| list.iter().map(WireWithdrawal::from).collect()),
            blob_gas_used: number(header.blob_gas_used),
            excess_blob_gas: number(header.excess_blob_gas),
            block_access_list: access_list.cloned().map(Data),
            slot_number: number(header.slot_number),
        }
    }

    /// Rule: the fields are exactly those of the structure.
    fn check(&self, due: Structure) -> Result<(), Failure> {
        for (field, is_given, since) in [
            ("withdrawals", self.withdrawals.is_some(), Structure::V2),
            ("blobGasUsed", self.blob_gas_used.is_some(), Structure::V3),
            ("excessBlobGas", self.excess_blob_gas.is_some(), Structure::V3),
            ("blockAccessList", self.block_access_list.is_some(), Structure::V4),
            ("slotNumber", self.slot_number.is_some(), Structure::V4),
        ] {
            let is_due = due >= since;
            if is_given != is_due {
                let why = if is_due { "missing" } else { "not of this version and fork" };
                return Err(Failure::param(PAYLOAD, format!("{field}: {why}")));
            }
        }
        Ok(())
    }

    /// Rule: the block access list decodes. Source: execution-apis, `amsterdam.md`; hive.
    fn access_list(&self) -> Result<Option<BlockAccessList>, Failure> {
        let Some(Data(rlp)) = &self.block_access_list else { return Ok(None) };
        match alloy_rlp::decode_exact::<BlockAccessList>(rlp) {
            Ok(list) => Ok(Some(list)),
            Err(error) => Err(Failure::param(PAYLOAD, format!("blockAccessList: {error}"))),
        }
    }
}

impl NewPayload {
    /// Reads the parameters of a call. `era_at` says which fork a number and a timestamp are of.
    ///
    /// # Errors
    /// [`Failure::InvalidParams`] if the structure is not the version's; only then
    /// `UnsupportedFork`, if the version is not for such blocks.
    pub(super) fn decode(
        version: Version,
        params: &Params<'_>,
        era_at: impl Fn(u64, u64) -> Era,
    ) -> Result<Self, Failure> {
        let names = match version {
            Version::V1 | Version::V2 => ALONE,
            Version::V3 => WITH_BLOBS,
            Version::V4 | Version::V5 | Version::V6 => WITH_REQUESTS,
        };
        let list = ParamList::new(params, names)?;
        let payload: ExecutionPayload = list.required(0)?;
        let mut call = Self {
            payload,
            versioned_hashes: None,
            beacon_root: None,
            requests: None,
            access_list: None,
        };
        if version >= Version::V3 {
            call.versioned_hashes = Some(list.required(1)?);
            call.beacon_root = Some(list.required::<Fixed<32>>(2)?.0);
        }
        if version >= Version::V4 {
            call.requests = Some(requests(list.required(3)?)?);
        }
        call.check(version, era_at(call.payload.block_number.0, call.payload.timestamp.0))?;
        Ok(call)
    }

    fn check(&mut self, version: Version, era: Era) -> Result<(), Failure> {
        let payload = &self.payload;
        let is_fitting = match version {
            // A block of a later fork then lacks what its header must have.
            Version::V1 => {
                payload.check(Structure::V1)?;
                true
            }
            // The fork says which of two structures is due, so it comes first.
            Version::V2 => {
                if era < Era::Cancun {
                    let due = if era < Era::Shanghai { Structure::V1 } else { Structure::V2 };
                    payload.check(due)?;
                }
                era < Era::Cancun
            }
            Version::V3 => {
                payload.check(Structure::V3)?;
                era == Era::Cancun
            }
            Version::V4 => {
                payload.check(Structure::V3)?;
                matches!(era, Era::Prague | Era::Osaka)
            }
            Version::V5 | Version::V6 => {
                payload.check(Structure::V4)?;
                self.access_list = payload.access_list()?;
                era == Era::Amsterdam
            }
        };
        if is_fitting {
            return Ok(());
        }
        let timestamp = payload.timestamp.0;
        Err(Failure::unsupported_fork(format!(
            "engine_newPayload{version:?} is not for payloads of timestamp {timestamp}"
        )))
    }

    /// Number and hash of the block.
    pub(super) fn place(&self) -> (u64, B256) {
        (self.payload.block_number.0, self.payload.block_hash.0)
    }

    /// Puts the block together, whose header the call has in parts, and compares it with what the
    /// call says of it.
    pub(super) fn into_block(self) -> Result<SealedBlock, Unfit> {
        let Self { payload, versioned_hashes, beacon_root, requests, access_list } = self;
        let hash = payload.block_hash.0;
        let block = payload.into_block(beacon_root, requests.as_ref())?;
        if let Some(expected) = versioned_hashes {
            let txs = block.body.transactions.iter();
            let hashes = txs.filter_map(|tx| tx.blob_versioned_hashes()).flatten();
            if !hashes.eq(expected.iter().map(|hash| &hash.0)) {
                return Err(Unfit::VersionedHashes);
            }
        }
        let block = SealedBlock::seal_as(block, hash)?;
        Ok(block.with_access_list(access_list.map(Arc::new)))
    }
}

impl ExecutionPayload {
    fn into_block(
        self,
        parent_beacon_block_root: Option<B256>,
        requests: Option<&Requests>,
    ) -> Result<Block, Unfit> {
        let transactions = transactions(&self.transactions)?;
        let base_fee = self.base_fee_per_gas.0;
        let base_fee = u64::try_from(base_fee).map_err(|_| Unfit::BaseFee(base_fee))?;
        let withdrawals = self
            .withdrawals
            .map(|withdrawals| Withdrawals::new(withdrawals.into_iter().map(Into::into).collect()));
        let header = Header {
            parent_hash: self.parent_hash.0,
            beneficiary: Address(self.fee_recipient.0),
            state_root: self.state_root.0,
            transactions_root: calculate_transaction_root(&transactions),
            receipts_root: self.receipts_root.0,
            logs_bloom: Bloom(self.logs_bloom.0),
            number: self.block_number.0,
            gas_limit: self.gas_limit.0,
            gas_used: self.gas_used.0,
            timestamp: self.timestamp.0,
            extra_data: self.extra_data.0,
            mix_hash: self.prev_randao.0,
            base_fee_per_gas: Some(base_fee),
            withdrawals_root: withdrawals.as_ref().map(|list| calculate_withdrawals_root(list)),
            blob_gas_used: self.blob_gas_used.map(|gas| gas.0),
            excess_blob_gas: self.excess_blob_gas.map(|gas| gas.0),
            parent_beacon_block_root,
            requests_hash: requests.map(Requests::requests_hash),
            block_access_list_hash: self.block_access_list.map(|list| keccak256(list.0)),
            slot_number: self.slot_number.map(|slot| slot.0),
            ..Header::default()
        };
        Ok(Block { header, body: BlockBody { transactions, ommers: Vec::new(), withdrawals } })
    }
}

/// Rule: every transaction has at least one byte, and decodes.
fn transactions(encoded: &[Data]) -> Result<Vec<Transaction>, Unfit> {
    let decode = |(index, Data(bytes)): (usize, &Data)| {
        if bytes.is_empty() {
            return Err(Unfit::EmptyTransaction(index));
        }
        Transaction::decode_2718_exact(bytes)
            .map_err(|error| Unfit::Transaction { index, reason: error.to_string() })
    };
    encoded.iter().enumerate().map(decode).collect()
}

/// Rule: requests have data, and each type comes once and in order.
/// Source: execution-apis, `prague.md`, `engine_newPayloadV4`.
fn requests(items: Vec<Data>) -> Result<Requests, Failure> {
    let mut last: Option<u8> = None;
    for (index, Data(item)) in items.iter().enumerate() {
        let [kind, _, ..] = item[..] else {
            return Err(Failure::param(REQUESTS, format!("element {index} has no data")));
        };
        if last.is_some_and(|last| last >= kind) {
            let why = format!("element {index}: type {kind} is out of order, or comes twice");
            return Err(Failure::param(REQUESTS, why));
        }
        last = Some(kind);
    }
    Ok(Requests::new(items.into_iter().map(|Data(item)| item).collect()))
}

#[cfg(test)]
mod tests;
