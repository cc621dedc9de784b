//! That a ground is the state that it is taken for, whatever it came from; that what was read stays
//! with it; and when it is left.

use super::*;
use crate::engine::samples::{After, IRREVERSIBLE, REVERSIBLE, World, come, keys, raise};
use fugue_executor::Executor;
use fugue_state::MemoryState;

/// Every account and slot is what it is in the maps.
fn check_reads(ground: &mut Ground, expected: &MemoryState) {
    let read = |state: &dyn StateView| {
        for (address, slot) in keys() {
            if let Some(slot) = slot {
                let expected = expected.slot(address, slot);
                assert_eq!(state.slot(address, slot), expected, "{address}: slot {slot}");
            } else {
                assert_eq!(state.account(address), expected.account(address), "{address}");
            }
        }
    };
    assert_eq!(ground.with_view(read), Ok(()));
}

/// The root after a change is that of the maps after it, and the ground stays what it is.
fn check_root(ground: &mut Ground, after: &After, diff: &StateDiff, pool: Option<&ThreadPool>) {
    assert_eq!(ground.root_after(diff, pool), Ok(after.root_after(diff)));
    assert_eq!(ground.take_back(pool), Ok(()));
    assert_eq!(ground.work.tries.root(), after.header.state_root);
}

/// The ground is that of this block.
fn check(ground: &mut Ground, after: &After, pool: Option<&ThreadPool>) {
    let After { head, state, .. } = after;
    assert_eq!(ground.hash(), head.hash);
    check_reads(ground, state);
    let read = |view: &dyn StateView| {
        for (number, hash) in &state.block_hashes {
            assert_eq!(view.block_hash(*number), Ok(*hash), "block {number}");
        }
        for (hash, code) in &state.codes {
            assert_eq!(view.code(*hash), Ok(code.clone()), "code {hash}");
        }
    };
    assert_eq!(ground.with_view(read), Ok(()));
    for (_, change) in REVERSIBLE.into_iter().chain(IRREVERSIBLE) {
        check_root(ground, after, &change(state), pool);
    }
}

/// The ground of a block, out of that of an ancestor.
fn extended(ground: Ground, after: &After, view: &ChainView, pool: Option<&ThreadPool>) -> Ground {
    let extended = ground.extend(after.head, view, pool).expect("a good store");
    extended.expect("it is the ground of an ancestor")
}

#[test]
fn a_ground_goes_to_a_descendant_of_its_block_with_all_that_was_read() {
    let world = World::new();
    let (snapshot, genesis) = (world.snapshot(), &world.genesis);
    let one = genesis.child(raise(&genesis.state));
    let two = one.child(raise(&one.state));
    for after in [&one, &two] {
        let view = world.view(&snapshot, after);
        let diff = raise(&after.state);
        let mut ground = world.ground(&snapshot, genesis);
        check_reads(&mut ground, &genesis.state);
        ground.warm(&keys(), || true);
        let operations = world.faults.operations();
        let ground = Ground::at(after.head, &view, Some(ground), None);
        let mut ground = ground.expect("a good store");
        assert_eq!(ground.hash(), after.head.hash);
        check_reads(&mut ground, &after.state);
        check_root(&mut ground, after, &diff, None);
        assert_eq!(world.faults.operations(), operations, "the store was read again");
        // Without the earlier one it is.
        let mut anew = world.ground(&snapshot, after);
        let operations = world.faults.operations();
        check_reads(&mut anew, &after.state);
        check_root(&mut anew, after, &diff, None);
        assert!(world.faults.operations() > operations);
    }
}

#[test]
fn a_ground_that_went_from_block_to_block_is_the_same_as_one_made_anew() {
    for threads in [1, 2] {
        let executor = Executor::new(threads).expect("threads");
        let pool = executor.pool();
        let world = World::new();
        let snapshot = world.snapshot();
        let mut after = world.genesis.clone();
        let mut ground = world.ground(&snapshot, &after);
        // Once more with what came and went before.
        for (_, change) in REVERSIBLE.into_iter().chain(IRREVERSIBLE).chain(REVERSIBLE) {
            after = after.child(change(&after.state));
            let view = world.view(&snapshot, &after);
            ground = extended(ground, &after, &view, pool);
            let mut anew = Ground::at(after.head, &view, None, pool).expect("a good store");
            for one in [&mut ground, &mut anew] {
                check(one, &after, pool);
            }
        }
    }
}

#[test]
fn what_a_root_was_computed_of_is_taken_back_whatever_came_into_memory_meanwhile() {
    let world = World::new();
    let (snapshot, genesis) = (world.snapshot(), &world.genesis);
    for (told, change) in REVERSIBLE {
        let diff = change(&genesis.state);
        let root = genesis.root_after(&diff);
        // Nothing of its tries is in memory yet.
        let mut ground = world.ground(&snapshot, genesis);
        assert_eq!(ground.root_after(&diff, None), Ok(root), "{told}");
        assert!(ground.tried.is_some(), "{told}: not in the tries of the ground");
        ground.warm(&keys(), || true);
        assert_eq!(ground.work.tries.root(), root, "{told}");
        assert_eq!(ground.take_back(None), Ok(()), "{told}");
        assert_eq!(ground.work.tries.root(), genesis.header.state_root, "{told}");
        check(&mut ground, genesis, None);

        // It is taken back, too, on the way to the block that was built.
        assert_eq!(ground.root_after(&diff, None), Ok(root), "{told}");
        let one = genesis.child(diff);
        let mut ground = extended(ground, &one, &world.view(&snapshot, &one), None);
        check(&mut ground, &one, None);
    }
}

#[test]
fn the_root_after_a_change_without_a_way_back_is_computed_in_a_copy() {
    let world = World::new();
    let (snapshot, genesis) = (world.snapshot(), &world.genesis);
    let mut ground = world.ground(&snapshot, genesis);
    for (told, change) in IRREVERSIBLE {
        let diff = change(&genesis.state);
        assert_eq!(diff.reversed(), None, "{told}");
        assert_eq!(ground.root_after(&diff, None), Ok(genesis.root_after(&diff)), "{told}");
        assert!(ground.tried.is_none(), "{told}");
        assert_eq!(ground.work.tries.root(), genesis.header.state_root, "{told}");
        // There is nothing to be taken back before others.
        for (_, change) in REVERSIBLE {
            check_root(&mut ground, genesis, &change(&genesis.state), None);
        }
    }
    check(&mut ground, genesis, None);
}

#[test]
fn a_ground_goes_to_no_block_but_descendants_of_its_own() {
    let world = World::new();
    let (snapshot, genesis) = (world.snapshot(), &world.genesis);
    let one = genesis.child(raise(&genesis.state));
    let sibling = genesis.child(come(&genesis.state));
    let nephew = sibling.child(raise(&sibling.state));
    for after in [genesis, &sibling, &nephew] {
        let view = world.view(&snapshot, after);
        let extended = world.ground(&snapshot, &one).extend(after.head, &view, None);
        assert!(matches!(extended, Ok(None)), "block {}", after.head.number);
        let earlier = world.ground(&snapshot, &one);
        let anew = Ground::at(after.head, &view, Some(earlier), None);
        check(&mut anew.expect("a good store"), after, None);
    }
    // That of the block from which they part goes either way.
    for after in [&one, &nephew] {
        let view = world.view(&snapshot, after);
        let mut ground = extended(world.ground(&snapshot, genesis), after, &view, None);
        check(&mut ground, after, None);
    }
}

#[test]
fn beside_the_durable_head_a_ground_is_made_anew_for_every_block() {
    let world = World::new();
    let genesis = &world.genesis;
    let durable = genesis.child(raise(&genesis.state));
    let sibling = genesis.child(come(&genesis.state));
    let nephew = sibling.child(raise(&sibling.state));
    world.commit(&durable);
    let snapshot = world.snapshot();
    let mut ground = world.ground(&snapshot, &sibling);
    check(&mut ground, &sibling, None);
    let view = world.view(&snapshot, &nephew);
    let extended = world.ground(&snapshot, &sibling).extend(nephew.head, &view, None);
    assert!(matches!(extended, Ok(None)));
    let anew = Ground::at(nephew.head, &view, Some(ground), None);
    check(&mut anew.expect("a good store"), &nephew, None);
}

#[test]
fn a_ground_that_does_not_come_out_is_made_anew() {
    let world = World::new();
    let (snapshot, genesis) = (world.snapshot(), &world.genesis);
    let one = genesis.child(raise(&genesis.state));
    let view = world.view(&snapshot, &one);
    let damaged = || {
        let mut ground = world.ground(&snapshot, genesis);
        ground.tried = Some((StateDiff::default(), B256::ZERO));
        ground
    };
    assert!(matches!(damaged().extend(one.head, &view, None), Err(ImportError::Internal(_))));
    let anew = Ground::at(one.head, &view, Some(damaged()), None);
    check(&mut anew.expect("a good store"), &one, None);
}

#[test]
fn a_ground_is_left_by_a_newer_state_of_the_store() {
    let world = World::new();
    let (old, genesis) = (world.snapshot(), &world.genesis);
    let one = genesis.child(raise(&genesis.state));
    let two = one.child(come(&one.state));
    let mut ground = world.ground(&old, &one);
    assert!(!ground.is_left_by(&world.view(&old, &two)));
    world.commit(&one);
    let view = world.view(&world.snapshot(), &two);
    assert!(ground.is_left_by(&view));
    // Whoever is on it still stands.
    check(&mut ground, &one, None);
    let mut anew = Ground::at(two.head, &view, Some(ground), None).expect("a good store");
    assert!(!anew.is_left_by(&view));
    assert_eq!(Arc::strong_count(&old), 1, "others have the old state");
    check(&mut anew, &two, None);
}
