//! Runs one transaction, message, system call or balance change over a reader of state, and traces
//! it. The only crate that names the EVM implementation (revm).
//!
//! A [`Kernel`] is one EVM for one block: set up once, then fed transaction after transaction.
//! It reads through a [`StateReader`], logs the value of every read, keeps changes in its journal,
//! and gives them out as a [`fugue_state::StateDiff`]. The sequential mode lets the changes of a
//! whole block gather in one journal; the parallel modes take them after each transaction, or are
//! told what it changed ([`Changed`]) and what transactions elsewhere have left. A [`Ledger`] runs
//! plain payments as a kernel does, without an EVM.
//!
//! Beside it, [`call()`] runs a message on a view, and the functions named for traces run one, or a
//! transaction, with an inspector that looks on. [`Feeds`] and [`Recorder`] look on while a kernel
//! runs a block, to measure what running only parts of transactions again could gain.

mod bytes;
mod call;
mod code;
mod constantinople;
mod database;
mod env;
mod feeds;
mod invalid;
mod journal;
mod kernel;
mod lasting;
mod ledger;
mod machine;
mod message;
mod once;
mod precompiled;
mod precompiles;
mod reader;
mod recorder;
mod revert;
mod system;
mod touched;
mod trace;
mod transaction;
mod transfers;

pub use alloy_evm::eth::dao_fork::{DAO_HARDFORK_ACCOUNTS, DAO_HARDFORK_BENEFICIARY};
pub use call::{Assumed, EstimateError, MoveError, Place, access_list, call, estimate_gas};
pub use code::CodeCache;
pub use feeds::{Fed, Feeds, StateValue, Work};
pub use invalid::InvalidTx;
pub use kernel::{Executed, Fault, FeePayment, History, JournalRoom, Kernel};
pub use lasting::{Changed, FieldValue};
pub use ledger::{Ledger, Paid};
pub use message::{BaseFee, CallError, CallOutcome, CallPrice, CallRequest, Checks};
pub use once::compute_long_hashes_once;
pub use precompiles::precompiles;
pub use reader::{ReadLog, StateReader, ViewReader};
pub use recorder::Recorder;
pub use revert::revert_reason;
pub use system::SystemCallFault;
pub use touched::{AccountTouch, SlotTouch, TagFilter, Touched, tag};
pub use trace::{
    FlatCall, FlatResult, GethOutput, GethTracer, LegacyAccount, LegacyCall, NamedSlots,
    StandardEnd, StandardLine, StandardStep, StateTrace, TraceBudget, TraceError, TraceOrigin,
    TraceSubject, Traced, TracedAccount, TracedAccounts, TracerError, ValidationFrame, trace_calls,
    trace_internal_operations, trace_opcode_gas, trace_parity, trace_standard,
};
pub use transaction::{PAYMENT_GAS, PreparedTx, Target, TxEncodingError};
pub use transfers::TransferLogs;
