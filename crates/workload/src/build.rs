//! Executes a scenario sequentially and seals its blocks: from plans to bundles.

use crate::{BlockPlan, Forge, Forged, Scenario, forge::first_header};
use alloy_genesis::ChainConfig;
use fugue_archive::{Bundle, PreAccount, PreState};
use fugue_chainspec::{ChainSpec, ConfigError, Fork};
use fugue_executor::BlockError;
use fugue_state::{DiffError, MemoryState};
use fugue_trie::TrieError;
use fugue_types::{Header, SealedBlock, Transaction, TransactionTrait, U256};
use fugue_validation::Mismatch;
use std::collections::BTreeMap;

/// Gas limits of setup transactions that go into one block, summed up.
const SETUP_GAS_MAX: u64 = 30_000_000;

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
    /// A root is not computed.
    #[error(transparent)]
    Trie(#[from] TrieError),
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
pub(crate) fn config(chain_id: u64, fork: Fork) -> ChainConfig {
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

/// A generated chain from its genesis on.
#[derive(Debug, Clone)]
pub struct BuiltChain {
    /// Its configuration.
    pub config: ChainConfig,
    /// The state of its genesis.
    pub genesis: MemoryState,
    /// The first header.
    pub header: Header,
    /// All blocks after it: setup, then what was planned.
    pub blocks: Vec<SealedBlock>,
}

/// Executes a scenario and gives all of its blocks.
///
/// # Errors
/// As [`build`].
pub fn build_chain(scenario: &Scenario) -> Result<BuiltChain, BuildError> {
    let at = |number: u64| {
        move |cause: BuildCause| BuildError {
            scenario: scenario.name.clone(),
            number,
            cause: Box::new(cause),
        }
    };
    let config = config(scenario.chain_id, scenario.fork);
    let mut forge = begin(scenario, &config).map_err(at(0))?;
    let header = forge.head().clone();
    let mut blocks = Vec::new();
    let setup = setup_plans(&scenario.setup, &header);
    for plan in setup.iter().chain(&scenario.blocks) {
        let number = forge.head().number + 1;
        blocks.push(forge.add(plan).map_err(at(number))?.block);
    }
    Ok(BuiltChain { config, genesis: scenario.genesis.clone(), header, blocks })
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
    let mut forge = begin(scenario, &config).map_err(at(0))?;
    let config = serde_json::to_value(&config).map_err(|error| at(0)(error.into()))?;
    for plan in setup_plans(&scenario.setup, forge.head()) {
        let number = forge.head().number + 1;
        forge.add(&plan).map_err(at(number))?;
    }
    let mut bundles = Vec::with_capacity(scenario.blocks.len());
    for plan in &scenario.blocks {
        let (state, parent) = (pre_state(forge.state()), forge.head().clone());
        let block_hashes = forge.state().block_hashes.clone();
        let Forged { block, .. } = forge.add(plan).map_err(at(parent.number + 1))?;
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

/// The chain of a scenario, before its setup.
fn begin(scenario: &Scenario, config: &ChainConfig) -> Result<Forge, BuildCause> {
    let chain = ChainSpec::try_from(config)?;
    let first = scenario.blocks.first();
    let gas_limit = first.map_or(SETUP_GAS_MAX, |plan| plan.gas_limit);
    let beneficiary = first.map(|plan| plan.beneficiary).unwrap_or_default();
    let head = first_header(scenario.fork, gas_limit, beneficiary);
    Forge::new(chain, scenario.genesis.clone(), head, 1)
}

/// What the planned blocks of a scenario do.
#[cfg(test)]
pub(crate) fn outcomes(scenario: &Scenario) -> Vec<fugue_executor::BlockOutcome> {
    let config = config(scenario.chain_id, scenario.fork);
    let mut forge = begin(scenario, &config).expect("a chain");
    for plan in setup_plans(&scenario.setup, forge.head()) {
        forge.add(&plan).expect("a valid setup");
    }
    let outcome = |plan: &BlockPlan| forge.add(plan).expect("a valid block").outcome;
    scenario.blocks.iter().map(outcome).collect()
}

/// The setup in as few blocks as hold it, with gas limit and beneficiary of the first header.
fn setup_plans(setup: &[Transaction], first: &Header) -> Vec<BlockPlan> {
    let plan = |transactions| BlockPlan {
        transactions,
        beneficiary: first.beneficiary,
        withdrawals: Vec::new(),
        gas_limit: first.gas_limit,
    };
    setup_blocks(setup).into_iter().map(plan).collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog;
    use fugue_types::{B256, Eip658Value};
    use fugue_validation::receipts_root;

    /// Every scenario whose receipts hold state roots, and those that destroy accounts.
    #[test]
    fn roots_are_those_of_the_whole_state() {
        let mut with_steps = 0;
        for scenario in catalog(1) {
            if scenario.fork >= Fork::Byzantium && !scenario.name.starts_with("destroy") {
                continue;
            }
            let config = config(scenario.chain_id, scenario.fork);
            let mut forge = begin(&scenario, &config).expect("a chain");
            let plans = setup_plans(&scenario.setup, forge.head()).into_iter();
            for plan in plans.chain(scenario.blocks.clone()) {
                let mut state = forge.state().clone();
                let Forged { block, outcome } = forge.add(&plan).expect("a block");
                let (name, header) = (&scenario.name, &block.block().header);
                assert_eq!(forge.state().root(), header.state_root, "{name} {}", header.number);
                if outcome.steps.is_empty() {
                    continue;
                }
                with_steps += 1;
                let mut roots: Vec<B256> = Vec::new();
                for step in &outcome.steps {
                    state.apply(step).expect("a step follows the one before");
                    roots.push(state.root());
                }
                let status = |index: usize, _: &_| Eip658Value::PostState(roots[index + 1]);
                let receipts = outcome.receipts_with(status);
                let found = receipts_root(&receipts);
                assert_eq!(found, header.receipts_root, "{name} {}", header.number);
            }
        }
        assert!(with_steps >= 12, "{with_steps} blocks from before Byzantium");
    }
}
