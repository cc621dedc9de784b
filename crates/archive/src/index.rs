//! The index at the end of an era file, which says where the parts of its blocks are.
//!
//! ```text
//! era1: first number | offset ...                  | count        type 0x3266
//! ere:  first number | offsets of each block ...   | components | count        type 0x3267
//! ```
//! All are 64-bit little-endian integers. An offset is signed and counts from the first byte of the
//! index entry to the first byte of an entry. `components` is how many offsets each block has.
//! Source: e2store-format-specs, "BlockIndex", "DynamicBlockIndex".

use crate::{
    Cause, Fault, Place,
    e2store::{HEAD_BYTES, Head, Kind},
};
use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    ops::RangeInclusive,
};

/// Most blocks in an era file.
pub const ERA_BLOCKS_MAX: u64 = 8192;
/// How many entries a block of an ere file has: header and body, perhaps receipts, total difficulty
/// and proof.
const COMPONENTS: RangeInclusive<u64> = 2..=5;
/// Bytes of one integer.
const WORD_BYTES: u64 = 8;

/// What the index says, in absolute terms.
#[derive(Debug)]
pub(crate) struct BlockIndex {
    /// [`Kind::BLOCK_INDEX`] or [`Kind::DYNAMIC_BLOCK_INDEX`].
    pub(crate) kind: Kind,
    /// First byte of the index, which is the end of the other entries.
    pub(crate) start: u64,
    /// Number of the first block.
    pub(crate) first_number: u64,
    /// Blocks in the file.
    pub(crate) count: u64,
    /// Entries of each block.
    pub(crate) components: usize,
    /// First bytes of the entries, block by block.
    places: Vec<u64>,
}

impl BlockIndex {
    /// Reads the index of a file of this many bytes. Every place in it lies among the entries;
    /// those of an era1 file rise.
    pub(crate) fn read(file: &mut File, bytes: u64) -> Result<Self, Cause> {
        let end = Place::Byte(bytes);
        let found = Self::find(file, bytes).map_err(|fault| end.cause(fault))?;
        let index = found.ok_or_else(|| end.cause(Fault::NoIndex))?;
        index.check().map_err(|fault| Place::Byte(index.start).cause(fault))?;
        Ok(index)
    }

    fn find(file: &mut File, bytes: u64) -> Result<Option<Self>, Fault> {
        let Some(last) = bytes.checked_sub(2 * WORD_BYTES) else { return Ok(None) };
        file.seek(SeekFrom::Start(last))?;
        let [components, count] = [word(file)?, word(file)?];
        if !(1..=ERA_BLOCKS_MAX).contains(&count) {
            return Ok(None);
        }
        let dynamic = COMPONENTS.contains(&components).then_some(components);
        for (kind, components, others) in
            [(Kind::BLOCK_INDEX, Some(1), 2), (Kind::DYNAMIC_BLOCK_INDEX, dynamic, 3)]
        {
            // Both factors are bounded by what was looked at above.
            let Some(words) = components.map(|components| components * count) else { continue };
            let length = (words + others) * WORD_BYTES;
            let Some(start) = bytes.checked_sub(HEAD_BYTES + length) else { continue };
            file.seek(SeekFrom::Start(start))?;
            let head = Head::from_bytes(word(file)?.to_le_bytes());
            if head.is_ok_and(|head| head.kind == kind && u64::from(head.length) == length) {
                return Self::parse(file, kind, start, count, words).map(Some);
            }
        }
        Ok(None)
    }

    /// Reads the payload of the index, of which `words` are offsets.
    fn parse(
        file: &mut File,
        kind: Kind,
        start: u64,
        count: u64,
        words: u64,
    ) -> Result<Self, Fault> {
        let first_number = word(file)?;
        if first_number.checked_add(count).is_none() {
            return Err(Fault::IndexNumber { first: first_number, count });
        }
        let mut offsets = Vec::new();
        file.take(words * WORD_BYTES).read_to_end(&mut offsets)?;
        let (offsets, _) = offsets.as_chunks::<8>();
        let components = words / count;
        let mut places = Vec::with_capacity(offsets.len());
        for (number, offset) in (0..).zip(offsets) {
            let place = start.checked_add_signed(i64::from_le_bytes(*offset));
            let place = place.filter(|place| (HEAD_BYTES..start).contains(place));
            // The sum is at most that of `first_number` and `count`.
            let number = first_number + number / components;
            places.push(place.ok_or(Fault::IndexOffset { number })?);
        }
        let components = usize::try_from(components).map_err(|_| Fault::NoIndex)?;
        Ok(Self { kind, start, first_number, count, components, places })
    }

    fn check(&self) -> Result<(), Fault> {
        if self.kind != Kind::BLOCK_INDEX {
            return Ok(());
        }
        for (block, pair) in self.places.windows(2).enumerate() {
            if let [place, next] = pair
                && place >= next
            {
                return Err(Fault::IndexOrder { number: self.number(block + 1) });
            }
        }
        Ok(())
    }

    /// First byte of an entry; `block` and `component` count from 0. `None` beyond the last block.
    pub(crate) fn place(&self, block: usize, component: usize) -> Option<u64> {
        let entry = block.checked_mul(self.components)?.checked_add(component)?;
        self.places.get(entry).copied()
    }

    /// First byte of the entry that is last in the file.
    pub(crate) fn last_place(&self) -> Option<u64> {
        self.places.iter().copied().max()
    }

    /// Number of a block that is counted from 0.
    pub(crate) const fn number(&self, block: usize) -> u64 {
        self.first_number.saturating_add(block as u64)
    }
}

/// The next integer of the file.
fn word(file: &mut File) -> std::io::Result<u64> {
    let mut bytes = [0; 8];
    file.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

/// The payload of an index entry that begins at `start`, without the counts at its end; `places`
/// are the first bytes of the entries.
pub(crate) fn index_payload(first_number: u64, start: u64, places: &[u64]) -> Vec<u8> {
    let mut payload = first_number.to_le_bytes().to_vec();
    for place in places {
        // Two's complement: the offset of a place below `start` is negative.
        payload.extend_from_slice(&place.wrapping_sub(start).to_le_bytes());
    }
    payload
}
