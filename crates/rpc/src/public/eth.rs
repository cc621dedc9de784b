//! The `eth` namespace: blocks, transactions, state, logs, fees, and messages that are run.

pub(super) mod access_lists;
pub(super) mod blocks;
pub(super) mod call_many;
pub(super) mod calls;
pub(super) mod changes;
mod config;
mod fees;
mod fill;
pub(super) mod filters;
pub(super) mod headers;
mod keyless;
pub(super) mod logs;
pub(super) mod node;
pub(super) mod pending;
mod proof;
mod send_sync;
mod simulate;
mod state;
pub(super) mod transactions;

use crate::public::{Class, Table};
pub(super) use send_sync::send_raw_sync;

/// The methods of this namespace.
pub(super) const METHODS: Table = &[
    ("eth_accounts", Class::Reading, node::accounts),
    ("eth_baseFee", Class::Reading, fees::base_fee),
    ("eth_blobBaseFee", Class::Reading, fees::blob_base_fee),
    ("eth_blockNumber", Class::Immediate, node::block_number),
    ("eth_call", Class::Executing, calls::call),
    ("eth_callMany", Class::Executing, call_many::call_many),
    ("eth_capabilities", Class::Reading, config::capabilities),
    ("eth_chainId", Class::Immediate, node::chain_id),
    ("eth_config", Class::Reading, config::config),
    ("eth_createAccessList", Class::Executing, calls::create_access_list),
    ("eth_estimateGas", Class::Executing, calls::estimate_gas),
    ("eth_feeHistory", Class::Searching, fees::fee_history),
    ("eth_fillTransaction", Class::Executing, fill::fill_transaction),
    ("eth_gasPrice", Class::Reading, fees::gas_price),
    ("eth_getAccount", Class::Reading, state::account),
    ("eth_getAccountInfo", Class::Reading, state::account_info),
    ("eth_getBalance", Class::Reading, state::balance),
    ("eth_getBlockAccessList", Class::Reading, access_lists::by_block),
    ("eth_getBlockAccessListByBlockHash", Class::Reading, access_lists::by_block_hash),
    ("eth_getBlockAccessListByBlockNumber", Class::Reading, access_lists::by_block_number),
    ("eth_getBlockAccessListRaw", Class::Reading, access_lists::raw),
    ("eth_getBlockByHash", Class::Reading, blocks::block_by_hash),
    ("eth_getBlockByNumber", Class::Reading, blocks::block_by_number),
    ("eth_getBlockReceipts", Class::Reading, blocks::block_receipts),
    ("eth_getBlockTransactionCountByHash", Class::Reading, blocks::transaction_count_by_hash),
    ("eth_getBlockTransactionCountByNumber", Class::Reading, blocks::transaction_count_by_number),
    ("eth_getCode", Class::Reading, state::code),
    ("eth_getFilterChanges", Class::Searching, filters::changes),
    ("eth_getFilterLogs", Class::Searching, filters::logs),
    ("eth_getHeaderByHash", Class::Reading, headers::by_hash),
    ("eth_getHeaderByNumber", Class::Reading, headers::by_number),
    ("eth_getLogs", Class::Searching, logs::logs),
    ("eth_getProof", Class::Executing, proof::proof),
    (
        "eth_getRawTransactionByBlockHashAndIndex",
        Class::Reading,
        transactions::raw_by_block_hash_and_index,
    ),
    (
        "eth_getRawTransactionByBlockNumberAndIndex",
        Class::Reading,
        transactions::raw_by_block_number_and_index,
    ),
    ("eth_getRawTransactionByHash", Class::Reading, transactions::raw_by_hash),
    ("eth_getStorageAt", Class::Reading, state::storage_at),
    ("eth_getStorageValues", Class::Reading, state::storage_values),
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
    ("eth_getTransactionBySenderAndNonce", Class::Reading, transactions::by_sender_and_nonce),
    ("eth_getTransactionCount", Class::Reading, state::transaction_count),
    ("eth_getTransactionReceipt", Class::Reading, transactions::receipt),
    ("eth_getUncleByBlockHashAndIndex", Class::Reading, headers::ommer_by_hash),
    ("eth_getUncleByBlockNumberAndIndex", Class::Reading, headers::ommer_by_number),
    ("eth_getUncleCountByBlockHash", Class::Reading, headers::ommer_count_by_hash),
    ("eth_getUncleCountByBlockNumber", Class::Reading, headers::ommer_count_by_number),
    ("eth_maxPriorityFeePerGas", Class::Reading, fees::max_priority_fee),
    ("eth_newBlockFilter", Class::Reading, filters::new_block_filter),
    ("eth_newFilter", Class::Reading, filters::new_filter),
    ("eth_newPendingTransactionFilter", Class::Immediate, filters::new_pending_filter),
    ("eth_pendingTransactions", Class::Reading, transactions::pending),
    ("eth_sendRawTransaction", Class::Reading, transactions::send_raw),
    ("eth_sendTransaction", Class::Reading, keyless::transaction),
    ("eth_sign", Class::Reading, keyless::message),
    ("eth_signTransaction", Class::Reading, keyless::transaction),
    ("eth_signTypedData", Class::Reading, keyless::typed),
    ("eth_signTypedData_v3", Class::Reading, keyless::typed),
    ("eth_signTypedData_v4", Class::Reading, keyless::typed),
    ("eth_simulateV1", Class::Executing, simulate::simulate),
    ("eth_syncing", Class::Immediate, node::syncing),
    ("eth_uninstallFilter", Class::Immediate, filters::uninstall),
];

/// Reads any value as what methods of this namespace take, for fuzz targets.
#[cfg(any(test, feature = "fuzzing"))]
pub(super) fn fuzz(value: &serde_json::Value) {
    calls::fuzz(value);
    fees::fuzz(value);
    let _ = crate::public::dev::typed_data::read(value);
    logs::fuzz(value);
}
