//! Who has written and read which slot so far: a guess, by which workers come together that disturb one
//! another. A mark may be lost, or be another slot's; nothing but time depends on it.

use fugue_evm::SlotTouch;
use std::sync::atomic::{AtomicU64, Ordering};

/// Marks that are kept; a power of two.
const MARKS: usize = 1 << 13;
/// Bits of an index, and of a worker, in a mark.
const INDEX_BITS: u32 = 24;
const WORKER_BITS: u32 = 8;

/// The last transaction that has written a slot, or read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) worker: usize,
    pub(super) index: usize,
}

/// Marks by the hash of a slot.
pub(super) struct Marks {
    writes: Vec<AtomicU64>,
    reads: Vec<AtomicU64>,
}

/// On whom a transaction depends, as far as marks tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Dependence {
    /// On one before it in the same worker's hands.
    pub(super) on_own: bool,
    /// On the latest one before it in another's, which it has not seen.
    pub(super) on_other: Option<Mark>,
    /// The one behind it in another's that has not seen it.
    pub(super) by_other: Option<Mark>,
}

impl Marks {
    pub(super) fn new() -> Self {
        let marks = || (0..MARKS).map(|_| AtomicU64::new(0)).collect();
        Self { writes: marks(), reads: marks() }
    }

    /// Marks the slots of a transaction, and tells what the marks of others say of it.
    pub(super) fn mark(&self, slots: &[SlotTouch], mark: Mark) -> Dependence {
        let mut dependence = Dependence::default();
        for slot in slots {
            let (place, tag) = place(slot);
            let is_write = slot.before != slot.after;
            let [written, read] = [&self.writes, &self.reads].map(|marks| &marks[place]);
            dependence.on(unpack(written, tag), mark);
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
    /// `writer` has written what `reader` came upon.
    fn on(&mut self, writer: Option<Mark>, reader: Mark) {
        let Some(writer) = writer.filter(|writer| writer.index < reader.index) else { return };
        if writer.worker == reader.worker {
            self.on_own = true;
        } else if self.on_other.is_none_or(|other| other.index < writer.index) {
            self.on_other = Some(writer);
        }
    }

    /// `reader` came upon what `writer` writes.
    fn by(&mut self, reader: Option<Mark>, writer: Mark) {
        let disturbed =
            reader.filter(|reader| reader.index > writer.index && reader.worker != writer.worker);
        self.by_other = self.by_other.or(disturbed);
    }
}

/// Place and tag of a slot.
fn place(slot: &SlotTouch) -> (usize, u64) {
    let [.., a, b, c, d] = slot.address.0.0;
    let mixed = slot
        .slot
        .as_limbs()
        .iter()
        .fold(u64::from(u32::from_le_bytes([a, b, c, d])), |mixed, limb| {
            (mixed ^ limb).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
        });
    (mixed as usize & (MARKS - 1), mixed >> 32)
}
