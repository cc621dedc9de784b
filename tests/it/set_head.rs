//! The head is taken back by whoever runs the node, while a consensus client drives it.

use crate::{
    engine_support::{Asked, BRANCHES, Branches, Folder, Node, Setup, check_view, choice, index},
    import_support::TestChain,
    rules_support::{UNKNOWN, Wire, choice_of, quantity, state_of},
};
use fugue_chain::{EngineError, Forkchoice, Head, PayloadVerdict};
use fugue_chainspec::Fork;
use fugue_types::B256;
use serde_json::{Value, json};

fn head(chain: &TestChain, number: u64) -> Head {
    Head { number, hash: chain.hash(number) }
}

fn set_head(node: &Node, hash: B256) -> Result<Head, EngineError> {
    Asked::of(|reply| node.engine().set_head(hash, reply)).answer()
}

#[test]
fn it_goes_back_over_durable_blocks_and_forth_with_the_next_fork_choice() {
    let Branches { one, common, of_one, .. } = &*BRANCHES;
    let (last, to) = (one.head().number, common + 1);
    let folder = Folder::new();
    let node = Node::on(&folder, one, &Setup::new(2));
    node.follow(&one.blocks[..index(last - 1)]);
    let (safe, finalized) = (one.hash(last - 2), one.hash(*common));
    node.choose(Forkchoice { head: one.hash(last - 1), safe, finalized });
    let status = node.settled();
    assert!(status.durable.number > to, "{:?}", status.durable);
    // 1. What is safe goes back with it, what is final stays.
    assert_eq!(set_head(&node, one.hash(to)), Ok(head(one, to)));
    let marks = (head(one, to), Some(head(one, to)), Some(head(one, *common)));
    assert_eq!(node.marks(), marks);
    check_view(&node.view(), one, of_one, "taken back");
    assert_eq!(node.status().last_forkchoice, status.last_forkchoice, "no sign of life");
    // 2. It goes back alone, along its chain, and not below what is final.
    let two = &BRANCHES.two;
    for (hash, reason) in [
        (one.hash(common - 1), "below the finalized one"),
        (one.hash(to + 1), "not in the chain of the head"),
        (two.hash(to), "not in the chain of the head"),
        (UNKNOWN, "not in the chain of the head"),
        (B256::ZERO, "not in the chain of the head"),
    ] {
        let told = set_head(&node, hash);
        let Err(EngineError::InvalidForkchoice(told)) = told else { panic!("{told:?}") };
        assert!(told.contains(reason), "{told}");
    }
    assert_eq!(set_head(&node, one.hash(to)), Ok(head(one, to)), "where it is");
    assert_eq!(node.marks(), marks);
    // 3. The consensus client goes on from what it knows.
    assert_eq!(node.new_payload(one.block(last)), Ok(PayloadVerdict::Valid));
    node.choose(choice(one.hash(last)));
    check_view(&node.view(), one, of_one, "at the head again");
    // 4. It survives a restart, as any fork choice.
    assert_eq!(set_head(&node, one.hash(to)), Ok(head(one, to)));
    node.stop().expect("a good folder");
    let node = Node::on(&folder, one, &Setup::new(2));
    assert_eq!(node.marks().0, head(one, to));
    node.choose(choice(one.hash(last)));
    assert_eq!(node.stop(), Ok(one.head()));
    folder.check(one, of_one, one.head(), "after");
}

#[test]
fn a_fork_choice_that_could_not_go_there_is_the_limit() {
    let one = &BRANCHES.one;
    let mut setup = Setup::new(2);
    setup.engine.reorg_depth_max = 3;
    let node = Node::in_memory(one, &setup);
    node.follow(&one.blocks);
    let last = one.head().number;
    let marks = node.marks();
    assert_eq!(set_head(&node, one.hash(last - 4)), Err(EngineError::TooDeep { depth: 4, max: 3 }));
    assert_eq!(node.marks(), marks);
    assert_eq!(set_head(&node, one.hash(last - 3)), Ok(head(one, last - 3)));
}

#[test]
fn it_is_a_method_of_debug_that_takes_any_name_of_a_block() {
    let wire = Wire::new(Fork::Prague);
    let last = wire.chain.last();
    wire.follow(1..=last);
    let [head, safe, finalized] = [last, last - 1, 2].map(|number| wire.chain.hash(number));
    wire.choose(&state_of(head, safe, finalized));
    let block = wire.chain.chain.block(4).block();
    let tx = json!([block.body.transactions[0].hash()]);
    assert!(wire.public_ok("eth_getTransactionReceipt", &tx).is_object());
    for (named, number) in [
        (json!("0x3"), 3),
        (json!(wire.chain.hash(3)), 3),
        (json!("finalized"), 2),
        (json!("latest"), 2),
    ] {
        assert_eq!(wire.public_ok("debug_setHead", &json!([named])), Value::Null, "{named}");
        assert_eq!(wire.tagged("latest"), Some(wire.chain.hash(number)), "{named}");
        assert_eq!(wire.public_ok("eth_getTransactionReceipt", &tx), Value::Null, "{named}");
    }
    for (named, code) in [
        // Below what is final.
        (json!("0x1"), -32_000),
        // Above the head, and nowhere.
        (json!("0x3"), -32_001),
        (json!(quantity(last + 1)), -32_001),
        (json!(UNKNOWN), -32_001),
        (json!({ "blockHash": UNKNOWN, "requireCanonical": true }), -32_001),
        // Beside the chain.
        (json!(wire.chain.hash(3)), -32_001),
        (json!({ "blockHash": wire.chain.hash(3), "requireCanonical": true }), -32_000),
        (json!({}), -32_602),
    ] {
        let error = wire.public.call("debug_setHead", &json!([named])).expect_err("refused");
        assert_eq!(error.code, code, "{named}: {error:?}");
    }
    assert_eq!(wire.tagged("latest"), Some(wire.chain.hash(2)));
    wire.choose(&choice_of(head));
    assert!(wire.public_ok("eth_getTransactionReceipt", &tx).is_object());
    // The port of the consensus client has it not.
    let error = wire.engine.call("debug_setHead", &json!(["0x1"])).expect_err("not here");
    assert_eq!(error.code, -32_601, "{error:?}");
}
