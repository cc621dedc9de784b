//! Who runs what, in which order: the heavy transactions first, light ones in batches, each class
//! in block order.
//!
//! No transaction waits for another, so the order is free. Whoever begins with what takes longest
//! ends with what fills the gaps. But a thread's journal only goes on in block order, and begins
//! anew where it has to go back: so there are few classes, and not an order by size.

use std::sync::atomic::{AtomicUsize, Ordering};

/// A transaction is of a heavier class if it alone has more than such a part of a thread's share of
/// the gas. One that is begun last leaves the other threads idle for half of that on average.
const HEAVY_PARTS: [u64; 2] = [4, 16];
/// Gas of a batch, at most, unless one transaction alone has more: a claim costs as much as a
/// thousandth of it.
const BATCH_GAS_MAX: u64 = 400_000;
/// Batches for each thread, at least, if gas is spread evenly: the last ones are small enough for
/// all to end together.
const BATCHES_MIN: u64 = 16;

/// The transactions of a block in the order in which they are run, shared by all threads.
#[derive(Debug)]
pub(super) struct Plan {
    order: Vec<usize>,
    /// Where each batch ends.
    ends: Vec<usize>,
    next: AtomicUsize,
}

impl Plan {
    /// A plan for transactions that are likely to take as long as this much gas.
    pub(super) fn new(gas: &[u64], threads: usize) -> Self {
        let mut order: Vec<usize> = (0..gas.len()).collect();
        let total = gas.iter().fold(0_u64, |sum, gas| sum.saturating_add(*gas));
        let share = total / (threads as u64).max(1);
        if threads > 1 {
            let class = |tx: &usize| {
                let lighter = HEAVY_PARTS.iter().take_while(|part| gas[*tx] <= share / **part);
                lighter.count()
            };
            order.sort_by_key(class);
        }
        let batch = BATCH_GAS_MAX.min(share / BATCHES_MIN);
        let (mut ends, mut sum) = (Vec::new(), 0_u64);
        for (position, tx) in order.iter().enumerate() {
            sum = sum.saturating_add(gas[*tx]);
            if sum >= batch {
                ends.push(position + 1);
                sum = 0;
            }
        }
        if ends.last().is_none_or(|end| *end < order.len()) && !order.is_empty() {
            ends.push(order.len());
        }
        Self { order, ends, next: AtomicUsize::new(0) }
    }

    /// The next batch, which nobody else gets; `None` if there is no more.
    pub(super) fn claim(&self) -> Option<&[usize]> {
        let batch = self.next.fetch_add(1, Ordering::Relaxed);
        let end = *self.ends.get(batch)?;
        let start = batch.checked_sub(1).and_then(|batch| self.ends.get(batch)).copied();
        self.order.get(start.unwrap_or_default()..end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batches(gas: &[u64], threads: usize) -> Vec<Vec<usize>> {
        let plan = Plan::new(gas, threads);
        std::iter::from_fn(|| plan.claim().map(<[usize]>::to_vec)).collect()
    }

    #[test]
    fn the_heavy_come_first_and_the_light_ones_together() {
        let mut gas = vec![21_000; 400];
        gas[399] = 9_000_000;
        gas[200] = 600_000;
        let batches = batches(&gas, 2);
        assert_eq!(batches[..2], [vec![399], vec![200]]);
        assert_eq!(batches[2][..3], [0, 1, 2]);
        assert!(batches[2..].iter().all(|batch| batch.len() <= 20), "{batches:?}");
        assert!(batches.len() < 30, "{batches:?}");
    }

    #[test]
    fn each_class_is_in_block_order_and_one_thread_has_one_class() {
        let gas = [10, 600, 20, 5_000, 30, 700, 7_000];
        assert_eq!(batches(&gas, 2).concat(), [3, 6, 1, 5, 0, 2, 4]);
        assert_eq!(batches(&gas, 1).concat(), [0, 1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn every_transaction_is_claimed_once() {
        for count in [0, 1, 2, 7, 100] {
            for threads in [1, 2, 16] {
                for each in [0, 21_000, u64::MAX] {
                    let mut all = batches(&vec![each; count], threads).concat();
                    all.sort_unstable();
                    assert_eq!(all, (0..count).collect::<Vec<_>>(), "{each} gas, {threads}");
                }
            }
        }
    }
}
