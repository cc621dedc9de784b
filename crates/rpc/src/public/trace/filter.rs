//! Traces by the addresses that they name: `trace_filter`.

use crate::public::{
    Answer, Context, Limits,
    args::{Args, address, count, field, list, object},
    block_ref::BlockRef,
    error::{self, invalid_argument},
    eth::logs::{Argument, Where, range},
    json,
    made::{count_or_tag, traceable},
    overrides::only,
    trace::chain::all_of_block,
    traces::Traces,
};
use alloy_rpc_types_trace::filter::{TraceFilter, TraceFilterMatcher, TraceFilterMode};
use serde_json::Value;

/// The only argument.
const FILTER: Argument = (0, "filter");

/// What to look for, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Filter {
    from: BlockRef,
    to: BlockRef,
    matcher: TraceFilterMatcher,
    /// Traces to pass over, and how many to give then.
    after: usize,
    count: Option<usize>,
}

/// `trace_filter`.
pub(crate) fn filter(context: &Context, mut args: Args) -> Answer {
    let addresses_max = context.limits.filter_values_max;
    let filter = args.required("filter", |value| read(value, addresses_max))?;
    args.end()?;
    let view = context.view();
    let place = Where::Range { from: traceable(filter.from)?, to: traceable(filter.to)? };
    let Limits { trace_blocks_max, traces_max, trace_bytes_max, .. } = context.limits;
    let kept = |from| view.block(from).map(drop);
    let (from, to) = range(&view, &place, trace_blocks_max, FILTER, kept)?;
    let (mut to_skip, mut bytes) = (filter.after, 0_usize);
    let mut found = Vec::new();
    for number in from..=to {
        context.patience.check()?;
        if filter.count.is_some_and(|count| found.len() >= count) {
            break;
        }
        let viewed = view.block(number).map_err(error::of_chain)?;
        let viewed = viewed.ok_or_else(error::block_not_found)?;
        // What a block needs is let go before the next one is begun.
        let traces = Traces::new(context);
        let of_block =
            all_of_block(context, &traces, &view, viewed, |trace| filter.matcher.matches(trace))?;
        let skipped = to_skip.min(of_block.len());
        to_skip -= skipped;
        let room = filter.count.map_or(usize::MAX, |count| count.saturating_sub(found.len()));
        for piece in of_block.into_iter().skip(skipped).take(room) {
            bytes = bytes.saturating_add(piece.get().len());
            found.push(piece);
        }
        for (what, found, max) in
            [("results", found.len(), traces_max), ("result bytes", bytes, trace_bytes_max)]
        {
            if found > max && from < to {
                let last = number.saturating_sub(1).max(from);
                let told =
                    format!("query exceeds max {what} {max}, retry with the range {from}-{last}");
                return Err(invalid_argument(FILTER.0, FILTER.1, told));
            }
        }
    }
    json(&found)
}

/// Source: OpenEthereum, "The trace module", `trace_filter`; the mode is Erigon's, whose default is
/// the union: OpenEthereum has the intersection alone.
fn read(value: &Value, addresses_max: usize) -> Result<Filter, String> {
    let fields = object(value)?;
    only(fields, &["fromBlock", "toBlock", "fromAddress", "toAddress", "after", "count", "mode"])?;
    let addresses = |value: &Value| match value {
        Value::String(_) => address(value).map(|one| vec![one]),
        _ => list(value, addresses_max, address),
    };
    let mode = |value: &Value| match value.as_str() {
        Some("union") => Ok(TraceFilterMode::Union),
        Some("intersection") => Ok(TraceFilterMode::Intersection),
        _ => Err("union or intersection is expected".to_owned()),
    };
    let number = |value: &Value| count(value).map(|it| usize::try_from(it).unwrap_or(usize::MAX));
    let published = TraceFilter {
        from_address: field(fields, "fromAddress", addresses)?.unwrap_or_default(),
        to_address: field(fields, "toAddress", addresses)?.unwrap_or_default(),
        mode: field(fields, "mode", mode)?.unwrap_or_default(),
        ..TraceFilter::default()
    };
    Ok(Filter {
        from: field(fields, "fromBlock", count_or_tag)?.unwrap_or_default(),
        to: field(fields, "toBlock", count_or_tag)?.unwrap_or_default(),
        matcher: published.matcher(),
        after: field(fields, "after", number)?.unwrap_or(0),
        count: field(fields, "count", number)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_rpc_types_trace::parity::{Action, CallAction, TransactionTrace};
    use fugue_types::Address;
    use serde_json::json as object;

    const HERE: Address = Address::repeat_byte(1);
    const THERE: Address = Address::repeat_byte(2);

    fn call(from: Address, to: Address) -> TransactionTrace {
        let action = Action::Call(CallAction { from, to, ..CallAction::default() });
        TransactionTrace { action, ..TransactionTrace::default() }
    }

    #[test]
    fn a_filter_is_read_field_by_field() {
        let given = object!({
            "fromBlock": "0x1", "toBlock": "latest", "fromAddress": [HERE], "toAddress": THERE,
            "after": 5, "count": "0x7",
        });
        let filter = read(&given, 1).expect("well formed");
        assert_eq!(filter.from, BlockRef::Number(1));
        assert_eq!((filter.after, filter.count), (5, Some(7)));
        assert!(filter.matcher.matches(&call(HERE, THERE)));
        assert!(!filter.matcher.matches(&call(HERE, HERE)));
        let numbered = read(&object!({ "fromBlock": 1, "toBlock": 3 }), 1).expect("well formed");
        assert_eq!((numbered.from, numbered.to), (BlockRef::Number(1), BlockRef::Number(3)));
        let all = read(&object!({}), 1).expect("all is optional");
        assert!(all.matcher.matches(&call(THERE, HERE)));
        assert_eq!((all.from, all.to), (BlockRef::default(), BlockRef::default()));
    }

    #[test]
    fn both_sides_are_asked_for_or_one_of_them() {
        let union = object!({ "fromAddress": [HERE], "toAddress": [HERE], "mode": "union" });
        assert!(read(&union, 1).expect("well formed").matcher.matches(&call(HERE, THERE)));
        let both = object!({ "fromAddress": [HERE], "toAddress": [HERE] });
        assert!(!read(&both, 1).expect("well formed").matcher.matches(&call(HERE, THERE)));
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for wrong in [
            object!({ "mode": "any" }),
            object!({ "address": HERE }),
            object!({ "count": "five" }),
            object!({ "fromAddress": ["0x12"] }),
        ] {
            assert!(read(&wrong, 1).is_err(), "{wrong}");
        }
        let told = read(&object!({ "toAddress": [HERE, THERE] }), 1).expect_err("too many");
        assert_eq!(told, "toAddress: 2 values, want at most 1");
    }
}
