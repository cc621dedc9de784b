//! MDBX: one file, mapped into memory for reading, written copy-on-write.
//!
//! * Every commit is durable (`SyncMode::Durable`): data is synced, then the page that makes it
//!   valid.
//! * The map is not written through (no `WRITEMAP`): changed pages are written by calls that can
//!   fail. Through a map, a full disk would kill the process.
//! * A reader is used by one thread at a time; `Snapshot` holds one for each.

use super::{Read, Scan, TableStats, Value, Visit};
use crate::{Access, StorageError, Table};
use signet_libmdbx::{
    self as mdbx, DatabaseFlags, Environment, Geometry, MdbxError, Mode, ReadError, SyncMode,
    WriteFlags,
};
use std::{
    io::ErrorKind,
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

/// Readers at once.
const READERS_MAX: u64 = 4_096;
/// The file grows by so many bytes at a time, and shrinks as much.
const GROWTH_BYTES: isize = 64 << 20;
/// What every database begins with: three pages, in bytes.
const HEADS_BYTES: u64 = 3 * 4_096;
/// Smallest file, in bytes.
const FILE_BYTES_MIN: usize = 1 << 20;
/// The name of the file that MDBX makes.
const DATA_FILE: &str = "mdbx.dat";
/// Numbers of the system's errors: no space, file too large, quota reached, read-only file system,
/// permission denied.
const ENOSPC: i32 = 28;
const EFBIG: i32 = 27;
const EDQUOT: i32 = 122;
const EROFS: i32 = 30;
const EACCES: i32 = 13;

/// The tables in a folder.
#[derive(Debug)]
pub(super) struct Database {
    path: PathBuf,
    environment: Environment,
    tables: Tables,
}

/// Handles of the tables. Whoever reads a database that lacks an optional one has none of it.
type Tables = [Option<mdbx::Database>; Table::ALL.len()];

/// Gives an error its place.
fn failed<'p, E: Into<ReadError>>(
    path: &'p Path,
    doing: &'static str,
) -> impl FnOnce(E) -> StorageError + use<'p, E> {
    move |error| {
        let path = path.to_owned();
        let error = error.into();
        let reason = error.to_string();
        match error {
            ReadError::Mdbx(
                MdbxError::MapFull
                | MdbxError::UnableExtendMapSize
                | MdbxError::Other(ENOSPC | EFBIG | EDQUOT),
            ) => StorageError::Full { path, reason },
            ReadError::Mdbx(
                MdbxError::Access
                | MdbxError::Permission
                | MdbxError::WriteTransactionUnsupportedInReadOnlyMode
                | MdbxError::Other(EROFS | EACCES),
            ) => StorageError::ReadOnly { path, reason },
            _ => StorageError::Database { path, doing, reason },
        }
    }
}

impl Database {
    pub(super) fn open(
        path: &Path,
        access: Access,
        bytes_max: usize,
    ) -> Result<Self, StorageError> {
        let length = match std::fs::metadata(path.join(DATA_FILE)) {
            Ok(file) => file.len(),
            Err(error) if error.kind() == ErrorKind::NotFound => 0,
            // Of what cannot be looked at it is not known whether there is a chain.
            Err(error) => {
                let (path, doing, reason) = (path.to_owned(), "opening", error.to_string());
                return Err(StorageError::Database { path, doing, reason });
            }
        };
        let is_whole = length >= FILE_BYTES_MIN as u64;
        // Nothing, or the heads alone, is what a process leaves that was killed while making it.
        // Over any other file that is too short the database would be made anew.
        if !is_whole && ![0, HEADS_BYTES].contains(&length) {
            let reason = format!("{DATA_FILE} has {length} bytes: cut, or no database");
            let (path, doing) = (path.to_owned(), "opening");
            return Err(StorageError::Database { path, doing, reason });
        }
        if access == Access::Read && !is_whole {
            return Err(StorageError::Empty { path: path.to_owned() });
        }
        if access == Access::Write && is_whole {
            // To open for writing changes the file: its size, and the tables that it lacks.
            check_schema(&environment(path, Access::Read, bytes_max)?, path)?;
        }
        let environment = environment(path, access, bytes_max)?;
        let tables = match access {
            Access::Write => {
                let tx = environment.begin_rw_unsync().map_err(failed(path, "opening"))?;
                let tables = Table::ALL.map(|table| {
                    tx.create_db(Some(table.name()), DatabaseFlags::empty()).map(Some)
                });
                let tables = all(tables).map_err(failed(path, "opening"))?;
                tx.commit().map_err(failed(path, "opening"))?;
                tables
            }
            Access::Read => {
                // Another schema may lack tables of this one.
                check_schema(&environment, path)?;
                let tx = environment.begin_ro_unsync().map_err(failed(path, "opening"))?;
                let tables = Table::ALL.map(|table| match tx.open_db(Some(table.name())) {
                    Err(MdbxError::NotFound) if table.is_optional() => Ok(None),
                    opened => opened.map(Some),
                });
                match all(tables) {
                    Err(MdbxError::NotFound) => {
                        return Err(StorageError::Empty { path: path.to_owned() });
                    }
                    opened => opened.map_err(failed(path, "opening"))?,
                }
            }
        };
        Ok(Self { path: path.to_owned(), environment, tables })
    }

    pub(super) fn read(&self, count: usize) -> Result<Vec<Reader>, StorageError> {
        let transactions = self
            .environment
            .begin_ro_unsync_multi(count)
            .map_err(failed(&self.path, "beginning to read"))?;
        let reader = |tx| Reader { path: self.path.clone(), tables: self.tables, tx };
        Ok(transactions.into_iter().map(reader).collect())
    }

    pub(super) fn write(&self) -> Result<Writer<'_>, StorageError> {
        let begun = self.environment.begin_rw_unsync();
        let tx = begun.map_err(failed(&self.path, "beginning to write"))?;
        Ok(Writer { database: self, tx })
    }

    pub(super) fn stats(&self, table: Table) -> Result<TableStats, StorageError> {
        let Some(database) = self.tables[table.index()] else {
            return Ok(TableStats { rows: 0, bytes: 0 });
        };
        let tx = self.environment.begin_ro_unsync().map_err(failed(&self.path, "counting"))?;
        let stat = tx.db_stat(&database).map_err(failed(&self.path, "counting"))?;
        let pages = stat.branch_pages() + stat.leaf_pages() + stat.overflow_pages();
        let bytes = pages as u64 * u64::from(stat.page_size());
        Ok(TableStats { rows: stat.entries() as u64, bytes })
    }

    pub(super) fn file_bytes(&self) -> Result<(u64, u64), StorageError> {
        let file = std::fs::metadata(self.path.join(DATA_FILE)).map_err(|error| {
            let reason = error.to_string();
            StorageError::Database { path: self.path.clone(), doing: "counting", reason }
        })?;
        let stat = self.environment.stat().map_err(failed(&self.path, "counting"))?;
        let info = self.environment.info().map_err(failed(&self.path, "counting"))?;
        let free = self.environment.freelist().map_err(failed(&self.path, "counting"))?;
        let pages = (info.last_pgno() + 1).saturating_sub(free);
        Ok((file.len(), pages as u64 * u64::from(stat.page_size())))
    }
}

fn environment(path: &Path, access: Access, bytes_max: usize) -> Result<Environment, StorageError> {
    let mut builder = Environment::builder();
    builder
        .set_max_dbs(Table::ALL.len())
        .set_max_readers(READERS_MAX)
        .set_flags(mdbx::EnvironmentFlags {
            mode: match access {
                Access::Read => Mode::ReadOnly,
                Access::Write => Mode::ReadWrite { sync_mode: SyncMode::Durable },
            },
            no_rdahead: true,
            ..Default::default()
        })
        .set_geometry::<RangeInclusive<usize>>(Geometry {
            size: Some(FILE_BYTES_MIN..=bytes_max),
            growth_step: Some(GROWTH_BYTES),
            shrink_threshold: Some(GROWTH_BYTES * 2),
            page_size: None,
        });
    builder.open(path).map_err(failed(path, "opening"))
}

/// Refuses data of another schema, before anything is written.
fn check_schema(environment: &Environment, path: &Path) -> Result<(), StorageError> {
    let tx = environment.begin_ro_unsync().map_err(failed(path, "opening"))?;
    match tx.open_db(Some(Table::Meta.name())) {
        Ok(table) => {
            let found = tx.get::<Value<'_>>(table.dbi(), crate::meta::SCHEMA);
            crate::meta::check_schema(found.map_err(failed(path, "opening"))?.as_deref()).map(drop)
        }
        Err(MdbxError::NotFound) => {
            let main = tx.open_db(None).map_err(failed(path, "opening"))?;
            let mut cursor = tx.cursor(main).map_err(failed(path, "opening"))?;
            let first: Option<(Vec<u8>, ())> = cursor.first().map_err(failed(path, "opening"))?;
            match first {
                None => Ok(()),
                Some((name, ())) => {
                    let name = String::from_utf8_lossy(&name).into_owned();
                    let reason = format!("the database of another program, with table \"{name}\"");
                    let (path, doing) = (path.to_owned(), "opening");
                    Err(StorageError::Database { path, doing, reason })
                }
            }
        }
        Err(error) => Err(failed(path, "opening")(error)),
    }
}

fn all<T: Copy, E, const N: usize>(results: [Result<T, E>; N]) -> Result<[T; N], E> {
    let values: Vec<T> = results.into_iter().collect::<Result<_, E>>()?;
    Ok(std::array::from_fn(|index| values[index]))
}

/// A reader of one state of the database.
#[derive(Debug)]
pub(super) struct Reader {
    path: PathBuf,
    tables: Tables,
    tx: mdbx::tx::aliases::RoTxUnsync,
}

/// The writer.
pub(super) struct Writer<'d> {
    database: &'d Database,
    tx: mdbx::tx::aliases::RwTxUnsync,
}

/// Both read in the same way.
macro_rules! reads {
    ($self:ident, $path:expr, $tables:expr) => {
        fn get(
            &$self,
            table: Table,
            key: &[u8],
        ) -> Result<Option<Value<'_>>, StorageError> {
            let Some(database) = $tables[table.index()] else { return Ok(None) };
            let found = $self.tx.get::<Value<'_>>(database.dbi(), key);
            found.map_err(failed($path, "reading"))
        }

        fn seek(
            &$self,
            table: Table,
            key: &[u8],
        ) -> Result<Option<(Value<'_>, Value<'_>)>, StorageError> {
            let Some(database) = $tables[table.index()] else { return Ok(None) };
            let cursor = $self.tx.cursor(database);
            let mut cursor = cursor.map_err(failed($path, "reading"))?;
            cursor.set_range(key).map_err(failed($path, "reading"))
        }

        fn scan(
            &$self,
            table: Table,
            key: &[u8],
            visit: &mut Visit<'_>,
        ) -> Result<(), StorageError> {
            let Some(database) = $tables[table.index()] else { return Ok(()) };
            let cursor = $self.tx.cursor(database);
            let mut cursor = cursor.map_err(failed($path, "reading"))?;
            let mut row: Option<(Value<'_>, Value<'_>)> =
                cursor.set_range(key).map_err(failed($path, "reading"))?;
            while let Some((key, value)) = row {
                if visit(&key, &value)? == Scan::Stop {
                    break;
                }
                row = cursor.next().map_err(failed($path, "reading"))?;
            }
            Ok(())
        }
    };
}

impl Read for Reader {
    reads!(self, &self.path, self.tables);
}

impl Read for Writer<'_> {
    reads!(self, &self.database.path, self.database.tables);
}

impl Writer<'_> {
    /// A database that is opened to write has all tables.
    fn table(&self, table: Table) -> Result<mdbx::Database, StorageError> {
        self.database.tables[table.index()].ok_or_else(|| {
            let reason = format!("there is no table {}", table.name());
            let path = self.database.path.clone();
            StorageError::Database { path, doing: "writing", reason }
        })
    }

    pub(super) fn put(
        &mut self,
        table: Table,
        key: &[u8],
        value: &[u8],
    ) -> Result<(), StorageError> {
        let database = self.table(table)?;
        let put = self.tx.put(database, key, value, WriteFlags::UPSERT);
        put.map_err(failed(&self.database.path, "writing"))
    }

    pub(super) fn delete(&mut self, table: Table, key: &[u8]) -> Result<(), StorageError> {
        let database = self.table(table)?;
        let deleted = self.tx.del(database, key, None);
        deleted.map(|_| ()).map_err(failed(&self.database.path, "deleting"))
    }

    pub(super) fn delete_prefix(
        &mut self,
        table: Table,
        prefix: &[u8],
    ) -> Result<u64, StorageError> {
        let path = &self.database.path;
        let database = self.table(table)?;
        let mut cursor = self.tx.cursor(database).map_err(failed(path, "deleting"))?;
        let mut row: Option<(Vec<u8>, ())> =
            cursor.set_range(prefix).map_err(failed(path, "deleting"))?;
        let mut count = 0;
        while let Some((key, ())) = row
            && key.starts_with(prefix)
        {
            cursor.del().map_err(failed(path, "deleting"))?;
            count += 1;
            row = cursor.set_range(prefix).map_err(failed(path, "deleting"))?;
        }
        Ok(count)
    }

    pub(super) fn commit(self) -> Result<(), StorageError> {
        self.tx.commit().map_err(failed(&self.database.path, "committing"))
    }
}
