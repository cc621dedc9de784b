//! Blocks that are not of the chain, but on a block that is known: given by a caller, or found
//! invalid. They are run as far as their transactions go.

use crate::public::{
    Context,
    error::{self, refused},
};
use alloy_consensus::transaction::SignerRecoverable;
use fugue_chain::{ChainView, ViewedBlock};
use fugue_chainspec::{Fork, Rules};
use fugue_executor::BlockError;
use fugue_types::{Address, B256, Block, Header, RecoveredBlock, Transaction};
use jsonrpsee::types::ErrorObjectOwned;

/// A block's gas limit may be larger than its parent's by less than this part of it. Source: Yellow
/// Paper, "Block Header Validity".
const GAS_LIMIT_PART: u64 = 1_024;

/// A block with its senders, or what is wrong with it.
///
/// # Errors
/// If the chain does not answer.
pub(super) fn recovered(
    view: &ChainView,
    block: Block,
) -> Result<Result<RecoveredBlock, String>, ErrorObjectOwned> {
    if let Some(reason) = out_of_bounds(view, &block.header)? {
        return Ok(Err(reason));
    }
    let rules = view.spec().rules(&block.header);
    let signers = block.body.transactions.iter().map(|tx| signer(&rules, tx));
    let senders = signers.collect::<Option<Vec<_>>>();
    let Some(senders) = senders else { return Ok(Err("a signature is invalid".to_owned())) };
    let hash = block.header.hash_slow();
    let Block { header, body } = block;
    let viewed = ViewedBlock { hash, header, body, senders };
    viewed.into_recovered().map(Ok).map_err(error::internal)
}

/// Who signed a transaction of a block with these rules; `None` if its signature is invalid.
pub(super) fn signer(rules: &Rules, tx: &Transaction) -> Option<Address> {
    let is_homestead = rules.has(Fork::Homestead);
    let signer = if is_homestead { tx.recover_signer() } else { tx.recover_signer_unchecked() };
    signer.ok()
}

/// A block that was found invalid, with its senders; `None` if none is known by this hash.
///
/// # Errors
/// If it cannot be run, or the chain does not answer.
pub(super) fn bad(
    context: &Context,
    view: &ChainView,
    hash: B256,
) -> Result<Option<RecoveredBlock>, ErrorObjectOwned> {
    let known = context.engine.bad_blocks();
    let Some(bad) = known.iter().find(|bad| bad.hash == hash) else { return Ok(None) };
    let recovered = recovered(view, bad.block.clone())?;
    recovered.map(Some).map_err(|reason| refused(format!("block {hash} cannot be run: {reason}")))
}

/// Why such a block was not run to its end.
pub(super) fn of_block(error: BlockError) -> ErrorObjectOwned {
    match error {
        BlockError::Invalid(reason) => refused(format!("invalid block: {reason}")),
        other => error::of_replay(other),
    }
}

/// What bounds a run, its gas limit and the price of blobs, must be what it could be in the chain.
/// Gives what is not, if anything.
fn out_of_bounds(view: &ChainView, header: &Header) -> Result<Option<String>, ErrorObjectOwned> {
    let parent = view.header_by_hash(header.parent_hash).map_err(error::of_chain)?;
    // Without a parent it is not run.
    let Some(parent) = parent else { return Ok(None) };
    let limit = parent.gas_limit;
    // The base fee doubles the gas limit at London. Source: EIP-1559, "Specification".
    let limit_max = limit.saturating_mul(2).saturating_add(limit / GAS_LIMIT_PART);
    // Source: EIP-4844, "Header extension".
    let excess_max = parent.excess_blob_gas.unwrap_or_default();
    let excess_max = excess_max.saturating_add(parent.blob_gas_used.unwrap_or_default());
    let excess = header.excess_blob_gas.unwrap_or_default();
    let bounds = [("gasLimit", header.gas_limit, limit_max), ("excessBlobGas", excess, excess_max)];
    let beyond = bounds.into_iter().find(|(_, found, max)| found > max);
    Ok(beyond.map(|(what, found, max)| {
        format!("{what} {found} cannot follow its parent, {max} is the most")
    }))
}
