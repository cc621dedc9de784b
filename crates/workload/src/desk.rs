//! A set of DeFi contracts with users that hold their tokens and have approved them.

use crate::{Call, Rng, Script, Wallet, contracts, contracts::word};
use fugue_types::{Address, B256, U256, keccak256};

/// Units of a token with 18 decimals.
pub(crate) fn units(count: u64) -> U256 {
    U256::from(u128::from(count) * 1_000_000_000_000_000_000)
}

/// What a user holds of each token.
const USER_UNITS: u64 = 1_000_000;
/// What the deployer and the contracts that lend hold of each token.
const RESERVE_UNITS: u64 = 1_000_000_000;
/// What the deployer puts into each side of a pool.
const POOL_UNITS: u64 = 100_000;

/// How large a desk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeskSize {
    /// Users with tokens and approvals.
    pub users: usize,
    /// Tokens; at least two.
    pub tokens: usize,
    /// Pools of two tokens each.
    pub pools: usize,
}

/// A pool of two of the desk's tokens.
#[derive(Debug, Clone, Copy)]
pub struct Pool {
    /// The `Exchange`.
    pub address: Address,
    /// Indices of its tokens.
    pub tokens: [usize; 2],
}

/// A channel that was opened and may be closed.
#[derive(Debug, Clone, Copy)]
pub struct OpenChannel {
    /// Its id in the contract.
    pub id: U256,
    /// Who pays.
    pub payer: Wallet,
    /// Who is paid, and closes.
    pub recipient: Wallet,
    /// The far end of the hash chain whose near end is the anchor.
    pub secret: B256,
}

/// DeFi contracts with their users, from Byzantium on.
#[derive(Debug, Clone)]
pub struct Desk {
    /// Wallets with ether, tokens, and approvals for every contract.
    pub users: Vec<Wallet>,
    /// `Token` contracts, seeded in the genesis.
    pub tokens: Vec<Address>,
    /// `Exchange` contracts with liquidity.
    pub pools: Vec<Pool>,
    /// `LendingPool`: collateral is token 0, debt is token 1.
    pub lending: Address,
    /// `Vault` of token 0; the deployer is its strategy.
    pub vault: Address,
    /// `Options` settled in token 1.
    pub options: Address,
    /// `Channel`.
    pub channel: Address,
    /// Ids of options that were written.
    pub option_ids: Vec<U256>,
    /// Channels that were opened and not closed by a script.
    pub channels: Vec<OpenChannel>,
    /// The salt of the next option or channel.
    pub salt: u64,
}

impl Desk {
    /// Deploys the contracts, seeds the tokens, and fills the pools.
    pub fn deploy(script: &mut Script, size: DeskSize) -> Self {
        let mut rng = script.stream("desk");
        let users = script.users(size.users);
        let tokens: Vec<_> = (0..size.tokens.max(2)).map(|_| rng.address()).collect();
        let pools: Vec<_> = pairs(tokens.len(), size.pools)
            .into_iter()
            .map(|[first, second]| {
                let args = [word(tokens[first]), word(tokens[second])];
                Pool { address: script.deploy("Exchange", &args), tokens: [first, second] }
            })
            .collect();
        let one = units(1);
        let strategy = word(script.deployer().address());
        let lending = script.deploy("LendingPool", &[word(tokens[0]), word(tokens[1]), one]);
        let per_second = U256::from(1_000_000_000_000_000_u64);
        let vault = script.deploy("Vault", &[word(tokens[0]), strategy, per_second]);
        let options = script.deploy("Options", &[word(tokens[1]), one]);
        let channel = script.deploy("Channel", &[]);
        let desk = Self {
            users,
            tokens,
            pools,
            lending,
            vault,
            options,
            channel,
            option_ids: Vec::new(),
            channels: Vec::new(),
            salt: 0,
        };
        for index in 0..desk.tokens.len() {
            desk.seed_token(script, index);
        }
        desk.fill_pools(script, &mut rng);
        desk
    }

    /// Puts a token into the genesis with balances and endless allowances.
    fn seed_token(&self, script: &mut Script, index: usize) {
        let deployer = script.deployer().address();
        let mut spenders: Vec<_> = self
            .pools
            .iter()
            .filter(|pool| pool.tokens.contains(&index))
            .map(|pool| pool.address)
            .collect();
        if index < 2 {
            spenders.extend([self.lending, self.vault, self.options]);
        }
        let rich = [deployer, self.lending];
        let holders = rich.map(|holder| (holder, units(RESERVE_UNITS))).into_iter();
        let poor = self.users.iter().map(|user| (user.address(), units(USER_UNITS)));
        let mut slots = Vec::new();
        let mut supply = U256::ZERO;
        for (holder, balance) in holders.chain(poor) {
            supply += balance;
            slots.push((balance_slot(holder), balance));
            for spender in &spenders {
                slots.push((allowance_slot(holder, *spender), U256::MAX));
            }
        }
        slots.push((U256::ZERO, supply));
        script.place(self.tokens[index], contracts::runtime("Token"), U256::ZERO, &slots);
    }

    fn fill_pools(&self, script: &mut Script, rng: &mut Rng) {
        for pool in &self.pools {
            let amounts = [POOL_UNITS, POOL_UNITS + rng.below(POOL_UNITS)].map(units);
            let signature = "addLiquidity(uint256,uint256)";
            let call = Call::function(pool.address, "Exchange", signature, &amounts);
            script.setup(script.deployer(), call.gas(600_000).fresh(8));
        }
    }
}

/// The first `count` pairs of `tokens` indices, each pair in a stable order; from the beginning
/// again where there are not enough.
fn pairs(tokens: usize, count: usize) -> Vec<[usize; 2]> {
    let all: Vec<_> = (1..tokens)
        .flat_map(|distance| (0..tokens - distance).map(move |low| [low, low + distance]))
        .collect();
    all.iter().copied().cycle().take(count).collect()
}

/// Slot of a balance in `Token`.
pub(crate) fn balance_slot(holder: Address) -> U256 {
    mapping_slot(word(holder), U256::from(1))
}

/// Slot of an allowance in `Token`.
pub(crate) fn allowance_slot(owner: Address, spender: Address) -> U256 {
    mapping_slot(word(spender), mapping_slot(word(owner), U256::from(2)))
}

/// Slot of a value in a Solidity mapping: keccak256 of the key and the mapping's own slot.
pub(crate) fn mapping_slot(key: U256, slot: U256) -> U256 {
    let mut input = key.to_be_bytes::<32>().to_vec();
    input.extend_from_slice(&slot.to_be_bytes::<32>());
    U256::from_be_bytes(keccak256(&input).0)
}
