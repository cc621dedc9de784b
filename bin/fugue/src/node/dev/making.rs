//! A block of the dev chain, from the wish for one to the head. Who makes one has the turn.

use super::{Dev, settings::now};
use crate::UsageError;
use fugue_chain::{
    ChainView, DevBlock, DevContent, Engine, EngineError, Forkchoice, ForkchoiceVerdict, Head,
    ImportError, PayloadVerdict, Reply,
};
use fugue_types::{B256, Header, SealedBlock, keccak256};
use std::{
    sync::{
        Arc,
        mpsc::{Receiver, sync_channel},
    },
    time::{Duration, Instant},
};

/// Blocks from the head down to the safe and to the finalized one, as on a healthy public chain.
const SAFE_DEPTH: u64 = 32;
const FINALIZED_DEPTH: u64 = 64;
/// Longest that the engine may take to answer while a block is made.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// A block that was built, and that nobody follows yet.
struct Draft {
    /// On the head of this.
    view: Arc<ChainView>,
    block: SealedBlock,
    /// When it was begun, in seconds.
    begun: u64,
    is_edit: bool,
}

/// A block of the dev chain.
#[derive(Debug)]
struct Made {
    head: Head,
    tx_count: usize,
    gas_used: u64,
}

impl Dev {
    /// Names what is safe and final where nobody has yet, as on a chain that begins, so that there
    /// is always such a block.
    ///
    /// # Errors
    /// If the engine does not take it.
    pub(crate) fn begin(&self) -> Result<(), UsageError> {
        let view = self.engine.view();
        if view.safe().is_some() {
            return Ok(());
        }
        let named = forkchoice(&view, view.head())
            .and_then(|state| answer(|reply| self.engine.forkchoice(state, None, reply)));
        match named {
            Ok(ForkchoiceVerdict::Valid(_)) => Ok(()),
            Ok(other) => Err(UsageError(format!("the dev chain does not begin: {other:?}"))),
            Err(error) => Err(UsageError(format!("the dev chain does not begin: {error}"))),
        }
    }

    /// Makes blocks for as long as the pool has transactions that one can have.
    pub(super) fn include_pending(&self) {
        while !self.is_ended() && self.has_candidates() {
            let made = match self.draft(DevContent::Pool) {
                // A block refused them all, such as for its gas limit; that is tried again later.
                Ok(draft) if draft.block.block().body.transactions.is_empty() => return,
                draft => draft.and_then(|draft| self.follow(draft)),
            };
            self.report(&made);
            if made.is_err() {
                return;
            }
        }
    }

    fn has_candidates(&self) -> bool {
        let head = self.engine.pool().head();
        let base_fee = self.manner().settings.next_base_fee.unwrap_or(head.base_fee);
        self.engine.pool().best(base_fee, head.blob_base_fee).next().is_some()
    }

    /// Makes a block, follows it, and tells of it.
    pub(super) fn make_block(&self, content: DevContent) -> Result<(), EngineError> {
        let made = self.draft(content).and_then(|draft| self.follow(draft));
        self.report(&made);
        made.map(|_| ())
    }

    /// The block that would be made of the pool at this moment.
    pub(super) fn planned(&self) -> Result<DevBlock, EngineError> {
        let (head, parent) = self.head(&self.engine.view())?;
        Ok(self.plan(head, &parent, now(), DevContent::Pool))
    }

    /// The block with this content that follows a head.
    fn plan(&self, head: Head, parent: &Header, now: u64, content: DevContent) -> DevBlock {
        let manner = self.manner();
        let settings = &manner.settings;
        // As good as random for a chain whose keys everybody knows, and the same in every run.
        let random = keccak256(head.hash);
        let (timestamp, prev_randao, base_fee) = match &content {
            // It takes nothing from the block that somebody is waiting for, not even time.
            DevContent::Edit(_) => (parent.timestamp, random, None),
            DevContent::Pool => {
                let timestamp = settings.timestamp(parent.timestamp, now);
                (timestamp, settings.next_randao.unwrap_or(random), settings.next_base_fee)
            }
        };
        let (fee_recipient, gas_limit) = (settings.coinbase, settings.gas_limit);
        DevBlock { timestamp, prev_randao, fee_recipient, base_fee, gas_limit, content }
    }

    /// Builds on the head.
    fn draft(&self, content: DevContent) -> Result<Draft, EngineError> {
        let view = self.engine.view();
        let (head, parent) = self.head(&view)?;
        let begun = now();
        let is_edit = matches!(content, DevContent::Edit(_));
        let wanted = self.plan(head, &parent, begun, content);
        let id = answer(|reply| self.engine.build_for_dev(wanted, reply))?;
        let built = answer(|reply| self.engine.payload(id, reply))?;
        Ok(Draft { view, block: built.block.clone(), begun, is_edit })
    }

    /// Imports what was built, and follows it.
    fn follow(&self, draft: Draft) -> Result<Made, EngineError> {
        let Draft { view, block, begun, is_edit } = draft;
        let timestamp = block.block().header.timestamp;
        let made = Made {
            head: Head { number: block.block().header.number, hash: block.hash() },
            tx_count: block.block().body.transactions.len(),
            gas_used: block.block().header.gas_used,
        };
        match answer(|reply| self.engine.new_payload(block, Duration::ZERO, reply))? {
            PayloadVerdict::Valid => {}
            other => return Err(defect(format!("what was built is not valid: {other:?}"))),
        }
        let forkchoice = forkchoice(&view, made.head)?;
        match answer(|reply| self.engine.forkchoice(forkchoice, None, reply))? {
            ForkchoiceVerdict::Valid(_) => {}
            other => return Err(defect(format!("what was built is not followed: {other:?}"))),
        }
        if !is_edit {
            self.manner().settings.step(timestamp, begun);
        }
        Ok(made)
    }

    /// The head of a view, and its header.
    pub(super) fn head(&self, view: &ChainView) -> Result<(Head, Header), EngineError> {
        let head = view.head();
        let found = view.header(head.number).map_err(broken)?;
        let (_, header) = found.ok_or_else(|| defect("the head has no header".to_owned()))?;
        Ok((head, header))
    }

    /// Goes back to a block of the chain. False if it is not there.
    pub(super) fn go_back(&self, to: Head) -> Result<bool, EngineError> {
        let view = self.engine.view();
        if view.number(to.hash).map_err(broken)? != Some(to.number) {
            return Ok(false);
        }
        let forkchoice = forkchoice(&view, to)?;
        // Over many blocks that are durable it takes its time, and goes on whether or not somebody
        // waits: settings and snapshots are to go back with it.
        let answered = asked(|reply| self.engine.rewind(forkchoice, reply)).recv();
        answered.unwrap_or(Err(EngineError::Stopped)).map(|_| true)
    }

    fn report(&self, made: &Result<Made, EngineError>) {
        match made {
            Ok(Made { head, tx_count, gas_used }) if self.manner().is_logging => tracing::info!(
                target: "fugue::dev", number = head.number, hash = %head.hash, txs = tx_count,
                gas_used, "block"
            ),
            Ok(_) => {}
            Err(error) => tracing::error!(target: "fugue::dev", %error, "no block"),
        }
    }
}

/// With this head, which is in the chain of the view, or its next block.
fn forkchoice(view: &ChainView, head: Head) -> Result<Forkchoice, EngineError> {
    let below = |depth: u64| {
        let found = view.header(head.number.saturating_sub(depth)).map_err(broken)?;
        Ok::<_, EngineError>(found.map_or(B256::ZERO, |(hash, _)| hash))
    };
    let (safe, finalized) = (below(SAFE_DEPTH)?, below(FINALIZED_DEPTH)?);
    Ok(Forkchoice { head: head.hash, safe, finalized })
}

/// A name for the chain that begins at this moment.
pub(super) fn instance(engine: &Engine) -> B256 {
    let started = format!("{:?} {:?} {}", Instant::now(), engine.view().head(), now());
    keccak256(started)
}

/// Waits for the answer to a call.
fn answer<T: Send + 'static>(
    call: impl FnOnce(Reply<Result<T, EngineError>>),
) -> Result<T, EngineError> {
    let answered = asked(call).recv_timeout(ANSWER_MAX);
    answered.unwrap_or_else(|_| Err(defect("no answer".to_owned())))
}

/// Where the answer to a call comes, or is known not to come any more.
fn asked<T: Send + 'static>(
    call: impl FnOnce(Reply<Result<T, EngineError>>),
) -> Receiver<Result<T, EngineError>> {
    let (sender, receiver) = sync_channel(1);
    // If nobody waits any more, there is nobody to tell.
    call(Box::new(move |answer| drop(sender.send(answer))));
    receiver
}

fn broken(error: ImportError) -> EngineError {
    defect(error.to_string())
}

const fn defect(reason: String) -> EngineError {
    EngineError::Internal(reason)
}
