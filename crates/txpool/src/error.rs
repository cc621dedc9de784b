//! Why the pool does not take a transaction.

use crate::SidecarForm;
use fugue_state::StateError;
use fugue_types::{Address, B256, U256};
use fugue_validation::InvalidTransaction;

/// A transaction is not taken into the pool.
///
/// Wallets and libraries look for the field's own words in these messages, so those come first.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// The bytes are no transaction in the form in which they are sent.
    #[error("transaction could not be decoded: {0}")]
    Decode(alloy_rlp::Error),
    /// It is larger than a transaction may be.
    #[error("oversized data: transaction size {bytes}, limit {max}")]
    Size {
        /// Its size in bytes.
        bytes: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// It breaks a rule that holds in every state.
    #[error("{}", words(.0))]
    Invalid(#[from] InvalidTransaction),
    /// It is in the pool.
    #[error("already known")]
    AlreadyKnown,
    /// Its gas limit is above that of a block.
    #[error("exceeds block gas limit: transaction gas limit {gas_limit}, block {max}")]
    GasLimit {
        /// The transaction's.
        gas_limit: u64,
        /// The head's.
        max: u64,
    },
    /// Its tip is below the least that the pool takes.
    #[error("transaction underpriced: gas tip cap {tip}, minimum needed {min}")]
    Underpriced {
        /// In wei per gas.
        tip: u128,
        /// In wei per gas.
        min: u128,
    },
    /// Its fee for blob gas is below the least that there can be.
    #[error("transaction underpriced: blob fee cap {fee}, minimum needed {min}")]
    BlobUnderpriced {
        /// In wei per blob gas.
        fee: u128,
        /// In wei per blob gas.
        min: u128,
    },
    /// The nonce was used.
    #[error("nonce too low: next nonce {next}, tx nonce {nonce}")]
    NonceTooLow {
        /// The account's.
        next: u64,
        /// The transaction's.
        nonce: u64,
    },
    /// The nonce lies too far above the next one.
    #[error("nonce too high: next nonce {next}, tx nonce {nonce}, largest gap {gap_max}")]
    NonceTooHigh {
        /// The next executable one of the sender.
        next: u64,
        /// The transaction's.
        nonce: u64,
        /// How far above it may lie.
        gap_max: u64,
    },
    /// The sender cannot pay for it together with its other pending ones.
    #[error(
        "insufficient funds for gas * price + value: balance {balance}, tx cost {cost}, \
         pending cost {pending_cost}"
    )]
    InsufficientFunds {
        /// The sender's, in wei.
        balance: U256,
        /// What the transaction may cost, in wei.
        cost: U256,
        /// What the sender's other pending ones may cost, in wei.
        pending_cost: U256,
    },
    /// It has the nonce of another one and does not offer enough more.
    #[error("replacement transaction underpriced: {fee} {found}, minimum needed {min}")]
    ReplacementUnderpriced {
        /// Which fee.
        fee: &'static str,
        /// The transaction's, in wei.
        found: u128,
        /// The least that replaces, in wei.
        min: U256,
    },
    /// The sender has as many transactions as it may have.
    #[error("account limit exceeded: {count} pooled transactions, limit {max}")]
    SenderLimit {
        /// How many it has.
        count: usize,
        /// The limit.
        max: usize,
    },
    /// The sender has blob transactions and this is none, or the other way round.
    #[error("address already reserved: {0} has transactions of the other kind, blob or not")]
    KindReserved(Address),
    /// The sender has code that is not a delegation.
    #[error("sender not an eoa: address {sender}, code hash {code_hash}")]
    SenderHasCode {
        /// The sender.
        sender: Address,
        /// Hash of its code.
        code_hash: B256,
    },
    /// A delegated account has a transaction in the pool.
    #[error("in-flight transaction limit reached for delegated accounts")]
    DelegatedLimit,
    /// A delegated account leaves a gap.
    #[error("gapped-nonce tx from delegated accounts: next nonce {next}, tx nonce {nonce}")]
    DelegatedGap {
        /// The account's.
        next: u64,
        /// The transaction's.
        nonce: u64,
    },
    /// An account that it would delegate has other transactions in the pool.
    #[error("authority already reserved: {0}")]
    AuthorityReserved(Address),
    /// A blob transaction without its blobs.
    #[error("missing sidecar in blob transaction")]
    SidecarMissing,
    /// The proofs of the blobs are not those that the next block's rules ask for.
    #[error("unexpected blob sidecar version: have {found}, want {expected}")]
    SidecarForm {
        /// What the rules ask for.
        expected: SidecarForm,
        /// What it has.
        found: SidecarForm,
    },
    /// There is not one blob and one commitment for each hash, with its proofs.
    #[error(
        "invalid number of blobs, commitments or proofs: {blobs}, {commitments} and {proofs} for \
         {hashes} blob hashes"
    )]
    SidecarCounts {
        /// Hashes in the transaction.
        hashes: usize,
        /// Blobs in the sidecar.
        blobs: usize,
        /// Commitments in the sidecar.
        commitments: usize,
        /// Proofs in the sidecar.
        proofs: usize,
    },
    /// More blobs than a block has room for.
    #[error("too many blobs in transaction: have {count}, permitted {max}")]
    BlobCount {
        /// How many it has.
        count: u64,
        /// The limit.
        max: u64,
    },
    /// A commitment does not hash to what the transaction says.
    #[error("blob hash mismatch: transaction {expected}, commitment {found}")]
    BlobHash {
        /// In the transaction.
        expected: B256,
        /// Of the commitment.
        found: B256,
    },
    /// A proof does not prove its blob.
    #[error("invalid blob proof")]
    BlobProof,
    /// A blob, a commitment or a proof is no valid encoding.
    #[error("invalid blob sidecar: {0}")]
    SidecarMalformed(String),
    /// The pool is full of transactions that pay as much or more.
    #[error("txpool is full: transaction underpriced")]
    Full,
    /// The rules changed while it was looked at. Trying again helps.
    #[error("the head moved to another fork while the transaction was checked")]
    HeadMoved,
    /// The state could not be asked. Says nothing about the transaction.
    #[error("state unavailable: {0}")]
    State(#[from] StateError),
}

/// What the field calls the reason; what it has no word for keeps our own.
fn words(invalid: &InvalidTransaction) -> String {
    match invalid {
        InvalidTransaction::TypeNotSupported { .. } => {
            format!("transaction type not supported: {invalid}")
        }
        InvalidTransaction::ChainId { expected, found } => {
            format!("invalid sender: invalid chain id for signer: have {found} want {expected}")
        }
        InvalidTransaction::InitcodeSize { size, max } => {
            format!("max initcode size exceeded: code size {size}, limit {max}")
        }
        InvalidTransaction::GasLimitMax { gas_limit, max } => {
            format!("transaction gas limit too high: cap {max}, tx {gas_limit}")
        }
        InvalidTransaction::PriorityFee { priority_fee, max_fee } => format!(
            "max priority fee per gas higher than max fee per gas: \
             maxPriorityFeePerGas {priority_fee}, maxFeePerGas {max_fee}"
        ),
        InvalidTransaction::IntrinsicGas { gas_limit, intrinsic_gas } => {
            format!("intrinsic gas too low: have {gas_limit}, want {intrinsic_gas}")
        }
        InvalidTransaction::FloorGas { gas_limit, floor_gas } => {
            format!("insufficient gas for floor data gas cost: have {gas_limit}, want {floor_gas}")
        }
        // No signature that gives a sender on this chain.
        InvalidTransaction::SignatureRange
        | InvalidTransaction::SignatureHigh
        | InvalidTransaction::SignatureRecovery
        | InvalidTransaction::ReplayProtected(_) => format!("invalid sender: {invalid}"),
        InvalidTransaction::NonceMax => format!("nonce has max value: {invalid}"),
        InvalidTransaction::NoBlobs
        | InvalidTransaction::BlobVersion(_)
        | InvalidTransaction::BlobCount { .. }
        | InvalidTransaction::NoAuthorizations => invalid.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_hold_the_words_that_wallets_look_for() {
        let cases = [
            (PoolError::AlreadyKnown, "already known"),
            (
                PoolError::NonceTooLow { next: 3, nonce: 1 },
                "nonce too low: next nonce 3, tx nonce 1",
            ),
            (
                PoolError::InsufficientFunds {
                    balance: U256::from(1),
                    cost: U256::from(2),
                    pending_cost: U256::ZERO,
                },
                "insufficient funds for gas * price + value: balance 1, tx cost 2, pending cost 0",
            ),
            (
                PoolError::ReplacementUnderpriced {
                    fee: "gas fee cap",
                    found: 1,
                    min: U256::from(2),
                },
                "replacement transaction underpriced: gas fee cap 1, minimum needed 2",
            ),
            (
                InvalidTransaction::IntrinsicGas { gas_limit: 1, intrinsic_gas: 2 }.into(),
                "intrinsic gas too low: have 1, want 2",
            ),
            (
                InvalidTransaction::PriorityFee { priority_fee: 2, max_fee: 1 }.into(),
                "max priority fee per gas higher than max fee per gas: \
                 maxPriorityFeePerGas 2, maxFeePerGas 1",
            ),
            (
                PoolError::GasLimit { gas_limit: 2, max: 1 },
                "exceeds block gas limit: transaction gas limit 2, block 1",
            ),
            (
                PoolError::Underpriced { tip: 0, min: 1 },
                "transaction underpriced: gas tip cap 0, minimum needed 1",
            ),
            (PoolError::Full, "txpool is full: transaction underpriced"),
            (
                InvalidTransaction::ChainId { expected: 1, found: 5 }.into(),
                "invalid sender: invalid chain id for signer: have 5 want 1",
            ),
            (InvalidTransaction::NonceMax.into(), "nonce has max value: nonce is 2^64 - 1"),
        ];
        for (error, words) in cases {
            assert_eq!(error.to_string(), words);
        }
    }
}
