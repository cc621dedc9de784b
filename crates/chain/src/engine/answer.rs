//! What the engine is asked, and what it answers.

use fugue_txpool::Sidecar;
use fugue_types::{Address, B256, Bytes, Requests, SealedBlock, U256, Withdrawal};
use std::sync::Arc;

/// How an answer is handed back: called once, on a thread of the engine.
pub type Reply<T> = Box<dyn FnOnce(T) + Send>;

/// What is to be said of a payload. Source: execution-apis, "Payload validation".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PayloadVerdict {
    /// Executed, and all of it as its header says.
    Valid,
    /// It breaks a rule; a sequential run on a proven state has found it.
    Invalid(Refusal),
    /// What it builds upon is not known.
    Syncing,
    /// What it builds upon is known, but too far below the head to be executed on.
    Accepted,
}

/// A block that is invalid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The newest of its ancestors that is valid; zero if that is a block of proof of work, `None`
    /// if it is not known.
    pub latest_valid: Option<B256>,
    /// The rule that is broken.
    pub reason: String,
}

/// The fork choice of the consensus layer, by block hashes; zero where there is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Forkchoice {
    /// The head of the chain.
    pub head: B256,
    /// The newest block that is safe by honest majority.
    pub safe: B256,
    /// The newest block that is final.
    pub finalized: B256,
}

/// What a block is to be built with.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BuildAttributes {
    /// In seconds.
    pub timestamp: u64,
    /// RANDAO of the beacon chain (EIP-4399).
    pub prev_randao: B256,
    /// Who is paid.
    pub fee_recipient: Address,
    /// From Shanghai on (EIP-4895).
    pub withdrawals: Option<Vec<Withdrawal>>,
    /// From Cancun on (EIP-4788).
    pub parent_beacon_block_root: Option<B256>,
    /// From Amsterdam on (EIP-7843).
    pub slot_number: Option<u64>,
    /// From Amsterdam on: the gas limit to go towards. Before, the node's own.
    pub target_gas_limit: Option<u64>,
}

/// Names a build.
pub type PayloadId = [u8; 8];

/// What is to be said of a fork choice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForkchoiceVerdict {
    /// The head is valid, and followed. Names the build, if one was asked for and has begun.
    Valid(Option<PayloadId>),
    /// The head is invalid; nothing has changed.
    Invalid(Refusal),
    /// The head is not known; nothing has changed.
    Syncing,
}

/// A block that was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuiltPayload {
    /// The block.
    pub block: SealedBlock,
    /// What the fee recipient gets, in wei.
    pub value: U256,
    /// Requests to the consensus layer (EIP-7685), from Prague on.
    pub requests: Option<Requests>,
    /// The block access list in RLP (EIP-7928), from Amsterdam on.
    pub access_list: Option<Bytes>,
    /// Of its blob transactions, in block order.
    pub sidecars: Vec<Arc<Sidecar>>,
}

/// The engine did not do what was asked. Says nothing about a block.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// The safe or the finalized block is not in the chain of the head. Nothing has changed.
    #[error("invalid forkchoice state: {0}")]
    InvalidForkchoice(String),
    /// The head is followed, but nothing is built.
    #[error("invalid payload attributes: {0}")]
    InvalidAttributes(String),
    /// The head is followed, but nothing is built: the attributes are of another fork than their
    /// timestamp.
    #[error("unsupported fork: {0}")]
    UnsupportedFork(String),
    /// A reorganisation deeper than the limit.
    #[error("too deep reorg: {depth} blocks, the limit is {max}")]
    TooDeep {
        /// Blocks that would leave the chain.
        depth: u64,
        /// The most that may.
        max: u64,
    },
    /// A reorganisation down to where the state is not kept, or will not be once the batch that is
    /// on its way has arrived.
    #[error("too deep reorg: the state after block {number} is pruned, the oldest is {oldest}'s")]
    Pruned {
        /// The block of the database that the head builds upon, or is.
        number: u64,
        /// The oldest whose state is kept.
        oldest: u64,
    },
    /// No such build.
    #[error("unknown payload")]
    UnknownPayload,
    /// More is being asked than is answered.
    #[error("the engine has {0} calls waiting")]
    Busy(usize),
    /// More bytes of blocks would wait than may.
    #[error("the engine has no room for the block: at most {0} bytes of blocks wait")]
    BusyBytes(usize),
    /// The engine has ended.
    #[error("the engine has stopped")]
    Stopped,
    /// The store or the engine failed.
    #[error("{0}")]
    Internal(String),
}
