//! The pool from outside: what it takes, what gives way, and how it follows the head.

use super::*;
use crate::{
    MinedTx, Sidecar, TX_OVERHEAD_BYTES,
    samples::{GAS, cell_sidecar, hashes, head, state, wallet},
};
use alloy_eips::eip2718::Encodable2718;
use fugue_chainspec::Fork;
use fugue_state::{Account, MemoryAccount, MemoryState};
use fugue_types::{Bytes, HashMap, Transaction, U256, keccak256};
use parking_lot::Mutex;

mod forks;
mod local;

const RICH: u64 = 1_000_000_000_000;

/// A pool and the state after its head.
struct Subject {
    pool: Pool,
    state: MemoryState,
    head: PoolHead,
}

impl Subject {
    /// Wallets 0 to 9 are rich and have sent nothing.
    fn new(options: PoolOptions) -> Self {
        let head = head(Fork::Osaka);
        let accounts: Vec<_> = (0..10).map(|index| (wallet(index).address, 0, RICH)).collect();
        Self { pool: Pool::new(options, head), state: state(&accounts), head }
    }

    fn add_as(&self, tx: PooledTransaction, origin: Origin) -> Result<Added, PoolError> {
        let added = self.pool.add(tx, origin, &self.state);
        self.pool.check_invariants();
        added
    }

    fn add(&self, tx: PooledTransaction) -> Result<Added, PoolError> {
        self.add_as(tx, Origin::External)
    }

    fn transfer(
        &self,
        index: u64,
        nonce: u64,
        max_fee: u128,
        tip: u128,
    ) -> Result<B256, PoolError> {
        self.add(wallet(index).transfer(nonce, max_fee, tip)).map(|added| added.hash)
    }

    /// Moves the head: these accounts have this nonce and this balance after it.
    fn advance(
        &mut self,
        mined: &[MinedTx],
        returned: &[(Transaction, Address)],
        accounts: &[(u64, u64, u64)],
    ) -> Advanced {
        let mut changed = Vec::new();
        for (index, nonce, balance) in accounts {
            let address = wallet(*index).address;
            let account =
                Account { nonce: *nonce, balance: U256::from(*balance), ..Account::default() };
            let memory = MemoryAccount { account, slots: HashMap::default() };
            self.state.accounts.insert(address, memory);
            changed.push((address, Some(account)));
        }
        self.head.number += 1;
        let head = self.head;
        let update = HeadUpdate { head, mined, returned, changed: &changed, finalized: 0 };
        let advanced = self.pool.advance(update, &self.state);
        self.pool.check_invariants();
        advanced
    }

    fn set_code(&mut self, index: u64, code: Vec<u8>) {
        let code_hash = keccak256(&code);
        self.state.codes.insert(code_hash, Bytes::from(code));
        let account = self.state.accounts.get_mut(&wallet(index).address).unwrap();
        account.account.code_hash = code_hash;
    }

    fn mined(&self, hash: B256) -> MinedTx {
        let tx = self.pool.get(&hash).unwrap();
        MinedTx { hash, sender: tx.sender, nonce: tx.nonce() }
    }

    fn best(&self) -> Vec<B256> {
        self.pool.best(self.head.base_fee, self.head.blob_base_fee).map(|tx| tx.hash).collect()
    }

    fn counts(&self) -> (usize, usize) {
        let status = self.pool.status();
        (status.pending, status.queued)
    }
}

fn subject() -> Subject {
    Subject::new(PoolOptions::default())
}

/// Bytes that a transfer counts for.
fn transfer_bytes() -> usize {
    wallet(0).transfer(0, 100, 2).encode_2718_len() + TX_OVERHEAD_BYTES
}

fn blobs(index: u64, nonce: u64) -> PooledTransaction {
    wallet(index).blobs(nonce, 100, 2, 5, cell_sidecar())
}

#[test]
fn every_type_is_taken_and_given_back() {
    let subject = subject();
    for index in 0_u64..5 {
        let tx = wallet(index).each_type(0).swap_remove(index as usize);
        let bytes = tx.encoded_2718();
        let added = subject.pool.add_encoded(&bytes, Origin::External, &subject.state).unwrap();
        assert!(added.is_pending);
        assert_eq!(added.hash, *tx.hash());
        assert_eq!(subject.pool.get(&added.hash).unwrap().encoded(), bytes);
    }
    subject.pool.check_invariants();
    let status = subject.pool.status();
    assert_eq!((status.pending, status.queued, status.blobs), (5, 0, 1));
    assert_eq!(subject.best().len(), 5);
}

#[test]
fn a_cleared_pool_is_as_a_new_one() {
    let subject = subject();
    assert_eq!(subject.pool.clear(), 0);
    let mut hashes = Vec::new();
    for round in 0..2 {
        for index in 0_u64..5 {
            let tx = wallet(index).each_type(0).swap_remove(index as usize);
            hashes.push(subject.add(tx).unwrap().hash);
        }
        // One waits.
        hashes.push(subject.transfer(5, 3, 100, 2).unwrap());
        assert_eq!(subject.counts(), (5, 1), "round {round}");
        let version = subject.pool.version();
        assert_eq!(subject.pool.clear(), 6, "round {round}");
        subject.pool.check_invariants();
        assert_ne!(subject.pool.version(), version);
        assert_eq!(subject.pool.status(), PoolStatus::default());
        assert!(subject.best().is_empty());
        assert_eq!(subject.pool.next_nonce(wallet(0).address), None);
        assert!(hashes.iter().all(|hash| subject.pool.get(hash).is_none()));
    }
}

#[test]
fn senders_are_told_by_the_hash_of_the_signed_transaction() {
    let mut subject = subject();
    // The same but for the signature; the last one waits.
    let hashes = [0, 1].map(|index| subject.transfer(index, 0, 100, 2).unwrap());
    let queued = subject.transfer(1, 5, 100, 2).unwrap();
    let blob = subject.add(blobs(2, 0)).unwrap().hash;
    let absent = *wallet(3).transfer(0, 100, 2).hash();
    let address = |index| Some(wallet(index).address);
    let asked = [hashes[1], absent, queued, hashes[0], blob, B256::ZERO];
    let expected = [address(1), None, address(1), address(0), address(2), None];
    assert_eq!(subject.pool.senders_of(&asked), expected);
    assert!(subject.pool.senders_of(&[]).is_empty());
    // Of what was mined nothing is known any more.
    let mined = [subject.mined(hashes[0])];
    subject.advance(&mined, &[], &[(0, 1, RICH)]);
    assert_eq!(subject.pool.senders_of(&hashes), [None, address(1)]);
}

#[test]
fn a_known_transaction_is_rejected() {
    let subject = subject();
    subject.transfer(0, 0, 100, 2).unwrap();
    assert_eq!(subject.transfer(0, 0, 100, 2), Err(PoolError::AlreadyKnown));
}

#[test]
fn a_used_nonce_and_a_far_one_are_rejected() {
    let mut subject = subject();
    subject.advance(&[], &[], &[(0, 3, RICH)]);
    let low = PoolError::NonceTooLow { next: 3, nonce: 2 };
    assert_eq!(subject.transfer(0, 2, 100, 2), Err(low));
    let high = PoolError::NonceTooHigh { next: 3, nonce: 68, gap_max: 64 };
    assert_eq!(subject.transfer(0, 68, 100, 2), Err(high));
    assert!(subject.transfer(0, 67, 100, 2).is_ok());
}

#[test]
fn a_sender_must_pay_for_all_its_pending_ones() {
    let mut subject = subject();
    let cost = 100 * GAS;
    subject.advance(&[], &[], &[(0, 0, 2 * cost)]);
    subject.transfer(0, 0, 100, 2).unwrap();
    subject.transfer(0, 1, 100, 2).unwrap();
    let [balance, pending_cost] = [2 * cost, 2 * cost].map(U256::from);
    let poor = PoolError::InsufficientFunds { balance, cost: U256::from(cost), pending_cost };
    assert_eq!(subject.transfer(0, 2, 100, 2), Err(poor));
    // A replacement pays in the place of the one that it replaces.
    let cost = U256::from(110 * GAS);
    let pending_cost = U256::from(100 * GAS);
    let poor = PoolError::InsufficientFunds { balance, cost, pending_cost };
    assert_eq!(subject.transfer(0, 1, 110, 3), Err(poor));
}

#[test]
fn a_sender_with_code_is_rejected() {
    let mut subject = subject();
    subject.set_code(0, vec![0]);
    assert!(matches!(subject.transfer(0, 0, 100, 2), Err(PoolError::SenderHasCode { .. })));
}

#[test]
fn a_gap_waits_until_it_is_filled() {
    let subject = subject();
    let second = subject.add(wallet(0).transfer(1, 100, 2)).unwrap();
    assert!(!second.is_pending);
    assert_eq!(subject.counts(), (0, 1));
    assert_eq!(subject.pool.next_nonce(wallet(0).address), Some(0));
    let version = subject.pool.version();
    let first = subject.add(wallet(0).transfer(0, 100, 2)).unwrap();
    assert!(first.is_pending);
    assert_eq!(subject.counts(), (2, 0));
    assert_eq!(subject.best(), [first.hash, second.hash]);
    assert_eq!(subject.pool.next_nonce(wallet(0).address), Some(2));
    assert_eq!(subject.pool.next_nonce(wallet(1).address), None);
    assert_ne!(subject.pool.version(), version);
}

#[test]
fn a_replacement_must_raise_both_fees() {
    let subject = subject();
    let first = subject.transfer(0, 0, 100, 10).unwrap();
    let low = |fee, found, min: u64| {
        Err(PoolError::ReplacementUnderpriced { fee, found, min: U256::from(min) })
    };
    assert_eq!(subject.transfer(0, 0, 109, 20), low("gas fee cap", 109, 110));
    assert_eq!(subject.transfer(0, 0, 200, 10), low("gas tip cap", 10, 11));
    let added = subject.add(wallet(0).transfer(0, 110, 11)).unwrap();
    assert_eq!(added.replaced.map(|tx| tx.hash), Some(first));
    assert_eq!(subject.best(), [added.hash]);
    assert!(subject.pool.get(&first).is_none());
}

#[test]
fn a_blob_transaction_is_replaced_at_twice_all_its_fees() {
    let subject = subject();
    let first = subject.add(blobs(0, 0)).unwrap().hash;
    let add = |max_fee, tip, blob_fee| {
        subject.add(wallet(0).blobs(0, max_fee, tip, blob_fee, cell_sidecar()))
    };
    for fees in [(199, 4, 10), (200, 3, 10), (200, 4, 9)] {
        let error = add(fees.0, fees.1, fees.2);
        assert!(matches!(error, Err(PoolError::ReplacementUnderpriced { .. })), "{error:?}");
    }
    let added = add(200, 4, 10).unwrap();
    assert_eq!(added.replaced.map(|tx| tx.hash), Some(first));
    assert_eq!(subject.pool.status().blobs, 1);
}

#[test]
fn what_a_transaction_replaced_is_back_once_that_is_taken_back() {
    let subject = subject();
    let [first, second] = [0, 1].map(|nonce| subject.add(blobs(0, nonce)).unwrap().hash);
    let added = subject.add(wallet(0).blobs(0, 200, 4, 10, cell_sidecar())).unwrap();
    assert_eq!(subject.best(), [added.hash, second]);
    // Once it is gone, nothing more happens.
    for _ in 0..2 {
        subject.pool.take_back(&added);
        subject.pool.check_invariants();
        assert_eq!(subject.best(), [first, second]);
    }
    let added = subject.add(wallet(1).transfer(0, 100, 2)).unwrap();
    subject.pool.take_back(&added);
    subject.pool.check_invariants();
    assert_eq!(subject.best(), [first, second]);
}

#[test]
fn a_sender_has_blobs_or_none() {
    let subject = subject();
    subject.add(blobs(0, 0)).unwrap();
    let reserved = |index| Err(PoolError::KindReserved(wallet(index).address));
    assert_eq!(subject.transfer(0, 0, 1_000, 1_000), reserved(0));
    assert_eq!(subject.transfer(0, 1, 1_000, 1_000), reserved(0));
    subject.transfer(1, 0, 100, 2).unwrap();
    assert_eq!(subject.add(blobs(1, 1)).map(drop), reserved(1).map(drop));
}

#[test]
fn blobs_do_not_wait() {
    let subject = subject();
    let gap = PoolError::NonceTooHigh { next: 0, nonce: 1, gap_max: 0 };
    assert_eq!(subject.add(blobs(0, 1)), Err(gap));
}

#[test]
fn a_wrong_blob_proof_is_rejected() {
    let subject = subject();
    let Sidecar::Eip7594(mut sidecar) = cell_sidecar() else { panic!("cell proofs") };
    sidecar.cell_proofs[0] = sidecar.commitments[0];
    let tx = wallet(0).blobs(0, 100, 2, 5, Sidecar::Eip7594(sidecar));
    assert_eq!(subject.add(tx), Err(PoolError::BlobProof));
    assert_eq!(subject.pool.status(), PoolStatus::default());
}

#[test]
fn senders_are_limited_and_local_ones_less_so() {
    let options = PoolOptions { sender_txs_max: 2, sender_blob_txs_max: 1, ..Default::default() };
    let subject = Subject::new(options);
    for nonce in 0..2 {
        subject.transfer(0, nonce, 100, 2).unwrap();
    }
    let limit = PoolError::SenderLimit { count: 2, max: 2 };
    assert_eq!(subject.transfer(0, 2, 100, 2), Err(limit));
    assert!(subject.add_as(wallet(0).transfer(2, 100, 0), Origin::Local).is_ok());
    subject.add(blobs(1, 0)).unwrap();
    assert_eq!(subject.add(blobs(1, 1)), Err(PoolError::SenderLimit { count: 1, max: 1 }));
}

#[test]
fn the_cheapest_gives_way() {
    let pending_bytes_max = 2 * transfer_bytes() + 20;
    let subject = Subject::new(PoolOptions { pending_bytes_max, ..Default::default() });
    let dear = subject.transfer(0, 0, 100, 9).unwrap();
    let cheap = subject.transfer(1, 0, 100, 5).unwrap();
    assert_eq!(subject.transfer(2, 0, 100, 4), Err(PoolError::Full));
    assert_eq!(subject.best(), [dear, cheap]);
    // As cheap as the cheapest, and newer.
    assert_eq!(subject.transfer(2, 0, 100, 5), Err(PoolError::Full));
    let added = subject.add(wallet(2).transfer(0, 100, 6)).unwrap();
    assert_eq!(added.dropped, [cheap]);
    assert_eq!(subject.best(), [dear, added.hash]);
}

#[test]
fn a_sender_gives_way_from_its_end() {
    let pending_bytes_max = 3 * transfer_bytes() + 30;
    let subject = Subject::new(PoolOptions { pending_bytes_max, ..Default::default() });
    let first = subject.transfer(0, 0, 100, 1).unwrap();
    let last = subject.transfer(0, 1, 100, 50).unwrap();
    subject.transfer(1, 0, 100, 9).unwrap();
    let added = subject.add(wallet(2).transfer(0, 100, 2)).unwrap();
    assert_eq!(added.dropped, [last]);
    assert!(subject.pool.get(&first).is_some());
}

#[test]
fn what_went_for_a_refused_one_comes_back() {
    let pending_bytes_max = 2 * transfer_bytes() + 20;
    let subject = Subject::new(PoolOptions { pending_bytes_max, ..Default::default() });
    let told = Arc::new(Mutex::new(Vec::new()));
    let first = subject.transfer(0, 0, 100, 1).unwrap();
    let second = subject.transfer(0, 1, 100, 3).unwrap();
    let seen = Arc::clone(&told);
    let observer: Arc<Observer> = Arc::new(move |tx: &Arc<PooledTx>| seen.lock().push(tx.hash));
    subject.pool.on_pending(&observer);
    // Larger than one of them, and cheaper than the last but dearer than the first.
    let mut large = alloy_consensus::TxEip1559 {
        chain_id: 1,
        gas_limit: 100_000,
        max_fee_per_gas: 100,
        max_priority_fee_per_gas: 2,
        to: Address::repeat_byte(1).into(),
        ..Default::default()
    };
    large.input = Bytes::from(vec![0; 2 * transfer_bytes()]);
    let large = PooledTransaction::Eip1559(wallet(1).signed(large));
    assert_eq!(subject.add(large), Err(PoolError::Full));
    assert_eq!(subject.best(), [first, second]);
    assert!(told.lock().is_empty());
}

#[test]
fn queued_ones_have_a_bound_of_their_own() {
    let queued_bytes_max = transfer_bytes() + 10;
    let subject = Subject::new(PoolOptions { queued_bytes_max, ..Default::default() });
    let first = subject.transfer(0, 1, 100, 2).unwrap();
    let added = subject.add(wallet(1).transfer(1, 100, 3)).unwrap();
    assert_eq!(added.dropped, [first]);
    assert!(subject.transfer(2, 0, 100, 2).is_ok());
}

#[test]
fn blobs_have_a_bound_of_their_own() {
    let blob_bytes_max = blobs(0, 0).encode_2718_len() + TX_OVERHEAD_BYTES;
    let subject = Subject::new(PoolOptions { blob_bytes_max, ..Default::default() });
    let first = subject.add(blobs(0, 0)).unwrap().hash;
    let tx = wallet(1).blobs(0, 100, 3, 5, cell_sidecar());
    assert_eq!(subject.add(tx).unwrap().dropped, [first]);
    assert_eq!(subject.add(blobs(2, 0)), Err(PoolError::Full));
}

#[test]
fn below_the_base_fee_it_stays_and_is_skipped() {
    let mut subject = subject();
    let hash = subject.transfer(0, 0, 9, 2).unwrap();
    assert_eq!(subject.counts(), (1, 0));
    assert!(subject.best().is_empty());
    subject.head.base_fee = 9;
    let advanced = subject.advance(&[], &[], &[]);
    assert_eq!(advanced, Advanced::default());
    assert_eq!(subject.best(), [hash]);
}

#[test]
fn a_new_head_looks_only_at_senders_that_changed() {
    let mut subject = subject();
    let mut first = Vec::new();
    for index in 0..8 {
        first.push(subject.transfer(index, 0, 100, 2).unwrap());
        subject.transfer(index, 1, 100, 2).unwrap();
    }
    let mined = [subject.mined(first[3])];
    // Wallet 9 has nothing here.
    let advanced = subject.advance(&mined, &[], &[(3, 1, RICH), (9, 7, RICH)]);
    assert_eq!(advanced, Advanced { mined: 1, looked_at: 1, ..Advanced::default() });
    assert_eq!(subject.counts(), (15, 0));
    assert_eq!(subject.pool.next_nonce(wallet(3).address), Some(2));
}

#[test]
fn a_nonce_that_another_transaction_used_is_dropped() {
    let mut subject = subject();
    let hash = subject.transfer(0, 0, 100, 2).unwrap();
    subject.transfer(0, 1, 100, 2).unwrap();
    let advanced = subject.advance(&[], &[], &[(0, 1, RICH)]);
    assert_eq!(advanced.dropped, [hash]);
    assert_eq!((advanced.mined, subject.counts()), (0, (1, 0)));
}

#[test]
fn a_balance_demotes_and_promotes() {
    let mut subject = subject();
    for nonce in 0..3 {
        subject.transfer(0, nonce, 100, 2).unwrap();
    }
    let advanced = subject.advance(&[], &[], &[(0, 0, 100 * GAS)]);
    assert_eq!((advanced.promoted, subject.counts()), (0, (1, 2)));
    let advanced = subject.advance(&[], &[], &[(0, 0, 200 * GAS)]);
    assert_eq!((advanced.promoted, subject.counts()), (1, (2, 1)));
}

#[test]
fn blobs_that_are_not_paid_for_are_dropped() {
    let mut subject = subject();
    let hash = subject.add(blobs(0, 0)).unwrap().hash;
    let advanced = subject.advance(&[], &[], &[(0, 0, 1)]);
    assert_eq!(advanced.dropped, [hash]);
    assert_eq!(subject.pool.status(), PoolStatus::default());
}

#[test]
fn a_transaction_of_a_block_that_left_the_chain_comes_back() {
    let mut subject = subject();
    let hash = subject.transfer(0, 0, 100, 2).unwrap();
    let tx = subject.pool.get(&hash).unwrap().tx.clone();
    let mined = [subject.mined(hash)];
    subject.advance(&mined, &[], &[(0, 1, RICH)]);
    assert_eq!(subject.counts(), (0, 0));
    let returned = [(tx, wallet(0).address)];
    let advanced = subject.advance(&[], &returned, &[(0, 0, RICH)]);
    assert_eq!((advanced.returned, advanced.promoted), (1, 1));
    assert_eq!(subject.best(), [hash]);
    // The next one is in a block of either chain.
    let mined = [subject.mined(hash)];
    let advanced = subject.advance(&mined, &returned, &[(0, 1, RICH)]);
    assert_eq!((advanced.mined, advanced.returned, subject.counts()), (1, 0, (0, 0)));
}

#[test]
fn blobs_after_a_returned_transaction_stay() {
    let mut subject = subject();
    let first = subject.add(blobs(0, 0)).unwrap().hash;
    let second = subject.add(blobs(0, 1)).unwrap().hash;
    let tx = subject.pool.get(&first).unwrap().tx.clone();
    let mined = [subject.mined(first)];
    subject.advance(&mined, &[], &[(0, 1, RICH)]);
    let advanced = subject.advance(&[], &[(tx, wallet(0).address)], &[(0, 0, RICH)]);
    assert_eq!((advanced.returned, advanced.dropped), (1, Vec::new()));
    assert_eq!(subject.best(), [first, second]);
}

#[test]
fn blobs_of_mined_transactions_stay_for_a_while_and_come_back() {
    let mut subject = subject();
    let hash = subject.add(blobs(0, 0)).unwrap().hash;
    let blob = hashes(&cell_sidecar())[0];
    let tx = subject.pool.get(&hash).unwrap().tx.clone();
    let mined = [subject.mined(hash)];
    subject.advance(&mined, &[], &[(0, 1, RICH)]);
    assert_eq!(subject.pool.status(), PoolStatus::default());
    assert_eq!(subject.pool.blob(&blob).unwrap().blob(), cell_sidecar().blobs().first());
    assert!(subject.pool.blob(&B256::ZERO).is_none());
    let unknown = wallet(1).blobs(0, 100, 2, 5, cell_sidecar());
    let returned = [(tx, wallet(0).address), (split(unknown).0, wallet(1).address)];
    let advanced = subject.advance(&[], &returned, &[(0, 0, RICH)]);
    assert_eq!(advanced.returned, 1);
    assert_eq!(subject.best(), [hash]);
}

#[test]
fn an_account_that_just_changed_is_stronger_than_an_older_state() {
    let mut subject = subject();
    let older = subject.state.clone();
    subject.advance(&[], &[], &[(0, 1, RICH)]);
    let tx = wallet(0).transfer(0, 100, 2);
    let added = subject.pool.add(tx, Origin::External, &older);
    assert_eq!(added, Err(PoolError::NonceTooLow { next: 1, nonce: 0 }));
}

#[test]
fn a_delegated_account_has_one_transaction_without_a_gap() {
    let mut subject = subject();
    subject.set_code(0, [&[0xef, 0x01, 0x00][..], &[7; 20]].concat());
    let gap = PoolError::DelegatedGap { next: 0, nonce: 1 };
    assert_eq!(subject.transfer(0, 1, 100, 2), Err(gap));
    subject.transfer(0, 0, 100, 2).unwrap();
    assert_eq!(subject.transfer(0, 1, 100, 2), Err(PoolError::DelegatedLimit));
    assert!(subject.transfer(0, 0, 110, 3).is_ok());
}

#[test]
fn on_a_chain_for_development_a_delegated_account_is_as_any_other() {
    let mut subject = subject();
    subject.head.rules.is_dev = true;
    subject.pool = Pool::new(PoolOptions::default(), subject.head);
    subject.set_code(0, [&[0xef, 0x01, 0x00][..], &[7; 20]].concat());
    for nonce in [0, 1, 3] {
        subject.transfer(0, nonce, 100, 2).unwrap();
    }
    let grants = vec![wallet(0).authorize(1, 3)];
    subject.add(wallet(1).delegating(0, 100, 2, grants)).unwrap();
    assert_eq!(subject.counts(), (3, 1));
}

#[test]
fn an_authority_of_a_pending_transaction_has_one_transaction() {
    let subject = subject();
    let grants = vec![wallet(1).authorize(1, 0)];
    let hash = subject.add(wallet(0).delegating(0, 100, 2, grants)).unwrap().hash;
    subject.transfer(1, 0, 100, 2).unwrap();
    assert_eq!(subject.transfer(1, 1, 100, 2), Err(PoolError::DelegatedLimit));
    assert!(subject.pool.remove(&hash));
    assert!(!subject.pool.remove(&hash));
    subject.pool.check_invariants();
    assert!(subject.transfer(1, 1, 100, 2).is_ok());
}

#[test]
fn an_account_with_many_transactions_or_blobs_cannot_become_an_authority() {
    let subject = subject();
    let delegate = |index: u64| {
        let grants = vec![wallet(index).authorize(1, 0)];
        subject.add(wallet(0).delegating(0, 100, 2, grants)).map(drop)
    };
    for nonce in 0..2 {
        subject.transfer(1, nonce, 100, 2).unwrap();
    }
    subject.add(blobs(2, 0)).unwrap();
    subject.transfer(3, 0, 100, 2).unwrap();
    for index in [1, 2] {
        let reserved = PoolError::AuthorityReserved(wallet(index).address);
        assert_eq!(delegate(index), Err(reserved));
    }
    assert_eq!(delegate(3), Ok(()));
}

#[test]
fn the_observer_may_use_the_pool() {
    let subject = subject();
    let told = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&told);
    let observer: Arc<Observer> = Arc::new(move |tx: &Arc<PooledTx>| seen.lock().push(tx.nonce()));
    subject.pool.on_pending(&observer);
    subject.transfer(0, 1, 100, 2).unwrap();
    assert!(told.lock().is_empty());
    subject.transfer(0, 0, 100, 2).unwrap();
    assert_eq!(*told.lock(), [0, 1]);
}

#[test]
fn every_observer_is_told_for_as_long_as_it_is_kept() {
    let subject = subject();
    let told = Arc::new(Mutex::new(Vec::new()));
    let observer = |name: u64| -> Arc<Observer> {
        let seen = Arc::clone(&told);
        Arc::new(move |tx: &Arc<PooledTx>| seen.lock().push((name, tx.nonce())))
    };
    let (one, two) = (observer(1), observer(2));
    subject.pool.on_pending(&one);
    subject.pool.on_pending(&two);
    subject.transfer(0, 0, 100, 2).unwrap();
    drop(one);
    subject.transfer(0, 1, 100, 2).unwrap();
    assert_eq!(*told.lock(), [(1, 0), (2, 0), (2, 1)]);
    drop(two);
}

#[test]
fn content_is_by_sender_and_nonce() {
    let subject = subject();
    for nonce in [3, 1, 0] {
        subject.transfer(0, nonce, 100, 2).unwrap();
    }
    let PoolContent { pending, queued } = subject.pool.content();
    let nonces = |part: &BTreeMap<Address, Vec<Arc<PooledTx>>>| -> Vec<u64> {
        part[&wallet(0).address].iter().map(|tx| tx.nonce()).collect()
    };
    assert_eq!((nonces(&pending), nonces(&queued)), (vec![0, 1], vec![3]));
    assert_eq!((pending.len(), queued.len()), (1, 1));
}

#[test]
fn the_same_arrivals_give_the_same_order() {
    let order = || {
        let subject = subject();
        for index in [4, 2, 7, 1] {
            subject.transfer(index, 0, 100, 2).unwrap();
            subject.transfer(index, 1, 100, 3).unwrap();
        }
        subject.best()
    };
    let first = order();
    assert_eq!(first.len(), 8);
    assert_eq!(first, order());
}
