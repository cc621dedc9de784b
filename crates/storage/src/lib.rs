//! Keeps blocks, receipts, flat state, history and trie nodes in one atomic commit.
//!
//! Terms:
//! * the *head* is the newest block that is durable; everything in the store belongs to its chain;
//! * a *row* is an account as it is stored, with its storage root and the id of its storage;
//! * a *storage id* names one life of an account's storage: when the storage is wiped, the account
//!   gets another id, and what lay under the old one stays where it is, for the past;
//! * *history* keeps, for each account and slot, the value before each block that changed it. The
//!   state after block N is: the oldest value before a change later than N, else the latest value.
//!
//! One writer at a time, any number of readers; a reader sees one head for as long as it lives.
//! What a commit writes is all there or not at all, whenever the power goes. After a commit that
//! failed, the store refuses every further one.
//!
//! `backend` alone knows the database; `tables` draws what is in it.

mod address_index;
mod backend;
mod blocks;
mod changes;
mod commit;
mod error;
mod history;
mod journal;
mod lock;
mod log_index;
mod meta;
mod nodes;
mod prune;
mod row;
mod snapshot;
mod store;
mod tables;
mod unwind;
mod verify;

pub use backend::{Faults, HeldOperations, TableStats};
pub use commit::{BlockRecord, CommitBatch};
pub use error::StorageError;
pub use history::PastState;
pub use journal::Journal;
pub use lock::LOCK_FILE;
pub use log_index::{LOG_SECTION_BLOCKS, LogTerms};
pub use meta::{Head, INDEXED_SCHEMA_VERSION, Meta, SCHEMA_VERSION};
pub use nodes::{CheckedNodes, NodesWhile};
pub use prune::{Pruned, Retention};
pub use snapshot::Snapshot;
pub use store::{Access, Stats, Store, StoreOptions};
pub use tables::Table;
pub use verify::{Problem, Verified};
