//! Payloads that the engine builds: what they are made with, when they are made better, and that
//! they are good blocks. Numbers after `e` are rules by `FEATURES.md` in the design documents.

use crate::{
    engine_support::{Asked, Folder, Node, Setup, attributes_on, changed, choice, index},
    import_support::{Recipe, TestChain, USERS, verify},
};
use alloy_consensus::TxEip1559;
use alloy_eips::Encodable2718;
use fugue_chain::{
    BuildAttributes, BuiltPayload, EngineError, ForkchoiceVerdict, Head, PayloadVerdict,
};
use fugue_chainspec::Fork;
use fugue_executor::Mode;
use fugue_state::Account;
use fugue_storage::{Access, Store, StoreOptions};
use fugue_txpool::{Origin, PooledTransaction};
use fugue_types::{
    Address, B256, Block, BlockAccessList, Header, Transaction, TxKind, U256, Withdrawals,
    keccak256,
};
use fugue_workload::{BLOCK_GAS_LIMIT, CHAIN_ID, Script, Tiny, Wallet, gwei};
use std::{collections::BTreeSet, sync::Arc};

const FORKS: [Fork; 6] =
    [Fork::Paris, Fork::Shanghai, Fork::Cancun, Fork::Prague, Fork::Osaka, Fork::Amsterdam];
/// Batches so large that nothing becomes durable before the end.
const LARGE: usize = 1_000;
/// The largest step of a gas limit is less than this part of it. Source: Yellow Paper.
const GAS_LIMIT_DIVISOR: u64 = 1_024;

/// A generated chain, and who may send on it.
struct Site {
    chain: TestChain,
    /// Sends nothing after the first block.
    deployer: Wallet,
    users: Vec<Wallet>,
    tiny: Tiny,
}

impl Site {
    fn new(fork: Fork) -> Self {
        let recipe = Recipe::new(0xb11d, fork, 4, 3);
        let chain = TestChain::new(&recipe);
        // The same name and seed give the same keys and contracts.
        let mut script = Script::new("import", "keys", recipe.seed, fork);
        let tiny = Tiny::place(&mut script);
        let (deployer, users) = (script.deployer(), script.users(USERS));
        for address in [deployer.address(), users[USERS - 1].address(), tiny.counter] {
            let is_there = chain.genesis.state.accounts.contains_key(&address);
            assert!(is_there, "{address} is not of this chain");
        }
        Self { chain, deployer, users, tiny }
    }

    /// A node at this block.
    fn node(&self, setup: &Setup, number: u64) -> Node {
        let node = Node::in_memory(&self.chain, setup);
        node.follow(&self.chain.blocks[..index(number)]);
        node
    }

    fn header(&self, number: u64) -> &Header {
        &self.chain.block(number).block().header
    }

    /// Several calls of each sender, most of which meet in one slot. Gives their hashes.
    fn fill(&self, node: &Node) -> BTreeSet<B256> {
        let mut hashes = BTreeSet::new();
        for (place, wallet) in (0..).zip(self.users.iter().chain([&self.deployer])) {
            let account = account(node, wallet.address());
            // An account with delegated code may have but one transaction in the pool.
            let count = if account.has_code() { 1 } else { 3 };
            for nth in 0..count {
                let to = if nth == 1 { self.tiny.own_counter } else { self.tiny.counter };
                let tip = 1 + (place + nth) % 4;
                hashes.insert(add(node, call(*wallet, account.nonce + nth, tip, to)));
            }
        }
        hashes
    }

    /// Adds a call of the deployer.
    fn add_one(&self, node: &Node, nth: u64) -> B256 {
        let nonce = account(node, self.deployer.address()).nonce + nth;
        add(node, call(self.deployer, nonce, 2, self.tiny.counter))
    }
}

/// An account after the head.
fn account(node: &Node, address: Address) -> Account {
    let view = node.view();
    let found = view.with_state(view.head().number, |state| state.account(address));
    found.expect("a good store").expect("a head").expect("a good store").unwrap_or_default()
}

fn call(from: Wallet, nonce: u64, tip: u64, to: Address) -> PooledTransaction {
    pooled(from.eip1559(TxEip1559 {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit: 500_000,
        max_fee_per_gas: gwei(100),
        max_priority_fee_per_gas: gwei(tip),
        to: TxKind::Call(to),
        ..TxEip1559::default()
    }))
}

/// A call as the pool takes it.
fn pooled(tx: Transaction) -> PooledTransaction {
    match tx {
        Transaction::Eip1559(signed) => PooledTransaction::Eip1559(signed),
        other => panic!("{other:?}"),
    }
}

/// Puts an executable transaction into the pool.
fn add(node: &Node, tx: PooledTransaction) -> B256 {
    let (view, pool) = (node.view(), node.engine().pool());
    let added = view.with_state(view.head().number, |state| pool.add(tx, Origin::Local, state));
    let added = added.expect("a good store").expect("a head");
    let added = added.unwrap_or_else(|error| panic!("{error}"));
    assert!(added.is_pending, "{added:?}");
    added.hash
}

fn hashes(payload: &BuiltPayload) -> BTreeSet<B256> {
    let txs = payload.block.block().body.transactions.iter();
    txs.map(|tx| *tx.hash()).collect()
}

/// The same attributes but for their random value.
fn other(attributes: &BuildAttributes) -> BuildAttributes {
    let prev_randao = keccak256(attributes.prev_randao);
    BuildAttributes { prev_randao, ..attributes.clone() }
}

/// The builder has left whatever it was building before when this returns.
fn leave(node: &Node, head: B256, attributes: &BuildAttributes) {
    node.build(choice(head), &other(attributes));
}

#[test]
fn what_is_built_is_what_was_asked_for_and_a_good_block_on_every_fork() {
    for fork in FORKS {
        let site = Site::new(fork);
        let node = site.node(&Setup::new(LARGE), site.chain.head().number);
        let (head, parent) = (site.chain.head(), site.header(site.chain.head().number));
        let filled = site.fill(&node);
        let attributes = attributes_on(parent);
        let payload = node.build(choice(head.hash), &attributes);
        let BuiltPayload { block, value, requests, access_list, sidecars } = &*payload;
        let Block { header, body } = block.block();
        assert_eq!(hashes(&payload), filled, "{fork}");
        assert!(sidecars.is_empty(), "{fork}");
        assert_eq!((header.parent_hash, header.number), (head.hash, head.number + 1), "{fork}");
        assert_eq!(header.timestamp, attributes.timestamp, "{fork}");
        assert_eq!(header.mix_hash, attributes.prev_randao, "{fork}");
        assert_eq!(header.beneficiary, attributes.fee_recipient, "{fork}");
        assert_eq!(header.parent_beacon_block_root, attributes.parent_beacon_block_root, "{fork}");
        assert_eq!(header.slot_number, attributes.slot_number, "{fork}");
        assert_eq!(header.extra_data[..], b"fugue"[..], "{fork}");
        let withdrawals = attributes.withdrawals.clone().map(Withdrawals::new);
        assert_eq!(withdrawals.is_some(), fork >= Fork::Shanghai, "{fork}");
        assert_eq!(body.withdrawals, withdrawals, "{fork}");
        assert_eq!(requests.is_some(), fork >= Fork::Prague, "{fork}");
        let requests_hash = requests.as_ref().map(|requests| requests.requests_hash());
        assert_eq!(header.requests_hash, requests_hash, "{fork}");
        assert_eq!(access_list.is_some(), fork >= Fork::Amsterdam, "{fork}");
        let list_hash = access_list.as_ref().map(keccak256);
        assert_eq!(header.block_access_list_hash, list_hash, "{fork}");

        let before = account(&node, attributes.fee_recipient).balance;
        let imported = node.status().imported;
        node.follow(std::slice::from_ref(block));
        assert_eq!(node.status().imported, imported + 1, "{fork}: what is built is judged too");
        let head = Head { number: head.number + 1, hash: block.hash() };
        assert_eq!(node.marks().0, head, "{fork}");
        let view = node.view();
        let found = view.block(head.number).expect("a good store").expect("the head");
        assert_eq!((&found.header, &found.body), (header, body), "{fork}");
        assert_eq!(view.access_list(head.hash), Ok(access_list.clone()), "{fork}");
        let earned = account(&node, attributes.fee_recipient).balance - before;
        assert_eq!(earned, *value, "{fork}");
        assert!(!value.is_zero(), "{fork}");
        // Withdrawals are in gwei.
        let withdrawn = U256::from(if fork >= Fork::Shanghai { gwei(3) } else { 0 });
        assert_eq!(account(&node, Address::repeat_byte(0x77)).balance, withdrawn, "{fork}");
        assert_eq!(node.engine().pool().status().pending, 0, "{fork}: all were mined");
        // Changed in anything, it is no good block.
        let bad = changed(block, |header| header.gas_used += 1);
        let verdict = node.new_payload(&bad);
        assert!(matches!(verdict, Ok(PayloadVerdict::Invalid(_))), "{fork}: {verdict:?}");
    }
}

#[test]
fn a_block_is_the_same_whether_the_pool_knows_its_senders_or_not() {
    for fork in [Fork::Shanghai, Fork::Amsterdam] {
        let site = Site::new(fork);
        let (head, deployer) = (site.chain.head(), site.deployer.address());
        let number = head.number + 1;
        let nodes = [(); 3].map(|()| site.node(&Setup::new(LARGE), head.number));
        let [all, some, none] = &nodes;
        // 1. All of its transactions are in the pool.
        let filled = site.fill(all);
        let payload = all.build(choice(head.hash), &attributes_on(site.header(head.number)));
        let block = std::slice::from_ref(&payload.block);
        assert_eq!(hashes(&payload), filled, "{fork}");
        all.follow(block);
        // 2. Those of one sender are.
        let viewed = all.view().block(number).expect("a good store").expect("the head");
        let signed = viewed.body.transactions.iter().zip(&viewed.senders);
        let own = signed.filter(|(_, sender)| **sender == deployer);
        let own: Vec<B256> = own.map(|(tx, _)| add(some, pooled(tx.clone()))).collect();
        assert!(!own.is_empty() && own.len() < filled.len(), "{fork}: {own:?}");
        some.follow(block);
        // 3. None is, but another one of the same sender and nonce.
        let nonce = account(none, deployer).nonce;
        let other = add(none, call(site.deployer, nonce, 7, site.tiny.counter));
        assert!(!filled.contains(&other), "{fork}");
        none.follow(block);

        let known = nodes.each_ref().map(|node| node.status().known_senders);
        let expected = [filled.len(), own.len(), 0].map(|count| count as u64);
        assert_eq!(known, expected, "{fork}");
        let seen = |node: &Node| (node.view().block(number), node.view().receipts(number));
        assert_eq!(seen(some), seen(all), "{fork}");
        assert_eq!(seen(none), seen(all), "{fork}");
    }
}

#[test]
fn the_pool_is_run_ahead_on_every_head_and_no_answer_depends_on_it() {
    for fork in [Fork::Shanghai, Fork::Amsterdam] {
        let site = Site::new(fork);
        let mut setup = Setup::new(LARGE);
        (setup.chain.mode, setup.chain.threads) = (Mode::Occ, 2);
        let head = site.chain.head().number;
        let nodes = [site.node(&setup, head), site.node(&setup, head)];
        let [ahead, other] = &nodes;
        let mut parent = site.chain.block(head).clone();
        let mut count = 0;
        for _ in 0..3 {
            let filled = site.fill(ahead);
            let all = filled.len();
            ahead.until("running the pool ahead", move |status| status.preexecuted == all);
            let payload =
                ahead.build(choice(parent.hash()), &attributes_on(&parent.block().header));
            assert_eq!(hashes(&payload), filled, "{fork}");
            parent = payload.block.clone();
            for node in &nodes {
                node.follow(std::slice::from_ref(&parent));
            }
            count += all as u64;
            assert_eq!(ahead.status().foreseen, count, "{fork}");
            let number = parent.block().header.number;
            let seen = |node: &Node| (node.view().block(number), node.view().receipts(number));
            assert_eq!(seen(ahead), seen(other), "{fork}");
            // They have left the pool with the block.
            ahead.until("forgetting", |status| status.preexecuted == 0);
        }
        assert_eq!(other.status().foreseen, 0, "{fork}");
        assert_eq!(ahead.status().parallel_differed, 0, "{fork}");
    }
}

#[test]
fn blocks_that_are_built_one_on_another_are_good_for_other_nodes_and_for_the_store() {
    for fork in [Fork::Shanghai, Fork::Amsterdam] {
        let site = Site::new(fork);
        let folder = Folder::new();
        let node = Node::on(&folder, &site.chain, &Setup::new(2));
        node.follow(&site.chain.blocks);
        let (mut built, mut listed) = (Vec::new(), Vec::new());
        let mut parent = site.chain.block(site.chain.head().number).clone();
        for _ in 0..5 {
            let filled = site.fill(&node);
            let attributes = attributes_on(&parent.block().header);
            let payload = node.build(choice(parent.hash()), &attributes);
            assert_eq!(hashes(&payload), filled, "{fork}");
            parent = payload.block.clone();
            node.follow(std::slice::from_ref(&parent));
            built.push(parent.clone());
            let list = payload.access_list.as_ref();
            listed.push(
                list.map(|rlp| {
                    alloy_rlp::decode_exact::<BlockAccessList>(rlp).expect("a good list")
                }),
            );
        }
        let head = Head { number: parent.block().header.number, hash: parent.hash() };
        assert_eq!(node.stop(), Ok(head), "{fork}");
        let store = Store::open(&folder.store(), StoreOptions::new(Access::Read, 1));
        let store = store.expect("a good folder");
        let snapshot = store.snapshot().expect("a good folder");
        assert_eq!(snapshot.meta().head, head, "{fork}");
        verify(&snapshot, fork.name());

        let mut setup = Setup::new(LARGE);
        (setup.chain.mode, setup.chain.threads) = (Mode::Occ, 2);
        let node = site.node(&setup, site.chain.head().number);
        node.follow(&built);
        assert_eq!(node.marks().0, head, "{fork}");
        assert_eq!(node.status().parallel_differed, 0, "{fork}");

        // By their lists, and by lists that lack an account: those are no reason to refuse a block.
        for is_whole in [true, false] {
            setup.chain.mode = Mode::Bal;
            let node = site.node(&setup, site.chain.head().number);
            for (block, list) in built.iter().zip(&listed) {
                let mut list = list.clone();
                if let Some(list) = list.as_mut().filter(|_| !is_whole) {
                    list.pop();
                }
                node.follow(&[block.clone().with_access_list(list.map(Arc::new))]);
            }
            assert_eq!(node.marks().0, head, "{fork}");
            assert_eq!(node.status().parallel_differed, 0, "{fork}");
        }
    }
}

#[test]
fn the_same_pool_gives_the_same_block_in_every_mode_on_any_number_of_threads() {
    for fork in [Fork::Osaka, Fork::Amsterdam] {
        let site = Site::new(fork);
        let attributes = attributes_on(site.header(site.chain.head().number));
        let modes =
            [(Mode::Seq, 1), (Mode::Seq, 1), (Mode::Occ, 1), (Mode::Occ, 2), (Mode::Occ, 3)];
        let payloads = modes.map(|(mode, threads)| {
            let mut setup = Setup::new(LARGE);
            (setup.engine.build_mode, setup.engine.build_threads) = (mode, threads);
            let node = site.node(&setup, site.chain.head().number);
            let filled = site.fill(&node);
            let payload = node.build(choice(site.chain.head().hash), &attributes);
            assert_eq!(hashes(&payload), filled, "{fork}: {mode} on {threads} threads");
            node.follow(std::slice::from_ref(&payload.block));
            payload
        });
        let [expected, ..] = &payloads;
        for (payload, (mode, threads)) in payloads.iter().zip(modes) {
            let told = format!("{fork}: {mode} on {threads} threads");
            assert_eq!(payload.block.block().header, expected.block.block().header, "{told}");
            assert_eq!(payload, expected, "{told}");
        }
    }
}

#[test]
fn e23_the_gas_limit_goes_towards_the_one_that_was_asked_for() {
    for fork in [Fork::Osaka, Fork::Amsterdam] {
        let site = Site::new(fork);
        let mut setup = Setup::new(LARGE);
        setup.engine.gas_limit = 36_000_000;
        let node = site.node(&setup, site.chain.head().number);
        let mut parent = site.chain.block(site.chain.head().number).clone();
        assert_eq!(parent.block().header.gas_limit, BLOCK_GAS_LIMIT);
        let targets = [
            Some(30_000_000),
            Some(0),
            Some(90_000_000),
            Some(u64::MAX),
            Some(BLOCK_GAS_LIMIT),
            // Without one it is that of the node.
            None,
        ];
        for target in targets {
            let before = parent.block().header.gas_limit;
            let attributes = BuildAttributes {
                target_gas_limit: target,
                ..attributes_on(&parent.block().header)
            };
            let payload = node.build(choice(parent.hash()), &attributes);
            let found = payload.block.block().header.gas_limit;
            let (told, target) = (format!("{fork}: {target:?}"), target.unwrap_or(36_000_000));
            let step = found.abs_diff(before);
            assert!(step < before / GAS_LIMIT_DIVISOR, "{told}: from {before} to {found}");
            let is_there = found == target;
            let goes_as_far_as_it_may =
                step == before / GAS_LIMIT_DIVISOR - 1 && (found > before) == (target > before);
            assert!(is_there || goes_as_far_as_it_may, "{told}: from {before} to {found}");
            parent = payload.block.clone();
            node.follow(std::slice::from_ref(&parent));
        }
    }
}

#[test]
fn e24_a_build_begins_without_transactions_and_then_has_those_of_the_pool() {
    let site = Site::new(Fork::Osaka);
    let mut setup = Setup::new(LARGE);
    setup.engine.builds_empty_first = true;
    let node = site.node(&setup, site.chain.head().number);
    let (head, attributes) =
        (site.chain.head().hash, attributes_on(site.header(site.chain.head().number)));
    let filled = site.fill(&node);
    // 1. Without transactions, then with those of the pool.
    let id = node.begin_build(choice(head), &attributes);
    node.until("a better payload", |status| status.built >= 2);
    // 2. The builder has left it when it has come to another, and to its end.
    let next = node.begin_build(choice(head), &other(&attributes));
    node.until("another payload", |status| status.built >= 4);
    node.payload(next).expect("it was built");
    let payload = node.payload(id).expect("it was built");
    assert_eq!(hashes(&payload), filled);

    // Asked for at once, there is one: whichever, it is good.
    let attributes = other(&other(&attributes));
    let id = node.begin_build(choice(head), &attributes);
    let payload = node.payload(id).expect("it was built");
    let found = hashes(&payload);
    assert!(found.is_empty() || found == filled, "{found:?}");
    assert_eq!(node.new_payload(&payload.block), Ok(PayloadVerdict::Valid));
}

#[test]
fn e24_without_transactions_there_is_an_empty_payload() {
    let site = Site::new(Fork::Prague);
    for builds_empty_first in [false, true] {
        let mut setup = Setup::new(LARGE);
        setup.engine.builds_empty_first = builds_empty_first;
        let node = site.node(&setup, site.chain.head().number);
        let parent = site.header(site.chain.head().number);
        let payload = node.build(choice(site.chain.head().hash), &attributes_on(parent));
        assert!(hashes(&payload).is_empty());
        assert_eq!((payload.value, payload.block.block().header.gas_used), (U256::ZERO, 0));
        node.follow(std::slice::from_ref(&payload.block));
    }
}

#[test]
fn e24_a_payload_is_made_better_while_nobody_asks_for_it() {
    let site = Site::new(Fork::Osaka);
    let node = site.node(&Setup::new(LARGE), site.chain.head().number);
    let (head, attributes) =
        (site.chain.head().hash, attributes_on(site.header(site.chain.head().number)));
    let first = site.add_one(&node, 0);
    let id = node.begin_build(choice(head), &attributes);
    node.until("a payload", |status| status.built >= 1);
    let second = site.add_one(&node, 1);
    node.until("a better payload", |status| status.built >= 2);
    leave(&node, head, &attributes);
    let payload = node.payload(id).expect("it was built");
    assert_eq!(hashes(&payload), BTreeSet::from([first, second]));
}

#[test]
fn e24_a_payload_that_was_asked_for_stays_as_it_is_and_is_not_begun_anew() {
    let site = Site::new(Fork::Osaka);
    let node = site.node(&Setup::new(LARGE), site.chain.head().number);
    let (head, attributes) =
        (site.chain.head().hash, attributes_on(site.header(site.chain.head().number)));
    let first = site.add_one(&node, 0);
    let id = node.begin_build(choice(head), &attributes);
    let payload = node.payload(id).expect("it was built");
    assert_eq!(hashes(&payload), BTreeSet::from([first]));
    leave(&node, head, &attributes);
    let second = site.add_one(&node, 1);
    for _ in 0..3 {
        // The same attributes name the same build.
        assert_eq!(node.begin_build(choice(head), &attributes), id);
        assert_eq!(node.payload(id), Ok(Arc::clone(&payload)));
    }
    // Others do not.
    let both = node.build(choice(head), &other(&other(&attributes)));
    assert_eq!(hashes(&both), BTreeSet::from([first, second]));
    assert_eq!(node.payload(id), Ok(payload));
}

#[test]
fn e24_a_build_has_a_name_of_its_own_for_everything_that_it_is_made_with() {
    let site = Site::new(Fork::Amsterdam);
    let node = site.node(&Setup::new(LARGE), site.chain.head().number);
    let head = site.chain.head().hash;
    let attributes = attributes_on(site.header(site.chain.head().number));
    let more =
        attributes.withdrawals.iter().flatten().chain(attributes.withdrawals.iter().flatten());
    let variants = [
        attributes.clone(),
        BuildAttributes { timestamp: attributes.timestamp + 1, ..attributes.clone() },
        other(&attributes),
        BuildAttributes { fee_recipient: Address::repeat_byte(9), ..attributes.clone() },
        BuildAttributes { withdrawals: Some(Vec::new()), ..attributes.clone() },
        BuildAttributes { withdrawals: Some(more.copied().collect()), ..attributes.clone() },
        BuildAttributes { parent_beacon_block_root: Some(B256::ZERO), ..attributes.clone() },
        BuildAttributes { slot_number: Some(1_000), ..attributes.clone() },
        BuildAttributes { target_gas_limit: Some(1), ..attributes.clone() },
        BuildAttributes { target_gas_limit: Some(0), ..attributes },
    ];
    let mut ids = BTreeSet::new();
    for attributes in &variants {
        let id = node.begin_build(choice(head), attributes);
        assert!(ids.insert(id), "{attributes:?}");
        let payload = node.payload(id).expect("it was built");
        assert_eq!(node.new_payload(&payload.block), Ok(PayloadVerdict::Valid), "{attributes:?}");
    }
    // And for its parent.
    let parent = site.chain.head().number - 1;
    let id = node.begin_build(choice(site.chain.hash(parent)), &variants[0]);
    assert!(ids.insert(id));
    let payload = node.payload(id).expect("it was built");
    assert_eq!(node.new_payload(&payload.block), Ok(PayloadVerdict::Valid));
}

#[test]
fn e24_a_build_that_is_not_known_or_forgotten_is_told_so() {
    let site = Site::new(Fork::Cancun);
    let node = site.node(&Setup::new(LARGE), site.chain.head().number);
    let head = site.chain.head().hash;
    assert_eq!(node.payload([1; 8]), Err(EngineError::UnknownPayload));
    let mut attributes = attributes_on(site.header(site.chain.head().number));
    let mut ids = Vec::new();
    for _ in 0..5 {
        attributes = other(&attributes);
        ids.push(node.begin_build(choice(head), &attributes));
    }
    // The last four can be asked for, again and again.
    assert_eq!(node.payload(ids[0]), Err(EngineError::UnknownPayload));
    for id in ids[1..].iter().chain(&ids[1..]) {
        let payload = node.payload(*id);
        assert!(payload.is_ok(), "{payload:?}");
    }
}

#[test]
fn what_is_built_stays_good_when_the_head_moves_on() {
    let site = Site::new(Fork::Shanghai);
    let last = site.chain.head().number;
    let node = site.node(&Setup::new(1), last - 1);
    let head = site.chain.hash(last - 1);
    let hash = site.add_one(&node, 0);
    let id = node.begin_build(choice(head), &attributes_on(site.header(last - 1)));
    node.follow(&site.chain.blocks[index(last - 1)..]);
    let payload = node.payload(id).expect("it was built");
    assert_eq!(payload.block.block().header.parent_hash, head);
    assert_eq!(hashes(&payload), BTreeSet::from([hash]));
    node.follow(std::slice::from_ref(&payload.block));
    assert_eq!(node.status().reorganisations, 1);
}

#[test]
fn a_block_is_built_on_any_block_that_becomes_the_head() {
    let site = Site::new(Fork::Osaka);
    for batch in [1, LARGE] {
        let node = site.node(&Setup::new(batch), site.chain.head().number);
        node.settled();
        for number in (1..site.chain.head().number).rev() {
            let (head, attributes) = (site.chain.hash(number), attributes_on(site.header(number)));
            let payload = node.build(choice(head), &attributes);
            assert_eq!(node.marks().0, Head { number, hash: head });
            assert_eq!(payload.block.block().header.parent_hash, head);
            assert_eq!(node.new_payload(&payload.block), Ok(PayloadVerdict::Valid));
        }
    }
}

#[test]
fn transactions_leave_the_pool_with_their_block_and_come_back_when_it_leaves_the_chain() {
    for (fork, batch) in [(Fork::Shanghai, LARGE), (Fork::Osaka, LARGE), (Fork::Osaka, 1)] {
        let site = Site::new(fork);
        let last = site.chain.head().number;
        let node = site.node(&Setup::new(batch), last - 1);
        let parent = site.chain.hash(last - 1);
        let sent: BTreeSet<B256> = (0..3).map(|nth| site.add_one(&node, nth)).collect();
        let payload = node.build(choice(parent), &attributes_on(site.header(last - 1)));
        assert_eq!(hashes(&payload), sent);
        let pending = || node.engine().pool().status().pending;
        assert_eq!(pending(), 3);
        // 1. Their block is judged, but nobody has chosen it.
        node.send(std::slice::from_ref(&payload.block));
        assert_eq!(pending(), 3);
        // 2. It is chosen.
        node.choose(choice(payload.block.hash()));
        assert_eq!(pending(), 0);
        for hash in &sent {
            assert!(node.engine().pool().get(hash).is_none());
            let found = node.view().transaction(*hash).expect("a good store");
            assert_eq!(found.map(|(number, _)| number), Some(last));
        }
        // 3. Another block is chosen in its place: what is built on it has them again.
        node.settled();
        node.follow(&site.chain.blocks[index(last - 1)..]);
        assert_eq!(pending(), 3, "{fork}, batches of {batch}");
        let next = node.build(choice(site.chain.head().hash), &attributes_on(site.header(last)));
        assert_eq!(hashes(&next), sent);
        for hash in &sent {
            assert_eq!(node.view().transaction(*hash), Ok(None));
        }
        // 4. And that is a good block.
        node.follow(std::slice::from_ref(&next.block));
        assert_eq!(pending(), 0);
    }
}

#[test]
fn a_local_transaction_comes_back_as_such_when_its_block_leaves_the_chain_after_a_restart() {
    let site = Site::new(Fork::Shanghai);
    let last = site.chain.head().number;
    let (folder, mut setup) = (Folder::new(), Setup::new(LARGE));
    setup.engine.local_txs = Some(folder.log().join("transactions"));
    let node = Node::on(&folder, &site.chain, &setup);
    node.follow(&site.chain.blocks[..index(last - 1)]);
    let nonce = account(&node, site.deployer.address()).nonce;
    let tx = call(site.deployer, nonce, 2, site.tiny.counter);
    let added = node.engine().submit(&tx.encoded_2718(), Origin::Local);
    let hash = added.expect("it is taken").hash;
    let parent = choice(site.chain.hash(last - 1));
    let payload = node.build(parent, &attributes_on(site.header(last - 1)));
    assert_eq!(hashes(&payload), BTreeSet::from([hash]));
    node.follow(std::slice::from_ref(&payload.block));
    node.stop().expect("a good folder");

    let node = Node::on(&folder, &site.chain, &setup);
    assert_eq!(node.view().transaction(hash).map(|found| found.is_some()), Ok(true));
    let pooled = || node.engine().pool().get(&hash).map(|tx| tx.origin);
    assert_eq!(pooled(), None);
    node.follow(&site.chain.blocks[index(last - 1)..]);
    assert_eq!(pooled(), Some(Origin::Local));
}

#[test]
fn a_build_is_named_only_if_the_head_is_followed() {
    let site = Site::new(Fork::Cancun);
    let last = site.chain.head().number;
    let node = site.node(&Setup::new(LARGE), last);
    let attributes = attributes_on(site.header(last));
    let bad = changed(site.chain.block(last), |header| header.state_root = B256::ZERO);
    assert!(matches!(node.new_payload(&bad), Ok(PayloadVerdict::Invalid(_))));
    let verdict = node.forkchoice_with(choice(bad.hash()), Ok(attributes.clone()));
    assert!(matches!(verdict, Ok(ForkchoiceVerdict::Invalid(_))), "{verdict:?}");
    let verdict = node.forkchoice_with(choice(B256::repeat_byte(9)), Ok(attributes));
    assert_eq!(verdict, Ok(ForkchoiceVerdict::Syncing));
    assert_eq!(node.until("a look", |_| true).built, 0);
}

#[test]
fn stopping_does_not_wait_for_a_build_that_nobody_asks_for() {
    let site = Site::new(Fork::Cancun);
    let last = site.chain.head().number;
    // A build may take an hour.
    let node = site.node(&Setup::new(LARGE), last);
    let (state, attributes) = (choice(site.chain.head().hash), attributes_on(site.header(last)));
    // Not by the node, which would ask for it at the end.
    let asked =
        Asked::of(|reply| node.engine().forkchoice(state, Some(Ok(attributes)), reply)).answer();
    assert!(matches!(asked, Ok(ForkchoiceVerdict::Valid(Some(_)))), "{asked:?}");
    node.until("a payload", |status| status.built >= 1);
    assert_eq!(node.stop(), Ok(site.chain.head()));
}
