//! A block that turns out to be one chain. If the caller has run its first transactions, and
//! nothing else in that journal, the rest of it runs there, one transaction after the other.
//!
//! That journal is the one of the sequential run then: all that a transaction of it might have
//! missed comes before it in the block, and has run in it. So it has heard nobody either, since a
//! lane listens to what comes before; and whatever others have run behind, in a ledger of the same
//! worker too, it has not seen. But for two things:
//! * The fees are left to settling, until a transaction looks at the fee recipient: it pays itself,
//!   and so do all behind it. If that is not the first one, what it saw was too little, and nothing
//!   is kept. Else they are paid before the rest runs.
//! * A sender's nonce may have been raised, for one that has sent something before. Then nothing is
//!   kept, and the sequential mode has the word.

use super::{
    FallbackCause, LaneFault, LaneTx, Shared,
    room::keep_room,
    running::{LaneKernel, Running},
};
use crate::{BlockError, BlockOutcome, Scope, sequential, tally::Tally};
use fugue_evm::Executed;
use fugue_state::StateDiff;

/// Whether no more is run because the block is one chain.
pub(super) const fn is_chain(cause: &FallbackCause) -> bool {
    matches!(cause, FallbackCause::Lanes(LaneFault::OneChain))
}

/// The first transactions of a block, in the journal of the sequential run but for their fees.
pub(super) struct Begun<'l> {
    kernel: LaneKernel<'l>,
    txs: Vec<LaneTx>,
}

impl<'l> Begun<'l> {
    /// What a lane has run, if that is all that it is.
    pub(super) fn of(lane: Running<'l>) -> Option<Self> {
        let Running { mut kernel, txs, assumed, .. } = lane;
        let owes_fee = |tx: &LaneTx| Some(tx.executed.as_ref()?.fee_due.is_some());
        // From the first one on that has looked at the fee recipient, all pay themselves.
        let first_owes = owes_fee(txs.first()?)?;
        let is_alike = |owes| owes == first_owes || planted!(KeepsWhoSawTheFeeRecipient);
        let is_next =
            |(place, tx): (usize, &LaneTx)| tx.index == place && owes_fee(tx).is_some_and(is_alike);
        let is_assumed = !assumed.is_empty() && !planted!(TrustsAssumedNonces);
        let is_first = txs.iter().enumerate().all(is_next);
        let has_heard = kernel.reader_mut().take_heard().count > 0;
        (is_first && !is_assumed && !has_heard).then_some(Self { kernel, txs })
    }

    /// How many have run.
    pub(super) const fn tx_count(&self) -> usize {
        self.txs.len()
    }

    /// Runs what is left of the block; `opening` is what changed before the first transaction.
    ///
    /// # Errors
    /// Whatever it came upon; it says nothing about the block.
    pub(super) fn go_on(
        self,
        shared: &Shared<'_>,
        scope: Scope,
        opening: &StateDiff,
    ) -> Result<BlockOutcome, BlockError> {
        let Self { mut kernel, txs } = self;
        let Shared { prepared, rules, header, .. } = *shared;
        let transactions = &prepared.block.block().body.transactions;
        let mut tally = Tally::new(rules, header, transactions.len());
        for (tx, LaneTx { executed, .. }) in transactions.iter().zip(txs) {
            let Some(Executed { result, fee_due, excess }) = executed else { break };
            tally.admit(tx)?;
            tally.add(tx, result, excess);
            // One by one: to be paid nothing ends an account that is there and empty.
            if let Some(fee) = fee_due.filter(|_| !planted!(ForgetsFeesOfTheFirst)) {
                kernel.credit(header.beneficiary, fee)?;
            }
        }
        kernel.pay_fees();
        let outcome = sequential::go_on(&mut kernel, tally, opening, prepared, rules, scope);
        keep_room(&shared.journals, kernel.into_history());
        outcome
    }
}
