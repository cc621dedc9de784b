//! What `fugue bench redo` shows: a text for people, an object for machines.

use super::{CAUSES, Group, Runs, Spared, has_waited};
use crate::{
    bench::{cell, ratio, spread::ms},
    cli::cores,
};
use fugue_executor::{Fed, RerunCause, Work};
use serde_json::{Value, json};
use std::{fmt, time::Duration};

/// What was measured.
pub(super) struct Report {
    pub(super) rounds: usize,
    pub(super) groups: Vec<Group>,
    /// What was not measured, and why.
    pub(super) left_out: Vec<String>,
}

/// A part of a hundred; `None` where there is nothing.
fn percent(part: Duration, all: Duration) -> Option<f64> {
    ratio(part, all).map(|ratio| ratio * 100.0)
}

/// The same of counts.
fn percent_of(part: u64, all: u64) -> Option<f64> {
    (all > 0).then(|| part as f64 / all as f64 * 100.0)
}

const fn name_of(cause: RerunCause) -> &'static str {
    match cause {
        RerunCause::Changed => "changed",
        RerunCause::Doubted => "doubted",
        RerunCause::Restored => "restored",
        RerunCause::Blocked => "blocked",
        RerunCause::Parked => "parked",
    }
}

/// Kinds of work by name, but for all of it.
fn kinds(work: &Fed) -> [(&'static str, Work); 3] {
    [("fed", work.fed), ("guarded", work.guarded), ("afterRead", work.after_read)]
}

fn bounds(spared: &Spared) -> [(&'static str, Duration); 4] {
    let Spared { fed, on_path, guarded, after_read } = *spared;
    [("fed", fed), ("fedOnPath", on_path), ("guarded", guarded), ("afterRead", after_read)]
}

impl Runs {
    /// How long the runs took that were thrown away for such a cause.
    fn lost_to(&self, counts: impl Fn(RerunCause) -> bool) -> Duration {
        let lost = CAUSES.iter().zip(self.lost).filter(|(cause, _)| counts(**cause));
        lost.map(|(_, lost)| lost).sum()
    }

    fn to_json(self, rounds: f64) -> Value {
        let per_round = |time: Duration| ms(time) / rounds;
        let lost: serde_json::Map<String, Value> = CAUSES
            .iter()
            .zip(self.lost)
            .map(|(cause, lost)| (name_of(*cause).to_owned(), json!(per_round(lost))))
            .collect();
        let waited = self.lost_to(has_waited);
        json!({
            "threads": self.threads,
            "occMs": per_round(self.time),
            "lostMs": lost,
            "lostPercent": percent(self.lost_to(|_| true), self.time),
            "waitedPercent": percent(waited, self.time),
            "redoSparesPercent": percent(self.spared, self.time),
            "thrownAwayRuns": self.reruns as f64 / rounds,
            "lanesReExecutedTxs": self.lanes_reruns as f64 / rounds,
        })
    }
}

impl Report {
    fn rounds(&self) -> f64 {
        self.rounds.max(1) as f64
    }

    fn group_json(&self, group: &Group) -> Value {
        let Group { work, time, spared, .. } = group;
        let shares: serde_json::Map<String, Value> = kinds(work)
            .iter()
            .map(|(name, part)| {
                let steps = percent_of(part.steps, work.all.steps);
                let gas = percent_of(part.gas, work.all.gas);
                ((*name).to_owned(), json!({ "stepsPercent": steps, "gasPercent": gas }))
            })
            .collect();
        let bounds: serde_json::Map<String, Value> = bounds(spared)
            .iter()
            .map(|(name, spared)| ((*name).to_owned(), json!(percent(*spared, *time))))
            .collect();
        let runs = group.runs.iter().map(|runs| runs.to_json(self.rounds()));
        json!({
            "workload": group.workload,
            "conflictPercent": group.share,
            "blocks": group.blocks,
            "txs": group.txs,
            "disturbedTxs": group.disturbed,
            "keepPathTxs": group.keep_path,
            "changedReads": work.reads,
            "guards": work.guards,
            "transactionsMs": ms(*time),
            "disturbedMs": ms(group.disturbed_time),
            "disturbedPercent": percent(group.disturbed_time, *time),
            "work": shares,
            "sparedPercent": bounds,
            "recordedRatio": ratio(group.recorded_time, *time),
            "followedRatio": ratio(group.followed_time, *time),
            "runs": runs.collect::<Vec<_>>(),
        })
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "type": "bench-redo",
            "cores": cores(),
            "rounds": self.rounds,
            "groups": self.groups.iter().map(|group| self.group_json(group)).collect::<Vec<_>>(),
            "leftOut": self.left_out,
        })
    }

    fn group(&self, f: &mut fmt::Formatter<'_>, group: &Group) -> fmt::Result {
        let Group { workload, share, blocks, txs, disturbed, keep_path, work, time, .. } = group;
        let hot = share.map_or(String::new(), |share| format!(", {share} % at the hot place"));
        writeln!(f, "\n{workload}{hot}: {blocks} blocks, {txs} transactions")?;
        writeln!(
            f,
            "  disturbed   {disturbed} transactions, {} % of {:.3} ms; {keep_path} of them run the \
             same instructions undisturbed",
            cell(percent(group.disturbed_time, *time), 1),
            ms(*time),
        )?;
        writeln!(
            f,
            "              {} changed reads, {} guards; in percent of these transactions",
            work.reads, work.guards
        )?;
        for (name, part) in kinds(work) {
            writeln!(
                f,
                "  {name:<11} {:>5} of instructions, {:>5} of gas",
                cell(percent_of(part.steps, work.all.steps), 1),
                cell(percent_of(part.gas, work.all.gas), 1),
            )?;
        }
        write!(f, "  spared      at best, in percent of all transactions:")?;
        for (name, spared) in bounds(&group.spared) {
            write!(f, " {name} {}", cell(percent(spared, *time), 1))?;
        }
        writeln!(f)?;
        writeln!(
            f,
            "  recording   {} times as long with instructions recorded, {} with values followed",
            cell(ratio(group.recorded_time, *time), 2),
            cell(ratio(group.followed_time, *time), 2),
        )?;
        for runs in &group.runs {
            let per_round = |count: usize| count as f64 / self.rounds();
            writeln!(
                f,
                "  {} threads   occ: {:.3} ms of all runs, {:.1} thrown away, {} % of the time; \
                 redo spares {} %, waiting at reads {} %",
                runs.threads,
                ms(runs.time) / self.rounds(),
                per_round(runs.reruns),
                cell(percent(runs.lost_to(|_| true), runs.time), 1),
                cell(percent(runs.spared, runs.time), 1),
                cell(percent(runs.lost_to(has_waited), runs.time), 1),
            )?;
            write!(f, "              lost by cause, in percent of the time:")?;
            for (cause, lost) in CAUSES.iter().zip(runs.lost) {
                write!(f, " {} {}", name_of(*cause), cell(percent(lost, runs.time), 1))?;
            }
            writeln!(f)?;
            let reruns = per_round(runs.lanes_reruns);
            writeln!(f, "              lanes: {reruns:.1} transactions run again")?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "machine    {} cores", cores())?;
        writeln!(
            f,
            "measured   transactions one after the other, the median of {} rounds; parallel runs, \
             their mean",
            self.rounds
        )?;
        for group in &self.groups {
            self.group(f, group)?;
        }
        for reason in &self.left_out {
            writeln!(f, "left out: {reason}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_told_in_shares() {
        let part = |gas: u64| Work { steps: gas * 2, gas };
        let work = Fed {
            all: part(200),
            fed: part(20),
            guarded: part(50),
            after_read: part(100),
            reads: 3,
            guards: 1,
        };
        let ms = Duration::from_millis;
        let mut lost = [Duration::ZERO; CAUSES.len()];
        lost[0] = ms(4);
        lost[3] = ms(1);
        let runs =
            Runs { threads: 2, time: ms(20), lost, spared: ms(2), reruns: 6, lanes_reruns: 4 };
        let group = Group {
            workload: "some".to_owned(),
            blocks: 1,
            txs: 4,
            disturbed: 2,
            keep_path: 1,
            work,
            time: ms(10),
            disturbed_time: ms(5),
            recorded_time: ms(15),
            followed_time: ms(90),
            spared: Spared { fed: ms(4), on_path: ms(2), guarded: ms(3), after_read: ms(1) },
            runs: vec![runs],
            ..Group::default()
        };
        let report = Report { rounds: 2, groups: vec![group], left_out: vec!["x".to_owned()] };
        let object = report.to_json();
        let group = &object["groups"][0];
        assert_eq!(group["disturbedPercent"], 50.0);
        assert_eq!(group["work"]["fed"], json!({ "stepsPercent": 10.0, "gasPercent": 10.0 }));
        assert_eq!(group["sparedPercent"]["afterRead"], 10.0);
        assert_eq!((&group["recordedRatio"], &group["followedRatio"]), (&json!(1.5), &json!(9.0)));
        let runs = &group["runs"][0];
        assert_eq!((&runs["occMs"], &runs["lostMs"]["blocked"]), (&json!(10.0), &json!(0.5)));
        assert_eq!((&runs["lostPercent"], &runs["waitedPercent"]), (&json!(25.0), &json!(5.0)));
        assert_eq!(runs["redoSparesPercent"], 10.0);
        assert_eq!(runs["lanesReExecutedTxs"], 2.0);
        let text = report.to_string();
        let needles =
            ["fed 40.0", "changed 20.0", "blocked 5.0", "25.0 % of the time", "left out: x"];
        for needle in needles {
            assert!(text.contains(needle), "{needle}: {text}");
        }
    }
}
