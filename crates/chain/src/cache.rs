//! Accounts and slots of the durable state that were read lately, for all threads.
//!
//! The store hashes every key and searches a tree; what blocks come back to is found here by its
//! plain key. After a commit the cache takes the new values.

use fugue_state::{Account, AccountDiff, SlotSet, StateDiff, StateError, StateView};
use fugue_types::{Address, B256, Bytes, HashMap, U256};
use parking_lot::Mutex;
use std::hash::Hash;

/// Parts of the cache, each behind a lock of its own.
const SHARDS: usize = 64;
/// Accounts that one part holds, and slots, at most: before there is one more, all of them are
/// forgotten. Where every part is full, that takes about 200 MB.
const SHARD_ENTRIES_MAX: usize = 8_192;

#[derive(Debug, Default)]
struct Shard {
    accounts: HashMap<Address, Option<Account>>,
    slots: HashMap<(Address, U256), U256>,
}

/// What was read of one state.
#[derive(Debug)]
pub(crate) struct StateCache {
    shards: Vec<Mutex<Shard>>,
}

impl StateCache {
    pub(crate) fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect() }
    }

    /// Forgets everything: the state is another one.
    pub(crate) fn clear(&self) {
        for shard in &self.shards {
            *shard.lock() = Shard::default();
        }
    }

    /// Takes the values that a change leaves. For an account that loses its storage the slots of
    /// its part are gone through.
    pub(crate) fn advance(&self, diff: &StateDiff) {
        for AccountDiff { address, before: _, after, wiped, slots } in &diff.accounts {
            let mut shard = self.shard(*address).lock();
            put(&mut shard.accounts, *address, *after);
            if *wiped || after.is_none() {
                shard.slots.retain(|(owner, _), _| owner != address);
            }
            for slot in slots {
                put(&mut shard.slots, (*address, slot.slot), slot.after);
            }
        }
    }

    fn shard(&self, address: Address) -> &Mutex<Shard> {
        &self.shards[usize::from(address.0[19]) % SHARDS]
    }

    /// The cached state over the store's.
    pub(crate) fn over<'v>(&'v self, state: &'v dyn StateView) -> CachedState<'v> {
        CachedState { cache: self, state }
    }
}

/// Puts a value where at most [`SHARD_ENTRIES_MAX`] are. What is forgotten is read again.
fn put<K: Eq + Hash, V>(values: &mut HashMap<K, V>, key: K, value: V) {
    if values.len() >= SHARD_ENTRIES_MAX && !values.contains_key(&key) {
        values.clear();
    }
    values.insert(key, value);
}

/// A state through the cache.
pub(crate) struct CachedState<'v> {
    cache: &'v StateCache,
    state: &'v dyn StateView,
}

impl StateView for CachedState<'_> {
    fn account(&self, address: Address) -> Result<Option<Account>, StateError> {
        let shard = self.cache.shard(address);
        if let Some(account) = shard.lock().accounts.get(&address) {
            return Ok(*account);
        }
        let account = self.state.account(address)?;
        put(&mut shard.lock().accounts, address, account);
        Ok(account)
    }

    fn slot(&self, address: Address, slot: U256) -> Result<U256, StateError> {
        let shard = self.cache.shard(address);
        if let Some(value) = shard.lock().slots.get(&(address, slot)) {
            return Ok(*value);
        }
        let value = self.state.slot(address, slot)?;
        put(&mut shard.lock().slots, (address, slot), value);
        Ok(value)
    }

    fn has_storage_beside(&self, address: Address, emptied: &SlotSet) -> Result<bool, StateError> {
        self.state.has_storage_beside(address, emptied)
    }

    fn code(&self, code_hash: B256) -> Result<Bytes, StateError> {
        self.state.code(code_hash)
    }

    fn block_hash(&self, number: u64) -> Result<B256, StateError> {
        self.state.block_hash(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::samples::{IRREVERSIBLE, REVERSIBLE, World, keys};
    use fugue_state::{MemoryState, SlotDiff};

    /// What the cache holds of an account.
    fn known_account(cache: &StateCache, address: Address) -> Option<Option<Account>> {
        cache.shard(address).lock().accounts.get(&address).copied()
    }

    /// What the cache holds of a slot.
    fn known_slot(cache: &StateCache, address: Address, slot: U256) -> Option<U256> {
        cache.shard(address).lock().slots.get(&(address, slot)).copied()
    }

    /// What is read through the cache is the state.
    fn check_reads(cache: &StateCache, state: &MemoryState) {
        let cached = cache.over(state);
        for (address, slot) in keys() {
            if let Some(slot) = slot {
                assert_eq!(cached.slot(address, slot), state.slot(address, slot), "{address}");
            } else {
                assert_eq!(cached.account(address), state.account(address), "{address}");
            }
        }
    }

    #[test]
    fn what_a_block_changes_is_known_after_it_and_what_goes_with_an_account_is_not() {
        let mut after = World::new().genesis;
        let cache = StateCache::new();
        // Once more with what came and went before.
        for (told, change) in REVERSIBLE.into_iter().chain(IRREVERSIBLE).chain(REVERSIBLE) {
            check_reads(&cache, &after.state);
            let diff = change(&after.state);
            cache.advance(&diff);
            after = after.child(diff.clone());
            for (address, slot) in keys() {
                let Some(slot) = slot else {
                    let expected = after.state.account(address).ok();
                    assert_eq!(known_account(&cache, address), expected, "{told}: {address}");
                    continue;
                };
                let change = diff.accounts.iter().find(|change| change.address == address);
                let is_gone = change.is_some_and(|it| it.wiped || it.after.is_none());
                let is_new = change.is_some_and(|it| it.slots.iter().any(|it| it.slot == slot));
                let is_known = !is_gone || is_new;
                let expected = after.state.slot(address, slot).ok().filter(|_| is_known);
                assert_eq!(known_slot(&cache, address, slot), expected, "{told}: {address} {slot}");
            }
        }
        check_reads(&cache, &after.state);
    }

    /// An account of the first part comes, with one slot.
    fn coming(number: u64) -> AccountDiff {
        let mut address = [0; 20];
        address[..8].copy_from_slice(&number.to_be_bytes());
        let account = Account { nonce: 1, balance: U256::from(number), ..Account::default() };
        let (slot, before, after) = (U256::from(number), U256::ZERO, U256::from(number + 1));
        AccountDiff {
            address: Address::from(address),
            before: None,
            after: Some(account),
            wiped: false,
            slots: vec![SlotDiff { slot, before, after }],
        }
    }

    /// Accounts and slots of the first part.
    fn sizes(cache: &StateCache) -> (usize, usize) {
        let shard = cache.shard(Address::ZERO).lock();
        (shard.accounts.len(), shard.slots.len())
    }

    #[test]
    fn what_is_full_begins_anew_with_what_a_block_changes_or_is_read() {
        const MAX: usize = SHARD_ENTRIES_MAX;
        let all: Vec<AccountDiff> = (0..2 * MAX as u64 + 5).map(coming).collect();
        let of = |accounts: &[AccountDiff]| {
            let (accounts, codes) = (accounts.to_vec(), Vec::new());
            StateDiff { accounts, codes }
        };
        let cache = StateCache::new();
        cache.advance(&of(&all[..MAX]));
        assert_eq!(sizes(&cache), (MAX, MAX));
        // What is known already takes no room.
        cache.advance(&of(&all[..MAX]));
        assert_eq!(sizes(&cache), (MAX, MAX));
        cache.advance(&of(&all[MAX..=MAX]));
        assert_eq!(sizes(&cache), (1, 1));
        cache.clear();
        assert_eq!(sizes(&cache), (0, 0));
        // In one block.
        cache.advance(&of(&all));
        assert_eq!(sizes(&cache), (5, 5));
        // By what is read.
        let mut state = MemoryState::default();
        state.apply(&of(&all)).expect("it begins with nothing");
        let cached = cache.over(&state);
        for (count, change) in (1..).zip(&all) {
            let (address, slot) = (change.address, change.slots[0]);
            assert_eq!(cached.account(address), Ok(change.after));
            assert_eq!(cached.slot(address, slot.slot), Ok(slot.after));
            assert_eq!(sizes(&cache).0, (count + 4) % MAX + 1);
            assert_eq!(sizes(&cache).0, sizes(&cache).1);
        }
    }
}
