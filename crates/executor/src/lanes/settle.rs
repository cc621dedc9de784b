//! Settling: goes through the block in order, and runs again what was disturbed.
//!
//! **The pass** asks of each transaction whether its touches hold on what is settled before it
//! ([`Hot::holds`]). Where they do it is settled with what it left behind; else it runs again.
//!
//! **Guesses**: at the first transaction that does not hold, the pass looks ahead. A forecast finds
//! who else will not hold, taking everybody to change what it changed in its lane. If there are
//! two or more, the rest of the block is split into stretches, one for a thread. Each thread
//! settles its stretch on a copy of the hot accounts, as if everything between the first
//! disturbed transaction and the stretch were as in the lanes; what runs again there is a *guess*.
//! Then the pass goes on, and where a transaction does not hold, its guess is settled if that one
//! holds ([`Hot::guess_holds`]). If not, it runs at its turn: a transaction runs three times at
//! most, in its lane, as a guess, and at its turn. The guesses of the first stretch hold, since
//! what was before them is settled; so chains of transactions that depend on one another are no
//! slower than without.
//!
//! **Why a guess that holds is right**: what a transaction does follows from what it came upon, in
//! a guess as in a lane. So it is enough that everything that a guess came upon, and that may be
//! something else where it is settled, is compared then. What a guess reads is what it was before
//! the block but for accounts that
//! * were hot when the pass looked ahead: they stay hot;
//! * a lane has changed, or that are paid the fees: [`Hot::guess_holds`] makes them hot;
//! * a guess before it has changed: whatever guesses have changed, whether they are settled or not,
//!   is made hot when all have run.
//!
//! So an account that is not hot when a guess is compared, and that no lane has changed, the guess
//! has seen as it was before the block; and so it is where it is settled, since what runs again
//! makes hot what it changes. Of a hot account all slots that the guess came upon are compared,
//! those that nothing has changed with their value before the block. Whether an account has storage
//! (EIP-7610) is asked where a contract is to be created there; from Byzantium on that changes with
//! the account itself, which is compared.
//!
//! | job | started when | gives | awaited where |
//! | --- | --- | --- | --- |
//! | `guess_stretch` | several transactions do not hold | the guesses of a stretch | `look_ahead` |

use super::{
    Lane, LaneFault, LaneTx, ReadResult,
    hot::{Hot, HotReader, Touches},
    lessons::{Log, Meeting},
};
use crate::{
    BlockError, FallbackCause, PreparedBlock,
    rerun::{RunLog, timed},
    tally::Tally,
};
use fugue_chainspec::Rules;
use fugue_evm::{CodeCache, Executed, Fault, FeePayment, Kernel, PreparedTx, Touched};
use fugue_scheduler::{Ran, Stats};
use fugue_state::{StateDiff, StateError, StateView};
use fugue_types::{Header, U256};
use parking_lot::Mutex;
use std::{
    collections::BTreeSet,
    iter::Peekable,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::OnceLock,
    vec,
};

/// Gas of runs at their turn from which on their share of the gas that is settled is judged, and
/// what it may be in percent. Each takes more than a run of the sequential mode, since its journal
/// begins empty.
const RERUN_GAS_MIN: u64 = 2_000_000;
const RERUN_PERCENT_MAX: u64 = 80;
/// That is judged in this part of the block only, by gas: later, to begin anew takes longer than
/// to run again what is left.
const JUDGED_PART: u64 = 4;

/// A block that has run in lanes, and what settles it.
#[derive(Clone, Copy)]
pub(super) struct Job<'j> {
    pub(super) prepared: &'j PreparedBlock,
    pub(super) rules: &'j Rules,
    pub(super) codes: &'j CodeCache,
    /// The state after the block was opened.
    pub(super) view: &'j dyn StateView,
    pub(super) pool: &'j rayon::ThreadPool,
    /// Threads that take part, the caller's included.
    pub(super) threads: usize,
    /// Where it is noted what each transaction takes, if somebody asked for it.
    pub(super) runs: Option<&'j RunLog>,
}

impl<'j> Job<'j> {
    fn header(&self) -> &'j Header {
        let prepared: &'j PreparedBlock = self.prepared;
        &prepared.block.block().header
    }

    /// The last run of a transaction that was compared does not hold.
    fn note_failure(&self, index: usize, hot: &Hot<'_>) {
        if let Some(runs) = self.runs {
            runs.fails(index, hot.stale());
        }
    }
}

/// A block whose transactions are settled.
pub(super) struct Settled {
    /// What they have changed.
    pub(super) diff: StateDiff,
    /// What they did.
    pub(super) tally: Tally,
    pub(super) stats: Stats,
}

/// A transaction's run in its lane.
struct Run {
    lane: usize,
    /// Its place among the touches of the lane; `None` if it was refused, and so is the next one.
    noted: Option<usize>,
    executed: Option<Executed>,
}

impl Run {
    /// What it touched; nothing if it was refused.
    fn touches<'l>(&self, lanes: &'l [Lane]) -> Touches<'l> {
        let touched = &lanes[self.lane].history.touched;
        self.noted.map(|noted| Touches::of(touched, noted)).unwrap_or_default()
    }

    fn fee(&self) -> Option<U256> {
        self.executed.as_ref().and_then(|executed| executed.fee_due)
    }
}

/// Goes through the block in order. What transactions did, and the diffs, are taken out of the
/// lanes. Who disturbed whom is added to the log, however it ends.
pub(super) fn settle(
    job: &Job<'_>,
    lanes: &mut [Lane],
    log: &mut Log,
) -> Result<Settled, FallbackCause> {
    let header = job.header();
    let count = job.prepared.txs.len();
    let runs = take_runs(count, lanes)?;
    let steps = OnceLock::new();
    let mut hot = Hot::new(job.view, lanes, &steps, header.beneficiary);
    if job.runs.is_some() {
        hot.observe();
    }
    let mut settler = Settler::new(job, hot);
    let settled = settle_all(job, &mut settler, lanes, runs, log);
    let hot = settler.into_hot();
    let (tally, counts) = match (hot.found_empty(), settled) {
        (Some(address), _) => return Err(LaneFault::Empty(address).into()),
        (None, settled) => settled?,
    };
    let end = hot.into_end();
    let active: BTreeSet<usize> =
        lanes.iter().filter(|lane| !lane.txs.is_empty()).map(|lane| lane.worker).collect();
    let Counts { guesses, head_reruns, unguessed, rerun_gas: _ } = counts;
    let stats = Stats {
        runs: count + guesses + head_reruns,
        rerun_txs: guesses + unguessed,
        head_reruns,
        active_threads: active.len(),
        heard_slots: lanes.iter().map(|lane| lane.heard_slots).sum(),
        light_txs: lanes.iter().filter(|lane| lane.is_ledger).map(|lane| lane.txs.len()).sum(),
        ..Stats::default()
    };
    Ok(Settled { diff: end.merge(lanes, header, job.rules, job.view)?, tally, stats })
}

/// The run of each transaction, in block order.
fn take_runs(count: usize, lanes: &mut [Lane]) -> Result<Vec<Run>, BlockError> {
    let missing = || Run { lane: usize::MAX, noted: None, executed: None };
    let mut runs: Vec<Run> = (0..count).map(|_| missing()).collect();
    for (number, lane) in lanes.iter_mut().enumerate() {
        for LaneTx { index, executed, touches } in &mut lane.txs {
            if let Some(run) = runs.get_mut(*index) {
                *run = Run { lane: number, noted: *touches, executed: executed.take() };
            }
        }
    }
    match runs.iter().position(|run| run.lane == usize::MAX) {
        Some(index) => Err(BlockError::Internal(format!("transaction {index} was not run"))),
        None => Ok(runs),
    }
}

/// What was run again.
#[derive(Debug, Default)]
struct Counts {
    /// Runs as guesses.
    guesses: usize,
    /// Runs at their turn, and those of them that had no guess before.
    head_reruns: usize,
    unguessed: usize,
    /// Gas that runs at their turn have used.
    rerun_gas: u64,
}

/// Whether so much ran again at its turn that the sequential mode is the faster one. `settled` is
/// the gas used so far, these runs' included, of what the block uses.
const fn is_entangled(rerun: u64, settled: u64, block: u64) -> bool {
    rerun >= RERUN_GAS_MIN
        && settled <= block / JUDGED_PART
        && rerun.saturating_mul(100) > settled.saturating_mul(RERUN_PERCENT_MAX)
}

/// Settles one transaction after the other; gives what they did, and how many ran again. Whom they
/// had not seen in their lanes is added to the log, as far as that is known.
fn settle_all(
    job: &Job<'_>,
    settler: &mut Settler<'_, '_>,
    lanes: &[Lane],
    mut runs: Vec<Run>,
    log: &mut Log,
) -> Result<(Tally, Counts), FallbackCause> {
    let block = job.prepared.block.block();
    let Header { gas_limit, gas_used, .. } = block.header;
    let transactions = &block.body.transactions;
    let mut tally = Tally::new(job.rules, &block.header, transactions.len());
    let mut counts = Counts::default();
    let mut guesses: Option<Guesses> = None;
    settler.hot().begin()?;
    for (index, tx) in transactions.iter().enumerate() {
        tally.admit(tx).map_err(BlockError::from)?;
        let hot = settler.hot();
        hot.advance(index);
        let touches = runs[index].touches(lanes);
        if runs[index].executed.is_some() {
            if hot.holds(touches)?
                && let Some(executed) = runs[index].executed.take()
            {
                hot.apply(touches);
                hot.pay(executed.fee_due);
                tally.add(tx, executed.result, executed.excess);
                if let Some(runs) = job.runs {
                    runs.holds(index);
                }
                continue;
            }
            let meeting = hot.disturber().map(|writer| Meeting::new(index, writer));
            log.add_meetings(meeting.as_slice());
        }
        let guesses = match &mut guesses {
            Some(guesses) => guesses,
            None => guesses.insert(look_ahead(job, hot, lanes, &runs, index)?),
        };
        counts.guesses = guesses.count;
        job.note_failure(index, hot);
        if !planted!(KeepsDiffsOfWhoFails) {
            hot.heat_changed(touches)?;
        }
        let guess = guesses.next_of(index);
        let is_guessed = guess.is_some();
        if let Some((stretch, Guess { noted, executed: Some(executed), .. })) = guess {
            let touches = Touches::of(&guesses.touched[stretch], noted);
            let holds = if planted!(ComparesGuessesAsLanes) {
                hot.holds(touches)?
            } else {
                hot.guess_holds(touches)?
            };
            if holds {
                hot.apply_rerun(touches, executed.fee_due)?;
                tally.add(tx, executed.result, executed.excess);
                continue;
            }
            job.note_failure(index, hot);
        }
        settler.touched.clear();
        let (executed, time) = timed(job.runs, || settler.run(&job.prepared.txs[index]));
        let executed =
            executed.map_err(|fault| BlockError::of_transaction(index, *tx.hash(), fault))?;
        if let Some(runs) = job.runs {
            runs.ran(index, time, None, Ran::Done);
        }
        counts.head_reruns += 1;
        counts.unguessed += usize::from(!is_guessed);
        counts.rerun_gas = counts.rerun_gas.saturating_add(executed.result.gas.used);
        tally.add(tx, executed.result, executed.excess);
        let settled = gas_limit.saturating_sub(tally.gas_left());
        if is_entangled(counts.rerun_gas, settled, gas_used) {
            return Err(LaneFault::Entangled.into());
        }
    }
    Ok((tally, counts))
}

/// Runs transactions again on the state that is settled so far, each in an empty journal.
struct Settler<'c, 'h> {
    kernel: Kernel<'c, HotReader<'h>>,
    /// What they touched.
    touched: Touched,
}

impl<'c, 'h> Settler<'c, 'h> {
    fn new(job: &Job<'c>, hot: Hot<'h>) -> Self {
        let Job { rules, codes, .. } = *job;
        let reader = HotReader(hot);
        let mut kernel = Kernel::new(rules, job.header(), codes, reader, FeePayment::Deferred);
        kernel.note_touches(Touched::default());
        Self { kernel, touched: Touched::default() }
    }

    fn hot(&mut self) -> &mut Hot<'h> {
        &mut self.kernel.reader_mut().0
    }

    fn into_hot(self) -> Hot<'h> {
        self.kernel.into_reader().0
    }

    /// Runs a transaction and settles it. What it touched is the last that is noted.
    fn run(&mut self, tx: &PreparedTx) -> Result<Executed, Fault<StateError>> {
        let Self { kernel, touched } = self;
        let codes = touched.codes().len();
        // The kernel adds to them while it runs; outside of it they can be lent beside it.
        kernel.swap_touched(touched);
        let executed = kernel.transact(tx);
        kernel.swap_touched(touched);
        kernel.forget();
        let executed = executed?;
        let hot = &mut kernel.reader_mut().0;
        if !planted!(ForgetsCodesOfReruns) {
            hot.add_codes(touched.codes().get(codes..).unwrap_or_default());
        }
        let touches = Touches::of(touched, touched.len().saturating_sub(1));
        hot.apply_rerun(touches, executed.fee_due).map_err(Fault::Read)?;
        Ok(executed)
    }
}

/// A transaction's run ahead of its turn.
struct Guess {
    index: usize,
    /// Its place among the touches of the stretch.
    noted: usize,
    /// `None` if it was refused, or something that it asked for was not answered.
    executed: Option<Executed>,
}

/// All guesses of a block.
struct Guesses {
    /// In block order, each with its stretch; those whose turn is over are gone.
    made: Peekable<vec::IntoIter<(usize, Guess)>>,
    count: usize,
    /// Of each stretch.
    touched: Vec<Touched>,
}

impl Guesses {
    fn new(made: Vec<(usize, Guess)>, touched: Vec<Touched>) -> Self {
        Self { count: made.len(), made: made.into_iter().peekable(), touched }
    }

    /// The guess of a transaction, if there is one. Asked in block order.
    fn next_of(&mut self, index: usize) -> Option<(usize, Guess)> {
        while self.made.next_if(|(_, guess)| guess.index < index).is_some() {}
        self.made.next_if(|(_, guess)| guess.index == index)
    }
}

/// At the first transaction that does not hold: finds who else will not, and runs them again as
/// guesses. None are made where there is nobody else, or one thread only.
fn look_ahead(
    job: &Job<'_>,
    hot: &mut Hot<'_>,
    lanes: &[Lane],
    runs: &[Run],
    from: usize,
) -> Result<Guesses, FallbackCause> {
    let none = || Guesses::new(Vec::new(), Vec::new());
    if job.threads < 2 {
        return Ok(none());
    }
    let disturbed = forecast(job, hot.clone(), lanes, runs, from)?;
    let stretches = stretches(&disturbed, job.threads, runs.len());
    if stretches.len() < 2 {
        return Ok(none());
    }
    let guessed: Vec<Mutex<Option<Guessed>>> = stretches.iter().map(|_| Mutex::new(None)).collect();
    let before: &Hot<'_> = hot;
    let guess = |place: usize| {
        let stretch = || guess_stretch(job, before.clone(), lanes, runs, from, &stretches[place]);
        *guessed[place].lock() = catch_unwind(AssertUnwindSafe(stretch)).ok();
    };
    job.pool.in_place_scope(|scope| {
        for place in 1..stretches.len() {
            let guess = &guess;
            scope.spawn(move |_| guess(place));
        }
        guess(0);
    });
    let (mut made, mut touched) = (Vec::new(), Vec::new());
    for (stretch, guessed) in guessed.into_iter().enumerate() {
        let Some(guessed) = guessed.into_inner() else {
            return Err(BlockError::Internal("a guess panicked".to_owned()).into());
        };
        for guess in guessed.made {
            if guess.executed.is_some() && !planted!(ForgetsWhatGuessesDid) {
                hot.heat_changed(Touches::of(&guessed.touched, guess.noted))?;
            }
            made.push((stretch, guess));
        }
        if !planted!(ForgetsCodesOfGuesses) {
            hot.add_codes(guessed.touched.codes());
        }
        touched.push(guessed.touched);
    }
    Ok(Guesses::new(made, touched))
}

/// Those from a transaction on that will not hold, if everybody changes what it changed in its
/// lane; each with the gas that it used there, or may use.
fn forecast(
    job: &Job<'_>,
    mut hot: Hot<'_>,
    lanes: &[Lane],
    runs: &[Run],
    from: usize,
) -> ReadResult<Vec<(usize, u64)>> {
    let mut disturbed = Vec::new();
    for (index, run) in runs.iter().enumerate().skip(from) {
        hot.advance(index);
        let touches = run.touches(lanes);
        match &run.executed {
            None => disturbed.push((index, job.prepared.txs[index].gas_limit())),
            Some(executed) if !hot.holds(touches)? => {
                let work = executed.result.gas.used.saturating_add(executed.excess);
                disturbed.push((index, work));
            }
            Some(_) => {}
        }
        hot.apply(touches);
        hot.pay(run.fee());
    }
    Ok(disturbed)
}

/// Splits a block, from the first of the transactions that will not hold to its end, into at most
/// so many stretches, with about as much gas of theirs in each.
fn stretches(disturbed: &[(usize, u64)], count: usize, end: usize) -> Vec<Range<usize>> {
    let total: u128 = disturbed.iter().map(|(_, gas)| u128::from(*gas)).sum();
    let mut starts: Vec<usize> = Vec::new();
    let (mut before, mut last) = (0_u128, None);
    for (index, gas) in disturbed {
        let gas = u128::from(*gas);
        // Where the middle of it falls; twice that, to stay with integers.
        let part = (2 * before + gas) * count as u128 / (2 * total).max(1);
        if last != Some(part) {
            starts.push(*index);
        }
        last = Some(part);
        before += gas;
    }
    let ends = starts.iter().skip(1).copied().chain([end]);
    starts.iter().copied().zip(ends).map(|(start, end)| start..end).collect()
}

/// The guesses of a stretch, in block order.
struct Guessed {
    made: Vec<Guess>,
    touched: Touched,
}

/// Settles a stretch of the block as if all from the first disturbed transaction to it were as in
/// the lanes. `hot` is as of that one.
fn guess_stretch(
    job: &Job<'_>,
    hot: Hot<'_>,
    lanes: &[Lane],
    runs: &[Run],
    from: usize,
    stretch: &Range<usize>,
) -> Guessed {
    let mut settler = Settler::new(job, hot);
    let mut made = Vec::new();
    // Whatever they use beyond that, the block has no room for, or they are wrong.
    let mut gas_left = job.header().gas_limit;
    for (index, run) in runs.iter().enumerate().take(stretch.end).skip(from) {
        let touches = run.touches(lanes);
        let hot = settler.hot();
        hot.advance(index);
        // A state that does not answer is told of at the turn of whoever asks it then.
        let is_settled = index < stretch.start
            || (run.executed.is_some() && hot.holds(touches).unwrap_or_default());
        if is_settled {
            hot.apply(touches);
            hot.pay(run.fee());
            continue;
        }
        if hot.heat_changed(touches).is_err() {
            break;
        }
        let (executed, time) = timed(job.runs, || settler.run(&job.prepared.txs[index]).ok());
        if let Some(runs) = job.runs {
            runs.guessed(index, time, if executed.is_some() { Ran::Done } else { Ran::Parked });
        }
        if executed.is_none() {
            let hot = settler.hot();
            hot.apply(touches);
            hot.pay(run.fee());
        }
        let noted = settler.touched.len().saturating_sub(1);
        let used = executed.as_ref().map_or(0, |executed| executed.result.gas.used);
        made.push(Guess { index, noted, executed });
        let Some(left) = gas_left.checked_sub(used) else { break };
        gas_left = left;
    }
    Guessed { made, touched: settler.touched }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_have_about_as_much_to_run_again() {
        let even = [(2, 10), (4, 10), (7, 10), (9, 10)];
        assert_eq!(stretches(&even, 2, 12), [2..7, 7..12]);
        type Again<'a> = &'a [(usize, u64)];
        let cases: [(Again<'_>, usize, &[usize]); 8] = [
            (&even, 1, &[2]),
            (&even, 2, &[2, 7]),
            (&even, 16, &[2, 4, 7, 9]),
            // One that is heavy stands alone, first or last.
            (&[(2, 1000), (4, 1)], 2, &[2, 4]),
            (&[(2, 1), (4, 1000)], 2, &[2, 4]),
            (&[(2, u64::MAX), (4, u64::MAX)], 2, &[2, 4]),
            (&[(2, 0), (4, 0)], 2, &[2]),
            (&[], 2, &[]),
        ];
        for (disturbed, count, expected) in cases {
            let found = stretches(disturbed, count, 12);
            let starts: Vec<_> = found.iter().map(|stretch| stretch.start).collect();
            assert_eq!(starts, expected, "{disturbed:?} in {count}");
            let ends: Vec<_> = found.iter().map(|stretch| stretch.end).collect();
            assert_eq!(ends.last().copied(), expected.last().map(|_| 12));
        }
    }

    #[test]
    fn a_block_is_entangled_where_nearly_all_runs_again_early() {
        let block = 40_000_000;
        let least = RERUN_GAS_MIN;
        assert!(is_entangled(least, least, block));
        assert!(!is_entangled(least - 1, least - 1, block), "too little to judge by");
        let settled = least * 100 / RERUN_PERCENT_MAX;
        assert!(!is_entangled(least, settled, block), "no more than it may be");
        assert!(is_entangled(least, settled - 1, block));
        let late = block / JUDGED_PART;
        assert!(is_entangled(late, late, block));
        assert!(!is_entangled(late + 1, late + 1, block), "the rest is run sooner than all of it");
    }
}
