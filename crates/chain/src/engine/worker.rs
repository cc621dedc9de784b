//! The thread that owns the chain.

use super::{
    BuildAttributes, EngineError, EngineOptions, EngineStatus, Forkchoice, ForkchoiceVerdict,
    PayloadId, PayloadVerdict, Refusal, Reply, Shared,
    blocks::Lineage,
    builder::{Job, job_id},
    orphans::Orphans,
    pool,
};
use crate::{Chain, ChainView, Head, ImportError, Place, tree::Invalid, view::Marks};
use alloy_rlp::Decodable;
use fugue_storage::{Journal, Snapshot};
use fugue_types::{B256, Block, SealedBlock};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

/// First byte of a payload of the journal: a block in RLP follows.
const ENTRY_BLOCK: u8 = 0;
/// First byte of a payload of the journal: head, safe and finalized hash follow.
const ENTRY_FORKCHOICE: u8 = 1;

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
    Stop,
}

impl Command {
    /// Answers without doing anything.
    pub(crate) fn refuse(self, error: EngineError) {
        match self {
            Self::NewPayload { caller, .. } => caller.answer(Err(error)),
            Self::Forkchoice { caller, .. } => caller.answer(Err(error)),
            Self::Reconsider { caller, .. } => caller.answer(Err(error)),
            Self::Stop => {}
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
    orphans: Orphans,
    /// Blocks that were imported and may have children among the orphans.
    parents: Vec<B256>,
    /// The store for readers: apart from the one of the import, so that they share no lock.
    snapshot: Arc<Snapshot>,
    forkchoice: Forkchoice,
    safe: Option<Head>,
    finalized: Option<Head>,
    status: EngineStatus,
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
    pub(crate) fn new(chain: Chain, shared: Arc<Shared>, options: EngineOptions) -> Self {
        let view = shared.view.read().clone();
        let orphans = Orphans::new(options.orphans_max, options.orphan_bytes_max);
        Self {
            chain,
            snapshot: view.snapshot().clone(),
            shared,
            options,
            journal: None,
            orphans,
            parents: Vec::new(),
            forkchoice: Forkchoice::default(),
            safe: None,
            finalized: None,
            status: EngineStatus::default(),
        }
    }

    /// Imports what the journal holds, and follows the fork choice that it ends with. A block that
    /// cannot be imported is left out, with all that builds on it: the consensus client has it.
    pub(crate) fn replay_journal(&mut self) -> Result<(), ImportError> {
        let Some(path) = &self.options.journal else {
            self.publish()?;
            return Ok(());
        };
        let (journal, entries) = Journal::open(path)?;
        let mut last = None;
        for entry in entries {
            match entry.split_first() {
                Some((&ENTRY_BLOCK, mut rlp)) => {
                    if let Ok(block) = Block::decode(&mut rlp) {
                        match self.chain.import(SealedBlock::seal(block)) {
                            Ok(_)
                            | Err(
                                ImportError::UnknownParent { .. }
                                | ImportError::Invalid { .. }
                                | ImportError::TooDeep { .. }
                                | ImportError::BranchTooLong { .. },
                            ) => {}
                            Err(broken) => return Err(broken),
                        }
                    }
                }
                Some((&ENTRY_FORKCHOICE, hashes)) => last = forkchoice_of(hashes).or(last),
                _ => {}
            }
        }
        // A verdict of an earlier program does not bind this one.
        self.chain.tree.forget_all_invalid();
        if let Some(state) = last
            && self.chain.set_head(state.head)?.is_some()
        {
            self.safe = self.on_chain(state.safe)?;
            self.finalized = self.on_chain(state.finalized)?;
            self.forkchoice = state;
        }
        self.journal = Some(journal);
        self.rewrite_journal()?;
        self.move_pool(self.chain.durable());
        self.publish()?;
        Ok(())
    }

    /// A block of the head's chain; `None` for zero, or if it is not there.
    fn on_chain(&self, hash: B256) -> Result<Option<Head>, ImportError> {
        if hash.is_zero() {
            return Ok(None);
        }
        Lineage::of(&self.chain, self.chain.head().hash)?.find(&self.chain, hash)
    }

    pub(crate) fn act(&mut self, command: Command) {
        self.shared.call_bytes.fetch_sub(command.bytes(), Ordering::Relaxed);
        self.look_at_store();
        match command {
            Command::NewPayload { block, bytes: _, caller } => {
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
            Command::Stop => {}
        }
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
                self.fail(&error);
            }
            self.tell();
        }
    }

    /// Imports a block whose parent has come, if there is one.
    pub(crate) fn connect_next(&mut self) -> bool {
        while let Some(parent) = self.parents.last() {
            if let Some(block) = self.orphans.take_child(*parent) {
                // Whoever sent it was told that it is not known yet, and will ask again.
                let _ = self.new_payload(block);
                self.tell();
                return true;
            }
            self.parents.pop();
        }
        false
    }

    /// Makes the chain of the head durable.
    pub(crate) fn stop(mut self) -> Result<Head, ImportError> {
        self.chain.flush()?;
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
            self.status.failed.get_or_insert_with(|| error.to_string());
        }
    }

    fn broken(&mut self, error: ImportError) -> EngineError {
        self.fail(&error);
        EngineError::Internal(error.to_string())
    }

    fn new_payload(&mut self, block: SealedBlock) -> Result<PayloadVerdict, EngineError> {
        self.working()?;
        let (hash, parent) = (block.hash(), block.block().header.parent_hash);
        if let Some(invalid) = self.chain.tree.invalid(hash) {
            return Ok(PayloadVerdict::Invalid(refusal(invalid)));
        }
        let known = self.is_known(hash).and_then(|block| Ok((block, self.is_known(parent)?)));
        match known {
            Ok((true, _)) => return Ok(PayloadVerdict::Valid),
            Ok((_, true)) => {}
            Ok(_) if self.chain.tree.invalid(parent).is_some() => {}
            Ok(_) => {
                self.orphans.insert(block);
                return Ok(PayloadVerdict::Syncing);
            }
            Err(error) => return Err(self.broken(error)),
        }
        match self.chain.import(block) {
            Ok(imported) => {
                if imported.place != Place::Known {
                    self.status.imported += 1;
                    self.status.parallel_differed += u64::from(imported.parallel_differed);
                    self.journal_block(hash).map_err(|error| self.broken(error))?;
                    self.publish().map_err(|error| self.broken(error))?;
                    self.parents.push(hash);
                }
                Ok(PayloadVerdict::Valid)
            }
            Err(ImportError::Invalid { reason, .. }) => {
                let known = self.chain.tree.invalid(hash).map(refusal);
                let unknown = || Refusal { latest_valid: None, reason: reason.to_string() };
                Ok(PayloadVerdict::Invalid(known.unwrap_or_else(unknown)))
            }
            Err(ImportError::UnknownParent { .. }) => Ok(PayloadVerdict::Syncing),
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
            return Err(self.broken(error));
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
        // 6. A reorganisation has a limit.
        let before = self.chain.head();
        let common = lineage.fork_with(&self.chain, before)?;
        let (depth, max) = (before.number.saturating_sub(common), self.options.reorg_depth_max);
        if depth > max {
            return Err(Moving::Refused(EngineError::TooDeep { depth, max }));
        }
        // 7. All of it at once.
        if before.hash != state.head {
            self.chain.set_head(state.head)?;
            self.status.reorganisations += u64::from(depth > 0);
        }
        self.safe = safe;
        self.finalized = finalized;
        if self.forkchoice != state {
            self.forkchoice = state;
            self.journal_forkchoice(true)?;
        }
        if before.hash != state.head {
            self.move_pool(before);
        }
        self.persist_if_full()?;
        self.publish()?;
        Ok(Some(()))
    }

    /// Tells the pool which transactions have left the chain and which have come.
    fn move_pool(&mut self, before: Head) {
        // The pool is a guess of what comes next: a block that cannot be read any more is no reason
        // to refuse the fork choice.
        let _ = self.publish();
        let view = self.shared.view.read().clone();
        let _ = pool::advance(&self.shared.pool, &self.chain, &view, before);
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

    /// Sends a batch on its way if one is full; waits for an earlier one where there is no room.
    fn persist_if_full(&mut self) -> Result<(), ImportError> {
        if !self.chain.is_batch_full() {
            return Ok(());
        }
        if self.chain.settle(true)?.is_some() {
            self.moved_up()?;
        }
        self.chain.persist()?;
        Ok(())
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
        self.rewrite_journal()
    }

    fn journal_block(&mut self, hash: B256) -> Result<(), ImportError> {
        let (Some(journal), Some(record)) = (&mut self.journal, self.chain.tree.get(hash)) else {
            return Ok(());
        };
        Ok(journal.append(&block_entry(record.block.block()))?)
    }

    fn journal_forkchoice(&mut self, syncs: bool) -> Result<(), ImportError> {
        let Some(journal) = &mut self.journal else { return Ok(()) };
        journal.append(&forkchoice_entry(&self.forkchoice))?;
        if syncs {
            journal.sync()?;
        }
        Ok(())
    }

    /// Leaves in the journal what is not durable.
    fn rewrite_journal(&mut self) -> Result<(), ImportError> {
        let Some(journal) = &mut self.journal else { return Ok(()) };
        let blocks = self.chain.tree.blocks();
        let mut records: Vec<_> = blocks.values().collect();
        records.sort_unstable_by_key(|record| record.block.block().header.number);
        let mut entries: Vec<_> =
            records.into_iter().map(|record| block_entry(record.block.block())).collect();
        entries.push(forkchoice_entry(&self.forkchoice));
        Ok(journal.replace(entries.iter().map(Vec::as_slice))?)
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
            orphans: self.orphans.len(),
            invalid: self.chain.tree.invalid_count(),
            built: self.shared.builds.count(),
            times: self.chain.times(),
            ..self.status.clone()
        };
        self.status = status.clone();
        *self.shared.status.lock() = status;
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

fn block_entry(block: &Block) -> Vec<u8> {
    let mut entry = vec![ENTRY_BLOCK];
    alloy_rlp::Encodable::encode(block, &mut entry);
    entry
}

fn forkchoice_entry(state: &Forkchoice) -> Vec<u8> {
    let Forkchoice { head, safe, finalized } = state;
    [&[ENTRY_FORKCHOICE][..], head.as_slice(), safe.as_slice(), finalized.as_slice()].concat()
}

fn forkchoice_of(hashes: &[u8]) -> Option<Forkchoice> {
    let hash = |index: usize| B256::try_from(hashes.get(index * 32..(index + 1) * 32)?).ok();
    Some(Forkchoice { head: hash(0)?, safe: hash(1)?, finalized: hash(2)? })
}
