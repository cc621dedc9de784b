//! Signatures of the accounts whose keys the node has.

use super::{chain, typed_data};
use crate::public::{
    Answer, Context,
    args::{Args, address, bytes},
    error, json,
};
use alloy_primitives::eip191_hash_message;
use fugue_types::{Address, B256, Bytes};
use jsonrpsee::types::ErrorObjectOwned;

/// `eth_sign`: of a message. Source: EIP-191, version 0x45.
pub(super) fn sign(context: &Context, mut args: Args) -> Answer {
    let signer = args.required("address", address)?;
    let message = args.required("message", bytes)?;
    args.end()?;
    signature(context, signer, eip191_hash_message(&message))
}

/// `personal_sign`: as `eth_sign`, the message first. Some send a password besides, which nobody
/// needs here.
pub(super) fn personal_sign(context: &Context, mut args: Args) -> Answer {
    let message = args.required("message", bytes)?;
    let signer = args.required("address", address)?;
    args.optional("password", |_| Ok(()))?;
    args.end()?;
    signature(context, signer, eip191_hash_message(&message))
}

/// `eth_signTypedData_v4`. Source: EIP-712.
pub(super) fn sign_typed_data(context: &Context, mut args: Args) -> Answer {
    let signer = args.required("address", address)?;
    let hash = args.required("typed data", typed_data::hash)?;
    args.end()?;
    signature(context, signer, hash)
}

/// 65 bytes: r, s, and 27 or 28.
fn signature(context: &Context, signer: Address, hash: B256) -> Answer {
    let signature = chain(context)?.sign(signer, hash).ok_or_else(|| unknown(signer))?;
    json(&Bytes::from(signature.as_bytes().to_vec()))
}

/// The node has no key of this account.
pub(super) fn unknown(account: Address) -> ErrorObjectOwned {
    error::refused(format!("unknown account {account}"))
}
