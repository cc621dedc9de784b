//! Who has changed each field of the hot accounts last: for whoever wants to know who disturbed
//! whom. Settling itself does without.

use crate::{Field, StateField};
use fugue_evm::{AccountTouch, SlotTouch};
use fugue_types::{Address, AddressMap, HashMap, U256};

/// Indices of transactions, as of what is settled so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Changers {
    fields: HashMap<StateField, usize>,
    /// Who has destroyed or created an account last, and all of its slots with it.
    renewed: AddressMap<usize>,
}

impl Changers {
    /// A transaction has done this to an account.
    pub(super) fn add(&mut self, touch: &AccountTouch, index: usize) {
        let AccountTouch { address, before, after, is_created, is_destroyed, .. } = touch;
        let (before, after) = (before.unwrap_or_default(), after.unwrap_or_default());
        let changed = [
            (Field::Nonce, before.nonce != after.nonce),
            (Field::Balance, before.balance != after.balance),
            (Field::Code, before.code_hash != after.code_hash),
        ];
        for (field, _) in changed.into_iter().filter(|(_, is_other)| *is_other) {
            self.note(*address, field, index);
        }
        if *is_created || *is_destroyed {
            self.renewed.insert(*address, index);
        }
    }

    /// And this to a slot.
    pub(super) fn add_slot(&mut self, touch: &SlotTouch, index: usize) {
        self.note(touch.address, Field::Slot(touch.slot), index);
    }

    /// It has paid this fee.
    pub(super) fn add_payment(&mut self, to: Address, fee: U256, index: usize) {
        if !fee.is_zero() {
            self.note(to, Field::Balance, index);
        }
    }

    /// What lanes did to an account is gone through when it becomes hot, after later payments to
    /// the fee recipient.
    fn note(&mut self, address: Address, field: Field, index: usize) {
        let last = self.fields.entry(StateField { address, field }).or_default();
        *last = index.max(*last);
    }

    /// Who has changed a field last; `None` if nobody has, or it was not noted.
    pub(super) fn last(&self, address: Address, field: Field) -> Option<usize> {
        let last = self.fields.get(&StateField { address, field }).copied();
        last.max(self.renewed.get(&address).copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fugue_state::Account;

    const HERE: Address = Address::repeat_byte(0xc0);

    fn touch(before: Option<Account>, after: Option<Account>) -> AccountTouch {
        AccountTouch {
            address: HERE,
            before,
            after,
            spends: U256::ZERO,
            is_balance_seen: false,
            is_nonce_seen: false,
            is_created: false,
            is_destroyed: before.is_some() && after.is_none(),
        }
    }

    #[test]
    fn each_field_has_a_changer_of_its_own() {
        let mut changers = Changers::default();
        let poor = Account { nonce: 1, ..Account::default() };
        let rich = Account { balance: U256::from(5), ..poor };
        let slot = |slot: u64| Field::Slot(U256::from(slot));
        changers.add(&touch(None, Some(poor)), 1);
        changers.add(&touch(Some(poor), Some(rich)), 2);
        // It looks alone.
        changers.add(&touch(Some(rich), Some(rich)), 3);
        let (before, after) = (U256::ZERO, U256::ONE);
        let written = SlotTouch { address: HERE, slot: U256::from(7), before, after };
        changers.add_slot(&written, 4);
        let fields = [Field::Nonce, Field::Balance, Field::Code, slot(7), slot(8)];
        let last = |changers: &Changers| fields.map(|field| changers.last(HERE, field));
        assert_eq!(last(&changers), [Some(1), Some(2), None, Some(4), None]);
        for (fee, expected) in [(0, 2), (9, 6)] {
            changers.add_payment(HERE, U256::from(fee), 6);
            assert_eq!(changers.last(HERE, Field::Balance), Some(expected), "{fee}");
        }
        // What comes to be known later may have been earlier.
        changers.add(&touch(Some(poor), Some(rich)), 5);
        assert_eq!(changers.last(HERE, Field::Balance), Some(6));
        // Whoever ends it ends all that it has.
        changers.add(&touch(Some(rich), None), 8);
        assert_eq!(last(&changers), [Some(8); 5]);
        assert_eq!(changers.last(Address::ZERO, Field::Balance), None);
    }
}
