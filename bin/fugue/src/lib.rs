//! Arguments, wiring, and what people see: everything of the program but its entry.
//!
//! Exit codes: 0 all is well; 1 something differs from what it should be; 2 bad usage or bad input.

mod bench;
mod capture;
mod cli;
mod client;
mod config;
mod datadir;
mod db;
mod export;
mod generate;
mod import;
mod init;
mod node;
mod progress;
mod replay;
mod shell;
mod spectest;
mod state;

pub use cli::run;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    /// Everything is as it should be.
    Good,
    /// Bad usage or bad input: nothing can be said about some of it.
    BadInput,
    /// Something differs.
    Differs,
}

impl Verdict {
    pub(crate) const fn exit_code(self) -> u8 {
        match self {
            Self::Good => 0,
            Self::Differs => 1,
            Self::BadInput => 2,
        }
    }
}

/// Writes to standard output.
///
/// # Errors
/// As [`written`].
pub(crate) fn print(text: impl std::fmt::Display) -> Result<(), UsageError> {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    written("standard output", write!(out, "{text}").and_then(|()| out.flush()))
}

/// What became of a write to `what`. A reader that has gone away (`| head`) is no error.
///
/// # Errors
/// If it failed for another reason.
pub(crate) fn written(what: &str, result: std::io::Result<()>) -> Result<(), UsageError> {
    match result {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(UsageError(format!("{what}: {error}")))
        }
        _ => Ok(()),
    }
}

/// A command that could not do its work, in a message for its user.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct UsageError(pub(crate) String);

impl UsageError {
    pub(crate) fn at(path: &std::path::Path, error: impl std::fmt::Display) -> Self {
        Self(format!("{}: {error}", path.display()))
    }
}
