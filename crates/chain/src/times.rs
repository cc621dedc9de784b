//! Where the time of imports goes.

use std::time::Duration;

/// What each step of imports took, summed up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Times {
    /// From the parameters of calls to sealed blocks, as the callers tell it.
    pub decoded: Duration,
    /// Checking bodies and recovering senders, where the import did it.
    pub prepared: Duration,
    /// Executing: from a prepared block to its outcome.
    pub executed: Duration,
    /// Computing roots.
    pub rooted: Duration,
    /// Comparing with headers and putting into the tree; with an engine also appending to the
    /// journal and handing out views.
    pub inserted: Duration,
    /// Making durable, wherever that was done.
    pub durable: Duration,
    /// Waiting for blocks to become durable, because there was no room for more that are not.
    pub waited: Duration,
}
