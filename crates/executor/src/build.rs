//! Fills a block from candidates.
//!
//! The block is opened, candidates are tried in the given order, and the block is closed. At its
//! turn a candidate is taken, or refused for a [`Refusal`], and then nothing of it is left: not in
//! the state, not in the counts, and not in the access list. What its sender has after it is
//! refused as well, since the nonces would have a gap; only a nonce that was used already leaves
//! none. A candidate that is too large for what is left does not end the block: smaller ones may
//! follow.
//!
//! Filling ends early, with the rest of the candidates neither taken nor refused, when the block
//! has as many transactions as it may have, when less gas is left than any transaction needs, or
//! when the time is over.
//!
//! One after the other is the definition ([`fill_in_order`]). In parallel the candidates run ahead
//! as the transactions of a given block do, and it is the commit, in order, that takes or refuses
//! ([`crate::occ`]). Both ask the same [`Filling`]. If the parallel run breaks, the block is filled
//! from the start, one after the other.

mod filling;

use crate::{BlockError, BlockOutcome, Footprint, Report, frame};
use fugue_chainspec::Rules;
use fugue_evm::{CodeCache, FeePayment, InvalidTx, Kernel, PreparedTx, ViewReader};
use fugue_state::{Overlay, StateView};
use fugue_types::{Address, Header, Transaction, U256, Withdrawals};
use std::{sync::Arc, time::Instant};

pub(crate) use filling::{Filled, Filling};

/// A transaction that may go into a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The transaction.
    pub tx: Transaction,
    /// Its sender, recovered from its signature by the rules of the block.
    pub sender: Address,
    /// What it read and wrote when it was run before, if it was. Only the order depends on it in
    /// which candidates run ahead of their turn.
    pub footprint: Option<Arc<Footprint>>,
}

/// A block to be.
#[derive(Debug, Clone, Copy)]
pub struct Draft<'b> {
    /// Its header. What execution gives and what follows from the body (roots, gas used, blob gas
    /// used, hashes of requests and access list) is not looked at.
    pub header: &'b Header,
    /// Its withdrawals, from Shanghai on.
    pub withdrawals: Option<&'b Withdrawals>,
}

/// Limits of a block besides those of its header and its rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BuildLimits {
    /// Most transactions.
    pub txs_max: usize,
    /// Most bytes that all transactions may take in the body, each in RLP. From Osaka on the bound
    /// of EIP-7934 leaves this much besides header and withdrawals.
    pub bytes_max: usize,
    /// Most blobs, where that is less than the rules allow.
    pub blobs_max: Option<u64>,
    /// When to stop. A candidate that is being tried by then is tried to its end.
    pub until: Option<Instant>,
}

/// Why a candidate was left out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// An earlier candidate of the same sender was left out.
    #[error("an earlier transaction of the sender was left out")]
    Sender,
    /// Its nonce is used already.
    #[error("the nonce is used already")]
    NonceTooLow,
    /// It breaks another rule at its turn.
    #[error(transparent)]
    Invalid(#[from] InvalidTx),
    /// Its gas limit is above what is left of the block's.
    #[error("the block has not enough gas left")]
    Gas,
    /// More blobs than the block may have.
    #[error("the block has not enough blobs left")]
    Blobs,
    /// More bytes than the block may have.
    #[error("the block has not enough bytes left")]
    Bytes,
    /// With it the access list could have more items than the block may have (EIP-7928).
    #[error("the access list has not enough items left")]
    AccessList,
    /// It writes a log of the deposit contract that is not a deposit, which makes a block invalid
    /// (EIP-6110).
    #[error("a log of the deposit contract is malformed")]
    DepositLog,
}

/// A block that was filled. Candidates are named by their index; those that are neither taken nor
/// refused were not tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// The transactions of the block.
    pub transactions: Vec<Transaction>,
    /// One sender for each transaction, in block order.
    pub senders: Vec<Address>,
    /// Candidates that were taken, ascending: one for each transaction, in block order.
    pub taken: Vec<usize>,
    /// Candidates that were left out, ascending, and why.
    pub refused: Vec<(usize, Refusal)>,
    /// What the block does.
    pub outcome: BlockOutcome,
    /// What the fee recipient gets for the gas of all transactions, in wei.
    pub fees: U256,
    /// How the block was filled.
    pub report: Report,
}

/// What is to be filled, from what.
#[derive(Clone, Copy)]
pub(crate) struct Job<'b> {
    pub(crate) header: &'b Header,
    pub(crate) withdrawals: Option<&'b Withdrawals>,
    pub(crate) rules: &'b Rules,
    pub(crate) view: &'b dyn StateView,
    pub(crate) limits: &'b BuildLimits,
    /// The candidates, as a block carries them and as they run.
    pub(crate) transactions: &'b [Transaction],
    pub(crate) txs: &'b [PreparedTx],
    /// For each candidate the nearest earlier one without which it is not worth running.
    pub(crate) predecessors: &'b [Option<usize>],
}

/// Fills the block one candidate after the other.
pub(crate) fn fill_in_order(job: &Job<'_>, codes: &CodeCache) -> Result<Filled, BlockError> {
    let Job { header, rules, view, txs, .. } = *job;
    let reader = ViewReader(Overlay::new(view));
    let mut kernel = Kernel::new(rules, header, codes, reader, FeePayment::Direct);
    frame::open(&mut kernel, rules, header)?;
    let (opening, reads) = kernel.take();
    kernel.reader_mut().0.push(&opening)?;
    let mut filling = Filling::new(job);
    filling.open(&reads, &opening)?;
    for (index, tx) in txs.iter().enumerate() {
        if filling.is_over() {
            break;
        }
        if !filling.admits(index, &kernel.reader_mut().0)? {
            continue;
        }
        let executed = kernel.transact(tx);
        // Each is taken out of the kernel by itself, so that what is refused can be dropped.
        let (diff, reads) = kernel.take();
        if let Some(executed) = filling.judge(index, executed, &reads)? {
            filling.take(index, executed, &diff, &reads, &mut kernel.reader_mut().0)?;
        }
    }
    filling.close(kernel)
}
