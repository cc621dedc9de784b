//! Why a block takes as long as it does: which transactions have to wait for which, and for what.
//!
//! Terms:
//! * a *conflict* is a field that a transaction reads and an earlier one has changed, with the
//!   latest of those; who changes a field has read it, and so waits for whoever changed it before,
//!   but for what is added up;
//! * a *dependency* is a pair of transactions with all conflicts between them;
//! * a *path* is a row of transactions each of which depends on the one before. The *critical* path
//!   is the one that takes longest: no number of cores runs the block faster where each transaction
//!   begins when those that it depends on have ended. A mode may be faster: a transaction that
//!   comes late to a value runs beside the one that writes it; one may guess a value that comes
//!   true, or have it from an access list.
//!
//! What is added up is no conflict: a balance that is paid into or out of, as long as nobody sees
//! more of it than that it suffices; and a nonce for who does not count it up. So it is with fees.
//! Nor is the nonce of a sender, which its transaction names: lanes run those of one sender side by
//! side.
//! A transaction that sees the balance of the fee recipient waits for all before it that have paid
//! a fee; one that sees another balance, as far as is told here, for the latest that changed it.
//! Who reads an account waits for its code, even if it asks for nothing but the balance.
//! Modes may wait for more than that: `occ` compares accounts as a whole.
//!
//! Everything here is a function of what was read and written, of gas and of times.

mod profile;
mod schedule;

use crate::{Field, Location, StateField, TxAccess};
use fugue_types::{Address, HashMap};
use std::{cmp::Reverse, collections::BTreeMap};

pub use profile::{ContractProfile, FieldShare};
pub use schedule::{Order, Schedule};

/// Fields of most conflicts that are told, at most.
const HOTTEST_MAX: usize = 32;
/// Senders of several transactions that are told, at most.
const SENDERS_MAX: usize = 32;
/// Cores for which a block is scheduled.
const CORES: [usize; 4] = [2, 4, 8, 16];
/// What the read of an account may have looked at.
const ACCOUNT_FIELDS: &[Field] = &[Field::Nonce, Field::Balance, Field::Code];

/// Why a transaction depends on another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConflictCause {
    /// It reads what the other one has changed.
    State,
    /// One account sent both, and its nonce or balance goes from one to the other.
    Sender,
    /// It sees the balance of the fee recipient, which the other one has changed.
    FeeRecipient,
}

/// A field that a transaction reads and an earlier one has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conflict {
    /// The field.
    pub field: StateField,
    /// What kind of conflict it is.
    pub cause: ConflictCause,
}

/// All conflicts of a transaction with an earlier one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    /// Index of the earlier transaction.
    pub on: usize,
    /// At least one, each field once, in the order in which they were read.
    pub conflicts: Vec<Conflict>,
}

/// A transaction of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathStep {
    /// Its index in the block.
    pub index: usize,
    /// Its conflicts with the one before it on the path; none of the first.
    pub conflicts: Vec<Conflict>,
}

/// The path that takes longest, in gas or in nanoseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CriticalPath {
    /// Of all transactions of the block.
    pub total: u64,
    /// Of those on the path.
    pub length: u64,
    /// In block order.
    pub steps: Vec<PathStep>,
}

/// A field with many conflicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HotField {
    /// The field.
    pub field: StateField,
    /// Pairs of a transaction that reads it, and the latest one before it that changed it.
    pub pairs: usize,
}

/// An account that sent several transactions of the block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderChain {
    /// The account.
    pub sender: Address,
    /// How many; at least two.
    pub txs: usize,
    /// Gas of all of them.
    pub gas_used: u64,
}

/// Why a block takes as long as it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// Of each transaction, those that it depends on, ascending.
    pub dependencies: Vec<Vec<Dependency>>,
    /// The critical path in gas.
    pub gas: CriticalPath,
    /// The critical path in nanoseconds of a sequential run.
    pub time: CriticalPath,
    /// How long the block takes on 2, 4, 8 and 16 cores, in gas.
    pub schedules: [Schedule; 4],
    /// The fields of most conflicts with [`ConflictCause::State`], most first, up to 32.
    pub hottest: Vec<HotField>,
    /// Accounts that sent several transactions, most gas first, up to 32.
    pub senders: Vec<SenderChain>,
    /// Transactions that paid a fee without looking at the fee recipient's account.
    pub fee_credits: usize,
    /// Transactions that saw its balance, ascending.
    pub fee_readers: Vec<usize>,
}

/// What an execution takes for a conflict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Balances {
    /// Balances are values: who reads an account waits for whoever has changed any of its fields.
    Exact,
    /// Balances are sums, in which credits and debits commute, fees included: they are no
    /// conflicts but for who sees more of one than that it suffices. A nonce is one for who counts
    /// it up, too, which is the order of a sender's transactions. That what is paid is there, and
    /// an account that is paid, is taken for granted.
    Lazy,
    /// As [`Balances::Lazy`], and the nonce of a sender is no conflict of its transactions, which
    /// name it.
    Least,
}

/// Who waits for whom in a block.
#[derive(Debug)]
pub struct ConflictGraph<'t> {
    txs: &'t [TxAccess],
    fee_recipient: Address,
    /// As in [`Explanation`].
    dependencies: Vec<Vec<Dependency>>,
    /// Whether it waits for all fees before it: it looks at the fee recipient, or sees its balance.
    reads_fees: Vec<bool>,
}

impl Explanation {
    /// What the accesses of the transactions of a block say, in block order.
    pub fn of(txs: &[TxAccess], fee_recipient: Address) -> Self {
        let graph = ConflictGraph::new(txs, fee_recipient, Balances::Least);
        let gas = graph.critical_path(|tx| tx.gas_used);
        let time = graph.critical_path(|tx| tx.nanos);
        let weights: Vec<u64> = txs.iter().map(|tx| tx.gas_used).collect();
        let schedules = CORES.map(|cores| graph.schedule(cores, Order::Block, &weights));
        let ConflictGraph { dependencies, reads_fees, .. } = graph;
        let fee_readers = reads_fees.iter().enumerate().filter(|(_, reads)| **reads);
        Self {
            hottest: hottest(&dependencies),
            dependencies,
            gas,
            time,
            schedules,
            senders: senders(txs),
            fee_credits: txs.iter().filter(|tx| tx.credits).count(),
            fee_readers: fee_readers.map(|(index, _)| index).collect(),
        }
    }
}

impl CriticalPath {
    /// How many times faster than one core any number of cores runs the block, at best, if each
    /// transaction begins when those that it depends on have ended.
    pub fn speed_up(&self) -> f64 {
        speed_up(self.total, self.length)
    }
}

/// Of a block that takes `length` in place of `total`; 1 for one that takes nothing.
fn speed_up(total: u64, length: u64) -> f64 {
    if length == 0 { 1.0 } else { total as f64 / length as f64 }
}

impl Balances {
    /// Whether a transaction that reads a field waits for who has changed it.
    fn are_waited_for(self, reader: &TxAccess, field: &StateField) -> bool {
        match (self, field.field) {
            (Self::Exact, _) | (Self::Lazy | Self::Least, Field::Code | Field::Slot(_)) => true,
            (Self::Lazy | Self::Least, Field::Balance) => reader.sees.contains(&field.address),
            (Self::Least, Field::Nonce) if field.address == reader.sender => false,
            (Self::Lazy | Self::Least, Field::Nonce) => reader.writes.contains(field),
        }
    }
}

impl<'t> ConflictGraph<'t> {
    /// Of what the transactions of a block read and wrote, in block order.
    pub fn new(txs: &'t [TxAccess], fee_recipient: Address, balances: Balances) -> Self {
        let mut writers: HashMap<StateField, usize> = HashMap::default();
        let mut dependencies: Vec<Vec<Dependency>> = Vec::with_capacity(txs.len());
        for (index, tx) in txs.iter().enumerate() {
            let mut found: BTreeMap<usize, Vec<Conflict>> = BTreeMap::new();
            for field in tx.reads.iter().flat_map(fields_of) {
                if let Some(on) = writers.get(&field).copied()
                    && balances.are_waited_for(tx, &field)
                {
                    let cause = cause_of(tx, &txs[on], field, fee_recipient);
                    found.entry(on).or_default().push(Conflict { field, cause });
                }
            }
            let found = found.into_iter().map(|(on, conflicts)| Dependency { on, conflicts });
            dependencies.push(found.collect());
            writers.extend(tx.writes.iter().map(|field| (*field, index)));
            if tx.credits {
                writers.insert(balance_of(fee_recipient), index);
            }
        }
        let looks = |tx: &TxAccess| match balances {
            Balances::Exact => tx.reads.contains(&(fee_recipient, None)),
            Balances::Lazy | Balances::Least => tx.sees.contains(&fee_recipient),
        };
        let reads_fees = txs.iter().map(looks).collect();
        Self { txs, fee_recipient, dependencies, reads_fees }
    }

    /// Of transactions none of which waits for another one, whatever they read and wrote: each has
    /// the state before it at hand, as by the access list of the block (EIP-7928).
    pub fn independent(txs: &'t [TxAccess], fee_recipient: Address) -> Self {
        let dependencies = vec![Vec::new(); txs.len()];
        Self { txs, fee_recipient, dependencies, reads_fees: vec![false; txs.len()] }
    }

    /// The path of most weight; of equals the one of the lower indices.
    fn critical_path(&self, weight: impl Fn(&TxAccess) -> u64) -> CriticalPath {
        let mut ends: Vec<u64> = Vec::with_capacity(self.txs.len());
        let mut befores: Vec<Option<usize>> = Vec::with_capacity(self.txs.len());
        let mut total = 0_u64;
        let mut last: Option<(u64, usize)> = None;
        let mut last_credit = None;
        for (index, tx) in self.txs.iter().enumerate() {
            let mut before = None;
            for dependency in &self.dependencies[index] {
                before = later(before, (ends[dependency.on], dependency.on));
            }
            if self.reads_fees[index]
                && let Some(credit) = last_credit
            {
                before = later(before, credit);
            }
            let weight = weight(tx);
            let end = before.map_or(0, |(end, _)| end).saturating_add(weight);
            total = total.saturating_add(weight);
            ends.push(end);
            befores.push(before.map(|(_, on)| on));
            last = later(last, (end, index));
            if tx.credits {
                last_credit = later(last_credit, (end, index));
            }
        }
        let mut steps = Vec::new();
        let mut next = last.map(|(_, index)| index);
        while let Some(index) = next {
            next = befores[index];
            let conflicts = next.map_or_else(Vec::new, |on| self.conflicts(index, on));
            steps.push(PathStep { index, conflicts });
        }
        steps.reverse();
        CriticalPath { total, length: last.map_or(0, |(end, _)| end), steps }
    }

    /// Why a transaction waits for another one.
    fn conflicts(&self, index: usize, on: usize) -> Vec<Conflict> {
        let found = self.dependencies[index].iter().find(|dependency| dependency.on == on);
        found.map_or_else(
            || {
                // It looks at the fee recipient, whom that one has paid, though not as the latest.
                let field = balance_of(self.fee_recipient);
                vec![Conflict { field, cause: ConflictCause::FeeRecipient }]
            },
            |dependency| dependency.conflicts.clone(),
        )
    }
}

/// The one that ends later; of equals the first.
fn later(one: Option<(u64, usize)>, other: (u64, usize)) -> Option<(u64, usize)> {
    Some(one.filter(|one| one.0 >= other.0).unwrap_or(other))
}

const fn balance_of(address: Address) -> StateField {
    StateField { address, field: Field::Balance }
}

/// What a read may have looked at.
fn fields_of(location: &Location) -> impl Iterator<Item = StateField> + use<> {
    let (address, slot) = *location;
    let account: &'static [Field] = if slot.is_some() { &[] } else { ACCOUNT_FIELDS };
    let fields = slot.map(Field::Slot).into_iter().chain(account.iter().copied());
    fields.map(move |field| StateField { address, field })
}

fn cause_of(
    reader: &TxAccess,
    writer: &TxAccess,
    field: StateField,
    fee_recipient: Address,
) -> ConflictCause {
    let StateField { address, field: which } = field;
    let is_counted = matches!(which, Field::Nonce | Field::Balance);
    if is_counted && address == reader.sender && address == writer.sender {
        ConflictCause::Sender
    } else if field == balance_of(fee_recipient) {
        ConflictCause::FeeRecipient
    } else {
        ConflictCause::State
    }
}

fn hottest(dependencies: &[Vec<Dependency>]) -> Vec<HotField> {
    let mut pairs: HashMap<StateField, usize> = HashMap::default();
    for Conflict { field, cause } in
        dependencies.iter().flatten().flat_map(|dependency| &dependency.conflicts)
    {
        if *cause == ConflictCause::State {
            *pairs.entry(*field).or_default() += 1;
        }
    }
    let mut hottest: Vec<HotField> =
        pairs.into_iter().map(|(field, pairs)| HotField { field, pairs }).collect();
    hottest.sort_unstable_by_key(|hot| (Reverse(hot.pairs), hot.field));
    hottest.truncate(HOTTEST_MAX);
    hottest
}

fn senders(txs: &[TxAccess]) -> Vec<SenderChain> {
    let mut sent: HashMap<Address, (usize, u64)> = HashMap::default();
    for tx in txs {
        let (count, gas) = sent.entry(tx.sender).or_default();
        *count += 1;
        *gas = gas.saturating_add(tx.gas_used);
    }
    let several = sent.into_iter().filter(|(_, (count, _))| *count > 1);
    let mut senders: Vec<SenderChain> =
        several.map(|(sender, (txs, gas_used))| SenderChain { sender, txs, gas_used }).collect();
    senders.sort_unstable_by_key(|chain| (Reverse(chain.gas_used), chain.sender));
    senders.truncate(SENDERS_MAX);
    senders
}

#[cfg(test)]
mod tests;
