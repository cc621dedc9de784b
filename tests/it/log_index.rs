//! `eth_getLogs` by the index of logs, against a walk through the receipts of all blocks: of those
//! that are durable and of those above, after a change of branches, and where receipts are pruned.

use crate::{
    engine_support::{Node, Setup},
    import_support::Recipe,
    rules_support::{Wire, WireChain, choice_of, quantity, valid},
};
use fugue_chain::{ChainView, Retention};
use fugue_chainspec::Fork;
use fugue_storage::{Faults, Store};
use fugue_types::{Address, B256, Log};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// A filter for so many topics at most, of those that there are.
const TOPICS_MAX: usize = 80;
/// Times that a search is looked at which other threads may disturb.
const LOOKS: usize = 100;

/// Addresses, and topics by position; an empty list stands for anything.
#[derive(Debug, Clone, Default)]
struct Wanted {
    addresses: Vec<Address>,
    topics: Vec<Vec<B256>>,
}

impl Wanted {
    /// What no block has.
    fn nowhere() -> Self {
        Self { addresses: vec![Address::repeat_byte(0x99)], ..Self::default() }
    }

    /// The parameters of `eth_getLogs`.
    fn params(&self, from: u64, to: u64) -> Value {
        let Self { addresses, topics } = self;
        let (from, to) = (quantity(from), quantity(to));
        json!([{ "address": addresses, "topics": topics, "fromBlock": from, "toBlock": to }])
    }

    fn matches(&self, log: &Log) -> bool {
        let topics = log.data.topics();
        (self.addresses.is_empty() || self.addresses.contains(&log.address))
            && self.topics.len() <= topics.len()
            && self
                .topics
                .iter()
                .zip(topics)
                .all(|(values, topic)| values.is_empty() || values.contains(topic))
    }
}

/// The logs of a block, in their order.
fn logs_of(view: &ChainView, number: u64) -> Vec<Log> {
    let receipts = view.receipts(number).expect("a good store").expect("a block of the chain");
    receipts.iter().flat_map(|receipt| receipt.logs()).cloned().collect()
}

/// Filters for each address and each topic of the blocks from one on, for several at once, for
/// everything, and for nothing that is there.
fn filters(view: &ChainView, from: u64) -> Vec<Wanted> {
    let (mut addresses, mut topics) = (BTreeSet::new(), BTreeSet::new());
    for log in (from..=view.head().number).flat_map(|number| logs_of(view, number)) {
        addresses.insert(log.address);
        topics.extend(log.data.topics().iter().copied().enumerate());
    }
    let at = |position: usize, values: Vec<B256>| {
        let mut topics = vec![Vec::new(); position];
        topics.push(values);
        topics
    };
    let addresses: Vec<Address> = addresses.into_iter().collect();
    let mut filters = vec![Wanted::default(), Wanted::nowhere()];
    for address in &addresses {
        filters.push(Wanted { addresses: vec![*address], topics: Vec::new() });
    }
    for (position, topic) in topics.iter().take(TOPICS_MAX) {
        filters.push(Wanted { addresses: Vec::new(), topics: at(*position, vec![*topic]) });
        filters.push(Wanted { addresses: addresses.clone(), topics: at(*position, vec![*topic]) });
    }
    for wanted in 0..4 {
        let of_position = topics.iter().filter(|(position, _)| *position == wanted);
        let values: Vec<B256> = of_position.map(|(_, topic)| *topic).take(3).collect();
        filters.push(Wanted { addresses: Vec::new(), topics: at(wanted, values) });
    }
    filters
}

/// Number and index of each log that a walk through a range finds.
fn walked(view: &ChainView, wanted: &Wanted, from: u64, to: u64) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for number in from..=to {
        for (index, log) in (0u64..).zip(logs_of(view, number)) {
            if wanted.matches(&log) {
                found.push((quantity(number), quantity(index)));
            }
        }
    }
    found
}

/// The same of the answer of a node.
fn asked(wire: &Wire, wanted: &Wanted, from: u64, to: u64) -> Vec<(String, String)> {
    let logs = wire.public_ok("eth_getLogs", &wanted.params(from, to));
    let text = |log: &Value, field: &str| log[field].as_str().expect("a quantity").to_owned();
    let logs = logs.as_array().expect("a list");
    logs.iter().map(|log| (text(log, "blockNumber"), text(log, "logIndex"))).collect()
}

/// Every filter finds what a walk finds, from the oldest block on and in parts of that. Gives how
/// many logs there are.
fn check(wire: &Wire, oldest: u64, told: &str) -> usize {
    let view = wire.node.view();
    let head = view.head().number;
    let third = (head - oldest) / 3;
    for wanted in &filters(&view, oldest) {
        for (from, to) in [(oldest, head), (oldest + third, head - third), (head, head)] {
            let expected = walked(&view, wanted, from, to);
            let found = asked(wire, wanted, from, to);
            assert_eq!(found, expected, "{told}: {wanted:?} in blocks {from} to {to}");
        }
    }
    walked(&view, &Wanted::default(), oldest, head).len()
}

#[test]
fn logs_are_found_by_the_index_as_by_a_walk_through_all_receipts() {
    let (fork, blocks, transactions) = (Fork::Shanghai, 60, 8);
    let recipe = Recipe { seed: 0x106, fork, blocks, transactions, shared: 40, branch: 1 };
    let one = WireChain::of_recipe(&recipe);
    let two = WireChain::of_recipe(&Recipe { blocks: 66, branch: 2, ..recipe });
    let common = one.chain.fork_with(&two.chain);
    let faults = Faults::counted();
    let store = Store::memory(faults.clone());
    // Some blocks stay above those that are durable.
    let node = Node::open(store, None, &one.chain.genesis, &Setup::new(7)).expect("a good store");
    let wire = Wire::over(one, node);
    let last = wire.chain.last();
    wire.follow(1..=last);
    wire.node.settled();
    assert!(check(&wire, 0, "one branch") > 5, "the chain has logs");

    // That there are none is told by a row, not by the header of every block.
    let is_short = || {
        let before = faults.operations();
        assert!(asked(&wire, &Wanted::nowhere(), 0, last).is_empty());
        faults.operations() - before < last / 2
    };
    assert!((0..LOOKS).any(|_| is_short()), "every header was read");

    // Durable blocks leave the chain, and the index with it.
    assert!(common > 0 && common + 14 < last, "{common}");
    let send = |chain: &WireChain| {
        for number in common + 1..=chain.last() {
            let sent = wire.send(&chain.params(number));
            assert_eq!(sent, valid(chain.hash(number)), "block {number}");
        }
    };
    send(&two);
    wire.choose(&choice_of(two.hash(two.last())));
    check(&wire, 0, "the other branch, at once");
    wire.node.settled();
    check(&wire, 0, "the other branch");
    // And back.
    send(&wire.chain);
    wire.choose(&choice_of(wire.chain.hash(last)));
    wire.node.settled();
    check(&wire, 0, "the first branch again");
}

#[test]
fn a_range_with_pruned_receipts_is_refused_whatever_is_looked_for() {
    let chain = WireChain::of_recipe(&Recipe::new(0x107, Fork::Shanghai, 60, 8));
    let mut setup = Setup::new(3);
    setup.chain.retention = Retention::Full { window: 40 };
    let node = Node::in_memory(&chain.chain, &setup);
    let wire = Wire::over(chain, node);
    let last = wire.chain.last();
    wire.follow(1..=last);
    wire.node.settled();
    // Receipts go with the state.
    let oldest = wire.node.view().oldest_state();
    assert!(oldest > 3 && oldest + 3 < last, "the oldest state is of block {oldest}");
    assert!(check(&wire, oldest, "pruned") > 0, "the chain has logs");
    for wanted in [Wanted::default(), Wanted::nowhere()] {
        for (from, to) in [(0, last), (oldest - 1, last), (oldest - 1, oldest - 1)] {
            let answer = wire.public.call("eth_getLogs", &wanted.params(from, to));
            let error = answer.expect_err("it is pruned");
            assert_eq!(error.code, 4_444, "{from} to {to}: {error:?}");
            assert!(error.message.ends_with(&format!("block {oldest}")), "{error:?}");
        }
    }
}
