//! Reads and writes block files.
//!
//! A [`Bundle`] is one block with the state that its transactions read.

mod bundle;
mod error;
mod file;

pub use bundle::{Bundle, BundleReader, FORMAT, PreAccount, PreState};
pub use error::{ArchiveError, Cause};
pub use file::{FILE_BYTES_MAX, read_file, write_zstd};
