//! Ordered maps in memory. A reader keeps the maps as they were; a writer copies a map that it
//! changes while a reader has it.

use super::{Read, Scan, TableStats, Value, Visit};
use crate::{StorageError, Table};
use parking_lot::{Mutex, MutexGuard};
use std::{collections::BTreeMap, ops::Bound, sync::Arc};

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;
type Tables = [Arc<Rows>; Table::ALL.len()];

/// All tables.
#[derive(Debug, Default)]
pub(super) struct Database {
    tables: Mutex<Tables>,
    writing: Mutex<()>,
}

impl Database {
    pub(super) fn read(&self) -> Reader {
        Reader { tables: self.tables.lock().clone() }
    }

    pub(super) fn write(&self) -> Writer<'_> {
        let turn = self.writing.lock();
        let tables = self.tables.lock().clone();
        Writer { database: self, reader: Reader { tables }, _turn: turn }
    }

    pub(super) fn stats(&self, table: Table) -> TableStats {
        let reader = self.read();
        let rows = &reader.tables[table.index()];
        let bytes = rows.iter().map(|(key, value)| (key.len() + value.len()) as u64).sum();
        TableStats { rows: rows.len() as u64, bytes }
    }
}

/// The tables as they were.
#[derive(Debug)]
pub(super) struct Reader {
    tables: Tables,
}

impl Read for Reader {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Value<'_>>, StorageError> {
        Ok(self.tables[table.index()].get(key).map(|value| value.as_slice().into()))
    }

    fn seek(
        &self,
        table: Table,
        key: &[u8],
    ) -> Result<Option<(Value<'_>, Value<'_>)>, StorageError> {
        let mut rows =
            self.tables[table.index()].range::<[u8], _>((Bound::Included(key), Bound::Unbounded));
        Ok(rows.next().map(|(key, value)| (key.as_slice().into(), value.as_slice().into())))
    }

    fn scan(&self, table: Table, key: &[u8], visit: &mut Visit<'_>) -> Result<(), StorageError> {
        let from = (Bound::Included(key), Bound::Unbounded);
        for (key, value) in self.tables[table.index()].range::<[u8], _>(from) {
            if visit(key, value)? == Scan::Stop {
                break;
            }
        }
        Ok(())
    }
}

/// The tables as they will be.
pub(super) struct Writer<'d> {
    database: &'d Database,
    reader: Reader,
    _turn: MutexGuard<'d, ()>,
}

impl Writer<'_> {
    pub(super) fn put(&mut self, table: Table, key: &[u8], value: &[u8]) {
        Arc::make_mut(&mut self.reader.tables[table.index()]).insert(key.into(), value.into());
    }

    pub(super) fn delete(&mut self, table: Table, key: &[u8]) {
        Arc::make_mut(&mut self.reader.tables[table.index()]).remove(key);
    }

    pub(super) fn delete_prefix(&mut self, table: Table, prefix: &[u8]) -> u64 {
        let rows = Arc::make_mut(&mut self.reader.tables[table.index()]);
        let keys: Vec<_> = rows
            .range::<[u8], _>((Bound::Included(prefix), Bound::Unbounded))
            .map(|(key, _)| key.clone())
            .take_while(|key| key.starts_with(prefix))
            .collect();
        keys.iter().for_each(|key| {
            rows.remove(key);
        });
        keys.len() as u64
    }

    pub(super) fn commit(self) {
        *self.database.tables.lock() = self.reader.tables;
    }

    /// The tables with what was written so far.
    pub(super) const fn reader(&self) -> &Reader {
        &self.reader
    }
}
