//! `eth_callMany`: messages one after the other, each on what those before it have left behind.

use crate::public::{
    Answer, Context, Limits,
    args::{Args, count, field, list, object},
    block_ref::{BlockRef, block_ref},
    error,
    eth::calls,
    json,
    overrides::{BlockOverrides, StateOverrides, assumed, block_overrides, only, state_overrides},
    question::any_number,
    revert,
};
use fugue_evm::{CallOutcome, CallRequest, Checks, FeePayment, Kernel, ViewReader};
use fugue_executor::Replay;
use fugue_state::{Overlay, StateView, assumed_diff};
use fugue_types::{Header, TxStatus};
use jsonrpsee::types::ErrorObjectOwned;
use serde_json::{Value, json as value};
use std::time::Duration;

/// Messages that are in one block.
pub(crate) struct Bundle {
    pub(crate) messages: Vec<calls::Message>,
    pub(crate) overrides: BlockOverrides,
}

/// The state that the first message finds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Start {
    pub(crate) block: BlockRef,
    /// Transactions of the block that have run; all of them if it is `None`.
    pub(crate) transactions: Option<usize>,
}

/// `eth_callMany`. Source: Erigon's documentation, "eth_callMany".
pub(crate) fn call_many(context: &Context, mut args: Args) -> Answer {
    let (bundles, start) = bundles(context, &mut args)?;
    let limits = &context.limits;
    let state = args.optional("state overrides", |value| state_overrides(value, limits))?;
    let time_max = args.optional("timeout", time)?.flatten();
    args.end()?;
    let state = state.unwrap_or_default();
    let context = &context.at_most(time_max);
    let answers =
        at_start(context, start, |header, view| run(context, header, view, &bundles, &state))??;
    json(&answers)
}

/// What is to be run, and where that begins: the first two arguments.
pub(crate) fn bundles(
    context: &Context,
    args: &mut Args,
) -> Result<(Vec<Bundle>, Start), ErrorObjectOwned> {
    let chain_id = context.engine.spec().chain_id();
    let max = context.limits.messages_max;
    let bundles = args.required("bundles", |value| {
        let bundles = list(value, max, |value| bundle(value, chain_id, max))?;
        let messages: usize = bundles.iter().map(|bundle| bundle.messages.len()).sum();
        if messages > max {
            return Err(format!("{messages} messages, want at most {max}"));
        }
        Ok(bundles)
    })?;
    Ok((bundles, args.optional("simulation context", start)?.unwrap_or_default()))
}

fn run(
    context: &Context,
    header: &Header,
    view: &dyn StateView,
    bundles: &[Bundle],
    state: &StateOverrides,
) -> Result<Vec<Vec<Value>>, ErrorObjectOwned> {
    let mut overlay = Overlay::new(view);
    let diff = assumed_diff(view, &state.accounts).map_err(error::of_state)?;
    overlay.push(&diff).map_err(error::internal)?;
    let mut answers = Vec::with_capacity(bundles.len());
    let Limits { call_gas_max: mut gas_left, output_bytes_max, .. } = context.limits;
    let mut output_bytes = 0_usize;
    let mut next = header.clone();
    for Bundle { messages, overrides } in bundles {
        let (header, rules) = overrides.applied(context.engine.spec(), &next);
        follow(&mut next, &header);
        let assumed = assumed(state, overrides);
        assumed.check(&rules).map_err(|reason| error::refused(reason.to_string()))?;
        let reader = ViewReader(any_number(&overlay, &overrides.block_hashes));
        let mut kernel = Kernel::new(&rules, &header, &context.codes, reader, FeePayment::Direct);
        assumed.lay_on(&mut kernel);
        let mut of_bundle = Vec::with_capacity(messages.len());
        for message in messages {
            context.patience.check()?;
            let gas = message.gas.map_or(gas_left, |gas| gas.min(gas_left));
            let request = CallRequest { gas, ..message.request.clone() };
            let sent = kernel.send(&request, Checks::QUESTION);
            if let Ok(CallOutcome { gas_used, output, .. }) = &sent {
                gas_left = gas_left.saturating_sub(*gas_used);
                output_bytes = output_bytes.saturating_add(output.len());
            }
            if output_bytes > output_bytes_max {
                return Err(error::refused(format!(
                    "the messages return more than {output_bytes_max} bytes, the most: send fewer \
                     of them"
                )));
            }
            of_bundle.push(match sent {
                Ok(outcome) => answer(outcome),
                Err(error) => refused(error::of_call(error))?,
            });
        }
        let (diff, _) = kernel.take();
        drop(kernel);
        overlay.push(&diff).map_err(error::internal)?;
        answers.push(of_bundle);
    }
    Ok(answers)
}

/// Each bundle is a block, and the next one comes after it. Source: Erigon,
/// `rpc/jsonrpc/eth_callMany.go`.
pub(crate) fn follow(next: &mut Header, header: &Header) {
    next.number = header.number.saturating_add(1);
    next.timestamp = header.timestamp.saturating_add(1);
}

fn answer(outcome: CallOutcome) -> Value {
    match outcome.status {
        TxStatus::Success => value!({ "value": outcome.output }),
        TxStatus::Revert | TxStatus::Halt(_) => {
            value!({ "error": revert::of_failed(outcome).message() })
        }
    }
}

/// A message that was refused is an answer; that the call was given up, or a defect, is none.
fn refused(error: ErrorObjectOwned) -> Result<Value, ErrorObjectOwned> {
    let is_of_message = error.code() == error::REFUSED
        && !error.message().starts_with(crate::public::patience::GIVEN_UP);
    if is_of_message { Ok(value!({ "error": error.message() })) } else { Err(error) }
}

/// Calls with the header of the block, and the state where it has come so far.
pub(crate) fn at_start<T>(
    context: &Context,
    start: Start,
    run: impl FnOnce(&Header, &dyn StateView) -> T,
) -> Result<T, ErrorObjectOwned> {
    let Start { block, transactions } = start;
    // Once: where it is pending, it may be another one each time.
    let (view, number) = context.chain_with_state(&block)?;
    let Some(count) = transactions else {
        return calls::after(context, &view, number, |header, state| run(&header, state));
    };
    let viewed = view.block(number).map_err(error::of_chain)?.ok_or_else(error::block_not_found)?;
    let Some(parent) = number.checked_sub(1) else {
        return Err(error::refused("the genesis has no transactions"));
    };
    // Before the first one there is a place in each block.
    if count > 0 && count >= viewed.body.transactions.len() {
        return calls::after(context, &view, number, |header, state| run(&header, state));
    }
    let header = viewed.header.clone();
    let rules = view.spec().rules(&header);
    let recovered = viewed.into_recovered().map_err(error::internal)?;
    let patience = &context.patience;
    let done = view.with_state(parent, |state| {
        let state = patience.guard(state);
        let replay = Replay::run(recovered, &rules, &state, &context.codes, count);
        replay.map(|replay| run(&header, &replay.before(count, &state)))
    });
    let done = done.map_err(error::of_chain)?.ok_or_else(error::block_not_found)?;
    done.map_err(error::of_replay)
}

/// How long all messages may take, in milliseconds: 0 is as long as the node lets them.
fn time(value: &Value) -> Result<Option<Duration>, String> {
    let millis = count(value)?;
    Ok((millis > 0).then(|| Duration::from_millis(millis)))
}

fn bundle(value: &Value, chain_id: u64, messages_max: usize) -> Result<Bundle, String> {
    let fields = object(value)?;
    only(fields, &["transactions", "blockOverride"])?;
    let messages = field(fields, "transactions", |value| {
        list(value, messages_max, |value| calls::message(value, chain_id))
    })?;
    let overrides = field(fields, "blockOverride", block_overrides)?.unwrap_or_default();
    Ok(Bundle { messages: messages.unwrap_or_default(), overrides })
}

fn start(value: &Value) -> Result<Start, String> {
    let fields = object(value)?;
    only(fields, &["blockNumber", "transactionIndex"])?;
    let index = |value: &Value| match value.as_i64() {
        // All of them.
        Some(-1) => Ok(None),
        _ => count(value).map(|count| usize::try_from(count).ok()),
    };
    Ok(Start {
        block: field(fields, "blockNumber", block_ref)?.unwrap_or_default(),
        transactions: field(fields, "transactionIndex", index)?.flatten(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_is_a_block_or_a_transaction_in_it() {
        let read = |given: Value| start(&given).expect("well formed").transactions;
        assert_eq!(read(value!({ "blockNumber": "latest" })), None);
        assert_eq!(read(value!({ "transactionIndex": -1 })), None);
        assert_eq!(read(value!({ "transactionIndex": "0x2" })), Some(2));
        assert!(start(&value!({ "transactionIndex": "x" })).is_err());
        assert!(start(&value!({ "block": "latest" })).is_err());
    }

    #[test]
    fn a_time_is_in_milliseconds_and_none_is_no_bound() {
        assert_eq!(time(&value!(0)), Ok(None));
        for given in [value!(1_500), value!("0x5dc")] {
            assert_eq!(time(&given), Ok(Some(Duration::from_millis(1_500))), "{given}");
        }
        assert!(time(&value!(-1)).is_err() && time(&value!("5s")).is_err());
    }

    #[test]
    fn a_bundle_has_messages() {
        let given = value!({ "transactions": [{}, {}], "blockOverride": { "time": "0x5" } });
        let told = "transactions: 2 values, want at most 1";
        assert_eq!(bundle(&given, 1, 1).err().as_deref(), Some(told));
        let bundle = bundle(&given, 1, 2).expect("well formed");
        assert_eq!((bundle.messages.len(), bundle.overrides.time), (2, Some(5)));
    }
}
