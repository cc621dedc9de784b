//! From SOURCE arguments to bundle files.

use crate::UsageError;
use std::path::{Path, PathBuf};

/// Files of a pack that are no bundles.
const NOT_BUNDLES: [&str; 2] = ["codes.json.zst", "index.json"];
/// How deep a directory is searched.
const DEPTH_MAX: usize = 8;

/// Every bundle that the sources name, each once, by number where names are numbers.
///
/// # Errors
/// If a source names nothing, or cannot be read.
pub(super) fn expand(sources: &[String]) -> Result<Vec<PathBuf>, UsageError> {
    let mut files = Vec::new();
    for source in sources {
        let before = files.len();
        let path = Path::new(source);
        if path.exists() {
            collect(path, 0, &mut files)?;
        } else {
            let matches = glob::glob(source)
                .map_err(|error| UsageError(format!("{source}: bad pattern: {error}")))?;
            for path in matches {
                let path = path.map_err(|error| UsageError(error.to_string()))?;
                collect(&path, 0, &mut files)?;
            }
        }
        if files.len() == before {
            let reason = if path.exists() { "no bundle in it" } else { "no such file" };
            return Err(UsageError(format!("{source}: {reason}")));
        }
    }
    files.sort_by_key(|path| (number(path), path.clone()));
    files.dedup();
    Ok(files)
}

/// A file that is named is taken as it is; in a directory, only what is named as a bundle is.
fn collect(path: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), UsageError> {
    if !path.is_dir() {
        if depth == 0 || is_bundle_name(path) {
            files.push(path.to_owned());
        }
        return Ok(());
    }
    if depth > DEPTH_MAX {
        return Err(UsageError::at(path, format!("deeper than {DEPTH_MAX} folders")));
    }
    for entry in path.read_dir().map_err(|error| UsageError::at(path, error))? {
        let entry = entry.map_err(|error| UsageError::at(path, error))?;
        collect(&entry.path(), depth + 1, files)?;
    }
    Ok(())
}

fn is_bundle_name(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| {
        (name.ends_with(".json") || name.ends_with(".json.zst")) && !NOT_BUNDLES.contains(&name)
    })
}

/// The block number that a file is named after.
fn number(path: &Path) -> u64 {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.split('.').next().and_then(|stem| stem.parse().ok()).unwrap_or(u64::MAX)
}
