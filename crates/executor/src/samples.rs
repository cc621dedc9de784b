//! What tests of several modules are made of.

use alloy_consensus::crypto::SECP256K1N_HALF;
use alloy_eips::eip7702::{Authorization, SignedAuthorization};
use fugue_types::{Address, B256, U256, address, b256};

/// The address whose private key is 1.
pub(crate) const AUTHORITY: Address = address!("7e5f4552091a69125d5dfcb7b8c2659029395bdf");
/// The generator of secp256k1: its x; its y is even.
const GENERATOR: B256 = b256!("79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798");

/// Lets [`AUTHORITY`] have the code of another account. Its signature is the one whose nonce is 1.
pub(crate) fn authorization(target: Address, nonce: u64) -> SignedAuthorization {
    let authorization = Authorization { chain_id: U256::ZERO, address: target, nonce };
    let order = SECP256K1N_HALF * U256::from(2) + U256::from(1);
    let r = U256::from_be_bytes(GENERATOR.0);
    let hash = U256::from_be_bytes(authorization.signature_hash().0);
    let s = hash.add_mod(r, order);
    let (s, parity) = if s > SECP256K1N_HALF { (order - s, 1) } else { (s, 0) };
    SignedAuthorization::new_unchecked(authorization, parity, r, s)
}
