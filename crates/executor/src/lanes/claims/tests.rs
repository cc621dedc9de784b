//! Claims of workers, step by step and at random.

use super::{counts::SPLIT_MIN, *};
use crate::{
    footprint::Kin,
    hints::{Hints, Lesson},
    lanes::marks::Mark,
};
use alloy_consensus::{Signed, TxLegacy};
use fugue_evm::PreparedTx;
use fugue_types::{Address, Bytes, Transaction, TxKind, U256};
use std::collections::VecDeque;

const A: Address = Address::repeat_byte(0xa0);
const B: Address = Address::repeat_byte(0xb0);
const SENDER: Address = Address::repeat_byte(0x5e);
/// Gas of a call that is a batch by itself.
const GAS: u64 = 1_000_000;

pub(in crate::lanes) fn tx(to: TxKind, input: &'static [u8], gas_limit: u64) -> PreparedTx {
    tx_by(SENDER, to, input, gas_limit)
}

fn tx_by(sender: Address, to: TxKind, input: impl Into<Bytes>, gas_limit: u64) -> PreparedTx {
    let input = input.into();
    let tx = TxLegacy {
        chain_id: None,
        nonce: 0,
        gas_price: 1,
        gas_limit,
        to,
        value: U256::ZERO,
        input,
    };
    let signature = format!("{:0>64}{:0>64}1b", "1", "1").parse().expect("a signature");
    let tx = Transaction::Legacy(Signed::new_unhashed(tx, signature));
    PreparedTx::new(&tx, sender).expect("type 0 is known")
}

/// A call that names some holders.
pub(super) fn names(
    sender: Address,
    callee: Address,
    holders: &[u8],
    gas_limit: u64,
) -> PreparedTx {
    let words = holders.iter().map(|holder| Address::repeat_byte(*holder).into_word().0);
    let input = [vec![1; 4], words.collect::<Vec<_>>().concat()].concat();
    tx_by(sender, TxKind::Call(callee), input, gas_limit)
}

/// A payment.
pub(super) fn pays(sender: Address, payee: Address, gas_limit: u64) -> PreparedTx {
    tx_by(sender, TxKind::Call(payee), Bytes::new(), gas_limit)
}

fn call(callee: Address) -> PreparedTx {
    tx(TxKind::Call(callee), &[1], GAS)
}

fn payment() -> PreparedTx {
    tx(TxKind::Call(A), &[], 21_000)
}

/// Calls to A and B by turns, each by somebody else.
fn turns(count: usize) -> Vec<PreparedTx> {
    let call = |index: usize| {
        let callee = if index.is_multiple_of(2) { A } else { B };
        tx_by(Address::with_last_byte(index as u8), TxKind::Call(callee), [1], GAS)
    };
    (0..count).map(call).collect()
}

/// What a worker claims next; nothing if there is nothing left.
fn claim(claims: &Claims, worker: usize, last: Option<usize>) -> Vec<usize> {
    let mut batch = Vec::new();
    let claim = claims.claim(worker, last, &mut batch);
    assert_eq!(claim == Claim::Run, !batch.is_empty());
    batch
}

/// All that a worker claims from now on.
fn claim_all(claims: &Claims, worker: usize, mut last: Option<usize>) -> Vec<usize> {
    let mut all = Vec::new();
    loop {
        let batch = claim(claims, worker, last);
        let Some(end) = batch.last() else { return all };
        last = Some(*end);
        all.extend(batch);
    }
}

const OWN: Dependence = Dependence { on_own: true, ..NONE };
const NONE: Dependence = Dependence::NONE;

/// On one before it in the same worker's hands.
pub(super) fn on_one(worker: usize, index: usize) -> Dependence {
    let mut dependence = NONE;
    dependence.on(Some(Mark { worker, index }), Mark { worker, index: index + 1 });
    dependence
}

fn on_other(worker: usize, index: usize) -> Dependence {
    Dependence { on_other: Some(Mark { worker, index }), ..NONE }
}

/// Claims of a block of which nothing is known but what it says itself.
fn claims_of(txs: &[PreparedTx], workers: usize) -> Claims {
    let claims = Claims::new(Plan::cold(txs, workers), workers);
    claims.look_closely(txs, || true);
    claims
}

#[test]
fn what_was_begun_is_claimed_and_its_group_stays_with_who_began() {
    // A is nearly all of the block, and heavy; nobody knows yet who depends on whom.
    let txs: Vec<_> = (0..20).map(|index| call(if index == 15 { B } else { A })).collect();
    for begun in [1, 3] {
        let claims = claims_of(&txs, 2).beginning_with(begun);
        assert_eq!(claim(&claims, 1, None), [15], "the rest of A is not its own");
        let mut batch = Vec::new();
        let next = claims.claim(1, Some(15), &mut batch);
        assert!(matches!(next, Claim::Wait(_)), "nor may it leave: {next:?}");
        let expected: Vec<_> = (begun..20).filter(|index| *index != 15).collect();
        assert_eq!(claim_all(&claims, 0, Some(begun - 1)), expected);
    }
    // If nothing was begun, it is whoever's comes first.
    let claims = claims_of(&txs, 2).beginning_with(0);
    assert_eq!(claim(&claims, 1, None), [0]);
}

#[test]
fn one_worker_claims_the_block_in_order() {
    let txs = [call(A), payment(), tx(TxKind::Create, &[1], GAS), call(B), call(A), payment()];
    let claims = claims_of(&txs, 1);
    assert_eq!(claim_all(&claims, 0, None), [0, 1, 2, 3, 4, 5]);
    assert!(claim(&claims, 0, Some(5)).is_empty());
}

#[test]
fn calls_of_one_contract_go_to_one_worker_while_they_depend_on_one_another() {
    let claims = claims_of(&turns(8), 2);
    assert_eq!(claim(&claims, 0, None), [0]);
    assert_eq!(claim(&claims, 1, None), [1]);
    for index in [0, 1] {
        assert_eq!(claims.note(0, index, OWN), None);
    }
    assert_eq!(claim_all(&claims, 1, Some(1)), [3, 5, 7]);
    assert_eq!(claim_all(&claims, 0, Some(0)), [2, 4, 6]);
}

#[test]
fn a_serial_group_is_not_taken_over_and_an_independent_one_is() {
    for (dependence, expected) in [(OWN, &[][..]), (NONE, &[4][..])] {
        let txs: Vec<_> = (0..8).map(|_| call(A)).collect();
        let claims = claims_of(&txs, 2);
        let mut last = None;
        for index in 0..4 {
            assert_eq!(claim(&claims, 0, last), [index]);
            // The first has nobody to depend on.
            let is_free = index == 0;
            assert_eq!(claims.note(0, index, if is_free { NONE } else { dependence }), None);
            last = Some(index);
        }
        assert_eq!(claim(&claims, 1, None), expected, "{dependence:?}");
        let left: Vec<_> = (4..8).filter(|index| !expected.contains(index)).collect();
        assert_eq!(claim_all(&claims, 0, last), left, "{dependence:?}");
    }
}

#[test]
fn what_is_known_to_be_serial_is_not_taken_over_at_all() {
    let txs: Vec<_> = (0..8).map(|_| call(A)).collect();
    let mut serial = Hints::default();
    let lesson = Lesson { trials: 20, depended: 20, on_strangers: 20 };
    serial.learn_callee(&A, lesson, &[], |_| false);
    for (hints, expected) in [(Hints::default(), &[4][..]), (serial, &[][..])] {
        let plan = Plan::of(&txs, &[], &Kin::default(), &hints, 2);
        let claims = Claims::new(plan, 2);
        claims.look_closely(&txs, || true);
        for index in 0..4_usize {
            assert_eq!(claim(&claims, 0, index.checked_sub(1)), [index]);
            assert_eq!(claims.note(0, index, NONE), None);
        }
        assert_eq!(claim(&claims, 1, None), expected);
        let left: Vec<_> = (4..8).filter(|index| !expected.contains(index)).collect();
        assert_eq!(claim_all(&claims, 0, Some(3)), left);
    }
}

#[test]
fn nothing_of_a_group_is_taken_over_until_it_is_known_whether_it_is_serial() {
    // A quarter of it is enough to tell, but for the first, which has nobody to depend on.
    for (count, judged) in [(3, 2), (12, 3), (40, 4)] {
        let txs: Vec<_> = (0..count).map(|_| call(A)).collect();
        let claims = claims_of(&txs, 2);
        let mut batch = Vec::new();
        assert_eq!(claim(&claims, 0, None), [0]);
        for index in 0..judged {
            let waits = Claim::Wait(index + 1);
            assert_eq!(claims.claim(1, None, &mut batch), waits, "{index} of {count} ran");
            assert!(claims.is_unsure(index + 1));
            assert_eq!(claims.note(0, index, NONE), None);
            if index + 1 < judged {
                assert_eq!(claim(&claims, 0, Some(index)), [index + 1]);
            }
        }
        assert_eq!(claim(&claims, 1, None)[0], judged, "of {count}");
    }
}

#[test]
fn a_block_that_is_nearly_one_chain_is_told_by_its_first_transactions() {
    let on = |index: Option<usize>| {
        let mut dependence = Dependence::default();
        dependence.on(index.map(|index| Mark { worker: 0, index }), Mark { worker: 0, index: 99 });
        dependence
    };
    let told = |txs: &[PreparedTx], behind: usize| {
        let claims = claims_of(txs, 2);
        let told = (0..16).map(|index| claims.note(0, index, on(index.checked_sub(behind))));
        told.collect::<Vec<_>>()
    };
    let txs: Vec<_> = (0..16).map(|_| call(A)).collect();
    let mut expected = vec![None; 16];
    assert_eq!(told(&txs, 2), expected, "two chains");
    assert_eq!(told(&turns(16), 2), expected, "half of the block each");
    expected[CHAIN_MIN as usize - 1] = Some(LaneFault::OneChain);
    assert_eq!(told(&txs, 1), expected);
}

#[test]
fn an_entangled_group_that_is_nearly_the_block_is_many_chains_unless_nearly_all_depend() {
    let told = |txs: &[PreparedTx], free: u32| {
        let claims = claims_of(txs, 2);
        let dependence = |index| if index < free { NONE } else { on_other(1, 0) };
        let told = (0..ALL_MIN + 4).map(|index| claims.note(0, index as usize, dependence(index)));
        told.flatten().next()
    };
    let txs: Vec<_> = (0..24).map(|_| call(A)).collect();
    assert_eq!(told(&txs, 8), Some(LaneFault::ManyChains));
    assert_eq!(told(&txs, 2), Some(LaneFault::Entangled));
    assert_eq!(told(&turns(24), 8), Some(LaneFault::Entangled));
}

/// Each counts by itself what it has run, and the sum is judged.
#[test]
fn what_several_workers_have_run_is_judged_together() {
    let txs: Vec<_> = (0..32).map(|number| call(Address::repeat_byte(number))).collect();
    let claims = claims_of(&txs, 4);
    let note = |index: u32, dependence| {
        claims.note(index as usize % 4, index as usize, dependence).is_some()
    };
    assert!((0..ALL_MIN - 1).all(|index| !note(index, on_other(1, 0))), "fewer than are judged");
    assert!(note(ALL_MIN - 1, on_other(1, 0)));
}

#[test]
fn one_chain_is_told_whoever_runs_it() {
    let txs: Vec<_> = (0..32).map(|_| call(A)).collect();
    for behind in [1, 2] {
        let claims = claims_of(&txs, 2);
        let told = (0..32_usize).map(|index| {
            let mut dependence = Dependence::default();
            let writer = index.checked_sub(behind).map(|index| Mark { worker: 0, index });
            dependence.on(writer, Mark { worker: 0, index });
            claims.note(index / 3 % 2, index, dependence)
        });
        let told: Vec<_> = told.collect();
        let mut expected = vec![None; 32];
        expected[CHAIN_MIN as usize - 1] = (behind == 1).then_some(LaneFault::OneChain);
        expected[MANY_MIN as usize - 1] = Some(LaneFault::OneChain);
        assert_eq!(told, expected, "on the one so many before it: {behind}");
    }
}

#[test]
fn what_is_paid_or_refused_meanwhile_does_not_keep_a_chain_from_being_told() {
    let txs: Vec<_> = (0..32).map(|_| call(A)).collect();
    let claims = claims_of(&txs, 2);
    let mut told = Vec::new();
    for index in 0..32_usize {
        match index % 8 {
            6 => claims.note_payment(index, true),
            7 => claims.note_refused(index),
            _ => told.extend(claims.note(0, index, OWN)),
        }
    }
    assert_eq!(told, [LaneFault::OneChain]);
}

#[test]
fn many_chains_are_told_where_many_depend_and_hardly_all() {
    let txs: Vec<_> = (0..32).map(|_| call(A)).collect();
    let told = |free: usize, declines: bool| {
        let claims = claims_of(&txs, 2).declining(declines);
        let of = |index: usize| if index % 20 < free { NONE } else { OWN };
        (0..32).map(|index| claims.note(0, index, of(index))).collect::<Vec<_>>()
    };
    let cases = [(2, Some(LaneFault::OneChain)), (5, Some(LaneFault::ManyChains)), (10, None)];
    for (free, fault) in cases {
        let mut expected = vec![None; 32];
        expected[MANY_MIN as usize - 1] = fault;
        assert_eq!(told(free, true), expected, "{free} of 20 depend on none");
        assert_eq!(told(free, false), [None; 32], "where nothing else may be done");
    }
}

#[test]
fn what_is_counted_of_a_group_does_not_run_into_one_another() {
    let most = (1 << Ran::BITS) - 1;
    let mut word = 0;
    for _ in 0..most {
        word += Ran::one(true, true);
    }
    assert_eq!(Ran::of(word), Ran { all: most, depended: most, followed: most });
    let word = Ran::one(false, false) + Ran::one(true, false) + Ran::one(false, true);
    assert_eq!(Ran::of(word), Ran { all: 3, depended: 1, followed: 1 });
    // Of those behind the first.
    for (all, count, expected) in [(5, 3, 75), (2, 1, 100), (1, 1, 100), (0, 0, 0)] {
        assert_eq!(Ran { all, depended: 0, followed: 0 }.percent(count), expected, "of {all}");
    }
}

/// Claims of a block of which these transactions are begun early.
fn claims_with_early(txs: &[PreparedTx], early: Vec<usize>, workers: usize) -> Claims {
    let mut plan = Plan::cold(txs, workers);
    plan.early = early;
    Claims::new(plan, workers)
}

#[test]
fn what_is_begun_early_is_alone_and_the_block_follows_from_its_start() {
    let txs: Vec<_> = (0..40).map(|number| call(Address::repeat_byte(number))).collect();
    let claims = claims_with_early(&txs, vec![39, 30], 2);
    assert_eq!(claim(&claims, 0, None), [39]);
    assert_eq!(claim(&claims, 1, None), [30]);
    assert_eq!(claim(&claims, 0, Some(39)), [0]);
    assert_eq!(claim(&claims, 1, Some(30)), [1]);
    let rest: Vec<_> = (2..39).filter(|index| *index != 30).collect();
    assert_eq!(claim_all(&claims, 0, Some(0)), rest);
    assert!(claim(&claims, 1, Some(1)).is_empty());
}

#[test]
fn a_heavier_group_goes_before_what_is_begun_early_and_has_the_rest_of_its_own() {
    for (callee, early) in [(B, 8), (A, 7)] {
        let mut txs: Vec<_> = (0..8).map(|_| call(A)).collect();
        txs.push(call(callee));
        let claims = claims_with_early(&txs, vec![early], 2);
        assert_eq!(claim(&claims, 0, None), [0]);
        assert_eq!(claim(&claims, 1, None), [early]);
        assert_eq!(claims.note(0, 0, OWN), None);
        let mut rest = claim_all(&claims, 0, Some(0));
        rest.extend(claim_all(&claims, 1, Some(early)));
        rest.sort_unstable();
        let expected: Vec<_> = (1..9).filter(|index| *index != early).collect();
        assert_eq!(rest, expected);
    }
}

/// Whoever begins first comes upon the first call of each contract.
#[test]
fn nobody_takes_more_than_a_fair_share_while_others_may() {
    let contracts = [0xa0, 0xb0, 0xc0, 0xd0].map(Address::repeat_byte);
    let call = |index: usize| {
        let sender = Address::with_last_byte(index as u8);
        tx_by(sender, TxKind::Call(contracts[index % 4]), [1], 50_000)
    };
    let txs: Vec<_> = (0..40).map(call).collect();
    let claims = claims_of(&txs, 2);
    assert_eq!(claim(&claims, 0, None), [0, 1]);
    assert_eq!(claim(&claims, 0, Some(1)), [4, 5]);
    assert_eq!(claim(&claims, 1, None), [2, 3]);
    let of = |first: usize| (0..40).filter(move |index| index % 4 / 2 == first);
    assert_eq!(claim_all(&claims, 0, Some(5)), of(0).skip(4).collect::<Vec<_>>());
    assert_eq!(claim_all(&claims, 1, Some(3)), of(1).skip(2).collect::<Vec<_>>());
    // Where nobody else comes, all is his in the end.
    let mut alone = claim_all(&claims_of(&txs, 2), 0, None);
    alone.sort_unstable();
    assert_eq!(alone, (0..40).collect::<Vec<_>>());
}

/// Who is idle helps with what comes next, so that both go on in block order.
#[test]
fn what_is_taken_over_is_a_batch_and_the_next_one() {
    let txs: Vec<_> = (0..64).map(|_| call(A)).collect();
    let claims = claims_of(&txs, 2);
    let mut last = None;
    for index in 0..SPLIT_MIN as usize {
        assert_eq!(claim(&claims, 0, last), [index]);
        assert_eq!(claims.note(0, index, NONE), None);
        last = Some(index);
    }
    assert_eq!(claim(&claims, 1, None), [4]);
    assert_eq!(claim(&claims, 0, last), [5]);
    assert_eq!(claim(&claims, 1, Some(4)), [6]);
    // Where nothing is left above what it has run last, it goes back.
    assert_eq!(claim(&claims, 1, Some(63)), [7]);
    assert_eq!(claim_all(&claims, 0, Some(5)), (8..64).collect::<Vec<_>>());
}

/// One that is spread over the block would run before what it depends on.
#[test]
fn a_heavy_group_is_begun_first_if_it_is_short_or_half_of_the_block() {
    for (count, is_first) in [(HEAVY_TXS_MAX, true), (HEAVY_TXS_MAX + 1, false), (30, true)] {
        let mut txs: Vec<_> = (0..30).map(|number| call(Address::repeat_byte(number))).collect();
        txs.extend((0..count).map(|_| call(A)));
        let claims = claims_of(&txs, 2);
        assert_eq!(claim(&claims, 0, None)[0] == 30, is_first, "{count} of the group");
    }
}

#[test]
fn what_nobody_has_begun_is_anybodys() {
    // No group is heavy: each is one of many.
    let txs: Vec<_> = (0..40).map(|number| call(Address::repeat_byte(number))).collect();
    let claims = claims_of(&txs, 2);
    let first = claim(&claims, 0, None);
    let all = claim_all(&claims, 1, None);
    assert_eq!((first.len(), all.len()), (1, 39));
    assert!(claim(&claims, 0, Some(0)).is_empty());
}

#[test]
fn a_disturbed_group_goes_to_the_worker_that_disturbs_it() {
    let claims = claims_of(&turns(8), 2);
    assert_eq!(claim(&claims, 0, None), [0]);
    assert_eq!(claim(&claims, 1, None), [1]);
    assert_eq!(claims.note(0, 0, OWN), None);
    assert_eq!(claims.note(0, 1, on_other(0, 0)), None);
    assert_eq!(claim(&claims, 1, Some(1)), [3], "once is no reason");
    assert_eq!(claims.note(0, 3, on_other(0, 0)), None);
    assert!(claim(&claims, 1, Some(3)).is_empty());
    let mut left = claim_all(&claims, 0, Some(0));
    left.sort_unstable();
    assert_eq!(left, [2, 4, 5, 6, 7]);
}

#[test]
fn a_disturbed_group_goes_to_the_owner_of_what_it_depends_on_unless_that_one_has_ended() {
    // The first is a call whose group is worker 0's, whoever has left the mark.
    for (index, expected) in [(0, vec![]), (20, vec![11, 13, 15, 17, 19])] {
        let mut txs = turns(20);
        txs.push(payment());
        let claims = claims_of(&txs, 3);
        assert_eq!(claim(&claims, 0, None), [0]);
        assert_eq!(claim(&claims, 1, None), [1]);
        for _ in 0..SPLIT_MIN {
            for index in [0, 1] {
                assert_eq!(claims.note(0, index, OWN), None);
            }
        }
        assert_eq!(claim_all(&claims, 2, None), [20], "both groups are serial");
        let elsewhere = Dependence { on_other: Some(Mark { worker: 2, index }), ..OWN };
        for index in [3, 5, 7, 9] {
            assert_eq!(claim(&claims, 1, Some(index - 2)), [index]);
            assert_eq!(claims.note(0, index, elsewhere), None);
        }
        assert_eq!(claim_all(&claims, 1, Some(9)), expected);
        let mut all = claim_all(&claims, 0, Some(0));
        all.extend(expected);
        all.sort_unstable();
        let odd = (11..20).step_by(2);
        let mut left: Vec<_> = (2..20).step_by(2).chain(odd).collect();
        left.sort_unstable();
        assert_eq!(all, left);
    }
}

#[test]
fn who_has_found_nothing_of_its_own_looks_again_once_a_group_has_moved() {
    let mut txs = turns(20);
    txs.push(payment());
    let claims = claims_of(&txs, 3);
    assert_eq!(claim(&claims, 0, None), [0]);
    assert_eq!(claim(&claims, 1, None), [1]);
    assert_eq!(claim(&claims, 2, None), [20]);
    let is_searched = || {
        let inner = claims.inner.0.lock();
        inner.searched[2] == Some(inner.moves)
    };
    assert!(!is_searched());
    for _ in 0..2 {
        assert_eq!(claims.claim(2, Some(20), &mut Vec::new()), Claim::Wait(2));
        assert!(is_searched(), "it does not look twice");
    }
    let elsewhere = Dependence { on_other: Some(Mark { worker: 2, index: 20 }), ..OWN };
    assert_eq!(claims.note(1, 1, elsewhere), None);
    assert_eq!(claim(&claims, 1, Some(1)), [3]);
    assert_eq!(claims.note(1, 3, elsewhere), None);
    assert!(!is_searched());
    assert_eq!(claim(&claims, 2, Some(20)), [5]);
}

#[test]
fn it_is_told_when_too_many_have_not_seen_what_others_had_written() {
    let txs: Vec<_> = (0..32).map(|number| call(Address::repeat_byte(number))).collect();
    for disturbed in 0..=ALL_MIN {
        let claims = claims_of(&txs, 2);
        let plain = ALL_MIN - disturbed;
        let mut is_over = Vec::new();
        for index in 0..ALL_MIN {
            let dependence = if index < plain { OWN } else { on_other(1, 0) };
            is_over.push(claims.note(0, index as usize, dependence).is_some());
        }
        let last = is_over.pop();
        assert!(!is_over.contains(&true), "fewer than are judged");
        let is_above = disturbed * 100 > ALL_MIN * ALL_DISTURBED_PERCENT_MAX;
        assert_eq!(last, Some(is_above), "{disturbed} of {ALL_MIN}");
    }
    // Payments are not counted.
    let txs: Vec<_> = (0..32).map(|_| payment()).collect();
    let claims = claims_of(&txs, 2);
    assert!((0..32).all(|index| claims.note(0, index, on_other(1, 0)).is_none()));
}

/// Numbers that look random. Source: Marsaglia, "Xorshift RNGs".
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % bound
    }

    fn tx(&mut self, callees: usize) -> PreparedTx {
        let gas = [21_000, 50_000, 400_000, 3_000_000][self.below(4)];
        match self.below(8) {
            0 => payment(),
            1 => tx(TxKind::Create, &[1], gas),
            _ => {
                let callee = Address::repeat_byte(self.below(callees) as u8);
                let [sender, holder] = [0; 2].map(|_| 1 + self.below(60) as u8);
                names(Address::repeat_byte(sender), callee, &[holder], gas)
            }
        }
    }
}

/// Workers that claim and run by turns at random, until all have ended: each transaction is claimed
/// once.
fn claimed_once(seed: u64) {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let workers = 1 + random.below(16);
    let callees = 1 + random.below(20);
    let txs: Vec<_> = (0..random.below(120)).map(|_| random.tx(callees)).collect();
    let early: Vec<usize> = (0..txs.len()).filter(|_| random.below(12) == 0).collect();
    let claims = claims_with_early(&txs, early, workers);
    let mut claimed: Vec<Option<usize>> = vec![None; txs.len()];
    let mut ran: Vec<usize> = Vec::new();
    let mut queues: Vec<VecDeque<usize>> = vec![VecDeque::new(); workers];
    let mut lasts: Vec<Option<usize>> = vec![None; workers];
    let mut going: Vec<usize> = (0..workers).collect();
    // Times that somebody has waited since anybody has gone on.
    let mut waits = 0;
    while !going.is_empty() {
        let place = random.below(going.len());
        let worker = going[place];
        if let Some(index) = queues[worker].pop_front() {
            let writer = (!ran.is_empty()).then(|| ran[random.below(ran.len())]);
            let mark = writer.and_then(|index| {
                let worker = claimed[index]?;
                Some(Mark { worker, index })
            });
            let mut dependence = Dependence { on_own: random.below(2) == 0, ..NONE };
            if random.below(3) == 0 {
                dependence.on(mark, Mark { worker, index });
            }
            claims.note(worker, index, dependence);
            ran.push(index);
            waits = 0;
            continue;
        }
        let mut batch = Vec::new();
        match claims.claim(worker, lasts[worker], &mut batch) {
            Claim::Run => waits = 0,
            Claim::Look => claims.look_closely(&txs, || true),
            Claim::Wait(_) => {
                waits += 1;
                assert!(waits < 2_000, "seed {seed}: all wait");
                continue;
            }
            Claim::End => {
                going.swap_remove(place);
                waits = 0;
                continue;
            }
        }
        if batch.is_empty() {
            continue;
        }
        assert!(batch.is_sorted_by(|a, b| a < b), "seed {seed}: {batch:?}");
        let last = batch.last().expect("something was claimed");
        lasts[worker] = Some(*last);
        for index in &batch {
            let before = claimed[*index].replace(worker);
            assert_eq!(before, None, "seed {seed}: {index} again, by {worker}");
        }
        queues[worker].extend(batch);
    }
    let left = claimed.iter().filter(|worker| worker.is_none()).count();
    assert_eq!(left, 0, "seed {seed}: of {} with {workers} workers", txs.len());
    assert_eq!(ran.len(), txs.len(), "seed {seed}");
}

#[test]
fn each_transaction_is_claimed_once_however_workers_take_turns() {
    for seed in 0..2_000 {
        claimed_once(seed);
    }
}
