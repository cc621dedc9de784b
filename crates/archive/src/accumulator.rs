//! The accumulator of an era file: one hash for the hashes and total difficulties of its blocks.
//!
//! ```text
//! HeaderRecord = Container { block_hash: Bytes32, total_difficulty: uint256 }
//! accumulator  = hash_tree_root(List[HeaderRecord, 8192])
//! ```
//! Source: consensus-specs, "SimpleSerialize", "Merkleization"; e2store-format-specs, "Era1".

use fugue_types::{B256, U256};
use sha2::{Digest, Sha256};

/// Levels of hashes above the records: a list of at most 2^13 of them.
const DEPTH: usize = 13;

/// The records so far; at most [`ERA_BLOCKS_MAX`](crate::ERA_BLOCKS_MAX) of them, which its users
/// keep.
#[derive(Debug, Default)]
pub(crate) struct Accumulator {
    /// The root of each record.
    leaves: Vec<B256>,
}

impl Accumulator {
    /// Adds the next block.
    pub(crate) fn push(&mut self, hash: B256, total_difficulty: U256) {
        self.leaves.push(pair(hash, B256::from(total_difficulty.to_le_bytes::<32>())));
    }

    /// The root of the list of all records so far.
    pub(crate) fn root(&self) -> B256 {
        let mut row = self.leaves.clone();
        // The root of a subtree that has no records in it.
        let mut empty = B256::ZERO;
        for _ in 0..DEPTH {
            if !row.len().is_multiple_of(2) {
                row.push(empty);
            }
            let (pairs, _) = row.as_chunks::<2>();
            row = pairs.iter().map(|[left, right]| pair(*left, *right)).collect();
            empty = pair(empty, empty);
        }
        let root = row.first().copied().unwrap_or(empty);
        let count = U256::from(self.leaves.len());
        pair(root, B256::from(count.to_le_bytes::<32>()))
    }
}

fn pair(left: B256, right: B256) -> B256 {
    let digest: [u8; 32] = Sha256::new().chain_update(left).chain_update(right).finalize().into();
    digest.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use fugue_types::b256;

    #[test]
    fn roots_are_those_of_a_tree_padded_with_zeros() {
        let mut accumulator = Accumulator::default();
        assert_eq!(
            accumulator.root(),
            b256!("4a8c3a07c8d23adc5bac61157555c3c784d53d9bc110c1370809bd23cd93777d")
        );
        for i in 1..=3 {
            accumulator.push(B256::repeat_byte(i), U256::from(i) * U256::from(1000));
        }
        assert_eq!(
            accumulator.root(),
            b256!("8311c78e13790fa085fb5599366783ee24cf89b98f4c72779ec56adfdd50ce10")
        );
    }

    #[test]
    fn a_full_list_needs_no_padding() {
        let mut accumulator = Accumulator::default();
        for _ in 0..1 << DEPTH {
            accumulator.push(B256::repeat_byte(7), U256::from(1) << 200_usize);
        }
        assert_eq!(
            accumulator.root(),
            b256!("bce6a88b92155d1e2bc4ca648dcc410a5bb1d987f041544d03df2ff262ec3c5a")
        );
    }
}
