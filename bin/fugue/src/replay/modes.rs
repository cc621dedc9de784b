//! `--mode` of a replay.

use fugue_executor::Mode;

/// `--mode` for these modes.
pub(super) fn name(modes: &[Mode]) -> String {
    match modes {
        [mode] => mode.to_string(),
        [_, _] => "both".to_owned(),
        _ => "all".to_owned(),
    }
}

/// The parallel mode among them; the one that is spoken of where there is none.
pub(super) fn parallel(modes: &[Mode]) -> Mode {
    let parallel = modes.iter().copied().find(|mode| *mode != Mode::Seq);
    parallel.unwrap_or(Mode::Occ)
}
