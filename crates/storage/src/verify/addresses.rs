//! The index of addresses against accounts, changes and blocks.

use super::{Index, Verified};
use crate::{
    Snapshot, StorageError, Table,
    address_index::Named,
    backend::{Read, Scan},
    blocks::damaged,
    log_index::{Postings, TermHash, end_of, section_of},
};
use fugue_types::{Address, keccak256};

impl Snapshot {
    /// Where there is an index: every account has its address, every address its hash, and each
    /// block whose state, body and receipts are kept is where it must be and nowhere else. Where
    /// there is none, nothing of it.
    pub(super) fn verify_addresses(&self, verified: &mut Verified) -> Result<(), StorageError> {
        let meta = self.meta();
        if !meta.indexes_addresses {
            let reason = "there is no index of addresses";
            self.verify_end(verified, Table::Addresses, &[], reason)?;
            return self.verify_end(verified, Table::AddressIndex, &[], reason);
        }
        self.verify_hashes(verified)?;
        let (oldest, head) = (self.oldest_named(), meta.head.number);
        let index = Index { table: Table::AddressIndex, oldest, gone: meta.oldest_state };
        let mut section = 0;
        while section <= head {
            let end = end_of(section);
            let mut postings = Some(Postings::default());
            for number in section.max(oldest)..=head.min(end.saturating_sub(1)) {
                if verified.is_full() {
                    return Ok(());
                }
                let terms = verified.read(self.named_terms(number))?;
                postings = postings.zip(terms).map(|(mut postings, terms)| {
                    postings.add_block(number, terms);
                    postings
                });
            }
            if let Some(postings) = postings {
                verified.address_terms +=
                    self.verify_section(verified, &index, section, postings)?;
            }
            section = end;
        }
        let above = end_of(section_of(head)).to_be_bytes();
        self.verify_end(verified, Table::AddressIndex, &above, "there are no such blocks")
    }

    /// The terms that the index must have for a block.
    ///
    /// # Errors
    /// [`StorageError::Damaged`] if it changed an account whose address is not known.
    fn named_terms(&self, number: u64) -> Result<Vec<TermHash>, StorageError> {
        let changed = self.changed_accounts(number)?;
        for hash in &changed {
            self.account_address(*hash)?;
        }
        let body = self.body(number)?;
        let senders = self.senders(number)?;
        let receipts = self.receipts(number)?;
        let access_list = self.access_list(number)?;
        let named = Named {
            body: &body,
            senders: &senders,
            receipts: &receipts,
            access_list: access_list.as_ref(),
        };
        Ok(named.terms(&changed))
    }

    fn verify_hashes(&self, verified: &mut Verified) -> Result<(), StorageError> {
        self.with(|tx| {
            tx.scan(Table::Addresses, &[], &mut |key, bytes| {
                verified.addresses += 1;
                if bytes.len() != Address::len_bytes() || keccak256(bytes) != key {
                    let reason = "the address does not hash to its key";
                    verified.say(damaged(Table::Addresses, key, reason));
                }
                Ok(if verified.is_full() { Scan::Stop } else { Scan::Continue })
            })?;
            tx.scan(Table::Accounts, &[], &mut |key, _| {
                if tx.get(Table::Addresses, key)?.is_none() {
                    let reason = "the address of an account is missing";
                    verified.say(damaged(Table::Addresses, key, reason));
                }
                Ok(if verified.is_full() { Scan::Stop } else { Scan::Continue })
            })
        })
    }
}
