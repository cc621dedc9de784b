//! `fugue bench simulate` as its users see it. No time is compared with another.

use crate::{
    bench_cli::{is_empty, number},
    support::{Done, finish, program, root},
};
use serde_json::{Value, json};
use std::{path::Path, process::Command};

/// Rules by which blocks are scheduled.
const RULES: [&str; 3] = ["blockOrder", "lazyBalances", "heaviestFirst"];

/// `fugue bench simulate` in a folder.
fn simulate(folder: &Path, arguments: &[&str]) -> Done {
    let mut command = Command::new(program());
    command.current_dir(folder).args(["bench", "simulate", "--rounds", "3"]).args(arguments);
    finish(&mut command)
}

/// What must hold of every prediction for a mode, for so many cores and for as many as help.
fn check_simulation(object: &Value, mode: &str, rules: &[&str], cores: &[u64]) {
    assert_eq!((&object["type"], &object["mode"]), (&json!("bench-simulate"), &json!(mode)));
    assert_eq!(object["rounds"], 3);
    // Lanes give up where too much depends on others, which is a matter of luck.
    let fallbacks = number(object, "/fallbacks");
    assert!(fallbacks == 0.0 || ["lanes", "auto"].contains(&mode), "{object}");
    assert_eq!(object["outcomesEqual"], true, "{object}");
    for pointer in ["/transactionsMs", "/seqMs", "/oneMs", "/twoMs"] {
        assert!(number(object, &format!("/measured{pointer}")) > 0.0, "{pointer}: {object}");
    }
    assert!(number(object, "/measured/crowding") >= 1.0, "{object}");
    let ways = object["ways"].as_object().expect("ways");
    let count: u64 = ways.values().filter_map(Value::as_u64).sum();
    assert_eq!(json!(count), object["workload"]["blocks"], "{object}");
    for way in ways.keys().map(String::as_str).chain(["seq"]) {
        let at = |name: &str| number(object, &format!("/overhead/{way}/{name}"));
        assert!(at("perBlockMicros") >= 0.0, "{object}");
        at("perTxMicros");
        assert!(at("settlingPerTxMicros") >= 0.0, "{object}");
        assert!(way == "lanes" || at("settlingPerTxMicros") == 0.0, "{object}");
    }
    let predictions = object["predictions"].as_array().expect("predictions");
    let keys: Vec<_> = predictions
        .iter()
        .map(|prediction| (prediction["cores"].as_u64(), prediction["rule"].as_str()))
        .collect();
    let counts = cores.iter().copied().map(Some).chain([None]);
    let expected: Vec<_> =
        counts.flat_map(|count| rules.iter().map(move |rule| (count, Some(*rule)))).collect();
    assert_eq!(keys, expected);
    let alone = number(object, "/measured/transactionsMs");
    for prediction in predictions {
        let at = |name: &str| number(prediction, &format!("/{name}"));
        // As long as all one after the other, at most, and no faster than by as many as there are.
        assert!(at("idealMs") <= alone * 1.001 && at("ms") > 0.0, "{prediction}");
        let most = prediction["cores"].as_u64().map_or(f64::INFINITY, |cores| cores as f64);
        assert!((0.999..=most * 1.001).contains(&at("idealSpeedUp")), "{prediction}");
        assert!(at("speedUp") > 0.0, "{prediction}");
    }
    let checks = object["checks"].as_array().expect("checks");
    let keys: Vec<_> = checks
        .iter()
        .map(|check| (check["cores"].as_u64(), check["mode"].as_str(), check["rule"].as_str()))
        .collect();
    type Key<'k> = (Option<u64>, Option<&'k str>, Option<&'k str>);
    let mut expected: Vec<Key<'_>> =
        vec![(Some(1), Some("seq"), None), (Some(1), Some(mode), None)];
    expected.extend(rules.iter().map(|rule| (Some(2), Some(mode), Some(*rule))));
    assert_eq!(keys, expected);
    for check in checks {
        let at = |name: &str| number(check, &format!("/{name}"));
        assert!(at("predictedMs") > 0.0 && at("measuredMs") > 0.0, "{check}");
        let error = (at("predictedMs") / at("measuredMs") - 1.0) * 100.0;
        assert!((at("errorPercent") - error).abs() < 0.01, "{check}");
        assert!(at("blockErrorPercent") >= 0.0, "{check}");
    }
}

#[test]
fn generated_blocks_are_predicted_for_other_numbers_of_cores() {
    let folder = tempfile::tempdir().expect("a folder");
    let size = ["--accounts", "1000", "--blocks", "4", "--txs", "40", "--dir", "within"];
    let told = ["--mode", "occ", "--cores", "8,2,1,2", "--json", "-"];
    let done = simulate(folder.path(), &[&size[..], &told].concat());
    assert_eq!(done.code, Some(0), "{done:?}");
    is_empty(&folder.path().join("within"));
    let object: Value = serde_json::from_str(&done.stdout).expect("an object");
    check_simulation(&object, "occ", &RULES, &[1, 2, 8]);
    assert_eq!(object["ways"], json!({ "occ": 4 }));
    assert_eq!(object["workload"]["kind"], "generated");
    assert_eq!(
        (&object["workload"]["blocks"], &object["workload"]["txs"]),
        (&json!(4), &json!(160))
    );
}

#[test]
fn recorded_blocks_are_predicted_as_a_text_and_as_an_object() {
    let folder = tempfile::tempdir().expect("a folder");
    let bundles = root().join("testdata/bundles/blocks/defi-*-london-*.json.zst");
    let bundles = ["--mode", "occ", "--bundles", bundles.to_str().expect("UTF-8")];
    let done = simulate(folder.path(), &[&bundles[..], &["--json", "found.json"]].concat());
    assert_eq!(done.code, Some(0), "{done:?}");
    let object = std::fs::read(folder.path().join("found.json")).expect("an object");
    let object: Value = serde_json::from_slice(&object).expect("an object");
    check_simulation(&object, "occ", &RULES, &[1, 2, 4, 8, 16, 32, 64]);
    assert_eq!(object["workload"]["kind"], "bundles");
    assert_eq!(object["workload"]["partial"], 0);
    for needle in ["2 threads on ", "bundles: ", "heaviest first", "check      2 of occ", "equal"] {
        assert!(done.stdout.contains(needle), "{needle}: {done:?}");
    }
    let rows = done.stdout.lines().filter(|line| line.contains(" ms  "));
    assert!(rows.count() >= 8, "{done:?}");
}

#[test]
fn each_mode_is_predicted_by_what_it_costs_and_by_who_waits_in_it() {
    let folder = tempfile::tempdir().expect("a folder");
    // Calls enough that `auto` wakes a second thread, and by which it does not.
    let sizes = ["--accounts", "1000", "--blocks", "3", "--dir", "within", "--cores", "1,2,4"];
    let of = |mode: &str, txs: &str| -> Value {
        let told = ["--mode", mode, "--txs", txs, "--json", "-"];
        let done = simulate(folder.path(), &[&sizes[..], &told].concat());
        assert_eq!(done.code, Some(0), "{mode}: {done:?}");
        serde_json::from_str(&done.stdout).expect("an object")
    };
    for (mode, txs, rules, way) in [
        ("lanes", "40", &RULES[..], "lanes"),
        ("bal", "40", &["independent"][..], "bal"),
        ("auto", "200", &RULES[..], "lanes"),
        ("auto", "10", &RULES[..], "seq"),
    ] {
        let object = of(mode, txs);
        check_simulation(&object, mode, rules, &[1, 2, 4]);
        assert_eq!(object["ways"], json!({ way: 3 }), "{mode}, {txs}");
        // One after the other, on however many cores.
        let speed_ups = object["predictions"].as_array().expect("predictions").iter();
        let most = speed_ups.map(|found| number(found, "/idealSpeedUp")).fold(0.0, f64::max);
        assert_eq!(most > 1.001, way != "seq", "{mode}, {txs}: {most}");
    }
}

#[test]
fn a_simulation_of_another_mode_is_a_text_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let bundles = root().join("testdata/bundles/blocks/defi-*-london-*.json.zst");
    let bundles = ["--bundles", bundles.to_str().expect("UTF-8"), "--mode"];
    let cases: [(&str, &[&str]); 3] = [
        ("lanes", &["overhead   lanes ", " us when all have run", "check      2 of lanes "]),
        ("bal", &["all at once", "check      1 of bal ", "check      2 of bal all at once"]),
        ("auto", &["ways       ", "check      2 of auto ", "the way of each block costs"]),
    ];
    for (mode, needles) in cases {
        let done = simulate(folder.path(), &[&bundles[..], &[mode]].concat());
        assert_eq!(done.code, Some(0), "{mode}: {done:?}");
        for needle in needles {
            assert!(done.stdout.contains(needle), "{mode}, {needle}: {done:?}");
        }
    }
}

#[test]
fn a_simulation_says_what_it_cannot_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let cases: [(&[&str], &str); 6] = [
        (&["--mode", "seq"], "--mode seq"),
        (&["--mode", "both"], "both"),
        (&["--bundles", "nothing.json"], "nothing.json: no such file"),
        (&["--cores", "0"], "--cores"),
        (&["--rounds", "0"], "--rounds"),
        (&["--bundles", "nothing.json", "--txs", "9"], "--txs"),
    ];
    for (arguments, needle) in cases {
        let mut command = Command::new(program());
        command.current_dir(folder.path()).args(["bench", "simulate"]).args(arguments);
        let done = finish(&mut command);
        assert_eq!(done.code, Some(2), "{arguments:?}: {done:?}");
        assert!(done.stderr.contains(needle), "{arguments:?}: {done:?}");
    }
}
