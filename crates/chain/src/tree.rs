//! Executed blocks that are not durable, by hash.

use fugue_storage::BlockRecord;
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

    /// Forgets blocks that became durable, and side blocks far below the head.
    pub(crate) fn settle(&mut self, durable: &[Arc<BlockRecord>], head: u64) {
        for record in durable {
            self.blocks.remove(&record.block.hash());
        }
        self.blocks.retain(|_, record| {
            record.block.block().header.number.saturating_add(SIDE_DEPTH_MAX) >= head
        });
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.blocks.clear();
    }
}
