//! The chain behind a queue: what the consensus layer asks, in the order in which it asks.
//!
//! | job | started when | gives | awaited where |
//! | --- | --- | --- | --- |
//! | `fugue-chain` ([`worker`]) | the engine starts | verdicts, views | `EngineThread::stop` |
//! | `fugue-build` ([`builder`]) | the engine starts | payloads, guesses | `EngineThread::stop` |
//! | `fugue-persist` (`crate::persist`) | a batch is full | a durable batch | by `fugue-chain` |
//!
//! While nothing is to be built, `fugue-build` looks [`ahead`]: its guesses are footprints, and
//! keys that it names to `fugue-chain`. Nobody waits for them.
//!
//! One thread owns the [`Chain`]; readers have the newest [`ChainView`]. Every call is answered
//! exactly once. A block is called invalid only by [`Chain::import`], after a sequential run on a
//! proven state; whatever else goes wrong is an [`EngineError`].

mod ahead;
mod answer;
mod at_once;
mod blocks;
mod builder;
mod feed;
mod ground;
mod local;
mod orphans;
mod outline;
mod pending;
mod pool;
#[cfg(test)]
pub(crate) mod samples;
mod worker;

use crate::{
    BadBlock, Chain, ChainView, DevBlock, Head, ImportError, ParallelRuns, Retention, Times,
    bad_blocks::BadBlocks, footprints::Footprints,
};
use alloy_rlp::Encodable;
use builder::{Builder, Builds};
use feed::Feed;
use fugue_chainspec::ChainSpec;
use fugue_executor::{Executor, Location, Mode};
use fugue_txpool::{Added, Origin, Pool};
use fugue_types::{B256, Bytes, SealedBlock};
use local::LocalTxs;
use parking_lot::{Mutex, RwLock};
use pending::Pending;
use std::{
    path::PathBuf,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, TrySendError, sync_channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};
use worker::{Caller, Command, DevCommand, Worker};

pub use answer::{
    BuildAttributes, BuiltPayload, EngineError, Forkchoice, ForkchoiceVerdict, PayloadId,
    PayloadVerdict, Refusal, Reply,
};
pub use at_once::{BuildError, BuildOrder, Contents};
pub use feed::{ChainEvent, ChainListener};
pub use local::SubmitError;
pub use pool::pool_head;
pub(crate) use worker::journaled_headers;

/// How an engine works.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// Calls that wait, at most: a further one is answered with [`EngineError::Busy`].
    pub calls_max: usize,
    /// Bytes of blocks in calls that wait, at most, about: a further one is answered with
    /// [`EngineError::BusyBytes`].
    pub call_bytes_max: usize,
    /// Blocks without a parent that are kept, at most.
    pub orphans_max: usize,
    /// Bytes of such blocks, at most, about.
    pub orphan_bytes_max: usize,
    /// Blocks of the chain that a fork choice may leave behind, at most.
    pub reorg_depth_max: u64,
    /// How blocks are built.
    pub build_mode: Mode,
    /// Threads for building.
    pub build_threads: usize,
    /// How long a build is made better, if it is not asked for.
    pub build_time: Duration,
    /// Whether a build begins with a payload without transactions, so that there is one at once.
    pub builds_empty_first: bool,
    /// How long a builder waits between two tries.
    pub build_interval: Duration,
    /// The gas limit that built blocks go towards, where no attributes give one.
    pub gas_limit: u64,
    /// What built blocks say of their builder, at most 32 bytes.
    pub extra_data: Bytes,
    /// Where blocks are kept that are not durable, for a restart; nowhere if it is `None`.
    pub journal: Option<PathBuf>,
    /// Where local transactions are kept for a restart; nowhere if it is `None`.
    pub local_txs: Option<PathBuf>,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            calls_max: 256,
            call_bytes_max: 256 << 20,
            orphans_max: 256,
            orphan_bytes_max: 64 << 20,
            reorg_depth_max: 1_024,
            build_mode: Mode::Auto,
            build_threads: 1,
            build_time: Duration::from_secs(12),
            builds_empty_first: true,
            build_interval: Duration::from_millis(500),
            gas_limit: 60_000_000,
            extra_data: Bytes::from_static(b"fugue"),
            journal: None,
            local_txs: None,
        }
    }
}

/// What an engine tells of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EngineStatus {
    /// The head.
    pub head: Head,
    /// The newest durable block.
    pub durable: Head,
    /// The newest safe block.
    pub safe: Option<Head>,
    /// The newest final block.
    pub finalized: Option<Head>,
    /// Blocks of the head's chain that are not durable.
    pub pending_blocks: usize,
    /// Bytes that they take, about.
    pub pending_bytes: usize,
    /// Blocks that are not durable, side blocks included.
    pub tree_blocks: usize,
    /// A batch is on its way to the store.
    pub is_persisting: bool,
    /// Blocks without a parent, and those that left the store and are not imported again yet.
    pub orphans: usize,
    /// Blocks that are known to be invalid.
    pub invalid: usize,
    /// Blocks that were imported.
    pub imported: u64,
    /// Transactions of theirs that were run before, and ordered by what they read and wrote then.
    pub foreseen: u64,
    /// Blocks whose parallel run gave another outcome than the sequential one. Defects of ours.
    pub parallel_differed: u64,
    /// What parallel runs of imported blocks came to.
    pub parallel: ParallelRuns,
    /// Transactions of imported blocks whose senders the pool knew: they were not recovered.
    pub known_senders: u64,
    /// Times that the head left its chain.
    pub reorganisations: u64,
    /// Blocks that were built.
    pub built: u64,
    /// Transactions of the pool that were run on the state of the head, or of the one before.
    pub preexecuted: usize,
    /// Times that running them came upon an error. Defects of ours, or of the store.
    pub ahead_failures: u64,
    /// What each step took, summed up.
    pub times: Times,
    /// The newest fork choice named a head that is not known.
    pub is_syncing: bool,
    /// When the newest fork choice was followed.
    pub last_forkchoice: Option<Instant>,
    /// Set once the store has failed: nothing is imported any more.
    pub failed: Option<String>,
}

/// What all handles share.
#[derive(Debug)]
struct Shared {
    spec: Arc<ChainSpec>,
    pool: Arc<Pool>,
    view: RwLock<Arc<ChainView>>,
    status: Mutex<EngineStatus>,
    builds: Builds,
    local: LocalTxs,
    /// The newest blocks that were found invalid.
    bad_blocks: Arc<BadBlocks>,
    /// What of the past is kept.
    retention: Retention,
    /// The gas limit that built blocks go towards, where no attributes give one.
    gas_limit: u64,
    /// What built blocks say of their builder.
    extra_data: Bytes,
    feed: Feed,
    pending: Pending,
    /// Bytes of blocks in calls that wait.
    call_bytes: AtomicUsize,
    /// What transactions of the pool read and write.
    footprints: Arc<Footprints>,
    /// Calls that wait or are being answered: who looks ahead stands back.
    open_calls: AtomicUsize,
    /// Times that looking ahead came upon an error. Defects of ours, or of the store.
    ahead_failures: AtomicU64,
    /// The chain's thread has keys that it is to bring into memory.
    is_warming: AtomicBool,
    /// For those who must not keep the chain's thread from ending.
    calls: Weak<SyncSender<Command>>,
}

impl Shared {
    /// Whether a call waits or is being answered.
    fn is_called(&self) -> bool {
        self.open_calls.load(Ordering::Acquire) > 0
    }

    /// Names to the chain's thread what the next block is likely to read.
    fn name_keys(&self, keys: Vec<Location>) {
        self.is_warming.store(true, Ordering::Release);
        let is_sent =
            self.calls.upgrade().is_some_and(|calls| calls.try_send(Command::Warm(keys)).is_ok());
        if !is_sent {
            self.is_warming.store(false, Ordering::Release);
        }
    }
}

/// The handle of an engine.
#[derive(Debug, Clone)]
pub struct Engine {
    calls: Arc<SyncSender<Command>>,
    shared: Arc<Shared>,
    calls_max: usize,
    call_bytes_max: usize,
}

/// The threads of an engine. They end by [`EngineThread::stop`], or after this and all handles were
/// dropped.
#[derive(Debug)]
pub struct EngineThread {
    calls: Arc<SyncSender<Command>>,
    chain: JoinHandle<Result<Head, ImportError>>,
    builder: JoinHandle<()>,
    shared: Arc<Shared>,
}

impl Engine {
    /// Starts the threads of an engine. Blocks of the journal are imported first.
    ///
    /// # Errors
    /// What the store says, or [`ImportError::Internal`] if there are no threads to be had.
    pub fn start(
        chain: Chain,
        pool: Arc<Pool>,
        options: EngineOptions,
    ) -> Result<(Self, EngineThread), ImportError> {
        let no_thread = |error: std::io::Error| ImportError::Internal(error.to_string());
        // One place more, for keys: these take none from a call.
        let (calls, queue) = sync_channel(options.calls_max.max(1).saturating_add(1));
        let calls = Arc::new(calls);
        let executor = Executor::new(options.build_threads)
            .map_err(|error| ImportError::Internal(error.to_string()))?;
        let (builds, jobs) = Builds::new();
        let view = Arc::new(worker::first_view(&chain)?);
        let shared = Arc::new(Shared {
            spec: chain.spec.clone(),
            pool,
            view: RwLock::new(view),
            status: Mutex::default(),
            builds,
            local: LocalTxs::default(),
            bad_blocks: chain.tree.bad.clone(),
            retention: chain.options.retention,
            gas_limit: options.gas_limit,
            extra_data: options.extra_data.clone(),
            feed: Feed::default(),
            pending: Pending::default(),
            call_bytes: AtomicUsize::new(0),
            footprints: chain.footprints.clone(),
            open_calls: AtomicUsize::new(0),
            ahead_failures: AtomicU64::new(0),
            is_warming: AtomicBool::new(false),
            calls: Arc::downgrade(&calls),
        });
        let (calls_max, call_bytes_max) = (options.calls_max, options.call_bytes_max);
        let local_txs = options.local_txs.clone();
        let builder = Builder::new(executor, shared.clone(), &options);
        let mut worker = Worker::new(chain, shared.clone(), options);
        worker.replay_journal()?;
        if let Some(path) = local_txs {
            let view = shared.view.read().clone();
            shared.local.open(&path, &shared.pool, &view)?;
        }
        let builder = std::thread::Builder::new()
            .name("fugue-build".to_owned())
            .spawn(move || builder.run(&jobs))
            .map_err(no_thread)?;
        let ending = Ending(shared.clone());
        let chain = std::thread::Builder::new()
            .name("fugue-chain".to_owned())
            .spawn(move || {
                let _ending = ending;
                run(worker, &queue)
            })
            .map_err(no_thread)?;
        let engine =
            Self { calls: calls.clone(), shared: shared.clone(), calls_max, call_bytes_max };
        Ok((engine, EngineThread { calls, chain, builder, shared }))
    }

    /// Judges a block and puts it beside the chain. `decoded` is what it took to make the block of
    /// a call, for [`Times`].
    pub fn new_payload(
        &self,
        block: SealedBlock,
        decoded: Duration,
        reply: Reply<Result<PayloadVerdict, EngineError>>,
    ) {
        // A block in memory takes about twice its RLP.
        let bytes = 2 * block.block().length();
        let waiting = self.shared.call_bytes.fetch_add(bytes, Ordering::Relaxed);
        if waiting.saturating_add(bytes) > self.call_bytes_max && waiting > 0 {
            self.shared.call_bytes.fetch_sub(bytes, Ordering::Relaxed);
            return reply(Err(EngineError::BusyBytes(self.call_bytes_max)));
        }
        let (block, caller) = (Box::new(block), Caller::new(reply));
        self.call(Command::NewPayload { block, bytes, decoded, caller });
    }

    /// Follows a fork choice, and begins to build on its head if attributes are given. Attributes
    /// that are known to be wrong are answered with their error, after the fork choice was
    /// followed. Source: execution-apis, `engine_forkchoiceUpdated`.
    pub fn forkchoice(
        &self,
        state: Forkchoice,
        attributes: Option<Result<BuildAttributes, EngineError>>,
        reply: Reply<Result<ForkchoiceVerdict, EngineError>>,
    ) {
        let attributes = attributes.map(Box::new);
        self.call(Command::Forkchoice { state, attributes, caller: Caller::new(reply) });
    }

    /// The best payload of a build so far, which is not made better any more.
    pub fn payload(&self, id: PayloadId, reply: Reply<Result<Arc<BuiltPayload>, EngineError>>) {
        self.shared.builds.ask(id, reply);
    }

    /// Forgets that a block was found invalid, so that it is judged anew when it comes again. Says
    /// whether it was.
    pub fn reconsider(&self, hash: B256, reply: Reply<Result<bool, EngineError>>) {
        self.call(Command::Reconsider { hash, caller: Caller::new(reply) });
    }

    /// Makes an ancestor of the head the head, as a fork choice for it would, until the next fork
    /// choice: blocks above it are not forgotten. Refused with [`EngineError::InvalidForkchoice`]
    /// if it is not in the chain or lies below the finalized block, with [`EngineError::TooDeep`]
    /// or [`EngineError::Pruned`] if a fork choice could not go there.
    pub fn set_head(&self, hash: B256, reply: Reply<Result<Head, EngineError>>) {
        self.call(Command::SetHead(hash, Caller::new(reply)));
    }

    /// Begins a block of a chain for development on the head; each call is a build of its own. Its
    /// payload is asked for, judged and followed as any other.
    pub fn build_for_dev(&self, block: DevBlock, reply: Reply<Result<PayloadId, EngineError>>) {
        let (block, caller) = (Box::new(block), Caller::new(reply));
        self.call(Command::Dev(DevCommand::Build { block, caller }));
    }

    /// Makes a block of the chain the head again, on a chain for development, however deep it lies:
    /// what came after it is forgotten, the pool is emptied, and safe and finalized block are those
    /// of `state`, or none. Refused with [`EngineError::InvalidForkchoice`] if the head is not in
    /// the chain, or its state is no longer kept.
    pub fn rewind(&self, state: Forkchoice, reply: Reply<Result<Head, EngineError>>) {
        self.call(Command::Dev(DevCommand::Rewind { state, caller: Caller::new(reply) }));
    }

    /// Puts a transaction into the pool, in the form in which it is sent; a local one comes back
    /// after a restart.
    ///
    /// # Errors
    /// [`SubmitError`].
    pub fn submit(&self, encoded: &[u8], origin: Origin) -> Result<Added, SubmitError> {
        let Shared { local, pool, builds, .. } = &*self.shared;
        let added = local.submit(encoded, origin, pool, &self.view())?;
        builds.stir();
        Ok(added)
    }

    /// Forgets all transactions of the pool, also for a restart. Gives how many there were.
    ///
    /// # Errors
    /// If local ones are kept for a restart and cannot be forgotten.
    pub fn clear_pool(&self) -> Result<usize, ImportError> {
        let Shared { local, pool, builds, .. } = &*self.shared;
        let count = pool.clear();
        local.close(pool)?;
        builds.stir();
        Ok(count)
    }

    /// Forgets transactions of the pool, also for a restart. Gives how many of them were there.
    ///
    /// # Errors
    /// If local ones are kept for a restart and these cannot be forgotten.
    pub fn drop_pooled(&self, hashes: &[B256]) -> Result<usize, ImportError> {
        let Shared { local, pool, builds, .. } = &*self.shared;
        let count = hashes.iter().filter(|hash| pool.remove(hash)).count();
        if count > 0 {
            local.close(pool)?;
            builds.stir();
        }
        Ok(count)
    }

    /// The pool takes transactions by this gas limit, and not by that of the head, until that
    /// moves: on a chain for development it is known which one the next block has.
    pub fn limit_pool_gas(&self, gas_limit: u64) {
        pool::limit_gas(&self.shared.pool, &self.view(), gas_limit);
    }

    fn call(&self, command: Command) {
        let open = self.shared.open_calls.fetch_add(1, Ordering::AcqRel);
        // One is being answered, and does not wait.
        let sent = if open > self.calls_max.max(1) {
            Err(TrySendError::Full(command))
        } else {
            self.calls.try_send(command)
        };
        match sent {
            Ok(()) => {}
            Err(TrySendError::Full(command)) => {
                self.forget(&command);
                command.refuse(EngineError::Busy(self.calls_max));
            }
            Err(TrySendError::Disconnected(command)) => {
                self.forget(&command);
                command.refuse(EngineError::Stopped);
            }
        }
    }

    fn forget(&self, command: &Command) {
        self.shared.call_bytes.fetch_sub(command.bytes(), Ordering::Relaxed);
        self.shared.open_calls.fetch_sub(1, Ordering::AcqRel);
    }

    /// The chain as it was at the newest fork choice.
    pub fn view(&self) -> Arc<ChainView> {
        self.shared.view.read().clone()
    }

    /// The pool of transactions.
    pub fn pool(&self) -> &Arc<Pool> {
        &self.shared.pool
    }

    /// The rules of the chain.
    pub fn spec(&self) -> &ChainSpec {
        &self.shared.spec
    }

    /// What of the past is kept.
    pub fn retention(&self) -> Retention {
        self.shared.retention
    }

    /// The newest blocks that were found invalid, the newest first: those that the engine was
    /// given since it started, but for children of others and blocks with a signature of nobody.
    pub fn bad_blocks(&self) -> Vec<Arc<BadBlock>> {
        self.shared.bad_blocks.all()
    }

    /// `listener` is told of what happens from here on, for as long as the caller keeps it.
    pub fn on_event(&self, listener: &Arc<ChainListener>) {
        self.shared.feed.add(listener);
    }

    /// Whether the newest fork choice named a head that is not known.
    pub fn is_syncing(&self) -> bool {
        self.shared.status.lock().is_syncing
    }

    /// What the engine tells of itself.
    pub fn status(&self) -> EngineStatus {
        let Shared { footprints, builds, ahead_failures, status, .. } = &*self.shared;
        let (preexecuted, built) = (footprints.len(), builds.count());
        let ahead_failures = ahead_failures.load(Ordering::Relaxed);
        EngineStatus { preexecuted, built, ahead_failures, ..status.lock().clone() }
    }
}

impl EngineThread {
    /// Ends the threads, after what was asked before. The chain of the head is then durable; gives
    /// the head, above which the store may have blocks that it has left.
    ///
    /// # Errors
    /// What the store says.
    pub fn stop(self) -> Result<Head, ImportError> {
        let Self { calls, chain, builder, shared } = self;
        // If the thread has ended, joining tells why.
        let _ = calls.send(Command::Stop);
        shared.builds.close();
        let panicked = |name: &str| ImportError::Internal(format!("{name} panicked"));
        let head = chain.join().map_err(|_| panicked("the thread of the chain"))?;
        builder.join().map_err(|_| panicked("the builder"))?;
        shared.local.close(&shared.pool)?;
        head
    }
}

/// What is done when the thread of the chain ends, however it ends.
struct Ending(Arc<Shared>);

impl Drop for Ending {
    fn drop(&mut self) {
        let Self(shared) = self;
        shared.builds.close();
        if std::thread::panicking() {
            let reason = || "the thread of the chain panicked".to_owned();
            shared.status.lock().failed.get_or_insert_with(reason);
        }
    }
}

/// Does what is asked until it is told to stop, or nobody is left who could ask. What is left then
/// is refused, as the queue is dropped.
fn run(mut worker: Worker, queue: &Receiver<Command>) -> Result<Head, ImportError> {
    loop {
        let command = match queue.try_recv() {
            Ok(command) => command,
            // What nobody waits for comes when nobody waits.
            Err(TryRecvError::Empty) if worker.connect_next() => continue,
            Err(_) => match queue.recv_timeout(worker.patience()) {
                Ok(command) => command,
                Err(RecvTimeoutError::Timeout) => {
                    worker.look_at_store();
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => break,
            },
        };
        if matches!(command, Command::Stop) {
            break;
        }
        worker.act(command);
    }
    worker.stop()
}
