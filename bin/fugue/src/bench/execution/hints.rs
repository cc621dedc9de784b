//! What is known of the calls in a block before it runs, in lanes or by an access list.
//!
//! A sample that ran after another one of the same block would know more than a node ever does. So
//! the executor has the same hints before each of them: none, or what the blocks of lower numbers
//! have taught, each of which ran once in mode `auto`, in the order of their numbers, with what
//! those before it had taught. A block that is there twice does not teach its double.

use super::case::Case;
use crate::{UsageError, datadir::usage};
use fugue_executor::{Executor, Hints, Mode};
use std::{fmt, str::FromStr};

/// Where hints come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HintsFrom {
    /// Nowhere.
    Cold,
    /// Blocks of lower numbers.
    Earlier,
}

impl fmt::Display for HintsFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cold => "cold",
            Self::Earlier => "earlier",
        })
    }
}

impl FromStr for HintsFrom {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "cold" => Ok(Self::Cold),
            "earlier" => Ok(Self::Earlier),
            _ => Err(format!("\"{name}\" is neither cold nor earlier")),
        }
    }
}

/// What blocks have taught so far.
pub(super) struct Taught<'c> {
    from: HintsFrom,
    hints: Hints,
    /// Blocks of the same number that have not taught yet.
    waiting: Vec<&'c Case>,
}

impl<'c> Taught<'c> {
    /// Nothing yet.
    pub(super) fn new(from: HintsFrom) -> Self {
        Self { from, hints: Hints::default(), waiting: Vec::new() }
    }

    /// Blocks in the order in which they are to be measured.
    pub(super) fn in_order(&self, cases: &'c [(String, Box<Case>)]) -> Vec<(&'c String, &'c Case)> {
        let mut cases: Vec<_> = cases.iter().map(|(file, case)| (file, &**case)).collect();
        if self.from == HintsFrom::Earlier {
            cases.sort_by_key(|(_, case)| case.number);
        }
        cases
    }

    /// The hints before a block; those before it teach now.
    ///
    /// # Errors
    /// If one of them cannot be executed.
    pub(super) fn before(
        &mut self,
        case: &Case,
        executor: &Executor,
    ) -> Result<&Hints, UsageError> {
        if self.waiting.first().is_some_and(|waiting| waiting.number != case.number) {
            executor.remember(&self.hints);
            for Case { rules, prepared, state, scope, .. } in self.waiting.drain(..) {
                executor.execute(Mode::Auto, prepared, rules, state, *scope).map_err(usage)?;
            }
            self.hints = executor.hints();
        }
        Ok(&self.hints)
    }

    /// A block that was measured teaches later ones, if they are to be taught.
    pub(super) fn later(&mut self, case: &'c Case) {
        if self.from == HintsFrom::Earlier {
            self.waiting.push(case);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_hints_come_from_is_told_as_it_is_asked_for() {
        for from in [HintsFrom::Cold, HintsFrom::Earlier] {
            assert_eq!(from.to_string().parse(), Ok(from));
        }
        assert!("later".parse::<HintsFrom>().is_err());
    }
}
