//! Blocks of one kind of transactions, of which a known share aims at one hot place: what
//! executors are compared by.
//!
//! Terms:
//! * a *place* is what a transaction goes to: a recipient, a pool, a lending pool, a vault. Each
//!   has tokens of its own, so that two places share neither account nor slot, but for the router
//!   of real exchanges, which keeps nothing;
//! * the first place is the *hot* one. So many transactions of a hundred go there, evenly spread
//!   over the block, and the others take turns at all places: where each has one of its own, two
//!   transactions meet at the hot place alone;
//! * each transaction of a block has a sender of its own, except in [`BlockKind::Chain`].
//!
//! What stands at a place stands there from the genesis on, with balances, allowances, loans,
//! shares and options. Only real contracts are set up by transactions.

mod aave;
mod piece;
mod places;
mod uniswap;

use crate::{AaveCodes, Market, Rng, Scenario, Script, UniswapCodes, contracts, market::Ledger};
use fugue_chainspec::Fork;
use fugue_types::{Address, U256};
use piece::{Piece, Visits};
use std::{fmt, str::FromStr};

/// Transactions that a block has at least.
const TXS_MIN: u64 = 20;
/// The pieces of a mix: which of them the transactions of a block take turns at.
const MIX: [BlockKind; 6] = [
    BlockKind::Transfers,
    BlockKind::Tokens,
    BlockKind::Swaps(Exchange::Own, Pools::Few(10)),
    BlockKind::Lending,
    BlockKind::Vault,
    BlockKind::Options,
];
/// A quarter transfers of ether, 30 % of tokens, 20 % swaps, 10 % loans, 10 % shares, 5 % options.
const MIX_TURNS: [usize; 20] = [0, 1, 2, 1, 0, 3, 1, 2, 4, 0, 1, 5, 2, 0, 1, 3, 4, 1, 0, 2];

/// Whose contracts swaps go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Exchange {
    /// Those of `testdata/contracts`, in the manner of Uniswap V2.
    Own,
    /// Uniswap V2, through its router.
    UniswapV2,
    /// Uniswap V3, through its router.
    UniswapV3,
}

/// How many pools there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pools {
    /// So many, which transactions take turns at.
    Few(usize),
    /// One for each transaction, and the hot one.
    Each,
}

/// What the transactions of a block do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BlockKind {
    /// Ether to an account of the sender's own, or to the hot one.
    Transfers,
    /// Ether from one account to the next, which has nothing else: wholly serial.
    Chain,
    /// Units of one ERC-20 token to a holder of the sender's own, or to the hot one.
    Tokens,
    /// Swaps.
    Swaps(Exchange, Pools),
    /// Collateral, loans and repayments, in turn.
    Lending,
    /// The same at the reserves of Aave V3, with collateral that is there before.
    Aave,
    /// Three deposits for each harvest of a vault in the manner of ERC-4626.
    Vault,
    /// Options that are settled in cash.
    Options,
    /// All of them.
    Mix,
}

impl BlockKind {
    /// All kinds.
    pub const ALL: [Self; 20] = [
        Self::Transfers,
        Self::Chain,
        Self::Tokens,
        Self::Swaps(Exchange::Own, Pools::Few(1)),
        Self::Swaps(Exchange::Own, Pools::Few(10)),
        Self::Swaps(Exchange::Own, Pools::Few(100)),
        Self::Swaps(Exchange::Own, Pools::Each),
        Self::Swaps(Exchange::UniswapV2, Pools::Few(1)),
        Self::Swaps(Exchange::UniswapV2, Pools::Few(10)),
        Self::Swaps(Exchange::UniswapV2, Pools::Few(100)),
        Self::Swaps(Exchange::UniswapV2, Pools::Each),
        Self::Swaps(Exchange::UniswapV3, Pools::Few(1)),
        Self::Swaps(Exchange::UniswapV3, Pools::Few(10)),
        Self::Swaps(Exchange::UniswapV3, Pools::Few(100)),
        Self::Swaps(Exchange::UniswapV3, Pools::Each),
        Self::Lending,
        Self::Aave,
        Self::Vault,
        Self::Options,
        Self::Mix,
    ];

    /// The fork that holds from genesis on.
    pub const FORK: Fork = Market::FORK;

    /// Whether the share of transactions that aim at the hot place can be chosen. Where it cannot,
    /// all of them meet.
    pub const fn has_share(self) -> bool {
        !matches!(self, Self::Chain | Self::Swaps(_, Pools::Few(0 | 1)))
    }

    /// Whether it takes [`UniswapCodes`].
    pub const fn is_of_uniswap(self) -> bool {
        matches!(self, Self::Swaps(Exchange::UniswapV2 | Exchange::UniswapV3, _))
    }

    /// Gas of a transaction, about: what a block holds is counted by it.
    const fn gas_each(self) -> u64 {
        match self {
            Self::Transfers | Self::Chain => 21_000,
            Self::Tokens => 37_000,
            Self::Swaps(Exchange::Own, _) => 75_000,
            Self::Swaps(Exchange::UniswapV2, _) => 105_000,
            Self::Swaps(Exchange::UniswapV3, _) => 115_000,
            Self::Lending | Self::Vault | Self::Options => 56_000,
            Self::Aave => 170_000,
            Self::Mix => 45_000,
        }
    }
}

impl fmt::Display for BlockKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (exchange, pools) = match self {
            Self::Transfers => return f.write_str("transfers"),
            Self::Chain => return f.write_str("chain"),
            Self::Tokens => return f.write_str("erc20"),
            Self::Lending => return f.write_str("lending"),
            Self::Aave => return f.write_str("aave"),
            Self::Vault => return f.write_str("vault"),
            Self::Options => return f.write_str("options"),
            Self::Mix => return f.write_str("mix"),
            Self::Swaps(exchange, pools) => (exchange, pools),
        };
        f.write_str(match exchange {
            Exchange::Own => "swaps",
            Exchange::UniswapV2 => "uniswap-v2",
            Exchange::UniswapV3 => "uniswap-v3",
        })?;
        match pools {
            Pools::Few(count) => write!(f, "-{count}"),
            Pools::Each => f.write_str("-each"),
        }
    }
}

impl FromStr for BlockKind {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|kind| kind.to_string() == name);
        found.ok_or_else(|| {
            let kinds: Vec<String> = Self::ALL.iter().map(Self::to_string).collect();
            format!("\"{name}\" is no kind of block: those are {}", kinds.join(", "))
        })
    }
}

/// Compiled contracts of others, as far as they are there.
#[derive(Debug, Clone, Default)]
pub struct Codes {
    /// Those of Uniswap V2 and V3.
    pub uniswap: Option<UniswapCodes>,
    /// Those of Aave V3.
    pub aave: Option<AaveCodes>,
}

impl Codes {
    /// Whether all are there that a kind takes.
    pub fn suffice(&self, kind: BlockKind) -> bool {
        (self.uniswap.is_some() || !kind.is_of_uniswap())
            && (self.aave.is_some() || kind != BlockKind::Aave)
    }
}

/// Writes a scenario with one block of about `gas` for each of the `shares`: how many transactions
/// of a hundred aim at the hot place. A kind that has no share has one block.
///
/// # Errors
/// If the codes do not [suffice](Codes::suffice), or are not those of one release.
pub fn contended(
    seed: u64,
    kind: BlockKind,
    gas: u64,
    shares: &[u8],
    codes: &Codes,
) -> Result<Scenario, String> {
    let about = "transactions of which a known share aims at one place";
    let script = Script::new(&format!("contended-{kind}"), about, seed, BlockKind::FORK);
    let rng = script.stream("places");
    let mut floor = Floor { script, rng, tokens: Vec::new() };
    let count = (gas / kind.gas_each()).max(TXS_MIN);
    let count = usize::try_from(count).map_err(|error| error.to_string())?;
    let shares: &[u8] = if kind.has_share() { shares } else { &[100] };
    let beneficiary = floor.rng.address();

    let is_mix = kind == BlockKind::Mix;
    let kinds: &[BlockKind] = if is_mix { &MIX } else { std::slice::from_ref(&kind) };
    let turns: &[usize] = if is_mix { &MIX_TURNS } else { &[0] };
    let turn = |index: usize| turns[index % turns.len()];
    let mut pieces = Vec::with_capacity(kinds.len());
    for (number, kind) in kinds.iter().enumerate() {
        let own = (0..count).filter(|index| turn(*index) == number).count();
        let visits = Visits { count: own, shares };
        pieces.push(Piece::new(*kind, visits, &mut floor, codes)?);
    }
    floor.place_tokens();
    let mut script = floor.script;
    for block in 0..shares.len() {
        let mut sent = vec![0; pieces.len()];
        for index in 0..count {
            let number = turn(index);
            pieces[number].send(&mut script, block, sent[number]);
            sent[number] += 1;
        }
        script.whole_block(beneficiary);
    }
    Ok(script.end(beneficiary))
}

/// What places are made on.
struct Floor {
    script: Script,
    rng: Rng,
    tokens: Vec<(Address, Ledger)>,
}

impl Floor {
    /// A new token, which nobody holds yet.
    fn token(&mut self) -> usize {
        self.tokens.push((self.rng.address(), Ledger::default()));
        self.tokens.len() - 1
    }

    /// Two new tokens, in the order of their addresses, as real exchanges have them.
    fn pair(&mut self) -> [usize; 2] {
        let pair = [self.token(), self.token()];
        let [first, second] = pair.map(|token| self.address(token));
        if first < second { pair } else { [pair[1], pair[0]] }
    }

    /// The address of a token.
    fn address(&self, token: usize) -> Address {
        self.tokens[token].0
    }

    /// Gives somebody units of a token.
    fn credit(&mut self, token: usize, holder: Address, amount: U256) {
        self.tokens[token].1.credit(holder, amount);
    }

    /// Gives a holder units of a token, which the spender may take.
    fn lend(&mut self, token: usize, holder: Address, spender: Address, amount: U256) {
        self.credit(token, holder, amount);
        self.tokens[token].1.approve(holder, spender);
    }

    /// Puts all tokens into the genesis, with who holds them.
    fn place_tokens(&mut self) {
        let code = contracts::runtime("Token");
        for (address, Ledger { mut slots, supply }) in std::mem::take(&mut self.tokens) {
            slots.insert(U256::ZERO, supply);
            let slots: Vec<_> = slots.into_iter().collect();
            self.script.place(address, code.clone(), U256::ZERO, &slots);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::outcomes;
    use fugue_executor::BlockOutcome;
    use fugue_types::{HashMap, TransactionTrait};

    const SHARES: [u8; 3] = [0, 30, 100];

    fn scenario(kind: BlockKind, gas: u64) -> Scenario {
        contended(1, kind, gas, &SHARES, &Codes::default()).expect("a scenario")
    }

    fn own_kinds() -> impl Iterator<Item = BlockKind> {
        BlockKind::ALL.into_iter().filter(|kind| Codes::default().suffice(*kind))
    }

    #[test]
    fn names_are_read_back_and_each_is_one_kind() {
        for kind in BlockKind::ALL {
            assert_eq!(kind.to_string().parse::<BlockKind>(), Ok(kind));
        }
        let told = "swaps-2".parse::<BlockKind>().expect_err("no kind");
        assert!(BlockKind::ALL.iter().all(|kind| told.contains(&kind.to_string())), "{told}");
    }

    #[test]
    fn real_contracts_need_their_codes() {
        let codes = Codes::default();
        for kind in [BlockKind::Swaps(Exchange::UniswapV3, Pools::Few(10)), BlockKind::Aave] {
            assert!(!codes.suffice(kind), "{kind}");
            assert!(contended(1, kind, 1_000_000, &SHARES, &codes).is_err(), "{kind}");
        }
    }

    #[test]
    fn all_transactions_succeed_and_use_about_the_gas_that_is_asked_for() {
        const GAS: u64 = 3_000_000;
        for kind in own_kinds() {
            let outcomes = outcomes(&scenario(kind, GAS));
            assert_eq!(outcomes.len(), if kind.has_share() { SHARES.len() } else { 1 }, "{kind}");
            for BlockOutcome { results, gas_used, .. } in &outcomes {
                assert!(results.iter().all(|result| result.status.is_success()), "{kind}");
                assert!(*gas_used > GAS / 2 && *gas_used < GAS * 3 / 2, "{kind}: {gas_used}");
            }
        }
    }

    #[test]
    fn so_many_aim_at_the_hot_place_as_was_asked_for() {
        let kinds = [
            BlockKind::Transfers,
            BlockKind::Swaps(Exchange::Own, Pools::Each),
            BlockKind::Lending,
            BlockKind::Vault,
            BlockKind::Options,
        ];
        for kind in kinds {
            let scenario = scenario(kind, 3_000_000);
            for (plan, share) in scenario.blocks.iter().zip(SHARES) {
                let mut visits: HashMap<Address, usize> = HashMap::default();
                for tx in &plan.transactions {
                    *visits.entry(tx.to().expect("nobody creates a contract")).or_default() += 1;
                }
                let count = plan.transactions.len();
                let most = visits.values().max().copied().unwrap_or_default();
                let expected = (count * usize::from(share) / 100).max(1);
                assert!(most.abs_diff(expected) <= 1, "{kind}, {share}: {most} of {count}");
                assert!(visits.len() >= count - expected, "{kind}, {share}");
            }
        }
    }

    #[test]
    fn pools_take_turns() {
        let scenario = scenario(BlockKind::Swaps(Exchange::Own, Pools::Few(10)), 5_000_000);
        let mut pools: Vec<Address> =
            scenario.blocks[0].transactions.iter().filter_map(|tx| tx.to()).collect();
        pools.sort_unstable();
        pools.dedup();
        assert_eq!(pools.len(), 10);
    }

    #[test]
    fn the_same_seed_gives_the_same_blocks() {
        let kind = BlockKind::Mix;
        let of = |seed| {
            let codes = Codes::default();
            let scenario = contended(seed, kind, 1_000_000, &SHARES, &codes).expect("a scenario");
            scenario.blocks.into_iter().map(|plan| plan.transactions).collect::<Vec<_>>()
        };
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
    }
}
