//! The next block of a chain for development: what is asked of it is asked with its time and fees,
//! which a tool may have set, over the state after the head.

use super::of_dev;
use crate::public::Context;
use alloy_eips::eip1559::BaseFeeParams;
use fugue_chain::DevBlock;
use fugue_types::{B256, Header};
use jsonrpsee::types::ErrorObjectOwned;

/// The block that would be made at this moment; `None` on any other chain.
pub(crate) fn next_block(context: &Context) -> Result<Option<DevBlock>, ErrorObjectOwned> {
    let next = context.dev.as_ref().map(|dev| dev.chain.next_block());
    next.transpose().map_err(of_dev)
}

/// Its header, as far as what runs in it sees that; `parent` is the head's.
pub(crate) fn next_header(context: &Context, next: &DevBlock, parent: &Header) -> Header {
    let DevBlock { timestamp, prev_randao, fee_recipient, base_fee, gas_limit, content: _ } = next;
    let header = Header {
        parent_hash: parent.hash_slow(),
        number: parent.number.saturating_add(1),
        timestamp: *timestamp,
        mix_hash: *prev_randao,
        beneficiary: *fee_recipient,
        base_fee_per_gas: base_fee
            .or_else(|| parent.next_block_base_fee(BaseFeeParams::ethereum())),
        gas_limit: gas_limit.unwrap_or(parent.gas_limit),
        parent_beacon_block_root: Some(B256::ZERO),
        ..parent.clone()
    };
    let params = context.engine.spec().rules(&header).blob_params;
    let excess_blob_gas = params.and_then(|params| parent.next_block_excess_blob_gas(params));
    Header { excess_blob_gas, ..header }
}
