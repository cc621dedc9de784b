//! Headers, also of blocks whose bodies are pruned, and ommers.

use super::blocks;
use crate::public::{
    Answer, Context,
    args::{Args, hash, quantity_u64},
    block_ref::{BlockRef, Tag, number_or_tag},
    error, json,
    wire::WireTransaction,
};
use alloy_rpc_types_eth::{Block as WireBlock, Header as WireHeader};
use fugue_chain::ChainView;
use fugue_types::{B256, Header, U256};
use jsonrpsee::types::ErrorObjectOwned;

/// A header as a request names its block; `None` if it is not known. By its hash also that of a
/// block beside the chain.
pub(crate) fn find(
    view: &ChainView,
    block: &BlockRef,
) -> Result<Option<(B256, Header)>, ErrorObjectOwned> {
    if let BlockRef::Hash { hash, .. } = *block {
        let header = view.header_by_hash(hash).map_err(error::of_chain)?;
        return Ok(header.map(|header| (hash, header)));
    }
    match block.number(view)? {
        Some(number) => view.header(number).map_err(error::of_chain),
        None => Ok(None),
    }
}

/// Hash and header of the block of the chain with this number.
///
/// # Errors
/// If there is none, or what the store says.
pub(crate) fn at(view: &ChainView, number: u64) -> Result<(B256, Header), ErrorObjectOwned> {
    view.header(number).map_err(error::of_chain)?.ok_or_else(error::block_not_found)
}

/// `eth_getHeaderByHash`.
pub(crate) fn by_hash(context: &Context, mut args: Args) -> Answer {
    let hash = args.required("block hash", hash)?;
    args.end()?;
    answer(context, &BlockRef::Hash { hash, must_be_canonical: false })
}

/// `eth_getHeaderByNumber`. A tag that names no block is answered with null, as the specification
/// has it for this method.
pub(crate) fn by_number(context: &Context, mut args: Args) -> Answer {
    let block = args.required("block number", number_or_tag)?;
    args.end()?;
    let view = context.view();
    let is_named = match block {
        BlockRef::Tag(Tag::Pending) => false,
        BlockRef::Tag(Tag::Safe) => view.safe().is_some(),
        BlockRef::Tag(Tag::Finalized) => view.finalized().is_some(),
        _ => true,
    };
    if is_named { answer(context, &block) } else { json(&()) }
}

fn answer(context: &Context, block: &BlockRef) -> Answer {
    let found = find(&context.view(), block)?.map(|(hash, inner)| WireHeader {
        hash,
        inner,
        total_difficulty: None,
        size: None,
    });
    json(&found)
}

/// `eth_getUncleByBlockHashAndIndex`.
pub(crate) fn ommer_by_hash(context: &Context, mut args: Args) -> Answer {
    let hash = args.required("block hash", hash)?;
    ommer(context, args, &BlockRef::Hash { hash, must_be_canonical: false })
}

/// `eth_getUncleByBlockNumberAndIndex`.
pub(crate) fn ommer_by_number(context: &Context, mut args: Args) -> Answer {
    let block = args.required("block number", number_or_tag)?;
    ommer(context, args, &block)
}

/// A block of its header alone.
fn ommer(context: &Context, mut args: Args, block: &BlockRef) -> Answer {
    let index = args.required("index", quantity_u64)?;
    args.end()?;
    // Larger than any index is an index that no block has.
    let index = usize::try_from(index).unwrap_or(usize::MAX);
    let found = blocks::find(&context.view(), block)?;
    let ommer = found.and_then(|viewed| viewed.body.ommers.into_iter().nth(index));
    json(&ommer.map(WireBlock::<WireTransaction>::uncle_from_header))
}

/// `eth_getUncleCountByBlockHash`.
pub(crate) fn ommer_count_by_hash(context: &Context, mut args: Args) -> Answer {
    let hash = args.required("block hash", hash)?;
    ommer_count(context, args, &BlockRef::Hash { hash, must_be_canonical: false })
}

/// `eth_getUncleCountByBlockNumber`.
pub(crate) fn ommer_count_by_number(context: &Context, mut args: Args) -> Answer {
    let block = args.required("block number", number_or_tag)?;
    ommer_count(context, args, &block)
}

fn ommer_count(context: &Context, args: Args, block: &BlockRef) -> Answer {
    args.end()?;
    let found = blocks::find(&context.view(), block)?;
    json(&found.map(|viewed| U256::from(viewed.body.ommers.len())))
}
