//! How many files this process may have open, sockets among them.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::{info, warn};

/// Files beside the sockets of connections: the database and its lock, the journal, transactions,
/// what is listened at, what the runtimes wait on, standard input, output and error; and some to
/// spare.
const FILES: u64 = 64;

/// Raises the limit as far as the user of this process may, and tells whether it suffices for so
/// many sockets at a time.
pub(super) fn raise_limit(sockets: usize) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
    {
        warn!(%error, "the limit of open files is not raised");
    }
    let (limit, needed) = (getrlimit(Resource::Nofile).current, needed(sockets));
    match limit {
        Some(limit) if limit < needed => warn!(
            limit,
            needed,
            "too few files may be open for as many connections as are accepted: raise the hard \
             limit (ulimit -Hn, LimitNOFILE)"
        ),
        Some(limit) => info!(limit, needed, "files that may be open"),
        None => info!(needed, "any number of files may be open"),
    }
}

/// Files that may be open at a time beside so many sockets.
pub(super) const fn needed(sockets: usize) -> u64 {
    (sockets as u64).saturating_add(FILES)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_the_most_that_the_user_may_have() {
        raise_limit(0);
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        assert_eq!(current, maximum);
    }
}
