//! Local transactions that blocks have, until those are final: if a block leaves the chain, they
//! come back as what they were, with their blobs, also after a restart.

use crate::PooledTx;
use fugue_types::{B256, B256Map};
use std::{collections::VecDeque, sync::Arc};

/// Transactions that are remembered.
const TXS_MAX: usize = 4_096;
/// Bytes of those, with their blobs.
const BYTES_MAX: usize = 32 << 20;

/// Local transactions of blocks.
#[derive(Debug, Default)]
pub(crate) struct MinedLocal {
    txs: B256Map<Arc<PooledTx>>,
    /// Oldest first, each with the number of a block up to which one has it.
    order: VecDeque<(u64, B256)>,
    bytes: usize,
}

impl MinedLocal {
    /// Remembers one that a block up to this one has, and forgets the oldest above the bounds.
    pub(crate) fn keep(&mut self, number: u64, tx: Arc<PooledTx>) {
        self.forget(&tx.hash);
        self.bytes = self.bytes.saturating_add(tx.bytes);
        self.order.push_back((number, tx.hash));
        self.txs.insert(tx.hash, tx);
        while self.order.len() > TXS_MAX || self.bytes > BYTES_MAX {
            let Some((_, oldest)) = self.order.pop_front() else { break };
            self.drop_tx(&oldest);
        }
    }

    pub(crate) fn get(&self, hash: &B256) -> Option<&Arc<PooledTx>> {
        self.txs.get(hash)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<PooledTx>> {
        self.txs.values()
    }

    pub(crate) fn forget(&mut self, hash: &B256) {
        if self.drop_tx(hash) {
            self.order.retain(|(_, other)| other != hash);
        }
    }

    /// Forgets what a block up to this one has.
    pub(crate) fn forget_up_to(&mut self, number: u64) {
        let Self { txs, order, bytes } = self;
        order.retain(|(at, hash)| {
            let is_kept = *at > number;
            if !is_kept && let Some(tx) = txs.remove(hash) {
                *bytes = bytes.saturating_sub(tx.bytes);
            }
            is_kept
        });
    }

    fn drop_tx(&mut self, hash: &B256) -> bool {
        let Some(tx) = self.txs.remove(hash) else { return false };
        self.bytes = self.bytes.saturating_sub(tx.bytes);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::pooled;

    fn tx(nonce: u64, bytes: usize) -> Arc<PooledTx> {
        let mut tx = pooled(1, nonce, 100, 2);
        tx.bytes = bytes;
        Arc::new(tx)
    }

    fn nonces(mined: &MinedLocal) -> Vec<u64> {
        assert_eq!(mined.order.len(), mined.txs.len());
        assert_eq!(mined.bytes, mined.iter().map(|tx| tx.bytes).sum::<usize>());
        mined.order.iter().map(|(_, hash)| mined.txs[hash].nonce()).collect()
    }

    #[test]
    fn the_oldest_are_forgotten_above_the_bounds() {
        let mut mined = MinedLocal::default();
        for nonce in 0..3 {
            mined.keep(nonce, tx(nonce, BYTES_MAX / 3));
        }
        assert_eq!(nonces(&mined), [0, 1, 2]);
        mined.keep(3, tx(3, BYTES_MAX / 3));
        assert_eq!(nonces(&mined), [1, 2, 3]);
        // What another block has is as new as that.
        mined.keep(4, tx(1, BYTES_MAX / 3));
        assert_eq!(nonces(&mined), [2, 3, 1]);
        let mut mined = MinedLocal::default();
        let count = TXS_MAX as u64;
        for nonce in 0..=count {
            mined.keep(5, tx(nonce, 1));
        }
        assert_eq!(nonces(&mined), (1..=count).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_final_is_forgotten() {
        let mut mined = MinedLocal::default();
        // After a reorganisation the head may be lower.
        for (nonce, number) in [(0, 7), (1, 5), (2, 6), (3, 8)] {
            mined.keep(number, tx(nonce, 1_000));
        }
        mined.forget_up_to(6);
        assert_eq!(nonces(&mined), [0, 3]);
        mined.forget_up_to(8);
        assert!(nonces(&mined).is_empty());
    }
}
