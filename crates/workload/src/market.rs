//! A chain with many accounts and as many blocks as wanted, for measuring imports.
//!
//! Its transactions are transfers of ether, transfers of tokens, and swaps. Senders are few enough
//! to have keys, receivers are any of the accounts, so that most of what a block changes was not
//! touched for long. Tokens and pools stand in the genesis, with balances and allowances. Where the
//! contracts of Uniswap are given, swaps go to pools of its V2 and V3 instead, and the first block
//! deploys them; nothing else is set up by transactions. All transactions are valid in their order:
//! * nonces are handed out in that order, and nobody else counts them up;
//! * a sender holds a million ether, and offers a fee that no base fee reaches in practice for what
//!   a swap may use;
//! * the gas limit of a block is that of its transactions, if all of them were swaps.

mod exchanges;

use crate::{
    BlockPlan, CHAIN_ID, Call, Exchange, Pool, Rng, UniswapCodes, Wallet, contracts,
    desk::{allowance_slot, balance_slot, units},
    ether,
    forge::GENESIS_TIME,
    gwei, place_system_contracts, uniswap, word,
};
use alloy_consensus::TxEip1559;
use alloy_genesis::ChainConfig;
use exchanges::Uniswap;
use fugue_chainspec::{BlobParams, Fork};
use fugue_state::{Account, MemoryAccount, MemoryState};
use fugue_types::{Address, Bytes, HashMap, Transaction, U256, keccak256};
use serde_json::{Value, json};

/// Accounts that a market has at least.
pub const MARKET_ACCOUNTS_MIN: usize = 16;
/// Senders where nothing else is said, at most.
const SENDERS_MAX: usize = 20_000;
/// Accounts for each sender where nothing else is said, at least.
const ACCOUNTS_PER_SENDER: usize = 10;
/// Token contracts; every account holds one of them.
const TOKENS: usize = 4;
/// Pools; every sender trades at one of them.
const POOLS: usize = 8;
/// Balance of a sender in ether.
const SENDER_ETHER: u64 = 1_000_000;
/// What a sender holds of each token.
const SENDER_UNITS: u64 = 1_000_000;
/// What a pool holds of each of its tokens.
const POOL_UNITS: u64 = 1_000_000;
/// A thousandth of an ether in wei.
const FINNEY: u64 = 1_000_000_000_000_000;
/// Gas limit of a transfer of tokens.
const TOKEN_GAS: u64 = 90_000;
/// Gas limit of a swap.
const SWAP_GAS: u64 = 190_000;
/// Gas limit of a block, at least.
const BLOCK_GAS_MIN: u64 = 200_000_000;
/// Most that a transaction offers per unit of gas, in gwei.
const MAX_FEE_GWEI: u64 = 1_000_000;
/// Transfers of tokens, of 100, whose receiver is known to hold some of that token.
const HOLDER_PERCENT: u64 = 75;

/// Kinds of transactions, as shares of their sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MarketMix {
    /// Transfers of ether.
    pub ether: u32,
    /// Transfers of tokens.
    pub tokens: u32,
    /// Swaps.
    pub swaps: u32,
}

impl MarketMix {
    /// About what mainnet has.
    pub const USUAL: Self = Self { ether: 50, tokens: 35, swaps: 15 };
}

/// How large a market is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MarketSize {
    /// Accounts without code; at least [`MARKET_ACCOUNTS_MIN`].
    pub accounts: usize,
    /// How many of them send; at least one.
    pub senders: usize,
    /// Transactions of a block.
    pub txs: usize,
    /// Kinds of transactions.
    pub mix: MarketMix,
}

impl MarketSize {
    /// With the usual mix, and a tenth of the accounts as senders, up to 20,000.
    pub fn new(accounts: usize, txs: usize) -> Self {
        let accounts = accounts.max(MARKET_ACCOUNTS_MIN);
        let senders = (accounts / ACCOUNTS_PER_SENDER).clamp(1, SENDERS_MAX);
        Self { accounts, senders, txs, mix: MarketMix::USUAL }
    }
}

/// A market: its genesis, and its blocks, one after the other.
#[derive(Debug, Clone)]
pub struct Market {
    seed: u64,
    size: MarketSize,
    rng: Rng,
    /// The first accounts.
    senders: Vec<Wallet>,
    /// The next nonce of each sender.
    nonces: Vec<u64>,
    tokens: Vec<Address>,
    pools: Vec<Pool>,
    /// Where swaps go in place of these pools.
    uniswap: Option<Uniswap>,
    /// What the first block has, until it is made; nothing where Uniswap is not there.
    setup: Vec<Transaction>,
    beneficiary: Address,
}

/// Storage of a token in the genesis.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) slots: HashMap<U256, U256>,
    pub(crate) supply: U256,
}

impl Ledger {
    pub(crate) fn credit(&mut self, holder: Address, amount: U256) {
        *self.slots.entry(balance_slot(holder)).or_default() += amount;
        self.supply += amount;
    }

    /// An allowance that does not run down.
    pub(crate) fn approve(&mut self, owner: Address, spender: Address) {
        self.slots.insert(allowance_slot(owner, spender), U256::MAX);
    }
}

impl Market {
    /// The fork that holds from genesis on.
    pub const FORK: Fork = Fork::Bpo2;

    /// The market of a seed.
    pub fn new(seed: u64, size: &MarketSize) -> Self {
        let accounts = size.accounts.max(MARKET_ACCOUNTS_MIN);
        let size = MarketSize { accounts, senders: size.senders.clamp(1, accounts), ..*size };
        let stream = Rng::new(seed).fork("market");
        let wallet_seed = stream.fork("wallets").draw();
        let senders = (0..size.senders as u64).map(|index| Wallet::derive(wallet_seed, index));
        let mut places = stream.fork("places");
        let tokens: Vec<Address> = (0..TOKENS).map(|_| places.address()).collect();
        let pools = (0..POOLS).map(|index| {
            let first = index % TOKENS;
            let distance = 1 + index / TOKENS % (TOKENS - 1);
            Pool { address: places.address(), tokens: [first, (first + distance) % TOKENS] }
        });
        let pools = pools.collect();
        Self {
            seed,
            size,
            rng: stream.fork("draws"),
            senders: senders.collect(),
            nonces: vec![0; size.senders],
            tokens,
            pools,
            uniswap: None,
            setup: Vec::new(),
            beneficiary: places.address(),
        }
    }

    /// The market of a seed, whose swaps go to Uniswap V2 and V3, half of them to either. It has a
    /// first block of its own, [`Market::setup_blocks`], that deploys the contracts and fills the
    /// pools, one of each version for every two tokens.
    pub fn with_uniswap(seed: u64, size: &MarketSize, codes: &UniswapCodes) -> Self {
        let mut market = Self::new(seed, size);
        let owner = Wallet::derive(Rng::new(seed).fork("market").fork("owner").draw(), 0);
        let (uniswap, calls) = Uniswap::new(owner.address(), codes, &market.tokens);
        let signed = |(nonce, call)| sign(&owner, nonce, gwei(1), call);
        market.setup = (0..).zip(calls).map(signed).collect();
        market.uniswap = Some(uniswap);
        market
    }

    /// How large it is.
    pub const fn size(&self) -> &MarketSize {
        &self.size
    }

    /// Where all that is random comes from.
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// How many of the next blocks have something else than [`MarketSize::txs`] transactions of
    /// the mix: one before the first block of a market with Uniswap.
    pub fn setup_blocks(&self) -> usize {
        usize::from(!self.setup.is_empty())
    }

    /// Gas limit of every block, the genesis included.
    pub fn gas_limit(&self) -> u64 {
        let swap_gas = if self.uniswap.is_some() { uniswap::SWAP_GAS } else { SWAP_GAS };
        (self.size.txs as u64).saturating_mul(swap_gas).max(BLOCK_GAS_MIN)
    }

    /// The configuration of the chain.
    pub fn config() -> ChainConfig {
        let mut config = crate::build::config(CHAIN_ID, Self::FORK);
        // The forks that only change blob parameters have none of their own.
        config.blob_schedule.insert("bpo1".to_owned(), BlobParams::bpo1());
        config.blob_schedule.insert("bpo2".to_owned(), BlobParams::bpo2());
        config
    }

    /// A genesis file, in geth's format, but without its accounts.
    pub fn genesis_json(&self) -> Value {
        json!({
            "config": Self::config(),
            "timestamp": format!("{GENESIS_TIME:#x}"),
            "gasLimit": format!("{:#x}", self.gas_limit()),
            "difficulty": "0x0",
            "alloc": {},
        })
    }

    /// The accounts of the genesis.
    pub fn genesis_state(&self) -> MemoryState {
        let mut state = MemoryState::default();
        place_system_contracts(Self::FORK, &mut state);
        state.accounts.reserve(self.size.accounts);
        let mut ledgers: Vec<Ledger> = self.tokens.iter().map(|_| Ledger::default()).collect();
        for index in 0..self.size.accounts {
            let address = self.account(index);
            let balance = if index < self.senders.len() {
                ether(SENDER_ETHER)
            } else {
                U256::from(1 + index % 10_000) * U256::from(FINNEY)
            };
            let account = Account { balance, ..Account::default() };
            let account = MemoryAccount { account, ..MemoryAccount::default() };
            state.accounts.insert(address, account);
            ledgers[index % TOKENS].credit(address, units(1 + index as u64 % 1_000));
        }
        for (index, sender) in self.senders.iter().enumerate() {
            for ledger in &mut ledgers {
                ledger.credit(sender.address(), units(SENDER_UNITS));
            }
            let pool = self.pool_of(index);
            for token in pool.tokens {
                ledgers[token].approve(sender.address(), pool.address);
            }
        }
        if let Some(uniswap) = &self.uniswap {
            let account = Account { balance: ether(SENDER_ETHER), ..Account::default() };
            let account = MemoryAccount { account, ..MemoryAccount::default() };
            state.accounts.insert(uniswap.owner(), account);
            uniswap.lend(&mut ledgers, &self.senders);
        }
        for pool in &self.pools {
            for token in pool.tokens {
                ledgers[token].credit(pool.address, units(POOL_UNITS));
            }
            let slots = self.pool_slots(pool).into_iter().collect();
            place(&mut state, pool.address, contracts::runtime("Exchange"), slots);
        }
        for (address, Ledger { mut slots, supply }) in self.tokens.iter().zip(ledgers) {
            slots.insert(U256::ZERO, supply);
            place(&mut state, *address, contracts::runtime("Token"), slots);
        }
        state
    }

    fn pool_slots(&self, pool: &Pool) -> [(U256, U256); 6] {
        pool_slots(pool.tokens.map(|token| self.tokens[token]), units(POOL_UNITS))
    }

    /// So many quotes that an exchange gives for different amounts, each as the contract that is
    /// called and the call data; none if it is not part of the market.
    pub fn quotes(&self, exchange: Exchange, count: usize) -> Vec<(Address, Bytes)> {
        let amount = |nth: usize| units(1 + nth as u64 % 50) + U256::from(nth);
        let own = |nth: usize| {
            let (pool, side) = (nth % self.pools.len(), nth / self.pools.len() % 2);
            let words = [U256::from(side), amount(nth)];
            let input = contracts::call("Exchange", "quote(bool,uint256)", &words);
            (self.pools[pool].address, input)
        };
        match (exchange, &self.uniswap) {
            (Exchange::Own, _) => (0..count).map(own).collect(),
            (_, None) => Vec::new(),
            (_, Some(uniswap)) => {
                (0..count).map(|nth| uniswap.quote(exchange, nth, amount(nth))).collect()
            }
        }
    }

    /// What the next block shall hold.
    pub fn next_block(&mut self) -> BlockPlan {
        let transactions: Vec<Transaction> = if self.setup.is_empty() {
            (0..self.size.txs).map(|_| self.next_tx()).collect()
        } else {
            std::mem::take(&mut self.setup)
        };
        BlockPlan {
            transactions,
            beneficiary: self.beneficiary,
            withdrawals: Vec::new(),
            gas_limit: self.gas_limit(),
        }
    }

    fn next_tx(&mut self) -> Transaction {
        let sender = self.rng.index(self.senders.len());
        let MarketMix { ether, tokens, swaps } = self.size.mix;
        let [ether, tokens, swaps] = [ether, tokens, swaps].map(u64::from);
        let drawn = self.rng.below(ether + tokens + swaps);
        let call = if drawn < ether {
            let index = self.rng.index(self.size.accounts);
            let wei = U256::from(1 + self.rng.below(FINNEY));
            Call::transfer(self.account(index), wei)
        } else if drawn < ether + tokens {
            self.send_tokens()
        } else {
            self.swap(sender)
        };
        self.sign(sender, call)
    }

    /// Tokens to an account that holds some of them, or to any account.
    fn send_tokens(&mut self) -> Call {
        let token = self.rng.index(TOKENS);
        let receiver = if self.rng.chance(HOLDER_PERCENT) {
            let holders = (self.size.accounts - token).div_ceil(TOKENS);
            token + TOKENS * self.rng.index(holders)
        } else {
            self.rng.index(self.size.accounts)
        };
        let words = [word(self.account(receiver)), units(1 + self.rng.below(9))];
        let signature = "transfer(address,uint256)";
        Call::function(self.tokens[token], "Token", signature, &words).gas(TOKEN_GAS)
    }

    /// A trade of the sender at its pool.
    fn swap(&mut self, sender: usize) -> Call {
        let pool = self.pool_of(sender).address;
        let side = self.rng.index(2);
        let amount = units(1 + self.rng.below(50));
        if let Some(uniswap) = &self.uniswap {
            let exchange = self.rng.pick(&[Exchange::UniswapV2, Exchange::UniswapV3]);
            let trader = self.senders[sender].address();
            return uniswap.swap(exchange, sender, side, amount, trader);
        }
        let words = [U256::from(side), amount, U256::ZERO];
        Call::function(pool, "Exchange", "swap(bool,uint256,uint256)", &words).gas(SWAP_GAS)
    }

    fn sign(&mut self, sender: usize, call: Call) -> Transaction {
        let nonce = self.nonces[sender];
        self.nonces[sender] += 1;
        let tip = gwei(1 + self.rng.below(3));
        sign(&self.senders[sender], nonce, tip, call)
    }

    fn account(&self, index: usize) -> Address {
        match self.senders.get(index) {
            Some(wallet) => wallet.address(),
            None => keyless(self.seed, index as u64),
        }
    }

    fn pool_of(&self, sender: usize) -> Pool {
        self.pools[sender % self.pools.len()]
    }
}

/// A transaction that pays this tip per unit of gas.
fn sign(wallet: &Wallet, nonce: u64, tip: u128, call: Call) -> Transaction {
    let Call { to, value, input, gas, access, .. } = call;
    wallet.eip1559(TxEip1559 {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit: gas,
        max_fee_per_gas: gwei(MAX_FEE_GWEI),
        max_priority_fee_per_gas: tip,
        to,
        value,
        access_list: access.unwrap_or_default(),
        input,
    })
}

/// Storage of an `Exchange` that has been traded at, and holds so much of either token: both
/// tokens, the packed reserves, both price sums, the shares. Nobody owns the shares.
pub(crate) fn pool_slots(tokens: [Address; 2], amount: U256) -> [(U256, U256); 6] {
    let [first, second] = tokens.map(word);
    let updated_at = U256::from(GENESIS_TIME);
    let reserves = amount | (amount << 112_usize) | (updated_at << 224_usize);
    let price_sum = U256::from(1);
    let values = [first, second, reserves, price_sum, price_sum, amount];
    std::array::from_fn(|slot| (U256::from(slot), values[slot]))
}

/// The address of an account that nobody has a key for.
fn keyless(seed: u64, index: u64) -> Address {
    let mut input = b"fugue market account".to_vec();
    input.extend_from_slice(&seed.to_be_bytes());
    input.extend_from_slice(&index.to_be_bytes());
    Address::from_word(keccak256(&input))
}

fn place(state: &mut MemoryState, address: Address, code: Bytes, slots: HashMap<U256, U256>) {
    let code_hash = keccak256(&code);
    state.codes.insert(code_hash, code);
    let account = Account { nonce: 1, balance: U256::ZERO, code_hash };
    state.accounts.insert(address, MemoryAccount { account, slots });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Forge, Forged, forge::first_header};
    use fugue_chainspec::ChainSpec;
    use fugue_types::TransactionTrait;

    const BLOCKS: usize = 3;

    fn market(seed: u64) -> Market {
        Market::new(seed, &MarketSize::new(2_000, 100))
    }

    fn forge(market: &Market) -> Forge {
        let head = first_header(Market::FORK, market.gas_limit(), Address::ZERO);
        let chain = ChainSpec::of_genesis(&Market::config(), &head).expect("a chain");
        assert_eq!(chain.rules(&head).fork, Market::FORK);
        Forge::new(chain, market.genesis_state(), head, 1).expect("a genesis")
    }

    #[test]
    fn the_same_seed_gives_the_same_chain() {
        let hashes = |seed| {
            let mut market = market(seed);
            let mut forge = forge(&market);
            let add = |_| forge.add(&market.next_block()).expect("valid blocks").block.hash();
            (0..BLOCKS).map(add).collect::<Vec<_>>()
        };
        assert_eq!(hashes(5), hashes(5));
        assert_ne!(hashes(5), hashes(6));
        assert_eq!(market(5).genesis_state(), market(5).genesis_state());
    }

    #[test]
    fn all_transactions_are_valid_and_nearly_all_succeed() {
        let mut market = market(1);
        let mut forge = forge(&market);
        let (mut all, mut succeeded, mut kinds) = (0, 0, [0; 3]);
        for _ in 0..BLOCKS {
            let plan = market.next_block();
            let Forged { block, outcome } = forge.add(&plan).expect("a valid block");
            let header = &block.block().header;
            assert_eq!(forge.state().root(), header.state_root, "block {}", header.number);
            all += outcome.results.len();
            let good = outcome.results.iter().filter(|result| result.status.is_success());
            succeeded += good.count();
            for tx in &plan.transactions {
                let to = tx.to().expect("nobody creates a contract");
                let is_pool = market.pools.iter().any(|pool| pool.address == to);
                kinds[if market.tokens.contains(&to) { 1 } else { usize::from(is_pool) * 2 }] += 1;
            }
        }
        assert_eq!(all, BLOCKS * 100);
        assert!(succeeded * 100 >= all * 98, "{succeeded} of {all}");
        let [ether, tokens, swaps] = kinds;
        assert!(ether > tokens && tokens > swaps && swaps > 10, "{kinds:?}");
    }

    #[test]
    fn a_mix_of_one_kind_has_no_other() {
        let mix = MarketMix { ether: 0, tokens: 0, swaps: 1 };
        let mut market = Market::new(2, &MarketSize { mix, ..MarketSize::new(0, 40) });
        assert_eq!(market.size().accounts, MARKET_ACCOUNTS_MIN);
        let plan = market.next_block();
        let is_swap =
            |tx: &Transaction| market.pools.iter().any(|pool| Some(pool.address) == tx.to());
        assert!(plan.transactions.iter().all(is_swap));
    }
}
