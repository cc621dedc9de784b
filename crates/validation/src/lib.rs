//! Judges headers, bodies and outcomes by rule.
//!
//! Five judgements, each a function, in the order in which an import makes them:
//!
//! 1. [`check_merge`]: whether the block must have a difficulty, by the total difficulty below it;
//! 2. [`check_child`]: the header by itself and as the child of its parent;
//! 3. [`check_block`]: the header by itself and the body by its header;
//! 4. [`check_ommers`]: the ommers by the ancestors of the block;
//! 5. [`check_outcome`]: what execution gave by what the header promised.
//!
//! Two rules are left to others. The seal of proof of work (Ethash: `mixHash` and `nonce`) is
//! trusted: who imports blocks from before the merge must know their hashes to be those of the
//! chain. And no clock is read here: whether a timestamp lies in the future is for the caller.

mod block;
mod child;
mod difficulty;
mod header;
mod merge;
mod mismatch;
mod ommers;
mod outcome;
mod rule;
#[cfg(test)]
mod samples;
mod transaction;

pub use block::{Ommers, check_block};
pub use child::{check_child, child_base_fee, child_excess_blob_gas, child_gas_limit};
pub use difficulty::child_difficulty;
pub use merge::check_merge;
pub use mismatch::Mismatch;
pub use ommers::{AncestorFacts, OMMER_ANCESTORS, check_ommers};
pub use outcome::{OutcomeFacts, check_outcome, logs_bloom, receipts_root};
pub use rule::Rule;
pub use transaction::{
    InvalidTransaction, TxFacts, check_transaction, check_transaction_from, check_transaction_type,
};

pub(crate) use mismatch::expect;
