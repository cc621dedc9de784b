//! Why a block was not imported.

use fugue_executor::{BlockError, InvalidBlock};
use fugue_state::{DiffError, StateError};
use fugue_storage::StorageError;
use fugue_trie::{StepsError, TrieError};
use fugue_types::B256;
use fugue_validation::{Mismatch, Rule};

/// A rule that a block breaks. Found, or confirmed, by sequential execution.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidReason {
    /// Header or body, by themselves or as the child of their parent.
    #[error("{0}")]
    Header(Mismatch),
    /// A transaction, a system call, or what follows from them.
    #[error("{0}")]
    Execution(InvalidBlock),
    /// What execution gave is not what the header says; every difference.
    #[error("{}", list(.0))]
    Outcome(Vec<Mismatch>),
    /// The state after the block is not the header's.
    #[error("stateRoot: expected {expected}, found {found}")]
    StateRoot {
        /// The header's.
        expected: B256,
        /// The one of the state that execution gave.
        found: B256,
    },
    /// Its parent is invalid.
    #[error("its parent {0} is invalid")]
    Parent(B256),
}

fn list(mismatches: &[Mismatch]) -> String {
    mismatches.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl InvalidReason {
    /// Names that the official tests use for this reason.
    pub fn names(&self) -> Vec<&'static str> {
        match self {
            Self::Header(mismatch) => mismatch.names().to_vec(),
            Self::Execution(invalid) => invalid.names().to_vec(),
            Self::Outcome(mismatches) => {
                mismatches.iter().flat_map(|mismatch| mismatch.names()).copied().collect()
            }
            Self::StateRoot { .. } => Rule::StateRoot.names().to_vec(),
            Self::Parent(_) => Vec::new(),
        }
    }
}

/// A block was not imported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// The block breaks a rule.
    #[error("block {number} ({hash}) is invalid: {reason}")]
    Invalid {
        /// Its number.
        number: u64,
        /// Its hash.
        hash: B256,
        /// The rule.
        reason: Box<InvalidReason>,
    },
    /// Its parent is not known. Says nothing about the block.
    #[error("block {number} ({hash}): its parent {parent} is not known")]
    UnknownParent {
        /// Its number.
        number: u64,
        /// Its hash.
        hash: B256,
        /// The parent that its header names.
        parent: B256,
    },
    /// It builds on a block too far below the durable head. Says nothing about the block.
    #[error("block {number} is too far below the durable head, {head}, to be built upon")]
    TooDeep {
        /// The durable block below it.
        number: u64,
        /// The durable head.
        head: u64,
    },
    /// Its branch, which is not heavier than the chain, takes too much memory. Says nothing about
    /// the block.
    #[error("block {number} ({hash}): its branch beside the chain is too long to be kept")]
    BranchTooLong {
        /// Its number.
        number: u64,
        /// Its hash.
        hash: B256,
    },
    /// A block that leads up to the head of the journal's fork choice is not invalid, and cannot be
    /// imported. Says nothing about the block.
    #[error(
        "the journal does not go with the database, and stays as it is: {0}; without its file the \
         node starts at the newest block of the database"
    )]
    Journal(Box<ImportError>),
    /// The store failed. Says nothing about the block.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The state could not answer. Says nothing about the block.
    #[error("state: {0}")]
    State(#[from] StateError),
    /// The root could not be computed. Says nothing about the block.
    #[error(transparent)]
    Trie(#[from] TrieError),
    /// A defect of ours. Says nothing about the block.
    #[error("internal: {0}")]
    Internal(String),
}

impl ImportError {
    /// Whether it says that a block is invalid for its parent alone.
    pub(crate) fn is_of_parent(&self) -> bool {
        match self {
            Self::Invalid { reason, .. } => matches!(**reason, InvalidReason::Parent(_)),
            _ => false,
        }
    }
}

impl From<StepsError> for ImportError {
    fn from(error: StepsError) -> Self {
        match error {
            StepsError::Trie(error) => error.into(),
            StepsError::Diff(error) => error.into(),
        }
    }
}

impl From<DiffError> for ImportError {
    fn from(error: DiffError) -> Self {
        Self::Internal(error.to_string())
    }
}

/// An error inside of an import, before the block is named.
#[derive(Debug)]
pub(crate) enum Fault {
    Invalid(InvalidReason),
    Broken(ImportError),
}

impl<E: Into<ImportError>> From<E> for Fault {
    fn from(error: E) -> Self {
        Self::Broken(error.into())
    }
}

impl From<BlockError> for Fault {
    fn from(error: BlockError) -> Self {
        match error {
            BlockError::Invalid(invalid) => Self::Invalid(InvalidReason::Execution(invalid)),
            BlockError::State(error) => Self::Broken(error.into()),
            BlockError::Internal(message) => Self::Broken(ImportError::Internal(message)),
        }
    }
}

impl From<Mismatch> for Fault {
    fn from(mismatch: Mismatch) -> Self {
        Self::Invalid(InvalidReason::Header(mismatch))
    }
}

impl Fault {
    pub(crate) fn of_block(self, number: u64, hash: B256) -> ImportError {
        match self {
            Self::Invalid(reason) => {
                ImportError::Invalid { number, hash, reason: Box::new(reason) }
            }
            Self::Broken(error) => error,
        }
    }
}
