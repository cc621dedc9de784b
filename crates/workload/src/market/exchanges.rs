//! Uniswap in a market: a pool of V2 and one of V3 for every two tokens, and one owner of all.

use super::Ledger;
use crate::{
    Call, Exchange, UniswapCodes, Wallet,
    desk::units,
    uniswap::{POOL_UNITS, Venue},
};
use fugue_types::{Address, Bytes, U256};

/// Where Uniswap is, and what is traded there.
#[derive(Debug, Clone)]
pub(super) struct Uniswap {
    owner: Address,
    v2: Venue,
    v3: Venue,
    tokens: Vec<Address>,
    /// Of every two tokens the indices, in the order of their addresses.
    pairs: Vec<[usize; 2]>,
}

impl Uniswap {
    /// Of these tokens, at least two; and what the owner has to send before all else, from its
    /// first nonce on.
    pub(super) fn new(
        owner: Address,
        codes: &UniswapCodes,
        tokens: &[Address],
    ) -> (Self, Vec<Call>) {
        let (v2, mut calls) = Venue::v2(codes, owner, 0);
        let (v3, creations) = Venue::v3(codes, owner, calls.len() as u64);
        calls.extend(creations);
        let all = (0..tokens.len()).flat_map(|last| (0..last).map(move |first| [first, last]));
        let in_order = |[first, last]: [usize; 2]| {
            if tokens[first] < tokens[last] { [first, last] } else { [last, first] }
        };
        let pairs: Vec<[usize; 2]> = all.map(in_order).collect();
        for pair in &pairs {
            for venue in [&v2, &v3] {
                calls.extend(venue.fill(pair.map(|token| tokens[token]), owner));
            }
        }
        (Self { owner, v2, v3, tokens: tokens.to_vec(), pairs }, calls)
    }

    pub(super) const fn owner(&self) -> Address {
        self.owner
    }

    /// What the genesis has for it: what pools are filled with, and that routers may take it and
    /// what a sender trades with.
    pub(super) fn lend(&self, ledgers: &mut [Ledger], senders: &[Wallet]) {
        for token in self.pairs.iter().flatten() {
            for venue in [&self.v2, &self.v3] {
                ledgers[*token].credit(self.owner, units(POOL_UNITS));
                ledgers[*token].approve(self.owner, venue.filler);
            }
        }
        for (index, sender) in senders.iter().enumerate() {
            for token in self.pair_of(index) {
                for venue in [&self.v2, &self.v3] {
                    ledgers[token].approve(sender.address(), venue.router);
                }
            }
        }
    }

    /// A trade of the sender with this index, at its pool and to either side.
    pub(super) fn swap(
        &self,
        exchange: Exchange,
        index: usize,
        side: usize,
        amount: U256,
        trader: Address,
    ) -> Call {
        self.venue(exchange).swap(self.path(index, side), amount, trader)
    }

    /// The nth quote, which goes through all pools to one side and then to the other.
    pub(super) fn quote(&self, exchange: Exchange, nth: usize, amount: U256) -> (Address, Bytes) {
        self.venue(exchange).quote(self.path(nth, nth / self.pairs.len()), amount)
    }

    fn pair_of(&self, index: usize) -> [usize; 2] {
        self.pairs[index % self.pairs.len()]
    }

    /// From one token of a pair to the other, and back for an odd side.
    fn path(&self, index: usize, side: usize) -> [Address; 2] {
        let mut path = self.pair_of(index).map(|token| self.tokens[token]);
        if !side.is_multiple_of(2) {
            path.reverse();
        }
        path
    }

    fn venue(&self, exchange: Exchange) -> &Venue {
        if exchange == Exchange::UniswapV3 { &self.v3 } else { &self.v2 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Forge, Forged, Market, MarketSize, forge::first_header};
    use fugue_chainspec::ChainSpec;
    use fugue_types::{TransactionTrait, keccak256};
    use std::collections::BTreeSet;

    const SIZE: usize = 200;

    /// Codes that deploy nothing, so that whatever is called does nothing and succeeds.
    fn market() -> Market {
        let nothing = Bytes::from_static(&[0]);
        let codes = UniswapCodes {
            v2_factory: nothing.clone(),
            v2_router: nothing.clone(),
            v3_factory: nothing.clone(),
            v3_router: nothing.clone(),
            v3_positions: nothing.clone(),
            v3_quoter: nothing,
        };
        Market::with_uniswap(3, &MarketSize::new(400, SIZE), &codes)
    }

    #[test]
    fn the_first_block_sets_it_up_and_swaps_go_to_both_routers() {
        let mut market = market();
        let head = first_header(Market::FORK, market.gas_limit(), Address::ZERO);
        let chain = ChainSpec::of_genesis(&Market::config(), &head).expect("a chain");
        let mut forge = Forge::new(chain, market.genesis_state(), head, 1).expect("a genesis");
        assert_eq!(market.setup_blocks(), 1);
        let plan = market.next_block();
        assert_eq!(market.setup_blocks(), 0);
        let limits: u64 = plan.transactions.iter().map(|tx| tx.gas_limit()).sum();
        assert!(limits <= plan.gas_limit, "{limits}");
        // Six contracts, and for every two of four tokens a pool of V2 and two steps for V3.
        assert_eq!(plan.transactions.len(), 6 + 6 * 3);
        let Forged { outcome, .. } = forge.add(&plan).expect("a valid block");
        assert!(outcome.results.iter().all(|result| result.status.is_success()));
        let created: Vec<Address> =
            outcome.results.iter().filter_map(|result| result.created).collect();
        let [_, v2_router, _, v3_router, _, v3_quoter] = created[..] else {
            panic!("six contracts: {created:?}")
        };

        let plan = market.next_block();
        assert_eq!(plan.transactions.len(), SIZE);
        let called: BTreeSet<Address> = plan.transactions.iter().filter_map(|tx| tx.to()).collect();
        assert!(called.contains(&v2_router) && called.contains(&v3_router));
        forge.add(&plan).expect("a valid block");
        let asked = |exchange| -> BTreeSet<Address> {
            market.quotes(exchange, 30).into_iter().map(|(contract, _)| contract).collect()
        };
        assert_eq!(asked(Exchange::UniswapV2), BTreeSet::from([v2_router]));
        assert_eq!(asked(Exchange::UniswapV3), BTreeSet::from([v3_quoter]));
    }

    #[test]
    fn quotes_differ_and_go_to_every_pool_to_either_side() {
        let market = market();
        for exchange in [Exchange::UniswapV2, Exchange::UniswapV3] {
            let quotes = market.quotes(exchange, 12);
            let inputs: BTreeSet<_> = quotes.iter().map(|(_, input)| input.clone()).collect();
            assert_eq!(inputs.len(), 12, "{exchange:?}");
            // The path stands at the end of one, and at the beginning of the other.
            let from = if exchange == Exchange::UniswapV2 { 4 + 3 * 32 } else { 4 };
            let paths: BTreeSet<_> =
                quotes.iter().map(|(_, input)| keccak256(&input[from..from + 64])).collect();
            assert_eq!(paths.len(), 12, "{exchange:?}");
        }
        assert_eq!(market.quotes(Exchange::Own, 3).len(), 3);
        let other = Market::new(3, &MarketSize::new(400, SIZE));
        assert!(other.quotes(Exchange::UniswapV2, 3).is_empty());
        assert_eq!(other.setup_blocks(), 0);
    }
}
