//! A block of the dev chain, from the wish for one to the head.

use super::{Dev, State, settings::now};
use fugue_chain::{
    ChainView, DevBlock, DevContent, Engine, EngineError, Forkchoice, ForkchoiceVerdict, Head,
    ImportError, PayloadVerdict, Reply,
};
use fugue_types::{B256, Header, keccak256};
use std::{
    sync::mpsc::sync_channel,
    time::{Duration, Instant},
};

/// Blocks from the head down to the safe and to the finalized one, as on a healthy public chain.
const SAFE_DEPTH: u64 = 32;
const FINALIZED_DEPTH: u64 = 64;
/// Longest that the engine may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// A block of the dev chain.
#[derive(Debug)]
struct Made {
    head: Head,
    tx_count: usize,
    gas_used: u64,
}

impl Dev {
    /// Makes a block of what the pool has, and tells of it.
    pub(super) fn make_and_tell(&self, state: &mut State) {
        let made = self.make(state, DevContent::Pool);
        report(&made, state.is_logging);
    }

    /// Makes blocks for as long as the pool has a transaction that can be included.
    pub(super) fn include_pending(&self, state: &mut State) {
        while self.has_candidates(state) {
            let made = self.make(state, DevContent::Pool);
            report(&made, state.is_logging);
            // What is refused is there again the next time.
            if !made.is_ok_and(|made| made.tx_count > 0) {
                return;
            }
        }
    }

    fn has_candidates(&self, state: &State) -> bool {
        let head = self.engine.pool().head();
        let base_fee = state.settings.next_base_fee.unwrap_or(head.base_fee);
        self.engine.pool().best(base_fee, head.blob_base_fee).next().is_some()
    }

    /// Makes a block, and follows it.
    pub(super) fn make_block(
        &self,
        state: &mut State,
        content: DevContent,
    ) -> Result<(), EngineError> {
        let made = self.make(state, content);
        report(&made, state.is_logging);
        made.map(|_| ())
    }

    /// Builds on the head, imports what was built, and follows it.
    fn make(&self, state: &mut State, content: DevContent) -> Result<Made, EngineError> {
        let view = self.engine.view();
        let (head, parent) = self.head(&view)?;
        let now = now();
        let is_edit = matches!(content, DevContent::Edit(_));
        let settings = &state.settings;
        // As good as random for a chain whose keys everybody knows, and the same in every run.
        let random = keccak256(head.hash);
        let (timestamp, prev_randao, base_fee) = if is_edit {
            // It takes nothing from the block that somebody is waiting for, not even time.
            (parent.timestamp, random, None)
        } else {
            let timestamp = settings.timestamp(parent.timestamp, now);
            (timestamp, settings.next_randao.unwrap_or(random), settings.next_base_fee)
        };
        let block = DevBlock {
            timestamp,
            prev_randao,
            fee_recipient: settings.coinbase,
            base_fee,
            gas_limit: settings.gas_limit,
            content,
        };
        let id = answer(|reply| self.engine.build_for_dev(block, reply))?;
        let built = answer(|reply| self.engine.payload(id, reply))?;
        let block = built.block.clone();
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
            state.settings.step(timestamp, now);
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
        answer(|reply| self.engine.rewind(forkchoice, reply)).map(|_| true)
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

fn report(made: &Result<Made, EngineError>, is_logging: bool) {
    match made {
        Ok(Made { head, tx_count, gas_used }) if is_logging => tracing::info!(
            target: "fugue::dev", number = head.number, hash = %head.hash, txs = tx_count, gas_used,
            "block"
        ),
        Ok(_) => {}
        Err(error) => tracing::error!(target: "fugue::dev", %error, "no block"),
    }
}

/// Waits for the answer to a call.
fn answer<T: Send + 'static>(
    call: impl FnOnce(Reply<Result<T, EngineError>>),
) -> Result<T, EngineError> {
    let (sender, receiver) = sync_channel(1);
    // If nobody waits any more, there is nobody to tell.
    call(Box::new(move |answer| drop(sender.send(answer))));
    receiver.recv_timeout(ANSWER_MAX).unwrap_or_else(|_| Err(defect("no answer".to_owned())))
}

fn broken(error: ImportError) -> EngineError {
    defect(error.to_string())
}

const fn defect(reason: String) -> EngineError {
    EngineError::Internal(reason)
}
