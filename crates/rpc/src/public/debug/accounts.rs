//! Accounts of a state, page by page; those that blocks changed; the address of a hash: by the
//! index of addresses, without which these are refused. And an account between two transactions.

use crate::public::{
    Answer, Context,
    args::{Args, address, boolean, bytes, count, hash},
    block_ref::{BlockRef, block_ref},
    error::{self, invalid_params, refused},
    eth::blocks,
    json,
    made::{count_or_tag, made, traceable},
    traces::rerun,
};
use fugue_chain::{AccountRange, ChainView, ImportError, ListedAccount, StorageError};
use fugue_state::{Account, StateView};
use fugue_types::{Address, B256, Bytes, KECCAK256_EMPTY, U256, keccak256};
use jsonrpsee::types::ErrorObjectOwned;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Source: go-ethereum, `core/state/dump.go`, `Dump`.
#[derive(Debug, Serialize)]
struct WireDump {
    /// Hex digits of the state root.
    root: String,
    /// By address, with the checksum of EIP-55.
    accounts: BTreeMap<String, WireAccount>,
    /// Where the next page begins, as this method takes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<B256>,
}

/// Source: go-ethereum, `core/state/dump.go`, `DumpAccount`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct WireAccount {
    /// Wei, in decimal digits.
    balance: String,
    nonce: u64,
    root: B256,
    code_hash: B256,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<Bytes>,
    address: Address,
    /// keccak256 of the address.
    key: B256,
}

/// `debug_accountRange`: accounts after a block, in the order in which the trie has them, from a
/// hash or the beginning of one on. Slots are not told: their keys are not kept.
pub(super) fn range(context: &Context, mut args: Args) -> Answer {
    let block = made(args.required("block", block_ref)?)?;
    let start = args.optional("start", bytes)?.unwrap_or_default();
    let accounts_max = context.limits.page_accounts_max;
    let wanted = args.optional("max results", count)?.unwrap_or(accounts_max);
    let is_without_code = args.optional("nocode", boolean)?.unwrap_or(false);
    let is_without_storage = args.optional("nostorage", boolean)?.unwrap_or(true);
    // There are none whose address is not known.
    args.optional("incompletes", boolean)?;
    args.end()?;
    if !is_without_storage {
        return Err(invalid_params(
            "invalid argument 4 (nostorage): want true: slots are kept by the hashes of their \
             keys, debug_storageRangeAt lists them",
        ));
    }
    let wanted = if wanted == 0 { accounts_max } else { wanted.min(accounts_max) };
    let page = (first(&start), usize::try_from(wanted).unwrap_or(usize::MAX));
    let view = context.view();
    view.check_addresses().map_err(error::of_chain)?;
    let (view, number) = block.chain_with_state(view)?;
    let (_, header) =
        view.header(number).map_err(error::of_chain)?.ok_or_else(error::block_not_found)?;
    let check = || context.patience.told();
    let found = view.accounts_from(number, page, &context.reach(&check));
    let AccountRange { accounts, next } =
        found.map_err(error::of_chain)?.ok_or_else(error::block_not_found)?;
    let listed = view.with_state(number, |state| {
        let state = &context.patience.guard(state);
        let wired = |listed| wired(state, listed, is_without_code);
        accounts.into_iter().map(wired).collect::<Result<_, ErrorObjectOwned>>()
    });
    let accounts = listed.map_err(error::of_chain)?.ok_or_else(error::block_not_found)??;
    let root = header.state_root.to_string().trim_start_matches("0x").to_owned();
    json(&WireDump { root, accounts, next })
}

/// The first hash that is not below these bytes, which may be fewer.
fn first(start: &Bytes) -> B256 {
    let known = &start[..start.len().min(B256::len_bytes())];
    B256::right_padding_from(known)
}

fn wired(
    state: &dyn StateView,
    listed: ListedAccount,
    is_without_code: bool,
) -> Result<(String, WireAccount), ErrorObjectOwned> {
    let ListedAccount { hash, address, account } = listed;
    let has_code = account.code_hash != KECCAK256_EMPTY;
    let code = if has_code && !is_without_code {
        Some(state.code(account.code_hash).map_err(error::of_state)?)
    } else {
        None
    };
    let told = WireAccount {
        balance: account.balance.to_string(),
        nonce: account.nonce,
        root: account.storage_root,
        code_hash: account.code_hash,
        code,
        address,
        key: hash,
    };
    Ok((address.to_checksum(None), told))
}

/// `debug_getModifiedAccountsByNumber`: the accounts that are other after the second block than
/// after the first, or with one block those that it changed itself.
pub(super) fn modified_by_number(context: &Context, mut args: Args) -> Answer {
    let start = args.required("start block", count_or_tag)?;
    let end = args.optional("end block", count_or_tag)?;
    args.end()?;
    modified(context, start, end)
}

/// `debug_getModifiedAccountsByHash`: the same by the hashes of the blocks.
pub(super) fn modified_by_hash(context: &Context, mut args: Args) -> Answer {
    let by_hash =
        |value: &Value| hash(value).map(|hash| BlockRef::Hash { hash, must_be_canonical: true });
    let start = args.required("start block", by_hash)?;
    let end = args.optional("end block", by_hash)?;
    args.end()?;
    modified(context, start, end)
}

fn modified(context: &Context, start: BlockRef, end: Option<BlockRef>) -> Answer {
    let view = context.view();
    view.check_addresses().map_err(error::of_chain)?;
    let found = |block: BlockRef, name: &str| {
        let number = made(block)?.number(&view)?;
        number.ok_or_else(|| refused(format!("{name} block not found")))
    };
    let start = found(start, "start")?;
    let (start, end) = match end.map(|end| found(end, "end")).transpose()? {
        None => {
            let parent = start.checked_sub(1);
            (
                parent.ok_or_else(|| refused("block 0 has no parent, on which it changes any"))?,
                start,
            )
        }
        Some(end) => (start, end),
    };
    let blocks = end.saturating_sub(start);
    let blocks_max = context.limits.modified_blocks_max;
    if !(1..=blocks_max).contains(&blocks) {
        let last = start.saturating_add(blocks_max);
        return Err(invalid_params(format!(
            "invalid argument 1 (end block): block {end}, want one of the {blocks_max} after \
             block {start}, up to {last}"
        )));
    }
    if start < view.oldest_state() {
        let oldest = view.oldest_state();
        let pruned = StorageError::Pruned { what: "state", number: start, oldest };
        return Err(error::of_chain(ImportError::Storage(pruned)));
    }
    let touched = touched(context, &view, start, end)?;
    let mut modified = Vec::new();
    for address in touched.into_values() {
        context.patience.check()?;
        let account = |number| view.trie_account(number, address).map_err(error::of_chain);
        let after = account(end)?;
        // Of what is gone the trie has nothing to tell.
        if after.is_some() && after != account(start)? {
            modified.push(address);
        }
    }
    json(&modified)
}

/// Every account that a block after `start` changed, up to `end`: in the order of their hashes.
fn touched(
    context: &Context,
    view: &ChainView,
    start: u64,
    end: u64,
) -> Result<BTreeMap<B256, Address>, ErrorObjectOwned> {
    let accounts_max = context.limits.modified_accounts_max;
    let mut touched = BTreeMap::new();
    for number in start.saturating_add(1)..=end {
        context.patience.check()?;
        let changed = view.changed_accounts(number).map_err(error::of_chain)?;
        let changed = changed.ok_or_else(error::block_not_found)?;
        touched.extend(changed.into_iter().map(|address| (keccak256(address), address)));
        if touched.len() > accounts_max {
            return Err(refused(format!(
                "blocks {} to {number} changed more than {accounts_max} accounts: ask for fewer \
                 blocks",
                start.saturating_add(1)
            )));
        }
    }
    Ok(touched)
}

/// `debug_preimage`: the address with this hash. Keys of slots are not known.
pub(super) fn preimage(context: &Context, mut args: Args) -> Answer {
    let hash = args.required("hash", hash)?;
    args.end()?;
    let found = context.view().address(hash).map_err(error::of_chain)?;
    json(&found.ok_or_else(|| refused("unknown preimage: no account ever had such an address"))?)
}

/// Source: Erigon, `rpc/jsonrpc/debug_api.go`, `AccountResult`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct WireAccountAt {
    balance: U256,
    nonce: U256,
    code: Bytes,
    code_hash: B256,
}

/// Source: alloy, `AccountInfo`, as Reth and anvil give it.
#[derive(Debug, Serialize)]
struct WireAccountInfo {
    balance: U256,
    nonce: U256,
    code: Bytes,
}

/// `debug_accountAt`: an account as the transaction with this index finds it; with the number of
/// transactions for an index, as the last one leaves it. Null if it does not exist.
pub(super) fn at(context: &Context, args: Args) -> Answer {
    let found = between(context, args, 0)?;
    json(&found.map(|(account, code)| WireAccountAt {
        balance: account.balance,
        nonce: U256::from(account.nonce),
        code,
        code_hash: account.code_hash,
    }))
}

/// `debug_accountInfoAt`: an account as the transaction with this index leaves it. Null if it does
/// not exist.
pub(super) fn info_at(context: &Context, args: Args) -> Answer {
    let found = between(context, args, 1)?;
    json(&found.map(|(account, code)| {
        let (balance, nonce) = (account.balance, U256::from(account.nonce));
        WireAccountInfo { balance, nonce, code }
    }))
}

/// The account that the arguments name, with its code, when so many transactions of the block have
/// run as its index says, and `more`.
fn between(
    context: &Context,
    mut args: Args,
    more: usize,
) -> Result<Option<(Account, Bytes)>, ErrorObjectOwned> {
    let block = traceable(args.required("block", block_ref)?)?;
    let index = args.required("transaction index", count)?;
    let address = args.required("address", address)?;
    args.end()?;
    let view = context.view();
    let viewed = blocks::find(&view, &block)?.ok_or_else(|| refused("block not found"))?;
    let (hash, transactions) = (viewed.hash, viewed.body.transactions.len());
    let before = usize::try_from(index).unwrap_or(usize::MAX).saturating_add(more);
    if before > transactions {
        return Err(refused(format!(
            "transaction index {index} out of range: block {hash} has {transactions} transactions"
        )));
    }
    rerun(context, &view, viewed, before, |rerun| {
        let state = rerun.before(before);
        let Some(account) = state.account(address).map_err(error::of_state)? else {
            return Ok(None);
        };
        let code = if account.has_code() {
            state.code(account.code_hash).map_err(error::of_state)?
        } else {
            Bytes::new()
        };
        Ok(Some((account, code)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_page_has_the_form_of_a_dump() {
        let address = Address::repeat_byte(0xab);
        let account = WireAccount {
            balance: "10".to_owned(),
            nonce: 7,
            root: B256::repeat_byte(1),
            code_hash: KECCAK256_EMPTY,
            code: None,
            address,
            key: keccak256(address),
        };
        let accounts = BTreeMap::from([(address.to_checksum(None), account)]);
        let told = serde_json::to_value(WireDump { root: "ff".to_owned(), accounts, next: None });
        let told = told.expect("JSON");
        let expected = json!({
            "balance": "10", "nonce": 7, "root": B256::repeat_byte(1),
            "codeHash": KECCAK256_EMPTY, "address": address, "key": keccak256(address),
        });
        assert_eq!(told["accounts"][address.to_checksum(None)], expected);
        assert_eq!((&told["root"], told.get("next")), (&json!("ff"), None));
    }

    #[test]
    fn a_page_may_begin_at_a_prefix_of_a_hash() {
        assert_eq!(first(&Bytes::new()), B256::ZERO);
        assert_eq!(first(&vec![7; 40].into()), B256::repeat_byte(7));
    }
}
