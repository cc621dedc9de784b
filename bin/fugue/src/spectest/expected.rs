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
    /// Cases in all, in one mode.
    cases: usize,
    /// Of them, those that pass.
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

/// Cases of the entries for drafts that were run, and those that passed.
#[derive(Debug, Default)]
pub(super) struct DraftCounts(BTreeMap<usize, (usize, usize)>);

impl DraftCounts {
    pub(super) fn add(&mut self, entry: usize, has_passed: bool) {
        let (cases, passes) = self.0.entry(entry).or_default();
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

    /// What is wrong with the counts of drafts that were run whole, in so many modes.
    pub(super) fn check_drafts(&self, counts: &DraftCounts, modes: usize) -> Vec<String> {
        let wrong = |(entry, (cases, passes)): (&usize, &(usize, usize))| {
            let draft = self.draft.get(*entry)?;
            let is_whole = *cases == draft.cases * modes;
            (is_whole && *passes != draft.passes * modes).then(|| {
                let Draft { fixture, passes: listed, .. } = draft;
                format!(
                    "{fixture}: {passes} cases pass, {} in {modes} modes are listed",
                    listed * modes
                )
            })
        };
        counts.0.iter().filter_map(wrong).collect()
    }

    pub(super) fn of_kind(&self, kind: &str) -> Expectation<'_> {
        let found = self.skip.iter().find(|skip| skip.kind == kind);
        found.map_or(Expectation::Pass, |skip| Expectation::Fail(&skip.reason))
    }
}
