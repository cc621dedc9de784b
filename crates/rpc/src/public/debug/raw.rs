//! Headers, blocks, receipts and transactions as the chain encodes them, or would encode those of
//! the pending block. Null is what is not known, receipts of the pending block among that.

use crate::public::{
    Answer, Context,
    args::Args,
    block_ref::{BlockRef, block_ref},
    error,
    eth::{blocks, headers, pending},
    json,
    made::is_pending,
};
use alloy_eips::Encodable2718;
use fugue_chain::ViewedBlock;
use fugue_types::{Block, Bytes};
use jsonrpsee::types::ErrorObjectOwned;

fn argument(mut args: Args) -> Result<BlockRef, ErrorObjectOwned> {
    let block = args.required("block", block_ref)?;
    args.end()?;
    Ok(block)
}

/// A block, the pending one too; `None` if it is not known.
fn find(context: &Context, block: &BlockRef) -> Result<Option<ViewedBlock>, ErrorObjectOwned> {
    if is_pending(block) {
        return pending::find(context);
    }
    blocks::find(&context.view(), block)
}

/// `debug_getRawHeader`: RLP.
pub(super) fn header(context: &Context, args: Args) -> Answer {
    let block = argument(args)?;
    let found = if is_pending(&block) {
        find(context, &block)?.map(|viewed| viewed.header)
    } else {
        headers::find(&context.view(), &block)?.map(|(_, header)| header)
    };
    json(&found.map(|header| Bytes::from(alloy_rlp::encode(header))))
}

/// `debug_getRawBlock`: RLP.
pub(super) fn block(context: &Context, args: Args) -> Answer {
    let block = argument(args)?;
    let found = find(context, &block)?;
    json(&found.map(|viewed| {
        let block = Block { header: viewed.header, body: viewed.body };
        Bytes::from(alloy_rlp::encode(block))
    }))
}

/// `debug_getRawReceipts`: each as in the trie of receipts (EIP-2718).
pub(super) fn receipts(context: &Context, args: Args) -> Answer {
    let block = argument(args)?;
    if is_pending(&block) {
        return json(&());
    }
    let Some((view, number)) = block.chain(context.view())? else { return json(&()) };
    let receipts = view.receipts(number).map_err(error::of_chain)?;
    json(&receipts.map(|receipts| encoded(&receipts)))
}

/// `debug_getRawTransactions`: each as the block has it (EIP-2718).
pub(super) fn transactions(context: &Context, args: Args) -> Answer {
    let block = argument(args)?;
    let found = find(context, &block)?;
    json(&found.map(|viewed| encoded(&viewed.body.transactions)))
}

fn encoded<T: Encodable2718>(all: &[T]) -> Vec<Bytes> {
    all.iter().map(|one| one.encoded_2718().into()).collect()
}
