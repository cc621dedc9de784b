//! Why a block was not executed.

use fugue_evm::{Fault, InvalidTx, SystemCallFault, TxEncodingError};
use fugue_state::{DiffError, StateError};
use fugue_types::{Address, B256, SenderCount};

/// A rule that the block breaks. Found, or confirmed, by sequential execution.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBlock {
    /// A signature from which no sender can be recovered (EIP-2: nor from a high s).
    #[error("transaction {index} ({hash}): invalid signature")]
    Signature {
        /// Position in the block.
        index: usize,
        /// Hash of the transaction.
        hash: B256,
    },
    /// A transaction that may not stand where it stands.
    #[error("transaction {index} ({hash}): {reason}")]
    Transaction {
        /// Position in the block.
        index: usize,
        /// Hash of the transaction.
        hash: B256,
        /// The rule.
        reason: InvalidTx,
    },
    /// A transaction's gas limit is above what is left of the block's.
    #[error("transaction {index} ({hash}): gas limit {gas_limit}, the block has {available} left")]
    GasLimit {
        /// Position in the block.
        index: usize,
        /// Hash of the transaction.
        hash: B256,
        /// Its gas limit.
        gas_limit: u64,
        /// Gas left in the dimension that is short.
        available: u64,
    },
    /// More blob gas than a block may use.
    #[error("transaction {index} ({hash}): blob gas {blob_gas}, the block may use {max}")]
    BlobGas {
        /// Position in the block.
        index: usize,
        /// Hash of the transaction.
        hash: B256,
        /// Blob gas up to and with this transaction.
        blob_gas: u64,
        /// The block's limit.
        max: u64,
    },
    /// The header lacks a field that its fork needs for execution.
    #[error("the header has no {0}")]
    HeaderField(&'static str),
    /// A system call that must succeed failed.
    #[error("system call to {contract} failed: {reason}")]
    SystemCall {
        /// The system contract.
        contract: Address,
        /// How it failed.
        reason: String,
    },
    /// A system contract that must be there is not.
    #[error("system contract {contract} has no code")]
    SystemContractEmpty {
        /// The system contract.
        contract: Address,
    },
    /// A log of the deposit contract that is not a deposit (EIP-6110).
    #[error("transaction {index}: a log of the deposit contract is malformed")]
    DepositLog {
        /// Position of the transaction in the block.
        index: usize,
    },
}

impl InvalidBlock {
    /// Names that the official tests use for this reason.
    pub fn names(&self) -> &'static [&'static str] {
        match self {
            Self::Transaction { reason, .. } => reason.names(),
            Self::GasLimit { .. } => &[
                "GAS_ALLOWANCE_EXCEEDED",
                "GAS_USED_OVERFLOW",
                "TR_GasLimitReached",
                "TR_FeeCapLessThanBlocksORGasLimitReached",
                "BlockGasLimitReached",
                "TooMuchGasUsed",
            ],
            Self::BlobGas { .. } => &[
                "TYPE_3_TX_MAX_BLOB_GAS_ALLOWANCE_EXCEEDED",
                "TYPE_3_TX_BLOB_COUNT_EXCEEDED",
                "TR_BLOBLIST_OVERSIZE",
            ],
            Self::DepositLog { .. } => &["INVALID_DEPOSIT_EVENT_LAYOUT"],
            Self::SystemContractEmpty { .. } => &["SYSTEM_CONTRACT_EMPTY"],
            Self::SystemCall { .. } => &["SYSTEM_CONTRACT_CALL_FAILED"],
            Self::Signature { .. } => &["INVALID_SIGNATURE_VRS", "EC_RECOVERY_FAIL"],
            Self::HeaderField(_) => &["INCORRECT_BLOCK_FORMAT"],
        }
    }
}

/// A block was not executed to its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// The block breaks a rule.
    #[error("invalid block: {0}")]
    Invalid(#[from] InvalidBlock),
    /// The state could not answer. Says nothing about the block.
    #[error("state: {0}")]
    State(#[from] StateError),
    /// A defect of ours. Says nothing about the block.
    #[error("internal: {0}")]
    Internal(String),
}

impl From<SenderCount> for BlockError {
    fn from(error: SenderCount) -> Self {
        Self::Internal(error.to_string())
    }
}

impl From<DiffError> for BlockError {
    fn from(error: DiffError) -> Self {
        Self::Internal(error.to_string())
    }
}

impl From<TxEncodingError> for BlockError {
    fn from(error: TxEncodingError) -> Self {
        Self::Internal(error.to_string())
    }
}

impl BlockError {
    /// The error of a transaction that did not run at its turn.
    pub(crate) fn of_transaction(index: usize, hash: B256, fault: Fault<StateError>) -> Self {
        match fault {
            Fault::Invalid(reason) => InvalidBlock::Transaction { index, hash, reason }.into(),
            Fault::Read(error) => Self::State(error),
            Fault::Internal(message) => Self::Internal(message),
        }
    }

    /// The error of a system call that must succeed.
    pub(crate) fn of_system_call(contract: Address, fault: SystemCallFault<StateError>) -> Self {
        match fault {
            SystemCallFault::Failed(reason) => InvalidBlock::SystemCall { contract, reason }.into(),
            SystemCallFault::Fault(Fault::Read(error)) => Self::State(error),
            SystemCallFault::Fault(other) => Self::Internal(other.to_string()),
        }
    }
}
