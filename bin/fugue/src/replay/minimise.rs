//! `fugue replay --minimise`: of a block on which the modes differ, the fewest transactions and the
//! least state on which they still do.
//!
//! 1. The block is executed once more, in all modes, and what they read of the state is noted. That
//!    takes the place of the state, also of one that was proven by trie nodes.
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
        Ok(Self { executor, execute: executor, modes, tries, repro })
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
        let (difference, noted) = before.with_view(|view| {
            let noting = Noting::new(view);
            let difference = self.difference(&prepared, rules, &noting, before.scope());
            (difference, noting.end())
        });
        difference.ok_or_else(|| self.nothing("on it"))?;
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
        Ok((prepared, memory_state(state, bundle)))
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
        let repro = repro::write(self.repro, &record, &smallest, self.modes, threads, None)?;
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
