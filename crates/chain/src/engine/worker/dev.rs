//! What the thread of the chain is asked on a chain for development alone.

use super::{Caller, Worker};
use crate::{
    ChainView, DevBlock, DevContent, Head, ImportError, StorageError,
    dev::Amendment,
    engine::{
        BuildAttributes, EngineError, Forkchoice, PayloadId,
        builder::{Job, Wish},
        orphans::Orphans,
        pool,
    },
    moved::Moved,
};
use fugue_types::{B256, Header};
use std::sync::Arc;

/// What the thread is asked on a chain for development.
pub(crate) enum DevCommand {
    Build { block: Box<DevBlock>, caller: Caller<PayloadId> },
    Rewind { state: Forkchoice, caller: Caller<Head> },
}

impl DevCommand {
    /// Answers without doing anything.
    pub(super) fn refuse(self, error: EngineError) {
        match self {
            Self::Build { caller, .. } => caller.answer(Err(error)),
            Self::Rewind { caller, .. } => caller.answer(Err(error)),
        }
    }
}

impl Worker {
    pub(super) fn act_for_dev(&mut self, command: DevCommand) {
        match command {
            DevCommand::Build { block, caller } => {
                let id = self.build_for_dev(*block);
                self.tell();
                caller.answer(id);
            }
            DevCommand::Rewind { state, caller } => {
                let head = self.rewind(state);
                self.tell();
                caller.answer(head);
            }
        }
    }

    /// Begins a block as its author likes it. Each is a build of its own, whatever it is made with.
    fn build_for_dev(&mut self, block: DevBlock) -> Result<PayloadId, EngineError> {
        self.working()?;
        let Some(amended) = self.chain.amended.clone() else { return Err(not_for_dev()) };
        let DevBlock { timestamp, prev_randao, fee_recipient, base_fee, gas_limit, content } =
            block;
        let view = self.shared.view.read().clone();
        let parent = head_of(&view).map_err(|error| self.broken(error))?;
        if timestamp < parent.timestamp {
            let reason = format!("timestamp {timestamp} is below the head's, {}", parent.timestamp);
            return Err(EngineError::InvalidAttributes(reason));
        }
        let amendment = match content {
            DevContent::Pool => None,
            DevContent::Edit(edit) => {
                let number = view.head().number;
                let diff = view.with_state(number, |state| edit.diff(state));
                let amendment = diff.and_then(|diff| {
                    let gone = || ImportError::Internal("the head has no state".to_owned());
                    Ok(Amendment::new(diff.ok_or_else(gone)??)?)
                });
                Some(Arc::new(amendment.map_err(|error| self.broken(error))?))
            }
        };
        let attributes = BuildAttributes {
            timestamp,
            prev_randao,
            fee_recipient,
            withdrawals: Some(Vec::new()),
            parent_beacon_block_root: Some(B256::ZERO),
            slot_number: None,
            target_gas_limit: None,
        };
        self.dev_builds += 1;
        let id = self.dev_builds.to_be_bytes();
        let wish = Wish { base_fee, gas_limit, amendment, amended };
        let head = view.head();
        let job = Job::new(id, view, head, parent, attributes).with_wish(wish);
        self.shared.builds.begin(job)?;
        Ok(id)
    }

    /// Goes back to a block of the chain; blocks and transactions that came after it are forgotten,
    /// and so is what the pool holds.
    fn rewind(&mut self, state: Forkchoice) -> Result<Head, EngineError> {
        if self.chain.amended.is_none() {
            return Err(not_for_dev());
        }
        if let Err(error) = self.settle(true) {
            self.end_work(&error);
        }
        self.working()?;
        let target = match self.on_chain(state.head) {
            Ok(Some(target)) => target,
            Ok(None) => {
                let reason = format!("block {} is not in the chain of the head", state.head);
                return Err(EngineError::InvalidForkchoice(reason));
            }
            Err(error) => return Err(self.broken(error)),
        };
        match self.go_back(target, state) {
            Ok(()) => Ok(target),
            Err(ImportError::Storage(pruned @ StorageError::Pruned { .. })) => {
                Err(EngineError::InvalidForkchoice(pruned.to_string()))
            }
            Err(error) => Err(self.broken(error)),
        }
    }

    fn go_back(&mut self, target: Head, state: Forkchoice) -> Result<(), ImportError> {
        // Told when they have left the chain: then they cannot be read any more.
        let moved = Moved::between(&self.chain, self.chain.head(), target);
        // The store leads up to this fork choice, wherever on the way back the node is killed.
        let before = std::mem::replace(&mut self.forkchoice, state);
        self.journal_forkchoice(true)?;
        if let Err(error) = self.chain.rewind(target) {
            self.forkchoice = before;
            self.journal_forkchoice(true)?;
            return Err(error);
        }
        self.snapshot = Arc::new(self.chain.store().snapshot()?);
        self.orphans = Orphans::new(self.options.orphans_max, self.options.orphan_bytes_max);
        self.abandoned.clear();
        self.parents.clear();
        self.safe = self.on_chain(state.safe)?;
        self.finalized = self.on_chain(state.finalized)?;
        self.rewrite_journal()?;
        Arc::make_mut(&mut self.rewound).add(&moved.left);
        self.publish()?;
        let view = self.shared.view.read().clone();
        pool::reset(&self.shared.pool, &self.chain.spec, &view)?;
        self.tell_listeners(&moved);
        // What was sent after that block does not come back with a restart.
        self.shared.local.close(&self.shared.pool)
    }
}

fn head_of(view: &ChainView) -> Result<Header, ImportError> {
    let found = view.header(view.head().number)?;
    let gone = || ImportError::Internal("the head has no header".to_owned());
    found.map(|(_, header)| header).ok_or_else(gone)
}

fn not_for_dev() -> EngineError {
    EngineError::Internal("the chain is not for development".to_owned())
}
