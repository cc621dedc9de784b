//! What blocks are predicted to take.
//!
//! An execution takes longer than its transactions alone: it opens and closes the block, commits,
//! and in parallel keeps versions and compares what was read. [`Overhead`] has that as a time per
//! block, in which nothing else runs, and a time per transaction, which is a part of it wherever it
//! runs. Both are fit on measured blocks by least squares. What more threads cost besides, waking
//! them and what they wait for at shared memory, is not in there.
//!
//! No block is predicted by an overhead that was fit on itself: blocks in even places have that of
//! those in odd places, and the other way round.

use super::{Measured, nanos};
use fugue_executor::{Balances, ConflictGraph, Mode, Order, TxAccess};
use std::time::Duration;

/// A rule by which blocks are scheduled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rule {
    /// For machines, and for people.
    pub(super) name: &'static str,
    pub(super) words: &'static str,
    balances: Balances,
    order: Order,
}

/// All rules, in the order in which they are shown.
pub(super) const RULES: [Rule; 3] = [
    Rule {
        name: "blockOrder",
        words: "block order",
        balances: Balances::Exact,
        order: Order::Block,
    },
    Rule {
        name: "lazyBalances",
        words: "lazy balances",
        balances: Balances::Lazy,
        order: Order::Block,
    },
    Rule {
        name: "heaviestFirst",
        words: "heaviest first",
        balances: Balances::Lazy,
        order: Order::Heaviest,
    },
];

/// What an execution takes beside its transactions, in nanoseconds. A transaction may cost less
/// than measured alone, with a clock around it and nothing in the journal.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Overhead {
    pub(super) per_block: f64,
    pub(super) per_tx: f64,
}

impl Overhead {
    /// Of blocks as their number of transactions, and the nanoseconds beyond these. Where they do
    /// not tell the two parts apart, all of it is the transactions'.
    fn fit(samples: &[(usize, f64)]) -> Self {
        let count = samples.len().max(1) as f64;
        let txs: f64 = samples.iter().map(|(txs, _)| *txs as f64).sum();
        let beyond: f64 = samples.iter().map(|(_, beyond)| *beyond).sum();
        let (mut variance, mut covariance) = (0.0, 0.0);
        for (sample_txs, sample_beyond) in samples {
            let off = *sample_txs as f64 - txs / count;
            variance += off * off;
            covariance += off * (sample_beyond - beyond / count);
        }
        if variance > 0.0 {
            let per_tx = covariance / variance;
            let per_block = (beyond - per_tx * txs) / count;
            if per_block >= 0.0 {
                return Self { per_block, per_tx };
            }
        }
        if txs > 0.0 {
            Self { per_block: 0.0, per_tx: beyond / txs }
        } else {
            Self { per_block: (beyond / count).max(0.0), per_tx: 0.0 }
        }
    }

    /// Of transactions that have it, in nanoseconds.
    fn weights(self, txs: &[TxAccess]) -> Vec<u64> {
        txs.iter().map(|tx| whole(tx.nanos as f64 + self.per_tx)).collect()
    }

    /// A block whose transactions, that have their part, are done after so many nanoseconds.
    fn with_block(self, length: u64) -> u64 {
        length.saturating_add(whole(self.per_block))
    }
}

/// To whole nanoseconds, of which none are less than nothing.
fn whole(nanos: f64) -> u64 {
    nanos.max(0.0).round() as u64
}

/// The overhead of one way of execution.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Fitted {
    /// Of all blocks.
    pub(super) all: Overhead,
    /// For blocks in even and in odd places: that of the others.
    others: [Overhead; 2],
}

impl Fitted {
    fn of(blocks: &[Measured], measured: fn(&Measured) -> Duration) -> Self {
        let sample = |block: &Measured| {
            let alone: u64 = total(&block.txs);
            (block.txs.len(), nanos(measured(block)) as f64 - alone as f64)
        };
        let all: Vec<(usize, f64)> = blocks.iter().map(sample).collect();
        let others = [1, 0].map(|first| {
            let others: Vec<(usize, f64)> = all.iter().skip(first).step_by(2).copied().collect();
            // One block has no others.
            Overhead::fit(if others.is_empty() { &all } else { &others })
        });
        Self { all: Overhead::fit(&all), others }
    }

    fn for_block(&self, place: usize) -> Overhead {
        self.others[place % 2]
    }
}

fn total(txs: &[TxAccess]) -> u64 {
    txs.iter().map(|tx| tx.nanos).fold(0, u64::saturating_add)
}

/// What all blocks take by one rule.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Prediction {
    pub(super) ideal: Duration,
    pub(super) calibrated: Duration,
}

/// A prediction beside what was measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Check {
    pub(super) cores: usize,
    pub(super) mode: Mode,
    /// None on one core, where no rule is better than another.
    pub(super) rule: Option<Rule>,
    /// Of all blocks.
    pub(super) predicted: Duration,
    pub(super) measured: Duration,
    /// By how much single blocks are off, whichever way: the median, in percent.
    pub(super) block_error: f64,
}

impl Check {
    /// By how much the prediction is too long, in percent.
    pub(super) fn error(&self) -> f64 {
        percent_off(self.predicted, self.measured)
    }
}

fn percent_off(predicted: Duration, measured: Duration) -> f64 {
    if measured.is_zero() {
        return 0.0;
    }
    (predicted.as_secs_f64() / measured.as_secs_f64() - 1.0) * 100.0
}

/// Measured blocks, and what follows from them.
pub(super) struct Model<'m> {
    blocks: &'m [Measured],
    pub(super) seq: Fitted,
    pub(super) occ: Fitted,
}

impl<'m> Model<'m> {
    pub(super) fn new(blocks: &'m [Measured]) -> Self {
        let seq = Fitted::of(blocks, |block| block.seq);
        let occ = Fitted::of(blocks, |block| block.one);
        Self { blocks, seq, occ }
    }

    /// The transactions of all blocks, one after the other and alone.
    pub(super) fn alone(&self) -> Duration {
        self.blocks.iter().map(|block| Duration::from_nanos(total(&block.txs))).sum()
    }

    /// What was measured of all blocks.
    pub(super) fn measured(&self, of: fn(&Measured) -> Duration) -> Duration {
        self.blocks.iter().map(of).sum()
    }

    /// All blocks, one after the other, on so many cores; `None` stands for as many as help.
    pub(super) fn predict(&self, cores: Option<usize>) -> [Prediction; 3] {
        RULES.map(|rule| {
            let mut all = Prediction::default();
            for (place, block) in self.blocks.iter().enumerate() {
                let cores = cores.unwrap_or(block.txs.len());
                let ideal = schedule(block, cores, rule, Overhead::default());
                let calibrated = schedule(block, cores, rule, self.occ.for_block(place));
                all.ideal += Duration::from_nanos(ideal);
                all.calibrated += Duration::from_nanos(calibrated);
            }
            all
        })
    }

    /// The calibrated predictions for one and two cores beside what was measured.
    pub(super) fn checks(&self) -> Vec<Check> {
        let mut checks = vec![
            self.check(1, Mode::Seq, None, |block| block.seq),
            self.check(1, Mode::Occ, None, |block| block.one),
        ];
        let on_two = |rule| self.check(2, Mode::Occ, Some(rule), |block| block.two);
        checks.extend(RULES.map(on_two));
        checks
    }

    fn check(
        &self,
        cores: usize,
        mode: Mode,
        rule: Option<Rule>,
        of: fn(&Measured) -> Duration,
    ) -> Check {
        let fitted = match mode {
            Mode::Seq => &self.seq,
            Mode::Occ | Mode::Bal | Mode::Lanes | Mode::Auto => &self.occ,
        };
        let (mut predicted, mut measured) = (Duration::ZERO, Duration::ZERO);
        let mut errors = Vec::with_capacity(self.blocks.len());
        for (place, block) in self.blocks.iter().enumerate() {
            let rule = rule.unwrap_or(RULES[0]);
            let length = schedule(block, cores, rule, fitted.for_block(place));
            let (one, other) = (Duration::from_nanos(length), of(block));
            predicted += one;
            measured += other;
            errors.push(percent_off(one, other).abs());
        }
        errors.sort_unstable_by(f64::total_cmp);
        let block_error = errors.get(errors.len() / 2).copied().unwrap_or_default();
        Check { cores, mode, rule, predicted, measured, block_error }
    }
}

/// What a block takes, in nanoseconds.
fn schedule(block: &Measured, cores: usize, rule: Rule, overhead: Overhead) -> u64 {
    let Rule { balances, order, .. } = rule;
    let graph = ConflictGraph::new(&block.txs, block.fee_recipient, balances);
    let weights = overhead.weights(&block.txs);
    overhead.with_block(graph.schedule(cores, order, &weights).length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fugue_executor::{Field, StateField};
    use fugue_types::{Address, U256};

    const HERE: Address = Address::repeat_byte(0xc0);

    /// A transaction of a stranger that changes what it names of a contract.
    fn tx(sender: u8, nanos: u64, field: Option<Field>) -> TxAccess {
        let sender = Address::repeat_byte(sender);
        let location = |field| match field {
            Field::Slot(slot) => (HERE, Some(slot)),
            Field::Nonce | Field::Balance | Field::Code => (HERE, None),
        };
        let reads = [(sender, None)].into_iter().chain(field.map(location));
        let own = [Field::Nonce, Field::Balance].map(|field| StateField { address: sender, field });
        let writes = field.map(|field| StateField { address: HERE, field });
        TxAccess {
            sender,
            reads: reads.collect(),
            writes: own.into_iter().chain(writes).collect(),
            credits: true,
            gas_used: 21_000,
            nanos,
        }
    }

    /// Measured as if each part took so long.
    fn block(txs: Vec<TxAccess>, seq: Overhead, occ: Overhead) -> Measured {
        let of = |overhead: Overhead| {
            let all: u64 = overhead.weights(&txs).iter().sum();
            Duration::from_nanos(overhead.with_block(all))
        };
        let (seq, one) = (of(seq), of(occ));
        Measured { fee_recipient: Address::ZERO, txs, seq, one, two: one / 2 }
    }

    fn strangers(count: u8, nanos: u64) -> Vec<TxAccess> {
        (1..=count).map(|sender| tx(sender, nanos, None)).collect()
    }

    const SEQ: Overhead = Overhead { per_block: 500.0, per_tx: -20.0 };
    const OCC: Overhead = Overhead { per_block: 1_000.0, per_tx: 50.0 };

    fn blocks() -> Vec<Measured> {
        let sizes = [2, 3, 10, 20, 4, 7];
        sizes.map(|count| block(strangers(count, 100), SEQ, OCC)).into()
    }

    #[test]
    fn both_parts_of_an_overhead_are_found() {
        let blocks = blocks();
        let model = Model::new(&blocks);
        for (fitted, expected) in [(model.seq, SEQ), (model.occ, OCC)] {
            for found in [fitted.all, fitted.for_block(0), fitted.for_block(1)] {
                assert!((found.per_block - expected.per_block).abs() < 1e-6, "{found:?}");
                assert!((found.per_tx - expected.per_tx).abs() < 1e-6, "{found:?}");
            }
        }
    }

    #[test]
    fn an_overhead_that_cannot_be_told_apart_is_that_of_transactions() {
        let all = |samples: &[(usize, f64)]| {
            let Overhead { per_block, per_tx } = Overhead::fit(samples);
            (per_block, per_tx)
        };
        assert_eq!(all(&[]), (0.0, 0.0));
        assert_eq!(all(&[(10, 50.0)]), (0.0, 5.0));
        assert_eq!(all(&[(10, 50.0), (10, 70.0)]), (0.0, 6.0));
        // No block takes less than nothing.
        assert_eq!(all(&[(1, 0.0), (3, 8.0)]), (0.0, 2.0));
        assert_eq!(all(&[(0, 30.0), (0, 50.0)]), (40.0, 0.0));
        assert_eq!(all(&[(1, 30.0), (3, 70.0)]), (10.0, 20.0));
    }

    #[test]
    fn blocks_are_calibrated_by_the_others() {
        // Those in odd places take longer.
        let slow = Overhead { per_block: 0.0, per_tx: 900.0 };
        let quick = Overhead::default();
        let of = |overhead| block(strangers(4, 100), overhead, overhead);
        let blocks = [of(quick), of(slow), of(quick), of(slow)];
        let model = Model::new(&blocks);
        assert_eq!((model.occ.for_block(0), model.occ.for_block(1)), (slow, quick));
        // So each is off, and the sum is not.
        let check = model.checks()[1];
        assert_eq!((check.cores, check.mode, check.rule), (1, Mode::Occ, None));
        assert_eq!(check.predicted, check.measured);
        assert!(check.block_error > 50.0, "{check:?}");
        let alone = [of(slow)];
        assert_eq!(Model::new(&alone).occ.for_block(0), slow);
    }

    #[test]
    fn predictions_follow_the_schedule_of_each_rule() {
        let balance = Some(Field::Balance);
        let slot = Some(Field::Slot(U256::from(1)));
        let txs = vec![
            tx(1, 100, balance),
            tx(2, 100, balance),
            tx(3, 100, slot),
            tx(4, 100, slot),
            tx(5, 300, None),
        ];
        let blocks = [block(txs, Overhead::default(), Overhead::default())];
        let model = Model::new(&blocks);
        assert_eq!(model.alone(), Duration::from_nanos(700));
        let ideal = |cores| model.predict(cores).map(|found| found.ideal.as_nanos());
        assert_eq!(ideal(Some(1)), [700; 3]);
        // In block order the heaviest comes last: it begins at 200; at 100 where balances are sums.
        assert_eq!(ideal(Some(2)), [500, 400, 400]);
        // With fewer conflicts others come before it, and all ends later.
        assert_eq!(ideal(Some(3)), [300, 400, 300]);
        assert_eq!(ideal(None), [300; 3]);
        // Without an overhead both are one.
        let calibrated = model.predict(Some(2)).map(|found| found.calibrated.as_nanos());
        assert_eq!(calibrated, [500, 400, 400]);
    }

    #[test]
    fn the_calibrated_prediction_has_the_overhead() {
        let blocks = blocks();
        let model = Model::new(&blocks);
        // On as many cores as help, strangers take as long as one of them.
        let [order, ..] = model.predict(None);
        assert_eq!(order.ideal, Duration::from_nanos(6 * 100));
        assert_eq!(order.calibrated, Duration::from_nanos(6 * (1_000 + 150)));
        let checks = model.checks();
        for check in &checks[..2] {
            assert!(check.error().abs() < 0.01 && check.block_error < 0.01, "{check:?}");
        }
        // As if two cores halved all of it, which they do not.
        let rules: Vec<_> = checks[2..].iter().map(|check| (check.cores, check.rule)).collect();
        assert_eq!(rules, RULES.map(|rule| (2, Some(rule))));
        assert!(checks[2].error() > 1.0, "{checks:?}");
    }
}
