//! Why a block takes as long as it does (`--explain`): who waits for whom and for what, by what a
//! sequential run read and wrote, and what the parallel runs did more than once.

use super::report::ms;
use fugue_executor::{
    Explanation, Fallback, Field, GivenUp, HotField, Report, StateField, TxAccess, Way,
};
use fugue_rpc::{explanation_of, run_of};
use fugue_types::{B256, RecoveredBlock};
use serde_json::Value;
use std::{fmt, time::Duration};

/// Fields of most conflicts that the text tells, at most. The object has more.
const HOTTEST_MAX: usize = 3;

/// What explains a block.
#[derive(Debug, Clone)]
pub(super) struct Explained {
    /// For machines.
    pub(super) object: Value,
    /// For people, lines that each end.
    pub(super) text: String,
}

impl Explained {
    /// `reports` are of the parallel runs, which were observed.
    pub(super) fn new(block: &RecoveredBlock, txs: &[TxAccess], reports: &[&Report]) -> Self {
        let header = &block.block().header;
        let explanation = Explanation::of(txs, header.beneficiary);
        let mut object = explanation_of(block, txs, &explanation);
        object["runs"] = reports.iter().map(|report| run_of(report)).collect();
        let text = Text { number: header.number, explanation: &explanation, reports };
        Self { text: text.to_string(), object }
    }
}

/// A few lines for people.
struct Text<'t> {
    number: u64,
    explanation: &'t Explanation,
    reports: &'t [&'t Report],
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Explanation { gas, time, schedules, hottest, .. } = self.explanation;
        writeln!(
            f,
            "block {}: critical path {:.2} of {:.2} Mgas (x{:.2}), {:.3} of {:.3} ms (x{:.2})",
            self.number,
            gas.length as f64 / 1e6,
            gas.total as f64 / 1e6,
            gas.speed_up(),
            time.length as f64 / 1e6,
            time.total as f64 / 1e6,
            time.speed_up(),
        )?;
        write!(f, "  at best, by gas:")?;
        for (place, schedule) in schedules.iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            write!(f, "{comma} x{:.2} on {} cores", schedule.speed_up(), schedule.cores)?;
        }
        writeln!(f)?;
        for HotField { field: StateField { address, field }, pairs } in
            hottest.iter().take(HOTTEST_MAX)
        {
            let field = match field {
                Field::Nonce => "nonce".to_owned(),
                Field::Balance => "balance".to_owned(),
                Field::Code => "code".to_owned(),
                Field::Slot(slot) => format!("slot {}", B256::from(*slot)),
            };
            writeln!(f, "  {pairs} wait for {address} {field}")?;
        }
        for report in self.reports {
            let Report { mode, way, fallback, tx_runs, .. } = report;
            if let Some(GivenUp { cause, txs, is_kept: _, time }) = report.lost_lanes() {
                let lost = ms(*time);
                write!(f, "  {mode}: lanes given up after {txs} transactions, {lost:.3} ms lost")?;
                writeln!(f, ": {cause}")?;
                // What ran again in them was no more in vain than the rest.
                if *way == Way::Lanes {
                    continue;
                }
            }
            if let Some(Fallback { cause }) = fallback {
                writeln!(f, "  {mode}: given up, what was left ran one by one: {cause}")?;
            }
            // There are none if all of the block ran sequentially, or by its access list.
            if tx_runs.is_empty() {
                continue;
            }
            let again = tx_runs.iter().filter(|tx| tx.runs > 1).count();
            let lost: Duration = tx_runs.iter().map(|tx| tx.lost).sum();
            let (count, lost) = (tx_runs.len(), ms(lost));
            writeln!(f, "  {mode}: {again} of {count} transactions ran again, {lost:.3} ms lost")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fugue_executor::{BlockError, LaneFault, Mode, TxRuns};
    use fugue_types::{Address, U256};

    const HERE: Address = Address::repeat_byte(0xc0);

    fn report(mode: Mode, way: Way, tx_runs: Vec<TxRuns>) -> Report {
        Report { tx_runs, ..Report::new(mode, way, 2, Default::default()) }
    }

    fn ran(runs: u32) -> TxRuns {
        TxRuns { runs, ..TxRuns::default() }
    }

    #[test]
    fn a_run_that_was_given_up_is_told_with_why_and_what_was_lost() {
        let explanation = Explanation::of(&[], Address::ZERO);
        let told = |report: &Report| {
            let reports = [report];
            let text = Text { number: 5, explanation: &explanation, reports: &reports }.to_string();
            text.lines().skip(2).map(str::to_owned).collect::<Vec<_>>()
        };
        let cause = LaneFault::Entangled.into();
        let given_up =
            Some(GivenUp { cause, txs: 12, is_kept: false, time: Duration::from_micros(2_500) });
        let why = "too many transactions depend on one another";
        let lost = format!("lanes given up after 12 transactions, 2.500 ms lost: lanes: {why}");
        let again = "1 of 2 transactions ran again, 0.000 ms lost";
        let mut left = report(Mode::Lanes, Way::Lanes, vec![ran(1), ran(2)]);
        left.given_up = given_up;
        left.fallback = Some(Fallback { cause: LaneFault::Entangled.into() });
        assert_eq!(told(&left), [format!("  lanes: {lost}")]);
        // Another way went on with it.
        (left.mode, left.way, left.fallback) = (Mode::Auto, Way::Optimistic, None);
        assert_eq!(told(&left), [format!("  auto: {lost}"), format!("  auto: {again}")]);
        let mut ended = report(Mode::Occ, Way::Optimistic, vec![ran(1), ran(2)]);
        let cause = BlockError::Internal("told".to_owned());
        let why = format!("  occ: given up, what was left ran one by one: {cause}");
        ended.fallback = Some(Fallback { cause: cause.into() });
        assert_eq!(told(&ended), [why, format!("  occ: {again}")]);
    }

    #[test]
    fn the_text_names_what_is_waited_for() {
        let count = |sender| TxAccess {
            sender: Address::repeat_byte(sender),
            reads: vec![(HERE, Some(U256::ZERO))],
            writes: vec![StateField { address: HERE, field: Field::Slot(U256::ZERO) }],
            sees: Vec::new(),
            credits: false,
            gas_used: 1_000_000,
            nanos: 500_000,
        };
        let explanation = Explanation::of(&[count(1), count(2)], Address::ZERO);
        let lanes = report(Mode::Lanes, Way::Lanes, vec![ran(1), ran(2)]);
        let bal = report(Mode::Bal, Way::List, Vec::new());
        let reports = [&lanes, &bal];
        let text = Text { number: 5, explanation: &explanation, reports: &reports }.to_string();
        assert!(!text.contains("bal:"), "{text}");
        let needles = [
            "block 5: critical path 2.00 of 2.00 Mgas (x1.00), 1.000 of 1.000 ms (x1.00)\n"
                .to_owned(),
            "x1.00 on 2 cores, x1.00 on 4 cores".to_owned(),
            format!("\n  1 wait for {HERE} slot 0x0000"),
            "\n  lanes: 1 of 2 transactions ran again, 0.000 ms lost\n".to_owned(),
        ];
        for needle in needles {
            assert!(text.contains(&needle), "{needle}: {text}");
        }
    }
}
