//! Owns the blocks above the store: imports, follows the heaviest chain, persists.
//!
//! There is one way in, whatever the source: [`Chain::import`] validates header and body, recovers
//! senders, executes, computes the root, compares it with the header, and puts the block into the
//! tree. [`Chain::flush`] makes the chain of the head durable, in one commit. Readers have a
//! [`ChainView`], from which also proofs, witnesses and simulated blocks are made.
//!
//! Terms:
//! * the *durable head* is the newest block in the store, the *head* the newest of the chain;
//! * the *tree* holds executed blocks that are not durable: those between the two heads, and side
//!   blocks;
//! * `Work` is the state after some block, ready to execute its child.

mod bad_blocks;
mod cache;
mod chain;
mod configure;
mod dev;
mod engine;
mod error;
mod executed;
mod footprints;
mod genesis;
mod judge;
mod moved;
mod options;
mod parallel;
mod persist;
mod proven;
mod simulate;
mod times;
mod tree;
mod view;
mod warm;
mod work;

pub use bad_blocks::BadBlock;
pub use chain::{Chain, Imported, Place};
pub use configure::ConfigureError;
pub use dev::{DevBlock, DevContent, Edit};
pub use engine::{
    BuildAttributes, BuildError, BuildOrder, BuiltPayload, ChainEvent, ChainListener, Contents,
    Engine, EngineError, EngineOptions, EngineStatus, EngineThread, Forkchoice, ForkchoiceVerdict,
    PayloadId, PayloadVerdict, Refusal, Reply, SubmitError, pool_head,
};
pub use error::{ImportError, InvalidReason};
pub use fugue_storage::{Head, LOG_SECTION_BLOCKS, LogTerms, Retention, StorageError};
pub use genesis::{Genesis, GenesisError};
pub use judge::Preparer;
pub use moved::{HeadMove, MovedBlock};
pub use options::{ChainOptions, HeadRule};
pub use parallel::ParallelRuns;
pub use simulate::{
    SimulateError, SimulateOptions, Simulated, SimulatedBlock, SimulatedCall, simulate,
};
pub use times::Times;
pub use view::{
    AccountProof, AccountRange, ChainView, ExecutionWitness, ListedAccount, ListedSlot, Reach,
    SlotProof, SlotRange, ViewedBlock,
};
