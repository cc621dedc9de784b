//! The least that can be recorded of a run: which instructions there were.

use crate::{CodeCache, Executed, Fault, FeePayment, Kernel, PreparedTx, StateReader};
use fugue_chainspec::Rules;
use fugue_types::Header;
use revm::{
    inspector::Inspector,
    interpreter::{Interpreter, interpreter_types::Jumps},
};
use std::hash::BuildHasher;

/// Instructions of a transaction that are recorded, in 16 MiB.
const STEPS_MAX: usize = 4 * 1024 * 1024;
/// Instructions for which there is room from the start: most transactions have fewer.
const STEPS: usize = 64 * 1024;

/// Notes the place and the code of each instruction, and nothing that it computes.
#[derive(Debug)]
pub struct Recorder {
    /// The place in the upper 24 bits, the code below.
    steps: Vec<u32>,
}

impl Recorder {
    /// A number that two runs share, in all likelihood, only if they had the same instructions in
    /// the same order; `None` if there were as many as are recorded at most, or more. Contracts,
    /// slots and places in memory are not in it.
    pub fn path(&self, hashes: &impl BuildHasher) -> Option<u64> {
        (self.steps.len() < STEPS_MAX).then(|| hashes.hash_one(&self.steps))
    }
}

impl<C> Inspector<C> for Recorder {
    fn step(&mut self, interp: &mut Interpreter, _: &mut C) {
        if self.steps.len() < STEPS_MAX {
            let place = interp.bytecode.pc() as u32;
            self.steps.push((place << 8) | u32::from(interp.bytecode.opcode()));
        }
    }
}

impl<'c, R: StateReader> Kernel<'c, R, Recorder> {
    /// Sets up an EVM for the block with this header, which records its transactions.
    pub fn with_recorder(
        rules: &Rules,
        header: &Header,
        codes: &'c CodeCache,
        reader: R,
        fees: FeePayment,
    ) -> Self {
        let recorder = Recorder { steps: Vec::with_capacity(STEPS) };
        Self::inspected(rules, header, codes, reader, fees, recorder)
    }

    /// What was recorded of the last transaction.
    pub fn recorder(&self) -> &Recorder {
        &self.machine.inner.inspector
    }

    /// As [`Kernel::transact`], recorded.
    ///
    /// # Errors
    /// As [`Kernel::transact`].
    pub fn transact_recorded(&mut self, tx: &PreparedTx) -> Result<Executed, Fault<R::Error>> {
        self.machine.inner.inspector.steps.clear();
        self.transact_inspected(tx)
    }

    /// As [`Kernel::transact_recorded`], where transactions of its sender before it may be missing,
    /// as in [`Kernel::transact_assuming`].
    ///
    /// # Errors
    /// As [`Kernel::transact`].
    pub fn transact_recorded_assuming(
        &mut self,
        tx: &PreparedTx,
    ) -> Result<Executed, Fault<R::Error>> {
        self.assume_nonce(tx).map_err(Fault::Read)?;
        self.transact_recorded(tx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ViewReader,
        kernel::tests::{AUTHOR, SENDER, tx},
    };
    use fugue_chainspec::{ChainSpec, Fork};
    use fugue_state::{Account, MemoryAccount, MemoryState};
    use fugue_types::{
        Address, Bytes, DefaultHashBuilder, KECCAK256_EMPTY, TxKind, U256, keccak256,
    };

    const HERE: Address = Address::repeat_byte(0xc0);

    /// Stores one more than slot 0 has in slot 1, and has a way of its own where slot 0 is 2.
    fn state(value: u64) -> MemoryState {
        let mut state = MemoryState::default();
        let balance = U256::from(1_000_000_000_000_000_000_u64);
        let account = Account { nonce: 0, balance, code_hash: KECCAK256_EMPTY };
        state.accounts.insert(SENDER, MemoryAccount { account, ..MemoryAccount::default() });
        // SLOAD 0, DUP1, ADD 1, SSTORE 1; EQ 2, JUMPI over STOP, STOP.
        let code = alloy_primitives::hex!("6000548060010160015560021460125700005b00");
        let code = Bytes::copy_from_slice(&code);
        let account = Account { nonce: 1, balance: U256::ZERO, code_hash: keccak256(&code) };
        let slots = [(U256::ZERO, U256::from(value))].into_iter().collect();
        state.codes.insert(account.code_hash, code);
        state.accounts.insert(HERE, MemoryAccount { account, slots });
        state
    }

    #[test]
    fn a_path_is_which_instructions_ran_and_not_on_what() {
        let hashes = DefaultHashBuilder::default();
        let header = Header { number: 1, gas_limit: 30_000_000, ..Header::default() };
        let header = Header { beneficiary: AUTHOR, ..header };
        let rules = ChainSpec::at_fork(1, Fork::Istanbul).rules(&header);
        let path = |value: u64, nonce: u64| {
            let (state, codes) = (state(value), CodeCache::new());
            let (reader, fees) = (ViewReader(&state), FeePayment::Direct);
            let mut kernel = Kernel::with_recorder(&rules, &header, &codes, reader, fees);
            let call = tx(nonce, TxKind::Call(HERE), 0, &[]);
            let executed = kernel.transact_recorded_assuming(&call).expect("valid");
            assert!(executed.result.status.is_success(), "{executed:?}");
            kernel.recorder().path(&hashes)
        };
        assert!(path(5, 0).is_some());
        assert_eq!(path(5, 0), path(7, 0));
        // A nonce that is yet to come is taken to be the sender's.
        assert_eq!(path(5, 0), path(7, 3));
        assert_ne!(path(5, 0), path(2, 0));
    }
}
