//! Where the blinded part of a trie comes from.

use crate::{
    Nibbles, Reference, StoredBranch, TrieError,
    node::{encode_leaf, extended},
};
use fugue_types::B256;

/// A node that was blinded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revealed {
    /// A branch with the extension above it.
    Branch(StoredBranch),
    /// A branch with the extension above it, of which the reference alone is known.
    Opaque {
        /// Nibbles of the extension.
        prefix: Nibbles,
        /// Reference to the branch below it.
        branch: Reference,
    },
    /// A leaf.
    Leaf {
        /// Nibbles of its key below its path.
        suffix: Nibbles,
        /// The value, in RLP.
        value: Vec<u8>,
    },
}

impl Revealed {
    /// How a parent refers to the node.
    pub fn reference(&self) -> Reference {
        match self {
            Self::Branch(branch) => branch.reference(),
            Self::Opaque { prefix, branch } => extended(prefix, *branch),
            Self::Leaf { suffix, value } => {
                let mut rlp = Vec::new();
                encode_leaf(suffix, value, &mut rlp);
                Reference::of(&rlp)
            }
        }
    }
}

/// Reveals nodes. Many threads may call it at once.
pub trait TrieSource: Sync {
    /// The node at `path`, to which its parent refers by `node`; `is_leaf` if that is known of it.
    /// `owner` is the hash of the address whose storage trie it is, or `None` for the accounts.
    ///
    /// # Errors
    /// [`TrieError::Missing`] if it is not there.
    fn reveal(
        &self,
        owner: Option<B256>,
        path: &Nibbles,
        node: &Reference,
        is_leaf: bool,
    ) -> Result<Revealed, TrieError>;

    /// As [`TrieSource::reveal`], for the only child that a branch is left with.
    ///
    /// # Errors
    /// As [`TrieSource::reveal`].
    fn reveal_only_child(
        &self,
        owner: Option<B256>,
        path: &Nibbles,
        node: &Reference,
        is_leaf: bool,
    ) -> Result<Revealed, TrieError> {
        self.reveal(owner, path, node, is_leaf)
    }

    /// The storage root of the account under a hashed address, where it is to be had for less than
    /// the leaf; `None` elsewhere. It is asked of accounts that are there, and whose leaf the trie
    /// has not changed since the source was.
    ///
    /// # Errors
    /// [`TrieError::Source`].
    fn storage_root(&self, _: B256) -> Result<Option<B256>, TrieError> {
        Ok(None)
    }
}

/// The source of tries that are wholly in memory: nothing is blinded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoSource;

impl TrieSource for NoSource {
    fn reveal(
        &self,
        owner: Option<B256>,
        path: &Nibbles,
        _: &Reference,
        _: bool,
    ) -> Result<Revealed, TrieError> {
        Err(TrieError::missing(owner, path))
    }
}
