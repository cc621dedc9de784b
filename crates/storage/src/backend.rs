//! The database behind the tables: MDBX in a folder, or ordered maps in memory, which fixtures and
//! tests use. Reads and writes are the same for both, and each may be made to fail.

mod faults;
mod mdbx;
mod memory;

use crate::{Access, StorageError, Table};
pub use faults::{Faults, HeldOperations};
use std::{borrow::Cow, path::Path};

/// Bytes that a reader sees, borrowed from the database where it can be.
pub(crate) type Value<'t> = Cow<'t, [u8]>;

/// Size of one table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableStats {
    /// Rows.
    pub rows: u64,
    /// Bytes of the pages that the table takes.
    pub bytes: u64,
}

/// A database.
#[derive(Debug)]
pub(crate) struct Backend {
    kind: Kind,
    faults: Faults,
}

#[derive(Debug)]
enum Kind {
    Mdbx(mdbx::Database),
    Memory(memory::Database),
}

impl Backend {
    /// Opens the database in a folder; makes it if it may be written and is not there.
    pub(crate) fn open(
        path: &Path,
        access: Access,
        bytes_max: usize,
        faults: Faults,
    ) -> Result<Self, StorageError> {
        let kind = Kind::Mdbx(mdbx::Database::open(path, access, bytes_max)?);
        Ok(Self { kind, faults })
    }

    /// An empty database in memory.
    pub(crate) fn memory(faults: Faults) -> Self {
        Self { kind: Kind::Memory(memory::Database::default()), faults }
    }

    /// `count` readers of one and the same state of the database.
    pub(crate) fn read(&self, count: usize) -> Result<Vec<ReadTx>, StorageError> {
        self.faults.pass()?;
        let readers: Vec<Reader> = match &self.kind {
            Kind::Mdbx(database) => {
                database.read(count)?.into_iter().map(Box::new).map(Reader::Mdbx).collect()
            }
            Kind::Memory(database) => (0..count).map(|_| Reader::Memory(database.read())).collect(),
        };
        let tx = |reader| ReadTx { reader, faults: self.faults.clone() };
        Ok(readers.into_iter().map(tx).collect())
    }

    /// The one writer. Waits while there is another.
    pub(crate) fn write(&self) -> Result<WriteTx<'_>, StorageError> {
        self.faults.pass()?;
        let writer = match &self.kind {
            Kind::Mdbx(database) => Writer::Mdbx(Box::new(database.write()?)),
            Kind::Memory(database) => Writer::Memory(database.write()),
        };
        Ok(WriteTx { writer, faults: self.faults.clone() })
    }

    /// Size of a table.
    pub(crate) fn stats(&self, table: Table) -> Result<TableStats, StorageError> {
        match &self.kind {
            Kind::Mdbx(database) => database.stats(table),
            Kind::Memory(database) => Ok(database.stats(table)),
        }
    }

    /// Bytes of the file, and how many of them are in use.
    pub(crate) fn file_bytes(&self) -> Result<(u64, u64), StorageError> {
        match &self.kind {
            Kind::Mdbx(database) => database.file_bytes(),
            Kind::Memory(_) => Ok((0, 0)),
        }
    }
}

/// Reads of one state of the database.
pub(crate) trait Read {
    /// The value under a key.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Value<'_>>, StorageError>;

    /// The first row whose key is not below `key`.
    fn seek(
        &self,
        table: Table,
        key: &[u8],
    ) -> Result<Option<(Value<'_>, Value<'_>)>, StorageError>;

    /// Shows rows from `key` on, in order, until told to stop.
    fn scan(&self, table: Table, key: &[u8], visit: &mut Visit<'_>) -> Result<(), StorageError>;
}

/// What a scan shows key and value of each row to.
pub(crate) type Visit<'v> = dyn FnMut(&[u8], &[u8]) -> Result<Scan, StorageError> + 'v;

/// Whether a scan goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scan {
    Continue,
    Stop,
}

/// What reads through a database that may be made to fail.
trait Counted {
    /// The reads of the database; each is an operation that may fail.
    fn counted(&self) -> Result<&dyn Read, StorageError>;
}

impl<C: Counted> Read for C {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Value<'_>>, StorageError> {
        self.counted()?.get(table, key)
    }

    fn seek(
        &self,
        table: Table,
        key: &[u8],
    ) -> Result<Option<(Value<'_>, Value<'_>)>, StorageError> {
        self.counted()?.seek(table, key)
    }

    fn scan(&self, table: Table, key: &[u8], visit: &mut Visit<'_>) -> Result<(), StorageError> {
        self.counted()?.scan(table, key, visit)
    }
}

/// A reader.
#[derive(Debug)]
pub(crate) struct ReadTx {
    reader: Reader,
    faults: Faults,
}

#[derive(Debug)]
enum Reader {
    Mdbx(Box<mdbx::Reader>),
    Memory(memory::Reader),
}

impl Counted for ReadTx {
    fn counted(&self) -> Result<&dyn Read, StorageError> {
        self.faults.pass()?;
        Ok(match &self.reader {
            Reader::Mdbx(reader) => &**reader,
            Reader::Memory(reader) => reader,
        })
    }
}

/// The writer. What it wrote is gone if it is dropped without [`WriteTx::commit`].
pub(crate) struct WriteTx<'d> {
    writer: Writer<'d>,
    faults: Faults,
}

enum Writer<'d> {
    Mdbx(Box<mdbx::Writer<'d>>),
    Memory(memory::Writer<'d>),
}

impl WriteTx<'_> {
    /// Puts a row, in place of one with the same key.
    pub(crate) fn put(
        &mut self,
        table: Table,
        key: &[u8],
        value: &[u8],
    ) -> Result<(), StorageError> {
        self.faults.pass()?;
        match &mut self.writer {
            Writer::Mdbx(writer) => writer.put(table, key, value),
            Writer::Memory(writer) => {
                writer.put(table, key, value);
                Ok(())
            }
        }
    }

    /// Deletes a row, if it is there.
    pub(crate) fn delete(&mut self, table: Table, key: &[u8]) -> Result<(), StorageError> {
        self.faults.pass()?;
        match &mut self.writer {
            Writer::Mdbx(writer) => writer.delete(table, key),
            Writer::Memory(writer) => {
                writer.delete(table, key);
                Ok(())
            }
        }
    }

    /// Deletes all rows whose keys begin with `prefix`, and counts them.
    pub(crate) fn delete_prefix(
        &mut self,
        table: Table,
        prefix: &[u8],
    ) -> Result<u64, StorageError> {
        self.faults.pass()?;
        match &mut self.writer {
            Writer::Mdbx(writer) => writer.delete_prefix(table, prefix),
            Writer::Memory(writer) => Ok(writer.delete_prefix(table, prefix)),
        }
    }

    /// Makes everything durable at once.
    pub(crate) fn commit(self) -> Result<(), StorageError> {
        self.faults.pass()?;
        match self.writer {
            Writer::Mdbx(writer) => writer.commit(),
            Writer::Memory(writer) => {
                writer.commit();
                Ok(())
            }
        }
    }
}

impl Counted for WriteTx<'_> {
    fn counted(&self) -> Result<&dyn Read, StorageError> {
        self.faults.pass()?;
        Ok(match &self.writer {
            Writer::Mdbx(writer) => &**writer,
            Writer::Memory(writer) => writer.reader(),
        })
    }
}
