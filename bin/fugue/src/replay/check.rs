//! One recorded block, checked.

use super::{
    before::{Before, Judgement},
    explain::Explained,
    lists::Lists,
    minimise::Minimal,
    modes,
};
use crate::UsageError;
use fugue_archive::Record;
use fugue_chainspec::{ChainConfig, ChainSpec, Rules};
use fugue_executor::{
    BlockError, Divergence, Execution, Executor, Mode, PreparedBlock, Report, first_divergence,
};
use fugue_types::{B256, Header};
use fugue_validation::{Mismatch, Ommers, check_block, check_child};
use std::{
    collections::HashMap,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
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
    /// The form of the file, in a word.
    pub(crate) kind: &'static str,
    pub(crate) number: u64,
    pub(crate) hash: B256,
    pub(crate) fork: String,
    pub(crate) tx_count: usize,
    pub(crate) gas_used: u64,
    /// Senders and authorities, in parallel.
    pub(crate) recovery: Duration,
    /// How often it was executed in each mode.
    pub(crate) rounds: u16,
    /// Of the last round, the sequential one first; empty if the block was not executed.
    pub(crate) runs: Vec<Run>,
    /// Header fields that were compared, and those that this source does not allow to compare.
    pub(crate) checked: Vec<&'static str>,
    pub(crate) unchecked: Vec<&'static str>,
    /// Why something was not compared, if that is not plain from the kind of the file.
    pub(crate) note: Option<String>,
    pub(crate) is_partial: bool,
    pub(crate) differences: Vec<Difference>,
    pub(crate) repro: Option<PathBuf>,
    /// Where that was asked for, of a block without differences.
    pub(super) explained: Option<Explained>,
    /// The smallest block on which the modes differ, if it was looked for.
    pub(crate) minimal: Option<Minimal>,
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

    /// Takes what the header says of the outcomes.
    fn judged(&mut self, header: &Header, judgements: Vec<(Mode, Judgement)>) {
        if judgements.is_empty() {
            return;
        }
        let all = |has: fn(&Judgement) -> bool| judgements.iter().all(|(_, one)| has(one));
        let fields = [
            ("gasUsed", true),
            ("logsBloom", true),
            ("receiptsRoot", all(|one| one.has_receipts_root)),
            ("stateRoot", all(|one| one.has_state_root)),
            ("blobGasUsed", true),
            ("requestsHash", true),
            ("blockAccessListHash", true),
        ];
        for (field, is_checked) in fields {
            let is_there = match field {
                "blobGasUsed" => header.blob_gas_used.is_some(),
                "requestsHash" => header.requests_hash.is_some(),
                "blockAccessListHash" => header.block_access_list_hash.is_some(),
                _ => true,
            };
            if is_there {
                let list = if is_checked { &mut self.checked } else { &mut self.unchecked };
                list.push(field);
            }
        }
        for (mode, judgement) in judgements {
            let Judgement { mismatches, note, .. } = judgement;
            let between = between_header_and(mode);
            self.differences.extend(mismatches.into_iter().map(|one| of_mismatch(between, one)));
            self.note = self.note.take().or(note);
        }
    }
}

/// Checks recorded blocks one after the other.
pub(crate) struct Checker<'e> {
    executor: &'e Executor,
    modes: &'static [Mode],
    lists: Option<&'e Lists>,
    explains: bool,
    /// How often each block is executed in each mode, if nothing differs.
    rounds: u16,
    /// Headers seen so far: a later block may be a child of one.
    headers: HashMap<B256, Header>,
    count: usize,
}

impl<'e> Checker<'e> {
    /// A checker that executes blocks in these modes, the sequential one first.
    pub(crate) fn new(executor: &'e Executor, modes: &'static [Mode]) -> Self {
        let headers = HashMap::new();
        Self { executor, modes, lists: None, explains: false, rounds: 1, headers, count: 0 }
    }

    /// Executes each block so often, until something differs.
    pub(super) fn repeating(self, rounds: u16) -> Self {
        Self { rounds, ..self }
    }

    /// With files of access lists, to run by them, or to write them.
    pub(super) fn with_lists(self, lists: Option<&'e Lists>) -> Self {
        Self { lists, ..self }
    }

    /// Explains each block as well, with what the parallel run took if the executor observes that.
    pub(super) fn explaining(self) -> Self {
        Self { explains: true, ..self }
    }

    /// # Errors
    /// [`UsageError`] if the file lacks something that its block needs; differences are findings.
    pub(crate) fn check(&mut self, path: &Path, record: &Record) -> Result<Findings, UsageError> {
        self.count += 1;
        let chain = chain(record).map_err(|error| UsageError::at(path, error))?;
        let sealed = record.block();
        let block = sealed.block();
        let header = &block.header;
        let rules = chain.rules(header);
        let before = Before::new(record);
        let mut findings = Findings {
            path: path.to_owned(),
            kind: record.kind(),
            number: header.number,
            hash: sealed.hash(),
            fork: rules.fork.to_string(),
            tx_count: block.body.transactions.len(),
            gas_used: header.gas_used,
            recovery: Duration::ZERO,
            rounds: 0,
            runs: Vec::new(),
            checked: vec!["hash"],
            unchecked: Vec::new(),
            note: None,
            is_partial: before.is_none(),
            differences: Vec::new(),
            repro: None,
            explained: None,
            minimal: None,
        };

        self.headers.insert(sealed.hash(), header.clone());
        self.check_parent(path, record, &chain, &rules, &mut findings)?;
        let has_ommers = match record {
            Record::Bundle(bundle) => bundle.has_ommers,
            Record::Witness(_) => true,
        };
        let ommers = if has_ommers { Ommers::Known } else { Ommers::Unknown };
        let checked = sealed.clone().check(|block| check_block(block, &rules, ommers));
        let checked = match checked {
            Ok(checked) => checked,
            Err(refused) => {
                findings.differences.push(of_mismatch("header and body", refused.1));
                return Ok(findings);
            }
        };

        findings.checked.push("transactionsRoot");
        let list = if has_ommers { &mut findings.checked } else { &mut findings.unchecked };
        list.push("sha3Uncles");
        if header.withdrawals_root.is_some() {
            findings.checked.push("withdrawalsRoot");
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
        if let Some(before) = &before {
            let lists = self.lists.filter(|_| modes::read_lists(self.modes));
            let list = match lists {
                Some(lists) => lists.read(findings.number, findings.hash)?,
                None => None,
            };
            let prepared = match list {
                Some(list) => prepared.with_access_list(Arc::new(list)),
                None => prepared,
            };
            // Like the senders, before the time that is measured.
            prepared.index_access_list(&rules);
            let unexecuted = findings.clone();
            for round in 1..=self.rounds {
                findings = Findings { rounds: round, ..unexecuted.clone() };
                self.execute(path, &prepared, &rules, before, &mut findings)?;
                if !findings.differences.is_empty() {
                    break;
                }
            }
            if self.explains && findings.differences.is_empty() {
                self.explain(path, &prepared, &rules, before, &mut findings)?;
            }
            self.write_list(path, &prepared, &rules, before, &mut findings)?;
        }
        Ok(findings)
    }

    /// A bundle with its parent's header, if that is known from another file; a witness bundle as
    /// it is.
    pub(crate) fn with_parent(&self, mut record: Record) -> Record {
        if let Record::Bundle(bundle) = &mut record
            && bundle.parent.is_none()
        {
            let parent_hash = bundle.block.block().header.parent_hash;
            bundle.parent = self.headers.get(&parent_hash).cloned();
        }
        record
    }

    /// # Errors
    /// [`UsageError`] if a witness is of another state than the parent's.
    fn check_parent(
        &self,
        path: &Path,
        record: &Record,
        chain: &ChainSpec,
        rules: &Rules,
        findings: &mut Findings,
    ) -> Result<(), UsageError> {
        let header = &record.block().block().header;
        let parent = record.parent().or_else(|| self.headers.get(&header.parent_hash));
        let fields = ["number", "gasLimit", "timestamp", "baseFeePerGas", "excessBlobGas"];
        let fields = fields.into_iter().filter(|field| match *field {
            "baseFeePerGas" => header.base_fee_per_gas.is_some(),
            "excessBlobGas" => header.excess_blob_gas.is_some(),
            _ => true,
        });
        let Some(parent) = parent else {
            findings.unchecked.extend(fields);
            return Ok(());
        };
        if let Record::Witness(bundle) = record
            && bundle.pre_state_root != parent.state_root
        {
            let reason =
                "preStateRoot: is not the stateRoot of the parent, known from another file";
            return Err(UsageError::at(path, reason));
        }
        findings.checked.extend(fields);
        if let Err(mismatch) = check_child(header, rules, parent, &chain.rules(parent)) {
            findings.differences.push(of_mismatch("header and parent", mismatch));
        }
        Ok(())
    }

    /// Writes the access list of a block without differences, where lists are written. It is made
    /// by another sequential run, whose outcome the header judges, too.
    fn write_list(
        &self,
        path: &Path,
        prepared: &PreparedBlock,
        rules: &Rules,
        before: &Before<'_>,
        findings: &mut Findings,
    ) -> Result<(), UsageError> {
        let lists = self.lists.filter(|lists| !lists.are_read());
        let Some(lists) = lists.filter(|_| findings.differences.is_empty()) else {
            return Ok(());
        };
        let scope = before.scope();
        let listed =
            before.with_view(|view| self.executor.list_accesses(prepared, rules, view, scope));
        let (outcome, list) = listed.map_err(|error| UsageError::at(path, error))?;
        let header = &prepared.block().block().header;
        let judgement = before.judge(header, rules, &outcome);
        let Judgement { mismatches, .. } =
            judgement.map_err(|reason| UsageError::at(path, reason))?;
        if mismatches.is_empty() {
            return lists.write(findings.number, findings.hash, &list);
        }
        let differences = mismatches.into_iter().map(|one| of_mismatch("header and listed", one));
        findings.differences.extend(differences);
        Ok(())
    }

    fn execute(
        &self,
        path: &Path,
        prepared: &PreparedBlock,
        rules: &Rules,
        before: &Before<'_>,
        findings: &mut Findings,
    ) -> Result<(), UsageError> {
        // Codes are analysed once, whoever runs first. What else the first one finds cold, the
        // modes take turns at.
        self.executor.warm(before.codes());
        let mut order = self.modes.to_vec();
        if self.count.is_multiple_of(2) {
            order.reverse();
        }
        let mut outcomes = Vec::new();
        for mode in order {
            let (executed, time) = before.with_view(|view| {
                let started = Instant::now();
                let scope = before.scope();
                let executed = self.executor.execute(mode, prepared, rules, view, scope);
                (executed, started.elapsed())
            });
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
        findings.runs.sort_by_key(|run| run.mode != Mode::Seq);
        outcomes.sort_by_key(|(mode, _)| *mode != Mode::Seq);

        let block = prepared.block().block();
        let (expected, others) = match &outcomes[..] {
            [(_, expected), others @ ..] => (expected, others),
            [] => return Ok(()),
        };
        let differing = others.iter().filter_map(|(_, found)| first_divergence(expected, found));
        for what in differing {
            let txs = &block.body.transactions;
            let transaction = what.transaction.and_then(|index| txs.get(index));
            findings.differences.push(Difference {
                between: "sequential and parallel",
                transaction_hash: transaction.map(|tx| *tx.hash()),
                what,
            });
        }
        let mut judgements = Vec::with_capacity(outcomes.len());
        for (mode, outcome) in &outcomes {
            match before.judge(&block.header, rules, outcome) {
                Ok(judgement) => judgements.push((*mode, judgement)),
                // A difference says more than what the state lacks for one of the outcomes.
                Err(reason) if !findings.differences.is_empty() => findings.note = Some(reason),
                Err(reason) => return Err(UsageError::at(path, format!("{mode}: {reason}"))),
            }
        }
        findings.judged(&block.header, judgements);
        Ok(())
    }
}

impl Checker<'_> {
    /// Runs the block once more, to see what each of its transactions reads and writes.
    fn explain(
        &self,
        path: &Path,
        prepared: &PreparedBlock,
        rules: &Rules,
        before: &Before<'_>,
        findings: &mut Findings,
    ) -> Result<(), UsageError> {
        let txs = before.with_view(|view| self.executor.accesses(prepared, rules, view));
        let txs = txs.map_err(|error| UsageError::at(path, error))?;
        let in_parallel = findings.runs.iter().filter(|run| run.mode != Mode::Seq);
        let reports: Vec<&Report> = in_parallel.map(|run| &run.report).collect();
        findings.explained = Some(Explained::new(prepared.block(), &txs, &reports));
        // The explanation has what is worth keeping of them.
        for run in &mut findings.runs {
            run.report.tx_runs = Vec::new();
        }
        Ok(())
    }
}

const fn between_header_and(mode: Mode) -> &'static str {
    match mode {
        Mode::Seq => "header and sequential",
        Mode::Occ | Mode::Bal | Mode::Lanes | Mode::Auto => "header and parallel",
    }
}

fn of_mismatch(between: &'static str, mismatch: Mismatch) -> Difference {
    let Mismatch { field, expected, found, .. } = mismatch;
    let what = Divergence::of_block(field, expected, found);
    Difference { between, transaction_hash: None, what }
}

fn of_error(between: &'static str, error: &BlockError) -> Difference {
    let what = Divergence::of_block("block", "valid", error);
    Difference { between, transaction_hash: None, what }
}

/// The rules of the chain that a recorded block is of.
pub(crate) fn chain(record: &Record) -> Result<ChainSpec, String> {
    let chain_id = record.chain_id();
    match record.config() {
        Some(config) => {
            let config: ChainConfig = serde_json::from_value(config.clone())
                .map_err(|error| format!("config: {error}"))?;
            if config.chain_id != chain_id {
                let theirs = config.chain_id;
                return Err(format!("chainId: {chain_id} in the bundle, {theirs} in its config"));
            }
            ChainSpec::try_from(&config).map_err(|error| format!("config: {error}"))
        }
        None => ChainSpec::by_chain_id(chain_id).ok_or_else(|| {
            format!("chainId: {chain_id} is not known, and the bundle has no config")
        }),
    }
}
