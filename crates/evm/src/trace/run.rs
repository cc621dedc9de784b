//! A run with an inspector, and with somebody who looks over its shoulder at what it keeps.

use crate::{
    Checks, Place, TraceBudget, TraceError, TraceSubject, ViewReader, kernel::changes,
    machine::Ctx, message::to_error, trace::weights::Weights,
};
use fugue_chainspec::Fork;
use fugue_state::{StateDiff, StateView};
use fugue_types::{Address, AddressMap, HashSet, Log, U256};
use revm::{
    bytecode::opcode,
    context::{Context, ContextSetters, Evm, TxEnv},
    context_interface::{ContextTr, JournalTr, context::ContextError, result::ResultAndState},
    handler::FrameResult,
    inspector::{Inspector, InspectorHandler},
    interpreter::{
        CallInputs, CallOutcome, CreateInputs, CreateOutcome, FrameInput, Interpreter,
        interpreter_types::{InputsTr, Jumps, LoopControl},
    },
};

/// Steps between two looks at whether anyone still waits.
const STEPS_PER_LOOK: u64 = 1_024;
/// Bytes that a run counts by itself before it tells the budget, which others share.
const BYTES_PER_TELLING: usize = 16 * 1024;

/// What the inspectors of a traced run see.
pub(super) type TraceCtx<'a> = Ctx<'a, ViewReader<&'a dyn StateView>>;

/// A run that came to its end, successful or not.
pub(super) struct Ran<I> {
    pub(super) inspector: I,
    pub(super) tx: TxEnv,
    pub(super) outcome: ResultAndState,
    pub(super) diff: StateDiff,
}

/// Runs with an inspector that keeps what `weights` say.
pub(super) fn run<'a, I: Inspector<TraceCtx<'a>>>(
    place: &'a Place<'a>,
    subject: TraceSubject<'_>,
    inspector: I,
    weights: Weights,
    budget: &TraceBudget,
) -> Result<Ran<I>, TraceError> {
    let watch = Watch { inspector, meter: Meter::new(weights, budget) };
    let mut kernel = place.kernel(watch);
    match subject {
        TraceSubject::Tx(tx) => kernel.machine.inner.ctx.set_tx(tx.env.clone()),
        TraceSubject::Message(request) => kernel.take_message(request, Checks::QUESTION)?,
    }
    let ran = kernel.phases.inspect_run(&mut kernel.machine);
    let ran = ran.map_err(|error| to_error(error, &kernel.machine.inner.ctx));
    let Evm { ctx, inspector: Watch { inspector, meter }, .. } = kernel.machine.inner;
    // Whoever was stopped did not run to its end, whatever the EVM implementation says of it.
    meter.finish()?;
    let result = ran?;
    let Context { tx, mut journaled_state, .. } = ctx;
    let clears_empty_accounts = place.rules.has(Fork::SpuriousDragon);
    let log = &journaled_state.database.log;
    let diff = changes(&journaled_state.inner.state, log, place.codes, clears_empty_accounts);
    let outcome = ResultAndState::new(result, journaled_state.inner.finalize());
    Ok(Ran { inspector, tx, outcome, diff })
}

/// What one run has kept, and why it is stopped, if it is.
struct Meter<'b> {
    weights: Weights,
    budget: &'b TraceBudget,
    /// Bytes that the budget does not know of yet.
    untold: usize,
    steps: u64,
    /// Slots of each contract that a step may show.
    slots: AddressMap<HashSet<U256>>,
    stopped: Option<TraceError>,
}

impl<'b> Meter<'b> {
    fn new(weights: Weights, budget: &'b TraceBudget) -> Self {
        let slots = AddressMap::default();
        Self { weights, budget, untold: 0, steps: 0, slots, stopped: None }
    }

    fn add(&mut self, bytes: usize) {
        self.untold = self.untold.saturating_add(bytes);
        if self.untold >= BYTES_PER_TELLING {
            self.tell();
        }
    }

    fn tell(&mut self) {
        let bytes = std::mem::take(&mut self.untold);
        self.stop_at(self.budget.add(bytes));
    }

    /// The first reason stands.
    fn stop_at(&mut self, checked: Result<(), TraceError>) {
        if let Err(reason) = checked {
            self.stopped.get_or_insert(reason);
        }
    }

    fn step(&mut self, interp: &Interpreter) {
        self.steps = self.steps.saturating_add(1);
        if self.steps.is_multiple_of(STEPS_PER_LOOK) {
            self.stop_at(self.budget.look());
        }
        let bytes = self.weights.of_step(interp, self.steps);
        if bytes == 0 {
            return;
        }
        self.add(bytes);
        if self.weights.shows_storage
            && matches!(interp.bytecode.opcode(), opcode::SLOAD | opcode::SSTORE)
            && let Some(slot) = interp.stack.data().last()
        {
            let slots = self.slots.entry(interp.input.target_address()).or_default();
            slots.insert(*slot);
            let count = slots.len();
            self.add(self.weights.of_slots(count));
        }
    }

    /// # Errors
    /// Why the run was stopped, or what it kept is too much at its very end.
    fn finish(mut self) -> Result<(), TraceError> {
        self.tell();
        self.stopped.map_or(Ok(()), Err)
    }
}

/// An inspector, and a meter that stops the run where the inspector keeps too much.
struct Watch<'b, I> {
    inspector: I,
    meter: Meter<'b>,
}

impl<I> Watch<'_, I> {
    /// Has the run end with an error, if it is to be stopped.
    fn fail<C: ContextTr>(&self, context: &mut C) -> bool {
        if self.meter.stopped.is_none() {
            return false;
        }
        if context.error().is_ok() {
            // The reason is in the meter.
            *context.error() = Err(ContextError::Custom("stopped".to_owned()));
        }
        true
    }

    /// The same, with the frame that runs at this moment.
    fn halt<C: ContextTr>(&self, interp: &mut Interpreter, context: &mut C) -> bool {
        if !self.fail(context) {
            return false;
        }
        // There may be an action already, as of a call that was about to begin.
        interp.bytecode.action().take();
        interp.bytecode.reset_action();
        interp.halt_fatal();
        true
    }
}

/// Where there is no code, as of a creation without any, the EVM implementation runs a STOP of its
/// own, which nobody else tells of.
fn has_code(interp: &Interpreter) -> bool {
    !interp.bytecode.is_empty()
}

impl<C: ContextTr, I: Inspector<C>> Inspector<C> for Watch<'_, I> {
    fn initialize_interp(&mut self, interp: &mut Interpreter, context: &mut C) {
        self.inspector.initialize_interp(interp, context);
        self.halt(interp, context);
    }

    fn step(&mut self, interp: &mut Interpreter, context: &mut C) {
        self.meter.step(interp);
        if !self.halt(interp, context) && has_code(interp) {
            self.inspector.step(interp, context);
        }
    }

    fn step_end(&mut self, interp: &mut Interpreter, context: &mut C) {
        if has_code(interp) {
            self.inspector.step_end(interp, context);
        }
    }

    fn log(&mut self, context: &mut C, log: Log) {
        self.meter.add(self.meter.weights.of_data(log.data.data.len()));
        self.inspector.log(context, log);
    }

    fn log_full(&mut self, interp: &mut Interpreter, context: &mut C, log: Log) {
        self.meter.add(self.meter.weights.of_data(log.data.data.len()));
        self.inspector.log_full(interp, context, log);
    }

    fn frame_start(&mut self, context: &mut C, input: &mut FrameInput) -> Option<FrameResult> {
        self.inspector.frame_start(context, input)
    }

    fn frame_end(&mut self, context: &mut C, input: &FrameInput, result: &mut FrameResult) {
        self.inspector.frame_end(context, input, result);
    }

    fn call(&mut self, context: &mut C, inputs: &mut CallInputs) -> Option<CallOutcome> {
        let depth = context.journal().depth();
        self.meter.add(self.meter.weights.of_call(inputs.input.len(), depth));
        self.fail(context);
        self.inspector.call(context, inputs)
    }

    fn call_end(&mut self, context: &mut C, inputs: &CallInputs, outcome: &mut CallOutcome) {
        let depth = context.journal().depth();
        self.meter.add(self.meter.weights.of_output(outcome.result.output.len(), depth));
        self.fail(context);
        self.inspector.call_end(context, inputs, outcome);
    }

    fn create(&mut self, context: &mut C, inputs: &mut CreateInputs) -> Option<CreateOutcome> {
        let depth = context.journal().depth();
        self.meter.add(self.meter.weights.of_call(inputs.init_code().len(), depth));
        self.fail(context);
        self.inspector.create(context, inputs)
    }

    fn create_end(&mut self, context: &mut C, inputs: &CreateInputs, outcome: &mut CreateOutcome) {
        let depth = context.journal().depth();
        self.meter.add(self.meter.weights.of_output(outcome.result.output.len(), depth));
        self.fail(context);
        self.inspector.create_end(context, inputs, outcome);
    }

    fn selfdestruct(&mut self, contract: Address, target: Address, value: U256) {
        self.inspector.selfdestruct(contract, target, value);
    }
}
