//! Blocks that are one chain: what has run of them is kept, and the rest runs above it.

use super::{listening::drawn, payments::at_price, *};
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
            assert!((1..=40).contains(&kept), "{fork} on {threads}: {kept}");
            // The next one is known to be a chain: no more has run than what the caller began.
            let next = ground.execute(Mode::Auto, &ground.state).expect("valid");
            let declined = next.report.given_up.expect("lanes left it");
            assert_eq!(declined.is_kept, declined.txs > 0, "{fork} on {threads}");
        }
    }
}

#[test]
fn only_a_sequential_run_says_that_the_rest_of_a_chain_is_invalid() {
    for last in [pay(ALICE, 99, PAYEE, 5), pay(POOR, 0, PAYEE, 5)] {
        let ground = ground(Fork::London, 40, 2, last);
        let expected = ground.sequential().expect_err("invalid");
        assert!(matches!(expected, BlockError::Invalid(_)));
        let went_on = ground.begun_with(9, &ground.state).map(|run| run.outcome);
        assert_eq!(went_on, Err(expected.clone().into()), "no verdict, and it runs anew");
        assert_eq!(ground.execute(Mode::Auto, &ground.state), Err(expected));
    }
}

#[test]
fn the_first_of_a_chain_are_admitted_by_their_gas_as_well() {
    let counts = |gas_limit, nonce| with_gas(gas_limit, ALICE, nonce, COUNTER, 0, &[1]);
    // All of the block's gas, of which the first one has used some.
    let ground =
        Ground::new(Fork::London, &[counts(100_000, 0), counts(30_000_000, 1), counts(100_000, 2)]);
    let expected = ground.sequential().expect_err("it has no room for the second one");
    assert!(matches!(expected, BlockError::Invalid(InvalidBlock::GasLimit { index: 1, .. })));
    for count in 1..=3 {
        let went_on = ground.begun_with(count, &ground.state).map(|run| run.outcome);
        assert_eq!(went_on, Err(expected.clone().into()), "{count}");
    }
}

#[test]
fn a_state_that_does_not_answer_the_rest_of_a_chain_is_no_verdict() {
    let ground = ground(Fork::London, 40, 2, pay(ALICE, 20, STRANGER, 5));
    let failing = || troubled(&ground.state, &[STRANGER], Trouble::FailsOnce);
    let went_on = ground.begun_with(9, &failing()).map(|run| run.outcome);
    assert!(matches!(went_on, Err(FallbackCause::Block(BlockError::State(_)))), "{went_on:?}");
    // Whoever comes upon it.
    let ran = ground.execute(Mode::Auto, &failing()).expect("it fails once");
    assert_eq!(Ok(ran.outcome), ground.sequential());
}

impl Ground {
    /// Runs so many of the block's first transactions in one lane, and what is left above them if
    /// that can be; the lanes are given up if not.
    pub(super) fn begun_with(
        &self,
        count: usize,
        view: &dyn StateView,
    ) -> Result<LaneRun, FallbackCause> {
        self.begun_in(Scope::Recorded, count, view)
    }

    fn begun_in(
        &self,
        scope: Scope,
        count: usize,
        view: &dyn StateView,
    ) -> Result<LaneRun, FallbackCause> {
        let (codes, opening) = match scope {
            Scope::Transactions => (CodeCache::new(), StateDiff::default()),
            Scope::Block | Scope::Recorded => self.opening()?,
        };
        let opened = Stack::new([&opening], view);
        let mut published = Published::default();
        published.open();
        let shared = self.shared(&codes, &opened, &published);
        let mut lane = Running::new(&shared, 0);
        for index in 0..count {
            lane.run(&shared, None, index)?;
        }
        let cause = FallbackCause::from(LaneFault::OneChain);
        let begun = lane.stop(&shared, Some(cause.clone())).ok_or_else(|| cause.clone())?;
        let (txs, time) = (begun.tx_count(), Duration::ZERO);
        let outcome = begun.go_on(&shared, scope, &opening)?;
        let given_up = Some(GivenUp { cause, txs, is_kept: true, time });
        Ok(LaneRun { outcome, stats: Stats::default(), given_up })
    }
}

#[test]
fn wherever_a_random_block_is_stopped_the_rest_runs_above_what_was_begun() {
    let (mut kept, mut dropped) = (0, 0);
    for seed in 1..=300_u64 {
        let (ground, _) = drawn(seed);
        for scope in [Scope::Recorded, Scope::Transactions] {
            let Ground { executor, block, rules, state, .. } = &ground;
            let expected = executor.execute(Mode::Seq, block, rules, state, scope);
            let expected = expected.map(|execution| execution.outcome);
            for count in 1..=block.txs.len() {
                match ground.begun_in(scope, count, state) {
                    Ok(LaneRun { outcome, .. }) => {
                        assert_eq!(Ok(outcome), expected, "seed {seed}: {count}, {scope:?}");
                        kept += 1;
                    }
                    Err(FallbackCause::Lanes(LaneFault::OneChain)) => dropped += 1,
                    Err(cause) => panic!("seed {seed}: {count}, {scope:?}: {cause}"),
                }
            }
        }
    }
    assert!(kept > 1_000 && dropped > 100, "{kept} were kept, {dropped} were not");
}

#[test]
fn a_fee_recipient_that_is_paid_nothing_ends_if_it_is_empty() {
    for fork in [Fork::London, Fork::Prague] {
        // The base fee is 7. What is paid first decides whether an empty one ends with its storage.
        let cases = [
            (None, [7, 7]),
            (Some(0), [7, 7]),
            (Some(1), [7, 7]),
            (None, [8, 8]),
            (Some(0), [8, 8]),
            (Some(0), [7, 8]),
            (Some(0), [8, 7]),
        ];
        for (balance, price) in cases {
            let price_of = |nonce: u64| price[nonce as usize % 2];
            let called = |nonce| at_price(call(ALICE, nonce, COUNTER, 0), price_of(nonce));
            let txs: Vec<_> = (0..6).map(called).collect();
            let mut ground = Ground::new(fork, &txs);
            ground.state.accounts.remove(&AUTHOR);
            if let Some(balance) = balance {
                put(&mut ground.state, AUTHOR, balance, &[], &[(1, 1)]);
            }
            let expected = ground.sequential();
            for count in 1..=txs.len() {
                let went_on = ground.begun_with(count, &ground.state).map(|run| run.outcome);
                let told = format!("{fork}, {balance:?} at {price:?}: {count} were begun");
                assert_eq!(went_on, expected.clone().map_err(FallbackCause::from), "{told}");
            }
        }
    }
}

/// Each stores at a slot of its own, so that they are no chain.
#[test]
fn what_a_block_begins_with_is_no_reason_to_run_it_one_after_the_other() {
    let sender = |number: u64| [ALICE, BOB][number as usize % 2];
    let txs: Vec<_> =
        (0..60).map(|number| store(sender(number), number / 2, 100 + number, 7)).collect();
    for threads in [2, 3, 8] {
        let ground = Ground::with_threads(Fork::Cancun, &txs, threads);
        assert!(First::of(&ground.block.txs).is_any());
        for _ in 0..20 {
            ground.executor.forget();
            let Execution { outcome, report } =
                ground.execute(Mode::Auto, &ground.state).expect("valid");
            assert_eq!(Ok(outcome), ground.sequential(), "on {threads}");
            assert_eq!((report.way, report.given_up), (Way::Lanes, None), "on {threads}");
        }
    }
}
