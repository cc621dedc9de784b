//! A diff by the hashes under which tries keep accounts and slots.

use crate::Batch;
use fugue_state::{Account, StateDiff};
use fugue_types::{B256, U256};

/// A slot that changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashedSlot {
    /// keccak256 of the slot's 32 bytes.
    pub key: B256,
    /// Whether it was other than zero, in the storage that the account has at the end.
    pub existed: bool,
    /// Value after; zero if the slot is gone.
    pub after: U256,
}

/// An account that changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HashedAccount {
    /// keccak256 of the address.
    pub key: B256,
    /// Whether the account was there before.
    pub existed: bool,
    /// The account after; `None` if it is gone.
    pub after: Option<Account>,
    /// Its storage began anew: slots are those stored since, all others are zero.
    pub is_storage_new: bool,
    /// Slots that changed, by key.
    pub slots: Vec<HashedSlot>,
}

/// What changed, by hashed keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HashedDiff {
    /// By key, each once.
    pub accounts: Vec<HashedAccount>,
}

impl From<&StateDiff> for HashedDiff {
    fn from(diff: &StateDiff) -> Self {
        let mut batch = Batch::default();
        let mut accounts: Vec<HashedAccount> = Vec::with_capacity(diff.accounts.len());
        for (index, change) in diff.accounts.iter().enumerate() {
            batch.push(change.address.as_slice(), (index, None));
            let slots = change.slots.iter().enumerate().map(|(at, slot)| {
                batch.push(&slot.slot.to_be_bytes::<32>(), (index, Some(at)));
                let existed = !slot.before.is_zero();
                HashedSlot { key: B256::ZERO, existed, after: slot.after }
            });
            accounts.push(HashedAccount {
                key: B256::ZERO,
                existed: change.before.is_some(),
                after: change.after,
                is_storage_new: change.wiped || change.before.is_none() || change.after.is_none(),
                slots: slots.collect(),
            });
        }
        batch.hash(|(index, slot), hash| match slot {
            None => accounts[*index].key = hash,
            Some(at) => accounts[*index].slots[*at].key = hash,
        });
        for account in &mut accounts {
            account.slots.sort_unstable_by_key(|slot| slot.key);
        }
        accounts.sort_unstable_by_key(|account| account.key);
        Self { accounts }
    }
}
