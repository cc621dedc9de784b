//! How a chain works.

use fugue_executor::Mode;
use fugue_storage::Retention;

/// Which block is the head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadRule {
    /// The heaviest one: by total difficulty, which stands still from the merge on, then by number.
    /// Imports make durable what is to be, and wait for it.
    Heaviest,
    /// The one that [`crate::Chain::set_head`] names. Blocks become durable behind the chain's
    /// back, while it imports others.
    Forkchoice,
}

/// How a chain works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainOptions {
    /// How blocks are executed.
    pub mode: Mode,
    /// Threads for execution, recovery and roots.
    pub threads: usize,
    /// Which block is the head.
    pub head_rule: HeadRule,
    /// What of the past is kept.
    pub retention: Retention,
    /// Blocks that are not durable, at most: then they are made durable.
    pub batch_blocks_max: usize,
    /// Bytes of blocks that are not durable, with their receipts and changes, at most, about.
    pub batch_bytes_max: usize,
    /// Blocks beside the chain of the head that are kept, at most: then those are forgotten that
    /// the newest does not build upon.
    pub side_blocks_max: usize,
    /// Bytes of such blocks, at most, about.
    pub side_bytes_max: usize,
    /// Branches of the tries that stay in memory, about: 900 bytes each.
    pub branches_max: usize,
}

impl ChainOptions {
    /// For importing many blocks.
    pub const fn new(mode: Mode, threads: usize) -> Self {
        Self {
            mode,
            threads,
            head_rule: HeadRule::Heaviest,
            retention: Retention::Archive,
            batch_blocks_max: 1_024,
            batch_bytes_max: 64 << 20,
            side_blocks_max: 1_024,
            side_bytes_max: 64 << 20,
            branches_max: 250_000,
        }
    }

    /// For following a consensus client: see [`HeadRule::Forkchoice`].
    pub const fn following(mode: Mode, threads: usize) -> Self {
        Self {
            head_rule: HeadRule::Forkchoice,
            // Small enough that a restart, which runs what is not durable again, takes no time.
            batch_blocks_max: 32,
            batch_bytes_max: 16 << 20,
            ..Self::new(mode, threads)
        }
    }
}
