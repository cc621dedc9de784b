//! Multi-version memory: for each key the value that each transaction wrote, in block order.
//!
//! Terms: a *version* is the index of the transaction that wrote, whichever of its runs did; a
//! reader at index `n` sees the newest write by a version below `n`, or the base value, which is
//! kept elsewhere.
//!
//! Most keys are only read. A filter of one bit per hash tells in one load that nobody has written
//! a key, so that such reads share no lock and dirty no cache line. A bit is set before the write
//! is there and stays set: a clear bit at a transaction's turn proves that it read the base value.
//! The price is that readers who came before the first write are not told of it; they find out at
//! their turn.
//!
//! Keys are compared whole; their hash (randomly seeded) only finds the place.

use crate::sync::{AtomicU64, Mutex, Ordering};
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use smallvec::SmallVec;
use std::hash::{BuildHasher, Hash};

/// Shards of the key space; a power of two.
const SHARDS: usize = 64;
/// Words of the filter; a power of two. 65,536 bits: a block writes some thousand keys.
const FILTER_WORDS: usize = 1024;
/// Keys for which a shard keeps room when it is cleared, in 512 places; 28,672 in all, which is
/// twice what 60 million gas can change.
const ROOM_KEYS_MAX: usize = 448;

/// What a reader at some index finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Latest<V> {
    /// A value that transaction `by` wrote.
    Written {
        /// Version of the value.
        by: usize,
        /// The value.
        value: V,
    },
    /// Transaction `by` wrote here, but it will run again and probably write another value.
    Suspect {
        /// Version of the value that is in doubt.
        by: usize,
    },
    /// Nobody below has written; others may have.
    Base,
    /// Nobody at all has written.
    Untouched,
}

#[derive(Debug)]
struct Write<V> {
    by: u32,
    is_suspect: bool,
    value: V,
}

#[derive(Debug)]
struct Entry<K, V> {
    key: K,
    /// By version, each once.
    writes: SmallVec<[Write<V>; 2]>,
    /// Readers that should hear of a new write below them; ascending, each once.
    readers: SmallVec<[u32; 4]>,
}

/// A shard on cache lines of its own, so that its lock is no neighbour of another's.
#[derive(Debug)]
#[repr(align(128))]
struct Shard<K, V>(Mutex<HashTable<Entry<K, V>>>);

/// Multi-version memory. Every method may be called by many threads at once.
#[derive(Debug)]
pub struct Memory<K, V> {
    shards: Vec<Shard<K, V>>,
    /// One bit per hash of a key that was written.
    written: Vec<AtomicU64>,
    hasher: RandomState,
}

impl<K: Eq + Hash, V: Clone + Eq> Default for Memory<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Eq + Hash, V: Clone + Eq> Memory<K, V> {
    /// An empty memory.
    pub fn new() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Shard(Mutex::new(HashTable::new()))).collect(),
            written: (0..FILTER_WORDS).map(|_| AtomicU64::new(0)).collect(),
            hasher: RandomState::default(),
        }
    }

    /// Forgets everything, keeping the room that it took, as long as it is not that of a block out
    /// of the ordinary.
    pub fn clear(&mut self) {
        let Self { shards, written, hasher } = self;
        for shard in shards {
            let entries = shard.0.get_mut();
            entries.clear();
            entries.shrink_to(ROOM_KEYS_MAX, |entry| hasher.hash_one(&entry.key));
        }
        for word in written {
            *word.get_mut() = 0;
        }
    }

    /// Bytes that it has taken, without those of entries with more than two writes, or four
    /// readers, which lie elsewhere: to count them takes a look at each.
    pub fn memory_bytes(&mut self) -> usize {
        let Self { shards, written, hasher: _ } = self;
        let entries = shards.iter_mut().map(|shard| shard.0.get_mut().allocation_size());
        entries.sum::<usize>() + size_of_val(shards.as_slice()) + size_of_val(written.as_slice())
    }

    /// What a reader at `index` sees. If anybody has written, notes that it has looked, in the same
    /// step.
    pub fn read(&self, key: &K, index: usize) -> Latest<V>
    where
        K: Clone,
    {
        let hash = self.hasher.hash_one(key);
        if !self.may_be_written(hash) {
            return Latest::Untouched;
        }
        self.with_entry(key, hash, |entry| {
            entry.note_reader(to_u32(index));
            entry.latest(index)
        })
    }

    /// What a reader at `index` would see, leaving no trace.
    pub fn peek(&self, key: &K, index: usize) -> Latest<V> {
        let hash = self.hasher.hash_one(key);
        if !self.may_be_written(hash) {
            return Latest::Untouched;
        }
        let shard = self.shard(hash).lock();
        shard.find(hash, |entry| entry.key == *key).map_or(Latest::Base, |e| e.latest(index))
    }

    /// Writes a value as transaction `by`, and names in `overtaken` the readers above it that have
    /// seen another value, and forgets that they looked.
    pub fn write(&self, key: &K, by: usize, value: V, overtaken: &mut Vec<usize>)
    where
        K: Clone,
    {
        let hash = self.hasher.hash_one(key);
        let (word, bit) = filter_place(hash);
        self.written[word].fetch_or(bit, Ordering::Release);
        self.with_entry(key, hash, |entry| {
            let by = to_u32(by);
            let place = entry.writes.partition_point(|write| write.by < by);
            let is_news = match entry.writes.get_mut(place) {
                Some(write) if write.by == by => {
                    let is_news = write.value != value;
                    write.is_suspect = false;
                    write.value = value;
                    is_news
                }
                _ => {
                    let below = place.checked_sub(1).and_then(|below| entry.writes.get(below));
                    let is_news = below.is_none_or(|below| below.value != value);
                    entry.writes.insert(place, Write { by, is_suspect: false, value });
                    is_news
                }
            };
            if is_news {
                entry.overtake(by, overtaken);
            }
        });
    }

    /// Takes back what transaction `by` wrote, if it did. Names in `overtaken` the readers above it
    /// that may have seen that, whatever value they find instead, and forgets that they looked.
    pub fn retract(&self, key: &K, by: usize, overtaken: &mut Vec<usize>)
    where
        K: Clone,
    {
        self.with_entry(key, self.hasher.hash_one(key), |entry| {
            let by = to_u32(by);
            if let Ok(place) = entry.writes.binary_search_by_key(&by, |write| write.by) {
                entry.writes.remove(place);
                entry.overtake(by, overtaken);
            }
        });
    }

    /// Marks what transaction `by` wrote as in doubt, until it writes again or takes that back.
    pub fn suspect(&self, key: &K, by: usize)
    where
        K: Clone,
    {
        self.with_entry(key, self.hasher.hash_one(key), |entry| {
            let by = to_u32(by);
            if let Some(write) = entry.writes.iter_mut().find(|write| write.by == by) {
                write.is_suspect = true;
            }
        });
    }

    fn shard(&self, hash: u64) -> &Mutex<HashTable<Entry<K, V>>> {
        // The table uses the low and the top bits of the hash; these are in between.
        &self.shards[(hash >> 32) as usize & (SHARDS - 1)].0
    }

    fn may_be_written(&self, hash: u64) -> bool {
        let (word, bit) = filter_place(hash);
        self.written[word].load(Ordering::Acquire) & bit != 0
    }

    fn with_entry<T>(&self, key: &K, hash: u64, use_entry: impl FnOnce(&mut Entry<K, V>) -> T) -> T
    where
        K: Clone,
    {
        let mut shard = self.shard(hash).lock();
        let mut entry = shard
            .entry(hash, |entry| entry.key == *key, |entry| self.hasher.hash_one(&entry.key))
            .or_insert_with(|| Entry {
                key: key.clone(),
                writes: SmallVec::new(),
                readers: SmallVec::new(),
            });
        use_entry(entry.get_mut())
    }
}

impl<K, V: Clone> Entry<K, V> {
    fn latest(&self, index: usize) -> Latest<V> {
        let place = self.writes.partition_point(|write| (write.by as usize) < index);
        match place.checked_sub(1).and_then(|below| self.writes.get(below)) {
            Some(Write { by, is_suspect: true, .. }) => Latest::Suspect { by: *by as usize },
            Some(Write { by, value, .. }) => {
                Latest::Written { by: *by as usize, value: value.clone() }
            }
            None => Latest::Base,
        }
    }

    /// Mostly the newest reader is the highest.
    fn note_reader(&mut self, reader: u32) {
        let place = match self.readers.last() {
            Some(last) if *last >= reader => self.readers.partition_point(|known| *known < reader),
            _ => self.readers.len(),
        };
        if self.readers.get(place) != Some(&reader) {
            self.readers.insert(place, reader);
        }
    }

    /// Readers above `by` that cannot have seen a write above `by` instead.
    fn overtake(&mut self, by: u32, overtaken: &mut Vec<usize>) {
        let start = self.readers.partition_point(|reader| *reader <= by);
        let next = self.writes.partition_point(|write| write.by <= by);
        let end = match self.writes.get(next) {
            Some(write) => self.readers.partition_point(|reader| *reader <= write.by),
            None => self.readers.len(),
        };
        overtaken.extend(self.readers.drain(start..end).map(|reader| reader as usize));
    }
}

/// Word and bit of a hash in the filter.
const fn filter_place(hash: u64) -> (usize, u64) {
    ((hash >> 6) as usize & (FILTER_WORDS - 1), 1 << (hash & 63))
}

fn to_u32(index: usize) -> u32 {
    u32::try_from(index).expect("a block has fewer than 2^32 transactions")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(by: usize, value: u64) -> Latest<u64> {
        Latest::Written { by, value }
    }

    #[test]
    fn a_reader_sees_the_newest_write_below_it() {
        let memory = Memory::<u64, u64>::new();
        let mut overtaken = Vec::new();
        memory.write(&7, 2, 20, &mut overtaken);
        memory.write(&7, 5, 50, &mut overtaken);
        assert_eq!(memory.read(&7, 2), Latest::Base);
        assert_eq!(memory.read(&7, 3), written(2, 20));
        assert_eq!(memory.read(&7, 5), written(2, 20));
        assert_eq!(memory.read(&7, 6), written(5, 50));
    }

    #[test]
    fn a_write_overtakes_the_readers_that_saw_less_and_no_others() {
        let memory = Memory::<u64, u64>::new();
        let mut overtaken = Vec::new();
        memory.write(&7, 4, 40, &mut overtaken);
        for reader in [1, 3, 4, 6] {
            memory.read(&7, reader);
        }
        memory.write(&7, 2, 20, &mut overtaken);
        overtaken.sort_unstable();
        // Reader 4 is the writer of version 4 itself; reader 6 saw version 4; reader 1 is below.
        assert_eq!(overtaken, [3, 4]);
    }

    /// It would run again, and be doubted by all who wait for it, for what it did itself.
    #[test]
    fn nobody_overtakes_its_own_read() {
        let memory = Memory::<u64, u64>::new();
        let mut overtaken = Vec::new();
        memory.write(&7, 1, 10, &mut overtaken);
        assert_eq!(memory.read(&7, 3), written(1, 10));
        memory.write(&7, 3, 11, &mut overtaken);
        assert_eq!(memory.read(&7, 3), written(1, 10));
        memory.retract(&7, 3, &mut overtaken);
        assert_eq!(overtaken, Vec::<usize>::new());
        memory.write(&7, 2, 20, &mut overtaken);
        assert_eq!(overtaken, [3], "it is noted all the same");
    }

    #[test]
    fn readers_are_told_once_in_whatever_order_they_came() {
        let memory = Memory::<u64, u64>::new();
        memory.write(&7, 1, 10, &mut Vec::new());
        for reader in [9, 4, 6, 4, 2] {
            memory.read(&7, reader);
        }
        let told_of = |by: usize, value: u64| {
            let mut overtaken = Vec::new();
            memory.write(&7, by, value, &mut overtaken);
            overtaken.sort_unstable();
            overtaken
        };
        assert_eq!(told_of(5, 50), [6, 9]);
        assert_eq!(told_of(3, 30), [4]);
        assert_eq!(told_of(0, 1), Vec::<usize>::new(), "version 1 is between");
        assert_eq!(told_of(1, 11), [2]);
    }

    #[test]
    fn writing_the_value_that_was_seen_overtakes_nobody() {
        let memory = Memory::<u64, u64>::new();
        let mut overtaken = Vec::new();
        memory.write(&7, 2, 1, &mut overtaken);
        memory.read(&7, 9);
        memory.write(&7, 3, 1, &mut overtaken);
        memory.write(&7, 3, 1, &mut overtaken);
        assert_eq!(overtaken, Vec::<usize>::new());
        memory.write(&7, 3, 2, &mut overtaken);
        assert_eq!(overtaken, [9]);
    }

    #[test]
    fn a_suspect_write_is_in_doubt_until_it_is_written_or_retracted() {
        let memory = Memory::<u64, u64>::new();
        let mut overtaken = Vec::new();
        memory.write(&7, 3, 30, &mut overtaken);
        memory.suspect(&7, 3);
        assert_eq!(memory.read(&7, 4), Latest::Suspect { by: 3 });
        memory.write(&7, 3, 30, &mut overtaken);
        assert_eq!(memory.read(&7, 4), written(3, 30));
        memory.retract(&7, 3, &mut overtaken);
        assert_eq!(memory.read(&7, 4), Latest::Base);
        assert_eq!(overtaken, [4]);
    }

    #[test]
    fn room_is_kept_from_block_to_block_but_for_that_of_a_huge_one() {
        let capacities = |memory: &mut Memory<u64, u64>| -> Vec<usize> {
            memory.shards.iter_mut().map(|shard| shard.0.get_mut().capacity()).collect()
        };
        let write = |memory: &Memory<u64, u64>, keys: usize| {
            (0..keys as u64).for_each(|key| memory.write(&key, 1, key, &mut Vec::new()));
        };
        let mut memory = Memory::<u64, u64>::new();
        let empty = memory.memory_bytes();
        write(&memory, SHARDS * ROOM_KEYS_MAX / 4);
        let (taken, bytes) = (capacities(&mut memory), memory.memory_bytes());
        assert!(bytes > empty);
        memory.clear();
        assert_eq!((capacities(&mut memory), memory.memory_bytes()), (taken, bytes));

        write(&memory, SHARDS * ROOM_KEYS_MAX * 2);
        assert!(capacities(&mut memory).iter().any(|keys| *keys > ROOM_KEYS_MAX));
        let huge = memory.memory_bytes();
        memory.clear();
        let kept = capacities(&mut memory);
        assert!(kept.iter().all(|keys| (1..=ROOM_KEYS_MAX).contains(keys)), "{kept:?}");
        assert!(memory.memory_bytes() < huge);
        assert_eq!(memory.peek(&7, 4), Latest::Untouched);
    }

    #[test]
    fn a_key_is_untouched_until_it_is_written_and_never_again() {
        let mut memory = Memory::<u64, u64>::new();
        assert_eq!(memory.read(&7, 4), Latest::Untouched);
        assert_eq!(memory.peek(&7, 4), Latest::Untouched);
        memory.write(&7, 9, 1, &mut Vec::new());
        memory.retract(&7, 9, &mut Vec::new());
        assert_eq!(memory.peek(&7, 4), Latest::Base);
        memory.clear();
        assert_eq!(memory.peek(&7, 4), Latest::Untouched);
    }
}
