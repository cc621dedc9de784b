//! The ancestors of a block, through the tree and the store.

use crate::{Chain, Head, ImportError, work::REORG_DEPTH_MAX};
use fugue_storage::Snapshot;
use fugue_types::B256;
use std::sync::Arc;

/// The chain of blocks up to one of them.
pub(crate) struct Lineage {
    /// Its blocks in the tree, lowest first.
    above: Vec<Head>,
    /// Its newest block in the store.
    base: u64,
    snapshot: Arc<Snapshot>,
}

impl Lineage {
    /// Of a block that is known.
    pub(crate) fn of(chain: &Chain, hash: B256) -> Result<Self, ImportError> {
        let (below, path) = chain.tree.path_to(hash);
        let snapshot = chain.snapshot()?;
        let base = snapshot
            .number(below)?
            .ok_or_else(|| ImportError::Internal(format!("block {below} is nowhere")))?;
        let head = |record: &Arc<fugue_storage::BlockRecord>| Head {
            number: record.block.block().header.number,
            hash: record.block.hash(),
        };
        Ok(Self { above: path.iter().map(head).collect(), base, snapshot })
    }

    /// Whether the state below its blocks in the tree is kept, and near enough to build upon.
    pub(crate) fn can_be_built_on(&self) -> bool {
        let meta = self.snapshot.meta();
        let depth = meta.head.number.saturating_sub(self.base);
        self.base >= meta.oldest_state && depth <= REORG_DEPTH_MAX
    }

    /// The block with this hash, if it is in this chain.
    pub(crate) fn find(&self, chain: &Chain, hash: B256) -> Result<Option<Head>, ImportError> {
        if chain.tree.get(hash).is_some() {
            return Ok(self.above.iter().find(|head| head.hash == hash).copied());
        }
        let number = self.snapshot.number(hash)?.filter(|number| *number <= self.base);
        Ok(number.map(|number| Head { number, hash }))
    }

    /// The newest block that this chain shares with the one up to `other`, which is known.
    pub(crate) fn fork_with(&self, chain: &Chain, other: Head) -> Result<u64, ImportError> {
        let other = Self::of(chain, other.hash)?;
        if other.base != self.base {
            return Ok(self.base.min(other.base));
        }
        let both = self.above.iter().zip(&other.above);
        let shared = both.take_while(|(one, other)| one == other).count() as u64;
        Ok(self.base + shared)
    }
}
