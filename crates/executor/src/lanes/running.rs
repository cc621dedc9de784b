//! A worker: it runs its share of the block in one lane after the other.

use super::{
    Lane, LaneTx, Shared,
    chain::Begun,
    claims::{Claim, Claims},
    first::Noted,
    lessons::Log,
    listening::{Listener, ListeningReader},
    marks::{Dependence, Mark},
    payments::PaymentLane,
};
use crate::{BlockError, FallbackCause, rerun::timed};
use fugue_evm::{Executed, Fault, FeePayment, Kernel, Touched};
use fugue_scheduler::Ran;
use fugue_types::Address;
use std::{sync::atomic::Ordering, time::Duration};

/// Times that a worker that has to wait looks whether it still has to, before it asks again; and
/// that it asks before it sleeps between two times, and for how long: whoever asks holds the lock
/// that those need who run.
const LOOKS_MAX: u32 = 16;
const ASKS_MAX: u32 = 2;
const SLEEP: Duration = Duration::from_micros(30);

/// A kernel that runs a lane.
pub(super) type LaneKernel<'l> = Kernel<'l, ListeningReader<'l>>;

/// A lane that is run, and the ledger beside it.
pub(super) struct Running<'l> {
    pub(super) kernel: LaneKernel<'l>,
    pub(super) txs: Vec<LaneTx>,
    noted: Vec<usize>,
    pub(super) assumed: Vec<Address>,
    worker: usize,
    log: Log,
    listener: Listener,
    /// The ledger; `None` as long as no payment was tried.
    pub(super) payments: Option<PaymentLane<'l>>,
    /// What ran last, in either.
    last: Option<usize>,
    /// What ran before anybody could be told.
    untold: Vec<(usize, Noted)>,
}

/// Runs the first transactions of the block, until it is known who runs what.
pub(super) fn run_first<'l>(shared: &Shared<'l>) -> Option<Running<'l>> {
    let mut lane = shared.first.is_any().then(|| Running::new(shared, 0))?;
    let mut next = Some(0);
    while let Some(index) = next.filter(|_| !shared.is_over.load(Ordering::Relaxed)) {
        if let Err(cause) = lane.run(shared, None, index) {
            shared.fail(cause);
        }
        next = shared.first.next();
    }
    Some(lane)
}

/// Runs what is a worker's to run, in one lane after the other, of which the first one may have run
/// something before. Gives what of a chain can be gone on with.
pub(super) fn run_lanes<'l>(
    shared: &Shared<'l>,
    worker: usize,
    mut lane: Option<Running<'l>>,
) -> Option<Begun<'l>> {
    let Some(claims) = shared.claims() else { return lane?.stop(shared, None) };
    if let Some(first) = &mut lane
        && let Err(cause) = first.tell_all(claims)
    {
        return lane?.stop(shared, Some(cause));
    }
    let mut batch = Vec::new();
    let mut asked = 0_u32;
    loop {
        let last = lane.as_ref().and_then(|lane| lane.last);
        match claims.claim(worker, last, &mut batch) {
            Claim::Run => asked = 0,
            Claim::Look => {
                claims
                    .look_closely(&shared.prepared.txs, || !shared.is_over.load(Ordering::Relaxed));
                continue;
            }
            Claim::Wait(_) if shared.is_over.load(Ordering::Relaxed) => break,
            Claim::Wait(index) => {
                let goes_on = || !shared.is_over.load(Ordering::Relaxed) && claims.is_unsure(index);
                (0..LOOKS_MAX).take_while(|_| goes_on()).for_each(|_| std::thread::yield_now());
                asked = asked.saturating_add(1);
                if asked >= ASKS_MAX && goes_on() {
                    std::thread::sleep(SLEEP);
                }
                continue;
            }
            Claim::End => break,
        }
        if last.zip(batch.first()).is_some_and(|(last, first)| last > *first) {
            lane.take()?.end(shared);
        }
        let mut running = lane.take().unwrap_or_else(|| Running::new(shared, worker));
        for index in &batch {
            let cause = if shared.is_over.load(Ordering::Relaxed) {
                None
            } else if let Err(cause) = running.run(shared, Some(claims), *index) {
                Some(cause)
            } else {
                continue;
            };
            return running.stop(shared, cause);
        }
        lane = Some(running);
    }
    if shared.is_over.load(Ordering::Relaxed) {
        return lane?.stop(shared, None);
    }
    lane?.end(shared);
    None
}

impl<'l> Running<'l> {
    pub(super) fn new(shared: &Shared<'l>, worker: usize) -> Self {
        let Shared { rules, header, codes, view, published, .. } = *shared;
        let lane = published.begin();
        let reader = ListeningReader::new(view, published, lane);
        let mut kernel = Kernel::new(rules, header, codes, reader, FeePayment::Deferred);
        kernel.note_touches(shared.rooms.lock().pop().unwrap_or_default());
        kernel.use_room(shared.journals.lock().pop().unwrap_or_default());
        Self {
            kernel,
            txs: Vec::new(),
            noted: Vec::new(),
            assumed: Vec::new(),
            worker,
            log: Log::default(),
            listener: Listener::new(lane),
            payments: None,
            last: None,
            untold: Vec::new(),
        }
    }

    /// Runs one transaction, above those before it in the lane, or in the ledger. Without claims
    /// nobody is told of it.
    pub(super) fn run(
        &mut self,
        shared: &Shared<'l>,
        claims: Option<&Claims>,
        index: usize,
    ) -> Result<(), FallbackCause> {
        let (done, time) = timed(shared.runs, || self.run_untimed(shared, claims, index));
        if let Some(runs) = shared.runs {
            let last = self.txs.last().filter(|last| last.index == index);
            let is_refused = last.is_some_and(|last| last.executed.is_none());
            runs.ran(index, time, None, if is_refused { Ran::Parked } else { Ran::Done });
        }
        done
    }

    fn run_untimed(
        &mut self,
        shared: &Shared<'l>,
        claims: Option<&Claims>,
        index: usize,
    ) -> Result<(), FallbackCause> {
        let tx = &shared.prepared.txs[index];
        self.last = Some(index);
        if tx.payee().is_some_and(|payee| !shared.may_call(tx.sender(), payee)) {
            let payments = self.payments.get_or_insert_with(|| PaymentLane::new(shared));
            if let Some(depends) = payments.run(shared, index)? {
                // It has no slots to mark, or to publish.
                self.log.add(index, &Dependence::default());
                return self.tell(claims, index, Noted::Payment(depends));
            }
        }
        self.listener.listen(&mut self.kernel, index as u32);
        // Only whose sender has sent before in this block may miss something.
        let (is_assumed, executed) = match shared.prepared.predecessors[index] {
            Some(_) => self.kernel.transact_assuming(tx),
            None => (false, self.kernel.transact(tx)),
        };
        if is_assumed {
            self.assumed.push(tx.sender());
        }
        let executed = match executed {
            Ok(executed) => Some(executed),
            // A guess may be refused as well as run.
            Err(Fault::Invalid(_)) => None,
            Err(Fault::Read(error)) => return Err(error.into()),
            Err(Fault::Internal(message)) => return Err(BlockError::Internal(message).into()),
        };
        let signed = &shared.prepared.block.block().body.transactions[index];
        let spend = |done: &Executed| shared.budget.spend(index, signed, &done.result);
        let spent = executed.as_ref().map_or(Ok(()), spend);
        let noted = self.kernel.touched().map_or(0, Touched::len);
        let touches = executed.is_some().then(|| noted.saturating_sub(1));
        self.txs.push(LaneTx { index, executed, touches });
        let Some(place) = touches else { return self.tell(claims, index, Noted::Refused) };
        self.noted.push(index);
        let dependence = self.mark(shared, place, index);
        self.log.add(index, &dependence);
        spent.map_err(BlockError::from)?;
        self.tell(claims, index, Noted::Ran(dependence))
    }

    /// Tells of a transaction that ran, or keeps that for later; fails if it does not pay to go on.
    fn tell(
        &mut self,
        claims: Option<&Claims>,
        index: usize,
        noted: Noted,
    ) -> Result<(), FallbackCause> {
        let Some(claims) = claims else {
            self.untold.push((index, noted));
            return Ok(());
        };
        Ok(noted.tell(claims, self.worker, index)?)
    }

    /// Tells what was kept for later.
    fn tell_all(&mut self, claims: &Claims) -> Result<(), FallbackCause> {
        let untold = std::mem::take(&mut self.untold);
        untold.into_iter().try_for_each(|(index, noted)| self.tell(Some(claims), index, noted))
    }

    /// Marks the slots of a transaction, publishes what it has changed, and tells whom it has
    /// disturbed, and who it.
    fn mark(&mut self, shared: &Shared<'l>, place: usize, index: usize) -> Dependence {
        let Self { kernel, listener, worker, .. } = self;
        let Shared { marks, published, .. } = shared;
        let slots = kernel.touched().map_or(&[][..], |touched| touched.of(place).1);
        let mark = Mark { worker: *worker, index };
        let dependence = marks.mark(slots, mark, |touch, hash, is_written| {
            listener.note(published, touch, hash, index as u32, is_written)
        });
        listener.publish(published);
        dependence
    }

    /// Ends where no more is run in lanes, for this cause if there was none before. Leaves what is
    /// known of it, and nothing of what it did; but gives what of a chain can be gone on with.
    pub(super) fn stop(
        mut self,
        shared: &Shared<'l>,
        cause: Option<FallbackCause>,
    ) -> Option<Begun<'l>> {
        shared.append(&mut self.log);
        shared.rooms.lock().push(self.kernel.take_touched());
        let of_payments = self.payments.as_ref().map_or(0, PaymentLane::memory_bytes);
        let bytes = self.kernel.memory_bytes() + of_payments;
        shared.bytes.fetch_add(bytes, Ordering::Relaxed);
        let is_callers = self.worker == 0;
        shared.is_told.fetch_or(is_callers, Ordering::Release);
        cause.into_iter().for_each(|cause| shared.fail(cause));
        if is_callers && shared.is_one_chain() { Begun::of(self) } else { None }
    }

    pub(super) fn end(self, shared: &Shared<'l>) {
        shared.bytes.fetch_add(self.kernel.memory_bytes(), Ordering::Relaxed);
        let Self {
            mut kernel,
            txs,
            noted,
            assumed,
            worker,
            mut log,
            listener: _,
            payments,
            last: _,
            untold: _,
        } = self;
        shared.append(&mut log);
        let heard = kernel.reader_mut().take_heard();
        let lane = Lane {
            worker,
            thread: rayon::current_thread_index(),
            is_ledger: false,
            txs,
            noted,
            assumed,
            heard: heard.accounts().collect(),
            heard_slots: heard.count,
            history: kernel.into_history(),
        };
        let payments = payments.and_then(|payments| payments.end(shared, worker));
        shared.lanes.lock().extend(std::iter::once(lane).chain(payments));
    }
}
