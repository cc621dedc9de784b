//! What is to be kept together, and how heavy it is, before a block is begun.
//!
//! A transaction that was run before goes by its footprint: with those to which slots tie it. Any
//! other call goes by its callee, and by what earlier blocks have taught of that one:
//! * calls of which nothing is known are one group;
//! * so are those that depend on one another, and nobody takes them over if nearly all do;
//! * those that hardly depend on one another, unless they have a party in common, are split: tied
//!   by parties, they are as many groups as there are;
//! * callees of which one disturbs the other are one group.
//!
//! *Parties* are the sender, and what looks like an address among the first words of the data:
//! whose balance a token changes.

use crate::{PreparedBlock, footprint::Kin, hints::Hints, sets::Sets};
use fugue_evm::{PreparedTx, Target};
use fugue_types::{Address, AddressMap, HashMap};
use std::{cmp::Reverse, collections::hash_map::Entry};

/// Words of the data that are looked at for parties: as many as the calls of tokens have.
const PARTY_WORDS: usize = 4;
/// Of a hundred calls of a callee, how many may depend on strangers for it to be split by parties.
const STRANGERS_PERCENT_MAX: u32 = 10;
/// Of a hundred calls of a callee, how many depend on others of it for it to be bound.
const BOUND_PERCENT_MIN: u32 = 80;
/// Share of disturbed ones from which on two callees are one group: each of these runs again, after
/// all lanes have ended.
const PARTNERS_PERCENT_MIN: u8 = 25;
/// The same where that group has more than the fair share of a worker.
const HEAVY_PARTNERS_PERCENT_MIN: u8 = 60;
/// Of a hundred gas, how much is one chain for lanes not to pay: on two threads they would gain
/// less than settling takes.
const CHAIN_PERCENT_MIN: u128 = 80;

/// Groups and weights of the transactions of a block.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Callees of the block, each once.
    pub(super) callees: AddressMap<u32>,
    /// Of each transaction; `None` if it is no call.
    pub(super) callee_of: Vec<Option<u32>>,
    /// Group of each transaction, numbered by its first one; `None` if it belongs to nobody.
    pub(super) groups: Vec<Option<u32>>,
    /// Gas that each transaction is likely to use.
    pub(super) gas: Vec<u64>,
    /// Of each group.
    pub(super) group_gas: Vec<u64>,
    /// Groups whose transactions are known to depend on one another.
    pub(super) is_bound: Vec<bool>,
    total_gas: u64,
    /// Most gas of transactions that are likely to run one after the other, however many threads
    /// there are.
    chain_gas: u64,
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
struct Callee {
    placing: Placing,
    is_bound: bool,
}

impl Plan {
    /// The plan of a block for so many workers.
    pub(crate) fn new(prepared: &PreparedBlock, hints: &Hints, workers: usize) -> Self {
        let PreparedBlock { txs, foreseen_gas, kin, .. } = prepared;
        Self::of(txs, foreseen_gas, kin, hints, workers)
    }

    pub(super) fn of(
        txs: &[PreparedTx],
        foreseen_gas: &[Option<u64>],
        kin: &Kin,
        hints: &Hints,
        workers: usize,
    ) -> Self {
        let gas_of = |(index, tx): (usize, &PreparedTx)| {
            let foreseen = foreseen_gas.get(index).copied().flatten();
            foreseen.map_or_else(|| hints.gas_of(tx), |gas| gas.min(tx.gas_limit()))
        };
        let gas: Vec<u64> = txs.iter().enumerate().map(gas_of).collect();
        let mut placer = Placer::new(hints);
        let sets: Vec<Option<u32>> =
            txs.iter().enumerate().map(|(index, tx)| placer.place(index, tx, kin)).collect();
        let total_gas = sum(gas.iter().copied());
        placer.join_partners(&sets, &gas, total_gas / (workers as u64).max(1));
        let Placer { callees, known, callee_of, mut joined, .. } = placer;
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
        Self { callees, callee_of, groups, gas, group_gas, is_bound, total_gas, chain_gas }
    }

    /// Whether nearly all of the block is likely to be one chain.
    pub(crate) fn is_one_chain(&self) -> bool {
        let Self { total_gas, chain_gas, .. } = *self;
        chain_gas > 0 && u128::from(chain_gas) * 100 >= u128::from(total_gas) * CHAIN_PERCENT_MIN
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
    hints: &'h Hints,
    callees: AddressMap<u32>,
    /// Of each callee.
    known: Vec<Callee>,
    callee_of: Vec<Option<u32>>,
    joined: Sets,
    /// Sets of those that are tied by footprints, by the first of them.
    kin: HashMap<u32, u32>,
    /// Sets by callee and party.
    parties: HashMap<(u32, Address), u32>,
}

impl<'h> Placer<'h> {
    fn new(hints: &'h Hints) -> Self {
        Self {
            hints,
            callees: AddressMap::default(),
            known: Vec::new(),
            callee_of: Vec::new(),
            joined: Sets::new(0),
            kin: HashMap::default(),
            parties: HashMap::default(),
        }
    }

    /// The set of the next transaction; `None` for one that belongs to nobody.
    fn place(&mut self, index: usize, tx: &PreparedTx, kin: &Kin) -> Option<u32> {
        let target = tx.target();
        let callee = match target {
            Target::Call(callee) => Some(self.callee(callee)),
            Target::Creation | Target::Payment => None,
        };
        self.callee_of.push(callee);
        if target == Target::Payment {
            return None;
        }
        if let Some(first) = kin.firsts.get(index).copied().flatten() {
            let joined = &mut self.joined;
            return Some(*self.kin.entry(first).or_insert_with(|| joined.add()));
        }
        let Some(callee) = callee else { return Some(self.joined.add()) };
        match self.known[callee as usize].placing {
            Placing::Whole(set) => Some(set),
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

    /// The number of a callee.
    fn callee(&mut self, callee: Address) -> u32 {
        let Self { hints, callees, known, joined, .. } = self;
        *callees.entry(callee).or_insert_with(|| {
            let habit = hints.habit(&callee);
            let strangers = habit.and_then(|habit| habit.strangers_percent());
            let depended = habit.and_then(|habit| habit.depended_percent());
            let placing = match strangers {
                Some(..=STRANGERS_PERCENT_MAX) => Placing::Split,
                _ => Placing::Whole(joined.add()),
            };
            let is_bound = depended.is_some_and(|percent| percent >= BOUND_PERCENT_MIN);
            known.push(Callee { placing, is_bound });
            known.len() as u32 - 1
        })
    }

    /// Joins the sets of callees that disturb one another, those first that do it most. `fair` is
    /// the gas that each worker has if all have as much.
    fn join_partners(&mut self, sets: &[Option<u32>], gas: &[u64], fair: u64) {
        let Self { hints, callees, known, joined, .. } = self;
        let mut pairs: Vec<(u8, u32, u32)> = Vec::new();
        for (callee, number) in callees.iter() {
            let Placing::Whole(one) = known[*number as usize].placing else { continue };
            let Some(habit) = hints.habit(callee) else { continue };
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
            if both <= fair || percent >= HEAVY_PARTNERS_PERCENT_MIN {
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
