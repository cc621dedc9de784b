//! Genesis files that others made: of the chain of the JSON-RPC tests, and of the public chains as
//! other projects keep them.

use crate::support::recorded;
use alloy_rlp::Decodable;
use fugue_chain::Genesis;
use fugue_types::{Block, U256};
use serde_json::Value;
use std::path::Path;

fn bytes(folder: &Path, name: &str) -> Vec<u8> {
    let path = folder.join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_genesis_of_the_json_rpc_tests_is_the_parent_of_their_first_block() {
    let Some(folder) = recorded("rpc-compat") else { return };
    let genesis = Genesis::from_json(&bytes(&folder, "genesis.json")).expect("a good file");
    let chain = bytes(&folder, "chain.rlp");
    let first = Block::decode(&mut chain.as_slice()).expect("a block");
    assert_eq!(first.header.number, 1);
    assert_eq!(genesis.block(genesis.state.root()).hash(), first.header.parent_hash);
    assert_eq!(genesis.chain.terminal_total_difficulty(), Some(U256::from(4_732_352)));
}

#[test]
fn the_public_chains_begin_as_other_projects_say() {
    let Some(folder) = recorded("era1/genesis") else { return };
    for name in Genesis::NAMES {
        let ours = Genesis::named(name).expect("built in");
        let theirs = bytes(&folder, &format!("{name}.json"));
        let mut theirs: Value = serde_json::from_slice(&theirs).expect("JSON");
        // Some of them keep the configuration elsewhere.
        let fields = theirs.as_object_mut().expect("an object");
        fields.entry("config").or_insert_with(|| ours.config.clone());
        let theirs = Genesis::from_json(theirs.to_string().as_bytes());
        let theirs = theirs.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(theirs.state == ours.state, "{name}: other accounts");
        let root = ours.state.root();
        assert_eq!(theirs.header(root), ours.header(root), "{name}");
    }
}
