//! `fugue generate`.

use crate::{UsageError, Verdict};

/// Options of `fugue generate`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {}

pub(crate) fn run(_options: &Options) -> Result<Verdict, UsageError> {
    Ok(Verdict::Good)
}
