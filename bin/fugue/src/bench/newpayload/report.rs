//! What `fugue bench newpayload` shows: a text for people, an object for machines.

use super::{Build, Run};
use crate::{
    bench::{
        alone::Alone,
        cell, machine, ratio,
        spread::{Spread, ms},
        workload::{Amount, Workload},
    },
    cli::cores,
};
use fugue_executor::Mode;
use serde_json::{Value, json};
use std::{fmt, path::Path, time::Duration};

/// What was measured.
pub(super) struct Report<'r> {
    pub(super) workload: &'r Workload,
    pub(super) threads: usize,
    pub(super) folder: &'r Path,
    pub(super) alone: Alone,
    pub(super) runs: Vec<Run>,
    pub(super) builds: Vec<Build>,
}

impl Report<'_> {
    /// Whether all runs came to the last block, and no parallel one differed.
    pub(super) fn is_good(&self) -> bool {
        self.are_heads_equal() && self.runs.iter().all(|run| run.differed == 0)
    }

    fn are_heads_equal(&self) -> bool {
        self.runs.iter().all(|run| run.head.hash == self.alone.head)
    }

    /// Where the folder of the bench was.
    fn parent(&self) -> &Path {
        self.folder.parent().unwrap_or(self.folder)
    }

    /// Sequential execution in memory, of each block.
    fn executed(&self) -> Spread {
        Spread::of(&self.alone.executed)
    }

    /// How many times the block in the middle of execution alone.
    fn to_alone(&self, spread: Spread) -> Option<f64> {
        ratio(spread.p50, self.executed().p50)
    }

    /// The same, of as many of the first blocks.
    fn first_to_alone(&self, times: &[Duration]) -> Option<f64> {
        let executed = self.alone.executed.get(..times.len()).unwrap_or_default();
        ratio(Spread::of(times).p50, Spread::of(executed).p50)
    }

    /// How many times the sequential build in the middle.
    fn build_to_seq(&self, build: &Build) -> Option<f64> {
        let seq = self.builds.iter().find(|build| build.mode == Mode::Seq)?;
        ratio(Spread::of(&build.times).p50, Spread::of(&seq.times).p50)
    }

    pub(super) fn to_json(&self) -> Value {
        let run = |run: &Run| {
            let Run { mode, head, waits, durable, differed } = run;
            let mut object = json!({
                "mode": mode.to_string(),
                "head": { "number": head.number, "hash": head.hash },
                "parallelDiffered": differed,
                "durableSeconds": durable.as_secs_f64(),
            });
            for (name, spread) in waits.parts() {
                object[name] = spread.to_json();
                object[name]["ratio"] = json!(self.to_alone(spread));
            }
            object
        };
        let build = |build: &Build| {
            let mut object = Spread::of(&build.times).to_json();
            let mut foreseen = Spread::of(&build.foreseen).to_json();
            foreseen["ratio"] = json!(self.first_to_alone(&build.foreseen));
            for (name, value) in [
                ("mode", json!(build.mode.to_string())),
                ("blocks", json!(build.times.len())),
                ("refused", json!(build.refused)),
                ("pooled", json!(build.pooled)),
                ("txs", json!(build.built)),
                ("ratio", json!(self.first_to_alone(&build.times))),
                ("foreseen", foreseen),
                ("ratioToSeq", json!(self.build_to_seq(build))),
            ] {
                object[name] = value;
            }
            object
        };
        json!({
            "type": "bench-newpayload",
            "cores": cores(),
            "threads": self.threads,
            "folder": self.parent().display().to_string(),
            "workload": self.workload.to_json(),
            "recovered": "within",
            "alone": { "mode": "seq", "P": self.executed().to_json() },
            "runs": self.runs.iter().map(run).collect::<Vec<_>>(),
            "builds": self.builds.iter().map(build).collect::<Vec<_>>(),
            "headsEqual": self.are_heads_equal(),
        })
    }

    fn row(
        f: &mut fmt::Formatter<'_>,
        run: &str,
        name: &str,
        spread: Spread,
        ratio: Option<f64>,
    ) -> fmt::Result {
        let Spread { p50, p95, p99, max } = spread;
        let [p50, p95, p99, max] = [p50, p95, p99, max].map(ms);
        let ratio = cell(ratio, 2);
        writeln!(
            f,
            "{run:<10} {name:<10} {p50:>10.3} {p95:>10.3} {p99:>10.3} {max:>10.3} {ratio:>7}"
        )
    }

    /// What of a run is no time of a call.
    fn notes(&self, f: &mut fmt::Formatter<'_>, run: &Run) -> fmt::Result {
        let Run { mode, waits, durable, differed, .. } = run;
        let waited: Duration = waits.wait.iter().sum();
        writeln!(
            f,
            "{mode}: made durable in {:.3} s beside the calls, of which they waited {:.3} s",
            durable.as_secs_f64(),
            waited.as_secs_f64(),
        )?;
        if *differed > 0 {
            writeln!(f, "{mode}: {differed} blocks whose parallel run DIFFERED")?;
        }
        Ok(())
    }

    fn built(&self, f: &mut fmt::Formatter<'_>, build: &Build) -> fmt::Result {
        let Build { mode, times, foreseen: _, refused, pooled, built } = build;
        let whole = if pooled == built { "all" } else { "NOT ALL" };
        writeln!(
            f,
            "{mode}: {} blocks built with {whole} of the pool's transactions: {built} of {pooled}, \
             {refused} were not taken by the pool; {} times seq",
            times.len(),
            cell(self.build_to_seq(build), 2),
        )
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Amount { blocks, .. } = self.workload.amount();
        write!(f, "{}{}", machine(self.threads), self.workload)?;
        writeln!(f, "folder     {}", self.parent().display())?;
        writeln!(f, "recovered  within newPayload, on {} threads", self.threads)?;
        writeln!(
            f,
            "\n{:<10} {:<10} {:>10} {:>10} {:>10} {:>10} {:>7}",
            "run", "part", "p50 ms", "p95 ms", "p99 ms", "max ms", "ratio"
        )?;
        let executed = self.executed();
        Self::row(f, "alone, seq", "P", executed, self.to_alone(executed))?;
        for run in &self.runs {
            for (name, spread) in run.waits.parts() {
                Self::row(f, &run.mode.to_string(), name, spread, self.to_alone(spread))?;
            }
        }
        for build in &self.builds {
            let spread = Spread::of(&build.times);
            let mode = build.mode.to_string();
            Self::row(f, &mode, "build", spread, self.first_to_alone(&build.times))?;
            let (spread, ratio) =
                (Spread::of(&build.foreseen), self.first_to_alone(&build.foreseen));
            Self::row(f, &mode, "foreseen", spread, ratio)?;
        }
        writeln!(
            f,
            "of {blocks} blocks, as the client waits; decode, recover, execute, root, insert and \
             rest are parts of newPayload, wait is in either call, for blocks to become durable; \
             build: from forkchoice to getPayload; foreseen: newPayload of a block whose \
             transactions were in the pool and run ahead; ratio: of p50 to P alone, sequential, in \
             memory\n"
        )?;
        for run in &self.runs {
            self.notes(f, run)?;
        }
        for build in &self.builds {
            self.built(f, build)?;
        }
        let verdict = if self.are_heads_equal() { "equal" } else { "DIFFERENT" };
        writeln!(f, "heads: {verdict}, {}", self.alone.head)
    }
}
