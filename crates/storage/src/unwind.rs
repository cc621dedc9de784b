//! Back to a block of the past: for good, or for the tries of that time.
//!
//! A reversal is what must be undone to get from the head to a block: for every account and slot
//! that changed since, its value then. It goes through the tries as any diff does, and the root
//! must come out as the header of that block says, before anything is written.

use crate::{
    CommitBatch, Head, Meta, NodesWhile, Snapshot, StorageError, Store, Table,
    backend::{Read, Scan, WriteTx},
    blocks::{damaged, decoded},
    changes::Changes,
    commit::put_batch,
    log_index,
    nodes::{storage_path_key, trie_key},
    row::{Row, slot_value, trimmed},
};
use fugue_trie::{HashedAccount, HashedDiff, HashedSlot, StateTrie, TrieUpdate};
use fugue_types::{B256, U256};
use std::collections::BTreeMap;

/// Blocks that one transaction unwinds, at most: it holds their changes in memory.
const STEP_BLOCKS_MAX: u64 = 1_024;

/// Accounts and slots that changed since a block, as they were after it.
#[derive(Debug, Default)]
struct Reversal {
    rows: BTreeMap<B256, Option<Row>>,
    slots: BTreeMap<(u64, B256), U256>,
}

impl Reversal {
    /// Accounts and slots in it.
    fn len(&self) -> usize {
        self.rows.len() + self.slots.len()
    }
}

/// Whether work goes on, told how many changes it holds; its error ends the work.
type Check<'c> = &'c (dyn Fn(usize) -> Result<(), StorageError> + Sync);

/// For work that is done whatever it takes.
const ALWAYS: Check<'static> = &|_| Ok(());

impl Snapshot {
    pub(crate) fn changes(&self, number: u64) -> Result<Changes, StorageError> {
        let key = number.to_be_bytes();
        let changes = self.decoded(Table::Changes, &key, Changes::decode)?;
        changes.ok_or_else(|| damaged(Table::Changes, &key, "the changes of a block are missing"))
    }

    fn reversal(&self, to: u64, check: Check<'_>) -> Result<Reversal, StorageError> {
        let mut reversal = Reversal::default();
        for number in (to + 1..=self.meta().head.number).rev() {
            check(reversal.len())?;
            let Changes { accounts, storages } = self.changes(number)?;
            for account in accounts {
                reversal.rows.insert(account, self.row_before(account, number)?);
            }
            for (id, slots) in storages {
                for slot in slots {
                    reversal.slots.insert((id, slot), self.slot_before(id, slot, number)?);
                }
            }
        }
        Ok(reversal)
    }

    /// The reversal as a diff of the tries.
    fn hashed(&self, reversal: &Reversal, check: Check<'_>) -> Result<HashedDiff, StorageError> {
        let mut accounts = Vec::with_capacity(reversal.rows.len());
        // Of storage that has ended since, slots come that are no changes.
        let mut whole = 0;
        for (key, then) in &reversal.rows {
            check(reversal.len() + whole)?;
            let found = self.decoded(Table::Accounts, key.as_slice(), Row::decode)?;
            let id = |row: &Option<Row>| row.and_then(|row| row.storage).map(|storage| storage.id);
            let (id_then, id_now) = (id(then), id(&found));
            let is_storage_new = id_then != id_now;
            let slots = match id_then {
                None => Vec::new(),
                Some(id) if is_storage_new => {
                    let held = reversal.len() + whole;
                    let slots = self.whole_storage(id, reversal, &|count| check(held + count))?;
                    whole += slots.len();
                    slots
                }
                Some(id) => self.reversed_slots(id, reversal)?,
            };
            accounts.push(HashedAccount {
                key: *key,
                existed: found.is_some(),
                after: then.map(|row| row.account),
                is_storage_new,
                slots,
            });
        }
        Ok(HashedDiff { accounts })
    }

    fn reversed_slots(
        &self,
        id: u64,
        reversal: &Reversal,
    ) -> Result<Vec<HashedSlot>, StorageError> {
        let of_id = reversal.slots.range((id, B256::ZERO)..=(id, B256::repeat_byte(0xff)));
        of_id
            .map(|((_, slot), value)| {
                let key = [&id.to_be_bytes()[..], slot.as_slice()].concat();
                let existed = self.decoded(Table::Storage, &key, slot_value)?.is_some();
                Ok(HashedSlot { key: *slot, existed, after: *value })
            })
            .collect()
    }

    /// All slots of a storage whose life has ended since.
    fn whole_storage(
        &self,
        id: u64,
        reversal: &Reversal,
        check: Check<'_>,
    ) -> Result<Vec<HashedSlot>, StorageError> {
        let mut slots = BTreeMap::new();
        let prefix = id.to_be_bytes();
        self.with(|tx| {
            tx.scan(Table::Storage, &prefix, &mut |key, value| {
                let Some(slot) = key.strip_prefix(&prefix) else { return Ok(Scan::Stop) };
                let (Ok(slot), Some(value)) = (B256::try_from(slot), slot_value(value)) else {
                    return Err(damaged(Table::Storage, key, "the row does not decode"));
                };
                slots.insert(slot, value);
                check(slots.len())?;
                Ok(Scan::Continue)
            })
        })?;
        let of_id = reversal.slots.range((id, B256::ZERO)..=(id, B256::repeat_byte(0xff)));
        slots.extend(of_id.map(|((_, slot), value)| (*slot, *value)));
        let slots = slots.into_iter().filter(|(_, value)| !value.is_zero());
        Ok(slots.map(|(key, after)| HashedSlot { key, existed: false, after }).collect())
    }

    /// The tries as they were after a block, over this snapshot as their source. Costs as much as
    /// changed since. They must not be pruned: the source has another state.
    ///
    /// # Errors
    /// [`StorageError::Pruned`], [`StorageError::AboveHead`], [`StorageError::Damaged`] if the
    /// root does not come out.
    pub fn tries_at(&self, number: u64) -> Result<StateTrie, StorageError> {
        self.tries_at_while(number, ALWAYS)
    }

    /// As [`Snapshot::tries_at`], for as long as `check` says. It is told how many accounts and
    /// slots are held in memory that changed since, and asked for every block, every account and
    /// every trie node.
    ///
    /// # Errors
    /// As [`Snapshot::tries_at`], or that of `check`.
    pub fn tries_at_while(
        &self,
        number: u64,
        check: &(dyn Fn(usize) -> Result<(), StorageError> + Sync),
    ) -> Result<StateTrie, StorageError> {
        self.state_at(number)?;
        let reversal = self.reversal(number, check)?;
        self.reversed_tries(number, &reversal, check)
    }

    fn reversed_tries(
        &self,
        to: u64,
        reversal: &Reversal,
        check: Check<'_>,
    ) -> Result<StateTrie, StorageError> {
        let (_, head) = self.header(self.meta().head.number)?;
        let (_, header) = self.header(to)?;
        let diff = self.hashed(reversal, check)?;
        let held = reversal.len();
        let goes_on = || check(held);
        let nodes = NodesWhile { snapshot: self, check: &goes_on };
        let mut tries = StateTrie::new(head.state_root);
        if let Err(error) = tries.apply(&nodes, &diff, None) {
            // A trie knows no errors of others: if it is that of `check`, it comes again.
            goes_on()?;
            return Err(error.into());
        }
        if tries.root() != header.state_root {
            let reason = format!("history gives the state root {}", tries.root());
            return Err(damaged(Table::Headers, &to.to_be_bytes(), reason));
        }
        Ok(tries)
    }
}

impl Store {
    /// Makes block `to` the head again, and forgets all that came after it. Goes in steps of a
    /// bounded size, each durable by itself; `step` is told the head after each.
    ///
    /// # Errors
    /// [`StorageError::Pruned`], [`StorageError::AboveHead`], or what the database says.
    pub fn unwind(&self, to: u64, mut step: impl FnMut(Head)) -> Result<(), StorageError> {
        self.snapshot()?.state_at(to)?;
        loop {
            let snapshot = self.snapshot()?;
            let head = snapshot.meta().head;
            if head.number <= to {
                return Ok(());
            }
            let target = to.max(head.number.saturating_sub(STEP_BLOCKS_MAX));
            let reversal = snapshot.reversal(target, ALWAYS)?;
            let mut tries = snapshot.reversed_tries(target, &reversal, ALWAYS)?;
            let update = tries.take_updates();
            self.write(|tx| {
                let meta = Meta::read(tx)?.ok_or_else(|| self.empty())?;
                undo(tx, &snapshot, meta, target, &reversal, &update)
            })?;
            step(self.head()?);
        }
    }
}

impl Store {
    /// Puts other blocks in the place of those after `fork`, in one commit: the first of the batch
    /// is a child of block `fork`, and its trie nodes lead from the head of the store to its end.
    ///
    /// # Errors
    /// As [`Store::commit`] and [`Store::unwind`].
    pub fn replace(&self, fork: u64, batch: &CommitBatch) -> Result<(), StorageError> {
        let snapshot = self.snapshot()?;
        snapshot.state_at(fork)?;
        let reversal = snapshot.reversal(fork, ALWAYS)?;
        let update = snapshot.reversed_tries(fork, &reversal, ALWAYS)?.take_updates();
        self.write(|tx| {
            let meta = Meta::read(tx)?.ok_or_else(|| self.empty())?;
            undo(tx, &snapshot, meta, fork, &reversal, &update)?;
            let meta = Meta::read(tx)?.ok_or_else(|| self.empty())?;
            put_batch(tx, meta, batch)
        })
    }
}

/// Takes back what came after block `to`. Refused if the head has moved since the snapshot that all
/// of this was read from, or the state after that block is no longer kept.
fn undo(
    tx: &mut WriteTx<'_>,
    snapshot: &Snapshot,
    mut meta: Meta,
    to: u64,
    reversal: &Reversal,
    update: &TrieUpdate,
) -> Result<(), StorageError> {
    if meta.head != snapshot.meta().head {
        return Err(StorageError::Misfit("the head moved meanwhile".to_owned()));
    }
    let oldest = meta.oldest_state;
    if to < oldest {
        return Err(StorageError::Pruned { what: "state", number: to, oldest });
    }
    for (path, branch) in &update.accounts {
        put_or_delete(tx, Table::AccountTrie, &trie_key(path), branch.clone())?;
    }
    for storage in &update.storages {
        let now = decoded(tx, Table::Accounts, storage.owner.as_slice(), Row::decode)?;
        if storage.is_new
            && let Some(ended) = now.and_then(|row| row.storage)
        {
            tx.delete_prefix(Table::StorageTrie, &ended.id.to_be_bytes())?;
        }
        let then = match reversal.rows.get(&storage.owner) {
            Some(row) => *row,
            None => now,
        };
        let Some(id) = then.and_then(|row| row.storage).map(|storage| storage.id) else {
            // The storage did not exist then: what its id had is gone below.
            if let Some(storage) = now.and_then(|row| row.storage) {
                tx.delete_prefix(Table::StorageTrie, &storage.id.to_be_bytes())?;
            }
            continue;
        };
        for (path, branch) in &storage.nodes {
            let key = storage_path_key(id, path);
            put_or_delete(tx, Table::StorageTrie, &key, branch.clone())?;
        }
    }
    for (key, row) in &reversal.rows {
        put_or_delete(tx, Table::Accounts, key.as_slice(), row.map(|row| row.encode()))?;
    }
    for ((id, slot), value) in &reversal.slots {
        let key = [&id.to_be_bytes()[..], slot.as_slice()].concat();
        let value = value.to_be_bytes::<32>();
        let value = Some(trimmed(&value).to_vec()).filter(|value| !value.is_empty());
        put_or_delete(tx, Table::Storage, &key, value)?;
    }
    for number in to + 1..=meta.head.number {
        forget_block(tx, snapshot, number)?;
    }
    log_index::forget_after(tx, Table::LogIndex, to, meta.head.number)?;
    if meta.indexes_addresses {
        // Which address has a hash stays true.
        log_index::forget_after(tx, Table::AddressIndex, to, meta.head.number)?;
    }
    let (hash, _) = snapshot.header(to)?;
    meta.head = Head { number: to, hash };
    meta.oldest_body = meta.oldest_body.min(to);
    meta.oldest_receipts = meta.oldest_receipts.min(to);
    meta.write(tx)
}

/// Everything that is kept of one block, but for what the indices have.
fn forget_block(
    tx: &mut WriteTx<'_>,
    snapshot: &Snapshot,
    number: u64,
) -> Result<(), StorageError> {
    let key = number.to_be_bytes();
    let (hash, _) = snapshot.header(number)?;
    if number >= snapshot.meta().oldest_body {
        for transaction in snapshot.body(number)?.transactions {
            tx.delete(Table::Transactions, transaction.tx_hash().as_slice())?;
        }
    }
    let changes = snapshot.changes(number)?;
    crate::prune::delete_history(tx, number, &changes)?;
    tx.delete_prefix(Table::Graves, &key)?;
    tx.delete(Table::HeaderNumbers, hash.as_slice())?;
    for table in
        [Table::Headers, Table::Bodies, Table::Receipts, Table::AccessLists, Table::Senders]
    {
        tx.delete(table, &key)?;
    }
    Ok(())
}

fn put_or_delete(
    tx: &mut WriteTx<'_>,
    table: Table,
    key: &[u8],
    value: Option<Vec<u8>>,
) -> Result<(), StorageError> {
    match value {
        Some(value) => tx.put(table, key, &value),
        None => tx.delete(table, key),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Retention, address_index::tests::Subject};

    /// 1. One thread looks at what has to be undone.
    /// 2. Another one prunes meanwhile.
    /// 3. What the first then writes must not have a head whose state is gone.
    #[test]
    fn what_was_pruned_since_it_was_looked_at_is_not_gone_back_to() {
        let mut subject = Subject::new(false);
        (0..5).for_each(|_| subject.commit(Vec::new(), &[]));
        let (store, snapshot) = (&subject.store, subject.snapshot());
        let undone = |to: u64| -> Result<(), StorageError> {
            let reversal = snapshot.reversal(to, ALWAYS)?;
            let update = snapshot.reversed_tries(to, &reversal, ALWAYS)?.take_updates();
            store.write(|tx| {
                let meta = Meta::read(tx)?.ok_or_else(|| store.empty())?;
                undo(tx, &snapshot, meta, to, &reversal, &update)
            })
        };
        store.prune(Retention::Full { window: 1 }).expect("nothing fails");
        let pruned = StorageError::Pruned { what: "state", number: 3, oldest: 4 };
        assert_eq!(undone(3), Err(pruned));
        assert_eq!(subject.snapshot().meta().head, snapshot.meta().head);
        assert_eq!(undone(4), Ok(()));
        assert_eq!(subject.snapshot().meta().head.number, 4);
    }
}
