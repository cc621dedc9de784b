//! What lanes hear of one another while they run: the slots that others' transactions have changed.
//!
//! Each lane has a log of its own, which all others read: after each transaction it *publishes* the
//! slots that this one has changed, with the values that it left. A lane runs in block order, and
//! so its log is in that order. Before each transaction a lane *listens*: it goes through what
//! others have published of earlier ones, no further, so that what is later waits for its turn.
//! * A slot that its journal holds takes over the latest value, unless that is the lane's own.
//! * Of any other slot it is only noted that somebody has written it. Should a transaction come
//!   upon it, the reader looks for the latest value before that transaction, and gives that one.
//!
//! Nothing that is heard has to be right: the transaction that wrote it may run again and write
//! something else, one in between may not have run yet, and a log that is full says no more.
//! Settling compares. For that it has to know where something was heard: a lane's own diff of such
//! an account begins with values that were never those before the block, so that the account is hot
//! from the start, and neither the diff nor what was restored in it is looked at ([`Lane::heard`]).
//!
//! The way in which nothing was said takes an atomic load for each other lane. To listen takes a
//! lock only where the journal may hold a slot of which something was said.

use super::ReadResult;
use fugue_evm::{Kernel, SlotTouch, StateReader, TagFilter, tag};
use fugue_state::{Account, StateError, StateView};
use fugue_types::{Address, B256, Bytes, DefaultHashBuilder, HashSet, U256};
use parking_lot::Mutex;
use std::{
    hash::{BuildHasher, Hasher},
    sync::{
        LazyLock, OnceLock,
        atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
};

#[cfg(doc)]
use super::Lane;

/// Lanes of a block that publish. A worker begins a few; a lane beyond neither publishes nor
/// listens.
const LOGS_MAX: usize = 64;
/// Slots that a lane publishes, which take 490 KB: as many as 20 million gas can change.
const WRITES_MAX: usize = 1 << 12;
/// Chains of a log; a power of two. In one that is full, each has some four slots.
const CHAINS: usize = 1 << 10;
/// Where a chain ends: no log has so many slots.
const CHAIN_END: u32 = u32::MAX;
/// Slots for which a log keeps room from block to block: more than most lanes change. The heads of
/// a log are kept as they are: 64 KiB each.
const ROOM_WRITES_MAX: usize = 1 << 10;

/// What the lanes of a block have published.
#[derive(Debug)]
pub(super) struct Published {
    /// Whether lanes publish and listen.
    is_open: bool,
    /// Slots that each log has at most.
    writes_max: usize,
    /// Lanes that have begun.
    begun: AtomicUsize,
    logs: Vec<WriteLog>,
}

/// One lane's log. Others ask for its count over and over: it shares no cache line with another.
#[derive(Debug, Default)]
#[repr(align(128))]
struct WriteLog {
    /// Slots that are there.
    count: AtomicUsize,
    /// As many as a log has slots at most. Those below the count are set, and stay as they are.
    heads: OnceLock<Box<[Head]>>,
    writes: Mutex<Writes>,
}

/// What others look at first of a slot that was changed; no lock is needed for that.
#[derive(Debug, Default)]
struct Head {
    /// Of the slot's name.
    hash: AtomicU64,
    /// Who has changed it.
    index: AtomicU32,
}

/// Slots that were changed, in block order. Those whose hashes are alike are a chain, which is
/// followed from the latest one on: nobody goes through all that a lane has changed.
#[derive(Debug, Default)]
struct Writes {
    /// Of each of the slots, to find it by.
    keys: Vec<Key>,
    slots: Vec<Write>,
    /// Place of the latest of each chain; empty where there is none yet.
    chains: Vec<u32>,
}

#[derive(Debug, Clone, Copy)]
struct Key {
    /// Of the slot's name.
    hash: u64,
    /// Who has changed it.
    index: u32,
    /// Place of the one before it in its chain.
    before: u32,
}

#[derive(Debug, Clone, Copy)]
struct Write {
    address: Address,
    slot: U256,
    value: U256,
}

/// The latest value of a slot that was published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Latest {
    lane: usize,
    index: u32,
    value: U256,
}

impl Default for Published {
    fn default() -> Self {
        let logs = (0..LOGS_MAX).map(|_| WriteLog::default()).collect();
        Self { is_open: false, writes_max: WRITES_MAX, begun: AtomicUsize::new(0), logs }
    }
}

impl Published {
    /// From now on lanes that begin publish and listen.
    pub(super) fn open(&mut self) {
        self.is_open = true;
    }

    /// Whether lanes publish and listen.
    pub(super) const fn is_open(&self) -> bool {
        self.is_open
    }

    /// Has each lane publish so many slots at most.
    #[cfg(test)]
    pub(super) fn limit(&mut self, writes: usize) {
        self.writes_max = writes;
    }

    /// Forgets all, for the next block, and is closed.
    pub(super) fn clear(&mut self) {
        let Self { is_open, writes_max: _, begun, logs } = self;
        *is_open = false;
        let begun = std::mem::take(begun.get_mut());
        for WriteLog { count, heads: _, writes } in logs.iter_mut().take(begun) {
            *count.get_mut() = 0;
            let Writes { keys, slots, chains } = writes.get_mut();
            keys.clear();
            keys.shrink_to(ROOM_WRITES_MAX);
            slots.clear();
            slots.shrink_to(ROOM_WRITES_MAX);
            chains.clear();
        }
    }

    /// Bytes that the logs have taken, of earlier blocks too.
    pub(super) fn memory_bytes(&self) -> usize {
        self.logs.iter().map(WriteLog::memory_bytes).sum()
    }

    /// The number of a lane that begins; `None` if it neither publishes nor listens.
    pub(super) fn begin(&self) -> Option<usize> {
        if !self.is_open {
            return None;
        }
        let number = self.begun.fetch_add(1, Ordering::Relaxed);
        (number < self.logs.len()).then_some(number)
    }

    /// The logs of lanes that have begun.
    fn begun(&self) -> &[WriteLog] {
        let begun = self.begun.load(Ordering::Relaxed);
        self.logs.get(..begun).unwrap_or(&self.logs)
    }

    /// What the latest transaction before this index has left in a slot, of those that have
    /// published it.
    fn latest(&self, hash: u64, address: &Address, slot: &U256, index: u32) -> Option<Latest> {
        let mut latest: Option<Latest> = None;
        for (lane, log) in self.begun().iter().enumerate() {
            let writes = log.writes.lock();
            let mut place = writes.latest_of(hash);
            while let Some(key) = writes.keys.get(place as usize) {
                if latest.is_some_and(|latest| latest.index > key.index) {
                    break;
                }
                if key.hash == hash
                    && key.index < index
                    && let Some(write) = writes.slots.get(place as usize)
                    && (write.address, write.slot) == (*address, *slot)
                {
                    latest = Some(Latest { lane, index: key.index, value: write.value });
                    break;
                }
                place = key.before;
            }
        }
        latest
    }
}

impl WriteLog {
    /// The heads that are there, from a place on.
    fn heads(&self, from: usize) -> &[Head] {
        let count = self.count.load(Ordering::Acquire);
        if count <= from {
            return &[];
        }
        self.heads.get().and_then(|heads| heads.get(from..count)).unwrap_or_default()
    }

    fn memory_bytes(&self) -> usize {
        let Self { count: _, heads, writes } = self;
        let writes = writes.lock();
        let Writes { keys, slots, chains } = &*writes;
        size_of::<Self>()
            + heads.get().map_or(0, |heads| size_of_val(&**heads))
            + keys.capacity() * size_of::<Key>()
            + slots.capacity() * size_of::<Write>()
            + chains.capacity() * size_of::<u32>()
    }

    /// The name of the slot at a place.
    fn name(&self, place: usize) -> Option<(Address, U256)> {
        let writes = self.writes.lock();
        writes.slots.get(place).map(|write| (write.address, write.slot))
    }

    /// Adds slots, as long as the log has no more than so many.
    fn push(&self, changed: impl Iterator<Item = (Key, Write)>, most: usize) {
        let heads = self.heads.get_or_init(|| (0..WRITES_MAX).map(|_| Head::default()).collect());
        let mut writes = self.writes.lock();
        let from = writes.keys.len();
        let room = heads.get(from..most.min(heads.len())).unwrap_or_default();
        for (head, (key, write)) in room.iter().zip(changed) {
            head.hash.store(key.hash, Ordering::Relaxed);
            head.index.store(key.index, Ordering::Relaxed);
            writes.push(key, write);
        }
        self.count.store(writes.keys.len(), Ordering::Release);
    }
}

impl Writes {
    /// Place of the latest slot of a chain.
    fn latest_of(&self, hash: u64) -> u32 {
        self.chains.get(hash as usize & (CHAINS - 1)).copied().unwrap_or(CHAIN_END)
    }

    /// Adds a slot to the log, and to its chain.
    fn push(&mut self, key: Key, write: Write) {
        let place = self.keys.len() as u32;
        self.keys.push(Key { before: self.latest_of(key.hash), ..key });
        self.slots.push(write);
        if self.chains.is_empty() {
            self.chains.resize(CHAINS, CHAIN_END);
        }
        self.chains[key.hash as usize & (CHAINS - 1)] = place;
    }
}

/// Slots by two parts of their hashes: it passes those that were added, and few others.
#[derive(Debug, Default)]
struct SlotFilter(TagFilter);

impl SlotFilter {
    fn add(&mut self, hash: u64) {
        self.0.add(hash as u32);
        self.0.add((hash >> 32) as u32);
    }

    fn passes(&self, hash: u64) -> bool {
        self.0.passes(hash as u32) && self.0.passes((hash >> 32) as u32)
    }
}

/// How far a lane has listened to another one.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    /// Slots that it knows of.
    known: usize,
    /// Who has changed the next one, if that was too late when the lane came to it.
    next: u32,
}

/// What a lane listens and publishes with.
#[derive(Debug)]
pub(super) struct Listener {
    /// Its number; `None` if it does neither.
    lane: Option<usize>,
    /// Slots that its journal holds.
    loaded: SlotFilter,
    /// By the number of the other lane.
    places: Vec<Place>,
    /// What the running transaction has changed.
    changed: Vec<(Key, Write)>,
    /// Slots that were heard of, and that the journal may hold: hash, lane, and place in its log.
    news: Vec<(u64, usize, usize)>,
}

impl Listener {
    /// For the lane of this number, as [`Published::begin`] gives it.
    pub(super) fn new(lane: Option<usize>) -> Self {
        Self {
            lane,
            loaded: SlotFilter::default(),
            places: Vec::new(),
            changed: Vec::new(),
            news: Vec::new(),
        }
    }

    /// Takes over what others have published of transactions before this one, which is the next
    /// that the lane runs.
    pub(super) fn listen(&mut self, kernel: &mut Kernel<'_, ListeningReader<'_>>, index: u32) {
        let Some(own) = self.lane else { return };
        let reader = kernel.reader_mut();
        reader.index = index;
        let published = reader.published;
        for (lane, log) in published.begun().iter().enumerate() {
            if lane >= self.places.len() {
                self.places.push(Place::default());
            }
            let place = &mut self.places[lane];
            // The lane's own transactions have left it in its journal.
            if lane == own || place.next > index {
                continue;
            }
            for head in log.heads(place.known) {
                place.next = 0;
                let writer = head.index.load(Ordering::Relaxed);
                if writer > index {
                    place.next = writer;
                    break;
                }
                let hash = head.hash.load(Ordering::Relaxed);
                reader.has_news = true;
                reader.written.add(hash);
                if self.loaded.passes(hash) {
                    self.news.push((hash, lane, place.known));
                }
                place.known += 1;
            }
        }
        for (hash, lane, place) in self.news.drain(..) {
            let name = published.logs.get(lane).and_then(|log| log.name(place));
            let Some((address, slot)) = name else { continue };
            let Some(held) = kernel.loaded_slot(&address, &slot) else { continue };
            let latest = published.latest(hash, &address, &slot, index);
            if let Some(Latest { lane, value, .. }) = latest
                && lane != own
                && value != held
            {
                kernel.put_slot(&address, &slot, value);
                kernel.reader_mut().heard.note(address);
            }
        }
    }

    /// Notes a slot that the transaction with this index has come upon. Where a mark says that an
    /// earlier one in other hands has written it (`is_written`), tells whether it has seen that.
    pub(super) fn note(
        &mut self,
        published: &Published,
        touch: &SlotTouch,
        hash: u64,
        index: u32,
        is_written: bool,
    ) -> bool {
        if self.lane.is_none() {
            return false;
        }
        let SlotTouch { address, slot, before, after } = *touch;
        self.loaded.add(hash);
        if before != after {
            let key = Key { hash, index, before: CHAIN_END };
            self.changed.push((key, Write { address, slot, value: after }));
        }
        is_written
            && published
                .latest(hash, &address, &slot, index)
                .is_some_and(|latest| latest.value == before)
    }

    /// Publishes what was noted since the last time, as far as there is room.
    pub(super) fn publish(&mut self, published: &Published) {
        let Some(log) = self.lane.and_then(|lane| published.logs.get(lane)) else { return };
        if self.changed.is_empty() {
            return;
        }
        log.push(self.changed.drain(..), published.writes_max);
    }
}

/// What a lane has heard, and its transactions may have come upon.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// Whose slots.
    accounts: HashSet<Address>,
    /// How often a value was taken over.
    pub(super) count: usize,
}

impl Heard {
    fn note(&mut self, address: Address) {
        self.accounts.insert(address);
        self.count += 1;
    }

    /// Accounts of which a slot was heard, each once.
    pub(super) fn accounts(&self) -> impl Iterator<Item = Address> {
        self.accounts.iter().copied()
    }
}

/// Reads the state before the block, but for slots of which something else was heard.
pub(super) struct ListeningReader<'l> {
    view: &'l dyn StateView,
    published: &'l Published,
    lane: Option<usize>,
    /// The running transaction.
    index: u32,
    /// Anything was heard of.
    has_news: bool,
    /// Slots that others are known to have written.
    written: SlotFilter,
    heard: Heard,
}

impl<'l> ListeningReader<'l> {
    /// For the lane of this number, as [`Published::begin`] gives it.
    pub(super) fn new(
        view: &'l dyn StateView,
        published: &'l Published,
        lane: Option<usize>,
    ) -> Self {
        Self {
            view,
            published,
            lane,
            index: 0,
            has_news: false,
            written: SlotFilter::default(),
            heard: Heard::default(),
        }
    }

    /// What was heard, when the lane ends.
    pub(super) fn take_heard(&mut self) -> Heard {
        std::mem::take(&mut self.heard)
    }

    /// The slot's value as it was heard. The journal does not hold it.
    fn hear(&mut self, address: Address, slot: U256) -> Option<U256> {
        if !self.has_news {
            return None;
        }
        let hash = slot_hash(&address, &slot);
        if !self.written.passes(hash) {
            return None;
        }
        let latest = self.published.latest(hash, &address, &slot, self.index)?;
        // Its own it has dropped, with the account.
        if Some(latest.lane) == self.lane {
            return None;
        }
        self.heard.note(address);
        Some(latest.value)
    }
}

impl StateReader for ListeningReader<'_> {
    type Error = StateError;

    fn account(&mut self, address: Address) -> ReadResult<Option<Account>> {
        self.view.account(address)
    }

    fn slot(&mut self, address: Address, slot: U256) -> ReadResult<U256> {
        match self.hear(address, slot) {
            Some(value) => Ok(value),
            None => self.view.slot(address, slot),
        }
    }

    fn has_storage(&mut self, address: Address) -> ReadResult<bool> {
        self.view.has_storage(address)
    }

    fn code(&mut self, code_hash: B256) -> ReadResult<Bytes> {
        self.view.code(code_hash)
    }

    fn block_hash(&mut self, number: u64) -> ReadResult<B256> {
        self.view.block_hash(number)
    }
}

/// Seeded at random: nobody can choose slots that are all in one chain, or pass each filter.
static SEED: LazyLock<DefaultHashBuilder> = LazyLock::new(DefaultHashBuilder::default);

/// A hasher of what begins with an address.
fn hasher_of(address: &Address) -> impl Hasher {
    // By words: bytes would be hashed with their number, each of the two by itself.
    let (words, _) = address.0.as_chunks::<8>();
    let mut hasher = SEED.build_hasher();
    words.iter().for_each(|word| hasher.write_u64(u64::from_le_bytes(*word)));
    hasher.write_u32(tag(address));
    hasher
}

/// A hash of an account's name.
pub(super) fn account_hash(address: &Address) -> u64 {
    hasher_of(address).finish()
}

/// A hash of a slot's name.
pub(super) fn slot_hash(address: &Address, slot: &U256) -> u64 {
    let mut hasher = hasher_of(address);
    slot.as_limbs().iter().for_each(|limb| hasher.write_u64(*limb));
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEPER: Address = Address::repeat_byte(0xc1);

    fn opened() -> Published {
        let mut published = Published::default();
        published.open();
        published
    }

    /// A transaction has left this value in a slot.
    fn leave(published: &Published, lane: &mut Listener, index: u32, slot: u64, value: u64) {
        let (slot, after) = (U256::from(slot), U256::from(value));
        let touch = SlotTouch { address: KEEPER, slot, before: U256::MAX, after };
        lane.note(published, &touch, slot_hash(&KEEPER, &slot), index, false);
        lane.publish(published);
    }

    /// Who has left what before an index.
    fn before(published: &Published, index: u32, slot: u64) -> Option<(u32, u64)> {
        let slot = U256::from(slot);
        let latest = published.latest(slot_hash(&KEEPER, &slot), &KEEPER, &slot, index)?;
        Some((latest.index, latest.value.to()))
    }

    #[test]
    fn the_latest_before_an_index_is_found_whoever_has_left_it() {
        let published = opened();
        let [mut one, mut other] = [(); 2].map(|()| Listener::new(published.begin()));
        for (index, value) in [(2, 20), (7, 70)] {
            leave(&published, &mut one, index, 5, value);
        }
        for (index, value) in [(1, 10), (4, 40), (9, 90)] {
            leave(&published, &mut other, index, 5, value);
        }
        leave(&published, &mut one, 8, 6, 1);
        let cases = [
            (1, None),
            (2, Some((1, 10))),
            (4, Some((2, 20))),
            (7, Some((4, 40))),
            (9, Some((7, 70))),
            (10, Some((9, 90))),
        ];
        for (index, expected) in cases {
            assert_eq!(before(&published, index, 5), expected, "before {index}");
        }
        assert_eq!(before(&published, 10, 6), Some((8, 1)));
        assert_eq!(before(&published, 10, 7), None);
    }

    #[test]
    fn a_slot_is_nobody_elses_whose_hash_is_the_same() {
        let published = opened();
        let mut lane = Listener::new(published.begin());
        leave(&published, &mut lane, 1, 5, 10);
        let hash = slot_hash(&KEEPER, &U256::from(5));
        assert!(published.latest(hash, &KEEPER, &U256::from(5), 2).is_some());
        assert!(published.latest(hash, &KEEPER, &U256::from(6), 2).is_none());
        assert!(published.latest(hash, &Address::ZERO, &U256::from(5), 2).is_none());
    }

    #[test]
    fn lanes_and_slots_beyond_what_there_is_room_for_are_not_published() {
        let published = opened();
        let lanes: Vec<_> = (0..LOGS_MAX + 2).map(|_| published.begin()).collect();
        assert_eq!(lanes[LOGS_MAX - 1], Some(LOGS_MAX - 1));
        assert_eq!(lanes[LOGS_MAX..], [None, None]);
        assert_eq!(published.begun().len(), LOGS_MAX);
        let mut silent = Listener::new(None);
        leave(&published, &mut silent, 1, 5, 10);
        assert_eq!(before(&published, 2, 5), None);
        let mut lane = Listener::new(Some(0));
        for number in 0..WRITES_MAX as u32 + 2 {
            leave(&published, &mut lane, number, number.into(), 1);
        }
        for number in 0..WRITES_MAX as u32 {
            let slot = number.into();
            assert_eq!(before(&published, u32::MAX, slot), Some((number, 1)));
            assert_eq!(before(&published, number, slot), None);
        }
        assert_eq!(before(&published, u32::MAX, WRITES_MAX as u64), None);
    }

    /// Hash and index of what a lane has published, from a place on.
    fn heads(log: &WriteLog, from: usize) -> Vec<(u64, u32)> {
        let heads = log.heads(from).iter();
        let load = Ordering::Relaxed;
        heads.map(|head| (head.hash.load(load), head.index.load(load))).collect()
    }

    #[test]
    fn what_was_published_is_looked_at_without_a_lock() {
        let published = opened();
        let mut lane = Listener::new(published.begin());
        let log = &published.logs[0];
        assert!(heads(log, 0).is_empty());
        for (index, slot) in [(3, 5), (4, 6), (7, 5)] {
            leave(&published, &mut lane, index, slot, 10);
        }
        let [five, six] = [5, 6].map(|slot| slot_hash(&KEEPER, &U256::from(slot)));
        let held = log.writes.lock();
        assert_eq!(heads(log, 0), [(five, 3), (six, 4), (five, 7)]);
        assert_eq!(heads(log, 1), [(six, 4), (five, 7)]);
        assert!(heads(log, 3).is_empty());
        drop(held);
        assert_eq!(log.name(1), Some((KEEPER, U256::from(6))));
        assert_eq!(log.name(3), None);
    }

    #[test]
    fn what_lanes_publish_at_once_is_heard_as_a_whole() {
        let published = opened();
        let hash = slot_hash(&KEEPER, &U256::from(5));
        let lane = || {
            let mut lane = Listener::new(published.begin());
            for index in 0..500_u32 {
                let value = 3 * u64::from(index);
                leave(&published, &mut lane, index, 5, value);
                assert_eq!(before(&published, index + 1, 5), Some((index, value)));
                for log in published.begun() {
                    let heads = heads(log, 0);
                    assert!(heads.iter().zip(0..).all(|(head, index)| *head == (hash, index)));
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(lane);
            }
        });
    }

    /// A lane that has changed much does not make those wait that look for something else.
    #[test]
    fn the_slots_of_a_full_log_are_in_short_chains() {
        let published = opened();
        let mut lane = Listener::new(published.begin());
        for number in 0..WRITES_MAX as u32 {
            leave(&published, &mut lane, number, number.into(), 1);
        }
        let writes = published.logs[0].writes.lock();
        let lengths = (0..CHAINS as u64).map(|chain| {
            let mut place = writes.latest_of(chain);
            let places = std::iter::from_fn(|| {
                let key = writes.keys.get(place as usize)?;
                assert!(key.before == CHAIN_END || key.before < place);
                place = key.before;
                Some(())
            });
            places.count()
        });
        let lengths: Vec<_> = lengths.collect();
        assert_eq!(lengths.iter().sum::<usize>(), WRITES_MAX, "each is in one");
        assert!(lengths.iter().all(|length| *length < 40), "{lengths:?}");
    }

    #[test]
    fn nothing_is_left_for_the_next_block() {
        let mut published = opened();
        let mut lane = Listener::new(published.begin());
        leave(&published, &mut lane, 1, 5, 10);
        assert_eq!(before(&published, 2, 5), Some((1, 10)));
        published.clear();
        assert_eq!(published.begin(), None, "it is closed");
        published.open();
        let mut lane = Listener::new(published.begin());
        assert_eq!(before(&published, 2, 5), None);
        leave(&published, &mut lane, 1, 6, 10);
        assert_eq!([5, 6].map(|slot| before(&published, 2, slot)), [None, Some((1, 10))]);
    }
}
