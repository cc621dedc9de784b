//! An account without its storage.

use fugue_types::{B256, KECCAK256_EMPTY, U256};

/// Nonce, balance in wei, and hash of the code; the storage is asked for slot by slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Account {
    /// Transactions sent, or contracts created.
    pub nonce: u64,
    /// In wei.
    pub balance: U256,
    /// keccak256 of the code; of the empty string where there is none.
    pub code_hash: B256,
}

impl Default for Account {
    fn default() -> Self {
        Self { nonce: 0, balance: U256::ZERO, code_hash: KECCAK256_EMPTY }
    }
}

impl Account {
    /// No nonce, no balance, no code. Source: EIP-161, "Specification".
    pub fn is_empty(&self) -> bool {
        self.nonce == 0 && self.balance.is_zero() && !self.has_code()
    }

    /// Whether there is any code, a delegation (EIP-7702) included.
    pub fn has_code(&self) -> bool {
        self.code_hash != KECCAK256_EMPTY
    }
}
