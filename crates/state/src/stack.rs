//! Diffs that were not put together, over a state: cheap to make, and read from the newest on.

use crate::{Account, AccountDiff, SlotSet, StateDiff, StateError, StateView};
use fugue_types::{Address, B256, Bytes, U256};

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

    fn has_storage_beside(&self, address: Address, emptied: &SlotSet) -> Result<bool, StateError> {
        let mut newer = emptied.clone();
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
        self.below.has_storage_beside(address, &newer)
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

    fn check(&self) -> Result<(), StateError> {
        self.below.check()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Layer, MemoryAccount, MemoryState, SlotDiff};

    const HERE: Address = Address::repeat_byte(1);

    fn stored(slot: u64, before: u64, after: u64) -> StateDiff {
        let account = Some(Account::default());
        let [slot, before, after] = [slot, before, after].map(U256::from);
        let slots = vec![SlotDiff { slot, before, after }];
        let change =
            AccountDiff { address: HERE, before: account, after: account, wiped: false, slots };
        StateDiff { accounts: vec![change], codes: Vec::new() }
    }

    #[test]
    fn an_account_has_storage_until_its_last_slot_is_emptied() {
        let slots = [1, 2].map(|slot| (U256::from(slot), U256::from(7))).into_iter().collect();
        let mut state = MemoryState::default();
        state.accounts.insert(HERE, MemoryAccount { account: Account::default(), slots });
        let diffs = [stored(2, 7, 0), stored(1, 7, 0)];
        for (count, expected) in [(0, true), (1, true), (2, false)] {
            let diffs = &diffs[..count];
            assert_eq!(Stack::new(diffs, &state).has_storage(HERE), Ok(expected), "{count}");
            let mut layer = Layer::default();
            for diff in diffs {
                layer.push(diff).expect("it follows");
            }
            assert_eq!(layer.over(&state).has_storage(HERE), Ok(expected), "{count}");
            // One above the other.
            if let [first, rest @ ..] = diffs {
                let below = Stack::new([first], &state);
                let mut layer = Layer::default();
                for diff in rest {
                    layer.push(diff).expect("it follows");
                }
                assert_eq!(layer.over(&below).has_storage(HERE), Ok(expected), "{count}");
            }
        }
    }

    #[test]
    fn what_was_filled_and_is_emptied_again_is_no_storage() {
        let mut state = MemoryState::default();
        state.accounts.insert(HERE, MemoryAccount::default());
        let [first, second] = [stored(1, 0, 7), stored(1, 7, 0)];
        assert_eq!(Stack::new([&first], &state).has_storage(HERE), Ok(true));
        assert_eq!(Stack::new([&first, &second], &state).has_storage(HERE), Ok(false));
        // One layer above the other.
        let [lower, upper] = [&first, &second].map(|diff| {
            let mut layer = Layer::default();
            layer.push(diff).expect("it follows");
            layer
        });
        let below = lower.over(&state);
        assert_eq!(below.has_storage(HERE), Ok(true));
        assert_eq!(upper.over(&below).has_storage(HERE), Ok(false));
    }
}
