//! What executing a block gives.

use fugue_state::StateDiff;
use fugue_types::{BlockAccessList, Eip658Value, ReceiptEnvelope, Requests, TxResult};

/// All that a block does, in any mode.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BlockOutcome {
    /// What each transaction did, in block order.
    pub results: Vec<TxResult>,
    /// Gas as the header counts it: the larger of the two dimensions from Amsterdam on (EIP-8037).
    pub gas_used: u64,
    /// The regular dimension.
    pub gas_regular: u64,
    /// The state dimension; 0 before Amsterdam.
    pub gas_state: u64,
    /// Blob gas (EIP-4844); 0 before Cancun.
    pub blob_gas_used: u64,
    /// Requests to the consensus layer (EIP-7685), from Prague on.
    pub requests: Option<Requests>,
    /// What the block looks at, and what each step leaves behind (EIP-7928), from Amsterdam on.
    pub access_list: Option<BlockAccessList>,
    /// The change of the state, system calls, withdrawals and rewards included.
    pub diff: StateDiff,
    /// Before Byzantium only: the change by the opening of the block, then by each transaction.
    /// The receipts of that time hold the state root after their transaction.
    pub steps: Vec<StateDiff>,
    /// Transactions whose precompiled contracts take longer than other instructions of as much
    /// gas, by index and in block order: gas that would take as long as what they take more. It
    /// follows from what they do, and tells of time alone.
    pub excess: Vec<(usize, u64)>,
}

impl BlockOutcome {
    /// Receipts with status codes (EIP-658), from Byzantium on.
    pub fn receipts(&self) -> Vec<ReceiptEnvelope> {
        self.receipts_with(|_, result| Eip658Value::Eip658(result.status.is_success()))
    }

    /// Receipts with what `status` says of each transaction: before Byzantium its state root.
    pub fn receipts_with(
        &self,
        mut status: impl FnMut(usize, &TxResult) -> Eip658Value,
    ) -> Vec<ReceiptEnvelope> {
        let mut cumulative_gas_used = 0;
        let receipt = |(index, result): (usize, &TxResult)| {
            cumulative_gas_used += result.gas.used;
            result.receipt(status(index, result), cumulative_gas_used)
        };
        self.results.iter().enumerate().map(receipt).collect()
    }
}
