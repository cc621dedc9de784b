//! Transactions of the chain and of the pool, their receipts, and sending one.

use crate::public::{
    Answer, Context,
    args::{Args, address, bytes, hash, quantity_u64},
    block_ref::{BlockRef, Tag, number_or_tag},
    dev, error,
    eth::{blocks, pending as pending_block},
    json, txpool,
    wire::{self, Place},
};
use alloy_eips::Encodable2718;
use fugue_chain::{ChainView, ImportError, StorageError, ViewedBlock};
use fugue_txpool::{Added, Origin};
use fugue_types::{Address, B256, Bytes, TransactionTrait};
use jsonrpsee::{core::JsonRawValue, types::ErrorObjectOwned};
use serde_json::Value;

/// `eth_getTransactionByHash`.
pub(crate) fn by_hash(context: &Context, mut args: Args) -> Answer {
    let hash = args.required("transaction hash", hash)?;
    args.end()?;
    // First the pool: what leaves it for a block is in the view that is taken then.
    let pooled = context.engine.pool().get(&hash);
    let view = context.view();
    if let Some((viewed, index)) = find(&view, hash)? {
        return json(&at_index(&view, viewed, index));
    }
    let Some(pooled) = pooled else { return json(&()) };
    json(&wire::pooled(&pooled).map_err(error::internal)?)
}

/// The block of a transaction, and its index there.
pub(crate) fn find(
    view: &ChainView,
    hash: B256,
) -> Result<Option<(ViewedBlock, usize)>, ErrorObjectOwned> {
    let Some((number, index)) = view.transaction(hash).map_err(error::of_chain)? else {
        return Ok(None);
    };
    let viewed = view.block(number).map_err(error::of_chain)?;
    Ok(viewed.map(|viewed| (viewed, index)))
}

/// `None` if the block does not have so many.
fn at_index(
    view: &ChainView,
    mut viewed: ViewedBlock,
    index: usize,
) -> Option<wire::WireTransaction> {
    let sender = *viewed.senders.get(index)?;
    let place = Place::new(viewed.hash, &viewed.header, &view.spec().rules(&viewed.header));
    if index >= viewed.body.transactions.len() {
        return None;
    }
    let tx = viewed.body.transactions.swap_remove(index);
    Some(wire::transaction(&place, index, tx, sender))
}

/// `eth_getTransactionByBlockHashAndIndex`.
pub(crate) fn by_block_hash_and_index(context: &Context, mut args: Args) -> Answer {
    let hash = args.required("block hash", hash)?;
    in_block(context, args, &BlockRef::Hash { hash, must_be_canonical: false })
}

/// `eth_getTransactionByBlockNumberAndIndex`.
pub(crate) fn by_block_number_and_index(context: &Context, mut args: Args) -> Answer {
    let block = args.required("block number", number_or_tag)?;
    in_block(context, args, &block)
}

fn in_block(context: &Context, mut args: Args, block: &BlockRef) -> Answer {
    let index = args.required("index", quantity_u64)?;
    args.end()?;
    // Larger than any index is an index that no block has.
    let index = usize::try_from(index).unwrap_or(usize::MAX);
    if *block == BlockRef::Tag(Tag::Pending) {
        return pending_block::transaction(context, index);
    }
    let view = context.view();
    let Some(viewed) = blocks::find(&view, block)? else { return json(&()) };
    json(&at_index(&view, viewed, index))
}

/// `eth_getRawTransactionByHash`, `debug_getRawTransaction`.
pub(crate) fn raw_by_hash(context: &Context, mut args: Args) -> Answer {
    let hash = args.required("transaction hash", hash)?;
    args.end()?;
    // As in `by_hash`.
    let pooled = context.engine.pool().get(&hash);
    if let Some((viewed, index)) = find(&context.view(), hash)? {
        return json(&encoded(&viewed, index));
    }
    // With its blobs, as it was sent.
    json(&pooled.map(|pooled| Bytes::from(pooled.encoded())))
}

/// As its block has it (EIP-2718); `None` if the block does not have so many.
fn encoded(viewed: &ViewedBlock, index: usize) -> Option<Bytes> {
    viewed.body.transactions.get(index).map(|tx| tx.encoded_2718().into())
}

/// `eth_getRawTransactionByBlockHashAndIndex`.
pub(crate) fn raw_by_block_hash_and_index(context: &Context, mut args: Args) -> Answer {
    let hash = args.required("block hash", hash)?;
    raw_in_block(context, args, &BlockRef::Hash { hash, must_be_canonical: false })
}

/// `eth_getRawTransactionByBlockNumberAndIndex`.
pub(crate) fn raw_by_block_number_and_index(context: &Context, mut args: Args) -> Answer {
    let block = args.required("block number", number_or_tag)?;
    raw_in_block(context, args, &block)
}

fn raw_in_block(context: &Context, mut args: Args, block: &BlockRef) -> Answer {
    let index = args.required("index", quantity_u64)?;
    args.end()?;
    let index = usize::try_from(index).unwrap_or(usize::MAX);
    if *block == BlockRef::Tag(Tag::Pending) {
        let found = pending_block::find(context)?;
        return json(&found.and_then(|viewed| encoded(&viewed, index)));
    }
    let found = blocks::find(&context.view(), block)?;
    json(&found.and_then(|viewed| encoded(&viewed, index)))
}

/// `eth_pendingTransactions`: those of the pool that could be in the next block.
pub(crate) fn pending(context: &Context, args: Args) -> Answer {
    args.end()?;
    txpool::check_size(context)?;
    let content = context.engine.pool().content();
    let txs = content.pending.values().flatten().map(|pooled| wire::pooled(pooled));
    json(&txs.collect::<Result<Vec<Value>, _>>().map_err(error::internal)?)
}

/// `eth_getTransactionBySenderAndNonce`: of the pool or of the chain.
pub(crate) fn by_sender_and_nonce(context: &Context, mut args: Args) -> Answer {
    let sender = args.required("address", address)?;
    let nonce = args.required("nonce", quantity_u64)?;
    args.end()?;
    // First the pool: what leaves it for a block is in the view that is taken then.
    let [pending, queued] = context.engine.pool().content_of(sender);
    if let Some(pooled) = pending.iter().chain(&queued).find(|pooled| pooled.nonce() == nonce) {
        return json(&wire::pooled(pooled).map_err(error::internal)?);
    }
    let view = context.view();
    let Some(number) = block_of_nonce(context, &view, sender, nonce)? else { return json(&()) };
    let viewed = view.block(number).map_err(error::of_chain)?;
    let viewed = viewed.ok_or_else(error::block_not_found)?;
    let mut signed = viewed.body.transactions.iter().zip(&viewed.senders);
    // An authorization (EIP-7702) uses a nonce, too, and is no transaction of its authority.
    let index = signed.position(|(tx, from)| *from == sender && tx.nonce() == nonce);
    json(&index.and_then(|index| at_index(&view, viewed, index)))
}

/// The block that used a nonce of an account; `None` if none did yet. The nonce of an account that
/// sends transactions never falls, so that its history can be halved: some 25 reads.
///
/// # Errors
/// Code 4444 if that was before the oldest state that is kept.
fn block_of_nonce(
    context: &Context,
    view: &ChainView,
    sender: Address,
    nonce: u64,
) -> Result<Option<u64>, ErrorObjectOwned> {
    let is_used = |number: u64| -> Result<bool, ErrorObjectOwned> {
        context.patience.check()?;
        let account = view.with_state(number, |state| state.account(sender));
        let account = account.map_err(error::of_chain)?.ok_or_else(error::block_not_found)?;
        Ok(account.map_err(error::of_state)?.unwrap_or_default().nonce > nonce)
    };
    let (mut unused, mut used) = (view.oldest_state(), view.head().number);
    if !is_used(used)? {
        return Ok(None);
    }
    if is_used(unused)? {
        // The genesis has no transactions, whatever nonces it gives.
        let Some(number) = unused.checked_sub(1) else { return Ok(None) };
        let pruned = StorageError::Pruned { what: "state", number, oldest: unused };
        return Err(error::of_chain(ImportError::Storage(pruned)));
    }
    while used.saturating_sub(unused) > 1 {
        let between = unused.midpoint(used);
        if is_used(between)? {
            used = between;
        } else {
            unused = between;
        }
    }
    Ok(Some(used))
}

/// `eth_getTransactionReceipt`.
pub(crate) fn receipt(context: &Context, mut args: Args) -> Answer {
    let hash = args.required("transaction hash", hash)?;
    args.end()?;
    json(&receipt_by_hash(context, hash)?)
}

/// The receipt of a transaction of the chain.
pub(super) fn receipt_by_hash(
    context: &Context,
    hash: B256,
) -> Result<Option<Box<JsonRawValue>>, ErrorObjectOwned> {
    let view = context.view();
    let Some((viewed, index)) = find(&view, hash)? else { return Ok(None) };
    let receipts = view.receipts(viewed.header.number).map_err(error::of_chain)?;
    let rules = view.spec().rules(&viewed.header);
    let receipt = receipts.and_then(|receipts| wire::receipt_at(&viewed, &rules, receipts, index));
    receipt.map(|receipt| json(&receipt)).transpose()
}

/// `eth_sendRawTransaction`.
pub(crate) fn send_raw(context: &Context, mut args: Args) -> Answer {
    let encoded = args.required("transaction", bytes)?;
    args.end()?;
    json(&submit(context, &encoded)?.hash)
}

/// Puts a transaction into the pool. On a chain for development who makes the blocks does so: none
/// may come into a pool that a way back has emptied, and be judged by the state before.
pub(super) fn submit(context: &Context, encoded: &[u8]) -> Result<Added, ErrorObjectOwned> {
    let origin = if context.limits.are_sent_local { Origin::Local } else { Origin::External };
    if context.dev.is_some() {
        return dev::submit(context, encoded, origin);
    }
    context.engine.submit(encoded, origin).map_err(error::of_submit)
}
