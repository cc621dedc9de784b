//! What people and machines see of an import.

use crate::{UsageError, print};
use fugue_chain::{Chain, Head, Imported, Place};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;
use std::{
    io::IsTerminal,
    time::{Duration, Instant},
};

/// Plain lines come no faster than this.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Progress by the bytes of the files.
pub(super) struct ImportProgress {
    json: bool,
    bar: Option<ProgressBar>,
    bytes: u64,
    started: Instant,
    line_at: Instant,
    blocks: u64,
    known: u64,
    transactions: u64,
    gas: u64,
    began: Head,
}

impl ImportProgress {
    pub(super) fn new(json: bool, bytes: u64, began: Head) -> Result<Self, UsageError> {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(Some(bytes), ProgressDrawTarget::stderr());
            let template = "{bar:32} {percent}% {msg} {elapsed} (left: {eta})";
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar
        });
        if json {
            print(format_args!("{}\n", json!({ "type": "began", "number": began.number })))?;
        }
        let started = Instant::now();
        let (blocks, known, transactions, gas) = (0, 0, 0, 0);
        let line_at = started;
        Ok(Self { json, bar, bytes, started, line_at, blocks, known, transactions, gas, began })
    }

    fn rate(&self) -> String {
        let seconds = self.started.elapsed().as_secs_f64().max(0.001);
        format!(
            "{:.0} blocks/s, {:.1} Mgas/s",
            self.blocks as f64 / seconds,
            self.gas as f64 / seconds / 1e6
        )
    }

    pub(super) fn block(&mut self, imported: &Imported, position: u64) -> Result<(), UsageError> {
        if imported.place == Place::Known {
            self.known += 1;
        } else {
            self.blocks += 1;
            self.transactions += imported.tx_count as u64;
            self.gas += imported.gas_used;
        }
        match &self.bar {
            Some(bar) => {
                bar.set_position(position);
                bar.set_message(format!("block {}, {}", imported.number, self.rate()));
            }
            None if self.line_at.elapsed() >= LINE_EVERY => {
                self.line_at = Instant::now();
                let percent = position * 100 / self.bytes.max(1);
                eprintln!("{percent} %, block {}, {}", imported.number, self.rate());
            }
            None => {}
        }
        Ok(())
    }

    /// Blocks up to this one are durable.
    pub(super) fn durable(&self, head: Head) -> Result<(), UsageError> {
        if self.json {
            let line = json!({ "type": "durable", "number": head.number, "hash": head.hash });
            print(format_args!("{line}\n"))?;
        }
        Ok(())
    }

    pub(super) fn say(&self, line: &str) -> Result<(), UsageError> {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{line}")),
            None => eprintln!("{line}"),
        }
        Ok(())
    }

    pub(super) fn finish(&self, chain: &Chain) -> Result<(), UsageError> {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        let (head, times) = (chain.head(), chain.times());
        let Self { blocks, known, transactions, gas, began, .. } = self;
        let seconds = self.started.elapsed().as_secs_f64();
        if self.json {
            let line = json!({
                "type": "summary", "blocks": blocks, "known": known,
                "transactions": transactions, "gas": gas, "seconds": seconds,
                "executedSeconds": times.executed.as_secs_f64(),
                "rootedSeconds": times.rooted.as_secs_f64(),
                "durableSeconds": times.durable.as_secs_f64(),
                "began": began.number,
                "head": { "number": head.number, "hash": head.hash },
            });
            return print(format_args!("{line}\n"));
        }
        print(format_args!(
            "{blocks} blocks imported ({known} were there), {transactions} transactions, \
             {:.1} Mgas in {seconds:.1} s: {}\n\
             executed {:.2} s, rooted {:.2} s, made durable {:.2} s\n\
             head {} ({})\n",
            *gas as f64 / 1e6,
            self.rate(),
            times.executed.as_secs_f64(),
            times.rooted.as_secs_f64(),
            times.durable.as_secs_f64(),
            head.number,
            head.hash,
        ))
    }
}
