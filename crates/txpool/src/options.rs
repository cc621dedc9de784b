//! What a pool is told: its bounds, its head, and where a transaction comes from.

use fugue_chainspec::Rules;
use fugue_types::B256;

/// Transactions that a sender may have in the pool when they were sent by this node's own users.
pub const LOCAL_SENDER_TXS_MAX: usize = 1_024;

const MIB: usize = 1 << 20;

/// Who sent a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A user of this node. The least tip does not hold for it, and it gives way last.
    Local,
    /// Anybody else.
    External,
}

/// The bounds of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolOptions {
    /// Bytes of executable transactions without blobs.
    pub pending_bytes_max: usize,
    /// Bytes of transactions without blobs that wait for another or for a balance.
    pub queued_bytes_max: usize,
    /// Bytes of blob transactions, with their blobs.
    pub blob_bytes_max: usize,
    /// Transactions of one sender; a local one may go up to [`LOCAL_SENDER_TXS_MAX`].
    pub sender_txs_max: usize,
    /// Blob transactions of one sender.
    pub sender_blob_txs_max: usize,
    /// How far a nonce may lie above the sender's next executable one.
    pub nonce_gap_max: u64,
    /// What a replacement must offer more, in percent of the fees of the one that it replaces.
    pub price_bump_percent: u64,
    /// The same for blob transactions.
    pub blob_price_bump_percent: u64,
    /// Least tip of an external transaction, in wei per gas.
    pub tip_min: u128,
    /// Bytes of a transaction without its sidecar.
    pub tx_bytes_max: usize,
    /// Bytes of a blob transaction with its sidecar.
    pub blob_tx_bytes_max: usize,
}

impl Default for PoolOptions {
    fn default() -> Self {
        Self {
            pending_bytes_max: 64 * MIB,
            queued_bytes_max: 16 * MIB,
            blob_bytes_max: 256 * MIB,
            sender_txs_max: 64,
            sender_blob_txs_max: 16,
            nonce_gap_max: 64,
            price_bump_percent: 10,
            blob_price_bump_percent: 100,
            tip_min: 1,
            tx_bytes_max: 128 << 10,
            // Nine blobs of Prague, or six with cell proofs, take less than 1.2 MiB.
            blob_tx_bytes_max: 3 * MIB / 2,
        }
    }
}

/// The head of the chain, as far as the pool must know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolHead {
    /// Number of the head.
    pub number: u64,
    /// Hash of the head.
    pub hash: B256,
    /// The rules of the next block.
    pub rules: Rules,
    /// Base fee of the next block in wei per gas; 0 before London.
    pub base_fee: u64,
    /// Blob base fee of the next block in wei per blob gas; `None` before Cancun.
    pub blob_base_fee: Option<u128>,
    /// Gas limit of the head.
    pub gas_limit: u64,
}
