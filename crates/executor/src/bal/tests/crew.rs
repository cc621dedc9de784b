//! A panic of a thread that helps the caller's.

use super::*;
use parking_lot::Condvar;
use std::{
    thread::{self, ThreadId},
    time::Duration,
};

/// How long the caller's thread waits for another one, which should come at once.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// A state that panics where another thread than the caller's asks for an account. The caller's
/// waits until one has, so that it does not run all alone.
struct PanicsInCrew {
    state: MemoryState,
    caller: ThreadId,
    has_panicked: Mutex<bool>,
    panics: Condvar,
}

impl StateView for PanicsInCrew {
    fn account(&self, address: Address) -> Result<Option<Account>, StateError> {
        let mut has_panicked = self.has_panicked.lock();
        if thread::current().id() != self.caller {
            *has_panicked = true;
            self.panics.notify_all();
            panic!("as it was told");
        }
        let is_early = |has_panicked: &mut bool| !*has_panicked;
        let waited = self.panics.wait_while_for(&mut has_panicked, is_early, WAIT_MAX);
        assert!(!waited.timed_out(), "no other thread came");
        self.state.account(address)
    }

    fn slot(&self, address: Address, slot: U256) -> Result<U256, StateError> {
        self.state.slot(address, slot)
    }

    fn has_storage_beside(&self, address: Address, emptied: &SlotSet) -> Result<bool, StateError> {
        self.state.has_storage_beside(address, emptied)
    }

    fn code(&self, code_hash: B256) -> Result<Bytes, StateError> {
        self.state.code(code_hash)
    }

    fn block_hash(&self, number: u64) -> Result<B256, StateError> {
        self.state.block_hash(number)
    }
}

#[test]
fn a_panic_of_another_thread_than_the_callers_ends_the_run_alone() {
    let ground = Ground::new(Fork::Shanghai, &some_txs());
    let Ground { executor, block, rules, expected, list, .. } = ground;
    let block = block.with_access_list(Arc::new(list));
    let view = PanicsInCrew {
        state: state(),
        caller: thread::current().id(),
        has_panicked: Mutex::new(false),
        panics: Condvar::new(),
    };
    let run = executor.execute(Mode::Bal, &block, &rules, &view, Scope::Recorded);
    let Execution { outcome, report } = run.expect("valid");
    assert_eq!((outcome, report.list), (expected, Some(ListUse::Dropped)));
    let cause = report.fallback.expect("the run ended").cause;
    assert!(matches!(cause, FallbackCause::Block(BlockError::Internal(_))), "{cause}");
    assert!(view.has_panicked.into_inner());
}
