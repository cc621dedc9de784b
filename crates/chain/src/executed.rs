//! A block that was executed, on its way to a record.

use fugue_executor::PreparedBlock;
use fugue_state::StateDiff;
use fugue_storage::BlockRecord;
use fugue_types::{B256, Bytes, Header, ReceiptEnvelope, U256};

/// What a block did, its root and everything else as its header says.
pub(crate) struct Executed {
    pub(crate) diff: StateDiff,
    pub(crate) receipts: Vec<ReceiptEnvelope>,
    pub(crate) access_list: Option<Bytes>,
    pub(crate) storage_roots: Vec<(B256, B256)>,
}

impl Executed {
    /// All of an executed block.
    pub(crate) fn record(self, prepared: PreparedBlock, parent: &Parent) -> BlockRecord {
        let Self { diff, receipts, access_list, storage_roots } = self;
        let block = prepared.into_block();
        let difficulty = block.block().header.difficulty;
        let total_difficulty = parent.total_difficulty.saturating_add(difficulty);
        BlockRecord { block, total_difficulty, receipts, access_list, diff, storage_roots }
    }
}

/// Of a block that is known: what its child is judged by.
pub(crate) struct Parent {
    pub(crate) header: Header,
    pub(crate) total_difficulty: U256,
}
