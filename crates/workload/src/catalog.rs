//! The pinned list of scenarios: each theme at every fork that its contracts run on.
//!
//! A theme has several scenarios. Not each of them stands at every fork; they take turns, so that
//! the list stays small and still every fork meets every theme.

use crate::{
    Scenario,
    scenarios::{blobs, defi, delegation, destroy, fees, nonces, storage, transfers},
};
use fugue_chainspec::Fork;

/// Forks of the list, the oldest first: each that executes blocks in a way of its own.
pub const FORKS: [Fork; 16] = [
    Fork::Frontier,
    Fork::Homestead,
    Fork::Tangerine,
    Fork::SpuriousDragon,
    Fork::Byzantium,
    Fork::Petersburg,
    Fork::Istanbul,
    Fork::Berlin,
    Fork::London,
    Fork::Paris,
    Fork::Shanghai,
    Fork::Cancun,
    Fork::Prague,
    Fork::Osaka,
    Fork::Bpo2,
    Fork::Amsterdam,
];

/// Forks with a larger mix, and how many transactions it has.
const MIXES: [(Fork, usize); 4] =
    [(Fork::Byzantium, 300), (Fork::London, 300), (Fork::Cancun, 350), (Fork::Osaka, 300)];

/// Writes one scenario of a theme.
type Write = fn(u64, Fork) -> Scenario;

/// Scenarios that take turns from a fork on, until another one.
struct Theme {
    since: Fork,
    before: Option<Fork>,
    turns: &'static [Write],
}

const THEMES: &[Theme] = &[
    Theme {
        since: Fork::Frontier,
        before: None,
        turns: &[
            transfers::hot_recipient,
            transfers::odd,
            transfers::chain,
            transfers::runs,
            transfers::independent,
        ],
    },
    Theme {
        since: Fork::Frontier,
        before: Some(Fork::Byzantium),
        turns: &[fees::author_trades, fees::absent_author],
    },
    Theme {
        since: Fork::Byzantium,
        before: None,
        turns: &[fees::tips, fees::contract_author, fees::author_trades, fees::absent_author],
    },
    Theme { since: Fork::Frontier, before: Some(Fork::Petersburg), turns: &[destroy::by_hand] },
    Theme { since: Fork::Petersburg, before: None, turns: &[destroy::phoenix] },
    Theme { since: Fork::Frontier, before: None, turns: &[nonces::creates, nonces::failing_runs] },
    Theme {
        since: Fork::Frontier,
        before: Some(Fork::Byzantium),
        turns: &[storage::counters_by_hand],
    },
    Theme { since: Fork::Byzantium, before: Some(Fork::Petersburg), turns: &[storage::rewrites] },
    Theme {
        since: Fork::Petersburg,
        before: None,
        turns: &[storage::survey, storage::rewrites, storage::outputs, storage::counters],
    },
    Theme {
        since: Fork::Byzantium,
        before: None,
        turns: &[
            one_pool,
            defi::lending,
            defi::options,
            many_pools,
            defi::channels,
            defi::vault,
            defi::tokens,
            four_pools,
        ],
    },
    Theme {
        since: Fork::Prague,
        before: None,
        turns: &[delegation::handover, delegation::crowd, delegation::refused, delegation::hot],
    },
    Theme {
        since: Fork::Prague,
        before: None,
        turns: &[delegation::hot, delegation::handover, delegation::crowd, delegation::refused],
    },
    Theme { since: Fork::Berlin, before: Some(Fork::Paris), turns: &[blobs::access_lists] },
    Theme { since: Fork::Shanghai, before: Some(Fork::Cancun), turns: &[blobs::withdrawals] },
    Theme { since: Fork::Cancun, before: None, turns: &[blobs::blobs, blobs::withdrawals] },
];

fn one_pool(seed: u64, fork: Fork) -> Scenario {
    defi::swaps(seed, fork, 1)
}

fn four_pools(seed: u64, fork: Fork) -> Scenario {
    defi::swaps(seed, fork, 4)
}

fn many_pools(seed: u64, fork: Fork) -> Scenario {
    defi::swaps(seed, fork, 20)
}

/// The scenarios that the fixtures are made of. Their names are unique.
pub fn catalog(seed: u64) -> Vec<Scenario> {
    let mut scenarios = Vec::new();
    for theme in THEMES {
        let forks = FORKS.iter().copied().filter(|fork| {
            *fork >= theme.since && theme.before.is_none_or(|before| *fork < before)
        });
        for (fork, write) in forks.zip(theme.turns.iter().cycle()) {
            scenarios.push(write(seed, fork));
        }
    }
    scenarios.extend(MIXES.iter().map(|(fork, count)| defi::mix(seed, *fork, *count)));
    scenarios
}

#[cfg(test)]
mod tests {
    use super::*;
    use fugue_types::{HashSet, TransactionTrait};

    #[test]
    fn names_are_unique_and_the_list_stays_small() {
        let all = catalog(1);
        let names: HashSet<_> = all.iter().map(|scenario| scenario.name.clone()).collect();
        assert_eq!(names.len(), all.len());
        let blocks: usize = all.iter().map(|scenario| scenario.blocks.len()).sum();
        let plans = all.iter().flat_map(|scenario| &scenario.blocks);
        let transactions: usize = plans.map(|plan| plan.transactions.len()).sum();
        assert!((90..=170).contains(&blocks), "{blocks} blocks");
        assert!((5_000..=8_500).contains(&transactions), "{transactions} transactions");
    }

    #[test]
    fn gas_limits_fit_into_their_blocks() {
        for scenario in catalog(2) {
            for plan in &scenario.blocks {
                let gas: u64 = plan.transactions.iter().map(|tx| tx.gas_limit()).sum();
                assert!(gas <= plan.gas_limit, "{}", scenario.name);
            }
        }
    }

    #[test]
    fn a_seed_gives_the_same_transactions_twice() {
        let write = |seed| defi::mix(seed, Fork::Osaka, 20).blocks[0].transactions.clone();
        assert_eq!(write(5), write(5));
        assert_ne!(write(5), write(6));
    }
}
