//! What the system says about this process while it runs. Only Linux does; elsewhere there is no
//! answer.

use std::{fs, time::Duration};

/// Clock ticks of `/proc` in a second: the same on every Linux that Rust runs on.
/// Source: proc_pid_stat(5); `USER_HZ`.
const TICKS: u64 = 100;

/// What a process takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Process {
    /// Bytes of memory, pages of the database's file included.
    pub(super) resident_bytes: u64,
    /// Bytes of memory that belong to it alone.
    pub(super) anonymous_bytes: u64,
    /// Threads that it has.
    pub(super) threads: u64,
    /// Time of processors that it had.
    pub(super) cpu: Duration,
    /// Files and sockets that it has open.
    pub(super) open_files: u64,
}

impl Process {
    /// This process.
    pub(super) fn this() -> Option<Self> {
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        let open_files = fs::read_dir("/proc/self/fd").ok()?.count();
        Some(Self {
            resident_bytes: field(&status, "VmRSS:")? * 1_024,
            anonymous_bytes: field(&status, "RssAnon:")? * 1_024,
            threads: field(&status, "Threads:")?,
            cpu: Duration::from_millis(ticks(&stat)? * (1_000 / TICKS)),
            open_files: u64::try_from(open_files).ok()?,
        })
    }
}

/// The number after a name at the beginning of a line.
fn field(status: &str, name: &str) -> Option<u64> {
    let rest = status.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

/// Ticks in user and kernel mode: fields 14 and 15. The name before them is in parentheses, and may
/// have any character.
fn ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    // The first field of the rest is the third of all.
    let mut fields = rest.split_whitespace().skip(14 - 3);
    let user: u64 = fields.next()?.parse().ok()?;
    let kernel: u64 = fields.next()?.parse().ok()?;
    user.checked_add(kernel)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_stand_behind_a_name_that_may_be_anything() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 100 0 3 0 250 50 0 0 20 0 4 0 99 1 2";
        assert_eq!(ticks(stat), Some(300));
        assert_eq!(ticks("nonsense"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn linux_tells_what_this_process_takes() {
        let process = Process::this().expect("an answer");
        assert!(process.threads > 0 && process.open_files > 0, "{process:?}");
        assert!(process.anonymous_bytes <= process.resident_bytes, "{process:?}");
    }
}
