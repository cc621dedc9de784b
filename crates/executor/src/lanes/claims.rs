//! Who runs which transaction.
//!
//! Workers claim in block order, a batch at a time, so that each runs its own in block order.
//! Transactions that most likely read what one another write are a *group* ([`Plan`]): the worker
//! that claims the first of them has the others. What is heavy is claimed first: groups, and single
//! transactions that hardly depend on others, each in a lane of its own. At its end a worker takes
//! over what is left to others, in a lane of its own, from the end of the block.

use super::{marks::Dependence, plan::Plan};
use parking_lot::Mutex;
use std::{
    cmp::Reverse,
    sync::atomic::{AtomicU32, Ordering},
};

/// Gas of a batch that is likely to be used, at least and at most: some ten and some hundred
/// microseconds.
const BATCH_GAS_MIN: u64 = 100_000;
const BATCH_GAS_MAX: u64 = 1_000_000;
/// Of what a worker has to do if all have as much, a group is heavy from one such part on.
const HEAVY: u64 = 4;
/// Batches of a worker in a block, about.
const BATCHES: u64 = 16;

/// Calls and creations after which the share of disturbed ones is judged, and what it may be:
/// above, running them again takes what the other threads have gained.
const ALL_MIN: u32 = 16;
const ALL_DISTURBED_PERCENT_MAX: u32 = 40;
/// Transactions of a group that have not seen what another worker's had written, before the rest
/// of it moves there.
const DISTURBED_MIN: u32 = 2;
/// Share of a group's transactions that may depend on others of it, for it to be split.
const DEPENDING_PERCENT_MAX: u32 = 70;

/// What is claimed of a block.
#[derive(Debug)]
pub(super) struct Claims {
    plan: Plan,
    batch_gas: u64,
    /// Of each group: transactions that ran, those of them that came upon what others had written,
    /// and those that should have and have not.
    counts: Vec<[AtomicU32; 3]>,
    /// Calls and creations that ran, and those that have not seen what another worker's had
    /// written.
    all: AtomicU32,
    all_disturbed: AtomicU32,
    /// What has much of the block's gas, the heaviest first.
    heavy: Vec<Heavy>,
    inner: Mutex<Inner>,
}

/// What is begun before the rest of the block.
#[derive(Debug)]
struct Heavy {
    /// `None` if it is one transaction by itself.
    group: Option<u32>,
    gas: u64,
    /// In block order.
    txs: Vec<usize>,
}

#[derive(Debug)]
struct Inner {
    is_claimed: Vec<bool>,
    /// Of each group.
    owners: Vec<Option<usize>>,
    /// Heavy ones that somebody has taken up.
    heavy_taken: usize,
    /// Of each worker: the heavy one that it runs, and how many of it are claimed.
    runs: Vec<Option<(usize, usize)>>,
    /// Of each worker: whether what it has claimed last stands by itself.
    is_alone: Vec<bool>,
    /// Of each worker: where it looks on.
    cursors: Vec<usize>,
    /// Of each worker: whether it has found nothing more to do.
    is_done: Vec<bool>,
}

impl Claims {
    pub(super) fn new(plan: Plan, workers: usize) -> Self {
        let Plan { groups, gas, group_gas, early, .. } = &plan;
        let total: u64 = gas.iter().fold(0, |sum, gas| sum.saturating_add(*gas));
        let batch_gas = (total / (workers as u64 * BATCHES)).clamp(BATCH_GAS_MIN, BATCH_GAS_MAX);
        let much = if workers > 1 { total / (workers as u64 * HEAVY) } else { u64::MAX };
        // Groups without those of them that are begun by themselves.
        let mut left = group_gas.clone();
        for index in early {
            if let Some(group) = groups[*index] {
                let left = &mut left[group as usize];
                *left = left.saturating_sub(gas[*index]);
            }
        }
        let heavy = (0_u32..).zip(left).filter(|(_, gas)| *gas > much);
        let mut heavy: Vec<Heavy> =
            heavy.map(|(group, gas)| Heavy { group: Some(group), gas, txs: Vec::new() }).collect();
        for (index, group) in groups.iter().enumerate() {
            if group.is_some()
                && let Ok(place) = heavy.binary_search_by_key(group, |heavy| heavy.group)
                && !early.contains(&index)
            {
                heavy[place].txs.push(index);
            }
        }
        let alone = |index: &usize| Heavy { group: None, gas: gas[*index], txs: vec![*index] };
        heavy.extend(early.iter().map(alone));
        heavy.sort_by_key(|heavy| Reverse(heavy.gas));
        let inner = Inner {
            is_claimed: vec![false; groups.len()],
            owners: vec![None; group_gas.len()],
            heavy_taken: 0,
            runs: vec![None; workers],
            is_alone: vec![false; workers],
            cursors: vec![0; workers],
            is_done: vec![false; workers],
        };
        let counts = group_gas.iter().map(|_| Default::default()).collect();
        Self {
            plan,
            batch_gas,
            counts,
            all: AtomicU32::new(0),
            all_disturbed: AtomicU32::new(0),
            heavy,
            inner: Mutex::new(inner),
        }
    }

    /// What was known beforehand.
    pub(super) fn into_plan(self) -> Plan {
        self.plan
    }

    /// Notes that a transaction ran, and on whom it depends. If that one is another worker's, what
    /// is left of its group goes to that worker. `true` if so many depend on others that it does
    /// not pay to go on.
    pub(super) fn note(&self, worker: usize, index: usize, dependence: Dependence) -> bool {
        let Some(Some(group)) = self.plan.groups.get(index).copied() else { return false };
        let Dependence { on_own, on_other, by_other, .. } = dependence;
        let [ran, depended, _] = &self.counts[group as usize];
        let ran = ran.fetch_add(1, Ordering::Relaxed) + 1;
        depended.fetch_add(u32::from(on_own || on_other.is_some()), Ordering::Relaxed);
        let all = self.all.fetch_add(1, Ordering::Relaxed) + 1;
        let ran_of = |group: u32| self.counts[group as usize][0].load(Ordering::Relaxed);
        let mut is_entangled = false;
        if let Some(writer) = on_other {
            is_entangled |= self.disturb(group, ran, writer.index, writer.worker, all);
        }
        if let Some(reader) = by_other
            && let Some(Some(theirs)) = self.plan.groups.get(reader.index).copied()
        {
            is_entangled |= self.disturb(theirs, ran_of(theirs), index, worker, all);
        }
        is_entangled
    }

    /// A transaction of a group has not seen what that of `writer`, in other hands, has written.
    fn disturb(&self, group: u32, ran: u32, writer: usize, worker: usize, all: u32) -> bool {
        let [_, _, disturbed] = &self.counts[group as usize];
        let all_disturbed = self.all_disturbed.fetch_add(1, Ordering::Relaxed) + 1;
        if all >= ALL_MIN && all_disturbed * 100 > all * ALL_DISTURBED_PERCENT_MAX {
            return true;
        }
        let disturbed = disturbed.fetch_add(1, Ordering::Relaxed) + 1;
        if disturbed < DISTURBED_MIN || disturbed * 2 < ran {
            return false;
        }
        let mut inner = self.inner.lock();
        let Inner { owners, cursors, is_done, .. } = &mut *inner;
        let new = self.plan.groups.get(writer).copied().flatten();
        let new = new.and_then(|group| owners[group as usize]).unwrap_or(worker);
        if owners[group as usize] != Some(new) && is_done.get(new) == Some(&false) {
            owners[group as usize] = Some(new);
            cursors[new] = 0;
        }
        false
    }

    /// Whether what is left of a transaction's group may as well run elsewhere.
    fn may_leave(&self, index: usize) -> bool {
        let Some(group) = self.plan.groups[index] else { return true };
        if self.plan.is_bound[group as usize] {
            return false;
        }
        let [ran, depended, _] = &self.counts[group as usize];
        // The first of a group has nobody to depend on.
        let ran = ran.load(Ordering::Relaxed).saturating_sub(1);
        depended.load(Ordering::Relaxed) * 100 <= ran * DEPENDING_PERCENT_MAX
    }

    /// Claims what the worker runs next, in block order; `false` if there is nothing left. `last`
    /// is what it has run last.
    pub(super) fn claim(&self, worker: usize, last: Option<usize>, batch: &mut Vec<usize>) -> bool {
        batch.clear();
        let mut inner = self.inner.lock();
        let Inner { is_claimed, owners, heavy_taken, runs, is_alone, cursors, is_done } =
            &mut *inner;
        // After one that stands by itself a worker begins at the start of the block. If it went on
        // above, it would own groups of which it can run the earlier ones in a later lane only.
        let last = if std::mem::take(&mut is_alone[worker]) { None } else { last };
        let mut gas = 0_u64;
        loop {
            if runs[worker].is_none() && *heavy_taken < self.heavy.len() {
                let taken = *heavy_taken;
                *heavy_taken += 1;
                if let Some(group) = self.heavy[taken].group {
                    owners[group as usize] = Some(worker);
                }
                runs[worker] = Some((taken, 0));
            }
            let Some((taken, mut from)) = runs[worker] else { break };
            let Heavy { group, txs, .. } = &self.heavy[taken];
            if group.is_some_and(|group| owners[group as usize] != Some(worker)) {
                runs[worker] = None;
                continue;
            }
            for index in txs.iter().skip(from) {
                if gas >= self.batch_gas {
                    break;
                }
                from += 1;
                if !is_claimed[*index] {
                    is_claimed[*index] = true;
                    batch.push(*index);
                    gas = gas.saturating_add(self.plan.gas[*index]);
                }
            }
            runs[worker] = (from < txs.len()).then_some((taken, from));
            if !batch.is_empty() {
                is_alone[worker] = group.is_none();
                return true;
            }
        }
        // Above what it has run last, else from the start, in another lane.
        for last in [last, None] {
            let mut cursor = match last {
                Some(_) => cursors[worker],
                None => 0,
            };
            while cursor < is_claimed.len() && gas < self.batch_gas {
                let is_ours = !is_claimed[cursor]
                    && last.is_none_or(|last| last < cursor)
                    && match self.plan.groups[cursor] {
                        None => true,
                        Some(group) => {
                            let owner = owners[group as usize].get_or_insert(worker);
                            if is_done[*owner] {
                                *owner = worker;
                            }
                            *owner == worker
                        }
                    };
                if is_ours {
                    is_claimed[cursor] = true;
                    batch.push(cursor);
                    gas = gas.saturating_add(self.plan.gas[cursor]);
                }
                cursor += 1;
            }
            cursors[worker] = cursor;
            if !batch.is_empty() {
                break;
            }
        }
        if batch.is_empty() {
            self.take_over(is_claimed, batch);
        }
        is_done[worker] = batch.is_empty();
        !batch.is_empty()
    }

    /// Claims the last half, by gas, of what others have not begun and may leave.
    fn take_over(&self, is_claimed: &mut [bool], batch: &mut Vec<usize>) {
        let open = || is_claimed.iter().enumerate().rev().filter(|(_, claimed)| !**claimed);
        let total = open().fold(0_u64, |sum, (index, _)| sum.saturating_add(self.plan.gas[index]));
        let mut gas = 0_u64;
        for (index, _) in open().filter(|(index, _)| self.may_leave(*index)) {
            gas = gas.saturating_add(self.plan.gas[index]);
            if gas > total / 2 && !batch.is_empty() {
                break;
            }
            batch.push(index);
        }
        batch.reverse();
        for index in batch.iter() {
            is_claimed[*index] = true;
        }
    }
}

#[cfg(test)]
mod tests;
