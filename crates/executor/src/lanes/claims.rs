//! Who runs which transaction.
//!
//! Workers claim in block order, a batch at a time, so that each runs its own in block order.
//! Transactions that most likely read what one another write are a *group* ([`Plan`]): the worker
//! that claims the first of them has the others, but nobody takes more than a fair share while
//! others may. What is heavy is claimed first: groups of a few transactions, and single ones that
//! hardly depend on others, each in a lane of its own. At its end a worker takes over what is left
//! to others, a batch at a time, and again in block order: who comes later then runs later, and
//! hears what it depends on. A group that is nearly the whole block it takes apart before that
//! ([`mod@parts`]), and those who have begun share the parts out.
//!
//! It may have to *wait* before that, until the first of a group have shown whether they depend on
//! one another. Nobody waits for ever: whoever waits has been through the whole block, so that
//! nothing is open that it may claim, and what is open belongs to workers that have not ended; of
//! these each claims what is its own before it waits. A group moves to another worker only when a
//! transaction has run, which happens once for each, and never to one that has ended.

mod counts;
mod parts;

use super::{LaneFault, marks::Dependence, plan::Plan};
use counts::{Counts, Ran};
use fugue_evm::PreparedTx;
use parking_lot::Mutex;
use parts::Parts;
use std::{
    cmp::Reverse,
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

/// Gas of a batch that is likely to be used, at least and at most: some ten and some hundred
/// microseconds.
const BATCH_GAS_MIN: u64 = 100_000;
const BATCH_GAS_MAX: u64 = 1_000_000;
/// Of what a worker has to do if all have as much, a group is heavy from one such part on.
const HEAVY: u64 = 4;
/// Transactions of a heavy group, at most, unless it has this percentage of what a worker has to
/// do: one of many is spread over the block, and would run before what it depends on.
const HEAVY_TXS_MAX: usize = 8;
const HEAVY_PERCENT_MIN: u64 = 90;
/// Of that share, what a group has at most that is anybody's, however much he has already.
const LIGHT_PART: u64 = 16;
/// Batches of a worker in a block, about.
const BATCHES: u64 = 16;

/// Calls and creations after which the share of disturbed ones is judged, and what it may be:
/// above, running them again takes what the other threads have gained.
const ALL_MIN: u32 = 16;
const ALL_DISTURBED_PERCENT_MAX: u32 = 40;
/// Transactions of a group that have not seen what another worker's had written, before the rest
/// of it moves there.
const DISTURBED_MIN: u32 = 2;
/// Transactions after which a group that is nearly the whole block is judged: as many as hints need
/// to know it the next time. It is one chain from this share on, of those behind the first, that
/// have come upon what the one right before had written.
const CHAIN_MIN: u32 = 9;
const FOLLOWING_PERCENT_MIN: u32 = 60;
/// Transactions after which such a group is judged again. It is many chains if so many of a hundred
/// depend on others of it, since lanes do not see which belongs to which; and one after all if
/// nearly all do.
const MANY_MIN: u32 = 24;
const MANY_PERCENT_MIN: u32 = 60;
const ONE_PERCENT_MIN: u32 = 85;
/// Share of the first transactions of an entangled group that depend on others of it from which on
/// it is a few chains, which more threads run hardly sooner.
const FEW_CHAINS_PERCENT_MIN: u32 = 75;

/// What is claimed of a block.
#[derive(Debug)]
pub(super) struct Claims {
    plan: Plan,
    /// What is one chain, or many, is told.
    declines: bool,
    /// Gas that each worker has if all have as much.
    fair: u64,
    batch_gas: u64,
    /// Of each group.
    counts: Vec<Counts>,
    /// Of each worker.
    works: Vec<Work>,
    /// Calls and creations that have not seen what another worker's had written.
    all_disturbed: AtomicU32,
    /// What has much of the block's gas, the heaviest first.
    heavy: Vec<Heavy>,
    /// The group that is nearly the whole block, if somebody has looked at it closely.
    parts: OnceLock<Option<Parts>>,
    /// Whether its parts are shared out.
    are_shared_out: AtomicBool,
    inner: Apart<Mutex<Inner>>,
}

/// What one worker counts, and nobody else writes.
#[derive(Debug)]
#[repr(align(128))]
struct Work {
    /// Calls and creations that ran.
    all: AtomicU32,
    /// The group of which it knows last that it is judged whether it is a chain.
    judged: AtomicU32,
}

/// What shares no cache line with its neighbours, which are read at each transaction.
#[derive(Debug)]
#[repr(align(128))]
struct Apart<T>(T);

impl Work {
    fn new() -> Self {
        let [all, judged] = [0, u32::MAX].map(AtomicU32::new);
        Self { all, judged }
    }
}

/// What a worker is to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claim {
    /// What was claimed.
    Run,
    /// To look closely at the transactions ([`Claims::look_closely`]), and to ask again.
    Look,
    /// To ask again, best when it is known whether what is left with this transaction depends on
    /// what others are running ([`Claims::is_unsure`]).
    Wait(usize),
    /// Nothing: the rest of the block is others'.
    End,
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
    /// Of each worker: gas of the groups that it has taken.
    loads: Vec<u64>,
    /// Of each heavy one: whether somebody has taken it up.
    heavy_taken: Vec<bool>,
    /// Of each worker: the heavy one that it runs, and how many of it are claimed.
    runs: Vec<Option<(usize, usize)>>,
    /// Of each worker: whether what it has claimed last stands by itself.
    is_alone: Vec<bool>,
    /// Of each worker: where it looks on.
    cursors: Vec<usize>,
    /// Times that something may have become the own of one whose it was not: a group has moved, a
    /// worker has ended, or parts were shared out.
    moves: usize,
    /// Of each worker: how many these were when it last found nothing of its own in all the block.
    /// Until there are more it does not look again: that takes longer than a light transaction, and
    /// all others wait for it.
    searched: Vec<Option<usize>>,
    /// Of each worker: whether it has asked for something, and whether it has found nothing more to
    /// do.
    has_begun: Vec<bool>,
    is_done: Vec<bool>,
    /// Whose each part is, once they are shared out.
    part_owners: Option<Vec<usize>>,
}

impl Claims {
    pub(super) fn new(plan: Plan, workers: usize) -> Self {
        let Plan { groups, gas, group_gas, early, .. } = &plan;
        let total: u64 = gas.iter().fold(0, |sum, gas| sum.saturating_add(*gas));
        let batch_gas = (total / (workers as u64 * BATCHES)).clamp(BATCH_GAS_MIN, BATCH_GAS_MAX);
        let fair = if workers > 1 { total / workers as u64 } else { u64::MAX };
        // Groups without those of them that are begun by themselves.
        let mut left = group_gas.clone();
        for index in early {
            if let Some(group) = groups[*index] {
                let left = &mut left[group as usize];
                *left = left.saturating_sub(gas[*index]);
            }
        }
        let heavy = (0_u32..).zip(left).filter(|(_, gas)| *gas > fair / HEAVY);
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
        let most = fair / 100 * HEAVY_PERCENT_MIN;
        heavy.retain(|heavy| heavy.txs.len() <= HEAVY_TXS_MAX || heavy.gas > most);
        heavy.extend(early.iter().map(alone));
        heavy.sort_by_key(|heavy| Reverse(heavy.gas));
        let inner = Inner {
            is_claimed: vec![false; groups.len()],
            owners: vec![None; group_gas.len()],
            loads: vec![0; workers],
            heavy_taken: vec![false; heavy.len()],
            runs: vec![None; workers],
            is_alone: vec![false; workers],
            cursors: vec![0; workers],
            moves: 0,
            searched: vec![None; workers],
            has_begun: vec![false; workers],
            is_done: vec![false; workers],
            part_owners: None,
        };
        let counts = (0_u32..).zip(group_gas);
        let counts = counts.map(|(group, _)| Counts::new(plan.is_nearly_all(group)));
        let mut counts: Vec<Counts> = counts.collect();
        for group in groups.iter().flatten() {
            counts[*group as usize].txs += 1;
        }
        Self {
            plan,
            declines: true,
            fair,
            batch_gas,
            counts,
            works: (0..workers).map(|_| Work::new()).collect(),
            all_disturbed: AtomicU32::new(0),
            heavy,
            // One worker has nobody to share with.
            parts: if workers > 1 { OnceLock::new() } else { OnceLock::from(None) },
            are_shared_out: AtomicBool::new(false),
            inner: Apart(Mutex::new(inner)),
        }
    }

    /// Whether it is told that a block is one chain, or many.
    pub(super) fn declining(self, declines: bool) -> Self {
        Self { declines, ..self }
    }

    /// The first worker has run, or runs, so many of the block's first transactions. Their groups
    /// are its own, as far as it may have them.
    pub(super) fn beginning_with(mut self, count: usize) -> Self {
        let Self { plan, fair, inner, .. } = &mut self;
        let Inner { is_claimed, owners, loads, has_begun, .. } = inner.0.get_mut();
        has_begun[0] |= count > 0;
        for (is_claimed, group) in is_claimed.iter_mut().zip(&plan.groups).take(count) {
            *is_claimed = true;
            if let Some(group) = group.map(|group| group as usize)
                && owners[group].is_none()
                && let Some(load) = load_with(plan.group_gas[group], loads[0], *fair)
            {
                (owners[group], loads[0]) = (Some(0), load);
            }
        }
        self
    }

    /// What was known beforehand.
    pub(super) const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Notes that a transaction ran, and on whom it depends. If that one is another worker's, what
    /// is left of its group goes to that worker. Tells if it does not pay to go on.
    pub(super) fn note(
        &self,
        worker: usize,
        index: usize,
        dependence: Dependence,
    ) -> Option<LaneFault> {
        let group = self.plan.groups.get(index).copied().flatten()?;
        let Dependence { on_own, on_other, by_other, writers, .. } = dependence;
        let counts = &self.counts[group as usize];
        let Work { all, judged } = &self.works[worker];
        // Nobody else writes it.
        all.store(all.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        let follows = counts.is_nearly_all
            && judged.load(Ordering::Relaxed) != group
            && writers.iter().max() == Some(counts.last.swap(index as u32, Ordering::Relaxed));
        let depends = on_own || on_other.is_some();
        let parts = self.found_parts();
        if let Some(parts) = parts {
            parts.note(index, depends, &dependence);
        }
        let one = Ran::one(depends, follows);
        let ran = Ran::of(counts.ran.fetch_add(one, Ordering::Relaxed).wrapping_add(one));
        if counts.is_nearly_all && ran.all >= CHAIN_MIN {
            judged.store(group, Ordering::Relaxed);
        }
        let mut is_entangled = false;
        if let Some(writer) = on_other {
            is_entangled |= self.disturb(group, ran, writer.index, writer.worker);
        }
        if let Some(reader) = by_other
            && let Some(Some(theirs)) = self.plan.groups.get(reader.index).copied()
        {
            let ran = self.counts[theirs as usize].ran();
            is_entangled |= self.disturb(theirs, ran, index, worker);
        }
        if is_entangled {
            let are_many =
                counts.is_nearly_all && ran.percent(ran.depended) < FEW_CHAINS_PERCENT_MIN;
            return Some(if are_many { LaneFault::ManyChains } else { LaneFault::Entangled });
        }
        if !self.declines || !counts.is_nearly_all {
            return None;
        }
        if ran.all == MANY_MIN && parts.is_some_and(|parts| parts.explain(ran)) {
            return None;
        }
        let (followed, depended) = (ran.percent(ran.followed), ran.percent(ran.depended));
        match ran.all {
            CHAIN_MIN if followed >= FOLLOWING_PERCENT_MIN => Some(LaneFault::OneChain),
            MANY_MIN if depended >= ONE_PERCENT_MIN => Some(LaneFault::OneChain),
            MANY_MIN if depended >= MANY_PERCENT_MIN => Some(LaneFault::ManyChains),
            _ => None,
        }
    }

    /// Notes that a plain payment ran, and whether it depends on others. However many do, a ledger
    /// is faster than the sequential mode.
    pub(super) fn note_payment(&self, index: usize, depends: bool) {
        if let Some(group) = self.plan.groups.get(index).copied().flatten() {
            let parts = self.parts_at(index);
            let part = parts.and_then(|parts| Some(parts.counts(parts.part_of(index)?)));
            for Counts { unjudged, .. } in part.into_iter().chain([&self.counts[group as usize]]) {
                unjudged.fetch_add(Ran::one(depends, false), Ordering::Relaxed);
            }
        }
    }

    /// Notes that a transaction was refused: nobody knows on whom it depends.
    pub(super) fn note_refused(&self, index: usize) {
        self.note_payment(index, false);
    }

    /// A transaction of a group has not seen what that of `writer`, in other hands, has written.
    fn disturb(&self, group: u32, ran: Ran, writer: usize, worker: usize) -> bool {
        let Counts { disturbed, .. } = &self.counts[group as usize];
        let all: u32 = self.works.iter().map(|work| work.all.load(Ordering::Relaxed)).sum();
        let all_disturbed = self.all_disturbed.fetch_add(1, Ordering::Relaxed) + 1;
        if all >= ALL_MIN && all_disturbed * 100 > all * ALL_DISTURBED_PERCENT_MAX {
            return true;
        }
        let disturbed = disturbed.fetch_add(1, Ordering::Relaxed) + 1;
        if disturbed < DISTURBED_MIN || disturbed * 2 < ran.all {
            return false;
        }
        let mut inner = self.inner.0.lock();
        let Inner { owners, cursors, moves, is_done, part_owners, .. } = &mut *inner;
        let is_apart = |parts: &Parts| part_owners.is_some() && parts.group == group;
        if self.found_parts().is_some_and(is_apart) {
            return false;
        }
        let new = self.plan.groups.get(writer).copied().flatten();
        let new = new.and_then(|group| owners[group as usize]).unwrap_or(worker);
        if owners[group as usize] != Some(new) && is_done.get(new) == Some(&false) {
            owners[group as usize] = Some(new);
            cursors[new] = 0;
            *moves += 1;
        }
        false
    }

    /// Looks at what the transactions of the group say that is nearly the whole block, unless
    /// `goes_on` says no meanwhile. That is for a worker who finds nothing to claim.
    pub(super) fn look_closely(&self, txs: &[PreparedTx], goes_on: impl Fn() -> bool) {
        self.parts.get_or_init(|| Parts::of_block(&self.plan, txs, goes_on));
    }

    /// The parts of the group that is nearly the whole block, if they were looked for, and found.
    fn found_parts(&self) -> Option<&Parts> {
        self.parts.get()?.as_ref()
    }

    /// The parts that a transaction is of or may be of, if its group has any.
    fn parts_at(&self, index: usize) -> Option<&Parts> {
        let parts = self.found_parts()?;
        (self.plan.groups[index] == Some(parts.group)).then_some(parts)
    }

    /// Shares out the parts among those who have begun and not ended, beginning with the one whose
    /// the group was, once it is known that this pays; tells whether it has.
    fn share_out(&self, inner: &mut Inner) -> bool {
        let Some(parts) = self.found_parts() else { return false };
        let counts = &self.counts[parts.group as usize];
        let pays = || match counts.may_leave() {
            None => false,
            Some(may_leave) => may_leave || parts.explain(counts.all_ran()),
        };
        if inner.part_owners.is_some() || !pays() {
            return false;
        }
        let owner = inner.owners[parts.group as usize];
        // Nobody may wait for one that has not begun, and may never do.
        let is_there = |worker: &usize| inner.has_begun[*worker] && !inner.is_done[*worker];
        let mut workers: Vec<usize> = (0..inner.is_done.len()).filter(is_there).collect();
        workers.sort_by_key(|worker| owner != Some(*worker));
        let left = |index: usize| if inner.is_claimed[index] { 0 } else { self.plan.gas[index] };
        inner.part_owners = Some(parts.share_out(&workers, left));
        inner.moves += 1;
        self.are_shared_out.store(true, Ordering::Relaxed);
        true
    }

    /// Whether what is left of a transaction's group, or part, may as well run elsewhere; `None` if
    /// nobody knows yet.
    fn may_leave(&self, index: usize, are_shared_out: bool) -> Option<bool> {
        let Some(group) = self.plan.groups[index] else { return Some(true) };
        if self.plan.is_bound[group as usize] {
            return Some(false);
        }
        match self.parts_at(index).filter(|_| are_shared_out) {
            Some(parts) => match parts.part_of(index) {
                Some(part) => parts.counts(part).may_leave(),
                None => Some(true),
            },
            None => self.counts[group as usize].may_leave(),
        }
    }

    /// Whether nobody knows yet if what is left with a transaction may run elsewhere. Whoever waits
    /// asks this, and not for the lock that those need who run.
    pub(super) fn is_unsure(&self, index: usize) -> bool {
        self.may_leave(index, self.are_shared_out.load(Ordering::Relaxed)).is_none()
    }

    /// Whether a transaction of a group that was taken apart is a worker's to claim; `None` if it
    /// is of no such group.
    fn is_ours_apart(
        &self,
        index: usize,
        worker: usize,
        part_owners: Option<&[usize]>,
        is_done: &[bool],
    ) -> Option<bool> {
        let owners = part_owners?;
        let Some(part) = self.parts_at(index)?.part_of(index) else { return Some(true) };
        let owner = owners[part];
        Some(owner == worker || is_done.get(owner).copied().unwrap_or(true))
    }

    /// Gas of a batch of a group. One that is nearly the whole block is begun in small ones, until
    /// it is known who has which part of it.
    fn batch_gas_of(&self, group: Option<u32>, are_shared_out: bool) -> u64 {
        let counts = group.map(|group| &self.counts[group as usize]);
        let is_judged = |counts: &Counts| are_shared_out || counts.all_ran().all >= MANY_MIN;
        match counts.filter(|counts| counts.is_nearly_all && self.works.len() > 1) {
            Some(counts) if !is_judged(counts) => BATCH_GAS_MIN,
            _ => self.batch_gas,
        }
    }

    /// Claims what the worker runs next, in block order. `last` is what it has run last.
    pub(super) fn claim(
        &self,
        worker: usize,
        last: Option<usize>,
        batch: &mut Vec<usize>,
    ) -> Claim {
        batch.clear();
        let mut inner = self.inner.0.lock();
        let Inner {
            is_claimed,
            owners,
            loads,
            heavy_taken,
            runs,
            is_alone,
            cursors,
            moves,
            searched,
            has_begun,
            is_done,
            part_owners,
        } = &mut *inner;
        has_begun[worker] = true;
        let part_owners = part_owners.as_deref();
        // After one that stands by itself a worker begins at the start of the block. If it went on
        // above, it would own groups of which it can run the earlier ones in a later lane only.
        let was_alone = std::mem::take(&mut is_alone[worker]);
        let last = if was_alone { None } else { last };
        let mut gas = 0_u64;
        loop {
            let may_take = |place: &usize| {
                let owner = self.heavy[*place].group.and_then(|group| owners[group as usize]);
                !heavy_taken[*place] && owner.is_none_or(|owner| owner == worker)
            };
            if runs[worker].is_none()
                && let Some(place) = (0..self.heavy.len()).find(may_take)
            {
                let Heavy { group, gas, .. } = &self.heavy[place];
                heavy_taken[place] = true;
                let owner = group.map(|group| &mut owners[group as usize]);
                if owner.is_none_or(|owner| owner.replace(worker).is_none()) {
                    loads[worker] = loads[worker].saturating_add(*gas);
                }
                runs[worker] = Some((place, 0));
            }
            let Some((taken, mut from)) = runs[worker] else { break };
            let Heavy { group, txs, .. } = &self.heavy[taken];
            if group.is_some_and(|group| owners[group as usize] != Some(worker)) {
                runs[worker] = None;
                continue;
            }
            let batch_gas = self.batch_gas_of(*group, part_owners.is_some());
            for index in txs.iter().skip(from) {
                if gas >= batch_gas {
                    break;
                }
                from += 1;
                let is_apart = || self.is_ours_apart(*index, worker, part_owners, is_done);
                if !is_claimed[*index] && is_apart() != Some(false) {
                    is_claimed[*index] = true;
                    batch.push(*index);
                    gas = gas.saturating_add(self.plan.gas[*index]);
                }
            }
            runs[worker] = (from < txs.len()).then_some((taken, from));
            if !batch.is_empty() {
                is_alone[worker] = group.is_none();
                return Claim::Run;
            }
        }
        // Above what it has run last, else from the start, in another lane; and what would be more
        // than its share if nobody else has taken that.
        let is_searched = searched[worker] == Some(*moves);
        for (last, is_limited) in [(last, true), (None, true), (None, false)] {
            if last.is_none() && is_searched {
                continue;
            }
            let mut cursor = match last {
                Some(_) => cursors[worker],
                None => 0,
            };
            while cursor < is_claimed.len() && gas < self.batch_gas {
                let is_apart = || self.is_ours_apart(cursor, worker, part_owners, is_done);
                let is_ours = !is_claimed[cursor]
                    && last.is_none_or(|last| last < cursor)
                    && match (is_apart(), self.plan.groups[cursor]) {
                        (Some(is_ours), _) => is_ours,
                        (None, None) => true,
                        (None, Some(group)) => {
                            let owner = &mut owners[group as usize];
                            let most = if is_limited { self.fair } else { u64::MAX };
                            let group_gas = self.plan.group_gas[group as usize];
                            if owner.is_none_or(|owner| is_done[owner])
                                && let Some(load) = load_with(group_gas, loads[worker], most)
                            {
                                (*owner, loads[worker]) = (Some(worker), load);
                            }
                            *owner == Some(worker)
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
        if !batch.is_empty() {
            return Claim::Run;
        }
        searched[worker] = Some(*moves);
        // Whoever asks again still stands where it stood.
        is_alone[worker] = was_alone;
        if self.parts.get().is_none() {
            return Claim::Look;
        }
        if self.share_out(&mut inner) {
            drop(inner);
            return self.claim(worker, last, batch);
        }
        let Inner { is_claimed, is_alone, moves, is_done, part_owners, .. } = &mut *inner;
        let claim = self.take_over(last, part_owners.is_some(), is_claimed, batch);
        is_done[worker] = claim == Claim::End;
        *moves += usize::from(claim == Claim::End);
        is_alone[worker] = was_alone && matches!(claim, Claim::Wait(_));
        claim
    }

    /// Claims a batch of what others have not begun and may leave, above what the worker has run
    /// last, else from the start. Whatever it is, it is the first in the block: so those before it
    /// have run, or run beside it, and it hears what most of them have written.
    fn take_over(
        &self,
        last: Option<usize>,
        are_shared_out: bool,
        is_claimed: &mut [bool],
        batch: &mut Vec<usize>,
    ) -> Claim {
        let mut unsure = None;
        for from in [last.map_or(0, |last| last + 1), 0] {
            let mut gas = 0_u64;
            for (index, claimed) in is_claimed.iter_mut().enumerate().skip(from) {
                if gas >= self.batch_gas {
                    break;
                }
                if *claimed {
                    continue;
                }
                let may_leave = self.may_leave(index, are_shared_out);
                if may_leave.is_none() {
                    unsure.get_or_insert(index);
                }
                if may_leave == Some(true) {
                    *claimed = true;
                    batch.push(index);
                    gas = gas.saturating_add(self.plan.gas[index]);
                }
            }
            if !batch.is_empty() {
                return Claim::Run;
            }
        }
        unsure.map_or(Claim::End, Claim::Wait)
    }
}

/// Gas that a worker has with a group more; `None` if that is more than the most, unless the group
/// is light, or the worker has none yet.
fn load_with(group_gas: u64, load: u64, most: u64) -> Option<u64> {
    let both = load.saturating_add(group_gas);
    (both <= most || group_gas <= most / LIGHT_PART || load == 0).then_some(both)
}

#[cfg(test)]
pub(super) mod tests;
