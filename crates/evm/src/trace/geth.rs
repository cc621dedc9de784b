//! The tracers of go-ethereum, by name.

use crate::{
    Place, TraceBudget, TraceError, TraceOrigin, TraceSubject, Traced,
    trace::{
        calls::Calls,
        flat::{FlatCall, flat},
        legacy::{LegacyCall, LegacyCalls},
        prestate::{PreState, StateConfig, StateTrace},
        run::{Ran, TraceCtx, run},
        steps::Steps,
        validation::{Validation, ValidationFrame},
        weights::Weights,
    },
};
use alloy_rpc_types_trace::geth::{
    CallConfig, CallFrame, DefaultFrame, FlatCallConfig, FourByteFrame, GethDebugBuiltInTracerType,
    GethDebugTracerConfig, GethDebugTracerType, GethDebugTracingOptions, GethDefaultTracingOptions,
    NoopFrame, PreStateConfig, StateGasTrace, erc7562::Erc7562Config, mux::MuxConfig,
};
use fugue_chainspec::Fork;
use fugue_types::Log;
use revm::{
    context::TxEnv,
    context_interface::result::ResultAndState,
    inspector::Inspector,
    interpreter::{CallInputs, CallOutcome, CreateInputs, CreateOutcome, Interpreter},
};
use revm_inspectors::tracing::FourByteInspector;
use serde::{Serialize, de::DeserializeOwned};
use std::collections::BTreeMap;

/// A tracer that cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TracerError {
    /// No tracer has this name; programs in JavaScript are not run: see etc/decisions/0032.
    #[error(
        "no tracer is named {0:?}, and tracers in JavaScript are not supported; there are {names}",
        names = NAMES
    )]
    Unknown(String),
    /// Its settings are wrong.
    #[error("invalid tracer config: {0}")]
    Settings(String),
}

/// The tracers that there are, as an error tells of them.
const NAMES: &str = "callTracer, flatCallTracer, prestateTracer, 4byteTracer, noopTracer, \
                     muxTracer, erc7562Tracer, stateGasTracer, callTracerLegacy and \
                     prestateTracerLegacy";
/// Characters of a wrong name that an error repeats: it may be a whole program.
const NAME_MAX: usize = 40;

/// A tracer of go-ethereum with its settings; without a name the one that gives all steps.
#[derive(Debug)]
pub struct GethTracer {
    /// As it is before a run.
    tracer: Tracer,
    weights: Weights,
}

/// What a tracer of go-ethereum gives, in the form that it has there.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum GethOutput {
    /// All steps.
    Steps(DefaultFrame),
    /// The calls as a tree.
    Calls(Box<CallFrame>),
    /// The calls as a tree, in the form that it had at first.
    LegacyCalls(Box<LegacyCall>),
    /// The calls as a list.
    Flat(Vec<FlatCall>),
    /// Accounts, before the transaction or before and after it.
    State(StateTrace),
    /// What is asked of the validation of user operations.
    Validation(Box<ValidationFrame>),
    /// How often each function was called.
    Selectors(FourByteFrame),
    /// Gas in its two dimensions.
    StateGas(StateGasTrace),
    /// Nothing.
    Nothing(NoopFrame),
    /// Of several tracers, by name.
    Several(BTreeMap<String, GethOutput>),
}

impl GethTracer {
    /// # Errors
    /// [`TracerError`].
    pub fn new(options: GethDebugTracingOptions) -> Result<Self, TracerError> {
        let GethDebugTracingOptions { config, tracer, tracer_config, .. } = options;
        let tracer = match tracer.filter(|tracer| !tracer.as_str().is_empty()) {
            None => Tracer::Steps(Steps::new(config)),
            Some(tracer) => Tracer::new(&tracer, tracer_config)?,
        };
        let weights = tracer.weights(&config);
        Ok(Self { tracer, weights })
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
    ) -> Result<Traced<GethOutput>, TraceError> {
        let ran = run(place, subject, self.tracer.clone(), self.weights, budget)?;
        let Ran { inspector, tx, outcome, diff } = ran;
        let end = End { place, origin, budget, tx: &tx, outcome: &outcome };
        Ok(Traced { trace: inspector.into_output(&end)?, diff })
    }
}

/// A tracer, and what it has noted.
#[derive(Debug, Clone)]
enum Tracer {
    Steps(Steps),
    Calls(Calls),
    LegacyCalls(LegacyCalls),
    Flat(Calls, FlatCallConfig),
    State(PreState),
    Validation(Box<Validation>),
    Selectors(FourByteInspector),
    StateGas,
    Nothing,
    Several(Vec<(String, Tracer)>),
}

/// What is known when a transaction has run.
struct End<'e> {
    place: &'e Place<'e>,
    origin: TraceOrigin,
    budget: &'e TraceBudget,
    tx: &'e TxEnv,
    outcome: &'e ResultAndState,
}

impl Tracer {
    fn new(name: &GethDebugTracerType, config: GethDebugTracerConfig) -> Result<Self, TracerError> {
        use GethDebugBuiltInTracerType as Known;
        let known = match name {
            GethDebugTracerType::BuiltInTracer(known) => known,
            GethDebugTracerType::JsTracer(script) => return Self::of_script(script),
        };
        Ok(match known {
            Known::CallTracer => Self::Calls(Calls::new(read(config)?)),
            Known::FlatCallTracer => Self::Flat(Calls::new(CallConfig::default()), read(config)?),
            Known::PreStateTracer => Self::State(PreState::new(state_config(config)?)),
            Known::Erc7562Tracer => {
                // The published type does not tell an empty list from none.
                let names_ignored = !config.0["ignoredOpcodes"].is_null();
                let config: Erc7562Config = read(config)?;
                let ignored = names_ignored.then_some(&*config.ignored_opcodes);
                Self::Validation(Box::new(Validation::new(&config, ignored)))
            }
            Known::FourByteTracer => Self::Selectors(FourByteInspector::default()),
            Known::StateGasTracer => Self::StateGas,
            Known::NoopTracer => Self::Nothing,
            Known::MuxTracer => Self::several(config)?,
        })
    }

    /// A tracer that is a script in go-ethereum, and asked for by its name there. They have no
    /// settings.
    fn of_script(name: &str) -> Result<Self, TracerError> {
        match name {
            "callTracerLegacy" => Ok(Self::LegacyCalls(LegacyCalls::default())),
            "prestateTracerLegacy" => Ok(Self::State(PreState::legacy())),
            other => Err(TracerError::Unknown(other.chars().take(NAME_MAX).collect())),
        }
    }

    fn several(config: GethDebugTracerConfig) -> Result<Self, TracerError> {
        let mut several = Vec::new();
        for (name, config) in read::<MuxConfig>(config)?.0 {
            let mux = GethDebugBuiltInTracerType::MuxTracer;
            if name == GethDebugTracerType::BuiltInTracer(mux) {
                return Err(TracerError::Settings("a muxTracer in a muxTracer".to_owned()));
            }
            let tracer = Self::new(&name, config.unwrap_or_default())?;
            several.push((name.as_str().to_owned(), tracer));
        }
        Ok(Self::Several(several))
    }

    /// What is kept of a run. The options are those of steps.
    fn weights(&self, options: &GethDefaultTracingOptions) -> Weights {
        match self {
            Self::Steps(_) => Weights::steps(options),
            Self::Calls(calls) if calls.only_top() => Weights::TOP_CALL,
            Self::Calls(_) | Self::Flat(..) => Weights::CALLS,
            Self::LegacyCalls(_) => Weights::LEGACY_CALLS,
            Self::State(_) => Weights::STATE,
            Self::Validation(_) => Weights::VALIDATION,
            Self::Selectors(_) => Weights::SELECTORS,
            Self::StateGas | Self::Nothing => Weights::NOTHING,
            Self::Several(several) => several
                .iter()
                .map(|(_, tracer)| tracer.weights(options))
                .fold(Weights::NOTHING, Weights::with),
        }
    }

    fn into_output(self, end: &End<'_>) -> Result<GethOutput, TraceError> {
        let End { place, origin, budget, tx, outcome } = *end;
        let (result, is_split) = (&outcome.result, place.rules.has(Fork::Amsterdam));
        let tree = |calls: Calls| calls.into_frame(tx, result.gas(), is_split);
        Ok(match self {
            Self::Steps(steps) => GethOutput::Steps(steps.into_frame(result, is_split)),
            Self::Calls(calls) => GethOutput::Calls(Box::new(tree(calls))),
            Self::LegacyCalls(calls) => {
                GethOutput::LegacyCalls(Box::new(calls.into_call(place, tx, result.gas())))
            }
            Self::Flat(calls, config) => GethOutput::Flat(flat(tree(calls), config, place, origin)),
            Self::State(state) => {
                GethOutput::State(state.into_trace(place, tx, &outcome.state, budget)?)
            }
            Self::Validation(mut validation) => {
                let root = tree(std::mem::take(&mut validation.calls));
                GethOutput::Validation(Box::new(validation.into_frame(root)?))
            }
            Self::Selectors(selectors) => GethOutput::Selectors(selectors.into()),
            Self::StateGas => GethOutput::StateGas(StateGasTrace {
                gas_used: result.gas().tx_gas_used(),
                execution_gas_used: result.gas().block_regular_gas_used(),
                state_gas_used: result.gas().block_state_gas_used(),
                gas_refund: result.gas().final_refunded(),
            }),
            Self::Nothing => GethOutput::Nothing(NoopFrame::default()),
            Self::Several(several) => {
                let mut outputs = BTreeMap::new();
                for (name, tracer) in several {
                    outputs.insert(name, tracer.into_output(end)?);
                }
                GethOutput::Several(outputs)
            }
        })
    }
}

impl<'a> Inspector<TraceCtx<'a>> for Tracer {
    fn step(&mut self, interp: &mut Interpreter, context: &mut TraceCtx<'a>) {
        match self {
            Self::Steps(steps) => steps.step(interp),
            Self::Calls(calls) | Self::Flat(calls, _) => calls.step(interp, context),
            Self::LegacyCalls(calls) => calls.step(interp, context),
            Self::State(state) => state.step(interp),
            Self::Validation(validation) => {
                validation.calls.step(interp, context);
                validation.step(interp, context);
            }
            Self::Selectors(_) | Self::StateGas | Self::Nothing => {}
            Self::Several(several) => {
                for (_, tracer) in several {
                    tracer.step(interp, context);
                }
            }
        }
    }

    fn step_end(&mut self, interp: &mut Interpreter, context: &mut TraceCtx<'a>) {
        match self {
            Self::Steps(steps) => steps.step_end(interp),
            Self::Calls(calls) | Self::Flat(calls, _) => calls.step_end(interp),
            Self::LegacyCalls(calls) => calls.step_end(interp),
            Self::State(state) => state.step_end(interp, context),
            Self::Validation(validation) => {
                validation.step_end(interp);
                validation.calls.step_end(interp);
            }
            Self::Selectors(_) | Self::StateGas | Self::Nothing => {}
            Self::Several(several) => {
                for (_, tracer) in several {
                    tracer.step_end(interp, context);
                }
            }
        }
    }

    fn log(&mut self, context: &mut TraceCtx<'a>, log: Log) {
        match self {
            Self::Calls(calls) | Self::Flat(calls, _) => calls.log(context, &log),
            Self::Validation(validation) => validation.calls.log(context, &log),
            Self::Steps(_)
            | Self::LegacyCalls(_)
            | Self::State(_)
            | Self::Selectors(_)
            | Self::StateGas
            | Self::Nothing => {}
            Self::Several(several) => {
                for (_, tracer) in several {
                    tracer.log(context, log.clone());
                }
            }
        }
    }

    fn call(&mut self, context: &mut TraceCtx<'a>, inputs: &mut CallInputs) -> Option<CallOutcome> {
        match self {
            Self::Steps(steps) => steps.begin(false, context.chain),
            Self::Calls(calls) | Self::Flat(calls, _) => calls.call(context, inputs),
            Self::LegacyCalls(calls) => calls.call(context, inputs),
            Self::Validation(validation) => {
                validation.begin();
                validation.calls.call(context, inputs);
            }
            Self::Selectors(selectors) => return selectors.call(context, inputs),
            Self::State(_) | Self::StateGas | Self::Nothing => {}
            Self::Several(several) => {
                for (_, tracer) in several {
                    tracer.call(context, inputs);
                }
            }
        }
        None
    }

    #[expect(clippy::only_used_in_recursion, reason = "the trait names them")]
    fn call_end(
        &mut self,
        context: &mut TraceCtx<'a>,
        inputs: &CallInputs,
        outcome: &mut CallOutcome,
    ) {
        match self {
            Self::Steps(steps) => steps.end(),
            Self::Calls(calls) | Self::Flat(calls, _) => calls.call_end(outcome),
            Self::LegacyCalls(calls) => calls.call_end(outcome),
            Self::Validation(validation) => {
                validation.end();
                validation.calls.call_end(outcome);
            }
            Self::State(_) | Self::Selectors(_) | Self::StateGas | Self::Nothing => {}
            Self::Several(several) => {
                for (_, tracer) in several {
                    tracer.call_end(context, inputs, outcome);
                }
            }
        }
    }

    fn create(
        &mut self,
        context: &mut TraceCtx<'a>,
        inputs: &mut CreateInputs,
    ) -> Option<CreateOutcome> {
        match self {
            Self::Steps(steps) => steps.begin_creation(inputs.gas_limit()),
            Self::Calls(calls) | Self::Flat(calls, _) => calls.create(inputs),
            Self::LegacyCalls(calls) => calls.create(context, inputs),
            Self::State(state) => state.create(context, inputs),
            Self::Validation(validation) => {
                validation.begin();
                validation.calls.create(inputs);
            }
            Self::Selectors(_) | Self::StateGas | Self::Nothing => {}
            Self::Several(several) => {
                for (_, tracer) in several {
                    tracer.create(context, inputs);
                }
            }
        }
        None
    }

    #[expect(clippy::only_used_in_recursion, reason = "the trait names them")]
    fn create_end(
        &mut self,
        context: &mut TraceCtx<'a>,
        inputs: &CreateInputs,
        outcome: &mut CreateOutcome,
    ) {
        match self {
            Self::Steps(steps) => steps.end(),
            Self::Calls(calls) | Self::Flat(calls, _) => calls.create_end(outcome),
            Self::LegacyCalls(calls) => calls.create_end(outcome),
            Self::Validation(validation) => {
                validation.end();
                validation.calls.create_end(outcome);
            }
            Self::State(_) | Self::Selectors(_) | Self::StateGas | Self::Nothing => {}
            Self::Several(several) => {
                for (_, tracer) in several {
                    tracer.create_end(context, inputs, outcome);
                }
            }
        }
    }
}

/// Source: go-ethereum, `eth/tracers/native/prestate.go`: a diff has no empty accounts.
fn state_config(config: GethDebugTracerConfig) -> Result<StateConfig, TracerError> {
    let includes = &config.0["includeEmpty"];
    let include_empty = match includes.as_bool() {
        Some(includes) => includes,
        None if includes.is_null() => false,
        None => {
            return Err(TracerError::Settings("includeEmpty: a boolean is expected".to_owned()));
        }
    };
    let published: PreStateConfig = read(config)?;
    if include_empty && published.is_diff_mode() {
        let told = "cannot use diffMode with includeEmpty";
        return Err(TracerError::Settings(told.to_owned()));
    }
    Ok(StateConfig { published, include_empty })
}

fn read<T: DeserializeOwned + Default>(config: GethDebugTracerConfig) -> Result<T, TracerError> {
    if config.is_null() {
        return Ok(T::default());
    }
    let read = serde_path_to_error::deserialize(config.0);
    read.map_err(|error| TracerError::Settings(error.to_string()))
}
