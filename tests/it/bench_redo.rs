//! `fugue bench redo` as its users see it. No time is compared with another.

use crate::{
    bench_cli::number,
    support::{Done, bundle_files, finish, generated, program},
};
use serde_json::{Value, json};
use std::{path::Path, process::Command};

/// Kinds of work, each of which has the one before it.
const KINDS: [&str; 3] = ["fed", "guarded", "afterRead"];

/// `fugue bench redo` in a folder.
fn redo(folder: &Path, arguments: &[&str]) -> Done {
    let mut command = Command::new(program());
    command.current_dir(folder).args(["bench", "redo", "--threads", "2"]).args(arguments);
    finish(&mut command)
}

/// The object of a good run, of which each group was checked.
fn object(folder: &Path, arguments: &[&str]) -> Value {
    let done = redo(folder, &[arguments, &["--json", "-"]].concat());
    assert_eq!(done.code, Some(0), "{done:?}");
    let object: Value = serde_json::from_str(&done.stdout).expect("an object");
    assert_eq!(object["type"], "bench-redo");
    groups(&object).iter().for_each(check);
    object
}

fn groups(object: &Value) -> &[Value] {
    object["groups"].as_array().expect("groups")
}

/// What must hold of every group.
fn check(group: &Value) {
    let at = |pointer: &str| number(group, pointer);
    assert!(at("/keepPathTxs") <= at("/disturbedTxs"), "{group}");
    assert!(at("/disturbedTxs") <= at("/txs"), "{group}");
    assert!(at("/recordedRatio") > 0.0 && at("/followedRatio") > 0.0, "{group}");
    if at("/disturbedTxs") > 0.0 {
        assert!(at("/changedReads") >= at("/disturbedTxs"), "{group}");
        for unit in ["stepsPercent", "gasPercent"] {
            let shares = KINDS.map(|kind| number(&group["work"], &format!("/{kind}/{unit}")));
            assert!(shares.is_sorted() && shares[2] <= 100.0, "{group}");
        }
    }
    let spared = KINDS.map(|kind| at(&format!("/sparedPercent/{kind}")));
    let most = at("/disturbedPercent") * 1.001;
    assert!(spared.iter().rev().is_sorted() && spared[0] <= most, "{group}");
    assert!(at("/sparedPercent/fedOnPath") <= spared[0], "{group}");
    let runs = &group["runs"][0];
    assert_eq!(runs["threads"], 2);
    let lost: f64 = runs["lostMs"].as_object().expect("causes").values().map(ms).sum();
    let [total, percent] = ["/occMs", "/lostPercent"].map(|pointer| number(runs, pointer));
    assert!((lost / total * 100.0 - percent).abs() < 0.01, "{runs}");
    let [waited, redo] =
        ["/waitedPercent", "/redoSparesPercent"].map(|pointer| number(runs, pointer));
    assert!(waited + redo <= percent + 0.01, "{runs}");
}

fn ms(value: &Value) -> f64 {
    value.as_f64().expect("a number")
}

#[test]
fn swaps_in_one_pool_disturb_one_another_and_swaps_apart_do_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let arguments =
        ["--workloads", "swaps-1,swaps-each,transfers", "--gas", "1000000", "--rounds", "2"];
    let object = object(folder.path(), &[&arguments[..], &["--conflicts", "0"]].concat());
    let of = |name: &str| {
        let group = groups(&object).iter().find(|group| group["workload"] == name);
        group.unwrap_or_else(|| panic!("no {name}"))
    };
    let pool = of("swaps-1");
    assert_eq!(number(pool, "/disturbedTxs"), number(pool, "/txs") - 1.0, "{pool}");
    // The price is computed anew, and what does not depend on it is not.
    let fed = number(&pool["work"], "/fed/gasPercent");
    assert!(0.0 < fed && fed < 100.0, "{pool}");
    assert!(number(pool, "/guards") > 0.0, "{pool}");
    for name in ["swaps-each", "transfers"] {
        assert_eq!(number(of(name), "/disturbedTxs"), 0.0, "{name}");
        assert_eq!(number(of(name), "/sparedPercent/fed"), 0.0, "{name}");
    }
}

#[test]
fn recorded_blocks_of_every_fork_are_measured() {
    let folder = tempfile::tempdir().expect("a folder");
    let files = bundle_files(&generated());
    let bundles = generated();
    let bundles = bundles.to_str().expect("a name");
    let arguments = ["--workloads", "bundles", "--bundles", bundles, "--rounds", "1"];
    let object = object(folder.path(), &arguments);
    assert_eq!(object["leftOut"], json!([]));
    let [group] = groups(&object) else { panic!("not one group: {object}") };
    assert_eq!(group["blocks"], files.len(), "{group}");
    assert!(number(group, "/disturbedTxs") > 0.0, "{group}");
    assert!(number(group, "/keepPathTxs") > 0.0, "{group}");
}

#[test]
fn the_text_has_what_the_object_has() {
    let folder = tempfile::tempdir().expect("a folder");
    let arguments = ["--workloads", "swaps-1", "--gas", "200000", "--rounds", "1"];
    let done = redo(folder.path(), &arguments);
    assert_eq!(done.code, Some(0), "{done:?}");
    for needle in ["swaps-1: 1 blocks", "disturbed", "fedOnPath", "lost by cause", "lanes:"] {
        assert!(done.stdout.contains(needle), "{needle}: {done:?}");
    }
    let done = redo(folder.path(), &["--workloads", "swaps-2"]);
    assert_eq!((done.code, done.stdout.as_str()), (Some(2), ""), "{done:?}");
}
