//! Writes a scenario: keeps the next nonce of each wallet, chooses types and prices, and cuts the
//! transactions into blocks.
//!
//! Why everything a script writes is valid in its place:
//! * nonces are handed out in the order of execution: setup first, then the blocks. An applied
//!   authorization of EIP-7702 takes one like a transaction does;
//! * a funded wallet holds a million ether, and offers at most 100 gwei for at most
//!   [`crate::TX_GAS_LIMIT_MAX`] gas;
//! * a block takes transactions until their gas limits reach its own, and no more blobs than every
//!   fork allows.

mod signing;

use crate::{
    BLOCK_GAS_LIMIT, BlockPlan, CHAIN_ID, Call, Rng, Scenario, Wallet, contracts, ether, system,
};
use fugue_chainspec::Fork;
use fugue_state::{Account, MemoryAccount, MemoryState};
use fugue_types::{
    Address, AddressMap, B256, Bytes, Transaction, TransactionTrait, U256, Withdrawal, keccak256,
};

/// Balance of a funded wallet in ether.
const FUNDS_ETHER: u64 = 1_000_000;

/// An authorization of a transaction that delegates (EIP-7702).
#[derive(Debug, Clone, Copy)]
pub enum Grant {
    /// The wallet delegates to the address; the zero address clears.
    To(Wallet, Address),
    /// The same, good on every chain.
    AnyChain(Wallet, Address),
    /// Names a nonce that the wallet will never reach: skipped.
    WrongNonce(Wallet, Address),
    /// Names another chain: skipped.
    WrongChain(Wallet, Address),
    /// Carries a signature that nobody made: skipped.
    Forged(Address),
}

/// A scenario being written.
#[derive(Debug)]
pub struct Script {
    name: String,
    about: &'static str,
    fork: Fork,
    rng: Rng,
    wallet_seed: u64,
    wallet_count: u64,
    deployer: Wallet,
    genesis: MemoryState,
    nonces: AddressMap<u64>,
    setup: Vec<Transaction>,
    pending: Vec<Transaction>,
    blocks: Vec<BlockPlan>,
    withdrawal_count: u64,
}

impl Script {
    /// An empty scenario named for its theme and fork.
    pub fn new(theme: &str, about: &'static str, seed: u64, fork: Fork) -> Self {
        let name = format!("{theme}-{}", kebab(fork));
        let rng = Rng::new(seed).fork(&name);
        let wallet_seed = rng.fork("wallets").draw();
        let mut genesis = MemoryState::default();
        system::place_system_contracts(fork, &mut genesis);
        let mut script = Self {
            name,
            about,
            fork,
            rng,
            wallet_seed,
            wallet_count: 0,
            deployer: Wallet::derive(wallet_seed, 0),
            genesis,
            nonces: AddressMap::default(),
            setup: Vec::new(),
            pending: Vec::new(),
            blocks: Vec::new(),
            withdrawal_count: 0,
        };
        script.deployer = script.user();
        script
    }

    /// The fork of the scenario.
    pub const fn fork(&self) -> Fork {
        self.fork
    }

    /// Whether `fork` is active.
    pub fn has(&self, fork: Fork) -> bool {
        self.fork >= fork
    }

    /// A stream of numbers of this scenario.
    pub fn stream(&self, label: &str) -> Rng {
        self.rng.fork(label)
    }

    /// The funded wallet that deploys contracts.
    pub const fn deployer(&self) -> Wallet {
        self.deployer
    }

    /// A wallet whose account does not exist.
    pub fn stranger(&mut self) -> Wallet {
        let wallet = Wallet::derive(self.wallet_seed, self.wallet_count);
        self.wallet_count += 1;
        wallet
    }

    /// A wallet with a million ether.
    pub fn user(&mut self) -> Wallet {
        let wallet = self.stranger();
        let account = Account { balance: ether(FUNDS_ETHER), ..Account::default() };
        let account = MemoryAccount { account, ..MemoryAccount::default() };
        self.genesis.accounts.insert(wallet.address(), account);
        wallet
    }

    /// Several funded wallets.
    pub fn users(&mut self, count: usize) -> Vec<Wallet> {
        (0..count).map(|_| self.user()).collect()
    }

    /// Puts a contract into the genesis.
    pub fn place(&mut self, address: Address, code: Bytes, balance: U256, slots: &[(U256, U256)]) {
        let code_hash = keccak256(&code);
        if !code.is_empty() {
            self.genesis.codes.insert(code_hash, code);
        }
        let account = Account { nonce: 1, balance, code_hash };
        let slots = slots.iter().copied().filter(|(_, value)| !value.is_zero()).collect();
        self.genesis.accounts.insert(address, MemoryAccount { account, slots });
    }

    /// Sets the nonce of an account of the genesis to zero; without code, only its balance is left.
    pub fn forget_nonce(&mut self, address: Address) {
        if let Some(found) = self.genesis.accounts.get_mut(&address) {
            found.account.nonce = 0;
        }
    }

    /// Deploys a compiled contract in the setup.
    pub fn deploy(&mut self, name: &str, args: &[U256]) -> Address {
        let deployer = self.deployer;
        let address = deployer.address().create(self.next_nonce(deployer));
        self.setup(deployer, Call::create(contracts::creation(name, args)));
        address
    }

    /// The nonce of the next transaction of a wallet.
    pub fn next_nonce(&self, wallet: Wallet) -> u64 {
        self.nonces.get(&wallet.address()).copied().unwrap_or_default()
    }

    /// Adds a transaction to the setup, which must be complete before the first [`Self::send`].
    pub fn setup(&mut self, from: Wallet, call: Call) {
        debug_assert!(self.pending.is_empty() && self.blocks.is_empty(), "setup comes first");
        let tx = self.sign(from, call, &[]);
        self.setup.push(tx);
    }

    /// Adds a transaction to the next block.
    pub fn send(&mut self, from: Wallet, call: Call) {
        let tx = self.sign(from, call, &[]);
        self.pending.push(tx);
    }

    /// Adds a creation to the next block and tells where the contract will be.
    pub fn create(&mut self, from: Wallet, call: Call) -> Address {
        let address = from.address().create(self.next_nonce(from));
        self.send(from, call);
        address
    }

    /// Adds a transaction with authorizations to the next block, from Prague on.
    pub fn delegate(&mut self, from: Wallet, grants: &[Grant], call: Call) {
        let tx = self.sign(from, call, grants);
        self.pending.push(tx);
    }

    /// Ends a block.
    pub fn block(&mut self, beneficiary: Address) {
        self.block_with(beneficiary, &[]);
    }

    /// Ends a block with withdrawals in gwei, which count from Shanghai on. What does not fit into
    /// one block becomes several with the same beneficiary, the withdrawals in the last of them.
    pub fn block_with(&mut self, beneficiary: Address, withdrawals: &[(Address, u64)]) {
        let mut transactions = Vec::new();
        let (mut gas, mut blobs) = (0, 0);
        for tx in std::mem::take(&mut self.pending) {
            let tx_blobs = tx.blob_versioned_hashes().map_or(0, <[B256]>::len);
            let fits = gas + tx.gas_limit() <= BLOCK_GAS_LIMIT
                && blobs + tx_blobs <= self.blobs_per_block();
            if !fits {
                let full = std::mem::take(&mut transactions);
                self.blocks.push(plan(full, beneficiary, Vec::new()));
                (gas, blobs) = (0, 0);
            }
            gas += tx.gas_limit();
            blobs += tx_blobs;
            transactions.push(tx);
        }
        let withdrawals = if self.has(Fork::Shanghai) { withdrawals } else { &[] };
        let withdrawals = withdrawals.iter().map(|(to, amount)| self.withdrawal(*to, *amount));
        let withdrawals = withdrawals.collect();
        self.blocks.push(plan(transactions, beneficiary, withdrawals));
    }

    /// Ends a block that holds all since the last one, however much gas that asks for.
    pub fn whole_block(&mut self, beneficiary: Address) {
        let transactions = std::mem::take(&mut self.pending);
        let gas: u64 = transactions.iter().map(|tx| tx.gas_limit()).sum();
        let gas_limit = gas.max(BLOCK_GAS_LIMIT);
        self.blocks.push(BlockPlan { gas_limit, ..plan(transactions, beneficiary, Vec::new()) });
    }

    /// The scenario; transactions since the last block are its last block.
    pub fn end(mut self, beneficiary: Address) -> Scenario {
        if !self.pending.is_empty() || self.blocks.is_empty() {
            self.block(beneficiary);
        }
        let Self { name, about, fork, genesis, setup, blocks, .. } = self;
        Scenario { name, about, fork, chain_id: CHAIN_ID, genesis, setup, blocks }
    }

    fn withdrawal(&mut self, address: Address, amount: u64) -> Withdrawal {
        let index = self.withdrawal_count;
        self.withdrawal_count += 1;
        Withdrawal { index, validator_index: 1000 + index, address, amount }
    }

    /// Blobs that a block may carry at most on this fork.
    /// Source: EIP-4844 for Cancun, EIP-7691 from Prague on; later limits are higher.
    fn blobs_per_block(&self) -> usize {
        if self.has(Fork::Prague) { 9 } else { 6 }
    }

    fn take_nonce(&mut self, wallet: Wallet) -> u64 {
        let next = self.nonces.entry(wallet.address()).or_default();
        let nonce = *next;
        *next += 1;
        nonce
    }
}

fn plan(
    transactions: Vec<Transaction>,
    beneficiary: Address,
    withdrawals: Vec<Withdrawal>,
) -> BlockPlan {
    BlockPlan { transactions, beneficiary, withdrawals, gas_limit: BLOCK_GAS_LIMIT }
}

/// The fork's name in kebab case: `SpuriousDragon` is `spurious-dragon`.
fn kebab(fork: Fork) -> String {
    let mut kebab = String::new();
    for (index, letter) in fork.name().char_indices() {
        if index > 0 && letter.is_ascii_uppercase() {
            kebab.push('-');
        }
        kebab.push(letter.to_ascii_lowercase());
    }
    kebab
}
