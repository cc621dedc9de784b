//! Headers, bodies, receipts, senders and transactions: their rows, and reading them.
//!
//! ```text
//! receipts   RLP list of receipts, before packing
//! receipt    [type, status 0 or 1 or the state root (before Byzantium), cumulative gas used, logs]
//! ```
//! Blooms are not stored: they follow from the logs.

use crate::{
    Snapshot, StorageError, Table,
    backend::Read,
    row::{put_trimmed, take, take_trimmed},
};
use alloy_rlp::{RlpDecodable, RlpEncodable};
use fugue_types::{
    Address, B256, BlockBody, Bytes, Eip658Value, Header, Log, Receipt, ReceiptEnvelope, TxType,
    U256,
};

/// Compression of bodies and receipts: the fastest level.
const ZSTD_LEVEL: i32 = 1;
/// Shorter than this, bytes are not compressed.
const PACK_BYTES_MIN: usize = 128;
/// Largest body or list of receipts, unpacked. Far above what a block's gas pays for.
const UNPACKED_BYTES_MAX: usize = 1 << 30;

/// A canonical header, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HeaderRow {
    pub(crate) hash: B256,
    pub(crate) total_difficulty: U256,
    pub(crate) header: Header,
}

impl HeaderRow {
    pub(crate) fn encode(
        packer: &mut Packer,
        hash: B256,
        total_difficulty: U256,
        header: &Header,
    ) -> Vec<u8> {
        let mut bytes = hash.to_vec();
        put_trimmed(&mut bytes, &total_difficulty.to_be_bytes::<32>());
        bytes.extend_from_slice(&packer.pack(&alloy_rlp::encode(header)));
        bytes
    }

    fn decode(mut bytes: &[u8]) -> Option<Self> {
        let buf = &mut bytes;
        let hash = B256::from_slice(take(buf, 32)?);
        let total_difficulty = take_trimmed::<32>(buf).map(U256::from_be_bytes)?;
        let header: Header = alloy_rlp::decode_exact(unpack(bytes)?).ok()?;
        // A damaged header must not judge its child.
        (header.hash_slow() == hash).then_some(Self { hash, total_difficulty, header })
    }
}

/// Packs rows, with one compressor for all of them.
pub(crate) struct Packer(Option<zstd::bulk::Compressor<'static>>);

impl Packer {
    pub(crate) fn new() -> Self {
        Self(zstd::bulk::Compressor::new(ZSTD_LEVEL).ok())
    }

    /// Compresses what gets shorter by it.
    pub(crate) fn pack(&mut self, bytes: &[u8]) -> Vec<u8> {
        if bytes.len() >= PACK_BYTES_MIN
            && let Some(Ok(packed)) = self.0.as_mut().map(|packer| packer.compress(bytes))
            && packed.len() + 4 < bytes.len()
            && let Ok(length) = u32::try_from(bytes.len())
        {
            return [&[1][..], &length.to_be_bytes(), &packed].concat();
        }
        [&[0], bytes].concat()
    }
}

fn unpack(bytes: &[u8]) -> Option<Vec<u8>> {
    let (kind, rest) = bytes.split_first()?;
    match kind {
        0 => Some(rest.to_vec()),
        1 => {
            let (length, frame) = rest.split_at_checked(4)?;
            let length = usize::try_from(u32::from_be_bytes(length.try_into().ok()?)).ok()?;
            if length > UNPACKED_BYTES_MAX {
                return None;
            }
            zstd::bulk::decompress(frame, length).ok().filter(|bytes| bytes.len() == length)
        }
        _ => None,
    }
}

#[derive(Debug, RlpEncodable, RlpDecodable)]
struct StoredReceipt {
    tx_type: u8,
    outcome: Bytes,
    cumulative_gas_used: u64,
    logs: Vec<Log>,
}

/// Receipts as they are stored, before packing.
pub(crate) fn encode_receipts(receipts: &[ReceiptEnvelope]) -> Vec<u8> {
    let stored: Vec<StoredReceipt> = receipts
        .iter()
        .map(|receipt| {
            let whole = receipt.as_receipt().cloned().unwrap_or_default();
            let Receipt { status, cumulative_gas_used, logs } = whole;
            let outcome = match status {
                Eip658Value::Eip658(status) => Bytes::from(vec![u8::from(status)]),
                Eip658Value::PostState(root) => root.0.into(),
            };
            StoredReceipt { tx_type: receipt.tx_type() as u8, outcome, cumulative_gas_used, logs }
        })
        .collect();
    alloy_rlp::encode(stored)
}

fn decode_receipts(bytes: &[u8]) -> Option<Vec<ReceiptEnvelope>> {
    let stored: Vec<StoredReceipt> = alloy_rlp::decode_exact(bytes).ok()?;
    let receipt = |stored: StoredReceipt| {
        let StoredReceipt { tx_type, outcome, cumulative_gas_used, logs } = stored;
        let status = match &outcome[..] {
            [0] => Eip658Value::Eip658(false),
            [1] => Eip658Value::Eip658(true),
            root => Eip658Value::PostState(B256::try_from(root).ok()?),
        };
        let receipt = Receipt { status, cumulative_gas_used, logs }.with_bloom();
        Some(match TxType::try_from(tx_type).ok()? {
            TxType::Legacy => ReceiptEnvelope::Legacy(receipt),
            TxType::Eip2930 => ReceiptEnvelope::Eip2930(receipt),
            TxType::Eip1559 => ReceiptEnvelope::Eip1559(receipt),
            TxType::Eip4844 => ReceiptEnvelope::Eip4844(receipt),
            TxType::Eip7702 => ReceiptEnvelope::Eip7702(receipt),
        })
    };
    stored.into_iter().map(receipt).collect()
}

impl Snapshot {
    pub(crate) fn header_row(&self, number: u64) -> Result<HeaderRow, StorageError> {
        let head = self.meta().head.number;
        if number > head {
            return Err(StorageError::AboveHead { number, head });
        }
        let key = number.to_be_bytes();
        let row = self.decoded(Table::Headers, &key, HeaderRow::decode)?;
        row.ok_or_else(|| damaged(Table::Headers, &key, "a canonical header is missing"))
    }

    /// The canonical header with this number, and its hash, which it is compared with: blocks are
    /// judged by their parents.
    ///
    /// # Errors
    /// [`StorageError::AboveHead`], or what the database says.
    pub fn header(&self, number: u64) -> Result<(B256, Header), StorageError> {
        let HeaderRow { hash, header, .. } = self.header_row(number)?;
        if header.hash_slow() != hash {
            let reason = "the header does not hash to its hash";
            return Err(damaged(Table::Headers, &number.to_be_bytes(), reason));
        }
        Ok((hash, header))
    }

    /// Sum of the difficulties up to and with this block; compared with that of the block before.
    ///
    /// # Errors
    /// As [`Snapshot::header`].
    pub fn total_difficulty(&self, number: u64) -> Result<U256, StorageError> {
        let HeaderRow { total_difficulty, header, .. } = self.header_row(number)?;
        let before = match number.checked_sub(1) {
            None => U256::ZERO,
            Some(before) => self.header_row(before)?.total_difficulty,
        };
        if before.saturating_add(header.difficulty) != total_difficulty {
            let reason = "the total difficulty is not that of the block before and its own";
            return Err(damaged(Table::Headers, &number.to_be_bytes(), reason));
        }
        Ok(total_difficulty)
    }

    /// The number of the canonical block with this hash.
    ///
    /// # Errors
    /// What the database says.
    pub fn number(&self, hash: B256) -> Result<Option<u64>, StorageError> {
        self.decoded(Table::HeaderNumbers, hash.as_slice(), |bytes| {
            Some(u64::from_be_bytes(bytes.try_into().ok()?))
        })
    }

    /// Body of the canonical block with this number.
    ///
    /// # Errors
    /// [`StorageError::Pruned`], [`StorageError::AboveHead`], or what the database says.
    pub fn body(&self, number: u64) -> Result<BlockBody, StorageError> {
        self.retained("body", number, self.meta().oldest_body)?;
        self.of_block(Table::Bodies, number, |bytes| alloy_rlp::decode_exact(unpack(bytes)?).ok())
    }

    /// Receipts of the canonical block with this number, with their blooms.
    ///
    /// # Errors
    /// [`StorageError::Pruned`], [`StorageError::AboveHead`], or what the database says.
    pub fn receipts(&self, number: u64) -> Result<Vec<ReceiptEnvelope>, StorageError> {
        self.retained("receipts", number, self.meta().oldest_receipts)?;
        self.of_block(Table::Receipts, number, |bytes| decode_receipts(&unpack(bytes)?))
    }

    /// Block access list of the canonical block with this number, in RLP; `None` before Amsterdam.
    /// It is kept as long as the body.
    ///
    /// # Errors
    /// [`StorageError::Pruned`], [`StorageError::AboveHead`], or what the database says.
    ///
    /// Source: EIP-7928, "RLP Data Structures".
    pub fn access_list(&self, number: u64) -> Result<Option<Bytes>, StorageError> {
        self.retained("access list", number, self.meta().oldest_body)?;
        let key = number.to_be_bytes();
        let decode = |bytes: &[u8]| unpack(bytes).map(Bytes::from);
        let list = self.decoded(Table::AccessLists, &key, decode)?;
        if list.is_none() && self.header_row(number)?.header.block_access_list_hash.is_some() {
            return Err(damaged(Table::AccessLists, &key, "the row of a block is missing"));
        }
        Ok(list)
    }

    /// Senders of the transactions of the canonical block with this number.
    ///
    /// # Errors
    /// [`StorageError::Pruned`], [`StorageError::AboveHead`], or what the database says.
    pub fn senders(&self, number: u64) -> Result<Vec<Address>, StorageError> {
        self.retained("senders", number, self.meta().oldest_body)?;
        self.of_block(Table::Senders, number, |bytes| {
            let (senders, rest) = bytes.as_chunks::<20>();
            rest.is_empty().then(|| senders.iter().map(Address::from).collect())
        })
    }

    /// Block number and index of a canonical transaction; `None` if it is not known or no longer
    /// indexed.
    ///
    /// # Errors
    /// What the database says.
    pub fn transaction(&self, hash: B256) -> Result<Option<(u64, u32)>, StorageError> {
        self.decoded(Table::Transactions, hash.as_slice(), |mut bytes| {
            let number = u64::from_be_bytes(take(&mut bytes, 8)?.try_into().ok()?);
            Some((number, u32::from_be_bytes(bytes.try_into().ok()?)))
        })
    }

    /// Whether something is kept of a block, of which the oldest that has it is known.
    pub(crate) fn retained(
        &self,
        what: &'static str,
        number: u64,
        oldest: u64,
    ) -> Result<(), StorageError> {
        let head = self.meta().head.number;
        if number > head {
            return Err(StorageError::AboveHead { number, head });
        }
        if number < oldest {
            return Err(StorageError::Pruned { what, number, oldest });
        }
        Ok(())
    }

    fn of_block<T>(
        &self,
        table: Table,
        number: u64,
        decode: impl FnOnce(&[u8]) -> Option<T>,
    ) -> Result<T, StorageError> {
        let key = number.to_be_bytes();
        let found = self.decoded(table, &key, decode)?;
        found.ok_or_else(|| damaged(table, &key, "the row of a block is missing"))
    }

    /// A row through its decoder.
    pub(crate) fn decoded<T>(
        &self,
        table: Table,
        key: &[u8],
        decode: impl FnOnce(&[u8]) -> Option<T>,
    ) -> Result<Option<T>, StorageError> {
        self.with(|tx| decoded(tx, table, key, decode))
    }
}

/// A row through its decoder.
pub(crate) fn decoded<T>(
    tx: &impl Read,
    table: Table,
    key: &[u8],
    decode: impl FnOnce(&[u8]) -> Option<T>,
) -> Result<Option<T>, StorageError> {
    let Some(bytes) = tx.get(table, key)? else { return Ok(None) };
    decode(&bytes).map(Some).ok_or_else(|| damaged(table, key, "the row does not decode"))
}

/// A row that is not as it must be.
pub(crate) fn damaged(table: Table, key: &[u8], reason: impl ToString) -> StorageError {
    let key = key.iter().map(|byte| format!("{byte:02x}")).collect();
    StorageError::Damaged { table: table.name(), key, reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receipts_come_back_as_they_went() {
        let log = Log::new_unchecked(
            Address::repeat_byte(3),
            vec![B256::repeat_byte(4)],
            Bytes::from(vec![5; 300]),
        );
        let receipt = |status, logs| Receipt { status, cumulative_gas_used: 21_000, logs };
        let root = Eip658Value::PostState(B256::repeat_byte(1));
        let receipts = vec![
            ReceiptEnvelope::Legacy(receipt(root, vec![]).with_bloom()),
            ReceiptEnvelope::Eip1559(receipt(Eip658Value::Eip658(true), vec![log]).with_bloom()),
            ReceiptEnvelope::Eip7702(receipt(Eip658Value::Eip658(false), vec![]).with_bloom()),
        ];
        let packed = Packer::new().pack(&encode_receipts(&receipts));
        assert_eq!(packed[0], 1, "log data of one byte value compresses");
        let unpacked = unpack(&packed).expect("packed here");
        assert_eq!(decode_receipts(&unpacked), Some(receipts));
    }

    #[test]
    fn damaged_packs_are_refused() {
        let packed = Packer::new().pack(&[7; 1_000]);
        assert_eq!(unpack(&packed[..packed.len() - 1]), None);
        assert_eq!(unpack(&[2, 1]), None);
        assert_eq!(unpack(&[]), None);
        assert_eq!(unpack(&Packer::new().pack(&[1, 2])), Some(vec![1, 2]));
    }
}
