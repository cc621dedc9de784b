//! What `fugue bench simulate` shows: a text for people, an object for machines.

use super::{
    Bench,
    model::{Check, Model, Overhead, Prediction, RULES},
};
use crate::{
    bench::{cell, machine, ratio, spread::ms},
    cli::cores,
};
use serde_json::{Value, json};
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
    predictions: Vec<(Option<usize>, [Prediction; 3])>,
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

    /// What all blocks took: sequentially, in parallel on one thread, and on two.
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
        let overhead = |overhead: Overhead| {
            let Overhead { per_block, per_tx } = overhead;
            json!({ "perBlockMicros": per_block / 1e3, "perTxMicros": per_tx / 1e3 })
        };
        let predictions = self.predictions.iter().flat_map(|(count, predictions)| {
            let rules = RULES.iter().zip(predictions);
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
            "workload": workload,
            "rounds": rounds,
            "measured": {
                "transactionsMs": ms(self.model.alone()),
                "seqMs": ms(seq),
                "occ1Ms": ms(one),
                "occ2Ms": ms(two),
            },
            "overhead": {
                "seq": overhead(self.model.seq.all), "occ": overhead(self.model.occ.all),
            },
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
        let [seq, one, two] = self.measured().map(ms);
        writeln!(
            f,
            "measured   seq {seq:.3} ms, of which transactions {:.3}; occ {one:.3} ms on one \
             thread, {two:.3} on two (medians of {rounds})",
            ms(self.model.alone()),
        )?;
        for (mode, overhead) in [("seq", self.model.seq.all), ("occ", self.model.occ.all)] {
            let Overhead { per_block, per_tx } = overhead;
            writeln!(
                f,
                "overhead   {mode} {:.1} us a block, {:.2} us a transaction",
                per_block / 1e3,
                per_tx / 1e3,
            )?;
        }
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
    fn table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\n{:>5}", "")?;
        for rule in &RULES {
            write!(f, "  {:<28}", rule.words)?;
        }
        write!(f, "\n{:>5}", "cores")?;
        for _ in &RULES {
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
        writeln!(
            f,
            "block order: the first that waits for nobody, every conflict; lazy balances: balances \
             and fees are sums and no conflicts; heaviest first: the same, and the longest first. \
             ideal: transactions alone; calibrated: with what occ costs on one thread, against \
             seq\n"
        )
    }
}
