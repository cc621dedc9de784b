//! One state of the database, for many threads.

use crate::{
    Meta, StorageError, Table,
    backend::ReadTx,
    row::{Row, StorageRef},
};
use fugue_types::{B256, B256Map};
use parking_lot::{Mutex, RwLock};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The store as it was at one head. Later commits do not change it; the pages that it keeps from
/// being reused make the file grow, so it should not live long.
#[derive(Debug)]
pub struct Snapshot {
    /// A reader is used by one thread at a time; there is one for each thread that is expected.
    readers: Vec<Mutex<ReadTx>>,
    meta: Meta,
    /// Where the storage of accounts lies, of those that were read; in parts by the hash's last
    /// byte, each behind a lock of its own.
    storages: [RwLock<B256Map<Option<StorageRef>>>; PARTS],
}

/// Parts of what is remembered of storage.
const PARTS: usize = 16;
/// Accounts whose storage one part remembers; when there are more, all are forgotten.
const PART_STORAGES_MAX: usize = 4_096;

std::thread_local! {
    /// The reader that a thread tries first.
    static PLACE: usize = {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        NEXT.fetch_add(1, Ordering::Relaxed)
    };
}

impl Snapshot {
    pub(crate) fn new(readers: Vec<ReadTx>, meta: Meta) -> Self {
        let readers = readers.into_iter().map(Mutex::new).collect();
        Self { readers, meta, storages: Default::default() }
    }

    /// The latest row of an account; `None` if it is not there.
    pub(crate) fn row(&self, owner: B256) -> Result<Option<Row>, StorageError> {
        let row = self.decoded(Table::Accounts, owner.as_slice(), Row::decode)?;
        let mut part = self.storages[usize::from(owner[31]) % PARTS].write();
        if part.len() >= PART_STORAGES_MAX {
            part.clear();
        }
        part.insert(owner, row.and_then(|row| row.storage));
        Ok(row)
    }

    /// Where the latest storage of an account lies; `None` if it has none.
    pub(crate) fn storage_ref(&self, owner: B256) -> Result<Option<StorageRef>, StorageError> {
        if let Some(known) = self.storages[usize::from(owner[31]) % PARTS].read().get(&owner) {
            return Ok(*known);
        }
        Ok(self.row(owner)?.and_then(|row| row.storage))
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
