//! Proofs of accounts and slots by the state root of a block: `eth_getProof` (EIP-1186).
//!
//! It counts as a method that runs code: of an old block it takes as long, and memory for what
//! changed since.

use crate::public::{
    Answer, Context,
    args::{Args, address, list, storage_key, storage_key_digits},
    block_ref::block_ref,
    error, json,
};
use alloy_rpc_types_eth::{EIP1186AccountProofResponse, EIP1186StorageProof};
use fugue_chain::{AccountProof, SlotProof};
use fugue_types::{B256, U256};
use serde_json::Value;

/// Digits of a key from which on it has 32 bytes: it is told in as many.
const WHOLE_KEY_DIGITS_MIN: usize = 63;

/// The key of a slot as a request has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Key {
    slot: U256,
    /// It has 32 bytes; others are told as quantities. Source: geth, `eth_getProof`.
    is_whole: bool,
}

fn key(value: &Value) -> Result<Key, String> {
    let is_whole = storage_key_digits(value)?.len() >= WHOLE_KEY_DIGITS_MIN;
    Ok(Key { slot: storage_key(value)?, is_whole })
}

/// `eth_getProof`.
pub(crate) fn proof(context: &Context, mut args: Args) -> Answer {
    let address = args.required("address", address)?;
    let keys_max = context.limits.storage_keys_max;
    // Null is none at all, as a list of Go that was never made is written.
    let keys = args.nullable("storage keys", |value| list(value, keys_max, key))?;
    let keys = keys.unwrap_or_default();
    let block = args.optional("block", block_ref)?.unwrap_or_default();
    args.end()?;
    let (view, number) = context.chain_with_state(&block)?;
    let slots: Vec<U256> = keys.iter().map(|key| key.slot).collect();
    let check = || context.patience.told();
    let proven = view.proof(number, address, &slots, &context.reach(&check));
    let proven = proven.map_err(error::of_chain)?.ok_or_else(error::block_not_found)?;
    let AccountProof { account, storage_root, nodes, slots } = proven;
    // Of an account that is not there the hashes are those of one that is empty, as tools that
    // check proofs expect it.
    let account = account.unwrap_or_default();
    json(&EIP1186AccountProofResponse {
        address,
        balance: account.balance,
        code_hash: account.code_hash,
        nonce: account.nonce,
        storage_hash: storage_root,
        account_proof: nodes,
        storage_proof: keys.iter().zip(slots).map(|(key, slot)| storage_proof(key, slot)).collect(),
    })
}

fn storage_proof(key: &Key, proven: SlotProof) -> EIP1186StorageProof {
    let SlotProof { slot, value, nodes: proof } = proven;
    let key = if key.is_whole { B256::from(slot).into() } else { slot.into() };
    EIP1186StorageProof { key, value, proof }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fugue_types::Bytes;
    use serde_json::json;

    #[test]
    fn a_key_is_told_as_it_was_given() {
        let whole = format!("0x{}", "0".repeat(64));
        let odd = format!("0x{}1", "0".repeat(62));
        let bare = "0".repeat(64);
        for (given, told) in [
            (json!("0x0"), json!("0x0")),
            (json!("0x00"), json!("0x0")),
            (json!("0x0A"), json!("0xa")),
            (json!("0"), json!("0x0")),
            (json!("1f"), json!("0x1f")),
            (json!(bare), json!(whole)),
            (json!(whole), json!(whole)),
            (json!(odd), json!(format!("0x{}1", "0".repeat(63)))),
        ] {
            let key = key(&given).expect("a key");
            let proven = SlotProof { slot: key.slot, value: U256::from(9), nodes: Vec::new() };
            let found = serde_json::to_value(storage_proof(&key, proven)).expect("JSON");
            assert_eq!(found, json!({ "key": told, "value": "0x9", "proof": [] }), "{given}");
        }
        for wrong in [json!(0), json!("g"), json!("0xg"), json!(format!("{whole}0"))] {
            assert!(key(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn nodes_are_told_as_data() {
        let key = key(&json!("0x1")).expect("a key");
        let nodes = vec![Bytes::from_static(&[0xc0])];
        let proven = SlotProof { slot: key.slot, value: U256::ZERO, nodes };
        let found = serde_json::to_value(storage_proof(&key, proven)).expect("JSON");
        assert_eq!(found, json!({ "key": "0x1", "value": "0x0", "proof": ["0xc0"] }));
    }
}
