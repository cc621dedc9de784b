//! What a transition changed: each account and slot, before and after.
//!
//! Canonical form, so that two diffs of the same transition are equal as values:
//! * accounts by address, slots by key, each once; nothing that is the same before and after;
//! * `wiped` is set if an account that existed before lost its storage on the way: by SELFDESTRUCT,
//!   or since it was empty and was touched (EIP-161). Its slots then tell what was stored since:
//!   `before` is zero, every other slot of the account is zero. Without `wiped`, slots that are not
//!   listed are unchanged;
//! * an account that does not exist after has no slots, and none are listed.

use crate::{Account, Layer};
use fugue_types::{Address, B256, Bytes, HashSet, U256};

/// Accounts that are put into their places one by one, at most: each moves those behind it. More
/// are sorted in.
const INSERTS_MAX: usize = 8;
/// Accounts that are sorted themselves, at most: that takes no memory.
const MOVED_MAX: usize = 16;

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

impl AccountDiff {
    /// Takes up what changed before it.
    fn follow(&mut self, first: &Self) -> Result<(), DiffError> {
        if first.after != self.before {
            return Err(DiffError { address: self.address });
        }
        self.before = first.before;
        // What was stored before that is gone, and so it is not zero that slots had before that.
        let is_gone = self.wiped || self.after.is_none();
        self.wiped |= first.wiped;
        self.wiped &= self.before.is_some();
        if is_gone {
            return Ok(());
        }
        let mut missing = Vec::new();
        for slot in &first.slots {
            match self.slots.binary_search_by_key(&slot.slot, |diff| diff.slot) {
                Ok(place) => self.slots[place].before = slot.before,
                Err(_) => missing.push(*slot),
            }
        }
        self.slots.append(&mut missing);
        Ok(())
    }
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
        self.sort_accounts();
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

    /// An account is large: where they are many, their addresses are sorted in their place. What is
    /// in order stays as it is.
    fn sort_accounts(&mut self) {
        let accounts = &mut self.accounts;
        if accounts.is_sorted_by_key(|account| account.address) {
            return;
        }
        if accounts.len() <= MOVED_MAX {
            accounts.sort_by_key(|account| account.address);
        } else {
            accounts.sort_by_cached_key(|account| account.address);
        }
    }

    /// This diff with one before it and one after it, in one. Theirs are few accounts.
    ///
    /// # Errors
    /// [`DiffError`] if one does not follow the other.
    pub fn between(self, first: &Self, last: &Self) -> Result<Self, DiffError> {
        let mut diff = self.after(first)?;
        if last.is_empty() {
            return Ok(diff);
        }
        let edges: HashSet<Address> = last.accounts.iter().map(|change| change.address).collect();
        let inner = diff.accounts.extract_if(.., |change| edges.contains(&change.address));
        let inner = Self { accounts: inner.collect(), codes: Vec::new() };
        let mut layer = Layer::default();
        for diff in [&inner, last] {
            layer.push(diff)?;
        }
        let Self { accounts, codes } = layer.into_diff();
        diff.accounts.extend(accounts);
        diff.codes.extend(codes);
        Ok(diff.canonical())
    }

    /// This diff with one before it, in one. That one has fewer accounts, mostly far fewer.
    ///
    /// # Errors
    /// [`DiffError`] if this one does not follow it.
    pub fn after(mut self, first: &Self) -> Result<Self, DiffError> {
        if first.is_empty() {
            return Ok(self);
        }
        let mut missing = Vec::new();
        for change in &first.accounts {
            let place = self.accounts.binary_search_by_key(&change.address, |diff| diff.address);
            match place {
                Ok(place) => self.accounts[place].follow(change)?,
                Err(_) => missing.push(change.clone()),
            }
        }
        if missing.len() <= INSERTS_MAX {
            for change in missing.drain(..) {
                let place = self.accounts.partition_point(|diff| diff.address < change.address);
                self.accounts.insert(place, change);
            }
        }
        self.accounts.append(&mut missing);
        self.codes.extend_from_slice(&first.codes);
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

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: Address = Address::repeat_byte(0x11);

    /// Every way that one account may go, from this nonce and these two slots: with the nonce and
    /// the slots after it. A nonce of 0 stands for an account that is not there.
    fn ways(nonce: u64, slots: [u64; 2]) -> Vec<(u64, [u64; 2], AccountDiff)> {
        let account = |nonce| (nonce > 0).then(|| Account { nonce, ..Account::default() });
        let mut ways = Vec::new();
        for (after, wiped) in (0..3).flat_map(|after| [(after, false), (after, true)]) {
            let is_wiped = wiped || after == 0;
            for values in [[0, 0], [1, 0], [0, 2], [3, 3]] {
                let values = if after == 0 { [0, 0] } else { values };
                let old = if is_wiped { [0, 0] } else { slots };
                let slots = [0, 1].map(|slot| SlotDiff {
                    slot: U256::from(slot),
                    before: U256::from(old[slot]),
                    after: U256::from(values[slot]),
                });
                let diff = AccountDiff {
                    address: ADDRESS,
                    before: account(nonce),
                    after: account(after),
                    wiped: nonce > 0 && is_wiped,
                    slots: slots.to_vec(),
                };
                ways.push((after, values, diff));
            }
        }
        ways
    }

    #[test]
    fn a_diff_after_another_one_is_both_laid_on_top_of_one_another() {
        let diff = |change: AccountDiff| {
            StateDiff { accounts: vec![change], codes: Vec::new() }.canonical()
        };
        let mut pairs = 0;
        for (nonce, slots) in [(0, [0, 0]), (1, [0, 5]), (2, [1, 2])] {
            for (nonce, slots, first) in ways(nonce, slots) {
                for (.., second) in ways(nonce, slots) {
                    let (first, second) = (diff(first.clone()), diff(second));
                    let mut layer = Layer::default();
                    layer.push(&first).expect("the first");
                    layer.push(&second).expect("it follows");
                    let expected = layer.into_diff();
                    assert_eq!(second.clone().after(&first), Ok(expected), "{first:?} {second:?}");
                    pairs += 1;
                }
            }
        }
        assert_eq!(pairs, 3 * 24 * 24);
    }

    #[test]
    fn accounts_and_codes_of_both_are_kept_in_order_and_what_does_not_follow_is_refused() {
        let of = |byte: u8, nonces: [u64; 2], code: u8| {
            let account = |nonce| Account {
                nonce,
                code_hash: B256::repeat_byte(if nonce == nonces[0] { 0 } else { code }),
                ..Account::default()
            };
            AccountDiff {
                address: Address::repeat_byte(byte),
                before: Some(account(nonces[0])),
                after: Some(account(nonces[1])),
                wiped: false,
                slots: Vec::new(),
            }
        };
        let code = |byte| (B256::repeat_byte(byte), Bytes::from(vec![byte]));
        let first = StateDiff {
            accounts: vec![of(1, [1, 2], 7), of(3, [1, 2], 9)],
            codes: vec![code(7), code(9)],
        };
        let second = StateDiff { accounts: vec![of(2, [4, 5], 8)], codes: vec![code(8)] };
        let both = second.clone().after(&first).expect("they have nothing in common");
        let addresses: Vec<u8> = both.accounts.iter().map(|change| change.address.0[0]).collect();
        assert_eq!(addresses, [1, 2, 3]);
        assert_eq!(both.codes, [code(7), code(8), code(9)]);
        assert_eq!(both.clone().after(&StateDiff::default()), Ok(both.clone()));
        let error = DiffError { address: Address::repeat_byte(1) };
        assert_eq!(both.clone().after(&first), Err(error));
    }

    #[test]
    fn however_many_accounts_a_diff_lacks_they_come_to_stand_in_order() {
        let of = |number: u64| {
            let (mut address, [.., last]) = (Address::ZERO, number.to_be_bytes());
            address.0[19] = last;
            let after = Some(Account { nonce: number, ..Account::default() });
            AccountDiff { address, before: None, after, wiped: false, slots: Vec::new() }
        };
        let of_all = |numbers: &[u64]| StateDiff {
            accounts: numbers.iter().copied().map(of).collect(),
            codes: Vec::new(),
        };
        let all: Vec<u64> = (1..=99).collect();
        let most = INSERTS_MAX as u64;
        for lacks in [1, 2, most, most + 1, 40, 98, 99] {
            // Spread over all of them.
            let is_first = |number: &u64| *number * lacks / 99 != (*number - 1) * lacks / 99;
            let (first, second): (Vec<u64>, Vec<u64>) = all.iter().copied().partition(is_first);
            assert_eq!(first.len() as u64, lacks);
            let both = of_all(&second).after(&of_all(&first));
            assert_eq!(both, Ok(of_all(&all)), "{lacks}");
        }
        let backwards: Vec<u64> = all.iter().rev().copied().collect();
        assert_eq!(of_all(&backwards).canonical(), of_all(&all));
    }
}
