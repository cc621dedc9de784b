//! What only the session itself can look at, as part of `session.rs` in each copy: a run without
//! commits, and what must hold after it.

use super::{EXECUTED, GUESSES_MAX, Hand, PARKED, Program, Session, WAITING};
use std::sync::atomic::Ordering;

/// Runs ahead as long as there is something to run. If several threads do, the last one that ends
/// leaves nothing.
pub(crate) fn run_all_ahead<P: Program>(session: &Session<'_, P>) {
    let mut hand = Hand::new(session.program.worker());
    while session.run_ahead(&mut hand) {}
}

/// Sets a transaction where it is after its last guess.
pub(crate) fn spend_all_guesses<P: Program>(session: &Session<'_, P>, tx: usize) {
    session.runs[tx].store(GUESSES_MAX, Ordering::Relaxed);
    session.status[tx].store(EXECUTED, Ordering::Release);
}

/// Tells that a read of `tx` was overtaken.
pub(crate) fn doubt<P: Program>(session: &Session<'_, P>, tx: usize) {
    session.doubt_all(&[tx]);
}

/// After all threads have left [`run_all_ahead`]: nothing is on its way, whoever waits does so for
/// one that has not run, and nobody ran too often.
pub(crate) fn nothing_is_lost<P: Program>(session: &Session<'_, P>) {
    let failure = session.failure.lock().is_some();
    assert!(!failure, "the session failed");
    let status = |tx: usize| session.status[tx].load(Ordering::Acquire);
    for tx in 0..session.count {
        let runs = session.runs[tx].load(Ordering::Relaxed);
        assert!(runs <= GUESSES_MAX, "transaction {tx} was guessed {runs} times");
        match status(tx) {
            EXECUTED | PARKED => {}
            WAITING => {
                let waits_for = |on: &usize| session.waiters[*on].lock().contains(&tx);
                let on = (0..tx).find(waits_for);
                let on = on.unwrap_or_else(|| panic!("transaction {tx} waits for nobody"));
                assert_ne!(status(on), EXECUTED, "transaction {tx} missed that {on} ran");
            }
            other => panic!("transaction {tx} was lost in state {other}"),
        }
    }
}

/// Transactions that ran and may be guessed again, after [`run_all_ahead`].
pub(crate) fn with_guesses_left<P: Program>(session: &Session<'_, P>) -> Vec<usize> {
    let has_guesses = |tx: &usize| {
        session.status[*tx].load(Ordering::Acquire) == EXECUTED
            && session.runs[*tx].load(Ordering::Relaxed) < GUESSES_MAX
    };
    (0..session.count).filter(has_guesses).collect()
}
