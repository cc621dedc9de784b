//! `fugue bench` as its users see it: what it says, and that it leaves nothing behind. No time is
//! compared with another. `rpc` and `simulate` have files of their own.

use crate::support::{Done, finish, generated, program, recorded};
use fugue_archive::write_rlp;
use fugue_chainspec::Fork;
use fugue_state::{MemoryAccount, MemoryState};
use fugue_workload::{BuiltChain, build_chain, scenarios::defi};
use serde_json::{Map, Value, json};
use std::{path::Path, process::Command};

/// Parts of a run whose rates are told.
const RATED: [&str; 4] = ["P", "P+R", "P+R+D", "total"];

/// `fugue bench` with two threads, which works in a folder within `folder`.
pub(crate) fn bench(folder: &Path, arguments: &[&str]) -> Done {
    let mut command = Command::new(program());
    command.current_dir(folder).arg("bench").args(arguments);
    finish(command.args(["--threads", "2", "--dir", "within"]))
}

/// The object that a good run prints, and nothing is left of what it worked on.
pub(crate) fn object(folder: &Path, arguments: &[&str]) -> Value {
    let done = bench(folder, &[arguments, &["--json", "-"]].concat());
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(done.stdout.lines().count(), 1, "{done:?}");
    is_empty(&folder.join("within"));
    serde_json::from_str(&done.stdout).unwrap_or_else(|error| panic!("{error}: {done:?}"))
}

pub(crate) fn is_empty(folder: &Path) {
    let left: Vec<_> = folder.read_dir().expect("a folder").collect();
    assert!(left.is_empty(), "{left:?}");
}

pub(crate) fn number(value: &Value, pointer: &str) -> f64 {
    let found = value.pointer(pointer).and_then(Value::as_f64);
    found.unwrap_or_else(|| panic!("no number at {pointer}: {value}"))
}

/// What must hold of every import: all blocks are there, in each mode, and every part is told.
fn check_import(object: &Value, blocks: usize, modes: &[&str]) {
    assert_eq!(object["type"], "bench-import");
    assert_eq!(object["threads"], 2);
    assert!(number(object, "/cores") >= 1.0);
    assert_eq!(object["recovered"], "before");
    assert_eq!(object["headsEqual"], true, "{object}");
    assert_eq!(object["workload"]["blocks"], blocks);
    for pointer in ["/workload/txs", "/workload/gasUsed", "/workload/bytes", "/leaves"] {
        assert!(number(object, pointer) > 0.0, "{pointer}: {object}");
    }
    assert!(number(object, "/alone/P/seconds") > 0.0);
    assert_eq!(number(object, "/alone/P/ratio"), 1.0);
    number(object, "/alone/recoverSeconds");

    let runs = object["runs"].as_array().expect("runs");
    let of_runs: Vec<&str> = runs.iter().filter_map(|run| run["mode"].as_str()).collect();
    assert_eq!(of_runs, modes);
    for run in runs {
        assert_eq!(run["head"]["number"], blocks);
        assert_eq!(run["head"]["hash"], runs[0]["head"]["hash"]);
        assert_eq!(run["parallelDiffered"], 0);
        assert!(number(run, "/commits") >= 1.0);
        for part in ["P", "R", "D", "P+R", "P+R+D", "total"] {
            assert!(number(run, &format!("/{part}/seconds")) > 0.0, "{part}");
            assert!(number(run, &format!("/{part}/ratio")) > 0.0, "{part}");
            let is_rated = run[part].get("txPerSecond").is_some();
            assert_eq!(is_rated, RATED.contains(&part), "{part}");
        }
        for part in RATED {
            assert!(number(run, &format!("/{part}/txPerSecond")) > 0.0, "{part}");
            assert!(number(run, &format!("/{part}/mgasPerSecond")) > 0.0, "{part}");
        }
        for pointer in ["/recoverSeconds", "/leavesPerSecond", "/database/usedBytesPerTx"] {
            number(run, pointer);
        }
        assert!(number(run, "/database/after/usedBytes") > 0.0);
        assert!(number(run, "/database/after/fileBytes") > 0.0);
        if cfg!(target_os = "linux") {
            assert!(number(run, "/peakBytes") > 0.0);
            assert!(number(run, "/anonymousBytes") > 0.0);
        }
    }
}

#[test]
fn a_generated_chain_is_imported_in_each_mode_to_the_same_head() {
    let folder = tempfile::tempdir().expect("a folder");
    let size = ["import", "--accounts", "2000", "--blocks", "3", "--txs", "50"];
    let both = object(folder.path(), &size);
    check_import(&both, 3, &["seq", "occ"]);
    assert_eq!(both["workload"]["kind"], "generated");
    assert_eq!(both["workload"]["accounts"], 2000);
    assert_eq!(both["workload"]["txs"], 150);
    let mix = json!({ "ether": 50, "tokens": 35, "swaps": 15 });
    assert_eq!(both["workload"]["mix"], mix);

    // One block at a time becomes durable, and the same seed gives the same chain.
    let seq = ["--mode", "seq", "--batch-blocks", "1"];
    let seq = object(folder.path(), &[&size[..], &seq].concat());
    check_import(&seq, 3, &["seq"]);
    assert_eq!(seq["runs"][0]["commits"], 3);
    assert_eq!(seq["runs"][0]["head"], both["runs"][0]["head"]);
}

#[test]
fn without_an_option_the_report_is_a_text() {
    let folder = tempfile::tempdir().expect("a folder");
    let size = ["import", "--accounts", "100", "--blocks", "2", "--txs", "20", "--seed", "7"];
    let done = bench(folder.path(), &size);
    assert_eq!(done.code, Some(0), "{done:?}");
    for needle in [
        "2 threads on ",
        "generated (seed 7, ",
        "recovered  before, on 2 threads, not in the times",
        "alone, seq P ",
        "heads: equal, 0x",
    ] {
        assert!(done.stdout.contains(needle), "{needle}: {done:?}");
    }
    for mode in ["seq", "occ"] {
        let rows = done.stdout.lines().filter(|line| line.starts_with(&format!("{mode}  ")));
        assert_eq!(rows.count(), 6, "{mode}: {done:?}");
    }
    is_empty(&folder.path().join("within"));
}

#[test]
fn blocks_of_a_file_are_imported_on_the_genesis_that_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let chain = build_chain(&defi::mix(1, Fork::Shanghai, 40)).expect("a chain");
    let BuiltChain { config, genesis, header, blocks } = &chain;
    let file = json!({
        "config": config,
        "timestamp": format!("{:#x}", header.timestamp),
        "gasLimit": format!("{:#x}", header.gas_limit),
        "difficulty": format!("{:#x}", header.difficulty),
        "coinbase": header.beneficiary,
        "alloc": alloc(genesis),
    });
    std::fs::write(folder.path().join("genesis.json"), file.to_string()).expect("a written file");
    let mut rlp = Vec::new();
    for block in blocks {
        write_rlp(&mut rlp, block.block()).expect("room in memory");
    }
    std::fs::write(folder.path().join("blocks.rlp"), rlp).expect("a written file");

    let files = ["import", "--chain", "genesis.json", "blocks.rlp"];
    let all = object(folder.path(), &files);
    check_import(&all, blocks.len(), &["seq", "occ"]);
    assert_eq!(all["workload"]["kind"], "files");
    let last = blocks.last().expect("blocks").hash();
    assert_eq!(all["runs"][0]["head"]["hash"], json!(last));
    let first = object(folder.path(), &[&files[..], &["--blocks", "1"]].concat());
    check_import(&first, 1, &["seq", "occ"]);
}

/// The accounts of a state as a genesis file has them.
fn alloc(state: &MemoryState) -> Value {
    let account = |account: &MemoryAccount| {
        let storage = account.slots.iter();
        let storage = storage.map(|(slot, value)| (format!("{slot:#x}"), json!(value)));
        json!({
            "nonce": format!("{:#x}", account.account.nonce),
            "balance": format!("{:#x}", account.account.balance),
            "code": state.codes.get(&account.account.code_hash),
            "storage": storage.collect::<Map<String, Value>>(),
        })
    };
    let accounts = state.accounts.iter();
    let accounts = accounts.map(|(address, found)| (address.to_string(), account(found)));
    Value::Object(accounts.collect())
}

#[test]
fn roots_are_timed_on_warm_and_on_cold_tries() {
    let folder = tempfile::tempdir().expect("a folder");
    let size = ["root", "--accounts", "2000", "--txs", "20", "--rounds", "3"];
    let object = object(folder.path(), &size);
    assert_eq!(object["type"], "bench-root");
    assert_eq!(object["threads"], 2);
    assert_eq!(object["headsEqual"], true, "{object}");
    assert_eq!(object["workload"]["accounts"], 2000);
    assert!(number(&object, "/leaves") > 0.0);
    assert!(number(&object, "/aloneMs") > 0.0);
    let runs = object["runs"].as_array().expect("runs");
    let kinds: Vec<_> =
        runs.iter().map(|run| (run["tries"].as_str(), run["mode"].as_str())).collect();
    let expected = [("warm", "seq"), ("warm", "occ"), ("cold", "seq"), ("cold", "occ")];
    assert_eq!(kinds, expected.map(|(tries, mode)| (Some(tries), Some(mode))));
    for run in runs {
        // The first block of a run does not count.
        assert_eq!(run["rounds"], 3);
        assert_eq!(run["head"]["number"], 4);
        assert_eq!(run["head"]["hash"], runs[0]["head"]["hash"]);
        for field in ["executedMs", "rootedMs", "rootToExecuted", "rootToAlone"] {
            assert!(number(run, &format!("/{field}")) > 0.0, "{field}: {run}");
        }
        assert!(number(run, "/leavesPerSecond") > 0.0);
    }
}

#[test]
fn payloads_are_timed_over_http_and_blocks_are_built_of_the_pool() {
    let folder = tempfile::tempdir().expect("a folder");
    let size = ["newpayload", "--accounts", "2000", "--blocks", "4", "--txs", "50"];
    let both = object(folder.path(), &[&size[..], &["--builds", "2"]].concat());
    assert_eq!(both["type"], "bench-newpayload");
    assert_eq!(both["threads"], 2);
    assert_eq!(both["recovered"], "within");
    assert_eq!(both["headsEqual"], true, "{both}");
    assert_eq!(both["workload"]["txs"], 200);
    assert!(number(&both, "/alone/P/p50Ms") > 0.0);
    let modes = |list: &str| -> Vec<String> {
        let list = both[list].as_array().expect("a list").iter();
        list.map(|one| one["mode"].as_str().expect("a mode").to_owned()).collect()
    };
    assert_eq!(modes("runs"), ["seq", "occ"]);
    assert_eq!(modes("builds"), ["seq", "occ"]);

    let check_spread = |object: &Value, pointer: &str, least: f64| {
        let at = |name: &str| number(object, &format!("{pointer}/{name}"));
        let spread = [at("p50Ms"), at("p95Ms"), at("p99Ms"), at("maxMs")];
        assert!(spread[0] >= least && spread.is_sorted(), "{pointer}: {object}");
        assert!(at("ratio") >= least, "{pointer}: {object}");
    };
    for run in both["runs"].as_array().expect("runs") {
        assert_eq!(run["head"]["number"], 4);
        assert_eq!(run["head"]["hash"], both["runs"][0]["head"]["hash"]);
        assert_eq!(run["parallelDiffered"], 0);
        let measured =
            ["newPayload", "decode", "recover", "execute", "root", "insert", "forkchoice", "both"];
        for part in measured {
            check_spread(run, &format!("/{part}"), f64::MIN_POSITIVE);
        }
        for part in ["rest", "wait"] {
            check_spread(run, &format!("/{part}"), 0.0);
        }
    }
    for build in both["builds"].as_array().expect("builds") {
        check_spread(build, "", f64::MIN_POSITIVE);
        check_spread(build, "/foreseen", f64::MIN_POSITIVE);
        assert!(number(build, "/ratioToSeq") > 0.0);
        assert_eq!(build["blocks"], 2);
        let counts = ["refused", "pooled", "txs"].map(|field| number(build, &format!("/{field}")));
        assert_eq!(counts, [0.0, 100.0, 100.0], "{build}");
    }
}

#[test]
fn times_of_payloads_are_a_text_without_an_option() {
    let folder = tempfile::tempdir().expect("a folder");
    let size = ["newpayload", "--accounts", "100", "--blocks", "2", "--txs", "20", "--mode", "occ"];
    let done = bench(folder.path(), &[&size[..], &["--builds", "0"]].concat());
    assert_eq!(done.code, Some(0), "{done:?}");
    for needle in ["recovered  within newPayload, on 2 threads", "heads: equal, 0x", "p99 ms"] {
        assert!(done.stdout.contains(needle), "{needle}: {done:?}");
    }
    let rows = done.stdout.lines().filter(|line| line.starts_with("occ  "));
    assert_eq!(rows.count(), 10, "{done:?}");
    is_empty(&folder.path().join("within"));
}

#[test]
fn files_and_their_chain_go_together() {
    let folder = tempfile::tempdir().expect("a folder");
    let cases: [(&[&str], &str); 4] = [
        (&["import", "blocks.rlp"], "--chain"),
        (&["import", "--chain", "mainnet"], "FILE"),
        (&["import", "--chain", "mainnet", "--accounts", "9", "blocks.rlp"], "--accounts"),
        (&["import", "--chain", "mainnet", "blocks.rlp"], "blocks.rlp"),
    ];
    for (arguments, needle) in cases {
        let done = bench(folder.path(), arguments);
        assert_eq!(done.code, Some(2), "{arguments:?}: {done:?}");
        assert!(done.stderr.contains(needle), "{arguments:?}: {done:?}");
        assert_eq!(done.stdout, "", "{arguments:?}");
    }
}

/// `fugue bench execution` with the small preset.
fn execution(folder: &Path, arguments: &[&str]) -> Done {
    let mut command = Command::new(program());
    command.current_dir(folder).args(["bench", "execution", "--quick"]).args(arguments);
    finish(&mut command)
}

/// The object of a good run.
fn executed(folder: &Path, arguments: &[&str]) -> Value {
    let done = execution(folder, &[arguments, &["--json", "-"]].concat());
    assert_eq!(done.code, Some(0), "{done:?}");
    serde_json::from_str(&done.stdout).unwrap_or_else(|error| panic!("{error}: {done:?}"))
}

fn groups(object: &Value) -> &[Value] {
    object["groups"].as_array().expect("groups")
}

/// What must hold of every group: `seq` first and equal to itself, and every number is told.
fn check_runs(group: &Value, modes: &[&str], pointer: &str) {
    let runs = group.pointer(pointer).and_then(Value::as_array).expect("runs");
    let of_runs: Vec<&str> = runs.iter().filter_map(|run| run["mode"].as_str()).collect();
    assert_eq!(of_runs, modes, "{group}");
    assert_eq!(number(&runs[0], "/P/ratio"), 1.0, "{group}");
    for run in runs {
        let [least, median, most] =
            ["minMs", "medianMs", "maxMs"].map(|field| number(run, &format!("/P/{field}")));
        assert!(0.0 < least && least <= median && median <= most, "{run}");
        for field in ["ratio", "mgasPerSecond", "txPerSecond"] {
            assert!(number(run, &format!("/P/{field}")) > 0.0, "{field}: {run}");
        }
        number(run, "/reExecutedTxs");
        number(run, "/fallbacks");
        let ways = run["ways"].as_object().expect("ways");
        let samples: u64 = ways.values().filter_map(Value::as_u64).sum();
        assert!(samples > 0, "{run}");
        let may_vary = run["mode"] != "occ" || number(run, "/fallbacks") > 0.0;
        assert!(may_vary || ways.keys().eq(["optimistic"]), "{run}");
    }
    assert_eq!(number(&runs[0], "/reExecutedTxs"), 0.0);
    assert!(runs[0]["ways"].as_object().expect("ways").keys().eq(["sequential"]), "{group}");
}

#[test]
fn modes_are_compared_on_every_kind_of_generated_block() {
    let folder = tempfile::tempdir().expect("a folder");
    let kinds = [
        ("transfers", 2),
        ("chain", 1),
        ("erc20", 2),
        ("swaps-1", 1),
        ("swaps-10", 2),
        ("swaps-100", 2),
        ("swaps-each", 2),
        ("lending", 2),
        ("vault", 2),
        ("options", 2),
        ("mix", 2),
    ];
    let names = kinds.map(|(name, _)| name).join(",");
    let arguments = ["--workloads", names.as_str(), "--threads", "2", "--samples", "2"];
    let object = executed(folder.path(), &arguments);
    assert_eq!(object["type"], "bench-execution");
    assert_eq!((&object["measures"], &object["samples"]), (&json!("P"), &json!(2)));
    assert_eq!(object["modes"][0], "seq");
    assert_eq!(object["outcomesEqual"], true, "{object}");
    let modes: Vec<&str> =
        object["modes"].as_array().expect("modes").iter().filter_map(Value::as_str).collect();
    for (name, shares) in kinds {
        let of_kind = groups(&object).iter().filter(|group| group["workload"] == name);
        let found: Vec<&Value> = of_kind.clone().map(|group| &group["conflictPercent"]).collect();
        let expected = if shares == 1 { vec![json!(null)] } else { vec![json!(0), json!(100)] };
        assert_eq!(found, expected.iter().collect::<Vec<_>>(), "{name}");
        for group in of_kind {
            assert_eq!((&group["threads"], &group["latencyUs"]), (&json!(2), &json!(0)));
            // The preset asks for a million.
            let gas = number(group, "/gasUsed");
            assert!((500_000.0..2_000_000.0).contains(&gas), "{group}");
            assert_eq!((&group["blocks"], &group["failedTxs"]), (&json!(1), &json!(0)));
            check_runs(group, &modes, "/runs");
        }
    }
}

#[test]
fn recorded_blocks_have_a_total_and_the_worst_of_them_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let bundles = generated().join("blocks/defi-*");
    let bundles = bundles.to_str().expect("UTF-8");
    let arguments = ["--workloads", "bundles", "--bundles", bundles, "--threads", "1,2"];
    let object = executed(folder.path(), &[&arguments[..], &["--modes", "occ"]].concat());
    assert_eq!(object["modes"], json!(["seq", "occ"]));
    let threads: Vec<&Value> = groups(&object).iter().map(|group| &group["threads"]).collect();
    assert_eq!(threads, [&json!(1), &json!(2)]);
    for group in groups(&object) {
        assert_eq!((&group["kind"], &group["workload"]), (&json!("recorded"), &json!(bundles)));
        check_runs(group, &["seq", "occ"], "/runs");
        let blocks = group["perBlock"].as_array().expect("blocks");
        assert_eq!(json!(blocks.len()), group["blocks"]);
        let sum = |field: &str| -> u64 {
            blocks.iter().map(|block| block[field].as_u64().expect("a number")).sum()
        };
        assert_eq!(group["gasUsed"], json!(sum("gasUsed")));
        assert_eq!(group["txs"], json!(sum("txs")));
        for (index, run) in group["runs"].as_array().expect("runs").iter().enumerate() {
            let of_blocks = blocks
                .iter()
                .flat_map(|block| block["runs"][index]["ways"].as_object().expect("ways").values());
            let of_blocks: u64 = of_blocks.filter_map(Value::as_u64).sum();
            let of_group = run["ways"].as_object().expect("ways").values();
            assert_eq!(of_group.filter_map(Value::as_u64).sum::<u64>(), of_blocks, "{run}");
            // Each block in each sample.
            assert_eq!(json!(of_blocks), json!(3 * blocks.len()), "{run}");
        }
        let ratios = blocks.iter().map(|block| number(block, "/runs/1/P/ratio"));
        assert_eq!(number(group, "/worst/0/all/ratio"), ratios.fold(f64::INFINITY, f64::min));
    }
}

#[test]
fn lanes_know_nothing_of_other_blocks_or_what_earlier_ones_have_taught() {
    let folder = tempfile::tempdir().expect("a folder");
    let bundles = generated().join("blocks/defi-*");
    let bundles = bundles.to_str().expect("UTF-8");
    let arguments = ["--workloads", "bundles", "--bundles", bundles, "--threads", "2"];
    let arguments = [&arguments[..], &["--samples", "1", "--modes", "lanes,auto"]].concat();
    let cases: [(&[&str], &str); 3] =
        [(&[], "cold"), (&["--hints", "cold"], "cold"), (&["--hints", "earlier"], "earlier")];
    for (more, told) in cases {
        let object = executed(folder.path(), &[&arguments[..], more].concat());
        assert_eq!((&object["hints"], &object["outcomesEqual"]), (&json!(told), &json!(true)));
        let [group] = groups(&object) else { panic!("one group: {object}") };
        check_runs(group, &["seq", "lanes", "auto"], "/runs");
        let blocks = group["perBlock"].as_array().expect("blocks");
        let numbers: Vec<_> = blocks.iter().map(|block| block["number"].as_u64()).collect();
        assert!(numbers.len() > 1 && (told == "cold" || numbers.is_sorted()), "{numbers:?}");
    }
}

#[test]
fn first_reads_take_the_latency_that_was_asked_for_and_recovery_is_a_time_of_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let arguments = ["--workloads", "erc20", "--gas", "400000", "--conflicts", "0", "--recover"];
    let more = ["--latency-us", "0,100", "--threads", "4", "--samples", "2"];
    let object = executed(folder.path(), &[&arguments[..], &more].concat());
    let [warm, cold] = groups(&object) else { panic!("two groups: {object}") };
    assert_eq!((&warm["latencyUs"], &cold["latencyUs"]), (&json!(0), &json!(100)));
    for group in [warm, cold] {
        for run in group["runs"].as_array().expect("runs") {
            assert!(number(run, "/recoverP/medianMs") > 0.0);
            assert!(number(run, "/recoverP/ratio") > 0.0);
        }
    }
    for run in warm["runs"].as_array().expect("runs") {
        assert_eq!(run.get("firstReads"), None);
    }
    for run in cold["runs"].as_array().expect("runs") {
        // A sleep may be cut by what sleeps take on top, but not below a half.
        assert!(number(run, "/firstReadUs") >= 50.0, "{run}");
        // Each transaction reads its sender, and two balances of the token, each once.
        let txs = number(cold, "/txs");
        assert!(number(run, "/firstReads") >= 3.0 * txs, "{run}");
    }
    let seq = &cold["runs"][0];
    let waited = number(seq, "/firstReads") * number(seq, "/firstReadUs") / 1e3;
    // One after the other: all that was waited is in the time, but for the spread of two samples.
    assert!(number(seq, "/P/maxMs") >= waited, "{seq}");
}

#[test]
fn real_contracts_are_traded_at_where_they_are_there() {
    let Some(contracts) = recorded("contracts/npm") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let contracts = contracts.to_str().expect("UTF-8");
    let kinds = "uniswap-v2-1,uniswap-v2-10,uniswap-v3-1,uniswap-v3-10,aave";
    let object = executed(folder.path(), &["--workloads", kinds, "--contracts", contracts]);
    assert_eq!(object["outcomesEqual"], true, "{object}");
    assert_eq!(groups(&object).len(), 8);
    for group in groups(&object) {
        assert_eq!(group["failedTxs"], 0, "{group}");
    }
}

#[test]
fn a_comparison_is_a_text_without_an_option_and_what_is_not_there_is_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let arguments = ["--gas", "100000", "--conflicts", "0", "--samples", "1", "--threads", "2"];
    let done = execution(folder.path(), &arguments);
    assert_eq!(done.code, Some(0), "{done:?}");
    for needle in [
        "measured   P: execution alone, in memory",
        "recovered  before, not in the times",
        "left out: bundles: none of testdata/bundles, ",
        "left out: uniswap-v3-each: its contracts are not in ",
        "left out: aave: its contracts are not in ",
        "outcomes: equal",
    ] {
        assert!(done.stdout.contains(needle), "{needle}: {done:?}");
    }
    for name in ["transfers", "chain", "swaps-each", "mix"] {
        let start = format!("{name} ");
        let rows: Vec<&str> = done.stdout.lines().filter(|line| line.starts_with(&start)).collect();
        assert!(rows.len() >= 2, "{name}: {done:?}");
        assert!(rows.iter().any(|row| row.ends_with("  1 sequential")), "{name}: {done:?}");
    }
}

#[test]
fn a_comparison_of_what_is_not_there_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let cases: [(&[&str], &str); 7] = [
        (&["--workloads", "bundles"], "bundles: none of testdata/bundles"),
        (&["--workloads", "bundles", "--bundles", "no-such-file"], "no-such-file"),
        (&["--workloads", "uniswap-v2-1"], "uniswap-v2-1: its contracts are not in"),
        (&["--workloads", "aave"], "aave: its contracts are not in"),
        (&["--workloads", "erc21"], "erc21"),
        (&["--modes", "sequential"], "sequential"),
        (&["--hints", "later"], "later"),
    ];
    for (arguments, needle) in cases {
        let done = execution(folder.path(), arguments);
        assert_eq!(done.code, Some(2), "{arguments:?}: {done:?}");
        assert!(done.stderr.contains(needle), "{arguments:?}: {done:?}");
        assert_eq!(done.stdout, "", "{arguments:?}");
    }
}
