//! The accounts with which lanes may have disturbed one another, as of the block's transactions so
//! far.
//!
//! An account that several lanes load is not hot yet. It is where one lane has changed what another
//! has looked at: a slot that both have loaded, or a field that was seen. Where only amounts were
//! moved, and the balance before the block suffices for all that is spent however it is ordered,
//! amounts add up.

use super::{Lane, ReadResult};
use fugue_chainspec::Rules;
use fugue_evm::{AccountTouch, SlotTouch, StateReader, Touched, tag};
use fugue_state::{Account, AccountDiff, SlotDiff, StateDiff, StateError, StateView};
use fugue_types::{Address, AddressMap, B256, B256Map, Bytes, HashMap, Header, U256};
use std::collections::hash_map::Entry;

/// Words of a filter; a power of two.
const FILTER_WORDS: usize = 256;

/// What a transaction touched.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Touches<'t> {
    pub(super) accounts: &'t [AccountTouch],
    pub(super) slots: &'t [SlotTouch],
    /// Of the accounts.
    pub(super) tags: &'t [(u32, u32)],
}

impl<'t> Touches<'t> {
    /// Those of the transaction that was noted at this place.
    pub(super) fn of(touched: &'t Touched, noted: usize) -> Self {
        let (accounts, slots) = touched.of(noted);
        Self { accounts, slots, tags: touched.tags_of(noted) }
    }
}

/// One bit per tag of an address.
struct Filter(Box<[u64; FILTER_WORDS]>);

/// The hot accounts before the transaction that is to be settled.
pub(super) struct Hot<'h> {
    view: &'h dyn StateView,
    lanes: &'h [Lane],
    beneficiary: Address,
    accounts: AddressMap<HotAccount>,
    filter: Filter,
    codes: B256Map<Bytes>,
    /// The next transaction.
    index: usize,
    /// A transaction ran again, so that a lane may have seen what never was.
    has_rerun: bool,
    /// Fees that transactions left to be paid, while the fee recipient is not hot.
    fees: U256,
    found_empty: Option<Address>,
}

/// What is left when the block is settled.
pub(super) struct End {
    accounts: AddressMap<HotAccount>,
    codes: B256Map<Bytes>,
    fees: U256,
}

/// An account with the slots that changed.
struct HotAccount {
    before: Option<Account>,
    now: Option<Account>,
    /// As in [`AccountDiff`].
    wiped: bool,
    /// Nothing is left of the storage before the block.
    began_anew: bool,
    /// Value before the block, or zero if the account began anew, and now.
    slots: HashMap<U256, (U256, U256)>,
}

/// All that the lanes did to an account that several of them have loaded.
#[derive(Default)]
struct Shared {
    before: Option<Account>,
    /// Something else than an amount, or a nonce that nobody has seen, was moved or seen.
    is_hot: bool,
    is_balance_seen: bool,
    is_balance_changed: bool,
    is_nonce_seen: bool,
    is_nonce_changed: bool,
    /// The most that one transaction had to have, and what all of them took.
    spends: U256,
    taken: U256,
}

impl Filter {
    fn new() -> Self {
        Self(Box::new([0; FILTER_WORDS]))
    }

    const fn place(tag: u32) -> (usize, u64) {
        (tag as usize >> 6 & (FILTER_WORDS - 1), 1 << (tag & 63))
    }

    fn add(&mut self, tag: u32) {
        let (word, bit) = Self::place(tag);
        self.0[word] |= bit;
    }

    fn passes(&self, tag: u32) -> bool {
        let (word, bit) = Self::place(tag);
        self.0[word] & bit != 0
    }
}

impl<'h> Hot<'h> {
    /// Nothing is hot yet.
    pub(super) fn new(view: &'h dyn StateView, lanes: &'h [Lane], beneficiary: Address) -> Self {
        Self {
            view,
            lanes,
            beneficiary,
            accounts: AddressMap::default(),
            filter: Filter::new(),
            codes: B256Map::default(),
            index: 0,
            has_rerun: false,
            fees: U256::ZERO,
            found_empty: None,
        }
    }

    /// Finds what is hot before the first transaction.
    pub(super) fn begin(&mut self) -> ReadResult<()> {
        // Touching ends it, and no touch tells of that.
        let lanes = self.lanes;
        let mut changes = lanes.iter().flat_map(|lane| &lane.history.diff.accounts);
        if let Some(change) = changes.find(|change| is_there_and_empty(change.before)) {
            return Err(self.refuse(change.address));
        }
        for address in disturbed(lanes) {
            self.heat(address)?;
        }
        if lanes.iter().any(|lane| lane.history.has_loaded(&self.beneficiary)) {
            self.heat(self.beneficiary)?;
        }
        Ok(())
    }

    /// An account that is there and empty was to be followed: with what is noted it cannot be.
    pub(super) const fn found_empty(&self) -> Option<Address> {
        self.found_empty
    }

    /// The next transaction to settle.
    pub(super) fn advance(&mut self, index: usize) {
        self.index = index;
    }

    /// Whether a transaction that came upon these would do the same now.
    pub(super) fn holds(&self, touches: Touches<'_>) -> ReadResult<bool> {
        if self.accounts.is_empty() {
            return Ok(true);
        }
        let Touches { accounts, slots, tags } = touches;
        let mut is_hot = false;
        for ((tag, _), touch) in tags.iter().zip(accounts) {
            if self.filter.passes(*tag)
                && let Some(account) = self.accounts.get(&touch.address)
            {
                is_hot = true;
                if !touch.holds(account.now) {
                    return Ok(false);
                }
            }
        }
        if !is_hot {
            return Ok(true);
        }
        for touch in slots {
            if !self.filter.passes(tag(&touch.address)) {
                continue;
            }
            let Some(account) = self.accounts.get(&touch.address) else { continue };
            let now = match account.slots.get(&touch.slot) {
                Some((_, now)) => *now,
                None if account.began_anew => U256::ZERO,
                // Nobody below has changed it, nor, in its lane, has anybody but who was settled.
                None if !self.has_rerun => continue,
                None => self.view.slot(touch.address, touch.slot)?,
            };
            if touch.before != now {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Settles a transaction that left these behind.
    pub(super) fn apply(&mut self, touches: Touches<'_>) {
        if self.accounts.is_empty() {
            return;
        }
        let Touches { accounts, slots, tags } = touches;
        let mut is_hot = false;
        for ((tag, _), touch) in tags.iter().zip(accounts) {
            if self.filter.passes(*tag)
                && let Some(account) = self.accounts.get_mut(&touch.address)
            {
                is_hot = true;
                account.apply(touch);
            }
        }
        if !is_hot {
            return;
        }
        for touch in slots.iter().filter(|touch| touch.before != touch.after) {
            if self.filter.passes(tag(&touch.address))
                && let Some(account) = self.accounts.get_mut(&touch.address)
            {
                account.apply_slot(touch);
            }
        }
    }

    /// Settles the fee that a transaction has left to be paid.
    pub(super) fn pay(&mut self, fee: Option<U256>) {
        let Some(fee) = fee else { return };
        match self.accounts.get_mut(&self.beneficiary) {
            Some(account) => account.credit(fee),
            None => self.fees = self.fees.saturating_add(fee),
        }
    }

    /// From now on follows what a transaction, that ran or runs again, has changed.
    pub(super) fn heat_changed(&mut self, touches: Touches<'_>) -> ReadResult<()> {
        let Touches { accounts, slots, .. } = touches;
        self.has_rerun = true;
        for touch in accounts.iter().filter(|touch| touch.is_change()) {
            self.heat(touch.address)?;
        }
        for touch in slots.iter().filter(|touch| touch.before != touch.after) {
            self.heat(touch.address)?;
        }
        Ok(())
    }

    /// Codes that a transaction has set which ran again.
    pub(super) fn add_codes(&mut self, codes: &[(B256, Bytes)]) {
        self.codes.extend(codes.iter().cloned());
    }

    /// What is left of it when all are settled.
    pub(super) fn into_end(self) -> End {
        End { accounts: self.accounts, codes: self.codes, fees: self.fees }
    }

    /// From now on follows an account. What the lanes have done to it so far is put together.
    fn heat(&mut self, address: Address) -> ReadResult<()> {
        let Entry::Vacant(vacant) = self.accounts.entry(address) else { return Ok(()) };
        let before = self.view.account(address)?;
        if is_there_and_empty(before) {
            self.found_empty = Some(address);
            return Err(there_and_empty());
        }
        let mut account = HotAccount {
            before,
            now: before,
            wiped: false,
            began_anew: false,
            slots: HashMap::default(),
        };
        let wanted = tag(&address);
        let mut steps: Vec<(usize, &AccountTouch, &[SlotTouch])> = Vec::new();
        for lane in self.lanes.iter().filter(|_| self.index > 0) {
            if !lane.history.has_changed(&address) {
                continue;
            }
            let touched = &lane.history.touched;
            for (tx, touch) in touched.with_tags(|tag| tag == wanted) {
                let index = lane.index_of(tx);
                if touch.address == address && index < self.index {
                    steps.push((index, touch, touched.of(tx).1));
                }
            }
        }
        steps.sort_unstable_by_key(|(index, ..)| *index);
        for (_, touch, slots) in steps {
            account.apply(touch);
            for slot in slots {
                if slot.address == address && slot.before != slot.after {
                    account.apply_slot(slot);
                }
            }
        }
        if address == self.beneficiary && !self.fees.is_zero() {
            account.credit(std::mem::take(&mut self.fees));
        }
        vacant.insert(account);
        self.filter.add(wanted);
        Ok(())
    }

    /// Notes that an account is there and empty, and that nothing can come of this.
    fn refuse(&mut self, address: Address) -> StateError {
        self.found_empty = Some(address);
        there_and_empty()
    }

    /// The account if it is hot, or has to be, since it is not what it was before the block.
    fn find(&mut self, address: Address) -> ReadResult<Option<&HotAccount>> {
        if !self.accounts.contains_key(&address) {
            let is_changed = self.lanes.iter().any(|lane| lane.history.has_changed(&address));
            if !is_changed && address != self.beneficiary {
                return Ok(None);
            }
            self.heat(address)?;
        }
        Ok(self.accounts.get(&address))
    }
}

/// Whether an account counts as none and is in the state nonetheless, as before EIP-161.
fn is_there_and_empty(account: Option<Account>) -> bool {
    account.is_some_and(|account| account.is_empty())
}

fn there_and_empty() -> StateError {
    StateError::Unavailable("an account is there, and empty".to_owned())
}

/// Accounts that one lane has changed while another has looked at what was changed.
fn disturbed(lanes: &[Lane]) -> Vec<Address> {
    let mut hot: Vec<Address> = lanes.iter().flat_map(|lane| lane.assumed.clone()).collect();
    if lanes.len() < 2 {
        return hot;
    }
    let mut shared: AddressMap<Shared> = AddressMap::default();
    let mut filter = Filter::new();
    for (number, lane) in lanes.iter().enumerate() {
        for change in &lane.history.diff.accounts {
            let AccountDiff { address, before, after, slots, .. } = change;
            let is_other = |(other, _): &(usize, &Lane)| *other != number;
            let mut others = lanes.iter().enumerate().filter(is_other).map(|(_, lane)| lane);
            let Some(first) = others.find(|lane| lane.history.has_loaded(address)) else {
                continue;
            };
            let mut others = std::iter::once(first).chain(others);
            let is_slot_shared = others.any(|other| {
                slots.iter().any(|slot| other.history.has_loaded_slot(address, &slot.slot))
            });
            if is_slot_shared || change.wiped {
                hot.push(*address);
            } else if before != after {
                filter.add(tag(address));
                shared.insert(*address, Shared { before: *before, ..Shared::default() });
            }
        }
    }
    for (number, lane) in lanes.iter().enumerate() {
        // Whoever looked in between saw something else than before the block.
        for (address, slot) in &lane.history.restored {
            let others = lanes.iter().enumerate().filter(|(other, _)| *other != number);
            let is_shared = others.map(|(_, lane)| &lane.history).any(|other| match slot {
                Some(slot) => other.has_loaded_slot(address, slot),
                None => other.has_loaded(address),
            });
            if is_shared {
                hot.push(*address);
            }
        }
    }
    if shared.is_empty() {
        return hot;
    }
    for lane in lanes {
        for (_, touch) in lane.history.touched.with_tags(|tag| filter.passes(tag)) {
            if let Some(shared) = shared.get_mut(&touch.address) {
                shared.add(touch);
            }
        }
    }
    hot.extend(shared.iter().filter(|(_, shared)| shared.is_disturbed()).map(|(it, _)| *it));
    hot
}

impl Shared {
    fn add(&mut self, touch: &AccountTouch) {
        let (Some(before), Some(after)) = (touch.before, touch.after) else {
            self.is_hot = true;
            return;
        };
        self.is_hot |= touch.is_created || before.code_hash != after.code_hash;
        self.is_balance_seen |= touch.is_balance_seen;
        self.is_balance_changed |= before.balance != after.balance;
        self.is_nonce_seen |= touch.is_nonce_seen;
        self.is_nonce_changed |= before.nonce != after.nonce;
        self.spends = self.spends.max(touch.spends);
        let taken = before.balance.saturating_sub(after.balance);
        self.taken = self.taken.saturating_add(taken);
    }

    fn is_disturbed(&self) -> bool {
        let Some(before) = self.before else { return true };
        // However they are ordered, each has what it spends: what others take is there as well.
        let suffices = before
            .balance
            .checked_sub(self.taken)
            .is_some_and(|left| left >= self.spends && !left.is_zero());
        self.is_hot
            || (self.is_balance_changed && (self.is_balance_seen || !suffices))
            || (self.is_nonce_changed && self.is_nonce_seen)
    }
}

impl End {
    /// All that the transactions have changed.
    pub(super) fn merge(
        self,
        lanes: Vec<Lane>,
        header: &Header,
        rules: &Rules,
        view: &dyn StateView,
    ) -> ReadResult<StateDiff> {
        // To be paid nothing ends an account that is there and empty.
        let is_paid = lanes.iter().any(|lane| !lane.txs.is_empty())
            && !self.accounts.contains_key(&header.beneficiary);
        let mut diff = StateDiff::default();
        diff.codes.extend(self.codes);
        for lane in lanes {
            diff.codes.extend(lane.history.touched.codes().iter().cloned());
            let StateDiff { accounts, codes } = lane.history.diff;
            diff.codes.extend(codes);
            let cold = accounts.into_iter();
            diff.accounts.extend(cold.filter(|it| !self.accounts.contains_key(&it.address)));
        }
        // Each lane's are in order.
        diff.accounts.sort_by_key(|change| change.address);
        diff.accounts.dedup_by(|later, first| {
            let is_same = later.address == first.address;
            if is_same {
                add(first, later);
            }
            is_same
        });
        if is_paid {
            let change = crate::occ::fee_change(header, rules, self.fees, view)?;
            diff.accounts.extend(change);
        }
        diff.accounts.extend(self.accounts.into_iter().map(|(address, account)| {
            let HotAccount { before, now: after, wiped, began_anew: _, slots } = account;
            let slots = slots.into_iter();
            let slots = slots.map(|(slot, (before, after))| SlotDiff { slot, before, after });
            let wiped = wiped && before.is_some();
            AccountDiff { address, before, after, wiped, slots: slots.collect() }
        }));
        Ok(diff.canonical())
    }
}

/// Adds another lane's changes of an account that is not hot: other slots, and amounts.
fn add(change: &mut AccountDiff, other: &mut AccountDiff) {
    change.slots.append(&mut other.slots);
    if let (Some(before), Some(after), Some(other)) = (other.before, change.after, other.after) {
        let balance = after.balance.wrapping_add(other.balance).wrapping_sub(before.balance);
        let nonce = after.nonce.wrapping_add(other.nonce).wrapping_sub(before.nonce);
        change.after = Some(Account { nonce, balance, ..after });
    }
}

impl HotAccount {
    fn apply(&mut self, touch: &AccountTouch) {
        if !touch.is_change() {
            return;
        }
        if touch.is_destroyed || touch.is_created {
            self.wiped |= touch.is_destroyed && self.before.is_some();
            self.began_anew = true;
            self.slots.clear();
        }
        self.now = touch.rebased(self.now);
    }

    fn apply_slot(&mut self, touch: &SlotTouch) {
        if self.now.is_none() {
            return;
        }
        let first = if self.began_anew { U256::ZERO } else { touch.before };
        let slot = self.slots.entry(touch.slot).or_insert((first, touch.after));
        slot.1 = touch.after;
    }

    /// As a direct payment does: what would overflow is not credited.
    fn credit(&mut self, fee: U256) {
        let account = self.now.unwrap_or_default();
        let balance = account.balance.checked_add(fee).unwrap_or(account.balance);
        let account = Account { balance, ..account };
        self.now = (!account.is_empty()).then_some(account);
    }
}

/// Reads the state that is settled so far.
pub(super) struct HotReader<'h>(pub(super) Hot<'h>);

impl StateReader for HotReader<'_> {
    type Error = StateError;

    fn account(&mut self, address: Address) -> ReadResult<Option<Account>> {
        match self.0.find(address)? {
            Some(account) => Ok(account.now),
            None => {
                let account = self.0.view.account(address)?;
                if is_there_and_empty(account) {
                    return Err(self.0.refuse(address));
                }
                Ok(account)
            }
        }
    }

    fn slot(&mut self, address: Address, slot: U256) -> ReadResult<U256> {
        if let Some(account) = self.0.find(address)? {
            if let Some((_, now)) = account.slots.get(&slot) {
                return Ok(*now);
            }
            if account.began_anew {
                return Ok(U256::ZERO);
            }
        }
        self.0.view.slot(address, slot)
    }

    fn has_storage(&mut self, address: Address) -> ReadResult<bool> {
        if let Some(account) = self.0.find(address)? {
            if account.slots.values().any(|(_, now)| !now.is_zero()) {
                return Ok(true);
            }
            if account.began_anew {
                return Ok(false);
            }
        }
        self.0.view.has_storage(address)
    }

    fn code(&mut self, code_hash: B256) -> ReadResult<Bytes> {
        if let Some(code) = self.0.codes.get(&code_hash) {
            return Ok(code.clone());
        }
        let mut codes = self.0.lanes.iter().flat_map(|lane| lane.history.touched.codes());
        match codes.find(|(hash, _)| *hash == code_hash) {
            Some((_, code)) => Ok(code.clone()),
            None => self.0.view.code(code_hash),
        }
    }

    fn block_hash(&mut self, number: u64) -> ReadResult<B256> {
        self.0.view.block_hash(number)
    }
}

#[cfg(test)]
mod tests;
