//! Decides which transaction of a block runs next, and keeps multi-version memory, for any key and
//! any value. Knows nothing of Ethereum.
//!
#![doc = include_str!("../INVARIANTS.md")]

mod memory;
mod session;
mod sync;

pub use memory::{Latest, Memory};
pub use session::{
    Failure, GUESSES_MAX, Place, Program, Ran, SUFFIX_RERUNS_PERCENT, Session, Stats,
};
