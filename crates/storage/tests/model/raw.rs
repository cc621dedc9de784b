//! The rows of a store in a folder, past its interface. Only while no store has the folder open.

use fugue_storage::Table;
use signet_libmdbx::{
    DatabaseFlags, Environment, EnvironmentFlags, Geometry, Mode, SyncMode, WriteFlags,
};
use std::{fmt::Write, path::Path};

fn open(folder: &Path, mode: Mode) -> Environment {
    let flags = EnvironmentFlags { mode, ..EnvironmentFlags::default() };
    let mut builder = Environment::builder();
    builder.set_max_dbs(Table::ALL.len()).set_flags(flags);
    builder.open(folder).expect("a database that nobody has open")
}

/// All rows of a table.
pub(crate) fn rows(folder: &Path, table: Table) -> Vec<(Vec<u8>, Vec<u8>)> {
    let environment = open(folder, Mode::ReadOnly);
    let tx = environment.begin_ro_unsync().expect("a reader");
    let database = tx.open_db(Some(table.name())).expect("the table is made with the store");
    let mut cursor = tx.cursor(database).expect("a cursor");
    let mut rows = Vec::new();
    let mut row: Option<(Vec<u8>, Vec<u8>)> = cursor.first().expect("a first row or none");
    while let Some(found) = row {
        rows.push(found);
        row = cursor.next().expect("a next row or none");
    }
    rows
}

/// Makes a database that has one table, with one row.
pub(crate) fn begin(folder: &Path, table: Table, key: &[u8], value: &[u8]) {
    let mode = Mode::ReadWrite { sync_mode: SyncMode::Durable };
    let mut builder = Environment::builder();
    builder.set_max_dbs(1).set_flags(EnvironmentFlags { mode, ..EnvironmentFlags::default() });
    builder.set_geometry(Geometry { size: Some(1 << 20..=1 << 24), ..Geometry::default() });
    let environment = builder.open(folder).expect("an empty folder");
    let tx = environment.begin_rw_unsync().expect("the writer");
    let database = tx.create_db(Some(table.name()), DatabaseFlags::empty()).expect("a table");
    tx.put(database, key, value, WriteFlags::UPSERT).expect("room for a row");
    tx.commit().expect("room for a row");
}

/// Makes a database with all tables of another one but some, and their rows.
pub(crate) fn copy_without(folder: &Path, copy: &Path, lacking: &[Table]) {
    let mode = Mode::ReadWrite { sync_mode: SyncMode::Durable };
    let mut builder = Environment::builder();
    builder.set_max_dbs(Table::ALL.len());
    builder.set_flags(EnvironmentFlags { mode, ..EnvironmentFlags::default() });
    builder.set_geometry(Geometry { size: Some(1 << 20..=1 << 26), ..Geometry::default() });
    let environment = builder.open(copy).expect("an empty folder");
    let tx = environment.begin_rw_unsync().expect("the writer");
    for table in Table::ALL.into_iter().filter(|table| !lacking.contains(table)) {
        let database = tx.create_db(Some(table.name()), DatabaseFlags::empty()).expect("a table");
        for (key, value) in rows(folder, table) {
            tx.put(database, key, value, WriteFlags::UPSERT).expect("room for a row");
        }
    }
    tx.commit().expect("room for all rows");
}

/// Puts a row, or deletes it.
pub(crate) fn set(folder: &Path, table: Table, key: &[u8], value: Option<&[u8]>) {
    let mode = Mode::ReadWrite { sync_mode: SyncMode::Durable };
    let environment = open(folder, mode);
    let tx = environment.begin_rw_unsync().expect("the writer");
    let database = tx.open_db(Some(table.name())).expect("the table is made with the store");
    match value {
        Some(value) => tx.put(database, key, value, WriteFlags::UPSERT).expect("room for a row"),
        None => assert!(tx.del(database, key, None).expect("a row"), "no such row"),
    }
    tx.commit().expect("room for a row");
}

/// All rows of all tables, in hex; the keys of the first table as they are.
pub(crate) fn dump(folder: &Path) -> String {
    let mut text = String::new();
    for table in Table::ALL {
        writeln!(text, "{}", table.name()).expect("a string grows");
        for (key, value) in rows(folder, table) {
            let key = match table {
                Table::Meta => String::from_utf8(key).expect("names of rows are ASCII"),
                _ => hex(&key),
            };
            writeln!(text, "  {key} {}", hex(&value)).expect("a string grows");
        }
    }
    text
}

fn hex(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "-".to_owned();
    }
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
