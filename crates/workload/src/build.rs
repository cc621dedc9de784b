//! Executes a scenario sequentially and seals its blocks: from plans to bundles.

use crate::{BlockPlan, Scenario};
use alloy_consensus::{
    EMPTY_OMMER_ROOT_HASH,
    proofs::{calculate_transaction_root, calculate_withdrawals_root},
};
use alloy_eips::eip1559::{BaseFeeParams, INITIAL_BASE_FEE, calc_next_block_base_fee};
use alloy_genesis::ChainConfig;
use fugue_archive::{Bundle, PreAccount, PreState};
use fugue_chainspec::{ChainSpec, ConfigError, Fork, Rules};
use fugue_executor::{BlockError, BlockOutcome, Executor, Mode, PreparedBlock, Scope};
use fugue_state::{DiffError, MemoryState};
use fugue_types::{
    B256, Block, BlockBody, Bytes, Eip658Value, Header, ReceiptEnvelope, SealedBlock, Transaction,
    TransactionTrait, U256, Withdrawals, b256, keccak256,
};
use fugue_validation::{Mismatch, Ommers, check_block, logs_bloom, receipts_root};
use std::collections::BTreeMap;

/// Gas limits of setup transactions that go into one block, summed up.
const SETUP_GAS_MAX: u64 = 30_000_000;
/// Seconds between blocks.
const SLOT_SECONDS: u64 = 12;
/// Timestamp of the genesis.
const GENESIS_TIME: u64 = 1_700_000_000;
/// Difficulty of blocks before the merge.
const DIFFICULTY: u64 = 0x2_0000;
/// keccak256 of the RLP of an empty list. Source: EIP-7928.
const EMPTY_LIST_HASH: B256 =
    b256!("0x1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347");
/// Ancestors whose hash BLOCKHASH knows.
const ANCESTORS: u64 = 256;

/// Why a scenario does not make a chain.
#[derive(Debug, thiserror::Error)]
pub enum BuildCause {
    /// Its configuration is none.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A block is not executed.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// A block does not pass the judgement of bodies.
    #[error(transparent)]
    Invalid(#[from] Mismatch),
    /// A diff does not follow the state.
    #[error(transparent)]
    Diff(#[from] DiffError),
    /// Its configuration does not serialise.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

/// A scenario that does not make a chain, and where it fails.
#[derive(Debug, thiserror::Error)]
#[error("{scenario}, block {number}: {cause}")]
pub struct BuildError {
    /// The scenario.
    pub scenario: String,
    /// The block, setup blocks counted.
    pub number: u64,
    /// Why.
    pub cause: Box<BuildCause>,
}

/// Genesis configuration of a chain on which `fork` holds from the first block on.
fn config(chain_id: u64, fork: Fork) -> ChainConfig {
    let since = |since: Fork| (fork >= since).then_some(0);
    ChainConfig {
        chain_id,
        homestead_block: since(Fork::Homestead),
        eip150_block: since(Fork::Tangerine),
        eip155_block: since(Fork::SpuriousDragon),
        eip158_block: since(Fork::SpuriousDragon),
        byzantium_block: since(Fork::Byzantium),
        constantinople_block: since(Fork::Constantinople),
        petersburg_block: since(Fork::Petersburg),
        istanbul_block: since(Fork::Istanbul),
        muir_glacier_block: since(Fork::MuirGlacier),
        berlin_block: since(Fork::Berlin),
        london_block: since(Fork::London),
        arrow_glacier_block: since(Fork::ArrowGlacier),
        gray_glacier_block: since(Fork::GrayGlacier),
        terminal_total_difficulty: (fork >= Fork::Paris).then_some(U256::ZERO),
        terminal_total_difficulty_passed: fork >= Fork::Paris,
        shanghai_time: since(Fork::Shanghai),
        cancun_time: since(Fork::Cancun),
        prague_time: since(Fork::Prague),
        osaka_time: since(Fork::Osaka),
        bpo1_time: since(Fork::Bpo1),
        bpo2_time: since(Fork::Bpo2),
        amsterdam_time: since(Fork::Amsterdam),
        deposit_contract_address: Some(alloy_eips::eip6110::MAINNET_DEPOSIT_CONTRACT_ADDRESS),
        ..ChainConfig::default()
    }
}

/// Executes a scenario and gives a bundle for each planned block, with the whole state before it.
///
/// Block access lists (EIP-7928) are not built: headers from Amsterdam on carry the hash of an
/// empty one, and such blocks are good for comparing modes only.
///
/// # Errors
/// [`BuildError`]; a scenario of this crate that gives one is defective.
pub fn build(scenario: &Scenario) -> Result<Vec<Bundle>, BuildError> {
    let at = |number: u64| {
        move |cause: BuildCause| BuildError {
            scenario: scenario.name.clone(),
            number,
            cause: Box::new(cause),
        }
    };
    let config = config(scenario.chain_id, scenario.fork);
    let mut forge = Forge::new(scenario, &config).map_err(at(0))?;
    let config = serde_json::to_value(&config).map_err(|error| at(0)(error.into()))?;
    for transactions in setup_blocks(&scenario.setup) {
        let gas_limit = forge.head.gas_limit;
        let beneficiary = forge.head.beneficiary;
        let plan = BlockPlan { transactions, beneficiary, withdrawals: Vec::new(), gas_limit };
        forge.add(&plan).map_err(at(forge.head.number + 1))?;
    }
    let mut bundles = Vec::with_capacity(scenario.blocks.len());
    for plan in &scenario.blocks {
        let (state, parent) = (pre_state(&forge.state), forge.head.clone());
        let block_hashes = forge.state.block_hashes.clone();
        let block = forge.add(plan).map_err(at(parent.number + 1))?;
        bundles.push(Bundle {
            chain_id: scenario.chain_id,
            config: Some(config.clone()),
            block,
            has_ommers: true,
            parent: Some(parent),
            block_hashes: block_hashes.into_iter().collect(),
            state: Some(state),
        });
    }
    Ok(bundles)
}

/// Setup transactions in as few blocks as hold them.
fn setup_blocks(setup: &[Transaction]) -> Vec<Vec<Transaction>> {
    let mut blocks: Vec<Vec<Transaction>> = Vec::new();
    let mut gas = u64::MAX;
    for tx in setup {
        gas = gas.saturating_add(tx.gas_limit());
        if gas > SETUP_GAS_MAX {
            blocks.push(Vec::new());
            gas = tx.gas_limit();
        }
        if let Some(block) = blocks.last_mut() {
            block.push(tx.clone());
        }
    }
    blocks
}

/// The chain as it grows.
struct Forge<'s> {
    scenario: &'s Scenario,
    chain: ChainSpec,
    executor: Executor,
    state: MemoryState,
    head: Header,
}

impl<'s> Forge<'s> {
    fn new(scenario: &'s Scenario, config: &ChainConfig) -> Result<Self, BuildCause> {
        let chain = ChainSpec::try_from(config)?;
        let first = scenario.blocks.first();
        let fork = scenario.fork;
        let mut head = Header {
            ommers_hash: EMPTY_OMMER_ROOT_HASH,
            state_root: scenario.genesis.root(),
            gas_limit: first.map_or(SETUP_GAS_MAX, |plan| plan.gas_limit),
            beneficiary: first.map(|plan| plan.beneficiary).unwrap_or_default(),
            timestamp: GENESIS_TIME,
            difficulty: if fork >= Fork::Paris { U256::ZERO } else { U256::from(DIFFICULTY) },
            base_fee_per_gas: (fork >= Fork::London).then_some(INITIAL_BASE_FEE),
            ..Header::default()
        };
        fields_of_fork(&mut head, fork);
        let executor = Executor::new(1)?;
        let mut state = scenario.genesis.clone();
        state.block_hashes.insert(0, head.hash_slow());
        Ok(Self { scenario, chain, executor, state, head })
    }

    /// Executes and seals the next block.
    fn add(&mut self, plan: &BlockPlan) -> Result<SealedBlock, BuildCause> {
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
        let receipts = self.receipts(&outcome, &rules)?;
        self.state.apply(&outcome.diff)?;
        header.gas_used = outcome.gas_used;
        header.receipts_root = receipts_root(&receipts);
        header.logs_bloom = logs_bloom(&receipts);
        header.requests_hash = outcome.requests.map(|requests| requests.requests_hash());
        header.state_root = self.state.root();

        let block = SealedBlock::seal(Block { header, body });
        check_block(&block, &rules, Ommers::Known)?;
        self.state.block_hashes.insert(number, block.hash());
        self.state.block_hashes.retain(|known, _| known + ANCESTORS > number);
        self.head = block.block().header.clone();
        Ok(block)
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
        fields_of_fork(&mut header, self.scenario.fork);
        if let Some(params) = self.chain.rules(&header).blob_params {
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

    fn receipts(
        &self,
        outcome: &BlockOutcome,
        rules: &Rules,
    ) -> Result<Vec<ReceiptEnvelope>, DiffError> {
        if rules.receipts_have_status() {
            return Ok(outcome.receipts());
        }
        let mut state = self.state.clone();
        let mut roots = Vec::new();
        for step in &outcome.steps {
            state.apply(step)?;
            roots.push(state.root());
        }
        // The first step is the opening of the block.
        let status = |index: usize, _: &_| {
            Eip658Value::PostState(roots.get(index + 1).copied().unwrap_or_default())
        };
        Ok(outcome.receipts_with(status))
    }
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
        header.requests_hash = Some(fugue_types::Requests::default().requests_hash());
    }
    if fork >= Fork::Amsterdam {
        header.block_access_list_hash = Some(EMPTY_LIST_HASH);
        header.slot_number = Some(header.number);
    }
}

fn pre_state(state: &MemoryState) -> PreState {
    let accounts = state.accounts.iter().map(|(address, found)| {
        let account = PreAccount {
            balance: found.account.balance,
            nonce: found.account.nonce,
            code_hash: found.account.has_code().then_some(found.account.code_hash),
            storage: found.slots.iter().map(|(slot, value)| (*slot, *value)).collect(),
        };
        (*address, account)
    });
    let accounts: BTreeMap<_, _> = accounts.collect();
    let named = accounts.values().filter_map(|account| account.code_hash);
    let codes = named.filter_map(|hash| Some((hash, state.codes.get(&hash)?.clone()))).collect();
    PreState { accounts, codes, is_complete: true }
}
