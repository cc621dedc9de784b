//! What goes on between calls, and is shared by all servers of a node: feeds of what happens, open
//! filters, and how many of all that there may be.
//!
//! ```text
//! chain's thread -> heads   -> subscriptions to heads, logs, receipts; calls that wait for a block
//!                -> syncing -> subscriptions
//! pool           -> pending -> subscriptions, filters
//! a view of the chain       -> filters of blocks and logs, when they are asked
//! ```

use crate::public::{
    Limits,
    eth::filters::Filters,
    feed::{Feed, FeedBounds},
};
use fugue_chain::{ChainEvent, ChainListener, Engine, HeadMove};
use fugue_txpool::{Observer, PooledTx, TX_OVERHEAD_BYTES};
use fugue_types::{Address, Transaction};
use std::sync::Arc;
use tokio::sync::{Semaphore, watch};

/// A transaction that became executable, as a block carries it.
#[derive(Debug)]
pub(crate) struct PendingTx {
    pub(crate) tx: Transaction,
    pub(crate) sender: Address,
}

/// What goes on between calls.
pub(crate) struct Live {
    /// Every move of the head. At that time views are of the new head, or of a later one.
    pub(crate) heads: Arc<Feed<Arc<HeadMove>>>,
    /// Transactions that became executable.
    pub(crate) pending: Arc<Feed<Arc<PendingTx>>>,
    /// Changes when the node begins to miss a head, and when that is over.
    pub(crate) syncing: watch::Sender<()>,
    pub(crate) filters: Filters,
    /// Room for subscriptions.
    pub(crate) subscriptions: Arc<Semaphore>,
    /// Room for terms of filters that are kept.
    pub(crate) terms: Arc<Semaphore>,
    /// Room for calls that wait for a block.
    pub(crate) sync_waits: Arc<Semaphore>,
    /// Told for as long as they are kept.
    _told: (Arc<ChainListener>, Arc<Observer>),
}

impl PendingTx {
    /// With the bytes that it takes, about. The blobs stay with the pool.
    fn of(pooled: &PooledTx) -> (Arc<Self>, usize) {
        let (tx, sender) = (pooled.tx.clone(), pooled.sender);
        let bytes = tx.eip2718_encoded_length().saturating_add(TX_OVERHEAD_BYTES);
        (Arc::new(Self { tx, sender }), bytes)
    }
}

impl Live {
    pub(crate) fn new(engine: &Engine, limits: &Limits) -> Self {
        let feed = |items_max, bytes_max| FeedBounds { items_max, bytes_max };
        let heads = Feed::new(feed(limits.kept_moves_max, limits.kept_move_bytes_max));
        let pending = Feed::new(feed(limits.kept_txs_max, limits.kept_tx_bytes_max));
        let syncing = watch::Sender::new(());
        let chain: Arc<ChainListener> = {
            let (heads, syncing) = (Arc::clone(&heads), syncing.clone());
            Arc::new(move |event: &ChainEvent| match event {
                ChainEvent::HeadMoved(moved) => heads.tell(|| (Arc::clone(moved), moved.bytes())),
                ChainEvent::Syncing(_) => syncing.send_modify(|_| ()),
            })
        };
        engine.on_event(&chain);
        let pool: Arc<Observer> = {
            let pending = Arc::clone(&pending);
            Arc::new(move |pooled: &Arc<PooledTx>| pending.tell(|| PendingTx::of(pooled)))
        };
        engine.pool().on_pending(&pool);
        let room = |max: usize| Arc::new(Semaphore::new(max.min(Semaphore::MAX_PERMITS)));
        Self {
            heads,
            pending,
            syncing,
            filters: Filters::default(),
            subscriptions: room(limits.subscriptions_max),
            terms: room(limits.terms_max),
            sync_waits: room(limits.sync_waits_max),
            _told: (chain, pool),
        }
    }
}
