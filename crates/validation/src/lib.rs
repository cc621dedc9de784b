//! Judges headers, bodies and outcomes by rule.
//!
//! Three judgements, each a function: the body and the header's own fields ([`check_block`]), the
//! header as a child of its parent ([`check_child`]), and what execution gave against what the
//! header promised ([`check_outcome`]).

mod block;
mod child;
mod outcome;

pub use block::{Ommers, check_block};
pub use child::check_child;
pub use outcome::{OutcomeFacts, check_outcome, logs_bloom, receipts_root};

/// A header's field is not what a rule or the rest of the block says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: expected {expected}, found {found}")]
pub struct Mismatch {
    /// The field, by its name in JSON-RPC.
    pub field: &'static str,
    /// What the header says, or the rule demands.
    pub expected: String,
    /// What was found or computed.
    pub found: String,
}

impl Mismatch {
    pub(crate) fn new(
        field: &'static str,
        expected: impl std::fmt::Display,
        found: impl std::fmt::Display,
    ) -> Self {
        Self { field, expected: expected.to_string(), found: found.to_string() }
    }
}

/// `Ok` if equal.
pub(crate) fn expect<T: PartialEq + std::fmt::Display>(
    field: &'static str,
    expected: T,
    found: T,
) -> Result<(), Mismatch> {
    if expected == found { Ok(()) } else { Err(Mismatch::new(field, expected, found)) }
}
