//! Why a transaction may not stand where it stands.

use revm::context_interface::result::InvalidTransaction;

/// A transaction that breaks a rule before it runs. Nothing was changed by it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidTx(pub(crate) InvalidTransaction);

impl InvalidTx {
    /// The gas that it takes by itself, where it has less.
    pub const fn least_gas(&self) -> Option<u64> {
        match self.0 {
            InvalidTransaction::CallGasCostMoreThanGasLimit { initial_gas, .. } => {
                Some(initial_gas)
            }
            InvalidTransaction::GasFloorMoreThanGasLimit { gas_floor, .. } => Some(gas_floor),
            _ => None,
        }
    }

    /// Names that the official tests use for this reason, the present one first.
    pub fn names(&self) -> &'static [&'static str] {
        use InvalidTransaction as I;
        match &self.0 {
            I::CallGasCostMoreThanGasLimit { .. } => {
                &["INTRINSIC_GAS_TOO_LOW", "TR_IntrinsicGas", "IntrinsicGas", "TR_NoFundsOrGas"]
            }
            I::GasFloorMoreThanGasLimit { .. } => {
                &["INTRINSIC_GAS_BELOW_FLOOR_GAS_COST", "INTRINSIC_GAS_TOO_LOW"]
            }
            I::LackOfFundForMaxFee { .. } => &[
                "INSUFFICIENT_ACCOUNT_FUNDS",
                "TR_NoFunds",
                "TR_NoFundsOrGas",
                "TR_NoFundsX",
                "TR_FeeCapLessThanBlocksORNoFunds",
                "SenderNotEOAorNoCASH",
            ],
            I::OverflowPaymentInTransaction => &[
                "GASLIMIT_PRICE_PRODUCT_OVERFLOW",
                "INSUFFICIENT_ACCOUNT_FUNDS",
                "TR_NoFunds",
                "TR_NoFundsX",
            ],
            I::Eip2930NotSupported => {
                &["TYPE_1_TX_PRE_FORK", "TYPE_NOT_SUPPORTED", "TR_TypeNotSupported"]
            }
            I::Eip1559NotSupported => {
                &["TYPE_2_TX_PRE_FORK", "TYPE_NOT_SUPPORTED", "TR_TypeNotSupported"]
            }
            I::Eip4844NotSupported => &[
                "TYPE_3_TX_PRE_FORK",
                "TYPE_NOT_SUPPORTED",
                "TR_TypeNotSupportedBlob",
                "TR_TypeNotSupported",
            ],
            I::Eip7702NotSupported => {
                &["TYPE_4_TX_PRE_FORK", "TYPE_NOT_SUPPORTED", "TR_TypeNotSupported"]
            }
            I::RejectCallerWithCode => &["SENDER_NOT_EOA", "SenderNotEOA", "SenderNotEOAorNoCASH"],
            I::NonceOverflowInTransaction => &["NONCE_IS_MAX", "TR_NonceHasMaxValue"],
            I::NonceTooHigh { .. } => &["NONCE_MISMATCH_TOO_HIGH", "TR_NonceTooHigh"],
            I::NonceTooLow { .. } => &["NONCE_MISMATCH_TOO_LOW", "TR_NonceTooLow"],
            I::CreateInitCodeSizeLimit => &["INITCODE_SIZE_EXCEEDED", "TR_InitCodeLimitExceeded"],
            I::GasPriceLessThanBasefee => &[
                "INSUFFICIENT_MAX_FEE_PER_GAS",
                "TR_FeeCapLessThanBlocks",
                "TR_FeeCapLessThanBlocksORNoFunds",
                "TR_FeeCapLessThanBlocksORGasLimitReached",
            ],
            I::PriorityFeeGreaterThanMaxFee => {
                &["PRIORITY_GREATER_THAN_MAX_FEE_PER_GAS", "TR_TipGtFeeCap"]
            }
            I::CallerGasLimitMoreThanBlock => &["GAS_ALLOWANCE_EXCEEDED", "TR_GasLimitReached"],
            I::TxGasLimitGreaterThanCap { .. } => &["GAS_LIMIT_EXCEEDS_MAXIMUM"],
            I::BlobGasPriceGreaterThanMax { .. } => &["INSUFFICIENT_MAX_FEE_PER_BLOB_GAS"],
            I::EmptyBlobs => &["TYPE_3_TX_ZERO_BLOBS", "TR_EMPTYBLOB"],
            I::BlobVersionNotSupported => {
                &["TYPE_3_TX_INVALID_BLOB_VERSIONED_HASH", "TR_BLOBVERSION_INVALID"]
            }
            I::TooManyBlobs { .. } => &["TYPE_3_TX_BLOB_COUNT_EXCEEDED", "TR_BLOBLIST_OVERSIZE"],
            I::EmptyAuthorizationList => &["TYPE_4_EMPTY_AUTHORIZATION_LIST"],
            I::InvalidChainId | I::MissingChainId => &["INVALID_CHAINID"],
            _ => &[],
        }
    }
}
