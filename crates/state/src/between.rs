//! Views that stand between a reader and a state, and change one thing of it.

use crate::{Account, SlotSet, StateError, StateView};
use fugue_types::{Address, B256, Bytes, U256};

/// What a state is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Question {
    /// For the account.
    Account(Address),
    /// For a slot of the account.
    Slot(Address, U256),
    /// Whether the account has storage.
    HasStorage(Address),
    /// For the code with this keccak256.
    Code(B256),
    /// For the hash of the ancestor with this number.
    BlockHash(u64),
    /// For nothing, but whether it would answer ([`StateView::check`]).
    Check,
}

/// A state whose guard hears each question before it is asked, and may refuse it.
pub struct Guarded<'v, G> {
    view: &'v dyn StateView,
    guard: G,
}

/// A state whose ancestors' hashes come from elsewhere.
pub struct HashesFrom<'v, H> {
    view: &'v dyn StateView,
    hash: H,
}

impl<G> std::fmt::Debug for Guarded<'_, G> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guarded").finish_non_exhaustive()
    }
}

impl<H> std::fmt::Debug for HashesFrom<'_, H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HashesFrom").finish_non_exhaustive()
    }
}

impl<'v, G: Fn(Question) -> Result<(), StateError> + Send + Sync> Guarded<'v, G> {
    /// Every read begins with the guard, whose error it gives.
    pub const fn new(view: &'v dyn StateView, guard: G) -> Self {
        Self { view, guard }
    }
}

impl<'v, H: Fn(u64) -> Result<B256, StateError> + Send + Sync> HashesFrom<'v, H> {
    /// `hash` gives the hash of the ancestor with a number.
    pub const fn new(view: &'v dyn StateView, hash: H) -> Self {
        Self { view, hash }
    }
}

impl<G: Fn(Question) -> Result<(), StateError> + Send + Sync> StateView for Guarded<'_, G> {
    fn account(&self, address: Address) -> Result<Option<Account>, StateError> {
        (self.guard)(Question::Account(address))?;
        self.view.account(address)
    }

    fn slot(&self, address: Address, slot: U256) -> Result<U256, StateError> {
        (self.guard)(Question::Slot(address, slot))?;
        self.view.slot(address, slot)
    }

    fn has_storage_beside(&self, address: Address, emptied: &SlotSet) -> Result<bool, StateError> {
        (self.guard)(Question::HasStorage(address))?;
        self.view.has_storage_beside(address, emptied)
    }

    fn code(&self, code_hash: B256) -> Result<Bytes, StateError> {
        (self.guard)(Question::Code(code_hash))?;
        self.view.code(code_hash)
    }

    fn block_hash(&self, number: u64) -> Result<B256, StateError> {
        (self.guard)(Question::BlockHash(number))?;
        self.view.block_hash(number)
    }

    fn check(&self) -> Result<(), StateError> {
        (self.guard)(Question::Check)?;
        self.view.check()
    }
}

impl<H: Fn(u64) -> Result<B256, StateError> + Send + Sync> StateView for HashesFrom<'_, H> {
    fn account(&self, address: Address) -> Result<Option<Account>, StateError> {
        self.view.account(address)
    }

    fn slot(&self, address: Address, slot: U256) -> Result<U256, StateError> {
        self.view.slot(address, slot)
    }

    fn has_storage_beside(&self, address: Address, emptied: &SlotSet) -> Result<bool, StateError> {
        self.view.has_storage_beside(address, emptied)
    }

    fn code(&self, code_hash: B256) -> Result<Bytes, StateError> {
        self.view.code(code_hash)
    }

    fn block_hash(&self, number: u64) -> Result<B256, StateError> {
        (self.hash)(number)
    }

    fn check(&self) -> Result<(), StateError> {
        self.view.check()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Layer, MemoryState, Overlay, Stack};
    use std::sync::Mutex;

    #[test]
    fn what_lies_over_a_guarded_state_refuses_with_it() {
        let (state, layer) = (MemoryState::default(), Layer::default());
        let refusal = StateError::Unavailable("over".to_owned());
        let guarded = Guarded::new(&state, |_| Err(refusal.clone()));
        let hashes = HashesFrom::new(&guarded, |_| Ok(B256::ZERO));
        let (stack, overlay) = (Stack::new([], &guarded), Overlay::new(&guarded));
        let (borrowed, layered) = (&guarded, layer.over(&guarded));
        let guarded_twice = Guarded::new(&guarded, |_| Ok(()));
        let views: [&dyn StateView; 7] =
            [&guarded, &borrowed, &guarded_twice, &hashes, &stack, &overlay, &layered];
        for (index, view) in views.into_iter().enumerate() {
            assert_eq!(view.check(), Err(refusal.clone()), "{index}");
        }
        assert_eq!(Overlay::new(&state).check(), Ok(()));
    }

    #[test]
    fn the_guard_hears_what_is_asked_and_is_asked_first() {
        let (address, slot, hash) = (Address::repeat_byte(1), U256::from(2), B256::repeat_byte(3));
        let missing = StateError::CodeMissing(hash);
        let (state, heard) = (MemoryState::default(), Mutex::new(Vec::new()));
        let guarded = Guarded::new(&state, |question| {
            heard.lock().unwrap().push(question);
            match question {
                Question::BlockHash(_) => Err(StateError::Unavailable("refused".to_owned())),
                _ => Ok(()),
            }
        });
        assert_eq!(guarded.account(address), Ok(None));
        assert_eq!(guarded.slot(address, slot), Ok(U256::ZERO));
        assert_eq!(guarded.has_storage(address), Ok(false));
        assert_eq!(guarded.code(hash), Err(missing));
        // The state would say that it has none.
        let refused = StateError::Unavailable("refused".to_owned());
        assert_eq!(guarded.block_hash(4), Err(refused));
        assert_eq!(guarded.check(), Ok(()));
        let asked = [
            Question::Account(address),
            Question::Slot(address, slot),
            Question::HasStorage(address),
            Question::Code(hash),
            Question::BlockHash(4),
            Question::Check,
        ];
        assert_eq!(heard.into_inner().unwrap(), asked);
    }
}
