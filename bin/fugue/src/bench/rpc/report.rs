//! What `fugue bench rpc` shows: a text for people, an object for machines.

use super::{Asked, Kind, Measured, Options, Run};
use crate::{
    bench::{
        cell,
        contracts::CONTRACTS,
        machine, ratio,
        spread::{Spread, ms},
        workload::Workload,
    },
    cli::cores,
};
use fugue_workload::Exchange;
use serde_json::{Value, json};
use std::{fmt, path::Path};

/// What was measured.
pub(super) struct Report<'r> {
    pub(super) options: &'r Options,
    pub(super) workload: &'r Workload,
    pub(super) threads: usize,
    pub(super) folder: &'r Path,
    /// What was asked for, measured or not.
    pub(super) kinds: &'r [Kind],
    pub(super) measured: Measured,
}

/// How many times as many in a second.
fn times_as_many(asked: &Asked, other: &Asked) -> Option<f64> {
    Some(asked.rate? / other.rate.filter(|rate| *rate > 0.0)?)
}

impl Report<'_> {
    /// Whether the node followed all blocks, and some requests were measured.
    pub(super) fn is_good(&self) -> bool {
        self.measured.is_at_head && !self.measured.runs.is_empty()
    }

    /// Where the folder of the bench was.
    fn parent(&self) -> &Path {
        self.folder.parent().unwrap_or(self.folder)
    }

    /// Whose quotes were asked for, each with the function that gives them.
    fn quoted(&self) -> Vec<[&'static str; 2]> {
        self.kinds.iter().copied().filter_map(Kind::quoted).collect()
    }

    /// How many times as long as without requests, of the payload in the middle.
    fn to_idle(&self, spread: Spread) -> Option<f64> {
        ratio(spread.p50, self.measured.idle.p50)
    }

    pub(super) fn to_json(&self) -> Value {
        let Measured { idle, runs, skipped, is_at_head } = &self.measured;
        let asked = |asked: &Asked| {
            let mut object = asked.times.to_json();
            object["perSecond"] = json!(asked.rate);
            object["answered"] = json!(asked.answered);
            object["refused"] = json!(asked.refused);
            object
        };
        let run = |run: &Run| {
            let Run { kind, alone, beside, new_payload } = run;
            let mut beside_object = asked(beside);
            beside_object["ratio"] = json!(times_as_many(beside, alone));
            let mut payload = new_payload.to_json();
            payload["ratio"] = json!(self.to_idle(*new_payload));
            json!({
                "requests": kind.name(),
                "method": kind.method(),
                "quoted": kind.quoted().map(|[_, function]| function),
                "alone": asked(alone),
                "beside": beside_object,
                "newPayload": payload,
            })
        };
        let skipped = skipped.iter();
        let skipped = skipped.map(|(kind, why)| json!({ "requests": kind.name(), "reason": why }));
        json!({
            "type": "bench-rpc",
            "cores": cores(),
            "threads": self.threads,
            "mode": self.options.mode.to_string(),
            "folder": self.parent().display().to_string(),
            "workload": self.workload.to_json(),
            "exchanges": self.quoted().iter().map(|[exchange, _]| *exchange).collect::<Vec<_>>(),
            "history": self.options.blocks,
            "payloads": self.options.payloads,
            "intervalMs": self.options.interval,
            "connections": self.options.connections,
            "idle": { "newPayload": idle.to_json() },
            "runs": runs.iter().map(run).collect::<Vec<_>>(),
            "skipped": skipped.collect::<Vec<_>>(),
            "isAtHead": is_at_head,
        })
    }

    fn row(
        f: &mut fmt::Formatter<'_>,
        [name, run]: [&str; 2],
        rate: Option<f64>,
        spread: Spread,
        ratio: Option<f64>,
    ) -> fmt::Result {
        let Spread { p50, p95, p99, max } = spread;
        let [p50, p95, p99, max] = [p50, p95, p99, max].map(ms);
        let (rate, ratio) = (cell(rate, 1), cell(ratio, 2));
        writeln!(
            f,
            "{name:<22} {run:<8} {rate:>10} {p50:>10.3} {p95:>10.3} {p99:>10.3} {max:>10.3} \
             {ratio:>7}"
        )
    }

    fn rows(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Measured { idle, runs, .. } = &self.measured;
        Self::row(f, ["newPayload", "idle"], None, *idle, self.to_idle(*idle))?;
        for Run { kind, alone, beside, new_payload } in runs {
            let (name, of_payload) = (kind.name(), self.to_idle(*new_payload));
            let as_many = times_as_many(beside, alone);
            Self::row(f, [name, "alone"], alone.rate, alone.times, Some(1.0))?;
            Self::row(f, [name, "beside"], beside.rate, beside.times, as_many)?;
            Self::row(f, ["newPayload", "beside"], None, *new_payload, of_payload)?;
        }
        Ok(())
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Options { blocks, payloads, interval, connections, mode, .. } = self.options;
        write!(f, "{}{}", machine(self.threads), self.workload)?;
        writeln!(f, "folder     {}", self.parent().display())?;
        writeln!(
            f,
            "node       a process of its own ({mode}), with {blocks} blocks before what is measured"
        )?;
        let quoted = self.quoted();
        let quoted: Vec<String> =
            quoted.iter().map(|[exchange, function]| format!("{exchange} ({function})")).collect();
        write!(f, "quotes     of {}", quoted.join(", "))?;
        if self.kinds.contains(&Kind::Quote(Exchange::Own)) {
            write!(f, "; the contracts of Uniswap are not in {CONTRACTS}")?;
        }
        writeln!(
            f,
            "\nload       {connections} connections on the cores of the node, with the lowest \
             priority"
        )?;
        writeln!(
            f,
            "\n{:<22} {:<8} {:>10} {:>10} {:>10} {:>10} {:>10} {:>7}",
            "requests", "run", "a second", "p50 ms", "p95 ms", "p99 ms", "max ms", "ratio"
        )?;
        self.rows(f)?;
        writeln!(
            f,
            "alone: no block is imported; beside: {payloads} blocks, one every {interval} ms; \
             ratio: of requests a second to those alone, of newPayload its p50 to that without \
             requests\n"
        )?;
        for Run { kind, alone, beside, .. } in &self.measured.runs {
            if alone.refused + beside.refused > 0 {
                let (name, alone, beside) = (kind.name(), alone.refused, beside.refused);
                writeln!(f, "{name}: {alone} were refused alone, {beside} beside blocks")?;
            }
        }
        for (kind, reason) in &self.measured.skipped {
            writeln!(f, "{}: not measured, {reason}", kind.name())?;
        }
        let verdict = if self.measured.is_at_head { "the last block" } else { "ANOTHER block" };
        writeln!(f, "head: {verdict}")
    }
}
