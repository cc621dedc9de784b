//! One bundle, checked.

use crate::{UsageError, cli::Modes};
use fugue_archive::{Bundle, PreState};
use fugue_chainspec::{ChainConfig, ChainSpec, Rules};
use fugue_executor::{
    BlockError, BlockOutcome, Divergence, Execution, Executor, Mode, PreparedBlock, Report, Scope,
    first_divergence,
};
use fugue_state::{Account, MemoryAccount, MemoryState};
use fugue_types::{B256, Eip658Value, Header, KECCAK256_EMPTY, ReceiptEnvelope};
use fugue_validation::{Mismatch, Ommers, OutcomeFacts, check_block, check_child, check_outcome};
use std::{
    collections::HashMap,
    fmt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// What one mode took.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) mode: Mode,
    pub(crate) time: Duration,
    pub(crate) report: Report,
}

/// A difference that was found in a block.
#[derive(Debug, Clone)]
pub(crate) struct Difference {
    /// Who differs from whom.
    pub(crate) between: &'static str,
    /// Hash of the transaction, if the difference is one transaction's.
    pub(crate) transaction_hash: Option<B256>,
    pub(crate) what: Divergence,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.between, self.what)?;
        match self.transaction_hash {
            Some(hash) => write!(f, " (transaction {hash})"),
            None => Ok(()),
        }
    }
}

/// What was found about one block.
#[derive(Debug, Clone)]
pub(crate) struct Findings {
    pub(crate) path: PathBuf,
    pub(crate) number: u64,
    pub(crate) hash: B256,
    pub(crate) fork: String,
    pub(crate) tx_count: usize,
    pub(crate) gas_used: u64,
    /// Senders and authorities, in parallel.
    pub(crate) recovery: Duration,
    /// In the order of [`Modes::list`]; empty if the block was not executed.
    pub(crate) runs: Vec<Run>,
    /// Header fields that were compared, and those that this source does not allow to compare.
    pub(crate) checked: Vec<&'static str>,
    pub(crate) unchecked: Vec<&'static str>,
    pub(crate) is_partial: bool,
    pub(crate) differences: Vec<Difference>,
    pub(crate) repro: Option<PathBuf>,
}

impl Findings {
    /// The time of a mode, if it ran.
    pub(crate) fn time(&self, mode: Mode) -> Option<Duration> {
        self.runs.iter().find(|run| run.mode == mode).map(|run| run.time)
    }

    /// The report of a mode, if it ran.
    pub(crate) fn report(&self, mode: Mode) -> Option<&Report> {
        self.runs.iter().find(|run| run.mode == mode).map(|run| &run.report)
    }
}

/// Checks bundles one after the other.
pub(crate) struct Checker<'e> {
    executor: &'e Executor,
    modes: Modes,
    /// Headers seen so far: a later block may be a child of one.
    headers: HashMap<B256, Header>,
    count: usize,
}

impl<'e> Checker<'e> {
    pub(crate) fn new(executor: &'e Executor, modes: Modes) -> Self {
        Self { executor, modes, headers: HashMap::new(), count: 0 }
    }

    /// # Errors
    /// [`UsageError`] if the bundle lacks something that its block needs; differences are findings.
    pub(crate) fn check(&mut self, path: &Path, bundle: &Bundle) -> Result<Findings, UsageError> {
        let bad = |error: &dyn fmt::Display| UsageError::at(path, error);
        self.count += 1;
        let chain = chain(bundle).map_err(|error| bad(&error))?;
        let block = bundle.block.block();
        let header = &block.header;
        let rules = chain.rules(header);
        let mut findings = Findings {
            path: path.to_owned(),
            number: header.number,
            hash: bundle.block.hash(),
            fork: rules.fork.to_string(),
            tx_count: block.body.transactions.len(),
            gas_used: header.gas_used,
            recovery: Duration::ZERO,
            runs: Vec::new(),
            checked: vec!["hash"],
            unchecked: Vec::new(),
            is_partial: bundle.state.is_none(),
            differences: Vec::new(),
            repro: None,
        };

        self.headers.insert(bundle.block.hash(), header.clone());
        self.check_parent(bundle, &chain, &rules, &mut findings);
        let ommers = if bundle.has_ommers { Ommers::Known } else { Ommers::Unknown };
        let checked = bundle.block.clone().check(|block| check_block(block, &rules, ommers));
        let checked = match checked {
            Ok(checked) => checked,
            Err(refused) => {
                findings.differences.push(of_mismatch("header and body", refused.1));
                return Ok(findings);
            }
        };

        findings.checked.push("transactionsRoot");
        let list = if bundle.has_ommers { &mut findings.checked } else { &mut findings.unchecked };
        list.push("sha3Uncles");
        if header.withdrawals_root.is_some() {
            findings.checked.push("withdrawalsRoot");
        }
        if header.block_access_list_hash.is_some() {
            findings.unchecked.push("blockAccessListHash");
        }

        let started = Instant::now();
        let prepared = match self.executor.prepare(checked, &rules) {
            Ok(prepared) => prepared,
            Err(error) => {
                findings.differences.push(of_error("senders", &error));
                return Ok(findings);
            }
        };
        findings.recovery = started.elapsed();
        if let Some(state) = &bundle.state {
            let view = memory_state(state, bundle);
            self.execute(path, bundle, &prepared, &rules, &view, &mut findings)?;
        }
        Ok(findings)
    }

    /// The bundle with its parent's header, if that is known from another bundle.
    pub(crate) fn with_parent(&self, mut bundle: Bundle) -> Bundle {
        let parent_hash = bundle.block.block().header.parent_hash;
        bundle.parent = bundle.parent.or_else(|| self.headers.get(&parent_hash).cloned());
        bundle
    }

    fn check_parent(
        &self,
        bundle: &Bundle,
        chain: &ChainSpec,
        rules: &Rules,
        findings: &mut Findings,
    ) {
        let header = &bundle.block.block().header;
        let parent = bundle.parent.as_ref().or_else(|| self.headers.get(&header.parent_hash));
        let fields = ["number", "gasLimit", "timestamp", "baseFeePerGas", "excessBlobGas"];
        let fields = fields.into_iter().filter(|field| match *field {
            "baseFeePerGas" => header.base_fee_per_gas.is_some(),
            "excessBlobGas" => header.excess_blob_gas.is_some(),
            _ => true,
        });
        let Some(parent) = parent else {
            findings.unchecked.extend(fields);
            return;
        };
        findings.checked.extend(fields);
        if let Err(mismatch) = check_child(header, rules, parent, &chain.rules(parent)) {
            findings.differences.push(of_mismatch("header and parent", mismatch));
        }
    }

    fn execute(
        &self,
        path: &Path,
        bundle: &Bundle,
        prepared: &PreparedBlock,
        rules: &Rules,
        view: &MemoryState,
        findings: &mut Findings,
    ) -> Result<(), UsageError> {
        // Codes are analysed once, whoever runs first. What else the first one finds cold, the
        // modes take turns at.
        self.executor.warm(&view.codes);
        let mut order = self.modes.list().to_vec();
        if self.count.is_multiple_of(2) {
            order.reverse();
        }
        let mut outcomes = Vec::new();
        for mode in order {
            let started = Instant::now();
            let executed = self.executor.execute(mode, prepared, rules, view, Scope::Block);
            let time = started.elapsed();
            match executed {
                Ok(Execution { outcome, report }) => {
                    findings.runs.push(Run { mode, time, report });
                    outcomes.push((mode, outcome));
                }
                Err(BlockError::State(error)) => {
                    return Err(UsageError::at(path, format!("{mode}: {error}")));
                }
                Err(error) => {
                    findings.differences.push(of_error(between_header_and(mode), &error));
                }
            }
        }
        findings.runs.sort_by_key(|run| run.mode == Mode::Occ);
        outcomes.sort_by_key(|(mode, _)| *mode == Mode::Occ);

        let receipts_are_whole = rules.receipts_have_status() || view_is_whole(bundle);
        findings.checked.extend(["gasUsed", "logsBloom"]);
        let list = if receipts_are_whole { &mut findings.checked } else { &mut findings.unchecked };
        list.push("receiptsRoot");
        let list =
            if view_is_whole(bundle) { &mut findings.checked } else { &mut findings.unchecked };
        list.push("stateRoot");
        let header = &bundle.block.block().header;
        if header.blob_gas_used.is_some() {
            findings.checked.push("blobGasUsed");
        }
        if header.requests_hash.is_some() {
            findings.checked.push("requestsHash");
        }
        if let [(_, expected), (_, found)] = &outcomes[..]
            && let Some(what) = first_divergence(expected, found)
        {
            findings.differences.push(Difference {
                between: "sequential and parallel",
                transaction_hash: what.transaction.and_then(|index| tx_hash(bundle, index)),
                what,
            });
        }
        for (mode, outcome) in &outcomes {
            let mismatches = check_by_header(bundle, rules, view, outcome).map_err(|error| {
                UsageError::at(path, format!("the diff does not fit the pre-state: {error}"))
            })?;
            let mismatches = mismatches
                .into_iter()
                .map(|mismatch| of_mismatch(between_header_and(*mode), mismatch));
            findings.differences.extend(mismatches);
        }
        Ok(())
    }
}

const fn between_header_and(mode: Mode) -> &'static str {
    match mode {
        Mode::Seq => "header and sequential",
        Mode::Occ => "header and parallel",
    }
}

fn tx_hash(bundle: &Bundle, index: usize) -> Option<B256> {
    bundle.block.block().body.transactions.get(index).map(|tx| *tx.hash())
}

fn of_mismatch(between: &'static str, mismatch: Mismatch) -> Difference {
    let Mismatch { field, expected, found } = mismatch;
    let what = Divergence::of_block(field, expected, found);
    Difference { between, transaction_hash: None, what }
}

fn of_error(between: &'static str, error: &BlockError) -> Difference {
    let what = Divergence::of_block("block", "valid", error);
    Difference { between, transaction_hash: None, what }
}

fn chain(bundle: &Bundle) -> Result<ChainSpec, String> {
    match &bundle.config {
        Some(config) => {
            let config: ChainConfig = serde_json::from_value(config.clone())
                .map_err(|error| format!("config: {error}"))?;
            if config.chain_id != bundle.chain_id {
                return Err(format!(
                    "chainId: {} in the bundle, {} in its config",
                    bundle.chain_id, config.chain_id
                ));
            }
            ChainSpec::try_from(&config).map_err(|error| format!("config: {error}"))
        }
        None => ChainSpec::by_chain_id(bundle.chain_id).ok_or_else(|| {
            format!("chainId: {} is not known, and the bundle has no config", bundle.chain_id)
        }),
    }
}

fn view_is_whole(bundle: &Bundle) -> bool {
    bundle.state.as_ref().is_some_and(|state| state.is_complete)
}

fn memory_state(state: &PreState, bundle: &Bundle) -> MemoryState {
    let accounts = state.accounts.iter().map(|(address, pre)| {
        let code_hash = pre.code_hash.unwrap_or(KECCAK256_EMPTY);
        let account = Account { nonce: pre.nonce, balance: pre.balance, code_hash };
        let slots = pre.storage.iter().filter(|(_, value)| !value.is_zero());
        let slots = slots.map(|(slot, value)| (*slot, *value)).collect();
        (*address, MemoryAccount { account, slots })
    });
    MemoryState {
        accounts: accounts.collect(),
        codes: state.codes.clone(),
        block_hashes: bundle.block_hashes.iter().map(|(number, hash)| (*number, *hash)).collect(),
    }
}

/// The outcome by the header; with the whole state at hand also the state roots.
fn check_by_header(
    bundle: &Bundle,
    rules: &Rules,
    view: &MemoryState,
    outcome: &BlockOutcome,
) -> Result<Vec<Mismatch>, fugue_state::DiffError> {
    let header = &bundle.block.block().header;
    let receipts = if rules.receipts_have_status() {
        outcome.receipts()
    } else {
        receipts_with_roots(bundle, view, outcome)?
    };
    let facts = OutcomeFacts {
        gas_used: outcome.gas_used,
        blob_gas_used: outcome.blob_gas_used,
        receipts: &receipts,
        are_receipts_whole: rules.receipts_have_status() || view_is_whole(bundle),
        requests: outcome.requests.as_ref(),
    };
    let mut mismatches = check_outcome(header, &facts);
    if view_is_whole(bundle) {
        let mut state = view.clone();
        state.apply(&outcome.diff)?;
        let (expected, found) = (header.state_root, state.root());
        if expected != found {
            mismatches.push(Mismatch {
                field: "stateRoot",
                expected: expected.to_string(),
                found: found.to_string(),
            });
        }
    }
    Ok(mismatches)
}

/// Receipts from before Byzantium: with the state root after each transaction if the whole state is
/// at hand, else with none, good for their blooms.
fn receipts_with_roots(
    bundle: &Bundle,
    view: &MemoryState,
    outcome: &BlockOutcome,
) -> Result<Vec<ReceiptEnvelope>, fugue_state::DiffError> {
    let mut roots = Vec::new();
    if view_is_whole(bundle) {
        let mut state = view.clone();
        let (opening, steps) = match outcome.steps.split_first() {
            Some((opening, steps)) => (Some(opening), steps),
            None => (None, &[][..]),
        };
        if let Some(opening) = opening {
            state.apply(opening)?;
        }
        for step in steps {
            state.apply(step)?;
            roots.push(state.root());
        }
    }
    Ok(outcome.receipts_with(|index, _| {
        Eip658Value::PostState(roots.get(index).copied().unwrap_or_default())
    }))
}
