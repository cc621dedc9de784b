//! The list of expected failures.

use crate::UsageError;
use serde::Deserialize;
use std::collections::BTreeMap;

/// The list, as it stands in the repository.
const LIST: &str = include_str!("../../../../etc/expected-failures.toml");

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expected {
    #[serde(default)]
    failure: Vec<Failure>,
    #[serde(default)]
    skip: Vec<Skip>,
    #[serde(default)]
    draft: Vec<Draft>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Failure {
    fixture: String,
    fork: String,
    reason: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Skip {
    kind: String,
    reason: String,
}

/// Fixtures that were filled for another draft of a fork than the one that is implemented.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Draft {
    fixture: String,
    fork: String,
    reason: String,
    /// Cases in all.
    cases: usize,
    /// Of them, those that pass, whatever the mode.
    passes: usize,
    /// What the fork got later, and the cases are to be run without.
    #[serde(default)]
    omits: Vec<Omission>,
}

/// A part of a fork that a draft of it lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
enum Omission {
    #[serde(rename = "EIP-8282")]
    BuilderRequests,
}

/// What the list says of a case.
pub(super) enum Expectation<'l> {
    Pass,
    Fail(&'l str),
    /// The case may pass or fail; how many do is told by the entry with this index.
    Draft(usize, &'l str),
}

/// Cases of the entries for drafts that were run, and those that passed; for each of the runs that
/// every case has, whatever the way of a case in that run.
#[derive(Debug, Default)]
pub(super) struct DraftCounts(BTreeMap<(usize, usize), (usize, usize)>);

impl DraftCounts {
    pub(super) fn add(&mut self, entry: usize, slot: usize, has_passed: bool) {
        let (cases, passes) = self.0.entry((entry, slot)).or_default();
        *cases += 1;
        *passes += usize::from(has_passed);
    }
}

impl Expected {
    /// # Errors
    /// If the list is not as it should be.
    pub(super) fn load() -> Result<Self, UsageError> {
        let list: Self = toml::from_str(LIST)
            .map_err(|error| UsageError(format!("etc/expected-failures.toml: {error}")))?;
        let failures = list.failure.iter().map(|failure| &failure.reason);
        let skips = list.skip.iter().map(|skip| &skip.reason);
        let drafts = list.draft.iter().map(|draft| &draft.reason);
        if failures.chain(skips).chain(drafts).any(|reason| reason.is_empty()) {
            let message = "etc/expected-failures.toml: an entry has no reason";
            return Err(UsageError(message.to_owned()));
        }
        Ok(list)
    }

    pub(super) fn of_case(&self, name: &str, fork: &str) -> Expectation<'_> {
        let found = self.failure.iter().find(|failure| {
            name.contains(&failure.fixture) && (failure.fork == "*" || failure.fork == fork)
        });
        if let Some(failure) = found {
            return Expectation::Fail(&failure.reason);
        }
        self.draft_of(name, fork)
            .map_or(Expectation::Pass, |(entry, draft)| Expectation::Draft(entry, &draft.reason))
    }

    fn draft_of(&self, name: &str, fork: &str) -> Option<(usize, &Draft)> {
        let mut drafts = self.draft.iter().enumerate();
        drafts.find(|(_, draft)| {
            name.contains(&draft.fixture) && (draft.fork == "*" || draft.fork == fork)
        })
    }

    /// Whether a case was filled before builders had requests.
    pub(super) fn omits_builder_requests(&self, name: &str, fork: &str) -> bool {
        let omits = |draft: &Draft| draft.omits.contains(&Omission::BuilderRequests);
        self.draft_of(name, fork).is_some_and(|(_, draft)| omits(draft))
    }

    /// What is wrong with the counts of drafts that were run whole. How a case ends does not depend
    /// on its way: so in each of the runs the number is the same.
    pub(super) fn check_drafts(&self, counts: &DraftCounts) -> Vec<String> {
        let wrong = |(run, counts): (&(usize, usize), &(usize, usize))| {
            let ((entry, slot), (cases, passes)) = (*run, *counts);
            let draft = self.draft.get(entry)?;
            (cases == draft.cases && passes != draft.passes).then(|| {
                let Draft { fixture, passes: listed, .. } = draft;
                let run = slot + 1;
                format!("{fixture}: in run {run} of each case {passes} pass, {listed} are listed")
            })
        };
        counts.0.iter().filter_map(wrong).collect()
    }

    pub(super) fn of_kind(&self, kind: &str) -> Expectation<'_> {
        let found = self.skip.iter().find(|skip| skip.kind == kind);
        found.map_or(Expectation::Pass, |skip| Expectation::Fail(&skip.reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRAFT: &str = r#"
        [[draft]]
        fixture = "old/"
        fork = "*"
        reason = "another draft"
        cases = 2
        passes = 1
    "#;

    /// What is wrong with drafts of which these runs have passed.
    fn wrong(runs: &[(usize, bool)]) -> Vec<String> {
        let list: Expected = toml::from_str(DRAFT).unwrap();
        let Expectation::Draft(entry, _) = list.of_case("old/f.json::t", "Cancun") else {
            panic!("no draft")
        };
        let mut counts = DraftCounts::default();
        for (slot, has_passed) in runs {
            counts.add(entry, *slot, *has_passed);
        }
        list.check_drafts(&counts)
    }

    #[test]
    fn each_run_of_a_draft_is_judged_by_itself_and_only_as_a_whole() {
        assert!(wrong(&[(0, true), (0, false), (1, false), (1, true)]).is_empty());
        // In all, the number would be right.
        let shifted = wrong(&[(0, true), (0, true), (1, false), (1, false)]);
        assert_eq!(shifted.len(), 2, "{shifted:?}");
        let second = wrong(&[(0, true), (0, false), (1, true), (1, true)]);
        assert_eq!(second.len(), 1);
        assert!(second[0].contains("in run 2 "), "{second:?}");
        // A part says nothing.
        assert!(wrong(&[(0, false), (1, true)]).is_empty());
    }

    #[test]
    fn the_list_of_the_repository_can_be_read() {
        Expected::load().unwrap();
    }
}
