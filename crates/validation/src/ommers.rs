//! Ommers of blocks with proof of work.

use crate::{Mismatch, Rule, check_child};
use fugue_chainspec::{ChainSpec, Fork};
use fugue_types::{B256, Block, Header, SealedBlock};

/// Ancestors of a block, its parent counted, that its ommers are judged by. Source: Yellow Paper,
/// "Ommer Validation": an ommer's parent is at most this many generations above the block.
pub const OMMER_ANCESTORS: usize = 7;
/// Most ommers of a block. Source: Yellow Paper, "Ommer Validation".
const OMMERS_MAX: usize = 2;

/// What the judgement of ommers needs to know of an ancestor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AncestorFacts {
    /// Hash of its header.
    pub hash: B256,
    /// Its header.
    pub header: Header,
    /// Hashes of its ommers.
    pub ommers: Vec<B256>,
}

impl AncestorFacts {
    /// The facts of a block whose ommers are in its body.
    pub fn of(block: &SealedBlock) -> Self {
        let Block { header, body } = block.block();
        Self {
            hash: block.hash(),
            header: header.clone(),
            ommers: body.ommers.iter().map(Header::hash_slow).collect(),
        }
    }
}

/// Judges the ommers of a block by its ancestors: their number, that they are new, no ancestors
/// and of near kin, and their headers. That the block's header names these ommers is for
/// [`check_block`](crate::check_block).
///
/// `ancestors` are the last [`OMMER_ANCESTORS`] blocks, or all down to genesis if there are fewer,
/// the parent first; more are not looked at. They are not needed for a block without ommers.
///
/// # Errors
/// The first [`Mismatch`], its field `uncles`. An ommer whose header does not follow from its own
/// parent gives the rule that its header breaks.
///
/// Source: Yellow Paper, "Ommer Validation".
pub fn check_ommers(
    block: &Block,
    chain: &ChainSpec,
    ancestors: &[AncestorFacts],
) -> Result<(), Mismatch> {
    let ommers = &block.body.ommers;
    if ommers.len() > OMMERS_MAX {
        let bound = format!("at most {OMMERS_MAX}");
        return Err(Mismatch::new(Rule::OmmerCount, bound, ommers.len()));
    }
    let ancestors = ancestors.get(..OMMER_ANCESTORS).unwrap_or(ancestors);
    let mut included: Vec<B256> =
        ancestors.iter().flat_map(|ancestor| ancestor.ommers.iter().copied()).collect();
    for (index, ommer) in ommers.iter().enumerate() {
        let hash = ommer.hash_slow();
        if included.contains(&hash) {
            return Err(Mismatch::new(Rule::OmmerKnown, "an ommer not yet included", hash));
        }
        included.push(hash);
        if ancestors.iter().any(|ancestor| ancestor.hash == hash) {
            return Err(Mismatch::new(Rule::OmmerIsAncestor, "no ancestor", hash));
        }
        if ommer.parent_hash == block.header.parent_hash {
            return Err(Mismatch::new(Rule::OmmerIsSibling, "no child of the parent", hash));
        }
        let Some(parent) = ancestors.iter().find(|known| known.hash == ommer.parent_hash) else {
            let bound = format!("the child of one of {} ancestors", ancestors.len());
            return Err(Mismatch::new(Rule::OmmerParent, bound, hash));
        };
        let rules = chain.rules(ommer);
        if rules.has(Fork::Paris) {
            // It would be a block of proof of stake, and none of those is an ommer.
            let found = Mismatch::new(Rule::Difficulty, "proof of work", ommer.difficulty);
            return Err(found.of_ommer(index));
        }
        check_child(ommer, &rules, &parent.header, &chain.rules(&parent.header))
            .map_err(|mismatch| mismatch.of_ommer(index))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::child_difficulty;
    use fugue_chainspec::ChainConfig;
    use fugue_types::{BlockBody, Bytes, U256};

    /// Seconds between blocks.
    const SECONDS: u64 = 10;

    fn homestead() -> ChainSpec {
        ChainSpec::at_fork(1, Fork::Homestead)
    }

    fn genesis(chain: &ChainSpec) -> Header {
        let header =
            Header { gas_limit: 10_000_000, difficulty: U256::from(0x2_0000), ..Header::default() };
        let is_london = chain.rules(&header).has(Fork::London);
        Header { base_fee_per_gas: is_london.then_some(1_000_000_000), ..header }
    }

    /// A valid child of `parent`; `salt` tells one from another.
    fn child(chain: &ChainSpec, parent: &Header, salt: u8) -> Header {
        let mut header = Header {
            parent_hash: parent.hash_slow(),
            number: parent.number + 1,
            timestamp: parent.timestamp + SECONDS,
            // A block that uses half of its gas leaves the base fee as it is.
            gas_limit: parent.gas_limit,
            gas_used: parent.gas_limit / 2,
            base_fee_per_gas: parent.base_fee_per_gas,
            beneficiary: fugue_types::Address::repeat_byte(salt),
            difficulty: U256::from(1),
            ..Header::default()
        };
        header.difficulty = child_difficulty(&chain.rules(&header), header.timestamp, parent);
        header
    }

    /// Blocks with the numbers from 0 to `last`, the newest first.
    fn ancestors(chain: &ChainSpec, genesis: Header, last: u64) -> Vec<AncestorFacts> {
        let mut headers = vec![genesis];
        while headers[0].number < last {
            let next = child(chain, &headers[0], 0);
            headers.insert(0, next);
        }
        let facts =
            |header: Header| AncestorFacts { hash: header.hash_slow(), header, ommers: Vec::new() };
        headers.into_iter().map(facts).collect()
    }

    /// What is wrong with a block of these ommers on top of the ancestors.
    fn broken(
        chain: &ChainSpec,
        ancestors: &[AncestorFacts],
        ommers: Vec<Header>,
    ) -> Option<Mismatch> {
        let header = child(chain, &ancestors[0].header, 0);
        let body = BlockBody { transactions: Vec::new(), ommers, withdrawals: None };
        check_ommers(&Block { header, body }, chain, ancestors).err()
    }

    fn rule(ancestors: &[AncestorFacts], ommers: Vec<Header>) -> Option<Rule> {
        broken(&homestead(), ancestors, ommers).map(|mismatch| mismatch.rule)
    }

    fn ten() -> Vec<AncestorFacts> {
        ancestors(&homestead(), genesis(&homestead()), 10)
    }

    /// An ommer of block 11 whose parent is `generations` above it.
    fn ommer(ancestors: &[AncestorFacts], generations: usize, salt: u8) -> Header {
        child(&homestead(), &ancestors[generations - 1].header, salt)
    }

    #[test]
    fn two_ommers_with_parents_from_two_to_seven_generations_above_are_valid() {
        let ancestors = ten();
        for generations in 2..=7 {
            let ommers = vec![ommer(&ancestors, generations, 1), ommer(&ancestors, generations, 2)];
            assert_eq!(rule(&ancestors, ommers), None, "{generations}");
        }
    }

    #[test]
    fn an_ommer_whose_parent_is_too_far_above_is_refused() {
        let ancestors = ten();
        let far = ommer(&ancestors, 8, 1);
        assert_eq!(rule(&ancestors, vec![far]), Some(Rule::OmmerParent));
    }

    #[test]
    fn an_ommer_of_an_unknown_parent_is_refused() {
        let ancestors = ten();
        let mut stranger = ommer(&ancestors, 2, 1);
        stranger.parent_hash = B256::repeat_byte(7);
        assert_eq!(rule(&ancestors, vec![stranger]), Some(Rule::OmmerParent));
    }

    #[test]
    fn a_child_of_the_block_s_own_parent_is_no_ommer() {
        let ancestors = ten();
        let sibling = ommer(&ancestors, 1, 1);
        assert_eq!(rule(&ancestors, vec![sibling]), Some(Rule::OmmerIsSibling));
    }

    #[test]
    fn an_ancestor_is_no_ommer() {
        let ancestors = ten();
        let ancestor = ancestors[3].header.clone();
        assert_eq!(rule(&ancestors, vec![ancestor]), Some(Rule::OmmerIsAncestor));
    }

    #[test]
    fn three_ommers_are_refused() {
        let ancestors = ten();
        let three = (1..=3).map(|salt| ommer(&ancestors, 2, salt)).collect();
        assert_eq!(rule(&ancestors, three), Some(Rule::OmmerCount));
    }

    #[test]
    fn an_ommer_counts_once() {
        let mut ancestors = ten();
        let once = ommer(&ancestors, 5, 1);
        let twice = vec![once.clone(), once.clone()];
        assert_eq!(rule(&ancestors, twice), Some(Rule::OmmerKnown));
        ancestors[2].ommers = vec![once.hash_slow()];
        assert_eq!(rule(&ancestors, vec![once]), Some(Rule::OmmerKnown));
    }

    #[test]
    fn an_ommer_s_header_follows_from_its_own_parent() {
        let ancestors = ten();
        let good = ommer(&ancestors, 3, 1);
        let bad = [
            (Header { number: 10, ..good.clone() }, Rule::Number),
            (Header { timestamp: good.timestamp - SECONDS, ..good.clone() }, Rule::Timestamp),
            (
                Header { difficulty: good.difficulty + U256::from(1), ..good.clone() },
                Rule::Difficulty,
            ),
            (Header { gas_limit: good.gas_limit * 2, ..good.clone() }, Rule::GasLimitStep),
            (Header { gas_used: good.gas_limit + 1, ..good.clone() }, Rule::GasUsedMax),
            (
                Header { extra_data: Bytes::from_static(&[0; 33]), ..good.clone() },
                Rule::ExtraDataSize,
            ),
            (Header { base_fee_per_gas: Some(7), ..good.clone() }, Rule::Early("baseFeePerGas")),
        ];
        assert_eq!(rule(&ancestors, vec![good]), None);
        for (ommer, rule) in bad {
            let found = broken(&homestead(), &ancestors, vec![ommer]).expect("a broken rule");
            assert_eq!((found.field, found.rule), ("uncles", rule));
            assert!(!found.names().is_empty(), "{rule:?}");
        }
    }

    #[test]
    fn an_ommer_after_london_has_the_base_fee_that_its_parent_asks() {
        let chain = ChainSpec::at_fork(1, Fork::London);
        let mut first = genesis(&chain);
        first.gas_used = first.gas_limit / 2;
        let ancestors = ancestors(&chain, first, 3);
        let good = child(&chain, &ancestors[1].header, 1);
        let bad = Header { base_fee_per_gas: Some(1_000_000_001), ..good.clone() };
        assert_eq!(broken(&chain, &ancestors, vec![good]), None);
        let found = broken(&chain, &ancestors, vec![bad]).map(|mismatch| mismatch.rule);
        assert_eq!(found, Some(Rule::BaseFee));
    }

    /// Elsewhere than on the public chains its difficulty tells which rules a header has.
    #[test]
    fn an_ommer_without_proof_of_work_is_refused_before_the_merge() {
        let config = ChainConfig {
            chain_id: 7,
            homestead_block: Some(0),
            london_block: Some(0),
            terminal_total_difficulty: Some(U256::MAX),
            ..ChainConfig::default()
        };
        let chain = ChainSpec::try_from(&config).expect("valid config");
        let mut first = genesis(&chain);
        first.gas_used = first.gas_limit / 2;
        let ancestors = ancestors(&chain, first, 3);
        let good = child(&chain, &ancestors[1].header, 1);
        assert!(!good.difficulty.is_zero());
        let bad = Header { difficulty: U256::ZERO, ..good.clone() };
        assert_eq!(broken(&chain, &ancestors, vec![good]), None);
        let found = broken(&chain, &ancestors, vec![bad]).map(|mismatch| mismatch.rule);
        assert_eq!(found, Some(Rule::Difficulty));
    }

    #[test]
    fn an_ommer_of_the_dao_fork_s_first_blocks_carries_its_extra_data() {
        let config = ChainConfig {
            chain_id: 1,
            homestead_block: Some(0),
            dao_fork_block: Some(3),
            dao_fork_support: true,
            ..ChainConfig::default()
        };
        let chain = ChainSpec::try_from(&config).expect("valid config");
        let ancestors = ancestors(&chain, genesis(&chain), 3);
        let before = child(&chain, &ancestors[2].header, 1);
        assert_eq!(broken(&chain, &ancestors, vec![before]), None);

        let without = child(&chain, &ancestors[1].header, 1);
        let extra_data = Bytes::from_static(b"dao-hard-fork");
        let with = Header { extra_data, ..without.clone() };
        assert_eq!(broken(&chain, &ancestors, vec![with]), None);
        let found = broken(&chain, &ancestors, vec![without]).map(|mismatch| mismatch.rule);
        assert_eq!(found, Some(Rule::ExtraDataDao));
    }

    #[test]
    fn a_block_without_ommers_needs_no_ancestors() {
        let block = Block { header: genesis(&homestead()), body: BlockBody::default() };
        assert_eq!(check_ommers(&block, &homestead(), &[]), Ok(()));
    }

    #[test]
    fn the_facts_of_a_block_hold_the_hashes_of_its_ommers() {
        let header = genesis(&homestead());
        let ommer = child(&homestead(), &header, 1);
        let body =
            BlockBody { transactions: Vec::new(), ommers: vec![ommer.clone()], withdrawals: None };
        let facts = AncestorFacts::of(&SealedBlock::seal(Block { header: header.clone(), body }));
        let expected =
            AncestorFacts { hash: header.hash_slow(), header, ommers: vec![ommer.hash_slow()] };
        assert_eq!(facts, expected);
    }
}
