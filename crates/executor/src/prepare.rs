//! From a checked block to one that can be executed: senders, authorities, order per sender.

use crate::{BlockError, InvalidBlock};
use alloy_consensus::transaction::SignerRecoverable;
use fugue_chainspec::{Fork, Rules};
use fugue_evm::PreparedTx;
use fugue_types::{Address, AddressMap, CheckedBlock, RecoveredBlock, Transaction};
use rayon::prelude::*;

/// A block with everything that is computed once and not once per execution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreparedBlock {
    pub(crate) block: RecoveredBlock,
    pub(crate) txs: Vec<PreparedTx>,
    /// For each transaction the nearest earlier one whose nonce it builds upon.
    pub(crate) predecessors: Vec<Option<usize>>,
}

impl PreparedBlock {
    /// Recovers senders in parallel on the caller's thread pool, then prepares.
    pub(crate) fn recover(block: CheckedBlock, rules: &Rules) -> Result<Self, BlockError> {
        let is_homestead = rules.has(Fork::Homestead);
        let recover = |(index, tx): (usize, &Transaction)| {
            // Source: EIP-2: a high s is refused from Homestead on.
            let sender =
                if is_homestead { tx.recover_signer() } else { tx.recover_signer_unchecked() };
            sender.map_err(|_| InvalidBlock::Signature { index, hash: *tx.hash() }.into())
        };
        let block = block.recover(|txs| {
            txs.par_iter().enumerate().map(recover).collect::<Result<_, BlockError>>()
        })?;
        Self::new(block)
    }

    /// Prepares a block whose senders are known.
    pub(crate) fn new(block: RecoveredBlock) -> Result<Self, BlockError> {
        let senders = block.senders();
        let txs = block.block().body.transactions.par_iter().zip(senders.par_iter());
        let txs = txs
            .map(|(tx, sender)| PreparedTx::new(tx, *sender))
            .collect::<Result<Vec<_>, _>>()?;
        let mut last_of: AddressMap<usize> = AddressMap::default();
        let mut predecessors = Vec::with_capacity(txs.len());
        for (index, tx) in txs.iter().enumerate() {
            predecessors.push(last_of.insert(tx.sender(), index));
            // An authorization counts up its authority's nonce as a transaction does.
            for authority in tx.authorities().filter(|authority| *authority != tx.sender()) {
                last_of.insert(authority, index);
            }
        }
        Ok(Self { block, txs, predecessors })
    }

    /// The block and its senders.
    pub const fn block(&self) -> &RecoveredBlock {
        &self.block
    }

    /// One sender for each transaction, in block order.
    pub fn senders(&self) -> &[Address] {
        self.block.senders()
    }
}
