//! Logs by filter: `eth_getLogs`.
//!
//! Of the blocks that are durable, the index of logs says which may have such logs. A block whose
//! bloom says that it has none is passed over as well, and so is a receipt. Index and blooms err on
//! one side only: what they let through is compared log by log.
//!
//! Logs that are followed, by filters that stay open and by subscriptions, are in `changes`.

use crate::public::{
    Answer, Context,
    args::{Args, address, field, hash, list, object},
    block_ref::{BlockRef, number_or_tag},
    error::{self, invalid_argument},
    json,
    patience::Patience,
    wire::{self, Place},
};
use alloy_rpc_types_eth::Log as WireLog;
use fugue_chain::{ChainView, ImportError, LOG_SECTION_BLOCKS, LogTerms};
use fugue_types::{Address, B256, Bloom, Log, ReceiptEnvelope};
use jsonrpsee::types::ErrorObjectOwned;
use serde_json::Value;
use std::ops::RangeInclusive;

/// Topics of a log. Source: Yellow Paper, LOG0 to LOG4.
const TOPICS_MAX: usize = 4;

/// Bytes of a log in memory and in an answer beside its data, about: address, topics, and place.
const LOG_BYTES: usize = 300;

/// Index and name of an argument, for errors.
pub(crate) type Argument = (usize, &'static str);

/// The only one of `eth_getLogs`.
const FILTER: Argument = (0, "filter");

/// Where to look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Where {
    Block(B256),
    Range { from: BlockRef, to: BlockRef },
}

/// What to look for. An empty list stands for anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Filter {
    addresses: Vec<Address>,
    topics: Vec<Vec<B256>>,
    /// One for each address.
    address_blooms: Vec<Bloom>,
    /// One for each value of each topic.
    topic_blooms: Vec<Vec<Bloom>>,
}

/// A log that was found in a block.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found<'r> {
    pub(super) tx_index: usize,
    /// In the block.
    pub(super) log_index: u64,
    pub(super) log: &'r Log,
}

/// `eth_getLogs`.
pub(crate) fn logs(context: &Context, mut args: Args) -> Answer {
    let values_max = context.limits.filter_values_max;
    let (place, filter) = args.required("filter", |value| filter(value, values_max))?;
    args.end()?;
    json(&find(context, &place, &filter)?)
}

/// The logs that are looked for, in their order.
///
/// # Errors
/// If there are too many blocks or logs, or if it takes too long, with a range that fits; 4444 if
/// the receipts of any block are pruned.
pub(crate) fn find(
    context: &Context,
    place: &Where,
    filter: &Filter,
) -> Result<Vec<WireLog>, ErrorObjectOwned> {
    let (mut view, limits, terms) = (context.view(), &context.limits, filter.terms());
    if let Where::Block(hash) = *place {
        let block = BlockRef::Hash { hash, must_be_canonical: false };
        (view, _) = block.chain_with_state(view)?;
    }
    let (logs_max, bytes_max) = (limits.logs_max, limits.log_bytes_max);
    let blocks_max =
        if terms.is_empty() { limits.log_blocks_max } else { limits.indexed_log_blocks_max };
    let kept = |from| view.log_blocks(from..=from, &terms).map(drop);
    let (from, to) = range(&view, place, blocks_max, FILTER, kept)?;
    // Libraries look for these words of geth, and for the range.
    let too_many = |max: String, number: u64| {
        let last = number.saturating_sub(1).max(from);
        let told = format!("query exceeds max {max}, retry with the range {from}-{last}");
        invalid_argument(FILTER.0, FILTER.1, told)
    };
    let mut found = Vec::new();
    let mut bytes = 0_usize;
    for section in sections(from, to) {
        check_patience(&context.patience, from, *section.start())?;
        for number in view.log_blocks(section, &terms).map_err(error::of_chain)? {
            check_patience(&context.patience, from, number)?;
            let before = found.len();
            of_block(&view, number, filter, &mut found)?;
            let added = found.get(before..).unwrap_or_default();
            bytes = bytes.saturating_add(weight(added));
            if bytes > bytes_max && from != to {
                return Err(too_many(format!("result size {bytes_max} bytes"), number));
            }
            if found.len() > logs_max && from != to {
                return Err(too_many(format!("results {logs_max}"), number));
            }
        }
    }
    Ok(found)
}

/// The range, cut where sections of the index end.
fn sections(from: u64, to: u64) -> impl Iterator<Item = RangeInclusive<u64>> {
    (from / LOG_SECTION_BLOCKS..=to / LOG_SECTION_BLOCKS).map(move |section| {
        let first = section * LOG_SECTION_BLOCKS;
        first.max(from)..=first.saturating_add(LOG_SECTION_BLOCKS - 1).min(to)
    })
}

/// Whether the call goes on with this block; if not, the error says how far it has come.
pub(crate) fn check_patience(
    patience: &Patience,
    from: u64,
    number: u64,
) -> Result<(), ErrorObjectOwned> {
    patience.check().map_err(|given_up| match number.checked_sub(1) {
        Some(last) if last >= from => {
            let message = given_up.message();
            error::refused(format!("{message}, retry with the range {from}-{last}"))
        }
        _ => given_up,
    })
}

/// Bytes of these logs, about.
pub(super) fn weight(logs: &[WireLog]) -> usize {
    let bytes = logs.iter().map(|log| log.data().data.len().saturating_add(LOG_BYTES));
    bytes.fold(0, usize::saturating_add)
}

/// The numbers of the first and the last block, which the argument gives. `kept` says whether the
/// first one has what is looked at.
///
/// # Errors
/// If a block is not known, what `kept` says, or there are more of them, with a range that fits:
/// nobody is sent to blocks that are pruned.
pub(crate) fn range(
    view: &ChainView,
    place: &Where,
    blocks_max: u64,
    argument: Argument,
    kept: impl FnOnce(u64) -> Result<(), ImportError>,
) -> Result<(u64, u64), ErrorObjectOwned> {
    let (from, to) = match place {
        Where::Block(hash) => {
            let number = view.number(*hash).map_err(error::of_chain)?;
            let number = number.ok_or_else(error::block_not_found)?;
            return Ok((number, number));
        }
        Where::Range { from, to } => (from.number(view)?, to.number(view)?),
    };
    let range = match (from, to) {
        (Some(from), Some(to)) => {
            kept(from).map_err(error::of_chain)?;
            check_span(from, to, blocks_max).map(|()| (from, to))
        }
        _ => Err("block range extends beyond current head block".to_owned()),
    };
    range.map_err(|reason| invalid_argument(argument.0, argument.1, reason))
}

/// Whether this is a range of so many blocks at most.
fn check_span(from: u64, to: u64, blocks_max: u64) -> Result<(), String> {
    let Some(span) = to.checked_sub(from) else {
        return Err("invalid block range: fromBlock is above toBlock".to_owned());
    };
    if span < blocks_max {
        return Ok(());
    }
    let last = from.saturating_add(blocks_max.saturating_sub(1));
    Err(format!("query exceeds max block range {blocks_max}, retry with the range {from}-{last}"))
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
    pub(super) fn new(addresses: Vec<Address>, topics: Vec<Vec<B256>>) -> Self {
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

    /// Addresses and values of topics that it has.
    pub(super) fn term_count(&self) -> usize {
        self.addresses.len().saturating_add(self.topics.iter().map(Vec::len).sum())
    }

    /// What the index of logs is asked for.
    fn terms(&self) -> LogTerms {
        LogTerms::new(&self.addresses, &self.topics)
    }

    /// Whether there may be such a log where this is the bloom.
    pub(crate) fn may_match(&self, bloom: &Bloom) -> bool {
        let has_any = |blooms: &Vec<Bloom>| {
            blooms.is_empty() || blooms.iter().any(|wanted| bloom.contains(wanted))
        };
        has_any(&self.address_blooms) && self.topic_blooms.iter().all(has_any)
    }

    /// Whether it is such a log.
    pub(crate) fn matches(&self, log: &Log) -> bool {
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
    pub(super) fn search<'r>(&self, receipts: &'r [ReceiptEnvelope]) -> Vec<Found<'r>> {
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

/// With `values_max` addresses, and values of one topic, at most. Source: execution-apis, "Filter".
pub(crate) fn filter(value: &Value, values_max: usize) -> Result<(Where, Filter), String> {
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
    let addresses = field(fields, "address", |value| one_or_more(value, values_max, address))?;
    // A null is met by any topic, also where it is one of several values.
    let topic = |value: &Value| -> Result<Vec<B256>, String> {
        let values = one_or_more(value, values_max, |value| match value {
            Value::Null => Ok(None),
            some => hash(some).map(Some),
        })?;
        Ok(values.into_iter().collect::<Option<_>>().unwrap_or_default())
    };
    let topics = field(fields, "topics", |value| list(value, TOPICS_MAX, topic))?;
    Ok((place, Filter::new(addresses.unwrap_or_default(), topics.unwrap_or_default())))
}

fn one_or_more<T>(
    value: &Value,
    max: usize,
    decode: impl Fn(&Value) -> Result<T, String>,
) -> Result<Vec<T>, String> {
    if value.is_array() { list(value, max, decode) } else { Ok(vec![decode(value)?]) }
}

/// Reads any value as a filter, for fuzz targets.
#[cfg(any(test, feature = "fuzzing"))]
pub(super) fn fuzz(value: &Value) {
    /// Of addresses, and values of one topic.
    const MAX: usize = 3;
    if let Ok((_, filter)) = filter(value, MAX) {
        assert!(filter.addresses.len() <= MAX && filter.topics.len() <= TOPICS_MAX);
        assert!(filter.topics.iter().all(|values| values.len() <= MAX));
        let looks_for_nothing = filter.topics.iter().all(Vec::is_empty);
        let is_open = filter.addresses.is_empty() && looks_for_nothing;
        assert_eq!(filter.may_match(&Bloom::default()), is_open, "of a block without logs");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::public::{block_ref::Tag, patience::GIVEN_UP};
    use fugue_types::{Bytes, Eip658Value, Receipt};
    use serde_json::json as object;
    use std::{sync::Arc, time::Duration};

    const HERE: Address = Address::repeat_byte(1);
    const THERE: Address = Address::repeat_byte(2);
    const VALUES_MAX: usize = 3;

    fn read(value: &Value) -> Result<(Where, Filter), String> {
        filter(value, VALUES_MAX)
    }

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
        let (_, filter) = read(&value).expect("a filter");
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
        for any in [object!(null), object!([]), object!([null]), object!([topic(7), null])] {
            assert_eq!(found(object!({ "topics": [any] })), [(0, 0), (0, 1), (2, 3)], "{any}");
        }
    }

    #[test]
    fn a_filter_is_of_a_block_or_of_a_range() {
        let (latest, one) = (BlockRef::Tag(Tag::Latest), BlockRef::Number(1));
        let place = |value: Value| read(&value).map(|(place, _)| place);
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
    fn a_range_is_cut_where_sections_end() {
        let cut = |from, to| {
            sections(from, to).map(RangeInclusive::into_inner).collect::<Vec<(u64, u64)>>()
        };
        let size = LOG_SECTION_BLOCKS;
        assert_eq!(cut(0, 0), [(0, 0)]);
        assert_eq!(cut(5, size - 1), [(5, size - 1)]);
        assert_eq!(cut(5, 2 * size), [(5, size - 1), (size, 2 * size - 1), (2 * size, 2 * size)]);
        assert_eq!(cut(u64::MAX, u64::MAX), [(u64::MAX, u64::MAX)]);
    }

    #[test]
    fn a_range_that_is_too_long_is_told_with_one_that_fits() {
        assert_eq!(check_span(7, 16, 10), Ok(()));
        let told = "query exceeds max block range 10, retry with the range 7-16";
        assert_eq!(check_span(7, 17, 10), Err(told.to_owned()));
        assert!(check_span(8, 7, 10).is_err());
    }

    #[test]
    fn who_is_given_up_is_told_how_far_it_came() {
        let patience = Patience::new(Duration::ZERO, Arc::default());
        let message = |from, number| {
            let error = check_patience(&patience, from, number).unwrap_err();
            error.message().to_owned()
        };
        assert!(message(5, 9).starts_with(GIVEN_UP));
        assert!(message(5, 9).ends_with("retry with the range 5-8"), "{}", message(5, 9));
        for number in [0, 5] {
            assert!(!message(number, number).contains("retry"), "{}", message(number, number));
        }
        assert_eq!(check_patience(&Patience::default(), 5, 9), Ok(()));
    }

    #[test]
    fn the_index_is_asked_for_addresses_and_topics() {
        let is_empty = |value: Value| {
            let (_, filter) = read(&value).expect("a filter");
            filter.terms().is_empty()
        };
        assert!(is_empty(object!({})));
        assert!(is_empty(object!({ "address": [], "topics": [null, []] })));
        assert!(!is_empty(object!({ "topics": [null, topic(7)] })));
        assert!(!is_empty(object!({ "address": HERE })));
    }

    #[test]
    fn a_filter_has_bounds() {
        assert!(read(&object!({ "topics": [null, null, null, null, null] })).is_err());
        assert!(read(&object!({ "address": [HERE, HERE, HERE], "topics": [[topic(1)]] })).is_ok());
        let topics = vec![topic(1); VALUES_MAX + 1];
        for (name, wrong) in [
            ("address", object!({ "address": vec![HERE; VALUES_MAX + 1] })),
            ("topics[1]", object!({ "topics": [null, topics] })),
        ] {
            let found = read(&wrong).expect_err("refused");
            assert_eq!(found, format!("{name}: 4 values, want at most 3"));
        }
    }
}
