//! The chain as it was at one fork choice, for readers: immutable, and no lock shared with import.

mod addresses;
mod lookup;
mod range;
mod tries;
mod witness;

use crate::{Head, ImportError, chain::header_of, dev::Rewound, moved::MovedBlock};
use fugue_chainspec::ChainSpec;
use fugue_state::{HashesFrom, Stack, StateView};
use fugue_storage::{BlockRecord, LogTerms, Snapshot};
use fugue_types::{
    Address, B256, B256Map, Block, BlockBody, Bytes, Header, ReceiptEnvelope, RecoveredBlock,
    SealedBlock, SenderCount,
};
use std::{convert::Infallible, ops::RangeInclusive, sync::Arc};
use tries::KeptTries;

pub use addresses::{AccountRange, ListedAccount};
pub use range::{ListedSlot, SlotRange};
pub use tries::{AccountProof, Reach, SlotProof};
pub use witness::ExecutionWitness;

/// A block with who sent its transactions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewedBlock {
    /// keccak256 of the header's RLP.
    pub hash: B256,
    /// The header.
    pub header: Header,
    /// Transactions, ommers, withdrawals.
    pub body: BlockBody,
    /// One for each transaction.
    pub senders: Vec<Address>,
}

impl ViewedBlock {
    /// As it was judged when it was imported.
    ///
    /// # Errors
    /// If the store has lost senders.
    pub fn into_recovered(self) -> Result<RecoveredBlock, SenderCount> {
        let Self { hash: _, header, body, senders } = self;
        recovered(SealedBlock::seal(Block { header, body }), senders)
    }
}

/// A block that nobody has to judge any more, and who sent its transactions.
///
/// # Errors
/// If these are too few or too many.
pub(crate) fn recovered(
    sealed: SealedBlock,
    senders: Vec<Address>,
) -> Result<RecoveredBlock, SenderCount> {
    let checked = match sealed.check(|_| Ok::<_, Infallible>(())) {
        Ok(checked) => checked,
        Err(never) => match never.1 {},
    };
    checked.recover(|_| Ok::<_, SenderCount>(senders))
}

/// Head, safe and finalized block, all blocks and states of the head's chain, and the blocks beside
/// it that are not forgotten yet, whose chains [`ChainView::up_to`] gives.
#[derive(Debug)]
pub struct ChainView {
    spec: Arc<ChainSpec>,
    snapshot: Arc<Snapshot>,
    /// The newest block of the head's chain that is in the snapshot.
    base: u64,
    /// The blocks above it, up to the head.
    above: Vec<Arc<BlockRecord>>,
    /// All blocks that are not durable.
    blocks: Arc<B256Map<Arc<BlockRecord>>>,
    head: Head,
    safe: Option<Head>,
    finalized: Option<Head>,
    /// What proofs and state roots of the newest blocks go by; `None` where nobody asks twice.
    kept: Option<KeptTries>,
    /// Blocks that are in no chain any more; there are some on a chain for development alone.
    rewound: Arc<Rewound>,
}

/// Where a chain of blocks stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Marks {
    pub(crate) head: Head,
    pub(crate) safe: Option<Head>,
    pub(crate) finalized: Option<Head>,
}

impl ChainView {
    /// `above` are the blocks up to the head, the first of them the child of block `base` of the
    /// snapshot.
    pub(crate) fn new(
        spec: Arc<ChainSpec>,
        snapshot: Arc<Snapshot>,
        base: u64,
        above: Vec<Arc<BlockRecord>>,
        blocks: B256Map<Arc<BlockRecord>>,
        marks: Marks,
    ) -> Self {
        let Marks { head, safe, finalized } = marks;
        let (kept, rewound) = (Some(KeptTries::default()), Arc::default());
        let blocks = Arc::new(blocks);
        Self { spec, snapshot, base, above, blocks, head, safe, finalized, kept, rewound }
    }

    /// The same, with the blocks that were taken back last.
    pub(crate) fn with_rewound(self, rewound: Arc<Rewound>) -> Self {
        Self { rewound, ..self }
    }

    /// The view as it would be if this block were its head, to read what is beside the chain as
    /// what is in it, states included. Safe and finalized block stay what they are. `None` if the
    /// block is not known.
    ///
    /// # Errors
    /// What the store says.
    pub fn up_to(&self, hash: B256) -> Result<Option<Self>, ImportError> {
        let (snapshot, below, above) = self.path_to(hash);
        let Some(base) = snapshot.number(below)? else { return Ok(None) };
        let number = above.last().map_or(base, |record| record.block.block().header.number);
        Ok(Some(self.ending(base, above, self.blocks.clone(), Head { number, hash })))
    }

    /// The view as it would be with this child of its head on top.
    pub(crate) fn with_child(&self, child: Arc<BlockRecord>) -> Self {
        let head = Head { number: child.block.block().header.number, hash: child.block.hash() };
        let mut above = self.above.clone();
        above.push(child.clone());
        let mut blocks = B256Map::clone(&self.blocks);
        blocks.insert(head.hash, child);
        self.ending(self.base, above, Arc::new(blocks), head)
    }

    /// The view with another end, for a single call.
    fn ending(
        &self,
        base: u64,
        above: Vec<Arc<BlockRecord>>,
        blocks: Arc<B256Map<Arc<BlockRecord>>>,
        head: Head,
    ) -> Self {
        Self {
            spec: self.spec.clone(),
            snapshot: self.snapshot.clone(),
            base,
            above,
            blocks,
            head,
            safe: self.safe,
            finalized: self.finalized,
            kept: None,
            rewound: self.rewound.clone(),
        }
    }

    /// The rules of the chain.
    pub fn spec(&self) -> &ChainSpec {
        &self.spec
    }

    /// The newest block of the chain.
    pub const fn head(&self) -> Head {
        self.head
    }

    /// The newest safe block; `None` before the consensus layer has named one.
    pub const fn safe(&self) -> Option<Head> {
        self.safe
    }

    /// The newest final block; `None` before the consensus layer has named one.
    pub const fn finalized(&self) -> Option<Head> {
        self.finalized
    }

    /// The oldest block whose state is kept.
    pub fn oldest_state(&self) -> u64 {
        self.snapshot.meta().oldest_state
    }

    /// What is durable of it.
    pub(crate) const fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    fn record(&self, number: u64) -> Option<&Arc<BlockRecord>> {
        let index = number.checked_sub(self.base)?.checked_sub(1)?;
        self.above.get(usize::try_from(index).ok()?)
    }

    /// The number of a block of the head's chain; `None` if it is not in that chain.
    ///
    /// # Errors
    /// What the store says.
    pub fn number(&self, hash: B256) -> Result<Option<u64>, ImportError> {
        if let Some(record) = self.blocks.get(&hash) {
            let number = record.block.block().header.number;
            let is_here = self.record(number).is_some_and(|found| found.block.hash() == hash);
            return Ok(is_here.then_some(number));
        }
        Ok(self.snapshot.number(hash)?.filter(|number| *number <= self.base))
    }

    /// Hash and header of the block of the head's chain with this number; `None` above the head.
    ///
    /// # Errors
    /// What the store says.
    pub fn header(&self, number: u64) -> Result<Option<(B256, Header)>, ImportError> {
        if let Some(record) = self.record(number) {
            return Ok(Some((record.block.hash(), record.block.block().header.clone())));
        }
        if number > self.base {
            return Ok(None);
        }
        Ok(Some(self.snapshot.header(number)?))
    }

    /// The block of the head's chain with this number; `None` above the head.
    ///
    /// # Errors
    /// What the store says, `Pruned` if its body is no longer kept.
    pub fn block(&self, number: u64) -> Result<Option<ViewedBlock>, ImportError> {
        if let Some(record) = self.record(number) {
            return Ok(Some(viewed(record)));
        }
        if number > self.base {
            return Ok(None);
        }
        let (hash, header) = self.snapshot.header(number)?;
        let body = self.snapshot.body(number)?;
        let senders = self.snapshot.senders(number)?;
        Ok(Some(ViewedBlock { hash, header, body, senders }))
    }

    /// A block by its hash, also one beside the chain.
    ///
    /// # Errors
    /// As [`ChainView::block`].
    pub fn block_by_hash(&self, hash: B256) -> Result<Option<ViewedBlock>, ImportError> {
        if let Some(record) = self.blocks.get(&hash) {
            return Ok(Some(viewed(record)));
        }
        let Some(number) = self.snapshot.number(hash)? else { return Ok(None) };
        let header = header_of(&self.snapshot, number, hash)?;
        let body = self.snapshot.body(number)?;
        let senders = self.snapshot.senders(number)?;
        Ok(Some(ViewedBlock { hash, header, body, senders }))
    }

    /// A block by its hash with its receipts, also one beside the chain, and on a chain for
    /// development one of those that were taken back last; `None` if it is not known.
    ///
    /// # Errors
    /// As [`ChainView::block`].
    pub fn moved_block(&self, hash: B256) -> Result<Option<MovedBlock>, ImportError> {
        match self.blocks.get(&hash) {
            Some(record) => Ok(Some(MovedBlock::here(record.clone()))),
            None => {
                let stored = MovedBlock::stored(&self.snapshot, hash)?;
                Ok(stored.or_else(|| self.rewound.get(hash).cloned()))
            }
        }
    }

    /// The block access list, in RLP, of a block by its hash (EIP-7928); `None` if the block is not
    /// known, from before Amsterdam, or its list is pruned.
    ///
    /// # Errors
    /// What the store says.
    pub fn access_list(&self, hash: B256) -> Result<Option<Bytes>, ImportError> {
        if let Some(record) = self.blocks.get(&hash) {
            return Ok(record.access_list.clone());
        }
        let Some(number) = self.snapshot.number(hash)? else { return Ok(None) };
        if number < self.snapshot.meta().oldest_body {
            return Ok(None);
        }
        Ok(self.snapshot.access_list(number)?)
    }

    /// The receipts of the block of the head's chain with this number; `None` above the head.
    ///
    /// # Errors
    /// What the store says, `Pruned` if they are no longer kept.
    pub fn receipts(&self, number: u64) -> Result<Option<Vec<ReceiptEnvelope>>, ImportError> {
        if let Some(record) = self.record(number) {
            return Ok(Some(record.receipts.clone()));
        }
        if number > self.base {
            return Ok(None);
        }
        Ok(Some(self.snapshot.receipts(number)?))
    }

    /// The blocks of the head's chain in which there may be logs that are looked for, ascending: of
    /// those that are durable the ones that [`Snapshot::log_blocks`] names, and all others of the
    /// range, whose blooms tell as much. Above the head there are none.
    ///
    /// # Errors
    /// What the store says, `Pruned` if the receipts of any block of the range are no longer kept.
    pub fn log_blocks(
        &self,
        range: RangeInclusive<u64>,
        terms: &LogTerms,
    ) -> Result<Vec<u64>, ImportError> {
        let (from, to) = (*range.start(), (*range.end()).min(self.head.number));
        let mut numbers = self.snapshot.log_blocks(from..=to.min(self.base), terms)?;
        numbers.extend(from.max(self.base.saturating_add(1))..=to);
        Ok(numbers)
    }

    /// Where a transaction is in the head's chain: number of the block, and index in it.
    ///
    /// # Errors
    /// What the store says.
    pub fn transaction(&self, hash: B256) -> Result<Option<(u64, usize)>, ImportError> {
        for record in &self.above {
            let block = record.block.block();
            let txs = &block.body.transactions;
            if let Some(index) = txs.iter().position(|tx| *tx.hash() == hash) {
                return Ok(Some((block.header.number, index)));
            }
        }
        let found = self.snapshot.transaction(hash)?;
        let found = found.filter(|(number, _)| *number <= self.base);
        Ok(found.map(|(number, index)| (number, index as usize)))
    }

    /// Calls with the state after a block of the head's chain. `None` above the head.
    ///
    /// # Errors
    /// [`ImportError::Storage`], with `Pruned` if the state is no longer kept.
    pub fn with_state<T>(
        &self,
        number: u64,
        call: impl FnOnce(&dyn StateView) -> T,
    ) -> Result<Option<T>, ImportError> {
        if number > self.head.number {
            return Ok(None);
        }
        if number <= self.base {
            return Ok(Some(call(&self.snapshot.state_at(number)?)));
        }
        let below = self.snapshot.state_at(self.base)?;
        let count = usize::try_from(number - self.base).unwrap_or(usize::MAX);
        let above = &self.above[..count.min(self.above.len())];
        let state = Stack::new(above.iter().map(|record| &record.diff), &below);
        let hash = |number| {
            let known = above.iter().find(|one| one.block.block().header.number == number);
            known.map_or_else(|| state.block_hash(number), |record| Ok(record.block.hash()))
        };
        Ok(Some(call(&HashesFrom::new(&state, hash))))
    }

    /// What a block stands on: the snapshot, the newest block in it, those above up to this one.
    pub(crate) fn path_to(&self, hash: B256) -> (&Arc<Snapshot>, B256, Vec<Arc<BlockRecord>>) {
        let mut path = Vec::new();
        let mut at = hash;
        while let Some(record) = self.blocks.get(&at) {
            path.push(record.clone());
            at = record.block.block().header.parent_hash;
        }
        path.reverse();
        (&self.snapshot, at, path)
    }
}

pub(crate) fn viewed(record: &BlockRecord) -> ViewedBlock {
    let block = record.block.block();
    ViewedBlock {
        hash: record.block.hash(),
        header: block.header.clone(),
        body: block.body.clone(),
        senders: record.block.senders().to_vec(),
    }
}

#[cfg(test)]
mod tests;
