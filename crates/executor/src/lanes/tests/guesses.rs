//! Transactions that run again before their turn: guesses that hold, guesses that do not, and
//! blocks in which all of it is of no use.

use super::*;
use crate::lanes::room::ROOM_LANES_MAX;

/// Given one word, adds it to slot 0 and pays what it was paid to the account of that number:
/// v = SLOAD(0) + CALLDATALOAD(0), SSTORE(0, v), CALL(GAS, v, CALLVALUE, 0, 0, 0, 0).
const ADDS: &[u8] = &[
    0x60, 0, 0x54, 0x60, 0, 0x35, 0x01, 0x80, 0x60, 0, 0x55, 0x60, 0, 0x60, 0, 0x60, 0, 0x60, 0,
    0x34, 0x85, 0x5a, 0xf1,
];
/// Logs the sum of the balances of the two accounts that it is given.
const WATCHES: &[u8] =
    &[0x60, 32, 0x35, 0x31, 0x60, 0, 0x35, 0x31, 0x01, 0x60, 0, 0x52, 0x60, 32, 0x60, 0, 0xa0];
const ADDER: Address = Address::repeat_byte(0xe0);
const WATCHER: Address = Address::repeat_byte(0xe1);
/// Slot 0 of the one that adds: no account of such a number does anything.
pub(super) const FIRST: u64 = 0xc000_0000;

/// A block for two that add and watch.
pub(super) fn adding(txs: &[Sent]) -> Ground {
    let mut ground = Ground::new(Fork::Istanbul, txs);
    ground.deploy(ADDER, ADDS, &[(0, FIRST)]);
    ground.deploy(WATCHER, WATCHES, &[]);
    ground
}

pub(super) fn add(sender: Address, nonce: u64, amount: u64) -> Sent {
    tx(sender, nonce, ADDER, 1, &U256::from(amount).to_be_bytes::<32>())
}

pub(super) fn watch(sender: Address, nonce: u64, accounts: [Address; 2]) -> Sent {
    tx(sender, nonce, WATCHER, 0, &accounts.map(|address| address.into_word().0).concat())
}

/// The account of this number.
pub(super) fn numbered(number: u64) -> Address {
    Address::from_word(U256::from(number).into())
}

/// Runs, transactions that ran more than once, and those that did so at their turn.
fn counts(ground: &Ground, numbers: &[usize]) -> (usize, usize, usize) {
    let Stats { runs, rerun_txs, head_reruns, .. } = ground.stats(numbers);
    (runs, rerun_txs, head_reruns)
}

#[test]
fn guesses_that_hold_are_settled() {
    let txs = [
        store(ALICE, 0, 5, 1),
        look(BOB, 0, 5),
        store(ALICE, 1, 6, 1),
        look(BOB, 1, 6),
        look(BOB, 2, 6),
    ];
    for fork in FORKS {
        let ground = Ground::new(fork, &txs);
        assert_eq!(counts(&ground, &[0, 1, 0, 1, 1]), (8, 3, 0), "{fork}");
    }
}

#[test]
fn who_was_refused_in_its_lane_is_guessed_too() {
    let txs = [
        pay(ALICE, 0, POOR, 10_000_000_000),
        pay(POOR, 0, PAYEE, 1),
        store(ALICE, 1, 5, 1),
        look(BOB, 0, 5),
    ];
    let ground = Ground::new(Fork::Istanbul, &txs);
    assert_eq!(counts(&ground, &[0, 1, 0, 1]), (6, 2, 0));
}

#[test]
fn a_single_transaction_that_does_not_hold_is_not_guessed() {
    let txs = [store(ALICE, 0, 5, 1), look(BOB, 0, 5), look(BOB, 1, 6)];
    let ground = Ground::new(Fork::Istanbul, &txs);
    assert_eq!(counts(&ground, &[0, 1, 1]), (4, 1, 1));
}

/// The first stretch is as the sequential run, one after the other; the second one begins with what
/// the lanes have, and its first guess does not hold.
#[test]
fn of_guesses_that_depend_on_one_another_those_of_the_first_stretch_hold() {
    let count = |sender, nonce| call(sender, nonce, COUNTER, 0);
    let txs = [count(ALICE, 0), count(BOB, 0), count(ALICE, 1), count(BOB, 1)];
    for fork in FORKS {
        let ground = Ground::new(fork, &txs);
        // The second and third one in one stretch, the fourth one in the other.
        assert_eq!(counts(&ground, &[0, 1, 0, 1]), (8, 3, 1), "{fork}");
    }
}

/// What a guess has changed that does not hold, another guess has seen; no lane has changed it.
#[test]
fn a_guess_on_a_guess_that_does_not_hold_is_not_settled() {
    let seen = numbered(FIRST + 0x11010);
    let txs = [
        add(ALICE, 0, 0x10),
        add(BOB, 0, 0x100),
        add(ALICE, 1, 0x1000),
        pay(ALICE, 2, PAYEE, 5),
        // As a guess it pays the one who is watched; at its turn, somebody else.
        add(BOB, 1, 0x10000),
        watch(BOB, 2, [seen, PAYEE]),
    ];
    let ground = adding(&txs);
    assert_eq!(counts(&ground, &[0, 1, 0, 0, 1, 1]), (12, 4, 2));
    for split in splits(6, 2) {
        ground.reruns(&split);
    }
}

/// Marks are of slots; a balance was seen here.
#[test]
fn who_disturbs_whom_is_learned_while_lanes_are_settled() {
    let ground = adding(&[add(ALICE, 0, 1), watch(BOB, 0, [numbered(FIRST + 1), PAYEE])]);
    let mut log = Log::default();
    let run = ground.in_lanes_noting(&[0, 1], &mut log);
    assert!(run.is_ok_and(|run| run.stats.rerun_txs == 1));
    let (txs, hints) = (&ground.block.txs, Mutex::<Hints>::default());
    log.teach(&Plan::cold(txs, 2), txs, &hints);
    let hints = hints.into_inner();
    for (callee, partner) in [(ADDER, WATCHER), (WATCHER, ADDER)] {
        let habit = hints.habit(&callee).expect("it ran");
        let partners: Vec<_> = habit.partners().map(|partner| partner.callee).collect();
        assert_eq!(partners, [partner]);
    }
}

#[test]
fn contracts_that_guesses_create_and_destroy_are_those_of_the_sequential_run() {
    let txs = [
        call(ALICE, 0, FACTORY, 0),
        pay(BOB, 0, child(), 1),
        pay(ALICE, 1, MORTAL, 1),
        pay(BOB, 1, MORTAL, 1),
        call(ALICE, 2, FACTORY, 0),
        call(BOB, 2, FACTORY, 0),
    ];
    for fork in [Fork::Istanbul, Fork::Shanghai, Fork::Cancun] {
        let ground = Ground::new(fork, &txs);
        let stats: Vec<_> = splits(6, 2).iter().map(|split| ground.stats(split)).collect();
        let has_held = |stats: &Stats| stats.head_reruns < stats.rerun_txs;
        assert!(stats.iter().any(has_held), "{fork}");
    }
}

#[test]
fn more_threads_guess_more_stretches() {
    let looks = (0..6).flat_map(|nonce| [store(ALICE, nonce, nonce, 1), look(BOB, nonce, nonce)]);
    let txs: Vec<_> = looks.collect();
    let split: Vec<_> = (0..txs.len()).map(|index| index % 2).collect();
    for threads in [2, 3, 16] {
        let ground = Ground::with_threads(Fork::Istanbul, &txs, threads);
        assert_eq!(counts(&ground, &split), (18, 6, 0), "{threads}");
    }
}

/// All but the first depend on one another, in one lane, which its first one has begun wrongly.
pub(super) fn chain(count: u64) -> (Ground, Vec<usize>) {
    let first = [call(ALICE, 0, COUNTER, 0)];
    let others = (0..count).map(|nonce| call(BOB, nonce, COUNTER, 0));
    let txs: Vec<_> = first.into_iter().chain(others).collect();
    let split = (0..txs.len()).map(|index| usize::from(index > 0)).collect();
    (Ground::new(Fork::Istanbul, &txs), split)
}

#[test]
fn a_block_is_given_up_that_mostly_runs_again_at_its_turn() {
    let (ground, split) = chain(100);
    assert_eq!(ground.in_lanes(&split).err(), Some(LaneFault::Entangled.into()));
    // With less gas there is nothing to be gained.
    let (ground, split) = chain(40);
    assert_eq!(counts(&ground, &split), (81, 40, 40));
}

#[test]
fn room_is_kept_from_block_to_block_and_bounded() {
    let rooms = (0..3 * ROOM_LANES_MAX).map(|_| Touched::default()).collect();
    let (marks, published, journals) = Default::default();
    let room = LaneRoom::new(rooms, &mut [], marks, published, journals);
    assert_eq!(room.touched.len(), 2 * ROOM_LANES_MAX);
    let ground = by_turns(COUNTS_TOO, 0);
    let view = meeting(&ground, &COUNTS_TOO);
    let expected = ground.sequential();
    let first = ground.execute(Mode::Lanes, &view).map(|execution| execution.outcome);
    assert_eq!(first, expected);
    for _ in 0..3 {
        let Execution { outcome, report } =
            ground.execute(Mode::Lanes, &ground.state).expect("valid");
        assert_eq!((Ok(outcome), report.fallback), (expected.clone(), None));
    }
}

/// What used little in its lane may use all of its gas as a guess.
#[test]
fn a_stretch_has_no_more_guesses_than_the_block_has_gas_for() {
    const FLARER: Address = Address::repeat_byte(0xe2);
    // If it is paid, SSTORE(0, 1); else, if SLOAD(0), JUMPDEST, JUMP.
    let code = [
        0x34, 0x60, 11, 0x57, 0x60, 0, 0x54, 0x60, 18, 0x57, 0x00, 0x5b, 0x60, 1, 0x60, 0, 0x55,
        0x00, 0x5b, 0x60, 18, 0x56,
    ];
    let burn = |nonce| with_gas(3_000_000, BOB, nonce, FLARER, 0, &[1]);
    let txs: Vec<_> = std::iter::once(call(ALICE, 0, FLARER, 1)).chain((0..48).map(burn)).collect();
    let mut ground = Ground::new(Fork::Shanghai, &txs);
    ground.deploy(FLARER, &code, &[]);
    ground.runs = Some(RunLog::new(txs.len()));
    let expected = ground.sequential().expect_err("it has no room for all of them");
    let BlockError::Invalid(InvalidBlock::GasLimit { index: 10, .. }) = expected else {
        panic!("{expected}")
    };
    let numbers: Vec<_> = (0..txs.len()).map(|index| usize::from(index > 0)).collect();
    assert_eq!(ground.in_lanes(&numbers).err(), Some(LaneFault::Entangled.into()));
    let all = ground.runs.take().map(RunLog::into_runs).unwrap_or_default();
    let again = all.iter().filter(|tx| tx.runs > 0).count();
    // Two stretches, each with one more than there is gas for; and the one that ends it.
    assert!((2..=2 * 11 + 1).contains(&again), "{again}");
}
