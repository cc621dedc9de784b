//! Progress of long work: a bar in a terminal, plain lines elsewhere; always on standard error.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::{
    io::IsTerminal,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// Plain lines about whole items that a run prints, at most.
const LINES_MAX: u64 = 10;

/// Between two plain lines about parts of an item, at least.
const LINE_EVERY: Duration = Duration::from_secs(30);

/// Progress through a known number of items.
pub(crate) struct Progress {
    noun: &'static str,
    count: u64,
    done: AtomicU64,
    /// Parts of the item in hand that are done.
    parts: AtomicU64,
    /// When the next plain line about parts is due.
    due: Mutex<Instant>,
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
        let due = Mutex::new(Instant::now() + LINE_EVERY);
        Self { noun, count, done: AtomicU64::new(0), parts: AtomicU64::new(0), due, bar }
    }

    /// One more item is done; `at` is shown beside the bar.
    pub(crate) fn step(&self, at: &str) {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        self.parts.store(0, Ordering::Relaxed);
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

    /// One more part of the item in hand is done. What `at` makes of their number is shown beside
    /// the bar, or as a line from time to time: an item that takes minutes is seen to go on.
    pub(crate) fn part(&self, at: impl FnOnce(u64) -> String) {
        let parts = self.parts.fetch_add(1, Ordering::Relaxed) + 1;
        match &self.bar {
            Some(bar) => bar.set_message(at(parts)),
            None if self.is_due(Instant::now()) => eprintln!("{}", at(parts)),
            None => {}
        }
    }

    /// Whether a line about parts is to be printed now; then none is for a while.
    fn is_due(&self, now: Instant) -> bool {
        // Who finds it held comes while another thread asks, and leaves the line to that one.
        self.due.try_lock().is_ok_and(|mut due| {
            let is_due = now >= *due;
            if is_due {
                *due = now + LINE_EVERY;
            }
            is_due
        })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_told_of_from_time_to_time() {
        let progress = Progress::new("sources", 1);
        let began = Instant::now();
        assert!(!progress.is_due(began));
        let late = began + 2 * LINE_EVERY;
        assert!(progress.is_due(late));
        assert!(!progress.is_due(late + LINE_EVERY / 2));
        assert!(progress.is_due(late + LINE_EVERY));
    }

    #[test]
    fn parts_are_counted_for_each_item() {
        let progress = Progress::new("sources", 2);
        *progress.due.lock().unwrap() = Instant::now();
        let told = std::cell::Cell::new(0);
        let part = || {
            progress.part(|parts| {
                told.set(parts);
                "a part".to_owned()
            });
        };
        part();
        assert_eq!(told.get(), 1);
        progress.step("one");
        *progress.due.lock().unwrap() = Instant::now();
        part();
        assert_eq!(told.get(), 1, "not the second part of the first item");
    }
}
