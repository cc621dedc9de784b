//! The trie of the accounts and the tries of their storage.

use crate::{
    Change, EMPTY_ROOT_HASH, HashedAccount, HashedDiff, New, Nibbles, NodeUpdates, Trie,
    TrieAccount, TrieError, TrieSource, seal::seal, trie::account_rlp,
};
use fugue_types::{B256, B256Map, HashSet, U256};
use rayon::{ThreadPool, prelude::*};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Changes of a diff from which it is worth waking the pool.
const POOL_CHANGES_MIN: usize = 64;

/// Branches of one account's storage trie that changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageNodes {
    /// keccak256 of the address.
    pub owner: B256,
    /// No branch from before is left: the storage began anew, or is gone.
    pub is_new: bool,
    /// Branches that changed.
    pub nodes: NodeUpdates,
}

/// Branches of all tries that changed since they were last taken.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrieUpdate {
    /// Of the trie of the accounts.
    pub accounts: NodeUpdates,
    /// Of the tries of storage, by owner.
    pub storages: Vec<StorageNodes>,
}

/// The tries of a world state, as far as they are in memory.
///
/// After an error it must be dropped: part of it is changed. A clone copies what is in memory.
#[derive(Debug)]
pub struct StateTrie {
    accounts: Trie,
    storages: B256Map<Trie>,
    /// Owners whose storage began anew since the updates were last taken.
    renewed: HashSet<B256>,
    touched: u32,
    /// Branches in memory, at most: not counted down when one goes.
    made: AtomicUsize,
}

impl Clone for StateTrie {
    fn clone(&self) -> Self {
        let Self { accounts, storages, renewed, touched, made } = self;
        Self {
            accounts: accounts.clone(),
            storages: storages.clone(),
            renewed: renewed.clone(),
            touched: *touched,
            made: AtomicUsize::new(made.load(Ordering::Relaxed)),
        }
    }
}

impl StateTrie {
    /// The tries of a state with this root, wholly blinded.
    pub fn new(root: B256) -> Self {
        Self {
            accounts: Trie::new(None, root),
            storages: B256Map::default(),
            renewed: HashSet::default(),
            touched: 0,
            made: AtomicUsize::new(0),
        }
    }

    /// The state root.
    pub fn root(&self) -> B256 {
        self.accounts.root()
    }

    /// Changes the tries by a diff, on the pool if one is lent. Gives the storage root of every
    /// account whose storage changed and that is there after, in the diff's order.
    ///
    /// # Errors
    /// [`TrieError`]; the tries must then be dropped.
    pub fn apply(
        &mut self,
        source: &dyn TrieSource,
        diff: &HashedDiff,
        pool: Option<&ThreadPool>,
    ) -> Result<Vec<(B256, B256)>, TrieError> {
        let count: usize = diff.accounts.iter().map(|account| 1 + account.slots.len()).sum();
        self.touched = self.touched.wrapping_add(1);
        match pool {
            Some(pool) if count >= POOL_CHANGES_MIN => {
                pool.install(|| self.apply_here(source, diff, true))
            }
            _ => self.apply_here(source, diff, false),
        }
    }

    fn apply_here(
        &mut self,
        source: &dyn TrieSource,
        diff: &HashedDiff,
        is_parallel: bool,
    ) -> Result<Vec<(B256, B256)>, TrieError> {
        let mut tasks = Vec::with_capacity(diff.accounts.len());
        for account in &diff.accounts {
            tasks.push((account, self.open_storage(source, account)?));
        }
        let (touched, made) = (self.touched, &self.made);
        let change = |(account, storage): &mut (&HashedAccount, Storage)| match storage {
            Storage::Unchanged | Storage::Empty => Ok(()),
            Storage::Changed(trie) => {
                trie.change(source, slot_changes(account), is_parallel, touched, made)
            }
        };
        if is_parallel {
            tasks.par_iter_mut().try_for_each(change)?;
        } else {
            tasks.iter_mut().try_for_each(change)?;
        }
        // All storage tries are hashed together: most of them have only a few changes.
        let unsealed = tasks.iter_mut().filter_map(|(_, storage)| match storage {
            Storage::Changed(trie) => trie.unsealed(),
            Storage::Unchanged | Storage::Empty => None,
        });
        seal(unsealed.collect(), is_parallel);

        let mut changes = Vec::with_capacity(tasks.len());
        let mut roots = Vec::with_capacity(tasks.len());
        for (account, storage) in tasks {
            let new = match (storage, account.after) {
                (_, None) => New::Nothing,
                (Storage::Unchanged, Some(after)) => New::Account(after),
                (Storage::Empty, Some(after)) => {
                    roots.push((account.key, EMPTY_ROOT_HASH));
                    New::Value(account_rlp(after, EMPTY_ROOT_HASH))
                }
                (Storage::Changed(trie), Some(after)) => {
                    let root = trie.root();
                    self.storages.insert(account.key, *trie);
                    roots.push((account.key, root));
                    New::Value(account_rlp(after, root))
                }
            };
            let key = Nibbles::unpack(account.key);
            changes.push(Change { key, existed: account.existed, new });
        }
        self.accounts.update(source, changes, is_parallel, touched, made)?;
        Ok(roots)
    }

    /// The storage trie of an account of the diff, taken out, if its storage changes.
    fn open_storage(
        &mut self,
        source: &dyn TrieSource,
        account: &HashedAccount,
    ) -> Result<Storage, TrieError> {
        let HashedAccount { key, existed, after, is_storage_new, slots } = account;
        if *is_storage_new || after.is_none() {
            if *existed {
                self.storages.remove(key);
                self.renewed.insert(*key);
            }
            if after.is_none() || slots.is_empty() {
                return Ok(Storage::Empty);
            }
            let trie = Trie::new(Some(*key), EMPTY_ROOT_HASH);
            return Ok(Storage::Changed(Box::new(trie)));
        }
        if slots.is_empty() {
            return Ok(Storage::Unchanged);
        }
        let trie = match self.storages.remove(key) {
            Some(trie) => trie,
            None => Trie::new(Some(*key), self.storage_root(source, *key)?),
        };
        Ok(Storage::Changed(Box::new(trie)))
    }

    /// Storage root of an account; of an empty trie if it does not exist.
    fn storage_root(&mut self, source: &dyn TrieSource, key: B256) -> Result<B256, TrieError> {
        if let Some(trie) = self.storages.get(&key) {
            return Ok(trie.root());
        }
        Ok(self.account(source, key)?.map_or(EMPTY_ROOT_HASH, |account| account.storage_root))
    }

    /// The account under a hashed address.
    ///
    /// # Errors
    /// [`TrieError`]; the tries stay as they are.
    pub fn account(
        &mut self,
        source: &dyn TrieSource,
        key: B256,
    ) -> Result<Option<TrieAccount>, TrieError> {
        let Some(rlp) = self.accounts.get(source, &Nibbles::unpack(key))? else { return Ok(None) };
        let account = alloy_rlp::decode_exact(&rlp).map_err(|error| TrieError::Damaged {
            owner: None,
            path: key.to_string(),
            reason: error.to_string(),
        })?;
        Ok(Some(account))
    }

    /// The account under a hashed address, with the nodes that prove it or its absence.
    ///
    /// # Errors
    /// [`TrieError`]; the tries stay as they are.
    ///
    /// Source: EIP-1186.
    pub fn prove_account(
        &mut self,
        source: &dyn TrieSource,
        key: B256,
    ) -> Result<(Option<TrieAccount>, Vec<Vec<u8>>), TrieError> {
        let account = self.account(source, key)?;
        Ok((account, self.accounts.prove(source, &Nibbles::unpack(key))?))
    }

    /// The storage trie of an account.
    fn storage(&mut self, source: &dyn TrieSource, owner: B256) -> Result<&mut Trie, TrieError> {
        let root = self.storage_root(source, owner)?;
        Ok(self.storages.entry(owner).or_insert_with(|| Trie::new(Some(owner), root)))
    }

    /// The value of a slot, by the hashes of address and slot.
    ///
    /// # Errors
    /// [`TrieError`]; the tries stay as they are.
    pub fn slot(
        &mut self,
        source: &dyn TrieSource,
        owner: B256,
        key: B256,
    ) -> Result<U256, TrieError> {
        let trie = self.storage(source, owner)?;
        let Some(rlp) = trie.get(source, &Nibbles::unpack(key))? else { return Ok(U256::ZERO) };
        alloy_rlp::decode_exact(&rlp).map_err(|error| TrieError::Damaged {
            owner: Some(owner),
            path: key.to_string(),
            reason: error.to_string(),
        })
    }

    /// As [`StateTrie::slot`], with the nodes that prove the value or its absence.
    ///
    /// # Errors
    /// [`TrieError`]; the tries stay as they are.
    ///
    /// Source: EIP-1186.
    pub fn prove_slot(
        &mut self,
        source: &dyn TrieSource,
        owner: B256,
        key: B256,
    ) -> Result<(U256, Vec<Vec<u8>>), TrieError> {
        let value = self.slot(source, owner, key)?;
        Ok((value, self.storage(source, owner)?.prove(source, &Nibbles::unpack(key))?))
    }

    /// Brings into memory what a change of an account, by its hashed address, or of a slot of it,
    /// by its hash, will come by. To be called while a block is executed: it takes no more time to
    /// read then, and the root less later.
    ///
    /// # Errors
    /// [`TrieError`]; the tries stay as they are.
    pub fn warm(
        &mut self,
        source: &dyn TrieSource,
        owner: B256,
        slot: Option<B256>,
    ) -> Result<(), TrieError> {
        self.accounts.warm(source, &Nibbles::unpack(owner), &self.made)?;
        let Some(slot) = slot else { return Ok(()) };
        let root = self.storage_root(source, owner)?;
        if root == EMPTY_ROOT_HASH {
            return Ok(());
        }
        let trie = self.storages.entry(owner).or_insert_with(|| Trie::new(Some(owner), root));
        trie.warm(source, &Nibbles::unpack(slot), &self.made)
    }

    /// Branches in memory, at most.
    pub fn branches(&self) -> usize {
        self.made.load(Ordering::Relaxed)
    }

    /// Branches that changed since the last call.
    pub fn take_updates(&mut self) -> TrieUpdate {
        let accounts = self.accounts.take_updates();
        let mut storages = Vec::new();
        for (owner, trie) in &mut self.storages {
            let nodes = trie.take_updates();
            let is_new = self.renewed.remove(owner);
            if is_new || !nodes.is_empty() {
                storages.push(StorageNodes { owner: *owner, is_new, nodes });
            }
        }
        // Storage that began anew and holds nothing.
        storages.extend(self.renewed.drain().map(|owner| StorageNodes {
            owner,
            is_new: true,
            nodes: Vec::new(),
        }));
        storages.sort_unstable_by_key(|storage| storage.owner);
        TrieUpdate { accounts, storages }
    }

    /// Blinds leaves, and branches down to about `branches_max`: those stay that the last updates
    /// came by, and what changed since the updates were last taken. To be called when the source
    /// has what was taken.
    pub fn prune(&mut self, branches_max: usize) {
        let mut age = if self.made.load(Ordering::Relaxed) > branches_max {
            self.touched / 2
        } else {
            self.touched
        };
        loop {
            let since = self.touched - age;
            self.storages.retain(|_, trie| trie.touched() >= since || trie.is_unsaved());
            let storages = self.storages.values_mut().map(|trie| trie.prune(since));
            let count = storages.sum::<usize>() + self.accounts.prune(since);
            self.made.store(count, Ordering::Relaxed);
            if count <= branches_max || age == 0 {
                return;
            }
            age /= 2;
        }
    }
}

/// The storage trie of an account while a diff is applied.
enum Storage {
    /// Its root stays what it is.
    Unchanged,
    /// There is nothing in it.
    Empty,
    Changed(Box<Trie>),
}

fn slot_changes(account: &HashedAccount) -> Vec<Change> {
    let change = |slot: &crate::HashedSlot| Change {
        key: Nibbles::unpack(slot.key),
        existed: slot.existed,
        new: if slot.after.is_zero() {
            New::Nothing
        } else {
            New::Value(alloy_rlp::encode(slot.after))
        },
    };
    account.slots.iter().map(change).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{HashedSlot, NoSource};
    use fugue_state::Account;

    /// An account comes that stores so many slots.
    fn coming(account: u8, slots: u8) -> HashedDiff {
        let after = U256::from(7);
        let slot = |slot| HashedSlot { key: B256::repeat_byte(slot), existed: false, after };
        let account = HashedAccount {
            key: B256::repeat_byte(account),
            existed: false,
            after: Some(Account::default()),
            is_storage_new: true,
            slots: (0..slots).map(slot).collect(),
        };
        HashedDiff { accounts: vec![account] }
    }

    #[test]
    fn pruning_leaves_what_was_not_taken_however_long_ago_it_changed() {
        let mut tries = StateTrie::new(EMPTY_ROOT_HASH);
        for (account, slots) in [(1, 2), (2, 2), (3, 0)] {
            let diff = coming(account, slots);
            tries.apply(&NoSource, &diff, None).expect("nothing is blinded");
            if account == 1 {
                tries.take_updates();
            }
        }
        let mut pruned = tries.clone();
        pruned.prune(0);
        assert!(pruned.branches() < tries.branches(), "what was taken goes");
        assert_eq!(pruned.take_updates(), tries.take_updates());
    }
}
