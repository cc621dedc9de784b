//! Transactions of the chain and of the pool, their receipts, and sending one.

use crate::public::{
    Answer, Context,
    args::{Args, bytes, hash, quantity_u64},
    block_ref::{BlockRef, number_or_tag},
    error,
    eth::blocks,
    json,
    wire::{self, Place},
};
use fugue_chain::{ChainView, SubmitError, ViewedBlock};
use fugue_txpool::Origin;
use fugue_types::B256;
use jsonrpsee::types::ErrorObjectOwned;

/// `eth_getTransactionByHash`.
pub(crate) fn by_hash(context: &Context, mut args: Args) -> Answer {
    let hash = args.required("transaction hash", hash)?;
    args.end()?;
    let view = context.view();
    if let Some((viewed, index)) = find(&view, hash)? {
        return json(&at_index(&view, viewed, index));
    }
    let Some(pooled) = context.engine.pool().get(&hash) else { return json(&()) };
    json(&wire::pooled(&pooled).map_err(error::internal)?)
}

/// The block of a transaction, and its index there.
fn find(view: &ChainView, hash: B256) -> Result<Option<(ViewedBlock, usize)>, ErrorObjectOwned> {
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
    let view = context.view();
    let Some(viewed) = blocks::find(&view, block)? else { return json(&()) };
    // Larger than any index is an index that no block has.
    let index = usize::try_from(index).unwrap_or(usize::MAX);
    json(&at_index(&view, viewed, index))
}

/// `eth_getTransactionReceipt`.
pub(crate) fn receipt(context: &Context, mut args: Args) -> Answer {
    let hash = args.required("transaction hash", hash)?;
    args.end()?;
    let view = context.view();
    let Some((viewed, index)) = find(&view, hash)? else { return json(&()) };
    let receipts = view.receipts(viewed.header.number).map_err(error::of_chain)?;
    let rules = view.spec().rules(&viewed.header);
    json(&receipts.and_then(|receipts| wire::receipt_at(&viewed, &rules, receipts, index)))
}

/// `eth_sendRawTransaction`.
pub(crate) fn send_raw(context: &Context, mut args: Args) -> Answer {
    let encoded = args.required("transaction", bytes)?;
    args.end()?;
    let origin = if context.limits.are_sent_local { Origin::Local } else { Origin::External };
    let added = context.engine.submit(&encoded, origin).map_err(|refused| match refused {
        SubmitError::Pool(error) => error::of_pool(error),
        SubmitError::Broken(error) => error::of_chain(error),
    })?;
    json(&added.hash)
}
