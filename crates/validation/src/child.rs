//! A header as the child of its parent.

use crate::{
    Mismatch, Rule, child_difficulty, expect,
    header::{GAS_LIMIT_MIN, check_fields, check_gas_limit},
};
use alloy_eips::eip1559::{
    BaseFeeParams, DEFAULT_ELASTICITY_MULTIPLIER, GAS_LIMIT_BOUND_DIVISOR, INITIAL_BASE_FEE,
    calc_next_block_base_fee,
};
use fugue_chainspec::{BlobParams, Fork, Rules};
use fugue_types::Header;

/// Judges a header by itself and by its parent's. `rules` and `parent_rules` are those of the two
/// blocks. The seal of proof of work is trusted; whether there must be proof of work is for
/// [`check_merge`](crate::check_merge).
///
/// # Errors
/// The first [`Mismatch`].
///
/// On a chain for development, base fee and gas limit are free, and timestamps may be equal.
///
/// Source: Yellow Paper, "Block Header Validity"; EIP-779, EIP-1559, EIP-3675, EIP-4844, EIP-7918.
pub fn check_child(
    header: &Header,
    rules: &Rules,
    parent: &Header,
    parent_rules: &Rules,
) -> Result<(), Mismatch> {
    expect(Rule::ParentHash, parent.hash_slow(), header.parent_hash)?;
    expect(Rule::Number, parent.number.saturating_add(1), header.number)?;
    let is_equal = header.timestamp == parent.timestamp;
    if header.timestamp < parent.timestamp || (is_equal && !rules.is_dev) {
        let bound = format!("above {}", parent.timestamp);
        return Err(Mismatch::new(Rule::Timestamp, bound, header.timestamp));
    }
    // The gas limit comes first because the official tests blame it, whatever else is wrong.
    check_gas_limit(header)?;
    if !rules.is_dev {
        gas_limit_step(header, rules, parent, parent_rules)?;
    }
    check_fields(header, rules)?;
    if rules.has(Fork::London)
        && !rules.is_dev
        && let Some(found) = header.base_fee_per_gas
    {
        expect(Rule::BaseFee, child_base_fee(parent, parent_rules), found)?;
    }
    if let (Some(params), Some(found)) = (rules.blob_params, header.excess_blob_gas) {
        expect(Rule::ExcessBlobGas, child_excess_blob_gas(&params, parent), found)?;
    }
    difficulty(header, rules, parent, parent_rules)
}

/// Base fee of the child of `parent`, in wei; the child is London or later.
///
/// Source: EIP-1559, "Specification".
pub fn child_base_fee(parent: &Header, parent_rules: &Rules) -> u64 {
    match parent.base_fee_per_gas {
        Some(base_fee) if parent_rules.has(Fork::London) => calc_next_block_base_fee(
            parent.gas_used,
            parent.gas_limit,
            base_fee,
            BaseFeeParams::ethereum(),
        ),
        _ => INITIAL_BASE_FEE,
    }
}

/// Blob gas in excess of the child of `parent`; `params` are the child's, which is Cancun or later.
///
/// Source: EIP-4844, EIP-7918.
pub fn child_excess_blob_gas(params: &BlobParams, parent: &Header) -> u64 {
    // The parent's base fee decides whether the reserve price holds; a parent before Cancun has
    // used no blobs.
    params.next_block_excess_blob_gas_osaka(
        parent.excess_blob_gas.unwrap_or_default(),
        parent.blob_gas_used.unwrap_or_default(),
        parent.base_fee_per_gas.unwrap_or_default(),
    )
}

/// The gas limit of a child that goes as far towards `target` as one block may; both blocks are
/// London or later.
///
/// Source: EIP-1559, "Specification".
pub fn child_gas_limit(parent: &Header, target: u64) -> u64 {
    let before = parent.gas_limit;
    let step = (before / GAS_LIMIT_BOUND_DIVISOR).saturating_sub(1);
    target.clamp(before.saturating_sub(step), before.saturating_add(step)).max(GAS_LIMIT_MIN)
}

fn gas_limit_step(
    header: &Header,
    rules: &Rules,
    parent: &Header,
    parent_rules: &Rules,
) -> Result<(), Mismatch> {
    // Source: EIP-1559, "Specification": the limit doubles at the fork itself.
    let is_london_block = rules.has(Fork::London) && !parent_rules.has(Fork::London);
    let scale = if is_london_block { DEFAULT_ELASTICITY_MULTIPLIER } else { 1 };
    let before = parent.gas_limit.saturating_mul(scale);
    let step = before / GAS_LIMIT_BOUND_DIVISOR;
    if header.gas_limit.abs_diff(before) >= step {
        let bound = format!("less than {step} away from {before}");
        return Err(Mismatch::new(Rule::GasLimitStep, bound, header.gas_limit));
    }
    Ok(())
}

/// A block with proof of work has the difficulty that its parent asks. That it has none after the
/// merge is among the rules of the header itself.
fn difficulty(
    header: &Header,
    rules: &Rules,
    parent: &Header,
    parent_rules: &Rules,
) -> Result<(), Mismatch> {
    if rules.has(Fork::Paris) {
        return Ok(());
    }
    if parent_rules.has(Fork::Paris) {
        return Err(Mismatch::new(Rule::ProofOfStake, 0, header.difficulty));
    }
    let expected = child_difficulty(rules, header.timestamp, parent);
    expect(Rule::Difficulty, expected, header.difficulty)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{self, Change, FORKS};
    use fugue_chainspec::{ChainConfig, ChainSpec};
    use fugue_types::{B256, U256};

    /// Gas of one blob.
    const BLOB: u64 = 131_072;

    fn check(fork: Fork, header: &Header, parent: &Header) -> Option<Rule> {
        let (rules, parent_rules) = (samples::rules(fork, header), samples::rules(fork, parent));
        check_child(header, &rules, parent, &parent_rules).err().map(|mismatch| mismatch.rule)
    }

    fn broken(fork: Fork, change: Change) -> Option<Rule> {
        let parent = samples::header(fork);
        let mut child = samples::child(fork, &parent);
        change(&mut child);
        check(fork, &child, &parent)
    }

    #[test]
    fn a_child_of_every_fork_is_valid() {
        for fork in FORKS {
            assert_eq!(broken(fork, |_| ()), None, "{fork}");
        }
    }

    #[test]
    fn each_rule_refuses_the_header_that_breaks_it() {
        let cases: [(Fork, Rule, Change); 12] = [
            (Fork::Homestead, Rule::ParentHash, |header| header.parent_hash = B256::ZERO),
            (Fork::Homestead, Rule::Number, |header| header.number += 1),
            (Fork::Homestead, Rule::Timestamp, |header| header.timestamp -= 12),
            (Fork::Homestead, Rule::GasLimitStep, |header| header.gas_limit += 29_296),
            (Fork::Paris, Rule::GasLimitStep, |header| header.gas_limit -= 29_296),
            (Fork::Paris, Rule::GasLimitMin, |header| header.gas_limit = 0),
            (Fork::Paris, Rule::GasLimitMax, |header| header.gas_limit = 1 << 63),
            (Fork::Paris, Rule::GasUsedMax, |header| header.gas_used = 30_000_001),
            (Fork::Homestead, Rule::Difficulty, |header| header.difficulty += U256::from(1)),
            (Fork::Paris, Rule::ProofOfStake, |header| header.difficulty = U256::from(131_072)),
            (Fork::London, Rule::BaseFee, |header| header.base_fee_per_gas = Some(1_000_000_001)),
            (Fork::Cancun, Rule::ExcessBlobGas, |header| header.excess_blob_gas = Some(BLOB)),
        ];
        for (fork, rule, change) in cases {
            assert_eq!(broken(fork, change), Some(rule), "{fork}");
            assert!(!rule.names().is_empty(), "{rule:?}");
        }
    }

    #[test]
    fn the_author_of_a_dev_block_chooses_its_gas_limit_base_fee_and_timestamp() {
        let parent = samples::header(Fork::Osaka);
        let judge = |is_dev, change: Change| {
            let mut child = samples::child(Fork::Osaka, &parent);
            change(&mut child);
            let rules = Rules { is_dev, ..samples::rules(Fork::Osaka, &child) };
            let parent_rules = Rules { is_dev, ..samples::rules(Fork::Osaka, &parent) };
            check_child(&child, &rules, &parent, &parent_rules).err().map(|it| it.rule)
        };
        let cases: [(Rule, Change); 3] = [
            (Rule::Timestamp, |header| header.timestamp = samples::header(Fork::Osaka).timestamp),
            (Rule::GasLimitStep, |header| header.gas_limit *= 2),
            (Rule::BaseFee, |header| header.base_fee_per_gas = Some(0)),
        ];
        for (rule, change) in cases {
            assert_eq!((judge(false, change), judge(true, change)), (Some(rule), None));
        }
        let earlier: Change = |header| header.timestamp = 0;
        assert_eq!(judge(true, earlier), Some(Rule::Timestamp));
    }

    #[test]
    fn the_gas_limit_moves_by_less_than_a_1024th() {
        assert_eq!(broken(Fork::Berlin, |header| header.gas_limit += 29_295), None);
        assert_eq!(broken(Fork::Berlin, |header| header.gas_limit -= 29_295), None);
    }

    #[test]
    fn a_gas_limit_goes_towards_its_target_as_far_as_it_may() {
        let parent = |gas_limit| Header { gas_limit, ..Header::default() };
        assert_eq!(child_gas_limit(&parent(30_000_000), 60_000_000), 30_029_295);
        assert_eq!(child_gas_limit(&parent(30_000_000), 10_000_000), 29_970_705);
        assert_eq!(child_gas_limit(&parent(30_000_000), 30_000_001), 30_000_001);
        assert_eq!(child_gas_limit(&parent(5_000), 0), 5_000);
    }

    #[test]
    fn the_first_block_of_london_doubles_the_gas_limit_and_has_the_first_base_fee() {
        let chain = ChainSpec::mainnet();
        let parent = Header { number: 12_964_999, ..samples::header(Fork::Berlin) };
        let mut child = Header {
            gas_limit: 60_000_000,
            base_fee_per_gas: Some(1_000_000_000),
            ..samples::child(Fork::London, &parent)
        };
        let check = |child: &Header| {
            let (rules, parent_rules) = (chain.rules(child), chain.rules(&parent));
            check_child(child, &rules, &parent, &parent_rules).map_err(|mismatch| mismatch.rule)
        };
        child.difficulty = child_difficulty(&chain.rules(&child), child.timestamp, &parent);
        assert_eq!(check(&child), Ok(()));
        child.base_fee_per_gas = Some(875_000_000);
        assert_eq!(check(&child), Err(Rule::BaseFee));
        child.gas_limit = parent.gas_limit;
        assert_eq!(check(&child), Err(Rule::GasLimitStep));
    }

    #[test]
    fn the_base_fee_follows_the_gas_of_the_parent() {
        for (gas_used, base_fee) in
            [(0, 875_000_000), (15_000_000, 1_000_000_000), (30_000_000, 1_125_000_000)]
        {
            let parent = Header { gas_used, ..samples::header(Fork::Paris) };
            let base_fee_per_gas = Some(base_fee);
            let child = Header { base_fee_per_gas, ..samples::child(Fork::Paris, &parent) };
            assert_eq!(check(Fork::Paris, &child, &parent), None, "{gas_used}");
        }
    }

    #[test]
    fn the_excess_blob_gas_follows_the_blobs_of_the_parent() {
        // Fork, blobs in excess and used by the parent, blobs in excess of the child. From Osaka on
        // the base fee of these headers is so high that the reserve price holds.
        let cases = [
            (Fork::Cancun, 0, 2, 0),
            (Fork::Cancun, 1, 6, 4),
            (Fork::Prague, 1, 6, 1),
            (Fork::Osaka, 10, 3, 11),
        ];
        for (fork, excess, used, expected) in cases {
            let parent = Header {
                excess_blob_gas: Some(excess * BLOB),
                blob_gas_used: Some(used * BLOB),
                ..samples::header(fork)
            };
            let excess_blob_gas = Some(expected * BLOB);
            let child = Header { excess_blob_gas, ..samples::child(fork, &parent) };
            assert_eq!(check(fork, &child, &parent), None, "{fork}");
        }
    }

    /// It holds where 2^13 times the base fee is more than 2^17 times the blob base fee, which is
    /// 1 wei here: above 16 wei. Source: EIP-7918, "Specification".
    #[test]
    fn the_base_fee_of_the_parent_decides_whether_the_reserve_price_holds() {
        // Base fee of the parent, which is empty, and of the child, blobs in excess of the child.
        for (parent_fee, child_fee, expected) in [(16, 14, 7), (17, 15, 11)] {
            let parent = Header {
                gas_used: 0,
                base_fee_per_gas: Some(parent_fee),
                excess_blob_gas: Some(10 * BLOB),
                blob_gas_used: Some(3 * BLOB),
                ..samples::header(Fork::Osaka)
            };
            let child = Header {
                base_fee_per_gas: Some(child_fee),
                excess_blob_gas: Some(expected * BLOB),
                ..samples::child(Fork::Osaka, &parent)
            };
            assert_eq!(check(Fork::Osaka, &child, &parent), None, "{parent_fee}");
        }
    }

    /// Source: EIP-4844, "Header extension".
    #[test]
    fn the_first_block_of_cancun_has_no_blob_gas_in_excess() {
        let parent = samples::header(Fork::Shanghai);
        let judge = |excess: u64| {
            let child = Header {
                parent_hash: parent.hash_slow(),
                number: parent.number + 1,
                timestamp: parent.timestamp + 12,
                excess_blob_gas: Some(excess * BLOB),
                ..samples::header(Fork::Cancun)
            };
            let rules = samples::rules(Fork::Cancun, &child);
            let parent_rules = samples::rules(Fork::Shanghai, &parent);
            check_child(&child, &rules, &parent, &parent_rules).map_err(|mismatch| mismatch.rule)
        };
        assert_eq!(judge(0), Ok(()));
        assert_eq!(judge(10), Err(Rule::ExcessBlobGas));
    }

    #[test]
    fn proof_of_work_does_not_come_back() {
        let config = ChainConfig {
            homestead_block: Some(0),
            eip150_block: Some(0),
            eip155_block: Some(0),
            eip158_block: Some(0),
            byzantium_block: Some(0),
            constantinople_block: Some(0),
            petersburg_block: Some(0),
            istanbul_block: Some(0),
            berlin_block: Some(0),
            london_block: Some(0),
            terminal_total_difficulty: Some(U256::from(1_000)),
            ..ChainConfig::default()
        };
        let chain = ChainSpec::try_from(&config).expect("valid config");
        let parent = samples::header(Fork::Paris);
        let child = samples::child(Fork::London, &parent);
        assert_eq!(child.difficulty, U256::from(131_072));
        let found = check_child(&child, &chain.rules(&child), &parent, &chain.rules(&parent));
        assert_eq!(found.map_err(|mismatch| mismatch.rule), Err(Rule::ProofOfStake));
    }
}
