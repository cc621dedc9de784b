//! Making a witness: the nodes that it takes to read keys of a state, and to change it.
//!
//! What is read is shown by proofs. A change may need more: the one child that a deletion leaves to
//! a branch. So the change is made on tries that are wholly blinded, whose source is the witness
//! itself; what it lacks is taken from the tries at hand, and is in it from then on.

use super::{KEY_NIBBLES, Sibling, Witness};
use crate::{Nibbles, Reference, Revealed, StateTrie, TrieError, TrieSource};
use fugue_types::{B256, B256Map, Bytes, keccak256};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A witness in the making, of the state of some tries.
///
/// As a [`TrieSource`] it is one of [`WitnessNodes::blinded`]: every node that is revealed is in
/// the witness.
pub struct WitnessNodes<'t> {
    root: B256,
    at_hand: Mutex<(&'t mut StateTrie, Witness)>,
    source: &'t dyn TrieSource,
}

impl std::fmt::Debug for WitnessNodes<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WitnessNodes").field("root", &self.root).finish_non_exhaustive()
    }
}

impl<'t> WitnessNodes<'t> {
    /// A witness that shows nothing yet of these tries. They are read, and not changed.
    pub fn new(tries: &'t mut StateTrie, source: &'t dyn TrieSource) -> Self {
        let root = tries.root();
        let witness = Witness { nodes: B256Map::default(), sibling: Sibling::Needed };
        Self { root, at_hand: Mutex::new((tries, witness)), source }
    }

    /// Shows an account, or that it is not there, by its hashed address.
    ///
    /// # Errors
    /// [`TrieError`], of the tries at hand.
    pub fn show_account(&self, key: B256) -> Result<(), TrieError> {
        let (tries, witness) = &mut *self.at_hand();
        let (_, proof) = tries.prove_account(self.source, key)?;
        witness.extend(proof);
        Ok(())
    }

    /// Shows a slot, by the hashes of address and slot.
    ///
    /// # Errors
    /// [`TrieError`], of the tries at hand.
    pub fn show_slot(&self, owner: B256, key: B256) -> Result<(), TrieError> {
        let (tries, witness) = &mut *self.at_hand();
        let (_, proof) = tries.prove_slot(self.source, owner, key)?;
        witness.extend(proof);
        Ok(())
    }

    /// The tries of the same state, of which nothing is in memory. To be changed with this as their
    /// source.
    pub fn blinded(&self) -> StateTrie {
        StateTrie::new(self.root)
    }

    /// RLP of the nodes, in order of their bytes, each once.
    pub fn into_nodes(self) -> Vec<Bytes> {
        let (_, witness) = self.at_hand.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut nodes: Vec<Bytes> = witness.nodes.into_values().collect();
        nodes.sort_unstable();
        nodes
    }

    fn at_hand(&self) -> MutexGuard<'_, (&'t mut StateTrie, Witness)> {
        // Neither part is changed halfway: nodes are only added.
        self.at_hand.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TrieSource for WitnessNodes<'_> {
    fn reveal(
        &self,
        owner: Option<B256>,
        path: &Nibbles,
        node: &Reference,
        is_leaf: bool,
    ) -> Result<Revealed, TrieError> {
        let (tries, witness) = &mut *self.at_hand();
        if let Some(hash) = node.as_hash()
            && !witness.nodes.contains_key(&hash)
        {
            // On the way to any key below the path lies the node at the path.
            let key = first_below(path);
            let proof = match owner {
                None => tries.prove_account(self.source, key)?.1,
                Some(owner) => tries.prove_slot(self.source, owner, key)?.1,
            };
            witness.extend(proof.into_iter().filter(|rlp| keccak256(rlp) == hash));
        }
        witness.reveal(owner, path, node, is_leaf)
    }
}

impl Witness {
    /// Nodes shorter than a hash are within their parent, unless they are the root.
    fn extend(&mut self, nodes: impl IntoIterator<Item = Vec<u8>>) {
        let nodes = nodes.into_iter().map(Bytes::from);
        self.nodes.extend(nodes.map(|node| (keccak256(&node), node)));
    }
}

/// The first key below a path.
fn first_below(path: &Nibbles) -> B256 {
    let mut nibbles = path.to_vec();
    nibbles.resize(KEY_NIBBLES, 0);
    B256::from_slice(&Nibbles::from_nibbles(nibbles).pack())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EMPTY_ROOT_HASH, HashedAccount, HashedDiff, HashedSlot, NoSource};
    use fugue_state::Account;
    use fugue_types::U256;

    /// Accounts of the tries, and slots of each.
    const COUNT: u64 = 40;

    fn hash(number: u64) -> B256 {
        keccak256(number.to_be_bytes())
    }

    fn account(nonce: u64) -> Option<Account> {
        Some(Account { nonce, ..Account::default() })
    }

    fn diff(mut accounts: Vec<HashedAccount>) -> HashedDiff {
        for account in &mut accounts {
            account.slots.sort_unstable_by_key(|slot| slot.key);
        }
        accounts.sort_unstable_by_key(|account| account.key);
        HashedDiff { accounts }
    }

    fn tries() -> StateTrie {
        let slot = |number| HashedSlot {
            key: hash(number),
            existed: false,
            after: U256::from(number + 1),
        };
        let accounts = (0..COUNT).map(|number| HashedAccount {
            key: hash(number),
            existed: false,
            after: account(number),
            is_storage_new: true,
            slots: (0..number % 20).map(slot).collect(),
        });
        let mut tries = StateTrie::new(EMPTY_ROOT_HASH);
        tries.apply(&NoSource, &diff(accounts.collect()), None).expect("nothing is blinded");
        tries
    }

    /// Accounts go, and slots, so that branches are left with one child.
    fn deletions() -> HashedDiff {
        let gone = |number| HashedSlot { key: hash(number), existed: true, after: U256::ZERO };
        let accounts = (0..COUNT).filter(|number| number % 3 != 0).map(|number| HashedAccount {
            key: hash(number),
            existed: true,
            after: if number % 3 == 1 { None } else { account(number) },
            is_storage_new: number % 3 == 1,
            slots: if number % 3 == 1 { Vec::new() } else { (1..number % 20).map(gone).collect() },
        });
        diff(accounts.collect())
    }

    #[test]
    fn a_witness_has_what_a_change_needs_and_not_all_of_the_state() {
        let (mut tries, mut after) = (tries(), tries());
        let root = tries.root();
        let change = deletions();
        after.apply(&NoSource, &change, None).expect("nothing is blinded");

        let gathered = WitnessNodes::new(&mut tries, &NoSource);
        for account in &change.accounts {
            gathered.show_account(account.key).expect("it is there");
            for slot in &account.slots {
                gathered.show_slot(account.key, slot.key).expect("it is there");
            }
        }
        let shown = gathered.at_hand().1.nodes.len();
        let mut changed = gathered.blinded();
        changed.apply(&gathered, &change, None).expect("what lacks is taken from the tries");
        assert_eq!(changed.root(), after.root());
        let nodes = gathered.into_nodes();
        assert!(nodes.len() > shown, "the changes leave branches with one child that is not shown");
        assert!(nodes.is_sorted() && tries.root() == root);

        // Now from the nodes alone.
        let mut proven = StateTrie::new(root);
        let witness = Witness::new(nodes.clone(), Sibling::Needed);
        proven.apply(&witness, &change, None).expect("nothing lacks");
        assert_eq!(proven.root(), after.root());
        let mut untouched = (0..COUNT).filter(|number| number % 3 == 0);
        let is_hidden = |number| StateTrie::new(root).account(&witness, hash(number)).is_err();
        assert!(untouched.any(is_hidden));
        // What the witness shows beside the proofs is needed.
        let few = Witness::new(nodes.into_iter().take(shown), Sibling::Needed);
        assert!(StateTrie::new(root).apply(&few, &change, None).is_err());
    }

    #[test]
    fn an_empty_state_needs_no_nodes() {
        let mut tries = StateTrie::new(EMPTY_ROOT_HASH);
        let gathered = WitnessNodes::new(&mut tries, &NoSource);
        gathered.show_account(hash(1)).expect("it is not there");
        gathered.show_slot(hash(1), hash(2)).expect("it is not there");
        assert!(gathered.into_nodes().is_empty());
    }
}
