//! A folder that reproduces a mismatch: the block with all it needs, what differed, the command.
//!
//! ```text
//! DIR/<number>-<hash>/<number>.json.zst   the bundle, its codes in it; of a witness bundle a copy
//! DIR/<number>-<hash>/*.bal               its access list, if it was given one
//! DIR/<number>-<hash>/divergence.json     what differed, the first difference first
//! DIR/<number>-<hash>/rerun.sh            the one command
//! ```

use super::{check::Findings, lists, modes, report};
use crate::UsageError;
use fugue_archive::{Record, write_zstd};
use fugue_executor::Mode;
use fugue_types::BlockAccessList;
use std::path::{Path, PathBuf};

/// `list` is the access list that was given to the block, if one was.
///
/// # Errors
/// If the folder cannot be written.
pub(super) fn write(
    parent: &Path,
    record: &Record,
    findings: &Findings,
    modes: &[Mode],
    threads: usize,
    list: Option<&BlockAccessList>,
) -> Result<PathBuf, UsageError> {
    let number = findings.number;
    let hash = findings.hash.to_string();
    let folder = parent.join(format!("{number}-{}", hash.get(..10).unwrap_or(&hash)));
    let at = |error: &dyn std::fmt::Display| UsageError::at(&folder, error);
    std::fs::create_dir_all(&folder).map_err(|error| at(&error))?;
    let file = match record {
        Record::Bundle(bundle) => {
            let json = bundle.to_json(&findings.fork).map_err(|error| at(&error))?;
            let file = format!("{number}.json.zst");
            write_zstd(&folder.join(&file), &json, 3).map_err(|error| at(&error))?;
            file
        }
        Record::Witness(_) => {
            let is_zstd = findings.path.extension().is_some_and(|extension| extension == "zst");
            let file = format!("{number}.json{}", if is_zstd { ".zst" } else { "" });
            // Read whole before it is written: it may be this very file.
            let bytes = std::fs::read(&findings.path)
                .map_err(|error| UsageError::at(&findings.path, error))?;
            std::fs::write(folder.join(&file), bytes).map_err(|error| at(&error))?;
            file
        }
    };
    let differences: Vec<_> = findings.differences.iter().map(report::difference).collect();
    let differences = serde_json::to_vec_pretty(&differences).map_err(|error| at(&error))?;
    std::fs::write(folder.join("divergence.json"), differences).map_err(|error| at(&error))?;
    let mode = modes::name(modes);
    let mut lists_from = "";
    if let Some(list) = list {
        lists::write(&folder, number, findings.hash, list)?;
        lists_from = " --bal .";
    }
    let command = format!(
        "#!/bin/sh\n# Runs the block again.\ncd \"$(dirname \"$0\")\" && \
         exec fugue replay {file} --mode {mode}{lists_from} --threads {threads}\n"
    );
    std::fs::write(folder.join("rerun.sh"), command).map_err(|error| at(&error))?;
    Ok(folder)
}
