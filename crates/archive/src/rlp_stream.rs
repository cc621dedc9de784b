//! Files of RLP blocks, one after another and nothing else, as most clients export them.
//!
//! A block is a list of header, transactions, ommers and, from Shanghai on, withdrawals. Nothing in
//! such a file says whether it is whole, except that it does not end within a block.

use crate::{BLOCK_BYTES_MAX, Cause, Fault, FileBlock, Place, contents::decode};
use fugue_types::{Block, SealedBlock};
use std::{
    fs::File,
    io::{BufReader, ErrorKind, Read, Write},
    path::Path,
};

/// Bytes that are read from a file at a time.
const BUFFER_BYTES: usize = 1 << 20;
/// First byte of an empty list; a byte below it begins a string.
const LIST: u8 = 0xc0;
/// The first bytes above this one say how many bytes the length of the list takes; those from
/// [`LIST`] up to it say the length.
const SHORT_LIST_LAST: u8 = 0xf7;

/// Writes one block, which is also how a file of blocks is written: one after another.
///
/// # Errors
/// What the system says.
pub fn write_rlp(out: &mut dyn Write, block: &Block) -> std::io::Result<()> {
    out.write_all(&alloy_rlp::encode(block))
}

/// Whether a file that begins with this byte may be a stream of RLP blocks.
pub(crate) const fn is_list(byte: u8) -> bool {
    byte >= LIST
}

/// Reads the blocks of a file in order.
#[derive(Debug)]
pub(crate) struct RlpStream {
    file: BufReader<File>,
    bytes: u64,
    position: u64,
    /// How many blocks have been read.
    next: u64,
    /// The encoded block.
    encoded: Vec<u8>,
}

impl RlpStream {
    /// Of a file of this many bytes.
    pub(crate) fn open(path: &Path, bytes: u64) -> Result<Self, Cause> {
        let file = BufReader::with_capacity(BUFFER_BYTES, File::open(path)?);
        Ok(Self { file, bytes, position: 0, next: 0, encoded: Vec::new() })
    }

    /// How far the file has been read.
    pub(crate) const fn position(&self) -> u64 {
        self.position
    }

    /// The next block; `None` at the end of the file.
    pub(crate) fn next_block(&mut self) -> Option<Result<FileBlock, Cause>> {
        let left = self.bytes.checked_sub(self.position).filter(|left| *left > 0)?;
        let place = Place::Nth { index: self.next, byte: self.position };
        self.next += 1;
        Some(self.block(left).map_err(|fault| place.cause(fault)))
    }

    /// Reads one block, with `left` bytes up to the end of the file.
    fn block(&mut self, left: u64) -> Result<FileBlock, Fault> {
        self.encoded.clear();
        let mut byte = [0];
        self.file.read_exact(&mut byte)?;
        let [byte] = byte;
        self.encoded.push(byte);
        let payload = match byte {
            ..LIST => return Err(Fault::NotAList { byte }),
            LIST..=SHORT_LIST_LAST => u64::from(byte - LIST),
            _ => {
                let width = u64::from(byte - SHORT_LIST_LAST);
                self.take(width, left)?;
                let length = self.encoded.iter().skip(1);
                length.fold(0, |length, byte| (length << 8) | u64::from(*byte))
            }
        };
        if payload > BLOCK_BYTES_MAX {
            return Err(Fault::TooLarge { what: "block", max: BLOCK_BYTES_MAX });
        }
        self.take(payload, left)?;
        let block: Block = decode("block", &self.encoded)?;
        self.position = self.position.saturating_add(self.encoded.len() as u64);
        Ok(FileBlock { block: SealedBlock::seal(block), receipts: None, total_difficulty: None })
    }

    /// Reads more bytes of the block, which began with `left` bytes up to the end of the file.
    fn take(&mut self, bytes: u64, left: u64) -> Result<(), Fault> {
        let needed = bytes.saturating_add(self.encoded.len() as u64);
        if needed > left {
            return Err(Fault::Cut { needed, left });
        }
        let read = Read::by_ref(&mut self.file).take(bytes).read_to_end(&mut self.encoded)?;
        if read as u64 == bytes { Ok(()) } else { Err(Fault::Io(ErrorKind::UnexpectedEof.into())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        BlockFile, FileKind,
        sample::{chain, fault, hashes, read, write},
        verify,
    };

    fn stream(blocks: &[FileBlock]) -> Vec<u8> {
        let mut bytes = Vec::new();
        blocks.iter().for_each(|block| write_rlp(&mut bytes, block.block.block()).unwrap());
        bytes
    }

    fn blocks() -> Vec<FileBlock> {
        chain(3, &[7, 7, 0, 0, 0])
    }

    #[test]
    fn a_stream_is_read_as_what_it_was_made_of() {
        let (_folder, path) = write("blocks.rlp", &stream(&blocks()));
        let mut file = BlockFile::open(&path).unwrap();
        assert_eq!(file.kind(), FileKind::Rlp);
        assert_eq!((file.block_count(), file.first_number(), file.position()), (None, None, 0));
        for block in blocks() {
            let expected = FileBlock { receipts: None, total_difficulty: None, ..block };
            assert_eq!(file.next().unwrap().unwrap(), expected);
        }
        assert!(file.next().is_none());
        assert_eq!(file.position(), file.bytes());
    }

    #[test]
    fn a_stream_that_ends_within_a_block_is_an_error_that_names_it() {
        let bytes = stream(&blocks());
        let ends: Vec<usize> = (1..=5).map(|count| stream(&blocks()[..count]).len()).collect();
        for cut in (1..bytes.len()).step_by(97).chain([bytes.len() - 1]) {
            let (_folder, path) = write("cut.rlp", &bytes[..cut]);
            let whole = ends.iter().filter(|end| **end <= cut).count();
            let begin = whole.checked_sub(1).map_or(0, |last| ends[last]);
            if begin == cut {
                assert_eq!(hashes(&read(&path).unwrap()), hashes(&blocks()[..whole]));
                continue;
            }
            let error = read(&path).unwrap_err();
            assert!(matches!(fault(&error), Fault::Cut { .. }), "{cut}: {error}");
            let place = format!("cut.rlp: block with index {whole} at byte {begin}: ");
            assert!(error.to_string().contains(&place), "{cut}: {error}");
        }
    }

    #[test]
    fn nothing_follows_an_error() {
        let mut bytes = stream(&blocks());
        bytes.insert(0, 0xc0);
        let (_folder, path) = write("blocks.rlp", &bytes);
        let mut file = BlockFile::open(&path).unwrap();
        assert!(matches!(fault(&file.next().unwrap().unwrap_err()), Fault::Rlp { .. }));
        assert!(file.next().is_none());
    }

    #[test]
    fn what_is_no_list_or_too_long_is_an_error() {
        let good = stream(&blocks());
        for (extra, expected) in [
            (&b"\n"[..], "byte 0x0a where the list of a block should begin"),
            (&[0xff, 0xff, 0, 0, 0, 0, 0, 0, 0][..], "block: larger than 67108864 bytes"),
            (&[0xfb, 0x04, 0, 0, 1][..], "block: larger than 67108864 bytes"),
            (&[0xfb, 0x04, 0, 0][..], "ends within this block, which needs 5 bytes and has 4"),
        ] {
            let (_folder, path) = write("blocks.rlp", &[&good[..], extra].concat());
            let error = read(&path).unwrap_err().to_string();
            let place = format!("block with index 5 at byte {}: ", good.len());
            assert!(error.contains(&place) && error.contains(expected), "{error}");
        }
    }

    #[test]
    fn flipped_bits_never_panic() {
        let good = stream(&blocks());
        for at in (0..good.len()).step_by(61) {
            let mut bytes = good.clone();
            bytes[at] ^= 1 << (at % 8);
            let (_folder, path) = write("blocks.rlp", &bytes);
            if let Err(error) = read(&path) {
                assert!(error.to_string().contains("blocks.rlp: "), "{error}");
            }
        }
    }

    #[test]
    fn a_stream_cannot_be_verified() {
        let (_folder, path) = write("blocks.rlp", &stream(&blocks()));
        let error = verify(&path).unwrap_err();
        assert!(matches!(fault(&error), Fault::NotEra), "{error}");
    }
}
