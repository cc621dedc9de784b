//! Damaged input: the program names the file and the place, ends with code 2, and never panics.
//!
//! Every case is made from one good generated bundle, so that nothing but the damage is wrong.

use crate::support::{Done, drawn_seed, finish, replay, small_bundle};
use fugue_archive::{Bundle, write_zstd};
use fugue_workload::Rng;
use serde_json::{Value, json};
use std::{path::Path, sync::LazyLock};

/// Depth of the nesting that must not be answered with as deep a recursion.
const DEPTH: usize = 100_000;
/// Seed of the mutations that are the same in each run.
const SEED: u64 = 0xda_3a6e;
/// Mutations of one byte for each seed, and how many of them one run of the program replays.
const MUTATIONS: usize = 300;
const BATCH: usize = 50;

/// A small bundle that has everything that can be damaged.
static GOOD: LazyLock<Bundle> = LazyLock::new(|| {
    small_bundle(|bundle| {
        let block = bundle.block.block();
        let has_codes = bundle.state.as_ref().is_some_and(|state| !state.codes.is_empty());
        has_codes
            && bundle.parent.is_some()
            && bundle.config.is_some()
            && block.header.withdrawals_root.is_some()
            && !block.body.transactions.is_empty()
    })
});

fn good_json() -> Vec<u8> {
    GOOD.to_json("good").expect("JSON")
}

fn write(folder: &Path, file: &str, bytes: &[u8]) {
    std::fs::write(folder.join(file), bytes).expect("a written file");
}

fn never_panicked(done: &Done) {
    assert!(!done.stderr.contains("panicked"), "{}", done.stderr);
}

/// Replays one damaged file.
fn check(case: &str, file: &str, bytes: &[u8], needle: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), file, bytes);
    let path = folder.path().join(file);
    let done = finish(&mut replay(folder.path(), &[&path]));
    never_panicked(&done);
    assert_eq!(done.code, Some(2), "{case}: {done:?}");
    assert_eq!(done.totals(), [0, 0, 0, 1], "{case}: {done:?}");
    let line = done.stderr.lines().find(|line| line.contains(&*path.to_string_lossy()));
    let line = line.unwrap_or_else(|| panic!("{case}: the file is not named: {done:?}"));
    assert!(line.contains(needle), "{case}: no \"{needle}\" in: {line}");
}

fn compressed() -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("good.json.zst");
    write_zstd(&path, &good_json(), 3).expect("a written file");
    std::fs::read(path).expect("the written file")
}

#[test]
fn the_bundle_that_is_damaged_here_is_good() {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), "good.json", &good_json());
    write(folder.path(), "good.json.zst", &compressed());
    let done = finish(&mut replay(folder.path(), &[folder.path()]));
    assert_eq!((done.code, done.totals()), (Some(0), [2, 0, 0, 0]), "{done:?}");
}

#[test]
fn a_damaged_compressed_stream_is_refused() {
    let good = compressed();
    let cut = |length: usize| good[..length].to_vec();
    let flipped = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 0x10;
        bytes
    };
    let with_tail = |tail: &[u8]| [&good[..], tail].concat();
    let (not_zstd, damaged) = ("not zstd-compressed", "damaged or truncated zstd stream");
    let cases = [
        ("nothing", cut(0), not_zstd),
        ("one byte", cut(1), not_zstd),
        ("part of the magic", cut(3), not_zstd),
        ("the magic", cut(4), damaged),
        ("part of the frame header", cut(6), damaged),
        ("a quarter", cut(good.len() / 4), damaged),
        ("half", cut(good.len() / 2), damaged),
        ("all but the checksum", cut(good.len() - 4), damaged),
        ("all but the last byte", cut(good.len() - 1), damaged),
        ("a flipped bit in the magic", flipped(0), not_zstd),
        ("a flipped bit in the middle", flipped(good.len() / 2), damaged),
        ("a flipped bit in the checksum", flipped(good.len() - 1), damaged),
        ("a byte after the end", with_tail(b"x"), damaged),
        ("text after the end", with_tail(b"something else"), damaged),
        ("plain JSON", good_json(), "begins with 7b22"),
        ("a gzip file", vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0], "begins with 1f8b0800"),
    ];
    for (case, bytes, needle) in cases {
        check(case, "1.json.zst", &bytes, needle);
    }
}

/// The good bundle, edited as JSON.
fn edited(edit: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut bundle: Value = serde_json::from_slice(&good_json()).expect("JSON");
    edit(&mut bundle);
    serde_json::to_vec(&bundle).expect("JSON")
}

fn remove(object: &mut Value, key: &str) {
    let removed = object.as_object_mut().and_then(|object| object.remove(key));
    assert!(removed.is_some(), "the good bundle has no {key}");
}

/// The first value of an object.
fn first(object: &mut Value) -> &mut Value {
    object.as_object_mut().expect("an object").values_mut().next().expect("a value")
}

/// Changes one digit of byte `at` of a string of hexadecimal digits.
fn flip(hex: &mut Value, at: usize) {
    let mut text = hex.as_str().expect("a string").to_owned();
    let digit = 2 + 2 * at;
    let other = if text[digit..].starts_with('0') { "1" } else { "0" };
    text.replace_range(digit..=digit, other);
    *hex = text.into();
}

/// Keeps the first `length` bytes of a string of hexadecimal digits.
fn cut(hex: &mut Value, length: usize) {
    let text = hex.as_str().expect("a string");
    *hex = Value::from(&text[..2 + 2 * length]);
}

#[test]
fn a_missing_field_is_named() {
    for field in
        ["format", "chainId", "number", "block", "headerRlp", "transactionsRlp", "blockHashes"]
    {
        let needle = format!("missing field `{field}`");
        check(field, "1.json", &edited(|bundle| remove(bundle, field)), &needle);
    }
    let no_hash = edited(|bundle| remove(&mut bundle["block"], "hash"));
    check("block.hash", "1.json", &no_hash, "block: missing field `hash`");
    let no_withdrawals = edited(|bundle| remove(bundle, "withdrawals"));
    check("withdrawals", "1.json", &no_withdrawals, "withdrawals: missing");
    let no_state = edited(|bundle| remove(bundle, "prestate"));
    check("prestate", "1.json", &no_state, "prestate: missing");
}

/// A byte of `stateRoot` in the RLP of a header: behind a prefix of three bytes, two hashes and an
/// address, each with its own prefix.
const IN_STATE_ROOT: usize = 3 + 33 + 33 + 21 + 10;

#[test]
fn a_damaged_field_is_named() {
    type Damage = fn(&mut Value);
    let cases: [(&str, &str, Damage); 26] = [
        ("header", "headerRlp: block hash is ", |b| flip(&mut b["headerRlp"], IN_STATE_ROOT)),
        ("cut header", "headerRlp: ", |b| cut(&mut b["headerRlp"], 90)),
        ("header without digits", "headerRlp: ", |b| b["headerRlp"] = "0xno".into()),
        ("empty header", "headerRlp: ", |b| b["headerRlp"] = "0x".into()),
        ("hash", "headerRlp: block hash is ", |b| flip(&mut b["block"]["hash"], 5)),
        ("parent", "parentHeaderRlp: ", |b| flip(&mut b["parentHeaderRlp"], IN_STATE_ROOT)),
        ("cut tx", "transactionsRlp[0]: ", |b| cut(&mut b["transactionsRlp"][0], 20)),
        ("empty tx", "transactionsRlp[0]: ", |b| b["transactionsRlp"][0] = "0x".into()),
        ("list as tx", "transactionsRlp[0]: ", |b| b["transactionsRlp"][0] = "0xc0".into()),
        ("type of tx", "transactionsRlp[0]: ", |b| b["transactionsRlp"][0] = "0x7f01".into()),
        ("garbage tx", "transactionsRlp[0]: ", |b| b["transactionsRlp"][0] = "0xdeadbeef".into()),
        ("digits of tx", "transactionsRlp[0]: ", |b| b["transactionsRlp"][0] = "0x0".into()),
        ("number as tx", "transactionsRlp[0]: ", |b| b["transactionsRlp"][0] = 7.into()),
        ("ommer", "ommersRlp[0]: ", |b| b["ommersRlp"] = json!(["0xc0"])),
        ("code", "codes: the code under ", |b| flip(first(&mut b["codes"]), 0)),
        ("no codes", "prestate: code 0x", |b| b["codes"] = json!({})),
        ("balance", ".balance: ", |b| first(&mut b["prestate"])["balance"] = "much".into()),
        ("nonce", ".nonce: ", |b| first(&mut b["prestate"])["nonce"] = "0xno".into()),
        ("ancestor", "blockHashes.zero: ", |b| {
            b["blockHashes"]["zero"] = b["block"]["hash"].clone()
        }),
        ("parent's hash", "parentHash", |b| {
            let hash = b["block"]["hash"].clone();
            for known in b["blockHashes"].as_object_mut().expect("an object").values_mut() {
                *known = hash.clone();
            }
        }),
        ("number", "number: 12345 in the bundle", |b| b["number"] = 12_345.into()),
        ("negative chain", "chainId: ", |b| b["chainId"] = (-1).into()),
        ("unknown chain", "chainId: 999999 is not known", |b| {
            b["chainId"] = 999_999.into();
            remove(b, "config");
        }),
        ("other chain", "5 in its config", |b| b["config"]["chainId"] = 5.into()),
        ("config", "config: ", |b| b["config"] = json!({ "chainId": [] })),
        ("format", "format: \"mainnet-block-v2\"", |b| b["format"] = "mainnet-block-v2".into()),
    ];
    for (case, needle, edit) in cases {
        check(case, "1.json", &edited(edit), needle);
    }
}

#[test]
fn what_is_no_json_is_refused() {
    let good = good_json();
    let opening = b"[".repeat(DEPTH);
    let nested = [opening.clone(), b"]".repeat(DEPTH)].concat();
    let config = edited(|bundle| bundle["config"] = "HERE".into());
    let config = String::from_utf8(config).expect("JSON is UTF-8");
    let nested_text = String::from_utf8(nested.clone()).expect("brackets");
    let config = config.replacen("\"HERE\"", &nested_text, 1).into_bytes();
    let cases = [
        ("nothing", Vec::new(), "EOF"),
        ("text", b"no bundle".to_vec(), "expected"),
        ("zeros", vec![0; 64], "expected"),
        ("half", good[..good.len() / 2].to_vec(), "EOF"),
        ("another type", b"[]".to_vec(), "invalid length"),
        ("a letter after the end", [&good[..], b"x"].concat(), "after the end"),
        ("twice", [&good[..], &good[..]].concat(), "after the end"),
        ("open brackets", opening, "invalid type"),
        ("brackets", nested, "invalid type"),
        ("brackets in a field", config, "recursion limit"),
    ];
    for (case, bytes, needle) in cases {
        check(case, "1.json", &bytes, needle);
    }
}

#[test]
fn one_bad_file_does_not_hide_the_others() {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), "1.json.zst", &compressed());
    write(folder.path(), "2.json", b"{}");
    let done = finish(&mut replay(folder.path(), &[folder.path()]));
    assert_eq!((done.code, done.totals()), (Some(2), [1, 0, 0, 1]), "{done:?}");

    // A difference says more than a file that cannot be read.
    let mut changed = GOOD.clone();
    let state = changed.state.as_mut().expect("a pre-state");
    state.is_complete = true;
    state.accounts.entry(fugue_types::Address::repeat_byte(0x77)).or_default().nonce += 1;
    write(folder.path(), "3.json", &changed.to_json("changed").expect("JSON"));
    let done = finish(&mut replay(folder.path(), &[folder.path()]));
    assert_eq!((done.code, done.totals()), (Some(1), [1, 1, 0, 1]), "{done:?}");
}

#[test]
fn no_change_of_one_byte_makes_the_program_panic() {
    let good = good_json();
    for seed in [SEED, drawn_seed()] {
        let mut rng = Rng::new(seed);
        let again = format!(
            "FUGUE_SEED={seed} cargo nextest run --release -p fugue-tests no_change_of_one_byte"
        );
        for batch in 0..MUTATIONS / BATCH {
            check_mutations(&good, &mut rng, &format!("batch {batch}, again: {again}"));
        }
    }
}

/// Replays a batch of files with one byte changed in each.
fn check_mutations(good: &[u8], rng: &mut Rng, batch: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut changes = Vec::with_capacity(BATCH);
    for index in 0..BATCH {
        let mut bytes = good.to_vec();
        let at = rng.index(bytes.len());
        let [byte, ..] = rng.draw().to_le_bytes();
        bytes[at] = byte;
        write(folder.path(), &format!("{index}.json"), &bytes);
        changes.push((at, byte));
    }
    let done = finish(replay(folder.path(), &[folder.path()]).args(["--repro", "found"]));
    let told = format!("{batch}, byte and value by file: {changes:?}: {done:?}");
    assert!(!done.stderr.contains("panicked"), "{told}");
    assert!(matches!(done.code, Some(0..=2)), "{told}");
    assert_eq!(done.totals().iter().sum::<usize>(), BATCH, "{told}");
}
