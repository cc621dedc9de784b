//! What blocks are predicted to take.
//!
//! An execution takes longer than its transactions alone: it opens and closes the block, commits,
//! and in parallel keeps versions, settles, or compares what was done with a list. [`Overhead`] has
//! that as a time per block, in which nothing else runs, and a time per transaction. Both are fit
//! on measured blocks by least squares. On more than one core each transaction takes longer by the
//! *crowding*: how much longer `seq` takes while another thread runs as well, which is taken to be
//! as much beside many. What more threads cost besides, waking them and what runs again, is not in
//! there.
//!
//! | way | who waits | the time per transaction passes |
//! | --- | --- | --- |
//! | `seq` | each for the one before | where it runs |
//! | `occ` | by the rule | where it runs |
//! | `lanes` | by the rule | as much as that of `seq` where it runs, the rest in settling |
//! | `bal` | nobody, and the longest comes first | where it runs |
//!
//! Settling is what one thread does when all have run. In `auto` each block has the way that was
//! taken on two threads, and `seq` on one core.
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

/// The rules by which transactions wait.
const RULES: [Rule; 3] = [
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

/// The rule where nobody waits.
const INDEPENDENT: [Rule; 1] = [Rule {
    name: "independent",
    words: "all at once",
    balances: Balances::Lazy,
    order: Order::Heaviest,
}];

/// What an execution takes beside its transactions, in nanoseconds. A transaction may cost less
/// than measured alone, with a clock around it and nothing in the journal.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Overhead {
    pub(super) per_block: f64,
    pub(super) per_tx: f64,
    /// What of the time per transaction passes when all have run, on one thread.
    pub(super) settling: f64,
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
                return Self { per_block, per_tx, settling: 0.0 };
            }
        }
        let (per_block, per_tx) =
            if txs > 0.0 { (0.0, beyond / txs) } else { ((beyond / count).max(0.0), 0.0) };
        Self { per_block, per_tx, settling: 0.0 }
    }

    /// As it is where a transaction runs as in `seq`, and all that it costs besides is settling.
    fn settling_beside(self, seq: Self) -> Self {
        Self { settling: (self.per_tx - seq.per_tx).max(0.0), ..self }
    }

    /// Of transactions with the part of it that they have where they run, in nanoseconds, so many
    /// times longer for those that run beside them.
    fn weights(self, txs: &[TxAccess], crowding: f64) -> Vec<u64> {
        let each = self.per_tx - self.settling;
        txs.iter().map(|tx| whole((tx.nanos as f64 + each) * crowding)).collect()
    }

    /// A block of so many transactions that, with their part, are done after so many nanoseconds.
    fn with_block(self, length: u64, txs: usize) -> u64 {
        length.saturating_add(whole(self.per_block + self.settling * txs as f64))
    }
}

/// How many times longer blocks take while another thread runs as well; never less than once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Crowding {
    /// Of all blocks.
    pub(super) all: f64,
    /// For blocks in even and in odd places: that of the others.
    others: [f64; 2],
}

impl Crowding {
    fn of(blocks: &[Measured]) -> Self {
        let among = |is_counted: &dyn Fn(usize) -> bool| {
            let counted = || blocks.iter().enumerate().filter(|(place, _)| is_counted(*place));
            let seq: Duration = counted().map(|(_, block)| block.seq).sum();
            let crowded: Duration = counted().map(|(_, block)| block.crowded).sum();
            (!seq.is_zero()).then(|| (crowded.as_secs_f64() / seq.as_secs_f64()).max(1.0))
        };
        let all = among(&|_| true).unwrap_or(1.0);
        // One block has no others.
        let others = [1, 0].map(|other| among(&|place| place % 2 == other).unwrap_or(all));
        Self { all, others }
    }

    fn for_block(&self, place: usize) -> f64 {
        self.others[place % 2]
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
    /// On the blocks of a way, or on all, by what each took on one thread.
    fn of(blocks: &[Measured], way: Option<Mode>, measured: fn(&Measured) -> Duration) -> Self {
        let sample = |block: &Measured| {
            let alone: u64 = total(&block.txs);
            (block.txs.len(), nanos(measured(block)) as f64 - alone as f64)
        };
        let of_way = blocks.iter().enumerate();
        let of_way = of_way.filter(|(_, block)| way.is_none_or(|way| block.way == way));
        let (mut all, mut halves) = (Vec::new(), [Vec::new(), Vec::new()]);
        for (place, block) in of_way {
            all.push(sample(block));
            halves[place % 2].push(sample(block));
        }
        let [even, odd] = halves;
        let others = [odd, even].map(|others| {
            // One block has no others.
            Overhead::fit(if others.is_empty() { &all } else { &others })
        });
        Self { all: Overhead::fit(&all), others }
    }

    /// That of lanes, beside that of `seq`.
    fn settling_beside(self, seq: &Self) -> Self {
        let [even, odd] = self.others;
        let others = [even.settling_beside(seq.others[0]), odd.settling_beside(seq.others[1])];
        Self { all: self.all.settling_beside(seq.all), others }
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
    mode: Mode,
    blocks: &'m [Measured],
    pub(super) seq: Fitted,
    pub(super) crowding: Crowding,
    /// Of each way on several threads that some block has, with how many have it.
    pub(super) ways: Vec<(Mode, usize, Fitted)>,
}

impl<'m> Model<'m> {
    /// Of blocks that were measured in a mode.
    pub(super) fn new(mode: Mode, blocks: &'m [Measured]) -> Self {
        let seq = Fitted::of(blocks, None, |block| block.seq);
        let mut ways = Vec::new();
        for way in [Mode::Occ, Mode::Lanes, Mode::Bal] {
            let count = blocks.iter().filter(|block| block.way == way).count();
            if count > 0 {
                let mut fitted = Fitted::of(blocks, Some(way), |block| block.base);
                if way == Mode::Lanes {
                    fitted = fitted.settling_beside(&seq);
                }
                ways.push((way, count, fitted));
            }
        }
        Self { mode, blocks, seq, crowding: Crowding::of(blocks), ways }
    }

    pub(super) const fn mode(&self) -> Mode {
        self.mode
    }

    /// The rules that there are for the mode, in the order in which they are shown.
    pub(super) const fn rules(&self) -> &'static [Rule] {
        match self.mode {
            Mode::Bal => &INDEPENDENT,
            Mode::Seq | Mode::Occ | Mode::Lanes | Mode::Auto => &RULES,
        }
    }

    /// How a block runs on so many cores.
    fn way_on(&self, block: &Measured, cores: Option<usize>) -> Mode {
        if self.mode == Mode::Auto && cores == Some(1) { Mode::Seq } else { block.way }
    }

    /// The overhead of a way, for a block in this place.
    fn overhead(&self, way: Mode, place: usize) -> Overhead {
        let found = self.ways.iter().find(|(of, _, _)| *of == way);
        found.map_or(&self.seq, |(_, _, fitted)| fitted).for_block(place)
    }

    /// The transactions of all blocks, one after the other and alone.
    pub(super) fn alone(&self) -> Duration {
        self.blocks.iter().map(|block| Duration::from_nanos(total(&block.txs))).sum()
    }

    /// What was measured of all blocks.
    pub(super) fn measured(&self, of: fn(&Measured) -> Duration) -> Duration {
        self.blocks.iter().map(of).sum()
    }

    /// All blocks, one after the other, on so many cores, by each of the rules; `None` stands for
    /// as many as help.
    pub(super) fn predict(&self, cores: Option<usize>) -> Vec<Prediction> {
        let by_rule = |rule: &Rule| {
            let mut all = Prediction::default();
            for (place, block) in self.blocks.iter().enumerate() {
                let way = self.way_on(block, cores);
                let cores = cores.unwrap_or(block.txs.len());
                let overhead = self.overhead(way, place);
                let crowding = self.crowding.for_block(place);
                let ideal = schedule(block, way, cores, *rule, Overhead::default(), 1.0);
                let calibrated = schedule(block, way, cores, *rule, overhead, crowding);
                all.ideal += Duration::from_nanos(ideal);
                all.calibrated += Duration::from_nanos(calibrated);
            }
            all
        };
        self.rules().iter().map(by_rule).collect()
    }

    /// The calibrated predictions for one and two cores beside what was measured.
    pub(super) fn checks(&self) -> Vec<Check> {
        let mut checks = vec![
            self.check(1, Mode::Seq, None, |block| block.seq),
            self.check(1, self.mode, None, |block| block.one),
        ];
        let on_two = |rule: &Rule| self.check(2, self.mode, Some(*rule), |block| block.two);
        checks.extend(self.rules().iter().map(on_two));
        checks
    }

    fn check(
        &self,
        cores: usize,
        mode: Mode,
        rule: Option<Rule>,
        of: fn(&Measured) -> Duration,
    ) -> Check {
        let (mut predicted, mut measured) = (Duration::ZERO, Duration::ZERO);
        let mut errors = Vec::with_capacity(self.blocks.len());
        for (place, block) in self.blocks.iter().enumerate() {
            let way = if mode == Mode::Seq { mode } else { self.way_on(block, Some(cores)) };
            let overhead = self.overhead(way, place);
            let (rule, crowding) = (rule.unwrap_or(RULES[0]), self.crowding.for_block(place));
            let length = schedule(block, way, cores, rule, overhead, crowding);
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

/// What a block takes in one of the ways, in nanoseconds. Who runs alone is not crowded.
fn schedule(
    block: &Measured,
    way: Mode,
    cores: usize,
    rule: Rule,
    overhead: Overhead,
    crowding: f64,
) -> u64 {
    let Measured { fee_recipient, txs, .. } = block;
    let is_alone = cores == 1 || way == Mode::Seq;
    let weights = overhead.weights(txs, if is_alone { 1.0 } else { crowding });
    let (cores, order, graph) = match way {
        Mode::Seq => (1, Order::Block, ConflictGraph::independent(txs, *fee_recipient)),
        Mode::Bal => (cores, Order::Heaviest, ConflictGraph::independent(txs, *fee_recipient)),
        Mode::Occ | Mode::Lanes | Mode::Auto => {
            (cores, rule.order, ConflictGraph::new(txs, *fee_recipient, rule.balances))
        }
    };
    overhead.with_block(graph.schedule(cores, order, &weights).length, txs.len())
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
            sees: Vec::new(),
            credits: true,
            gas_used: 21_000,
            nanos,
        }
    }

    /// Measured as if each part took so long.
    fn block(txs: Vec<TxAccess>, seq: Overhead, occ: Overhead) -> Measured {
        in_way(Mode::Occ, txs, seq, occ)
    }

    /// The same, of a block that runs in some way on two threads.
    fn in_way(way: Mode, txs: Vec<TxAccess>, seq: Overhead, other: Overhead) -> Measured {
        let of = |overhead: Overhead| {
            let all: u64 = overhead.weights(&txs, 1.0).iter().sum();
            Duration::from_nanos(overhead.with_block(all, txs.len()))
        };
        let (seq, one) = (of(seq), of(other));
        let (fee_recipient, crowded, base, two) = (Address::ZERO, seq, one, one / 2);
        Measured { fee_recipient, txs, way, seq, crowded, base, one, two }
    }

    fn strangers(count: u8, nanos: u64) -> Vec<TxAccess> {
        (1..=count).map(|sender| tx(sender, nanos, None)).collect()
    }

    const SEQ: Overhead = Overhead { per_block: 500.0, per_tx: -20.0, settling: 0.0 };
    const OCC: Overhead = Overhead { per_block: 1_000.0, per_tx: 50.0, settling: 0.0 };

    /// The overhead of the only way on several threads.
    fn only<'f>(model: &'f Model<'_>) -> &'f Fitted {
        let [(_, _, fitted)] = &model.ways[..] else { panic!("one way: {:?}", model.ways) };
        fitted
    }

    fn blocks() -> Vec<Measured> {
        let sizes = [2, 3, 10, 20, 4, 7];
        sizes.map(|count| block(strangers(count, 100), SEQ, OCC)).into()
    }

    #[test]
    fn both_parts_of_an_overhead_are_found() {
        let blocks = blocks();
        let model = Model::new(Mode::Occ, &blocks);
        for (fitted, expected) in [(model.seq, SEQ), (*only(&model), OCC)] {
            for found in [fitted.all, fitted.for_block(0), fitted.for_block(1)] {
                assert!((found.per_block - expected.per_block).abs() < 1e-6, "{found:?}");
                assert!((found.per_tx - expected.per_tx).abs() < 1e-6, "{found:?}");
            }
        }
    }

    #[test]
    fn an_overhead_that_cannot_be_told_apart_is_that_of_transactions() {
        let all = |samples: &[(usize, f64)]| {
            let Overhead { per_block, per_tx, settling } = Overhead::fit(samples);
            assert_eq!(settling, 0.0);
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
        let slow = Overhead { per_tx: 900.0, ..Overhead::default() };
        let quick = Overhead::default();
        let of = |overhead| block(strangers(4, 100), overhead, overhead);
        let blocks = [of(quick), of(slow), of(quick), of(slow)];
        let model = Model::new(Mode::Occ, &blocks);
        assert_eq!((only(&model).for_block(0), only(&model).for_block(1)), (slow, quick));
        // So each is off, and the sum is not.
        let check = model.checks()[1];
        assert_eq!((check.cores, check.mode, check.rule), (1, Mode::Occ, None));
        assert_eq!(check.predicted, check.measured);
        assert!(check.block_error > 50.0, "{check:?}");
        let alone = [of(slow)];
        assert_eq!(only(&Model::new(Mode::Occ, &alone)).for_block(0), slow);
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
        let model = Model::new(Mode::Occ, &blocks);
        assert_eq!(model.alone(), Duration::from_nanos(700));
        let ideal = |cores| -> Vec<u128> {
            model.predict(cores).iter().map(|found| found.ideal.as_nanos()).collect()
        };
        assert_eq!(ideal(Some(1)), [700; 3]);
        // In block order the heaviest comes last: it begins at 200; at 100 where balances are sums.
        assert_eq!(ideal(Some(2)), [500, 400, 400]);
        // With fewer conflicts others come before it, and all ends later.
        assert_eq!(ideal(Some(3)), [300, 400, 300]);
        assert_eq!(ideal(None), [300; 3]);
        // Without an overhead both are one.
        let calibrated = model.predict(Some(2)).into_iter().map(|it| it.calibrated.as_nanos());
        assert_eq!(calibrated.collect::<Vec<_>>(), [500, 400, 400]);
    }

    #[test]
    fn the_calibrated_prediction_has_the_overhead() {
        let blocks = blocks();
        let model = Model::new(Mode::Occ, &blocks);
        // On as many cores as help, strangers take as long as one of them.
        let order = model.predict(None)[0];
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

    /// Two that meet at a slot, and two heavier ones of strangers, the heaviest last.
    fn meeting() -> Vec<TxAccess> {
        let slot = Some(Field::Slot(U256::from(1)));
        vec![tx(1, 100, slot), tx(2, 100, slot), tx(3, 200, None), tx(4, 400, None)]
    }

    #[test]
    fn by_a_list_nobody_waits_and_the_heaviest_comes_first() {
        let cost = Overhead { per_tx: 10.0, ..OCC };
        let blocks = [in_way(Mode::Bal, meeting(), SEQ, cost)];
        let model = Model::new(Mode::Bal, &blocks);
        let predict = |cores| -> Vec<(u128, u128)> {
            let found = model.predict(cores).into_iter();
            found.map(|found| (found.ideal.as_nanos(), found.calibrated.as_nanos())).collect()
        };
        // One rule. What one block costs beside its transactions is taken for theirs: 260 of each.
        assert_eq!(predict(Some(1)), [(800, 1_840)]);
        assert_eq!(predict(Some(2)), [(400, 660 + 360)]);
        assert_eq!(predict(Some(4)), [(400, 660)]);
        let checks = model.checks();
        let keys: Vec<_> = checks.iter().map(|check| (check.cores, check.mode)).collect();
        assert_eq!(keys, [(1, Mode::Seq), (1, Mode::Bal), (2, Mode::Bal)]);
        assert!(checks[1].error().abs() < 0.01, "{checks:?}");
    }

    #[test]
    fn settling_lanes_is_not_shared_among_cores() {
        // Enough sizes to tell a block from its transactions.
        let cost = Overhead { per_tx: 30.0, ..SEQ };
        let sizes = [2, 3, 10, 20, 4, 7];
        let of = |count| in_way(Mode::Lanes, strangers(count, 100), SEQ, cost);
        let blocks: Vec<Measured> = sizes.into_iter().map(of).collect();
        let model = Model::new(Mode::Lanes, &blocks);
        assert!((only(&model).all.settling - 50.0).abs() < 1e-6, "{:?}", only(&model));
        // The transactions as in `seq`, 80 each, on any number of cores; settling 50 each on one.
        let txs: u64 = sizes.map(u64::from).into_iter().sum();
        let expected = |ran: u64| Duration::from_nanos(6 * 500 + ran + 50 * txs);
        let calibrated = |cores| model.predict(cores)[0].calibrated;
        assert_eq!(calibrated(Some(1)), expected(80 * txs));
        let pairs: u64 = sizes.map(|count| u64::from(count).div_ceil(2)).into_iter().sum();
        assert_eq!(calibrated(Some(2)), expected(80 * pairs));
        assert_eq!(calibrated(None), expected(80 * 6));
        assert!(model.checks()[1].error().abs() < 0.01, "{:?}", model.checks());
        // What is cheaper than `seq` has nothing to settle.
        let cheap = Overhead { per_tx: -40.0, ..SEQ };
        assert_eq!(cheap.settling_beside(SEQ), cheap);
    }

    #[test]
    fn auto_is_sequential_on_one_core_and_each_block_has_its_way_on_more() {
        let none = Overhead::default();
        let cost = Overhead { per_tx: 50.0, ..none };
        let lanes = in_way(Mode::Lanes, meeting(), none, cost);
        let list = in_way(Mode::Bal, meeting(), none, none);
        let seq = in_way(Mode::Seq, meeting(), none, none);
        let of = |block: Measured| {
            // On one thread `auto` does what `seq` does.
            let blocks = [Measured { one: block.seq, ..block }];
            let model = Model::new(Mode::Auto, &blocks);
            assert!(model.checks()[1].error().abs() < 0.01, "{:?}", model.checks());
            [Some(1), Some(2), None].map(|cores| model.predict(cores)[0].calibrated.as_nanos())
        };
        // On two cores the heaviest begins when the first pair and the third have ended: at 200.
        assert_eq!(of(lanes), [800, 600 + 4 * 50, 400 + 4 * 50]);
        assert_eq!(of(list), [800, 400, 400]);
        assert_eq!(of(seq), [800, 800, 800]);
    }

    #[test]
    fn who_runs_beside_others_takes_longer() {
        let none = Overhead::default();
        let of = |way, crowded| {
            let block = in_way(way, strangers(4, 100), none, none);
            Measured { crowded: block.seq * crowded / 4, ..block }
        };
        let predict = |blocks: &[Measured]| {
            let model = Model::new(Mode::Auto, blocks);
            let found = [Some(1), Some(2), None].map(|cores| model.predict(cores)[0]);
            (found.map(|it| it.calibrated.as_nanos()), found.map(|it| it.ideal.as_nanos()))
        };
        let ideal = [400, 200, 100];
        assert_eq!(predict(&[of(Mode::Lanes, 5)]), ([400, 250, 125], ideal));
        assert_eq!(predict(&[of(Mode::Seq, 5)]), ([400; 3], [400; 3]));
        // Less than alone is noise.
        assert_eq!(predict(&[of(Mode::Lanes, 3)]), (ideal, ideal));
        // Each block by the others: 200 as they are, and 200 a quarter longer.
        let two = [of(Mode::Lanes, 5), of(Mode::Lanes, 4)];
        assert_eq!(predict(&two).0, [800, 200 + 250, 100 + 125]);
        let crowding = Model::new(Mode::Auto, &two).crowding;
        assert_eq!((crowding.all, crowding.others), (1.125, [1.0, 1.25]));
    }

    #[test]
    fn ways_are_calibrated_apart() {
        let none = Overhead::default();
        let cost = |per_tx| Overhead { per_tx, ..none };
        let of = |way, per_tx| in_way(way, strangers(4, 100), none, cost(per_tx));
        let blocks = [of(Mode::Lanes, 30.0), of(Mode::Bal, 70.0), of(Mode::Seq, 900.0)];
        let model = Model::new(Mode::Auto, &blocks);
        let found: Vec<_> =
            model.ways.iter().map(|(way, count, fitted)| (*way, *count, fitted.all)).collect();
        let settled = Overhead { settling: 30.0, ..cost(30.0) };
        assert_eq!(found, [(Mode::Lanes, 1, settled), (Mode::Bal, 1, cost(70.0))]);
        assert_eq!(model.seq.all, none);
    }
}
