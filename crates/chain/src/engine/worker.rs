//! The thread that owns the chain.

mod back;
mod dev;
mod journal;

pub(crate) use dev::DevCommand;
pub(crate) use journal::journaled_headers;

use super::{
    BuildAttributes, EngineError, EngineOptions, EngineStatus, Forkchoice, ForkchoiceVerdict,
    PayloadId, PayloadVerdict, Refusal, Reply, Shared,
    blocks::Lineage,
    builder::{Job, job_id},
    feed::ChainEvent,
    orphans::Orphans,
    pool,
};
use crate::{
    Chain, ChainView, Head, ImportError, Place,
    dev::Rewound,
    moved::{HeadMove, Moved},
    tree::Invalid,
    view::Marks,
};
use fugue_executor::Location;
use fugue_storage::{Journal, Snapshot};
use fugue_types::{B256, SealedBlock};
use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

/// Between two looks at a batch that is on its way.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Between two looks at nothing.
const IDLE: Duration = Duration::from_secs(60);

/// A caller who waits, and is answered in any case: if the call is dropped, with
/// [`EngineError::Stopped`].
pub(crate) struct Caller<T>(Option<Reply<Result<T, EngineError>>>);

impl<T> Caller<T> {
    pub(crate) fn new(reply: Reply<Result<T, EngineError>>) -> Self {
        Self(Some(reply))
    }

    pub(crate) fn answer(mut self, answer: Result<T, EngineError>) {
        if let Some(reply) = self.0.take() {
            reply(answer);
        }
    }
}

impl<T> Drop for Caller<T> {
    fn drop(&mut self) {
        if let Some(reply) = self.0.take() {
            reply(Err(EngineError::Stopped));
        }
    }
}

/// What the thread is asked.
pub(crate) enum Command {
    NewPayload {
        block: Box<SealedBlock>,
        bytes: usize,
        /// What making the block of the call took.
        decoded: Duration,
        caller: Caller<PayloadVerdict>,
    },
    Forkchoice {
        state: Forkchoice,
        attributes: Option<Box<Result<BuildAttributes, EngineError>>>,
        caller: Caller<ForkchoiceVerdict>,
    },
    Reconsider {
        hash: B256,
        caller: Caller<bool>,
    },
    SetHead(B256, Caller<Head>),
    /// What a chain for development is asked.
    Dev(DevCommand),
    /// Keys that are to be brought into memory.
    Warm(Vec<Location>),
    Stop,
}

impl Command {
    /// Answers without doing anything.
    pub(crate) fn refuse(self, error: EngineError) {
        match self {
            Self::NewPayload { caller, .. } => caller.answer(Err(error)),
            Self::Forkchoice { caller, .. } => caller.answer(Err(error)),
            Self::Reconsider { caller, .. } => caller.answer(Err(error)),
            Self::SetHead(_, caller) => caller.answer(Err(error)),
            Self::Dev(command) => command.refuse(error),
            Self::Warm(_) | Self::Stop => {}
        }
    }

    /// Bytes of the block that it carries, about.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::NewPayload { bytes, .. } => *bytes,
            _ => 0,
        }
    }
}

/// The chain, and what is around it.
pub(crate) struct Worker {
    chain: Chain,
    shared: Arc<Shared>,
    options: EngineOptions,
    journal: Option<Journal>,
    /// Bytes of the journal when it was last rewritten.
    rewritten: u64,
    orphans: Orphans,
    /// Blocks that left the store for another branch, and what was above them, to be imported
    /// beside the chain.
    abandoned: BTreeMap<(u64, B256), SealedBlock>,
    /// Blocks that were imported or found invalid, and may have children among the orphans.
    parents: Vec<B256>,
    /// The store for readers: apart from the one of the import, so that they share no lock.
    snapshot: Arc<Snapshot>,
    forkchoice: Forkchoice,
    safe: Option<Head>,
    finalized: Option<Head>,
    status: EngineStatus,
    /// Blocks of a chain for development that were begun.
    dev_builds: u64,
    /// Blocks of a chain for development that were taken back last.
    rewound: Arc<Rewound>,
}

/// The chain as it is when it is opened.
pub(crate) fn first_view(chain: &Chain) -> Result<ChainView, ImportError> {
    let snapshot = Arc::new(chain.store().snapshot()?);
    let marks = Marks { head: chain.head(), safe: None, finalized: None };
    let base = chain.head().number;
    let (above, blocks) = Default::default();
    Ok(ChainView::new(chain.spec.clone(), snapshot, base, above, blocks, marks))
}

impl Worker {
    pub(crate) fn new(mut chain: Chain, shared: Arc<Shared>, options: EngineOptions) -> Self {
        chain.pool = Some(shared.pool.clone());
        let view = shared.view.read().clone();
        let orphans = Orphans::new(options.orphans_max, options.orphan_bytes_max);
        Self {
            chain,
            snapshot: view.snapshot().clone(),
            shared,
            options,
            journal: None,
            rewritten: 0,
            orphans,
            abandoned: BTreeMap::new(),
            parents: Vec::new(),
            forkchoice: Forkchoice::default(),
            safe: None,
            finalized: None,
            status: EngineStatus::default(),
            dev_builds: 0,
            rewound: Arc::default(),
        }
    }

    /// A block of the head's chain; `None` for zero, or if it is not there.
    fn on_chain(&self, hash: B256) -> Result<Option<Head>, ImportError> {
        if hash.is_zero() {
            return Ok(None);
        }
        Lineage::of(&self.chain, self.chain.head().hash)?.find(&self.chain, hash)
    }

    pub(crate) fn act(&mut self, command: Command) {
        let shared = self.shared.clone();
        shared.call_bytes.fetch_sub(command.bytes(), Ordering::Relaxed);
        self.look_at_store();
        let is_call = !matches!(command, Command::Warm(_));
        match command {
            Command::NewPayload { block, bytes: _, decoded, caller } => {
                self.chain.times.decoded += decoded;
                let verdict = self.new_payload(*block);
                self.tell();
                caller.answer(verdict);
            }
            Command::Forkchoice { state, attributes, caller } => {
                let verdict = self.follow(state, attributes.map(|boxed| *boxed));
                self.tell();
                caller.answer(verdict);
            }
            Command::Reconsider { hash, caller } => {
                let was_known = self.chain.tree.forget_invalid(hash);
                self.tell();
                caller.answer(Ok(was_known));
            }
            Command::SetHead(hash, caller) => self.answer_set_head(hash, caller),
            Command::Dev(command) => self.act_for_dev(command),
            Command::Warm(keys) => {
                self.chain.warm(&keys, || !shared.is_called());
                shared.is_warming.store(false, Ordering::Release);
            }
            Command::Stop => {}
        }
        shared.open_calls.fetch_sub(usize::from(is_call), Ordering::AcqRel);
        shared.builds.stir();
    }

    const fn is_persisting(&self) -> bool {
        self.chain.persisting.is_some()
    }

    /// How long nobody needs to look at the store.
    pub(crate) const fn patience(&self) -> Duration {
        if self.is_persisting() { LOOK_EVERY } else { IDLE }
    }

    /// Takes note of a batch that has arrived in the store, or failed.
    pub(crate) fn look_at_store(&mut self) {
        if self.is_persisting() {
            if let Err(error) = self.settle(false) {
                self.end_work(&error);
            }
            self.tell();
            // Whoever stands on the older state of the store is to leave it.
            self.shared.builds.stir();
        }
    }

    /// Judges a block that has left the store, or whose parent has been judged since it came, if
    /// there is one.
    pub(crate) fn connect_next(&mut self) -> bool {
        // The lowest first: each is the parent of the next, or on a branch of its own.
        if let Some((_, block)) = self.abandoned.pop_first() {
            // Nobody waits for the verdict, which was VALID once.
            let _ = self.connect(block);
            return true;
        }
        while let Some(parent) = self.parents.last() {
            if let Some(block) = self.orphans.take_child(*parent) {
                if self.connect(block) == Ok(PayloadVerdict::Syncing) {
                    // The parent is forgotten already, and its children wait again.
                    self.parents.pop();
                }
                return true;
            }
            self.parents.pop();
        }
        false
    }

    fn connect(&mut self, block: SealedBlock) -> Result<PayloadVerdict, EngineError> {
        // Whoever sent it was told that it is not known yet, and will ask again.
        self.shared.open_calls.fetch_add(1, Ordering::AcqRel);
        let verdict = self.new_payload(block);
        self.shared.open_calls.fetch_sub(1, Ordering::AcqRel);
        self.shared.builds.stir();
        self.tell();
        verdict
    }

    /// Makes the chain of the head durable. A branch that leaves the durable chain stays in the
    /// journal: the consensus layer may yet come back from it.
    pub(crate) fn stop(mut self) -> Result<Head, ImportError> {
        if let Err(error) = self.settle(true) {
            self.end_work(&error);
        }
        if let Some(failure) = self.status.failed.take() {
            return Err(ImportError::Internal(failure));
        }
        let (below, _) = self.chain.tree.path_to(self.chain.head().hash);
        if self.journal.is_none() || below == self.chain.durable().hash {
            self.chain.flush()?;
        }
        self.rewrite_journal()?;
        Ok(self.chain.head())
    }

    fn working(&self) -> Result<(), EngineError> {
        match &self.status.failed {
            Some(reason) => {
                Err(EngineError::Internal(format!("stopped after a failure: {reason}")))
            }
            None => Ok(()),
        }
    }

    /// After a failure of the store nothing is imported any more: the head in memory must not run
    /// ahead of what can be kept.
    fn fail(&mut self, error: &ImportError) {
        if matches!(error, ImportError::Storage(error) if !error.is_refusal()) {
            self.end_work(error);
        }
    }

    /// Nothing is imported or journaled any more: something did not become durable, for any reason.
    fn end_work(&mut self, error: &ImportError) {
        self.status.failed.get_or_insert_with(|| error.to_string());
        self.journal = None;
    }

    fn broken(&mut self, error: ImportError) -> EngineError {
        self.fail(&error);
        EngineError::Internal(error.to_string())
    }

    fn new_payload(&mut self, block: SealedBlock) -> Result<PayloadVerdict, EngineError> {
        self.working()?;
        let hash = block.hash();
        if let Some(invalid) = self.chain.tree.invalid(hash) {
            return Ok(PayloadVerdict::Invalid(refusal(invalid)));
        }
        match self.chain.connect(block) {
            Ok(Ok(imported)) => {
                if imported.place != Place::Known {
                    self.status.imported += 1;
                    self.status.foreseen += imported.foreseen as u64;
                    self.status.parallel_differed += u64::from(imported.parallel_differed);
                    self.status.known_senders += imported.known_senders as u64;
                    let started = Instant::now();
                    self.journal_block(hash).map_err(|error| self.broken(error))?;
                    self.publish().map_err(|error| self.broken(error))?;
                    self.chain.times.inserted += started.elapsed();
                    self.parents.push(hash);
                }
                Ok(PayloadVerdict::Valid)
            }
            Ok(Err(orphan)) => {
                self.orphans.insert(orphan);
                Ok(PayloadVerdict::Syncing)
            }
            Err(ImportError::Invalid { reason, .. }) => {
                self.parents.push(hash);
                let known = self.chain.tree.invalid(hash).map(refusal);
                let unknown = || Refusal { latest_valid: None, reason: reason.to_string() };
                Ok(PayloadVerdict::Invalid(known.unwrap_or_else(unknown)))
            }
            Err(ImportError::TooDeep { .. } | ImportError::BranchTooLong { .. }) => {
                Ok(PayloadVerdict::Accepted)
            }
            Err(error) => Err(self.broken(error)),
        }
    }

    fn is_known(&self, hash: B256) -> Result<bool, ImportError> {
        Ok(self.chain.tree.get(hash).is_some() || self.chain.snapshot()?.number(hash)?.is_some())
    }

    /// Source: execution-apis, "Specification" of `engine_forkchoiceUpdated`; numbers are its.
    fn follow(
        &mut self,
        state: Forkchoice,
        attributes: Option<Result<BuildAttributes, EngineError>>,
    ) -> Result<ForkchoiceVerdict, EngineError> {
        // Blocks that are being replaced in the store are known until they are gone.
        if self.chain.persisting.as_ref().is_some_and(|batch| batch.replaces)
            && let Err(error) = self.settle(true)
        {
            self.end_work(&error);
        }
        // Blocks that wait to be imported beside the chain may be what is wanted now.
        let is_left = self.abandoned.keys().any(|(_, hash)| *hash == state.head);
        if is_left || self.orphans.contains(state.head) {
            while self.connect_next() {}
        }
        self.working()?;
        if let Some(invalid) = self.chain.tree.invalid(state.head) {
            return Ok(ForkchoiceVerdict::Invalid(refusal(invalid)));
        }
        match self.is_known(state.head) {
            Ok(true) => {}
            Ok(false) => {
                // 9. The head is not known.
                self.status.is_syncing = true;
                return Ok(ForkchoiceVerdict::Syncing);
            }
            Err(error) => return Err(self.broken(error)),
        }
        self.status.is_syncing = false;
        match self.move_head(state) {
            // 2. An ancestor of what is final: nothing is done, and nothing built.
            Ok(None) => return Ok(ForkchoiceVerdict::Valid(None)),
            Ok(Some(())) => {}
            Err(Moving::Refused(error)) => return Err(error),
            Err(Moving::Broken(error)) => return Err(self.broken(error)),
        }
        // 8. The fork choice stands, whatever the attributes are.
        let Some(attributes) = attributes else { return Ok(ForkchoiceVerdict::Valid(None)) };
        let id = self.build(attributes?)?;
        Ok(ForkchoiceVerdict::Valid(Some(id)))
    }

    /// Moves head, safe and finalized together, or none of them.
    fn move_head(&mut self, state: Forkchoice) -> Result<Option<()>, Moving> {
        let lineage = Lineage::of(&self.chain, state.head)?;
        if let Some(finalized) = self.finalized
            && state.head != finalized.hash
            && self.on_chain(state.head)?.is_some_and(|head| head.number < finalized.number)
        {
            return Ok(None);
        }
        // 5. Both are in the chain of the head, or are not named.
        let named = |what: &str, hash: B256| match hash.is_zero() {
            true => Ok(None),
            false => lineage.find(&self.chain, hash)?.map(Some).ok_or_else(|| {
                let reason = format!("the {what} block {hash} is not in the chain of the head");
                Moving::Refused(EngineError::InvalidForkchoice(reason))
            }),
        };
        let finalized = named("finalized", state.finalized)?;
        let safe = named("safe", state.safe)?;
        // 6. A reorganisation has a limit. No batch is on its way that replaces what is durable.
        let before = self.chain.head();
        let common = lineage.fork_with(&self.chain, before)?;
        let (depth, max) = (before.number.saturating_sub(common), self.options.reorg_depth_max);
        if depth > max {
            return Err(Moving::Refused(EngineError::TooDeep { depth, max }));
        }
        if before.hash != state.head {
            lineage.check_base(&self.chain).map_err(Moving::Refused)?;
        }
        // 7. All of it at once.
        if before.hash != state.head {
            self.chain.set_head(state.head)?;
            self.status.reorganisations += u64::from(depth > 0);
        }
        self.safe = safe;
        self.finalized = finalized;
        self.status.last_forkchoice = Some(Instant::now());
        if self.forkchoice != state {
            self.forkchoice = state;
            self.journal_forkchoice(true)?;
        }
        self.publish()?;
        if before.hash != state.head {
            self.tell_of_move(before);
        }
        // What becomes of a batch is no answer to this fork choice, which stands.
        match self.persist_if_full() {
            Ok(true) => self.publish()?,
            Ok(false) => {}
            Err(error) => self.end_work(&error),
        }
        Ok(Some(()))
    }

    /// Tells the pool which transactions have left the chain and which have come, and then whoever
    /// listens which blocks have.
    fn tell_of_move(&mut self, before: Head) {
        let shared = self.shared.clone();
        let view = shared.view.read().clone();
        let moved = Moved::between(&self.chain, before, view.head());
        // The pool is a guess of what comes next: that it cannot follow is no reason to refuse the
        // fork choice.
        let _ = pool::advance(&shared.pool, &view, &moved);
        self.tell_listeners(&moved);
    }

    /// Tells whoever listens which blocks have left the chain, and which have come.
    fn tell_listeners(&self, moved: &Moved) {
        self.shared.feed.tell(|| ChainEvent::HeadMoved(Arc::new(HeadMove::of(moved))));
    }

    fn build(&mut self, attributes: BuildAttributes) -> Result<PayloadId, EngineError> {
        let view = self.shared.view.read().clone();
        let head = view.head();
        let parent = match view.header(head.number) {
            Ok(Some((_, header))) => header,
            Ok(None) => return Err(EngineError::Internal("the head has no header".to_owned())),
            Err(error) => return Err(self.broken(error)),
        };
        if attributes.timestamp <= parent.timestamp {
            let (found, above) = (attributes.timestamp, parent.timestamp);
            let reason = format!("timestamp {found} is not above the head's, {above}");
            return Err(EngineError::InvalidAttributes(reason));
        }
        let id = job_id(head.hash, &attributes);
        self.shared.builds.begin(Job::new(id, view, head, parent, attributes))?;
        Ok(id)
    }

    /// Sends a batch on its way if one is full; waits for an earlier one where there is no room,
    /// and says whether one has arrived.
    fn persist_if_full(&mut self) -> Result<bool, ImportError> {
        if !self.chain.is_batch_full() {
            return Ok(false);
        }
        // What an earlier batch took the place of goes first, or there would be no bound for it.
        while !self.abandoned.is_empty() {
            self.connect_next();
        }
        let has_arrived = self.chain.settle(true)?.is_some();
        if has_arrived {
            self.moved_up()?;
        }
        self.persist()?;
        Ok(has_arrived)
    }

    /// Takes note of a batch that has arrived; waits for it if told so.
    fn settle(&mut self, waits: bool) -> Result<(), ImportError> {
        if self.chain.settle(waits)?.is_some() {
            self.moved_up()?;
            self.publish()?;
        }
        Ok(())
    }

    fn moved_up(&mut self) -> Result<(), ImportError> {
        self.snapshot = Arc::new(self.chain.store().snapshot()?);
        // What another branch took the place of is imported again beside the chain: the consensus
        // layer may come back to it, and does not send again what it was told is valid.
        let left = std::mem::take(&mut self.chain.abandoned).into_iter();
        self.abandoned.extend(left.map(|block| (block_key(&block), block)));
        self.rewrite_journal()
    }

    /// Hands a view of the chain to readers.
    fn publish(&mut self) -> Result<(), ImportError> {
        let (spec, snapshot) = (self.chain.spec.clone(), self.snapshot.clone());
        let head = self.chain.head();
        let (below, above) = self.chain.tree.path_to(head.hash);
        let base = snapshot.number(below)?.ok_or_else(|| {
            ImportError::Internal(format!("block {below} is not in the store of the readers"))
        })?;
        let marks = Marks { head, safe: self.safe, finalized: self.finalized };
        let blocks = self.chain.tree.blocks();
        let view = ChainView::new(spec, snapshot, base, above, blocks, marks);
        let view = view.with_rewound(self.rewound.clone());
        *self.shared.view.write() = Arc::new(view);
        Ok(())
    }

    /// Tells how the engine is.
    fn tell(&mut self) {
        let status = EngineStatus {
            head: self.chain.head(),
            durable: self.chain.durable(),
            safe: self.safe,
            finalized: self.finalized,
            pending_blocks: self.chain.pending_blocks,
            pending_bytes: self.chain.pending_bytes,
            tree_blocks: self.chain.tree.len(),
            is_persisting: self.chain.persisting.is_some(),
            orphans: self.orphans.len() + self.abandoned.len(),
            invalid: self.chain.tree.invalid_count(),
            times: self.chain.times(),
            parallel: self.chain.parallel,
            ..self.status.clone()
        };
        let is_syncing = status.is_syncing;
        self.status = status.clone();
        let before = std::mem::replace(&mut *self.shared.status.lock(), status);
        if before.is_syncing != is_syncing {
            self.shared.feed.tell(|| ChainEvent::Syncing(is_syncing));
        }
    }
}

/// Why a head was not moved.
enum Moving {
    Refused(EngineError),
    Broken(ImportError),
}

impl<E: Into<ImportError>> From<E> for Moving {
    fn from(error: E) -> Self {
        Self::Broken(error.into())
    }
}

fn refusal(invalid: &Invalid) -> Refusal {
    let Invalid { latest_valid, reason } = invalid;
    Refusal { latest_valid: Some(*latest_valid), reason: reason.clone() }
}

/// Sorts a block after its parent.
fn block_key(block: &SealedBlock) -> (u64, B256) {
    (block.block().header.number, block.hash())
}
