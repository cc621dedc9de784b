//! Blocks as Otterscan shows them: with rewards and fees, their transactions page by page.

use crate::public::{
    Answer, Context,
    args::{Args, count, hash},
    block_ref::BlockRef,
    error::{self, invalid_params},
    json,
    made::{count_or_tag, made},
    trace::block_rewards,
    wire::{self, Detail},
};
use alloy_rpc_types_eth::{BlockTransactions, Header as WireHeader, TransactionReceipt};
use alloy_rpc_types_trace::{
    otterscan::{
        BlockDetails, InternalIssuance, OtsBlock, OtsBlockTransactions, OtsReceipt,
        OtsTransactionReceipt,
    },
    parity::RewardType,
};
use fugue_chain::ViewedBlock;
use fugue_chainspec::Rules;
use fugue_types::U256;
use jsonrpsee::types::ErrorObjectOwned;

fn block(args: &mut Args) -> Result<BlockRef, ErrorObjectOwned> {
    made(args.required("block number", count_or_tag)?)
}

/// `ots_getHeaderByNumber`, `erigon_getHeaderByNumber`. Null if it is not known.
pub(crate) fn header(context: &Context, mut args: Args) -> Answer {
    let named = block(&mut args)?;
    args.end()?;
    let view = context.view();
    let Some(number) = named.number(&view)? else { return json(&()) };
    let found = view.header(number).map_err(error::of_chain)?;
    let wired = |(hash, inner)| WireHeader { hash, inner, total_difficulty: None, size: None };
    json(&found.map(wired))
}

/// `ots_getBlockDetails`. Null if the block is not known.
pub(crate) fn details_by_number(context: &Context, mut args: Args) -> Answer {
    let named = block(&mut args)?;
    args.end()?;
    details(context, &named)
}

/// `ots_getBlockDetailsByHash`. Null if the block is not known.
pub(crate) fn details_by_hash(context: &Context, mut args: Args) -> Answer {
    let hash = args.required("block hash", hash)?;
    args.end()?;
    details(context, &BlockRef::Hash { hash, must_be_canonical: false })
}

fn details(context: &Context, named: &BlockRef) -> Answer {
    let Some((viewed, rules, receipts)) = with_receipts(context, named)? else { return json(&()) };
    let fees = receipts.iter().map(|receipt| {
        U256::from(receipt.gas_used).saturating_mul(U256::from(receipt.effective_gas_price))
    });
    let fees = fees.fold(U256::ZERO, U256::saturating_add);
    let issuance = issuance(&rules, &viewed);
    let block = wire::block(viewed, &rules, Detail::Hashes);
    json(&BlockDetails::new(block, issuance, fees))
}

/// A block and its receipts.
fn with_receipts(
    context: &Context,
    named: &BlockRef,
) -> Result<Option<(ViewedBlock, Rules, Vec<TransactionReceipt>)>, ErrorObjectOwned> {
    let Some((view, number)) = named.chain(context.view())? else { return Ok(None) };
    let receipts = view.receipts(number).map_err(error::of_chain)?;
    let viewed = view.block(number).map_err(error::of_chain)?;
    Ok(viewed.zip(receipts).map(|(viewed, receipts)| {
        let rules = view.spec().rules(&viewed.header);
        let receipts = wire::receipts(&viewed, &rules, receipts);
        (viewed, rules, receipts)
    }))
}

fn issuance(rules: &Rules, viewed: &ViewedBlock) -> InternalIssuance {
    let rewards = block_rewards(rules, &viewed.header, &viewed.body.ommers);
    let sum = |wanted: RewardType| {
        let some = rewards.iter().filter(|reward| reward.reward_type == wanted);
        some.fold(U256::ZERO, |sum, reward| sum.saturating_add(reward.value))
    };
    let (block_reward, uncle_reward) = (sum(RewardType::Block), sum(RewardType::Uncle));
    let issuance = block_reward.saturating_add(uncle_reward);
    InternalIssuance { block_reward, uncle_reward, issuance }
}

/// `ots_getBlockTransactions`: a page counted from the end of the block, page 0 has the last ones;
/// in block order, inputs cut to their first four bytes, receipts without logs.
pub(crate) fn transactions(context: &Context, mut args: Args) -> Answer {
    let named = block(&mut args)?;
    let page = args.required("page", count)?;
    let size = args.required("page size", count)?;
    args.end()?;
    let size_max = context.limits.page_txs_max;
    if size > size_max {
        return Err(invalid_params(format!(
            "invalid argument 2 (page size): {size}, want at most {size_max}"
        )));
    }
    let Some((viewed, rules, mut receipts)) = with_receipts(context, &named)? else {
        return json(&());
    };
    let timestamp = Some(viewed.header.timestamp);
    let mut block = wire::block(viewed, &rules, Detail::Transactions);
    let transaction_count = block.transactions.len();
    let (start, end) = page_of(transaction_count, page, size);
    if let BlockTransactions::Full(txs) = &mut block.transactions {
        txs.truncate(end);
        txs.drain(..start);
    }
    receipts.truncate(end);
    let receipts = receipts.into_iter().skip(start).map(|receipt| OtsTransactionReceipt {
        receipt: receipt.map_inner(|envelope| OtsReceipt {
            status: envelope.status(),
            cumulative_gas_used: envelope.cumulative_gas_used(),
            logs: None,
            logs_bloom: None,
            r#type: envelope.tx_type() as u8,
        }),
        timestamp,
    });
    let receipts = receipts.collect();
    json(&OtsBlockTransactions { fullblock: OtsBlock { block, transaction_count }, receipts })
}

/// Where a page begins and ends among so many.
fn page_of(count: usize, page: u64, size: u64) -> (usize, usize) {
    let passed = usize::try_from(page.saturating_mul(size)).unwrap_or(usize::MAX);
    let end = count.saturating_sub(passed);
    let start = end.saturating_sub(usize::try_from(size).unwrap_or(usize::MAX));
    (start, end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fugue_chainspec::{ChainSpec, Fork};
    use fugue_types::{B256, BlockBody, Header};

    #[test]
    fn pages_are_counted_from_the_end() {
        assert_eq!(page_of(25, 0, 10), (15, 25));
        assert_eq!(page_of(25, 1, 10), (5, 15));
        assert_eq!(page_of(25, 2, 10), (0, 5));
        assert_eq!(page_of(25, 3, 10), (0, 0));
        assert_eq!(page_of(25, u64::MAX, 10), (0, 0));
        assert_eq!(page_of(25, 0, 0), (25, 25));
    }

    #[test]
    fn what_is_issued_is_the_sum_of_the_rewards() {
        let header = Header { number: 10, ..Header::default() };
        let ommer = Header { number: 9, ..Header::default() };
        let rules = ChainSpec::at_fork(1, Fork::London).rules(&header);
        let body = BlockBody { ommers: vec![ommer], ..BlockBody::default() };
        let viewed = ViewedBlock { hash: B256::ZERO, header, body, senders: Vec::new() };
        let InternalIssuance { block_reward, uncle_reward, issuance } = issuance(&rules, &viewed);
        let ether = U256::from(1_000_000_000_000_000_000_u64);
        assert_eq!(block_reward, ether * U256::from(2) + ether / U256::from(16));
        assert_eq!(uncle_reward, ether * U256::from(7) / U256::from(4));
        assert_eq!(issuance, block_reward + uncle_reward);
    }
}
