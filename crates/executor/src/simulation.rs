//! A block of messages that nobody has signed, on a state that may be assumed: `eth_simulateV1`.

use crate::{
    BlockError, Scope,
    access_list::AccessList,
    frame::{self, Frame},
};
use fugue_chainspec::{Fork, Rules};
use fugue_evm::{
    Assumed, CallError, CallOutcome, CallRequest, Checks, CodeCache, Kernel, TransferLogs,
    ViewReader,
};
use fugue_state::{AssumedAccount, Overlay, StateDiff, StateError, StateView, assumed_diff};
use fugue_types::{Address, BlockAccessList, Header, Log, Requests, TxResult, Withdrawals};
use std::collections::BTreeMap;

/// A block that was opened, and takes messages.
#[derive(Debug)]
pub struct Simulation<'c, 'v> {
    kernel: Kernel<'c, ViewReader<Overlay<'v>>, TransferLogs>,
    rules: &'v Rules,
    header: &'v Header,
    /// From Amsterdam on.
    access_list: Option<AccessList>,
}

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

impl<'c, 'v> Simulation<'c, 'v> {
    /// Lays what is assumed over the state before the block, and opens it. With `has_transfers`,
    /// transfers of ether are among the noted logs of its messages.
    ///
    /// # Errors
    /// [`BlockError`].
    pub fn open(
        rules: &'v Rules,
        header: &'v Header,
        codes: &'c CodeCache,
        view: &'v dyn StateView,
        accounts: &BTreeMap<Address, AssumedAccount>,
        assumed: &Assumed,
        has_transfers: bool,
    ) -> Result<Self, BlockError> {
        let mut overlay = Overlay::new(view);
        overlay.push(&assumed_diff(view, accounts)?)?;
        let reader = ViewReader(overlay);
        let mut kernel = Kernel::with_logs(rules, header, codes, reader, has_transfers);
        assumed.lay_on(&mut kernel);
        frame::open(&mut kernel, rules, header)?;
        let access_list = rules.has(Fork::Amsterdam).then(AccessList::default);
        let mut simulation = Self { kernel, rules, header, access_list };
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

    /// Closes the block. A system contract that is not there answers nothing.
    ///
    /// # Errors
    /// [`BlockError`].
    pub fn close(
        mut self,
        withdrawals: Option<&Withdrawals>,
        results: &[TxResult],
    ) -> Result<SimulationEnd, BlockError> {
        let frame = Frame { header: self.header, ommers: &[], withdrawals };
        let kernel = &mut self.kernel;
        let requests = frame::close(kernel, self.rules, &frame, results, Scope::Recorded)?;
        self.take()?;
        let Self { kernel, access_list, .. } = self;
        let diff = kernel.into_reader().0.into_diff();
        let access_list = access_list.map(AccessList::into_list);
        Ok(SimulationEnd { diff, requests, access_list })
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
