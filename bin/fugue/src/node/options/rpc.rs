//! `--rpc.*`: what callers of the public methods may ask for, and what the public servers take on.
//!
//! Where geth or reth have such a bound, it has their name. To add one: a field with its range, its
//! place in [`Rpc::limits`] or [`Rpc::servers`], and in [`Rpc::faults`] what it must not be beside
//! others. Those of single requests are in [`requests`].

mod requests;

use clap::value_parser;
use fugue_rpc::{EthLimits, IpcLimits, PublicLimits};
use requests::Requests;
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// Options of the public methods.
#[derive(Debug, clap::Args)]
pub(in crate::node) struct Rpc {
    /// Gas of a call or an estimate: more is cut down
    #[arg(id = "rpc.gascap", long, value_name = "GAS", default_value_t = 50_000_000,
          value_parser = value_parser!(u64).range(21_000..=0x7fff_ffff_ffff_ffff))]
    gas_cap: u64,
    /// Seconds that a call may wait for its turn, and again that it may then take
    #[arg(id = "rpc.evmtimeout", long, value_name = "SECONDS", default_value_t = 5,
          value_parser = value_parser!(u64).range(1..=3_600))]
    call_seconds: u64,
    /// Blocks that eth_getLogs looks through
    #[arg(id = "rpc.max-blocks-per-filter", long, value_name = "BLOCKS", default_value_t = 10_000,
          value_parser = value_parser!(u64).range(1..=1_000_000_000))]
    log_blocks: u64,
    /// Blocks that it looks through for an address or a topic
    #[arg(id = "rpc.max-indexed-blocks-per-filter", long, value_name = "BLOCKS",
          default_value_t = 1_000_000, value_parser = value_parser!(u64).range(1..=1_000_000_000))]
    indexed_log_blocks: u64,
    /// Logs in an answer of eth_getLogs over more than one block
    #[arg(id = "rpc.max-logs-per-response", long, value_name = "COUNT", default_value_t = 20_000,
          value_parser = value_parser!(u32).range(1..=10_000_000))]
    logs: u32,
    /// MiB of the logs in such an answer, as the chain has them
    #[arg(id = "rpc.max-log-size", long, value_name = "MIB", default_value_t = 10,
          value_parser = value_parser!(u32).range(1..=1_024))]
    log_mib: u32,
    /// Blocks of eth_feeHistory: more are cut down
    #[arg(id = "rpc.max-fee-history-blocks", long, value_name = "BLOCKS", default_value_t = 1_024,
          value_parser = value_parser!(u64).range(1..=100_000))]
    fee_blocks: u64,
    /// Calls at a time that trace; more wait [default: a quarter of the cores, from 1 to 4]
    #[arg(id = "rpc.max-tracing-calls", long, value_name = "COUNT",
          value_parser = value_parser!(u32).range(1..=256))]
    tracing_calls: Option<u32>,
    /// Threads that trace the transactions of a block for one call [default: half of the cores]
    #[arg(id = "rpc.trace-threads", long, value_name = "COUNT",
          value_parser = value_parser!(u32).range(1..=256))]
    trace_threads: Option<u32>,
    /// Seconds that a call that traces may take
    #[arg(id = "rpc.trace-timeout", long, value_name = "SECONDS", default_value_t = 30,
          value_parser = value_parser!(u64).range(1..=3_600))]
    trace_seconds: u64,
    /// MiB of the traces in an answer
    #[arg(id = "rpc.max-trace-size", long, value_name = "MIB", default_value_t = 140,
          value_parser = value_parser!(u32).range(1..=2_048))]
    trace_mib: u32,
    /// MiB of memory for the traces of an answer before they are written
    #[arg(id = "rpc.max-trace-memory", long, value_name = "MIB", default_value_t = 512,
          value_parser = value_parser!(u32).range(1..=65_536))]
    trace_memory_mib: u32,
    /// Blocks that trace_filter looks through
    #[arg(id = "rpc.max-trace-filter-blocks", long, value_name = "BLOCKS", default_value_t = 100,
          value_parser = value_parser!(u64).range(1..=1_000_000))]
    trace_blocks: u64,
    /// Traces in an answer of trace_filter over more than one block
    #[arg(id = "rpc.max-traces-per-response", long, value_name = "COUNT", default_value_t = 10_000,
          value_parser = value_parser!(u32).range(1..=10_000_000))]
    traces: u32,
    /// Folder for the files of debug_standardTraceBlockToFile; without it there are none
    #[arg(id = "rpc.trace-files", long, value_name = "DIR")]
    trace_folder: Option<PathBuf>,
    /// Files in this folder; more are refused
    #[arg(id = "rpc.max-trace-files", long, value_name = "COUNT", default_value_t = 10_000,
          value_parser = value_parser!(u32).range(1..=1_000_000))]
    trace_files: u32,
    /// MiB of each of them
    #[arg(id = "rpc.max-trace-file-size", long, value_name = "MIB", default_value_t = 1_024,
          value_parser = value_parser!(u64).range(1..=1_048_576))]
    trace_file_mib: u64,
    /// MiB of all that is in this folder
    #[arg(id = "rpc.max-trace-folder-size", long, value_name = "MIB", default_value_t = 16_384,
          value_parser = value_parser!(u64).range(1..=16_777_216))]
    trace_folder_mib: u64,
    /// Blocks that fugue_profileContract looks through
    #[arg(id = "rpc.max-profile-blocks", long, value_name = "BLOCKS", default_value_t = 128,
          value_parser = value_parser!(u64).range(1..=100_000))]
    profile_blocks: u64,
    /// MiB of transactions of which txpool_content tells
    #[arg(id = "rpc.max-pool-size", long, value_name = "MIB", default_value_t = 8,
          value_parser = value_parser!(u32).range(1..=1_024))]
    pool_mib: u32,
    /// Blocks below the newest durable one of which there are proofs and witnesses
    #[arg(id = "rpc.eth-proof-window", long, value_name = "BLOCKS", default_value_t = 100_000,
          value_parser = value_parser!(u64).range(1..=1_000_000_000))]
    proof_blocks: u64,
    /// Accounts and slots that changed since such a block, about a kilobyte each
    #[arg(id = "rpc.max-proof-changes", long, value_name = "COUNT", default_value_t = 200_000,
          value_parser = value_parser!(u32).range(1..=100_000_000))]
    proof_changes: u32,
    /// MiB of an execution witness
    #[arg(id = "rpc.max-witness-size", long, value_name = "MIB", default_value_t = 64,
          value_parser = value_parser!(u32).range(1..=1_024))]
    witness_mib: u32,
    /// Filters that are open; more are refused
    #[arg(id = "rpc.max-filters", long, value_name = "COUNT", default_value_t = 1_024,
          value_parser = value_parser!(u32).range(1..=1_000_000))]
    filters: u32,
    /// Seconds that a filter stays open that is not asked for
    #[arg(id = "rpc.filter-ttl", long, value_name = "SECONDS", default_value_t = 300,
          value_parser = value_parser!(u64).range(1..=86_400))]
    filter_seconds: u64,
    /// Addresses and topics of all filters and subscriptions of logs
    #[arg(id = "rpc.max-filter-terms", long, value_name = "COUNT", default_value_t = 131_072,
          value_parser = value_parser!(u32).range(1..=100_000_000))]
    terms: u32,
    /// Subscriptions of all connections; more are refused
    #[arg(id = "rpc.max-subscriptions", long, value_name = "COUNT", default_value_t = 16_384,
          value_parser = value_parser!(u32).range(1..=10_000_000))]
    all_subscriptions: u32,
    /// Moves of the head that are kept for subscriptions that are behind; further behind they end
    #[arg(id = "rpc.max-kept-heads", long, value_name = "COUNT", default_value_t = 256,
          value_parser = value_parser!(u32).range(1..=1_000_000))]
    kept_moves: u32,
    /// MiB of their blocks
    #[arg(id = "rpc.max-kept-heads-size", long, value_name = "MIB", default_value_t = 64,
          value_parser = value_parser!(u32).range(1..=65_536))]
    kept_move_mib: u32,
    /// Pending transactions that are kept for subscriptions and filters that are behind
    #[arg(id = "rpc.max-kept-transactions", long, value_name = "COUNT", default_value_t = 16_384,
          value_parser = value_parser!(u32).range(1..=10_000_000))]
    kept_txs: u32,
    /// MiB of them
    #[arg(id = "rpc.max-kept-transactions-size", long, value_name = "MIB", default_value_t = 16,
          value_parser = value_parser!(u32).range(1..=65_536))]
    kept_tx_mib: u32,
    /// Calls of eth_sendRawTransactionSync that wait; more are refused
    #[arg(id = "rpc.max-sync-waits", long, value_name = "COUNT", default_value_t = 256,
          value_parser = value_parser!(u32).range(1..=1_000_000))]
    sync_waits: u32,
    /// Seconds that eth_sendRawTransactionSync waits for a block
    #[arg(id = "rpc.txsync.maxtimeout", long, value_name = "SECONDS", default_value_t = 30,
          value_parser = value_parser!(u64).range(1..=3_600))]
    sync_seconds: u64,
    #[command(flatten)]
    requests: Requests,
    /// Calls at a time that read the database or run code; more wait
    /// [default: 4 for each core, at least 16, at most 64]
    #[arg(id = "rpc.max-reading-calls", long, value_name = "COUNT",
          value_parser = value_parser!(u32).range(1..=256))]
    reading_calls: Option<u32>,
    /// Those of them that search many blocks or accounts; more wait [default: half of them]
    #[arg(id = "rpc.max-searching-calls", long, value_name = "COUNT",
          value_parser = value_parser!(u32).range(1..=256))]
    searching_calls: Option<u32>,
    /// Those of them that run code; more wait [default: half of the cores]
    #[arg(id = "rpc.max-executing-calls", long, value_name = "COUNT",
          value_parser = value_parser!(u32).range(1..=256))]
    executing_calls: Option<u32>,
    /// Such calls of one kind that wait or run; more are refused
    #[arg(id = "rpc.max-waiting-calls", long, value_name = "COUNT", default_value_t = 1_024,
          value_parser = value_parser!(u32).range(1..=1_000_000))]
    waiting_calls: u32,
    /// MiB of a request over HTTP or WebSocket
    #[arg(id = "rpc.max-request-size", long, value_name = "MIB", default_value_t = 5,
          value_parser = value_parser!(u32).range(1..=1_024))]
    request_mib: u32,
    /// MiB of an answer, also over IPC
    #[arg(id = "rpc.max-response-size", long, value_name = "MIB", default_value_t = 150,
          value_parser = value_parser!(u32).range(1..=2_048))]
    response_mib: u32,
    /// MiB of a request over IPC
    #[arg(id = "rpc.max-ipc-request-size", long, value_name = "MIB", default_value_t = 128,
          value_parser = value_parser!(u32).range(1..=1_024))]
    ipc_request_mib: u32,
    /// Calls in a batch, also over IPC
    #[arg(id = "rpc.batch-request-limit", long, value_name = "COUNT", default_value_t = 1_000,
          value_parser = value_parser!(u32).range(1..=100_000))]
    batch_calls: u32,
    /// Bytes of all answers to a batch together, also over IPC
    #[arg(id = "rpc.batch-response-max-size", long, value_name = "BYTES",
          default_value_t = 25_000_000,
          value_parser = value_parser!(u32).range(1_000..=0x7fff_ffff))]
    batch_bytes: u32,
    /// Seconds in which calls of a batch are begun, also over IPC; the others are given up
    #[arg(id = "rpc.batch-timeout", long, value_name = "SECONDS", default_value_t = 10,
          value_parser = value_parser!(u64).range(1..=3_600))]
    batch_seconds: u64,
    /// Requests and WebSockets of a server at a time; more are refused
    #[arg(id = "rpc.max-connections", long, value_name = "COUNT", default_value_t = 500,
          value_parser = value_parser!(u32).range(1..=65_536))]
    connections: u32,
    /// Sockets of a server at a time, idle ones too; more wait
    #[arg(id = "rpc.max-sockets", long, value_name = "COUNT", default_value_t = 256,
          value_parser = value_parser!(u32).range(1..=65_536))]
    sockets: u32,
    /// IPC connections at a time; more are refused
    #[arg(id = "rpc.max-ipc-connections", long, value_name = "COUNT", default_value_t = 64,
          value_parser = value_parser!(u32).range(1..=65_536))]
    ipc_connections: u32,
    /// Subscriptions of one WebSocket or IPC connection
    #[arg(id = "rpc.max-subscriptions-per-connection", long, value_name = "COUNT",
          default_value_t = 1_024, value_parser = value_parser!(u32).range(1..=65_536))]
    subscriptions: u32,
    /// Messages of one connection that are worked on at a time; more wait
    #[arg(id = "rpc.max-calls-per-connection", long, value_name = "COUNT", default_value_t = 32,
          value_parser = value_parser!(u32).range(1..=4_096))]
    connection_calls: u32,
    /// MiB of answers of one WebSocket or IPC connection that are not sent; above that no more is
    /// read from it
    #[arg(id = "rpc.max-unsent-size", long, value_name = "MIB", default_value_t = 32,
          value_parser = value_parser!(u64).range(1..=65_536))]
    unsent_mib: u64,
    /// MiB of such answers of all connections of a server; above that calls are refused
    #[arg(id = "rpc.max-total-unsent-size", long, value_name = "MIB", default_value_t = 1_024,
          value_parser = value_parser!(u64).range(1..=65_536))]
    all_unsent_mib: u64,
    /// Seconds that a connection may be idle; then it is closed
    #[arg(id = "rpc.idle-timeout", long, value_name = "SECONDS", default_value_t = 120,
          value_parser = value_parser!(u64).range(60..=86_400))]
    idle_seconds: u64,
    /// Seconds for the head of a request over HTTP, and then for its body
    #[arg(id = "rpc.request-timeout", long, value_name = "SECONDS", default_value_t = 30,
          value_parser = value_parser!(u64).range(1..=3_600))]
    request_seconds: u64,
}

const fn bytes(mib: u32) -> usize {
    (mib as usize) << 20
}

impl Rpc {
    /// Where traces may be written to files, if anywhere.
    pub(in crate::node) fn trace_folder(&self) -> Option<&Path> {
        self.trace_folder.as_deref()
    }

    /// What callers may ask for.
    pub(in crate::node) fn limits(&self, are_sent_local: bool) -> EthLimits {
        let default = EthLimits::default();
        let requests = &self.requests;
        let count = |count: Option<u32>| count.map(|count| count as usize);
        let reading_calls_max = count(self.reading_calls).unwrap_or(default.reading_calls_max);
        let searching_calls_max =
            count(self.searching_calls).unwrap_or((reading_calls_max / 2).max(1));
        let executing_calls_max = count(self.executing_calls)
            .unwrap_or(default.executing_calls_max.min(reading_calls_max));
        EthLimits {
            call_gas_max: self.gas_cap,
            logs_max: self.logs as usize,
            log_bytes_max: bytes(self.log_mib),
            log_blocks_max: self.log_blocks,
            indexed_log_blocks_max: self.indexed_log_blocks,
            fee_blocks_max: self.fee_blocks,
            reading_calls_max,
            searching_calls_max,
            executing_calls_max,
            waiting_calls_max: self.waiting_calls as usize,
            call_time_max: Duration::from_secs(self.call_seconds),
            tracing_calls_max: count(self.tracing_calls).unwrap_or(default.tracing_calls_max),
            trace_threads_max: count(self.trace_threads).unwrap_or(default.trace_threads_max),
            trace_time_max: Duration::from_secs(self.trace_seconds),
            trace_bytes_max: bytes(self.trace_mib),
            trace_memory_max: bytes(self.trace_memory_mib),
            trace_blocks_max: self.trace_blocks,
            traces_max: self.traces as usize,
            trace_files_max: self.trace_files as usize,
            trace_file_bytes_max: self.trace_file_mib << 20,
            trace_folder_bytes_max: self.trace_folder_mib << 20,
            profile_blocks_max: self.profile_blocks,
            pool_bytes_max: bytes(self.pool_mib),
            proof_blocks_max: self.proof_blocks,
            proof_changes_max: self.proof_changes as usize,
            witness_bytes_max: bytes(self.witness_mib),
            filters_max: self.filters as usize,
            filter_idle_max: Duration::from_secs(self.filter_seconds),
            subscriptions_max: self.all_subscriptions as usize,
            terms_max: self.terms as usize,
            kept_moves_max: self.kept_moves as usize,
            kept_move_bytes_max: bytes(self.kept_move_mib),
            kept_txs_max: self.kept_txs as usize,
            kept_tx_bytes_max: bytes(self.kept_tx_mib),
            sync_waits_max: self.sync_waits as usize,
            sync_wait_max: Duration::from_secs(self.sync_seconds),
            filter_values_max: requests.filter_values as usize,
            receipt_hashes_max: requests.receipt_hashes as usize,
            percentiles_max: requests.percentiles as usize,
            storage_keys_max: requests.storage_keys as usize,
            overridden_accounts_max: requests.overridden_accounts as usize,
            overridden_slots_max: requests.overridden_slots as usize,
            messages_max: requests.messages as usize,
            simulated_blocks_max: requests.simulated_blocks,
            simulated_calls_max: requests.simulated_calls as usize,
            output_bytes_max: bytes(requests.output_mib),
            page_accounts_max: requests.page_accounts,
            page_slots_max: requests.page_slots,
            modified_blocks_max: requests.modified_blocks,
            modified_accounts_max: requests.modified_accounts as usize,
            page_txs_max: requests.page_txs,
            searched_txs_max: requests.searched_txs,
            searched_blocks_max: requests.searched_blocks as usize,
            testing_txs_max: requests.testing_txs as usize,
            explain_threads_max: requests.explain_threads as usize,
            are_sent_local,
        }
    }

    /// What each public server takes on.
    pub(in crate::node) fn servers(&self, compresses: bool) -> PublicLimits {
        PublicLimits {
            body_bytes_max: self.request_mib << 20,
            response_bytes_max: self.response_mib << 20,
            batch_max: self.batch_calls,
            connections_max: self.connections,
            subscriptions_max: self.subscriptions,
            sockets_max: self.sockets as usize,
            batch_bytes_max: self.batch_bytes as usize,
            batch_time_max: Duration::from_secs(self.batch_seconds),
            calls_max: self.connection_calls as usize,
            unsent_bytes_max: self.unsent_mib << 20,
            all_unsent_bytes_max: self.all_unsent_mib << 20,
            idle_max: Duration::from_secs(self.idle_seconds),
            request_time_max: Duration::from_secs(self.request_seconds),
            compresses,
        }
    }

    /// What the IPC server takes on.
    pub(in crate::node) fn ipc(&self) -> IpcLimits {
        IpcLimits {
            message_bytes_max: bytes(self.ipc_request_mib),
            response_bytes_max: bytes(self.response_mib),
            batch_max: self.batch_calls as usize,
            batch_bytes_max: self.batch_bytes as usize,
            batch_time_max: Duration::from_secs(self.batch_seconds),
            connections_max: self.ipc_connections as usize,
            subscriptions_max: self.subscriptions,
            unsent_bytes_max: self.unsent_mib << 20,
        }
    }

    /// What does not go together.
    pub(super) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let reading = self.limits(false).reading_calls_max;
        let smaller = [
            (self.searching_calls, "--rpc.max-searching-calls", "search"),
            (self.executing_calls, "--rpc.max-executing-calls", "run code"),
        ];
        for (calls, flag, what) in smaller {
            if let Some(calls) = calls.filter(|calls| *calls as usize > reading) {
                faults.push(format!(
                    "{flag}: {calls} calls that {what} are also among the {reading} of \
                     --rpc.max-reading-calls"
                ));
            }
        }
        // An answer has each byte as two digits, and names beside them.
        let (log_mib, response_mib) = (self.log_mib, self.response_mib);
        if 2 * log_mib >= response_mib {
            faults.push(format!(
                "--rpc.max-log-size: {log_mib} MiB of logs do not fit into an answer of \
                 {response_mib} MiB, --rpc.max-response-size: in it they are more than twice as \
                 long"
            ));
        }
        let (unsent, all) = (self.unsent_mib, self.all_unsent_mib);
        if unsent > all {
            faults.push(format!(
                "--rpc.max-unsent-size: {unsent} MiB of one WebSocket are above the {all} MiB of \
                 all, --rpc.max-total-unsent-size"
            ));
        }
        // The last call of a batch is begun, waits for its turn, and takes its time.
        let (idle, call) = (self.idle_seconds, self.call_seconds);
        let last_calls = [
            (2 * call, " and --rpc.evmtimeout"),
            (call + self.trace_seconds, ", --rpc.evmtimeout and --rpc.trace-timeout"),
            // It is sent, it waits, and the receipt is made.
            (4 * call + self.sync_seconds, ", --rpc.evmtimeout and --rpc.txsync.maxtimeout"),
        ];
        let busy = last_calls.map(|(seconds, flags)| (self.batch_seconds + seconds, flags));
        if let Some((busy, flags)) = busy.into_iter().find(|(busy, _)| idle <= *busy) {
            faults.push(format!(
                "--rpc.idle-timeout: {idle} s are over before a batch is, which may take {busy} s \
                 by --rpc.batch-timeout{flags}"
            ));
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use fugue_rpc::{IPC_LIMITS, PUBLIC_LIMITS};

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        rpc: Rpc,
    }

    fn rpc(arguments: &[&str]) -> Rpc {
        Cli::parse_from([&["node"][..], arguments].concat()).rpc
    }

    #[test]
    fn bounds_are_as_the_servers_have_them_where_nothing_is_said() {
        assert_eq!(rpc(&[]).limits(true), EthLimits::default());
        assert_eq!(rpc(&[]).servers(true), PUBLIC_LIMITS);
        assert_eq!(rpc(&[]).ipc(), IPC_LIMITS);
        assert!(rpc(&[]).faults().is_empty());
    }

    #[test]
    fn every_bound_can_be_another() {
        let set = rpc(&[
            "--rpc.gascap=100000",
            "--rpc.evmtimeout=7",
            "--rpc.max-blocks-per-filter=11",
            "--rpc.max-indexed-blocks-per-filter=24",
            "--rpc.eth-proof-window=25",
            "--rpc.max-proof-changes=26",
            "--rpc.max-witness-size=2",
            "--rpc.max-filters=27",
            "--rpc.filter-ttl=28",
            "--rpc.max-filter-terms=29",
            "--rpc.max-subscriptions=30",
            "--rpc.max-sync-waits=31",
            "--rpc.txsync.maxtimeout=32",
            "--rpc.max-logs-per-response=12",
            "--rpc.max-log-size=3",
            "--rpc.max-fee-history-blocks=13",
            "--rpc.max-tracing-calls=33",
            "--rpc.trace-threads=34",
            "--rpc.trace-timeout=35",
            "--rpc.max-trace-size=7",
            "--rpc.max-trace-memory=36",
            "--rpc.max-trace-filter-blocks=37",
            "--rpc.max-traces-per-response=38",
            "--rpc.max-trace-files=40",
            "--rpc.max-trace-file-size=41",
            "--rpc.max-trace-folder-size=42",
            "--rpc.max-profile-blocks=39",
            "--rpc.max-pool-size=4",
            "--rpc.max-reading-calls=9",
            "--rpc.max-searching-calls=8",
            "--rpc.max-executing-calls=5",
            "--rpc.max-waiting-calls=14",
            "--rpc.max-request-size=6",
            "--rpc.max-response-size=8",
            "--rpc.batch-request-limit=15",
            "--rpc.batch-response-max-size=16000",
            "--rpc.batch-timeout=17",
            "--rpc.max-connections=18",
            "--rpc.max-sockets=19",
            "--rpc.max-subscriptions-per-connection=20",
            "--rpc.max-calls-per-connection=21",
            "--rpc.max-unsent-size=22",
            "--rpc.max-total-unsent-size=23",
            "--rpc.idle-timeout=240",
            "--rpc.request-timeout=66",
            "--rpc.max-ipc-request-size=9",
            "--rpc.max-ipc-connections=43",
            "--rpc.max-kept-heads=62",
            "--rpc.max-kept-heads-size=63",
            "--rpc.max-kept-transactions=64",
            "--rpc.max-kept-transactions-size=65",
            "--rpc.logquerylimit=44",
            "--rpc.max-receipt-hashes=45",
            "--rpc.max-fee-history-percentiles=46",
            "--rpc.max-storage-keys=47",
            "--rpc.max-overridden-accounts=48",
            "--rpc.max-overridden-slots=49",
            "--rpc.max-messages=50",
            "--rpc.max-simulate-blocks=51",
            "--rpc.max-simulate-calls=52",
            "--rpc.max-output-size=10",
            "--rpc.max-account-range=53",
            "--rpc.max-storage-range=54",
            "--rpc.max-modified-blocks=55",
            "--rpc.max-modified-accounts=56",
            "--rpc.max-ots-page-size=57",
            "--rpc.max-ots-search-size=58",
            "--rpc.max-ots-search-blocks=59",
            "--rpc.max-testing-transactions=60",
            "--rpc.explain-threads=61",
        ]);
        let mib = 1 << 20;
        let limits = EthLimits {
            call_gas_max: 100_000,
            logs_max: 12,
            log_bytes_max: 3 * mib,
            log_blocks_max: 11,
            indexed_log_blocks_max: 24,
            proof_blocks_max: 25,
            proof_changes_max: 26,
            witness_bytes_max: 2 * mib,
            filters_max: 27,
            filter_idle_max: Duration::from_secs(28),
            terms_max: 29,
            subscriptions_max: 30,
            sync_waits_max: 31,
            sync_wait_max: Duration::from_secs(32),
            fee_blocks_max: 13,
            reading_calls_max: 9,
            searching_calls_max: 8,
            executing_calls_max: 5,
            waiting_calls_max: 14,
            call_time_max: Duration::from_secs(7),
            tracing_calls_max: 33,
            trace_threads_max: 34,
            trace_time_max: Duration::from_secs(35),
            trace_bytes_max: 7 * mib,
            trace_memory_max: 36 * mib,
            trace_blocks_max: 37,
            traces_max: 38,
            trace_files_max: 40,
            trace_file_bytes_max: 41 << 20,
            trace_folder_bytes_max: 42 << 20,
            profile_blocks_max: 39,
            pool_bytes_max: 4 * mib,
            kept_moves_max: 62,
            kept_move_bytes_max: 63 * mib,
            kept_txs_max: 64,
            kept_tx_bytes_max: 65 * mib,
            filter_values_max: 44,
            receipt_hashes_max: 45,
            percentiles_max: 46,
            storage_keys_max: 47,
            overridden_accounts_max: 48,
            overridden_slots_max: 49,
            messages_max: 50,
            simulated_blocks_max: 51,
            simulated_calls_max: 52,
            output_bytes_max: 10 * mib,
            page_accounts_max: 53,
            page_slots_max: 54,
            modified_blocks_max: 55,
            modified_accounts_max: 56,
            page_txs_max: 57,
            searched_txs_max: 58,
            searched_blocks_max: 59,
            testing_txs_max: 60,
            explain_threads_max: 61,
            are_sent_local: false,
        };
        assert_eq!(set.limits(false), limits);
        let servers = PublicLimits {
            body_bytes_max: 6 << 20,
            response_bytes_max: 8 << 20,
            batch_max: 15,
            connections_max: 18,
            subscriptions_max: 20,
            sockets_max: 19,
            batch_bytes_max: 16_000,
            batch_time_max: Duration::from_secs(17),
            calls_max: 21,
            unsent_bytes_max: 22 << 20,
            all_unsent_bytes_max: 23 << 20,
            idle_max: Duration::from_secs(240),
            request_time_max: Duration::from_secs(66),
            compresses: false,
        };
        assert_eq!(set.servers(false), servers);
        let ipc = IpcLimits {
            message_bytes_max: 9 << 20,
            response_bytes_max: 8 << 20,
            batch_max: 15,
            batch_bytes_max: 16_000,
            batch_time_max: Duration::from_secs(17),
            connections_max: 43,
            subscriptions_max: 20,
            unsent_bytes_max: 22 << 20,
        };
        assert_eq!(set.ipc(), ipc);
        assert!(set.faults().is_empty(), "{:?}", set.faults());
    }

    #[test]
    fn fewer_calls_that_read_are_also_fewer_that_search_or_run_code() {
        for (reading, searching) in [("1", 1), ("2", 1), ("6", 3)] {
            let limits = rpc(&["--rpc.max-reading-calls", reading]).limits(true);
            assert_eq!(limits.searching_calls_max, searching);
            assert!(limits.executing_calls_max <= limits.reading_calls_max, "{limits:?}");
        }
    }

    #[test]
    fn bounds_that_do_not_go_together_are_named() {
        let cases: [(&[&str], [&str; 2]); 7] = [
            (
                &["--rpc.max-reading-calls=2", "--rpc.max-searching-calls=3"],
                ["--rpc.max-searching-calls: 3", "the 2 of --rpc.max-reading-calls"],
            ),
            (
                &["--rpc.max-reading-calls=2", "--rpc.max-executing-calls=3"],
                ["--rpc.max-executing-calls: 3", "the 2 of --rpc.max-reading-calls"],
            ),
            (
                &["--rpc.max-log-size=75"],
                ["--rpc.max-log-size: 75 MiB", "150 MiB, --rpc.max-response-size"],
            ),
            (
                &["--rpc.max-unsent-size=2000"],
                ["--rpc.max-unsent-size: 2000 MiB", "1024 MiB of all, --rpc.max-total-unsent-size"],
            ),
            (
                &["--rpc.evmtimeout=60"],
                ["--rpc.idle-timeout: 120 s", "130 s by --rpc.batch-timeout and --rpc.evmtimeout"],
            ),
            (
                &["--rpc.trace-timeout=105"],
                ["--rpc.idle-timeout: 120 s", "120 s by --rpc.batch-timeout, --rpc.evmtimeout and"],
            ),
            (
                &["--rpc.txsync.maxtimeout=90"],
                ["--rpc.idle-timeout: 120 s", "and --rpc.txsync.maxtimeout"],
            ),
        ];
        for (arguments, flags) in cases {
            let faults = rpc(arguments).faults();
            assert_eq!(faults.len(), 1, "{faults:?}");
            assert!(faults[0].starts_with(flags[0]), "{faults:?}");
            assert!(faults[0].contains(flags[1]), "{faults:?}");
        }
    }

    #[test]
    fn nothing_and_what_is_absurd_are_refused_with_the_flag() {
        for wrong in [
            "--rpc.gascap=0",
            "--rpc.evmtimeout=0",
            "--rpc.evmtimeout=1000000",
            "--rpc.max-blocks-per-filter=0",
            "--rpc.max-logs-per-response=0",
            "--rpc.max-reading-calls=0",
            "--rpc.max-reading-calls=100000",
            "--rpc.max-searching-calls=0",
            "--rpc.max-request-size=0",
            "--rpc.max-request-size=4096",
            "--rpc.max-response-size=4096",
            "--rpc.batch-request-limit=0",
            "--rpc.batch-response-max-size=0",
            "--rpc.max-connections=-1",
            "--rpc.max-sockets=0",
            "--rpc.idle-timeout=1",
            "--rpc.request-timeout=0",
            "--rpc.max-unsent-size=many",
        ] {
            let error = Cli::try_parse_from(["node", wrong]).err().expect("a fault").to_string();
            let (flag, value) = wrong.split_once('=').expect("a value");
            assert!(error.contains(flag) && error.contains(value), "{wrong}: {error}");
        }
    }
}
