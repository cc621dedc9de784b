//! Accounts and their storage after a block.

use crate::public::{
    Answer, Context,
    args::{Args, address, list, object, slot, storage_key, under},
    block_ref::{BlockRef, Tag, block_ref},
    error, json,
};
use fugue_state::StateError;
use fugue_types::{Address, B256, Bytes, U256};
use serde_json::{Value, json as value_of};
use std::collections::BTreeMap;

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
    let nonce = if block == BlockRef::Tag(Tag::Pending) {
        context.next_nonce(address)?
    } else {
        let account = context.with_state(&block, |state| state.account(address))?;
        account.unwrap_or_default().nonce
    };
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
    let slot = args.required("storage key", storage_key)?;
    let block = args.optional("block", block_ref)?.unwrap_or_default();
    args.end()?;
    let value = context.with_state(&block, |state| state.slot(address, slot))?;
    json(&B256::from(value))
}

/// `eth_getStorageValues`: slots of several accounts.
pub(crate) fn storage_values(context: &Context, mut args: Args) -> Answer {
    let max = context.limits.storage_keys_max;
    let wanted = args.required("storage keys", |value| wanted_slots(value, max))?;
    let block = args.optional("block", block_ref)?.unwrap_or_default();
    args.end()?;
    let values = context.with_state(&block, |state| {
        let mut values = BTreeMap::new();
        for (address, slots) in &wanted {
            let found = slots.iter().map(|slot| state.slot(*address, *slot).map(B256::from));
            values.insert(*address, found.collect::<Result<Vec<B256>, StateError>>()?);
        }
        Ok(values)
    })?;
    json(&values)
}

/// Slots by account: one at least, and `max` at most, of all accounts together.
fn wanted_slots(value: &Value, max: usize) -> Result<BTreeMap<Address, Vec<U256>>, String> {
    let mut wanted = BTreeMap::new();
    let mut count = 0_usize;
    let fields = object(value)?;
    if fields.len() > max {
        return Err(format!("{} accounts, want at most {max}", fields.len()));
    }
    for (name, slots) in fields {
        let named = |reason: String| under(name, &reason);
        let address = address(&Value::from(name.as_str())).map_err(named)?;
        let slots = list(slots, max, slot).map_err(named)?;
        count = count.saturating_add(slots.len());
        if wanted.insert(address, slots).is_some() {
            return Err(named("the account is given twice".to_owned()));
        }
    }
    match count {
        0 => Err("no storage key is given".to_owned()),
        count if count <= max => Ok(wanted),
        _ => Err(format!("{count} storage keys, want at most {max}")),
    }
}

/// `eth_getAccount`: the account as the trie of the state has it; null if it does not exist.
pub(crate) fn account(context: &Context, mut args: Args) -> Answer {
    let address = args.required("address", address)?;
    let block = args.optional("block", block_ref)?.unwrap_or_default();
    args.end()?;
    let (view, number) = context.chain_with_state(&block)?;
    let account = view.trie_account(number, address).map_err(error::of_chain)?;
    json(&account.map(|account| {
        value_of!({
            "balance": account.balance,
            "nonce": U256::from(account.nonce),
            "codeHash": account.code_hash,
            "storageRoot": account.storage_root,
        })
    }))
}

/// `eth_getAccountInfo`: balance, nonce and code. An account that does not exist has none.
pub(crate) fn account_info(context: &Context, mut args: Args) -> Answer {
    let address = args.required("address", address)?;
    let block = args.optional("block", block_ref)?.unwrap_or_default();
    args.end()?;
    let (account, code) = context.with_state(&block, |state| {
        let account = state.account(address)?.unwrap_or_default();
        let code = if account.has_code() { state.code(account.code_hash)? } else { Bytes::new() };
        Ok((account, code))
    })?;
    let (balance, nonce) = (account.balance, U256::from(account.nonce));
    json(&value_of!({ "balance": balance, "nonce": nonce, "code": code }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_read_by_account() {
        let (one, two) = (Address::repeat_byte(1), Address::repeat_byte(0xab));
        let value = value_of!({ one.to_string(): ["0x0", "0x5"], two.to_string(): [] });
        let found = wanted_slots(&value, 2).expect("well formed");
        assert_eq!(found.get(&one), Some(&vec![U256::ZERO, U256::from(5)]));
        assert_eq!(found.get(&two), Some(&Vec::new()));
    }

    #[test]
    fn slots_have_a_bound_over_all_accounts() {
        let slots = |count: usize| vec!["0x1"; count];
        let (one, two) = (Address::repeat_byte(1).to_string(), Address::repeat_byte(2).to_string());
        let (max, half) = (6, 3);
        let full = value_of!({ one.clone(): slots(half), two.clone(): slots(half) });
        assert!(wanted_slots(&full, max).is_ok());
        for (wrong, reason) in [
            (value_of!({}), "no storage key"),
            (value_of!({ one.clone(): [] }), "no storage key"),
            (value_of!({ one.clone(): slots(half + 1), two.clone(): slots(half) }), "7 "),
            (value_of!({ one.clone(): slots(max + 1) }), one.as_str()),
            (value_of!({ "0x12": ["0x0"] }), "0x12: an address"),
            (value_of!([]), "an object"),
        ] {
            let found = wanted_slots(&wrong, max).expect_err("refused");
            assert!(found.starts_with(reason), "{found}");
        }
        let upper = format!("0x{}", "AB".repeat(20));
        let twice = value_of!({ upper.to_lowercase(): ["0x0"], upper: ["0x1"] });
        assert!(wanted_slots(&twice, max).expect_err("refused").ends_with("given twice"));
    }
}
