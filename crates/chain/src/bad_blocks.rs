//! The newest blocks that were found invalid, for whoever wants to know why two clients differ.

use alloy_rlp::Encodable;
use fugue_types::{B256, Block};
use parking_lot::Mutex;
use std::{collections::VecDeque, sync::Arc};

/// Blocks that are kept: enough for the siblings of a fork that clients argue about.
const BLOCKS_MAX: usize = 16;
/// Bytes of their RLP in all: more than the largest block has (EIP-7934).
const BYTES_MAX: usize = 16 << 20;

/// A block that was found invalid by itself, and not for its parent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadBlock {
    /// keccak256 of the header's RLP.
    pub hash: B256,
    /// The block as it came.
    pub block: Block,
}

/// The newest of them.
#[derive(Debug, Default)]
pub(crate) struct BadBlocks(Mutex<Kept>);

/// Oldest first, each with the bytes of its RLP.
#[derive(Debug, Default)]
struct Kept {
    blocks: VecDeque<(Arc<BadBlock>, usize)>,
    bytes: usize,
}

impl BadBlocks {
    /// Keeps a block, unless it is kept already or larger than all may be. The oldest make room.
    pub(crate) fn put(&self, hash: B256, block: &Block) {
        let Kept { blocks, bytes } = &mut *self.0.lock();
        let own = block.length();
        if own > BYTES_MAX || blocks.iter().any(|(known, _)| known.hash == hash) {
            return;
        }
        while blocks.len() >= BLOCKS_MAX || bytes.saturating_add(own) > BYTES_MAX {
            let Some((_, oldest)) = blocks.pop_front() else { break };
            *bytes = bytes.saturating_sub(oldest);
        }
        *bytes = bytes.saturating_add(own);
        blocks.push_back((Arc::new(BadBlock { hash, block: block.clone() }), own));
    }

    /// Forgets all of them: their verdicts are forgotten.
    pub(crate) fn clear(&self) {
        *self.0.lock() = Kept::default();
    }

    /// The newest first.
    pub(crate) fn all(&self) -> Vec<Arc<BadBlock>> {
        self.0.lock().blocks.iter().rev().map(|(block, _)| block.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fugue_types::{Bytes, Header};

    fn put(bad: &BadBlocks, number: u64, extra_bytes: usize) -> B256 {
        let extra_data = Bytes::from(vec![1; extra_bytes]);
        let header = Header { number, extra_data, ..Header::default() };
        let (hash, block) = (header.hash_slow(), Block { header, body: Default::default() });
        bad.put(hash, &block);
        hash
    }

    fn numbers(bad: &BadBlocks) -> Vec<u64> {
        bad.all().iter().map(|one| one.block.header.number).collect()
    }

    #[test]
    fn the_newest_are_kept_each_once() {
        let bad = BadBlocks::default();
        let count = BLOCKS_MAX as u64 + 3;
        for number in 0..count {
            put(&bad, number, 0);
            put(&bad, number, 0);
        }
        let expected: Vec<u64> = (3..count).rev().collect();
        assert_eq!(numbers(&bad), expected);
        bad.clear();
        assert!(numbers(&bad).is_empty());
        assert_eq!(bad.0.lock().bytes, 0);
    }

    #[test]
    fn their_bytes_have_a_bound() {
        let bad = BadBlocks::default();
        let half = BYTES_MAX / 2 - 4_096;
        for number in 0..3 {
            put(&bad, number, half);
        }
        assert_eq!(numbers(&bad), [2, 1]);
        put(&bad, 3, BYTES_MAX);
        assert_eq!(numbers(&bad), [2, 1], "what finds no room takes none from others");
    }
}
