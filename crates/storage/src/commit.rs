//! From executed blocks to rows: everything that belongs together, in one transaction.
//!
//! History is written block by block; of the latest state and the trie, only what stands at the end
//! of the batch. Rows go into each table in the order of their keys.

use crate::{
    Head, Meta, StorageError, Table,
    address_index::Named,
    backend::{Read, WriteTx},
    blocks::{HeaderRow, Packer, decoded, encode_receipts},
    changes::Changes,
    log_index::{Postings, terms_of},
    nodes::{storage_path_key, trie_key},
    row::{Row, StorageRef, trimmed},
};
use alloy_eips::eip2718::Encodable2718;
use fugue_state::{AccountDiff, StateDiff};
use fugue_trie::{EMPTY_ROOT_HASH, TrieUpdate};
use fugue_types::{
    B256, B256Map, Block, Bytes, HashMap, ReceiptEnvelope, RecoveredBlock, U256, keccak256,
};
use std::{borrow::Cow, sync::Arc};

/// An executed block whose root is its header's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockRecord {
    /// The block with its senders.
    pub block: RecoveredBlock,
    /// Sum of the difficulties up to and with this block.
    pub total_difficulty: U256,
    /// One for each transaction.
    pub receipts: Vec<ReceiptEnvelope>,
    /// The block access list in RLP (EIP-7928), from Amsterdam on.
    pub access_list: Option<Bytes>,
    /// What the block changed.
    pub diff: StateDiff,
    /// By hashed address, the storage root after the block of every account of `diff` whose storage
    /// changed and that is there after; of several of one account the last.
    pub storage_roots: Vec<(B256, B256)>,
}

/// Blocks that become durable together, each the child of the one before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommitBatch {
    /// The blocks; the first follows the head of the store.
    pub blocks: Vec<Arc<BlockRecord>>,
    /// What all of them changed in the tries.
    pub trie: TrieUpdate,
}

/// Rows of one table, to be written in the order of their keys; `None` deletes. What the batch
/// holds in the form in which it is stored is not copied.
type Rows<'b> = Vec<(Vec<u8>, Option<Cow<'b, [u8]>>)>;

pub(crate) fn put_batch(
    tx: &mut WriteTx<'_>,
    mut meta: Meta,
    batch: &CommitBatch,
) -> Result<(), StorageError> {
    let mut state = LatestState { rows: B256Map::default(), slots: HashMap::default() };
    let mut late = LateRows::default();
    let mut packer = Packer::new();
    for record in &batch.blocks {
        put_block(tx, &mut meta, record, &mut packer, &mut late)?;
        put_diff(tx, &mut meta, record, &mut state, &mut late)?;
    }
    state.put_nodes(tx, batch, &mut late)?;
    state.into_rows(&mut late);
    late.write(tx)?;
    meta.write(tx)
}

/// Rows that are written at the end, sorted.
#[derive(Default)]
struct LateRows<'b> {
    header_numbers: Rows<'b>,
    transactions: Rows<'b>,
    logs: Postings,
    addresses: Rows<'b>,
    address_blocks: Postings,
    accounts: Rows<'b>,
    storage: Rows<'b>,
    codes: Rows<'b>,
    account_history: Rows<'b>,
    storage_history: Rows<'b>,
    account_trie: Rows<'b>,
    storage_trie: Rows<'b>,
}

impl LateRows<'_> {
    fn write(self, tx: &mut WriteTx<'_>) -> Result<(), StorageError> {
        let Self {
            header_numbers,
            transactions,
            logs,
            addresses,
            address_blocks,
            accounts,
            storage,
            codes,
            account_history,
            storage_history,
            account_trie,
            storage_trie,
        } = self;
        for (table, mut rows) in [
            (Table::HeaderNumbers, header_numbers),
            (Table::Transactions, transactions),
            (Table::Accounts, accounts),
            (Table::Storage, storage),
            (Table::Codes, codes),
            (Table::Addresses, addresses),
            (Table::AccountHistory, account_history),
            (Table::StorageHistory, storage_history),
            (Table::AccountTrie, account_trie),
            (Table::StorageTrie, storage_trie),
        ] {
            rows.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
            for (key, value) in rows {
                match value {
                    Some(value) => tx.put(table, &key, &value)?,
                    None => tx.delete(table, &key)?,
                }
            }
        }
        logs.write(tx, Table::LogIndex)?;
        address_blocks.write(tx, Table::AddressIndex)
    }
}

/// Header, body, receipts, senders, lookup.
fn put_block(
    tx: &mut WriteTx<'_>,
    meta: &mut Meta,
    record: &BlockRecord,
    packer: &mut Packer,
    late: &mut LateRows<'_>,
) -> Result<(), StorageError> {
    let BlockRecord { block, total_difficulty, receipts, access_list, diff: _, storage_roots: _ } =
        record;
    let hash = block.hash();
    let Block { header, body } = block.block();
    let is_genesis = header.number == 0 && meta.head == Head::default();
    let follows = header.number == meta.head.number + 1 && header.parent_hash == meta.head.hash;
    if !is_genesis && !follows {
        let Head { number, hash: head } = meta.head;
        return Err(StorageError::Misfit(format!(
            "block {} ({hash}) does not follow {number} ({head})",
            header.number
        )));
    }
    meta.head = Head { number: header.number, hash };
    let key = header.number.to_be_bytes();
    let header_row = HeaderRow::encode(packer, hash, *total_difficulty, header);
    tx.put(Table::Headers, &key, &header_row)?;
    tx.put(Table::Bodies, &key, &packer.pack(&alloy_rlp::encode(body)))?;
    tx.put(Table::Receipts, &key, &packer.pack(&encode_receipts(receipts)))?;
    if let Some(list) = access_list {
        tx.put(Table::AccessLists, &key, &packer.pack(list))?;
    }
    let senders: Vec<u8> = block.senders().iter().flat_map(|sender| sender.0.0).collect();
    tx.put(Table::Senders, &key, &senders)?;
    late.logs.add_block(header.number, terms_of(receipts));
    late.header_numbers.push((hash.to_vec(), Some(key.to_vec().into())));
    for (index, transaction) in (0u32..).zip(&body.transactions) {
        let place = [&key[..], &index.to_be_bytes()].concat();
        late.transactions.push((transaction.trie_hash().to_vec(), Some(place.into())));
    }
    Ok(())
}

/// The latest rows and slots that the batch came by.
struct LatestState {
    rows: B256Map<Option<Row>>,
    slots: HashMap<(u64, B256), U256>,
}

fn put_diff<'b>(
    tx: &mut WriteTx<'_>,
    meta: &mut Meta,
    record: &'b BlockRecord,
    state: &mut LatestState,
    late: &mut LateRows<'b>,
) -> Result<(), StorageError> {
    let number = meta.head.number;
    let roots: B256Map<B256> = record.storage_roots.iter().copied().collect();
    for (hash, code) in &record.diff.codes {
        late.codes.push((hash.to_vec(), Some(Cow::Borrowed(code))));
    }
    let mut changes = Changes::default();
    for change in &record.diff.accounts {
        let key = keccak256(change.address);
        if meta.indexes_addresses && change.before.is_none() {
            // Whatever exists at any time has begun to once.
            late.addresses.push((key.to_vec(), Some(Cow::Borrowed(change.address.as_slice()))));
        }
        let before = state.row(tx, key)?;
        if before.map(|row| row.account) != change.before {
            return Err(StorageError::Misfit(format!(
                "block {number} expects another account {} than is stored",
                change.address
            )));
        }
        let root = roots.get(&key).copied();
        if root.is_none() && change.after.is_some() && !change.slots.is_empty() {
            return Err(StorageError::Misfit(format!(
                "block {number} gives no storage root for {}",
                change.address
            )));
        }
        let after = row_after(meta, change, before, root);
        if let Some(ended) = before.and_then(|row| row.storage)
            && after.and_then(|row| row.storage).is_none_or(|storage| storage.id != ended.id)
        {
            let grave = [number.to_be_bytes(), ended.id.to_be_bytes()].concat();
            tx.put(Table::Graves, &grave, &[])?;
            tx.delete_prefix(Table::StorageTrie, &ended.id.to_be_bytes())?;
        }
        if let Some(storage) = after.and_then(|row| row.storage) {
            let slots = state.put_slots(change, storage.id, number, late);
            if !slots.is_empty() {
                changes.storages.push((storage.id, slots));
            }
        }
        state.rows.insert(key, after);
        changes.accounts.push(key);
        let history = [key.as_slice(), &number.to_be_bytes()].concat();
        let before = before.map(|row| row.encode()).unwrap_or_default();
        late.account_history.push((history, Some(before.into())));
    }
    if number == 0 {
        // Nothing was before.
        late.account_history.clear();
        late.storage_history.clear();
        return Ok(());
    }
    if meta.indexes_addresses {
        late.address_blocks.add_block(number, Named::of_record(record).terms(&changes.accounts));
    }
    tx.put(Table::Changes, &number.to_be_bytes(), &changes.encode())
}

/// The row of an account after a block; `root` if its storage changed. Its storage gets an id when
/// the first slot is stored, and another one when it was wiped.
fn row_after(
    meta: &mut Meta,
    change: &AccountDiff,
    before: Option<Row>,
    root: Option<B256>,
) -> Option<Row> {
    let account = change.after?;
    let kept = before.and_then(|row| row.storage).filter(|_| !change.wiped);
    let id = match kept {
        Some(storage) => Some(storage.id),
        None if change.slots.is_empty() => None,
        None => {
            let id = meta.next_storage_id;
            meta.next_storage_id += 1;
            Some(id)
        }
    };
    let root = root.or(kept.map(|storage| storage.root)).unwrap_or(EMPTY_ROOT_HASH);
    Some(Row { account, storage: id.map(|id| StorageRef { root, id }) })
}

impl LatestState {
    fn row(&mut self, tx: &impl Read, key: B256) -> Result<Option<Row>, StorageError> {
        if let Some(row) = self.rows.get(&key) {
            return Ok(*row);
        }
        decoded(tx, Table::Accounts, key.as_slice(), Row::decode)
    }

    /// Slots of an account, and their history; gives their keys.
    fn put_slots(
        &mut self,
        change: &AccountDiff,
        id: u64,
        number: u64,
        late: &mut LateRows<'_>,
    ) -> Vec<B256> {
        let mut keys = Vec::with_capacity(change.slots.len());
        for slot in &change.slots {
            let key = keccak256(slot.slot.to_be_bytes::<32>());
            let history = [&id.to_be_bytes()[..], key.as_slice(), &number.to_be_bytes()].concat();
            let before = trimmed(&slot.before.to_be_bytes::<32>()).to_vec();
            late.storage_history.push((history, Some(before.into())));
            self.slots.insert((id, key), slot.after);
            keys.push(key);
        }
        keys
    }

    /// Trie nodes; those of storage under the id that the storage has at the end.
    fn put_nodes<'b>(
        &mut self,
        tx: &mut WriteTx<'_>,
        batch: &'b CommitBatch,
        late: &mut LateRows<'b>,
    ) -> Result<(), StorageError> {
        let TrieUpdate { accounts, storages } = &batch.trie;
        for (path, branch) in accounts {
            late.account_trie.push((trie_key(path), branch.as_deref().map(Cow::Borrowed)));
        }
        for storage in storages {
            let Some(id) = self.row(tx, storage.owner)?.and_then(|row| row.storage) else {
                if storage.nodes.iter().any(|(_, branch)| branch.is_some()) {
                    let owner = storage.owner;
                    return Err(StorageError::Misfit(format!("trie nodes of no storage: {owner}")));
                }
                continue;
            };
            for (path, branch) in &storage.nodes {
                let key = storage_path_key(id.id, path);
                late.storage_trie.push((key, branch.as_deref().map(Cow::Borrowed)));
            }
        }
        Ok(())
    }

    fn into_rows(self, late: &mut LateRows<'_>) {
        for (key, row) in self.rows {
            late.accounts.push((key.to_vec(), row.map(|row| row.encode().into())));
        }
        for ((id, slot), value) in self.slots {
            let key = [&id.to_be_bytes()[..], slot.as_slice()].concat();
            let value = value.to_be_bytes::<32>();
            let value = (!trimmed(&value).is_empty()).then(|| trimmed(&value).to_vec().into());
            late.storage.push((key, value));
        }
    }
}
