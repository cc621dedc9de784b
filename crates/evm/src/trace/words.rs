//! How a frame ended, in the words of go-ethereum. Source: go-ethereum, `core/vm/errors.go`.

use fugue_types::{Address, U256};
use revm::{
    bytecode::opcode::{LOG0, LOG4, OpCode, TSTORE},
    context_interface::result::HaltReason,
    interpreter::{InstructionResult, Interpreter, interpreter_types::Jumps},
};

/// What a call says that reverted, a check before it aside.
pub(super) const REVERTED: &str = "execution reverted";
/// What a precompiled contract says that failed.
const PRECOMPILE_FAILED: &str = "precompiled failed";
/// What a creation says that cannot pay for its code.
const CODE_NOT_PAID: &str = "contract creation code storage out of gas";
/// Words that a stack holds.
const STACK_MAX: usize = 1_024;

/// The instruction that a frame began last.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Instruction {
    op: u8,
    /// Words on the stack before it.
    stack: usize,
}

impl Instruction {
    pub(super) fn next(interp: &Interpreter) -> Self {
        Self { op: interp.bytecode.opcode(), stack: interp.stack.len() }
    }

    /// The one after which a frame ended; none, if it never began one.
    fn last(interp: &Interpreter) -> Self {
        // The pointer is behind it.
        let at = interp.bytecode.pc().checked_sub(1);
        let op = at.and_then(|at| interp.bytecode.bytes_slice().get(at));
        Self { op: op.copied().unwrap_or_default(), stack: interp.stack.len() }
    }

    /// Its name; of a byte that is no instruction, what is said of that.
    pub(super) fn name(self) -> std::borrow::Cow<'static, str> {
        match OpCode::new(self.op) {
            Some(op) => op.as_str().into(),
            None => format!("opcode {:#x} not defined", self.op).into(),
        }
    }

    /// What it says of a halt of this kind.
    pub(super) fn halted(self, result: InstructionResult) -> String {
        let (inputs, outputs) = OpCode::new(self.op)
            .map_or((0, 0), |op| (usize::from(op.inputs()), usize::from(op.outputs())));
        match result {
            InstructionResult::StackUnderflow => {
                format!("stack underflow ({} <=> {inputs})", self.stack)
            }
            InstructionResult::StackOverflow => {
                let limit = STACK_MAX.saturating_add(inputs).saturating_sub(outputs);
                format!("stack limit reached {} ({limit})", self.stack)
            }
            InstructionResult::OpcodeNotFound
            | InstructionResult::NotActivated
            | InstructionResult::InvalidFEOpcode
            | InstructionResult::InvalidImmediateEncoding => {
                format!("invalid opcode: {}", self.name())
            }
            InstructionResult::StateChangeDuringStaticCall
            | InstructionResult::CallNotAllowedInsideStatic
                if self.is_refused(result) =>
            {
                "out of gas: write protection".to_owned()
            }
            other => plain(other),
        }
    }

    /// Whether it ended so before it was begun. That a call is static is seen where the gas of an
    /// instruction is reckoned; of a log, and of transient storage, when it is executed. Source:
    /// go-ethereum, `core/vm/interpreter.go` and `core/vm/gas_table.go`.
    pub(super) const fn is_refused(self, result: InstructionResult) -> bool {
        match result {
            InstructionResult::StackUnderflow
            | InstructionResult::StackOverflow
            | InstructionResult::CreateInitCodeSizeLimit => true,
            InstructionResult::StateChangeDuringStaticCall
            | InstructionResult::CallNotAllowedInsideStatic => {
                !matches!(self.op, LOG0..=LOG4 | TSTORE)
            }
            other => lacks_gas(other),
        }
    }
}

/// What a creation says that ended so, after it gave a code or before.
pub(super) fn of_creation(result: InstructionResult, gave_code: bool, last: Instruction) -> String {
    if gave_code && result == InstructionResult::OutOfGas {
        return CODE_NOT_PAID.to_owned();
    }
    last.halted(result)
}

/// What a call to `to` says that ended so.
pub(super) fn of_call(
    result: InstructionResult,
    to: Address,
    input_bytes: usize,
    last: Instruction,
) -> String {
    if result == InstructionResult::PrecompileError {
        return of_precompile(to, input_bytes).to_owned();
    }
    last.halted(result)
}

/// What a message says that halted; `outermost` is where its first frame ran, if it came to run.
pub(crate) fn of_message(reason: HaltReason, outermost: &Interpreter) -> String {
    let last = Instruction::last(outermost);
    match reason {
        HaltReason::PrecompileErrorWithContext(why) => format!("{PRECOMPILE_FAILED}: {why}"),
        // From here on some take what there is before they find that it is too little.
        HaltReason::StackUnderflow if last.op >= LOG0 => "stack underflow".to_owned(),
        other => last.halted(other.into()),
    }
}

/// Whether it ended for want of gas.
const fn lacks_gas(result: InstructionResult) -> bool {
    matches!(
        result,
        InstructionResult::OutOfGas
            | InstructionResult::MemoryOOG
            | InstructionResult::MemoryLimitOOG
            | InstructionResult::PrecompileOOG
            | InstructionResult::InvalidOperandOOG
            | InstructionResult::ReentrancySentryOOG
    )
}

/// Whether these words say so.
pub(super) fn say_out_of_gas(words: &str) -> bool {
    words == CODE_NOT_PAID || words.starts_with("out of gas")
}

/// The same words as OpenEthereum has them, where they are known. Source: go-ethereum,
/// `eth/tracers/native/call_flat.go`, which maps them for `convertParityErrors`.
pub(super) fn of_parity(words: String) -> String {
    let known = match words.as_str() {
        CODE_NOT_PAID | "gas uint64 overflow" | "max code size exceeded" => "Out of gas",
        "invalid jump destination" => "Bad jump destination",
        REVERTED => "Reverted",
        "return data out of bounds" => "Out of bounds",
        "stack limit reached 1024 (1023)" => "Out of stack",
        PRECOMPILE_FAILED | "invalid input length" => "Built-in failed",
        other if other == "out of gas" || other.starts_with("out of gas:") => "Out of gas",
        other if other.starts_with("invalid opcode:") => "Bad instruction",
        other if other.starts_with("stack underflow") => "Stack underflow",
        _ => return words,
    };
    known.to_owned()
}

fn plain(result: InstructionResult) -> String {
    let words = match result {
        InstructionResult::Revert => REVERTED,
        InstructionResult::CallTooDeep => "max call depth exceeded",
        InstructionResult::OutOfFunds => "insufficient balance for transfer",
        InstructionResult::InvalidOperandOOG => "gas uint64 overflow",
        InstructionResult::ReentrancySentryOOG => {
            "out of gas: not enough gas for reentrancy sentry"
        }
        InstructionResult::OutOfGas
        | InstructionResult::MemoryOOG
        | InstructionResult::MemoryLimitOOG
        | InstructionResult::PrecompileOOG => "out of gas",
        InstructionResult::InvalidJump => "invalid jump destination",
        InstructionResult::OutOfOffset => "return data out of bounds",
        InstructionResult::StateChangeDuringStaticCall
        | InstructionResult::CallNotAllowedInsideStatic => "write protection",
        InstructionResult::CreateCollision => "contract address collision",
        InstructionResult::NonceOverflow => "nonce uint64 overflow",
        InstructionResult::CreateContractSizeLimit => "max code size exceeded",
        InstructionResult::CreateInitCodeSizeLimit => "out of gas: max initcode size exceeded",
        InstructionResult::CreateContractStartingWithEF => "invalid code: must not begin with 0xef",
        InstructionResult::PrecompileError => PRECOMPILE_FAILED,
        other => return format!("execution halted: {other:?}"),
    };
    words.to_owned()
}

/// Why a precompiled contract failed, as far as its input shows. Sources: EIP-197, EIP-152,
/// EIP-4844 and EIP-2537 for the sizes of inputs.
fn of_precompile(address: Address, input_bytes: usize) -> &'static str {
    let Ok(number) = u64::try_from(U256::from_be_slice(address.as_slice())) else {
        return PRECOMPILE_FAILED;
    };
    let is_of = |size: usize| input_bytes > 0 && input_bytes.is_multiple_of(size);
    let fits = match number {
        0x08 if !input_bytes.is_multiple_of(192) => return "bad elliptic curve pairing size",
        0x09 => input_bytes == 213,
        0x0a => input_bytes == 192,
        0x0b => input_bytes == 256,
        0x0c => is_of(160),
        0x0d => input_bytes == 512,
        0x0e => is_of(288),
        0x0f => is_of(384),
        0x10 => input_bytes == 64,
        0x11 => input_bytes == 128,
        _ => true,
    };
    if fits { PRECOMPILE_FAILED } else { "invalid input length" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use revm::bytecode::opcode;

    #[test]
    fn halts_are_told_with_what_was_found() {
        let told = |op, stack, result| Instruction { op, stack }.halted(result);
        for (found, expected) in [
            (told(opcode::ADD, 1, InstructionResult::StackUnderflow), "stack underflow (1 <=> 2)"),
            (
                told(opcode::PUSH1, 1_024, InstructionResult::StackOverflow),
                "stack limit reached 1024 (1023)",
            ),
            (
                told(0x0c, 0, InstructionResult::OpcodeNotFound),
                "invalid opcode: opcode 0xc not defined",
            ),
            (
                told(opcode::INVALID, 0, InstructionResult::InvalidFEOpcode),
                "invalid opcode: INVALID",
            ),
            (told(opcode::PUSH0, 0, InstructionResult::NotActivated), "invalid opcode: PUSH0"),
            (told(opcode::MSTORE, 2, InstructionResult::MemoryOOG), "out of gas"),
            (
                told(opcode::SSTORE, 2, InstructionResult::StateChangeDuringStaticCall),
                "out of gas: write protection",
            ),
            (
                told(opcode::CALL, 7, InstructionResult::CallNotAllowedInsideStatic),
                "out of gas: write protection",
            ),
            (
                told(opcode::LOG0, 2, InstructionResult::StateChangeDuringStaticCall),
                "write protection",
            ),
        ] {
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn a_creation_that_gave_a_code_could_not_pay_for_it() {
        let last = Instruction::default();
        assert_eq!(of_creation(InstructionResult::OutOfGas, true, last), CODE_NOT_PAID);
        assert_eq!(of_creation(InstructionResult::OutOfGas, false, last), "out of gas");
    }

    #[test]
    fn openethereum_has_other_words() {
        for (words, expected) in [
            (CODE_NOT_PAID, "Out of gas"),
            ("out of gas: not enough gas for reentrancy sentry", "Out of gas"),
            ("invalid opcode: opcode 0xc not defined", "Bad instruction"),
            ("write protection", "write protection"),
        ] {
            assert_eq!(of_parity(words.to_owned()), expected);
        }
    }

    #[test]
    fn inputs_of_precompiled_contracts_have_sizes() {
        let at = Address::with_last_byte;
        assert_eq!(of_precompile(at(9), 0), "invalid input length");
        assert_eq!(of_precompile(at(9), 213), "precompiled failed");
        assert_eq!(of_precompile(at(8), 191), "bad elliptic curve pairing size");
        assert_eq!(of_precompile(Address::repeat_byte(9), 0), "precompiled failed");
    }
}
