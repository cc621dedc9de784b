//! Accounts and their storage after a block.

use crate::public::{
    Answer, Context,
    args::{Args, address, slot},
    block_ref::{BlockRef, Tag, block_ref},
    json,
};
use fugue_types::{B256, Bytes, U256};

/// `eth_getBalance`.
pub(crate) fn balance(context: &Context, mut args: Args) -> Answer {
    let address = args.required("address", address)?;
    let block = args.optional("block", block_ref)?.unwrap_or_default();
    args.end()?;
    let account = context.with_state(&block, |state| state.account(address))?;
    json(&account.unwrap_or_default().balance)
}

/// `eth_getTransactionCount`. Pending is what comes after the sender's transactions in the pool.
pub(crate) fn transaction_count(context: &Context, mut args: Args) -> Answer {
    let address = args.required("address", address)?;
    let block = args.optional("block", block_ref)?.unwrap_or_default();
    args.end()?;
    let account = context.with_state(&block, |state| state.account(address))?;
    let mut nonce = account.unwrap_or_default().nonce;
    if block == BlockRef::Tag(Tag::Pending) {
        nonce = context.engine.pool().next_nonce(address).map_or(nonce, |next| next.max(nonce));
    }
    json(&U256::from(nonce))
}

/// `eth_getCode`.
pub(crate) fn code(context: &Context, mut args: Args) -> Answer {
    let address = args.required("address", address)?;
    let block = args.optional("block", block_ref)?.unwrap_or_default();
    args.end()?;
    let code = context.with_state(&block, |state| match state.account(address)? {
        Some(account) if account.has_code() => state.code(account.code_hash),
        _ => Ok(Bytes::new()),
    })?;
    json(&code)
}

/// `eth_getStorageAt`.
pub(crate) fn storage_at(context: &Context, mut args: Args) -> Answer {
    let address = args.required("address", address)?;
    let slot = args.required("storage key", slot)?;
    let block = args.optional("block", block_ref)?.unwrap_or_default();
    args.end()?;
    let value = context.with_state(&block, |state| state.slot(address, slot))?;
    json(&B256::from(value))
}
