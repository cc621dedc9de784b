//! A chain that grows block by block: executes plans sequentially and seals what comes of them.
//!
//! State and tries are wholly in memory. The tries go from root to root by the diff of each block,
//! so that a block costs what it changes, however large the state is.

use crate::{BlockPlan, BuildCause};
use alloy_consensus::{
    EMPTY_OMMER_ROOT_HASH,
    proofs::{calculate_transaction_root, calculate_withdrawals_root},
};
use alloy_eips::{
    eip1559::{BaseFeeParams, INITIAL_BASE_FEE, calc_next_block_base_fee},
    eip7928::compute_block_access_list_hash,
};
use fugue_chainspec::{ChainSpec, Fork, Rules};
use fugue_executor::{BlockError, BlockOutcome, Executor, Mode, PreparedBlock, Scope};
use fugue_state::{Account, AccountDiff, DiffError, Layer, MemoryAccount, MemoryState, StateDiff};
use fugue_trie::{EMPTY_ROOT_HASH, HashedAccount, HashedDiff, HashedSlot, NoSource, StateTrie};
use fugue_types::{
    Address, B256, Block, BlockBody, Bytes, Eip658Value, Header, ReceiptEnvelope, Requests,
    SealedBlock, TransactionTrait, U256, Withdrawals, b256, keccak256,
};
use fugue_validation::{Ommers, check_block, child_difficulty, logs_bloom, receipts_root};
use std::collections::{BTreeMap, BTreeSet};

/// Seconds between blocks.
const SLOT_SECONDS: u64 = 12;
/// Timestamp of the genesis.
pub(crate) const GENESIS_TIME: u64 = 1_700_000_000;
/// Difficulty of blocks before the merge.
const DIFFICULTY: u64 = 0x2_0000;
/// keccak256 of the RLP of an empty list. Source: EIP-7928.
const EMPTY_LIST_HASH: B256 =
    b256!("0x1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347");
/// Ancestors whose hash BLOCKHASH knows.
const ANCESTORS: u64 = 256;

/// A sealed block, and what executing it gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forged {
    /// The block.
    pub block: SealedBlock,
    /// What it does.
    pub outcome: BlockOutcome,
}

/// A chain as it grows.
#[derive(Debug)]
pub struct Forge {
    chain: ChainSpec,
    executor: Executor,
    state: MemoryState,
    tries: StateTrie,
    head: Header,
}

/// The first header of a chain on which `fork` holds from the beginning, but for its state root.
pub(crate) fn first_header(fork: Fork, gas_limit: u64, beneficiary: Address) -> Header {
    let mut head = Header {
        ommers_hash: EMPTY_OMMER_ROOT_HASH,
        gas_limit,
        beneficiary,
        timestamp: GENESIS_TIME,
        difficulty: if fork >= Fork::Paris { U256::ZERO } else { U256::from(DIFFICULTY) },
        base_fee_per_gas: (fork >= Fork::London).then_some(INITIAL_BASE_FEE),
        ..Header::default()
    };
    fields_of_fork(&mut head, fork);
    head
}

impl Forge {
    /// A chain that begins with this state. `head` is its first header but for the state root.
    /// Signatures are recovered and roots computed on so many threads.
    ///
    /// # Errors
    /// [`BuildCause::Block`] if the system gives no threads.
    pub fn new(
        chain: ChainSpec,
        mut state: MemoryState,
        head: Header,
        threads: usize,
    ) -> Result<Self, BuildCause> {
        let executor = Executor::new(threads)?;
        let mut tries = StateTrie::new(EMPTY_ROOT_HASH);
        tries.apply(&NoSource, &from_nothing(&state), executor.pool())?;
        let head = Header { state_root: tries.root(), ..head };
        state.block_hashes.insert(head.number, head.hash_slow());
        Ok(Self { chain, executor, state, tries, head })
    }

    /// The header of the newest block.
    pub const fn head(&self) -> &Header {
        &self.head
    }

    /// The state after the newest block, with the hashes that BLOCKHASH may ask for.
    pub const fn state(&self) -> &MemoryState {
        &self.state
    }

    /// Executes and seals the next block.
    ///
    /// # Errors
    /// [`BuildCause`]; after an error the forge must be dropped.
    pub fn add(&mut self, plan: &BlockPlan) -> Result<Forged, BuildCause> {
        let number = self.head.number + 1;
        let mut header = self.child(plan);
        let rules = self.chain.rules(&header);
        let withdrawals =
            rules.has(Fork::Shanghai).then(|| Withdrawals::new(plan.withdrawals.clone()));
        header.transactions_root = calculate_transaction_root(&plan.transactions);
        header.withdrawals_root = withdrawals.as_ref().map(|all| calculate_withdrawals_root(all));
        if rules.has(Fork::Cancun) {
            let blob_gas = plan.transactions.iter().filter_map(|tx| tx.blob_gas_used()).sum();
            header.blob_gas_used = Some(blob_gas);
        }
        let body =
            BlockBody { transactions: plan.transactions.clone(), ommers: Vec::new(), withdrawals };

        let (outcome, block) = self.execute(Block { header, body }, &rules)?;
        let Block { mut header, body } = block;
        let receipts = self.advance(&outcome, &rules)?;
        header.gas_used = outcome.gas_used;
        header.receipts_root = receipts_root(&receipts);
        header.logs_bloom = logs_bloom(&receipts);
        header.requests_hash = outcome.requests.as_ref().map(Requests::requests_hash);
        header.block_access_list_hash =
            outcome.access_list.as_deref().map(compute_block_access_list_hash);
        header.state_root = self.tries.root();

        let block = SealedBlock::seal(Block { header, body });
        check_block(&block, &rules, Ommers::Known)?;
        self.state.block_hashes.insert(number, block.hash());
        self.state.block_hashes.retain(|known, _| known + ANCESTORS > number);
        self.head = block.block().header.clone();
        Ok(Forged { block, outcome })
    }

    /// A header with everything that is known before execution.
    fn child(&self, plan: &BlockPlan) -> Header {
        let parent = &self.head;
        let number = parent.number + 1;
        let mut header = Header {
            parent_hash: parent.hash_slow(),
            ommers_hash: EMPTY_OMMER_ROOT_HASH,
            beneficiary: plan.beneficiary,
            number,
            gas_limit: plan.gas_limit,
            timestamp: parent.timestamp + SLOT_SECONDS,
            difficulty: parent.difficulty,
            extra_data: Bytes::from_static(b"fugue"),
            mix_hash: keccak256(number.to_be_bytes()),
            base_fee_per_gas: parent.base_fee_per_gas.map(|base_fee| {
                let params = BaseFeeParams::ethereum();
                calc_next_block_base_fee(parent.gas_used, parent.gas_limit, base_fee, params)
            }),
            ..Header::default()
        };
        let rules = self.chain.rules(&header);
        fields_of_fork(&mut header, rules.fork);
        if !rules.has(Fork::Paris) {
            header.difficulty = child_difficulty(&rules, header.timestamp, parent);
        }
        if let Some(params) = rules.blob_params {
            header.excess_blob_gas = Some(params.next_block_excess_blob_gas_osaka(
                parent.excess_blob_gas.unwrap_or_default(),
                parent.blob_gas_used.unwrap_or_default(),
                parent.base_fee_per_gas.unwrap_or_default(),
            ));
        }
        header
    }

    fn execute(&self, block: Block, rules: &Rules) -> Result<(BlockOutcome, Block), BlockError> {
        let unsealed = block.clone();
        // The header is not complete yet, so its judge has nothing to say.
        let block = SealedBlock::seal(block)
            .check(|_| Ok::<_, std::convert::Infallible>(()))
            .map_err(|refused| -> BlockError { match refused.1 {} })?;
        let prepared: PreparedBlock = self.executor.prepare(block, rules)?;
        let mode = Mode::Seq;
        let execution = self.executor.execute(mode, &prepared, rules, &self.state, Scope::Block)?;
        Ok((execution.outcome, unsealed))
    }

    /// Brings state and tries to after the block. Gives its receipts.
    fn advance(
        &mut self,
        outcome: &BlockOutcome,
        rules: &Rules,
    ) -> Result<Vec<ReceiptEnvelope>, BuildCause> {
        let receipts = if rules.receipts_have_status() {
            self.root_after(&outcome.diff)?;
            outcome.receipts()
        } else {
            let closing = self.closing(outcome)?;
            let mut roots = Vec::with_capacity(outcome.steps.len());
            for step in &outcome.steps {
                roots.push(self.root_after(step)?);
            }
            self.root_after(&closing)?;
            // The first step is the opening of the block.
            let status = |index: usize, _: &_| {
                Eip658Value::PostState(roots.get(index + 1).copied().unwrap_or_default())
            };
            outcome.receipts_with(status)
        };
        self.state.apply(&outcome.diff)?;
        Ok(receipts)
    }

    fn root_after(&mut self, diff: &StateDiff) -> Result<B256, BuildCause> {
        self.tries.apply(&NoSource, &HashedDiff::from(diff), self.executor.pool())?;
        Ok(self.tries.root())
    }

    /// Of a block from before Byzantium, what changed after its last transaction: balances, by
    /// rewards. The state is the one before the block.
    fn closing(&self, outcome: &BlockOutcome) -> Result<StateDiff, DiffError> {
        let mut since = Layer::default();
        for step in &outcome.steps {
            since.push(step)?;
        }
        let reached: BTreeMap<Address, Option<Account>> =
            since.changes().map(|(address, after, _, _)| (address, after)).collect();
        let ended: BTreeMap<Address, Option<Account>> =
            outcome.diff.accounts.iter().map(|change| (change.address, change.after)).collect();
        let began = |address: &Address| self.state.accounts.get(address).map(|found| found.account);
        let touched: BTreeSet<Address> = reached.keys().chain(ended.keys()).copied().collect();
        let accounts = touched.into_iter().filter_map(|address| {
            let before = reached.get(&address).copied().unwrap_or_else(|| began(&address));
            let after = ended.get(&address).copied().unwrap_or_else(|| began(&address));
            let (wiped, slots) = (false, Vec::new());
            (before != after).then_some(AccountDiff { address, before, after, wiped, slots })
        });
        Ok(StateDiff { accounts: accounts.collect(), codes: Vec::new() })
    }
}

/// The change from nothing to a state.
fn from_nothing(state: &MemoryState) -> HashedDiff {
    let account = |address: &Address, found: &MemoryAccount| {
        let slots = found.slots.iter().filter(|(_, value)| !value.is_zero());
        let slots = slots.map(|(slot, value)| HashedSlot {
            key: keccak256(slot.to_be_bytes::<32>()),
            existed: false,
            after: *value,
        });
        let mut slots: Vec<HashedSlot> = slots.collect();
        slots.sort_unstable_by_key(|slot| slot.key);
        HashedAccount {
            key: keccak256(address),
            existed: false,
            after: Some(found.account),
            is_storage_new: true,
            slots,
        }
    };
    let mut accounts: Vec<HashedAccount> =
        state.accounts.iter().map(|(address, found)| account(address, found)).collect();
    accounts.sort_unstable_by_key(|account| account.key);
    HashedDiff { accounts }
}

/// Fields that the fork demands and that do not depend on the block.
fn fields_of_fork(header: &mut Header, fork: Fork) {
    if fork >= Fork::Shanghai {
        header.withdrawals_root = Some(calculate_withdrawals_root(&[]));
    }
    if fork >= Fork::Cancun {
        header.blob_gas_used = Some(0);
        header.excess_blob_gas = Some(0);
        header.parent_beacon_block_root = Some(keccak256(header.timestamp.to_be_bytes()));
    }
    if fork >= Fork::Prague {
        header.requests_hash = Some(Requests::default().requests_hash());
    }
    if fork >= Fork::Amsterdam {
        header.block_access_list_hash = Some(EMPTY_LIST_HASH);
        header.slot_number = Some(header.number);
    }
}
