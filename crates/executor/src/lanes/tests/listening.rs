//! Lanes that hear of one another: what they take over, and that nothing but time depends on it.
//! The test says in which order in time the transactions run.

use super::{
    guesses::{FIRST, add, adding, numbered, watch},
    taught::Random,
    *,
};

/// With data stores its first word at slot 0. Without, adds one to that slot, and is reverted with
/// what it found there: v = SLOAD(0), MSTORE(0, v), SSTORE(0, v + 1), REVERT(0, 32).
const REVERTS: &[u8] = &[
    0x36, 0x60, 22, 0x57, 0x60, 0, 0x54, 0x80, 0x60, 0, 0x52, 0x60, 1, 0x01, 0x60, 0, 0x55, 0x60,
    32, 0x60, 0, 0xfd, 0x5b, 0x60, 0, 0x35, 0x60, 0, 0x55, 0x00,
];
/// With data stores its first word at slot 0. Without, clears that slot and changes it back:
/// v = SLOAD(0), SSTORE(0, 0), SSTORE(0, v). What that costs depends on v, and on what the slot was
/// before the transaction (EIP-1283, EIP-2200).
const RESTORES: &[u8] = &[
    0x36, 0x60, 16, 0x57, 0x60, 0, 0x54, 0x60, 0, 0x60, 0, 0x55, 0x60, 0, 0x55, 0x00, 0x5b, 0x60,
    0, 0x35, 0x60, 0, 0x55, 0x00,
];
const REVERTER: Address = Address::repeat_byte(0xe2);
const RESTORER: Address = Address::repeat_byte(0xe3);
/// Calls the one that is reverted, and logs what it has found.
const TRIER: Address = Address::repeat_byte(0xe4);

/// CALL(GAS, reverter, 0, 0, 0, 0, 32), LOG0(0, 32).
fn tries() -> Vec<u8> {
    let head = [0x60, 32, 0x60, 0, 0x60, 0, 0x60, 0, 0x60, 0, 0x73];
    let tail = [0x5a, 0xf1, 0x50, 0x60, 32, 0x60, 0, 0xa0];
    [&head[..], REVERTER.as_slice(), &tail[..]].concat()
}

fn set(sender: Address, nonce: u64, contract: Address, value: u64) -> Sent {
    tx(sender, nonce, contract, 0, &U256::from(value).to_be_bytes::<32>())
}

impl Ground {
    /// With contracts that undo what they do; their slots are 3.
    fn undoing(fork: Fork, txs: &[Sent], threads: usize) -> Self {
        let mut ground = Self::with_threads(fork, txs, threads);
        ground.deploy(REVERTER, REVERTS, &[(0, 3)]);
        ground.deploy(RESTORER, RESTORES, &[(0, 3)]);
        ground.deploy(TRIER, &tries(), &[]);
        ground
    }

    /// Runs the block in these lanes, which listen, in this order, to the sequential outcome.
    fn listening(&self, numbers: &[usize], order: &[usize]) -> Stats {
        self.listening_to(numbers, order, WRITES)
    }

    /// Runs the block in these lanes, which listen, in this order; each publishes so many slots at
    /// most.
    pub(super) fn in_lanes_that_listen(
        &self,
        numbers: &[usize],
        order: &[usize],
        writes: usize,
    ) -> Result<LaneRun, FallbackCause> {
        let mut published = Published::default();
        published.open();
        published.limit(writes);
        self.in_lanes_by_turns(numbers, order, &published, &mut Log::default())
    }

    /// As [`Ground::listening`], where each lane publishes so many slots at most.
    fn listening_to(&self, numbers: &[usize], order: &[usize], writes: usize) -> Stats {
        let LaneRun { outcome, stats, .. } = match self.in_lanes_that_listen(numbers, order, writes)
        {
            Ok(run) => run,
            Err(cause) => panic!("{numbers:?} by {order:?}: {cause}"),
        };
        assert_eq!(Ok(outcome), self.sequential(), "{numbers:?} by {order:?}");
        assert!(stats.runs <= 3 * numbers.len(), "{numbers:?} by {order:?}: {stats:?}");
        stats
    }

    /// Runs the block in all ways to put it into so many lanes, by some turns.
    fn listening_anyhow(&self, txs: usize, lanes: usize) {
        let in_order = in_order(txs);
        let reversed: Vec<_> = in_order.iter().rev().copied().collect();
        let (even, odd): (Vec<usize>, Vec<usize>) =
            in_order.iter().copied().partition(|index| index % 2 == 0);
        let orders = [in_order, reversed, [&odd[..], &even[..]].concat()];
        for split in splits(txs, lanes) {
            for order in &orders {
                self.listening(&split, &upward(&split, order));
            }
        }
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
    Ground::new(Fork::Istanbul, &txs).listening_anyhow(4, 3);
}

/// The frame that came upon the slot leaves nothing behind, and the slot in the journal.
#[test]
fn what_a_reverted_frame_has_heard_is_compared() {
    let txs = [
        set(ALICE, 0, REVERTER, 4),
        pay(BOB, 0, REVERTER, 0),
        set(ALICE, 1, REVERTER, 5),
        call(BOB, 1, TRIER, 0),
    ];
    for fork in FORKS {
        let ground = Ground::undoing(fork, &txs, 2);
        let outcome = ground.sequential().expect("valid");
        let word = |value: u64| Bytes::from(U256::from(value).to_be_bytes::<32>());
        assert_eq!(outcome.results[1].output, word(4), "{fork}");
        assert_eq!(outcome.results[3].logs[0].data.data, word(5), "{fork}");
        assert_eq!(ground.heard(&[0, 1, 0, 1], &in_order(4)), (0, 2), "{fork}");
    }
    Ground::undoing(Fork::Istanbul, &txs, 2).listening_anyhow(4, 3);
}

/// To a transaction what was heard is what the slot was before it, whatever it was before the
/// block, and whether it is in the journal or has to be read.
#[test]
fn what_was_heard_is_the_original_value_by_which_stores_are_paid() {
    let txs = [
        set(ALICE, 0, RESTORER, 0),
        pay(BOB, 0, RESTORER, 0),
        set(BOB, 1, RESTORER, 3),
        pay(ALICE, 1, RESTORER, 0),
        set(BOB, 2, RESTORER, 0),
        set(ALICE, 2, RESTORER, 3),
        pay(BOB, 3, RESTORER, 0),
    ];
    for fork in FORKS.into_iter().chain([Fork::Constantinople, Fork::Petersburg]) {
        let ground = Ground::undoing(fork, &txs, 2);
        let outcome = ground.sequential().expect("valid");
        // To set what was cleared costs more, though the block began with that value.
        assert!(outcome.results[2].gas.used > outcome.results[0].gas.used, "{fork}");
        assert_eq!(ground.heard(&[0, 1, 1, 0, 1, 0, 1], &in_order(7)), (0, 4), "{fork}");
    }
    for fork in [Fork::Constantinople, Fork::London] {
        Ground::undoing(fork, &txs, 2).listening_anyhow(7, 2);
    }
}

/// Whom it pays, and what others see of that, was nobody told of.
#[test]
fn what_a_lane_does_by_what_it_has_heard_is_compared_as_well() {
    let paid = [0x110, 0x1110].map(|sum| numbered(FIRST + sum));
    let txs = [
        add(ALICE, 0, 0x10),
        add(BOB, 0, 0x100),
        watch(BOB, 1, paid),
        add(ALICE, 1, 0x1000),
        watch(ALICE, 2, paid),
    ];
    let ground = adding(&txs);
    let (_, heard) = ground.heard(&[0, 1, 1, 0, 0], &in_order(5));
    assert_eq!(heard, 2);
    ground.listening_anyhow(5, 2);
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
        ground.listening_anyhow(6, 2);
    }
}

/// Called with data it counts at slot 0, without it ends itself.
pub(super) const MORTAL_COUNTS: [u8; 17] =
    [0x36, 0x60, 6, 0x57, 0x33, 0xff, 0x5b, 0x60, 0, 0x54, 0x60, 1, 0x01, 0x60, 0, 0x55, 0x00];

/// A code for the factory, and the contract with [`MORTAL_COUNTS`] that it creates.
pub(super) fn creates_mortal() -> (Vec<u8>, Address) {
    // MSTORE(0, runtime), RETURN(15, 17)
    let tail = [0x60, 0, 0x52, 0x60, 17, 0x60, 15, 0xf3];
    let init = [&[0x70][..], &MORTAL_COUNTS[..], &tail[..]].concat();
    assert_eq!(init.len(), 26);
    // MSTORE(0, init), CREATE2(0, 6, 26, 0)
    let creates = [&[0x79][..], &init[..], &[0x60, 0, 0x52][..]].concat();
    let creates = [&creates[..], &[0x60, 0, 0x60, 26, 0x60, 6, 0x60, 0, 0xf5][..]].concat();
    (creates, FACTORY.create2(B256::ZERO, keccak256(&init)))
}

/// A contract that keeps slots, creates itself again, and ends: CREATE2 at the same address, each
/// time with a count that begins anew.
#[test]
fn slots_of_a_contract_that_is_created_anew_begin_as_zero_whatever_was_heard() {
    let (creates, created) = creates_mortal();
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
        ground.deploy(FACTORY, &creates, &[]);
        let outcome = ground.sequential().expect("valid");
        let mut accounts = outcome.diff.accounts.iter();
        let found = accounts.find(|account| account.address == created).expect("it is there");
        let counts: Vec<_> = found.slots.iter().map(|slot| slot.after).collect();
        // From Cancun on it does not end: it is counted on.
        let expected = if fork < Fork::Cancun { 1 } else { 3 };
        assert_eq!(counts, [U256::from(expected)], "{fork}");
        ground.listening_anyhow(6, 2);
    }
}

/// As above, where a creation is reverted and leaves a slot in the journal, which then takes over
/// what others have written; or where the contract was there before the block, and to the lane that
/// creates it anew still is.
#[test]
fn slots_that_a_reverted_creation_has_left_begin_as_zero_whatever_was_heard() {
    let runtime = MORTAL_COUNTS;
    // Counts, and is reverted where it is paid nothing. MSTORE(0, runtime), RETURN(15, 17)
    let counts: [u8; 9] = [0x60, 0, 0x54, 0x60, 1, 0x01, 0x60, 0, 0x55];
    let checks: [u8; 10] = [0x34, 0x60, 18, 0x57, 0x60, 0, 0x60, 0, 0xfd, 0x5b];
    let returns: [u8; 8] = [0x60, 0, 0x52, 0x60, 17, 0x60, 15, 0xf3];
    let init = [&counts[..], &checks[..], &[0x70][..], &runtime[..], &returns[..]].concat();
    assert_eq!(init.len(), 45);
    // CODECOPY(0, 16, 45), CREATE2(CALLVALUE, 0, 45, 0)
    let creates: [u8; 16] =
        [0x60, 45, 0x60, 16, 0x60, 0, 0x39, 0x60, 0, 0x60, 45, 0x60, 0, 0x34, 0xf5, 0x00];
    let creates = [&creates[..], &init[..]].concat();
    let created = FACTORY.create2(B256::ZERO, keccak256(&init));
    let create = |sender, nonce, value| with_gas(150_000, sender, nonce, FACTORY, value, &[]);
    let txs = [
        create(ALICE, 0, 0),
        create(BOB, 0, 1),
        call(BOB, 1, created, 0),
        pay(BOB, 2, created, 0),
        create(ALICE, 1, 1),
        call(ALICE, 2, created, 0),
        call(BOB, 3, created, 0),
    ];
    for (fork, was_there, expected) in [
        (Fork::Istanbul, false, 3),
        (Fork::Shanghai, true, 3),
        // It does not end.
        (Fork::Cancun, true, 10),
    ] {
        let mut ground = Ground::new(fork, &txs);
        ground.deploy(FACTORY, &creates, &[]);
        if was_there {
            ground.deploy(created, &runtime, &[(0, 7)]);
        }
        let outcome = ground.sequential().expect("valid");
        let mut accounts = outcome.diff.accounts.iter();
        let found = accounts.find(|account| account.address == created).expect("it is there");
        let counts: Vec<_> = found.slots.iter().map(|slot| slot.after).collect();
        assert_eq!(counts, [U256::from(expected)], "{fork}, {was_there}");
        let (_, heard) = ground.heard(&[0, 1, 1, 1, 0, 0, 1], &in_order(7));
        assert!(heard > 0, "{fork}, {was_there}");
        ground.listening_anyhow(7, 2);
    }
}

impl Random {
    /// A transaction that does anything that slots or contracts depend on.
    fn tx(&mut self, sender: Address, nonce: u64) -> Sent {
        let slot = 5 + self.below(3) as u64;
        match self.below(14) {
            0 | 1 => call(sender, nonce, COUNTER, 0),
            2 => call(sender, nonce, COUNTS_TOO[self.below(2)], 0),
            3 | 4 => look(sender, nonce, slot),
            5 | 6 => store(sender, nonce, slot, [0, 1, 9][self.below(3)]),
            // Where it fails all of its gas is gone, and with much of it the block is given up.
            7 => with_gas(150_000, sender, nonce, FACTORY, 0, &[1]),
            8 => pay(sender, nonce, [child(), MORTAL][self.below(2)], 1),
            9 => transfer(sender, nonce, [PAYEE, AUTHOR, ALICE][self.below(3)], 3),
            10 => call(sender, nonce, TRIER, 0),
            11 | 12 => pay(sender, nonce, [REVERTER, RESTORER][self.below(2)], 0),
            _ => set(sender, nonce, [REVERTER, RESTORER][self.below(2)], self.below(3) as u64),
        }
    }
}

/// A way to run a block in lanes.
pub(super) struct Course {
    /// Lane of each transaction.
    pub(super) numbers: Vec<usize>,
    /// Their order in time.
    pub(super) order: Vec<usize>,
    /// Slots that each lane publishes at most.
    pub(super) writes: usize,
}

/// A random block, and random ways to run it.
pub(super) fn drawn(seed: u64) -> (Ground, Vec<Course>) {
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
    let ground = Ground::undoing(fork, &txs, 2 + random.below(2));
    let courses = (0..4).map(|_| {
        let lanes = 2 + random.below(3);
        let numbers: Vec<_> = (0..count).map(|_| random.below(lanes)).collect();
        let mut order = in_order(count);
        // Mostly about as in the block.
        for place in 1..count {
            let from = place - random.below(place.min(4) + 1);
            order.swap(place, from);
        }
        let order = upward(&numbers, &order);
        Course { numbers, order, writes: [1, 3, WRITES][random.below(3)] }
    });
    let courses = courses.collect();
    (ground, courses)
}

#[test]
fn random_blocks_in_random_lanes_by_random_turns_are_those_of_the_sequential_run() {
    let (mut heard, mut reruns) = (0, 0);
    for seed in 1..=300_u64 {
        let (ground, courses) = drawn(seed);
        for Course { numbers, order, writes } in &courses {
            let stats = ground.listening_to(numbers, order, *writes);
            heard += stats.heard_slots;
            reruns += stats.rerun_txs;
        }
    }
    assert!(heard > 100 && reruns > 100, "{heard} heard, {reruns} reruns");
}
