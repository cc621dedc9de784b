//! From a checked block to one that can be executed: senders, authorities, order per sender.

use crate::{BlockError, Footprint, InvalidBlock, Location};
use alloy_consensus::transaction::SignerRecoverable;
use fugue_chainspec::{Fork, Rules};
use fugue_evm::{PreparedTx, TxEncodingError};
use fugue_types::{Address, CheckedBlock, HashMap, RecoveredBlock, Transaction};
use rayon::{ThreadPool, prelude::*};
use std::sync::Arc;

/// A block with everything that is computed once and not once per execution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreparedBlock {
    pub(crate) block: RecoveredBlock,
    pub(crate) txs: Vec<PreparedTx>,
    /// For each transaction the nearest earlier one without which it is not worth running.
    pub(crate) predecessors: Vec<Option<usize>>,
}

impl PreparedBlock {
    /// Recovers senders, then prepares; on the pool, or on the caller's thread alone.
    pub(crate) fn recover(
        block: CheckedBlock,
        rules: &Rules,
        pool: Option<&ThreadPool>,
    ) -> Result<Self, BlockError> {
        let is_homestead = rules.has(Fork::Homestead);
        let recover = |(index, tx): (usize, &Transaction)| {
            // Source: EIP-2: a high s is refused from Homestead on.
            let sender =
                if is_homestead { tx.recover_signer() } else { tx.recover_signer_unchecked() };
            sender.map_err(|_| InvalidBlock::Signature { index, hash: *tx.hash() }.into())
        };
        let block = block.recover(|txs| match pool {
            Some(pool) => pool.install(|| {
                txs.par_iter().enumerate().map(recover).collect::<Result<_, BlockError>>()
            }),
            None => txs.iter().enumerate().map(recover).collect(),
        })?;
        Self::new(block, pool)
    }

    /// Prepares a block whose senders are known.
    pub(crate) fn new(
        block: RecoveredBlock,
        pool: Option<&ThreadPool>,
    ) -> Result<Self, BlockError> {
        let txs = prepare_txs(&block.block().body.transactions, block.senders(), pool)?;
        let predecessors = predecessors(&txs, &[]);
        Ok(Self { block, txs, predecessors })
    }

    /// Lets transactions wait for those whose writes they are likely to read. `footprints` has one
    /// for each transaction that was run before.
    pub fn foresee(&mut self, footprints: &[Option<Arc<Footprint>>]) {
        self.predecessors = predecessors(&self.txs, footprints);
    }

    /// The block and its senders.
    pub const fn block(&self) -> &RecoveredBlock {
        &self.block
    }

    /// The block and its senders, taken out.
    pub fn into_block(self) -> RecoveredBlock {
        self.block
    }

    /// One sender for each transaction, in block order.
    pub fn senders(&self) -> &[Address] {
        self.block.senders()
    }
}

/// Transactions ready to run, each with its sender; on the pool, or on the caller's thread alone.
pub(crate) fn prepare_txs(
    txs: &[Transaction],
    senders: &[Address],
    pool: Option<&ThreadPool>,
) -> Result<Vec<PreparedTx>, TxEncodingError> {
    // This recovers the authorities of EIP-7702 transactions.
    let prepare = |(tx, sender): (&Transaction, &Address)| PreparedTx::new(tx, *sender);
    match pool {
        Some(pool) => pool.install(|| txs.par_iter().zip(senders).map(prepare).collect()),
        None => txs.iter().zip(senders).map(prepare).collect(),
    }
}

/// For each transaction the nearest earlier one without which it is not worth running: whose nonce
/// it builds upon, or, as far as footprints tell, whose writes it reads.
pub(crate) fn predecessors(
    txs: &[PreparedTx],
    footprints: &[Option<Arc<Footprint>>],
) -> Vec<Option<usize>> {
    let mut last_writer: HashMap<Location, usize> = HashMap::default();
    let mut predecessors = Vec::with_capacity(txs.len());
    for (index, tx) in txs.iter().enumerate() {
        let sender = (tx.sender(), None);
        let mut latest = last_writer.get(&sender).copied();
        if let Some(Some(footprint)) = footprints.get(index) {
            for read in footprint.reads() {
                latest = latest.max(last_writer.get(read).copied());
            }
            last_writer.extend(footprint.writes().iter().map(|write| (*write, index)));
        }
        predecessors.push(latest);
        last_writer.insert(sender, index);
        // An authorization counts up its authority's nonce as a transaction does.
        last_writer.extend(tx.authorities().map(|authority| ((authority, None), index)));
    }
    predecessors
}
