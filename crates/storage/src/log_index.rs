//! The index of logs: which blocks have a log of an address, or with a topic at a position.
//!
//! Such an address or topic is a *term*. Blocks go in *sections*; in each section the terms are
//! spread by their hashes over rows, the *buckets*, so that there is no row, and no key, for each
//! of the many terms that only one block has.
//!
//! ```text
//! hash    keccak256(kind u8, term): bucket is its first 12 bits, tag its bytes 2 and 3
//! kind    0 the address, 20 bytes; 1 to 4 the topic at that position, 32 bytes
//! key     number of the section's first block u64, bucket u16
//! row     entries, by ascending tags, at least one
//! entry   tag u16
//!         u16: more in the high 6 bits, first in the low 10 bits
//!         more 0 to 62    the offset first, then so many offsets u16, all ascending
//!         more 63         first is 0; 128 bytes, whose bit n % 8 of byte n / 8 is the offset n,
//!                         bit 0 being the lowest
//! offset  a block's number without the one of its section's first block
//! ```
//!
//! Terms whose hashes begin alike share an entry. So the index names each block that has a log with
//! a term, and rarely one that has not.
//!
//! The [index of addresses](crate::address_index) has rows of the same form in a table of its own.

use crate::{
    Snapshot, StorageError, Table,
    backend::{Read, Scan, WriteTx},
    blocks::{damaged, decoded},
    row::take,
};
use fugue_types::{Address, B256, HashSet, ReceiptEnvelope, keccak256};
use std::{collections::BTreeMap, ops::RangeInclusive};

/// Blocks of a section of the index of logs, a power of two. A search of one term reads one row for
/// each; a commit writes the rows anew to which it adds.
pub const LOG_SECTION_BLOCKS: u64 = 1_024;

/// Bits of an offset.
const OFFSET_BITS: u32 = 10;
/// Largest offset.
const OFFSET_MAX: u16 = (1 << OFFSET_BITS) - 1;
/// Offsets that follow the first one of an entry, at most: for more a bitmap is shorter, about.
const MORE_MAX: u16 = 62;
/// What stands there for a bitmap.
const BITMAP: u16 = 63;
/// Bytes of a bitmap.
const BITMAP_BYTES: usize = 1 << (OFFSET_BITS - 3);
/// From one section to the next.
const SECTION_STEP: usize = 1 << OFFSET_BITS;
/// Bits of a hash that are not of its bucket, of its first 16.
const BUCKET_SHIFT: u32 = 4;

const _: () = assert!(LOG_SECTION_BLOCKS == OFFSET_MAX as u64 + 1 && BITMAP == MORE_MAX + 1);

/// Kind of an address, and those of topics by position.
const ADDRESS: u8 = 0;
const TOPICS: RangeInclusive<u8> = 1..=4;

/// Number of the first block of a block's section.
pub(crate) const fn section_of(number: u64) -> u64 {
    number - number % LOG_SECTION_BLOCKS
}

/// Number of the first block after a section.
pub(crate) const fn end_of(section: u64) -> u64 {
    section.saturating_add(LOG_SECTION_BLOCKS)
}

fn offset_of(number: u64) -> u16 {
    u16::try_from(number % LOG_SECTION_BLOCKS).expect("a section has fewer blocks")
}

fn key(section: u64, bucket: u16) -> Vec<u8> {
    [&section.to_be_bytes()[..], &bucket.to_be_bytes()].concat()
}

/// Where a term stands in a section.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TermHash {
    bucket: u16,
    tag: u16,
}

impl TermHash {
    fn new(kind: u8, term: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(1 + term.len());
        bytes.push(kind);
        bytes.extend_from_slice(term);
        Self::of(keccak256(bytes))
    }

    /// Of a term with this hash.
    pub(crate) fn of(hash: B256) -> Self {
        let [a, b, c, d, ..] = hash.0;
        let bucket = u16::from_be_bytes([a, b]) >> BUCKET_SHIFT;
        Self { bucket, tag: u16::from_be_bytes([c, d]) }
    }
}

/// What is looked for: of each position that has values, at least one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogTerms(
    /// By position, those with the fewest values first. Values are ascending.
    Vec<Vec<TermHash>>,
);

impl LogTerms {
    /// Logs of one of these addresses, with one of the values of `topics` at each position. An
    /// empty list stands for anything.
    pub fn new(addresses: &[Address], topics: &[Vec<B256>]) -> Self {
        let addresses = addresses.iter().map(|address| TermHash::new(ADDRESS, address.as_slice()));
        let mut positions: Vec<Vec<TermHash>> = vec![addresses.collect()];
        for (kind, values) in TOPICS.zip(topics) {
            let values = values.iter().map(|value| TermHash::new(kind, value.as_slice()));
            positions.push(values.collect());
        }
        positions.retain(|values| !values.is_empty());
        for values in &mut positions {
            values.sort_unstable();
            values.dedup();
        }
        positions.sort_by_key(Vec::len);
        Self(positions)
    }

    /// Whether every block would do.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The terms of a block's logs, each once, ascending.
pub(crate) fn terms_of(receipts: &[ReceiptEnvelope]) -> Vec<TermHash> {
    let mut terms: HashSet<(u8, &[u8])> = HashSet::default();
    for log in receipts.iter().flat_map(ReceiptEnvelope::logs) {
        terms.insert((ADDRESS, log.address.as_slice()));
        for (kind, topic) in TOPICS.zip(log.data.topics()) {
            terms.insert((kind, topic.as_slice()));
        }
    }
    let hashes = terms.into_iter().map(|(kind, term)| TermHash::new(kind, term));
    let mut hashes: Vec<TermHash> = hashes.collect();
    hashes.sort_unstable();
    hashes.dedup();
    hashes
}

/// A term in a block. The fields are in the order of keys, then of entries, then of offsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Posting {
    section: u64,
    hash: TermHash,
    offset: u16,
}

/// A row: tags and offsets, ascending, each pair once.
pub(crate) type PostingRow = Vec<(u16, u16)>;

/// What blocks add to an index.
#[derive(Debug, Default)]
pub(crate) struct Postings(Vec<Posting>);

impl Postings {
    /// The terms of a block, each once.
    pub(crate) fn add_block(&mut self, number: u64, terms: Vec<TermHash>) {
        let (section, offset) = (section_of(number), offset_of(number));
        self.0.extend(terms.into_iter().map(|hash| Posting { section, hash, offset }));
    }

    /// The rows that hold nothing else, by their keys.
    pub(crate) fn into_rows(self) -> BTreeMap<Vec<u8>, PostingRow> {
        let Self(mut postings) = self;
        postings.sort_unstable();
        let place = |posting: &Posting| (posting.section, posting.hash.bucket);
        let rows = postings.chunk_by(|one, other| place(one) == place(other));
        rows.filter_map(|row| {
            let (section, bucket) = place(row.first()?);
            let entries = row.iter().map(|posting| (posting.hash.tag, posting.offset));
            Some((key(section, bucket), entries.collect()))
        })
        .collect()
    }

    /// Adds all of it to what is there, in the order of keys.
    pub(crate) fn write(self, tx: &mut WriteTx<'_>, table: Table) -> Result<(), StorageError> {
        for (key, added) in self.into_rows() {
            let mut row = decoded(tx, table, &key, decode)?.unwrap_or_default();
            row.extend(added);
            // Two ascending runs, which a stable sort merges.
            row.sort();
            row.dedup();
            tx.put(table, &key, &encode(&row))?;
        }
        Ok(())
    }
}

/// The bytes of a row.
pub(crate) fn encode(row: &[(u16, u16)]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(row.len() * 4);
    for entry in row.chunk_by(|(one, _), (other, _)| one == other) {
        let Some(((tag, first), rest)) = entry.split_first() else { continue };
        bytes.extend_from_slice(&tag.to_be_bytes());
        match u16::try_from(rest.len()) {
            Ok(more @ ..=MORE_MAX) => {
                bytes.extend_from_slice(&((more << OFFSET_BITS) | first).to_be_bytes());
                for (_, offset) in rest {
                    bytes.extend_from_slice(&offset.to_be_bytes());
                }
            }
            _ => {
                bytes.extend_from_slice(&(BITMAP << OFFSET_BITS).to_be_bytes());
                let mut blocks = Blocks::NONE;
                for (_, offset) in entry {
                    blocks.insert(*offset).expect("offsets are of a section");
                }
                bytes.extend_from_slice(&blocks.0);
            }
        }
    }
    bytes
}

/// The offsets of an entry.
enum Offsets<'r> {
    Listed { first: u16, more: &'r [[u8; 2]] },
    Bitmap(&'r [u8; BITMAP_BYTES]),
}

/// The first entry of a row; `None` if the bytes are not one's.
fn take_entry<'r>(row: &mut &'r [u8]) -> Option<(u16, Offsets<'r>)> {
    let [a, b, c, d] = *take(row, 4)?.first_chunk::<4>()?;
    let (tag, head) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    let (more, first) = (head >> OFFSET_BITS, head & OFFSET_MAX);
    if more == BITMAP {
        let bitmap = take(row, BITMAP_BYTES)?.first_chunk::<BITMAP_BYTES>()?;
        return (first == 0).then_some((tag, Offsets::Bitmap(bitmap)));
    }
    let (more, _) = take(row, usize::from(more) * 2)?.as_chunks::<2>();
    Some((tag, Offsets::Listed { first, more }))
}

/// `None` if the bytes are not a row's.
pub(crate) fn decode(mut bytes: &[u8]) -> Option<PostingRow> {
    let mut row = PostingRow::with_capacity(bytes.len() / 4);
    while !bytes.is_empty() {
        let last = row.last().map(|(tag, _)| *tag);
        let (tag, offsets) = take_entry(&mut bytes)?;
        if last.is_some_and(|last| last >= tag) {
            return None;
        }
        match offsets {
            Offsets::Listed { first, more } => {
                row.push((tag, first));
                row.extend(more.iter().map(|offset| (tag, u16::from_be_bytes(*offset))));
            }
            Offsets::Bitmap(bitmap) => {
                row.extend(Blocks(*bitmap).offsets().map(|offset| (tag, offset)));
            }
        }
    }
    let is_ascending = row.is_sorted_by(|one, other| one < other);
    let is_of_section = row.iter().all(|(_, offset)| *offset <= OFFSET_MAX);
    (is_ascending && is_of_section && !row.is_empty()).then_some(row)
}

/// Adds the blocks of a tag. `None` if the bytes are not a row's.
fn add_blocks(mut row: &[u8], wanted: u16, blocks: &mut Blocks) -> Option<()> {
    while !row.is_empty() {
        let (tag, offsets) = take_entry(&mut row)?;
        if tag > wanted {
            break;
        }
        match offsets {
            Offsets::Listed { first, more } if tag == wanted => {
                blocks.insert(first)?;
                for offset in more {
                    blocks.insert(u16::from_be_bytes(*offset))?;
                }
            }
            Offsets::Bitmap(bitmap) if tag == wanted => blocks.join(bitmap),
            _ => {}
        }
    }
    Some(())
}

/// Blocks of one section, drawn as a bitmap of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Blocks([u8; BITMAP_BYTES]);

impl Blocks {
    const NONE: Self = Self([0; BITMAP_BYTES]);
    const ALL: Self = Self([0xff; BITMAP_BYTES]);

    /// `None` if no section has this offset.
    fn insert(&mut self, offset: u16) -> Option<()> {
        *self.0.get_mut(usize::from(offset / 8))? |= 1u8 << (offset % 8);
        Some(())
    }

    fn join(&mut self, other: &[u8; BITMAP_BYTES]) {
        self.0.iter_mut().zip(other).for_each(|(byte, other)| *byte |= other);
    }

    fn intersect(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(byte, other)| *byte &= other);
    }

    fn is_empty(&self) -> bool {
        *self == Self::NONE
    }

    /// Ascending.
    fn offsets(self) -> impl Iterator<Item = u16> {
        (0..=OFFSET_MAX).filter(move |offset| {
            let byte = self.0.get(usize::from(offset / 8)).copied().unwrap_or_default();
            byte & (1u8 << (offset % 8)) != 0
        })
    }
}

impl Snapshot {
    /// The blocks of `range`, ascending, in which every position of `terms` that has values meets
    /// one of them, in whichever log: each block that has a log that is looked for is among them,
    /// and few others. For an empty range there are none.
    ///
    /// Reads for each section of [`LOG_SECTION_BLOCKS`] at most a row for each term.
    ///
    /// # Errors
    /// [`StorageError::Pruned`] if the receipts of any block of the range are not kept,
    /// [`StorageError::AboveHead`], or what the database says.
    pub fn log_blocks(
        &self,
        range: RangeInclusive<u64>,
        terms: &LogTerms,
    ) -> Result<Vec<u64>, StorageError> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        for number in [range.start(), range.end()] {
            self.retained("receipts", *number, self.meta().oldest_receipts)?;
        }
        self.posted_blocks(Table::LogIndex, range, &terms.0)
    }

    /// The blocks of `range`, ascending, that an index has for one of the terms of each list.
    pub(crate) fn posted_blocks(
        &self,
        table: Table,
        range: RangeInclusive<u64>,
        terms: &[Vec<TermHash>],
    ) -> Result<Vec<u64>, StorageError> {
        let mut numbers = Vec::new();
        for section in (section_of(*range.start())..=*range.end()).step_by(SECTION_STEP) {
            let blocks = self.section_blocks(table, section, terms)?;
            let found = blocks.offsets().map(|offset| section.saturating_add(offset.into()));
            numbers.extend(found.filter(|number| range.contains(number)));
        }
        Ok(numbers)
    }

    fn section_blocks(
        &self,
        table: Table,
        section: u64,
        terms: &[Vec<TermHash>],
    ) -> Result<Blocks, StorageError> {
        let mut blocks = Blocks::ALL;
        for values in terms {
            let mut with_any = Blocks::NONE;
            for same in values.chunk_by(|one, other| one.bucket == other.bucket) {
                let Some(TermHash { bucket, .. }) = same.first() else { continue };
                self.decoded(table, &key(section, *bucket), |row| {
                    same.iter().try_for_each(|term| add_blocks(row, term.tag, &mut with_any))
                })?;
            }
            blocks.intersect(&with_any);
            if blocks.is_empty() {
                break;
            }
        }
        Ok(blocks)
    }
}

/// Takes the blocks after `to` out of an index again, up to the head.
pub(crate) fn forget_after(
    tx: &mut WriteTx<'_>,
    table: Table,
    to: u64,
    head: u64,
) -> Result<(), StorageError> {
    let (first, last_kept) = (section_of(to), offset_of(to));
    let prefix = first.to_be_bytes();
    let mut rows = Vec::new();
    tx.scan(table, &prefix, &mut |key, bytes| {
        if !key.starts_with(&prefix) {
            return Ok(Scan::Stop);
        }
        let row = decode(bytes);
        let mut row = row.ok_or_else(|| damaged(table, key, "the row does not decode"))?;
        let before = row.len();
        row.retain(|(_, offset)| *offset <= last_kept);
        if row.len() < before {
            rows.push((key.to_vec(), row));
        }
        Ok(Scan::Continue)
    })?;
    for (key, row) in rows {
        if row.is_empty() {
            tx.delete(table, &key)?;
        } else {
            tx.put(table, &key, &encode(&row))?;
        }
    }
    delete_sections(tx, table, end_of(first), end_of(section_of(head)))
}

/// Deletes the sections of an index that end with `oldest` or before it, from that of `from` on.
pub(crate) fn prune(
    tx: &mut WriteTx<'_>,
    table: Table,
    from: u64,
    oldest: u64,
) -> Result<(), StorageError> {
    delete_sections(tx, table, section_of(from), oldest)
}

/// Deletes the sections from `section` on that end with `end` or before it.
fn delete_sections(
    tx: &mut WriteTx<'_>,
    table: Table,
    mut section: u64,
    end: u64,
) -> Result<(), StorageError> {
    while end_of(section) <= end && section < end {
        tx.delete_prefix(table, &section.to_be_bytes())?;
        section = end_of(section);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use fugue_types::{Bytes, Eip658Value, Log, Receipt};
    use proptest::{collection::btree_set, prelude::*};
    use std::collections::BTreeSet;

    fn receipt(logs: Vec<Log>) -> ReceiptEnvelope {
        let status = Eip658Value::Eip658(true);
        ReceiptEnvelope::Legacy(Receipt { status, cumulative_gas_used: 1, logs }.with_bloom())
    }

    fn log(address: u8, topics: &[u8]) -> Log {
        let topics = topics.iter().copied().map(B256::repeat_byte).collect();
        Log::new_unchecked(Address::repeat_byte(address), topics, Bytes::new())
    }

    #[test]
    fn a_row_has_the_bytes_that_are_drawn() {
        let mut row: PostingRow = vec![(5, 0x3ff), (0x102, 1), (0x102, 2), (0x102, 0x100)];
        let listed: [u8; 12] = [0, 5, 3, 0xff, 1, 2, 8, 1, 0, 2, 1, 0];
        assert_eq!(encode(&row), listed);
        assert_eq!(decode(&listed), Some(row.clone()));
        // Of 64 blocks there is a bitmap.
        row.extend((0..64).map(|offset| (0x200, offset * 2)));
        let bitmap: Vec<u8> = [0x55; 16].into_iter().chain([0; 112]).collect();
        let whole = [&listed[..], &[2, 0, 0xfc, 0], &bitmap].concat();
        assert_eq!(encode(&row), whole);
        assert_eq!(decode(&whole), Some(row.clone()));
        // Of 63 they are listed.
        row.pop();
        assert_eq!(encode(&row).len(), listed.len() + 4 + 62 * 2);
        assert_eq!(decode(&encode(&row)), Some(row));
    }

    #[test]
    fn what_is_no_row_is_refused() {
        let whole: [u8; 10] = [0, 5, 4, 1, 0, 9, 0, 6, 0, 0];
        assert_eq!(decode(&whole), Some(vec![(5, 1), (5, 9), (6, 0)]));
        for length in (0..whole.len()).filter(|length| *length != 6) {
            assert_eq!(decode(&whole[..length]), None, "{length}");
        }
        for (name, row) in [
            ("the same tag twice", vec![0u8, 5, 0, 1, 0, 5, 0, 2]),
            ("tags that descend", vec![0, 5, 0, 1, 0, 4, 0, 2]),
            ("offsets that descend", vec![0, 5, 4, 9, 0, 1]),
            ("the same offset twice", vec![0, 5, 4, 9, 0, 9]),
            ("an offset of no block", vec![0, 5, 4, 9, 4, 0]),
            ("a bitmap with an offset", [&[0u8, 5, 0xfc, 1][..], &[1; 128]].concat()),
        ] {
            assert_eq!(decode(&row), None, "{name}");
        }
    }

    fn blocks_of(row: &[u8], tag: u16) -> Vec<u16> {
        let mut blocks = Blocks::NONE;
        add_blocks(row, tag, &mut blocks).expect("a row");
        blocks.offsets().collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            failure_persistence: None,
            ..ProptestConfig::with_cases(128)
        })]

        #[test]
        fn rows_come_back_as_they_went(
            few in btree_set((0u16..8, 0u16..1_024), 1..300),
            many in btree_set(0u16..1_024, 0..200),
        ) {
            let pairs = few.into_iter().chain(many.into_iter().map(|offset| (3, offset)));
            let row: PostingRow = pairs.collect::<BTreeSet<_>>().into_iter().collect();
            let bytes = encode(&row);
            prop_assert_eq!(decode(&bytes), Some(row.clone()));
            for wanted in 0..9 {
                let expected = row.iter().filter(|(tag, _)| *tag == wanted);
                let expected: Vec<u16> = expected.map(|(_, offset)| *offset).collect();
                prop_assert_eq!(blocks_of(&bytes, wanted), expected);
            }
        }
    }

    #[test]
    fn a_term_is_an_address_or_a_topic_at_its_position() {
        let receipts = [
            receipt(vec![log(1, &[7]), log(2, &[7, 8]), log(1, &[7])]),
            receipt(vec![log(1, &[8, 7])]),
        ];
        let mut expected = vec![
            TermHash::new(0, &[1; 20]),
            TermHash::new(0, &[2; 20]),
            TermHash::new(1, &[7; 32]),
            TermHash::new(1, &[8; 32]),
            TermHash::new(2, &[7; 32]),
            TermHash::new(2, &[8; 32]),
        ];
        expected.sort_unstable();
        assert_eq!(terms_of(&receipts), expected);
        assert!(terms_of(&[]).is_empty());
        let [a, b, c, d, ..] = keccak256([&[2u8][..], &[7; 32]].concat()).0;
        let bucket = u16::from(a) * 16 + u16::from(b >> 4);
        assert_eq!(
            TermHash::new(2, &[7; 32]),
            TermHash { bucket, tag: u16::from_be_bytes([c, d]) }
        );
    }

    #[test]
    fn positions_with_the_fewest_values_come_first_and_empty_ones_are_left_out() {
        let topic = B256::repeat_byte;
        let addresses = [Address::repeat_byte(1), Address::repeat_byte(2)];
        let terms = LogTerms::new(&addresses, &[vec![], vec![topic(7), topic(7)], vec![]]);
        let mut of_addresses =
            addresses.map(|address| TermHash::new(0, address.as_slice())).to_vec();
        of_addresses.sort_unstable();
        assert_eq!(terms.0, [vec![TermHash::new(2, &[7; 32])], of_addresses]);
        assert!(LogTerms::new(&[], &[vec![], vec![]]).is_empty());
    }

    #[test]
    fn sections_begin_at_multiples_of_their_size() {
        for (number, section, offset) in
            [(0, 0, 0), (1_023, 0, 1_023), (1_024, 1_024, 0), (2_100, 2_048, 52)]
        {
            assert_eq!((section_of(number), offset_of(number)), (section, offset));
            assert!(end_of(section) > number);
        }
        assert_eq!(end_of(section_of(u64::MAX)), u64::MAX);
    }
}
