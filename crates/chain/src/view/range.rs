//! Slots of an account in the order in which its trie has them, page by page.
//!
//! What is durable is read in that order as it is stored. What changed since, by blocks that are
//! not durable and within a block, is few, and laid over it.

use super::{ChainView, Reach};
use crate::ImportError;
use fugue_state::{AccountDiff, StateDiff};
use fugue_types::{Address, B256, U256, keccak256};
use std::collections::BTreeMap;

/// A slot that is not zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListedSlot {
    /// keccak256 of its key.
    pub hash: B256,
    /// Its key, if that is known: the store keeps hashes.
    pub slot: Option<U256>,
    /// Its value.
    pub value: U256,
}

/// A part of the slots of an account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SlotRange {
    /// Ascending by hash.
    pub slots: Vec<ListedSlot>,
    /// Hash of the slot that comes next; `None` if there is no other.
    pub next: Option<B256>,
}

/// Changes of an account's slots, by the hashes of their keys.
#[derive(Default)]
struct Changes {
    slots: BTreeMap<B256, (U256, U256)>,
    /// Nothing is left of what it stored before.
    began_anew: bool,
}

impl Changes {
    /// Of changes of which each follows the one before.
    fn of<'d>(address: Address, diffs: impl Iterator<Item = &'d StateDiff>) -> Self {
        let mut changes = Self::default();
        for diff in diffs {
            let found = diff.accounts.binary_search_by_key(&address, |change| change.address);
            let Ok(index) = found else { continue };
            let AccountDiff { after, wiped, slots, .. } = &diff.accounts[index];
            if *wiped || after.is_none() {
                changes = Self { began_anew: true, ..Self::default() };
            }
            for change in slots {
                let hash = keccak256(change.slot.to_be_bytes::<32>());
                changes.slots.insert(hash, (change.slot, change.after));
            }
        }
        changes
    }
}

impl ChainView {
    /// At most `count` slots of an account that are not zero, from the hash `start` on, as they are
    /// after these changes of the state after a block of the head's chain. `None` above the head.
    ///
    /// # Errors
    /// [`ImportError::Storage`], with `Pruned` if the state is no longer kept, and `GivenUp` with
    /// the reason of `reach`.
    pub fn slots_from(
        &self,
        number: u64,
        changes: &[StateDiff],
        address: Address,
        (start, count): (B256, usize),
        reach: &Reach<'_>,
    ) -> Result<Option<SlotRange>, ImportError> {
        if number > self.head.number {
            return Ok(None);
        }
        let above = usize::try_from(number.saturating_sub(self.base)).unwrap_or(usize::MAX);
        let above = self.above.iter().take(above).map(|record| &record.diff);
        let mut changes = Changes::of(address, above.chain(changes));
        // Of these, one each may be gone since.
        let wanted = count.saturating_add(1).saturating_add(changes.slots.len());
        let durable = if changes.began_anew {
            Vec::new()
        } else {
            let state = self.snapshot.state_at(number.min(self.base))?;
            state.slots_from(address, start, wanted, &|| reach.checked())?
        };
        // Behind the last one that was read there may be more, before which no other may be told.
        let is_whole = durable.len() < wanted;
        let last = durable.last().map(|(hash, _)| *hash).filter(|_| !is_whole);
        let listed = |(hash, value)| (hash, ListedSlot { hash, slot: None, value });
        let mut slots: BTreeMap<B256, ListedSlot> = durable.into_iter().map(listed).collect();
        let newer = changes.slots.split_off(&start);
        for (hash, (slot, value)) in newer {
            if value.is_zero() {
                slots.remove(&hash);
            } else if last.is_none_or(|last| hash <= last) {
                slots.insert(hash, ListedSlot { hash, slot: Some(slot), value });
            }
        }
        let mut slots = slots.into_values();
        let page = slots.by_ref().take(count).collect();
        Ok(Some(SlotRange { slots: page, next: slots.next().map(|slot| slot.hash) }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::samples::{IRREVERSIBLE, REVERSIBLE, World, raise};
    use fugue_storage::StorageError;

    const FAR: Reach<'static> =
        Reach { blocks_max: u64::MAX, changes_max: usize::MAX, check: &|| Ok(()) };

    /// All slots, in pages of so many.
    fn pages(
        view: &ChainView,
        number: u64,
        changes: &[StateDiff],
        address: Address,
        count: usize,
    ) -> Vec<(B256, U256)> {
        let (mut all, mut start) = (Vec::new(), B256::ZERO);
        loop {
            let page = view.slots_from(number, changes, address, (start, count), &FAR);
            let SlotRange { slots, next } = page.expect("a good store").expect("it is there");
            assert!(slots.len() <= count);
            for ListedSlot { hash, slot, value } in slots {
                let known = slot.map(|slot| keccak256(slot.to_be_bytes::<32>()));
                assert!(hash >= start && known.is_none_or(|known| known == hash));
                all.push((hash, value));
            }
            match next {
                Some(next) => start = next,
                None => return all,
            }
        }
    }

    #[test]
    fn pages_have_the_slots_of_every_state_whatever_is_durable() {
        for durable in [0, 3, usize::MAX] {
            let world = World::new();
            let mut chain = vec![world.genesis.clone()];
            for (_, change) in IRREVERSIBLE.into_iter().chain(REVERSIBLE) {
                let last = chain.last().expect("a genesis");
                let diff = change(&last.state).canonical();
                if !diff.is_empty() {
                    let next = last.child(diff);
                    chain.push(next);
                }
            }
            let last = chain.last().expect("some blocks");
            let durable = durable.min(chain.len() - 1);
            if durable > 0 {
                world.commit(&chain[durable]);
            }
            let snapshot = world.snapshot();
            let view = world.view(&snapshot, last);
            for after in &chain {
                for byte in [1, 200, 201, 202, 210, 0xee] {
                    let address = Address::repeat_byte(byte);
                    let known = after.state.accounts.get(&address);
                    let slots = known.into_iter().flat_map(|known| &known.slots);
                    let mut expected: Vec<_> = slots
                        .map(|(slot, value)| (keccak256(slot.to_be_bytes::<32>()), *value))
                        .collect();
                    expected.sort_unstable();
                    let number = after.head.number;
                    for count in [1, 7, 1_000] {
                        let found = pages(&view, number, &[], address, count);
                        assert_eq!(found, expected, "block {number}, {address}, {count}");
                    }
                }
            }
        }
    }

    #[test]
    fn changes_within_a_block_are_laid_over() {
        let world = World::new();
        let snapshot = world.snapshot();
        let view = world.view(&snapshot, &world.genesis);
        let first = raise(&world.genesis.state);
        let then = world.genesis.child(first.clone());
        let second = raise(&then.state);
        let after = then.child(second.clone());
        let address = Address::repeat_byte(200);
        let mut expected: Vec<_> = after.state.accounts[&address]
            .slots
            .iter()
            .map(|(slot, value)| (keccak256(slot.to_be_bytes::<32>()), *value))
            .collect();
        expected.sort_unstable();
        assert_eq!(pages(&view, 0, &[first, second], address, 6), expected);
        assert_eq!(view.slots_from(1, &[], address, (B256::ZERO, 1), &FAR), Ok(None));
        let none = view.slots_from(0, &[], address, (B256::repeat_byte(0xff), 5), &FAR);
        assert_eq!(none, Ok(Some(SlotRange::default())));
        let given_up = Reach { check: &|| Err("enough".to_owned()), ..FAR };
        let given_up = view.slots_from(0, &[], address, (B256::ZERO, 5), &given_up);
        let enough = ImportError::Storage(StorageError::GivenUp("enough".to_owned()));
        assert_eq!(given_up, Err(enough));
    }
}
