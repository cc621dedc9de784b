//! The instructions of a transaction, each told when the next one begins: no trace is held. The
//! form is that of go-ethereum's JSON logger, a line for each instruction and one for the end.
//!
//! Sources: EIP-3155; go-ethereum, `eth/tracers/logger/logger_json.go`, for the fields and their
//! order. There an instruction that fails while it is executed has a second line, with the stack
//! and the memory that it left; one that was refused before, for its stack or its gas, has one.

use crate::{
    Place, TraceBudget, TraceError, TraceSubject,
    trace::{
        run::{TraceCtx, run},
        weights::Weights,
        words::{self, Instruction},
    },
};
use alloy_primitives::{U64, hex};
use alloy_rpc_types_trace::geth::GethDefaultTracingOptions;
use fugue_types::{Bytes, U256};
use revm::{
    inspector::Inspector,
    interpreter::{
        CallInputs, CallOutcome, CreateInputs, CreateOutcome, Gas, InstructionResult, Interpreter,
        InterpreterAction, InterpreterResult,
        interpreter_types::{InputsTr, Jumps, LoopControl, ReturnData},
    },
};
use serde::Serialize;
use std::borrow::Cow;

/// A line of such a trace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum StandardLine {
    /// An instruction.
    Step(StandardStep),
    /// The end of the transaction, once.
    End(StandardEnd),
}

/// An instruction, and what was there before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StandardStep {
    /// Where it is in the code.
    pub pc: u64,
    /// Its byte.
    pub op: u8,
    /// Gas that is left.
    pub gas: U64,
    /// What it costs, with what it gives to a call, and without what it gives to a creation.
    pub gas_cost: U64,
    /// All of the memory of its frame; `None` if that is not asked for, or empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Bytes>,
    /// Bytes of it.
    pub mem_size: usize,
    /// The lowest word first; `None` if it is not asked for.
    pub stack: Option<Vec<U256>>,
    /// Of the last call; `None` if that is not asked for, or empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub return_data: Option<Bytes>,
    /// Of the outermost frame it is 1.
    pub depth: u64,
    /// Gas that is to be given back, that of this instruction included.
    pub refund: u64,
    /// Its name.
    pub op_name: Cow<'static, str>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// How the outermost frame ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StandardEnd {
    /// What it gave, in hex without `0x`; of a creation that is the code.
    pub output: String,
    /// By the frame: without what the transaction costs before it, and without refunds.
    pub gas_used: U64,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Runs a transaction or a message, and tells `sink` of one instruction after the other. Of the
/// options those count that say what of memory, stack and return data is shown. What the sink does
/// with a line is not bounded here: who has enough has the budget say so.
///
/// # Errors
/// [`TraceError`]; lines were told by then.
pub fn trace_standard(
    place: &Place<'_>,
    subject: TraceSubject<'_>,
    options: &GethDefaultTracingOptions,
    budget: &TraceBudget,
    sink: &mut dyn FnMut(&StandardLine),
) -> Result<(), TraceError> {
    let told = Standard {
        shows_stack: options.is_stack_enabled(),
        shows_memory: options.is_memory_enabled(),
        shows_return_data: options.is_return_data_enabled(),
        sink,
        pending: None,
        open: Vec::new(),
        code: None,
        end: None,
    };
    let ran = run(place, subject, told, Weights::NOTHING, budget)?;
    let mut told = ran.inspector;
    told.tell();
    // From Amsterdam on a transaction may run out of gas before its first frame.
    let end = told.end.take().unwrap_or_else(|| StandardEnd {
        output: String::new(),
        gas_used: U64::ZERO,
        error: Some("out of gas".to_owned()),
    });
    (told.sink)(&StandardLine::End(end));
    Ok(())
}

/// Tells of instructions.
struct Standard<'s> {
    shows_stack: bool,
    shows_memory: bool,
    shows_return_data: bool,
    sink: &'s mut dyn FnMut(&StandardLine),
    /// What is told next: a creation changes what its instruction costs after that has run.
    pending: Option<StandardStep>,
    /// The frames that are open, the outermost first.
    open: Vec<Open>,
    /// What the outermost frame has returned, if it is a creation.
    code: Option<Bytes>,
    end: Option<StandardEnd>,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    is_creation: bool,
    /// Refunds of the frames that it was called from, when it began.
    refunded_before: i64,
    /// Its own, at its last instruction.
    refunded: i64,
    last: Instruction,
}

impl Standard<'_> {
    fn tell(&mut self) {
        if let Some(step) = self.pending.take() {
            (self.sink)(&StandardLine::Step(step));
        }
    }

    /// A frame begins. `granted` is refunded before the outermost one.
    fn begin(&mut self, is_creation: bool, granted: u64) {
        let below = self.open.last().map_or(i64::try_from(granted).unwrap_or(i64::MAX), |open| {
            open.refunded_before.saturating_add(open.refunded)
        });
        let last = Instruction::default();
        self.open.push(Open { is_creation, refunded_before: below, refunded: 0, last });
    }

    fn memory(&self, interp: &Interpreter) -> Option<Bytes> {
        let is_shown = self.shows_memory && !interp.memory.is_empty();
        is_shown.then(|| Bytes::copy_from_slice(&interp.memory.context_memory()))
    }

    fn stack(&self, interp: &Interpreter) -> Option<Vec<U256>> {
        self.shows_stack.then(|| interp.stack.data().clone())
    }

    fn step(&mut self, interp: &Interpreter) {
        self.tell();
        let instruction = Instruction::next(interp);
        let Some(open) = self.open.last_mut() else { return };
        open.last = instruction;
        let return_data = interp.return_data.buffer();
        let shows_return_data = self.shows_return_data && !return_data.is_empty();
        self.pending = Some(StandardStep {
            pc: interp.bytecode.pc() as u64,
            op: interp.bytecode.opcode(),
            gas: U64::from(interp.gas.remaining()),
            gas_cost: U64::ZERO,
            memory: self.memory(interp),
            mem_size: interp.memory.len(),
            stack: self.stack(interp),
            return_data: shows_return_data.then(|| return_data.clone()),
            depth: (interp.input.depth() as u64).saturating_add(1),
            refund: 0,
            op_name: instruction.name(),
            error: None,
        });
    }

    fn step_end(&mut self, interp: &mut Interpreter) {
        let is_outermost = self.open.len() == 1;
        let Some(open) = self.open.last_mut() else { return };
        open.refunded = interp.gas.refunded();
        let (last, is_creation) = (open.last, open.is_creation);
        let refund = open.refunded_before.saturating_add(open.refunded);
        let ended = match interp.bytecode.action() {
            Some(InterpreterAction::Return(result)) => {
                let returns = result.result == InstructionResult::Return;
                if returns && is_outermost && is_creation {
                    self.code = Some(result.output.clone());
                }
                Some(result.result)
            }
            _ => None,
        };
        let Some(mut step) = self.pending.take() else { return };
        step.gas_cost = step.gas.saturating_sub(U64::from(interp.gas.remaining()));
        step.refund = u64::try_from(refund).unwrap_or_default();
        let failed = ended.filter(|it| it.is_halt() || *it == InstructionResult::Revert);
        let Some(failed) = failed else {
            self.pending = Some(step);
            return;
        };
        let error = Some(last.halted(failed));
        if last.is_refused(failed) {
            self.pending = Some(StandardStep { error, ..step });
            return;
        }
        let (memory, mem_size) = (self.memory(interp), interp.memory.len());
        let (stack, return_data) = (self.stack(interp), None);
        let again = StandardStep { memory, mem_size, stack, return_data, error, ..step.clone() };
        self.pending = Some(step);
        self.tell();
        self.pending = Some(again);
    }

    /// The outermost frame has ended, which had so much gas.
    fn finish(&mut self, result: &InterpreterResult, gas_limit: u64, error: Option<String>) {
        let InterpreterResult { result, output, gas } = result;
        let output = match self.code.take().filter(|_| result.is_ok()) {
            Some(code) => code,
            None if result.is_ok_or_revert() => output.clone(),
            None => Bytes::new(),
        };
        let gas_used = U64::from(gas_used(*result, gas, gas_limit));
        self.end = Some(StandardEnd { output: hex::encode(output), gas_used, error });
    }
}

/// A halt takes all gas; a revert gives back what is left.
fn gas_used(result: InstructionResult, gas: &Gas, limit: u64) -> u64 {
    if result.is_ok_or_revert() { gas.total_gas_spent() } else { limit }
}

impl<'a> Inspector<TraceCtx<'a>> for Standard<'_> {
    fn step(&mut self, interp: &mut Interpreter, _: &mut TraceCtx<'a>) {
        Standard::step(self, interp);
    }

    fn step_end(&mut self, interp: &mut Interpreter, _: &mut TraceCtx<'a>) {
        Standard::step_end(self, interp);
    }

    fn call(&mut self, context: &mut TraceCtx<'a>, _: &mut CallInputs) -> Option<CallOutcome> {
        self.begin(false, context.chain);
        None
    }

    fn call_end(&mut self, _: &mut TraceCtx<'a>, inputs: &CallInputs, outcome: &mut CallOutcome) {
        let Some(Open { last, .. }) = self.open.pop() else { return };
        if self.open.is_empty() {
            let result = &outcome.result;
            let error = (!result.result.is_ok()).then(|| {
                words::of_call(result.result, inputs.target_address, inputs.input.len(), last)
            });
            self.finish(result, inputs.gas_limit, error);
        }
    }

    fn create(&mut self, _: &mut TraceCtx<'a>, inputs: &mut CreateInputs) -> Option<CreateOutcome> {
        if let Some(step) = &mut self.pending {
            step.gas_cost = step.gas_cost.saturating_sub(U64::from(inputs.gas_limit()));
        }
        // A transaction that creates delegates nothing.
        self.begin(true, 0);
        None
    }

    fn create_end(
        &mut self,
        _: &mut TraceCtx<'a>,
        inputs: &CreateInputs,
        outcome: &mut CreateOutcome,
    ) {
        let Some(Open { last, .. }) = self.open.pop() else { return };
        if self.open.is_empty() {
            let (result, gave_code) = (&outcome.result, self.code.is_some());
            let error = (!result.result.is_ok())
                .then(|| words::of_creation(result.result, gave_code, last));
            self.finish(result, inputs.gas_limit(), error);
        }
    }
}
