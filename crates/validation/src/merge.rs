//! The end of proof of work.

use crate::{Mismatch, Rule};
use fugue_chainspec::{ChainSpec, Fork};
use fugue_types::{Header, U256};

/// Judges whether a header may have, or lack, a difficulty.
///
/// The first block whose total difficulty reaches the chain's terminal one is the last with a
/// difficulty. `parent_total_difficulty` is the sum of all difficulties up to and with the
/// parent's; it is not looked at if `parent` itself has none.
///
/// # Errors
/// [`Mismatch`] by [`Rule::ProofOfStake`] if the header has a difficulty after that block, by
/// [`Rule::ProofOfWork`] if it has none before.
///
/// Source: EIP-3675, "Definitions" and "PoW block processing".
pub fn check_merge(
    chain: &ChainSpec,
    header: &Header,
    parent: &Header,
    parent_total_difficulty: U256,
) -> Result<(), Mismatch> {
    let is_reached = chain
        .terminal_total_difficulty()
        .is_some_and(|terminal| parent_total_difficulty >= terminal);
    let has_ended = is_reached || chain.rules(parent).has(Fork::Paris);
    match (has_ended, header.difficulty.is_zero()) {
        (true, false) => Err(Mismatch::new(Rule::ProofOfStake, 0, header.difficulty)),
        (false, true) => Err(Mismatch::new(Rule::ProofOfWork, "a difficulty", 0)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Difficulty of mainnet's last block of proof of work, 15,537,393.
    const LAST: u64 = 11_055_787_484_078_698;
    /// Mainnet's total difficulty with that block.
    const TOTAL: u128 = 58_750_003_716_598_352_816_469;

    fn header(number: u64, difficulty: u64) -> Header {
        Header { number, difficulty: U256::from(difficulty), ..Header::default() }
    }

    fn rule(header: &Header, parent: &Header, total: u128) -> Option<Rule> {
        let chain = ChainSpec::mainnet();
        let checked = check_merge(&chain, header, parent, U256::from(total));
        checked.err().map(|mismatch| mismatch.rule)
    }

    #[test]
    fn mainnet_ends_proof_of_work_with_the_block_that_reaches_the_terminal_total_difficulty() {
        let before = header(15_537_392, LAST);
        let (last, first) = (header(15_537_393, LAST), header(15_537_394, 0));
        let total = TOTAL - u128::from(LAST);
        assert_eq!(rule(&last, &before, total), None);
        assert_eq!(rule(&first, &last, TOTAL), None);
        assert_eq!(rule(&header(15_537_395, 0), &first, TOTAL), None);
    }

    #[test]
    fn a_block_without_difficulty_that_comes_too_early_is_refused() {
        let early = header(15_537_393, 0);
        let total = TOTAL - u128::from(LAST);
        assert_eq!(rule(&early, &header(15_537_392, LAST), total), Some(Rule::ProofOfWork));
    }

    #[test]
    fn a_block_with_difficulty_that_comes_too_late_is_refused() {
        let late = header(15_537_394, LAST);
        assert_eq!(rule(&late, &header(15_537_393, LAST), TOTAL), Some(Rule::ProofOfStake));
        let later = header(15_537_395, LAST);
        assert_eq!(rule(&later, &header(15_537_394, 0), 0), Some(Rule::ProofOfStake));
    }

    #[test]
    fn the_total_difficulty_that_equals_the_terminal_one_reaches_it() {
        let terminal = 58_750_000_000_000_000_000_000;
        let last = header(15_537_393, LAST);
        assert_eq!(rule(&header(15_537_394, 0), &last, terminal), None);
        assert_eq!(rule(&header(15_537_394, 0), &last, terminal - 1), Some(Rule::ProofOfWork));
    }

    #[test]
    fn a_chain_without_a_merge_has_difficulties_only() {
        let chain = ChainSpec::at_fork(1, Fork::London);
        let check = |difficulty| {
            let child = header(1, difficulty);
            check_merge(&chain, &child, &header(0, 0x2_0000), U256::MAX).map_err(|found| found.rule)
        };
        assert_eq!(check(0x2_0000), Ok(()));
        assert_eq!(check(0), Err(Rule::ProofOfWork));
    }

    #[test]
    fn a_chain_merged_from_genesis_on_has_none() {
        let chain = ChainSpec::at_fork(1, Fork::Paris);
        let check = |difficulty| {
            let child = header(1, difficulty);
            check_merge(&chain, &child, &header(0, 0x2_0000), U256::from(0x2_0000))
                .map_err(|found| found.rule)
        };
        assert_eq!(check(0), Ok(()));
        assert_eq!(check(0x2_0000), Err(Rule::ProofOfStake));
    }
}
