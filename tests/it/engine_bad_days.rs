//! Bad days of the engine: the store fails, what waits turns out to be invalid, too much is asked,
//! it is told to stop. Numbers after `e` are rules, those after `f` are failures of other clients,
//! both of `FEATURES.md` in the design documents.

use crate::{
    engine_support::{
        Asked, BRANCHES, Branches, Folder, Node, Setup, WRONGS, changed, check_view, choice, index,
        moved, refused,
    },
    import_support::{LONG, Recipe, TestChain},
};
use alloy_rlp::Encodable;
use fugue_chain::{
    Engine, EngineError, Forkchoice, ForkchoiceVerdict, Head, ImportError, PayloadVerdict,
    Retention,
};
use fugue_chainspec::Fork;
use fugue_executor::Mode;
use fugue_storage::{Access, Faults, Store, StoreOptions};
use fugue_types::{B256, SealedBlock};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::{collections::BTreeSet, time::Duration};
use tokio::{
    runtime::Builder,
    signal::unix::{Signal, SignalKind, signal},
};

/// Batches so large that nothing becomes durable before the end.
pub(crate) const LARGE: usize = 1_000;
/// Failing operations that are tried in each mode, about.
const FAULTS: u64 = 80;
/// The same with a folder.
const FOLDER_FAULTS: u64 = 12;
/// Bytes of an entry of the journal that are not its payload.
pub(crate) const ENTRY_BYTES: usize = 12;
/// Bytes of an entry for a fork choice: its kind and three hashes.
pub(crate) const CHOICE_BYTES: usize = ENTRY_BYTES + 1 + 3 * 32;
/// The thread that makes blocks durable.
const PERSISTING: &str = "fugue-persist";
/// What the system sends to whoever writes beyond the bound of files: it would end the process.
const SIGXFSZ: i32 = 25;

/// What became of many calls.
#[derive(Debug, Default)]
struct Driven {
    /// What the first call that failed was told.
    failure: Option<String>,
    /// The newest head that was followed.
    chosen: Option<B256>,
    /// The head of the fork choice that failed.
    tried: Option<B256>,
    /// Blocks that were called valid.
    valid: Vec<B256>,
}

impl Driven {
    /// The first branch block by block, then the second.
    fn of(node: &Node, told: &str) -> Self {
        let mut driven = Self::default();
        for block in &BRANCHES.one.blocks {
            driven.payload(node, block, told);
            driven.choose(node, block.hash(), told);
        }
        for block in BRANCHES.own_of_two() {
            driven.payload(node, block, told);
        }
        driven.choose(node, BRANCHES.two.head().hash, told);
        // What is on its way arrives, or fails.
        node.settled();
        let last = BRANCHES.one.head().number;
        let more = changed(BRANCHES.one.block(last), |header| {
            header.extra_data = b"more".to_vec().into();
        });
        if driven.failure.is_some() {
            // The second call at the latest meets the store.
            driven.payload(node, &more, told);
            driven.payload(node, &more, told);
            assert!(node.status().failed.is_some(), "{told}: {driven:?}");
        }
        driven
    }

    fn payload(&mut self, node: &Node, block: &SealedBlock, told: &str) {
        match (node.new_payload(block), self.failure.clone()) {
            (Ok(PayloadVerdict::Valid), None) => self.valid.push(block.hash()),
            (Err(EngineError::Internal(reason)), None) => self.failure = Some(reason),
            (Err(EngineError::Internal(_)), Some(_)) => {}
            (answer, failure) => panic!("{told}: {answer:?} after {failure:?}"),
        }
    }

    fn choose(&mut self, node: &Node, head: B256, told: &str) {
        match (node.forkchoice(choice(head)), self.failure.clone()) {
            (Ok(ForkchoiceVerdict::Valid(None)), None) => self.chosen = Some(head),
            (Err(EngineError::Internal(reason)), None) => {
                (self.failure, self.tried) = (Some(reason), Some(head));
            }
            (Err(EngineError::Internal(_)), Some(_)) => {}
            (answer, failure) => panic!("{told}: {answer:?} after {failure:?}"),
        }
    }
}

/// Operations of the store without failures.
fn count(setup: &Setup) -> u64 {
    let faults = Faults::counted();
    let store = Store::memory(faults.clone());
    let node = Node::open(store, None, &BRANCHES.one.genesis, setup).expect("nothing fails");
    let driven = Driven::of(&node, "no failure");
    assert_eq!(driven.failure, None);
    assert_eq!(node.marks().0, BRANCHES.two.head());
    assert_eq!(node.status().durable, BRANCHES.two.head());
    let operations = faults.operations();
    assert!(operations > 500, "only {operations} operations");
    operations
}

#[test]
fn f2_a_failing_store_never_makes_a_block_invalid() {
    // The order of reads, and so their number, may differ a little from run to run; in parallel
    // more than that.
    for (mode, threads, failed_percent_min) in [(Mode::Seq, 1, 80), (Mode::Occ, 2, 50)] {
        let mut setup = Setup::new(2);
        (setup.chain.mode, setup.chain.threads) = (mode, threads);
        fail_everywhere(&setup, failed_percent_min);
    }
}

/// Fails operations from the first to the last, of which so many make the engine fail.
fn fail_everywhere(setup: &Setup, failed_percent_min: u64) {
    let operations = count(setup);
    let step = index((operations / FAULTS).max(1));
    let (mut tried, mut failed, mut parallel_txs) = (0, 0, 0);
    for n in (0..operations).step_by(step) {
        let told = format!("{:?}: operation {n} of {operations}", setup.chain.mode);
        let faults = Faults::at(n);
        let store = Store::memory(faults.clone());
        tried += 1;
        match Node::open(store, None, &BRANCHES.one.genesis, setup) {
            Ok(node) => {
                let driven = Driven::of(&node, &told);
                let (head, status) = (node.marks().0, node.status());
                assert_eq!((status.invalid, status.parallel_differed), (0, 0), "{told}");
                parallel_txs += status.parallel.txs;
                match driven.failure {
                    Some(_) => {
                        // F7: the head does not run ahead of what was chosen.
                        let heads = [driven.chosen, driven.tried];
                        let is_begun = heads.contains(&Some(head.hash)) || head.number == 0;
                        assert!(is_begun, "{told}: {head:?}");
                    }
                    None => assert_eq!(head, BRANCHES.two.head(), "{told}"),
                }
                failed += u64::from(end(node, &told));
            }
            Err(error) => {
                failed += 1;
                assert!(!matches!(error, ImportError::Invalid { .. }), "{told}: {error}");
            }
        }
    }
    assert!(failed * 100 > tried * failed_percent_min, "{failed} of {tried} failed");
    assert_eq!(parallel_txs > 0, setup.chain.mode != Mode::Seq, "the mode has not run");
}

/// Ends a node whose store may fail. Whether it has failed: then the end says so too, and says
/// nothing about a block.
fn end(node: Node, told: &str) -> bool {
    let failed = node.status().failed;
    match (node.stop(), failed) {
        (Ok(head), None) => {
            assert_eq!(head, BRANCHES.two.head(), "{told}");
            false
        }
        (Ok(head), Some(failure)) => panic!("{told}: ended well at {head:?} after {failure}"),
        // The last batch is on its way when the last call is answered.
        (Err(error), _) => {
            assert!(!matches!(error, ImportError::Invalid { .. }), "{told}: {error}");
            true
        }
    }
}

#[test]
fn f2_f7_after_a_failure_the_folder_holds_all_that_was_valid_and_goes_on() {
    let setup = Setup::new(2);
    let operations = count(&setup);
    let step = index((operations / FOLDER_FAULTS).max(1));
    let (mut tried, mut failed) = (0, 0);
    for n in (step as u64 / 2..operations).step_by(step) {
        let (told, faults) = (format!("operation {n} of {operations}"), Faults::at(n));
        let folder = Folder::new();
        let options = StoreOptions { faults, ..StoreOptions::new(Access::Write, 1) };
        let store = Store::open(&folder.store(), options).map_err(ImportError::from);
        let node = store.and_then(|store| {
            let journal = Some(folder.journal());
            Node::open(store, journal, &BRANCHES.one.genesis, &setup)
        });
        tried += 1;
        let driven = match node {
            Ok(node) => {
                let driven = Driven::of(&node, &told);
                failed += usize::from(end(node, &told));
                driven
            }
            Err(error) => {
                assert!(!matches!(error, ImportError::Invalid { .. }), "{told}: {error}");
                failed += 1;
                Driven::default()
            }
        };
        let before = driven.chosen.unwrap_or_else(|| BRANCHES.one.hash(0));
        let heads: Vec<B256> = [Some(before), driven.tried].into_iter().flatten().collect();
        goes_on(&folder, &heads, &driven.valid, &format!("{told}: {:?}", driven.failure));
    }
    // As above: the last one may come too late.
    assert!(failed * 10 > tried * 8, "{failed} of {tried} failed");
}

/// Opens the folder, finds one of these heads and all blocks that were called valid, and goes on to
/// the end of the second branch.
pub(crate) fn goes_on(folder: &Folder, heads: &[B256], valid: &[B256], told: &str) {
    let Branches { one, two, common, of_one, of_two } = &*BRANCHES;
    let node = Node::on(folder, one, &Setup::new(2));
    let head = node.marks().0;
    assert!(heads.contains(&head.hash), "{told}: {head:?}");
    let chain = BRANCHES.chain_of(head);
    // Blocks of a branch that others took the place of in the store may be gone.
    let is_left = head.number > *common && two.has(head);
    for hash in valid {
        let is_of_one = BRANCHES.own_of_one().iter().any(|block| block.hash() == *hash);
        assert!((is_left && is_of_one) || node.has(*hash), "{told}: {hash} is lost at {head:?}");
    }
    check_view(&node.view(), chain, if is_left { of_two } else { of_one }, told);
    node.send(&chain.blocks[..index(head.number)]);
    assert_eq!(node.status().imported, 0, "{told}: what is there is not executed again");
    node.send(&two.blocks);
    node.choose(choice(two.head().hash));
    check_view(&node.view(), two, of_two, told);
    assert_eq!(node.stop(), Ok(two.head()), "{told}");
    folder.check(two, of_two, two.head(), told);
}

#[test]
fn f2_if_the_journal_cannot_be_written_nothing_is_imported_and_reads_go_on() {
    let Branches { one, of_one, .. } = &*BRANCHES;
    let folder = Folder::new();
    let node = Node::on(&folder, one, &Setup::new(4));
    node.follow(&one.blocks[..3]);
    // What is appended still finds its file; what is rewritten finds no folder.
    std::fs::remove_dir_all(folder.log()).expect("it was there");
    node.follow(&one.blocks[3..4]);
    let status = node.until("a failure", |status| status.failed.is_some());
    assert_eq!(status.head, Head { number: 4, hash: one.hash(4) });
    for _ in 0..2 {
        let answer = node.new_payload(one.block(5));
        assert!(matches!(answer, Err(EngineError::Internal(_))), "{answer:?}");
        let answer = node.new_payload(&changed(one.block(5), |header| header.gas_used += 1));
        assert!(matches!(answer, Err(EngineError::Internal(_))), "{answer:?}");
        for number in [2, 4, 5] {
            let answer = node.forkchoice(choice(one.hash(number)));
            assert!(matches!(answer, Err(EngineError::Internal(_))), "{answer:?}");
        }
    }
    let after = node.status();
    assert_eq!((after.head, after.imported, after.invalid), (status.head, 4, 0));
    check_view(&node.view(), one, of_one, "after the failure");
    assert!(node.stop().is_err());
    std::fs::create_dir(folder.log()).expect("a folder");
    // The batch was on its way, and has arrived.
    goes_on(&folder, &[one.hash(4)], &[one.hash(4)], "after the failure");
}

/// From here on [`SIGXFSZ`] does not end the process.
fn hear_bound() -> Signal {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let heard = runtime.block_on(async { signal(SignalKind::from_raw(SIGXFSZ)) });
    heard.expect("a signal that may be heard")
}

/// Bounds the files of this process, which is the test's own: what would grow beyond it meets an
/// error, as on a full disk.
fn bound_files(bytes: Option<u64>) {
    let Rlimit { maximum, .. } = getrlimit(Resource::Fsize);
    let limit = Rlimit { current: bytes.or(maximum), maximum };
    setrlimit(Resource::Fsize, limit).expect("it is below the maximum");
}

#[test]
fn f2_if_a_block_that_waited_cannot_be_journaled_no_fork_choice_is_followed() {
    let one = &BRANCHES.one;
    let _heard = hear_bound();
    let folder = Folder::new();
    let node = Node::on(&folder, one, &Setup::new(LARGE));
    node.follow(&one.blocks[..4]);
    assert_eq!(node.new_payload(one.block(6)), Ok(PayloadVerdict::Syncing));
    let held = node.hold();
    let sent = Asked::<Result<PayloadVerdict, EngineError>>::of(|reply| {
        let journal = folder.journal();
        let reply = Box::new(move |answer: Result<PayloadVerdict, EngineError>| {
            // A block finds no room any more, and a fork choice would.
            let bytes = std::fs::metadata(journal).expect("a journal").len();
            bound_files(Some(bytes + CHOICE_BYTES as u64));
            reply(answer);
        });
        node.engine().new_payload(one.block(5).clone(), Duration::ZERO, reply);
    });
    let chosen = node.begin_forkchoice(choice(one.hash(6)));
    drop(held);
    assert_eq!(sent.answer(), Ok(PayloadVerdict::Valid));
    let answer = chosen.answer();
    bound_files(None);
    assert!(matches!(answer, Err(EngineError::Internal(_))), "{answer:?}");
    let status = node.status();
    assert!(status.failed.is_some_and(|reason| reason.contains("appending to the journal")));
    assert_eq!((status.head.number, status.orphans, status.invalid), (4, 0, 0));
    assert!(node.stop().is_err());
    let valid: Vec<B256> = one.blocks[..5].iter().map(SealedBlock::hash).collect();
    goes_on(&folder, &[one.hash(4)], &valid, "after the failure");
}

#[test]
fn e10_what_waits_above_an_invalid_block_is_invalid_also_if_nobody_is_told_of_that_one() {
    let one = &BRANCHES.one;
    let bad = changed(one.block(5), |header| header.state_root = B256::repeat_byte(0x99));
    let child = moved(one.block(6), &bad);
    let grandchild = moved(one.block(7), &child);
    let later = moved(one.block(8), &grandchild);
    // Found by a fork choice, or when nobody waits.
    for chosen in [Some(&bad), Some(&grandchild), None] {
        let node = Node::in_memory(one, &Setup::new(LARGE));
        node.follow(&one.blocks[..3]);
        for block in [&grandchild, &child, &bad] {
            assert_eq!(node.new_payload(block), Ok(PayloadVerdict::Syncing));
        }
        let held = node.hold();
        let sent = node.begin_payload(one.block(4));
        let asked = chosen.map(|block| node.begin_forkchoice(choice(block.hash())));
        drop(held);
        assert_eq!(sent.answer(), Ok(PayloadVerdict::Valid));
        if let Some(answer) = asked.map(Asked::answer) {
            assert!(matches!(answer, Ok(ForkchoiceVerdict::Invalid(_))), "{answer:?}");
        }
        let status = node.until("judging what waits", |status| status.orphans == 0);
        assert_eq!((status.imported, status.invalid), (4, 3));
        for block in [&bad, &child, &grandchild] {
            let answer = node.forkchoice(choice(block.hash()));
            let Ok(ForkchoiceVerdict::Invalid(refusal)) = answer else { panic!("{answer:?}") };
            assert_eq!(refusal.latest_valid, Some(one.hash(4)));
            assert_eq!(refused(node.new_payload(block)), refusal);
        }
        assert_eq!(refused(node.new_payload(&later)).latest_valid, Some(one.hash(4)));
        node.follow(&one.blocks[3..]);
    }
}

#[test]
fn e11_a_block_waits_for_a_parent_that_was_reconsidered_just_before_it_came() {
    let one = &BRANCHES.one;
    let node = Node::in_memory(one, &Setup::new(LARGE));
    node.follow(&one.blocks[..4]);
    let bad = changed(one.block(5), |header| header.gas_used -= 1);
    let child = moved(one.block(6), &bad);
    // Between these calls nobody looks for children of the first one.
    let held = node.hold();
    let sent = node.begin_payload(&bad);
    let reconsidered = Asked::of(|reply| node.engine().reconsider(bad.hash(), reply));
    let waiting = node.begin_payload(&child);
    let chosen = node.begin_forkchoice(choice(child.hash()));
    drop(held);
    refused(sent.answer());
    assert_eq!(reconsidered.answer(), Ok(true));
    assert_eq!(waiting.answer(), Ok(PayloadVerdict::Syncing));
    assert_eq!(chosen.answer(), Ok(ForkchoiceVerdict::Syncing));
    assert_eq!(node.status().orphans, 1);
    node.follow(&one.blocks[4..]);
}

#[test]
fn e20_the_limit_counts_what_is_not_durable_of_the_branch_that_is_left() {
    let Branches { one, two, common, .. } = &*BRANCHES;
    let (max, depth) = (10 - *common, 12 - *common);
    let mut setup = Setup::new(10);
    setup.engine.reorg_depth_max = max;
    let node = Node::in_memory(one, &setup);
    node.follow(&one.blocks[..10]);
    assert_eq!(node.settled().durable.number, 10);
    node.send(&one.blocks[10..11]);
    node.send(BRANCHES.own_of_two());
    node.choose(choice(two.hash(12)));
    // What is durable below the new head is not below the old one.
    let verdict = node.forkchoice(choice(one.hash(11)));
    assert_eq!(verdict, Err(EngineError::TooDeep { depth, max }));
    assert_eq!(node.settled().durable.hash, one.hash(10));
}

#[test]
fn f11_a_chain_may_end_anywhere_around_the_end_of_a_batch() {
    let Branches { one, of_one, .. } = &*BRANCHES;
    let blocks = one.blocks.len();
    for batch in [1, 2, 3, blocks] {
        let ends = [batch, 2 * batch, 3 * batch, blocks];
        let ends: BTreeSet<usize> = ends.into_iter().flat_map(|at| at - 1..=at + 1).collect();
        for end in ends.into_iter().filter(|end| (1..=blocks).contains(end)) {
            let told = format!("{end} blocks in batches of {batch}");
            let folder = Folder::new();
            let node = Node::on(&folder, one, &Setup::new(batch));
            node.follow(&one.blocks[..end]);
            let durable = node.settled().durable;
            assert_eq!(index(durable.number), end / batch * batch, "{told}");
            check_view(&node.view(), one, of_one, &told);
            let head = Head { number: end as u64, hash: one.hash(end as u64) };
            assert_eq!(node.stop(), Ok(head), "{told}");
            folder.check(one, of_one, head, &told);
            let node = Node::on(&folder, one, &Setup::new(batch));
            assert_eq!(node.marks().0, head, "{told}");
            node.follow(&one.blocks[end..]);
            assert_eq!(node.stop(), Ok(one.head()), "{told}");
            folder.check(one, of_one, one.head(), &told);
        }
    }
}

#[test]
fn f25_in_parallel_all_verdicts_are_those_of_the_sequential_mode() {
    let chain = TestChain::new(&Recipe::new(0xf25, Fork::Osaka, 4, 24));
    let node = |mode: Mode, threads: usize| {
        let mut setup = Setup::new(2);
        (setup.chain.mode, setup.chain.threads) = (mode, threads);
        Node::in_memory(&chain, &setup)
    };
    let sequential = node(Mode::Seq, 1);
    let parallel = [1, 2, 3].map(|threads| node(Mode::Occ, threads));
    for (block, next) in chain.blocks.iter().zip(&chain.blocks[1..]) {
        for (about, wrong) in WRONGS {
            let bad = changed(block, wrong);
            let child = moved(next, &bad);
            for bad in [&bad, &child] {
                let expected = refused(sequential.new_payload(bad));
                for node in &parallel {
                    assert_eq!(refused(node.new_payload(bad)), expected, "{about}");
                }
            }
        }
        sequential.follow(std::slice::from_ref(block));
        parallel.iter().for_each(|node| node.follow(std::slice::from_ref(block)));
    }
    let expected = sequential.status();
    for node in parallel {
        let status = node.status();
        assert_eq!(status.parallel_differed, 0);
        assert_eq!((status.imported, status.invalid), (expected.imported, expected.invalid));
        assert_eq!(status.head, expected.head);
    }
}

#[test]
fn with_batches_of_one_block_the_chain_waits_for_the_store_and_all_is_right() {
    let Branches { one, two, common, of_one, of_two } = &*BRANCHES;
    let folder = Folder::new();
    let node = Node::on(&folder, one, &Setup::new(1));
    for block in &one.blocks {
        node.follow(std::slice::from_ref(block));
        let status = node.status();
        assert!(status.pending_blocks <= 2, "{status:?}");
        let behind = status.head.number - status.durable.number;
        assert!(behind <= 2, "{status:?}");
        check_view(&node.view(), one, of_one, "on the way");
    }
    let status = node.settled();
    assert_eq!((status.durable, status.pending_blocks), (one.head(), 0));
    assert_eq!((status.pending_bytes, status.tree_blocks), (0, 0));
    assert!(status.times.durable > Duration::ZERO, "{:?}", status.times);
    node.choose(choice(one.hash(*common)));
    node.follow(BRANCHES.own_of_two());
    check_view(&node.view(), two, of_two, "on the other branch");
    assert_eq!(node.stop(), Ok(two.head()));
    folder.check(two, of_two, two.head(), "after");
}

/// A node in memory that keeps so much of the past, and what holds its store.
fn pruning_node(batch: usize, window: u64) -> (Node, Faults) {
    let (faults, mut setup) = (Faults::counted(), Setup::new(batch));
    setup.chain.retention = Retention::Full { window };
    let store = Store::memory(faults.clone());
    let node = Node::open(store, None, &BRANCHES.one.genesis, &setup);
    (node.expect("a good store"), faults)
}

#[test]
fn a_fork_choice_to_what_a_batch_on_its_way_has_pruned_is_too_deep_and_the_engine_goes_on() {
    let Branches { one, two, common, .. } = &*BRANCHES;
    let (node, faults) = pruning_node(2, 8 - *common);
    node.follow(&one.blocks[..8]);
    assert_eq!(node.settled().durable.number, 8);
    let side = two.block(common + 1);
    node.send(std::slice::from_ref(side));
    node.send(&one.blocks[8..10]);
    // 1. The state where the second branch begins is the oldest that is kept.
    node.choose(choice(side.hash()));
    node.choose(choice(one.hash(9)));
    // 2. A batch is on its way with which it goes.
    let held = faults.hold(1, PERSISTING);
    node.choose(choice(one.hash(10)));
    assert!(node.status().is_persisting);
    // 3. So there is no way back to it, neither now nor when the batch has arrived.
    let oldest = common + 2;
    let check = || {
        for (number, hash) in [
            (*common, side.hash()),
            (*common, one.hash(*common)),
            (common + 1, one.hash(common + 1)),
        ] {
            let pruned = EngineError::Pruned { number, oldest };
            assert_eq!(node.forkchoice(choice(hash)), Err(pruned));
        }
        let asked = Asked::of(|reply| node.engine().set_head(one.hash(*common), reply));
        assert_eq!(asked.answer(), Err(EngineError::Pruned { number: *common, oldest }));
    };
    check();
    assert!(node.status().is_persisting);
    drop(held);
    let status = node.settled();
    assert_eq!((status.head.number, status.durable.number, status.failed), (10, 10, None));
    check();
    // 4. To what is kept there is one, and the chain goes on.
    node.choose(choice(one.hash(common + 2)));
    node.choose(choice(one.hash(10)));
    node.follow(&one.blocks[10..]);
    assert_eq!(node.stop(), Ok(one.head()));
}

#[test]
fn a_fork_choice_leaves_a_batch_on_its_way_no_deeper_than_will_be_kept_below_it() {
    let Branches { one, two, common, .. } = &*BRANCHES;
    let (node, faults) = pruning_node(8, 3);
    node.send(&one.blocks[..8]);
    node.send(&BRANCHES.own_of_two()[..1]);
    let held = faults.hold(1, PERSISTING);
    node.choose(choice(one.hash(8)));
    for number in 0..5 {
        let answer = node.forkchoice(choice(one.hash(number)));
        assert_eq!(answer, Err(EngineError::Pruned { number, oldest: 5 }));
    }
    node.choose(choice(two.hash(common + 1)));
    assert!(node.status().is_persisting);
    drop(held);
    let status = node.settled();
    assert_eq!((status.durable.number, status.failed), (8, None));
    // The branch takes the place of what was on its way.
    node.follow(&BRANCHES.own_of_two()[1..]);
    let status = node.settled();
    assert!(two.has(status.durable) && status.durable.number > *common, "{status:?}");
    assert_eq!(node.stop(), Ok(two.head()));
}

#[test]
fn the_journal_does_not_outgrow_the_blocks_that_are_not_durable() {
    const BATCH: usize = 4;
    let chain = &*LONG;
    let blocks = &chain.blocks[..120];
    let bytes: Vec<usize> =
        blocks.iter().map(|block| ENTRY_BYTES + 1 + block.block().length()).collect();
    let all: usize = bytes.iter().sum();
    let folder = Folder::new();
    let node = Node::on(&folder, chain, &Setup::new(BATCH));
    let length = || std::fs::metadata(folder.journal()).expect("a journal").len();
    let mut longest = 0;
    for (count, block) in (1..).zip(blocks) {
        node.follow(std::slice::from_ref(block));
        // Two batches, and what came while one of them was waited for.
        let from = usize::saturating_sub(count, 3 * BATCH);
        let room = bytes[from..count].iter().sum::<usize>() + 3 * BATCH * CHOICE_BYTES;
        let found = index(length());
        assert!(found <= room, "{found} bytes after block {count}, at most {room}");
        longest = longest.max(found);
    }
    assert!(longest < all / 2, "{longest} of {all} bytes: the bound is not put to the test");
    let left = blocks.len() - index(node.settled().durable.number);
    assert!(left < BATCH, "{left} blocks are left");
    node.stop().expect("a good folder");
    assert_eq!(index(length()), CHOICE_BYTES, "nothing is left but the fork choice");
}

#[test]
fn more_calls_than_may_wait_are_refused_and_the_others_are_answered() {
    const CALLS: usize = 3;
    let one = &BRANCHES.one;
    let mut setup = Setup::new(LARGE);
    setup.engine.calls_max = CALLS;
    let node = Node::in_memory(one, &setup);
    for round in 0..2 {
        let held = node.hold();
        let blocks = &one.blocks[round * CALLS..];
        let waiting: Vec<_> =
            blocks[..CALLS].iter().map(|block| node.begin_payload(block)).collect();
        for block in &blocks[CALLS..] {
            assert_eq!(node.new_payload(block), Err(EngineError::Busy(CALLS)));
            let state = choice(block.hash());
            assert_eq!(node.forkchoice(state), Err(EngineError::Busy(CALLS)));
            assert_eq!(node.reconsider(block.hash()), Err(EngineError::Busy(CALLS)));
        }
        drop(held);
        for asked in waiting {
            assert_eq!(asked.answer(), Ok(PayloadVerdict::Valid));
        }
    }
    assert_eq!(node.status().imported, 2 * CALLS as u64);
    node.choose(choice(one.hash(2 * CALLS as u64)));
}

#[test]
fn blocks_that_wait_are_bounded_by_their_bytes_but_for_one() {
    let one = &BRANCHES.one;
    let mut setup = Setup::new(LARGE);
    setup.engine.call_bytes_max = 1;
    let node = Node::in_memory(one, &setup);
    for block in &one.blocks {
        let held = node.hold();
        let asked = node.begin_payload(block);
        for _ in 0..2 {
            assert_eq!(node.new_payload(block), Err(EngineError::BusyBytes(1)));
        }
        let other = node.begin_forkchoice(choice(block.hash()));
        drop(held);
        assert_eq!(asked.answer(), Ok(PayloadVerdict::Valid));
        assert_eq!(other.answer(), Ok(ForkchoiceVerdict::Valid(None)));
    }
    assert_eq!(node.status().imported, one.head().number);
}

/// What [`ask_all`] is told after the end.
fn stopped() -> [Result<(), EngineError>; 3] {
    [Err(EngineError::Stopped), Err(EngineError::Stopped), Err(EngineError::Stopped)]
}

/// The answers of each kind of call.
fn ask_all(engine: &Engine, block: &SealedBlock) -> [Result<(), EngineError>; 3] {
    let payload = Asked::of(|reply| engine.new_payload(block.clone(), Duration::ZERO, reply));
    let chosen = Asked::of(|reply| engine.forkchoice(choice(block.hash()), None, reply));
    let reconsidered = Asked::of(|reply| engine.reconsider(block.hash(), reply));
    [payload.answer().map(|_| ()), chosen.answer().map(|_| ()), reconsidered.answer().map(|_| ())]
}

#[test]
fn calls_after_the_end_are_told_so() {
    let one = &BRANCHES.one;
    let node = Node::in_memory(one, &Setup::new(LARGE));
    node.follow(&one.blocks[..3]);
    let engine = node.engine().clone();
    assert_eq!(node.stop(), Ok(Head { number: 3, hash: one.hash(3) }));
    for block in &one.blocks {
        assert_eq!(ask_all(&engine, block), stopped());
    }
    let unknown = Asked::of(|reply| engine.payload([7; 8], reply));
    assert_eq!(unknown.answer().map(|_| ()), Err(EngineError::UnknownPayload));
    assert_eq!(engine.view().head().number, 3, "readers go on");
}

#[test]
fn every_call_is_answered_while_the_engine_stops() {
    let one = &BRANCHES.one;
    for round in 0..6 {
        let folder = Folder::new();
        let node = Node::on(&folder, one, &Setup::new(LARGE));
        node.follow(&one.blocks[..index(7 + round)]);
        let engine = node.engine().clone();
        let ended = std::thread::scope(|scope| {
            let calls = scope.spawn(move || {
                let mut blocks = one.blocks.iter().cycle();
                // Each of them gets an answer, or the test fails.
                while ask_all(&engine, blocks.next().expect("endless")) != stopped() {}
            });
            let ended = node.stop();
            calls.join().expect("told above");
            ended
        });
        let head = ended.expect("a good folder");
        assert!(one.has(head), "round {round}: {head:?}");
    }
}

#[test]
fn what_was_asked_before_the_end_is_done() {
    let one = &BRANCHES.one;
    let node = Node::in_memory(one, &Setup::new(2));
    let held = node.hold();
    let asked: Vec<_> = one.blocks.iter().map(|block| node.begin_payload(block)).collect();
    let state = Forkchoice { safe: one.hash(3), ..choice(one.head().hash) };
    let chosen = node.begin_forkchoice(state);
    drop(held);
    assert_eq!(node.stop(), Ok(one.head()));
    for asked in asked {
        assert_eq!(asked.answer(), Ok(PayloadVerdict::Valid));
    }
    assert_eq!(chosen.answer(), Ok(ForkchoiceVerdict::Valid(None)));
}
