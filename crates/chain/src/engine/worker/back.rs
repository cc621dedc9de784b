//! Back along the chain, at the wish of whoever runs the node.
//!
//! It is the fork choice that a consensus client might send for an ancestor of the head, and goes
//! the same way: blocks above it stay beside the chain, where the next fork choice finds them, and
//! what is final stays where it is.

use super::{Caller, Moving, Worker};
use crate::{
    Head,
    engine::{EngineError, Forkchoice},
};
use fugue_types::B256;

impl Worker {
    pub(super) fn answer_set_head(&mut self, hash: B256, caller: Caller<Head>) {
        let head = self.take_back(hash);
        self.tell();
        caller.answer(head);
    }

    fn take_back(&mut self, hash: B256) -> Result<Head, EngineError> {
        // Blocks that are being replaced in the store are known until they are gone.
        if self.chain.persisting.as_ref().is_some_and(|batch| batch.replaces)
            && let Err(error) = self.settle(true)
        {
            self.end_work(&error);
        }
        self.working()?;
        let refused = |reason: String| Err(EngineError::InvalidForkchoice(reason));
        let target = match self.on_chain(hash) {
            Ok(Some(target)) => target,
            Ok(None) => return refused(format!("block {hash} is not in the chain of the head")),
            Err(error) => return Err(self.broken(error)),
        };
        let number = target.number;
        if let Some(finalized) = self.finalized.filter(|finalized| number < finalized.number) {
            let finalized = finalized.number;
            return refused(format!("block {number} is below the finalized one, {finalized}"));
        }
        let mark = |mark: Option<Head>| match mark {
            // An ancestor of what is safe is safe.
            Some(mark) if mark.number > number => target.hash,
            Some(mark) => mark.hash,
            None => B256::ZERO,
        };
        let (safe, finalized) = (mark(self.safe), mark(self.finalized));
        let last = self.status.last_forkchoice;
        let moved = self.move_head(Forkchoice { head: target.hash, safe, finalized });
        // It is no sign of life of the consensus client.
        self.status.last_forkchoice = last;
        match moved {
            Ok(Some(())) => Ok(target),
            Ok(None) => refused(format!("block {number} is below the finalized one")),
            Err(Moving::Refused(error)) => Err(error),
            Err(Moving::Broken(error)) => Err(self.broken(error)),
        }
    }
}
