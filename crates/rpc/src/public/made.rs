//! Blocks that are made: what `debug_`, `trace_` and `ots_` tell of. The pending one is not yet,
//! and the latest does not stand for it.

use crate::public::{
    block_ref::{BlockRef, Tag, number_or_tag},
    error,
};
use jsonrpsee::types::ErrorObjectOwned;
use serde_json::Value;

/// What geth says where something would run again that is pending. Source: go-ethereum,
/// `eth/tracers/api.go`, `TraceCall`.
const NOT_TRACED: &str = "tracing on top of pending is not supported";
/// What geth says where it has no pending block. Source: go-ethereum, `eth/api_backend.go`,
/// `BlockByNumber`.
const NOT_MADE: &str = "pending block is not available";

/// A block that is to be run again, or on which something is to be traced.
///
/// # Errors
/// Code -32000 for the pending block.
pub(crate) fn traceable(block: BlockRef) -> Result<BlockRef, ErrorObjectOwned> {
    if is_pending(&block) { Err(error::refused(NOT_TRACED)) } else { Ok(block) }
}

/// A block of which something is told.
///
/// # Errors
/// Code -32000 for the pending block.
pub(crate) fn made(block: BlockRef) -> Result<BlockRef, ErrorObjectOwned> {
    if is_pending(&block) { Err(error::refused(NOT_MADE)) } else { Ok(block) }
}

pub(crate) fn is_pending(block: &BlockRef) -> bool {
    *block == BlockRef::Tag(Tag::Pending)
}

/// A number, which many send as one of JSON, or a tag.
pub(crate) fn count_or_tag(value: &Value) -> Result<BlockRef, String> {
    value.as_u64().map_or_else(|| number_or_tag(value), |number| Ok(BlockRef::Number(number)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_pending_block_is_none_that_is_made() {
        let pending = BlockRef::Tag(Tag::Pending);
        for (found, told) in [(traceable(pending), NOT_TRACED), (made(pending), NOT_MADE)] {
            let error = found.expect_err("refused");
            assert_eq!((error.code(), error.message()), (error::REFUSED, told));
        }
        for block in [BlockRef::default(), BlockRef::Number(7)] {
            assert_eq!((traceable(block).ok(), made(block).ok()), (Some(block), Some(block)));
        }
    }

    #[test]
    fn blocks_may_be_numbered_in_hex_or_not() {
        for value in [json!(16), json!("0x10")] {
            assert_eq!(count_or_tag(&value), Ok(BlockRef::Number(16)), "{value}");
        }
        assert_eq!(count_or_tag(&json!("latest")), Ok(BlockRef::default()));
        for wrong in [json!(-1), json!(1.5), json!("16"), json!({})] {
            assert!(count_or_tag(&wrong).is_err(), "{wrong}");
        }
    }
}
