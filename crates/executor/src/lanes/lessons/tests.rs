//! What hints learn of what was noted.

use super::*;
use crate::lanes::marks::Mark;
use alloy_consensus::{Signed, TxLegacy};
use fugue_types::{Bytes, Transaction, TxKind, U256};

const A: Address = Address::repeat_byte(0xa0);
const B: Address = Address::repeat_byte(0xb0);

fn call(sender: u8, callee: Address) -> PreparedTx {
    let tx = TxLegacy {
        chain_id: None,
        nonce: 0,
        gas_price: 1,
        gas_limit: 100_000,
        to: TxKind::Call(callee),
        value: U256::ZERO,
        input: Bytes::from_static(&[1]),
    };
    let signature = format!("{:0>64}{:0>64}1b", "1", "1").parse().expect("a signature");
    let tx = Transaction::Legacy(Signed::new_unhashed(tx, signature));
    PreparedTx::new(&tx, Address::repeat_byte(sender)).expect("type 0 is known")
}

/// Of a transaction that came upon what these have written.
fn upon(reader: usize, writers: &[usize]) -> Dependence {
    let mut dependence = Dependence::NONE;
    for writer in writers {
        let [writer, reader] = [*writer, reader].map(|index| Mark { worker: 0, index });
        dependence.on(Some(writer), reader);
    }
    dependence
}

fn teach(log: Log, txs: &[PreparedTx]) -> Hints {
    let hints = Mutex::default();
    log.teach(&Plan::cold(txs, 2), txs, &hints);
    hints.into_inner()
}

#[test]
fn dependences_on_the_same_callee_are_counted_once_for_each_transaction() {
    // The second half by the sender of the first one of all.
    let txs: Vec<_> =
        (0..21_u8).map(|number| call(if number > 10 { 1 } else { number + 1 }, A)).collect();
    let mut log = Log::default();
    for index in 0..txs.len() {
        // Each but the first depends on the first; strangers to it are the ten after it.
        let writers: &[usize] = if index == 0 { &[] } else { &[0, 0] };
        log.add(index, &upon(index, writers));
    }
    log.add_meetings(&[Meeting::new(5, 0), Meeting::new(6, 4)]);
    let hints = teach(log, &txs);
    let habit = hints.habit(&A).expect("it was met");
    assert_eq!((habit.depended_percent(), habit.strangers_percent()), (Some(100), Some(50)));
    assert_eq!(habit.partners().count(), 0);
}

#[test]
fn callees_that_met_are_partners_of_one_another() {
    let txs: Vec<_> = (0..12).map(|number| call(number, if number < 10 { A } else { B })).collect();
    let mut log = Log::default();
    for index in 0..txs.len() {
        let is_late = index == 9;
        // One of B comes upon one of A, in another's hands; one of A was read too early by it.
        let mut dependence = upon(index, if index == 10 { &[3] } else { &[] });
        dependence.by_other = is_late.then_some(Mark { worker: 1, index: 10 });
        log.add(index, &dependence);
    }
    let hints = teach(log, &txs);
    for (callee, other) in [(A, B), (B, A)] {
        let habit = hints.habit(&callee).expect("it was met");
        let partners: Vec<_> = habit.partners().copied().collect();
        // One of two, and what is new counts half.
        assert_eq!(partners, [Partner { callee: other, percent: 25 }]);
    }
    assert_eq!(hints.habit(&A).and_then(|habit| habit.depended_percent()), Some(0));
}

#[test]
fn where_marks_were_hidden_nothing_is_told() {
    let txs: Vec<_> = (0..21).map(|number| call(number, A)).collect();
    let mut log = Log::default();
    for index in 0..txs.len() {
        // The first ten found the mark of one behind them, and two of these their own writer too.
        let mut dependence = upon(index, if index > 8 { &[8] } else { &[] });
        dependence.is_blurred = (1..=10).contains(&index);
        log.add(index, &dependence);
    }
    let hints = teach(log, &txs);
    let habit = hints.habit(&A).expect("it was met");
    assert_eq!(habit.depended_percent(), Some(100));
}

#[test]
fn of_a_run_that_ended_early_what_ran_is_learned() {
    let txs: Vec<_> = (0..40).map(|number| call(number, A)).collect();
    let mut log = Log::default();
    for index in 0..11 {
        log.add(index, &upon(index, if index > 5 { &[0] } else { &[] }));
    }
    let mut all = Log::default();
    all.append(&mut log);
    let hints = teach(all, &txs);
    let habit = hints.habit(&A).expect("it was met");
    assert_eq!(habit.depended_percent(), Some(50));
    // Without anything there is nothing to learn.
    assert_eq!(teach(log, &txs).habit(&A), None);
}
