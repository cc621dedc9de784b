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

use crate::{Nibbles, RlpNode};
use alloy_trie::nodes::{ExtensionNodeRef, LeafNodeRef};
use fugue_types::B256;

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
    /// Room for so many.
    pub(crate) fn with_capacity(count: usize) -> Self {
        Self { mask: 0, list: Vec::with_capacity(count) }
    }

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

    pub(crate) fn get_mut(&mut self, nibble: u8) -> Option<&mut C> {
        let (place, is_there) = self.place(nibble);
        self.list.get_mut(place).filter(|_| is_there)
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
    pub fn iter(&self) -> impl Iterator<Item = (u8, &C)> {
        nibbles(self.mask).zip(&self.list)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (u8, &mut C)> {
        nibbles(self.mask).zip(&mut self.list)
    }

    pub(crate) fn map<D>(self, change: impl FnMut(C) -> D) -> Children<D> {
        Children { mask: self.mask, list: self.list.into_iter().map(change).collect() }
    }
}

impl Children<Link> {
    /// Forgets places at which nothing stands.
    pub(crate) fn compact(&mut self) {
        for nibble in nibbles(self.mask).rev() {
            let (place, _) = self.place(nibble);
            if self.list[place].is_empty() {
                self.list.remove(place);
                self.mask &= !(1 << nibble);
            }
        }
    }
}

/// Bits that are set, lowest first.
fn nibbles(mask: u16) -> impl DoubleEndedIterator<Item = u8> {
    (0..16u8).filter(move |nibble| mask >> nibble & 1 == 1)
}

/// What stands in a place of a trie.
#[derive(Debug, Clone, Default)]
pub(crate) enum Link {
    /// Nothing.
    #[default]
    Empty,
    /// A node that is not in memory.
    Blinded { rlp: RlpNode, is_leaf: bool },
    /// A leaf.
    Leaf(Box<Leaf>),
    /// A branch with the extension above it.
    Branch(Box<Branch>),
}

impl Link {
    /// How the parent refers to the node; `None` if there is none.
    pub(crate) const fn rlp(&self) -> Option<&RlpNode> {
        match self {
            Self::Empty => None,
            Self::Blinded { rlp, .. } => Some(rlp),
            Self::Leaf(leaf) => Some(&leaf.rlp),
            Self::Branch(branch) => Some(&branch.rlp),
        }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }

    const fn is_leaf(&self) -> bool {
        matches!(self, Self::Leaf(_) | Self::Blinded { is_leaf: true, .. })
    }
}

/// A leaf and its reference.
#[derive(Debug, Clone)]
pub(crate) struct Leaf {
    pub(crate) suffix: Nibbles,
    pub(crate) value: Vec<u8>,
    rlp: RlpNode,
}

impl Leaf {
    pub(crate) fn new(suffix: Nibbles, value: Vec<u8>) -> Self {
        let rlp = RlpNode::from_rlp(&leaf_rlp(&suffix, &value));
        Self { suffix, value, rlp }
    }

    pub(crate) const fn rlp(&self) -> &RlpNode {
        &self.rlp
    }

    pub(crate) fn encoded(&self) -> Vec<u8> {
        leaf_rlp(&self.suffix, &self.value)
    }
}

fn leaf_rlp(suffix: &Nibbles, value: &[u8]) -> Vec<u8> {
    let leaf = LeafNodeRef::new(suffix, value);
    let mut rlp = Vec::with_capacity(alloy_rlp::Encodable::length(&leaf));
    alloy_rlp::Encodable::encode(&leaf, &mut rlp);
    rlp
}

/// A branch, the extension above it, and their references.
#[derive(Debug, Clone)]
pub(crate) struct Branch {
    pub(crate) prefix: Nibbles,
    pub(crate) children: Children<Link>,
    /// Of a key that ends here. Keys of the state never do.
    pub(crate) value: Option<Vec<u8>>,
    /// Reference to the branch without its extension.
    bare: RlpNode,
    /// Reference to the whole.
    rlp: RlpNode,
    /// Nothing but its reference is known.
    pub(crate) is_opaque: bool,
    /// Not handed out since it changed.
    pub(crate) is_unsaved: bool,
    /// The last update that came by.
    pub(crate) touched: u32,
}

impl Branch {
    /// A branch whose references are not computed yet.
    pub(crate) fn new(prefix: Nibbles, touched: u32) -> Self {
        Self {
            prefix,
            children: Children::default(),
            value: None,
            bare: RlpNode::default(),
            rlp: RlpNode::default(),
            is_opaque: false,
            is_unsaved: true,
            touched,
        }
    }

    /// A branch of which only the reference to it without the extension is known.
    pub(crate) fn opaque(prefix: Nibbles, bare: RlpNode, touched: u32) -> Self {
        let mut branch = Self::new(prefix, touched);
        branch.bare = bare;
        branch.is_opaque = true;
        branch.seal_prefix();
        branch
    }

    pub(crate) const fn rlp(&self) -> &RlpNode {
        &self.rlp
    }

    /// Computes the references from the children's.
    pub(crate) fn seal(&mut self) {
        self.bare = RlpNode::from_rlp(&self.bare_encoded());
        self.seal_prefix();
    }

    /// Computes the reference of the whole anew, after a change of the prefix alone.
    pub(crate) fn seal_prefix(&mut self) {
        self.rlp = match self.extension_encoded() {
            None => self.bare.clone(),
            Some(extension) => RlpNode::from_rlp(&extension),
        };
    }

    /// RLP of the branch itself.
    pub(crate) fn bare_encoded(&self) -> Vec<u8> {
        let value = self.value.as_deref().unwrap_or_default();
        let rlps = || self.children.iter().filter_map(|(_, link)| link.rlp());
        let lengths = rlps().map(|rlp| rlp.len()).sum::<usize>();
        let payload_length =
            lengths + 16 - self.children.len() + alloy_rlp::Encodable::length(value);
        let header = alloy_rlp::Header { list: true, payload_length };
        let mut rlp = Vec::with_capacity(payload_length + header.length());
        header.encode(&mut rlp);
        let mut next = 0;
        for (nibble, child) in self.children.iter() {
            rlp.resize(rlp.len() + usize::from(nibble - next), alloy_rlp::EMPTY_STRING_CODE);
            next = nibble + 1;
            match child.rlp() {
                Some(child) => rlp.extend_from_slice(child),
                None => rlp.push(alloy_rlp::EMPTY_STRING_CODE),
            }
        }
        rlp.resize(rlp.len() + usize::from(16 - next), alloy_rlp::EMPTY_STRING_CODE);
        alloy_rlp::Encodable::encode(value, &mut rlp);
        rlp
    }

    /// RLP of the extension above the branch, if there is one.
    pub(crate) fn extension_encoded(&self) -> Option<Vec<u8>> {
        (!self.prefix.is_empty()).then(|| {
            let mut rlp = Vec::new();
            let extension = ExtensionNodeRef::new(&self.prefix, &self.bare);
            alloy_rlp::Encodable::encode(&extension, &mut rlp);
            rlp
        })
    }

    /// The bytes drawn above.
    pub(crate) fn encode_stored(&self) -> Vec<u8> {
        encode(&self.prefix, &self.children, Link::rlp, Link::is_leaf)
    }

    /// `rlp` is how the parent refers to it.
    pub(crate) fn from_stored(stored: StoredBranch, rlp: &RlpNode, touched: u32) -> Self {
        let mut branch = Self::new(stored.prefix, touched);
        branch.children =
            stored.children.map(|StoredChild { rlp, is_leaf }| Link::Blinded { rlp, is_leaf });
        branch.is_unsaved = false;
        branch.rlp = rlp.clone();
        branch.bare = if branch.prefix.is_empty() {
            rlp.clone()
        } else {
            RlpNode::from_rlp(&branch.bare_encoded())
        };
        branch
    }
}

/// A child of a stored branch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredChild {
    /// How the branch refers to it: RLP of its hash, or the whole child if that is shorter.
    pub rlp: RlpNode,
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
    pub fn reference(&self) -> RlpNode {
        let mut branch = Branch::from_stored(self.clone(), &RlpNode::default(), 0);
        branch.seal();
        branch.rlp
    }

    /// The bytes drawn above.
    pub fn encode(&self) -> Vec<u8> {
        encode(&self.prefix, &self.children, |child| Some(&child.rlp), |child| child.is_leaf)
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
            let rlp = if has(embedded) {
                let length = usize::from(*take(buf, 1)?.first()?);
                RlpNode::from_raw(take(buf, length)?)?
            } else {
                RlpNode::word_rlp(&B256::from_slice(take(buf, 32)?))
            };
            list.push(StoredChild { rlp, is_leaf: has(leaves) });
        }
        let children = Children { mask: state, list };
        bytes.is_empty().then_some(Self { prefix, children })
    }
}

fn encode<C>(
    prefix: &Nibbles,
    children: &Children<C>,
    rlp: impl Fn(&C) -> Option<&RlpNode>,
    is_leaf: impl Fn(&C) -> bool,
) -> Vec<u8> {
    let bits = |is_set: &dyn Fn(&C) -> bool| {
        let set = children.iter().filter(|(_, child)| is_set(child));
        set.fold(0u16, |mask, (nibble, _)| mask | 1 << nibble)
    };
    let mut bytes = Vec::with_capacity(7 + prefix.len().div_ceil(2) + children.len() * 32);
    bytes.push(u8::try_from(prefix.len()).expect("a path has at most 64 nibbles"));
    bytes.extend_from_slice(&prefix.pack());
    let is_embedded = |child: &C| rlp(child).is_some_and(|rlp| !rlp.is_hash());
    bytes.extend_from_slice(&bits(&|child| rlp(child).is_some()).to_be_bytes());
    bytes.extend_from_slice(&bits(&is_leaf).to_be_bytes());
    bytes.extend_from_slice(&bits(&is_embedded).to_be_bytes());
    for child in children.iter().filter_map(|(_, child)| rlp(child)) {
        match child.as_hash() {
            Some(hash) => bytes.extend_from_slice(hash.as_slice()),
            None => {
                bytes.push(u8::try_from(child.len()).expect("at most 33 bytes"));
                bytes.extend_from_slice(child);
            }
        }
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
        let hash = |byte| RlpNode::word_rlp(&B256::repeat_byte(byte));
        branch.children.set(1, StoredChild { rlp: hash(0x11), is_leaf: false });
        branch.children.set(9, StoredChild { rlp: hash(0x99), is_leaf: true });
        let embedded = RlpNode::from_raw(&[0xc2, 0x20, 0x05]).expect("short");
        branch.children.set(15, StoredChild { rlp: embedded, is_leaf: true });
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
}
