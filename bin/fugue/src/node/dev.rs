//! A chain of its own, without a consensus client: ten accounts with funds, and blocks when there
//! is something to include, by the clock, or when somebody asks for them.
//!
//! [`Dev`] plays the consensus client: it asks the engine to build on the head, and hands it back
//! what it built, as any payload. One at a time has it do so, under its lock: whoever sends a
//! transaction, or calls for blocks over JSON-RPC ([`control`]); and the thread `fugue-dev`, by the
//! clock, and for transactions that came another way.

mod control;
mod genesis;
mod making;
mod settings;

pub(crate) use genesis::{ACCOUNTS, KEYS, genesis};

use crate::UsageError;
use fugue_chain::{Engine, Head};
use fugue_txpool::{Observer, PooledTx};
use fugue_types::{Address, B256};
use fugue_workload::Wallet;
use settings::Settings;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// Where the thread that makes blocks is woken.
pub(crate) type Woken = Receiver<()>;

/// Longest wait before it is looked whether there is anything to include, if nobody tells.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Who makes the blocks.
pub(crate) struct Dev {
    engine: Engine,
    wallets: Vec<Wallet>,
    /// What the settings are at the start, and after a reset.
    first: Settings,
    state: Mutex<State>,
    /// Wakes the thread.
    wake: SyncSender<()>,
    is_ended: AtomicBool,
}

/// What changes with the calls; whoever has it makes the blocks.
struct State {
    settings: Settings,
    impersonated: BTreeSet<Address>,
    impersonates_all: bool,
    is_logging: bool,
    snapshots: BTreeMap<u64, Kept>,
    /// Name of the snapshot that was made last.
    last_snapshot: u64,
    /// Names the chain from its beginning to the next.
    instance: B256,
}

/// What a snapshot remembers.
#[derive(Debug, Clone)]
struct Kept {
    head: Head,
    settings: Settings,
    /// When it was made, in seconds.
    taken: u64,
}

impl State {
    fn new(settings: Settings, instance: B256) -> Self {
        Self {
            settings,
            impersonated: BTreeSet::new(),
            impersonates_all: false,
            is_logging: true,
            snapshots: BTreeMap::new(),
            last_snapshot: 0,
            instance,
        }
    }
}

impl Dev {
    /// Makes blocks every `block_time`, or where that is `None`, when the pool has a transaction
    /// that can be included. What it gives besides is for [`Miner::start`].
    ///
    /// # Errors
    /// [`UsageError`] if a key is none: a defect of ours.
    pub(crate) fn new(
        engine: Engine,
        block_time: Option<Duration>,
    ) -> Result<(Arc<Self>, Woken), UsageError> {
        let wallet = |key: &&str| {
            let wallet = key.parse::<B256>().ok().and_then(Wallet::from_key);
            wallet.ok_or_else(|| UsageError("a key of the dev chain is none".to_owned()))
        };
        let wallets: Vec<Wallet> = KEYS.iter().map(wallet).collect::<Result<_, UsageError>>()?;
        let first = Settings::new(block_time);
        let state = Mutex::new(State::new(first.clone(), making::instance(&engine)));
        // A full channel already wakes the thread.
        let (wake, woken) = sync_channel(1);
        let is_ended = AtomicBool::new(false);
        Ok((Arc::new(Self { engine, wallets, first, state, wake, is_ended }), woken))
    }

    /// Whoever has panicked with it has left it whole: what it holds is changed at once.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        let _ = self.wake.try_send(());
    }
}

/// The thread that makes blocks.
pub(crate) struct Miner {
    dev: Arc<Dev>,
    thread: JoinHandle<()>,
    /// Wakes the thread when the pool has something to include, for as long as it is kept.
    _observer: Arc<Observer>,
}

impl Miner {
    /// Starts making blocks.
    ///
    /// # Errors
    /// If there is no thread to be had.
    pub(crate) fn start(dev: Arc<Dev>, woken: Woken) -> Result<Self, UsageError> {
        let wake = dev.wake.clone();
        let observer: Arc<Observer> = Arc::new(move |_: &Arc<PooledTx>| {
            let _ = wake.try_send(());
        });
        dev.engine.pool().on_pending(&observer);
        let worker = Arc::clone(&dev);
        let run = move || run(&worker, &woken);
        let thread = std::thread::Builder::new().name("fugue-dev".to_owned()).spawn(run);
        let thread = thread.map_err(|error| UsageError(format!("the dev chain: {error}")))?;
        Ok(Self { dev, thread, _observer: observer })
    }

    /// Ends the thread; a block that is being made is made to its end. The engine must be running.
    pub(crate) fn stop(self) {
        let Self { dev, thread, _observer } = self;
        dev.is_ended.store(true, Ordering::Release);
        dev.wake();
        let _ = thread.join();
    }
}

fn run(dev: &Dev, woken: &Woken) {
    // The interval, and when it ends next.
    let mut ticking: Option<(Duration, Instant)> = None;
    loop {
        let interval = dev.lock().settings.interval;
        ticking = match (interval, ticking) {
            (None, _) => None,
            (Some(interval), Some((known, at))) if known == interval => Some((known, at)),
            (Some(interval), _) => Some((interval, Instant::now() + interval)),
        };
        let wait =
            ticking.map_or(LOOK_EVERY, |(_, at)| at.saturating_duration_since(Instant::now()));
        // If nobody could wake it any more, it would not be here: `dev` can.
        let _ = woken.recv_timeout(wait.min(LOOK_EVERY));
        if dev.is_ended.load(Ordering::Acquire) {
            return;
        }
        let mut state = dev.lock();
        if let Some((interval, at)) = &mut ticking
            && Instant::now() >= *at
            && state.settings.interval == Some(*interval)
        {
            dev.make_and_tell(&mut state);
            *at += *interval;
            // After a pause, by a debugger or a sleeping machine, blocks are not made up for.
            *at = (*at).max(Instant::now());
        }
        if state.settings.is_automine {
            dev.include_pending(&mut state);
        }
    }
}
