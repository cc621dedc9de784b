//! Pending transactions in the order in which a block takes them.

use crate::PooledTx;
use std::{cmp::Ordering, collections::BinaryHeap, sync::Arc, vec::IntoIter};

/// The next transaction of a sender, and those after it.
#[derive(Debug)]
struct Chain {
    tip: u128,
    first: Arc<PooledTx>,
    rest: IntoIter<Arc<PooledTx>>,
}

impl Chain {
    /// `None` if there is no transaction left, or if the first does not reach the base fee: then
    /// nothing after it can be included either.
    fn new(mut rest: IntoIter<Arc<PooledTx>>, fees: Fees) -> Option<Self> {
        let first = rest.next()?;
        if !first.reaches(fees.base_fee, fees.blob_base_fee) {
            return None;
        }
        Some(Self { tip: first.tip(fees.base_fee)?, first, rest })
    }
}

impl Ord for Chain {
    /// The higher tip comes first; of equal ones the transaction that arrived first.
    fn cmp(&self, other: &Self) -> Ordering {
        let age = other.first.sequence().cmp(&self.first.sequence());
        self.tip.cmp(&other.tip).then(age)
    }
}

impl PartialOrd for Chain {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Chain {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Chain {}

#[derive(Debug, Clone, Copy)]
struct Fees {
    base_fee: u64,
    blob_base_fee: Option<u128>,
}

/// Pending transactions as they were when it was made: the highest tip first, of equal ones that
/// which arrived first, and each sender's in the order of their nonces.
///
/// Those that do not reach the base fee or the blob base fee are left out, with all after them.
#[derive(Debug)]
pub struct Best {
    fees: Fees,
    /// One for each sender that has any.
    heads: BinaryHeap<Chain>,
    /// After the transaction that was given last.
    last: Option<IntoIter<Arc<PooledTx>>>,
}

impl Best {
    /// Each of `senders` has the executable transactions of one sender in the order of nonces.
    pub(crate) fn new(
        senders: impl Iterator<Item = Vec<Arc<PooledTx>>>,
        base_fee: u64,
        blob_base_fee: Option<u128>,
    ) -> Self {
        let fees = Fees { base_fee, blob_base_fee };
        let heads = senders.filter_map(|txs| Chain::new(txs.into_iter(), fees)).collect();
        Self { fees, heads, last: None }
    }

    /// The transaction that was given last was not included: none of its sender follows.
    pub fn skip_sender(&mut self) {
        self.last = None;
    }
}

impl Iterator for Best {
    type Item = Arc<PooledTx>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(rest) = self.last.take() {
            self.heads.extend(Chain::new(rest, self.fees));
        }
        let Chain { first, rest, .. } = self.heads.pop()?;
        self.last = Some(rest);
        Some(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{cell_sidecar, pooled, pooled_blobs};

    /// One sender for each list of fees and tips; they arrive in this order.
    fn best(senders: &[&[(u128, u128)]], base_fee: u64) -> Best {
        let mut sequence = 0;
        let mut chains = Vec::new();
        for (sender, fees) in senders.iter().enumerate() {
            let mut chain = Vec::new();
            for (nonce, (max_fee, tip)) in fees.iter().enumerate() {
                let mut tx = pooled(sender as u64, nonce as u64, *max_fee, *tip);
                sequence += 1;
                tx.sequence = sequence;
                chain.push(Arc::new(tx));
            }
            chains.push(chain);
        }
        Best::new(chains.into_iter(), base_fee, None)
    }

    fn order(best: Best) -> Vec<u64> {
        best.map(|tx| tx.sequence()).collect()
    }

    #[test]
    fn higher_tips_come_first_in_the_order_of_nonces() {
        let senders: [&[_]; 3] = [&[(100, 1), (100, 9)], &[(100, 5), (100, 2)], &[(100, 3)]];
        assert_eq!(order(best(&senders, 10)), [3, 5, 4, 1, 2]);
    }

    #[test]
    fn the_base_fee_cuts_the_tip() {
        let senders: [&[_]; 2] = [&[(12, 9)], &[(100, 3)]];
        assert_eq!(order(best(&senders, 0)), [1, 2]);
        assert_eq!(order(best(&senders, 10)), [2, 1]);
    }

    #[test]
    fn equal_tips_come_as_they_arrived() {
        let senders: [&[_]; 3] = [&[(100, 3)], &[(50, 3)], &[(70, 3)]];
        assert_eq!(order(best(&senders, 10)), [1, 2, 3]);
    }

    #[test]
    fn below_the_base_fee_a_sender_ends() {
        let senders: [&[_]; 2] = [&[(100, 9), (9, 9), (100, 9)], &[(100, 1)]];
        assert_eq!(order(best(&senders, 10)), [1, 4]);
    }

    #[test]
    fn below_the_blob_base_fee_a_sender_ends() {
        let blobs = || vec![Arc::new(pooled_blobs(1, 0, cell_sidecar()))];
        let fee = blobs()[0].max_blob_fee().unwrap();
        let count = |fee| Best::new([blobs()].into_iter(), 1, fee).count();
        assert_eq!((count(Some(fee)), count(Some(fee + 1)), count(None)), (1, 0, 0));
    }

    #[test]
    fn a_skipped_sender_does_not_come_again() {
        let senders: [&[_]; 2] = [&[(100, 9), (100, 8)], &[(100, 1), (100, 1)]];
        let mut best = best(&senders, 10);
        assert_eq!(best.next().map(|tx| tx.sequence()), Some(1));
        best.skip_sender();
        assert_eq!(order(best), [3, 4]);
    }
}
