//! Everything in the store against everything else: slow, for people who doubt a disk.
//!
//! * The state root is computed anew from the flat state, by another way than import computes it,
//!   and compared with the head's header; so are the storage roots with the rows.
//! * Every stored branch is reached from its root, and each reference is the hash of what it names.
//! * Headers are linked; bodies and receipts that are kept have the roots of their headers.

use crate::{
    Snapshot, StorageError, Table,
    backend::{Read, Scan},
    blocks::damaged,
    nodes::{slot_leaf, storage_path_key, trie_key},
    row::Row,
};
use alloy_consensus::proofs::{
    calculate_ommers_root, calculate_receipt_root, calculate_transaction_root,
};
use alloy_trie::HashBuilder;
use fugue_trie::{EMPTY_ROOT_HASH, Nibbles, RlpNode, StoredBranch};
use fugue_types::{B256, BlockBody, Header};

/// Problems that are listed; verification ends at the last of them.
const PROBLEMS_MAX: usize = 100;

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
    /// Accounts.
    pub accounts: u64,
    /// Slots.
    pub slots: u64,
    /// Stored branches of all tries.
    pub branches: u64,
    /// What does not fit; empty if all is well.
    pub problems: Vec<Problem>,
}

impl Verified {
    fn say(&mut self, what: impl ToString) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(Problem { what: what.to_string() });
        }
    }

    fn expect<T: PartialEq + std::fmt::Display>(&mut self, what: &str, expected: T, found: T) {
        if expected != found {
            self.say(format!("{what}: expected {expected}, found {found}"));
        }
    }
}

impl Snapshot {
    /// Looks at everything. `progress` is told the block, then the account, that is looked at, out
    /// of how many blocks and accounts in all.
    ///
    /// # Errors
    /// What the database says; rows that do not decode are problems.
    pub fn verify(&self, mut progress: impl FnMut(u64)) -> Result<Verified, StorageError> {
        let mut verified = Verified::default();
        self.verify_blocks(&mut verified, &mut progress)?;
        self.verify_state(&mut verified, &mut progress)?;
        Ok(verified)
    }

    fn verify_blocks(
        &self,
        verified: &mut Verified,
        progress: &mut impl FnMut(u64),
    ) -> Result<(), StorageError> {
        let meta = self.meta();
        let mut parent: Option<B256> = None;
        for number in 0..=meta.head.number {
            progress(1);
            let (hash, header) = match self.header(number) {
                Ok(found) => found,
                Err(error @ StorageError::Damaged { .. }) => {
                    verified.say(error);
                    parent = None;
                    continue;
                }
                Err(error) => return Err(error),
            };
            verified.headers += 1;
            let at = |what: &str| format!("block {number}: {what}");
            verified.expect(&at("hash"), header.hash_slow(), hash);
            if let Some(parent) = parent {
                verified.expect(&at("parentHash"), parent, header.parent_hash);
            }
            parent = Some(hash);
            if self.number(hash)? != Some(number) {
                verified.say(at("its hash does not lead to it"));
            }
            if number >= meta.oldest_body {
                match self.body(number) {
                    Ok(body) => {
                        verified.bodies += 1;
                        self.verify_body(verified, number, &header, &body)?;
                    }
                    Err(error @ StorageError::Damaged { .. }) => verified.say(error),
                    Err(error) => return Err(error),
                }
            }
            if number >= meta.oldest_receipts {
                match self.receipts(number) {
                    Ok(receipts) => {
                        verified.receipts += 1;
                        let root = calculate_receipt_root(&receipts);
                        verified.expect(&at("receiptsRoot"), header.receipts_root, root);
                    }
                    Err(error @ StorageError::Damaged { .. }) => verified.say(error),
                    Err(error) => return Err(error),
                }
            }
            if number > meta.oldest_state
                && let Err(error) = self.changes(number)
            {
                verified.say(error);
            }
        }
        verified.expect("the head", meta.head.hash, parent.unwrap_or_default());
        Ok(())
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
        for (index, transaction) in (0u32..).zip(&body.transactions) {
            if self.transaction(*transaction.tx_hash())? != Some((number, index)) {
                verified.say(at(&format!("transaction {index}: its hash does not lead to it")));
            }
        }
        let senders = self.senders(number).map(|senders| senders.len());
        if senders != Ok(body.transactions.len()) {
            verified.say(at("there is not one sender for each transaction"));
        }
        Ok(())
    }

    fn verify_state(
        &self,
        verified: &mut Verified,
        progress: &mut impl FnMut(u64),
    ) -> Result<(), StorageError> {
        let (_, head) = self.header(self.meta().head.number)?;
        let mut builder = HashBuilder::default();
        let mut storages = Vec::new();
        self.with(|tx| {
            tx.scan(Table::Accounts, &[], &mut |key, bytes| {
                progress(1);
                verified.accounts += 1;
                let (Ok(hash), Some(row)) = (B256::try_from(key), Row::decode(bytes)) else {
                    verified.say(damaged(Table::Accounts, key, "the row does not decode"));
                    return Ok(Scan::Continue);
                };
                let leaf = alloy_rlp::encode(row.trie_account());
                builder.add_leaf(Nibbles::unpack(hash), &leaf);
                if let Some(storage) = row.storage {
                    storages.push((hash, storage));
                }
                Ok(Scan::Continue)
            })
        })?;
        verified.expect("state root of the accounts", head.state_root, builder.root());
        for (owner, storage) in &storages {
            let root = self.storage_root(storage.id, verified)?;
            verified.expect(&format!("storage root of {owner}"), storage.root, root);
        }
        self.verify_trie(Table::AccountTrie, None, head.state_root, verified)?;
        for (_, storage) in &storages {
            self.verify_trie(Table::StorageTrie, Some(storage.id), storage.root, verified)?;
        }
        Ok(())
    }

    fn storage_root(&self, id: u64, verified: &mut Verified) -> Result<B256, StorageError> {
        let mut builder = HashBuilder::default();
        let prefix = id.to_be_bytes();
        self.with(|tx| {
            tx.scan(Table::Storage, &prefix, &mut |key, value| {
                let Some(slot) = key.strip_prefix(&prefix) else { return Ok(Scan::Stop) };
                verified.slots += 1;
                match (B256::try_from(slot), slot_leaf(value)) {
                    (Ok(slot), Some(leaf)) => builder.add_leaf(Nibbles::unpack(slot), &leaf),
                    _ => verified.say(damaged(Table::Storage, key, "the row does not decode")),
                }
                Ok(Scan::Continue)
            })
        })?;
        Ok(builder.root())
    }

    /// Every branch that is stored under a trie, from its root down.
    fn verify_trie(
        &self,
        table: Table,
        id: Option<u64>,
        root: B256,
        verified: &mut Verified,
    ) -> Result<(), StorageError> {
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
        if root != EMPTY_ROOT_HASH && stored > 0 {
            open.push((Nibbles::default(), RlpNode::word_rlp(&root)));
        }
        while let Some((path, expected)) = open.pop() {
            let key = match id {
                None => trie_key(&path),
                Some(id) => storage_path_key(id, &path),
            };
            let branch = self.decoded(table, &key, StoredBranch::decode);
            let branch = match branch {
                Ok(Some(branch)) => branch,
                Ok(None) => {
                    verified.say(damaged(table, &key, "the branch is missing"));
                    continue;
                }
                Err(error @ StorageError::Damaged { .. }) => {
                    verified.say(error);
                    continue;
                }
                Err(error) => return Err(error),
            };
            reached += 1;
            let found = branch.reference();
            if found != expected && !(path.is_empty() && found.as_hash().is_none()) {
                verified.say(damaged(table, &key, "the branch is not the one its parent names"));
            }
            let start = path.join(&branch.prefix);
            for (nibble, child) in (0u8..).zip(branch.children) {
                let Some(child) = child else { continue };
                if !child.is_leaf {
                    let mut path = start;
                    path.push(nibble);
                    open.push((path, child.rlp));
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
