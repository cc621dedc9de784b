//! What of the past is given up, and when.
//!
//! Pruning goes in small transactions, each of which moves the marks in Meta together with what it
//! deletes: a reader is told "pruned", never given half of it.

use crate::{
    Meta, Snapshot, StorageError, Store, Table,
    backend::{Read, Scan, WriteTx},
    changes::Changes,
    log_index,
};
use std::{fmt, str::FromStr};

/// Blocks of which full and minimal nodes keep the past, unless told otherwise.
const WINDOW_BLOCKS: u64 = 10_064;
/// The shortest window: reorganisations reach no deeper.
const WINDOW_BLOCKS_MIN: u64 = 64;
/// Blocks that one transaction prunes.
const STEP_BLOCKS: u64 = 256;

/// What is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Retention {
    /// Everything.
    #[default]
    Archive,
    /// All bodies; state and receipts of the head and the `window` blocks before it.
    Full {
        /// Blocks.
        window: u64,
    },
    /// State, receipts, bodies and the lookup of transactions of the head and the `window` blocks
    /// before it.
    Minimal {
        /// Blocks.
        window: u64,
    },
}

impl Retention {
    /// The oldest block whose state is kept under this head.
    pub const fn oldest_state(self, head: u64) -> u64 {
        match self {
            Self::Archive => 0,
            Self::Full { window } | Self::Minimal { window } => head.saturating_sub(window),
        }
    }
}

impl fmt::Display for Retention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Archive => f.write_str("archive"),
            Self::Full { window } => write!(f, "full:{window}"),
            Self::Minimal { window } => write!(f, "minimal:{window}"),
        }
    }
}

impl FromStr for Retention {
    type Err = String;

    /// `archive`, `full`, `full:BLOCKS`, `minimal`, `minimal:BLOCKS`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (name, window) = match text.split_once(':') {
            None => (text, WINDOW_BLOCKS),
            Some((name, window)) => {
                let blocks = window.parse::<u64>();
                (name, blocks.map_err(|error| format!("\"{window}\" is no window: {error}"))?)
            }
        };
        if window < WINDOW_BLOCKS_MIN {
            return Err(format!("a window of {window} blocks; at least {WINDOW_BLOCKS_MIN}"));
        }
        match name {
            "archive" if text == "archive" => Ok(Self::Archive),
            "full" => Ok(Self::Full { window }),
            "minimal" => Ok(Self::Minimal { window }),
            _ => Err(format!("\"{text}\": expected archive, full[:BLOCKS] or minimal[:BLOCKS]")),
        }
    }
}

/// What pruning did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Blocks whose state can no longer be read.
    pub states: u64,
    /// Blocks whose receipts are gone.
    pub receipts: u64,
    /// Blocks whose bodies are gone.
    pub bodies: u64,
}

impl Store {
    /// Deletes what `retention` does not keep.
    ///
    /// # Errors
    /// What the database says.
    pub fn prune(&self, retention: Retention) -> Result<Pruned, StorageError> {
        self.prune_in_steps(retention, usize::MAX)
    }

    /// As [`Store::prune`], in so many steps at most, of up to 256 blocks each: what is left goes
    /// with later calls.
    ///
    /// # Errors
    /// What the database says.
    pub fn prune_in_steps(
        &self,
        retention: Retention,
        steps_max: usize,
    ) -> Result<Pruned, StorageError> {
        let with_bodies = match retention {
            Retention::Archive => return Ok(Pruned::default()),
            Retention::Full { .. } => false,
            Retention::Minimal { .. } => true,
        };
        self.check_writable()?;
        let mut pruned = Pruned::default();
        for _ in 0..steps_max {
            let snapshot = self.snapshot_for(1)?;
            let meta = snapshot.meta();
            let oldest = retention.oldest_state(meta.head.number);
            let kept = meta.oldest_state.min(meta.oldest_receipts);
            let kept = if with_bodies { kept.min(meta.oldest_body) } else { kept };
            if kept >= oldest {
                return Ok(pruned);
            }
            let done = self.write(|tx| step(tx, &snapshot, oldest, with_bodies))?;
            pruned.states += done.states;
            pruned.receipts += done.receipts;
            pruned.bodies += done.bodies;
        }
        Ok(pruned)
    }
}

fn step(
    tx: &mut WriteTx<'_>,
    snapshot: &Snapshot,
    oldest: u64,
    with_bodies: bool,
) -> Result<Pruned, StorageError> {
    // Another thread may have committed since the snapshot: only marks are moved, and only as far
    // as the snapshot shows what is to be deleted.
    let mut meta = Meta::read(tx)?
        .ok_or_else(|| StorageError::Misfit("there is no chain to prune".to_owned()))?;
    let mut done = Pruned::default();
    let states_from = meta.oldest_state;
    while meta.oldest_state < oldest && done.states < STEP_BLOCKS {
        // History of a block says what was before it: the state before the oldest that is kept.
        let number = meta.oldest_state + 1;
        delete_history(tx, number, &snapshot.changes(number)?)?;
        for id in snapshot.graves(number)? {
            for table in [Table::Storage, Table::StorageHistory, Table::StorageTrie] {
                tx.delete_prefix(table, &id)?;
            }
        }
        tx.delete_prefix(Table::Graves, &number.to_be_bytes())?;
        meta.oldest_state = number;
        done.states += 1;
    }
    let receipts_from = meta.oldest_receipts;
    while meta.oldest_receipts < oldest && done.receipts < STEP_BLOCKS {
        tx.delete(Table::Receipts, &meta.oldest_receipts.to_be_bytes())?;
        meta.oldest_receipts += 1;
        done.receipts += 1;
    }
    // A section goes as a whole: of one that is kept in part, nobody asks for the older blocks.
    log_index::prune(tx, Table::LogIndex, receipts_from, meta.oldest_receipts)?;
    if meta.indexes_addresses {
        // What a block did with an address is seen on the state before it.
        log_index::prune(tx, Table::AddressIndex, states_from, meta.oldest_state)?;
    }
    while with_bodies && meta.oldest_body < oldest && done.bodies < STEP_BLOCKS {
        for transaction in snapshot.body(meta.oldest_body)?.transactions {
            tx.delete(Table::Transactions, transaction.tx_hash().as_slice())?;
        }
        let key = meta.oldest_body.to_be_bytes();
        for table in [Table::Bodies, Table::AccessLists, Table::Senders] {
            tx.delete(table, &key)?;
        }
        meta.oldest_body += 1;
        done.bodies += 1;
    }
    meta.write(tx)?;
    Ok(done)
}

impl Snapshot {
    /// Storages whose life a block ended, by the bytes of their ids.
    fn graves(&self, number: u64) -> Result<Vec<[u8; 8]>, StorageError> {
        let prefix = number.to_be_bytes();
        let mut ids = Vec::new();
        self.with(|tx| {
            tx.scan(Table::Graves, &prefix, &mut |key, _| match key
                .strip_prefix(&prefix)
                .map(<[u8; 8]>::try_from)
            {
                Some(Ok(id)) => {
                    ids.push(id);
                    Ok(Scan::Continue)
                }
                _ => Ok(Scan::Stop),
            })
        })?;
        Ok(ids)
    }
}

/// History rows of a block, and the list of them.
pub(crate) fn delete_history(
    tx: &mut WriteTx<'_>,
    number: u64,
    changes: &Changes,
) -> Result<(), StorageError> {
    let suffix = number.to_be_bytes();
    let Changes { accounts, storages } = changes;
    for account in accounts {
        tx.delete(Table::AccountHistory, &[account.as_slice(), &suffix].concat())?;
    }
    for (id, slots) in storages {
        for slot in slots {
            let key = [&id.to_be_bytes()[..], slot.as_slice(), &suffix].concat();
            tx.delete(Table::StorageHistory, &key)?;
        }
    }
    tx.delete(Table::Changes, &suffix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retention_is_read_as_it_is_written() {
        for text in ["archive", "full:10064", "minimal:64"] {
            assert_eq!(text.parse::<Retention>().expect("valid").to_string(), text);
        }
        assert_eq!("full".parse(), Ok(Retention::Full { window: 10_064 }));
        for text in ["", "archive:5", "full:", "full:63", "minimal:x", "fast"] {
            assert!(text.parse::<Retention>().is_err(), "{text}");
        }
        let told = "minimal:x".parse::<Retention>().expect_err("no window");
        assert!(told.starts_with("\"x\" is no window: "), "{told}");
    }
}
