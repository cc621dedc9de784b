//! The logs of a message while it runs; transfers of ether too, as logs in their place.

use crate::{
    CallError, CallOutcome, CallRequest, Checks, CodeCache, FeePayment, Kernel, StateReader,
};
use fugue_chainspec::Rules;
use fugue_state::StateError;
use fugue_types::{Address, B256, Header, Log, U256};
use revm::{
    context_interface::{ContextTr, JournalTr},
    inspector::Inspector,
    interpreter::{CallInputs, CallOutcome as CallEnd, CallScheme, CreateInputs, CreateOutcome},
    primitives::{address, b256},
};

/// What such a log says that it is of. Source: execution-apis, `eth_simulateV1`, "traceTransfers".
const EMITTER: Address = address!("eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee");
/// keccak256 of `Transfer(address,address,uint256)`. Source: ERC-20.
const TRANSFER: B256 = b256!("ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef");

/// Gathers all logs of a message, those of its transfers if it is told to. Those of a frame that
/// fails are taken back, but have been counted.
#[derive(Debug, Default)]
pub struct TransferLogs {
    has_transfers: bool,
    /// Each with its number among all logs of the block.
    logs: Vec<(u64, Log)>,
    /// How many there were when each open frame began.
    frames: Vec<usize>,
    count: u64,
}

impl TransferLogs {
    fn begin(&mut self, from: Address, to: Address, value: U256) {
        self.frames.push(self.logs.len());
        self.add_transfer(from, to, value);
    }

    fn add_transfer(&mut self, from: Address, to: Address, value: U256) {
        if self.has_transfers && !value.is_zero() {
            let topics = vec![TRANSFER, from.into_word(), to.into_word()];
            let data = value.to_be_bytes::<32>().into();
            self.add(Log::new_unchecked(EMITTER, topics, data));
        }
    }

    fn add(&mut self, log: Log) {
        self.logs.push((self.count, log));
        self.count = self.count.saturating_add(1);
    }

    fn end(&mut self, has_succeeded: bool) {
        if let Some(count) = self.frames.pop()
            && !has_succeeded
        {
            self.logs.truncate(count);
        }
    }
}

impl<C: ContextTr> Inspector<C> for TransferLogs {
    fn log(&mut self, _: &mut C, log: Log) {
        self.add(log);
    }

    fn call(&mut self, _: &mut C, inputs: &mut CallInputs) -> Option<CallEnd> {
        // CALLCODE runs the code of another here: the value stays where it is.
        let moves = inputs.scheme != CallScheme::CallCode;
        let value = inputs.transfer_value().filter(|_| moves).unwrap_or_default();
        self.begin(inputs.transfer_from(), inputs.transfer_to(), value);
        None
    }

    fn call_end(&mut self, _: &mut C, _: &CallInputs, end: &mut CallEnd) {
        self.end(end.result.result.is_ok());
    }

    fn create(&mut self, context: &mut C, inputs: &mut CreateInputs) -> Option<CreateOutcome> {
        let caller = inputs.caller();
        // A read that fails here fails the creation as well.
        let nonce = context.journal_mut().load_account(caller).map_or(0, |it| it.data.info.nonce);
        self.begin(caller, inputs.created_address(nonce), inputs.value());
        None
    }

    fn create_end(&mut self, _: &mut C, _: &CreateInputs, end: &mut CreateOutcome) {
        self.end(end.result.result.is_ok());
    }

    fn selfdestruct(&mut self, contract: Address, target: Address, value: U256) {
        self.add_transfer(contract, target, value);
    }
}

impl<'c, R: StateReader<Error = StateError>> Kernel<'c, R, TransferLogs> {
    /// Sets up an EVM for the block with this header, whose messages tell their logs, and their
    /// transfers if `has_transfers` says so.
    pub fn with_logs(
        rules: &Rules,
        header: &Header,
        codes: &'c CodeCache,
        reader: R,
        has_transfers: bool,
    ) -> Self {
        let inspector = TransferLogs { has_transfers, ..TransferLogs::default() };
        Self::inspected(rules, header, codes, reader, FeePayment::Direct, inspector)
    }

    /// As [`Kernel::send`], with the logs as they were noted while it ran.
    ///
    /// # Errors
    /// As [`Kernel::send`].
    pub fn send_with_logs(
        &mut self,
        request: &CallRequest,
        checks: Checks,
    ) -> Result<(CallOutcome, Vec<(u64, Log)>), CallError> {
        let sent = self.send_inspected(request, checks);
        let noted = &mut self.machine.inner.inspector;
        noted.frames.clear();
        let logs = std::mem::take(&mut noted.logs);
        Ok((sent?, logs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ViewReader;
    use fugue_chainspec::{ChainSpec, Fork};
    use fugue_state::{Account, MemoryAccount, MemoryState};
    use fugue_types::{Bytes, TxStatus, keccak256};

    const HERE: Address = Address::repeat_byte(1);
    const THERE: Address = Address::repeat_byte(2);

    #[test]
    fn a_frame_that_fails_takes_its_transfers_back() {
        let mut logs = TransferLogs { has_transfers: true, ..TransferLogs::default() };
        let one = U256::from(1);
        logs.begin(HERE, THERE, one);
        logs.begin(THERE, HERE, one);
        logs.begin(HERE, THERE, one);
        logs.end(true);
        logs.end(false);
        assert_eq!(logs.logs.len(), 1);
        logs.begin(THERE, HERE, U256::ZERO);
        logs.end(true);
        logs.end(true);
        assert_eq!((logs.logs.len(), logs.frames.len(), logs.count), (1, 0, 3));
        assert_eq!(logs.logs[0].1.data.topics()[1..], [HERE.into_word(), THERE.into_word()]);
    }

    #[test]
    fn the_value_of_a_callcode_moves_nowhere() {
        let header = Header { number: 1, gas_limit: 100_000, ..Header::default() };
        let rules = ChainSpec::at_fork(1, Fork::Shanghai).rules(&header);
        // CALL and CALLCODE of 0xbb, each with one wei.
        let noted = ["f1", "f2"].map(|call| {
            let code = alloy_primitives::hex::decode(format!("6000600060006000600160bb5a{call}00"));
            let code = Bytes::from(code.expect("hex"));
            let code_hash = keccak256(&code);
            let account = Account { nonce: 1, balance: U256::from(1), code_hash };
            let mut state = MemoryState::default();
            state.accounts.insert(HERE, MemoryAccount { account, ..MemoryAccount::default() });
            state.codes.insert(code_hash, code);
            let codes = CodeCache::new();
            let mut kernel = Kernel::with_logs(&rules, &header, &codes, ViewReader(&state), true);
            let request = CallRequest { to: Some(HERE), gas: 100_000, ..CallRequest::default() };
            let (outcome, logs) =
                kernel.send_with_logs(&request, Checks::QUESTION).expect("it runs");
            assert_eq!(outcome.status, TxStatus::Success);
            logs.len()
        });
        assert_eq!(noted, [1, 0]);
    }
}
