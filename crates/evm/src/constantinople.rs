//! SSTORE of Constantinople (EIP-1283): net gas metering without the stipend rule.
//!
//! The EVM implementation goes from Byzantium straight to Petersburg, which took EIP-1283 out
//! again; so this fork is Petersburg with an SSTORE and storage prices of its own. The form of the
//! metering is that of EIP-2200, which came back with other prices in Istanbul.

use revm::{
    bytecode::opcode::SSTORE,
    context_interface::{
        Host,
        cfg::{GasId, GasParams},
    },
    handler::instructions::EthInstructions,
    interpreter::{
        Instruction, InstructionContext, InstructionExecResult, InstructionResult,
        instructions::host::sstore_with_gas_accounting, interpreter_types::InterpreterTypes,
    },
};

/// A store that changes nothing, or the second one to a slot.
const NOOP: u64 = 200;
/// The first store that makes a zero slot non-zero.
const SET: u64 = 20_000;
/// The first store to a non-zero slot.
const RESET: u64 = 5_000;

/// The storage prices of EIP-1283 in place of Petersburg's.
pub(crate) fn set_prices(params: &mut GasParams) {
    params.override_gas([
        (GasId::sstore_static(), NOOP),
        (GasId::sstore_set_without_load_cost(), SET - NOOP),
        (GasId::sstore_reset_without_cold_load_cost(), RESET - NOOP),
        (GasId::sstore_set_refund(), SET - NOOP),
        (GasId::sstore_reset_refund(), RESET - NOOP),
    ]);
}

/// The SSTORE of EIP-1283 in place of Petersburg's.
pub(crate) fn insert_sstore<W: InterpreterTypes, H: Host>(
    instructions: &mut EthInstructions<W, H>,
) {
    instructions.insert_instruction(SSTORE, Instruction::new(sstore::<W, H>), 0);
}

fn sstore<W: InterpreterTypes, H: Host>(
    context: InstructionContext<'_, H, W>,
) -> InstructionExecResult {
    const NET_METERING: bool = true;
    sstore_with_gas_accounting(context, |context, _, store| {
        let cost = context.host.gas_params().sstore_dynamic_gas(NET_METERING, store, false);
        if !context.interpreter.gas.record_regular_cost(cost) {
            return Err(InstructionResult::OutOfGas);
        }
        let refund = context.host.gas_params().sstore_refund(NET_METERING, store);
        context.interpreter.gas.record_refund(refund);
        Ok(())
    })
}
