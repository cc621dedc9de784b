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
/// A word of the stack that is recorded, and told in the trace.
const STACK_WORD: usize = 96;
/// A word of the stack that the trace shows as it was recorded.
const SHOWN_WORD: usize = 40;
/// A slot that the trace shows at a step.
const SLOT: usize = 96;
/// A call, without its data.
const CALL: usize = 1_000;
/// A call, for each call on the way to it: its place in a list of calls.
const PLACE: usize = 8;
/// A function of a contract that is called.
const SELECTOR: usize = 120;
/// An account or a slot that an instruction names, where it is told of once.
const NAMED: usize = 300;
/// A byte of the input or output of a call, or of a log: recorded, and in hexadecimal digits.
const DATA_BYTE: usize = 3;
/// A byte of memory that the trace shows in words of hexadecimal digits.
const SHOWN_BYTE: usize = 4;

/// Which memory is kept at a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Memory {
    None,
    /// All of it, and shown at each step.
    Shown,
    /// What is hashed.
    Hashed,
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
    /// Of an instruction that names an account or a slot.
    named: usize,
    call: usize,
    /// Nothing is kept of the calls below the transaction itself.
    only_top: bool,
    /// Of a call, for each call on the way to it.
    place: usize,
    data_byte: usize,
    /// Of each byte of memory in which a call leaves its output.
    output_byte: usize,
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
        named: 0,
        call: 0,
        only_top: false,
        place: 0,
        data_byte: 0,
        output_byte: 0,
    };
    /// Of calls, with their data and logs.
    pub(super) const CALLS: Self =
        Self { call: CALL, place: PLACE, data_byte: DATA_BYTE, ..Self::NOTHING };
    /// Of the transaction itself, with its data and logs.
    pub(super) const TOP_CALL: Self = Self { only_top: true, ..Self::CALLS };
    /// Of calls, with the memory in which their callers have the output.
    pub(super) const LEGACY_CALLS: Self = Self { output_byte: DATA_BYTE, ..Self::CALLS };
    /// Of the functions that are called.
    pub(super) const SELECTORS: Self = Self { call: SELECTOR, ..Self::NOTHING };
    /// Of what instructions look at. Codes are weighed where they are read.
    pub(super) const STATE: Self = Self { named: NAMED, call: NAMED, ..Self::NOTHING };
    /// Of the tracer of ERC-7562: calls, of each a table of its instructions, and what they look
    /// at.
    pub(super) const VALIDATION: Self =
        Self { named: NAMED, memory: Memory::Hashed, call: 4 * CALL, ..Self::CALLS };
    /// Of calls, and of what each instruction leaves behind.
    pub(super) const VM: Self =
        Self { step: STEP, pushed_word: STACK_WORD, memory: Memory::Written, ..Self::CALLS };

    /// Of the steps that these options ask for.
    pub(super) fn steps(options: &GethDefaultTracingOptions) -> Self {
        Self {
            step: STEP,
            stack_word: if options.is_stack_enabled() { SHOWN_WORD } else { 0 },
            memory: if options.is_memory_enabled() { Memory::Shown } else { Memory::None },
            shows_return_data: options.is_return_data_enabled(),
            shows_storage: options.is_storage_enabled(),
            steps_max: options.limit.filter(|limit| *limit != 0),
            ..Self::NOTHING
        }
    }

    /// Of two inspectors that look on together, neither of which keeps steps.
    pub(super) fn with(self, other: Self) -> Self {
        let hashes = |it: &Self| it.memory == Memory::Hashed;
        let memory = if hashes(&self) || hashes(&other) { Memory::Hashed } else { Memory::None };
        Self {
            memory,
            named: self.named.saturating_add(other.named),
            call: self.call.saturating_add(other.call),
            place: self.place.saturating_add(other.place),
            data_byte: self.data_byte.saturating_add(other.data_byte),
            output_byte: self.output_byte.saturating_add(other.output_byte),
            ..Self::NOTHING
        }
    }

    /// Of the step that comes next, the `count`th of the run.
    pub(super) fn of_step(&self, interp: &Interpreter, count: u64) -> usize {
        let op = interp.bytecode.opcode();
        let mut bytes = if self.named > 0 && names(op) { self.named } else { 0 };
        if self.memory == Memory::Hashed && op == opcode::KECCAK256 {
            bytes = bytes.saturating_add(range_bytes(op, interp).saturating_mul(DATA_BYTE));
        }
        if self.output_byte > 0 {
            bytes = bytes.saturating_add(output_bytes(op, interp).saturating_mul(self.output_byte));
        }
        if self.step == 0 || self.steps_max.is_some_and(|max| count > max) {
            return bytes;
        }
        bytes = bytes.saturating_add(self.step);
        let mut add = |count: usize, weight: usize| {
            bytes = bytes.saturating_add(count.saturating_mul(weight));
        };
        add(interp.stack.len(), self.stack_word);
        if self.pushed_word > 0 {
            let pushed = OpCode::new(op).map_or(0, |op| usize::from(op.outputs()));
            add(pushed, self.pushed_word);
        }
        match self.memory {
            Memory::None | Memory::Hashed => {}
            Memory::Shown => add(interp.memory.len(), SHOWN_BYTE),
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

    /// Of a call with an input of this size, below so many others.
    pub(super) fn of_call(&self, input: usize, depth: usize) -> usize {
        if self.only_top && depth > 0 {
            return 0;
        }
        let place = depth.saturating_mul(self.place);
        self.call.saturating_add(place).saturating_add(self.of_data(input))
    }

    /// Of the output of a call below so many others.
    pub(super) fn of_output(&self, bytes: usize, depth: usize) -> usize {
        if self.only_top && depth > 0 { 0 } else { self.of_data(bytes) }
    }

    /// Of the input or output of a call, or of a log.
    pub(super) fn of_data(&self, bytes: usize) -> usize {
        bytes.saturating_mul(self.data_byte)
    }
}

/// Whether an instruction names an account or a slot.
const fn names(op: u8) -> bool {
    matches!(
        op,
        opcode::SLOAD
            | opcode::SSTORE
            | opcode::TLOAD
            | opcode::TSTORE
            | opcode::BALANCE
            | opcode::EXTCODESIZE
            | opcode::EXTCODECOPY
            | opcode::EXTCODEHASH
            | opcode::CALL
            | opcode::CALLCODE
            | opcode::DELEGATECALL
            | opcode::STATICCALL
            | opcode::SELFDESTRUCT
    )
}

/// Bytes of memory that the next instruction reads or writes as a range; zero if its gas does not
/// pay for them.
fn range_bytes(op: u8, interp: &Interpreter) -> usize {
    let argument = |index| argument(interp, index);
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
    if size as u64 > payable_bytes(interp) { 0 } else { size }
}

/// Bytes of memory in which the next instruction, if it is a call, leaves its output; zero if its
/// gas does not pay for what of them is not there yet.
fn output_bytes(op: u8, interp: &Interpreter) -> usize {
    let size = match op {
        opcode::CALL | opcode::CALLCODE => argument(interp, 6),
        opcode::DELEGATECALL | opcode::STATICCALL => argument(interp, 5),
        _ => 0,
    };
    let there = interp.memory.len() as u64;
    if size as u64 > payable_bytes(interp).saturating_add(there) { 0 } else { size }
}

/// The word of the stack so far from its top, as a size.
fn argument(interp: &Interpreter, index: usize) -> usize {
    let found = interp.stack.data().iter().rev().nth(index);
    found.map_or(0, |size| size.saturating_to::<usize>())
}

/// Bytes that the gas pays for, at 3 a word. Source: Yellow Paper, G_copy, G_memory.
fn payable_bytes(interp: &Interpreter) -> u64 {
    (interp.gas.remaining() / 3).saturating_mul(32).saturating_add(32)
}
