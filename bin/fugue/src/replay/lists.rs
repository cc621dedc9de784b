//! Access lists in files beside the blocks, for blocks that predate EIP-7928.
//!
//! ```text
//! DIR/<number>-<hash>.bal   the list of that block, in RLP as the protocol has it
//! ```
//! Of a block from Amsterdam on it is the list that the header names, of an older one the same by
//! our own hand: `Executor::list_accesses` says what is in it.

use crate::UsageError;
use fugue_types::{B256, BlockAccessList};
use std::{
    ffi::OsStr,
    fs::Permissions,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// Largest list that is read, in bytes: more than 200 times one of a block of 60 million gas.
const LIST_BYTES_MAX: u64 = 64 << 20;
/// What the names of lists end in.
const EXTENSION: &str = "bal";
/// Who may read and write a list, as far as the system lets new files be so.
const MODE: u32 = 0o666;

/// A folder of lists, and what is done with it.
#[derive(Debug)]
pub(super) enum Lists {
    /// Blocks run by its lists.
    Read(PathBuf),
    /// The lists of the blocks are written.
    Write(PathBuf),
}

impl Lists {
    /// # Errors
    /// If the folder to read from is none, or the one to write to cannot be made.
    pub(super) fn new(
        read: Option<&Path>,
        write: Option<&Path>,
    ) -> Result<Option<Self>, UsageError> {
        if let Some(folder) = read {
            if !folder.is_dir() {
                return Err(UsageError::at(folder, "no folder of access lists"));
            }
            return Ok(Some(Self::Read(folder.to_owned())));
        }
        let Some(folder) = write else { return Ok(None) };
        std::fs::create_dir_all(folder).map_err(|error| UsageError::at(folder, error))?;
        Ok(Some(Self::Write(folder.to_owned())))
    }

    /// Whether blocks run by lists from files.
    pub(super) const fn are_read(&self) -> bool {
        matches!(self, Self::Read(_))
    }

    /// The list of a block, where lists are read.
    ///
    /// # Errors
    /// The file is not there, is too large, or holds no list; each with its name.
    pub(super) fn read(
        &self,
        number: u64,
        hash: B256,
    ) -> Result<Option<BlockAccessList>, UsageError> {
        let Self::Read(folder) = self else { return Ok(None) };
        let path = path(folder, number, hash);
        let at = |error: &dyn std::fmt::Display| UsageError::at(&path, error);
        let metadata = match path.metadata() {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(match of_other_block(folder, number) {
                    Some(other) => {
                        UsageError::at(&other, format!("the access list of another block {number}"))
                    }
                    None => at(&"no access list of this block; --write-bal writes it"),
                });
            }
            Err(error) => return Err(at(&error)),
        };
        if metadata.len() > LIST_BYTES_MAX {
            return Err(at(&format!("larger than {LIST_BYTES_MAX} bytes")));
        }
        let rlp = std::fs::read(&path).map_err(|error| at(&error))?;
        let list = alloy_rlp::decode_exact::<BlockAccessList>(&rlp);
        list.map(Some).map_err(|error| at(&format!("no access list: {error}")))
    }

    /// Writes the list of a block, as [`write()`] does; nothing where lists are read.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn write(
        &self,
        number: u64,
        hash: B256,
        list: &BlockAccessList,
    ) -> Result<(), UsageError> {
        match self {
            Self::Read(_) => Ok(()),
            Self::Write(folder) => write(folder, number, hash, list),
        }
    }
}

/// Writes the list of a block into a folder, whole or not at all.
///
/// # Errors
/// What the system says.
pub(super) fn write(
    folder: &Path,
    number: u64,
    hash: B256,
    list: &BlockAccessList,
) -> Result<(), UsageError> {
    let path = path(folder, number, hash);
    let at = |error: std::io::Error| UsageError::at(&path, error);
    // By itself it would be its owner's alone.
    let mode = Permissions::from_mode(MODE);
    let file = tempfile::Builder::new().permissions(mode).tempfile_in(folder);
    let mut file = file.map_err(at)?;
    file.write_all(&alloy_rlp::encode(list)).map_err(at)?;
    file.as_file().sync_all().map_err(at)?;
    file.persist(&path).map_err(|error| at(error.error))?;
    Ok(())
}

fn path(folder: &Path, number: u64, hash: B256) -> PathBuf {
    folder.join(format!("{number}-{hash}.{EXTENSION}"))
}

/// A list of another block with this number.
fn of_other_block(folder: &Path, number: u64) -> Option<PathBuf> {
    let beginning = format!("{number}-");
    let mut paths = folder.read_dir().ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    paths.find(|path| {
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        name.starts_with(&beginning) && path.extension().is_some_and(|it| it == EXTENSION)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_for_all_for_whom_other_new_files_are() {
        let folder = tempfile::tempdir().expect("a folder");
        let (number, hash) = (7, B256::ZERO);
        write(folder.path(), number, hash, &BlockAccessList::new()).expect("it can be written");
        let other = folder.path().join("other");
        std::fs::write(&other, []).expect("it can be written");
        let mode = |path: &Path| path.metadata().expect("it is there").permissions().mode();
        assert_eq!(mode(&path(folder.path(), number, hash)), mode(&other));
    }
}
