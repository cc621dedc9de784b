//! Wallets, signed transactions, blobs, heads and states for the tests of this crate.

use crate::{
    Origin, PoolHead, PooledTransaction, PooledTx, Sidecar, SidecarForm, prove_blobs, tx::split,
};
use alloy_consensus::{
    SignableTransaction, Signed, TxEip1559, TxEip2930, TxEip4844, TxEip7702, TxLegacy,
};
use alloy_eips::{
    eip4844::Blob,
    eip7702::{Authorization, SignedAuthorization},
};
use alloy_primitives::Signature;
use fugue_chainspec::{ChainSpec, Fork, Rules};
use fugue_state::{Account, MemoryAccount, MemoryState};
use fugue_types::{Address, B256, HashMap, Header, TxKind, U256, keccak256};
use secp256k1::{Message, PublicKey, SECP256K1, SecretKey};
use std::sync::{Arc, LazyLock};

/// Gas limit of [`head`].
pub(crate) const GAS_LIMIT: u64 = 60_000_000;
/// Gas limit of every transaction without authorizations.
pub(crate) const GAS: u64 = 21_000;
/// Where all of them go.
const TO: Address = Address::repeat_byte(0xee);

static OLD_SIDECAR: LazyLock<Sidecar> = LazyLock::new(|| one_blob(SidecarForm::BlobProofs));
static CELL_SIDECAR: LazyLock<Sidecar> = LazyLock::new(|| one_blob(SidecarForm::CellProofs));

fn one_blob(form: SidecarForm) -> Sidecar {
    prove_blobs(vec![Blob::repeat_byte(1)], form).unwrap()
}

/// One blob with one proof.
pub(crate) fn old_sidecar() -> Sidecar {
    OLD_SIDECAR.clone()
}

/// One blob with a proof for each cell.
pub(crate) fn cell_sidecar() -> Sidecar {
    CELL_SIDECAR.clone()
}

pub(crate) fn hashes(sidecar: &Sidecar) -> Vec<B256> {
    sidecar.versioned_hashes().collect()
}

/// Where `fork` holds from genesis on, on chain 1.
pub(crate) fn rules(fork: Fork) -> Rules {
    let header = Header { number: 1, timestamp: 1, ..Header::default() };
    ChainSpec::at_fork(1, fork).rules(&header)
}

/// Base fee 10, blob base fee 1.
pub(crate) fn head(fork: Fork) -> PoolHead {
    PoolHead {
        number: 1,
        hash: B256::repeat_byte(1),
        rules: rules(fork),
        base_fee: 10,
        blob_base_fee: Some(1),
        gas_limit: GAS_LIMIT,
    }
}

/// A state with these accounts: nonce and balance.
pub(crate) fn state(accounts: &[(Address, u64, u64)]) -> MemoryState {
    let mut state = MemoryState::default();
    for (address, nonce, balance) in accounts {
        let account =
            Account { nonce: *nonce, balance: U256::from(*balance), ..Account::default() };
        let account = MemoryAccount { account, slots: HashMap::default() };
        state.accounts.insert(*address, account);
    }
    state
}

/// A key and its address.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wallet {
    secret: SecretKey,
    pub(crate) address: Address,
}

pub(crate) fn wallet(index: u64) -> Wallet {
    let key = keccak256([&b"fugue txpool wallet"[..], &index.to_be_bytes()].concat());
    let secret = SecretKey::from_byte_array(key.0).expect("a hash is hardly ever no key");
    let public = PublicKey::from_secret_key(SECP256K1, &secret).serialize_uncompressed();
    Wallet { secret, address: Address::from_word(keccak256(&public[1..])) }
}

impl Wallet {
    fn sign(&self, hash: B256) -> Signature {
        let message = Message::from_digest(hash.0);
        let signed = SECP256K1.sign_ecdsa_recoverable(message, &self.secret);
        let (id, bytes) = signed.serialize_compact();
        let (r, s) = (U256::from_be_slice(&bytes[..32]), U256::from_be_slice(&bytes[32..]));
        Signature::new(r, s, i32::from(id) & 1 == 1)
    }

    pub(crate) fn signed<T: SignableTransaction<Signature>>(&self, tx: T) -> Signed<T> {
        let signature = self.sign(tx.signature_hash());
        tx.into_signed(signature)
    }

    pub(crate) fn authorize(&self, chain_id: u64, nonce: u64) -> SignedAuthorization {
        let chain_id = U256::from(chain_id);
        let authorization = Authorization { chain_id, address: TO, nonce };
        let signature = self.sign(authorization.signature_hash());
        authorization.into_signed(signature)
    }

    /// Costs `max_fee * GAS`.
    pub(crate) fn transfer(&self, nonce: u64, max_fee: u128, tip: u128) -> PooledTransaction {
        PooledTransaction::Eip1559(self.signed(TxEip1559 {
            chain_id: 1,
            nonce,
            gas_limit: GAS,
            max_fee_per_gas: max_fee,
            max_priority_fee_per_gas: tip,
            to: TxKind::Call(TO),
            ..TxEip1559::default()
        }))
    }

    pub(crate) fn legacy(
        &self,
        nonce: u64,
        gas_price: u128,
        chain_id: Option<u64>,
    ) -> PooledTransaction {
        PooledTransaction::Legacy(self.signed(TxLegacy {
            chain_id,
            nonce,
            gas_price,
            gas_limit: GAS,
            to: TxKind::Call(TO),
            ..TxLegacy::default()
        }))
    }

    pub(crate) fn blobs(
        &self,
        nonce: u64,
        max_fee: u128,
        tip: u128,
        blob_fee: u128,
        sidecar: Sidecar,
    ) -> PooledTransaction {
        let tx = TxEip4844 {
            chain_id: 1,
            nonce,
            gas_limit: GAS,
            max_fee_per_gas: max_fee,
            max_priority_fee_per_gas: tip,
            to: TO,
            blob_versioned_hashes: hashes(&sidecar),
            max_fee_per_blob_gas: blob_fee,
            ..TxEip4844::default()
        };
        let signature = self.sign(tx.signature_hash());
        let signed = Signed::new_unhashed(tx.with_sidecar(sidecar), signature);
        PooledTransaction::Eip4844(signed)
    }

    pub(crate) fn delegating(
        &self,
        nonce: u64,
        max_fee: u128,
        tip: u128,
        authorization_list: Vec<SignedAuthorization>,
    ) -> PooledTransaction {
        PooledTransaction::Eip7702(self.signed(TxEip7702 {
            chain_id: 1,
            nonce,
            gas_limit: 200_000,
            max_fee_per_gas: max_fee,
            max_priority_fee_per_gas: tip,
            to: TO,
            authorization_list,
            ..TxEip7702::default()
        }))
    }

    /// One of each type, all with this nonce.
    pub(crate) fn each_type(&self, nonce: u64) -> Vec<PooledTransaction> {
        let listed = TxEip2930 {
            chain_id: 1,
            nonce,
            gas_price: 100,
            gas_limit: GAS,
            to: TxKind::Call(TO),
            ..TxEip2930::default()
        };
        vec![
            self.legacy(nonce, 100, Some(1)),
            PooledTransaction::Eip2930(self.signed(listed)),
            self.transfer(nonce, 100, 2),
            self.blobs(nonce, 100, 2, 5, cell_sidecar()),
            self.delegating(nonce, 100, 2, vec![wallet(77).authorize(1, 0)]),
        ]
    }
}

/// As the pool holds it, without any check.
pub(crate) fn unchecked(tx: PooledTransaction, sender: Address) -> PooledTx {
    let (tx, sidecar) = split(tx);
    PooledTx::new(tx, sender, sidecar.map(Arc::new), Origin::External, 1)
}

/// A transfer of the wallet with this index, without any check.
pub(crate) fn pooled(index: u64, nonce: u64, max_fee: u128, tip: u128) -> PooledTx {
    let wallet = wallet(index);
    unchecked(wallet.transfer(nonce, max_fee, tip), wallet.address)
}

/// The same with blobs, at fees of 100 and a blob fee of 5.
pub(crate) fn pooled_blobs(index: u64, nonce: u64, sidecar: Sidecar) -> PooledTx {
    let wallet = wallet(index);
    unchecked(wallet.blobs(nonce, 100, 2, 5, sidecar), wallet.address)
}
