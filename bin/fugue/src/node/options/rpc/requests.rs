//! `--rpc.*`: how much one request may list, and what it may have done for it.

use clap::value_parser;

/// Options of single requests.
#[derive(Debug, clap::Args)]
pub(super) struct Requests {
    /// Addresses, or values of one topic, in a filter of logs, and addresses in trace_filter
    #[arg(id = "rpc.logquerylimit", long, value_name = "COUNT", default_value_t = 1_000,
          value_parser = value_parser!(u32).range(1..=1_000_000))]
    pub(super) filter_values: u32,
    /// Hashes of transactions in a subscription to receipts
    #[arg(id = "rpc.max-receipt-hashes", long, value_name = "COUNT", default_value_t = 200,
          value_parser = value_parser!(u32).range(1..=1_000_000))]
    pub(super) receipt_hashes: u32,
    /// Percentiles of eth_feeHistory
    #[arg(id = "rpc.max-fee-history-percentiles", long, value_name = "COUNT",
          default_value_t = 100, value_parser = value_parser!(u32).range(1..=10_000))]
    pub(super) percentiles: u32,
    /// Storage keys of eth_getProof, and of eth_getStorageValues
    #[arg(id = "rpc.max-storage-keys", long, value_name = "COUNT", default_value_t = 1_024,
          value_parser = value_parser!(u32).range(1..=1_000_000))]
    pub(super) storage_keys: u32,
    /// Accounts in state overrides
    #[arg(id = "rpc.max-overridden-accounts", long, value_name = "COUNT", default_value_t = 1_024,
          value_parser = value_parser!(u32).range(1..=1_000_000))]
    pub(super) overridden_accounts: u32,
    /// Slots of all of them
    #[arg(id = "rpc.max-overridden-slots", long, value_name = "COUNT", default_value_t = 16_384,
          value_parser = value_parser!(u32).range(1..=10_000_000))]
    pub(super) overridden_slots: u32,
    /// Messages of eth_callMany, debug_traceCallMany and trace_callMany
    #[arg(id = "rpc.max-messages", long, value_name = "COUNT", default_value_t = 1_024,
          value_parser = value_parser!(u32).range(1..=1_000_000))]
    pub(super) messages: u32,
    /// Blocks of eth_simulateV1, those between the given ones included
    #[arg(id = "rpc.max-simulate-blocks", long, value_name = "BLOCKS", default_value_t = 256,
          value_parser = value_parser!(u64).range(1..=100_000))]
    pub(super) simulated_blocks: u64,
    /// Calls of all of them, and withdrawals
    #[arg(id = "rpc.max-simulate-calls", long, value_name = "COUNT", default_value_t = 10_000,
          value_parser = value_parser!(u32).range(1..=1_000_000))]
    pub(super) simulated_calls: u32,
    /// MiB that all messages of eth_callMany or eth_simulateV1 return and log
    #[arg(id = "rpc.max-output-size", long, value_name = "MIB", default_value_t = 32,
          value_parser = value_parser!(u32).range(1..=1_024))]
    pub(super) output_mib: u32,
    /// Accounts of debug_accountRange: more are cut down
    #[arg(id = "rpc.max-account-range", long, value_name = "COUNT", default_value_t = 256,
          value_parser = value_parser!(u64).range(1..=100_000))]
    pub(super) page_accounts: u64,
    /// Slots of debug_storageRangeAt
    #[arg(id = "rpc.max-storage-range", long, value_name = "COUNT", default_value_t = 1_024,
          value_parser = value_parser!(u64).range(1..=1_000_000))]
    pub(super) page_slots: u64,
    /// Blocks that debug_getModifiedAccountsByNumber looks through
    #[arg(id = "rpc.max-modified-blocks", long, value_name = "BLOCKS", default_value_t = 1_024,
          value_parser = value_parser!(u64).range(1..=1_000_000))]
    pub(super) modified_blocks: u64,
    /// Accounts that these blocks changed
    #[arg(id = "rpc.max-modified-accounts", long, value_name = "COUNT",
          default_value_t = 100_000, value_parser = value_parser!(u32).range(1..=100_000_000))]
    pub(super) modified_accounts: u32,
    /// Transactions on a page of ots_getBlockTransactions
    #[arg(id = "rpc.max-ots-page-size", long, value_name = "COUNT", default_value_t = 1_000,
          value_parser = value_parser!(u64).range(1..=1_000_000))]
    pub(super) page_txs: u64,
    /// Transactions that a page of ots_searchTransactionsBefore may be asked for
    #[arg(id = "rpc.max-ots-search-size", long, value_name = "COUNT", default_value_t = 100,
          value_parser = value_parser!(u64).range(1..=100_000))]
    pub(super) searched_txs: u64,
    /// Blocks that it looks at for a page
    #[arg(id = "rpc.max-ots-search-blocks", long, value_name = "BLOCKS", default_value_t = 256,
          value_parser = value_parser!(u32).range(1..=1_000_000))]
    pub(super) searched_blocks: u32,
    /// Transactions of testing_buildBlockV1
    #[arg(id = "rpc.max-testing-transactions", long, value_name = "COUNT",
          default_value_t = 20_000, value_parser = value_parser!(u32).range(1..=10_000_000))]
    pub(super) testing_txs: u32,
    /// Threads of the parallel run of fugue_explainBlock, and no more than cores
    #[arg(id = "rpc.explain-threads", long, value_name = "COUNT", default_value_t = 4,
          value_parser = value_parser!(u32).range(1..=256))]
    pub(super) explain_threads: u32,
}
