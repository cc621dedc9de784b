//! A file that cannot be read, named with the place in it.

use crate::{Fault, Place};
use fugue_types::{B256, HashMismatch};
use std::path::{Path, PathBuf};

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// The system does not give it.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// A pipe, a device or a folder, of which nobody knows how far it goes.
    #[error("not a file: blocks are read from files alone")]
    NoFile,
    /// Its name says zstd, its first bytes do not.
    #[error("not zstd-compressed: begins with {0}")]
    NotZstd(String),
    /// The compressed stream is damaged or ends early.
    #[error("damaged or truncated zstd stream: {0}")]
    Zstd(std::io::Error),
    /// Larger than any such file may be.
    #[error("larger than {max} bytes")]
    TooLarge {
        /// The limit in bytes, after decompression.
        max: u64,
    },
    /// Not the JSON that is expected, at this place in it.
    #[error("{path}: {source}")]
    Json {
        /// Path of the field.
        path: String,
        /// What the parser says.
        source: serde_json::Error,
    },
    /// Made for another reader.
    #[error("format: \"{found}\" is not read here, only \"{}\"", expected.join("\" and \""))]
    Format {
        /// The formats that are read.
        expected: &'static [&'static str],
        /// The format that the file names.
        found: String,
    },
    /// A field's bytes do not decode.
    #[error("{field}: {reason}")]
    Field {
        /// Path of the field.
        field: String,
        /// Why it does not decode.
        reason: String,
    },
    /// The header does not hash to `block.hash`.
    #[error("headerRlp: {0}")]
    BlockHash(#[from] HashMismatch),
    /// A code that the pre-state names is nowhere.
    #[error("prestate: code {0} is neither in the bundle nor in a codes file beside it")]
    CodeMissing(B256),
    /// A code does not hash to its key.
    #[error("codes: the code under {key} hashes to {found}")]
    CodeHash {
        /// The key in the file.
        key: B256,
        /// keccak256 of the code.
        found: B256,
    },
    /// A file of blocks is not what it should be, at this place in it.
    #[error("{place}: {fault}")]
    Blocks {
        /// Where in the file.
        place: Place,
        /// What is wrong there.
        fault: Box<Fault>,
    },
}

/// A file and what is wrong with it.
#[derive(Debug, thiserror::Error)]
#[error("{}: {cause}", path.display())]
pub struct ArchiveError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong.
    pub cause: Cause,
}

impl ArchiveError {
    pub(crate) fn at(path: &Path) -> impl Fn(Cause) -> Self {
        move |cause| Self { path: path.to_owned(), cause }
    }
}

impl Cause {
    pub(crate) fn field(field: impl Into<String>, reason: impl ToString) -> Self {
        Self::Field { field: field.into(), reason: reason.to_string() }
    }
}
