//! The contracts that a fork expects to find deployed: a block of a fork that calls a system
//! contract without code there is invalid.

use alloy_eips::{eip2935, eip4788, eip7002, eip7251, eip8282};
use fugue_chainspec::Fork;
use fugue_state::{Account, MemoryAccount, MemoryState};
use fugue_types::{Address, Bytes, keccak256};

/// Puts the system contracts of `fork` into a state.
///
/// Source: EIP-4788, EIP-2935, EIP-7002, EIP-7251, EIP-8282.
pub fn place_system_contracts(fork: Fork, state: &mut MemoryState) {
    if fork >= Fork::Cancun {
        place(state, eip4788::BEACON_ROOTS_ADDRESS, &eip4788::BEACON_ROOTS_CODE);
    }
    if fork >= Fork::Prague {
        place(state, eip2935::HISTORY_STORAGE_ADDRESS, &eip2935::HISTORY_STORAGE_CODE);
        place(
            state,
            eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS,
            &eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_CODE,
        );
        place(
            state,
            eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS,
            &eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_CODE,
        );
    }
    if fork >= Fork::Amsterdam {
        place(
            state,
            eip8282::BUILDER_DEPOSIT_CONTRACT_ADDRESS,
            &eip8282::BUILDER_DEPOSIT_CONTRACT_CODE,
        );
        place(state, eip8282::BUILDER_EXIT_CONTRACT_ADDRESS, &eip8282::BUILDER_EXIT_CONTRACT_CODE);
    }
}

fn place(state: &mut MemoryState, address: Address, code: &Bytes) {
    let code_hash = keccak256(code);
    let account = Account { nonce: 1, code_hash, ..Account::default() };
    state.codes.insert(code_hash, code.clone());
    state.accounts.insert(address, MemoryAccount { account, ..MemoryAccount::default() });
}
