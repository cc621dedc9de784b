//! What the system says about this process. Only Linux does; elsewhere there is no answer.

use std::{fs, path::Path};

/// Bytes that this process has had written to storage so far, in whole pages.
/// Source: proc_pid_io(5), `write_bytes`.
pub(super) fn written_bytes() -> Option<u64> {
    field(Path::new("/proc/self/io"), "write_bytes:")
}

/// Most bytes of memory that this process has had at once since [`forget_peak`], pages of the
/// database's file included. Source: proc_pid_status(5), `VmHWM`.
pub(super) fn peak_bytes() -> Option<u64> {
    status("VmHWM:")
}

/// Bytes of memory that belong to this process alone. Source: proc_pid_status(5), `RssAnon`.
pub(super) fn anonymous_bytes() -> Option<u64> {
    status("RssAnon:")
}

/// Begins [`peak_bytes`] anew. Says whether that was possible.
/// Source: proc_pid_clear_refs(5).
pub(super) fn forget_peak() -> bool {
    fs::write("/proc/self/clear_refs", "5").is_ok()
}

fn status(name: &str) -> Option<u64> {
    field(Path::new("/proc/self/status"), name).map(|kib| kib * 1_024)
}

/// The number after a name at the beginning of a line.
fn field(path: &Path, name: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn linux_tells_how_much_memory_this_process_has() {
        let (peak, anonymous) = (peak_bytes().expect("a peak"), anonymous_bytes().expect("some"));
        assert!(anonymous > 0 && peak > anonymous / 2, "{peak} {anonymous}");
        assert_eq!(field(Path::new("/proc/self/status"), "Nothing:"), None);
    }
}
