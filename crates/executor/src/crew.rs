//! The threads that help the caller's through a block.

use crate::{BlockError, PreparedBlock};
use fugue_state::StateView;
use fugue_types::Address;
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

/// Times that the caller's thread looks whether the others have ended, and then those that it lets
/// other threads have its core before it looks, until it sleeps: it takes some ten to a hundred
/// microseconds to be woken. The first last about as long, the second a millisecond.
const LOOKS_MAX: usize = 4_000;
const YIELDS_MAX: usize = 2_000;

/// Reads of the state that are timed where there are more threads than cores, and how long one
/// takes at least that is worth waiting for on another thread: what is in memory takes less.
const PROBES: usize = 2;
const SLOW_READ: Duration = Duration::from_micros(20);
/// First senders of a block among whom different ones are looked for.
const PROBED_MAX: usize = 16;

/// How many of them have not ended.
#[derive(Debug)]
pub(crate) struct Crew {
    busy: AtomicUsize,
}

impl Crew {
    pub(crate) const fn new(busy: usize) -> Self {
        Self { busy: AtomicUsize::new(busy) }
    }

    /// One of them has ended, and wakes nobody. Tells whether it was the last.
    pub(crate) fn leave(&self) -> bool {
        self.busy.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// Waits a little for all of them.
    pub(crate) fn linger(&self) {
        let is_busy = || self.busy.load(Ordering::Acquire) > 0;
        (0..LOOKS_MAX).take_while(|_| is_busy()).for_each(|_| std::hint::spin_loop());
        (0..YIELDS_MAX).take_while(|_| is_busy()).for_each(|_| std::thread::yield_now());
    }
}

/// Threads, the caller's not among them.
pub(crate) fn pool_of(threads: usize) -> Result<ThreadPool, BlockError> {
    let builder = ThreadPoolBuilder::new().num_threads(threads);
    let builder = builder.thread_name(|index| format!("fugue-exec-{index}"));
    builder.build().map_err(|error| BlockError::Internal(error.to_string()))
}

/// Whether the state of a block takes so long to answer that more threads than there are cores pay,
/// which mostly wait. If it does not, those that wait for a core hold up what others wait for.
pub(crate) fn is_slow(block: &PreparedBlock, view: &dyn StateView) -> bool {
    let is_slow = |sender: &Address| {
        let asked = Instant::now();
        // What it cannot answer is told of where it is needed.
        _ = view.account(*sender);
        asked.elapsed() >= SLOW_READ
    };
    // What was just read answers at once.
    let mut senders: Vec<&Address> = block.senders().iter().take(PROBED_MAX).collect();
    senders.sort_unstable();
    senders.dedup();
    !senders.is_empty() && senders.into_iter().take(PROBES).all(is_slow)
}
