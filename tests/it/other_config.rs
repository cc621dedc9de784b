//! Another configuration for a chain that has begun: forks that are scheduled while it runs.

use crate::{
    import_support::{Datadir, Place, Ran, Recipe, TestChain, rlp, text},
    node_support::{Site, fugue},
    rules_support::WireChain,
};
use fugue_chain::{Chain, ConfigureError, Genesis, Head, StorageError};
use fugue_chainspec::Fork;
use fugue_types::Address;
use fugue_workload::{BLOCK_GAS_LIMIT, BlockPlan, Forge};
use serde_json::{Value, json};

/// Seconds between blocks.
const SLOT_SECONDS: u64 = 12;
/// The first block of Shanghai.
const SHANGHAI: u64 = 5;
/// The last block.
const LAST: u64 = 8;

/// A genesis file with another value of its configuration.
fn with(json: &[u8], name: &str, value: Value) -> Vec<u8> {
    let mut json: Value = serde_json::from_slice(json).expect("JSON");
    json["config"][name] = value;
    json.to_string().into_bytes()
}

/// The time of a block.
fn time(chain: &TestChain, number: u64) -> u64 {
    chain.first.block().header.timestamp + number * SLOT_SECONDS
}

/// A chain of Paris on which Shanghai comes; and its genesis file without that.
fn scheduled() -> (TestChain, Vec<u8>) {
    let paris = TestChain::new(&Recipe::new(0xc0f, Fork::Paris, 1, 1));
    let json = with(&paris.json, "shanghaiTime", json!(time(&paris, SHANGHAI)));
    let genesis = Genesis::from_json(&json).expect("a good genesis file");
    let header = paris.first.block().header.clone();
    let forge = Forge::new(genesis.chain.clone(), genesis.state.clone(), header, 1);
    let mut forge = forge.expect("a thread");
    let plan = BlockPlan {
        transactions: Vec::new(),
        beneficiary: Address::repeat_byte(0xfe),
        withdrawals: Vec::new(),
        gas_limit: BLOCK_GAS_LIMIT,
    };
    let blocks = (0..LAST).map(|_| forge.add(&plan).expect("a good block").block).collect();
    let TestChain { json: without, first, .. } = paris;
    (TestChain { json, genesis, first, blocks }, without)
}

impl Datadir {
    /// The same folder with another genesis file.
    fn with_chain(&self, place: &Place, name: &str, json: &[u8]) -> Self {
        Self { chain: text(&place.write(name, json)).to_owned(), ..self.clone() }
    }

    fn init(&self) -> Ran {
        self.run(&["init"], &["--json", "--chain", &self.chain])
    }

    /// Whether `init` gives the chain another configuration.
    #[track_caller]
    fn is_configured(&self) -> bool {
        let ran = self.init().ends(0);
        assert_eq!(ran.last()["isNew"], false, "{ran}");
        ran.last()["isConfigured"].as_bool().unwrap_or_else(|| panic!("it is not told: {ran}"))
    }
}

#[test]
fn a_fork_that_is_yet_to_come_is_taken_and_holds_at_its_time() {
    let (chain, without) = scheduled();
    let place = Place::new(&chain);
    let new = place.datadir("data");
    let old = new.with_chain(&place, "old.json", &without);
    let before = SHANGHAI - 1;
    let head = Head { number: before, hash: chain.hash(before) };
    let short = place.write("short.rlp", &rlp(&chain.blocks[..4]));
    old.import(&[], &[&short]).imported(head, before, 0);
    let file = place.file();
    old.import(&[], &[&file]).ends(1).says("withdrawalsRoot");

    assert!(new.is_configured());
    assert!(!new.is_configured(), "it has it now");
    assert!(old.is_configured() && new.is_configured(), "there and back");
    // It is that of the folder, also where none is named.
    let own = ["--threads", "2", "--json", text(&file)];
    new.run(&["import"], &own).imported(chain.head(), LAST - before, before);
    new.check(chain.head());

    let told = format!("block {SHANGHAI} has other rules: Paris, not Shanghai");
    old.init().ends(2).says("another configuration than --chain gives").says(&told);
    assert!(!new.is_configured(), "nothing was written");
}

#[test]
fn a_fork_that_blocks_have_come_to_is_refused_by_the_first_of_them() {
    let (chain, _) = scheduled();
    let place = Place::new(&chain);
    let datadir = place.datadir("data");
    datadir.import(&[], &[&place.file()]).imported(chain.head(), LAST, 0);
    let other = |name: &str, value: Value| {
        datadir.with_chain(&place, "other.json", &with(&chain.json, name, value))
    };
    for (name, value, told) in [
        ("cancunTime", json!(time(&chain, 7)), "block 7 has other rules: Cancun, not Shanghai"),
        ("cancunTime", json!(time(&chain, LAST)), "block 8 has other rules: Cancun, not Shanghai"),
        ("shanghaiTime", json!(time(&chain, 3)), "block 3 has other rules: Shanghai, not Paris"),
        ("terminalTotalDifficulty", json!(1), "terminalTotalDifficulty 1, not 0"),
        ("chainId", json!(8), "chain id 8, not "),
    ] {
        let other = other(name, value);
        let ran = other.init().ends(2).says(told);
        assert!(ran.stdout.is_empty(), "{ran}");
        other.import(&[], &[&place.file()]).ends(2).says(told);
        assert!(!datadir.is_configured(), "{told}: nothing was written");
    }
    let later = other("cancunTime", json!(time(&chain, LAST) + 1));
    later.import(&[], &[&place.file()]).imported(chain.head(), 0, LAST);
    assert!(!later.is_configured(), "the import has stored it");
}

#[test]
fn a_configuration_that_says_the_same_is_not_written() {
    let (chain, without) = scheduled();
    let place = Place::new(&chain);
    let datadir = place.datadir("data");
    datadir.init().ends(0);
    let (store, journal) = (datadir.store(), place.path("journal"));
    let same = Chain::configure(&store, &chain.genesis, &journal);
    assert!(matches!(same, Ok(false)), "{same:?}");
    let other = Genesis::from_json(&without).expect("a good genesis file");
    let other = Chain::configure(&store, &other, &journal);
    let is_refused = matches!(other, Err(ConfigureError::Storage(StorageError::ReadOnly { .. })));
    assert!(is_refused, "the store is opened for reading: {other:?}");
    assert!(!journal.exists());
}

#[test]
fn blocks_that_a_node_has_in_its_journal_alone_keep_their_rules() {
    let site = Site::new(WireChain::of_recipe(&Recipe::new(0xc10, Fork::Prague, 5, 1)));
    let node = site.start(&[]);
    site.follow(node.engine(), 1..=3);
    node.kill();
    let datadir = site.place.datadir("data");
    assert_eq!(datadir.store().head().expect("a chain").number, 0, "they are in the journal");

    let chain = &site.chain.chain;
    let osaka = |time: u64| with(&chain.json, "osakaTime", json!(time));
    let time = |number: u64| chain.block(number).block().header.timestamp;
    let early = datadir.with_chain(&site.place, "early.json", &osaka(time(3)));
    let flags = ["node", "--datadir", text(&early.path), "--chain", &early.chain, "--ipcdisable"];
    let told = "of the blocks that are not in the database yet, block 3 has other rules: Osaka, \
                not Prague";
    Ran::in_time("a node that does not start", fugue(&flags)).ends(2).says(told);
    early.init().ends(2).says(told);

    site.place.write("genesis.json", &osaka(time(site.chain.last()) + 1));
    let node = site.start(&[]);
    let said = "the chain has another configuration from now on, that of --chain";
    assert!(node.said.contains_key(said), "{:?}", node.said);
    site.assert_head(node.engine(), 3);
    site.follow(node.engine(), 4..=site.chain.last());
    node.stop();
    datadir.check(chain.head());
}
