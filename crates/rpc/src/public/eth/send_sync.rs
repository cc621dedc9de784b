//! `eth_sendRawTransactionSync`: sends a transaction, and waits for a block with it (EIP-7966).
//!
//! It holds a thread while it sends, and again while it puts the receipt together, but none while
//! it waits.

use crate::public::{
    Answer, Class, Context, Limits,
    args::{Args, bytes, count},
    error,
    eth::transactions,
    feed::Listener,
    json, on_a_thread, wire,
};
use fugue_chain::{HeadMove, MovedBlock};
use fugue_types::B256;
use jsonrpsee::types::{ErrorObjectOwned, Params};
use std::{sync::Arc, time::Duration};
use tokio::time::timeout;

/// Where a transaction was found.
enum Found {
    /// In a block that joined the chain, with this index.
    Told(MovedBlock, usize),
    /// In the chain.
    Looked(Answer),
}

/// `eth_sendRawTransactionSync`. Instead of no time, and of one that is too long, the call waits as
/// long as it may. Source: EIP-7966, "Behavior".
pub(crate) async fn send_raw_sync(params: Params<'static>, context: Arc<Context>) -> Answer {
    let mut args = Args::new(&params)?;
    let encoded = args.required("transaction", bytes)?;
    let asked = args.optional("timeout", count)?;
    args.end()?;
    let Limits { sync_waits_max, sync_wait_max, .. } = context.limits;
    let room = Arc::clone(&context.live.sync_waits).try_acquire_owned();
    let _room = room.map_err(|_| {
        error::refused(format!("{sync_waits_max} calls wait for a block already, the most"))
    })?;
    let wait = match asked {
        None | Some(0) => sync_wait_max,
        Some(ms) => Duration::from_millis(ms).min(sync_wait_max),
    };
    // Before it is sent: there may be a block with it at once.
    let mut heads = context.live.heads.listen();
    let submit = move |context: &Context| transactions::submit(context, &encoded);
    // A chain for development makes the block before this returns.
    let class = if context.dev.is_some() { Class::Changing } else { Class::Reading };
    let added = on_a_thread(Arc::clone(&context), class, submit).await?;
    if !added.is_pending {
        return Err(error::not_ready(added.hash));
    }
    let found = timeout(wait, find(&context, &mut heads, added.hash)).await;
    match found.map_err(|_| error::not_included(added.hash, wait))? {
        Found::Looked(answer) => answer,
        Found::Told(block, index) => {
            let receipt = move |context: &Context| receipt_of(context, &block, index);
            on_a_thread(context, Class::Reading, receipt).await
        }
    }
}

/// Waits for a block with the transaction.
async fn find(context: &Arc<Context>, heads: &mut Listener<Arc<HeadMove>>, hash: B256) -> Found {
    loop {
        let is_whole = match heads.next().await {
            Ok(moved) => {
                if let Some((block, index)) = place_in(&moved, hash) {
                    return Found::Told(block, index);
                }
                moved.is_whole
            }
            Err(_) => {
                heads.catch_up();
                false
            }
        };
        // Not all blocks were told: it may be in one of the others.
        if !is_whole {
            let look = move |context: &Context| transactions::receipt_by_hash(context, hash);
            match on_a_thread(Arc::clone(context), Class::Reading, look).await {
                Ok(None) => {}
                Ok(Some(receipt)) => return Found::Looked(Ok(receipt)),
                Err(error) => return Found::Looked(Err(error)),
            }
        }
    }
}

/// The block that joined the chain with this transaction, and its index there.
fn place_in(moved: &HeadMove, hash: B256) -> Option<(MovedBlock, usize)> {
    moved.joined.iter().find_map(|block| {
        let index = block.body().transactions.iter().position(|tx| *tx.hash() == hash)?;
        Some((block.clone(), index))
    })
}

fn receipt_of(context: &Context, block: &MovedBlock, index: usize) -> Answer {
    let rules = context.engine.spec().rules(block.header());
    let receipts = block.receipts().unwrap_or_default().to_vec();
    let receipt = wire::receipt_at(&block.viewed(), &rules, receipts, index);
    json(&receipt.ok_or_else(|| -> ErrorObjectOwned {
        error::internal(format!("block {} lacks receipts", block.hash()))
    })?)
}
