//! What can be left out of a block, item by item.

use super::Trial;
use fugue_types::{Address, B256, U256};
use std::{collections::BTreeSet, ops::Range};

/// A list of items of a block or of the state before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Each with all of its transactions.
    Senders,
    /// The last one first: a transaction is needed by those of its sender that follow it.
    Transactions,
    Withdrawals,
    /// Each with its storage.
    Accounts,
    Slots,
    /// The account stays, without code.
    Codes,
    /// Of ancestors.
    BlockHashes,
}

impl Part {
    /// In the order in which they are gone through.
    pub(super) const ALL: [Self; 7] = [
        Self::Senders,
        Self::Transactions,
        Self::Withdrawals,
        Self::Accounts,
        Self::Slots,
        Self::Codes,
        Self::BlockHashes,
    ];

    /// How many items there are.
    pub(super) fn count(self, trial: &Trial) -> usize {
        let size = trial.size();
        match self {
            Self::Senders => distinct(trial.senders()).len(),
            Self::Transactions => size.transactions,
            Self::Withdrawals => size.withdrawals,
            Self::Accounts => size.accounts,
            Self::Slots => size.slots,
            Self::Codes => size.codes,
            Self::BlockHashes => trial.bundle().block_hashes.len(),
        }
    }

    /// The block without the items at these places.
    pub(super) fn without(self, trial: &Trial, places: Range<usize>) -> Trial {
        let is_out = |place: usize| places.contains(&place);
        let (skip, take) = (places.start, places.len());
        match self {
            Self::Senders => {
                let out: BTreeSet<Address> =
                    distinct(trial.senders()).into_iter().skip(skip).take(take).collect();
                trial.with_transactions(|_, sender| !out.contains(&sender))
            }
            Self::Transactions => {
                let last = trial.senders().len().saturating_sub(1);
                trial.with_transactions(|index, _| !is_out(last - index))
            }
            Self::Withdrawals => trial.without_withdrawals(places.clone()),
            Self::Accounts => trial.with_state(|state| {
                let out: Vec<Address> =
                    state.accounts.keys().skip(skip).take(take).copied().collect();
                for address in out {
                    state.accounts.remove(&address);
                }
            }),
            Self::Slots => trial.with_state(|state| {
                let all = state.accounts.iter().flat_map(|(address, account)| {
                    account.storage.keys().map(move |slot| (*address, *slot))
                });
                let out: Vec<(Address, U256)> = all.skip(skip).take(take).collect();
                for (address, slot) in out {
                    if let Some(account) = state.accounts.get_mut(&address) {
                        account.storage.remove(&slot);
                    }
                }
            }),
            Self::Codes => trial.with_state(|state| {
                let with_code = state.accounts.values_mut().filter(|one| one.code_hash.is_some());
                for account in with_code.skip(skip).take(take) {
                    account.code_hash = None;
                }
            }),
            Self::BlockHashes => {
                let mut bundle = trial.bundle().clone();
                let all = bundle.block_hashes.iter().map(|(number, hash)| (*number, *hash));
                let all: Vec<(u64, B256)> = all.collect();
                let kept = all.into_iter().enumerate().filter(|(place, _)| !is_out(*place));
                bundle.block_hashes = kept.map(|(_, known)| known).collect();
                Trial::new(bundle, trial.senders().to_vec())
            }
        }
    }
}

/// Each sender once, in the order in which they come.
fn distinct(senders: &[Address]) -> Vec<Address> {
    let mut seen = BTreeSet::new();
    senders.iter().filter(|sender| seen.insert(**sender)).copied().collect()
}
