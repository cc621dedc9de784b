//! Blocks that are one chain: what has run of them is kept, and the rest runs above it.

use super::{
    listening::{Course, drawn},
    taught::Random,
    *,
};
use crate::Report;

/// Adds one to each of many slots, and stores what the fee recipient has.
const BUSY: Address = Address::repeat_byte(0xd6);
const SLOTS: u8 = 20;

fn counts_much() -> Vec<u8> {
    let count = |slot| [0x60, slot, 0x54, 0x60, 1, 0x01, 0x60, slot, 0x55];
    let of_recipient = [0x41, 0x31, 0x60, SLOTS, 0x55];
    (0..SLOTS).flat_map(count).chain(of_recipient).collect()
}

/// Calls of the busy contract by two senders, and one more transaction.
fn ground(fork: Fork, count: u64, threads: usize, last: Sent) -> Ground {
    let senders = [ALICE, BOB];
    let calls = (0..count).map(|number| call(senders[number as usize % 2], number / 2, BUSY, 0));
    let mut txs: Vec<_> = calls.collect();
    txs.push(last);
    let mut ground = Ground::with_threads(fork, &txs, threads);
    ground.deploy(BUSY, &counts_much(), &[(0, 1)]);
    ground
}

/// How many of its first transactions were kept of a block that is one chain.
fn kept(report: &Report) -> Option<usize> {
    assert_eq!(report.way, Way::Sequential(Some(WhySequential::OneChain)));
    assert_eq!(report.fallback, None);
    let GivenUp { cause, txs, is_kept, time: _ } = report.given_up.as_ref()?;
    assert_eq!(*cause, FallbackCause::from(LaneFault::OneChain));
    is_kept.then_some(*txs)
}

#[test]
fn the_rest_of_a_chain_runs_above_what_has_run_of_it() {
    for fork in [Fork::Byzantium, Fork::Istanbul, Fork::London, Fork::Cancun, Fork::Osaka] {
        for threads in [2, 3, 8] {
            let ground = ground(fork, 40, threads, pay(ALICE, 20, PAYEE, 5));
            let Execution { outcome, report } =
                ground.execute(Mode::Auto, &ground.state).expect("valid");
            assert_eq!(Ok(outcome), ground.sequential(), "{fork} on {threads}");
            let kept = kept(&report).expect("they are kept");
            assert!((1..40).contains(&kept), "{fork} on {threads}: {kept}");
            // The next one is known to be a chain, and is not begun.
            let next = ground.execute(Mode::Auto, &ground.state).expect("valid");
            let declined = next.report.given_up.expect("lanes left it");
            assert_eq!((declined.txs, declined.is_kept), (0, false), "{fork} on {threads}");
        }
    }
}

#[test]
fn only_a_sequential_run_says_that_the_rest_of_a_chain_is_invalid() {
    for last in [pay(ALICE, 99, PAYEE, 5), pay(POOR, 0, PAYEE, 5)] {
        let ground = ground(Fork::London, 40, 2, last);
        let expected = ground.sequential().expect_err("invalid");
        assert_eq!(ground.execute(Mode::Auto, &ground.state), Err(expected));
    }
}

#[test]
fn a_state_that_does_not_answer_the_rest_of_a_chain_is_asked_once_more() {
    let ground = ground(Fork::London, 40, 2, pay(ALICE, 20, STRANGER, 5));
    let mut view = Troubled::new(&[STRANGER], Trouble::FailsOnce);
    view.state = ground.state.clone();
    let Execution { outcome, report } = ground.execute(Mode::Auto, &view).expect("it fails once");
    assert_eq!(Ok(outcome), ground.sequential());
    let cause = report.fallback.map(|fallback| fallback.cause);
    assert!(matches!(cause, Some(FallbackCause::Block(BlockError::State(_)))), "{cause:?}");
}

/// Lanes are stopped wherever they are.
#[test]
fn whatever_has_run_of_a_block_the_rest_runs_above_its_first_transactions() {
    let (mut kept, mut dropped) = (0, 0);
    for seed in 1..=300_u64 {
        let (ground, courses) = drawn(seed);
        let expected = ground.sequential();
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        for Course { numbers, order, writes } in &courses {
            let ran = &order[..1 + random.below(order.len() - 1)];
            let LaneRun { outcome, given_up, .. } =
                match ground.in_lanes_that_listen(numbers, ran, *writes) {
                    Ok(run) => run,
                    Err(cause) => panic!("seed {seed}: {numbers:?} by {ran:?}: {cause}"),
                };
            assert_eq!(Ok(outcome), expected, "seed {seed}: {numbers:?} by {ran:?}");
            let count = given_up.map_or(0, |given_up| given_up.txs);
            assert!(count == 0 || (0..count).all(|index| ran.contains(&index)), "{count} {ran:?}");
            kept += usize::from(count > 0);
            dropped += usize::from(count > 0 && count < ran.len());
        }
    }
    assert!(
        kept > 200 && dropped > 20,
        "{kept} were kept, {dropped} without the lanes behind them"
    );
}
