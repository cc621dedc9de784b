//! Judging a block before it is executed: what needs no parent can be done ahead, on other threads.

use crate::{ImportError, error::Fault};
use alloy_consensus::proofs::{
    calculate_ommers_root, calculate_transaction_root, calculate_withdrawals_root,
};
use fugue_chainspec::ChainSpec;
use fugue_executor::{Executor, PreparedBlock};
use fugue_txpool::Pool;
use fugue_types::{Address, B256, Block, SealedBlock, Transaction};
use fugue_validation::{Ommers, check_block};
use std::sync::Arc;

/// Checks bodies by their headers and recovers senders. Clones work side by side.
#[derive(Debug, Clone)]
pub struct Preparer {
    pub(crate) spec: Arc<ChainSpec>,
    pub(crate) executor: Arc<Executor>,
    /// Has recovered the senders of what it holds.
    pub(crate) pool: Option<Arc<Pool>>,
}

impl Preparer {
    /// From a sealed block to one that can be imported.
    ///
    /// # Errors
    /// [`ImportError::Invalid`].
    pub fn prepare(&self, block: SealedBlock) -> Result<PreparedBlock, ImportError> {
        self.judge(block).map_err(|refused| refused.error)
    }

    pub(crate) fn judge(&self, block: SealedBlock) -> Result<PreparedBlock, RefusedBlock> {
        let (number, hash) = (block.block().header.number, block.hash());
        let rules = self.spec.rules(&block.block().header);
        let checked = block.check(|block| check_block(block, &rules, Ommers::Known));
        let checked = checked.map_err(|refused| {
            let (block, mismatch) = *refused;
            let is_whole = has_body_of_header(block.block());
            let error = Fault::from(mismatch).of_block(number, hash);
            RefusedBlock { error, is_whole, block: is_whole.then(|| Box::new(block)) }
        })?;
        let known = self.known_senders(&checked.block().body.transactions);
        self.executor.prepare_knowing(checked, &rules, &known).map_err(|error| RefusedBlock {
            error: Fault::from(error).of_block(number, hash),
            is_whole: true,
            block: None,
        })
    }

    /// The senders that the pool knows. A hash covers the signature, so what the pool has recovered
    /// is what the block's transaction would give.
    fn known_senders(&self, txs: &[Transaction]) -> Vec<Option<Address>> {
        let Some(pool) = &self.pool else { return Vec::new() };
        let hashes: Vec<B256> = txs.iter().map(|tx| *tx.hash()).collect();
        pool.senders_of(&hashes)
    }
}

/// A block that was refused before it was executed.
pub(crate) struct RefusedBlock {
    pub(crate) error: ImportError,
    /// The body is the one that the header names, so that the hash stands for all of the block.
    pub(crate) is_whole: bool,
    /// The block, if its body is that of the header; `None` where a sender was not recovered.
    pub(crate) block: Option<Box<SealedBlock>>,
}

fn has_body_of_header(block: &Block) -> bool {
    let Block { header, body } = block;
    let withdrawals = body.withdrawals.as_ref();
    header.transactions_root == calculate_transaction_root(&body.transactions)
        && header.ommers_hash == calculate_ommers_root(&body.ommers)
        && header.withdrawals_root == withdrawals.map(|all| calculate_withdrawals_root(all))
}
