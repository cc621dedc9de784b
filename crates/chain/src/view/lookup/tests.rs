//! Accounts are the same before and after their blocks are durable.

use super::*;
use crate::engine::samples::{After, Change, IRREVERSIBLE, REVERSIBLE, World, keys, raise};

/// A chain of three blocks, the second of which changes this.
fn chain(world: &World, change: Change) -> After {
    let mut after = world.genesis.clone();
    for change in [raise as Change, change, raise] {
        let diff = change(&after.state);
        after = after.child(diff);
    }
    after
}

#[test]
fn an_account_is_the_same_above_the_store_and_in_it() {
    for (about, change) in REVERSIBLE.into_iter().chain(IRREVERSIBLE) {
        let world = World::new();
        let after = chain(&world, change);
        let above = world.view(&world.snapshot(), &after);
        assert_eq!(above.snapshot().meta().head.number, 0, "nothing is durable");
        world.commit(&after);
        let durable = world.view(&world.snapshot(), &after);
        assert_eq!(durable.snapshot().meta().head.number, 3, "all is durable");
        let mut roots = 0;
        for (address, _) in keys() {
            for number in 0..=3 {
                let found = above.trie_account(number, address).expect("a good store");
                let expected = durable.trie_account(number, address).expect("a good store");
                assert_eq!(found, expected, "{about}: {address} after block {number}");
                let root = found.map(|account| account.storage_root);
                roots += usize::from(root.is_some_and(|root| root != EMPTY_ROOT_HASH));
            }
        }
        assert!(roots > 0, "{about}: some account stores something");
    }
}

#[test]
fn there_is_no_account_above_the_head() {
    let world = World::new();
    let view = world.view(&world.snapshot(), &world.genesis);
    let found = view.trie_account(1, Address::repeat_byte(1));
    let expected = StorageError::AboveHead { number: 1, head: 0 };
    assert_eq!(found, Err(ImportError::Storage(expected)));
}

#[test]
fn a_header_is_found_by_its_hash() {
    let world = World::new();
    let after = chain(&world, raise);
    let view = world.view(&world.snapshot(), &after);
    for (hash, header) in
        [(after.head.hash, &after.header), (world.genesis.head.hash, &world.genesis.header)]
    {
        assert_eq!(view.header_by_hash(hash), Ok(Some(header.clone())));
    }
    assert_eq!(view.header_by_hash(B256::repeat_byte(9)), Ok(None));
}
