//! What the node knows of its chain and of its pool besides blocks.

use crate::public::{
    Answer, Context,
    args::{Args, bytes, hash},
    block_ref::BlockRef,
    debug::foreign,
    error, json,
    wire::{self, Detail, WireTransaction},
};
use alloy_rpc_types_eth::Block as WireBlock;
use fugue_chain::{BadBlock, ViewedBlock};
use fugue_state::StateError;
use fugue_types::{B256, Bytes, KECCAK256_EMPTY};
use jsonrpsee::types::ErrorObjectOwned;
use serde::Serialize;
use serde_json::Value;

/// First byte of the keys under which go-ethereum keeps codes.
const CODE_PREFIX: u8 = b'c';
/// Bytes of such a key: the hash of the code follows.
const CODE_KEY_BYTES: usize = 33;

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
    code(context, hash)
}

/// `debug_dbGet`: what lies under a key of go-ethereum's database, as far as that is a code; null
/// if no account has or had it.
pub(super) fn db_get(context: &Context, mut args: Args) -> Answer {
    let hash = args.required("key", code_key)?;
    args.end()?;
    code(context, hash)
}

/// The hash in the key of a code: in hex, or as the bytes of a text. Source: go-ethereum,
/// `core/rawdb/schema.go`, `CodePrefix`, and `common.ParseHexOrString`.
fn code_key(value: &Value) -> Result<B256, String> {
    let text = value.as_str().ok_or("a string is expected")?;
    let key = if text.starts_with("0x") { bytes(value)? } else { text.as_bytes().to_vec().into() };
    if key.len() != CODE_KEY_BYTES {
        return Err(format!(
            "a key has {CODE_KEY_BYTES} bytes, 0x63 and the hash of a code; this has {}",
            key.len()
        ));
    }
    match key.split_first() {
        Some((&CODE_PREFIX, hash)) => Ok(B256::from_slice(hash)),
        _ => Err("a key of another kind than 0x63 and the hash of a code".to_owned()),
    }
}

fn code(context: &Context, hash: B256) -> Answer {
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

/// `debug_getBadBlocks`: the newest blocks that were found invalid, the newest first. Where
/// a signature is invalid, the transactions of its block are named by hash.
pub(super) fn bad_blocks(context: &Context, args: Args) -> Answer {
    args.end()?;
    let mut wired = Vec::new();
    for bad in context.engine.bad_blocks() {
        wired.push(bad_block(context, &bad)?);
    }
    json(&wired)
}

fn bad_block(context: &Context, bad: &BadBlock) -> Result<WireBadBlock, ErrorObjectOwned> {
    let BadBlock { hash, block } = bad;
    let rules = context.engine.spec().rules(&block.header);
    let mut senders = Vec::with_capacity(block.body.transactions.len());
    let mut detail = Detail::Transactions;
    for tx in &block.body.transactions {
        // Recovering all of a large block takes seconds.
        context.patience.check()?;
        let Some(signer) = foreign::signer(&rules, tx) else {
            detail = Detail::Hashes;
            break;
        };
        senders.push(signer);
    }
    let (header, body) = (block.header.clone(), block.body.clone());
    let viewed = ViewedBlock { hash: *hash, header, body, senders };
    Ok(WireBadBlock {
        block: wire::block(viewed, &rules, detail),
        hash: *hash,
        rlp: alloy_rlp::encode(block).into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json as object;

    #[test]
    fn a_key_is_hex_or_text_and_names_a_code() {
        let hash = "a".repeat(32);
        let expected = Ok(B256::repeat_byte(b'a'));
        assert_eq!(code_key(&object!(format!("0x63{}", "61".repeat(32)))), expected);
        assert_eq!(code_key(&object!(format!("c{hash}"))), expected);
        for (wrong, reason) in [
            (object!(7), "a string is expected"),
            (object!("0x6"), "hex string of odd length"),
            (object!("0x63"), "a key has 33 bytes, 0x63 and the hash of a code; this has 1"),
            (object!(""), "a key has 33 bytes, 0x63 and the hash of a code; this has 0"),
            (object!(format!("0x{}", "61".repeat(32))), "a key has 33 bytes, "),
            (object!(format!("0x61{}", "61".repeat(32))), "a key of another kind"),
            (object!(format!("h{hash}")), "a key of another kind"),
        ] {
            let found = code_key(&wrong).expect_err("refused");
            assert!(found.starts_with(reason), "{wrong}: {found}");
        }
    }
}
