//! Fixture files: plain JSON, and JSON in zstd-compressed tar archives.

use crate::UsageError;
use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

/// Largest fixture file.
const FIXTURE_BYTES_MAX: u64 = 256 << 20;
/// Files that are handed on together, so that all threads have work.
const BATCH_FILES: usize = 512;
/// How deep a directory is searched.
const DEPTH_MAX: usize = 16;
/// Window of archives, as `zstd --long=27` writes them.
const WINDOW_LOG_MAX: u32 = 27;

/// One JSON file.
pub(super) struct FixtureFile {
    /// Its path, or its path in its archive.
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
}

/// Every fixture file and archive that the paths name.
///
/// # Errors
/// If a path names nothing.
pub(super) fn expand(paths: &[PathBuf]) -> Result<Vec<PathBuf>, UsageError> {
    let mut sources = Vec::new();
    for path in paths {
        let before = sources.len();
        collect(path, 0, &mut sources)?;
        if sources.len() == before {
            return Err(UsageError::at(path, "no .json or .tar.zst in it"));
        }
    }
    Ok(sources)
}

fn collect(path: &Path, depth: usize, sources: &mut Vec<PathBuf>) -> Result<(), UsageError> {
    if !path.is_dir() {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if depth == 0 || name.ends_with(".json") || name.ends_with(".tar.zst") {
            sources.push(path.to_owned());
        }
        return Ok(());
    }
    if depth > DEPTH_MAX {
        return Err(UsageError::at(path, format!("deeper than {DEPTH_MAX} folders")));
    }
    let mut entries = path
        .read_dir()
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, _>>())
        .map_err(|error| UsageError::at(path, error))?;
    entries.sort();
    for entry in entries {
        let name = entry.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if !name.starts_with('.') {
            collect(&entry, depth + 1, sources)?;
        }
    }
    Ok(())
}

/// Reads a source and hands on its files in batches.
///
/// # Errors
/// If the source cannot be read, or whatever `each` answers.
pub(super) fn read(
    source: &Path,
    each: &mut impl FnMut(Vec<FixtureFile>) -> Result<(), UsageError>,
) -> Result<(), UsageError> {
    let at = |error: std::io::Error| UsageError::at(source, error);
    let file = File::open(source).map_err(at)?;
    let is_archive = source.to_str().is_some_and(|name| name.ends_with(".tar.zst"));
    if !is_archive {
        let bytes = read_bounded(file).map_err(at)?;
        return each(vec![FixtureFile { name: source.display().to_string(), bytes }]);
    }
    let mut decoder = zstd::Decoder::new(file).map_err(at)?;
    decoder.window_log_max(WINDOW_LOG_MAX).map_err(at)?;
    let mut archive = tar::Archive::new(decoder);
    let mut batch = Vec::new();
    for entry in archive.entries().map_err(at)? {
        let entry = entry.map_err(at)?;
        let name = entry.path().map_err(at)?.display().to_string();
        // Archives carry notes of their makers in folders like `.meta`.
        let is_hidden = name.split('/').any(|part| part.len() > 1 && part.starts_with('.'));
        if !entry.header().entry_type().is_file() || !name.ends_with(".json") || is_hidden {
            continue;
        }
        batch.push(FixtureFile { name, bytes: read_bounded(entry).map_err(at)? });
        if batch.len() == BATCH_FILES {
            each(std::mem::take(&mut batch))?;
        }
    }
    each(batch)
}

fn read_bounded(file: impl Read) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(FIXTURE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FIXTURE_BYTES_MAX {
        return Err(std::io::Error::other(format!("larger than {FIXTURE_BYTES_MAX} bytes")));
    }
    Ok(bytes)
}
