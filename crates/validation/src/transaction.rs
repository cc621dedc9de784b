//! A signed transaction by itself: what can be said of it without a state and without a block.
//!
//! Whether the sender can pay, has code, or has that nonce is for the state to say; whether the
//! price reaches the base fee, and whether there is room, for the block. No rule is needed for
//! `gas limit * price` above 2^256: a price has at most 128 bits once it is decoded.

use alloy_consensus::{Transaction as _, crypto::SECP256K1N_HALF, transaction::SignerRecoverable};
use alloy_eips::{
    eip2718::{
        EIP1559_TX_TYPE_ID, EIP2930_TX_TYPE_ID, EIP4844_TX_TYPE_ID, EIP7702_TX_TYPE_ID,
        LEGACY_TX_TYPE_ID,
    },
    eip4844::VERSIONED_HASH_VERSION_KZG,
    eip7825::MAX_TX_GAS_LIMIT_OSAKA,
};
use fugue_chainspec::{Fork, Rules};
use fugue_types::{Address, B256, Transaction, TxKind, Typed2718, U256, b256, impersonated};

/// The order of the group of secp256k1.
const SECP256K1_ORDER: U256 = U256::from_be_bytes(
    b256!("0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141").0,
);
/// Largest initcode of a transaction in bytes. Source: EIP-3860, "Parameters".
const INITCODE_BYTES_MAX: usize = 49_152;
/// Largest initcode from Amsterdam on in bytes. Source: EIP-7954.
const INITCODE_BYTES_MAX_AMSTERDAM: usize = 131_072;

/// Gas of every transaction before Amsterdam. Source: Yellow Paper, "Fee Schedule".
const BASE_GAS: u64 = 21_000;
/// Gas of a creation on top, from Homestead on. Source: EIP-2.
const CREATE_GAS: u64 = 32_000;
/// Gas of a zero byte of data. Source: Yellow Paper, "Fee Schedule".
const ZERO_BYTE_GAS: u64 = 4;
/// Gas of any other byte of data. Source: Yellow Paper, "Fee Schedule".
const BYTE_GAS: u64 = 68;
/// The same from Istanbul on. Source: EIP-2028.
const BYTE_GAS_ISTANBUL: u64 = 16;
/// Gas of 32 bytes of initcode, from Shanghai on. Source: EIP-3860.
const INITCODE_WORD_GAS: u64 = 2;
/// Gas of an address in an access list. Source: EIP-2930.
const ACCESS_ADDRESS_GAS: u64 = 2_400;
/// Gas of a storage key in an access list. Source: EIP-2930.
const ACCESS_KEY_GAS: u64 = 1_900;
/// Gas of an authorization. Source: EIP-7702, `PER_EMPTY_ACCOUNT_COST`.
const AUTHORIZATION_GAS: u64 = 25_000;
/// Least gas for a zero byte of data, from Prague on. Source: EIP-7623.
const FLOOR_ZERO_BYTE_GAS: u64 = 10;
/// Least gas for any other byte of data, from Prague on. Source: EIP-7623.
const FLOOR_BYTE_GAS: u64 = 40;

/// Amsterdam's prices. They are not final: these are the ones that execution charges.
mod amsterdam {
    /// Gas of the sender. Source: EIP-2780.
    pub(super) const BASE_GAS: u64 = 12_000;
    /// Gas of a recipient other than the sender. Source: EIP-2780, EIP-8038.
    pub(super) const RECIPIENT_GAS: u64 = 3_000;
    /// Gas of a value for such a recipient. Source: EIP-2780.
    pub(super) const VALUE_GAS: u64 = 6_000;
    /// Gas of a creation. Source: EIP-2780, EIP-8038.
    pub(super) const CREATE_GAS: u64 = 12_000;
    /// Least gas for a byte of data or of the access list. Source: EIP-7976, EIP-7981.
    pub(super) const FLOOR_BYTE_GAS: u64 = 64;
    /// Bytes of an address and of a storage key.
    pub(super) const ACCESS_BYTES: (u64, u64) = (20, 32);
    /// Gas of an address in an access list, its bytes included. Source: EIP-8038, EIP-7981.
    pub(super) const ACCESS_ADDRESS_GAS: u64 = 2_900 + 20 * FLOOR_BYTE_GAS;
    /// Gas of a storage key in an access list, its bytes included. Source: EIP-8038, EIP-7981.
    pub(super) const ACCESS_KEY_GAS: u64 = 2_000 + 32 * FLOOR_BYTE_GAS;
    /// Gas of an authorization, whatever it does. Source: EIP-2780, EIP-8038.
    pub(super) const AUTHORIZATION_GAS: u64 = 7_816;
}

/// A transaction breaks a rule that holds in every state and every block of its fork.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTransaction {
    /// The fork has no transactions of this type.
    #[error("transactions of type {tx_type} do not exist at {fork}")]
    TypeNotSupported {
        /// EIP-2718 type.
        tx_type: u8,
        /// The fork.
        fork: Fork,
    },
    /// A signature with a chain id, before the fork that reads it as one.
    #[error("signed for one chain (EIP-155), which {0} does not know")]
    ReplayProtected(Fork),
    /// Signed for another chain.
    #[error("signed for chain {found}, this is chain {expected}")]
    ChainId {
        /// The chain's id.
        expected: u64,
        /// The transaction's.
        found: u64,
    },
    /// The highest nonce, which cannot be counted up.
    #[error("nonce is 2^64 - 1")]
    NonceMax,
    /// More initcode than a creation may have.
    #[error("{size} bytes of initcode, at most {max} are allowed")]
    InitcodeSize {
        /// Its size in bytes.
        size: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// A gas limit above what one transaction may have.
    #[error("gas limit {gas_limit} is above {max}")]
    GasLimitMax {
        /// The transaction's.
        gas_limit: u64,
        /// The highest one.
        max: u64,
    },
    /// The priority fee is part of the highest fee, and cannot be above it.
    #[error("priority fee {priority_fee} is above the highest fee {max_fee}")]
    PriorityFee {
        /// In wei per gas.
        priority_fee: u128,
        /// In wei per gas.
        max_fee: u128,
    },
    /// A blob transaction without blobs.
    #[error("a blob transaction has no blobs")]
    NoBlobs,
    /// A blob hash of a version that does not exist.
    #[error("blob hash {0} has an unknown version")]
    BlobVersion(B256),
    /// More blobs than one transaction may have.
    #[error("{count} blobs, at most {max} are allowed")]
    BlobCount {
        /// How many it has.
        count: u64,
        /// The limit.
        max: u64,
    },
    /// A transaction that sets code has no authorization to do so.
    #[error("a transaction that sets code has no authorizations")]
    NoAuthorizations,
    /// `r` or `s` is zero, or not below the order of the curve.
    #[error("signature: r or s is out of range")]
    SignatureRange,
    /// `s` is in the upper half of its range.
    #[error("signature: s is in the upper half of its range")]
    SignatureHigh,
    /// No public key belongs to the signature.
    #[error("signature: no sender can be recovered from it")]
    SignatureRecovery,
    /// The gas limit does not pay for what is charged before the transaction runs.
    #[error("gas limit {gas_limit}, but {intrinsic_gas} are charged at once")]
    IntrinsicGas {
        /// The transaction's.
        gas_limit: u64,
        /// The charge.
        intrinsic_gas: u64,
    },
    /// The gas limit does not pay for the least charge of the data.
    #[error("gas limit {gas_limit}, but the data cost at least {floor_gas}")]
    FloorGas {
        /// The transaction's.
        gas_limit: u64,
        /// The least charge.
        floor_gas: u64,
    },
}

impl InvalidTransaction {
    /// Names that the official tests use for this reason, the present ones first.
    pub const fn names(&self) -> &'static [&'static str] {
        match self {
            Self::TypeNotSupported { tx_type: EIP2930_TX_TYPE_ID, .. } => {
                &["TYPE_1_TX_PRE_FORK", "TYPE_NOT_SUPPORTED", "TR_TypeNotSupported"]
            }
            Self::TypeNotSupported { tx_type: EIP1559_TX_TYPE_ID, .. } => {
                &["TYPE_2_TX_PRE_FORK", "TYPE_NOT_SUPPORTED", "TR_TypeNotSupported"]
            }
            Self::TypeNotSupported { tx_type: EIP4844_TX_TYPE_ID, .. } => &[
                "TYPE_3_TX_PRE_FORK",
                "TYPE_NOT_SUPPORTED",
                "TR_TypeNotSupportedBlob",
                "TR_TypeNotSupported",
            ],
            Self::TypeNotSupported { tx_type: EIP7702_TX_TYPE_ID, .. } => {
                &["TYPE_4_TX_PRE_FORK", "TYPE_NOT_SUPPORTED", "TR_TypeNotSupported"]
            }
            Self::TypeNotSupported { .. } => &["TYPE_NOT_SUPPORTED", "TR_TypeNotSupported"],
            Self::ChainId { .. } => &["INVALID_CHAINID"],
            Self::NonceMax => &["NONCE_IS_MAX", "NONCE_TOO_BIG", "TR_NonceHasMaxValue"],
            Self::InitcodeSize { .. } => &["INITCODE_SIZE_EXCEEDED", "TR_InitCodeLimitExceeded"],
            Self::GasLimitMax { .. } => &["GAS_LIMIT_EXCEEDS_MAXIMUM"],
            Self::PriorityFee { .. } => &[
                "PRIORITY_GREATER_THAN_MAX_FEE_PER_GAS",
                "PRIORITY_GREATER_THAN_MAX_FEE_PER_GAS_2",
                "TR_TipGtFeeCap",
            ],
            Self::NoBlobs => &["TYPE_3_TX_ZERO_BLOBS", "TR_EMPTYBLOB"],
            Self::BlobVersion(_) => {
                &["TYPE_3_TX_INVALID_BLOB_VERSIONED_HASH", "TR_BLOBVERSION_INVALID"]
            }
            Self::BlobCount { .. } => &["TYPE_3_TX_BLOB_COUNT_EXCEEDED", "TR_BLOBLIST_OVERSIZE"],
            Self::NoAuthorizations => &["TYPE_4_EMPTY_AUTHORIZATION_LIST"],
            // Before EIP-155 its `v` is out of range like any other.
            Self::ReplayProtected(_) | Self::SignatureRange | Self::SignatureHigh => {
                &["INVALID_SIGNATURE_VRS"]
            }
            Self::SignatureRecovery => &["EC_RECOVERY_FAIL", "INVALID_SIGNATURE_VRS"],
            Self::IntrinsicGas { .. } => {
                &["INTRINSIC_GAS_TOO_LOW", "TR_IntrinsicGas", "IntrinsicGas", "TR_NoFundsOrGas"]
            }
            Self::FloorGas { .. } => {
                &["INTRINSIC_GAS_BELOW_FLOOR_GAS_COST", "INTRINSIC_GAS_TOO_LOW"]
            }
        }
    }
}

/// What follows from a valid transaction by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TxFacts {
    /// Who signed it, and pays.
    pub sender: Address,
    /// Gas that is charged before it runs.
    pub intrinsic_gas: u64,
    /// Gas that it costs at least; 0 before Prague.
    pub floor_gas: u64,
}

/// Whether transactions of this EIP-2718 type exist at the fork.
///
/// # Errors
/// `InvalidTransaction::TypeNotSupported` if they do not.
///
/// Source: EIP-2718, EIP-2930, EIP-1559, EIP-4844, EIP-7702.
pub fn check_transaction_type(tx_type: u8, rules: &Rules) -> Result<(), InvalidTransaction> {
    let since = match tx_type {
        LEGACY_TX_TYPE_ID => Some(Fork::Frontier),
        EIP2930_TX_TYPE_ID => Some(Fork::Berlin),
        EIP1559_TX_TYPE_ID => Some(Fork::London),
        EIP4844_TX_TYPE_ID => Some(Fork::Cancun),
        EIP7702_TX_TYPE_ID => Some(Fork::Prague),
        _ => None,
    };
    match since {
        Some(since) if rules.has(since) => Ok(()),
        _ => Err(InvalidTransaction::TypeNotSupported { tx_type, fork: rules.fork }),
    }
}

/// Judges a decoded transaction by itself, and recovers its sender.
///
/// What is cheap to see comes first. The gas comes last: from Amsterdam on it depends on the
/// sender.
///
/// # Errors
/// The first [`InvalidTransaction`].
///
/// Source: Yellow Paper, "Transaction Validity"; EIP-2, EIP-155, EIP-1559, EIP-2681, EIP-3860,
/// EIP-4844, EIP-7594, EIP-7702, EIP-7825, EIP-8037; for the gas EIP-2028, EIP-2930, EIP-7623, and
/// in Amsterdam EIP-2780, EIP-7976, EIP-7981, EIP-8038.
pub fn check_transaction(tx: &Transaction, rules: &Rules) -> Result<TxFacts, InvalidTransaction> {
    check_but_for_gas(tx, rules)?;
    let sender = sender(tx, rules)?;
    check_gas(tx, sender, rules)
}

/// As [`check_transaction`], but of a transaction whose signature is known to be this sender's.
///
/// # Errors
/// The first [`InvalidTransaction`], none of its signature.
pub fn check_transaction_from(
    tx: &Transaction,
    sender: Address,
    rules: &Rules,
) -> Result<TxFacts, InvalidTransaction> {
    check_but_for_gas(tx, rules)?;
    check_gas(tx, sender, rules)
}

fn check_but_for_gas(tx: &Transaction, rules: &Rules) -> Result<(), InvalidTransaction> {
    check_transaction_type(tx.ty(), rules)?;
    check_chain_id(tx, rules)?;
    check_fields(tx, rules)
}

fn check_gas(
    tx: &Transaction,
    sender: Address,
    rules: &Rules,
) -> Result<TxFacts, InvalidTransaction> {
    let (intrinsic_gas, floor_gas) = gas_at_once(tx, rules, sender);
    check_gas_limit(tx.gas_limit(), intrinsic_gas, floor_gas, rules)?;
    Ok(TxFacts { sender, intrinsic_gas, floor_gas })
}

fn check_chain_id(tx: &Transaction, rules: &Rules) -> Result<(), InvalidTransaction> {
    match tx.chain_id() {
        Some(_) if !rules.has(Fork::SpuriousDragon) => {
            Err(InvalidTransaction::ReplayProtected(rules.fork))
        }
        Some(found) if found != rules.chain_id => {
            Err(InvalidTransaction::ChainId { expected: rules.chain_id, found })
        }
        _ => Ok(()),
    }
}

fn check_fields(tx: &Transaction, rules: &Rules) -> Result<(), InvalidTransaction> {
    // Source: EIP-2681, which holds from genesis on.
    if tx.nonce() == u64::MAX {
        return Err(InvalidTransaction::NonceMax);
    }
    let is_amsterdam = rules.has(Fork::Amsterdam);
    let max = if is_amsterdam { INITCODE_BYTES_MAX_AMSTERDAM } else { INITCODE_BYTES_MAX };
    let size = tx.input().len();
    if tx.is_create() && rules.has(Fork::Shanghai) && size > max {
        return Err(InvalidTransaction::InitcodeSize { size, max });
    }
    // Source: EIP-8037: from Amsterdam on the limit holds for the regular gas alone.
    let (gas_limit, max) = (tx.gas_limit(), MAX_TX_GAS_LIMIT_OSAKA);
    if rules.has(Fork::Osaka) && !is_amsterdam && gas_limit > max {
        return Err(InvalidTransaction::GasLimitMax { gas_limit, max });
    }
    let max_fee = tx.max_fee_per_gas();
    if let Some(priority_fee) = tx.max_priority_fee_per_gas()
        && priority_fee > max_fee
    {
        return Err(InvalidTransaction::PriorityFee { priority_fee, max_fee });
    }
    if let Some(hashes) = tx.blob_versioned_hashes() {
        check_blobs(hashes, rules)?;
    }
    if tx.authorization_list().is_some_and(<[_]>::is_empty) {
        return Err(InvalidTransaction::NoAuthorizations);
    }
    Ok(())
}

/// Source: EIP-4844, "Execution layer validation"; EIP-7594 for the limit.
fn check_blobs(hashes: &[B256], rules: &Rules) -> Result<(), InvalidTransaction> {
    if hashes.is_empty() {
        return Err(InvalidTransaction::NoBlobs);
    }
    let is_unknown = |hash: &&B256| hash.first() != Some(&VERSIONED_HASH_VERSION_KZG);
    if let Some(hash) = hashes.iter().find(is_unknown) {
        return Err(InvalidTransaction::BlobVersion(*hash));
    }
    let count = as_u64(hashes.len());
    match rules.blob_params {
        Some(params) if count > params.max_blobs_per_tx => {
            Err(InvalidTransaction::BlobCount { count, max: params.max_blobs_per_tx })
        }
        _ => Ok(()),
    }
}

/// Source: Yellow Paper, "Signing Transactions"; EIP-2.
fn sender(tx: &Transaction, rules: &Rules) -> Result<Address, InvalidTransaction> {
    if rules.is_dev
        && let Some(sender) = impersonated(tx.signature())
    {
        return Ok(sender);
    }
    let (r, s) = (tx.signature().r(), tx.signature().s());
    let is_in_range = |value: U256| !value.is_zero() && value < SECP256K1_ORDER;
    if !is_in_range(r) || !is_in_range(s) {
        return Err(InvalidTransaction::SignatureRange);
    }
    if rules.has(Fork::Homestead) && s > SECP256K1N_HALF {
        return Err(InvalidTransaction::SignatureHigh);
    }
    tx.recover_signer_unchecked().map_err(|_| InvalidTransaction::SignatureRecovery)
}

/// The gas that is charged before a transaction runs, and the gas that it costs at least.
fn gas_at_once(tx: &Transaction, rules: &Rules, sender: Address) -> (u64, u64) {
    let is_amsterdam = rules.has(Fork::Amsterdam);
    let base = if is_amsterdam {
        amsterdam_base(tx, sender)
    } else if tx.is_create() && rules.has(Fork::Homestead) {
        BASE_GAS + CREATE_GAS
    } else {
        BASE_GAS
    };
    let bytes = as_u64(tx.input().len());
    let zeros = as_u64(tx.input().iter().filter(|byte| **byte == 0).count());
    let others = bytes.saturating_sub(zeros);
    let byte_gas = if rules.has(Fork::Istanbul) { BYTE_GAS_ISTANBUL } else { BYTE_GAS };
    let is_initcode_paid = tx.is_create() && rules.has(Fork::Shanghai);
    let initcode_words = if is_initcode_paid { bytes.div_ceil(32) } else { 0 };
    let (addresses, keys) = tx
        .access_list()
        .map_or((0, 0), |list| (as_u64(list.len()), as_u64(list.storage_keys_count())));
    let authorizations = as_u64(tx.authorization_list().map_or(0, <[_]>::len));
    let (address_gas, key_gas, authorization_gas) = if is_amsterdam {
        (amsterdam::ACCESS_ADDRESS_GAS, amsterdam::ACCESS_KEY_GAS, amsterdam::AUTHORIZATION_GAS)
    } else {
        (ACCESS_ADDRESS_GAS, ACCESS_KEY_GAS, AUTHORIZATION_GAS)
    };
    let intrinsic_gas = priced(&[
        (base, 1),
        (zeros, ZERO_BYTE_GAS),
        (others, byte_gas),
        (initcode_words, INITCODE_WORD_GAS),
        (addresses, address_gas),
        (keys, key_gas),
        (authorizations, authorization_gas),
    ]);
    let floor_gas = if is_amsterdam {
        let (address_bytes, key_bytes) = amsterdam::ACCESS_BYTES;
        let bytes = priced(&[(bytes, 1), (addresses, address_bytes), (keys, key_bytes)]);
        priced(&[(base, 1), (bytes, amsterdam::FLOOR_BYTE_GAS)])
    } else if rules.has(Fork::Prague) {
        priced(&[(BASE_GAS, 1), (zeros, FLOOR_ZERO_BYTE_GAS), (others, FLOOR_BYTE_GAS)])
    } else {
        0
    };
    (intrinsic_gas, floor_gas)
}

/// What sender, recipient and value cost. Source: EIP-2780.
fn amsterdam_base(tx: &Transaction, sender: Address) -> u64 {
    let of_recipient = match tx.kind() {
        TxKind::Create => amsterdam::CREATE_GAS,
        TxKind::Call(to) if to == sender => 0,
        TxKind::Call(_) if tx.value().is_zero() => amsterdam::RECIPIENT_GAS,
        TxKind::Call(_) => amsterdam::RECIPIENT_GAS + amsterdam::VALUE_GAS,
    };
    amsterdam::BASE_GAS + of_recipient
}

fn check_gas_limit(
    gas_limit: u64,
    intrinsic_gas: u64,
    floor_gas: u64,
    rules: &Rules,
) -> Result<(), InvalidTransaction> {
    // Source: EIP-8037: none of this is state gas, so the limit of regular gas holds for it.
    let gas_limit =
        if rules.has(Fork::Amsterdam) { gas_limit.min(MAX_TX_GAS_LIMIT_OSAKA) } else { gas_limit };
    if intrinsic_gas > gas_limit {
        return Err(InvalidTransaction::IntrinsicGas { gas_limit, intrinsic_gas });
    }
    if floor_gas > gas_limit {
        return Err(InvalidTransaction::FloorGas { gas_limit, floor_gas });
    }
    Ok(())
}

/// Sum of counts times prices.
fn priced(parts: &[(u64, u64)]) -> u64 {
    parts.iter().fold(0, |sum, (count, price)| sum.saturating_add(count.saturating_mul(*price)))
}

fn as_u64(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
