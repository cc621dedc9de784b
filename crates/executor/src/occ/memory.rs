//! The world state as multi-version memory: what each transaction of the block left behind.
//!
//! A version is 0 for the opening of the block and `n + 1` for transaction `n`; a reader of
//! transaction `n` sees versions below `n + 1`.
//!
//! A destroyed account takes all its slots with it. They are not written one by one: the account
//! has a *wipe* at that version, and a slot is zero if its newest write is older than the newest
//! wipe.

mod stale;

use fugue_scheduler::{Latest, Memory};
use fugue_state::{Account, AccountDiff, SlotDiff, StateDiff, StateError, StateView};
use fugue_types::{Address, AddressMap, B256, B256Map, Bytes, U256};
use parking_lot::RwLock;
use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicBool, Ordering},
};

/// Why a read was not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ReadFault {
    /// The value depends on a transaction that is to run again.
    #[error("waits for transaction {0}")]
    Blocked(usize),
    /// The value is known at the transaction's turn only.
    #[error("waits for its turn")]
    NotYet,
    /// The state below the block could not answer.
    #[error(transparent)]
    State(#[from] StateError),
}

type SlotKey = (Address, U256);

/// What a memory takes room for, kept from one block to the next, empty: pages that are given back
/// and fetched again cost more than what is written into them. Of a huge block no more is kept than
/// [`Memory::clear`] keeps: 13 MB.
#[derive(Debug, Default)]
pub(crate) struct Room {
    accounts: Memory<Address, Option<Account>>,
    slots: Memory<SlotKey, U256>,
}

/// Shared by all workers of one block.
pub(super) struct StateMemory<'v> {
    view: &'v dyn StateView,
    accounts: Memory<Address, Option<Account>>,
    slots: Memory<SlotKey, U256>,
    wipes: RwLock<AddressMap<BTreeSet<usize>>>,
    /// Set before the first wipe is noted, so that blocks without any do not look.
    has_wipes: AtomicBool,
    codes: RwLock<B256Map<Bytes>>,
}

/// Version under which transaction `tx` writes, and index at which it reads.
pub(super) const fn version_of(tx: usize) -> usize {
    tx + 1
}

impl<'v> StateMemory<'v> {
    pub(super) fn new(room: Room, view: &'v dyn StateView, opening: &StateDiff) -> Self {
        let Room { accounts, slots } = room;
        let memory = Self {
            view,
            accounts,
            slots,
            wipes: RwLock::default(),
            has_wipes: AtomicBool::new(false),
            codes: RwLock::default(),
        };
        memory.write(0, opening, &StateDiff::default(), &mut Vec::new());
        memory
    }

    /// The room, empty, for the next block; and the bytes that this one took.
    pub(super) fn into_room(self) -> (Room, usize) {
        let Self { mut accounts, mut slots, .. } = self;
        let bytes = accounts.memory_bytes() + slots.memory_bytes();
        accounts.clear();
        slots.clear();
        (Room { accounts, slots }, bytes)
    }

    /// The account as transaction `tx` sees it.
    pub(super) fn account(
        &self,
        address: Address,
        tx: usize,
    ) -> Result<Option<Account>, ReadFault> {
        match self.accounts.read(&address, version_of(tx)) {
            Latest::Written { value, .. } => Ok(value),
            Latest::Suspect { by } => Err(blocked(by)),
            Latest::Base | Latest::Untouched => Ok(self.view.account(address)?),
        }
    }

    /// The slot as transaction `tx` sees it.
    pub(super) fn slot(&self, address: Address, slot: U256, tx: usize) -> Result<U256, ReadFault> {
        let latest = self.slots.read(&(address, slot), version_of(tx));
        match self.resolve(latest, address, tx)? {
            Some(value) => Ok(value),
            None => Ok(self.view.slot(address, slot)?),
        }
    }

    /// Whether transaction `tx` sees any slot of the account that is not zero. Only asked about
    /// accounts without code and nonce, which do not store: what the state below has is what
    /// there is, unless it was wiped.
    pub(super) fn has_storage(&self, address: Address, tx: usize) -> Result<bool, ReadFault> {
        Ok(self.had_storage(address)? && self.last_wipe(address, tx).is_none())
    }

    /// Whether any slot of the account was not zero before the block.
    pub(super) fn had_storage(&self, address: Address) -> Result<bool, ReadFault> {
        Ok(self.view.has_storage(address)?)
    }

    pub(super) fn code(&self, code_hash: B256) -> Result<Bytes, ReadFault> {
        if let Some(code) = self.codes.read().get(&code_hash) {
            return Ok(code.clone());
        }
        Ok(self.view.code(code_hash)?)
    }

    pub(super) fn block_hash(&self, number: u64) -> Result<B256, ReadFault> {
        Ok(self.view.block_hash(number)?)
    }

    /// Whether the account is what transaction `tx` has read.
    pub(super) fn account_is(&self, address: Address, tx: usize, read: Option<Account>) -> bool {
        match self.accounts.peek(&address, version_of(tx)) {
            Latest::Untouched => true,
            Latest::Written { value, .. } => value == read,
            Latest::Base => self.view.account(address) == Ok(read),
            Latest::Suspect { .. } => false,
        }
    }

    /// Whether the slot is what transaction `tx` has read.
    pub(super) fn slot_is(&self, address: Address, slot: U256, tx: usize, read: U256) -> bool {
        let latest = self.slots.peek(&(address, slot), version_of(tx));
        let is_untouched = latest == Latest::Untouched;
        match self.resolve(latest, address, tx) {
            Ok(Some(value)) => value == read,
            Ok(None) => {
                is_untouched && !self.has_wipes() || self.view.slot(address, slot) == Ok(read)
            }
            Err(_) => false,
        }
    }

    /// The value of a slot after looking at wipes; `None` if it is the base value.
    fn resolve(
        &self,
        latest: Latest<U256>,
        address: Address,
        tx: usize,
    ) -> Result<Option<U256>, ReadFault> {
        let wiped_by = self.last_wipe(address, tx);
        match latest {
            Latest::Suspect { by } => Err(blocked(by)),
            Latest::Written { by, value } => {
                let is_wiped = wiped_by.is_some_and(|wipe| wipe > by);
                Ok(Some(if is_wiped { U256::ZERO } else { value }))
            }
            Latest::Base | Latest::Untouched => Ok(wiped_by.map(|_| U256::ZERO)),
        }
    }

    fn has_wipes(&self) -> bool {
        self.has_wipes.load(Ordering::Acquire)
    }

    fn last_wipe(&self, address: Address, tx: usize) -> Option<usize> {
        if !self.has_wipes() {
            return None;
        }
        self.wipes.read().get(&address)?.range(..version_of(tx)).next_back().copied()
    }

    /// Writes what version `by` changed, takes back what its earlier run changed and this one did
    /// not, and names the versions whose reads that changed. Both diffs are in canonical form.
    ///
    /// A wipe names nobody: who read a slot has read its account, too, which mostly is another one
    /// then; else that is found at its turn.
    pub(super) fn write(
        &self,
        by: usize,
        diff: &StateDiff,
        earlier: &StateDiff,
        overtaken: &mut Vec<usize>,
    ) {
        if !diff.codes.is_empty() {
            self.codes.write().extend(diff.codes.iter().cloned());
        }
        for account in &diff.accounts {
            self.write_account(by, account, overtaken);
        }
        self.retract(by, diff, earlier, overtaken);
    }

    /// Writes what version `by` changed of one account, and names as [`Self::write`] does.
    pub(super) fn write_account(
        &self,
        by: usize,
        account: &AccountDiff,
        overtaken: &mut Vec<usize>,
    ) {
        if account.wiped {
            self.has_wipes.store(true, Ordering::Release);
            self.wipes.write().entry(account.address).or_default().insert(by);
        }
        if is_account_write(account) {
            self.accounts.write(&account.address, by, account.after, overtaken);
        }
        for slot in &account.slots {
            self.slots.write(&(account.address, slot.slot), by, slot.after, overtaken);
        }
    }

    fn retract(
        &self,
        by: usize,
        diff: &StateDiff,
        earlier: &StateDiff,
        overtaken: &mut Vec<usize>,
    ) {
        for old in &earlier.accounts {
            let place = diff.accounts.binary_search_by_key(&old.address, |account| account.address);
            let new = place.ok().and_then(|place| diff.accounts.get(place));
            if is_account_write(old) && !new.is_some_and(is_account_write) {
                self.accounts.retract(&old.address, by, overtaken);
            }
            if old.wiped
                && !new.is_some_and(|new| new.wiped)
                && let Some(versions) = self.wipes.write().get_mut(&old.address)
            {
                versions.remove(&by);
            }
            let slots = new.map(|new| new.slots.as_slice()).unwrap_or_default();
            for SlotDiff { slot, .. } in &old.slots {
                if slots.binary_search_by_key(slot, |new| new.slot).is_err() {
                    self.slots.retract(&(old.address, *slot), by, overtaken);
                }
            }
        }
    }

    /// Marks what version `by` wrote as in doubt.
    pub(super) fn suspect(&self, by: usize, diff: &StateDiff) {
        for account in diff.accounts.iter().filter(|account| is_account_write(account)) {
            self.accounts.suspect(&account.address, by);
        }
        for key in slot_keys(diff) {
            self.slots.suspect(&key, by);
        }
    }
}

/// Transactions alone are in doubt, never the opening of the block.
const fn blocked(by: usize) -> ReadFault {
    ReadFault::Blocked(by.saturating_sub(1))
}

fn is_account_write(account: &AccountDiff) -> bool {
    account.before != account.after
}

fn slot_keys(diff: &StateDiff) -> impl Iterator<Item = SlotKey> {
    diff.accounts
        .iter()
        .flat_map(|account| account.slots.iter().map(|slot| (account.address, slot.slot)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use fugue_state::{MemoryAccount, MemoryState};

    /// A change of a balance of 1, and of slots, which become 1.
    fn change(byte: u8, balance: u64, wiped: bool, slots: &[u64]) -> AccountDiff {
        let rich = |balance: u64| {
            let balance = U256::from(balance);
            Some(Account { balance, ..Account::default() })
        };
        let (before, after) = (rich(1), rich(balance));
        let written = |slot: &u64| {
            let (before, after) = (U256::ZERO, U256::from(1));
            SlotDiff { slot: U256::from(*slot), before, after }
        };
        let slots = slots.iter().map(written).collect();
        AccountDiff { address: Address::repeat_byte(byte), before, after, wiped, slots }
    }

    /// A state with an account of [`change`], which has 7 at slot 5.
    fn storing(byte: u8) -> MemoryState {
        let mut view = MemoryState::default();
        let AccountDiff { address, before, .. } = change(byte, 1, false, &[]);
        let account = before.expect("it is there");
        let slots = [(U256::from(5), U256::from(7))].into_iter().collect();
        view.accounts.insert(address, MemoryAccount { account, slots });
        view
    }

    #[test]
    fn what_a_run_does_not_write_again_is_taken_back() {
        const TX: usize = 3;
        const READER: usize = 5;
        let (view, none) = (MemoryState::default(), StateDiff::default());
        let memory = StateMemory::new(Room::default(), &view, &none);
        let diff = |accounts| StateDiff { accounts, codes: Vec::new() }.canonical();
        let earlier = diff(vec![
            change(1, 2, false, &[1, 2]),
            change(2, 1, false, &[5]),
            change(3, 2, true, &[]),
            change(4, 2, false, &[]),
        ]);
        let later = diff(vec![change(1, 1, false, &[2]), change(4, 2, false, &[])]);
        let mut overtaken = Vec::new();
        let found = || {
            let balance = |byte: u8| {
                let account = memory.account(Address::repeat_byte(byte), READER);
                account.expect("nobody is in doubt").map(|account| account.balance)
            };
            let slot = |byte: u8, slot: u64| {
                let value = memory.slot(Address::repeat_byte(byte), U256::from(slot), READER);
                value.expect("nobody is in doubt")
            };
            let slots = [slot(1, 1), slot(1, 2), slot(2, 5)];
            let wipe = memory.last_wipe(Address::repeat_byte(3), READER);
            ([balance(1), balance(3), balance(4)], slots, wipe)
        };
        let (zero, one, two) = (U256::ZERO, U256::from(1), U256::from(2));
        memory.write(version_of(TX), &earlier, &none, &mut overtaken);
        assert_eq!(found(), ([Some(two); 3], [one; 3], Some(version_of(TX))));
        assert_eq!(overtaken, Vec::<usize>::new());
        memory.write(version_of(TX), &later, &earlier, &mut overtaken);
        assert_eq!(found(), ([None, None, Some(two)], [zero, one, zero], None));
        // By two accounts and two slots; the others are as they were.
        assert_eq!(overtaken, [version_of(READER); 4]);
    }

    /// The slot goes with its account, so that nobody has written its key.
    #[test]
    fn what_was_seen_before_it_was_taken_back_does_not_hold() {
        const TX: usize = 1;
        const READER: usize = 2;
        let (here, slot, kept) = (Address::repeat_byte(1), U256::from(5), U256::from(7));
        let ends = change(1, 2, true, &[]);
        let (before, after) = (ends.before, ends.after);
        let (view, none) = (storing(1), StateDiff::default());
        let memory = StateMemory::new(Room::default(), &view, &none);
        let found = || (memory.account(here, READER), memory.slot(here, slot, READER));
        let hold = |account, value| {
            (memory.account_is(here, READER, account), memory.slot_is(here, slot, READER, value))
        };
        let ended = StateDiff { accounts: vec![ends], codes: Vec::new() };
        memory.write(version_of(TX), &ended, &none, &mut Vec::new());
        assert_eq!(found(), (Ok(after), Ok(U256::ZERO)));
        assert_eq!(hold(after, U256::ZERO), (true, true));
        memory.write(version_of(TX), &none, &ended, &mut Vec::new());
        assert_eq!(hold(after, U256::ZERO), (false, false));
        assert_eq!(found(), (Ok(before), Ok(kept)));
        assert_eq!(hold(before, kept), (true, true));
    }

    /// So a contract can be created in its place (EIP-7610).
    #[test]
    fn an_account_that_has_ended_stores_nothing_for_those_after_it() {
        const TX: usize = 3;
        let (view, none) = (storing(1), StateDiff::default());
        let memory = StateMemory::new(Room::default(), &view, &none);
        let stores = || [TX, TX + 1].map(|tx| memory.has_storage(Address::repeat_byte(1), tx));
        let ended = StateDiff { accounts: vec![change(1, 2, true, &[])], codes: Vec::new() };
        assert_eq!(stores(), [Ok(true), Ok(true)]);
        memory.write(version_of(TX), &ended, &none, &mut Vec::new());
        assert_eq!(stores(), [Ok(true), Ok(false)]);
        memory.write(version_of(TX), &none, &ended, &mut Vec::new());
        assert_eq!(stores(), [Ok(true), Ok(true)]);
    }

    #[test]
    fn an_end_stays_where_a_later_one_is_taken_back() {
        const FIRST: usize = 1;
        const SECOND: usize = 3;
        const READER: usize = 5;
        let (here, slot, kept) = (Address::repeat_byte(1), U256::from(5), U256::from(7));
        let (view, none) = (storing(1), StateDiff::default());
        let memory = StateMemory::new(Room::default(), &view, &none);
        let ended = StateDiff { accounts: vec![change(1, 2, true, &[])], codes: Vec::new() };
        let last = || memory.last_wipe(here, READER);
        memory.write(version_of(FIRST), &ended, &none, &mut Vec::new());
        memory.write(version_of(SECOND), &ended, &none, &mut Vec::new());
        assert_eq!(last(), Some(version_of(SECOND)));
        memory.write(version_of(SECOND), &none, &ended, &mut Vec::new());
        assert_eq!(last(), Some(version_of(FIRST)));
        assert_eq!(memory.slot(here, slot, READER), Ok(U256::ZERO));
        let hold = [U256::ZERO, kept].map(|read| memory.slot_is(here, slot, READER, read));
        assert_eq!(hold, [true, false]);
        assert_eq!(memory.has_storage(here, READER), Ok(false));
    }

    #[test]
    fn who_meets_a_value_in_doubt_waits_for_its_writer() {
        const TX: usize = 2;
        let (here, slot, kept) = (Address::repeat_byte(1), U256::from(5), U256::from(7));
        let (view, none) = (storing(1), StateDiff::default());
        let memory = StateMemory::new(Room::default(), &view, &none);
        let changed = change(1, 2, false, &[5]);
        let before = changed.before;
        let diff = StateDiff { accounts: vec![changed], codes: Vec::new() };
        memory.write(version_of(TX), &diff, &none, &mut Vec::new());
        memory.suspect(version_of(TX), &diff);
        let found = |reader| (memory.account(here, reader), memory.slot(here, slot, reader));
        assert_eq!(found(TX), (Ok(before), Ok(kept)));
        let blocked = || ReadFault::Blocked(TX);
        for reader in [TX + 1, TX + 4] {
            assert_eq!(found(reader), (Err(blocked()), Err(blocked())), "{reader}");
        }
    }

    /// The next one may be on another state.
    #[test]
    fn the_room_that_a_block_leaves_has_nothing_of_it() {
        const TX: usize = 1;
        const READER: usize = 2;
        let (view, none) = (storing(1), StateDiff::default());
        let changed = change(1, 2, false, &[5]);
        let (here, before, after) = (changed.address, changed.before, changed.after);
        let found = |memory: &StateMemory<'_>| {
            (memory.account(here, READER), memory.slot(here, U256::from(5), READER))
        };
        let memory = StateMemory::new(Room::default(), &view, &none);
        let diff = StateDiff { accounts: vec![changed], codes: Vec::new() };
        memory.write(version_of(TX), &diff, &none, &mut Vec::new());
        assert_eq!(found(&memory), (Ok(after), Ok(U256::from(1))));
        let (room, _) = memory.into_room();
        let next = StateMemory::new(room, &view, &none);
        assert_eq!(found(&next), (Ok(before), Ok(U256::from(7))));
    }
}
