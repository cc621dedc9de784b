//! What needs an index of addresses: transactions of an address against all traces of the chain,
//! lists of accounts, what blocks changed, and addresses of hashes; on durable blocks and on those
//! above them, after a change of branches, where states are pruned, and where there is no index.

use crate::{
    engine_support::{Node, Setup},
    import_support::{MODERN, Place, Ran, Recipe, text},
    node_support::{Running, fugue},
    rules_support::{Wire, WireChain, choice_of, quantity, request, valid},
};
use fugue_chain::{Chain, Retention};
use fugue_chainspec::Fork;
use fugue_rpc::{EthLimits, RpcModule, public_module};
use fugue_storage::{Faults, Store};
use fugue_types::{Address, B256, keccak256};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The groups of methods that are asked here.
const APIS: [&str; 4] = ["debug", "eth", "ots", "trace"];
/// Addresses whose transactions are searched for.
const SEARCHED: usize = 6;
const REFUSED: i64 = -32_000;
const INVALID_PARAMS: i64 = -32_602;
const PRUNED: i64 = 4_444;

/// Number of the block and hash of a transaction.
type TxPlace = (u64, String);

/// A node, and its methods.
struct Subject {
    wire: Wire,
    methods: RpcModule<()>,
}

impl Subject {
    fn over(wire: Wire) -> Self {
        let engine = wire.node.engine().clone();
        let methods = public_module(engine, EthLimits::default(), &APIS.map(str::to_owned));
        Self { wire, methods: methods.expect("methods") }
    }

    /// The same where other limits hold.
    fn limit(&mut self, limits: EthLimits) {
        let engine = self.wire.node.engine().clone();
        let methods = public_module(engine, limits, &APIS.map(str::to_owned));
        self.methods = methods.expect("methods");
    }

    /// With an index, at the end of a chain that becomes durable in small batches.
    fn new(chain: WireChain, setup: &Setup) -> Self {
        let store = Store::memory(Faults::none());
        Chain::init_indexed(&store, &chain.chain.genesis).expect("an empty store");
        let node = Node::open(store, None, &chain.chain.genesis, setup).expect("a good store");
        let wire = Wire::over(chain, node);
        let last = wire.chain.last();
        wire.follow(1..=last);
        let durable = wire.node.settled().durable.number;
        assert!(durable > 0, "none of {last} blocks is durable");
        Self::over(wire)
    }

    fn head(&self) -> u64 {
        self.wire.node.view().head().number
    }

    /// The result, or code and message of the error.
    fn ask(&self, method: &str, params: &Value) -> Result<Value, (i64, String)> {
        let asked = request(method, params);
        let answer = self.wire.block_on(self.methods.raw_json_request(&asked, 1));
        let answer = answer.expect("a good request");
        let mut answer: Value = serde_json::from_str(answer.0.get()).expect("JSON");
        match answer.get("error") {
            None => Ok(answer["result"].take()),
            Some(error) => {
                let code = error["code"].as_i64().expect("a code");
                Err((code, error["message"].as_str().expect("a message").to_owned()))
            }
        }
    }

    #[track_caller]
    fn ok(&self, method: &str, params: &Value) -> Value {
        self.ask(method, params).unwrap_or_else(|error| panic!("{method} {params}: {error:?}"))
    }

    #[track_caller]
    fn refused(&self, method: &str, params: &Value) -> (i64, String) {
        match self.ask(method, params) {
            Ok(found) => panic!("{method} {params}: no error: {found}"),
            Err(error) => error,
        }
    }

    /// The transactions that concern each address, the oldest first, by the traces of all blocks.
    fn traced(&self) -> BTreeMap<Address, Vec<TxPlace>> {
        let mut concerned: BTreeMap<Address, Vec<TxPlace>> = BTreeMap::new();
        for block in 1..=self.head() {
            let traces = self.ok("trace_block", &json!([quantity(block)]));
            for trace in list(&traces) {
                let Some(hash) = trace["transactionHash"].as_str() else { continue };
                let place = (block, hash.to_owned());
                let action = &trace["action"];
                let ends = [
                    &action["from"],
                    &action["to"],
                    &action["address"],
                    &action["refundAddress"],
                    &trace["result"]["address"],
                ];
                for end in ends.into_iter().filter_map(Value::as_str) {
                    let end: Address = end.parse().expect("an address");
                    // It also stands for what did not come to be.
                    if end.is_zero() {
                        continue;
                    }
                    let places = concerned.entry(end).or_default();
                    if places.last() != Some(&place) {
                        places.push(place.clone());
                    }
                }
            }
        }
        concerned
    }

    /// All of an address, the newest first, in pages of at least so many.
    fn backwards(&self, address: Address, size: usize) -> Vec<TxPlace> {
        let (mut found, mut block) = (Vec::new(), 0);
        loop {
            let asked = json!([address, block, size]);
            let page = self.ok("ots_searchTransactionsBefore", &asked);
            let places = self.places(&page);
            assert_eq!(page["firstPage"], block == 0, "{asked}");
            found.extend(places.iter().cloned());
            if page["lastPage"] == true {
                return found;
            }
            assert!(places.len() >= size, "{asked}");
            block = places.last().expect("at least one").0;
        }
    }

    /// All of an address, the oldest first.
    fn forwards(&self, address: Address, size: usize) -> Vec<TxPlace> {
        let (mut found, mut block) = (Vec::new(), 0);
        loop {
            let asked = json!([address, quantity(block), size]);
            let page = self.ok("ots_searchTransactionsAfter", &asked);
            let places = self.places(&page);
            assert_eq!(page["lastPage"], block == 0, "{asked}");
            found.extend(places.iter().rev().cloned());
            if page["firstPage"] == true {
                return found;
            }
            assert!(places.len() >= size, "{asked}");
            block = places.first().expect("at least one").0;
        }
    }

    /// The transactions of a page, whose receipts are those of the chain.
    fn places(&self, page: &Value) -> Vec<TxPlace> {
        let (txs, receipts) = (list(&page["txs"]), list(&page["receipts"]));
        assert_eq!(txs.len(), receipts.len());
        let pairs = txs.iter().zip(receipts);
        pairs
            .map(|(tx, receipt)| {
                let hash = tx["hash"].as_str().expect("a hash").to_owned();
                assert_eq!(*tx, self.ok("eth_getTransactionByHash", &json!([hash])));
                let expected = self.ok("eth_getTransactionReceipt", &json!([hash]));
                for field in ["transactionHash", "logs", "logsBloom", "gasUsed", "status", "type"] {
                    assert_eq!(receipt[field], expected[field], "{hash}: {field}");
                }
                assert!(receipt["timestamp"].is_string(), "{hash}");
                (number(&tx["blockNumber"]), hash)
            })
            .collect()
    }

    /// All accounts after a block, by their hashes, in pages of a few.
    fn accounts(&self, block: u64) -> BTreeMap<B256, Value> {
        let header = self.ok("eth_getHeaderByNumber", &json!([quantity(block)]));
        let (mut all, mut start) = (BTreeMap::new(), json!("0x"));
        loop {
            let asked = json!([quantity(block), start, 7, true, true, false]);
            let page = self.ok("debug_accountRange", &asked);
            let root = page["root"].as_str().expect("a root");
            assert_eq!(header["stateRoot"], format!("0x{root}"));
            for (name, account) in page["accounts"].as_object().expect("accounts") {
                let address: Address = name.parse().expect("an address");
                let key = keccak256(address);
                assert_eq!((&account["address"], &account["key"]), (&json!(address), &json!(key)));
                assert_eq!(self.ok("debug_preimage", &json!([key])), json!(address));
                assert!(all.insert(key, account.clone()).is_none(), "{address} comes twice");
            }
            let Some(next) = page.get("next") else { return all };
            let next = next.clone();
            assert!(all.keys().all(|key| json!(key).as_str() < next.as_str()));
            start = next;
        }
    }

    /// Lists of accounts are those of the chain, and what blocks changed is what they differ in.
    fn check_accounts(&self) {
        let first = self.accounts(0);
        let genesis = &self.wire.chain.chain.genesis.state.accounts;
        let expected: BTreeSet<B256> = genesis.keys().map(|address| keccak256(*address)).collect();
        assert_eq!(first.keys().copied().collect::<BTreeSet<_>>(), expected);
        let mut before = first.clone();
        for block in 1..=self.head() {
            let after = self.accounts(block);
            let named = json!([quantity(block)]);
            let found = self.ok("debug_getModifiedAccountsByNumber", &named);
            assert_eq!(found, differing(&before, &after), "block {block}");
            let header = self.ok("eth_getHeaderByNumber", &named);
            let found = self.ok("debug_getModifiedAccountsByHash", &json!([header["hash"]]));
            assert_eq!(found, differing(&before, &after), "block {block}");
            before = after;
        }
        let found = self.ok("debug_getModifiedAccountsByNumber", &json!([0, self.head()]));
        assert_eq!(found, differing(&first, &before));
        for account in before.values() {
            let named = json!([account["address"], "latest"]);
            let expected = self.ok("eth_getAccount", &named);
            assert_eq!(account["root"], expected["storageRoot"], "{named}");
            assert_eq!(account["codeHash"], expected["codeHash"], "{named}");
            assert_eq!(account["nonce"], number(&expected["nonce"]), "{named}");
        }
    }

    /// Searches find what traces say; with access lists, all of it.
    fn check_searches(&self, has_lists: bool) {
        let traced = self.traced();
        // Those with the most, and some others.
        let mut addresses: Vec<Address> = traced.keys().copied().collect();
        addresses.sort_by_key(|address| std::cmp::Reverse(traced[address].len()));
        addresses.truncate(SEARCHED);
        addresses.extend(traced.keys().take(SEARCHED));
        let mut found_any = 0;
        for address in addresses {
            let expected = &traced[&address];
            let all = self.backwards(address, 100);
            for size in [1, 3] {
                assert_eq!(self.backwards(address, size), all, "{address}");
            }
            let oldest_first: Vec<TxPlace> = all.iter().rev().cloned().collect();
            for size in [2, 100] {
                assert_eq!(self.forwards(address, size), oldest_first, "{address}");
            }
            assert!(oldest_first.iter().all(|place| expected.contains(place)), "{address}");
            for (block, hash) in expected {
                let tx = self.ok("eth_getTransactionByHash", &json!([hash]));
                let is_named = tx["from"] == json!(address) || tx["to"] == json!(address);
                let is_found = oldest_first.contains(&(*block, hash.clone()));
                assert!(is_found || !(is_named || has_lists), "{address}, {hash} of {block}");
            }
            found_any += all.len();
        }
        assert!(found_any > SEARCHED, "{found_any}");
        let nobody = Address::repeat_byte(0x99);
        let none = json!({ "txs": [], "receipts": [], "firstPage": true, "lastPage": true });
        assert_eq!(self.ok("ots_searchTransactionsBefore", &json!([nobody, 0, 25])), none);
        assert_eq!(self.ok("ots_searchTransactionsAfter", &json!([nobody, 0, 25])), none);
    }
}

#[track_caller]
fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("no list: {value}"))
}

fn number(value: &Value) -> u64 {
    let digits = value.as_str().and_then(|text| text.strip_prefix("0x"));
    u64::from_str_radix(digits.unwrap_or_else(|| panic!("{value}")), 16).expect("64 bits")
}

/// The addresses of what is there after, and was not so before.
fn differing(before: &BTreeMap<B256, Value>, after: &BTreeMap<B256, Value>) -> Value {
    let other = after.iter().filter(|(key, account)| before.get(*key) != Some(*account));
    other.map(|(_, account)| account["address"].clone()).collect()
}

#[test]
fn the_transactions_of_an_address_are_found_page_by_page() {
    for fork in [Fork::Shanghai, Fork::Amsterdam] {
        let chain = WireChain::of_recipe(&Recipe::new(0xadd, fork, 24, 4));
        let subject = Subject::new(chain, &Setup::new(7));
        subject.check_searches(fork == Fork::Amsterdam);
    }
}

#[test]
fn accounts_are_listed_and_what_blocks_changed() {
    for fork in [Fork::Paris, Fork::Osaka] {
        let chain = WireChain::of_recipe(&Recipe::new(0xacc, fork, 11, 3));
        Subject::new(chain, &Setup::new(5)).check_accounts();
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let chain = WireChain::of_recipe(&Recipe::new(0xbad, Fork::Cancun, 9, 2));
    let subject = Subject::new(chain, &Setup::new(5));
    let (address, unknown) = (Address::repeat_byte(0x99), B256::repeat_byte(0x99));
    let head = subject.head();
    for (method, params, code) in [
        ("ots_searchTransactionsBefore", json!([address, 0, 0]), INVALID_PARAMS),
        ("ots_searchTransactionsBefore", json!([address, 0, 101]), INVALID_PARAMS),
        ("ots_searchTransactionsAfter", json!([address, "latest", 25]), INVALID_PARAMS),
        ("debug_accountRange", json!(["latest", "0x", 5, true, false]), INVALID_PARAMS),
        ("debug_accountRange", json!([quantity(head + 1)]), -32_001),
        ("debug_getModifiedAccountsByNumber", json!([0]), REFUSED),
        ("debug_getModifiedAccountsByNumber", json!([head + 1]), REFUSED),
        ("debug_getModifiedAccountsByNumber", json!([3, 3]), INVALID_PARAMS),
        ("debug_getModifiedAccountsByNumber", json!([3, 2]), INVALID_PARAMS),
        ("debug_getModifiedAccountsByHash", json!([unknown]), REFUSED),
        ("debug_preimage", json!([unknown]), REFUSED),
        ("debug_accountAt", json!([unknown, 0, address]), REFUSED),
        ("debug_accountAt", json!(["latest", 99, address]), REFUSED),
        ("debug_accountInfoAt", json!(["latest", 99, address]), REFUSED),
    ] {
        let (found, message) = subject.refused(method, &params);
        assert_eq!(found, code, "{method} {params}: {message}");
    }
    // Codes come where they are asked for.
    let page = subject.ok("debug_accountRange", &json!(["latest"]));
    let accounts = page["accounts"].as_object().expect("accounts");
    let mut codes = 0;
    for (name, account) in accounts {
        let code = subject.ok("eth_getCode", &json!([name, "latest"]));
        assert_eq!(account.get("code").unwrap_or(&json!("0x")), &code, "{name}");
        codes += usize::from(code != "0x");
    }
    assert!(codes > 0, "the chain has contracts");
}

#[test]
fn no_more_is_listed_or_looked_at_than_may_be() {
    let chain = WireChain::of_recipe(&Recipe::new(0xbad, Fork::Cancun, 9, 2));
    let mut subject = Subject::new(chain, &Setup::new(5));
    let usual = EthLimits::default();
    let addresses: Vec<Value> =
        subject.accounts(subject.head()).values().map(|it| it["address"].clone()).collect();
    assert!(addresses.len() > 2, "{addresses:?}");

    subject.limit(EthLimits { page_accounts_max: 2, ..usual });
    for asked in [json!(["latest"]), json!(["latest", "0x", 0]), json!(["latest", "0x", 9])] {
        let page = subject.ok("debug_accountRange", &asked);
        let count = page["accounts"].as_object().map(|accounts| accounts.len());
        assert!(count == Some(2) && page["next"].is_string(), "{asked}: {page}");
    }

    subject.limit(EthLimits { modified_blocks_max: 2, ..usual });
    subject.ok("debug_getModifiedAccountsByNumber", &json!([1, 3]));
    let (code, message) = subject.refused("debug_getModifiedAccountsByNumber", &json!([1, 4]));
    assert_eq!(code, INVALID_PARAMS, "{message}");
    assert!(message.ends_with("want one of the 2 after block 1, up to 3"), "{message}");

    subject.limit(EthLimits { modified_accounts_max: 1, ..usual });
    let (code, message) = subject.refused("debug_getModifiedAccountsByNumber", &json!([0, 4]));
    assert_eq!(code, REFUSED, "{message}");
    assert!(message.ends_with("changed more than 1 accounts: ask for fewer blocks"), "{message}");

    // Some account was changed by blocks without a call from or to it.
    subject.limit(EthLimits { searched_blocks_max: 1, ..usual });
    let search = |address| subject.ask("ots_searchTransactionsBefore", &json!([address, 0, 25]));
    let refused: Vec<_> = addresses.iter().filter_map(|address| search(address).err()).collect();
    assert!(!refused.is_empty(), "{addresses:?}");
    for (code, message) in refused {
        assert_eq!(code, REFUSED, "{message}");
        assert!(message.starts_with("none of the 1 blocks that were looked at"), "{message}");
    }
}

#[test]
fn an_account_is_as_each_transaction_finds_it() {
    // That needs no index.
    let wire = Wire::new(Fork::Shanghai);
    wire.follow(1..=wire.chain.last());
    let subject = Subject::over(wire);
    let mut accounts = 0;
    for block in 1..=subject.head() {
        let viewed = subject.ok("eth_getBlockByNumber", &json!([quantity(block), false]));
        for (index, hash) in list(&viewed["transactions"]).iter().enumerate() {
            let asked = json!([hash, { "tracer": "prestateTracer" }]);
            let before = subject.ok("debug_traceTransaction", &asked);
            for (address, account) in before.as_object().expect("accounts") {
                let asked = json!([viewed["hash"], index, address]);
                let found = subject.ok("debug_accountAt", &asked);
                // What a transaction leaves is what the next one finds.
                let next = json!([viewed["hash"], index + 1, address]);
                let (left, next) = (
                    subject.ok("debug_accountInfoAt", &asked),
                    subject.ok("debug_accountAt", &next),
                );
                for name in ["balance", "nonce", "code"] {
                    assert_eq!(left.get(name), next.get(name), "{asked}: {name}");
                }
                assert!(left.get("codeHash").is_none(), "{left}");
                let none = json!("0x0");
                let balance = account.get("balance").unwrap_or(&none);
                if found.is_null() {
                    assert_eq!(*balance, none, "{asked}");
                    continue;
                }
                accounts += 1;
                assert_eq!(found["balance"], *balance, "{asked}");
                let nonce = account.get("nonce").and_then(Value::as_u64).unwrap_or_default();
                assert_eq!(number(&found["nonce"]), nonce, "{asked}");
                assert_eq!(found["code"], *account.get("code").unwrap_or(&json!("0x")), "{asked}");
            }
        }
        // With their number for an index, after all of them.
        let count = list(&viewed["transactions"]).len();
        let Some(last) = list(&viewed["transactions"]).last() else { continue };
        let tx = subject.ok("eth_getTransactionByHash", &json!([last]));
        let asked = json!([viewed["hash"], count, tx["from"]]);
        let beyond = subject.refused("debug_accountInfoAt", &asked);
        assert_eq!(beyond.0, REFUSED, "{beyond:?}");
        let after = subject.ok("debug_accountAt", &asked);
        assert_eq!(number(&after["nonce"]), number(&tx["nonce"]) + 1, "{asked}");
    }
    assert!(accounts > 10, "{accounts}");
}

#[test]
fn the_index_follows_the_chain_to_another_branch_and_back() {
    let (fork, blocks, transactions) = (Fork::Shanghai, 30, 4);
    let recipe = Recipe { seed: 0x106, fork, blocks, transactions, shared: 16, branch: 1 };
    let one = WireChain::of_recipe(&recipe);
    let two = WireChain::of_recipe(&Recipe { blocks: 36, branch: 2, ..recipe });
    let common = one.chain.fork_with(&two.chain);
    let subject = Subject::new(one, &Setup::new(7));
    let wire = &subject.wire;
    let last = wire.chain.last();
    assert!(common > 0 && common + 7 < last, "{common}");
    let send = |chain: &WireChain| {
        for number in common + 1..=chain.last() {
            let sent = wire.send(&chain.params(number));
            assert_eq!(sent, valid(chain.hash(number)), "block {number}");
        }
    };
    send(&two);
    wire.choose(&choice_of(two.hash(two.last())));
    wire.node.settled();
    subject.check_accounts();
    subject.check_searches(false);
    send(&wire.chain);
    wire.choose(&choice_of(wire.chain.hash(last)));
    wire.node.settled();
    subject.check_accounts();
    subject.check_searches(false);
}

#[test]
fn a_search_that_comes_to_what_is_pruned_says_so() {
    let chain = WireChain::of_recipe(&Recipe::new(0x107, Fork::Shanghai, 60, 4));
    let mut setup = Setup::new(3);
    setup.chain.retention = Retention::Full { window: 40 };
    let subject = Subject::new(chain, &setup);
    let oldest = subject.wire.node.view().oldest_named();
    assert!(oldest > 3, "{oldest}");
    let viewed = subject.ok("eth_getBlockByNumber", &json!(["latest", true]));
    let sender = &viewed["transactions"][0]["from"];
    let (mut block, mut found) = (0, 0);
    let (code, message) = loop {
        match subject.ask("ots_searchTransactionsBefore", &json!([sender, block, 100])) {
            Ok(page) => {
                assert_eq!(page["lastPage"], false, "before block {block}");
                let places = subject.places(&page);
                found += places.len();
                block = places.last().expect("at least one").0;
            }
            Err(error) => break error,
        }
    };
    assert!(found > 0 && code == PRUNED, "{found}, {code}: {message}");
    assert!(message.ends_with(&format!("block {oldest}")), "{message}");
    let (code, message) = subject.refused("ots_searchTransactionsAfter", &json!([sender, 0, 25]));
    assert_eq!(code, PRUNED, "{message}");
    let asked = json!([sender, oldest - 1, 1]);
    let page = subject.ok("ots_searchTransactionsAfter", &asked);
    assert!(!list(&page["txs"]).is_empty(), "{page}");
    let (code, message) = subject.refused("debug_getModifiedAccountsByNumber", &json!([1]));
    assert_eq!(code, PRUNED, "{message}");
}

/// What is asked of a node that may have an index: its methods, each with parameters.
fn asked() -> [(&'static str, Value); 6] {
    let (address, hash) = (Address::repeat_byte(0xfe), B256::repeat_byte(1));
    [
        ("debug_accountRange", json!(["latest"])),
        ("debug_getModifiedAccountsByHash", json!([hash])),
        ("debug_getModifiedAccountsByNumber", json!([1])),
        ("debug_preimage", json!([hash])),
        ("ots_searchTransactionsAfter", json!([address, 0, 25])),
        ("ots_searchTransactionsBefore", json!([address, 0, 25])),
    ]
}

#[test]
fn without_an_index_the_error_names_the_flag() {
    let wire = Wire::new(Fork::Cancun);
    wire.follow(1..=wire.chain.last());
    let subject = Subject::over(wire);
    for (method, params) in asked() {
        let (code, message) = subject.refused(method, &params);
        assert_eq!(code, REFUSED, "{method}: {message}");
        assert!(message.contains("--index-addresses"), "{method}: {message}");
    }
}

#[test]
fn a_chain_has_the_index_from_its_beginning_or_never() {
    let place = Place::new(&MODERN);
    let (with, without) = (place.datadir("with"), place.datadir("without"));
    let chain = ["--json", "--chain", with.chain.as_str()];
    let flagged = [&chain[..], &["--index-addresses"]].concat();
    with.run(&["init"], &flagged).ends(0);
    without.run(&["init"], &chain).ends(0);
    let file = place.file();
    for (datadir, is_indexed) in [(&with, true), (&without, false)] {
        // What was begun with it keeps it, whatever is said later.
        datadir.import(&[], &[&file]).ends(0);
        datadir.check(MODERN.head());
        let stats = datadir.db(&["stats"]).ends(0);
        assert_eq!(stats.last()["indexesAddresses"], is_indexed, "{stats}");
        let rows = |table: &str| stats.last()["tables"][table]["rows"].as_u64().expect("rows");
        assert_eq!(rows("Addresses") > 0, is_indexed, "{stats}");
        assert_eq!(rows("AddressIndex") > 0, is_indexed, "{stats}");
        datadir.db(&["unwind", "--to", "20"]).ends(0);
        let verify = datadir.db(&["verify"]).ends(0);
        assert_eq!(verify.last()["problems"], json!([]), "{verify}");
    }
    with.run(&["init"], &flagged).ends(0);
    without.run(&["init"], &flagged).ends(2).says("without an index of addresses");
    let import = without.import(&["--index-addresses"], &[&file]).ends(2);
    import.says("without an index of addresses");
    let node = fugue(&["node", "--datadir", text(&without.path), "--index-addresses"]);
    Ran::in_time("a node without its index", node).ends(2).says("without an index of addresses");
}

#[test]
fn a_dev_chain_begins_with_the_index() {
    let own = ["--dev", "--http", "--http.port", "0", "--http.api", "debug,ots"];
    let node = Running::start(&own);
    let public = node.public();
    for (method, params) in asked() {
        if let Err(error) = public.call(method, &params) {
            assert!(!error.message.contains("--index"), "{method}: {error:?}");
        }
    }
    let page = public.call("debug_accountRange", &json!(["latest"])).expect("an index");
    let accounts = page["accounts"].as_object().expect("accounts");
    assert!(accounts.contains_key("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"), "{page}");
    node.stop();
}
