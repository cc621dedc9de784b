//! Failures on demand: the n-th operation on the database fails, and all after it.

use crate::StorageError;
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
}

impl Faults {
    /// Nothing fails, nothing is counted.
    pub const fn none() -> Self {
        Self(None)
    }

    /// The operation with this index fails, and every later one; the first is 0.
    pub fn at(operation: u64) -> Self {
        Self(Some(Arc::new(Plan { done: AtomicU64::new(0), fails_at: operation })))
    }

    /// Nothing fails, operations are counted.
    pub fn counted() -> Self {
        Self::at(u64::MAX)
    }

    /// Operations so far; 0 if they are not counted.
    pub fn operations(&self) -> u64 {
        self.0.as_ref().map_or(0, |plan| plan.done.load(Ordering::Relaxed))
    }

    pub(super) fn pass(&self) -> Result<(), StorageError> {
        let Some(plan) = &self.0 else { return Ok(()) };
        let operation = plan.done.fetch_add(1, Ordering::Relaxed);
        if operation >= plan.fails_at {
            return Err(StorageError::Injected(operation));
        }
        Ok(())
    }
}
