//! The nouns of Fugue: re-exports of the published Ethereum types, and the few types that turn a
//! block's progress into something the compiler checks.
//!
//! ```text
//! Block -> SealedBlock -> CheckedBlock -> RecoveredBlock
//! decoded  hash known    body fits the   senders known
//!                        header
//! ```
//! Each arrow is the only constructor of the type to its right. The judges live in other crates
//! (`validation`, `executor`); an arrow takes the judge as an argument, so it cannot be forgotten.

mod block;
mod impersonated;
mod outcome;

pub use alloy_consensus::{
    Eip658Value, Header, Receipt, ReceiptEnvelope, ReceiptWithBloom,
    Transaction as TransactionTrait, TxType, Typed2718,
};
pub use alloy_eips::{
    eip4895::{Withdrawal, Withdrawals},
    eip7685::Requests,
    eip7928::{
        AccountChanges, BalanceChange, BlockAccessIndex, BlockAccessList, CodeChange, NonceChange,
        SlotChanges, StorageChange,
    },
};
pub use alloy_primitives::{
    Address, B256, Bloom, Bytes, KECCAK256_EMPTY, Keccak256, Log, LogData, TxKind, U256, address,
    b256, keccak256,
    map::{AddressMap, B256Map, DefaultHashBuilder, HashMap, HashSet},
};
pub use block::{
    Block, BlockBody, CheckedBlock, HashMismatch, RecoveredBlock, SealedBlock, SenderCount,
    Transaction,
};
pub use impersonated::{impersonated, impersonating};
pub use outcome::{TxGas, TxResult, TxStatus};
