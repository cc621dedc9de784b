//! The log of a node: lines on standard error, for people or for programs.

use super::options::{Log, LogFormat};
use crate::{UsageError, datadir::usage};
use std::io::{IsTerminal, stderr};
use tracing_subscriber::EnvFilter;

/// Begins the log of this process.
///
/// # Errors
/// If the filter is none, or the process has a log.
pub(super) fn begin(options: &Log) -> Result<(), UsageError> {
    let filter = EnvFilter::try_new(&options.level).map_err(usage)?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr);
    let begun = match options.format {
        LogFormat::Terminal => log.with_ansi(has_colours()).compact().try_init(),
        LogFormat::Json => log.with_ansi(false).json().flatten_event(true).try_init(),
    };
    begun.map_err(usage)
}

/// Whether standard error shows colours, and is to. Source: no-color.org.
fn has_colours() -> bool {
    let is_refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    stderr().is_terminal() && !is_refused
}
