//! What a fixture expects of a block, and what the chain says of it.

use super::{broken, equal};
use alloy_consensus::proofs::calculate_transaction_root;
use fugue_chain::{Chain, ImportError, InvalidReason};
use fugue_types::{B256, BlockAccessList, SealedBlock, TransactionTrait as _};
use fugue_validation::Rule;
use serde_json::Value;
use std::{fmt::Display, sync::Arc};

/// Official names of blocks that do not decode.
const UNDECODABLE: [&str; 12] = [
    "RLP_STRUCTURES_ENCODING",
    "RLP_INVALID_FIELD_OVERFLOW_64",
    "RLP_INVALID_ADDRESS",
    "RLP_WITHDRAWALS_NOT_READ",
    "RLP_ExpectedAsList",
    "INPUT_UNMARSHAL_ERROR",
    "INPUT_UNMARSHAL_ADDRESS_ERROR",
    // A header without a field that others follow.
    "INCORRECT_BLOCK_FORMAT",
    "TYPE_3_TX_WITH_FULL_BLOBS",
    // These types have no form without a recipient.
    "TYPE_3_TX_CONTRACT_CREATION",
    "TYPE_4_TX_CONTRACT_CREATION",
    "TR_BLOBCREATE",
];
/// Official names of blocks with a number that does not fit: a value, or a price that nobody can
/// pay.
const OVERFLOWN: [&str; 4] =
    ["RLP_INVALID_VALUE", "TR_RLP_WRONGVALUE", "GASLIMIT_PRICE_PRODUCT_OVERFLOW", "TR_NoFundsX"];

/// What a fixture says of a block.
#[derive(Debug)]
pub(super) enum Expected {
    /// It is imported, and has this hash.
    Valid(B256),
    /// It is refused: for a reason that has one of the names between the bars, or for any.
    Invalid(Option<String>),
    /// The call that carries it is answered with this error.
    Error(i32),
}

/// How a fixture gives a block.
#[derive(Debug)]
pub(super) enum Wire {
    /// In RLP.
    Block {
        /// Its access list, if the fixture has one.
        access_list: Option<Value>,
    },
    /// As a call of the Engine API.
    Call(Call),
}

/// A call of `engine_newPayload`, as it stands in the fixture.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) params: Value,
    /// Versions of this method, and of `engine_forkchoiceUpdated`.
    pub(super) new_payload: Option<u8>,
    pub(super) forkchoice: Option<u8>,
}

/// Why a block was refused.
#[derive(Debug, Clone)]
pub(super) struct Refused {
    message: String,
    /// Official names of the reason.
    names: Vec<&'static str>,
    /// The transactions are not those of the header.
    is_body_other: bool,
}

impl Refused {
    pub(super) fn new(name: &'static str, why: impl Display) -> Self {
        Self { message: why.to_string(), names: vec![name], is_body_other: false }
    }

    pub(super) fn undecodable(error: &alloy_rlp::Error) -> Self {
        let mut names = UNDECODABLE.to_vec();
        // The decoder of transactions may hide that a number of a legacy one does not fit.
        let hidden = alloy_rlp::Error::Custom("Unexpected type flag");
        if [alloy_rlp::Error::Overflow, hidden].contains(error) {
            names.extend(OVERFLOWN);
        }
        Self { message: format!("decoding: {error}"), names, is_body_other: false }
    }

    fn is_called(&self, expected: &str) -> bool {
        expected.split('|').any(|name| {
            let name = name.rsplit('.').next().unwrap_or(name);
            self.names.contains(&name)
        })
    }

    fn instead_of(&self, expected: &str) -> String {
        let Self { message, names, .. } = self;
        format!("expected {expected}, found {message} ({})", names.join(", "))
    }
}

impl From<InvalidReason> for Refused {
    fn from(reason: InvalidReason) -> Self {
        let names = match &reason {
            // To the official tests, an invalid parent is none.
            InvalidReason::Parent(_) => Rule::ParentHash.names().to_vec(),
            reason => reason.names(),
        };
        let is_body_other = matches!(
            &reason,
            InvalidReason::Header(mismatch) if mismatch.rule == Rule::TransactionsRoot
        );
        Self { message: reason.to_string(), names, is_body_other }
    }
}

/// What the chain says of a block.
enum Answer {
    Imported(B256),
    Refused(Refused),
}

/// # Errors
/// A message, if the chain says nothing of the block, or not the same in every mode.
fn ask(chain: &mut Chain, block: SealedBlock) -> Result<Answer, String> {
    match chain.import(block) {
        Ok(imported) if imported.parallel_differed => {
            Err("the parallel run gave another outcome than the sequential one".to_owned())
        }
        Ok(imported) => Ok(Answer::Imported(imported.hash)),
        Err(ImportError::Invalid { reason, .. }) => Ok(Answer::Refused((*reason).into())),
        Err(error @ ImportError::UnknownParent { .. }) => {
            let names = Rule::ParentHash.names().to_vec();
            let message = error.to_string();
            Ok(Answer::Refused(Refused { message, names, is_body_other: false }))
        }
        Err(error) => Err(broken(error)),
    }
}

/// A block of a fixture.
#[derive(Debug)]
pub(super) struct TestBlock {
    /// The block, if it can be read.
    pub(super) block: Result<SealedBlock, Refused>,
    pub(super) expected: Expected,
    pub(super) wire: Wire,
}

impl TestBlock {
    /// Imports the block, or sees it refused: with an access list beside it, if there is one.
    ///
    /// # Errors
    /// A message, if it is not as the fixture says.
    pub(super) fn import(
        &self,
        chain: &mut Chain,
        list: Option<Arc<BlockAccessList>>,
    ) -> Result<(), String> {
        let answer = match &self.block {
            Ok(block) => ask(chain, block.clone().with_access_list(list))?,
            Err(refused) => Answer::Refused(refused.clone()),
        };
        match (&self.expected, answer) {
            (Expected::Valid(hash), Answer::Imported(found)) => equal("hash", *hash, found),
            (Expected::Valid(_), Answer::Refused(refused)) => Err(refused.message),
            (Expected::Error(code), _) => {
                Err(format!("errorCode {code}: only the Engine API answers with one"))
            }
            (Expected::Invalid(names), Answer::Imported(_)) => {
                let expected = names.as_deref().unwrap_or("a refusal");
                Err(format!("expected {expected}, but the block was imported"))
            }
            (Expected::Invalid(None), Answer::Refused(_)) => Ok(()),
            (Expected::Invalid(Some(expected)), Answer::Refused(refused)) => {
                self.check_reason(chain, expected, &refused)
            }
        }
    }

    fn check_reason(
        &self,
        chain: &mut Chain,
        expected: &str,
        refused: &Refused,
    ) -> Result<(), String> {
        if refused.is_called(expected) {
            return Ok(());
        }
        let mended = match &self.block {
            Ok(block) if refused.is_body_other => mended(block),
            _ => return Err(refused.instead_of(expected)),
        };
        match ask(chain, mended)? {
            Answer::Refused(refused) if refused.is_called(expected) => Ok(()),
            Answer::Refused(refused) => Err(refused.instead_of(expected)),
            Answer::Imported(_) => {
                Err(format!("expected {expected}, but with a header of its own it was imported"))
            }
        }
    }
}

/// The block with a header that names its transactions. Where a fixture blames a transaction, its
/// header may be that of the block without it, and this is found before.
fn mended(block: &SealedBlock) -> SealedBlock {
    let mut block = block.block().clone();
    let transactions = &block.body.transactions;
    block.header.transactions_root = calculate_transaction_root(transactions);
    if let Some(gas) = &mut block.header.blob_gas_used {
        let of_each = transactions.iter().filter_map(|tx| tx.blob_gas_used());
        *gas = of_each.fold(0, u64::saturating_add);
    }
    SealedBlock::seal(block)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_known_by_any_of_its_names() {
        let refused = Refused::new("SENDER_NOT_EOA", "for a test");
        assert!(refused.is_called("SENDER_NOT_EOA"));
        assert!(refused.is_called("TransactionException.SENDER_NOT_EOA"));
        assert!(refused.is_called("BlockException.INVALID_GASLIMIT|X.SENDER_NOT_EOA"));
        assert!(!refused.is_called("TransactionException.SENDER_NOT"));
        assert!(!refused.is_called(""));
    }

    #[test]
    fn only_a_number_too_large_is_called_one() {
        let of_size = Refused::undecodable(&alloy_rlp::Error::UnexpectedLength);
        let of_number = Refused::undecodable(&alloy_rlp::Error::Overflow);
        for refused in [&of_size, &of_number] {
            assert!(refused.is_called("BlockException.RLP_STRUCTURES_ENCODING"));
        }
        assert!(!of_size.is_called("TransactionException.RLP_INVALID_VALUE"));
        assert!(of_number.is_called("TransactionException.RLP_INVALID_VALUE"));
    }
}
