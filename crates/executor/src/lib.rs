//! Runs one block to its outcome, sequentially or in parallel.
//!
//! Sequential execution is the definition. The parallel modes may differ in time only: where they
//! find a block invalid, or come upon a defect of their own, they run it sequentially and that
//! answer stands.
//!
//! The path: [`Executor::prepare`] recovers senders and authorities, [`Executor::execute`] opens
//! the block (system calls), runs its transactions in the chosen [`Mode`], closes it (withdrawals,
//! requests, rewards) and gives a [`BlockOutcome`].

mod access_list;
mod divergence;
mod error;
mod executor;
mod frame;
mod occ;
mod outcome;
mod prepare;
mod requests;
mod sequential;
mod tally;

pub use divergence::{Divergence, first_divergence};
pub use error::{BlockError, InvalidBlock};
pub use executor::{Execution, Executor, Fallback, Mode, Report, Scope};
pub use outcome::BlockOutcome;
pub use prepare::PreparedBlock;
