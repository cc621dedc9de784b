//! A block and the types of its progress from bytes to a judged block with known senders.

use crate::{Address, B256, BlockAccessList};
use alloy_consensus::{EthereumTxEnvelope, TxEip4844};
use std::sync::Arc;

/// A signed transaction as a block carries it: blob transactions without their sidecar.
pub type Transaction = EthereumTxEnvelope<TxEip4844>;
/// A decoded block about which nothing has been checked.
pub type Block = alloy_consensus::Block<Transaction>;
/// Transactions, ommers and withdrawals of a block.
pub type BlockBody = alloy_consensus::BlockBody<Transaction>;

/// The header does not hash to what was announced for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("block hash is {expected}, the header hashes to {found}")]
pub struct HashMismatch {
    /// The announced hash.
    pub expected: B256,
    /// keccak256 of the header's RLP.
    pub found: B256,
}

/// There is not one sender for each transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{senders} senders for {transactions} transactions")]
pub struct SenderCount {
    /// How many senders were given.
    pub senders: usize,
    /// How many transactions the block has.
    pub transactions: usize,
}

/// A block whose header hashes to `hash`.
#[derive(Debug, Clone)]
pub struct SealedBlock {
    hash: B256,
    block: Block,
    access_list: Option<Arc<BlockAccessList>>,
}

/// The list that a block came with is no part of the block.
impl PartialEq for SealedBlock {
    fn eq(&self, other: &Self) -> bool {
        let Self { hash, block, access_list: _ } = self;
        *hash == other.hash && *block == other.block
    }
}

impl Eq for SealedBlock {}

impl SealedBlock {
    /// Hashes the header.
    pub fn seal(block: Block) -> Self {
        Self { hash: block.header.hash_slow(), block, access_list: None }
    }

    /// With the access list (EIP-7928) that came beside the block, about which nothing has been
    /// checked.
    #[must_use]
    pub fn with_access_list(mut self, list: Option<Arc<BlockAccessList>>) -> Self {
        self.access_list = list;
        self
    }

    /// The access list that came beside the block.
    pub const fn access_list(&self) -> Option<&Arc<BlockAccessList>> {
        self.access_list.as_ref()
    }

    /// Hashes the header and compares with the hash that was announced for it.
    ///
    /// # Errors
    /// [`HashMismatch`] if they differ.
    pub fn seal_as(block: Block, expected: B256) -> Result<Self, HashMismatch> {
        let sealed = Self::seal(block);
        if sealed.hash == expected {
            Ok(sealed)
        } else {
            Err(HashMismatch { expected, found: sealed.hash })
        }
    }

    /// keccak256 of the header's RLP.
    pub const fn hash(&self) -> B256 {
        self.hash
    }

    /// The block, its body not yet compared with its header.
    pub const fn block(&self) -> &Block {
        &self.block
    }

    /// The only way to a [`CheckedBlock`]: `judge` says whether header and body are valid.
    ///
    /// # Errors
    /// Whatever the judge answers.
    pub fn check<E>(
        self,
        judge: impl FnOnce(&Self) -> Result<(), E>,
    ) -> Result<CheckedBlock, Box<(Self, E)>> {
        match judge(&self) {
            Ok(()) => Ok(CheckedBlock(self)),
            Err(error) => Err(Box::new((self, error))),
        }
    }
}

/// A block that a judge of headers and bodies has accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedBlock(SealedBlock);

impl CheckedBlock {
    /// keccak256 of the header's RLP.
    pub const fn hash(&self) -> B256 {
        self.0.hash
    }

    /// The block.
    pub const fn block(&self) -> &Block {
        &self.0.block
    }

    /// The only way to a [`RecoveredBlock`]: `recover` gives the sender of each transaction, in
    /// block order.
    ///
    /// # Errors
    /// Whatever `recover` answers, or [`SenderCount`] if it gives too few or too many.
    pub fn recover<E: From<SenderCount>>(
        self,
        recover: impl FnOnce(&[Transaction]) -> Result<Vec<Address>, E>,
    ) -> Result<RecoveredBlock, E> {
        let transactions = &self.0.block.body.transactions;
        let senders = recover(transactions)?;
        if senders.len() != transactions.len() {
            return Err(
                SenderCount { senders: senders.len(), transactions: transactions.len() }.into()
            );
        }
        Ok(RecoveredBlock { block: self, senders })
    }
}

/// A judged block with the sender of every transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveredBlock {
    block: CheckedBlock,
    senders: Vec<Address>,
}

impl RecoveredBlock {
    /// The access list that came beside the block, taken out: who keeps the block does not keep the
    /// list.
    pub fn take_access_list(&mut self) -> Option<Arc<BlockAccessList>> {
        self.block.0.access_list.take()
    }

    /// keccak256 of the header's RLP.
    pub const fn hash(&self) -> B256 {
        self.block.hash()
    }

    /// The block.
    pub const fn block(&self) -> &Block {
        self.block.block()
    }

    /// One sender for each transaction, in block order.
    pub fn senders(&self) -> &[Address] {
        &self.senders
    }
}
