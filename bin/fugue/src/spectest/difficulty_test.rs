//! Difficulty tests: the difficulty of a block by its parent, at a fork or on a chain.

use super::{
    plain::{PlainCase, file, is_wanted, number},
    state_test,
};
use alloy_consensus::EMPTY_OMMER_ROOT_HASH;
use fugue_chainspec::{ChainConfig, ChainSpec};
use fugue_types::{B256, Header, U256};
use fugue_validation::child_difficulty;
use serde_json::Value;

/// Names of chains in place of a fork's.
const MAINNET: &str = "MainNetwork";
const ROPSTEN: &str = "Ropsten";

/// Every case: `test` is one itself, or has some for each fork.
pub(super) fn cases(name: &str, test: &Value, fork: Option<&str>) -> Vec<PlainCase> {
    if test.get("currentDifficulty").is_some() {
        let network = network_of_file(file(name));
        if !is_wanted(network, fork) {
            return Vec::new();
        }
        let result = chain(network).and_then(|chain| run_one(test, &chain));
        let name = format!("{name}[{network}]");
        return vec![PlainCase { name, fork: network.to_owned(), result }];
    }
    let is_network = |network: &str| network != "_info" && is_wanted(network, fork);
    let networks = test.as_object().into_iter().flatten();
    let mut cases = Vec::new();
    for (network, tests) in networks.filter(|(network, _)| is_network(network)) {
        let chain = chain(network);
        for (case, test) in tests.as_object().into_iter().flatten() {
            cases.push(PlainCase {
                name: format!("{name}[{network}/{case}]"),
                fork: network.clone(),
                result: chain
                    .as_ref()
                    .map_err(String::clone)
                    .and_then(|chain| run_one(test, chain)),
            });
        }
    }
    cases
}

/// The chain that the cases of an old file are from. Of the old files only the names tell.
fn network_of_file(file: &str) -> &'static str {
    if file.ends_with("difficultyRopsten.json") {
        ROPSTEN
    } else if file.ends_with("difficultyCustomHomestead.json") {
        "Homestead"
    } else {
        MAINNET
    }
}

fn chain(network: &str) -> Result<ChainSpec, String> {
    match network {
        MAINNET => Ok(ChainSpec::mainnet()),
        ROPSTEN => ropsten(),
        _ => {
            let fork = state_test::fork(network);
            let fork = fork.ok_or_else(|| format!("fork {network} is not known"))?;
            Ok(ChainSpec::at_fork(state_test::CHAIN_ID, fork))
        }
    }
}

/// The test network Ropsten, as far as the fixtures know it.
fn ropsten() -> Result<ChainSpec, String> {
    let config = ChainConfig {
        chain_id: 3,
        homestead_block: Some(0),
        eip150_block: Some(0),
        eip155_block: Some(10),
        eip158_block: Some(10),
        byzantium_block: Some(1_700_000),
        constantinople_block: Some(4_230_000),
        ..ChainConfig::default()
    };
    ChainSpec::try_from(&config).map_err(|error| error.to_string())
}

fn run_one(test: &Value, chain: &ChainSpec) -> Result<(), String> {
    let field = |name: &str| {
        let value = test.get(name).unwrap_or(&Value::Null);
        number(value).map_err(|error| format!("{name}: {error}"))
    };
    let small = |name: &str| {
        field(name).and_then(|value| {
            u64::try_from(value).map_err(|_| format!("{name}: {value} is above 64 bits"))
        })
    };
    let current = small("currentBlockNumber")?;
    let parent = Header {
        number: current.checked_sub(1).ok_or("currentBlockNumber: genesis has no parent")?,
        timestamp: small("parentTimestamp")?,
        difficulty: field("parentDifficulty")?,
        ommers_hash: ommers_hash(test, field)?,
        ..Header::default()
    };
    // The timestamps are random, so the number alone tells the fork; any difficulty tells that the
    // block is from before the merge.
    let header = Header { number: current, difficulty: U256::ONE, ..Header::default() };
    let rules = chain.rules(&header);
    let expected = field("currentDifficulty")?;
    let found = child_difficulty(&rules, small("currentTimestamp")?, &parent);
    if found == expected {
        Ok(())
    } else {
        Err(format!("difficulty: expected {expected}, found {found}"))
    }
}

/// `parentUncles` is the parent's hash of ommers, or whether there are any: 0 or 1. The oldest
/// files have none.
fn ommers_hash(test: &Value, field: impl Fn(&str) -> Result<U256, String>) -> Result<B256, String> {
    if test.get("parentUncles").is_none() {
        return Ok(EMPTY_OMMER_ROOT_HASH);
    }
    let ommers = field("parentUncles")?;
    Ok(if ommers.is_zero() { EMPTY_OMMER_ROOT_HASH } else { B256::from(ommers) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn case(difficulty: &str, ommers: &str) -> Value {
        json!({
            "parentTimestamp": "0x00", "parentDifficulty": "0x223a2d17232652",
            "parentUncles": ommers, "currentTimestamp": "0x01", "currentBlockNumber": "0xa344e0",
            "currentDifficulty": difficulty,
        })
    }

    #[test]
    fn a_test_has_cases_for_each_fork() {
        let good = case("0x223e745cc60ab6", "0x00");
        let with_ommers = case("0x2242bba268ef1a", "0x01");
        let bad = case("0x01", "0x00");
        let test = json!({
            "_info": { "comment": "" },
            "Berlin": { "bad": bad },
            "Paris again": { "good": good },
            "ArrowGlacier": { "good": good, "withOmmers": with_ommers },
        });
        let ended = |fork: &str| {
            let cases = cases("f.json::t", &test, Some(fork));
            cases.into_iter().map(|case| (case.name, case.result.is_ok())).collect::<Vec<_>>()
        };
        assert_eq!(ended("Berlin"), [("f.json::t[Berlin/bad]".to_owned(), false)]);
        assert_eq!(ended("Paris again"), [("f.json::t[Paris again/good]".to_owned(), false)]);
        assert_eq!(
            ended("ArrowGlacier"),
            [
                ("f.json::t[ArrowGlacier/good]".to_owned(), true),
                ("f.json::t[ArrowGlacier/withOmmers]".to_owned(), true),
            ]
        );
    }

    #[test]
    fn an_old_file_is_of_the_chain_in_its_name() {
        let of_ropsten = json!({
            "parentTimestamp": "0x036ad3ad65", "parentDifficulty": "0x7cc109c0a0b5320b",
            "parentUncles": EMPTY_OMMER_ROOT_HASH, "currentTimestamp": "0x036ad3ad65",
            "currentBlockNumber": "0x0186a0", "currentDifficulty": "0x7cd0a1e1d8c948b1",
        });
        let ended = cases("BasicTests/difficultyRopsten.json::t", &of_ropsten, None);
        let [case] = &ended[..] else { panic!("{} cases", ended.len()) };
        assert_eq!((case.fork.as_str(), &case.result), (ROPSTEN, &Ok(())));
    }
}
