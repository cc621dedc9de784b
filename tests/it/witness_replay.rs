//! `fugue replay` of witness bundles: recorded ones, generated ones, and damaged ones.

use crate::support::{Case, Done, bundle_files, finish, generated, recorded, replay, small_bundle};
use fugue_archive::{Bundle, BundleReader, WITNESS_FORMAT};
use fugue_executor::Executor;
use fugue_state::MemoryState;
use fugue_trie::{EMPTY_ROOT_HASH, HashedDiff, NoSource, StateTrie};
use fugue_types::{B256, Bytes, SealedBlock, keccak256};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

/// Generated blocks of every era: with and without state roots in receipts, requests, withdrawals,
/// destroyed accounts, and delegations.
const GENERATED: [&str; 10] = [
    "blobs-withdrawals-prague-3",
    "defi-lending-osaka-2",
    "delegation-refused-bpo2-2",
    "destroy-by-hand-frontier-1",
    "destroy-phoenix-istanbul-3",
    "destroy-phoenix-shanghai-3",
    "fees-absent-author-spurious-dragon-1",
    "nonces-creates-tangerine-1",
    "storage-counters-by-hand-homestead-1",
    "storage-rewrites-byzantium-2",
];
/// Nodes of one witness that are left out, one at a time.
const NODES_LEFT_OUT_MAX: usize = 60;

fn bundle(name: &str) -> Bundle {
    let path = generated().join(format!("blocks/{name}.json.zst"));
    BundleReader::new().read(&path).unwrap_or_else(|error| panic!("{error}"))
}

/// A small block with a transaction.
fn small() -> Bundle {
    small_bundle(|bundle| !bundle.block.block().body.transactions.is_empty())
}

/// The block of a bundle ready to run, on the state before it.
fn case(bundle: &Bundle) -> Case {
    Case::new(bundle, &Executor::new(1).expect("a thread"))
}

/// The tries of a whole state.
fn tries(state: &MemoryState) -> StateTrie {
    let mut tries = StateTrie::new(EMPTY_ROOT_HASH);
    tries
        .apply(&NoSource, &HashedDiff::from(&state.diff_from_nothing()), None)
        .expect("nothing is blinded");
    assert_eq!(tries.root(), state.root(), "the root of the tries, then a naive one");
    tries
}

/// Nodes from the root of the accounts to one of them.
fn proof(tries: &mut StateTrie, key: B256) -> Vec<Vec<u8>> {
    tries.prove_account(&NoSource, key).expect("nothing is blinded").1
}

/// A witness bundle with all nodes of a bundle's state, which is whole.
fn witness(bundle: &Bundle) -> Value {
    assert!(bundle.state.as_ref().is_some_and(|state| state.is_complete), "a part of the state");
    let state = case(bundle).view;
    let mut tries = tries(&state);
    let mut nodes = BTreeSet::new();
    for (address, found) in &state.accounts {
        let owner = keccak256(address);
        nodes.extend(proof(&mut tries, owner));
        for slot in found.slots.keys() {
            let key = keccak256(slot.to_be_bytes::<32>());
            let (_, proof) = tries.prove_slot(&NoSource, owner, key).expect("nothing is blinded");
            nodes.extend(proof);
        }
    }
    let nodes: Vec<Bytes> = nodes.into_iter().map(Bytes::from).collect();
    let codes: Vec<&Bytes> = state.codes.values().collect();
    let fields = bundle.to_json("generated").expect("JSON");
    let fields: Value = serde_json::from_slice(&fields).expect("JSON");
    let mut witness = json!({
        "format": WITNESS_FORMAT,
        "chainId": fields["chainId"],
        "number": fields["number"],
        "hash": fields["block"]["hash"],
        "headerRlp": fields["headerRlp"],
        "transactionsRlp": fields["transactionsRlp"],
        "ommersRlp": fields["ommersRlp"],
        "preStateRoot": tries.root(),
        "postStateRoot": bundle.block.block().header.state_root,
        "blockHashes": fields["blockHashes"],
        "config": fields["config"],
        "witness": {
            "state": nodes,
            "codes": codes,
            "headers": [fields["parentHeaderRlp"]],
        },
    });
    if let Some(withdrawals) = fields.get("withdrawals") {
        witness["withdrawals"] = withdrawals.clone();
    }
    witness
}

fn write(folder: &Path, name: &str, json: &Value) -> PathBuf {
    let path = folder.join(format!("{name}.json"));
    std::fs::write(&path, json.to_string()).expect("a written file");
    path
}

/// The lines of blocks and unreadable files in a run with `--json -`.
fn lines(done: &Done) -> Vec<Value> {
    let value = |line: &str| -> Value {
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
    };
    let mut lines: Vec<Value> = done.stdout.lines().map(value).collect();
    let summary = lines.pop().unwrap_or_else(|| panic!("no summary: {done:?}"));
    assert_eq!(summary["type"], "summary", "{summary}");
    lines
}

fn has(line: &Value, list: &str, field: &str) -> bool {
    let fields = line[list].as_array().unwrap_or_else(|| panic!("no {list}: {line}"));
    fields.iter().any(|found| found == field)
}

#[test]
fn recorded_witnesses_lead_to_the_state_roots_of_their_headers() {
    let Some(data) = recorded("witness-blocks") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let done = finish(replay(folder.path(), &[&data]).args(["--mode", "both", "--json", "-"]));
    let lines = lines(&done);
    assert_eq!(lines.len(), bundle_files(&data).len(), "a line for each file");
    for line in &lines {
        assert_eq!((&line["type"], &line["kind"]), (&json!("block"), &json!("witness")), "{line}");
        assert_eq!(line["verdict"], "equal", "{line}");
        assert_eq!(line["occ"]["fallback"], Value::Null, "{line}");
        assert!(has(line, "checked", "stateRoot"), "{line}");
        // A witness of a block from before Byzantium may lack nodes for the roots in receipts.
        let is_explained = has(line, "unchecked", "receiptsRoot") && line["note"].is_string();
        assert!(has(line, "checked", "receiptsRoot") || is_explained, "{line}");
    }
    assert_eq!(done.code, Some(0), "{}", done.stderr);
}

#[test]
fn generated_witnesses_lead_to_the_state_roots_of_their_headers() {
    let folder = tempfile::tempdir().expect("a folder");
    for name in GENERATED {
        write(folder.path(), name, &witness(&bundle(name)));
    }
    let beside = generated().join(format!("blocks/{}.json.zst", GENERATED[0]));
    let sources = [folder.path(), &beside];
    let done = finish(replay(folder.path(), &sources).args(["--mode", "both", "--json", "-"]));
    let lines = lines(&done);
    let of_kind = |kind: &str| lines.iter().filter(|line| line["kind"] == kind).count();
    assert_eq!((of_kind("witness"), of_kind("bundle")), (GENERATED.len(), 1), "{done:?}");
    for line in &lines {
        assert_eq!(line["verdict"], "equal", "{line}");
        assert_eq!(line["unchecked"], json!([]), "{line}");
        assert_eq!(line["note"], Value::Null, "{line}");
        for field in ["hash", "sha3Uncles", "gasLimit", "gasUsed", "receiptsRoot", "stateRoot"] {
            assert!(has(line, "checked", field), "{field}: {line}");
        }
    }
    assert_eq!(done.code, Some(0), "{}", done.stderr);
}

#[test]
fn the_table_names_the_kind_of_each_file() {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), "1", &witness(&small()));
    let done = finish(&mut replay(folder.path(), &[folder.path()]));
    assert_eq!((done.code, done.totals()), (Some(0), [1, 0, 0, 0]), "{done:?}");
    assert!(done.stdout.lines().nth(1).is_some_and(|row| row.contains("  witness ")), "{done:?}");
}

/// Replays one witness that cannot be used.
fn refuses(case: &str, json: &Value, needle: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = write(folder.path(), "1", json);
    let done = finish(&mut replay(folder.path(), &[&path]));
    assert_eq!(done.code, Some(2), "{case}: {done:?}");
    assert_eq!(done.totals(), [0, 0, 0, 1], "{case}: {done:?}");
    let line = done.stderr.lines().find(|line| line.contains(&*path.to_string_lossy()));
    let line = line.unwrap_or_else(|| panic!("{case}: the file is not named: {done:?}"));
    assert!(line.contains(needle), "{case}: no \"{needle}\" in: {line}");
}

fn nodes(witness: &mut Value) -> &mut Vec<Value> {
    witness["witness"]["state"].as_array_mut().expect("a list")
}

#[test]
fn a_witness_without_a_node_that_is_needed_is_refused() {
    let bundle = small();
    let good = witness(&bundle);
    let case = case(&bundle);
    let proof = proof(&mut tries(&case.view), keccak256(case.block.senders()[0]));
    let place_of = |node: &[u8]| {
        let hex = json!(Bytes::copy_from_slice(node));
        good["witness"]["state"].as_array().and_then(|nodes| nodes.iter().position(|n| *n == hex))
    };
    let root = place_of(&proof[0]).expect("the root is a node");
    let leaf = place_of(&proof[proof.len() - 1]).expect("the sender's leaf is a node");

    for (name, place) in [("no root", root), ("no leaf of the sender", leaf)] {
        let mut damaged = good.clone();
        nodes(&mut damaged).remove(place);
        refuses(name, &damaged, "no trie node at ");
    }
    // A node with another byte is another node: the one that is needed is not there.
    let mut damaged = good.clone();
    let node = &mut nodes(&mut damaged)[leaf];
    let mut hex = node.as_str().expect("a string").to_owned();
    let last = hex.pop().expect("a digit");
    hex.push(if last == '0' { '1' } else { '0' });
    *node = hex.into();
    refuses("a flipped bit", &damaged, "no trie node at ");
}

#[test]
fn a_witness_that_contradicts_its_headers_is_refused() {
    let good = witness(&small());
    let zero = json!(B256::ZERO);
    for (field, needle) in [
        ("postStateRoot", "postStateRoot: is not the header's stateRoot"),
        ("preStateRoot", "preStateRoot: is not the stateRoot of the parent"),
        ("hash", "headerRlp: block hash is "),
    ] {
        let mut damaged = good.clone();
        damaged[field] = zero.clone();
        refuses(field, &damaged, needle);
    }
    let mut damaged = good;
    damaged["witness"]["headers"] = json!([]);
    damaged["preStateRoot"] = zero;
    refuses("a root without nodes", &damaged, "no trie node at ");
}

#[test]
fn a_state_that_is_not_the_parents_is_refused_where_another_file_has_the_parent() {
    let folder = tempfile::tempdir().expect("a folder");
    let [parent, child] = ["destroy-phoenix-cancun-2", "destroy-phoenix-cancun-3"].map(bundle);
    write(folder.path(), "2", &witness(&parent));
    let mut other = witness(&child);
    other["witness"]["headers"] = json!([]);
    let replayed = |other: &Value| {
        write(folder.path(), "3", other);
        finish(&mut replay(folder.path(), &[folder.path()]))
    };
    let done = replayed(&other);
    assert_eq!((done.code, done.totals()), (Some(0), [2, 0, 0, 0]), "{done:?}");
    other["preStateRoot"] = json!(parent.block.block().header.transactions_root);
    let done = replayed(&other);
    assert_eq!((done.code, done.totals()), (Some(2), [1, 0, 0, 1]), "{done:?}");
    assert!(done.stderr.contains("3.json: preStateRoot: "), "{done:?}");
}

#[test]
fn a_missing_node_never_makes_a_block_different() {
    for name in ["destroy-by-hand-frontier-1", "destroy-phoenix-shanghai-3"] {
        let folder = tempfile::tempdir().expect("a folder");
        let good = witness(&bundle(name));
        let count = nodes(&mut good.clone()).len();
        let step = count.div_ceil(NODES_LEFT_OUT_MAX);
        for place in (0..count).step_by(step) {
            let mut damaged = good.clone();
            nodes(&mut damaged).remove(place);
            write(folder.path(), &place.to_string(), &damaged);
        }
        let done = finish(replay(folder.path(), &[folder.path()]).args(["--json", "-"]));
        assert!(!done.stderr.contains("panicked"), "{}", done.stderr);
        let lines = lines(&done);
        assert_eq!(lines.len(), (0..count).step_by(step).count(), "{name}");
        let (unusable, usable): (Vec<_>, Vec<_>) =
            lines.iter().partition(|line| line["type"] == "unreadable");
        assert!(!unusable.is_empty(), "{name}: no node is needed");
        for line in unusable {
            let reason = line["reason"].as_str().expect("a reason");
            assert!(reason.contains("no trie node at "), "{name}: {line}");
        }
        for line in usable {
            assert_eq!(line["verdict"], "equal", "{name}: {line}");
            assert!(has(line, "checked", "stateRoot"), "{name}: {line}");
            let note = line["note"].as_str().unwrap_or_default();
            let is_explained = note.contains("no trie node at ");
            assert_eq!(has(line, "unchecked", "receiptsRoot"), is_explained, "{name}: {line}");
        }
    }
}

#[test]
fn a_difference_is_named_and_its_folder_reproduces_it() {
    // The same block, but for a header that promises another state.
    let mut bundle = small();
    let mut block = bundle.block.block().clone();
    block.header.state_root = B256::repeat_byte(1);
    bundle.block = SealedBlock::seal(block);
    let number = bundle.block.block().header.number;

    let folder = tempfile::tempdir().expect("a folder");
    let path = write(folder.path(), "changed", &witness(&bundle));
    let done = finish(replay(folder.path(), &[&path]).args(["--json", "-", "--repro", "found"]));
    assert_eq!(done.code, Some(1), "{done:?}");
    let first = &lines(&done)[0];
    assert_eq!(first["verdict"], "different", "{first}");
    let fields = first["differences"].as_array().expect("a list").iter();
    let fields: Vec<_> = fields.map(|one| (&one["between"], &one["field"])).collect();
    let expected = ["header and sequential", "header and parallel"].map(Value::from);
    let field = Value::from("stateRoot");
    assert_eq!(fields, [(&expected[0], &field), (&expected[1], &field)], "{first}");

    let repro = folder.path().join(first["repro"].as_str().expect("a folder"));
    let copy = repro.join(format!("{number}.json"));
    assert_eq!(std::fs::read(&copy).expect("a copy"), std::fs::read(&path).expect("the file"));
    // Again, so that the copy is written over itself.
    let again = finish(replay(folder.path(), &[&copy]).args(["--json", "-", "--repro", "found"]));
    assert_eq!(lines(&again)[0]["differences"], first["differences"], "{again:?}");
    assert_eq!(std::fs::read(&copy).expect("a copy"), std::fs::read(&path).expect("the file"));
}
