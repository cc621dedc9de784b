//! An access list whose form was checked, with an index: address and slot to a place.

use super::{ListFault, Step};
use alloy_eips::eip7928::{ITEM_COST, total_bal_items, validate_block_access_list};
use fugue_chainspec::{Fork, Rules};
use fugue_evm::FieldValue;
use fugue_types::{
    AccountChanges, Address, B256, BalanceChange, BlockAccessIndex, BlockAccessList, Bytes,
    CodeChange, DefaultHashBuilder, HashMap, Header, KECCAK256_EMPTY, NonceChange, StorageChange,
    U256, keccak256,
};
use std::{ops::Range, sync::Arc};

/// Accounts and slots of a list, at most, whatever the block may have: twice what EIP-7928 allows a
/// block of a gigagas. Each takes about 200 bytes while the block runs.
const ITEMS_MAX: u64 = 1_000_000;
/// Gas that a block uses at least for each change in its list: to set a slot takes 2,900, and the
/// four changes of a payment 12,000. And changes that take none, those of opening and closing, at
/// most. Each takes about 150 bytes while the block runs, and as few as three in the payload.
const CHANGE_GAS_MIN: u64 = 1_000;
const FREE_CHANGES_MAX: u64 = 4_096;
/// Bytes of a code in a list: more than any that was deployed (EIP-170, EIP-7954).
const CODE_BYTES_MAX: usize = 64 * 1024;

/// What a list may have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ListLimits {
    tx_count: usize,
    items_max: u64,
    changes_max: u64,
}

impl ListLimits {
    /// The budget of items holds where the protocol knows lists; on a list for an older block it is
    /// our own bound, and so is that of changes. Source: EIP-7928, "Block Access List size
    /// constraint".
    pub(crate) fn of(rules: &Rules, header: &Header, tx_count: usize) -> Self {
        let budget = header.gas_limit / ITEM_COST as u64;
        let items_max = if rules.has(Fork::Amsterdam) { budget.min(ITEMS_MAX) } else { ITEMS_MAX };
        let changes_max = (header.gas_limit / CHANGE_GAS_MIN).saturating_add(FREE_CHANGES_MAX);
        Self { tx_count, items_max, changes_max }
    }
}

/// Where the slots of an account are, and its codes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Places {
    slots: Range<usize>,
    /// Place of the hash of its first code.
    codes: usize,
}

/// A slot of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Slot {
    /// Place of its account.
    place: usize,
    key: U256,
    /// Place among the changed slots of its account; `None` if it is only read.
    changed: Option<usize>,
}

/// What a step makes of a field of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FieldChange {
    pub(super) address: Address,
    /// Place of the account.
    pub(super) place: usize,
    pub(super) value: FieldValue,
}

/// What a step makes of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SlotChange {
    pub(super) address: Address,
    pub(super) key: U256,
    /// Place of the slot.
    pub(super) slot_place: usize,
    pub(super) value: U256,
}

/// All changes that a step makes, in the order of accounts; fields of an account in the order of
/// balance, nonce, code, slots in the order of keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct StepChanges {
    pub(super) fields: Vec<FieldChange>,
    pub(super) slots: Vec<SlotChange>,
}

/// A list in canonical order, with all its indices in the block. The place of an account is its
/// position in the list; slots are numbered across accounts, in the order of account and key.
/// Changes are there twice, by account and by step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListIndex {
    list: Arc<BlockAccessList>,
    by_address: HashMap<Address, usize>,
    places: Vec<Places>,
    slots: Vec<Slot>,
    code_hashes: Vec<B256>,
    by_code_hash: HashMap<B256, Bytes>,
    steps: Vec<StepChanges>,
}

/// A change in a list: which step makes it.
pub(super) trait Change {
    fn index(&self) -> BlockAccessIndex;
}

macro_rules! changes {
    ($($change:ty),*) => {
        $(impl Change for $change {
            fn index(&self) -> BlockAccessIndex {
                self.block_access_index
            }
        })*
    };
}

changes!(StorageChange, BalanceChange, NonceChange, CodeChange);

/// How many of these changes are made before `step`.
pub(super) fn count_before<C: Change>(changes: &[C], step: Step) -> usize {
    changes.partition_point(|change| change.index().0 < step as u64)
}

/// The last of these changes that is made before `step`.
pub(super) fn last_before<C: Change>(changes: &[C], step: Step) -> Option<&C> {
    changes.get(count_before(changes, step).checked_sub(1)?)
}

/// The change that `step` makes.
pub(super) fn made_at<C: Change>(changes: &[C], step: Step) -> Option<&C> {
    let next = changes.get(count_before(changes, step))?;
    (next.index().0 == step as u64).then_some(next)
}

/// How many changes a list has of an account.
fn change_count(account: &AccountChanges) -> usize {
    let AccountChanges { storage_changes, balance_changes, nonce_changes, code_changes, .. } =
        account;
    let of_slots = storage_changes.iter().map(|slot| slot.changes.len()).sum::<usize>();
    of_slots + balance_changes.len() + nonce_changes.len() + code_changes.len()
}

impl ListIndex {
    /// Checks the form of a list and makes its index; the time is linear in its size.
    ///
    /// # Errors
    /// [`ListFault`], except for what only execution tells.
    pub(crate) fn new(list: Arc<BlockAccessList>, limits: &ListLimits) -> Result<Self, ListFault> {
        let ListLimits { tx_count, items_max, changes_max } = *limits;
        let items = total_bal_items(&list);
        if items > items_max {
            return Err(ListFault::Items { items, max: items_max });
        }
        let changes = list.iter().map(change_count).sum::<usize>() as u64;
        if changes > changes_max {
            return Err(ListFault::Changes { changes, max: changes_max });
        }
        validate_block_access_list(&list, tx_count)
            .map_err(|error| ListFault::Structure(Box::new(error)))?;
        let mut index = Self {
            by_address: HashMap::with_capacity_and_hasher(
                list.len(),
                DefaultHashBuilder::default(),
            ),
            places: Vec::with_capacity(list.len()),
            // No more than the items, which are bounded.
            slots: Vec::with_capacity((items as usize).saturating_sub(list.len())),
            code_hashes: Vec::new(),
            by_code_hash: HashMap::default(),
            steps: vec![StepChanges::default(); tx_count + 2],
            list: Arc::clone(&list),
        };
        for (place, account) in list.iter().enumerate() {
            index.by_address.insert(account.address, place);
            index.add(place, account)?;
        }
        Ok(index)
    }

    fn add(&mut self, place: usize, account: &AccountChanges) -> Result<(), ListFault> {
        let address = account.address;
        let first_slot = self.slots.len();
        let mut reads = account.storage_reads.iter().peekable();
        for (changed, slot) in account.storage_changes.iter().enumerate() {
            while let Some(key) = reads.next_if(|key| **key < slot.slot) {
                self.slots.push(Slot { place, key: *key, changed: None });
            }
            let (key, slot_place) = (slot.slot, self.slots.len());
            self.slots.push(Slot { place, key, changed: Some(changed) });
            for change in &slot.changes {
                if let Some(step) = self.step_mut(change) {
                    let value = change.new_value;
                    step.slots.push(SlotChange { address, key, slot_place, value });
                }
            }
        }
        self.slots.extend(reads.map(|key| Slot { place, key: *key, changed: None }));
        for change in &account.balance_changes {
            if let Some(step) = self.step_mut(change) {
                let value = FieldValue::Balance(change.post_balance);
                step.fields.push(FieldChange { address, place, value });
            }
        }
        for change in &account.nonce_changes {
            if let Some(step) = self.step_mut(change) {
                let value = FieldValue::Nonce(change.new_nonce);
                step.fields.push(FieldChange { address, place, value });
            }
        }
        let codes = self.code_hashes.len();
        for change in &account.code_changes {
            let code = &change.new_code;
            if code.len() > CODE_BYTES_MAX {
                let bytes = code.len();
                return Err(ListFault::CodeSize { address, bytes, max: CODE_BYTES_MAX });
            }
            let hash = if code.is_empty() { KECCAK256_EMPTY } else { keccak256(code) };
            self.code_hashes.push(hash);
            self.by_code_hash.insert(hash, code.clone());
            if let Some(step) = self.step_mut(change) {
                let value = FieldValue::CodeHash(hash);
                step.fields.push(FieldChange { address, place, value });
            }
        }
        self.places.push(Places { slots: first_slot..self.slots.len(), codes });
        Ok(())
    }

    /// Where a change belongs. The form was checked: every index is in the block.
    fn step_mut(&mut self, change: &impl Change) -> Option<&mut StepChanges> {
        self.steps.get_mut(change.index().0 as usize)
    }

    /// The list.
    pub(super) fn list(&self) -> &BlockAccessList {
        &self.list
    }

    /// How many slots it has.
    pub(super) const fn slot_count(&self) -> usize {
        self.slots.len()
    }

    /// How many transactions the block has.
    pub(super) fn tx_count(&self) -> usize {
        self.steps.len().saturating_sub(2)
    }

    /// The changes that each of these steps makes.
    pub(super) fn changes(&self, steps: Range<Step>) -> &[StepChanges] {
        self.steps.get(steps).unwrap_or_default()
    }

    /// How many changes a step makes.
    pub(super) fn changes_at(&self, step: Step) -> usize {
        self.steps.get(step).map_or(0, |changes| changes.fields.len() + changes.slots.len())
    }

    /// The place of an account.
    pub(super) fn place(&self, address: Address) -> Option<usize> {
        self.by_address.get(&address).copied()
    }

    /// What the list says of the account at a place.
    pub(super) fn account(&self, place: usize) -> &AccountChanges {
        &self.list[place]
    }

    /// The places of its slots.
    pub(super) fn slots_of(&self, place: usize) -> Range<usize> {
        self.places[place].slots.clone()
    }

    /// The place of a slot of the account at a place.
    pub(super) fn slot_place(&self, place: usize, key: U256) -> Option<usize> {
        let slots = self.slots_of(place);
        let found = self.slots[slots.clone()].binary_search_by_key(&key, |slot| slot.key).ok()?;
        Some(slots.start + found)
    }

    /// The slot at a place: its account's place, and its key.
    pub(super) fn slot(&self, slot_place: usize) -> (usize, U256) {
        let Slot { place, key, changed: _ } = self.slots[slot_place];
        (place, key)
    }

    /// Values of the slot at a place; none if it is only read.
    pub(super) fn slot_changes(&self, slot_place: usize) -> &[StorageChange] {
        let Slot { place, key: _, changed } = self.slots[slot_place];
        match changed {
            Some(changed) => &self.list[place].storage_changes[changed].changes,
            None => &[],
        }
    }

    /// Hash of a code of the account at a place, by its position among its codes.
    pub(super) fn code_hash(&self, place: usize, position: usize) -> B256 {
        self.code_hashes[self.places[place].codes + position]
    }

    /// A code of the list by its hash.
    pub(super) fn code(&self, hash: &B256) -> Option<&Bytes> {
        self.by_code_hash.get(hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fugue_types::SlotChanges;

    fn changes(values: &[(u64, u64)]) -> Vec<StorageChange> {
        let change = |(step, value): &(u64, u64)| {
            StorageChange::new(BlockAccessIndex::new(*step), U256::from(*value))
        };
        values.iter().map(change).collect()
    }

    /// Two accounts with the same slots: some are changed, some are only read.
    fn index() -> ListIndex {
        let account = |byte| {
            let mut account = AccountChanges::new(Address::repeat_byte(byte));
            account.storage_reads = [1_u64, 4, 9].map(U256::from).to_vec();
            account.storage_changes = vec![
                SlotChanges::new(U256::from(3), changes(&[(0, 7), (2, 8)])),
                SlotChanges::new(U256::from(5), changes(&[(3, 9)])),
            ];
            account
        };
        let limits = ListLimits { tx_count: 2, items_max: 12, changes_max: 6 };
        ListIndex::new(Arc::new(vec![account(1), account(2)]), &limits).unwrap()
    }

    #[test]
    fn a_slot_is_found_by_account_and_key_with_its_values() {
        let index = index();
        assert_eq!((index.slot_count(), index.tx_count()), (10, 2));
        for (place, byte) in [1, 2].into_iter().enumerate() {
            assert_eq!(index.place(Address::repeat_byte(byte)), Some(place));
            for key in 0..=10_u64 {
                let values = index.slot_place(place, U256::from(key)).map(|slot_place| {
                    assert_eq!(index.slot(slot_place), (place, U256::from(key)));
                    index.slot_changes(slot_place).to_vec()
                });
                let expected = match key {
                    1 | 4 | 9 => Some(Vec::new()),
                    3 => Some(changes(&[(0, 7), (2, 8)])),
                    5 => Some(changes(&[(3, 9)])),
                    _ => None,
                };
                assert_eq!(values, expected, "slot {key} of {byte}");
            }
        }
        assert_eq!(index.place(Address::repeat_byte(3)), None);
        assert_eq!([0, 1, 2, 3, 4].map(|step| index.changes_at(step)), [2, 0, 2, 2, 0]);
        let slots = index.changes(2..4).iter().flat_map(|changes| &changes.slots);
        let slots: Vec<_> =
            slots.map(|change| (change.address, change.key, change.value)).collect();
        let [one, two] = [1, 2].map(Address::repeat_byte);
        let expected = [(one, 3_u64, 8_u64), (two, 3, 8), (one, 5, 9), (two, 5, 9)];
        let of = |(address, key, value)| (address, U256::from(key), U256::from(value));
        assert_eq!(slots, expected.map(of));
    }

    #[test]
    fn fields_of_a_step_stand_in_the_order_of_accounts() {
        let step = BlockAccessIndex::new(1);
        let mut first = AccountChanges::new(Address::repeat_byte(1));
        first.nonce_changes = vec![NonceChange::new(step, 4)];
        first.balance_changes = vec![BalanceChange::new(step, U256::from(3))];
        let mut second = AccountChanges::new(Address::repeat_byte(2));
        second.code_changes = vec![CodeChange::new(step, Bytes::new())];
        let limits = ListLimits { tx_count: 1, items_max: 2, changes_max: 3 };
        let index = ListIndex::new(Arc::new(vec![first, second]), &limits).unwrap();
        let fields = index.changes(1..2).iter().flat_map(|changes| &changes.fields);
        let fields: Vec<_> = fields.map(|change| (change.place, change.value)).collect();
        let expected = [
            (0, FieldValue::Balance(U256::from(3))),
            (0, FieldValue::Nonce(4)),
            (1, FieldValue::CodeHash(KECCAK256_EMPTY)),
        ];
        assert_eq!(fields, expected);
        assert!(index.changes(2..9).is_empty());
    }

    #[test]
    fn a_list_with_more_changes_than_its_block_can_make_is_refused() {
        let mut account = AccountChanges::new(Address::repeat_byte(1));
        account.storage_changes =
            vec![SlotChanges::new(U256::from(3), changes(&[(0, 7), (1, 8), (2, 9)]))];
        account.nonce_changes = vec![NonceChange::new(BlockAccessIndex::new(1), 4)];
        account.balance_changes = vec![BalanceChange::new(BlockAccessIndex::new(1), U256::ONE)];
        account.code_changes = vec![CodeChange::new(BlockAccessIndex::new(2), Bytes::new())];
        let list = Arc::new(vec![account]);
        let made = |changes_max| {
            let limits = ListLimits { tx_count: 1, items_max: 2, changes_max };
            ListIndex::new(list.clone(), &limits).map(drop)
        };
        assert_eq!(made(6), Ok(()));
        assert_eq!(made(5), Err(ListFault::Changes { changes: 6, max: 5 }));
        let header = Header { gas_limit: 60_000_000, ..Header::default() };
        for fork in [Fork::Byzantium, Fork::Amsterdam] {
            let rules = fugue_chainspec::ChainSpec::at_fork(1, fork).rules(&header);
            let ListLimits { changes_max, .. } = ListLimits::of(&rules, &header, 1);
            assert_eq!(changes_max, 60_000 + FREE_CHANGES_MAX, "{fork}");
        }
    }

    #[test]
    fn a_value_holds_from_the_step_after_the_one_that_left_it() {
        let changes = changes(&[(0, 7), (2, 8)]);
        let before = |step| last_before(&changes, step).map(|change| change.new_value);
        let [seven, eight] = [7_u64, 8].map(U256::from);
        let expected = [None, Some(seven), Some(seven), Some(eight), Some(eight)];
        assert_eq!([0, 1, 2, 3, 9].map(before), expected);
        let at = |step| made_at(&changes, step).map(|change| change.new_value);
        assert_eq!([0, 1, 2, 3].map(at), [Some(seven), None, Some(eight), None]);
    }
}
