//! Small parts of a copy of the scheduler, for loom: two or three threads, every order of their
//! steps.

use super::{
    memory::{Latest, Memory},
    session::{Place, Program, Ran, Session, probe},
};
use crate::loom_door::spawn;
use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

/// All of them.
pub(crate) const PARTS: [fn(); 4] = [
    a_clear_bit_proves_that_the_base_value_was_read,
    who_waits_is_woken_or_sees_that_it_need_not_wait,
    who_waits_for_one_without_guesses_is_woken,
    who_is_overtaken_runs_again,
];

/// Transactions 0 and 1 write a key each, whose bits are in one word. 2 reads both meanwhile; when
/// its turn comes, it compares.
pub(crate) fn a_clear_bit_proves_that_the_base_value_was_read() {
    const BASE: u8 = 0;
    let memory = Arc::new(Memory::<u8, u8>::new());
    let value = |latest: &Latest<u8>| match latest {
        Latest::Written { value, .. } => *value,
        Latest::Base | Latest::Untouched => BASE,
        Latest::Suspect { .. } => panic!("nobody is in doubt"),
    };
    let writers = [0_u8, 1].map(|key| {
        let memory = Arc::clone(&memory);
        spawn(move || memory.write(&key, usize::from(key), key + 1, &mut Vec::new()))
    });
    let read = [0, 1].map(|key| value(&memory.read(&key, 2)));
    for writer in writers {
        writer.join().expect("a write does not panic");
    }
    for key in [0_u8, 1] {
        let is_current = match memory.peek(&key, 2) {
            Latest::Untouched => true,
            latest => value(&latest) == read[usize::from(key)],
        };
        let is_right = read[usize::from(key)] == key + 1;
        assert_eq!(is_current, is_right, "key {key} was read as {}", read[usize::from(key)]);
    }
}

/// Two transactions, of which 1 waits for 0.
struct Chain;

impl Program for Chain {
    type Worker = ();
    type Error = ();

    fn worker(&self) {}

    fn predecessor(&self, tx: usize) -> Option<usize> {
        tx.checked_sub(1)
    }

    fn execute(&self, _: &mut (), _: usize, _: Place, _: &mut Vec<usize>) -> Ran {
        Ran::Done
    }

    fn suspect(&self, _: usize) {}

    fn is_current(&self, _: usize) -> bool {
        true
    }

    fn commit(&self, _: usize) -> Result<(), ()> {
        Ok(())
    }
}

pub(crate) fn who_waits_is_woken_or_sees_that_it_need_not_wait() {
    static CHAIN: Chain = Chain;
    let session = run_two(&CHAIN);
    assert_eq!(probe::with_guesses_left(&session), [0, 1], "both ran once");
}

/// 0 has made its last guess. While it is told that it was overtaken, 1 begins to wait for it.
pub(crate) fn who_waits_for_one_without_guesses_is_woken() {
    static CHAIN: Chain = Chain;
    let session = Arc::new(Session::new(&CHAIN, 2));
    probe::spend_all_guesses(&session, 0);
    let other = Arc::clone(&session);
    let other = spawn(move || {
        probe::doubt(&other, 0);
        probe::run_all_ahead(&other);
    });
    probe::run_all_ahead(&session);
    other.join().expect("a run does not panic");
    probe::nothing_is_lost(&session);
    assert_eq!(probe::with_guesses_left(&session), [1], "1 ran");
}

/// Two transactions: 0 writes what 1 reads.
struct Overtaking {
    memory: Memory<u8, u8>,
    /// What 1 has read last. No step of an order.
    read: AtomicU8,
}

const KEY: u8 = 7;
const NEW: u8 = 1;

impl Program for Overtaking {
    type Worker = ();
    type Error = ();

    fn worker(&self) {}

    fn predecessor(&self, _: usize) -> Option<usize> {
        None
    }

    fn execute(&self, _: &mut (), tx: usize, _: Place, overtaken: &mut Vec<usize>) -> Ran {
        if tx == 0 {
            self.memory.write(&KEY, 0, NEW, overtaken);
        } else {
            let value = match self.memory.read(&KEY, tx) {
                Latest::Written { value, .. } => value,
                _ => 0,
            };
            self.read.store(value, Ordering::Relaxed);
        }
        Ran::Done
    }

    fn suspect(&self, _: usize) {}

    fn is_current(&self, _: usize) -> bool {
        true
    }

    fn commit(&self, _: usize) -> Result<(), ()> {
        Ok(())
    }
}

pub(crate) fn who_is_overtaken_runs_again() {
    let memory = Memory::<u8, u8>::new();
    // Touched by one behind the last: whoever reads is told of later writes.
    memory.write(&KEY, 2, 0, &mut Vec::new());
    // A thread of loom wants what lives for ever. It is small, and orders are some thousand.
    let program: &Overtaking = Box::leak(Box::new(Overtaking { memory, read: AtomicU8::new(0) }));
    run_two(program);
    assert_eq!(program.read.load(Ordering::Relaxed), NEW, "1 was not told that 0 wrote");
}

/// Runs two transactions by two threads, without commits.
fn run_two<P: Program + 'static>(program: &'static P) -> Arc<Session<'static, P>> {
    let session = Arc::new(Session::new(program, 2));
    let other = Arc::clone(&session);
    let other = spawn(move || probe::run_all_ahead(&other));
    probe::run_all_ahead(&session);
    other.join().expect("a run does not panic");
    probe::nothing_is_lost(&session);
    session
}
