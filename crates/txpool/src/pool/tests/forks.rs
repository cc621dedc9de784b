//! The head comes to another fork.

use super::*;
use crate::samples::old_sidecar;
use fugue_state::{Guarded, Question};
use std::sync::atomic::AtomicUsize;

#[test]
fn what_comes_while_the_head_moves_to_another_fork_is_judged_once_more() {
    let subject = subject();
    // The last fork comes first.
    let submit = |tx: PooledTransaction, forks: &[Fork]| {
        // Who asks for an account finds the head at the next fork when the answer is there.
        let (forks, reads) = (Mutex::new(forks.to_vec()), AtomicUsize::new(0));
        let state = Guarded::new(&subject.state, |question| {
            assert!(matches!(question, Question::Account(_)), "{question:?}");
            reads.fetch_add(1, Ordering::Relaxed);
            if let Some(fork) = forks.lock().pop() {
                let head = head(fork);
                let update =
                    HeadUpdate { head, mined: &[], returned: &[], changed: &[], finalized: 0 };
                subject.pool.advance(update, &subject.state);
            }
            Ok(())
        });
        let added = subject.pool.add_encoded(&tx.encoded_2718(), Origin::External, &state);
        subject.pool.check_invariants();
        (added.map(|added| added.hash), reads.load(Ordering::Relaxed))
    };
    let tx = wallet(0).transfer(0, 100, 2);
    assert_eq!(submit(tx.clone(), &[Fork::Prague]), (Ok(*tx.hash()), 2));
    // By the rules of the new fork.
    let (refused, reads) = submit(wallet(1).blobs(0, 100, 2, 5, old_sidecar()), &[Fork::Osaka]);
    assert!(matches!(refused, Err(PoolError::SidecarForm { .. })), "{refused:?}");
    assert_eq!(reads, 1, "it was good before");
    // It does not go on for ever.
    let tx = wallet(2).transfer(0, 100, 2);
    assert_eq!(submit(tx, &[Fork::Osaka, Fork::Prague]), (Err(PoolError::HeadMoved), 2));
}

#[test]
fn at_the_fork_blobs_with_proofs_of_the_other_form_leave() {
    let mut subject = subject();
    subject.head = head(Fork::Prague);
    subject.pool = Pool::new(PoolOptions::default(), subject.head);
    let hash = subject.add(wallet(0).blobs(0, 100, 2, 5, old_sidecar())).unwrap().hash;
    let kept = subject.transfer(1, 0, 100, 2).unwrap();
    subject.head = head(Fork::Osaka);
    let advanced = subject.advance(&[], &[], &[]);
    assert_eq!((advanced.dropped, subject.best()), (vec![hash], vec![kept]));
}

#[test]
fn at_the_fork_what_its_rules_do_not_allow_leaves() {
    let mut subject = subject();
    subject.head = head(Fork::Prague);
    subject.pool = Pool::new(PoolOptions::default(), subject.head);
    let large = alloy_consensus::TxEip1559 {
        chain_id: 1,
        gas_limit: alloy_eips::eip7825::MAX_TX_GAS_LIMIT_OSAKA + 1,
        max_fee_per_gas: 100,
        max_priority_fee_per_gas: 2,
        to: Address::repeat_byte(1).into(),
        ..Default::default()
    };
    let large = PooledTransaction::Eip1559(wallet(0).signed(large));
    let large = subject.add(large).unwrap().hash;
    subject.transfer(0, 1, 100, 2).unwrap();
    let kept = subject.transfer(1, 0, 100, 2).unwrap();
    assert_eq!(subject.counts(), (3, 0));
    subject.head = head(Fork::Osaka);
    let advanced = subject.advance(&[], &[], &[]);
    assert_eq!((advanced.dropped, subject.best()), (vec![large], vec![kept]));
    // Its sender is told the nonce that is missing.
    assert_eq!(subject.counts(), (1, 1));
    assert_eq!(subject.pool.next_nonce(wallet(0).address), Some(0));
}
