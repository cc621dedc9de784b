//! What the node says of its forks, and of how much of the past it keeps.

use super::headers;
use crate::public::{Answer, Context, args::Args, has_method, json};
use alloy_eips::eip7910::SystemContract;
use alloy_primitives::FixedBytes;
use fugue_chain::Retention;
use fugue_chainspec::{BlobParams, Fork, Rules};
use fugue_types::{Address, B256, U256};
use serde::Serialize;
use std::collections::BTreeMap;

/// Source: EIP-7910.
#[derive(Debug, Serialize)]
struct Configuration {
    current: ForkConfiguration,
    next: Option<ForkConfiguration>,
    last: Option<ForkConfiguration>,
}

/// Source: EIP-7910.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ForkConfiguration {
    /// In seconds; 0 if it holds from the genesis on.
    activation_time: u64,
    /// `None` before Cancun.
    blob_schedule: Option<BlobParams>,
    chain_id: U256,
    fork_id: FixedBytes<4>,
    precompiles: BTreeMap<&'static str, Address>,
    system_contracts: BTreeMap<String, Address>,
}

/// `eth_config`: the fork of the head, the next one, and the last one that is scheduled. Forks by
/// block, which came before all of them, have no configuration of their own.
pub(crate) fn config(context: &Context, args: Args) -> Answer {
    args.end()?;
    let view = context.view();
    let spec = view.spec();
    let (genesis, first) = headers::at(&view, 0)?;
    let (_, head) = headers::at(&view, view.head().number)?;
    let schedule = spec.schedule_at(first.timestamp, head.timestamp);
    let of = |activation_time: u64, time: u64, rules: &Rules| ForkConfiguration {
        activation_time,
        blob_schedule: rules.blob_params,
        chain_id: U256::from(rules.chain_id),
        fork_id: FixedBytes(spec.fork_hash(genesis, first.timestamp, time)),
        precompiles: fugue_evm::precompiles(rules),
        system_contracts: system_contracts(rules),
    };
    let later = |time: Option<u64>| {
        let number = head.number.saturating_add(1);
        time.map(|time| of(time, time, &spec.rules_at(number, time)))
    };
    json(&Configuration {
        current: of(schedule.current, head.timestamp, &spec.rules(&head)),
        next: later(schedule.next),
        last: later(schedule.last),
    })
}

/// A chain without a deposit contract has none to name.
fn system_contracts(rules: &Rules) -> BTreeMap<String, Address> {
    let mut contracts = Vec::new();
    if rules.has(Fork::Cancun) {
        contracts.extend(SystemContract::cancun());
    }
    if rules.has(Fork::Prague) {
        let all = SystemContract::prague(rules.deposit_contract).into_iter();
        let has_deposits = rules.deposit_contract.is_some();
        contracts.extend(
            all.filter(|(name, _)| has_deposits || *name != SystemContract::DepositContract),
        );
    }
    if rules.has_builder_requests {
        contracts.extend(SystemContract::amsterdam());
    }
    contracts.into_iter().map(|(name, address)| (name.to_string(), address)).collect()
}

/// Source: execution-apis, "EthCapabilities".
#[derive(Debug, Serialize)]
struct Capabilities {
    head: Newest,
    state: Resource,
    tx: Resource,
    logs: Resource,
    receipts: Resource,
    blocks: Resource,
    stateproofs: Resource,
}

#[derive(Debug, Serialize)]
struct Newest {
    number: U256,
    hash: B256,
}

/// Source: execution-apis, "EthCapabilitiesEffectiveResource".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Resource {
    disabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest_block: Option<U256>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delete_strategy: Option<DeleteStrategy>,
}

/// Source: execution-apis, "EthCapabilitiesDeleteStrategy".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
enum DeleteStrategy {
    Window { retention_blocks: U256 },
}

impl Resource {
    /// Kept from this block on; what is older than `window` blocks goes, `None` is never.
    fn kept(oldest: u64, window: Option<u64>) -> Self {
        let strategy = |window| DeleteStrategy::Window { retention_blocks: U256::from(window) };
        Self {
            disabled: false,
            oldest_block: Some(U256::from(oldest)),
            delete_strategy: window.map(strategy),
        }
    }

    const fn disabled() -> Self {
        Self { disabled: true, oldest_block: None, delete_strategy: None }
    }
}

/// `eth_capabilities`: what of the past can be asked for.
pub(crate) fn capabilities(context: &Context, args: Args) -> Answer {
    args.end()?;
    let view = context.view();
    let head = view.head();
    let (states, bodies) = windows(context.engine.retention());
    let state = Resource::kept(view.oldest_state(), states);
    let blocks = Resource::kept(view.oldest_body(), bodies);
    // A receipt and a log name their transaction, which the body has.
    let receipts = Resource::kept(view.oldest_receipts().max(view.oldest_body()), states);
    json(&Capabilities {
        head: Newest { number: U256::from(head.number), hash: head.hash },
        state,
        tx: blocks,
        logs: receipts,
        receipts,
        blocks,
        stateproofs: if has_method("eth_getProof") { state } else { Resource::disabled() },
    })
}

/// Blocks below the head whose states and receipts are kept, and whose bodies are; `None` for all.
const fn windows(retention: Retention) -> (Option<u64>, Option<u64>) {
    match retention {
        Retention::Archive => (None, None),
        Retention::Full { window } => (Some(window), None),
        Retention::Minimal { window } => (Some(window), Some(window)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fugue_chainspec::{ChainConfig, ChainSpec};
    use serde_json::json as object;

    fn names(rules: &Rules) -> Vec<String> {
        system_contracts(rules).into_keys().collect()
    }

    #[test]
    fn system_contracts_come_with_their_forks() {
        let at = |fork| ChainSpec::at_fork(1, fork).rules_at(1, 1);
        assert!(names(&at(Fork::Shanghai)).is_empty());
        assert_eq!(names(&at(Fork::Cancun)), ["BEACON_ROOTS_ADDRESS"]);
        let prague = [
            "BEACON_ROOTS_ADDRESS",
            "CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS",
            "DEPOSIT_CONTRACT_ADDRESS",
            "HISTORY_STORAGE_ADDRESS",
            "WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS",
        ];
        assert_eq!(names(&at(Fork::Prague)), prague);
        assert_eq!(names(&at(Fork::Bpo2)), prague);
        let amsterdam = names(&at(Fork::Amsterdam));
        assert_eq!(amsterdam.len(), prague.len() + 2);
        assert!(amsterdam.contains(&"BUILDER_DEPOSIT_CONTRACT_ADDRESS".to_owned()));
    }

    #[test]
    fn f6_no_chain_gets_the_deposit_contract_of_another() {
        let mut config = ChainConfig { prague_time: Some(0), ..ChainConfig::default() };
        let contract = |config: &ChainConfig| {
            let spec = ChainSpec::try_from(config).expect("a good configuration");
            let rules = Rules { fork: Fork::Prague, ..spec.rules_at(1, 1) };
            system_contracts(&rules).get("DEPOSIT_CONTRACT_ADDRESS").copied()
        };
        assert_eq!(contract(&config), None);
        config.deposit_contract_address = Some(Address::ZERO);
        assert_eq!(contract(&config), Some(Address::ZERO));
    }

    #[test]
    fn a_resource_says_from_when_on_it_is_kept() {
        let value = |resource: Resource| serde_json::to_value(resource).expect("JSON");
        let all = object!({ "disabled": false, "oldestBlock": "0x0" });
        assert_eq!(value(Resource::kept(0, None)), all);
        let window = object!({
            "disabled": false, "oldestBlock": "0x9",
            "deleteStrategy": { "type": "window", "retentionBlocks": "0x40" },
        });
        assert_eq!(value(Resource::kept(9, Some(64))), window);
        assert_eq!(value(Resource::disabled()), object!({ "disabled": true }));
        assert_eq!(windows(Retention::Full { window: 64 }), (Some(64), None));
        assert_eq!(windows(Retention::Minimal { window: 64 }), (Some(64), Some(64)));
    }
}
