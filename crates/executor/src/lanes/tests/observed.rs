//! What is told of transactions that ran again: who disturbed whom, and where.

use super::{
    bugs::{PEEKER, peeking},
    guesses::{FIRST, add, adding, chain, numbered, watch},
    *,
};
use crate::{Field, RerunCause, TxRuns};

/// A run that was thrown away: why, by whom, and where.
type Told = (RerunCause, Option<usize>, Option<(Address, Field)>);

/// Runs the block in these lanes, to the sequential outcome; gives of each transaction how often it
/// ran, and what of that was thrown away.
fn told(mut ground: Ground, numbers: &[usize]) -> Vec<(u32, Vec<Told>)> {
    ground.runs = Some(RunLog::new(numbers.len()));
    let stats = ground.stats(numbers);
    let all = ground.runs.take().map(RunLog::into_runs).unwrap_or_default();
    assert_eq!(all.iter().map(|tx| tx.runs as usize).sum::<usize>(), stats.runs);
    assert_eq!(all.iter().filter(|tx| tx.runs > 1).count(), stats.rerun_txs);
    assert!(all.iter().all(|tx| tx.runs as usize == tx.reruns.len() + 1), "{all:?}");
    all.iter().map(in_brief).collect()
}

/// Runs a block in these lanes that is given up; gives the same.
fn told_until_given_up(mut ground: Ground, numbers: &[usize]) -> Vec<(u32, Vec<Told>)> {
    ground.runs = Some(RunLog::new(numbers.len()));
    assert_eq!(ground.in_lanes(numbers).err(), Some(LaneFault::Entangled.into()));
    let all = ground.runs.take().map(RunLog::into_runs).unwrap_or_default();
    all.iter().map(in_brief).collect()
}

/// How often a transaction ran, and what of that was thrown away.
fn in_brief(tx: &TxRuns) -> (u32, Vec<Told>) {
    let TxRuns { runs, time, lost, reruns } = tx;
    assert_eq!(*lost, reruns.iter().map(|it| it.lost).sum::<Duration>());
    assert!(lost <= time);
    let reruns = reruns.iter().map(|it| (it.cause, it.by, it.address.zip(it.field)));
    (*runs, reruns.collect())
}

fn changed(by: usize, address: Address, field: Field) -> Told {
    (RerunCause::Changed, Some(by), Some((address, field)))
}

fn slot(number: u64) -> Field {
    Field::Slot(U256::from(number))
}

fn once() -> (u32, Vec<Told>) {
    (1, Vec::new())
}

#[test]
fn who_was_disturbed_is_told_by_whom_and_at_which_slot() {
    // Others have changed the contract since, at slots that nobody looks at.
    let txs = [
        store(ALICE, 0, 5, 1),
        store(ALICE, 1, 6, 1),
        store(ALICE, 2, 7, 1),
        look(BOB, 0, 6),
        look(BOB, 1, 8),
    ];
    for fork in FORKS {
        let found = told(Ground::new(fork, &txs), &[0, 0, 0, 1, 1]);
        let disturbed = (2, vec![changed(1, KEEPER, slot(6))]);
        assert_eq!(found, [once(), once(), once(), disturbed, once()], "{fork}");
    }
}

#[test]
fn who_holds_ran_once() {
    let found = told(Ground::new(Fork::Istanbul, &payments()), &[0, 1, 2, 1, 2, 0]);
    assert!(found.iter().all(|tx| *tx == once()), "{found:?}");
}

/// As the second and third one are in one stretch, and the fourth one in the other, whose guess
/// does not hold.
#[test]
fn a_guess_that_does_not_hold_is_told_too() {
    let count = |sender, nonce| call(sender, nonce, COUNTER, 0);
    let txs = [count(ALICE, 0), count(BOB, 0), count(ALICE, 1), count(BOB, 1)];
    let found = told(Ground::new(Fork::Istanbul, &txs), &[0, 1, 0, 1]);
    let by = |by| changed(by, COUNTER, slot(0));
    assert_eq!(found[..3], [once(), (2, vec![by(0)]), (2, vec![by(1)])]);
    assert_eq!(found[3], (3, vec![by(2), by(2)]));
}

#[test]
fn an_account_disturbs_by_the_field_that_was_seen() {
    let seen = numbered(FIRST + 0x10);
    // The adder pays the one whose balance is watched.
    let txs = [add(ALICE, 0, 0x10), watch(BOB, 0, [seen, PAYEE])];
    let found = told(adding(&txs), &[0, 1]);
    assert_eq!(found, [once(), (2, vec![changed(0, seen, Field::Balance)])]);
    // Whom nobody knew is there.
    let txs = [pay(ALICE, 0, STRANGER, 5), pay(BOB, 0, STRANGER, 6)];
    let found = told(Ground::new(Fork::Istanbul, &txs), &[0, 1]);
    assert_eq!(found, [once(), (2, vec![changed(0, STRANGER, Field::Balance)])]);
    // A contract that was created.
    let txs = [call(ALICE, 0, FACTORY, 0), pay(BOB, 0, child(), 0)];
    let found = told(Ground::new(Fork::Istanbul, &txs), &[0, 1]);
    assert_eq!(found, [once(), (2, vec![changed(0, child(), Field::Code)])]);
}

#[test]
fn who_was_refused_had_to_wait() {
    let txs = [pay(ALICE, 0, POOR, 10_000_000_000), pay(POOR, 0, PAYEE, 1)];
    let found = told(Ground::new(Fork::Istanbul, &txs), &[0, 1]);
    assert_eq!(found, [once(), (2, vec![(RerunCause::Parked, None, None)])]);
}

#[test]
fn who_paid_a_fee_last_is_known_also_where_nobody_looked_before() {
    let found = told(peeking(), &[0, 0, 1, 1]);
    assert_eq!(found[..3], [once(), once(), (2, vec![changed(1, KEEPER, slot(5))])]);
    let expected = vec![changed(0, PEEKER, slot(0)), changed(2, AUTHOR, Field::Balance)];
    assert_eq!(found[3], (3, expected));
}

#[test]
fn a_block_that_is_given_up_while_it_is_settled_tells_who_disturbed_whom() {
    let (ground, numbers) = chain(100);
    let found = told_until_given_up(ground, &numbers);
    let again = found.iter().filter(|tx| tx.0 > 1).count();
    assert!((1..found.len() - 1).contains(&again), "{again} ran again");
    for (index, tx) in found.into_iter().enumerate() {
        // The first one held; of those behind, the turn did not come.
        let expected = if (1..=again).contains(&index) {
            (2, vec![changed(index - 1, COUNTER, slot(0))])
        } else {
            once()
        };
        assert_eq!(tx, expected, "{index}");
    }
}

/// Nobody has been compared yet.
#[test]
fn a_block_that_is_given_up_in_its_lanes_tells_what_ran_in_them() {
    let nonces = (0..20).flat_map(|nonce| [(ALICE, nonce), (BOB, nonce)]);
    let txs: Vec<_> = nonces.map(|(sender, nonce)| call(sender, nonce, COUNTER, 0)).collect();
    let turns: Vec<_> = (0..txs.len()).map(|index| index % 2).collect();
    let found = told_until_given_up(Ground::new(Fork::Istanbul, &txs), &turns);
    let ran = found.iter().filter(|tx| tx.0 > 0).count();
    assert!((1..found.len()).contains(&ran), "{ran} ran");
    for (index, tx) in found.into_iter().enumerate() {
        assert_eq!(tx, (u32::from(index < ran), Vec::new()), "{index}");
    }
}

/// By the run that explains a block; the one that times it notes nothing.
#[test]
fn whose_balance_was_seen_is_told_of_each_transaction_by_itself() {
    let txs = [watch(BOB, 0, [PAYEE; 2]), add(ALICE, 0, 1), watch(BOB, 1, [MORTAL; 2])];
    let Ground { executor, block, rules, state, .. } = adding(&txs);
    let found = executor.accesses(&block, &rules, &state).expect("valid");
    let sees: Vec<_> = found.into_iter().map(|tx| tx.sees).collect();
    assert_eq!(sees, [vec![PAYEE], vec![], vec![MORTAL]]);
    assert_eq!(executor.times(&block, &rules, &state).map(|times| times.len()), Ok(3));
}

#[test]
fn only_an_executor_that_observes_notes_what_lanes_do() {
    let Ground { executor, block, rules, state, .. } = Ground::new(Fork::Shanghai, &counting());
    let run = |executor: &Executor| {
        let ran = executor.execute(Mode::Lanes, &block, &rules, &state, Scope::Recorded);
        let Execution { report, .. } = ran.expect("valid");
        assert_eq!(report.way, Way::Lanes);
        report.tx_runs
    };
    assert!(run(&executor).is_empty());
    let found = run(&executor.observing());
    assert_eq!(found.len(), block.txs.len());
    assert!(found.iter().all(|tx| tx.runs > 0), "{found:?}");
}
