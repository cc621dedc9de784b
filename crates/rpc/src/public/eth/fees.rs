//! What gas costs, and what to offer for it.

use super::headers;
use crate::public::{
    Answer, Context,
    args::{Args, count, list},
    block_ref::number_or_tag,
    dev,
    error::{self, invalid_argument},
    json,
};
use alloy_eips::eip1559::BaseFeeParams;
use alloy_rpc_types_eth::FeeHistory;
use fugue_chain::{ChainView, ViewedBlock};
use fugue_types::{Header, ReceiptEnvelope, TransactionTrait, U256};
use jsonrpsee::types::ErrorObjectOwned;
use serde_json::Value;
use std::sync::PoisonError;

/// Blocks that a suggestion looks at, its samples of each, and the percentile that it takes: as the
/// leading clients do.
const SUGGESTION_BLOCKS: u64 = 20;
const SUGGESTION_SAMPLES: usize = 3;
const SUGGESTION_PERCENTILE: usize = 60;
/// Tips below are not taken for a wish to pay, in wei.
const SAMPLE_MIN: u128 = 2;
/// What is suggested where nobody pays a tip, and at most, in wei.
const SUGGESTION_DEFAULT: u128 = 1_000_000;
const SUGGESTION_MAX: u128 = 500_000_000_000;

/// `eth_gasPrice`: a tip above the base fee that offers go by.
pub(crate) fn gas_price(context: &Context, args: Args) -> Answer {
    args.end()?;
    let view = context.view();
    let base_fee = base_fee_to_offer(context, &head(&view)?)?;
    let tip = suggested_tip(context, &view)?;
    json(&U256::from(tip.saturating_add(base_fee)))
}

/// The base fee that offers go by: that of the head. A chain for development refuses what is below
/// that of the next block, so there it is that one.
pub(super) fn base_fee_to_offer(
    context: &Context,
    head: &Header,
) -> Result<u128, ErrorObjectOwned> {
    let base_fee =
        if context.dev.is_some() { next_base_fee(context, head)? } else { head.base_fee_per_gas };
    Ok(base_fee.unwrap_or_default().into())
}

/// Of the next block: what a tool has set on a chain for development, or what follows from the
/// head.
fn next_base_fee(context: &Context, head: &Header) -> Result<Option<u64>, ErrorObjectOwned> {
    let set = dev::next_block(context)?.and_then(|next| next.base_fee);
    Ok(set.or_else(|| head.next_block_base_fee(BaseFeeParams::ethereum())))
}

/// `eth_maxPriorityFeePerGas`.
pub(crate) fn max_priority_fee(context: &Context, args: Args) -> Answer {
    args.end()?;
    json(&U256::from(suggested_tip(context, &context.view())?))
}

/// `eth_baseFee`: of the next block; null before London.
pub(crate) fn base_fee(context: &Context, args: Args) -> Answer {
    args.end()?;
    json(&next_base_fee(context, &head(&context.view())?)?.map(U256::from))
}

/// `eth_blobBaseFee`: of the next block, in wei per unit of blob gas; null before Cancun.
pub(crate) fn blob_base_fee(context: &Context, args: Args) -> Answer {
    args.end()?;
    let view = context.view();
    json(&next_blob_fee(&view, &head(&view)?).map(U256::from))
}

/// `eth_feeHistory`.
pub(crate) fn fee_history(context: &Context, mut args: Args) -> Answer {
    let blocks = args.required("block count", block_count)?.min(context.limits.fee_blocks_max);
    let newest = args.required("newest block", number_or_tag)?;
    let max = context.limits.percentiles_max;
    let percentiles = args.optional("reward percentiles", |value| percentiles(value, max))?;
    args.end()?;
    // None at all ask for no rewards, and so for no receipts.
    let percentiles = percentiles.filter(|percentiles| !percentiles.is_empty());
    let view = context.view();
    let newest = newest.number(&view)?.ok_or_else(|| {
        let reason = format!("it is above the head, {}", view.head().number);
        invalid_argument(1, "newest block", reason)
    })?;
    if blocks == 0 {
        return json(&FeeHistory::default());
    }
    let oldest = newest.saturating_sub(blocks.saturating_sub(1));
    let mut history = FeeHistory { oldest_block: oldest, ..FeeHistory::default() };
    let mut rewards = Vec::new();
    let mut last = None;
    for number in oldest..=newest {
        context.patience.check()?;
        let header = header(&view, number)?;
        let params = view.spec().rules(&header).blob_params;
        history.base_fee_per_gas.push(header.base_fee_per_gas.unwrap_or_default().into());
        history.gas_used_ratio.push(ratio(header.gas_used, header.gas_limit));
        let blob_fee = params.and_then(|params| header.blob_fee(params));
        history.base_fee_per_blob_gas.push(blob_fee.unwrap_or_default());
        let blob_gas_max = params.map_or(0, |params| params.max_blob_gas_per_block());
        let blob_gas_used = header.blob_gas_used.unwrap_or_default();
        history.blob_gas_used_ratio.push(ratio(blob_gas_used, blob_gas_max));
        if let Some(percentiles) = &percentiles {
            rewards.push(block_rewards(&view, number, percentiles)?);
        }
        last = Some(header);
    }
    if let Some(last) = last {
        let (base_fee, blob_fee) = after(context, &view, &last)?;
        history.base_fee_per_gas.push(base_fee);
        history.base_fee_per_blob_gas.push(blob_fee);
    }
    history.reward = percentiles.map(|_| rewards);
    json(&history)
}

/// Base fee and blob base fee of the block after this one, zero where there is none.
fn after(
    context: &Context,
    view: &ChainView,
    header: &Header,
) -> Result<(u128, u128), ErrorObjectOwned> {
    let child = view.header(header.number.saturating_add(1)).map_err(error::of_chain)?;
    let (base_fee, blob_fee) = match child {
        Some((_, child)) => {
            let params = view.spec().rules(&child).blob_params;
            (child.base_fee_per_gas, params.and_then(|params| child.blob_fee(params)))
        }
        None => (next_base_fee(context, header)?, next_blob_fee(view, header)),
    };
    Ok((base_fee.unwrap_or_default().into(), blob_fee.unwrap_or_default()))
}

fn header(view: &ChainView, number: u64) -> Result<Header, ErrorObjectOwned> {
    headers::at(view, number).map(|(_, header)| header)
}

pub(super) fn head(view: &ChainView) -> Result<Header, ErrorObjectOwned> {
    header(view, view.head().number)
}

/// By the rules of the block itself: a fork that changes them is seen with its first block.
pub(super) fn next_blob_fee(view: &ChainView, header: &Header) -> Option<u128> {
    header.next_block_blob_fee(view.spec().rules(header).blob_params?)
}

fn ratio(used: u64, max: u64) -> f64 {
    if max == 0 { 0.0 } else { used as f64 / max as f64 }
}

/// A count, also in decimal digits. Source: go-ethereum, `common/math`, `HexOrDecimal64`.
fn block_count(value: &Value) -> Result<u64, String> {
    match value.as_str() {
        Some(text) if !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit()) => {
            text.parse::<u64>().map_err(|_| "decimal number > 64 bits".to_owned())
        }
        _ => count(value),
    }
}

/// Each above the one before, from 0 to 100; `max` of them at most.
fn percentiles(value: &Value, max: usize) -> Result<Vec<f64>, String> {
    let percentiles = list(value, max, |value| {
        let found = value.as_f64().filter(|percentile| (0.0..=100.0).contains(percentile));
        found.ok_or_else(|| "a number from 0 to 100 is expected".to_owned())
    })?;
    if rise(&percentiles) { Ok(percentiles) } else { Err("the percentiles do not rise".to_owned()) }
}

/// Whether each is above the one before.
fn rise(percentiles: &[f64]) -> bool {
    percentiles.is_sorted_by(|before, percentile| before < percentile)
}

fn block_rewards(
    view: &ChainView,
    number: u64,
    percentiles: &[f64],
) -> Result<Vec<u128>, ErrorObjectOwned> {
    let viewed = view.block(number).map_err(error::of_chain)?;
    let viewed = viewed.ok_or_else(error::block_not_found)?;
    let receipts = view.receipts(number).map_err(error::of_chain)?.unwrap_or_default();
    Ok(rewards(tips_with_gas(&viewed, &receipts), percentiles))
}

/// What each transaction paid above the base fee, in wei, and for how much gas.
fn tips_with_gas(viewed: &ViewedBlock, receipts: &[ReceiptEnvelope]) -> Vec<(u128, u64)> {
    let base_fee = viewed.header.base_fee_per_gas.unwrap_or_default();
    let mut before = 0;
    let txs = viewed.body.transactions.iter().zip(receipts);
    txs.map(|(tx, receipt)| {
        let gas = receipt.cumulative_gas_used().saturating_sub(before);
        before = receipt.cumulative_gas_used();
        (tx.effective_tip_per_gas(base_fee).unwrap_or_default(), gas)
    })
    .collect()
}

/// The tip below which lies this share of the gas, for each percentile.
fn rewards(mut tips: Vec<(u128, u64)>, percentiles: &[f64]) -> Vec<u128> {
    tips.sort_unstable();
    let gas: u64 = tips.iter().map(|(_, gas)| *gas).fold(0, u64::saturating_add);
    let mut paid = tips.iter().copied();
    let mut current = paid.next();
    let mut sum = current.map_or(0, |(_, gas)| gas);
    percentiles
        .iter()
        .map(|percentile| {
            let threshold = (gas as f64 * percentile / 100.0) as u64;
            while sum < threshold {
                let Some(next) = paid.next() else { break };
                sum = sum.saturating_add(next.1);
                current = Some(next);
            }
            current.map_or(0, |(tip, _)| tip)
        })
        .collect()
}

/// A tip with which a transaction is included soon, in wei: made once for each head.
pub(super) fn suggested_tip(context: &Context, view: &ChainView) -> Result<u128, ErrorObjectOwned> {
    let head = view.head();
    let known = *context.tip.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, tip)) = known.filter(|(hash, _)| *hash == head.hash) {
        return Ok(tip);
    }
    let mut samples = Vec::new();
    let oldest = head.number.saturating_sub(SUGGESTION_BLOCKS.saturating_sub(1));
    // The genesis has no transactions, and pruned blocks have none any more.
    for number in oldest.max(view.oldest_body()).max(1)..=head.number {
        context.patience.check()?;
        let viewed = view.block(number).map_err(error::of_chain)?;
        samples.extend(lowest_tips(&viewed.ok_or_else(error::block_not_found)?));
    }
    let tip = suggestion(samples);
    *context.tip.lock().unwrap_or_else(PoisonError::into_inner) = Some((head.hash, tip));
    Ok(tip)
}

/// The lowest tips with which transactions of others than the author came into the block. Where
/// nobody pays one it is what is suggested then, once: else one dear transaction of a quiet time
/// would be what all others are told to pay.
fn lowest_tips(viewed: &ViewedBlock) -> Vec<u128> {
    let base_fee = viewed.header.base_fee_per_gas.unwrap_or_default();
    let signed = viewed.body.transactions.iter().zip(&viewed.senders);
    let others = signed.filter(|(_, sender)| **sender != viewed.header.beneficiary);
    let tips = others.filter_map(|(tx, _)| tx.effective_tip_per_gas(base_fee));
    let mut tips: Vec<_> = tips.filter(|tip| *tip >= SAMPLE_MIN).collect();
    tips.sort_unstable();
    tips.truncate(SUGGESTION_SAMPLES);
    if tips.is_empty() { vec![SUGGESTION_DEFAULT] } else { tips }
}

fn suggestion(mut samples: Vec<u128>) -> u128 {
    samples.sort_unstable();
    let index = samples.len().saturating_sub(1).saturating_mul(SUGGESTION_PERCENTILE) / 100;
    samples.get(index).copied().unwrap_or(SUGGESTION_DEFAULT).min(SUGGESTION_MAX)
}

/// Reads any value as percentiles, for fuzz targets.
#[cfg(any(test, feature = "fuzzing"))]
pub(super) fn fuzz(value: &Value) {
    if let Ok(percentiles) = percentiles(value, 3) {
        assert!(percentiles.len() <= 3 && rise(&percentiles));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_consensus::{Signed, TxLegacy};
    use alloy_primitives::Signature;
    use fugue_types::{Address, B256, BlockBody, Transaction};
    use serde_json::json as object;

    /// A block with a transaction for each of these tips.
    fn block(tips: &[u128]) -> ViewedBlock {
        let sent = |tip: &u128| {
            let tx = TxLegacy { gas_price: *tip, ..TxLegacy::default() };
            Transaction::Legacy(Signed::new_unhashed(tx, Signature::test_signature()))
        };
        let body =
            BlockBody { transactions: tips.iter().map(sent).collect(), ..Default::default() };
        let senders = vec![Address::repeat_byte(1); tips.len()];
        ViewedBlock { hash: B256::ZERO, header: Header::default(), body, senders }
    }

    #[test]
    fn rewards_are_weighted_by_gas() {
        let tips = vec![(30, 10), (10, 70), (20, 20)];
        assert_eq!(rewards(tips, &[0.0, 70.0, 71.0, 90.0, 91.0, 100.0]), [10, 10, 20, 20, 30, 30]);
        assert_eq!(rewards(Vec::new(), &[0.0, 100.0]), [0, 0]);
    }

    #[test]
    fn percentiles_rise_from_0_to_100() {
        let read = |value: &Value| percentiles(value, 3);
        assert_eq!(read(&object!([0, 12.5, 100])), Ok(vec![0.0, 12.5, 100.0]));
        for wrong in [object!([2, 1]), object!([101]), object!([-1]), object!(["1"]), object!(1)] {
            assert!(read(&wrong).is_err(), "{wrong}");
        }
        for wrong in [object!([2, 1]), object!([50, 50]), object!([0, 1, 1.0])] {
            assert_eq!(read(&wrong), Err("the percentiles do not rise".to_owned()), "{wrong}");
        }
        let told = "4 values, want at most 3";
        assert_eq!(read(&object!([0, 1, 2, 3])), Err(told.to_owned()));
    }

    #[test]
    fn blocks_are_counted_in_hex_or_in_decimal_digits() {
        for ten in [object!("10"), object!("0xa"), object!(10)] {
            assert_eq!(block_count(&ten), Ok(10), "{ten}");
        }
        let long = object!(u128::from(u64::MAX).saturating_add(1).to_string());
        assert_eq!(block_count(&long), Err("decimal number > 64 bits".to_owned()));
        for wrong in [object!(""), object!("+1"), object!("-1"), object!("a"), object!(1.5)] {
            assert!(block_count(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_suggestion_lies_above_the_middle_and_below_the_limit() {
        assert_eq!(suggestion((1..=11).collect()), 7);
        assert_eq!(suggestion(Vec::new()), SUGGESTION_DEFAULT);
        assert_eq!(suggestion(vec![u128::MAX]), SUGGESTION_MAX);
    }

    #[test]
    fn one_dear_transaction_of_a_quiet_time_sets_no_price() {
        let dear = SUGGESTION_MAX - 1;
        let mut samples = lowest_tips(&block(&[])).repeat(19);
        samples.extend(lowest_tips(&block(&[dear])));
        assert_eq!(suggestion(samples), SUGGESTION_DEFAULT);
        assert_eq!(suggestion(lowest_tips(&block(&[dear; 3])).repeat(20)), dear);
    }

    #[test]
    fn a_history_has_the_fields_of_the_specification() {
        let history = FeeHistory {
            oldest_block: 27,
            base_fee_per_gas: vec![7, 8],
            gas_used_ratio: vec![0.5],
            base_fee_per_blob_gas: vec![0, 0],
            blob_gas_used_ratio: vec![0.0],
            reward: Some(vec![vec![1, 1]]),
        };
        let expected = object!({
            "oldestBlock": "0x1b", "baseFeePerGas": ["0x7", "0x8"], "gasUsedRatio": [0.5],
            "baseFeePerBlobGas": ["0x0", "0x0"], "blobGasUsedRatio": [0.0],
            "reward": [["0x1", "0x1"]],
        });
        assert_eq!(serde_json::to_value(&history).expect("serializes"), expected);
    }
}
