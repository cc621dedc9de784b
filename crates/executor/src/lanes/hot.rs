//! The accounts with which lanes may have disturbed one another, as of the block's transactions so
//! far.

use super::{
    Lane, ReadResult,
    changers::Changers,
    disturbed::disturbed,
    steps::{Step, Steps},
};
use crate::{
    Field, StateField,
    rerun::{RerunCause, Stale},
};
use fugue_chainspec::Rules;
use fugue_evm::{AccountTouch, SlotTouch, StateReader, TagFilter, Touched, tag};
use fugue_state::{Account, AccountDiff, SlotDiff, StateDiff, StateError, StateView};
use fugue_types::{Address, AddressMap, B256, B256Map, Bytes, HashMap, Header, U256};
use std::{collections::hash_map::Entry, sync::OnceLock, vec::IntoIter};

/// Room for what a block changes before its first transaction and after its last one, mostly.
const EDGE_ACCOUNTS: usize = 8;

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

/// The hot accounts before the transaction that is to be settled.
#[derive(Clone)]
pub(super) struct Hot<'h> {
    view: &'h dyn StateView,
    lanes: &'h [Lane],
    /// What the lanes have changed; set as soon as somebody asks.
    steps: &'h OnceLock<Steps>,
    beneficiary: Address,
    accounts: AddressMap<HotAccount>,
    filter: TagFilter,
    codes: B256Map<Bytes>,
    /// The next transaction.
    index: usize,
    /// A transaction ran again, so that a lane may have seen what never was.
    has_rerun: bool,
    /// Fees that transactions left to be paid, while the fee recipient is not hot.
    fees: U256,
    found_empty: Option<Address>,
    /// Whose change of an account was the last before a touch of it was found not to hold.
    disturber: Option<usize>,
    /// Where it did not hold.
    failed_at: Option<StateField>,
    /// Who has changed each field last; `None` unless somebody asks.
    changers: Option<Changers>,
}

/// What is left when the block is settled.
pub(super) struct End {
    accounts: AddressMap<HotAccount>,
    codes: B256Map<Bytes>,
    fees: U256,
}

/// An account with the slots that changed.
#[derive(Clone)]
struct HotAccount {
    before: Option<Account>,
    now: Option<Account>,
    /// As in [`AccountDiff`].
    wiped: bool,
    /// Nothing is left of the storage before the block.
    began_anew: bool,
    /// Value before the block, or zero if the account began anew, and now.
    slots: HashMap<U256, (U256, U256)>,
    /// Who has changed it last, or a slot of it.
    changed_by: Option<usize>,
}

impl<'h> Hot<'h> {
    /// Nothing is hot yet. `steps` is empty, or of these lanes.
    pub(super) fn new(
        view: &'h dyn StateView,
        lanes: &'h [Lane],
        steps: &'h OnceLock<Steps>,
        beneficiary: Address,
    ) -> Self {
        Self {
            view,
            lanes,
            steps,
            beneficiary,
            accounts: AddressMap::default(),
            filter: TagFilter::default(),
            codes: B256Map::default(),
            index: 0,
            has_rerun: false,
            fees: U256::ZERO,
            found_empty: None,
            disturber: None,
            failed_at: None,
            changers: None,
        }
    }

    /// Notes from now on who changes which field.
    pub(super) fn observe(&mut self) {
        self.changers = Some(Changers::default());
    }

    /// Finds what is hot before the first transaction.
    pub(super) fn begin(&mut self) -> ReadResult<()> {
        // Touching ends it, and no touch tells of that.
        let lanes = self.lanes;
        let mut changes = lanes.iter().flat_map(|lane| &lane.history.diff.accounts);
        if let Some(change) = changes.find(|change| is_there_and_empty(change.before)) {
            return Err(self.refuse(change.address));
        }
        let recipient = self.view.account(self.beneficiary)?;
        // To be paid nothing ends it with its storage, so that the order of payments counts.
        if is_there_and_empty(recipient) {
            return Err(self.refuse(self.beneficiary));
        }
        // Nor are fees paid together where one of them may not fit. All have less than 255 bits: a
        // price has 128 at most, and the gas of a block 64.
        if recipient.is_some_and(|account| account.balance.bit(U256::BITS - 1)) {
            self.heat(self.beneficiary)?;
        }
        for address in disturbed(lanes) {
            self.heat(address)?;
        }
        if lanes.iter().any(|lane| lane.history.has_loaded(&self.beneficiary))
            && !planted!(LeavesTheFeeRecipientCold)
        {
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

    /// Whom the last transaction that did not hold has not seen, as far as it is known: a hint.
    pub(super) const fn disturber(&self) -> Option<usize> {
        self.disturber
    }

    /// Why the last transaction that did not hold, in its lane or as a guess, did not. Whose change
    /// it was is told exactly, and only if that is observed.
    pub(super) fn stale(&self) -> Option<Stale> {
        let StateField { address, field } = self.failed_at?;
        let by = self.changers.as_ref().and_then(|changers| changers.last(address, field));
        Some(Stale { cause: RerunCause::Changed, by, address: Some(address), field: Some(field) })
    }

    /// A touch of an account does not hold, which this transaction was the last to change.
    fn fails(&mut self, address: Address, field: Field, changed_by: Option<usize>) -> bool {
        self.disturber = changed_by;
        self.failed_at = Some(StateField { address, field });
        false
    }

    /// Whether a transaction that came upon these would do the same now.
    pub(super) fn holds(&mut self, touches: Touches<'_>) -> ReadResult<bool> {
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
                if !holds(touch, account.now) {
                    let (field, by) = (failing(touch, account.now), account.changed_by);
                    return Ok(self.fails(touch.address, field, by));
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
            let now = match account.now_at(touch.slot) {
                Some(now) => now,
                // Nobody below has changed it; nor has anybody but who was settled in its lane, or
                // in another one that this one has heard.
                None if !self.has_rerun || planted!(TrustsUnchangedSlots) => continue,
                None => self.view.slot(touch.address, touch.slot)?,
            };
            if touch.before != now {
                let by = account.changed_by;
                return Ok(self.fails(touch.address, Field::Slot(touch.slot), by));
            }
        }
        Ok(true)
    }

    /// As [`Hot::holds`], for a transaction that ran on a guess of what is settled: whatever it
    /// came upon is compared that is hot, or that a lane has changed.
    pub(super) fn guess_holds(&mut self, touches: Touches<'_>) -> ReadResult<bool> {
        for touch in touches.accounts {
            if let Some(account) = self.find(touch.address)?
                && !holds(touch, account.now)
            {
                let (field, by) = (failing(touch, account.now), account.changed_by);
                return Ok(self.fails(touch.address, field, by));
            }
        }
        let view = self.view;
        for touch in touches.slots {
            let Some(account) = self.find(touch.address)? else { continue };
            let by = account.changed_by;
            let now = match account.now_at(touch.slot) {
                Some(now) => now,
                None => view.slot(touch.address, touch.slot)?,
            };
            if touch.before != now {
                return Ok(self.fails(touch.address, Field::Slot(touch.slot), by));
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
                account.apply(touch, self.index);
                if let Some(changers) = &mut self.changers {
                    changers.add(touch, self.index);
                }
            }
        }
        if !is_hot {
            return;
        }
        for touch in slots.iter().filter(|touch| touch.before != touch.after) {
            if self.filter.passes(tag(&touch.address))
                && !planted!(ForgetsSlots)
                && let Some(account) = self.accounts.get_mut(&touch.address)
            {
                account.apply_slot(touch, self.index);
                if let Some(changers) = &mut self.changers {
                    changers.add_slot(touch, self.index);
                }
            }
        }
    }

    /// Settles a transaction that ran again, and left these behind: they are hot from now on.
    pub(super) fn apply_rerun(
        &mut self,
        touches: Touches<'_>,
        fee: Option<U256>,
    ) -> ReadResult<()> {
        if !planted!(LeavesColdWhatRerunsChange) {
            self.heat_changed(touches)?;
        }
        self.apply(touches);
        self.pay(fee);
        Ok(())
    }

    /// Settles the fee that a transaction has left to be paid.
    pub(super) fn pay(&mut self, fee: Option<U256>) {
        let Some(fee) = fee else { return };
        // Whoever looks at the fee recipient later asks who paid last, hot or not.
        if let Some(changers) = &mut self.changers {
            changers.add_payment(self.beneficiary, fee, self.index);
        }
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
            changed_by: None,
        };
        // Before the first transaction nothing is changed.
        if self.index > 0 && !planted!(ForgetsWhatLanesDid) {
            let (steps, lanes) = (self.steps, self.lanes);
            let steps = steps.get_or_init(|| Steps::new(lanes));
            for (index, step) in steps.before(lanes, address, self.index) {
                match step {
                    Step::Account(touch) => account.apply(touch, index),
                    Step::Slot(touch) => account.apply_slot(touch, index),
                }
                if let Some(changers) = &mut self.changers {
                    match step {
                        Step::Account(touch) => changers.add(touch, index),
                        Step::Slot(touch) => changers.add_slot(touch, index),
                    }
                }
            }
        }
        let has_fees = !self.fees.is_zero() && !planted!(ForgetsFeesSoFar);
        if address == self.beneficiary && has_fees {
            account.credit(std::mem::take(&mut self.fees));
        }
        vacant.insert(account);
        self.filter.add(tag(&address));
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
            let is_changed = self.lanes.iter().any(|lane| lane.history.has_changed(&address))
                && !planted!(ReadsPastLanes);
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
    account.is_some_and(|account| account.is_empty()) && !planted!(TakesEmptyForNone)
}

/// Whether a touch holds where the account is `now`.
fn holds(touch: &AccountTouch, now: Option<Account>) -> bool {
    #[cfg(test)]
    let touch = &super::tests::bugs::forgetful(touch, now);
    touch.holds(now)
}

/// The field for which a touch does not hold where the account is `now`. One that has come into
/// being by a payment, or is gone, has another balance.
fn failing(touch: &AccountTouch, now: Option<Account>) -> Field {
    let (before, now) = (touch.before.unwrap_or_default(), now.unwrap_or_default());
    if before.code_hash != now.code_hash {
        Field::Code
    } else if before.nonce != now.nonce && touch.is_nonce_seen {
        Field::Nonce
    } else {
        Field::Balance
    }
}

fn there_and_empty() -> StateError {
    StateError::Unavailable("an account is there, and empty".to_owned())
}

impl End {
    /// All that the transactions have changed. The lanes' diffs are taken out.
    pub(super) fn merge(
        self,
        lanes: &mut [Lane],
        header: &Header,
        rules: &Rules,
        view: &dyn StateView,
    ) -> ReadResult<StateDiff> {
        let is_cold = !self.accounts.contains_key(&header.beneficiary);
        let mut codes: Vec<(B256, Bytes)> = self.codes.into_iter().collect();
        let mut sources: Vec<IntoIter<AccountDiff>> = Vec::with_capacity(lanes.len() + 1);
        for lane in lanes {
            codes.extend(lane.history.touched.codes().iter().cloned());
            let diff = std::mem::take(&mut lane.history.diff);
            codes.extend(diff.codes);
            sources.push(diff.accounts.into_iter());
        }
        let hot = self.accounts.into_iter();
        let mut settled: Vec<_> = hot.map(|(address, it)| it.into_change(address)).collect();
        if is_cold {
            settled.extend(crate::occ::fee_change(header, rules, self.fees, view)?);
        }
        settled.sort_unstable_by_key(|change| change.address);
        let accounts = merged(sources, settled);
        Ok(StateDiff { accounts, codes }.canonical())
    }
}

/// Puts together what lanes have changed, and what was settled in place of that; each is in the
/// order of addresses.
fn merged(mut lanes: Vec<IntoIter<AccountDiff>>, settled: Vec<AccountDiff>) -> Vec<AccountDiff> {
    let count = lanes.iter().map(IntoIter::len).sum::<usize>() + settled.len();
    let mut all: Vec<AccountDiff> = Vec::with_capacity(count + EDGE_ACCOUNTS);
    let mut settled = settled.into_iter().peekable();
    // Lanes are few.
    let next_of = |lanes: &[IntoIter<AccountDiff>]| {
        let heads = lanes.iter().enumerate();
        heads.filter_map(|(lane, rest)| Some((rest.as_slice().first()?.address, lane))).min()
    };
    while let Some((address, lane)) = next_of(&lanes) {
        let Some(mut change) = lanes[lane].next() else { break };
        while let Some(before) = settled.next_if(|settled| settled.address < address) {
            all.push(before);
        }
        let is_settled = settled.peek().is_some_and(|settled| settled.address == address);
        if is_settled && !planted!(AddsWhatLanesDidToTheHot) {
            continue;
        }
        match all.last_mut() {
            Some(last) if last.address == address => add(last, &mut change),
            _ => all.push(change),
        }
    }
    all.extend(settled);
    all
}

/// Adds another lane's changes of an account that is not hot: other slots, and amounts.
fn add(change: &mut AccountDiff, other: &mut AccountDiff) {
    if !planted!(DropsSlotsOfOtherLanes) {
        // Both are in order, and so are merged as they are sorted.
        change.slots.append(&mut other.slots);
        change.slots.sort_by_key(|slot| slot.slot);
    }
    if planted!(DropsAmountsOfOtherLanes) {
        return;
    }
    if let (Some(before), Some(after), Some(other)) = (other.before, change.after, other.after) {
        let balance = after.balance.wrapping_add(other.balance).wrapping_sub(before.balance);
        let nonce = after.nonce.wrapping_add(other.nonce).wrapping_sub(before.nonce);
        change.after = Some(Account { nonce, balance, ..after });
    }
}

impl HotAccount {
    /// The slot's value; `None` if it is that before the block.
    fn now_at(&self, slot: U256) -> Option<U256> {
        match self.slots.get(&slot) {
            Some((_, now)) => Some(*now),
            None => self.began_anew.then_some(U256::ZERO),
        }
    }

    /// What the transaction with this index has done to it.
    fn apply(&mut self, touch: &AccountTouch, index: usize) {
        if !touch.is_change() {
            return;
        }
        self.changed_by = Some(index);
        if touch.is_destroyed || touch.is_created {
            self.wiped |=
                touch.is_destroyed && self.before.is_some() && !planted!(ForgetsThatStorageWent);
            self.began_anew = !planted!(KeepsSlotsOfTheDestroyed);
            self.slots.clear();
        }
        self.now = touch.rebased(self.now);
    }

    /// All that was done to it.
    fn into_change(self, address: Address) -> AccountDiff {
        let Self { before, now: after, wiped, slots, began_anew: _, changed_by: _ } = self;
        let slots = slots.into_iter();
        let slots = slots.map(|(slot, (before, after))| SlotDiff { slot, before, after });
        let wiped = wiped && before.is_some();
        AccountDiff { address, before, after, wiped, slots: slots.collect() }
    }

    fn apply_slot(&mut self, touch: &SlotTouch, index: usize) {
        if self.now.is_none() {
            return;
        }
        self.changed_by = Some(index);
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
        if let Some(account) = self.0.find(address)?
            && let Some(now) = account.now_at(slot)
            && !planted!(ReadsSlotsBeforeTheBlock)
        {
            return Ok(now);
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
