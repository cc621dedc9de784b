//! What a transaction or a message does, looked at while it runs: the traces of other clients, in
//! their published types where those have all of it.
//!
//! ```text
//! Place + TraceSubject -> the EVM with an inspector -> Traced<T>: the trace, and what changed
//! ```
//! The fee is paid as in a block, and a message is run as [`crate::call()`] runs it. What an
//! inspector keeps is weighed as it goes, against a [`TraceBudget`] that all runs for one answer
//! share: the steps of one block can take more than the memory of the machine.

mod budget;
mod calls;
mod database;
mod flat;
mod geth;
mod legacy;
mod others;
mod prestate;
mod run;
mod standard;
mod steps;
mod validation;
mod weights;
pub(crate) mod words;

pub use budget::TraceBudget;
pub use flat::{FlatCall, FlatResult};
pub use geth::{GethOutput, GethTracer, TracerError};
pub use legacy::LegacyCall;
pub use others::{trace_calls, trace_internal_operations, trace_opcode_gas, trace_parity};
pub use prestate::{LegacyAccount, StateTrace, TracedAccount, TracedAccounts};
pub use standard::{StandardEnd, StandardLine, StandardStep, trace_standard};
pub use validation::{NamedSlots, ValidationFrame};

use crate::{CallError, CallRequest, PreparedTx};
use fugue_state::StateDiff;
use fugue_types::B256;

/// What is traced.
#[derive(Debug, Clone, Copy)]
pub enum TraceSubject<'t> {
    /// A transaction, for which all rules hold.
    Tx(&'t PreparedTx),
    /// A question, for which those hold that [`crate::call()`] asks for.
    Message(&'t CallRequest),
}

/// What some traces say of where a transaction is; nothing of a message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TraceOrigin {
    /// Hash of the block.
    pub block_hash: Option<B256>,
    /// Hash of the transaction.
    pub tx_hash: Option<B256>,
    /// Its position in the block.
    pub tx_index: Option<usize>,
}

/// A trace, and what the traced transaction or message changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traced<T> {
    /// The trace.
    pub trace: T,
    /// Over the state before.
    pub diff: StateDiff,
}

/// There is no trace.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TraceError {
    /// It did not run.
    #[error(transparent)]
    Call(#[from] CallError),
    /// What is to be kept is more than this many bytes.
    #[error("the trace takes more than {0} bytes")]
    TooLarge(usize),
    /// Whoever asked does not wait any longer.
    #[error("the trace was given up")]
    GivenUp,
}

#[cfg(test)]
mod tests;
