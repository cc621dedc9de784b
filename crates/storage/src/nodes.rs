//! Trie nodes of a snapshot: stored branches, and leaves out of the flat state.

use crate::{
    Snapshot, StorageError, Table,
    backend::Read,
    blocks::{damaged, decoded},
    row::{Row, slot_value},
};
use fugue_trie::{
    EMPTY_ROOT_HASH, Nibbles, Reference, Revealed, StoredBranch, TrieError, TrieSource,
};
use fugue_types::B256;

/// Length of a key of the state.
const KEY_NIBBLES: usize = 64;

/// Key of a branch of the trie of the accounts.
pub(crate) fn trie_key(path: &Nibbles) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + path.len().div_ceil(2));
    key.push(u8::try_from(path.len()).expect("a path has at most 64 nibbles"));
    key.extend_from_slice(&path.pack());
    key
}

/// Key of a branch of a trie of storage.
pub(crate) fn storage_path_key(id: u64, path: &Nibbles) -> Vec<u8> {
    [&id.to_be_bytes()[..], &trie_key(path)].concat()
}

impl Snapshot {
    /// The branch at a path; `None` if there is none.
    pub(crate) fn branch(
        &self,
        table: Table,
        key: &[u8],
        path: &Nibbles,
    ) -> Result<Option<StoredBranch>, StorageError> {
        let branch = self.with(|tx| decoded(tx, table, key, StoredBranch::decode))?;
        match branch {
            Some(branch) if path.len() + branch.prefix.len() >= KEY_NIBBLES => {
                Err(damaged(table, key, "the branch lies too deep"))
            }
            found => Ok(found),
        }
    }

    /// The first leaf of a table below a path. Keys of the table are `scope`, then a hash.
    fn leaf(
        &self,
        table: Table,
        scope: &[u8],
        path: &Nibbles,
        value: impl Fn(&[u8]) -> Option<Vec<u8>>,
    ) -> Result<Option<Revealed>, StorageError> {
        let start = [scope, &path.pack()].concat();
        self.with(|tx| {
            let Some((key, row)) = tx.seek(table, &start)? else { return Ok(None) };
            let Some(hash) = key.strip_prefix(scope) else { return Ok(None) };
            if hash.len() != 32 {
                return Err(damaged(table, &key, "the key does not end in a hash"));
            }
            let leaf = Nibbles::unpack(hash);
            if !leaf.starts_with(path) {
                return Ok(None);
            }
            let value =
                value(&row).ok_or_else(|| damaged(table, &key, "the row does not decode"))?;
            Ok(Some(Revealed::Leaf { suffix: leaf.slice(path.len()..), value }))
        })
    }
}

/// RLP of an account's leaf, from its row.
pub(crate) fn account_leaf(row: &[u8]) -> Option<Vec<u8>> {
    Row::decode(row).map(|row| alloy_rlp::encode(row.trie_account()))
}

/// RLP of a slot's leaf, from its row.
pub(crate) fn slot_leaf(row: &[u8]) -> Option<Vec<u8>> {
    slot_value(row).map(alloy_rlp::encode)
}

impl Snapshot {
    fn find(
        &self,
        owner: Option<B256>,
        path: &Nibbles,
        is_leaf: bool,
    ) -> Result<Option<Revealed>, StorageError> {
        let (branches, leaves, scope) = match owner {
            None => (Table::AccountTrie, Table::Accounts, Vec::new()),
            Some(owner) => {
                let Some(storage) = self.storage_ref(owner)? else { return Ok(None) };
                (Table::StorageTrie, Table::Storage, storage.id.to_be_bytes().to_vec())
            }
        };
        if !is_leaf {
            let key = [scope.as_slice(), &trie_key(path)].concat();
            if let Some(branch) = self.branch(branches, &key, path)? {
                return Ok(Some(Revealed::Branch(branch)));
            }
        }
        let value = if owner.is_none() { account_leaf } else { slot_leaf };
        self.leaf(leaves, &scope, path, value)
    }
}

impl TrieSource for Snapshot {
    fn reveal(
        &self,
        owner: Option<B256>,
        path: &Nibbles,
        _: &Reference,
        is_leaf: bool,
    ) -> Result<Revealed, TrieError> {
        self.find(owner, path, is_leaf)?.ok_or_else(|| TrieError::missing(owner, path))
    }

    fn storage_root(&self, key: B256) -> Result<Option<B256>, TrieError> {
        Ok(Some(self.storage_ref(key)?.map_or(EMPTY_ROOT_HASH, |storage| storage.root)))
    }
}

/// A snapshot as a source that compares every node with what its parent names: a damaged row gives
/// an error, and not a wrong root. It costs a hash for each node that is revealed.
#[derive(Debug, Clone, Copy)]
pub struct CheckedNodes<'s>(pub &'s Snapshot);

impl TrieSource for CheckedNodes<'_> {
    fn reveal(
        &self,
        owner: Option<B256>,
        path: &Nibbles,
        node: &Reference,
        is_leaf: bool,
    ) -> Result<Revealed, TrieError> {
        let revealed = self.0.reveal(owner, path, node, is_leaf)?;
        if revealed.reference() != *node {
            let reason = "it is not the one that its parent names";
            return Err(TrieError::damaged(owner, path, reason));
        }
        Ok(revealed)
    }
}

/// [`CheckedNodes`] for work that may be given up: `check` is asked before each node, and its error
/// ends the work.
#[derive(Clone, Copy)]
pub struct NodesWhile<'s> {
    /// Where the nodes are.
    pub snapshot: &'s Snapshot,
    /// Whether the work goes on; it may be asked by many threads at once.
    pub check: &'s (dyn Fn() -> Result<(), StorageError> + Sync),
}

impl std::fmt::Debug for NodesWhile<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NodesWhile").finish_non_exhaustive()
    }
}

impl TrieSource for NodesWhile<'_> {
    fn reveal(
        &self,
        owner: Option<B256>,
        path: &Nibbles,
        node: &Reference,
        is_leaf: bool,
    ) -> Result<Revealed, TrieError> {
        (self.check)()?;
        CheckedNodes(self.snapshot).reveal(owner, path, node, is_leaf)
    }
}
