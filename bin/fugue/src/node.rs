//! `fugue node`: a chain that a consensus client drives, and what serves it.
//!
//! | job | started when | gives | awaited where |
//! | --- | --- | --- | --- |
//! | the engine's threads | the store is open | verdicts and payloads | [`EngineThread::stop`] |
//! | `fugue-engine`, a runtime | before them | the server of the Engine API | [`Runtimes::end`] |
//! | `fugue-rpc`, a runtime | before them | public servers, metrics | [`Runtimes::end`] |
//! | `fugue-dev` ([`dev`]) | everything is served, with `--dev` | blocks | [`attend`] |
//! | a watch for signals | the runtimes are there | the first, then the end | [`watch`] |
//!
//! The Engine API has a runtime of its own, and the threads of the other one give way to everything
//! else ([`priority`]), so that public calls do not keep it waiting. The thread of the caller waits
//! for a signal or a failure, then ends everything in the opposite order.
//!
//! Exit codes: 0 after a signal, with all of the chain durable; 2 for bad settings, and also for a
//! database or a disk that fails, at the start or later; 130 or 143 after a second signal.

pub(crate) mod dev;
mod files;
mod log;
mod metrics;
mod observe;
mod options;
mod priority;
mod process;
mod servers;

pub(crate) use options::Options;
pub(crate) use priority::give_way;

use crate::{
    UsageError, Verdict,
    datadir::{AddressIndex, Begun, Datadir, JOURNAL, genesis, spec_of, usage},
};
use dev::{Dev, Miner, Woken};
use fugue_chain::{Chain, ChainOptions, Engine, EngineOptions, EngineThread, Head, pool_head};
use fugue_rpc::DevChain;
use fugue_storage::{Access, Store};
use fugue_txpool::Pool;
use metrics_exporter_prometheus::PrometheusHandle;
use observe::Observed;
use process::Process;
use servers::Servers;
use std::{
    io,
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tokio::{
    net::TcpListener,
    runtime::{Builder, Runtime},
    signal::unix::{Signal, SignalKind, signal},
    sync::watch::{Receiver, channel},
    time::{MissedTickBehavior, interval},
};
use tracing::{info, warn};

/// Threads that serve the Engine API.
const ENGINE_THREADS: usize = 2;
/// Threads that serve all others: what takes long runs on threads besides.
const RPC_THREADS: usize = 2;
/// Threads that read the store for public calls, beside those of the executor.
const CALL_READERS: usize = 64;
/// Between two looks at the engine.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Longest that the runtimes take to end.
const END_TIME: Duration = Duration::from_secs(2);
/// File in the data folder with the local transactions.
const LOCAL_TXS: &str = "transactions";

/// What `fugue node --help` says at its end.
pub(crate) const EXIT_CODES: &str = "Exit codes: 0 after SIGINT or SIGTERM; 2 for bad settings, \
                                     or a database or disk that fails; 130 or 143 after a second \
                                     signal, which ends the node at once";

/// All groups of public methods, as a flag names them.
pub(crate) fn all_apis() -> String {
    let names: Vec<&str> = options::Api::ALL.iter().map(|api| api.name()).collect();
    names.join(",")
}

/// Runs the command.
pub(crate) fn run(options: &Options) -> Result<Verdict, UsageError> {
    options.check()?;
    log::begin(&options.log)?;
    files::raise_limit(servers::sockets_max(options));
    let folder = Folder::new(options)?;
    let runtimes = Runtimes::new()?;
    // The start may take long, by its journal: a signal is heard from here on.
    let ended = Signals::listen(&runtimes.rpc)?;
    let opened = Opened::new(options, &folder.datadir)?;
    let metrics = match options.metrics {
        Some(address) => Some((address, metrics::install(&opened.name)?)),
        None => None,
    };
    let (engine, threads) = opened.start(options, folder.path())?;
    let served = serve(options, folder.path(), &runtimes, &engine, metrics, ended);
    let stopped = threads.stop();
    runtimes.end();
    served?;
    let head = stopped.map_err(usage)?;
    info!(number = head.number, hash = %head.hash, "stopped, all of the chain is durable");
    Ok(Verdict::Good)
}

/// The data folder; deleted at the end if the chain is not to be kept.
struct Folder {
    datadir: Datadir,
    /// Deletes the folder when this is dropped.
    _temporary: Option<TempDir>,
}

impl Folder {
    fn new(options: &Options) -> Result<Self, UsageError> {
        if let Some(datadir) = options.datadir.clone() {
            return Ok(Self { datadir: Datadir { datadir }, _temporary: None });
        }
        // With a name that nobody can foresee: in a container each start has the same process id.
        let temporary = tempfile::Builder::new()
            .prefix("fugue-dev-")
            .tempdir()
            .map_err(|error| UsageError::at(&std::env::temp_dir(), error))?;
        let datadir = temporary.path().to_owned();
        Ok(Self { datadir: Datadir { datadir }, _temporary: Some(temporary) })
    }

    fn path(&self) -> &Path {
        &self.datadir.datadir
    }
}

/// A store, and what a node is told of it as it begins.
struct Opened {
    store: Store,
    name: String,
}

impl Opened {
    fn new(options: &Options, folder: &Datadir) -> Result<Self, UsageError> {
        let readers = options.threads.count() + CALL_READERS;
        let first = match &options.chain {
            _ if options.dev.is_on => Some(dev::genesis(options.dev.chain_id)?),
            Some(chain) => Some(genesis(chain)?),
            None => None,
        };
        let index = if options.dev.is_on && !options.index_addresses {
            AddressIndex::Begun
        } else {
            AddressIndex::of_flag(options.index_addresses)
        };
        let (store, begun) = match &first {
            Some(first) => {
                let (store, _, begun) = folder.open_or_init(first, readers, index)?;
                (store, begun)
            }
            None => {
                let store = folder.open(Access::Write, readers)?;
                folder.check_index(&store, index)?;
                (store, Begun::Before)
            }
        };
        let spec = spec_of(&store)?;
        let name = spec.name().to_owned();
        let genesis = store.snapshot().map_err(usage)?.meta().genesis;
        let Head { number, hash } = store.head().map_err(usage)?;
        info!(
            version = env!("CARGO_PKG_VERSION"),
            chain = %name,
            chain_id = spec.chain_id(),
            %genesis,
            "fugue"
        );
        if begun == Begun::Configured {
            info!("the chain has another configuration from now on, that of --chain");
        }
        let is_new = begun == Begun::New;
        info!(number, %hash, is_new, datadir = %folder.datadir.display(), "head");
        Ok(Self { store, name })
    }

    /// Starts the engine.
    fn start(
        self,
        options: &Options,
        datadir: &Path,
    ) -> Result<(Engine, EngineThread), UsageError> {
        let spec = spec_of(&self.store)?;
        let spec = if options.dev.is_on { spec.for_dev() } else { spec };
        let threads = options.threads.count();
        let chain_options = ChainOptions {
            retention: options.retention,
            ..ChainOptions::following(options.mode, threads)
        };
        let snapshot = self.store.snapshot().map_err(usage)?;
        let head = self.store.head().map_err(usage)?;
        let (hash, header) = snapshot.header(head.number).map_err(usage)?;
        let pool = Pool::new(options.txpool.options(), pool_head(&spec, hash, &header));
        drop(snapshot);
        let chain = Chain::open(self.store, spec, chain_options).map_err(usage)?;
        let builder = &options.builder;
        let engine_options = EngineOptions {
            build_mode: options.mode,
            build_threads: threads,
            build_interval: Duration::from_millis(builder.interval_ms),
            gas_limit: builder.gas_limit,
            extra_data: builder.extra_data.clone(),
            journal: Some(datadir.join(JOURNAL)),
            local_txs: (!options.txpool.no_locals).then(|| datadir.join(LOCAL_TXS)),
            // On demand there is a block for every transaction, so none without.
            builds_empty_first: !options.dev.is_on,
            ..EngineOptions::default()
        };
        Engine::start(chain, Arc::new(pool), engine_options).map_err(usage)
    }
}

/// Serves the engine until a signal comes, or it has failed.
fn serve(
    options: &Options,
    datadir: &Path,
    runtimes: &Runtimes,
    engine: &Engine,
    metrics: Option<(SocketAddr, PrometheusHandle)>,
    mut ended: Receiver<bool>,
) -> Result<(), UsageError> {
    // The signal came while the chain was opened.
    if *ended.borrow() {
        return Ok(());
    }
    let dev = match options.dev.is_on {
        true => Some(Dev::new(engine.clone(), options.dev.block_time.map(Duration::from_secs))?),
        false => None,
    };
    // Before anybody can ask.
    if let Some((dev, _)) = &dev {
        dev.begin()?;
    }
    let control = dev.as_ref().map(|(dev, _)| Arc::clone(dev) as Arc<dyn DevChain>);
    let servers = Servers::start(options, datadir, runtimes, engine, control)?;
    let attended = attend(options, runtimes, engine, metrics, dev, &mut ended);
    servers.stop(runtimes);
    attended
}

/// Tells what the node does, and with `--dev` makes blocks, until it ends.
fn attend(
    options: &Options,
    runtimes: &Runtimes,
    engine: &Engine,
    metrics: Option<(SocketAddr, PrometheusHandle)>,
    dev: Option<(Arc<Dev>, Woken)>,
    ended: &mut Receiver<bool>,
) -> Result<(), UsageError> {
    observe_at(options, &metrics, runtimes, engine)?;
    let miner = if let Some((dev, woken)) = dev {
        warn!("everybody knows the keys of these accounts: they are for this chain alone");
        for (address, key) in dev::ACCOUNTS.iter().zip(dev::KEYS) {
            info!(%address, key = %format_args!("0x{key}"), "account with funds");
        }
        Some(Miner::start(dev, woken)?)
    } else {
        None
    };
    if metrics.is_some() {
        // Whoever asks once the node is ready is not told zeros.
        metrics::report(&engine.status(), &engine.pool().status(), Instant::now());
    }
    info!("ready");
    let metrics = metrics.map(|(_, handle)| handle);
    let watched = runtimes.rpc.block_on(watch(engine, metrics, ended));
    if let Some(miner) = miner {
        miner.stop();
    }
    watched
}

/// Serves metrics, if that is asked for.
fn observe_at(
    options: &Options,
    metrics: &Option<(SocketAddr, PrometheusHandle)>,
    runtimes: &Runtimes,
    engine: &Engine,
) -> Result<(), UsageError> {
    let Some((address, handle)) = metrics else { return Ok(()) };
    let fault = |error: io::Error| UsageError(format!("--metrics {address}: {error}"));
    let listener = runtimes.rpc.block_on(TcpListener::bind(address)).map_err(fault)?;
    let address = listener.local_addr().map_err(fault)?;
    let (judged, followed) = (engine.clone(), engine.clone());
    let is_alone = options.dev.is_on;
    let observed = Observed {
        metrics: handle.clone(),
        health: Box::new(move || judged.status().failed),
        ready: Box::new(move || {
            let status = followed.status();
            let last = status.last_forkchoice;
            let fault = status.failed.or_else(|| status.is_syncing.then(|| "syncing".to_owned()));
            fault.or_else(|| if is_alone { None } else { observe::silence(last, Instant::now()) })
        }),
    };
    runtimes.rpc.spawn(observe::serve(listener, Arc::new(observed)));
    info!(%address, "metrics at /metrics, /health and /ready");
    Ok(())
}

/// Looks at the engine until it has failed, or a signal comes.
async fn watch(
    engine: &Engine,
    metrics: Option<PrometheusHandle>,
    ended: &mut Receiver<bool>,
) -> Result<(), UsageError> {
    let started = Instant::now();
    let mut look = interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ended.wait_for(|is_told| *is_told) => return Ok(()),
            _ = look.tick() => {
                let status = engine.status();
                if let Some(metrics) = &metrics {
                    metrics::report(&status, &engine.pool().status(), started);
                    if let Some(process) = Process::this() {
                        metrics::report_process(&process);
                    }
                    metrics.run_upkeep();
                }
                if let Some(failure) = status.failed {
                    return Err(UsageError(format!("the engine has failed: {failure}")));
                }
            }
        }
    }
}

/// The two runtimes.
struct Runtimes {
    engine: Runtime,
    rpc: Runtime,
}

impl Runtimes {
    fn new() -> Result<Self, UsageError> {
        let engine = runtime("fugue-engine", ENGINE_THREADS).build().map_err(usage)?;
        // Its threads for blocking work, too, where public calls read the store and run code.
        let rpc = runtime("fugue-rpc", RPC_THREADS).on_thread_start(priority::give_way).build();
        Ok(Self { engine, rpc: rpc.map_err(usage)? })
    }

    /// Ends both; what is being answered has a little time.
    fn end(self) {
        self.engine.shutdown_timeout(END_TIME);
        self.rpc.shutdown_timeout(END_TIME);
    }
}

fn runtime(name: &str, threads: usize) -> Builder {
    let mut builder = Builder::new_multi_thread();
    builder.thread_name(name).worker_threads(threads).enable_all();
    builder
}

/// A signal that ends the node.
#[derive(Debug, Clone, Copy)]
struct Ended {
    name: &'static str,
    /// Of a process that ends at once.
    exit_code: i32,
}

/// The signals that end the node.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// From here on they are listened for. To be called within a runtime.
    fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Listens on a runtime, at once. The first signal is told to whoever waits for `true`. The
    /// next one ends the process: somebody does not want to wait.
    fn listen(runtime: &Runtime) -> Result<Receiver<bool>, UsageError> {
        let mut signals = runtime.block_on(async { Self::new() }).map_err(usage)?;
        let (tell, told) = channel(false);
        runtime.spawn(async move {
            let first = signals.next().await;
            info!(signal = first.name, "stopping");
            tell.send_replace(true);
            end_at_next(signals).await;
        });
        Ok(told)
    }

    /// The next one.
    async fn next(&mut self) -> Ended {
        tokio::select! {
            _ = self.interrupt.recv() => Ended { name: "SIGINT", exit_code: 130 },
            _ = self.terminate.recv() => Ended { name: "SIGTERM", exit_code: 143 },
        }
    }
}

/// Ends the process at the next signal.
#[expect(clippy::disallowed_methods, reason = "the thread that would return is what is waited for")]
async fn end_at_next(mut signals: Signals) {
    let Ended { name, exit_code } = signals.next().await;
    eprintln!("{name} again: ended at once; what was not durable is imported at the next start");
    std::process::exit(exit_code);
}
