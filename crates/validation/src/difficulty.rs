//! Difficulty of blocks with proof of work.

use alloy_consensus::EMPTY_OMMER_ROOT_HASH;
use fugue_chainspec::{Fork, Rules};
use fugue_types::{Header, U256};

/// Lowest difficulty. Source: Yellow Paper, D₀.
const MIN: u64 = 131_072;
/// One step is the parent's difficulty over this. Source: Yellow Paper.
const STEP_DIVISOR: u64 = 2_048;
/// Seconds from which on a block lowers the difficulty, before Homestead. Source: Yellow Paper.
const FRONTIER_SECONDS: u64 = 13;
/// Seconds to a step down, in Homestead. Source: EIP-2.
const HOMESTEAD_SECONDS: u64 = 10;
/// Seconds to a step down, from Byzantium on. Source: EIP-100.
const BYZANTIUM_SECONDS: u64 = 9;
/// Steps down that one block may take, from Homestead on. Source: EIP-2.
const STEPS_DOWN_MAX: u64 = 99;
/// The bomb's share doubles once in so many blocks. Source: Yellow Paper.
const BOMB_PERIOD: u64 = 100_000;
/// Blocks by which a fork makes the bomb late, the newest first. Source: EIP-5133, EIP-4345,
/// EIP-3554, EIP-2384, EIP-1234, EIP-649.
const BOMB_DELAYS: [(Fork, u64); 6] = [
    (Fork::GrayGlacier, 11_400_000),
    (Fork::ArrowGlacier, 10_700_000),
    (Fork::London, 9_700_000),
    (Fork::MuirGlacier, 9_000_000),
    (Fork::Constantinople, 5_000_000),
    (Fork::Byzantium, 3_000_000),
];

/// Difficulty that a child of `parent` with this timestamp must have.
///
/// `rules` are the child's, from before the merge.
///
/// Source: Yellow Paper, "Block Header Validity"; EIP-2, EIP-100, and those that delay the bomb.
pub fn child_difficulty(rules: &Rules, timestamp: u64, parent: &Header) -> U256 {
    let seconds = timestamp.saturating_sub(parent.timestamp);
    let (up, down) = if rules.has(Fork::Byzantium) {
        // Source: EIP-100: a parent with ommers counts one more.
        let up = if parent.ommers_hash == EMPTY_OMMER_ROOT_HASH { 1 } else { 2 };
        (up, seconds / BYZANTIUM_SECONDS)
    } else if rules.has(Fork::Homestead) {
        (1, seconds / HOMESTEAD_SECONDS)
    } else if seconds < FRONTIER_SECONDS {
        (1, 0)
    } else {
        (0, 1)
    };
    let step = parent.difficulty / U256::from(STEP_DIVISOR);
    let steps = |count: u64| step.saturating_mul(U256::from(count));
    let moved = if up >= down {
        parent.difficulty.saturating_add(steps(up - down))
    } else {
        parent.difficulty.saturating_sub(steps((down - up).min(STEPS_DOWN_MAX)))
    };
    moved.saturating_add(bomb(rules, parent)).max(U256::from(MIN))
}

/// The bomb's share in the difficulty of the child of `parent`.
fn bomb(rules: &Rules, parent: &Header) -> U256 {
    let delay = BOMB_DELAYS.into_iter().find(|(fork, _)| rules.has(*fork));
    let delay = delay.map_or(0, |(_, blocks)| blocks);
    // Source: EIP-649: the bomb counts from `max(0, number - delay)`.
    let number = parent.number.saturating_add(1).saturating_sub(delay);
    match (number / BOMB_PERIOD).checked_sub(2) {
        Some(exponent) => U256::from(2).saturating_pow(U256::from(exponent)),
        None => U256::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fugue_chainspec::ChainSpec;
    use fugue_types::B256;

    fn parent(number: u64, timestamp: u64, difficulty: u128, has_ommers: bool) -> Header {
        let ommers_hash =
            if has_ommers { B256::repeat_byte(1) } else { Header::default().ommers_hash };
        let difficulty = U256::from(difficulty);
        Header { number, timestamp, difficulty, ommers_hash, ..Header::default() }
    }

    #[test]
    fn blocks_of_mainnet_have_the_difficulty_that_their_parents_ask() {
        // Number, timestamp and difficulty; the parent's timestamp and difficulty, and whether it
        // has ommers.
        let blocks = [
            (1, 1_438_269_988, 17_171_480_576_u128, 0, 17_179_869_184, false),
            (4_001, 1_438_281_718, 116_832_573_778, 1_438_281_707, 116_775_554_465, false),
            (4_017, 1_438_281_786, 117_633_745_664, 1_438_281_773, 117_691_212_076, false),
            (
                1_150_000,
                1_457_981_393,
                20_473_100_089_179,
                1_457_981_342,
                20_513_164_863_791,
                false,
            ),
            (
                1_920_000,
                1_469_020_840,
                62_413_376_722_602,
                1_469_020_838,
                62_382_916_183_238,
                false,
            ),
            (
                4_370_000,
                1_508_131_331,
                2_994_347_070_619_309,
                1_508_131_303,
                2_997_274_096_101_735,
                false,
            ),
            (
                7_280_000,
                1_551_383_524,
                2_957_101_900_364_072,
                1_551_383_501,
                2_958_546_502_099_724,
                false,
            ),
            (
                12_244_000,
                1_618_481_223,
                6_696_239_334_037_736,
                1_618_481_214,
                6_696_238_260_295_912,
                false,
            ),
            (
                12_965_000,
                1_628_166_822,
                7_742_494_561_645_080,
                1_628_166_812,
                7_742_493_487_903_256,
                false,
            ),
            (
                15_050_000,
                1_656_586_444,
                14_303_523_301_469_775,
                1_656_586_434,
                14_296_525_396_309_425,
                true,
            ),
        ];
        let chain = ChainSpec::mainnet();
        for (number, timestamp, difficulty, parent_timestamp, parent_difficulty, has_ommers) in
            blocks
        {
            let difficulty = U256::from(difficulty);
            let header = Header { number, timestamp, difficulty, ..Header::default() };
            let parent = parent(number - 1, parent_timestamp, parent_difficulty, has_ommers);
            let found = child_difficulty(&chain.rules(&header), timestamp, &parent);
            assert_eq!(found, difficulty, "block {number}");
        }
    }

    /// Some of the official difficulty tests.
    #[test]
    fn every_era_has_its_steps_and_its_bomb() {
        // Number of the child, seconds between the two, difficulty of the parent, whether it has
        // ommers, difficulty of the child.
        let cases = [
            (
                Fork::Frontier,
                (2_200_000, 6, 11_123_659_034_178_163, false, 11_129_090_509_364_521_u128),
            ),
            (Fork::Byzantium, (200_000, 12, 99_191_501_402_103, true, 99_239_934_752_396)),
            (
                Fork::Byzantium,
                (3_700_000, 8, 956_709_329_752_079_295, false, 957_176_472_979_497_334),
            ),
            (
                Fork::Constantinople,
                (4_700_000, 36, 8_144_146_747_686_963_068, false, 8_132_216_845_224_530_996),
            ),
            (
                Fork::Berlin,
                (15_240_676, 41, 8_104_464_185_763_060_400, true, 9_249_471_174_563_498_138),
            ),
            (
                Fork::Berlin,
                (
                    19_220_222,
                    60,
                    667_744_806_551_763_550,
                    true,
                    1_267_650_600_228_895_842_114_179_672_514,
                ),
            ),
            (
                Fork::ArrowGlacier,
                (13_773_000, 37, 3_010_425_244_740_754_840, false, 3_006_015_442_404_589_583),
            ),
            (
                Fork::ArrowGlacier,
                (15_000_000, 656, 9_634_114_544_281_170, true, 9_307_022_543_074_042),
            ),
            (
                Fork::ArrowGlacier,
                (15_000_000, 909, 9_634_114_544_281_170, false, 9_170_601_975_796_646),
            ),
            (
                Fork::GrayGlacier,
                (14_700_000, 1, 9_634_114_544_281_170, false, 9_638_820_849_257_142),
            ),
        ];
        for (fork, (number, seconds, difficulty, has_ommers, expected)) in cases {
            let parent = parent(number - 1, 1_000, difficulty, has_ommers);
            let header = Header { number, difficulty: U256::from(1), ..Header::default() };
            let rules = ChainSpec::at_fork(1, fork).rules(&header);
            let found = child_difficulty(&rules, 1_000 + seconds, &parent);
            assert_eq!(found, U256::from(expected), "{fork}, block {number}");
        }
    }

    #[test]
    fn a_block_lowers_the_difficulty_by_99_steps_and_not_below_the_least() {
        let rules =
            |fork| ChainSpec::at_fork(1, fork).rules(&Header { number: 1, ..Header::default() });
        let homestead = rules(Fork::Homestead);
        let high = parent(1, 0, 2_048_000_000, false);
        let fall = U256::from(99 * 1_000_000);
        assert_eq!(child_difficulty(&homestead, 1_000, &high), high.difficulty - fall);
        assert_eq!(child_difficulty(&homestead, 1_000_000, &high), high.difficulty - fall);
        assert_eq!(
            child_difficulty(&rules(Fork::Frontier), 1_000_000, &high),
            high.difficulty - U256::from(1_000_000)
        );
        let low = parent(1, 0, 131_072, false);
        assert_eq!(child_difficulty(&homestead, 1_000_000, &low), U256::from(131_072));
    }

    #[test]
    fn no_number_leaves_the_range() {
        let rules = ChainSpec::at_fork(1, Fork::Frontier).rules(&Header::default());
        let last = Header {
            number: u64::MAX,
            timestamp: u64::MAX,
            difficulty: U256::MAX,
            ..Header::default()
        };
        assert_eq!(child_difficulty(&rules, u64::MAX, &last), U256::MAX);
    }
}
