//! A block of messages that nobody has signed, on a state that may be assumed: `eth_simulateV1`.

use crate::{
    BlockError, Scope,
    access_list::AccessList,
    frame::{self, Frame, SYSTEM_CONTRACTS},
};
use fugue_chainspec::{Fork, Rules};
use fugue_evm::{
    CallError, CallOutcome, CallRequest, Checks, Kernel, Place, TransferLogs, ViewReader,
};
use fugue_state::{AssumedAccount, Overlay, StateDiff, StateError, StateView, assumed_diff};
use fugue_types::{
    Address, B256, BlockAccessList, Header, KECCAK256_EMPTY, Log, Requests, TxResult, Withdrawals,
};
use std::collections::BTreeMap;

/// Hashes of the codes that the system contracts of a chain have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SystemCodes([B256; SYSTEM_CONTRACTS.len()]);

/// Why a block was not opened or closed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SimulationError {
    /// Whatever holds for any block.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// Calls of system contracts whose code is assumed need more gas than there is.
    #[error("system contracts whose code is assumed need more gas than is left")]
    GasSpent,
}

/// A block that was opened, and takes messages.
#[derive(Debug)]
pub struct Simulation<'v> {
    kernel: OverlayKernel<'v>,
    rules: &'v Rules,
    header: &'v Header,
    own_codes: &'v SystemCodes,
    /// From Amsterdam on.
    access_list: Option<AccessList>,
}

type OverlayKernel<'v> = Kernel<'v, ViewReader<Overlay<'v>>, TransferLogs>;

/// What a block is found to be at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimulationEnd {
    /// All that it changed, what was assumed included.
    pub diff: StateDiff,
    /// From Prague on.
    pub requests: Option<Requests>,
    /// From Amsterdam on. What was assumed is not in it.
    pub access_list: Option<BlockAccessList>,
}

impl SystemCodes {
    /// Those of the contracts that are there.
    ///
    /// # Errors
    /// If the state cannot be read.
    pub fn of(view: &dyn StateView) -> Result<Self, StateError> {
        let mut codes = [KECCAK256_EMPTY; SYSTEM_CONTRACTS.len()];
        for (code, contract) in codes.iter_mut().zip(SYSTEM_CONTRACTS) {
            *code = view.account(contract)?.unwrap_or_default().code_hash;
        }
        Ok(Self(codes))
    }

    /// The contracts that have other codes there.
    fn changed(&self, view: &dyn StateView) -> Result<Vec<Address>, StateError> {
        let there = Self::of(view)?;
        let both = self.0.iter().zip(there.0).zip(SYSTEM_CONTRACTS);
        let changed =
            both.filter_map(|((own, there), contract)| (*own != there).then_some(contract));
        Ok(changed.collect())
    }
}

impl<'v> Simulation<'v> {
    /// Lays what is assumed over the state before the block, and opens it. With `has_transfers`,
    /// transfers of ether are among the noted logs of its messages. What calls of system contracts
    /// take whose codes are not their own comes off the gas.
    ///
    /// # Errors
    /// [`SimulationError`].
    pub fn open(
        place: &Place<'v>,
        accounts: &BTreeMap<Address, AssumedAccount>,
        has_transfers: bool,
        own_codes: &'v SystemCodes,
        gas: &mut u64,
    ) -> Result<Self, SimulationError> {
        let Place { rules, header, codes, view, assumed } = *place;
        let mut overlay = Overlay::new(view);
        let diff = assumed_diff(view, accounts).map_err(BlockError::from)?;
        overlay.push(&diff).map_err(BlockError::from)?;
        let reader = ViewReader(overlay);
        let mut kernel = Kernel::with_logs(rules, header, codes, reader, has_transfers);
        assumed.lay_on(&mut kernel);
        let access_list = rules.has(Fork::Amsterdam).then(AccessList::default);
        let mut simulation = Self { kernel, rules, header, own_codes, access_list };
        simulation.metered(gas, |kernel| frame::open(kernel, rules, header))?;
        simulation.take()?;
        Ok(simulation)
    }

    /// The nonce of an account after the messages so far.
    ///
    /// # Errors
    /// If the state cannot be read.
    pub fn nonce(&mut self, address: Address) -> Result<u64, StateError> {
        let account = self.kernel.reader_mut().0.account(address)?;
        Ok(account.map_or(0, |account| account.nonce))
    }

    /// Runs a message. Gives what it did, and its logs as they were noted, each with its number
    /// among all that the block's messages came to log, those too that were taken back.
    ///
    /// # Errors
    /// [`CallError`]; nothing of the message is left then.
    pub fn send(
        &mut self,
        request: &CallRequest,
        checks: Checks,
    ) -> Result<(CallOutcome, Vec<(u64, Log)>), CallError> {
        // No transaction can have the last nonce (EIP-2681), but where nonces are not checked a
        // message has the sender's own, whatever it says, and goes on from the last with the first.
        let own = if checks.nonce { request.nonce } else { self.nonce(request.from)? };
        let is_last = !checks.nonce && own == u64::MAX;
        let nonce = if is_last { u64::MAX - 1 } else { own };
        if is_last {
            self.set_nonce(request.from, nonce)?;
        }
        let request = CallRequest { nonce, ..request.clone() };
        let sent = self.kernel.send_with_logs(&request, checks)?;
        self.take().map_err(|error| CallError::Internal(error.to_string()))?;
        if is_last {
            self.set_nonce(request.from, 0)?;
        }
        Ok(sent)
    }

    fn set_nonce(&mut self, address: Address, nonce: u64) -> Result<(), CallError> {
        let overlay = &mut self.kernel.reader_mut().0;
        let nonce = AssumedAccount { nonce: Some(nonce), ..AssumedAccount::default() };
        let diff = assumed_diff(overlay, &BTreeMap::from([(address, nonce)]))?;
        overlay.push(&diff).map_err(|error| CallError::Internal(error.to_string()))
    }

    /// Closes the block. A system contract that is not there answers nothing. Their calls take gas
    /// as those of [`Simulation::open`] do.
    ///
    /// # Errors
    /// [`SimulationError`].
    pub fn close(
        mut self,
        withdrawals: Option<&Withdrawals>,
        results: &[TxResult],
        gas: &mut u64,
    ) -> Result<SimulationEnd, SimulationError> {
        let rules = self.rules;
        let frame = Frame { header: self.header, ommers: &[], withdrawals };
        let requests = self
            .metered(gas, |kernel| frame::close(kernel, rules, &frame, results, Scope::Recorded))?;
        self.take()?;
        let Self { kernel, access_list, .. } = self;
        let diff = kernel.into_reader().0.into_diff();
        let access_list = access_list.map(AccessList::into_list);
        Ok(SimulationEnd { diff, requests, access_list })
    }

    /// Calls system contracts, and takes off the gas what is not for the chain to give.
    fn metered<T>(
        &mut self,
        gas: &mut u64,
        run: impl FnOnce(&mut OverlayKernel<'v>) -> Result<T, BlockError>,
    ) -> Result<T, SimulationError> {
        let changed = self.own_codes.changed(&self.kernel.reader_mut().0);
        self.kernel.meter_system_calls(changed.map_err(BlockError::from)?, *gas);
        let ran = run(&mut self.kernel);
        // For want of gas a call may also have failed as one that makes the block invalid.
        *gas = self.kernel.system_gas_left().ok_or(SimulationError::GasSpent)?;
        ran.map_err(SimulationError::Block)
    }

    /// Moves the changes from the journal to the overlay, as the next step of the block.
    fn take(&mut self) -> Result<(), BlockError> {
        let (diff, reads) = self.kernel.take();
        self.kernel.reader_mut().0.push(&diff)?;
        match &mut self.access_list {
            Some(list) => list.push(&reads, &diff),
            None => Ok(()),
        }
    }
}
