//! Verdicts and fork choices by the rules of the Engine API: numbers after `e` are rules, those
//! after `f` are failures of other clients, both of `FEATURES.md` in the design documents.

use crate::{
    engine_support::{
        Asked, BRANCHES, Branches, Folder, Node, Setup, WRONGS, attributes_on, changed, check_view,
        choice, index, moved, refused,
    },
    import_support::{LONG, MODERN, Recipe, TestChain},
    support::in_time,
};
use fugue_chain::{
    EngineError, Forkchoice, ForkchoiceVerdict, Head, PayloadVerdict, Refusal, Retention, Times,
};
use fugue_chainspec::Fork;
use fugue_types::{B256, Header};
use std::{sync::mpsc, time::Duration};

/// Batches so large that nothing becomes durable before the end.
const LARGE: usize = 1_000;
/// The hash of no block.
const UNKNOWN: B256 = B256::repeat_byte(0x99);

fn head(chain: &TestChain, number: u64) -> Head {
    Head { number, hash: chain.hash(number) }
}

/// A node at the end of the first branch, where blocks become durable two by two.
fn durable_node(folder: &Folder) -> Node {
    let Branches { one, common, .. } = &*BRANCHES;
    let node = Node::on(folder, one, &Setup::new(2));
    node.follow(&one.blocks);
    let durable = node.settled().durable.number;
    assert!(durable > common + 2, "only {durable} blocks are durable");
    node
}

#[test]
fn the_branches_of_these_tests_are_some() {
    let Branches { one, two, common, .. } = &*BRANCHES;
    assert!((5..=6).contains(common), "{common}");
    assert!(one.head().number >= common + 6, "{:?}", one.head());
    assert!(two.head().number > one.head().number, "{:?}", two.head());
}

#[test]
fn e10_an_invalid_block_names_its_newest_valid_ancestor() {
    let one = &BRANCHES.one;
    let node = Node::in_memory(one, &Setup::new(LARGE));
    node.follow(&one.blocks[..4]);
    for (about, wrong) in WRONGS {
        let bad = changed(one.block(5), wrong);
        let child = moved(one.block(6), &bad);
        let grandchild = moved(one.block(7), &child);
        let refusal = refused(node.new_payload(&bad));
        assert_eq!(refusal.latest_valid, Some(one.hash(4)), "{about}");
        assert!(!refusal.reason.is_empty(), "{about}");
        for (block, parent) in [(&child, bad.hash()), (&grandchild, child.hash())] {
            let refusal = refused(node.new_payload(block));
            assert_eq!(refusal.latest_valid, Some(one.hash(4)), "{about}");
            let names_its_parent = refusal.reason.contains(&parent.to_string());
            assert!(names_its_parent, "{about}: {}", refusal.reason);
        }
        for block in [&bad, &child, &grandchild] {
            let verdict = node.forkchoice(choice(block.hash()));
            let Ok(ForkchoiceVerdict::Invalid(refusal)) = verdict else {
                panic!("{about}: {verdict:?}");
            };
            assert_eq!(refusal, refused(node.new_payload(block)), "{about}");
        }
        assert_eq!(node.marks(), (head(one, 4), None, None), "{about}");
    }
    assert_eq!(node.status().invalid, 3 * WRONGS.len());
    assert_eq!(node.status().imported, 4);
    node.follow(&one.blocks[4..]);
}

#[test]
fn e10_above_an_invalid_block_nothing_is_called_valid_when_its_children_come_first() {
    let one = &BRANCHES.one;
    let node = Node::in_memory(one, &Setup::new(LARGE));
    node.follow(&one.blocks[..4]);
    let bad = changed(one.block(5), |header| header.state_root = UNKNOWN);
    let child = moved(one.block(6), &bad);
    assert_eq!(node.new_payload(&child), Ok(PayloadVerdict::Syncing));
    assert_eq!(refused(node.new_payload(&bad)).latest_valid, Some(one.hash(4)));
    assert_eq!(refused(node.new_payload(&child)).latest_valid, Some(one.hash(4)));
    assert_eq!(node.status().imported, 4);
}

#[test]
fn e10_above_proof_of_work_the_newest_valid_ancestor_is_zero() {
    let chain = TestChain::new(&Recipe::new(0x901, Fork::SpuriousDragon, 4, 2));
    let node = Node::in_memory(&chain, &Setup::new(LARGE));
    node.follow(&chain.blocks[..2]);
    let bad = changed(chain.block(3), |header| header.state_root = UNKNOWN);
    let child = moved(chain.block(4), &bad);
    for block in [&bad, &child] {
        assert_eq!(refused(node.new_payload(block)).latest_valid, Some(B256::ZERO));
    }
    node.follow(&chain.blocks[2..]);
}

#[test]
fn e10_a_block_that_is_refused_before_it_is_executed_names_its_parent() {
    let chain = &*MODERN;
    let node = Node::in_memory(chain, &Setup::new(LARGE));
    node.follow(&chain.blocks[..2]);
    // The header by itself is good, and the hash stands for the body.
    let bad = changed(chain.block(3), |header| {
        let blobs = header.blob_gas_used.map_or(0, |gas| gas / 131_072);
        header.blob_gas_used = Some(if blobs == 0 { 131_072 } else { 0 });
    });
    assert_eq!(refused(node.new_payload(&bad)).latest_valid, Some(chain.hash(2)));
    assert_eq!(refused(node.new_payload(&bad)).latest_valid, Some(chain.hash(2)));
    node.follow(&chain.blocks[2..4]);
}

#[test]
fn e11_a_valid_block_stays_valid() {
    let Branches { one, two, common, .. } = &*BRANCHES;
    let folder = Folder::new();
    let node = durable_node(&folder);
    node.send(&BRANCHES.own_of_two()[..2]);
    let imported = node.status().imported;
    for _ in 0..2 {
        node.send(&one.blocks);
        node.send(&BRANCHES.own_of_two()[..2]);
    }
    let status = node.status();
    assert_eq!((status.imported, status.head), (imported, one.head()));
    assert_eq!(node.stop(), Ok(one.head()));
    let node = Node::on(&folder, one, &Setup::new(2));
    node.send(&one.blocks);
    node.send(&BRANCHES.own_of_two()[..2]);
    assert_eq!(node.status().imported, 0, "nothing is executed that is there");
    node.choose(choice(two.hash(common + 2)));
}

#[test]
fn e11_the_genesis_is_valid_as_a_payload_too() {
    let one = &BRANCHES.one;
    let node = Node::in_memory(one, &Setup::new(LARGE));
    assert_eq!(node.new_payload(&one.first), Ok(PayloadVerdict::Valid));
    assert_eq!((node.status().orphans, node.status().imported), (0, 0));
    node.choose(choice(one.hash(0)));
}

#[test]
fn e11_an_invalid_block_is_not_executed_again() {
    let one = &BRANCHES.one;
    let node = Node::in_memory(one, &Setup::new(LARGE));
    node.follow(&one.blocks[..4]);
    let bad = changed(one.block(5), |header| header.receipts_root = UNKNOWN);
    let first = refused(node.new_payload(&bad));
    let before = node.status();
    for _ in 0..3 {
        assert_eq!(refused(node.new_payload(&bad)), first);
    }
    let after = node.status();
    assert_eq!(after.times.executed, before.times.executed);
    assert_eq!((after.invalid, after.imported), (1, 4));
    node.choose(choice(one.hash(4)));
    assert!(!node.has(bad.hash()), "an invalid block is shown to nobody");
}

#[test]
fn e11_an_invalid_block_is_judged_anew_when_it_is_reconsidered_and_after_a_restart() {
    let one = &BRANCHES.one;
    let folder = Folder::new();
    let node = Node::on(&folder, one, &Setup::new(LARGE));
    node.follow(&one.blocks[..4]);
    let bad = changed(one.block(5), |header| header.gas_used -= 1);
    let child = moved(one.block(6), &bad);
    let first = refused(node.new_payload(&bad));
    refused(node.new_payload(&child));
    assert_eq!(node.reconsider(one.hash(5)), Ok(false));
    assert_eq!(node.status().invalid, 2);
    assert_eq!(node.reconsider(bad.hash()), Ok(true));
    assert_eq!(node.reconsider(bad.hash()), Ok(false));
    let before = node.status();
    assert_eq!(before.invalid, 0);
    // Nothing is known of the parent now.
    assert_eq!(node.new_payload(&child), Ok(PayloadVerdict::Syncing));
    assert_eq!(node.forkchoice(choice(bad.hash())), Ok(ForkchoiceVerdict::Syncing));
    assert_eq!(refused(node.new_payload(&bad)), first);
    assert_ne!(node.status().times.executed, before.times.executed, "it was executed again");
    node.stop().expect("a good folder");

    let node = Node::on(&folder, one, &Setup::new(LARGE));
    assert_eq!(node.status().invalid, 0);
    assert_eq!(node.forkchoice(choice(bad.hash())), Ok(ForkchoiceVerdict::Syncing));
    assert_eq!(refused(node.new_payload(&bad)), first);
    node.follow(&one.blocks[4..]);
}

#[test]
fn e12_a_side_branch_without_a_beginning_does_not_block_the_chain() {
    let one = &BRANCHES.one;
    let mut setup = Setup::new(LARGE);
    setup.engine.orphans_max = 4;
    let node = Node::in_memory(one, &setup);
    for (number, block) in (1_u8..).zip(&one.blocks) {
        let orphan = changed(block, |header| header.parent_hash = B256::repeat_byte(number));
        assert_eq!(node.new_payload(&orphan), Ok(PayloadVerdict::Syncing));
        assert_eq!(node.forkchoice(choice(orphan.hash())), Ok(ForkchoiceVerdict::Syncing));
        assert!(node.status().is_syncing);
        node.follow(std::slice::from_ref(block));
        assert!(!node.status().is_syncing);
        assert_eq!(node.status().orphans, usize::from(number).min(4));
    }
    assert_eq!(node.status().imported, one.head().number);
}

#[test]
fn e13_a_block_is_accepted_if_the_state_below_it_is_no_longer_kept() {
    let Branches { one, two, common, .. } = &*BRANCHES;
    let folder = Folder::new();
    let mut setup = Setup::new(2);
    setup.chain.retention = Retention::Full { window: 3 };
    let node = Node::on(&folder, one, &setup);
    node.follow(&one.blocks);
    assert!(node.settled().durable.number > common + 3);
    let side = two.block(common + 1);
    for _ in 0..2 {
        assert_eq!(node.new_payload(side), Ok(PayloadVerdict::Accepted));
    }
    // E21: no answer to a fork choice says so.
    assert_eq!(node.forkchoice(choice(side.hash())), Ok(ForkchoiceVerdict::Syncing));
    // What is above a block that is accepted lacks data.
    assert_eq!(node.new_payload(two.block(common + 2)), Ok(PayloadVerdict::Syncing));
    let status = node.status();
    assert_eq!((status.head, status.invalid, status.failed), (one.head(), 0, None));
    // The canonical branch goes on, and so does a branch that is near enough.
    let sibling = changed(one.block(one.head().number), |header| {
        header.extra_data = b"sibling".to_vec().into();
    });
    node.follow(&[sibling]);
    assert_eq!(node.stop().map(|head| head.number), Ok(one.head().number));
}

#[test]
fn e13_a_block_is_accepted_if_its_branch_is_too_long_until_that_is_the_chain() {
    let one = &BRANCHES.one;
    let mut setup = Setup::new(LARGE);
    setup.chain.side_blocks_max = 3;
    let node = Node::in_memory(one, &setup);
    node.send(&one.blocks[..3]);
    assert_eq!(node.new_payload(one.block(4)), Ok(PayloadVerdict::Accepted));
    assert_eq!(node.status().tree_blocks, 3);
    node.choose(choice(one.hash(3)));
    node.send(&one.blocks[3..6]);
    assert_eq!(node.new_payload(one.block(7)), Ok(PayloadVerdict::Accepted));
    node.choose(choice(one.hash(6)));
    node.follow(&one.blocks[6..]);
}

#[test]
fn e14_calls_are_answered_in_the_order_in_which_they_came() {
    let one = &BRANCHES.one;
    let node = Node::in_memory(one, &Setup::new(2));
    let (sender, receiver) = mpsc::channel();
    let held = node.hold();
    for block in &one.blocks {
        let (number, of_payload, of_choice) =
            (block.block().header.number, sender.clone(), sender.clone());
        let reply = move |answer: Result<PayloadVerdict, EngineError>| {
            of_payload.send((number, answer == Ok(PayloadVerdict::Valid))).ok();
        };
        node.engine().new_payload(block.clone(), Duration::ZERO, Box::new(reply));
        let reply = move |answer: Result<ForkchoiceVerdict, EngineError>| {
            of_choice.send((number, answer == Ok(ForkchoiceVerdict::Valid(None)))).ok();
        };
        node.engine().forkchoice(choice(block.hash()), None, Box::new(reply));
    }
    drop((held, sender));
    let answers: Vec<(u64, bool)> = in_time("the answers", move || receiver.iter().collect());
    let expected = one.blocks.iter().map(|block| (block.block().header.number, true));
    let expected: Vec<(u64, bool)> = expected.flat_map(|pair| [pair, pair]).collect();
    assert_eq!(answers, expected);
    assert_eq!(node.marks().0, one.head());
}

#[test]
fn e15_for_a_head_that_is_not_known_the_answer_is_syncing_and_nothing_changes() {
    let one = &BRANCHES.one;
    let node = Node::in_memory(one, &Setup::new(LARGE));
    node.follow(&one.blocks[..6]);
    let state = Forkchoice { head: one.hash(6), safe: one.hash(4), finalized: one.hash(2) };
    node.choose(state);
    let marks = (head(one, 6), Some(head(one, 4)), Some(head(one, 2)));
    assert_eq!(node.marks(), marks);
    let orphan = one.block(8);
    assert_eq!(node.new_payload(orphan), Ok(PayloadVerdict::Syncing));
    for unknown in [UNKNOWN, B256::ZERO, orphan.hash()] {
        let attributes = attributes_on(&one.block(6).block().header);
        for safe in [one.hash(5), UNKNOWN] {
            let state = Forkchoice { head: unknown, safe, finalized: one.hash(1) };
            assert_eq!(node.forkchoice(state), Ok(ForkchoiceVerdict::Syncing));
            let verdict = node.forkchoice_with(state, Ok(attributes.clone()));
            assert_eq!(verdict, Ok(ForkchoiceVerdict::Syncing));
            assert_eq!(node.marks(), marks);
            assert!(node.engine().is_syncing() && node.status().is_syncing);
        }
    }
    assert_eq!(node.status().built, 0);
    node.choose(state);
    assert!(!node.engine().is_syncing());
}

#[test]
fn e16_e17_a_safe_or_final_block_beside_the_chain_of_the_head_changes_nothing() {
    let Branches { one, two, common, .. } = &*BRANCHES;
    for batch in [2, LARGE] {
        let folder = Folder::new();
        let node = Node::on(&folder, one, &Setup::new(batch));
        node.follow(&one.blocks[..8]);
        let good = Forkchoice { head: one.hash(8), safe: one.hash(5), finalized: one.hash(3) };
        node.choose(good);
        node.send(&one.blocks[8..10]);
        node.send(&BRANCHES.own_of_two()[..2]);
        let marks = (head(one, 8), Some(head(one, 5)), Some(head(one, 3)));
        let side = two.hash(common + 1);
        for wrong in [UNKNOWN, side, one.hash(10)] {
            let states = [
                Forkchoice { head: one.hash(9), safe: wrong, finalized: one.hash(4) },
                Forkchoice { head: one.hash(9), safe: one.hash(6), finalized: wrong },
                Forkchoice { head: one.hash(9), safe: wrong, finalized: wrong },
                Forkchoice { head: one.hash(8), safe: wrong, finalized: B256::ZERO },
            ];
            for state in states {
                let attributes = attributes_on(&one.block(9).block().header);
                for verdict in [node.forkchoice(state), node.forkchoice_with(state, Ok(attributes))]
                {
                    let is_refused = matches!(verdict, Err(EngineError::InvalidForkchoice(_)));
                    assert!(is_refused, "{state:?}: {verdict:?}");
                }
                assert_eq!(node.marks(), marks, "{state:?}");
            }
        }
        // The other branch does not have what is safe on this one.
        let state = Forkchoice { head: two.hash(common + 2), safe: one.hash(8), ..good };
        let verdict = node.forkchoice(state);
        assert!(matches!(verdict, Err(EngineError::InvalidForkchoice(_))), "{verdict:?}");
        let status = node.status();
        assert_eq!((status.head, status.safe, status.finalized), marks);
        assert_eq!((status.reorganisations, status.built), (0, 0));
        drop(node);
        let node = Node::on(&folder, one, &Setup::new(batch));
        assert_eq!(node.marks(), marks, "nothing of it comes up after a restart");
        node.choose(Forkchoice { head: one.hash(9), safe: one.hash(6), finalized: one.hash(4) });
        assert_eq!(node.marks(), (head(one, 9), Some(head(one, 6)), Some(head(one, 4))));
    }
}

#[test]
fn e18_an_ancestor_of_what_is_final_does_not_become_the_head() {
    let one = &BRANCHES.one;
    let node = Node::in_memory(one, &Setup::new(2));
    node.follow(&one.blocks[..9]);
    node.choose(Forkchoice { head: one.hash(9), safe: one.hash(7), finalized: one.hash(5) });
    let marks = node.marks();
    for number in [0, 3, 4] {
        let attributes = attributes_on(&one.block(9).block().header);
        node.choose(choice(one.hash(number)));
        let verdict = node.forkchoice_with(choice(one.hash(number)), Ok(attributes));
        assert_eq!(verdict, Ok(ForkchoiceVerdict::Valid(None)), "nothing is built");
        assert_eq!(node.marks(), marks, "block {number}");
    }
    assert_eq!((node.status().built, node.status().reorganisations), (0, 0));
    // The final block itself may become the head.
    node.choose(Forkchoice { head: one.hash(5), safe: one.hash(5), finalized: one.hash(5) });
    assert_eq!(node.marks(), (head(one, 5), Some(head(one, 5)), Some(head(one, 5))));
    node.choose(choice(one.hash(9)));
    assert_eq!(node.marks(), (head(one, 9), None, None));
}

#[test]
fn e19_wrong_attributes_do_not_undo_the_fork_choice() {
    let one = &BRANCHES.one;
    let node = Node::in_memory(one, &Setup::new(LARGE));
    node.send(&one.blocks);
    let early = |number: u64, by: u64| {
        let mut attributes = attributes_on(&one.block(number).block().header);
        attributes.timestamp = one.block(number).block().header.timestamp - by;
        Ok(attributes)
    };
    let invalid = EngineError::InvalidAttributes("these".to_owned());
    let unsupported = EngineError::UnsupportedFork("another".to_owned());
    let cases = [
        (3, early(3, 0), None),
        (4, early(4, 1), None),
        (5, Err(invalid.clone()), Some(invalid)),
        (6, Err(unsupported.clone()), Some(unsupported)),
    ];
    for (number, attributes, error) in cases {
        let (safe, finalized) = (one.hash(number - 1), one.hash(number - 2));
        let state = Forkchoice { head: one.hash(number), safe, finalized };
        let verdict = node.forkchoice_with(state, attributes);
        match error {
            Some(error) => assert_eq!(verdict, Err(error)),
            None => {
                assert!(matches!(verdict, Err(EngineError::InvalidAttributes(_))), "{verdict:?}");
            }
        }
        let marks = (head(one, number), Some(head(one, number - 1)), Some(head(one, number - 2)));
        assert_eq!(node.marks(), marks);
    }
    assert_eq!(node.status().built, 0);
    assert_eq!(node.status().failed, None);
}

#[test]
fn e20_a_reorganisation_has_a_limit() {
    let Branches { one, two, common, .. } = &*BRANCHES;
    for batch in [2, LARGE] {
        let mut setup = Setup::new(batch);
        setup.engine.reorg_depth_max = 3;
        let node = Node::in_memory(one, &setup);
        node.follow(&one.blocks[..10]);
        let marks = node.marks();
        let attributes = attributes_on(&one.block(10).block().header);
        let too_deep = Err(EngineError::TooDeep { depth: 4, max: 3 });
        assert_eq!(node.forkchoice(choice(one.hash(6))), too_deep);
        assert_eq!(node.forkchoice_with(choice(one.hash(6)), Ok(attributes)), too_deep);
        assert_eq!((node.marks(), node.status().built), (marks, 0));
        node.choose(choice(one.hash(7)));
        node.choose(choice(one.hash(10)));

        // To another branch it is the same.
        node.send(BRANCHES.own_of_two());
        let depth = 10 - *common;
        let verdict = node.forkchoice(choice(two.head().hash));
        assert_eq!(verdict, Err(EngineError::TooDeep { depth, max: 3 }));
        node.choose(choice(one.hash(common + 3)));
        node.choose(choice(two.head().hash));
        assert_eq!(node.marks().0, two.head());
    }
}

#[test]
fn e32_the_same_payload_at_the_same_time_is_executed_once() {
    let one = &BRANCHES.one;
    let node = Node::in_memory(one, &Setup::new(LARGE));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let engine = node.engine().clone();
            scope.spawn(move || {
                for block in &one.blocks {
                    let (block, decoded) = (block.clone(), Duration::ZERO);
                    let asked = Asked::of(|reply| engine.new_payload(block, decoded, reply));
                    assert_eq!(asked.answer(), Ok(PayloadVerdict::Valid));
                }
            });
        }
    });
    assert_eq!(node.status().imported, one.head().number);
    node.choose(choice(one.head().hash));
    assert_eq!(node.status().imported, one.head().number);
}

#[test]
fn the_times_of_a_payload_are_told_when_its_answer_is_there() {
    let one = &BRANCHES.one;
    let node = Node::in_memory(one, &Setup::new(LARGE));
    let decoded = Duration::from_secs(7);
    for (count, block) in (1_u32..).zip(&one.blocks[..3]) {
        let before = node.status().times;
        let asked = Asked::of(|reply| node.engine().new_payload(block.clone(), decoded, reply));
        assert_eq!(asked.answer(), Ok(PayloadVerdict::Valid));
        let after = node.status().times;
        assert_eq!(after.decoded, count * decoded);
        let parts = |times: Times| [times.prepared, times.executed, times.rooted, times.inserted];
        for (before, after) in parts(before).into_iter().zip(parts(after)) {
            assert!(before < after, "{before:?} {after:?}");
        }
    }
}

#[test]
fn f18_the_same_payload_while_blocks_become_durable_is_not_executed_again() {
    let one = &BRANCHES.one;
    let folder = Folder::new();
    let node = Node::on(&folder, one, &Setup::new(1));
    for (number, block) in (1..).zip(&one.blocks) {
        let asked = [node.begin_payload(block), node.begin_payload(block)];
        let followed = node.begin_forkchoice(choice(block.hash()));
        // Now the block is on its way to the store.
        let again = node.begin_payload(block);
        for asked in asked.into_iter().chain([again]) {
            assert_eq!(asked.answer(), Ok(PayloadVerdict::Valid));
        }
        assert_eq!(followed.answer(), Ok(ForkchoiceVerdict::Valid(None)));
        assert_eq!(node.status().imported, number);
    }
}

#[test]
fn f19_blocks_that_come_before_their_parents_are_connected_and_none_is_called_bad() {
    let one = &BRANCHES.one;
    let node = Node::in_memory(one, &Setup::new(2));
    let (first, rest) = one.blocks.split_first().expect("blocks");
    for (count, block) in (1..).zip(rest.iter().rev()) {
        assert_eq!(node.new_payload(block), Ok(PayloadVerdict::Syncing));
        assert_eq!(node.new_payload(block), Ok(PayloadVerdict::Syncing), "kept once");
        assert_eq!(node.forkchoice(choice(one.head().hash)), Ok(ForkchoiceVerdict::Syncing));
        assert_eq!(node.status().orphans, count);
    }
    assert_eq!(node.new_payload(first), Ok(PayloadVerdict::Valid));
    node.until("connecting", |status| status.orphans == 0);
    node.choose(choice(one.head().hash));
    let status = node.status();
    assert_eq!((status.imported, status.invalid), (one.head().number, 0));
    check_view(&node.view(), one, &BRANCHES.of_one, "connected");
}

#[test]
fn blocks_of_two_branches_that_come_before_their_parents_are_connected() {
    let Branches { one, two, common, .. } = &*BRANCHES;
    let node = Node::in_memory(one, &Setup::new(LARGE));
    let (own_of_one, own_of_two) = (BRANCHES.own_of_one(), BRANCHES.own_of_two());
    for block in own_of_one.iter().chain(own_of_two).rev() {
        assert_eq!(node.new_payload(block), Ok(PayloadVerdict::Syncing));
    }
    node.follow(&one.blocks[..index(*common)]);
    node.until("connecting", |status| status.orphans == 0);
    for chain in [one, two, one] {
        node.choose(choice(chain.head().hash));
        assert_eq!(node.marks().0, chain.head());
    }
    let blocks = own_of_one.len() + own_of_two.len();
    assert_eq!(node.status().imported, common + blocks as u64);
}

#[test]
fn f5_f10_a_deep_reorganisation_of_durable_blocks_gives_the_states_of_its_branch() {
    let Branches { one, two, of_one, of_two, .. } = &*BRANCHES;
    let folder = Folder::new();
    let node = durable_node(&folder);
    check_view(&node.view(), one, of_one, "before");
    let turns = [
        (two, of_two, BRANCHES.own_of_two(), "to the second"),
        (one, of_one, BRANCHES.own_of_one(), "back to the first"),
        (two, of_two, BRANCHES.own_of_two(), "and to the second"),
    ];
    for (count, (chain, replayed, own, told)) in (1..).zip(turns) {
        node.send(own);
        node.choose(choice(chain.head().hash));
        assert_eq!(node.status().reorganisations, count, "{told}");
        // Also while the branch takes the place of the other in the store.
        check_view(&node.view(), chain, replayed, told);
        assert_eq!(node.settled().durable, chain.head(), "{told}");
        check_view(&node.view(), chain, replayed, told);
    }
    assert_eq!(node.stop(), Ok(two.head()));
    folder.check(two, of_two, two.head(), "after");
}

#[test]
fn f10_branches_that_are_not_durable_can_be_changed_at_any_block() {
    let Branches { one, two, common, of_one, of_two } = &*BRANCHES;
    let node = Node::in_memory(one, &Setup::new(LARGE));
    node.send(&one.blocks);
    node.send(BRANCHES.own_of_two());
    for number in (common + 1)..=one.head().number {
        for (chain, replayed) in [(one, of_one), (two, of_two)] {
            node.choose(choice(chain.hash(number)));
            assert_eq!(node.marks().0, head(chain, number));
            check_view(&node.view(), chain, replayed, "on one of two");
        }
    }
    assert_eq!(node.stop(), Ok(head(two, one.head().number)));
}

#[test]
fn f10_without_finality_what_is_held_in_memory_stays_bounded() {
    const BATCH: usize = 8;
    let chain = &*LONG;
    let node = Node::in_memory(chain, &Setup::new(BATCH));
    for block in &chain.blocks[..160] {
        node.follow(std::slice::from_ref(block));
        let status = node.status();
        assert!(status.pending_blocks <= 2 * BATCH, "{status:?}");
        assert!(status.tree_blocks <= 2 * BATCH, "{status:?}");
    }
    assert_eq!(node.marks(), (head(chain, 160), None, None));
    // Then it comes, for a block that has long been durable.
    let state =
        Forkchoice { head: chain.hash(160), safe: chain.hash(120), ..Forkchoice::default() };
    node.choose(Forkchoice { finalized: chain.hash(70), ..state });
    assert_eq!(node.marks(), (head(chain, 160), Some(head(chain, 120)), Some(head(chain, 70))));
    node.choose(choice(chain.hash(100)));
    node.follow(&chain.blocks[100..170]);
}

#[test]
fn the_chain_goes_on_from_an_ancestor_that_became_the_head_again() {
    let Branches { one, two, common, of_one, of_two } = &*BRANCHES;
    let folder = Folder::new();
    let node = durable_node(&folder);
    node.choose(choice(one.hash(*common)));
    assert_eq!(node.marks().0, head(one, *common));
    check_view(&node.view(), one, of_one, "at the ancestor");
    // What was above it is still there.
    node.choose(choice(one.head().hash));
    check_view(&node.view(), one, of_one, "at the head again");
    node.choose(choice(one.hash(*common)));
    node.stop().expect("a good folder");

    let node = Node::on(&folder, one, &Setup::new(2));
    assert_eq!(node.marks().0, head(one, *common), "the fork choice survives");
    check_view(&node.view(), one, of_one, "at the ancestor, after a restart");
    node.follow(BRANCHES.own_of_two());
    check_view(&node.view(), two, of_two, "on the other branch");
    assert_eq!(node.stop(), Ok(two.head()));
    folder.check(two, of_two, two.head(), "after");
}

#[test]
fn a_branch_is_left_while_it_takes_the_place_of_another() {
    let Branches { one, two, of_one, of_two, .. } = &*BRANCHES;
    let folder = Folder::new();
    let node = durable_node(&folder);
    node.send(BRANCHES.own_of_two());
    // 1. The second branch is sent to the store, where it takes the place of the first.
    // 2. The first one is chosen before that is done.
    let held = node.hold();
    let there = node.begin_forkchoice(choice(two.head().hash));
    let back = node.begin_forkchoice(choice(one.head().hash));
    drop(held);
    assert_eq!(there.answer(), Ok(ForkchoiceVerdict::Valid(None)));
    // What left the store is kept beside it, and so is what was above that and not durable yet.
    assert_eq!(back.answer(), Ok(ForkchoiceVerdict::Valid(None)));
    let status = node.settled();
    assert_eq!((status.head, status.failed), (one.head(), None));
    check_view(&node.view(), one, of_one, "back on the first");
    // 3. Nothing has to be sent again for either of them.
    node.choose(choice(two.head().hash));
    node.settled();
    check_view(&node.view(), two, of_two, "on the second");
    node.choose(choice(one.head().hash));
    assert_eq!(node.stop(), Ok(one.head()));
    folder.check(one, of_one, one.head(), "after");
}

#[test]
fn f20_safe_and_finalized_survive_a_restart_and_need_nobody() {
    let one = &BRANCHES.one;
    for batch in [1, 2, LARGE] {
        let folder = Folder::new();
        let node = Node::on(&folder, one, &Setup::new(batch));
        node.follow(&one.blocks);
        let (safe, finalized) = (one.hash(9), one.hash(2));
        node.choose(Forkchoice { head: one.head().hash, safe, finalized });
        let marks = (one.head(), Some(head(one, 9)), Some(head(one, 2)));
        assert_eq!(node.marks(), marks);
        // A head that is not known takes nothing away.
        assert_eq!(node.forkchoice(choice(UNKNOWN)), Ok(ForkchoiceVerdict::Syncing));
        assert_eq!(node.marks(), marks);
        node.stop().expect("a good folder");
        let node = Node::on(&folder, one, &Setup::new(batch));
        assert_eq!(node.marks(), marks, "batches of {batch}");
        assert!(!node.engine().is_syncing());
        let view = node.view();
        for found in [view.safe(), view.finalized()] {
            let number = found.expect("named").number;
            let hash = view.header(number).expect("a good folder").map(|(hash, _)| hash);
            assert_eq!(hash, Some(one.hash(number)));
        }
    }
}

#[test]
fn a_refusal_says_which_rule_is_broken() {
    let one = &BRANCHES.one;
    let node = Node::in_memory(one, &Setup::new(LARGE));
    node.follow(&one.blocks[..4]);
    let words = |change: fn(&mut Header)| -> String {
        let bad = changed(one.block(5), change);
        let Refusal { reason, .. } = refused(node.new_payload(&bad));
        reason
    };
    let reason = words(|header| header.state_root = UNKNOWN);
    assert!(reason.contains("stateRoot") && reason.contains(&UNKNOWN.to_string()), "{reason}");
    let reason = words(|header| header.gas_used += 1);
    let used = one.block(5).block().header.gas_used;
    assert!(reason.contains(&used.to_string()), "{reason}");
}
