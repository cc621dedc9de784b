//! What the protocol does before the first and after the last transaction of a block.

use crate::{
    BlockError, InvalidBlock, Scope,
    requests::{self, BUILDER_DEPOSIT_CONTRACT, BUILDER_EXIT_CONTRACT},
};
use alloy_eips::{
    eip2935::HISTORY_STORAGE_ADDRESS,
    eip4788::BEACON_ROOTS_ADDRESS,
    eip7002::{WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, WITHDRAWAL_REQUEST_TYPE},
    eip7251::{CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS, CONSOLIDATION_REQUEST_TYPE},
};
use fugue_chainspec::{Fork, Rules};
use fugue_evm::{
    DAO_HARDFORK_ACCOUNTS, DAO_HARDFORK_BENEFICIARY, Fault, Kernel, StateReader, SystemCallFault,
};
use fugue_state::StateError;
use fugue_types::{Address, Block, Bytes, Header, Requests, TxResult, U256, Withdrawals};

/// All contracts that the protocol calls.
pub(crate) const SYSTEM_CONTRACTS: [Address; 6] = [
    BEACON_ROOTS_ADDRESS,
    HISTORY_STORAGE_ADDRESS,
    WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS,
    CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS,
    BUILDER_DEPOSIT_CONTRACT,
    BUILDER_EXIT_CONTRACT,
];
/// Gwei in wei: withdrawals are counted in gwei. Source: EIP-4895.
const GWEI: u64 = 1_000_000_000;

/// What a block is besides its transactions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame<'b> {
    pub(crate) header: &'b Header,
    pub(crate) ommers: &'b [Header],
    pub(crate) withdrawals: Option<&'b Withdrawals>,
}

impl<'b> Frame<'b> {
    /// The frame of a whole block.
    pub(crate) fn of(block: &'b Block) -> Self {
        let Block { header, body } = block;
        Self { header, ommers: &body.ommers, withdrawals: body.withdrawals.as_ref() }
    }
}

/// Whether anything happens before the first transaction.
pub(crate) fn has_opening(rules: &Rules) -> bool {
    rules.moves_dao_balances || rules.has(Fork::Cancun)
}

/// Before the first transaction.
pub(crate) fn open<R: StateReader<Error = StateError>, I>(
    kernel: &mut Kernel<'_, R, I>,
    rules: &Rules,
    header: &Header,
) -> Result<(), BlockError> {
    if rules.moves_dao_balances {
        // Source: EIP-779.
        let mut drained = U256::ZERO;
        for account in DAO_HARDFORK_ACCOUNTS {
            drained += kernel.drain(account)?;
        }
        kernel.credit(DAO_HARDFORK_BENEFICIARY, drained)?;
    }
    if header.number == 0 {
        return Ok(());
    }
    if rules.has(Fork::Cancun) {
        // Source: EIP-4788, "Block processing".
        let root = header
            .parent_beacon_block_root
            .ok_or(InvalidBlock::HeaderField("parentBeaconBlockRoot"))?;
        unchecked(kernel.system_call(BEACON_ROOTS_ADDRESS, root.0.into()))?;
    }
    if rules.has(Fork::Prague) {
        // Source: EIP-2935, "Block processing".
        unchecked(kernel.system_call(HISTORY_STORAGE_ADDRESS, header.parent_hash.0.into()))?;
    }
    Ok(())
}

/// These two calls may fail without making the block invalid.
fn unchecked(called: Result<Bytes, SystemCallFault<StateError>>) -> Result<(), BlockError> {
    match called {
        Ok(_) | Err(SystemCallFault::Failed(_)) => Ok(()),
        Err(SystemCallFault::Fault(Fault::Read(error))) => Err(BlockError::State(error)),
        Err(SystemCallFault::Fault(other)) => Err(BlockError::Internal(other.to_string())),
    }
}

/// After the last transaction, where the scope has more than those. Gives the requests, from Prague
/// on.
pub(crate) fn close<R: StateReader<Error = StateError>, I>(
    kernel: &mut Kernel<'_, R, I>,
    rules: &Rules,
    frame: &Frame<'_>,
    results: &[TxResult],
    scope: Scope,
) -> Result<Option<Requests>, BlockError> {
    if scope == Scope::Transactions {
        return Ok(None);
    }
    if rules.has(Fork::Shanghai) {
        // Source: EIP-4895, "State transition".
        for withdrawal in frame.withdrawals.into_iter().flat_map(|all| all.iter()) {
            let amount = U256::from(withdrawal.amount) * U256::from(GWEI);
            kernel.credit(withdrawal.address, amount)?;
        }
    }
    reward(kernel, rules, frame)?;
    if !rules.has(Fork::Prague) {
        return Ok(None);
    }
    requests(kernel, rules, results, scope).map(Some)
}

/// Block and ommer rewards before the merge. Source: Yellow Paper, "Block Finalisation".
fn reward<R: StateReader<Error = StateError>, I>(
    kernel: &mut Kernel<'_, R, I>,
    rules: &Rules,
    frame: &Frame<'_>,
) -> Result<(), BlockError> {
    let Some(reward) = rules.block_reward().map(U256::from) else { return Ok(()) };
    let Frame { header, ommers, withdrawals: _ } = *frame;
    for ommer in ommers {
        // An ommer is one to seven generations older (checked with the header); older is worth 0.
        let generations = header.number.saturating_sub(ommer.number);
        let share = reward * U256::from(8_u64.saturating_sub(generations)) / U256::from(8);
        kernel.credit(ommer.beneficiary, share)?;
    }
    let inclusion = reward / U256::from(32) * U256::from(ommers.len());
    kernel.credit(header.beneficiary, reward + inclusion)?;
    Ok(())
}

/// Source: EIP-7685; EIP-6110, EIP-7002, EIP-7251, and EIP-8282 from Amsterdam on.
fn requests<R: StateReader<Error = StateError>, I>(
    kernel: &mut Kernel<'_, R, I>,
    rules: &Rules,
    results: &[TxResult],
    scope: Scope,
) -> Result<Requests, BlockError> {
    let mut requests = Requests::default();
    if let Some(contract) = rules.deposit_contract {
        let mut deposits = Vec::new();
        for (index, result) in results.iter().enumerate() {
            let found = requests::deposits(contract, &result.logs)
                .map_err(|_| InvalidBlock::DepositLog { index })?;
            deposits.extend_from_slice(&found);
        }
        push(&mut requests, requests::DEPOSIT, deposits.into());
    }
    let contracts = [
        (WITHDRAWAL_REQUEST_TYPE, WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, true),
        (CONSOLIDATION_REQUEST_TYPE, CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS, true),
        (3, BUILDER_DEPOSIT_CONTRACT, rules.has_builder_requests),
        (4, BUILDER_EXIT_CONTRACT, rules.has_builder_requests),
    ];
    for (request_type, contract, is_called) in contracts {
        if is_called {
            // Source: EIP-7002 and EIP-7251, "Block processing", whose rules EIP-8282 takes over:
            // without code there the block is invalid.
            if scope != Scope::Recorded && !kernel.has_code(contract)? {
                return Err(InvalidBlock::SystemContractEmpty { contract }.into());
            }
            let data = kernel
                .system_call(contract, Bytes::new())
                .map_err(|fault| BlockError::of_system_call(contract, fault))?;
            push(&mut requests, request_type, data);
        }
    }
    Ok(requests)
}

/// A type without requests is left out. Source: EIP-7685, "Block Header".
fn push(requests: &mut Requests, request_type: u8, data: Bytes) {
    if !data.is_empty() {
        requests.push_request_with_type(request_type, data);
    }
}
