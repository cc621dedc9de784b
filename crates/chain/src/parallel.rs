//! What executing blocks in parallel came to.

use fugue_executor::{Mode, Report};

/// Parallel runs of blocks that were imported, summed up; of blocks that are built nothing. All are
/// zero where blocks are executed one transaction after the other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ParallelRuns {
    /// Transactions of these blocks.
    pub txs: u64,
    /// Runs of them, those that were given up half-way included.
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
        if report.mode == Mode::Seq {
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
    use fugue_executor::{BlockError, Fallback, Way};

    fn report(mode: Mode, runs: usize) -> Report {
        let (stats, tx_runs) = (Default::default(), Vec::new());
        let mut report = Report {
            mode,
            way: Way::Optimistic,
            threads: 2,
            stats,
            fallback: None,
            list: None,
            tx_runs,
        };
        report.stats.runs = runs;
        report.stats.rerun_txs = 2;
        report.stats.head_reruns = 1;
        report
    }

    #[test]
    fn parallel_runs_alone_are_summed_up() {
        let mut all = ParallelRuns::default();
        all.add(&report(Mode::Seq, 0), 9);
        assert_eq!(all, ParallelRuns::default());
        all.add(&report(Mode::Occ, 13), 10);
        let cause = BlockError::Internal("a defect".to_owned());
        let ended =
            Report { fallback: Some(Fallback { cause: cause.into() }), ..report(Mode::Occ, 4) };
        all.add(&ended, 3);
        let expected =
            ParallelRuns { txs: 13, runs: 17, rerun_txs: 4, head_reruns: 2, fallbacks: 1 };
        assert_eq!(all, expected);
    }
}
