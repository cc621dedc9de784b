//! Where two outcomes of the same block first differ.

use crate::BlockOutcome;
use fugue_state::{AccountDiff, StateDiff};
use fugue_types::{AccountChanges, Address, TxResult, U256};
use std::fmt;

/// The first difference between two outcomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Divergence {
    /// Position of the transaction, if the difference is one transaction's.
    pub transaction: Option<usize>,
    /// The account, if the difference is one account's.
    pub address: Option<Address>,
    /// The slot, if the difference is one slot's.
    pub slot: Option<U256>,
    /// What differs.
    pub field: &'static str,
    /// The value that counts.
    pub expected: String,
    /// The other value.
    pub found: String,
}

impl Divergence {
    /// A difference of a whole block.
    pub fn of_block(
        field: &'static str,
        expected: impl fmt::Display,
        found: impl fmt::Display,
    ) -> Self {
        Self {
            transaction: None,
            address: None,
            slot: None,
            field,
            expected: expected.to_string(),
            found: found.to_string(),
        }
    }
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(index) = self.transaction {
            write!(f, "transaction {index}, ")?;
        }
        if let Some(address) = self.address {
            write!(f, "account {address}, ")?;
        }
        if let Some(slot) = self.slot {
            write!(f, "slot {slot:#x}, ")?;
        }
        write!(f, "{}: expected {}, found {}", self.field, self.expected, self.found)
    }
}

/// The first difference: transactions in block order, then the block's totals, then the state by
/// address and slot. `None` if the outcomes are equal.
pub fn first_divergence(expected: &BlockOutcome, found: &BlockOutcome) -> Option<Divergence> {
    // Destructured, so that a new field cannot be forgotten here.
    let BlockOutcome {
        results,
        gas_used,
        gas_regular,
        gas_state,
        blob_gas_used,
        requests,
        access_list,
        diff,
        steps,
        // No part of what the block does.
        excess: _,
    } = found;
    let both = expected.results.iter().zip(results).enumerate();
    for (index, (expected, found)) in both {
        if let Some(divergence) = of_results(expected, found) {
            return Some(Divergence { transaction: Some(index), ..divergence });
        }
    }
    let totals = [
        ("transaction count", expected.results.len() as u64, results.len() as u64),
        ("gas used", expected.gas_used, *gas_used),
        ("regular gas", expected.gas_regular, *gas_regular),
        ("state gas", expected.gas_state, *gas_state),
        ("blob gas", expected.blob_gas_used, *blob_gas_used),
    ];
    for (field, expected, found) in totals {
        if expected != found {
            return Some(Divergence::of_block(field, expected, found));
        }
    }
    if expected.requests != *requests {
        let show = |requests| format!("{requests:?}");
        return Some(Divergence::of_block("requests", show(&expected.requests), show(requests)));
    }
    if expected.steps.len() != steps.len() {
        return Some(Divergence::of_block("steps", expected.steps.len(), steps.len()));
    }
    for (step, (expected, found)) in expected.steps.iter().zip(steps).enumerate() {
        if let Some(divergence) = of_diffs(expected, found) {
            return Some(Divergence { transaction: step.checked_sub(1), ..divergence });
        }
    }
    let divergence = of_diffs(&expected.diff, diff);
    divergence.or_else(|| of_access_lists(expected.access_list.as_deref(), access_list.as_deref()))
}

/// The first account that is not listed alike.
fn of_access_lists(
    expected: Option<&[AccountChanges]>,
    found: Option<&[AccountChanges]>,
) -> Option<Divergence> {
    let (expected, found) = (expected.unwrap_or_default(), found.unwrap_or_default());
    let same = expected.iter().zip(found).take_while(|(expected, found)| expected == found).count();
    let (expected, found) = (expected.get(same), found.get(same));
    let first = match (expected, found) {
        (None, None) => return None,
        (Some(one), Some(other)) => one.address.min(other.address),
        (Some(only), None) | (None, Some(only)) => only.address,
    };
    let show = |entry: Option<&AccountChanges>| match entry {
        Some(entry) if entry.address == first => format!("{entry:?}"),
        _ => "no entry".to_owned(),
    };
    let divergence = Divergence::of_block("access list", show(expected), show(found));
    Some(Divergence { address: Some(first), ..divergence })
}

fn of_results(expected: &TxResult, found: &TxResult) -> Option<Divergence> {
    let TxResult { tx_type, status, gas, logs, output, created } = found;
    let differs = |field, expected: &dyn fmt::Debug, found: &dyn fmt::Debug| {
        Some(Divergence::of_block(field, format!("{expected:?}"), format!("{found:?}")))
    };
    if expected.tx_type != *tx_type {
        return differs("type", &expected.tx_type, tx_type);
    }
    if expected.status != *status {
        return Some(Divergence::of_block("status", expected.status.name(), status.name()));
    }
    if expected.gas != *gas {
        return differs("gas", &expected.gas, gas);
    }
    if expected.logs != *logs {
        let first = expected.logs.iter().zip(logs).position(|(expected, found)| expected != found);
        let index = first.unwrap_or_else(|| expected.logs.len().min(logs.len()));
        return differs("logs", &(index, expected.logs.get(index)), &(index, logs.get(index)));
    }
    if expected.output != *output {
        return Some(Divergence::of_block("output", &expected.output, output));
    }
    if expected.created != *created {
        return differs("created address", &expected.created, created);
    }
    None
}

fn of_diffs(expected: &StateDiff, found: &StateDiff) -> Option<Divergence> {
    let (mut left, mut right) = (expected.accounts.iter(), found.accounts.iter());
    loop {
        match (left.next(), right.next()) {
            (None, None) => break,
            (Some(expected), Some(found)) if expected.address == found.address => {
                if let Some(divergence) = of_accounts(expected, found) {
                    return Some(Divergence { address: Some(expected.address), ..divergence });
                }
            }
            (expected, found) => {
                // Both are in the order of addresses: the lower one is missing in the other.
                let lower = [expected, found].into_iter().flatten().map(|a| a.address).min()?;
                let show = |account: Option<&AccountDiff>| match account {
                    Some(account) if account.address == lower => "changed",
                    _ => "unchanged",
                };
                let divergence = Divergence::of_block("account", show(expected), show(found));
                return Some(Divergence { address: Some(lower), ..divergence });
            }
        }
    }
    let hashes = |diff: &StateDiff| diff.codes.iter().map(|(hash, _)| *hash).collect::<Vec<_>>();
    (expected.codes != found.codes).then(|| {
        let show = |diff| format!("{:?}", hashes(diff));
        Divergence::of_block("codes", show(expected), show(found))
    })
}

fn of_accounts(expected: &AccountDiff, found: &AccountDiff) -> Option<Divergence> {
    let AccountDiff { address: _, before, after, wiped, slots } = found;
    let differs = |field, expected: &dyn fmt::Debug, found: &dyn fmt::Debug| {
        Some(Divergence::of_block(field, format!("{expected:?}"), format!("{found:?}")))
    };
    if expected.before != *before {
        return differs("account before", &expected.before, before);
    }
    if expected.after != *after {
        if let (Some(expected), Some(found)) = (expected.after, after) {
            if expected.balance != found.balance {
                return Some(Divergence::of_block("balance", expected.balance, found.balance));
            }
            if expected.nonce != found.nonce {
                return Some(Divergence::of_block("nonce", expected.nonce, found.nonce));
            }
            return Some(Divergence::of_block("code hash", expected.code_hash, found.code_hash));
        }
        return differs("account", &expected.after, after);
    }
    if expected.wiped != *wiped {
        return Some(Divergence::of_block("wiped", expected.wiped, wiped));
    }
    let (mut left, mut right) = (expected.slots.iter().peekable(), slots.iter().peekable());
    while left.peek().is_some() || right.peek().is_some() {
        let lower = [left.peek(), right.peek()].into_iter().flatten().map(|s| s.slot).min()?;
        let expected = left.next_if(|slot| slot.slot == lower).copied();
        let found = right.next_if(|slot| slot.slot == lower).copied();
        if expected != found {
            let show = |slot: Option<fugue_state::SlotDiff>| {
                slot.map_or("unchanged".to_owned(), |slot| {
                    format!("{:#x} -> {:#x}", slot.before, slot.after)
                })
            };
            let divergence = Divergence::of_block("value", show(expected), show(found));
            return Some(Divergence { slot: Some(lower), ..divergence });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use fugue_state::{Account, SlotDiff};
    use fugue_types::B256;

    /// The outcome of a block that changes one account.
    fn outcome(change: AccountDiff) -> BlockOutcome {
        let diff = StateDiff { accounts: vec![change], codes: Vec::new() };
        BlockOutcome { diff, ..BlockOutcome::default() }
    }

    #[test]
    fn whatever_differs_of_a_changed_account_is_named() {
        let address = Address::repeat_byte(1);
        let account = Account { balance: U256::from(2), ..Account::default() };
        let slots = |after: u64| {
            let (slot, before, after) = (U256::from(7), U256::ZERO, U256::from(after));
            vec![SlotDiff { slot, before, after }]
        };
        let (before, after) = (Some(Account::default()), Some(account));
        let change = AccountDiff { address, before, after, wiped: false, slots: slots(3) };
        let leaving = |after: Account| AccountDiff { after: Some(after), ..change.clone() };
        let cases = [
            ("account before", AccountDiff { before: None, ..change.clone() }),
            ("account", AccountDiff { after: None, ..change.clone() }),
            ("balance", leaving(Account { balance: U256::from(9), ..account })),
            ("nonce", leaving(Account { nonce: 9, ..account })),
            ("code hash", leaving(Account { code_hash: B256::repeat_byte(9), ..account })),
            ("wiped", AccountDiff { wiped: true, ..change.clone() }),
            ("value", AccountDiff { slots: slots(9), ..change.clone() }),
            ("value", AccountDiff { slots: Vec::new(), ..change.clone() }),
        ];
        let expected = outcome(change.clone());
        assert_eq!(first_divergence(&expected, &expected), None);
        for (field, other) in cases {
            let other = outcome(other);
            for (one, two) in [(&expected, &other), (&other, &expected)] {
                let named = first_divergence(one, two).map(|found| (found.address, found.field));
                assert_eq!(named, Some((Some(address), field)));
            }
        }
    }
}
