//! The threads that help the caller's through a block.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Times that the caller's thread looks whether the others have ended before it sleeps until they
/// have: some ten to a hundred microseconds, which is what it takes to be woken.
const LINGER_MAX: usize = 4_000;

/// How many of them have not ended.
#[derive(Debug)]
pub(crate) struct Crew {
    busy: AtomicUsize,
}

impl Crew {
    pub(crate) const fn new(busy: usize) -> Self {
        Self { busy: AtomicUsize::new(busy) }
    }

    /// One of them has ended, and wakes nobody.
    pub(crate) fn leave(&self) {
        self.busy.fetch_sub(1, Ordering::Release);
    }

    /// Waits a little for all of them.
    pub(crate) fn linger(&self) {
        for _ in 0..LINGER_MAX {
            if self.busy.load(Ordering::Acquire) == 0 {
                return;
            }
            std::hint::spin_loop();
        }
    }
}
