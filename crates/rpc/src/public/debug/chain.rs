//! What the node knows of its chain and of its pool besides blocks.

use crate::public::{
    Answer, Context,
    args::{Args, hash},
    block_ref::BlockRef,
    error, json,
    wire::{self, Detail, WireTransaction},
};
use alloy_rpc_types_eth::Block as WireBlock;
use fugue_chain::{BadBlock, ViewedBlock};
use fugue_chainspec::ChainSpec;
use fugue_state::StateError;
use fugue_types::{B256, Bytes, KECCAK256_EMPTY};
use serde::Serialize;

/// Source: execution-apis, "BadBlock".
#[derive(Debug, Serialize)]
struct WireBadBlock {
    block: WireBlock<WireTransaction>,
    hash: B256,
    rlp: Bytes,
}

/// `debug_chainConfig`: the rules of the chain in the form of a genesis file.
pub(super) fn config(context: &Context, args: Args) -> Answer {
    args.end()?;
    json(&context.engine.spec().config())
}

/// `debug_clearTxpool`: forgets all transactions of the pool, and gives how many there were.
pub(in crate::public) fn clear_txpool(context: &Context, args: Args) -> Answer {
    args.end()?;
    json(&context.engine.clear_pool().map_err(error::of_chain)?)
}

/// `debug_codeByHash`: a code that some account has or had; null if none did.
pub(super) fn code_by_hash(context: &Context, mut args: Args) -> Answer {
    let hash = args.required("code hash", hash)?;
    args.end()?;
    if hash == KECCAK256_EMPTY {
        return json(&Bytes::new());
    }
    let code = context.with_state(&BlockRef::default(), |state| match state.code(hash) {
        Ok(code) => Ok(Some(code)),
        Err(StateError::CodeMissing(_)) => Ok(None),
        Err(error) => Err(error),
    })?;
    json(&code)
}

/// `debug_getBadBlocks`: the newest blocks that were found invalid, the newest first. Their
/// transactions are named by hash: a sender may not be known.
pub(super) fn bad_blocks(context: &Context, args: Args) -> Answer {
    args.end()?;
    let mut wired = Vec::new();
    for bad in context.engine.bad_blocks() {
        context.patience.check()?;
        wired.push(bad_block(context.engine.spec(), &bad));
    }
    json(&wired)
}

fn bad_block(spec: &ChainSpec, bad: &BadBlock) -> WireBadBlock {
    let BadBlock { hash, block } = bad;
    let (header, body) = (block.header.clone(), block.body.clone());
    let viewed = ViewedBlock { hash: *hash, header, body, senders: Vec::new() };
    WireBadBlock {
        block: wire::block(viewed, &spec.rules(&block.header), Detail::Hashes),
        hash: *hash,
        rlp: alloy_rlp::encode(block).into(),
    }
}
