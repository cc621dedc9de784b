//! The rules of one block.

use crate::{BlobParams, Fork};
use fugue_types::Address;

/// One ether in wei.
const ETHER: u128 = 1_000_000_000_000_000_000;

/// The rules of one block, resolved from its number, timestamp and difficulty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// The newest fork that is active.
    pub fork: Fork,
    /// Blob limits and prices from Cancun on (EIP-4844, EIP-7840, EIP-7892).
    pub blob_params: Option<BlobParams>,
    /// This very block moves the balances of The DAO (EIP-779).
    pub moves_dao_balances: bool,
    /// What `extraData` must be in the DAO fork's first ten blocks: `dao-hard-fork` (EIP-779) for
    /// `Some(true)`, anything else for `Some(false)`, on a chain that refuses the fork.
    pub dao_extra_data: Option<bool>,
    /// Where deposits are logged (EIP-6110); `None` where the chain has no such contract.
    pub deposit_contract: Option<Address>,
    /// Builders' deposits and exits are requests (EIP-8282): from Amsterdam on.
    pub has_builder_requests: bool,
    /// The chain is for development, and takes what others refuse: senders that are impersonated
    /// (`fugue_types::impersonated`), senders with code, the base fee, the gas limit and the
    /// timestamp that a block's author likes, the last not below that of the parent.
    pub is_dev: bool,
}

impl Rules {
    /// Whether `fork` is active.
    pub fn has(&self, fork: Fork) -> bool {
        self.fork >= fork
    }

    /// Reward of a block's author in wei, without shares for ommers; `None` after the merge.
    /// Source: Yellow Paper (5 ether), EIP-649 (3), EIP-1234 (2), EIP-3675 (none).
    pub fn block_reward(&self) -> Option<u128> {
        if self.has(Fork::Paris) {
            None
        } else if self.has(Fork::Constantinople) {
            Some(2 * ETHER)
        } else if self.has(Fork::Byzantium) {
            Some(3 * ETHER)
        } else {
            Some(5 * ETHER)
        }
    }

    /// Receipts carry a status code (EIP-658); before, the state root after the transaction.
    pub fn receipts_have_status(&self) -> bool {
        self.has(Fork::Byzantium)
    }
}
