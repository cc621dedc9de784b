//! The errors that the methods answer with, and their codes.

use crate::public::{has_method, patience::GIVEN_UP, subscriptions};
use fugue_chain::{BuildError, ImportError, StorageError, SubmitError};
use fugue_evm::CallError;
use fugue_executor::BlockError;
use fugue_state::StateError;
use fugue_txpool::PoolError;
use fugue_types::B256;
use jsonrpsee::types::{
    ErrorObjectOwned,
    error::{OVERSIZED_RESPONSE_CODE, OVERSIZED_RESPONSE_MSG},
};
use std::{fmt::Display, time::Duration};

/// An argument is wrong. Source: JSON-RPC 2.0.
pub(crate) const INVALID_PARAMS: i32 = -32602;
/// There is no such method, or not on this connection. Source: JSON-RPC 2.0.
pub(crate) const METHOD_NOT_FOUND: i32 = -32601;
/// Characters of the name of a method that an error repeats.
const NAME_CHARACTERS_MAX: usize = 100;
/// We are broken. Source: JSON-RPC 2.0.
pub(crate) const INTERNAL: i32 = -32603;
/// It was refused. Source: EIP-1474, "Invalid input".
pub(crate) const REFUSED: i32 = -32000;
/// Source: EIP-1474, "Resource not found", EIP-1898.
pub(crate) const NOT_FOUND: i32 = -32001;
/// A tag that names no block yet. Source: execution-apis, "Unknown block".
pub(crate) const UNKNOWN_BLOCK: i32 = -39001;
/// A transaction was taken in, and is in no block yet. Source: EIP-7966.
const NOT_INCLUDED: i32 = 4;
/// A transaction was taken in, and no block can have it yet. Source: EIP-7966.
const NOT_READY: i32 = 5;
/// Source: execution-apis, "Pruned history unavailable".
pub(crate) const PRUNED: i32 = 4444;
/// Source: EIP-1474, "Transaction rejected": for a reason that the catalogue has no code for.
const REJECTED: i32 = -32003;

// Why a transaction is rejected. Source: execution-apis, error groups "ExecutionErrors",
// "GasErrors" and "TxPoolErrors" of the methods that send one.
const NONCE_TOO_LOW: i32 = 1;
const NONCE_TOO_HIGH: i32 = 2;
const INTRINSIC_GAS_TOO_LOW: i32 = 800;
/// Below the least that is taken, or that replaces another one: more helps.
const PRICE_TOO_LOW: i32 = 802;
const ABOVE_BLOCK_GAS_LIMIT: i32 = 803;
const TIP_ABOVE_FEE_CAP: i32 = 804;
const INSUFFICIENT_FUNDS: i32 = 809;
const ALREADY_KNOWN: i32 = 1000;
const INVALID_SENDER: i32 = 1001;

/// An error with a code of a specification.
pub(crate) fn with_code(code: i32, message: impl Into<String>) -> ErrorObjectOwned {
    ErrorObjectOwned::owned(code, message, None::<()>)
}

/// An argument is wrong.
pub(crate) fn invalid_params(message: impl Into<String>) -> ErrorObjectOwned {
    with_code(INVALID_PARAMS, message)
}

/// The argument with this index and name is wrong.
pub(crate) fn invalid_argument(index: usize, name: &str, reason: impl Display) -> ErrorObjectOwned {
    invalid_params(format!("invalid argument {index} ({name}): {reason}"))
}

/// What was asked for was refused.
pub(crate) fn refused(message: impl Into<String>) -> ErrorObjectOwned {
    with_code(REFUSED, message)
}

/// The answer has more bytes than one may have. As the server itself says it of a whole answer.
pub(crate) fn response_too_large(bytes_max: usize) -> ErrorObjectOwned {
    let told = format!("Exceeded max limit of {bytes_max}");
    ErrorObjectOwned::owned(OVERSIZED_RESPONSE_CODE, OVERSIZED_RESPONSE_MSG, Some(told))
}

/// We are broken. The operator is told why; the caller is not, as the cause may name files.
pub(crate) fn internal(cause: impl Display) -> ErrorObjectOwned {
    tracing::error!(target: "fugue::rpc", %cause, "a request was not answered");
    with_code(INTERNAL, "internal error")
}

/// There is no such method, or not on this server. The words are those of geth: libraries tell by
/// them.
pub(crate) fn method_not_found(method: &str) -> ErrorObjectOwned {
    let name: String = method.chars().take(NAME_CHARACTERS_MAX).collect();
    let is_elsewhere = has_method(method);
    let hint = if is_elsewhere { " on this server: see --http.api and --ws.api" } else { "" };
    with_code(METHOD_NOT_FOUND, format!("the method {name} does not exist/is not available{hint}"))
}

/// Over HTTP nobody can be notified. The code and the words are those of geth.
pub(crate) fn no_notifications() -> ErrorObjectOwned {
    with_code(METHOD_NOT_FOUND, "notifications not supported")
}

/// The answer to a batch is sent after notifications might have been, so a batch subscribes to
/// nothing.
pub(crate) fn if_subscribed_in_a_batch(method: &str) -> Option<ErrorObjectOwned> {
    let begins = subscriptions::is_begun_by(method);
    begins.then(|| refused(format!("{method} cannot be part of a batch")))
}

/// There is no filter with this id, or it was not asked for too long. The words are those of geth.
pub(crate) fn filter_not_found() -> ErrorObjectOwned {
    refused("filter not found")
}

/// The connection has no subscription with this id. The words are those of geth.
pub(crate) fn subscription_not_found() -> ErrorObjectOwned {
    refused("subscription not found")
}

/// No block had the transaction with this hash in time.
pub(crate) fn not_included(hash: B256, waited: Duration) -> ErrorObjectOwned {
    let seconds = waited.as_secs_f64();
    let told = format!("the transaction is in the pool, but no block had it within {seconds} s");
    ErrorObjectOwned::owned(NOT_INCLUDED, told, Some(hash))
}

/// The transaction with this hash waits for others, or for funds.
pub(crate) fn not_ready(hash: B256) -> ErrorObjectOwned {
    let told = "the transaction is in the pool, but cannot be executed yet: there is a gap in the \
                nonces before it, or its sender lacks funds";
    ErrorObjectOwned::owned(NOT_READY, told, Some(hash))
}

/// The block that a state was asked for is not known.
pub(crate) fn block_not_found() -> ErrorObjectOwned {
    not_found("block not found")
}

/// What was asked for is not there, and never was.
pub(crate) fn not_found(message: impl Into<String>) -> ErrorObjectOwned {
    with_code(NOT_FOUND, message)
}

/// There is no safe or finalized block yet.
pub(crate) fn unknown_block(tag: &str) -> ErrorObjectOwned {
    with_code(UNKNOWN_BLOCK, format!("unknown block: there is no {tag} block yet"))
}

/// The chain did not answer.
pub(crate) fn of_chain(error: ImportError) -> ErrorObjectOwned {
    match error {
        ImportError::Storage(StorageError::Pruned { what, number, oldest }) => {
            let be = if what.ends_with('s') { "are" } else { "is" };
            let told = format!("{what} of block {number} {be} not kept, the oldest kept {be} of");
            with_code(PRUNED, format!("pruned history unavailable: {told} block {oldest}"))
        }
        ImportError::Storage(StorageError::AboveHead { .. }) => block_not_found(),
        ImportError::Storage(StorageError::GivenUp(reason)) => refused(reason),
        ImportError::Storage(error @ StorageError::NotIndexed) => refused(error.to_string()),
        ImportError::State(error) => of_state(error),
        other => internal(other),
    }
}

/// A block was not built. A timestamp that is too low is nobody's argument.
pub(crate) fn of_build(error: BuildError) -> ErrorObjectOwned {
    match error {
        BuildError::UnknownParent(_) => block_not_found(),
        BuildError::Timestamp { .. }
        | BuildError::Transaction { .. }
        | BuildError::GivenUp
        | BuildError::Impossible(_) => refused(error.to_string()),
        BuildError::Broken(error) => of_chain(error),
    }
}

/// The state did not answer, perhaps because the call was given up.
pub(crate) fn of_state(error: StateError) -> ErrorObjectOwned {
    match error {
        StateError::Unavailable(reason) if reason.starts_with(GIVEN_UP) => refused(reason),
        other => internal(other),
    }
}

/// A block of the chain was not run again.
pub(crate) fn of_replay(error: BlockError) -> ErrorObjectOwned {
    match error {
        BlockError::State(error) => of_state(error),
        other => internal(other),
    }
}

/// What is to be sent offers a tip above the most that it offers. As libraries and geth say it.
pub(crate) fn tip_above_fee_cap(max_fee: u128, tip: u128) -> ErrorObjectOwned {
    let told = format!(
        "max priority fee per gas higher than max fee per gas: maxFeePerGas ({max_fee}) < \
         maxPriorityFeePerGas ({tip})"
    );
    with_code(TIP_ABOVE_FEE_CAP, told)
}

/// What is to be sent offers less than the base fee of the block that should have it. The words are
/// those of geth.
pub(crate) fn below_base_fee(max_fee: u128, base_fee: u128) -> ErrorObjectOwned {
    let told = format!(
        "max fee per gas less than block base fee: maxFeePerGas: {max_fee}, baseFee: {base_fee}"
    );
    with_code(PRICE_TOO_LOW, told)
}

/// What geth says where a message breaks a rule, by the name of the rule: wallets and libraries
/// look for these words.
const WORDS: &[(&str, &str)] = &[
    ("INSUFFICIENT_ACCOUNT_FUNDS", "insufficient funds for gas * price + value"),
    ("INSUFFICIENT_MAX_FEE_PER_GAS", "max fee per gas less than block base fee"),
    (
        "PRIORITY_GREATER_THAN_MAX_FEE_PER_GAS",
        "max priority fee per gas higher than max fee per gas",
    ),
    ("INTRINSIC_GAS_TOO_LOW", "intrinsic gas too low"),
    ("NONCE_MISMATCH_TOO_LOW", "nonce too low"),
    ("NONCE_MISMATCH_TOO_HIGH", "nonce too high"),
    ("NONCE_IS_MAX", "nonce has max value"),
    ("TYPE_NOT_SUPPORTED", "transaction type not supported"),
];

/// A message did not run.
pub(crate) fn of_call(error: CallError) -> ErrorObjectOwned {
    match error {
        CallError::Invalid(invalid) => {
            let names = invalid.names();
            let words = WORDS.iter().find(|(name, _)| names.contains(name));
            refused(match words {
                Some((_, words)) => format!("{words}: {invalid}"),
                None => invalid.to_string(),
            })
        }
        CallError::Creates(_) | CallError::InitCode { .. } => refused(error.to_string()),
        CallError::State(error) => of_state(error),
        CallError::Internal(_) => internal(error),
    }
}

/// The codes of what stands against a transaction in every state, by the name of the rule.
const CODES: &[(&str, i32)] = &[
    // Of the floor of EIP-7623, too.
    ("INTRINSIC_GAS_TOO_LOW", INTRINSIC_GAS_TOO_LOW),
    ("PRIORITY_GREATER_THAN_MAX_FEE_PER_GAS", TIP_ABOVE_FEE_CAP),
    ("INVALID_SIGNATURE_VRS", INVALID_SENDER),
    // A signature for another chain gives no sender on this one.
    ("INVALID_CHAINID", INVALID_SENDER),
];

/// The pool did not take a transaction. The words stay those of geth, by which libraries tell.
pub(crate) fn of_pool(error: PoolError) -> ErrorObjectOwned {
    let code = match &error {
        PoolError::Decode(_) => return invalid_argument(0, "transaction", &error),
        PoolError::State(error) => return of_state(error.clone()),
        PoolError::NonceTooLow { .. } => NONCE_TOO_LOW,
        PoolError::NonceTooHigh { .. } => NONCE_TOO_HIGH,
        PoolError::GasLimit { .. } => ABOVE_BLOCK_GAS_LIMIT,
        PoolError::InsufficientFunds { .. } => INSUFFICIENT_FUNDS,
        PoolError::AlreadyKnown => ALREADY_KNOWN,
        PoolError::Underpriced { .. }
        | PoolError::BlobUnderpriced { .. }
        | PoolError::ReplacementUnderpriced { .. }
        | PoolError::Full => PRICE_TOO_LOW,
        PoolError::Invalid(invalid) => {
            let names = invalid.names();
            let found = CODES.iter().find(|(name, _)| names.contains(name));
            found.map_or(REJECTED, |(_, code)| *code)
        }
        // It says nothing about the transaction.
        PoolError::HeadMoved => REFUSED,
        // The catalogue has no code for these. One that is added here was looked for in it.
        PoolError::Size { .. }
        | PoolError::SenderLimit { .. }
        | PoolError::KindReserved(_)
        | PoolError::SenderHasCode { .. }
        | PoolError::DelegatedLimit
        | PoolError::DelegatedGap { .. }
        | PoolError::AuthorityReserved(_)
        | PoolError::SidecarMissing
        | PoolError::SidecarForm { .. }
        | PoolError::SidecarCounts { .. }
        | PoolError::BlobCount { .. }
        | PoolError::BlobHash { .. }
        | PoolError::BlobProof
        | PoolError::SidecarMalformed(_) => REJECTED,
    };
    with_code(code, error.to_string())
}

/// A transaction was not taken.
pub(crate) fn of_submit(error: SubmitError) -> ErrorObjectOwned {
    match error {
        SubmitError::Pool(error) => of_pool(error),
        SubmitError::Broken(error) => of_chain(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fugue_types::U256;

    #[test]
    fn what_is_pruned_names_the_oldest_that_is_kept() {
        let pruned = StorageError::Pruned { what: "state", number: 5, oldest: 9 };
        let error = of_chain(ImportError::Storage(pruned));
        assert_eq!(error.code(), PRUNED);
        assert!(error.message().contains("state of block 5"), "{}", error.message());
        assert!(error.message().ends_with("block 9"), "{}", error.message());
        let pruned = StorageError::Pruned { what: "receipts", number: 0, oldest: 9 };
        let error = of_chain(ImportError::Storage(pruned));
        let told = "receipts of block 0 are not kept, the oldest kept are of block 9";
        assert!(error.message().ends_with(told), "{}", error.message());
    }

    #[test]
    fn a_clock_behind_the_head_is_no_wrong_argument() {
        let behind = BuildError::Timestamp { found: 1, parent: 2 };
        assert_eq!(of_build(behind).code(), REFUSED);
    }

    #[test]
    fn work_of_the_chain_that_is_given_up_is_refused_with_the_reason() {
        let given_up = StorageError::GivenUp("too far".to_owned());
        let error = of_chain(ImportError::Storage(given_up));
        assert_eq!((error.code(), error.message()), (REFUSED, "too far"));
        let given_up = StateError::Unavailable(format!("{GIVEN_UP}the caller has gone"));
        assert_eq!(of_chain(ImportError::State(given_up)).code(), REFUSED);
        let broken = StateError::Unavailable("the disk".to_owned());
        assert_eq!(of_chain(ImportError::State(broken)).code(), INTERNAL);
    }

    #[test]
    fn a_missing_index_is_refused_with_the_flag_that_makes_it() {
        let error = of_chain(ImportError::Storage(StorageError::NotIndexed));
        assert_eq!(error.code(), REFUSED);
        assert!(error.message().contains("--index-addresses"), "{}", error.message());
    }

    #[test]
    fn an_internal_error_does_not_say_its_cause() {
        let error = internal("cannot open /home/someone/node/mdbx.dat");
        assert_eq!((error.code(), error.message()), (INTERNAL, "internal error"));
    }

    #[test]
    fn a_refusal_of_the_pool_has_the_code_of_the_catalogue_and_keeps_its_words() {
        let (min, max, bytes) = (U256::ZERO, 1, 2);
        let cases = [
            (PoolError::NonceTooLow { next: 2, nonce: 1 }, 1, "nonce too low"),
            (PoolError::NonceTooHigh { next: 2, nonce: 9, gap_max: 4 }, 2, "nonce too high"),
            (PoolError::Underpriced { tip: 0, min: 1 }, 802, "transaction underpriced"),
            (PoolError::BlobUnderpriced { fee: 0, min: 1 }, 802, "transaction underpriced"),
            (
                PoolError::ReplacementUnderpriced { fee: "gas tip cap", found: 0, min },
                802,
                "replacement transaction underpriced",
            ),
            (PoolError::Full, 802, "txpool is full"),
            (PoolError::GasLimit { gas_limit: 2, max: 1 }, 803, "exceeds block gas limit"),
            (
                PoolError::InsufficientFunds { balance: min, cost: min, pending_cost: min },
                809,
                "insufficient funds for gas * price + value",
            ),
            (PoolError::AlreadyKnown, 1000, "already known"),
            (PoolError::DelegatedLimit, -32_003, "in-flight transaction limit reached"),
            (PoolError::Size { bytes, max }, -32_003, "oversized data"),
            (PoolError::SidecarMissing, -32_003, "missing sidecar"),
            (PoolError::HeadMoved, REFUSED, "the head moved"),
            (
                PoolError::Decode(alloy_rlp::Error::InputTooShort),
                INVALID_PARAMS,
                "invalid argument",
            ),
        ];
        for (refusal, code, words) in cases {
            let error = of_pool(refusal);
            assert_eq!(error.code(), code, "{}", error.message());
            assert!(error.message().starts_with(words), "{}", error.message());
        }
    }

    #[test]
    fn a_state_that_does_not_answer_is_never_a_refusal() {
        let broken = StateError::BlockHashMissing(1);
        assert_eq!(of_pool(PoolError::State(broken.clone())).code(), INTERNAL);
        assert_eq!(of_call(CallError::State(broken)).code(), INTERNAL);
    }
}
