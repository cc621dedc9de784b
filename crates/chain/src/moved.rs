//! What lies between two heads: the blocks that left the chain, and those that joined it.

use crate::{
    Chain, Head, ImportError,
    chain::header_of,
    tree::{receipts_weight, weight},
    view::{ViewedBlock, viewed},
};
use alloy_rlp::Encodable;
use fugue_state::AccountDiff;
use fugue_storage::{BlockRecord, Snapshot, StorageError};
use fugue_types::{Address, B256, BlockBody, Header, ReceiptEnvelope, Transaction};
use std::sync::Arc;

/// Blocks on one side of a move from which on durable ones are not read any more: the thread of the
/// chain reads them, about a millisecond each.
const STORED_BLOCKS_MAX: usize = 64;
/// Blocks on one side of a move that are told: the newest. More than this is a node that catches
/// up, and nobody follows that block by block.
const TOLD_BLOCKS_MAX: usize = 256;

/// A block with its receipts. Copies share it.
#[derive(Debug, Clone)]
pub struct MovedBlock(Source);

#[derive(Debug, Clone)]
enum Source {
    /// It is not durable.
    Here(Arc<BlockRecord>),
    /// Durable: what it changed is not in memory.
    Stored(Arc<StoredBlock>),
}

#[derive(Debug)]
struct StoredBlock {
    block: ViewedBlock,
    /// `None` if they are no longer kept.
    receipts: Option<Vec<ReceiptEnvelope>>,
}

impl MovedBlock {
    pub(crate) const fn here(record: Arc<BlockRecord>) -> Self {
        Self(Source::Here(record))
    }

    /// A durable block; `None` if there is none with this hash.
    ///
    /// # Errors
    /// What the store says, `Pruned` if its body is no longer kept.
    pub(crate) fn stored(snapshot: &Snapshot, hash: B256) -> Result<Option<Self>, ImportError> {
        let Some(number) = snapshot.number(hash)? else { return Ok(None) };
        let header = header_of(snapshot, number, hash)?;
        let (body, senders) = (snapshot.body(number)?, snapshot.senders(number)?);
        let receipts = match snapshot.receipts(number) {
            Ok(receipts) => Some(receipts),
            Err(StorageError::Pruned { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        let block = ViewedBlock { hash, header, body, senders };
        Ok(Some(Self(Source::Stored(Arc::new(StoredBlock { block, receipts })))))
    }

    /// `None` if it is neither in the tree nor in the store.
    fn load(chain: &Chain, hash: B256) -> Result<Option<Self>, ImportError> {
        match chain.tree.get(hash) {
            Some(record) => Ok(Some(Self::here(record.clone()))),
            None => Self::stored(&*chain.snapshot()?, hash),
        }
    }

    /// keccak256 of the header's RLP.
    pub fn hash(&self) -> B256 {
        match &self.0 {
            Source::Here(record) => record.block.hash(),
            Source::Stored(stored) => stored.block.hash,
        }
    }

    /// The header.
    pub fn header(&self) -> &Header {
        match &self.0 {
            Source::Here(record) => &record.block.block().header,
            Source::Stored(stored) => &stored.block.header,
        }
    }

    /// Transactions, ommers, withdrawals.
    pub fn body(&self) -> &BlockBody {
        match &self.0 {
            Source::Here(record) => &record.block.block().body,
            Source::Stored(stored) => &stored.block.body,
        }
    }

    /// One for each transaction.
    pub fn senders(&self) -> &[Address] {
        match &self.0 {
            Source::Here(record) => record.block.senders(),
            Source::Stored(stored) => &stored.block.senders,
        }
    }

    /// One for each transaction; `None` if they are no longer kept.
    pub fn receipts(&self) -> Option<&[ReceiptEnvelope]> {
        match &self.0 {
            Source::Here(record) => Some(&record.receipts),
            Source::Stored(stored) => stored.receipts.as_deref(),
        }
    }

    /// A copy of it without its receipts.
    pub fn viewed(&self) -> ViewedBlock {
        match &self.0 {
            Source::Here(record) => viewed(record),
            Source::Stored(stored) => stored.block.clone(),
        }
    }

    /// Its transactions with their senders.
    pub(crate) fn sent(&self) -> impl Iterator<Item = (&Transaction, Address)> {
        self.body().transactions.iter().zip(self.senders().iter().copied())
    }

    /// What it changed, as far as that is known.
    pub(crate) fn changes(&self) -> &[AccountDiff] {
        match &self.0 {
            Source::Here(record) => &record.diff.accounts,
            Source::Stored(_) => &[],
        }
    }

    const fn is_stored(&self) -> bool {
        matches!(self.0, Source::Stored(_))
    }

    /// Bytes that it takes in memory, about.
    pub(crate) fn bytes(&self) -> usize {
        match &self.0 {
            Source::Here(record) => weight(record),
            Source::Stored(stored) => {
                let receipts = stored.receipts.as_deref().map_or(0, receipts_weight);
                stored.block.body.length().saturating_mul(2).saturating_add(receipts)
            }
        }
    }
}

/// The blocks between two heads, each side lowest first.
#[derive(Debug)]
pub(crate) struct Moved {
    pub(crate) left: Vec<MovedBlock>,
    pub(crate) joined: Vec<MovedBlock>,
    /// Both sides go down to where they meet.
    meets: bool,
}

impl Moved {
    /// What cannot be read is left out, and what lies below it on its side.
    pub(crate) fn between(chain: &Chain, before: Head, after: Head) -> Self {
        let (mut one, mut other) = (before, after);
        let (mut left, mut joined, mut meets) = (Vec::new(), Vec::new(), true);
        while one.hash != other.hash {
            let (at, blocks) = if one.number >= other.number {
                (&mut one, &mut left)
            } else {
                (&mut other, &mut joined)
            };
            let Ok(Some(block)) = MovedBlock::load(chain, at.hash) else {
                meets = false;
                break;
            };
            if block.is_stored() && blocks.len() >= STORED_BLOCKS_MAX {
                meets = false;
                break;
            }
            let parent = block.header().parent_hash;
            *at = Head { number: at.number.saturating_sub(1), hash: parent };
            blocks.push(block);
        }
        left.reverse();
        joined.reverse();
        Self { left, joined, meets }
    }

    /// Whether it is known what all blocks of both sides changed.
    pub(crate) fn are_changes_known(&self) -> bool {
        self.meets && !self.left.iter().chain(&self.joined).any(MovedBlock::is_stored)
    }
}

/// A move of the head.
#[derive(Debug)]
pub struct HeadMove {
    /// Blocks that left the chain of the head, newest first.
    pub left: Vec<MovedBlock>,
    /// Blocks that joined it, oldest first.
    pub joined: Vec<MovedBlock>,
    /// Whether these are all. Of each side at most the newest 256 blocks are told, of durable ones
    /// the newest 64, and none below one that cannot be read.
    pub is_whole: bool,
}

impl HeadMove {
    pub(crate) fn of(moved: &Moved) -> Self {
        let Moved { left: all_left, joined: all_joined, meets } = moved;
        let newest = |blocks: &[MovedBlock]| -> Vec<MovedBlock> {
            blocks.iter().rev().take(TOLD_BLOCKS_MAX).cloned().collect()
        };
        let (left, mut joined) = (newest(all_left), newest(all_joined));
        joined.reverse();
        let are_all = (left.len(), joined.len()) == (all_left.len(), all_joined.len());
        Self { left, joined, is_whole: *meets && are_all }
    }

    /// Bytes that the blocks take in memory, about. Walks over them.
    pub fn bytes(&self) -> usize {
        let bytes = self.left.iter().chain(&self.joined).map(MovedBlock::bytes);
        bytes.fold(0, usize::saturating_add)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use fugue_state::StateDiff;
    use fugue_types::{Block, SealedBlock, SenderCount, U256};
    use std::convert::Infallible;

    /// An empty block with this number.
    pub(crate) fn block(number: u64) -> MovedBlock {
        let header = Header { number, ..Header::default() };
        let block = SealedBlock::seal(Block { header, body: BlockBody::default() });
        let block = block.check(|_| Ok::<_, Infallible>(())).expect("nothing is judged");
        let block = block.recover(|_| Ok::<_, SenderCount>(Vec::new())).expect("it is empty");
        MovedBlock::here(Arc::new(BlockRecord {
            block,
            total_difficulty: U256::ZERO,
            receipts: Vec::new(),
            access_list: None,
            diff: StateDiff::default(),
            storage_roots: Vec::new(),
        }))
    }

    #[test]
    fn the_newest_blocks_of_each_side_are_told_in_their_order() {
        let side = |count: u64| -> Vec<MovedBlock> { (1..=count).map(block).collect() };
        let numbers = |blocks: &[MovedBlock]| -> Vec<u64> {
            blocks.iter().map(|block| block.header().number).collect()
        };
        let max = TOLD_BLOCKS_MAX as u64;
        for (left, joined, are_all) in
            [(2, 3, true), (0, max, true), (max + 1, 1, false), (0, max + 9, false)]
        {
            let moved = Moved { left: side(left), joined: side(joined), meets: true };
            let told = HeadMove::of(&moved);
            let newest = |count: u64| count.saturating_sub(max) + 1..=count;
            assert_eq!(numbers(&told.left), newest(left).rev().collect::<Vec<_>>());
            assert_eq!(numbers(&told.joined), newest(joined).collect::<Vec<_>>());
            assert_eq!(told.is_whole, are_all);
            assert!(told.bytes() > 0);
        }
        let cut = Moved { left: side(1), joined: side(1), meets: false };
        assert!(!HeadMove::of(&cut).is_whole && !cut.are_changes_known());
    }
}
