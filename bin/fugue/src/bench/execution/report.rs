//! What `fugue bench execution` shows: a text for people, an object for machines.

use super::{
    hints::HintsFrom,
    measure::{Measured, Samples},
};
use crate::{
    bench::{cell, per_second, ratio, spread::ms},
    cli::cores,
};
use fugue_executor::Mode;
use serde_json::{Value, json};
use std::{fmt, time::Duration};

/// Gas from which on blocks are told apart: below it, a block is over before threads are awake.
const BIG_GAS: u64 = 4_000_000;

/// Blocks that were measured with the same threads and the same latency.
pub(super) struct Group {
    /// The path, or what was generated.
    pub(super) workload: String,
    /// How many transactions of a hundred aim at the hot place, where that was chosen.
    pub(super) share: Option<u8>,
    /// Whether it is of recorded blocks, which have a total.
    pub(super) is_recorded: bool,
    pub(super) threads: usize,
    pub(super) latency: Duration,
    pub(super) blocks: Vec<Measured>,
}

/// What was measured, and how.
pub(super) struct Report<'r> {
    pub(super) modes: &'r [Mode],
    pub(super) samples: usize,
    pub(super) seed: u64,
    pub(super) hints: HintsFrom,
    pub(super) recover: bool,
    pub(super) per_block: bool,
    pub(super) groups: Vec<Group>,
    /// What was not measured, and why.
    pub(super) left_out: Vec<String>,
}

/// Some samples in three numbers; zero where there are none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Times {
    least: Duration,
    /// The one in the middle, or what is between the two in the middle.
    median: Duration,
    most: Duration,
}

impl Times {
    fn of(samples: &[Duration]) -> Self {
        let mut sorted = samples.to_vec();
        sorted.sort_unstable();
        let [Some(least), Some(most)] = [sorted.first(), sorted.last()] else {
            return Self::default();
        };
        let middle = [(sorted.len() - 1) / 2, sorted.len() / 2];
        let [low, high] = middle.map(|index| sorted[index]);
        Self { least: *least, median: (low + high) / 2, most: *most }
    }
}

/// Blocks of a group, added up sample by sample.
struct Sum {
    blocks: usize,
    txs: usize,
    gas: u64,
    failed: usize,
    /// For each mode.
    runs: Vec<Samples>,
}

impl Sum {
    fn of<'m>(blocks: impl Iterator<Item = &'m Measured>, modes: usize) -> Self {
        let runs = vec![Samples::default(); modes];
        let mut sum = Self { blocks: 0, txs: 0, gas: 0, failed: 0, runs };
        for block in blocks {
            let Measured { name: _, number: _, txs, gas, failed, runs, differences: _ } = block;
            sum.blocks += 1;
            sum.txs += txs;
            sum.gas += gas;
            sum.failed += failed;
            sum.runs.iter_mut().zip(runs).for_each(|(total, run)| total.add(run));
        }
        sum
    }

    /// How many times as fast as `seq`, which is the first mode, beside it.
    fn speed_up(&self, run: &Samples) -> Option<f64> {
        speed_up(&self.runs, run)
    }

    fn recovering_speed_up(&self, run: &Samples) -> Option<f64> {
        let seq = Times::of(&self.runs.first()?.recovered).median;
        ratio(seq, Times::of(&run.recovered).median)
    }

    fn mgas_per_second(&self, time: Duration) -> Option<f64> {
        per_second(self.gas as f64 / 1e6, time)
    }
}

fn speed_up(runs: &[Samples], run: &Samples) -> Option<f64> {
    let seq = Times::of(&runs.first()?.executed).median;
    ratio(seq, Times::of(&run.executed).median)
}

/// The block in which a mode is slowest beside `seq`.
fn worst<'m>(
    blocks: impl Iterator<Item = &'m Measured>,
    mode: usize,
) -> Option<(&'m Measured, f64)> {
    let ratios =
        blocks.filter_map(|block| Some((block, speed_up(&block.runs, block.runs.get(mode)?)?)));
    ratios.min_by(|(_, one), (_, other)| one.total_cmp(other))
}

const fn is_big(block: &&Measured) -> bool {
    block.gas >= BIG_GAS
}

/// Where a worst block is named.
fn told((block, ratio): (&Measured, f64)) -> Value {
    json!({ "name": block.name, "number": block.number, "ratio": ratio })
}

impl Report<'_> {
    /// Outcomes that differ.
    fn differences(&self) -> impl Iterator<Item = &String> {
        let blocks = self.groups.iter().flat_map(|group| &group.blocks);
        blocks.flat_map(|block| &block.differences)
    }

    /// Whether each mode gave what `seq` gave.
    pub(super) fn is_good(&self) -> bool {
        self.differences().next().is_none()
    }

    fn names(&self) -> Vec<String> {
        self.modes.iter().map(Mode::to_string).collect()
    }

    /// How many for each sample, on the average.
    fn per_sample(&self, count: usize) -> f64 {
        count as f64 / self.samples.max(1) as f64
    }

    fn run_json(&self, sum: &Sum, mode: Mode, run: &Samples) -> Value {
        let timed = |samples: &[Duration], ratio: Option<f64>| {
            let Times { least, median, most } = Times::of(samples);
            json!({
                "medianMs": ms(median),
                "minMs": ms(least),
                "maxMs": ms(most),
                "mgasPerSecond": sum.mgas_per_second(median),
                "txPerSecond": per_second(sum.txs as f64, median),
                "ratio": ratio,
            })
        };
        let mut object = json!({
            "mode": mode.to_string(),
            "P": timed(&run.executed, sum.speed_up(run)),
            "reExecutedTxs": self.per_sample(run.rerun_txs),
            "fallbacks": run.fallbacks,
            "ways": run.ways,
        });
        if self.recover {
            object["recoverP"] = timed(&run.recovered, sum.recovering_speed_up(run));
        }
        if let Some(mean) = run.waits.mean() {
            object["firstReads"] = json!(run.waits.reads as f64 / self.samples.max(1) as f64);
            object["firstReadUs"] = json!(us(mean));
        }
        object
    }

    fn runs_json(&self, sum: &Sum) -> Vec<Value> {
        let runs = self.modes.iter().zip(&sum.runs);
        runs.map(|(mode, run)| self.run_json(sum, *mode, run)).collect()
    }

    fn group_json(&self, group: &Group) -> Value {
        let Group { workload, share, is_recorded, threads, latency, blocks } = group;
        let sum = Sum::of(blocks.iter(), self.modes.len());
        let mut object = json!({
            "workload": workload,
            "kind": if *is_recorded { "recorded" } else { "generated" },
            "conflictPercent": share,
            "threads": threads,
            "latencyUs": latency.as_micros() as u64,
            "blocks": sum.blocks,
            "txs": sum.txs,
            "gasUsed": sum.gas,
            "failedTxs": sum.failed,
            "runs": self.runs_json(&sum),
        });
        if *is_recorded {
            let big = Sum::of(blocks.iter().filter(is_big), self.modes.len());
            object["big"] = json!({
                "gasMin": BIG_GAS,
                "blocks": big.blocks,
                "txs": big.txs,
                "gasUsed": big.gas,
                "runs": self.runs_json(&big),
            });
            let worst_of = |mode: usize| {
                json!({
                    "mode": self.modes[mode].to_string(),
                    "all": worst(blocks.iter(), mode).map(told),
                    "big": worst(blocks.iter().filter(is_big), mode).map(told),
                })
            };
            object["worst"] = (1..self.modes.len()).map(worst_of).collect();
            let per_block = |block: &Measured| {
                let sum = Sum::of(std::iter::once(block), self.modes.len());
                json!({
                    "name": block.name,
                    "number": block.number,
                    "txs": block.txs,
                    "gasUsed": block.gas,
                    "runs": self.runs_json(&sum),
                })
            };
            object["perBlock"] = blocks.iter().map(per_block).collect();
        }
        object
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "type": "bench-execution",
            "measures": "P",
            "cores": cores(),
            "modes": self.names(),
            "samples": self.samples,
            "seed": self.seed,
            "hints": self.hints.to_string(),
            "recovered": "before",
            "groups": self.groups.iter().map(|group| self.group_json(group)).collect::<Vec<_>>(),
            "leftOut": self.left_out,
            "outcomesEqual": self.is_good(),
            "differences": self.differences().collect::<Vec<_>>(),
        })
    }

    /// Room for the longest name.
    fn width(&self) -> usize {
        let names = self.groups.iter().map(|group| group.workload.chars().count());
        names.max().unwrap_or_default().max("workload".len())
    }

    fn head(&self, f: &mut fmt::Formatter<'_>, first: &str) -> fmt::Result {
        write!(
            f,
            "\n{first:<width$} {:>4} {:>4} {:>5} {:<5} {:>10} {:>19} {:>9} {:>9} {:>6} {:>7} {:>5}",
            "hot%",
            "thr",
            "us",
            "mode",
            "P ms",
            "least..most",
            "Mgas/s",
            "tx/s",
            "ratio",
            "re-exec",
            "fall",
            width = self.width(),
        )?;
        if self.recover {
            write!(f, " {:>10} {:>19} {:>6}", "rec+P ms", "least..most", "ratio")?;
        }
        if self.groups.iter().any(|group| !group.latency.is_zero()) {
            write!(f, " {:>9}", "read us")?;
        }
        writeln!(f, "  ways")
    }

    /// A line for each mode.
    fn rows(
        &self,
        f: &mut fmt::Formatter<'_>,
        first: &str,
        group: &Group,
        sum: &Sum,
    ) -> fmt::Result {
        let width = self.width();
        let share = group.share.map_or("-".to_owned(), |share| share.to_string());
        for (mode, run) in self.modes.iter().zip(&sum.runs) {
            let times = Times::of(&run.executed);
            write!(
                f,
                "{first:<width$} {share:>4} {:>4} {:>5} {:<5} {:>10.3} {:>19} {:>9} {:>9} {:>6} \
                 {:>7.1} {:>5}",
                group.threads,
                group.latency.as_micros(),
                mode.to_string(),
                ms(times.median),
                range(times),
                cell(sum.mgas_per_second(times.median), 1),
                cell(per_second(sum.txs as f64, times.median), 0),
                cell(sum.speed_up(run), 2),
                self.per_sample(run.rerun_txs),
                run.fallbacks,
            )?;
            if self.recover {
                let times = Times::of(&run.recovered);
                let ratio = cell(sum.recovering_speed_up(run), 2);
                write!(f, " {:>10.3} {:>19} {ratio:>6}", ms(times.median), range(times))?;
            }
            if !group.latency.is_zero() {
                write!(f, " {:>9}", cell(run.waits.mean().map(us), 1))?;
            }
            writeln!(f, "  {}", told_ways(run))?;
        }
        Ok(())
    }

    /// Of recorded blocks, which of them a mode makes slowest.
    fn worst_lines(&self, f: &mut fmt::Formatter<'_>, group: &Group) -> fmt::Result {
        for (index, mode) in self.modes.iter().enumerate().skip(1) {
            let all = worst(group.blocks.iter(), index);
            let big = worst(group.blocks.iter().filter(is_big), index);
            for (of, found) in [("all blocks", all), ("4 Mgas and more", big)] {
                if let Some((block, ratio)) = found {
                    let Measured { number, name, .. } = block;
                    writeln!(f, "  worst of {of}, {mode}: {ratio:.2} at {number} ({name})")?;
                }
            }
        }
        Ok(())
    }
}

/// How many samples took which way.
fn told_ways(run: &Samples) -> String {
    let told: Vec<String> = run.ways.iter().map(|(way, count)| format!("{count} {way}")).collect();
    if told.is_empty() { "-".to_owned() } else { told.join("; ") }
}

/// The least and the most, in milliseconds.
fn range(Times { least, most, .. }: Times) -> String {
    format!("{:.3}..{:.3}", ms(least), ms(most))
}

fn us(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let modes = self.names();
        writeln!(f, "machine    {} cores", cores())?;
        writeln!(
            f,
            "measured   P: execution alone, in memory, from a prepared block to its outcome; code \
             analysed before.\n           R and D are measured by bench root and bench import"
        )?;
        let recovered = if self.recover {
            "before, not in P; in \"rec+P\", on all threads in every mode"
        } else {
            "before, not in the times"
        };
        writeln!(f, "recovered  {recovered}")?;
        writeln!(
            f,
            "samples    {} of each mode after one warm-up, in turn ({}, {}, ...); medians; ratio: \
             how many times as fast as the seq beside it",
            self.samples,
            modes.join(", "),
            modes.first().map_or("", String::as_str),
        )?;
        writeln!(f, "generated  seed {}", self.seed)?;
        let hints = match self.hints {
            HintsFrom::Cold => "cold: nothing is known of other blocks",
            HintsFrom::Earlier => "earlier: what blocks of lower numbers have taught",
        };
        writeln!(f, "hints      {hints}")?;
        self.head(f, "workload")?;
        for group in &self.groups {
            let sum = Sum::of(group.blocks.iter(), self.modes.len());
            self.rows(f, &group.workload, group, &sum)?;
            if group.is_recorded {
                let big = Sum::of(group.blocks.iter().filter(is_big), self.modes.len());
                self.rows(f, "  4 Mgas and more", group, &big)?;
                self.worst_lines(f, group)?;
            }
            if sum.failed > 0 {
                writeln!(f, "  {} of {} transactions fail", sum.failed, sum.txs)?;
            }
        }
        for group in self.groups.iter().filter(|group| self.per_block && group.is_recorded) {
            self.head(f, "block")?;
            for block in &group.blocks {
                let sum = Sum::of(std::iter::once(block), self.modes.len());
                self.rows(f, &block.number.to_string(), group, &sum)?;
            }
        }
        writeln!(f)?;
        for reason in &self.left_out {
            writeln!(f, "left out: {reason}")?;
        }
        for difference in self.differences() {
            writeln!(f, "DIFFERENT: {difference}")?;
        }
        let verdict = if self.is_good() { "equal" } else { "DIFFERENT" };
        writeln!(f, "outcomes: {verdict}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(executed: &[u64]) -> Samples {
        let executed = executed.iter().copied().map(Duration::from_millis).collect();
        Samples { executed, ..Samples::default() }
    }

    fn block(number: u64, gas: u64, seq: &[u64], occ: &[u64]) -> Measured {
        let runs = vec![samples(seq), samples(occ)];
        let name = number.to_string();
        Measured { name, number, txs: 1, gas, failed: 0, runs, differences: Vec::new() }
    }

    #[test]
    fn the_median_is_in_the_middle() {
        let of = |all: &[u64]| {
            let Times { least, median, most } = Times::of(&samples(all).executed);
            [least, median, most].map(|time| time.as_millis())
        };
        assert_eq!(of(&[]), [0; 3]);
        assert_eq!(of(&[7]), [7; 3]);
        assert_eq!(of(&[9, 1, 5]), [1, 5, 9]);
        assert_eq!(of(&[8, 1, 2, 4]), [1, 3, 8]);
    }

    #[test]
    fn a_ratio_is_of_medians_of_sums_and_not_a_mean_of_ratios() {
        let blocks = [block(1, 9, &[10, 10, 90], &[5, 5, 5]), block(2, 9, &[1, 1, 1], &[6, 6, 6])];
        let sum = Sum::of(blocks.iter(), 2);
        assert_eq!((sum.blocks, sum.txs, sum.gas), (2, 2, 18));
        assert_eq!(sum.speed_up(&sum.runs[1]), Some(1.0));
        assert_eq!(sum.speed_up(&sum.runs[0]), Some(1.0));
    }

    #[test]
    fn the_worst_block_is_named_also_of_the_large_ones() {
        let blocks = [
            block(1, BIG_GAS, &[10], &[5]),
            block(2, BIG_GAS, &[10], &[8]),
            block(3, BIG_GAS - 1, &[10], &[20]),
        ];
        let named = |found: Option<(&Measured, f64)>| found.map(|(block, _)| block.number);
        assert_eq!(named(worst(blocks.iter(), 1)), Some(3));
        assert_eq!(named(worst(blocks.iter().filter(is_big), 1)), Some(2));
        assert_eq!(named(worst(blocks.iter().take(0), 1)), None);
    }

    #[test]
    fn an_outcome_that_differs_is_told() {
        let mut differs = block(1, 9, &[1], &[1]);
        differs.differences.push("1, occ: another root".to_owned());
        let group = Group {
            workload: "some".to_owned(),
            share: None,
            is_recorded: true,
            threads: 2,
            latency: Duration::ZERO,
            blocks: vec![differs],
        };
        let report = Report {
            modes: &[Mode::Seq, Mode::Occ],
            samples: 1,
            seed: 1,
            hints: HintsFrom::Cold,
            recover: false,
            per_block: true,
            groups: vec![group],
            left_out: vec!["another".to_owned()],
        };
        assert!(!report.is_good());
        assert_eq!(report.to_json()["outcomesEqual"], false);
        let text = report.to_string();
        for needle in ["DIFFERENT: 1, occ: another root", "left out: another", "at 1 (1)"] {
            assert!(text.contains(needle), "{needle}: {text}");
        }
    }
}
