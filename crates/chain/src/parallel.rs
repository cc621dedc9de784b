//! What executing blocks in parallel came to.

use fugue_executor::{Report, Way};

/// Parallel runs of blocks that were imported, summed up; of blocks that are built nothing, and
/// nothing of blocks that were run one transaction after the other, in whatever mode.
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
}

impl ParallelRuns {
    /// Adds the run of a block with so many transactions.
    pub(crate) fn add(&mut self, report: &Report, txs: usize) {
        if matches!(report.way, Way::Sequential(_)) {
            return;
        }
        let Report { stats, fallback, .. } = report;
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
    use fugue_executor::{BlockError, Fallback, Mode, WhySequential};

    fn report(mode: Mode, way: Way, runs: usize) -> Report {
        let (stats, tx_runs) = (Default::default(), Vec::new());
        let mut report =
            Report { mode, way, threads: 2, stats, fallback: None, list: None, tx_runs };
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
        let expected =
            ParallelRuns { txs: 13, runs: 17, rerun_txs: 4, head_reruns: 2, fallbacks: 1 };
        assert_eq!(all, expected);
    }
}
