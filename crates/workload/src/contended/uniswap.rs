//! Pools of Uniswap V2 and V3 as places, made and filled by transactions to the real contracts.

use super::{Exchange, Floor, UniswapCodes, piece::SENDER_UNITS};
use crate::{
    Call,
    desk::units,
    uniswap::{POOL_UNITS, Venue},
};
use fugue_types::Address;
use std::collections::BTreeSet;

/// Pools of one version, behind their router.
pub(super) struct Market {
    venue: Venue,
    /// The tokens of each pool.
    pairs: Vec<[Address; 2]>,
}

impl Market {
    /// Deploys the contracts, and makes and fills the pools. `traders` has each sender with the
    /// pools that it goes to.
    pub(super) fn set_up(
        floor: &mut Floor,
        codes: &UniswapCodes,
        exchange: Exchange,
        count: usize,
        traders: &[(Address, BTreeSet<usize>)],
    ) -> Self {
        let deployer = floor.script.deployer();
        let owner = deployer.address();
        let nonce = floor.script.next_nonce(deployer);
        let (venue, creations) = if exchange == Exchange::UniswapV3 {
            Venue::v3(codes, owner, nonce)
        } else {
            Venue::v2(codes, owner, nonce)
        };
        for call in creations {
            floor.script.setup(deployer, call);
        }
        let tokens: Vec<[usize; 2]> = (0..count).map(|_| floor.pair()).collect();
        for token in tokens.iter().flatten() {
            floor.lend(*token, owner, venue.filler, units(2 * POOL_UNITS));
        }
        for (trader, places) in traders {
            for token in places.iter().flat_map(|place| tokens[*place]) {
                floor.lend(token, *trader, venue.router, units(SENDER_UNITS));
            }
        }
        let pairs: Vec<[Address; 2]> =
            tokens.iter().map(|pair| pair.map(|token| floor.address(token))).collect();
        for call in pairs.iter().flat_map(|pair| venue.fill(*pair, owner)) {
            floor.script.setup(deployer, call);
        }
        Self { venue, pairs }
    }

    /// A trade, in turns to either side.
    pub(super) fn swap(&self, place: usize, trader: Address, index: usize) -> Call {
        let mut path = self.pairs[place];
        if !index.is_multiple_of(2) {
            path.reverse();
        }
        self.venue.swap(path, units(1 + index as u64 % 50), trader)
    }
}
