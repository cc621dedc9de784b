//! What is Fugue's own: why a block takes as long as it does, and which contracts make it so.
//!
//! `fugue_reconsiderBlock` is not here: it goes through the queue of the engine (`own.rs`).
//!
//! Numbers of these reports are numbers of JSON, for tools that reckon with them: counts, indices,
//! gas, nanoseconds; all of them are far below 2^53.

use crate::{
    explained::{explanation_of, named, run_of},
    public::{
        Answer, Class, Context, Table,
        args::{Args, address},
        block_ref::{block_ref, number_or_tag},
        cores, error,
        eth::logs::{self, Where},
        json,
    },
};
use fugue_chain::ChainView;
use fugue_chainspec::Rules;
use fugue_executor::{
    Accesses, BlockError, ContractProfile, Executor, FallbackCause, Mode, Report, Scope,
};
use fugue_state::StateView;
use fugue_types::Address;
use jsonrpsee::types::ErrorObjectOwned;
use serde_json::{Value, json as object};

/// The methods of this namespace.
pub(super) const METHODS: Table = &[
    ("fugue_explainBlock", Class::Executing, explain_block),
    ("fugue_profileContract", Class::Executing, profile_contract),
];

/// Locations that are told of a contract, at most: those that cost most. How many there are is told
/// as well.
const PROFILE_LOCATIONS_MAX: usize = 64;

/// `fugue_explainBlock`.
fn explain_block(context: &Context, mut args: Args) -> Answer {
    let block = args.optional("block", block_ref)?.unwrap_or_default();
    let mode = args.optional("mode", mode)?.unwrap_or(Mode::Lanes);
    args.end()?;
    let (view, number) = block.chain_with_state(context.view())?;
    let told = run_again(context, &view, number, |accesses, rules, state| {
        // Its threads are started for the call alone, with the priority of its thread.
        let executor = Executor::new(cores().min(context.limits.explain_threads_max.max(1)))?;
        let executor = executor.observing();
        let run = executor.execute(mode, accesses.block(), rules, state, Scope::Block)?;
        Ok(explained(accesses, &run.report))
    })?;
    json(&told)
}

fn mode(value: &Value) -> Result<Mode, String> {
    value.as_str().ok_or_else(|| "the name of a mode is expected".to_owned())?.parse()
}

/// `fugue_profileContract`.
fn profile_contract(context: &Context, mut args: Args) -> Answer {
    let contract = args.required("address", address)?;
    let from = args.required("fromBlock", number_or_tag)?;
    let to = args.required("toBlock", number_or_tag)?;
    args.end()?;
    let view = context.view();
    let range = Where::Range { from, to };
    let blocks_max = context.limits.profile_blocks_max;
    let kept = |from| view.block(from).map(drop);
    let (from, to) = logs::range(&view, &range, blocks_max, (2, "toBlock"), kept)?;
    let mut profile = ContractProfile::new(contract);
    // The genesis has no transactions.
    for number in from.max(1)..=to {
        logs::check_patience(&context.patience, from, number)?;
        let added = run_again(context, &view, number, |accesses, _, _| {
            profile.add(accesses.txs(), &accesses.explain());
            Ok(())
        });
        if let Err(failure) = added {
            // Who is given up amidst a block is told how far it came, too.
            logs::check_patience(&context.patience, from, number)?;
            return Err(failure);
        }
    }
    json(&profiled(contract, from, to, &profile))
}

/// Runs a block of the chain again, and calls with what its transactions did, the rules, and the
/// state before it.
fn run_again<T>(
    context: &Context,
    view: &ChainView,
    number: u64,
    then: impl FnOnce(&Accesses, &Rules, &dyn StateView) -> Result<T, BlockError>,
) -> Result<T, ErrorObjectOwned> {
    let Some(parent) = number.checked_sub(1) else {
        return Err(error::refused("the genesis has no transactions"));
    };
    let viewed = view.block(number).map_err(error::of_chain)?;
    let viewed = viewed.ok_or_else(error::block_not_found)?;
    let rules = view.spec().rules(&viewed.header);
    let recovered = viewed.into_recovered().map_err(error::internal)?;
    let patience = &context.patience;
    let done = view.with_state(parent, |state| -> Result<T, BlockError> {
        let state = patience.guard(state);
        let accesses = Accesses::of(recovered, &rules, &state, &context.codes)?;
        then(&accesses, &rules, &state)
    });
    let done = done.map_err(error::of_chain)?.ok_or_else(error::block_not_found)?;
    done.map_err(error::of_replay)
}

fn explained(accesses: &Accesses, report: &Report) -> Value {
    let cause = report.fallback.as_ref().map(|fallback| &fallback.cause);
    // That a block is no good one for lanes is no defect.
    if let Some(cause) = cause.filter(|cause| !matches!(cause, FallbackCause::Lanes(_))) {
        tracing::warn!(target: "fugue::rpc", %cause, "a block did not run in parallel to its end");
    }
    let explanation = accesses.explain();
    let mut told = explanation_of(accesses.block().block(), accesses.txs(), &explanation);
    told["runs"] = object!([run_of(report)]);
    told
}

fn profiled(contract: Address, from: u64, to: u64, profile: &ContractProfile) -> Value {
    let share = |gas: u64| if gas == 0 { 0.0 } else { gas as f64 / profile.path_gas as f64 };
    let fields = profile.fields();
    let locations = fields.iter().take(PROFILE_LOCATIONS_MAX).map(|(field, found)| {
        let mut told = named(*field);
        told["serialGas"] = found.serial_gas.into();
        told["serialShare"] = share(found.serial_gas).into();
        told["conflictingPairs"] = found.pairs.into();
        told
    });
    object!({
        "address": contract,
        "fromBlock": from,
        "toBlock": to,
        "blocks": profile.blocks,
        "blocksTouched": profile.touched_blocks,
        "transactions": profile.txs,
        "transactionsTouched": profile.touched_txs,
        "gasUsed": profile.gas_used,
        "criticalPathGas": profile.path_gas,
        "serialGas": profile.serial_gas,
        "serialShare": share(profile.serial_gas),
        "serialGasAlone": profile.alone_gas,
        "conflictingPairs": profile.pairs,
        "locations": locations.collect::<Vec<Value>>(),
        "locationCount": fields.len(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use fugue_executor::{Explanation, Field, StateField, TxAccess};
    use fugue_types::{B256, U256};

    const HERE: Address = Address::repeat_byte(0xc0);

    #[test]
    fn shares_are_of_the_critical_paths() {
        let count = |sender| TxAccess {
            sender: Address::repeat_byte(sender),
            reads: vec![(HERE, Some(U256::ZERO))],
            writes: vec![StateField { address: HERE, field: Field::Slot(U256::ZERO) }],
            sees: Vec::new(),
            credits: false,
            gas_used: 100,
            nanos: 0,
        };
        let txs = [count(1), count(2), count(3), count(4)];
        let mut profile = ContractProfile::new(HERE);
        let told = profiled(HERE, 5, 6, &profile);
        assert_eq!((&told["serialShare"], &told["blocks"]), (&object!(0.0), &object!(0)));
        profile.add(&txs, &Explanation::of(&txs, Address::ZERO));
        let told = profiled(HERE, 5, 6, &profile);
        assert_eq!((&told["serialGas"], &told["serialShare"]), (&object!(300), &object!(0.75)));
        assert_eq!(told["locations"][0]["serialShare"], 0.75);
        assert_eq!(told["locations"][0]["slot"], object!(B256::ZERO));
        assert_eq!(told["conflictingPairs"], 3);
    }
}
