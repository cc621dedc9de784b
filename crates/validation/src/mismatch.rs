//! A breach of a rule.

use crate::Rule;
use std::fmt::Display;

/// A header's field is not what a rule or the rest of the block says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: expected {expected}, found {found}")]
pub struct Mismatch {
    /// The field, by its name in JSON-RPC; `uncles` for whatever is wrong with an ommer.
    pub field: &'static str,
    /// The rule; that of the ommer's header if that is wrong.
    pub rule: Rule,
    /// What the header says, or the rule demands.
    pub expected: String,
    /// What was found or computed.
    pub found: String,
}

impl Mismatch {
    /// A breach of `rule` in the field that it is about.
    pub fn new(rule: Rule, expected: impl Display, found: impl Display) -> Self {
        let (expected, found) = (expected.to_string(), found.to_string());
        Self { field: rule.field(), rule, expected, found }
    }

    /// Names that the official tests use for this reason, the present ones first. Empty where they
    /// have none.
    pub fn names(&self) -> &'static [&'static str] {
        self.rule.names()
    }

    /// The same breach, told of the block whose ommer at `index` has this header.
    pub(crate) fn of_ommer(self, index: usize) -> Self {
        let Self { field, rule, expected, found } = self;
        let expected = format!("{field} of ommer {index} {expected}");
        Self { field: Rule::OmmerParent.field(), rule, expected, found }
    }
}

/// `Ok` if equal.
pub(crate) fn expect<T: PartialEq + Display>(
    rule: Rule,
    expected: T,
    found: T,
) -> Result<(), Mismatch> {
    if expected == found { Ok(()) } else { Err(Mismatch::new(rule, expected, found)) }
}
