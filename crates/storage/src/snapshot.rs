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
    /// Where the storage of accounts lies, of those that were asked for.
    storages: RwLock<B256Map<Option<StorageRef>>>,
}

/// Accounts whose storage is remembered; when there are more, all are forgotten.
const STORAGES_MAX: usize = 16_384;

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
        Self { readers, meta, storages: RwLock::default() }
    }

    /// Where the latest storage of an account lies; `None` if it has none.
    pub(crate) fn storage_ref(&self, owner: B256) -> Result<Option<StorageRef>, StorageError> {
        if let Some(known) = self.storages.read().get(&owner) {
            return Ok(*known);
        }
        let row = self.decoded(Table::Accounts, owner.as_slice(), Row::decode)?;
        let found = row.and_then(|row| row.storage);
        let mut storages = self.storages.write();
        if storages.len() >= STORAGES_MAX {
            storages.clear();
        }
        storages.insert(owner, found);
        Ok(found)
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
