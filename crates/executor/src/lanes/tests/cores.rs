//! More threads than there are cores.

use super::*;
use std::{num::NonZero, thread};

#[test]
fn auto_takes_more_threads_than_there_are_cores_where_they_wait_for_the_state_alone() {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let txs: Vec<_> = (0..20).map(|nonce| store(ALICE, nonce, nonce, 1)).collect();
    let mut ground = Ground::with_threads(Fork::London, &txs, cores + 3);
    ground.executor = Executor::new(cores + 3).expect("threads");
    let expected = ground.sequential();
    let offered = |mode, takes| {
        let view = Guarded::new(&ground.state, |_| {
            thread::sleep(takes);
            Ok(())
        });
        let Execution { outcome, report } = ground.execute(mode, &view).expect("valid");
        assert_eq!(Ok(outcome), expected, "{mode}: {takes:?}");
        report.threads
    };
    let slow = Duration::from_millis(1);
    assert_eq!(offered(Mode::Auto, slow), cores + 3);
    // Whoever is kept from its core at the wrong moments takes memory for a disk.
    let mut tries = (0..100).map(|_| offered(Mode::Auto, Duration::ZERO));
    assert!(tries.any(|threads| threads == cores));
    for (mode, takes) in [Mode::Lanes, Mode::Occ].map(|mode| (mode, Duration::ZERO)) {
        assert_eq!(offered(mode, takes), cores + 3, "{mode}: it was asked for");
    }
}
