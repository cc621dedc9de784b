//! What the parts of a trace weigh: bytes that an inspector keeps, and that the trace made of it
//! takes, about.

use alloy_rpc_types_trace::geth::GethDefaultTracingOptions;
use revm::{
    bytecode::opcode::{self, OpCode},
    interpreter::{
        Interpreter,
        interpreter_types::{Jumps, ReturnData},
    },
};

/// A recorded step, and the entry of the trace that is made of it.
const STEP: usize = 600;
/// A step of which the parts are put together without a copy.
const LEAN_STEP: usize = 350;
/// A word of the stack: recorded, and in the trace.
const STACK_WORD: usize = 96;
/// A slot that the trace shows at a step.
const SLOT: usize = 64;
/// A call, without its data.
const CALL: usize = 1_000;
/// A byte of the input or output of a call, or of a log: recorded, and in hexadecimal digits.
const DATA_BYTE: usize = 3;
/// A byte of memory that the trace shows in words of hexadecimal digits.
const SHOWN_BYTE: usize = 3;

/// Which memory is kept at a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Memory {
    None,
    /// All of it, and shown at each step.
    Shown,
    /// All of it where it may have changed; and what is hashed.
    Kept,
    /// What the step writes.
    Written,
}

/// What of a run is kept; nothing, where all is zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Weights {
    step: usize,
    /// Of each word of the stack before the step.
    stack_word: usize,
    /// Of each word that the step leaves on the stack.
    pushed_word: usize,
    memory: Memory,
    shows_return_data: bool,
    /// All known slots of a contract are shown again at each look at one.
    pub(super) shows_storage: bool,
    /// Steps that are kept at most.
    steps_max: Option<u64>,
    call: usize,
    data_byte: usize,
}

impl Weights {
    /// Of inspectors that keep a number or two, or nothing.
    pub(super) const NOTHING: Self = Self {
        step: 0,
        stack_word: 0,
        pushed_word: 0,
        memory: Memory::None,
        shows_return_data: false,
        shows_storage: false,
        steps_max: None,
        call: 0,
        data_byte: 0,
    };
    /// Of calls, with their data and logs.
    pub(super) const CALLS: Self = Self { call: CALL, data_byte: DATA_BYTE, ..Self::NOTHING };
    /// Of the tracer of ERC-7562: calls, and what each instruction looks at.
    pub(super) const VALIDATION: Self =
        Self { step: LEAN_STEP, stack_word: 32, memory: Memory::Kept, ..Self::CALLS };
    /// Of calls, and of what each instruction leaves behind.
    pub(super) const VM: Self =
        Self { step: STEP, pushed_word: STACK_WORD, memory: Memory::Written, ..Self::CALLS };

    /// Of the steps that these options ask for.
    pub(super) fn steps(options: &GethDefaultTracingOptions) -> Self {
        Self {
            step: STEP,
            stack_word: if options.is_stack_enabled() { STACK_WORD } else { 0 },
            memory: if options.is_memory_enabled() { Memory::Shown } else { Memory::None },
            shows_return_data: options.is_return_data_enabled(),
            shows_storage: options.is_storage_enabled(),
            steps_max: options.limit.filter(|limit| *limit != 0),
            // Outputs are kept, though they are not shown.
            ..Self::CALLS
        }
    }

    /// Of the step that comes next, the `count`th of the run.
    pub(super) fn of_step(&self, interp: &Interpreter, count: u64) -> usize {
        if self.step == 0 || self.steps_max.is_some_and(|max| count > max) {
            return 0;
        }
        let op = interp.bytecode.opcode();
        let mut bytes = self.step;
        let mut add = |count: usize, weight: usize| {
            bytes = bytes.saturating_add(count.saturating_mul(weight));
        };
        add(interp.stack.len(), self.stack_word);
        if self.pushed_word > 0 {
            let pushed = OpCode::new(op).map_or(0, |op| usize::from(op.outputs()));
            add(pushed, self.pushed_word);
        }
        match self.memory {
            Memory::None => {}
            Memory::Shown => add(interp.memory.len(), SHOWN_BYTE),
            Memory::Kept => {
                if OpCode::new(op).is_some_and(|op| op.modifies_memory()) {
                    add(interp.memory.len(), 1);
                    add(range_bytes(op, interp), 1);
                }
            }
            Memory::Written => add(range_bytes(op, interp), DATA_BYTE),
        }
        if self.shows_return_data {
            add(interp.return_data.buffer().len(), 2);
        }
        bytes
    }

    /// Of so many slots that a step shows.
    pub(super) fn of_slots(&self, count: usize) -> usize {
        count.saturating_mul(SLOT)
    }

    /// Of a call with an input of this size.
    pub(super) fn of_call(&self, input: usize) -> usize {
        self.call.saturating_add(self.of_data(input))
    }

    /// Of the output of a call, or of a log.
    pub(super) fn of_data(&self, bytes: usize) -> usize {
        bytes.saturating_mul(self.data_byte)
    }
}

/// Bytes of memory that the next instruction reads or writes as a range; zero if its gas does not
/// pay for them.
fn range_bytes(op: u8, interp: &Interpreter) -> usize {
    let argument = |index: usize| {
        let found = interp.stack.data().iter().rev().nth(index);
        found.map_or(0, |size| size.saturating_to::<usize>())
    };
    let size = match op {
        opcode::MLOAD | opcode::MSTORE => 32,
        opcode::MSTORE8 => 1,
        opcode::KECCAK256 => argument(1),
        opcode::CALLDATACOPY | opcode::CODECOPY | opcode::RETURNDATACOPY | opcode::MCOPY => {
            argument(2)
        }
        opcode::EXTCODECOPY => argument(3),
        _ => 0,
    };
    // A word of a copy costs 3 gas, one of a hash 6. Source: Yellow Paper, G_copy, G_keccak256word.
    let paid = (interp.gas.remaining() / 3).saturating_mul(32).saturating_add(32);
    if size as u64 > paid { 0 } else { size }
}
