//! What explains a block, as an object of JSON: for a method of this crate and for reports of the
//! program, which have one form.
//!
//! Numbers are numbers of JSON, for tools that reckon with them: counts, indices, gas, nanoseconds;
//! all of them are far below 2^53.

use fugue_executor::{
    BlockError, Conflict, ConflictCause, CriticalPath, Dependency, Explanation, FallbackCause,
    Field, GivenUp, Report, Rerun, RerunCause, Schedule, StateField, TxAccess, TxRuns,
};
use fugue_types::{B256, RecoveredBlock};
use serde_json::{Value, json as object};
use std::time::Duration;

/// Locations that are told of one dependency, at most: a transaction may read thousands. How many
/// there are is told as well.
const LOCATIONS_MAX: usize = 16;

/// An explanation of a block as an object. `txs` is what each transaction read and wrote, in block
/// order, of which it was made.
///
/// The form is that of `fugue_explainBlock`, without the runs ([`run_of`]).
pub fn explanation_of(
    block: &RecoveredBlock,
    txs: &[TxAccess],
    explanation: &Explanation,
) -> Value {
    let (hash, block) = (block.hash(), block.block());
    let (header, body) = (&block.header, &block.body);
    let Explanation {
        dependencies,
        gas,
        time,
        schedules,
        hottest,
        senders,
        fee_credits,
        fee_readers,
    } = explanation;
    let txs = body.transactions.iter().zip(txs).zip(dependencies).enumerate();
    let txs = txs.map(|(index, ((tx, access), dependencies))| {
        object!({
            "index": index,
            "hash": tx.hash(),
            "from": access.sender,
            "gasUsed": access.gas_used,
            "nanoseconds": access.nanos,
            "dependsOn": dependencies.iter().map(dependency).collect::<Vec<Value>>(),
        })
    });
    let hottest = hottest.iter().map(|hot| {
        let mut told = location(hot.field);
        told["conflictingPairs"] = hot.pairs.into();
        told
    });
    let senders = senders.iter().map(|chain| {
        object!({
            "address": chain.sender, "transactions": chain.txs, "gasUsed": chain.gas_used,
        })
    });
    object!({
        "blockNumber": header.number,
        "blockHash": hash,
        "transactions": txs.collect::<Vec<Value>>(),
        "gas": critical_path(gas),
        "nanoseconds": critical_path(time),
        "cores": schedules.iter().map(schedule).collect::<Vec<Value>>(),
        "hottest": hottest.collect::<Vec<Value>>(),
        "senderChains": senders.collect::<Vec<Value>>(),
        "feeRecipient": {
            "address": header.beneficiary, "credits": fee_credits, "readers": fee_readers,
        },
    })
}

/// What a run of a block in some mode did, as an object. If it was
/// [observed](fugue_executor::Executor::observing), it tells which transactions ran more than once,
/// and who disturbed them where.
pub fn run_of(report: &Report) -> Value {
    let Report { mode, way, threads, stats, fallback, given_up, tx_runs, .. } = report;
    // A run that was given up has no totals, and what was noted until then.
    let (runs, reruns) = if tx_runs.is_empty() {
        (stats.runs, stats.rerun_txs)
    } else {
        let runs = tx_runs.iter().map(|tx| tx.runs as usize).sum();
        (runs, tx_runs.iter().filter(|tx| tx.runs > 1).count())
    };
    let total = |of: fn(&TxRuns) -> Duration| {
        (!tx_runs.is_empty()).then(|| nanos(tx_runs.iter().map(of).sum()))
    };
    let again = tx_runs.iter().enumerate().filter(|(_, tx)| tx.runs > 1 || !tx.reruns.is_empty());
    let again = again.map(|(index, TxRuns { runs, time, lost, reruns })| {
        object!({
            "index": index,
            "runs": runs,
            "nanoseconds": nanos(*time),
            "lostNanoseconds": nanos(*lost),
            "reruns": reruns.iter().map(rerun).collect::<Vec<Value>>(),
        })
    });
    object!({
        "mode": mode.to_string(),
        "way": way.to_string(),
        "threads": threads,
        "activeThreads": stats.active_threads,
        "runs": runs,
        "rerunTransactions": reruns,
        "blockedRuns": stats.blocked_runs,
        "headReruns": stats.head_reruns,
        "sequentialFrom": stats.sequential_from,
        "fallback": fallback.as_ref().map(|fallback| fallback_of(&fallback.cause)),
        "givenUp": given_up.as_ref().map(|GivenUp { cause, txs, is_kept, time }| {
            let cause = fallback_of(cause);
            object!({ "cause": cause, "txs": txs, "kept": is_kept, "nanoseconds": nanos(*time) })
        }),
        "nanoseconds": total(|tx| tx.time),
        "lostNanoseconds": total(|tx| tx.lost),
        "transactions": again.collect::<Vec<Value>>(),
    })
}

/// Other words of it are for the operator: they may name files.
fn fallback_of(cause: &FallbackCause) -> String {
    let word = match cause {
        FallbackCause::Block(BlockError::Invalid(_)) => "invalid",
        FallbackCause::Block(BlockError::State(_)) => "state",
        FallbackCause::Block(BlockError::Internal(_)) => "internal",
        FallbackCause::List(_) => "accessList",
        FallbackCause::Lanes(_) => return cause.to_string(),
    };
    word.to_owned()
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
    let nothing = || object!({ "field": null, "slot": null });
    let mut told = field.map_or_else(nothing, named);
    told["cause"] = cause.into();
    told["by"] = object!(by);
    told["address"] = object!(address);
    told["lostNanoseconds"] = nanos(*lost).into();
    told
}

/// As what is told of the critical path in time.
fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn dependency(dependency: &Dependency) -> Value {
    let Dependency { on, conflicts } = dependency;
    with_locations(object!({ "index": on }), conflicts)
}

fn critical_path(path: &CriticalPath) -> Value {
    let steps = path.steps.iter().map(|step| {
        let told = object!({ "index": step.index });
        with_locations(told, &step.conflicts)
    });
    object!({
        "total": path.total,
        "criticalPath": path.length,
        "bestSpeedUp": path.speed_up(),
        "transactions": steps.collect::<Vec<Value>>(),
    })
}

fn schedule(schedule: &Schedule) -> Value {
    let Schedule { cores, total: _, length } = schedule;
    object!({ "cores": cores, "gas": length, "speedUp": schedule.speed_up() })
}

/// Adds why a transaction waits for another one.
fn with_locations(mut told: Value, conflicts: &[Conflict]) -> Value {
    let locations = conflicts.iter().take(LOCATIONS_MAX).map(|Conflict { field, cause }| {
        let mut told = location(*field);
        told["cause"] = match cause {
            ConflictCause::State => "state",
            ConflictCause::Sender => "sender",
            ConflictCause::FeeRecipient => "feeRecipient",
        }
        .into();
        told
    });
    told["locations"] = locations.collect();
    told["locationCount"] = conflicts.len().into();
    told
}

fn location(field: StateField) -> Value {
    let StateField { address, field } = field;
    let mut told = named(field);
    told["address"] = object!(address);
    told
}

/// A field by its name, and by its slot if it is one: `field` and `slot` of an object.
pub(crate) fn named(field: Field) -> Value {
    let (name, slot) = match field {
        Field::Nonce => ("nonce", None),
        Field::Balance => ("balance", None),
        Field::Code => ("code", None),
        Field::Slot(slot) => ("storage", Some(B256::from(slot))),
    };
    object!({ "field": name, "slot": slot })
}

#[cfg(test)]
mod tests {
    use super::*;
    use fugue_executor::{Fallback, LaneFault, Mode, Way};
    use fugue_types::{Address, U256};

    const HERE: Address = Address::repeat_byte(0xc0);

    fn conflicts(count: u64) -> Vec<Conflict> {
        let conflict = |slot: u64| Conflict {
            field: StateField { address: HERE, field: Field::Slot(U256::from(slot)) },
            cause: ConflictCause::State,
        };
        (0..count).map(conflict).collect()
    }

    fn ran(runs: u32, reruns: Vec<Rerun>) -> TxRuns {
        let lost = reruns.iter().map(|rerun| rerun.lost).sum();
        TxRuns { runs, time: Duration::from_micros(9), lost, reruns }
    }

    fn report(way: Way, tx_runs: Vec<TxRuns>) -> Report {
        Report { tx_runs, ..Report::new(Mode::Lanes, way, 2, Default::default()) }
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
        let all = vec![ran(1, Vec::new()), ran(1, Vec::new()), ran(3, vec![changed, blocked])];
        let told = run_of(&report(Way::Lanes, all));
        assert_eq!((&told["mode"], &told["way"]), (&object!("lanes"), &object!("lanes")));
        assert_eq!((&told["runs"], &told["rerunTransactions"]), (&object!(5), &object!(1)));
        assert_eq!((&told["nanoseconds"], &told["fallback"]), (&object!(27_000), &Value::Null));
        assert_eq!(told["lostNanoseconds"], 4_000);
        let expected = object!([{
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
    fn a_run_that_was_not_observed_or_given_up_tells_what_there_is() {
        let mut unseen = report(Way::List, Vec::new());
        (unseen.stats.runs, unseen.stats.rerun_txs) = (7, 0);
        let told = run_of(&unseen);
        assert_eq!((&told["runs"], &told["transactions"]), (&object!(7), &object!([])));
        assert_eq!((&told["nanoseconds"], &told["way"]), (&Value::Null, &object!("access list")));
        assert_eq!(told["givenUp"], Value::Null);
        let mut given_up = report(Way::Lanes, vec![ran(1, Vec::new()), ran(2, Vec::new())]);
        let (cause, time) = (LaneFault::Entangled.into(), Duration::from_micros(25));
        let is_kept = false;
        given_up.fallback = Some(Fallback { cause: LaneFault::Entangled.into() });
        given_up.given_up = Some(GivenUp { cause, txs: 2, is_kept, time });
        let told = run_of(&given_up);
        assert_eq!((&told["runs"], &told["rerunTransactions"]), (&object!(3), &object!(1)));
        assert_eq!(told["fallback"], "lanes: too many transactions depend on one another");
        let expected = object!({
            "cause": told["fallback"], "txs": 2, "kept": false, "nanoseconds": 25_000,
        });
        assert_eq!(told["givenUp"], expected);
        let cause: FallbackCause = BlockError::Internal("in a file".to_owned()).into();
        given_up.fallback = Some(Fallback { cause: cause.clone() });
        given_up.given_up = Some(GivenUp { cause, txs: 2, is_kept, time });
        let told = run_of(&given_up);
        assert_eq!(told["fallback"], "internal");
        assert_eq!(told["givenUp"]["cause"], "internal");
    }

    #[test]
    fn a_location_has_a_slot_if_it_is_one() {
        let told = location(StateField { address: HERE, field: Field::Slot(U256::from(9)) });
        let slot = B256::with_last_byte(9);
        assert_eq!(told, object!({ "address": HERE, "field": "storage", "slot": slot }));
        let told = location(StateField { address: HERE, field: Field::Balance });
        assert_eq!(told, object!({ "address": HERE, "field": "balance", "slot": null }));
    }

    #[test]
    fn of_many_locations_a_few_are_told_and_how_many_there_are() {
        let told = with_locations(object!({ "index": 3 }), &conflicts(2));
        assert_eq!((&told["index"], &told["locationCount"]), (&object!(3), &object!(2)));
        assert_eq!(told["locations"][1]["slot"], object!(B256::with_last_byte(1)));
        assert_eq!(told["locations"][1]["cause"], "state");
        let told = with_locations(object!({}), &conflicts(1_000));
        assert_eq!(told["locations"].as_array().map(Vec::len), Some(LOCATIONS_MAX));
        assert_eq!(told["locationCount"], 1_000);
        assert_eq!(with_locations(object!({}), &[])["locations"], object!([]));
    }
}
