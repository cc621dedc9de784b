//! One state of the database, for many threads.

use crate::{Meta, StorageError, backend::ReadTx};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The store as it was at one head. Later commits do not change it; the pages that it keeps from
/// being reused make the file grow, so it should not live long.
#[derive(Debug)]
pub struct Snapshot {
    /// A reader is used by one thread at a time; there is one for each thread that is expected.
    readers: Vec<Mutex<ReadTx>>,
    meta: Meta,
}

std::thread_local! {
    /// The reader that a thread tries first.
    static PLACE: usize = {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        NEXT.fetch_add(1, Ordering::Relaxed)
    };
}

impl Snapshot {
    pub(crate) fn new(readers: Vec<ReadTx>, meta: Meta) -> Self {
        Self { readers: readers.into_iter().map(Mutex::new).collect(), meta }
    }

    /// What holds for the whole chain.
    pub const fn meta(&self) -> &Meta {
        &self.meta
    }

    /// Calls with a reader that no other thread uses.
    pub(crate) fn with<T>(
        &self,
        read: impl FnOnce(&ReadTx) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        let first = PLACE.with(|place| *place);
        let count = self.readers.len();
        for step in 0..count {
            let reader = &self.readers[(first + step) % count];
            if let Some(reader) = reader.try_lock() {
                return read(&reader);
            }
        }
        read(&self.readers[first % count].lock())
    }
}
