//! The folder that a bench works in: made for it, and removed with all that is in it.

use crate::UsageError;
use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
};

/// Names that are tried. Folders of runs that were killed may be in the way.
const NAMES_MAX: u32 = 1_000;

/// A folder that lasts as long as this value.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    /// A new folder in `parent`, or in the system's folder for temporary files.
    pub(super) fn create(parent: Option<&Path>) -> Result<Self, UsageError> {
        let parent = parent.map_or_else(std::env::temp_dir, Path::to_owned);
        std::fs::create_dir_all(&parent).map_err(|error| UsageError::at(&parent, error))?;
        for number in 0..NAMES_MAX {
            let path = parent.join(format!("fugue-bench-{}-{number}", std::process::id()));
            match std::fs::create_dir(&path) {
                Ok(()) => return Ok(Self(path)),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(UsageError::at(&path, error)),
            }
        }
        Err(UsageError::at(&parent, "folders of earlier benches are in the way"))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("warning: {}: {error}", self.0.display());
        }
    }
}
