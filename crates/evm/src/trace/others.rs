//! The traces of OpenEthereum, the gas of each instruction, and what Otterscan calls internal
//! operations.

use crate::{
    CallError, Place, TraceBudget, TraceError, TraceSubject, Traced,
    database::ReadFault,
    trace::{
        database::ViewDatabase,
        run::{Ran, run},
        weights::Weights,
    },
};
use alloy_rpc_types_trace::{
    opcode::OpcodeGas,
    otterscan::InternalOperation,
    parity::{TraceResults, TraceType, TransactionTrace},
};
use fugue_types::{HashSet, TxKind};
use revm::{
    context::TxEnv, context_interface::result::ResultAndState, interpreter::InstructionResult,
};
use revm_inspectors::{
    opcode::OpcodeGasInspector,
    otterscan::InternalOperationsInspector,
    tracing::{
        TracingInspector, TracingInspectorConfig,
        types::{CallKind, CallTrace},
    },
};

/// The calls, in the order in which they were made, without those of precompiled contracts that
/// send nothing.
///
/// # Errors
/// [`TraceError`].
pub fn trace_calls(
    place: &Place<'_>,
    subject: TraceSubject<'_>,
    budget: &TraceBudget,
) -> Result<Traced<Vec<TransactionTrace>>, TraceError> {
    let inspector = TracingInspector::new(TracingInspectorConfig::default_parity());
    let ran = run(place, subject, inspector, Weights::CALLS, budget)?;
    let Ran { mut inspector, tx, outcome, diff } = ran;
    add_root(&mut inspector, &tx, &outcome);
    Ok(Traced { trace: inspector.into_parity_builder().into_transaction_traces(), diff })
}

/// Of the calls, the instructions, and the changed state, what `types` names.
///
/// # Errors
/// [`TraceError`].
pub fn trace_parity(
    place: &Place<'_>,
    subject: TraceSubject<'_>,
    types: &HashSet<TraceType>,
    budget: &TraceBudget,
) -> Result<Traced<TraceResults>, TraceError> {
    let inspector = TracingInspector::new(TracingInspectorConfig::from_parity_config(types));
    let weights = if types.contains(&TraceType::VmTrace) { Weights::VM } else { Weights::CALLS };
    let Ran { mut inspector, tx, outcome, diff } = run(place, subject, inspector, weights, budget)?;
    add_root(&mut inspector, &tx, &outcome);
    let database = ViewDatabase::new(place);
    let trace = inspector
        .into_parity_builder()
        .into_trace_results_with_state(&outcome, types, &database)
        .map_err(|ReadFault(error)| TraceError::Call(CallError::State(error)))?;
    database.check()?;
    Ok(Traced { trace, diff })
}

/// From Amsterdam on a transaction may run out of gas before its first frame, of which the
/// inspector hears nothing.
fn add_root(inspector: &mut TracingInspector, tx: &TxEnv, outcome: &ResultAndState) {
    let Some(root) = inspector.traces_mut().nodes_mut().first_mut() else { return };
    if root.trace.status.is_some() {
        return;
    }
    let (kind, address) = match tx.kind {
        TxKind::Call(to) => (CallKind::Call, to),
        TxKind::Create => (CallKind::Create, tx.caller.create(tx.nonce)),
    };
    root.trace = CallTrace {
        caller: tx.caller,
        address,
        kind,
        value: tx.value,
        data: tx.data.clone(),
        gas_limit: tx.gas_limit,
        gas_used: outcome.result.tx_gas_used(),
        status: Some(InstructionResult::OutOfGas),
        ..CallTrace::default()
    };
}

/// How often each instruction ran and what gas it took, without that of the calls that it made; by
/// name.
///
/// # Errors
/// [`TraceError`].
pub fn trace_opcode_gas(
    place: &Place<'_>,
    subject: TraceSubject<'_>,
    budget: &TraceBudget,
) -> Result<Traced<Vec<OpcodeGas>>, TraceError> {
    let inspector = OpcodeGasInspector::new();
    let Ran { inspector, diff, .. } = run(place, subject, inspector, Weights::NOTHING, budget)?;
    let mut trace: Vec<OpcodeGas> = inspector.opcode_gas_iter().collect();
    trace.sort_unstable_by(|one, other| one.opcode.cmp(&other.opcode));
    Ok(Traced { trace, diff })
}

/// Transfers, creations and destructions below the transaction itself, reverted ones included.
///
/// # Errors
/// [`TraceError`].
pub fn trace_internal_operations(
    place: &Place<'_>,
    subject: TraceSubject<'_>,
    budget: &TraceBudget,
) -> Result<Traced<Vec<InternalOperation>>, TraceError> {
    let inspector = InternalOperationsInspector::default();
    let Ran { inspector, diff, .. } = run(place, subject, inspector, Weights::CALLS, budget)?;
    Ok(Traced { trace: inspector.into_operations(), diff })
}
