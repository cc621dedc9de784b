//! Whether a chain that has run by one schedule can go on by another.

use crate::{ChainSpec, Fork, Rules, spec::DAO_EXTRA_DATA_BLOCKS};
use alloy_hardforks::ForkCondition;
use fugue_types::{Header, U256};
use std::collections::BTreeSet;

/// Why a chain cannot go on by another schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecChange {
    /// It is another chain's.
    #[error("chain id {new}, not {old}")]
    ChainId {
        /// Of the chain.
        old: u64,
        /// Of the other schedule.
        new: u64,
    },
    /// Proof of work would end elsewhere.
    #[error("terminalTotalDifficulty {}, not {}", shown(new), shown(old))]
    TerminalTotalDifficulty {
        /// Of the chain.
        old: Option<U256>,
        /// Of the other schedule.
        new: Option<U256>,
    },
    /// The chain has a block that has other rules by the other schedule.
    #[error("block {number} has other rules: {rules}")]
    Block {
        /// The first such block.
        number: u64,
        /// What is other.
        rules: String,
    },
}

fn shown(difficulty: &Option<U256>) -> String {
    difficulty.map_or_else(|| "missing".to_owned(), |difficulty| difficulty.to_string())
}

impl ChainSpec {
    /// Why a chain that has run by this schedule up to block `head` cannot go on by `new`; `None`
    /// if all its blocks have the same rules by both. `header` gives those of its blocks that
    /// decide, some tens of them: between those at which either schedule switches nothing does.
    ///
    /// # Errors
    /// What `header` says.
    pub fn change<E>(
        &self,
        new: &Self,
        head: u64,
        mut header: impl FnMut(u64) -> Result<Header, E>,
    ) -> Result<Option<SpecChange>, E> {
        if self.chain_id != new.chain_id {
            return Ok(Some(SpecChange::ChainId { old: self.chain_id, new: new.chain_id }));
        }
        let [old_end, new_end] = [self, new].map(Self::terminal_total_difficulty);
        if old_end != new_end {
            let change = SpecChange::TerminalTotalDifficulty { old: old_end, new: new_end };
            return Ok(Some(change));
        }
        let (mut numbers, mut times) = (BTreeSet::from([0, 1]), BTreeSet::new());
        for (fork, at) in self.forks.iter().chain(&new.forks) {
            match at {
                ForkCondition::Block(number) => {
                    numbers.insert(*number);
                    if *fork == Fork::Dao {
                        let ends = [1, DAO_EXTRA_DATA_BLOCKS];
                        numbers.extend(ends.map(|age| number.saturating_add(age)));
                    }
                }
                ForkCondition::TTD { activation_block_number, .. } => {
                    numbers.insert(*activation_block_number);
                }
                ForkCondition::Timestamp(time) => {
                    times.insert(*time);
                }
                ForkCondition::Never => {}
            }
        }
        let without_work =
            first::<E>(head, |number| Ok(number > 0 && header(number)?.difficulty.is_zero()))?;
        numbers.insert(without_work);
        for time in times {
            numbers.insert(first::<E>(head, |number| Ok(header(number)?.timestamp >= time))?);
        }
        for number in numbers.into_iter().take_while(|number| *number <= head) {
            let change = self.change_at(new, &header(number)?);
            if change.is_some() {
                return Ok(change);
            }
        }
        Ok(None)
    }

    /// What is other in the rules of this block.
    pub fn change_at(&self, new: &Self, header: &Header) -> Option<SpecChange> {
        let (old, new) = (self.rules(header), new.rules(header));
        // Nobody asks for the contract before Prague: the fork may come with it.
        let contract = |rules: &Rules| rules.deposit_contract.filter(|_| rules.has(Fork::Prague));
        let rules = if old.fork != new.fork {
            format!("{}, not {}", new.fork, old.fork)
        } else if old.blob_params != new.blob_params {
            format!("{} with other blob parameters", new.fork)
        } else if contract(&old) != contract(&new) {
            "another depositContractAddress".to_owned()
        } else if (Rules { deposit_contract: old.deposit_contract, ..new }) != old {
            // All that is left is of the fork's sides, and of its first ten blocks.
            "the DAO fork".to_owned()
        } else {
            return None;
        };
        Some(SpecChange::Block { number: header.number, rules })
    }
}

/// The first number up to `head` for which something holds that holds for all after it; the one
/// after `head` if there is none.
fn first<E>(head: u64, mut holds: impl FnMut(u64) -> Result<bool, E>) -> Result<u64, E> {
    let (mut low, mut end) = (0, head.saturating_add(1));
    while low < end {
        let middle = low + (end - low) / 2;
        if holds(middle)? {
            end = middle;
        } else {
            low = middle + 1;
        }
    }
    Ok(low)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BlobParams, ChainConfig};
    use std::convert::Infallible;

    /// A chain of which blocks 0 to 9 have work, and each comes ten seconds after the one before.
    fn header(number: u64) -> Header {
        let difficulty = U256::from(u64::from(number < 10));
        Header { number, timestamp: number * 10, difficulty, ..Header::default() }
    }

    fn config() -> ChainConfig {
        ChainConfig {
            chain_id: 7,
            homestead_block: Some(0),
            london_block: Some(5),
            terminal_total_difficulty: Some(U256::from(10)),
            shanghai_time: Some(155),
            cancun_time: Some(200),
            ..ChainConfig::default()
        }
    }

    fn spec(edit: impl FnOnce(&mut ChainConfig)) -> ChainSpec {
        let mut config = config();
        edit(&mut config);
        ChainSpec::try_from(&config).expect("a good configuration")
    }

    /// What keeps a chain with this head from going on by the edited configuration. It is compared
    /// with what all headers say.
    #[track_caller]
    fn change(head: u64, edit: impl FnOnce(&mut ChainConfig)) -> Option<String> {
        let (old, new) = (spec(|_| ()), spec(edit));
        let change = old.change(&new, head, |number| Ok::<_, Infallible>(header(number)));
        let change = change.expect("headers of our own");
        if matches!(change, None | Some(SpecChange::Block { .. })) {
            let all = (0..=head).find_map(|number| old.change_at(&new, &header(number)));
            assert_eq!(change, all, "head {head}");
        }
        change.map(|change| change.to_string())
    }

    #[test]
    fn a_fork_that_no_block_has_come_to_may_move() {
        // Block 16 is the first of Shanghai, block 20 the first of Cancun.
        for (head, time, expected) in [
            (25, 251, None),
            (25, 250, Some("block 25 has other rules: Prague, not Cancun")),
            (25, 241, Some("block 25 has other rules: Prague, not Cancun")),
            (30, 231, Some("block 24 has other rules: Prague, not Cancun")),
        ] {
            let found = change(head, |config| config.prague_time = Some(time));
            assert_eq!(found.as_deref(), expected, "{head} {time}");
        }
        // The other way round: a fork that held is later, or gone.
        let later = |config: &mut ChainConfig| config.cancun_time = Some(300);
        assert_eq!(change(19, later), None);
        let late = Some("block 20 has other rules: Shanghai, not Cancun".to_owned());
        assert_eq!(change(20, later), late);
        assert_eq!(change(40, |config| config.cancun_time = None), late);
        // Between two blocks there is none.
        assert_eq!(change(40, |config| config.shanghai_time = Some(151)), None);
        assert_eq!(change(40, |config| config.shanghai_time = Some(160)), None);
        let early = Some("block 15 has other rules: Shanghai, not Paris".to_owned());
        assert_eq!(change(40, |config| config.shanghai_time = Some(150)), early);
    }

    #[test]
    fn forks_by_block_are_compared_where_they_switch() {
        let move_to = |number| move |config: &mut ChainConfig| config.london_block = Some(number);
        assert_eq!(change(4, move_to(9)), None);
        let late = Some("block 5 has other rules: Homestead, not London".to_owned());
        assert_eq!(change(5, move_to(9)), late);
        assert_eq!(change(40, move_to(9)), late);
        let early = Some("block 3 has other rules: London, not Homestead".to_owned());
        assert_eq!(change(4, move_to(3)), early);
        // After the merge the difficulty bomb is no rule.
        assert_eq!(change(40, |config| config.gray_glacier_block = Some(10)), None);
        let bomb = Some("block 9 has other rules: GrayGlacier, not London".to_owned());
        assert_eq!(change(40, |config| config.gray_glacier_block = Some(9)), bomb);
    }

    #[test]
    fn the_end_of_work_stays_where_it_is_told_in_either_way() {
        // A chain that is known tells the block, one of a file the difficulty alone.
        let mut known = spec(|_| ());
        for (fork, at) in &mut known.forks {
            if let (Fork::Paris, ForkCondition::TTD { activation_block_number, .. }) = (fork, at) {
                *activation_block_number = 10;
            }
        }
        let told = spec(|_| ());
        assert_ne!(known, told);
        let header = |number| Ok::<_, Infallible>(header(number));
        assert_eq!(known.change(&told, 40, header), Ok(None));
        assert_eq!(told.change(&known, 40, header), Ok(None));
        let moved = change(3, |config| config.terminal_total_difficulty = Some(U256::from(11)));
        assert_eq!(moved.as_deref(), Some("terminalTotalDifficulty 11, not 10"));
        let other = change(3, |config| config.chain_id = 8);
        assert_eq!(other.as_deref(), Some("chain id 8, not 7"));
    }

    #[test]
    fn blob_parameters_and_the_deposit_contract_count_from_their_forks_on() {
        let params = BlobParams { max_blob_count: 7, ..BlobParams::cancun() };
        let blobs = |name: &'static str| {
            move |config: &mut ChainConfig| {
                config.blob_schedule.insert(name.to_owned(), params);
            }
        };
        assert_eq!(change(19, blobs("cancun")), None);
        let other = Some("block 20 has other rules: Cancun with other blob parameters".to_owned());
        assert_eq!(change(40, blobs("cancun")), other);
        assert_eq!(change(40, blobs("prague")), None);
        let deposits = change(40, |config| {
            config.prague_time = Some(401);
            config.deposit_contract_address = Some(fugue_types::Address::ZERO);
        });
        assert_eq!(deposits, None);
        let new = ChainSpec::at_fork(7, Fork::Prague);
        let old = ChainSpec { deposit_contract: None, ..new.clone() };
        let change = old.change_at(&new, &header(3)).map(|change| change.to_string());
        let other = "block 3 has other rules: another depositContractAddress";
        assert_eq!(change.as_deref(), Some(other));
    }

    #[test]
    fn the_sides_of_the_dao_fork_are_rules_of_its_first_ten_blocks() {
        let dao = |support| {
            move |config: &mut ChainConfig| {
                config.london_block = None;
                config.dao_fork_block = Some(20);
                config.dao_fork_support = support;
            }
        };
        let header = |number| {
            let difficulty = U256::from(1);
            Ok::<_, Infallible>(Header { number, difficulty, ..Header::default() })
        };
        let (old, new) = (spec(dao(true)), spec(dao(false)));
        assert_eq!(old.change(&new, 19, header), Ok(None));
        let rules = "the DAO fork".to_owned();
        assert_eq!(old.change(&new, 20, header), Ok(Some(SpecChange::Block { number: 20, rules })));
    }

    #[test]
    fn few_headers_of_a_long_chain_are_asked_for() {
        let (old, new) = (spec(|_| ()), spec(|config| config.prague_time = Some(u64::MAX)));
        let mut asked = 0;
        let change = old.change(&new, 20_000_000, |number| {
            asked += 1;
            Ok::<_, Infallible>(header(number))
        });
        assert_eq!(change, Ok(None));
        assert!(asked < 200, "{asked}");
    }
}
