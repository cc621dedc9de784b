//! Keys that follow from a seed, and transactions signed with them. Signatures are deterministic
//! (RFC 6979), so a signed block is as reproducible as an unsigned one.

use alloy_consensus::{
    SignableTransaction, Signed, TxEip1559, TxEip2930, TxEip4844, TxEip7702, TxLegacy,
};
use alloy_eips::eip7702::{Authorization, SignedAuthorization};
use alloy_primitives::Signature;
use fugue_types::{Address, B256, Transaction, U256, keccak256};
use secp256k1::{Message, PublicKey, SECP256K1, SecretKey};

/// A key and the address that belongs to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wallet {
    secret: SecretKey,
    address: Address,
}

impl Wallet {
    /// The wallet number `index` of `seed`.
    pub fn derive(seed: u64, index: u64) -> Self {
        let mut input = b"fugue workload wallet".to_vec();
        input.extend_from_slice(&seed.to_be_bytes());
        input.extend_from_slice(&index.to_be_bytes());
        let mut candidate = keccak256(&input);
        loop {
            // A hash is no valid key only if it is zero or at least the order of the curve.
            if let Some(wallet) = Self::from_key(candidate) {
                return wallet;
            }
            candidate = keccak256(candidate);
        }
    }

    /// The wallet of a secret key; `None` if it is none.
    pub fn from_key(key: B256) -> Option<Self> {
        let secret = SecretKey::from_byte_array(key.0).ok()?;
        let public = PublicKey::from_secret_key(SECP256K1, &secret);
        let encoded = public.serialize_uncompressed();
        let address = Address::from_word(keccak256(&encoded[1..]));
        Some(Self { secret, address })
    }

    /// The address of the account.
    pub const fn address(&self) -> Address {
        self.address
    }

    /// Signs a hash; `s` is always in the lower half of the order (EIP-2).
    pub fn sign(&self, hash: B256) -> Signature {
        let message = Message::from_digest(hash.0);
        let (id, bytes) =
            SECP256K1.sign_ecdsa_recoverable(message, &self.secret).serialize_compact();
        let mut r = [0; 32];
        let mut s = [0; 32];
        r.copy_from_slice(&bytes[..32]);
        s.copy_from_slice(&bytes[32..]);
        Signature::new(U256::from_be_bytes(r), U256::from_be_bytes(s), i32::from(id) & 1 == 1)
    }

    /// Lets this account run the code of `delegate`; the zero address clears it (EIP-7702).
    ///
    /// A `chain_id` of zero is good on every chain.
    pub fn authorize(&self, chain_id: U256, delegate: Address, nonce: u64) -> SignedAuthorization {
        let authorization = Authorization { chain_id, address: delegate, nonce };
        let signature = self.sign(authorization.signature_hash());
        authorization.into_signed(signature)
    }

    /// A signed legacy transaction; without a chain id it is unprotected (before EIP-155).
    pub fn legacy(&self, tx: TxLegacy) -> Transaction {
        Transaction::Legacy(self.signed(tx))
    }

    /// A signed transaction with an access list (EIP-2930).
    pub fn eip2930(&self, tx: TxEip2930) -> Transaction {
        Transaction::Eip2930(self.signed(tx))
    }

    /// A signed transaction with a dynamic fee (EIP-1559).
    pub fn eip1559(&self, tx: TxEip1559) -> Transaction {
        Transaction::Eip1559(self.signed(tx))
    }

    /// A signed blob transaction as a block carries it (EIP-4844).
    pub fn eip4844(&self, tx: TxEip4844) -> Transaction {
        Transaction::Eip4844(self.signed(tx))
    }

    /// A signed transaction with authorizations (EIP-7702).
    pub fn eip7702(&self, tx: TxEip7702) -> Transaction {
        Transaction::Eip7702(self.signed(tx))
    }

    fn signed<T: SignableTransaction<Signature>>(&self, tx: T) -> Signed<T> {
        let signature = self.sign(tx.signature_hash());
        tx.into_signed(signature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_consensus::transaction::SignerRecoverable;
    use fugue_types::TxKind;

    fn recovers(wallet: Wallet, tx: &Transaction) {
        assert_eq!(tx.recover_signer().expect("valid signature"), wallet.address());
    }

    #[test]
    fn every_type_of_transaction_recovers_to_its_wallet() {
        let wallet = Wallet::derive(1, 2);
        let to = TxKind::Call(Address::repeat_byte(3));
        recovers(wallet, &wallet.legacy(TxLegacy { to, ..TxLegacy::default() }));
        let protected = TxLegacy { to, chain_id: Some(1337), ..TxLegacy::default() };
        recovers(wallet, &wallet.legacy(protected));
        recovers(wallet, &wallet.eip2930(TxEip2930 { chain_id: 1, ..TxEip2930::default() }));
        recovers(wallet, &wallet.eip1559(TxEip1559 { chain_id: 1, ..TxEip1559::default() }));
        recovers(wallet, &wallet.eip4844(TxEip4844 { chain_id: 1, ..TxEip4844::default() }));
        recovers(wallet, &wallet.eip7702(TxEip7702 { chain_id: 1, ..TxEip7702::default() }));
    }

    #[test]
    fn an_authorization_recovers_to_its_wallet() {
        let wallet = Wallet::derive(1, 3);
        let signed = wallet.authorize(U256::from(1), Address::repeat_byte(9), 5);
        let hash = signed.inner().signature_hash();
        let signature = signed.signature().expect("valid parity");
        let signer = signature.recover_address_from_prehash(&hash).expect("valid signature");
        assert_eq!(signer, wallet.address());
    }

    #[test]
    fn wallets_follow_from_seed_and_index() {
        assert_eq!(Wallet::derive(1, 1), Wallet::derive(1, 1));
        assert_ne!(Wallet::derive(1, 1).address(), Wallet::derive(1, 2).address());
        assert_ne!(Wallet::derive(1, 1).address(), Wallet::derive(2, 1).address());
    }

    #[test]
    fn signatures_are_deterministic() {
        let wallet = Wallet::derive(4, 4);
        assert_eq!(wallet.sign(B256::repeat_byte(1)), wallet.sign(B256::repeat_byte(1)));
    }
}
