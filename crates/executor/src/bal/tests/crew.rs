//! A panic of a thread that helps the caller's.

use super::*;
use parking_lot::Condvar;
use std::{thread, time::Duration};

/// How long the caller's thread waits for another one, which should come at once.
const WAIT_MAX: Duration = Duration::from_secs(60);

#[test]
fn a_panic_of_another_thread_than_the_callers_ends_the_run_alone() {
    let ground = Ground::new(Fork::Shanghai, &some_txs());
    let Ground { executor, block, rules, expected, list, .. } = ground;
    let block = block.with_access_list(Arc::new(list));
    // Another thread than the caller's panics when it asks for an account. The caller's waits until
    // one has, so that it does not run all alone.
    let caller = thread::current().id();
    let (panicked, panics) = (Mutex::new(false), Condvar::new());
    let state = state();
    let view = Guarded::new(&state, |question| {
        let Question::Account(_) = question else { return Ok(()) };
        let mut has_panicked = panicked.lock();
        if thread::current().id() != caller {
            *has_panicked = true;
            panics.notify_all();
            panic!("as it was told");
        }
        let is_early = |has_panicked: &mut bool| !*has_panicked;
        let waited = panics.wait_while_for(&mut has_panicked, is_early, WAIT_MAX);
        assert!(!waited.timed_out(), "no other thread came");
        Ok(())
    });
    let run = executor.execute(Mode::Bal, &block, &rules, &view, Scope::Recorded);
    let Execution { outcome, report } = run.expect("valid");
    assert_eq!((outcome, report.list), (expected, Some(ListUse::Dropped)));
    let cause = report.fallback.expect("the run ended").cause;
    assert!(matches!(cause, FallbackCause::Block(BlockError::Internal(_))), "{cause}");
    assert!(panicked.into_inner());
}
