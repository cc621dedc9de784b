//! The instructions of a transaction as go-ethereum's logger tells of them.

use crate::trace::words::Instruction;
use alloy_primitives::hex;
use alloy_rpc_types_trace::geth::{DefaultFrame, GethDefaultTracingOptions, StructLog};
use fugue_types::{Address, AddressMap, B256, Bytes, U256};
use revm::{
    bytecode::opcode,
    context_interface::result::ExecutionResult,
    interpreter::{
        InstructionResult, Interpreter, InterpreterAction,
        interpreter_types::{InputsTr, Jumps, LoopControl, ReturnData, RuntimeFlag},
    },
    primitives::hardfork::SpecId,
};
use std::collections::BTreeMap;

/// Bytes of a word of memory.
const WORD: usize = 32;

/// Collects steps.
#[derive(Debug, Clone, Default)]
pub(super) struct Steps {
    options: GethDefaultTracingOptions,
    logs: Vec<StructLog>,
    /// Of each contract the slots that were read or written, with their values then.
    slots: AddressMap<BTreeMap<B256, B256>>,
    /// The frames that are open, the outermost first.
    open: Vec<Open>,
    /// The instruction that runs at this moment, if it is recorded.
    current: Option<Current>,
    /// What the outermost frame has returned, if it is a creation.
    code: Option<Bytes>,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    is_creation: bool,
    /// Refunds of the frames that it was called from, when it began.
    refunded_before: i64,
    /// Its own, at its last instruction.
    refunded: i64,
    /// Index of the last step that was recorded of it.
    last: Option<usize>,
}

#[derive(Debug, Clone, Copy)]
struct Current {
    index: usize,
    instruction: Instruction,
    state_gas: i64,
    /// The slot that it reads, or writes, and with what.
    slot: Option<(U256, Option<U256>)>,
}

impl Steps {
    pub(super) fn new(options: GethDefaultTracingOptions) -> Self {
        Self { options, ..Self::default() }
    }

    /// A frame begins. `granted` is refunded before the outermost one.
    pub(super) fn begin(&mut self, is_creation: bool, granted: u64) {
        let below = self.open.last().map_or(i64::try_from(granted).unwrap_or(i64::MAX), |open| {
            open.refunded_before.saturating_add(open.refunded)
        });
        let open = Open { is_creation, refunded_before: below, refunded: 0, last: None };
        self.open.push(open);
    }

    /// A creation takes its gas within the instruction that makes it: that is no cost of the
    /// instruction.
    pub(super) fn begin_creation(&mut self, gas: u64) {
        if let Some(log) =
            self.open.last().and_then(|open| open.last).and_then(|last| self.logs.get_mut(last))
        {
            log.gas_cost = log.gas_cost.saturating_sub(gas);
        }
        // A transaction that creates delegates nothing.
        self.begin(true, 0);
    }

    pub(super) fn end(&mut self) {
        self.open.pop();
    }

    fn has_room(&self) -> bool {
        let limit = self.options.limit.filter(|limit| *limit != 0);
        limit.is_none_or(|limit| (self.logs.len() as u64) < limit)
    }

    pub(super) fn step(&mut self, interp: &Interpreter) {
        self.current = None;
        let (index, has_room) = (self.logs.len(), self.has_room());
        let Some(open) = self.open.last_mut() else { return };
        open.last = has_room.then_some(index);
        if !has_room {
            return;
        }
        let instruction = Instruction::next(interp);
        let stack = interp.stack.data();
        let word = |from_top: usize| stack.iter().rev().nth(from_top).copied();
        let slot = match interp.bytecode.opcode() {
            _ if !self.options.is_storage_enabled() => None,
            opcode::SLOAD => word(0).map(|slot| (slot, None)),
            opcode::SSTORE => word(0).zip(word(1)).map(|(slot, value)| (slot, Some(value))),
            _ => None,
        };
        let has_state_gas = interp.runtime_flag.spec_id().is_enabled_in(SpecId::AMSTERDAM);
        let return_data = interp.return_data.buffer();
        let shows_return_data = self.options.is_return_data_enabled() && !return_data.is_empty();
        let shows_memory = self.options.is_memory_enabled() && !interp.memory.is_empty();
        self.logs.push(StructLog {
            pc: interp.bytecode.pc() as u64,
            op: instruction.name(),
            gas: interp.gas.remaining(),
            depth: (interp.input.depth() as u64).saturating_add(1),
            stack: self.options.is_stack_enabled().then(|| stack.clone()),
            memory: shows_memory.then(|| words(&interp.memory.context_memory())),
            return_data: shows_return_data.then(|| return_data.clone()),
            state_gas_reservoir: has_state_gas.then(|| interp.gas.reservoir()),
            ..StructLog::default()
        });
        let state_gas = interp.gas.state_gas_spent();
        self.current = Some(Current { index, instruction, state_gas, slot });
    }

    pub(super) fn step_end(&mut self, interp: &mut Interpreter) {
        let is_outermost = self.open.len() == 1;
        let Some(open) = self.open.last_mut() else { return };
        open.refunded = interp.gas.refunded();
        // Refunds of an instruction count before it is told of.
        let refunded = open.refunded_before.saturating_add(open.refunded);
        let ended = match interp.bytecode.action() {
            Some(InterpreterAction::Return(result)) => {
                let returns = result.result == InstructionResult::Return;
                if returns && is_outermost && open.is_creation {
                    self.code = Some(result.output.clone());
                }
                Some(result.result)
            }
            _ => None,
        };
        let Some(Current { index, instruction, state_gas, slot }) = self.current.take() else {
            return;
        };
        let Some(log) = self.logs.get_mut(index) else { return };
        log.gas_cost = log.gas.saturating_sub(interp.gas.remaining());
        log.refund_counter = u64::try_from(refunded).ok().filter(|refunded| *refunded != 0);
        let state_gas = interp.gas.state_gas_spent().saturating_sub(state_gas);
        log.state_gas_cost = log.state_gas_reservoir.and(Some(state_gas)).filter(|gas| *gas != 0);
        let halted = ended.filter(|ended| ended.is_halt());
        log.error = halted.map(|ended| instruction.halted(ended));
        if let Some((slot, written)) = slot
            && halted.is_none()
            && let Some(value) = written.or_else(|| interp.stack.data().last().copied())
        {
            let contract: Address = interp.input.target_address();
            let slots = self.slots.entry(contract).or_default();
            slots.insert(slot.into(), value.into());
            log.storage = Some(slots.clone());
        }
    }

    /// The steps of a transaction that ended so; `is_split` if its gas is told apart by its two
    /// dimensions (EIP-8037).
    pub(super) fn into_frame(self, result: &ExecutionResult, is_split: bool) -> DefaultFrame {
        let gas = result.gas();
        let output = result.output().cloned().unwrap_or_default();
        // On Frontier a creation that cannot pay for its code succeeds without one, and what is
        // shown is the code that it gave. Source: EIP-2, which ended that.
        let code = self.code.filter(|_| result.is_success());
        DefaultFrame {
            failed: !result.is_success(),
            gas: gas.tx_gas_used(),
            execution_gas_used: is_split.then(|| gas.block_regular_gas_used()),
            state_gas_used: is_split.then(|| gas.block_state_gas_used()),
            gas_refund: is_split.then(|| gas.final_refunded()),
            return_value: code.unwrap_or(output),
            struct_logs: self.logs,
        }
    }
}

/// Memory in words of hexadecimal digits.
fn words(memory: &[u8]) -> Vec<String> {
    memory.chunks(WORD).map(hex::encode_prefixed).collect()
}
