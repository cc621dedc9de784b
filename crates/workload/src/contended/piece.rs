//! Transactions of one kind: who sends them, and where each goes.

use super::{BlockKind, Codes, Exchange, Floor, Pools, aave, places, uniswap};
use crate::{Call, Script, Wallet, desk::units, ether, word};
use fugue_types::{Address, Bytes, U256};
use std::collections::BTreeSet;

/// Gas limit of a transfer of tokens.
const TOKEN_GAS: u64 = 90_000;
/// What a sender holds of each token that it may spend.
pub(super) const SENDER_UNITS: u64 = 1_000_000;

/// How many transactions a block has, and which of them go to the hot place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Visits<'s> {
    /// Transactions of a block; each has a sender of its own in it.
    pub(super) count: usize,
    /// For each block, how many transactions of a hundred are hot.
    pub(super) shares: &'s [u8],
}

impl Visits<'_> {
    /// Whether a transaction of a block goes to the hot place. Those that do are evenly spread.
    fn is_hot(self, block: usize, index: usize) -> bool {
        let share = usize::from(self.shares.get(block).copied().unwrap_or(100));
        index * share / 100 != (index + 1) * share / 100
    }

    /// The place that a transaction goes to, where each has one of its own after the hot one.
    pub(super) fn own_place(self, block: usize, index: usize) -> usize {
        if self.is_hot(block, index) { 0 } else { index + 1 }
    }

    /// The same, where there are only so many.
    pub(super) fn place_of(self, pools: Pools, block: usize, index: usize) -> usize {
        match pools {
            Pools::Each => self.own_place(block, index),
            Pools::Few(_) if self.is_hot(block, index) => 0,
            Pools::Few(count) => index % count.max(1),
        }
    }

    /// All places that a sender goes to in any block.
    pub(super) fn of_sender(self, pools: Pools, index: usize) -> BTreeSet<usize> {
        (0..self.shares.len()).map(|block| self.place_of(pools, block, index)).collect()
    }
}

/// Transactions of one kind.
#[derive(Debug)]
pub(super) struct Piece {
    /// Of each block, who sends each of its transactions.
    senders: Vec<Vec<Wallet>>,
    /// And what that does.
    calls: Vec<Vec<Call>>,
}

impl Piece {
    /// Makes the places and the senders of a kind.
    pub(super) fn new(
        kind: BlockKind,
        visits: Visits<'_>,
        floor: &mut Floor,
        codes: &Codes,
    ) -> Result<Self, String> {
        match kind {
            BlockKind::Chain => return Ok(Self::chain(visits.count, floor)),
            BlockKind::Aave => return Self::aave(visits, floor, codes),
            _ => {}
        }
        let users = floor.script.users(visits.count);
        let calls = match kind {
            BlockKind::Transfers => {
                let to = accounts(floor, visits.count + 1);
                of_blocks(visits, |block, index| {
                    let to = to[visits.own_place(block, index)];
                    Call::transfer(to, U256::from(index + 1))
                })
            }
            BlockKind::Tokens => {
                let token = floor.token();
                let to: Vec<Address> = (0..=visits.count).map(|_| floor.rng.address()).collect();
                for holder in &to {
                    floor.credit(token, *holder, units(1));
                }
                for user in &users {
                    floor.credit(token, user.address(), units(SENDER_UNITS));
                }
                let token = floor.address(token);
                of_blocks(visits, |block, index| {
                    let to = word(to[visits.own_place(block, index)]);
                    let words = [to, units(1) / U256::from(1 + index)];
                    let signature = "transfer(address,uint256)";
                    Call::function(token, "Token", signature, &words).gas(TOKEN_GAS)
                })
            }
            BlockKind::Swaps(exchange, pools) => {
                let count = match pools {
                    Pools::Few(count) => count.max(1),
                    Pools::Each => visits.count + 1,
                };
                let traders: Vec<(Address, BTreeSet<usize>)> = users
                    .iter()
                    .enumerate()
                    .map(|(index, user)| (user.address(), visits.of_sender(pools, index)))
                    .collect();
                let mut swap: Box<dyn FnMut(usize, usize) -> Call> = match exchange {
                    Exchange::Own => {
                        let pools = places::pools(floor, count, &traders);
                        Box::new(move |place: usize, index: usize| {
                            places::swap(pools[place], index)
                        })
                    }
                    Exchange::UniswapV2 | Exchange::UniswapV3 => {
                        let codes = codes.uniswap.as_ref();
                        let codes = codes.ok_or("the codes of Uniswap are not there")?;
                        let market =
                            uniswap::Market::set_up(floor, codes, exchange, count, &traders);
                        let users = users.clone();
                        Box::new(move |place: usize, index: usize| {
                            market.swap(place, users[index].address(), index)
                        })
                    }
                };
                of_blocks(visits, |block, index| swap(visits.place_of(pools, block, index), index))
            }
            BlockKind::Lending => {
                let pools = places::lending(floor, visits, &users);
                of_blocks(visits, |block, index| {
                    places::loan(pools[visits.own_place(block, index)], index)
                })
            }
            BlockKind::Vault => {
                let vaults = places::vaults(floor, visits, &users);
                of_blocks(visits, |block, index| {
                    let vault = vaults[visits.own_place(block, index)];
                    places::share(vault, users[index].address(), index)
                })
            }
            BlockKind::Options => {
                let desks = places::options(floor, visits, &users);
                of_blocks(visits, |block, index| {
                    let desk = desks[visits.own_place(block, index)];
                    places::settlement(desk, users[index].address(), block)
                })
            }
            BlockKind::Chain | BlockKind::Aave | BlockKind::Mix => {
                return Err(format!("\"{kind}\" is no piece of a block"));
            }
        };
        Ok(Self { senders: vec![users; visits.shares.len()], calls })
    }

    /// Each block has senders of its own: what somebody owes anywhere is looked at by whatever it
    /// borrows later, so that who had been at the hot place would meet it again.
    fn aave(visits: Visits<'_>, floor: &mut Floor, codes: &Codes) -> Result<Self, String> {
        let codes = codes.aave.as_ref().ok_or("the codes of Aave are not there")?;
        let senders: Vec<Vec<Wallet>> =
            visits.shares.iter().map(|_| floor.script.users(visits.count)).collect();
        let market = aave::Market::set_up(floor, codes, visits, &senders)?;
        let calls = of_blocks(visits, |block, index| {
            let place = visits.place_of(aave::RESERVES, block, index);
            market.step(place, senders[block][index].address(), index)
        });
        Ok(Self { senders, calls })
    }

    /// Each transfer spends what the one before it brought.
    fn chain(count: usize, floor: &mut Floor) -> Self {
        let script = &mut floor.script;
        let cost = script.upfront(&Call::transfer(Address::ZERO, U256::ZERO));
        let mut senders = script.users(1);
        let links: Vec<Wallet> = (0..count).map(|_| script.stranger()).collect();
        // A million ether are there: the cost of a transfer is a few thousandths.
        let mut value = cost * U256::from(count + 1);
        debug_assert!(value < ether(500_000), "the first one has a million");
        let call = |to: &Wallet| {
            value -= cost;
            Call::transfer(to.address(), value)
        };
        let calls = vec![links.iter().map(call).collect()];
        // The last one only receives.
        senders.extend(links);
        senders.truncate(count);
        Self { senders: vec![senders], calls }
    }

    /// Adds a transaction of a block to the script.
    pub(super) fn send(&self, script: &mut Script, block: usize, index: usize) {
        script.send(self.senders[block][index], self.calls[block][index].clone());
    }
}

/// A call for each transaction of each block.
fn of_blocks(visits: Visits<'_>, mut call: impl FnMut(usize, usize) -> Call) -> Vec<Vec<Call>> {
    let of_block =
        |block: usize| -> Vec<Call> { (0..visits.count).map(|index| call(block, index)).collect() };
    (0..visits.shares.len()).map(of_block).collect()
}

/// Accounts that are there, and that nobody has a key for.
fn accounts(floor: &mut Floor, count: usize) -> Vec<Address> {
    let account = |_| {
        let address = floor.rng.address();
        floor.script.place(address, Bytes::new(), ether(1), &[]);
        address
    };
    (0..count).map(account).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hot_transactions_are_so_many_and_evenly_spread() {
        for (share, count, hot) in [(0, 50, 0), (10, 50, 5), (30, 50, 15), (100, 50, 50)] {
            let visits = Visits { count, shares: &[share] };
            let all: Vec<bool> = (0..count).map(|index| visits.is_hot(0, index)).collect();
            assert_eq!(all.iter().filter(|is_hot| **is_hot).count(), hot, "{share}");
            let in_first_half = all[..count / 2].iter().filter(|is_hot| **is_hot).count();
            assert!(in_first_half.abs_diff(hot / 2) <= 1, "{share}");
        }
    }

    #[test]
    fn a_sender_knows_all_places_it_goes_to() {
        let visits = Visits { count: 4, shares: &[0, 100] };
        assert_eq!(visits.of_sender(Pools::Each, 2), BTreeSet::from([0, 3]));
        assert_eq!(visits.of_sender(Pools::Few(2), 3), BTreeSet::from([0, 1]));
        assert_eq!(visits.of_sender(Pools::Few(1), 3), BTreeSet::from([0]));
    }
}
