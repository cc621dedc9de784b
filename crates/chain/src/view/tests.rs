//! A block beside the chain is read as one of it, whatever is durable.

use super::*;
use crate::engine::samples::{After, Change, IRREVERSIBLE, REVERSIBLE, World, keys, raise};
use fugue_storage::{Retention, StorageError};
use fugue_types::U256;

/// No bounds.
const FAR: Reach<'static> =
    Reach { blocks_max: u64::MAX, changes_max: usize::MAX, check: &|| Ok(()) };

/// A block, and above it one for each of these changes that changes anything.
fn chain(below: &After, changes: impl IntoIterator<Item = Change>) -> Vec<After> {
    let mut chain = vec![below.clone()];
    for change in changes {
        let last = chain.last().expect("a block");
        let diff = change(&last.state).canonical();
        if !diff.is_empty() {
            let next = last.child(diff);
            chain.push(next);
        }
    }
    chain
}

/// The view ends with this block, and has the state after it.
fn check(view: &ChainView, after: &After, told: &str) {
    let Head { number, hash } = after.head;
    let told = format!("{told}: block {number}");
    assert_eq!((view.head(), view.number(hash)), (after.head, Ok(Some(number))), "{told}");
    assert_eq!(view.header(number), Ok(Some((hash, after.header.clone()))), "{told}");
    assert_eq!(view.header(number + 1), Ok(None), "{told}");
    let looked = view.with_state(number, |state| {
        for (address, slot) in keys() {
            let account = after.state.account(address);
            assert_eq!(state.account(address), account, "{told}: {address}");
            if let Some(slot) = slot {
                let value = after.state.slot(address, slot);
                assert_eq!(state.slot(address, slot), value, "{told}: {address}: {slot}");
            }
        }
        for number in 0..=number {
            let hash = after.state.block_hash(number);
            assert_eq!(state.block_hash(number), hash, "{told}: hash of {number}");
        }
    });
    assert_eq!(looked, Ok(Some(())), "{told}");
    let slot = U256::from(1);
    for address in [1, 9, 200, 201, 210].map(Address::repeat_byte) {
        let proof = view.proof(number, address, &[slot], &FAR);
        let proof = proof.expect("a good store").expect("its head");
        assert_eq!(Ok(proof.account), after.state.account(address), "{told}: {address}");
        let values: Vec<U256> = proof.slots.iter().map(|proven| proven.value).collect();
        assert_eq!(Ok(values), after.state.slot(address, slot).map(|value| vec![value]), "{told}");
        let found = view.trie_account(number, address).expect("a good store");
        let root = found.map(|account| account.storage_root);
        assert_eq!(root, proof.account.map(|_| proof.storage_root), "{told}: {address}");
    }
}

#[test]
fn a_block_beside_the_chain_has_its_state_whatever_is_durable() {
    let changes = || IRREVERSIBLE.into_iter().chain(REVERSIBLE).map(|(_, change)| change);
    let mut above_the_fork = 0;
    for durable in 0..=6 {
        let world = World::new();
        let common = chain(&world.genesis, [raise as Change; 2]);
        let fork = common.last().expect("a genesis");
        let (one, two) = (chain(fork, changes()), chain(fork, changes().rev()));
        let whole: Vec<&After> = common.iter().chain(&one[1..]).collect();
        let last = whole[durable.min(whole.len() - 1)];
        if durable > 0 {
            world.commit(last);
        }
        above_the_fork += usize::from(last.head.number > fork.head.number);
        let snapshot = world.snapshot();
        let (of_one, of_two) = (&one[one.len() - 1], &two[two.len() - 1]);
        for (head, other) in [(of_one, of_two), (of_two, of_one)] {
            let view = world.view_with(&snapshot, head, &[other]);
            assert_eq!(view.number(other.head.hash), Ok(None));
            for after in common.iter().chain(&one).chain(&two) {
                let found = view.up_to(after.head.hash).expect("a good store");
                let told = format!("{durable} are durable, the head is {:?}", head.head);
                check(&found.expect("a known block"), after, &told);
            }
            assert!(matches!(view.up_to(B256::repeat_byte(9)), Ok(None)));
        }
    }
    assert!(above_the_fork > 0, "the branch never forks from history");
}

#[test]
fn a_child_of_the_head_is_read_as_if_it_were_the_head() {
    let changes = || IRREVERSIBLE.into_iter().chain(REVERSIBLE).map(|(_, change)| change);
    for durable in 0..=2 {
        let world = World::new();
        let whole = chain(&world.genesis, [raise as Change; 2].into_iter().chain(changes()));
        if durable > 0 {
            world.commit(&whole[durable]);
        }
        let snapshot = world.snapshot();
        for pair in whole[durable..].windows(2) {
            let (parent, child) = (&pair[0], &pair[1]);
            let view = world.view(&snapshot, parent);
            let grown = view.with_child(child.record().expect("it is no genesis"));
            let told = format!("{durable} are durable, the head is {:?}", parent.head);
            check(&grown, child, &told);
            let below = grown.up_to(parent.head.hash).expect("a good store");
            check(&below.expect("a known block"), parent, &told);
            // The view itself does not know of it.
            check(&view, parent, &told);
            assert!(matches!(view.up_to(child.head.hash), Ok(None)), "{told}");
        }
    }
}

#[test]
fn a_view_for_one_call_keeps_no_tries() {
    let world = World::new();
    let chain = chain(&world.genesis, [raise as Change; 3]);
    let view = world.view(&world.snapshot(), &chain[2]);
    let grown = view.with_child(chain[3].record().expect("it is no genesis"));
    let below = view.up_to(chain[1].head.hash).expect("a good store").expect("a known block");
    for (view, after) in [(&view, &chain[2]), (&grown, &chain[3]), (&below, &chain[1])] {
        let diff = raise(&after.state);
        let roots = vec![after.root_after(&diff)];
        // Twice: what the first one changed is not there for the second.
        for _ in 0..2 {
            let changes = std::slice::from_ref(&diff);
            let found = view.roots_through(after.head.number, changes, &FAR);
            assert_eq!(found, Ok(Some(roots.clone())), "{:?}", after.head);
        }
    }
    let keeps = [&view, &grown, &below].map(|view| view.kept.is_some());
    assert_eq!(keeps, [true, false, false]);
}

#[test]
fn a_branch_has_states_as_long_as_the_block_that_it_leaves_has_one() {
    let world = World::new();
    let common = chain(&world.genesis, [raise as Change; 2]);
    let fork = common.last().expect("a genesis");
    let one = chain(fork, [raise as Change; 3]);
    let two = chain(fork, REVERSIBLE.into_iter().rev().map(|(_, change)| change));
    world.commit(&one[3]);
    let beside = || {
        let view = world.view_with(&world.snapshot(), &one[3], &[&two[3]]);
        view.up_to(two[3].head.hash).expect("a good store").expect("a known block")
    };
    let prune = |window| world.store.prune(Retention::Full { window }).expect("a good store");
    prune(3);
    assert_eq!(beside().oldest_state(), fork.head.number);
    check(&beside(), &two[3], "where it leaves the chain there is a state");

    prune(2);
    let view = beside();
    let (number, oldest) = (fork.head.number, view.oldest_state());
    assert_eq!(oldest, number + 1);
    let pruned = || ImportError::from(StorageError::Pruned { what: "state", number, oldest });
    for Head { number, hash } in two.iter().map(|after| after.head) {
        assert_eq!(view.number(hash), Ok(Some(number)));
        assert_eq!(view.with_state(number, |_| ()), Err(pruned()), "block {number}");
        let proof = view.proof(number, Address::repeat_byte(1), &[], &FAR);
        assert_eq!(proof, Err(pruned()), "block {number}");
    }
}

#[test]
fn a_block_on_nothing_that_is_known_has_no_state() {
    let world = World::new();
    let chain = chain(&world.genesis, [raise as Change; 2]);
    let view = world.view(&world.snapshot(), &chain[2]);
    let last = |view: &ChainView| view.up_to(chain[2].head.hash).expect("a good store");
    assert!(last(&view).is_some());
    let mut blocks = (*view.blocks).clone();
    assert!(blocks.remove(&chain[1].head.hash).is_some());
    assert!(last(&ChainView { blocks: Arc::new(blocks), ..view }).is_none());
}
