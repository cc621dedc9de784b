//! A generated chain before it is executed: where it starts and what its blocks shall hold.

use fugue_chainspec::Fork;
use fugue_state::MemoryState;
use fugue_types::{Address, Transaction, Withdrawal};

/// Chain id of generated chains.
pub const CHAIN_ID: u64 = 1337;
/// Gas limit of generated blocks.
pub const BLOCK_GAS_LIMIT: u64 = 60_000_000;
/// Most gas that a generated transaction asks for. Source: EIP-7825.
pub const TX_GAS_LIMIT_MAX: u64 = 16_777_216;

/// A generated chain: all its transactions are valid in their order.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Unique, in kebab case, ending with the fork.
    pub name: String,
    /// What it is awkward in.
    pub about: &'static str,
    /// The fork that is active from genesis on.
    pub fork: Fork,
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// The state before the first block, system contracts included.
    pub genesis: MemoryState,
    /// What deploys and funds the contracts; executed before `blocks` in blocks of their own.
    pub setup: Vec<Transaction>,
    /// The blocks that the scenario is about.
    pub blocks: Vec<BlockPlan>,
}

/// What one block shall hold.
#[derive(Debug, Clone)]
pub struct BlockPlan {
    /// In block order. The sum of their gas limits is at most `gas_limit`.
    pub transactions: Vec<Transaction>,
    /// The fee recipient.
    pub beneficiary: Address,
    /// In block order; empty before Shanghai.
    pub withdrawals: Vec<Withdrawal>,
    /// Gas limit of the block.
    pub gas_limit: u64,
}
