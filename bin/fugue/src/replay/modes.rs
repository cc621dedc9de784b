//! `--mode` of a replay.

use crate::UsageError;
use fugue_executor::Mode;

/// Whether blocks get their access lists in these modes: one of them looks at lists.
pub(super) fn read_lists(modes: &[Mode]) -> bool {
    modes.iter().any(|mode| matches!(mode, Mode::Bal | Mode::Auto))
}

/// # Errors
/// If lists are given beside the blocks, and none of these modes would look at them.
pub(super) fn check_lists(modes: &[Mode], are_given: bool) -> Result<(), UsageError> {
    if !are_given || read_lists(modes) {
        return Ok(());
    }
    let mode = name(modes);
    Err(UsageError(format!("--bal: --mode {mode} reads no lists; bal, auto, both and all do")))
}

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Modes;

    #[test]
    fn lists_that_no_mode_reads_are_refused() {
        let read = [Modes::Bal, Modes::Auto, Modes::Both, Modes::All];
        for modes in read.map(|modes| modes.list(true)) {
            assert!(check_lists(modes, true).is_ok(), "{modes:?}");
        }
        for modes in [Modes::Seq, Modes::Occ, Modes::Lanes].map(|modes| modes.list(true)) {
            assert!(check_lists(modes, false).is_ok(), "{modes:?}");
            let UsageError(told) = check_lists(modes, true).expect_err("nothing would read them");
            assert!(told.starts_with(&format!("--bal: --mode {} ", name(modes))), "{told}");
        }
    }
}
