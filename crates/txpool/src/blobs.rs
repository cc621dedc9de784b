//! Blobs by versioned hash: those of the pool, and those of blocks that came lately.
//!
//! A blob transaction that a block has takes its sidecar out of the pool. It stays here for a
//! while, for a consensus client that asks for its blobs (`engine_getBlobs`), and for a
//! reorganisation that gives the transaction back.

use crate::{PooledTx, Sidecar};
use alloy_eips::{
    eip4844::{Blob, Bytes48},
    eip7594::CELLS_PER_EXT_BLOB,
};
use fugue_types::{B256, B256Map, TransactionTrait};
use std::{collections::VecDeque, sync::Arc};

/// Bytes of mined blob transactions that are kept.
pub(crate) const MINED_BLOB_BYTES_MAX: usize = 64 << 20;

/// A blob with its commitment and proofs, inside the sidecar that brought it.
#[derive(Debug, Clone)]
pub struct PooledBlob {
    sidecar: Arc<Sidecar>,
    index: usize,
}

impl PooledBlob {
    /// The sidecar.
    pub const fn sidecar(&self) -> &Arc<Sidecar> {
        &self.sidecar
    }

    /// Which one of the sidecar it is.
    pub const fn index(&self) -> usize {
        self.index
    }

    /// The blob itself.
    pub fn blob(&self) -> Option<&Blob> {
        self.sidecar.blobs().get(self.index)
    }

    /// Its commitment.
    pub fn commitment(&self) -> Option<&Bytes48> {
        self.sidecar.commitments().get(self.index)
    }

    /// Its proofs: one for the blob (EIP-4844), or one for each cell (EIP-7594).
    pub fn proofs(&self) -> Option<&[Bytes48]> {
        let (proofs, count) = match &*self.sidecar {
            Sidecar::Eip4844(sidecar) => (&sidecar.proofs, 1),
            Sidecar::Eip7594(sidecar) => (&sidecar.cell_proofs, CELLS_PER_EXT_BLOB),
        };
        let start = self.index.checked_mul(count)?;
        proofs.get(start..start.checked_add(count)?)
    }
}

/// A place where a blob is.
#[derive(Debug)]
struct Carrier {
    tx: B256,
    blob: PooledBlob,
}

/// Blobs by versioned hash.
///
/// The same blob may be carried by several transactions, and twice by one.
#[derive(Debug, Default)]
struct Carriers {
    by_blob: B256Map<Vec<Carrier>>,
}

impl Carriers {
    fn add(&mut self, tx: &PooledTx) {
        let Some(sidecar) = &tx.sidecar else { return };
        for (index, hash) in blob_hashes(tx).iter().enumerate() {
            let blob = PooledBlob { sidecar: Arc::clone(sidecar), index };
            self.by_blob.entry(*hash).or_default().push(Carrier { tx: tx.hash, blob });
        }
    }

    /// Takes back what one `add` of the transaction added.
    fn remove(&mut self, tx: &PooledTx) {
        for (index, hash) in blob_hashes(tx).iter().enumerate() {
            let Some(carriers) = self.by_blob.get_mut(hash) else { continue };
            let is_it = |one: &Carrier| one.tx == tx.hash && one.blob.index == index;
            if let Some(position) = carriers.iter().position(is_it) {
                carriers.swap_remove(position);
            }
            if carriers.is_empty() {
                self.by_blob.remove(hash);
            }
        }
    }
}

fn blob_hashes(tx: &PooledTx) -> &[B256] {
    tx.tx.blob_versioned_hashes().unwrap_or_default()
}

/// Blobs of the pool and of mined transactions.
#[derive(Debug, Default)]
pub(crate) struct Blobs {
    carriers: Carriers,
    mined: B256Map<Arc<PooledTx>>,
    /// Oldest first.
    order: VecDeque<B256>,
    /// Of the mined ones.
    bytes: usize,
}

impl Blobs {
    /// A transaction entered the pool. Does nothing for one without blobs.
    pub(crate) fn enter(&mut self, tx: &PooledTx) {
        self.carriers.add(tx);
    }

    /// A transaction left the pool.
    pub(crate) fn leave(&mut self, tx: &PooledTx) {
        self.carriers.remove(tx);
    }

    /// Keeps the blobs of a mined transaction, and forgets the oldest above the bound.
    pub(crate) fn keep_mined(&mut self, tx: Arc<PooledTx>) {
        if !tx.has_blobs() || self.mined.contains_key(&tx.hash) {
            return;
        }
        self.carriers.add(&tx);
        self.bytes = self.bytes.saturating_add(tx.bytes);
        self.order.push_back(tx.hash);
        self.mined.insert(tx.hash, tx);
        while self.bytes > MINED_BLOB_BYTES_MAX {
            let Some(oldest) = self.order.pop_front() else { break };
            if let Some(oldest) = self.mined.remove(&oldest) {
                self.bytes = self.bytes.saturating_sub(oldest.bytes);
                self.carriers.remove(&oldest);
            }
        }
    }

    /// The sidecar of a transaction that was mined lately.
    pub(crate) fn mined_sidecar(&self, tx: &B256) -> Option<Arc<Sidecar>> {
        self.mined.get(tx)?.sidecar.clone()
    }

    pub(crate) fn get(&self, versioned_hash: &B256) -> Option<PooledBlob> {
        let carriers = self.by_blob(versioned_hash)?;
        carriers.first().map(|carrier| carrier.blob.clone())
    }

    fn by_blob(&self, versioned_hash: &B256) -> Option<&Vec<Carrier>> {
        self.carriers.by_blob.get(versioned_hash)
    }

    /// How many places of blobs are known.
    #[cfg(test)]
    pub(crate) fn carrier_count(&self) -> usize {
        self.carriers.by_blob.values().map(Vec::len).sum()
    }

    /// Bytes of mined transactions, counted anew and as kept.
    #[cfg(test)]
    pub(crate) fn mined_bytes(&self) -> (usize, usize) {
        (self.mined.values().map(|tx| tx.bytes).sum(), self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{cell_sidecar, old_sidecar, pooled_blobs};

    fn mined(nonce: u64, bytes: usize) -> Arc<PooledTx> {
        let mut tx = pooled_blobs(1, nonce, cell_sidecar());
        tx.bytes = bytes;
        Arc::new(tx)
    }

    #[test]
    fn a_blob_comes_with_its_proofs() {
        for (sidecar, proofs) in [(old_sidecar(), 1), (cell_sidecar(), CELLS_PER_EXT_BLOB)] {
            let tx = pooled_blobs(1, 0, sidecar.clone());
            let mut blobs = Blobs::default();
            blobs.enter(&tx);
            let blob = blobs.get(&blob_hashes(&tx)[0]).unwrap();
            assert_eq!(blob.blob(), sidecar.blobs().first());
            assert_eq!(blob.commitment(), sidecar.commitments().first());
            assert_eq!(blob.proofs().map(<[_]>::len), Some(proofs));
            assert_eq!(blobs.get(&B256::ZERO).map(|blob| blob.index()), None);
        }
    }

    #[test]
    fn a_blob_stays_while_any_transaction_carries_it() {
        let [first, second] = [0, 1].map(|nonce| pooled_blobs(1, nonce, cell_sidecar()));
        let hash = blob_hashes(&first)[0];
        let mut blobs = Blobs::default();
        blobs.enter(&first);
        blobs.enter(&second);
        blobs.leave(&first);
        assert!(blobs.get(&hash).is_some());
        blobs.leave(&second);
        assert!(blobs.get(&hash).is_none());
        assert_eq!(blobs.carrier_count(), 0);
    }

    #[test]
    fn mined_blobs_are_kept_up_to_their_bound() {
        let mut blobs = Blobs::default();
        let [first, second] = [0, 1].map(|nonce| mined(nonce, MINED_BLOB_BYTES_MAX / 2));
        blobs.keep_mined(first.clone());
        blobs.keep_mined(first.clone());
        blobs.keep_mined(second.clone());
        assert_eq!(blobs.carrier_count(), 2);
        assert!(blobs.mined_sidecar(&first.hash).is_some());
        blobs.keep_mined(mined(2, 1_000));
        assert!(blobs.mined_sidecar(&first.hash).is_none());
        assert!(blobs.mined_sidecar(&second.hash).is_some());
        assert_eq!(blobs.carrier_count(), 2);
        let (counted, kept) = blobs.mined_bytes();
        assert_eq!(counted, kept);
    }
}
