//! What is wrong with an access list.

use crate::Divergence;
use alloy_eips::eip7928::BlockAccessListValidationError;
use fugue_types::{Address, U256};

/// Why a block does not run by its access list. No verdict on the block: the list of its sequential
/// run is what the header is compared with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListFault {
    /// It is out of order, has something twice, or an index that the block does not have.
    #[error(transparent)]
    Structure(Box<BlockAccessListValidationError>),
    /// More accounts and slots than it may have.
    #[error("{items} items, {max} at most")]
    Items {
        /// Accounts and slots in it.
        items: u64,
        /// How many there may be.
        max: u64,
    },
    /// More changes than a block with its gas limit can make.
    #[error("{changes} changes, {max} at most")]
    Changes {
        /// Changes of slots and of fields of accounts in it.
        changes: u64,
        /// How many there may be.
        max: u64,
    },
    /// A code that is larger than any that can be deployed.
    #[error("account {address}: a code of {bytes} bytes, {max} at most")]
    CodeSize {
        /// Whose code.
        address: Address,
        /// Its size.
        bytes: usize,
        /// How many there may be.
        max: usize,
    },
    /// A step of the block does not do what the list says, or looks at what the list does not have.
    #[error("step {step}: {what}")]
    Step {
        /// Its index in the list: 0 for the opening of the block, from 1 on its transactions, then
        /// its closing.
        step: usize,
        /// Transaction, account, slot, field, and both values: expected is what the step did, found
        /// what the list has.
        what: Box<Divergence>,
    },
    /// An entry that nothing in the block looks at.
    #[error("account {address}{}: listed, and nothing looks at it", of_slot(.slot))]
    Untouched {
        /// The account.
        address: Address,
        /// The slot, if it is one.
        slot: Option<U256>,
    },
}

fn of_slot(slot: &Option<U256>) -> String {
    slot.as_ref().map(|slot| format!(", slot {slot:#x}")).unwrap_or_default()
}
