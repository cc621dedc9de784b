//! `fugue bench rpc` as its users see it, and the chain that it is about.

use crate::{
    bench_cli::{bench, is_empty, number, object},
    support::recorded,
};
use fugue_archive::read_file;
use fugue_chain::Genesis;
use fugue_types::{B256, Bytes, keccak256};
use fugue_workload::{Forge, Forged, Market, MarketSize, UniswapCodes};
use serde_json::{Value, json};
use std::{collections::BTreeMap, path::Path};

/// Requests of which each must be answered.
const REQUESTS: [&str; 5] = [
    "eth_getBalance",
    "eth_call balanceOf",
    "eth_call quote",
    "eth_getLogs",
    "eth_getBlockByNumber",
];

#[test]
fn requests_are_timed_alone_and_beside_imports_on_a_node_of_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let size = ["rpc", "--accounts", "100", "--blocks", "5", "--txs", "40", "--connections", "2"];
    let object =
        object(folder.path(), &[&size[..], &["--payloads", "2", "--interval", "50"]].concat());
    assert_eq!(object["type"], "bench-rpc");
    assert_eq!((&object["threads"], &object["connections"]), (&json!(2), &json!(2)));
    assert_eq!((&object["history"], &object["payloads"]), (&json!(5), &json!(2)));
    assert_eq!(object["isAtHead"], true, "{object}");
    // The contracts of Uniswap are not where they are looked for.
    assert_eq!(object["exchanges"], json!(["Fugue's own exchange"]));
    let is_spread = |pointer: &str| {
        let at = |name: &str| number(&object, &format!("{pointer}/{name}"));
        let spread = [at("p50Ms"), at("p95Ms"), at("p99Ms"), at("maxMs")];
        assert!(spread[0] > 0.0 && spread.is_sorted(), "{pointer}: {object}");
    };
    is_spread("/idle/newPayload");
    let runs = object["runs"].as_array().expect("runs");
    let measured: Vec<&str> = runs.iter().filter_map(|run| run["requests"].as_str()).collect();
    assert_eq!(measured[..REQUESTS.len()], REQUESTS);
    let quoted: Vec<&str> = runs.iter().filter_map(|run| run["quoted"].as_str()).collect();
    assert_eq!(quoted, ["Exchange.quote"]);
    // What a node does not have is not measured, and that is said.
    let skipped = object["skipped"].as_array().expect("a list");
    assert_eq!(measured.len() + skipped.len(), REQUESTS.len() + 1, "{object}");
    for index in 0..runs.len() {
        for run in ["alone", "beside"] {
            is_spread(&format!("/runs/{index}/{run}"));
            assert!(number(&object, &format!("/runs/{index}/{run}/perSecond")) > 0.0);
            assert!(number(&object, &format!("/runs/{index}/{run}/answered")) >= 1.0);
        }
        is_spread(&format!("/runs/{index}/newPayload"));
        for part in ["beside", "newPayload"] {
            assert!(number(&object, &format!("/runs/{index}/{part}/ratio")) > 0.0);
        }
    }
}

#[test]
fn times_of_requests_are_a_text_without_an_option() {
    let folder = tempfile::tempdir().expect("a folder");
    let size = ["rpc", "--accounts", "100", "--blocks", "3", "--txs", "40", "--connections", "1"];
    let done =
        bench(folder.path(), &[&size[..], &["--payloads", "1", "--interval", "20"]].concat());
    assert_eq!(done.code, Some(0), "{done:?}");
    for needle in [
        "quotes     of Fugue's own exchange (Exchange.quote); the contracts of Uniswap are not in ",
        "1 connections on the cores of the node",
        "head: the last block",
        "p99 ms",
    ] {
        assert!(done.stdout.contains(needle), "{needle}: {done:?}");
    }
    for name in REQUESTS {
        let rows = done.stdout.lines().filter(|line| line.starts_with(&format!("{name} ")));
        assert!(rows.count() >= 2, "{name}: {done:?}");
    }
    is_empty(&folder.path().join("within"));
}

#[test]
fn quotes_are_those_of_uniswap_where_its_contracts_are_there() {
    let Some(contracts) = recorded("contracts/npm") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let contracts = contracts.to_str().expect("UTF-8");
    let size = ["rpc", "--accounts", "100", "--blocks", "2", "--txs", "40", "--connections", "1"];
    let rest = ["--payloads", "1", "--interval", "50", "--contracts", contracts];
    let object = object(folder.path(), &[&size[..], &rest[..]].concat());
    assert_eq!(object["exchanges"], json!(["Uniswap V2", "Uniswap V3"]));
    // The block that deploys them comes before.
    assert_eq!((&object["history"], &object["isAtHead"]), (&json!(2), &json!(true)));
    let runs = object["runs"].as_array().expect("runs").iter();
    let quotes: Vec<&Value> = runs.filter(|run| !run["quoted"].is_null()).collect();
    let of_quotes: Vec<_> = quotes
        .iter()
        .map(|run| (run["requests"].as_str(), run["method"].as_str(), run["quoted"].as_str()))
        .collect();
    let expected = [
        ("eth_call quote V2", "UniswapV2Router02.getAmountsOut"),
        ("eth_call quote V3", "QuoterV2.quoteExactInputSingle"),
    ];
    let expected = expected.map(|(name, quoted)| (Some(name), Some("eth_call"), Some(quoted)));
    assert_eq!(of_quotes, expected);
    for run in quotes {
        for part in ["alone", "beside"] {
            assert!(number(run, &format!("/{part}/answered")) >= 1.0, "{run}");
            // A call that reverts is an error, which would be counted.
            assert_eq!(number(run, &format!("/{part}/refused")), 0.0, "{run}");
        }
    }
}

#[test]
fn contracts_that_are_named_must_be_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let done = bench(folder.path(), &["rpc", "--contracts", "no-such-folder"]);
    assert_eq!(done.code, Some(2), "{done:?}");
    assert!(done.stderr.contains("no-such-folder"), "{done:?}");
    assert_eq!(done.stdout, "");
}

/// The codes of Uniswap in a folder of packages.
fn codes(folder: &Path) -> UniswapCodes {
    let code = |package: &str, name: &str| -> Bytes {
        let file = read_file(&folder.join(format!("uniswap-{package}.json.zst")));
        let file: Value = serde_json::from_slice(&file.expect("a package")).expect("JSON");
        let code = file["contracts"][name]["bytecode"].as_str().expect("a code");
        code.parse().expect("hexadecimal")
    };
    UniswapCodes {
        v2_factory: code("v2-core", "UniswapV2Factory"),
        v2_router: code("v2-periphery", "UniswapV2Router02"),
        v3_factory: code("v3-core", "UniswapV3Factory"),
        v3_router: code("v3-periphery", "SwapRouter"),
        v3_positions: code("v3-periphery", "NonfungiblePositionManager"),
        v3_quoter: code("v3-periphery", "QuoterV2"),
    }
}

#[test]
fn a_market_trades_at_both_versions_of_uniswap() {
    let Some(contracts) = recorded("contracts/npm") else { return };
    let size = MarketSize::new(300, 200);
    let mut market = Market::with_uniswap(11, &size, &codes(&contracts));
    let file = market.genesis_json().to_string();
    let mut genesis = Genesis::from_json(file.as_bytes()).expect("a good genesis file");
    genesis.state = market.genesis_state();
    let head = genesis.header(B256::ZERO);
    let mut forge = Forge::new(genesis.chain, genesis.state, head, 1).expect("a thread");
    let Forged { outcome, .. } = forge.add(&market.next_block()).expect("a good block");
    assert!(outcome.results.iter().all(|result| result.status.is_success()), "all is set up");

    let (mut all, mut succeeded) = (0, 0);
    let mut topics: BTreeMap<B256, usize> = BTreeMap::new();
    for _ in 0..2 {
        let Forged { outcome, .. } = forge.add(&market.next_block()).expect("a good block");
        all += outcome.results.len();
        for result in &outcome.results {
            succeeded += usize::from(result.status.is_success());
            for topic in result.logs.iter().filter_map(|log| log.topics().first()) {
                *topics.entry(*topic).or_default() += 1;
            }
        }
    }
    assert_eq!(all, 400);
    assert!(succeeded * 100 >= all * 98, "{succeeded} of {all}");
    for signature in [
        "Swap(address,uint256,uint256,uint256,uint256,address)",
        "Swap(address,address,int256,int256,uint160,uint128,int24)",
    ] {
        let swaps = topics.get(&keccak256(signature)).copied().unwrap_or_default();
        assert!(swaps >= 10, "{signature}: {swaps}");
    }
}
