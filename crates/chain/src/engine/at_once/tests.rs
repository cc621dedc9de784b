//! Blocks that are built at once: they are good, and nothing else changes.

use super::*;
use crate::{
    Chain, ChainOptions, EngineOptions, EngineThread, PayloadVerdict, Reply,
    engine::samples::{After, World},
    pool_head,
};
use alloy_consensus::{SignableTransaction, Signed, TxEip4844, TxLegacy};
use alloy_eips::Decodable2718;
use alloy_primitives::Signature;
use fugue_chainspec::ChainSpec;
use fugue_txpool::{Pool, PoolOptions};
use fugue_types::{Header, Withdrawal};
use std::{
    sync::{
        atomic::{AtomicUsize, Ordering::Relaxed},
        mpsc,
    },
    time::Duration,
};

/// Longest that a call may take; what is answered at all is answered in a fraction of it.
const HANG: Duration = Duration::from_secs(60);

/// A running engine at a genesis.
struct Node {
    engine: Engine,
    thread: EngineThread,
    genesis: Head,
    header: Header,
}

impl Node {
    fn start() -> Self {
        let World { store, spec, genesis, .. } = World::new();
        let After { head, header, .. } = genesis;
        let options = ChainOptions::following(Mode::Seq, 1);
        let chain = Chain::open(store, ChainSpec::clone(&spec), options).expect("a good store");
        let pool = Pool::new(PoolOptions::default(), pool_head(&spec, head.hash, &header));
        let options = EngineOptions { build_mode: Mode::Seq, ..EngineOptions::default() };
        let started = Engine::start(chain, Arc::new(pool), options);
        let (engine, thread) = started.expect("threads");
        Self { engine, thread, genesis: head, header }
    }

    fn order(&self, contents: Contents) -> BuildOrder {
        let address = Address::repeat_byte(1);
        let withdrawal = Withdrawal { index: 0, validator_index: 0, address, amount: 3 };
        let attributes = BuildAttributes {
            timestamp: self.header.timestamp + 12,
            prev_randao: B256::ZERO,
            fee_recipient: Address::ZERO,
            withdrawals: Some(vec![withdrawal]),
            parent_beacon_block_root: None,
            slot_number: None,
            target_gas_limit: None,
        };
        let parent = self.genesis.hash;
        BuildOrder { parent, attributes, contents, extra_data: None }
    }

    fn build(&self, order: BuildOrder) -> Result<BuiltPayload, BuildError> {
        self.engine.build_at_once(order, &|| true)
    }

    fn stop(self) {
        drop(self.engine);
        self.thread.stop().expect("a good store");
    }
}

fn answer<T: Send + 'static>(call: impl FnOnce(Reply<T>)) -> T {
    let (sender, receiver) = mpsc::channel();
    call(Box::new(move |answer: T| {
        // Nobody listens any longer only if the time was up.
        sender.send(answer).ok();
    }));
    receiver.recv_timeout(HANG).expect("an answer")
}

/// A creation without gas.
fn gasless() -> Transaction {
    let encoded = [0xc9, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x1b, 1, 1];
    Transaction::decode_2718_exact(&encoded).expect("a transaction")
}

#[test]
fn a_block_is_good_and_changes_nothing_before_it_is_sent() {
    let node = Node::start();
    let extra = Bytes::from_static(b"extra");
    for (contents, extra_data, expected) in [
        (Contents::Exactly(Vec::new()), Some(extra.clone()), extra),
        (Contents::Pool, None, EngineOptions::default().extra_data),
    ] {
        let order = BuildOrder { extra_data, ..node.order(contents) };
        let built = node.build(order).expect("a block");
        assert_eq!(built.block.block().header.extra_data, expected);
        assert_eq!(node.engine.view().head(), node.genesis);
        assert_eq!(node.engine.status().built, 0, "it is no build of the consensus layer");
        let block = built.block.clone();
        let verdict = answer(|reply| node.engine.new_payload(block, Duration::ZERO, reply));
        assert_eq!(verdict, Ok(PayloadVerdict::Valid));
    }
    node.stop();
}

#[test]
fn a_block_needs_a_parent_that_is_earlier() {
    let node = Node::start();
    let order = node.order(Contents::Pool);
    let parent = B256::repeat_byte(9);
    let found = node.build(BuildOrder { parent, ..order.clone() });
    assert_eq!(found, Err(BuildError::UnknownParent(parent)));
    let parent = node.header.timestamp;
    let attributes = BuildAttributes { timestamp: parent, ..order.attributes.clone() };
    let found = node.build(BuildOrder { attributes, ..order });
    assert_eq!(found, Err(BuildError::Timestamp { found: parent, parent }));
    node.stop();
}

#[test]
fn a_transaction_that_cannot_go_in_is_named() {
    let node = Node::start();
    let order = node.order(Contents::Exactly(vec![(gasless(), None)]));
    let found = node.build(order);
    assert!(matches!(found, Err(BuildError::Transaction { index: 0, .. })), "{found:?}");
    // One with blobs that its fork does not have.
    let signature = *gasless().signature();
    let blobs = Transaction::Eip4844(Signed::new_unhashed(TxEip4844::default(), signature));
    let order = node.order(Contents::Exactly(vec![(blobs, Some(Sidecar::default()))]));
    let found = node.build(order);
    assert!(matches!(found, Err(BuildError::Transaction { index: 0, .. })), "{found:?}");
    node.stop();
}

#[test]
fn a_block_that_nobody_wants_is_given_up() {
    let node = Node::start();
    let found = node.engine.build_at_once(node.order(Contents::Pool), &|| false);
    assert_eq!(found, Err(BuildError::GivenUp));
    // In the middle of it, too.
    let asked = AtomicUsize::new(0);
    let goes_on = || asked.fetch_add(1, Relaxed) == 0;
    let found = node.engine.build_at_once(node.order(Contents::Pool), &goes_on);
    assert_eq!(found, Err(BuildError::GivenUp));
    assert!(asked.into_inner() > 1, "it is asked at every read");
    node.stop();
}

#[test]
fn no_transaction_is_tried_when_the_time_is_over() {
    let node = Node::start();
    let tx = TxLegacy { gas_limit: 100_000, ..TxLegacy::default() };
    let tx = Transaction::Legacy(tx.into_signed(Signature::test_signature()));
    let refused = |until: Option<Instant>| {
        let order = node.order(Contents::Exactly(vec![(tx.clone(), None)]));
        node.engine.build_on(&node.engine.view(), order, None, until, &|| true).err()
    };
    let untried = Some(left_out(0, Vec::new()));
    assert_eq!(refused(Some(Instant::now())), untried, "there is a block, but it is not in it");
    let tried = refused(None);
    assert!(matches!(tried, Some(BuildError::Transaction { index: 0, .. })), "{tried:?}");
    assert_ne!(tried, untried, "it pays no base fee");
    node.stop();
}

#[test]
fn what_is_left_out_has_a_reason() {
    let of = |index: usize, reason: Refusal| {
        let reason = reason.to_string();
        BuildError::Transaction { index, reason }
    };
    let refused = vec![(2, Refusal::Bytes), (3, Refusal::Sender)];
    assert_eq!(left_out(2, refused), of(2, Refusal::Bytes));
    assert_eq!(left_out(4, Vec::new()), of(4, Refusal::Gas));
}
