//! What a transition changed: each account and slot, before and after.
//!
//! Canonical form, so that two diffs of the same transition are equal as values:
//! * accounts by address, slots by key, each once; nothing that is the same before and after;
//! * `wiped` is set if an account that existed before lost its storage on the way (SELFDESTRUCT).
//!   Its slots then tell what was stored since: `before` is zero, every other slot of the account
//!   is zero. Without `wiped`, slots that are not listed are unchanged;
//! * an account that does not exist after has no slots, and none are listed.

use crate::{Account, Layer};
use fugue_types::{Address, B256, Bytes, HashSet, U256};

/// A slot that changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotDiff {
    /// Key of the slot.
    pub slot: U256,
    /// Value in the state before, or zero if the account was wiped.
    pub before: U256,
    /// Value in the state after.
    pub after: U256,
}

/// An account of which something changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountDiff {
    /// Its address.
    pub address: Address,
    /// The account in the state before; `None` if it did not exist.
    pub before: Option<Account>,
    /// The account in the state after; `None` if it does not exist.
    pub after: Option<Account>,
    /// All slots of the state before are gone.
    pub wiped: bool,
    /// Slots that changed, by key.
    pub slots: Vec<SlotDiff>,
}

/// All that a transition changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StateDiff {
    /// Changed accounts, by address.
    pub accounts: Vec<AccountDiff>,
    /// Codes of the accounts whose code changed, by hash, each once.
    pub codes: Vec<(B256, Bytes)>,
}

/// Two diffs do not follow one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the diff expects another account {address} than the state has")]
pub struct DiffError {
    /// The account that differs.
    pub address: Address,
}

impl StateDiff {
    /// Brings accounts, slots and codes into canonical order and drops what did not change.
    pub fn canonical(mut self) -> Self {
        for account in &mut self.accounts {
            if account.after.is_none() {
                account.slots.clear();
            }
            account.slots.retain(|slot| slot.before != slot.after);
            account.slots.sort_unstable_by_key(|slot| slot.slot);
        }
        self.accounts.retain(|account| {
            account.before != account.after || account.wiped || !account.slots.is_empty()
        });
        // Mostly it is in order but for a few.
        self.accounts.sort_by_key(|account| account.address);
        if self.codes.is_empty() {
            return self;
        }
        let named: HashSet<B256> = self
            .accounts
            .iter()
            .filter_map(|account| {
                let hash = account.after?.code_hash;
                let is_new = account.before.is_none_or(|before| before.code_hash != hash);
                is_new.then_some(hash)
            })
            .collect();
        self.codes.retain(|(hash, _)| named.contains(hash));
        self.codes.sort_unstable_by_key(|(hash, _)| *hash);
        self.codes.dedup_by_key(|(hash, _)| *hash);
        self
    }

    /// This diff with one before it and one after it, in one. Theirs are few accounts.
    ///
    /// # Errors
    /// [`DiffError`] if one does not follow the other.
    pub fn between(mut self, first: &Self, last: &Self) -> Result<Self, DiffError> {
        if first.is_empty() && last.is_empty() {
            return Ok(self);
        }
        let edges = first.accounts.iter().chain(&last.accounts);
        let edges: HashSet<Address> = edges.map(|change| change.address).collect();
        let inner = self.accounts.extract_if(.., |change| edges.contains(&change.address));
        let inner = Self { accounts: inner.collect(), codes: Vec::new() };
        let mut layer = Layer::default();
        for diff in [first, &inner, last] {
            layer.push(diff)?;
        }
        let Self { accounts, codes } = layer.into_diff();
        self.accounts.extend(accounts);
        self.codes.extend(codes);
        Ok(self.canonical())
    }

    /// The way back, without codes. `None` where that is not known: of an account whose storage
    /// went, the slots are not listed.
    pub fn reversed(&self) -> Option<Self> {
        let reverse = |change: &AccountDiff| {
            let AccountDiff { address, before, after, wiped, slots } = change;
            if *wiped || (before.is_some() && after.is_none()) {
                return None;
            }
            let slots = slots.iter().map(|slot| SlotDiff {
                slot: slot.slot,
                before: slot.after,
                after: slot.before,
            });
            let slots = if before.is_some() { slots.collect() } else { Vec::new() };
            let (before, after) = (*after, *before);
            Some(AccountDiff { address: *address, before, after, wiped: false, slots })
        };
        let accounts = self.accounts.iter().map(reverse).collect::<Option<_>>()?;
        Some(Self { accounts, codes: Vec::new() })
    }

    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty()
    }
}
