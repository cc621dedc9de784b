//! `fugue init`, `import`, `export`, `db` and `state` as their users see them, on generated chains
//! and, where they are, on recorded ones.
//!
//! What a store says of a state is compared with what executing the same blocks on maps in memory
//! gives.

use crate::{
    import_support::{
        DESTRUCTIVE, Datadir, MODERN, OLD, Place, Recipe, Replayed, TestChain, head_json, rlp,
        text, verify,
    },
    support::recorded,
};
use fugue_chain::{
    Chain, ChainOptions, Head, ImportError, InvalidReason,
    Place::{Known, Side},
};
use fugue_chainspec::Fork;
use fugue_executor::Mode;
use fugue_state::StateView;
use fugue_storage::{Faults, Store};
use fugue_types::{Address, B256, Block, SealedBlock, U256, b256};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

/// Blocks of which a pruned store keeps the past.
const WINDOW: u64 = 64;
/// Accounts and slots whose values the program is asked for after every block.
const ASKED: usize = 3;

#[test]
fn init_begins_a_chain_once() {
    let place = Place::new(&OLD);
    let datadir = place.datadir("data");
    let genesis = head_json(Head { number: 0, hash: OLD.hash(0) });
    let options = ["--json", "--chain", &datadir.chain];
    let first = datadir.run(&["init"], &options).ends(0);
    assert_eq!(first.last()["isNew"], true, "{first}");
    assert_eq!(first.last()["head"], genesis, "{first}");
    assert_eq!(first.last()["accounts"], OLD.genesis.state.accounts.len(), "{first}");
    let second = datadir.run(&["init"], &options).ends(0);
    assert_eq!(second.last()["isNew"], false, "{second}");
    assert_eq!(second.last()["head"], genesis, "{second}");
    let path = datadir.run(&["db"], &["path"]).ends(0);
    assert_eq!(path.stdout.trim_end(), text(&datadir.store_path()));

    let nothing = place.datadir("nothing");
    let file = place.file();
    let commands: [(&[&str], &[&str]); 4] = [
        (&["import"], &[text(&file)]),
        (&["export"], &["out.rlp"]),
        (&["db"], &["stats"]),
        (&["state", "get"], &["0x00000000000000000000000000000000000000fe"]),
    ];
    for (words, rest) in commands {
        nothing.run(words, rest).ends(2).says("no chain here; `fugue init` makes one");
    }
    assert!(!nothing.path.exists(), "commands that fail make no folder");
    let no_folder = Datadir { path: file, ..nothing.clone() };
    no_folder.db(&["stats"]).ends(2).says("Not a directory");
    let nonsense = nothing.run(&["init"], &["--chain", "nonsense"]);
    nonsense.ends(2).says("--chain nonsense: neither one of mainnet, sepolia, hoodi, holesky nor");
}

#[test]
fn the_public_chains_begin_with_the_blocks_that_everybody_knows() {
    let place = Place::new(&OLD);
    for (name, hash) in [
        ("mainnet", "d4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3"),
        ("sepolia", "25a5cc106eea7138acab33231d7160d69cb777ee0c2c553fcddf5138993e6dd9"),
        ("hoodi", "bbe312868b376a3001692a646dd2d7d1e4406380dfd86b98aa8a34d1557c971b"),
        ("holesky", "b5f7f912443c940f21fd611f12828d75b534364ed9e95ca4e307729a4661bde4"),
    ] {
        let datadir = Datadir { chain: name.to_owned(), ..place.datadir(name) };
        let ran = datadir.run(&["init"], &["--json", "--chain", name]).ends(0);
        assert_eq!(ran.last()["head"], json!({ "number": 0, "hash": format!("0x{hash}") }));
        let hash = hash.parse().expect("a hash");
        datadir.check(Head { number: 0, hash });
    }
}

#[test]
fn both_modes_import_the_same_and_export_gives_the_file_back() {
    for chain in [&*OLD, &*DESTRUCTIVE, &*MODERN] {
        let place = Place::new(chain);
        let replayed = Replayed::new(chain);
        for mode in ["seq", "occ"] {
            check_import(chain, &place, &replayed, mode);
        }
    }
}

fn check_import(chain: &TestChain, place: &Place, replayed: &Replayed, mode: &str) {
    let (datadir, file, head) = (place.datadir(mode), place.file(), chain.head());
    let ran = datadir.import(&["--mode", mode, "--batch", "7"], &[&file]);
    let ran = ran.imported(head, head.number, 0);
    let lines = ran.lines();
    let [began, durable @ .., summary] = &lines[..] else { panic!("few lines: {ran}") };
    assert_eq!(*began, json!({ "type": "began", "number": 0 }), "{ran}");
    let bodies = chain.blocks.iter().map(|block| &block.block().body);
    let transactions: usize = bodies.map(|body| body.transactions.len()).sum();
    assert_eq!(summary["transactions"], transactions, "{ran}");
    let gas: u64 = chain.blocks.iter().map(|block| block.block().header.gas_used).sum();
    assert_eq!(summary["gas"], gas, "{ran}");
    let numbers = durable.iter().map(|line| line["number"].as_u64());
    let rest = (head.number % 7 != 0).then_some(head.number);
    let expected = (7..=head.number).step_by(7).chain(rest);
    assert!(numbers.eq(expected.map(Some)), "{ran}");
    for line in durable {
        let number = line["number"].as_u64().expect("compared above");
        assert_eq!(line["hash"], json!(chain.hash(number)), "{ran}");
    }

    datadir.check(head);
    let told = format!("{ran}");
    {
        let store = datadir.store();
        let snapshot = store.snapshot().expect("a chain");
        let verified = verify(&snapshot, &told);
        assert_eq!((verified.bodies, verified.receipts), (head.number + 1, head.number + 1));
        replayed.check(&snapshot, 0..=head.number, &told);
        for block in &chain.blocks {
            let number = block.block().header.number;
            assert_eq!(snapshot.header(number).expect("it is there").0, block.hash(), "{told}");
        }
    }
    let out = place.path(&format!("{mode}.rlp"));
    datadir.run(&["export"], &[text(&out)]).ends(0);
    assert!(std::fs::read(&out).expect("a file") == chain.rlp(), "another file than {told}");
    datadir.run(&["export"], &["--from", "3", "--to", "9", text(&out)]).ends(0);
    assert!(std::fs::read(&out).expect("a file") == rlp(&chain.blocks[2..9]), "{told}");
}

#[test]
fn an_export_of_what_is_not_there_is_refused() {
    let place = Place::new(&OLD);
    let (datadir, out) = (place.datadir("data"), place.path("out"));
    datadir.import(&[], &[&place.file()]).ends(0);
    let head = OLD.head().number;
    let (above, head) = ((head + 1).to_string(), head.to_string());
    let cases: [(&[&str], &str); 3] = [
        (&["--to", &above], "above the head"),
        (&["--from", "9", "--to", "8"], "--from 9: above the last block, 8"),
        (&["--format", "era1", "--to", &head], "not whole eras of 8192 blocks"),
    ];
    for (options, needle) in cases {
        datadir.run(&["export"], &[options, &[text(&out)]].concat()).ends(2).says(needle);
        assert!(!out.exists(), "{options:?} wrote something");
    }
}

#[test]
fn an_export_replaces_a_file_and_writes_to_whatever_else_is_there() {
    let place = Place::new(&OLD);
    let datadir = place.datadir("data");
    datadir.import(&[], &[&place.file()]).ends(0);
    let (file, folder) = (place.path("file"), place.path("folder"));
    std::fs::create_dir(&folder).expect("room for a folder");
    datadir.run(&["export"], &[text(&folder)]).ends(2).says("Is a directory");
    assert!(!place.path("folder.partial").exists(), "it is told before anything is written");
    // As /dev/stdout is one.
    let link = place.path("link");
    std::fs::write(&file, b"what was there").expect("room for a file");
    std::os::unix::fs::symlink(&file, &link).expect("room for a link");
    let exported = datadir.run(&["export"], &[text(&link)]).ends(0).says("blocks 1 to ");
    assert!(link.is_symlink(), "the link is replaced: {exported}");
    assert!(std::fs::read(&file).expect("a file") == OLD.rlp(), "{exported}");
    assert_eq!(exported.stdout, "");
}

/// Accounts and slots that change most often.
fn liveliest(replayed: &Replayed) -> (Vec<Address>, Vec<(Address, U256)>) {
    let mut accounts: BTreeMap<Address, usize> = BTreeMap::new();
    let mut cells: BTreeMap<(Address, U256), usize> = BTreeMap::new();
    for (address, slots) in replayed.keys() {
        for pair in replayed.states.windows(2) {
            let [before, after] = pair else { continue };
            *accounts.entry(address).or_default() +=
                usize::from(before.account(address) != after.account(address));
            for slot in &slots {
                *cells.entry((address, *slot)).or_default() +=
                    usize::from(before.slot(address, *slot) != after.slot(address, *slot));
            }
        }
    }
    (most(accounts), most(cells))
}

fn most<K>(counts: BTreeMap<K, usize>) -> Vec<K> {
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts.into_iter().take(ASKED).map(|(key, _)| key).collect()
}

#[test]
fn the_program_tells_accounts_and_slots_after_every_block() {
    let place = Place::new(&MODERN);
    let datadir = place.datadir("data");
    datadir.import(&[], &[&place.file()]).ends(0);
    let replayed = Replayed::new(&MODERN);
    let (accounts, cells) = liveliest(&replayed);
    let get = |number: usize, what: &[&str]| {
        let options = ["--json", "--block", &number.to_string()];
        datadir.run(&["state", "get"], &[&options[..], what].concat()).ends(0)
    };
    for (number, state) in replayed.states.iter().enumerate() {
        for address in &accounts {
            let ran = get(number, &[&address.to_string()]);
            let expected = match state.account(*address).expect("memory answers") {
                None => json!({ "block": number, "exists": false }),
                Some(account) => json!({
                    "block": number, "exists": true, "nonce": account.nonce,
                    "balance": account.balance, "codeHash": account.code_hash,
                    "codeBytes": state.codes.get(&account.code_hash).map_or(0, |code| code.len()),
                    "hasStorage": state.has_storage(*address).expect("memory answers"),
                }),
            };
            assert_eq!(ran.last(), expected, "{ran}");
        }
        for (address, slot) in &cells {
            let ran = get(number, &[&address.to_string(), &slot.to_string()]);
            let value = state.slot(*address, *slot).expect("memory answers");
            let expected = json!({ "block": number, "slot": slot, "value": value });
            assert_eq!(ran.last(), expected, "{ran}");
        }
    }
    // Without a number it is the head.
    let address = accounts[0].to_string();
    let ran = datadir.run(&["state", "get"], &["--json", &address]).ends(0);
    assert_eq!(ran.last()["block"], MODERN.head().number, "{ran}");
    let above = (MODERN.head().number + 1).to_string();
    let ran = datadir.run(&["state", "get"], &["--block", &above, &address]);
    ran.ends(2).says(&format!("block {above} is above the head"));
}

#[test]
fn an_import_that_stopped_at_a_block_goes_on_after_it() {
    let place = Place::new(&DESTRUCTIVE);
    let (datadir, file, head) = (place.datadir("data"), place.file(), DESTRUCTIVE.head());
    let middle = Head { number: 41, hash: DESTRUCTIVE.hash(41) };
    let all = head.number;
    datadir.import(&["--to", "41", "--batch", "16"], &[&file]).imported(middle, 41, 0);
    datadir.check(middle);
    datadir.import(&["--to", "41"], &[&file]).imported(middle, 0, 41);
    datadir.import(&[], &[&file]).imported(head, all - 41, 41);
    let again = datadir.import(&[], &[&file]).imported(head, 0, all);
    let durable = again.lines().iter().filter(|line| line["type"] == "durable").count();
    assert_eq!(durable, 0, "nothing is written again: {again}");
    datadir.check(head);
    let told = "after an import in two parts";
    let store = datadir.store();
    let snapshot = store.snapshot().expect("a chain");
    Replayed::new(&DESTRUCTIVE).check(&snapshot, 0..=all, told);
}

/// A chain with the first seven or eight blocks in common with other branches.
fn branch(fork: Fork, branch: u64, blocks: usize) -> TestChain {
    TestChain::new(&Recipe { seed: 0xb0a, fork, blocks, transactions: 3, shared: 7, branch })
}

/// Two branches, the second of them longer.
fn branches(fork: Fork) -> [TestChain; 2] {
    [branch(fork, 1, 16), branch(fork, 2, 22)]
}

#[test]
fn the_longer_branch_becomes_the_chain() {
    for fork in [Fork::SpuriousDragon, Fork::Shanghai] {
        let [short, long] = branches(fork);
        let common = short.fork_with(&long);
        assert!((7..=8).contains(&common), "{common} blocks in common");
        let replayed = Replayed::new(&long);
        for mode in ["seq", "occ"] {
            for batch in ["1", "3", "1024"] {
                for are_together in [true, false] {
                    let told = format!("{fork:?}, {mode}, batch {batch}, together {are_together}");
                    let place = Place::new(&long);
                    let first = place.write("short.rlp", &short.rlp());
                    let datadir = place.datadir("data");
                    let (options, second) = (["--mode", mode, "--batch", batch], place.file());
                    let (known, new) = (common, long.head().number - common);
                    let all = short.head().number;
                    let ran = if are_together {
                        let ran = datadir.import(&options, &[&first, &second]);
                        ran.imported(long.head(), all + new, known)
                    } else {
                        datadir.import(&options, &[&first]).imported(short.head(), all, 0);
                        datadir.import(&options, &[&second]).imported(long.head(), new, known)
                    };
                    let ran = ran.says("reorganised to block");
                    datadir.check(long.head());
                    let store = datadir.store();
                    let snapshot = store.snapshot().expect("a chain");
                    replayed.check(&snapshot, 0..=long.head().number, &format!("{told}: {ran}"));
                }
            }
        }
    }
}

#[test]
fn a_branch_that_is_not_longer_changes_nothing() {
    for fork in [Fork::SpuriousDragon, Fork::Shanghai] {
        let [short, long] = branches(fork);
        let place = Place::new(&long);
        let datadir = place.datadir("data");
        datadir.import(&["--batch", "5"], &[&place.file()]).ends(0);
        let side = place.write("short.rlp", &short.rlp());
        let same = place.write("same.rlp", &rlp(&long.blocks[..short.blocks.len()]));
        let (common, sides) = (short.fork_with(&long), short.head().number);
        let ran = datadir.import(&[], &[&side]).imported(long.head(), sides - common, common);
        assert!(!ran.stderr.contains("reorganised"), "{ran}");
        datadir.check(long.head());

        // As long as the chain: what came first stays.
        let datadir = place.datadir("short");
        datadir.import(&[], &[&side]).ends(0);
        let ran = datadir.import(&[], &[&same]).imported(short.head(), sides - common, common);
        assert!(!ran.stderr.contains("reorganised"), "{ran}");
        datadir.check(short.head());
    }
}

#[test]
fn an_invalid_block_is_named_and_what_is_before_it_stays() {
    type Change = fn(&mut Block);
    let cases: [(&str, Change); 4] = [
        ("stateRoot", |block| block.header.state_root.0[7] ^= 1),
        ("receiptsRoot", |block| block.header.receipts_root.0[7] ^= 1),
        ("gasUsed", |block| block.header.gas_used += 1),
        ("transactionsRoot", |block| block.header.transactions_root.0[7] ^= 1),
    ];
    let (place, head) = (Place::new(&DESTRUCTIVE), DESTRUCTIVE.head());
    let replayed = Replayed::new(&DESTRUCTIVE);
    let number = 52;
    let before = Head { number: number - 1, hash: DESTRUCTIVE.hash(number - 1) };
    for (field, change) in cases {
        let mut blocks = DESTRUCTIVE.blocks.clone();
        let bad = changed(DESTRUCTIVE.block(number), change);
        assert!(!bad.block().body.transactions.is_empty(), "a block with work");
        let hash = bad.hash();
        blocks[51] = bad;
        let file = place.write("bad.rlp", &rlp(&blocks));
        for mode in ["seq", "occ"] {
            let datadir = place.datadir(&format!("{field}-{mode}"));
            let ran = datadir.import(&["--mode", mode, "--batch", "20"], &[&file]).ends(1);
            let ran = ran.says(&format!("block {number} ({hash}) is invalid: {field}: expected"));
            assert_eq!(ran.last()["head"], head_json(before), "{ran}");
            datadir.check(before);
            {
                let store = datadir.store();
                let snapshot = store.snapshot().expect("a chain");
                replayed.check(&snapshot, 0..=before.number, &format!("{ran}"));
            }
            datadir.import(&[], &[&place.file()]).imported(head, head.number - 51, 51);
        }
    }
}

#[test]
fn blocks_that_are_not_linked_to_the_chain_are_named() {
    let place = Place::new(&OLD);
    let datadir = place.datadir("data");
    let file = place.write("late.rlp", &rlp(&OLD.blocks[10..]));
    let (block, parent) = (OLD.hash(11), OLD.hash(10));
    let ran = datadir.import(&[], &[&file]).ends(2);
    ran.says(&format!("block 11 ({block}): its parent {parent} is not known"));
    datadir.check(Head { number: 0, hash: OLD.hash(0) });
}

#[test]
fn branches_beside_the_chain_have_little_room_and_harm_nothing() {
    let [main, long] = branches(Fork::Shanghai);
    let other = branch(Fork::Shanghai, 3, 22);
    let fork = usize::try_from(main.fork_with(&long)).expect("few blocks");
    assert_eq!(main.fork_with(&other), fork as u64);
    let store = Store::memory(Faults::none());
    Chain::init(&store, &main.genesis).expect("a good genesis");
    let options = ChainOptions { side_blocks_max: 3, ..ChainOptions::new(Mode::Seq, 1) };
    let mut chain = Chain::open(store, main.genesis.chain.clone(), options).expect("a chain");
    for block in &main.blocks {
        chain.import(block.clone()).expect("a good block");
    }
    let mut place = |block: &SealedBlock| chain.import(block.clone()).map(|done| done.place);
    for block in &long.blocks[fork..fork + 3] {
        assert_eq!(place(block), Ok(Side));
    }
    // The fourth has no room, and its own branch is not given up for it.
    let too_long = place(&long.blocks[fork + 3]);
    assert!(matches!(too_long, Err(ImportError::BranchTooLong { .. })), "{too_long:?}");
    assert_eq!(place(&long.blocks[fork + 2]), Ok(Known));
    // Another branch is.
    for block in &other.blocks[fork..fork + 3] {
        assert_eq!(place(block), Ok(Side));
    }
    let orphan = place(&long.blocks[fork + 3]);
    assert!(matches!(orphan, Err(ImportError::UnknownParent { .. })), "{orphan:?}");
    assert_eq!(chain.head(), main.head());
    assert_eq!(chain.flush(), Ok(Some(main.head())));
}

/// A block as another one, but for what `change` does to it.
fn changed(block: &SealedBlock, change: impl FnOnce(&mut Block)) -> SealedBlock {
    let mut block = block.block().clone();
    change(&mut block);
    SealedBlock::seal(block)
}

#[test]
fn a_block_of_another_chain_is_not_called_invalid_whatever_its_body_is() {
    let place = Place::new(&OLD);
    let datadir = place.datadir("data");
    let bad = changed(OLD.block(11), |block| block.body.transactions.clear());
    assert_eq!(bad.hash(), OLD.hash(11), "the body alone is another");
    let parent = OLD.hash(10);
    let told = format!("block 11 ({}): its parent {parent} is not known", bad.hash());
    let late = place.write("late.rlp", &rlp(std::slice::from_ref(&bad)));
    datadir.import(&[], &[&late]).ends(2).says(&told);
    // On its chain it is invalid.
    let good = place.write("good.rlp", &rlp(&OLD.blocks[..10]));
    datadir.import(&[], &[&good]).ends(0);
    datadir.import(&[], &[&late]).ends(1).says("transactionsRoot");
    datadir.check(Head { number: 10, hash: parent });
}

#[test]
fn what_builds_on_an_invalid_block_is_invalid_however_far_above_it() {
    let bad = changed(MODERN.block(1), |block| block.header.state_root = B256::ZERO);
    let child = changed(MODERN.block(2), |block| block.header.parent_hash = bad.hash());
    let grandchild = changed(MODERN.block(3), |block| block.header.parent_hash = child.hash());
    let store = Store::memory(Faults::none());
    Chain::init(&store, &MODERN.genesis).expect("a good genesis");
    let options = ChainOptions::new(Mode::Seq, 1);
    let chain = Chain::open(store, MODERN.genesis.chain.clone(), options);
    let mut chain = chain.expect("a chain");
    let mut reason = |block: &SealedBlock| match chain.import(block.clone()) {
        Err(ImportError::Invalid { reason, .. }) => *reason,
        other => panic!("{other:?}"),
    };
    assert!(matches!(reason(&bad), InvalidReason::StateRoot { .. }));
    assert_eq!(reason(&child), InvalidReason::Parent(bad.hash()));
    assert_eq!(reason(&grandchild), InvalidReason::Parent(child.hash()));
    // One whose header alone is refused is remembered, too.
    let bad = changed(MODERN.block(1), |block| block.header.timestamp = 0);
    let child = changed(MODERN.block(2), |block| block.header.parent_hash = bad.hash());
    assert!(matches!(reason(&bad), InvalidReason::Header(_)));
    assert_eq!(reason(&child), InvalidReason::Parent(bad.hash()));
}

#[test]
fn a_body_that_is_not_the_one_of_its_header_says_nothing_about_the_block() {
    let chain = &*DESTRUCTIVE;
    let store = Store::memory(Faults::none());
    Chain::init(&store, &chain.genesis).expect("a good genesis");
    let options = ChainOptions::new(Mode::Seq, 1);
    let opened = Chain::open(store, chain.genesis.chain.clone(), options);
    let mut opened = opened.expect("a chain");
    let mut import = |block: &SealedBlock| opened.import(block.clone()).map(|done| done.number);
    assert_eq!(import(chain.block(1)), Ok(1));
    let changes: [fn(&mut Block); 2] = [
        |block| block.body.transactions.clear(),
        |block| block.body.withdrawals = Some(Default::default()),
    ];
    for (number, change) in (2..).zip(changes) {
        let good = chain.block(number);
        let bad = changed(good, change);
        assert_ne!(bad.block().body, good.block().body, "block {number}");
        let refused = import(&bad);
        assert!(matches!(refused, Err(ImportError::Invalid { .. })), "{refused:?}");
        // With its own body it is as good as ever, and so is its child.
        assert_eq!(import(good), Ok(number));
    }
    assert_eq!(import(chain.block(4)), Ok(4));
}

/// Bounds of what a store keeps: bodies, receipts, states.
fn oldest(datadir: &Datadir) -> [Value; 3] {
    let stats = datadir.db(&["stats"]).ends(0).last();
    ["oldestBody", "oldestReceipts", "oldestState"].map(|name| stats[name].clone())
}

#[test]
fn a_pruned_store_keeps_the_window_and_says_what_it_lacks() {
    let (place, head) = (Place::new(&DESTRUCTIVE), DESTRUCTIVE.head());
    let (file, out) = (place.file(), place.path("out.rlp"));
    let replayed = Replayed::new(&DESTRUCTIVE);
    let (accounts, _) = liveliest(&replayed);
    let address = accounts[0].to_string();
    let start = head.number - WINDOW;
    for (retention, body) in [("full:64", 0), ("minimal:64", start)] {
        let [at_once, in_steps, later] =
            ["once", "steps", "later"].map(|name| place.datadir(&format!("{name}-{body}")));
        let options = ["--retention", retention];
        at_once.import(&options, &[&file]).imported(head, head.number, 0);
        let steps = [&options[..], &["--batch", "9"]].concat();
        in_steps.import(&steps, &[&file]).imported(head, head.number, 0);
        later.import(&[], &[&file]).imported(head, head.number, 0);
        let pruned = later.db(&["prune", "--retention", retention]).ends(0);
        let expected =
            json!({ "type": "prune", "states": start, "receipts": start, "bodies": body });
        assert_eq!(pruned.last(), expected, "{pruned}");

        for datadir in [at_once, in_steps, later] {
            let told = format!("{retention}: {}", datadir.path.display());
            assert_eq!(oldest(&datadir), [json!(body), json!(start), json!(start)], "{told}");
            let get = |number: u64| {
                let number = number.to_string();
                datadir.run(&["state", "get"], &["--json", "--block", &number, &address])
            };
            let lacks = format!("state of block 1 is pruned, oldest is {start}");
            get(1).ends(2).says(&lacks);
            get(start - 1).ends(2).says("is pruned");
            get(start).ends(0);
            check_window(&datadir, &replayed, start..=head.number, &told);
            let export = datadir.run(&["export"], &[text(&out)]);
            if body == 0 {
                export.ends(0);
                assert!(std::fs::read(&out).expect("a file") == DESTRUCTIVE.rlp(), "{told}");
            } else {
                export.ends(2).says(&format!("body of block 1 is pruned, oldest is {start}"));
            }

            // Back within the window, and forth again; not back to what is gone.
            datadir.db(&["unwind", "--to", "2"]).ends(2).says("state of block 2 is pruned");
            let to = head.number - 20;
            datadir.db(&["unwind", "--to", &to.to_string()]).ends(0);
            check_window(&datadir, &replayed, start..=to, &told);
            datadir.import(&options, &[&file]).imported(head, 20, to);
            check_window(&datadir, &replayed, start..=head.number, &told);
        }
    }
}

/// The store is sound, and has the states after these blocks.
fn check_window(datadir: &Datadir, replayed: &Replayed, numbers: RangeInclusive<u64>, told: &str) {
    let head = *numbers.end();
    datadir.check(Head { number: head, hash: DESTRUCTIVE.hash(head) });
    let store = datadir.store();
    let snapshot = store.snapshot().expect("a chain");
    replayed.check(&snapshot, numbers, told);
}

#[test]
fn unwound_blocks_can_be_imported_again() {
    let (place, head) = (Place::new(&DESTRUCTIVE), DESTRUCTIVE.head());
    let (datadir, file) = (place.datadir("data"), place.file());
    let replayed = Replayed::new(&DESTRUCTIVE);
    datadir.import(&[], &[&file]).ends(0);
    for to in [head.number, head.number - 1, 40, 0] {
        let ran = datadir.db(&["unwind", "--to", &to.to_string()]).ends(0);
        let to = Head { number: to, hash: DESTRUCTIVE.hash(to) };
        let expected = json!({ "type": "unwind", "from": head.number, "head": head_json(to) });
        assert_eq!(ran.last(), expected, "{ran}");
        check_window(&datadir, &replayed, 0..=to.number, &format!("{ran}"));
        let new = head.number - to.number;
        let ran = datadir.import(&["--batch", "33"], &[&file]).imported(head, new, to.number);
        check_window(&datadir, &replayed, 0..=head.number, &format!("{ran}"));
    }
    let above = (head.number + 1).to_string();
    datadir.db(&["unwind", "--to", &above]).ends(2).says("above the head");
}

/// Head of the chain of the JSON-RPC tests.
const RPC_HEAD: B256 = b256!("0xd226371d0b1551adb03fb52b71f08e3e11247fe9b1af994768af8cdaa8e7dcd7");
/// State roots of the last blocks of era files.
const MAINNET_16383: B256 =
    b256!("0xe5e5a767fa558d17c5a80bda68a0b98b426b500c443cfebf68feddd9f373192b");
const SEPOLIA_8191: B256 =
    b256!("0x93375bd8da5611012a5e1c4732b432045ebe92acec13d391410b89afd8e8a464");

#[test]
fn the_chain_of_the_json_rpc_tests_is_imported_through_all_its_forks() {
    let Some(folder) = recorded("rpc-compat") else { return };
    let (place, file) = (Place::new(&OLD), folder.join("chain.rlp"));
    for mode in ["seq", "occ"] {
        let chain = text(&folder.join("genesis.json")).to_owned();
        let datadir = Datadir { chain, ..place.datadir(mode) };
        let head = Head { number: 54, hash: RPC_HEAD };
        datadir.import(&["--mode", mode, "--batch", "10"], &[&file]).imported(head, 54, 0);
        datadir.check(head);
        let out = place.path("out.rlp");
        datadir.run(&["export"], &[text(&out)]).ends(0);
        let [ours, theirs] = [&out, &file].map(|path| std::fs::read(path).expect("a file"));
        assert!(ours == theirs, "{mode}: the export is another file");
    }
}

/// Imports era files of a public chain, up to a block with a known state root; gives the place of
/// the data folder.
fn import_eras(name: &str, mode: &str, files: &[&str], last: (u64, B256)) -> Option<Place> {
    let folder = recorded("era1")?;
    let place = Place::new(&OLD);
    let datadir = Datadir { chain: name.to_owned(), ..place.datadir("data") };
    let files: Vec<PathBuf> = files.iter().map(|file| folder.join(file)).collect();
    let files: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
    let ran = datadir.import(&["--mode", mode], &files).ends(0);
    let (number, state_root) = last;
    assert_eq!(ran.last()["blocks"], number, "{ran}");
    let hash = {
        let store = datadir.store();
        let snapshot = store.snapshot().expect("a chain");
        let (hash, header) = snapshot.header(number).expect("the head");
        assert_eq!(header.state_root, state_root, "{ran}");
        hash
    };
    datadir.check(Head { number, hash });
    // The names hold the chain, and the accumulators of the files.
    let out = place.path("eras");
    let exported = datadir.run(&["export"], &["--format", "era1", text(&out)]).ends(0);
    for file in &files {
        let copy = out.join(file.file_name().expect("a file"));
        assert!(copy.is_file(), "{} was not written: {exported}", copy.display());
    }
    Some(place)
}

const MAINNET_FILES: [&str; 2] = ["mainnet-00000-5ec1ffb8.era1", "mainnet-00001-a5364e9a.era1"];

#[test]
fn era_files_of_mainnet_are_imported_sequentially() {
    import_eras("mainnet", "seq", &MAINNET_FILES, (16_383, MAINNET_16383));
}

#[test]
fn era_files_of_mainnet_are_imported_in_parallel() {
    import_eras("mainnet", "occ", &MAINNET_FILES, (16_383, MAINNET_16383));
}

#[test]
fn era_files_of_sepolia_are_imported_and_do_not_skip_blocks() {
    let file = "sepolia-00000-643a00f7.era1";
    for mode in ["seq", "occ"] {
        let imported = import_eras("sepolia", mode, &[file], (8_191, SEPOLIA_8191));
        let Some(place) = imported else { return };
        let folder = recorded("era1").expect("it was there");
        let late = folder.join("sepolia-00021-b8814b14.era1");
        let datadir = Datadir { chain: "sepolia".to_owned(), ..place.datadir("data") };
        let ran = datadir.import(&["--mode", mode], &[&late]).ends(2);
        let ran = ran.says("block 172032 (0x").says("is not known");
        let stats = datadir.db(&["stats"]).ends(0);
        assert_eq!(stats.last()["head"]["number"], 8_191, "{ran}");
    }
}
