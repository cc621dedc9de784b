//! What a question assumes of accounts in place of what the state says of them.

use crate::{Account, AccountDiff, SlotDiff, StateDiff, StateError, StateView};
use fugue_types::{Address, Bytes, KECCAK256_EMPTY, U256, keccak256};
use std::collections::BTreeMap;

/// What is assumed of an account; what is `None` is as the state says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AssumedAccount {
    /// Wei.
    pub balance: Option<U256>,
    /// Transactions sent, or contracts made.
    pub nonce: Option<u64>,
    /// Its code; empty is none.
    pub code: Option<Bytes>,
    /// Its slots.
    pub storage: AssumedStorage,
}

/// What is assumed of an account's slots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AssumedStorage {
    /// These slots; all others are as the state says.
    Some(BTreeMap<U256, U256>),
    /// These slots; all others are zero.
    All(BTreeMap<U256, U256>),
}

impl Default for AssumedStorage {
    fn default() -> Self {
        Self::Some(BTreeMap::new())
    }
}

/// The change from a state to what is assumed, in canonical form.
///
/// # Errors
/// If the state cannot be read.
pub fn assumed_diff(
    view: &dyn StateView,
    accounts: &BTreeMap<Address, AssumedAccount>,
) -> Result<StateDiff, StateError> {
    let mut diff = StateDiff::default();
    for (&address, assumed) in accounts {
        let before = view.account(address)?;
        let mut account = before.unwrap_or_default();
        account.balance = assumed.balance.unwrap_or(account.balance);
        account.nonce = assumed.nonce.unwrap_or(account.nonce);
        if let Some(code) = &assumed.code {
            account.code_hash = if code.is_empty() { KECCAK256_EMPTY } else { keccak256(code) };
            if !code.is_empty() {
                diff.codes.push((account.code_hash, code.clone()));
            }
        }
        let (assumed_slots, wiped) = match &assumed.storage {
            AssumedStorage::Some(slots) => (slots, false),
            AssumedStorage::All(slots) => (slots, before.is_some()),
        };
        let mut slots = Vec::with_capacity(assumed_slots.len());
        for (&slot, &after) in assumed_slots {
            let before = if wiped { U256::ZERO } else { view.slot(address, slot)? };
            slots.push(SlotDiff { slot, before, after });
        }
        // An account of which nothing is assumed that would make it exist does not begin to.
        let exists = before.is_some() || account != Account::default() || !slots.is_empty();
        let after = exists.then_some(account);
        diff.accounts.push(AccountDiff { address, before, after, wiped, slots });
    }
    Ok(diff.canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MemoryAccount, MemoryState, Stack};

    const HERE: Address = Address::repeat_byte(1);
    const NOWHERE: Address = Address::repeat_byte(2);

    fn slots(pairs: &[(u64, u64)]) -> BTreeMap<U256, U256> {
        pairs.iter().map(|&(slot, value)| (U256::from(slot), U256::from(value))).collect()
    }

    fn state() -> MemoryState {
        let account = Account { nonce: 3, balance: U256::from(5), ..Account::default() };
        let slots = slots(&[(1, 10), (2, 20)]).into_iter().collect();
        let mut state = MemoryState::default();
        state.accounts.insert(HERE, MemoryAccount { account, slots });
        state
    }

    fn read(assumed: AssumedAccount) -> (Account, [u64; 3]) {
        let state = state();
        let diff = assumed_diff(&state, &BTreeMap::from([(HERE, assumed)])).expect("memory");
        let view = Stack::new([&diff], &state);
        let account = view.account(HERE).expect("memory").unwrap_or_default();
        let slot = |slot: u64| view.slot(HERE, U256::from(slot)).expect("memory").to::<u64>();
        (account, [slot(1), slot(2), slot(3)])
    }

    #[test]
    fn what_is_not_assumed_is_as_the_state_says() {
        let assumed = AssumedAccount { nonce: Some(9), ..AssumedAccount::default() };
        let (account, slots) = read(assumed);
        assert_eq!((account.nonce, account.balance, slots), (9, U256::from(5), [10, 20, 0]));
    }

    #[test]
    fn some_slots_leave_the_others_and_all_do_not() {
        let some = AssumedStorage::Some(slots(&[(2, 7), (3, 8)]));
        assert_eq!(read(AssumedAccount { storage: some, ..Default::default() }).1, [10, 7, 8]);
        let all = AssumedStorage::All(slots(&[(2, 7)]));
        assert_eq!(read(AssumedAccount { storage: all, ..Default::default() }).1, [0, 7, 0]);
    }

    #[test]
    fn code_is_found_by_its_hash() {
        let (state, code) = (state(), Bytes::from_static(&[1, 2]));
        let assumed = AssumedAccount { code: Some(code.clone()), ..Default::default() };
        let diff = assumed_diff(&state, &BTreeMap::from([(NOWHERE, assumed)])).expect("memory");
        let view = Stack::new([&diff], &state);
        let account = view.account(NOWHERE).expect("memory").expect("it is there");
        assert_eq!(view.code(account.code_hash), Ok(code));
    }

    /// So that a contract that is created there finds what is stored (EIP-7610).
    #[test]
    fn an_account_of_which_slots_alone_are_assumed_is_there() {
        let (state, storage) = (state(), AssumedStorage::Some(slots(&[(1, 7)])));
        let assumed = AssumedAccount { storage, ..Default::default() };
        let diff = assumed_diff(&state, &BTreeMap::from([(NOWHERE, assumed)])).expect("memory");
        let view = Stack::new([&diff], &state);
        assert_eq!(view.account(NOWHERE), Ok(Some(Account::default())));
        assert_eq!(view.has_storage(NOWHERE), Ok(true));
    }

    #[test]
    fn nothing_assumed_changes_nothing() {
        let nothing = BTreeMap::from([
            (HERE, AssumedAccount::default()),
            (NOWHERE, AssumedAccount::default()),
        ]);
        assert_eq!(assumed_diff(&state(), &nothing), Ok(StateDiff::default()));
    }
}
