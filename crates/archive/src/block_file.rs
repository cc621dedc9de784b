//! A file of blocks of whatever format, read as a stream.

use crate::{
    ArchiveError, Cause, EraSummary, Fault, Place,
    e2store::{Head, Kind},
    era1::Era1,
    ere::Ere,
    index::BlockIndex,
    rlp_stream::{RlpStream, is_list},
};
use fugue_types::{ReceiptEnvelope, SealedBlock, U256};
use std::{
    fs::File,
    io::Read,
    iter::FusedIterator,
    path::{Path, PathBuf},
};

/// One block of a file, as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileBlock {
    /// The block. From an era file, its body fits its header.
    pub block: SealedBlock,
    /// The receipts of its transactions, if the file has them; they fit the header.
    pub receipts: Option<Vec<ReceiptEnvelope>>,
    /// The total difficulty after the block, if the file has it.
    pub total_difficulty: Option<U256>,
}

/// The format of a file of blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// RLP blocks, one after another.
    Rlp,
    /// Blocks from before the merge, with receipts and total difficulties.
    Era1,
    /// Blocks from before and after the merge, perhaps with receipts and total difficulties.
    Ere,
}

/// A file of blocks: era1, ere, or a stream of RLP blocks, told apart by what is in it.
///
/// As an iterator it gives the blocks in the order of the file, and ends after the first error.
/// Only one block is in memory at a time. The blocks of an era file are compared with their
/// headers, with each other, with the index, and with their total difficulties; at the end the
/// accumulator and the name of the file are compared with all of them, so an error may come after
/// the last block. [`verify`] finds such an error before. The blocks of a stream of RLP blocks are
/// not judged.
#[derive(Debug)]
pub struct BlockFile {
    path: PathBuf,
    bytes: u64,
    blocks: Blocks,
    has_ended: bool,
}

#[derive(Debug)]
enum Blocks {
    Rlp(RlpStream),
    Era1(Box<Era1>),
    Ere(Box<Ere>),
}

impl Blocks {
    fn open(path: &Path, bytes: u64, mut file: File) -> Result<Self, Cause> {
        let mut start = Vec::new();
        Read::by_ref(&mut file).take(8).read_to_end(&mut start)?;
        let begin = Place::Byte(0);
        match start.first() {
            None => Err(begin.cause(Fault::Empty)),
            Some(byte) if is_list(*byte) => Ok(Self::Rlp(RlpStream::open(path, bytes)?)),
            Some(_) if start == Head::VERSION.to_bytes() => {
                let index = BlockIndex::read(&mut file, bytes)?;
                if index.kind == Kind::BLOCK_INDEX {
                    Ok(Self::Era1(Box::new(Era1::open(path, index)?)))
                } else {
                    Ok(Self::Ere(Box::new(Ere::open(path, index)?)))
                }
            }
            Some(_) => {
                let start = start.iter().map(|byte| format!("{byte:02x}")).collect();
                Err(begin.cause(Fault::Unknown { start }))
            }
        }
    }

    fn next_block(&mut self) -> Option<Result<FileBlock, Cause>> {
        match self {
            Self::Rlp(stream) => stream.next_block(),
            Self::Era1(era) => era.next_block(),
            Self::Ere(era) => era.next_block(),
        }
    }

    fn position(&self) -> u64 {
        match self {
            Self::Rlp(stream) => stream.position(),
            Self::Era1(era) => era.position(),
            Self::Ere(era) => era.position(),
        }
    }

    fn index(&self) -> Option<&BlockIndex> {
        match self {
            Self::Rlp(_) => None,
            Self::Era1(era) => Some(era.index()),
            Self::Ere(era) => Some(era.index()),
        }
    }
}

impl BlockFile {
    /// Opens a file. Of an era file it reads the version and the index, and little else.
    ///
    /// # Errors
    /// [`ArchiveError`] if the file cannot be read, is empty or of another format, or if it is an
    /// era file without an index at its end or with one that places its blocks wrongly.
    pub fn open(path: &Path) -> Result<Self, ArchiveError> {
        Self::open_inner(path).map_err(ArchiveError::at(path))
    }

    fn open_inner(path: &Path) -> Result<Self, Cause> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(Cause::NoFile);
        }
        let bytes = metadata.len();
        let blocks = Blocks::open(path, bytes, file)?;
        Ok(Self { path: path.to_owned(), bytes, blocks, has_ended: false })
    }

    /// The format of the file.
    pub const fn kind(&self) -> FileKind {
        match self.blocks {
            Blocks::Rlp(_) => FileKind::Rlp,
            Blocks::Era1(_) => FileKind::Era1,
            Blocks::Ere(_) => FileKind::Ere,
        }
    }

    /// Size of the file.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many bytes of the file lie behind its reader; all of them at its end.
    pub fn position(&self) -> u64 {
        if self.has_ended { self.bytes } else { self.blocks.position().min(self.bytes) }
    }

    /// How many blocks the file has; `None` if its format does not say.
    pub fn block_count(&self) -> Option<u64> {
        self.blocks.index().map(|index| index.count)
    }

    /// Number of the first block; `None` if the format of the file does not say.
    pub fn first_number(&self) -> Option<u64> {
        self.blocks.index().map(|index| index.first_number)
    }
}

impl Iterator for BlockFile {
    type Item = Result<FileBlock, ArchiveError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.has_ended {
            return None;
        }
        let next = self.blocks.next_block();
        self.has_ended = !matches!(next, Some(Ok(_)));
        next.map(|next| next.map_err(ArchiveError::at(&self.path)))
    }
}

impl FusedIterator for BlockFile {}

/// Reads all headers and total difficulties of an era file: the blocks are a chain, the total
/// difficulties are sums, and index, accumulator and name are those of the blocks. Bodies and
/// receipts are passed over; they are compared with the headers when the blocks are read.
///
/// # Errors
/// [`ArchiveError`] with the first thing that is wrong, or if the file is a stream of RLP blocks.
pub fn verify(path: &Path) -> Result<EraSummary, ArchiveError> {
    let verified = match BlockFile::open(path)?.blocks {
        Blocks::Rlp(_) => Err(Place::Byte(0).cause(Fault::NotEra)),
        Blocks::Era1(era) => era.verify(),
        Blocks::Ere(era) => era.verify(),
    };
    verified.map_err(ArchiveError::at(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{chain, era1, fault, write};
    use std::os::fd::AsRawFd;

    fn refused(bytes: &[u8]) -> ArchiveError {
        let (_folder, path) = write("a", bytes);
        BlockFile::open(&path).map(|file| file.kind()).unwrap_err()
    }

    #[test]
    fn an_empty_file_is_an_error() {
        let error = refused(&[]);
        assert!(matches!(fault(&error), Fault::Empty), "{error}");
    }

    /// It says of itself that it has no bytes, and would pass for the end of a stream of blocks.
    #[test]
    fn a_pipe_is_refused() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        crate::write_rlp(&mut writer, chain(0, &[1])[0].block.block()).unwrap();
        let path = format!("/dev/fd/{}", reader.as_raw_fd());
        let error = BlockFile::open(Path::new(&path)).map(|file| file.kind()).unwrap_err();
        assert!(matches!(error.cause, Cause::NoFile), "{error}");
    }

    #[test]
    fn a_file_of_another_format_is_an_error_that_shows_its_beginning() {
        for bytes in [&b"\x1f\x8b\x08"[..], b"{}", b"e2\0\0\0\0\0\x01rest", b"e2"] {
            let error = refused(bytes);
            assert!(matches!(fault(&error), Fault::Unknown { .. }), "{error}");
            assert!(error.to_string().contains(&format!("begins with {:02x}", bytes[0])));
        }
    }

    #[test]
    fn an_era_file_without_its_end_is_an_error() {
        let bytes = era1(&chain(0, &[1, 2, 3]));
        for end in [8, 9, 23, 24, bytes.len() - 1, bytes.len() - 8, bytes.len() - 56] {
            let error = refused(&bytes[..end]);
            assert!(matches!(fault(&error), Fault::NoIndex), "{end}: {error}");
            assert!(error.to_string().contains(&format!("a: byte {end}: ")), "{error}");
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = BlockFile::open(Path::new("no-such-file.era1")).map(|file| file.kind());
        let error = error.unwrap_err();
        assert!(matches!(error.cause, Cause::Io(_)), "{error}");
        assert!(error.to_string().starts_with("no-such-file.era1: "), "{error}");
    }
}
