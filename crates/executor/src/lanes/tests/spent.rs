//! What a run in lanes took is told, however it ended.

use super::*;
use crate::{Fallback, GivenUp, Report};
use fugue_scheduler::Memory;

/// How a block ran.
fn report(ground: &Ground, mode: Mode) -> Report {
    let Execution { outcome, report } = ground.execute(mode, &ground.state).expect("valid");
    assert_eq!(Ok(outcome), ground.sequential(), "{mode}");
    report
}

#[test]
fn lanes_that_were_given_up_are_told_with_what_had_run_in_them() {
    let calls: Vec<_> = (0..12).map(|nonce| call(ALICE, nonce, COUNTER, 0)).collect();
    let ground = Ground::new(Fork::Shanghai, &calls);
    let Report { way, fallback, given_up, memory_bytes, .. } = report(&ground, Mode::Auto);
    assert_eq!((way, fallback), (Way::Sequential(Some(WhySequential::OneChain)), None));
    let Some(GivenUp { cause, txs, is_kept, time: _ }) = given_up else {
        panic!("lanes gave it up")
    };
    assert_eq!(cause, FallbackCause::from(LaneFault::OneChain));
    assert!((1..=calls.len()).contains(&txs), "{txs}");
    assert!(is_kept, "the caller had begun");
    let shared = Marks::default().memory_bytes() + Published::default().memory_bytes();
    assert!(memory_bytes > shared, "{memory_bytes}");
    let habit = ground.executor.hints().habit(&COUNTER).and_then(|habit| habit.depended_percent());
    assert_eq!(habit, Some(100), "it is taught, too");
    // The next one is known to be a chain: no more has run than what the caller began.
    let declined = report(&ground, Mode::Auto).given_up.expect("lanes left it");
    assert_eq!((declined.cause, declined.is_kept), (cause, declined.txs > 0));
    for mode in [Mode::Seq, Mode::Occ, Mode::Lanes] {
        assert_eq!(report(&ground, mode).given_up, None, "{mode}");
    }
}

#[test]
fn lanes_that_did_not_get_an_answer_are_told_as_well() {
    let ground = Ground::new(Fork::Shanghai, &counting());
    let view = Troubled::new(&[COUNTER], Trouble::FailsOnce);
    let Execution { report, .. } = ground.execute(Mode::Lanes, &view).expect("it fails once");
    let Some(Fallback { cause }) = report.fallback else { panic!("it ended early") };
    assert_eq!(report.given_up.map(|given_up| given_up.cause), Some(cause));
}

#[test]
fn memory_is_told_of_what_runs_in_parallel_on_one_thread_too() {
    let shared = Marks::default().memory_bytes() + Published::default().memory_bytes();
    let empty = 2 * Memory::<u64, u64>::new().memory_bytes();
    for threads in [1, 2] {
        let ground = Ground::with_threads(Fork::Shanghai, &counting(), threads);
        assert_eq!(report(&ground, Mode::Seq).memory_bytes, 0);
        let optimistic = report(&ground, Mode::Occ);
        assert_eq!(optimistic.way, Way::Optimistic);
        assert!(optimistic.memory_bytes > empty, "{threads} threads: {optimistic:?}");
        // On one thread nothing is published: the rest is journals and touches.
        let in_lanes = report(&ground, Mode::Lanes);
        assert_eq!(in_lanes.way, Way::Lanes);
        assert!(in_lanes.memory_bytes > shared, "{threads} threads: {in_lanes:?}");
    }
}
