//! The state before a traced transaction, for those who make a trace of what was recorded.

use crate::{
    CallError, CodeCache, Place, TraceError,
    database::{ReadFault, to_info},
};
use fugue_state::{StateError, StateView};
use fugue_types::{Address, B256, U256};
use revm::{bytecode::Bytecode, database_interface::DatabaseRef, state::AccountInfo};
use std::cell::RefCell;

/// Answers from a view. Its readers pass over some failures as if there were no code, so the first
/// one is kept: [`ViewDatabase::check`] tells of it.
pub(super) struct ViewDatabase<'a> {
    view: &'a dyn StateView,
    codes: &'a CodeCache,
    failure: RefCell<Option<StateError>>,
}

impl<'a> ViewDatabase<'a> {
    pub(super) fn new(place: &Place<'a>) -> Self {
        Self { view: place.view, codes: place.codes, failure: RefCell::default() }
    }

    /// # Errors
    /// The first read that was not answered.
    pub(super) fn check(self) -> Result<(), TraceError> {
        match self.failure.into_inner() {
            Some(error) => Err(TraceError::Call(CallError::State(error))),
            None => Ok(()),
        }
    }

    fn noted<T>(&self, answer: Result<T, StateError>) -> Result<T, ReadFault<StateError>> {
        answer.map_err(|error| {
            self.failure.borrow_mut().get_or_insert_with(|| error.clone());
            ReadFault(error)
        })
    }
}

impl DatabaseRef for ViewDatabase<'_> {
    type Error = ReadFault<StateError>;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, Self::Error> {
        Ok(self.noted(self.view.account(address))?.map(to_info))
    }

    fn code_by_hash_ref(&self, code_hash: B256) -> Result<Bytecode, Self::Error> {
        self.noted(self.codes.get(code_hash, || self.view.code(code_hash)))
    }

    fn storage_ref(&self, address: Address, slot: U256) -> Result<U256, Self::Error> {
        self.noted(self.view.slot(address, slot))
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, Self::Error> {
        self.noted(self.view.block_hash(number))
    }
}
