//! Reads ere files: blocks from before and after the merge.
//!
//! ```text
//! version
//! header ... | body ... | slim receipts ... | proof ... | total difficulty ...
//! other entries                                   perhaps
//! accumulator                                     of blocks from before the merge, perhaps
//! block index, of as many components as a block has entries
//! ```
//! Headers and bodies are there for every block; each other kind is there for all blocks or for
//! none. Which component of the index is of which kind is told by the entries of the first block:
//! programs order receipts, proofs and total difficulties differently. The entries may also lie
//! block by block, since the index has the place of each. Proofs are passed over.
//!
//! From the merge on, the total difficulty of a block is that of the last block before it, and the
//! accumulator leaves such blocks out. The first four bytes of the last block's hash are in the
//! file's name. Source: e2store-format-specs, "Ere files", as of May 2026 (commit ca2523a).

use crate::{
    Cause, EraSummary, Fault, FileBlock, Place,
    accumulator::Accumulator,
    contents::{SlimReceipt, check_body, check_receipts, decode},
    e2store::{EntryReader, HEAD_BYTES, Kind, Unpacker},
    era::{Links, check_name, digits_of_name, trailing_accumulator},
    index::BlockIndex,
};
use fugue_types::{B256, Block, BlockBody, Header, ReceiptEnvelope, SealedBlock, U256};
use std::path::Path;

/// What the name of the file has digits of.
const NAMED: &str = "last block's hash";

/// The entries of one kind, one for each block. Each has a reader of its own, because in most files
/// they lie together.
#[derive(Debug)]
struct Column {
    /// Which component of the index it is.
    component: usize,
    entries: EntryReader,
}

impl Column {
    /// Reads something of a block with `read`, which begins at the block's entry.
    fn read<T>(
        &mut self,
        index: &BlockIndex,
        block: usize,
        read: impl FnOnce(&mut EntryReader) -> Result<T, Fault>,
    ) -> Result<T, Cause> {
        let byte = index.place(block, self.component);
        let byte = byte.ok_or_else(|| Place::Byte(index.start).cause(Fault::NoIndex))?;
        let place = Place::Block { number: index.number(block), byte };
        let sought = self.entries.seek(byte);
        sought.and_then(|()| read(&mut self.entries)).map_err(|fault| place.cause(fault))
    }
}

/// Reads the blocks of an ere file in order.
#[derive(Debug)]
pub(crate) struct Ere {
    index: BlockIndex,
    /// Digits of the last block's hash in the file's name.
    name: Option<String>,
    header: Column,
    body: Column,
    receipts: Option<Column>,
    total_difficulty: Option<Column>,
    /// Reads what comes after the blocks.
    tail: EntryReader,
    unpacker: Unpacker,
    /// How many blocks have been read.
    next: usize,
    links: Links,
    accumulator: Accumulator,
}

impl Ere {
    pub(crate) fn open(path: &Path, index: BlockIndex) -> Result<Self, Cause> {
        let [mut header, mut body, mut receipts, mut total_difficulty, mut proof] =
            [None, None, None, None, None];
        for component in 0..index.components {
            let entries = EntryReader::open(path, HEAD_BYTES, index.start);
            let entries = entries.map_err(|fault| Place::Byte(HEAD_BYTES).cause(fault))?;
            let mut column = Column { component, entries };
            let (kind, place) = column.read(&index, 0, |entries| {
                let place = Place::Byte(entries.position());
                Ok((entries.head()?.kind, place))
            })?;
            let named = match kind {
                Kind::HEADER => &mut header,
                Kind::BODY => &mut body,
                Kind::SLIM_RECEIPTS => &mut receipts,
                Kind::TOTAL_DIFFICULTY => &mut total_difficulty,
                Kind::PROOF => &mut proof,
                Kind(found) => {
                    let expected = "an entry of a block";
                    return Err(place.cause(Fault::EntryKind { expected, found }));
                }
            };
            if named.replace(column).is_some() {
                return Err(place.cause(Fault::IndexRepeats { what: kind.name() }));
            }
        }
        let at_index = Place::Byte(index.start);
        let lacks = |kind: Kind| at_index.cause(Fault::IndexLacks { what: kind.name() });
        let tail = EntryReader::open(path, HEAD_BYTES, index.start);
        Ok(Self {
            name: digits_of_name(path, ".ere"),
            header: header.ok_or_else(|| lacks(Kind::HEADER))?,
            body: body.ok_or_else(|| lacks(Kind::BODY))?,
            receipts,
            total_difficulty,
            tail: tail.map_err(|fault| at_index.cause(fault))?,
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

    /// How many bytes of the file have been read.
    pub(crate) fn position(&self) -> u64 {
        let optional = [&self.receipts, &self.total_difficulty];
        let columns = [&self.header, &self.body].into_iter().chain(optional.into_iter().flatten());
        columns.map(|column| column.entries.taken()).sum()
    }

    /// The next block; after the last one, what is wrong with the end of the file.
    pub(crate) fn next_block(&mut self) -> Option<Result<FileBlock, Cause>> {
        if self.has_next() { Some(self.block()) } else { self.end().err().map(Err) }
    }

    /// Reads all headers and total difficulties, and the end of the file.
    pub(crate) fn verify(mut self) -> Result<EraSummary, Cause> {
        while self.has_next() {
            let header = self.header()?;
            let total_difficulty = self.total_difficulty()?;
            self.link(&header, header.hash_slow(), total_difficulty)?;
        }
        let (last, last_hash, accumulator) = self.end()?;
        let BlockIndex { first_number: first, count: blocks, .. } = self.index;
        Ok(EraSummary { first, last, last_hash, blocks, accumulator })
    }

    fn has_next(&self) -> bool {
        self.index.place(self.next, 0).is_some()
    }

    fn block(&mut self) -> Result<FileBlock, Cause> {
        let header = self.header()?;
        let body = self.body.read(&self.index, self.next, |entries| {
            let body: BlockBody = decode("body", self.unpacker.read(entries, Kind::BODY)?)?;
            check_body(&header, &body)?;
            Ok(body)
        })?;
        let receipts = match &mut self.receipts {
            Some(receipts) => Some(receipts.read(&self.index, self.next, |entries| {
                let receipts = self.unpacker.read(entries, Kind::SLIM_RECEIPTS)?;
                let receipts: Vec<SlimReceipt> = decode("slim receipts", receipts)?;
                let receipts: Vec<ReceiptEnvelope> =
                    receipts.into_iter().map(|SlimReceipt(receipt)| receipt).collect();
                check_receipts(&header, &receipts)?;
                Ok(receipts)
            })?),
            None => None,
        };
        let total_difficulty = self.total_difficulty()?;
        let block = SealedBlock::seal(Block { header, body });
        self.link(&block.block().header, block.hash(), total_difficulty)?;
        Ok(FileBlock { block, receipts, total_difficulty })
    }

    fn header(&mut self) -> Result<Header, Cause> {
        self.header.read(&self.index, self.next, |entries| {
            decode("header", self.unpacker.read(entries, Kind::HEADER)?)
        })
    }

    fn total_difficulty(&mut self) -> Result<Option<U256>, Cause> {
        let Some(column) = &mut self.total_difficulty else { return Ok(None) };
        let total_difficulty = column.read(&self.index, self.next, |entries| {
            let head = entries.head_of(Kind::TOTAL_DIFFICULTY)?;
            Ok(U256::from_le_bytes::<32>(entries.fixed(head)?))
        })?;
        Ok(Some(total_difficulty))
    }

    /// Adds the next block, and goes on to the one after it.
    fn link(
        &mut self,
        header: &Header,
        hash: B256,
        total_difficulty: Option<U256>,
    ) -> Result<(), Cause> {
        let added = self.links.add(header, hash, total_difficulty);
        if let Err(fault) = added {
            let byte = self.index.place(self.next, self.header.component).unwrap_or_default();
            let number = self.index.number(self.next);
            return Err(Place::Block { number, byte }.cause(fault));
        }
        if let Some(total_difficulty) = total_difficulty
            && !header.difficulty.is_zero()
        {
            self.accumulator.push(hash, total_difficulty);
        }
        self.next += 1;
        Ok(())
    }

    /// Compares accumulator and name with the blocks of the file. Gives number and hash of the last
    /// one, and the accumulator if it could be computed.
    fn end(&mut self) -> Result<(u64, B256, Option<B256>), Cause> {
        let at_index = Place::Byte(self.index.start);
        let last_entry = self.index.last_place().ok_or_else(|| at_index.cause(Fault::NoIndex))?;
        let place = Place::Byte(last_entry);
        self.pass(last_entry).map_err(|fault| place.cause(fault))?;
        let stored = trailing_accumulator(&mut self.tail)?;
        let stored = stored.filter(|_| self.total_difficulty.is_some());
        if let Some((place, stored)) = stored {
            let found = self.accumulator.root();
            if stored != found {
                return Err(place.cause(Fault::Accumulator { stored, found }));
            }
        }
        let last = self.links.last().ok_or_else(|| at_index.cause(Fault::NoBlocks))?;
        let (number, hash) = last;
        check_name(self.name.as_deref(), NAMED, hash).map_err(|fault| place.cause(fault))?;
        Ok((number, hash, stored.map(|(_, stored)| stored)))
    }

    /// Goes behind this entry.
    fn pass(&mut self, entry: u64) -> Result<(), Fault> {
        self.tail.seek(entry)?;
        let head = self.tail.head()?;
        self.tail.skip(head)
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        ArchiveError, BlockFile, Fault, FileBlock, FileKind,
        e2store::Kind,
        sample::{Layout, accumulator, chain, damage, ere, fault, hashes, read, write},
        verify,
    };
    use fugue_types::B256;

    const ALL: [Kind; 5] =
        [Kind::HEADER, Kind::BODY, Kind::SLIM_RECEIPTS, Kind::PROOF, Kind::TOTAL_DIFFICULTY];
    const MERGED: [Kind; 3] = [Kind::HEADER, Kind::BODY, Kind::SLIM_RECEIPTS];

    /// Three blocks before the merge and four after it.
    fn transition() -> Vec<FileBlock> {
        chain(16_384, &[10, 11, 12, 0, 0, 0, 0])
    }

    /// The accumulator of the blocks before the merge.
    fn accumulated() -> Option<B256> {
        Some(accumulator(&transition()[..3]))
    }

    fn both(bytes: &[u8]) -> [ArchiveError; 2] {
        let (_folder, path) = write("wrong.ere", bytes);
        [read(&path).unwrap_err(), verify(&path).unwrap_err()]
    }

    #[test]
    fn a_file_of_any_layout_is_read_as_what_it_was_made_of() {
        let blocks = transition();
        let [header, body, receipts, proof, total] = ALL;
        for kinds in [ALL, [header, body, receipts, total, proof]] {
            for layout in [Layout::ByKind, Layout::ByBlock] {
                let bytes = ere(&blocks, &kinds, layout, accumulated());
                let (_folder, path) = write("blocks.ere", &bytes);
                let mut file = BlockFile::open(&path).unwrap();
                assert_eq!(file.kind(), FileKind::Ere);
                assert_eq!((file.first_number(), file.block_count()), (Some(16_384), Some(7)));
                assert_eq!(file.by_ref().collect::<Result<Vec<_>, _>>().unwrap(), blocks);
                assert_eq!(file.position(), file.bytes());
                let summary = verify(&path).unwrap();
                assert_eq!((summary.first, summary.last, summary.blocks), (16_384, 16_390, 7));
                assert_eq!(summary.last_hash, blocks[6].block.hash());
                assert_eq!(summary.accumulator, accumulated());
            }
        }
    }

    #[test]
    fn kinds_that_are_left_out_are_not_read() {
        let blocks = chain(20_000, &[0, 0, 0, 0]);
        for (kinds, has_receipts) in [(&MERGED[..], true), (&MERGED[..2], false)] {
            let bytes = ere(&blocks, kinds, Layout::ByKind, None);
            let (_folder, path) = write("blocks.ere", &bytes);
            let found = read(&path).unwrap();
            assert_eq!(hashes(&found), hashes(&blocks));
            for (found, block) in found.iter().zip(&blocks) {
                assert_eq!(found.receipts, block.receipts.clone().filter(|_| has_receipts));
                assert_eq!(found.total_difficulty, None);
            }
            assert_eq!(verify(&path).unwrap().accumulator, None);
        }
    }

    #[test]
    fn an_accumulator_is_compared_if_it_can_be_computed() {
        let blocks = transition();
        let wrong = Some(accumulator(&blocks));
        for error in both(&ere(&blocks, &ALL, Layout::ByKind, wrong)) {
            assert!(matches!(fault(&error), Fault::Accumulator { .. }), "{error}");
        }
        for (kinds, accumulator) in [(&MERGED[..], wrong), (&ALL[..], None)] {
            let bytes = ere(&blocks, kinds, Layout::ByKind, accumulator);
            let (_folder, path) = write("blocks.ere", &bytes);
            assert_eq!(verify(&path).unwrap().accumulator, None);
        }
    }

    #[test]
    fn a_total_difficulty_that_rises_after_the_merge_is_an_error() {
        let mut blocks = transition();
        let before = blocks[2].total_difficulty;
        assert_eq!(blocks[6].total_difficulty, before);
        blocks[6].total_difficulty = chain(16_384, &[100]).remove(0).total_difficulty;
        for error in both(&ere(&blocks, &ALL, Layout::ByKind, accumulated())) {
            assert!(matches!(fault(&error), Fault::TotalDifficulty { .. }), "{error}");
            assert!(error.to_string().contains("block 16390 at byte "), "{error}");
        }
    }

    #[test]
    fn an_index_without_what_every_block_has_is_an_error() {
        let blocks = transition();
        let file = |kinds: &[Kind]| ere(&blocks, kinds, Layout::ByKind, None);
        for error in both(&file(&[Kind::HEADER, Kind::SLIM_RECEIPTS])) {
            assert!(matches!(fault(&error), Fault::IndexLacks { what: "body" }), "{error}");
        }
        for error in both(&file(&[Kind::HEADER, Kind::BODY, Kind::BODY])) {
            assert!(matches!(fault(&error), Fault::IndexRepeats { what: "body" }), "{error}");
        }
        for error in both(&file(&[Kind::HEADER, Kind::BODY, Kind::RECEIPTS])) {
            let wrong = matches!(fault(&error), Fault::EntryKind { found: 0x0005, .. });
            assert!(wrong, "{error}");
        }
    }

    #[test]
    fn contents_that_do_not_fit_their_headers_are_errors() {
        let mut blocks = transition();
        blocks[4].receipts = blocks[5].receipts.clone();
        let (_folder, path) = write("a.ere", &ere(&blocks, &MERGED, Layout::ByBlock, None));
        let error = read(&path).unwrap_err();
        assert!(matches!(fault(&error), Fault::Root { what: "receipts root", .. }), "{error}");
        assert!(error.to_string().contains("block 16388 at byte "), "{error}");
        let mut blocks = transition();
        blocks.swap(4, 5);
        for error in both(&ere(&blocks, &MERGED, Layout::ByBlock, None)) {
            assert!(matches!(fault(&error), Fault::Number { expected: 16_388, .. }), "{error}");
        }
    }

    #[test]
    fn a_name_with_the_hash_of_another_block_is_an_error() {
        let blocks = transition();
        let bytes = ere(&blocks, &ALL, Layout::ByKind, accumulated());
        let digits = format!("{:x}", blocks[6].block.hash());
        let (_folder, path) = write(&format!("net-00002-{digits:.8}-noproofs.ere"), &bytes);
        assert!(read(&path).is_ok());
        assert!(verify(&path).is_ok());
        let (_folder, path) = write("net-00002-deadbeef-noreceipts.ere", &bytes);
        for error in [read(&path).unwrap_err(), verify(&path).unwrap_err()] {
            assert!(matches!(fault(&error), Fault::FileName { .. }), "{error}");
        }
    }

    #[test]
    fn damage_is_found_or_changes_nothing() {
        let blocks = transition();
        for layout in [Layout::ByKind, Layout::ByBlock] {
            let bytes = ere(&blocks, &ALL, layout, accumulated());
            damage("blocks.ere", &bytes, |how, found, verified| {
                match found {
                    Err(error) => {
                        assert!(error.to_string().contains("blocks.ere: "), "{how}: {error}");
                    }
                    // Proofs, and entries of other programs, are passed over.
                    Ok(found) => assert_eq!(found, blocks, "{how}"),
                }
                if let Ok(summary) = verified {
                    assert!(how.starts_with("flipped"), "{how}");
                    assert_eq!(summary.last_hash, blocks[6].block.hash(), "{how}");
                }
            });
        }
    }
}
