//! The state before a block that seems invalid, read so that damage of the store cannot decide.
//!
//! What execution reads otherwise is the flat state as it is stored. Here every account and slot is
//! read through the tries, on nodes that are compared with what their parents name, up to the state
//! root that a block's header holds; a code is compared with its hash; and hashes of blocks are
//! those that headers name, each found by its own hash, from the newest durable block down.

use fugue_state::{Account, SlotSet, StateError, StateView};
use fugue_storage::{CheckedNodes, Snapshot};
use fugue_trie::{EMPTY_ROOT_HASH, StateTrie, TrieAccount};
use fugue_types::{Address, B256, Bytes, U256, keccak256};
use parking_lot::Mutex;

/// A state through its tries. Slow.
pub(crate) struct ProvenState<'w> {
    tries: Mutex<&'w mut StateTrie>,
    snapshot: &'w Snapshot,
    /// Hashes of blocks from `base` down, as far as they were asked for.
    hashes: Mutex<Vec<B256>>,
    base: u64,
}

impl<'w> ProvenState<'w> {
    /// The state with these tries. The block with the number `base` and `hash` is the newest one
    /// whose ancestors are in the store.
    pub(crate) fn new(
        tries: &'w mut StateTrie,
        snapshot: &'w Snapshot,
        base: u64,
        hash: B256,
    ) -> Self {
        Self { tries: Mutex::new(tries), snapshot, hashes: Mutex::new(vec![hash]), base }
    }

    fn trie_account(&self, address: Address) -> Result<Option<TrieAccount>, StateError> {
        let nodes = CheckedNodes(self.snapshot);
        self.tries.lock().account(&nodes, keccak256(address)).map_err(unavailable)
    }
}

fn unavailable(error: impl std::fmt::Display) -> StateError {
    StateError::Unavailable(error.to_string())
}

impl StateView for ProvenState<'_> {
    fn account(&self, address: Address) -> Result<Option<Account>, StateError> {
        Ok(self.trie_account(address)?.map(|account| {
            let TrieAccount { nonce, balance, storage_root: _, code_hash } = account;
            Account { nonce, balance, code_hash }
        }))
    }

    fn slot(&self, address: Address, slot: U256) -> Result<U256, StateError> {
        let (owner, key) = (keccak256(address), keccak256(slot.to_be_bytes::<32>()));
        let nodes = CheckedNodes(self.snapshot);
        self.tries.lock().slot(&nodes, owner, key).map_err(unavailable)
    }

    /// What the chain has emptied is not in the tries: they are those after it.
    fn has_storage_beside(&self, address: Address, _: &SlotSet) -> Result<bool, StateError> {
        let account = self.trie_account(address)?;
        Ok(account.is_some_and(|account| account.storage_root != EMPTY_ROOT_HASH))
    }

    fn code(&self, code_hash: B256) -> Result<Bytes, StateError> {
        let code = self.snapshot.code(code_hash).map_err(unavailable)?;
        code.ok_or(StateError::CodeMissing(code_hash))
    }

    fn block_hash(&self, number: u64) -> Result<B256, StateError> {
        let below = self.base.checked_sub(number).ok_or(StateError::BlockHashMissing(number))?;
        let below = usize::try_from(below).map_err(unavailable)?;
        let mut hashes = self.hashes.lock();
        while let Some(last) = hashes.last()
            && hashes.len() <= below
        {
            let number = self.base - (hashes.len() as u64 - 1);
            let (hash, header) = self.snapshot.header(number).map_err(unavailable)?;
            if hash != *last {
                return Err(unavailable(format!("block {number} of the store is not {last}")));
            }
            hashes.push(header.parent_hash);
        }
        hashes.get(below).copied().ok_or(StateError::BlockHashMissing(number))
    }
}
