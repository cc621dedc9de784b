//! Decides which transaction of a block runs next, and keeps multi-version memory, for any key and
//! any value. Knows nothing of Ethereum.
//!
//! # Invariants
//! 1. **Commit is in block order and one at a time**: transaction `n` is committed only after all
//!    before it, under one lock.
//! 2. **What is committed was computed from final values**: either its reads were compared with the
//!    memory while every earlier transaction was already committed, or it ran at that time.
//! 3. **Everything else is a guess.** Invalidation, suspicion and waiting only decide what is worth
//!    running early. Losing any of it costs time, never correctness.
//! 4. **It ends**: the head of the block can always run, and waits only for lower transactions.
//! 5. **Bounded work**: a transaction runs at most [`GUESSES_MAX`] times before its turn and once
//!    at its turn.

mod memory;
mod session;
mod sync;

pub use memory::{Latest, Memory};
pub use session::{
    Failure, GUESSES_MAX, Place, Program, Ran, SUFFIX_RERUNS_PERCENT, Session, Stats,
};
