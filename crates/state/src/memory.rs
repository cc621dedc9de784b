//! A whole world state in memory: fixtures, bundles, generated chains, and the naive oracle of
//! state roots.

use crate::{Account, AccountDiff, DiffError, SlotDiff, SlotSet, StateDiff, StateError, StateView};
use alloy_trie::{EMPTY_ROOT_HASH, TrieAccount, root};
use fugue_types::{Address, AddressMap, B256, B256Map, Bytes, HashMap, U256};

/// An account with its storage. Slots that are zero are not kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemoryAccount {
    /// The account itself.
    pub account: Account,
    /// Its slots.
    pub slots: HashMap<U256, U256>,
}

/// A world state in hash maps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemoryState {
    /// Accounts that exist.
    pub accounts: AddressMap<MemoryAccount>,
    /// Codes by hash.
    pub codes: B256Map<Bytes>,
    /// Hashes of ancestors by number.
    pub block_hashes: HashMap<u64, B256>,
}

impl MemoryState {
    /// Changes the state by a diff.
    ///
    /// # Errors
    /// [`DiffError`] if an account is not as the diff says it was before; the state is then
    /// partly changed and must be dropped.
    pub fn apply(&mut self, diff: &StateDiff) -> Result<(), DiffError> {
        for (hash, code) in &diff.codes {
            self.codes.entry(*hash).or_insert_with(|| code.clone());
        }
        for change in &diff.accounts {
            let before = self.accounts.get(&change.address).map(|found| found.account);
            if before != change.before {
                return Err(DiffError { address: change.address });
            }
            let Some(after) = change.after else {
                self.accounts.remove(&change.address);
                continue;
            };
            let entry = self.accounts.entry(change.address).or_default();
            entry.account = after;
            if change.wiped {
                entry.slots.clear();
            }
            for slot in &change.slots {
                if slot.after.is_zero() {
                    entry.slots.remove(&slot.slot);
                } else {
                    entry.slots.insert(slot.slot, slot.after);
                }
            }
        }
        Ok(())
    }

    /// The change from nothing to this state.
    pub fn diff_from_nothing(&self) -> StateDiff {
        let accounts = self.accounts.iter().map(|(address, found)| {
            let slots = found.slots.iter().map(|(slot, value)| SlotDiff {
                slot: *slot,
                before: U256::ZERO,
                after: *value,
            });
            AccountDiff {
                address: *address,
                before: None,
                after: Some(found.account),
                wiped: false,
                slots: slots.collect(),
            }
        });
        let codes = self.codes.iter().map(|(hash, code)| (*hash, code.clone()));
        StateDiff { accounts: accounts.collect(), codes: codes.collect() }.canonical()
    }

    /// State root by building the whole trie anew: cost grows with the state, not with a change.
    pub fn root(&self) -> B256 {
        root::state_root_unhashed(self.accounts.iter().map(|(address, found)| {
            let storage_root = if found.slots.is_empty() {
                EMPTY_ROOT_HASH
            } else {
                root::storage_root_unhashed(
                    found.slots.iter().map(|(slot, value)| (B256::from(*slot), *value)),
                )
            };
            let Account { nonce, balance, code_hash } = found.account;
            (*address, TrieAccount { nonce, balance, storage_root, code_hash })
        }))
    }
}

impl StateView for MemoryState {
    fn account(&self, address: Address) -> Result<Option<Account>, StateError> {
        Ok(self.accounts.get(&address).map(|found| found.account))
    }

    fn slot(&self, address: Address, slot: U256) -> Result<U256, StateError> {
        let found = self.accounts.get(&address).and_then(|found| found.slots.get(&slot));
        Ok(found.copied().unwrap_or_default())
    }

    fn has_storage_beside(&self, address: Address, emptied: &SlotSet) -> Result<bool, StateError> {
        let found = self.accounts.get(&address);
        Ok(found.is_some_and(|found| found.slots.keys().any(|slot| !emptied.contains(slot))))
    }

    fn code(&self, code_hash: B256) -> Result<Bytes, StateError> {
        self.codes.get(&code_hash).cloned().ok_or(StateError::CodeMissing(code_hash))
    }

    fn block_hash(&self, number: u64) -> Result<B256, StateError> {
        self.block_hashes.get(&number).copied().ok_or(StateError::BlockHashMissing(number))
    }
}
