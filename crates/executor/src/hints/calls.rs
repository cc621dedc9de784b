//! The calls of one block: each callee, and what is known of each selector, is looked up once.

use super::{Call, Hints, Mean, selector};
use fugue_evm::{PreparedTx, Target};
use fugue_types::{Address, AddressMap};

/// Selectors of a callee that are looked through before the hints are asked again: they cost as
/// much as that.
const SELECTORS_MAX: usize = 8;
/// As many times its gas limit as the excess of a transaction is, at most: somewhat above the
/// slowest of precompiled contracts.
pub(super) const EXCESS_MAX: u64 = 200;

/// What a transaction is likely to cost whoever runs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Likely {
    /// Gas that it uses: what it used when it was run before, or what such calls have used, else a
    /// share of its limit; no more than that.
    pub(crate) gas: u64,
    /// Its excess ([`crate::BlockOutcome::excess`]).
    pub(crate) excess: u64,
    /// Whether it or such a call was run before.
    pub(crate) is_known: bool,
}

impl Likely {
    /// Its time, as the gas that takes as long on average.
    pub(crate) const fn work(&self) -> u64 {
        self.gas.saturating_add(self.excess)
    }
}

/// The calls of a block so far.
pub(crate) struct Calls<'h> {
    hints: &'h Hints,
    /// Number of each callee.
    numbers: AddressMap<u32>,
    callees: Vec<Callee>,
    selectors: Vec<Selector>,
}

struct Callee {
    address: Address,
    /// Calls that it has.
    count: u32,
    /// Place of the last of its selectors that was looked up.
    last: Option<u32>,
}

struct Selector {
    selector: [u8; 4],
    mean: Option<Mean>,
    /// Place of the one of this callee that was looked up before.
    before: Option<u32>,
}

impl<'h> Calls<'h> {
    /// No calls yet, and room for those of a block with so many transactions.
    pub(crate) fn new(hints: &'h Hints, tx_count: usize) -> Self {
        // Mostly there are fewer: contracts are called more than once, and payments call none.
        let room = tx_count / 2;
        Self {
            hints,
            numbers: AddressMap::with_capacity_and_hasher(room, Default::default()),
            callees: Vec::with_capacity(room),
            selectors: Vec::with_capacity(room),
        }
    }

    /// The number of a transaction's callee, if it is a call, and what it is likely to cost.
    /// `foreseen` is the gas that it used when it was run before.
    pub(crate) fn look_up(
        &mut self,
        tx: &PreparedTx,
        foreseen: Option<u64>,
    ) -> (Option<u32>, Likely) {
        let limit = tx.gas_limit();
        let Target::Call(address) = tx.target() else {
            let gas = foreseen.unwrap_or(limit).min(limit);
            return (None, Likely { gas, excess: 0, is_known: foreseen.is_some() });
        };
        let callee = self.number(address);
        let mean = self.mean(callee, (address, selector(tx)));
        let gas = match (foreseen, mean) {
            (Some(gas), _) => gas,
            (None, Some(mean)) => mean.gas.into(),
            (None, None) => self.hints.share_of(limit),
        };
        let excess = mean.map_or(0, |mean| u64::from(mean.excess));
        let likely = Likely {
            gas: gas.min(limit),
            excess: excess.min(limit.saturating_mul(EXCESS_MAX)),
            is_known: foreseen.is_some() || mean.is_some(),
        };
        (Some(callee), likely)
    }

    /// The callees in the order of their numbers, and how many calls each has.
    pub(crate) fn callees(&self) -> impl Iterator<Item = (&Address, u32)> {
        self.callees.iter().map(|callee| (&callee.address, callee.count))
    }

    /// The number of each callee.
    pub(crate) fn into_numbers(self) -> AddressMap<u32> {
        self.numbers
    }

    /// The number of a callee that has one call more.
    fn number(&mut self, address: Address) -> u32 {
        let Self { numbers, callees, .. } = self;
        let number = *numbers.entry(address).or_insert_with(|| {
            callees.push(Callee { address, count: 0, last: None });
            callees.len() as u32 - 1
        });
        callees[number as usize].count += 1;
        number
    }

    fn mean(&mut self, callee: u32, call: Call) -> Option<Mean> {
        let Self { hints, callees, selectors, .. } = self;
        let last = &mut callees[callee as usize].last;
        let mut place = *last;
        for _ in 0..SELECTORS_MAX {
            let Some(known) = place.and_then(|place| selectors.get(place as usize)) else { break };
            if known.selector == call.1 {
                return known.mean;
            }
            place = known.before;
        }
        let mean = hints.mean(&call);
        selectors.push(Selector { selector: call.1, mean, before: *last });
        *last = Some(selectors.len() as u32 - 1);
        mean
    }
}
