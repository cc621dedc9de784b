//! Keeps admissible pending transactions in inclusion order.
//!
//! ```text
//!           alone              by its sender              among the others
//! bytes ->  size, type,  ->    nonce, balance,  ->  held  replacement, limits,
//!           fees, gas,         code                       bounds in bytes
//!           signature,
//!           blob proofs
//! ```
//! A transaction that is held lies in one of three lanes, each with a bound in bytes of its own:
//!
//! - *pending*: its sender's nonces lead up to it without a gap, and the sender can pay for it and
//!   for all before it. A fee below the base fee does not matter: [`Pool::best`] skips it;
//! - *queued*: there is a gap, or the balance ends before it;
//! - *blob*: a blob transaction. These must be executable: without a gap, and paid for.
//!
//! No clock, no thread, no I/O: the caller says when the head moved ([`Pool::advance`]), and lends
//! the state. Judging a transaction by itself, and its blobs, happens outside of the lock.
//!
//! What things cost, for `n` transactions in the pool of which `k` are the sender's (a bounded
//! number): adding and dropping one is `O(k + log n)`; a new head is that for each sender whose
//! account changed; [`Pool::best`] and [`Pool::content`] copy a reference to each transaction, and
//! taking one from [`Best`] is logarithmic in the number of senders.

mod account;
mod best;
mod blobs;
mod check;
mod error;
mod holdings;
mod lanes;
mod mined;
mod options;
mod pool;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod samples;
mod sender;
mod sidecar;
mod tx;

pub use best::Best;
pub use blobs::PooledBlob;
pub use error::PoolError;
pub use holdings::{Added, Advanced, HeadUpdate, MinedTx};
pub use options::{LOCAL_SENDER_TXS_MAX, Origin, PoolHead, PoolOptions};
pub use pool::{Observer, Pool, PoolContent, PoolStatus};
pub use sidecar::{Sidecar, SidecarForm, check_proofs, check_sidecar, prove_blobs};
pub use tx::{PooledTransaction, PooledTx, TX_OVERHEAD_BYTES, split};
