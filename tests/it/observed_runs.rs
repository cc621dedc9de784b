//! What the executor notes of its parallel runs: that it adds up, that it changes nothing, and that
//! it is not there unless it was asked for.

use crate::support::{Case, bundle_files, generated};
use fugue_archive::BundleReader;
use fugue_executor::{Executor, Mode, RerunCause, Scope};
use std::time::Duration;

/// Every so many of the generated blocks.
const STRIDE: usize = 3;

#[test]
fn what_is_noted_of_parallel_runs_adds_up() {
    let plain = Executor::new(3).expect("threads");
    let observing = Executor::new(3).expect("threads").observing();
    let alone = Executor::new(1).expect("a thread").observing();
    let mut reader = BundleReader::new();
    for path in bundle_files(&generated()).iter().step_by(STRIDE) {
        let bundle = reader.read(path).unwrap_or_else(|error| panic!("{error}"));
        let Case { block, rules, view } = Case::new(&bundle, &plain);
        let run = |executor: &Executor, mode| {
            let run = executor.execute(mode, &block, &rules, &view, Scope::Recorded);
            run.unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        };
        let expected = run(&plain, Mode::Seq);
        assert!(run(&plain, Mode::Occ).report.tx_runs.is_empty());
        assert!(run(&observing, Mode::Seq).report.tx_runs.is_empty());

        let found = run(&observing, Mode::Occ);
        assert_eq!(found.outcome, expected.outcome, "{}", path.display());
        let (stats, noted) = (&found.report.stats, &found.report.tx_runs);
        assert_eq!(noted.len(), block.senders().len());
        assert_eq!(noted.iter().map(|tx| tx.runs as usize).sum::<usize>(), stats.runs);
        assert_eq!(noted.iter().filter(|tx| tx.runs > 1).count(), stats.rerun_txs);
        let reruns = noted.iter().flat_map(|tx| &tx.reruns);
        let blocked = reruns.filter(|rerun| rerun.cause == RerunCause::Blocked).count();
        assert_eq!(blocked, stats.blocked_runs);
        for (index, tx) in noted.iter().enumerate() {
            // All runs but the last one are thrown away, and each is told.
            assert_eq!(tx.reruns.len() + 1, tx.runs as usize, "{index}: {tx:?}");
            assert!(tx.lost <= tx.time && tx.time > Duration::ZERO, "{index}: {tx:?}");
            assert_eq!(tx.reruns.iter().map(|rerun| rerun.lost).sum::<Duration>(), tx.lost);
            for rerun in &tx.reruns {
                assert!(rerun.by.is_none_or(|by| by < index), "{index}: {rerun:?}");
                let is_known = rerun.cause != RerunCause::Changed || rerun.field.is_some();
                assert!(is_known, "{index}: {rerun:?}");
            }
        }

        // A single thread does one transaction after the other, each at its turn.
        let found = run(&alone, Mode::Occ);
        let is_once = found.report.tx_runs.iter().all(|tx| tx.runs == 1 && tx.lost.is_zero());
        assert!(is_once, "{}: {:?}", path.display(), found.report.tx_runs);
        assert_eq!(found.report.tx_runs.len(), block.senders().len());
    }
}
