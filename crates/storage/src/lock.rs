//! One process writes: a lock on a file beside the database, which the system releases when the
//! process ends, however it ends.

use crate::StorageError;
use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Read, Seek, Write},
    path::Path,
};

/// Name of the lock file.
pub const LOCK_FILE: &str = "fugue.lock";

/// Held for as long as the store is open for writing.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    pub(crate) fn acquire(folder: &Path) -> Result<Self, StorageError> {
        let path = folder.join(LOCK_FILE);
        let opened =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = opened.map_err(|error| of_io(folder, "opening the lock", &error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Whoever holds it may be writing it just now.
                let _ = file.take(64).read_to_string(&mut holder);
                return Err(StorageError::Locked { path, holder: holder.trim().to_owned() });
            }
            Err(TryLockError::Error(error)) => {
                return Err(of_io(folder, "locking", &error));
            }
        }
        let text = format!("process {}\n", std::process::id());
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(text.as_bytes()))
            .map_err(|error| of_io(folder, "writing the lock", &error))?;
        Ok(Self { _file: file })
    }
}

/// An error of the system, sorted by what its reader can do.
pub(crate) fn of_io(path: &Path, doing: &'static str, error: &std::io::Error) -> StorageError {
    use std::io::ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    let (path, reason) = (path.to_owned(), error.to_string());
    match error.kind() {
        PermissionDenied | ReadOnlyFilesystem => StorageError::ReadOnly { path, reason },
        StorageFull | QuotaExceeded => StorageError::Full { path, reason },
        _ => StorageError::Database { path, doing, reason },
    }
}
