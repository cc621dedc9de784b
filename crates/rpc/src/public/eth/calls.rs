//! Messages that are run to see what they do.

use crate::public::{
    Answer, Context,
    args::{
        Args, address, bytes, field, hash, list, object as fields_of, or_zero, published, quantity,
        quantity_u64, quantity_u128,
    },
    block_ref::{BlockRef, Tag, block_ref},
    error,
    eth::headers,
    json,
    overrides::{BlockOverrides, StateOverrides, block_overrides, state_overrides},
    question::{with_gas, with_place},
    revert,
};
use alloy_eips::{eip2930::AccessList, eip7702::SignedAuthorization};
use fugue_chain::ChainView;
use fugue_evm::{CallPrice, CallRequest, EstimateError, Place};
use fugue_state::StateView;
use fugue_types::{Address, Bytes, Header, TxStatus, U256};
use jsonrpsee::types::ErrorObjectOwned;
use serde_json::{Map, Value, json as object};

/// Blobs of a message: no block has room for more.
const BLOBS_MAX: usize = 128;
/// Delegations of a message: more than 50,000,000 gas pay for (EIP-7702, PER_EMPTY_ACCOUNT_COST).
/// Their signers are recovered before anything is paid for.
const AUTHORIZATIONS_MAX: usize = 2_048;
/// Less gas than this is no wish, but a field that a tool has left at zero.
const GAS_WISH_MIN: u64 = 21_000;
/// What geth says of a blob transaction without blobs, and of one that delegates nothing. Source:
/// go-ethereum, `core/error.go`.
const NO_BLOBS: &str = "blob transaction missing blob hashes";
const NO_GRANTS: &str = "EIP-7702 transaction with empty auth list";
/// What is said of a transaction of which both are given and differ. The words are those of geth.
const DATA_AND_INPUT: &str = "both \"data\" and \"input\" are set and not equal. Please use \
                              \"input\" to pass transaction call data";
/// What is said of a transaction that would create a contract of nothing. The same.
const NO_DATA: &str = "contract creation without any data provided";

/// A message as a request has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    /// Its gas and nonce may not be set yet.
    pub(crate) request: CallRequest,
    /// The most gas it may use, where the request says so.
    pub(crate) gas: Option<u64>,
    /// Its nonce, where the request says so.
    pub(crate) nonce: Option<u64>,
}

/// A message, and where it is run.
struct Question {
    message: Message,
    block: BlockRef,
    state_overrides: StateOverrides,
    block_overrides: BlockOverrides,
}

/// `eth_call`.
pub(crate) fn call(context: &Context, args: Args) -> Answer {
    let question = question(context, args, Tag::Latest)?;
    let request = with_gas(context, &question.message);
    let outcome = question.ask(context, |place| fugue_evm::call(place, &request))?;
    let outcome = outcome.map_err(error::of_call)?;
    match outcome.status {
        TxStatus::Success => json(&outcome.output),
        TxStatus::Revert | TxStatus::Halt(_) => Err(revert::of_failed(outcome)),
    }
}

/// `eth_estimateGas`: of what is sent next, where no block is named.
pub(crate) fn estimate_gas(context: &Context, args: Args) -> Answer {
    json(&U256::from(question(context, args, next(context))?.estimate(context)?))
}

/// The state that what is sent next will find. What comes before it is known where blocks are made
/// of the pool alone; elsewhere nobody knows, and a block is not built for each estimate.
fn next(context: &Context) -> Tag {
    if context.dev.is_some() { Tag::Pending } else { Tag::Latest }
}

/// The least gas, or little more, with which a message succeeds that is sent next.
pub(super) fn estimate(context: &Context, message: Message) -> Result<u64, ErrorObjectOwned> {
    let (state_overrides, block_overrides) = Default::default();
    let block = BlockRef::Tag(next(context));
    Question { message, block, state_overrides, block_overrides }.estimate(context)
}

/// `eth_createAccessList`. A message that fails has a list as well, and the error beside it.
pub(crate) fn create_access_list(context: &Context, args: Args) -> Answer {
    let question = question(context, args, Tag::Latest)?;
    let request = with_gas(context, &question.message);
    let found = question.ask(context, |place| fugue_evm::access_list(place, &request))?;
    let (list, outcome) = found.map_err(error::of_call)?;
    let mut answer = object!({ "accessList": list, "gasUsed": U256::from(outcome.gas_used) });
    if !outcome.status.is_success() {
        answer["error"] = revert::of_failed(outcome).message().into();
    }
    json(&answer)
}

/// A message, a block, which is `tag` where none is named, and what is assumed of both.
fn question(context: &Context, mut args: Args, tag: Tag) -> Result<Question, ErrorObjectOwned> {
    let chain_id = context.engine.spec().chain_id();
    let message = args.required("transaction", |value| message(value, chain_id))?;
    let block = args.optional("block", block_ref)?.unwrap_or(BlockRef::Tag(tag));
    let state_overrides =
        args.optional("state overrides", |value| state_overrides(value, &context.limits))?;
    let state_overrides = state_overrides.unwrap_or_default();
    let block_overrides = args.optional("block overrides", block_overrides)?.unwrap_or_default();
    args.end()?;
    Ok(Question { message, block, state_overrides, block_overrides })
}

impl Question {
    fn estimate(&self, context: &Context) -> Result<u64, ErrorObjectOwned> {
        let gas = self.message.gas.filter(|gas| *gas >= GAS_WISH_MIN);
        let estimate = self.ask(context, |place| {
            let gas = gas.unwrap_or(place.header.gas_limit).min(context.limits.call_gas_max);
            let request = CallRequest { gas, ..self.message.request.clone() };
            fugue_evm::estimate_gas(place, &request)
        })?;
        estimate.map_err(|error| match error {
            EstimateError::Failed(outcome) => revert::of_failed(*outcome),
            EstimateError::Call(error) => error::of_call(error),
            allowance @ EstimateError::Allowance(_) => error::refused(allowance.to_string()),
        })
    }

    fn ask<T>(
        &self,
        context: &Context,
        ask: impl FnOnce(&Place<'_>) -> T,
    ) -> Result<T, ErrorObjectOwned> {
        let Self { message: _, block, state_overrides, block_overrides } = self;
        at_block(context, block, |header, state| {
            with_place(context, &header, state, state_overrides, block_overrides, ask)
        })?
    }
}

/// Calls with the header of a block, and the state after it.
pub(crate) fn at_block<T>(
    context: &Context,
    block: &BlockRef,
    run: impl FnOnce(Header, &dyn StateView) -> T,
) -> Result<T, ErrorObjectOwned> {
    let (view, number) = context.chain_with_state(block)?;
    after(context, &view, number, run)
}

/// The same of a block of a view.
pub(super) fn after<T>(
    context: &Context,
    view: &ChainView,
    number: u64,
    run: impl FnOnce(Header, &dyn StateView) -> T,
) -> Result<T, ErrorObjectOwned> {
    let (_, header) = headers::at(view, number)?;
    let patience = &context.patience;
    let done = view.with_state(number, |state| run(header, &patience.guard(state)));
    done.map_err(error::of_chain)?.ok_or_else(error::block_not_found)
}

/// Source: execution-apis, "GenericTransaction". The type is read and not needed: the fields tell
/// it.
pub(crate) fn message(value: &Value, chain_id: u64) -> Result<Message, String> {
    let fields = fields_of(value)?;
    if let Some(found) = field(fields, "chainId", quantity)?
        && found != U256::from(chain_id)
    {
        return Err(format!("chainId: this is chain {chain_id}, not {found}"));
    }
    field(fields, "type", or_zero(quantity_u64))?;
    let (data, input) = (field(fields, "data", bytes)?, field(fields, "input", bytes)?);
    let hashes = field(fields, "blobVersionedHashes", |value| {
        some(list(value, BLOBS_MAX, hash)?, NO_BLOBS)
    })?;
    let request = CallRequest {
        from: field(fields, "from", address)?.unwrap_or_default(),
        to: field(fields, "to", address)?,
        gas: 0,
        nonce: 0,
        price: price(fields)?,
        value: field(fields, "value", or_zero(quantity))?.unwrap_or_default(),
        data: input.or(data).unwrap_or_default(),
        access_list: field(fields, "accessList", published::<AccessList>)?,
        blob_hashes: hashes.unwrap_or_default(),
        max_fee_per_blob_gas: field(fields, "maxFeePerBlobGas", or_zero(quantity_u128))?
            .filter(|fee| *fee > 0),
        authorizations: field(fields, "authorizationList", |value| {
            some(list(value, AUTHORIZATIONS_MAX, published::<SignedAuthorization>)?, NO_GRANTS)
        })?
        .unwrap_or_default(),
    };
    let nonce = field(fields, "nonce", or_zero(quantity_u64))?;
    Ok(Message { request, gas: field(fields, "gas", or_zero(quantity_u64))?, nonce })
}

/// A list with anything in it: of an empty one, its name makes a transaction that cannot be.
fn some<T>(list: Vec<T>, told: &str) -> Result<Vec<T>, String> {
    if list.is_empty() { Err(told.to_owned()) } else { Ok(list) }
}

/// The data of what is to be sent: nobody may be mistaken about them, while of a question `input`
/// counts. Source: go-ethereum, `internal/ethapi/transaction_args.go`, `setDefaults` and `data`.
pub(crate) fn sent_data(fields: &Map<String, Value>) -> Result<Bytes, String> {
    let (data, input) = (field(fields, "data", bytes)?, field(fields, "input", bytes)?);
    match (data, input) {
        (Some(data), Some(input)) if data != input => Err(DATA_AND_INPUT.to_owned()),
        (data, input) => Ok(input.or(data).unwrap_or_default()),
    }
}

/// # Errors
/// If what is to be sent creates a contract, and has no code for it.
pub(crate) fn check_creation(to: Option<Address>, data: &Bytes) -> Result<(), ErrorObjectOwned> {
    if to.is_none() && data.is_empty() { Err(error::refused(NO_DATA)) } else { Ok(()) }
}

fn price(fields: &Map<String, Value>) -> Result<CallPrice, String> {
    let fixed = field(fields, "gasPrice", or_zero(quantity_u128))?;
    let max = field(fields, "maxFeePerGas", or_zero(quantity_u128))?;
    let tip = field(fields, "maxPriorityFeePerGas", or_zero(quantity_u128))?;
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

/// Reads any value as a message, for fuzz targets.
#[cfg(any(test, feature = "fuzzing"))]
pub(super) fn fuzz(value: &Value) {
    if let Ok(Message { request, .. }) = message(value, 1) {
        assert!(request.blob_hashes.len() <= BLOBS_MAX, "{} blobs", request.blob_hashes.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json as object;

    const CHAIN_ID: u64 = 7;

    #[test]
    fn a_message_has_defaults_for_all_that_is_left_away() {
        let message = message(&object!({}), CHAIN_ID).expect("all is optional");
        assert_eq!(message, Message { request: CallRequest::default(), gas: None, nonce: None });
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
        let Message { request, gas, nonce } = message(&value, CHAIN_ID).expect("well formed");
        assert_eq!((gas, nonce), (Some(100_000), Some(5)));
        assert_eq!(request.to, Some(to));
        assert_eq!(request.price, CallPrice::Dynamic { max: 9, tip: 1 });
        assert_eq!(request.data, Bytes::from_static(&[1, 2]));
        assert_eq!(request.access_list.map(|list| list.0.len()), Some(1));
    }

    #[test]
    fn input_counts_where_data_differ_and_neither_where_it_would_be_sent() {
        let read = |value: &Value| {
            let asked = message(value, CHAIN_ID).expect("well formed").request.data;
            (asked, sent_data(value.as_object().expect("an object")))
        };
        let bytes = |byte: u8| Bytes::from(vec![byte]);
        let both = object!({ "data": "0x01", "input": "0x02" });
        assert_eq!(read(&both), (bytes(2), Err(DATA_AND_INPUT.to_owned())));
        for (value, byte) in [
            (object!({ "data": "0x01" }), 1),
            (object!({ "input": "0x02" }), 2),
            (object!({ "data": "0x03", "input": "0x03" }), 3),
        ] {
            assert_eq!(read(&value), (bytes(byte), Ok(bytes(byte))), "{value}");
        }
    }

    #[test]
    fn an_empty_text_is_no_data_and_zero_and_no_address() {
        let value = object!({
            "data": "", "input": "", "value": "", "gas": "", "nonce": "", "type": "",
            "maxFeePerGas": "",
        });
        let Message { request, gas, nonce } = message(&value, CHAIN_ID).expect("well formed");
        let price = CallPrice::Dynamic { max: 0, tip: 0 };
        assert_eq!(request, CallRequest { price, ..CallRequest::default() });
        assert_eq!((gas, nonce), (Some(0), Some(0)));
        assert!(message(&object!({ "to": "" }), CHAIN_ID).is_err());
    }

    #[test]
    fn a_contract_is_created_of_something() {
        let (to, code) = (Some(Address::repeat_byte(2)), Bytes::from_static(&[0]));
        assert_eq!(check_creation(to, &Bytes::new()), Ok(()));
        assert_eq!(check_creation(None, &code), Ok(()));
        assert_eq!(check_creation(None, &Bytes::new()), Err(error::refused(NO_DATA)));
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
            (object!({ "gasPrice": "0x1", "maxFeePerGas": "0x1" }), "gasPrice and maxFeePerGas"),
            (object!({ "chainId": "0x8" }), "chainId: this is chain 7"),
            (object!({ "to": "0x12" }), "to: an address has 20 bytes"),
            (object!({ "accessList": 1 }), "accessList: "),
            (object!({ "authorizationList": [1] }), "authorizationList[0]: "),
            (object!({ "authorizationList": [] }), "authorizationList: EIP-7702 transaction with"),
            (
                object!({ "blobVersionedHashes": [] }),
                "blobVersionedHashes: blob transaction missing blob hashes",
            ),
            (
                object!({ "authorizationList": vec![0; AUTHORIZATIONS_MAX + 1] }),
                "authorizationList: 2049 values, want at most 2048",
            ),
            (object!("0x"), "an object is expected"),
        ] {
            let found = message(&wrong, CHAIN_ID).expect_err("refused");
            assert!(found.starts_with(reason), "{found}");
        }
    }
}
