//! Random changes against a naive rebuild, with blinding, pruning and stored branches between.

use crate::{
    Change, EMPTY_ROOT_HASH, New, Nibbles, Reference, Revealed, StoredBranch, Trie, TrieError,
    TrieSource, raw_root,
};
use alloy_trie::HashBuilder;
use fugue_state::Account;
use fugue_types::{B256, U256};
use proptest::prelude::*;
use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicUsize, Ordering},
};

/// Branches by path and leaves by key, as a database keeps them; and how often it was asked.
#[derive(Default)]
struct Tables {
    branches: BTreeMap<Vec<u8>, StoredBranch>,
    leaves: BTreeMap<Vec<u8>, Vec<u8>>,
    branches_revealed: AtomicUsize,
    leaves_revealed: AtomicUsize,
    /// Of every account, if it is known without its leaf.
    storage_root: Option<B256>,
}

impl TrieSource for Tables {
    fn reveal(
        &self,
        owner: Option<B256>,
        path: &Nibbles,
        _: &Reference,
        is_leaf: bool,
    ) -> Result<Revealed, TrieError> {
        let path = path.to_vec();
        if !is_leaf && let Some(branch) = self.branches.get(&path) {
            self.branches_revealed.fetch_add(1, Ordering::Relaxed);
            return Ok(Revealed::Branch(branch.clone()));
        }
        self.leaves_revealed.fetch_add(1, Ordering::Relaxed);
        let leaf = self.leaves.range(path.clone()..).next();
        match leaf.filter(|(key, _)| key.starts_with(&path)) {
            Some((key, value)) => Ok(Revealed::Leaf {
                suffix: Nibbles::from_nibbles(&key[path.len()..]),
                value: value.clone(),
            }),
            None => Err(TrieError::missing(owner, &Nibbles::from_nibbles(path))),
        }
    }

    fn storage_root(&self, _: B256) -> Result<Option<B256>, TrieError> {
        Ok(self.storage_root)
    }
}

/// Keys that share long beginnings, so that branches part and collapse.
fn key(seed: u16) -> Nibbles {
    let mut key = [0u8; 64];
    for (place, nibble) in key.iter_mut().enumerate() {
        *nibble = match place {
            0 => (seed & 3) as u8,
            5 => (seed >> 2 & 3) as u8,
            6 => (seed >> 4 & 3) as u8,
            20 => (seed >> 6 & 1) as u8,
            63 => (seed >> 7 & 3) as u8,
            _ => 7,
        };
    }
    Nibbles::from_nibbles(key)
}

fn decoded(branch: &[u8]) -> StoredBranch {
    StoredBranch::decode(branch).expect("encoded here")
}

fn naive_root(leaves: &BTreeMap<Vec<u8>, Vec<u8>>) -> B256 {
    let mut builder = HashBuilder::default();
    for (key, value) in leaves {
        builder.add_leaf(Nibbles::from_nibbles(key), value);
    }
    builder.root()
}

/// All branches of a trie of these leaves.
fn naive_branches(leaves: &BTreeMap<Vec<u8>, Vec<u8>>) -> BTreeMap<Vec<u8>, StoredBranch> {
    let mut trie = Trie::new(None, EMPTY_ROOT_HASH);
    let changes = leaves.iter().map(|(key, value)| Change {
        key: Nibbles::from_nibbles(key),
        existed: false,
        new: New::Value(value.clone()),
    });
    let made = AtomicUsize::new(0);
    trie.update(&Tables::default(), changes.collect(), false, 0, &made).expect("nothing blinded");
    let updates = trie.take_updates().into_iter();
    updates.filter_map(|(path, branch)| Some((path.to_vec(), decoded(&branch?)))).collect()
}

/// `is_late`: what is taken comes into the tables only after the next step.
fn check(
    batches: &[Vec<(u16, u8)>],
    is_parallel: bool,
    prune_every: usize,
    save_every: usize,
    is_late: bool,
) {
    let mut on_its_way = None;
    let mut tables = Tables::default();
    let mut trie = Trie::new(None, EMPTY_ROOT_HASH);
    let made = AtomicUsize::new(0);
    let mut leaves = BTreeMap::new();
    for (step, batch) in batches.iter().enumerate() {
        let batch: BTreeMap<u16, u8> = batch.iter().copied().collect();
        let mut changes = Vec::new();
        for (seed, value) in batch {
            let path = key(seed).to_vec();
            let existed = leaves.contains_key(&path);
            // Values of one and of forty bytes: leaves above and below the length of a hash.
            let value =
                (value % 4 != 0).then(|| vec![value.max(1); 1 + usize::from(value % 2) * 39]);
            match &value {
                Some(value) => leaves.insert(path, value.clone()),
                None => leaves.remove(&path),
            };
            let new = value.map_or(New::Nothing, New::Value);
            changes.push(Change { key: key(seed), existed, new });
        }
        if step % 2 == 1 {
            for change in changes.iter().step_by(3) {
                trie.warm(&tables, &change.key, &made).expect("tables are whole");
            }
        }
        trie.update(&tables, changes, is_parallel, step as u32, &made).expect("tables are whole");
        assert_eq!(trie.root(), naive_root(&leaves), "step {step}");
        let mut saved = on_its_way.take();
        if step % save_every == 0 {
            let taken = Some((leaves.clone(), trie.take_updates()));
            if is_late {
                on_its_way = taken;
            } else {
                saved = taken;
            }
        }
        if let Some((leaves, updates)) = saved {
            tables.leaves = leaves;
            for (path, branch) in updates {
                match branch {
                    Some(branch) => tables.branches.insert(path.to_vec(), decoded(&branch)),
                    None => tables.branches.remove(&path.to_vec()),
                };
            }
            assert_eq!(tables.branches, naive_branches(&tables.leaves), "step {step}");
            // What was taken and is not in the tables yet must not be blinded.
            if step % prune_every == 0 && on_its_way.is_none() {
                trie.prune(step as u32 + 1);
            }
        }
        for seed in 0..16 {
            let seed = seed * 31;
            let value = trie.get(&tables, &key(seed)).expect("tables are whole");
            assert_eq!(value.as_ref(), leaves.get(&key(seed).to_vec()));
            let proof = trie.prove(&tables, &key(seed)).expect("tables are whole");
            let proof: Vec<alloy_bytes::Bytes> = proof.into_iter().map(Into::into).collect();
            if !leaves.is_empty() {
                crate::verify_proof(trie.root(), key(seed), value, &proof).expect("a valid proof");
            }
        }
    }
}

mod alloy_bytes {
    pub(super) use fugue_types::Bytes;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_changes_give_the_root_and_the_branches_of_a_rebuild(
        batches in proptest::collection::vec(
            proptest::collection::vec((0u16..512, any::<u8>()), 1..80), 1..12),
        is_parallel in any::<bool>(),
        prune_every in 1usize..4,
        is_late: bool,
        save_every in 1usize..4,
    ) {
        check(&batches, is_parallel, prune_every, save_every, is_late);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_single_key_at_a_time_does_too(
        changes in proptest::collection::vec((0u16..512, any::<u8>()), 1..60),
    ) {
        let batches: Vec<_> = changes.into_iter().map(|change| vec![change]).collect();
        check(&batches, false, 1, 1, false);
        check(&batches, false, 1, 2, true);
    }

    #[test]
    fn keys_that_begin_with_other_keys_do_not_depend_on_order(
        keys in proptest::collection::btree_set(proptest::collection::vec(0u8..3, 0..6), 1..20),
        shift in any::<usize>(),
    ) {
        let mut operations: Vec<_> =
            keys.iter().map(|key| (key.clone(), Some(vec![key.len() as u8 + 1; 3]))).collect();
        let expected = raw_root(operations.clone());
        let count = operations.len();
        operations.rotate_left(shift % count);
        prop_assert_eq!(raw_root(operations.clone()), expected);
        operations.reverse();
        // What comes and goes leaves nothing.
        operations.push((vec![1, 1, 1, 1], Some(vec![9])));
        operations.push((vec![1, 1, 1, 1], keys.get(&vec![1, 1, 1, 1]).map(|_| vec![5; 3])));
        prop_assert_eq!(raw_root(operations), expected);
    }
}

#[test]
fn a_known_leaf_is_changed_without_being_read() {
    let mut tables = Tables::default();
    let mut trie = Trie::new(None, EMPTY_ROOT_HASH);
    let made = AtomicUsize::new(0);
    let change =
        |seed, existed, value: u8| Change { key: key(seed), existed, new: New::Value(vec![value]) };
    trie.update(&tables, (0..64).map(|seed| change(seed, false, 1)).collect(), false, 0, &made)
        .expect("nothing blinded");
    tables.leaves.extend((0..64).map(|seed| (key(seed).to_vec(), vec![1])));
    trie.take_updates();
    trie.prune(0);
    trie.update(&tables, (0..64).map(|seed| change(seed, true, 2)).collect(), false, 1, &made)
        .expect("nothing is read");
    tables.leaves.values_mut().for_each(|value| *value = vec![2]);
    assert_eq!(trie.root(), naive_root(&tables.leaves));
    assert_eq!(tables.leaves_revealed.load(Ordering::Relaxed), 0);
}

/// A trie of these accounts in tables, of which nothing is in memory.
fn blinded(leaves: BTreeMap<Vec<u8>, Vec<u8>>) -> (Trie, Tables) {
    let root = naive_root(&leaves);
    let branches = naive_branches(&leaves);
    (Trie::new(None, root), Tables { branches, leaves, ..Tables::default() })
}

#[test]
fn an_update_reads_no_branch_that_was_read_ahead() {
    let leaves = (0..64).map(|seed| (key(seed).to_vec(), vec![1; 40])).collect();
    let (mut trie, mut tables) = blinded(leaves);
    let made = AtomicUsize::new(0);
    for seed in 0..64 {
        trie.warm(&tables, &key(seed), &made).expect("tables are whole");
    }
    // A key that is not there leads to where it would be.
    trie.warm(&tables, &key(300), &made).expect("tables are whole");
    let ahead = tables.branches_revealed.swap(0, Ordering::Relaxed);
    assert_eq!(ahead, tables.branches.len(), "each branch once");
    assert_eq!(made.load(Ordering::Relaxed), ahead);
    let change = |seed| Change { key: key(seed), existed: true, new: New::Value(vec![2; 40]) };
    trie.update(&tables, (0..64).map(change).collect(), false, 1, &made).expect("nothing is read");
    tables.leaves.values_mut().for_each(|value| *value = vec![2; 40]);
    assert_eq!(trie.root(), naive_root(&tables.leaves));
    let revealed = [&tables.branches_revealed, &tables.leaves_revealed];
    assert_eq!(revealed.map(|count| count.load(Ordering::Relaxed)), [0, 0]);
}

#[test]
fn an_account_whose_storage_root_the_source_knows_is_changed_without_its_leaf() {
    let storage_root = B256::repeat_byte(7);
    let rlp = |balance: u64| {
        let balance = U256::from(balance);
        super::account_rlp(Account { balance, ..Account::default() }, storage_root)
    };
    let leaves: BTreeMap<_, _> = (0..64).map(|seed| (key(seed).to_vec(), rlp(1))).collect();
    for (known, revealed) in [(Some(storage_root), 0), (None, 64)] {
        let (mut trie, mut tables) = blinded(leaves.clone());
        tables.storage_root = known;
        let balance = U256::from(2);
        let new = || New::Account(Account { balance, ..Account::default() });
        let change = |seed| Change { key: key(seed), existed: true, new: new() };
        let made = AtomicUsize::new(0);
        trie.update(&tables, (0..64).map(change).collect(), false, 1, &made).expect("whole");
        tables.leaves.values_mut().for_each(|value| *value = rlp(2));
        assert_eq!(trie.root(), naive_root(&tables.leaves));
        assert_eq!(tables.leaves_revealed.load(Ordering::Relaxed), revealed);
    }
}

#[test]
fn a_node_that_is_not_to_be_had_is_named() {
    let mut trie = Trie::new(None, B256::repeat_byte(1));
    let change = Change { key: key(1), existed: false, new: New::Value(vec![1]) };
    let made = AtomicUsize::new(0);
    let updated = trie.update(&crate::NoSource, vec![change], false, 0, &made);
    assert_eq!(updated, Err(TrieError::Missing { owner: None, path: String::new() }));
}
