//! The `eth` namespace: blocks, transactions, state, logs, fees, and messages that are run.

mod blocks;
mod call_many;
mod calls;
mod fees;
pub(super) mod logs;
mod node;
mod simulate;
mod state;
mod transactions;

use crate::public::{Class, Table};

/// The methods of this namespace.
pub(super) const METHODS: Table = &[
    ("eth_accounts", Class::Immediate, node::accounts),
    ("eth_baseFee", Class::Reading, fees::base_fee),
    ("eth_blobBaseFee", Class::Reading, fees::blob_base_fee),
    ("eth_blockNumber", Class::Immediate, node::block_number),
    ("eth_call", Class::Executing, calls::call),
    ("eth_callMany", Class::Executing, call_many::call_many),
    ("eth_chainId", Class::Immediate, node::chain_id),
    ("eth_createAccessList", Class::Executing, calls::create_access_list),
    ("eth_estimateGas", Class::Executing, calls::estimate_gas),
    ("eth_feeHistory", Class::Reading, fees::fee_history),
    ("eth_gasPrice", Class::Reading, fees::gas_price),
    ("eth_getBalance", Class::Reading, state::balance),
    ("eth_getBlockByHash", Class::Reading, blocks::block_by_hash),
    ("eth_getBlockByNumber", Class::Reading, blocks::block_by_number),
    ("eth_getBlockReceipts", Class::Reading, blocks::block_receipts),
    ("eth_getBlockTransactionCountByHash", Class::Reading, blocks::transaction_count_by_hash),
    ("eth_getBlockTransactionCountByNumber", Class::Reading, blocks::transaction_count_by_number),
    ("eth_getCode", Class::Reading, state::code),
    ("eth_getLogs", Class::Reading, logs::logs),
    ("eth_getStorageAt", Class::Reading, state::storage_at),
    (
        "eth_getTransactionByBlockHashAndIndex",
        Class::Reading,
        transactions::by_block_hash_and_index,
    ),
    (
        "eth_getTransactionByBlockNumberAndIndex",
        Class::Reading,
        transactions::by_block_number_and_index,
    ),
    ("eth_getTransactionByHash", Class::Reading, transactions::by_hash),
    ("eth_getTransactionCount", Class::Reading, state::transaction_count),
    ("eth_getTransactionReceipt", Class::Reading, transactions::receipt),
    ("eth_maxPriorityFeePerGas", Class::Reading, fees::max_priority_fee),
    ("eth_sendRawTransaction", Class::Reading, transactions::send_raw),
    ("eth_simulateV1", Class::Executing, simulate::simulate),
    ("eth_syncing", Class::Immediate, node::syncing),
];
