//! What is known of how transactions will conflict, before their block comes.

use fugue_executor::{Footprint, PreparedBlock};
use fugue_types::{B256, B256Map, HashSet};
use parking_lot::RwLock;
use std::sync::Arc;

/// Footprints of transactions of the pool, by hash. Who looks ahead bounds them.
#[derive(Debug, Default)]
pub(crate) struct Footprints(RwLock<B256Map<Arc<Footprint>>>);

impl Footprints {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.read().len()
    }

    /// One for each hash, where it is known.
    pub(crate) fn of<'t>(
        &self,
        hashes: impl Iterator<Item = &'t B256>,
    ) -> Vec<Option<Arc<Footprint>>> {
        let known = self.0.read();
        hashes.map(|hash| known.get(hash).cloned()).collect()
    }

    /// Lets transactions of a block wait for those whose writes they are likely to read. Gives the
    /// number of transactions of which anything is known.
    pub(crate) fn order(&self, block: &mut PreparedBlock) -> usize {
        let txs = &block.block().block().body.transactions;
        let footprints = self.of(txs.iter().map(|tx| tx.hash()));
        let known = footprints.iter().flatten().count();
        if known > 0 {
            block.foresee(&footprints);
        }
        known
    }

    /// Forgets all others.
    pub(crate) fn keep(&self, kept: &HashSet<B256>) {
        self.0.write().retain(|hash, _| kept.contains(hash));
    }

    pub(crate) fn insert(&self, found: impl Iterator<Item = (B256, Footprint)>) {
        let found = found.map(|(hash, footprint)| (hash, Arc::new(footprint)));
        self.0.write().extend(found);
    }
}
