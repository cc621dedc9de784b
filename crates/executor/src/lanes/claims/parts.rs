//! The parts of a group that is nearly the whole block.
//!
//! Some of its transactions may depend on one another, and others not: those that move units of one
//! token to one holder, or swap at one of several exchanges behind one router. What they say
//! themselves tells: transactions with a party in common ([`parties`], and who is paid without any
//! data) are a part, unless nearly all have that party. Who shares none belongs to no part.
//!
//! A worker that has nothing else to do takes the group apart, once. When its first transactions
//! have run, and most do not depend on one another, or on those of their own part alone
//! ([`Parts::explain`]), the workers share out what is left of the parts: as much gas to each.

use super::{Counts, Ran};
use crate::{
    lanes::{
        marks::Dependence,
        plan::{Plan, parties},
    },
    sets::Sets,
};
use fugue_evm::PreparedTx;
use fugue_types::AddressMap;
use std::{
    cmp::Reverse,
    sync::atomic::{AtomicU32, Ordering},
};

/// Transactions that a group has at least to be taken apart.
const TXS_MIN: usize = 24;
/// Of a hundred transactions of the group, how many may have a party that still ties them.
const TIED_PERCENT_MAX: usize = 80;
/// Of a hundred gas of the group, how much the heaviest part may have if parts explain who depends
/// on whom; and of a hundred that depend on others, how many do so within their part.
const HEAVIEST_PERCENT_MAX: u128 = 65;
const EXPLAINED_PERCENT_MIN: u32 = 60;

/// A group that was taken apart.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) group: u32,
    /// Part of each transaction of the block; `None` if it shares none, or is of another group.
    of: Vec<Option<u32>>,
    /// Of each part.
    counts: Vec<Counts>,
    /// No part has so much of the group that it is one chain.
    are_even: bool,
    /// Transactions that came upon what others of their part had written.
    explained: AtomicU32,
}

impl Parts {
    /// The parts of the group that is nearly the whole block; `None` if there is no such group, or
    /// it is known to be bound, or small, or if `goes_on` says no meanwhile.
    pub(super) fn of_block(
        plan: &Plan,
        txs: &[PreparedTx],
        goes_on: impl Fn() -> bool,
    ) -> Option<Self> {
        let groups = 0..plan.group_gas.len() as u32;
        let group = groups.into_iter().find(|group| plan.is_nearly_all(*group))?;
        let is_member = |index: &usize| plan.groups[*index] == Some(group);
        let members: Vec<usize> = (0..plan.groups.len()).filter(is_member).collect();
        if members.len() < TXS_MIN || plan.is_bound[group as usize] {
            return None;
        }
        let parties = |index: usize| parties(&txs[index]).chain(txs[index].payee());
        // Of each party: how many transactions have it, the last of them, and the first. Each is
        // looked up once: whom the members name is kept by its place.
        let mut seen: Vec<(usize, usize, u32)> = Vec::with_capacity(2 * members.len());
        let mut places: AddressMap<usize> = AddressMap::default();
        places.reserve(2 * members.len());
        let mut named: Vec<(u32, usize)> = Vec::with_capacity(3 * members.len());
        for (number, index) in (0_u32..).zip(&members) {
            if !goes_on() {
                return None;
            }
            for party in parties(*index) {
                let place = *places.entry(party).or_insert(seen.len());
                match seen.get_mut(place) {
                    None => seen.push((1, *index, number)),
                    Some((count, last, _)) => {
                        *count += usize::from(*last != *index);
                        *last = *index;
                    }
                }
                named.push((number, place));
            }
        }
        let tied_max = members.len() * TIED_PERCENT_MAX / 100;
        let mut sets = Sets::new(members.len());
        for (number, place) in named {
            let (count, _, first) = seen[place];
            if (2..=tied_max).contains(&count) {
                sets.join(number, first);
            }
        }
        let mut sizes = vec![0_u32; members.len()];
        let found: Vec<u32> = (0..members.len() as u32).map(|number| sets.find(number)).collect();
        found.iter().for_each(|set| sizes[*set as usize] += 1);
        let mut numbers: Vec<Option<u32>> = vec![None; members.len()];
        let (mut of, mut counts) = (vec![None; txs.len()], Vec::new());
        let mut gas: Vec<u64> = Vec::new();
        for (index, set) in members.iter().zip(found) {
            let txs = sizes[set as usize];
            if txs < 2 {
                continue;
            }
            let part = *numbers[set as usize].get_or_insert_with(|| {
                counts.push(Counts { txs, ..Counts::new(false) });
                gas.push(0);
                gas.len() as u32 - 1
            });
            of[*index] = Some(part);
            gas[part as usize] = gas[part as usize].saturating_add(plan.gas[*index]);
        }
        let heaviest = u128::from(gas.into_iter().max().unwrap_or_default());
        let all = u128::from(plan.group_gas[group as usize]);
        let are_even = heaviest * 100 <= all * HEAVIEST_PERCENT_MAX;
        Some(Self { group, of, counts, are_even, explained: AtomicU32::new(0) })
    }

    /// The part of a transaction.
    pub(super) fn part_of(&self, index: usize) -> Option<usize> {
        self.of.get(index).copied().flatten().map(|part| part as usize)
    }

    pub(super) fn counts(&self, part: usize) -> &Counts {
        &self.counts[part]
    }

    /// Notes that a transaction ran, and on whom it depends.
    pub(super) fn note(&self, index: usize, depends: bool, dependence: &Dependence) {
        let Some(part) = self.part_of(index) else { return };
        self.counts[part].ran.fetch_add(Ran::one(depends, false), Ordering::Relaxed);
        let mut writers = dependence.writers.iter();
        if depends && writers.any(|writer| self.part_of(writer as usize) == Some(part)) {
            self.explained.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether parts tell who depends on whom in the group, of which so many have run; and there
    /// are enough of them for more than one worker.
    pub(super) fn explain(&self, ran: Ran) -> bool {
        let explained = self.explained.load(Ordering::Relaxed);
        self.are_even && explained * 100 >= ran.depended * EXPLAINED_PERCENT_MIN
    }

    /// Whose each part is: those that are left, the heaviest first, each to the worker who has
    /// least so far. `left` is the gas of each transaction that is left, and 0 of others.
    pub(super) fn share_out(&self, workers: &[usize], left: impl Fn(usize) -> u64) -> Vec<usize> {
        let mut gas = vec![0_u64; self.counts.len()];
        for (index, part) in self.of.iter().enumerate() {
            if let Some(part) = part {
                let of_part = &mut gas[*part as usize];
                *of_part = of_part.saturating_add(left(index));
            }
        }
        let mut parts: Vec<usize> = (0..gas.len()).collect();
        parts.sort_by_key(|part| Reverse(gas[*part]));
        let mut loads = vec![0_u64; workers.len()];
        let mut owners = vec![usize::MAX; gas.len()];
        for part in parts {
            let least = (0..workers.len()).min_by_key(|place| loads[*place]);
            if let Some(place) = least {
                loads[place] = loads[place].saturating_add(gas[part]);
                owners[part] = workers[place];
            }
        }
        owners
    }
}

#[cfg(test)]
mod tests;
