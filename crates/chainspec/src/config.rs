//! A chain from a genesis file's `config` (geth's format).

use crate::{BlobParams, ChainConfig, ChainSpec, Fork, spec::default_blob_schedule};
use alloy_hardforks::ForkCondition;
use fugue_types::{Header, U256};

/// Most blobs of a block that a schedule may name. With it, no product of blob gas and blob counts
/// leaves 64 bits.
const BLOBS_MAX: u64 = 1 << 20;
/// Largest update fraction that a schedule may name. With it, no step of the blob base fee leaves
/// 128 bits.
const UPDATE_FRACTION_MAX: u128 = 1 << 48;
/// The forks that a chain with a later one must have, and the fields that schedule them. Without
/// the forks that only move the difficulty bomb, and those of single chains.
const REQUIRED: [(Fork, &str); 14] = [
    (Fork::Homestead, "homesteadBlock"),
    (Fork::Tangerine, "eip150Block"),
    (Fork::SpuriousDragon, "eip158Block"),
    (Fork::Byzantium, "byzantiumBlock"),
    (Fork::Constantinople, "constantinopleBlock"),
    (Fork::Petersburg, "petersburgBlock"),
    (Fork::Istanbul, "istanbulBlock"),
    (Fork::Berlin, "berlinBlock"),
    (Fork::London, "londonBlock"),
    (Fork::Paris, "terminalTotalDifficulty"),
    (Fork::Shanghai, "shanghaiTime"),
    (Fork::Cancun, "cancunTime"),
    (Fork::Prague, "pragueTime"),
    (Fork::Osaka, "osakaTime"),
];

/// The `config` of a genesis file does not describe a chain that Fugue can run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// `blobSchedule` names a fork that has no blobs or is not known.
    #[error("blobSchedule names \"{0}\", which is no fork with blobs")]
    BlobFork(String),
    /// Forks switch in another order than they were made.
    #[error("{later} is scheduled before {earlier}")]
    Order {
        /// The fork that must come first.
        earlier: Fork,
        /// The fork that comes first in the configuration.
        later: Fork,
    },
    /// A schedule entry allows no blob, too many, or fewer than it aims at.
    #[error("blobSchedule.{name}: max {max} is not from 1 to 2^20, or below target {target}")]
    BlobRange {
        /// Name of the entry.
        name: String,
        /// Blobs per block that the price aims at.
        target: u64,
        /// Most blobs of a block.
        max: u64,
    },
    /// A schedule entry moves the blob base fee by no fraction.
    #[error("blobSchedule.{name}: baseFeeUpdateFraction {fraction} is not between 1 and 2^48")]
    BlobFraction {
        /// Name of the entry.
        name: String,
        /// The fraction that it names.
        fraction: u128,
    },
    /// A fork that only changes blob parameters does not say to what.
    #[error("{0} is scheduled, but blobSchedule has no entry for it")]
    BlobEntry(Fork),
    /// A fork is left out that a later one builds on.
    #[error("{missing} is missing, though {later} is scheduled")]
    Gap {
        /// The field that would schedule it.
        missing: &'static str,
        /// The later fork.
        later: Fork,
    },
    /// EIP-155 and EIP-158 switch apart, which no public chain did.
    #[error("eip155Block ({}) and eip158Block ({}) differ", shown(*eip155), shown(*eip158))]
    SpuriousDragon {
        /// Block of EIP-155.
        eip155: Option<u64>,
        /// Block of EIP-158.
        eip158: Option<u64>,
    },
    /// A fork is scheduled whose rules Fugue does not have.
    #[error("{0} is set: Fugue does not know this fork")]
    UnknownFork(&'static str),
}

fn shown(block: Option<u64>) -> String {
    block.map_or_else(|| "missing".to_owned(), |number| number.to_string())
}

impl ChainSpec {
    /// The chain of a genesis file. `genesis` needs the number, timestamp and difficulty of its
    /// first block.
    ///
    /// `try_from` takes a configuration that comes with blocks as it is; here it is the only word
    /// on a chain that is yet to run, so nothing that it leaves out is guessed.
    ///
    /// # Errors
    /// [`ConfigError`], one of `try_from` or:
    /// * `Gap`: a fork is left out that a later one builds on, `terminalTotalDifficulty` included;
    /// * `BlobEntry`: a fork of blob parameters (EIP-7892) is scheduled without them;
    /// * `Order`: at genesis a fork from the merge on holds, but one before it does not;
    /// * `SpuriousDragon`, `UnknownFork`: rules that Fugue does not have.
    pub fn of_genesis(config: &ChainConfig, genesis: &Header) -> Result<Self, ConfigError> {
        if config.bogota_time.is_some() {
            return Err(ConfigError::UnknownFork("bogotaTime"));
        }
        let (eip155, eip158) = (config.eip155_block, config.eip158_block);
        if eip155 != eip158 {
            return Err(ConfigError::SpuriousDragon { eip155, eip158 });
        }
        let chain = Self::try_from(config)?;
        chain.has_no_gap(genesis)?;
        for fork in Fork::bpo_variants() {
            if chain.schedules(*fork) && !has_blob_entry(config, *fork) {
                return Err(ConfigError::BlobEntry(*fork));
            }
        }
        chain.begins_in_order(genesis)?;
        Ok(chain)
    }

    fn schedules(&self, fork: Fork) -> bool {
        self.forks.iter().any(|(known, _)| *known == fork)
    }

    fn has_no_gap(&self, genesis: &Header) -> Result<(), ConfigError> {
        // A total difficulty that is still to be reached schedules nothing: files of chains that
        // never merge name one out of reach.
        let is_later = |(fork, at): &&(Fork, ForkCondition), than: Fork| {
            *fork > than && (*fork != Fork::Paris || !is_ahead(at, genesis))
        };
        for (fork, missing) in REQUIRED {
            let later = self.forks.iter().find(|later| is_later(later, fork));
            if let Some((later, _)) = later
                && !self.schedules(fork)
            {
                return Err(ConfigError::Gap { missing, later: *later });
            }
        }
        Ok(())
    }

    /// From the merge on, forks by block and forks by time meet in one block, so their order shows.
    fn begins_in_order(&self, genesis: &Header) -> Result<(), ConfigError> {
        let later = self.rules(genesis).fork;
        let ahead = self
            .forks
            .iter()
            .find(|(fork, at)| *fork < later && *fork != Fork::Dao && is_ahead(at, genesis));
        match ahead {
            Some((earlier, _)) if later >= Fork::Paris => {
                Err(ConfigError::Order { earlier: *earlier, later })
            }
            _ => Ok(()),
        }
    }
}

/// Whether a fork does not hold at genesis.
fn is_ahead(at: &ForkCondition, genesis: &Header) -> bool {
    match at {
        ForkCondition::Block(number) => *number > genesis.number,
        ForkCondition::Timestamp(time) => *time > genesis.timestamp,
        ForkCondition::TTD { total_difficulty, .. } => *total_difficulty > genesis.difficulty,
        ForkCondition::Never => true,
    }
}

impl TryFrom<&ChainConfig> for ChainSpec {
    type Error = ConfigError;

    fn try_from(config: &ChainConfig) -> Result<Self, ConfigError> {
        let block = |number: Option<u64>| number.map(ForkCondition::Block);
        let time = |timestamp: Option<u64>| timestamp.map(ForkCondition::Timestamp);
        let paris = config.terminal_total_difficulty.map(|total_difficulty| ForkCondition::TTD {
            activation_block_number: if total_difficulty == U256::ZERO { 0 } else { u64::MAX },
            fork_block: config.merge_netsplit_block,
            total_difficulty,
        });
        let forks: Vec<_> = [
            (Fork::Frontier, Some(ForkCondition::Block(0))),
            (Fork::Homestead, block(config.homestead_block)),
            (Fork::Dao, block(config.dao_fork_block)),
            (Fork::Tangerine, block(config.eip150_block)),
            (Fork::SpuriousDragon, block(config.eip158_block)),
            (Fork::Byzantium, block(config.byzantium_block)),
            (Fork::Constantinople, block(config.constantinople_block)),
            // geth's rule: without a block of its own, Petersburg comes with Constantinople.
            (Fork::Petersburg, block(config.petersburg_block.or(config.constantinople_block))),
            (Fork::Istanbul, block(config.istanbul_block)),
            (Fork::MuirGlacier, block(config.muir_glacier_block)),
            (Fork::Berlin, block(config.berlin_block)),
            (Fork::London, block(config.london_block)),
            (Fork::ArrowGlacier, block(config.arrow_glacier_block)),
            (Fork::GrayGlacier, block(config.gray_glacier_block)),
            (Fork::Paris, paris),
            (Fork::Shanghai, time(config.shanghai_time)),
            (Fork::Cancun, time(config.cancun_time)),
            (Fork::Prague, time(config.prague_time)),
            (Fork::Osaka, time(config.osaka_time)),
            (Fork::Bpo1, time(config.bpo1_time)),
            (Fork::Bpo2, time(config.bpo2_time)),
            (Fork::Bpo3, time(config.bpo3_time)),
            (Fork::Bpo4, time(config.bpo4_time)),
            (Fork::Bpo5, time(config.bpo5_time)),
            (Fork::Amsterdam, time(config.amsterdam_time)),
        ]
        .into_iter()
        .filter_map(|(fork, condition)| Some((fork, condition?)))
        .collect();
        in_order(&forks)?;

        let mut blobs = default_blob_schedule();
        for (name, params) in &config.blob_schedule {
            let fork = blob_fork(name).ok_or_else(|| ConfigError::BlobFork(name.clone()))?;
            blobs.retain(|(known, _)| *known != fork);
            blobs.push((fork, for_fork(in_range(name, *params)?, fork)));
        }
        // geth's rule: without an entry of its own, Osaka keeps the counts of the fork before it.
        let is_scheduled = |fork: Fork| forks.iter().any(|(known, _)| *known == fork);
        let before = blobs.iter().filter(|(fork, _)| *fork < Fork::Osaka && is_scheduled(*fork));
        if !has_blob_entry(config, Fork::Osaka)
            && let Some((_, params)) = before.max_by_key(|(fork, _)| *fork).copied()
        {
            blobs.retain(|(known, _)| *known != Fork::Osaka);
            blobs.push((Fork::Osaka, for_fork(params, Fork::Osaka)));
        }
        blobs.sort_unstable_by_key(|(fork, _)| *fork);
        Ok(Self {
            name: format!("chain {}", config.chain_id),
            chain_id: config.chain_id,
            forks,
            blobs,
            dao_support: config.dao_fork_support,
            deposit_contract: config.deposit_contract_address,
            has_builder_requests: true,
            is_dev: false,
        })
    }
}

/// Forks by block and forks by time each switch in the order in which they were made.
fn in_order(forks: &[(Fork, ForkCondition)]) -> Result<(), ConfigError> {
    let by_block = forks.iter().filter_map(|(fork, at)| match at {
        // The DAO fork belongs to mainnet's history and may stand anywhere.
        ForkCondition::Block(number) if *fork != Fork::Dao => Some((*fork, *number)),
        _ => None,
    });
    let by_time = forks.iter().filter_map(|(fork, at)| match at {
        ForkCondition::Timestamp(time) => Some((*fork, *time)),
        _ => None,
    });
    for sequence in [by_block.collect::<Vec<_>>(), by_time.collect::<Vec<_>>()] {
        for pair in sequence.windows(2) {
            if let [(earlier, first), (later, second)] = pair
                && second < first
            {
                return Err(ConfigError::Order { earlier: *earlier, later: *later });
            }
        }
    }
    Ok(())
}

fn blob_fork(name: &str) -> Option<Fork> {
    match name.to_ascii_lowercase().as_str() {
        "cancun" => Some(Fork::Cancun),
        "prague" => Some(Fork::Prague),
        "osaka" => Some(Fork::Osaka),
        "bpo1" => Some(Fork::Bpo1),
        "bpo2" => Some(Fork::Bpo2),
        "bpo3" => Some(Fork::Bpo3),
        "bpo4" => Some(Fork::Bpo4),
        "bpo5" => Some(Fork::Bpo5),
        "amsterdam" => Some(Fork::Amsterdam),
        _ => None,
    }
}

fn has_blob_entry(config: &ChainConfig, fork: Fork) -> bool {
    config.blob_schedule.keys().any(|name| blob_fork(name) == Some(fork))
}

/// The parameters, if blob gas and its price can be computed with them.
fn in_range(name: &str, params: BlobParams) -> Result<BlobParams, ConfigError> {
    let (target, max) = (params.target_blob_count, params.max_blob_count);
    if !(1..=BLOBS_MAX).contains(&max) || target > max {
        return Err(ConfigError::BlobRange { name: name.to_owned(), target, max });
    }
    let fraction = params.update_fraction;
    if !(1..=UPDATE_FRACTION_MAX).contains(&fraction) {
        return Err(ConfigError::BlobFraction { name: name.to_owned(), fraction });
    }
    Ok(params)
}

/// Limits that a schedule entry does not carry come with the fork: blobs per transaction (EIP-7594)
/// and the reserve price (EIP-7918) from Osaka on.
fn for_fork(params: BlobParams, fork: Fork) -> BlobParams {
    let base = if fork >= Fork::Osaka { BlobParams::osaka() } else { params };
    BlobParams {
        target_blob_count: params.target_blob_count,
        max_blob_count: params.max_blob_count,
        update_fraction: params.update_fraction,
        ..base
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_switches_paris_by_difficulty_and_shanghai_by_time() {
        let config = ChainConfig {
            chain_id: 7,
            london_block: Some(2),
            terminal_total_difficulty: Some(U256::from(100)),
            shanghai_time: Some(50),
            ..ChainConfig::default()
        };
        let chain = ChainSpec::try_from(&config).expect("valid config");
        let rules = |number, timestamp, difficulty: u64| {
            let difficulty = U256::from(difficulty);
            chain.rules(&Header { number, timestamp, difficulty, ..Header::default() }).fork
        };
        assert_eq!(rules(1, 1, 1), Fork::Frontier);
        assert_eq!(rules(2, 2, 1), Fork::London);
        assert_eq!(rules(3, 3, 0), Fork::Paris);
        assert_eq!(rules(4, 50, 0), Fork::Shanghai);
    }

    #[test]
    fn forks_out_of_order_are_refused() {
        let config =
            ChainConfig { cancun_time: Some(10), prague_time: Some(5), ..ChainConfig::default() };
        assert_eq!(
            ChainSpec::try_from(&config),
            Err(ConfigError::Order { earlier: Fork::Cancun, later: Fork::Prague })
        );
    }

    #[test]
    fn a_blob_schedule_for_an_unknown_fork_is_refused() {
        let mut config = ChainConfig::default();
        config.blob_schedule.insert("london".to_owned(), BlobParams::cancun());
        assert_eq!(ChainSpec::try_from(&config), Err(ConfigError::BlobFork("london".to_owned())));
    }

    #[test]
    fn a_blob_schedule_that_cannot_be_computed_with_is_refused() {
        let with = |target_blob_count, max_blob_count, update_fraction| {
            let params = BlobParams {
                target_blob_count,
                max_blob_count,
                update_fraction,
                ..BlobParams::cancun()
            };
            let mut config = ChainConfig::default();
            config.blob_schedule.insert("cancun".to_owned(), params);
            ChainSpec::try_from(&config).err()
        };
        let range = |target, max| {
            let name = "cancun".to_owned();
            Some(ConfigError::BlobRange { name, target, max })
        };
        assert_eq!(with(0, 1, 1), None);
        assert_eq!(with(0, 0, 1), range(0, 0));
        assert_eq!(with(7, 6, 1), range(7, 6));
        assert_eq!(with(BLOBS_MAX, BLOBS_MAX, 1), None);
        assert_eq!(with(1, BLOBS_MAX + 1, 1), range(1, BLOBS_MAX + 1));
        for (fraction, is_good) in
            [(0, false), (UPDATE_FRACTION_MAX, true), (UPDATE_FRACTION_MAX + 1, false)]
        {
            let name = "cancun".to_owned();
            let expected = (!is_good).then_some(ConfigError::BlobFraction { name, fraction });
            assert_eq!(with(3, 6, fraction), expected);
        }
    }

    #[test]
    fn osaka_without_an_entry_keeps_the_counts_of_the_fork_before_it() {
        let own = BlobParams { target_blob_count: 4, max_blob_count: 5, ..BlobParams::prague() };
        let mut config = all_from_genesis();
        config.blob_schedule.insert("prague".to_owned(), own);
        let params = |config: &ChainConfig| {
            let chain = ChainSpec::try_from(config).expect("valid config");
            chain.rules(&Header::default()).blob_params.expect("blobs")
        };
        let expected =
            BlobParams { target_blob_count: 4, max_blob_count: 5, ..BlobParams::osaka() };
        assert_eq!(params(&config), expected);
        config.blob_schedule.insert("osaka".to_owned(), BlobParams::cancun());
        assert_eq!(params(&config).max_blob_count, 6);
        assert_eq!(params(&all_from_genesis()), BlobParams::osaka());
    }

    /// Every fork up to Osaka from genesis on.
    fn all_from_genesis() -> ChainConfig {
        let since = Some(0);
        ChainConfig {
            homestead_block: since,
            eip150_block: since,
            eip155_block: since,
            eip158_block: since,
            byzantium_block: since,
            constantinople_block: since,
            petersburg_block: since,
            istanbul_block: since,
            berlin_block: since,
            london_block: since,
            terminal_total_difficulty: Some(U256::ZERO),
            shanghai_time: since,
            cancun_time: since,
            prague_time: since,
            osaka_time: since,
            ..ChainConfig::default()
        }
    }

    #[test]
    fn a_genesis_configuration_leaves_nothing_to_guess() {
        type Change = fn(&mut ChainConfig);
        let cases: [(Change, Option<&str>); 13] = [
            (|_| {}, None),
            (|config| config.berlin_block = None, Some("berlinBlock is missing, though London")),
            (
                |config| config.terminal_total_difficulty = None,
                Some("terminalTotalDifficulty is missing, though Shanghai is scheduled"),
            ),
            (|config| config.cancun_time = None, Some("cancunTime is missing, though Prague")),
            (
                |config| config.bpo1_time = Some(9),
                Some("Bpo1 is scheduled, but blobSchedule has no entry for it"),
            ),
            (
                |config| {
                    config.bpo1_time = Some(9);
                    config.blob_schedule.insert("bpo1".to_owned(), BlobParams::bpo1());
                },
                None,
            ),
            (|config| config.london_block = Some(5), Some("Osaka is scheduled before London")),
            (
                |config| config.terminal_total_difficulty = Some(U256::from(9)),
                Some("Osaka is scheduled before Paris"),
            ),
            // Reached by the difficulty of the first block.
            (|config| config.terminal_total_difficulty = Some(U256::from(1)), None),
            (|config| config.arrow_glacier_block = Some(0), None),
            (
                |config| config.eip155_block = None,
                Some("eip155Block (missing) and eip158Block (0)"),
            ),
            (|config| config.bogota_time = Some(9), Some("bogotaTime is set")),
            // Never merges.
            (
                |config| {
                    *config = ChainConfig {
                        terminal_total_difficulty: Some(U256::MAX),
                        ..ChainConfig::default()
                    }
                },
                None,
            ),
        ];
        let genesis = Header { difficulty: U256::from(1), ..Header::default() };
        for (index, (change, expected)) in cases.into_iter().enumerate() {
            let mut config = all_from_genesis();
            change(&mut config);
            let found = ChainSpec::of_genesis(&config, &genesis).err();
            let found = found.map(|error| error.to_string());
            let fits = match (&found, expected) {
                (None, None) => true,
                (Some(found), Some(expected)) => found.starts_with(expected),
                _ => false,
            };
            assert!(fits, "case {index}: {found:?}");
        }
    }
}
