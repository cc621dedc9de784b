//! Diffs that were not put together, over a state: cheap to make, and read from the newest on.

use crate::{Account, AccountDiff, StateDiff, StateError, StateView};
use fugue_types::{Address, B256, Bytes, HashSet, U256};

/// The state after a run of transitions, each of which follows the one before. To put a few diffs
/// together takes longer than most who read a state have to do, so they are looked through.
#[derive(Clone)]
pub struct Stack<'v> {
    /// Oldest first.
    diffs: Vec<&'v StateDiff>,
    below: &'v dyn StateView,
}

impl std::fmt::Debug for Stack<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stack").field("diffs", &self.diffs.len()).finish_non_exhaustive()
    }
}

impl<'v> Stack<'v> {
    /// The oldest diff first, which changes the state `below`.
    pub fn new(diffs: impl IntoIterator<Item = &'v StateDiff>, below: &'v dyn StateView) -> Self {
        Self { diffs: diffs.into_iter().collect(), below }
    }

    /// How the account was changed, the newest change first.
    fn changes(&self, address: Address) -> impl Iterator<Item = &AccountDiff> {
        self.diffs.iter().rev().filter_map(move |diff| {
            let accounts = &diff.accounts;
            let found = accounts.binary_search_by_key(&address, |change| change.address);
            found.ok().map(|index| &accounts[index])
        })
    }
}

/// Nothing is left of what the account stored before.
const fn ends_storage(change: &AccountDiff) -> bool {
    change.wiped || change.after.is_none()
}

impl StateView for Stack<'_> {
    fn account(&self, address: Address) -> Result<Option<Account>, StateError> {
        match self.changes(address).next() {
            Some(change) => Ok(change.after),
            None => self.below.account(address),
        }
    }

    fn slot(&self, address: Address, slot: U256) -> Result<U256, StateError> {
        for change in self.changes(address) {
            if let Ok(index) = change.slots.binary_search_by_key(&slot, |found| found.slot) {
                return Ok(change.slots[index].after);
            }
            if ends_storage(change) {
                return Ok(U256::ZERO);
            }
        }
        self.below.slot(address, slot)
    }

    fn has_storage(&self, address: Address) -> Result<bool, StateError> {
        let mut newer: HashSet<U256> = HashSet::default();
        for change in self.changes(address) {
            for slot in &change.slots {
                if newer.insert(slot.slot) && !slot.after.is_zero() {
                    return Ok(true);
                }
            }
            if ends_storage(change) {
                return Ok(false);
            }
        }
        // As `LayerView::has_storage` does, this passes over what was emptied since.
        self.below.has_storage(address)
    }

    fn code(&self, code_hash: B256) -> Result<Bytes, StateError> {
        for diff in self.diffs.iter().rev() {
            if let Ok(index) = diff.codes.binary_search_by_key(&code_hash, |(hash, _)| *hash) {
                return Ok(diff.codes[index].1.clone());
            }
        }
        self.below.code(code_hash)
    }

    fn block_hash(&self, number: u64) -> Result<B256, StateError> {
        self.below.block_hash(number)
    }
}
