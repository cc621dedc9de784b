//! Transactions that are found by what they changed: the states of the past are searched by
//! halving.

use crate::public::{
    Answer, Context,
    args::{Args, address, count},
    error, json,
    traces::{Traces, rerun},
};
use alloy_rpc_types_trace::{otterscan::ContractCreator, parity::TransactionTrace};
use fugue_chain::{ChainView, ImportError, StorageError};
use fugue_evm::trace_calls;
use fugue_state::{StateError, StateView};
use fugue_types::{Address, TransactionTrait};
use jsonrpsee::types::ErrorObjectOwned;

/// `ots_getContractCreator`: the transaction that made a contract, and who made it. Null if there
/// is no code, or if it was not made by a creation. Of one that was made, destroyed and made again,
/// it is one of these creations.
pub(crate) fn contract_creator(context: &Context, mut args: Args) -> Answer {
    let contract = args.required("address", address)?;
    args.end()?;
    let view = context.view();
    let has_code = |state: &dyn StateView| -> Result<bool, StateError> {
        Ok(state.account(contract)?.is_some_and(|account| account.has_code()))
    };
    let Some(number) = first_after(context, &view, has_code)? else { return json(&()) };
    let viewed = view.block(number).map_err(error::of_chain)?;
    let viewed = viewed.ok_or_else(error::block_not_found)?;
    let Some(before_last) = viewed.body.transactions.len().checked_sub(1) else {
        return json(&());
    };
    let count = viewed.body.transactions.len();
    let traces = Traces::new(context);
    let creators = rerun(context, &view, viewed, before_last, |rerun| {
        traces.each(count, |index| {
            let traced = rerun.at(&traces, index, |place, subject, _| {
                trace_calls(place, subject, &traces.budget)
            })?;
            let creator = creator_of(&traced.trace, contract);
            Ok(creator.map(|creator| ContractCreator { hash: rerun.tx_hash(index), creator }))
        })
    })?;
    json(&creators.into_iter().flatten().next())
}

/// Who made the contract, if one of the calls of a transaction did, and none around it failed.
fn creator_of(traces: &[TransactionTrace], contract: Address) -> Option<Address> {
    let mut failed: Option<&[usize]> = None;
    // Each call comes before those that it makes.
    traces.iter().find_map(|trace| {
        if failed.is_some_and(|failed| trace.trace_address.starts_with(failed)) {
            return None;
        }
        if trace.error.is_some() {
            failed = Some(trace.trace_address.as_slice());
            return None;
        }
        let made = trace.result.as_ref()?.created_contract()?;
        let creation = trace.action.as_create()?;
        (made == contract).then_some(creation.from)
    })
}

/// `ots_getTransactionBySenderAndNonce`: its hash. Null if it is not in the chain.
pub(crate) fn by_sender_and_nonce(context: &Context, mut args: Args) -> Answer {
    let sender = args.required("address", address)?;
    let nonce = args.required("nonce", count)?;
    args.end()?;
    let view = context.view();
    let is_sent = |state: &dyn StateView| -> Result<bool, StateError> {
        Ok(state.account(sender)?.is_some_and(|account| account.nonce > nonce))
    };
    let Some(number) = first_after(context, &view, is_sent)? else { return json(&()) };
    let viewed = view.block(number).map_err(error::of_chain)?;
    let viewed = viewed.ok_or_else(error::block_not_found)?;
    let mut sent = viewed.body.transactions.iter().zip(&viewed.senders);
    // A delegation (EIP-7702) counts the nonce up without a transaction of the account.
    let found = sent.find(|(tx, from)| **from == sender && TransactionTrait::nonce(*tx) == nonce);
    json(&found.map(|(tx, _)| *tx.hash()))
}

/// The first block after which something holds that goes on to hold: not the genesis. `None` if it
/// does not hold at the head, or did from the genesis on.
///
/// # Errors
/// If it holds since a time of which no state is kept.
fn first_after(
    context: &Context,
    view: &ChainView,
    holds: impl Fn(&dyn StateView) -> Result<bool, StateError>,
) -> Result<Option<u64>, ErrorObjectOwned> {
    let patience = &context.patience;
    let holds_after = |number: u64| -> Result<bool, ErrorObjectOwned> {
        let state = |state: &dyn StateView| holds(&patience.guard(state));
        let asked = view.with_state(number, state).map_err(error::of_chain)?;
        asked.ok_or_else(error::block_not_found)?.map_err(error::of_state)
    };
    let (oldest, head) = (view.oldest_state(), view.head().number);
    if !holds_after(head)? {
        return Ok(None);
    }
    if holds_after(oldest)? {
        if oldest == 0 {
            return Ok(None);
        }
        let pruned = StorageError::Pruned { what: "state", number: oldest - 1, oldest };
        return Err(error::of_chain(ImportError::Storage(pruned)));
    }
    first_between(oldest, head, holds_after).map(Some)
}

/// The least number above `low`, at most `high`, for which something holds that does not hold for
/// `low`, and does for `high`.
fn first_between<E>(
    mut low: u64,
    mut high: u64,
    holds: impl Fn(u64) -> Result<bool, E>,
) -> Result<u64, E> {
    while high.saturating_sub(low) > 1 {
        let middle = low + (high - low) / 2;
        if holds(middle)? {
            high = middle;
        } else {
            low = middle;
        }
    }
    Ok(high)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_rpc_types_trace::parity::{
        Action, CallAction, CreateAction, CreateOutput, TraceOutput,
    };
    use fugue_types::Bytes;
    use std::{cell::Cell, convert::Infallible};

    #[test]
    fn who_made_a_contract_is_not_whose_caller_failed() {
        let contract = Address::repeat_byte(9);
        let call = |trace_address: &[usize], error: Option<&str>| TransactionTrace {
            action: Action::Call(CallAction::default()),
            error: error.map(str::to_owned),
            trace_address: trace_address.to_vec(),
            ..TransactionTrace::default()
        };
        let creation = |trace_address: &[usize], from: u8| {
            let from = Address::repeat_byte(from);
            let output = CreateOutput { address: contract, code: Bytes::new(), gas_used: 1 };
            TransactionTrace {
                action: Action::Create(CreateAction { from, ..CreateAction::default() }),
                result: Some(TraceOutput::Create(output)),
                trace_address: trace_address.to_vec(),
                ..TransactionTrace::default()
            }
        };
        let failed = [call(&[], None), call(&[0], Some("Reverted")), creation(&[0, 0], 1)];
        assert_eq!(creator_of(&failed, contract), None);
        let mut again = failed.to_vec();
        again.extend([call(&[1], None), creation(&[1, 0], 2)]);
        assert_eq!(creator_of(&again, contract), Some(Address::repeat_byte(2)));
        assert_eq!(creator_of(&again, Address::ZERO), None);
    }

    #[test]
    fn the_first_is_found_by_halving() {
        for first in [1, 2, 500, 999, 1_000] {
            let asked = Cell::new(0);
            let found = first_between(0, 1_000, |number| {
                asked.set(asked.get() + 1);
                Ok::<_, Infallible>(number >= first)
            });
            assert_eq!(found, Ok(first));
            assert!(asked.get() <= 10, "{first}: {}", asked.get());
        }
    }
}
