//! What each transaction of a journal depends on and leaves behind: the accounts and slots that it
//! came upon, with what they were then and what they are after it.
//!
//! What a transaction does follows from what it came upon, and less than that: of a balance mostly
//! nothing more than that it suffices. [`AccountTouch::holds`] is that rule.
//!
//! Only from Byzantium on, and before Amsterdam: an account that is empty counts as none (EIP-161).

use crate::{ReadLog, bytes, database::to_account};
use fugue_state::Account;
use fugue_types::{Address, AddressMap, B256, Bytes, HashMap, HashSet, U256};
use revm::{
    context::{JournalEntry, journal::JournalInner},
    state::{Account as RevmAccount, AccountInfo, TransactionId},
};
use std::hash::Hash;

/// Touches of one transaction that are compared one by one; more are looked up by hash.
const LINEAR_MAX: usize = 32;
/// Bits of a balance in wei whose sums may overflow: one that has so many is seen by whoever comes
/// upon it. With fewer, more transactions would have to pay an account than any block has gas for.
const BALANCE_BITS: usize = 240;

/// An account that a transaction came upon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountTouch {
    /// Its address.
    pub address: Address,
    /// As the transaction came upon it; `None` if it did not exist.
    pub before: Option<Account>,
    /// After the transaction; `None` if it does not exist then.
    pub after: Option<Account>,
    /// Wei that it must have had, if no more of its balance was seen than that it suffices.
    pub spends: U256,
    /// More of its balance was seen.
    pub is_balance_seen: bool,
    /// Its nonce was seen: the account sent the transaction, or contracts were created.
    pub is_nonce_seen: bool,
    /// The transaction created it: its slots began as zero.
    pub is_created: bool,
    /// The transaction destroyed it.
    pub is_destroyed: bool,
}

/// A slot that a transaction came upon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotTouch {
    /// The account.
    pub address: Address,
    /// Key of the slot.
    pub slot: U256,
    /// Value as the transaction came upon it.
    pub before: U256,
    /// Value after the transaction.
    pub after: U256,
}

/// What the transactions of one journal touched, in the order in which they ran. Those that were
/// refused are left out.
#[derive(Debug, Default)]
pub struct Touched {
    accounts: Vec<AccountTouch>,
    /// Of each of them: a part of its address, to find it by; and its transaction.
    tags: Vec<(u32, u32)>,
    slots: Vec<SlotTouch>,
    codes: Vec<(B256, Bytes)>,
    /// Ends of each transaction's accounts and slots.
    ends: Vec<(usize, usize)>,
    now: Running,
}

/// What is noted of the transaction that is running.
#[derive(Debug, Default)]
struct Running {
    sender: Address,
    /// The nonce of any account may have been seen.
    sees_nonces: bool,
    /// Wei that the sender must have had, as the check before the transaction asks for.
    sender_spends: U256,
    /// Accounts in the log when it began.
    logged: usize,
    /// Entries of frames that were reverted.
    reverted: Vec<JournalEntry>,
    /// Accounts whose balance was seen.
    seen: Vec<Address>,
    /// Slots in its access list (EIP-2930), which leave no entry when they are come upon.
    listed: Vec<(Address, U256)>,
}

impl AccountTouch {
    /// An account of which nothing was seen, but a balance that may overflow.
    pub(crate) fn between(
        address: Address,
        before: Option<Account>,
        after: Option<Account>,
    ) -> Self {
        Self {
            address,
            before,
            after,
            spends: U256::ZERO,
            is_balance_seen: may_overflow(before) || may_overflow(after),
            is_nonce_seen: false,
            is_created: false,
            is_destroyed: false,
        }
    }

    /// Whether a transaction that came upon the account as `before` does the same where it is
    /// `now`, with balance and nonce changing by as much.
    pub fn holds(&self, now: Option<Account>) -> bool {
        match (self.before, now) {
            (None, None) => true,
            (Some(before), Some(now)) => {
                before.code_hash == now.code_hash
                    && (before.nonce == now.nonce || !self.is_nonce_seen)
                    && (before.balance == now.balance
                        || (!self.is_balance_seen
                            && now.balance >= self.spends
                            && !may_overflow(Some(now))))
            }
            _ => false,
        }
    }

    /// The account after the transaction if it is `now` before it, and the touch holds.
    pub fn rebased(&self, now: Option<Account>) -> Option<Account> {
        if self.is_destroyed {
            return None;
        }
        let now = now.unwrap_or_default();
        let before = self.before.unwrap_or_default();
        let after = self.after.unwrap_or_default();
        let balance = now.balance.wrapping_add(after.balance).wrapping_sub(before.balance);
        let nonce = now.nonce.wrapping_add(after.nonce).wrapping_sub(before.nonce);
        let account = Account { nonce, balance, code_hash: after.code_hash };
        (!account.is_empty()).then_some(account)
    }

    /// Whether the transaction changed it.
    pub fn is_change(&self) -> bool {
        self.before != self.after || self.is_created || self.is_destroyed
    }
}

impl Touched {
    /// Transactions that are noted.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether none is noted.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Accounts and slots of one of them; each once, and none if there is no such one.
    pub fn of(&self, tx: usize) -> (&[AccountTouch], &[SlotTouch]) {
        let (accounts, slots) = self.range(tx);
        (self.accounts.get(accounts).unwrap_or_default(), self.slots.get(slots).unwrap_or_default())
    }

    fn range(&self, tx: usize) -> (std::ops::Range<usize>, std::ops::Range<usize>) {
        let end = |index: usize| self.ends.get(index).copied().unwrap_or_default();
        let from = tx.checked_sub(1).map(end).unwrap_or_default();
        let to = end(tx);
        (from.0..to.0, from.1..to.1)
    }

    /// Accounts and slots of all of them, one after the other.
    pub fn all(&self) -> (&[AccountTouch], &[SlotTouch]) {
        (&self.accounts, &self.slots)
    }

    /// Tag of each account that one of them touched, in the order of [`Touched::of`].
    pub fn tags_of(&self, tx: usize) -> &[(u32, u32)] {
        self.tags.get(self.range(tx).0).unwrap_or_default()
    }

    /// Touches of the accounts whose tags a filter lets pass, each with the transaction's place.
    pub fn with_tags(
        &self,
        passes: impl Fn(u32) -> bool,
    ) -> impl Iterator<Item = (usize, &AccountTouch)> {
        let tags = self.tags.iter().zip(&self.accounts);
        tags.filter(move |((tag, _), _)| passes(*tag)).map(|((_, tx), touch)| (*tx as usize, touch))
    }

    /// Codes that they set, each with its keccak256.
    pub fn codes(&self) -> &[(B256, Bytes)] {
        &self.codes
    }

    /// Forgets everything, keeping the room that it took.
    pub fn clear(&mut self) {
        self.accounts.clear();
        self.tags.clear();
        self.slots.clear();
        self.codes.clear();
        self.ends.clear();
        self.now.logged = 0;
        self.now.clear();
    }

    /// Gives back room beyond this many accounts, and as many slots, codes and transactions.
    pub fn shrink_to(&mut self, touches: usize) {
        let Self { accounts, tags, slots, codes, ends, now } = self;
        accounts.shrink_to(touches);
        tags.shrink_to(touches);
        slots.shrink_to(touches);
        codes.shrink_to(touches);
        ends.shrink_to(touches);
        let Running { reverted, seen, listed, .. } = now;
        reverted.shrink_to(touches);
        seen.shrink_to(touches);
        listed.shrink_to(touches);
    }

    /// Bytes that it has taken, without the codes themselves.
    pub const fn memory_bytes(&self) -> usize {
        let Self { accounts, tags, slots, codes, ends, now } = self;
        let Running { reverted, seen, listed, .. } = now;
        let of_all = bytes::of_vec(accounts) + bytes::of_vec(tags) + bytes::of_vec(slots);
        let of_now = bytes::of_vec(reverted) + bytes::of_vec(seen) + bytes::of_vec(listed);
        of_all + bytes::of_vec(codes) + bytes::of_vec(ends) + of_now
    }

    /// `sender_spends` as the check before the transaction asks for; `authorizes` if it has
    /// authorizations (EIP-7702), which are good or not by the nonce of their authority.
    pub(crate) fn begin_tx(
        &mut self,
        sender: Address,
        sender_spends: U256,
        authorizes: bool,
        log: &ReadLog,
    ) {
        self.now.clear();
        self.now.sender = sender;
        self.now.sender_spends = sender_spends;
        self.now.sees_nonces = authorizes;
        self.now.logged = log.accounts.len();
    }

    /// A contract is to be created: the nonces of the creator, and at its address, decide.
    pub(crate) fn see_nonces(&mut self) {
        self.now.sees_nonces = true;
    }

    /// An account that looks at itself over and over takes next to no gas for it (SELFBALANCE).
    pub(crate) fn see_balance(&mut self, address: Address) {
        if self.now.seen.last() != Some(&address) {
            self.now.seen.push(address);
        }
    }

    pub(crate) fn expect(&mut self, access_list: &AddressMap<HashSet<U256>>) {
        let slots = access_list
            .iter()
            .flat_map(|(address, slots)| slots.iter().map(move |slot| (*address, *slot)));
        self.now.listed.extend(slots);
    }

    pub(crate) fn keep_reverted(&mut self, entries: &[JournalEntry], from: usize) {
        let kept = entries.iter().skip(from).filter(|entry| {
            use JournalEntry::{AccountWarmed, BalanceTransfer, StorageWarmed};
            matches!(entry, AccountWarmed { .. } | StorageWarmed { .. } | BalanceTransfer { .. })
        });
        self.now.reverted.extend(kept.cloned());
    }

    pub(crate) fn drop_tx(&mut self) {
        self.now.clear();
    }

    /// Takes down a transaction that has run without a journal: all accounts that it came upon,
    /// each once. It came upon no slots.
    pub(crate) fn add_tx(&mut self, accounts: impl IntoIterator<Item = AccountTouch>) {
        let tx = u32::try_from(self.ends.len()).unwrap_or(u32::MAX);
        for touch in accounts {
            self.tags.push((tag(&touch.address), tx));
            self.accounts.push(touch);
        }
        self.ends.push((self.accounts.len(), self.slots.len()));
    }

    /// Takes down the transaction that has run, before its entries are gone.
    ///
    /// This is done for every transaction: each account and slot is looked up once, as far as the
    /// entries of an account stand together.
    pub(crate) fn end_tx(&mut self, journal: &mut JournalInner<JournalEntry>, log: &ReadLog) {
        let Self { accounts, tags, slots, codes, ends, now } = self;
        let JournalInner { state, journal: entries, transaction_id, .. } = journal;
        let tx = u32::try_from(ends.len()).unwrap_or(u32::MAX);
        let mut noted = Noted::new(accounts, tags, codes, tx, now.sees_nonces);
        // The log has each once.
        for (address, _) in log.accounts.get(now.logged..).unwrap_or_default() {
            if let Some(account) = state.get_mut(address) {
                debug_assert!(noted.find(address).is_none(), "{address} was loaded twice");
                noted.add(address, account);
            }
        }
        // Without these no slot has two entries.
        let may_repeat = !now.reverted.is_empty() || !now.listed.is_empty();
        let mut noted_slots = NotedSlots::new(slots, may_repeat, *transaction_id);
        let mut has_transfers = false;
        let mut last: Option<(&Address, &mut RevmAccount)> = None;
        for entry in entries.iter().chain(&now.reverted) {
            match entry {
                JournalEntry::AccountWarmed { address } => {
                    if noted.find(address).is_some() {
                        continue;
                    }
                    last = state.get_mut(address).map(|account| (address, account));
                    if let Some((_, account)) = &mut last {
                        noted.add(address, account);
                    }
                }
                JournalEntry::StorageWarmed { address, key } => {
                    if last.as_ref().is_none_or(|(known, _)| *known != address) {
                        last = state.get_mut(address).map(|account| (address, account));
                    }
                    if let Some((_, account)) = &last {
                        noted_slots.add(address, key, account);
                    }
                }
                JournalEntry::BalanceTransfer { .. } => has_transfers = true,
                _ => {}
            }
        }
        for (address, key) in &now.listed {
            if let Some(account) = state.get(address) {
                noted_slots.add(address, key, account);
            }
        }
        // The sender may have been loaded before the transaction was begun, and be warm.
        if noted.find(&now.sender).is_none()
            && let Some(account) = state.get_mut(&now.sender)
        {
            noted.add(&now.sender, account);
        }
        if let Some(touch) = noted.find(&now.sender) {
            touch.spends = now.sender_spends;
            touch.is_nonce_seen = true;
        }
        if has_transfers {
            for entry in entries.iter().chain(&now.reverted) {
                if let JournalEntry::BalanceTransfer { balance, from, to: _ } = entry
                    && let Some(touch) = noted.find(from)
                {
                    touch.spends = touch.spends.saturating_add(*balance);
                }
            }
        }
        for address in &now.seen {
            if let Some(touch) = noted.find(address) {
                touch.is_balance_seen = true;
            }
        }
        ends.push((noted.accounts.len(), noted_slots.slots.len()));
        now.clear();
    }
}

/// The accounts that are noted of the transaction that has run.
struct Noted<'t> {
    accounts: &'t mut Vec<AccountTouch>,
    tags: &'t mut Vec<(u32, u32)>,
    codes: &'t mut Vec<(B256, Bytes)>,
    /// How many are those of transactions before it.
    first: usize,
    tx: u32,
    /// The nonce of any of them may have been seen.
    sees_nonces: bool,
    by_address: Places<Address>,
}

impl<'t> Noted<'t> {
    fn new(
        accounts: &'t mut Vec<AccountTouch>,
        tags: &'t mut Vec<(u32, u32)>,
        codes: &'t mut Vec<(B256, Bytes)>,
        tx: u32,
        sees_nonces: bool,
    ) -> Self {
        let first = accounts.len();
        Self { accounts, tags, codes, first, tx, sees_nonces, by_address: Places::default() }
    }

    /// The touch of an account, if it is noted.
    fn find(&mut self, address: &Address) -> Option<&mut AccountTouch> {
        let touches = self.accounts.get_mut(self.first..)?;
        let place = if touches.len() <= LINEAR_MAX {
            let tag = tag(address);
            let tags = self.tags.get(self.first..).unwrap_or_default();
            let mut known = tags.iter().zip(touches.iter());
            known.position(|((known, _), touch)| *known == tag && touch.address == *address)
        } else {
            self.by_address.place(touches, address, |touch| touch.address)
        };
        touches.get_mut(place?)
    }

    /// Notes an account that is not noted yet.
    fn add(&mut self, address: &Address, account: &mut RevmAccount) {
        let before = existing(account.original_info_mut());
        let is_destroyed = account.is_selfdestructed_locally();
        let after = if is_destroyed { None } else { existing(&account.info) };
        if let (Some(code), Some(after)) = (&account.info.code, after)
            && after.has_code()
            && before.is_none_or(|before| before.code_hash != after.code_hash)
        {
            self.codes.push((after.code_hash, code.original_bytes()));
        }
        self.tags.push((tag(address), self.tx));
        self.accounts.push(AccountTouch {
            is_nonce_seen: self.sees_nonces,
            is_created: account.is_created_locally(),
            is_destroyed,
            ..AccountTouch::between(*address, before, after)
        });
    }
}

/// The slots that are noted of the transaction that has run.
struct NotedSlots<'t> {
    slots: &'t mut Vec<SlotTouch>,
    /// How many are those of transactions before it.
    first: usize,
    /// A slot may be told of twice.
    may_repeat: bool,
    /// The transaction, as the journal counts.
    id: TransactionId,
    by_key: Places<(Address, U256)>,
}

impl<'t> NotedSlots<'t> {
    fn new(slots: &'t mut Vec<SlotTouch>, may_repeat: bool, id: TransactionId) -> Self {
        Self { first: slots.len(), slots, may_repeat, id, by_key: Places::default() }
    }

    /// Notes a slot of an account, if the transaction has come upon it, and it is not noted yet.
    fn add(&mut self, address: &Address, key: &U256, account: &RevmAccount) {
        if self.may_repeat {
            let known = self.slots.get(self.first..).unwrap_or_default();
            let key_of = |touch: &SlotTouch| (touch.address, touch.slot);
            if self.by_key.place(known, &(*address, *key), key_of).is_some() {
                return;
            }
        }
        let Some(value) = account.storage.get(key) else { return };
        // Listed, but not come upon.
        if value.transaction_id.get() != self.id.get() {
            return;
        }
        let (before, after) = (value.original_value(), value.present_value());
        self.slots.push(SlotTouch { address: *address, slot: *key, before, after });
    }
}

impl Running {
    fn clear(&mut self) {
        self.reverted.clear();
        self.seen.clear();
        self.listed.clear();
    }
}

/// Whether what is paid to an account may be more than fits.
fn may_overflow(account: Option<Account>) -> bool {
    account.is_some_and(|account| account.balance.bit_len() > BALANCE_BITS)
}

/// A part of an address, which many addresses share.
pub const fn tag(address: &Address) -> u32 {
    let [.., a, b, c, d] = address.0.0;
    u32::from_le_bytes([a, b, c, d])
}

/// Words of a filter; a power of two.
const FILTER_WORDS: usize = 256;

/// One bit per tag: it passes the tags that were added, and few others.
#[derive(Debug, Clone)]
pub struct TagFilter(Box<[u64; FILTER_WORDS]>);

impl Default for TagFilter {
    fn default() -> Self {
        Self(Box::new([0; FILTER_WORDS]))
    }
}

impl TagFilter {
    const fn place(tag: u32) -> (usize, u64) {
        (tag as usize >> 6 & (FILTER_WORDS - 1), 1 << (tag & 63))
    }

    /// From now on lets a tag pass.
    pub fn add(&mut self, tag: u32) {
        let (word, bit) = Self::place(tag);
        self.0[word] |= bit;
    }

    /// Whether a tag passes.
    pub fn passes(&self, tag: u32) -> bool {
        let (word, bit) = Self::place(tag);
        self.0[word] & bit != 0
    }
}

/// Where the touches of one transaction are.
#[derive(Debug, Default)]
struct Places<K> {
    /// Of the first touches; there where they are many.
    by_key: Option<HashMap<K, usize>>,
}

impl<K: Eq + Hash> Places<K> {
    /// The place of a key among touches, to which others may have been added since the last time.
    fn place<T>(&mut self, touches: &[T], key: &K, key_of: impl Fn(&T) -> K) -> Option<usize> {
        if touches.len() <= LINEAR_MAX {
            return touches.iter().position(|touch| key_of(touch) == *key);
        }
        let by_key = self.by_key.get_or_insert_default();
        for (place, touch) in touches.iter().enumerate().skip(by_key.len()) {
            by_key.insert(key_of(touch), place);
        }
        by_key.get(key).copied()
    }
}

/// The account; `None` if it is empty. Source: EIP-161.
fn existing(info: &AccountInfo) -> Option<Account> {
    let account = to_account(info);
    (!account.is_empty()).then_some(account)
}

#[cfg(test)]
mod tests;
