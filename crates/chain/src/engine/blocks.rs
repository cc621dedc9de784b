//! The ancestors of a block, through the tree and the store.

use super::EngineError;
use crate::{Chain, Head, ImportError, tree::head_of, work::REORG_DEPTH_MAX};
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
        Ok(Self { above: path.iter().map(|record| head_of(record)).collect(), base, snapshot })
    }

    /// Whether the state below its blocks in the tree is kept, and near enough to build upon; where
    /// a batch extends the store that is on its way, also after that has arrived, and what is too
    /// old then is pruned.
    ///
    /// # Errors
    /// [`EngineError::Pruned`], [`EngineError::TooDeep`].
    pub(crate) fn check_base(&self, chain: &Chain) -> Result<(), EngineError> {
        let coming: &[Head] = match &chain.persisting {
            Some(batch) => &batch.heads,
            None => &[],
        };
        let base = self.base + self.shared(coming);
        let meta = self.snapshot.meta();
        let (head, oldest) = match coming.last() {
            Some(last) => (last.number, chain.options.retention.oldest_state(last.number)),
            None => (meta.head.number, 0),
        };
        let oldest = oldest.max(meta.oldest_state);
        if base < oldest {
            return Err(EngineError::Pruned { number: base, oldest });
        }
        let (depth, max) = (head.saturating_sub(base), REORG_DEPTH_MAX);
        if depth > max { Err(EngineError::TooDeep { depth, max }) } else { Ok(()) }
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
        Ok(self.base + self.shared(&other.above))
    }

    /// With how many of its blocks in the tree these begin as well.
    fn shared(&self, others: &[Head]) -> u64 {
        let both = self.above.iter().zip(others);
        both.take_while(|(one, other)| one == other).count() as u64
    }
}
