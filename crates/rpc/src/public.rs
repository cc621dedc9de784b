//! The methods that wallets, explorers and tools call, a room for each namespace.
//!
//! Each method is a function from the context and its arguments to JSON. Those that read the store
//! or run code work on threads for that, a bounded number at a time; the others answer at once:
//!
//! ```text
//! request -> Args -> immediate method ------------------------------> JSON
//!                 -> permit -> thread -> reading method over a view -> JSON
//! ```
//! Those that search many blocks or accounts, or run code, need a permit of a smaller class first,
//! so that they leave room for the others; those that trace it one of a class that is smaller
//! still, and may take longer. What changes a chain for development waits for its turn at that, and
//! for nothing else. All are given up when they take too long, or when nobody waits for them any
//! more.
//!
//! A reading method takes one view of the chain at its start and answers from that, so an answer is
//! of one fork choice, whatever is imported meanwhile.
//!
//! What goes on between calls is in [`live`]: filters, subscriptions, calls that wait for a block.

mod admin;
pub(crate) mod args;
mod block_ref;
mod debug;
mod dev;
pub(crate) mod error;
mod eth;
mod feed;
mod fugue;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzz;
mod live;
mod made;
mod net;
mod ots;
mod overrides;
pub(crate) mod patience;
mod permits;
mod question;
mod revert;
pub(crate) mod rpc;
pub(crate) mod subscriptions;
mod testing;
mod trace;
mod traces;
mod txpool;
mod web3;
mod wire;

use crate::{
    dev::DevChain,
    stream::{Offer, Outlet, Streamed},
};
use args::Args;
use block_ref::{BlockRef, Tag};
use dev::Dev;
use fugue_chain::{ChainView, Engine, Reach};
use fugue_evm::CodeCache;
use fugue_state::{StateError, StateView};
use fugue_types::{Address, B256};
use jsonrpsee::{
    RpcModule,
    core::{JsonRawValue, RegisterMethodError, to_json_raw_value},
    types::ErrorObjectOwned,
};
use live::Live;
use patience::{Patience, Waiting};
use permits::Permits;
use serde::Serialize;
use std::{
    io,
    num::NonZero,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::task::JoinHandle;
use traces::TraceFolder;

/// What callers may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Gas of a message that is a question, or is traced; of all messages together, where a request
    /// has several that are run one after the other (`eth_callMany`, `eth_simulateV1`).
    pub call_gas_max: u64,
    /// Logs in an answer of `eth_getLogs` over more than one block.
    pub logs_max: usize,
    /// Bytes of the logs in such an answer, as the chain has them: less than half of the answer.
    pub log_bytes_max: usize,
    /// Blocks that `eth_getLogs` looks through for logs of any address with any topics, and that a
    /// filter tells of in one answer.
    pub log_blocks_max: u64,
    /// Blocks that it looks through for an address or a topic, by the index of logs.
    pub indexed_log_blocks_max: u64,
    /// Blocks in an answer of `eth_feeHistory`.
    pub fee_blocks_max: u64,
    /// Blocks that `fugue_profileContract` runs again.
    pub profile_blocks_max: u64,
    /// Requests that read the store or run code at the same time, at least one; more wait.
    pub reading_calls_max: usize,
    /// Those of them that search many blocks or accounts, at least one; more wait.
    pub searching_calls_max: usize,
    /// Those of them that run code, at least one; more wait.
    pub executing_calls_max: usize,
    /// Requests of one class that wait or run; more are refused.
    pub waiting_calls_max: usize,
    /// How long a request may wait for its turn, unless that is to change a chain for development,
    /// and again how long it may then take.
    pub call_time_max: Duration,
    /// Requests that trace what was run at the same time, at least one; more wait.
    pub tracing_calls_max: usize,
    /// Threads that trace the transactions of a block for one of them, at least one.
    pub trace_threads_max: usize,
    /// How long a request may take that traces.
    pub trace_time_max: Duration,
    /// Bytes of the traces in an answer.
    pub trace_bytes_max: usize,
    /// Bytes that are kept for all traces of an answer before they are written, about.
    pub trace_memory_max: usize,
    /// Blocks that `trace_filter` looks through.
    pub trace_blocks_max: u64,
    /// Traces in its answer, if that is of more than one block.
    pub traces_max: usize,
    /// Files in the folder of traces that are asked for as files.
    pub trace_files_max: usize,
    /// Bytes of each of these.
    pub trace_file_bytes_max: u64,
    /// Bytes of all that is in that folder.
    pub trace_folder_bytes_max: u64,
    /// Bytes of the transactions of which `txpool_content` and its like tell.
    pub pool_bytes_max: usize,
    /// Blocks below the newest durable one of which `eth_getProof` and witnesses are given.
    pub proof_blocks_max: u64,
    /// Accounts and slots that changed since such a block, as they are held in memory meanwhile:
    /// about a kilobyte each, with the tries.
    pub proof_changes_max: usize,
    /// Bytes of an execution witness: half of those of the answer.
    pub witness_bytes_max: usize,
    /// Filters that are open (`eth_newFilter` and its like); more are refused.
    pub filters_max: usize,
    /// How long a filter stays open that is not asked for.
    pub filter_idle_max: Duration,
    /// Subscriptions of all connections; more are refused.
    pub subscriptions_max: usize,
    /// Addresses and topics of all filters of logs that are open or subscribed to, 300 bytes each;
    /// filters with more are refused.
    pub terms_max: usize,
    /// Moves of the head that are kept for those who follow them: what a subscriber may fall
    /// behind.
    pub kept_moves_max: usize,
    /// Bytes of their blocks, about.
    pub kept_move_bytes_max: usize,
    /// Transactions that are kept for those who follow them, filters among them.
    pub kept_txs_max: usize,
    /// Bytes of these.
    pub kept_tx_bytes_max: usize,
    /// Calls that wait for a block with their transaction (`eth_sendRawTransactionSync`); more are
    /// refused.
    pub sync_waits_max: usize,
    /// How long such a call waits, if it does not ask for less.
    pub sync_wait_max: Duration,
    /// Addresses, and values of one topic, of a filter of logs; addresses of one side of a filter
    /// of traces.
    pub filter_values_max: usize,
    /// Hashes of transactions of a subscription to receipts.
    pub receipt_hashes_max: usize,
    /// Percentiles of `eth_feeHistory`.
    pub percentiles_max: usize,
    /// Storage keys of `eth_getProof`, and of `eth_getStorageValues`, of all accounts together.
    pub storage_keys_max: usize,
    /// Accounts of which a question may assume something; each is read before anything is run.
    pub overridden_accounts_max: usize,
    /// Slots of all of them together.
    pub overridden_slots_max: usize,
    /// Messages of `eth_callMany`, `debug_traceCallMany` and `trace_callMany`.
    pub messages_max: usize,
    /// Blocks of `eth_simulateV1`, those between the given ones included.
    pub simulated_blocks_max: u64,
    /// Messages of all of them together, and withdrawals.
    pub simulated_calls_max: usize,
    /// Bytes that all messages of `eth_callMany` or `eth_simulateV1` give back and log: in JSON
    /// they take twice as many, and for a while as many again.
    pub output_bytes_max: usize,
    /// Accounts of a page of `debug_accountRange`; more are cut down.
    pub page_accounts_max: u64,
    /// Slots of a page of `debug_storageRangeAt`.
    pub page_slots_max: u64,
    /// Blocks whose changed accounts are put together by `debug_getModifiedAccountsByNumber` and
    /// its like: one row of the database each.
    pub modified_blocks_max: u64,
    /// Accounts that these may have changed: held in memory, and each read in two states.
    pub modified_accounts_max: usize,
    /// Transactions of a page of `ots_getBlockTransactions`.
    pub page_txs_max: u64,
    /// Transactions that a page of `ots_searchTransactionsBefore` and its like may be asked for.
    pub searched_txs_max: u64,
    /// Blocks that such a search looks at for a page; most are run again.
    pub searched_blocks_max: usize,
    /// Transactions of a block of `testing_buildBlockV1` and its like.
    pub testing_txs_max: usize,
    /// Threads of the parallel run of `fugue_explainBlock`, at least one; no more than cores.
    pub explain_threads_max: usize,
    /// Transactions that are sent here are local: they give way last, and survive a restart.
    pub are_sent_local: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            call_gas_max: 50_000_000,
            logs_max: 20_000,
            log_bytes_max: 10 * 1024 * 1024,
            log_blocks_max: 10_000,
            // About a thousand rows of the index for each address or topic.
            indexed_log_blocks_max: 1_000_000,
            fee_blocks_max: 1_024,
            profile_blocks_max: 128,
            reading_calls_max: reading_calls_max(),
            searching_calls_max: reading_calls_max() / 2,
            executing_calls_max: half_of_the_cores(),
            waiting_calls_max: 1_024,
            call_time_max: Duration::from_secs(5),
            tracing_calls_max: (half_of_the_cores() / 2).clamp(1, 4),
            trace_threads_max: half_of_the_cores(),
            trace_time_max: Duration::from_secs(30),
            // A server answers at most a little more.
            trace_bytes_max: 140 * 1024 * 1024,
            trace_memory_max: 512 * 1024 * 1024,
            trace_blocks_max: 100,
            traces_max: 10_000,
            trace_files_max: 10_000,
            trace_file_bytes_max: 1 << 30,
            // A few blocks as mainnet has them.
            trace_folder_bytes_max: 16 << 30,
            pool_bytes_max: 8 * 1024 * 1024,
            proof_blocks_max: 100_000,
            proof_changes_max: 200_000,
            witness_bytes_max: 64 * 1024 * 1024,
            filters_max: 1_024,
            filter_idle_max: Duration::from_secs(300),
            subscriptions_max: 16_384,
            terms_max: 131_072,
            // With a block in 12 s it is the bytes that bound this, to some minutes.
            kept_moves_max: 256,
            kept_move_bytes_max: 64 * 1024 * 1024,
            // More than one head makes executable at a time, unless they are huge.
            kept_txs_max: 16_384,
            kept_tx_bytes_max: 16 * 1024 * 1024,
            sync_waits_max: 256,
            // Two slots and a half: long enough for a block to come.
            sync_wait_max: Duration::from_secs(30),
            // The next four are those of go-ethereum.
            filter_values_max: 1_000,
            receipt_hashes_max: 200,
            percentiles_max: 100,
            storage_keys_max: 1_024,
            overridden_accounts_max: 1_024,
            overridden_slots_max: 16_384,
            messages_max: 1_024,
            // As the leading clients have it.
            simulated_blocks_max: 256,
            simulated_calls_max: 10_000,
            output_bytes_max: 32 * 1024 * 1024,
            // Source: go-ethereum, `eth/api_debug.go`, `AccountRangeMaxResults`.
            page_accounts_max: 256,
            page_slots_max: 1_024,
            modified_blocks_max: 1_024,
            modified_accounts_max: 100_000,
            page_txs_max: 1_000,
            searched_txs_max: 100,
            searched_blocks_max: 256,
            testing_txs_max: 20_000,
            explain_threads_max: 4,
            are_sent_local: true,
        }
    }
}

/// Enough to keep a disk busy beside the cores: each has a thread, and the memory of one.
fn reading_calls_max() -> usize {
    (4 * cores()).clamp(16, 64)
}

/// At least one.
fn half_of_the_cores() -> usize {
    (cores() / 2).max(1)
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

/// What the methods work with. Copies share all but their patience.
#[derive(Clone)]
pub(crate) struct Context {
    engine: Engine,
    limits: Limits,
    /// Codes that calls have run.
    codes: Arc<CodeCache>,
    permits: Permits,
    /// The folder of the node's data, where it has one.
    datadir: Option<Arc<Path>>,
    /// Where traces may be written to files, if anywhere.
    trace_folder: Option<Arc<TraceFolder>>,
    /// The tip that was suggested last, and for which head.
    tip: Arc<Mutex<Option<(B256, u128)>>>,
    /// What goes on between calls.
    live: Arc<Live>,
    /// The maker of the blocks, on a chain for development.
    dev: Option<Dev>,
    /// Of the call that this copy is for.
    patience: Patience,
    /// Where its answer may be sent while it is made.
    outlet: Option<Outlet>,
}

/// What a method gives.
type Answer = Result<Box<JsonRawValue>, ErrorObjectOwned>;
/// A method.
type Method = fn(&Context, Args) -> Answer;

/// Methods by name, and what each needs to run.
type Table = &'static [(&'static str, Class, Method)];

/// All methods. Which of them a server has is said by what is before the `_` of their names, but
/// for what Otterscan asks of Erigon.
const METHODS: &[Table] = &[
    admin::METHODS,
    debug::METHODS,
    debug::trace::METHODS,
    eth::METHODS,
    fugue::METHODS,
    net::METHODS,
    ots::METHODS,
    testing::METHODS,
    trace::METHODS,
    txpool::METHODS,
    web3::METHODS,
];

/// APIs that each server of a chain for development has, whatever its own are: tools look into the
/// pool.
const DEV_APIS: &[&str] = &["txpool"];

/// Whether there is a method of this name.
fn has_method(name: &str) -> bool {
    METHODS.iter().copied().flatten().any(|(known, ..)| *known == name)
}

/// What a method needs to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Nothing: it answers from memory, at once.
    Immediate,
    /// A thread, since it reads the store or takes long.
    Reading,
    /// The same, and a permit of those that look through many blocks or accounts.
    Searching,
    /// A thread, and a permit of those that run code.
    Executing,
    /// The same, and a permit of those that trace it instead; and more time.
    Tracing,
    /// A thread, and the turn to change a chain for development; none of those that read.
    Changing,
}

impl Class {
    /// How long a method may take.
    const fn time_max(self, limits: &Limits) -> Duration {
        match self {
            Self::Immediate
            | Self::Reading
            | Self::Searching
            | Self::Executing
            | Self::Changing => limits.call_time_max,
            Self::Tracing => limits.trace_time_max,
        }
    }
}

/// The methods over a chain.
///
/// # Errors
/// Only if two methods had one name.
pub(crate) fn module(context: Context) -> Result<RpcModule<Context>, RegisterMethodError> {
    let (has_datadir, is_dev) = (context.datadir.is_some(), context.dev.is_some());
    let mut module = register(context, METHODS)?;
    if !has_datadir {
        module.remove_method(admin::DATADIR);
    }
    if is_dev {
        // There they are others: they have keys, and forget what came after a block.
        for &(name, ..) in dev::METHODS {
            module.remove_method(name);
        }
    }
    module.register_async_method("eth_sendRawTransactionSync", |params, context, _| {
        eth::send_raw_sync(params, context)
    })?;
    subscriptions::register(&mut module)?;
    Ok(module)
}

/// What a chain for development has besides; nothing on all others.
///
/// # Errors
/// Only if two methods had one name.
pub(crate) fn dev_module(context: Context) -> Result<RpcModule<Context>, RegisterMethodError> {
    let tables: &[Table] = if context.dev.is_some() { &[dev::METHODS] } else { &[] };
    register(context, tables)
}

fn register(context: Context, tables: &[Table]) -> Result<RpcModule<Context>, RegisterMethodError> {
    let mut module = RpcModule::new(context);
    for &(name, class, method) in tables.iter().copied().flatten() {
        if class == Class::Immediate {
            module.register_method(name, move |params, context, _| -> Answer {
                method(context, Args::new(&params)?)
            })?;
        } else if class == Class::Tracing {
            module.register_async_method(name, move |params, context, extensions| {
                let offer = extensions.get::<Offer>().cloned();
                in_pieces(context, offer, move |context| method(context, Args::new(&params)?))
            })?;
        } else {
            module.register_async_method(name, move |params, context, _| {
                on_a_thread(context, class, move |context| method(context, Args::new(&params)?))
            })?;
        }
    }
    Ok(module)
}

/// Waits for permits, and works where that may block.
async fn on_a_thread<T: Send + 'static>(
    context: Arc<Context>,
    class: Class,
    work: impl FnOnce(&Context) -> Result<T, ErrorObjectOwned> + Send + 'static,
) -> Result<T, ErrorObjectOwned> {
    let (run, waiting) = start(context, class, work).await?;
    let answer = run.await.unwrap_or_else(|failure| Err(error::internal(failure)));
    drop(waiting);
    answer
}

/// The same for what traces: where the server takes the answer piece by piece, it may be sent while
/// it is made.
async fn in_pieces(
    context: Arc<Context>,
    offer: Option<Offer>,
    work: impl FnOnce(&Context) -> Answer + Send + 'static,
) -> Answer {
    let Some(offer) = offer else { return on_a_thread(context, Class::Tracing, work).await };
    let (outlet, inlet) = offer.open();
    let work = move |context: &Context| {
        let context = Context { outlet: Some(outlet.clone()), ..context.clone() };
        outlet.end(work(&context))
    };
    let (mut run, waiting) = start(context, Class::Tracing, work).await?;
    let ended = tokio::select! {
        () = inlet.begun() => None,
        ended = &mut run => Some(ended),
    };
    match ended {
        Some(answer) if !inlet.has_begun() => {
            answer.unwrap_or_else(|failure| Err(error::internal(failure)))
        }
        _ => {
            offer.accept(Streamed::new(inlet, waiting));
            Ok(Streamed::placeholder())
        }
    }
}

/// Begins work where it may block, and gives what says that its caller waits for it.
async fn start<T: Send + 'static>(
    context: Arc<Context>,
    class: Class,
    work: impl FnOnce(&Context) -> Result<T, ErrorObjectOwned> + Send + 'static,
) -> Result<(JoinHandle<Result<T, ErrorObjectOwned>>, Waiting), ErrorObjectOwned> {
    let permits = context.permits.take(class).await?;
    // Dropped with this future when the caller hangs up.
    let waiting = Waiting(Arc::default());
    let time_max = class.time_max(&context.limits);
    let patience = Patience::new(time_max, Arc::clone(&waiting.0));
    let context = Context { patience, ..Context::clone(&context) };
    let run = tokio::task::spawn_blocking(move || {
        let answer = work(&context);
        drop(permits);
        answer
    });
    Ok((run, waiting))
}

/// The answer with this value.
fn json<T: Serialize + ?Sized>(value: &T) -> Answer {
    to_json_raw_value(value).map_err(error::internal)
}

impl Context {
    /// Of a node; its copies share their limits.
    pub(crate) fn new(engine: Engine, limits: Limits) -> Self {
        Self {
            live: Arc::new(Live::new(&engine, &limits)),
            engine,
            limits,
            codes: Arc::new(CodeCache::new()),
            permits: Permits::new(&limits),
            datadir: None,
            trace_folder: None,
            tip: Arc::default(),
            dev: None,
            patience: Patience::default(),
            outlet: None,
        }
    }

    /// Of a chain for development.
    pub(crate) fn with_dev(mut self, chain: Arc<dyn DevChain>) -> Self {
        self.dev = Some(Dev::new(chain));
        self
    }

    /// APIs that each server has, whatever its own are.
    pub(crate) const fn own_apis(&self) -> &'static [&'static str] {
        if self.dev.is_some() { DEV_APIS } else { &[] }
    }

    /// With another origin of the transactions that are sent.
    pub(crate) fn with_sent_local(mut self, are_sent_local: bool) -> Self {
        self.limits.are_sent_local = are_sent_local;
        self
    }

    /// With the folder of the node's data.
    pub(crate) fn with_datadir(mut self, datadir: &Path) -> Self {
        self.datadir = Some(datadir.into());
        self
    }

    /// With a folder for traces that are asked for as files.
    ///
    /// # Errors
    /// If it cannot be made or read.
    pub(crate) fn with_trace_files(mut self, folder: &Path) -> io::Result<Self> {
        self.trace_folder = Some(Arc::new(TraceFolder::open(folder)?));
        Ok(self)
    }

    /// For a call that takes no longer than that, if it is given.
    fn at_most(&self, time_max: Option<Duration>) -> Self {
        let mut context = self.clone();
        if let Some(time_max) = time_max {
            context.patience = context.patience.at_most(time_max);
        }
        context
    }

    /// The chain at the latest fork choice.
    fn view(&self) -> Arc<ChainView> {
        self.engine.view()
    }

    /// How far the tries of a state may be taken back, while `check` says so.
    fn reach<'c>(&self, check: &'c (dyn Fn() -> Result<(), String> + Sync)) -> Reach<'c> {
        let Limits { proof_blocks_max, proof_changes_max, .. } = self.limits;
        Reach { blocks_max: proof_blocks_max, changes_max: proof_changes_max, check }
    }

    /// The chain that has a block, and its number there, to read the state after it: at `pending`
    /// that of the pending block, where there is one. `None` if the block is not known.
    fn chain(&self, block: &BlockRef) -> Result<Option<(Arc<ChainView>, u64)>, ErrorObjectOwned> {
        if *block == BlockRef::Tag(Tag::Pending)
            && let Some(view) = eth::pending::view(self)?
        {
            let number = view.head().number;
            return Ok(Some((view, number)));
        }
        block.chain(self.view())
    }

    /// The same of a block that must be known.
    fn chain_with_state(
        &self,
        block: &BlockRef,
    ) -> Result<(Arc<ChainView>, u64), ErrorObjectOwned> {
        self.chain(block)?.ok_or_else(error::block_not_found)
    }

    /// Reads the state after a block.
    fn with_state<T>(
        &self,
        block: &BlockRef,
        read: impl FnOnce(&dyn StateView) -> Result<T, StateError>,
    ) -> Result<T, ErrorObjectOwned> {
        let (view, number) = self.chain_with_state(block)?;
        let patience = &self.patience;
        let read = view.with_state(number, |state| read(&patience.guard(state)));
        let read = read.map_err(error::of_chain)?;
        read.ok_or_else(error::block_not_found)?.map_err(error::of_state)
    }

    /// The nonce after the sender's transactions in the chain and in the pool.
    fn next_nonce(&self, sender: Address) -> Result<u64, ErrorObjectOwned> {
        // First the pool: what leaves it for a block is in the view that is taken then.
        let pooled = self.engine.pool().next_nonce(sender);
        let account = self.with_state(&BlockRef::default(), |state| state.account(sender))?;
        let nonce = account.unwrap_or_default().nonce;
        Ok(pooled.map_or(nonce, |next| next.max(nonce)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_in_the_order_of_names() {
        for table in METHODS {
            let names: Vec<&str> = table.iter().map(|(name, ..)| *name).collect();
            assert!(names.is_sorted(), "{names:?}");
        }
    }
}
