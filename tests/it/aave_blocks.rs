//! Generated blocks with the real contracts of Aave, where these are there.

use crate::support::recorded;
use fugue_archive::read_file;
use fugue_chainspec::ChainSpec;
use fugue_types::keccak256;
use fugue_workload::{
    AaveCodes, BlockKind, BlockPlan, BuiltChain, Codes, Forge, Forged, UnlinkedCode, build_chain,
    contended,
};
use serde_json::Value;
use std::{collections::BTreeSet, path::Path};

/// Gas of a block, about: more transactions than there are reserves.
const GAS: u64 = 6_000_000;
/// The shares that aim at the hot reserve, and at how many the transactions are then.
const SHARES: [(u8, usize); 2] = [(0, 32), (100, 1)];
/// What the pool says of each step, in turn; its first topic is the reserve.
const EVENTS: [&str; 3] = [
    "Supply(address,address,address,uint256,uint16)",
    "Borrow(address,address,address,uint256,uint8,uint256,uint16)",
    "Repay(address,address,address,uint256,bool)",
];

/// The codes of Aave in a folder of packages.
fn codes(folder: &Path) -> Codes {
    let file = read_file(&folder.join("aave-core-v3.json.zst")).expect("a package");
    let file: Value = serde_json::from_slice(&file).expect("JSON");
    let code = |name: &'static str| UnlinkedCode::from_json(&file["contracts"][name]).ok_or(name);
    Codes { aave: Some(AaveCodes::collect(code).expect("all contracts")), ..Codes::default() }
}

#[test]
fn all_is_set_up_and_every_step_is_made_at_the_reserve_that_it_aims_at() {
    let Some(folder) = recorded("contracts/npm") else { return };
    let (codes, shares) = (codes(&folder), SHARES.map(|(share, _)| share));
    let chain_of = |seed| -> BuiltChain {
        let scenario = contended(seed, BlockKind::Aave, GAS, &shares, &codes).expect("a scenario");
        build_chain(&scenario).expect("a chain")
    };
    let BuiltChain { config, genesis, header, blocks } = chain_of(5);
    let chain = ChainSpec::try_from(&config).expect("a chain");
    let mut forge = Forge::new(chain, genesis, header, 1).expect("a thread");
    let setup = blocks.len() - SHARES.len();
    for (number, block) in blocks.iter().enumerate() {
        let body = &block.block().body;
        let header = &block.block().header;
        let plan = BlockPlan {
            transactions: body.transactions.clone(),
            beneficiary: header.beneficiary,
            withdrawals: Vec::new(),
            gas_limit: header.gas_limit,
        };
        let Forged { block: again, outcome } = forge.add(&plan).expect("a good block");
        assert_eq!(again.hash(), block.hash());
        for (index, result) in outcome.results.iter().enumerate() {
            assert!(result.status.is_success(), "block {number}, transaction {index}");
        }
        let Some(measured) = number.checked_sub(setup) else { continue };
        let gas = outcome.gas_used;
        assert!(gas > GAS / 2 && gas < GAS * 3 / 2, "{gas}");
        let mut reserves = BTreeSet::new();
        for (index, result) in outcome.results.iter().enumerate() {
            let event = keccak256(EVENTS[index % EVENTS.len()]);
            let mut told = result.logs.iter().map(|log| log.topics());
            let topics = told.find(|topics| topics.first() == Some(&event)).expect("an event");
            reserves.insert(topics[1]);
        }
        assert_eq!(reserves.len(), SHARES[measured].1, "{:?}", SHARES[measured]);
    }

    let last = |built: &BuiltChain| built.blocks.last().expect("blocks").hash();
    assert_eq!(last(&chain_of(5)), blocks.last().expect("blocks").hash());
    assert_ne!(last(&chain_of(6)), blocks.last().expect("blocks").hash());
}
