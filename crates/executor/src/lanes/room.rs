//! What lanes take room for, kept from one block to the next, and how their journals are given
//! back.
//!
//! A journal has thousands of pieces of memory. The thread that took them gives them back soonest:
//! another one has to fetch each, and the allocator hands it over to the first one later. So each
//! thread of the pool gives back the journals of lanes that it ran. Those of the caller, who has
//! the block to close, are given back by whoever of them is idle.
//!
//! | job | started when | gives | awaited where |
//! | --- | --- | --- | --- |
//! | [`give_back`] | a block is settled | room for journals | nowhere |

use super::{Lane, listening::Published, marks::Marks};
use fugue_evm::{History, JournalRoom, Touched};
use parking_lot::Mutex;
use rayon::ThreadPool;
use std::sync::Arc;

/// Lanes whose room is kept from one block to the next, and the accounts, as well as the slots,
/// that each keeps room for: 5 MB a lane at most, and enough for half a block of mainnet.
pub(super) const ROOM_LANES_MAX: usize = 16;
const ROOM_TOUCHES_MAX: usize = 1 << 13;
/// Accounts, as well as slots, for which a journal keeps room, each once: 3 MiB a lane at most.
const ROOM_LOADS_MAX: usize = 1 << 12;

/// Room for the journals of lanes. It is filled while the next block may have begun.
pub(super) type JournalRooms = Arc<Mutex<Vec<JournalRoom>>>;

/// What lanes take room for, kept from one block to the next.
#[derive(Debug, Default)]
pub(crate) struct LaneRoom {
    pub(super) touched: Vec<Touched>,
    pub(super) marks: Marks,
    pub(super) published: Published,
    pub(super) journals: JournalRooms,
}

impl LaneRoom {
    /// The room of a block that is done: what none of its lanes has taken, and what they give back.
    /// Their journals are still theirs.
    pub(super) fn new(
        mut touched: Vec<Touched>,
        lanes: &mut [Lane],
        mut marks: Marks,
        mut published: Published,
        journals: JournalRooms,
    ) -> Self {
        touched.extend(lanes.iter_mut().map(|lane| std::mem::take(&mut lane.history.touched)));
        // A worker takes two at a time: its payments have notes of their own.
        touched.truncate(2 * ROOM_LANES_MAX);
        for room in &mut touched {
            room.clear();
            room.shrink_to(ROOM_TOUCHES_MAX);
        }
        marks.clear();
        published.clear();
        Self { touched, marks, published, journals }
    }
}

/// Bytes of room that no lane of a block has taken.
pub(super) fn spare_bytes(touched: &[Touched], journals: &JournalRooms) -> usize {
    let of_touched: usize = touched.iter().map(Touched::memory_bytes).sum();
    let of_journals: usize = journals.lock().iter().map(JournalRoom::memory_bytes).sum();
    of_touched + of_journals
}

/// Has the threads of the pool give back what lanes have in memory. The room of their journals is
/// kept, as long as there is not too much of it.
pub(super) fn give_back(pool: &ThreadPool, lanes: Vec<Lane>, journals: JournalRooms) {
    if lanes.is_empty() {
        return;
    }
    let old = Old { lanes: Mutex::new(lanes), journals };
    // It takes a while to wake all of them, and the caller has the block to close.
    pool.spawn(move || rayon::spawn_broadcast(move |thread| old.give_back(thread.index())));
}

/// Keeps the room of a journal that nobody needs any more, as long as there is not too much of it.
pub(super) fn keep_room(journals: &JournalRooms, history: History) {
    let room = history.into_room(ROOM_LOADS_MAX);
    let mut journals = journals.lock();
    if journals.len() < ROOM_LANES_MAX {
        journals.push(room);
    }
}

/// Lanes that nobody needs any more.
struct Old {
    lanes: Mutex<Vec<Lane>>,
    journals: JournalRooms,
}

impl Old {
    /// Gives back, on this thread of the pool, what is for it to give back.
    fn give_back(&self, thread: usize) {
        while let Some(lane) = self.next_of(thread) {
            if lane.is_ledger {
                continue;
            }
            keep_room(&self.journals, lane.history);
        }
    }

    /// A lane that the thread ran; if there is none, one that no thread of the pool ran.
    fn next_of(&self, thread: usize) -> Option<Lane> {
        let mut lanes = self.lanes.lock();
        let of = |thread: Option<usize>| lanes.iter().position(|lane| lane.thread == thread);
        let place = of(Some(thread)).or_else(|| of(None))?;
        Some(lanes.swap_remove(place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A lane that this thread of the pool ran.
    fn lane(thread: Option<usize>) -> Lane {
        Lane {
            worker: 0,
            thread,
            is_ledger: false,
            txs: Vec::new(),
            noted: Vec::new(),
            assumed: Vec::new(),
            heard: Vec::new(),
            heard_slots: 0,
            history: History::default(),
        }
    }

    fn old(threads: &[Option<usize>]) -> Old {
        let lanes = threads.iter().copied().map(lane).collect();
        Old { lanes: Mutex::new(lanes), journals: JournalRooms::default() }
    }

    #[test]
    fn a_thread_gives_back_what_it_ran_and_what_no_other_one_did() {
        let old = old(&[None, Some(1), Some(0), None, Some(0), Some(1)]);
        let own: Vec<_> = (0..2).filter_map(|_| old.next_of(0)).map(|lane| lane.thread).collect();
        assert_eq!(own, [Some(0), Some(0)], "its own go first");
        old.give_back(0);
        let left: Vec<_> = old.lanes.lock().iter().map(|lane| lane.thread).collect();
        assert_eq!(left, [Some(1), Some(1)]);
        assert_eq!(old.journals.lock().len(), 2);
        old.give_back(1);
        assert!(old.lanes.lock().is_empty());
        assert_eq!(old.journals.lock().len(), 4);
    }

    #[test]
    fn no_more_room_is_kept_than_that_of_so_many_lanes() {
        let old = old(&[None; ROOM_LANES_MAX + 4]);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().expect("two threads");
        pool.broadcast(|thread| old.give_back(thread.index()));
        assert!(old.lanes.lock().is_empty());
        assert_eq!(old.journals.lock().len(), ROOM_LANES_MAX);
    }
}
