//! Views that stand between a reader and a state, and change one thing of it.

use crate::{Account, SlotSet, StateError, StateView};
use fugue_types::{Address, B256, Bytes, U256};

/// A state that answers while a check lets it.
pub struct Guarded<'v, C> {
    view: &'v dyn StateView,
    check: C,
}

/// A state whose ancestors' hashes come from elsewhere.
pub struct HashesFrom<'v, H> {
    view: &'v dyn StateView,
    hash: H,
}

impl<C> std::fmt::Debug for Guarded<'_, C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guarded").finish_non_exhaustive()
    }
}

impl<H> std::fmt::Debug for HashesFrom<'_, H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HashesFrom").finish_non_exhaustive()
    }
}

impl<'v, C: Fn() -> Result<(), StateError> + Send + Sync> Guarded<'v, C> {
    /// Every read begins with the check, whose error it gives.
    pub const fn new(view: &'v dyn StateView, check: C) -> Self {
        Self { view, check }
    }
}

impl<'v, H: Fn(u64) -> Result<B256, StateError> + Send + Sync> HashesFrom<'v, H> {
    /// `hash` gives the hash of the ancestor with a number.
    pub const fn new(view: &'v dyn StateView, hash: H) -> Self {
        Self { view, hash }
    }
}

impl<C: Fn() -> Result<(), StateError> + Send + Sync> StateView for Guarded<'_, C> {
    fn account(&self, address: Address) -> Result<Option<Account>, StateError> {
        (self.check)()?;
        self.view.account(address)
    }

    fn slot(&self, address: Address, slot: U256) -> Result<U256, StateError> {
        (self.check)()?;
        self.view.slot(address, slot)
    }

    fn has_storage_beside(&self, address: Address, emptied: &SlotSet) -> Result<bool, StateError> {
        (self.check)()?;
        self.view.has_storage_beside(address, emptied)
    }

    fn code(&self, code_hash: B256) -> Result<Bytes, StateError> {
        (self.check)()?;
        self.view.code(code_hash)
    }

    fn block_hash(&self, number: u64) -> Result<B256, StateError> {
        (self.check)()?;
        self.view.block_hash(number)
    }

    fn check(&self) -> Result<(), StateError> {
        (self.check)()?;
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

    #[test]
    fn what_lies_over_a_guarded_state_refuses_with_it() {
        let (state, layer) = (MemoryState::default(), Layer::default());
        let refusal = StateError::Unavailable("over".to_owned());
        let guarded = Guarded::new(&state, || Err(refusal.clone()));
        let hashes = HashesFrom::new(&guarded, |_| Ok(B256::ZERO));
        let (stack, overlay) = (Stack::new([], &guarded), Overlay::new(&guarded));
        let (borrowed, layered) = (&guarded, layer.over(&guarded));
        let guarded_twice = Guarded::new(&guarded, || Ok(()));
        let views: [&dyn StateView; 7] =
            [&guarded, &borrowed, &guarded_twice, &hashes, &stack, &overlay, &layered];
        for (index, view) in views.into_iter().enumerate() {
            assert_eq!(view.check(), Err(refusal.clone()), "{index}");
        }
        assert_eq!(Overlay::new(&state).check(), Ok(()));
    }
}
