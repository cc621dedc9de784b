//! What is to be kept together, and how heavy it is, before a block is begun.
//!
//! A transaction that was run before goes by its footprint: with those to which slots tie it. Any
//! other call goes by its callee, and by what earlier blocks have taught of that one:
//! * calls of which nothing is known are one group;
//! * so are those that depend on one another, and nobody takes them over if nearly all do;
//! * those that hardly depend on one another, unless they have a party in common, are split: tied
//!   by parties, they are as many groups as there are;
//! * callees of which one disturbs the other are one group;
//! * a payment whose sender another payment has paid before goes with that: it may spend the same;
//! * what stands between two calls of one sender to a contract that the block hardly calls, and
//!   close to them, goes with these: most likely they are there for what is between them.
//!
//! A few of the heaviest are begun *early*, before all others: whoever came upon one last would
//! have the other workers wait for it. They run without what precedes them in the block, so only
//! those are taken whose callee is known to depend on hardly anything there.
//!
//! *Parties* are the sender, and what looks like an address among the first words of the data:
//! whose balance a token changes.

use crate::{
    PreparedBlock,
    footprint::Kin,
    hints::{Calls, Habit, Hints, Partner},
    sets::Sets,
};
use fugue_evm::{PreparedTx, TagFilter, Target, tag};
use fugue_types::{Address, AddressMap, HashMap};
use std::{cmp::Reverse, collections::hash_map::Entry};

/// Words of the data that are looked at for parties: as many as a swap has whose path is an array.
const PARTY_WORDS: usize = 8;
/// Of a hundred calls of a callee, how many may depend on strangers for it to be split by parties.
const STRANGERS_PERCENT_MAX: u32 = 10;
/// Of a hundred calls of a callee, how many depend on others of it for it to be bound.
const BOUND_PERCENT_MIN: u32 = 80;
/// Share of disturbed ones from which on two callees are one group: each of these runs again, after
/// all lanes have ended.
const PARTNERS_PERCENT_MIN: u8 = 25;
/// The same where that group has more than the fair share of a worker.
const HEAVY_PARTNERS_PERCENT_MIN: u8 = 60;
/// The same where lanes listen: to be one group keeps them from running at the same time, and else
/// one of them hears of what the other has written, unless that one is late.
const HEARD_PARTNERS_PERCENT_MIN: u8 = 80;
/// Of a hundred gas, how much is one chain for lanes not to pay: on two threads they would gain
/// less than settling takes.
const CHAIN_PERCENT_MIN: u128 = 80;
/// Calls that the block has of a callee for two of them to enclose others, at most, and how far
/// apart these two are.
const ENCLOSING_MAX: u32 = 4;
const ENCLOSED_MAX: usize = 5;
/// One such part of the fair share of a worker is enough for a transaction to be begun early: one
/// that is begun last leaves the other workers idle for half of that on average.
const EARLY_PARTS: u64 = 8;
/// Work of a transaction that is begun early, in gas, at least: some hundred microseconds. Beside
/// that a lane of its own costs little.
const EARLY_GAS_MIN: u64 = 500_000;
/// Transactions for each worker that are begun early, at most.
const EARLY_MAX: usize = 2;
/// Of a hundred calls of a callee, how many may depend on others of it for one to be begun early.
const EARLY_DEPENDED_PERCENT_MAX: u32 = 10;

/// Groups and weights of the transactions of a block.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Callees of the block, each once.
    pub(super) callees: AddressMap<u32>,
    /// Of each transaction; `None` if it is no call.
    pub(super) callee_of: Vec<Option<u32>>,
    /// Group of each transaction, numbered by its first one; `None` if it belongs to nobody.
    pub(super) groups: Vec<Option<u32>>,
    /// Work that each transaction is likely to be: gas that it uses, and as much more as it takes
    /// longer than that.
    pub(super) gas: Vec<u64>,
    /// Of each group.
    pub(super) group_gas: Vec<u64>,
    /// Groups whose transactions are known to depend on one another.
    pub(super) is_bound: Vec<bool>,
    /// Transactions that are begun before all others, each by itself; the heaviest first.
    pub(super) early: Vec<usize>,
    total_gas: u64,
    /// Most gas of transactions that are likely to run one after the other, however many threads
    /// there are.
    chain_gas: u64,
}

/// Whether lanes hear of what others have written while they run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hearing {
    /// Nothing is heard.
    Nothing,
    /// The slots that others have changed so far.
    Slots,
}

impl Hearing {
    /// From what share on two callees are one group that is more than a worker's fair share.
    const fn heavy_partners_percent(self) -> u8 {
        match self {
            Self::Nothing => HEAVY_PARTNERS_PERCENT_MIN,
            Self::Slots => HEARD_PARTNERS_PERCENT_MIN,
        }
    }
}

/// What a callee's transactions are placed by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Placing {
    /// All in this set.
    Whole(u32),
    /// By their parties.
    Split,
}

/// A callee of the block.
#[derive(Debug, Clone, Copy)]
struct Callee<'h> {
    /// What is known of it.
    habit: Option<&'h Habit>,
    /// Calls that the block has of it.
    count: u32,
    placing: Placing,
    is_bound: bool,
}

impl Callee<'_> {
    /// Whether it is known that its transactions depend on hardly any other one, of these callees.
    fn is_free(&self, callees: &AddressMap<u32>) -> bool {
        let Some(habit) = self.habit else { return false };
        let is_met = |partner: &Partner| {
            partner.percent >= PARTNERS_PERCENT_MIN && callees.contains_key(&partner.callee)
        };
        let depended = habit.depended_percent();
        let rarely = depended.is_some_and(|percent| percent <= EARLY_DEPENDED_PERCENT_MAX);
        (self.count == 1 || rarely) && !habit.partners().any(is_met)
    }
}

impl Plan {
    /// The plan of a block for so many workers.
    pub(super) fn new(
        prepared: &PreparedBlock,
        hints: &Hints,
        workers: usize,
        hearing: Hearing,
    ) -> Self {
        let PreparedBlock { txs, foreseen_gas, kin, .. } = prepared;
        Self::hearing(txs, foreseen_gas, kin, hints, workers, hearing)
    }

    /// Where nothing is heard.
    #[cfg(test)]
    pub(super) fn of(
        txs: &[PreparedTx],
        foreseen_gas: &[Option<u64>],
        kin: &Kin,
        hints: &Hints,
        workers: usize,
    ) -> Self {
        Self::hearing(txs, foreseen_gas, kin, hints, workers, Hearing::Nothing)
    }

    fn hearing(
        txs: &[PreparedTx],
        foreseen_gas: &[Option<u64>],
        kin: &Kin,
        hints: &Hints,
        workers: usize,
        hearing: Hearing,
    ) -> Self {
        let mut calls = Calls::new(hints, txs.len());
        let mut gas: Vec<u64> = Vec::with_capacity(txs.len());
        let mut callee_of: Vec<Option<u32>> = Vec::with_capacity(txs.len());
        let mut is_known: Vec<bool> = Vec::with_capacity(txs.len());
        for (index, tx) in txs.iter().enumerate() {
            let (callee, likely) = calls.look_up(tx, foreseen_gas.get(index).copied().flatten());
            gas.push(likely.work());
            callee_of.push(callee);
            is_known.push(likely.is_known);
        }
        let mut placer = Placer::new(hints, &calls, txs.len());
        let callees = calls.into_numbers();
        let place =
            |(index, tx): (usize, &PreparedTx)| placer.place(index, tx, callee_of[index], kin);
        let mut sets: Vec<Option<u32>> = txs.iter().enumerate().map(place).collect();
        placer.enclose(txs, &callee_of, kin, &mut sets);
        placer.follow(txs, &mut sets);
        let total_gas = sum(gas.iter().copied());
        let fair = total_gas / (workers as u64).max(1);
        placer.join_partners(&callees, &sets, &gas, fair, hearing.heavy_partners_percent());
        let Placer { known, mut joined, .. } = placer;
        // Sets become groups, numbered by their first transaction.
        let mut numbers: Vec<Option<u32>> = vec![None; joined.len()];
        let (mut group_gas, mut bound_gas) = (Vec::<u64>::new(), Vec::<u64>::new());
        let mut is_tied: Vec<bool> = Vec::new();
        let mut group_of = |(index, set): (usize, &Option<u32>)| -> Option<u32> {
            let number = &mut numbers[joined.find((*set)?) as usize];
            let group = *number.get_or_insert_with(|| {
                group_gas.push(0);
                bound_gas.push(0);
                is_tied.push(false);
                group_gas.len() as u32 - 1
            });
            let gas = gas[index];
            let of_group = &mut group_gas[group as usize];
            *of_group = of_group.saturating_add(gas);
            let first = kin.firsts.get(index).copied().flatten();
            is_tied[group as usize] |= first.is_some_and(|first| first as usize != index);
            let callee = callee_of[index].map(|callee| known[callee as usize]);
            if callee.is_some_and(|callee| callee.is_bound) {
                let bound = &mut bound_gas[group as usize];
                *bound = bound.saturating_add(gas);
            }
            Some(group)
        };
        let groups: Vec<Option<u32>> = sets.iter().enumerate().map(&mut group_of).collect();
        let bound = group_gas.iter().zip(&bound_gas).map(|(gas, bound)| *bound > gas / 2);
        let is_bound = bound.zip(&is_tied).map(|(is_bound, is_tied)| is_bound || *is_tied);
        let is_bound: Vec<bool> = is_bound.collect();
        let chain_gas = bound_gas.iter().copied().max().unwrap_or_default().max(kin.chain_gas);
        let is_heavy = |index: &usize| gas[*index] > EARLY_GAS_MIN.max(fair / EARLY_PARTS);
        let is_free = |index: &usize| {
            is_known[*index]
                && callee_of[*index].is_some_and(|callee| known[callee as usize].is_free(&callees))
                && groups[*index].is_some_and(|group| !is_bound[group as usize])
        };
        let mut early: Vec<usize> = Vec::new();
        if workers > 1 {
            early.extend((0..txs.len()).filter(|index| is_heavy(index) && is_free(index)));
            early.sort_by_key(|index| Reverse(gas[*index]));
            early.truncate(workers * EARLY_MAX);
        }
        Self { callees, callee_of, groups, gas, group_gas, is_bound, early, total_gas, chain_gas }
    }

    /// Whether nearly all of the block is likely to be one chain.
    pub(crate) fn is_one_chain(&self) -> bool {
        let Self { total_gas, chain_gas, .. } = *self;
        chain_gas > 0 && u128::from(chain_gas) * 100 >= u128::from(total_gas) * CHAIN_PERCENT_MIN
    }

    /// Whether a group is nearly all of the block.
    pub(super) fn is_nearly_all(&self, group: u32) -> bool {
        let gas = u128::from(self.group_gas[group as usize]);
        gas * 100 >= u128::from(self.total_gas) * CHAIN_PERCENT_MIN
    }

    /// That the block is one chain was acted upon, and nobody will see whether it was right.
    pub(crate) fn doubt(&self, hints: &mut Hints) {
        for callee in self.callees.keys() {
            hints.doubt(callee);
        }
    }

    /// As it is where nothing is known.
    #[cfg(test)]
    pub(super) fn cold(txs: &[PreparedTx], workers: usize) -> Self {
        Self::of(txs, &[], &Kin::default(), &Hints::default(), workers)
    }
}

/// Puts transactions into sets.
struct Placer<'h> {
    /// Of each callee.
    known: Vec<Callee<'h>>,
    joined: Sets,
    /// Sets of those that are tied by footprints, by the first of them.
    kin: HashMap<u32, u32>,
    /// Sets by callee and party.
    parties: HashMap<(u32, Address), u32>,
}

impl<'h> Placer<'h> {
    fn new(hints: &'h Hints, calls: &Calls<'_>, tx_count: usize) -> Self {
        let mut known = Vec::with_capacity(calls.callees().count());
        let mut joined = Sets::with_room(known.capacity() + tx_count);
        let mut split_count = 0;
        for (callee, count) in calls.callees() {
            let habit = hints.habit(callee);
            let strangers = habit.and_then(Habit::strangers_percent);
            let depended = habit.and_then(Habit::depended_percent);
            let placing = match strangers {
                Some(..=STRANGERS_PERCENT_MAX) => Placing::Split,
                _ => Placing::Whole(joined.add()),
            };
            if placing == Placing::Split && count > 1 {
                split_count += count as usize;
            }
            let is_bound = depended.is_some_and(|percent| percent >= BOUND_PERCENT_MIN);
            known.push(Callee { habit, count, placing, is_bound });
        }
        let mut parties: HashMap<(u32, Address), u32> = HashMap::default();
        // The sender and one more, mostly.
        parties.reserve(2 * split_count);
        Self { known, joined, kin: HashMap::default(), parties }
    }

    /// The set of the next transaction; `None` for one that belongs to nobody.
    fn place(
        &mut self,
        index: usize,
        tx: &PreparedTx,
        callee: Option<u32>,
        kin: &Kin,
    ) -> Option<u32> {
        if callee.is_none() && tx.target() == Target::Payment {
            return None;
        }
        if let Some(first) = kin.firsts.get(index).copied().flatten() {
            let joined = &mut self.joined;
            return Some(*self.kin.entry(first).or_insert_with(|| joined.add()));
        }
        let Some(callee) = callee else { return Some(self.joined.add()) };
        let Callee { placing, count, .. } = self.known[callee as usize];
        match placing {
            Placing::Whole(set) => Some(set),
            // Nobody else could have a party in common.
            Placing::Split if count == 1 => Some(self.joined.add()),
            Placing::Split => {
                let set = self.joined.add();
                for party in parties(tx) {
                    match self.parties.entry((callee, party)) {
                        Entry::Occupied(other) => self.joined.join(set, *other.get()),
                        Entry::Vacant(vacant) => {
                            vacant.insert(set);
                        }
                    }
                }
                Some(set)
            }
        }
    }

    /// Puts calls that are enclosed into the set of those that enclose them. Enclosures that follow
    /// one another are one.
    fn enclose(
        &mut self,
        txs: &[PreparedTx],
        callee_of: &[Option<u32>],
        kin: &Kin,
        sets: &mut [Option<u32>],
    ) {
        let Self { known, joined, .. } = self;
        let mut last: Vec<Option<usize>> = vec![None; known.len()];
        // Where the enclosure before ends, and its set.
        let mut before: Option<(usize, u32)> = None;
        for (index, callee) in callee_of.iter().enumerate() {
            let Some(callee) = callee.map(|callee| callee as usize) else { continue };
            if known[callee].count > ENCLOSING_MAX {
                continue;
            }
            let (Some(first), Some(set)) = (last[callee].replace(index), sets[index]) else {
                continue;
            };
            let is_close = (2..=ENCLOSED_MAX).contains(&(index - first));
            if !is_close || txs[first].sender() != txs[index].sender() {
                continue;
            }
            for (enclosed, place) in sets.iter_mut().enumerate().take(index).skip(first + 1) {
                // Whose footprint is known goes by that, and who belongs to nobody still does.
                let has_kin = kin.firsts.get(enclosed).is_some_and(Option::is_some);
                if place.is_some() && !has_kin {
                    *place = Some(set);
                }
            }
            if let Some((_, other)) = before.filter(|(end, _)| first <= end + 1) {
                joined.join(set, other);
            }
            before = Some((index, set));
        }
    }

    /// Puts payments into the set of the one before them that has paid their sender last.
    fn follow(&mut self, txs: &[PreparedTx], sets: &mut [Option<u32>]) {
        let (mut senders, mut payees) = (TagFilter::default(), TagFilter::default());
        let payments =
            || txs.iter().enumerate().filter_map(|(index, tx)| Some((index, tx, tx.payee()?)));
        payments().for_each(|(_, tx, _)| senders.add(tag(&tx.sender())));
        let mut paid: HashMap<Address, usize> = HashMap::default();
        for (index, tx, payee) in payments() {
            if payees.passes(tag(&tx.sender()))
                && let Some(before) = paid.get(&tx.sender()).copied()
            {
                let set = *sets[before].get_or_insert_with(|| self.joined.add());
                match sets[index] {
                    Some(other) => self.joined.join(set, other),
                    None => sets[index] = Some(set),
                }
            }
            // Of most nobody asks.
            if senders.passes(tag(&payee)) {
                payees.add(tag(&payee));
                paid.insert(payee, index);
            }
        }
    }

    /// Joins the sets of callees that disturb one another, those first that do it most. `fair` is
    /// the gas that each worker has if all have as much; who has more together is joined from the
    /// share `heavy_percent` on.
    fn join_partners(
        &mut self,
        callees: &AddressMap<u32>,
        sets: &[Option<u32>],
        gas: &[u64],
        fair: u64,
        heavy_percent: u8,
    ) {
        let Self { known, joined, .. } = self;
        let mut pairs: Vec<(u8, u32, u32)> = Vec::new();
        for callee in known.iter() {
            let Placing::Whole(one) = callee.placing else { continue };
            let Some(habit) = callee.habit else { continue };
            for partner in habit.partners() {
                if partner.percent >= PARTNERS_PERCENT_MIN
                    && let Some(other) = callees.get(&partner.callee)
                    && let Placing::Whole(other) = known[*other as usize].placing
                {
                    pairs.push((partner.percent, one.min(other), one.max(other)));
                }
            }
        }
        if pairs.is_empty() {
            return;
        }
        pairs.sort_unstable_by_key(|(percent, one, other)| (Reverse(*percent), *one, *other));
        let mut set_gas = vec![0_u64; joined.len()];
        for (set, gas) in sets.iter().zip(gas) {
            if let Some(set) = set {
                let of_set = &mut set_gas[joined.find(*set) as usize];
                *of_set = of_set.saturating_add(*gas);
            }
        }
        for (percent, one, other) in pairs {
            let (one, other) = (joined.find(one), joined.find(other));
            if one == other {
                continue;
            }
            let both = set_gas[one as usize].saturating_add(set_gas[other as usize]);
            if both <= fair || percent >= heavy_percent {
                joined.join(one, other);
                set_gas[joined.find(one) as usize] = both;
            }
        }
    }
}

/// Whose balance or allowance a transaction may change, as far as it says itself.
pub(super) fn parties(tx: &PreparedTx) -> impl Iterator<Item = Address> {
    let words = tx.input().get(4..).unwrap_or_default().chunks_exact(32).take(PARTY_WORDS);
    let addresses = words.filter_map(|word| {
        let (head, address) = word.split_at(12);
        // Amounts have no more than 16 bytes, mostly.
        let is_address = head.iter().all(|byte| *byte == 0) && address[..4] != [0; 4];
        is_address.then(|| Address::from_slice(address))
    });
    std::iter::once(tx.sender()).chain(addresses)
}

fn sum(gas: impl Iterator<Item = u64>) -> u64 {
    gas.fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests;
