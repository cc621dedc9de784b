//! Uniswap V2 and V3 by their real contracts: who deploys them, how pools are made and filled, and
//! what is called for a swap and for a quote.
//!
//! Their routers compute the address of a pool from the hash of its creation code, so the codes
//! must be those of one release. Source: the repositories v2-core and v2-periphery, v3-core and
//! v3-periphery of Uniswap: constructors, signatures, the tick spacing of 60 of the fee of 0.3 %,
//! and the highest tick, 887272.

use crate::{Call, contracts::input, desk::units, word};
use fugue_types::{Address, Bytes, U256};

/// What each pool is filled with, of either token.
pub(crate) const POOL_UNITS: u64 = 1_000_000;
/// Gas limit of making and filling a pool of V2; of making one of V3; of filling that.
const V2_POOL_GAS: u64 = 3_500_000;
const V3_POOL_GAS: u64 = 5_500_000;
const V3_FILL_GAS: u64 = 800_000;
/// Gas limit of a swap.
pub(crate) const SWAP_GAS: u64 = 260_000;
/// The fee of a pool of V3 in millionths.
const FEE: u64 = 3_000;
/// The highest tick that is a multiple of 60.
const TICK_MAX: u64 = 887_220;

/// Creation codes of the real contracts, without arguments.
#[derive(Debug, Clone)]
pub struct UniswapCodes {
    /// `UniswapV2Factory`.
    pub v2_factory: Bytes,
    /// `UniswapV2Router02`.
    pub v2_router: Bytes,
    /// `UniswapV3Factory`.
    pub v3_factory: Bytes,
    /// `SwapRouter` of V3.
    pub v3_router: Bytes,
    /// `NonfungiblePositionManager`.
    pub v3_positions: Bytes,
    /// `QuoterV2`, of V3.
    pub v3_quoter: Bytes,
}

/// The contracts of one version.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Venue {
    is_v3: bool,
    /// Whom traders let take their tokens.
    pub(crate) router: Address,
    /// Whom the owner of pools lets take what these are filled with.
    pub(crate) filler: Address,
    /// Who is asked for quotes.
    quoter: Address,
}

impl Venue {
    /// V2, which the deployer creates by its transactions from this nonce on; and these, in order.
    pub(crate) fn v2(codes: &UniswapCodes, deployer: Address, nonce: u64) -> (Self, Vec<Call>) {
        let [factory, router] = created(deployer, nonce);
        // Wrapped ether is not traded: any address will do.
        let none = word(deployer);
        let calls = vec![
            creation(&codes.v2_factory, &[none]),
            creation(&codes.v2_router, &[word(factory), none]),
        ];
        (Self { is_v3: false, router, filler: router, quoter: router }, calls)
    }

    /// V3, as [`Self::v2`].
    pub(crate) fn v3(codes: &UniswapCodes, deployer: Address, nonce: u64) -> (Self, Vec<Call>) {
        let [factory, router, filler, quoter] = created(deployer, nonce);
        // Nor does anybody describe positions.
        let (factory, none) = (word(factory), word(deployer));
        let calls = vec![
            creation(&codes.v3_factory, &[]),
            creation(&codes.v3_router, &[factory, none]),
            creation(&codes.v3_positions, &[factory, none, none]),
            creation(&codes.v3_quoter, &[factory, none]),
        ];
        (Self { is_v3: true, router, filler, quoter }, calls)
    }

    /// Makes a pool of two tokens, in the order of their addresses, and fills it with
    /// [`POOL_UNITS`] of either, which the owner has and lets the filler take.
    pub(crate) fn fill(&self, pair: [Address; 2], owner: Address) -> Vec<Call> {
        if self.is_v3 {
            fill_v3(self.filler, pair, owner)
        } else {
            vec![fill_v2(self.filler, pair, owner)]
        }
    }

    /// The trader gives an amount of the first token for the second.
    pub(crate) fn swap(&self, path: [Address; 2], amount: U256, trader: Address) -> Call {
        let ([from, to], trader) = (path.map(word), word(trader));
        let input = if self.is_v3 {
            let signature = "exactInputSingle((address,address,uint24,address,uint256,uint256,\
                             uint256,uint160))";
            let fee = U256::from(FEE);
            let words = [from, to, fee, trader, U256::MAX, amount, U256::ZERO, U256::ZERO];
            input(signature, &words)
        } else {
            let signature = "swapExactTokensForTokens(uint256,uint256,address[],address,uint256)";
            // The path, two addresses, stands behind the five words of the arguments.
            let (offset, length) = (U256::from(5 * 32), U256::from(2));
            let words = [amount, U256::ZERO, offset, trader, U256::MAX, length, from, to];
            input(signature, &words)
        };
        Call::to(self.router, input).gas(SWAP_GAS)
    }

    /// Whom to ask, and what, for how much of the second token an amount of the first one gives.
    pub(crate) fn quote(&self, path: [Address; 2], amount: U256) -> (Address, Bytes) {
        let [from, to] = path.map(word);
        let input = if self.is_v3 {
            let signature = "quoteExactInputSingle((address,address,uint256,uint24,uint160))";
            input(signature, &[from, to, amount, U256::from(FEE), U256::ZERO])
        } else {
            let (offset, length) = (U256::from(2 * 32), U256::from(2));
            input("getAmountsOut(uint256,address[])", &[amount, offset, length, from, to])
        };
        (self.quoter, input)
    }
}

/// The contracts that an account creates, one with each transaction from this nonce on.
fn created<const N: usize>(deployer: Address, nonce: u64) -> [Address; N] {
    std::array::from_fn(|index| deployer.create(nonce + index as u64))
}

/// Creates a contract with the words of its arguments.
fn creation(code: &Bytes, args: &[U256]) -> Call {
    let mut creation = code.to_vec();
    for arg in args {
        creation.extend_from_slice(&arg.to_be_bytes::<32>());
    }
    Call::create(creation.into())
}

/// Makes a pool of V2, and fills it.
fn fill_v2(router: Address, pair: [Address; 2], owner: Address) -> Call {
    let signature = "addLiquidity(address,address,uint256,uint256,uint256,uint256,address,uint256)";
    let ([first, second], amount) = (pair.map(word), units(POOL_UNITS));
    let owner = word(owner);
    let words = [first, second, amount, amount, U256::ZERO, U256::ZERO, owner, U256::MAX];
    Call::to(router, input(signature, &words)).gas(V2_POOL_GAS)
}

/// Makes a pool of V3 at a price of one, and fills it from the lowest tick to the highest.
fn fill_v3(positions: Address, pair: [Address; 2], owner: Address) -> Vec<Call> {
    let [first, second] = pair.map(word);
    let (fee, amount, owner) = (U256::from(FEE), units(POOL_UNITS), word(owner));
    let signature = "createAndInitializePoolIfNecessary(address,address,uint24,uint160)";
    let price = U256::from(1) << 96_usize;
    let make = input(signature, &[first, second, fee, price]);
    let signature = "mint((address,address,uint24,int24,int24,uint256,uint256,uint256,uint256,\
                     address,uint256))";
    let (low, high) = (U256::from(TICK_MAX).wrapping_neg(), U256::from(TICK_MAX));
    let none = U256::ZERO;
    let words = [first, second, fee, low, high, amount, amount, none, none, owner, U256::MAX];
    let fill = input(signature, &words);
    vec![Call::to(positions, make).gas(V3_POOL_GAS), Call::to(positions, fill).gas(V3_FILL_GAS)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(input: &Bytes) -> Vec<U256> {
        input[4..].chunks(32).map(U256::from_be_slice).collect()
    }

    /// Each code is one byte, by which it is known.
    fn codes() -> UniswapCodes {
        let code = |byte: u8| Bytes::from(vec![byte]);
        UniswapCodes {
            v2_factory: code(1),
            v2_router: code(2),
            v3_factory: code(3),
            v3_router: code(4),
            v3_positions: code(5),
            v3_quoter: code(6),
        }
    }

    #[test]
    fn contracts_stand_where_their_creations_put_them_and_know_their_factory() {
        let deployer = Address::repeat_byte(0xde);
        let (v2, of_v2) = Venue::v2(&codes(), deployer, 7);
        let (v3, of_v3) = Venue::v3(&codes(), deployer, 9);
        let found: Vec<u8> = of_v2.iter().chain(&of_v3).map(|call| call.input[0]).collect();
        assert_eq!(found, [1, 2, 3, 4, 5, 6]);
        assert_eq!((v2.router, v2.filler), (deployer.create(8), deployer.create(8)));
        assert_eq!((v3.router, v3.filler), (deployer.create(10), deployer.create(11)));
        let factory = |call: &Call| U256::from_be_slice(&call.input[1..33]);
        assert_eq!(factory(&of_v2[1]), word(deployer.create(7)));
        for call in &of_v3[1..] {
            assert_eq!(factory(call), word(deployer.create(9)));
        }
    }

    #[test]
    fn quotes_are_asked_of_the_router_of_v2_and_of_the_quoter_of_v3() {
        let [from, to, deployer] = [1, 2, 3].map(Address::repeat_byte);
        let (v2, _) = Venue::v2(&codes(), deployer, 0);
        let (asked, data) = v2.quote([from, to], U256::from(5));
        assert_eq!((asked, &data[..4]), (v2.router, &[0xd0, 0x6c, 0xa6, 0x1f][..]));
        let numbers = [5, 64, 2].map(U256::from);
        assert_eq!(words(&data), [&numbers[..], &[word(from), word(to)]].concat());
        let (v3, _) = Venue::v3(&codes(), deployer, 2);
        let (asked, data) = v3.quote([to, from], U256::from(5));
        assert_eq!((asked, &data[..4]), (deployer.create(5), &[0xc6, 0xa5, 0x02, 0x6a][..]));
        let numbers = [5, FEE, 0].map(U256::from);
        assert_eq!(words(&data), [&[word(to), word(from)], &numbers[..]].concat());
    }

    #[test]
    fn the_lowest_tick_is_negative_in_two_s_complement() {
        let calls = fill_v3(Address::ZERO, [Address::ZERO; 2], Address::ZERO);
        let [make, fill] = &calls[..] else { panic!("a pool is made and filled") };
        assert_eq!(make.input[..4], [0x13, 0xea, 0xd5, 0x62]);
        assert_eq!(fill.input[..4], [0x88, 0x31, 0x64, 0x56]);
        let words = words(&fill.input);
        assert_eq!(words[3].wrapping_add(words[4]), U256::ZERO);
        assert_eq!(words[4], U256::from(887_220));
    }
}
