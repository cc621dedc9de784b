//! What the executor notes of its parallel runs: that it adds up, that it changes nothing, and that
//! it is not there unless it was asked for.

use crate::support::{Case, bundle_files, generated};
use fugue_archive::BundleReader;
use fugue_executor::{Executor, Mode, RerunCause, Scope, Way};
use std::time::Duration;

/// Every so many of the generated blocks.
const STRIDE: usize = 3;

#[test]
fn what_is_noted_of_parallel_runs_adds_up() {
    let plain = Executor::new(3).expect("threads").on_all_threads();
    let observing = Executor::new(3).expect("threads").on_all_threads().observing();
    let alone = Executor::new(1).expect("a thread").observing();
    let mut reader = BundleReader::new();
    let mut in_lanes = 0;
    for path in bundle_files(&generated()).iter().step_by(STRIDE) {
        let bundle = reader.read(path).unwrap_or_else(|error| panic!("{error}"));
        let Case { block, rules, view } = Case::new(&bundle, &plain);
        let run = |executor: &Executor, mode| {
            let run = executor.execute(mode, &block, &rules, &view, Scope::Recorded);
            run.unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        };
        let expected = run(&plain, Mode::Seq);
        for mode in [Mode::Occ, Mode::Lanes] {
            assert!(run(&plain, mode).report.tx_runs.is_empty());
        }
        assert!(run(&observing, Mode::Seq).report.tx_runs.is_empty());

        for mode in [Mode::Occ, Mode::Lanes] {
            let found = run(&observing, mode);
            let case = format!("{} {mode}", path.display());
            assert_eq!(found.outcome, expected.outcome, "{case}");
            let (report, noted) = (&found.report, &found.report.tx_runs);
            let stats = &report.stats;
            assert_eq!(noted.len(), block.senders().len(), "{case}");
            if report.fallback.is_some() {
                assert_eq!(report.way, Way::Lanes, "{case}");
                continue;
            }
            in_lanes += usize::from(report.way == Way::Lanes);
            assert_eq!(noted.iter().map(|tx| tx.runs as usize).sum::<usize>(), stats.runs);
            assert_eq!(noted.iter().filter(|tx| tx.runs > 1).count(), stats.rerun_txs);
            let reruns = noted.iter().flat_map(|tx| &tx.reruns);
            let blocked = reruns.filter(|rerun| rerun.cause == RerunCause::Blocked).count();
            assert_eq!(blocked, stats.blocked_runs);
            for (index, tx) in noted.iter().enumerate() {
                // All runs but the last one are thrown away, and each is told.
                assert_eq!(tx.reruns.len() + 1, tx.runs as usize, "{case}, {index}: {tx:?}");
                assert!(tx.lost <= tx.time && tx.time > Duration::ZERO, "{index}: {tx:?}");
                assert_eq!(tx.reruns.iter().map(|rerun| rerun.lost).sum::<Duration>(), tx.lost);
                for rerun in &tx.reruns {
                    assert!(rerun.by.is_none_or(|by| by < index), "{case}, {index}: {rerun:?}");
                    let is_known = rerun.cause != RerunCause::Changed || rerun.field.is_some();
                    assert!(is_known, "{case}, {index}: {rerun:?}");
                }
            }
        }

        // A single thread does one transaction after the other, each at its turn.
        let found = run(&alone, Mode::Occ);
        let is_once = found.report.tx_runs.iter().all(|tx| tx.runs == 1 && tx.lost.is_zero());
        assert!(is_once, "{}: {:?}", path.display(), found.report.tx_runs);
        assert_eq!(found.report.tx_runs.len(), block.senders().len());
    }
    assert!(in_lanes > 0, "no block ran in lanes to its end");
}
