//! What transactions read and write when they are run before any block has them.
//!
//! A guess, and never more: a block in which they are may hold others before them. It orders what
//! runs ahead, and names what is worth having in memory; no answer depends on it.

use crate::{BlockError, sets::Sets};
use fugue_chainspec::Rules;
use fugue_evm::{CodeCache, FeePayment, Kernel, PreparedTx, ReadLog, ViewReader};
use fugue_state::{AccountDiff, Layer, Overlay, StateDiff, StateView};
use fugue_types::{Address, HashMap, Header, Transaction, U256};
use std::sync::Arc;

/// Locations that a footprint keeps of what was read, and of what was written, at most. What looks
/// at more is likely to wait for somebody in any case.
const LOCATIONS_MAX: usize = 1_024;

/// An account, or a slot of it.
pub type Location = (Address, Option<U256>);

/// What a transaction read and wrote when it was run before any block had it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Footprint {
    reads: Vec<Location>,
    writes: Vec<Location>,
    gas_used: u64,
}

impl Footprint {
    fn new(reads: &ReadLog, diff: &StateDiff, gas_used: u64) -> Self {
        let ReadLog { accounts, slots, seen: _ } = reads;
        let accounts = accounts.iter().map(|(address, _)| (*address, None));
        let slots = slots.iter().map(|(address, slot, _)| (*address, Some(*slot)));
        let writes = diff.accounts.iter().flat_map(|change| {
            let AccountDiff { address, before, after, wiped: _, slots } = change;
            let account = (before != after).then_some((*address, None));
            account.into_iter().chain(slots.iter().map(|slot| (*address, Some(slot.slot))))
        });
        Self {
            reads: accounts.chain(slots).take(LOCATIONS_MAX).collect(),
            writes: writes.take(LOCATIONS_MAX).collect(),
            gas_used,
        }
    }

    /// What it read, each once.
    pub fn reads(&self) -> &[Location] {
        &self.reads
    }

    /// What it wrote, each once.
    pub fn writes(&self) -> &[Location] {
        &self.writes
    }

    /// Gas that it used.
    pub const fn gas_used(&self) -> u64 {
        self.gas_used
    }
}

/// What footprints tell of the transactions of a block together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Kin {
    /// For each transaction with a footprint the first one to which it is tied by slots that an
    /// earlier one wrote and a later one came upon, or itself.
    pub(crate) firsts: Vec<Option<u32>>,
    /// Most gas of transactions of which each comes upon what the one before it wrote.
    pub(crate) chain_gas: u64,
}

impl Kin {
    /// Footprints are in block order, with gaps. Accounts are left out: lanes make do with amounts.
    pub(crate) fn new(footprints: &[Option<Arc<Footprint>>]) -> Self {
        let mut sets = Sets::new(footprints.len());
        let mut chains = vec![0_u64; footprints.len()];
        let mut last_writer: HashMap<Location, usize> = HashMap::default();
        for (index, footprint) in footprints.iter().enumerate() {
            let Some(footprint) = footprint else { continue };
            let mut before = 0;
            for place in footprint.reads.iter().chain(&footprint.writes) {
                if let Some(writer) = last_writer.get(place) {
                    sets.join(index as u32, *writer as u32);
                    before = before.max(chains[*writer]);
                }
            }
            chains[index] = footprint.gas_used.saturating_add(before);
            let slots = footprint.writes.iter().filter(|(_, slot)| slot.is_some());
            last_writer.extend(slots.map(|slot| (*slot, index)));
        }
        let first = |(index, footprint): (usize, &Option<Arc<Footprint>>)| {
            footprint.as_ref().map(|_| sets.find(index as u32))
        };
        Self {
            firsts: footprints.iter().enumerate().map(first).collect(),
            chain_gas: chains.iter().copied().max().unwrap_or_default(),
        }
    }
}

/// See [`crate::Executor::preexecute`].
pub(crate) fn preexecute<'t>(
    header: &Header,
    rules: &Rules,
    codes: &CodeCache,
    view: &dyn StateView,
    layer: &mut Layer,
    txs: impl IntoIterator<Item = (&'t Transaction, Address)>,
    mut goes_on: impl FnMut() -> bool,
) -> Result<Vec<Option<Footprint>>, BlockError> {
    let reader = ViewReader(Overlay::over(view, std::mem::take(layer)));
    let mut kernel = Kernel::new(rules, header, codes, reader, FeePayment::Deferred);
    let mut footprints = Vec::new();
    for (tx, sender) in txs {
        if !goes_on() {
            break;
        }
        let executed = kernel.transact(&PreparedTx::new(tx, sender)?);
        let (diff, reads) = kernel.take();
        // Whatever stood in the way, a block that has the transaction will say it.
        footprints.push(match executed {
            Ok(executed) => {
                kernel.reader_mut().0.push(&diff)?;
                Some(Footprint::new(&reads, &diff, executed.result.gas.used))
            }
            Err(_) => None,
        });
    }
    *layer = kernel.into_reader().0.into_layer();
    Ok(footprints)
}

#[cfg(test)]
impl Footprint {
    /// One that read and wrote these.
    pub(crate) fn of(reads: &[Location], writes: &[Location], gas_used: u64) -> Self {
        Self { reads: reads.to_vec(), writes: writes.to_vec(), gas_used }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POOL: Address = Address::repeat_byte(0xc0);

    fn slot(number: u64) -> Location {
        (POOL, Some(U256::from(number)))
    }

    fn footprint(reads: &[Location], writes: &[Location]) -> Option<Arc<Footprint>> {
        Some(Arc::new(Footprint::of(reads, writes, 10)))
    }

    #[test]
    fn transactions_are_tied_by_slots_that_an_earlier_one_wrote() {
        let account = (POOL, None);
        let kin = Kin::new(&[
            footprint(&[slot(1)], &[slot(1), account]),
            footprint(&[slot(2), account], &[slot(2), account]),
            None,
            // Reads what nobody has written yet, then what two have.
            footprint(&[slot(3), slot(9)], &[slot(3)]),
            footprint(&[slot(1)], &[]),
            footprint(&[slot(4)], &[slot(4), slot(9)]),
            footprint(&[slot(4), slot(2)], &[]),
        ]);
        assert_eq!(kin.firsts, [Some(0), Some(1), None, Some(3), Some(0), Some(1), Some(1)]);
        assert_eq!(kin.chain_gas, 20);
        assert_eq!(Kin::new(&[]), Kin::default());
    }

    #[test]
    fn a_chain_is_as_long_as_what_comes_upon_one_another() {
        let one = || footprint(&[slot(1)], &[slot(1)]);
        let kin = Kin::new(&[one(), one(), footprint(&[], &[slot(2)]), one()]);
        assert_eq!(kin.firsts, [Some(0), Some(0), Some(2), Some(0)]);
        assert_eq!(kin.chain_gas, 30);
    }
}
