//! What a transition may ask of the state before it.

use crate::Account;
use fugue_types::{Address, B256, Bytes, HashSet, U256};

/// Slots of one account.
pub type SlotSet = HashSet<U256>;

/// The state could not answer. Never a verdict on a block.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// A code that an account names is not there.
    #[error("the state has no code {0}")]
    CodeMissing(B256),
    /// An ancestor's hash that is needed is not there.
    #[error("the state has no hash of block {0}")]
    BlockHashMissing(u64),
    /// What keeps the state failed, or does not have this part of it.
    #[error("{0}")]
    Unavailable(String),
}

/// Reads of one world state. Immutable while it is borrowed; many threads may call it at once.
pub trait StateView: Send + Sync {
    /// The account, or `None` if it does not exist.
    ///
    /// # Errors
    /// Only if the state cannot answer; absence is not an error.
    fn account(&self, address: Address) -> Result<Option<Account>, StateError>;

    /// The slot's value; zero if it, or its account, does not exist.
    ///
    /// # Errors
    /// Only if the state cannot answer.
    fn slot(&self, address: Address, slot: U256) -> Result<U256, StateError>;

    /// Whether any slot of the account is not zero. Source: EIP-7610.
    ///
    /// # Errors
    /// Only if the state cannot answer.
    fn has_storage(&self, address: Address) -> Result<bool, StateError> {
        self.has_storage_beside(address, &SlotSet::default())
    }

    /// Whether any slot of the account is not zero but these, which were emptied since: who has no
    /// code any more may have stored before. A view that cannot tell the others from these says yes
    /// if there is any at all.
    ///
    /// # Errors
    /// Only if the state cannot answer.
    fn has_storage_beside(&self, address: Address, emptied: &SlotSet) -> Result<bool, StateError>;

    /// The code with this keccak256. Never asked for the empty code.
    ///
    /// # Errors
    /// [`StateError::CodeMissing`] if it is not there.
    fn code(&self, code_hash: B256) -> Result<Bytes, StateError>;

    /// The hash of the ancestor with this number.
    ///
    /// # Errors
    /// [`StateError::BlockHashMissing`] if it is not there.
    fn block_hash(&self, number: u64) -> Result<B256, StateError>;

    /// Whether it would answer at all: for who has much to do and nothing to read. A view that
    /// never refuses says yes; one over another asks that one.
    ///
    /// # Errors
    /// That of a read which is refused, whatever it is of.
    fn check(&self) -> Result<(), StateError> {
        Ok(())
    }
}

impl<V: StateView + ?Sized> StateView for &V {
    fn account(&self, address: Address) -> Result<Option<Account>, StateError> {
        (**self).account(address)
    }

    fn slot(&self, address: Address, slot: U256) -> Result<U256, StateError> {
        (**self).slot(address, slot)
    }

    fn has_storage_beside(&self, address: Address, emptied: &SlotSet) -> Result<bool, StateError> {
        (**self).has_storage_beside(address, emptied)
    }

    fn code(&self, code_hash: B256) -> Result<Bytes, StateError> {
        (**self).code(code_hash)
    }

    fn block_hash(&self, number: u64) -> Result<B256, StateError> {
        (**self).block_hash(number)
    }

    fn check(&self) -> Result<(), StateError> {
        (**self).check()
    }
}
