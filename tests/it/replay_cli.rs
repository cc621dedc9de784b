//! `fugue replay` as its users see it: exit codes, the table, JSON lines, and the folder that
//! reproduces a difference.

use crate::support::{Case, Done, bundle_files, finish, generated, program, replay, small_bundle};
use fugue_archive::{Bundle, PreAccount, PreState, write_zstd};
use fugue_executor::Executor;
use fugue_types::{Address, Block, SealedBlock, U256};
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

#[test]
fn generated_bundles_replay_equally_in_both_modes() {
    let folder = tempfile::tempdir().expect("a folder");
    let count = bundle_files(&generated()).len();
    let done = finish(replay(folder.path(), &[&generated()]).args(["--mode", "both"]));
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(done.totals(), [count, 0, 0, 0]);
    let last: Vec<&str> = done.stdout.lines().rev().take(2).collect();
    let [notes, total] = last[..] else { panic!("a table was expected: {done:?}") };
    assert!(notes.contains("; 2 threads on "), "{notes}");
    assert!(total.trim_start().starts_with(&format!("total  {count} blocks")), "{total}");
    // A heading, a line for each block, two lines of totals.
    assert_eq!(done.stdout.lines().count(), count + 3);
    let left: Vec<_> = folder.path().read_dir().expect("the folder").collect();
    assert!(left.is_empty(), "a good run writes nothing: {left:?}");
}

#[test]
fn every_mode_runs_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = &bundle_files(&generated())[0];
    for mode in ["seq", "occ", "bal", "lanes", "auto"] {
        let done = finish(replay(folder.path(), &[file]).args(["--mode", mode]));
        assert_eq!(done.code, Some(0), "{mode}: {done:?}");
        assert_eq!(done.totals(), [1, 0, 0, 0], "{mode}");
    }
}

/// Standard output, each line of it one value.
fn json_lines(done: &Done) -> Vec<Value> {
    let value = |line: &str| -> Value {
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
    };
    done.stdout.lines().map(value).collect()
}

#[test]
fn json_lines_end_with_a_summary_that_adds_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let files = bundle_files(&generated());
    let files: Vec<&Path> = files.iter().step_by(9).map(PathBuf::as_path).collect();
    let done = finish(replay(folder.path(), &files).args(["--json", "-"]));
    assert_eq!(done.code, Some(0), "{done:?}");
    let lines = json_lines(&done);
    let (summary, blocks) = lines.split_last().expect("lines");
    assert_eq!(summary["type"], "summary");
    assert_eq!(blocks.len(), files.len());
    for block in blocks {
        assert_eq!(block["type"], "block");
        assert_eq!(block["verdict"], "equal", "{block}");
        assert_eq!(block["occ"]["threads"], 2);
        assert!(block["occ"]["memoryBytes"].as_u64() > Some(0), "{block}");
        assert_eq!(block["occ"]["givenUp"], Value::Null, "{block}");
        let checked = block["checked"].as_array().expect("a list");
        for field in ["hash", "transactionsRoot", "gasUsed", "receiptsRoot", "stateRoot"] {
            assert!(checked.iter().any(|checked| checked == field), "{field}: {block}");
        }
    }

    let number = |pointer: &str| summary.pointer(pointer).and_then(Value::as_u64);
    let sum = |pointer: &str| {
        let number = |block: &Value| block.pointer(pointer).and_then(Value::as_u64);
        let numbers = blocks.iter().map(|block| number(block).expect("a number in each block"));
        Some(numbers.sum::<u64>())
    };
    assert_eq!(number("/blocks"), Some(files.len() as u64));
    assert_eq!(number("/equal"), number("/blocks"));
    for zero in ["/different", "/partial", "/unreadable", "/fallbacks", "/lanesGivenUp"] {
        assert_eq!(number(zero), Some(0), "{zero}");
    }
    assert_eq!(number("/txs"), sum("/txs"));
    assert_eq!(number("/executedTxs"), sum("/txs"));
    assert_eq!(number("/gasUsed"), sum("/gasUsed"));
    assert_eq!(number("/runs"), sum("/occ/runs"));
    assert_eq!(number("/reExecutedTxs"), sum("/occ/reExecutedTxs"));
    assert!(number("/runs") >= number("/executedTxs"), "each transaction runs: {summary}");
    assert_eq!(summary["modes"], serde_json::json!(["seq", "occ"]));
}

#[test]
fn blocks_are_explained_where_that_is_asked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let files = bundle_files(&generated());
    let files: Vec<&Path> = files.iter().step_by(7).map(PathBuf::as_path).collect();
    let options = ["--explain", "--json", "-", "--mode", "all"];
    let done = finish(replay(folder.path(), &files).args(options));
    assert_eq!(done.code, Some(0), "{done:?}");
    let mut in_lanes = 0;
    let lines = json_lines(&done);
    let (_, blocks) = lines.split_last().expect("lines");
    assert_eq!(blocks.len(), files.len());
    for block in blocks {
        let explained = &block["explained"];
        assert_eq!(explained["blockHash"], block["hash"]);
        let txs = explained["transactions"].as_array().expect("transactions");
        assert_eq!(Some(txs.len() as u64), block["txs"].as_u64());
        let number = |pointer: &str| {
            let found = explained.pointer(pointer).and_then(Value::as_u64);
            found.unwrap_or_else(|| panic!("no number at {pointer}: {explained}"))
        };
        for unit in ["gas", "nanoseconds"] {
            let [path, total] =
                ["criticalPath", "total"].map(|of| number(&format!("/{unit}/{of}")));
            assert!(path <= total && (path > 0) != txs.is_empty(), "{unit}: {explained}");
        }
        let runs = explained["runs"].as_array().expect("a list");
        let mut modes: Vec<_> = runs.iter().map(|run| run["mode"].as_str()).collect();
        // Modes take turns at going first.
        modes.sort_unstable();
        assert_eq!(modes, [Some("auto"), Some("lanes"), Some("occ")]);
        for run in runs {
            let mode = run["mode"].as_str().unwrap_or_default();
            let is_sequential = run["way"].as_str().is_some_and(|way| way.starts_with("seq"));
            if is_sequential || !run["fallback"].is_null() {
                continue;
            }
            in_lanes += usize::from(run["way"] == "lanes");
            // Runs are those of the report.
            assert_eq!(run["runs"], block[mode]["runs"], "{run}");
            let lost = run["lostNanoseconds"].as_u64();
            assert_eq!(lost.is_none(), txs.is_empty(), "{run}");
            assert!(lost <= run["nanoseconds"].as_u64(), "{run}");
            let again = run["transactions"].as_array().expect("a list");
            assert_eq!(Some(again.len() as u64), block[mode]["reExecutedTxs"].as_u64());
            for tx in again {
                let reruns = tx["reruns"].as_array().expect("a list").len() as u64;
                assert_eq!(tx["runs"].as_u64(), Some(reruns + 1), "{tx}");
            }
        }
    }
    assert!(in_lanes > 0, "no block ran in lanes");

    // Without a parallel run there is nothing to tell of it, and without the option nothing at all.
    let json = ["--json", "-"];
    let done =
        finish(replay(folder.path(), &files[..1]).args(json).args(["--explain", "--mode", "seq"]));
    let block = &json_lines(&done)[0];
    assert!(block["explained"]["gas"].is_object());
    assert_eq!(block["explained"]["runs"], Value::Array(Vec::new()));
    let done = finish(replay(folder.path(), &files[..1]).args(json));
    assert!(json_lines(&done)[0].get("explained").is_none());

    // As text, it stands before the table.
    let done = finish(replay(folder.path(), &files[..1]).arg("--explain"));
    assert!(done.stdout.starts_with("block "), "{done:?}");
    assert!(done.stdout.contains("on 16 cores"), "{done:?}");
    assert_eq!(done.totals(), [1, 0, 0, 0]);
}

#[test]
fn json_lines_go_to_a_file_beside_the_table() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = &bundle_files(&generated())[0];
    let done = finish(replay(folder.path(), &[file]).args(["--json", "report.jsonl"]));
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(done.totals(), [1, 0, 0, 0]);
    let report = std::fs::read_to_string(folder.path().join("report.jsonl")).expect("a report");
    assert_eq!(report.lines().count(), 2);
}

#[test]
fn a_file_that_cannot_be_read_has_its_json_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let bad = folder.path().join("bad.json");
    std::fs::write(&bad, "{}").expect("a written file");
    let done = finish(replay(folder.path(), &[&bad]).args(["--json", "-"]));
    assert_eq!(done.code, Some(2), "{done:?}");
    let lines = json_lines(&done);
    let [line, summary] = &lines[..] else { panic!("two lines were expected: {done:?}") };
    assert_eq!(line["type"], "unreadable");
    assert_eq!(line["file"].as_str(), bad.to_str());
    assert_eq!((&summary["blocks"], &summary["unreadable"]), (&Value::from(0), &Value::from(1)));
}

#[test]
fn bad_usage_ends_with_code_2_and_says_what_is_wrong() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("empty")).expect("a folder");
    let cases: [(&[&str], &str); 12] = [
        (&[], "Usage"),
        (&["dance"], "dance"),
        (&["replay"], "SOURCE"),
        (&["replay", "--sideways", "empty"], "--sideways"),
        (&["replay", "nothing.json"], "nothing.json: no such file"),
        (&["replay", "no-*.json"], "no-*.json: no such file"),
        (&["replay", "empty"], "empty: no bundle in it"),
        (&["replay", "empty", "--threads", "0"], "--threads"),
        (&["replay", "empty", "--mode", "backwards"], "backwards"),
        (&["replay", "--datadir", "empty", "--explain"], "--explain"),
        (&["replay", "empty", "--rounds", "0"], "--rounds"),
        (&["spectest", "empty", "--seed", "1"], "--turns"),
    ];
    for (arguments, needle) in cases {
        let done = finish(Command::new(program()).current_dir(folder.path()).args(arguments));
        assert_eq!(done.code, Some(2), "{arguments:?}: {done:?}");
        assert!(done.stderr.contains(needle), "{arguments:?}: {done:?}");
        assert_eq!(done.stdout, "", "{arguments:?}");
    }
}

fn account(state: &mut PreState, address: Address) -> &mut PreAccount {
    state.accounts.get_mut(&address).expect("a sender exists")
}

#[test]
fn a_difference_is_named_and_its_folder_reproduces_it() {
    // A change of the pre-state, of the account of the first sender.
    type Change = fn(&mut PreState, Address);
    let cases: [(&str, Change); 3] = [
        ("no ether", |state, sender| account(state, sender).balance = U256::ZERO),
        ("a wei more", |state, sender| account(state, sender).balance += U256::from(1)),
        ("a slot", |state, sender| {
            account(state, sender).storage.insert(U256::from(7), U256::from(1));
        }),
    ];
    for (name, edit) in cases {
        check_repro(name, edit);
    }
}

fn check_repro(name: &str, edit: fn(&mut PreState, Address)) {
    let mut bundle = small_bundle(|bundle| {
        let block = bundle.block.block();
        let is_whole = bundle.state.as_ref().is_some_and(|state| state.is_complete);
        let has_price = block.header.base_fee_per_gas.is_some();
        is_whole && has_price && !block.body.transactions.is_empty()
    });
    let executor = Executor::new(1).expect("threads");
    let sender = Case::new(&bundle, &executor).block.senders()[0];
    edit(bundle.state.as_mut().expect("a pre-state"), sender);
    let number = bundle.block.block().header.number;
    let hash = bundle.block.hash().to_string();

    let folder = tempfile::tempdir().expect("a folder");
    let at = |path: &str| folder.path().join(path);
    let json = bundle.to_json("changed").expect("JSON");
    write_zstd(&at("changed.json.zst"), &json, 3).expect("a written file");
    let changed = at("changed.json.zst");
    let done = finish(replay(folder.path(), &[&changed]).args(["--repro", "found"]));
    let first = first_difference(name, &done, &at("found"));
    let field = first["field"].as_str().expect("a field");
    let line = done.stderr.lines().find(|line| line.starts_with(&format!("block {number} (")));
    let line = line.unwrap_or_else(|| panic!("{name}: the block is not named: {done:?}"));
    assert!(line.contains(&hash) && line.contains(field), "{name}: {line}");
    assert!(done.stdout.contains("DIFFERENT"), "{name}: {done:?}");
    assert_eq!(done.totals(), [0, 1, 0, 0], "{name}");

    let repro = at("found").join(format!("{number}-{}", &hash[..10]));
    let bundle = repro.join(format!("{number}.json.zst"));
    let again = finish(replay(folder.path(), &[&bundle]).args(["--repro", "again"]));
    assert_eq!(first_difference(name, &again, &at("again")), first, "{name}");

    // The command in the folder finds the program on the path.
    let program = program();
    let own = program.parent().expect("a folder").to_owned();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths([own].into_iter().chain(std::env::split_paths(&path)));
    let mut shell = Command::new("sh");
    shell.arg(repro.join("rerun.sh")).env("PATH", path.expect("a path"));
    let rerun = finish(shell.current_dir(folder.path()));
    assert_eq!(first_difference(name, &rerun, &repro.join("fugue-repro")), first, "{name}");
}

/// The first difference in the only folder that the run wrote into `parent`.
fn first_difference(name: &str, done: &Done, parent: &Path) -> Value {
    assert_eq!(done.code, Some(1), "{name}: {done:?}");
    let folders = parent.read_dir().unwrap_or_else(|error| panic!("{name}: {error}: {done:?}"));
    let folders: Vec<PathBuf> =
        folders.map(|entry| entry.expect("a readable folder").path()).collect();
    let [folder] = &folders[..] else { panic!("{name}: one folder was expected: {folders:?}") };
    let named = folder.to_string_lossy().into_owned();
    // The last part of the name is printed, whether or not what is before it is relative.
    let tail = named.rsplit('/').next().unwrap_or_default();
    assert!(done.stderr.contains(tail), "{name}: {tail} is not named: {done:?}");
    assert!(folder.join("rerun.sh").is_file(), "{name}: {named} has no command");
    let text = std::fs::read(folder.join("divergence.json")).expect("the differences");
    let differences: Value = serde_json::from_slice(&text).expect("JSON");
    differences.get(0).cloned().unwrap_or_else(|| panic!("{name}: no difference in {named}"))
}

#[test]
fn a_block_on_which_the_modes_agree_is_not_made_smaller() {
    let bundle = small_bundle(|bundle| !bundle.block.block().body.transactions.is_empty());
    // Its header promises gas that no mode uses.
    let Block { mut header, body } = bundle.block.block().clone();
    header.gas_used += 1;
    let block = SealedBlock::seal(Block { header, body });
    let json = Bundle { block, ..bundle }.to_json("changed").expect("JSON");
    let folder = tempfile::tempdir().expect("a folder");
    let changed = folder.path().join("changed.json.zst");
    write_zstd(&changed, &json, 3).expect("a written file");
    let run = |more: &[&str]| {
        finish(replay(folder.path(), &[&changed]).args(["--json", "-", "--minimise"]).args(more))
    };
    let done = run(&["--minimise-tries", "3"]);
    assert_eq!(done.code, Some(1), "{done:?}");
    let said = "not minimised: the modes agree on it, 3 times";
    assert!(done.stderr.contains(said), "{done:?}");
    let lines = json_lines(&done);
    assert_eq!(lines[0]["minimal"], Value::Null);
    assert!(lines[0]["repro"].is_string(), "it is written as it is: {}", lines[0]);

    let bad: [(&[&str], &str); 3] = [
        (&["--mode", "occ"], "--mode both"),
        (&["--minimise-tries", "0"], "--minimise-tries"),
        (&["--datadir", "data"], "--datadir"),
    ];
    for (arguments, needle) in bad {
        let done = run(arguments);
        assert_eq!(done.code, Some(2), "{arguments:?}: {done:?}");
        assert!(done.stderr.contains(needle), "{arguments:?}: {done:?}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let folder = tempfile::tempdir().expect("a folder");
    for json in [&[][..], &["--json", "-"]] {
        let mut command = replay(folder.path(), &[&generated()]);
        let command = command.args(json).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::piped()).spawn().expect("the program starts");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("the program ends");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{stderr}");
        assert!(!stderr.contains("panicked"), "{stderr}");
    }
}
