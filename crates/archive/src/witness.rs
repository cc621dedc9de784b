//! Witness bundles: one block and the trie nodes that prove the state before it, as JSON.
//!
//! ```text
//! DIR/<name>.json.zst   a witness bundle; <name> is a number, or a chain's name, "-", a number
//! ```
//! Fields: `format`, `chainId`, `number`, `hash`, `headerRlp`, `transactionsRlp`, `ommersRlp`,
//! `withdrawals` (from Shanghai on), `preStateRoot`, `postStateRoot`, `blockHashes`, and in
//! `witness`:
//! * `state`: trie nodes of the accounts and of their storage, as `debug_executionWitness` gives
//!   them;
//! * `codes`: codes of contracts;
//! * `headers`: headers of ancestors, oldest first, the parent last; may be empty.
//!
//! Nodes and codes are known by their keccak256. Optional: `siblingAssumption`
//! (`"branch"`: see [`WitnessBundle::sibling_is_branch`]), and `config` as in a bundle. Other
//! fields are for people.

use crate::{
    Cause,
    bundle::{BlockParts, block_hashes, decode_rlp},
    file::from_json,
};
use fugue_types::{
    B256, B256Map, Block, Bytes, Header, SealedBlock, Transaction, Withdrawal, keccak256,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The `format` of a witness bundle.
pub const WITNESS_FORMAT: &str = "witness-block-v1";

/// One block with the trie nodes that are needed to execute it and to compute the state root after
/// it.
#[derive(Debug, Clone, PartialEq)]
pub struct WitnessBundle {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// `config` of a genesis file, for chains that Fugue does not know.
    pub config: Option<serde_json::Value>,
    /// The block; its hash is that of its header and the one that the file names.
    pub block: SealedBlock,
    /// The parent's header.
    pub parent: Option<Header>,
    /// State root before the block: the parent's, where that is known.
    pub pre_state_root: B256,
    /// Hashes of ancestors by number, the parent's among them.
    pub block_hashes: BTreeMap<u64, B256>,
    /// RLP of trie nodes.
    pub nodes: Vec<Bytes>,
    /// Codes by hash.
    pub codes: B256Map<Bytes>,
    /// The only child that a deletion leaves to a branch is itself a branch wherever the nodes lack
    /// it: a rule of some provers.
    pub sibling_is_branch: bool,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct WitnessBundleJson {
    /// Read before the rest.
    #[serde(skip_deserializing)]
    format: String,
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    chain_id: u64,
    number: u64,
    hash: B256,
    header_rlp: Bytes,
    transactions_rlp: Vec<Bytes>,
    ommers_rlp: Vec<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    withdrawals: Option<Vec<Withdrawal>>,
    pre_state_root: B256,
    post_state_root: B256,
    block_hashes: BTreeMap<String, B256>,
    witness: WitnessJson,
    #[serde(skip_serializing_if = "Option::is_none")]
    sibling_assumption: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<serde_json::Value>,
}

#[derive(Deserialize, Serialize)]
struct WitnessJson {
    state: Vec<Bytes>,
    codes: Vec<Bytes>,
    headers: Vec<Bytes>,
}

/// Reads the JSON of a file that names [`WITNESS_FORMAT`].
pub(crate) fn decode(bytes: &[u8]) -> Result<WitnessBundle, Cause> {
    let json: WitnessBundleJson = from_json(bytes)?;
    let parts = BlockParts {
        number: json.number,
        hash: json.hash,
        header_rlp: json.header_rlp,
        transactions_rlp: json.transactions_rlp,
        ommers_rlp: json.ommers_rlp,
        withdrawals: json.withdrawals,
    };
    let block = parts.seal()?;
    let header = &block.block().header;
    if json.post_state_root != header.state_root {
        return Err(Cause::field("postStateRoot", "is not the header's stateRoot"));
    }
    let mut block_hashes = block_hashes(json.block_hashes, header)?;
    let WitnessJson { state: nodes, codes, headers } = json.witness;
    let parent = ancestors(&headers, header, &mut block_hashes)?;
    if let Some(parent) = &parent
        && parent.state_root != json.pre_state_root
    {
        return Err(Cause::field("preStateRoot", "is not the stateRoot of the parent's header"));
    }
    let sibling_is_branch = match json.sibling_assumption.as_deref() {
        None => false,
        Some("branch") => true,
        Some(other) => {
            let reason = format!("\"{other}\" is not known, only \"branch\"");
            return Err(Cause::field("siblingAssumption", reason));
        }
    };
    Ok(WitnessBundle {
        chain_id: json.chain_id,
        config: json.config,
        block,
        parent,
        pre_state_root: json.pre_state_root,
        block_hashes,
        nodes,
        codes: codes.into_iter().map(|code| (keccak256(&code), code)).collect(),
        sibling_is_branch,
    })
}

impl WitnessBundle {
    /// The bundle as JSON. The same bundle always gives the same bytes: codes are in order of their
    /// hashes. Of the ancestors' headers it has the parent's; of the others their hashes.
    ///
    /// `source` says for people where it is from.
    ///
    /// # Errors
    /// [`serde_json::Error`] if `config` does not serialise.
    pub fn to_json(&self, source: &str) -> Result<Vec<u8>, serde_json::Error> {
        let Self {
            chain_id,
            config,
            block: sealed,
            parent,
            pre_state_root,
            block_hashes,
            nodes,
            codes,
            sibling_is_branch,
        } = self;
        let Block { header, body } = sealed.block();
        let codes: BTreeMap<&B256, &Bytes> = codes.iter().collect();
        let encoded = |tx: &Transaction| alloy_eips::Encodable2718::encoded_2718(tx).into();
        let rlp = |header: &Header| Bytes::from(alloy_rlp::encode(header));
        let json = WitnessBundleJson {
            format: WITNESS_FORMAT.to_owned(),
            source: Some(source.to_owned()),
            chain_id: *chain_id,
            number: header.number,
            hash: sealed.hash(),
            header_rlp: rlp(header),
            transactions_rlp: body.transactions.iter().map(encoded).collect(),
            ommers_rlp: body.ommers.iter().map(rlp).collect(),
            withdrawals: body.withdrawals.as_ref().map(|withdrawals| withdrawals.to_vec()),
            pre_state_root: *pre_state_root,
            post_state_root: header.state_root,
            block_hashes: block_hashes.iter().map(|(n, hash)| (n.to_string(), *hash)).collect(),
            witness: WitnessJson {
                state: nodes.clone(),
                codes: codes.into_values().cloned().collect(),
                headers: parent.iter().map(rlp).collect(),
            },
            sibling_assumption: sibling_is_branch.then(|| "branch".to_owned()),
            config: config.clone(),
        };
        serde_json::to_vec(&json)
    }
}

/// Follows the ancestors' headers from the parent back, and notes the hash of each, and of the one
/// before the oldest. Gives the parent's header.
fn ancestors(
    headers: &[Bytes],
    block: &Header,
    hashes: &mut BTreeMap<u64, B256>,
) -> Result<Option<Header>, Cause> {
    let mut parent = None;
    let (mut number, mut parent_hash) = (block.number, block.parent_hash);
    for (index, rlp) in headers.iter().enumerate().rev() {
        let field = format!("witness.headers[{index}]");
        let header: Header = decode_rlp(&field, rlp)?;
        if header.hash_slow() != parent_hash {
            let reason = "does not hash to the parentHash of the header after it";
            return Err(Cause::field(field, reason));
        }
        if header.number.checked_add(1) != Some(number) {
            let reason = format!("has number {}, the header after it {number}", header.number);
            return Err(Cause::field(field, reason));
        }
        note(hashes, header.number, parent_hash)?;
        (number, parent_hash) = (header.number, header.parent_hash);
        parent = parent.or(Some(header));
    }
    if let Some(before) = number.checked_sub(1) {
        note(hashes, before, parent_hash)?;
    }
    Ok(parent)
}

/// Adds the hash of an ancestor that its child's header names.
fn note(hashes: &mut BTreeMap<u64, B256>, number: u64, hash: B256) -> Result<(), Cause> {
    if *hashes.entry(number).or_insert(hash) == hash {
        return Ok(());
    }
    Err(Cause::field(format!("blockHashes.{number}"), "is not the parentHash of the header after"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BundleReader, Record};
    use serde_json::{Value, json};

    /// Headers of blocks 5, 6 and 7.
    fn chain() -> [Header; 3] {
        let mut parent_hash = B256::repeat_byte(4);
        [5, 6, 7].map(|number: u8| {
            let header = Header {
                parent_hash,
                number: number.into(),
                state_root: B256::repeat_byte(number),
                ..Header::default()
            };
            parent_hash = header.hash_slow();
            header
        })
    }

    fn rlp(header: &Header) -> Bytes {
        alloy_rlp::encode(header).into()
    }

    /// A witness of block 7.
    fn good() -> Value {
        let [grandparent, parent, header] = chain();
        json!({
            "format": WITNESS_FORMAT,
            "chainId": 1,
            "number": 7,
            "hash": header.hash_slow(),
            "headerRlp": rlp(&header),
            "transactionsRlp": [],
            "ommersRlp": [rlp(&grandparent)],
            "preStateRoot": parent.state_root,
            "postStateRoot": header.state_root,
            "blockHashes": { "6": header.parent_hash },
            "witness": {
                "state": ["0xc0", "0xc1"],
                "codes": ["0x6001"],
                "headers": [rlp(&grandparent), rlp(&parent)],
            },
            "source": "made up",
        })
    }

    /// What the reader says of a file with this JSON: the record, or a message after the file's
    /// name.
    fn read(json: &Value) -> Result<Record, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("7.json");
        std::fs::write(&path, json.to_string()).unwrap();
        BundleReader::new().read_record(&path).map_err(|error| {
            let message = error.to_string();
            let named = format!("{}: ", path.display());
            message.strip_prefix(&named).expect("the file is named").to_owned()
        })
    }

    fn read_witness(json: &Value) -> WitnessBundle {
        match read(json) {
            Ok(Record::Witness(bundle)) => bundle,
            other => panic!("a witness bundle was expected: {other:?}"),
        }
    }

    #[test]
    fn a_witness_bundle_is_read_with_the_hashes_that_its_headers_name() {
        let [grandparent, parent, header] = chain();
        let bundle = read_witness(&good());
        assert_eq!(bundle.chain_id, 1);
        assert_eq!(bundle.block.hash(), header.hash_slow());
        assert_eq!(bundle.block.block().header, header);
        assert_eq!(bundle.block.block().body.ommers, std::slice::from_ref(&grandparent));
        assert_eq!(bundle.pre_state_root, B256::repeat_byte(6));
        let hashes =
            [(4, grandparent.parent_hash), (5, parent.parent_hash), (6, header.parent_hash)];
        assert_eq!(bundle.block_hashes, BTreeMap::from(hashes));
        assert_eq!(bundle.parent, Some(parent));
        assert_eq!(bundle.nodes, [Bytes::from(vec![0xc0]), Bytes::from(vec![0xc1])]);
        let code = Bytes::from(vec![0x60, 0x01]);
        assert_eq!(bundle.codes.get(&keccak256(&code)), Some(&code));
        assert_eq!(bundle.codes.len(), 1);
        assert!(!bundle.sibling_is_branch);
    }

    #[test]
    fn a_witness_bundle_comes_back_as_it_was_written() {
        let mut json = good();
        json["config"] = json!({ "chainId": 1 });
        for (assumption, withdrawals) in [(Value::Null, Value::Null), ("branch".into(), json!([]))]
        {
            json["siblingAssumption"] = assumption;
            json["withdrawals"] = withdrawals;
            let bundle = read_witness(&json);
            let written = bundle.to_json("made up").unwrap();
            assert_eq!(written, bundle.to_json("made up").unwrap());
            let written: Value = serde_json::from_slice(&written).unwrap();
            assert_eq!(written["format"], WITNESS_FORMAT);
            assert_eq!(written["source"], "made up");
            assert_eq!(written["witness"]["headers"].as_array().map(Vec::len), Some(1));
            assert_eq!(read_witness(&written), bundle);
        }
    }

    #[test]
    fn without_headers_the_parent_is_known_by_its_hash_alone() {
        let mut json = good();
        json["witness"]["headers"] = json!([]);
        json["blockHashes"] = json!({ "3": B256::repeat_byte(3) });
        let bundle = read_witness(&json);
        assert_eq!(bundle.parent, None);
        let [_, _, header] = chain();
        let hashes = [(3, B256::repeat_byte(3)), (6, header.parent_hash)];
        assert_eq!(bundle.block_hashes, BTreeMap::from(hashes));
    }

    #[test]
    fn the_first_block_has_no_ancestors_before_genesis() {
        let genesis = Header::default();
        let header = Header { parent_hash: genesis.hash_slow(), number: 1, ..Header::default() };
        let mut json = good();
        json["number"] = 1.into();
        json["hash"] = json!(header.hash_slow());
        json["headerRlp"] = json!(rlp(&header));
        json["preStateRoot"] = json!(genesis.state_root);
        json["postStateRoot"] = json!(header.state_root);
        json["blockHashes"] = json!({});
        json["witness"]["headers"] = json!([rlp(&genesis)]);
        let bundle = read_witness(&json);
        assert_eq!(bundle.block_hashes, BTreeMap::from([(0, genesis.hash_slow())]));
    }

    #[test]
    fn the_assumption_about_siblings_is_read() {
        let mut json = good();
        json["siblingAssumption"] = "branch".into();
        assert!(read_witness(&json).sibling_is_branch);
    }

    #[test]
    fn a_missing_field_is_named() {
        let fields = good().as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        for field in fields.iter().filter(|field| *field != "source") {
            let mut json = good();
            json.as_object_mut().unwrap().remove(field);
            let needle = format!("missing field `{field}`");
            let error = read(&json).unwrap_err();
            assert!(error.contains(&needle), "{field}: {error}");
        }
        for field in ["state", "codes", "headers"] {
            let mut json = good();
            json["witness"].as_object_mut().unwrap().remove(field);
            let error = read(&json).unwrap_err();
            let needle = format!("witness: missing field `{field}`");
            assert!(error.starts_with(&needle), "{field}: {error}");
        }
    }

    #[test]
    fn a_damaged_field_is_named() {
        type Damage = fn(&mut Value);
        let cases: [(&str, Damage); 20] = [
            ("hash: ", |b| b["hash"] = "0x12".into()),
            ("headerRlp: block hash is ", |b| b["hash"] = json!(B256::ZERO)),
            ("headerRlp: ", |b| b["headerRlp"] = "0xc0".into()),
            ("number: 8 in the bundle, 7 in headerRlp", |b| b["number"] = 8.into()),
            ("transactionsRlp[0]: ", |b| b["transactionsRlp"] = json!(["0xc0"])),
            ("ommersRlp[0]: ", |b| b["ommersRlp"] = json!(["0xc0"])),
            ("postStateRoot: is not the header's", |b| b["postStateRoot"] = json!(B256::ZERO)),
            ("preStateRoot: is not the stateRoot of", |b| b["preStateRoot"] = json!(B256::ZERO)),
            ("preStateRoot: ", |b| b["preStateRoot"] = 7.into()),
            ("blockHashes.six: ", |b| b["blockHashes"]["six"] = json!(B256::ZERO)),
            ("blockHashes.6: is not the header's", |b| b["blockHashes"]["6"] = json!(B256::ZERO)),
            ("blockHashes.5: is not the parent", |b| b["blockHashes"]["5"] = json!(B256::ZERO)),
            ("blockHashes.4: is not the parent", |b| b["blockHashes"]["4"] = json!(B256::ZERO)),
            ("witness.headers[1]: ", |b| b["witness"]["headers"][1] = "0xc0".into()),
            ("witness.headers[1]: does not hash", |b| {
                let headers = b["witness"]["headers"].as_array_mut().unwrap();
                headers.reverse();
            }),
            ("witness.headers[0]: does not hash", |b| {
                b["witness"]["headers"][0] = b["witness"]["headers"][1].clone();
            }),
            ("witness.state[1]: ", |b| b["witness"]["state"][1] = "0x0".into()),
            ("witness.codes[0]: ", |b| b["witness"]["codes"][0] = "code".into()),
            ("siblingAssumption: \"leaf\"", |b| b["siblingAssumption"] = "leaf".into()),
            ("format: \"witness-block-v0\"", |b| b["format"] = "witness-block-v0".into()),
        ];
        for (needle, damage) in cases {
            let mut json = good();
            damage(&mut json);
            let error = read(&json).unwrap_err();
            assert!(error.starts_with(needle), "{needle}: {error}");
        }
    }

    #[test]
    fn headers_are_of_consecutive_blocks() {
        // Block 9 that names block 6 as its parent.
        let [grandparent, parent, _] = chain();
        let header = Header {
            parent_hash: parent.hash_slow(),
            number: 9,
            state_root: B256::repeat_byte(9),
            ..Header::default()
        };
        let mut json = good();
        json["number"] = 9.into();
        json["hash"] = json!(header.hash_slow());
        json["headerRlp"] = json!(rlp(&header));
        json["postStateRoot"] = json!(header.state_root);
        json["blockHashes"] = json!({});
        json["witness"]["headers"] = json!([rlp(&grandparent), rlp(&parent)]);
        let error = read(&json).unwrap_err();
        assert_eq!(error, "witness.headers[1]: has number 6, the header after it 9");
    }

    #[test]
    fn withdrawals_are_there_where_the_header_has_their_root() {
        let [_, parent, _] = chain();
        let header = Header {
            parent_hash: parent.hash_slow(),
            number: 7,
            base_fee_per_gas: Some(7),
            withdrawals_root: Some(B256::repeat_byte(8)),
            ..Header::default()
        };
        let mut json = good();
        json["hash"] = json!(header.hash_slow());
        json["headerRlp"] = json!(rlp(&header));
        json["postStateRoot"] = json!(header.state_root);
        json["blockHashes"] = json!({});
        let error = read(&json).unwrap_err();
        assert!(error.starts_with("withdrawals: missing"), "{error}");
        json["withdrawals"] = json!([]);
        assert!(read_witness(&json).block.block().body.withdrawals.is_some());
    }

    #[test]
    fn a_reader_of_bundles_alone_refuses_a_witness_bundle_by_its_format() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("7.json");
        std::fs::write(&path, good().to_string()).unwrap();
        let error = BundleReader::new().read(&path).unwrap_err().to_string();
        let needle = "format: \"witness-block-v1\" is not read here, only \"mainnet-block-v1\"";
        assert!(error.ends_with(needle), "{error}");
    }
}
