//! A journal that lasts over transactions between which others run elsewhere: what those change is
//! put into it, and what each transaction of its own changes is noted.
//!
//! Between two transactions such a journal is as if all that it holds had just been read:
//! * an account that is empty is marked as not existing exactly if it does not exist, and is not
//!   touched;
//! * no account is marked as created or destroyed, and one that was destroyed has no slots.
//!
//! What a transaction changes follows from the entries of the journal. The EVM implementation takes
//! a transaction back by them, so there is one for whatever it changes. There are two exceptions,
//! both of frames that were reverted: slots of an account that was created there stay loaded, and
//! the third precompiled contract stays touched.
//!
//! Only from Spurious Dragon on: an empty account that is touched is none (EIP-161).

use crate::{CodeCache, Kernel, SlotTouch, StateReader, database::to_account};
use fugue_state::{AccountDiff, SlotDiff, StateDiff};
use fugue_types::{Address, B256, U256};
use revm::{
    context::{JournalEntry, journal::JournalInner},
    primitives::PRECOMPILE3,
    state::{Account as RevmAccount, AccountStatus, EvmState, TransactionId},
};

/// Accounts for which a lasting journal makes room beforehand, at most: some 300 KiB.
const ROOM_MAX: usize = 1024;

/// A field of an account, with its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldValue {
    /// In wei.
    Balance(U256),
    /// Transactions sent, or contracts created.
    Nonce(u64),
    /// The keccak256 of its code.
    CodeHash(B256),
}

/// What the last transaction of a lasting journal changed.
#[derive(Debug, Default)]
pub struct Changed {
    accounts: Vec<AccountDiff>,
    slots: Vec<SlotTouch>,
    begun: Vec<(Address, U256)>,
    is_plain: bool,
    /// Of frames of the running transaction that were reverted: accounts that were created there.
    reverted: Vec<Address>,
    /// A frame that was reverted has touched the third precompiled contract.
    has_touched_third: bool,
}

impl Changed {
    /// Accounts before and after it, by address; some are the same. Their slots are elsewhere.
    pub fn accounts(&self) -> &[AccountDiff] {
        &self.accounts
    }

    /// Slots that it changed, by address and key; also of accounts that it destroyed.
    pub fn slots(&self) -> &[SlotTouch] {
        &self.slots
    }

    /// Slots that are in the journal of accounts that it created, even if only in a frame that was
    /// reverted. Nobody was asked for their values. In no order, some may be there twice.
    pub fn begun(&self) -> &[(Address, U256)] {
        &self.begun
    }

    /// Fields and slots tell all: no account was destroyed or has become empty, and no code was
    /// taken away.
    pub const fn is_plain(&self) -> bool {
        self.is_plain
    }

    /// As a diff in canonical form, without codes.
    pub fn to_diff(&self) -> StateDiff {
        let mut accounts = self.accounts.clone();
        for SlotTouch { address, slot, before, after } in &self.slots {
            if let Ok(place) = accounts.binary_search_by_key(address, |change| change.address) {
                let (slot, before, after) = (*slot, *before, *after);
                accounts[place].slots.push(SlotDiff { slot, before, after });
            }
        }
        StateDiff { accounts, codes: Vec::new() }.canonical()
    }

    /// Entries that are about to be reverted.
    pub(crate) fn see_reverted(&mut self, entries: &[JournalEntry]) {
        for entry in entries {
            match entry {
                JournalEntry::AccountCreated { address, .. } => self.reverted.push(*address),
                JournalEntry::AccountTouched { address } => {
                    self.has_touched_third |= *address == PRECOMPILE3;
                }
                _ => {}
            }
        }
    }

    /// The transaction was refused.
    pub(crate) fn drop_tx(&mut self) {
        self.reverted.clear();
        self.has_touched_third = false;
    }

    /// Notes what the transaction has changed, before its entries are gone, and leaves the journal
    /// as if it had just been read. Codes that were deployed are kept.
    pub(crate) fn end_tx(&mut self, journal: &mut JournalInner<JournalEntry>, codes: &CodeCache) {
        let JournalInner { state, journal: entries, transaction_id, .. } = journal;
        let now = *transaction_id;
        self.accounts.clear();
        self.slots.clear();
        self.begun.clear();
        self.is_plain = true;
        for entry in entries.iter() {
            match entry {
                JournalEntry::StorageChanged { address, key, had_value: _ } => {
                    self.note_slot(state, address, key, now, codes);
                }
                JournalEntry::BalanceTransfer { from, to, balance: _ } => {
                    self.note_at(state, from, now, codes);
                    self.note_at(state, to, now, codes);
                }
                JournalEntry::AccountDestroyed { address, target, .. } => {
                    self.note_at(state, address, now, codes);
                    self.note_at(state, target, now, codes);
                }
                JournalEntry::AccountTouched { address }
                | JournalEntry::AccountCreated { address, .. }
                | JournalEntry::BalanceChange { address, .. }
                | JournalEntry::NonceChange { address, .. }
                | JournalEntry::NonceBump { address }
                | JournalEntry::CodeChange { address, .. } => {
                    self.note_at(state, address, now, codes);
                }
                JournalEntry::AccountWarmed { .. }
                | JournalEntry::StorageWarmed { .. }
                | JournalEntry::TransientStorageChange { .. } => {}
            }
        }
        if self.has_touched_third
            && let Some(account) = state.get_mut(&PRECOMPILE3)
            && self.accounts.iter().all(|change| change.address != PRECOMPILE3)
        {
            // Its loading was reverted too, and it has no other entry.
            account.mark_warm_with_transaction_id(now);
            self.note(&PRECOMPILE3, account, now, codes);
        }
        self.reverted.sort_unstable();
        self.reverted.dedup();
        for address in &self.reverted {
            if let Some(account) = state.get(address) {
                self.begun.extend(slots_of(address, account, now));
            }
        }
        self.drop_tx();
        self.accounts.sort_unstable_by_key(|change| change.address);
        self.slots.sort_unstable_by_key(|touch| (touch.address, touch.slot));
    }

    /// Whoever was noted is marked as cold, and so noted once; to the next transaction it is cold
    /// in any case.
    fn note_slot(
        &mut self,
        state: &mut EvmState,
        address: &Address,
        key: &U256,
        now: TransactionId,
        codes: &CodeCache,
    ) {
        let Some(account) = state.get_mut(address) else { return };
        let Some(slot) = account.storage.get_mut(key) else { return };
        if slot.is_cold_transaction_id(now) {
            return;
        }
        slot.mark_cold();
        let (before, after) = (slot.original_value(), slot.present_value());
        if before != after {
            self.slots.push(SlotTouch { address: *address, slot: *key, before, after });
            self.note(address, account, now, codes);
        }
    }

    fn note_at(
        &mut self,
        state: &mut EvmState,
        address: &Address,
        now: TransactionId,
        codes: &CodeCache,
    ) {
        if let Some(account) = state.get_mut(address) {
            self.note(address, account, now, codes);
        }
    }

    fn note(
        &mut self,
        address: &Address,
        account: &mut RevmAccount,
        now: TransactionId,
        codes: &CodeCache,
    ) {
        if account.is_cold_transaction_id(now) {
            return;
        }
        account.mark_cold();
        let before = to_account(account.original_info_mut());
        let is_there = !before.is_empty() || !account.is_loaded_as_not_existing();
        let before = is_there.then_some(before);
        let is_destroyed = account.is_selfdestructed_locally();
        let present = to_account(&account.info);
        let after = if is_destroyed {
            None
        } else if account.is_touched() {
            (!present.is_empty()).then_some(present)
        } else {
            before
        };
        let old_code = before.unwrap_or_default().code_hash;
        if let Some(after) = after
            && after.has_code()
            && after.code_hash != old_code
            && let Some(code) = &account.info.code
        {
            codes.insert(after.code_hash, code.clone());
        }
        if account.is_created() {
            self.begun.extend(slots_of(address, account, now));
        }
        let keeps_code = after.is_some_and(|after| after.has_code() || after.code_hash == old_code);
        self.is_plain &= !is_destroyed && (before == after || keeps_code);
        let wiped = account.is_selfdestructed() && before.is_some();
        let (address, slots) = (*address, Vec::new());
        self.accounts.push(AccountDiff { address, before, after, wiped, slots });

        // As if it had just been read.
        if is_destroyed {
            account.selfdestruct();
        }
        if after.is_none() {
            account.status = AccountStatus::LoadedAsNotExisting | AccountStatus::Cold;
        } else {
            account.status -= AccountStatus::Created
                | AccountStatus::CreatedLocal
                | AccountStatus::SelfDestructed
                | AccountStatus::SelfDestructedLocal;
        }
    }
}

/// Slots that this transaction came upon. Those of earlier ones were told at their ends, and are
/// not told again however often a creation at this address fails.
fn slots_of(
    address: &Address,
    account: &RevmAccount,
    now: TransactionId,
) -> impl Iterator<Item = (Address, U256)> {
    let address = *address;
    let slots = account.storage.iter();
    let slots = slots.filter(move |(_, slot)| slot.transaction_id.get() == now.get());
    slots.map(move |(key, _)| (address, *key))
}

impl<R: StateReader, I> Kernel<'_, R, I> {
    /// From now on the journal lasts, and is likely to hold so many accounts. It must be empty, and
    /// the rules of the block must clear empty accounts (EIP-161). Its changes are not taken out
    /// any more: [`Kernel::changed`] tells them, and the read log is void.
    pub fn note_changes(&mut self, accounts: usize) {
        let journal = &mut self.machine.inner.ctx.journaled_state;
        journal.inner.state.reserve(accounts.min(ROOM_MAX));
        journal.changed = Some(Box::default());
    }

    /// What the last transaction changed, if it ran and the journal lasts; and the reader.
    pub fn changed(&mut self) -> Option<(&Changed, &mut R)> {
        let journal = &mut self.machine.inner.ctx.journaled_state;
        let changed = journal.changed.as_deref()?;
        Some((changed, &mut journal.database.reader))
    }

    /// A transaction elsewhere has left this value; who has not loaded the account will read it.
    pub fn put_field(&mut self, address: &Address, value: FieldValue) {
        let state = &mut self.machine.inner.ctx.journaled_state.inner.state;
        let Some(account) = state.get_mut(address) else { return };
        match value {
            FieldValue::Balance(balance) => account.info.balance = balance,
            FieldValue::Nonce(nonce) => account.info.nonce = nonce,
            FieldValue::CodeHash(hash) => {
                account.info.code_hash = hash;
                account.info.code = None;
            }
        }
        if account.is_empty() {
            account.status = AccountStatus::LoadedAsNotExisting;
        }
    }

    /// The slot's value in the journal; `None` if no transaction has loaded it.
    pub fn loaded_slot(&self, address: &Address, slot: &U256) -> Option<U256> {
        let state = &self.machine.inner.ctx.journaled_state.inner.state;
        Some(state.get(address)?.storage.get(slot)?.present_value)
    }

    /// A transaction elsewhere has left this value; who has not loaded the slot will read it. To
    /// the next transaction it is what the slot was before it, in any journal that goes on from one
    /// to the next; to be called between them.
    pub fn put_slot(&mut self, address: &Address, slot: &U256, value: U256) {
        let state = &mut self.machine.inner.ctx.journaled_state.inner.state;
        let account = state.get_mut(address);
        if let Some(found) = account.and_then(|account| account.storage.get_mut(slot)) {
            found.present_value = value;
        }
    }

    /// A transaction elsewhere has destroyed the account: its slots are read when they are asked
    /// for.
    pub fn drop_slots(&mut self, address: &Address) {
        let state = &mut self.machine.inner.ctx.journaled_state.inner.state;
        if let Some(account) = state.get_mut(address) {
            account.storage.clear();
        }
    }
}

#[cfg(test)]
mod tests;
