//! `--mode` of a replay.

use clap::ValueEnum;
use fugue_executor::Mode;

/// How blocks are executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Modes {
    /// One transaction after the other.
    Seq,
    /// Optimistically in parallel.
    Occ,
    /// In parallel by the access list of the block; as occ where there is none.
    Bal,
    /// seq and occ, with --bal seq and bal, and the results compared transaction by transaction.
    Both,
}

impl Modes {
    /// The modes in which each block runs, the sequential one first. `has_lists` says whether
    /// access lists are given beside the blocks.
    pub(super) const fn list(self, has_lists: bool) -> &'static [Mode] {
        match self {
            Self::Seq => &[Mode::Seq],
            Self::Occ => &[Mode::Occ],
            Self::Bal => &[Mode::Bal],
            Self::Both if has_lists => &[Mode::Seq, Mode::Bal],
            Self::Both => &[Mode::Seq, Mode::Occ],
        }
    }
}

/// `--mode` for these modes.
pub(super) fn name(modes: &[Mode]) -> String {
    match modes {
        [mode] => mode.to_string(),
        _ => "both".to_owned(),
    }
}

/// The parallel mode among them; the one that is spoken of where there is none.
pub(super) fn parallel(modes: &[Mode]) -> Mode {
    let parallel = modes.iter().copied().find(|mode| *mode != Mode::Seq);
    parallel.unwrap_or(Mode::Occ)
}
