//! A transaction in the pool, and the form in which it comes and goes.

use crate::{Origin, Sidecar};
use alloy_consensus::{EthereumTxEnvelope, Signed, TxEip4844WithSidecar};
use alloy_eips::{eip2718::Encodable2718, eip4844::DATA_GAS_PER_BLOB, eip7594::Encodable7594};
use fugue_types::{Address, B256, Transaction, TransactionTrait, U256};
use std::sync::Arc;

/// A transaction as peers and wallets send it: blob transactions with their sidecar.
pub type PooledTransaction = EthereumTxEnvelope<TxEip4844WithSidecar<Sidecar>>;

/// What a transaction takes beside its encoding: itself, and its places in the indexes; about.
pub const TX_OVERHEAD_BYTES: usize = 1_024;

/// A transaction in the pool.
#[derive(Debug)]
pub struct PooledTx {
    /// As a block carries it: without sidecar.
    pub tx: Transaction,
    /// Its hash.
    pub hash: B256,
    /// Who signed it, and pays.
    pub sender: Address,
    /// The blobs of a blob transaction; `None` for all others.
    pub sidecar: Option<Arc<Sidecar>>,
    /// Who sent it.
    pub origin: Origin,
    /// What it counts for against the bounds of the pool: its encoding with the sidecar, and
    /// [`TX_OVERHEAD_BYTES`].
    pub bytes: usize,
    /// The most that it may cost its sender, in wei: value, gas and blob gas.
    pub cost: U256,
    /// Accounts that it may delegate (EIP-7702), each once.
    pub(crate) authorities: Vec<Address>,
    /// Counts up with each arrival.
    pub(crate) sequence: u64,
}

/// The hash covers the signature.
impl PartialEq for PooledTx {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
    }
}

impl Eq for PooledTx {}

impl PooledTx {
    pub(crate) fn new(
        tx: Transaction,
        sender: Address,
        sidecar: Option<Arc<Sidecar>>,
        origin: Origin,
        chain_id: u64,
    ) -> Self {
        let encoded = encoded_bytes(&tx, sidecar.as_deref());
        Self {
            hash: *tx.hash(),
            sender,
            origin,
            bytes: encoded.saturating_add(TX_OVERHEAD_BYTES),
            cost: cost(&tx),
            authorities: authorities(&tx, chain_id),
            sequence: 0,
            sidecar,
            tx,
        }
    }

    /// The sender's nonce.
    pub fn nonce(&self) -> u64 {
        self.tx.nonce()
    }

    /// Most that it pays per gas, in wei.
    pub fn max_fee(&self) -> u128 {
        self.tx.max_fee_per_gas()
    }

    /// Most that it pays per gas to the author of the block, in wei: the gas price of a
    /// transaction without a priority fee.
    pub fn max_tip(&self) -> u128 {
        self.tx.priority_fee_or_price()
    }

    /// What it pays per gas to the author of a block with this base fee, in wei; `None` if it does
    /// not reach the base fee. Source: EIP-1559.
    pub fn tip(&self, base_fee: u64) -> Option<u128> {
        self.tx.effective_tip_per_gas(base_fee)
    }

    /// Most that it pays per blob gas, in wei; `None` without blobs.
    pub fn max_blob_fee(&self) -> Option<u128> {
        self.tx.max_fee_per_blob_gas()
    }

    /// Counts up with each arrival: the order among equals.
    pub const fn sequence(&self) -> u64 {
        self.sequence
    }

    pub(crate) const fn has_blobs(&self) -> bool {
        self.sidecar.is_some()
    }

    /// Whether the next block may have it at these fees.
    pub(crate) fn reaches(&self, base_fee: u64, blob_base_fee: Option<u128>) -> bool {
        let reaches_blob_fee = match (self.max_blob_fee(), blob_base_fee) {
            (None, _) => true,
            (Some(max), Some(fee)) => max >= fee,
            (Some(_), None) => false,
        };
        reaches_blob_fee && self.max_fee() >= u128::from(base_fee)
    }

    /// The form in which peers and wallets send it (EIP-2718), with the sidecar.
    ///
    /// Copies the blobs.
    pub fn encoded(&self) -> Vec<u8> {
        if let (Transaction::Eip4844(signed), Some(sidecar)) = (&self.tx, &self.sidecar) {
            let tx = signed.tx().clone().with_sidecar(Sidecar::clone(sidecar));
            let signed = Signed::new_unchecked(tx, *signed.signature(), self.hash);
            return PooledTransaction::Eip4844(signed).encoded_2718();
        }
        self.tx.encoded_2718()
    }
}

/// Parts a transaction from its sidecar: it is then as a block carries it.
pub fn split(tx: PooledTransaction) -> (Transaction, Option<Sidecar>) {
    match tx {
        PooledTransaction::Legacy(tx) => (Transaction::Legacy(tx), None),
        PooledTransaction::Eip2930(tx) => (Transaction::Eip2930(tx), None),
        PooledTransaction::Eip1559(tx) => (Transaction::Eip1559(tx), None),
        PooledTransaction::Eip4844(signed) => {
            let signature = *signed.signature();
            let (tx, sidecar) = signed.strip_signature().into_parts();
            (Transaction::Eip4844(Signed::new_unhashed(tx, signature)), Some(sidecar))
        }
        PooledTransaction::Eip7702(tx) => (Transaction::Eip7702(tx), None),
    }
}

/// Bytes of the form in which it is sent; for blob transactions up to a list header too few.
pub(crate) fn encoded_bytes(tx: &Transaction, sidecar: Option<&Sidecar>) -> usize {
    let sidecar = sidecar.map_or(0, Encodable7594::encode_7594_len);
    tx.eip2718_encoded_length().saturating_add(sidecar)
}

/// Source: Yellow Paper, "Transaction Validity", up-front cost; EIP-1559; EIP-4844.
fn cost(tx: &Transaction) -> U256 {
    let gas = U256::from(tx.gas_limit()).saturating_mul(U256::from(tx.max_fee_per_gas()));
    let blobs = tx.blob_versioned_hashes().map_or(0, <[_]>::len);
    let blob_gas = U256::from(blobs).saturating_mul(U256::from(DATA_GAS_PER_BLOB));
    let blob_fee = U256::from(tx.max_fee_per_blob_gas().unwrap_or_default());
    tx.value().saturating_add(gas).saturating_add(blob_gas.saturating_mul(blob_fee))
}

/// Who signed the authorizations that hold on this chain. Source: EIP-7702, "Behavior".
fn authorities(tx: &Transaction, chain_id: u64) -> Vec<Address> {
    let here = U256::from(chain_id);
    let list = tx.authorization_list().unwrap_or_default();
    let on_chain = list.iter().filter(|one| one.chain_id.is_zero() || one.chain_id == here);
    let mut authorities: Vec<_> = on_chain.filter_map(|one| one.recover_authority().ok()).collect();
    authorities.sort_unstable();
    authorities.dedup();
    authorities
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{cell_sidecar, wallet};
    use alloy_eips::eip2718::Decodable2718;

    fn pooled(tx: PooledTransaction) -> PooledTx {
        let (tx, sidecar) = split(tx);
        let sender = Address::ZERO;
        PooledTx::new(tx, sender, sidecar.map(Arc::new), Origin::Local, 1)
    }

    #[test]
    fn splitting_and_encoding_give_back_what_was_sent() {
        let wallet = wallet(1);
        for tx in wallet.each_type(0) {
            let sent = tx.encoded_2718();
            let hash = *tx.hash();
            let pooled = pooled(tx);
            assert_eq!(pooled.hash, hash);
            assert_eq!(pooled.encoded(), sent);
            let again = PooledTransaction::decode_2718_exact(&sent).unwrap();
            assert_eq!(*again.hash(), hash);
            let bytes = pooled.bytes - TX_OVERHEAD_BYTES;
            assert!(bytes <= sent.len() && bytes + 8 >= sent.len(), "{bytes} {}", sent.len());
        }
    }

    #[test]
    fn cost_is_value_and_gas_and_blob_gas() {
        let plain = pooled(wallet(1).transfer(0, 7, 1));
        assert_eq!(plain.cost, U256::from(21_000 * 7));
        let blob = pooled(wallet(1).blobs(0, 7, 1, 3, cell_sidecar()));
        assert_eq!(blob.cost, U256::from(21_000 * 7 + 3 * DATA_GAS_PER_BLOB));
    }

    #[test]
    fn authorities_are_those_of_this_chain_each_once() {
        let [first, second, third] = [2, 3, 4].map(wallet);
        let grants = vec![
            first.authorize(1, 0),
            second.authorize(0, 0),
            first.authorize(0, 1),
            third.authorize(99, 0),
        ];
        let tx = pooled(wallet(1).delegating(0, 7, 1, grants));
        let mut expected = vec![first.address, second.address];
        expected.sort_unstable();
        assert_eq!(tx.authorities, expected);
    }

    #[test]
    fn a_price_below_the_base_fee_has_no_tip() {
        let tx = pooled(wallet(1).transfer(0, 7, 3));
        assert_eq!((tx.tip(3), tx.tip(5), tx.tip(8)), (Some(3), Some(2), None));
        assert!(tx.reaches(7, None) && !tx.reaches(8, None));
        let blob = pooled(wallet(1).blobs(0, 7, 1, 3, cell_sidecar()));
        assert!(blob.reaches(7, Some(3)));
        assert!(!blob.reaches(7, Some(4)) && !blob.reaches(7, None));
    }
}
