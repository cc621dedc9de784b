//! Block bundles: one block and the state that its transactions read, as JSON.
//!
//! ```text
//! DIR/blocks/<number>.json.zst   a bundle
//! DIR/codes.json.zst             code hash -> code, for the bundles below DIR (optional)
//! ```
//! Fields of a bundle: `format`, `chainId`, `number`, `block` (an `eth_getBlockByNumber` answer, of
//! which `hash` is read), `headerRlp`, `transactionsRlp`, `withdrawals`, `blockHashes`, `prestate`.
//! Optional, and written by Fugue: `ommersRlp` (headers), `parentHeaderRlp`, `codes` (as in a codes
//! file), `config` (a genesis file's, for a chain of its own), `stateComplete` (the pre-state is
//! the whole state, so that state roots can be computed). A bundle without `prestate` is *partial*:
//! it cannot be executed.

use crate::{ArchiveError, Cause, Record, WITNESS_FORMAT, file::from_json, read_file, witness};
use alloy_eips::Decodable2718;
use alloy_rlp::Decodable;
use fugue_types::{
    Address, B256, B256Map, Block, BlockBody, Bytes, Header, SealedBlock, Transaction, U256,
    Withdrawal, Withdrawals, keccak256,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::Arc,
};

/// The `format` that is read and written.
pub const FORMAT: &str = "mainnet-block-v1";
/// File with the codes of the bundles beside or below it.
const CODES_FILE: &str = "codes.json.zst";

/// An account of a pre-state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PreAccount {
    /// In wei.
    pub balance: U256,
    /// Transactions sent.
    #[serde(with = "alloy_serde::quantity")]
    pub nonce: u64,
    /// keccak256 of the code; left out where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code_hash: Option<B256>,
    /// Slots that are read, zeros included.
    #[serde(default)]
    pub storage: BTreeMap<U256, U256>,
}

/// The state before a block, as far as its transactions read it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PreState {
    /// Accounts that exist.
    pub accounts: BTreeMap<Address, PreAccount>,
    /// Codes of the accounts; each hashes to its key.
    pub codes: B256Map<Bytes>,
    /// It is the whole state.
    pub is_complete: bool,
}

/// One block with what is needed to execute it.
#[derive(Debug, Clone, PartialEq)]
pub struct Bundle {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// `config` of a genesis file, for chains that Fugue does not know.
    pub config: Option<serde_json::Value>,
    /// The block; its hash is that of its header and of `block.hash`.
    pub block: SealedBlock,
    /// Whether the ommers are those of the block; false if the header has some and the bundle has
    /// none.
    pub has_ommers: bool,
    /// The parent's header.
    pub parent: Option<Header>,
    /// Hashes of ancestors by number.
    pub block_hashes: BTreeMap<u64, B256>,
    /// The state before; `None` in a partial bundle.
    pub state: Option<PreState>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct BundleJson {
    format: String,
    chain_id: u64,
    number: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fork: Option<String>,
    block: BlockJson,
    header_rlp: Bytes,
    transactions_rlp: Vec<Bytes>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ommers_rlp: Option<Vec<Bytes>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parent_header_rlp: Option<Bytes>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    withdrawals: Option<Vec<Withdrawal>>,
    block_hashes: BTreeMap<String, B256>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    prestate: Option<BTreeMap<Address, PreAccount>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    code_hashes: Vec<B256>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    codes: Option<BTreeMap<B256, Bytes>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    config: Option<serde_json::Value>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    state_complete: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    complete: Option<bool>,
}

#[derive(Deserialize, Serialize)]
struct BlockJson {
    hash: B256,
}

type Codes = Arc<BTreeMap<B256, Bytes>>;

/// Reads bundles, keeping the codes files that they share.
#[derive(Debug, Default)]
pub struct BundleReader {
    codes: HashMap<PathBuf, Option<Codes>>,
}

impl BundleReader {
    /// A reader that has read nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads one bundle.
    ///
    /// # Errors
    /// [`ArchiveError`] naming the file, the field and the reason.
    pub fn read(&mut self, path: &Path) -> Result<Bundle, ArchiveError> {
        let at = ArchiveError::at(path);
        let bytes = read_file(path).map_err(&at)?;
        let found = format_of(&bytes).map_err(&at)?;
        if found != FORMAT {
            return Err(at(Cause::Format { expected: &[FORMAT], found }));
        }
        self.read_json(path, &bytes)
    }

    /// Reads one bundle or witness bundle, as the file's `format` says.
    ///
    /// # Errors
    /// As [`BundleReader::read`].
    pub fn read_record(&mut self, path: &Path) -> Result<Record, ArchiveError> {
        let at = ArchiveError::at(path);
        let bytes = read_file(path).map_err(&at)?;
        let found = format_of(&bytes).map_err(&at)?;
        if found == FORMAT {
            self.read_json(path, &bytes).map(Record::Bundle)
        } else if found == WITNESS_FORMAT {
            witness::decode(&bytes).map(Record::Witness).map_err(at)
        } else {
            Err(at(Cause::Format { expected: &[FORMAT, WITNESS_FORMAT], found }))
        }
    }

    /// The bundle of a file with these bytes.
    fn read_json(&mut self, path: &Path, bytes: &[u8]) -> Result<Bundle, ArchiveError> {
        let at = ArchiveError::at(path);
        let json: BundleJson = from_json(bytes).map_err(&at)?;
        let files = self.codes_files(path)?;
        decode(json, &files).map_err(at)
    }

    /// Codes files beside the bundle and one folder up.
    fn codes_files(&mut self, bundle: &Path) -> Result<Vec<Codes>, ArchiveError> {
        let mut found = Vec::new();
        for folder in bundle.ancestors().skip(1).take(2) {
            let path = folder.join(CODES_FILE);
            if !self.codes.contains_key(&path) {
                let codes = if path.is_file() {
                    let codes = read_file(&path).and_then(|bytes| from_json(&bytes));
                    Some(Arc::new(codes.map_err(ArchiveError::at(&path))?))
                } else {
                    None
                };
                self.codes.insert(path.clone(), codes);
            }
            found.extend(self.codes.get(&path).cloned().flatten());
        }
        Ok(found)
    }
}

/// The format is looked at first: a file made for another reader lacks fields that are none of its
/// business.
fn format_of(bytes: &[u8]) -> Result<String, Cause> {
    #[derive(Deserialize)]
    struct Format {
        format: String,
    }
    let Format { format } = from_json(bytes)?;
    Ok(format)
}

/// The parts of a block, as the files of one block have them.
pub(crate) struct BlockParts {
    pub(crate) number: u64,
    pub(crate) hash: B256,
    pub(crate) header_rlp: Bytes,
    pub(crate) transactions_rlp: Vec<Bytes>,
    pub(crate) ommers_rlp: Vec<Bytes>,
    pub(crate) withdrawals: Option<Vec<Withdrawal>>,
}

impl BlockParts {
    /// Decodes the parts and puts them together.
    pub(crate) fn seal(self) -> Result<SealedBlock, Cause> {
        let Self { number, hash, header_rlp, transactions_rlp, ommers_rlp, withdrawals } = self;
        let header: Header = decode_rlp("headerRlp", &header_rlp)?;
        if number != header.number {
            let reason = format!("{number} in the bundle, {} in headerRlp", header.number);
            return Err(Cause::field("number", reason));
        }
        let transactions = decode_each("transactionsRlp", &transactions_rlp, |bytes| {
            Transaction::decode_2718_exact(bytes).map_err(|error| error.to_string())
        })?;
        if header.withdrawals_root.is_some() && withdrawals.is_none() {
            return Err(Cause::field("withdrawals", "missing, though the header has their root"));
        }
        let ommers = decode_each("ommersRlp", &ommers_rlp, |bytes| {
            alloy_rlp::decode_exact(bytes).map_err(|error| error.to_string())
        })?;
        let withdrawals = withdrawals.map(Withdrawals::new);
        let body = BlockBody { transactions, ommers, withdrawals };
        Ok(SealedBlock::seal_as(Block { header, body }, hash)?)
    }
}

fn decode(json: BundleJson, files: &[Codes]) -> Result<Bundle, Cause> {
    let are_ommers_given = json.ommers_rlp.is_some();
    let parts = BlockParts {
        number: json.number,
        hash: json.block.hash,
        header_rlp: json.header_rlp,
        transactions_rlp: json.transactions_rlp,
        ommers_rlp: json.ommers_rlp.unwrap_or_default(),
        withdrawals: json.withdrawals,
    };
    let block = parts.seal()?;
    let header = &block.block().header;
    let has_ommers =
        are_ommers_given || header.ommers_hash == alloy_consensus::EMPTY_OMMER_ROOT_HASH;
    let parent: Option<Header> = json
        .parent_header_rlp
        .as_deref()
        .map(|rlp| decode_rlp("parentHeaderRlp", rlp))
        .transpose()?;
    if let Some(parent) = &parent
        && parent.hash_slow() != header.parent_hash
    {
        return Err(Cause::field("parentHeaderRlp", "does not hash to the header's parentHash"));
    }
    let block_hashes = block_hashes(json.block_hashes, header)?;
    let codes = json.codes.map(Arc::new);
    let sources: Vec<&BTreeMap<B256, Bytes>> =
        codes.iter().chain(files).map(|codes| &**codes).collect();
    let state = json
        .prestate
        .map(|accounts| pre_state(accounts, &json.code_hashes, &sources, json.state_complete))
        .transpose()?;
    if json.complete == Some(true) && state.is_none() {
        return Err(Cause::field("prestate", "missing, though the bundle says it is complete"));
    }
    Ok(Bundle {
        chain_id: json.chain_id,
        config: json.config,
        block,
        has_ommers,
        parent,
        block_hashes,
        state,
    })
}

pub(crate) fn decode_rlp<T: Decodable>(field: &str, rlp: &[u8]) -> Result<T, Cause> {
    alloy_rlp::decode_exact(rlp).map_err(|error| Cause::field(field, error))
}

fn decode_each<T>(
    field: &str,
    items: &[Bytes],
    decode: impl Fn(&[u8]) -> Result<T, String>,
) -> Result<Vec<T>, Cause> {
    let decode = |(index, bytes): (usize, &Bytes)| {
        decode(bytes).map_err(|reason| Cause::field(format!("{field}[{index}]"), reason))
    };
    items.iter().enumerate().map(decode).collect()
}

pub(crate) fn block_hashes(
    hashes: BTreeMap<String, B256>,
    header: &Header,
) -> Result<BTreeMap<u64, B256>, Cause> {
    let mut by_number = BTreeMap::new();
    for (number, hash) in hashes {
        let field = || format!("blockHashes.{number}");
        let parsed: u64 = number.parse().map_err(|error| Cause::field(field(), error))?;
        if parsed.checked_add(1) == Some(header.number) && hash != header.parent_hash {
            return Err(Cause::field(field(), "is not the header's parentHash"));
        }
        by_number.insert(parsed, hash);
    }
    Ok(by_number)
}

fn pre_state(
    accounts: BTreeMap<Address, PreAccount>,
    code_hashes: &[B256],
    sources: &[&BTreeMap<B256, Bytes>],
    is_complete: bool,
) -> Result<PreState, Cause> {
    let mut codes = B256Map::default();
    let named = accounts.values().filter_map(|account| account.code_hash);
    for hash in named.chain(code_hashes.iter().copied()) {
        if codes.contains_key(&hash) {
            continue;
        }
        let code = sources.iter().find_map(|codes| codes.get(&hash));
        let code = code.ok_or(Cause::CodeMissing(hash))?;
        let found = keccak256(code);
        if found != hash {
            return Err(Cause::CodeHash { key: hash, found });
        }
        codes.insert(hash, code.clone());
    }
    Ok(PreState { accounts, codes, is_complete })
}

impl Bundle {
    /// The bundle as JSON, its codes in it. The same bundle always gives the same bytes.
    ///
    /// `fork` is a name for readers.
    ///
    /// # Errors
    /// [`serde_json::Error`] if `config` does not serialise.
    pub fn to_json(&self, fork: &str) -> Result<Vec<u8>, serde_json::Error> {
        let Self { chain_id, config, block: sealed, has_ommers, parent, block_hashes, state } =
            self;
        let Block { header, body } = sealed.block();
        let codes = state.as_ref().map(|state| {
            state.codes.iter().map(|(hash, code)| (*hash, code.clone())).collect::<BTreeMap<_, _>>()
        });
        let encoded = |tx: &Transaction| alloy_eips::Encodable2718::encoded_2718(tx).into();
        let json = BundleJson {
            format: FORMAT.to_owned(),
            chain_id: *chain_id,
            number: header.number,
            fork: Some(fork.to_owned()),
            block: BlockJson { hash: sealed.hash() },
            header_rlp: alloy_rlp::encode(header).into(),
            transactions_rlp: body.transactions.iter().map(encoded).collect(),
            ommers_rlp: has_ommers
                .then(|| body.ommers.iter().map(|ommer| alloy_rlp::encode(ommer).into()).collect()),
            parent_header_rlp: parent.as_ref().map(|parent| alloy_rlp::encode(parent).into()),
            withdrawals: body.withdrawals.as_ref().map(|withdrawals| withdrawals.to_vec()),
            block_hashes: block_hashes.iter().map(|(n, hash)| (n.to_string(), *hash)).collect(),
            prestate: state.as_ref().map(|state| state.accounts.clone()),
            code_hashes: codes.iter().flat_map(|codes| codes.keys().copied()).collect(),
            codes,
            config: config.clone(),
            state_complete: state.as_ref().is_some_and(|state| state.is_complete),
            complete: Some(state.is_some()),
        };
        serde_json::to_vec(&json)
    }
}
