//! Back to a block of the chain, as if nothing had come after it.

use crate::{Chain, Head, ImportError, moved::MovedBlock};
use fugue_types::B256;
use std::collections::VecDeque;

/// Blocks taken back that are remembered, at most: as many as one move of the head tells.
const REWOUND_MAX: usize = 256;
/// Bytes of them in memory, at most, about: small ones reach the other bound first.
const REWOUND_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Blocks that were taken back last. They are part of no chain; a filter that has told of their
/// logs has yet to tell that these are gone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rewound {
    /// As they were taken, each with the bytes that it takes, about.
    blocks: VecDeque<(MovedBlock, usize)>,
    /// Of all of them.
    bytes: usize,
}

impl Rewound {
    pub(crate) fn get(&self, hash: B256) -> Option<&MovedBlock> {
        self.blocks.iter().map(|(block, _)| block).find(|block| block.hash() == hash)
    }

    /// Takes in the blocks of one way back, lowest first; the oldest make room.
    pub(crate) fn add(&mut self, blocks: &[MovedBlock]) {
        for block in blocks {
            let bytes = block.bytes();
            self.bytes = self.bytes.saturating_add(bytes);
            self.blocks.push_back((block.clone(), bytes));
        }
        while self.blocks.len() > REWOUND_MAX || self.bytes > REWOUND_BYTES_MAX {
            let Some((_, bytes)) = self.blocks.pop_front() else { break };
            self.bytes = self.bytes.saturating_sub(bytes);
        }
    }
}

impl Chain {
    /// Makes a block of the head's chain the head again, and forgets what came after it, however
    /// deep that is. No batch may be on its way.
    ///
    /// 1. Blocks that are durable are taken back in the store, in steps of a bounded size.
    /// 2. Of the others those stay that lead up to the block.
    ///
    /// # Errors
    /// [`ImportError::Storage`], with `Pruned` if the state is no longer kept: then nothing has
    /// changed.
    pub(crate) fn rewind(&mut self, to: Head) -> Result<(), ImportError> {
        let (below, path) = self.tree.path_to(to.hash);
        if below != self.durable.hash {
            let above = u64::try_from(path.len()).unwrap_or(u64::MAX);
            // What stands on the store as it was cannot be gone on with.
            self.work = None;
            self.cache.clear();
            self.store.unwind(to.number.saturating_sub(above), |_| ())?;
            self.durable = self.store.head()?;
        }
        self.tree.retain_paths([to.hash, to.hash]);
        self.work = self.work.take().filter(|work| work.at == to.hash);
        if self.set_head(to.hash)?.is_none() {
            return Err(ImportError::Internal(format!("block {} is nowhere", to.hash)));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::moved::tests::block;

    #[test]
    fn of_the_blocks_that_were_taken_back_the_last_are_known() {
        let count = REWOUND_MAX as u64 + 2;
        let blocks: Vec<MovedBlock> = (1..=count).map(block).collect();
        let mut rewound = Rewound::default();
        for some in blocks.chunks(2) {
            rewound.add(some);
        }
        for (number, block) in (1..).zip(&blocks) {
            let found = rewound.get(block.hash()).map(|block| block.header().number);
            assert_eq!(found, (number > 2).then_some(number));
        }
        assert_eq!(rewound.bytes, rewound.blocks.iter().map(|(_, bytes)| bytes).sum::<usize>());
    }
}
