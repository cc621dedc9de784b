//! Reads era1 files: blocks from before the merge, with receipts and total difficulties.
//!
//! ```text
//! version
//! header | body | receipts | total difficulty     for each block
//! other entries                                   perhaps
//! accumulator
//! block index
//! ```
//! Headers, bodies and receipts are compressed RLP; receipts are a list as in the receipts trie.
//! The total difficulty is that after the block, 32 bytes, little-endian. The first four bytes of
//! the accumulator are in the file's name. Source: e2store-format-specs, "Era1".

use crate::{
    Cause, EraSummary, Fault, FileBlock, Place,
    accumulator::Accumulator,
    contents::{check_body, check_receipts, decode},
    e2store::{EntryReader, HEAD_BYTES, Kind, Unpacker},
    era::{Links, check_name, digits_of_name, trailing_accumulator},
    index::BlockIndex,
};
use fugue_types::{B256, Block, BlockBody, Header, ReceiptEnvelope, SealedBlock, U256};
use std::path::Path;

/// What the name of the file has digits of.
const NAMED: &str = "accumulator";

/// Reads the blocks of an era1 file in order.
#[derive(Debug)]
pub(crate) struct Era1 {
    index: BlockIndex,
    /// Digits of the accumulator in the file's name.
    name: Option<String>,
    entries: EntryReader,
    unpacker: Unpacker,
    /// How many blocks have been read.
    next: usize,
    links: Links,
    accumulator: Accumulator,
}

impl Era1 {
    pub(crate) fn open(path: &Path, index: BlockIndex) -> Result<Self, Cause> {
        let entries = EntryReader::open(path, HEAD_BYTES, index.start);
        Ok(Self {
            name: digits_of_name(path, ".era1"),
            entries: entries.map_err(|fault| Place::Byte(HEAD_BYTES).cause(fault))?,
            unpacker: Unpacker::new(),
            next: 0,
            links: Links::from_number(index.first_number),
            accumulator: Accumulator::default(),
            index,
        })
    }

    pub(crate) const fn index(&self) -> &BlockIndex {
        &self.index
    }

    /// How far the file has been read.
    pub(crate) const fn position(&self) -> u64 {
        self.entries.position()
    }

    /// The next block; after the last one, what is wrong with the end of the file.
    pub(crate) fn next_block(&mut self) -> Option<Result<FileBlock, Cause>> {
        self.next_of(Self::block).or_else(|| self.end().err().map(Err))
    }

    /// Reads all headers and total difficulties, and the end of the file.
    pub(crate) fn verify(mut self) -> Result<EraSummary, Cause> {
        while let Some(linked) = self.next_of(Self::link_only) {
            linked?;
        }
        let accumulator = Some(self.end()?);
        let end = Place::Byte(self.index.start);
        let (last, last_hash) = self.links.last().ok_or_else(|| end.cause(Fault::NoBlocks))?;
        let BlockIndex { first_number: first, count: blocks, .. } = self.index;
        Ok(EraSummary { first, last, last_hash, blocks, accumulator })
    }

    /// Reads something of the next block with `read`, which ends behind the block's entries; `None`
    /// after the last block.
    fn next_of<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, Fault>,
    ) -> Option<Result<T, Cause>> {
        let byte = self.index.place(self.next, 0)?;
        let place = Place::Block { number: self.index.number(self.next), byte };
        self.next += 1;
        let end = self.entries.position();
        let read = if end == byte { read(self) } else { Err(Fault::IndexPlace { end }) };
        Some(read.map_err(|fault| place.cause(fault)))
    }

    fn block(&mut self) -> Result<FileBlock, Fault> {
        let header = self.header()?;
        let body = self.unpacker.read(&mut self.entries, Kind::BODY)?;
        let body: BlockBody = decode("body", body)?;
        let receipts = self.unpacker.read(&mut self.entries, Kind::RECEIPTS)?;
        let receipts: Vec<ReceiptEnvelope> = decode("receipts", receipts)?;
        let total_difficulty = self.total_difficulty()?;
        check_body(&header, &body)?;
        check_receipts(&header, &receipts)?;
        let block = SealedBlock::seal(Block { header, body });
        self.link(&block.block().header, block.hash(), total_difficulty)?;
        let total_difficulty = Some(total_difficulty);
        Ok(FileBlock { block, receipts: Some(receipts), total_difficulty })
    }

    fn link_only(&mut self) -> Result<(), Fault> {
        let header = self.header()?;
        for kind in [Kind::BODY, Kind::RECEIPTS] {
            let head = self.entries.head_of(kind)?;
            self.entries.skip(head)?;
        }
        let total_difficulty = self.total_difficulty()?;
        self.link(&header, header.hash_slow(), total_difficulty)
    }

    fn header(&mut self) -> Result<Header, Fault> {
        decode("header", self.unpacker.read(&mut self.entries, Kind::HEADER)?)
    }

    fn total_difficulty(&mut self) -> Result<U256, Fault> {
        let head = self.entries.head_of(Kind::TOTAL_DIFFICULTY)?;
        Ok(U256::from_le_bytes::<32>(self.entries.fixed(head)?))
    }

    fn link(&mut self, header: &Header, hash: B256, total_difficulty: U256) -> Result<(), Fault> {
        self.links.add(header, hash, Some(total_difficulty))?;
        self.accumulator.push(hash, total_difficulty);
        Ok(())
    }

    /// Compares the accumulator with all blocks of the file.
    fn end(&mut self) -> Result<B256, Cause> {
        let stored = trailing_accumulator(&mut self.entries)?;
        let missing = || Place::Byte(self.index.start).cause(Fault::NoAccumulator);
        let (place, stored) = stored.ok_or_else(missing)?;
        let found = self.accumulator.root();
        if stored != found {
            return Err(place.cause(Fault::Accumulator { stored, found }));
        }
        check_name(self.name.as_deref(), NAMED, found).map_err(|fault| place.cause(fault))?;
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        ArchiveError, BlockFile, Cause, Era1Writer, Fault, FileBlock, FileKind, Place,
        sample::{accumulator, chain, damage, era1, era1_with, fault, read, write},
        verify,
    };
    use fugue_types::B256;

    /// Bytes of the index of a file of `count` blocks.
    const fn index_bytes(count: usize) -> usize {
        8 + 8 + 8 * count + 8
    }

    fn blocks() -> Vec<FileBlock> {
        chain(8192, &[10, 11, 12, 13, 14, 15, 16])
    }

    /// What the two ways to read a file say about this one.
    fn both(bytes: &[u8]) -> [ArchiveError; 2] {
        let (_folder, path) = write("wrong.era1", bytes);
        [read(&path).unwrap_err(), verify(&path).unwrap_err()]
    }

    #[test]
    fn a_file_is_read_as_what_it_was_made_of() {
        let blocks = blocks();
        let (_folder, path) = write("blocks.era1", &era1(&blocks));
        let mut file = BlockFile::open(&path).unwrap();
        assert_eq!(file.kind(), FileKind::Era1);
        assert_eq!((file.first_number(), file.block_count()), (Some(8192), Some(7)));
        assert_eq!(file.by_ref().collect::<Result<Vec<_>, _>>().unwrap(), blocks);
        assert_eq!(file.position(), file.bytes());
        let summary = verify(&path).unwrap();
        assert_eq!((summary.first, summary.last, summary.blocks), (8192, 8198, 7));
        assert_eq!(summary.last_hash, blocks[6].block.hash());
        assert_eq!(summary.accumulator, Some(accumulator(&blocks)));
    }

    #[test]
    fn the_writer_writes_the_same_bytes() {
        let blocks = blocks();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("blocks.era1");
        let mut writer = Era1Writer::create(&path).unwrap();
        for FileBlock { block, receipts, total_difficulty } in &blocks {
            let receipts = receipts.as_deref().unwrap();
            writer.push(block, receipts, total_difficulty.unwrap()).unwrap();
        }
        assert_eq!(writer.finish().unwrap(), accumulator(&blocks));
        assert_eq!(std::fs::read(&path).unwrap(), era1(&blocks));
    }

    #[test]
    fn another_accumulator_is_an_error_after_the_last_block() {
        let blocks = blocks();
        let wrong = B256::repeat_byte(1);
        let bytes = era1_with(&blocks, &[wrong]);
        for error in both(&bytes) {
            let Fault::Accumulator { stored, found } = fault(&error) else { panic!("{error}") };
            assert_eq!((*stored, *found), (wrong, accumulator(&blocks)));
        }
        let (_folder, path) = write("wrong.era1", &bytes);
        let file = BlockFile::open(&path).unwrap();
        let is_good: Vec<bool> = file.map(|block| block.is_ok()).collect();
        assert_eq!(is_good, [true, true, true, true, true, true, true, false]);
    }

    #[test]
    fn a_missing_accumulator_and_a_second_one_are_errors() {
        let blocks = blocks();
        for error in both(&era1_with(&blocks, &[])) {
            assert!(matches!(fault(&error), Fault::NoAccumulator), "{error}");
        }
        for error in both(&era1_with(&blocks, &[accumulator(&blocks); 2])) {
            assert!(matches!(fault(&error), Fault::SecondAccumulator), "{error}");
        }
    }

    #[test]
    fn another_total_difficulty_is_an_error_at_its_block() {
        let mut blocks = blocks();
        blocks[6].total_difficulty = blocks[5].total_difficulty;
        for error in both(&era1(&blocks)) {
            assert!(matches!(fault(&error), Fault::TotalDifficulty { .. }), "{error}");
            let Cause::Blocks { place, .. } = &error.cause else { panic!("{error}") };
            assert!(matches!(place, Place::Block { number: 8198, .. }), "{error}");
            assert!(error.to_string().contains("block 8198 at byte "), "{error}");
        }
    }

    #[test]
    fn an_index_that_is_not_where_the_blocks_are_is_an_error() {
        let good = era1(&blocks());
        let first_number = good.len() - index_bytes(7) + 8;
        let second = first_number + 8 + 8;
        let check = |change: &dyn Fn(&mut Vec<u8>), is_it: fn(&Fault) -> bool| {
            let mut bytes = good.clone();
            change(&mut bytes);
            both(&bytes).iter().for_each(|error| assert!(is_it(fault(error)), "{error}"));
        };
        check(&|bytes| bytes[second] ^= 1, |fault| matches!(fault, Fault::IndexPlace { .. }));
        check(&|bytes| bytes[second + 7] = 0, |fault| {
            matches!(fault, Fault::IndexOffset { number: 8193 })
        });
        check(&|bytes| bytes.copy_within(second - 8..second, second), |fault| {
            matches!(fault, Fault::IndexOrder { number: 8193 })
        });
        check(&|bytes| bytes[first_number] ^= 1, |fault| {
            matches!(fault, Fault::Number { expected: 8193, found: 8192 })
        });
        check(&|bytes| bytes[first_number..second - 8].fill(0xff), |fault| {
            matches!(fault, Fault::IndexNumber { .. })
        });
        let count = good.len() - 8;
        check(&|bytes| bytes[count] ^= 1, |fault| matches!(fault, Fault::NoIndex));
    }

    #[test]
    fn blocks_that_do_not_belong_together_are_errors() {
        let check = |change: &dyn Fn(&mut [FileBlock]), message: &str| {
            let mut blocks = blocks();
            change(&mut blocks);
            let (_folder, path) = write("wrong.era1", &era1(&blocks));
            let error = read(&path).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        };
        let other = chain(8192, &[20, 21, 22, 23, 24]);
        check(&|blocks| blocks[4].receipts = blocks[5].receipts.clone(), "the receipts root is");
        check(&|blocks| blocks[4] = blocks[5].clone(), "the header says number 8197");
        check(&|blocks| blocks[4] = other[4].clone(), "block 8196 at byte");
        check(&|blocks| blocks[4] = other[4].clone(), "the block before it is");
    }

    #[test]
    fn a_name_that_belongs_to_another_file_is_an_error() {
        let blocks = blocks();
        let bytes = era1(&blocks);
        let digits = format!("{:x}", accumulator(&blocks));
        let (_folder, path) = write(&format!("net-00001-{digits:.8}.era1"), &bytes);
        assert!(verify(&path).is_ok());
        assert!(read(&path).is_ok());
        let (_folder, path) = write("net-00001-00000000.era1", &bytes);
        for error in [verify(&path).unwrap_err(), read(&path).unwrap_err()] {
            assert!(matches!(fault(&error), Fault::FileName { .. }), "{error}");
            assert!(error.to_string().contains("net-00001-00000000.era1: byte "), "{error}");
        }
    }

    #[test]
    fn damage_is_found_or_changes_nothing() {
        let blocks = blocks();
        let mut harmless = 0;
        damage("blocks.era1", &era1(&blocks), |how, found, verified| {
            match found {
                Err(error) => {
                    assert!(error.to_string().contains("blocks.era1: "), "{how}: {error}")
                }
                // A copy of zeros from elsewhere in a compressed header is still zeros.
                Ok(found) => {
                    assert_eq!(found, blocks, "{how}");
                    harmless += 1;
                }
            }
            match verified {
                Err(error) => {
                    assert!(error.to_string().contains("blocks.era1: "), "{how}: {error}")
                }
                // Bodies and receipts are passed over.
                Ok(summary) => {
                    assert!(how.starts_with("flipped"), "{how}");
                    assert_eq!(summary.last_hash, blocks[6].block.hash(), "{how}");
                }
            }
        });
        assert!(harmless < 20, "{harmless}");
    }
}
