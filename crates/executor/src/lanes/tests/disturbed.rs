//! Accounts that several lanes have come upon: which of them are followed from the first
//! transaction on.

use super::{
    bugs::{GIVER, GIVES},
    guesses::{adding, watch},
    *,
};

const BORROWER: Address = Address::repeat_byte(0xe8);

/// Gives seven to whoever calls, and takes what it is paid: CALLVALUE, or CALL as in [`GIVES`].
fn lends() -> Vec<u8> {
    [&[0x34, 0x60, 17, 0x57][..], GIVES, &[0x5b][..]].concat()
}

#[test]
fn what_a_contract_has_is_given_once_however_many_lanes_ask_for_it() {
    let gives = |sender, nonce| call(sender, nonce, GIVER, 0);
    let cases: [(u64, &[Sent]); 2] = [
        // Enough for each of them, and for two.
        (20, &[gives(ALICE, 0), gives(BOB, 0), gives(ALICE, 1)]),
        // Who borrows gives it back at once, so that no more than one of them takes something.
        (10, &[gives(ALICE, 0), call(BOB, 0, BORROWER, 0)]),
    ];
    for (balance, txs) in cases {
        let mut ground = Ground::new(Fork::Istanbul, txs);
        put(&mut ground.state, GIVER, balance, &lends(), &[]);
        ground.deploy(BORROWER, &hands_on(GIVER), &[]);
        let apart: Vec<_> = (0..txs.len()).collect();
        assert_eq!(ground.reruns(&apart), 1, "of {balance}");
    }
}

/// The first one that has come upon the account has not looked at the slot.
#[test]
fn a_slot_that_was_changed_is_looked_for_in_every_other_lane() {
    let txs = [store(ALICE, 0, 5, 1), look(BOB, 0, 6), look(ALICE, 1, 5)];
    assert_eq!(Ground::new(Fork::Istanbul, &txs).reruns(&[0, 1, 2]), 1);
}

/// Nobody else has changed it, and the lane's diff does not show that it has.
#[test]
fn a_balance_that_a_lane_has_changed_back_was_seen_in_between() {
    // What it is paid it gives back.
    let txs =
        [call(ALICE, 0, GIVER, 7), watch(BOB, 0, [GIVER, STRANGER]), call(ALICE, 1, GIVER, 0)];
    let mut ground = adding(&txs);
    ground.deploy(GIVER, &lends(), &[]);
    assert_eq!(ground.reruns(&[0, 1, 0]), 1);
}
