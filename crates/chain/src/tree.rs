//! Executed blocks that are not durable, by hash.

use crate::{Head, InvalidReason, bad_blocks::BadBlocks};
use alloy_rlp::Encodable;
use fugue_state::{AccountDiff, SlotDiff};
use fugue_storage::{BlockRecord, Snapshot, StorageError};
use fugue_types::{B256, B256Map, Block, HashSet, Header, Log, ReceiptEnvelope};
use std::sync::Arc;

/// How far below the head a side block may lie before it is forgotten.
const SIDE_DEPTH_MAX: u64 = 256;
/// Hashes of invalid blocks that are remembered.
const INVALID_MAX: usize = 1_024;

/// The blocks above the store.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    /// Each with the bytes that it takes, about.
    blocks: B256Map<(Arc<BlockRecord>, usize)>,
    /// Of all of them.
    bytes: usize,
    /// Blocks known to be invalid: a child of one is, too.
    invalid: B256Map<Invalid>,
    /// The newest of them, as they came.
    pub(crate) bad: Arc<BadBlocks>,
}

/// A block that was found invalid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Invalid {
    /// The newest valid block below it; zero if that is one of proof of work.
    pub(crate) latest_valid: B256,
    /// The rule that it breaks.
    pub(crate) reason: String,
}

impl Invalid {
    /// Of a child of a valid block. Source: execution-apis, "Payload validation".
    pub(crate) fn child_of(parent: &Header, parent_hash: B256) -> Self {
        let is_worked = !parent.difficulty.is_zero();
        let latest_valid = if is_worked { B256::ZERO } else { parent_hash };
        Self { latest_valid, reason: String::new() }
    }

    pub(crate) fn because(self, reason: &InvalidReason) -> Self {
        Self { reason: reason.to_string(), ..self }
    }
}

impl Tree {
    pub(crate) fn get(&self, hash: B256) -> Option<&Arc<BlockRecord>> {
        self.blocks.get(&hash).map(|(record, _)| record)
    }

    pub(crate) fn insert(&mut self, record: Arc<BlockRecord>, bytes: usize) {
        let hash = record.block.hash();
        self.remove(hash);
        self.bytes += bytes;
        self.blocks.insert(hash, (record, bytes));
    }

    fn remove(&mut self, hash: B256) -> Option<Arc<BlockRecord>> {
        let (record, bytes) = self.blocks.remove(&hash)?;
        self.bytes -= bytes;
        Some(record)
    }

    pub(crate) fn invalid(&self, hash: B256) -> Option<&Invalid> {
        self.invalid.get(&hash)
    }

    pub(crate) fn invalid_count(&self) -> usize {
        self.invalid.len()
    }

    pub(crate) fn remember_invalid(&mut self, hash: B256, invalid: Invalid) {
        if self.invalid.len() >= INVALID_MAX {
            self.invalid.clear();
        }
        self.invalid.insert(hash, invalid);
    }

    /// Keeps a block to be looked at, if it is known to be invalid.
    pub(crate) fn keep_bad(&self, hash: B256, block: &Block) {
        if self.invalid.contains_key(&hash) {
            self.bad.put(hash, block);
        }
    }

    /// Forgets that a block, and all that build on it, are invalid: these cannot be told from
    /// others, so all are forgotten. Says whether it was known to be.
    pub(crate) fn forget_invalid(&mut self, hash: B256) -> bool {
        let was_known = self.invalid.contains_key(&hash);
        if was_known {
            self.forget_all_invalid();
        }
        was_known
    }

    /// Forgets which blocks are invalid.
    pub(crate) fn forget_all_invalid(&mut self) {
        self.invalid.clear();
        self.bad.clear();
    }

    /// All blocks, by hash.
    pub(crate) fn blocks(&self) -> B256Map<Arc<BlockRecord>> {
        self.blocks.iter().map(|(hash, (record, _))| (*hash, record.clone())).collect()
    }

    /// Blocks from the first that is not durable to `hash`, and the durable block below them; in
    /// the order of their numbers.
    pub(crate) fn path_to(&self, hash: B256) -> (B256, Vec<Arc<BlockRecord>>) {
        let mut path = Vec::new();
        let mut at = hash;
        while let Some(record) = self.get(at) {
            path.push(record.clone());
            at = record.block.block().header.parent_hash;
        }
        path.reverse();
        (at, path)
    }

    /// How many blocks there are.
    pub(crate) fn len(&self) -> usize {
        self.blocks.len()
    }

    /// Bytes that they take, about.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Forgets all blocks that none of these builds upon.
    pub(crate) fn retain_paths(&mut self, tips: [B256; 2]) {
        let paths = tips.into_iter().flat_map(|tip| self.path_to(tip).1);
        let kept: HashSet<B256> = paths.map(|record| record.block.hash()).collect();
        self.blocks.retain(|hash, _| kept.contains(hash));
        self.bytes = self.blocks.values().map(|(_, bytes)| bytes).sum();
    }

    /// Forgets blocks that became durable, branches that end far below the head, and what builds on
    /// nothing that is known any more; gives the last of these, lowest first.
    pub(crate) fn settle(
        &mut self,
        durable: &[Arc<BlockRecord>],
        head: u64,
        store: &Snapshot,
    ) -> Result<Vec<Arc<BlockRecord>>, StorageError> {
        for record in durable {
            self.remove(record.block.hash());
        }
        let mut order: Vec<_> = self
            .blocks
            .iter()
            .map(|(hash, (record, _))| {
                let header = &record.block.block().header;
                (header.number, *hash, header.parent_hash)
            })
            .collect();
        order.sort_unstable();
        // A branch is judged by its newest block: from the highest down, what a near block builds
        // upon is near.
        let mut near: HashSet<B256> = HashSet::default();
        for (number, hash, parent) in order.iter().rev() {
            if number.saturating_add(SIDE_DEPTH_MAX) >= head || near.contains(hash) {
                near.extend([*hash, *parent]);
            }
        }
        let mut unrooted = Vec::new();
        for (_, hash, parent) in order {
            let is_rooted = self.blocks.contains_key(&parent) || store.number(parent)?.is_some();
            if !near.contains(&hash) {
                self.remove(hash);
            } else if !is_rooted {
                unrooted.extend(self.remove(hash));
            }
        }
        Ok(unrooted)
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.blocks.clear();
        self.bytes = 0;
    }
}

/// The block as a head.
pub(crate) fn head_of(record: &BlockRecord) -> Head {
    Head { number: record.block.block().header.number, hash: record.block.hash() }
}

/// Bytes that a block takes in memory until it is durable, about.
pub(crate) fn weight(record: &BlockRecord) -> usize {
    let BlockRecord { block, total_difficulty: _, receipts, access_list, diff, storage_roots } =
        record;
    let change = |change: &AccountDiff| {
        size_of::<AccountDiff>() + change.slots.len() * size_of::<SlotDiff>()
    };
    // A transaction is about twice as large as its RLP.
    block.block().body.length() * 2
        + receipts_weight(receipts)
        + access_list.as_ref().map_or(0, |list| list.len())
        + diff.accounts.iter().map(change).sum::<usize>()
        + diff.codes.iter().map(|(_, code)| code.len()).sum::<usize>()
        + storage_roots.len() * 64
}

/// Bytes that receipts take in memory, about.
pub(crate) fn receipts_weight(receipts: &[ReceiptEnvelope]) -> usize {
    let log = |log: &Log| size_of::<Log>() + log.topics().len() * 32 + log.data.data.len();
    let receipt = |receipt: &ReceiptEnvelope| {
        size_of::<ReceiptEnvelope>() + receipt.logs().iter().map(log).sum::<usize>()
    };
    receipts.iter().map(receipt).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::samples::{After, World, come, raise};

    /// Puts a block into the tree, as one of so many bytes.
    fn put(tree: &mut Tree, after: &After, bytes: usize) {
        tree.insert(after.record().expect("not the genesis"), bytes);
    }

    #[test]
    fn a_branch_is_near_as_a_whole_if_its_newest_block_is() {
        let World { store, genesis, .. } = World::new();
        let one = genesis.child(raise(&genesis.state));
        let two = one.child(raise(&one.state));
        let three = two.child(raise(&two.state));
        let low = genesis.child(come(&genesis.state));
        let mut tree = Tree::default();
        for after in [&one, &two, &three, &low] {
            put(&mut tree, after, 1);
        }
        let head = three.head.number + SIDE_DEPTH_MAX;
        let snapshot = store.snapshot().expect("a good store");
        let unrooted = tree.settle(&[], head, &snapshot).expect("a good store");
        let (below, path) = tree.path_to(three.head.hash);
        assert_eq!((below, path.len()), (genesis.head.hash, 3));
        assert_eq!((tree.len(), unrooted.len()), (3, 0), "the branch that ends below is forgotten");
    }

    #[test]
    fn the_bytes_of_forgotten_branches_are_not_counted_any_more() {
        let World { genesis, .. } = World::new();
        let kept = genesis.child(raise(&genesis.state));
        let forgotten = genesis.child(come(&genesis.state));
        let mut tree = Tree::default();
        put(&mut tree, &kept, 10);
        put(&mut tree, &forgotten, 20);
        tree.retain_paths([genesis.head.hash, kept.head.hash]);
        assert_eq!((tree.len(), tree.bytes()), (1, 10));
    }
}
