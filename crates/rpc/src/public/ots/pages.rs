//! The transactions of an address, page by page: blocks by the index of addresses, transactions by
//! the calls that they made.
//!
//! A page is filled block by block, always with all that a block has, and shown with the newest
//! transaction first. It ends early where it has taken so many blocks as may be looked at.

use crate::public::{
    Answer, Context, Limits,
    args::{Args, address, count},
    error::{self, invalid_params, refused},
    json,
    traces::{Traces, rerun},
    wire::{self, Place, WireTransaction},
};
use alloy_rpc_types_trace::{
    otterscan::{OtsReceipt, OtsTransactionReceipt, TransactionsWithReceipts},
    parity::{Action, TransactionTrace},
};
use fugue_chain::{ChainView, ImportError, LOG_SECTION_BLOCKS, StorageError, ViewedBlock};
use fugue_evm::trace_calls;
use fugue_types::{Address, TransactionTrait};
use jsonrpsee::types::ErrorObjectOwned;
use serde_json::Value;
use std::ops::RangeInclusive;

/// Blocks that are looked up between two looks at the clock: a row of the index for each section.
const PART_BLOCKS: u64 = 64 * LOG_SECTION_BLOCKS;

/// What is asked for.
struct Asked {
    address: Address,
    /// Not with this block itself; 0 for all.
    block: u64,
    /// As many transactions are found at least, if there are.
    wanted: usize,
    /// Blocks that are looked at for them, whose transactions are run again unless each names the
    /// address itself.
    blocks_max: usize,
}

impl Asked {
    fn new(context: &Context, mut args: Args, order: Order) -> Result<Self, ErrorObjectOwned> {
        let Limits { searched_txs_max, searched_blocks_max: blocks_max, .. } = context.limits;
        let address = args.required("address", address)?;
        let block = args.required("block number", |value| order.beside(value))?;
        let wanted = args.required("page size", count)?;
        args.end()?;
        if !(1..=searched_txs_max).contains(&wanted) {
            return Err(invalid_params(format!(
                "invalid argument 2 (page size): {wanted}, want 1 to {searched_txs_max}"
            )));
        }
        let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
        Ok(Self { address, block, wanted, blocks_max })
    }
}

/// From which end of the blocks a page is filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    NewestFirst,
    OldestFirst,
}

impl Order {
    /// The block beside which a page begins; 0 for that end of the chain, which has a tag as well.
    fn beside(self, value: &Value) -> Result<u64, String> {
        let end = match self {
            Self::NewestFirst => "latest",
            Self::OldestFirst => "earliest",
        };
        if value.as_str() == Some(end) { Ok(0) } else { count(value) }
    }
}

/// `ots_searchTransactionsBefore`: the newest transactions of an address before a block, or of all.
pub(crate) fn before(context: &Context, args: Args) -> Answer {
    let asked = Asked::new(context, args, Order::NewestFirst)?;
    let view = context.view();
    view.check_addresses().map_err(error::of_chain)?;
    let (oldest, head) = (view.oldest_named(), view.head().number);
    let first_page = asked.block == 0 || asked.block > head;
    let newest = if first_page { head } else { asked.block.saturating_sub(1) };
    let page = Page::fill(context, &view, &asked, oldest..=newest, Order::NewestFirst)?;
    let is_pruned = oldest > 1;
    if page.is_last && page.found.is_empty() && is_pruned {
        return Err(pruned(oldest.saturating_sub(1), oldest));
    }
    let last_page = page.is_last && !is_pruned;
    page.answer(first_page, last_page)
}

/// `ots_searchTransactionsAfter`: the oldest transactions of an address after a block, or of all.
pub(crate) fn after(context: &Context, args: Args) -> Answer {
    let asked = Asked::new(context, args, Order::OldestFirst)?;
    let view = context.view();
    view.check_addresses().map_err(error::of_chain)?;
    let (oldest, head) = (view.oldest_named(), view.head().number);
    let start = asked.block.saturating_add(1);
    if start < oldest {
        return Err(pruned(start, oldest));
    }
    let page = Page::fill(context, &view, &asked, start..=head, Order::OldestFirst)?;
    let (first_page, last_page) = (page.is_last, asked.block == 0);
    page.answer(first_page, last_page)
}

fn pruned(number: u64, oldest: u64) -> ErrorObjectOwned {
    let pruned = StorageError::Pruned { what: "transactions", number, oldest };
    error::of_chain(ImportError::Storage(pruned))
}

/// A transaction that concerns the address.
struct Found {
    tx: WireTransaction,
    receipt: OtsTransactionReceipt,
}

struct Page {
    /// The newest one first.
    found: Vec<Found>,
    /// All blocks were looked up.
    is_last: bool,
}

impl Page {
    /// # Errors
    /// If the bound on blocks is come to before anything was found, or the call is given up.
    fn fill(
        context: &Context,
        view: &ChainView,
        asked: &Asked,
        range: RangeInclusive<u64>,
        order: Order,
    ) -> Result<Self, ErrorObjectOwned> {
        let mut found: Vec<Found> = Vec::new();
        let (mut looked_at, mut last) = (0, asked.block);
        let parts = |part| {
            context.patience.check()?;
            view.address_blocks(part, asked.address).map_err(error::of_chain)
        };
        let is_last = walk(range, order, parts, |number| {
            if found.len() >= asked.wanted || looked_at >= asked.blocks_max {
                return Ok(false);
            }
            looked_at += 1;
            last = number;
            let mut of_block = transactions(context, view, number, asked.address)?;
            if order == Order::NewestFirst {
                of_block.reverse();
            }
            found.extend(of_block);
            Ok(true)
        })?;
        if found.is_empty() && !is_last {
            return Err(refused(format!(
                "none of the {} blocks that were looked at has a transaction of the address: go \
                 on with block {last}",
                asked.blocks_max
            )));
        }
        if order == Order::OldestFirst {
            found.reverse();
        }
        Ok(Self { found, is_last })
    }

    fn answer(self, first_page: bool, last_page: bool) -> Answer {
        let both = self.found.into_iter().map(|Found { tx, receipt }| (tx, receipt));
        let (txs, receipts): (Vec<WireTransaction>, Vec<OtsTransactionReceipt>) = both.unzip();
        json(&TransactionsWithReceipts { txs, receipts, first_page, last_page })
    }
}

/// Calls `visit` with the blocks that `blocks_of` finds in parts of a range, until it gives false.
/// Says whether it came to the end.
fn walk(
    range: RangeInclusive<u64>,
    order: Order,
    blocks_of: impl Fn(RangeInclusive<u64>) -> Result<Vec<u64>, ErrorObjectOwned>,
    mut visit: impl FnMut(u64) -> Result<bool, ErrorObjectOwned>,
) -> Result<bool, ErrorObjectOwned> {
    let (mut from, mut to) = range.into_inner();
    while from <= to {
        let (start, end) = match order {
            Order::NewestFirst => (to.saturating_sub(PART_BLOCKS - 1).max(from), to),
            Order::OldestFirst => (from, from.saturating_add(PART_BLOCKS - 1).min(to)),
        };
        let mut numbers = blocks_of(start..=end)?;
        if order == Order::NewestFirst {
            numbers.reverse();
        }
        for number in numbers {
            if !visit(number)? {
                return Ok(false);
            }
        }
        if (start, end) == (from, to) {
            break;
        }
        match order {
            Order::NewestFirst => to = start.saturating_sub(1),
            Order::OldestFirst => from = end.saturating_add(1),
        }
    }
    Ok(true)
}

/// The transactions of a block that concern an address, in their order.
fn transactions(
    context: &Context,
    view: &ChainView,
    number: u64,
    address: Address,
) -> Result<Vec<Found>, ErrorObjectOwned> {
    let viewed = view.block(number).map_err(error::of_chain)?;
    let viewed = viewed.ok_or_else(error::block_not_found)?;
    let receipts = view.receipts(number).map_err(error::of_chain)?;
    let receipts = receipts.ok_or_else(error::block_not_found)?;
    let concerned = concerned(context, view, &viewed, address)?;
    if !concerned.contains(&true) {
        return Ok(Vec::new());
    }
    let rules = view.spec().rules(&viewed.header);
    let place = Place::new(viewed.hash, &viewed.header, &rules);
    let timestamp = Some(viewed.header.timestamp);
    let receipts = wire::receipts(&viewed, &rules, receipts);
    let ViewedBlock { body, senders, .. } = viewed;
    let signed = body.transactions.into_iter().zip(senders).zip(receipts).zip(concerned);
    let found = signed.enumerate().filter(|(_, (_, is_concerned))| *is_concerned);
    let found = found.map(|(index, (((tx, sender), receipt), _))| Found {
        tx: wire::transaction(&place, index, tx, sender),
        receipt: OtsTransactionReceipt {
            receipt: receipt.map_inner(|envelope| OtsReceipt {
                status: envelope.status(),
                cumulative_gas_used: envelope.cumulative_gas_used(),
                logs: Some(envelope.logs().to_vec()),
                logs_bloom: Some(*envelope.logs_bloom()),
                r#type: envelope.tx_type() as u8,
            }),
            timestamp,
        },
    });
    Ok(found.collect())
}

/// Of each transaction of a block, whether it concerns an address.
fn concerned(
    context: &Context,
    view: &ChainView,
    viewed: &ViewedBlock,
    address: Address,
) -> Result<Vec<bool>, ErrorObjectOwned> {
    let txs = &viewed.body.transactions;
    let names = txs.iter().zip(&viewed.senders);
    let named: Vec<bool> =
        names.map(|(tx, sender)| *sender == address || tx.to() == Some(address)).collect();
    let Some(before_last) = txs.len().checked_sub(1) else { return Ok(named) };
    if !named.contains(&false) {
        return Ok(named);
    }
    let traces = Traces::new(context);
    rerun(context, view, viewed.clone(), before_last, |rerun| {
        traces.each(named.len(), |index| {
            if named.get(index).copied().unwrap_or_default() {
                return Ok(true);
            }
            let traced = rerun.at(&traces, index, |place, subject, _| {
                trace_calls(place, subject, &traces.budget)
            })?;
            Ok(traced.trace.iter().any(|trace| concerns(trace, address)))
        })
    })
}

/// Whether a call is from or to an address, a creation by it or of it, or a destruction of it or in
/// its favour. Source: Otterscan, "Custom JSON-RPC API"; Erigon, `TouchTracer`.
fn concerns(trace: &TransactionTrace, address: Address) -> bool {
    let made = trace.result.as_ref().and_then(|result| result.created_contract());
    let (from, to) = match &trace.action {
        Action::Call(call) => (call.from, Some(call.to)),
        Action::Create(create) => (create.from, made),
        Action::Selfdestruct(end) => (end.address, Some(end.refund_address)),
        Action::Reward(_) => return false,
    };
    from == address || to == Some(address)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_rpc_types_trace::parity::{
        CallAction, CreateAction, CreateOutput, SelfdestructAction, TraceOutput,
    };
    use fugue_types::{Bytes, U256};
    use serde_json::json as value;
    use std::cell::RefCell;

    #[test]
    fn each_end_of_the_chain_has_a_number_and_a_tag() {
        let (newest, oldest) = (Order::NewestFirst, Order::OldestFirst);
        for order in [newest, oldest] {
            for (value, block) in [(value!(0), 0), (value!(7), 7), (value!("0x7"), 7)] {
                assert_eq!(order.beside(&value), Ok(block), "{value}");
            }
            assert!(order.beside(&value!("pending")).is_err());
        }
        let (first, last) = (value!("earliest"), value!("latest"));
        assert_eq!((newest.beside(&last), oldest.beside(&first)), (Ok(0), Ok(0)));
        assert!(newest.beside(&first).is_err() && oldest.beside(&last).is_err());
    }

    #[test]
    fn blocks_are_walked_through_in_parts_from_either_end() {
        let last = 3 * PART_BLOCKS;
        let named = [0, 1, PART_BLOCKS, PART_BLOCKS + 7, last - 1, last];
        for order in [Order::NewestFirst, Order::OldestFirst] {
            for range in [0..=last, 1..=last - 1, 5..=5, 1..=1, last + 1..=last] {
                let asked = RefCell::new(Vec::new());
                let mut seen = Vec::new();
                let blocks_of = |part: RangeInclusive<u64>| {
                    let size = part.end() - part.start() + 1;
                    assert!(size <= PART_BLOCKS, "{part:?}");
                    asked.borrow_mut().push(size);
                    Ok(named.into_iter().filter(|number| part.contains(number)).collect())
                };
                let is_last = walk(range.clone(), order, blocks_of, |number| {
                    seen.push(number);
                    Ok(true)
                });
                assert!(is_last.expect("nothing fails"));
                let inside = named.into_iter().filter(|number| range.contains(number));
                let mut expected: Vec<u64> = inside.collect();
                if order == Order::NewestFirst {
                    expected.reverse();
                }
                assert_eq!(seen, expected, "{range:?}, {order:?}");
                let all = if range.is_empty() { 0 } else { range.end() - range.start() + 1 };
                assert_eq!(asked.into_inner().iter().sum::<u64>(), all, "each block once");
            }
            let mut seen = Vec::new();
            let every = |part: RangeInclusive<u64>| Ok(part.take(5).collect());
            let is_last = walk(1..=last, order, every, |number| {
                seen.push(number);
                Ok(seen.len() < 3)
            });
            assert!(!is_last.expect("nothing fails"));
            assert_eq!(seen.len(), 3);
        }
    }

    #[test]
    fn a_call_concerns_both_of_its_ends() {
        let [here, there, other] = [1, 2, 3].map(Address::repeat_byte);
        let call = CallAction { from: here, to: there, ..Default::default() };
        let create = CreateAction { from: here, ..Default::default() };
        let output = CreateOutput { address: there, code: Bytes::new(), gas_used: 1 };
        let end = SelfdestructAction { address: here, balance: U256::ZERO, refund_address: there };
        for (action, result) in [
            (Action::Call(call), None),
            (Action::Create(create), Some(TraceOutput::Create(output))),
            (Action::Selfdestruct(end), None),
        ] {
            let trace = TransactionTrace { action, result, ..Default::default() };
            assert!(concerns(&trace, here) && concerns(&trace, there), "{trace:?}");
            assert!(!concerns(&trace, other), "{trace:?}");
        }
        // What was not made has no address.
        let failed = Action::Create(CreateAction { from: here, ..Default::default() });
        let trace = TransactionTrace { action: failed, ..Default::default() };
        assert!(concerns(&trace, here) && !concerns(&trace, Address::ZERO));
    }
}
