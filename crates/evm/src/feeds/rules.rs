//! What each instruction makes of the marks of what it takes.

use super::{
    marks::Marks,
    values::{Place, Read, StateValue, Values},
};
use fugue_types::{Address, U256};
use revm::bytecode::opcode as op;

/// Bytes of a word.
const WORD: usize = 32;

/// What is known of a frame.
#[derive(Debug, Default)]
pub(super) struct Frame {
    /// Beside the stack of the interpreter.
    pub(super) stack: Vec<bool>,
    memory: Marks,
    input: Marks,
    /// Of the last call that it made.
    pub(super) returned: Marks,
    /// What it ends with.
    pub(super) output: Marks,
    /// The value that it was called with is marked.
    has_marked_value: bool,
    /// Where in the memory of its caller the output goes, and how many bytes there are.
    room: (usize, usize),
    /// What it leaves on its caller's stack is marked: the address of what was created. Whether a
    /// call succeeded is a matter of the way that it takes.
    leaves_mark: bool,
    /// Whether an interpreter has begun with it: none does for precompiled contracts, for accounts
    /// without code, and for calls that fail at once.
    pub(super) has_begun: bool,
    /// Where the values stood before it.
    pub(super) checkpoint: usize,
}

/// What an instruction is to those who have only some of them run again.
#[derive(Debug, Default)]
pub(super) struct Step {
    /// It takes something that is marked.
    pub(super) is_fed: bool,
    /// What is marked decides which instruction is next, or where something is read or written:
    /// those who run it again have to see that this is as before.
    pub(super) is_guard: bool,
    /// It reads a changed value from the state.
    pub(super) is_source: bool,
    /// The frame that it begins, if it does.
    pub(super) begins: Option<Frame>,
}

impl Frame {
    /// Whether the n-th word from the top is marked.
    fn has(&self, n: usize) -> bool {
        let index = self.stack.len().checked_sub(n + 1);
        index.and_then(|index| self.stack.get(index)).copied().unwrap_or_default()
    }

    /// Whether any of these words from the top is.
    fn has_any(&self, words: impl IntoIterator<Item = usize>) -> bool {
        words.into_iter().any(|n| self.has(n))
    }

    /// Takes words from the top, and leaves one.
    fn replace(&mut self, taken: usize, is_marked: bool) {
        self.drop_words(taken);
        self.stack.push(is_marked);
    }

    fn drop_words(&mut self, taken: usize) {
        self.stack.truncate(self.stack.len().saturating_sub(taken));
    }

    /// Whether anything of what it was called with is marked.
    pub(super) fn has_marked_input(&self) -> bool {
        self.input.any(0, usize::MAX)
    }

    /// A call that it made has ended with so many bytes; `keeps` says whether the memory gets them.
    pub(super) fn take_back(&mut self, inner: Frame, len: usize, keeps: bool) {
        let Frame { output, room: (to, size), leaves_mark, .. } = inner;
        self.stack.push(leaves_mark);
        if keeps {
            self.memory.place(to, size.min(len), &output);
        }
        self.returned = output;
    }
}

/// A word as a place in memory, or as a length. What is beyond all memory ends the frame.
fn at(word: U256) -> usize {
    usize::try_from(word).unwrap_or(usize::MAX)
}

fn address(word: U256) -> Address {
    Address::from_word(word.into())
}

/// An instruction of the frame begins. `stack` is that of the interpreter, its top at the end, and
/// `here` the account whose storage it has. The instructions of EIP-8024 move no marks.
pub(super) fn step(
    code: u8,
    stack: &[U256],
    here: Address,
    frame: &mut Frame,
    values: &mut Values,
) -> Step {
    // Inner calls leave their word themselves; whatever else there is, none is marked.
    frame.stack.resize(stack.len(), false);
    let word = |n: usize| {
        let index = stack.len().checked_sub(n + 1);
        index.and_then(|index| stack.get(index)).copied().unwrap_or_default()
    };
    let mut step = Step::default();
    match code {
        op::PUSH0..=op::PUSH32 => frame.stack.push(false),
        op::DUP1..=op::DUP16 => {
            let is_marked = frame.has(usize::from(code - op::DUP1));
            frame.stack.push(is_marked);
        }
        op::SWAP1..=op::SWAP16 => {
            let top = frame.stack.len().saturating_sub(1);
            if let Some(other) = top.checked_sub(usize::from(code - op::SWAP1) + 1) {
                frame.stack.swap(top, other);
            }
        }
        op::POP => frame.drop_words(1),
        op::ISZERO | op::NOT | op::CLZ | op::BLOCKHASH | op::BLOBHASH => {
            step.is_fed = frame.has(0);
            frame.replace(1, step.is_fed);
        }
        op::ADDMOD | op::MULMOD => {
            step.is_fed = frame.has_any(0..3);
            frame.replace(3, step.is_fed);
        }
        op::ADD..=op::SIGNEXTEND | op::LT..=op::SAR => {
            step.is_fed = frame.has_any(0..2);
            frame.replace(2, step.is_fed);
        }
        op::KECCAK256 => {
            step.is_guard = frame.has_any(0..2);
            step.is_fed = frame.memory.any(at(word(0)), at(word(1)));
            frame.replace(2, step.is_fed || step.is_guard);
        }
        op::CALLVALUE => {
            step.is_fed = frame.has_marked_value;
            frame.stack.push(step.is_fed);
        }
        op::CALLDATALOAD => {
            step.is_guard = frame.has(0);
            step.is_fed = frame.input.any(at(word(0)), WORD);
            frame.replace(1, step.is_fed || step.is_guard);
        }
        op::SELFBALANCE => {
            let read = values.read(Place::State(StateValue::Balance(here)));
            (step.is_fed, step.is_source) = (read.is_marked, read.is_changed);
            frame.stack.push(read.is_marked);
        }
        op::BALANCE | op::EXTCODESIZE | op::EXTCODEHASH | op::SLOAD | op::TLOAD => {
            let place = match code {
                op::BALANCE => Place::State(StateValue::Balance(address(word(0)))),
                op::SLOAD => Place::State(StateValue::Slot(here, word(0))),
                op::TLOAD => Place::Transient(here, word(0)),
                _ => Place::State(StateValue::Code(address(word(0)))),
            };
            let Read { is_marked, is_changed } = values.read(place);
            step.is_guard = frame.has(0);
            (step.is_fed, step.is_source) = (is_marked, is_changed);
            frame.replace(1, is_marked || step.is_guard);
        }
        op::SSTORE | op::TSTORE => {
            let place = match code {
                op::SSTORE => Place::State(StateValue::Slot(here, word(0))),
                _ => Place::Transient(here, word(0)),
            };
            // What a slot has decides what it costs to store there (EIP-2200).
            step.is_source = values.read(place).is_changed;
            step.is_guard = frame.has(0);
            step.is_fed = frame.has(1) || step.is_source;
            values.write(place, frame.has(1));
            frame.drop_words(2);
        }
        op::MLOAD => {
            step.is_guard = frame.has(0);
            step.is_fed = frame.memory.any(at(word(0)), WORD);
            frame.replace(1, step.is_fed || step.is_guard);
        }
        op::MSTORE | op::MSTORE8 => {
            let len = if code == op::MSTORE { WORD } else { 1 };
            step.is_guard = frame.has(0);
            step.is_fed = frame.has(1);
            frame.memory.set(at(word(0)), len, step.is_fed);
            frame.drop_words(2);
        }
        op::CALLDATACOPY | op::RETURNDATACOPY | op::CODECOPY | op::MCOPY => {
            let (from, len) = (at(word(1)), at(word(2)));
            let part = match code {
                op::CALLDATACOPY => frame.input.part(from, len),
                op::RETURNDATACOPY => frame.returned.part(from, len),
                op::MCOPY => frame.memory.part(from, len),
                _ => Marks::default(),
            };
            step.is_guard = frame.has_any(0..3);
            step.is_fed = part.any(0, usize::MAX);
            frame.memory.place(at(word(0)), len, &part);
            frame.drop_words(3);
        }
        op::EXTCODECOPY => {
            let read = values.read(Place::State(StateValue::Code(address(word(0)))));
            step.is_guard = frame.has_any(0..4);
            (step.is_fed, step.is_source) = (read.is_marked, read.is_changed);
            frame.memory.set(at(word(1)), at(word(3)), read.is_marked);
            frame.drop_words(4);
        }
        op::JUMP => {
            step.is_guard = frame.has(0);
            frame.drop_words(1);
        }
        op::JUMPI => {
            step.is_guard = frame.has_any(0..2);
            frame.drop_words(2);
        }
        op::LOG0..=op::LOG4 => {
            let topics = usize::from(code - op::LOG0);
            step.is_guard = frame.has_any(0..2);
            let data = frame.memory.any(at(word(0)), at(word(1)));
            step.is_fed = data || frame.has_any(2..2 + topics);
            frame.drop_words(2 + topics);
        }
        op::RETURN | op::REVERT => {
            step.is_guard = frame.has_any(0..2);
            frame.output = frame.memory.part(at(word(0)), at(word(1)));
            step.is_fed = frame.output.any(0, usize::MAX);
        }
        op::CALL | op::CALLCODE | op::DELEGATECALL | op::STATICCALL => {
            step = call(code, word, here, frame, values);
        }
        op::CREATE | op::CREATE2 => {
            let taken = if code == op::CREATE { 3 } else { 4 };
            let nonce = values.read(Place::State(StateValue::Nonce(here)));
            let has_marked_code = frame.memory.any(at(word(1)), at(word(2)));
            // Which address it is follows from the nonce, or from code and salt.
            let leaves_mark = match code {
                op::CREATE => nonce.is_marked,
                _ => has_marked_code || frame.has(3),
            };
            step.is_source = code == op::CREATE && nonce.is_changed;
            step.is_guard = has_marked_code || frame.has_any(1..3);
            let has_marked_value = frame.has(0);
            step.is_fed = leaves_mark || has_marked_value;
            frame.drop_words(taken);
            step.begins = Some(Frame { has_marked_value, leaves_mark, ..Frame::default() });
        }
        op::SELFDESTRUCT => {
            let read = values.read(Place::State(StateValue::Balance(here)));
            step.is_guard = frame.has(0);
            (step.is_fed, step.is_source) = (read.is_marked, read.is_changed);
            if read.is_marked {
                values.write(Place::State(StateValue::Balance(address(word(0)))), true);
            }
        }
        // Facts of the block, the transaction, the code and the gas; and what ends a frame.
        op::ADDRESS..=op::SLOTNUM | op::PC..=op::GAS => frame.stack.push(false),
        _ => {}
    }
    step.is_fed |= step.is_guard;
    step
}

/// A call of another contract.
fn call(
    code: u8,
    word: impl Fn(usize) -> U256,
    here: Address,
    frame: &mut Frame,
    values: &mut Values,
) -> Step {
    let has_value = matches!(code, op::CALL | op::CALLCODE);
    // Gas and address, in some the value, then where input and output are.
    let data = if has_value { 3 } else { 2 };
    let input = frame.memory.part(at(word(data)), at(word(data + 1)));
    let has_marked_value = match code {
        op::DELEGATECALL => frame.has_marked_value,
        _ => has_value && frame.has(2),
    };
    let is_guard = frame.has_any(0..2) || frame.has_any(data..data + 4);
    let is_fed = input.any(0, usize::MAX) || (has_value && frame.has(2));
    if code == op::CALL && frame.has(2) {
        for account in [here, address(word(1))] {
            values.write(Place::State(StateValue::Balance(account)), true);
        }
    }
    let room = (at(word(data + 2)), at(word(data + 3)));
    frame.drop_words(data + 4);
    let begins = Some(Frame { input, has_marked_value, room, ..Frame::default() });
    Step { is_fed, is_guard, is_source: false, begins }
}
