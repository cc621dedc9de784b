//! Nodes in memory, and the form in which branches are stored.
//!
//! ```text
//! stored branch
//! +--------+------------------+-------+--------+----------+------------------------+
//! | prefix | prefix, packed   | state | leaves | embedded | children, lowest first |
//! | u8     | (n + 1) / 2      | u16   | u16    | u16      |                        |
//! +--------+------------------+-------+--------+----------+------------------------+
//! prefix    nibbles of the extension above the branch, 0 to 63; packed high nibble first
//! state     bit i: child i is there        leaves   bit i: child i is a leaf
//! embedded  bit i: child i is shorter than a hash, and stands here whole
//! child     32 bytes of hash, or if embedded u8 length (1 to 31) and so many bytes of RLP
//! ```
//! Integers are big-endian. A stored branch has no value: keys of the state are all of one length.
//!
//! In memory a branch holds the references to its children side by side, so that it can be hashed
//! without a look at them; the children that are in memory too stand in a list of their own.

use crate::{Nibbles, Reference};
use alloy_rlp::{EMPTY_STRING_CODE, Encodable};
use alloy_trie::nodes::{ExtensionNodeRef, LeafNodeRef};
use fugue_types::B256;
use std::cell::Cell;

/// Children of a branch by nibble: only those that are there take room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Children<C> {
    /// Bit i: child i is there.
    mask: u16,
    /// Those that are there, lowest nibble first.
    list: Vec<C>,
}

impl<C> Default for Children<C> {
    fn default() -> Self {
        Self { mask: 0, list: Vec::new() }
    }
}

impl<C> Children<C> {
    /// Where a child stands, or would stand, in the list; and whether it is there.
    const fn place(&self, nibble: u8) -> (usize, bool) {
        let bit = 1u16 << (nibble & 15);
        ((self.mask & (bit - 1)).count_ones() as usize, self.mask & bit != 0)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The child at a nibble.
    pub fn get(&self, nibble: u8) -> Option<&C> {
        let (place, is_there) = self.place(nibble);
        self.list.get(place).filter(|_| is_there)
    }

    /// Puts a child at a nibble, in place of the one there.
    pub fn set(&mut self, nibble: u8, child: C) {
        let (place, is_there) = self.place(nibble);
        if is_there {
            self.list[place] = child;
        } else {
            self.list.insert(place, child);
            self.mask |= 1 << (nibble & 15);
        }
    }

    /// All of them with their nibbles, lowest first.
    pub fn iter(&self) -> impl Iterator<Item = (u8, &C)> + Clone {
        nibbles(self.mask).zip(&self.list)
    }
}

/// Bits that are set, lowest first.
fn nibbles(mask: u16) -> impl Iterator<Item = u8> + Clone {
    (0..16u8).filter(move |nibble| mask >> nibble & 1 == 1)
}

/// A node in memory.
#[derive(Debug, Clone)]
pub(crate) enum Node {
    /// A leaf.
    Leaf(Box<Leaf>),
    /// A branch with the extension above it.
    Branch(Box<Branch>),
}

/// A leaf.
#[derive(Debug, Clone)]
pub(crate) struct Leaf {
    pub(crate) suffix: Nibbles,
    pub(crate) value: Vec<u8>,
}

/// Where a node stands: how its parent refers to it. In cells, so that many places can be filled
/// while the branches that hold them are read. Laid out as a [`StoredChild`], so that those of a
/// branch become places where they lie.
#[derive(Debug, Default, Clone)]
pub(crate) struct Place {
    /// Of the reference, which is computed last, after everything below: until then 0.
    length: Cell<u8>,
    bytes: Cell<[u8; 32]>,
    /// Whether the node is known to be a leaf.
    pub(crate) is_leaf: bool,
}

impl Place {
    pub(crate) const fn new(reference: Reference, is_leaf: bool) -> Self {
        let Reference { length, bytes } = reference;
        Self { length: Cell::new(length), bytes: Cell::new(bytes), is_leaf }
    }

    pub(crate) const fn is_sealed(&self) -> bool {
        self.length.get() != 0
    }

    pub(crate) const fn reference(&self) -> Reference {
        Reference { length: self.length.get(), bytes: self.bytes.get() }
    }

    pub(crate) fn seal(&self, reference: Reference) {
        let Reference { length, bytes } = reference;
        self.length.set(length);
        self.bytes.set(bytes);
    }
}

/// A place with what stands in it, taken out of a branch.
#[derive(Debug, Default)]
pub(crate) enum Link {
    /// Nothing.
    #[default]
    Empty,
    /// A node that is not in memory.
    Blinded { reference: Reference, is_leaf: bool },
    /// A node in memory; its reference is none if it has changed.
    Here { reference: Reference, node: Node },
}

impl Link {
    /// A leaf that is new.
    pub(crate) fn leaf(suffix: Nibbles, value: Vec<u8>) -> Self {
        Self::changed(Node::Leaf(Box::new(Leaf { suffix, value })))
    }

    /// A node that has changed.
    pub(crate) const fn changed(node: Node) -> Self {
        Self::Here { reference: Reference::NONE, node }
    }

    /// The place, and the node if it is in memory. An empty place has neither.
    pub(crate) fn into_parts(self) -> (Place, Option<Node>) {
        let (reference, is_leaf, node) = match self {
            Self::Empty => (Reference::NONE, false, None),
            Self::Blinded { reference, is_leaf } => (reference, is_leaf, None),
            Self::Here { reference, node } => {
                (reference, matches!(node, Node::Leaf(_)), Some(node))
            }
        };
        (Place::new(reference, is_leaf), node)
    }

    /// The reverse.
    pub(crate) fn of_parts(place: &Place, node: Option<Node>) -> Self {
        let (reference, is_leaf) = (place.reference(), place.is_leaf);
        match node {
            Some(node) => Self::Here { reference, node },
            None if reference.is_none() => Self::Empty,
            None => Self::Blinded { reference, is_leaf },
        }
    }
}

/// A branch, with the extension above it.
#[derive(Debug, Clone)]
pub(crate) struct Branch {
    pub(crate) prefix: Nibbles,
    places: Children<Place>,
    /// In the order of `places`; empty if no child is in memory.
    nodes: Vec<Option<Node>>,
    /// Of a key that ends here. Keys of the state never do.
    pub(crate) value: Option<Vec<u8>>,
    /// Set if nothing is known but how the extension refers to the branch.
    pub(crate) opaque: Option<Reference>,
    /// Not handed out since it changed.
    pub(crate) is_unsaved: bool,
    /// The last update that came by.
    pub(crate) touched: u32,
}

impl Branch {
    /// A branch without children.
    pub(crate) fn new(prefix: Nibbles, touched: u32) -> Self {
        Self {
            prefix,
            places: Children::default(),
            nodes: Vec::new(),
            value: None,
            opaque: None,
            is_unsaved: true,
            touched,
        }
    }

    /// A branch of which only the reference to it without the extension is known.
    pub(crate) fn opaque(prefix: Nibbles, bare: Reference, touched: u32) -> Self {
        Self { opaque: Some(bare), ..Self::new(prefix, touched) }
    }

    /// A branch as it is stored.
    pub(crate) fn from_stored(stored: StoredBranch, touched: u32) -> Self {
        let StoredBranch { prefix, children: Children { mask, list } } = stored;
        let place = |child: StoredChild| Place::new(child.reference, child.is_leaf);
        let places = Children { mask, list: list.into_iter().map(place).collect() };
        Self { places, is_unsaved: false, ..Self::new(prefix, touched) }
    }

    /// How many children there are.
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// The lowest nibble at which there is a child.
    pub(crate) fn first(&self) -> Option<u8> {
        nibbles(self.places.mask).next()
    }

    /// Takes out what stands at a nibble. It must be put back, even if it is nothing.
    pub(crate) fn take(&mut self, nibble: u8) -> Link {
        match self.places.place(nibble) {
            (_, false) => Link::Empty,
            (at, true) => {
                let node = self.nodes.get_mut(at).and_then(Option::take);
                Link::of_parts(&self.places.list[at], node)
            }
        }
    }

    /// Puts something at a nibble.
    pub(crate) fn put(&mut self, nibble: u8, link: Link) {
        let (at, is_there) = self.places.place(nibble);
        if matches!(link, Link::Empty) {
            if is_there {
                self.places.list.remove(at);
                self.places.mask &= !(1 << nibble);
                if !self.nodes.is_empty() {
                    self.nodes.remove(at);
                }
            }
            return;
        }
        let (place, node) = link.into_parts();
        if !self.nodes.is_empty() || node.is_some() {
            self.nodes.resize_with(self.places.len(), || None);
            if is_there {
                self.nodes[at] = node;
            } else {
                self.nodes.insert(at, node);
            }
        }
        self.places.set(nibble, place);
    }

    /// The child at a nibble.
    pub(crate) fn child_mut(&mut self, nibble: u8) -> Option<(&mut Place, &mut Option<Node>)> {
        let (at, is_there) = self.places.place(nibble);
        if !is_there {
            return None;
        }
        self.nodes.resize_with(self.places.len(), || None);
        Some((self.places.list.get_mut(at)?, self.nodes.get_mut(at)?))
    }

    /// Children that are in memory.
    pub(crate) fn here(&self) -> impl Iterator<Item = (&Place, &Node)> {
        let children = self.places.list.iter().zip(&self.nodes);
        children.filter_map(|(place, node)| Some((place, node.as_ref()?)))
    }

    /// As [`Branch::here`], with their nibbles.
    pub(crate) fn here_mut(&mut self) -> impl Iterator<Item = (u8, &mut Place, &mut Node)> {
        let places = nibbles(self.places.mask).zip(&mut self.places.list);
        let children = places.zip(&mut self.nodes);
        children.filter_map(|((nibble, place), node)| Some((nibble, place, node.as_mut()?)))
    }

    /// Forgets children in memory of which `is_kept` says no.
    pub(crate) fn retain(&mut self, mut is_kept: impl FnMut(&mut Node) -> bool) {
        for node in &mut self.nodes {
            if node.as_mut().is_some_and(|node| !is_kept(node)) {
                *node = None;
            }
        }
        if self.nodes.iter().all(Option::is_none) {
            self.nodes = Vec::new();
        }
    }

    /// RLP of the branch itself.
    pub(crate) fn encode_bare(&self, out: &mut Vec<u8>) {
        encode_branch(&self.places, Place::reference, self.value.as_deref(), out);
    }

    /// The reference to the branch itself. All below it must have theirs.
    pub(crate) fn bare(&self) -> Reference {
        self.opaque.unwrap_or_else(|| {
            let mut rlp = Vec::new();
            self.encode_bare(&mut rlp);
            Reference::of(&rlp)
        })
    }

    /// The bytes drawn above.
    pub(crate) fn encode_stored(&self) -> Vec<u8> {
        let child = |place: &Place| (place.reference(), place.is_leaf);
        encode_stored(&self.prefix, &self.places, child)
    }
}

/// RLP of a branch.
fn encode_branch<C>(
    children: &Children<C>,
    reference: impl Fn(&C) -> Reference,
    value: Option<&[u8]>,
    out: &mut Vec<u8>,
) {
    let value = value.unwrap_or_default();
    let lengths = children.list.iter().map(|child| reference(child).length());
    let payload_length = lengths.sum::<usize>() + 16 - children.len() + value.length();
    out.reserve(payload_length + 3);
    alloy_rlp::Header { list: true, payload_length }.encode(out);
    let mut list = children.list.iter();
    for nibble in 0..16 {
        match list.as_slice().first().filter(|_| children.mask >> nibble & 1 == 1) {
            None => out.push(EMPTY_STRING_CODE),
            Some(child) => {
                reference(child).encode(out);
                list.next();
            }
        }
    }
    value.encode(out);
}

/// RLP of a leaf.
pub(crate) fn encode_leaf(suffix: &Nibbles, value: &[u8], out: &mut Vec<u8>) {
    LeafNodeRef::new(suffix, value).encode(out);
}

/// RLP of an extension above a branch.
pub(crate) fn encode_extension(prefix: &Nibbles, branch: &Reference, out: &mut Vec<u8>) {
    let mut child = Vec::with_capacity(33);
    branch.encode(&mut child);
    ExtensionNodeRef::new(prefix, &child).encode(out);
}

/// The reference to a branch with the extension above it, from that to the branch itself.
pub(crate) fn extended(prefix: &Nibbles, branch: Reference) -> Reference {
    if prefix.is_empty() {
        return branch;
    }
    let mut rlp = Vec::new();
    encode_extension(prefix, &branch, &mut rlp);
    Reference::of(&rlp)
}

/// A child of a stored branch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredChild {
    /// How the branch refers to it.
    pub reference: Reference,
    /// Whether it is known to be a leaf.
    pub is_leaf: bool,
}

/// A branch with the extension above it, as it is stored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoredBranch {
    /// Nibbles of the extension.
    pub prefix: Nibbles,
    /// Its children by nibble.
    pub children: Children<StoredChild>,
}

impl StoredBranch {
    /// How a parent refers to it: computed from its children.
    pub fn reference(&self) -> Reference {
        let mut rlp = Vec::new();
        encode_branch(&self.children, |child| child.reference, None, &mut rlp);
        extended(&self.prefix, Reference::of(&rlp))
    }

    /// The bytes drawn above.
    pub fn encode(&self) -> Vec<u8> {
        encode_stored(&self.prefix, &self.children, |child| (child.reference, child.is_leaf))
    }

    /// Reads the bytes drawn above; `None` if they are not such.
    pub fn decode(mut bytes: &[u8]) -> Option<Self> {
        let buf = &mut bytes;
        let prefix_len = usize::from(*take(buf, 1)?.first()?);
        // A branch has at least one nibble of each key below it.
        if prefix_len > 63 {
            return None;
        }
        let packed = take(buf, prefix_len.div_ceil(2))?;
        let prefix = Nibbles::unpack(packed).slice(..prefix_len);
        let mut mask = || Some(u16::from_be_bytes(take(buf, 2)?.try_into().ok()?));
        let (state, leaves, embedded) = (mask()?, mask()?, mask()?);
        let mut list = Vec::with_capacity(state.count_ones() as usize);
        for nibble in nibbles(state) {
            let has = |mask: u16| mask >> nibble & 1 == 1;
            let reference = if has(embedded) {
                let length = usize::from(*take(buf, 1)?.first()?);
                Reference::embedded(take(buf, length)?).filter(|node| !node.is_none())?
            } else {
                Reference::hash(B256::from_slice(take(buf, 32)?))
            };
            list.push(StoredChild { reference, is_leaf: has(leaves) });
        }
        let children = Children { mask: state, list };
        bytes.is_empty().then_some(Self { prefix, children })
    }
}

fn encode_stored<C>(
    prefix: &Nibbles,
    children: &Children<C>,
    child: impl Fn(&C) -> (Reference, bool),
) -> Vec<u8> {
    let (mut leaves, mut embedded) = (0u16, 0u16);
    for (nibble, (reference, is_leaf)) in children.iter().map(|(nibble, c)| (nibble, child(c))) {
        leaves |= u16::from(is_leaf) << nibble;
        embedded |= u16::from(reference.as_hash().is_none()) << nibble;
    }
    let mut bytes = Vec::with_capacity(7 + prefix.len().div_ceil(2) + children.len() * 32);
    bytes.push(u8::try_from(prefix.len()).expect("a path has at most 64 nibbles"));
    bytes.extend_from_slice(&prefix.pack());
    for mask in [children.mask, leaves, embedded] {
        bytes.extend_from_slice(&mask.to_be_bytes());
    }
    for (reference, _) in children.list.iter().map(child) {
        let slice = reference.as_slice();
        if slice.len() < 32 {
            bytes.push(u8::try_from(slice.len()).expect("shorter than a hash"));
        }
        bytes.extend_from_slice(slice);
    }
    bytes
}

fn take<'b>(bytes: &mut &'b [u8], count: usize) -> Option<&'b [u8]> {
    let (taken, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn branch() -> StoredBranch {
        let mut branch = StoredBranch {
            prefix: Nibbles::from_nibbles([0xa, 0xb, 0xc]),
            ..StoredBranch::default()
        };
        let hash = |byte| Reference::hash(B256::repeat_byte(byte));
        branch.children.set(1, StoredChild { reference: hash(0x11), is_leaf: false });
        branch.children.set(9, StoredChild { reference: hash(0x99), is_leaf: true });
        let embedded = Reference::embedded(&[0xc2, 0x20, 0x05]).expect("short");
        branch.children.set(15, StoredChild { reference: embedded, is_leaf: true });
        branch
    }

    #[test]
    fn a_stored_branch_has_the_bytes_that_are_drawn() {
        let mut expected = vec![3, 0xab, 0xc0, 0x82, 0x02, 0x82, 0x00, 0x80, 0x00];
        expected.extend([0x11; 32]);
        expected.extend([0x99; 32]);
        expected.extend([3, 0xc2, 0x20, 0x05]);
        assert_eq!(branch().encode(), expected);
        assert_eq!(StoredBranch::decode(&expected), Some(branch()));
        assert_eq!(Branch::from_stored(branch(), 0).encode_stored(), expected);
    }

    #[test]
    fn a_stored_branch_that_is_cut_or_too_long_is_refused() {
        let bytes = branch().encode();
        for length in 0..bytes.len() {
            assert_eq!(StoredBranch::decode(&bytes[..length]), None, "{length}");
        }
        let mut longer = bytes;
        longer.push(0);
        assert_eq!(StoredBranch::decode(&longer), None);
    }

    #[test]
    fn a_child_is_where_it_was_put_and_gone_when_nothing_is_put_there() {
        let mut branch = Branch::from_stored(branch(), 0);
        branch.put(4, Link::leaf(Nibbles::from_nibbles([4]), vec![4]));
        assert_eq!(branch.here_mut().map(|(nibble, ..)| nibble).collect::<Vec<_>>(), [4]);
        assert!(matches!(branch.take(9), Link::Blinded { is_leaf: true, .. }));
        branch.put(9, Link::Empty);
        branch.put(
            0,
            Link::Blinded { reference: Reference::embedded(&[1]).unwrap(), is_leaf: false },
        );
        let Link::Here { reference, node: Node::Leaf(leaf) } = branch.take(4) else {
            panic!("it is a leaf in memory")
        };
        assert!(reference.is_none());
        assert_eq!(leaf.value, [4]);
        branch.put(4, Link::Empty);
        assert_eq!((branch.first(), branch.len()), (Some(0), 3));
        assert!(matches!(branch.take(9), Link::Empty));
    }
}
