//! What the validation of user operations may and may not do: go-ethereum's `erc7562Tracer`.
//!
//! It gives the calls, and of each what its own instructions were and looked at. Source: ERC-7562;
//! the rules that the comments name are its own.

use crate::{
    CallError, TraceError,
    trace::{calls::Calls, run::TraceCtx, words},
};
use alloy_rpc_types_trace::geth::{
    CallConfig, CallFrame,
    erc7562::{ContractSize, Erc7562Config},
};
use fugue_state::StateError;
use fugue_types::{Address, B256, Bytes, KECCAK256_EMPTY, U256};
use revm::{
    bytecode::opcode,
    interpreter::{
        Interpreter,
        interpreter_types::{InputsTr, Jumps, LoopControl},
    },
};
use serde::{Serialize, Serializer};
use std::collections::{BTreeMap, BTreeSet};

/// A call, and what it did itself. The published type has no destructions, and no order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ValidationFrame {
    /// The call, without those that it made.
    #[serde(flatten)]
    pub call: CallFrame,
    /// Slots that it looked at, of the contract for which it ran.
    pub accessed_slots: NamedSlots,
    /// Accounts whose code it looked at, for more than whether there is any.
    pub ext_code_access_info: Vec<Address>,
    /// How often it ran each instruction, by its code.
    #[serde(serialize_with = "by_code")]
    pub used_opcodes: BTreeMap<u8, u64>,
    /// Sizes of the codes that it named, each with the first instruction that did so.
    pub contract_size: BTreeMap<Address, ContractSize>,
    /// It ended for want of gas; not told of the transaction itself.
    pub out_of_gas: bool,
    /// What was hashed, of the transaction itself; ascending, unique.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keccak: Vec<Bytes>,
    /// The calls that it made.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<ValidationFrame>,
}

/// Slots of a contract.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NamedSlots {
    /// The value that was read first, if nothing was written before.
    pub reads: BTreeMap<B256, Vec<B256>>,
    /// How often it was written.
    pub writes: BTreeMap<B256, u64>,
    /// How often it was read from transient storage (EIP-1153).
    pub transient_reads: BTreeMap<B256, u64>,
    /// How often it was written to transient storage.
    pub transient_writes: BTreeMap<B256, u64>,
}

fn by_code<S: Serializer>(counts: &BTreeMap<u8, u64>, to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(counts.iter().map(|(code, count)| (format!("{code:#x}"), count)))
}

/// Notes what the frames do.
#[derive(Debug, Clone)]
pub(super) struct Validation {
    pub(super) calls: Calls,
    /// By code, whether it is not counted.
    ignored: [bool; 256],
    /// Of each frame, in the order in which they began; the calls have no others.
    notes: Vec<ValidationFrame>,
    /// Those of `notes` that are open, the outermost first.
    open: Vec<usize>,
    /// What the transaction hashed.
    hashed: BTreeSet<Bytes>,
    /// The instruction before this one, and what was on top of the stack.
    last: Option<(u8, Option<U256>)>,
    /// The range of memory that the next instruction hashes: where, and how many bytes.
    hashing: Option<(U256, U256)>,
    failure: Option<StateError>,
}

impl Validation {
    /// The instructions of `config` are not counted; `None` is those that say nothing.
    pub(super) fn new(config: &Erc7562Config, ignored: Option<&[u8]>) -> Self {
        let calls = Calls::new(CallConfig { with_log: config.with_log, only_top_call: None });
        let mut are_ignored = [false; 256];
        for code in 0..=u8::MAX {
            are_ignored[usize::from(code)] = match ignored {
                Some(ignored) => ignored.contains(&code),
                None => says_nothing(code),
            };
        }
        Self {
            calls,
            ignored: are_ignored,
            notes: Vec::new(),
            open: Vec::new(),
            hashed: BTreeSet::new(),
            last: None,
            hashing: None,
            failure: None,
        }
    }

    /// A frame begins.
    pub(super) fn begin(&mut self) {
        self.open.push(self.notes.len());
        self.notes.push(ValidationFrame::default());
    }

    /// A frame ends.
    pub(super) fn end(&mut self) {
        self.open.pop();
    }

    pub(super) fn step(&mut self, interp: &Interpreter, context: &TraceCtx<'_>) {
        let Some(notes) = self.open.last().and_then(|index| self.notes.get_mut(*index)) else {
            return;
        };
        let code = interp.bytecode.opcode();
        let word = |from_top: usize| interp.stack.data().iter().rev().nth(from_top).copied();
        let address = |from_top: usize| word(from_top).map(|word| Address::from_word(word.into()));

        if matches!(code, opcode::RETURN | opcode::REVERT) {
            self.last = None;
        }
        if let Some((last, top)) = self.last {
            // [OP-051]
            let asks_if_empty = last == opcode::EXTCODESIZE && code == opcode::ISZERO;
            if let Some(top) = top
                && looks_at_code(last)
                && !asks_if_empty
            {
                let address = Address::from_word(top.into());
                notes.ext_code_access_info.push(address);
            }
            // [OP-012]
            if last == opcode::GAS && !calls(code) {
                *notes.used_opcodes.entry(opcode::GAS).or_default() += 1;
            }
        }
        // [OP-041]
        let named = if looks_at_code(code) {
            address(0)
        } else if calls(code) {
            address(1)
        } else {
            None
        };
        if let Some(named) = named
            && !notes.contract_size.contains_key(&named)
        {
            match code_size(context, named) {
                Ok(contract_size) => {
                    let size = ContractSize { contract_size, opcode: code };
                    notes.contract_size.insert(named, size);
                }
                Err(error) => {
                    self.failure.get_or_insert(error);
                }
            }
        }
        if code != opcode::GAS && !self.ignored[usize::from(code)] {
            *notes.used_opcodes.entry(code).or_default() += 1;
        }
        if let Some(slot) = word(0) {
            let NamedSlots { reads, writes, transient_reads, transient_writes } =
                &mut notes.accessed_slots;
            let key: B256 = slot.into();
            match code {
                // What it was before this operation: a value that it wrote itself says nothing.
                opcode::SLOAD if !reads.contains_key(&key) && !writes.contains_key(&key) => {
                    match slot_value(context, interp.input.target_address(), slot) {
                        Ok(value) => {
                            reads.insert(key, vec![value.into()]);
                        }
                        Err(error) => {
                            self.failure.get_or_insert(error);
                        }
                    }
                }
                opcode::SSTORE => *writes.entry(key).or_default() += 1,
                opcode::TLOAD => *transient_reads.entry(key).or_default() += 1,
                opcode::TSTORE => *transient_writes.entry(key).or_default() += 1,
                _ => {}
            }
        }
        self.hashing = word(0).zip(word(1)).filter(|_| code == opcode::KECCAK256);
        self.last = Some((code, word(0)));
    }

    /// What is hashed is in the memory now, and paid for, unless the frame has ended.
    pub(super) fn step_end(&mut self, interp: &mut Interpreter) {
        if let Some((offset, size)) = self.hashing.take()
            && interp.bytecode.instruction_result().is_none()
        {
            self.hashed.extend(memory(interp, offset, size));
        }
    }

    /// The calls, whose tree is `root`, with what was noted of each.
    ///
    /// # Errors
    /// If the state was not read.
    pub(super) fn into_frame(self, root: CallFrame) -> Result<ValidationFrame, TraceError> {
        if let Some(error) = self.failure {
            return Err(TraceError::Call(CallError::State(error)));
        }
        let mut notes = self.notes.into_iter();
        // Each frame before those that it called, which is the order of the notes, and its parent.
        let mut frames: Vec<(ValidationFrame, Option<usize>)> = Vec::new();
        let mut open = vec![(root, None)];
        while let Some((mut call, parent)) = open.pop() {
            let below = std::mem::take(&mut call.calls);
            let index = frames.len();
            open.extend(below.into_iter().rev().map(|call| (call, Some(index))));
            let noted = if call.typ == "SELFDESTRUCT" { None } else { notes.next() };
            let lacked_gas = call.error.as_deref().is_some_and(words::say_out_of_gas);
            let out_of_gas = parent.is_some() && lacked_gas;
            let noted = noted.unwrap_or_default();
            frames.push((ValidationFrame { call, out_of_gas, ..noted }, parent));
        }
        while let Some((mut frame, parent)) = frames.pop() {
            frame.calls.reverse();
            match parent.and_then(|parent| frames.get_mut(parent)) {
                Some((parent, _)) => parent.calls.push(frame),
                None => {
                    frame.keccak = self.hashed.into_iter().collect();
                    return Ok(frame);
                }
            }
        }
        Err(TraceError::Call(CallError::Internal("a transaction without a call".to_owned())))
    }
}

/// The value of a slot as it is at this moment. It stays as warm or cold as it is.
fn slot_value(context: &TraceCtx<'_>, address: Address, slot: U256) -> Result<U256, StateError> {
    let journal = &context.journaled_state;
    if let Some(account) = journal.inner.state.get(&address) {
        if let Some(value) = account.storage.get(&slot) {
            return Ok(value.present_value);
        }
        if account.is_created() {
            return Ok(U256::ZERO);
        }
    }
    journal.database.reader.0.slot(address, slot)
}

/// Bytes of the code that an account has at this moment; it stays as warm or cold as it is.
fn code_size(context: &TraceCtx<'_>, address: Address) -> Result<u64, StateError> {
    let journal = &context.journaled_state;
    let view = journal.database.reader.0;
    let hash = match journal.inner.state.get(&address) {
        Some(account) => {
            if let Some(code) = &account.info.code {
                return Ok(code.len() as u64);
            }
            account.info.code_hash
        }
        None => view.account(address)?.unwrap_or_default().code_hash,
    };
    if hash == KECCAK256_EMPTY {
        return Ok(0);
    }
    Ok(journal.database.codes.get(hash, || view.code(hash))?.len() as u64)
}

/// A range of the memory; of none it may begin anywhere.
fn memory(interp: &Interpreter, offset: U256, size: U256) -> Option<Bytes> {
    if size.is_zero() {
        return Some(Bytes::new());
    }
    let (offset, size) = (usize::try_from(offset).ok()?, usize::try_from(size).ok()?);
    let there = interp.memory.context_memory();
    there.get(offset..offset.checked_add(size)?).map(Bytes::copy_from_slice)
}

const fn looks_at_code(code: u8) -> bool {
    matches!(code, opcode::EXTCODESIZE | opcode::EXTCODECOPY | opcode::EXTCODEHASH)
}

const fn calls(code: u8) -> bool {
    matches!(code, opcode::CALL | opcode::CALLCODE | opcode::DELEGATECALL | opcode::STATICCALL)
}

/// Instructions that are not counted unless somebody asks for it. Source: go-ethereum,
/// `eth/tracers/native/erc7562.go`.
const fn says_nothing(code: u8) -> bool {
    matches!(
        code,
        opcode::PUSH0
            ..=opcode::SWAP16
                | opcode::POP
                | opcode::ADD
                | opcode::SUB
                | opcode::MUL
                | opcode::DIV
                | opcode::EQ
                | opcode::LT
                | opcode::GT
                | opcode::SLT
                | opcode::SGT
                | opcode::SHL
                | opcode::SHR
                | opcode::AND
                | opcode::OR
                | opcode::NOT
                | opcode::ISZERO
    )
}
