//! The store: opening it, reading what is in it, and the one way to write.

use crate::{
    CommitBatch, Faults, Head, Meta, Snapshot, StorageError, Table, TableStats,
    backend::{Backend, WriteTx},
    lock::{Lock, of_io},
};
use fugue_types::B256;
use parking_lot::Mutex;
use std::path::{Path, PathBuf};

/// What a process wants of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// To read, beside a process that writes.
    Read,
    /// To write, as the only process.
    Write,
}

/// How a store is opened.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// To read or to write.
    pub access: Access,
    /// Threads that read one snapshot at once; at least 1.
    pub readers: usize,
    /// The most bytes that the file may grow to.
    pub bytes_max: usize,
    /// Failures on demand, for tests.
    pub faults: Faults,
}

/// The most bytes that a file may grow to where nothing else is said: 4 TiB.
const BYTES_MAX: usize = 4 << 40;
/// Threads that may read a snapshot of a store in memory at a time.
const MEMORY_READERS: usize = 4;

impl StoreOptions {
    /// To read or write with this many threads.
    pub fn new(access: Access, readers: usize) -> Self {
        Self { access, readers: readers.max(1), bytes_max: BYTES_MAX, faults: Faults::none() }
    }
}

/// Size of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stats {
    /// Each table, in the order of [`Table::ALL`].
    pub tables: Vec<(Table, TableStats)>,
    /// Bytes of the file.
    pub file_bytes: u64,
    /// Bytes of it that hold something.
    pub used_bytes: u64,
}

/// Blocks, state and history of one chain.
#[derive(Debug)]
pub struct Store {
    pub(crate) backend: Backend,
    path: PathBuf,
    readers: usize,
    access: Access,
    /// Held while writing; the reason once a write has failed.
    writing: Mutex<Option<String>>,
    _lock: Option<Lock>,
}

impl Store {
    /// Opens the store in a folder; to write, makes folder and files if they are not there.
    ///
    /// # Errors
    /// [`StorageError::Locked`] if another process writes, [`StorageError::Schema`],
    /// [`StorageError::ReadOnly`], or what the database says.
    pub fn open(path: &Path, options: StoreOptions) -> Result<Self, StorageError> {
        let StoreOptions { access, readers, bytes_max, faults } = options;
        let lock = match access {
            Access::Read => None,
            Access::Write => {
                let made = std::fs::create_dir_all(path);
                made.map_err(|error| of_io(path, "making the folder", &error))?;
                Some(Lock::acquire(path)?)
            }
        };
        let backend = Backend::open(path, access, bytes_max, faults)?;
        let store = Self {
            backend,
            path: path.to_owned(),
            readers: readers.max(1),
            access,
            writing: Mutex::new(None),
            _lock: lock,
        };
        store.meta()?;
        Ok(store)
    }

    /// An empty store in memory, which lasts as long as this value.
    pub fn memory(faults: Faults) -> Self {
        Self {
            backend: Backend::memory(faults),
            path: PathBuf::from("memory"),
            readers: MEMORY_READERS,
            access: Access::Write,
            writing: Mutex::new(None),
            _lock: None,
        }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What holds for the whole chain; `None` if there is no chain yet.
    ///
    /// # Errors
    /// [`StorageError::Schema`], or what the database says.
    pub fn meta(&self) -> Result<Option<Meta>, StorageError> {
        let mut readers = self.backend.read(1)?;
        readers.pop().map_or(Ok(None), |reader| Meta::read(&reader))
    }

    /// The newest durable block.
    ///
    /// # Errors
    /// [`StorageError::Empty`] if there is no chain, or what the database says.
    pub fn head(&self) -> Result<Head, StorageError> {
        self.meta()?.map(|meta| meta.head).ok_or_else(|| self.empty())
    }

    /// The store as it is now.
    ///
    /// # Errors
    /// [`StorageError::Empty`] if there is no chain, or what the database says.
    pub fn snapshot(&self) -> Result<Snapshot, StorageError> {
        self.snapshot_for(self.readers)
    }

    /// As [`Store::snapshot`], for so many threads.
    ///
    /// # Errors
    /// As [`Store::snapshot`].
    pub fn snapshot_for(&self, readers: usize) -> Result<Snapshot, StorageError> {
        let readers = self.backend.read(readers.clamp(1, self.readers))?;
        let meta = readers.first().map_or(Ok(None), Meta::read)?;
        Ok(Snapshot::new(readers, meta.ok_or_else(|| self.empty())?))
    }

    /// Begins a chain: `batch` is block 0 alone, whose diff makes the first state. `config` is kept
    /// for whoever opens the store.
    ///
    /// # Errors
    /// [`StorageError::OtherChain`] if there is another chain, [`StorageError::Misfit`] if there is
    /// this one or the batch is not block 0.
    pub fn init(&self, config: Vec<u8>, batch: &CommitBatch) -> Result<(), StorageError> {
        self.begin(config, batch, false)
    }

    /// As [`Store::init`], for a chain that keeps an index of addresses.
    ///
    /// # Errors
    /// As [`Store::init`].
    pub fn init_indexed(&self, config: Vec<u8>, batch: &CommitBatch) -> Result<(), StorageError> {
        self.begin(config, batch, true)
    }

    fn begin(
        &self,
        config: Vec<u8>,
        batch: &CommitBatch,
        indexes_addresses: bool,
    ) -> Result<(), StorageError> {
        let [genesis] = &batch.blocks[..] else {
            return Err(StorageError::Misfit("a chain begins with block 0 alone".to_owned()));
        };
        if genesis.block.block().header.number != 0 {
            return Err(StorageError::Misfit("a chain begins with block 0".to_owned()));
        }
        let hash = genesis.block.hash();
        let begun = Meta {
            genesis: hash,
            config,
            head: Head::default(),
            oldest_body: 0,
            oldest_receipts: 0,
            oldest_state: 0,
            indexes_addresses,
            next_storage_id: 1,
        };
        self.write(|tx| {
            if let Some(meta) = Meta::read(tx)? {
                self.check_genesis(&meta, hash)?;
                return Err(StorageError::Misfit("the chain has begun".to_owned()));
            }
            crate::commit::put_batch(tx, begun, batch)
        })
    }

    /// Appends blocks to the chain: all of it is durable when this returns, or nothing is written.
    ///
    /// # Errors
    /// [`StorageError::Misfit`] if the blocks do not follow the head, [`StorageError::Stopped`]
    /// after an earlier failure, or what the database says: then nothing is written any more.
    pub fn commit(&self, batch: &CommitBatch) -> Result<(), StorageError> {
        self.write(|tx| {
            let meta = Meta::read(tx)?.ok_or_else(|| self.empty())?;
            crate::commit::put_batch(tx, meta, batch)
        })
    }

    /// Keeps another configuration for the chain; nothing else changes. Whether the chain goes with
    /// it is for whoever wrote it to say.
    ///
    /// # Errors
    /// [`StorageError::Empty`] if there is no chain, or as [`Store::commit`].
    pub fn set_config(&self, config: Vec<u8>) -> Result<(), StorageError> {
        self.write(|tx| {
            let meta = Meta::read(tx)?.ok_or_else(|| self.empty())?;
            Meta { config, ..meta }.write(tx)
        })
    }

    /// Refuses the chain of another genesis.
    ///
    /// # Errors
    /// [`StorageError::OtherChain`].
    pub fn check_genesis(&self, meta: &Meta, expected: B256) -> Result<(), StorageError> {
        if meta.genesis == expected {
            return Ok(());
        }
        Err(StorageError::OtherChain { expected, found: meta.genesis })
    }

    /// Size of everything.
    ///
    /// # Errors
    /// What the database says.
    pub fn stats(&self) -> Result<Stats, StorageError> {
        let sized = |table| Ok((table, self.backend.stats(table)?));
        let tables = Table::ALL.into_iter().map(sized).collect::<Result<_, StorageError>>()?;
        let (file_bytes, used_bytes) = self.backend.file_bytes()?;
        Ok(Stats { tables, file_bytes, used_bytes })
    }

    pub(crate) fn check_writable(&self) -> Result<(), StorageError> {
        match self.access {
            Access::Write => Ok(()),
            Access::Read => {
                let reason = "opened for reading".to_owned();
                Err(StorageError::ReadOnly { path: self.path.clone(), reason })
            }
        }
    }

    pub(crate) fn empty(&self) -> StorageError {
        StorageError::Empty { path: self.path.clone() }
    }

    /// The one way to write: in one transaction, which is committed if `change` succeeds. A failure
    /// of the store ends all writing; a change that does not fit leaves everything as it is.
    pub(crate) fn write<T>(
        &self,
        change: impl FnOnce(&mut WriteTx<'_>) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        self.check_writable()?;
        let mut failure = self.writing.lock();
        if let Some(reason) = &*failure {
            return Err(StorageError::Stopped(reason.clone()));
        }
        // Stands if the change panics: what it was doing is not known then.
        *failure = Some("a write ended in a panic".to_owned());
        let written = self.backend.write().and_then(|mut tx| {
            let value = change(&mut tx)?;
            tx.commit()?;
            Ok(value)
        });
        *failure = match &written {
            Err(error) if !error.is_refusal() => Some(error.to_string()),
            _ => None,
        };
        written
    }
}
