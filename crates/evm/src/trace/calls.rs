//! The calls of a transaction as go-ethereum's `callTracer` tells of them: a tree, with the gas of
//! the transaction at its root.

use crate::{
    revert_reason,
    trace::{
        run::TraceCtx,
        words::{self, Instruction},
    },
};
use alloy_rpc_types_trace::geth::{CallConfig, CallFrame, CallLogFrame};
use fugue_types::{Address, Bytes, Log, TxKind, U256};
use revm::{
    bytecode::opcode,
    context::TxEnv,
    context_interface::result::ResultGas,
    interpreter::{
        CallInputs, CallOutcome, CallScheme, CreateInputs, CreateOutcome, CreateScheme, Gas,
        InstructionResult, Interpreter, InterpreterAction, InterpreterResult,
        interpreter_types::{InputsTr, Jumps, LoopControl},
    },
};

/// Who is destroyed, for whom, and how many wei.
pub(super) type Destruction = (Address, Address, U256);

/// Collects calls.
#[derive(Debug, Clone, Default)]
pub(super) struct Calls {
    config: CallConfig,
    /// The frames that are open, the outermost first.
    open: Vec<Open>,
    /// The outermost, when it is closed.
    root: Option<CallFrame>,
    /// What the next instruction would destroy.
    destruction: Option<Destruction>,
}

#[derive(Debug, Clone)]
struct Open {
    frame: CallFrame,
    last: Instruction,
    /// What a creation has returned, whether or not it can pay for it.
    code: Option<Bytes>,
    is_creation: bool,
}

impl Calls {
    pub(super) fn new(config: CallConfig) -> Self {
        Self { config, ..Self::default() }
    }

    /// Whether nothing is told below the transaction itself.
    pub(super) fn only_top(&self) -> bool {
        self.config.only_top_call.unwrap_or_default()
    }

    /// Whether frames below the open ones are left out.
    fn leaves_out(&self) -> bool {
        self.only_top() && !self.open.is_empty()
    }

    fn begin(&mut self, frame: CallFrame, is_creation: bool) {
        self.open.push(Open { frame, last: Instruction::default(), code: None, is_creation });
    }

    pub(super) fn step(&mut self, interp: &Interpreter, context: &TraceCtx<'_>) {
        let Some(open) = self.open.last_mut() else { return };
        open.last = Instruction::next(interp);
        self.destruction = next_destruction(interp, context);
    }

    pub(super) fn step_end(&mut self, interp: &mut Interpreter) {
        let destruction = self.destruction.take();
        let Some(InterpreterAction::Return(result)) = interp.bytecode.action() else { return };
        match result.result {
            InstructionResult::SelfDestruct => {
                let leaves_out = self.only_top();
                if let Some((from, to, value)) = destruction.filter(|_| !leaves_out)
                    && let Some(open) = self.open.last_mut()
                {
                    open.frame.calls.push(CallFrame {
                        typ: "SELFDESTRUCT".to_owned(),
                        from,
                        to: Some(to),
                        value: Some(value),
                        ..CallFrame::default()
                    });
                }
            }
            InstructionResult::Return => {
                if let Some(open) = self.open.last_mut().filter(|open| open.is_creation) {
                    open.code = Some(result.output.clone());
                }
            }
            _ => {}
        }
    }

    pub(super) fn log(&mut self, context: &TraceCtx<'_>, log: &Log) {
        let leaves_out = self.only_top() && self.open.len() > 1;
        if !self.config.with_log.unwrap_or_default() || leaves_out {
            return;
        }
        let Some(open) = self.open.last_mut() else { return };
        // The journal has it already, and forgets those of what is reverted.
        let index = context.journaled_state.inner.logs.len().saturating_sub(1);
        open.frame.logs.push(CallLogFrame {
            address: Some(log.address),
            topics: Some(log.data.topics().to_vec()),
            data: Some(log.data.data.clone()),
            position: Some(open.frame.calls.len() as u64),
            index: Some(index as u64),
        });
    }

    pub(super) fn call(&mut self, context: &TraceCtx<'_>, inputs: &CallInputs) {
        if self.leaves_out() {
            self.begin(CallFrame::default(), false);
            return;
        }
        let (typ, from, to) = call_named(inputs);
        let value = (!inputs.scheme.is_static_call()).then(|| inputs.call_value());
        let frame = CallFrame {
            typ: typ.to_owned(),
            from,
            to: Some(to),
            value,
            gas: U256::from(inputs.gas_limit),
            input: inputs.input.bytes(context),
            ..CallFrame::default()
        };
        self.begin(frame, false);
    }

    pub(super) fn call_end(&mut self, outcome: &CallOutcome) {
        let Some(Open { mut frame, last, .. }) = self.open.pop() else { return };
        let InterpreterResult { result, output, gas } = &outcome.result;
        frame.gas_used = gas_used(*result, gas, frame.gas);
        if result.is_ok() {
            frame.output = Some(output.clone()).filter(|output| !output.is_empty());
        } else {
            let to = frame.to.unwrap_or_default();
            frame.error = Some(words::of_call(*result, to, frame.input.len(), last));
            add_revert(&mut frame, *result, output);
        }
        self.attach(frame);
    }

    pub(super) fn create(&mut self, inputs: &CreateInputs) {
        if self.leaves_out() {
            self.begin(CallFrame::default(), true);
            return;
        }
        let frame = CallFrame {
            typ: creation_named(inputs).to_owned(),
            from: inputs.caller(),
            value: Some(inputs.value()),
            gas: U256::from(inputs.gas_limit()),
            input: inputs.init_code().clone(),
            ..CallFrame::default()
        };
        self.begin(frame, true);
    }

    pub(super) fn create_end(&mut self, outcome: &CreateOutcome) {
        let Some(Open { mut frame, last, code, .. }) = self.open.pop() else { return };
        let InterpreterResult { result, output, gas } = &outcome.result;
        // A creator whose nonce is the last one: the EVM implementation gives no address.
        let is_overflow = result.is_ok() && outcome.address.is_none();
        let result = if is_overflow { InstructionResult::NonceOverflow } else { *result };
        frame.gas_used = gas_used(result, gas, frame.gas);
        if result.is_ok() {
            frame.to = outcome.address;
            // On Frontier a creation that cannot pay for its code succeeds without one, and what is
            // shown is the code that it gave. Source: EIP-2, which ended that.
            let code = code.unwrap_or_else(|| output.clone());
            frame.output = Some(code).filter(|code| !code.is_empty());
        } else {
            frame.error = Some(words::of_creation(result, code.is_some(), last));
            add_revert(&mut frame, result, output);
        }
        self.attach(frame);
    }

    fn attach(&mut self, frame: CallFrame) {
        let only_top = self.only_top();
        match self.open.last_mut() {
            None => self.root = Some(frame),
            Some(parent) if !only_top => parent.frame.calls.push(frame),
            Some(_) => {}
        }
    }

    /// The tree of a transaction that used so much gas; `is_split` if it is told apart by its two
    /// dimensions (EIP-8037).
    pub(super) fn into_frame(self, tx: &TxEnv, gas: &ResultGas, is_split: bool) -> CallFrame {
        let mut root = self.root.unwrap_or_else(|| never_began(tx));
        root.gas = U256::from(tx.gas_limit);
        root.gas_used = U256::from(gas.tx_gas_used());
        if is_split {
            root.execution_gas_used = Some(U256::from(gas.block_regular_gas_used()));
            root.state_gas_used = Some(U256::from(gas.block_state_gas_used()));
            root.gas_refund = Some(U256::from(gas.final_refunded()));
        }
        if self.config.with_log.unwrap_or_default() {
            forget_lost_logs(&mut root);
        }
        root
    }
}

/// What the next instruction would destroy.
pub(super) fn next_destruction(
    interp: &Interpreter,
    context: &TraceCtx<'_>,
) -> Option<Destruction> {
    if interp.bytecode.opcode() != opcode::SELFDESTRUCT {
        return None;
    }
    let heir = Address::from_word((*interp.stack.data().last()?).into());
    let contract = interp.input.target_address();
    let account = context.journaled_state.inner.state.get(&contract);
    let balance = account.map(|account| account.info.balance).unwrap_or_default();
    Some((contract, heir, balance))
}

/// The instruction that makes a call, who makes it, and whose code is to run.
pub(super) fn call_named(inputs: &CallInputs) -> (&'static str, Address, Address) {
    let CallInputs { caller, target_address, bytecode_address, .. } = *inputs;
    match inputs.scheme {
        CallScheme::Call => ("CALL", caller, target_address),
        CallScheme::StaticCall => ("STATICCALL", caller, target_address),
        CallScheme::CallCode => ("CALLCODE", target_address, bytecode_address),
        CallScheme::DelegateCall => ("DELEGATECALL", target_address, bytecode_address),
    }
}

/// The instruction that makes a creation.
pub(super) fn creation_named(inputs: &CreateInputs) -> &'static str {
    match inputs.scheme() {
        CreateScheme::Create2 { .. } => "CREATE2",
        CreateScheme::Create | CreateScheme::Custom { .. } => "CREATE",
    }
}

/// From Amsterdam on a transaction may run out of gas before its first frame.
pub(super) fn never_began(tx: &TxEnv) -> CallFrame {
    let (typ, to) = match tx.kind {
        TxKind::Call(to) => ("CALL", Some(to)),
        TxKind::Create => ("CREATE", None),
    };
    CallFrame {
        typ: typ.to_owned(),
        from: tx.caller,
        to,
        value: Some(tx.value),
        input: tx.data.clone(),
        error: Some("out of gas".to_owned()),
        ..CallFrame::default()
    }
}

/// Of the gas that it was given. A halt takes all of it; a revert, and what is refused before it
/// begins, gives back what is left.
pub(super) fn gas_used(result: InstructionResult, gas: &Gas, given: U256) -> U256 {
    if result.is_ok_or_revert() || result == InstructionResult::NonceOverflow {
        U256::from(gas.total_gas_spent())
    } else {
        given
    }
}

fn add_revert(frame: &mut CallFrame, result: InstructionResult, output: &Bytes) {
    if result == InstructionResult::Revert && !output.is_empty() {
        frame.revert_reason = revert_reason(output).filter(|reason| !reason.is_empty());
        frame.output = Some(output.clone());
    }
}

/// What fails leaves no logs, nor does what it called.
fn forget_lost_logs(root: &mut CallFrame) {
    let mut open = vec![(root, false)];
    while let Some((frame, is_lost)) = open.pop() {
        let CallFrame { calls, logs, error, .. } = frame;
        let is_lost = is_lost || error.is_some();
        if is_lost {
            logs.clear();
        }
        open.extend(calls.iter_mut().map(|call| (call, is_lost)));
    }
}
