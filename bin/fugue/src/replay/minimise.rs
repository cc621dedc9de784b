//! `fugue replay --minimise`: of a block on which the modes differ, the fewest transactions and the
//! least state on which they still do.
//!
//! 1. The block is executed once more, in all modes, and what they read of the state is noted. That
//!    takes the place of the state, also of one that was proven by trie nodes. Where blocks run by
//!    access lists from files, this one and each smaller one have the list of their own sequential
//!    run: the one from the file would be wrong for a smaller block, and dropped.
//! 2. [`reduce`] leaves out whatever it can. A smaller block counts if it is valid when executed
//!    sequentially, and a parallel run gives something else. What the header promises of gas, roots
//!    and hashes is not compared: only modes are, with each other.
//! 3. Of the smallest block the header is made to promise what sequential execution gives, and it
//!    is written to a folder: replayed, nothing differs in it but the modes.
//!
//! A difference may hang on which thread came first, so a smaller block is run several times before
//! it counts as one without. It may still be missed: then something is left that could have gone.

mod noting;

#[cfg(test)]
mod tests;

use super::{
    before::{Before, memory_state},
    check::{Difference, Findings, chain},
    lists::Lists,
    repro,
};
use crate::{UsageError, progress::Progress};
use fugue_archive::{Bundle, Record};
use fugue_chainspec::Rules;
use fugue_executor::{
    BlockError, Divergence, Execution, Executor, Mode, PreparedBlock, Scope, first_divergence,
};
use fugue_state::{MemoryState, StateView};
use fugue_types::{CheckedBlock, SealedBlock};
use fugue_validation::{Ommers, check_block};
use fugue_workload::{Reduced, Size, Trial, reduce};
use noting::{Noted, Noting};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

/// Runs in each parallel mode, if not told otherwise, after which a block counts as one without a
/// difference: what shows in a third of the runs is then missed in one of 25 blocks.
pub(super) const TRIES: u16 = 8;
/// Most runs in each parallel mode.
pub(super) const TRIES_MAX: u16 = 1_000;
/// Smaller blocks that are executed of one block, at most.
const TRIALS_MAX: usize = 5_000;
/// Longest that is spent on one block; the runs of a smaller block that have begun are finished.
const TIME_MAX: Duration = Duration::from_secs(600);
/// How often it is told how far it has come.
const TELL_AFTER: Duration = Duration::from_secs(2);

/// What executes blocks: the executor, or one that is known to be wrong.
pub(super) trait Execute {
    /// As [`Executor::execute`].
    fn execute(
        &self,
        mode: Mode,
        block: &PreparedBlock,
        rules: &Rules,
        view: &dyn StateView,
        scope: Scope,
    ) -> Result<Execution, BlockError>;
}

impl Execute for Executor {
    fn execute(
        &self,
        mode: Mode,
        block: &PreparedBlock,
        rules: &Rules,
        view: &dyn StateView,
        scope: Scope,
    ) -> Result<Execution, BlockError> {
        Self::execute(self, mode, block, rules, view, scope)
    }
}

/// The smallest block that was found.
#[derive(Debug, Clone)]
pub(crate) struct Minimal {
    pub(crate) size: Size,
    /// Smaller blocks that were executed.
    pub(crate) trials: usize,
    /// Whether nothing more can be left out; false if a bound ended it.
    pub(crate) is_minimal: bool,
    pub(crate) difference: Difference,
    /// The folder that reproduces it.
    pub(crate) repro: PathBuf,
}

impl Minimal {
    /// For people.
    pub(super) fn lines(&self) -> [String; 3] {
        let Self { size, trials, is_minimal, difference, repro } = self;
        let word = if *is_minimal { "minimal" } else { "smallest within the bounds" };
        [
            format!("  {word}: {size}; {trials} smaller blocks were executed"),
            format!("  first difference: {difference}"),
            format!("  run it: sh {}", repro.join("rerun.sh").display()),
        ]
    }
}

/// Makes blocks smaller.
pub(super) struct Minimiser<'e> {
    executor: &'e Executor,
    execute: &'e dyn Execute,
    modes: &'static [Mode],
    tries: u16,
    repro: &'e Path,
    /// Where the lists are that blocks run by; `None` if they run by none from a file.
    lists: Option<&'e Lists>,
}

impl<'e> Minimiser<'e> {
    /// Folders are written into `repro`.
    ///
    /// # Errors
    /// [`UsageError`] if the modes are not several, the sequential one among them.
    pub(super) fn new(
        executor: &'e Executor,
        modes: &'static [Mode],
        tries: u16,
        repro: &'e Path,
    ) -> Result<Self, UsageError> {
        if !modes.contains(&Mode::Seq) || modes.len() < 2 {
            let reason = "--minimise compares modes: it needs --mode both or all";
            return Err(UsageError(reason.to_owned()));
        }
        Ok(Self { executor, execute: executor, modes, tries, repro, lists: None })
    }

    /// With files of access lists: if blocks run by them, smaller ones run by lists as well.
    pub(super) fn with_lists(self, lists: Option<&'e Lists>) -> Self {
        Self { lists: lists.filter(|lists| lists.are_read()), ..self }
    }

    /// Makes a block smaller as long as the modes differ, and writes what is left to a folder.
    ///
    /// # Errors
    /// [`UsageError`] with the reason why there is nothing to make smaller; or if the folder cannot
    /// be written.
    pub(super) fn minimise(
        &self,
        record: &Record,
        findings: &Findings,
        progress: &Progress,
    ) -> Result<Minimal, UsageError> {
        let rules = chain(record).map_err(UsageError)?.rules(&record.block().block().header);
        let whole = self.listed(record, &rules)?;
        let started = Instant::now();
        let mut told = started;
        let goes_on = |size: Size, trials: usize| {
            if told.elapsed() >= TELL_AFTER {
                told = Instant::now();
                progress.say(&format!("  minimising: {size} after {trials} smaller blocks"));
            }
            trials < TRIALS_MAX && started.elapsed() < TIME_MAX
        };
        let differs = |trial: &Trial| self.difference_in(trial, &rules);
        let reduced = reduce(whole, differs, goes_on);
        let reduced = reduced.ok_or_else(|| self.nothing("on what they read of the state"))?;
        self.write(reduced, &rules, findings)
    }

    /// The block, with what the modes read of the state.
    fn listed(&self, record: &Record, rules: &Rules) -> Result<Trial, UsageError> {
        let before =
            Before::new(record).ok_or_else(|| UsageError("there is no pre-state".to_owned()))?;
        let has_ommers = has_ommers(record);
        let checked = checked(record.block().clone(), rules, has_ommers)?;
        let prepared = self.executor.prepare(checked, rules).map_err(usage)?;
        let scope = before.scope();
        let ran: Result<_, UsageError> = before.with_view(|view| {
            let noting = Noting::new(view);
            let prepared = self.with_own_list(prepared, rules, &noting, scope)?;
            let difference = self.difference(&prepared, rules, &noting, scope);
            Ok((prepared, difference, noting.end()))
        });
        let (prepared, difference, noted) = ran?;
        difference.ok_or_else(|| self.nothing_in(&prepared))?;
        let Noted { state, block_hashes } = noted.map_err(usage)?;
        let bundle = Bundle {
            chain_id: record.chain_id(),
            config: record.config().cloned(),
            block: record.block().clone(),
            has_ommers,
            parent: record.parent().cloned(),
            block_hashes,
            state: Some(state),
        };
        Ok(Trial::new(bundle, prepared.senders().to_vec()))
    }

    fn nothing(&self, place: &str) -> UsageError {
        UsageError(format!("the modes agree {place}, {} times", self.tries))
    }

    /// Why there is nothing to make smaller where the modes agree on the block as a whole. It may
    /// be that they differ by the list from the file alone, which is another one.
    fn nothing_in(&self, block: &PreparedBlock) -> UsageError {
        let UsageError(reason) = self.nothing("on it");
        let (number, hash) = (block.block().block().header.number, block.block().hash());
        let given = self.lists.map(|lists| lists.read(number, hash));
        match given {
            Some(Ok(Some(given))) if block.access_list().is_some_and(|own| **own != given) => {
                UsageError(format!(
                    "{reason}, by the access list of its sequential run; the one in --bal is \
                     another, wrong one, and no smaller block has one that is wrong like that"
                ))
            }
            _ => UsageError(reason),
        }
    }

    /// The block, where blocks run by lists, with that of its own sequential run.
    ///
    /// # Errors
    /// [`UsageError`] if that finds it invalid, or the state lacks something.
    fn with_own_list(
        &self,
        block: PreparedBlock,
        rules: &Rules,
        view: &dyn StateView,
        scope: Scope,
    ) -> Result<PreparedBlock, UsageError> {
        if self.lists.is_none() {
            return Ok(block);
        }
        let listed = self.executor.list_accesses(&block, rules, view, scope);
        let (_, list) = listed.map_err(usage)?;
        Ok(block.with_access_list(Arc::new(list)))
    }

    /// The first difference between sequential execution and another mode. `None` as well if
    /// sequential execution finds the block invalid, or the state lacks something.
    fn difference(
        &self,
        block: &PreparedBlock,
        rules: &Rules,
        view: &dyn StateView,
        scope: Scope,
    ) -> Option<Divergence> {
        let run = |mode: Mode| self.execute.execute(mode, block, rules, view, scope);
        let expected = run(Mode::Seq).ok()?.outcome;
        let others: Vec<Mode> =
            self.modes.iter().copied().filter(|mode| *mode != Mode::Seq).collect();
        for _ in 0..self.tries {
            for mode in &others {
                let found = match run(*mode) {
                    Ok(execution) => first_divergence(&expected, &execution.outcome),
                    Err(BlockError::State(_)) => return None,
                    Err(error) => Some(Divergence::of_block("block", "valid", error)),
                };
                if found.is_some() {
                    return found;
                }
            }
        }
        None
    }

    /// The same of a smaller block.
    fn difference_in(&self, trial: &Trial, rules: &Rules) -> Option<Divergence> {
        let (block, view) = self.prepared(trial, rules).ok()?;
        self.difference(&block, rules, &view, Scope::Recorded)
    }

    /// A smaller block ready to run, and the state before it.
    fn prepared(
        &self,
        trial: &Trial,
        rules: &Rules,
    ) -> Result<(PreparedBlock, MemoryState), UsageError> {
        let bundle = trial.bundle();
        let state = bundle.state.as_ref();
        let state = state.ok_or_else(|| UsageError("there is no pre-state".to_owned()))?;
        let checked = checked(bundle.block.clone(), rules, bundle.has_ommers)?;
        let senders: Vec<_> = trial.senders().iter().copied().map(Some).collect();
        let prepared = self.executor.prepare_knowing(checked, rules, &senders).map_err(usage)?;
        let view = memory_state(state, bundle);
        Ok((self.with_own_list(prepared, rules, &view, Scope::Recorded)?, view))
    }

    /// Writes the smallest block to a folder.
    fn write(
        &self,
        reduced: Reduced<Divergence>,
        rules: &Rules,
        findings: &Findings,
    ) -> Result<Minimal, UsageError> {
        let Reduced { trial, difference: what, trials, is_minimal } = reduced;
        let (block, view) = self.prepared(&trial, rules)?;
        let sequential = self.execute.execute(Mode::Seq, &block, rules, &view, Scope::Recorded);
        let bundle = trial.promising(&sequential.map_err(usage)?.outcome, rules);
        let txs = &bundle.block.block().body.transactions;
        let transaction = what.transaction.and_then(|index| txs.get(index));
        let difference = Difference {
            between: "sequential and parallel",
            transaction_hash: transaction.map(|tx| *tx.hash()),
            what,
        };
        let smallest = Findings {
            hash: bundle.block.hash(),
            tx_count: txs.len(),
            gas_used: bundle.block.block().header.gas_used,
            differences: vec![difference.clone()],
            ..findings.clone()
        };
        let record = Record::Bundle(bundle);
        let threads = self.executor.threads();
        let list = self.lists.and(block.access_list()).map(|list| &**list);
        let repro = repro::write(self.repro, &record, &smallest, self.modes, threads, list)?;
        Ok(Minimal { size: trial.size(), trials, is_minimal, difference, repro })
    }
}

fn usage(error: impl std::fmt::Display) -> UsageError {
    UsageError(error.to_string())
}

fn has_ommers(record: &Record) -> bool {
    match record {
        Record::Bundle(bundle) => bundle.has_ommers,
        Record::Witness(_) => true,
    }
}

fn checked(
    block: SealedBlock,
    rules: &Rules,
    has_ommers: bool,
) -> Result<CheckedBlock, UsageError> {
    let ommers = if has_ommers { Ommers::Known } else { Ommers::Unknown };
    let checked = block.check(|block| check_block(block, rules, ommers));
    checked.map_err(|refused| usage(refused.1))
}
