//! A header as the child of its parent.

use crate::{Mismatch, expect};
use alloy_eips::eip1559::{
    BaseFeeParams, DEFAULT_ELASTICITY_MULTIPLIER, GAS_LIMIT_BOUND_DIVISOR, INITIAL_BASE_FEE,
    calc_next_block_base_fee,
};
use fugue_chainspec::{Fork, Rules};
use fugue_types::Header;

/// Lowest gas limit of a block. Source: Yellow Paper, "Block Header Validity".
const GAS_LIMIT_MIN: u64 = 5_000;

/// Judges a header by its parent's. `rules` and `parent_rules` are those of the two blocks. The
/// seal and the difficulty of proof of work are not judged here.
///
/// # Errors
/// The first [`Mismatch`].
///
/// Source: Yellow Paper, "Block Header Validity"; EIP-1559; EIP-4844; EIP-7918.
pub fn check_child(
    header: &Header,
    rules: &Rules,
    parent: &Header,
    parent_rules: &Rules,
) -> Result<(), Mismatch> {
    expect("parentHash", parent.hash_slow(), header.parent_hash)?;
    expect("number", parent.number.saturating_add(1), header.number)?;
    if header.timestamp <= parent.timestamp {
        let bound = format!("above {}", parent.timestamp);
        return Err(Mismatch::new("timestamp", bound, header.timestamp));
    }
    check_gas_limit(header, rules, parent, parent_rules)?;
    if rules.has(Fork::London)
        && let Some(found) = header.base_fee_per_gas
    {
        expect("baseFeePerGas", base_fee(parent, parent_rules), found)?;
    }
    if let (Some(params), Some(found)) = (rules.blob_params, header.excess_blob_gas) {
        // The parent's base fee decides whether the reserve price holds; a parent before Cancun
        // has used no blobs.
        let excess = params.next_block_excess_blob_gas_osaka(
            parent.excess_blob_gas.unwrap_or_default(),
            parent.blob_gas_used.unwrap_or_default(),
            parent.base_fee_per_gas.unwrap_or_default(),
        );
        expect("excessBlobGas", excess, found)?;
    }
    Ok(())
}

/// Base fee of the child of `parent`, in wei; the child is London or later.
fn base_fee(parent: &Header, parent_rules: &Rules) -> u64 {
    match parent.base_fee_per_gas {
        Some(base_fee) if parent_rules.has(Fork::London) => calc_next_block_base_fee(
            parent.gas_used,
            parent.gas_limit,
            base_fee,
            BaseFeeParams::ethereum(),
        ),
        _ => INITIAL_BASE_FEE,
    }
}

fn check_gas_limit(
    header: &Header,
    rules: &Rules,
    parent: &Header,
    parent_rules: &Rules,
) -> Result<(), Mismatch> {
    // Source: EIP-1559, "Specification": the limit doubles at the fork itself.
    let is_london_block = rules.has(Fork::London) && !parent_rules.has(Fork::London);
    let scale = if is_london_block { DEFAULT_ELASTICITY_MULTIPLIER } else { 1 };
    let before = parent.gas_limit.saturating_mul(scale);
    let step = before / GAS_LIMIT_BOUND_DIVISOR;
    if header.gas_limit.abs_diff(before) >= step.max(1) {
        let bound = format!("less than {step} away from {before}");
        return Err(Mismatch::new("gasLimit", bound, header.gas_limit));
    }
    if header.gas_limit < GAS_LIMIT_MIN {
        let bound = format!("at least {GAS_LIMIT_MIN}");
        return Err(Mismatch::new("gasLimit", bound, header.gas_limit));
    }
    Ok(())
}
