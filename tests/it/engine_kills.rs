//! The engine after a kill: what the folder and the journal of the process hold, a later one goes
//! on from. Numbers after `f` are failures of other clients, of `FEATURES.md` in the design
//! documents.

use crate::{
    engine_bad_days::{CHOICE_BYTES, ENTRY_BYTES, LARGE, goes_on},
    engine_support::{Asked, BRANCHES, Branches, Folder, Node, Setup, check_view, choice, index},
    import_support::{Recipe, TestChain},
};
use fugue_chain::{EngineError, Forkchoice, ForkchoiceVerdict, Head, ImportError, Reply};
use fugue_chainspec::Fork;
use fugue_storage::{Faults, Store};
use fugue_types::{B256, SealedBlock};
use std::sync::Arc;

#[test]
fn f8_a_node_that_is_killed_between_calls_goes_on_from_what_it_has_said() {
    let Branches { one, two, .. } = &*BRANCHES;
    let folder = Folder::new();
    let node = Node::on(&folder, one, &Setup::new(2));
    let (mut copies, mut valid, mut heads) = (Vec::new(), Vec::new(), vec![one.hash(0)]);
    let copy = |heads: &[B256], valid: &[B256]| {
        node.settled();
        (folder.copy(), heads.to_vec(), valid.to_vec())
    };
    for block in &one.blocks {
        let number = block.block().header.number;
        node.send(std::slice::from_ref(block));
        valid.push(block.hash());
        if [1, 6].contains(&number) {
            copies.push(copy(&heads, &valid));
        }
        node.choose(choice(block.hash()));
        heads = vec![block.hash()];
        if [4, 9].contains(&number) {
            copies.push(copy(&heads, &valid));
        }
    }
    node.send(BRANCHES.own_of_two());
    valid.extend(BRANCHES.own_of_two().iter().map(SealedBlock::hash));
    copies.push(copy(&heads, &valid));
    node.choose(choice(two.head().hash));
    copies.push(copy(&[two.head().hash], &valid));
    for (count, (folder, heads, valid)) in copies.iter().enumerate() {
        goes_on(folder, heads, valid, &format!("copy {count}"));
    }
}

/// An answer, and the journal at that time.
type Chosen = (Result<ForkchoiceVerdict, EngineError>, Vec<u8>);

#[test]
fn f8_a_node_that_is_killed_after_a_commit_and_before_its_journal_is_rewritten_goes_on() {
    let Branches { one, two, .. } = &*BRANCHES;
    let folder = Folder::new();
    let node = Node::on(&folder, one, &Setup::new(4));
    // The journal as it is when a batch begins its way to the store.
    let choose = |head: B256| {
        let journal = folder.journal();
        let asked = Asked::<Chosen>::of(|reply| {
            let reply = Box::new(move |answer: Result<ForkchoiceVerdict, EngineError>| {
                reply((answer, std::fs::read(&journal).expect("a journal")));
            });
            node.engine().forkchoice(choice(head), None, reply);
        });
        let (answer, journal) = asked.answer();
        assert_eq!(answer, Ok(ForkchoiceVerdict::Valid(None)));
        let durable = node.settled().durable;
        let copy = folder.copy();
        std::fs::write(copy.journal(), journal).expect("room");
        (copy, durable)
    };
    node.follow(&one.blocks[..3]);
    node.send(&one.blocks[3..4]);
    let (first, durable) = choose(one.hash(4));
    assert_eq!(durable.number, 4);
    node.follow(&one.blocks[4..]);
    node.send(BRANCHES.own_of_two());
    let (second, durable) = choose(two.head().hash);
    assert_eq!(durable, two.head());
    let valid: Vec<B256> = one.blocks[..4].iter().map(SealedBlock::hash).collect();
    goes_on(&first, &[one.hash(4)], &valid, "after the first batch");
    let valid: Vec<B256> = two.blocks.iter().map(SealedBlock::hash).collect();
    goes_on(&second.copy(), &[two.head().hash], &valid, "after the other branch");
    has_both(&second, "after the other branch");
}

/// The second branch is durable and chosen, and nothing has to be sent to go back to the first.
fn has_both(folder: &Folder, told: &str) {
    let Branches { one, two, of_one, .. } = &*BRANCHES;
    let node = Node::on(folder, one, &Setup::new(2));
    assert_eq!(node.marks().0, two.head(), "{told}");
    assert_eq!(node.settled().durable, two.head(), "{told}");
    node.send(&one.blocks);
    node.send(&two.blocks);
    assert_eq!(node.status().imported, 0, "{told}: what was valid is there");
    node.choose(choice(one.head().hash));
    check_view(&node.view(), one, of_one, told);
}

#[test]
fn f8_blocks_whose_place_another_branch_took_are_there_after_a_kill_and_after_the_end() {
    let Branches { one, two, of_one, .. } = &*BRANCHES;
    // Some are durable, and some above these are not. They do not wait where others push them out.
    let mut setup = Setup::new(5);
    setup.engine.orphans_max = 1;
    let begin = |folder: &Folder| {
        let node = Node::on(folder, one, &setup);
        node.follow(&one.blocks);
        let durable = node.settled().durable.number;
        assert!(BRANCHES.common < durable && durable < one.head().number, "{durable}");
        node.send(BRANCHES.own_of_two());
        node
    };

    let folder = Arc::new(Folder::new());
    let node = begin(&folder);
    let held = node.hold();
    let there = node.begin_forkchoice(choice(two.head().hash));
    // The next fork choice waits for the batch. When it is answered nothing is imported again yet.
    let copied = Arc::clone(&folder);
    let killed = Asked::of(|reply: Reply<Folder>| {
        let reply = move |_: Result<ForkchoiceVerdict, EngineError>| reply(copied.copy());
        node.engine().forkchoice(choice(B256::repeat_byte(0x99)), None, Box::new(reply));
    });
    drop(held);
    assert_eq!(there.answer(), Ok(ForkchoiceVerdict::Valid(None)));
    has_both(&killed.answer(), "killed");
    // Nor is anything pushed out without a kill.
    node.choose(choice(one.head().hash));
    check_view(&node.view(), one, of_one, "back on the first");

    let folder = Folder::new();
    let node = begin(&folder);
    let there = node.begin_forkchoice(choice(two.head().hash));
    assert_eq!(node.stop(), Ok(two.head()));
    assert_eq!(there.answer(), Ok(ForkchoiceVerdict::Valid(None)));
    has_both(&folder, "ended");
}

#[test]
fn f8_the_end_takes_nothing_out_of_the_store_for_a_branch_that_fills_no_batch() {
    let Branches { one, two, common, of_one, .. } = &*BRANCHES;
    let folder = Folder::new();
    let node = Node::on(&folder, one, &Setup::new(2));
    node.follow(&one.blocks[..10]);
    let durable = Head { number: 10, hash: one.hash(10) };
    assert_eq!(node.settled().durable, durable);
    node.follow(&BRANCHES.own_of_two()[..1]);
    let side = Head { number: common + 1, hash: two.hash(common + 1) };
    assert_eq!(node.stop(), Ok(side));
    let node = Node::on(&folder, one, &Setup::new(2));
    assert_eq!((node.marks().0, node.settled().durable), (side, durable));
    // Nothing has to be sent to go back.
    node.choose(choice(durable.hash));
    check_view(&node.view(), one, of_one, "back on the first");
}

#[test]
fn f8_a_chain_that_is_longer_than_what_may_lie_beside_it_comes_back_after_a_kill() {
    let one = &BRANCHES.one;
    let mut setup = Setup::new(LARGE);
    setup.chain.side_blocks_max = 3;
    let folder = Folder::new();
    let node = Node::on(&folder, one, &setup);
    node.follow(&one.blocks);
    let (safe, finalized) = (one.hash(9), one.hash(2));
    node.choose(Forkchoice { head: one.head().hash, safe, finalized });
    let marks = node.marks();
    // The second start has what the first one has written.
    let first = folder.copy();
    drop(node);
    let node = Node::on(&first, one, &setup);
    let second = first.copy();
    drop(node);
    let node = Node::on(&second, one, &setup);
    assert_eq!(node.marks(), marks);
    assert_eq!(node.settled().pending_blocks, one.blocks.len(), "none of them is durable");
    node.send(&one.blocks);
    assert_eq!(node.status().imported, 0);
}

#[test]
fn f8_a_journal_whose_chain_does_not_go_with_the_store_stays_as_it_is() {
    let one = &BRANCHES.one;
    let folder = Folder::new();
    let node = Node::on(&folder, one, &Setup::new(4));
    node.follow(&one.blocks[..6]);
    assert_eq!(node.settled().durable.number, 4);
    let copy = folder.copy();
    let read = || std::fs::read(copy.journal()).expect("a journal");
    let journal = read();
    // The store was taken back.
    let store = Store::memory(Faults::none());
    let opened = Node::open(store, Some(copy.journal()), &one.genesis, &Setup::new(4));
    assert!(matches!(opened, Err(ImportError::Journal(_))), "{opened:?}");
    assert_eq!(read(), journal);
}

/// Where the last entry of a journal begins.
fn last_entry(journal: &[u8]) -> usize {
    let (mut last, mut at) = (0, 0);
    while let Some(head) = journal.get(at..at + 4) {
        let length = u32::from_be_bytes(head.try_into().expect("four bytes"));
        last = at;
        at += ENTRY_BYTES + usize::try_from(length).expect("a short entry");
    }
    assert_eq!(at, journal.len(), "a whole journal");
    last
}

#[test]
fn f8_a_journal_that_is_cut_anywhere_in_its_last_entry_lacks_just_that() {
    let chain = TestChain::new(&Recipe::new(0xc07, Fork::Shanghai, 3, 1));
    let (last, before) = (chain.head(), chain.head().number - 1);
    let before = Head { number: before, hash: chain.hash(before) };
    let folder = Folder::new();
    let begin = || {
        let (store, journal) = (Store::memory(Faults::none()), Some(folder.journal()));
        Node::open(store, journal, &chain.genesis, &Setup::new(LARGE)).expect("nothing fails")
    };
    let read = || std::fs::read(folder.journal()).expect("a journal");
    let node = begin();
    node.follow(&chain.blocks[..index(before.number)]);
    node.send(&chain.blocks[index(before.number)..]);
    let of_payload = read();
    node.choose(choice(last.hash));
    let of_choice = read();
    drop(node);
    assert_eq!(of_choice.len(), of_payload.len() + CHOICE_BYTES);
    for (journal, is_choice) in [(of_choice, true), (of_payload, false)] {
        let first = last_entry(&journal);
        // Every byte of its head, its last ones, and some between: the journal itself is tested at
        // every byte.
        let is_tried =
            |end: &usize| end - first <= 16 || journal.len() - end <= 4 || end.is_multiple_of(13);
        for end in (first..=journal.len()).filter(is_tried) {
            let told = format!("{end} of {} bytes", journal.len());
            std::fs::write(folder.journal(), &journal[..end]).expect("room");
            let node = begin();
            let is_whole = end == journal.len();
            let expected = if is_choice && is_whole { last } else { before };
            assert_eq!(node.marks(), (expected, None, None), "{told}");
            assert_eq!(node.has(last.hash), is_choice || is_whole, "{told}");
            node.send(&chain.blocks);
            assert_eq!(node.status().imported, u64::from(!is_choice && !is_whole), "{told}");
            node.choose(choice(last.hash));
        }
    }
}
