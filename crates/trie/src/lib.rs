//! Computes state roots, node updates and proofs from a parent root and a diff.
//!
//! Terms:
//! * a [`Trie`] is one Merkle Patricia trie, of which only the part is in memory that was needed:
//!   the rest is *blinded*, known by its reference alone;
//! * a [`TrieSource`] reveals what is blinded: a database, a witness, or nothing;
//! * a branch and the extension above it are one node here, a branch with a *prefix*;
//! * a [`StateTrie`] is the trie of the accounts and the tries of their storage. It goes from root
//!   to root, diff by diff, and hands out the branches that changed since they were last taken.
//!
//! Leaves of a database's tries are not stored: they are the flat state.

mod diff;
mod error;
mod keccak;
mod node;
mod reference;
mod seal;
mod source;
mod state;
mod steps;
mod trie;
mod witness;

pub use alloy_trie::{EMPTY_ROOT_HASH, Nibbles, TrieAccount, proof::verify_proof};
pub use diff::{HashedAccount, HashedDiff, HashedSlot};
pub use error::TrieError;
pub use keccak::Batch;
pub use node::{Children, StoredBranch, StoredChild};
pub use reference::Reference;
pub use source::{NoSource, Revealed, TrieSource};
pub use state::{StateTrie, StorageNodes, TrieUpdate};
pub use steps::{Steps, StepsError, step_through};
pub use trie::{Change, New, NodeUpdates, Trie, raw_root};
pub use witness::{Sibling, Witness, WitnessNodes, WitnessState};
