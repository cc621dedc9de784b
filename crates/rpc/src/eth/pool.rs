//! The transactions that wait for a block.

use crate::eth::{
    Answer, Context,
    args::{Args, address},
    error, json, wire,
};
use fugue_txpool::PooledTx;
use fugue_types::{Address, U256};
use jsonrpsee::types::ErrorObjectOwned;
use serde_json::{Map, Value, json as object};
use std::{collections::BTreeMap, sync::Arc};

/// `txpool_status`.
pub(crate) fn status(context: &Context, args: Args) -> Answer {
    args.end()?;
    let status = context.engine.pool().status();
    let (pending, queued) = (U256::from(status.pending), U256::from(status.queued));
    json(&object!({ "pending": pending, "queued": queued }))
}

/// `txpool_content`.
pub(crate) fn content(context: &Context, args: Args) -> Answer {
    args.end()?;
    let content = context.engine.pool().content();
    let (pending, queued) = (by_sender(&content.pending)?, by_sender(&content.queued)?);
    json(&object!({ "pending": pending, "queued": queued }))
}

/// `txpool_contentFrom`.
pub(crate) fn content_from(context: &Context, mut args: Args) -> Answer {
    let sender = args.required("address", address)?;
    args.end()?;
    let content = context.engine.pool().content();
    let of_sender = |part: &BTreeMap<Address, Vec<Arc<PooledTx>>>| {
        part.get(&sender).map_or(Ok(Value::Object(Map::new())), |txs| by_nonce(txs))
    };
    let (pending, queued) = (of_sender(&content.pending)?, of_sender(&content.queued)?);
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
