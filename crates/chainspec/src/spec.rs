//! A chain: its id, its forks, and its blob schedule.

use crate::{BlobParams, Fork, Rules};
use alloy_eips::eip6110::MAINNET_DEPOSIT_CONTRACT_ADDRESS;
use alloy_hardforks::{EthereumHardfork, ForkCondition};
use fugue_types::{Address, Header, U256, address};

/// Deposit contract of Sepolia. Source: its genesis configuration.
const SEPOLIA_DEPOSIT_CONTRACT: Address = address!("0x7f02c3e3c98b133055b8b348b2ac625669ed295d");
/// Deposit contract of Holesky. Source: its genesis configuration.
const HOLESKY_DEPOSIT_CONTRACT: Address = address!("0x4242424242424242424242424242424242424242");
/// Blocks from the DAO fork on whose `extraData` tells which side they are on. Source: EIP-779.
pub(crate) const DAO_EXTRA_DATA_BLOCKS: u64 = 10;

/// The rules of a chain over time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainSpec {
    pub(crate) name: String,
    pub(crate) chain_id: u64,
    /// In the order of the forks.
    pub(crate) forks: Vec<(Fork, ForkCondition)>,
    /// Blob parameters that a fork brings, in the order of the forks.
    pub(crate) blobs: Vec<(Fork, BlobParams)>,
    pub(crate) dao_support: bool,
    pub(crate) deposit_contract: Option<Address>,
    pub(crate) has_builder_requests: bool,
    pub(crate) is_dev: bool,
}

impl ChainSpec {
    fn known(
        name: &str,
        chain_id: u64,
        forks: impl IntoIterator<Item = (Fork, ForkCondition)>,
        deposit_contract: Address,
    ) -> Self {
        // The DAO fork belongs to mainnet; elsewhere its block says nothing.
        let mut forks: Vec<_> =
            forks.into_iter().filter(|(fork, _)| *fork != Fork::Dao || chain_id == 1).collect();
        forks.sort_unstable_by_key(|(fork, _)| *fork);
        Self {
            name: name.to_owned(),
            chain_id,
            forks,
            blobs: default_blob_schedule(),
            dao_support: chain_id == 1,
            deposit_contract: Some(deposit_contract),
            has_builder_requests: true,
            is_dev: false,
        }
    }

    /// Ethereum mainnet.
    pub fn mainnet() -> Self {
        Self::known("mainnet", 1, EthereumHardfork::mainnet(), MAINNET_DEPOSIT_CONTRACT_ADDRESS)
    }

    /// The public chain with this id, if Fugue knows it.
    pub fn by_chain_id(chain_id: u64) -> Option<Self> {
        match chain_id {
            1 => Some(Self::mainnet()),
            11_155_111 => Some(Self::known(
                "sepolia",
                chain_id,
                EthereumHardfork::sepolia(),
                SEPOLIA_DEPOSIT_CONTRACT,
            )),
            17_000 => Some(Self::known(
                "holesky",
                chain_id,
                EthereumHardfork::holesky(),
                HOLESKY_DEPOSIT_CONTRACT,
            )),
            560_048 => Some(Self::known(
                "hoodi",
                chain_id,
                EthereumHardfork::hoodi(),
                MAINNET_DEPOSIT_CONTRACT_ADDRESS,
            )),
            _ => None,
        }
    }

    /// A chain on which `fork` and all forks before it are active from genesis on: fixtures and
    /// generated blocks.
    pub fn at_fork(chain_id: u64, fork: Fork) -> Self {
        let forks = EthereumHardfork::VARIANTS
            .iter()
            .copied()
            .filter(|known| *known <= fork && *known != Fork::Dao)
            .map(|known| (known, ForkCondition::Block(0)))
            .collect();
        Self {
            name: format!("{fork} from genesis"),
            chain_id,
            forks,
            blobs: default_blob_schedule(),
            dao_support: false,
            deposit_contract: Some(MAINNET_DEPOSIT_CONTRACT_ADDRESS),
            has_builder_requests: true,
            is_dev: false,
        }
    }

    /// As Amsterdam was drafted before EIP-8282: for official fixtures of that time.
    pub const fn without_builder_requests(mut self) -> Self {
        self.has_builder_requests = false;
        self
    }

    /// As a chain for development: see [`Rules::is_dev`]. No configuration asks for it.
    pub const fn for_dev(mut self) -> Self {
        self.is_dev = true;
        self
    }

    /// Whether it is a chain for development.
    pub const fn is_dev(&self) -> bool {
        self.is_dev
    }

    /// Replaces the blob parameters that `fork` brings.
    pub fn with_blob_params(mut self, fork: Fork, params: BlobParams) -> Self {
        self.blobs.retain(|(known, _)| *known != fork);
        self.blobs.push((fork, params));
        self.blobs.sort_unstable_by_key(|(known, _)| *known);
        self
    }

    /// Name for people.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// EIP-155 chain id.
    pub const fn chain_id(&self) -> u64 {
        self.chain_id
    }

    /// Total difficulty that ends proof of work: the first block to reach it is the last one with
    /// difficulty. Zero where even the first block after genesis has none, `None` where proof of
    /// work never ends. Source: EIP-3675, `TERMINAL_TOTAL_DIFFICULTY`.
    pub fn terminal_total_difficulty(&self) -> Option<U256> {
        let (_, merge) = self.forks.iter().find(|(fork, _)| *fork == Fork::Paris)?;
        match merge {
            ForkCondition::TTD { total_difficulty, .. } => Some(*total_difficulty),
            ForkCondition::Block(0) => Some(U256::ZERO),
            ForkCondition::Block(_) | ForkCondition::Timestamp(_) | ForkCondition::Never => None,
        }
    }

    /// The rules of a block after the merge.
    pub fn rules_at(&self, number: u64, timestamp: u64) -> Rules {
        self.rules(&Header { number, timestamp, ..Header::default() })
    }

    /// The rules of the block with this header.
    pub fn rules(&self, header: &Header) -> Rules {
        let is_active = |condition: &ForkCondition| match condition {
            ForkCondition::Block(number) => header.number >= *number,
            ForkCondition::Timestamp(time) => header.timestamp >= *time,
            // The public chains know the block; elsewhere a block without difficulty tells, as
            // only proof of work has any.
            ForkCondition::TTD { activation_block_number, .. } => {
                header.number >= *activation_block_number
                    || (header.number > 0 && header.difficulty.is_zero())
            }
            ForkCondition::Never => false,
        };
        let active = |fork: Fork| {
            self.forks.iter().any(|(known, condition)| *known == fork && is_active(condition))
        };
        let fork = self
            .forks
            .iter()
            .filter(|(_, condition)| is_active(condition))
            .map(|(fork, _)| *fork)
            .max()
            .unwrap_or(Fork::Frontier);
        let blob_params = (fork >= Fork::Cancun)
            .then(|| self.blobs.iter().rev().find(|(known, _)| active(*known)))
            .flatten()
            .map(|(_, params)| *params);
        let dao_fork = self.forks.iter().find_map(|(known, condition)| match condition {
            ForkCondition::Block(number) if *known == Fork::Dao => Some(*number),
            _ => None,
        });
        let moves_dao_balances = self.dao_support && dao_fork == Some(header.number);
        let dao_age = dao_fork.and_then(|first| header.number.checked_sub(first));
        // A rule of proof of work.
        let has_dao_data = |age: &u64| *age < DAO_EXTRA_DATA_BLOCKS && fork < Fork::Paris;
        let dao_extra_data = dao_age.filter(has_dao_data).map(|_| self.dao_support);
        Rules {
            chain_id: self.chain_id,
            fork,
            blob_params,
            moves_dao_balances,
            dao_extra_data,
            deposit_contract: self.deposit_contract,
            has_builder_requests: self.has_builder_requests && fork >= Fork::Amsterdam,
            is_dev: self.is_dev,
        }
    }
}

/// The mainnet schedule, shared by the public test networks. Source: EIP-7840, EIP-7892, EIP-7918.
pub(crate) fn default_blob_schedule() -> Vec<(Fork, BlobParams)> {
    vec![
        (Fork::Cancun, BlobParams::cancun()),
        (Fork::Prague, BlobParams::prague()),
        (Fork::Osaka, BlobParams::osaka()),
        (Fork::Bpo1, BlobParams::bpo1()),
        (Fork::Bpo2, BlobParams::bpo2()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(number: u64, timestamp: u64, difficulty: u64) -> Header {
        Header { number, timestamp, difficulty: U256::from(difficulty), ..Header::default() }
    }

    #[test]
    fn mainnet_resolves_each_fork_at_its_first_block() {
        let chain = ChainSpec::mainnet();
        let cases = [
            (46_147, 1_438_918_233, 1, Fork::Frontier),
            (1_150_000, 1_457_981_393, 1, Fork::Homestead),
            (1_920_000, 1_469_020_840, 1, Fork::Dao),
            (2_463_000, 1_476_796_771, 1, Fork::Tangerine),
            (2_675_000, 1_479_831_344, 1, Fork::SpuriousDragon),
            (4_370_000, 1_508_131_331, 1, Fork::Byzantium),
            (7_280_000, 1_551_383_524, 1, Fork::Petersburg),
            (15_537_393, 1_663_224_162, 1, Fork::GrayGlacier),
            (15_537_394, 1_663_224_179, 0, Fork::Paris),
            (17_034_870, 1_681_338_455, 0, Fork::Shanghai),
            (19_426_587, 1_710_338_135, 0, Fork::Cancun),
            (24_476_005, 1_771_200_000, 0, Fork::Bpo2),
        ];
        for (number, timestamp, difficulty, fork) in cases {
            assert_eq!(chain.rules(&header(number, timestamp, difficulty)).fork, fork, "{number}");
        }
    }

    #[test]
    fn proof_of_work_ends_at_the_total_difficulty_of_the_chain() {
        let end = |chain_id| {
            ChainSpec::by_chain_id(chain_id).and_then(|chain| chain.terminal_total_difficulty())
        };
        assert_eq!(end(1), Some(U256::from(58_750_000_000_000_000_000_000_u128)));
        assert_eq!(end(11_155_111), Some(U256::from(17_000_000_000_000_000_u64)));
        assert_eq!(end(17_000), Some(U256::ZERO));
        assert_eq!(end(560_048), Some(U256::ZERO));
        let at = |fork| ChainSpec::at_fork(1, fork).terminal_total_difficulty();
        assert_eq!(at(Fork::Paris), Some(U256::ZERO));
        assert_eq!(at(Fork::London), None);
    }

    #[test]
    fn dao_balances_move_in_one_block_of_mainnet_only() {
        let chain = ChainSpec::mainnet();
        assert!(chain.rules(&header(1_920_000, 0, 1)).moves_dao_balances);
        assert!(!chain.rules(&header(1_920_001, 0, 1)).moves_dao_balances);
        assert!(!ChainSpec::at_fork(1, Fork::Tangerine).rules(&header(0, 0, 1)).moves_dao_balances);
    }

    #[test]
    fn ten_blocks_from_the_dao_fork_on_tell_their_side() {
        let mut chain = ChainSpec::mainnet();
        let asked = |chain: &ChainSpec| {
            [1_919_999, 1_920_000, 1_920_009, 1_920_010]
                .map(|number| chain.rules(&header(number, 0, 1)).dao_extra_data)
        };
        assert_eq!(asked(&chain), [None, Some(true), Some(true), None]);
        chain.dao_support = false;
        assert_eq!(asked(&chain), [None, Some(false), Some(false), None]);
        assert_eq!(asked(&ChainSpec::at_fork(1, Fork::Tangerine)), [None; 4]);
        // Without proof of work there is nothing to tell it by.
        let mut chain = ChainSpec::at_fork(1, Fork::Paris);
        chain.forks.push((Fork::Dao, ForkCondition::Block(1_920_000)));
        assert_eq!(asked(&chain), [None; 4]);
    }

    #[test]
    fn blob_limits_follow_the_newest_active_schedule() {
        let max = |fork| {
            let rules = ChainSpec::at_fork(1, fork).rules(&header(1, 1, 0));
            rules.blob_params.map(|params| params.max_blob_count)
        };
        assert_eq!(max(Fork::Shanghai), None);
        assert_eq!(max(Fork::Cancun), Some(6));
        assert_eq!(max(Fork::Osaka), Some(9));
        assert_eq!(max(Fork::Bpo2), Some(21));
        assert_eq!(max(Fork::Amsterdam), Some(21));
    }

    #[test]
    fn no_chain_is_for_development_unless_it_is_said() {
        for chain in [ChainSpec::mainnet(), ChainSpec::at_fork(1_337, Fork::Osaka)] {
            assert!(!chain.is_dev() && !chain.rules_at(1, 1).is_dev);
            assert!(chain.for_dev().rules_at(1, 1).is_dev);
        }
    }

    #[test]
    fn rewards_fall_with_the_forks() {
        let reward = |fork| ChainSpec::at_fork(1, fork).rules(&header(1, 1, 0)).block_reward();
        assert_eq!(reward(Fork::Homestead), Some(5 * 10u128.pow(18)));
        assert_eq!(reward(Fork::Byzantium), Some(3 * 10u128.pow(18)));
        assert_eq!(reward(Fork::Petersburg), Some(2 * 10u128.pow(18)));
        assert_eq!(reward(Fork::Paris), None);
    }
}
