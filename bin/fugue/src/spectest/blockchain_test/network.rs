//! The chain that a network of the fixtures is, by its name.
//!
//! * `X`: all forks up to X hold from the start.
//! * `XToYAt5`, `XToYAtTime15k`, `XToYAtDiffC0000`: those up to X hold from the start, those after
//!   it up to Y from that block, time or total difficulty on.

use super::schema::Config;
use crate::spectest::state_test::{self, CHAIN_ID, schema::BlobEntry};
use alloy_eips::eip6110::MAINNET_DEPOSIT_CONTRACT_ADDRESS;
use fugue_chainspec::{BlobParams, ChainConfig, ChainSpec, Fork};
use fugue_types::U256;

/// A block that no fixture reaches.
const NEVER: u64 = u64::MAX;
/// What `k` behind a time stands for.
const THOUSAND: u64 = 1_000;

/// From when on forks hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Point {
    Start,
    Block(u64),
    Time(u64),
    Difficulty(U256),
}

/// How a configuration schedules a fork.
#[derive(Clone, Copy)]
enum Switch {
    Block(fn(&mut ChainConfig, u64)),
    Difficulty,
    Time(fn(&mut ChainConfig, u64)),
}

/// Every fork after the first one, in their order.
static SWITCHES: [(Fork, Switch); 24] = [
    (Fork::Homestead, Switch::Block(|config, at| config.homestead_block = Some(at))),
    (
        Fork::Dao,
        Switch::Block(|config, at| {
            config.dao_fork_block = Some(at);
            config.dao_fork_support = true;
        }),
    ),
    (Fork::Tangerine, Switch::Block(|config, at| config.eip150_block = Some(at))),
    (
        Fork::SpuriousDragon,
        Switch::Block(|config, at| {
            config.eip155_block = Some(at);
            config.eip158_block = Some(at);
        }),
    ),
    (Fork::Byzantium, Switch::Block(|config, at| config.byzantium_block = Some(at))),
    (
        Fork::Constantinople,
        // Where nothing is said of Petersburg, it comes with Constantinople.
        Switch::Block(|config, at| {
            config.constantinople_block = Some(at);
            config.petersburg_block = Some(NEVER);
        }),
    ),
    (Fork::Petersburg, Switch::Block(|config, at| config.petersburg_block = Some(at))),
    (Fork::Istanbul, Switch::Block(|config, at| config.istanbul_block = Some(at))),
    (Fork::MuirGlacier, Switch::Block(|config, at| config.muir_glacier_block = Some(at))),
    (Fork::Berlin, Switch::Block(|config, at| config.berlin_block = Some(at))),
    (Fork::London, Switch::Block(|config, at| config.london_block = Some(at))),
    (Fork::ArrowGlacier, Switch::Block(|config, at| config.arrow_glacier_block = Some(at))),
    (Fork::GrayGlacier, Switch::Block(|config, at| config.gray_glacier_block = Some(at))),
    (Fork::Paris, Switch::Difficulty),
    (Fork::Shanghai, Switch::Time(|config, at| config.shanghai_time = Some(at))),
    (Fork::Cancun, Switch::Time(|config, at| config.cancun_time = Some(at))),
    (Fork::Prague, Switch::Time(|config, at| config.prague_time = Some(at))),
    (Fork::Osaka, Switch::Time(|config, at| config.osaka_time = Some(at))),
    (Fork::Bpo1, Switch::Time(|config, at| config.bpo1_time = Some(at))),
    (Fork::Bpo2, Switch::Time(|config, at| config.bpo2_time = Some(at))),
    (Fork::Bpo3, Switch::Time(|config, at| config.bpo3_time = Some(at))),
    (Fork::Bpo4, Switch::Time(|config, at| config.bpo4_time = Some(at))),
    (Fork::Bpo5, Switch::Time(|config, at| config.bpo5_time = Some(at))),
    (Fork::Amsterdam, Switch::Time(|config, at| config.amsterdam_time = Some(at))),
];

impl Switch {
    /// Writes the point into the configuration; `None` if the fork cannot switch by such a one.
    fn set(self, config: &mut ChainConfig, at: Point) -> Option<()> {
        match (self, at) {
            (Self::Block(set) | Self::Time(set), Point::Start) => set(config, 0),
            (Self::Block(set), Point::Block(at)) | (Self::Time(set), Point::Time(at)) => {
                set(config, at);
            }
            (Self::Difficulty, Point::Start) => {
                config.terminal_total_difficulty = Some(U256::ZERO);
            }
            (Self::Difficulty, Point::Difficulty(total)) => {
                config.terminal_total_difficulty = Some(total);
            }
            // A fork right before the merge that moves the difficulty bomb: no fixture reaches it.
            (Self::Block(_), Point::Difficulty(_)) => {}
            _ => return None,
        }
        Some(())
    }
}

/// The forks that a name speaks of: from the start, in the end, and where it changes.
fn parse(name: &str) -> Option<(Fork, Fork, Point)> {
    let Some((base, rest)) = name.split_once("To") else {
        let fork = fork(name)?;
        return Some((fork, fork, Point::Start));
    };
    let (target, at) = rest.split_once("At")?;
    Some((fork(base)?, fork(target)?, point(at)?))
}

fn fork(name: &str) -> Option<Fork> {
    if name == "Dao" { Some(Fork::Dao) } else { state_test::fork(name) }
}

fn point(text: &str) -> Option<Point> {
    if let Some(time) = text.strip_prefix("Time") {
        let (digits, unit) =
            time.strip_suffix('k').map_or((time, 1), |thousands| (thousands, THOUSAND));
        return digits.parse::<u64>().ok()?.checked_mul(unit).map(Point::Time);
    }
    if let Some(difficulty) = text.strip_prefix("Diff") {
        return U256::from_str_radix(difficulty, 16).ok().map(Point::Difficulty);
    }
    text.parse().ok().map(Point::Block)
}

/// Whether the blocks of a network come from a consensus client, at least in the end. So it is
/// taken to be if the network is not known.
pub(super) fn is_merged(name: &str) -> bool {
    parse(name).is_none_or(|(_, target, _)| target >= Fork::Paris)
}

/// Whether the blocks of a network have access lists (EIP-7928), at least in the end.
pub(super) fn has_lists(name: &str) -> bool {
    parse(name).is_some_and(|(_, target, _)| target >= Fork::Amsterdam)
}

/// The chain of a network. `config` is what a fixture says beyond the name.
///
/// # Errors
/// A message, if the network is not known or the configuration is no chain's.
pub(super) fn chain(name: &str, config: Option<&Config>) -> Result<ChainSpec, String> {
    let unknown = || format!("network {name} is not known");
    let (base, target, at) = parse(name).ok_or_else(unknown)?;
    let mut chain = ChainConfig {
        chain_id: CHAIN_ID,
        deposit_contract_address: Some(MAINNET_DEPOSIT_CONTRACT_ADDRESS),
        ..ChainConfig::default()
    };
    if let Some(Config { network, chainid, blob_schedule }) = config {
        if let Some(other) = network.as_ref().filter(|other| *other != name) {
            return Err(format!("network {name}, but {other} in its configuration"));
        }
        if let Some(chain_id) = chainid {
            chain.chain_id = chain_id.to_u64("chainid")?;
        }
        let entries = blob_schedule.iter();
        chain.blob_schedule = entries.map(|(fork, entry)| (fork.clone(), blobs(entry))).collect();
    }
    for (fork, switch) in &SWITCHES {
        // The DAO fork belongs to the chains that are named after it.
        if *fork > target || (*fork == Fork::Dao && target != Fork::Dao) {
            continue;
        }
        let at = if *fork <= base { Point::Start } else { at };
        switch.set(&mut chain, at).ok_or_else(unknown)?;
    }
    ChainSpec::try_from(&chain).map_err(|error| format!("network {name}: {error}"))
}

/// The chain knows what an entry leaves out, but for the limit of a transaction before Osaka.
fn blobs(entry: &BlobEntry) -> BlobParams {
    BlobParams {
        target_blob_count: entry.target,
        max_blob_count: entry.max,
        max_blobs_per_tx: entry.max,
        update_fraction: u128::from(entry.base_fee_update_fraction),
        ..BlobParams::cancun()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fugue_types::Header;
    use serde_json::json;

    fn fork_at(name: &str, number: u64, timestamp: u64, difficulty: u64) -> Fork {
        let difficulty = U256::from(difficulty);
        let header = Header { number, timestamp, difficulty, ..Header::default() };
        chain(name, None).unwrap().rules(&header).fork
    }

    #[test]
    fn a_network_named_after_a_fork_has_its_rules_from_the_start() {
        let cases = [
            ("Frontier", Fork::Frontier),
            ("Homestead", Fork::Homestead),
            ("EIP150", Fork::Tangerine),
            ("EIP158", Fork::SpuriousDragon),
            ("Byzantium", Fork::Byzantium),
            ("Constantinople", Fork::Constantinople),
            ("ConstantinopleFix", Fork::Petersburg),
            ("Istanbul", Fork::Istanbul),
            ("Berlin", Fork::Berlin),
            ("London", Fork::London),
            ("ArrowGlacier", Fork::ArrowGlacier),
            ("Merge", Fork::Paris),
            ("Paris", Fork::Paris),
            ("Shanghai", Fork::Shanghai),
            ("Cancun", Fork::Cancun),
            ("Prague", Fork::Prague),
            ("Osaka", Fork::Osaka),
            ("BPO2", Fork::Bpo2),
            ("BPO5", Fork::Bpo5),
            ("Amsterdam", Fork::Amsterdam),
        ];
        for (name, fork) in cases {
            for (number, timestamp) in [(0, 0), (1, 1), (1 << 40, 1 << 40)] {
                assert_eq!(fork_at(name, number, timestamp, 1), fork, "{name}");
            }
            let merges = chain(name, None).unwrap().terminal_total_difficulty();
            assert_eq!(merges, (fork >= Fork::Paris).then_some(U256::ZERO), "{name}");
        }
    }

    #[test]
    fn a_transition_switches_at_its_point() {
        let by_block = [
            ("FrontierToHomesteadAt5", Fork::Frontier, Fork::Homestead),
            ("HomesteadToDaoAt5", Fork::Homestead, Fork::Dao),
            ("HomesteadToEIP150At5", Fork::Homestead, Fork::Tangerine),
            ("EIP158ToByzantiumAt5", Fork::SpuriousDragon, Fork::Byzantium),
            ("ByzantiumToConstantinopleFixAt5", Fork::Byzantium, Fork::Petersburg),
            ("BerlinToLondonAt5", Fork::Berlin, Fork::London),
        ];
        for (name, before, after) in by_block {
            assert_eq!(fork_at(name, 4, 0, 1), before, "{name}");
            assert_eq!(fork_at(name, 5, 0, 1), after, "{name}");
        }
        let by_time = [
            ("ParisToShanghaiAtTime15k", Fork::Paris, Fork::Shanghai),
            ("OsakaToBPO1AtTime15k", Fork::Osaka, Fork::Bpo1),
            ("BPO2ToAmsterdamAtTime15k", Fork::Bpo2, Fork::Amsterdam),
        ];
        for (name, before, after) in by_time {
            assert_eq!(fork_at(name, 1, 14_999, 0), before, "{name}");
            assert_eq!(fork_at(name, 1, 15_000, 0), after, "{name}");
        }
        let name = "ArrowGlacierToParisAtDiffC0000";
        assert_eq!(fork_at(name, 7, 0, 1), Fork::ArrowGlacier);
        assert_eq!(fork_at(name, 7, 0, 0), Fork::Paris);
        let total = chain(name, None).unwrap().terminal_total_difficulty();
        assert_eq!(total, Some(U256::from(0xc_0000)));
    }

    #[test]
    fn the_dao_fork_is_taken_only_where_the_name_says_so() {
        let dao = |name, number| {
            let header = Header { number, ..Header::default() };
            chain(name, None).unwrap().rules(&header).dao_extra_data
        };
        assert_eq!(dao("HomesteadToDaoAt5", 4), None);
        assert_eq!(dao("HomesteadToDaoAt5", 5), Some(true));
        assert_eq!(dao("EIP150", 5), None);
    }

    #[test]
    fn the_blob_schedule_is_that_of_the_fixture() {
        let config = |name: &str| -> Config {
            let entry = json!({ "target": "0x15", "max": "0x20", "baseFeeUpdateFraction": "0xff" });
            let schedule = json!({ "Prague": entry, "BPO3": entry });
            let config = json!({ "network": name, "chainid": "0x07", "blobSchedule": schedule });
            serde_json::from_value(config).unwrap()
        };
        let rules = |name: &str| {
            chain(name, Some(&config(name)))
                .unwrap()
                .rules(&Header { number: 1, ..Header::default() })
        };
        let blobs = |name: &str| rules(name).blob_params.unwrap();
        assert_eq!(blobs("Cancun"), BlobParams::cancun());
        let (prague, bpo3) = (blobs("Prague"), blobs("BPO3"));
        assert_eq!((prague.max_blob_count, prague.max_blobs_per_tx), (32, 32));
        assert_eq!((bpo3.target_blob_count, bpo3.max_blob_count), (21, 32));
        assert_eq!(bpo3.max_blobs_per_tx, BlobParams::osaka().max_blobs_per_tx);
        assert_eq!(rules("BPO3").chain_id, 7);
        assert!(chain("BPO3", Some(&config("BPO4"))).is_err());
    }

    #[test]
    fn a_network_is_merged_that_ends_at_paris_or_later() {
        for (name, expected) in [
            ("Paris", true),
            ("BPO2", true),
            ("ArrowGlacierToParisAtDiffC0000", true),
            ("ParisToShanghaiAtTime15k", true),
            ("GrayGlacier", false),
            ("BerlinToLondonAt5", false),
            ("Metropolis", true),
        ] {
            assert_eq!(is_merged(name), expected, "{name}");
        }
    }

    #[test]
    fn networks_that_do_not_exist_are_refused() {
        let cases = [
            "Metropolis",
            "FrontierToNowhereAt5",
            "FrontierToHomestead",
            "FrontierToHomesteadAt",
            "FrontierToHomesteadAtTime5",
            "ParisToShanghaiAt5",
            "ParisToShanghaiAtTime99999999999999999999k",
        ];
        for name in cases {
            assert!(chain(name, None).is_err(), "{name}");
        }
    }
}
