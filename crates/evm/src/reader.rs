//! What a kernel reads from, and the log of what it read.

use crate::bytes;
use fugue_state::{Account, StateError, StateView};
use fugue_types::{Address, B256, Bytes, U256};

/// Reads of one worker. Unlike a [`StateView`] it may keep notes, and it may refuse to answer for
/// reasons of its own (a value that is still being computed).
pub trait StateReader {
    /// Why a read was not answered.
    type Error: std::error::Error + Send + Sync + 'static;

    /// The account, or `None` if it does not exist.
    fn account(&mut self, address: Address) -> Result<Option<Account>, Self::Error>;
    /// The slot's value; zero if it does not exist.
    fn slot(&mut self, address: Address, slot: U256) -> Result<U256, Self::Error>;
    /// Whether any slot of the account is not zero.
    fn has_storage(&mut self, address: Address) -> Result<bool, Self::Error>;
    /// The code with this keccak256, never the empty one.
    fn code(&mut self, code_hash: B256) -> Result<Bytes, Self::Error>;
    /// The hash of the ancestor with this number.
    fn block_hash(&mut self, number: u64) -> Result<B256, Self::Error>;

    /// Asked before what takes long and reads nothing: an error ends what runs, as that of a read.
    fn check(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
}

/// Reads straight from a view.
#[derive(Debug, Clone, Copy)]
pub struct ViewReader<V>(pub V);

impl<V: StateView> StateReader for ViewReader<V> {
    type Error = StateError;

    fn account(&mut self, address: Address) -> Result<Option<Account>, StateError> {
        self.0.account(address)
    }

    fn slot(&mut self, address: Address, slot: U256) -> Result<U256, StateError> {
        self.0.slot(address, slot)
    }

    fn has_storage(&mut self, address: Address) -> Result<bool, StateError> {
        self.0.has_storage(address)
    }

    fn code(&mut self, code_hash: B256) -> Result<Bytes, StateError> {
        self.0.code(code_hash)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, StateError> {
        self.0.block_hash(number)
    }

    fn check(&mut self) -> Result<(), StateError> {
        self.0.check()
    }
}

/// Every account and slot that was read since the changes were last taken, with the value found.
/// The journal asks once for each, so the log has no duplicates.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReadLog {
    /// Accounts read.
    pub accounts: Vec<(Address, Option<Account>)>,
    /// Slots read.
    pub slots: Vec<(Address, U256, U256)>,
    /// From Amsterdam on, and where accesses are listed: all slots that were looked at or stored,
    /// those too of accounts that began since, which are zero without being read.
    pub seen: Vec<(Address, U256)>,
}

impl ReadLog {
    /// Forgets all, keeping the room that it took.
    pub(crate) fn clear(&mut self) {
        let Self { accounts, slots, seen } = self;
        accounts.clear();
        slots.clear();
        seen.clear();
    }

    /// Gives back room beyond this many accounts, and as many slots.
    pub(crate) fn shrink_to(&mut self, reads: usize) {
        let Self { accounts, slots, seen } = self;
        accounts.shrink_to(reads);
        slots.shrink_to(reads);
        seen.shrink_to(reads);
    }

    /// Bytes that it has taken.
    pub(crate) const fn memory_bytes(&self) -> usize {
        let Self { accounts, slots, seen } = self;
        bytes::of_vec(accounts) + bytes::of_vec(slots) + bytes::of_vec(seen)
    }
}
