//! From SOURCE arguments to files of recorded blocks.

use crate::UsageError;
use std::path::{Path, PathBuf};

/// Files of a pack that are no bundles.
const NOT_BUNDLES: [&str; 2] = ["codes.json.zst", "index.json"];
/// How deep a directory is searched.
const DEPTH_MAX: usize = 8;

/// Every file that the sources name, each once, by number: files named after a number alone come
/// first, then those with the same beginning before a hyphen and their number.
///
/// # Errors
/// If a source names nothing, or cannot be read.
pub(crate) fn expand(sources: &[String]) -> Result<Vec<PathBuf>, UsageError> {
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
    files.sort_by_key(|path| (place(path), path.clone()));
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

/// What a file is named after: the chain or scenario, if any, and the block number.
fn place(path: &Path) -> (String, u64) {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let stem = name.split('.').next().unwrap_or_default();
    let (beginning, number) = stem.rsplit_once('-').unwrap_or(("", stem));
    match number.parse() {
        Ok(number) => (beginning.to_owned(), number),
        Err(_) => (stem.to_owned(), u64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_come_by_chain_and_number() {
        let names = [
            "9.json.zst",
            "10.json",
            "holesky-9.json.zst",
            "holesky-10.json.zst",
            "notes.json",
            "sepolia-1.json",
        ];
        let mut sorted = names;
        sorted.reverse();
        sorted.sort_by_key(|name| place(Path::new(name)));
        assert_eq!(sorted, names);
    }

    #[test]
    fn an_index_and_what_is_no_json_are_left_out() {
        let is_taken = |name: &str| is_bundle_name(&Path::new("blocks").join(name));
        for name in ["1.json", "1.json.zst", "holesky-1.json.zst", "notes.json"] {
            assert!(is_taken(name), "{name}");
        }
        for name in ["index.json", "codes.json.zst", "README.md", "1.zst", "1.bin"] {
            assert!(!is_taken(name), "{name}");
        }
    }
}
