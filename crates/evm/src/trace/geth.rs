//! The tracers of go-ethereum, by name.

use crate::{
    CallError, Place, TraceBudget, TraceError, TraceOrigin, TraceSubject, Traced,
    database::ReadFault,
    trace::{
        database::ViewDatabase,
        run::{Ran, run},
        weights::Weights,
    },
};
use alloy_rpc_types_trace::geth::{GethDebugTracerType, GethDebugTracingOptions, GethTrace};
use revm_inspectors::tracing::{DebugInspector, DebugInspectorError, TransactionContext};

/// A tracer that cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TracerError {
    /// No tracer has this name; programs in JavaScript are not run.
    #[error("no tracer is named {0:?}, and tracers in JavaScript are not supported")]
    Unknown(String),
    /// Its settings are wrong.
    #[error("{0}")]
    Settings(String),
}

/// Characters of a wrong name that an error repeats: it may be a whole program.
const NAME_MAX: usize = 40;

/// A tracer of go-ethereum with its settings; without a name the one that gives all steps.
#[derive(Debug)]
pub struct GethTracer {
    /// As it is before a run.
    inspector: DebugInspector,
    weights: Weights,
}

impl GethTracer {
    /// # Errors
    /// [`TracerError`].
    pub fn new(options: GethDebugTracingOptions) -> Result<Self, TracerError> {
        if let Some(GethDebugTracerType::JsTracer(name)) = &options.tracer
            && !name.is_empty()
        {
            return Err(TracerError::Unknown(name.chars().take(NAME_MAX).collect()));
        }
        let inspector = DebugInspector::new(options)
            .map_err(|error| TracerError::Settings(error.to_string()))?;
        let weights = weights(&inspector);
        Ok(Self { inspector, weights })
    }

    /// Traces a transaction or a message. `origin` is told of in flat traces.
    ///
    /// # Errors
    /// [`TraceError`].
    pub fn trace(
        &self,
        place: &Place<'_>,
        subject: TraceSubject<'_>,
        origin: TraceOrigin,
        budget: &TraceBudget,
    ) -> Result<Traced<GethTrace>, TraceError> {
        let fresh = self.inspector.try_clone().map_err(|error| internal(error.to_string()))?;
        let Ran { mut inspector, tx, block, outcome, diff } =
            run(place, subject, fresh, self.weights, budget)?;
        let TraceOrigin { block_hash, tx_hash, tx_index } = origin;
        let context = TransactionContext { block_hash, tx_index, tx_hash };
        let mut database = ViewDatabase::new(place);
        let trace = inspector.get_result(Some(context), &tx, &block, &outcome, &mut database);
        let trace = trace.map_err(|error| match error {
            DebugInspectorError::Database(ReadFault(error)) => {
                TraceError::Call(CallError::State(error))
            }
            other => internal(other.to_string()),
        })?;
        database.check()?;
        Ok(Traced { trace, diff })
    }
}

fn internal(message: String) -> TraceError {
    TraceError::Call(CallError::Internal(message))
}

fn weights(inspector: &DebugInspector) -> Weights {
    match inspector {
        DebugInspector::Default(_, options) => Weights::steps(options),
        DebugInspector::Erc7562Tracer(..) => Weights::VALIDATION,
        // The one for the state before keeps the outputs of calls as well.
        DebugInspector::CallTracer(..)
        | DebugInspector::FlatCallTracer(..)
        | DebugInspector::PreStateTracer(..)
        | DebugInspector::Mux(..) => Weights::CALLS,
        DebugInspector::FourByte(..)
        | DebugInspector::Noop(..)
        | DebugInspector::StateGasTracer(..) => Weights::NOTHING,
    }
}
