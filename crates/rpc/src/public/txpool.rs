//! The transactions that wait for a block.

use crate::public::{
    Answer, Class, Context, Table,
    args::{Args, address},
    error, json, wire,
};
use fugue_txpool::PooledTx;
use fugue_types::{Address, U256};
use jsonrpsee::types::ErrorObjectOwned;
use serde_json::{Map, Value, json as object};
use std::{collections::BTreeMap, sync::Arc};

/// The methods of this namespace.
pub(super) const METHODS: Table = &[
    ("txpool_content", Class::Reading, content),
    ("txpool_contentFrom", Class::Reading, content_from),
    ("txpool_status", Class::Reading, status),
];

/// Bytes of a transaction in an answer beside its data, about.
const TX_BYTES: usize = 500;

/// `txpool_status`.
fn status(context: &Context, args: Args) -> Answer {
    args.end()?;
    let status = context.engine.pool().status();
    let (pending, queued) = (U256::from(status.pending), U256::from(status.queued));
    json(&object!({ "pending": pending, "queued": queued }))
}

/// `txpool_content`.
fn content(context: &Context, args: Args) -> Answer {
    args.end()?;
    let status = context.engine.pool().status();
    let max = context.limits.pool_bytes_max;
    let counts = [status.pending, status.queued].map(|count| count.saturating_mul(TX_BYTES));
    let parts = [status.pending_bytes, status.queued_bytes, counts[0], counts[1]];
    if parts.into_iter().fold(0, usize::saturating_add) > max {
        return Err(error::refused(format!(
            "the pool is too large to be told of at once, {max} bytes are the most: use \
             txpool_contentFrom"
        )));
    }
    let content = context.engine.pool().content();
    let (pending, queued) = (by_sender(&content.pending)?, by_sender(&content.queued)?);
    json(&object!({ "pending": pending, "queued": queued }))
}

/// `txpool_contentFrom`.
fn content_from(context: &Context, mut args: Args) -> Answer {
    let sender = args.required("address", address)?;
    args.end()?;
    let [pending, queued] = context.engine.pool().content_of(sender);
    let (pending, queued) = (by_nonce(&pending)?, by_nonce(&queued)?);
    json(&object!({ "pending": pending, "queued": queued }))
}

fn by_sender(
    part: &BTreeMap<Address, Vec<Arc<PooledTx>>>,
) -> Result<Map<String, Value>, ErrorObjectOwned> {
    part.iter().map(|(sender, txs)| Ok((sender.to_checksum(None), by_nonce(txs)?))).collect()
}

fn by_nonce(txs: &[Arc<PooledTx>]) -> Result<Value, ErrorObjectOwned> {
    let wired: Result<Map<String, Value>, serde_json::Error> =
        txs.iter().map(|tx| Ok((tx.nonce().to_string(), wire::pooled(tx)?))).collect();
    wired.map(Value::Object).map_err(error::internal)
}
