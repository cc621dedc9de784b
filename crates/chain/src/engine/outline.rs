//! A block that is to be built: what is known of it before its transactions, and the whole block
//! once they have been run.

use super::{BuildAttributes, BuiltPayload};
use crate::Head;
use alloy_consensus::{EMPTY_OMMER_ROOT_HASH, proofs};
use alloy_rlp::Encodable;
use fugue_chainspec::{ChainSpec, Fork, Rules};
use fugue_executor::{BlockOutcome, BuildLimits, Draft};
use fugue_txpool::Sidecar;
use fugue_types::{
    B256, Block, BlockBody, Bytes, Header, SealedBlock, Transaction, U256, Withdrawals, keccak256,
};
use fugue_validation::{
    child_base_fee, child_excess_blob_gas, child_gas_limit, logs_bloom, receipts_root,
};
use std::{sync::Arc, time::Instant};

/// Transactions that are tried for one block, at most.
pub(crate) const CANDIDATES_MAX: usize = 20_000;
/// Largest block in RLP, in bytes, from Osaka on. Source: EIP-7934.
const BLOCK_BYTES_MAX: usize = 8 << 20;
/// Bytes of a block besides its transactions and withdrawals, at most: the header, lengths, and
/// room that the bound leaves for what consensus clients add. Source: EIP-7934 leaves 2 MiB of 10.
const FRAME_BYTES: usize = 2_048;

/// What is known of a block before its transactions.
pub(crate) struct Outline {
    pub(crate) header: Header,
    pub(crate) withdrawals: Option<Withdrawals>,
    pub(crate) rules: Rules,
}

impl Outline {
    /// Of a child of the block `head`, whose header is `parent`. `gas_limit` is the limit to go
    /// towards where the attributes name none.
    pub(crate) fn new(
        spec: &ChainSpec,
        head: Head,
        parent: &Header,
        attributes: &BuildAttributes,
        gas_limit: u64,
        extra_data: Bytes,
    ) -> Self {
        let number = parent.number + 1;
        let rules = spec.rules_at(number, attributes.timestamp);
        let target = attributes.target_gas_limit.unwrap_or(gas_limit);
        let withdrawals = attributes.withdrawals.clone().map(Withdrawals::new);
        let header = Header {
            parent_hash: head.hash,
            ommers_hash: EMPTY_OMMER_ROOT_HASH,
            beneficiary: attributes.fee_recipient,
            number,
            gas_limit: child_gas_limit(parent, target),
            timestamp: attributes.timestamp,
            extra_data,
            mix_hash: attributes.prev_randao,
            base_fee_per_gas: Some(child_base_fee(parent, &spec.rules(parent))),
            withdrawals_root: withdrawals
                .as_deref()
                .map(|withdrawals| proofs::calculate_withdrawals_root(withdrawals)),
            excess_blob_gas: rules.blob_params.map(|params| child_excess_blob_gas(&params, parent)),
            parent_beacon_block_root: attributes.parent_beacon_block_root,
            slot_number: attributes.slot_number,
            ..Header::default()
        };
        Self { header, withdrawals, rules }
    }

    /// As execution takes it.
    pub(crate) const fn draft(&self) -> Draft<'_> {
        Draft { header: &self.header, withdrawals: self.withdrawals.as_ref() }
    }

    /// What the block may hold, and until when it is filled.
    pub(crate) fn limits(&self, until: Option<Instant>) -> BuildLimits {
        let withdrawals = self.withdrawals.as_ref().map_or(0, Encodable::length);
        let bytes_max = BLOCK_BYTES_MAX.saturating_sub(FRAME_BYTES + withdrawals);
        BuildLimits { txs_max: CANDIDATES_MAX, bytes_max, blobs_max: None, until }
    }

    /// The block of these transactions, which did this, and paid its fee recipient `fees` wei. The
    /// state after it has the root `state_root`.
    pub(crate) fn seal(
        &self,
        transactions: Vec<Transaction>,
        outcome: BlockOutcome,
        fees: U256,
        state_root: B256,
        sidecars: Vec<Arc<Sidecar>>,
    ) -> BuiltPayload {
        let Self { header, withdrawals, rules } = self;
        let receipts = outcome.receipts();
        let access_list = outcome.access_list.map(|list| Bytes::from(alloy_rlp::encode(list)));
        let header = Header {
            state_root,
            transactions_root: proofs::calculate_transaction_root(&transactions),
            receipts_root: receipts_root(&receipts),
            logs_bloom: logs_bloom(&receipts),
            gas_used: outcome.gas_used,
            blob_gas_used: rules.has(Fork::Cancun).then_some(outcome.blob_gas_used),
            requests_hash: outcome.requests.as_ref().map(|requests| requests.requests_hash()),
            block_access_list_hash: access_list.as_ref().map(keccak256),
            ..header.clone()
        };
        let body = BlockBody { transactions, ommers: Vec::new(), withdrawals: withdrawals.clone() };
        BuiltPayload {
            block: SealedBlock::seal(Block { header, body }),
            value: fees,
            requests: outcome.requests,
            access_list,
            sidecars,
        }
    }
}
