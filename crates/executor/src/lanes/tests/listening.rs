//! Lanes that hear of one another: what they take over, and that nothing but time depends on it.
//! The test says in which order in time the transactions run.

use super::{taught::Random, *};

impl Ground {
    /// Runs the block in these lanes, which listen, in this order, to the sequential outcome.
    fn listening(&self, numbers: &[usize], order: &[usize]) -> Stats {
        self.listening_to(numbers, order, WRITES)
    }

    /// As [`Ground::listening`], where each lane publishes so many slots at most.
    fn listening_to(&self, numbers: &[usize], order: &[usize], writes: usize) -> Stats {
        let mut published = Published::default();
        published.open();
        published.limit(writes);
        let ran = self.in_lanes_by_turns(numbers, order, &published, &mut Log::default());
        let LaneRun { outcome, stats } = match ran {
            Ok(run) => run,
            Err(cause) => panic!("{numbers:?} by {order:?}: {cause}"),
        };
        assert_eq!(Ok(outcome), self.sequential(), "{numbers:?} by {order:?}");
        stats
    }

    /// How many ran again, and how often something was heard.
    fn heard(&self, numbers: &[usize], order: &[usize]) -> (usize, usize) {
        let Stats { rerun_txs, heard_slots, .. } = self.listening(numbers, order);
        (rerun_txs, heard_slots)
    }
}

/// More than any block here changes.
const WRITES: usize = 1_000;

/// As the block has them.
fn in_order(txs: usize) -> Vec<usize> {
    (0..txs).collect()
}

#[test]
fn what_ran_before_in_another_lane_is_seen() {
    for fork in FORKS {
        // Nobody has looked at the slot yet.
        let ground = Ground::new(fork, &[store(ALICE, 0, 5, 1), look(BOB, 0, 5)]);
        assert_eq!(ground.heard(&[0, 1], &[0, 1]), (0, 1), "{fork}");
        assert_eq!(ground.reruns(&[0, 1]), 1, "{fork}: who does not listen");
        // It was looked at before.
        let txs = [look(BOB, 0, 5), store(ALICE, 0, 5, 1), look(BOB, 1, 5)];
        let ground = Ground::new(fork, &txs);
        assert_eq!(ground.heard(&[1, 0, 1], &[0, 1, 2]), (0, 1), "{fork}");
        // It is written by turns.
        let count = |sender, nonce| call(sender, nonce, COUNTER, 0);
        let txs = [count(ALICE, 0), count(BOB, 0), count(ALICE, 1), count(BOB, 1)];
        let ground = Ground::new(fork, &txs);
        assert_eq!(ground.heard(&[0, 1, 0, 1], &in_order(4)), (0, 3), "{fork}");
    }
}

#[test]
fn who_ran_too_early_runs_again() {
    let ground = Ground::new(Fork::Istanbul, &[store(ALICE, 0, 5, 1), look(BOB, 0, 5)]);
    assert_eq!(ground.heard(&[0, 1], &[1, 0]), (1, 0));
}

#[test]
fn what_is_later_in_the_block_waits_for_its_turn() {
    let txs = [look(BOB, 0, 5), store(ALICE, 0, 5, 1), look(BOB, 1, 5)];
    let ground = Ground::new(Fork::Istanbul, &txs);
    assert_eq!(ground.heard(&[1, 0, 0], &[1, 2, 0]), (0, 0));
    assert_eq!(ground.heard(&[1, 0, 1], &[1, 0, 2]), (0, 1));
    // The slot was not looked at before; what the other lane has said was gone through.
    let txs = [look(BOB, 0, 6), store(ALICE, 0, 5, 1), look(BOB, 1, 5)];
    let ground = Ground::new(Fork::Istanbul, &txs);
    assert_eq!(ground.heard(&[1, 0, 1], &[1, 0, 2]), (0, 1));
}

#[test]
fn the_latest_before_a_transaction_is_what_it_sees() {
    let looks = look(ALICE, 1, 5);
    let txs = [store(ALICE, 0, 5, 1), store(BOB, 0, 5, 2), looks];
    let ground = Ground::new(Fork::Istanbul, &txs);
    assert_eq!(ground.heard(&[0, 1, 2], &[0, 1, 2]), (0, 2));
    // The second one has not seen the first one.
    assert_eq!(ground.heard(&[0, 1, 2], &[1, 0, 2]), (1, 1));
    // So it is with what a lane has written itself.
    let txs = [store(ALICE, 0, 5, 1), store(BOB, 0, 5, 2), look(BOB, 1, 5)];
    let ground = Ground::new(Fork::Istanbul, &txs);
    assert_eq!(ground.heard(&[0, 1, 1], &[1, 0, 2]), (1, 0));
}

/// What was heard is what a run has left that does not hold.
#[test]
fn who_heard_of_a_run_that_does_not_hold_runs_again() {
    let count = |sender, nonce| call(sender, nonce, COUNTER, 0);
    let txs = [count(ALICE, 0), count(BOB, 0), count(BOB, 1)];
    for fork in FORKS {
        let ground = Ground::new(fork, &txs);
        assert_eq!(ground.heard(&[0, 1, 2], &[1, 2, 0]), (2, 1), "{fork}");
    }
    // The second one leaves what it had left in its lane: only it runs again.
    let txs = [store(ALICE, 0, 5, 1), store(BOB, 0, 5, 2), look(BOB, 1, 5)];
    let ground = Ground::new(Fork::Istanbul, &txs);
    assert_eq!(ground.heard(&[0, 1, 2], &[1, 2, 0]), (1, 1));
}

#[test]
fn a_log_that_is_full_says_no_more() {
    let txs = [store(ALICE, 0, 5, 1), store(ALICE, 1, 6, 1), look(BOB, 0, 6), look(BOB, 1, 5)];
    let ground = Ground::new(Fork::Istanbul, &txs);
    let counts = |writes| {
        let Stats { rerun_txs, heard_slots, .. } =
            ground.listening_to(&[0, 0, 1, 1], &in_order(4), writes);
        (rerun_txs, heard_slots)
    };
    assert_eq!([0, 1, 2].map(counts), [(2, 0), (1, 1), (0, 2)]);
}

/// Neither lane's diff tells of the slot as it was before the block.
#[test]
fn a_slot_that_was_heard_and_changed_back_is_as_it_was() {
    let txs = [look(BOB, 0, 5), store(ALICE, 0, 5, 1), store(BOB, 1, 5, 9), look(ALICE, 1, 5)];
    for fork in FORKS {
        let ground = Ground::new(fork, &txs);
        let outcome = ground.sequential().expect("valid");
        assert!(outcome.diff.accounts.iter().all(|account| account.address != KEEPER));
        assert_eq!(ground.heard(&[1, 0, 1, 0], &in_order(4)), (0, 2), "{fork}");
    }
    let ground = Ground::new(Fork::Istanbul, &txs);
    for split in splits(4, 3) {
        for order in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 0, 3, 2], [2, 0, 3, 1]] {
            ground.listening(&split, &upward(&split, &order));
        }
    }
}

/// The lanes by turns as in an order, each with its own transactions in that of the block.
fn upward(numbers: &[usize], order: &[usize]) -> Vec<usize> {
    let lanes = numbers.iter().max().map_or(0, |last| last + 1);
    let of = |lane: usize| (0..numbers.len()).filter(move |index| numbers[*index] == lane);
    let mut lanes: Vec<_> = (0..lanes).map(of).collect();
    order.iter().map(|index| lanes[numbers[*index]].next().expect("one for each")).collect()
}

#[test]
fn in_block_order_no_slot_makes_anybody_run_again() {
    let txs = [
        call(ALICE, 0, COUNTER, 0),
        store(BOB, 0, 5, 1),
        call(ALICE, 1, COUNTS_TOO[0], 0),
        look(ALICE, 2, 5),
        store(BOB, 1, 5, 9),
        call(BOB, 2, COUNTER, 0),
    ];
    let ground = Ground::new(Fork::Shanghai, &txs);
    for split in splits(6, 3) {
        let (reruns, heard) = ground.heard(&split, &in_order(6));
        assert_eq!(reruns, 0, "{split:?}");
        assert!(heard > 0 || ground.reruns(&split) == 0, "{split:?}");
    }
}

#[test]
fn who_has_heard_of_the_others_is_not_entangled_with_them() {
    let nonces = (0..20).flat_map(|nonce| [(ALICE, nonce), (BOB, nonce)]);
    let txs: Vec<_> = nonces.map(|(sender, nonce)| call(sender, nonce, COUNTER, 0)).collect();
    let ground = Ground::new(Fork::Istanbul, &txs);
    let turns: Vec<_> = (0..txs.len()).map(|index| index % 2).collect();
    assert_eq!(ground.in_lanes(&turns).err(), Some(LaneFault::Entangled.into()));
    assert_eq!(ground.heard(&turns, &in_order(txs.len())), (0, txs.len() - 1));
}

#[test]
fn contracts_that_come_and_go_are_those_of_the_sequential_run() {
    let txs = [
        pay(ALICE, 0, MORTAL, 0),
        store(BOB, 0, 5, 1),
        call(ALICE, 1, FACTORY, 0),
        pay(BOB, 1, child(), 2),
        call(BOB, 2, FACTORY, 0),
        look(ALICE, 2, 5),
    ];
    for fork in [Fork::Istanbul, Fork::Shanghai, Fork::Cancun] {
        let ground = Ground::new(fork, &txs);
        for split in splits(6, 2) {
            for order in [[0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0], [4, 1, 0, 5, 2, 3]] {
                ground.listening(&split, &upward(&split, &order));
            }
        }
    }
}

/// A contract that keeps slots, creates itself again, and ends: CREATE2 at the same address, each
/// time with a count that begins anew.
#[test]
fn slots_of_a_contract_that_is_created_anew_begin_as_zero_whatever_was_heard() {
    // Called with data it counts at slot 0, without it ends itself.
    let runtime: [u8; 17] =
        [0x36, 0x60, 6, 0x57, 0x33, 0xff, 0x5b, 0x60, 0, 0x54, 0x60, 1, 0x01, 0x60, 0, 0x55, 0x00];
    // MSTORE(0, runtime), RETURN(15, 17)
    let init = [&[0x70][..], &runtime[..], &[0x60, 0, 0x52, 0x60, 17, 0x60, 15, 0xf3][..]].concat();
    assert_eq!(init.len(), 26);
    // MSTORE(0, init), CREATE2(0, 6, 26, 0)
    let creates = [&[0x79][..], &init[..], &[0x60, 0, 0x52][..]].concat();
    let creates = [&creates[..], &[0x60, 0, 0x60, 26, 0x60, 6, 0x60, 0, 0xf5][..]].concat();
    let created = FACTORY.create2(B256::ZERO, keccak256(&init));
    let txs = [
        call(ALICE, 0, FACTORY, 0),
        call(BOB, 0, created, 0),
        call(ALICE, 1, created, 0),
        pay(BOB, 1, created, 0),
        call(ALICE, 2, FACTORY, 0),
        call(BOB, 2, created, 0),
    ];
    for fork in [Fork::Istanbul, Fork::Shanghai, Fork::Cancun] {
        let mut ground = Ground::new(fork, &txs);
        let code_hash = keccak256(&creates);
        ground.state.codes.insert(code_hash, creates.clone().into());
        let factory = ground.state.accounts.get_mut(&FACTORY).expect("a contract");
        factory.account.code_hash = code_hash;
        let outcome = ground.sequential().expect("valid");
        let mut accounts = outcome.diff.accounts.iter();
        let found = accounts.find(|account| account.address == created).expect("it is there");
        let counts: Vec<_> = found.slots.iter().map(|slot| slot.after).collect();
        // From Cancun on it does not end: it is counted on.
        let expected = if fork < Fork::Cancun { 1 } else { 3 };
        assert_eq!(counts, [U256::from(expected)], "{fork}");
        for split in splits(6, 2) {
            for order in [[0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0], [4, 1, 0, 5, 2, 3]] {
                ground.listening(&split, &upward(&split, &order));
            }
        }
    }
}

impl Random {
    /// A transaction that does anything that slots or contracts depend on.
    fn tx(&mut self, sender: Address, nonce: u64) -> Sent {
        let slot = 5 + self.below(3) as u64;
        match self.below(10) {
            0 | 1 => call(sender, nonce, COUNTER, 0),
            2 => call(sender, nonce, COUNTS_TOO[self.below(2)], 0),
            3 | 4 => look(sender, nonce, slot),
            5 | 6 => store(sender, nonce, slot, [0, 1, 9][self.below(3)]),
            // Where it fails all of its gas is gone, and with much of it the block is given up.
            7 => with_gas(150_000, sender, nonce, FACTORY, 0, &[1]),
            8 => pay(sender, nonce, [child(), MORTAL][self.below(2)], 1),
            _ => transfer(sender, nonce, [PAYEE, AUTHOR, ALICE][self.below(3)], 3),
        }
    }
}

#[test]
fn random_blocks_in_random_lanes_by_random_turns_are_those_of_the_sequential_run() {
    let (mut heard, mut reruns) = (0, 0);
    for seed in 1..=300_u64 {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        // With one more it would be judged whether they are entangled.
        let count = 4 + random.below(12);
        let mut nonces = [0, 0];
        let txs: Vec<_> = (0..count)
            .map(|_| {
                let sender = random.below(2);
                nonces[sender] += 1;
                random.tx([ALICE, BOB][sender], nonces[sender] - 1)
            })
            .collect();
        let fork = FORKS[random.below(FORKS.len())];
        let ground = Ground::with_threads(fork, &txs, 2 + random.below(2));
        for _ in 0..4 {
            let lanes = 2 + random.below(3);
            let numbers: Vec<_> = (0..count).map(|_| random.below(lanes)).collect();
            let mut order = in_order(count);
            // Mostly about as in the block.
            for place in 1..count {
                let from = place - random.below(place.min(4) + 1);
                order.swap(place, from);
            }
            let order = upward(&numbers, &order);
            let stats = ground.listening_to(&numbers, &order, [1, 3, WRITES][random.below(3)]);
            heard += stats.heard_slots;
            reruns += stats.rerun_txs;
        }
    }
    assert!(heard > 100 && reruns > 100, "{heard} heard, {reruns} reruns");
}
