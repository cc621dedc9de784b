//! Plain payments, which run in a ledger beside the lane of the EVM: a worker has both, so that
//! what is said to be in one lane here is in two.

use super::{taught::Random, *};
use fugue_types::TxStatus;

/// Hands on what it is paid to the one that has nothing.
const DONOR: Address = Address::repeat_byte(0xd4);
/// What a payment of these costs its sender beside the amount.
const FEE: u64 = 10 * PAYMENT_GAS;
const ETHER: u64 = 1_000_000_000_000_000_000;

/// An account of this number that can pay.
fn payer(number: u8) -> Address {
    Address::from_word(U256::from(0x5000 + u64::from(number)).into())
}

impl Ground {
    /// As [`Ground::with_threads`], with accounts that can pay, and the one that hands on.
    fn paying(fork: Fork, txs: &[Sent], threads: usize, payers: u8) -> Self {
        let mut ground = Self::with_threads(fork, txs, threads);
        for number in 0..payers {
            put(&mut ground.state, payer(number), ETHER, &[], &[]);
        }
        ground.deploy(DONOR, &hands_on(POOR), &[]);
        ground
    }

    /// How many ran again, and how many were light in the first place.
    fn light(&self, numbers: &[usize]) -> (usize, usize) {
        let Stats { rerun_txs, light_txs, .. } = self.stats(numbers);
        (rerun_txs, light_txs)
    }
}

#[test]
fn a_block_of_payments_is_light_on_any_number_of_threads() {
    const PAYERS: u8 = 40;
    // Each one pays its neighbour three times: those of one sender come to be in several lanes.
    let nonces = (0..3).flat_map(|nonce| (0..PAYERS).map(move |number| (nonce, number)));
    let txs: Vec<_> = nonces
        .map(|(nonce, number)| transfer(payer(number), nonce, payer((number + 1) % PAYERS), 7))
        .collect();
    assert!(txs.len() >= PAYMENTS_MIN);
    for fork in FORKS {
        for threads in [1, 2, 3, 8] {
            let ground = Ground::paying(fork, &txs, threads, PAYERS);
            let Execution { outcome, report } =
                ground.execute(Mode::Lanes, &ground.state).expect("valid");
            let case = format!("{fork} on {threads}");
            assert_eq!(Ok(outcome), ground.sequential(), "{case}");
            assert_eq!((report.way, report.fallback), (Way::Lanes, None), "{case}");
            assert_eq!(report.stats.light_txs, txs.len(), "{case}");
            assert_eq!(report.stats.rerun_txs, 0, "{case}");
        }
    }
}

#[test]
fn bursts_of_one_sender_are_light_in_several_lanes() {
    let nonces = (0..4).flat_map(|nonce| [(ALICE, nonce), (BOB, nonce)]);
    let txs: Vec<_> = nonces.map(|(sender, nonce)| transfer(sender, nonce, PAYEE, 7)).collect();
    let ground = Ground::new(Fork::Shanghai, &txs);
    for split in splits(8, 2) {
        assert_eq!(ground.light(&split), (0, 8), "{split:?}");
    }
}

/// Neither lane of a worker sees what the other one has done: who is in both would run again.
#[test]
fn who_calls_as_well_pays_and_is_paid_in_the_evm() {
    let txs = [
        transfer(ALICE, 0, PAYEE, 5),
        call(ALICE, 1, COUNTER, 0),
        transfer(ALICE, 2, BOB, 6),
        call(BOB, 0, KEEPER, 0),
        transfer(BOB, 1, PAYEE, 7),
        transfer(BOB, 2, ALICE, 8),
    ];
    for fork in FORKS {
        let ground = Ground::new(fork, &txs);
        for split in [[0; 6], [0, 1, 0, 1, 0, 1], [1, 0, 0, 0, 1, 1]] {
            assert_eq!(ground.light(&split), (0, 0), "{fork}, {split:?}");
        }
    }
    let ground = Ground::new(Fork::Istanbul, &txs);
    for split in splits(6, 2) {
        assert_eq!(ground.light(&split), (0, 0), "{split:?}");
    }
}

/// To be paid is another thing for it from then on: its code runs out of gas.
#[test]
fn a_recipient_that_is_given_code_within_the_block_is_no_plain_one_afterwards() {
    let txs = [
        transfer(BOB, 0, child(), 1),
        call(ALICE, 0, FACTORY, 0),
        transfer(BOB, 1, child(), 2),
        transfer(BOB, 2, PAYEE, 3),
    ];
    for fork in [Fork::Istanbul, Fork::Shanghai, Fork::Cancun] {
        let ground = Ground::new(fork, &txs);
        let outcome = ground.sequential().expect("valid");
        let is_paid = |index: usize| outcome.results[index].status == TxStatus::Success;
        assert_eq!([0, 1, 2, 3].map(is_paid), [true, true, false, true], "{fork}");
        for split in splits(4, 2) {
            let (reruns, light) = ground.light(&split);
            assert_eq!(light, 3, "{fork}, {split:?}");
            // The creation has not seen that its address was paid before.
            assert!((2..4).contains(&reruns), "{fork}, {split:?}: {reruns}");
        }
    }
}

/// Pools pay those who mine for them in blocks of their own.
#[test]
fn the_fee_recipient_takes_part_and_gas_is_left_over() {
    let txs = [
        transfer(AUTHOR, 0, PAYEE, 1),
        pay(ALICE, 0, PAYEE, 1),
        pay(AUTHOR, 1, ALICE, 2),
        transfer(ALICE, 1, AUTHOR, 3),
        transfer(BOB, 0, AUTHOR, 4),
        transfer(AUTHOR, 2, BOB, 5),
    ];
    for fork in FORKS {
        let mut ground = Ground::new(fork, &txs);
        put(&mut ground.state, AUTHOR, ETHER, &[], &[]);
        for split in splits(6, 2) {
            assert_eq!(ground.light(&split), (0, 6), "{fork}, {split:?}");
        }
    }
}

#[test]
fn what_is_not_plain_runs_in_the_evm() {
    let cases: [(&str, Sent); 3] = [
        ("to a contract", transfer(ALICE, 0, MORTAL, 1)),
        ("to oneself", transfer(ALICE, 0, ALICE, 1)),
        ("to a precompiled contract", transfer(ALICE, 0, Address::with_last_byte(4), 1)),
    ];
    for (name, sent) in cases {
        let txs = [transfer(BOB, 0, PAYEE, 1), sent, transfer(BOB, 1, PAYEE, 1)];
        for fork in FORKS {
            let mut ground = Ground::new(fork, &txs);
            put(&mut ground.state, AUTHOR, ETHER, &[], &[]);
            for split in splits(3, 2) {
                assert_eq!(ground.light(&split).1, 2, "{name}, {fork}, {split:?}");
            }
        }
    }
}

#[test]
fn who_was_paid_within_the_block_can_pay() {
    let enough = 3 * FEE;
    // In a ledger.
    let txs = [
        transfer(ALICE, 0, POOR, enough),
        transfer(POOR, 0, PAYEE, 1),
        transfer(POOR, 1, PAYEE, 2),
    ];
    let ground = Ground::paying(Fork::Istanbul, &txs, 2, 0);
    for split in splits(3, 3) {
        let (reruns, light) = ground.light(&split);
        // Whoever is not in one lane with the first one is refused there.
        let refused = split.iter().filter(|lane| **lane != split[0]).count();
        assert_eq!(light, 3 - refused, "{split:?}");
        assert!(reruns >= refused, "{split:?}: {reruns}");
    }
    assert_eq!(ground.light(&[0, 0, 0]), (0, 3));
    // By a call, of which the ledger does not know; the EVM beside it does.
    let txs = [call(ALICE, 0, DONOR, enough), transfer(POOR, 0, PAYEE, 1)];
    let ground = Ground::paying(Fork::Istanbul, &txs, 2, 0);
    assert_eq!(ground.light(&[0, 0]), (0, 0));
    assert_eq!(ground.light(&[0, 1]), (1, 0));
    // By both, of which neither is enough.
    let half = FEE / 2 + 1;
    let txs =
        [call(ALICE, 0, DONOR, half), transfer(BOB, 0, POOR, half), transfer(POOR, 0, PAYEE, 1)];
    let ground = Ground::paying(Fork::Istanbul, &txs, 2, 0);
    for split in splits(3, 2) {
        let (reruns, light) = ground.light(&split);
        assert!(reruns > 0 && light == 1, "{split:?}: {reruns}, {light}");
    }
}

/// What is light may still be wrong: a call takes what was there for it.
#[test]
fn who_has_spent_it_elsewhere_makes_the_block_invalid() {
    let spends = ETHER - 500_000 * 10;
    for txs in [
        [call(ALICE, 0, HANDS_ON[0], spends), transfer(ALICE, 1, PAYEE, ETHER / 2)],
        [transfer(ALICE, 0, PAYEE, ETHER / 2), transfer(ALICE, 0, PAYEE, 1)],
        [transfer(ALICE, 0, PAYEE, ETHER / 2), transfer(ALICE, 2, PAYEE, 1)],
    ] {
        let mut ground = Ground::new(Fork::Istanbul, &txs);
        put(&mut ground.state, EMPTY, 1, &[], &[]);
        let expected = ground.sequential().expect_err("invalid");
        assert!(matches!(expected, BlockError::Invalid(_)), "{expected}");
        for split in splits(2, 2) {
            let cause = ground.in_lanes(&split).err();
            assert_eq!(cause, Some(expected.clone().into()), "{split:?}");
        }
        assert_eq!(ground.execute(Mode::Lanes, &ground.state), Err(expected));
    }
}

#[test]
fn random_blocks_of_payments_and_calls_are_those_of_the_sequential_run() {
    const PAYERS: u8 = 6;
    const CALLERS: usize = 2;
    let (mut light, mut reruns) = (0, 0);
    for seed in 1..=60_u64 {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut nonces = [0; PAYERS as usize];
        let txs: Vec<_> = (0..10 + random.below(30))
            .map(|_| {
                let number = random.below(nonces.len());
                let (sender, nonce) = (payer(number as u8), nonces[number]);
                nonces[number] += 1;
                let somebody = [payer(random.below(nonces.len()) as u8), PAYEE, STRANGER, child()];
                let to = somebody[random.below(somebody.len())];
                let kind = random.below(12);
                match if number < CALLERS { kind } else { 3 + kind % 9 } {
                    0 => call(sender, nonce, COUNTER, 0),
                    1 => call(sender, nonce, DONOR, 1),
                    2 => with_gas(150_000, sender, nonce, FACTORY, 0, &[1]),
                    3 => pay(sender, nonce, to, 2),
                    4 => transfer(sender, nonce, [MORTAL, AUTHOR][random.below(2)], 3),
                    value => transfer(sender, nonce, to, value as u64 % 3),
                }
            })
            .collect();
        let fork = FORKS[random.below(FORKS.len())];
        for threads in [1, 2, 3, 8] {
            let ground = Ground::paying(fork, &txs, threads, PAYERS);
            let expected = ground.sequential();
            let Execution { outcome, report } =
                ground.execute(Mode::Lanes, &ground.state).expect("valid");
            assert_eq!(Ok(outcome), expected, "seed {seed} on {threads}");
            light += report.stats.light_txs;
            if threads > 1 && txs.len() < 16 {
                let numbers: Vec<_> = txs.iter().map(|_| random.below(threads)).collect();
                let Ok(LaneRun { outcome, stats }) = ground.in_lanes(&numbers) else {
                    panic!("seed {seed}: {numbers:?}")
                };
                assert_eq!(Ok(outcome), expected, "seed {seed}: {numbers:?}");
                reruns += stats.rerun_txs;
            }
        }
    }
    assert!(light > 500 && reruns > 10, "{light} light ones, {reruns} reruns");
}
