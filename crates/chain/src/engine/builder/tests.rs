//! What a builder keeps from one build to the next, and when it lets it go.

use super::*;
use crate::{
    Chain, ChainOptions, DevBlock, DevContent, Edit, Engine, EngineThread, Forkchoice,
    ForkchoiceVerdict, PayloadVerdict,
    engine::samples::{After, World},
    pool_head,
};
use fugue_chainspec::ChainSpec;
use fugue_storage::Snapshot;
use fugue_txpool::{Pool, PoolOptions};
use fugue_types::U256;
use fugue_types::{Address, SealedBlock, Withdrawal};
use std::sync::{Weak, mpsc};

/// Longest that anything here may take; what ends at all ends in a fraction of it.
const HANG: Duration = Duration::from_secs(60);

/// Attributes of a child of this block, which changes an account that is there.
fn attributes_on(parent: &Header) -> BuildAttributes {
    let address = Address::repeat_byte(1);
    let withdrawal = Withdrawal { index: 0, validator_index: 0, address, amount: 3 };
    BuildAttributes {
        timestamp: parent.timestamp + 12,
        prev_randao: B256::ZERO,
        fee_recipient: Address::ZERO,
        withdrawals: Some(vec![withdrawal]),
        parent_beacon_block_root: None,
        slot_number: None,
        target_gas_limit: None,
    }
}

/// What the engine answers to a call.
fn answer<T: Send + 'static>(call: impl FnOnce(Reply<T>)) -> T {
    let (sender, receiver) = mpsc::channel();
    call(Box::new(move |answer: T| {
        // Nobody listens any longer only if the time was up.
        sender.send(answer).ok();
    }));
    receiver.recv_timeout(HANG).expect("an answer")
}

/// A head, and nothing about what is safe or final.
fn choice(head: B256) -> Forkchoice {
    Forkchoice { head, ..Forkchoice::default() }
}

/// A running engine that makes every block durable by itself.
struct Node {
    engine: Engine,
    thread: EngineThread,
}

impl Node {
    /// At the genesis of a world.
    fn start() -> Self {
        let World { store, spec, genesis, .. } = World::new();
        let After { head, header, .. } = genesis;
        let options = ChainOptions { batch_blocks_max: 1, ..ChainOptions::following(Mode::Seq, 1) };
        let chain = Chain::open(store, ChainSpec::clone(&spec), options).expect("a good store");
        let pool = Pool::new(PoolOptions::default(), pool_head(&spec, head.hash, &header));
        let options = EngineOptions { build_mode: Mode::Seq, ..EngineOptions::default() };
        let started = Engine::start(chain, Arc::new(pool), options);
        let (engine, thread) = started.expect("threads");
        Self { engine, thread }
    }

    /// A block on the head.
    fn build(&self) -> SealedBlock {
        let view = self.engine.view();
        let header = view.header(view.head().number).expect("a good store");
        let (hash, header) = header.expect("the head");
        let (state, attributes) = (choice(hash), Some(Ok(attributes_on(&header))));
        let verdict = answer(|reply| self.engine.forkchoice(state, attributes, reply));
        let Ok(ForkchoiceVerdict::Valid(Some(id))) = verdict else { panic!("{verdict:?}") };
        let built = answer(|reply| self.engine.payload(id, reply)).expect("a payload");
        built.block.clone()
    }

    /// A block is sent, and becomes the head.
    fn follow(&self, block: &SealedBlock) {
        let (sent, state) = (block.clone(), choice(block.hash()));
        let verdict = answer(|reply| self.engine.new_payload(sent, Duration::ZERO, reply));
        assert_eq!(verdict, Ok(PayloadVerdict::Valid));
        let verdict = answer(|reply| self.engine.forkchoice(state, None, reply));
        assert_eq!(verdict, Ok(ForkchoiceVerdict::Valid(None)));
    }

    fn snapshot(&self) -> Weak<Snapshot> {
        Arc::downgrade(self.engine.view().snapshot())
    }

    fn stop(self) -> Head {
        let Self { engine, thread } = self;
        drop(engine);
        thread.stop().expect("it ends well")
    }
}

#[test]
fn a_second_build_on_a_block_reads_nothing_of_the_store() {
    let world = World::new();
    let (snapshot, genesis) = (world.snapshot(), &world.genesis);
    let view = Arc::new(world.view(&snapshot, genesis));
    let shared = Arc::new(world.shared(&snapshot, genesis));
    // Each build ends with its first payload, which is empty.
    let options = EngineOptions {
        build_mode: Mode::Seq,
        build_time: Duration::ZERO,
        ..EngineOptions::default()
    };
    let executor = Executor::new(1).expect("a thread");
    let mut builder = Builder::new(executor, shared, &options);
    let (_queue, jobs) = sync_channel(1);
    let mut build = |nth: u8| {
        let prev_randao = B256::repeat_byte(nth);
        let attributes = BuildAttributes { prev_randao, ..attributes_on(&genesis.header) };
        let (head, parent) = (genesis.head, genesis.header.clone());
        let job = Job::new([nth; 8], view.clone(), head, parent, attributes);
        assert!(builder.build(&job, &jobs).is_none(), "nobody asks for a newer one");
        let state = job.state.lock();
        let JobState { best, failure, .. } = &*state;
        best.clone().unwrap_or_else(|| panic!("{failure:?}"))
    };
    let operations = world.faults.operations();
    let first = build(1);
    let read = world.faults.operations();
    assert!(read > operations);
    let second = build(2);
    assert_eq!(world.faults.operations(), read);
    assert_ne!(first.block, second.block);
    let [first, second] = [first, second].map(|built| built.block.block().header.state_root);
    assert_ne!(first, genesis.header.state_root);
    assert_eq!(first, second);
}

#[test]
fn an_old_state_of_the_store_is_let_go_while_nothing_is_built() {
    let other = Node::start();
    let blocks = [(); 2].map(|()| {
        let block = other.build();
        other.follow(&block);
        block
    });
    other.stop();

    let node = Node::start();
    let old = node.snapshot();
    // The builder keeps what it has built on.
    assert_eq!(node.build(), blocks[0]);
    for block in &blocks {
        node.follow(block);
    }
    assert!(!old.ptr_eq(&node.snapshot()), "readers have a newer state");
    let begun = Instant::now();
    while old.strong_count() > 0 {
        assert!(begun.elapsed() < HANG, "the old state is still there after {HANG:?}");
        std::thread::yield_now();
    }
    assert_eq!(node.engine.status().ahead_failures, 0);
    assert_eq!(node.stop(), Head { number: 2, hash: blocks[1].hash() });
}

#[test]
fn what_is_for_development_is_refused_by_every_other_chain() {
    let node = Node::start();
    let genesis = node.engine.view().head();
    let block = DevBlock {
        timestamp: 12,
        prev_randao: B256::ZERO,
        fee_recipient: Address::ZERO,
        base_fee: None,
        gas_limit: None,
        content: DevContent::Edit(Edit { balance: Some(U256::MAX), ..Edit::default() }),
    };
    let built = answer(|reply| node.engine.build_for_dev(block, reply));
    assert!(matches!(built, Err(EngineError::Internal(_))), "{built:?}");
    let block = node.build();
    node.follow(&block);
    let rewound = answer(|reply| node.engine.rewind(choice(genesis.hash), reply));
    assert!(matches!(rewound, Err(EngineError::Internal(_))), "{rewound:?}");
    assert_eq!(node.stop(), Head { number: 1, hash: block.hash() });
}
