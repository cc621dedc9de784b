//! Keeps every lane within its bound.

use super::{Holdings, Taken};
use crate::{PoolOptions, lanes::Lane};
use fugue_types::B256;

/// What had to go.
#[derive(Debug)]
pub(super) struct Trimmed {
    pub(super) taken: Vec<Taken>,
    /// The last of them is the newcomer: it is among the cheapest itself.
    pub(super) is_newcomer_out: bool,
}

impl Holdings {
    /// Takes out the cheapest until every lane is within its bound, or the newcomer is out.
    ///
    /// The cheapest transaction says which sender must give; what goes is that sender's last one in
    /// the lane, so that no gap arises. So a cheap transaction is not kept by dear ones after it,
    /// which could not be included before it.
    pub(super) fn trim(&mut self, options: &PoolOptions, newcomer: Option<B256>) -> Trimmed {
        let mut taken = Vec::new();
        for lane in Lane::ALL {
            while self.lanes.get(lane).bytes > lane.bytes_max(options) {
                let Some(victim) = self.victim(lane) else { break };
                let Some(gone) = self.take(&victim) else { break };
                self.settle(gone.tx.sender);
                taken.push(gone);
                if newcomer == Some(victim) {
                    return Trimmed { taken, is_newcomer_out: true };
                }
            }
        }
        Trimmed { taken, is_newcomer_out: false }
    }

    fn victim(&self, lane: Lane) -> Option<B256> {
        let cheapest = self.lanes.cheapest(lane, self.head.base_fee)?;
        let sender = self.senders.get(&self.by_hash.get(&cheapest)?.sender)?;
        sender.tail(lane).map(|tx| tx.hash)
    }
}
