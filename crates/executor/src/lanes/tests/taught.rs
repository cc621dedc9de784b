//! Lanes that follow hints: what they learn, and that nothing but time depends on it.

use super::*;
use crate::{
    Footprint, Location,
    hints::{Calls, Habit, Lesson},
};

fn execute(ground: &Ground, mode: Mode) -> Execution {
    ground.execute(mode, &ground.state).expect("valid")
}

#[test]
fn groups_that_have_disturbed_one_another_are_known_afterwards() {
    let ground = by_turns(COUNTS_TOO, 0);
    let view = meeting(&ground, &COUNTS_TOO);
    assert!(ground.executor.hints().habit(&COUNTS_TOO[0]).is_none());
    ground.execute(Mode::Lanes, &view).expect("valid");
    let [one, other] = COUNTS_TOO;
    for (callee, partner) in [(one, other), (other, one)] {
        let hints = ground.executor.hints();
        let habit = hints.habit(&callee).expect("it ran");
        let partners: Vec<_> = habit.partners().map(|partner| partner.callee).collect();
        assert_eq!(partners, [partner]);
    }
    // Sequential execution and `occ` teach nothing.
    for mode in [Mode::Seq, Mode::Occ] {
        ground.executor.forget();
        execute(&ground, mode);
        assert!(ground.executor.hints().habit(&one).is_none());
        assert_eq!(ground.executor.hints().gas_of(&ground.block.txs[0]), 500_000);
    }
}

#[test]
fn the_gas_that_calls_have_used_is_known_afterwards() {
    for mode in [Mode::Lanes, Mode::Auto] {
        let ground = Ground::new(Fork::Shanghai, &counting());
        let Execution { outcome, .. } = execute(&ground, mode);
        let most = outcome.results.iter().map(|result| result.gas.used).max().expect("some");
        let likely = ground.executor.hints().gas_of(&ground.block.txs[0]);
        assert!((21_000..=most).contains(&likely), "{likely} of {most}");
    }
}

#[test]
fn what_calls_have_taken_beyond_their_gas_is_known_afterwards() {
    // The sum of (1, 2) and the point at infinity, on bn254: 150 gas (EIP-1108).
    let sums = Address::with_last_byte(6);
    let mut input = [0; 64];
    (input[31], input[63]) = (1, 2);
    let mut txs = counting();
    let at = txs.len();
    txs.extend([tx(BOB, 0, sums, 0, &input), call(BOB, 1, KEEPER, 0)]);
    for mode in [Mode::Occ, Mode::Lanes, Mode::Auto] {
        let ground = Ground::new(Fork::Shanghai, &txs);
        let expected = ground.sequential().expect("valid");
        assert!(matches!(expected.excess[..], [(index, 1..)] if index == at));
        let Execution { outcome, .. } = execute(&ground, mode);
        assert_eq!(outcome.excess, expected.excess, "{mode}");
        assert_eq!(outcome, expected, "{mode}");
        let hints = ground.executor.hints();
        let likely = Calls::new(&hints, 1).look_up(&ground.block.txs[at], None).1;
        let known = if mode == Mode::Occ { 0 } else { expected.excess[0].1 };
        assert_eq!(likely.excess, known, "{mode}");
    }
}

#[test]
fn what_is_begun_early_for_no_reason_costs_time_alone() {
    let mut txs: Vec<_> = (0..8).map(|nonce| call(ALICE, nonce, COUNTER, 0)).collect();
    txs.extend((0..4).map(|nonce| store(BOB, nonce, 5, nonce)));
    let mut hints = Hints::default();
    for callee in [COUNTER, KEEPER] {
        let lesson = Lesson { trials: 100, depended: 0, on_strangers: 0 };
        hints.learn_callee(&callee, lesson, &[], |_| false);
    }
    for threads in [2, 3] {
        let ground = Ground::with_threads(Fork::Shanghai, &txs, threads);
        let expected = ground.sequential().expect("valid");
        let heavy: Vec<_> = (0..txs.len()).map(|index| (index, 5_000_000)).collect();
        hints.learn_work(&ground.block.txs, &expected.results, &heavy);
        let plan = Plan::new(&ground.block, &hints, threads, Hearing::Nothing);
        assert_eq!(plan.early.len(), 2 * threads);
        for _ in 0..20 {
            ground.executor.remember(&hints);
            let Execution { outcome, report } = execute(&ground, Mode::Lanes);
            assert_eq!((outcome, report.way), (expected.clone(), Way::Lanes));
        }
    }
}

#[test]
fn auto_does_not_run_in_lanes_what_it_knows_to_be_one_chain() {
    let calls: Vec<_> = (0..7).map(|nonce| call(ALICE, nonce, COUNTER, 0)).collect();
    let ground = Ground::new(Fork::Shanghai, &calls);
    let expected = ground.sequential().expect("valid");
    assert_eq!(execute(&ground, Mode::Auto).report.way, Way::Lanes);
    let mut hints = Hints::default();
    let lesson = Lesson { trials: 11, depended: 11, on_strangers: 0 };
    hints.learn_callee(&COUNTER, lesson, &[], |_| false);
    ground.executor.remember(&hints);
    let chain = Way::Sequential(Some(WhySequential::OneChain));
    let Execution { outcome, report } = execute(&ground, Mode::Auto);
    assert_eq!((outcome, report.way), (expected, chain));
    assert_eq!(report.way.to_string(), "sequential: one chain");
    // It is what `auto` decides, and nothing else.
    assert_eq!(execute(&ground, Mode::Lanes).report.way, Way::Lanes);
    ground.executor.forget();
    assert_eq!(execute(&ground, Mode::Auto).report.way, Way::Lanes);
    ground.executor.remember(&hints);
    assert_eq!(execute(&ground, Mode::Auto).report.way, chain);
    // After some blocks it is tried again.
    let blocks = (0..100).find(|_| execute(&ground, Mode::Auto).report.way == Way::Lanes);
    assert!(blocks.is_some());
}

#[test]
fn auto_finds_a_chain_by_its_first_transactions_and_remembers_it() {
    let calls: Vec<_> = (0..12).map(|nonce| call(ALICE, nonce, COUNTER, 0)).collect();
    let ground = Ground::new(Fork::Shanghai, &calls);
    let chain = Way::Sequential(Some(WhySequential::OneChain));
    let run = || {
        let Execution { outcome, report } = execute(&ground, Mode::Auto);
        assert_eq!((report.way, report.fallback), (chain, None));
        assert_eq!(Ok(outcome), ground.sequential());
    };
    run();
    let hints = ground.executor.hints();
    let depended = hints.habit(&COUNTER).and_then(Habit::depended_percent);
    assert_eq!(depended, Some(100), "the next one is not begun");
    run();
    assert_eq!(execute(&ground, Mode::Lanes).report.way, Way::Lanes);
}

#[test]
fn auto_finds_a_chain_by_footprints_as_well() {
    let calls: Vec<_> = (0..6).map(|nonce| call(ALICE, nonce, COUNTER, 0)).collect();
    let mut ground = Ground::new(Fork::Shanghai, &calls);
    let slot: Location = (COUNTER, Some(U256::ZERO));
    let footprint = Some(Arc::new(Footprint::of(&[slot], &[slot], 26_000)));
    let mut footprints = vec![footprint; calls.len()];
    ground.block.foresee(&footprints);
    let Execution { outcome, report } = execute(&ground, Mode::Auto);
    assert_eq!(report.way, Way::Sequential(Some(WhySequential::OneChain)));
    assert_eq!(Ok(outcome), ground.sequential());
    footprints.fill(None);
    ground.block.foresee(&footprints);
    assert_eq!(execute(&ground, Mode::Auto).report.way, Way::Lanes);
}

/// Numbers that look random. Source: Marsaglia, "Xorshift RNGs".
pub(super) struct Random(pub(super) u64);

impl Random {
    fn number(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as u32
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.number() as usize % bound
    }

    fn places(&mut self) -> Vec<Location> {
        let mut places = Vec::new();
        for _ in 0..self.below(4) {
            let address = [COUNTER, KEEPER, PAYEE][self.below(3)];
            let slot = [None, Some(U256::ZERO), Some(U256::from(5))][self.below(3)];
            places.push((address, slot));
        }
        places
    }

    /// Whatever a transaction might have looked at.
    fn footprint(&mut self) -> Option<Arc<Footprint>> {
        if self.below(3) == 0 {
            return None;
        }
        let (reads, writes) = (self.places(), self.places());
        let gas = u64::from(self.number()) << self.below(33);
        Some(Arc::new(Footprint::of(&reads, &writes, gas)))
    }
}

#[test]
fn no_outcome_depends_on_hints_however_absurd() {
    let mut txs = Vec::new();
    for nonce in 0..5 {
        let four = 4 * nonce;
        txs.extend([
            call(ALICE, four, COUNTER, 0),
            call(BOB, four, COUNTS_TOO[0], 0),
            store(ALICE, four + 1, 5, nonce),
            look(BOB, four + 1, 5),
            transfer(ALICE, four + 2, PAYEE, 3),
            call(BOB, four + 2, COUNTS_TOO[1], 0),
            pay(ALICE, four + 3, child(), 1),
            call(BOB, four + 3, FACTORY, 0),
        ]);
    }
    let callees = [COUNTER, KEEPER, FACTORY, COUNTS_TOO[0], COUNTS_TOO[1], child(), PAYEE];
    let mut ways = BTreeSet::new();
    for threads in [2, 5] {
        let mut ground = Ground::with_threads(Fork::Shanghai, &txs, threads);
        let expected = ground.sequential().expect("valid");
        for seed in 1..100_u64 {
            let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let footprints: Vec<_> = txs.iter().map(|_| random.footprint()).collect();
            ground.block.foresee(&footprints);
            let hints = Hints::absurd(&callees, || random.number());
            for mode in [Mode::Lanes, Mode::Auto] {
                ground.executor.remember(&hints);
                let Execution { outcome, report } = execute(&ground, mode);
                assert_eq!(outcome, expected, "seed {seed}, {mode} on {threads} threads");
                ways.insert(report.way.to_string());
            }
        }
    }
    assert!(ways.contains("lanes") && ways.contains("sequential: one chain"), "{ways:?}");
}
