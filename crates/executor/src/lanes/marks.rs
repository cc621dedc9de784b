//! Who has written and read which slot so far: a guess, by which workers come together that disturb
//! one another. A mark may be lost, or be another slot's; nothing but time depends on it.

use super::listening::slot_hash;
use fugue_evm::SlotTouch;
use std::sync::atomic::{AtomicU64, Ordering};

/// Marks that are kept; a power of two.
const MARKS: usize = 1 << 13;
/// Bits of an index, and of a worker, in a mark.
const INDEX_BITS: u32 = 24;
const WORKER_BITS: u32 = 8;

/// Writers that are kept of those whose writes a transaction has come upon.
const WRITERS_MAX: usize = 4;

/// The last transaction that has written a slot, or read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) worker: usize,
    pub(super) index: usize,
}

/// Marks by the hash of a slot.
#[derive(Debug)]
pub(super) struct Marks(Vec<Marked>);

/// Who has written a slot last, and who has read it: both are asked for at once, and are in one
/// cache line.
#[derive(Debug, Default)]
#[repr(align(16))]
struct Marked {
    written: AtomicU64,
    read: AtomicU64,
}

/// On whom a transaction depends, as far as marks tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Dependence {
    /// On one before it in the same worker's hands, or in another's, which it has seen.
    pub(super) on_own: bool,
    /// On the latest one before it in another's, which it has not seen.
    pub(super) on_other: Option<Mark>,
    /// The one behind it in another's that has not seen it.
    pub(super) by_other: Option<Mark>,
    /// Those before it, in whosever hands.
    pub(super) writers: Writers,
    /// One behind it in another's hands has written what it came upon, and hidden by its mark
    /// whoever has before.
    pub(super) is_blurred: bool,
}

/// Indices of transactions, each once, as many as there is room for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Writers([Option<u32>; WRITERS_MAX]);

impl Writers {
    fn add(&mut self, index: usize) {
        let index = u32::try_from(index).ok();
        let place = self.0.iter_mut().find(|place| place.is_none() || **place == index);
        if let Some(place) = place {
            *place = index;
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = u32> {
        self.0.iter().flatten().copied()
    }
}

impl Default for Marks {
    fn default() -> Self {
        Self((0..MARKS).map(|_| Marked::default()).collect())
    }
}

impl Marks {
    /// Forgets all of them, for the next block.
    pub(super) fn clear(&mut self) {
        self.0.fill_with(Marked::default);
    }

    /// Bytes that they take.
    pub(super) fn memory_bytes(&self) -> usize {
        size_of_val(self.0.as_slice())
    }

    /// Marks the slots of a transaction, and tells what the marks of others say of it. `has_seen`
    /// is asked once for each slot, with the hash of its name and whether an earlier one in other
    /// hands has written it: it says whether the transaction has seen that.
    pub(super) fn mark(
        &self,
        slots: &[SlotTouch],
        mark: Mark,
        mut has_seen: impl FnMut(&SlotTouch, u64, bool) -> bool,
    ) -> Dependence {
        let mut dependence = Dependence::default();
        for slot in slots {
            let hash = slot_hash(&slot.address, &slot.slot);
            let (place, tag) = place(hash);
            let is_write = slot.before != slot.after;
            let Marked { written, read } = &self.0[place];
            let writer = unpack(written, tag);
            let is_written = writer
                .is_some_and(|writer| writer.worker != mark.worker && writer.index < mark.index);
            match (has_seen(slot, hash, is_written), writer) {
                (true, Some(other)) if is_written => dependence.on_seen(other),
                _ => dependence.on(writer, mark),
            }
            if is_write {
                dependence.by(unpack(read, tag), mark);
                written.store(pack(tag, mark), Ordering::Relaxed);
            }
            read.store(pack(tag, mark), Ordering::Relaxed);
        }
        dependence
    }
}

fn pack(tag: u64, mark: Mark) -> u64 {
    let index = (mark.index as u64 + 1) & ((1 << INDEX_BITS) - 1);
    let worker = mark.worker as u64 & ((1 << WORKER_BITS) - 1);
    tag << (INDEX_BITS + WORKER_BITS) | index << WORKER_BITS | worker
}

fn unpack(mark: &AtomicU64, tag: u64) -> Option<Mark> {
    let packed = mark.load(Ordering::Relaxed);
    let index = packed >> WORKER_BITS & ((1 << INDEX_BITS) - 1);
    let worker = packed & ((1 << WORKER_BITS) - 1);
    (packed >> (INDEX_BITS + WORKER_BITS) == tag && index > 0)
        .then(|| Mark { worker: worker as usize, index: index as usize - 1 })
}

impl Dependence {
    /// On nobody.
    #[cfg(test)]
    pub(super) const NONE: Self = Self {
        on_own: false,
        on_other: None,
        by_other: None,
        writers: Writers([None; WRITERS_MAX]),
        is_blurred: false,
    };

    /// `writer` has written what `reader` came upon.
    pub(super) fn on(&mut self, writer: Option<Mark>, reader: Mark) {
        let Some(writer) = writer else { return };
        if writer.index >= reader.index {
            self.is_blurred |= writer.worker != reader.worker;
            return;
        }
        self.writers.add(writer.index);
        if writer.worker == reader.worker {
            self.on_own = true;
        } else if self.on_other.is_none_or(|other| other.index < writer.index) {
            self.on_other = Some(writer);
        }
    }

    /// `writer`, in other hands, has written what was come upon, and that was seen.
    fn on_seen(&mut self, writer: Mark) {
        self.writers.add(writer.index);
        self.on_own = true;
    }

    /// `reader` came upon what `writer` writes.
    fn by(&mut self, reader: Option<Mark>, writer: Mark) {
        let disturbed =
            reader.filter(|reader| reader.index > writer.index && reader.worker != writer.worker);
        self.by_other = self.by_other.or(disturbed);
    }
}

/// Place and tag of a slot, by the hash of its name.
const fn place(hash: u64) -> (usize, u64) {
    (hash as usize & (MARKS - 1), hash >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fugue_types::{Address, U256};

    fn slot(account: u64, number: u64) -> SlotTouch {
        let [a, b, c, d, e, f, g, h] = account.to_be_bytes();
        let mut address = Address::repeat_byte(0xc0);
        address.0.0[12..].copy_from_slice(&[a, b, c, d, e, f, g, h]);
        SlotTouch { address, slot: U256::from(number), before: U256::ZERO, after: U256::ONE }
    }

    fn set(marks: &Marks, slot: &SlotTouch, mark: Mark) {
        unseen(marks, *slot, mark);
    }

    /// Marks a slot for one that has seen nothing of others.
    fn unseen(marks: &Marks, slot: SlotTouch, mark: Mark) -> Dependence {
        marks.mark(&[slot], mark, |_, _, _| false)
    }

    /// Who has written the slot last.
    fn find(marks: &Marks, slot: &SlotTouch) -> Option<Mark> {
        let (place, tag) = place(slot_hash(&slot.address, &slot.slot));
        unpack(&marks.0[place].written, tag)
    }

    #[test]
    fn a_mark_is_found_where_it_was_set_and_the_last_one_stands() {
        let marks = Marks::default();
        let touch = slot(1, 2);
        assert_eq!(find(&marks, &touch), None);
        let most = Mark { worker: (1 << WORKER_BITS) - 1, index: (1 << INDEX_BITS) - 2 };
        for mark in [Mark { worker: 0, index: 0 }, Mark { worker: 3, index: 500 }, most] {
            set(&marks, &touch, mark);
            assert_eq!(find(&marks, &touch), Some(mark));
        }
        // Values are no part of a slot's name.
        let other = SlotTouch { before: U256::from(9), after: U256::ZERO, ..touch };
        assert_eq!(find(&marks, &other), Some(most));
    }

    #[test]
    fn nothing_is_left_of_marks_that_are_cleared() {
        let mut marks = Marks::default();
        let touch = slot(1, 2);
        set(&marks, &touch, Mark { worker: 0, index: 3 });
        marks.clear();
        assert_eq!(find(&marks, &touch), None);
        let reader = SlotTouch { after: touch.before, ..touch };
        let found = unseen(&marks, reader, Mark { worker: 1, index: 9 });
        assert_eq!(found, Dependence::default());
    }

    #[test]
    fn what_does_not_fit_is_lost_and_is_nobody_elses_index() {
        let marks = Marks::default();
        let touch = slot(1, 2);
        set(&marks, &touch, Mark { worker: 0, index: (1 << INDEX_BITS) - 1 });
        assert_eq!(find(&marks, &touch), None);
        set(&marks, &touch, Mark { worker: 1 << WORKER_BITS, index: 7 });
        assert_eq!(find(&marks, &touch), Some(Mark { worker: 0, index: 7 }));
    }

    #[test]
    fn a_thousand_marks_are_mostly_kept_and_no_other_slot_has_them() {
        let marks = Marks::default();
        let each = || (0..10).flat_map(|account| (0..100).map(move |number| (account, number)));
        for (index, (account, number)) in each().enumerate() {
            set(&marks, &slot(account, number), Mark { worker: 1, index });
        }
        let is_found = |(index, (account, number)): &(usize, (u64, u64))| {
            find(&marks, &slot(*account, *number)) == Some(Mark { worker: 1, index: *index })
        };
        let found = each().enumerate().filter(is_found).count();
        assert!(found >= 850, "{found} of 1000 were kept");
        let others = (100..110).flat_map(|account| (0..100).map(move |number| (account, number)));
        let taken =
            others.filter(|(account, number)| find(&marks, &slot(*account, *number)).is_some());
        let taken = taken.count();
        assert!(taken <= 5, "{taken} of 1000 others have a mark");
    }

    #[test]
    fn a_transaction_depends_on_the_latest_of_another_worker_before_it() {
        let mut dependence = Dependence::default();
        let mark = |worker, index| Some(Mark { worker, index });
        let reader = Mark { worker: 0, index: 5 };
        for mark in [None, mark(0, 7)] {
            dependence.on(mark, reader);
        }
        assert_eq!(dependence, Dependence::default(), "nobody before it");
        for mark in [mark(1, 5), mark(1, 9)] {
            dependence.on(mark, reader);
        }
        let blurred = Dependence { is_blurred: true, ..Dependence::default() };
        assert_eq!(dependence, blurred, "nobody before it that can be seen");
        dependence.on(mark(0, 4), reader);
        let Dependence { on_own, on_other, by_other, writers, .. } = dependence;
        assert_eq!((on_own, on_other, by_other), (true, None, None));
        assert_eq!(writers.iter().collect::<Vec<_>>(), [4]);
        for (worker, index) in [(2, 1), (1, 3), (3, 2), (1, 3), (0, 4), (1, 0)] {
            dependence.on(mark(worker, index), reader);
        }
        let Dependence { on_own, on_other, by_other, writers, .. } = dependence;
        assert_eq!((on_own, on_other, by_other), (true, mark(1, 3), None));
        assert_eq!(writers.iter().collect::<Vec<_>>(), [4, 1, 3, 2], "no more than there is room");
    }

    #[test]
    fn who_has_read_too_early_is_found_by_who_writes() {
        let marks = Marks::default();
        let read = SlotTouch { after: U256::ZERO, ..slot(1, 2) };
        let reader = Mark { worker: 1, index: 9 };
        assert_eq!(unseen(&marks, read, reader), Dependence::default());
        let found = unseen(&marks, slot(1, 2), Mark { worker: 0, index: 4 });
        assert_eq!(found, Dependence { by_other: Some(reader), ..Dependence::default() });
        // Whoever came before it in the block has seen nothing that is wrong.
        let found = unseen(&marks, slot(1, 2), Mark { worker: 0, index: 12 });
        assert_eq!(found.by_other, None);
    }

    #[test]
    fn who_has_seen_what_it_came_upon_is_not_disturbed_by_it() {
        let marks = Marks::default();
        set(&marks, &slot(1, 2), Mark { worker: 0, index: 4 });
        let read = SlotTouch { after: U256::ZERO, ..slot(1, 2) };
        let mut asked = Vec::new();
        let mut mark = |worker, index, is_seen: bool| {
            marks.mark(&[read], Mark { worker, index }, |touch, _, is_written| {
                asked.push((touch.slot, is_written));
                is_seen
            })
        };
        let seen = mark(1, 9, true);
        let unseen = mark(1, 9, false);
        // Of its own worker's, and of what is later, it is not asked.
        let own = mark(0, 9, true);
        let late = mark(1, 3, true);
        assert_eq!((seen.on_own, seen.on_other), (true, None));
        let writer = Some(Mark { worker: 0, index: 4 });
        assert_eq!((unseen.on_own, unseen.on_other), (false, writer));
        assert_eq!((own.on_own, own.on_other), (true, None));
        assert!(late.is_blurred && !late.on_own && late.on_other.is_none());
        let [of_seen, of_unseen] = [seen, unseen].map(|found| found.writers);
        assert_eq!((of_seen.iter().collect::<Vec<_>>(), of_seen), (vec![4], of_unseen));
        let slot = U256::from(2);
        assert_eq!(asked, [(slot, true), (slot, true), (slot, false), (slot, false)]);
    }
}
