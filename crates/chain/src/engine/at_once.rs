//! A block that is built while its caller waits, on any block that is known, of the transactions
//! that the caller names or of those of the pool. Nothing becomes of it: neither the chain nor the
//! builds of the consensus layer change.
//!
//! It runs on the caller's thread, with an executor of its own, one transaction after the other,
//! and ends when the caller does not want it any more.

use super::{
    BuildAttributes, BuiltPayload, Engine, Shared,
    ground::Ground,
    outline::{CANDIDATES_MAX, Outline},
    pool::best_of_fork,
};
use crate::{ChainView, DevBlock, Head, ImportError, executed::Executed};
use fugue_executor::{BlockError, Built, Candidate, Executor, Mode, Refusal};
use fugue_state::{Guarded, StateError, StateView};
use fugue_txpool::{Sidecar, SidecarForm, check_sidecar};
use fugue_types::{Address, B256, Bytes, Transaction, TransactionTrait};
use fugue_validation::check_transaction;
use std::{sync::Arc, time::Instant};

/// What a block is built of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Contents {
    /// What fits of the pool.
    Pool,
    /// All of these in this order, with the blobs of those that have any. Blobs that are not given
    /// are those of the pool, if it has them.
    Exactly(Vec<(Transaction, Option<Sidecar>)>),
}

/// A block that is to be built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildOrder {
    /// Its parent.
    pub parent: B256,
    /// What it is built with; the fields are those of its fork.
    pub attributes: BuildAttributes,
    /// What it is built of.
    pub contents: Contents,
    /// What it says of its builder, at most 32 bytes; the node's own if it is `None`.
    pub extra_data: Option<Bytes>,
}

/// A block was not built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// Its parent is not known.
    #[error("the parent {0} is not known")]
    UnknownParent(B256),
    /// It is not later than its parent.
    #[error("timestamp {found} is not above the parent's, {parent}")]
    Timestamp {
        /// The block's.
        found: u64,
        /// The parent's.
        parent: u64,
    },
    /// A transaction that is to go in does not.
    #[error("transaction {index}: {reason}")]
    Transaction {
        /// Its index.
        index: usize,
        /// What stands against it.
        reason: String,
    },
    /// Nobody wants it any more.
    #[error("the block is not wanted any more")]
    GivenUp,
    /// No block is possible there: a system contract is missing or fails, or the parent lies too
    /// far below the durable head.
    #[error("{0}")]
    Impossible(String),
    /// The store failed, or we did. Says nothing about the block.
    #[error(transparent)]
    Broken(ImportError),
}

impl From<ImportError> for BuildError {
    fn from(error: ImportError) -> Self {
        match error {
            ImportError::TooDeep { .. } => Self::Impossible(error.to_string()),
            other => Self::Broken(other),
        }
    }
}

impl From<BlockError> for BuildError {
    fn from(error: BlockError) -> Self {
        match error {
            BlockError::Invalid(reason) => Self::Impossible(reason.to_string()),
            BlockError::State(error) => Self::Broken(error.into()),
            BlockError::Internal(message) => Self::Broken(ImportError::Internal(message)),
        }
    }
}

/// What is tried for a block, with its blobs.
struct Tried {
    tx: Transaction,
    sender: Address,
    sidecar: Option<Arc<Sidecar>>,
}

impl Engine {
    /// Builds a block at once, on the caller's thread, while `goes_on` says so.
    ///
    /// # Errors
    /// [`BuildError`]; nothing has changed in any case.
    pub fn build_at_once(
        &self,
        order: BuildOrder,
        goes_on: &(dyn Fn() -> bool + Sync),
    ) -> Result<BuiltPayload, BuildError> {
        self.build_on(&self.view(), order, None, None, goes_on).map(|filled| filled.payload)
    }

    /// The same on a block that this view knows, with what the block did; and with the base fee and
    /// the gas limit that a chain for development wants, where it wants any. From `until` on no
    /// more transactions are tried.
    pub(super) fn build_on(
        &self,
        view: &ChainView,
        order: BuildOrder,
        wanted: Option<&DevBlock>,
        until: Option<Instant>,
        goes_on: &(dyn Fn() -> bool + Sync),
    ) -> Result<Filled, BuildError> {
        let BuildOrder { parent, attributes, contents, extra_data } = order;
        let Shared { spec, gas_limit, extra_data: own, .. } = &*self.shared;
        let header = view.header_by_hash(parent)?.ok_or(BuildError::UnknownParent(parent))?;
        if attributes.timestamp <= header.timestamp {
            let (found, parent) = (attributes.timestamp, header.timestamp);
            return Err(BuildError::Timestamp { found, parent });
        }
        let head = Head { number: header.number, hash: parent };
        let extra_data = extra_data.unwrap_or_else(|| own.clone());
        let mut outline = Outline::new(spec, head, &header, &attributes, *gas_limit, extra_data);
        if let Some(DevBlock { base_fee, gas_limit, .. }) = wanted {
            let header = &mut outline.header;
            header.gas_limit = gas_limit.unwrap_or(header.gas_limit);
            header.base_fee_per_gas = base_fee.or(header.base_fee_per_gas);
        }
        let is_exact = matches!(contents, Contents::Exactly(_));
        let tried = self.tried(&outline, contents)?;
        let count = tried.len();
        match fill(view, head, &outline, tried, until, goes_on) {
            _ if !goes_on() => Err(BuildError::GivenUp),
            Ok(Filled { senders, refused, .. }) if is_exact && senders.len() < count => {
                Err(left_out(senders.len(), refused))
            }
            filled => filled,
        }
    }

    fn tried(&self, outline: &Outline, contents: Contents) -> Result<Vec<Tried>, BuildError> {
        let (pool, Outline { header, rules, .. }) = (&*self.shared.pool, outline);
        let given = match contents {
            Contents::Exactly(given) => given,
            Contents::Pool => {
                let best = best_of_fork(pool, header, rules).take(CANDIDATES_MAX);
                let tried = best.map(|pooled| {
                    let (tx, sidecar) = (pooled.tx.clone(), pooled.sidecar.clone());
                    Tried { tx, sender: pooled.sender, sidecar }
                });
                return Ok(tried.collect());
            }
        };
        let form = SidecarForm::at(rules);
        let check = |(index, (tx, sidecar)): (usize, (Transaction, Option<Sidecar>))|
         -> Result<Tried, BuildError> {
            let refused = |reason: String| BuildError::Transaction { index, reason };
            let facts = check_transaction(&tx, rules).map_err(|error| refused(error.to_string()))?;
            let sidecar = match sidecar {
                Some(sidecar) => {
                    let hashes = tx.blob_versioned_hashes().unwrap_or_default();
                    check_sidecar(hashes, &sidecar, rules)
                        .map_err(|error| refused(error.to_string()))?;
                    Some(Arc::new(sidecar))
                }
                None => {
                    let known = pool.get(tx.hash()).and_then(|pooled| pooled.sidecar.clone());
                    known.filter(|sidecar| SidecarForm::of(sidecar) == form)
                }
            };
            Ok(Tried { tx, sender: facts.sender, sidecar })
        };
        given.into_iter().enumerate().map(check).collect()
    }
}

/// A block of those that fit.
pub(super) struct Filled {
    pub(super) payload: BuiltPayload,
    /// Of each transaction.
    pub(super) senders: Vec<Address>,
    /// What the block did.
    pub(super) executed: Executed,
    /// Why others did not fit, by index.
    refused: Vec<(usize, Refusal)>,
}

fn fill(
    view: &ChainView,
    parent: Head,
    outline: &Outline,
    tried: Vec<Tried>,
    until: Option<Instant>,
    goes_on: &(dyn Fn() -> bool + Sync),
) -> Result<Filled, BuildError> {
    let mut ground = Ground::at(parent, view, None, None)?;
    let executor = Executor::new(1)?;
    let count = tried.len();
    let (mut candidates, mut sidecars) = (Vec::with_capacity(count), Vec::with_capacity(count));
    for Tried { tx, sender, sidecar } in tried {
        candidates.push(Candidate { tx, sender, footprint: None });
        sidecars.push(sidecar);
    }
    let (draft, rules, limits) = (outline.draft(), &outline.rules, outline.limits(until));
    let built = ground.with_view(|state: &dyn StateView| {
        let state = Guarded::new(state, |_| wanted(goes_on));
        executor.build(Mode::Seq, &draft, candidates, rules, &state, &limits)
    })?;
    let Built { transactions, senders, taken, refused, mut outcome, fees, report: _ } = built?;
    let (state_root, storage_roots) = ground.roots_after(&outcome.diff, None)?;
    let (diff, receipts) = (std::mem::take(&mut outcome.diff), outcome.receipts());
    let sidecars = taken.iter().filter_map(|index| sidecars.get(*index)?.clone()).collect();
    let payload = outline.seal(transactions, outcome, fees, state_root, sidecars);
    let access_list = payload.access_list.clone();
    let executed = Executed { diff, receipts, access_list, storage_roots };
    Ok(Filled { payload, senders, executed, refused })
}

/// Why not all went in: the first `taken` did.
fn left_out(taken: usize, refused: Vec<(usize, Refusal)>) -> BuildError {
    // What was not tried found a block without room for any transaction.
    let (index, reason) = refused.into_iter().next().unwrap_or((taken, Refusal::Gas));
    BuildError::Transaction { index, reason: reason.to_string() }
}

/// # Errors
/// If nobody wants the block any more.
fn wanted(goes_on: &(dyn Fn() -> bool + Sync)) -> Result<(), StateError> {
    if goes_on() {
        return Ok(());
    }
    Err(StateError::Unavailable("the block is not wanted any more".to_owned()))
}

#[cfg(test)]
mod tests;
