//! Why a block takes as long as it does (`--explain`): who waits for whom and for what, by what a
//! sequential run read and wrote, and what the parallel runs did more than once.

use fugue_executor::{Explanation, Field, HotField, Report, StateField, TxAccess};
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
        for Report { mode, tx_runs, .. } in self.reports {
            // There are none if all of the block ran sequentially, or by its access list.
            if tx_runs.is_empty() {
                continue;
            }
            let again = tx_runs.iter().filter(|tx| tx.runs > 1).count();
            let lost: Duration = tx_runs.iter().map(|tx| tx.lost).sum();
            let (count, ms) = (tx_runs.len(), lost.as_secs_f64() * 1e3);
            writeln!(f, "  {mode}: {again} of {count} transactions ran again, {ms:.3} ms lost")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fugue_executor::{Mode, TxRuns, Way};
    use fugue_types::{Address, U256};

    const HERE: Address = Address::repeat_byte(0xc0);

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
        let ran = |runs| TxRuns { runs, ..TxRuns::default() };
        let report = |mode, way, tx_runs| {
            let stats = Default::default();
            Report {
                mode,
                way,
                threads: 2,
                stats,
                fallback: None,
                given_up: None,
                list: None,
                tx_runs,
                memory_bytes: 0,
            }
        };
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
