//! `eth_simulateV1`: blocks of messages that nobody has signed or made, one after the other.

use crate::public::{
    Answer, Context, Limits,
    args::{Args, address, boolean, field, list, object, quantity_u64, under},
    block_ref::block_ref,
    error::{self, invalid_params, with_code},
    eth::calls,
    json,
    overrides::{BLOCK_FIELDS, assumed, of_block, only, state_overrides},
    revert,
    wire::{self, Detail, Place},
};
use fugue_chain::{
    SimulateError, SimulateOptions, Simulated, SimulatedBlock, SimulatedCall, ViewedBlock,
};
use fugue_chainspec::ChainSpec;
use fugue_evm::{CallError, CallOutcome};
use fugue_executor::BlockError;
use fugue_types::{Bytes, TxStatus, U256, Withdrawal, Withdrawals};
use jsonrpsee::types::ErrorObjectOwned;
use serde_json::{Value, json as value};

/// Source: execution-apis, `eth_simulateV1`, "errors".
mod codes {
    pub(super) const NONCE_TOO_LOW: i32 = -38010;
    pub(super) const NONCE_TOO_HIGH: i32 = -38011;
    pub(super) const BASE_FEE: i32 = -38012;
    pub(super) const INTRINSIC_GAS: i32 = -38013;
    pub(super) const FUNDS: i32 = -38014;
    pub(super) const BLOCK_GAS_LIMIT: i32 = -38015;
    pub(super) const BLOCK_NUMBER: i32 = -38020;
    pub(super) const BLOCK_TIME: i32 = -38021;
    pub(super) const SENDER_NOT_EOA: i32 = -38024;
    pub(super) const INITCODE_SIZE: i32 = -38025;
    pub(super) const TOO_MANY: i32 = -38026;
    /// A message that ran and failed for another reason than a revert.
    pub(super) const VM: i32 = -32015;
}

/// What is asked for.
#[derive(Debug, Default)]
struct Request {
    blocks: Vec<SimulatedBlock>,
    validates: bool,
    traces_transfers: bool,
    shows_transactions: bool,
}

/// `eth_simulateV1`.
pub(crate) fn simulate(context: &Context, mut args: Args) -> Answer {
    let chain_id = context.engine.spec().chain_id();
    let limits = &context.limits;
    let given = args.required("simulation", |value| request(value, chain_id, limits))?;
    let block = args.optional("block", block_ref)?.unwrap_or_default();
    args.end()?;
    let blocks_max = limits.simulated_blocks_max;
    match given.blocks.len() {
        0 => return Err(invalid_params("invalid argument 0 (simulation): no blockStateCalls")),
        count if count as u64 > blocks_max => {
            return Err(of_simulation(SimulateError::TooManyBlocks(blocks_max)));
        }
        _ => {}
    }
    let calls_max = limits.simulated_calls_max;
    if given.blocks.iter().map(|block| block.calls.len()).sum::<usize>() > calls_max {
        let told = format!("too many calls: {calls_max} are the most, of all blocks together");
        return Err(with_code(codes::TOO_MANY, told));
    }
    let unknown = || error::refused("header not found");
    let (view, number) = context.chain(&block)?.ok_or_else(unknown)?;
    let (hash, header) = view.header(number).map_err(error::of_chain)?.ok_or_else(unknown)?;
    let options = SimulateOptions {
        blocks_max,
        gas_max: limits.call_gas_max,
        output_bytes_max: limits.output_bytes_max,
        validates: given.validates,
        traces_transfers: given.traces_transfers,
    };
    let detail = if given.shows_transactions { Detail::Transactions } else { Detail::Hashes };
    let spec = context.engine.spec();
    let patience = &context.patience;
    let check = || patience.told();
    let done = view.with_state(number, |state| {
        view.with_roots(number, &context.reach(&check), |root| {
            let state = patience.guard(state);
            let (codes, base) = (&*context.codes, (hash, &header));
            fugue_chain::simulate(spec, codes, base, &state, root, given.blocks, options)
        })
    });
    let done = done.map_err(error::of_chain)?.ok_or_else(unknown)?;
    let done = done.map_err(error::of_chain)?.ok_or_else(unknown)?.map_err(of_simulation)?;
    let blocks = done.into_iter().map(|simulated| of_block_done(spec, simulated, detail));
    json(&blocks.collect::<Result<Vec<_>, _>>()?)
}

/// A simulated block with what its messages did.
fn of_block_done(
    spec: &ChainSpec,
    simulated: Simulated,
    detail: Detail,
) -> Result<Value, ErrorObjectOwned> {
    let Simulated { block, senders, outcomes } = simulated;
    let (hash, block) = (block.hash(), block.block().clone());
    let rules = spec.rules(&block.header);
    let place = Place::new(hash, &block.header, &rules);
    let mut calls = Vec::with_capacity(outcomes.len());
    for (index, ((outcome, logs), tx)) in
        outcomes.into_iter().zip(&block.body.transactions).enumerate()
    {
        let logs = logs.into_iter().map(|(at, log)| wire::log(&place, index, *tx.hash(), at, log));
        calls.push(of_call_done(outcome, &logs.collect::<Vec<_>>()));
    }
    let viewed = ViewedBlock { hash, header: block.header, body: block.body, senders };
    let mut answer =
        serde_json::to_value(wire::block(viewed, &rules, detail)).map_err(error::internal)?;
    let txs = answer["transactions"].as_array_mut().into_iter().flatten();
    for legacy in txs.filter(|tx| tx["type"] == "0x0") {
        // The published type makes 27 of it.
        legacy["v"] = value!(U256::ZERO);
    }
    answer["calls"] = calls.into();
    Ok(answer)
}

fn of_call_done(outcome: CallOutcome, logs: &[impl serde::Serialize]) -> Value {
    let is_success = outcome.status.is_success();
    let data = if is_success { outcome.output.clone() } else { Bytes::new() };
    let mut call = value!({
        "returnData": data, "logs": logs, "gasUsed": U256::from(outcome.gas_used),
        "maxUsedGas": U256::from(outcome.gas_spent),
        "status": U256::from(u8::from(is_success)),
    });
    let is_revert = outcome.status == TxStatus::Revert;
    if !is_success {
        let failed = revert::of_failed(outcome);
        call["error"] = if is_revert {
            value!(failed)
        } else {
            // Source: execution-apis, `eth_simulateV1`, which words begin it.
            let message = format!("vm execution error: {}", failed.message());
            value!({ "code": codes::VM, "message": message })
        };
    }
    call
}

fn of_simulation(error: SimulateError) -> ErrorObjectOwned {
    let message = error.to_string();
    match error {
        SimulateError::Number { .. } => with_code(codes::BLOCK_NUMBER, message),
        SimulateError::Time { .. } => with_code(codes::BLOCK_TIME, message),
        SimulateError::TooManyBlocks(_) => with_code(codes::TOO_MANY, message),
        SimulateError::Nonce { nonce: u64::MAX, expected: u64::MAX, .. } => {
            with_code(error::INTERNAL, message)
        }
        SimulateError::Nonce { nonce, expected, .. } if nonce < expected => {
            with_code(codes::NONCE_TOO_LOW, message)
        }
        SimulateError::Nonce { .. } => with_code(codes::NONCE_TOO_HIGH, message),
        SimulateError::GasLimit { .. } => with_code(codes::BLOCK_GAS_LIMIT, message),
        SimulateError::GasCap { .. } | SimulateError::SystemGas { .. } => {
            with_code(codes::TOO_MANY, format!("{message}: see --rpc.gascap"))
        }
        SimulateError::Call { error: CallError::Invalid(invalid), .. } => {
            with_code(code_of(invalid.names()), message)
        }
        SimulateError::Call { error: CallError::InitCode { .. }, .. } => {
            with_code(codes::INITCODE_SIZE, message)
        }
        SimulateError::Call { error, .. } => error::of_call(error),
        SimulateError::TooLarge(_) | SimulateError::Move(_) => error::refused(message),
        // Of a block that is made up, as one whose system contracts are.
        SimulateError::Block(BlockError::Invalid(_)) => error::refused(message),
        SimulateError::Block(error) => error::of_replay(error),
        SimulateError::Root(error) => error::of_chain(error),
    }
}

/// By the names that the official tests use for the reason.
fn code_of(names: &[&str]) -> i32 {
    match names.first().copied().unwrap_or_default() {
        "NONCE_MISMATCH_TOO_LOW" => codes::NONCE_TOO_LOW,
        "NONCE_MISMATCH_TOO_HIGH" => codes::NONCE_TOO_HIGH,
        "INSUFFICIENT_MAX_FEE_PER_GAS" | "INSUFFICIENT_MAX_FEE_PER_BLOB_GAS" => codes::BASE_FEE,
        "INTRINSIC_GAS_TOO_LOW" | "INTRINSIC_GAS_BELOW_FLOOR_GAS_COST" => codes::INTRINSIC_GAS,
        "INSUFFICIENT_ACCOUNT_FUNDS" | "GASLIMIT_PRICE_PRODUCT_OVERFLOW" => codes::FUNDS,
        "SENDER_NOT_EOA" => codes::SENDER_NOT_EOA,
        "PRIORITY_GREATER_THAN_MAX_FEE_PER_GAS" => error::INVALID_PARAMS,
        _ => error::INTERNAL,
    }
}

/// Source: execution-apis, "SimulatePayload".
fn request(given: &Value, chain_id: u64, limits: &Limits) -> Result<Request, String> {
    let fields = object(given)?;
    only(fields, &["blockStateCalls", "traceTransfers", "validation", "returnFullTransactions"])?;
    let flag = |name| field(fields, name, boolean).map(Option::unwrap_or_default);
    // One more than may be, so that the error is that of the specification.
    let most = usize::try_from(limits.simulated_blocks_max).unwrap_or(usize::MAX);
    let most = most.saturating_add(1);
    let blocks = field(fields, "blockStateCalls", |given| {
        let all = given.as_array().ok_or("a list is expected")?;
        let named = |(index, one)| {
            let read = block(one, chain_id, limits);
            read.map_err(|reason| under(format_args!("[{index}]"), &reason))
        };
        all.iter().take(most).enumerate().map(named).collect::<Result<Vec<_>, String>>()
    })?;
    let blocks = blocks.unwrap_or_default();
    let withdrawals = blocks.iter().filter_map(|block| block.withdrawals.as_deref());
    let withdrawals: usize = withdrawals.map(Vec::len).sum();
    let max = limits.simulated_calls_max;
    if withdrawals > max {
        return Err(format!("{withdrawals} withdrawals, want at most {max}"));
    }
    Ok(Request {
        blocks,
        validates: flag("validation")?,
        traces_transfers: flag("traceTransfers")?,
        shows_transactions: flag("returnFullTransactions")?,
    })
}

fn block(given: &Value, chain_id: u64, limits: &Limits) -> Result<SimulatedBlock, String> {
    let calls_max = limits.simulated_calls_max;
    let fields = object(given)?;
    only(fields, &["blockOverrides", "stateOverrides", "calls"])?;
    let state = field(fields, "stateOverrides", |given| state_overrides(given, limits))?;
    let state = state.unwrap_or_default();
    let of_header = field(fields, "blockOverrides", |given| {
        let fields = object(given)?;
        only(fields, &[&BLOCK_FIELDS[..], &["withdrawals"]].concat())?;
        let withdrawals = field(fields, "withdrawals", |given| list(given, calls_max, withdrawal))?;
        Ok((of_block(fields)?, withdrawals))
    })?;
    let (of_header, withdrawals) = of_header.unwrap_or_default();
    let calls = field(fields, "calls", |given| {
        let all = given.as_array().ok_or("a list is expected")?;
        let named = |(index, one)| {
            call(one, chain_id).map_err(|reason| under(format_args!("[{index}]"), &reason))
        };
        // One more than may be, as of blocks.
        let some = all.iter().take(calls_max.saturating_add(1));
        some.enumerate().map(named).collect::<Result<Vec<_>, String>>()
    })?;
    Ok(SimulatedBlock {
        number: of_header.number,
        time: of_header.time,
        gas_limit: of_header.gas_limit,
        fee_recipient: of_header.fee_recipient,
        prev_randao: of_header.prev_randao,
        base_fee: of_header.base_fee,
        beacon_root: of_header.beacon_root,
        difficulty: of_header.difficulty,
        withdrawals: withdrawals.map(Withdrawals::new),
        assumed: assumed(&state, &of_header),
        accounts: state.accounts,
        calls: calls.unwrap_or_default(),
    })
}

fn call(given: &Value, chain_id: u64) -> Result<SimulatedCall, String> {
    let calls::Message { request, gas, nonce } = calls::message(given, chain_id)?;
    Ok(SimulatedCall { request, gas, nonce })
}

/// Source: execution-apis, "Withdrawal".
fn withdrawal(given: &Value) -> Result<Withdrawal, String> {
    let fields = object(given)?;
    let number = |name| field(fields, name, quantity_u64).map(Option::unwrap_or_default);
    Ok(Withdrawal {
        index: number("index")?,
        validator_index: number("validatorIndex")?,
        address: field(fields, "address", address)?.unwrap_or_default(),
        amount: number("amount")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use fugue_types::Address;

    const CHAIN_ID: u64 = 7;

    #[test]
    fn a_request_is_read() {
        let given = value!({
            "blockStateCalls": [
                { "calls": [{ "to": Address::ZERO, "gas": "0x5", "nonce": "0x2" }] },
                { "blockOverrides": { "number": "0x9", "withdrawals": [{ "amount": "0x1" }] } },
            ],
            "validation": true,
        });
        let request = request(&given, CHAIN_ID, &Limits::default()).expect("well formed");
        assert!(request.validates && !request.traces_transfers && !request.shows_transactions);
        let [first, second] = &request.blocks[..] else { panic!("two blocks") };
        assert_eq!((first.calls[0].gas, first.calls[0].nonce), (Some(5), Some(2)));
        assert_eq!(second.number, Some(9));
        assert_eq!(second.withdrawals.as_ref().map(|all| all.len()), Some(1));
    }

    #[test]
    fn what_is_not_known_is_refused_with_its_place() {
        let given = value!({ "blockStateCalls": [{}, { "blockOverrides": { "foo": 1 } }] });
        let reason = request(&given, CHAIN_ID, &Limits::default()).expect_err("refused");
        assert_eq!(reason, "blockStateCalls[1].blockOverrides.foo: not supported");
    }

    #[test]
    fn a_call_that_halts_says_so_in_the_words_of_the_specification() {
        let outcome = CallOutcome {
            status: TxStatus::Halt("out of gas".to_owned()),
            gas_used: 5,
            gas_spent: 5,
            gas_regular: 5,
            gas_state: 0,
            output: Bytes::new(),
            logs: Vec::new(),
            lacked_gas: true,
            created: None,
        };
        let told = of_call_done(outcome, &[] as &[Value]);
        let error = value!({ "code": -32015, "message": "vm execution error: out of gas" });
        assert_eq!((&told["status"], &told["error"]), (&value!("0x0"), &error));
    }

    #[test]
    fn reasons_have_the_codes_of_the_specification() {
        assert_eq!(code_of(&["NONCE_MISMATCH_TOO_LOW"]), -38010);
        assert_eq!(code_of(&["INSUFFICIENT_ACCOUNT_FUNDS", "TR_NoFunds"]), -38014);
        assert_eq!(code_of(&["NONCE_IS_MAX"]), -32603);
        let late = SimulateError::Time { time: 5, parent: 6 };
        assert_eq!(of_simulation(late).code(), -38021);
    }
}
