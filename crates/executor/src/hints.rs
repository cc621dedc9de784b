//! What earlier blocks have taught about calls: how much gas they use, how much longer they take
//! than that gas tells, and which of them come upon what others have written.
//!
//! Hints say what runs beside what, and in which order. No outcome depends on them: whatever they
//! say, lanes are settled in block order.
//!
//! Both tables have a fixed size, and are made with the first lesson. A key has a few places, by a
//! hash with a random seed. Where all are taken, a key that is new costs each of them some worth,
//! and takes the place of one that has none left: what is met in many blocks stays, however many
//! contracts somebody calls once. All counts fade, so that a contract that changes is known as it
//! is after some blocks.

mod calls;

use fugue_evm::{PreparedTx, Target};
use fugue_types::{Address, DefaultHashBuilder, TxResult};
use std::{
    fmt,
    hash::{BuildHasher, Hash},
};

pub(crate) use calls::{Calls, Likely};

/// Pairs of callee and selector whose gas is kept: some blocks of mainnet have as many, and they
/// take 160 KB.
const CALLS_MAX: usize = 1 << 12;
/// Callees whose habits are kept, which take 250 KB.
const CALLEES_MAX: usize = 1 << 11;
/// Places in which a key may be.
const WAYS: usize = 4;
/// The most that an entry is worth: so many new keys have to ask for its place, at least.
const WORTH_MAX: u8 = 15;
/// Callees that are kept of those which one callee has met.
const PARTNERS_MAX: usize = 4;
/// What one transaction counts, so that less of it can be left.
const UNIT: u32 = 64;
/// A count fades by one such part with each block that has the callee.
const FADING: u32 = 8;
/// Transactions, faded, after which a callee counts as known.
const TRIALS_MIN: u32 = 8;
/// A mean moves by one such part of the distance to what was found.
const MOVING: u32 = 4;

/// As many thousandths as are one.
const PER_MILLE: u32 = 1_000;

/// What transactions that call a contract have done to one another, and to those of others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Habit {
    /// Transactions that had another one of the callee before them in their block.
    trials: u32,
    /// Of these, those that came upon what another one of the callee had written.
    depended: u32,
    /// Of those, the ones that came upon what one had written with which they have no party in
    /// common.
    on_strangers: u32,
    partners: [Option<Partner>; PARTNERS_MAX],
}

/// Another callee whose transactions came upon what those of the first one had written, or the
/// other way round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Partner {
    pub(crate) callee: Address,
    /// In how many of a hundred cases, of as many as the callee with fewer transactions has.
    pub(crate) percent: u8,
}

/// What a block tells of one callee.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Lesson {
    /// As the counts of a [`Habit`], in transactions.
    pub(crate) trials: u32,
    pub(crate) depended: u32,
    pub(crate) on_strangers: u32,
}

/// Means of a call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Mean {
    /// Gas that it used.
    gas: u32,
    /// Its excess ([`crate::BlockOutcome::excess`]).
    excess: u32,
}

/// A callee, and the first four bytes of the data.
type Call = (Address, [u8; 4]);

/// What an executor has learned from blocks, to be laid by and taken up again; empty at first.
#[derive(Clone, Default)]
pub struct Hints(Option<Box<Tables>>);

#[derive(Clone)]
struct Tables {
    seed: DefaultHashBuilder,
    calls: Table<Call, Mean>,
    callees: Table<Address, Habit>,
    /// Of a thousand gas that calls were given, how much they used.
    used_per_mille: u32,
}

/// A table of fixed size. Places that follow one another, [`WAYS`] of them, are for the same keys.
#[derive(Debug, Clone)]
struct Table<K, V>(Vec<Option<Entry<K, V>>>);

#[derive(Debug, Clone, Copy)]
struct Entry<K, V> {
    key: K,
    value: V,
    worth: u8,
}

impl fmt::Debug for Hints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (calls, callees) = match &self.0 {
            Some(tables) => (tables.calls.len(), tables.callees.len()),
            None => (0, 0),
        };
        f.debug_struct("Hints").field("calls", &calls).field("callees", &callees).finish()
    }
}

impl<K: Copy + Eq, V: Copy + Default> Table<K, V> {
    fn new(count: usize) -> Self {
        Self(vec![None; count])
    }

    fn len(&self) -> usize {
        self.0.iter().flatten().count()
    }

    fn clear(&mut self) {
        self.0.fill(None);
    }

    /// Where the places of a hash begin.
    fn first(&self, hash: u64) -> usize {
        hash as usize % (self.0.len() / WAYS) * WAYS
    }

    fn find(&self, hash: u64, key: &K) -> Option<&V> {
        let mut places = self.0.iter().skip(self.first(hash)).take(WAYS).flatten();
        places.find(|entry| entry.key == *key).map(|entry| &entry.value)
    }

    /// The value of a key, and whether it is new; `None` if there is no place for it yet.
    fn find_or_add(&mut self, hash: u64, key: K) -> Option<(&mut V, bool)> {
        let first = self.first(hash);
        let places = self.0.get_mut(first..first + WAYS)?;
        let is_it = |place: &Option<Entry<K, V>>| place.is_some_and(|entry| entry.key == key);
        let may_be = |place: &Option<Entry<K, V>>| place.is_none_or(|entry| entry.worth == 0);
        let found = places.iter().position(is_it);
        let Some(place) = found.or_else(|| places.iter().position(may_be)) else {
            places.iter_mut().flatten().for_each(|entry| entry.worth -= 1);
            return None;
        };
        let place = places.get_mut(place)?;
        let is_new = found.is_none();
        if is_new {
            *place = Some(Entry { key, value: V::default(), worth: 0 });
        }
        let entry = place.as_mut()?;
        entry.worth = (entry.worth + 1).min(WORTH_MAX);
        Some((&mut entry.value, is_new))
    }
}

impl Tables {
    fn new() -> Self {
        Self {
            seed: DefaultHashBuilder::default(),
            calls: Table::new(CALLS_MAX),
            callees: Table::new(CALLEES_MAX),
            used_per_mille: PER_MILLE,
        }
    }

    fn hash(&self, key: &impl Hash) -> u64 {
        self.seed.hash_one(key)
    }
}

/// The count after one block more.
const fn faded(count: u32) -> u32 {
    count - count.div_ceil(FADING)
}

fn moved(mean: u32, found: u32) -> u32 {
    if found >= mean {
        mean + (found - mean).div_ceil(MOVING)
    } else {
        mean - (mean - found).div_ceil(MOVING)
    }
}

fn percent_of(part: u32, whole: u32) -> u32 {
    (u64::from(part) * 100 / u64::from(whole.max(1))) as u32
}

impl Habit {
    /// Whether enough of its transactions were seen to tell anything.
    const fn is_known(&self) -> bool {
        self.trials >= TRIALS_MIN * UNIT
    }

    /// Of a hundred transactions, how many came upon what another one of the callee had written;
    /// `None` if too few were seen.
    pub(crate) fn depended_percent(&self) -> Option<u32> {
        self.is_known().then(|| percent_of(self.depended, self.trials))
    }

    /// As [`Habit::depended_percent`], of those with no party in common.
    pub(crate) fn strangers_percent(&self) -> Option<u32> {
        self.is_known().then(|| percent_of(self.on_strangers, self.trials))
    }

    /// Callees that disturb this one, or that it disturbs.
    pub(crate) fn partners(&self) -> impl Iterator<Item = &Partner> {
        self.partners.iter().flatten()
    }

    fn learn(&mut self, lesson: Lesson) {
        let Lesson { trials, depended, on_strangers } = lesson;
        if trials == 0 {
            return;
        }
        let add = |count: &mut u32, found: u32| {
            *count = faded(*count).saturating_add(found.saturating_mul(UNIT));
        };
        add(&mut self.trials, trials);
        add(&mut self.depended, depended);
        add(&mut self.on_strangers, on_strangers);
    }

    /// It met these in a block; others that were there as well it has not met.
    fn learn_partners(&mut self, met: &[Partner], is_there: impl Fn(&Address) -> bool) {
        for place in &mut self.partners {
            let Some(partner) = place else { continue };
            let found = match met.iter().find(|found| found.callee == partner.callee) {
                Some(found) => found.percent,
                None if is_there(&partner.callee) => 0,
                None => continue,
            };
            let percent = moved(partner.percent.into(), found.into());
            partner.percent = u8::try_from(percent).unwrap_or(u8::MAX);
            if percent == 0 {
                *place = None;
            }
        }
        for Partner { callee, percent } in met {
            if self.partners().any(|partner| partner.callee == *callee) {
                continue;
            }
            // Once is no rule.
            let new = Partner { callee: *callee, percent: percent / 2 };
            let places = self.partners.iter_mut();
            let weakest = places.min_by_key(|place| place.map_or(0, |partner| partner.percent));
            if let Some(weakest) = weakest
                && new.percent > weakest.map_or(0, |partner| partner.percent)
            {
                *weakest = Some(new);
            }
        }
    }
}

impl Hints {
    /// Forgets all, and keeps the room.
    pub(crate) fn clear(&mut self) {
        if let Some(tables) = &mut self.0 {
            tables.calls.clear();
            tables.callees.clear();
            tables.used_per_mille = PER_MILLE;
        }
    }

    /// Takes up what others have laid by, in place of its own.
    pub(crate) fn become_as(&mut self, hints: &Self) {
        let Some(told) = &hints.0 else {
            self.clear();
            return;
        };
        match &mut self.0 {
            Some(own) => {
                let Tables { seed, calls, callees, used_per_mille } = &mut **own;
                seed.clone_from(&told.seed);
                calls.0.clone_from(&told.calls.0);
                callees.0.clone_from(&told.callees.0);
                *used_per_mille = told.used_per_mille;
            }
            None => self.0 = Some(told.clone()),
        }
    }

    fn tables(&mut self) -> &mut Tables {
        self.0.get_or_insert_with(|| Box::new(Tables::new()))
    }

    /// What is known of a call.
    fn mean(&self, call: &Call) -> Option<Mean> {
        let tables = self.0.as_ref()?;
        tables.calls.find(tables.hash(call), call).copied()
    }

    /// Gas that a call with this limit is likely to use where nothing is known of it.
    fn share_of(&self, limit: u64) -> u64 {
        match &self.0 {
            Some(tables) => {
                (limit / u64::from(PER_MILLE)).saturating_mul(tables.used_per_mille.into())
            }
            None => limit,
        }
    }

    /// What is known of a callee.
    pub(crate) fn habit(&self, callee: &Address) -> Option<&Habit> {
        let tables = self.0.as_ref()?;
        tables.callees.find(tables.hash(callee), callee)
    }

    /// Learns how much gas the transactions of a block have used, and what their excess was
    /// ([`crate::BlockOutcome::excess`]).
    pub(crate) fn learn_work(
        &mut self,
        txs: &[PreparedTx],
        results: &[TxResult],
        excess: &[(usize, u64)],
    ) {
        let tables = self.tables();
        let (mut used, mut given) = (0_u64, 0_u64);
        let mut all_excess = excess.iter().peekable();
        // What was learned last, if nothing more can be learned by finding the same again.
        let mut settled: Option<(Call, [u32; 2])> = None;
        for (index, (tx, result)) in txs.iter().zip(results).enumerate() {
            let excess =
                all_excess.next_if(|(of, _)| *of == index).map_or(0, |(_, excess)| *excess);
            let Target::Call(callee) = tx.target() else { continue };
            used = used.saturating_add(result.gas.used);
            given = given.saturating_add(tx.gas_limit());
            let found = [result.gas.used, excess];
            let [gas, excess] = found.map(|found| u32::try_from(found).unwrap_or(u32::MAX));
            let call = (callee, selector(tx));
            let found = (call, [gas, excess]);
            if settled == Some(found) {
                continue;
            }
            let hash = tables.hash(&call);
            if let Some((mean, is_new)) = tables.calls.find_or_add(hash, call) {
                *mean = if is_new {
                    Mean { gas, excess }
                } else {
                    Mean { gas: moved(mean.gas, gas), excess: moved(mean.excess, excess) }
                };
                settled = (*mean == Mean { gas, excess }).then_some(found);
            }
        }
        if given > 0 {
            let per_mille = u128::from(used) * u128::from(PER_MILLE) / u128::from(given);
            let per_mille = u32::try_from(per_mille).unwrap_or(u32::MAX).min(PER_MILLE);
            tables.used_per_mille = moved(tables.used_per_mille, per_mille);
        }
    }

    /// Learns what a block tells of a callee: how its transactions depended on one another, and
    /// whom they met. `is_there` says which other callees the block has.
    pub(crate) fn learn_callee(
        &mut self,
        callee: &Address,
        lesson: Lesson,
        met: &[Partner],
        is_there: impl Fn(&Address) -> bool,
    ) {
        let tables = self.tables();
        let hash = tables.hash(callee);
        if let Some((habit, _)) = tables.callees.find_or_add(hash, *callee) {
            habit.learn(lesson);
            habit.learn_partners(met, is_there);
        }
    }

    /// What is known of a callee was acted upon in a way that teaches nothing: it counts for less,
    /// so that it is tried again some time.
    pub(crate) fn doubt(&mut self, callee: &Address) {
        let Some(tables) = &mut self.0 else { return };
        let hash = tables.hash(callee);
        if tables.callees.find(hash, callee).is_some()
            && let Some((habit, _)) = tables.callees.find_or_add(hash, *callee)
        {
            for count in [&mut habit.trials, &mut habit.depended, &mut habit.on_strangers] {
                *count -= *count / (2 * FADING);
            }
        }
    }
}

/// The first four bytes of the data; zeros where there are fewer.
fn selector(tx: &PreparedTx) -> [u8; 4] {
    let mut selector = [0; 4];
    selector.iter_mut().zip(tx.input()).for_each(|(byte, given)| *byte = *given);
    selector
}

#[cfg(test)]
impl Hints {
    /// Gas that a transaction is likely to use.
    pub(crate) fn gas_of(&self, tx: &PreparedTx) -> u64 {
        Calls::new(self, 1).look_up(tx, None).1.gas
    }

    /// Whatever comes, from a source of numbers.
    pub(crate) fn absurd(callees: &[Address], mut random: impl FnMut() -> u32) -> Self {
        let mut hints = Self::default();
        let tables = hints.tables();
        tables.used_per_mille = random();
        for callee in callees {
            let mut number = || random() >> (random() % 32);
            let mut partner = || {
                let callee = callees[number() as usize % callees.len()];
                Some(Partner { callee, percent: number() as u8 })
            };
            let partners = [partner(), partner(), partner(), partner()];
            let (trials, depended, on_strangers) = (number(), number(), number());
            let hash = tables.seed.hash_one(callee);
            if let Some((habit, _)) = tables.callees.find_or_add(hash, *callee) {
                *habit = Habit { trials, depended, on_strangers, partners };
            }
            for byte in [0, 1] {
                let call = (*callee, [byte, 0, 0, 0]);
                let hash = tables.seed.hash_one(call);
                if let Some((mean, _)) = tables.calls.find_or_add(hash, call) {
                    *mean = Mean { gas: number(), excess: number() };
                }
            }
        }
        hints
    }
}

#[cfg(test)]
mod tests;
