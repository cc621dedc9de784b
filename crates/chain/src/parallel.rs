//! What executing blocks in parallel came to.

use fugue_executor::{Report, Way};

/// Parallel runs of blocks that were imported, most of it summed up; of blocks that are built
/// nothing, and of blocks that were run one transaction after the other, in whatever mode, no more
/// than what lanes had begun of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ParallelRuns {
    /// Transactions of these blocks.
    pub txs: u64,
    /// Runs of them, those that were given up half-way included, but for those in lanes that left
    /// the block to another way.
    pub runs: u64,
    /// Transactions that ran more than once.
    pub rerun_txs: u64,
    /// Transactions that had to run again at their turn.
    pub head_reruns: u64,
    /// Blocks whose parallel run ended early, and what was left of them ran sequentially.
    pub fallbacks: u64,
    /// Blocks that lanes gave up when transactions had run in them, in vain, whichever way went on:
    /// those too that ran one transaction after the other then.
    pub given_up: u64,
    /// Bytes that the parallel run of the newest block held at its end ([`Report::memory_bytes`]).
    pub memory_bytes: u64,
}

impl ParallelRuns {
    /// Adds the run of a block with so many transactions.
    pub(crate) fn add(&mut self, report: &Report, txs: usize) {
        let Report { way, stats, fallback, memory_bytes, .. } = report;
        self.given_up += u64::from(report.lost_lanes().is_some());
        self.memory_bytes = *memory_bytes as u64;
        if matches!(way, Way::Sequential(_)) {
            return;
        }
        self.txs += txs as u64;
        self.runs += stats.runs as u64;
        self.rerun_txs += stats.rerun_txs as u64;
        self.head_reruns += stats.head_reruns as u64;
        self.fallbacks += u64::from(fallback.is_some());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fugue_executor::{BlockError, Fallback, GivenUp, LaneFault, Mode, WhySequential};
    use std::time::Duration;

    fn report(mode: Mode, way: Way, runs: usize) -> Report {
        let mut report = Report::new(mode, way, 2, Default::default());
        report.stats.runs = runs;
        report.stats.rerun_txs = 2;
        report.stats.head_reruns = 1;
        report
    }

    #[test]
    fn parallel_runs_alone_are_summed_up() {
        let mut all = ParallelRuns::default();
        let sequential = |why| Way::Sequential(Some(why));
        for (mode, way) in [
            (Mode::Seq, Way::Sequential(None)),
            (Mode::Auto, sequential(WhySequential::LittleToDo)),
            // Lanes have declined it, or given it up.
            (Mode::Auto, sequential(WhySequential::OneChain)),
            (Mode::Bal, sequential(WhySequential::ManySteps)),
        ] {
            all.add(&report(mode, way, 0), 9);
            assert_eq!(all, ParallelRuns::default(), "{mode}");
        }
        all.add(&report(Mode::Auto, Way::Lanes, 13), 10);
        let cause = BlockError::Internal("a defect".to_owned());
        let fallback = Some(Fallback { cause: cause.into() });
        let ended = Report { fallback, ..report(Mode::Bal, Way::Optimistic, 4) };
        all.add(&ended, 3);
        let expected = ParallelRuns {
            txs: 13,
            runs: 17,
            rerun_txs: 4,
            head_reruns: 2,
            fallbacks: 1,
            ..ParallelRuns::default()
        };
        assert_eq!(all, expected);
    }

    #[test]
    fn lanes_that_were_given_up_are_counted_whichever_way_went_on() {
        let given_up = |txs, way| {
            let (cause, time) = (LaneFault::OneChain.into(), Duration::ZERO);
            let given_up = GivenUp { cause, txs, is_kept: false, time };
            Report { given_up: Some(given_up), ..report(Mode::Auto, way, 0) }
        };
        let mut all = ParallelRuns::default();
        let chain = Way::Sequential(Some(WhySequential::OneChain));
        all.add(&given_up(0, chain), 9);
        assert_eq!(all.given_up, 0, "it was not begun");
        let mut kept = given_up(9, chain);
        kept.given_up.as_mut().expect("it was").is_kept = true;
        all.add(&kept, 9);
        assert_eq!(all.given_up, 0, "nothing was lost");
        all.add(&given_up(7, chain), 9);
        all.add(&given_up(1, Way::Optimistic), 9);
        assert_eq!((all.given_up, all.txs, all.fallbacks), (2, 9, 0));
    }

    #[test]
    fn of_memory_that_of_the_newest_block_is_told() {
        let mut all = ParallelRuns::default();
        for memory_bytes in [5, 3, 0] {
            let report = Report { memory_bytes, ..report(Mode::Occ, Way::Optimistic, 4) };
            all.add(&report, 4);
            assert_eq!(all.memory_bytes, memory_bytes as u64);
        }
    }
}
