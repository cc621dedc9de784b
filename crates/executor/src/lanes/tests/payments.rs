//! Plain payments, which run in a ledger beside the lane of the EVM: a worker has both, so that
//! what is said to be in one lane here is in two.

use super::{taught::Random, *};
use crate::samples::{AUTHORITY, authorization};
use alloy_consensus::TxEip7702;
use fugue_types::TxStatus;

/// Hands on what it is paid to the one that has nothing.
const DONOR: Address = Address::repeat_byte(0xd4);
/// Creates a contract whose first code ends it: CREATE2(0, 30, 2, 0).
const MAYFLIES: Address = Address::repeat_byte(0xd5);
const HATCHES: &[u8] =
    &[0x61, 0x33, 0xff, 0x60, 0, 0x52, 0x60, 0, 0x60, 2, 0x60, 30, 0x60, 0, 0xf5];
/// Forks that have delegations (EIP-7702).
const DELEGATING: [Fork; 2] = [Fork::Prague, Fork::Osaka];
/// What a payment of these costs its sender beside the amount.
const FEE: u64 = 10 * PAYMENT_GAS;
pub(super) const ETHER: u64 = 1_000_000_000_000_000_000;

/// An account of this number that can pay.
fn payer(number: u16) -> Address {
    Address::from_word(U256::from(0x5000 + u64::from(number)).into())
}

/// The contract that is never there after a transaction.
fn mayfly() -> Address {
    MAYFLIES.create2(B256::ZERO, keccak256(ENDS))
}

/// Lets [`AUTHORITY`] have the code of another account, or none for that of address zero.
pub(super) fn delegate(sender: Address, nonce: u64, target: Address, authority_nonce: u64) -> Sent {
    let tx = TxEip7702 {
        chain_id: 1,
        nonce,
        gas_limit: 500_000,
        max_fee_per_gas: 10,
        max_priority_fee_per_gas: 1,
        to: PAYEE,
        authorization_list: vec![authorization(target, authority_nonce)],
        ..TxEip7702::default()
    };
    let signature = format!("{:0>64}{:0>64}1b", "1", "1").parse().expect("a signature");
    (sender, Transaction::Eip7702(Signed::new_unhashed(tx, signature)))
}

/// The same at another price of gas.
pub(super) fn at_price((sender, tx): Sent, gas_price: u128) -> Sent {
    let Transaction::Legacy(signed) = tx else { panic!("no legacy transaction") };
    let (tx, signature, _) = signed.into_parts();
    (sender, Transaction::Legacy(Signed::new_unhashed(TxLegacy { gas_price, ..tx }, signature)))
}

/// Which transactions have succeeded.
fn succeeded(outcome: &BlockOutcome) -> Vec<bool> {
    outcome.results.iter().map(|result| result.status == TxStatus::Success).collect()
}

/// What an account has after the block; `None` if it is not there, or has not changed.
fn left(outcome: &BlockOutcome, address: Address) -> Option<U256> {
    let change = outcome.diff.accounts.iter().find(|change| change.address == address)?;
    change.after.map(|account| account.balance)
}

impl Ground {
    /// As [`Ground::with_threads`], with accounts that can pay, and the one that hands on.
    fn paying(fork: Fork, txs: &[Sent], threads: usize, payers: u16) -> Self {
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
    const PAYERS: u16 = 40;
    // Each one pays its neighbour three times: those of one sender come to be in several lanes.
    let nonces = (0..3).flat_map(|nonce| (0..PAYERS).map(move |number| (nonce, number)));
    let txs: Vec<_> = nonces
        .map(|(nonce, number)| transfer(payer(number), nonce, payer((number + 1) % PAYERS), 7))
        .collect();
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
        assert_eq!(succeeded(&outcome), [true, true, false, true], "{fork}");
        for split in splits(4, 2) {
            let (reruns, light) = ground.light(&split);
            assert_eq!(light, 3, "{fork}, {split:?}");
            // The creation has not seen that its address was paid before.
            assert!((2..4).contains(&reruns), "{fork}, {split:?}: {reruns}");
        }
    }
}

/// Its code runs out of gas, or counts. The authorization is cheaper if somebody has paid before.
#[test]
fn a_recipient_that_is_delegated_within_the_block_is_no_plain_one_afterwards() {
    let txs = [
        transfer(BOB, 0, AUTHORITY, 1),
        delegate(ALICE, 0, COUNTER, 0),
        transfer(BOB, 1, AUTHORITY, 2),
        pay(BOB, 2, AUTHORITY, 3),
        transfer(BOB, 3, PAYEE, 4),
    ];
    for (fork, is_there) in DELEGATING.into_iter().flat_map(|fork| [(fork, false), (fork, true)]) {
        let mut ground = Ground::new(fork, &txs);
        if is_there {
            put(&mut ground.state, AUTHORITY, 1, &[], &[]);
        }
        let outcome = ground.sequential().expect("valid");
        assert_eq!(succeeded(&outcome), [true, true, false, true, true], "{fork}");
        assert!(outcome.results[3].gas.used > PAYMENT_GAS, "{fork}: it counts");
        for split in splits(5, 2) {
            let (reruns, light) = ground.light(&split);
            assert_eq!(light, 4, "{fork}, {is_there}, {split:?}");
            let least = 2 + usize::from(!is_there);
            assert!(reruns >= least, "{fork}, {is_there}, {split:?}: {reruns}");
        }
    }
}

/// An authorization counts up the nonce of its authority, whoever sends it.
#[test]
fn a_sender_that_is_delegated_within_the_block_goes_on_with_the_nonce_after_that() {
    let goes_on = [
        transfer(AUTHORITY, 0, PAYEE, 1),
        // It does not hold in its lane, where nothing was sent before it.
        delegate(ALICE, 0, COUNTER, 1),
        transfer(AUTHORITY, 2, PAYEE, 2),
        transfer(AUTHORITY, 3, BOB, 3),
        transfer(BOB, 0, PAYEE, 4),
    ];
    let begins = [delegate(ALICE, 0, COUNTER, 0), transfer(AUTHORITY, 1, PAYEE, 1)];
    let holds_nowhere = [delegate(ALICE, 0, COUNTER, 7), transfer(AUTHORITY, 1, PAYEE, 1)];
    for fork in DELEGATING {
        let rich = |txs: &[Sent]| {
            let mut ground = Ground::new(fork, txs);
            put(&mut ground.state, AUTHORITY, ETHER, &[], &[]);
            ground
        };
        let ground = rich(&goes_on);
        for split in splits(5, 2) {
            let (reruns, light) = ground.light(&split);
            assert_eq!(light, 4, "{fork}, {split:?}");
            assert!(reruns >= 3, "{fork}, {split:?}: {reruns}");
        }
        let ground = rich(&begins);
        for split in splits(2, 2) {
            assert_eq!(ground.light(&split), (1, 1), "{fork}, {split:?}");
        }
        let ground = rich(&holds_nowhere);
        let expected = ground.sequential().expect_err("invalid");
        assert!(matches!(expected, BlockError::Invalid(_)), "{expected}");
        for split in splits(2, 2) {
            let cause = ground.in_lanes(&split).err();
            assert_eq!(cause, Some(expected.clone().into()), "{fork}, {split:?}");
        }
        assert_eq!(ground.execute(Mode::Lanes, &ground.state), Err(expected), "{fork}");
    }
}

/// Before and after the block it is a plain recipient, and in between it is none.
#[test]
fn a_delegation_that_is_set_and_cleared_is_seen_in_between() {
    let txs = [
        transfer(BOB, 0, AUTHORITY, 1),
        delegate(ALICE, 0, COUNTER, 0),
        transfer(BOB, 1, AUTHORITY, 2),
        delegate(ALICE, 1, Address::ZERO, 1),
        transfer(BOB, 2, AUTHORITY, 3),
    ];
    for (fork, is_there) in DELEGATING.into_iter().flat_map(|fork| [(fork, false), (fork, true)]) {
        let mut ground = Ground::new(fork, &txs);
        if is_there {
            put(&mut ground.state, AUTHORITY, 1, &[], &[]);
        }
        let outcome = ground.sequential().expect("valid");
        assert_eq!(succeeded(&outcome), [true, true, false, true, true], "{fork}");
        let balance = U256::from(4 + u64::from(is_there));
        assert_eq!(left(&outcome, AUTHORITY), Some(balance), "{fork}");
        for split in splits(5, 2) {
            let (reruns, light) = ground.light(&split);
            assert_eq!(light, 3, "{fork}, {is_there}, {split:?}");
            // Alone in a lane, the second authorization does not hold.
            let least = 1 + usize::from(split[1] != split[3]);
            assert!(reruns >= least, "{fork}, {is_there}, {split:?}: {reruns}");
        }
    }
}

/// What it was paid goes to its creator.
#[test]
fn a_recipient_that_comes_and_goes_in_one_transaction_is_paid_around_it() {
    let txs = [
        transfer(BOB, 0, mayfly(), 5),
        call(ALICE, 0, MAYFLIES, 0),
        transfer(BOB, 1, mayfly(), 6),
        call(ALICE, 1, MAYFLIES, 0),
        transfer(BOB, 2, mayfly(), 7),
    ];
    let forks = [Fork::Istanbul, Fork::Shanghai, Fork::Cancun, Fork::Prague];
    for (fork, before) in forks.into_iter().flat_map(|fork| [(fork, 0), (fork, 3)]) {
        let mut ground = Ground::new(fork, &txs);
        ground.deploy(MAYFLIES, HATCHES, &[]);
        if before > 0 {
            put(&mut ground.state, mayfly(), before, &[], &[]);
        }
        let outcome = ground.sequential().expect("valid");
        let balances = [mayfly(), MAYFLIES].map(|address| left(&outcome, address));
        assert_eq!(balances, [7, 11 + before].map(|wei| Some(U256::from(wei))), "{fork}");
        for split in splits(5, 2) {
            let (reruns, light) = ground.light(&split);
            assert_eq!(light, 3, "{fork}, {before}, {split:?}");
            // Neither call has seen what was paid.
            assert!(reruns >= 2, "{fork}, {before}, {split:?}: {reruns}");
        }
    }
}

/// It is there from the first tip on, or from the first payment that is not zero.
#[test]
fn a_fee_recipient_that_is_not_there_is_paid_zero_and_more() {
    let zero =
        [transfer(ALICE, 0, AUTHOR, 0), transfer(BOB, 0, AUTHOR, 0), transfer(BOB, 1, AUTHOR, 0)];
    let more = [
        transfer(ALICE, 0, AUTHOR, 0),
        transfer(BOB, 0, AUTHOR, 0),
        transfer(ALICE, 1, AUTHOR, 4),
        transfer(BOB, 1, AUTHOR, 0),
        transfer(BOB, 2, AUTHOR, 5),
    ];
    for fork in FORKS.into_iter().chain([Fork::Osaka]) {
        let base_fee: u128 = if fork >= Fork::London { 7 } else { 0 };
        for tip in [0_u128, 3] {
            let at = |txs: &[Sent]| {
                let priced = txs.iter().map(|sent| at_price(sent.clone(), base_fee + tip));
                let mut ground = Ground::new(fork, &priced.collect::<Vec<_>>());
                ground.state.accounts.remove(&AUTHOR);
                ground
            };
            let check = |outcome: &BlockOutcome, paid: u64| {
                let count = outcome.results.len() as u64;
                let has = U256::from(paid + count * PAYMENT_GAS * tip as u64);
                let expected = (!has.is_zero()).then_some(has);
                // Before, there is a reward for the block.
                if fork >= Fork::Shanghai {
                    assert_eq!(left(outcome, AUTHOR), expected, "{fork}, {tip}");
                }
            };
            let ground = at(&zero);
            check(&ground.sequential().expect("valid"), 0);
            // With tips all but the first one find it there.
            let expected = if tip > 0 { 2 } else { 0 };
            for split in splits(3, 2) {
                assert_eq!(ground.light(&split), (expected, 3), "{fork}, {tip}, {split:?}");
            }
            let ground = at(&more);
            check(&ground.sequential().expect("valid"), 9);
            for split in splits(5, 2) {
                // Those after the third one have seen it there in the lane of that one alone.
                let later = split[3..].iter().filter(|lane| **lane != split[2]).count();
                let case = format!("{fork}, {tip}, {split:?}");
                assert_eq!(ground.light(&split), (expected + later, 5), "{case}");
            }
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

/// Each has nothing but what the one before has paid it.
#[test]
fn a_chain_of_payments_is_light_and_none_runs_again() {
    const LENGTH: u16 = PAYMENTS_MIN as u16;
    let value = |left: u16| u64::from(left) * 2 * FEE;
    let mut txs = vec![transfer(ALICE, 0, payer(0), value(LENGTH))];
    txs.extend(
        (1..LENGTH)
            .map(|number| transfer(payer(number - 1), 0, payer(number), value(LENGTH - number))),
    );
    for threads in [1, 2, 3, 8] {
        let ground = Ground::paying(Fork::Shanghai, &txs, threads, 0);
        for mode in [Mode::Lanes, Mode::Auto] {
            let Execution { outcome, report } = ground.execute(mode, &ground.state).expect("valid");
            assert_eq!(Ok(outcome), ground.sequential(), "{mode} on {threads}");
            if mode == Mode::Lanes || threads > 1 {
                let Stats { light_txs, rerun_txs, .. } = report.stats;
                assert_eq!((light_txs, rerun_txs), (txs.len(), 0), "{mode} on {threads}");
            }
        }
    }
}

/// Their gas limits tell nothing of what they use: most that have more pay an account without code.
#[test]
fn payments_with_gas_to_spare_are_not_much_to_do() {
    let payments = (0..30).map(|nonce| with_gas(300_000, ALICE, nonce, PAYEE, 1, &[]));
    for (gas_limit, way) in [
        (300_000, Way::Sequential(Some(WhySequential::LittleToDo))),
        (PAYMENT_GAS + CALLS_GAS_MIN / CALLS_MIN as u64, Way::Lanes),
    ] {
        let calls = (0..CALLS_MIN as u64)
            .map(|nonce| with_gas(gas_limit, BOB, nonce, HANDS_ON[0], 0, &[1]));
        let ground =
            Ground::new(Fork::Shanghai, &payments.clone().chain(calls).collect::<Vec<_>>());
        let Execution { outcome, report } =
            ground.execute(Mode::Auto, &ground.state).expect("valid");
        assert_eq!(Ok(outcome), ground.sequential(), "{gas_limit}");
        assert_eq!(report.way, way, "{gas_limit}");
    }
}

/// To be paid nothing ends it, and what it had in its storage: who pays next brings another one
/// into being.
#[test]
fn a_fee_recipient_that_is_there_and_empty_is_paid_in_order() {
    // The base fee is 7.
    for (prices, wiped) in [([7, 8], true), ([8, 7], false)] {
        let [first, second] = prices;
        let paid = |sender, price| at_price(pay(sender, 0, PAYEE, 1), price);
        let txs = [paid(ALICE, first), paid(BOB, second)];
        let mut ground = Ground::new(Fork::London, &txs);
        put(&mut ground.state, AUTHOR, 0, &[], &[(1, 1)]);
        let expected = ground.sequential();
        let changes = expected.as_ref().map(|outcome| &outcome.diff.accounts);
        let mut changes = changes.expect("valid").iter();
        let author = changes.find(|change| change.address == AUTHOR).expect("it is paid");
        assert_eq!(author.wiped, wiped, "{prices:?}");
        for mode in [Mode::Occ, Mode::Lanes] {
            let Execution { outcome, report } = ground.execute(mode, &ground.state).expect("valid");
            assert_eq!(Ok(outcome), expected, "{mode}, {prices:?}");
            let cause = report.fallback.map(|fallback| fallback.cause);
            let refused = (mode == Mode::Lanes).then(|| LaneFault::Empty(AUTHOR).into());
            assert_eq!(cause, refused, "{mode}, {prices:?}");
        }
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
    const PAYERS: u16 = 6;
    const CALLERS: usize = 2;
    let (mut light, mut reruns) = (0, 0);
    for seed in 1..=60_u64 {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut nonces = [0; PAYERS as usize];
        let txs: Vec<_> = (0..10 + random.below(30))
            .map(|_| {
                let number = random.below(nonces.len());
                let (sender, nonce) = (payer(number as u16), nonces[number]);
                nonces[number] += 1;
                let somebody = [payer(random.below(nonces.len()) as u16), PAYEE, STRANGER, child()];
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
                let Ok(LaneRun { outcome, stats, .. }) = ground.in_lanes(&numbers) else {
                    panic!("seed {seed}: {numbers:?}")
                };
                assert_eq!(Ok(outcome), expected, "seed {seed}: {numbers:?}");
                reruns += stats.rerun_txs;
            }
        }
    }
    assert!(light > 500 && reruns > 10, "{light} light ones, {reruns} reruns");
}
