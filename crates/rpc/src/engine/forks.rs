//! The forks that the Engine API tells apart, and the versions of its methods.

use fugue_chainspec::{ChainSpec, Fork};

/// The version of a method: the number after the `V` in its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Version {
    V1,
    V2,
    V3,
    V4,
    V5,
    V6,
}

/// A fork with changes to the Engine API, with those after it that have none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Era {
    /// And before.
    Paris,
    Shanghai,
    Cancun,
    Prague,
    /// And the forks that change blob parameters alone.
    Osaka,
    Amsterdam,
    /// After Amsterdam: no method is for these blocks.
    Later,
}

impl Era {
    /// The era of a block.
    pub(super) fn at(spec: &ChainSpec, number: u64, timestamp: u64) -> Self {
        let rules = spec.rules_at(number, timestamp);
        [
            (Fork::Bogota, Self::Later),
            (Fork::Amsterdam, Self::Amsterdam),
            (Fork::Osaka, Self::Osaka),
            (Fork::Prague, Self::Prague),
            (Fork::Cancun, Self::Cancun),
            (Fork::Shanghai, Self::Shanghai),
        ]
        .into_iter()
        .find_map(|(fork, era)| rules.has(fork).then_some(era))
        .unwrap_or(Self::Paris)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fork_has_its_era() {
        for (fork, era) in [
            (Fork::London, Era::Paris),
            (Fork::Paris, Era::Paris),
            (Fork::Shanghai, Era::Shanghai),
            (Fork::Cancun, Era::Cancun),
            (Fork::Prague, Era::Prague),
            (Fork::Osaka, Era::Osaka),
            (Fork::Bpo2, Era::Osaka),
            (Fork::Amsterdam, Era::Amsterdam),
            (Fork::Bogota, Era::Later),
        ] {
            assert_eq!(Era::at(&ChainSpec::at_fork(1, fork), 1, 1), era, "{fork}");
        }
    }
}
