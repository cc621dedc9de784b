//! The slots of an account, page by page: `debug_storageRangeAt`.

use crate::public::{
    Answer, Context,
    args::{Args, address, bytes, count},
    block_ref::{BlockRef, block_ref},
    error::{self, invalid_params, refused},
    eth::blocks,
    json,
    made::traceable,
    traces::rerun,
};
use fugue_chain::{ChainView, ListedSlot, SlotRange, ViewedBlock};
use fugue_types::{B256, Bytes};
use jsonrpsee::types::ErrorObjectOwned;
use serde::Serialize;
use std::collections::BTreeMap;

/// Source: go-ethereum, `eth/api_debug.go`, `StorageRangeResult`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct WireRange {
    /// By keccak256 of their keys.
    storage: BTreeMap<B256, WireSlot>,
    next_key: Option<B256>,
}

#[derive(Debug, Serialize)]
struct WireSlot {
    /// `None` if only its hash is known.
    key: Option<B256>,
    value: B256,
}

/// `debug_storageRangeAt`: as the slots are before the transaction with this index; of a block
/// without transactions, when it is opened.
pub(super) fn range_at(context: &Context, mut args: Args) -> Answer {
    let named = traceable(args.required("block", block_ref)?)?;
    let index = args.required("transaction index", count)?;
    let address = args.required("address", address)?;
    let start = args.required("key", bytes)?;
    let wanted = args.required("limit", count)?;
    args.end()?;
    let slots_max = context.limits.page_slots_max;
    if wanted > slots_max {
        return Err(invalid_params(format!(
            "invalid argument 4 (limit): {wanted}, want at most {slots_max}"
        )));
    }
    let view = context.view();
    let viewed = find(&view, &named)?;
    let (hash, transactions) = (viewed.hash, viewed.body.transactions.len());
    let index = usize::try_from(index).unwrap_or(usize::MAX);
    if index >= transactions.max(1) {
        return Err(refused(format!(
            "transaction index {index} out of range: block {hash} has {transactions} transactions"
        )));
    }
    let page = (first(&start), usize::try_from(wanted).unwrap_or(usize::MAX));
    rerun(context, &view, viewed, index, |rerun| {
        let (parent, number) = rerun.parent;
        let check = || context.patience.told();
        let changes = rerun.replay.steps();
        let found = parent.slots_from(number, changes, address, page, &context.reach(&check));
        json(&wired(found.map_err(error::of_chain)?.ok_or_else(error::block_not_found)?))
    })
}

/// By its hash also a block beside the chain, unless it must be in it (EIP-1898).
fn find(view: &ChainView, named: &BlockRef) -> Result<ViewedBlock, ErrorObjectOwned> {
    let viewed = blocks::find(view, named)?.ok_or_else(|| {
        refused(match named {
            BlockRef::Hash { hash, .. } => format!("block {hash} not found"),
            BlockRef::Number(number) => format!("block #{number} not found"),
            BlockRef::Tag(_) => "block not found".to_owned(),
        })
    })?;
    named.check_canonical(view)?;
    Ok(viewed)
}

/// The first hash that is not below these bytes, which may be fewer.
fn first(start: &Bytes) -> B256 {
    let known = &start[..start.len().min(B256::len_bytes())];
    B256::right_padding_from(known)
}

fn wired(range: SlotRange) -> WireRange {
    let SlotRange { slots, next } = range;
    let wired = |ListedSlot { hash, slot, value }| {
        (hash, WireSlot { key: slot.map(B256::from), value: value.into() })
    };
    WireRange { storage: slots.into_iter().map(wired).collect(), next_key: next }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fugue_types::U256;

    #[test]
    fn a_page_may_begin_at_a_prefix_of_a_hash() {
        assert_eq!(first(&Bytes::new()), B256::ZERO);
        let mut expected = B256::ZERO;
        expected[0] = 0xab;
        assert_eq!(first(&Bytes::from_static(&[0xab])), expected);
        assert_eq!(first(&vec![7; 40].into()), B256::repeat_byte(7));
    }

    #[test]
    fn keys_are_told_where_they_are_known() {
        let slot = |byte, slot| ListedSlot {
            hash: B256::repeat_byte(byte),
            slot,
            value: U256::from(byte),
        };
        let slots = vec![slot(1, None), slot(2, Some(U256::from(5)))];
        let range = SlotRange { slots, next: Some(B256::repeat_byte(3)) };
        let told = serde_json::to_value(wired(range)).expect("JSON");
        let word = |value: u64| B256::from(U256::from(value)).to_string();
        let of = |byte| &told["storage"][B256::repeat_byte(byte).to_string()];
        assert_eq!(of(1), &serde_json::json!({ "key": null, "value": word(1) }));
        assert_eq!(of(2), &serde_json::json!({ "key": word(5), "value": word(2) }));
        assert_eq!(told["nextKey"], B256::repeat_byte(3).to_string());
    }
}
