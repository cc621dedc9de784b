//! The methods that wallets, explorers and tools call: eth, net, web3, txpool.
//!
//! Each method is a function from the context and its arguments to JSON. Those that read the store
//! or run code work on threads for that, a bounded number at a time; the others answer at once:
//!
//! ```text
//! request -> Args -> immediate method ------------------------------> JSON
//!                 -> permit -> thread -> reading method over a view -> JSON
//! ```
//! A reading method takes one view of the chain at its start and answers from that, so an answer is
//! of one fork choice, whatever is imported meanwhile.

mod args;
mod block_ref;
mod blocks;
mod calls;
mod error;
mod fees;
mod logs;
mod node;
mod pool;
mod revert;
mod state;
mod transactions;
mod wire;

use args::Args;
use block_ref::BlockRef;
use fugue_chain::{ChainView, Engine};
use fugue_evm::CodeCache;
use fugue_state::{StateError, StateView};
use fugue_types::B256;
use jsonrpsee::{
    RpcModule,
    core::{JsonRawValue, RegisterMethodError, to_json_raw_value},
    types::{ErrorObjectOwned, Params},
};
use serde::Serialize;
use std::sync::{Arc, Mutex};
use tokio::sync::Semaphore;

/// What callers may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Gas of `eth_call` and `eth_estimateGas`.
    pub call_gas_max: u64,
    /// Logs in an answer of `eth_getLogs` over more than one block.
    pub logs_max: usize,
    /// Blocks that `eth_getLogs` looks through.
    pub log_blocks_max: u64,
    /// Blocks in an answer of `eth_feeHistory`.
    pub fee_blocks_max: u64,
    /// Requests that read the store or run code at the same time, at least one; more wait.
    pub reading_calls_max: usize,
    /// Transactions that are sent here are local: they give way last, and survive a restart.
    pub are_sent_local: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            call_gas_max: 50_000_000,
            logs_max: 20_000,
            log_blocks_max: 10_000,
            fee_blocks_max: 1_024,
            reading_calls_max: 64,
            are_sent_local: true,
        }
    }
}

/// What the methods work with.
pub(crate) struct Context {
    engine: Engine,
    limits: Limits,
    /// Codes that calls have run.
    codes: CodeCache,
    reading_calls: Arc<Semaphore>,
    /// The tip that was suggested last, and for which head.
    tip: Mutex<Option<(B256, u128)>>,
}

/// What a method gives.
type Answer = Result<Box<JsonRawValue>, ErrorObjectOwned>;
/// A method.
type Method = fn(&Context, Args) -> Answer;

/// Methods that answer from memory.
const IMMEDIATE: &[(&str, Method)] = &[
    ("eth_accounts", node::accounts),
    ("eth_blockNumber", node::block_number),
    ("eth_chainId", node::chain_id),
    ("eth_syncing", node::syncing),
    ("net_listening", node::net_listening),
    ("net_peerCount", node::net_peer_count),
    ("net_version", node::net_version),
    ("web3_clientVersion", node::client_version),
    ("web3_sha3", node::sha3),
];

/// Methods that read the store, run code, or take long.
const READING: &[(&str, Method)] = &[
    ("eth_baseFee", fees::base_fee),
    ("eth_blobBaseFee", fees::blob_base_fee),
    ("eth_call", calls::call),
    ("eth_estimateGas", calls::estimate_gas),
    ("eth_feeHistory", fees::fee_history),
    ("eth_gasPrice", fees::gas_price),
    ("eth_getBalance", state::balance),
    ("eth_getBlockByHash", blocks::block_by_hash),
    ("eth_getBlockByNumber", blocks::block_by_number),
    ("eth_getBlockReceipts", blocks::block_receipts),
    ("eth_getBlockTransactionCountByHash", blocks::transaction_count_by_hash),
    ("eth_getBlockTransactionCountByNumber", blocks::transaction_count_by_number),
    ("eth_getCode", state::code),
    ("eth_getLogs", logs::logs),
    ("eth_getStorageAt", state::storage_at),
    ("eth_getTransactionByBlockHashAndIndex", transactions::by_block_hash_and_index),
    ("eth_getTransactionByBlockNumberAndIndex", transactions::by_block_number_and_index),
    ("eth_getTransactionByHash", transactions::by_hash),
    ("eth_getTransactionCount", state::transaction_count),
    ("eth_getTransactionReceipt", transactions::receipt),
    ("eth_maxPriorityFeePerGas", fees::max_priority_fee),
    ("eth_sendRawTransaction", transactions::send_raw),
    ("txpool_content", pool::content),
    ("txpool_contentFrom", pool::content_from),
    ("txpool_status", pool::status),
];

/// The methods over a chain.
///
/// # Errors
/// Only if two methods had one name.
pub(crate) fn module(
    engine: Engine,
    limits: Limits,
) -> Result<RpcModule<Context>, RegisterMethodError> {
    let mut module = RpcModule::new(Context {
        engine,
        limits,
        codes: CodeCache::new(),
        reading_calls: Arc::new(Semaphore::new(limits.reading_calls_max.max(1))),
        tip: Mutex::new(None),
    });
    for &(name, method) in IMMEDIATE {
        module.register_method(name, move |params, context, _| -> Answer {
            method(context, Args::new(&params)?)
        })?;
    }
    for &(name, method) in READING {
        module.register_async_method(name, move |params, context, _| {
            on_a_thread(params, context, method)
        })?;
    }
    Ok(module)
}

/// Waits for a permit, and runs the method where it may block.
async fn on_a_thread(params: Params<'static>, context: Arc<Context>, method: Method) -> Answer {
    let permit = context.reading_calls.clone().acquire_owned().await;
    let permit = permit.map_err(|_| error::internal("the server has stopped"))?;
    let run = tokio::task::spawn_blocking(move || {
        let answer = Args::new(&params).and_then(|args| method(&context, args));
        drop(permit);
        answer
    });
    run.await.unwrap_or_else(|failure| Err(error::internal(failure)))
}

/// The answer with this value.
fn json<T: Serialize + ?Sized>(value: &T) -> Answer {
    to_json_raw_value(value).map_err(error::internal)
}

impl Context {
    /// The chain at the latest fork choice.
    fn view(&self) -> Arc<ChainView> {
        self.engine.view()
    }

    /// Reads the state after a block.
    fn with_state<T>(
        &self,
        block: &BlockRef,
        read: impl FnOnce(&dyn StateView) -> Result<T, StateError>,
    ) -> Result<T, ErrorObjectOwned> {
        let view = self.view();
        let number = block.number_with_state(&view)?;
        let read = view.with_state(number, read).map_err(error::of_chain)?;
        read.ok_or_else(error::block_not_found)?.map_err(error::of_state)
    }
}
