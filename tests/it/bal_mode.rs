//! Execution by access lists against sequential execution: generated blocks, recorded blocks of
//! mainnet; lists with something wrong in them; lists in files. `equivalence.rs` has random blocks.

use crate::{
    import_support::{MODERN, Place, text},
    support::{Case, Done, bundle_files, finish, generated, recorded, replay, small_bundle},
};
use fugue_archive::BundleReader;
use fugue_chainspec::{Fork, Rules};
use fugue_executor::{
    Divergence, Execution, Executor, FallbackCause, ListFault, ListUse, Mode, Report, Scope, Way,
    WhySequential, first_divergence,
};
use fugue_types::{BlockAccessList, U256};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Numbers of threads that a block is run on.
const THREADS: [usize; 5] = [1, 2, 3, 8, 16];

fn executors() -> Vec<Executor> {
    THREADS
        .iter()
        .map(|threads| Executor::new(*threads).expect("threads").on_all_threads())
        .collect()
}

/// Runs a block by a list; the outcome has to be the one of sequential execution.
fn run(case: &Case, list: BlockAccessList, executor: &Executor) -> Report {
    let Case { block, rules, view } = case;
    let expected = executor.execute(Mode::Seq, block, rules, view, Scope::Recorded);
    let expected = expected.expect("a good block").outcome;
    let block = block.clone().with_access_list(Arc::new(list));
    let found = executor.execute(Mode::Bal, &block, rules, view, Scope::Recorded);
    let Execution { outcome, report } = found.expect("a good block");
    let header = &block.block().block().header;
    let what = format!("block {}, {} threads", header.number, executor.threads());
    if let Some(divergence) = first_divergence(&expected, &outcome) {
        panic!("{what}: {divergence}");
    }
    assert_eq!(outcome, expected, "{what}: a difference that first_divergence does not see");
    report
}

/// The list of a block, whose outcome has to be the one of sequential execution.
fn list_of(case: &Case, executor: &Executor) -> BlockAccessList {
    let Case { block, rules, view } = case;
    let expected = executor.execute(Mode::Seq, block, rules, view, Scope::Recorded);
    let expected = expected.expect("a good block").outcome;
    let listed = executor.list_accesses(block, rules, view, Scope::Recorded);
    let (outcome, list) = listed.expect("a good block");
    assert_eq!(first_divergence(&expected, &outcome), None);
    assert_eq!(outcome, expected);
    if let Some(expected) = expected.access_list {
        assert_eq!(list, expected);
    }
    list
}

/// What a report may say of a right list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Told {
    Followed,
    /// It does not tell what became of an account, which lists do not where one that was empty is
    /// cleared.
    Dropped,
    /// The block is from before Byzantium.
    NotAsked,
}

fn told(report: &Report, rules: &Rules, what: &str) -> Told {
    match (&report.fallback, report.list) {
        (None, Some(ListUse::Followed)) => {
            assert_eq!(report.way, Way::List, "{what}");
            assert!(rules.fork >= Fork::Byzantium, "{what}: ran by its list");
            Told::Followed
        }
        (Some(fallback), Some(ListUse::Dropped)) => {
            let FallbackCause::List(fault) = &fallback.cause else {
                panic!("{what}: {fallback:?}")
            };
            let ListFault::Step { what: misfit, .. } = &**fault else { panic!("{what}: {fault}") };
            assert!(["account", "storage"].contains(&misfit.field), "{what}: {fault}");
            Told::Dropped
        }
        (None, None) => {
            assert_eq!(report.way, Way::Sequential(Some(WhySequential::ManySteps)), "{what}");
            assert!(rules.fork < Fork::Byzantium, "{what}: its list was not looked at");
            Told::NotAsked
        }
        _ => panic!("{what}: {report:?}"),
    }
}

/// Runs every bundle below a folder by its list.
fn check_folder(folder: &Path) {
    let executors = executors();
    let mut reader = BundleReader::new();
    let (mut followed, mut not_asked, mut dropped, mut most_active) = (0, 0, Vec::new(), 0);
    for path in bundle_files(folder) {
        let bundle = reader.read(&path).unwrap_or_else(|error| panic!("{error}"));
        if bundle.state.is_none() {
            continue;
        }
        let case = Case::new(&bundle, &executors[0]);
        let list = list_of(&case, &executors[0]);
        let name = path.display().to_string();
        let mut answers = BTreeSet::new();
        for executor in &executors {
            let report = run(&case, list.clone(), executor);
            answers.insert(told(&report, &case.rules, &name));
            most_active = most_active.max(report.stats.active_threads);
        }
        assert_eq!(answers.len(), 1, "{name}: not the same on every number of threads");
        match answers.first() {
            Some(Told::Followed) => followed += 1,
            Some(Told::NotAsked) => not_asked += 1,
            _ => {
                assert!(case.rules.fork < Fork::Shanghai, "{name}: its list was dropped");
                dropped.push(name);
            }
        }
    }
    assert!(dropped.len() * 4 <= followed, "{followed} lists followed, but not {dropped:#?}");
    assert!(not_asked > 0, "no block from before Byzantium");
    assert!(most_active >= 2, "never more than {most_active} threads had work");
}

#[test]
fn generated_blocks_execute_equally_by_their_lists() {
    check_folder(&generated());
}

#[test]
fn recorded_blocks_execute_equally_by_their_lists() {
    if let Some(folder) = recorded("mainnet-blocks/blocks") {
        check_folder(&folder);
    }
}

/// Makes one thing of a list wrong; `None` if it has nothing of the kind.
type Spoil = fn(&mut BlockAccessList) -> Option<()>;

const SPOILS: [(&str, Spoil); 8] = [
    ("a balance", |list| {
        let mut changes = list.iter_mut().flat_map(|account| &mut account.balance_changes);
        changes.next()?.post_balance ^= U256::from(1);
        Some(())
    }),
    ("a nonce", |list| {
        let mut changes = list.iter_mut().flat_map(|account| &mut account.nonce_changes);
        changes.next()?.new_nonce ^= 1 << 20;
        Some(())
    }),
    ("a slot", |list| {
        let mut slots = list.iter_mut().flat_map(|account| &mut account.storage_changes);
        slots.next()?.changes.first_mut()?.new_value ^= U256::from(1) << 200_usize;
        Some(())
    }),
    ("a slot that is not there", |list| {
        let mut accounts = list.iter_mut().filter(|account| !account.storage_changes.is_empty());
        accounts.next()?.storage_changes.remove(0);
        Some(())
    }),
    ("a read that is not there", |list| {
        let mut accounts = list.iter_mut().filter(|account| !account.storage_reads.is_empty());
        accounts.next()?.storage_reads.remove(0);
        Some(())
    }),
    ("an account that is not there", |list| {
        list.pop()?;
        Some(())
    }),
    ("an account too many", |list| {
        let mut account = list.last()?.clone();
        account.address.0[19] = account.address.0[19].checked_add(1)?;
        account.storage_changes.clear();
        account.balance_changes.clear();
        account.nonce_changes.clear();
        account.code_changes.clear();
        list.push(account);
        Some(())
    }),
    ("a change at another step", |list| {
        let mut changes = list.iter_mut().flat_map(|account| &mut account.balance_changes);
        let change = changes.find(|change| change.block_access_index.0 > 1)?;
        change.block_access_index.0 -= 1;
        Some(())
    }),
];

#[test]
fn a_block_whose_list_is_wrong_executes_equally_and_the_report_says_what_is_wrong() {
    let executors = executors();
    let mut reader = BundleReader::new();
    let mut counts = [0; SPOILS.len()];
    for path in bundle_files(&generated()).iter().step_by(7) {
        let bundle = reader.read(path).unwrap_or_else(|error| panic!("{error}"));
        let case = Case::new(&bundle, &executors[0]);
        if case.rules.fork < Fork::Byzantium {
            continue;
        }
        let list = list_of(&case, &executors[0]);
        for ((name, spoil), count) in SPOILS.iter().zip(&mut counts) {
            let mut wrong = list.clone();
            if spoil(&mut wrong).is_none() {
                continue;
            }
            *count += 1;
            let what = format!("{name}: {}", path.display());
            let mut faults = Vec::new();
            for executor in &executors[..3] {
                let report = run(&case, wrong.clone(), executor);
                assert_eq!(report.list, Some(ListUse::Dropped), "{what}");
                let cause = report.fallback.expect("the list is wrong").cause;
                let is_told = match &cause {
                    FallbackCause::List(_) => true,
                    FallbackCause::Lanes(_) => false,
                    // A balance or a nonce with which a transaction is not valid.
                    FallbackCause::Block(error) => error.to_string().contains("invalid block"),
                };
                assert!(is_told, "{what}: {cause}");
                faults.push(cause.to_string());
            }
            faults.dedup();
            assert_eq!(faults.len(), 1, "{what}: {faults:#?}");
        }
    }
    assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
}

/// Standard output, each line of it one value.
fn json_lines(done: &Done) -> Vec<Value> {
    let value = |line: &str| -> Value {
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
    };
    done.stdout.lines().map(value).collect()
}

/// Bundles of a few forks.
fn some_files() -> Vec<PathBuf> {
    let files = bundle_files(&generated());
    let mut some = Vec::new();
    for fork in ["-istanbul-", "-london-", "-shanghai-", "-prague-"] {
        let is_of = |path: &&PathBuf| path.to_string_lossy().contains(fork);
        some.extend(files.iter().find(is_of).cloned());
    }
    assert!(some.len() >= 3, "{some:?}");
    some
}

#[test]
fn lists_are_written_and_blocks_replayed_by_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let files = some_files();
    let files: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
    let done =
        finish(replay(folder.path(), &files).args(["--mode", "seq", "--write-bal", "lists"]));
    assert_eq!(done.code, Some(0), "{done:?}");
    let lists: Vec<PathBuf> = folder
        .path()
        .join("lists")
        .read_dir()
        .expect("the folder was made")
        .map(|entry| entry.expect("a readable folder").path())
        .collect();
    assert_eq!(lists.len(), files.len(), "{lists:?}");
    assert!(lists.iter().all(|path| path.extension().is_some_and(|it| it == "bal")), "{lists:?}");

    for (mode, modes) in [(&["--mode", "bal"][..], 1), (&[][..], 2)] {
        let mut command = replay(folder.path(), &files);
        let done = finish(command.args(["--bal", "lists", "--json", "-"]).args(mode));
        assert_eq!(done.code, Some(0), "{done:?}");
        let lines = json_lines(&done);
        let (summary, blocks) = lines.split_last().expect("lines");
        assert_eq!(summary["modes"].as_array().map(Vec::len), Some(modes), "{summary}");
        assert_eq!(summary["fallbacks"], 0, "{summary}");
        for block in blocks {
            assert_eq!(block["verdict"], "equal", "{block}");
            assert_eq!(block["bal"]["accessList"], "followed", "{block}");
            assert!(block["balMs"].is_number() && block["occ"].is_null(), "{block}");
        }
    }
    let done = finish(replay(folder.path(), &files).args(["--bal", "lists"]));
    assert!(done.stdout.contains("bal ms"), "{done:?}");
    assert_eq!(done.totals(), [files.len(), 0, 0, 0]);
}

#[test]
fn a_block_without_a_list_is_replayed_as_occ_and_that_is_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = &some_files()[0];
    let done = finish(replay(folder.path(), &[file]).args(["--mode", "bal"]));
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.stdout.contains("no access list: as occ"), "{done:?}");
}

#[test]
fn modes_that_read_no_lists_refuse_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = &some_files()[0];
    std::fs::create_dir(folder.path().join("lists")).expect("a new folder");
    let run =
        |mode| finish(replay(folder.path(), &[file]).args(["--bal", "lists", "--mode", mode]));
    for mode in ["seq", "occ", "lanes"] {
        let done = run(mode);
        assert_eq!(done.code, Some(2), "{mode}: {done:?}");
        let told = format!("--bal: --mode {mode} reads no lists");
        assert!(done.stderr.contains(&told), "{mode}: {done:?}");
        assert_eq!(done.stdout, "", "{mode}");
    }
    // There is none, which whoever reads it says.
    for mode in ["bal", "auto", "both", "all"] {
        let done = run(mode);
        assert_eq!(done.code, Some(2), "{mode}: {done:?}");
        assert!(done.stderr.contains("no access list of this block"), "{mode}: {done:?}");
    }
}

#[test]
fn a_block_before_byzantium_is_not_replayed_by_its_list_and_that_is_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let files = bundle_files(&generated());
    let is_old = |path: &&PathBuf| path.to_string_lossy().contains("-homestead-");
    let file = files.iter().find(is_old).expect("a block of Homestead");
    let written = finish(replay(folder.path(), &[file]).args(["--write-bal", "lists"]));
    assert_eq!(written.code, Some(0), "{written:?}");
    let run =
        |more: &[&str]| finish(replay(folder.path(), &[file]).args(["--bal", "lists"]).args(more));
    let done = run(&[]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.stdout.contains("equal (sequential: before Byzantium)"), "{done:?}");
    let lines = json_lines(&run(&["--json", "-"]));
    let bal = &lines[0]["bal"];
    assert_eq!(bal["way"], "sequential: before Byzantium", "{}", lines[0]);
    assert_eq!((&bal["accessList"], &bal["fallback"]), (&Value::Null, &Value::Null));
}

#[test]
fn what_is_wrong_with_a_file_of_a_list_is_said_with_its_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = &some_files()[0];
    let written = finish(replay(folder.path(), &[file]).args(["--write-bal", "lists"]));
    assert_eq!(written.code, Some(0), "{written:?}");
    let lists = folder.path().join("lists");
    let mut entries = lists.read_dir().expect("the folder was made");
    let path = entries.next().expect("one list").expect("a readable folder").path();
    let name = path.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
    let number = name.split('-').next().expect("a number").to_owned();
    let good = std::fs::read(&path).expect("a list");
    let refused = |needles: &[&str]| {
        let done = finish(replay(folder.path(), &[file]).args(["--bal", "lists"]));
        assert_eq!(done.code, Some(2), "{done:?}");
        for needle in needles {
            assert!(done.stderr.contains(needle), "{needle}: {done:?}");
        }
    };

    std::fs::write(&path, &good[..good.len() - 1]).expect("a written file");
    refused(&[name.as_str(), "no access list"]);
    std::fs::remove_file(&path).expect("a removed file");
    refused(&[name.as_str(), "--write-bal"]);
    let other = format!("{number}-0x{:064x}.bal", 7);
    std::fs::write(lists.join(&other), &good).expect("a written file");
    refused(&[other.as_str(), "another block"]);

    // A list that decodes, and is wrong: the block is equal all the same, and the table says it.
    let mut list: BlockAccessList = alloy_rlp::decode_exact(&good).expect("a list");
    list.pop();
    std::fs::write(&path, alloy_rlp::encode(&list)).expect("a written file");
    let done = finish(replay(folder.path(), &[file]).args(["--bal", "lists"]));
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.stdout.contains("parallel run ended early: access list: step"), "{done:?}");

    std::fs::remove_dir_all(&lists).expect("a removed folder");
    refused(&["lists: no folder of access lists"]);
}

#[test]
fn a_stored_block_whose_list_is_of_no_use_is_told_and_the_others_are_replayed() {
    let place = Place::new(&MODERN);
    let datadir = place.datadir("data");
    datadir.import(&[], &[&place.file()]).ends(0);
    let folder = place.path("lists");
    let replay = |options: &[&str]| {
        let usual = ["--threads", "2", "--json", "-"];
        datadir.run(&["replay"], &[&usual[..], options].concat())
    };
    let head = MODERN.head().number;
    let written = replay(&["--mode", "seq", "--write-bal", text(&folder)]).ends(0);
    assert_eq!(folder.read_dir().expect("a folder").count() as u64, head, "{written}");

    let list = |number: u64| folder.join(format!("{number}-{}.bal", MODERN.hash(number)));
    std::fs::remove_file(list(3)).expect("it was written");
    std::fs::write(list(5), [0xff]).expect("a written file");
    let ran = replay(&["--bal", text(&folder)]).ends(2).says("--write-bal writes it");
    let ran = ran.says("no access list: ");
    let lines = ran.lines();
    let (summary, blocks) = lines.split_last().expect("lines");
    let unreadable = blocks.iter().filter(|line| line["type"] == "unreadable");
    let numbers: Vec<&Value> = unreadable.map(|line| &line["number"]).collect();
    assert_eq!(numbers, [3, 5], "{ran}");
    assert!(blocks.iter().all(|line| line["verdict"] != "different"), "{ran}");
    let counts = ["blocks", "different", "unreadable"].map(|name| &summary[name]);
    assert_eq!(counts, [&json!(head - 2), &json!(0), &json!(2)], "{ran}");

    let ran = replay(&["--bal", text(&folder), "--stop-at-first"]).ends(2);
    let summary = ran.last();
    assert_eq!([&summary["blocks"], &summary["unreadable"]], [2, 1], "{ran}");
}

/// What a report names is what a reader needs to find the place.
#[test]
fn a_misfit_is_told_in_one_line() {
    let bundle = small_bundle(|bundle| {
        let block = bundle.block.block();
        block.header.base_fee_per_gas.is_some() && block.body.transactions.len() >= 4
    });
    let executor = Executor::new(2).expect("threads");
    let case = Case::new(&bundle, &executor);
    let mut list = list_of(&case, &executor);
    let sender = case.block.senders()[0];
    let account = list.iter_mut().find(|account| account.address == sender).expect("listed");
    account.nonce_changes[0].new_nonce += 1;
    let cause = run(&case, list, &executor).fallback.expect("a wrong list").cause;
    let FallbackCause::List(fault) = cause else { panic!("{cause}") };
    let ListFault::Step { step: 1, what } = &*fault else { panic!("{fault}") };
    let Divergence { transaction, address, slot, field, .. } = &**what;
    assert_eq!((*transaction, *address, *slot, *field), (Some(0), Some(sender), None, "nonce"));
    let line = fault.to_string();
    assert!(line.starts_with("step 1: transaction 0, account 0x"), "{line}");
    assert!(line.contains("nonce: expected "), "{line}");
}
