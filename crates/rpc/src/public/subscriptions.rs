//! What the node tells by itself, over WebSocket and IPC: `eth_subscribe`; what is asked for by
//! `debug_subscribe` is in [`traces`].
//!
//! | job | started when | gives | awaited where |
//! | --- | --- | --- | --- |
//! | a subscription, by jsonrpsee | asked for | notifications | ended with its connection |
//!
//! A subscription has no queue of its own, only its place in a feed:
//!
//! ```text
//! an event waits -> turn of the connection -> few bytes unsent -> event -> notifications -> socket
//!                              lagged: the subscription ends with an error
//! ```
//! So a peer that does not read holds back the subscriptions of its own connection, and for all of
//! them at most one event is kept beside those of the feed. When what they have not told has fallen
//! out of it, each is ended by a last notification, with an error in place of a result: what
//! follows would not be what the caller believes to have.

mod traces;

use crate::{
    flow::{Flow, Room},
    public::{
        Context, Limits,
        args::{Args, boolean, field, hash, list, object},
        error,
        eth::changes::{Change, Followed, Wanted},
        feed::{FeedBounds, Lagged, Listener},
        live::PendingTx,
        wire,
    },
};
use alloy_rpc_types_eth::Header as WireHeader;
use fugue_chain::{HeadMove, MovedBlock};
use fugue_types::{B256, HashSet, U256};
use jsonrpsee::{
    Extensions, MethodCallback, MethodResponse, PendingSubscriptionSink, RpcModule,
    SubscriptionSink,
    core::{JsonRawValue, RegisterMethodError, SubscriptionError, to_json_raw_value},
    types::{ErrorObjectOwned, Params},
};
use serde::Serialize;
use serde_json::{Value, json};
use std::{convert::Infallible, sync::Arc};
use tokio::sync::{OwnedSemaphorePermit, watch};

/// Begins a subscription.
pub(crate) const SUBSCRIBE: &str = "eth_subscribe";
/// Ends one.
pub(crate) const UNSUBSCRIBE: &str = "eth_unsubscribe";
/// The method of notifications.
const NOTIFICATION: &str = "eth_subscription";
/// The same of traces: what begins them, what ends them, and what tells them.
const DEBUG: [&str; 3] = ["debug_subscribe", "debug_unsubscribe", "debug_subscription"];
/// What may be subscribed to.
const KINDS: &str = "newHeads, logs, newPendingTransactions, syncing, transactionReceipts";
/// Bytes of a notification beside what it tells and its id, at least. Not more than are sent: what
/// is owed and never paid would add up.
const FRAME_BYTES: usize = 84;

/// Adds the methods.
///
/// # Errors
/// Only if two methods had one name.
pub(super) fn register(module: &mut RpcModule<Context>) -> Result<(), RegisterMethodError> {
    module.register_subscription(SUBSCRIBE, NOTIFICATION, UNSUBSCRIBE, subscribe)?;
    let [begins, ends, tells] = DEBUG;
    module.register_subscription(begins, tells, ends, traces::subscribe)?;
    for ends in [UNSUBSCRIBE, ends] {
        refuse_what_is_not_there(module, ends)?;
    }
    Ok(())
}

/// The library answers `false` to whoever ends what is no subscription of the connection, whatever
/// that is: here it is an error, as with geth.
fn refuse_what_is_not_there(
    module: &mut RpcModule<Context>,
    ends: &'static str,
) -> Result<(), RegisterMethodError> {
    let Some(MethodCallback::Unsubscription(end)) = module.remove_method(ends) else {
        return Ok(());
    };
    module.verify_and_insert(
        ends,
        MethodCallback::Unsubscription(Arc::new(move |id, params, connection, max, extensions| {
            if let Err(refusal) = subscription_id(&params) {
                return MethodResponse::error(id, refusal);
            }
            let answer = end(id.clone(), params, connection, max, extensions);
            // The result is the last member.
            if answer.as_json().get().ends_with(":true}") {
                return answer;
            }
            MethodResponse::error(id, error::subscription_not_found())
        })),
    )?;
    Ok(())
}

/// Whether the only argument is the id of a subscription, be there one or not.
fn subscription_id(params: &Params<'_>) -> Result<(), ErrorObjectOwned> {
    let mut args = Args::new(params)?;
    args.required("subscription", text)?;
    args.end()
}

/// Whether a method begins a subscription.
pub(crate) fn is_begun_by(method: &str) -> bool {
    [SUBSCRIBE, DEBUG[0]].contains(&method)
}

/// Whether a method ends one.
pub(crate) fn is_ended_by(method: &str) -> bool {
    [UNSUBSCRIBE, DEBUG[1]].contains(&method)
}

/// What is subscribed to, and from where on.
enum Topic {
    Heads(Listener<Arc<HeadMove>>),
    Logs(Listener<Arc<HeadMove>>, Arc<Wanted>),
    /// Of these transactions, or of all.
    Receipts(Listener<Arc<HeadMove>>, Option<Arc<HashSet<B256>>>),
    Pending(Listener<Arc<PendingTx>>, Detail),
    Syncing(watch::Receiver<()>),
}

/// How much of a transaction is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Detail {
    Hash,
    Full,
}

/// Why a subscription ends.
enum Ended {
    /// Nobody is there to be told any more.
    Gone,
    /// The caller is told why.
    With(ErrorObjectOwned),
}

async fn subscribe(
    params: Params<'static>,
    pending: PendingSubscriptionSink,
    context: Arc<Context>,
    extensions: Extensions,
) -> Result<(), SubscriptionError> {
    // It listens from here on, before it is answered.
    let admitted = admit(&params, &context);
    let Some(((topic, _room), subscriber)) =
        answer(admitted, pending, context, &extensions).await?
    else {
        return Ok(());
    };
    let Err(ended) = subscriber.run(topic).await;
    closed(ended)
}

/// Answers who wants to subscribe: whoever is admitted is a subscriber from here on.
async fn answer<T>(
    admitted: Result<T, ErrorObjectOwned>,
    pending: PendingSubscriptionSink,
    context: Arc<Context>,
    extensions: &Extensions,
) -> Result<Option<(T, Subscriber)>, SubscriptionError> {
    let admitted = match admitted {
        Ok(admitted) => admitted,
        Err(refusal) => {
            pending.reject(refusal).await;
            return Ok(None);
        }
    };
    let sink = pending.accept().await?;
    let flow = extensions.get::<Arc<Flow>>().cloned();
    Ok(Some((admitted, Subscriber { sink, flow, context })))
}

/// What is told at last.
fn closed(ended: Ended) -> Result<(), SubscriptionError> {
    match ended {
        Ended::Gone => Ok(()),
        Ended::With(error) => Err(SubscriptionError::from_json(to_json_raw_value(&error)?)),
    }
}

/// What a caller asks for, and its place among all subscriptions.
fn admit(
    params: &Params<'_>,
    context: &Context,
) -> Result<(Topic, OwnedSemaphorePermit), ErrorObjectOwned> {
    let Context { live, limits, .. } = context;
    let mut args = Args::new(params)?;
    let kind = args.required("subscription", text)?;
    let topic = match kind.as_str() {
        "newHeads" => Topic::Heads(live.heads.listen()),
        "logs" => {
            let followed = args.optional("filter", |value| Followed::decode(value, limits))?;
            let followed = followed.unwrap_or_else(Followed::anything);
            Topic::Logs(live.heads.listen(), Arc::new(followed.keep(live, limits)?))
        }
        "newPendingTransactions" => {
            let is_full = args.optional("full transactions", boolean)?.unwrap_or(false);
            let detail = if is_full { Detail::Full } else { Detail::Hash };
            Topic::Pending(live.pending.listen(), detail)
        }
        "syncing" => Topic::Syncing(live.syncing.subscribe()),
        "transactionReceipts" => {
            let max = limits.receipt_hashes_max;
            let hashes = args.optional("filter", |value| receipt_hashes(value, max))?.flatten();
            Topic::Receipts(live.heads.listen(), hashes.map(Arc::new))
        }
        other => {
            return Err(error::invalid_params(format!(
                "invalid argument 0 (subscription): {other:?} is none of {KINDS}"
            )));
        }
    };
    args.end()?;
    Ok((topic, room(context)?))
}

/// The name of what is subscribed to, or the id of a subscription.
fn text(value: &Value) -> Result<String, String> {
    value.as_str().map(str::to_owned).ok_or_else(|| "a string is expected".to_owned())
}

/// The place of one more subscription.
fn room(context: &Context) -> Result<OwnedSemaphorePermit, ErrorObjectOwned> {
    let Limits { subscriptions_max: max, .. } = context.limits;
    let room = Arc::clone(&context.live.subscriptions).try_acquire_owned();
    room.map_err(|_| error::refused(format!("there are {max} subscriptions, the most")))
}

/// The transactions of a filter of receipts, `max` at most; `None` for all, which an empty list
/// also means.
fn receipt_hashes(value: &Value, max: usize) -> Result<Option<HashSet<B256>>, String> {
    let hashes = |value: &Value| list(value, max, hash);
    let hashes = field(object(value)?, "transactionHashes", hashes)?;
    Ok(hashes.filter(|hashes| !hashes.is_empty()).map(|hashes| hashes.into_iter().collect()))
}

/// A subscription that was accepted.
struct Subscriber {
    sink: SubscriptionSink,
    /// Of its connection; `None` without one, as methods are called in tests.
    flow: Option<Arc<Flow>>,
    context: Arc<Context>,
}

impl Subscriber {
    /// Tells what happens until the subscription ends.
    async fn run(&self, topic: Topic) -> Result<Infallible, Ended> {
        match topic {
            Topic::Heads(moves) => self.heads(moves).await,
            Topic::Logs(moves, wanted) => self.logs(moves, &wanted).await,
            Topic::Receipts(moves, hashes) => self.receipts(moves, hashes).await,
            Topic::Pending(txs, detail) => self.pending(txs, detail).await,
            Topic::Syncing(changed) => self.syncing(changed).await,
        }
    }

    /// Headers of the blocks that join the chain.
    async fn heads(&self, mut moves: Listener<Arc<HeadMove>>) -> Result<Infallible, Ended> {
        loop {
            let (moved, turn) = self.next(&mut moves).await?;
            let header = |block: &MovedBlock| {
                let (hash, inner) = (block.hash(), block.header().clone());
                WireHeader { hash, inner, total_difficulty: None, size: None }
            };
            let headers: Vec<_> = moved.joined.iter().map(header).collect();
            // Nobody keeps the blocks to tell their headers.
            drop(moved);
            for header in headers {
                turn.tell(&header).await?;
            }
        }
    }

    /// Logs of the blocks that left the chain, as removed, and of those that joined it.
    async fn logs(
        &self,
        mut moves: Listener<Arc<HeadMove>>,
        wanted: &Arc<Wanted>,
    ) -> Result<Infallible, Ended> {
        loop {
            let (moved, turn) = self.next(&mut moves).await?;
            for (blocks, change) in [(&moved.left, Change::Left), (&moved.joined, Change::Joined)] {
                for block in blocks {
                    if !wanted.may_concern(block.header()) {
                        continue;
                    }
                    let (block, wanted) = (block.clone(), Arc::clone(wanted));
                    let logs =
                        move |context: &Context| wanted.logs(&block, context.engine.spec(), change);
                    for log in self.made(logs).await? {
                        turn.tell(&log).await?;
                    }
                }
            }
        }
    }

    /// Receipts of each block that joins the chain, in one notification.
    async fn receipts(
        &self,
        mut moves: Listener<Arc<HeadMove>>,
        hashes: Option<Arc<HashSet<B256>>>,
    ) -> Result<Infallible, Ended> {
        loop {
            let (moved, turn) = self.next(&mut moves).await?;
            for block in &moved.joined {
                if !has_any(block, hashes.as_deref()) {
                    continue;
                }
                // A whole block's may be some MiB, so they are made when there is room.
                turn.opens().await?;
                let (block, hashes) = (block.clone(), hashes.clone());
                let receipts = move |context: &Context| {
                    let rules = context.engine.spec().rules(block.header());
                    let receipts = block.receipts().unwrap_or_default().to_vec();
                    let mut wired = wire::receipts(&block.viewed(), &rules, receipts);
                    if let Some(hashes) = hashes {
                        wired.retain(|receipt| hashes.contains(&receipt.transaction_hash));
                    }
                    (!wired.is_empty()).then(|| to_json_raw_value(&wired)).transpose()
                };
                if let Some(told) = self.made(receipts).await?.map_err(broken)? {
                    turn.send(told).await?;
                }
            }
        }
    }

    /// Transactions that become executable.
    async fn pending(
        &self,
        mut txs: Listener<Arc<PendingTx>>,
        detail: Detail,
    ) -> Result<Infallible, Ended> {
        loop {
            let (told, turn) = self.next(&mut txs).await?;
            match detail {
                Detail::Hash => turn.tell(told.tx.hash()).await?,
                Detail::Full => {
                    let wired = wire::pending(told.tx.clone(), told.sender).map_err(broken)?;
                    turn.tell(&wired).await?;
                }
            }
        }
    }

    /// Whether the node misses a head: at first, and then when that changes. The forms are those
    /// of geth.
    async fn syncing(&self, mut changed: watch::Receiver<()>) -> Result<Infallible, Ended> {
        let mut last = None;
        loop {
            let is_syncing = self.context.engine.is_syncing();
            if last != Some(is_syncing) {
                last = Some(is_syncing);
                self.turn().await?.tell(&self.sync_status(is_syncing)).await?;
            }
            tokio::select! {
                () = self.sink.closed() => return Err(Ended::Gone),
                told = changed.changed() => told.map_err(|_| Ended::Gone)?,
            }
        }
    }

    fn sync_status(&self, is_syncing: bool) -> Value {
        if !is_syncing {
            return json!(false);
        }
        // As `eth_syncing` has it: which block is missing is known by its hash alone.
        let head = U256::from(self.context.view().head().number);
        let status = json!({ "startingBlock": head, "currentBlock": head, "highestBlock": head });
        json!({ "syncing": true, "status": status })
    }

    /// What a feed tells next, and the turn to tell it. It is taken out of the feed when there is
    /// room for it: until then it is kept there alone.
    async fn next<T: Clone>(&self, listener: &mut Listener<T>) -> Result<(T, Turn<'_>), Ended> {
        loop {
            tokio::select! {
                () = self.sink.closed() => return Err(Ended::Gone),
                () = listener.ready() => {}
            }
            let turn = self.turn().await?;
            turn.opens().await?;
            match listener.try_next() {
                Ok(Some(item)) => return Ok((item, turn)),
                Ok(None) => {}
                Err(Lagged { missed }) => {
                    let FeedBounds { items_max, bytes_max } = listener.bounds();
                    return Err(Ended::With(error::refused(format!(
                        "the subscription was too slow, and ends: {missed} events were not told; \
                         {items_max} are kept at most, of {bytes_max} bytes"
                    ))));
                }
            }
        }
    }

    /// The turn of this subscription among those of its connection. Whoever has it holds what it
    /// tells in memory, so nobody else does.
    async fn turn(&self) -> Result<Turn<'_>, Ended> {
        let room = match &self.flow {
            Some(flow) => tokio::select! {
                () = self.sink.closed() => return Err(Ended::Gone),
                room = flow.room() => Some(room),
            },
            None => None,
        };
        Ok(Turn { sink: &self.sink, room })
    }

    /// Works on a thread that is for calls which read the store.
    async fn made<T: Send + 'static>(
        &self,
        make: impl FnOnce(&Context) -> T + Send + 'static,
    ) -> Result<T, Ended> {
        let permit = self.context.permits.read().await;
        let permit = permit.map_err(|_| Ended::Gone)?;
        let context = Arc::clone(&self.context);
        let run = tokio::task::spawn_blocking(move || {
            let made = make(&context);
            drop(permit);
            made
        });
        run.await.map_err(broken)
    }
}

/// The turn of a subscription to tell something.
struct Turn<'s> {
    sink: &'s SubscriptionSink,
    room: Option<Room>,
}

impl Turn<'_> {
    /// Waits until little enough of the connection is unsent.
    async fn opens(&self) -> Result<(), Ended> {
        let Some(room) = &self.room else { return Ok(()) };
        tokio::select! {
            () = self.sink.closed() => Err(Ended::Gone),
            () = room.opens() => Ok(()),
        }
    }

    async fn tell<T: Serialize + Sync + ?Sized>(&self, told: &T) -> Result<(), Ended> {
        self.opens().await?;
        self.send(to_json_raw_value(told).map_err(broken)?).await
    }

    async fn send(&self, told: Box<JsonRawValue>) -> Result<(), Ended> {
        let bytes = told.get().len().saturating_add(FRAME_BYTES);
        if let Some(room) = &self.room {
            room.owe(bytes);
        }
        let sent = self.sink.send(told).await;
        if let (Err(_), Some(room)) = (&sent, &self.room) {
            room.forgive(bytes);
        }
        sent.map_err(|_| Ended::Gone)
    }
}

/// Whether a block has one of these transactions, or one at all.
fn has_any(block: &MovedBlock, hashes: Option<&HashSet<B256>>) -> bool {
    let mut txs = block.body().transactions.iter();
    txs.any(|tx| hashes.is_none_or(|hashes| hashes.contains(tx.hash())))
}

fn broken(cause: impl std::fmt::Display) -> Ended {
    Ended::With(error::internal(cause))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_more_is_owed_for_a_notification_than_is_sent() {
        let mut module = RpcModule::new(());
        let registered = module.register_subscription(
            SUBSCRIBE,
            NOTIFICATION,
            UNSUBSCRIBE,
            |_, pending, _, _| async move {
                let sink = pending.accept().await?;
                sink.send(to_json_raw_value(&true)?).await?;
                Ok::<_, SubscriptionError>(())
            },
        );
        registered.unwrap();
        let text = json!({ "jsonrpc": "2.0", "id": 1, "method": SUBSCRIBE }).to_string();
        let (_, mut told) = module.raw_json_request(&text, 1).await.unwrap();
        let message = told.recv().await.unwrap();
        let mut message: Value = serde_json::from_str(message.get()).unwrap();
        assert_eq!(message["params"]["result"].take(), true, "{message}");
        // The least that there can be.
        message["params"]["subscription"] = json!("");
        let bytes = message.to_string().len() - "null".len();
        assert_eq!(bytes, FRAME_BYTES, "{message}");
    }

    #[test]
    fn receipts_are_of_all_transactions_or_of_those_that_are_named() {
        let hash = B256::repeat_byte(7);
        let read = |value: &Value| receipt_hashes(value, 2);
        assert_eq!(read(&json!({})), Ok(None));
        assert_eq!(read(&json!({ "transactionHashes": [] })), Ok(None));
        let one = json!({ "transactionHashes": [hash, hash] });
        assert_eq!(read(&one), Ok(Some([hash].into_iter().collect())));
        let many = json!({ "transactionHashes": [hash, hash, hash] });
        let told = "transactionHashes: 3 values, want at most 2";
        assert_eq!(read(&many), Err(told.to_owned()));
        for wrong in [json!([]), json!("0x7")] {
            assert!(read(&wrong).is_err(), "{wrong}");
        }
    }
}
