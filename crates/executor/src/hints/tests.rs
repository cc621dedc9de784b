//! What is kept of blocks, how it fades, and what it gives way to.

use super::*;
use alloy_consensus::{Signed, TxLegacy};
use fugue_types::{Bytes, Transaction, TxGas, TxKind, TxStatus, TxType, U256};

const A: Address = Address::repeat_byte(0xa0);
const B: Address = Address::repeat_byte(0xb0);
const SENDER: Address = Address::repeat_byte(0x5e);
const LIMIT: u64 = 400_000;

fn callee(number: u32) -> Address {
    let mut address = Address::repeat_byte(0xc0);
    address.0.0[..4].copy_from_slice(&number.to_be_bytes());
    address
}

fn call(callee: Address, input: &'static [u8]) -> PreparedTx {
    let tx = TxLegacy {
        chain_id: None,
        nonce: 0,
        gas_price: 1,
        gas_limit: LIMIT,
        to: TxKind::Call(callee),
        value: U256::ZERO,
        input: Bytes::from_static(input),
    };
    let signature = format!("{:0>64}{:0>64}1b", "1", "1").parse().expect("a signature");
    let tx = Transaction::Legacy(Signed::new_unhashed(tx, signature));
    PreparedTx::new(&tx, SENDER).expect("type 0 is known")
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

fn is_kept(hints: &Hints, number: u32) -> bool {
    hints.habit(&callee(number)).is_some()
}

fn lesson(trials: u32, depended: u32, on_strangers: u32) -> Lesson {
    Lesson { trials, depended, on_strangers }
}

fn partner(callee: Address, percent: u8) -> Partner {
    Partner { callee, percent }
}

#[test]
fn gas_is_the_mean_of_what_such_calls_used_and_never_more_than_the_limit() {
    let mut hints = Hints::default();
    let [transfer, approve] = [call(A, &[1, 2, 3, 4, 5]), call(A, &[9])];
    assert_eq!(hints.gas_of(&transfer), LIMIT, "nothing is known");
    hints.learn_work(std::slice::from_ref(&transfer), &[used(40_000)], &[]);
    assert_eq!(hints.gas_of(&transfer), 40_000);
    assert_eq!(hints.gas_of(&call(A, &[1, 2, 3, 4, 6])), 40_000, "the same selector");
    hints.learn_work(std::slice::from_ref(&transfer), &[used(80_000)], &[]);
    assert_eq!(hints.gas_of(&transfer), 50_000);
    for _ in 0..40 {
        hints.learn_work(std::slice::from_ref(&transfer), &[used(20_000)], &[]);
    }
    assert_eq!(hints.gas_of(&transfer), 20_000, "it fades");
    // Of others nothing is known but how much calls use of their limit.
    assert!((20_000..40_000).contains(&hints.gas_of(&approve)), "{}", hints.gas_of(&approve));
    hints.learn_work(std::slice::from_ref(&transfer), &[used(u64::MAX)], &[]);
    for _ in 0..9 {
        hints.learn_work(std::slice::from_ref(&transfer), &[used(u64::MAX)], &[]);
    }
    assert_eq!(hints.gas_of(&transfer), LIMIT);
    hints.clear();
    assert_eq!(hints.gas_of(&transfer), LIMIT);
}

#[test]
fn what_calls_take_beyond_their_gas_is_known_and_fades() {
    let mut hints = Hints::default();
    let likely = |hints: &Hints, tx| Calls::new(hints, 1).look_up(tx, None).1;
    let [verify, other] = [call(A, &[1]), call(A, &[2])];
    assert_eq!(likely(&hints, &verify), Likely { gas: LIMIT, excess: 0, is_known: false });
    let txs = [verify.clone(), other.clone(), verify.clone()];
    let results = [used(50_000), used(30_000), used(50_000)];
    hints.learn_work(&txs, &results, &[(0, 800_000), (2, 800_000)]);
    let found = likely(&hints, &verify);
    assert_eq!(found, Likely { gas: 50_000, excess: 800_000, is_known: true });
    assert_eq!(found.work(), 850_000);
    assert_eq!(likely(&hints, &other), Likely { gas: 30_000, excess: 0, is_known: true });
    // What was run before tells its gas, and the hints the rest.
    let (callee, found) = Calls::new(&hints, 1).look_up(&verify, Some(70_000));
    assert_eq!((callee, found.gas, found.excess), (Some(0), 70_000, 800_000));
    for _ in 0..60 {
        hints.learn_work(&txs[..1], &results[..1], &[]);
    }
    assert_eq!(likely(&hints, &verify).excess, 0);
    hints.learn_work(&txs[..1], &results[..1], &[(0, u64::MAX)]);
    assert_eq!(likely(&hints, &verify).excess, LIMIT * calls::EXCESS_MAX);
}

#[test]
fn each_callee_of_a_block_has_one_number_however_many_selectors_it_has() {
    let inputs: [&'static [u8]; 12] =
        [&[1], &[2], &[3], &[4], &[5], &[6], &[7], &[8], &[9], &[10], &[11], &[12]];
    let txs = inputs.map(|input| call(A, input));
    let results: Vec<TxResult> = (0..12).map(|number| used(21_000 + 1_000 * number)).collect();
    let mut hints = Hints::default();
    hints.learn_work(&txs, &results, &[]);
    let mut calls = Calls::new(&hints, 25);
    for (tx, result) in txs.iter().zip(&results).chain(txs.iter().zip(&results)) {
        let (callee, likely) = calls.look_up(tx, None);
        assert_eq!((callee, likely.gas), (Some(0), result.gas.used));
    }
    assert_eq!(calls.look_up(&call(B, &[1]), None).0, Some(1));
    let callees: Vec<_> = calls.callees().map(|(address, count)| (*address, count)).collect();
    assert_eq!(callees, [(A, 24), (B, 1)]);
    let numbers = calls.into_numbers();
    assert_eq!((numbers.len(), numbers.get(&B)), (2, Some(&1)));
}

#[test]
fn habits_are_known_after_some_transactions_and_fade() {
    let mut hints = Hints::default();
    let none = |_: &Address| false;
    hints.learn_callee(&A, lesson(TRIALS_MIN - 1, 1, 0), &[], none);
    assert_eq!(hints.habit(&A).and_then(Habit::depended_percent), None);
    assert_eq!(hints.habit(&B), None);
    hints.learn_callee(&A, lesson(10, 9, 1), &[], none);
    let habit = *hints.habit(&A).expect("it was there");
    let percents = [habit.depended_percent(), habit.strangers_percent()];
    assert!(matches!(percents, [Some(50..70), Some(1..10)]), "{percents:?}");
    for _ in 0..30 {
        hints.learn_callee(&A, lesson(10, 0, 0), &[], none);
    }
    assert_eq!(hints.habit(&A).and_then(Habit::depended_percent), Some(0));
    // A block with nobody who could depend on another teaches nothing.
    let before = *hints.habit(&A).expect("it was there");
    hints.learn_callee(&A, Lesson::default(), &[], none);
    assert_eq!(hints.habit(&A), Some(&before));
}

#[test]
fn what_is_doubted_is_no_longer_known_after_some_blocks() {
    let mut hints = Hints::default();
    hints.learn_callee(&A, lesson(40, 40, 40), &[], |_| false);
    let mut blocks = 0;
    while hints.habit(&A).and_then(Habit::depended_percent).is_some() {
        assert_eq!(hints.habit(&A).and_then(Habit::depended_percent), Some(100));
        hints.doubt(&A);
        blocks += 1;
    }
    assert!((10..60).contains(&blocks), "{blocks}");
    hints.doubt(&B);
    assert_eq!(hints.habit(&B), None, "it is not added");
}

#[test]
fn partners_are_kept_while_they_meet_where_both_are() {
    let mut hints = Hints::default();
    let percents = |hints: &Hints| -> Vec<(Address, u8)> {
        let habit = hints.habit(&A).expect("it was there");
        habit.partners().map(|partner| (partner.callee, partner.percent)).collect()
    };
    let there = |_: &Address| true;
    hints.learn_callee(&A, lesson(1, 0, 0), &[partner(B, 100)], there);
    assert_eq!(percents(&hints), [(B, 50)]);
    hints.learn_callee(&A, lesson(1, 0, 0), &[partner(B, 100)], there);
    assert_eq!(percents(&hints), [(B, 63)]);
    hints.learn_callee(&A, lesson(1, 0, 0), &[], |_| false);
    assert_eq!(percents(&hints), [(B, 63)], "it was not in the block");
    for _ in 0..20 {
        hints.learn_callee(&A, lesson(1, 0, 0), &[], there);
    }
    assert!(percents(&hints).is_empty());
    // Of many, those are kept that meet most.
    let met: Vec<Partner> =
        (1..=8).map(|number| partner(callee(number), 10 * number as u8)).collect();
    hints.learn_callee(&A, lesson(1, 0, 0), &met, there);
    let mut kept = percents(&hints);
    kept.sort_unstable_by_key(|(_, percent)| *percent);
    let expected: Vec<_> = (5..=8).map(|number| (callee(number), 5 * number as u8)).collect();
    assert_eq!(kept, expected);
}

#[test]
fn tables_do_not_grow_and_what_is_met_often_stays() {
    let mut hints = Hints::default();
    let none = |_: &Address| false;
    let often: Vec<u32> = (0..100).collect();
    for _ in 0..20 {
        for number in &often {
            hints.learn_callee(&callee(*number), lesson(10, 10, 0), &[], none);
        }
    }
    // As many contracts as there are places, each called in one block.
    let others = 1_000..1_000 + CALLEES_MAX as u32;
    for number in others.clone() {
        hints.learn_callee(&callee(number), lesson(10, 0, 0), &[], none);
        let gas = [used(30_000)];
        hints.learn_work(&[call(callee(number), &[1])], &gas, &[]);
    }
    let of_often = often.iter().filter(|number| is_kept(&hints, **number)).count();
    assert!(of_often >= 95, "{of_often} of 100");
    let of_others = others.clone().filter(|number| is_kept(&hints, *number)).count();
    assert!(of_others > CALLEES_MAX / 4, "{of_others}");
    let tables = hints.0.as_ref().expect("it has learned");
    assert_eq!((tables.callees.0.len(), tables.calls.0.len()), (CALLEES_MAX, CALLS_MAX));
    assert!(tables.callees.len() <= CALLEES_MAX && tables.callees.len() >= of_often + of_others);
    // In the end what nobody meets any more gives way.
    for _ in 0..40 {
        for number in others.clone() {
            hints.learn_callee(&callee(number), lesson(10, 0, 0), &[], none);
        }
    }
    let of_often = often.iter().filter(|number| is_kept(&hints, **number)).count();
    assert!(of_often < 80, "{of_often} of 100");
}

#[test]
fn hints_are_laid_by_and_taken_up_again() {
    let mut hints = Hints::default();
    let told = hints.clone();
    hints.learn_callee(&A, lesson(10, 10, 0), &[], |_| false);
    hints.learn_work(&[call(A, &[1])], &[used(30_000)], &[]);
    let laid_by = hints.clone();
    let mut other = Hints::default();
    other.learn_callee(&B, lesson(10, 10, 0), &[], |_| false);
    for mut taker in [Hints::default(), other] {
        taker.become_as(&laid_by);
        assert_eq!(taker.habit(&A), hints.habit(&A));
        assert_eq!(taker.habit(&B), None);
        assert_eq!(taker.gas_of(&call(A, &[1])), 30_000);
        taker.become_as(&told);
        assert_eq!(taker.habit(&A), None);
        assert_eq!(taker.gas_of(&call(A, &[1])), LIMIT);
    }
}
