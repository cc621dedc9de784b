//! Blocks that are whole and well-formed, with values at the ends of their ranges.

use crate::support::{finish, in_time, replay, small_bundle};
use fugue_archive::Bundle;
use fugue_chainspec::Fork;
use fugue_types::{B256, Block, Bytes, Header, SealedBlock, U256};

type Change = fn(&mut Header);

const CHANGES: [(&str, Change); 17] = [
    ("gas limit 0", |h| h.gas_limit = 0),
    ("gas limit max", |h| h.gas_limit = u64::MAX),
    ("gas used max", |h| h.gas_used = u64::MAX),
    ("timestamp 0", |h| h.timestamp = 0),
    ("timestamp max", |h| h.timestamp = u64::MAX),
    ("number 0", |h| h.number = 0),
    ("number max", |h| h.number = u64::MAX),
    ("base fee 0", |h| h.base_fee_per_gas = Some(0)),
    ("base fee max", |h| h.base_fee_per_gas = Some(u64::MAX)),
    ("no base fee", |h| h.base_fee_per_gas = None),
    ("excess blob gas max", |h| h.excess_blob_gas = Some(u64::MAX)),
    ("blob gas used max", |h| h.blob_gas_used = Some(u64::MAX)),
    ("no beacon root", |h| h.parent_beacon_block_root = None),
    ("difficulty max", |h| h.difficulty = U256::MAX),
    ("long extra data", |h| h.extra_data = Bytes::from(vec![7; 1 << 20])),
    ("other requests", |h| h.requests_hash = Some(B256::ZERO)),
    ("no withdrawals root", |h| h.withdrawals_root = None),
];

/// The bundle with a changed header that hashes to what is announced, and without its parent.
fn changed(bundle: &Bundle, change: Change) -> Bundle {
    let Block { mut header, body } = bundle.block.block().clone();
    change(&mut header);
    Bundle { block: SealedBlock::seal(Block { header, body }), parent: None, ..bundle.clone() }
}

#[test]
fn extreme_headers_are_answered_not_crashed_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let sources = folder.path().join("bundles");
    std::fs::create_dir(&sources).expect("a folder");
    let good = small_bundle(|bundle| bundle.block.block().header.requests_hash.is_some());
    for (name, change) in CHANGES {
        let json = changed(&good, change).to_json(&Fork::Prague.to_string()).expect("JSON");
        std::fs::write(sources.join(format!("{name}.json")), json).expect("written");
    }
    let path = folder.path().to_owned();
    let done = in_time("extreme headers", move || finish(&mut replay(&path, &[&sources])));
    assert!(!done.stderr.contains("panicked"), "{}", done.stderr);
    assert_eq!(done.code, Some(1), "{done:?}");
    let [equal, different, partial, unreadable] = done.totals();
    assert_eq!(equal + different + partial + unreadable, CHANGES.len());
    // A timestamp or a number that the transactions do not look at changes nothing they do; every
    // other change is noticed.
    assert!(different + unreadable >= CHANGES.len() - 4, "{}", done.stdout);
    assert!(!done.stdout.contains("ended early: internal"), "{}", done.stdout);
}
