//! That proofs hold, of every block whose state is kept; what is out of reach; and what is kept for
//! the next proof.

use super::*;
use crate::engine::samples::{After, IRREVERSIBLE, REVERSIBLE, World, raise};
use fugue_storage::Snapshot;
use fugue_trie::{Nibbles, verify_proof};
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

/// Accounts that are looked at, by the byte that their address consists of: some that store
/// nothing, one of which goes, all that store something, and one that never is.
const LOOKED_AT: [u8; 10] = [1, 9, 40, 77, 150, 200, 201, 202, 210, 0xee];

/// No bounds.
const FAR: Reach<'static> =
    Reach { blocks_max: u64::MAX, changes_max: usize::MAX, check: &|| Ok(()) };

/// A chain with every kind of change, twice; the block of each.
fn chain(world: &World) -> Vec<After> {
    let mut chain = vec![world.genesis.clone()];
    for _ in 0..2 {
        for (_, change) in IRREVERSIBLE.into_iter().chain(REVERSIBLE) {
            let last = chain.last().expect("a genesis");
            // What has come or gone once does not come or go again.
            let diff = change(&last.state).canonical();
            if !diff.is_empty() {
                let next = last.child(diff);
                chain.push(next);
            }
        }
    }
    chain
}

/// Accounts, and a few of their slots, are proven to be what they are in the maps.
fn check(view: &ChainView, after: &After) {
    let slots: Vec<U256> = (0..45_u64).step_by(4).chain([1, 2, 3]).map(U256::from).collect();
    for address in LOOKED_AT.map(Address::repeat_byte) {
        let proof = view.proof(after.head.number, address, &slots, &FAR);
        let proof = proof.expect("a good store").expect("a block of the chain");
        let known = after.state.accounts.get(&address);
        assert_eq!(proof.account, known.map(|known| known.account), "{address}");
        let rlp = proof.account.map(|account| {
            let Account { nonce, balance, code_hash } = account;
            let storage_root = proof.storage_root;
            alloy_rlp::encode(TrieAccount { nonce, balance, storage_root, code_hash })
        });
        let key = Nibbles::unpack(keccak256(address));
        verify_proof(after.header.state_root, key, rlp, &proof.nodes).expect("it holds");
        assert_eq!(proof.slots.iter().map(|proven| proven.slot).collect::<Vec<_>>(), slots);
        for SlotProof { slot, value, nodes } in &proof.slots {
            let expected = known.and_then(|known| known.slots.get(slot)).copied();
            assert_eq!(*value, expected.unwrap_or_default(), "{address}: {slot}");
            let key = Nibbles::unpack(keccak256(slot.to_be_bytes::<32>()));
            let rlp = expected.map(alloy_rlp::encode);
            verify_proof(proof.storage_root, key, rlp, nodes).expect("it holds");
        }
    }
}

/// Calls with a view of the chain, its blocks and the last of them, with none, some and all of them
/// durable.
fn whatever_is_durable(call: impl Fn(&ChainView, &[After], &After)) {
    for durable in [0, 3, usize::MAX] {
        let world = World::new();
        let chain = chain(&world);
        let last = chain.last().expect("some blocks");
        let durable = durable.min(chain.len() - 1);
        if durable > 0 {
            world.commit(&chain[durable]);
        }
        let snapshot = world.snapshot();
        let view = world.view(&snapshot, last);
        call(&view, &chain, last);
    }
}

#[test]
fn proofs_hold_of_every_block_whatever_is_durable() {
    whatever_is_durable(|view, chain, last| {
        for after in chain {
            check(view, after);
        }
        assert_eq!(view.proof(last.head.number + 1, Address::ZERO, &[], &FAR), Ok(None));
    });
}

/// The last of five blocks, the first four of which are durable.
fn five(world: &World) -> (Arc<Snapshot>, After) {
    let mut last = world.genesis.clone();
    for number in 1..=5 {
        last = last.child(raise(&last.state));
        if number == 4 {
            world.commit(&last);
        }
    }
    (world.snapshot(), last)
}

/// What is said of a proof that is not given.
fn refused(view: &ChainView, number: u64, reach: &Reach<'_>) -> String {
    match view.proof(number, Address::repeat_byte(1), &[], reach) {
        Err(ImportError::Storage(StorageError::GivenUp(reason))) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_out_of_reach_is_told_with_the_bound() {
    let world = World::new();
    let (snapshot, last) = five(&world);
    let view = world.view(&snapshot, &last);
    let near = Reach { blocks_max: 2, ..FAR };
    for number in 2..=5 {
        let proof = view.proof(number, Address::repeat_byte(1), &[], &near);
        assert!(matches!(proof, Ok(Some(_))), "block {number}");
    }
    let told = refused(&view, 1, &near);
    assert!(told.ends_with("state roots go back 2 blocks, to block 2"), "{told}");

    let few = Reach { changes_max: 3, ..FAR };
    let told = refused(&view, 3, &few);
    assert!(told.starts_with("more than 3 accounts and slots changed since block 3"), "{told}");
    for number in [4, 5] {
        let proof = view.proof(number, Address::repeat_byte(1), &[], &few);
        assert!(matches!(proof, Ok(Some(_))), "block {number}");
    }
}

#[test]
fn state_roots_follow_changes_of_any_block_and_leave_it_as_it_is() {
    whatever_is_durable(|view, chain, last| {
        for after in chain {
            let number = after.head.number;
            // Twice: what is kept of the first time is as it was.
            for _ in 0..2 {
                let done = view.with_roots(number, &FAR, |root| {
                    let mut at = after.clone();
                    for (name, change) in IRREVERSIBLE.into_iter().chain(REVERSIBLE) {
                        let diff = change(&at.state).canonical();
                        at = at.child(diff.clone());
                        assert_eq!(root(&diff), Ok(at.header.state_root), "{name} after {number}");
                    }
                });
                assert_eq!(done, Ok(Some(())));
            }
            check(view, after);
        }
        assert_eq!(view.with_roots(last.head.number + 1, &FAR, |_| ()), Ok(None));
    });
}

#[test]
fn state_roots_have_the_bounds_of_proofs() {
    let world = World::new();
    let (snapshot, last) = five(&world);
    let view = world.view(&snapshot, &last);
    let given_up = |done: Result<Option<()>, ImportError>| {
        matches!(done, Err(ImportError::Storage(StorageError::GivenUp(_))))
    };
    let near = Reach { blocks_max: 2, ..FAR };
    let few = Reach { changes_max: 3, ..FAR };
    assert!(given_up(view.with_roots(1, &near, |_| ())));
    assert!(given_up(view.with_roots(3, &few, |_| ())));
    assert_eq!(view.with_roots(4, &few, |_| ()), Ok(Some(())));

    let is_over = AtomicBool::new(false);
    let check = || -> Result<(), String> {
        if is_over.load(Ordering::Relaxed) { Err("enough".to_owned()) } else { Ok(()) }
    };
    let patient = Reach { check: &check, ..FAR };
    let next = last.child(raise(&last.state));
    let done = view.with_roots(5, &patient, |root| {
        assert_eq!(root(&raise(&last.state)), Ok(next.header.state_root));
        is_over.store(true, Ordering::Relaxed);
        root(&StateDiff::default())
    });
    let enough = StorageError::GivenUp("enough".to_owned());
    assert_eq!(done, Ok(Some(Err(ImportError::Storage(enough)))));
}

#[test]
fn work_that_is_given_up_ends_wherever_it_is() {
    let world = World::new();
    let (snapshot, last) = five(&world);
    let ask = |number, check: &(dyn Fn() -> Result<(), String> + Sync)| {
        // A view that has nothing at hand.
        let view = world.view(&snapshot, &last);
        view.proof(number, Address::repeat_byte(1), &[], &Reach { check, ..FAR })
    };
    for number in [0, 5] {
        let asked = AtomicUsize::new(0);
        let count = || -> Result<(), String> {
            asked.fetch_add(1, Ordering::Relaxed);
            Ok(())
        };
        assert!(matches!(ask(number, &count), Ok(Some(_))), "block {number}");
        let asked = asked.into_inner();
        assert!(asked > 5, "{asked}: not for every block and node");
        for after in (0..asked).step_by(1 + asked / 50) {
            let calls = AtomicUsize::new(0);
            let patience = || -> Result<(), String> {
                if calls.fetch_add(1, Ordering::Relaxed) < after {
                    return Ok(());
                }
                Err("enough".to_owned())
            };
            let enough = StorageError::GivenUp("enough".to_owned());
            let told = ask(number, &patience);
            assert_eq!(told, Err(ImportError::Storage(enough)), "after {after} of {asked}");
        }
    }
}

#[test]
fn the_tries_of_a_block_that_is_not_durable_are_kept_for_the_next_proof() {
    let world = World::new();
    let (snapshot, last) = five(&world);
    let view = world.view(&snapshot, &last);
    let ask = |number, address| {
        let operations = world.faults.operations();
        let proof = view.proof(number, Address::repeat_byte(address), &[], &FAR);
        assert!(matches!(proof, Ok(Some(_))), "{proof:?}");
        world.faults.operations() - operations
    };
    let kept = || view.kept.as_ref().and_then(KeptTries::number);
    assert_eq!(kept(), None);
    let first = ask(5, 1);
    assert_eq!(kept(), Some(5));
    assert!(first > 0);
    // All accounts changed: what leads to them is in memory.
    assert_eq!(ask(5, 2), 0, "the store was read again");
    // Those of a durable block are not kept, and do not take the place of what is.
    assert!(ask(4, 1) > 0 && ask(3, 1) > 0);
    assert_eq!(kept(), Some(5));
    assert_eq!(ask(5, 3), 0, "the store was read again");
}

#[test]
fn roots_follow_the_changes_one_upon_the_other() {
    let world = World::new();
    let mut last = world.genesis.clone();
    let (mut changes, mut roots) = (Vec::new(), Vec::new());
    for number in 1..=4_usize {
        let diff = raise(&last.state);
        last = last.child(diff.clone());
        changes.push(diff);
        roots.push(last.header.state_root);
        if number == 2 {
            world.commit(&last);
        }
    }
    let snapshot = world.snapshot();
    let view = world.view(&snapshot, &last);
    for from in 0..=4_usize {
        let found = view.roots_through(from as u64, &changes[from..], &FAR);
        assert_eq!(found, Ok(Some(roots[from..].to_vec())), "from block {from}");
    }
    assert_eq!(view.roots_through(5, &[], &FAR), Ok(None));
    let given_up = Reach { check: &|| Err("enough".to_owned()), ..FAR };
    let enough = ImportError::Storage(StorageError::GivenUp("enough".to_owned()));
    assert_eq!(view.roots_through(3, &changes[3..], &given_up), Err(enough));
}
