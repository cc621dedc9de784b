//! Building payloads: first one without transactions, then better ones until one is asked for.
//!
//! One thread builds, with an executor of its own, on the state of the view in which the build was
//! begun: imports go on meanwhile. A newer build ends the one before; what that has stays to be
//! asked for, until [`BUILDS_MAX`] newer ones have begun.

use super::{
    BuildAttributes, BuiltPayload, EngineError, EngineOptions, PayloadId, Reply, Shared,
    ahead::Ahead,
    ground::Ground,
    outline::{CANDIDATES_MAX, Outline},
    pool::best_of_fork,
};
use crate::{
    ChainView, Head, ImportError,
    dev::{Amended, Amendment},
};
use alloy_rlp::Encodable;
use fugue_executor::{Built, Candidate, Executor, Mode};
use fugue_state::StateView;
use fugue_txpool::PooledTx;
use fugue_types::{B256, Header, keccak256};
use parking_lot::{Condvar, Mutex};
use std::{
    collections::{HashSet, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel},
    },
    time::{Duration, Instant},
};

/// Builds whose payloads can be asked for.
const BUILDS_MAX: usize = 4;
/// Calls that wait for the first payload of one build.
const WAITING_MAX: usize = 16;
/// Builds that wait for the thread.
const QUEUE_MAX: usize = 16;

/// Names a build by all that it is made with.
pub(crate) fn job_id(head: B256, attributes: &BuildAttributes) -> PayloadId {
    let BuildAttributes {
        timestamp,
        prev_randao,
        fee_recipient,
        withdrawals,
        parent_beacon_block_root,
        slot_number,
        target_gas_limit,
    } = attributes;
    let mut named = Vec::new();
    named.extend_from_slice(head.as_slice());
    named.extend_from_slice(&timestamp.to_be_bytes());
    named.extend_from_slice(prev_randao.as_slice());
    named.extend_from_slice(fee_recipient.as_slice());
    // What may be missing is told from what is zero or empty.
    named.push(u8::from(withdrawals.is_some()));
    withdrawals.as_deref().unwrap_or_default().to_vec().encode(&mut named);
    named.push(u8::from(parent_beacon_block_root.is_some()));
    named.extend_from_slice(parent_beacon_block_root.unwrap_or_default().as_slice());
    for number in [*slot_number, *target_gas_limit] {
        named.push(u8::from(number.is_some()));
        named.extend_from_slice(&number.unwrap_or_default().to_be_bytes());
    }
    let mut id = PayloadId::default();
    id.copy_from_slice(&keccak256(named)[..8]);
    id
}

/// A build.
pub(crate) struct Job {
    id: PayloadId,
    /// Taken when the build begins: a view keeps the store from reusing what it has.
    view: Mutex<Option<Arc<ChainView>>>,
    head: Head,
    parent: Header,
    attributes: BuildAttributes,
    wish: Option<Wish>,
    state: Mutex<JobState>,
}

/// What the author of a block wants to be otherwise, on a chain for development.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    pub(crate) base_fee: Option<u64>,
    pub(crate) gas_limit: Option<u64>,
    /// With it, the block has no transactions.
    pub(crate) amendment: Option<Arc<Amendment>>,
    /// Where it is kept once the block has a hash.
    pub(crate) amended: Arc<Amended>,
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Job").field("head", &self.head).finish_non_exhaustive()
    }
}

#[derive(Default)]
struct JobState {
    best: Option<Arc<BuiltPayload>>,
    failure: Option<String>,
    /// The payload was asked for.
    is_asked: bool,
    waiting: Vec<Reply<Result<Arc<BuiltPayload>, EngineError>>>,
}

impl Job {
    pub(crate) fn new(
        id: PayloadId,
        view: Arc<ChainView>,
        head: Head,
        parent: Header,
        attributes: BuildAttributes,
    ) -> Self {
        let view = Mutex::new(Some(view));
        Self { id, view, head, parent, attributes, wish: None, state: Mutex::default() }
    }

    pub(crate) fn with_wish(mut self, wish: Wish) -> Self {
        self.wish = Some(wish);
        self
    }

    /// Takes a payload, and answers whoever waits for one.
    fn put(&self, built: Result<BuiltPayload, String>) {
        let (waiting, answer) = {
            let mut state = self.state.lock();
            match built {
                // Who asks again gets what was given before.
                Ok(_) if state.is_asked && state.best.is_some() => {}
                Ok(payload) => state.best = Some(Arc::new(payload)),
                Err(failure) => state.failure = Some(failure),
            }
            let Some(answer) = state.answer() else { return };
            (std::mem::take(&mut state.waiting), answer)
        };
        for reply in waiting {
            reply(answer.clone());
        }
    }
}

impl JobState {
    fn answer(&self) -> Option<Result<Arc<BuiltPayload>, EngineError>> {
        match (&self.best, &self.failure) {
            (Some(best), _) => Some(Ok(best.clone())),
            (None, Some(failure)) => Some(Err(EngineError::Internal(failure.clone()))),
            (None, None) => None,
        }
    }
}

/// The builds that can be asked for.
#[derive(Debug)]
pub(crate) struct Builds {
    jobs: Mutex<VecDeque<Arc<Job>>>,
    queue: Mutex<Option<SyncSender<Arc<Job>>>>,
    /// Wakes the thread between two tries: there is a newer job, or the payload was asked for.
    woken: Condvar,
    /// Wakes it while nothing is to be built: there may be something to look ahead at, or to build.
    stirred: Condvar,
    wake: Mutex<()>,
    built: AtomicU64,
}

impl Builds {
    pub(crate) fn new() -> (Self, Receiver<Arc<Job>>) {
        let (queue, jobs) = sync_channel(QUEUE_MAX);
        let builds = Self {
            jobs: Mutex::default(),
            queue: Mutex::new(Some(queue)),
            woken: Condvar::new(),
            stirred: Condvar::new(),
            wake: Mutex::new(()),
            built: AtomicU64::new(0),
        };
        (builds, jobs)
    }

    /// Blocks that were built.
    pub(crate) fn count(&self) -> u64 {
        self.built.load(Ordering::Relaxed)
    }

    /// Begins a build, unless it has begun: the same attributes do not start it anew.
    pub(crate) fn begin(&self, job: Job) -> Result<(), EngineError> {
        let mut jobs = self.jobs.lock();
        // What has failed may be tried again.
        jobs.retain(|known| known.id != job.id || known.state.lock().failure.is_none());
        if jobs.iter().any(|known| known.id == job.id) {
            return Ok(());
        }
        let job = Arc::new(job);
        let queue = self.queue.lock();
        match queue.as_ref().map(|queue| queue.try_send(job.clone())) {
            Some(Ok(())) => {}
            Some(Err(TrySendError::Full(_))) => return Err(EngineError::Busy(QUEUE_MAX)),
            Some(Err(TrySendError::Disconnected(_))) | None => return Err(EngineError::Stopped),
        }
        if jobs.len() >= BUILDS_MAX {
            jobs.pop_front();
        }
        jobs.push_back(job);
        drop(jobs);
        self.wake();
        Ok(())
    }

    /// Answers with the best payload of a build, as soon as there is one.
    pub(crate) fn ask(&self, id: PayloadId, reply: Reply<Result<Arc<BuiltPayload>, EngineError>>) {
        let job = self.jobs.lock().iter().find(|job| job.id == id).cloned();
        let Some(job) = job else { return reply(Err(EngineError::UnknownPayload)) };
        let answer = {
            let mut state = job.state.lock();
            state.is_asked = true;
            match state.answer() {
                Some(answer) => answer,
                None if state.waiting.len() < WAITING_MAX => return state.waiting.push(reply),
                None => Err(EngineError::Busy(WAITING_MAX)),
            }
        };
        self.wake();
        reply(answer);
    }

    /// No more builds.
    pub(crate) fn close(&self) {
        *self.queue.lock() = None;
        self.wake();
    }

    fn wake(&self) {
        let _wake = self.wake.lock();
        self.woken.notify_all();
        self.stirred.notify_all();
    }

    /// Something has changed that is worth a look ahead.
    pub(crate) fn stir(&self) {
        let _wake = self.wake.lock();
        self.stirred.notify_all();
    }
}

/// The thread that builds.
pub(crate) struct Builder {
    executor: Executor,
    shared: Arc<Shared>,
    mode: Mode,
    time: Duration,
    interval: Duration,
    is_empty_first: bool,
    ahead: Ahead,
    ground: Option<Ground>,
}

impl Builder {
    pub(crate) fn new(executor: Executor, shared: Arc<Shared>, options: &EngineOptions) -> Self {
        Self {
            executor,
            shared,
            mode: options.build_mode,
            time: options.build_time,
            interval: options.build_interval,
            is_empty_first: options.builds_empty_first,
            ahead: Ahead::default(),
            ground: None,
        }
    }

    /// Builds what comes until no more comes, and looks ahead meanwhile.
    pub(crate) fn run(mut self, jobs: &Receiver<Arc<Job>>) {
        let mut next = None;
        while let Some(job) = next.take().or_else(|| self.wait(jobs)) {
            // A panic must not take the builder, and with it all later proposals, away.
            let build = || self.build(&job, jobs);
            match std::panic::catch_unwind(std::panic::AssertUnwindSafe(build)) {
                Ok(newer) => next = newer,
                Err(_) => job.put(Err("the builder panicked".to_owned())),
            }
        }
    }

    /// Looks ahead until there is a job; `None` if there will be none.
    fn wait(&mut self, jobs: &Receiver<Arc<Job>>) -> Option<Arc<Job>> {
        let shared = self.shared.clone();
        loop {
            match jobs.try_recv() {
                Ok(job) => return Some(job),
                Err(TryRecvError::Disconnected) => return None,
                Err(TryRecvError::Empty) => {}
            }
            if self.ahead.patience(&shared, self.ground.as_ref()) == Some(Duration::ZERO) {
                self.look_ahead();
                continue;
            }
            // As in `improve`: what comes from here on either is seen, or wakes.
            let mut wake = shared.builds.wake.lock();
            match jobs.try_recv() {
                Ok(job) => return Some(job),
                Err(TryRecvError::Disconnected) => return None,
                Err(TryRecvError::Empty) => {}
            }
            match self.ahead.patience(&shared, self.ground.as_ref()) {
                Some(Duration::ZERO) => {}
                Some(patience) => _ = shared.builds.stirred.wait_for(&mut wake, patience),
                None => shared.builds.stirred.wait(&mut wake),
            }
        }
    }

    fn look_ahead(&mut self) {
        let (shared, executor) = (&*self.shared, &self.executor);
        let (ahead, mut ground) = (&mut self.ahead, self.ground.take());
        let go_on = || {
            ahead.go_on(shared, executor, &mut ground);
            ground
        };
        match std::panic::catch_unwind(std::panic::AssertUnwindSafe(go_on)) {
            Ok(ground) => self.ground = ground,
            Err(_) => self.ahead.give_up(&self.shared),
        }
    }

    /// Makes a job better and better; gives a newer one that came meanwhile.
    fn build(&mut self, job: &Job, jobs: &Receiver<Arc<Job>>) -> Option<Arc<Job>> {
        let until = Instant::now() + self.time;
        let ground = self.ground.take();
        let mut site = match Site::open(self, job, ground) {
            Ok(site) => site,
            Err(error) => {
                job.put(Err(error));
                return None;
            }
        };
        let newer = self.improve(&mut site, until, job, jobs);
        self.ground = site.ground;
        newer
    }

    fn improve(
        &self,
        site: &mut Site<'_>,
        until: Instant,
        job: &Job,
        jobs: &Receiver<Arc<Job>>,
    ) -> Option<Arc<Job>> {
        // The pool at the time of the newest try.
        let mut seen = None;
        let built = if self.is_empty_first {
            site.build(Vec::new(), until)
        } else {
            seen = Some(self.shared.pool.version());
            site.build_from_pool(until)
        };
        let is_broken = built.is_err();
        self.put(job, built);
        if is_broken {
            return None;
        }
        loop {
            match jobs.try_recv() {
                Ok(newer) => return Some(newer),
                Err(TryRecvError::Disconnected) => return None,
                Err(TryRecvError::Empty) => {}
            }
            if job.state.lock().is_asked || Instant::now() >= until {
                return None;
            }
            let version = self.shared.pool.version();
            if seen.replace(version) != Some(version) {
                let built = site.build_from_pool(until);
                let is_better = |built: &BuiltPayload| {
                    job.state.lock().best.as_ref().is_none_or(|best| built.value >= best.value)
                };
                match built {
                    Ok(built) if is_better(&built) => self.put(job, Ok(built)),
                    Ok(_) => {}
                    // The payload before is still good.
                    Err(_) => return None,
                }
            }
            // Whoever wakes holds the lock after the job was sent, or the payload asked for: either
            // that is seen here, or the wait is woken.
            let mut wake = self.shared.builds.wake.lock();
            match jobs.try_recv() {
                Ok(newer) => return Some(newer),
                Err(TryRecvError::Disconnected) => return None,
                Err(TryRecvError::Empty) => {}
            }
            if !job.state.lock().is_asked {
                self.shared.builds.woken.wait_for(&mut wake, self.interval);
            }
        }
    }

    fn put(&self, job: &Job, built: Result<BuiltPayload, String>) {
        let is_built = built.is_ok();
        job.put(built);
        self.shared.builds.built.fetch_add(u64::from(is_built), Ordering::Relaxed);
    }
}

/// Where a block is built: on the state after its parent.
struct Site<'b> {
    builder: &'b Builder,
    outline: Outline,
    head: Head,
    view: Arc<ChainView>,
    wish: Option<Wish>,
    /// `None` after a failure.
    ground: Option<Ground>,
}

impl<'b> Site<'b> {
    fn open(builder: &'b Builder, job: &Job, earlier: Option<Ground>) -> Result<Self, String> {
        let Job { view, head, parent, attributes, wish, .. } = job;
        let view = view.lock().take().ok_or("the build has begun before")?;
        let Shared { spec, gas_limit, extra_data, .. } = &*builder.shared;
        let mut outline =
            Outline::new(spec, *head, parent, attributes, *gas_limit, extra_data.clone());
        if let Some(wish) = wish {
            let header = &mut outline.header;
            header.gas_limit = wish.gas_limit.unwrap_or(header.gas_limit);
            header.base_fee_per_gas = wish.base_fee.or(header.base_fee_per_gas);
        }
        let pool = builder.executor.pool();
        let ground = Ground::at(*head, &view, earlier, pool).map_err(|it| it.to_string())?;
        let (head, wish, ground) = (*head, wish.clone(), Some(ground));
        Ok(Self { builder, outline, head, view, wish, ground })
    }

    /// The state of the parent, its tries as they are after it.
    fn take_ground(&mut self) -> Result<Ground, ImportError> {
        let Self { builder, head, view, ground, .. } = self;
        let pool = builder.executor.pool();
        if let Some(mut ground) = ground.take()
            && ground.take_back(pool).is_ok()
        {
            return Ok(ground);
        }
        Ground::at(*head, view, None, pool)
    }

    fn build_from_pool(&mut self, until: Instant) -> Result<BuiltPayload, String> {
        if self.amendment().is_some() {
            return self.build(Vec::new(), until);
        }
        let Outline { header, rules, .. } = &self.outline;
        let best = best_of_fork(&self.builder.shared.pool, header, rules);
        let candidates: Vec<_> = best.take(CANDIDATES_MAX).collect();
        self.build(candidates, until)
    }

    fn amendment(&self) -> Option<Arc<Amendment>> {
        self.wish.as_ref()?.amendment.clone()
    }

    /// A block of some of the candidates.
    fn build(
        &mut self,
        candidates: Vec<Arc<PooledTx>>,
        until: Instant,
    ) -> Result<BuiltPayload, String> {
        let mut ground = self.take_ground().map_err(|error| error.to_string())?;
        let amendment = self.amendment();
        let Self { builder, outline, wish, .. } = self;
        let (draft, rules, limits) = (outline.draft(), &outline.rules, outline.limits(Some(until)));
        let footprints = builder.shared.footprints.of(candidates.iter().map(|pooled| &pooled.hash));
        let tried = candidates.iter().zip(footprints).map(|(pooled, footprint)| {
            let (tx, sender) = (pooled.tx.clone(), pooled.sender);
            Candidate { tx, sender, footprint }
        });
        let tried: Vec<_> = tried.collect();
        let (executor, mode) = (&builder.executor, builder.mode);
        let build =
            |view: &dyn StateView| executor.build(mode, &draft, tried, rules, view, &limits);
        let call = |view: &dyn StateView| match &amendment {
            Some(amendment) => build(&amendment.over(view)),
            None => build(view),
        };
        let built = ground.with_view(call).map_err(|error| error.to_string())?;
        let Built { transactions, senders: _, taken, refused: _, mut outcome, fees, report: _ } =
            built.map_err(|error| error.to_string())?;
        if let Some(amendment) = &amendment {
            let whole = amendment.followed_by(&outcome.diff);
            outcome.diff = whole.map_err(|error| error.to_string())?;
        }

        let state_root =
            ground.root_after(&outcome.diff, executor.pool()).map_err(|error| error.to_string())?;
        self.ground = Some(ground);
        // Of those that were taken, the ones with blobs.
        let taken: HashSet<usize> = taken.into_iter().collect();
        let sidecars = candidates.iter().enumerate();
        let sidecars = sidecars
            .filter(|(index, _)| taken.contains(index))
            .filter_map(|(_, pooled)| pooled.sidecar.clone())
            .collect();
        let payload = outline.seal(transactions, outcome, fees, state_root, sidecars);
        if let (Some(wish), Some(amendment)) = (wish, amendment) {
            wish.amended.insert(payload.block.hash(), amendment);
        }
        Ok(payload)
    }
}

#[cfg(test)]
mod tests;
