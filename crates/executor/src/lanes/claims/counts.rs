//! What is counted of a group while it runs.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Share of a group's transactions that may depend on others of it, for it to be split.
const DEPENDING_PERCENT_MAX: u32 = 70;
/// Transactions of a group that have to have run before that is judged, and the part of it that is
/// enough if it is more than the first, which depends on none: until then nobody takes over what is
/// left of it.
pub(super) const SPLIT_MIN: u32 = 4;
const SPLIT_PART: u32 = 4;
/// What is known of a group while it runs. Workers write it at each transaction: it shares no cache
/// line with another group, which may be another worker's.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Counts {
    /// Transactions that it has.
    pub(super) txs: u32,
    /// It is nearly the whole block.
    pub(super) is_nearly_all: bool,
    /// Those that should have seen what others had written, and have not.
    pub(super) disturbed: AtomicU32,
    /// The last one that ran, until it is judged whether the group is a chain; none has this index
    /// before. Kept for a group that is nearly the whole block.
    pub(super) last: AtomicU32,
    /// [`Ran`], in one word; and of those that nobody judges by, payments and what was refused.
    pub(super) ran: AtomicU64,
    pub(super) unjudged: AtomicU64,
}

/// Those of a group's transactions that ran: as many as 44 billion gas has room for. Beyond that
/// they are miscounted, and nothing but time depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ran {
    pub(super) all: u32,
    /// Those of them that came upon what others had written.
    pub(super) depended: u32,
    /// Those that came upon what the one before them in the group had, and nobody later; as far as
    /// [`Counts::last`] is kept.
    pub(super) followed: u32,
}

impl Ran {
    /// Bits of each count in the word.
    pub(super) const BITS: u32 = 21;

    /// One more that ran, to be added to the word.
    pub(super) fn one(depends: bool, follows: bool) -> u64 {
        1 | u64::from(depends) << Self::BITS | u64::from(follows) << (2 * Self::BITS)
    }

    pub(super) const fn of(word: u64) -> Self {
        let mask = (1 << Self::BITS) - 1;
        Self {
            all: (word & mask) as u32,
            depended: (word >> Self::BITS & mask) as u32,
            followed: (word >> (2 * Self::BITS) & mask) as u32,
        }
    }

    /// Percentage of those behind the first one: that has nobody to depend on.
    pub(super) fn percent(self, count: u32) -> u32 {
        count * 100 / self.all.saturating_sub(1).max(1)
    }
}

impl Counts {
    pub(super) fn new(is_nearly_all: bool) -> Self {
        let [disturbed, last] = [0, u32::MAX].map(AtomicU32::new);
        let [ran, unjudged] = [0; 2].map(AtomicU64::new);
        Self { txs: 0, is_nearly_all, disturbed, last, ran, unjudged }
    }

    pub(super) fn ran(&self) -> Ran {
        Ran::of(self.ran.load(Ordering::Relaxed))
    }

    /// With those that nobody judges by.
    pub(super) fn all_ran(&self) -> Ran {
        let (ran, unjudged) = (self.ran(), Ran::of(self.unjudged.load(Ordering::Relaxed)));
        let (all, depended) = (ran.all + unjudged.all, ran.depended + unjudged.depended);
        Ran { all, depended, ..ran }
    }

    /// Whether what is left of it may as well run elsewhere; `None` if nobody knows yet.
    pub(super) fn may_leave(&self) -> Option<bool> {
        let Ran { all, depended, .. } = self.all_ran();
        if all < SPLIT_MIN.min(self.txs / SPLIT_PART).max(2) {
            return None;
        }
        // The first of a group has nobody to depend on.
        Some(depended * 100 <= all.saturating_sub(1) * DEPENDING_PERCENT_MAX)
    }
}
