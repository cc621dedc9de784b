//! From a checked block to one that can be executed: senders, authorities, order per sender.

use crate::{BlockError, InvalidBlock};
use alloy_consensus::transaction::SignerRecoverable;
use fugue_chainspec::{Fork, Rules};
use fugue_evm::{PreparedTx, TxEncodingError};
use fugue_types::{Address, AddressMap, CheckedBlock, RecoveredBlock, Transaction};
use rayon::{ThreadPool, prelude::*};

/// A block with everything that is computed once and not once per execution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreparedBlock {
    pub(crate) block: RecoveredBlock,
    pub(crate) txs: Vec<PreparedTx>,
    /// For each transaction the nearest earlier one whose nonce it builds upon.
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
        let predecessors = predecessors(&txs);
        Ok(Self { block, txs, predecessors })
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

/// For each transaction the nearest earlier one whose nonce it builds upon.
pub(crate) fn predecessors(txs: &[PreparedTx]) -> Vec<Option<usize>> {
    let mut last_of: AddressMap<usize> = AddressMap::default();
    let mut predecessors = Vec::with_capacity(txs.len());
    for (index, tx) in txs.iter().enumerate() {
        predecessors.push(last_of.insert(tx.sender(), index));
        // An authorization counts up its authority's nonce as a transaction does.
        for authority in tx.authorities().filter(|authority| *authority != tx.sender()) {
            last_of.insert(authority, index);
        }
    }
    predecessors
}
