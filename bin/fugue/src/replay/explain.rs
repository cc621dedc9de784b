//! Why a block takes as long as it does (`--explain`): who waits for whom and for what, by what a
//! sequential run read and wrote, and what the parallel run did more than once.

use fugue_executor::{
    Explanation, Field, HotField, Rerun, RerunCause, StateField, TxAccess, TxRuns,
};
use fugue_rpc::{explanation_of, named_field};
use fugue_types::{B256, RecoveredBlock};
use serde_json::{Value, json};
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
    /// `tx_runs` is of the parallel run; `None` if there was none that was observed.
    pub(super) fn new(
        block: &RecoveredBlock,
        txs: &[TxAccess],
        tx_runs: Option<&[TxRuns]>,
    ) -> Self {
        let header = &block.block().header;
        let explanation = Explanation::of(txs, header.beneficiary);
        let mut object = explanation_of(block, txs, &explanation);
        object["occ"] = tx_runs.map(runs).into();
        let text = Text { number: header.number, explanation: &explanation, tx_runs };
        Self { text: text.to_string(), object }
    }
}

/// How often the transactions ran, and which ran more than once.
fn runs(all: &[TxRuns]) -> Value {
    let again = all.iter().enumerate().filter(|(_, tx)| tx.runs > 1 || !tx.reruns.is_empty());
    let again = again.map(|(index, TxRuns { runs, time, lost, reruns })| {
        json!({
            "index": index,
            "runs": runs,
            "nanoseconds": nanos(*time),
            "lostNanoseconds": nanos(*lost),
            "reruns": reruns.iter().map(rerun).collect::<Vec<Value>>(),
        })
    });
    let again: Vec<Value> = again.collect();
    json!({
        "runs": all.iter().map(|tx| u64::from(tx.runs)).sum::<u64>(),
        "nanoseconds": nanos(all.iter().map(|tx| tx.time).sum()),
        "lostNanoseconds": nanos(lost(all)),
        "transactions": again,
    })
}

fn rerun(rerun: &Rerun) -> Value {
    let Rerun { cause, by, address, field, lost } = rerun;
    let cause = match cause {
        RerunCause::Changed => "changed",
        RerunCause::Doubted => "doubted",
        RerunCause::Restored => "restored",
        RerunCause::Blocked => "blocked",
        RerunCause::Parked => "parked",
    };
    let nothing = || json!({ "field": null, "slot": null });
    let mut told = field.map_or_else(nothing, named_field);
    told["cause"] = cause.into();
    told["by"] = json!(by);
    told["address"] = json!(address);
    told["lostNanoseconds"] = nanos(*lost).into();
    told
}

/// As what is told of the critical path in time.
fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn lost(all: &[TxRuns]) -> Duration {
    all.iter().map(|tx| tx.lost).sum()
}

/// A few lines for people.
struct Text<'t> {
    number: u64,
    explanation: &'t Explanation,
    tx_runs: Option<&'t [TxRuns]>,
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
        if let Some(all) = self.tx_runs {
            let again = all.iter().filter(|tx| tx.runs > 1).count();
            let ms = lost(all).as_secs_f64() * 1e3;
            writeln!(f, "  {again} of {} transactions ran again, {ms:.3} ms lost", all.len())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fugue_types::{Address, U256};

    const HERE: Address = Address::repeat_byte(0xc0);

    fn ran(runs: u32, reruns: Vec<Rerun>) -> TxRuns {
        let lost = reruns.iter().map(|rerun| rerun.lost).sum();
        TxRuns { runs, time: Duration::from_micros(9), lost, reruns }
    }

    #[test]
    fn transactions_that_ran_once_are_counted_alone() {
        let lost = Duration::from_micros(2);
        let slot = Field::Slot(U256::from(7));
        let changed = Rerun {
            cause: RerunCause::Changed,
            by: Some(0),
            address: Some(HERE),
            field: Some(slot),
            lost,
        };
        let blocked =
            Rerun { cause: RerunCause::Blocked, by: Some(1), address: None, field: None, lost };
        let all = [ran(1, Vec::new()), ran(1, Vec::new()), ran(3, vec![changed, blocked])];
        let told = runs(&all);
        assert_eq!((&told["runs"], &told["nanoseconds"]), (&json!(5), &json!(27_000)));
        assert_eq!(told["lostNanoseconds"], 4_000);
        let expected = json!([{
            "index": 2, "runs": 3, "nanoseconds": 9_000, "lostNanoseconds": 4_000,
            "reruns": [
                {
                    "cause": "changed", "by": 0, "address": HERE, "field": "storage",
                    "slot": B256::with_last_byte(7), "lostNanoseconds": 2_000,
                },
                {
                    "cause": "blocked", "by": 1, "address": null, "field": null, "slot": null,
                    "lostNanoseconds": 2_000,
                },
            ],
        }]);
        assert_eq!(told["transactions"], expected);
    }

    #[test]
    fn the_text_names_what_is_waited_for() {
        let count = |sender| TxAccess {
            sender: Address::repeat_byte(sender),
            reads: vec![(HERE, Some(U256::ZERO))],
            writes: vec![StateField { address: HERE, field: Field::Slot(U256::ZERO) }],
            credits: false,
            gas_used: 1_000_000,
            nanos: 500_000,
        };
        let explanation = Explanation::of(&[count(1), count(2)], Address::ZERO);
        let all = [ran(1, Vec::new()), ran(2, Vec::new())];
        let text = Text { number: 5, explanation: &explanation, tx_runs: Some(&all) }.to_string();
        let needles = [
            "block 5: critical path 2.00 of 2.00 Mgas (x1.00), 1.000 of 1.000 ms (x1.00)\n"
                .to_owned(),
            "x1.00 on 2 cores, x1.00 on 4 cores".to_owned(),
            format!("\n  1 wait for {HERE} slot 0x0000"),
            "\n  1 of 2 transactions ran again, 0.000 ms lost\n".to_owned(),
        ];
        for needle in needles {
            assert!(text.contains(&needle), "{needle}: {text}");
        }
    }
}
