//! The list of expected failures.

use crate::UsageError;
use serde::Deserialize;

/// The list, as it stands in the repository.
const LIST: &str = include_str!("../../../../etc/expected-failures.toml");

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expected {
    #[serde(default)]
    failure: Vec<Failure>,
    #[serde(default)]
    skip: Vec<Skip>,
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

/// What the list says of a case.
pub(super) enum Expectation<'l> {
    Pass,
    Fail(&'l str),
}

impl Expected {
    /// # Errors
    /// If the list is not as it should be.
    pub(super) fn load() -> Result<Self, UsageError> {
        let list: Self = toml::from_str(LIST)
            .map_err(|error| UsageError(format!("etc/expected-failures.toml: {error}")))?;
        let failures = list.failure.iter().map(|failure| &failure.reason);
        if failures.chain(list.skip.iter().map(|skip| &skip.reason)).any(|reason| reason.is_empty())
        {
            let message = "etc/expected-failures.toml: an entry has no reason";
            return Err(UsageError(message.to_owned()));
        }
        Ok(list)
    }

    pub(super) fn of_case(&self, name: &str, fork: &str) -> Expectation<'_> {
        let found = self.failure.iter().find(|failure| {
            name.contains(&failure.fixture) && (failure.fork == "*" || failure.fork == fork)
        });
        found.map_or(Expectation::Pass, |failure| Expectation::Fail(&failure.reason))
    }

    pub(super) fn of_kind(&self, kind: &str) -> Expectation<'_> {
        let found = self.skip.iter().find(|skip| skip.kind == kind);
        found.map_or(Expectation::Pass, |skip| Expectation::Fail(&skip.reason))
    }
}
