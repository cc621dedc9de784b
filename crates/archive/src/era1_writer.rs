//! Writes era1 files.

use crate::{
    ArchiveError, Cause, ERA_BLOCKS_MAX, Fault, Place,
    accumulator::Accumulator,
    contents::{check_body, check_receipts},
    e2store::{Head, Kind, put_entry, put_packed},
    era::{Links, name_of},
    index::index_payload,
};
use fugue_types::{B256, ReceiptEnvelope, SealedBlock, U256};
use std::{
    fs::File,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

/// Writes an era1 file, whole or not at all: it lies under another name until it is finished, and
/// is removed if it never is.
///
/// Only what [`verify`](crate::verify) and a reader would accept is written.
#[derive(Debug)]
pub struct Era1Writer {
    path: PathBuf,
    partial: PathBuf,
    out: BufWriter<File>,
    /// Bytes written.
    position: u64,
    /// First bytes of the blocks.
    places: Vec<u64>,
    first_number: u64,
    links: Links,
    accumulator: Accumulator,
    /// A block was begun and not ended.
    is_torn: bool,
    is_finished: bool,
}

impl Era1Writer {
    /// Begins a file, which will be at `path`.
    ///
    /// # Errors
    /// [`ArchiveError`] with what the system says.
    pub fn create(path: &Path) -> Result<Self, ArchiveError> {
        let at = ArchiveError::at(path);
        let partial = path.with_extension("partial");
        let out = File::create(&partial).map_err(|error| at(error.into()))?;
        let mut writer = Self {
            path: path.to_owned(),
            partial,
            out: BufWriter::new(out),
            position: 0,
            places: Vec::new(),
            first_number: 0,
            links: Links::default(),
            accumulator: Accumulator::default(),
            is_torn: false,
            is_finished: false,
        };
        let version = writer.write(&Head::VERSION.to_bytes());
        version.map_err(|fault| at(Place::Byte(0).cause(fault)))?;
        Ok(writer)
    }

    /// Appends a block. `receipts` are those of its transactions, `total_difficulty` is that after
    /// the block.
    ///
    /// # Errors
    /// [`ArchiveError`] naming the block if the file has no room for it, if it does not follow the
    /// block before, if its parts do not fit its header, or with what the system says. After an
    /// error of the system the file cannot be finished.
    pub fn push(
        &mut self,
        block: &SealedBlock,
        receipts: &[ReceiptEnvelope],
        total_difficulty: U256,
    ) -> Result<(), ArchiveError> {
        let place = Place::Block { number: block.block().header.number, byte: self.position };
        let pushed = self.push_checked(block, receipts, total_difficulty);
        pushed.map_err(|fault| self.error(place.cause(fault)))
    }

    fn push_checked(
        &mut self,
        block: &SealedBlock,
        receipts: &[ReceiptEnvelope],
        total_difficulty: U256,
    ) -> Result<(), Fault> {
        if self.is_torn {
            return Err(Fault::Unfinished);
        }
        if self.places.len() as u64 >= ERA_BLOCKS_MAX {
            return Err(Fault::TooManyBlocks);
        }
        let header = &block.block().header;
        let body = &block.block().body;
        check_body(header, body)?;
        check_receipts(header, receipts)?;
        let mut bytes = Vec::new();
        put_packed(&mut bytes, Kind::HEADER, &alloy_rlp::encode(header))?;
        put_packed(&mut bytes, Kind::BODY, &alloy_rlp::encode(body))?;
        let mut list = Vec::new();
        alloy_rlp::encode_list::<_, ReceiptEnvelope>(receipts, &mut list);
        put_packed(&mut bytes, Kind::RECEIPTS, &list)?;
        let total = total_difficulty.to_le_bytes::<32>();
        put_entry(&mut bytes, Kind::TOTAL_DIFFICULTY, &total)?;
        self.links.add(header, block.hash(), Some(total_difficulty))?;
        self.accumulator.push(block.hash(), total_difficulty);
        if self.places.is_empty() {
            self.first_number = header.number;
        }
        self.places.push(self.position);
        self.is_torn = true;
        self.write(&bytes)?;
        self.is_torn = false;
        Ok(())
    }

    /// Ends the file and gives it its name. Gives the accumulator.
    ///
    /// # Errors
    /// [`ArchiveError`] if there is no block, or with what the system says; there is no file then.
    pub fn finish(mut self) -> Result<B256, ArchiveError> {
        let accumulator = self.end()?;
        let path = self.path.clone();
        self.name(&path)?;
        Ok(accumulator)
    }

    /// Ends the file and names it after its network, era and accumulator, in the folder of the path
    /// that it was created for. Gives its path and the accumulator.
    ///
    /// # Errors
    /// As [`finish`](Self::finish).
    pub fn finish_named(mut self, network: &str) -> Result<(PathBuf, B256), ArchiveError> {
        let accumulator = self.end()?;
        let era = self.first_number / ERA_BLOCKS_MAX;
        let path = self.path.with_file_name(name_of(network, era, accumulator, ".era1"));
        self.name(&path)?;
        Ok((path, accumulator))
    }

    /// Writes what comes after the blocks.
    fn end(&mut self) -> Result<B256, ArchiveError> {
        let place = Place::Byte(self.position);
        self.end_checked().map_err(|fault| self.error(place.cause(fault)))
    }

    fn end_checked(&mut self) -> Result<B256, Fault> {
        if self.is_torn {
            return Err(Fault::Unfinished);
        }
        if self.places.is_empty() {
            return Err(Fault::NoBlocks);
        }
        let accumulator = self.accumulator.root();
        let mut bytes = Vec::new();
        put_entry(&mut bytes, Kind::ACCUMULATOR, accumulator.as_slice())?;
        let index = self.position.saturating_add(bytes.len() as u64);
        let mut payload = index_payload(self.first_number, index, &self.places);
        payload.extend_from_slice(&(self.places.len() as u64).to_le_bytes());
        put_entry(&mut bytes, Kind::BLOCK_INDEX, &payload)?;
        self.write(&bytes)?;
        self.out.flush()?;
        self.out.get_ref().sync_all()?;
        Ok(accumulator)
    }

    fn name(&mut self, path: &Path) -> Result<(), ArchiveError> {
        let renamed = std::fs::rename(&self.partial, path);
        renamed.map_err(|error| ArchiveError::at(path)(error.into()))?;
        self.is_finished = true;
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.out.write_all(bytes)?;
        self.position = self.position.saturating_add(bytes.len() as u64);
        Ok(())
    }

    fn error(&self, cause: Cause) -> ArchiveError {
        ArchiveError::at(&self.path)(cause)
    }
}

impl Drop for Era1Writer {
    fn drop(&mut self) {
        if !self.is_finished {
            // A file that stays behind is in nobody's way: the next one by its name replaces it.
            std::fs::remove_file(&self.partial).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        FileBlock,
        sample::{chain, fault},
    };

    fn push(writer: &mut Era1Writer, block: &FileBlock) -> Result<(), ArchiveError> {
        let receipts = block.receipts.as_deref().unwrap();
        writer.push(&block.block, receipts, block.total_difficulty.unwrap())
    }

    fn names(folder: &Path) -> Vec<String> {
        let names = folder.read_dir().unwrap();
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_file_is_there_only_when_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("blocks.era1");
        let blocks = chain(16_384, &[5, 6]);
        let mut writer = Era1Writer::create(&path).unwrap();
        push(&mut writer, &blocks[0]).unwrap();
        assert_eq!(names(folder.path()), ["blocks.partial"]);
        drop(writer);
        assert!(names(folder.path()).is_empty());

        let mut writer = Era1Writer::create(&path).unwrap();
        blocks.iter().for_each(|block| push(&mut writer, block).unwrap());
        let (named, accumulator) = writer.finish_named("net").unwrap();
        let digits = format!("{accumulator:x}");
        assert_eq!(names(folder.path()), [format!("net-00002-{digits:.8}.era1")]);
        assert_eq!(crate::verify(&named).unwrap().accumulator, Some(accumulator));
    }

    #[test]
    fn a_file_without_blocks_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let error = Era1Writer::create(&folder.path().join("a.era1")).unwrap().finish();
        assert!(matches!(fault(&error.unwrap_err()), Fault::NoBlocks));
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn a_refused_block_leaves_the_file_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.era1");
        let blocks = chain(0, &[5, 6, 7]);
        let mut writer = Era1Writer::create(&path).unwrap();
        push(&mut writer, &blocks[0]).unwrap();
        let skipped = push(&mut writer, &blocks[2]).unwrap_err();
        assert!(matches!(fault(&skipped), Fault::Number { expected: 1, found: 2 }), "{skipped}");
        let wrong = FileBlock { total_difficulty: Some(U256::from(12)), ..blocks[1].clone() };
        let wrong = push(&mut writer, &wrong).unwrap_err();
        assert!(matches!(fault(&wrong), Fault::TotalDifficulty { .. }), "{wrong}");
        push(&mut writer, &blocks[1]).unwrap();
        writer.finish().unwrap();
        assert_eq!(crate::verify(&path).unwrap().blocks, 2);
    }

    #[test]
    fn a_file_holds_a_bounded_number_of_blocks() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.era1");
        let count = usize::try_from(ERA_BLOCKS_MAX).unwrap();
        let blocks = chain(0, &vec![1; count + 1]);
        let mut writer = Era1Writer::create(&path).unwrap();
        let (last, others) = blocks.split_last().unwrap();
        others.iter().for_each(|block| push(&mut writer, block).unwrap());
        let error = push(&mut writer, last).unwrap_err();
        assert!(matches!(fault(&error), Fault::TooManyBlocks), "{error}");
        writer.finish().unwrap();
        assert_eq!(crate::verify(&path).unwrap().blocks, ERA_BLOCKS_MAX);
    }
}
