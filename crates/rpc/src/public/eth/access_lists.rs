//! Block access lists (EIP-7928), as they are encoded and in JSON.

use super::headers;
use crate::public::{
    Answer, Context,
    args::{Args, hash},
    block_ref::{BlockRef, Tag, block_ref, number_or_tag},
    error, json,
};
use fugue_chain::{ImportError, StorageError};
use fugue_types::{
    AccountChanges, Address, B256, BlockAccessIndex, BlockAccessList, Bytes, SlotChanges, U256,
};
use jsonrpsee::types::ErrorObjectOwned;
use serde::Serialize;

/// Source: execution-apis, "AccountAccess".
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct AccountAccess {
    address: Address,
    storage_changes: Vec<SlotAccess>,
    storage_reads: Vec<B256>,
    balance_changes: Vec<Change<U256>>,
    nonce_changes: Vec<Change<U256>>,
    code_changes: Vec<CodeAccess>,
}

/// Source: execution-apis, "SlotChanges".
#[derive(Debug, Serialize)]
struct SlotAccess {
    key: B256,
    changes: Vec<Change<B256>>,
}

/// What a step of the block left behind.
#[derive(Debug, Serialize)]
struct Change<T> {
    index: U256,
    value: T,
}

/// Source: execution-apis, "CodeChange".
#[derive(Debug, Serialize)]
struct CodeAccess {
    index: U256,
    code: Bytes,
}

/// `eth_getBlockAccessList`.
pub(crate) fn by_block(context: &Context, mut args: Args) -> Answer {
    let block = args.required("block", block_ref)?;
    args.end()?;
    decoded(context, &block)
}

/// `eth_getBlockAccessListByBlockHash`.
pub(crate) fn by_block_hash(context: &Context, mut args: Args) -> Answer {
    let hash = args.required("block hash", hash)?;
    args.end()?;
    decoded(context, &BlockRef::Hash { hash, must_be_canonical: false })
}

/// `eth_getBlockAccessListByBlockNumber`.
pub(crate) fn by_block_number(context: &Context, mut args: Args) -> Answer {
    let block = args.required("block number", number_or_tag)?;
    args.end()?;
    decoded(context, &block)
}

/// `eth_getBlockAccessListRaw`, `debug_getRawBlockAccessList`.
pub(crate) fn raw(context: &Context, mut args: Args) -> Answer {
    let block = args.required("block", block_ref)?;
    args.end()?;
    json(&encoded(context, &block)?)
}

fn decoded(context: &Context, block: &BlockRef) -> Answer {
    let Some(encoded) = encoded(context, block)? else { return json(&()) };
    let list: BlockAccessList = alloy_rlp::decode_exact(&encoded).map_err(error::internal)?;
    json(&list.into_iter().map(AccountAccess::from).collect::<Vec<_>>())
}

/// The list of a block in RLP; `None` if the block is not known, or not there yet.
///
/// # Errors
/// Code -32001 for a block before Amsterdam, 4444 where the list is pruned. Source: execution-apis,
/// `eth_getBlockAccessList`.
fn encoded(context: &Context, block: &BlockRef) -> Result<Option<Bytes>, ErrorObjectOwned> {
    if *block == BlockRef::Tag(Tag::Pending) {
        return Ok(None);
    }
    let view = context.view();
    let Some((hash, header)) = headers::find(&view, block)? else { return Ok(None) };
    let number = header.number;
    if header.block_access_list_hash.is_none() {
        let message = format!("block {number} is from before Amsterdam, it has no access list");
        return Err(error::not_found(message));
    }
    let list = view.access_list(hash).map_err(error::of_chain)?;
    list.map(Some).ok_or_else(|| {
        let oldest = view.oldest_body();
        let pruned = StorageError::Pruned { what: "access list", number, oldest };
        error::of_chain(ImportError::Storage(pruned))
    })
}

fn quantity(index: BlockAccessIndex) -> U256 {
    U256::from(index.get())
}

impl From<AccountChanges> for AccountAccess {
    fn from(changes: AccountChanges) -> Self {
        let AccountChanges {
            address,
            storage_changes,
            storage_reads,
            balance_changes,
            nonce_changes,
            code_changes,
        } = changes;
        let balances = balance_changes.into_iter().map(|change| Change {
            index: quantity(change.block_access_index),
            value: change.post_balance,
        });
        let nonces = nonce_changes.into_iter().map(|change| Change {
            index: quantity(change.block_access_index),
            value: U256::from(change.new_nonce),
        });
        let codes = code_changes.into_iter().map(|change| CodeAccess {
            index: quantity(change.block_access_index),
            code: change.new_code,
        });
        Self {
            address,
            storage_changes: storage_changes.into_iter().map(SlotAccess::from).collect(),
            storage_reads: storage_reads.into_iter().map(B256::from).collect(),
            balance_changes: balances.collect(),
            nonce_changes: nonces.collect(),
            code_changes: codes.collect(),
        }
    }
}

impl From<SlotChanges> for SlotAccess {
    fn from(changes: SlotChanges) -> Self {
        let SlotChanges { slot, changes } = changes;
        let changes = changes.into_iter().map(|change| Change {
            index: quantity(change.block_access_index),
            value: B256::from(change.new_value),
        });
        Self { key: slot.into(), changes: changes.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fugue_types::{BalanceChange, CodeChange, NonceChange, StorageChange};
    use serde_json::json as object;

    #[test]
    fn an_account_has_all_six_fields() {
        let address = Address::repeat_byte(3);
        let value = serde_json::to_value(AccountAccess::from(AccountChanges::new(address)));
        let expected = object!({
            "address": address, "storageChanges": [], "storageReads": [], "balanceChanges": [],
            "nonceChanges": [], "codeChanges": [],
        });
        assert_eq!(value.expect("JSON"), expected);
    }

    #[test]
    fn keys_and_stored_values_are_words_the_rest_are_quantities() {
        let one = BlockAccessIndex::new(1);
        let changes = AccountChanges {
            storage_changes: vec![SlotChanges {
                slot: U256::from(2),
                changes: vec![StorageChange { block_access_index: one, new_value: U256::from(3) }],
            }],
            storage_reads: vec![U256::from(4)],
            balance_changes: vec![BalanceChange {
                block_access_index: one,
                post_balance: U256::from(5),
            }],
            nonce_changes: vec![NonceChange { block_access_index: one, new_nonce: 6 }],
            code_changes: vec![CodeChange {
                block_access_index: one,
                new_code: Bytes::from_static(&[7]),
            }],
            ..AccountChanges::new(Address::ZERO)
        };
        let word = |number: u64| B256::from(U256::from(number));
        let expected = object!({
            "address": Address::ZERO,
            "storageChanges": [{
                "key": word(2), "changes": [{ "index": "0x1", "value": word(3) }],
            }],
            "storageReads": [word(4)],
            "balanceChanges": [{ "index": "0x1", "value": "0x5" }],
            "nonceChanges": [{ "index": "0x1", "value": "0x6" }],
            "codeChanges": [{ "index": "0x1", "code": "0x07" }],
        });
        let found = serde_json::to_value(AccountAccess::from(changes)).expect("JSON");
        assert_eq!(found, expected);
    }
}
