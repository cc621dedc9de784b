//! What a replay shows: a table for people, JSON lines for machines.

use super::{
    check::{Difference, Findings},
    explain::Explained,
    minimise::Minimal,
    modes,
};
use crate::{UsageError, cli::cores, written};
use fugue_executor::{GivenUp, ListUse, Mode, Report, Way};
use serde_json::{Value, json};
use std::{
    fmt,
    fs::File,
    io::{BufWriter, Write},
    path::Path,
    time::Duration,
};

/// Rows and totals.
pub(super) struct Table {
    modes: &'static [Mode],
    threads: usize,
    rows: Vec<Findings>,
    /// What explains the blocks, as text.
    explained: String,
    bad_inputs: usize,
}

impl Table {
    pub(super) const fn new(modes: &'static [Mode], threads: usize) -> Self {
        Self { modes, threads, rows: Vec::new(), explained: String::new(), bad_inputs: 0 }
    }

    pub(super) fn add(&mut self, mut findings: Findings) {
        // The object is large, and has been written.
        if let Some(Explained { text, object: _ }) = findings.explained.take() {
            self.explained += &text;
        }
        self.rows.push(findings);
    }

    pub(super) const fn count_bad_input(&mut self) {
        self.bad_inputs += 1;
    }

    fn total(&self, mode: Mode) -> Option<Duration> {
        let times: Vec<Duration> = self.rows.iter().filter_map(|row| row.time(mode)).collect();
        (!times.is_empty()).then(|| times.into_iter().sum())
    }

    fn speed_up(&self) -> Option<f64> {
        ratio(self.total(Mode::Seq), self.total(self.parallel()))
    }

    /// The mode that stands beside the sequential one.
    fn parallel(&self) -> Mode {
        modes::parallel(self.modes)
    }

    fn summary(&self) -> Summary {
        let mut summary = Summary { bad_inputs: self.bad_inputs, ..Summary::default() };
        for row in &self.rows {
            summary.blocks += 1;
            summary.txs += row.tx_count;
            // A header may claim any number.
            summary.gas = summary.gas.saturating_add(row.gas_used);
            summary.recovery += row.recovery;
            match verdict(row) {
                "equal" => summary.equal += 1,
                "partial" => summary.partial += 1,
                _ => summary.different += 1,
            }
            if let Some(report) = row.report(self.parallel()) {
                summary.executed_txs += row.tx_count;
                summary.rerun_txs += report.stats.rerun_txs;
                summary.runs += report.stats.runs;
                summary.fallbacks += usize::from(report.fallback.is_some());
                summary.lanes_given_up += usize::from(report.lost_lanes().is_some());
            }
        }
        summary
    }
}

#[derive(Default)]
struct Summary {
    blocks: usize,
    equal: usize,
    partial: usize,
    different: usize,
    bad_inputs: usize,
    txs: usize,
    gas: u64,
    recovery: Duration,
    executed_txs: usize,
    rerun_txs: usize,
    runs: usize,
    fallbacks: usize,
    lanes_given_up: usize,
}

pub(super) fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn ratio(seq: Option<Duration>, occ: Option<Duration>) -> Option<f64> {
    let (seq, occ) = (seq?, occ?);
    (!occ.is_zero()).then(|| seq.as_secs_f64() / occ.as_secs_f64())
}

const fn verdict(row: &Findings) -> &'static str {
    if !row.differences.is_empty() {
        "DIFFERENT"
    } else if row.is_partial {
        "partial"
    } else {
        "equal"
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.explained)?;
        let parallel = self.parallel();
        let heading = format!("{parallel} ms");
        writeln!(
            f,
            "{:>10}  {:<7} {:<14} {:>5} {:>11} {:>9} {:>9} {:>8} {:>7}  verdict",
            "block", "kind", "fork", "txs", "gas", "seq ms", heading, "speed-up", "re-exec"
        )?;
        for row in &self.rows {
            let report = row.report(parallel);
            let mut notes = match report {
                Some(Report { fallback: Some(fallback), .. }) => {
                    format!(" (parallel run ended early: {})", fallback.cause)
                }
                Some(Report { list: Some(ListUse::Absent), .. }) => {
                    " (no access list: as occ)".to_owned()
                }
                Some(Report { way: way @ Way::Sequential(Some(_)), .. }) => format!(" ({way})"),
                None if row.is_partial => " (no pre-state: not executed)".to_owned(),
                _ => String::new(),
            };
            notes += &report.map(told_given_up).unwrap_or_default();
            if let Some(note) = &row.note {
                notes += &format!(" ({note})");
            }
            writeln!(
                f,
                "{:>10}  {:<7} {:<14} {:>5} {:>11} {:>9} {:>9} {:>8} {:>7}  {}{notes}",
                row.number,
                row.kind,
                row.fork,
                row.tx_count,
                row.gas_used,
                cell(row.time(Mode::Seq).map(ms), 3),
                cell(row.time(parallel).map(ms), 3),
                cell(ratio(row.time(Mode::Seq), row.time(parallel)), 2),
                report.map_or("-".to_owned(), |report| report.stats.rerun_txs.to_string()),
                verdict(row),
            )?;
        }
        let summary = self.summary();
        writeln!(
            f,
            "{:>10}  {:<22} {:>5} {:>11} {:>9} {:>9} {:>8} {:>7}",
            "total",
            format!("{} blocks", summary.blocks),
            summary.txs,
            summary.gas,
            cell(self.total(Mode::Seq).map(ms), 3),
            cell(self.total(parallel).map(ms), 3),
            cell(self.speed_up(), 2),
            if self.total(parallel).is_some() { summary.rerun_txs.to_string() } else { "-".into() },
        )?;
        writeln!(
            f,
            "{} equal, {} different, {} partial, {} unreadable; execution only [P], in memory, \
             senders recovered ({:.1} ms) and code analysed before; {} threads on {} cores",
            summary.equal,
            summary.different,
            summary.partial,
            summary.bad_inputs,
            ms(summary.recovery),
            self.threads,
            cores(),
        )
    }
}

/// The note on lanes that were given up; empty if there is nothing to tell.
fn told_given_up(report: &Report) -> String {
    let Some(given_up) = report.lost_lanes() else { return String::new() };
    let GivenUp { cause, txs, is_kept: _, time } = given_up;
    // What ended the whole parallel run is told already.
    let cause = if report.fallback.is_some() { String::new() } else { format!(": {cause}") };
    format!(" (lanes given up after {txs} transactions and {:.3} ms{cause})", ms(*time))
}

fn cell(value: Option<f64>, decimals: usize) -> String {
    value.map_or("-".to_owned(), |value| format!("{value:.decimals$}"))
}

/// One JSON object a line.
pub(super) struct JsonLines {
    out: Box<dyn Write>,
    is_standard_output: bool,
}

impl JsonLines {
    /// # Errors
    /// If the file cannot be created.
    pub(super) fn create(path: &Path) -> Result<Self, UsageError> {
        if path.as_os_str() == "-" {
            return Ok(Self { out: Box::new(std::io::stdout().lock()), is_standard_output: true });
        }
        let file = File::create(path).map_err(|error| UsageError::at(path, error))?;
        Ok(Self { out: Box::new(BufWriter::new(file)), is_standard_output: false })
    }

    pub(super) const fn is_standard_output(&self) -> bool {
        self.is_standard_output
    }

    /// # Errors
    /// If the line cannot be written.
    pub(super) fn block(&mut self, row: &Findings) -> Result<(), UsageError> {
        let Findings {
            path,
            kind,
            number,
            hash,
            fork,
            tx_count,
            gas_used,
            recovery,
            rounds,
            runs,
            checked,
            unchecked,
            note,
            is_partial: _,
            differences,
            repro,
            explained,
            minimal,
        } = row;
        let parallel = runs.iter().find(|run| run.mode != Mode::Seq).map(|run| run.mode);
        let parallel = parallel.unwrap_or(Mode::Occ);
        let mut line = json!({
            "type": "block",
            "file": path,
            "kind": kind,
            "number": number,
            "hash": hash,
            "fork": fork,
            "txs": tx_count,
            "gasUsed": gas_used,
            "recoverMs": ms(*recovery),
            "rounds": rounds,
            "seqMs": row.time(Mode::Seq).map(ms),
            "occMs": row.time(Mode::Occ).map(ms),
            "balMs": row.time(Mode::Bal).map(ms),
            "lanesMs": row.time(Mode::Lanes).map(ms),
            "autoMs": row.time(Mode::Auto).map(ms),
            "speedUp": ratio(row.time(Mode::Seq), row.time(parallel)),
            "occ": row.report(Mode::Occ).map(of_parallel),
            "bal": row.report(Mode::Bal).map(of_parallel),
            "lanes": row.report(Mode::Lanes).map(of_parallel),
            "auto": row.report(Mode::Auto).map(of_parallel),
            "checked": checked,
            "unchecked": unchecked,
            "note": note,
            "verdict": verdict(row).to_lowercase(),
            "differences": differences.iter().map(difference).collect::<Vec<_>>(),
            "repro": repro,
            "minimal": minimal.as_ref().map(smallest),
        });
        if let Some(Explained { object, .. }) = explained {
            line["explained"] = object.clone();
        }
        self.line(&line)
    }

    /// # Errors
    /// If the line cannot be written.
    pub(super) fn unreadable(&mut self, path: &Path, reason: &str) -> Result<(), UsageError> {
        self.line(&json!({ "type": "unreadable", "file": path, "reason": reason }))
    }

    /// # Errors
    /// If the line cannot be written.
    pub(super) fn summary(&mut self, table: &Table) -> Result<(), UsageError> {
        let summary = table.summary();
        self.line(&json!({
            "type": "summary",
            "blocks": summary.blocks,
            "equal": summary.equal,
            "different": summary.different,
            "partial": summary.partial,
            "unreadable": summary.bad_inputs,
            "txs": summary.txs,
            "gasUsed": summary.gas,
            "seqMs": table.total(Mode::Seq).map(ms),
            "occMs": table.total(Mode::Occ).map(ms),
            "balMs": table.total(Mode::Bal).map(ms),
            "lanesMs": table.total(Mode::Lanes).map(ms),
            "autoMs": table.total(Mode::Auto).map(ms),
            "speedUp": table.speed_up(),
            "recoverMs": ms(summary.recovery),
            "executedTxs": summary.executed_txs,
            "runs": summary.runs,
            "reExecutedTxs": summary.rerun_txs,
            "fallbacks": summary.fallbacks,
            "lanesGivenUp": summary.lanes_given_up,
            "measures": "P",
            "threads": table.threads,
            "cores": cores(),
            "modes": table.modes.iter().map(Mode::to_string).collect::<Vec<_>>(),
        }))?;
        written("--json", self.out.flush())
    }

    pub(super) fn line(&mut self, value: &Value) -> Result<(), UsageError> {
        written("--json", writeln!(self.out, "{value}"))
    }
}

/// The smallest block on which the modes differ.
fn smallest(minimal: &Minimal) -> Value {
    let Minimal { size, trials, is_minimal, difference: what, repro } = minimal;
    json!({
        "txs": size.transactions,
        "withdrawals": size.withdrawals,
        "accounts": size.accounts,
        "slots": size.slots,
        "codes": size.codes,
        "trials": trials,
        "isMinimal": is_minimal,
        "difference": difference(what),
        "repro": repro,
    })
}

/// What the executor says of a parallel run.
fn of_parallel(report: &Report) -> Value {
    let Report {
        mode: _,
        way,
        threads,
        stats,
        fallback,
        given_up,
        list,
        tx_runs: _,
        memory_bytes: bytes,
    } = report;
    let given_up = given_up.as_ref().map(|GivenUp { cause, txs, is_kept, time }| {
        json!({ "cause": cause.to_string(), "txs": txs, "kept": is_kept, "ms": ms(*time) })
    });
    let list = list.map(|list| match list {
        ListUse::Absent => "absent",
        ListUse::Followed => "followed",
        ListUse::Dropped => "dropped",
    });
    json!({
        "way": way.to_string(),
        "threads": threads,
        "activeThreads": stats.active_threads,
        "runs": stats.runs,
        "reExecutedTxs": stats.rerun_txs,
        "blockedRuns": stats.blocked_runs,
        "headReruns": stats.head_reruns,
        "heardSlots": stats.heard_slots,
        "lightTxs": stats.light_txs,
        "sequentialFrom": stats.sequential_from,
        "fallback": fallback.as_ref().map(|fallback| fallback.cause.to_string()),
        "givenUp": given_up,
        "accessList": list,
        "memoryBytes": bytes,
    })
}

/// A difference as JSON, also the content of a repro's `divergence.json`.
pub(super) fn difference(difference: &Difference) -> Value {
    let Difference { between, transaction_hash, what } = difference;
    json!({
        "between": between,
        "transactionIndex": what.transaction,
        "transactionHash": transaction_hash,
        "account": what.address,
        "slot": what.slot,
        "field": what.field,
        "expected": what.expected,
        "found": what.found,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use fugue_executor::{Fallback, LaneFault};

    fn report(given_up: Option<GivenUp>) -> Report {
        let plain = Report::new(Mode::Auto, Way::Optimistic, 2, Default::default());
        Report { given_up, memory_bytes: 7, ..plain }
    }

    #[test]
    fn lanes_that_were_given_up_are_told_with_what_they_took() {
        let cause = LaneFault::ManyChains;
        let time = Duration::from_micros(2_500);
        let given_up = GivenUp { cause: cause.into(), txs: 12, is_kept: false, time };
        let plain = report(None);
        assert_eq!(told_given_up(&plain), "");
        assert_eq!(of_parallel(&plain)["givenUp"], Value::Null);
        assert_eq!(of_parallel(&plain)["memoryBytes"], 7);

        let left = report(Some(given_up.clone()));
        let name = format!("lanes: {cause}");
        let expected = json!({ "cause": name, "txs": 12, "kept": false, "ms": 2.5 });
        assert_eq!(of_parallel(&left)["givenUp"], expected);
        let told = format!(" (lanes given up after 12 transactions and 2.500 ms: lanes: {cause})");
        assert_eq!(told_given_up(&left), told);

        // The note on the parallel run that ended early has the cause.
        let fallback = Some(Fallback { cause: cause.into() });
        let told = told_given_up(&Report { fallback, ..left.clone() });
        assert_eq!(told, " (lanes given up after 12 transactions and 2.500 ms)");

        let kept = report(Some(GivenUp { is_kept: true, ..given_up.clone() }));
        assert_eq!(told_given_up(&kept), "", "nothing was lost");
        assert_eq!(of_parallel(&kept)["givenUp"]["kept"], true);

        let declined = report(Some(GivenUp { txs: 0, ..given_up }));
        assert_eq!(told_given_up(&declined), "", "nothing was lost");
        assert_eq!(of_parallel(&declined)["givenUp"]["txs"], 0);
    }
}
