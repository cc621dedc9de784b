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
    EMPTY_ROOT_HASH, Nibbles, Reference, Revealed, TrieAccount, TrieError, TrieSource,
    node::{Branch, Leaf, Link, Node, Place, encode_extension, encode_leaf},
    seal::seal,
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
#[derive(Debug, Clone)]
pub struct Trie {
    owner: Option<B256>,
    /// Where the root stands: empty, if there is neither a reference nor a node.
    place: Place,
    root: Option<Node>,
    /// Paths at which a branch stood since the updates were last taken.
    removed: HashSet<Nibbles>,
    touched: u32,
    /// Whether anything changed since the updates were last taken.
    is_unsaved: bool,
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
        let is_empty = root == EMPTY_ROOT_HASH;
        let reference = if is_empty { Reference::NONE } else { Reference::hash(root) };
        let place = Place::new(reference, false);
        let (root, removed) = (None, HashSet::default());
        Self { owner, place, root, removed, touched: 0, is_unsaved: false }
    }

    /// Hash of the root.
    pub fn root(&self) -> B256 {
        let reference = self.place.reference();
        if reference.is_none() {
            return EMPTY_ROOT_HASH;
        }
        // The root is hashed even where it is shorter than a hash.
        reference.as_hash().unwrap_or_else(|| keccak256(reference.as_slice()))
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
        changes: Vec<Change>,
        is_parallel: bool,
        touched: u32,
        made: &AtomicUsize,
    ) -> Result<(), TrieError> {
        self.change(source, changes, is_parallel, touched, made)?;
        seal(self.unsealed().into_iter().collect(), is_parallel);
        Ok(())
    }

    /// As [`Trie::update`], but for the hashes: until [`seal`] has computed them the trie has no
    /// root.
    pub(crate) fn change(
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
        self.is_unsaved = true;
        let update = Update { source, owner: self.owner, touched, is_parallel, made };
        let mut removed = Vec::new();
        let root = Link::of_parts(&self.place, self.root.take());
        let root = update.go(root, Nibbles::default(), &mut changes, &mut removed)?;
        (self.place, self.root) = root.into_parts();
        self.removed.extend(removed);
        Ok(())
    }

    /// The root, to be handed to [`seal`].
    pub(crate) fn unsealed(&mut self) -> Option<(&mut Place, &mut Node)> {
        Some((&mut self.place, self.root.as_mut()?))
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
        let (mut place, mut node) = (&mut self.place, &mut self.root);
        loop {
            reveal_branch(place, node, source, owner, &path, self.touched)?;
            match node {
                None if place.reference().is_none() => return Ok(None),
                None => {
                    let leaf = reveal_leaf(place, source, owner, &path)?;
                    let leaf = leaf.filter(|leaf| path.join(&leaf.suffix) == *key);
                    return Ok(leaf.map(|leaf| leaf.value));
                }
                Some(Node::Leaf(leaf)) => {
                    let is_it = path.join(&leaf.suffix) == *key;
                    return Ok(is_it.then(|| leaf.value.clone()));
                }
                Some(Node::Branch(branch)) => {
                    path.extend(&branch.prefix);
                    if !key.starts_with(&path) {
                        return Ok(None);
                    }
                    transparent(branch, owner, &path)?;
                    let Some(nibble) = key.get(path.len()) else {
                        return Ok(branch.value.clone());
                    };
                    path.push(nibble);
                    match branch.child_mut(nibble) {
                        Some(child) => (place, node) = child,
                        None => return Ok(None),
                    }
                }
            }
        }
    }

    /// Brings the branches on the way to a key into memory. `made` counts them.
    ///
    /// # Errors
    /// [`TrieError`]; the trie stays as it is.
    pub(crate) fn warm(
        &mut self,
        source: &dyn TrieSource,
        key: &Nibbles,
        made: &AtomicUsize,
    ) -> Result<(), TrieError> {
        let (mut path, owner) = (Nibbles::default(), self.owner);
        let (mut place, mut node) = (&mut self.place, &mut self.root);
        loop {
            let was_here = node.is_some();
            reveal_branch(place, node, source, owner, &path, self.touched)?;
            let Some(Node::Branch(branch)) = node else { return Ok(()) };
            if !was_here {
                made.fetch_add(1, Ordering::Relaxed);
            }
            path.extend(&branch.prefix);
            let Some(nibble) = key.get(path.len()).filter(|_| key.starts_with(&path)) else {
                return Ok(());
            };
            path.push(nibble);
            match branch.child_mut(nibble) {
                Some(child) => (place, node) = child,
                None => return Ok(()),
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
        let (mut place, mut node) = (&mut self.place, &mut self.root);
        let mut proof: Vec<Vec<u8>> = Vec::new();
        let mut add = |write: &dyn Fn(&mut Vec<u8>)| {
            let mut rlp = Vec::new();
            write(&mut rlp);
            if rlp.len() >= 32 || proof.is_empty() {
                proof.push(rlp);
            }
        };
        loop {
            reveal_branch(place, node, source, owner, &path, self.touched)?;
            match node {
                None if place.reference().is_none() => break,
                None => {
                    if let Some(leaf) = reveal_leaf(place, source, owner, &path)? {
                        add(&|out| encode_leaf(&leaf.suffix, &leaf.value, out));
                    }
                    break;
                }
                Some(Node::Leaf(leaf)) => {
                    add(&|out| encode_leaf(&leaf.suffix, &leaf.value, out));
                    break;
                }
                Some(Node::Branch(branch)) => {
                    if !branch.prefix.is_empty() {
                        let bare = branch.bare();
                        add(&|out| encode_extension(&branch.prefix, &bare, out));
                    }
                    path.extend(&branch.prefix);
                    if !key.starts_with(&path) {
                        break;
                    }
                    transparent(branch, owner, &path)?;
                    add(&|out| branch.encode_bare(out));
                    let Some(nibble) = key.get(path.len()) else { break };
                    path.push(nibble);
                    match branch.child_mut(nibble) {
                        Some(child) => (place, node) = child,
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
        self.is_unsaved = false;
        if let Some(root) = &mut self.root {
            take_unsaved(root, Nibbles::default(), &mut updates);
        }
        for (path, _) in &updates {
            self.removed.remove(path);
        }
        updates.extend(self.removed.drain().map(|path| (path, None)));
        updates
    }

    /// Blinds leaves, and saved branches that no update came by since `touched`; gives how many
    /// branches stay. The source must have what was saved. What changed since then stays: branches
    /// that are not saved, and leaves below them.
    pub fn prune(&mut self, touched: u32) -> usize {
        let Some(root) = &mut self.root else { return 0 };
        let count = prune(root, touched);
        if count == 0 && !(self.is_unsaved && matches!(root, Node::Leaf(_))) {
            self.root = None;
        }
        count
    }

    /// Whether anything changed since the updates were last taken.
    pub(crate) const fn is_unsaved(&self) -> bool {
        self.is_unsaved
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
            Link::Blinded { reference, is_leaf } => {
                if is_leaf
                    && let [change] = &mut *changes
                    && change.existed
                    && self.is_complete(change)?
                {
                    // A key that is in the trie, and whose path ends in a leaf, is that leaf's.
                    return Ok(taken(change, None)
                        .map_or(Link::Empty, |(key, value)| leaf_link(&key, path.len(), value)));
                }
                let link = self.reveal(&path, &reference, is_leaf)?;
                self.go(link, path, changes, removed)
            }
            Link::Here { reference, node: Node::Leaf(leaf) } => {
                let key = path.join(&leaf.suffix);
                let place = changes.binary_search_by_key(&key, |change| change.key);
                if place.is_err() && changes.iter().all(|change| change.new == New::Nothing) {
                    return Ok(Link::Here { reference, node: Node::Leaf(leaf) });
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
            Link::Here { reference, node: Node::Branch(branch) } => {
                self.go_branch(reference, branch, path, changes, removed)
            }
        }
    }

    /// Whether a change needs nothing of the leaf that it replaces. That of an account does not if
    /// the source knows its storage root.
    fn is_complete(&self, change: &mut Change) -> Result<bool, TrieError> {
        if let New::Account(account) = change.new {
            let key = B256::from_slice(&change.key.pack());
            let Some(root) = self.source.storage_root(key)? else { return Ok(false) };
            change.new = New::Value(account_rlp(account, root));
        }
        Ok(true)
    }

    fn go_branch(
        &self,
        reference: Reference,
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
                upper.put(nibble, Link::changed(Node::Branch(branch)));
                branch = upper;
            }
            let start = path.join(&branch.prefix);
            let first = changes.iter().position(|change| change.key.starts_with(&start));
            let Some(first) = first else {
                return Ok(Link::Here { reference, node: Node::Branch(branch) });
            };
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
        let is_parallel = self.is_parallel && changes.len() >= PARALLEL_MIN;
        let nibble_of = |change: &Change| change.key.get(start.len());
        let groups = changes.chunk_by_mut(|one, other| nibble_of(one) == nibble_of(other));
        let groups = groups.filter_map(|here| Some((here.first().and_then(nibble_of)?, here)));
        let below = |nibble| {
            let mut path = start;
            path.push(nibble);
            path
        };
        if !is_parallel {
            for (nibble, here) in groups {
                let link = self.go(branch.take(nibble), below(nibble), here, removed)?;
                branch.put(nibble, link);
            }
            return Ok(());
        }
        let tasks: Vec<_> =
            groups.map(|(nibble, here)| (nibble, branch.take(nibble), here)).collect();
        let done: Vec<(u8, Link, Vec<Nibbles>)> = tasks
            .into_par_iter()
            .map(|(nibble, link, here)| {
                let mut removed = Vec::new();
                let link = self.go(link, below(nibble), here, &mut removed)?;
                Ok((nibble, link, removed))
            })
            .collect::<Result<_, TrieError>>()?;
        for (nibble, link, gone) in done {
            branch.put(nibble, link);
            removed.extend(gone);
        }
        Ok(())
    }

    /// What stands where a branch stood, when everything below it has changed.
    fn settle(
        &self,
        mut branch: Box<Branch>,
        path: Nibbles,
        removed: &mut Vec<Nibbles>,
    ) -> Result<Link, TrieError> {
        if branch.len() + usize::from(branch.value.is_some()) >= 2 {
            branch.is_unsaved = true;
            return Ok(Link::changed(Node::Branch(branch)));
        }
        removed.push(path);
        if let Some(value) = branch.value.take() {
            return Ok(Link::leaf(branch.prefix, value));
        }
        let Some(nibble) = branch.first() else { return Ok(Link::Empty) };
        let mut prefix = branch.prefix;
        prefix.push(nibble);
        let child_path = path.join(&prefix);
        let child = match branch.take(nibble) {
            Link::Blinded { reference, is_leaf } => {
                self.reveal_only_child(&child_path, &reference, is_leaf)?
            }
            other => other,
        };
        Ok(match child {
            Link::Here { node: Node::Leaf(leaf), .. } => {
                Link::leaf(prefix.join(&leaf.suffix), leaf.value)
            }
            Link::Here { node: Node::Branch(mut lower), .. } => {
                removed.push(child_path);
                lower.prefix = prefix.join(&lower.prefix);
                lower.is_unsaved = true;
                lower.touched = self.touched;
                Link::changed(Node::Branch(lower))
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
            return leaf_link(&first, depth, value);
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
        if self.is_parallel && count >= PARALLEL_MIN {
            let made: Vec<_> = below.into_par_iter().map(fill).collect();
            made.into_iter().for_each(|(nibble, child)| branch.put(nibble, child));
        } else {
            below.into_iter().map(fill).for_each(|(nibble, child)| branch.put(nibble, child));
        }
        Link::changed(Node::Branch(branch))
    }

    fn reveal(&self, path: &Nibbles, node: &Reference, is_leaf: bool) -> Result<Link, TrieError> {
        let revealed = self.source.reveal(self.owner, path, node, is_leaf)?;
        let node_here = node_of(revealed, self.touched);
        if matches!(node_here, Node::Branch(_)) {
            self.made.fetch_add(1, Ordering::Relaxed);
        }
        Ok(Link::Here { reference: *node, node: node_here })
    }

    fn reveal_only_child(
        &self,
        path: &Nibbles,
        node: &Reference,
        is_leaf: bool,
    ) -> Result<Link, TrieError> {
        let revealed = self.source.reveal_only_child(self.owner, path, node, is_leaf)?;
        Ok(Link::Here { reference: *node, node: node_of(revealed, self.touched) })
    }
}

/// A new leaf at a depth.
fn leaf_link(key: &Nibbles, depth: usize, value: Vec<u8>) -> Link {
    Link::leaf(key.slice(depth..), value)
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

fn node_of(revealed: Revealed, touched: u32) -> Node {
    match revealed {
        Revealed::Leaf { suffix, value } => Node::Leaf(Box::new(Leaf { suffix, value })),
        Revealed::Opaque { prefix, branch } => {
            Node::Branch(Box::new(Branch::opaque(prefix, branch, touched)))
        }
        Revealed::Branch(stored) => Node::Branch(Box::new(Branch::from_stored(stored, touched))),
    }
}

/// Puts a blinded branch into memory. A leaf is not put there: reading changes nothing that
/// updates rely on.
fn reveal_branch(
    place: &Place,
    node: &mut Option<Node>,
    source: &dyn TrieSource,
    owner: Option<B256>,
    path: &Nibbles,
    touched: u32,
) -> Result<(), TrieError> {
    let reference = place.reference();
    if node.is_none()
        && !place.is_leaf
        && !reference.is_none()
        && let revealed @ Node::Branch(_) =
            node_of(source.reveal(owner, path, &reference, false)?, touched)
    {
        *node = Some(revealed);
    }
    Ok(())
}

/// The blinded leaf at a place.
fn reveal_leaf(
    place: &Place,
    source: &dyn TrieSource,
    owner: Option<B256>,
    path: &Nibbles,
) -> Result<Option<Leaf>, TrieError> {
    let revealed = source.reveal(owner, path, &place.reference(), place.is_leaf)?;
    Ok(match node_of(revealed, 0) {
        Node::Leaf(leaf) => Some(*leaf),
        Node::Branch(_) => None,
    })
}

/// Refuses a branch whose children are not known.
fn transparent(branch: &Branch, owner: Option<B256>, path: &Nibbles) -> Result<(), TrieError> {
    if branch.opaque.is_some() {
        return Err(TrieError::missing(owner, path));
    }
    Ok(())
}

fn take_unsaved(node: &mut Node, path: Nibbles, updates: &mut NodeUpdates) {
    if let Node::Branch(branch) = node
        && branch.is_unsaved
    {
        branch.is_unsaved = false;
        updates.push((path, Some(branch.encode_stored())));
        let start = path.join(&branch.prefix);
        for (nibble, _, child) in branch.here_mut() {
            let mut path = start;
            path.push(nibble);
            take_unsaved(child, path, updates);
        }
    }
}

/// Counts the branches that stay in memory: none if the node need not.
fn prune(node: &mut Node, touched: u32) -> usize {
    let Node::Branch(branch) = node else { return 0 };
    if !branch.is_unsaved && branch.touched < touched {
        return 0;
    }
    let is_unsaved = branch.is_unsaved;
    let mut count = 1;
    branch.retain(|child| {
        let kept = prune(child, touched);
        count += kept;
        // The source may not have such a leaf yet.
        kept > 0 || (is_unsaved && matches!(child, Node::Leaf(_)))
    });
    count
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
