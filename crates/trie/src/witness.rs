//! Stateless execution: a state of which only the proven part is known.
//!
//! Nodes are kept by their hash, as `debug_executionWitness` gives them. What the witness does not
//! show is an error when it is asked for, not an absence.

mod gather;

use crate::{
    EMPTY_ROOT_HASH, Nibbles, Reference, Revealed, StateTrie, StoredBranch, StoredChild,
    TrieAccount, TrieError, TrieSource,
};
use alloy_trie::nodes::TrieNode;
use fugue_state::{Account, SlotSet, StateError, StateView};
use fugue_types::{Address, B256, B256Map, Bytes, HashMap, U256, keccak256};

pub use gather::WitnessNodes;

/// Length of a key of the state.
const KEY_NIBBLES: usize = 64;

/// What a node is taken for that a deletion needs and the witness lacks: the one child that a
/// branch is left with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sibling {
    /// The witness is broken.
    Needed,
    /// It is a branch: then nothing of it but its hash is needed. Some provers rely on it.
    Branch,
}

/// Trie nodes by hash.
#[derive(Debug, Clone)]
pub struct Witness {
    nodes: B256Map<Bytes>,
    sibling: Sibling,
}

impl Witness {
    /// Hashes the nodes.
    pub fn new(nodes: impl IntoIterator<Item = Bytes>, sibling: Sibling) -> Self {
        let nodes = nodes.into_iter().map(|node| (keccak256(&node), node)).collect();
        Self { nodes, sibling }
    }

    /// The tries under a root, blinded.
    pub fn tries(&self, root: B256) -> StateTrie {
        StateTrie::new(root)
    }

    /// The node behind a reference; `None` if the witness lacks it.
    fn node(
        &self,
        owner: Option<B256>,
        path: &Nibbles,
        node: &Reference,
    ) -> Result<Option<TrieNode>, TrieError> {
        let rlp: &[u8] = match node.as_hash() {
            None => node.as_slice(),
            Some(hash) => match self.nodes.get(&hash) {
                None => return Ok(None),
                Some(rlp) => rlp,
            },
        };
        let damaged = |reason: String| TrieError::damaged(owner, path, reason);
        let node: TrieNode =
            alloy_rlp::decode_exact(rlp).map_err(|error| damaged(error.to_string()))?;
        // Keys are hashes of 64 nibbles: a leaf ends there, everything else before.
        let is_in_place = match &node {
            TrieNode::EmptyRoot => true,
            TrieNode::Leaf(leaf) => path.len() + leaf.key.len() == KEY_NIBBLES,
            TrieNode::Extension(extension) => path.len() + extension.key.len() < KEY_NIBBLES,
            TrieNode::Branch(_) => path.len() < KEY_NIBBLES,
        };
        if !is_in_place {
            return Err(damaged("a node too deep, or a leaf not deep enough".to_owned()));
        }
        Ok(Some(node))
    }

    /// The value of a key in the trie with this root.
    fn value(
        &self,
        owner: Option<B256>,
        root: B256,
        key: B256,
    ) -> Result<Option<Vec<u8>>, TrieError> {
        if root == EMPTY_ROOT_HASH {
            return Ok(None);
        }
        let key = Nibbles::unpack(key);
        let (mut path, mut at) = (Nibbles::default(), Reference::hash(root));
        loop {
            let node = self.node(owner, &path, &at)?;
            match node.ok_or_else(|| TrieError::missing(owner, &path))? {
                TrieNode::EmptyRoot => return Ok(None),
                TrieNode::Leaf(leaf) => {
                    return Ok((path.join(&leaf.key) == key).then_some(leaf.value));
                }
                TrieNode::Extension(extension) => {
                    path.extend(&extension.key);
                    at = Reference::from(&extension.child);
                }
                TrieNode::Branch(branch) => {
                    let Some(nibble) = key.get(path.len()) else { return Ok(None) };
                    path.push(nibble);
                    let branch = branch.as_ref();
                    let child = branch.children().find(|(index, _)| *index == nibble);
                    match child.and_then(|(_, child)| child) {
                        None => return Ok(None),
                        Some(child) => at = Reference::from(child),
                    }
                }
            }
            if !key.starts_with(&path) {
                return Ok(None);
            }
        }
    }
}

impl TrieSource for Witness {
    fn reveal(
        &self,
        owner: Option<B256>,
        path: &Nibbles,
        node: &Reference,
        _: bool,
    ) -> Result<Revealed, TrieError> {
        let damaged = |reason: &str| TrieError::damaged(owner, path, reason);
        let missing = |path: &Nibbles| TrieError::missing(owner, path);
        let (prefix, branch) = match self.node(owner, path, node)?.ok_or_else(|| missing(path))? {
            TrieNode::EmptyRoot => return Err(damaged("an empty node below a node")),
            TrieNode::Leaf(leaf) => {
                return Ok(Revealed::Leaf { suffix: leaf.key, value: leaf.value });
            }
            TrieNode::Branch(branch) => (Nibbles::default(), branch),
            TrieNode::Extension(extension) => {
                let path = path.join(&extension.key);
                let child = Reference::from(&extension.child);
                match self.node(owner, &path, &child)? {
                    Some(TrieNode::Branch(branch)) => (extension.key, branch),
                    Some(_) => {
                        return Err(damaged("an extension above something else than a branch"));
                    }
                    // An extension proves the absence of keys that leave it: then nothing below it
                    // is needed.
                    None => {
                        let (prefix, branch) = (extension.key, child);
                        return Ok(Revealed::Opaque { prefix, branch });
                    }
                }
            }
        };
        let mut stored = StoredBranch { prefix, ..StoredBranch::default() };
        for (nibble, child) in branch.as_ref().children() {
            if let Some(rlp) = child {
                let reference = Reference::from(rlp);
                stored.children.set(nibble, StoredChild { reference, is_leaf: false });
            }
        }
        Ok(Revealed::Branch(stored))
    }

    fn reveal_only_child(
        &self,
        owner: Option<B256>,
        path: &Nibbles,
        node: &Reference,
        is_leaf: bool,
    ) -> Result<Revealed, TrieError> {
        match self.reveal(owner, path, node, is_leaf) {
            Err(TrieError::Missing { .. }) if self.sibling == Sibling::Branch => {
                Ok(Revealed::Opaque { prefix: Nibbles::default(), branch: *node })
            }
            revealed => revealed,
        }
    }
}

/// A [`StateView`] of what a witness shows of the state before its block.
#[derive(Debug)]
pub struct WitnessState<'w> {
    witness: &'w Witness,
    root: B256,
    codes: &'w B256Map<Bytes>,
    block_hashes: &'w HashMap<u64, B256>,
}

impl<'w> WitnessState<'w> {
    /// The state under a root, with codes by hash and hashes of ancestors by number.
    pub const fn new(
        witness: &'w Witness,
        root: B256,
        codes: &'w B256Map<Bytes>,
        block_hashes: &'w HashMap<u64, B256>,
    ) -> Self {
        Self { witness, root, codes, block_hashes }
    }

    fn trie_account(&self, address: Address) -> Result<Option<TrieAccount>, StateError> {
        let key = keccak256(address);
        let value = self.witness.value(None, self.root, key).map_err(unavailable)?;
        value.map(|rlp| alloy_rlp::decode_exact(rlp).map_err(unavailable)).transpose()
    }
}

fn unavailable(error: impl std::fmt::Display) -> StateError {
    StateError::Unavailable(error.to_string())
}

impl StateView for WitnessState<'_> {
    fn account(&self, address: Address) -> Result<Option<Account>, StateError> {
        Ok(self.trie_account(address)?.map(|account| {
            let TrieAccount { nonce, balance, storage_root: _, code_hash } = account;
            Account { nonce, balance, code_hash }
        }))
    }

    fn slot(&self, address: Address, slot: U256) -> Result<U256, StateError> {
        let Some(account) = self.trie_account(address)? else { return Ok(U256::ZERO) };
        let key = keccak256(slot.to_be_bytes::<32>());
        let owner = Some(keccak256(address));
        let value = self.witness.value(owner, account.storage_root, key).map_err(unavailable)?;
        value.map_or(Ok(U256::ZERO), |rlp| alloy_rlp::decode_exact(rlp).map_err(unavailable))
    }

    /// The other slots may not be shown, so it says yes if there is any.
    fn has_storage_beside(&self, address: Address, _: &SlotSet) -> Result<bool, StateError> {
        let account = self.trie_account(address)?;
        Ok(account.is_some_and(|account| account.storage_root != EMPTY_ROOT_HASH))
    }

    fn code(&self, code_hash: B256) -> Result<Bytes, StateError> {
        self.codes.get(&code_hash).cloned().ok_or(StateError::CodeMissing(code_hash))
    }

    fn block_hash(&self, number: u64) -> Result<B256, StateError> {
        self.block_hashes.get(&number).copied().ok_or(StateError::BlockHashMissing(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{HashedDiff, NoSource};
    use fugue_state::{MemoryAccount, MemoryState};

    #[test]
    fn an_account_has_storage_only_if_it_stores_something() {
        let [paid, storing, nobody] = [1, 2, 3].map(Address::repeat_byte);
        let account = Account { balance: U256::from(1), ..Account::default() };
        let slots = [(U256::from(1), U256::from(7))].into_iter().collect();
        let mut state = MemoryState::default();
        state.accounts.insert(paid, MemoryAccount { account, ..MemoryAccount::default() });
        state.accounts.insert(storing, MemoryAccount { account, slots });
        let mut tries = StateTrie::new(EMPTY_ROOT_HASH);
        let diff = HashedDiff::from(&state.diff_from_nothing());
        tries.apply(&NoSource, &diff, None).expect("nothing is blinded");

        let root = tries.root();
        let gathered = WitnessNodes::new(&mut tries, &NoSource);
        for address in [paid, storing, nobody] {
            gathered.show_account(keccak256(address)).expect("nothing is blinded");
        }
        let witness = Witness::new(gathered.into_nodes(), Sibling::Needed);
        let (codes, hashes) = (B256Map::default(), HashMap::default());
        let shown = WitnessState::new(&witness, root, &codes, &hashes);
        for (address, expected) in [(paid, false), (storing, true), (nobody, false)] {
            assert_eq!(shown.has_storage(address), Ok(expected), "{address}");
        }
    }
}
