//! Everything in the store against everything else: slow, for people who doubt a disk.
//!
//! * The state root is computed anew from the flat state, by another way than import computes it,
//!   and compared with the head's header; so are the storage roots with the rows.
//! * Every stored branch is reached from its root, and each reference is the hash of what it names.
//! * Headers are linked; bodies and receipts that are kept have the roots of their headers; hashes
//!   lead to what they are of; the index of logs has what the receipts say, and nothing else; so
//!   has the index of addresses, if there is one, of what blocks name.
//! * All history that is kept is of the accounts and slots that blocks changed, with a grave for
//!   each storage that they ended. What it says leads from the state of the head back to that of an
//!   earlier block, [`HISTORY_BLOCKS`] below it or the oldest one whose state is kept.

mod addresses;
mod history;

use crate::{
    Snapshot, StorageError, Table,
    backend::{Read, Scan},
    blocks::{HeaderRow, damaged},
    log_index::{self, Postings, end_of, section_of, terms_of},
    nodes::{slot_leaf, storage_path_key, trie_key},
    row::Row,
};
use alloy_consensus::proofs::{
    calculate_ommers_root, calculate_receipt_root, calculate_transaction_root,
    calculate_withdrawals_root,
};
use alloy_trie::HashBuilder;
use fugue_trie::{Nibbles, Reference};
use fugue_types::{B256, BlockBody, Header, U256, keccak256};

/// Problems that are listed; verification ends at the last of them.
const PROBLEMS_MAX: usize = 100;

/// Blocks that history is followed back: what changed in them is held in memory.
const HISTORY_BLOCKS: u64 = 1_024;

/// Something that does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where and what.
    pub what: String,
}

/// What was looked at, and what does not fit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    /// Headers.
    pub headers: u64,
    /// Bodies, with their transactions and ommers.
    pub bodies: u64,
    /// Blocks whose receipts were there.
    pub receipts: u64,
    /// Terms of the logs of these blocks in the index: of each block its addresses, and its topics
    /// by position.
    pub log_terms: u64,
    /// Addresses in the index of addresses.
    pub addresses: u64,
    /// Addresses in it for each block that names them.
    pub address_terms: u64,
    /// Accounts.
    pub accounts: u64,
    /// Slots.
    pub slots: u64,
    /// Stored branches of all tries.
    pub branches: u64,
    /// Codes.
    pub codes: u64,
    /// What does not fit; empty if all is well.
    pub problems: Vec<Problem>,
}

impl Verified {
    fn say(&mut self, what: impl ToString) {
        if !self.is_full() {
            self.problems.push(Problem { what: what.to_string() });
        }
    }

    fn is_full(&self) -> bool {
        self.problems.len() >= PROBLEMS_MAX
    }

    fn expect<T: PartialEq + std::fmt::Display>(&mut self, what: &str, expected: T, found: T) {
        if expected != found {
            self.say(format!("{what}: expected {expected}, found {found}"));
        }
    }

    /// What was read; damage is a problem, any other failure ends it.
    fn read<T>(&mut self, found: Result<T, StorageError>) -> Result<Option<T>, StorageError> {
        match found {
            Ok(found) => Ok(Some(found)),
            Err(error @ (StorageError::Damaged { .. } | StorageError::Trie(_))) => {
                self.say(error);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// A root of leaves that come in the order of their keys.
#[derive(Default)]
struct Leaves {
    builder: HashBuilder,
    last: Option<B256>,
    count: u64,
}

impl Leaves {
    /// Says whether the key comes after the last one.
    fn add(&mut self, key: B256, leaf: &[u8]) -> bool {
        let is_later = self.last.is_none_or(|last| last < key);
        if is_later {
            self.builder.add_leaf(Nibbles::unpack(key), leaf);
            self.last = Some(key);
            self.count += 1;
        }
        is_later
    }
}

/// An index of blocks, and what of it can be compared.
struct Index {
    table: Table,
    /// The oldest block of which it is known what the index must have.
    oldest: u64,
    /// Sections that end with this block or before it are gone.
    gone: u64,
}

/// One trie, as its rows say it is.
struct StoredTrie {
    table: Table,
    id: Option<u64>,
    root: B256,
    leaves: u64,
}

impl Snapshot {
    /// Looks at everything, until it is done or there are 100 problems. `progress` is
    /// told each block, each account and each block's changes that are looked at.
    ///
    /// # Errors
    /// What the database says; rows that do not decode are problems.
    pub fn verify(&self, mut progress: impl FnMut()) -> Result<Verified, StorageError> {
        let mut verified = Verified::default();
        self.verify_blocks(&mut verified, &mut progress)?;
        if !verified.is_full() {
            self.verify_state(&mut verified, &mut progress)?;
            self.verify_codes(&mut verified)?;
            self.verify_addresses(&mut verified)?;
            self.verify_history(&mut verified, &mut progress)?;
        }
        if verified.problems.is_empty() {
            // Only where all else fits does it say something by itself.
            let back = self.meta().head.number.saturating_sub(HISTORY_BLOCKS);
            let tries = self.tries_at(self.meta().oldest_state.max(back));
            verified.read(tries.map(drop))?;
        }
        Ok(verified)
    }

    fn verify_blocks(
        &self,
        verified: &mut Verified,
        progress: &mut impl FnMut(),
    ) -> Result<(), StorageError> {
        let head = self.meta().head;
        let mut parent: Option<(B256, U256)> = None;
        let oldest = self.meta().oldest_receipts;
        let index = Index { table: Table::LogIndex, oldest, gone: oldest };
        let mut logs = Some(Postings::default());
        for number in 0..=head.number {
            if verified.is_full() {
                return Ok(());
            }
            progress();
            parent = self.verify_block(verified, number, parent, &mut logs)?;
            let section = section_of(number);
            if (number == head.number || number + 1 == end_of(section))
                && let Some(logs) = logs.replace(Postings::default())
            {
                verified.log_terms += self.verify_section(verified, &index, section, logs)?;
            }
        }
        verified.expect("the head", head.hash, parent.unwrap_or_default().0);
        let above = end_of(section_of(head.number)).to_be_bytes();
        self.verify_end(verified, Table::LogIndex, &above, "there are no such blocks")
    }

    /// A table has no row from this key on.
    fn verify_end(
        &self,
        verified: &mut Verified,
        table: Table,
        key: &[u8],
        reason: &str,
    ) -> Result<(), StorageError> {
        self.with(|tx| {
            if let Some((key, _)) = tx.seek(table, key)? {
                verified.say(damaged(table, &key, reason));
            }
            Ok(())
        })
    }

    /// Gives hash and total difficulty, for its child. What its receipts say of the index of logs
    /// is added to `logs`, of which nothing is left where they cannot be read.
    fn verify_block(
        &self,
        verified: &mut Verified,
        number: u64,
        parent: Option<(B256, U256)>,
        logs: &mut Option<Postings>,
    ) -> Result<Option<(B256, U256)>, StorageError> {
        let meta = self.meta();
        let Some(row) = verified.read(self.header_row(number))? else {
            *logs = None;
            return Ok(None);
        };
        let HeaderRow { hash, total_difficulty, header } = row;
        verified.headers += 1;
        let at = |what: &str| format!("block {number}: {what}");
        verified.expect(&at("hash"), header.hash_slow(), hash);
        if let Some((parent, below)) = parent {
            verified.expect(&at("parentHash"), parent, header.parent_hash);
            let total = below.saturating_add(header.difficulty);
            verified.expect(&at("total difficulty"), total, total_difficulty);
        }
        if number == 0 {
            verified.expect("the genesis", meta.genesis, hash);
        }
        if verified.read(self.number(hash))?.is_some_and(|found| found != Some(number)) {
            verified.say(at("its hash does not lead to it"));
        }
        if number >= meta.oldest_body
            && let Some(body) = verified.read(self.body(number))?
        {
            verified.bodies += 1;
            self.verify_body(verified, number, &header, &body)?;
        }
        if number >= meta.oldest_receipts {
            if let Some(receipts) = verified.read(self.receipts(number))? {
                verified.receipts += 1;
                let root = calculate_receipt_root(&receipts);
                verified.expect(&at("receiptsRoot"), header.receipts_root, root);
                if let Some(logs) = logs {
                    logs.add_block(number, terms_of(&receipts));
                }
            } else {
                *logs = None;
            }
        }
        Ok(Some((hash, total_difficulty)))
    }

    /// The rows of a section of an index, against what its blocks say; gives how many terms were
    /// compared. Of pruned blocks there may be more, but no section that has none else.
    fn verify_section(
        &self,
        verified: &mut Verified,
        index: &Index,
        section: u64,
        expected: Postings,
    ) -> Result<u64, StorageError> {
        let Index { table, oldest, gone } = *index;
        let (end, mut expected) = (end_of(section), expected.into_rows());
        let mut terms = 0;
        self.with(|tx| {
            tx.scan(table, &section.to_be_bytes(), &mut |key, bytes| {
                if key >= &end.to_be_bytes()[..] {
                    return Ok(Scan::Stop);
                }
                let expected = expected.remove(key).unwrap_or_default();
                let found = log_index::decode(bytes);
                match found.filter(|found| log_index::encode(found) == bytes) {
                    None => {
                        verified.say(damaged(table, key, "the row does not decode"));
                    }
                    Some(_) if end <= gone => {
                        verified.say(damaged(table, key, "what its blocks did is pruned"));
                    }
                    Some(mut found) => {
                        found.retain(|(_, offset)| section + u64::from(*offset) >= oldest);
                        terms += found.len() as u64;
                        if found != expected {
                            verified.say(damaged(table, key, "the row is not what blocks say"));
                        }
                    }
                }
                Ok(if verified.is_full() { Scan::Stop } else { Scan::Continue })
            })
        })?;
        for key in expected.keys() {
            verified.say(damaged(table, key, "the row is missing"));
        }
        Ok(terms)
    }

    fn verify_body(
        &self,
        verified: &mut Verified,
        number: u64,
        header: &Header,
        body: &BlockBody,
    ) -> Result<(), StorageError> {
        let at = |what: &str| format!("block {number}: {what}");
        let root = calculate_transaction_root(&body.transactions);
        verified.expect(&at("transactionsRoot"), header.transactions_root, root);
        verified.expect(&at("sha3Uncles"), header.ommers_hash, calculate_ommers_root(&body.ommers));
        let withdrawals = body.withdrawals.as_ref().map(|all| calculate_withdrawals_root(all));
        if header.withdrawals_root != withdrawals {
            verified.say(at("the withdrawals are not those of the header"));
        }
        for (index, transaction) in (0u32..).zip(&body.transactions) {
            let place = verified.read(self.transaction(*transaction.tx_hash()))?;
            if place.is_some_and(|place| place != Some((number, index))) {
                verified.say(at(&format!("transaction {index}: its hash does not lead to it")));
            }
        }
        if let Some(list) = verified.read(self.access_list(number))?
            && list.map(keccak256) != header.block_access_list_hash
        {
            verified.say(at("the access list is not the one of the header"));
        }
        let senders = verified.read(self.senders(number))?;
        if senders.is_some_and(|senders| senders.len() != body.transactions.len()) {
            verified.say(at("there is not one sender for each transaction"));
        }
        Ok(())
    }

    fn verify_state(
        &self,
        verified: &mut Verified,
        progress: &mut impl FnMut(),
    ) -> Result<(), StorageError> {
        let Some((_, head)) = verified.read(self.header(self.meta().head.number))? else {
            return Ok(());
        };
        let mut leaves = Leaves::default();
        let mut storages = Vec::new();
        self.with(|tx| {
            tx.scan(Table::Accounts, &[], &mut |key, bytes| {
                progress();
                verified.accounts += 1;
                let (Ok(hash), Some(row)) = (B256::try_from(key), Row::decode(bytes)) else {
                    verified.say(damaged(Table::Accounts, key, "the row does not decode"));
                    return Ok(Scan::Continue);
                };
                if !leaves.add(hash, &alloy_rlp::encode(row.trie_account())) {
                    verified.say(damaged(Table::Accounts, key, "the key is out of order"));
                }
                if let Some(storage) = row.storage {
                    storages.push((hash, storage));
                }
                Ok(if verified.is_full() { Scan::Stop } else { Scan::Continue })
            })
        })?;
        let (root, count) = (leaves.builder.root(), leaves.count);
        verified.expect("state root of the accounts", head.state_root, root);
        let table = Table::AccountTrie;
        let trie = StoredTrie { table, id: None, root: head.state_root, leaves: count };
        self.verify_trie(&trie, verified)?;
        for (owner, storage) in &storages {
            if verified.is_full() {
                return Ok(());
            }
            if storage.id >= self.meta().next_storage_id {
                verified.say(format!("{owner} has a storage id that was never given"));
            }
            let (root, leaves) = self.storage_root(storage.id, verified)?;
            verified.expect(&format!("storage root of {owner}"), storage.root, root);
            let (table, id) = (Table::StorageTrie, Some(storage.id));
            self.verify_trie(&StoredTrie { table, id, root: storage.root, leaves }, verified)?;
        }
        Ok(())
    }

    /// Root of the slots of a storage, and how many there are.
    fn storage_root(&self, id: u64, verified: &mut Verified) -> Result<(B256, u64), StorageError> {
        let mut leaves = Leaves::default();
        let prefix = id.to_be_bytes();
        self.with(|tx| {
            tx.scan(Table::Storage, &prefix, &mut |key, value| {
                let Some(slot) = key.strip_prefix(&prefix) else { return Ok(Scan::Stop) };
                verified.slots += 1;
                match (B256::try_from(slot), slot_leaf(value)) {
                    (Ok(slot), Some(leaf)) if leaves.add(slot, &leaf) => {}
                    (Ok(_), Some(_)) => {
                        verified.say(damaged(Table::Storage, key, "the key is out of order"));
                    }
                    _ => verified.say(damaged(Table::Storage, key, "the row does not decode")),
                }
                Ok(if verified.is_full() { Scan::Stop } else { Scan::Continue })
            })
        })?;
        Ok((leaves.builder.root(), leaves.count))
    }

    /// Every branch that is stored under a trie, from its root down.
    fn verify_trie(&self, trie: &StoredTrie, verified: &mut Verified) -> Result<(), StorageError> {
        let StoredTrie { table, id, root, leaves } = *trie;
        let scope = id.map(|id| id.to_be_bytes().to_vec()).unwrap_or_default();
        let mut stored = 0u64;
        self.with(|tx| {
            tx.scan(table, &scope, &mut |key, _| {
                let is_here = key.starts_with(&scope);
                stored += u64::from(is_here);
                Ok(if is_here { Scan::Continue } else { Scan::Stop })
            })
        })?;
        let mut reached = 0u64;
        let mut open = Vec::new();
        // A single leaf has no branch above it.
        if leaves >= 2 {
            open.push((Nibbles::default(), Reference::hash(root)));
        }
        while let Some((path, expected)) = open.pop() {
            if verified.is_full() {
                return Ok(());
            }
            let key = match id {
                None => trie_key(&path),
                Some(id) => storage_path_key(id, &path),
            };
            let Some(branch) = verified.read(self.branch(table, &key, &path))? else { continue };
            let Some(branch) = branch else {
                verified.say(damaged(table, &key, "the branch is missing"));
                continue;
            };
            reached += 1;
            if branch.reference() != expected {
                verified.say(damaged(table, &key, "the branch is not the one its parent names"));
            }
            let start = path.join(&branch.prefix);
            for (nibble, child) in branch.children.iter() {
                if !child.is_leaf {
                    let mut path = start;
                    path.push(nibble);
                    open.push((path, child.reference));
                }
            }
        }
        verified.branches += reached;
        if reached != stored {
            let name = table.name();
            verified.say(format!("{name}: {stored} branches stored, {reached} of them reached"));
        }
        Ok(())
    }

    fn verify_codes(&self, verified: &mut Verified) -> Result<(), StorageError> {
        self.with(|tx| {
            tx.scan(Table::Codes, &[], &mut |key, code| {
                verified.codes += 1;
                if keccak256(code) != key {
                    verified.say(damaged(Table::Codes, key, "the code does not hash to its key"));
                }
                Ok(if verified.is_full() { Scan::Stop } else { Scan::Continue })
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_are_bounded() {
        let mut verified = Verified::default();
        (0..1_000).for_each(|index| verified.say(index));
        assert_eq!(verified.problems.len(), PROBLEMS_MAX);
    }
}
