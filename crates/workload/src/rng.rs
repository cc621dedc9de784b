//! A tiny deterministic generator, so that a seed gives the same blocks on every machine and with
//! every version of every library.
//!
//! Source: SplitMix64, as in Steele, Lea and Flood, "Fast Splittable Pseudorandom Number
//! Generators". It is no source of secrets.

use fugue_types::{Address, B256, keccak256};

/// A stream of numbers that its seed fixes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rng {
    state: u64,
}

impl Rng {
    /// The stream of `seed`.
    pub const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next 64 bits.
    pub const fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; 0 if `bound` is 0.
    pub const fn below(&mut self, bound: u64) -> u64 {
        // The high half of the product: its bias is far below what a workload could notice.
        ((self.draw() as u128 * bound as u128) >> 64) as u64
    }

    /// True in `percent` of 100 cases.
    pub const fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// An index into something of length `count`; 0 if that is 0.
    pub const fn index(&mut self, count: usize) -> usize {
        self.below(count as u64) as usize
    }

    /// One of `items`, which must not be empty.
    pub fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.index(items.len())]
    }

    /// 32 bytes.
    pub fn bytes32(&mut self) -> B256 {
        let mut bytes = [0; 32];
        for chunk in bytes.chunks_exact_mut(8) {
            chunk.copy_from_slice(&self.draw().to_be_bytes());
        }
        B256::from(bytes)
    }

    /// An address that nobody has a key for.
    pub fn address(&mut self) -> Address {
        Address::from_word(self.bytes32())
    }

    /// An independent stream. It depends on the seed and the label, and on how much was drawn
    /// before; this stream does not move.
    pub fn fork(&self, label: &str) -> Self {
        let mut input = self.state.to_be_bytes().to_vec();
        input.extend_from_slice(label.as_bytes());
        let hash = keccak256(&input);
        let mut head = [0; 8];
        head.copy_from_slice(&hash[..8]);
        Self { state: u64::from_be_bytes(head) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_is_splitmix64() {
        let mut rng = Rng::new(1_234_567);
        assert_eq!(rng.draw(), 6_457_827_717_110_365_317);
        assert_eq!(rng.draw(), 3_203_168_211_198_807_973);
        assert_eq!(rng.draw(), 9_817_491_932_198_370_423);
    }

    #[test]
    fn numbers_stay_below_their_bound_and_reach_all_of_it() {
        let mut rng = Rng::new(7);
        let mut seen = [false; 5];
        for _ in 0..200 {
            seen[rng.index(5)] = true;
        }
        assert_eq!(seen, [true; 5]);
        assert_eq!(rng.below(0), 0);
        assert!(!rng.chance(0));
        assert!(rng.chance(100));
    }

    #[test]
    fn forks_with_different_labels_differ_and_leave_the_parent_alone() {
        let parent = Rng::new(1);
        assert_ne!(parent.fork("a"), parent.fork("b"));
        assert_eq!(parent.fork("a"), parent.fork("a"));
        assert_eq!(parent, Rng::new(1));
    }
}
