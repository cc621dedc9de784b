//! Why a root or a proof could not be computed. Never a verdict on a block.

use crate::Nibbles;
use fugue_types::B256;

/// What a trie came upon.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrieError {
    /// A node that is needed is not to be had.
    #[error("no trie node at {path} of {}", name(owner))]
    Missing {
        /// Hash of the address whose storage trie it is; `None` for the trie of the accounts.
        owner: Option<B256>,
        /// Nibbles from the root, in hex.
        path: String,
    },
    /// A node's bytes are not those of a node.
    #[error("damaged trie node at {path} of {}: {reason}", name(owner))]
    Damaged {
        /// As in [`TrieError::Missing`].
        owner: Option<B256>,
        /// As in [`TrieError::Missing`].
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// What keeps the nodes failed.
    #[error("reading trie nodes: {0}")]
    Source(String),
}

impl TrieError {
    /// No node is at this path.
    pub fn missing(owner: Option<B256>, path: &Nibbles) -> Self {
        Self::Missing { owner, path: hex(path) }
    }

    /// The node at this path is not what it must be.
    pub fn damaged(owner: Option<B256>, path: &Nibbles, reason: impl ToString) -> Self {
        Self::Damaged { owner, path: hex(path), reason: reason.to_string() }
    }
}

/// A path for people: one hex digit a nibble.
fn hex(path: &Nibbles) -> String {
    path.to_vec().into_iter().filter_map(|nibble| char::from_digit(nibble.into(), 16)).collect()
}

fn name(owner: &Option<B256>) -> String {
    owner.map_or_else(|| "the accounts".to_owned(), |owner| format!("the storage of {owner}"))
}
