//! The read view of a world state, the diff that changes it, and overlays of diffs.
//!
//! A transition stands behind three reads (account, slot, code) and one question about the chain
//! (block hash), and answers with one [`StateDiff`].

mod account;
mod assumed;
mod between;
mod diff;
mod memory;
mod overlay;
mod stack;
mod view;

pub use account::Account;
pub use assumed::{AssumedAccount, AssumedStorage, assumed_diff};
pub use between::{Guarded, HashesFrom, Question};
pub use diff::{AccountDiff, DiffError, SlotDiff, StateDiff};
pub use memory::{MemoryAccount, MemoryState};
pub use overlay::{Layer, LayerView, Overlay};
pub use stack::Stack;
pub use view::{SlotSet, StateError, StateView};
