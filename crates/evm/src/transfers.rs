//! Transfers of ether as logs, in their place among the logs of the code.

use crate::{
    CallError, CallOutcome, CallRequest, Checks, CodeCache, FeePayment, Kernel, StateReader,
};
use fugue_chainspec::Rules;
use fugue_state::StateError;
use fugue_types::{Address, B256, Header, Log, U256};
use revm::{
    context_interface::{ContextTr, JournalTr},
    inspector::Inspector,
    interpreter::{CallInputs, CallOutcome as CallEnd, CreateInputs, CreateOutcome},
    primitives::{address, b256},
};

/// What such a log says that it is of. Source: execution-apis, `eth_simulateV1`, "traceTransfers".
const EMITTER: Address = address!("eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee");
/// keccak256 of `Transfer(address,address,uint256)`. Source: ERC-20.
const TRANSFER: B256 = b256!("ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef");

/// Gathers all logs of a message, transfers included. Those of a frame that fails are taken back.
#[derive(Debug, Default)]
pub struct TransferLogs {
    logs: Vec<Log>,
    /// How many there were when each open frame began.
    frames: Vec<usize>,
}

impl TransferLogs {
    fn begin(&mut self, from: Address, to: Address, value: U256) {
        self.frames.push(self.logs.len());
        self.add(from, to, value);
    }

    fn add(&mut self, from: Address, to: Address, value: U256) {
        if !value.is_zero() {
            let topics = vec![TRANSFER, from.into_word(), to.into_word()];
            let data = value.to_be_bytes::<32>().into();
            self.logs.push(Log::new_unchecked(EMITTER, topics, data));
        }
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
        self.logs.push(log);
    }

    fn call(&mut self, _: &mut C, inputs: &mut CallInputs) -> Option<CallEnd> {
        let value = inputs.transfer_value().unwrap_or_default();
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
        self.add(contract, target, value);
    }
}

impl<'c, R: StateReader<Error = StateError>> Kernel<'c, R, TransferLogs> {
    /// Sets up an EVM for the block with this header, whose messages can tell their transfers.
    pub fn with_transfers(rules: &Rules, header: &Header, codes: &'c CodeCache, reader: R) -> Self {
        let inspector = TransferLogs::default();
        Self::inspected(rules, header, codes, reader, FeePayment::Direct, inspector)
    }

    /// As [`Kernel::send`], with a log for each transfer of ether.
    ///
    /// # Errors
    /// As [`Kernel::send`].
    pub fn send_with_transfers(
        &mut self,
        request: &CallRequest,
        checks: Checks,
    ) -> Result<CallOutcome, CallError> {
        self.machine.inner.inspector = TransferLogs::default();
        let outcome = self.send_inspected(request, checks)?;
        let logs = std::mem::take(&mut self.machine.inner.inspector.logs);
        Ok(if outcome.is_success() { CallOutcome { logs, ..outcome } } else { outcome })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Address = Address::repeat_byte(1);
    const THERE: Address = Address::repeat_byte(2);

    #[test]
    fn a_frame_that_fails_takes_its_transfers_back() {
        let mut logs = TransferLogs::default();
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
        assert_eq!((logs.logs.len(), logs.frames.len()), (1, 0));
        assert_eq!(logs.logs[0].data.topics()[1..], [HERE.into_word(), THERE.into_word()]);
    }
}
