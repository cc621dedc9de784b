//! Groups and weights, by what hints and footprints tell.

use super::*;
use crate::{
    Footprint,
    hints::{Lesson, Partner},
};
use alloy_consensus::{Signed, TxLegacy};
use fugue_types::{Bytes, Transaction, TxGas, TxKind, TxResult, TxStatus, TxType, U256};
use std::sync::Arc;

const A: Address = Address::repeat_byte(0xa0);
const B: Address = Address::repeat_byte(0xb0);
const C: Address = Address::repeat_byte(0xc0);
const ALICE: Address = Address::repeat_byte(0x5a);
const BOB: Address = Address::repeat_byte(0x5b);
const GAS: u64 = 100_000;

fn tx(sender: Address, to: TxKind, input: Vec<u8>, gas_limit: u64) -> PreparedTx {
    let tx = TxLegacy {
        chain_id: None,
        nonce: 0,
        gas_price: 1,
        gas_limit,
        to,
        value: U256::ZERO,
        input: Bytes::from(input),
    };
    let signature = format!("{:0>64}{:0>64}1b", "1", "1").parse().expect("a signature");
    let tx = Transaction::Legacy(Signed::new_unhashed(tx, signature));
    PreparedTx::new(&tx, sender).expect("type 0 is known")
}

/// A call by somebody whom nobody else is.
fn call(callee: Address, number: u8) -> PreparedTx {
    tx(Address::repeat_byte(number), TxKind::Call(callee), vec![1], GAS)
}

fn transfer(sender: Address, to: Address, amount: u64) -> PreparedTx {
    let amount = U256::from(amount).to_be_bytes::<32>();
    let input = [&[0xa9, 0x05, 0x9c, 0xbb][..], to.into_word().as_slice(), &amount[..]].concat();
    tx(sender, TxKind::Call(A), input, GAS)
}

fn payment() -> PreparedTx {
    tx(ALICE, TxKind::Call(A), Vec::new(), 21_000)
}

/// What is known of callees: trials, those that depended, and on strangers.
fn taught(lessons: &[(Address, [u32; 3])]) -> Hints {
    let mut hints = Hints::default();
    for (callee, [trials, depended, on_strangers]) in lessons {
        let [trials, depended, on_strangers] = [*trials, *depended, *on_strangers];
        let lesson = Lesson { trials, depended, on_strangers };
        hints.learn_callee(callee, lesson, &[], |_| false);
    }
    hints
}

fn plan(txs: &[PreparedTx], hints: &Hints) -> Plan {
    Plan::of(txs, &[], &Kin::default(), hints, 2)
}

#[test]
fn where_nothing_is_known_each_callee_is_a_group_and_limits_are_weights() {
    let creation = tx(ALICE, TxKind::Create, vec![1], 300_000);
    let txs = [call(A, 1), payment(), creation.clone(), call(B, 2), creation, call(A, 3)];
    let plan = Plan::cold(&txs, 2);
    assert_eq!(plan.groups, [Some(0), None, Some(1), Some(2), Some(3), Some(0)]);
    assert_eq!(plan.gas, [GAS, 21_000, 300_000, GAS, 300_000, GAS]);
    assert_eq!(plan.group_gas, [2 * GAS, 300_000, GAS, 300_000]);
    assert_eq!(plan.is_bound, [false; 4]);
    assert!(!plan.is_one_chain());
    assert!(!Plan::cold(&[], 2).is_one_chain());
}

fn used(gas: u64) -> TxResult {
    TxResult {
        tx_type: TxType::Legacy,
        status: TxStatus::Success,
        gas: TxGas { used: gas, regular: gas, state: 0 },
        logs: Vec::new(),
        output: Bytes::new(),
        created: None,
    }
}

#[test]
fn weights_are_what_calls_have_used() {
    let mut hints = Hints::default();
    let txs = [call(A, 1), call(B, 1), call(A, 2)];
    hints.learn_work(&txs[..2], &[used(30_000), used(70_000)], &[]);
    assert_eq!(plan(&txs, &hints).gas, [30_000, 70_000, 30_000]);
    // A footprint knows better.
    let foreseen = [None, Some(1_000_000), Some(50_000)];
    let plan = Plan::of(&txs, &foreseen, &Kin::default(), &hints, 2);
    assert_eq!(plan.gas, [30_000, GAS, 50_000]);
    // What takes longer than its gas tells weighs more, whoever knows its gas.
    hints.learn_work(&txs[..1], &[used(30_000)], &[(0, 4_000)]);
    let plan = Plan::of(&txs, &foreseen, &Kin::default(), &hints, 2);
    assert_eq!(plan.gas, [31_000, GAS, 51_000]);
    assert_eq!(plan.group_gas, [82_000, GAS]);
}

/// Thirty calls of as many callees, with these put among them.
fn among_others(calls: &[(usize, Address)]) -> Vec<PreparedTx> {
    let mut txs: Vec<_> =
        (0..30).map(|number| call(Address::repeat_byte(number), number)).collect();
    for (index, callee) in calls {
        txs.insert(*index, call(*callee, 0x40 + *index as u8));
    }
    txs
}

/// Calls of these are known to take as long as millions of gas.
fn heavy(hints: &mut Hints, callees: &[Address]) {
    for callee in callees {
        let excess = (0, 3_000_000);
        hints.learn_work(&[call(*callee, 1)], &[used(GAS)], &[excess]);
    }
}

#[test]
fn what_is_heavy_and_depends_on_nobody_is_begun_early() {
    let txs = among_others(&[(20, B), (28, A)]);
    let early = |hints: &Hints, workers| Plan::of(&txs, &[], &Kin::default(), hints, workers).early;
    let mut hints = Hints::default();
    hints.learn_callee(&A, Lesson::default(), &[], |_| true);
    hints.learn_callee(&B, Lesson::default(), &[], |_| true);
    assert!(early(&hints, 2).is_empty(), "nothing is heavy");
    heavy(&mut hints, &[A, B]);
    assert_eq!(early(&hints, 2), [20, 28]);
    hints.learn_work(&[call(A, 1)], &[used(GAS)], &[(0, 4_000_000)]);
    assert_eq!(early(&hints, 2), [28, 20], "the heaviest first");
    assert!(early(&hints, 1).is_empty(), "nobody would wait");
    // What disturbs it, or is disturbed, may be before it in the block.
    let met = [Partner { callee: Address::repeat_byte(3), percent: 2 * PARTNERS_PERCENT_MIN }];
    hints.learn_callee(&A, Lesson::default(), &met, |_| true);
    assert_eq!(early(&hints, 2), [20]);
    let met = [Partner { callee: C, percent: 100 }];
    hints.learn_callee(&B, Lesson::default(), &met, |_| true);
    assert_eq!(early(&hints, 2), [20], "that one is not there");
    // Of what never ran in lanes, it is not known whom it meets.
    let mut hints = Hints::default();
    heavy(&mut hints, &[A, B]);
    assert!(early(&hints, 2).is_empty());
}

#[test]
fn of_several_calls_of_a_contract_those_are_begun_early_that_hardly_depend_on_one_another() {
    let txs = among_others(&[(10, A), (20, A), (28, A)]);
    let early = |lesson: [u32; 3]| {
        let mut hints = taught(&[(A, lesson)]);
        heavy(&mut hints, &[A]);
        Plan::of(&txs, &[], &Kin::default(), &hints, 3).early
    };
    assert_eq!(early([100, 5, 0]), [10, 20, 28]);
    assert!(early([100, 20, 0]).is_empty());
    assert!(early([2, 0, 0]).is_empty(), "it is not known yet");
    // No more than a few for each worker.
    let many: Vec<_> = (0..9).map(|number| (number, A)).collect();
    let txs = among_others(&many);
    let mut hints = taught(&[(A, [100, 0, 0])]);
    heavy(&mut hints, &[A]);
    let plan = Plan::of(&txs, &[], &Kin::default(), &hints, 2);
    assert_eq!(plan.early, [0, 1, 2, 3]);
}

#[test]
fn what_is_tied_by_footprints_is_not_begun_early() {
    let txs = among_others(&[(10, A), (20, B)]);
    let mut hints = taught(&[(A, [100, 0, 0]), (B, [100, 0, 0])]);
    heavy(&mut hints, &[A, B]);
    let slots = [(C, Some(U256::ONE))];
    let mut footprints = vec![None; txs.len()];
    for index in [4, 10] {
        footprints[index] = Some(Arc::new(Footprint::of(&slots, &slots, GAS)));
    }
    assert_eq!(Plan::of(&txs, &[], &Kin::new(&footprints), &hints, 2).early, [20]);
}

#[test]
fn callees_that_disturb_one_another_begin_as_one_group() {
    let txs: Vec<_> = [A, B, C, B, A].into_iter().zip(1..).map(|(to, by)| call(to, by)).collect();
    let met = |percent: u8| {
        let mut hints = Hints::default();
        // What is new counts half.
        let met = [Partner { callee: B, percent }];
        hints.learn_callee(&A, Lesson::default(), &met, |_| true);
        hints
    };
    let apart = [Some(0), Some(1), Some(2), Some(1), Some(0)];
    let joined = [Some(0), Some(0), Some(1), Some(0), Some(0)];
    assert_eq!(plan(&txs, &met(2 * PARTNERS_PERCENT_MIN - 2)).groups, apart);
    // Both have more than a worker's fair share.
    assert_eq!(plan(&txs, &met(2 * PARTNERS_PERCENT_MIN)).groups, apart);
    let mut often = met(100);
    for _ in 0..4 {
        let met = [Partner { callee: B, percent: 100 }];
        often.learn_callee(&A, Lesson::default(), &met, |_| true);
    }
    let heavy = plan(&txs, &often);
    assert_eq!(heavy.groups, joined);
    assert_eq!(heavy.group_gas, [4 * GAS, GAS]);
    // Of those that hear one another, more has to be known.
    let hear =
        |hints: &Hints| Plan::hearing(&txs, &[], &Kin::default(), hints, 2, Hearing::Slots).groups;
    assert_eq!(hear(&often), joined);
    let mut less = met(100);
    let once = [Partner { callee: B, percent: 100 }];
    less.learn_callee(&A, Lesson::default(), &once, |_| true);
    assert_eq!((plan(&txs, &less).groups, hear(&less)), (joined.to_vec(), apart.to_vec()));
    // Where there is enough besides them, less is a reason.
    let mut many = txs;
    many.extend((10..20).map(|number| call(Address::repeat_byte(number), number)));
    let light = plan(&many, &met(2 * PARTNERS_PERCENT_MIN));
    assert_eq!(light.groups[..5], joined);
}

#[test]
fn calls_of_a_token_are_split_by_parties() {
    let [carol, dave] = [0x5c, 0x5d].map(Address::repeat_byte);
    let txs = [
        transfer(ALICE, BOB, 5),
        transfer(carol, dave, 5),
        transfer(Address::repeat_byte(1), Address::repeat_byte(2), 5),
        transfer(BOB, Address::repeat_byte(3), 5),
        transfer(Address::repeat_byte(4), carol, 5),
    ];
    let whole = [Some(0); 5];
    assert_eq!(Plan::cold(&txs, 2).groups, whole);
    let parts = [Some(0), Some(1), Some(2), Some(0), Some(1)];
    assert_eq!(plan(&txs, &taught(&[(A, [100, 60, 10])])).groups, parts);
    assert_eq!(plan(&txs, &taught(&[(A, [100, 60, 12])])).groups, whole);
    assert_eq!(plan(&txs, &taught(&[(A, [2, 0, 0])])).groups, whole, "it is not known yet");
}

#[test]
fn a_party_is_the_sender_or_looks_like_an_address() {
    let of = |tx: &PreparedTx| parties(tx).collect::<Vec<_>>();
    assert_eq!(of(&transfer(ALICE, BOB, u64::MAX)), [ALICE, BOB]);
    assert_eq!(of(&call(A, 1)), [Address::repeat_byte(1)]);
    let named = [BOB, ALICE, A, B, C, A, B, C, Address::repeat_byte(0xdd)];
    let words: Vec<u8> = named.into_iter().flat_map(|address| address.into_word().0).collect();
    let long = tx(ALICE, TxKind::Call(A), [&[1; 4][..], &words[..], &[7][..]].concat(), GAS);
    assert_eq!(of(&long), [ALICE, BOB, ALICE, A, B, C, A, B, C]);
    let odd = U256::MAX.to_be_bytes::<32>();
    let odd = tx(ALICE, TxKind::Call(A), [&[1; 4][..], &odd[..], &[7; 9][..]].concat(), GAS);
    assert_eq!(of(&odd), [ALICE]);
}

#[test]
fn a_block_that_is_nearly_all_one_chain_is_told() {
    let chain = |count: u8| -> Vec<_> { (0..count).map(|number| call(A, number)).collect() };
    let serial = taught(&[(A, [100, 95, 95]), (B, [100, 5, 0])]);
    let mut txs = chain(8);
    txs.extend([call(B, 20), call(B, 21)]);
    let of_ten = plan(&txs, &serial);
    assert_eq!(of_ten.is_bound, [true, false, false]);
    assert!(of_ten.is_one_chain());
    txs.push(call(B, 22));
    assert!(!plan(&txs, &serial).is_one_chain());
    assert!(!Plan::cold(&txs, 2).is_one_chain());
    assert!(!plan(&chain(8), &taught(&[(A, [100, 70, 70])])).is_one_chain());
    // It is tried again some time.
    let mut hints = serial;
    let blocks = (1..100).find(|_| {
        let plan = plan(&chain(8), &hints);
        plan.doubt(&mut hints);
        !plan.is_one_chain()
    });
    assert!(blocks.is_some_and(|blocks| blocks > 10), "{blocks:?}");
}

#[test]
fn footprints_place_transactions_by_the_slots_that_tie_them() {
    let txs = [call(A, 1), call(A, 2), call(B, 3), call(A, 4), payment(), call(B, 5)];
    let slot = |number: u64| (A, Some(U256::from(number)));
    let wrote = |number: u64, gas: u64| {
        let slots = [slot(number)];
        Some(Arc::new(Footprint::of(&slots, &slots, gas)))
    };
    let footprints = [wrote(1, 10), wrote(2, 10), wrote(1, 90), None, wrote(1, 10), wrote(2, 5)];
    let kin = Kin::new(&footprints);
    let gas: Vec<_> = footprints.iter().map(|it| it.as_ref().map(|it| it.gas_used())).collect();
    let plan = Plan::of(&txs, &gas, &kin, &Hints::default(), 2);
    assert_eq!(plan.groups, [Some(0), Some(1), Some(0), Some(2), None, Some(1)]);
    assert_eq!(plan.gas, [10, 10, 90, GAS, 10, 5]);
    assert_eq!(plan.is_bound, [true, true, false]);
    assert!(!plan.is_one_chain());
    let without = Plan::of(&txs[..3], &gas[..3], &Kin::new(&footprints[..3]), &Hints::default(), 2);
    assert!(without.is_one_chain(), "100 of 110");
}

/// What stands between two calls that belong together is most likely what they are for.
#[test]
fn what_two_calls_of_one_sender_enclose_goes_with_them() {
    let of = |sender, callee| tx(sender, TxKind::Call(callee), vec![1], GAS);
    let router = |number| call(A, number);
    let groups = |txs: &[PreparedTx]| plan(txs, &Hints::default()).groups;
    let enclosed = [router(1), of(ALICE, B), router(2), of(ALICE, B), router(3), router(4)];
    assert_eq!(groups(&enclosed), [0, 1, 1, 1, 0, 0].map(Some));
    // Not by two senders, ...
    let by_others = [router(1), of(ALICE, B), router(2), of(BOB, B), router(3), router(4)];
    assert_eq!(groups(&by_others), [0, 1, 0, 1, 0, 0].map(Some));
    // ... nor where nothing is between, ...
    let close = [of(ALICE, B), of(ALICE, B), router(1)];
    assert_eq!(groups(&close), [0, 0, 1].map(Some));
    // ... nor too much, ...
    let around = |between: usize| {
        let between = (0..between).map(|number| router(number as u8));
        std::iter::once(of(ALICE, B)).chain(between).chain([of(ALICE, B), router(99)])
    };
    for (between, is_enclosed) in [(ENCLOSED_MAX - 1, true), (ENCLOSED_MAX, false)] {
        let groups = groups(&around(between).collect::<Vec<_>>());
        assert_eq!(groups[1] == groups[0], is_enclosed, "{between} between");
        assert_ne!(Some(&groups[0]), groups.last(), "{between} between");
    }
    // ... nor by calls of a contract that many call.
    for (more, is_enclosed) in [(ENCLOSING_MAX - 2, true), (ENCLOSING_MAX - 1, false)] {
        let often = around(1).chain((0..more).map(|_| of(BOB, B)));
        let groups = groups(&often.collect::<Vec<_>>());
        assert_eq!(groups[1] == groups[0], is_enclosed, "{more} more");
    }
}

#[test]
fn enclosures_that_follow_one_another_are_one_and_others_keep_their_places() {
    let of = |sender, callee| tx(sender, TxKind::Call(callee), vec![1], GAS);
    let txs = [of(ALICE, B), call(A, 1), of(ALICE, B), of(BOB, C), call(A, 2), of(BOB, C)];
    let groups = plan(&txs, &Hints::default()).groups;
    assert_eq!(groups, [0; 6].map(Some));
    // Apart from one another they are two; and a payment belongs to nobody.
    let txs = [&txs[..3], &[call(A, 3)], &txs[3..4], &[payment()], &txs[4..]].concat();
    let groups = plan(&txs, &Hints::default()).groups;
    let expected = [Some(0), Some(0), Some(0), Some(1), Some(2), None, Some(2), Some(2)];
    assert_eq!(groups, expected);
    // What is tied to something by its footprint stays there.
    let kin = Kin { firsts: vec![None, Some(1), None, Some(1)], ..Kin::default() };
    let groups = Plan::of(&txs[..4], &[], &kin, &Hints::default(), 2).groups;
    assert_eq!(groups, [0, 1, 0, 1].map(Some));
}

#[test]
fn a_payment_goes_with_the_one_that_has_paid_its_sender() {
    let [alice, bob, carol, dave] = [1, 2, 3, 4].map(Address::repeat_byte);
    let pays = |from, to| tx(from, TxKind::Call(to), Vec::new(), 21_000);
    let txs = [
        pays(alice, bob),
        pays(dave, carol),
        pays(bob, carol),
        // Of what it was paid later it cannot spend anything.
        pays(alice, dave),
        pays(carol, alice),
        // Calls are placed by their callees.
        tx(bob, TxKind::Call(carol), vec![1], 50_000),
    ];
    let Plan { groups, group_gas, .. } = plan(&txs, &Hints::default());
    assert_eq!(groups[..5], [Some(0), None, Some(0), None, Some(0)]);
    assert!(groups[5].is_some_and(|group| group > 0));
    assert_eq!(group_gas, [3 * 21_000, 50_000]);
}
