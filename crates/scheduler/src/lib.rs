//! Decides which transaction of a block runs next, and keeps multi-version memory, for any key and
//! any value. Knows nothing of Ethereum.
//!
//! # Beside Block-STM
//!
//! As in Block-STM (Gelashvili and others, 2022), transactions run ahead of their turn on
//! multi-version memory, and what an aborted one wrote is marked, so that whoever comes upon it
//! waits. What differs:
//! - **One validation, at the turn.** A transaction is validated when all before it is committed,
//!   and committed at once, or first runs again, on final values. There are no validation tasks, no
//!   waves of them, and no search for the end: the block is done when its last head is committed.
//! - **By value.** A read set holds what was read, not by whom it was written. So there are no
//!   incarnations: a version is the index of its transaction alone, and a write of the same value
//!   is no conflict.
//! - **Aborts ahead of the turn are hints.** A key knows its readers, and a write of another value,
//!   or a retraction, names those that it overtakes: what they wrote is marked, and they run again.
//!   A lost hint, or one too many, costs time alone.
//! - **Few runs.** After [`GUESSES_MAX`] runs a transaction is left for its turn; where too many
//!   heads had to run again, all that is left of the block is.
//!
//! | Block-STM | here |
//! | --- | --- |
//! | incarnation | a run; ahead of the turn, a *guess* |
//! | read set, validation | what [`Program::is_current`] compares |
//! | `ESTIMATE` | a write that is *in doubt*, or suspect: [`Latest::Suspect`] |
//! | abort | ahead of the turn, the reader is *doubted*; at its turn it runs again at once |
//! | dependency | [`Ran::Blocked`], and [`Program::predecessor`], which is known before any run |
//! | `execution_idx` | the next one that never ran, and a queue of those to run again |
//! | `validation_idx` | the *head*: the lowest that is not committed |
//!
#![doc = include_str!("../INVARIANTS.md")]

mod memory;
mod session;
mod sync;

pub use memory::{Latest, Memory};
pub use session::{Failure, GUESSES_MAX, Place, Program, Ran, Session, Stats};
