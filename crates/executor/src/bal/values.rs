//! The state before each step of a block, as the access list has it.
//!
//! An account or slot before step `i` is what the list says that a step below `i` left, the last
//! one; where no step did, it is what the state before the block has. An account or a slot that
//! the list does not name is not answered.
//!
//! A list tells values, and not two things that a state also knows; both follow from the values:
//! * **existence**: an account is there if it is not empty, or if nothing in the list has changed
//!   it and the state before the block has it;
//! * **ends**: before Cancun a code that becomes empty is a contract that was destroyed, and with
//!   it go all its slots.
//!
//! Where a step does what these rules do not tell, its fragment does not fit (`fragment.rs`), and
//! the block runs sequentially: an account that was empty before the block, and is cleared.

use super::{
    Step,
    index::{ListIndex, count_before, last_before},
};
use fugue_evm::StateReader;
use fugue_state::{Account, StateError, StateView};
use fugue_types::{AccountChanges, Address, B256, Bytes, U256};
use std::sync::{
    OnceLock,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

/// Accounts or slots that a thread fetches at a time, at least and at most: enough that neighbours
/// in the state are read together and that claiming them costs nothing, few enough that the threads
/// end together.
const FETCH_BATCH_MIN: usize = 4;
const FETCH_BATCH_MAX: usize = 64;
/// Batches of each thread, about.
const FETCH_BATCHES: usize = 16;

/// What the state before the block has, once it was asked, and whether the block looked at it.
#[derive(Debug)]
struct Cell<T> {
    base: OnceLock<T>,
    is_touched: AtomicBool,
}

impl<T> Default for Cell<T> {
    fn default() -> Self {
        Self { base: OnceLock::new(), is_touched: AtomicBool::new(false) }
    }
}

impl<T: Copy> Cell<T> {
    /// The base value. Threads that ask at the same time may read it each; nobody waits for a read.
    fn base(&self, read: impl FnOnce() -> Result<T, StateError>) -> Result<T, StateError> {
        if let Some(base) = self.base.get() {
            return Ok(*base);
        }
        let found = read()?;
        Ok(*self.base.get_or_init(|| found))
    }

    fn touch(&self) {
        // The line stays shared where it is set already.
        if !self.is_touched.load(Ordering::Relaxed) {
            self.is_touched.store(true, Ordering::Relaxed);
        }
    }

    fn is_touched(&self) -> bool {
        self.is_touched.load(Ordering::Relaxed)
    }
}

/// From which step on a slot of an account is there, and the last step before which that is so.
type Spans = Box<[(u64, u64)]>;

/// Shared by all workers of one block; read without locks.
pub(super) struct Values<'b> {
    index: &'b ListIndex,
    view: &'b dyn StateView,
    /// By place.
    accounts: Vec<Cell<Option<Account>>>,
    /// By place of the slot.
    slots: Vec<Cell<U256>>,
    /// By place, once somebody has asked: [`Values::stored`].
    stored: Vec<OnceLock<Spans>>,
    /// Contracts can be destroyed: a code that becomes empty is an end.
    has_ends: bool,
    fetch_batch: usize,
    fetched: AtomicUsize,
}

impl<'b> Values<'b> {
    pub(super) fn new(
        index: &'b ListIndex,
        view: &'b dyn StateView,
        has_ends: bool,
        threads: usize,
    ) -> Self {
        let accounts: Vec<_> = index.list().iter().map(|_| Cell::default()).collect();
        let slots: Vec<_> = (0..index.slot_count()).map(|_| Cell::default()).collect();
        let stored = index.list().iter().map(|_| OnceLock::new()).collect();
        let each = (accounts.len() + slots.len()) / (threads.max(1) * FETCH_BATCHES);
        let fetch_batch = each.clamp(FETCH_BATCH_MIN, FETCH_BATCH_MAX);
        let fetched = AtomicUsize::new(0);
        Self { index, view, accounts, slots, stored, has_ends, fetch_batch, fetched }
    }

    /// The list.
    pub(super) const fn index(&self) -> &'b ListIndex {
        self.index
    }

    /// Whether a code that becomes empty is the end of its account.
    pub(super) const fn has_ends(&self) -> bool {
        self.has_ends
    }

    /// Reads what the list names from the state before the block, in the order of its keys; the
    /// threads that call share the work, and none waits for another. What cannot be read is met
    /// again by whoever needs it.
    pub(super) fn fetch(&self, goes_on: impl Fn() -> bool) {
        let (accounts, slots) = (self.accounts.len(), self.slots.len());
        let count = accounts + slots;
        while goes_on() {
            let first = self.fetched.fetch_add(self.fetch_batch, Ordering::Relaxed);
            if first >= count {
                return;
            }
            for item in first..count.min(first + self.fetch_batch) {
                let is_read = match item.checked_sub(accounts) {
                    None => self.base(item).is_ok(),
                    Some(slot_place) => self.base_slot(slot_place).is_ok(),
                };
                if !is_read {
                    return;
                }
            }
        }
    }

    /// The account before the block.
    pub(super) fn base(&self, place: usize) -> Result<Option<Account>, StateError> {
        let address = self.index.account(place).address;
        self.accounts[place].base(|| self.view.account(address))
    }

    /// The slot before the block.
    pub(super) fn base_slot(&self, slot_place: usize) -> Result<U256, StateError> {
        self.slots[slot_place].base(|| {
            let (place, key) = self.index.slot(slot_place);
            self.view.slot(self.index.account(place).address, key)
        })
    }

    /// The account before a step.
    pub(super) fn account(&self, place: usize, step: Step) -> Result<Option<Account>, StateError> {
        let AccountChanges { balance_changes, nonce_changes, code_changes, .. } =
            self.index.account(place);
        let balance = last_before(balance_changes, step).map(|change| change.post_balance);
        let nonce = last_before(nonce_changes, step).map(|change| change.new_nonce);
        let code = count_before(code_changes, step).checked_sub(1);
        let code_hash = code.map(|position| self.index.code_hash(place, position));
        let base = self.base(place)?;
        if balance.is_none() && nonce.is_none() && code_hash.is_none() {
            return Ok(base);
        }
        let base = base.unwrap_or_default();
        let account = Account {
            nonce: nonce.unwrap_or(base.nonce),
            balance: balance.unwrap_or(base.balance),
            code_hash: code_hash.unwrap_or(base.code_hash),
        };
        Ok((!account.is_empty()).then_some(account))
    }

    /// The slot before a step.
    pub(super) fn slot(&self, slot_place: usize, step: Step) -> Result<U256, StateError> {
        let (place, _) = self.index.slot(slot_place);
        let ended = self.last_end(place, step);
        let last = last_before(self.index.slot_changes(slot_place), step);
        match last {
            Some(change) if ended.is_none_or(|end| end <= change.block_access_index.0) => {
                Ok(change.new_value)
            }
            _ if ended.is_some() => Ok(U256::ZERO),
            _ => self.base_slot(slot_place),
        }
    }

    /// Whether any slot of the account is not zero before a step. As everywhere, what the state
    /// below has counts even where the block has set all of it to zero: the answer matters for an
    /// account without code and nonce alone, and that one cannot store.
    pub(super) fn has_storage(&self, place: usize, step: Step) -> Result<bool, StateError> {
        let stored = self.stored(place);
        let begun = stored.partition_point(|(set, _)| *set < step as u64);
        if stored[..begun].last().is_some_and(|(_, until)| step as u64 <= *until) {
            return Ok(true);
        }
        if self.last_end(place, step).is_some() {
            return Ok(false);
        }
        self.view.has_storage(self.index.account(place).address)
    }

    /// When something is there that the block has stored: for each value that is not zero the step
    /// that sets it, in ascending order, and the last step before which it, or one that was set
    /// earlier, is still there. Made once: each creation may ask, and a list may have many slots.
    fn stored(&self, place: usize) -> &[(u64, u64)] {
        self.stored[place].get_or_init(|| {
            let AccountChanges { storage_changes, code_changes, .. } = self.index.account(place);
            let ends = code_changes.iter().filter(|change| change.new_code.is_empty());
            let ends: Vec<u64> = ends.map(|change| change.block_access_index.0).collect();
            let mut stored = Vec::new();
            for slot in storage_changes {
                let mut changes = slot.changes.iter().peekable();
                while let Some(change) = changes.next() {
                    if change.new_value.is_zero() {
                        continue;
                    }
                    let set = change.block_access_index.0;
                    let next = changes.peek().map(|next| next.block_access_index.0);
                    // What is set in the step of an end is set after it.
                    let end = ends.get(ends.partition_point(|end| *end <= set)).copied();
                    let end = end.filter(|_| self.has_ends);
                    stored.push((set, next.into_iter().chain(end).min().unwrap_or(u64::MAX)));
                }
            }
            stored.sort_unstable();
            let mut last = 0_u64;
            for (_, until) in &mut stored {
                last = last.max(*until);
                *until = last;
            }
            stored.into_boxed_slice()
        })
    }

    /// The last step below this one that destroyed the account.
    fn last_end(&self, place: usize, step: Step) -> Option<u64> {
        if !self.has_ends {
            return None;
        }
        let changes = &self.index.account(place).code_changes;
        let before = changes.get(..count_before(changes, step))?;
        let end = before.iter().rev().find(|change| change.new_code.is_empty());
        end.map(|change| change.block_access_index.0)
    }

    /// Whether the list says that a step destroys the account.
    pub(super) fn ends_at(&self, place: usize, step: Step) -> bool {
        self.last_end(place, step + 1) == Some(step as u64)
    }

    /// Notes that the block looked at an account.
    pub(super) fn touch(&self, place: usize) {
        self.accounts[place].touch();
    }

    /// Notes that the block looked at a slot.
    pub(super) fn touch_slot(&self, slot_place: usize) {
        self.slots[slot_place].touch();
    }

    /// Notes that the block looked at some of the slots from this place on.
    fn touch_slots(&self, first: usize, are_seen: &[bool]) {
        for (slot_place, is_seen) in (first..).zip(are_seen) {
            if *is_seen {
                self.touch_slot(slot_place);
            }
        }
    }

    /// The first entry that nothing has looked at: an account, or a slot of it.
    pub(super) fn untouched(&self) -> Option<(Address, Option<U256>)> {
        for (place, account) in self.index.list().iter().enumerate() {
            if !self.accounts[place].is_touched() {
                return Some((account.address, None));
            }
            let untouched =
                self.index.slots_of(place).find(|slot_place| !self.slots[*slot_place].is_touched());
            if let Some(slot_place) = untouched {
                return Some((account.address, Some(self.index.slot(slot_place).1)));
            }
        }
        None
    }
}

/// Reads of one thread, for the step that it runs. It notes what was asked for: whatever a journal
/// on top of it has of an account or a slot came from here, or is held by name. The notes of all
/// threads come together at their ends ([`ListReader::settle`]).
pub(super) struct ListReader<'p, 'b> {
    values: &'p Values<'b>,
    step: Step,
    /// What was asked for first and is not in the list.
    undeclared: Option<(Address, Option<U256>)>,
    /// The account that was asked for last, and its place: slots are asked for in turn.
    last: Option<(Address, usize)>,
    /// By place: what the journal may have.
    accounts: Vec<bool>,
    /// By place of the slot.
    slots: Vec<bool>,
}

impl<'p, 'b> ListReader<'p, 'b> {
    pub(super) fn new(values: &'p Values<'b>, step: Step) -> Self {
        let (accounts, slots) = (values.accounts.len(), values.slots.len());
        let (accounts, slots) = (vec![false; accounts], vec![false; slots]);
        Self { values, step, undeclared: None, last: None, accounts, slots }
    }

    /// Goes to another step.
    pub(super) const fn turn_to(&mut self, step: Step) {
        self.step = step;
        self.undeclared = None;
    }

    /// What this step has asked for that is not in the list.
    pub(super) const fn undeclared(&self) -> Option<(Address, Option<U256>)> {
        self.undeclared
    }

    /// Whether the journal may have the account.
    pub(super) fn holds(&self, place: usize) -> bool {
        self.accounts[place]
    }

    /// Whether the journal may have the slot.
    pub(super) fn holds_slot(&self, slot_place: usize) -> bool {
        self.slots[slot_place]
    }

    /// The journal has a slot that it has not asked for.
    pub(super) fn hold_slot(&mut self, address: Address, slot: U256) {
        let place = self.values.index.place(address);
        if let Some(slot_place) = place.and_then(|place| self.values.index.slot_place(place, slot))
        {
            self.slots[slot_place] = true;
        }
    }

    /// The journal has no slot of the account any more.
    pub(super) fn drop_slots(&mut self, place: usize) {
        let slots = self.values.index.slots_of(place);
        self.values.touch_slots(slots.start, &self.slots[slots.clone()]);
        self.slots[slots].fill(false);
    }

    /// Notes for all that the block looked at what the journal has.
    pub(super) fn settle(&self) {
        for (place, is_held) in self.accounts.iter().enumerate() {
            if *is_held {
                self.values.touch(place);
            }
        }
        self.values.touch_slots(0, &self.slots);
    }

    /// The journal has nothing any more.
    pub(super) fn forget(&mut self) {
        self.settle();
        self.accounts.fill(false);
        self.slots.fill(false);
    }

    fn place(&mut self, address: Address) -> Option<usize> {
        if let Some((last, place)) = self.last
            && last == address
        {
            return Some(place);
        }
        let place = self.values.index.place(address)?;
        self.last = Some((address, place));
        Some(place)
    }

    fn refuse(&mut self, address: Address, slot: Option<U256>) -> StateError {
        self.undeclared.get_or_insert((address, slot));
        StateError::Unavailable("not in the access list".to_owned())
    }
}

impl StateReader for ListReader<'_, '_> {
    type Error = StateError;

    fn account(&mut self, address: Address) -> Result<Option<Account>, StateError> {
        let Some(place) = self.place(address) else {
            return Err(self.refuse(address, None));
        };
        self.accounts[place] = true;
        self.values.account(place, self.step)
    }

    fn slot(&mut self, address: Address, slot: U256) -> Result<U256, StateError> {
        let Some(place) = self.place(address) else {
            return Err(self.refuse(address, None));
        };
        let Some(slot_place) = self.values.index.slot_place(place, slot) else {
            return Err(self.refuse(address, Some(slot)));
        };
        self.slots[slot_place] = true;
        self.values.slot(slot_place, self.step)
    }

    fn has_storage(&mut self, address: Address) -> Result<bool, StateError> {
        match self.values.index.place(address) {
            Some(place) => self.values.has_storage(place, self.step),
            // Asked of an address before a contract is created there; it is looked at in any case.
            // No step changes what is not listed, so the state before the block has the answer.
            None => self.values.view.has_storage(address),
        }
    }

    fn code(&mut self, code_hash: B256) -> Result<Bytes, StateError> {
        match self.values.index.code(&code_hash) {
            Some(code) => Ok(code.clone()),
            None => self.values.view.code(code_hash),
        }
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, StateError> {
        self.values.view.block_hash(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bal::index::ListLimits;
    use fugue_chainspec::{ChainSpec, Fork};
    use fugue_state::MemoryState;
    use fugue_types::{BlockAccessIndex, CodeChange, Header, SlotChanges, StorageChange};
    use std::sync::Arc;

    /// The index of a list of one account, of a block with three transactions.
    fn index(account: AccountChanges) -> ListIndex {
        let header = Header { gas_limit: 60_000_000, ..Header::default() };
        let rules = ChainSpec::at_fork(1, Fork::Shanghai).rules(&header);
        ListIndex::new(Arc::new(vec![account]), &ListLimits::of(&rules, &header, 3)).unwrap()
    }

    /// Every way that something may go in steps 1 to 3, one for each number below 27: whether it is
    /// there after each step that changes it.
    fn way(number: u64) -> impl Iterator<Item = (BlockAccessIndex, bool)> {
        let digits = [1, 3, 9].map(|place| number / place % 3);
        let steps = (1..).map(BlockAccessIndex::new).zip(digits);
        steps.filter(|(_, digit)| *digit > 0).map(|(step, digit)| (step, digit == 2))
    }

    #[test]
    fn what_was_stored_is_there_until_it_is_emptied_or_its_account_ends() {
        let state = MemoryState::default();
        for number in 0..27_u64.pow(3) {
            let mut account = AccountChanges::new(Address::repeat_byte(1));
            for (slot, number) in [(1_u64, number % 27), (2, number / 27 % 27)] {
                let value = |is_set: bool| U256::from(u64::from(is_set));
                let changes = way(number).map(|(step, is_set)| (step, value(is_set)));
                let changes: Vec<_> =
                    changes.map(|(step, value)| StorageChange::new(step, value)).collect();
                if !changes.is_empty() {
                    account.storage_changes.push(SlotChanges::new(U256::from(slot), changes));
                }
            }
            let code = |is_set: bool| if is_set { Bytes::from_static(&[0]) } else { Bytes::new() };
            let codes = way(number / 27 / 27).map(|(step, is_set)| (step, code(is_set)));
            account.code_changes = codes.map(|(step, code)| CodeChange::new(step, code)).collect();
            let index = index(account);
            for has_ends in [false, true] {
                let values = Values::new(&index, &state, has_ends, 1);
                for step in 0..=5 {
                    let is_set = |slot| !values.slot(slot, step).unwrap().is_zero();
                    let expected = index.slots_of(0).any(is_set);
                    let found = values.has_storage(0, step);
                    assert_eq!(found, Ok(expected), "{number}, {has_ends}, step {step}");
                }
            }
        }
    }

    #[test]
    fn of_many_slots_those_that_are_set_are_looked_up_and_once() {
        let step = BlockAccessIndex::new(2);
        let mut account = AccountChanges::new(Address::repeat_byte(1));
        account.storage_reads = (0..1_000_u64).map(U256::from).collect();
        let change = vec![StorageChange::new(step, U256::from(7))];
        account.storage_changes = vec![SlotChanges::new(U256::from(1_000), change)];
        let (index, state) = (index(account), MemoryState::default());
        let values = Values::new(&index, &state, true, 1);
        assert!(values.stored[0].get().is_none());
        assert_eq!(values.has_storage(0, 2), Ok(false));
        let stored = values.stored[0].get().map(|stored| stored.to_vec());
        assert_eq!(stored, Some(vec![(2, u64::MAX)]));
        assert_eq!(values.has_storage(0, 3), Ok(true));
    }
}
