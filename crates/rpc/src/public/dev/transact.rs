//! Transactions that the node signs: with a key that it has, or in the name of whom it
//! impersonates.

use super::{Done, chain, number, number_u64, of_dev, signing::unknown};
use crate::public::{
    Answer, Context,
    args::{Args, address, field, object, or_zero, published},
    block_ref::{BlockRef, Tag},
    error,
    eth::calls::{at_block, check_creation, sent_data},
    json, wire,
};
use alloy_consensus::{SignableTransaction, Signed, TxEip1559, TxEip2930, TxEip7702, TxLegacy};
use alloy_eips::{
    eip2718::{Decodable2718, Encodable2718},
    eip2930::AccessList,
    eip7702::SignedAuthorization,
    eip7825::MAX_TX_GAS_LIMIT_OSAKA,
};
use alloy_primitives::Signature;
use fugue_chain::DevBlock;
use fugue_evm::{Assumed, CallPrice, CallRequest, EstimateError, Place};
use fugue_txpool::{Added, Origin, PooledTransaction, split};
use fugue_types::{
    Address, B256, Bytes, Transaction, TransactionTrait, TxKind, U256, impersonating,
};
use jsonrpsee::types::ErrorObjectOwned;
use serde_json::{Value, json as value_of};
use std::sync::PoisonError;

/// What a transaction offers above the base fee where it does not say so, in wei.
const TIP_DEFAULT: u128 = 1_000_000_000;
/// Gas of a transfer to an account without code. Source: Yellow Paper, G_transaction.
const TRANSFER_GAS: u64 = 21_000;
/// What the node adds to an estimate, as a part of it: others may come before the transaction, and
/// what it does may depend on them.
const ROOM_PART: u64 = 4;

/// A transaction as a request has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Request {
    from: Option<Address>,
    to: Option<Address>,
    nonce: Option<u64>,
    gas: Option<u64>,
    tx_type: Option<u64>,
    price: Option<u128>,
    max_fee: Option<u128>,
    tip: Option<u128>,
    value: U256,
    input: Bytes,
    access_list: Option<AccessList>,
    authorizations: Vec<SignedAuthorization>,
}

/// Who stands for a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Signer {
    /// A key that the node has.
    Key,
    /// That, or an impersonation that was asked for.
    KeyOrImpersonation,
    /// Whoever it is from.
    Anybody,
}

/// `eth_sendTransaction`.
pub(crate) fn send(context: &Context, args: Args) -> Answer {
    send_by(context, args, Signer::KeyOrImpersonation)
}

/// `eth_sendUnsignedTransaction`: from any account.
pub(crate) fn send_unsigned(context: &Context, args: Args) -> Answer {
    send_by(context, args, Signer::Anybody)
}

fn send_by(context: &Context, mut args: Args, signer: Signer) -> Answer {
    let request = argument(context, &mut args)?;
    args.end()?;
    let dev = context.dev.as_ref();
    // Whoever leaves the nonce to the node has it for himself until his transaction is sent.
    let turn = dev.map(|dev| dev.sending.lock().unwrap_or_else(PoisonError::into_inner));
    let tx = signed(context, request, signer)?;
    check_fee(context, &tx)?;
    let sent = chain(context)?.send(&tx.encoded_2718(), Origin::Local).map_err(error::of_submit)?;
    drop(turn);
    json(&sent.hash)
}

/// Where each transaction has its block at once, one that this cannot have would keep all others of
/// its sender from theirs.
///
/// # Errors
/// If it offers less than the base fee there.
fn check_fee(context: &Context, tx: &Transaction) -> Done {
    let dev = chain(context)?;
    let base_fee = base_fee(context, &dev.next_block().map_err(of_dev)?);
    let max_fee = tx.max_fee_per_gas();
    if dev.status().is_automine && max_fee < base_fee {
        return Err(error::below_base_fee(max_fee, base_fee));
    }
    Ok(())
}

/// `eth_signTransaction`: in the form in which it is sent, and in JSON.
///
/// Source: execution-apis, "SignTransactionResult".
pub(crate) fn sign(context: &Context, mut args: Args) -> Answer {
    let request = argument(context, &mut args)?;
    args.end()?;
    let tx = signed(context, request, Signer::Key)?;
    let raw = Bytes::from(tx.encoded_2718());
    let tx = wire::unsent(&tx).map_err(error::internal)?;
    json(&value_of!({ "raw": raw, "tx": tx }))
}

/// Sends a transaction that was signed elsewhere. What is none is for the pool to refuse.
pub(crate) fn submit(
    context: &Context,
    encoded: &[u8],
    origin: Origin,
) -> Result<Added, ErrorObjectOwned> {
    if let Ok(sent) = PooledTransaction::decode_2718_exact(encoded) {
        check_fee(context, &split(sent).0)?;
    }
    chain(context)?.send(encoded, origin).map_err(error::of_submit)
}

fn argument(context: &Context, args: &mut Args) -> Result<Request, ErrorObjectOwned> {
    let chain_id = context.engine.spec().chain_id();
    args.required("transaction", |value| request(value, chain_id))
}

/// Source: execution-apis, "GenericTransaction".
fn request(value: &Value, chain_id: u64) -> Result<Request, String> {
    let fields = object(value)?;
    if let Some(found) = field(fields, "chainId", number)?
        && found != U256::from(chain_id)
    {
        return Err(format!("chainId: this is chain {chain_id}, not {found}"));
    }
    for name in ["blobVersionedHashes", "blobs", "maxFeePerBlobGas"] {
        field(fields, name, |_| Err::<(), _>("blobs are not supported here".to_owned()))?;
    }
    let request = Request {
        from: field(fields, "from", address)?,
        to: field(fields, "to", address)?,
        nonce: field(fields, "nonce", or_zero(number_u64))?,
        gas: field(fields, "gas", or_zero(number_u64))?,
        tx_type: field(fields, "type", or_zero(number_u64))?,
        price: field(fields, "gasPrice", or_zero(number_u128))?,
        max_fee: field(fields, "maxFeePerGas", or_zero(number_u128))?,
        tip: field(fields, "maxPriorityFeePerGas", or_zero(number_u128))?,
        value: field(fields, "value", or_zero(number))?.unwrap_or_default(),
        input: sent_data(fields)?,
        access_list: field(fields, "accessList", published::<AccessList>)?,
        authorizations: field(fields, "authorizationList", published::<Vec<SignedAuthorization>>)?
            .unwrap_or_default(),
    };
    if request.price.is_some() && (request.max_fee.is_some() || request.tip.is_some()) {
        return Err("gasPrice and maxFeePerGas or maxPriorityFeePerGas are given".to_owned());
    }
    if !request.authorizations.is_empty() && request.to.is_none() {
        return Err("to: missing, and authorizations create no contract".to_owned());
    }
    Ok(request)
}

fn number_u128(value: &Value) -> Result<u128, String> {
    u128::try_from(number(value)?).map_err(|_| "number > 128 bits".to_owned())
}

/// The transaction with all that the request leaves to the node, signed.
fn signed(
    context: &Context,
    request: Request,
    signer: Signer,
) -> Result<Transaction, ErrorObjectOwned> {
    let dev = chain(context)?;
    let first = || dev.accounts().first().copied().unwrap_or_default();
    let from = request.from.unwrap_or_else(first);
    let has_key = dev.sign(from, B256::ZERO).is_some();
    let may_send = match signer {
        Signer::Key => has_key,
        Signer::KeyOrImpersonation => has_key || dev.is_impersonated(from),
        Signer::Anybody => true,
    };
    if !may_send {
        return Err(unknown(from));
    }
    check_creation(request.to, &request.input)?;
    let price = price(context, &dev.next_block().map_err(of_dev)?, &request);
    if let Price::Dynamic { max, tip } = price
        && max < tip
    {
        return Err(error::tip_above_fee_cap(max, tip));
    }
    let gas = match request.gas {
        Some(gas) => gas,
        None => gas(context, from, &request, price)?,
    };
    let nonce = match request.nonce {
        Some(nonce) => nonce,
        None => context.next_nonce(from)?,
    };
    let draft = Draft { chain_id: context.engine.spec().chain_id(), nonce, gas, price };
    Ok(draft.signed(request, |hash| dev.sign(from, hash).unwrap_or_else(|| impersonating(from))))
}

/// What it needs in the next block, and some room. If it would fail, as much as it may have: the
/// block then says so.
fn gas(
    context: &Context,
    from: Address,
    request: &Request,
    price: Price,
) -> Result<u64, ErrorObjectOwned> {
    let message = CallRequest {
        from,
        to: request.to,
        price: CallPrice::Free,
        value: request.value,
        data: request.input.clone(),
        access_list: request.access_list.clone(),
        authorizations: request.authorizations.clone(),
        ..CallRequest::default()
    };
    let asked = at_block(context, &BlockRef::Tag(Tag::Pending), |header, state| {
        let rules = context.engine.spec().rules(&header);
        let most = header.gas_limit.min(MAX_TX_GAS_LIMIT_OSAKA);
        let balance = state.account(from)?.unwrap_or_default().balance;
        let message = CallRequest { gas: most.min(context.limits.call_gas_max), ..message };
        let (codes, assumed) = (&*context.codes, &Assumed::default());
        let place = Place { rules: &rules, header: &header, codes, view: state, assumed };
        Ok((fugue_evm::estimate_gas(&place, &message), most, balance))
    })?;
    let (estimated, most, balance) = asked.map_err(error::of_state)?;
    let funds = balance.saturating_sub(request.value);
    match estimated {
        Ok(gas) => Ok(with_room(gas, most, price.affords(funds))),
        Err(EstimateError::Failed(_) | EstimateError::Allowance(_)) => {
            // Who cannot even pay for the least is told so.
            let affordable = Some(price.affords(funds)).filter(|gas| *gas >= TRANSFER_GAS);
            Ok(affordable.unwrap_or(most).min(most))
        }
        Err(EstimateError::Call(error)) => Err(error::of_call(error)),
    }
}

/// An estimate with what is added to it, as far as that may be and can be paid. A transfer needs
/// what it needs.
fn with_room(estimate: u64, most: u64, affordable: u64) -> u64 {
    if estimate <= TRANSFER_GAS {
        return estimate;
    }
    let roomy = estimate.saturating_add(estimate / ROOM_PART);
    roomy.min(most).min(affordable).max(estimate)
}

/// What a transaction offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Price {
    /// Before EIP-1559.
    Fixed(u128),
    Dynamic {
        max: u128,
        tip: u128,
    },
}

impl Price {
    /// The gas that so many wei pay for.
    fn affords(self, funds: U256) -> u64 {
        let (Self::Fixed(price) | Self::Dynamic { max: price, .. }) = self;
        funds.checked_div(U256::from(price)).map_or(u64::MAX, |gas| gas.saturating_to())
    }
}

/// What the request offers, or what the next block takes, and the one after it still would.
fn price(context: &Context, next: &DevBlock, request: &Request) -> Price {
    if let Some(price) = request.price {
        return Price::Fixed(price);
    }
    offer(base_fee(context, next), request)
}

/// What the next block takes for a unit of gas, in wei.
fn base_fee(context: &Context, next: &DevBlock) -> u128 {
    next.base_fee.unwrap_or(context.engine.pool().head().base_fee).into()
}

fn offer(base_fee: u128, request: &Request) -> Price {
    let Request { tx_type, max_fee, tip, authorizations, .. } = request;
    let names_none = max_fee.is_none() && tip.is_none();
    if matches!(tx_type, Some(0 | 1)) && names_none && authorizations.is_empty() {
        return Price::Fixed(base_fee.saturating_mul(2).saturating_add(TIP_DEFAULT));
    }
    let tip = tip.unwrap_or_else(|| max_fee.map_or(TIP_DEFAULT, |max| max.min(TIP_DEFAULT)));
    let max = max_fee.unwrap_or_else(|| base_fee.saturating_mul(2).saturating_add(tip));
    Price::Dynamic { max, tip }
}

/// What the node adds to a request.
#[derive(Debug, Clone, Copy)]
struct Draft {
    chain_id: u64,
    nonce: u64,
    gas: u64,
    price: Price,
}

impl Draft {
    /// Of the oldest type of transaction that has its fields.
    fn signed(self, request: Request, sign: impl Fn(B256) -> Signature) -> Transaction {
        let Self { chain_id, nonce, gas: gas_limit, price } = self;
        let Request { to, value, input, access_list, authorizations, tx_type, .. } = request;
        let kind = to.map_or(TxKind::Create, TxKind::Call);
        // A fixed price is the highest fee and the tip at once. Source: EIP-1559.
        let (max_fee_per_gas, max_priority_fee_per_gas) = match price {
            Price::Fixed(price) => (price, price),
            Price::Dynamic { max, tip } => (max, tip),
        };
        if let (Some(to), false) = (to, authorizations.is_empty()) {
            let access_list = access_list.unwrap_or_default();
            let tx = TxEip7702 {
                chain_id,
                nonce,
                gas_limit,
                max_fee_per_gas,
                max_priority_fee_per_gas,
                to,
                value,
                access_list,
                authorization_list: authorizations,
                input,
            };
            return Transaction::Eip7702(seal(tx, sign));
        }
        match (price, access_list) {
            (Price::Fixed(gas_price), None) if tx_type != Some(1) => {
                let chain_id = Some(chain_id);
                let tx = TxLegacy { chain_id, nonce, gas_price, gas_limit, to: kind, value, input };
                Transaction::Legacy(seal(tx, sign))
            }
            (Price::Fixed(gas_price), access_list) => {
                let access_list = access_list.unwrap_or_default();
                let to = kind;
                let tx = TxEip2930 {
                    chain_id,
                    nonce,
                    gas_price,
                    gas_limit,
                    to,
                    value,
                    access_list,
                    input,
                };
                Transaction::Eip2930(seal(tx, sign))
            }
            (Price::Dynamic { .. }, access_list) => {
                let tx = TxEip1559 {
                    chain_id,
                    nonce,
                    gas_limit,
                    max_fee_per_gas,
                    max_priority_fee_per_gas,
                    to: kind,
                    value,
                    access_list: access_list.unwrap_or_default(),
                    input,
                };
                Transaction::Eip1559(seal(tx, sign))
            }
        }
    }
}

fn seal<T: SignableTransaction<Signature>>(tx: T, sign: impl Fn(B256) -> Signature) -> Signed<T> {
    let signature = sign(tx.signature_hash());
    tx.into_signed(signature)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fugue_types::{Typed2718, impersonated};
    use serde_json::json as object;

    const FROM: Address = Address::repeat_byte(7);

    /// The type of the transaction that a request becomes.
    fn made(value: &Value) -> u8 {
        let request = request(value, 7).expect("well formed");
        let price = request.price.map_or_else(|| offer(5, &request), Price::Fixed);
        let draft = Draft { chain_id: 7, nonce: 1, gas: 21_000, price };
        let tx = draft.signed(request, |_| impersonating(FROM));
        assert_eq!(impersonated(tx.signature()), Some(FROM));
        tx.ty()
    }

    #[test]
    fn the_fields_tell_the_type() {
        let grant = object!([{
            "chainId": "0x7", "address": FROM, "nonce": "0x0", "yParity": "0x0", "r": "0x1",
            "s": "0x1",
        }]);
        for (value, expected) in [
            (object!({}), 2),
            (object!({ "gasPrice": "0x1" }), 0),
            (object!({ "gasPrice": "0x1", "accessList": [] }), 1),
            (object!({ "type": "0x0" }), 0),
            (object!({ "type": "0x1" }), 1),
            (object!({ "maxFeePerGas": "0x1", "accessList": [] }), 2),
            (object!({ "to": FROM, "authorizationList": grant, "gasPrice": 1 }), 4),
        ] {
            assert_eq!(made(&value), expected, "{value}");
        }
    }

    #[test]
    fn an_empty_text_is_zero_as_in_a_call() {
        let zeros =
            Request { nonce: Some(0), gas: Some(0), tx_type: Some(0), ..Request::default() };
        let fixed = object!({ "nonce": "", "gas": "", "type": "", "value": "", "gasPrice": "" });
        assert_eq!(request(&fixed, 7), Ok(Request { price: Some(0), ..zeros.clone() }));
        let dynamic = object!({
            "nonce": "", "gas": "", "type": "", "maxFeePerGas": "", "maxPriorityFeePerGas": "",
        });
        assert_eq!(request(&dynamic, 7), Ok(Request { max_fee: Some(0), tip: Some(0), ..zeros }));
        assert!(request(&object!({ "to": "" }), 7).is_err());
    }

    #[test]
    fn an_offer_reaches_the_base_fee_and_keeps_what_is_said() {
        let offered = |value: Value| offer(100, &request(&value, 7).expect("well formed"));
        let of = |max, tip| Price::Dynamic { max, tip };
        assert_eq!(offered(object!({})), of(200 + TIP_DEFAULT, TIP_DEFAULT));
        assert_eq!(offered(object!({ "maxFeePerGas": 9 })), of(9, 9));
        assert_eq!(offered(object!({ "maxPriorityFeePerGas": 3 })), of(203, 3));
        assert_eq!(offered(object!({ "type": 0 })), Price::Fixed(200 + TIP_DEFAULT));
    }

    #[test]
    fn an_estimate_gets_room_that_may_be_and_can_be_paid() {
        for (estimate, most, affordable, expected) in [
            (21_000, 30_000, u64::MAX, 21_000),
            (40_000, 60_000, u64::MAX, 50_000),
            (40_000, 45_000, u64::MAX, 45_000),
            (40_000, 60_000, 42_000, 42_000),
            // Nothing is left out of what it needs: the pool says that it cannot be paid.
            (40_000, 60_000, 7, 40_000),
        ] {
            assert_eq!(with_room(estimate, most, affordable), expected, "{estimate} {affordable}");
        }
        let funds = U256::from(1_000);
        assert_eq!(Price::Fixed(10).affords(funds), 100);
        assert_eq!(Price::Dynamic { max: 300, tip: 1 }.affords(funds), 3);
        assert_eq!(Price::Fixed(0).affords(funds), u64::MAX);
        assert_eq!(Price::Fixed(1).affords(U256::MAX), u64::MAX);
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        for (wrong, reason) in [
            (object!({ "data": "0x01", "input": "0x02" }), "both \"data\" and \"input\" are set"),
            (object!({ "gasPrice": "0x1", "maxFeePerGas": "0x1" }), "gasPrice and maxFeePerGas"),
            (object!({ "chainId": "0x8" }), "chainId: this is chain 7"),
            (object!({ "blobs": [] }), "blobs: blobs are not supported"),
            (object!("0x"), "an object is expected"),
        ] {
            let found = request(&wrong, 7).expect_err("refused");
            assert!(found.starts_with(reason), "{found}");
        }
    }
}
