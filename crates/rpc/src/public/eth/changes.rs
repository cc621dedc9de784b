//! Logs that are followed: by filters that stay open, and by subscriptions.

use crate::public::{
    Limits,
    block_ref::{BlockRef, Tag},
    error,
    eth::logs::{Filter, Found, Where, filter},
    live::Live,
    wire::{self, Place},
};
use alloy_rpc_types_eth::Log as WireLog;
use fugue_chain::MovedBlock;
use fugue_chainspec::ChainSpec;
use fugue_types::Header;
use jsonrpsee::types::ErrorObjectOwned;
use serde_json::Value;
use std::{ops::RangeInclusive, sync::Arc};
use tokio::sync::OwnedSemaphorePermit;

/// What became of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Joined,
    Left,
}

/// A filter as a request gives it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Followed {
    /// Where it looks when all that there is is asked for.
    pub(super) place: Where,
    filter: Filter,
    numbers: RangeInclusive<u64>,
}

/// A filter that is kept.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(super) filter: Filter,
    /// Of blocks that it is about.
    numbers: RangeInclusive<u64>,
    /// For its terms.
    _room: OwnedSemaphorePermit,
}

impl Followed {
    /// Of all logs.
    pub(crate) fn anything() -> Self {
        let (from, to) = (BlockRef::default(), BlockRef::default());
        let place = Where::Range { from, to };
        Self { place, filter: Filter::new(Vec::new(), Vec::new()), numbers: 0..=u64::MAX }
    }

    /// A filter of `eth_getLogs`. Numbers bound the blocks that it is about; tags do not, as what
    /// is followed is what comes.
    ///
    /// # Errors
    /// If it is about no block that could come, or has too many addresses or values of a topic.
    pub(crate) fn decode(value: &Value, limits: &Limits) -> Result<Self, String> {
        let (place, filter) = filter(value, limits.filter_values_max)?;
        let Where::Range { from, to } = place else {
            return Err("blockHash: logs of one block cannot be followed".to_owned());
        };
        let first = match from {
            BlockRef::Number(number) => number,
            BlockRef::Tag(_) | BlockRef::Hash { .. } => 0,
        };
        let last = match to {
            BlockRef::Number(number) => number,
            BlockRef::Tag(Tag::Latest | Tag::Pending) | BlockRef::Hash { .. } => u64::MAX,
            BlockRef::Tag(Tag::Earliest | Tag::Safe | Tag::Finalized) => {
                return Err("toBlock: a number, latest or pending is expected".to_owned());
            }
        };
        if first > last {
            return Err("invalid block range: fromBlock is above toBlock".to_owned());
        }
        Ok(Self { place: Where::Range { from, to }, filter, numbers: first..=last })
    }

    /// Keeps it.
    ///
    /// # Errors
    /// If there are too many terms in all filters together.
    pub(crate) fn keep(self, live: &Live, limits: &Limits) -> Result<Wanted, ErrorObjectOwned> {
        let Self { place: _, filter, numbers } = self;
        // Those of filters that nobody asks for are to be had.
        live.filters.close_idle(limits);
        let terms = u32::try_from(filter.term_count()).unwrap_or(u32::MAX);
        let room = Arc::clone(&live.terms).try_acquire_many_owned(terms).map_err(|_| {
            let max = limits.terms_max;
            error::refused(format!("filters have {max} addresses and topics already, the most"))
        })?;
        Ok(Wanted { filter, numbers, _room: room })
    }
}

impl Wanted {
    /// Whether the block with this header may have such logs.
    pub(crate) fn may_concern(&self, header: &Header) -> bool {
        self.numbers.contains(&header.number) && self.filter.may_match(&header.logs_bloom)
    }

    /// Such logs of a block, in their order. Those of a block that left the chain are marked as
    /// removed; there are none if its receipts are no longer kept.
    pub(crate) fn logs(
        &self,
        block: &MovedBlock,
        spec: &ChainSpec,
        change: Change,
    ) -> Vec<WireLog> {
        let header = block.header();
        if !self.may_concern(header) {
            return Vec::new();
        }
        let place = Place::new(block.hash(), header, &spec.rules(header));
        let txs = &block.body().transactions;
        let found = self.filter.search(block.receipts().unwrap_or_default()).into_iter();
        let logs = found.filter_map(|Found { tx_index, log_index, log }| {
            let hash = *txs.get(tx_index)?.hash();
            let log = wire::log(&place, tx_index, hash, log_index, log.clone());
            Some(WireLog { removed: change == Change::Left, ..log })
        });
        logs.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_bound_the_blocks_and_tags_do_not() {
        let decode = |value: &Value| Followed::decode(value, &Limits::default());
        let numbers = |value: Value| decode(&value).map(|followed| followed.numbers);
        assert_eq!(numbers(json!({})), Ok(0..=u64::MAX));
        assert_eq!(decode(&json!({})), Ok(Followed::anything()));
        let tags = json!({ "fromBlock": "latest", "toBlock": "pending" });
        assert_eq!(numbers(tags), Ok(0..=u64::MAX));
        assert_eq!(numbers(json!({ "fromBlock": "0x7", "toBlock": "0x9" })), Ok(7..=9));
        for wrong in [
            json!({ "fromBlock": "0x9", "toBlock": "0x7" }),
            json!({ "toBlock": "finalized" }),
            json!({ "toBlock": "earliest" }),
            json!({ "blockHash": fugue_types::B256::repeat_byte(1) }),
            json!([]),
        ] {
            assert!(numbers(wrong.clone()).is_err(), "{wrong}");
        }
    }
}
