//! What transactions read and write when they are run before any block has them.
//!
//! A guess, and never more: a block in which they are may hold others before them. It orders what
//! runs ahead, and names what is worth having in memory; no answer depends on it.

use crate::BlockError;
use fugue_chainspec::Rules;
use fugue_evm::{CodeCache, FeePayment, Kernel, PreparedTx, ReadLog, ViewReader};
use fugue_state::{AccountDiff, Layer, Overlay, StateDiff, StateView};
use fugue_types::{Address, Header, Transaction, U256};

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
