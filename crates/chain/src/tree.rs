//! Executed blocks that are not durable, by hash.

use fugue_storage::{BlockRecord, Snapshot, StorageError};
use fugue_types::{B256, B256Map};
use std::sync::Arc;

/// How far below the head a side block may lie before it is forgotten.
const SIDE_DEPTH_MAX: u64 = 256;
/// Hashes of invalid blocks that are remembered.
const INVALID_MAX: usize = 1_024;

/// The blocks above the store.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    blocks: B256Map<Arc<BlockRecord>>,
    /// Blocks known to be invalid: a child of one is, too.
    invalid: B256Map<()>,
}

impl Tree {
    pub(crate) fn get(&self, hash: B256) -> Option<&Arc<BlockRecord>> {
        self.blocks.get(&hash)
    }

    pub(crate) fn insert(&mut self, record: Arc<BlockRecord>) {
        self.blocks.insert(record.block.hash(), record);
    }

    pub(crate) fn is_invalid(&self, hash: B256) -> bool {
        self.invalid.contains_key(&hash)
    }

    pub(crate) fn remember_invalid(&mut self, hash: B256) {
        if self.invalid.len() >= INVALID_MAX {
            self.invalid.clear();
        }
        self.invalid.insert(hash, ());
    }

    /// Blocks from the first that is not durable to `hash`, and the durable block below them; in
    /// the order of their numbers.
    pub(crate) fn path_to(&self, hash: B256) -> (B256, Vec<Arc<BlockRecord>>) {
        let mut path = Vec::new();
        let mut at = hash;
        while let Some(record) = self.blocks.get(&at) {
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

    /// Forgets all blocks that the head does not build upon.
    pub(crate) fn drop_sides(&mut self, head: B256) {
        let (_, path) = self.path_to(head);
        let kept = |record: Arc<BlockRecord>| (record.block.hash(), record);
        self.blocks = path.into_iter().map(kept).collect();
    }

    /// Forgets blocks that became durable, side blocks far below the head, and what builds on
    /// nothing that is known.
    pub(crate) fn settle(
        &mut self,
        durable: &[Arc<BlockRecord>],
        head: u64,
        store: &Snapshot,
    ) -> Result<(), StorageError> {
        for record in durable {
            self.blocks.remove(&record.block.hash());
        }
        let mut order: Vec<_> = self
            .blocks
            .iter()
            .map(|(hash, record)| {
                let header = &record.block.block().header;
                (header.number, *hash, header.parent_hash)
            })
            .collect();
        order.sort_unstable();
        for (number, hash, parent) in order {
            let is_near = number.saturating_add(SIDE_DEPTH_MAX) >= head;
            let is_rooted = self.blocks.contains_key(&parent) || store.number(parent)?.is_some();
            if !is_near || !is_rooted {
                self.blocks.remove(&hash);
            }
        }
        Ok(())
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.blocks.clear();
    }
}
