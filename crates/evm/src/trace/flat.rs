//! The calls of a transaction as go-ethereum's `flatCallTracer` lists them: a call before those
//! that it makes, each with its place in the tree.

use crate::{
    Place, TraceOrigin, precompiles,
    trace::words::{REVERTED, of_parity},
};
use alloy_primitives::U64;
use alloy_rpc_types_trace::{
    geth::{CallFrame, FlatCallConfig},
    parity::{Action, CallAction, CallType, CreateAction, CreationMethod, SelfdestructAction},
};
use fugue_types::{Address, B256, Bytes, HashSet};
use serde::Serialize;

/// A call, a creation or a destruction. The published type says of a result that there is none,
/// which go-ethereum leaves out, and of a creation that reverts what a call says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FlatCall {
    /// What was to be done.
    #[serde(flatten)]
    pub action: Action,
    /// Hash of the block; of a message there is none.
    pub block_hash: Option<B256>,
    /// Number of the block.
    pub block_number: u64,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What came of it, unless it was destroyed, or failed without a word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<FlatResult>,
    /// Calls that it made itself.
    pub subtraces: usize,
    /// Its place: the index of each call on the way to it.
    pub trace_address: Vec<usize>,
    /// Hash of the transaction; of a message there is none.
    pub transaction_hash: Option<B256>,
    /// Index of the transaction in its block.
    pub transaction_position: usize,
}

/// What came of a call or of a creation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FlatResult {
    /// The contract that was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<Address>,
    /// Its code, or what the creation reverted with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<Bytes>,
    /// With what its calls used.
    pub gas_used: U64,
    /// What a call gave.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<Bytes>,
}

/// Lists the calls of a tree.
pub(super) fn flat(
    root: CallFrame,
    config: FlatCallConfig,
    place: &Place<'_>,
    origin: TraceOrigin,
) -> Vec<FlatCall> {
    let hidden: HashSet<Address> = if config.include_precompiles.unwrap_or_default() {
        HashSet::default()
    } else {
        precompiles(place.rules).into_values().collect()
    };
    let is_hidden = |call: &CallFrame| {
        matches!(call.typ.as_str(), "CALL" | "STATICCALL")
            && call.to.is_some_and(|to| hidden.contains(&to))
    };
    let mut listed = Vec::new();
    let mut open = vec![(root, Vec::new())];
    while let Some((mut frame, trace_address)) = open.pop() {
        let mut calls = std::mem::take(&mut frame.calls);
        calls.retain(|call| !is_hidden(call));
        let subtraces = calls.len();
        open.extend(calls.into_iter().enumerate().rev().map(|(index, call)| {
            let below = trace_address.iter().copied().chain([index]).collect();
            (call, below)
        }));
        let (action, result, error) = told(frame);
        let error = if config.convert_parity_errors.unwrap_or_default() {
            error.map(of_parity)
        } else {
            error
        };
        listed.push(FlatCall {
            action,
            block_hash: origin.block_hash,
            block_number: place.header.number,
            error,
            result,
            subtraces,
            trace_address,
            transaction_hash: origin.tx_hash,
            transaction_position: origin.tx_index.unwrap_or(0),
        });
    }
    listed
}

fn told(frame: CallFrame) -> (Action, Option<FlatResult>, Option<String>) {
    let CallFrame { typ, from, to, gas, gas_used, input, output, error, value, .. } = frame;
    let (gas, value) = (gas.saturating_to::<u64>(), value.unwrap_or_default());
    let (gas_used, output) =
        (U64::from(gas_used.saturating_to::<u64>()), output.unwrap_or_default());
    let call_type = match typ.as_str() {
        "SELFDESTRUCT" => {
            let refund_address = to.unwrap_or_default();
            let end = SelfdestructAction { address: from, balance: value, refund_address };
            return (Action::Selfdestruct(end), None, error);
        }
        "CREATE" | "CREATE2" => CallType::None,
        "CALLCODE" => CallType::CallCode,
        "DELEGATECALL" => CallType::DelegateCall,
        "STATICCALL" => CallType::StaticCall,
        _ => CallType::Call,
    };
    let has_result = error.as_deref().is_none_or(|error| error == REVERTED);
    let (action, result) = if call_type == CallType::None {
        let is_plain = typ == "CREATE";
        let creation_method =
            if is_plain { CreationMethod::Create } else { CreationMethod::Create2 };
        let action = CreateAction { from, gas, init: input, value, creation_method };
        let result = FlatResult { address: to, code: Some(output), gas_used, output: None };
        (Action::Create(action), result)
    } else {
        let to = to.unwrap_or_default();
        let action = CallAction { from, call_type, gas, input, to, value };
        let result = FlatResult { address: None, code: None, gas_used, output: Some(output) };
        (Action::Call(action), result)
    };
    (action, Some(result).filter(|_| has_result), error)
}
