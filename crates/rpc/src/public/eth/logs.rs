//! Logs by filter: `eth_getLogs`.
//!
//! A block whose bloom says that it has no such log is passed over, a receipt likewise. The blooms
//! err on one side only: what they let through is compared log by log.

use crate::public::{
    Answer, Context,
    args::{Args, address, field, hash, list, object},
    block_ref::{BlockRef, number_or_tag},
    error::{self, invalid_params},
    json,
    wire::{self, Place},
};
use alloy_rpc_types_eth::Log as WireLog;
use fugue_chain::ChainView;
use fugue_types::{Address, B256, Bloom, Log, ReceiptEnvelope};
use jsonrpsee::types::ErrorObjectOwned;
use serde_json::Value;

/// Topics of a log. Source: Yellow Paper, LOG0 to LOG4.
const TOPICS_MAX: usize = 4;
/// Addresses, and values of one topic, of a filter.
const TERMS_MAX: usize = 1_000;

/// Bytes of a log in memory and in an answer beside its data, about: address, topics, and place.
const LOG_BYTES: usize = 300;

/// Where to look.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Where {
    Block(B256),
    Range { from: BlockRef, to: BlockRef },
}

/// What to look for. An empty list stands for anything.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Filter {
    addresses: Vec<Address>,
    topics: Vec<Vec<B256>>,
    /// One for each address.
    address_blooms: Vec<Bloom>,
    /// One for each value of each topic.
    topic_blooms: Vec<Vec<Bloom>>,
}

/// A log that was found in a block.
#[derive(Debug, PartialEq, Eq)]
struct Found<'r> {
    tx_index: usize,
    /// In the block.
    log_index: u64,
    log: &'r Log,
}

/// `eth_getLogs`.
pub(crate) fn logs(context: &Context, mut args: Args) -> Answer {
    let (place, filter) = args.required("filter", filter)?;
    args.end()?;
    let view = context.view();
    let (from, to) = range(&view, &place, context.limits.log_blocks_max)?;
    let (logs_max, bytes_max) = (context.limits.logs_max, context.limits.log_bytes_max);
    let mut found = Vec::new();
    let mut bytes = 0_usize;
    for number in from..=to {
        context.patience.check()?;
        let before = found.len();
        of_block(&view, number, &filter, &mut found)?;
        let added = found.get(before..).unwrap_or_default();
        bytes = bytes.saturating_add(weight(added));
        if bytes > bytes_max && from != to {
            return Err(invalid_params(format!(
                "query exceeds max result size {bytes_max} bytes, retry with the range {from}-{}",
                number.saturating_sub(1).max(from)
            )));
        }
        if found.len() > logs_max && from != to {
            return Err(invalid_params(format!(
                "query exceeds max results {logs_max}, retry with the range {from}-{}",
                number.saturating_sub(1).max(from)
            )));
        }
    }
    json(&found)
}

/// Bytes of these logs, about.
fn weight(logs: &[WireLog]) -> usize {
    let bytes = logs.iter().map(|log| log.data().data.len().saturating_add(LOG_BYTES));
    bytes.fold(0, usize::saturating_add)
}

/// The numbers of the first and the last block.
fn range(view: &ChainView, place: &Where, blocks_max: u64) -> Result<(u64, u64), ErrorObjectOwned> {
    let (from, to) = match place {
        Where::Block(hash) => {
            let number = view.number(*hash).map_err(error::of_chain)?;
            let number = number.ok_or_else(error::block_not_found)?;
            return Ok((number, number));
        }
        Where::Range { from, to } => (from.number(view)?, to.number(view)?),
    };
    let (Some(from), Some(to)) = (from, to) else {
        return Err(invalid_params("block range extends beyond current head block"));
    };
    let Some(span) = to.checked_sub(from) else {
        return Err(invalid_params("invalid block range: fromBlock is above toBlock"));
    };
    if span >= blocks_max {
        return Err(invalid_params(format!("query exceeds max block range {blocks_max}")));
    }
    Ok((from, to))
}

fn of_block(
    view: &ChainView,
    number: u64,
    filter: &Filter,
    logs: &mut Vec<WireLog>,
) -> Result<(), ErrorObjectOwned> {
    let header = view.header(number).map_err(error::of_chain)?;
    let (hash, header) = header.ok_or_else(error::block_not_found)?;
    if !filter.may_match(&header.logs_bloom) {
        return Ok(());
    }
    let receipts = view.receipts(number).map_err(error::of_chain)?;
    let receipts = receipts.ok_or_else(error::block_not_found)?;
    let found = filter.search(&receipts);
    if found.is_empty() {
        return Ok(());
    }
    let viewed = view.block(number).map_err(error::of_chain)?;
    let txs = viewed.ok_or_else(error::block_not_found)?.body.transactions;
    let place = Place::new(hash, &header, &view.spec().rules(&header));
    for Found { tx_index, log_index, log } in found {
        let tx = txs.get(tx_index);
        let tx = tx.ok_or_else(|| error::internal(format!("block {number} lacks transactions")))?;
        logs.push(wire::log(&place, tx_index, *tx.hash(), log_index, log.clone()));
    }
    Ok(())
}

impl Filter {
    fn new(addresses: Vec<Address>, topics: Vec<Vec<B256>>) -> Self {
        let bloom = |bytes: &[u8]| {
            let mut bloom = Bloom::default();
            bloom.m3_2048(bytes);
            bloom
        };
        let address_blooms = addresses.iter().map(|address| bloom(address.as_slice())).collect();
        let topic_blooms = topics
            .iter()
            .map(|values| values.iter().map(|value| bloom(value.as_slice())).collect())
            .collect();
        Self { addresses, topics, address_blooms, topic_blooms }
    }

    /// Whether there may be such a log where this is the bloom.
    fn may_match(&self, bloom: &Bloom) -> bool {
        let has_any = |blooms: &Vec<Bloom>| {
            blooms.is_empty() || blooms.iter().any(|wanted| bloom.contains(wanted))
        };
        has_any(&self.address_blooms) && self.topic_blooms.iter().all(has_any)
    }

    fn matches(&self, log: &Log) -> bool {
        let topics = log.data.topics();
        (self.addresses.is_empty() || self.addresses.contains(&log.address))
            && self.topics.len() <= topics.len()
            && self
                .topics
                .iter()
                .zip(topics)
                .all(|(values, topic)| values.is_empty() || values.contains(topic))
    }

    /// The logs of a block that are looked for, in their order.
    fn search<'r>(&self, receipts: &'r [ReceiptEnvelope]) -> Vec<Found<'r>> {
        let mut found = Vec::new();
        let mut first_log = 0_u64;
        for (tx_index, receipt) in receipts.iter().enumerate() {
            let logs = receipt.logs();
            if self.may_match(receipt.logs_bloom()) {
                let numbered = (first_log..).zip(logs).filter(|(_, log)| self.matches(log));
                found.extend(numbered.map(|(log_index, log)| Found { tx_index, log_index, log }));
            }
            first_log = first_log.saturating_add(logs.len() as u64);
        }
        found
    }
}

/// Source: execution-apis, "Filter".
fn filter(value: &Value) -> Result<(Where, Filter), String> {
    let fields = object(value)?;
    let from = field(fields, "fromBlock", number_or_tag)?;
    let to = field(fields, "toBlock", number_or_tag)?;
    let place = match field(fields, "blockHash", hash)? {
        Some(_) if from.is_some() || to.is_some() => {
            return Err("blockHash is given together with fromBlock or toBlock".to_owned());
        }
        Some(hash) => Where::Block(hash),
        None => Where::Range { from: from.unwrap_or_default(), to: to.unwrap_or_default() },
    };
    let addresses = field(fields, "address", |value| one_or_more(value, address))?;
    let topic = |value: &Value| match value {
        Value::Null => Ok(Vec::new()),
        some => one_or_more(some, hash),
    };
    let topics = field(fields, "topics", |value| list(value, TOPICS_MAX, topic))?;
    Ok((place, Filter::new(addresses.unwrap_or_default(), topics.unwrap_or_default())))
}

fn one_or_more<T>(
    value: &Value,
    decode: impl Fn(&Value) -> Result<T, String>,
) -> Result<Vec<T>, String> {
    if value.is_array() { list(value, TERMS_MAX, decode) } else { Ok(vec![decode(value)?]) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::public::block_ref::Tag;
    use fugue_types::{Bytes, Eip658Value, Receipt};
    use serde_json::json as object;

    const HERE: Address = Address::repeat_byte(1);
    const THERE: Address = Address::repeat_byte(2);

    fn topic(byte: u8) -> B256 {
        B256::repeat_byte(byte)
    }

    fn log(address: Address, topics: &[u8]) -> Log {
        let topics = topics.iter().copied().map(topic).collect();
        Log::new_unchecked(address, topics, Bytes::new())
    }

    fn receipt(logs: Vec<Log>) -> ReceiptEnvelope {
        let status = Eip658Value::Eip658(true);
        let receipt = Receipt { status, cumulative_gas_used: 1, logs };
        ReceiptEnvelope::Legacy(receipt.with_bloom())
    }

    fn found(value: Value) -> Vec<(usize, u64)> {
        let receipts = [
            receipt(vec![log(HERE, &[7]), log(THERE, &[7, 8])]),
            receipt(vec![]),
            receipt(vec![log(HERE, &[]), log(HERE, &[9, 8])]),
        ];
        let (_, filter) = filter(&value).expect("a filter");
        filter.search(&receipts).iter().map(|one| (one.tx_index, one.log_index)).collect()
    }

    #[test]
    fn logs_are_found_by_address_and_topics() {
        assert_eq!(found(object!({})), [(0, 0), (0, 1), (2, 2), (2, 3)]);
        assert_eq!(found(object!({ "address": HERE })), [(0, 0), (2, 2), (2, 3)]);
        assert_eq!(found(object!({ "address": [HERE, THERE], "topics": [] })).len(), 4);
        assert_eq!(found(object!({ "topics": [topic(7)] })), [(0, 0), (0, 1)]);
        assert_eq!(found(object!({ "topics": [[topic(7), topic(9)]] })).len(), 3);
        assert!(found(object!({ "topics": [topic(6)] })).is_empty());
    }

    #[test]
    fn a_null_topic_stands_for_any_that_is_there() {
        assert_eq!(found(object!({ "topics": [null, topic(8)] })), [(0, 1), (2, 3)]);
        assert_eq!(found(object!({ "topics": [null] })), [(0, 0), (0, 1), (2, 3)]);
    }

    #[test]
    fn a_filter_is_of_a_block_or_of_a_range() {
        let (latest, one) = (BlockRef::Tag(Tag::Latest), BlockRef::Number(1));
        let place = |value: Value| filter(&value).map(|(place, _)| place);
        assert_eq!(place(object!({})), Ok(Where::Range { from: latest, to: latest }));
        assert_eq!(
            place(object!({ "fromBlock": "0x1" })),
            Ok(Where::Range { from: one, to: latest })
        );
        assert_eq!(place(object!({ "blockHash": topic(3) })), Ok(Where::Block(topic(3))));
        assert!(place(object!({ "blockHash": topic(3), "toBlock": "0x1" })).is_err());
    }

    #[test]
    fn logs_weigh_what_their_data_does_and_more() {
        let inner = Log::new_unchecked(HERE, Vec::new(), Bytes::from(vec![0; 1_000]));
        let heavy = WireLog { inner, ..WireLog::default() };
        assert_eq!(weight(&[heavy, WireLog::default()]), 1_000 + 2 * LOG_BYTES);
        assert_eq!(weight(&[]), 0);
    }

    #[test]
    fn a_filter_has_bounds() {
        assert!(filter(&object!({ "topics": [null, null, null, null, null] })).is_err());
        let many = vec![HERE; TERMS_MAX + 1];
        assert!(filter(&object!({ "address": many })).is_err());
    }
}
