//! History against the lists of what blocks changed, and graves against history.

use super::Verified;
use crate::{
    Snapshot, StorageError, Table,
    backend::{Read, Scan},
    blocks::damaged,
    changes::Changes,
    row::Row,
};
use std::collections::BTreeSet;

impl Snapshot {
    /// Each block whose history is kept has what was before it of every account and slot that it
    /// changed, and a grave for every storage whose life it ended. There are no other such rows,
    /// and none under a storage id that was never given.
    pub(super) fn verify_history(
        &self,
        verified: &mut Verified,
        progress: &mut impl FnMut(),
    ) -> Result<(), StorageError> {
        let (head, first) = (self.meta().head.number, self.meta().oldest_state.saturating_add(1));
        self.verify_graves(verified, &[], first, BTreeSet::new())?;
        let (mut accounts, mut slots) = (0, 0);
        for number in first..=head {
            if verified.is_full() {
                return Ok(());
            }
            progress();
            let Some(changes) = verified.read(self.changes(number))? else { continue };
            accounts += changes.accounts.len();
            slots += changes.storages.iter().map(|(_, slots)| slots.len()).sum::<usize>();
            if let Some(graves) = verified.read(self.graves_of(number, &changes))? {
                let (from, end) = (number.to_be_bytes(), number.saturating_add(1));
                self.verify_graves(verified, &from, end, graves)?;
            }
        }
        let above = head.saturating_add(1).to_be_bytes();
        self.verify_end(verified, Table::Graves, &above, "there are no such blocks")?;
        for (table, changed) in [(Table::AccountHistory, accounts), (Table::StorageHistory, slots)]
        {
            let rows = self.with(|tx| {
                let mut rows = 0;
                tx.scan(table, &[], &mut |_, _| {
                    rows += 1;
                    Ok(Scan::Continue)
                })?;
                Ok(rows)
            })?;
            verified.expect(&format!("rows of {}", table.name()), changed, rows);
        }
        let never = self.meta().next_storage_id.to_be_bytes();
        for table in [Table::Storage, Table::StorageHistory] {
            self.verify_end(verified, table, &never, "the storage id was never given")?;
        }
        Ok(())
    }

    /// Keys of the graves that a block must have, by the accounts that it changed. The slots that
    /// it changed are looked at as well.
    fn graves_of(&self, number: u64, changes: &Changes) -> Result<BTreeSet<Vec<u8>>, StorageError> {
        let Changes { accounts, storages } = changes;
        let after = self.state_at(number)?;
        let id = |row: Option<Row>| row.and_then(|row| row.storage).map(|storage| storage.id);
        let mut graves = BTreeSet::new();
        for account in accounts {
            let before = id(self.row_before(*account, number)?);
            if let Some(ended) = before
                && id(after.row(*account)?) != before
            {
                graves.insert([number.to_be_bytes(), ended.to_be_bytes()].concat());
            }
        }
        for (id, slots) in storages {
            for slot in slots {
                self.slot_before(*id, *slot, number)?;
            }
        }
        Ok(graves)
    }

    /// The graves from a key on to block `end`, against those that must be there.
    fn verify_graves(
        &self,
        verified: &mut Verified,
        from: &[u8],
        end: u64,
        mut expected: BTreeSet<Vec<u8>>,
    ) -> Result<(), StorageError> {
        self.with(|tx| {
            tx.scan(Table::Graves, from, &mut |key, value| {
                if key >= &end.to_be_bytes()[..] {
                    return Ok(Scan::Stop);
                }
                if !expected.remove(key) || !value.is_empty() {
                    let reason = "no storage ended there whose past is kept";
                    verified.say(damaged(Table::Graves, key, reason));
                }
                Ok(if verified.is_full() { Scan::Stop } else { Scan::Continue })
            })
        })?;
        for key in &expected {
            verified.say(damaged(Table::Graves, key, "the row is missing"));
        }
        Ok(())
    }
}
