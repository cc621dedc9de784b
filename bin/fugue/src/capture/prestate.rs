//! The second way: the node traces the transactions, and says of each what it reads.
//!
//! A trace has values before its transaction, not before the block. A value is taken from the first
//! trace that has it, if nothing before it can have changed it: no earlier transaction, not by the
//! traces of what each changes either, for what a transaction creates is in no trace of what it
//! reads; nor the opening of the block. What is left is asked for when the block is executed here.

use super::{
    Subject,
    endpoint::Fault,
    remote::{Known, KnownAccount},
};
use crate::client::public::{decoded, quantity};
use alloy_eips::{eip2935::HISTORY_STORAGE_ADDRESS, eip4788::BEACON_ROOTS_ADDRESS};
use fugue_state::Account;
use fugue_types::{Address, B256, Bytes, HashSet, KECCAK256_EMPTY, U256, keccak256};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const METHOD: &str = "debug_traceBlockByNumber";

/// An account of a trace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
struct Traced {
    #[serde(default)]
    balance: U256,
    /// A number with geth, a quantity with others.
    #[serde(default)]
    nonce: U256,
    #[serde(default)]
    code: Bytes,
    #[serde(default)]
    storage: BTreeMap<B256, B256>,
}

/// What one transaction reads.
type Trace = BTreeMap<Address, Traced>;

/// What one transaction changes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
struct Changes {
    #[serde(default)]
    pre: Trace,
    #[serde(default)]
    post: Trace,
}

/// What is known of the state before the block.
pub(super) fn traced(subject: &Subject<'_>) -> Result<Known, Fault> {
    let header = subject.header();
    let rules = subject.chain.spec.rules(header);
    if rules.moves_dao_balances {
        let reason = "the block moves balances before its transactions: traces do not tell";
        return Err(subject.endpoint.unfit(header.number, METHOD, reason));
    }
    let reads: Vec<Trace> = traces(subject, false)?;
    let changes: Vec<Changes> = traces(subject, true)?;
    // The opening of the block stores, and fees are paid by transactions that do not say so.
    let others = [BEACON_ROOTS_ADDRESS, HISTORY_STORAGE_ADDRESS, header.beneficiary];
    merged(&reads, &changes, &others)
        .map_err(|error| subject.endpoint.unfit(header.number, METHOD, error))
}

/// One result for each transaction.
fn traces<T: serde::de::DeserializeOwned>(
    subject: &Subject<'_>,
    is_diff: bool,
) -> Result<Vec<T>, Fault> {
    let number = subject.header().number;
    let options = json!({
        "tracer": "prestateTracer", "tracerConfig": { "diffMode": is_diff }, "timeout": "120s",
    });
    let answer = subject.endpoint.call(number, METHOD, &json!([quantity(number), options]))?;
    let unfit = |error: String| subject.endpoint.unfit(number, METHOD, error);
    let list: Vec<Value> = decoded(answer).map_err(unfit)?;
    let expected = subject.block.block().body.transactions.len();
    if list.len() != expected {
        return Err(unfit(format!("{} traces of {expected} transactions", list.len())));
    }
    let trace = |(index, mut value): (usize, Value)| {
        let result = value.get_mut("result").map(Value::take).unwrap_or_default();
        let told = value.get("error").map(|error| format!(" ({error})")).unwrap_or_default();
        decoded(result).map_err(|error| unfit(format!("trace {index}: {error}{told}")))
    };
    list.into_iter().enumerate().map(trace).collect()
}

/// Puts the traces of a block together.
fn merged(reads: &[Trace], changes: &[Changes], others: &[Address]) -> Result<Known, String> {
    let mut known = Known::default();
    // Accounts and slots that an earlier transaction has come by.
    let mut accounts: HashSet<Address> = others.iter().copied().collect();
    let mut slots: HashSet<(Address, B256)> = HashSet::default();
    for (read, change) in reads.iter().zip(changes) {
        for (address, traced) in read {
            let Traced { balance, nonce, code, storage } = traced;
            let nonce = u64::try_from(*nonce).map_err(|error| format!("{address}: {error}"))?;
            let code_hash = if code.is_empty() { KECCAK256_EMPTY } else { keccak256(code) };
            let account = Account { nonce, balance: *balance, code_hash };
            // Whether one that is empty is there, no trace says.
            if !accounts.contains(address) && !account.is_empty() {
                known.accounts.insert(*address, KnownAccount { account, storage_root: None });
                if !code.is_empty() {
                    known.codes.insert(code_hash, code.clone());
                }
            }
            // Of what the block creates, no slot was there before it.
            let is_new = accounts.contains(address) && !known.accounts.contains_key(address);
            if is_new || others.contains(address) {
                continue;
            }
            for (slot, value) in storage {
                if !slots.contains(&(*address, *slot)) {
                    let key = (*address, U256::from_be_bytes(slot.0));
                    known.slots.insert(key, U256::from_be_bytes(value.0));
                }
            }
        }
        for (address, traced) in read.iter().chain(&change.pre).chain(&change.post) {
            accounts.insert(*address);
            slots.extend(traced.storage.keys().map(|slot| (*address, *slot)));
        }
    }
    Ok(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENDER: Address = Address::repeat_byte(1);
    const OLD: Address = Address::repeat_byte(2);
    const NEW: Address = Address::repeat_byte(3);
    const MINER: Address = Address::repeat_byte(4);

    fn word(number: u64) -> B256 {
        U256::from(number).into()
    }

    fn reads(json: Value) -> Trace {
        decoded(json).expect("a trace")
    }

    fn changes(json: Value) -> Changes {
        decoded(json).expect("changes")
    }

    #[test]
    fn values_are_those_before_the_block_or_left_to_be_asked_for() {
        let slot = |one: u64, value: u64| json!({ word(one).to_string(): word(value) });
        let all = [
            reads(json!({
                SENDER.to_string(): { "balance": "0x64", "nonce": 7 },
                OLD.to_string(): { "balance": "0x1", "nonce": 1, "code": "0x00",
                                   "storage": slot(1, 5) },
                MINER.to_string(): { "balance": "0x9" },
            })),
            reads(json!({
                SENDER.to_string(): { "balance": "0x50", "nonce": "0x8" },
                OLD.to_string(): { "balance": "0x1", "nonce": 1, "code": "0x00", "storage": {
                    word(1).to_string(): word(6), word(2).to_string(): word(7),
                    word(3).to_string(): word(8),
                }},
                NEW.to_string(): { "balance": "0x3", "nonce": 1 },
                MINER.to_string(): { "balance": "0xa" },
            })),
        ];
        // The first one creates an account, and stores in a slot of which its trace says nothing.
        let first = json!({
            "pre": { SENDER.to_string(): { "balance": "0x64", "nonce": 7 } },
            "post": {
                SENDER.to_string(): { "balance": "0x50", "nonce": 8 },
                NEW.to_string(): { "balance": "0x3", "nonce": 1 },
                OLD.to_string(): { "storage": slot(2, 7) },
            },
        });
        let all_changes = [changes(first), Changes::default()];
        let known = merged(&all, &all_changes, &[MINER]).expect("good traces");

        let found: Vec<Address> = known.accounts.keys().copied().collect();
        assert_eq!(found, [SENDER, OLD]);
        let sender = known.accounts[&SENDER].account;
        assert_eq!((sender.nonce, sender.balance), (7, U256::from(100)));
        let code = Bytes::from_static(&[0]);
        assert_eq!(known.accounts[&OLD].account.code_hash, keccak256(&code));
        assert_eq!(known.codes.get(&keccak256(&code)), Some(&code));
        let slots = [(1, 5), (3, 8)];
        let slots = slots.map(|(slot, value)| ((OLD, U256::from(slot)), U256::from(value)));
        assert_eq!(known.slots, BTreeMap::from(slots));
    }

    #[test]
    fn a_nonce_that_is_too_large_is_told() {
        let trace = reads(json!({ SENDER.to_string(): { "nonce": "0x10000000000000000" } }));
        let told = merged(&[trace], &[Changes::default()], &[]).unwrap_err();
        assert!(told.starts_with(&SENDER.to_string()), "{told}");
    }
}
