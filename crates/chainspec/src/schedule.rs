//! What a chain tells others of its forks: when they switch, the hash by which its rules are known,
//! and its configuration in geth's form.

use crate::{ChainConfig, ChainSpec, Fork};
use alloy_eips::eip2124::ForkHash;
use alloy_hardforks::ForkCondition;
use fugue_types::{B256, U256};
use std::collections::BTreeSet;

/// Forks by time around a moment; of several at one time, that time once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// When the newest fork came that holds at that moment, in seconds; 0 if it holds from the
    /// genesis on.
    pub current: u64,
    /// When the first one comes that does not hold yet.
    pub next: Option<u64>,
    /// When the last one comes; as `next` if there is one alone.
    pub last: Option<u64>,
}

impl ChainSpec {
    /// Forks by time around `time`, on a chain that begins at `genesis_time`.
    pub fn schedule_at(&self, genesis_time: u64, time: u64) -> Schedule {
        let times = self.fork_times();
        let current = times.iter().copied().filter(|at| *at <= time).max();
        let next = times.iter().copied().find(|at| *at > time);
        let current = current.filter(|at| *at > genesis_time).unwrap_or_default();
        Schedule { current, next, last: next.and(times.last().copied()) }
    }

    /// Hash of the genesis and of all forks that switch by block, or by time up to and with `time`.
    ///
    /// Source: EIP-2124, EIP-6122, `FORK_HASH`.
    pub fn fork_hash(&self, genesis: B256, genesis_time: u64, time: u64) -> [u8; 4] {
        let blocks = self.forks.iter().filter_map(|(_, at)| match at {
            ForkCondition::Block(number) => Some(*number),
            // The block of the merge counts only where the configuration names it.
            ForkCondition::TTD { fork_block, .. } => *fork_block,
            ForkCondition::Timestamp(_) | ForkCondition::Never => None,
        });
        // What holds at genesis is in its hash.
        let blocks: BTreeSet<u64> = blocks.filter(|number| *number > 0).collect();
        let times = self.fork_times().into_iter().filter(|at| *at > genesis_time && *at <= time);
        let mut hash = ForkHash::from(genesis);
        for at in blocks.into_iter().chain(times) {
            hash += at;
        }
        hash.0
    }

    /// Times at which forks switch, each once, rising.
    fn fork_times(&self) -> Vec<u64> {
        let times = self.forks.iter().filter_map(|(_, at)| match at {
            ForkCondition::Timestamp(time) => Some(*time),
            _ => None,
        });
        let times: BTreeSet<u64> = times.collect();
        times.into_iter().collect()
    }

    /// The rules that this program has for the chain, as a genesis file would give them.
    pub fn config(&self) -> ChainConfig {
        let mut config = ChainConfig {
            chain_id: self.chain_id,
            dao_fork_support: self.dao_support,
            deposit_contract_address: self.deposit_contract,
            ..ChainConfig::default()
        };
        for (fork, at) in &self.forks {
            set(&mut config, *fork, *at);
            let params = self.blobs.iter().find(|(known, _)| known == fork);
            if let Some((_, params)) = params {
                config.blob_schedule.insert(fork.to_string().to_ascii_lowercase(), *params);
            }
        }
        config
    }
}

/// Writes when a fork switches into the field that schedules it.
fn set(config: &mut ChainConfig, fork: Fork, at: ForkCondition) {
    let at = match at {
        ForkCondition::Block(at) | ForkCondition::Timestamp(at) => at,
        ForkCondition::TTD { fork_block, total_difficulty, .. } => {
            config.merge_netsplit_block = fork_block;
            config.terminal_total_difficulty = Some(total_difficulty);
            return;
        }
        ForkCondition::Never => return,
    };
    let field = match fork {
        Fork::Homestead => &mut config.homestead_block,
        Fork::Dao => &mut config.dao_fork_block,
        Fork::Tangerine => &mut config.eip150_block,
        Fork::SpuriousDragon => {
            config.eip155_block = Some(at);
            &mut config.eip158_block
        }
        Fork::Byzantium => &mut config.byzantium_block,
        Fork::Constantinople => &mut config.constantinople_block,
        Fork::Petersburg => &mut config.petersburg_block,
        Fork::Istanbul => &mut config.istanbul_block,
        Fork::MuirGlacier => &mut config.muir_glacier_block,
        Fork::Berlin => &mut config.berlin_block,
        Fork::London => &mut config.london_block,
        Fork::ArrowGlacier => &mut config.arrow_glacier_block,
        Fork::GrayGlacier => &mut config.gray_glacier_block,
        // A chain without proof of work from its genesis on.
        Fork::Paris => {
            config.terminal_total_difficulty = Some(U256::ZERO);
            return;
        }
        Fork::Shanghai => &mut config.shanghai_time,
        Fork::Cancun => &mut config.cancun_time,
        Fork::Prague => &mut config.prague_time,
        Fork::Osaka => &mut config.osaka_time,
        Fork::Bpo1 => &mut config.bpo1_time,
        Fork::Bpo2 => &mut config.bpo2_time,
        Fork::Bpo3 => &mut config.bpo3_time,
        Fork::Bpo4 => &mut config.bpo4_time,
        Fork::Bpo5 => &mut config.bpo5_time,
        Fork::Amsterdam => &mut config.amsterdam_time,
        // The first fork has no field.
        _ => return,
    };
    *field = Some(at);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BlobParams;
    use fugue_types::b256;

    /// Genesis of mainnet and of Sepolia, and when they are.
    const MAINNET: B256 =
        b256!("0xd4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3");
    const SEPOLIA: B256 =
        b256!("0x25a5cc106eea7138acab33231d7160d69cb777ee0c2c553fcddf5138993e6dd9");
    const SEPOLIA_TIME: u64 = 1_633_267_481;

    fn custom() -> ChainConfig {
        let mut config = ChainConfig {
            chain_id: 7,
            homestead_block: Some(0),
            eip150_block: Some(3),
            eip155_block: Some(6),
            eip158_block: Some(6),
            byzantium_block: Some(6),
            constantinople_block: Some(9),
            petersburg_block: Some(9),
            istanbul_block: Some(9),
            berlin_block: Some(9),
            london_block: Some(9),
            merge_netsplit_block: Some(12),
            terminal_total_difficulty: Some(U256::from(5)),
            shanghai_time: Some(100),
            cancun_time: Some(200),
            prague_time: Some(200),
            osaka_time: Some(300),
            ..ChainConfig::default()
        };
        for (name, params) in [
            ("cancun", BlobParams::cancun()),
            ("prague", BlobParams { max_blob_count: 8, ..BlobParams::prague() }),
            ("osaka", BlobParams::osaka()),
        ] {
            config.blob_schedule.insert(name.to_owned(), params);
        }
        config
    }

    #[test]
    fn fork_hashes_are_those_of_the_public_chains() {
        let mainnet = ChainSpec::mainnet();
        // Source: EIP-6122, and the tests of go-ethereum, for Gray Glacier, Shanghai and Cancun.
        for (time, hash) in [
            (1_681_338_454, 0xf0af_d0e3_u32),
            (1_681_338_455, 0xdce9_6c2d),
            (1_710_338_135, 0x9f3d_2254),
        ] {
            assert_eq!(mainnet.fork_hash(MAINNET, 0, time), hash.to_be_bytes(), "{time}");
        }
        let sepolia = ChainSpec::by_chain_id(11_155_111).expect("a public chain");
        for (time, hash) in [(SEPOLIA_TIME, 0xb96c_bd13_u32), (1_677_557_088, 0xf7f9_bc08)] {
            let found = sepolia.fork_hash(SEPOLIA, SEPOLIA_TIME, time);
            assert_eq!(found, hash.to_be_bytes(), "{time}");
        }
    }

    #[test]
    fn forks_that_hold_at_genesis_are_in_no_hash_but_its_own() {
        let genesis = B256::repeat_byte(3);
        let chain = ChainSpec::try_from(&custom()).expect("a good configuration");
        let all = chain.fork_hash(genesis, 0, u64::MAX);
        assert_ne!(chain.fork_hash(genesis, 100, u64::MAX), all);
        let from_genesis = ChainSpec::at_fork(7, Fork::Osaka);
        let alone = ForkHash::from(genesis).0;
        assert_eq!(from_genesis.fork_hash(genesis, 0, u64::MAX), alone);
    }

    #[test]
    fn a_schedule_has_each_time_once() {
        let chain = ChainSpec::try_from(&custom()).expect("a good configuration");
        for (time, current, next, last) in [
            (0, 0, Some(100), Some(300)),
            (99, 0, Some(100), Some(300)),
            (100, 100, Some(200), Some(300)),
            (250, 200, Some(300), Some(300)),
            (300, 300, None, None),
        ] {
            let expected = Schedule { current, next, last };
            assert_eq!(chain.schedule_at(0, time), expected, "{time}");
        }
        // What came before the genesis, or with it, holds from the genesis on.
        assert_eq!(chain.schedule_at(200, 250).current, 0);
        let none = Schedule { current: 0, next: None, last: None };
        assert_eq!(ChainSpec::at_fork(7, Fork::Osaka).schedule_at(0, 9), none);
    }

    #[test]
    fn a_configuration_comes_back_as_it_was() {
        let chain = ChainSpec::try_from(&custom()).expect("a good configuration");
        assert_eq!(chain.config(), custom());
        let mainnet = ChainSpec::mainnet().config();
        let (dao, support) = (mainnet.dao_fork_block, mainnet.dao_fork_support);
        assert_eq!((dao, support), (Some(1_920_000), true));
        assert_eq!(mainnet.shanghai_time, Some(1_681_338_455));
        assert!(mainnet.terminal_total_difficulty.is_some());
        assert!(mainnet.deposit_contract_address.is_some());
    }
}
