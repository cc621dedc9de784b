//! The calls of a transaction in the form that go-ethereum's `callTracer` had at first, and that it
//! still gives for `callTracerLegacy`.
//!
//! There it is a script that sees instructions, and no calls. So it tells nothing that no
//! instruction shows: the gas of a call that ran none, the reason why a call was refused or a
//! creation not kept, a precompiled contract. And the output of a call is what its caller has in
//! memory, not what was returned. Where the script takes one call for another, as after a first
//! instruction that failed, this does not follow it.
//!
//! Source: go-ethereum, `eth/tracers/js/internal/tracers/call_tracer_legacy.js`.

use crate::{
    Place, precompiles,
    trace::{
        calls::{Destruction, call_named, creation_named, gas_used, never_began, next_destruction},
        run::TraceCtx,
        words::{self, Instruction},
    },
};
use alloy_rpc_types_trace::geth::CallFrame;
use fugue_types::{Address, Bytes, HashSet, U256};
use revm::{
    context::TxEnv,
    context_interface::result::ResultGas,
    interpreter::{
        CallInputs, CallOutcome, CallScheme, CreateInputs, CreateOutcome, InstructionResult,
        Interpreter, InterpreterAction, InterpreterResult, interpreter_types::LoopControl,
    },
};
use serde::Serialize;
use std::ops::Range;

/// What is said of a call that failed where no instruction of it did.
const INTERNAL: &str = "internal failure";
const DESTRUCTION: &str = "SELFDESTRUCT";

/// A call, a creation or a destruction.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LegacyCall {
    /// The instruction that made it; of a transaction CALL or CREATE.
    #[serde(rename = "type")]
    pub typ: &'static str,
    /// Who made it.
    pub from: Address,
    /// Whose code was to run, what was created, or who got the rest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Address>,
    /// In wei.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<U256>,
    /// Gas that it was given, if it ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gas: Option<U256>,
    /// Gas that it used, if it ran or was a creation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gas_used: Option<U256>,
    /// Data of a call, or code that creates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<Bytes>,
    /// What its caller has of the output, or the code that was created; of a transaction the
    /// output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<Bytes>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What it called, created and destroyed, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<LegacyCall>,
}

/// Collects calls.
#[derive(Debug, Clone, Default)]
pub(super) struct LegacyCalls {
    /// Those that are open, the outermost first.
    open: Vec<Open>,
    /// The outermost, when it is closed.
    root: Option<LegacyCall>,
    /// What the next instruction would destroy.
    destruction: Option<Destruction>,
}

#[derive(Debug, Clone, Default)]
struct Open {
    call: LegacyCall,
    /// The instruction that it began last, if it has begun any.
    last: Option<Instruction>,
    /// What it has returned, if it came to that.
    returned: Option<Bytes>,
    /// Where in the memory of its caller the output is to be.
    wanted: Range<usize>,
    /// Where in its own memory is the output of what it called last, until that is read.
    unread: Option<Range<usize>>,
}

impl LegacyCalls {
    pub(super) fn step(&mut self, interp: &Interpreter, context: &TraceCtx<'_>) {
        let Some(open) = self.open.last_mut() else { return };
        open.last = Some(Instruction::next(interp));
        if let Some(range) = open.unread.take()
            && let Some(called) = open.call.calls.last_mut()
        {
            // Of no bytes the place is out of memory.
            let memory = interp.memory.context_memory();
            called.output = Some(memory.get(range).map(Bytes::copy_from_slice).unwrap_or_default());
        }
        self.destruction = next_destruction(interp, context);
    }

    pub(super) fn step_end(&mut self, interp: &mut Interpreter) {
        let destruction = self.destruction.take();
        let Some(open) = self.open.last_mut() else { return };
        let Some(InterpreterAction::Return(result)) = interp.bytecode.action() else { return };
        match result.result {
            InstructionResult::SelfDestruct => {
                open.call.calls.extend(destruction.map(|(from, to, value)| LegacyCall {
                    typ: DESTRUCTION,
                    from,
                    to: Some(to),
                    value: Some(value),
                    ..LegacyCall::default()
                }));
            }
            InstructionResult::Return => open.returned = Some(result.output.clone()),
            _ => {}
        }
    }

    pub(super) fn call(&mut self, context: &TraceCtx<'_>, inputs: &CallInputs) {
        let (typ, from, to) = call_named(inputs);
        let has_value = matches!(inputs.scheme, CallScheme::Call | CallScheme::CallCode);
        let call = LegacyCall {
            typ,
            from,
            to: Some(to),
            value: has_value.then(|| inputs.call_value()),
            gas: Some(U256::from(inputs.gas_limit)),
            input: Some(inputs.input.bytes(context)),
            ..LegacyCall::default()
        };
        let wanted = inputs.return_memory_offset.clone();
        self.open.push(Open { call, wanted, ..Open::default() });
    }

    pub(super) fn call_end(&mut self, outcome: &CallOutcome) {
        let Some(Open { mut call, last, wanted, .. }) = self.open.pop() else { return };
        let InterpreterResult { result, output, gas } = &outcome.result;
        let given = call.gas.take().unwrap_or_default();
        if last.is_some() {
            call.gas = Some(given);
            call.gas_used = Some(gas_used(*result, gas, given));
        }
        match self.open.last_mut() {
            Some(caller) if result.is_ok() => caller.unread = Some(wanted),
            Some(_) => call.error = Some(words_of(*result, last)),
            None => {
                if !result.is_ok() {
                    let to = call.to.unwrap_or_default();
                    let input_bytes = call.input.as_ref().map_or(0, |input| input.len());
                    let last = last.unwrap_or_default();
                    call.error = Some(words::of_call(*result, to, input_bytes, last));
                }
                call.output = output_of_root(*result, output);
            }
        }
        self.attach(call);
    }

    pub(super) fn create(&mut self, context: &TraceCtx<'_>, inputs: &CreateInputs) {
        // Of a transaction it is told also where nothing is created.
        let to = self.open.is_empty().then(|| {
            let creator = context.journaled_state.inner.state.get(&inputs.caller());
            let nonce = creator.map(|creator| creator.info.nonce).unwrap_or_default();
            inputs.created_address(nonce)
        });
        let call = LegacyCall {
            typ: creation_named(inputs),
            from: inputs.caller(),
            to,
            value: Some(inputs.value()),
            gas: Some(U256::from(inputs.gas_limit())),
            input: Some(inputs.init_code().clone()),
            ..LegacyCall::default()
        };
        self.open.push(Open { call, ..Open::default() });
    }

    pub(super) fn create_end(&mut self, outcome: &CreateOutcome) {
        let Some(Open { mut call, last, returned, .. }) = self.open.pop() else { return };
        let InterpreterResult { result, output, gas } = &outcome.result;
        // A creator whose nonce is the last one: the EVM implementation gives no address.
        let is_overflow = result.is_ok() && outcome.address.is_none();
        let result = if is_overflow { InstructionResult::NonceOverflow } else { *result };
        let given = call.gas.take().unwrap_or_default();
        call.gas = last.is_some().then_some(given);
        call.gas_used = Some(gas_used(result, gas, given));
        if self.open.is_empty() {
            if !result.is_ok() {
                let last = last.unwrap_or_default();
                call.error = Some(words::of_creation(result, returned.is_some(), last));
            }
            // What was returned, if it is kept or not: see `Calls::create_end`.
            call.output = output_of_root(result, returned.as_ref().unwrap_or(output));
        } else if result.is_ok() {
            call.to = outcome.address;
            call.output = Some(output.clone());
        } else {
            // After its last instruction none can have failed.
            call.error = Some(words_of(result, last.filter(|_| returned.is_none())));
        }
        self.attach(call);
    }

    fn attach(&mut self, call: LegacyCall) {
        match self.open.last_mut() {
            None => self.root = Some(call),
            Some(caller) => caller.call.calls.push(call),
        }
    }

    /// The tree of a transaction that used so much gas.
    pub(super) fn into_call(self, place: &Place<'_>, tx: &TxEnv, gas: &ResultGas) -> LegacyCall {
        let mut root = self.root.unwrap_or_else(|| {
            let CallFrame { from, to, value, input, error, .. } = never_began(tx);
            let typ = if to.is_some() { "CALL" } else { "CREATE" };
            LegacyCall { typ, from, to, value, input: Some(input), error, ..LegacyCall::default() }
        });
        root.gas = Some(U256::from(tx.gas_limit));
        root.gas_used = Some(U256::from(gas.tx_gas_used()));
        let hidden: HashSet<Address> = precompiles(place.rules).into_values().collect();
        let is_hidden = |call: &LegacyCall| {
            call.typ != DESTRUCTION && call.to.is_some_and(|to| hidden.contains(&to))
        };
        let mut open = vec![&mut root];
        while let Some(call) = open.pop() {
            call.calls.retain(|call| !is_hidden(call));
            open.extend(&mut call.calls);
        }
        root
    }
}

/// Why a call failed that is not the outermost one, by the instruction that failed, if one did.
fn words_of(result: InstructionResult, failed: Option<Instruction>) -> String {
    failed.map_or_else(|| INTERNAL.to_owned(), |failed| failed.halted(result))
}

/// What a transaction gave, unless it failed without a word.
fn output_of_root(result: InstructionResult, output: &Bytes) -> Option<Bytes> {
    let has_words = result == InstructionResult::Revert && !output.is_empty();
    (result.is_ok() || has_words).then(|| output.clone())
}
