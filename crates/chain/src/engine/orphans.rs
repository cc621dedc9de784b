//! Blocks whose parent is not known yet, by that parent. Bounded: the oldest go first.

use alloy_rlp::Encodable;
use fugue_types::{B256, B256Map, SealedBlock};
use std::collections::VecDeque;

/// Blocks that wait for their parent.
#[derive(Debug)]
pub(crate) struct Orphans {
    by_parent: B256Map<VecDeque<SealedBlock>>,
    /// In the order in which they came: each with its parent and its bytes.
    order: VecDeque<(B256, B256, usize)>,
    bytes: usize,
    blocks_max: usize,
    bytes_max: usize,
}

impl Orphans {
    pub(crate) fn new(blocks_max: usize, bytes_max: usize) -> Self {
        let (by_parent, order) = (B256Map::default(), VecDeque::new());
        Self { by_parent, order, bytes: 0, blocks_max, bytes_max }
    }

    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }

    pub(crate) fn contains(&self, hash: B256) -> bool {
        self.order.iter().any(|(known, _, _)| *known == hash)
    }

    /// Keeps a block, unless it is kept already.
    pub(crate) fn insert(&mut self, block: SealedBlock) {
        let (hash, parent) = (block.hash(), block.block().header.parent_hash);
        if self.contains(hash) {
            return;
        }
        // A block in memory takes about twice its RLP.
        let bytes = 2 * block.block().length();
        // Others do not make room for what finds none.
        if bytes > self.bytes_max || self.blocks_max == 0 {
            return;
        }
        while self.order.len() >= self.blocks_max
            || self.bytes.saturating_add(bytes) > self.bytes_max
        {
            let Some((oldest, parent, bytes)) = self.order.pop_front() else { return };
            self.bytes -= bytes;
            if let Some(children) = self.by_parent.get_mut(&parent) {
                children.retain(|child| child.hash() != oldest);
                if children.is_empty() {
                    self.by_parent.remove(&parent);
                }
            }
        }
        self.order.push_back((hash, parent, bytes));
        self.bytes += bytes;
        // An access list is not counted, so it is not kept: the block runs without.
        self.by_parent.entry(parent).or_default().push_back(block.with_access_list(None));
    }

    /// Takes out the oldest block that waits for this one.
    pub(crate) fn take_child(&mut self, parent: B256) -> Option<SealedBlock> {
        let children = self.by_parent.get_mut(&parent)?;
        let child = children.pop_front();
        if children.is_empty() {
            self.by_parent.remove(&parent);
        }
        let child = child?;
        let place = self.order.iter().position(|(hash, _, _)| *hash == child.hash());
        if let Some((_, _, bytes)) = place.and_then(|place| self.order.remove(place)) {
            self.bytes -= bytes;
        }
        Some(child)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fugue_types::{Block, Header};

    fn block(number: u64, parent: B256) -> SealedBlock {
        let header = Header { number, parent_hash: parent, ..Header::default() };
        SealedBlock::seal(Block { header, body: Default::default() })
    }

    #[test]
    fn children_come_out_once_by_their_parent() {
        let mut orphans = Orphans::new(8, 1 << 20);
        let parent = B256::repeat_byte(1);
        for number in [1, 2, 1] {
            orphans.insert(block(number, parent));
        }
        orphans.insert(block(3, B256::repeat_byte(2)));
        assert_eq!(orphans.len(), 3);
        let numbers = std::iter::from_fn(|| orphans.take_child(parent));
        let numbers: Vec<_> = numbers.map(|block| block.block().header.number).collect();
        assert_eq!(numbers, [1, 2]);
        assert_eq!(orphans.len(), 1);
        assert!(orphans.take_child(B256::repeat_byte(2)).is_some());
        assert_eq!((orphans.len(), orphans.bytes), (0, 0));
    }

    #[test]
    fn the_oldest_go_first_when_there_is_no_room() {
        let mut orphans = Orphans::new(2, 1 << 20);
        for number in 1..=3 {
            orphans.insert(block(number, B256::repeat_byte(number as u8)));
        }
        assert_eq!(orphans.len(), 2);
        assert!(orphans.take_child(B256::repeat_byte(1)).is_none());
        assert!(orphans.take_child(B256::repeat_byte(3)).is_some());
        let mut orphans = Orphans::new(8, 10);
        orphans.insert(block(1, B256::ZERO));
        assert_eq!((orphans.len(), orphans.bytes), (0, 0));
    }

    #[test]
    fn one_that_goes_leaves_those_that_wait_for_the_same_parent() {
        let mut orphans = Orphans::new(2, 1 << 20);
        let [parent, other] = [1, 2].map(B256::repeat_byte);
        for (number, parent) in [(1, parent), (2, parent), (3, other)] {
            orphans.insert(block(number, parent));
        }
        let left = orphans.take_child(parent).map(|block| block.block().header.number);
        assert_eq!((left, orphans.len()), (Some(2), 1));
        assert!(orphans.take_child(parent).is_none());
    }
}
