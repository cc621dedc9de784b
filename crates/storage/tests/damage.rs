//! Folders that are locked, of another schema, read-only, cut or changed: each is told by name, or
//! found by verification, or changes no answer.
//!
//! The database maps its file into memory and trusts it, so what is damaged is opened by a child
//! process: this program, told by the environment to do the work of one.

mod model;

use fugue_storage::{
    Access, CommitBatch, INDEXED_SCHEMA_VERSION, LOCK_FILE, LOG_SECTION_BLOCKS, Retention,
    SCHEMA_VERSION, StorageError, Store, StoreOptions, Table,
};
use fugue_types::keccak256;
use model::{
    CONFIG, Model,
    compare::{self, Wrong},
    plan::{ADDRESSES, BlockPlan, Edit},
    raw,
    sequence::{Dice, Sequence},
};
use parking_lot::Mutex;
use std::{
    fs::{File, OpenOptions, Permissions},
    os::unix::fs::{FileExt, PermissionsExt},
    path::Path,
    process::Command,
};
use tempfile::TempDir;

/// The test that does a child's work, and how it is told and tells.
const CHILD: &str = "the_work_of_a_child";
const TASK: &str = "FUGUE_STORAGE_TASK";
const FOLDER: &str = "FUGUE_STORAGE_FOLDER";
const MARK: &str = "outcome: ";
/// The file of the database.
const DATA_FILE: &str = "mdbx.dat";
/// Calls of verification's progress after which it is taken not to end.
const PROGRESS_MAX: u64 = 1_000_000;
/// Bits of the file that are flipped.
const FLIPS: usize = 40;
/// Rows of each table that are damaged.
const ROWS_PER_TABLE: u64 = 2;
/// What nothing else in the store tells: senders follow from signatures, the others are choices.
const UNSEEN: [&str; 2] = ["senders", "marks"];

/// One test at a time: for a moment a child has what its parent has open, locks of folders too.
static TURN: Mutex<()> = Mutex::new(());

/// How a child ended.
#[derive(Debug)]
enum Child {
    /// `equal`, `error ...` or `different ...`.
    Said(String),
    Panicked(String),
    /// By a signal: the database stopped its process, or the system did.
    Killed(String),
}

fn child(folder: &Path, access: Access) -> Child {
    let program = std::env::current_exe().expect("this program");
    let mut command = Command::new(program);
    command.args([CHILD, "--exact", "--nocapture", "--test-threads=1"]);
    let task = if access == Access::Read { "read" } else { "write" };
    let output = command.env(TASK, task).env(FOLDER, folder).output().expect("a child");
    let (said, told) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    match (output.status.code(), said.split_once(MARK)) {
        (Some(0), Some((_, said))) => {
            Child::Said(said.lines().next().unwrap_or_default().to_owned())
        }
        (Some(_), _) => Child::Panicked(told.into_owned()),
        (None, _) => Child::Killed(format!("{}: {told}", output.status)),
    }
}

#[test]
fn the_work_of_a_child() {
    let (Some(task), Some(folder)) = (std::env::var_os(TASK), std::env::var_os(FOLDER)) else {
        return;
    };
    let access = if task == "read" { Access::Read } else { Access::Write };
    let said = match answers(Path::new(&folder), access) {
        Ok(()) => "equal".to_owned(),
        Err(Wrong::Error(reason)) => format!("error {reason}"),
        Err(Wrong::Differs { what, text }) => format!("different {what}: {text}"),
    };
    println!("\n{MARK}{}", said.replace('\n', " "));
}

/// Opens a folder, verifies it, and compares all of it with the fixed sequence where that had the
/// same head and marks.
fn answers(folder: &Path, access: Access) -> Result<(), Wrong> {
    let store = Store::open(folder, StoreOptions::new(access, 2))?;
    let snapshot = store.snapshot()?;
    let mut calls = 0;
    let verified = snapshot.verify(|| {
        calls += 1;
        assert!(calls < PROGRESS_MAX, "verification does not end");
    })?;
    if let Some(problem) = verified.problems.first() {
        return Err(Wrong::Error(problem.what.clone()));
    }
    let meta = snapshot.meta();
    for number in meta.oldest_state..=meta.head.number {
        snapshot.tries_at(number)?;
    }
    let sequence = Sequence::new();
    let Some(model) = sequence.model_of(&snapshot) else {
        return Err(Wrong::Differs { what: "marks", text: format!("{meta:?}") });
    };
    compare::chain(&snapshot, model)?;
    compare::logs(&snapshot, model)?;
    compare::states(&snapshot, model)?;
    if access == Access::Read {
        let refused = store.prune(Retention::Full { window: 0 });
        if !matches!(refused, Err(StorageError::ReadOnly { .. })) {
            return Err(Wrong::Differs { what: "a reader's write", text: format!("{refused:?}") });
        }
    }
    Ok(())
}

fn open(folder: &Path) -> Store {
    Store::open(folder, StoreOptions::new(Access::Write, 2)).expect("a folder of our own")
}

/// A folder with the whole sequence, and how many bytes of its file are in use.
fn prepared() -> (TempDir, u64) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    for step in Sequence::new().steps {
        step.run(&store).expect("nothing fails");
    }
    let used = store.stats().expect("a readable store").used_bytes;
    (folder, used)
}

fn copy_of(folder: &Path) -> TempDir {
    let copy = tempfile::tempdir().expect("a folder");
    std::fs::copy(folder.join(DATA_FILE), copy.path().join(DATA_FILE)).expect("room for a copy");
    copy
}

#[test]
fn another_schema_is_refused() {
    let _turn = TURN.lock();
    let (folder, _) = prepared();
    let found = INDEXED_SCHEMA_VERSION + 1;
    raw::set(folder.path(), Table::Meta, b"schema", Some(&found.to_be_bytes()));
    let rows = raw::dump(folder.path());
    for access in [Access::Write, Access::Read] {
        let refused = Store::open(folder.path(), StoreOptions::new(access, 1)).err();
        assert_eq!(refused, Some(StorageError::Schema { expected: SCHEMA_VERSION, found }));
    }
    assert!(raw::dump(folder.path()) == rows, "nothing is changed");
}

#[test]
fn a_schema_that_lacks_tables_of_this_one_is_refused_by_its_number() {
    let _turn = TURN.lock();
    let folder = tempfile::tempdir().expect("a folder");
    let found = SCHEMA_VERSION - 1;
    raw::begin(folder.path(), Table::Meta, b"schema", &found.to_be_bytes());
    for access in [Access::Write, Access::Read] {
        let refused = Store::open(folder.path(), StoreOptions::new(access, 1)).err();
        assert_eq!(refused, Some(StorageError::Schema { expected: SCHEMA_VERSION, found }));
    }
}

#[test]
fn a_database_that_was_made_before_the_index_of_addresses_is_as_it_was() {
    let _turn = TURN.lock();
    let (folder, _) = prepared();
    let sequence = Sequence::new();
    let old = tempfile::tempdir().expect("a folder");
    raw::copy_without(folder.path(), old.path(), &[Table::AddressIndex, Table::Addresses]);
    // Whoever opens it to write makes the tables, and they stay empty.
    for access in [Access::Read, Access::Write, Access::Read] {
        let store = Store::open(old.path(), StoreOptions::new(access, 1)).expect("its schema");
        compare::whole(&store, sequence.last()).expect("what it had");
        let snapshot = store.snapshot().expect("there is a chain");
        assert_eq!(snapshot.check_addresses(), Err(StorageError::NotIndexed));
    }
}

#[test]
fn a_second_writer_is_told_who_holds_the_folder() {
    let _turn = TURN.lock();
    let folder = tempfile::tempdir().expect("a folder");
    let first = open(folder.path());
    let second = Store::open(folder.path(), StoreOptions::new(Access::Write, 1)).err();
    let path = folder.path().join(LOCK_FILE);
    let holder = format!("process {}", std::process::id());
    assert_eq!(second, Some(StorageError::Locked { path, holder }));
    drop(first);
    open(folder.path());
}

#[test]
fn a_reader_beside_the_writer_sees_what_is_committed_and_writes_nothing() {
    let _turn = TURN.lock();
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    for (index, step) in Sequence::new().steps.iter().enumerate() {
        step.run(&store).expect("nothing fails");
        let child = child(folder.path(), Access::Read);
        assert!(matches!(&child, Child::Said(said) if said == "equal"), "{index}: {child:?}");
    }
}

#[test]
fn a_reader_of_nothing_makes_nothing() {
    let _turn = TURN.lock();
    let folder = tempfile::tempdir().expect("a folder");
    for path in [folder.path().to_owned(), folder.path().join("missing")] {
        let opened = Store::open(&path, StoreOptions::new(Access::Read, 1)).err();
        assert_eq!(opened, Some(StorageError::Empty { path }));
    }
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
}

#[test]
fn a_folder_that_cannot_be_looked_into_is_not_called_empty() {
    let _turn = TURN.lock();
    let file = tempfile::NamedTempFile::new().expect("a file");
    let opened = Store::open(file.path(), StoreOptions::new(Access::Read, 1)).err();
    assert!(matches!(opened, Some(StorageError::Database { .. })), "{opened:?}");
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).expect("a file of our own");
}

#[test]
fn what_may_not_be_written_is_told() {
    let _turn = TURN.lock();
    let refused = |path: &Path| {
        let opened = Store::open(path, StoreOptions::new(Access::Write, 1)).err();
        assert!(matches!(opened, Some(StorageError::ReadOnly { .. })), "{path:?}: {opened:?}");
    };
    // Nobody may make a folder there.
    refused(Path::new("/sys/fugue"));
    let (folder, _) = prepared();
    let empty = tempfile::tempdir().expect("a folder");
    set_mode(empty.path(), 0o555);
    let may_all = File::create(empty.path().join("probe")).is_ok();
    if !may_all {
        refused(empty.path());
    }
    set_mode(empty.path(), 0o755);
    for file in [LOCK_FILE, DATA_FILE] {
        let path = folder.path().join(file);
        set_mode(&path, 0o444);
        // Modes keep nobody from anything who may do everything.
        if may_all {
            open(folder.path());
        } else {
            refused(folder.path());
        }
        set_mode(&path, 0o644);
    }
    open(folder.path());
}

#[test]
fn a_folder_in_the_place_of_a_file_is_told_and_left_alone() {
    let _turn = TURN.lock();
    for file in [LOCK_FILE, DATA_FILE] {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(file);
        std::fs::create_dir(&path).expect("room for a folder");
        let opened = Store::open(folder.path(), StoreOptions::new(Access::Write, 1)).err();
        assert!(matches!(opened, Some(StorageError::Database { .. })), "{file}: {opened:?}");
        assert!(path.is_dir(), "{file}");
    }
}

#[test]
fn what_is_opened_to_read_is_not_written() {
    let _turn = TURN.lock();
    let (folder, _) = prepared();
    let rows = raw::dump(folder.path());
    let options = StoreOptions::new(Access::Read, 1);
    let store = Store::open(folder.path(), options).expect("a folder of our own");
    let (_, genesis, _) = Model::genesis(&BlockPlan::default());
    let before = store.head().expect("there is a chain").number - 1;
    let none = CommitBatch::default();
    for refused in [
        store.init(CONFIG.to_vec(), &genesis),
        store.commit(&none),
        store.replace(before, &none),
        store.unwind(before, |_| ()),
        store.prune(Retention::Full { window: 0 }).map(|_| ()),
    ] {
        assert!(matches!(refused, Err(StorageError::ReadOnly { .. })), "{refused:?}");
    }
    drop(store);
    assert!(raw::dump(folder.path()) == rows, "nothing is changed");
}

#[test]
fn a_file_that_is_no_database_is_told_and_left_alone() {
    let _turn = TURN.lock();
    let folder = tempfile::tempdir().expect("a folder");
    let mut dice = Dice(1);
    let noise: Vec<u8> = (0..8_192).flat_map(|_| dice.throw().to_le_bytes()).collect();
    let path = folder.path().join(DATA_FILE);
    std::fs::write(&path, &noise).expect("room for a file");
    for access in [Access::Write, Access::Read] {
        let child = child(folder.path(), access);
        let is_told = matches!(&child, Child::Said(said) if said.starts_with("error"));
        assert!(is_told, "{access:?}: {child:?}");
        assert!(std::fs::read(&path).expect("a file") == noise, "{access:?} changed the file");
    }
}

#[test]
fn a_file_that_was_cut_is_told() {
    let _turn = TURN.lock();
    let (folder, used) = prepared();
    let third = used / 3;
    for length in [third, third - third % 4_096, 3 * 4_096, 100] {
        for access in [Access::Write, Access::Read] {
            let copy = copy_of(folder.path());
            let path = copy.path().join(DATA_FILE);
            let file = OpenOptions::new().write(true).open(path).expect("a file");
            file.set_len(length).expect("a shorter file");
            drop(file);
            let child = child(copy.path(), access);
            let is_told = matches!(&child, Child::Said(said) if said.starts_with("error"));
            assert!(is_told, "{length} bytes, {access:?}: {child:?}");
        }
    }
}

/// What children said, sorted by whether it may be.
#[derive(Debug, Default)]
struct Tally {
    told: usize,
    equal: usize,
    unseen: usize,
    killed: Vec<String>,
    faults: Vec<String>,
}

impl Tally {
    fn count(&mut self, damage: &str, child: Child) {
        match child {
            Child::Said(said) if said == "equal" => self.equal += 1,
            Child::Said(said) if said.starts_with("error") => self.told += 1,
            Child::Said(said) => {
                let what = said.strip_prefix("different ").unwrap_or_default();
                if UNSEEN.iter().any(|unseen| what.starts_with(&format!("{unseen}:"))) {
                    self.unseen += 1;
                } else {
                    self.faults.push(format!("{damage}: {said}"));
                }
            }
            Child::Panicked(text) => self.faults.push(format!("{damage}: {text}")),
            // No answer is no wrong answer.
            Child::Killed(how) => self.killed.push(format!("{damage}: {how}")),
        }
    }

    fn end(&self) {
        let Self { told, equal, unseen, killed, faults: _ } = self;
        println!("{told} told, {equal} equal, {unseen} not to be seen, killed: {killed:#?}");
        assert!(self.faults.is_empty(), "{}", self.faults.join("\n"));
    }
}

#[test]
fn a_flipped_bit_of_the_file_is_told_or_changes_no_answer() {
    let _turn = TURN.lock();
    let (folder, used) = prepared();
    let path = folder.path().join(DATA_FILE);
    let file = OpenOptions::new().read(true).write(true).open(path).expect("a file");
    let mut dice = Dice(2);
    let mut tally = Tally::default();
    for _ in 0..FLIPS {
        let (offset, bit) = (dice.below(used), dice.below(8));
        let mut byte = [0];
        file.read_exact_at(&mut byte, offset).expect("a byte in use");
        file.write_all_at(&[byte[0] ^ (1u8 << bit)], offset).expect("a byte in use");
        let child = child(folder.path(), Access::Read);
        file.write_all_at(&byte, offset).expect("a byte in use");
        tally.count(&format!("bit {bit} of byte {offset}"), child);
    }
    let whole = child(folder.path(), Access::Read);
    assert!(matches!(&whole, Child::Said(said) if said == "equal"), "{whole:?}");
    tally.end();
}

#[test]
fn a_damaged_row_is_told_or_changes_no_answer() {
    let _turn = TURN.lock();
    let (folder, _) = prepared();
    let mut dice = Dice(3);
    let mut tally = Tally::default();
    for table in Table::ALL {
        let rows = raw::rows(folder.path(), table);
        for _ in 0..ROWS_PER_TABLE.min(rows.len() as u64) {
            let row = usize::try_from(dice.below(rows.len() as u64)).expect("an index");
            let (key, value) = &rows[row];
            let mut damages = vec![("gone".to_owned(), None)];
            for _ in 0..2 {
                let Some(end) = (value.len() as u64 * 8).checked_sub(1) else { break };
                let bit = usize::try_from(dice.below(end + 1)).expect("an index");
                let mut flipped = value.clone();
                flipped[bit / 8] ^= 1u8 << (bit % 8);
                damages.push((format!("bit {bit} of {}", value.len() * 8), Some(flipped)));
            }
            for (name, damage) in damages {
                raw::set(folder.path(), table, key, damage.as_deref());
                let child = child(folder.path(), Access::Read);
                raw::set(folder.path(), table, key, Some(value));
                tally.count(&format!("{}: row {row}: {name}", table.name()), child);
            }
        }
    }
    let whole = child(folder.path(), Access::Read);
    assert!(matches!(&whole, Child::Said(said) if said == "equal"), "{whole:?}");
    tally.end();
}

/// Damages a copy of a whole folder; verification must tell.
fn is_told(damage: impl FnOnce(&Path)) {
    let _turn = TURN.lock();
    let (folder, _) = prepared();
    damage(folder.path());
    let child = child(folder.path(), Access::Read);
    assert!(matches!(&child, Child::Said(said) if said.starts_with("error")), "{child:?}");
}

#[test]
fn a_head_far_above_the_chain_is_told() {
    is_told(|folder| {
        let rows = raw::rows(folder, Table::Meta);
        let (key, head) = rows.iter().find(|(key, _)| key == b"head").expect("a head");
        let far = [&(1u64 << 40).to_be_bytes()[..], &head[8..]].concat();
        raw::set(folder, Table::Meta, key, Some(&far));
    });
}

#[test]
fn a_trie_of_accounts_without_its_branches_is_told() {
    is_told(|folder| {
        for (key, _) in raw::rows(folder, Table::AccountTrie) {
            raw::set(folder, Table::AccountTrie, &key, None);
        }
    });
}

#[test]
fn an_index_of_logs_that_has_too_little_or_too_much_is_told() {
    let missing = |folder: &Path| {
        // Rows of blocks whose receipts are pruned are not missed.
        for (key, _) in raw::rows(folder, Table::LogIndex) {
            raw::set(folder, Table::LogIndex, &key, None);
        }
    };
    // One entry, of the last block of a section.
    let more = |folder: &Path, section: u64, bucket: u16| {
        let key = [&section.to_be_bytes()[..], &bucket.to_be_bytes()].concat();
        raw::set(folder, Table::LogIndex, &key, Some(&[0, 1, 3, 0xff]));
    };
    is_told(missing);
    // Of a block above the head, in its section and in another one.
    is_told(|folder| more(folder, 0, 0xfff0));
    is_told(|folder| more(folder, 7 * LOG_SECTION_BLOCKS, 1));
}

/// A chain whose first block ended one of two storages, so long ago that verification does not
/// follow history back to it.
fn with_an_old_grave() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    let stored = |index| (index, Edit::Store(vec![(0, 1), (1, 2)]));
    let (mut model, genesis, mut trie) = Model::genesis(&BlockPlan::of([stored(0), stored(1)]));
    store.init(CONFIG.to_vec(), &genesis).expect("an empty store");
    let mut plans = vec![BlockPlan::default(); 1_100];
    plans[0] = BlockPlan::of([(0, Edit::Delete), (1, Edit::Store(vec![(0, 3)]))]);
    let snapshot = store.snapshot().expect("there is a chain");
    let batch = model.extend(&plans, &mut trie, &snapshot);
    store.commit(&batch).expect("blocks that follow the head");
    folder
}

fn problems(folder: &Path) -> Vec<String> {
    let store = open(folder);
    let snapshot = store.snapshot().expect("there is a chain");
    let verified = snapshot.verify(|| ()).expect("every row can be read");
    verified.problems.into_iter().map(|problem| problem.what).collect()
}

#[test]
fn old_history_and_graves_that_are_too_few_or_too_many_are_told() {
    let _turn = TURN.lock();
    let folder = with_an_old_grave();
    let folder = folder.path();
    assert_eq!(problems(folder), [""; 0]);
    let graves = raw::rows(folder, Table::Graves);
    let [(grave, _)] = &graves[..] else { panic!("one grave: {graves:?}") };
    let (block, ended) = grave.split_at(8);
    // The ids of the two storages are 1 and 2.
    let alive = (3 - u64::from(ended[7])).to_be_bytes();
    let of_block = |number: u64| [&number.to_be_bytes()[..], ended].concat();
    let first = |table| raw::rows(folder, table).into_iter().next().expect("a row");
    let (account, row) = first(Table::AccountHistory);
    let (slot, value) = first(Table::StorageHistory);
    let other_slot = [&slot[..8], &[7; 32], block].concat();
    let never = [&9_u64.to_be_bytes()[..], &[7; 32]].concat();
    for (name, table, key, before, damage) in [
        ("no grave", Table::Graves, grave.clone(), Some(vec![]), None),
        ("a grave with a value", Table::Graves, grave.clone(), Some(vec![]), Some(vec![1])),
        ("of the living", Table::Graves, [block, &alive[..]].concat(), None, Some(vec![])),
        ("of the genesis", Table::Graves, of_block(0), None, Some(vec![])),
        ("of another block", Table::Graves, of_block(2), None, Some(vec![])),
        ("above the head", Table::Graves, of_block(1_101), None, Some(vec![])),
        ("no key", Table::Graves, vec![0; 7], None, Some(vec![])),
        ("no account before", Table::AccountHistory, account, Some(row), None),
        ("no slot before", Table::StorageHistory, slot, Some(value), None),
        ("a slot too many", Table::StorageHistory, other_slot, None, Some(vec![1])),
        ("an id never given", Table::Storage, never, None, Some(vec![1])),
    ] {
        raw::set(folder, table, &key, damage.as_deref());
        let told = problems(folder);
        let is_told = told.iter().any(|what| what.contains(table.name()));
        assert!(is_told, "{name}: {told:?}");
        raw::set(folder, table, &key, before.as_deref());
        assert_eq!(problems(folder), [""; 0], "{name}");
    }
}

#[test]
fn tries_of_storage_without_their_branches_are_told() {
    is_told(|folder| {
        let rows = raw::rows(folder, Table::StorageTrie);
        assert!(!rows.is_empty(), "the sequence leaves accounts with two slots or more");
        for (key, _) in rows {
            raw::set(folder, Table::StorageTrie, &key, None);
        }
    });
}

/// A path has at most 64 nibbles: below a prefix of so many there is no place for a child.
#[test]
fn a_branch_with_too_long_a_prefix_is_told() {
    is_told(|folder| {
        let rows = raw::rows(folder, Table::AccountTrie);
        let (root, branch) = rows.first().expect("the sequence leaves two accounts or more");
        assert_eq!(root, &[0u8], "the path of the root is empty");
        let rest = &branch[1 + usize::from(branch[0]).div_ceil(2)..];
        let long = [&[64u8][..], &[0x77; 32], rest].concat();
        raw::set(folder, Table::AccountTrie, root, Some(&long));
    });
}

#[test]
fn keys_that_are_out_of_order_are_told() {
    let _turn = TURN.lock();
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    let (_, batch, _) = Model::genesis(&BlockPlan::of((0..6).map(|index| (index, Edit::Pay(1)))));
    store.init(CONFIG.to_vec(), &batch).expect("an empty store");
    drop(store);
    let lowest = ADDRESSES.iter().map(keccak256).min().expect("six of them");
    let path = folder.path().join(DATA_FILE);
    let mut bytes = std::fs::read(&path).expect("a file");
    let is_key = |start: &usize| bytes[*start..].starts_with(lowest.as_slice());
    let places: Vec<usize> = (0..bytes.len()).filter(is_key).collect();
    assert!(!places.is_empty(), "the key is in the file");
    for place in places {
        bytes[place] = 0xff;
    }
    std::fs::write(&path, &bytes).expect("room for the same file");
    let child = child(folder.path(), Access::Read);
    assert!(matches!(&child, Child::Said(said) if said.starts_with("error")), "{child:?}");
}
