//! The commit of a block that is being filled: a transaction that is refused at its turn is undone.
//!
//! Why that gives what filling one by one gives, told by the turns:
//! 1. At the turn of candidate `n` the memory holds, below its version, the opening of the block
//!    and the writes of those before it that were taken; nothing of those that were refused.
//! 2. So its reads, compared by value with the memory, or made at its turn, are those that it makes
//!    in a block of those that were taken, and what it did is what it does there.
//! 3. The judgement is the same function ([`Filling`]) of the same counts, in the same order.
//! 4. If it is refused, its writes are retracted before the next turn, which brings 1 about for
//!    `n + 1`. Whoever has read them ahead of its turn finds out by 2.

use super::program::{Commit, OccBlock, TxRun};
use crate::{BlockError, build::Filling};
use fugue_state::Overlay;
use parking_lot::Mutex;

/// Why a session of filling ended before the last candidate.
pub(super) enum Ended {
    /// The block is full, or the time is over.
    Over,
    /// A candidate could not run at its turn; says nothing about it.
    Failed(BlockError),
}

impl From<BlockError> for Ended {
    fn from(error: BlockError) -> Self {
        Self::Failed(error)
    }
}

/// A block that is being filled, and the state after what was taken. Whatever ends the session with
/// a failure leaves this half-way, so that it must be dropped.
pub(super) struct Fill<'b>(Mutex<(Filling<'b>, Overlay<'b>)>);

impl<'b> Fill<'b> {
    pub(super) fn new(filling: Filling<'b>, overlay: Overlay<'b>) -> Self {
        Self(Mutex::new((filling, overlay)))
    }

    /// The block so far, and the state after it.
    pub(super) fn into_parts(self) -> (Filling<'b>, Overlay<'b>) {
        self.0.into_inner()
    }
}

impl Commit for Fill<'_> {
    type Error = Ended;

    fn commit(&self, block: &OccBlock<'_>, tx: usize) -> Result<(), Ended> {
        let mut state = self.0.lock();
        let (filling, overlay) = &mut *state;
        if filling.is_over() {
            return Err(Ended::Over);
        }
        let TxRun { executed, mut diff, reads } = block.take_run(tx)?;
        let executed =
            if filling.admits(tx, overlay)? { filling.judge(tx, executed, &reads)? } else { None };
        let Some(executed) = executed else {
            block.undo(tx, &diff);
            return Ok(());
        };
        if let Some(fee) = executed.fee_due
            && let Some(change) = block.pay(tx, fee, overlay)?
        {
            diff.accounts.push(change);
        }
        filling.take(tx, executed, &diff.canonical(), &reads, overlay)?;
        Ok(())
    }
}
