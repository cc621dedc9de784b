//! A transaction whose missing fields are filled, to be signed by whoever has the key:
//! `eth_fillTransaction`.
//!
//! What is filled is what go-ethereum fills: the nonce after the sender's transactions in the pool,
//! a suggested tip, twice the base fee above it, twice the blob base fee, and an estimate of gas.
//! Blobs get commitments, hashes, and the proofs that the next block's fork asks for.

use super::{
    calls::{self, Message},
    fees,
};
use crate::public::{
    Answer, Context,
    args::{
        Args, bytes, field, list, object, or_zero, published, quantity_u64, quantity_u128, under,
    },
    error::{self, invalid_argument, refused},
    json, wire,
};
use alloy_consensus::{
    Signed, TxEip1559, TxEip2930, TxEip4844, TxEip7702, TxLegacy, transaction::RlpEcdsaEncodableTx,
};
use alloy_eips::{
    eip2718::Encodable2718,
    eip4844::{BYTES_PER_BLOB, Blob, BlobTransactionSidecar, Bytes48},
    eip7594::BlobTransactionSidecarEip7594,
};
use alloy_primitives::Signature;
use alloy_rlp::{EMPTY_STRING_CODE, Header as RlpHeader};
use fugue_chainspec::Rules;
use fugue_evm::{CallPrice, CallRequest};
use fugue_txpool::{
    PooledTransaction, Sidecar, SidecarForm, check_proofs, check_sidecar, prove_blobs,
};
use fugue_types::{B256, Bytes, Transaction, TxKind, Typed2718, U256, keccak256};
use jsonrpsee::types::ErrorObjectOwned;
use serde_json::{Map, Value, json as value_of};

/// Times the base fee that a transaction offers, so that it outlives a few full blocks.
const BASE_FEES: u128 = 2;

/// The name of the argument.
const TRANSACTION: &str = "transaction";

/// EIP-2718 types.
const LEGACY: u64 = 0;
const LISTED: u64 = 1;
const DYNAMIC: u64 = 2;
const BLOBS: u64 = 3;
const DELEGATING: u64 = 4;

/// A transaction as a request has it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wish {
    message: Message,
    /// Its EIP-2718 type.
    kind: u64,
    /// Whether the request gives its type, or has a field of that type alone.
    is_kind_given: bool,
    gas_price: Option<u128>,
    max_fee: Option<u128>,
    tip: Option<u128>,
    /// Its blobs, if it came with them.
    blobs: Option<Blobs>,
}

/// Blobs as a request has them.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Blobs {
    /// With commitments and proofs, which have to be verified still.
    Proven(Sidecar),
    /// Ours are to be made.
    Bare(Vec<Blob>),
}

/// `eth_fillTransaction`.
pub(crate) fn fill_transaction(context: &Context, mut args: Args) -> Answer {
    let head = fees::head(&context.view())?;
    // Those of the earliest next block, by which the pool judges.
    let (number, time) = (head.number.saturating_add(1), head.timestamp.saturating_add(1));
    let rules = context.engine.spec().rules_at(number, time);
    let mut wish = args.required(TRANSACTION, |value| wish(value, &rules))?;
    args.end()?;
    calls::check_creation(wish.message.request.to, &wish.message.request.data)?;
    let sidecar = wish.proven(context, &rules)?;
    let request = priced(context, &wish)?;
    let nonce = match wish.message.nonce {
        Some(nonce) => nonce,
        None => context.next_nonce(request.from)?,
    };
    let gas = match wish.message.gas {
        Some(gas) => gas,
        None => {
            let message = Message { request: request.clone(), ..wish.message };
            calls::estimate(context, message)?
        }
    };
    let (mut raw, tx) = unsigned(&request, rules.chain_id, nonce, gas)?;
    let mut told = wired(&tx).map_err(error::internal)?;
    if let (Transaction::Eip4844(unsigned), Some(sidecar)) = (&tx, sidecar) {
        told["blobs"] = value_of!(sidecar.blobs());
        told["commitments"] = value_of!(sidecar.commitments());
        told["proofs"] = value_of!(proofs(&sidecar));
        raw = with_sidecar(unsigned, sidecar);
    }
    json(&value_of!({ "raw": raw, "tx": told }))
}

/// Source: execution-apis, "GenericTransaction".
fn wish(value: &Value, rules: &Rules) -> Result<Wish, String> {
    let fields = object(value)?;
    let message = calls::message(value, rules.chain_id)?;
    calls::sent_data(fields)?;
    let blobs = given_blobs(fields, &message.request.blob_hashes, rules)?;
    let gas_price = field(fields, "gasPrice", or_zero(quantity_u128))?;
    let max_fee = field(fields, "maxFeePerGas", or_zero(quantity_u128))?;
    let tip = field(fields, "maxPriorityFeePerGas", or_zero(quantity_u128))?;
    let given = field(fields, "type", or_zero(quantity_u64))?;
    let has_blobs = blobs.is_some() || !message.request.blob_hashes.is_empty();
    let kind = kind(&message.request, has_blobs, given, gas_price.is_some())?;
    let has_own_field = gas_price.is_some() || max_fee.is_some() || tip.is_some();
    let is_kind_given = given.is_some() || has_own_field || kind > DYNAMIC;
    Ok(Wish { message, kind, is_kind_given, gas_price, max_fee, tip, blobs })
}

impl Wish {
    /// Its blobs with what proves them; its hashes are theirs from then on.
    fn proven(
        &mut self,
        context: &Context,
        rules: &Rules,
    ) -> Result<Option<Sidecar>, ErrorObjectOwned> {
        let Some(blobs) = self.blobs.take() else { return Ok(None) };
        let named = &mut self.message.request.blob_hashes;
        let check = || context.patience.check();
        let sidecar = match blobs {
            Blobs::Proven(sidecar) => {
                check()?;
                let hashes: Vec<B256> = sidecar.versioned_hashes().collect();
                let checked = check_proofs(&hashes, &sidecar);
                checked.map_err(|error| wrong(&under("proofs", &error.to_string())))?;
                sidecar
            }
            Blobs::Bare(blobs) => {
                let sidecar = prove(blobs, SidecarForm::at(rules), check)?;
                check_named(named, &sidecar, rules).map_err(|reason| wrong(&reason))?;
                sidecar
            }
        };
        *named = sidecar.versioned_hashes().collect();
        Ok(Some(sidecar))
    }
}

fn wrong(reason: &str) -> ErrorObjectOwned {
    invalid_argument(0, TRANSACTION, reason)
}

/// Blobs with our commitments and proofs. A blob may take a large part of a second: `check` says
/// before each whether the work goes on.
fn prove(
    blobs: Vec<Blob>,
    form: SidecarForm,
    check: impl Fn() -> Result<(), ErrorObjectOwned>,
) -> Result<Sidecar, ErrorObjectOwned> {
    let (mut commitments, mut all_proofs) = (Vec::new(), Vec::new());
    for blob in blobs.chunks(1) {
        check()?;
        let proven = prove_blobs(blob.to_vec(), form);
        let proven = proven.map_err(|error| wrong(&under("blobs", &error.to_string())))?;
        commitments.extend_from_slice(proven.commitments());
        all_proofs.extend_from_slice(proofs(&proven));
    }
    Ok(of_form(form, blobs, commitments, all_proofs))
}

fn proofs(sidecar: &Sidecar) -> &[Bytes48] {
    match sidecar {
        Sidecar::Eip4844(sidecar) => &sidecar.proofs,
        Sidecar::Eip7594(sidecar) => &sidecar.cell_proofs,
    }
}

/// Judges a sidecar by the hashes that are given, if any are.
fn check_named(named: &[B256], sidecar: &Sidecar, rules: &Rules) -> Result<(), String> {
    let found: Vec<B256> = sidecar.versioned_hashes().collect();
    let hashes = if named.is_empty() { &found[..] } else { named };
    check_sidecar(hashes, sidecar, rules).map_err(|error| error.to_string())
}

/// The blobs of a transaction, with the commitments and proofs that it has. Proofs of the form
/// before Osaka make way for ours from then on.
///
/// Source: go-ethereum, `internal/ethapi/transaction_args.go`, `setBlobTxSidecar`.
fn given_blobs(
    fields: &Map<String, Value>,
    named: &[B256],
    rules: &Rules,
) -> Result<Option<Blobs>, String> {
    let form = SidecarForm::at(rules);
    let most =
        rules.blob_params.map_or(0, |params| params.max_blob_count.min(params.max_blobs_per_tx));
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let points_max = most.saturating_mul(form.proofs_per_blob());
    let points = |value: &Value| list(value, points_max, published::<Bytes48>);
    let blobs = field(fields, "blobs", |value| blobs(value, most))?;
    let commitments = field(fields, "commitments", points)?;
    let proofs = field(fields, "proofs", points)?;
    let Some(blobs) = blobs else {
        return match commitments.or(proofs) {
            Some(_) => Err("blobs: missing, where there are commitments or proofs".to_owned()),
            None => Ok(None),
        };
    };
    match (commitments, proofs) {
        (None, Some(_)) => Err("commitments: missing, where there are proofs".to_owned()),
        (Some(_), None) => Err("proofs: missing, where there are commitments".to_owned()),
        (Some(commitments), Some(proofs))
            if form == SidecarForm::BlobProofs || proofs.len() != blobs.len() =>
        {
            let sidecar = of_form(form, blobs, commitments, proofs);
            check_named(named, &sidecar, rules)?;
            Ok(Some(Blobs::Proven(sidecar)))
        }
        _ => Ok(Some(Blobs::Bare(blobs))),
    }
}

/// As many as a transaction may have, and one at least.
fn blobs(value: &Value, max: usize) -> Result<Vec<Blob>, String> {
    let given = list(value, max, |value| match bytes(value)? {
        blob if blob.len() == BYTES_PER_BLOB => Ok(blob),
        other => Err(format!("a blob has {BYTES_PER_BLOB} bytes, this has {}", other.len())),
    })?;
    if given.is_empty() {
        return Err("need at least 1 blob for a blob transaction".to_owned());
    }
    // Each goes to its place at once: a few copies would fill the stack.
    let mut blobs = vec![Blob::ZERO; given.len()];
    for (blob, given) in blobs.iter_mut().zip(&given) {
        blob.0.copy_from_slice(given);
    }
    Ok(blobs)
}

fn of_form(
    form: SidecarForm,
    blobs: Vec<Blob>,
    commitments: Vec<Bytes48>,
    proofs: Vec<Bytes48>,
) -> Sidecar {
    match form {
        SidecarForm::BlobProofs => BlobTransactionSidecar::new(blobs, commitments, proofs).into(),
        SidecarForm::CellProofs => {
            BlobTransactionSidecarEip7594::new(blobs, commitments, proofs).into()
        }
    }
}

/// The type that has these fields.
fn kind(
    request: &CallRequest,
    has_blobs: bool,
    given: Option<u64>,
    has_price: bool,
) -> Result<u64, String> {
    let has_list = request.access_list.is_some();
    let has_grants = !request.authorizations.is_empty();
    if has_blobs && has_grants {
        return Err("blobVersionedHashes and authorizationList are given".to_owned());
    }
    if (has_blobs || has_grants) && has_price {
        return Err("gasPrice does not go with blobs or authorizations".to_owned());
    }
    let is_dynamic = matches!(request.price, CallPrice::Dynamic { .. });
    let is_fixed = has_price || matches!(given, Some(LEGACY | LISTED));
    let found = match (has_grants, has_blobs) {
        (true, _) => DELEGATING,
        (_, true) => BLOBS,
        _ if is_dynamic || !is_fixed => DYNAMIC,
        _ if has_list || given == Some(LISTED) => LISTED,
        _ => LEGACY,
    };
    match given {
        Some(given) if given != found => {
            Err(format!("type: {given} is given, the other fields are those of type {found}"))
        }
        _ if found > DYNAMIC && request.to.is_none() => {
            Err("to: blobs and authorizations need somebody to be sent to".to_owned())
        }
        _ => Ok(found),
    }
}

/// The message with all that it offers.
fn priced(context: &Context, wish: &Wish) -> Result<CallRequest, ErrorObjectOwned> {
    let view = context.view();
    let head = fees::head(&view)?;
    let mut request = wish.message.request.clone();
    // Before London there is but one kind of price.
    let is_fixed = wish.kind <= LISTED || (!wish.is_kind_given && head.base_fee_per_gas.is_none());
    let base_fee = fees::base_fee_to_offer(context, &head)?;
    let tip = match (wish.tip, wish.gas_price) {
        (Some(tip), _) => tip,
        // Nothing has to be looked for.
        (None, Some(_)) => 0,
        (None, None) => fees::suggested_tip(context, &view)?,
    };
    request.price = if is_fixed {
        CallPrice::Fixed(wish.gas_price.unwrap_or_else(|| base_fee.saturating_add(tip)))
    } else {
        let twice = base_fee.saturating_mul(BASE_FEES);
        let max = wish.max_fee.unwrap_or_else(|| twice.saturating_add(tip));
        // A suggestion gives way to what is given.
        let tip = if wish.tip.is_none() { tip.min(max) } else { tip };
        if max < tip {
            let message = format!("maxFeePerGas ({max}) < maxPriorityFeePerGas ({tip})");
            return Err(refused(message));
        }
        CallPrice::Dynamic { max, tip }
    };
    if wish.kind == LISTED {
        // The list makes the type.
        request.access_list.get_or_insert_default();
    }
    if wish.kind == BLOBS && request.max_fee_per_blob_gas.is_none() {
        let fee = fees::next_blob_fee(&view, &head);
        let fee = fee.ok_or_else(|| refused("the chain has no blobs yet"))?;
        request.max_fee_per_blob_gas = Some(fee.saturating_mul(BASE_FEES));
    }
    Ok(request)
}

/// The transaction that nobody has signed, and its encoding: `v`, `r` and `s` are zero.
fn unsigned(
    request: &CallRequest,
    chain_id: u64,
    nonce: u64,
    gas_limit: u64,
) -> Result<(Bytes, Transaction), ErrorObjectOwned> {
    let to = request.to.map_or(TxKind::Create, TxKind::Call);
    let (value, input) = (request.value, request.data.clone());
    let access_list = request.access_list.clone();
    let recipient = || request.to.ok_or_else(|| refused("there is no recipient"));
    let (max_fee_per_gas, max_priority_fee_per_gas) = match request.price {
        CallPrice::Dynamic { max, tip } => (max, tip),
        CallPrice::Free | CallPrice::Fixed(_) => {
            let gas_price = if let CallPrice::Fixed(price) = request.price { price } else { 0 };
            return Ok(match access_list {
                Some(access_list) => encoded(
                    TxEip2930 {
                        chain_id,
                        nonce,
                        gas_price,
                        gas_limit,
                        to,
                        value,
                        access_list,
                        input,
                    },
                    Transaction::Eip2930,
                ),
                None => {
                    let chain_id = Some(chain_id);
                    let tx = TxLegacy { chain_id, nonce, gas_price, gas_limit, to, value, input };
                    encoded(tx, Transaction::Legacy)
                }
            });
        }
    };
    let access_list = access_list.unwrap_or_default();
    if !request.authorizations.is_empty() {
        let tx = TxEip7702 {
            chain_id,
            nonce,
            gas_limit,
            max_fee_per_gas,
            max_priority_fee_per_gas,
            to: recipient()?,
            value,
            access_list,
            authorization_list: request.authorizations.clone(),
            input,
        };
        return Ok(encoded(tx, Transaction::Eip7702));
    }
    if !request.blob_hashes.is_empty() {
        let tx = TxEip4844 {
            chain_id,
            nonce,
            gas_limit,
            max_fee_per_gas,
            max_priority_fee_per_gas,
            to: recipient()?,
            value,
            access_list,
            blob_versioned_hashes: request.blob_hashes.clone(),
            max_fee_per_blob_gas: request.max_fee_per_blob_gas.unwrap_or_default(),
            input,
        };
        return Ok(encoded(tx, Transaction::Eip4844));
    }
    let tx = TxEip1559 {
        chain_id,
        nonce,
        gas_limit,
        max_fee_per_gas,
        max_priority_fee_per_gas,
        to,
        value,
        access_list,
        input,
    };
    Ok(encoded(tx, Transaction::Eip1559))
}

/// The form in which it is sent. Source: EIP-4844, EIP-7594, "Networking".
fn with_sidecar(unsigned: &Signed<TxEip4844>, sidecar: Sidecar) -> Bytes {
    let tx = unsigned.tx().clone().with_sidecar(sidecar);
    let unsigned = Signed::new_unchecked(tx, *unsigned.signature(), *unsigned.hash());
    PooledTransaction::Eip4844(unsigned).encoded_2718().into()
}

/// Source: EIP-2718; the three empty strings at the end are `v`, `r` and `s`.
fn encoded<T: RlpEcdsaEncodableTx>(
    tx: T,
    envelope: fn(Signed<T>) -> Transaction,
) -> (Bytes, Transaction) {
    let mut raw = Vec::new();
    if u64::from(tx.ty()) != LEGACY {
        raw.push(tx.ty());
    }
    let signature = [EMPTY_STRING_CODE; 3];
    let payload_length = tx.rlp_encoded_fields_length().saturating_add(signature.len());
    RlpHeader { list: true, payload_length }.encode(&mut raw);
    tx.rlp_encode_fields(&mut raw);
    raw.extend(signature);
    let hash = keccak256(&raw);
    let signature = Signature::new(U256::ZERO, U256::ZERO, false);
    (raw.into(), envelope(Signed::new_unchecked(tx, signature, hash)))
}

/// The transaction in JSON, without what only a signed one has.
fn wired(tx: &Transaction) -> Result<Value, serde_json::Error> {
    let mut value = wire::unsent(tx)?;
    if let Some(fields) = value.as_object_mut()
        && u64::from(tx.ty()) == LEGACY
    {
        // The published type makes one of the chain id.
        fields.insert("v".to_owned(), value_of!(U256::ZERO));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fugue_chainspec::{ChainSpec, Fork};
    use fugue_types::Address;
    use std::cell::Cell;

    const CHAIN_ID: u64 = 7;

    fn wished(value: Value) -> Result<Wish, String> {
        wish(&value, &ChainSpec::at_fork(CHAIN_ID, Fork::Osaka).rules_at(1, 1))
    }

    fn request(price: CallPrice) -> CallRequest {
        let to = Some(Address::repeat_byte(2));
        CallRequest { to, price, value: U256::from(5), ..CallRequest::default() }
    }

    #[test]
    fn the_type_follows_from_the_fields() {
        let hash = B256::repeat_byte(1);
        let to = Address::repeat_byte(2);
        for (value, kind) in [
            (value_of!({}), DYNAMIC),
            (value_of!({ "accessList": [] }), DYNAMIC),
            (value_of!({ "gasPrice": "0x1" }), LEGACY),
            (value_of!({ "gasPrice": "0x1", "accessList": [] }), LISTED),
            (value_of!({ "type": "0x0" }), LEGACY),
            (value_of!({ "type": "0x1" }), LISTED),
            (value_of!({ "type": "0x1", "gasPrice": "0x1" }), LISTED),
            (value_of!({ "maxFeePerGas": "0x1" }), DYNAMIC),
            (value_of!({ "to": to, "blobVersionedHashes": [hash] }), BLOBS),
        ] {
            assert_eq!(wished(value.clone()).map(|wish| wish.kind), Ok(kind), "{value}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let hash = B256::repeat_byte(1);
        let (blob, point) = (Bytes::from(vec![1; BYTES_PER_BLOB]), Bytes48::ZERO);
        for (value, reason) in [
            (value_of!({ "data": "0x01", "input": "0x02" }), "both \"data\" and \"input\""),
            (value_of!({ "type": "0x2", "gasPrice": "0x1" }), "type: 2 is given"),
            (value_of!({ "type": "0x9" }), "type: 9 is given"),
            (value_of!({ "blobVersionedHashes": [hash] }), "to: "),
            (value_of!({ "gasPrice": "0x1", "blobVersionedHashes": [hash] }), "gasPrice does not"),
            (value_of!({ "blobs": [] }), "blobs: need at least 1 blob"),
            (value_of!({ "blobs": ["0x00"] }), "blobs[0]: a blob has 131072 bytes, this has 1"),
            (value_of!({ "blobs": vec!["0x"; 7] }), "blobs: 7 values, want at most 6"),
            (value_of!({ "commitments": [point] }), "blobs: missing"),
            (value_of!({ "blobs": [blob], "commitments": [point] }), "proofs: missing"),
            (value_of!({ "blobs": [blob], "proofs": [point] }), "commitments: missing"),
            (value_of!({ "blobs": [blob], "proofs": ["0x1"] }), "proofs[0]: "),
            (
                value_of!({ "blobs": [blob], "commitments": [point], "proofs": [point, point] }),
                "invalid number of blobs, commitments or proofs: 1, 1 and 2 for 1 blob hashes",
            ),
            (value_of!({ "gasPrice": "0x1", "maxFeePerGas": "0x1" }), "gasPrice and maxFeePerGas"),
        ] {
            let found = wished(value).expect_err("refused");
            assert!(found.starts_with(reason), "{found}");
        }
    }

    #[test]
    fn an_empty_text_is_zero_as_in_a_call() {
        let wish = wished(value_of!({ "type": "", "nonce": "", "gasPrice": "" }));
        let wish = wish.expect("well formed");
        let found = (wish.kind, wish.message.nonce, wish.gas_price);
        assert_eq!(found, (LEGACY, Some(0), Some(0)));
        let wish = wished(value_of!({ "maxFeePerGas": "", "maxPriorityFeePerGas": "" }));
        let wish = wish.expect("well formed");
        assert_eq!((wish.kind, wish.max_fee, wish.tip), (DYNAMIC, Some(0), Some(0)));
    }

    #[test]
    fn blobs_are_proven_one_after_the_other_while_somebody_waits() {
        let blobs = vec![Blob::repeat_byte(1), Blob::repeat_byte(2)];
        for form in [SidecarForm::BlobProofs, SidecarForm::CellProofs] {
            // Whoever asks is told so many times to go on.
            let prove_while = |most: u32| {
                let asked = Cell::new(0);
                prove(blobs.clone(), form, || {
                    asked.set(asked.get() + 1);
                    if asked.get() > most { Err(refused("enough")) } else { Ok(()) }
                })
            };
            let at_once = prove_blobs(blobs.clone(), form).expect("field elements");
            assert!(prove_while(2) == Ok(at_once), "{form}");
            assert!(prove_while(1) == Err(refused("enough")), "{form}");
        }
    }

    #[test]
    fn an_unsigned_transaction_ends_with_three_empty_strings() {
        let fixed = request(CallPrice::Fixed(9));
        let (raw, tx) = unsigned(&fixed, CHAIN_ID, 3, 21_000).expect("a transaction");
        // Nonce, price, gas, recipient, value, no data; no signature.
        let mut expected = vec![0xdf, 3, 9, 0x82, 0x52, 0x08, 0x94];
        expected.extend([2; 20]);
        expected.extend([5, 0x80, 0x80, 0x80, 0x80]);
        assert_eq!(raw, Bytes::from(expected));
        assert_eq!(*tx.hash(), keccak256(&raw));
        let value = wired(&tx).expect("JSON");
        for (name, expected) in
            [("v", "0x0"), ("r", "0x0"), ("s", "0x0"), ("gasPrice", "0x9"), ("nonce", "0x3")]
        {
            assert_eq!(value[name], expected, "{name}: {value}");
        }

        let dynamic = request(CallPrice::Dynamic { max: 9, tip: 1 });
        let (raw, tx) = unsigned(&dynamic, CHAIN_ID, 3, 21_000).expect("a transaction");
        assert_eq!((raw[0], &raw[raw.len() - 3..]), (2, &[EMPTY_STRING_CODE; 3][..]));
        let value = wired(&tx).expect("JSON");
        for (name, expected) in [
            ("type", "0x2"),
            ("chainId", "0x7"),
            ("gas", "0x5208"),
            ("maxFeePerGas", "0x9"),
            ("maxPriorityFeePerGas", "0x1"),
            ("gasPrice", "0x9"),
            ("yParity", "0x0"),
        ] {
            assert_eq!(value[name], expected, "{name}: {value}");
        }
    }
}
