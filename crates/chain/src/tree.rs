//! Executed blocks that are not durable, by hash.

use fugue_storage::{BlockRecord, Snapshot, StorageError};
use fugue_types::{B256, B256Map, HashSet};
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
    invalid: B256Map<()>,
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

    fn remove(&mut self, hash: B256) {
        if let Some((_, bytes)) = self.blocks.remove(&hash) {
            self.bytes -= bytes;
        }
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

    /// Forgets blocks that became durable, side blocks far below the head, and what builds on
    /// nothing that is known.
    pub(crate) fn settle(
        &mut self,
        durable: &[Arc<BlockRecord>],
        head: u64,
        store: &Snapshot,
    ) -> Result<(), StorageError> {
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
        for (number, hash, parent) in order {
            let is_near = number.saturating_add(SIDE_DEPTH_MAX) >= head;
            let is_rooted = self.blocks.contains_key(&parent) || store.number(parent)?.is_some();
            if !is_near || !is_rooted {
                self.remove(hash);
            }
        }
        Ok(())
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.blocks.clear();
        self.bytes = 0;
    }
}
