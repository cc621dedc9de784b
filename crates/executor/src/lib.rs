//! Runs one block to its outcome, sequentially or in parallel; fills a block from candidates.
//!
//! Sequential execution is the definition. The parallel modes may differ in time only: where they
//! find a block invalid, or come upon a defect of their own, they run it sequentially and that
//! answer stands.
//!
//! The path: [`Executor::prepare`] recovers senders and authorities, [`Executor::execute`] opens
//! the block (system calls), runs its transactions in the chosen [`Mode`], closes it (withdrawals,
//! requests, rewards) and gives a [`BlockOutcome`]. [`Executor::build`] does the same with
//! candidates, of which it takes into the block what fits. [`Executor::preexecute`] runs
//! transactions before any block has them: their [`Footprint`]s tell whom each is to wait for.
//! [`Hints`] are what blocks have taught for later ones.
//!
//! What only looks at blocks gives no verdict: [`Replay`] has the states between the transactions
//! of a block, [`Accesses`] what each of them read and wrote, [`Explanation`] and [`ConflictGraph`]
//! what follows for running them in parallel; [`TxRuns`] tell what a parallel run did, [`TxRedo`]
//! what it could have spared; a [`Simulation`] is a block of messages that nobody has signed.

mod access_list;
mod accesses;
mod bal;
mod build;
mod crew;
mod divergence;
mod error;
mod executor;
mod explain;
mod footprint;
mod frame;
mod hints;
mod lanes;
mod occ;
mod outcome;
mod prepare;
mod redo;
mod replay;
mod requests;
mod rerun;
#[cfg(test)]
mod samples;
mod sequential;
mod sets;
mod simulation;
mod tally;

pub use accesses::{Accesses, Field, StateField, TxAccess};
pub use bal::ListFault;
pub use build::{BuildLimits, Built, Candidate, Draft, Refusal};
pub use divergence::{Divergence, first_divergence};
pub use error::{BlockError, InvalidBlock};
pub use executor::{
    Execution, Executor, Fallback, FallbackCause, GivenUp, ListUse, Mode, Report, Scope, Way,
    WhySequential,
};
pub use explain::{
    Balances, Conflict, ConflictCause, ConflictGraph, ContractProfile, CriticalPath, Dependency,
    Explanation, FieldShare, HotField, Order, PathStep, Schedule, SenderChain,
};
pub use footprint::{Footprint, Location};
pub use fugue_evm::{Fed, Work, compute_long_hashes_once};
pub use hints::Hints;
pub use lanes::LaneFault;
pub use outcome::BlockOutcome;
pub use prepare::PreparedBlock;
pub use redo::TxRedo;
pub use replay::Replay;
pub use rerun::{Rerun, RerunCause, TxRuns};
pub use simulation::{Simulation, SimulationEnd, SimulationError, SystemCodes};
