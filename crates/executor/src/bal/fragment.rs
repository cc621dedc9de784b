//! What one step did, against what the list says of it.

use super::{
    ListFault, Step,
    index::{SlotChange, StepChanges, count_before, made_at},
    values::Values,
};
use crate::{Divergence, FallbackCause};
use fugue_evm::{Changed, FieldValue, ReadLog, SlotTouch};
use fugue_state::{AccountDiff, SlotDiff, StateDiff};
use fugue_types::{AccountChanges, Address, B256, CodeChange, U256};

/// A step after which an account does not exist, or has lost its storage.
#[derive(Debug, Clone, Copy)]
pub(super) struct End {
    pub(super) place: usize,
    pub(super) step: Step,
    /// As in [`AccountDiff`].
    pub(super) wiped: bool,
}

/// Compares the fragment of a step with the list and notes what it looked at. Gives the accounts
/// that it ended.
///
/// A fragment fits if all that the step looked at is in the list, if the list says of this step
/// exactly the changes that it made, and if the state after it, as the list has it, is the one that
/// it left, existence and storage included.
///
/// # Errors
/// The first thing that does not fit, or why the state before the block could not be read.
pub(super) fn check(
    values: &Values<'_>,
    step: Step,
    reads: &ReadLog,
    diff: &StateDiff,
) -> Result<Vec<End>, FallbackCause> {
    let check = Check { values, step };
    check.looks(reads)?;
    let (mut found, mut ends) = (0, Vec::new());
    for change in &diff.accounts {
        let place = check.place(change.address)?;
        found += check.fields(place, change)? + check.slots(place, change)?;
        if check.ends(place, change)? {
            ends.push(End { place, step, wiped: change.wiped });
        }
    }
    if found != values.index().changes_at(step) {
        return Err(check.unmade(diff).into());
    }
    Ok(ends)
}

/// As [`check`] for a step that ran in a lasting journal, most of whose fragments are changes of
/// fields and slots alone: those are as they should be if they are the list's, one by one.
///
/// What it asked for is in the list, and is noted by the reader, which has answered. What it came
/// upon in the journal was asked for by a step before it.
///
/// # Errors
/// As [`check`].
pub(super) fn check_changed(
    values: &Values<'_>,
    step: Step,
    changed: &Changed,
) -> Result<Vec<End>, FallbackCause> {
    if changed.is_plain()
        && let [listed] = values.index().changes(step..step + 1)
        && are_listed(changed, listed)
    {
        Check { values, step }.sees(changed.begun())?;
        return Ok(Vec::new());
    }
    let reads = ReadLog { seen: changed.begun().to_vec(), ..ReadLog::default() };
    check(values, step, &reads, &changed.to_diff())
}

/// Whether these changes are the listed ones; both are in the order of addresses and keys.
fn are_listed(changed: &Changed, listed: &StepChanges) -> bool {
    let StepChanges { fields, slots } = listed;
    let mut fields = fields.iter();
    for change in changed.accounts() {
        let (before, after) = (change.before.unwrap_or_default(), change.after.unwrap_or_default());
        let mut is_next = |made: FieldValue| {
            let next = fields.next();
            next.is_some_and(|next| next.address == change.address && next.value == made)
        };
        let is_listed = (before.balance == after.balance
            || is_next(FieldValue::Balance(after.balance)))
            && (before.nonce == after.nonce || is_next(FieldValue::Nonce(after.nonce)))
            && (before.code_hash == after.code_hash
                || is_next(FieldValue::CodeHash(after.code_hash)));
        if !is_listed {
            return false;
        }
    }
    let is_slot = |(made, listed): (&SlotTouch, &SlotChange)| {
        made.address == listed.address && made.slot == listed.key && made.after == listed.value
    };
    fields.next().is_none()
        && changed.slots().len() == slots.len()
        && changed.slots().iter().zip(slots).all(is_slot)
}

struct Check<'p, 'b> {
    values: &'p Values<'b>,
    step: Step,
}

impl Check<'_, '_> {
    fn place(&self, address: Address) -> Result<usize, ListFault> {
        let place = self.values.index().place(address);
        place.ok_or_else(|| undeclared(self.values, self.step, address, None))
    }

    fn looks(&self, reads: &ReadLog) -> Result<(), ListFault> {
        let ReadLog { accounts, slots: _, seen } = reads;
        for (address, _) in accounts {
            self.values.touch(self.place(*address)?);
        }
        self.sees(seen)
    }

    fn sees(&self, seen: &[(Address, U256)]) -> Result<(), ListFault> {
        // The slots of an account stand together.
        let mut last = None;
        for (address, slot) in seen {
            let place = match last {
                Some((known, place)) if known == address => place,
                _ => self.place(*address)?,
            };
            last = Some((address, place));
            let Some(slot_place) = self.values.index().slot_place(place, *slot) else {
                return Err(undeclared(self.values, self.step, *address, Some(*slot)));
            };
            self.values.touch_slot(slot_place);
        }
        Ok(())
    }

    /// How many fields of the account the step changed.
    fn fields(&self, place: usize, change: &AccountDiff) -> Result<usize, ListFault> {
        let AccountChanges { balance_changes, nonce_changes, code_changes, .. } =
            self.values.index().account(place);
        let (before, after) = (change.before.unwrap_or_default(), change.after.unwrap_or_default());
        let address = change.address;
        let listed = made_at(balance_changes, self.step).map(|change| change.post_balance);
        let made = (before.balance != after.balance).then_some(after.balance);
        let mut count = self.field(address, "balance", listed, made)?;
        let listed = made_at(nonce_changes, self.step).map(|change| change.new_nonce);
        let made = (before.nonce != after.nonce).then_some(after.nonce);
        count += self.field(address, "nonce", listed, made)?;
        let listed = self.code_at(place, code_changes);
        let made = (before.code_hash != after.code_hash).then_some(after.code_hash);
        Ok(count + self.field(address, "code hash", listed, made)?)
    }

    /// Hash of the code that the list says that the step leaves.
    fn code_at(&self, place: usize, changes: &[CodeChange]) -> Option<B256> {
        let position = count_before(changes, self.step);
        made_at(changes, self.step).map(|_| self.values.index().code_hash(place, position))
    }

    fn field<T: PartialEq + ToString>(
        &self,
        address: Address,
        field: &'static str,
        listed: Option<T>,
        made: Option<T>,
    ) -> Result<usize, ListFault> {
        if listed == made {
            return Ok(usize::from(made.is_some()));
        }
        Err(self.differs(address, None, field, shown(made), shown(listed)))
    }

    /// How many slots of the account the step changed.
    fn slots(&self, place: usize, change: &AccountDiff) -> Result<usize, ListFault> {
        let index = self.values.index();
        for slot in &change.slots {
            let Some(slot_place) = index.slot_place(place, slot.slot) else {
                return Err(undeclared(self.values, self.step, change.address, Some(slot.slot)));
            };
            let listed = made_at(index.slot_changes(slot_place), self.step);
            let listed = listed.map(|change| change.new_value);
            if listed != Some(slot.after) {
                let made = format!("{:#x}", slot.after);
                let listed = shown(listed.map(|value| format!("{value:#x}")));
                return Err(self.differs(change.address, Some(slot.slot), "value", made, listed));
            }
        }
        Ok(change.slots.len())
    }

    /// Whether the step ended the account. Whether the account is there after the step has to
    /// follow from the list, and whether its storage is.
    fn ends(&self, place: usize, change: &AccountDiff) -> Result<bool, FallbackCause> {
        let (values, step, address) = (self.values, self.step, change.address);
        // One that is not empty is there by the list too: its fields are those that it has.
        if change.after.is_none_or(|after| after.is_empty()) {
            let listed = values.account(place, step + 1)?;
            if listed != change.after {
                let there = |is: bool| if is { "there" } else { "not there" };
                let (made, listed) = (there(change.after.is_some()), there(listed.is_some()));
                let differs =
                    self.differs(address, None, "account", made.to_owned(), listed.to_owned());
                return Err(differs.into());
            }
        }
        let is_over = change.wiped || change.after.is_none();
        let is_listed = values.ends_at(place, step);
        // An end that the list does not tell must have no storage to take along.
        let has_lost = is_over && !is_listed && values.has_storage(place, step)?;
        if has_lost || (is_listed && !is_over) {
            let gone = |is: bool| if is { "gone" } else { "kept" };
            let (made, listed) = (gone(is_over).to_owned(), gone(is_listed).to_owned());
            return Err(self.differs(address, None, "storage", made, listed).into());
        }
        Ok(is_over)
    }

    /// A change that the list has and the step did not make. Its changes are in canonical order: a
    /// list may be as long as they are many.
    fn unmade(&self, diff: &StateDiff) -> ListFault {
        let index = self.values.index();
        for (place, account) in index.list().iter().enumerate() {
            let address = account.address;
            let found = diff.accounts.binary_search_by_key(&address, |change| change.address);
            let changed = found.ok().and_then(|place| diff.accounts.get(place));
            // Of an account that the step changed the fields were compared.
            let fields = match changed {
                Some(_) => None,
                None => self.fields(place, &unchanged(address)).err(),
            };
            let slots = match changed {
                Some(change) => change.slots.as_slice(),
                None => &[],
            };
            if let Some(fault) = fields.or_else(|| self.unmade_slot(place, slots)) {
                return fault;
            }
        }
        let (made, listed) = ("fewer".to_owned(), index.changes_at(self.step).to_string());
        let what = Divergence::of_block("changes", made, listed);
        ListFault::Step { step: self.step, what: Box::new(what) }
    }

    /// A slot of the account that the list says the step changed, and that is not among those that
    /// it did.
    fn unmade_slot(&self, place: usize, made: &[SlotDiff]) -> Option<ListFault> {
        let index = self.values.index();
        index.slots_of(place).find_map(|slot_place| {
            let listed = made_at(index.slot_changes(slot_place), self.step)?.new_value;
            let (_, key) = index.slot(slot_place);
            if made.binary_search_by_key(&key, |slot| slot.slot).is_ok() {
                return None;
            }
            let (address, listed) = (index.account(place).address, format!("{listed:#x}"));
            Some(self.differs(address, Some(key), "value", shown::<U256>(None), listed))
        })
    }

    fn differs(
        &self,
        address: Address,
        slot: Option<U256>,
        field: &'static str,
        made: String,
        listed: String,
    ) -> ListFault {
        let what = Divergence {
            transaction: transaction(self.values, self.step),
            address: Some(address),
            slot,
            field,
            expected: made,
            found: listed,
        };
        ListFault::Step { step: self.step, what: Box::new(what) }
    }
}

/// A step looked at what the list does not have.
pub(super) fn undeclared(
    values: &Values<'_>,
    step: Step,
    address: Address,
    slot: Option<U256>,
) -> ListFault {
    let check = Check { values, step };
    let field = if slot.is_some() { "slot" } else { "account" };
    check.differs(address, slot, field, "looked at".to_owned(), "not listed".to_owned())
}

/// Position of the transaction that a step is.
fn transaction(values: &Values<'_>, step: Step) -> Option<usize> {
    step.checked_sub(1).filter(|tx| *tx < values.index().tx_count())
}

/// What a step does to an account that it does not change.
const fn unchanged(address: Address) -> AccountDiff {
    AccountDiff { address, before: None, after: None, wiped: false, slots: Vec::new() }
}

fn shown<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "unchanged".to_owned(), |value| value.to_string())
}
