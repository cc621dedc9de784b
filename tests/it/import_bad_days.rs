//! Days on which an import goes wrong: another process has the folder, the folder is of another
//! chain or may not be written, the disk is full, a file or the database is damaged. The program
//! says what it is, ends with code 2, and the data stays what it was.

use crate::{
    import_support::{
        DESTRUCTIVE, Datadir, LONG, MODERN, OLD, Place, Ran, Recipe, Replayed, TestChain, USERS,
        head_json, rlp, text, verify,
    },
    support::recorded,
};
use alloy_consensus::transaction::SignerRecoverable;
use fugue_archive::Era1Writer;
use fugue_chain::{Chain, ChainOptions, Head};
use fugue_chainspec::Fork;
use fugue_executor::Mode;
use fugue_state::StateView;
use fugue_storage::{Access, Store, StoreOptions};
use fugue_types::{Address, SealedBlock, U256, keccak256};
use fugue_workload::Rng;
use serde_json::json;
use std::{
    collections::BTreeSet,
    fs::{File, OpenOptions, Permissions},
    ops::Range,
    os::unix::fs::{FileExt, PermissionsExt},
    path::PathBuf,
    process::{Command, Stdio},
};

/// Bits of the database that are flipped, one after the other.
const FLIPS: usize = 60;
/// Signals by which a damaged database may end the program: SIGABRT where MDBX finds itself in a
/// state that it excludes, SIGBUS and SIGSEGV where a damaged length leads it out of the file that
/// it has mapped.
const MAP_SIGNALS: [i32; 3] = [6, 7, 11];
/// So many runs of those that follow flips may end by one.
const SIGNALS_MAX: usize = 6;

fn import(chain: &mut Chain, blocks: &[SealedBlock]) {
    for block in blocks {
        chain.import(block.clone()).expect("a good block");
    }
}

#[test]
fn a_data_folder_has_one_writer_and_any_readers() {
    let (place, chain) = (Place::new(&DESTRUCTIVE), &*DESTRUCTIVE);
    let (datadir, file, head) = (place.datadir("data"), place.file(), chain.head());
    datadir.import(&["--to", "20"], &[&file]).ends(0);
    let store = Store::open(&datadir.store_path(), StoreOptions::new(Access::Write, 1));
    let store = store.expect("nobody has it");
    let options = ChainOptions::new(Mode::Seq, 1);
    let opened = Chain::open(store, chain.genesis.chain.clone(), options);
    let mut writer = opened.expect("a chain");
    import(&mut writer, &chain.blocks[20..40]);
    let durable = Head { number: 40, hash: chain.hash(40) };
    assert_eq!(writer.flush().expect("a good disk"), Some(durable));
    import(&mut writer, &chain.blocks[40..50]);

    let holder = format!("in use by another process (process {})", std::process::id());
    datadir.import(&[], &[&file]).ends(2).says(&holder);
    datadir.run(&["init"], &["--chain", &datadir.chain]).ends(2).says(&holder);
    datadir.db(&["unwind", "--to", "3"]).ends(2).says(&holder);
    datadir.db(&["prune", "--retention", "full:64"]).ends(2).says(&holder);
    // Readers see what is durable.
    datadir.check(durable);
    let out = place.path("out.rlp");
    datadir.run(&["export"], &[text(&out)]).ends(0);
    assert!(std::fs::read(&out).expect("a file") == rlp(&chain.blocks[..40]), "another file");

    writer.flush().expect("a good disk");
    drop(writer);
    datadir.import(&[], &[&file]).imported(head, head.number - 50, 50);
    datadir.check(head);
}

#[test]
fn of_two_imports_at_once_one_gives_way_or_comes_later() {
    let place = Place::new(&LONG);
    let datadir = place.datadir("data");
    let begin = || {
        let mut command = datadir.import_command(&["--batch", "9"], &[&place.file()]);
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped());
        command.stderr(Stdio::piped()).spawn().expect("the program starts")
    };
    let ended = [begin(), begin()].map(|child| {
        let output = child.wait_with_output().expect("it ends");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    });
    for (code, stderr) in &ended {
        let gave_way = *code == Some(2) && stderr.contains("in use by another process");
        assert!(*code == Some(0) || gave_way, "{ended:?}");
    }
    assert!(ended.iter().any(|(code, _)| *code == Some(0)), "{ended:?}");
    datadir.check(LONG.head());
}

#[test]
fn the_data_of_another_chain_is_refused() {
    let others = TestChain::new(&Recipe::new(0x0dd, Fork::SpuriousDragon, 3, 2));
    let (place, other) = (Place::new(&OLD), Place::new(&others));
    let datadir = place.datadir("data");
    datadir.import(&[], &[&place.file()]).ends(0);
    let (found, expected) = (OLD.hash(0), others.hash(0));
    let message = format!("the data is of the chain with genesis {found}, not {expected}");
    let wrong = Datadir { chain: other.datadir("").chain, ..datadir.clone() };
    wrong.import(&[], &[&other.file()]).ends(2).says(&message);
    wrong.run(&["init"], &["--chain", &wrong.chain]).ends(2).says(&message);
    let mainnet = wrong.run(&["init"], &["--chain", "mainnet"]).ends(2);
    mainnet.says(&format!("the data is of the chain with genesis {found}, not 0xd4e56740"));
    // Without a name it is the chain of the folder, which the file does not belong to.
    let ran = datadir.run(&["import"], &["--threads", "2", text(&other.file())]).ends(2);
    let (block, parent) = (others.hash(1), others.hash(0));
    ran.says(&format!("block 1 ({block}): its parent {parent} is not known"));
    datadir.check(OLD.head());
}

#[test]
fn a_folder_that_may_not_be_written_is_no_place_for_an_import() {
    let place = Place::new(&OLD);
    let datadir = place.datadir("data");
    datadir.import(&["--to", "9"], &[&place.file()]).ends(0);
    let folder = datadir.store_path();
    let entries = folder.read_dir().expect("a folder");
    let files: Vec<PathBuf> = entries.map(|entry| entry.expect("a file").path()).collect();
    let allow = |file_mode: u32, folder_mode: u32| {
        for file in &files {
            std::fs::set_permissions(file, Permissions::from_mode(file_mode)).expect("ours");
        }
        std::fs::set_permissions(&folder, Permissions::from_mode(folder_mode)).expect("ours");
    };
    allow(0o444, 0o555);
    let may_write = OpenOptions::new().write(true).open(&files[0]).is_ok();
    let ran = (!may_write).then(|| datadir.import(&[], &[&place.file()]));
    allow(0o644, 0o755);
    match ran {
        Some(ran) => _ = ran.ends(2).says("may not be written").says(text(&folder)),
        None => eprintln!("skipped: this user may write everything"),
    }
    datadir.check(Head { number: 9, hash: OLD.hash(9) });
    datadir.import(&[], &[&place.file()]).ends(0);
}

/// Has the shell bound the size of files, in its blocks of 512 or 1024 bytes, for a command. What
/// would grow beyond it meets an error, as on a full disk.
fn limited(command: &Command, blocks: u32) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", r#"trap "" XFSZ; ulimit -f "$0" && exec "$@""#, &blocks.to_string()]);
    shell.arg(command.get_program()).args(command.get_args());
    shell
}

#[test]
fn a_full_disk_ends_an_import_and_costs_nothing_that_was_durable() {
    let (place, head) = (Place::new(&LONG), LONG.head());
    let file = place.file();
    let whole = place.datadir("whole");
    whole.import(&["--batch", "7"], &[&file]).imported(head, head.number, 0);
    let bytes = whole.db(&["stats"]).ends(0).last()["fileBytes"].as_u64().expect("a size");
    assert!(bytes > 4_096 << 10, "{bytes} bytes: no limit would be met");

    // Not even the empty database fits. What is left of it is no hindrance.
    let datadir = place.datadir("tiny");
    let command = datadir.import_command(&[], &[&file]);
    let ran = Ran::of(limited(&command, 768)).ends(2);
    ran.says("error: ").says(text(&datadir.store_path()));
    datadir.import(&[], &[&file]).imported(head, head.number, 0);
    datadir.check(head);

    // It fits, and then does not.
    let datadir = place.datadir("small");
    datadir.run(&["init"], &["--chain", &datadir.chain]).ends(0);
    let command = datadir.import_command(&["--batch", "7"], &[&file]);
    for told in ["the first time", "and again"] {
        let ran = Ran::of(limited(&command, 4_096)).ends(2);
        let ran = ran.says("error: ").says(text(&datadir.store_path()));
        let store = datadir.store();
        let snapshot = store.snapshot().expect("a chain");
        let found = snapshot.meta().head;
        assert!(LONG.has(found) && found.number < head.number, "{told}: {found:?}: {ran}");
        let durable = ran.lines().iter().rev().find_map(|line| {
            let is_durable = line["type"] == "durable";
            is_durable.then(|| line["number"].as_u64().expect("a number"))
        });
        assert!(found.number >= durable.unwrap_or(0), "{told}: {found:?}: {ran}");
        verify(&snapshot, told);
    }
    datadir.import(&["--batch", "7"], &[&file]).ends(0);
    datadir.check(head);
}

#[test]
fn a_damaged_file_of_blocks_is_named_and_what_is_before_the_damage_stays() {
    let place = Place::new(&OLD);
    let good = rlp(&OLD.blocks);
    let start = rlp(&OLD.blocks[..29]).len();
    let end = rlp(&OLD.blocks[..30]).len();
    let cut = format!("block with index 29 at byte {start}: the file ends within this block");
    let tail = format!("byte {}: byte 0x0a where the list of a block should begin", good.len());
    let all = OLD.head().number;
    let cases: [(&str, Vec<u8>, &str, u64); 5] = [
        ("nothing", Vec::new(), "the file is empty", 0),
        ("text", b"no blocks".to_vec(), "begins with 6e6f", 0),
        ("cut in a block", good[..end - 10].to_vec(), &cut, 29),
        ("cut in a length", good[..start + 2].to_vec(), &cut, 29),
        ("a line break at the end", [&good[..], b"\n"].concat(), &tail, all),
    ];
    for (case, bytes, needle, number) in cases {
        let file = place.write(&format!("{case}.rlp"), &bytes);
        let datadir = place.datadir(case);
        let ran = datadir.import(&["--batch", "8"], &[&file]);
        ran.ends(2).says(text(&file)).says(needle);
        let head = Head { number, hash: OLD.hash(number) };
        datadir.check(head);
        let ran = datadir.import(&[], &[&place.file()]);
        ran.imported(OLD.head(), all - number, number);
    }
    let datadir = place.datadir("data");
    let missing = place.path("missing.rlp");
    datadir.import(&[], &[&missing]).ends(2).says(text(&missing));
    let chain = text(&place.write("genesis-of-nothing.json", b"{}")).to_owned();
    let nowhere = Datadir { chain, ..place.datadir("nowhere") };
    nowhere.import(&[], &[&place.file()]).ends(2).says(&nowhere.chain).says("config: missing");
    assert!(!nowhere.path.exists(), "a bad genesis makes no folder");
}

/// Kinds of entries of era1 files.
const HEADER: u16 = 3;
const BODY: u16 = 4;
const RECEIPTS: u16 = 5;
const TOTAL_DIFFICULTY: u16 = 6;
const ACCUMULATOR: u16 = 7;

/// Where the payloads of a kind lie in an era1 file.
fn payloads(bytes: &[u8], kind: u16) -> Vec<Range<usize>> {
    let (mut payloads, mut at) = (Vec::new(), 0);
    while let Some([low, high, length @ .., _, _]) = bytes.get(at..at + 8) {
        let length = length.iter().rev().fold(0, |sum, byte| (sum << 8) | usize::from(*byte));
        let payload = at + 8..at + 8 + length;
        at = payload.end;
        if u16::from_le_bytes([*low, *high]) == kind {
            payloads.push(payload);
        }
    }
    payloads
}

/// An era1 file with a bit flipped in the middle of the payload of this kind and index.
fn flipped(good: &[u8], kind: u16, index: usize) -> Vec<u8> {
    let mut bytes = good.to_vec();
    let payload = payloads(good, kind)[index].clone();
    bytes[payload.start.midpoint(payload.end)] ^= 0x04;
    bytes
}

/// The whole chain, block 0 included, as an era1 file.
fn era_file(place: &Place, chain: &TestChain) -> PathBuf {
    let replayed = Replayed::new(chain);
    let mut writer = Era1Writer::create(&place.path("new.era1")).expect("a file");
    let mut total = U256::ZERO;
    for (number, receipts) in (0..).zip(&replayed.receipts) {
        let block = chain.block(number);
        total += block.block().header.difficulty;
        writer.push(block, receipts, total).expect("a good block");
    }
    writer.finish_named("test").expect("a good file").0
}

/// Damage that is found before anything is imported.
fn damaged_as_a_whole(good: &[u8], last: usize) -> [(&'static str, Vec<u8>, &'static str); 6] {
    [
        ("header.era1", flipped(good, HEADER, last), "block "),
        ("total.era1", flipped(good, TOTAL_DIFFICULTY, last), "total difficulty is"),
        ("accumulator.era1", flipped(good, ACCUMULATOR, 0), "the accumulator is"),
        ("half.era1", good[..good.len() / 2].to_vec(), "no block index at the end of the file"),
        ("cut.era1", good[..good.len() - 1].to_vec(), "no block index at the end of the file"),
        ("test-00000-00000000.era1", good.to_vec(), "the name of the file says 00000000"),
    ]
}

#[test]
fn a_damaged_era_file_is_named_and_changes_nothing_before_the_damage() {
    let chain = TestChain::new(&Recipe::new(0xe7a1, Fork::London, 24, 3));
    let place = Place::new(&chain);
    let (datadir, era) = (place.datadir("data"), era_file(&place, &chain));
    let good = std::fs::read(&era).expect("the written file");
    datadir.import(&["--to", "5"], &[&era]).ends(0);
    let check = |number: u64| datadir.check(Head { number, hash: chain.hash(number) });
    check(5);
    for (name, bytes, needle) in damaged_as_a_whole(&good, 20) {
        let file = place.write(name, &bytes);
        datadir.import(&[], &[&file]).ends(2).says(text(&file)).says(needle);
        check(5);
    }
    // Bodies and receipts are looked at when it is their turn.
    for (name, kind, number) in [("body.era1", BODY, 12), ("receipts.era1", RECEIPTS, 17)] {
        let index = usize::try_from(number).expect("few blocks");
        let file = place.write(name, &flipped(&good, kind, index));
        let ran = datadir.import(&["--batch", "4"], &[&file]).ends(2);
        ran.says(&format!("{}: block {number} at byte ", text(&file)));
        check(number - 1);
    }
    let head = chain.head();
    datadir.import(&[], &[&era]).imported(head, head.number - 16, 16);
    datadir.check(head);
}

#[test]
fn a_damaged_era_file_of_mainnet_is_named_and_changes_nothing() {
    let Some(folder) = recorded("era1") else { return };
    let good = std::fs::read(folder.join("mainnet-00000-5ec1ffb8.era1")).expect("a file");
    let place = Place::new(&OLD);
    let datadir = Datadir { chain: "mainnet".to_owned(), ..place.datadir("data") };
    for (name, bytes, needle) in damaged_as_a_whole(&good, 8_000) {
        let file = place.write(name, &bytes);
        datadir.import(&[], &[&file]).ends(2).says(text(&file)).says(needle);
        let stats = datadir.db(&["stats"]).ends(0);
        assert_eq!(stats.last()["head"]["number"], 0, "{name}: {stats}");
    }
}

/// The file of a database.
struct Data {
    path: PathBuf,
    bytes: u64,
    /// The bytes up to the last that is not zero.
    used: Vec<u8>,
}

impl Data {
    fn of(datadir: &Datadir) -> Self {
        let path = datadir.store_path().join("mdbx.dat");
        let mut used = std::fs::read(&path).expect("a database");
        let bytes = used.len() as u64;
        let last = used.iter().rposition(|byte| *byte != 0).expect("something is in it");
        used.truncate(last + 1);
        Self { path, bytes, used }
    }

    fn file(&self) -> File {
        OpenOptions::new().read(true).write(true).open(&self.path).expect("a database")
    }

    fn poke(&self, at: usize, byte: u8) {
        self.file().write_all_at(&[byte], at as u64).expect("a written byte");
    }

    /// Makes the file what it was.
    fn restore(&self) {
        std::fs::write(&self.path, &self.used).expect("a database");
        self.file().set_len(self.bytes).expect("its length");
    }

    /// The file is what it was but for one byte.
    fn check(&self, at: usize, byte: u8, told: &str) {
        let file = self.file();
        assert_eq!(file.metadata().expect("a size").len(), self.bytes, "{told}");
        let mut found = vec![0; self.used.len()];
        file.read_exact_at(&mut found, 0).expect("a file");
        assert_eq!(found[at], byte, "{told}");
        found[at] = self.used[at];
        assert!(found == self.used, "{told}: the file was written");
    }
}

#[test]
fn no_flipped_bit_of_the_database_makes_a_reader_panic_or_write() {
    const SEED: u64 = 0xb17f_11b0;
    let place = Place::new(&MODERN);
    let datadir = place.datadir("data");
    datadir.import(&["--batch", "16"], &[&place.file()]).ends(0);
    let (data, out) = (Data::of(&datadir), place.path("out.rlp"));
    let (mut rng, mut signals) = (Rng::new(SEED), Vec::new());
    for flip in 0..FLIPS {
        let at = rng.index(data.used.len());
        let byte = data.used[at] ^ (1_u8 << rng.below(8));
        data.poke(at, byte);
        let told = format!("seed {SEED:#x}, flip {flip}: byte {at} is {byte:#04x}");
        let verified = Ran::in_time(&told, datadir.command(&["db"], &["--json", "verify"]));
        let exported = Ran::in_time(&told, datadir.command(&["export"], &[text(&out)]));
        for ran in [&verified, &exported] {
            let is_signal = ran.signal.is_some_and(|signal| MAP_SIGNALS.contains(&signal));
            assert!(is_signal || matches!(ran.code, Some(0..=2)), "{told}: {ran}");
            if is_signal {
                signals.push(format!("{told}: {ran}"));
            }
        }
        if verified.code == Some(0) && exported.code == Some(0) {
            let is_same = std::fs::read(&out).expect("a file") == MODERN.rlp();
            assert!(is_same, "{told}: nothing is found, and the blocks are others");
        }
        data.check(at, byte, &told);
        data.poke(at, data.used[at]);
    }
    assert!(signals.len() <= SIGNALS_MAX, "{} signals: {}", signals.len(), signals.join("\n"));
    datadir.check(MODERN.head());
}

/// Damage of what a block only reads: it must not become a verdict on the block.
#[test]
fn no_flipped_bit_of_the_database_makes_an_import_call_a_block_invalid() {
    const SEED: u64 = 0xba11_ad3a;
    let (place, head) = (Place::new(&MODERN), MODERN.head());
    let (datadir, file) = (place.datadir("data"), place.file());
    let half = head.number / 2;
    datadir.import(&["--to", &half.to_string()], &[&file]).ends(0);
    let data = Data::of(&datadir);
    let mut rng = Rng::new(SEED);
    // Nonce and balance of the senders to come, as their rows have them after the key.
    let senders = MODERN.blocks.iter().flat_map(|block| &block.block().body.transactions);
    let senders: BTreeSet<Address> =
        senders.map(|tx| tx.recover_signer().expect("signed here")).collect();
    let store = Store::open(&datadir.store_path(), StoreOptions::new(Access::Read, 1));
    let snapshot = store.and_then(|store| store.snapshot()).expect("a good disk");
    let state = snapshot.state_at(half).expect("the head");
    let mut in_rows = Vec::new();
    for sender in senders {
        let account = state.account(sender).expect("a good disk").unwrap_or_default();
        let balance = account.balance.to_be_bytes_trimmed_vec();
        let nonce = u8::try_from(account.nonce).expect("few transactions");
        // After a byte of flags, each with its length before it.
        let row = [&[1, nonce, balance.len() as u8], balance.as_slice()].concat();
        let key = keccak256(sender);
        let found = data.used.windows(33 + row.len()).enumerate();
        let found = found.filter(|(_, at)| at.starts_with(key.as_slice()) && at.ends_with(&row));
        in_rows.extend(found.map(|(at, _)| at + 34..at + 33 + row.len()));
    }
    drop(snapshot);
    assert!(in_rows.len() >= USERS / 2, "the rows of senders are not found");
    let mut places: Vec<usize> = (0..FLIPS)
        .map(|flip| {
            let row = &in_rows[flip % in_rows.len()];
            row.start + rng.index(row.len())
        })
        .collect();
    places.extend((0..FLIPS).map(|_| rng.index(data.used.len())));
    let (mut signals, mut failed) = (Vec::new(), 0);
    for (flip, at) in places.into_iter().enumerate() {
        let byte = data.used[at] ^ (1_u8 << rng.below(8));
        data.poke(at, byte);
        let told = format!("seed {SEED:#x}, flip {flip}: byte {at} is {byte:#04x}");
        let ran = Ran::in_time(&told, datadir.import_command(&[], &[&file]));
        match ran.code {
            Some(0) => {}
            Some(2) => failed += 1,
            None if ran.signal.is_some_and(|signal| MAP_SIGNALS.contains(&signal)) => {
                signals.push(format!("{told}: {ran}"));
            }
            _ => panic!("{told}: {ran}"),
        }
        data.restore();
    }
    assert!(failed > 0, "no flip was met");
    assert!(signals.len() <= SIGNALS_MAX, "{} signals: {}", signals.len(), signals.join("\n"));
    datadir.import(&[], &[&file]).imported(head, head.number - half, half);
    datadir.check(head);
}

#[test]
fn a_cut_database_is_refused_and_left_as_it_is() {
    let place = Place::new(&MODERN);
    let datadir = place.datadir("data");
    datadir.import(&["--batch", "16"], &[&place.file()]).ends(0);
    let data = Data::of(&datadir);
    let half = data.used.len() / 2;
    let (file, out) = (place.file(), place.path("out.rlp"));
    let readers: [(&[&str], &[&str]); 4] = [
        (&["db"], &["stats"]),
        (&["db"], &["verify"]),
        (&["export"], &[text(&out)]),
        (&["state", "get"], &["0x00000000000000000000000000000000000000fe"]),
    ];
    // Three pages tell the state of the database; a file of nothing is none.
    for length in [0, 100, 4_096, 3 * 4_096, half, half - half % 4_096] {
        std::fs::write(&data.path, &data.used[..length]).expect("a cut file");
        let told = format!("cut to {length} bytes");
        for (words, rest) in readers {
            let ran = Ran::in_time(&told, datadir.command(words, rest)).ends(2);
            ran.says("error: ").says(text(&datadir.path));
        }
        if length > 0 {
            let import = datadir.import_command(&[], &[&file]);
            Ran::in_time(&told, import).ends(2).says(text(&datadir.path));
        }
        let left = std::fs::read(&data.path).expect("the file");
        assert!(left == data.used[..length], "{told}: the file was written");
    }
    data.restore();
    datadir.check(MODERN.head());
    let stats = datadir.db(&["stats"]).ends(0);
    assert_eq!(stats.last()["head"], head_json(MODERN.head()), "{stats}");
    assert_eq!(stats.last()["oldestState"], json!(0), "{stats}");
}
