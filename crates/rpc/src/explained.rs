//! What explains a block, as an object of JSON: for a method of this crate and for reports of the
//! program, which have one form.
//!
//! Numbers are numbers of JSON, for tools that reckon with them: counts, indices, gas, nanoseconds;
//! all of them are far below 2^53.

use fugue_executor::{
    Conflict, ConflictCause, CriticalPath, Dependency, Explanation, Field, Schedule, StateField,
    TxAccess,
};
use fugue_types::{B256, RecoveredBlock};
use serde_json::{Value, json as object};

/// Locations that are told of one dependency, at most: a transaction may read thousands. How many
/// there are is told as well.
const LOCATIONS_MAX: usize = 16;

/// An explanation of a block as an object. `txs` is what each transaction read and wrote, in block
/// order, of which it was made.
///
/// The form is that of `fugue_explainBlock`, without the parallel run of that call.
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
pub fn named(field: Field) -> Value {
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
    use fugue_types::{Address, U256};

    const HERE: Address = Address::repeat_byte(0xc0);

    fn conflicts(count: u64) -> Vec<Conflict> {
        let conflict = |slot: u64| Conflict {
            field: StateField { address: HERE, field: Field::Slot(U256::from(slot)) },
            cause: ConflictCause::State,
        };
        (0..count).map(conflict).collect()
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
