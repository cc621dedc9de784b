//! How a node is referred to by its parent.

use alloy_rlp::EMPTY_STRING_CODE;
use alloy_trie::nodes::RlpNode;
use fugue_types::{B256, keccak256};

/// The hash of a node, or the whole node if its RLP is shorter than a hash.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Reference {
    /// 32 for a hash; less for that many bytes of RLP; 0 for [`Reference::NONE`].
    pub(crate) length: u8,
    /// Zero beyond the length.
    pub(crate) bytes: [u8; 32],
}

impl std::fmt::Debug for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.as_slice().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Reference {
    /// To nothing, or to a node that is not hashed yet.
    pub(crate) const NONE: Self = Self { length: 0, bytes: [0; 32] };

    /// To the node with this hash.
    pub const fn hash(hash: B256) -> Self {
        Self { length: 32, bytes: hash.0 }
    }

    /// To the node with this RLP.
    pub fn of(rlp: &[u8]) -> Self {
        Self::embedded(rlp).unwrap_or_else(|| Self::hash(keccak256(rlp)))
    }

    /// To the node with this RLP, if it is shorter than a hash.
    pub fn embedded(rlp: &[u8]) -> Option<Self> {
        if rlp.len() >= 32 {
            return None;
        }
        let mut bytes = [0; 32];
        bytes[..rlp.len()].copy_from_slice(rlp);
        Some(Self { length: rlp.len() as u8, bytes })
    }

    /// Whether it leads to nothing, or to what is not hashed yet.
    pub(crate) const fn is_none(&self) -> bool {
        self.length == 0
    }

    /// The hash, unless the node is shorter than one.
    pub fn as_hash(&self) -> Option<B256> {
        (self.length == 32).then_some(B256::new(self.bytes))
    }

    /// The bytes of the hash, or of the RLP.
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }

    /// As it stands in the RLP of the parent.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        if self.length == 32 {
            let mut word = [EMPTY_STRING_CODE + 32; 33];
            word[1..].copy_from_slice(&self.bytes);
            out.extend_from_slice(&word);
        } else {
            out.extend_from_slice(self.as_slice());
        }
    }

    /// How many bytes it takes there.
    pub(crate) const fn length(&self) -> usize {
        self.length as usize + (self.length == 32) as usize
    }
}

impl From<&RlpNode> for Reference {
    fn from(node: &RlpNode) -> Self {
        node.as_hash().map_or_else(|| Self::of(node), Self::hash)
    }
}
