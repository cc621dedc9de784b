//! The state after a block of the past, as a view.

use crate::{
    Snapshot, StorageError, Table,
    backend::Read,
    blocks::damaged,
    row::{Row, StorageRef, slot_value},
};
use fugue_state::{Account, SlotSet, StateError, StateView};
use fugue_trie::{EMPTY_ROOT_HASH, TrieAccount};
use fugue_types::{Address, B256, Bytes, HashSet, U256, keccak256};

/// The state after a block.
#[derive(Debug, Clone, Copy)]
pub struct PastState<'s> {
    snapshot: &'s Snapshot,
    number: u64,
    is_latest: bool,
}

impl Snapshot {
    /// The state after block `number`.
    ///
    /// # Errors
    /// [`StorageError::AboveHead`], [`StorageError::Pruned`].
    pub fn state_at(&self, number: u64) -> Result<PastState<'_>, StorageError> {
        let meta = self.meta();
        let (head, oldest) = (meta.head.number, meta.oldest_state);
        if number > head {
            return Err(StorageError::AboveHead { number, head });
        }
        if number < oldest {
            return Err(StorageError::Pruned { what: "state", number, oldest });
        }
        Ok(PastState { snapshot: self, number, is_latest: number == head })
    }

    /// The row of an account before a block that changed it.
    pub(crate) fn row_before(
        &self,
        account: B256,
        number: u64,
    ) -> Result<Option<Row>, StorageError> {
        let key = [account.as_slice(), &number.to_be_bytes()].concat();
        self.before(Table::AccountHistory, &key, |bytes| match bytes {
            [] => Some(None),
            row => Row::decode(row).map(Some),
        })
    }

    /// The value of a slot before a block that changed it.
    pub(crate) fn slot_before(
        &self,
        id: u64,
        slot: B256,
        number: u64,
    ) -> Result<U256, StorageError> {
        let key = [&id.to_be_bytes()[..], slot.as_slice(), &number.to_be_bytes()].concat();
        self.before(Table::StorageHistory, &key, slot_value)
    }

    fn before<T>(
        &self,
        table: Table,
        key: &[u8],
        decode: impl FnOnce(&[u8]) -> Option<T>,
    ) -> Result<T, StorageError> {
        let before = self.decoded(table, key, decode)?;
        before.ok_or_else(|| damaged(table, key, "the history of a change is missing"))
    }

    /// The code with this hash; `None` if no account ever had it.
    ///
    /// # Errors
    /// What the database says.
    pub fn code(&self, code_hash: B256) -> Result<Option<Bytes>, StorageError> {
        self.decoded(Table::Codes, code_hash.as_slice(), |code| {
            // Damaged code must not be executed.
            (keccak256(code) == code_hash).then(|| Bytes::copy_from_slice(code))
        })
    }
}

impl PastState<'_> {
    /// An account as the trie of the state has it, with the root of its storage; `None` if it does
    /// not exist.
    ///
    /// # Errors
    /// What the database says.
    pub fn trie_account(&self, address: Address) -> Result<Option<TrieAccount>, StorageError> {
        Ok(self.row(keccak256(address))?.map(|row| row.trie_account()))
    }

    pub(crate) fn row(&self, key: B256) -> Result<Option<Row>, StorageError> {
        if !self.is_latest
            && let Some(before) = self.later(Table::AccountHistory, key.as_slice())?
        {
            if before.is_empty() {
                return Ok(None);
            }
            let row = Row::decode(&before);
            return row.map(Some).ok_or_else(|| {
                damaged(Table::AccountHistory, key.as_slice(), "the row does not decode")
            });
        }
        self.snapshot.row(key)
    }

    fn storage(&self, key: B256) -> Result<Option<StorageRef>, StorageError> {
        if self.is_latest {
            return self.snapshot.storage_ref(key);
        }
        Ok(self.row(key)?.and_then(|row| row.storage))
    }

    fn slot_of(&self, id: u64, slot: U256) -> Result<U256, StorageError> {
        self.slot_by_hash(id, keccak256(slot.to_be_bytes::<32>()))
    }

    fn slot_by_hash(&self, id: u64, slot: B256) -> Result<U256, StorageError> {
        let key = [&id.to_be_bytes()[..], slot.as_slice()].concat();
        if !self.is_latest
            && let Some(before) = self.later(Table::StorageHistory, &key)?
        {
            return slot_value(&before)
                .ok_or_else(|| damaged(Table::StorageHistory, &key, "the row does not decode"));
        }
        Ok(self.snapshot.decoded(Table::Storage, &key, slot_value)?.unwrap_or_default())
    }

    /// The slots of an account that are not zero, each with the keccak256 of its key, in the order
    /// of those: from `start` on, at most `count`. Which key has such a hash is not kept.
    ///
    /// Costs a look at every slot that the account had at any time and that is passed on the way;
    /// `check` is called before each, and ends the work with its error.
    ///
    /// # Errors
    /// What the database says, or `check`.
    pub fn slots_from(
        &self,
        address: Address,
        start: B256,
        count: usize,
        check: &dyn Fn() -> Result<(), StorageError>,
    ) -> Result<Vec<(B256, U256)>, StorageError> {
        let mut slots = Vec::new();
        let storage = self.storage(keccak256(address))?;
        let Some(storage) = storage.filter(|storage| storage.root != EMPTY_ROOT_HASH) else {
            return Ok(slots);
        };
        let mut from = Some(start);
        while let Some(at) = from.filter(|_| slots.len() < count) {
            check()?;
            // What is there, and what was changed or is gone since.
            let latest = self.slot_at_or_after(Table::Storage, storage.id, at)?;
            let past = if self.is_latest {
                None
            } else {
                self.slot_at_or_after(Table::StorageHistory, storage.id, at)?
            };
            let Some(hash) = [latest, past].into_iter().flatten().min() else { break };
            let value = self.slot_by_hash(storage.id, hash)?;
            if !value.is_zero() {
                slots.push((hash, value));
            }
            let next = U256::from_be_bytes(hash.0).checked_add(U256::from(1));
            from = next.map(B256::from);
        }
        Ok(slots)
    }

    /// The accounts that exist, each with the keccak256 of its address and the root of its storage,
    /// in the order of those hashes: from `start` on, at most `count`.
    ///
    /// Costs a look at every account that was there at any time and that is passed on the way;
    /// `check` is called before each, and ends the work with its error.
    ///
    /// # Errors
    /// What the database says, or `check`.
    pub fn accounts_from(
        &self,
        start: B256,
        count: usize,
        check: &dyn Fn() -> Result<(), StorageError>,
    ) -> Result<Vec<(B256, TrieAccount)>, StorageError> {
        let mut accounts = Vec::new();
        let mut from = Some(start);
        while let Some(at) = from.filter(|_| accounts.len() < count) {
            check()?;
            // What is there, and what was changed or is gone since.
            let latest = self.hash_at_or_after(Table::Accounts, &[], at)?;
            let past = if self.is_latest {
                None
            } else {
                self.hash_at_or_after(Table::AccountHistory, &[], at)?
            };
            let Some(hash) = [latest, past].into_iter().flatten().min() else { break };
            if let Some(row) = self.row(hash)? {
                accounts.push((hash, row.trie_account()));
            }
            from = U256::from_be_bytes(hash.0).checked_add(U256::from(1)).map(B256::from);
        }
        Ok(accounts)
    }

    /// Hash of the first slot with a row in a table, from this hash on.
    fn slot_at_or_after(
        &self,
        table: Table,
        id: u64,
        from: B256,
    ) -> Result<Option<B256>, StorageError> {
        self.hash_at_or_after(table, &id.to_be_bytes(), from)
    }

    /// The first hash that follows a prefix in the keys of a table, from this one on.
    fn hash_at_or_after(
        &self,
        table: Table,
        prefix: &[u8],
        from: B256,
    ) -> Result<Option<B256>, StorageError> {
        let key = [prefix, from.as_slice()].concat();
        self.snapshot.with(|tx| {
            let Some((found, _)) = tx.seek(table, &key)? else { return Ok(None) };
            let Some(rest) = found.strip_prefix(prefix) else { return Ok(None) };
            let hash = rest.get(..B256::len_bytes()).map(B256::from_slice);
            hash.map(Some).ok_or_else(|| damaged(table, &found, "the key has no hash"))
        })
    }

    /// What stood under a key before the first change after this block; `None` if there was none.
    fn later(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        let start = [key, &self.number.saturating_add(1).to_be_bytes()].concat();
        self.snapshot.with(|tx| {
            let found = tx.seek(table, &start)?;
            let found = found.filter(|(found, _)| found.starts_with(key));
            Ok(found.map(|(_, before)| before.into_owned()))
        })
    }
}

impl StateView for PastState<'_> {
    fn account(&self, address: Address) -> Result<Option<Account>, StateError> {
        Ok(self.row(keccak256(address))?.map(|row| row.account))
    }

    fn slot(&self, address: Address, slot: U256) -> Result<U256, StateError> {
        match self.storage(keccak256(address))? {
            Some(storage) if storage.root != EMPTY_ROOT_HASH => Ok(self.slot_of(storage.id, slot)?),
            _ => Ok(U256::ZERO),
        }
    }

    fn has_storage_beside(&self, address: Address, emptied: &SlotSet) -> Result<bool, StateError> {
        // The root tells, which is read faster than a slot is found.
        if emptied.is_empty() {
            let storage = self.storage(keccak256(address))?;
            return Ok(storage.is_some_and(|storage| storage.root != EMPTY_ROOT_HASH));
        }
        let hashed = emptied.iter().map(|slot| keccak256(slot.to_be_bytes::<32>()));
        let hashed: HashSet<B256> = hashed.collect();
        // Of one more than these, one is another.
        let stored = self.slots_from(address, B256::ZERO, hashed.len() + 1, &|| Ok(()))?;
        Ok(stored.iter().any(|(key, _)| !hashed.contains(key)))
    }

    fn code(&self, code_hash: B256) -> Result<Bytes, StateError> {
        self.snapshot.code(code_hash)?.ok_or(StateError::CodeMissing(code_hash))
    }

    fn block_hash(&self, number: u64) -> Result<B256, StateError> {
        if number > self.number {
            return Err(StateError::BlockHashMissing(number));
        }
        Ok(self.snapshot.header_row(number)?.hash)
    }
}
