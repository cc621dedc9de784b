//! The block access list: what a block looks at, and what each of its steps leaves behind.
//!
//! The steps are the opening of the block (index 0), its transactions (from 1 on), and its closing.
//! Each is noted by what it read and by its diff, in block order, so the list comes out the same in
//! every mode.
//!
//! Source: EIP-7928, "Scope and Inclusion" and "Recording Semantics by Change Type".

use crate::BlockError;
use fugue_evm::ReadLog;
use fugue_state::{Account, StateDiff};
use fugue_types::{
    AccountChanges, Address, B256, BalanceChange, BlockAccessIndex, BlockAccessList, Bytes,
    CodeChange, KECCAK256_EMPTY, NonceChange, SlotChanges, StorageChange, U256,
};
use std::collections::BTreeMap;

/// The list of the steps so far.
#[derive(Debug, Default)]
pub(crate) struct AccessList {
    accounts: BTreeMap<Address, Accesses>,
    next: BlockAccessIndex,
}

#[derive(Debug, Default)]
struct Accesses {
    /// Values by slot; none if it was only read.
    slots: BTreeMap<U256, Vec<StorageChange>>,
    balances: Vec<BalanceChange>,
    nonces: Vec<NonceChange>,
    codes: Vec<CodeChange>,
}

impl AccessList {
    /// Notes an account that the next step looks at.
    pub(crate) fn touch(&mut self, address: Address) {
        self.accounts.entry(address).or_default();
    }

    /// Notes the next step. The caller of system calls is no account that they look at.
    ///
    /// # Errors
    /// [`BlockError::Internal`] if the diff changes a code and does not have it.
    pub(crate) fn push(&mut self, reads: &ReadLog, diff: &StateDiff) -> Result<(), BlockError> {
        let index = self.next;
        self.next = BlockAccessIndex::new(index.0 + 1);
        for (address, _) in &reads.accounts {
            self.touch(*address);
        }
        for (address, slot) in &reads.seen {
            self.accounts.entry(*address).or_default().slots.entry(*slot).or_default();
        }
        for change in &diff.accounts {
            let accesses = self.accounts.entry(change.address).or_default();
            let (before, after) =
                (change.before.unwrap_or_default(), change.after.unwrap_or_default());
            accesses.note(index, before, after, &diff.codes)?;
            for slot in &change.slots {
                let values = accesses.slots.entry(slot.slot).or_default();
                values.push(StorageChange::new(index, slot.after));
            }
        }
        Ok(())
    }

    /// Accounts and slots of the steps so far, as EIP-7928 counts them, "Block Access List size
    /// constraint".
    pub(crate) fn items(&self) -> u64 {
        self.accounts.values().map(|accesses| 1 + accesses.slots.len() as u64).sum()
    }

    /// Items that a step would add: what it reads, or pays without reading, and no step before it
    /// has looked at. What a step changes it also reads.
    pub(crate) fn items_of(&self, reads: &ReadLog, recipient: Option<Address>) -> u64 {
        let accounts = reads.accounts.iter().map(|(address, _)| *address).chain(recipient);
        let accounts = accounts.filter(|address| !self.accounts.contains_key(address)).count();
        let is_listed = |address: &Address, slot: &U256| {
            self.accounts.get(address).is_some_and(|found| found.slots.contains_key(slot))
        };
        let slots = reads.seen.iter().filter(|(address, slot)| !is_listed(address, slot)).count();
        accounts as u64 + slots as u64
    }

    /// The list, in the order that the protocol asks for.
    pub(crate) fn into_list(self) -> BlockAccessList {
        let account = |(address, accesses): (Address, Accesses)| {
            let Accesses { slots, balances, nonces, codes } = accesses;
            let mut changes = AccountChanges::new(address);
            for (slot, values) in slots {
                if values.is_empty() {
                    changes.storage_reads.push(slot);
                } else {
                    changes.storage_changes.push(SlotChanges::new(slot, values));
                }
            }
            changes.balance_changes = balances;
            changes.nonce_changes = nonces;
            changes.code_changes = codes;
            changes
        };
        self.accounts.into_iter().map(account).collect()
    }
}

impl Accesses {
    /// Notes how a step leaves an account, where it is not as it found it.
    fn note(
        &mut self,
        index: BlockAccessIndex,
        before: Account,
        after: Account,
        codes: &[(B256, Bytes)],
    ) -> Result<(), BlockError> {
        if before.balance != after.balance {
            self.balances.push(BalanceChange::new(index, after.balance));
        }
        if before.nonce != after.nonce {
            self.nonces.push(NonceChange::new(index, after.nonce));
        }
        if before.code_hash != after.code_hash {
            let code = match codes.iter().find(|(hash, _)| *hash == after.code_hash) {
                Some((_, code)) => code.clone(),
                None if after.code_hash == KECCAK256_EMPTY => Bytes::new(),
                None => {
                    let hash = after.code_hash;
                    return Err(BlockError::Internal(format!("a diff lacks the code {hash}")));
                }
            };
            self.codes.push(CodeChange::new(index, code));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_eips::eip7928::total_bal_items;
    use fugue_state::{AccountDiff, SlotDiff};

    fn account(nonce: u64, balance: u64) -> Account {
        Account { nonce, balance: U256::from(balance), ..Account::default() }
    }

    fn change(byte: u8, before: Account, after: Account, slots: &[(u64, u64, u64)]) -> AccountDiff {
        let slot = |(slot, before, after): &(u64, u64, u64)| {
            let [slot, before, after] = [*slot, *before, *after].map(U256::from);
            SlotDiff { slot, before, after }
        };
        AccountDiff {
            address: Address::repeat_byte(byte),
            before: Some(before),
            after: Some(after),
            wiped: false,
            slots: slots.iter().map(slot).collect(),
        }
    }

    fn reads(accounts: &[u8], slots: &[(u8, u64)]) -> ReadLog {
        let address = |byte: &u8| (Address::repeat_byte(*byte), None);
        let slot = |(byte, slot): &(u8, u64)| (Address::repeat_byte(*byte), U256::from(*slot));
        ReadLog {
            accounts: accounts.iter().map(address).collect(),
            slots: Vec::new(),
            seen: slots.iter().map(slot).collect(),
        }
    }

    fn diff(accounts: Vec<AccountDiff>) -> StateDiff {
        StateDiff { accounts, codes: Vec::new() }
    }

    #[test]
    fn steps_are_numbered_and_what_is_written_once_is_not_listed_as_read() {
        let mut list = AccessList::default();
        let [one, two] = [1, 2].map(BlockAccessIndex::new);
        list.push(&reads(&[9], &[]), &diff(vec![])).unwrap();
        let first = diff(vec![change(1, account(0, 9), account(1, 7), &[(5, 0, 4)])]);
        list.push(&reads(&[1, 2], &[(1, 5), (1, 6), (2, 5)]), &first).unwrap();
        let second = diff(vec![change(1, account(1, 7), account(2, 7), &[(5, 4, 0)])]);
        list.push(&reads(&[1], &[(1, 5)]), &second).unwrap();

        let address = Address::repeat_byte;
        let mut changed = AccountChanges::new(address(1));
        changed.storage_changes = vec![SlotChanges::new(
            U256::from(5),
            vec![StorageChange::new(one, U256::from(4)), StorageChange::new(two, U256::ZERO)],
        )];
        changed.storage_reads = vec![U256::from(6)];
        changed.balance_changes = vec![BalanceChange::new(one, U256::from(7))];
        changed.nonce_changes = vec![NonceChange::new(one, 1), NonceChange::new(two, 2)];
        let mut read = AccountChanges::new(address(2));
        read.storage_reads = vec![U256::from(5)];
        assert_eq!(list.into_list(), [changed, read, AccountChanges::new(address(9))]);
    }

    #[test]
    fn items_are_counted_once_and_as_the_protocol_does() {
        let mut list = AccessList::default();
        let nothing = diff(vec![]);
        list.push(&reads(&[1, 2], &[(1, 5), (2, 5)]), &nothing).unwrap();
        assert_eq!(list.items(), 4);
        let next = reads(&[1, 3], &[(1, 5), (1, 6), (3, 5)]);
        let recipient = Address::repeat_byte(9);
        assert_eq!(list.items_of(&next, None), 3);
        assert_eq!(list.items_of(&next, Some(recipient)), 4);
        assert_eq!(list.items_of(&next, Some(Address::repeat_byte(2))), 3);
        list.touch(recipient);
        list.push(&next, &nothing).unwrap();
        assert_eq!(list.items(), 8);
        assert_eq!(total_bal_items(&list.into_list()), 8);
    }

    #[test]
    fn a_code_that_the_diff_lacks_is_a_defect() {
        let after = Account { code_hash: B256::repeat_byte(7), ..Account::default() };
        let coded = diff(vec![change(1, Account::default(), after, &[])]);
        let mut list = AccessList::default();
        let pushed = list.push(&ReadLog::default(), &coded);
        assert!(matches!(pushed, Err(BlockError::Internal(_))));
    }
}
