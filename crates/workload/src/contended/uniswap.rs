//! Pools of Uniswap V2 and V3, made and filled by transactions to the real contracts.
//!
//! Their routers compute the address of a pool from the hash of its creation code, so the codes
//! must be those of one release. Source: the repositories v2-core and v2-periphery, v3-core and
//! v3-periphery of Uniswap: constructors, signatures, the tick spacing of 60 of the fee of 0.3 %,
//! and the highest tick, 887272.

use super::{Exchange, Floor, piece::SENDER_UNITS};
use crate::{Call, desk::units, word};
use fugue_types::{Address, Bytes, U256, keccak256};
use std::collections::BTreeSet;

/// What each pool is filled with, of either token.
const POOL_UNITS: u64 = 1_000_000;
/// Gas limit of making and filling a pool of V2; of making one of V3; of filling that.
const V2_POOL_GAS: u64 = 3_500_000;
const V3_POOL_GAS: u64 = 5_500_000;
const V3_FILL_GAS: u64 = 800_000;
/// Gas limit of a swap.
const SWAP_GAS: u64 = 260_000;
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
}

/// Pools of one version, behind their router.
pub(super) struct Market {
    is_v3: bool,
    router: Address,
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
        let is_v3 = exchange == Exchange::UniswapV3;
        let deployer = floor.script.deployer().address();
        // Wrapped ether is not traded: any address will do, and nobody describes positions.
        let none = word(deployer);
        let (router, filler) = if is_v3 {
            let factory = word(deploy(floor, &codes.v3_factory, &[]));
            let router = deploy(floor, &codes.v3_router, &[factory, none]);
            (router, deploy(floor, &codes.v3_positions, &[factory, none, none]))
        } else {
            let factory = word(deploy(floor, &codes.v2_factory, &[none]));
            let router = deploy(floor, &codes.v2_router, &[factory, none]);
            (router, router)
        };
        let tokens: Vec<[usize; 2]> = (0..count).map(|_| floor.pair()).collect();
        for token in tokens.iter().flatten() {
            floor.lend(*token, deployer, filler, units(2 * POOL_UNITS));
        }
        for (trader, places) in traders {
            for token in places.iter().flat_map(|place| tokens[*place]) {
                floor.lend(token, *trader, router, units(SENDER_UNITS));
            }
        }
        let pairs: Vec<[Address; 2]> =
            tokens.iter().map(|pair| pair.map(|token| floor.address(token))).collect();
        for pair in &pairs {
            let calls = if is_v3 {
                fill_v3(filler, *pair, deployer)
            } else {
                vec![fill_v2(filler, *pair, deployer)]
            };
            for call in calls {
                floor.script.setup(floor.script.deployer(), call);
            }
        }
        Self { is_v3, router, pairs }
    }

    /// A trade, in turns to either side.
    pub(super) fn swap(&self, place: usize, trader: Address, index: usize) -> Call {
        let [first, second] = self.pairs[place].map(word);
        let (from, to) = if index.is_multiple_of(2) { (first, second) } else { (second, first) };
        let (amount, trader) = (units(1 + index as u64 % 50), word(trader));
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

/// Deploys a contract in the setup.
fn deploy(floor: &mut Floor, code: &Bytes, args: &[U256]) -> Address {
    let script = &mut floor.script;
    let deployer = script.deployer();
    let address = deployer.address().create(script.next_nonce(deployer));
    let mut creation = code.to_vec();
    for arg in args {
        creation.extend_from_slice(&arg.to_be_bytes::<32>());
    }
    script.setup(deployer, Call::create(creation.into()));
    address
}

/// Call data: the selector of a signature, and the words after it.
fn input(signature: &str, words: &[U256]) -> Bytes {
    let mut input = keccak256(signature)[..4].to_vec();
    for word in words {
        input.extend_from_slice(&word.to_be_bytes::<32>());
    }
    input.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn call_data_is_the_selector_and_the_words() {
        let signature = "swapExactTokensForTokens(uint256,uint256,address[],address,uint256)";
        let data = input(signature, &[U256::from(7)]);
        assert_eq!(data[..4], [0x38, 0xed, 0x17, 0x39]);
        assert_eq!((data.len(), data[35]), (36, 7));
    }

    #[test]
    fn the_lowest_tick_is_negative_in_two_s_complement() {
        let calls = fill_v3(Address::ZERO, [Address::ZERO; 2], Address::ZERO);
        let [make, fill] = &calls[..] else { panic!("a pool is made and filled") };
        assert_eq!(make.input[..4], [0x13, 0xea, 0xd5, 0x62]);
        assert_eq!(fill.input[..4], [0x88, 0x31, 0x64, 0x56]);
        let word = |index: usize| U256::from_be_slice(&fill.input[4 + 32 * index..][..32]);
        assert_eq!(word(3).wrapping_add(word(4)), U256::ZERO);
        assert_eq!(word(4), U256::from(887_220));
    }
}
