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
    let view = troubled(&ground.state, &[COUNTER], Trouble::FailsOnce);
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

/// A block that has no room for its transactions is known by settling, when all have run: so they
/// do not all run.
#[test]
fn no_more_runs_in_lanes_than_twice_what_the_block_has_gas_for() {
    const BURNER: Address = Address::repeat_byte(0xe0);
    let burn = |sender, nonce| with_gas(2_000_000, sender, nonce, BURNER, 0, &[1]);
    let txs: Vec<_> =
        (0..20).flat_map(|nonce| [ALICE, BOB].map(|sender| burn(sender, nonce))).collect();
    let mut ground = Ground::new(Fork::Shanghai, &txs);
    // JUMPDEST, PUSH1 0, JUMP
    ground.deploy(BURNER, &[0x5b, 0x60, 0, 0x56], &[]);
    let expected = ground.sequential().expect_err("it has no room for all of them");
    let BlockError::Invalid(InvalidBlock::GasLimit { index: 15, .. }) = expected else {
        panic!("{expected}")
    };
    assert_eq!(ground.execute(Mode::Lanes, &ground.state), Err(expected));

    let (codes, room) = (CodeCache::new(), Mutex::new(None));
    let (lane_room, hints) = (Mutex::new(None), Mutex::default());
    let resources = Resources {
        codes: &codes,
        pool: ground.executor.pool().expect("more than one thread"),
        threads: 2,
        room: &room,
        lane_room: &lane_room,
        hints: &hints,
        observes: false,
    };
    let Ground { block, rules, state, .. } = &ground;
    let mut spent = Spent::default();
    let ran = run(block, rules, state, Scope::Recorded, &resources, false, &mut spent);
    let Err(FallbackCause::Block(BlockError::Invalid(InvalidBlock::GasLimit { .. }))) = ran else {
        panic!("it has no room in lanes either")
    };
    // For 30 of them there is gas; by then each worker may run another one.
    assert!((1..=32).contains(&spent.txs), "{}", spent.txs);
}
