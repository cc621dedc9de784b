//! One Merkle Patricia trie, partly in memory.
//!
//! An update takes all changes at once, sorted, and goes down once: each node on the way is changed
//! and hashed once, after everything below it. A branch that would be left with one child is
//! replaced by that child, only if it is so when all changes are made.
//!
//! What changed stays in memory until it was taken by [`Trie::take_updates`] and [`Trie::prune`] is
//! called: between the two the source may lag behind.
//!
//! After an error the trie must be dropped: part of it is changed.

use crate::{
    EMPTY_ROOT_HASH, Nibbles, Revealed, RlpNode, TrieAccount, TrieError, TrieSource,
    node::{Branch, Children, Leaf, Link},
};
use fugue_state::Account;
use fugue_types::{B256, HashSet, keccak256};
use rayon::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Changes below one node from which its children are updated in parallel.
const PARALLEL_MIN: usize = 64;

/// Branches that changed, by path, in the form of a [`StoredBranch`](crate::StoredBranch); `None`
/// where there is no more branch.
pub type NodeUpdates = Vec<(Nibbles, Option<Vec<u8>>)>;

/// What becomes of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The key, one nibble an element.
    pub key: Nibbles,
    /// Whether the trie has the key; a leaf that is known to be this one need not be revealed.
    pub existed: bool,
    /// What stands under it afterwards.
    pub new: New,
}

/// What stands under a key after a change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum New {
    /// Nothing.
    #[default]
    Nothing,
    /// This value, in RLP.
    Value(Vec<u8>),
    /// This account, with the storage root that it had before; with none if it is new.
    Account(Account),
}

impl New {
    /// The value in RLP, in place of `old`.
    fn over(self, old: Option<&[u8]>) -> Option<Vec<u8>> {
        match self {
            Self::Nothing => None,
            Self::Value(value) => Some(value),
            Self::Account(account) => {
                let old = old.and_then(|rlp| alloy_rlp::decode_exact::<TrieAccount>(rlp).ok());
                let storage_root = old.map_or(EMPTY_ROOT_HASH, |old| old.storage_root);
                Some(account_rlp(account, storage_root))
            }
        }
    }
}

/// A trie of which a part is in memory.
#[derive(Debug)]
pub struct Trie {
    owner: Option<B256>,
    root: Link,
    /// Paths at which a branch stood since the updates were last taken.
    removed: HashSet<Nibbles>,
    touched: u32,
}

/// What an update knows on its way down.
struct Update<'t> {
    source: &'t dyn TrieSource,
    owner: Option<B256>,
    touched: u32,
    is_parallel: bool,
    made: &'t AtomicUsize,
}

impl Trie {
    /// A trie with this root, wholly blinded. `owner` as in [`TrieSource::reveal`].
    pub fn new(owner: Option<B256>, root: B256) -> Self {
        let root = if root == EMPTY_ROOT_HASH {
            Link::Empty
        } else {
            Link::Blinded { rlp: RlpNode::word_rlp(&root), is_leaf: false }
        };
        Self { owner, root, removed: HashSet::default(), touched: 0 }
    }

    /// Hash of the root.
    pub fn root(&self) -> B256 {
        match &self.root {
            Link::Empty => EMPTY_ROOT_HASH,
            link => link.rlp().and_then(RlpNode::as_hash).unwrap_or_else(|| {
                // The root is hashed even where it is shorter than a hash.
                keccak256(link.rlp().map(|rlp| rlp.as_slice()).unwrap_or_default())
            }),
        }
    }

    /// Makes the changes, each key once. `is_parallel` if a pool of threads is at hand: the one of
    /// the calling thread. `made` counts branches that come into memory; `touched` marks those that
    /// the update comes by.
    ///
    /// # Errors
    /// [`TrieError`]; the trie must then be dropped.
    pub fn update(
        &mut self,
        source: &dyn TrieSource,
        mut changes: Vec<Change>,
        is_parallel: bool,
        touched: u32,
        made: &AtomicUsize,
    ) -> Result<(), TrieError> {
        if changes.is_empty() {
            return Ok(());
        }
        changes.sort_unstable_by_key(|change| change.key);
        self.touched = touched;
        let update = Update { source, owner: self.owner, touched, is_parallel, made };
        let mut removed = Vec::new();
        let root = std::mem::take(&mut self.root);
        self.root = update.go(root, Nibbles::default(), &mut changes, &mut removed)?;
        self.removed.extend(removed);
        Ok(())
    }

    /// When the last update was, as it was told.
    pub(crate) const fn touched(&self) -> u32 {
        self.touched
    }

    /// The value of a key.
    ///
    /// # Errors
    /// [`TrieError`]; the trie stays as it is.
    pub fn get(
        &mut self,
        source: &dyn TrieSource,
        key: &Nibbles,
    ) -> Result<Option<Vec<u8>>, TrieError> {
        let (mut path, owner) = (Nibbles::default(), self.owner);
        let mut link = &mut self.root;
        loop {
            reveal_branch(link, source, owner, &path, self.touched)?;
            match link {
                Link::Empty => return Ok(None),
                Link::Blinded { rlp, is_leaf } => {
                    let leaf = reveal(source, owner, &path, rlp, *is_leaf, 0)?;
                    let Link::Leaf(leaf) = leaf else { return Ok(None) };
                    return Ok((path.join(&leaf.suffix) == *key).then_some(leaf.value));
                }
                Link::Leaf(leaf) => {
                    let is_it = path.join(&leaf.suffix) == *key;
                    return Ok(is_it.then(|| leaf.value.clone()));
                }
                Link::Branch(branch) => {
                    path.extend(&branch.prefix);
                    if !key.starts_with(&path) {
                        return Ok(None);
                    }
                    transparent(branch, owner, &path)?;
                    let Some(nibble) = key.get(path.len()) else {
                        return Ok(branch.value.clone());
                    };
                    path.push(nibble);
                    match branch.children.get_mut(nibble) {
                        Some(child) => link = child,
                        None => return Ok(None),
                    }
                }
            }
        }
    }

    /// The nodes from the root to a key, or to where it is missing, in RLP; those shorter than a
    /// hash are within their parent.
    ///
    /// # Errors
    /// [`TrieError`]; the trie stays as it is.
    pub fn prove(
        &mut self,
        source: &dyn TrieSource,
        key: &Nibbles,
    ) -> Result<Vec<Vec<u8>>, TrieError> {
        let (mut path, owner) = (Nibbles::default(), self.owner);
        let mut link = &mut self.root;
        let mut proof: Vec<Vec<u8>> = Vec::new();
        let mut add = |rlp: Vec<u8>| {
            if rlp.len() >= 32 || proof.is_empty() {
                proof.push(rlp);
            }
        };
        loop {
            reveal_branch(link, source, owner, &path, self.touched)?;
            match link {
                Link::Empty => break,
                Link::Blinded { rlp, is_leaf } => {
                    if let Link::Leaf(leaf) = reveal(source, owner, &path, rlp, *is_leaf, 0)? {
                        add(leaf.encoded());
                    }
                    break;
                }
                Link::Leaf(leaf) => {
                    add(leaf.encoded());
                    break;
                }
                Link::Branch(branch) => {
                    if let Some(extension) = branch.extension_encoded() {
                        add(extension);
                    }
                    path.extend(&branch.prefix);
                    if !key.starts_with(&path) {
                        break;
                    }
                    transparent(branch, owner, &path)?;
                    add(branch.bare_encoded());
                    let Some(nibble) = key.get(path.len()) else { break };
                    path.push(nibble);
                    match branch.children.get_mut(nibble) {
                        Some(child) => link = child,
                        None => break,
                    }
                }
            }
        }
        Ok(proof)
    }

    /// Branches that changed since the last call.
    pub fn take_updates(&mut self) -> NodeUpdates {
        let mut updates = Vec::new();
        take_unsaved(&mut self.root, Nibbles::default(), &mut updates);
        for (path, _) in &updates {
            self.removed.remove(path);
        }
        updates.extend(self.removed.drain().map(|path| (path, None)));
        updates
    }

    /// Blinds all leaves, and saved branches that no update came by since `touched`; gives how many
    /// branches stay. The source must have what was saved.
    pub fn prune(&mut self, touched: u32) -> usize {
        prune(&mut self.root, touched)
    }
}

impl Update<'_> {
    fn go(
        &self,
        link: Link,
        path: Nibbles,
        changes: &mut [Change],
        removed: &mut Vec<Nibbles>,
    ) -> Result<Link, TrieError> {
        match link {
            Link::Empty => {
                let leaves = changes.iter_mut().filter_map(|change| taken(change, None)).collect();
                Ok(self.build(path.len(), leaves))
            }
            Link::Blinded { rlp, is_leaf } => {
                if is_leaf
                    && let [change] = &mut *changes
                    && change.existed
                    && !matches!(change.new, New::Account(_))
                {
                    // A key that is in the trie, and whose path ends in a leaf, is that leaf's.
                    return Ok(taken(change, None).map_or(Link::Empty, |(key, value)| {
                        Link::Leaf(Box::new(Leaf::new(key.slice(path.len()..), value)))
                    }));
                }
                let link = self.reveal(&path, &rlp, is_leaf)?;
                self.go(link, path, changes, removed)
            }
            Link::Leaf(leaf) => {
                let key = path.join(&leaf.suffix);
                let place = changes.binary_search_by_key(&key, |change| change.key);
                if place.is_err() && changes.iter().all(|change| change.new == New::Nothing) {
                    return Ok(Link::Leaf(leaf));
                }
                let old = |change: &Change| (change.key == key).then_some(leaf.value.as_slice());
                let mut leaves: Vec<_> = changes
                    .iter_mut()
                    .filter_map(|change| {
                        let old = old(change);
                        taken(change, old)
                    })
                    .collect();
                if place.is_err() {
                    let place = leaves.partition_point(|(other, _)| *other < key);
                    leaves.insert(place, (key, leaf.value));
                }
                Ok(self.build(path.len(), leaves))
            }
            Link::Branch(branch) => self.go_branch(branch, path, changes, removed),
        }
    }

    fn go_branch(
        &self,
        mut branch: Box<Branch>,
        path: Nibbles,
        changes: &mut [Change],
        removed: &mut Vec<Nibbles>,
    ) -> Result<Link, TrieError> {
        branch.touched = self.touched;
        let mut changes = changes;
        if !branch.prefix.is_empty() {
            let start = path.join(&branch.prefix);
            let shared = |change: &Change| change.key.common_prefix_length(&start) - path.len();
            // Keys that leave the prefix part it, if they come; they cannot go, as they are not
            // here.
            let parts = changes.iter().filter(|change| change.new != New::Nothing).map(shared);
            let length = parts.min().unwrap_or(branch.prefix.len());
            if length < branch.prefix.len() {
                let mut upper = Box::new(Branch::new(branch.prefix.slice(..length), self.touched));
                self.made.fetch_add(1, Ordering::Relaxed);
                let nibble = branch.prefix.get(length).expect("the prefix is longer");
                branch.prefix = branch.prefix.slice(length + 1..);
                branch.is_unsaved = true;
                branch.seal_prefix();
                upper.children.set(nibble, Link::Branch(branch));
                branch = upper;
            }
            let start = path.join(&branch.prefix);
            let first = changes.iter().position(|change| change.key.starts_with(&start));
            let Some(first) = first else { return Ok(Link::Branch(branch)) };
            let count = changes[first..].iter().take_while(|c| c.key.starts_with(&start)).count();
            changes = &mut changes[first..first + count];
        }
        let start = path.join(&branch.prefix);
        transparent(&branch, self.owner, &start)?;
        self.go_children(&mut branch, start, changes, removed)?;
        self.settle(branch, path, removed)
    }

    /// Makes the changes below a branch, whose children lie at `start`.
    fn go_children(
        &self,
        branch: &mut Branch,
        start: Nibbles,
        mut changes: &mut [Change],
        removed: &mut Vec<Nibbles>,
    ) -> Result<(), TrieError> {
        if let Some(change) = changes.first_mut()
            && change.key.len() == start.len()
        {
            branch.value = std::mem::take(&mut change.new).over(None);
            changes = &mut changes[1..];
        }
        for change in changes.iter() {
            // A place for what comes.
            if let Some(nibble) = change.key.get(start.len())
                && branch.children.get(nibble).is_none()
            {
                branch.children.set(nibble, Link::Empty);
            }
        }
        let is_parallel = self.is_parallel && changes.len() >= PARALLEL_MIN;
        let mut tasks = Vec::with_capacity(if is_parallel { 16 } else { 0 });
        let mut rest = changes;
        for (nibble, child) in branch.children.iter_mut() {
            let is_here = |change: &Change| change.key.get(start.len()) == Some(nibble);
            let count = rest.iter().take_while(|change| is_here(change)).count();
            let (here, later) = std::mem::take(&mut rest).split_at_mut(count);
            rest = later;
            if here.is_empty() {
                continue;
            }
            let mut path = start;
            path.push(nibble);
            if is_parallel {
                tasks.push((child, path, here));
            } else {
                *child = self.go(std::mem::take(child), path, here, removed)?;
            }
        }
        let done: Vec<Vec<Nibbles>> = tasks
            .into_par_iter()
            .map(|(child, path, here)| {
                let mut removed = Vec::new();
                *child = self.go(std::mem::take(child), path, here, &mut removed)?;
                Ok(removed)
            })
            .collect::<Result<_, TrieError>>()?;
        removed.extend(done.into_iter().flatten());
        Ok(())
    }

    /// What stands where a branch stood, when everything below it has changed.
    fn settle(
        &self,
        mut branch: Box<Branch>,
        path: Nibbles,
        removed: &mut Vec<Nibbles>,
    ) -> Result<Link, TrieError> {
        branch.children.compact();
        if branch.children.len() + usize::from(branch.value.is_some()) >= 2 {
            branch.seal();
            branch.is_unsaved = true;
            return Ok(Link::Branch(branch));
        }
        removed.push(path);
        if let Some(value) = branch.value.take() {
            return Ok(Link::Leaf(Box::new(Leaf::new(branch.prefix, value))));
        }
        let Some((nibble, child)) = branch.children.iter_mut().next() else {
            return Ok(Link::Empty);
        };
        let mut prefix = branch.prefix;
        prefix.push(nibble);
        let child_path = path.join(&prefix);
        let child = match std::mem::take(child) {
            Link::Blinded { rlp, is_leaf } => self.reveal_only_child(&child_path, &rlp, is_leaf)?,
            other => other,
        };
        Ok(match child {
            Link::Leaf(leaf) => {
                let suffix = prefix.join(&leaf.suffix);
                Link::Leaf(Box::new(Leaf::new(suffix, leaf.value)))
            }
            Link::Branch(mut lower) => {
                removed.push(child_path);
                lower.prefix = prefix.join(&lower.prefix);
                lower.is_unsaved = true;
                lower.touched = self.touched;
                lower.seal_prefix();
                Link::Branch(lower)
            }
            other => other,
        })
    }

    /// A trie of nothing but these leaves, which are in order and share their first `depth`
    /// nibbles.
    fn build(&self, depth: usize, mut leaves: Vec<(Nibbles, Vec<u8>)>) -> Link {
        let (Some((first, _)), Some((last, _))) = (leaves.first(), leaves.last()) else {
            return Link::Empty;
        };
        let (first, last) = (*first, *last);
        if leaves.len() == 1 {
            let value = leaves.pop().map(|(_, value)| value).unwrap_or_default();
            return Link::Leaf(Box::new(Leaf::new(first.slice(depth..), value)));
        }
        let fork = first.common_prefix_length(&last);
        self.made.fetch_add(1, Ordering::Relaxed);
        let mut branch = Box::new(Branch::new(first.slice(depth..fork), self.touched));
        let mut below: [Vec<(Nibbles, Vec<u8>)>; 16] = Default::default();
        for (key, value) in leaves {
            match key.get(fork) {
                Some(nibble) => below[usize::from(nibble)].push((key, value)),
                None => branch.value = Some(value),
            }
        }
        let below = (0u8..).zip(below).filter(|(_, leaves)| !leaves.is_empty());
        let below: Vec<(u8, Vec<_>)> = below.collect();
        let count = below.iter().map(|(_, leaves)| leaves.len()).sum::<usize>();
        let fill = |(nibble, leaves)| (nibble, self.build(fork + 1, leaves));
        branch.children = Children::with_capacity(below.len());
        if self.is_parallel && count >= PARALLEL_MIN {
            let made: Vec<_> = below.into_par_iter().map(fill).collect();
            made.into_iter().for_each(|(nibble, child)| branch.children.set(nibble, child));
        } else {
            for (nibble, child) in below.into_iter().map(fill) {
                branch.children.set(nibble, child);
            }
        }
        branch.seal();
        Link::Branch(branch)
    }

    fn reveal(&self, path: &Nibbles, rlp: &RlpNode, is_leaf: bool) -> Result<Link, TrieError> {
        let link = reveal(self.source, self.owner, path, rlp, is_leaf, self.touched)?;
        if matches!(link, Link::Branch(_)) {
            self.made.fetch_add(1, Ordering::Relaxed);
        }
        Ok(link)
    }

    fn reveal_only_child(
        &self,
        path: &Nibbles,
        rlp: &RlpNode,
        is_leaf: bool,
    ) -> Result<Link, TrieError> {
        let revealed = self.source.reveal_only_child(self.owner, path, rlp, is_leaf)?;
        Ok(link_of(revealed, rlp, self.touched))
    }
}

/// The leaf of an account, in RLP.
pub(crate) fn account_rlp(account: Account, storage_root: B256) -> Vec<u8> {
    let Account { nonce, balance, code_hash } = account;
    alloy_rlp::encode(TrieAccount { nonce, balance, storage_root, code_hash })
}

/// The key and value of a change that is no deletion; `old` is the value before.
fn taken(change: &mut Change, old: Option<&[u8]>) -> Option<(Nibbles, Vec<u8>)> {
    std::mem::take(&mut change.new).over(old).map(|value| (change.key, value))
}

fn reveal(
    source: &dyn TrieSource,
    owner: Option<B256>,
    path: &Nibbles,
    rlp: &RlpNode,
    is_leaf: bool,
    touched: u32,
) -> Result<Link, TrieError> {
    Ok(link_of(source.reveal(owner, path, rlp, is_leaf)?, rlp, touched))
}

fn link_of(revealed: Revealed, rlp: &RlpNode, touched: u32) -> Link {
    match revealed {
        Revealed::Leaf { suffix, value } => Link::Leaf(Box::new(Leaf::new(suffix, value))),
        Revealed::Opaque { prefix, branch } => {
            Link::Branch(Box::new(Branch::opaque(prefix, branch, touched)))
        }
        Revealed::Branch(stored) => {
            Link::Branch(Box::new(Branch::from_stored(stored, rlp, touched)))
        }
    }
}

/// Puts a blinded branch into memory. A leaf is not put there: reading changes nothing that
/// updates rely on.
fn reveal_branch(
    link: &mut Link,
    source: &dyn TrieSource,
    owner: Option<B256>,
    path: &Nibbles,
    touched: u32,
) -> Result<(), TrieError> {
    if let Link::Blinded { rlp, is_leaf: false } = link
        && let revealed @ Link::Branch(_) = reveal(source, owner, path, rlp, false, touched)?
    {
        *link = revealed;
    }
    Ok(())
}

/// Refuses a branch whose children are not known.
fn transparent(branch: &Branch, owner: Option<B256>, path: &Nibbles) -> Result<(), TrieError> {
    if branch.is_opaque {
        return Err(TrieError::missing(owner, path));
    }
    Ok(())
}

fn take_unsaved(link: &mut Link, path: Nibbles, updates: &mut NodeUpdates) {
    if let Link::Branch(branch) = link
        && branch.is_unsaved
    {
        branch.is_unsaved = false;
        updates.push((path, Some(branch.encode_stored())));
        let start = path.join(&branch.prefix);
        for (nibble, child) in branch.children.iter_mut() {
            let mut path = start;
            path.push(nibble);
            take_unsaved(child, path, updates);
        }
    }
}

fn prune(link: &mut Link, touched: u32) -> usize {
    if let Link::Leaf(leaf) = link {
        *link = Link::Blinded { rlp: leaf.rlp().clone(), is_leaf: true };
    }
    let Link::Branch(branch) = link else { return 0 };
    if !branch.is_unsaved && branch.touched < touched {
        *link = Link::Blinded { rlp: branch.rlp().clone(), is_leaf: false };
        return 0;
    }
    1 + branch.children.iter_mut().map(|(_, child)| prune(child, touched)).sum::<usize>()
}

/// Root of a trie after operations on raw keys, one after the other; `None` deletes.
pub fn raw_root(operations: impl IntoIterator<Item = (Vec<u8>, Option<Vec<u8>>)>) -> B256 {
    let mut trie = Trie::new(None, EMPTY_ROOT_HASH);
    let made = AtomicUsize::new(0);
    for (key, value) in operations {
        let new = value.map_or(New::Nothing, New::Value);
        let change = Change { key: Nibbles::unpack(key), existed: false, new };
        trie.update(&crate::NoSource, vec![change], false, 0, &made)
            .expect("a trie that is wholly in memory needs no source");
    }
    trie.root()
}

#[cfg(test)]
mod tests;
