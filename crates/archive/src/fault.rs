//! What can be wrong inside a file of blocks, and the places in it.

use crate::{Cause, ERA_BLOCKS_MAX};
use fugue_types::{B256, U256};
use std::fmt;

/// A place in a file of blocks. Bytes and indexes count from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// This byte.
    Byte(u64),
    /// The block of this number.
    Block {
        /// Its number, as the index of the file has it.
        number: u64,
        /// Where its entry begins.
        byte: u64,
    },
    /// A block of a stream, which has no index.
    Nth {
        /// How many blocks are before it in the file.
        index: u64,
        /// Where it begins.
        byte: u64,
    },
}

impl Place {
    pub(crate) fn cause(self, fault: Fault) -> Cause {
        Cause::Blocks { place: self, fault: Box::new(fault) }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Byte(byte) => write!(f, "byte {byte}"),
            Self::Block { number, byte } => write!(f, "block {number} at byte {byte}"),
            Self::Nth { index, byte } => write!(f, "block with index {index} at byte {byte}"),
        }
    }
}

/// What is wrong at a place of a file of blocks.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The system does not give or take these bytes.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// There is nothing in it.
    #[error("the file is empty")]
    Empty,
    /// Neither an era file nor a stream of RLP blocks.
    #[error("begins with {start}, neither an RLP list nor the version entry of an era file")]
    Unknown {
        /// The first bytes in hexadecimal.
        start: String,
    },
    /// A stream of RLP blocks, where only era files can be judged.
    #[error("not an era file, but a stream of RLP blocks, which has nothing to be verified by")]
    NotEra,

    /// An RLP item that is no list.
    #[error("byte {byte:#04x} where the list of a block should begin")]
    NotAList {
        /// The first byte of the item.
        byte: u8,
    },
    /// The file ends within a block.
    #[error("the file ends within this block, which needs {needed} bytes and has {left}")]
    Cut {
        /// What the block, or its length, needs.
        needed: u64,
        /// What the file has from here on.
        left: u64,
    },

    /// Larger than a block may be.
    #[error("{what}: larger than {max} bytes")]
    TooLarge {
        /// The part.
        what: &'static str,
        /// The limit in bytes.
        max: u64,
    },
    /// Bytes that do not decode.
    #[error("{what}: {error}")]
    Rlp {
        /// The part.
        what: &'static str,
        /// Why it does not decode.
        error: alloy_rlp::Error,
    },

    /// The file does not end as an era file does.
    #[error("no block index at the end of the file, as every whole era1 and ere file has it")]
    NoIndex,
    /// The index names blocks after the last number that there is.
    #[error("the index begins with block {first}, too high for {count} blocks")]
    IndexNumber {
        /// Number of the first block.
        first: u64,
        /// How many blocks the index has.
        count: u64,
    },
    /// The index places an entry where there are none.
    #[error("the index places an entry of block {number} outside of the entries")]
    IndexOffset {
        /// The block.
        number: u64,
    },
    /// The blocks of an era1 file are not in the order of its index.
    #[error("the index places block {number} before the one below it")]
    IndexOrder {
        /// The block.
        number: u64,
    },
    /// The index is not where the entries are.
    #[error("the entries before this block end at byte {end}, where it should begin")]
    IndexPlace {
        /// The byte after the last entry.
        end: u64,
    },
    /// The index names two entries of one kind for each block.
    #[error("the index names two entries of the kind {what} for each block")]
    IndexRepeats {
        /// The kind.
        what: &'static str,
    },
    /// The index leaves out what every block has.
    #[error("the index names no {what} for its blocks")]
    IndexLacks {
        /// The kind.
        what: &'static str,
    },

    /// An entry of another kind than expected.
    #[error("an entry of type {found:#06x} where {expected} should be")]
    EntryKind {
        /// The kind that belongs here.
        expected: &'static str,
        /// The type in the entry's head, as a little-endian number.
        found: u16,
    },
    /// Bytes of the head that must be zero are not.
    #[error("the reserved bytes of an entry's head are {0:#06x}, not zero")]
    Reserved(u16),
    /// An entry reaches into the index.
    #[error("an entry needs {needed} bytes, and {left} are left before the index")]
    EntryEnd {
        /// What the entry's head says, or the size of a head.
        needed: u64,
        /// What is left.
        left: u64,
    },
    /// An entry of a fixed length has another one.
    #[error("{what}: {found} bytes instead of {expected}")]
    EntryLength {
        /// The kind.
        what: &'static str,
        /// The length that it must have.
        expected: u64,
        /// The length that it has.
        found: u64,
    },
    /// A compressed entry does not begin as such.
    #[error("{what}: does not begin with the identifier of snappy frames")]
    NotSnappy {
        /// The kind.
        what: &'static str,
    },
    /// A compressed entry is damaged.
    #[error("{what}: damaged snappy frames: {source}")]
    Snappy {
        /// The kind.
        what: &'static str,
        /// What the decoder says.
        source: std::io::Error,
    },

    /// The blocks are not in the order of their numbers.
    #[error("the header says number {found}, this should be {expected}")]
    Number {
        /// The number in the index, or that follows the block before.
        expected: u64,
        /// The number in the header.
        found: u64,
    },
    /// Two blocks in a row that are no chain.
    #[error("its parent is {found}, the block before it is {expected}")]
    Parent {
        /// Hash of the block before.
        expected: B256,
        /// Parent hash in the header.
        found: B256,
    },
    /// The total difficulty is not the sum of difficulties.
    #[error("total difficulty is {found}, with this block's difficulty it should be {expected}")]
    TotalDifficulty {
        /// That of the block before and this block's difficulty.
        expected: U256,
        /// What the file has.
        found: U256,
    },
    /// The total difficulty of a file's first block is lower than the block's difficulty.
    #[error("total difficulty {found} is below this block's difficulty {difficulty}")]
    TotalDifficultyLow {
        /// The block's own.
        difficulty: U256,
        /// What the file has.
        found: U256,
    },
    /// A part of the block is not what its header commits to.
    #[error("the {what} is {expected} in the header, {found} from the file")]
    Root {
        /// The commitment.
        what: &'static str,
        /// In the header.
        expected: B256,
        /// Computed from the file.
        found: B256,
    },
    /// Withdrawals that the header does not commit to, or none where it does.
    #[error(
        "the withdrawals root is {} in the header, {} from the file",
        or_none(.expected),
        or_none(.found)
    )]
    WithdrawalsRoot {
        /// In the header.
        expected: Option<B256>,
        /// Computed from the file.
        found: Option<B256>,
    },

    /// An era1 file without an accumulator.
    #[error("no accumulator between the last block and the index")]
    NoAccumulator,
    /// An era file with more than one accumulator.
    #[error("a second accumulator")]
    SecondAccumulator,
    /// The blocks are not those that the file was made of.
    #[error("the accumulator is {stored}, from the blocks of the file it is {found}")]
    Accumulator {
        /// In the file.
        stored: B256,
        /// Computed from hashes and total difficulties.
        found: B256,
    },
    /// The name of the file is that of another one.
    #[error("the name of the file says {name}, but the {what} is {found}")]
    FileName {
        /// The eight digits in the name.
        name: String,
        /// What they are taken from.
        what: &'static str,
        /// What it is in this file.
        found: B256,
    },

    /// More blocks than an era file may hold.
    #[error("an era file holds at most {} blocks", ERA_BLOCKS_MAX)]
    TooManyBlocks,
    /// An era file that would hold nothing.
    #[error("an era file holds at least one block")]
    NoBlocks,
    /// The file cannot be ended, because a block of it could not be written.
    #[error("an earlier block of the file was not written whole")]
    Unfinished,
}

fn or_none(root: &Option<B256>) -> String {
    root.map_or_else(|| "none".to_owned(), |root| root.to_string())
}
