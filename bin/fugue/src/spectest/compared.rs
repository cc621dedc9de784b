//! A block that is executed in several ways, without a chain and its store, each compared with the
//! sequential run: results, totals, access list and change of the state, or the same refusal.

use super::ways::{Manned, Way};
use fugue_chainspec::{Fork, Rules};
use fugue_executor::{
    BlockError, BlockOutcome, Execution, Executor, Mode, PreparedBlock, Scope, first_divergence,
};
use fugue_state::{StateDiff, StateView};
use std::{ops::AddAssign, sync::Arc};

/// Executions that were compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Compared {
    pub(super) runs: usize,
    /// Of them, those that did not end in parallel: of what is always refused, or falls back, the
    /// comparison says little.
    pub(super) fallbacks: usize,
}

impl AddAssign for Compared {
    fn add_assign(&mut self, Self { runs, fallbacks }: Self) {
        self.runs += runs;
        self.fallbacks += fallbacks;
    }
}

/// A run that gave something else than the sequential one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Differed {
    pub(super) way: Way,
    pub(super) why: String,
}

/// Whether a mode has a use for the access list of a block with these rules.
pub(super) fn takes_list(mode: Mode, rules: &Rules) -> bool {
    match mode {
        Mode::Bal => rules.receipts_have_status(),
        // As a block comes: with a list since there are lists.
        Mode::Auto => rules.has(Fork::Amsterdam),
        Mode::Seq | Mode::Occ | Mode::Lanes => false,
    }
}

/// What is executed.
pub(super) struct Subject<'s> {
    pub(super) block: &'s PreparedBlock,
    pub(super) rules: &'s Rules,
    pub(super) view: &'s dyn StateView,
    pub(super) scope: Scope,
}

impl Subject<'_> {
    /// Executes the block sequentially, then in these ways: with the list that the sequential run
    /// gives, where that is of use. Gives what the block does to the state; `None` if it is
    /// refused.
    ///
    /// # Errors
    /// The first way in which another outcome was found.
    pub(super) fn compare(
        &self,
        ways: &[Manned],
        counts: &mut Compared,
    ) -> Result<Option<StateDiff>, Differed> {
        let Some((_, first)) = ways.first() else { return Ok(None) };
        let expected = self.execute(Mode::Seq, self.block, first).map(|ran| ran.outcome);
        let takes_list = |way: &Way| takes_list(way.mode, self.rules);
        let lister = ways.iter().map(|(way, _)| *way).find(takes_list);
        let listed = match (lister, &expected) {
            (Some(way), Ok(expected)) if self.scope != Scope::Transactions => {
                let listed = self.with_list(first, expected);
                Some(listed.map_err(|why| Differed { way, why })?)
            }
            _ => None,
        };
        for (way, executor) in ways {
            let block = listed.as_ref().filter(|_| takes_list(way)).unwrap_or(self.block);
            let found = self.execute(way.mode, block, executor);
            let has_ended = found.as_ref().is_ok_and(|ran| ran.report.fallback.is_none());
            *counts += Compared { runs: 1, fallbacks: usize::from(!has_ended) };
            if let Some(why) = difference(&expected, &found.map(|ran| ran.outcome)) {
                return Err(Differed { way: *way, why });
            }
        }
        Ok(expected.ok().map(|outcome| outcome.diff))
    }

    fn execute(
        &self,
        mode: Mode,
        block: &PreparedBlock,
        executor: &Executor,
    ) -> Result<Execution, BlockError> {
        executor.execute(mode, block, self.rules, self.view, self.scope)
    }

    /// The block with its access list.
    fn with_list(
        &self,
        executor: &Executor,
        expected: &BlockOutcome,
    ) -> Result<PreparedBlock, String> {
        let told = |why: String| format!("the run that lists accesses: {why}");
        let listed = executor.list_accesses(self.block, self.rules, self.view, self.scope);
        let (outcome, list) = listed.map_err(|error| told(error.to_string()))?;
        match divergence(expected, &outcome) {
            Some(why) => Err(told(why)),
            None => Ok(self.block.clone().with_access_list(Arc::new(list))),
        }
    }
}

/// Where two runs differ.
fn difference(
    expected: &Result<BlockOutcome, BlockError>,
    found: &Result<BlockOutcome, BlockError>,
) -> Option<String> {
    let told = |ran: &Result<BlockOutcome, BlockError>| match ran {
        Ok(_) => "an outcome".to_owned(),
        Err(error) => error.to_string(),
    };
    match (expected, found) {
        (Ok(expected), Ok(found)) => divergence(expected, found),
        (Err(expected), Err(found)) if expected == found => None,
        _ => Some(format!("expected {}, found {}", told(expected), told(found))),
    }
}

fn divergence(expected: &BlockOutcome, found: &BlockOutcome) -> Option<String> {
    if expected == found {
        return None;
    }
    let first = first_divergence(expected, found).map(|divergence| divergence.to_string());
    Some(first.unwrap_or_else(|| "the outcomes are not equal".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use fugue_executor::InvalidBlock;

    #[test]
    fn what_is_not_equal_is_told() {
        let outcome = |gas_used| Ok(BlockOutcome { gas_used, ..BlockOutcome::default() });
        let refused = |field| Err(BlockError::Invalid(InvalidBlock::HeaderField(field)));
        assert_eq!(difference(&outcome(1), &outcome(1)), None);
        assert_eq!(difference(&refused("a"), &refused("a")), None);
        let cases = [
            (outcome(1), outcome(2), "gas used: expected 1, found 2"),
            (outcome(1), refused("a"), "expected an outcome, found invalid block"),
            (refused("a"), outcome(1), "found an outcome"),
            (refused("a"), refused("b"), "the header has no b"),
            (outcome(1), Err(BlockError::Internal("a".to_owned())), "internal"),
        ];
        for (expected, found, told) in cases {
            let why = difference(&expected, &found).unwrap();
            assert!(why.contains(told), "{told}: {why}");
        }
    }
}
