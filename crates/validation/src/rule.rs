//! The rules by which headers and bodies are judged, and what the official tests call a breach.

/// A rule that a header, a body or an outcome can break.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// The header names its parent by hash.
    ParentHash,
    /// One more than the parent's number.
    Number,
    /// Later than the parent.
    Timestamp,
    /// At least 5000.
    GasLimitMin,
    /// At most 2^63 - 1.
    GasLimitMax,
    /// Less than a 1024th away from the parent's.
    GasLimitStep,
    /// No more gas is used than the header allows.
    GasUsedMax,
    /// At most 32 bytes of extra data.
    ExtraDataSize,
    /// The extra data of the DAO fork's first blocks.
    ExtraDataDao,
    /// The difficulty follows from the parent.
    Difficulty,
    /// A block before the merge has a difficulty.
    ProofOfWork,
    /// A block after the merge has none.
    ProofOfStake,
    /// A block after the merge has no nonce.
    Nonce,
    /// A block after the merge has no ommers.
    NoOmmers,
    /// The named field is there from its fork on.
    Missing(&'static str),
    /// The named field is not there before its fork.
    Early(&'static str),
    /// The base fee follows from the parent.
    BaseFee,
    /// The excess blob gas follows from the parent.
    ExcessBlobGas,
    /// No more blob gas than a block may use.
    BlobGasMax,
    /// Whole blobs.
    BlobGasUnit,
    /// The blob gas of the transactions.
    BlobGasUsed,
    /// The root of the transactions.
    TransactionsRoot,
    /// The hash of the ommers.
    OmmersHash,
    /// The root of the withdrawals.
    WithdrawalsRoot,
    /// No larger than a block may be.
    BlockSize,
    /// At most two ommers.
    OmmerCount,
    /// An ommer is included once.
    OmmerKnown,
    /// An ommer is no ancestor.
    OmmerIsAncestor,
    /// An ommer is no child of the block's own parent.
    OmmerIsSibling,
    /// An ommer is the child of an ancestor that is near enough.
    OmmerParent,
    /// The gas of the transactions.
    GasUsed,
    /// The root of the receipts.
    ReceiptsRoot,
    /// The blooms of the receipts.
    LogsBloom,
    /// The hash of the requests.
    RequestsHash,
    /// The hash of the block access list.
    AccessListHash,
    /// The number of accounts and slots in the block access list.
    AccessListSize,
    /// The root of the state after the block.
    StateRoot,
}

impl Rule {
    /// The field that the rule is about, by its name in JSON-RPC.
    pub const fn field(&self) -> &'static str {
        match *self {
            Self::ParentHash => "parentHash",
            Self::Number => "number",
            Self::Timestamp => "timestamp",
            Self::GasLimitMin | Self::GasLimitMax | Self::GasLimitStep => "gasLimit",
            Self::GasUsedMax | Self::GasUsed => "gasUsed",
            Self::ExtraDataSize | Self::ExtraDataDao => "extraData",
            Self::Difficulty | Self::ProofOfWork | Self::ProofOfStake => "difficulty",
            Self::Nonce => "nonce",
            Self::NoOmmers | Self::OmmersHash => "sha3Uncles",
            Self::Missing(field) | Self::Early(field) => field,
            Self::BaseFee => "baseFeePerGas",
            Self::ExcessBlobGas => "excessBlobGas",
            Self::BlobGasMax | Self::BlobGasUnit | Self::BlobGasUsed => "blobGasUsed",
            Self::TransactionsRoot => "transactionsRoot",
            Self::WithdrawalsRoot => "withdrawalsRoot",
            Self::BlockSize => "size",
            Self::OmmerCount
            | Self::OmmerKnown
            | Self::OmmerIsAncestor
            | Self::OmmerIsSibling
            | Self::OmmerParent => "uncles",
            Self::ReceiptsRoot => "receiptsRoot",
            Self::LogsBloom => "logsBloom",
            Self::RequestsHash => "requestsHash",
            Self::AccessListHash => "blockAccessListHash",
            Self::AccessListSize => "blockAccessList",
            Self::StateRoot => "stateRoot",
        }
    }

    /// Names that the official tests use for a breach of this rule, the present ones first. Empty
    /// where they have none.
    pub fn names(&self) -> &'static [&'static str] {
        match self {
            Self::ParentHash => {
                &["UNKNOWN_PARENT", "UNKNOWN_PARENT_ZERO", "UnknownParent", "UnknownParent2"]
            }
            Self::Number => &["INVALID_BLOCK_NUMBER", "InvalidNumber"],
            Self::Timestamp => &[
                "INVALID_BLOCK_TIMESTAMP_OLDER_THAN_PARENT",
                "InvalidTimestampOlderParent",
                "InvalidTimestamp",
            ],
            // A limit of zero is below the gas used, too.
            Self::GasLimitMin => {
                &["INVALID_GASLIMIT", "InvalidGasLimit2", "InvalidGasLimit", "TooMuchGasUsed"]
            }
            Self::GasLimitMax => &["GASLIMIT_TOO_BIG", "InvalidGasLimit"],
            Self::GasLimitStep => &["INVALID_GASLIMIT", "InvalidGasLimit2", "InvalidGasLimit"],
            Self::GasUsedMax => {
                &["INVALID_GAS_USED_ABOVE_LIMIT", "GAS_USED_OVERFLOW", "TooMuchGasUsed"]
            }
            Self::ExtraDataSize => &["EXTRA_DATA_TOO_BIG", "ExtraDataTooBig"],
            Self::ExtraDataDao => &["EXTRA_DATA_INVALID_DAO", "ExtraDataIncorrectDAO"],
            Self::Difficulty => {
                &["INVALID_DIFFICULTY", "InvalidDifficulty", "3675PoSBlockRejected"]
            }
            Self::ProofOfWork => &[
                "IMPORT_IMPOSSIBLE_PARIS_WRONG_POS",
                "INVALID_DIFFICULTY",
                "3675PoSBlockRejected",
                "InvalidDifficulty",
            ],
            Self::ProofOfStake => &[
                "IMPORT_IMPOSSIBLE_DIFFICULTY_OVER_PARIS",
                "IMPORT_IMPOSSIBLE_PARIS_WRONG_POW",
                "IMPORT_IMPOSSIBLE_LONDON_OVER_PARIS",
                "INVALID_DIFFICULTY",
                "PostParisDifficultyIsNot0",
                "3675PoWBlockRejected",
                "3675PreParis1559BlockRejected",
                "InvalidDifficulty",
            ],
            Self::NoOmmers => &[
                "IMPORT_IMPOSSIBLE_UNCLES_OVER_PARIS",
                "PostParisUncleHashIsNotEmpty",
                "3675PreParis1559BlockRejected",
            ],
            Self::Missing(field) => missing(field),
            Self::Early(field) => early(field),
            Self::BaseFee => &["INVALID_BASEFEE_PER_GAS", "1559BlockImportImpossible_BaseFeeWrong"],
            Self::ExcessBlobGas => &["INCORRECT_EXCESS_BLOB_GAS"],
            // The header is judged before the transactions, which the tests blame.
            Self::BlobGasMax => &[
                "BLOB_GAS_USED_ABOVE_LIMIT",
                "TYPE_3_TX_MAX_BLOB_GAS_ALLOWANCE_EXCEEDED",
                "TYPE_3_TX_BLOB_COUNT_EXCEEDED",
                "TR_BLOBLIST_OVERSIZE",
            ],
            Self::BlobGasUnit | Self::BlobGasUsed => &["INCORRECT_BLOB_GAS_USED"],
            Self::TransactionsRoot => &["INVALID_TRANSACTIONS_ROOT", "InvalidTransactionsRoot"],
            Self::OmmersHash => &["INVALID_UNCLES_HASH", "InvalidUnclesHash"],
            Self::WithdrawalsRoot => &["INVALID_WITHDRAWALS_ROOT", "InvalidWithdrawals"],
            Self::BlockSize => &["RLP_BLOCK_LIMIT_EXCEEDED"],
            Self::OmmerCount => &["TOO_MANY_UNCLES", "TooManyUncles"],
            Self::OmmerKnown => {
                &["UNCLE_IN_CHAIN", "UNCLE_IS_BROTHER", "UncleInChain", "UncleIsBrother"]
            }
            Self::OmmerIsAncestor => &[
                "UNCLE_IS_ANCESTOR",
                "UNCLE_IN_CHAIN",
                "UncleIsAncestor",
                "UncleInChain",
                "InvalidUncleParentHash",
            ],
            Self::OmmerIsSibling => {
                &["UNCLE_PARENT_INCORRECT", "UncleIsBrother", "UncleParentIsNotAncestor"]
            }
            Self::OmmerParent => &[
                "UNCLE_PARENT_INCORRECT",
                "UNCLE_UNKNOWN_PARENT",
                "UncleParentIsNotAncestor",
                "UncleTooOld",
                "InvalidUncleParentHash",
            ],
            Self::GasUsed => &["INVALID_GAS_USED", "InvalidGasUsed"],
            Self::ReceiptsRoot => &["INVALID_RECEIPTS_ROOT", "InvalidReceiptsStateRoot"],
            Self::LogsBloom => &["INVALID_LOG_BLOOM", "InvalidLogBloom"],
            Self::RequestsHash => &["INVALID_REQUESTS"],
            Self::AccessListHash => &["INVALID_BLOCK_ACCESS_LIST", "INVALID_BAL_HASH"],
            Self::AccessListSize => &["BLOCK_ACCESS_LIST_GAS_LIMIT_EXCEEDED"],
            Self::StateRoot => &["INVALID_STATE_ROOT", "InvalidStateRoot"],
            Self::Nonce => &[],
        }
    }
}

/// Names of the lack of a field.
fn missing(field: &str) -> &'static [&'static str] {
    match field {
        "baseFeePerGas" => &[
            "IMPORT_IMPOSSIBLE_LEGACY",
            "IMPORT_IMPOSSIBLE_LEGACY_WRONG_PARENT",
            "INCORRECT_BLOCK_FORMAT",
            "LegacyBlockImportImpossible",
            "LegacyBlockImportImpossible2",
        ],
        "withdrawalsRoot" => &[
            "IMPORT_IMPOSSIBLE_PARIS_OVER_SHANGHAI",
            "INCORRECT_BLOCK_FORMAT",
            "ParisBlockImportImpossible",
        ],
        "withdrawals" => &[
            "RLP_WITHDRAWALS_NOT_READ",
            "RLP_STRUCTURES_ENCODING",
            "INCORRECT_BLOCK_FORMAT",
            "RLP_ExpectedAsList",
        ],
        _ => &["INCORRECT_BLOCK_FORMAT"],
    }
}

/// Names of a field that is there too early.
fn early(field: &str) -> &'static [&'static str] {
    match field {
        "baseFeePerGas" => &[
            "IMPORT_IMPOSSIBLE_LONDON_WRONG_PARENT",
            "INCORRECT_BLOCK_FORMAT",
            "1559BlockImportImpossible_HeaderIsLegacy",
        ],
        "withdrawalsRoot" => &[
            "IMPORT_IMPOSSIBLE_SHANGHAI",
            "INCORRECT_BLOCK_FORMAT",
            "ShanghaiBlockImportImpossible",
        ],
        _ => &["INCORRECT_BLOCK_FORMAT"],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_a_header_in_the_official_tests_stands_for_a_rule() {
        let cases = [
            (Rule::ParentHash, "UNKNOWN_PARENT_ZERO"),
            (Rule::Number, "InvalidNumber"),
            (Rule::Timestamp, "InvalidTimestampOlderParent"),
            (Rule::GasLimitMin, "INVALID_GASLIMIT"),
            (Rule::GasLimitMax, "GASLIMIT_TOO_BIG"),
            (Rule::GasLimitStep, "InvalidGasLimit2"),
            (Rule::GasUsedMax, "TooMuchGasUsed"),
            (Rule::ExtraDataSize, "EXTRA_DATA_TOO_BIG"),
            (Rule::ExtraDataDao, "ExtraDataIncorrectDAO"),
            (Rule::Difficulty, "INVALID_DIFFICULTY"),
            (Rule::ProofOfWork, "3675PoSBlockRejected"),
            (Rule::ProofOfStake, "PostParisDifficultyIsNot0"),
            (Rule::ProofOfStake, "3675PoWBlockRejected"),
            (Rule::NoOmmers, "IMPORT_IMPOSSIBLE_UNCLES_OVER_PARIS"),
            (Rule::Missing("baseFeePerGas"), "LegacyBlockImportImpossible2"),
            (Rule::Early("baseFeePerGas"), "1559BlockImportImpossible_HeaderIsLegacy"),
            (Rule::Missing("withdrawalsRoot"), "IMPORT_IMPOSSIBLE_PARIS_OVER_SHANGHAI"),
            (Rule::Early("withdrawalsRoot"), "ShanghaiBlockImportImpossible"),
            (Rule::Missing("withdrawals"), "RLP_WITHDRAWALS_NOT_READ"),
            (Rule::Missing("blobGasUsed"), "INCORRECT_BLOCK_FORMAT"),
            (Rule::Early("requestsHash"), "INCORRECT_BLOCK_FORMAT"),
            (Rule::BaseFee, "1559BlockImportImpossible_BaseFeeWrong"),
            (Rule::ExcessBlobGas, "INCORRECT_EXCESS_BLOB_GAS"),
            (Rule::BlobGasMax, "TYPE_3_TX_MAX_BLOB_GAS_ALLOWANCE_EXCEEDED"),
            (Rule::BlobGasUsed, "INCORRECT_BLOB_GAS_USED"),
            (Rule::BlobGasUnit, "INCORRECT_BLOB_GAS_USED"),
            (Rule::TransactionsRoot, "InvalidTransactionsRoot"),
            (Rule::OmmersHash, "InvalidUnclesHash"),
            (Rule::WithdrawalsRoot, "InvalidWithdrawals"),
            (Rule::BlockSize, "RLP_BLOCK_LIMIT_EXCEEDED"),
            (Rule::OmmerCount, "TooManyUncles"),
            (Rule::OmmerKnown, "UncleInChain"),
            (Rule::OmmerIsAncestor, "UncleIsAncestor"),
            (Rule::OmmerIsSibling, "UncleIsBrother"),
            (Rule::OmmerParent, "UncleTooOld"),
            (Rule::GasUsed, "INVALID_GAS_USED"),
            (Rule::ReceiptsRoot, "InvalidReceiptsStateRoot"),
            (Rule::LogsBloom, "INVALID_LOG_BLOOM"),
            (Rule::RequestsHash, "INVALID_REQUESTS"),
            (Rule::AccessListHash, "INVALID_BLOCK_ACCESS_LIST"),
            (Rule::AccessListSize, "BLOCK_ACCESS_LIST_GAS_LIMIT_EXCEEDED"),
            (Rule::StateRoot, "InvalidStateRoot"),
        ];
        for (rule, name) in cases {
            assert!(rule.names().contains(&name), "{rule:?}: {name}");
        }
    }

    #[test]
    fn no_name_is_listed_twice_for_one_rule() {
        let rules = [
            Rule::GasLimitMin,
            Rule::ProofOfStake,
            Rule::ProofOfWork,
            Rule::BlobGasMax,
            Rule::OmmerIsAncestor,
            Rule::OmmerParent,
            Rule::Missing("withdrawals"),
        ];
        for rule in rules {
            let mut names = rule.names().to_vec();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), rule.names().len(), "{rule:?}");
        }
    }
}
