//! What `fugue bench import` shows: a text for people, an object for machines.

use super::{
    alone::Alone,
    cell,
    import::{Run, Size},
    machine, mb, per_second, ratio,
    workload::{Amount, Workload},
};
use crate::cli::cores;
use serde_json::{Value, json};
use std::{fmt, path::Path, time::Duration};

/// What was measured.
pub(super) struct Report<'r> {
    pub(super) workload: &'r Workload,
    pub(super) threads: usize,
    pub(super) folder: &'r Path,
    pub(super) alone: Alone,
    pub(super) runs: Vec<Run>,
}

/// One or more steps of a run, added up.
struct Part {
    name: &'static str,
    time: Duration,
    /// Whether they end with something that counts per transaction and gas.
    has_rate: bool,
}

fn parts(run: &Run) -> [Part; 6] {
    let [p, r, d] = [run.times.executed, run.times.rooted, run.times.durable];
    [
        Part { name: "P", time: p, has_rate: true },
        Part { name: "R", time: r, has_rate: false },
        Part { name: "D", time: d, has_rate: false },
        Part { name: "P+R", time: p + r, has_rate: true },
        Part { name: "P+R+D", time: p + r + d, has_rate: true },
        Part { name: "total", time: run.wall, has_rate: true },
    ]
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

    fn leaves(&self) -> usize {
        self.alone.leaves.iter().sum()
    }

    /// Transactions and millions of gas in a second.
    fn rates(&self, time: Duration) -> [Option<f64>; 2] {
        let Amount { txs, gas, .. } = self.workload.amount();
        [per_second(txs as f64, time), per_second(gas as f64 / 1e6, time)]
    }

    /// As numbers: seconds, how many times execution alone, and rates if they say something.
    fn timed(&self, time: Duration, has_rate: bool) -> Value {
        let [tx, mgas] = self.rates(time);
        let mut object = json!({
            "seconds": time.as_secs_f64(),
            "ratio": ratio(time, self.alone.total()),
        });
        if has_rate {
            object["txPerSecond"] = json!(tx);
            object["mgasPerSecond"] = json!(mgas);
        }
        object
    }

    pub(super) fn to_json(&self) -> Value {
        let head = |run: &Run| json!({ "number": run.head.number, "hash": run.head.hash });
        let runs: Vec<Value> = self
            .runs
            .iter()
            .map(|run| {
                let mut object = json!({
                    "mode": run.mode.to_string(),
                    "head": head(run),
                    "recoverSeconds": run.recovered.as_secs_f64(),
                    "commits": run.commits,
                    "parallelDiffered": run.differed,
                    "leavesPerSecond": per_second(self.leaves() as f64, run.times.rooted),
                    "database": self.database(run),
                    "writtenBytes": run.written,
                    "writtenBytesPerTx": run.written.and_then(|bytes| self.per_tx(bytes)),
                    "peakBytes": run.peak,
                    "isPeakOfRun": run.is_peak_of_run,
                    "anonymousBytes": run.anonymous,
                });
                for Part { name, time, has_rate } in parts(run) {
                    object[name] = self.timed(time, has_rate);
                }
                object
            })
            .collect();
        json!({
            "type": "bench-import",
            "cores": cores(),
            "threads": self.threads,
            "folder": self.parent().display().to_string(),
            "workload": self.workload.to_json(),
            "leaves": self.leaves(),
            "recovered": "before",
            "alone": {
                "mode": "seq",
                "recoverSeconds": self.alone.recovered.as_secs_f64(),
                "P": self.timed(self.alone.total(), true),
            },
            "runs": runs,
            "headsEqual": self.are_heads_equal(),
        })
    }

    fn database(&self, run: &Run) -> Value {
        let Run { before, after, .. } = run;
        let size = |size: &Size| json!({ "fileBytes": size.file, "usedBytes": size.used });
        let grown = after.used.saturating_sub(before.used);
        json!({
            "before": size(before),
            "after": size(after),
            "fileBytesPerTx": self.per_tx(after.file.saturating_sub(before.file)),
            "usedBytesPerTx": self.per_tx(grown),
            "usedBytesPerBlock": self.per_block(grown),
        })
    }

    fn per_tx(&self, bytes: u64) -> Option<f64> {
        let txs = self.workload.amount().txs;
        (txs > 0).then(|| bytes as f64 / txs as f64)
    }

    fn per_block(&self, bytes: u64) -> f64 {
        bytes as f64 / self.workload.amount().blocks.max(1) as f64
    }

    fn row(
        &self,
        f: &mut fmt::Formatter<'_>,
        run: &str,
        Part { name, time, has_rate }: &Part,
    ) -> fmt::Result {
        let [tx, mgas] = if *has_rate { self.rates(*time) } else { [None; 2] };
        writeln!(
            f,
            "{run:<10} {name:<6} {:>10.3} {:>7} {:>10} {:>8}",
            time.as_secs_f64(),
            cell(ratio(*time, self.alone.total()), 2),
            cell(tx, 0),
            cell(mgas, 1),
        )
    }

    /// What of a run is no time.
    fn notes(&self, f: &mut fmt::Formatter<'_>, run: &Run) -> fmt::Result {
        let Run { mode, before, after, .. } = run;
        let leaves = per_second(self.leaves() as f64, run.times.rooted);
        let grown = after.used.saturating_sub(before.used);
        writeln!(
            f,
            "{mode}: recovered in {:.3} s; {} leaves changed, {} a second of R; {} commits",
            run.recovered.as_secs_f64(),
            self.leaves(),
            cell(leaves, 0),
            run.commits,
        )?;
        writeln!(
            f,
            "{mode}: database {}, {} of it in use; grown by {} and {}; in use {} bytes a \
             transaction, {:.0} a block",
            mb(after.file),
            mb(after.used),
            mb(after.file.saturating_sub(before.file)),
            mb(grown),
            cell(self.per_tx(grown), 0),
            self.per_block(grown),
        )?;
        if let Some(written) = run.written {
            writeln!(
                f,
                "{mode}: written to storage {} (write_bytes of the process), {} bytes a \
                 transaction",
                mb(written),
                cell(self.per_tx(written), 0),
            )?;
        }
        if let (Some(peak), Some(anonymous)) = (run.peak, run.anonymous) {
            let of = if run.is_peak_of_run { "import" } else { "process" };
            writeln!(
                f,
                "{mode}: memory at most {} (VmHWM of the {of}), of which its own {} (RssAnon)",
                mb(peak),
                mb(anonymous),
            )?;
        }
        if run.differed > 0 {
            let differed = run.differed;
            writeln!(f, "{mode}: {differed} blocks whose parallel run DIFFERED")?;
        }
        Ok(())
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", machine(self.threads), self.workload)?;
        writeln!(f, "folder     {}", self.parent().display())?;
        writeln!(f, "recovered  before, on {} threads, not in the times", self.threads)?;
        writeln!(
            f,
            "\n{:<10} {:<6} {:>10} {:>7} {:>10} {:>8}",
            "run", "part", "seconds", "ratio", "tx/s", "Mgas/s"
        )?;
        let alone = Part { name: "P", time: self.alone.total(), has_rate: true };
        self.row(f, "alone, seq", &alone)?;
        for run in &self.runs {
            for part in parts(run) {
                self.row(f, &run.mode.to_string(), &part)?;
            }
        }
        writeln!(
            f,
            "P executed, R rooted, D made durable, total: wall time of imports; ratio: to P alone, \
             sequential, in memory\n"
        )?;
        for run in &self.runs {
            self.notes(f, run)?;
        }
        let verdict = if self.are_heads_equal() { "equal" } else { "DIFFERENT" };
        writeln!(f, "heads: {verdict}, {}", self.alone.head)
    }
}
