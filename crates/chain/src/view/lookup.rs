//! What readers ask of a view besides blocks and states: headers by hash, accounts as the trie has
//! them, and what of the past is kept.

use super::ChainView;
use crate::{ImportError, StorageError, chain::header_of};
use fugue_state::AccountDiff;
use fugue_storage::BlockRecord;
use fugue_trie::{EMPTY_ROOT_HASH, TrieAccount};
use fugue_types::{Address, B256, Header, keccak256};
use std::sync::Arc;

impl ChainView {
    /// The oldest block whose body, senders and transactions are kept.
    pub fn oldest_body(&self) -> u64 {
        self.snapshot.meta().oldest_body
    }

    /// The oldest block whose receipts are kept.
    pub fn oldest_receipts(&self) -> u64 {
        self.snapshot.meta().oldest_receipts
    }

    /// A header by its hash, also of a block beside the chain; `None` if it is not known. Headers
    /// are kept where bodies are pruned.
    ///
    /// # Errors
    /// What the store says.
    pub fn header_by_hash(&self, hash: B256) -> Result<Option<Header>, ImportError> {
        if let Some(record) = self.blocks.get(&hash) {
            return Ok(Some(record.block.block().header.clone()));
        }
        let Some(number) = self.snapshot.number(hash)? else { return Ok(None) };
        header_of(&self.snapshot, number, hash).map(Some)
    }

    /// An account with the root of its storage after a block of the head's chain; `None` if it does
    /// not exist.
    ///
    /// # Errors
    /// [`StorageError::AboveHead`], [`StorageError::Pruned`], or what the store says.
    pub fn trie_account(
        &self,
        number: u64,
        address: Address,
    ) -> Result<Option<TrieAccount>, ImportError> {
        let head = self.head.number;
        if number > head {
            return Err(StorageError::AboveHead { number, head }.into());
        }
        let count = usize::try_from(number.saturating_sub(self.base)).unwrap_or(usize::MAX);
        let above = &self.above[..count.min(self.above.len())];
        match newest(above, address) {
            Newest::Gone => Ok(None),
            Newest::Known(account) => Ok(Some(account)),
            Newest::Storage(account) => {
                let below = self.snapshot.state_at(self.base)?.trie_account(address)?;
                let storage_root = below.map_or(EMPTY_ROOT_HASH, |below| below.storage_root);
                Ok(Some(TrieAccount { storage_root, ..account }))
            }
            Newest::Untouched => {
                Ok(self.snapshot.state_at(number.min(self.base))?.trie_account(address)?)
            }
        }
    }
}

/// What blocks that are not durable say of an account.
enum Newest {
    /// Nothing.
    Untouched,
    /// It does not exist after them.
    Gone,
    /// All of it.
    Known(TrieAccount),
    /// All but the root of its storage, which none of them has changed.
    Storage(TrieAccount),
}

/// `above`: lowest first, and each the child of the one before.
fn newest(above: &[Arc<BlockRecord>], address: Address) -> Newest {
    let owner = keccak256(address);
    let mut found: Option<TrieAccount> = None;
    for record in above.iter().rev() {
        let Some(change) = change_of(record, address) else { continue };
        let account = match (found, change.after) {
            (Some(account), _) => account,
            (None, Some(after)) => TrieAccount {
                nonce: after.nonce,
                balance: after.balance,
                storage_root: EMPTY_ROOT_HASH,
                code_hash: after.code_hash,
            },
            (None, None) => return Newest::Gone,
        };
        let mut roots = record.storage_roots.iter().rev();
        if let Some((_, storage_root)) = roots.find(|(hash, _)| *hash == owner) {
            return Newest::Known(TrieAccount { storage_root: *storage_root, ..account });
        }
        // Its storage begins with this change, or ends with it.
        if change.wiped || change.before.is_none() || change.after.is_none() {
            return Newest::Known(account);
        }
        found = Some(account);
    }
    found.map_or(Newest::Untouched, Newest::Storage)
}

fn change_of(record: &BlockRecord, address: Address) -> Option<&AccountDiff> {
    let accounts = &record.diff.accounts;
    let index = accounts.binary_search_by_key(&address, |change| change.address).ok()?;
    accounts.get(index)
}

#[cfg(test)]
mod tests;
