//! Failures and pauses on demand: the n-th operation on the database fails, and all after it, or
//! the next ones wait.

use crate::StorageError;
use parking_lot::{Condvar, Mutex};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// Counts operations, and fails from a chosen one on. Clones share the count.
#[derive(Debug, Clone, Default)]
pub struct Faults(Option<Arc<Plan>>);

#[derive(Debug)]
struct Plan {
    done: AtomicU64,
    fails_at: u64,
    pause: Mutex<Pause>,
    /// Told when a pause ends.
    ended: Condvar,
}

#[derive(Debug, Default)]
struct Pause {
    /// Operations that will wait, and what the names of their threads begin with.
    to_come: u64,
    threads: &'static str,
    /// Operations that wait.
    held: u64,
    /// Pauses that have ended.
    ended: u64,
}

/// Lets the operations go on that wait, when it is dropped.
#[derive(Debug)]
pub struct HeldOperations(Faults);

impl Faults {
    /// Nothing fails, nothing is counted.
    pub const fn none() -> Self {
        Self(None)
    }

    /// The operation with this index fails, and every later one; the first is 0.
    pub fn at(operation: u64) -> Self {
        let (done, pause, ended) = Default::default();
        Self(Some(Arc::new(Plan { done, fails_at: operation, pause, ended })))
    }

    /// Nothing fails, operations are counted.
    pub fn counted() -> Self {
        Self::at(u64::MAX)
    }

    /// Operations so far; 0 if they are not counted.
    pub fn operations(&self) -> u64 {
        self.0.as_ref().map_or(0, |plan| plan.done.load(Ordering::Relaxed))
    }

    /// Lets the next operations wait, so many of them, if they are counted: those of threads whose
    /// names begin like this, as others may read at any time.
    #[must_use]
    pub fn hold(&self, operations: u64, threads: &'static str) -> HeldOperations {
        if let Some(plan) = &self.0 {
            let mut pause = plan.pause.lock();
            (pause.to_come, pause.threads) = (operations, threads);
        }
        HeldOperations(self.clone())
    }

    /// Operations that wait.
    pub fn held(&self) -> u64 {
        self.0.as_ref().map_or(0, |plan| plan.pause.lock().held)
    }

    pub(super) fn pass(&self) -> Result<(), StorageError> {
        let Some(plan) = &self.0 else { return Ok(()) };
        plan.wait();
        let operation = plan.done.fetch_add(1, Ordering::Relaxed);
        if operation >= plan.fails_at {
            return Err(StorageError::Injected(operation));
        }
        Ok(())
    }
}

impl Plan {
    fn wait(&self) {
        let mut pause = self.pause.lock();
        let Some(to_come) = pause.to_come.checked_sub(1) else { return };
        let is_meant = std::thread::current().name().unwrap_or_default().starts_with(pause.threads);
        if !is_meant {
            return;
        }
        pause.to_come = to_come;
        pause.held += 1;
        let ended = pause.ended;
        while pause.ended == ended {
            self.ended.wait(&mut pause);
        }
        pause.held -= 1;
    }
}

impl Drop for HeldOperations {
    fn drop(&mut self) {
        if let Some(plan) = &self.0.0 {
            let mut pause = plan.pause.lock();
            pause.to_come = 0;
            pause.ended += 1;
            plan.ended.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_operations_wait_until_they_may_go_on() {
        let faults = Faults::counted();
        let held = faults.hold(2, "reader");
        // This thread has another name.
        assert_eq!((faults.pass(), faults.held()), (Ok(()), 0));
        std::thread::scope(|scope| {
            for name in ["reader-1", "reader-2"] {
                let reader = std::thread::Builder::new().name(name.to_owned());
                reader.spawn_scoped(scope, || faults.pass()).expect("a thread");
            }
            while faults.held() < 2 {
                std::thread::yield_now();
            }
            assert_eq!(faults.pass(), Ok(()));
            assert_eq!(faults.operations(), 2);
            drop(held);
        });
        assert_eq!((faults.held(), faults.operations()), (0, 4));
        assert_eq!(faults.pass(), Ok(()));
    }
}
