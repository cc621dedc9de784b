//! What is kept of what lanes have done where it is followed, and where a transaction runs again.

use super::{
    bugs::{PEEKER, PEEKS},
    listening::{MORTAL_COUNTS, creates_mortal},
    payments::{ETHER, delegate},
    *,
};
use crate::samples::AUTHORITY;

#[test]
fn who_runs_again_leaves_an_address_cold_at_which_nothing_can_be_created() {
    // SSTORE(1, 5), RETURN(0, 1)
    let init = [0x60, 5, 0x60, 1, 0x55, 0x60, 1, 0x60, 0, 0xf3];
    let created = FACTORY.create2(B256::ZERO, keccak256(init));
    // CREATE2 of it with as many wei as there are bytes of data; BALANCE of its address.
    let creates = [0x60, 0, 0x52, 0x60, 0, 0x60, 10, 0x60, 22, 0x36, 0xf5, 0x50, 0x73];
    let code = [&[0x69][..], &init, &creates, created.as_slice(), &[0x31, 0x50]].concat();
    let txs = [tx(ALICE, 0, FACTORY, 0, &[]), tx(BOB, 0, FACTORY, 0, &[1])];
    let mut ground = Ground::new(Fork::Osaka, &txs);
    ground.deploy(FACTORY, &code, &[]);
    // Its lane has not seen that the factory has created something.
    assert_eq!(ground.stats(&[0, 1]).rerun_txs, 1);
}

/// It is paid later in the block than it is looked at by the one that runs again.
#[test]
fn slots_that_lanes_have_changed_are_kept_whatever_else_they_change_later() {
    let txs = [
        store(ALICE, 0, 5, 1),
        tx(ALICE, 1, PEEKER, 0, &KEEPER.into_word().0),
        // In its lane it does not look at the keeper.
        pay(BOB, 0, PEEKER, 0),
        pay(ALICE, 2, KEEPER, 1),
    ];
    let mut ground = Ground::new(Fork::Istanbul, &txs);
    ground.deploy(PEEKER, PEEKS, &[]);
    assert_eq!(ground.reruns(&[0, 0, 1, 0]), 1);
}

/// The lane's diff has only the code that it set last.
#[test]
fn a_code_that_a_lane_has_set_again_is_kept_where_it_stays() {
    let txs = [
        delegate(ALICE, 0, COUNTER, 0),
        // Refused in its lane; and then the other authorization has a wrong nonce.
        transfer(AUTHORITY, 1, PAYEE, 1),
        delegate(ALICE, 1, KEEPER, 1),
    ];
    let mut ground = Ground::new(Fork::Prague, &txs);
    put(&mut ground.state, AUTHORITY, ETHER, &[], &[]);
    assert_eq!(ground.sequential().expect("valid").diff.codes.len(), 1);
    assert_eq!(ground.reruns(&[0, 1, 0]), 2);
}

/// Who pays it next brings another one into being.
#[test]
fn what_a_contract_stores_before_it_ends_in_the_same_call_goes_with_it() {
    let mut ground =
        Ground::new(Fork::Istanbul, &[pay(ALICE, 0, MORTAL, 0), pay(BOB, 0, MORTAL, 1)]);
    // SSTORE(1, 5), SELFDESTRUCT(CALLER)
    ground.deploy(MORTAL, &[0x60, 5, 0x60, 1, 0x55, 0x33, 0xff], &[]);
    assert_eq!(ground.reruns(&[0, 1]), 1);
}

/// What was paid since is there, so that its storage is asked for (EIP-7610).
#[test]
fn who_runs_again_creates_a_contract_where_one_with_storage_has_ended() {
    let (creates, created) = creates_mortal();
    let txs = [pay(ALICE, 0, created, 0), pay(ALICE, 1, created, 1), call(BOB, 0, FACTORY, 0)];
    let mut ground = Ground::new(Fork::Shanghai, &txs);
    ground.deploy(FACTORY, &creates, &[]);
    ground.deploy(created, &MORTAL_COUNTS, &[(0, 7)]);
    assert_eq!(ground.reruns(&[0, 0, 1]), 1);
}

/// Together they are more than a balance can hold, so that they count one by one.
#[test]
fn fees_are_paid_as_far_as_each_fits() {
    let txs = [0, 1].map(|nonce| [ALICE, BOB].map(|sender| transfer(sender, nonce, PAYEE, 1)));
    let mut ground = Ground::new(Fork::Istanbul, txs.as_flattened());
    let fee = U256::from(10 * PAYMENT_GAS);
    let balance = U256::MAX - fee * U256::from(3) / U256::from(2);
    let account = Account { balance, ..Account::default() };
    ground.state.accounts.insert(AUTHOR, MemoryAccount { account, ..MemoryAccount::default() });
    let expected = ground.sequential().expect("valid").diff;
    let paid = expected.accounts.iter().find(|change| change.address == AUTHOR);
    let after = paid.and_then(|change| change.after).map(|account| account.balance);
    assert_eq!(after, Some(balance + fee));
    assert_eq!(ground.reruns(&[0, 1, 0, 1]), 0);
}
