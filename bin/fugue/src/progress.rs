//! Progress of long work: a bar in a terminal, plain lines elsewhere; always on standard error.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::sync::atomic::{AtomicU64, Ordering};

/// Plain lines that a whole run prints, at most.
const LINES_MAX: u64 = 10;

/// Progress through a known number of items.
pub(crate) struct Progress {
    noun: &'static str,
    count: u64,
    done: AtomicU64,
    bar: Option<ProgressBar>,
}

impl Progress {
    pub(crate) fn new(noun: &'static str, count: usize) -> Self {
        let count = count as u64;
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(Some(count), ProgressDrawTarget::stderr());
            let template = "{bar:32} {pos}/{len} {msg} {elapsed} (left: {eta})";
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar
        });
        Self { noun, count, done: AtomicU64::new(0), bar }
    }

    /// One more item is done; `at` is shown beside the bar.
    pub(crate) fn step(&self, at: &str) {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        match &self.bar {
            Some(bar) => {
                bar.set_message(at.to_owned());
                bar.inc(1);
            }
            None => {
                let tenth = |done| done * LINES_MAX / self.count.max(1);
                if tenth(done) > tenth(done - 1) && self.count >= LINES_MAX {
                    eprintln!("{done}/{} {}", self.count, self.noun);
                }
            }
        }
    }

    /// Prints a line without tearing the bar.
    pub(crate) fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{line}")),
            None => eprintln!("{line}"),
        }
    }

    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
