//! Notes what is read of a state, to make a smaller state of it.

use fugue_archive::{PreAccount, PreState};
use fugue_state::{Account, SlotSet, StateError, StateView};
use fugue_types::{Address, B256, B256Map, Bytes, U256};
use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// The slot that stands for the storage of an account that was asked for some (EIP-7610), and of
/// which no slot was read that is not zero.
const SOME_SLOT: U256 = U256::MAX;

/// A state that keeps what it answers.
pub(super) struct Noting<'v> {
    view: &'v dyn StateView,
    answers: Mutex<Answers>,
}

/// As large as what one block reads.
#[derive(Default)]
struct Answers {
    accounts: BTreeMap<Address, Option<Account>>,
    slots: BTreeMap<(Address, U256), U256>,
    with_storage: BTreeSet<Address>,
    codes: B256Map<Bytes>,
    block_hashes: BTreeMap<u64, B256>,
}

/// What was read.
pub(super) struct Noted {
    pub(super) state: PreState,
    pub(super) block_hashes: BTreeMap<u64, B256>,
}

impl<'v> Noting<'v> {
    pub(super) fn new(view: &'v dyn StateView) -> Self {
        Self { view, answers: Mutex::default() }
    }

    fn answers(&self) -> MutexGuard<'_, Answers> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The accounts, slots, codes and hashes that were read. An account whose code nobody ran has
    /// it all the same, unless the state does not know it: a witness need not have it.
    ///
    /// # Errors
    /// If the state cannot answer.
    pub(super) fn end(self) -> Result<Noted, StateError> {
        let Self { view, answers } = self;
        let answers = answers.into_inner().unwrap_or_else(PoisonError::into_inner);
        let Answers { mut accounts, slots, with_storage, mut codes, block_hashes } = answers;
        let owners = slots.keys().map(|(owner, _)| *owner).chain(with_storage.iter().copied());
        for owner in owners {
            if let Entry::Vacant(place) = accounts.entry(owner) {
                place.insert(view.account(owner)?);
            }
        }
        let mut state = PreState::default();
        for (address, account) in accounts {
            let Some(account) = account else { continue };
            let Account { nonce, balance, code_hash } = account;
            let code = if account.has_code() {
                codes.get(&code_hash).cloned().or_else(|| view.code(code_hash).ok())
            } else {
                None
            };
            let code_hash = code.as_ref().map(|_| code_hash);
            codes.extend(code_hash.zip(code));
            let storage = BTreeMap::new();
            state.accounts.insert(address, PreAccount { balance, nonce, code_hash, storage });
        }
        for ((owner, slot), value) in slots {
            if let Some(account) = state.accounts.get_mut(&owner)
                && !value.is_zero()
            {
                account.storage.insert(slot, value);
            }
        }
        for owner in with_storage {
            if let Some(account) = state.accounts.get_mut(&owner)
                && account.storage.is_empty()
            {
                account.storage.insert(SOME_SLOT, U256::from(1));
            }
        }
        state.codes = codes;
        Ok(Noted { state, block_hashes })
    }
}

impl StateView for Noting<'_> {
    fn account(&self, address: Address) -> Result<Option<Account>, StateError> {
        let account = self.view.account(address)?;
        self.answers().accounts.insert(address, account);
        Ok(account)
    }

    fn slot(&self, address: Address, slot: U256) -> Result<U256, StateError> {
        let value = self.view.slot(address, slot)?;
        self.answers().slots.insert((address, slot), value);
        Ok(value)
    }

    fn has_storage_beside(&self, address: Address, emptied: &SlotSet) -> Result<bool, StateError> {
        let has_storage = self.view.has_storage_beside(address, emptied)?;
        if has_storage {
            self.answers().with_storage.insert(address);
        }
        Ok(has_storage)
    }

    fn code(&self, code_hash: B256) -> Result<Bytes, StateError> {
        let code = self.view.code(code_hash)?;
        self.answers().codes.insert(code_hash, code.clone());
        Ok(code)
    }

    fn block_hash(&self, number: u64) -> Result<B256, StateError> {
        let hash = self.view.block_hash(number)?;
        self.answers().block_hashes.insert(number, hash);
        Ok(hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fugue_state::{MemoryAccount, MemoryState};
    use fugue_types::{HashMap, keccak256};

    #[test]
    fn what_was_read_is_a_state_of_its_own() {
        let code = Bytes::from_static(&[0x5b, 0x00]);
        let lost = B256::repeat_byte(0xaa);
        let account = |nonce, code_hash| Account { nonce, code_hash, balance: U256::from(5) };
        let slots = |list: &[(u64, u64)]| -> HashMap<U256, U256> {
            list.iter().map(|(slot, value)| (U256::from(*slot), U256::from(*value))).collect()
        };
        let [with_code, without, with_lost, alone, absent] =
            [1, 2, 3, 4, 5].map(Address::repeat_byte);
        let mut before = MemoryState::default();
        let plain = Account::default().code_hash;
        for (address, account, slots) in [
            (with_code, account(1, keccak256(&code)), slots(&[(1, 7), (2, 8)])),
            (without, account(2, plain), slots(&[])),
            (with_lost, account(3, lost), slots(&[(3, 1)])),
            (alone, account(4, plain), slots(&[])),
        ] {
            before.accounts.insert(address, MemoryAccount { account, slots });
        }
        before.codes.insert(keccak256(&code), code.clone());
        before.block_hashes.insert(9, lost);

        let noting = Noting::new(&before);
        // The account of the first one is not asked for, nor is its code.
        assert_eq!(noting.slot(with_code, U256::from(1)), Ok(U256::from(7)));
        assert_eq!(noting.slot(with_code, U256::from(5)), Ok(U256::ZERO));
        noting.account(without).expect("an answer");
        assert_eq!(noting.account(absent), Ok(None));
        assert_eq!(noting.has_storage(with_lost), Ok(true));
        assert_eq!(noting.has_storage(without), Ok(false));
        assert_eq!(noting.block_hash(9), Ok(lost));
        assert!(noting.code(lost).is_err());
        let Noted { state, block_hashes } = noting.end().expect("an answer");

        let pre = |nonce, code_hash, storage: &[(U256, u64)]| PreAccount {
            balance: U256::from(5),
            nonce,
            code_hash,
            storage: storage.iter().map(|(slot, value)| (*slot, U256::from(*value))).collect(),
        };
        let expected = [
            (with_code, pre(1, Some(keccak256(&code)), &[(U256::from(1), 7)])),
            (without, pre(2, None, &[])),
            (with_lost, pre(3, None, &[(SOME_SLOT, 1)])),
        ];
        assert_eq!(state.accounts, BTreeMap::from(expected));
        assert!(!state.is_complete);
        let codes: Vec<_> = state.codes.into_iter().collect();
        assert_eq!(codes, [(keccak256(&code), code)]);
        assert_eq!(block_hashes, BTreeMap::from([(9, lost)]));
    }
}
