//! How much the traces of one answer may take.

use crate::TraceError;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A bound on what inspectors keep, for all runs together that one answer needs, on any number of
/// threads. It counts what is kept and never what is let go again, so whether an answer fits does
/// not depend on the threads.
pub struct TraceBudget {
    bytes_max: usize,
    bytes: AtomicUsize,
    is_given_up: Box<dyn Fn() -> bool + Send + Sync>,
}

impl std::fmt::Debug for TraceBudget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TraceBudget").field("bytes_max", &self.bytes_max).finish_non_exhaustive()
    }
}

impl TraceBudget {
    /// At most about `bytes_max` bytes. `is_given_up` is asked every thousand steps or so, by all
    /// threads.
    pub fn new(bytes_max: usize, is_given_up: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self { bytes_max, bytes: AtomicUsize::new(0), is_given_up: Box::new(is_given_up) }
    }

    /// Bytes that were counted so far.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// # Errors
    /// [`TraceError::TooLarge`] from the first byte on that does not fit.
    pub(crate) fn add(&self, bytes: usize) -> Result<(), TraceError> {
        // Whoever is refused adds no more, so the sum does not wrap.
        let bytes = bytes.min(self.bytes_max.saturating_add(1));
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) > self.bytes_max {
            return Err(TraceError::TooLarge(self.bytes_max));
        }
        Ok(())
    }

    /// # Errors
    /// [`TraceError::GivenUp`] if nobody waits any longer.
    pub(crate) fn look(&self) -> Result<(), TraceError> {
        if (self.is_given_up)() { Err(TraceError::GivenUp) } else { Ok(()) }
    }
}
