//! keccak256 of many inputs at once.
//!
//! Where the processor has AVX-512, eight inputs go through the permutation side by side, one in
//! each lane of its registers, in about the time of two that go alone (decision 14). Elsewhere each
//! input is hashed by itself.
//!
//! The one file of the program with `unsafe` of our own: a function that is compiled for an
//! instruction set may only be called where the processor has it, and the compiler cannot see that
//! it does.
//!
//! Source: FIPS 202 for the permutation; Keccak, version 3.0, for the padding, which is another.

#![cfg_attr(target_arch = "x86_64", expect(unsafe_code, reason = "AVX-512, found at run time"))]

use fugue_types::{B256, keccak256};

/// Bytes that one permutation takes in.
const RATE: usize = 136;

/// Inputs to be hashed together, each with what its hash is for.
#[derive(Debug)]
pub struct Batch<T> {
    /// All inputs, each padded to whole blocks.
    bytes: Vec<u8>,
    inputs: Vec<Input<T>>,
}

#[derive(Debug)]
struct Input<T> {
    start: usize,
    /// Without the padding.
    length: usize,
    target: T,
}

impl<T> Input<T> {
    const fn blocks(&self) -> usize {
        self.length / RATE + 1
    }
}

impl<T> Default for Batch<T> {
    fn default() -> Self {
        Self { bytes: Vec::new(), inputs: Vec::new() }
    }
}

impl<T> Batch<T> {
    /// Adds an input.
    pub fn push(&mut self, input: &[u8], target: T) {
        self.write(|bytes| bytes.extend_from_slice(input), |_| Some(target));
    }

    /// Adds what `write` appends to a buffer, unless `target`, which is shown it, declines.
    pub(crate) fn write(
        &mut self,
        write: impl FnOnce(&mut Vec<u8>),
        target: impl FnOnce(&[u8]) -> Option<T>,
    ) {
        let start = self.bytes.len();
        write(&mut self.bytes);
        let Some(target) = target(&self.bytes[start..]) else {
            self.bytes.truncate(start);
            return;
        };
        let input = Input { start, length: self.bytes.len() - start, target };
        self.bytes.push(0x01);
        self.bytes.resize(start + input.blocks() * RATE, 0);
        if let Some(last) = self.bytes.last_mut() {
            *last |= 0x80;
        }
        self.inputs.push(input);
    }

    /// Gives each hash to `take`, in any order. Then the batch is empty, and keeps its room.
    pub fn hash(&mut self, mut take: impl FnMut(&T, B256)) {
        // Lanes go together through equally many blocks.
        self.inputs.sort_by_key(Input::blocks);
        for equal in self.inputs.chunk_by(|one, other| one.blocks() == other.blocks()) {
            let mut rest = equal;
            #[cfg(target_arch = "x86_64")]
            if lanes::are_there() {
                while rest.len() >= lanes::USED_MIN {
                    let (group, later) = rest.split_at(rest.len().min(lanes::COUNT));
                    rest = later;
                    let starts = group.iter().map(|input| input.start);
                    let blocks = group.first().map_or(0, Input::blocks);
                    let hashes = lanes::hash(&self.bytes, starts, blocks);
                    for (input, hash) in group.iter().zip(hashes) {
                        take(&input.target, hash);
                    }
                }
            }
            for Input { start, length, target } in rest {
                take(target, keccak256(&self.bytes[*start..start + length]));
            }
        }
        self.inputs.clear();
        self.bytes.clear();
    }
}

#[cfg(target_arch = "x86_64")]
mod lanes {
    use super::RATE;
    use fugue_types::B256;

    /// Inputs side by side.
    pub(super) const COUNT: usize = 8;
    /// Inputs from which it is worth it.
    pub(super) const USED_MIN: usize = 2;

    /// One word of each lane's state: a whole register.
    #[derive(Debug, Clone, Copy)]
    #[repr(align(64))]
    struct Words([u64; COUNT]);

    const ROUND_CONSTANTS: [u64; 24] = [
        0x0000_0000_0000_0001,
        0x0000_0000_0000_8082,
        0x8000_0000_0000_808a,
        0x8000_0000_8000_8000,
        0x0000_0000_0000_808b,
        0x0000_0000_8000_0001,
        0x8000_0000_8000_8081,
        0x8000_0000_0000_8009,
        0x0000_0000_0000_008a,
        0x0000_0000_0000_0088,
        0x0000_0000_8000_8009,
        0x0000_0000_8000_000a,
        0x0000_0000_8000_808b,
        0x8000_0000_0000_008b,
        0x8000_0000_0000_8089,
        0x8000_0000_0000_8003,
        0x8000_0000_0000_8002,
        0x8000_0000_0000_0080,
        0x0000_0000_0000_800a,
        0x8000_0000_8000_000a,
        0x8000_0000_8000_8081,
        0x8000_0000_0000_8080,
        0x0000_0000_8000_0001,
        0x8000_0000_8000_8008,
    ];

    /// By how much rho turns the word at `x + 5 * y`.
    const TURNS: [u32; 25] = [
        0, 1, 62, 28, 27, 36, 44, 6, 55, 20, 3, 10, 43, 25, 39, 41, 45, 15, 21, 8, 18, 2, 61, 56,
        14,
    ];

    /// Whether this processor has what [`hash`] is compiled for.
    pub(super) fn are_there() -> bool {
        is_x86_feature_detected!("avx512f")
    }

    /// The hashes of inputs that begin at `starts` and have this many blocks, padding included; at
    /// most [`COUNT`]. To be called only where [`are_there`].
    pub(super) fn hash(
        bytes: &[u8],
        starts: impl Iterator<Item = usize>,
        blocks: usize,
    ) -> [B256; COUNT] {
        let mut inputs: [&[u8]; COUNT] = [&[]; COUNT];
        for (input, start) in inputs.iter_mut().zip(starts) {
            *input = &bytes[start..start + blocks * RATE];
        }
        assert!(are_there(), "called where there are no lanes");
        // SAFETY: the processor has AVX-512F, which is all that the function is compiled for.
        unsafe { absorb(&inputs, blocks) }
    }

    #[target_feature(enable = "avx512f")]
    fn absorb(inputs: &[&[u8]; COUNT], blocks: usize) -> [B256; COUNT] {
        let mut state = [Words([0; COUNT]); 25];
        for block in 0..blocks {
            for (lane, input) in inputs.iter().enumerate() {
                // A lane without input stays as it is; nobody asks for its hash.
                let Some(block) = input.get(block * RATE..(block + 1) * RATE) else { continue };
                let (words, _) = block.as_chunks::<8>();
                for (state, word) in state.iter_mut().zip(words) {
                    state.0[lane] ^= u64::from_le_bytes(*word);
                }
            }
            permute(&mut state);
        }
        std::array::from_fn(|lane| {
            let mut hash = B256::ZERO;
            let (words, _) = hash.0.as_chunks_mut::<8>();
            for (word, state) in words.iter_mut().zip(&state) {
                *word = state.0[lane].to_le_bytes();
            }
            hash
        })
    }

    impl Words {
        #[inline(always)]
        fn zip(self, other: Self, each: impl Fn(u64, u64) -> u64) -> Self {
            Self(std::array::from_fn(|lane| each(self.0[lane], other.0[lane])))
        }

        #[inline(always)]
        fn xor(self, other: Self) -> Self {
            self.zip(other, |one, other| one ^ other)
        }

        #[inline(always)]
        fn turned(self, by: u32) -> Self {
            Self(self.0.map(|word| word.rotate_left(by)))
        }
    }

    #[inline(always)]
    fn permute(state: &mut [Words; 25]) {
        for constant in ROUND_CONSTANTS {
            // theta
            let column = |x: usize| (1..5).fold(state[x], |column, y| column.xor(state[x + 5 * y]));
            let columns: [Words; 5] = std::array::from_fn(column);
            let parity = |x: usize| columns[(x + 4) % 5].xor(columns[(x + 1) % 5].turned(1));
            let parities: [Words; 5] = std::array::from_fn(parity);
            // rho and pi
            let mut moved = [Words([0; COUNT]); 25];
            for y in 0..5 {
                for (x, parity) in parities.into_iter().enumerate() {
                    let from = x + 5 * y;
                    let to = y + 5 * ((2 * x + 3 * y) % 5);
                    moved[to] = state[from].xor(parity).turned(TURNS[from]);
                }
            }
            // chi
            for y in 0..5 {
                for x in 0..5 {
                    let [one, two, three] = [0, 1, 2].map(|step| moved[(x + step) % 5 + 5 * y]);
                    state[x + 5 * y] = one.xor(two.zip(three, |two, three| !two & three));
                }
            }
            // iota
            state[0] = Words(state[0].0.map(|word| word ^ constant));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hashes(inputs: &[Vec<u8>]) -> Vec<B256> {
        let mut batch = Batch::default();
        let mut hashes = vec![B256::ZERO; inputs.len()];
        // Twice: the batch is used again.
        for _ in 0..2 {
            for (index, input) in inputs.iter().enumerate() {
                batch.push(input, index);
            }
            hashes.fill(B256::ZERO);
            batch.hash(|index, hash| hashes[*index] = hash);
        }
        hashes
    }

    fn alone(inputs: &[Vec<u8>]) -> Vec<B256> {
        inputs.iter().map(keccak256).collect()
    }

    #[test]
    fn every_length_around_the_blocks_has_the_hash_that_it_has_alone() {
        let inputs: Vec<Vec<u8>> = (0..600u16)
            .map(|length| (0..length).map(|at| (at * 7 + length) as u8).collect())
            .collect();
        assert_eq!(hashes(&inputs), alone(&inputs));
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn lanes_are_taken_where_they_are_and_agree_with_each_input_alone() {
        if !lanes::are_there() {
            eprintln!("skipped: this processor has no AVX-512");
            return;
        }
        let inputs: Vec<Vec<u8>> = (0..8u8).map(|index| vec![index; 300]).collect();
        let mut batch = Batch::default();
        inputs.iter().for_each(|input| batch.push(input, ()));
        let starts = batch.inputs.iter().map(|input| input.start);
        assert_eq!(lanes::hash(&batch.bytes, starts, 3).to_vec(), alone(&inputs));
    }

    #[test]
    fn what_is_declined_leaves_nothing() {
        let mut batch = Batch::default();
        batch.write(|bytes| bytes.extend([1; 500]), |_| None::<u8>);
        batch.push(b"fugue", 7);
        let mut found = Vec::new();
        batch.hash(|target, hash| found.push((*target, hash)));
        assert_eq!(found, [(7, keccak256("fugue"))]);
    }

    proptest! {
        #[test]
        fn any_batch_has_the_hashes_that_its_inputs_have_alone(
            inputs in proptest::collection::vec(
                proptest::collection::vec(any::<u8>(), 0..600), 0..40),
        ) {
            prop_assert_eq!(hashes(&inputs), alone(&inputs));
        }
    }
}
