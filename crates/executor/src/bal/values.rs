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
//! the block runs sequentially: an empty account that appears before Spurious Dragon, or that is
//! cleared after it.

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

/// Accounts or slots that a thread fetches at a time: enough that neighbours in the state are read
/// together, few enough that the threads end together.
const FETCH_BATCH: usize = 8;

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

/// Shared by all workers of one block; read without locks.
pub(super) struct Values<'b> {
    index: &'b ListIndex,
    view: &'b dyn StateView,
    /// By place.
    accounts: Vec<Cell<Option<Account>>>,
    /// By place of the slot.
    slots: Vec<Cell<U256>>,
    /// Contracts can be destroyed: a code that becomes empty is an end.
    has_ends: bool,
    fetched: AtomicUsize,
}

impl<'b> Values<'b> {
    pub(super) fn new(index: &'b ListIndex, view: &'b dyn StateView, has_ends: bool) -> Self {
        let accounts = index.list().iter().map(|_| Cell::default()).collect();
        let slots = (0..index.slot_count()).map(|_| Cell::default()).collect();
        Self { index, view, accounts, slots, has_ends, fetched: AtomicUsize::new(0) }
    }

    /// The list.
    pub(super) const fn index(&self) -> &'b ListIndex {
        self.index
    }

    /// Reads what the list names from the state before the block, in the order of its keys; the
    /// threads that call share the work, and none waits for another. What cannot be read is met
    /// again by whoever needs it.
    pub(super) fn fetch(&self, goes_on: impl Fn() -> bool) {
        let (accounts, slots) = (self.accounts.len(), self.slots.len());
        let count = accounts + slots;
        while goes_on() {
            let first = self.fetched.fetch_add(FETCH_BATCH, Ordering::Relaxed);
            if first >= count {
                return;
            }
            for item in first..count.min(first + FETCH_BATCH) {
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
        let ended = self.last_end(place, step);
        for slot_place in self.index.slots_of(place) {
            let last = last_before(self.index.slot_changes(slot_place), step);
            if let Some(change) = last
                && ended.is_none_or(|end| end <= change.block_access_index.0)
                && !change.new_value.is_zero()
            {
                return Ok(true);
            }
        }
        if ended.is_some() {
            return Ok(false);
        }
        self.view.has_storage(self.index.account(place).address)
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

/// Reads of one thread, for the step that it runs.
pub(super) struct ListReader<'p, 'b> {
    values: &'p Values<'b>,
    step: Step,
    /// What was asked for first and is not in the list.
    undeclared: Option<(Address, Option<U256>)>,
}

impl<'p, 'b> ListReader<'p, 'b> {
    pub(super) const fn new(values: &'p Values<'b>, step: Step) -> Self {
        Self { values, step, undeclared: None }
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

    fn refuse(&mut self, address: Address, slot: Option<U256>) -> StateError {
        self.undeclared.get_or_insert((address, slot));
        StateError::Unavailable("not in the access list".to_owned())
    }
}

impl StateReader for ListReader<'_, '_> {
    type Error = StateError;

    fn account(&mut self, address: Address) -> Result<Option<Account>, StateError> {
        match self.values.index.place(address) {
            Some(place) => self.values.account(place, self.step),
            None => Err(self.refuse(address, None)),
        }
    }

    fn slot(&mut self, address: Address, slot: U256) -> Result<U256, StateError> {
        let Some(place) = self.values.index.place(address) else {
            return Err(self.refuse(address, None));
        };
        match self.values.index.slot_place(place, slot) {
            Some(slot_place) => self.values.slot(slot_place, self.step),
            None => Err(self.refuse(address, Some(slot))),
        }
    }

    fn has_storage(&mut self, address: Address) -> Result<bool, StateError> {
        match self.values.index.place(address) {
            Some(place) => self.values.has_storage(place, self.step),
            // Asked of an address before a contract is created there, even if that then fails for
            // want of ether and never looks at it. No step changes what is not listed, so the state
            // before the block has the answer.
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
