//! What the methods of a chain for development ask of the program that makes its blocks.
//!
//! The program has the keys and the clock, and this crate the wire: so the one implementation is
//! there, behind a trait.

use alloy_primitives::Signature;
use fugue_chain::{DevBlock, Edit, Head, SubmitError};
use fugue_txpool::{Added, Origin};
use fugue_types::{Address, B256};
use std::time::Duration;

/// The maker of the blocks. All threads may use it at once; what changes the chain is done one
/// after the other, and who only asks does not wait for it.
pub trait DevChain: Send + Sync {
    /// Accounts that transactions may be sent from: first those with keys, then those that are
    /// impersonated.
    fn accounts(&self) -> Vec<Address>;

    /// Signs a hash; `None` if there is no key of this account.
    fn sign(&self, signer: Address, hash: B256) -> Option<Signature>;

    /// Whether transactions may be sent from this account without its key.
    fn is_impersonated(&self, account: Address) -> bool;

    /// Changes whom transactions may be sent from without a key.
    ///
    /// # Errors
    /// [`DevError::Refused`] if these are too many.
    fn impersonate(&self, change: Impersonation) -> Result<(), DevError>;

    /// Puts a transaction into the pool, in the form in which it is sent; if there is a block for
    /// each, it is there when this returns, provided that one could have the transaction.
    ///
    /// # Errors
    /// As [`fugue_chain::Engine::submit`].
    fn send(&self, encoded: &[u8], origin: Origin) -> Result<Added, SubmitError>;

    /// Makes blocks, with what the pool has. Gives the head then: the last of them. Ends early if
    /// `goes_on` says no before one of them.
    ///
    /// # Errors
    /// [`DevError`]; blocks that were made before stay.
    fn mine(&self, blocks: &DevBlocks, goes_on: &dyn Fn() -> bool) -> Result<Head, DevError>;

    /// Changes the state, by a block of its own.
    ///
    /// # Errors
    /// [`DevError`].
    fn edit(&self, edit: Edit) -> Result<(), DevError>;

    /// Remembers the chain as it is, and names that.
    ///
    /// # Errors
    /// [`DevError`].
    fn snapshot(&self) -> Result<u64, DevError>;

    /// Goes back to what was remembered under this name, and forgets that and all that was
    /// remembered later. False if there is no such name.
    ///
    /// # Errors
    /// [`DevError`].
    fn revert(&self, snapshot: u64) -> Result<bool, DevError>;

    /// Goes back to a block.
    ///
    /// # Errors
    /// [`DevError`].
    fn rewind(&self, to: DevAncestor) -> Result<(), DevError>;

    /// Begins anew: the genesis, and all settings as they were at the start.
    ///
    /// # Errors
    /// [`DevError`].
    fn reset(&self) -> Result<(), DevError>;

    /// Changes how blocks are made.
    ///
    /// # Errors
    /// [`DevError::Refused`] if it is out of range.
    fn set(&self, setting: DevSetting) -> Result<(), DevError>;

    /// How blocks are made.
    fn status(&self) -> DevStatus;

    /// The block that would be made of what the pool has, if it were made at this moment.
    ///
    /// # Errors
    /// [`DevError`].
    fn next_block(&self) -> Result<DevBlock, DevError>;

    /// What is remembered: the name, and the head of that time. Waits while blocks are made.
    fn snapshots(&self) -> Vec<(u64, Head)>;
}

/// A change of whom transactions may be sent from without a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Impersonation {
    /// From this account, too.
    Start(Address),
    /// From this account no more.
    Stop(Address),
    /// From all accounts, or from those alone that were named.
    All(bool),
}

/// A block of the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DevAncestor {
    /// With this number.
    Number(u64),
    /// So many blocks below the head.
    Depth(u64),
}

/// Blocks that are to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DevBlocks {
    /// How many.
    pub count: u64,
    /// Timestamp of the first one, in seconds.
    pub timestamp: Option<u64>,
    /// Seconds from one to the next.
    pub interval: Option<u64>,
}

/// What passes between two blocks that come by the clock: drawn anew for each, if the ends differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DevInterval {
    /// The shortest.
    pub min: Duration,
    /// The longest; not below the shortest.
    pub max: Duration,
}

impl DevInterval {
    /// Always the same.
    pub const fn exactly(duration: Duration) -> Self {
        Self { min: duration, max: duration }
    }
}

/// How blocks are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DevSetting {
    /// Whether there is a block for each transaction.
    Automine(bool),
    /// Whether there is a block each time that so much has passed.
    Interval(Option<DevInterval>),
    /// Lets the clock of the blocks run ahead by so many seconds more: of the head, if that is
    /// ahead of it.
    TimeForward(u64),
    /// Sets the clock of the blocks, in seconds.
    Time(u64),
    /// Timestamp of the next block, in seconds.
    NextTimestamp(u64),
    /// Seconds from the timestamp of each block to that of the next, in place of the clock.
    TimestampInterval(Option<u64>),
    /// Base fee of the next block, in wei.
    NextBaseFee(u64),
    /// `prevrandao` of the next block.
    NextRandao(B256),
    /// Fee recipient of the blocks.
    Coinbase(Address),
    /// Gas limit of the blocks.
    GasLimit(u64),
    /// Whether each block is told in the log.
    Logging(bool),
}

/// How blocks are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DevStatus {
    /// There is a block for each transaction.
    pub is_automine: bool,
    /// There is a block each time that so much has passed.
    pub interval: Option<DevInterval>,
    /// Seconds by which the clock of the blocks is ahead.
    pub offset: i64,
    /// There is an interval between timestamps.
    pub timestamp_interval: Option<u64>,
    /// Names this chain, from its beginning to the next.
    pub instance: B256,
}

/// It was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DevError {
    /// It cannot be done; the caller is told why.
    #[error("{0}")]
    Refused(String),
    /// We are broken.
    #[error("{0}")]
    Broken(String),
}
