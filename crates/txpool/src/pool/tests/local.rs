//! Transactions of this node's own users: when they give way, and what of them a restart needs.

use super::*;

/// As after a restart at the same head: without what only memory has.
fn restarted(before: &Subject) -> Subject {
    let pool = Pool::new(*before.pool.options(), before.head);
    let after = Subject { pool, state: before.state.clone(), head: before.head };
    for encoded in before.pool.local() {
        after.pool.restore(&encoded, &after.state).unwrap();
    }
    after.pool.check_invariants();
    after
}

#[test]
fn local_ones_give_way_last() {
    let pending_bytes_max = 2 * transfer_bytes() + 20;
    let subject = Subject::new(PoolOptions { pending_bytes_max, ..Default::default() });
    let local = subject.add_as(wallet(0).transfer(0, 100, 0), Origin::Local).unwrap().hash;
    let external = subject.transfer(1, 0, 100, 9).unwrap();
    let added = subject.add(wallet(2).transfer(0, 100, 10)).unwrap();
    assert_eq!(added.dropped, [external]);
    assert!(subject.pool.get(&local).is_some());
    let encoded = wallet(0).transfer(0, 100, 0).encoded_2718();
    assert_eq!(subject.pool.local(), [encoded]);
}

#[test]
fn local_ones_come_in_an_order_in_which_another_pool_takes_all_of_them() {
    let options = PoolOptions { nonce_gap_max: 1, ..Default::default() };
    let subject = Subject::new(options);
    let add = |tx| subject.add_as(tx, Origin::Local).unwrap();
    for nonce in 0..3 {
        add(wallet(0).transfer(nonce, 100, 2));
    }
    for nonce in 0..2 {
        add(blobs(1, nonce));
    }
    // The first of either sender is replaced, and so the newest.
    add(wallet(0).transfer(0, 110, 3));
    add(wallet(1).blobs(0, 200, 4, 10, cell_sidecar()));
    let other = restarted(&subject);
    let hashes = |subject: &Subject| -> HashSet<B256> { subject.best().into_iter().collect() };
    assert_eq!((hashes(&other).len(), hashes(&other)), (5, hashes(&subject)));
}

#[test]
fn what_is_before_a_local_one_is_there_after_a_restart_whoever_sent_it() {
    let subject = subject();
    let first = subject.add(blobs(0, 0)).unwrap().hash;
    let second = subject.add_as(blobs(0, 1), Origin::Local).unwrap().hash;
    subject.transfer(1, 0, 100, 2).unwrap();
    let after = restarted(&subject);
    assert_eq!(after.best(), [first, second]);
}

#[test]
fn a_journal_is_told_what_it_lacks_once_a_transaction_came() {
    let subject = subject();
    let added = |index: u64, nonce: u64, origin: Origin| {
        let tx = wallet(index).transfer(nonce, 100, 2);
        subject.pool.local_with(&subject.add_as(tx, origin).unwrap().hash)
    };
    let encoded = [0, 1, 2, 3, 4].map(|nonce| wallet(0).transfer(nonce, 100, 2).encoded_2718());
    assert!(added(0, 0, Origin::External).is_empty());
    assert!(added(0, 2, Origin::External).is_empty());
    assert_eq!(added(0, 1, Origin::Local), encoded[..3]);
    assert_eq!(added(0, 3, Origin::External), encoded[3..4]);
    assert_eq!(added(0, 4, Origin::Local), encoded[4..]);
    assert!(added(1, 0, Origin::External).is_empty());
    assert!(subject.pool.local_with(&B256::ZERO).is_empty());
}

#[test]
fn local_ones_of_a_block_that_is_not_final_come_back_as_such_also_after_a_restart() {
    let mut subject = subject();
    // Of anybody else the pool would not take it.
    let cheap = subject.add_as(wallet(0).transfer(0, 100, 0), Origin::Local).unwrap().hash;
    let blob = subject.add_as(blobs(1, 0), Origin::Local).unwrap().hash;
    let returned = [cheap, blob].map(|hash| {
        let pooled = subject.pool.get(&hash).unwrap();
        (pooled.tx.clone(), pooled.sender)
    });
    let mined = [cheap, blob].map(|hash| subject.mined(hash));
    subject.advance(&mined, &[], &[(0, 1, RICH), (1, 1, RICH)]);
    assert_eq!(subject.counts(), (0, 0));

    let mut subject = restarted(&restarted(&subject));
    assert_eq!(subject.counts(), (0, 0));
    let advanced = subject.advance(&[], &returned, &[(0, 0, RICH), (1, 0, RICH)]);
    assert_eq!(advanced.returned, 2);
    for hash in [cheap, blob] {
        assert_eq!(subject.pool.get(&hash).unwrap().origin, Origin::Local);
    }
    assert_eq!(subject.pool.local().len(), 2, "each once");

    // Another block has them, and is final at last.
    subject.advance(&mined, &[], &[(0, 1, RICH), (1, 1, RICH)]);
    let number = subject.head.number;
    for (finalized, kept) in [(number - 1, 2), (number, 0)] {
        let head = subject.head;
        let update = HeadUpdate { head, mined: &[], returned: &[], changed: &[], finalized };
        subject.pool.advance(update, &subject.state);
        assert_eq!(subject.pool.local().len(), kept);
    }
}

#[test]
fn what_is_forgotten_does_not_come_back_with_a_restart() {
    let mut subject = subject();
    let hash = subject.add_as(wallet(0).transfer(0, 100, 2), Origin::Local).unwrap().hash;
    let mined = [subject.mined(hash)];
    subject.advance(&mined, &[], &[(0, 1, RICH)]);
    // The block left, and the transaction is sent again rather than given back.
    subject.advance(&[], &[], &[(0, 0, RICH)]);
    subject.add_as(wallet(0).transfer(0, 100, 2), Origin::Local).unwrap();
    assert_eq!(subject.pool.local().len(), 1, "it is in no block");
    assert!(subject.pool.remove(&hash));
    assert!(subject.pool.local().is_empty());

    subject.add_as(wallet(0).transfer(0, 100, 2), Origin::Local).unwrap();
    subject.advance(&mined, &[], &[(0, 1, RICH)]);
    assert_eq!(subject.pool.local().len(), 1);
    assert_eq!(subject.pool.clear(), 0);
    assert!(subject.pool.local().is_empty());
}
