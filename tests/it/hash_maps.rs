//! Keys that others choose lie in hash maps everywhere: addresses and slots of a block, hashes of
//! transactions in the pool, what a call assumes. Whoever knew how they are hashed could send keys
//! that all belong into one place of a map, and each look at it would go through all of them. So
//! every map hashes in its own way, and in another one with each start of the program.
//!
//! Numbers after `f` are those of `rules_http`.

use crate::support::{files, root};
use fugue_types::{Address, AddressMap, B256, B256Map, HashMap, HashSet, U256};
use std::{
    collections::BTreeMap,
    hash::{BuildHasher, Hash},
    process::Command,
};

/// Places of the map whose keys are looked at; a power of two, as maps have.
const PLACES: u64 = 1 << 12;
/// Keys that an adversary has found for one place.
const CROWD: usize = 64;
/// Of so many keys in other places at random, more at one are as good as impossible.
const AT_ONE_PLACE_MAX: usize = 8;
/// Maps that are compared, of which the first is the one that the adversary knows.
const MAPS: usize = 9;
/// Set where this program runs itself to tell how it hashes.
const TELLS: &str = "FUGUE_TELLS_HASHES";

/// Where a map with [`PLACES`] places begins to look for a key.
fn place(builder: &impl BuildHasher, key: &impl Hash) -> u64 {
    builder.hash_one(key) % PLACES
}

/// Keys that belong into one place of the first map belong into different ones of most others. A
/// seed that is alike by chance is no help to somebody who cannot know of it.
fn assert_spread<K: Hash, B: BuildHasher>(
    kind: &str,
    builders: [&B; MAPS],
    key: impl Fn(u64) -> K,
) {
    let crowded = place(builders[0], &key(0));
    let keys = (0..).map(key).filter(|key| place(builders[0], key) == crowded);
    let crowd: Vec<K> = keys.take(CROWD).collect();
    let most_at_one_place = |builder: &&B| {
        let mut found: BTreeMap<u64, usize> = BTreeMap::new();
        for key in &crowd {
            *found.entry(place(*builder, key)).or_default() += 1;
        }
        found.into_values().max().unwrap_or_default()
    };
    let most: Vec<usize> = builders.iter().skip(1).map(most_at_one_place).collect();
    let crowded = most.iter().filter(|most| **most > AT_ONE_PLACE_MAX).count();
    assert!(2 * crowded < most.len(), "{kind}: of {CROWD} keys at one place again: {most:?}");
}

fn word(number: u64) -> B256 {
    B256::from(U256::from(number))
}

fn address(number: u64) -> Address {
    Address::from_word(word(number))
}

fn slot(number: u64) -> U256 {
    U256::from(number)
}

#[test]
fn f14_keys_that_share_a_place_of_one_map_do_not_in_the_next() {
    let accounts = [(); MAPS].map(|()| AddressMap::<u64>::default());
    assert_spread("accounts", accounts.each_ref().map(|map| map.hasher()), address);
    let codes = [(); MAPS].map(|()| B256Map::<u64>::default());
    assert_spread("hashes", codes.each_ref().map(|map| map.hasher()), word);
    let slots = [(); MAPS].map(|()| HashMap::<U256, U256>::default());
    assert_spread("slots", slots.each_ref().map(|map| map.hasher()), slot);
    let pairs = [(); MAPS].map(|()| HashMap::<(Address, U256), U256>::default());
    let pair = |number: u64| (address(number % 7), slot(number));
    assert_spread("slots of accounts", pairs.each_ref().map(|map| map.hasher()), pair);
    let sets = [(); MAPS].map(|()| HashSet::<Address>::default());
    assert_spread("sets of accounts", sets.each_ref().map(|set| set.hasher()), address);
}

#[test]
fn f14_no_start_of_the_program_hashes_as_another() {
    let (account, slot) = (address(7), slot(7));
    let hashes = || {
        let of_account = AddressMap::<u64>::default().hasher().hash_one(account);
        let of_slot = HashMap::<U256, u64>::default().hasher().hash_one(slot);
        format!("hashes {of_account:x} {of_slot:x}")
    };
    if std::env::var_os(TELLS).is_some() {
        println!("{}", hashes());
        return;
    }
    let told = || {
        let program = std::env::current_exe().expect("this program");
        let mut command = Command::new(program);
        let name = "hash_maps::f14_no_start_of_the_program_hashes_as_another";
        command.args([name, "--exact", "--nocapture"]).env(TELLS, "1");
        let output = command.output().expect("it starts");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line =
            text.lines().find_map(|line| line.find("hashes ").map(|at| line[at..].to_owned()));
        line.unwrap_or_else(|| panic!("it tells nothing: {output:?}"))
    };
    let (one, other) = (told(), told());
    for (of_one, of_other) in one.split(' ').zip(other.split(' ')).skip(1) {
        assert_ne!(of_one, of_other, "{one}, then {other}");
    }
}

#[test]
fn f14_no_map_hashes_in_a_way_that_is_known_before() {
    // Hashers without a seed, or with one that is always the same.
    let needles = [
        "FxHash",
        "FxBuildHasher",
        "FixedState",
        "BuildHasherDefault",
        "DefaultHasher::new",
        "Fnv",
    ];
    let folders = ["crates", "bin"].map(|folder| files(&root().join(folder)));
    let mut seen = 0;
    let mut faults = Vec::new();
    for path in folders.iter().flatten() {
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        seen += 1;
        let text = std::fs::read_to_string(path).expect("code is UTF-8");
        let found = needles.iter().filter(|needle| text.contains(**needle));
        faults.extend(found.map(|needle| format!("{}: {needle}", path.display())));
    }
    assert!(seen > 100 && faults.is_empty(), "{seen} files: {}", faults.join("\n"));
}
