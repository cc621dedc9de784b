//! What of a read changed, and who changed it: for what is told of reruns alone.

use super::{StateMemory, version_of};
use crate::{
    Field,
    rerun::{RerunCause, Stale},
};
use fugue_scheduler::Latest;
use fugue_state::Account;
use fugue_types::{Address, U256};

impl StateMemory<'_> {
    /// Why the account is not what transaction `tx` has read; `None` if it is, as far as the state
    /// below answers.
    pub(in crate::occ) fn stale_account(
        &self,
        address: Address,
        tx: usize,
        read: Option<Account>,
    ) -> Option<Stale> {
        let (by, found) = match self.accounts.peek(&address, version_of(tx)) {
            Latest::Untouched => return None,
            Latest::Suspect { by } => {
                let (cause, by) = (RerunCause::Doubted, tx_of(by));
                return Some(Stale { cause, by, address: Some(address), field: None });
            }
            Latest::Written { by, value } => (tx_of(by), value),
            // Who wrote it has taken that back.
            Latest::Base => (None, self.view.account(address).ok()?),
        };
        let field = changed_field(read, found)?;
        let (address, field) = (Some(address), Some(field));
        Some(Stale { cause: RerunCause::Changed, by, address, field })
    }

    /// Why the slot is not what transaction `tx` has read; `None` if it is.
    pub(in crate::occ) fn stale_slot(
        &self,
        address: Address,
        slot: U256,
        tx: usize,
        read: U256,
    ) -> Option<Stale> {
        if self.slot_is(address, slot, tx, read) {
            return None;
        }
        // A slot goes with its account, too.
        let wiped_by = self.last_wipe(address, tx);
        let (cause, by) = match self.slots.peek(&(address, slot), version_of(tx)) {
            Latest::Suspect { by } => (RerunCause::Doubted, Some(by)),
            Latest::Written { by, .. } => (RerunCause::Changed, wiped_by.max(Some(by))),
            Latest::Base | Latest::Untouched => (RerunCause::Changed, wiped_by),
        };
        let (address, field) = (Some(address), Some(Field::Slot(slot)));
        Some(Stale { cause, by: by.and_then(tx_of), address, field })
    }
}

/// The transaction of a version; `None` of the opening of the block.
const fn tx_of(version: usize) -> Option<usize> {
    version.checked_sub(version_of(0))
}

/// The first field in which two accounts differ. One that comes or goes without a field that tells
/// counts as its balance.
fn changed_field(read: Option<Account>, found: Option<Account>) -> Option<Field> {
    if read == found {
        return None;
    }
    let (old, new) = (read.unwrap_or_default(), found.unwrap_or_default());
    Some(if old.nonce != new.nonce {
        Field::Nonce
    } else if old.code_hash != new.code_hash {
        Field::Code
    } else {
        Field::Balance
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::occ::memory::Room;
    use fugue_state::{AccountDiff, MemoryState, SlotDiff, StateDiff};

    const HERE: Address = Address::repeat_byte(1);

    fn rich(balance: u64) -> Option<Account> {
        Some(Account { nonce: 1, balance: U256::from(balance), ..Account::default() })
    }

    /// A balance of `balance`, and slot 7.
    fn diff(balance: u64, slot: u64) -> StateDiff {
        let slot = SlotDiff { slot: U256::from(7), before: U256::ZERO, after: U256::from(slot) };
        let after = rich(balance);
        let slots = vec![slot];
        let change = AccountDiff { address: HERE, before: None, after, wiped: false, slots };
        StateDiff { accounts: vec![change], codes: Vec::new() }
    }

    #[test]
    fn a_read_that_changed_names_its_writer_and_field() {
        let view = MemoryState::default();
        let none = StateDiff::default();
        let memory = StateMemory::new(Room::default(), &view, &none);
        let slot = |tx, read: u64| memory.stale_slot(HERE, U256::from(7), tx, U256::from(read));
        assert_eq!(memory.stale_account(HERE, 5, None), None, "nobody has written");
        assert_eq!(slot(5, 0), None);
        memory.write(version_of(2), &diff(10, 3), &none, &mut Vec::new());
        // Those before it, and who has read what it wrote.
        assert_eq!(memory.stale_account(HERE, 2, None), None);
        assert_eq!(memory.stale_account(HERE, 3, rich(10)), None);
        assert_eq!(slot(3, 3), None);
        let stale = memory.stale_account(HERE, 3, rich(9)).expect("another balance");
        let expected = (RerunCause::Changed, Some(2), Some(HERE), Some(Field::Balance));
        assert_eq!((stale.cause, stale.by, stale.address, stale.field), expected);
        let field = |read| memory.stale_account(HERE, 3, read).and_then(|stale| stale.field);
        assert_eq!(field(None), Some(Field::Nonce));
        let stale = slot(3, 0).expect("another value");
        assert_eq!((stale.cause, stale.by), (RerunCause::Changed, Some(2)));
        assert_eq!(stale.field, Some(Field::Slot(U256::from(7))));

        // In doubt.
        memory.suspect(version_of(2), &diff(10, 3));
        let stale = memory.stale_account(HERE, 3, rich(10)).expect("in doubt");
        assert_eq!((stale.cause, stale.by, stale.field), (RerunCause::Doubted, Some(2), None));
        let stale = slot(3, 3).expect("in doubt");
        assert_eq!((stale.cause, stale.by), (RerunCause::Doubted, Some(2)));

        // Taken back, and the state below the block has nothing.
        memory.write(version_of(2), &none, &diff(10, 3), &mut Vec::new());
        assert_eq!(memory.stale_account(HERE, 3, None), None);
        let stale = memory.stale_account(HERE, 3, rich(10)).expect("it is gone");
        assert_eq!((stale.cause, stale.by), (RerunCause::Changed, None));
    }

    #[test]
    fn a_slot_that_went_with_its_account_names_who_ended_that() {
        let view = MemoryState::default();
        let none = StateDiff::default();
        let memory = StateMemory::new(Room::default(), &view, &diff(1, 9));
        let slot = |tx, read: u64| memory.stale_slot(HERE, U256::from(7), tx, U256::from(read));
        // By the opening of the block, which is no transaction.
        assert_eq!(slot(0, 0).map(|stale| stale.by), Some(None));
        let ends = AccountDiff {
            address: HERE,
            before: rich(1),
            after: None,
            wiped: true,
            slots: Vec::new(),
        };
        let ended = StateDiff { accounts: vec![ends], codes: Vec::new() };
        memory.write(version_of(4), &ended, &none, &mut Vec::new());
        assert_eq!(slot(4, 9), None);
        assert_eq!(slot(5, 9).map(|stale| stale.by), Some(Some(4)));
        assert_eq!(slot(5, 0), None);
    }
}
