//! Judges a transaction by itself: what needs neither a state nor the other transactions.

use crate::{
    Origin, PoolError, PoolHead, PoolOptions, PooledTransaction, PooledTx, Sidecar,
    sidecar::check_sidecar, tx::encoded_bytes,
};
use alloy_eips::{
    eip2718::{Decodable2718, EIP4844_TX_TYPE_ID},
    eip4844::BLOB_TX_MIN_BLOB_GASPRICE,
};
use fugue_types::{Address, Transaction, TransactionTrait, Typed2718};
use fugue_validation::{check_transaction, check_transaction_from, check_transaction_type};
use std::sync::Arc;

/// Decodes the form in which transactions are sent, to the last byte.
///
/// # Errors
/// `PoolError::Size` before anything is decoded, `PoolError::SidecarMissing` for a blob transaction
/// in the form in which a block carries it, and `PoolError::Decode`.
pub(crate) fn decode(bytes: &[u8], options: &PoolOptions) -> Result<PooledTransaction, PoolError> {
    let is_blob = bytes.first() == Some(&EIP4844_TX_TYPE_ID);
    let max = if is_blob { options.blob_tx_bytes_max } else { options.tx_bytes_max };
    check_size(bytes.len(), max)?;
    PooledTransaction::decode_2718_exact(bytes).map_err(|error| {
        if is_blob && Transaction::decode_2718_exact(bytes).is_ok() {
            PoolError::SidecarMissing
        } else {
            PoolError::Decode(error.into())
        }
    })
}

/// Judges a transaction by itself, but for the proofs of its blobs.
///
/// What is cheap to see comes before the signature.
///
/// # Errors
/// The first reason not to take it.
pub(crate) fn check_alone(
    tx: Transaction,
    sidecar: Option<Sidecar>,
    origin: Origin,
    head: &PoolHead,
    options: &PoolOptions,
) -> Result<PooledTx, PoolError> {
    check_transaction_type(tx.ty(), &head.rules)?;
    check_sizes(&tx, sidecar.as_ref(), options)?;
    check_gas_limit(&tx, head)?;
    check_fees(&tx, origin, head, options)?;
    check_blobs(&tx, sidecar.as_ref(), head)?;
    let sender = check_transaction(&tx, &head.rules)?.sender;
    let sidecar = sidecar.map(Arc::new);
    Ok(PooledTx::new(tx, sender, sidecar, origin, head.rules.chain_id))
}

/// Judges a transaction of a block that left the chain. Its signature and its blobs were judged
/// when they came.
///
/// # Errors
/// The first reason not to take it back.
pub(crate) fn check_returned(
    tx: Transaction,
    sender: Address,
    sidecar: Option<Arc<Sidecar>>,
    origin: Origin,
    head: &PoolHead,
    options: &PoolOptions,
) -> Result<PooledTx, PoolError> {
    check_transaction_from(&tx, sender, &head.rules)?;
    check_sizes(&tx, sidecar.as_deref(), options)?;
    check_gas_limit(&tx, head)?;
    check_fees(&tx, origin, head, options)?;
    check_blobs(&tx, sidecar.as_deref(), head)?;
    Ok(PooledTx::new(tx, sender, sidecar, origin, head.rules.chain_id))
}

/// Judges a transaction of the pool anew, where the rules of the next block are those of another
/// fork than before.
///
/// # Errors
/// Which of them it breaks.
pub(crate) fn check_at_fork(pooled: &PooledTx, head: &PoolHead) -> Result<(), PoolError> {
    let PooledTx { tx, sender, sidecar, .. } = pooled;
    check_transaction_from(tx, *sender, &head.rules)?;
    check_blobs(tx, sidecar.as_deref(), head)
}

fn check_size(bytes: usize, max: usize) -> Result<(), PoolError> {
    if bytes > max { Err(PoolError::Size { bytes, max }) } else { Ok(()) }
}

fn check_sizes(
    tx: &Transaction,
    sidecar: Option<&Sidecar>,
    options: &PoolOptions,
) -> Result<(), PoolError> {
    check_size(encoded_bytes(tx, None), options.tx_bytes_max)?;
    match sidecar {
        Some(_) => check_size(encoded_bytes(tx, sidecar), options.blob_tx_bytes_max),
        None => Ok(()),
    }
}

fn check_gas_limit(tx: &Transaction, head: &PoolHead) -> Result<(), PoolError> {
    let (gas_limit, max) = (tx.gas_limit(), head.gas_limit);
    if gas_limit > max { Err(PoolError::GasLimit { gas_limit, max }) } else { Ok(()) }
}

fn check_fees(
    tx: &Transaction,
    origin: Origin,
    head: &PoolHead,
    options: &PoolOptions,
) -> Result<(), PoolError> {
    let (tip, min) = (tx.priority_fee_or_price(), options.tip_min);
    if origin == Origin::External && tip < min {
        return Err(PoolError::Underpriced { tip, min });
    }
    // Whoever sent it: what pays for nothing is kept for nothing, but where base fees are free.
    if tx.max_fee_per_gas() == 0 && !head.rules.is_dev {
        return Err(PoolError::Underpriced { tip: 0, min: 1 });
    }
    let least = head.rules.blob_params.map_or(BLOB_TX_MIN_BLOB_GASPRICE, |one| one.min_blob_fee);
    match tx.max_fee_per_blob_gas() {
        Some(fee) if fee < least => Err(PoolError::BlobUnderpriced { fee, min: least }),
        _ => Ok(()),
    }
}

/// Source: EIP-4844, "Networking"; EIP-7594, "Networking".
fn check_blobs(
    tx: &Transaction,
    sidecar: Option<&Sidecar>,
    head: &PoolHead,
) -> Result<(), PoolError> {
    let Some(hashes) = tx.blob_versioned_hashes() else { return Ok(()) };
    let sidecar = sidecar.ok_or(PoolError::SidecarMissing)?;
    let count = u64::try_from(hashes.len()).unwrap_or(u64::MAX);
    if let Some(params) = head.rules.blob_params {
        let max = params.max_blob_count.min(params.max_blobs_per_tx);
        if count > max {
            return Err(PoolError::BlobCount { count, max });
        }
    }
    check_sidecar(hashes, sidecar, &head.rules)
}

#[cfg(test)]
mod tests;
