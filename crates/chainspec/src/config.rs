//! A chain from a genesis file's `config` (geth's format).

use crate::{BlobParams, ChainConfig, ChainSpec, Fork, spec::default_blob_schedule};
use alloy_hardforks::ForkCondition;
use fugue_types::U256;

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
            blobs.push((fork, for_fork(*params, fork)));
        }
        blobs.sort_unstable_by_key(|(fork, _)| *fork);
        Ok(Self {
            name: format!("chain {}", config.chain_id),
            chain_id: config.chain_id,
            forks,
            blobs,
            dao_support: config.dao_fork_support,
            deposit_contract: config.deposit_contract_address,
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
    use fugue_types::Header;

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
}
