//! Messages that are run to see what they do: `eth_call`, `eth_estimateGas`.

use crate::public::{
    Answer, Context,
    args::{
        Args, address, bytes, field, hash, list, object, quantity, quantity_u64, quantity_u128,
    },
    block_ref::{BlockRef, block_ref},
    error, json,
    patience::PatientView,
    revert,
};
use alloy_eips::{eip2930::AccessList, eip7702::SignedAuthorization};
use fugue_chainspec::Rules;
use fugue_evm::{CallPrice, CallRequest, EstimateError};
use fugue_state::StateView;
use fugue_types::{Header, TxStatus, U256};
use jsonrpsee::types::ErrorObjectOwned;
use serde_json::{Map, Value};

/// Blobs of a message: no block has room for more.
const BLOBS_MAX: usize = 128;
/// Less gas than this is no wish, but a field that a tool has left at zero.
const GAS_WISH_MIN: u64 = 21_000;

/// A message as a request has it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Message {
    /// Its gas is not set yet.
    request: CallRequest,
    /// The most gas it may use, where the request says so.
    gas: Option<u64>,
}

/// `eth_call`.
pub(crate) fn call(context: &Context, mut args: Args) -> Answer {
    let (message, block) = arguments(context, &mut args)?;
    args.refused("block overrides")?;
    args.end()?;
    let Message { mut request, gas } = message;
    let gas_max = context.limits.call_gas_max;
    request.gas = gas.map_or(gas_max, |gas| gas.min(gas_max));
    let outcome = at_block(context, &block, |rules, header, state| {
        fugue_evm::call(rules, header, &context.codes, state, &request)
    })?;
    let outcome = outcome.map_err(error::of_call)?;
    match outcome.status {
        TxStatus::Success => json(&outcome.output),
        TxStatus::Revert | TxStatus::Halt(_) => Err(revert::of_failed(outcome)),
    }
}

/// `eth_estimateGas`.
pub(crate) fn estimate_gas(context: &Context, mut args: Args) -> Answer {
    let (message, block) = arguments(context, &mut args)?;
    args.refused("block overrides")?;
    args.end()?;
    let Message { mut request, gas } = message;
    let gas = gas.filter(|gas| *gas >= GAS_WISH_MIN);
    let estimate = at_block(context, &block, |rules, header, state| {
        request.gas = gas.unwrap_or(header.gas_limit).min(context.limits.call_gas_max);
        fugue_evm::estimate_gas(rules, header, &context.codes, state, &request)
    })?;
    match estimate {
        Ok(gas) => json(&U256::from(gas)),
        Err(EstimateError::Failed(outcome)) => Err(revert::of_failed(outcome)),
        Err(EstimateError::Call(error)) => Err(error::of_call(error)),
        Err(allowance @ EstimateError::Allowance(_)) => Err(error::refused(allowance.to_string())),
    }
}

/// A message, a block, and nothing else that would change the answer.
fn arguments(context: &Context, args: &mut Args) -> Result<(Message, BlockRef), ErrorObjectOwned> {
    let chain_id = context.engine.spec().chain_id();
    let message = args.required("transaction", |value| message(value, chain_id))?;
    let block = args.optional("block", block_ref)?.unwrap_or_default();
    args.refused("state overrides")?;
    Ok((message, block))
}

/// Calls with rules and header of a block, and the state after it.
fn at_block<T>(
    context: &Context,
    block: &BlockRef,
    run: impl FnOnce(&Rules, &Header, &dyn StateView) -> T,
) -> Result<T, ErrorObjectOwned> {
    let view = context.view();
    let number = block.number_with_state(&view)?;
    let found = view.header(number).map_err(error::of_chain)?;
    let (_, header) = found.ok_or_else(error::block_not_found)?;
    let rules = view.spec().rules(&header);
    let patience = &context.patience;
    let done =
        view.with_state(number, |state| run(&rules, &header, &PatientView { state, patience }));
    done.map_err(error::of_chain)?.ok_or_else(error::block_not_found)
}

/// Source: execution-apis, "GenericTransaction". Type and nonce are read and not needed: the fields
/// tell the type, and the nonce of a question is not checked.
fn message(value: &Value, chain_id: u64) -> Result<Message, String> {
    let fields = object(value)?;
    if let Some(found) = field(fields, "chainId", quantity)?
        && found != U256::from(chain_id)
    {
        return Err(format!("chainId: this is chain {chain_id}, not {found}"));
    }
    field(fields, "nonce", quantity_u64)?;
    field(fields, "type", quantity_u64)?;
    let (data, input) = (field(fields, "data", bytes)?, field(fields, "input", bytes)?);
    if let (Some(data), Some(input)) = (&data, &input)
        && data != input
    {
        return Err("data and input are given and differ".to_owned());
    }
    let hashes = field(fields, "blobVersionedHashes", |value| list(value, BLOBS_MAX, hash))?;
    let request = CallRequest {
        from: field(fields, "from", address)?.unwrap_or_default(),
        to: field(fields, "to", address)?,
        gas: 0,
        price: price(fields)?,
        value: field(fields, "value", quantity)?.unwrap_or_default(),
        data: input.or(data).unwrap_or_default(),
        access_list: field(fields, "accessList", published::<AccessList>)?,
        blob_hashes: hashes.unwrap_or_default(),
        max_fee_per_blob_gas: field(fields, "maxFeePerBlobGas", quantity_u128)?
            .filter(|fee| *fee > 0),
        authorizations: field(fields, "authorizationList", published::<Vec<SignedAuthorization>>)?
            .unwrap_or_default(),
    };
    Ok(Message { request, gas: field(fields, "gas", quantity_u64)? })
}

fn price(fields: &Map<String, Value>) -> Result<CallPrice, String> {
    let fixed = field(fields, "gasPrice", quantity_u128)?;
    let max = field(fields, "maxFeePerGas", quantity_u128)?;
    let tip = field(fields, "maxPriorityFeePerGas", quantity_u128)?;
    match (fixed, max, tip) {
        (None, None, None) => Ok(CallPrice::Free),
        (Some(price), None, None) => Ok(CallPrice::Fixed(price)),
        (None, max, tip) => {
            Ok(CallPrice::Dynamic { max: max.unwrap_or_default(), tip: tip.unwrap_or_default() })
        }
        (Some(_), _, _) => {
            Err("gasPrice and maxFeePerGas or maxPriorityFeePerGas are given".to_owned())
        }
    }
}

/// A value in the form that its published type has.
fn published<T: serde::de::DeserializeOwned>(value: &Value) -> Result<T, String> {
    serde_json::from_value(value.clone()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use fugue_types::{Address, Bytes};
    use serde_json::json as object;

    const CHAIN_ID: u64 = 7;

    #[test]
    fn a_message_has_defaults_for_all_that_is_left_away() {
        let message = message(&object!({}), CHAIN_ID).expect("all is optional");
        assert_eq!(message, Message { request: CallRequest::default(), gas: None });
    }

    #[test]
    fn a_message_is_read_field_by_field() {
        let to = Address::repeat_byte(2);
        let value = object!({
            "to": to, "gas": "0x186a0", "maxFeePerGas": "0x9", "maxPriorityFeePerGas": "0x1",
            "value": "0x3", "data": "0x0102", "input": "0x0102", "nonce": "0x5", "type": "0x2",
            "chainId": "0x7", "from": null,
            "accessList": [{ "address": to, "storageKeys": [] }],
        });
        let Message { request, gas } = message(&value, CHAIN_ID).expect("well formed");
        assert_eq!(gas, Some(100_000));
        assert_eq!(request.to, Some(to));
        assert_eq!(request.price, CallPrice::Dynamic { max: 9, tip: 1 });
        assert_eq!(request.data, Bytes::from_static(&[1, 2]));
        assert_eq!(request.access_list.map(|list| list.0.len()), Some(1));
    }

    #[test]
    fn authorizations_are_read_in_their_published_form() {
        let word = format!("0x{}", "11".repeat(32));
        let value = object!({ "authorizationList": [{
            "address": Address::repeat_byte(0xaa), "chainId": "0x1", "nonce": "0x0",
            "r": word, "s": word, "yParity": "0x0",
        }]});
        let message = message(&value, CHAIN_ID).expect("well formed");
        assert_eq!(message.request.authorizations.len(), 1);
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        for (wrong, reason) in [
            (object!({ "data": "0x01", "input": "0x02" }), "data and input"),
            (object!({ "gasPrice": "0x1", "maxFeePerGas": "0x1" }), "gasPrice and maxFeePerGas"),
            (object!({ "chainId": "0x8" }), "chainId: this is chain 7"),
            (object!({ "to": "0x12" }), "to: an address has 20 bytes"),
            (object!({ "accessList": 1 }), "accessList: "),
            (object!("0x"), "an object is expected"),
        ] {
            let found = message(&wrong, CHAIN_ID).expect_err("refused");
            assert!(found.starts_with(reason), "{found}");
        }
    }
}
