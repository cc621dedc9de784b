//! What `fugue bench simulate` shows: a text for people, an object for machines.

use super::{
    Bench,
    model::{Check, Model, Overhead, Prediction},
};
use crate::{
    bench::{cell, machine, ratio, spread::ms},
    cli::cores,
};
use fugue_executor::Mode;
use serde_json::{Map, Value, json};
use std::{fmt, time::Duration};

/// Where the blocks are from.
pub(super) enum Source {
    /// With the object that describes them.
    Generated(Value),
    Bundles,
}

/// What was measured, and what is predicted.
pub(super) struct Report<'r> {
    bench: &'r Bench,
    source: Source,
    model: &'r Model<'r>,
    /// By number of cores; `None` stands for as many as help.
    predictions: Vec<(Option<usize>, Vec<Prediction>)>,
    checks: Vec<Check>,
}

impl<'r> Report<'r> {
    /// Predicts for these numbers of cores.
    pub(super) fn new(
        bench: &'r Bench,
        source: Source,
        model: &'r Model<'r>,
        counts: &[usize],
    ) -> Self {
        let counts = counts.iter().copied().map(Some).chain([None]);
        let predictions = counts.map(|count| (count, model.predict(count))).collect();
        Self { bench, source, model, predictions, checks: model.checks() }
    }

    /// What all blocks took: sequentially, in the mode on one thread, and on two.
    fn measured(&self) -> [Duration; 3] {
        let Self { model, .. } = self;
        [
            model.measured(|block| block.seq),
            model.measured(|block| block.one),
            model.measured(|block| block.two),
        ]
    }

    /// How many times faster than the transactions alone, and than the sequential execution.
    fn speed_ups(&self, prediction: &Prediction) -> [Option<f64>; 2] {
        let [seq, ..] = self.measured();
        let Prediction { ideal, calibrated } = *prediction;
        [ratio(self.model.alone(), ideal), ratio(seq, calibrated)]
    }

    pub(super) fn to_json(&self) -> Value {
        let Bench { rounds, amount, partial, differed, fallbacks, .. } = self.bench;
        let workload = match &self.source {
            Source::Generated(workload) => workload.clone(),
            Source::Bundles => json!({
                "kind": "bundles", "blocks": amount.blocks, "txs": amount.txs,
                "gasUsed": amount.gas, "partial": partial,
            }),
        };
        let [seq, one, two] = self.measured();
        let overhead = |(way, overhead): (Mode, Overhead)| {
            let Overhead { per_block, per_tx, settling } = overhead;
            let object = json!({
                "perBlockMicros": per_block / 1e3,
                "perTxMicros": per_tx / 1e3,
                "settlingPerTxMicros": settling / 1e3,
            });
            (way.to_string(), object)
        };
        let overheads: Map<String, Value> = self.overheads().into_iter().map(overhead).collect();
        let ways = self.ways().into_iter().map(|(way, count)| (way.to_string(), json!(count)));
        let ways: Map<String, Value> = ways.collect();
        let predictions = self.predictions.iter().flat_map(|(count, predictions)| {
            let rules = self.model.rules().iter().zip(predictions);
            rules.map(move |(rule, prediction)| {
                let [ideal, calibrated] = self.speed_ups(prediction);
                json!({
                    "cores": count,
                    "rule": rule.name,
                    "idealMs": ms(prediction.ideal),
                    "idealSpeedUp": ideal,
                    "ms": ms(prediction.calibrated),
                    "speedUp": calibrated,
                })
            })
        });
        let checks = self.checks.iter().map(|check| {
            json!({
                "cores": check.cores,
                "mode": check.mode.to_string(),
                "rule": check.rule.map(|rule| rule.name),
                "predictedMs": ms(check.predicted),
                "measuredMs": ms(check.measured),
                "errorPercent": check.error(),
                "blockErrorPercent": check.block_error,
            })
        });
        json!({
            "type": "bench-simulate",
            "cores": cores(),
            "mode": self.model.mode().to_string(),
            "workload": workload,
            "rounds": rounds,
            "ways": ways,
            "measured": {
                "transactionsMs": ms(self.model.alone()),
                "seqMs": ms(seq),
                "oneMs": ms(one),
                "twoMs": ms(two),
                "crowding": self.model.crowding.all,
            },
            "overhead": overheads,
            "predictions": predictions.collect::<Vec<_>>(),
            "checks": checks.collect::<Vec<_>>(),
            "fallbacks": fallbacks,
            "outcomesEqual": *differed == 0,
        })
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Bench { rounds, amount, partial, differed, fallbacks, .. } = self.bench;
        let what = match self.source {
            Source::Generated(_) => "generated".to_owned(),
            Source::Bundles if *partial > 0 => {
                format!("bundles ({partial} without state left out)")
            }
            Source::Bundles => "bundles".to_owned(),
        };
        write!(f, "{}", machine(2))?;
        writeln!(
            f,
            "workload   {what}: {} blocks, {} transactions, {:.1} Mgas",
            amount.blocks,
            amount.txs,
            amount.gas as f64 / 1e6
        )?;
        let mode = self.model.mode();
        let [seq, one, two] = self.measured().map(ms);
        writeln!(
            f,
            "measured   seq {seq:.3} ms, of which transactions {:.3}; {mode} {one:.3} ms on one \
             thread, {two:.3} on two (medians of {rounds})",
            ms(self.model.alone()),
        )?;
        let ways = self.ways();
        if mode == Mode::Auto || ways.len() > 1 {
            let ways = ways.into_iter().map(|(way, count)| format!("{count} in {way}"));
            writeln!(f, "ways       {}", ways.collect::<Vec<_>>().join(", "))?;
        }
        for (way, overhead) in self.overheads() {
            let Overhead { per_block, per_tx, settling } = overhead;
            let [per_block, per_tx, settling] = [per_block, per_tx, settling].map(|it| it / 1e3);
            write!(f, "overhead   {way} {per_block:.1} us a block, {per_tx:.2} us a transaction")?;
            if way == Mode::Lanes {
                write!(f, ", of which {settling:.2} us when all have run")?;
            }
            writeln!(f)?;
        }
        let crowding = (self.model.crowding.all - 1.0) * 100.0;
        writeln!(f, "crowding   {crowding:.1} % longer while another thread runs as well")?;
        self.table(f)?;
        for check in &self.checks {
            let Check { cores, mode, predicted, measured, block_error, rule } = check;
            let rule = rule.map_or("", |rule| rule.words);
            writeln!(
                f,
                "check      {cores} of {mode} {rule:<14} predicted {:>10.3} ms, measured {:>10.3}: \
                 {:+.1} %, single blocks {block_error:.1} %",
                ms(*predicted),
                ms(*measured),
                check.error(),
            )?;
        }
        if *fallbacks > 0 {
            writeln!(f, "parallel runs that ended early: {fallbacks}")?;
        }
        if *differed == 0 {
            writeln!(f, "outcomes: equal")
        } else {
            writeln!(f, "outcomes: {differed} DIFFERENT")
        }
    }
}

impl Report<'_> {
    /// How blocks ran on two threads, and how many of them.
    fn ways(&self) -> Vec<(Mode, usize)> {
        let parallel: Vec<(Mode, usize)> =
            self.model.ways.iter().map(|(way, count, _)| (*way, *count)).collect();
        let rest = self.bench.blocks.len() - parallel.iter().map(|(_, count)| count).sum::<usize>();
        let rest = (rest > 0).then_some((Mode::Seq, rest));
        parallel.into_iter().chain(rest).collect()
    }

    /// Of `seq`, and of each way on several threads.
    fn overheads(&self) -> Vec<(Mode, Overhead)> {
        let parallel = self.model.ways.iter().map(|(way, _, fitted)| (*way, fitted.all));
        std::iter::once((Mode::Seq, self.model.seq.all)).chain(parallel).collect()
    }

    fn table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rules = self.model.rules();
        write!(f, "\n{:>5}", "")?;
        for rule in rules {
            write!(f, "  {:<28}", rule.words)?;
        }
        write!(f, "\n{:>5}", "cores")?;
        for _ in rules {
            write!(f, "  {:>7} {:>12} {:>7}", "ideal", "calibrated", "")?;
        }
        writeln!(f)?;
        for (count, predictions) in &self.predictions {
            write!(f, "{:>5}", count.map_or("any".to_owned(), |count| count.to_string()))?;
            for prediction in predictions {
                let [ideal, calibrated] = self.speed_ups(prediction).map(|times| cell(times, 2));
                let ms = ms(prediction.calibrated);
                write!(
                    f,
                    "  {:>7} {:>9.3} ms {:>7}",
                    format!("x{ideal}"),
                    ms,
                    format!("x{calibrated}")
                )?;
            }
            writeln!(f)?;
        }
        let rules = if self.model.mode() == Mode::Bal {
            "all at once: nobody waits, and the longest comes first"
        } else {
            "block order: the first that waits for nobody, every conflict; lazy balances: balances \
             and fees are sums and no conflicts; heaviest first: the same, and the longest first"
        };
        let costs = match self.model.mode() {
            Mode::Auto => "the way of each block costs".to_owned(),
            mode => format!("{mode} costs"),
        };
        writeln!(
            f,
            "{rules}. ideal: transactions alone; calibrated: with what {costs} on one thread and \
             the crowding, against seq\n"
        )
    }
}
