//! The database fails at its n-th operation, for every n: nothing is written after, and a store
//! that is opened again is as it was before the call that failed, or after it.

mod model;

use fugue_storage::{Access, Faults, StorageError, Store, StoreOptions};
use fugue_trie::TrieError;
use model::{
    compare, raw,
    sequence::{Sequence, Step},
};
use std::path::Path;

/// In a folder, every so many operations one is made to fail.
const FOLDER_EVERY: usize = 37;

/// Whether it is the failure that was asked for, maybe told by the tries.
fn is_injected(error: &StorageError) -> bool {
    match error {
        StorageError::Injected(_) => true,
        StorageError::Trie(TrieError::Source(reason)) => reason.contains("failure injected"),
        _ => false,
    }
}

/// Runs steps until one fails; gives how many were done, and checks that none is done after.
fn run(store: &Store, steps: &[Step]) -> (usize, Option<StorageError>) {
    let mut results = steps.iter().map(|step| step.run(store));
    let mut done = 0;
    let error = results.by_ref().find_map(|result| {
        done += usize::from(result.is_ok());
        result.err()
    });
    if let Some(error) = &error {
        for later in results {
            let refused = later.expect_err("nothing is done after a failure");
            let is_stopped = matches!(refused, StorageError::Stopped(_));
            assert!(is_stopped || is_injected(&refused), "after {error}: {refused}");
        }
    }
    (done, error)
}

fn open(folder: &Path, faults: Faults) -> Result<Store, StorageError> {
    let options = StoreOptions { faults, ..StoreOptions::new(Access::Write, 2) };
    Store::open(folder, options)
}

/// Operations of the whole sequence on a store in memory.
fn operations(sequence: &Sequence) -> u64 {
    let faults = Faults::counted();
    let store = Store::memory(faults.clone());
    assert_eq!(run(&store, &sequence.steps), (sequence.steps.len(), None));
    let operations = faults.operations();
    compare::whole(&store, sequence.last()).expect("as the model");
    operations
}

#[test]
fn a_failure_of_any_operation_ends_all_writing() {
    let sequence = Sequence::new();
    let operations = operations(&sequence);
    assert!(operations > 300, "{operations} are few");
    for operation in 0..operations {
        let store = Store::memory(Faults::at(operation));
        let (done, error) = run(&store, &sequence.steps);
        let error = error.expect("the operation is one of the sequence");
        assert!(done < sequence.steps.len() && is_injected(&error), "{operation}: {error}");
    }
}

/// How many steps a store has done that failed in the step after `done` of them.
fn resumed(store: &Store, sequence: &Sequence, done: usize) -> usize {
    let before = done.checked_sub(1).and_then(|last| sequence.after.get(last));
    let is_before = match before {
        Some(model) => compare::whole(store, model).is_ok(),
        None => store.meta().expect("a readable store").is_none(),
    };
    if is_before {
        return done;
    }
    let step = &sequence.steps[done];
    assert!(!step.is_one_write(), "step {done} was written though it failed");
    compare::whole(store, &sequence.after[done]).expect("as before the step or after it");
    done + 1
}

#[test]
fn a_folder_in_which_an_operation_failed_goes_on_where_it_was() {
    let sequence = Sequence::new();
    let whole = tempfile::tempdir().expect("a folder");
    let store = open(whole.path(), Faults::none()).expect("a folder of our own");
    assert_eq!(run(&store, &sequence.steps), (sequence.steps.len(), None));
    compare::whole(&store, sequence.last()).expect("as the model");
    drop(store);
    let expected = raw::dump(whole.path());

    for operation in (0..operations(&sequence)).step_by(FOLDER_EVERY) {
        let folder = tempfile::tempdir().expect("a folder");
        let (done, error) = match open(folder.path(), Faults::at(operation)) {
            Ok(store) => run(&store, &sequence.steps),
            Err(error) => (0, Some(error)),
        };
        let error = error.expect("the operation is one of the sequence");
        assert!(is_injected(&error), "{operation}: {error}");

        let store = open(folder.path(), Faults::none()).expect("nobody holds the lock");
        let done = resumed(&store, &sequence, done);
        for (index, step) in (done..).zip(&sequence.steps[done..]) {
            step.run(&store).unwrap_or_else(|error| panic!("{operation}: step {index}: {error}"));
        }
        compare::whole(&store, sequence.last()).expect("as if nothing had failed");
        drop(store);
        assert!(raw::dump(folder.path()) == expected, "{operation}: the rows differ");
    }
}

/// Another configuration.
const OTHER: &[u8] = b"{\"chainId\":1,\"osakaTime\":9}";

#[test]
fn a_configuration_is_replaced_as_a_whole_and_nothing_with_it() {
    let sequence = Sequence::new();
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path(), Faults::none()).expect("a folder of our own");
    let empty = store.set_config(OTHER.to_vec()).expect_err("there is no chain");
    assert!(matches!(empty, StorageError::Empty { .. }), "{empty}");
    for step in &sequence.steps[..3] {
        step.run(&store).expect("nothing fails");
    }
    drop(store);
    let before = raw::dump(folder.path());
    let read = Store::open(folder.path(), StoreOptions::new(Access::Read, 1)).expect("a chain");
    let refused = read.set_config(OTHER.to_vec()).expect_err("it is opened for reading");
    assert!(matches!(refused, StorageError::ReadOnly { .. }), "{refused}");
    drop(read);

    let mut operation = 0;
    loop {
        let opened = open(folder.path(), Faults::at(operation));
        let done = opened.and_then(|store| {
            let done = store.set_config(OTHER.to_vec());
            // After a failure nothing is written, however often it is asked for.
            done.inspect_err(|_| assert!(store.set_config(OTHER.to_vec()).is_err()))
        });
        let Err(error) = done else { break };
        assert!(is_injected(&error), "{operation}: {error}");
        assert!(raw::dump(folder.path()) == before, "{operation}: something was written");
        operation += 1;
    }
    assert!(operation > 10, "{operation} operations are few");

    let rows = |dump: &str| -> Vec<String> {
        dump.lines().filter(|row| !row.starts_with("  config ")).map(str::to_owned).collect()
    };
    let after = raw::dump(folder.path());
    assert!(after != before && rows(&after) == rows(&before), "other rows than that differ");
    let store = open(folder.path(), Faults::none()).expect("nobody holds the lock");
    assert_eq!(store.meta().expect("a good store").expect("a chain").config, OTHER);
}

/// The next step after a failed one is refused by the store itself, not by the database again.
#[test]
fn a_store_that_stopped_says_why() {
    let sequence = Sequence::new();
    let faults = Faults::counted();
    let store = Store::memory(faults.clone());
    sequence.steps[0].run(&store).expect("nothing fails");
    let before = faults.operations();
    sequence.steps[1].run(&store).expect("nothing fails");
    let last = faults.operations() - 1;
    assert!(last > before);

    let store = Store::memory(Faults::at(last));
    sequence.steps[0].run(&store).expect("nothing fails yet");
    let failed = sequence.steps[1].run(&store);
    assert_eq!(failed, Err(StorageError::Injected(last)), "the commit itself fails");
    let reason = StorageError::Injected(last).to_string();
    for _ in 0..2 {
        let refused = sequence.steps[1].run(&store);
        assert_eq!(refused, Err(StorageError::Stopped(reason.clone())));
    }
}
