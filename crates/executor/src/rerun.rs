//! How often each transaction of a block ran in parallel, what its reruns were for, and what they
//! cost.
//!
//! A run is *thrown away* if it was given up half-way, or if another run of the transaction counts
//! in its place. Its time is lost.
//!
//! In `occ` a run is thrown away when the next one begins. In lanes, the run in the lane and the
//! guess beside it are there together: at the turn of the transaction the first of them that holds
//! is kept.
//!
//! Noted only where somebody asks ([`crate::Executor::observing`]); no decision depends on it.

use crate::Field;
use fugue_scheduler::Ran;
use fugue_types::Address;
use parking_lot::Mutex;
use std::time::{Duration, Instant};

/// Reruns of a transaction that are told one by one, at most. The scheduler runs none so often; how
/// often it ran is told in any case.
const RERUNS_MAX: usize = 8;

/// Why a run was thrown away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RerunCause {
    /// When it ran again, a value that it had read was another one.
    Changed,
    /// When it ran again, a value that it had read was in doubt: who wrote it had to run again.
    Doubted,
    /// When it ran again, all that it had read was as before: meanwhile it had been another. In
    /// lanes: a guess was made of it, and at its turn its run in the lane held.
    Restored,
    /// It came upon a value that was in doubt, and was given up half-way.
    Blocked,
    /// It had to wait for its turn: it looked at the fee recipient, or failed on values that were
    /// not final, or, in lanes, was refused on them.
    Parked,
}

/// A run that was thrown away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rerun {
    /// Why.
    pub cause: RerunCause,
    /// Index of the transaction that wrote the value, or was to write it; `None` where that is none
    /// of the block, or is not known.
    pub by: Option<usize>,
    /// The account that was read, if it is known.
    pub address: Option<Address>,
    /// Its field, if it is known: an account is in doubt as a whole.
    pub field: Option<Field>,
    /// How long the run took.
    pub lost: Duration,
}

/// What a transaction took in the parallel run of its block. What ran sequentially after that had
/// ended early is not in here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TxRuns {
    /// How often it ran, runs that were given up half-way included.
    pub runs: u32,
    /// How long all of them took. That is not what it would take alone: beside others a thread may
    /// be interrupted, or wait for memory.
    pub time: Duration,
    /// How long those took that were thrown away.
    pub lost: Duration,
    /// Those, in order, up to 8.
    pub reruns: Vec<Rerun>,
}

/// Why a run that is kept does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stale {
    pub(crate) cause: RerunCause,
    /// As in [`Rerun`].
    pub(crate) by: Option<usize>,
    pub(crate) address: Option<Address>,
    pub(crate) field: Option<Field>,
}

/// The notes of a block that is being run by many threads.
#[derive(Debug)]
pub(crate) struct RunLog {
    txs: Vec<Mutex<Noted>>,
}

#[derive(Debug, Default)]
struct Noted {
    runs: TxRuns,
    /// The time of the run that is kept, if there is one.
    kept: Option<Duration>,
    /// The time of the one that is kept if that one does not hold.
    guess: Option<Duration>,
}

impl Stale {
    const fn of(cause: RerunCause, by: Option<usize>) -> Self {
        Self { cause, by, address: None, field: None }
    }
}

/// Runs something, and gives how long that took; nothing if nobody asked for it.
pub(crate) fn timed<T>(log: Option<&RunLog>, run: impl FnOnce() -> T) -> (T, Duration) {
    let begun = log.map(|_| Instant::now());
    let done = run();
    (done, begun.map(|begun| begun.elapsed()).unwrap_or_default())
}

impl RunLog {
    /// Of a block of so many transactions.
    pub(crate) fn new(count: usize) -> Self {
        Self { txs: (0..count).map(|_| Mutex::default()).collect() }
    }

    /// Notes a run of `tx` that has ended. `stale` says why the run that was kept before it did not
    /// hold when it began; `None` if nothing was found, or none was kept.
    pub(crate) fn ran(&self, tx: usize, time: Duration, stale: Option<Stale>, ran: Ran) {
        let Some(noted) = self.txs.get(tx) else { return };
        let mut noted = noted.lock();
        let Noted { runs, kept, guess: _ } = &mut *noted;
        runs.add(time);
        // Whoever begins again throws away what is kept, however the new run ends.
        if let Some(lost) = kept.take() {
            runs.throw_away(stale.unwrap_or(Stale::of(RerunCause::Restored, None)), lost);
        }
        match ran {
            Ran::Done => *kept = Some(time),
            Ran::Blocked { on } => {
                runs.throw_away(Stale::of(RerunCause::Blocked, Some(on)), time);
            }
            Ran::Parked => runs.throw_away(Stale::of(RerunCause::Parked, None), time),
        }
    }

    /// Notes a run of `tx` beside the one that is kept, as a guess.
    pub(crate) fn guessed(&self, tx: usize, time: Duration, ran: Ran) {
        let Some(noted) = self.txs.get(tx) else { return };
        let mut noted = noted.lock();
        noted.runs.add(time);
        match ran {
            Ran::Done => noted.guess = Some(time),
            Ran::Blocked { on } => {
                noted.runs.throw_away(Stale::of(RerunCause::Blocked, Some(on)), time);
            }
            Ran::Parked => noted.runs.throw_away(Stale::of(RerunCause::Parked, None), time),
        }
    }

    /// Notes that the run of `tx` that is kept does not hold. Its guess is kept from now on, if
    /// there is one.
    pub(crate) fn fails(&self, tx: usize, stale: Option<Stale>) {
        let Some(noted) = self.txs.get(tx) else { return };
        let mut noted = noted.lock();
        let Noted { runs, kept, guess } = &mut *noted;
        if let Some(lost) = std::mem::replace(kept, guess.take()) {
            runs.throw_away(stale.unwrap_or(Stale::of(RerunCause::Restored, None)), lost);
        }
    }

    /// Notes that the run of `tx` that is kept holds: its guess, if there is one, was not needed.
    pub(crate) fn holds(&self, tx: usize) {
        let Some(noted) = self.txs.get(tx) else { return };
        let mut noted = noted.lock();
        if let Some(lost) = noted.guess.take() {
            noted.runs.throw_away(Stale::of(RerunCause::Restored, None), lost);
        }
    }

    /// What was noted, in block order. In a block that was given up, nobody knows what would have
    /// become of a run or a guess whose turn did not come: it is not told as thrown away.
    pub(crate) fn into_runs(self) -> Vec<TxRuns> {
        self.txs.into_iter().map(|noted| noted.into_inner().runs).collect()
    }
}

impl TxRuns {
    fn add(&mut self, time: Duration) {
        self.runs = self.runs.saturating_add(1);
        self.time = self.time.saturating_add(time);
    }

    fn throw_away(&mut self, stale: Stale, lost: Duration) {
        self.lost = self.lost.saturating_add(lost);
        if self.reruns.len() < RERUNS_MAX {
            let Stale { cause, by, address, field } = stale;
            self.reruns.push(Rerun { cause, by, address, field, lost });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    fn causes(runs: &TxRuns) -> Vec<(RerunCause, Option<usize>, Duration)> {
        runs.reruns.iter().map(|rerun| (rerun.cause, rerun.by, rerun.lost)).collect()
    }

    #[test]
    fn a_run_is_lost_when_the_next_one_begins() {
        let log = RunLog::new(3);
        log.ran(0, ms(5), None, Ran::Done);
        log.ran(1, ms(7), None, Ran::Done);
        let stale = Stale {
            cause: RerunCause::Changed,
            by: Some(0),
            address: Some(Address::repeat_byte(1)),
            field: Some(Field::Nonce),
        };
        log.ran(1, ms(1), Some(stale), Ran::Blocked { on: 0 });
        // The memory still has what the first run did, which is lost already.
        log.ran(1, ms(8), Some(stale), Ran::Done);
        log.ran(1, ms(9), None, Ran::Done);
        let all = log.into_runs();
        let [first, second, third] = &all[..] else { panic!("three were expected: {all:?}") };
        assert_eq!((first.runs, first.time, first.lost), (1, ms(5), ms(0)));
        assert!(first.reruns.is_empty());
        assert_eq!((second.runs, second.time, second.lost), (4, ms(25), ms(16)));
        let expected = [
            (RerunCause::Changed, Some(0), ms(7)),
            (RerunCause::Blocked, Some(0), ms(1)),
            (RerunCause::Restored, None, ms(8)),
        ];
        assert_eq!(causes(second), expected);
        assert_eq!(second.reruns[0].address, Some(Address::repeat_byte(1)));
        assert_eq!(second.reruns[0].field, Some(Field::Nonce));
        assert_eq!(third, &TxRuns::default());
    }

    #[test]
    fn of_a_run_and_a_guess_the_first_that_holds_is_kept() {
        let log = RunLog::new(5);
        let on = |by| Stale::of(RerunCause::Changed, Some(by));
        for tx in 0..5 {
            log.ran(tx, ms(5), None, if tx == 3 { Ran::Parked } else { Ran::Done });
            log.guessed(tx, ms(7), Ran::Done);
        }
        // The first one holds as it ran at first, the second one as it was guessed.
        log.holds(0);
        log.fails(1, Some(on(0)));
        // The third one as neither.
        log.fails(2, Some(on(1)));
        log.fails(2, Some(on(0)));
        log.ran(2, ms(9), None, Ran::Done);
        // Of the fourth one nothing was kept but the guess.
        log.fails(3, Some(on(0)));
        // The turn of the fifth one did not come.
        let all = log.into_runs();
        let found: Vec<_> = all.iter().map(|tx| (tx.runs, tx.time, tx.lost)).collect();
        let expected = [(2, 12, 7), (2, 12, 5), (3, 21, 12), (2, 12, 5), (2, 12, 0)];
        assert_eq!(found, expected.map(|(runs, time, lost)| (runs, ms(time), ms(lost))));
        let found: Vec<_> = all.iter().map(causes).collect();
        let changed = |by, lost| (RerunCause::Changed, Some(by), ms(lost));
        assert_eq!(found[0], [(RerunCause::Restored, None, ms(7))]);
        assert_eq!(found[1], [changed(0, 5)]);
        assert_eq!(found[2], [changed(1, 5), changed(0, 7)]);
        assert_eq!(found[3], [(RerunCause::Parked, None, ms(5))]);
        assert!(found[4].is_empty(), "{:?}", found[4]);
    }

    #[test]
    fn reruns_are_counted_beyond_those_that_are_told() {
        let log = RunLog::new(1);
        for _ in 0..20 {
            log.ran(0, ms(1), None, Ran::Parked);
        }
        // Nobody asks for what is not there.
        log.ran(1, ms(1), None, Ran::Done);
        let all = log.into_runs();
        let [runs] = &all[..] else { panic!("one was expected: {all:?}") };
        assert_eq!((runs.runs, runs.lost, runs.reruns.len()), (20, ms(20), RERUNS_MAX));
        assert_eq!(causes(runs)[0], (RerunCause::Parked, None, ms(1)));
    }
}
