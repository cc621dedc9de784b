//! Blocks, their receipts, and how many transactions they have.

use crate::public::{
    Answer, Context,
    args::{Args, boolean, hash},
    block_ref::{BlockRef, Tag, block_ref, number_or_tag},
    error,
    eth::pending,
    json,
    wire::{self, Detail},
};
use fugue_chain::{ChainView, ViewedBlock};
use fugue_types::U256;
use jsonrpsee::types::ErrorObjectOwned;

/// A block as a request names it; `None` if it is not known. By its hash also one beside the chain.
pub(crate) fn find(
    view: &ChainView,
    block: &BlockRef,
) -> Result<Option<ViewedBlock>, ErrorObjectOwned> {
    if let BlockRef::Hash { hash, .. } = *block {
        return view.block_by_hash(hash).map_err(error::of_chain);
    }
    match block.number(view)? {
        Some(number) => view.block(number).map_err(error::of_chain),
        None => Ok(None),
    }
}

fn by_hash_argument(args: &mut Args) -> Result<BlockRef, ErrorObjectOwned> {
    let hash = args.required("block hash", hash)?;
    Ok(BlockRef::Hash { hash, must_be_canonical: false })
}

fn by_number_argument(args: &mut Args) -> Result<BlockRef, ErrorObjectOwned> {
    args.required("block number", number_or_tag)
}

/// `eth_getBlockByHash`.
pub(crate) fn block_by_hash(context: &Context, mut args: Args) -> Answer {
    let block = by_hash_argument(&mut args)?;
    whole_block(context, args, &block)
}

/// `eth_getBlockByNumber`.
pub(crate) fn block_by_number(context: &Context, mut args: Args) -> Answer {
    let block = by_number_argument(&mut args)?;
    whole_block(context, args, &block)
}

fn whole_block(context: &Context, mut args: Args, block: &BlockRef) -> Answer {
    let is_full = args.optional("hydrated transactions", boolean)?.unwrap_or(false);
    args.end()?;
    let detail = if is_full { Detail::Transactions } else { Detail::Hashes };
    if *block == BlockRef::Tag(Tag::Pending) {
        return pending::block(context, detail);
    }
    let view = context.view();
    let found = find(&view, block)?.map(|viewed| {
        let rules = view.spec().rules(&viewed.header);
        wire::block(viewed, &rules, detail)
    });
    json(&found)
}

/// `eth_getBlockReceipts`.
pub(crate) fn block_receipts(context: &Context, mut args: Args) -> Answer {
    let block = args.required("block", block_ref)?;
    args.end()?;
    if block == BlockRef::Tag(Tag::Pending) {
        return json(&());
    }
    let Some((view, number)) = block.chain(context.view())? else { return json(&()) };
    let receipts = view.receipts(number).map_err(error::of_chain)?;
    let viewed = view.block(number).map_err(error::of_chain)?;
    let found = viewed.zip(receipts).map(|(viewed, receipts)| {
        wire::receipts(&viewed, &view.spec().rules(&viewed.header), receipts)
    });
    json(&found)
}

/// `eth_getBlockTransactionCountByHash`.
pub(crate) fn transaction_count_by_hash(context: &Context, mut args: Args) -> Answer {
    let block = by_hash_argument(&mut args)?;
    transaction_count(context, args, &block)
}

/// `eth_getBlockTransactionCountByNumber`.
pub(crate) fn transaction_count_by_number(context: &Context, mut args: Args) -> Answer {
    let block = by_number_argument(&mut args)?;
    transaction_count(context, args, &block)
}

fn transaction_count(context: &Context, args: Args, block: &BlockRef) -> Answer {
    args.end()?;
    let count = |viewed: &ViewedBlock| U256::from(viewed.body.transactions.len());
    if *block == BlockRef::Tag(Tag::Pending) {
        return json(&pending::find(context)?.as_ref().map(count));
    }
    json(&find(&context.view(), block)?.as_ref().map(count))
}
