//! A chain of its own, without a consensus client: ten accounts with funds, and blocks when there
//! is something to include, by the clock, or when somebody asks for them.
//!
//! [`Dev`] plays the consensus client: it asks the engine to build on the head, and hands it back
//! what it built, as any payload. One at a time has it do so, whose turn it is: whoever sends a
//! transaction, or calls for blocks over JSON-RPC ([`control`]); and the thread `fugue-dev`, by the
//! clock, and for transactions that came another way.
//!
//! There are two locks. That of the turn is held while blocks are made, and taken first; that of
//! the [`Manner`] in which they are made is never held for long, so that who only asks is answered.

mod control;
mod genesis;
mod making;
mod settings;

pub(crate) use genesis::{ACCOUNTS, KEYS, genesis};

use crate::UsageError;
use fugue_chain::{DevContent, Engine, Head};
use fugue_rpc::DevInterval;
use fugue_txpool::{Observer, PooledTx};
use fugue_types::{Address, B256};
use fugue_workload::Wallet;
use settings::{Settings, drawn};
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
    /// Who has it changes the chain, and what its blocks are made by.
    turn: Mutex<Snapshots>,
    manner: Mutex<Manner>,
    /// Wakes the thread.
    wake: SyncSender<()>,
    is_ended: AtomicBool,
}

/// How blocks are made, and whose transactions they have.
struct Manner {
    settings: Settings,
    impersonated: BTreeSet<Address>,
    impersonates_all: bool,
    is_logging: bool,
    /// Names the chain from its beginning to the next.
    instance: B256,
}

/// What can be gone back to.
#[derive(Default)]
struct Snapshots {
    by_name: BTreeMap<u64, Kept>,
    /// Name of the one that was made last.
    last: u64,
}

/// What a snapshot remembers.
#[derive(Debug, Clone)]
struct Kept {
    head: Head,
    settings: Settings,
    /// When it was made, in seconds.
    taken: u64,
}

impl Manner {
    const fn new(settings: Settings, instance: B256) -> Self {
        Self {
            settings,
            impersonated: BTreeSet::new(),
            impersonates_all: false,
            is_logging: true,
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
        let manner = Mutex::new(Manner::new(first.clone(), making::instance(&engine)));
        let turn = Mutex::default();
        // A full channel already wakes the thread.
        let (wake, woken) = sync_channel(1);
        let is_ended = AtomicBool::new(false);
        Ok((Arc::new(Self { engine, wallets, first, turn, manner, wake, is_ended }), woken))
    }

    /// Waits for the turn. Whoever has panicked with it has left it whole: what it holds is changed
    /// at once.
    fn turn(&self) -> MutexGuard<'_, Snapshots> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nobody may make a block with it. It is as whole as the turn.
    fn manner(&self) -> MutexGuard<'_, Manner> {
        self.manner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// No more blocks are made.
    fn is_ended(&self) -> bool {
        self.is_ended.load(Ordering::Acquire)
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
    let mut ticking: Option<(DevInterval, Instant)> = None;
    let drawn = |interval| drawn(interval, dev.engine.view().head().hash);
    loop {
        let interval = dev.manner().settings.interval;
        ticking = match (interval, ticking) {
            (None, _) => None,
            (Some(interval), Some((known, at))) if known == interval => Some((known, at)),
            (Some(interval), _) => Some((interval, Instant::now() + drawn(interval))),
        };
        let wait =
            ticking.map_or(LOOK_EVERY, |(_, at)| at.saturating_duration_since(Instant::now()));
        // If nobody could wake it any more, it would not be here: `dev` can.
        let _ = woken.recv_timeout(wait.min(LOOK_EVERY));
        if dev.is_ended() {
            return;
        }
        let _turn = dev.turn();
        let settings = dev.manner().settings.clone();
        if let Some((interval, at)) = &mut ticking
            && Instant::now() >= *at
            && settings.interval == Some(*interval)
        {
            // What went wrong was told.
            let _ = dev.make_block(DevContent::Pool);
            *at += drawn(*interval);
            // After a pause, by a debugger or a sleeping machine, blocks are not made up for.
            *at = (*at).max(Instant::now());
        }
        if settings.is_automine {
            dev.include_pending();
        }
    }
}
