//! What holds for the whole chain: one row each in the table Meta.
//!
//! ```text
//! schema            u32, see below          genesis           hash 32
//! config            H(config) 32, config    head              number u64, hash 32
//! oldest-body, oldest-receipts, oldest-state, next-storage-id   u64
//! ```
//! The schema says whether there is an index of addresses: a database has it from its beginning, or
//! not at all.

use crate::{
    StorageError, Table,
    backend::{Read, WriteTx},
    blocks::{damaged, decoded},
};
use fugue_types::{B256, keccak256};

/// Counts up when what is stored changes its form.
pub const SCHEMA_VERSION: u32 = 3;

/// The schema of a database with an index of addresses, which is the same but for that. A program
/// that knows nothing of the index would not keep it, and refuses this number.
pub const INDEXED_SCHEMA_VERSION: u32 = 4;

/// A block of the chain.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Head {
    /// Its number.
    pub number: u64,
    /// Its hash.
    pub hash: B256,
}

/// What holds for the whole chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// Hash of block 0.
    pub genesis: B256,
    /// The chain's configuration, as its owner wrote it.
    pub config: Vec<u8>,
    /// The newest durable block.
    pub head: Head,
    /// The oldest block whose body, senders and transactions are kept.
    pub oldest_body: u64,
    /// The oldest block whose receipts are kept.
    pub oldest_receipts: u64,
    /// The oldest block whose state can be read.
    pub oldest_state: u64,
    /// Whether there is an index of addresses.
    pub indexes_addresses: bool,
    /// The storage id that is given out next.
    pub(crate) next_storage_id: u64,
}

pub(crate) const SCHEMA: &[u8] = b"schema";
const GENESIS: &[u8] = b"genesis";
const CONFIG: &[u8] = b"config";
const HEAD: &[u8] = b"head";
const OLDEST_BODY: &[u8] = b"oldest-body";
const OLDEST_RECEIPTS: &[u8] = b"oldest-receipts";
const OLDEST_STATE: &[u8] = b"oldest-state";
const NEXT_STORAGE_ID: &[u8] = b"next-storage-id";
/// Larger ids come of damage alone: they are counted up by one.
const STORAGE_IDS_MAX: u64 = u64::MAX / 2;

impl Meta {
    /// Reads it; `None` if nothing was ever written.
    pub(crate) fn read(tx: &impl Read) -> Result<Option<Self>, StorageError> {
        let schema = tx.get(Table::Meta, SCHEMA)?;
        let Some(schema) = check_schema(schema.as_deref())? else { return Ok(None) };
        let hash = |bytes: &[u8]| B256::try_from(bytes).ok();
        let number = |name| {
            let found = decoded(tx, Table::Meta, name, |bytes| {
                Some(u64::from_be_bytes(bytes.try_into().ok()?))
            })?;
            found.ok_or_else(|| missing(name))
        };
        let head = decoded(tx, Table::Meta, HEAD, |bytes| {
            let (number, hash) = bytes.split_at_checked(8)?;
            let number = u64::from_be_bytes(number.try_into().ok()?);
            Some(Head { number, hash: B256::try_from(hash).ok()? })
        })?;
        Ok(Some(Self {
            genesis: decoded(tx, Table::Meta, GENESIS, hash)?.ok_or_else(|| missing(GENESIS))?,
            config: decoded(tx, Table::Meta, CONFIG, config_of)?.ok_or_else(|| missing(CONFIG))?,
            head: head.ok_or_else(|| missing(HEAD))?,
            oldest_body: number(OLDEST_BODY)?,
            oldest_receipts: number(OLDEST_RECEIPTS)?,
            oldest_state: number(OLDEST_STATE)?,
            indexes_addresses: schema == INDEXED_SCHEMA_VERSION,
            next_storage_id: number(NEXT_STORAGE_ID).and_then(|id| {
                let reason = "no chain has so many storages";
                let is_sound = id <= STORAGE_IDS_MAX;
                is_sound.then_some(id).ok_or_else(|| damaged(Table::Meta, NEXT_STORAGE_ID, reason))
            })?,
        }))
    }

    pub(crate) fn write(&self, tx: &mut WriteTx<'_>) -> Result<(), StorageError> {
        let Self {
            genesis,
            config,
            head,
            oldest_body,
            oldest_receipts,
            oldest_state,
            indexes_addresses,
            next_storage_id,
        } = self;
        let schema = if *indexes_addresses { INDEXED_SCHEMA_VERSION } else { SCHEMA_VERSION };
        tx.put(Table::Meta, SCHEMA, &schema.to_be_bytes())?;
        tx.put(Table::Meta, GENESIS, genesis.as_slice())?;
        // The rules of a chain decide over its blocks: a damaged one must not be taken for them.
        tx.put(Table::Meta, CONFIG, &[keccak256(config).as_slice(), config].concat())?;
        let head = [&head.number.to_be_bytes()[..], head.hash.as_slice()].concat();
        tx.put(Table::Meta, HEAD, &head)?;
        tx.put(Table::Meta, OLDEST_BODY, &oldest_body.to_be_bytes())?;
        tx.put(Table::Meta, OLDEST_RECEIPTS, &oldest_receipts.to_be_bytes())?;
        tx.put(Table::Meta, OLDEST_STATE, &oldest_state.to_be_bytes())?;
        tx.put(Table::Meta, NEXT_STORAGE_ID, &next_storage_id.to_be_bytes())
    }
}

/// The configuration behind its hash.
fn config_of(bytes: &[u8]) -> Option<Vec<u8>> {
    let (hash, config) = bytes.split_at_checked(32)?;
    (keccak256(config) == hash).then(|| config.to_vec())
}

/// The schema, if it is one of this program's; none at all is an empty store.
pub(crate) fn check_schema(found: Option<&[u8]>) -> Result<Option<u32>, StorageError> {
    let Some(found) = found else { return Ok(None) };
    let found = found
        .try_into()
        .map(u32::from_be_bytes)
        .map_err(|_| damaged(Table::Meta, SCHEMA, "the row does not decode"))?;
    if ![SCHEMA_VERSION, INDEXED_SCHEMA_VERSION].contains(&found) {
        return Err(StorageError::Schema { expected: SCHEMA_VERSION, found });
    }
    Ok(Some(found))
}

fn missing(name: &[u8]) -> StorageError {
    damaged(Table::Meta, name, "missing")
}
