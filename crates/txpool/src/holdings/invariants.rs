//! What must hold after every operation.

use super::Holdings;
use crate::{LOCAL_SENDER_TXS_MAX, PoolOptions, PooledTx, lanes::Lane};
use fugue_types::{AddressMap, TransactionTrait, U256};
use std::sync::Arc;

pub(super) fn check(holdings: &Holdings, options: &PoolOptions) {
    let mut bytes = [0; 3];
    let mut counts = [0; 3];
    let mut authorities = AddressMap::<usize>::default();
    let mut blobs = 0;
    let mut hashes = 0;
    for (address, sender) in holdings.senders() {
        assert!(!sender.entries.is_empty(), "a sender without transactions is forgotten");
        assert!(sender.entries.len() <= LOCAL_SENDER_TXS_MAX);
        let mut cost = U256::ZERO;
        for (position, (nonce, entry)) in sender.entries.iter().enumerate() {
            let tx: &PooledTx = &entry.tx;
            assert_eq!((*nonce, *address), (tx.nonce(), tx.sender));
            assert!(*nonce >= sender.account.nonce, "used nonces are dropped");
            assert!(Arc::ptr_eq(&holdings.by_hash[&tx.hash], &entry.tx));
            assert_eq!(tx.has_blobs(), sender.holds_blobs(), "one kind for each sender");
            let place = entry.place.expect("settled");
            let is_executable = position < sender.executable;
            assert_eq!(is_executable, place.lane.is_executable());
            assert_eq!(tx.has_blobs(), place.lane == Lane::Blob);
            if is_executable {
                assert_eq!(*nonce, sender.account.nonce + position as u64, "no gap");
                cost += tx.cost;
            }
            let lane = Lane::ALL.iter().position(|lane| *lane == place.lane).unwrap();
            bytes[lane] += tx.bytes;
            counts[lane] += 1;
            hashes += 1;
            blobs += tx.tx.blob_versioned_hashes().map_or(0, <[_]>::len);
            for authority in &tx.authorities {
                *authorities.entry(*authority).or_default() += 1;
            }
        }
        assert_eq!(cost, sender.cost);
        assert!(cost <= sender.account.balance, "executable ones are paid for");
    }
    assert_eq!(holdings.by_hash.len(), hashes);
    assert_eq!(holdings.authorities, authorities);
    for ((lane, bytes), count) in Lane::ALL.into_iter().zip(bytes).zip(counts) {
        let found = holdings.lanes.get(lane);
        assert_eq!((found.bytes, found.count), (bytes, count), "{lane:?}");
        assert_eq!(holdings.lanes.keys(lane), [count; 2], "{lane:?}");
        assert!(bytes <= lane.bytes_max(options), "{lane:?}");
    }
    let (mined_bytes, kept) = holdings.blobs.mined_bytes();
    assert_eq!(mined_bytes, kept);
    assert!(holdings.blobs.carrier_count() >= blobs);
}
