//! The store is broken, or does not have it. Never a verdict on a block.

use fugue_state::StateError;
use fugue_trie::TrieError;
use fugue_types::B256;
use std::path::PathBuf;

/// What the store came upon.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StorageError {
    /// The database, or the system below it, failed.
    #[error("{}: {doing}: {reason}", path.display())]
    Database {
        /// The folder of the database.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// What the database says.
        reason: String,
    },
    /// The disk, or the map of the database, has no room. What was committed before is as it was.
    #[error("{}: no room left: {reason}", path.display())]
    Full {
        /// The folder of the database.
        path: PathBuf,
        /// What the database says.
        reason: String,
    },
    /// The folder may not be written.
    #[error("{}: may not be written: {reason}", path.display())]
    ReadOnly {
        /// The folder of the database.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// Another process has the folder open for writing.
    #[error("{}: in use by another process ({holder})", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// What the lock file says of its holder.
        holder: String,
    },
    /// There is no chain in the folder.
    #[error("{}: no chain here; `fugue init` makes one", path.display())]
    Empty {
        /// The folder of the database.
        path: PathBuf,
    },
    /// Made by a version of Fugue that keeps its data otherwise.
    #[error(
        "the data has schema {found}, this program reads and writes {expected}: have the program \
         that made it export the blocks, and import them into another folder"
    )]
    Schema {
        /// The schema of this program.
        expected: u32,
        /// The schema of the data.
        found: u32,
    },
    /// The data is of another chain.
    #[error("the data is of the chain with genesis {found}, not {expected}")]
    OtherChain {
        /// Genesis hash that was asked for.
        expected: B256,
        /// Genesis hash of the data.
        found: B256,
    },
    /// A row does not have its form, or does not fit the others: the file is damaged.
    #[error("damaged data in table {table}, key {key}: {reason}")]
    Damaged {
        /// The table.
        table: &'static str,
        /// The key, in hex.
        key: String,
        /// What is wrong.
        reason: String,
    },
    /// An entry of a journal is damaged, and is not its half-written end. The file is as it was.
    #[error(
        "{}: the entry at byte {offset} is damaged, and more follows it: move the file away to \
         start without what it holds",
        path.display()
    )]
    DamagedJournal {
        /// The journal.
        path: PathBuf,
        /// Where the entry begins.
        offset: u64,
    },
    /// What is to be committed does not follow what is there. A defect of the caller.
    #[error("the commit does not fit: {0}")]
    Misfit(String),
    /// The database was begun without an index of addresses.
    #[error(
        "there is no index of addresses: a chain has it if its database was begun with \
         --index-addresses (fugue init, fugue import, fugue node)"
    )]
    NotIndexed,
    /// It was kept once.
    #[error("{what} of block {number} is pruned, oldest is {oldest}")]
    Pruned {
        /// What was asked for.
        what: &'static str,
        /// Of which block.
        number: u64,
        /// The oldest block of which it is kept.
        oldest: u64,
    },
    /// The chain does not reach so far.
    #[error("block {number} is above the head, {head}")]
    AboveHead {
        /// What was asked for.
        number: u64,
        /// The head.
        head: u64,
    },
    /// An earlier write failed; nothing is written any more.
    #[error("not written, as an earlier write failed: {0}")]
    Stopped(String),
    /// Whoever asked for it does not want it any more, for this reason.
    #[error("given up: {0}")]
    GivenUp(String),
    /// A failure that a test asked for.
    #[error("failure injected at operation {0}")]
    Injected(u64),
    /// Trie nodes do not fit together.
    #[error(transparent)]
    Trie(#[from] TrieError),
}

impl StorageError {
    /// Whether a write was refused for what it is, and the store is as sound as before.
    pub const fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::Misfit(_)
                | Self::Empty { .. }
                | Self::NotIndexed
                | Self::OtherChain { .. }
                | Self::Pruned { .. }
                | Self::AboveHead { .. }
        )
    }
}

impl From<StorageError> for StateError {
    fn from(error: StorageError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl From<StorageError> for TrieError {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::Trie(error) => error,
            other => Self::Source(other.to_string()),
        }
    }
}
