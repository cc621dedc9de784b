//! Traces of one block after the other, as a subscription tells them.

use crate::public::{
    Answer, Context,
    args::Args,
    block_ref::{BlockRef, number_or_tag},
    debug::trace::{Options, known_block, last},
    error::{self, invalid_argument, refused},
    json,
    made::traceable,
};
use fugue_types::B256;
use jsonrpsee::{core::JsonRawValue, types::ErrorObjectOwned};
use serde::Serialize;
use std::ops::RangeInclusive;

/// Which blocks are traced, and how.
pub(in crate::public) struct ChainTraces {
    first: u64,
    last: u64,
    options: Options,
}

/// Traces of a block. Source: geth, `blockTraceResult`.
#[derive(Debug, Serialize)]
struct OfBlock<'t> {
    block: String,
    hash: B256,
    traces: &'t JsonRawValue,
}

impl ChainTraces {
    /// What the arguments ask for: the block before the first one, the last one, and options.
    /// Source: geth's documentation, "debug_traceChain".
    ///
    /// # Errors
    /// If they are wrong, or a block is not known, or there are too many.
    pub(in crate::public) fn read(
        mut args: Args,
        context: &Context,
    ) -> Result<Self, ErrorObjectOwned> {
        let start = args.required("start block", number_or_tag)?;
        let end = args.required("end block", number_or_tag)?;
        let options = last(args)?;
        let view = context.view();
        let number = |named: &BlockRef| -> Result<u64, ErrorObjectOwned> {
            traceable(*named)?.number(&view)?.ok_or_else(|| refused("block not found"))
        };
        let (start, end) = (number(&start)?, number(&end)?);
        let Some(count) = end.checked_sub(start).filter(|count| *count > 0) else {
            let reason = format!("{end} is not above the start block, {start}");
            return Err(invalid_argument(2, "end block", reason));
        };
        let max = context.limits.trace_blocks_max;
        if count > max {
            let last = start.saturating_add(max);
            let reason =
                format!("query exceeds max block range {max}, retry with the range {start}-{last}");
            return Err(invalid_argument(2, "end block", reason));
        }
        Ok(Self { first: start.saturating_add(1), last: end, options })
    }

    /// The numbers of the blocks.
    pub(in crate::public) fn numbers(&self) -> RangeInclusive<u64> {
        self.first..=self.last
    }

    /// What is told of the block with this number in the chain as it is at this moment. Of one
    /// without transactions that is null, if it is not the last one.
    ///
    /// # Errors
    /// If it cannot be traced.
    pub(in crate::public) fn of_block(&self, context: &Context, number: u64) -> Answer {
        let context = &self.options.patient(context);
        let view = context.view();
        let viewed = view.block(number).map_err(error::of_chain)?;
        let viewed = viewed.ok_or_else(|| refused(format!("block #{number} not found")))?;
        if viewed.body.transactions.is_empty() && number != self.last {
            return json(&());
        }
        let hash = viewed.hash;
        let traces = known_block(context, &view, viewed, &self.options)?;
        json(&OfBlock { block: format!("{number:#x}"), hash, traces: &traces })
    }
}
