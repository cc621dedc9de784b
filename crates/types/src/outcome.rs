//! What one transaction did, as every mode of execution must report it.

use crate::{Address, Bytes, Eip658Value, Log, Receipt, ReceiptEnvelope, TxType};

/// How a transaction ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TxStatus {
    /// It ran to its end.
    Success,
    /// REVERT was executed: the remaining gas is given back.
    Revert,
    /// An exceptional halt, by the EVM's name for it.
    Halt(String),
}

impl TxStatus {
    /// The status code of EIP-658.
    pub const fn is_success(&self) -> bool {
        matches!(self, Self::Success)
    }

    /// `success`, `revert`, or the name of the halt.
    pub fn name(&self) -> &str {
        match self {
            Self::Success => "success",
            Self::Revert => "revert",
            Self::Halt(name) => name,
        }
    }
}

/// Gas of one transaction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TxGas {
    /// What the sender pays for, after refunds and floor.
    pub used: u64,
    /// The share counted against the block in the regular dimension: without refunds, but with the
    /// floor. Before Amsterdam no block counts by it. Source: EIP-7778, EIP-8037.
    pub regular: u64,
    /// The share counted against the block in the state dimension. Before Amsterdam: 0.
    /// Source: EIP-8037.
    pub state: u64,
}

/// What one transaction of a block did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TxResult {
    /// Type of the transaction (EIP-2718).
    pub tx_type: TxType,
    /// How it ended.
    pub status: TxStatus,
    /// Gas of this transaction alone.
    pub gas: TxGas,
    /// Logs in the order of emission; those of reverted calls are not among them.
    pub logs: Vec<Log>,
    /// Return or revert data; for a creation the deployed code.
    pub output: Bytes,
    /// Address of the contract that the transaction created.
    pub created: Option<Address>,
}

impl TxResult {
    /// The receipt with its bloom, in the consensus form of its transaction type.
    ///
    /// `status` is given by the caller: the status code from Byzantium on (EIP-658), before it the
    /// state root after the transaction.
    pub fn receipt(&self, status: Eip658Value, cumulative_gas_used: u64) -> ReceiptEnvelope {
        let receipt = Receipt { status, cumulative_gas_used, logs: self.logs.clone() }.with_bloom();
        match self.tx_type {
            TxType::Legacy => ReceiptEnvelope::Legacy(receipt),
            TxType::Eip2930 => ReceiptEnvelope::Eip2930(receipt),
            TxType::Eip1559 => ReceiptEnvelope::Eip1559(receipt),
            TxType::Eip4844 => ReceiptEnvelope::Eip4844(receipt),
            TxType::Eip7702 => ReceiptEnvelope::Eip7702(receipt),
        }
    }
}
