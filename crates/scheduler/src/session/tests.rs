//! A session in single steps, by one thread, and what stands in for other threads.

use super::*;
use crate::{Latest, Memory};
use std::{convert::Infallible, panic::resume_unwind};

const KEY: u64 = 7;
/// More runs than any of these sessions has.
const RUNS_MAX: usize = 100;

/// Reads and writes nothing: what it says is what a test wants.
struct Script {
    /// How a run before its turn ends.
    ahead: fn(usize) -> Ran,
    predecessor: fn(usize) -> Option<usize>,
    suspect: fn(usize),
    is_current: fn(usize) -> bool,
}

/// All are independent.
const DONE: Script =
    Script { ahead: |_| Ran::Done, predecessor: |_| None, suspect: |_| {}, is_current: |_| true };

impl Program for Script {
    type Worker = ();
    type Error = Infallible;

    fn worker(&self) {}

    fn predecessor(&self, tx: usize) -> Option<usize> {
        (self.predecessor)(tx)
    }

    fn execute(&self, _: &mut (), tx: usize, place: Place, _: &mut Vec<usize>) -> Ran {
        match place {
            Place::Ahead => (self.ahead)(tx),
            Place::Head => Ran::Done,
        }
    }

    fn suspect(&self, tx: usize) {
        (self.suspect)(tx);
    }

    fn is_current(&self, tx: usize) -> bool {
        (self.is_current)(tx)
    }

    fn commit(&self, _: usize) -> Result<(), Infallible> {
        Ok(())
    }
}

/// Runs ahead until nothing is worth running.
fn run_all_ahead<P: Program>(session: &Session<'_, P>, hand: &mut Hand<P::Worker>) {
    let is_at_rest = (0..RUNS_MAX).any(|_| !session.run_ahead(hand));
    assert!(is_at_rest, "there is always something to run");
}

fn statuses<P: Program>(session: &Session<'_, P>) -> Vec<u8> {
    session.status.iter().map(|status| status.load(Ordering::Acquire)).collect()
}

fn runs<P: Program>(session: &Session<'_, P>) -> Vec<u32> {
    session.runs.iter().map(|runs| runs.load(Ordering::Relaxed)).collect()
}

/// Each counts one key up. The first one waits for its turn.
#[derive(Default)]
struct Counts {
    memory: Memory<u64, u64>,
    /// What each has read.
    read: [Mutex<u64>; 3],
}

fn count(latest: Latest<u64>) -> u64 {
    if let Latest::Written { value, .. } = latest { value } else { 0 }
}

impl Program for Counts {
    type Worker = ();
    type Error = Infallible;

    fn worker(&self) {}

    fn predecessor(&self, _: usize) -> Option<usize> {
        None
    }

    fn execute(&self, _: &mut (), tx: usize, place: Place, overtaken: &mut Vec<usize>) -> Ran {
        if tx == 0 && place == Place::Ahead {
            return Ran::Parked;
        }
        let read = count(self.memory.read(&KEY, tx));
        *self.read[tx].lock() = read;
        self.memory.write(&KEY, tx, read + 1, overtaken);
        Ran::Done
    }

    fn suspect(&self, tx: usize) {
        self.memory.suspect(&KEY, tx);
    }

    fn is_current(&self, tx: usize) -> bool {
        count(self.memory.peek(&KEY, tx)) == *self.read[tx].lock()
    }

    fn commit(&self, _: usize) -> Result<(), Infallible> {
        Ok(())
    }
}

/// It has read before anybody wrote, so that it is not noted as a reader.
#[test]
fn who_is_told_of_no_change_is_compared_all_the_same() {
    let program = Counts::default();
    let session = Session::new(&program, 2);
    let mut hand = Hand::new(());
    run_all_ahead(&session, &mut hand);
    assert_eq!(count(program.memory.peek(&KEY, 2)), 1, "the second one alone has counted");
    session.work();
    assert!(!session.is_dirty[1].load(Ordering::Acquire), "nobody has told it");
    let (stats, failure) = session.finish();
    assert_eq!((stats.head_reruns, failure), (1, None));
    assert_eq!(count(program.memory.peek(&KEY, 2)), 2);
}

/// Else each is found wrong at its own turn, and the rest of the block runs one by one.
#[test]
fn who_read_what_the_head_changes_runs_again_before_its_turn() {
    let program = Counts::default();
    // Readers are noted of what somebody has written.
    program.memory.write(&KEY, 3, 0, &mut Vec::new());
    let session = Session::new(&program, 3);
    let mut hand = Hand::new(());
    // Another thread runs the second one, which is where the commits end.
    assert!(session.claim(1, PENDING));
    run_all_ahead(&session, &mut hand);
    assert_eq!(statuses(&session), [PARKED, RUNNING, EXECUTED]);
    assert_eq!(program.memory.peek(&KEY, 3), Latest::Written { by: 2, value: 1 });
    assert!(session.commit_head(&mut hand));
    assert_eq!(statuses(&session), [COMMITTED, RUNNING, QUEUED]);
    assert_eq!(program.memory.peek(&KEY, 3), Latest::Suspect { by: 2 });
    run_all_ahead(&session, &mut hand);
    assert_eq!(statuses(&session), [COMMITTED, RUNNING, EXECUTED]);
    assert_eq!(program.memory.peek(&KEY, 3), Latest::Written { by: 2, value: 2 });
}

/// Woken as often as it may be, it meets what is still to be written.
#[test]
fn who_is_blocked_is_guessed_no_more_often_than_others() {
    let ahead = |tx: usize| if tx == 0 { Ran::Parked } else { Ran::Blocked { on: 0 } };
    let program = Script { ahead, ..DONE };
    let session = Session::new(&program, 2);
    let mut hand = Hand::new(());
    for _ in 0..=GUESSES_MAX {
        run_all_ahead(&session, &mut hand);
        // As if the other one had run.
        session.wake(0);
    }
    assert_eq!(runs(&session), [1, GUESSES_MAX]);
    assert_eq!(statuses(&session), [PARKED, PARKED]);
    assert!(session.waiters[0].lock().is_empty());
}

/// The other one has run between the read and the look at its status.
#[test]
fn who_is_blocked_by_one_that_has_run_is_guessed_again() {
    let ahead = |tx: usize| if tx == 0 { Ran::Done } else { Ran::Blocked { on: 0 } };
    let program = Script { ahead, ..DONE };
    let session = Session::new(&program, 2);
    let mut hand = Hand::new(());
    assert!(session.run_ahead(&mut hand) && session.run_ahead(&mut hand));
    assert_eq!(statuses(&session), [EXECUTED, QUEUED]);
    run_all_ahead(&session, &mut hand);
    assert_eq!(runs(&session), [1, GUESSES_MAX]);
    assert_eq!(hand.blocked_runs, 2);
    assert_eq!(statuses(&session), [EXECUTED, PARKED]);
}

/// Else the chain behind one that waits for its turn is run by nobody but the committer.
#[test]
fn a_commit_wakes_who_waits_for_it() {
    let program = Script {
        ahead: |tx| if tx == 0 { Ran::Parked } else { Ran::Done },
        predecessor: |tx| (tx == 2).then_some(0),
        ..DONE
    };
    let session = Session::new(&program, 3);
    let mut hand = Hand::new(());
    // Another thread runs the second one, which is where the commits end.
    assert!(session.claim(1, PENDING));
    run_all_ahead(&session, &mut hand);
    assert_eq!(statuses(&session), [PARKED, RUNNING, WAITING]);
    assert!(session.commit_head(&mut hand));
    assert_eq!(statuses(&session), [COMMITTED, RUNNING, QUEUED]);
    run_all_ahead(&session, &mut hand);
    assert_eq!(statuses(&session), [COMMITTED, RUNNING, EXECUTED]);
    assert_eq!(runs(&session), [2, 0, 1]);
}

/// Else the other threads would wait for ever for what nobody brings further.
#[test]
fn a_panic_on_comparing_the_head_ends_the_session() {
    let program =
        Script { is_current: |_| resume_unwind(Box::new("a comparison that panics")), ..DONE };
    let session = Session::new(&program, 1);
    let mut hand = Hand::new(());
    run_all_ahead(&session, &mut hand);
    let has_worked = catch_unwind(AssertUnwindSafe(|| session.commit_head(&mut hand)));
    assert_eq!(has_worked.ok(), Some(true), "the panic has left the session");
    assert!(session.is_over.load(Ordering::Acquire));
    assert_eq!(session.finish().1, Some(Failure::Panicked(0)));
}

#[test]
fn a_panic_on_marking_what_is_in_doubt_ends_the_session() {
    let program = Script { suspect: |_| resume_unwind(Box::new("a mark that panics")), ..DONE };
    let session = Session::new(&program, 2);
    let mut hand = Hand::new(());
    run_all_ahead(&session, &mut hand);
    let told = catch_unwind(AssertUnwindSafe(|| session.doubt_all(&[1])));
    assert!(told.is_ok(), "the panic has left the session");
    assert!(session.is_over.load(Ordering::Acquire));
    assert_eq!(session.finish().1, Some(Failure::Panicked(1)));
}

#[test]
fn the_head_is_run_whatever_it_waits_for() {
    let program = DONE;
    let status_after = |status: u8| {
        let session = Session::new(&program, 1);
        session.status[0].store(status, Ordering::Release);
        // Nobody serves the queue.
        session.is_sequential.store(true, Ordering::Release);
        let mut hand = Hand::new(());
        let has_worked = session.commit_head(&mut hand);
        (has_worked, hand.runs, statuses(&session)[0])
    };
    for status in [PENDING, QUEUED, WAITING, PARKED] {
        assert_eq!(status_after(status), (true, 1, COMMITTED), "status {status}");
    }
    assert_eq!(status_after(EXECUTED), (true, 0, COMMITTED));
    // Another thread is at it.
    for status in [RUNNING, DOUBTED] {
        assert_eq!(status_after(status), (false, 0, status));
    }
}

#[test]
fn who_runs_one_by_one_guesses_no_more() {
    let program = DONE;
    let session = Session::new(&program, 2);
    let mut hand = Hand::new(());
    session.enqueue(1);
    session.is_sequential.store(true, Ordering::Release);
    assert!(!session.run_ahead(&mut hand));
    assert_eq!(runs(&session), [0, 0]);
    assert_eq!(statuses(&session), [PENDING, QUEUED]);
    assert!(session.commit_head(&mut hand));
    assert_eq!(runs(&session), [1, 1]);
    assert_eq!(statuses(&session), [COMMITTED, COMMITTED]);
}
