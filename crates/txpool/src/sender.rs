//! The transactions of one sender, by nonce.

use crate::{
    Origin, PooledTx,
    lanes::{Lane, Place},
};
use fugue_state::Account;
use fugue_types::{B256, U256};
use std::{collections::BTreeMap, sync::Arc};

/// A transaction and where it lies; nowhere until its sender's are arranged.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) tx: Arc<PooledTx>,
    pub(crate) place: Option<Place>,
}

impl Entry {
    pub(crate) fn is_executable(&self) -> bool {
        self.place.is_some_and(|place| place.lane.is_executable())
    }
}

/// The transactions of one sender: all with blobs, or all without.
#[derive(Debug)]
pub(crate) struct SenderTxs {
    /// After the head.
    pub(crate) account: Account,
    pub(crate) entries: BTreeMap<u64, Entry>,
    /// How many are executable: those with the nonces from the account's on.
    pub(crate) executable: usize,
    /// What those may cost, in wei; not above the balance.
    pub(crate) cost: U256,
}

impl SenderTxs {
    pub(crate) const fn new(account: Account) -> Self {
        Self { account, entries: BTreeMap::new(), executable: 0, cost: U256::ZERO }
    }

    /// The nonce after the executable ones.
    pub(crate) fn next_nonce(&self) -> u64 {
        let executable = u64::try_from(self.executable).unwrap_or(u64::MAX);
        self.account.nonce.saturating_add(executable)
    }

    pub(crate) fn holds_blobs(&self) -> bool {
        self.entries.values().next().is_some_and(|entry| entry.tx.has_blobs())
    }

    /// The last one in a lane: it can go without leaving a gap before another.
    pub(crate) fn tail(&self, lane: Lane) -> Option<&Arc<PooledTx>> {
        let mut backwards = self.entries.values().rev();
        let in_lane = |entry: &&Entry| entry.place.is_some_and(|place| place.lane == lane);
        backwards.find(in_lane).map(|entry| &entry.tx)
    }

    /// Finds out anew which are executable, and tells `moved` each that goes to another place:
    /// from where, and to where.
    ///
    /// Gives blob transactions that are not executable: nothing so large waits, so the caller takes
    /// them out.
    pub(crate) fn arrange(
        &mut self,
        mut moved: impl FnMut(&Arc<PooledTx>, Option<Place>, Place),
    ) -> Vec<B256> {
        let is_local = self.entries.values().any(|entry| entry.tx.origin == Origin::Local);
        let mut stranded = Vec::new();
        let mut next = self.account.nonce;
        let mut is_open = true;
        (self.executable, self.cost) = (0, U256::ZERO);
        for (nonce, entry) in &mut self.entries {
            let cost = self.cost.saturating_add(entry.tx.cost);
            is_open = is_open && *nonce == next && cost <= self.account.balance;
            let lane = match (is_open, entry.tx.has_blobs()) {
                (true, false) => Lane::Pending,
                (true, true) => Lane::Blob,
                (false, false) => Lane::Queued,
                (false, true) => {
                    stranded.push(entry.tx.hash);
                    continue;
                }
            };
            if is_open {
                next = next.saturating_add(1);
                self.executable += 1;
                self.cost = cost;
            }
            let place = Place { lane, is_local };
            if entry.place != Some(place) {
                moved(&entry.tx, entry.place, place);
                entry.place = Some(place);
            }
        }
        stranded
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::pooled;

    fn sender(nonces: &[u64], balance: u64) -> SenderTxs {
        let account = Account { nonce: 5, balance: U256::from(balance), ..Account::default() };
        let mut sender = SenderTxs::new(account);
        for nonce in nonces {
            // Each costs 21,000.
            let tx = Arc::new(pooled(1, *nonce, 1, 1));
            sender.entries.insert(*nonce, Entry { tx, place: None });
        }
        sender.arrange(|_, _, _| ());
        sender
    }

    fn executable(sender: &SenderTxs) -> Vec<u64> {
        let entries = sender.entries.iter().filter(|(_, entry)| entry.is_executable());
        entries.map(|(nonce, _)| *nonce).collect()
    }

    #[test]
    fn executable_ones_end_at_a_gap() {
        let sender = sender(&[5, 6, 8, 9], 1_000_000);
        assert_eq!(executable(&sender), [5, 6]);
        assert_eq!((sender.executable, sender.cost), (2, U256::from(42_000)));
        assert_eq!(sender.next_nonce(), 7);
        let tails = [Lane::Pending, Lane::Queued, Lane::Blob]
            .map(|lane| sender.tail(lane).map(|tx| tx.nonce()));
        assert_eq!(tails, [Some(6), Some(9), None]);
    }

    #[test]
    fn executable_ones_end_where_the_balance_does() {
        assert_eq!(executable(&sender(&[5, 6, 7], 62_999)), [5, 6]);
        assert_eq!(executable(&sender(&[5, 6, 7], 63_000)), [5, 6, 7]);
    }

    #[test]
    fn only_moves_are_told() {
        let mut sender = sender(&[5, 6], 1_000_000);
        let mut moves = 0;
        sender.arrange(|_, _, _| moves += 1);
        assert_eq!(moves, 0);
        sender.account.balance = U256::from(21_000);
        sender.arrange(|tx, from, to| {
            moves += 1;
            assert_eq!(tx.nonce(), 6);
            assert_eq!(from.map(|place| place.lane), Some(Lane::Pending));
            assert_eq!(to.lane, Lane::Queued);
        });
        assert_eq!(moves, 1);
    }
}
