//! Types, prices, gas limits and signatures of a script's transactions.

use super::{Grant, Script};
use crate::{CHAIN_ID, Call, Fee, TX_GAS_LIMIT_MAX, Wallet, gwei};
use alloy_consensus::{TxEip1559, TxEip2930, TxEip4844, TxEip7702, TxLegacy};
use alloy_eips::{
    eip4844::VERSIONED_HASH_VERSION_KZG,
    eip7702::{Authorization, SignedAuthorization},
};
use fugue_chainspec::Fork;
use fugue_types::{Address, B256, Transaction, TxKind, U256};

/// Most that a transaction offers per unit of gas, in gwei.
const MAX_FEE_GWEI: u64 = 100;
/// What an authorization may cost. Source: EIP-7702, `PER_EMPTY_ACCOUNT_COST`.
const GRANT_GAS: u64 = 25_000;
/// The same from Amsterdam on, where it may pay for a new account and 23 more bytes (EIP-8037).
const GRANT_GAS_AMSTERDAM: u64 = 300_000;
/// What one more slot may cost from Amsterdam on (EIP-8037): 64 bytes of 1,530 gas each.
const FRESH_GAS_AMSTERDAM: u64 = 100_000;

/// Type and price of a transaction.
enum Offer {
    Legacy { gas_price: u128, protected: bool },
    AccessList { gas_price: u128 },
    Dynamic { max_fee_per_gas: u128, max_priority_fee_per_gas: u128 },
    Blobs { max_fee_per_gas: u128, max_priority_fee_per_gas: u128 },
    Delegation { max_fee_per_gas: u128, max_priority_fee_per_gas: u128 },
}

impl Script {
    /// The most wei that a transaction without value and blobs may need up front.
    pub fn upfront(&self, call: &Call) -> U256 {
        U256::from(u128::from(self.gas_limit(call, 0)) * gwei(MAX_FEE_GWEI))
    }

    fn gas_limit(&self, call: &Call, grants: u64) -> u64 {
        let Call { gas, fresh, input, access, .. } = call;
        let (addresses, keys) = access.as_ref().map_or((0, 0), |list| {
            let keys: usize = list.0.iter().map(|item| item.storage_keys.len()).sum();
            (list.0.len() as u64, keys as u64)
        });
        // A listed address or key costs 2,400 or 1,900 at first, 4,180 or 4,048 with EIP-7981.
        let wanted = if self.has(Fork::Amsterdam) {
            gas * 3 / 2
                + fresh * FRESH_GAS_AMSTERDAM
                + grants * GRANT_GAS_AMSTERDAM
                + (addresses + keys) * 5_000
                // The floor of EIP-7976.
                + input.len() as u64 * 64
        } else {
            gas + grants * GRANT_GAS + (addresses + keys) * 2_400
        };
        wanted.min(TX_GAS_LIMIT_MAX)
    }

    fn authorization(&mut self, grant: Grant) -> SignedAuthorization {
        let here = U256::from(CHAIN_ID);
        match grant {
            Grant::To(wallet, target) => wallet.authorize(here, target, self.take_nonce(wallet)),
            Grant::AnyChain(wallet, target) => {
                wallet.authorize(U256::ZERO, target, self.take_nonce(wallet))
            }
            Grant::WrongNonce(wallet, target) => {
                wallet.authorize(here, target, self.next_nonce(wallet) + 1_000_000)
            }
            Grant::WrongChain(wallet, target) => {
                wallet.authorize(here + U256::from(1), target, self.next_nonce(wallet))
            }
            Grant::Forged(target) => {
                let unsigned = Authorization { chain_id: here, address: target, nonce: 0 };
                // `s` is above half of the order of the curve, which EIP-7702 refuses.
                SignedAuthorization::new_unchecked(unsigned, 1, U256::from(1), U256::MAX)
            }
        }
    }

    pub(super) fn sign(&mut self, from: Wallet, call: Call, grants: &[Grant]) -> Transaction {
        let gas_limit = self.gas_limit(&call, grants.len() as u64);
        let offer = self.offer(&call, grants);
        // The sender's nonce rises before authorizations are looked at (EIP-7702).
        let nonce = self.take_nonce(from);
        let Call { to, value, input, access, blobs, .. } = call;
        let access_list = access.unwrap_or_default();
        let chain_id = CHAIN_ID;
        match offer {
            Offer::Legacy { gas_price, protected } => from.legacy(TxLegacy {
                chain_id: protected.then_some(chain_id),
                nonce,
                gas_price,
                gas_limit,
                to,
                value,
                input,
            }),
            Offer::AccessList { gas_price } => from.eip2930(TxEip2930 {
                chain_id,
                nonce,
                gas_price,
                gas_limit,
                to,
                value,
                access_list,
                input,
            }),
            Offer::Dynamic { max_fee_per_gas, max_priority_fee_per_gas } => {
                from.eip1559(TxEip1559 {
                    chain_id,
                    nonce,
                    gas_limit,
                    max_fee_per_gas,
                    max_priority_fee_per_gas,
                    to,
                    value,
                    access_list,
                    input,
                })
            }
            Offer::Blobs { max_fee_per_gas, max_priority_fee_per_gas } => from.eip4844(TxEip4844 {
                chain_id,
                nonce,
                gas_limit,
                max_fee_per_gas,
                max_priority_fee_per_gas,
                to: recipient(to),
                value,
                access_list,
                blob_versioned_hashes: (0..blobs).map(|_| self.versioned_hash()).collect(),
                max_fee_per_blob_gas: gwei(MAX_FEE_GWEI),
                input,
            }),
            Offer::Delegation { max_fee_per_gas, max_priority_fee_per_gas } => {
                let authorization_list =
                    grants.iter().map(|grant| self.authorization(*grant)).collect();
                from.eip7702(TxEip7702 {
                    chain_id,
                    nonce,
                    gas_limit,
                    max_fee_per_gas,
                    max_priority_fee_per_gas,
                    to: recipient(to),
                    value,
                    access_list,
                    authorization_list,
                    input,
                })
            }
        }
    }

    /// The hash of a commitment that nobody knows, which is all that execution sees of a blob.
    fn versioned_hash(&mut self) -> B256 {
        let mut hash = self.rng.bytes32();
        hash.0[0] = VERSIONED_HASH_VERSION_KZG;
        hash
    }

    /// Type and price, by what the fork has and the call needs.
    fn offer(&mut self, call: &Call, grants: &[Grant]) -> Offer {
        if !self.has(Fork::London) {
            let gas_price = match call.fee {
                Fee::Usual => gwei(1 + self.rng.below(20)),
                Fee::Nothing => 0,
                Fee::Gwei { tip, .. } => gwei(tip),
            };
            let listed = call.access.is_some() || self.rng.chance(15);
            return if self.has(Fork::Berlin) && listed {
                Offer::AccessList { gas_price }
            } else {
                self.legacy(gas_price)
            };
        }
        let (max, tip) = match call.fee {
            Fee::Usual => (MAX_FEE_GWEI, self.rng.below(3)),
            Fee::Nothing => (MAX_FEE_GWEI, 0),
            Fee::Gwei { max, tip } => (max, tip),
        };
        let (max_fee_per_gas, max_priority_fee_per_gas) = (gwei(max), gwei(tip));
        let style = self.rng.below(10);
        if !grants.is_empty() {
            Offer::Delegation { max_fee_per_gas, max_priority_fee_per_gas }
        } else if call.blobs > 0 && self.has(Fork::Cancun) {
            Offer::Blobs { max_fee_per_gas, max_priority_fee_per_gas }
        } else if call.fee != Fee::Usual || style >= 4 {
            Offer::Dynamic { max_fee_per_gas, max_priority_fee_per_gas }
        } else if call.access.is_some() || style >= 2 {
            Offer::AccessList { gas_price: gwei(20 + tip) }
        } else {
            self.legacy(gwei(20 + tip))
        }
    }

    /// Protected by EIP-155 where the fork has it, but for a few that are still valid without.
    fn legacy(&mut self, gas_price: u128) -> Offer {
        let protected = self.has(Fork::SpuriousDragon) && !self.rng.chance(5);
        Offer::Legacy { gas_price, protected }
    }
}

fn recipient(to: TxKind) -> Address {
    to.into_to().expect("scripts create contracts without blobs and authorizations")
}
