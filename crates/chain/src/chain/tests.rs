//! What there is without a consensus layer: the weight of branches, and ommers.

use super::*;
use crate::engine::samples::{After, World, come, raise};

/// A chain that follows the heaviest branch.
fn heaviest(store: Store, spec: &ChainSpec) -> Chain {
    let options = ChainOptions::new(Mode::Seq, 1);
    Chain::open(store, spec.clone(), options).expect("a good store")
}

/// The block as one up to which the chain has this difficulty.
fn weighing(after: &After, total_difficulty: u64) -> BlockRecord {
    let record = after.record().expect("not the genesis");
    BlockRecord { total_difficulty: U256::from(total_difficulty), ..BlockRecord::clone(&record) }
}

#[test]
fn the_heaviest_branch_is_the_chain_and_not_the_longest() {
    let World { store, spec, genesis, .. } = World::new();
    let mut chain = heaviest(store, &spec);
    let short = genesis.child(raise(&genesis.state));
    let one = genesis.child(come(&genesis.state));
    let two = one.child(raise(&one.state));
    let three = two.child(raise(&two.state));
    assert_eq!(chain.place(weighing(&short, 10)), Ok(Place::Head));
    for (after, total_difficulty) in [(&one, 5), (&two, 9)] {
        assert_eq!(chain.place(weighing(after, total_difficulty)), Ok(Place::Side));
        assert_eq!(chain.head(), short.head);
    }
    assert_eq!(chain.place(weighing(&three, 11)), Ok(Place::Reorganised));
    assert_eq!(chain.head(), three.head);
}

/// The parent of an ommer is at most seven generations above the block that names it. Source:
/// Yellow Paper, "Ommer Validation".
#[test]
fn ommers_are_judged_by_seven_ancestors_whatever_is_durable() {
    let world = World::new();
    let mut path = vec![world.genesis.clone()];
    for _ in 0..9 {
        let last = path.last().expect("a genesis");
        let next = last.child(raise(&last.state));
        path.push(next);
    }
    world.commit(&path[4]);
    let mut chain = heaviest(world.store, &world.spec);
    for after in &path[5..] {
        assert_eq!(chain.place(weighing(after, 0)), Ok(Place::Head));
    }
    let above = |number: usize| -> Vec<u64> {
        let ancestors = chain.ancestors(path[number].head.hash).expect("a good store");
        ancestors.iter().map(|ancestor| ancestor.header.number).collect()
    };
    assert_eq!(above(9), [9, 8, 7, 6, 5, 4, 3]);
    assert_eq!(above(4), [4, 3, 2, 1, 0]);
}
