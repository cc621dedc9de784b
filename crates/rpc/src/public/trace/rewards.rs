//! What the author of a block and those of its ommers got before the merge.

use alloy_eips::BlockNumHash;
use alloy_rpc_types_trace::parity::{LocalizedTransactionTrace, RewardAction, RewardType};
use fugue_chainspec::Rules;
use fugue_types::{B256, Header, U256};

/// The rewards of a block: its author's, with the share for each ommer, then those of the ommers.
/// Source: Yellow Paper, "Block Finalisation".
pub(in crate::public) fn block_rewards(
    rules: &Rules,
    header: &Header,
    ommers: &[Header],
) -> Vec<RewardAction> {
    let Some(reward) = rules.block_reward().map(U256::from).filter(|_| header.number > 0) else {
        return Vec::new();
    };
    let inclusion = reward / U256::from(32) * U256::from(ommers.len());
    let (author, reward_type) = (header.beneficiary, RewardType::Block);
    let mut rewards = vec![RewardAction { author, reward_type, value: reward + inclusion }];
    rewards.extend(ommers.iter().map(|ommer| {
        let generations = header.number.saturating_sub(ommer.number);
        let value = reward * U256::from(8_u64.saturating_sub(generations)) / U256::from(8);
        RewardAction { author: ommer.beneficiary, reward_type: RewardType::Uncle, value }
    }));
    rewards
}

/// The same as traces.
pub(super) fn traces(
    rules: &Rules,
    hash: B256,
    header: &Header,
    ommers: &[Header],
) -> Vec<LocalizedTransactionTrace> {
    let block = BlockNumHash { number: header.number, hash };
    let rewards = block_rewards(rules, header, ommers).into_iter();
    rewards.map(|reward| reward.into_localized_trace(block)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use fugue_chainspec::{ChainSpec, Fork};
    use fugue_types::Address;

    const ETHER: u64 = 1_000_000_000_000_000_000;

    fn header(number: u64, author: u8) -> Header {
        Header { number, beneficiary: Address::repeat_byte(author), ..Header::default() }
    }

    #[test]
    fn authors_are_rewarded_until_the_merge() {
        let header = header(10, 1);
        let ommers = [self::header(9, 2), self::header(4, 3)];
        let of =
            |fork| block_rewards(&ChainSpec::at_fork(1, fork).rules(&header), &header, &ommers);
        let told: Vec<_> = of(Fork::Byzantium)
            .into_iter()
            .map(|reward| (reward.author[0], reward.reward_type, reward.value))
            .collect();
        let (eth, share) = (U256::from(ETHER), U256::from(3 * ETHER / 8));
        let expected = [
            (1, RewardType::Block, eth * U256::from(3) + U256::from(3 * ETHER / 16)),
            (2, RewardType::Uncle, share * U256::from(7)),
            (3, RewardType::Uncle, share * U256::from(2)),
        ];
        assert_eq!(told, expected);
        assert!(of(Fork::Paris).is_empty());
        let genesis = self::header(0, 1);
        let rules = ChainSpec::at_fork(1, Fork::London).rules(&genesis);
        assert!(block_rewards(&rules, &genesis, &[]).is_empty());
    }
}
