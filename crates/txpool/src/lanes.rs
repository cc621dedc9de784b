//! The parts of the pool that are bounded in bytes, and the order in which they give way.
//!
//! What a transaction pays per gas depends on the base fee: `min(max fee, max tip + base fee)`.
//! Two orders that do not depend on it, by highest fee and by highest tip, are enough to find the
//! cheapest at any base fee: the least of those minima is the lesser of the least highest fee and
//! the least highest tip with the base fee. So a new base fee costs nothing here.

use crate::{PoolOptions, PooledTx};
use fugue_types::B256;
use std::{cmp::Reverse, collections::BTreeSet};

/// Where a transaction lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Executable, without blobs.
    Pending,
    /// Waits for another one, or for a balance.
    Queued,
    /// Executable, with blobs.
    Blob,
}

impl Lane {
    pub(crate) const ALL: [Self; 3] = [Self::Pending, Self::Queued, Self::Blob];

    pub(crate) const fn is_executable(self) -> bool {
        match self {
            Self::Pending | Self::Blob => true,
            Self::Queued => false,
        }
    }

    pub(crate) const fn bytes_max(self, options: &PoolOptions) -> usize {
        match self {
            Self::Pending => options.pending_bytes_max,
            Self::Queued => options.queued_bytes_max,
            Self::Blob => options.blob_bytes_max,
        }
    }
}

/// Where a transaction lies, and whether it gives way last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) lane: Lane,
    /// Its sender has sent a local transaction that is still here.
    pub(crate) is_local: bool,
}

/// A price in wei per gas; among equal ones the newest is the least.
type PriceKey = (u128, Reverse<u64>, B256);

/// Transactions by price.
#[derive(Debug, Default)]
struct PriceIndex {
    by_fee: BTreeSet<PriceKey>,
    by_tip: BTreeSet<PriceKey>,
}

impl PriceIndex {
    fn keys(tx: &PooledTx) -> (PriceKey, PriceKey) {
        let age = Reverse(tx.sequence());
        ((tx.max_fee(), age, tx.hash), (tx.max_tip(), age, tx.hash))
    }

    fn insert(&mut self, tx: &PooledTx) {
        let (fee, tip) = Self::keys(tx);
        self.by_fee.insert(fee);
        self.by_tip.insert(tip);
    }

    fn remove(&mut self, tx: &PooledTx) {
        let (fee, tip) = Self::keys(tx);
        self.by_fee.remove(&fee);
        self.by_tip.remove(&tip);
    }

    fn cheapest(&self, base_fee: u64) -> Option<B256> {
        let (fee, fee_age, by_fee) = self.by_fee.first()?;
        let (tip, tip_age, by_tip) = self.by_tip.first()?;
        let with_base_fee = tip.saturating_add(u128::from(base_fee));
        Some(if (*fee, *fee_age) <= (with_base_fee, *tip_age) { *by_fee } else { *by_tip })
    }
}

/// The transactions of one lane.
#[derive(Debug, Default)]
pub(crate) struct LaneTxs {
    pub(crate) bytes: usize,
    pub(crate) count: usize,
    external: PriceIndex,
    local: PriceIndex,
}

impl LaneTxs {
    fn index(&mut self, is_local: bool) -> &mut PriceIndex {
        if is_local { &mut self.local } else { &mut self.external }
    }
}

/// All three lanes.
#[derive(Debug, Default)]
pub(crate) struct Lanes {
    pending: LaneTxs,
    queued: LaneTxs,
    blob: LaneTxs,
}

impl Lanes {
    pub(crate) const fn get(&self, lane: Lane) -> &LaneTxs {
        match lane {
            Lane::Pending => &self.pending,
            Lane::Queued => &self.queued,
            Lane::Blob => &self.blob,
        }
    }

    const fn get_mut(&mut self, lane: Lane) -> &mut LaneTxs {
        match lane {
            Lane::Pending => &mut self.pending,
            Lane::Queued => &mut self.queued,
            Lane::Blob => &mut self.blob,
        }
    }

    pub(crate) fn enter(&mut self, place: Place, tx: &PooledTx) {
        let lane = self.get_mut(place.lane);
        lane.bytes = lane.bytes.saturating_add(tx.bytes);
        lane.count = lane.count.saturating_add(1);
        lane.index(place.is_local).insert(tx);
    }

    /// `place` is where it entered.
    pub(crate) fn leave(&mut self, place: Place, tx: &PooledTx) {
        let lane = self.get_mut(place.lane);
        lane.bytes = lane.bytes.saturating_sub(tx.bytes);
        lane.count = lane.count.saturating_sub(1);
        lane.index(place.is_local).remove(tx);
    }

    /// The one of a lane that pays the least per gas at this base fee; a local one only where
    /// there is no other.
    pub(crate) fn cheapest(&self, lane: Lane, base_fee: u64) -> Option<B256> {
        let lane = self.get(lane);
        lane.external.cheapest(base_fee).or_else(|| lane.local.cheapest(base_fee))
    }

    /// Hashes of all transactions of local senders.
    pub(crate) fn local(&self) -> impl Iterator<Item = &B256> {
        let lanes = Lane::ALL.into_iter().map(move |lane| self.get(lane));
        lanes.flat_map(|lane| lane.local.by_fee.iter().map(|(_, _, hash)| hash))
    }

    /// How many keys the orders of a lane hold.
    #[cfg(test)]
    pub(crate) fn keys(&self, lane: Lane) -> [usize; 2] {
        let LaneTxs { external, local, .. } = self.get(lane);
        [external.by_fee.len() + local.by_fee.len(), external.by_tip.len() + local.by_tip.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::pooled;
    use proptest::{collection::vec, prelude::*};

    const PENDING: Place = Place { lane: Lane::Pending, is_local: false };

    proptest! {
        #[test]
        fn the_cheapest_is_that_of_a_scan(
            prices in vec((0_u128..20, 0_u128..20), 1..12),
            base_fee in 0_u64..20,
        ) {
            let mut lanes = Lanes::default();
            let mut txs = Vec::new();
            for (index, (max_fee, tip)) in prices.into_iter().enumerate() {
                let mut tx = pooled(1, index as u64, max_fee, tip.min(max_fee));
                tx.sequence = index as u64;
                lanes.enter(PENDING, &tx);
                txs.push(tx);
            }
            while !txs.is_empty() {
                let price = |tx: &PooledTx| {
                    tx.max_fee().min(tx.max_tip() + u128::from(base_fee))
                };
                let scanned = (0..txs.len())
                    .min_by_key(|index| (price(&txs[*index]), Reverse(txs[*index].sequence)))
                    .unwrap();
                let tx = txs.remove(scanned);
                prop_assert_eq!(lanes.cheapest(Lane::Pending, base_fee), Some(tx.hash));
                lanes.leave(PENDING, &tx);
            }
            prop_assert_eq!(lanes.cheapest(Lane::Pending, base_fee), None);
            prop_assert_eq!(lanes.keys(Lane::Pending), [0, 0]);
        }
    }

    #[test]
    fn local_ones_give_way_last() {
        let (local, external) = (pooled(1, 0, 1, 1), pooled(2, 0, 50, 50));
        let mut lanes = Lanes::default();
        lanes.enter(Place { lane: Lane::Queued, is_local: true }, &local);
        let external_place = Place { lane: Lane::Queued, is_local: false };
        lanes.enter(external_place, &external);
        assert_eq!(lanes.cheapest(Lane::Queued, 0), Some(external.hash));
        lanes.leave(external_place, &external);
        assert_eq!(lanes.cheapest(Lane::Queued, 0), Some(local.hash));
        assert_eq!(lanes.cheapest(Lane::Pending, 0), None);
    }
}
