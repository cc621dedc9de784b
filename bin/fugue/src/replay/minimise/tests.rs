//! Blocks on which an executor is wrong on purpose, made smaller.

use super::*;
use crate::{
    cli::Modes,
    replay::check::{Checker, Run},
};
use fugue_archive::BundleReader;
use fugue_chainspec::Fork;
use fugue_executor::Way;
use fugue_types::{Address, B256, BlockAccessList, U256};
use fugue_workload::{Call, Props, Script, build};
use std::sync::atomic::{AtomicUsize, Ordering};

const BOTH: &[Mode] = &[Mode::Seq, Mode::Occ];

/// Where the executor is wrong, and the modes in which it is compared.
struct Planted {
    way: Way,
    modes: &'static [Mode],
    /// Blocks run by access lists from files.
    by_lists: bool,
}

const IN_OCC: Planted = Planted { way: Way::Optimistic, modes: BOTH, by_lists: false };
const IN_LANES: Planted =
    Planted { way: Way::Lanes, modes: Modes::All.list(false), by_lists: false };
const IN_BAL: Planted = Planted { way: Way::List, modes: Modes::Both.list(true), by_lists: true };

/// Executes well, but for a block that has two certain transactions: in each third run of it that
/// goes to its end on a certain way, one of the updates of a slot is lost.
struct LosesAnUpdate {
    executor: Executor,
    way: Way,
    pair: [B256; 2],
    counter: Address,
    runs: AtomicUsize,
}

impl Execute for LosesAnUpdate {
    fn execute(
        &self,
        mode: Mode,
        block: &PreparedBlock,
        rules: &Rules,
        view: &dyn StateView,
        scope: Scope,
    ) -> Result<Execution, BlockError> {
        let mut execution = self.executor.execute(mode, block, rules, view, scope)?;
        let txs = &block.block().block().body.transactions;
        let has_pair = self.pair.iter().all(|hash| txs.iter().any(|tx| tx.hash() == hash));
        let report = &execution.report;
        let is_hit = has_pair && report.way == self.way && report.fallback.is_none();
        if is_hit && self.runs.fetch_add(1, Ordering::Relaxed) % 3 == 2 {
            let accounts = execution.outcome.diff.accounts.iter_mut();
            for account in accounts.filter(|account| account.address == self.counter) {
                for slot in &mut account.slots {
                    slot.after -= U256::from(1);
                }
            }
        }
        Ok(execution)
    }
}

/// The block with 40 transactions, of which one sender's count a slot at the places 5, 11 and 20,
/// and another one's at 29; the hashes of two of them; and the contract that has the slot.
fn haystack(pair: [usize; 2]) -> (Bundle, [B256; 2], Address) {
    let mut script = Script::new("minimise", "updates of a slot among others", 5, Fork::Osaka);
    let mut rng = script.stream("draws");
    let props = Props::deploy(&mut script);
    let users = script.users(6);
    let [first, second] = [script.user(), script.user()];
    let others: Vec<Address> = users.iter().map(|user| user.address()).collect();
    for number in 0..40 {
        let count = Call::function(props.counter, "HotCounter", "increment()", &[]);
        let (user, call) = match number {
            5 | 11 | 20 => (first, count),
            29 => (second, count),
            _ => (rng.pick(&users), props.anything(&mut rng, &others)),
        };
        script.send(user, call);
    }
    let beneficiary = rng.address();
    script.block_with(beneficiary, &[(beneficiary, 1), (others[0], 2), (rng.address(), 0)]);
    let scenario = script.end(beneficiary);
    let hashes = pair.map(|place| *scenario.blocks[0].transactions[place].hash());
    let mut bundles = build(&scenario).expect("a scenario that makes a chain");
    assert_eq!(bundles.len(), 1);
    (bundles.remove(0), hashes, props.counter)
}

/// What an executor that is not wrong finds in a block.
fn findings(executor: &Executor, bundle: &Bundle) -> Findings {
    let record = Record::Bundle(bundle.clone());
    let checked = Checker::new(executor, BOTH).check(Path::new("whole.json"), &record);
    checked.expect("a good bundle")
}

/// What is left of the block, and its number.
fn minimised(planted: &Planted, pair: [usize; 2], folder: &Path) -> (Minimal, LosesAnUpdate, u64) {
    let (bundle, pair, counter) = haystack(pair);
    let executor = Executor::new(2).expect("threads");
    let Planted { way, modes, by_lists } = *planted;
    let wrong = LosesAnUpdate { executor, way, pair, counter, runs: AtomicUsize::new(0) };
    let number = bundle.block.block().header.number;
    let findings = findings(&wrong.executor, &bundle);
    assert!(findings.differences.is_empty(), "{findings:?}");
    // The list of the whole block would be wrong for each smaller one: none is there to be read.
    let lists = Lists::Read(folder.to_owned());
    let minimiser = Minimiser {
        executor: &wrong.executor,
        execute: &wrong,
        modes,
        tries: TRIES,
        repro: folder,
        lists: by_lists.then_some(&lists),
    };
    let progress = Progress::new("blocks", 1);
    let minimal = minimiser.minimise(&Record::Bundle(bundle), &findings, &progress);
    (minimal.expect("it differs"), wrong, number)
}

/// A lost update is reduced to the two transactions and what they touch, and the folder that is
/// written has all that it takes to run them as they ran.
fn check_lost_update(planted: &Planted) {
    let folder = tempfile::tempdir().expect("a folder");
    let (minimal, wrong, number) = minimised(planted, [11, 29], folder.path());
    // Both senders and the contract. The one before of the same sender went, and its nonce rose.
    let expected = Size { transactions: 2, withdrawals: 0, accounts: 3, slots: 0, codes: 1 };
    assert_eq!(minimal.size, expected);
    assert!(minimal.is_minimal);
    let what = &minimal.difference.what;
    assert_eq!((what.address, what.slot), (Some(wrong.counter), Some(U256::ZERO)));
    assert_eq!((&*what.expected, &*what.found), ("0x0 -> 0x2", "0x0 -> 0x1"));
    let lines = minimal.lines();
    assert!(lines[0].contains("2 transactions, 0 withdrawals, 3 accounts"), "{lines:?}");
    assert!(lines[2].ends_with("rerun.sh"), "{lines:?}");
    let command = std::fs::read_to_string(minimal.repro.join("rerun.sh")).expect("the command");
    assert_eq!(command.contains(" --bal ."), planted.by_lists, "{command}");
    assert!(minimal.repro.starts_with(folder.path()));
    assert!(minimal.repro.join("divergence.json").is_file());

    // Replayed by an executor that is not wrong, it is a block like any other.
    let path = minimal.repro.join(format!("{number}.json.zst"));
    let record = BundleReader::new().read_record(&path).expect("a good bundle");
    let lists = Lists::Read(minimal.repro.clone());
    let lists = planted.by_lists.then_some(&lists);
    let mut checker = Checker::new(&wrong.executor, planted.modes).with_lists(lists);
    let findings = checker.check(&path, &record).expect("a good bundle");
    assert!(findings.differences.is_empty(), "{findings:?}");
    assert_eq!((findings.tx_count, findings.runs.len()), (2, planted.modes.len()));
    let ran = |run: &Run| run.report.way == planted.way && run.report.fallback.is_none();
    assert!(findings.runs.iter().any(ran), "{findings:?}");
    for field in ["gasUsed", "receiptsRoot", "logsBloom", "requestsHash", "withdrawalsRoot"] {
        assert!(findings.checked.contains(&field), "{field}: {findings:?}");
    }
    let txs = &record.block().block().body.transactions;
    let hashes: Vec<B256> = txs.iter().map(|tx| *tx.hash()).collect();
    assert_eq!(hashes, wrong.pair);
}

#[test]
fn a_lost_update_is_reduced_to_the_two_transactions_and_what_they_touch() {
    check_lost_update(&IN_OCC);
}

#[test]
fn an_update_that_lanes_lose_is_reduced_as_well() {
    check_lost_update(&IN_LANES);
}

#[test]
fn an_update_that_is_lost_by_lists_is_reduced_with_a_list_for_each_smaller_block() {
    check_lost_update(&IN_BAL);
}

#[test]
fn a_transaction_between_two_of_one_sender_stays_for_its_nonce() {
    let folder = tempfile::tempdir().expect("a folder");
    let (minimal, _, _) = minimised(&IN_OCC, [5, 20], folder.path());
    let expected = Size { transactions: 3, withdrawals: 0, accounts: 2, slots: 0, codes: 1 };
    assert_eq!(minimal.size, expected);
}

#[test]
fn where_the_modes_agree_there_is_nothing_to_make_smaller() {
    let (bundle, _, _) = haystack([5, 11]);
    let executor = Executor::new(2).expect("threads");
    let findings = findings(&executor, &bundle);
    let folder = tempfile::tempdir().expect("a folder");
    let minimiser = Minimiser::new(&executor, BOTH, 2, folder.path()).expect("two modes");
    let progress = Progress::new("blocks", 1);
    let UsageError(reason) =
        minimiser.minimise(&Record::Bundle(bundle), &findings, &progress).expect_err("equal");
    assert_eq!(reason, "the modes agree on it, 2 times");
    let left = folder.path().read_dir().expect("the folder").count();
    assert_eq!(left, 0, "nothing is written");
}

#[test]
fn where_only_the_list_that_was_given_is_another_that_is_said() {
    let (bundle, _, _) = haystack([5, 11]);
    let executor = Executor::new(2).expect("threads");
    let findings = findings(&executor, &bundle);
    let folder = tempfile::tempdir().expect("a folder");
    let (number, hash) = (findings.number, findings.hash);
    let lists = Lists::Read(folder.path().to_owned());
    let record = Record::Bundle(bundle);
    let told = |list: &BlockAccessList| {
        crate::replay::lists::write(folder.path(), number, hash, list).expect("a written list");
        let minimiser = Minimiser::new(&executor, IN_BAL.modes, 2, folder.path());
        let minimiser = minimiser.expect("two modes").with_lists(Some(&lists));
        let progress = Progress::new("blocks", 1);
        let UsageError(reason) =
            minimiser.minimise(&record, &findings, &progress).expect_err("equal");
        reason
    };
    let reason = told(&BlockAccessList::default());
    assert!(reason.starts_with("the modes agree on it, 2 times, by the access list"), "{reason}");
    assert!(reason.contains("the one in --bal is another, wrong one"), "{reason}");
    let rules = chain(&record).expect("a chain").rules(&record.block().block().header);
    let block = checked(record.block().clone(), &rules, has_ommers(&record)).expect("a block");
    let block = executor.prepare(block, &rules).expect("good signatures");
    let listed = Before::new(&record)
        .expect("a state")
        .with_view(|view| executor.list_accesses(&block, &rules, view, Scope::Recorded));
    let (_, own) = listed.expect("a good block");
    assert_eq!(told(&own), "the modes agree on it, 2 times");
}

#[test]
fn a_block_is_executed_as_often_as_it_is_asked_for() {
    let (bundle, _, _) = haystack([5, 11]);
    let executor = Executor::new(2).expect("threads");
    let record = Record::Bundle(bundle);
    let check = |rounds| {
        let mut checker = Checker::new(&executor, BOTH).repeating(rounds);
        checker.check(Path::new("whole.json"), &record).expect("a good bundle")
    };
    let (once, often) = (check(1), check(3));
    assert_eq!((once.rounds, often.rounds), (1, 3));
    assert!(often.differences.is_empty(), "{often:?}");
    // What is told is that of one round.
    assert_eq!(often.runs.len(), BOTH.len());
    assert_eq!(often.checked, once.checked);
}

#[test]
fn one_mode_cannot_be_compared() {
    let executor = Executor::new(1).expect("threads");
    for mode in [&[Mode::Seq][..], &[Mode::Occ]] {
        let refused = Minimiser::new(&executor, mode, TRIES, Path::new("."));
        assert!(refused.is_err_and(|error| error.0.contains("--mode both")), "{mode:?}");
    }
}
