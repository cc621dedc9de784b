//! The body against its header, and the header's own fields against its fork.

use crate::{Mismatch, expect};
use alloy_consensus::{
    Transaction as _,
    proofs::{calculate_ommers_root, calculate_transaction_root, calculate_withdrawals_root},
};
use fugue_chainspec::{Fork, Rules};
use fugue_types::{Block, SealedBlock};

/// Largest `extraData` in bytes. Source: Yellow Paper, "Block Header Validity".
const EXTRA_DATA_BYTES_MAX: usize = 32;

/// Whether the ommers of a block are at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ommers {
    /// They are in the body.
    Known,
    /// The source of the block does not have them; their hash is not compared.
    Unknown,
}

/// Judges a body by its header, and the header's fields by its fork.
///
/// # Errors
/// The first [`Mismatch`].
///
/// Source: Yellow Paper, "Holistic Validity"; EIP-4895, EIP-4844, EIP-3675, EIP-7685.
pub fn check_block(block: &SealedBlock, rules: &Rules, ommers: Ommers) -> Result<(), Mismatch> {
    let Block { header, body } = block.block();
    let root = calculate_transaction_root(&body.transactions);
    expect("transactionsRoot", header.transactions_root, root)?;
    if ommers == Ommers::Known {
        expect("sha3Uncles", header.ommers_hash, calculate_ommers_root(&body.ommers))?;
    }
    fields_of_fork(block.block(), rules)?;
    if let Some(expected) = header.withdrawals_root {
        let withdrawals = body.withdrawals.as_ref().map(|all| &all[..]).unwrap_or_default();
        expect("withdrawalsRoot", expected, calculate_withdrawals_root(withdrawals))?;
    }
    if let Some(expected) = header.blob_gas_used {
        let used = body.transactions.iter().filter_map(|tx| tx.blob_gas_used()).sum::<u64>();
        expect("blobGasUsed", expected, used)?;
    }
    if let (Some(params), Some(used)) = (rules.blob_params, header.blob_gas_used)
        && used > params.max_blob_gas_per_block()
    {
        let limit = format!("at most {}", params.max_blob_gas_per_block());
        return Err(Mismatch::new("blobGasUsed", limit, used));
    }
    if header.gas_used > header.gas_limit {
        let limit = format!("at most {}", header.gas_limit);
        return Err(Mismatch::new("gasUsed", limit, header.gas_used));
    }
    if header.extra_data.len() > EXTRA_DATA_BYTES_MAX {
        let limit = format!("at most {EXTRA_DATA_BYTES_MAX} bytes");
        return Err(Mismatch::new("extraData", limit, header.extra_data.len()));
    }
    if rules.has(Fork::Paris) {
        expect("difficulty", fugue_types::U256::ZERO, header.difficulty)?;
    }
    Ok(())
}

/// A field is there from its fork on and not before.
fn fields_of_fork(block: &Block, rules: &Rules) -> Result<(), Mismatch> {
    let header = &block.header;
    let fields = [
        ("baseFeePerGas", Fork::London, header.base_fee_per_gas.is_some()),
        ("withdrawalsRoot", Fork::Shanghai, header.withdrawals_root.is_some()),
        ("blobGasUsed", Fork::Cancun, header.blob_gas_used.is_some()),
        ("excessBlobGas", Fork::Cancun, header.excess_blob_gas.is_some()),
        ("parentBeaconBlockRoot", Fork::Cancun, header.parent_beacon_block_root.is_some()),
        ("requestsHash", Fork::Prague, header.requests_hash.is_some()),
        ("blockAccessListHash", Fork::Amsterdam, header.block_access_list_hash.is_some()),
        ("slotNumber", Fork::Amsterdam, header.slot_number.is_some()),
    ];
    let presence = |is_there: bool| if is_there { "a value" } else { "none" };
    for (field, fork, is_there) in fields {
        expect(field, presence(rules.has(fork)), presence(is_there))?;
    }
    Ok(())
}
