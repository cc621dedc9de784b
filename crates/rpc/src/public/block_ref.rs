//! How a request names a block: by number, hash, tag, or an object of EIP-1898.

use crate::public::{
    args::{boolean, field, hash, quantity_u64},
    error,
};
use fugue_chain::{ChainView, Head};
use fugue_types::B256;
use jsonrpsee::types::ErrorObjectOwned;
use serde_json::Value;
use std::sync::Arc;

/// Characters of a number in hex, with its prefix, at most. What is longer was meant as a hash.
const NUMBER_CHARACTERS_MAX: usize = 18;
/// Tags, for whoever has written none.
const TAGS: &str = "the tags are earliest, finalized, safe, latest and pending";

/// A block by what it is to the chain. Source: execution-apis, "Block tag".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tag {
    Earliest,
    Finalized,
    Safe,
    Latest,
    /// The block after the latest, which nobody has made yet: where it is not asked for as such,
    /// the latest stands for it.
    Pending,
}

/// A block as a request names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BlockRef {
    Tag(Tag),
    Number(u64),
    Hash {
        hash: B256,
        /// It must be in the chain of the head (EIP-1898).
        must_be_canonical: bool,
    },
}

impl Default for BlockRef {
    fn default() -> Self {
        Self::Tag(Tag::Latest)
    }
}

/// A number or a tag.
pub(crate) fn number_or_tag(value: &Value) -> Result<BlockRef, String> {
    let tag = match value.as_str() {
        Some("earliest") => Tag::Earliest,
        Some("finalized") => Tag::Finalized,
        Some("safe") => Tag::Safe,
        Some("latest") => Tag::Latest,
        Some("pending") => Tag::Pending,
        _ => {
            let number = quantity_u64(value).map(BlockRef::Number);
            return number.map_err(|reason| {
                if is_hex(value) { reason } else { format!("{reason}; {TAGS}") }
            });
        }
    };
    Ok(BlockRef::Tag(tag))
}

/// Whether it begins as a number or a hash.
fn is_hex(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.starts_with("0x") || text.starts_with("0X"))
}

/// A number, a tag, a hash, or an object with a number or a hash.
pub(crate) fn block_ref(value: &Value) -> Result<BlockRef, String> {
    match value {
        Value::Object(object) => {
            let number = field(object, "blockNumber", number_or_tag)?;
            let hash = field(object, "blockHash", hash)?;
            let must_be_canonical = field(object, "requireCanonical", boolean)?;
            match (number, hash) {
                (Some(number), None) => Ok(number),
                (None, Some(hash)) => Ok(BlockRef::Hash {
                    hash,
                    must_be_canonical: must_be_canonical.unwrap_or(false),
                }),
                (Some(_), Some(_)) => {
                    Err("blockHash and blockNumber are given, one is expected".to_owned())
                }
                (None, None) => Err("blockHash or blockNumber is expected".to_owned()),
            }
        }
        Value::String(text) if text.len() > NUMBER_CHARACTERS_MAX && is_hex(value) => {
            hash(value).map(|hash| BlockRef::Hash { hash, must_be_canonical: false })
        }
        other => number_or_tag(other),
    }
}

impl BlockRef {
    /// Its number in the chain of the head; `None` if it is not there.
    ///
    /// # Errors
    /// Code -39001 for a tag that names no block yet, or what the store says.
    pub(crate) fn number(&self, view: &ChainView) -> Result<Option<u64>, ErrorObjectOwned> {
        let head = view.head().number;
        let marked = |head: Option<Head>, tag| {
            head.map(|head| Some(head.number)).ok_or_else(|| error::unknown_block(tag))
        };
        match *self {
            Self::Tag(Tag::Earliest) => Ok(Some(0)),
            Self::Tag(Tag::Finalized) => marked(view.finalized(), "finalized"),
            Self::Tag(Tag::Safe) => marked(view.safe(), "safe"),
            Self::Tag(Tag::Latest | Tag::Pending) => Ok(Some(head)),
            Self::Number(number) => Ok((number <= head).then_some(number)),
            Self::Hash { hash, .. } => view.number(hash).map_err(error::of_chain),
        }
    }

    /// The chain that has it, and its number there: by a hash also a block beside the chain of the
    /// head, then it is the chain up to that one. `None` if it is not known.
    ///
    /// # Errors
    /// As [`BlockRef::number`], and if it must be in the chain of the head, and is beside it.
    /// Source: EIP-1898.
    pub(crate) fn chain(
        &self,
        view: Arc<ChainView>,
    ) -> Result<Option<(Arc<ChainView>, u64)>, ErrorObjectOwned> {
        if let Some(number) = self.number(&view)? {
            return Ok(Some((view, number)));
        }
        self.check_canonical(&view)?;
        let Self::Hash { hash, .. } = *self else { return Ok(None) };
        let Some(beside) = view.up_to(hash).map_err(error::of_chain)? else { return Ok(None) };
        let number = beside.head().number;
        Ok(Some((Arc::new(beside), number)))
    }

    /// The same, to read the state after it.
    ///
    /// # Errors
    /// As [`BlockRef::chain`], and if the block is not known.
    pub(crate) fn chain_with_state(
        &self,
        view: Arc<ChainView>,
    ) -> Result<(Arc<ChainView>, u64), ErrorObjectOwned> {
        self.chain(view)?.ok_or_else(error::block_not_found)
    }

    /// # Errors
    /// If it must be in the chain of the head, and is known beside it. Source: EIP-1898.
    pub(crate) fn check_canonical(&self, view: &ChainView) -> Result<(), ErrorObjectOwned> {
        if let Self::Hash { hash, must_be_canonical: true } = *self
            && view.number(hash).map_err(error::of_chain)?.is_none()
            && view.block_by_hash(hash).map_err(error::of_chain)?.is_some()
        {
            return Err(error::refused(format!("hash {hash} is not currently canonical")));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_block_is_named_by_tag_number_or_hash() {
        let hash = B256::repeat_byte(7);
        let by_hash = |must_be_canonical| BlockRef::Hash { hash, must_be_canonical };
        let cases = [
            (json!("latest"), BlockRef::Tag(Tag::Latest)),
            (json!("finalized"), BlockRef::Tag(Tag::Finalized)),
            (json!("0x10"), BlockRef::Number(16)),
            (json!(hash), by_hash(false)),
            (json!({"blockNumber": "0x10"}), BlockRef::Number(16)),
            (json!({"blockHash": hash}), by_hash(false)),
            (json!({"blockHash": hash, "requireCanonical": true}), by_hash(true)),
        ];
        for (value, expected) in cases {
            assert_eq!(block_ref(&value), Ok(expected), "{value}");
        }
    }

    #[test]
    fn anything_else_names_no_block() {
        let hash = B256::repeat_byte(7);
        for wrong in [
            json!("newest"),
            json!("2"),
            json!("0x01"),
            json!(2),
            json!({}),
            json!({"blockNumber": "0x1", "blockHash": hash}),
        ] {
            assert!(block_ref(&wrong).is_err(), "{wrong}");
        }
        assert!(number_or_tag(&json!(hash)).is_err());
    }

    #[test]
    fn what_may_have_been_meant_as_a_tag_or_a_hash_is_told_so() {
        let told = |value: Value| block_ref(&value).expect_err("no block");
        let long = json!("the newest block of all");
        for value in [json!("newest"), json!("2"), json!(""), json!(2), long] {
            assert!(told(value.clone()).ends_with(TAGS), "{value}");
        }
        assert!(told(json!("newest")).starts_with("hex string without 0x prefix"));
        assert_eq!(told(json!("0x01")), "hex number with leading zero digits");
        for digits in [17, 63, 65] {
            let told = told(json!(format!("0x{}", "7".repeat(digits))));
            assert_eq!(told, format!("a hash has 32 bytes, this has {digits} hex digits"));
        }
    }
}
