//! Calls of system contracts, as the protocol makes them. Nobody pays for them, unless a question
//! assumes what such a contract does.

use crate::{Fault, Kernel, StateReader, kernel::to_fault};
use fugue_chainspec::{Fork, Rules};
use fugue_types::{Address, Bytes};
use revm::{
    context::TxEnv,
    context_interface::{JournalTr, result::ExecutionResult},
    handler::{Handler, SYSTEM_ADDRESS, SystemCallTx},
    primitives::AddressSet,
};

/// Gas of a system call before Amsterdam. Source: EIP-4788, EIP-2935, EIP-7002, EIP-7251, "Block
/// processing".
const SYSTEM_CALL_GAS: u64 = 30_000_000;

/// Gas of system calls.
#[derive(Debug)]
pub(crate) struct SystemGas {
    /// Of each call; the EVM implementation's limit, if it is `None`.
    limit: Option<u64>,
    /// Contracts whose calls are metered.
    metered: Vec<Address>,
    /// What is left for these; `None` once one of them has failed for want of more.
    left: Option<u64>,
}

impl SystemGas {
    /// No call is metered.
    pub(crate) fn new(rules: &Rules) -> Self {
        let limit = (!rules.has(Fork::Amsterdam)).then_some(SYSTEM_CALL_GAS);
        Self { limit, metered: Vec::new(), left: Some(0) }
    }
}

/// A system call that gave no output.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SystemCallFault<E: std::error::Error + 'static> {
    /// The contract ran and failed, by this name.
    #[error("{0}")]
    Failed(String),
    /// The call did not run.
    #[error(transparent)]
    Fault(#[from] Fault<E>),
}

impl<R: StateReader, I> Kernel<'_, R, I> {
    /// From now on calls of these system contracts have so much gas in all.
    pub fn meter_system_calls(&mut self, contracts: Vec<Address>, gas: u64) {
        self.system_gas.metered = contracts;
        self.system_gas.left = Some(gas);
    }

    /// What is left of the gas of [`Kernel::meter_system_calls`]; `None` once a call has failed
    /// that would have had more by the rules.
    pub const fn system_gas_left(&self) -> Option<u64> {
        self.system_gas.left
    }

    /// Calls a system contract as the protocol does, and gives its output. A contract that is not
    /// there answers nothing.
    ///
    /// # Errors
    /// [`SystemCallFault`].
    pub fn system_call(
        &mut self,
        contract: Address,
        data: Bytes,
    ) -> Result<Bytes, SystemCallFault<R::Error>> {
        let mut call = TxEnv::new_system_tx_with_caller(SYSTEM_ADDRESS, contract, data);
        // The EVM implementation gives the limit of Amsterdam, which is larger.
        let limit = self.system_gas.limit.unwrap_or(call.gas_limit);
        let is_metered = self.system_gas.metered.contains(&contract);
        let left = self.system_gas.left.unwrap_or_default();
        call.gas_limit = if is_metered { limit.min(left) } else { limit };
        // Nothing is warm in it, whatever ran before. Source: execution-specs,
        // `process_system_transaction`.
        self.machine.inner.ctx.journaled_state.warm_precompiles(&AddressSet::default());
        self.begin(call);
        let result = self.phases.run_system_call(&mut self.machine).map_err(to_fault)?;
        if is_metered {
            let is_spent = left < limit && !result.is_success();
            let spent = result.gas().total_gas_spent();
            // What one has failed for want of is not there because another one needs none.
            let left = self.system_gas.left.filter(|_| !is_spent);
            self.system_gas.left = left.map(|left| left.saturating_sub(spent));
        }
        match result {
            ExecutionResult::Success { output, .. } => Ok(output.into_data()),
            ExecutionResult::Revert { .. } => Err(SystemCallFault::Failed("revert".to_owned())),
            ExecutionResult::Halt { reason, .. } => {
                Err(SystemCallFault::Failed(format!("{reason:?}")))
            }
        }
    }
}
