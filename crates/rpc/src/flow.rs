//! How much one connection may have under way: calls, and answers that are not sent yet.
//!
//! The server spawns a task for each message of a WebSocket, and keeps answers for a peer that does
//! not read them. So each connection counts its calls and the bytes of its answers, and no more is
//! read from a WebSocket until they are fewer:
//!
//! ```text
//! socket -> [gate] -> message -> turn -> call -> answer -> bytes owed -> socket -> bytes sent
//!             ^------- closed while too many calls, too many bytes owed, or not writable
//! ```
//! An HTTP connection has no gate, as its one answer is sent before its next request is read, and
//! as HTTP/2 must read to be allowed to write. Nor does its socket tell what was paid: a stream of
//! HTTP/2 may be given up half-way. There, an answer is owed for as long as it is in memory
//! ([`Debt`]). What all connections owe together is bounded too: above that, calls are refused.
//!
//! Notifications count as answers. Subscriptions of a connection make them one after the other
//! ([`Room`]), and none while too many bytes are owed, by the connection, or by all of them and
//! some by this one: a peer that does not read is told nothing more, and what is kept for it does
//! not grow.

use crate::{
    named,
    public::{
        error,
        patience::Patience,
        subscriptions::{is_begun_by, is_ended_by},
    },
    sent::{Sent, Silence, no_request},
    stream::{Offer, QUEUE_BYTES_MAX},
};
use http::{StatusCode, Version};
use jsonrpsee::{
    core::server::BatchResponseBuilder,
    server::{
        HttpResponse,
        middleware::rpc::{Batch, BatchEntry, MethodResponse, Notification, Request, RpcServiceT},
        ws::is_upgrade_request,
    },
    types::{ErrorObjectOwned, Id},
};
use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::{
    sync::{Mutex as AsyncMutex, Notify, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore},
    time::Instant,
};
use tower::{Layer, Service};

/// The server has too much to do. Source: EIP-1474, "Limit exceeded".
const LIMIT_EXCEEDED: i32 = -32005;

/// What connections may have under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FlowLimits {
    /// Messages of one connection that are worked on at the same time; a batch is one.
    pub(crate) calls_max: usize,
    /// Bytes of answers of one WebSocket that are not sent, above which no more is read from it.
    pub(crate) unsent_bytes_max: u64,
    /// The same for all connections of a server, above which calls are refused, and only those
    /// connections are notified that owe nothing.
    pub(crate) all_unsent_bytes_max: u64,
    /// Bytes of all answers to a batch.
    pub(crate) batch_bytes_max: usize,
    /// How long calls of a batch are begun, from its turn on; further ones are given up.
    pub(crate) batch_time_max: Duration,
}

/// One connection.
pub(crate) struct Flow {
    limits: FlowLimits,
    turns: Arc<Semaphore>,
    /// Bytes that all connections of the server owe.
    all_unsent: Arc<AtomicU64>,
    counts: Mutex<Counts>,
    /// Whoever makes notifications has it.
    room: Arc<AsyncMutex<()>>,
    /// Told when less is owed.
    paid: Notify,
}

#[derive(Default)]
struct Counts {
    is_websocket: bool,
    /// It is one from here on, and does not only ask for that.
    is_upgraded: bool,
    is_http2: bool,
    is_blocked: bool,
    /// Over HTTP: read, and not answered.
    requests: usize,
    /// Since when the head of the next request is read.
    since: Option<Instant>,
    calls: usize,
    unsent_bytes: u64,
    /// Whoever waits to read.
    reader: Option<Waker>,
}

impl Flow {
    pub(crate) fn new(limits: FlowLimits, all_unsent: Arc<AtomicU64>) -> Arc<Self> {
        let turns = Arc::new(Semaphore::new(limits.calls_max));
        let (counts, room, paid) = Default::default();
        Arc::new(Self { limits, turns, all_unsent, counts, room, paid })
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the counts, and lets a reader look at them anew.
    fn change(&self, change: impl FnOnce(&mut Counts)) {
        let reader = {
            let mut counts = self.counts();
            change(&mut counts);
            counts.reader.take()
        };
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// Ready if more may be read.
    pub(crate) fn poll_gate(&self, cx: &mut Context<'_>) -> Poll<()> {
        let limits = self.limits;
        let mut counts = self.counts();
        let is_full = counts.is_blocked
            || counts.calls >= limits.calls_max
            || counts.unsent_bytes > limits.unsent_bytes_max;
        if counts.is_websocket && is_full {
            counts.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    /// Something was read. Says whether it is of a WebSocket.
    pub(crate) fn heard(&self, now: Instant) -> bool {
        let mut counts = self.counts();
        if counts.awaits_request() {
            counts.since.get_or_insert(now);
        }
        counts.is_upgraded
    }

    /// Since when a request is read whose head is not whole.
    pub(crate) fn since(&self) -> Option<Instant> {
        let counts = self.counts();
        counts.since.filter(|_| counts.awaits_request())
    }

    /// Whether it is a WebSocket from here on, which was asked for.
    pub(crate) fn upgrade(&self, is_upgraded: bool) {
        self.change(|counts| {
            counts.is_websocket = is_upgraded;
            counts.is_upgraded = is_upgraded;
        });
    }

    /// The socket took so many bytes. Those of a WebSocket were owed.
    pub(crate) fn written(&self, bytes: u64) {
        let mut paid = 0;
        self.change(|counts| {
            counts.is_blocked = false;
            counts.since = None;
            if counts.is_websocket {
                paid = counts.pay(bytes);
            }
        });
        self.settle(paid);
    }

    /// So many bytes are no longer on their way.
    pub(crate) fn sent(&self, bytes: u64) {
        let mut paid = 0;
        self.change(|counts| paid = counts.pay(bytes));
        self.settle(paid);
    }

    fn settle(&self, paid: u64) {
        self.all_unsent.fetch_sub(paid, Ordering::Relaxed);
        self.paid.notify_waiters();
    }

    /// The peer takes no more for the moment.
    pub(crate) fn blocked(&self) {
        self.counts().is_blocked = true;
    }

    /// So many bytes are on their way to be sent.
    pub(crate) fn owe(&self, bytes: u64) {
        self.all_unsent.fetch_add(bytes, Ordering::Relaxed);
        let mut counts = self.counts();
        counts.unsent_bytes = counts.unsent_bytes.saturating_add(bytes);
    }

    /// Whether one more message may be made. One that owes nothing may have it in any case: what
    /// others do not read holds back nobody who reads.
    fn has_room(&self) -> bool {
        let unsent_bytes = self.counts().unsent_bytes;
        let all_unsent = self.all_unsent.load(Ordering::Relaxed);
        let FlowLimits { unsent_bytes_max, all_unsent_bytes_max, .. } = self.limits;
        unsent_bytes == 0
            || (unsent_bytes <= unsent_bytes_max && all_unsent <= all_unsent_bytes_max)
    }

    /// Waits until few enough bytes are unsent for one more message.
    pub(crate) async fn opens(&self) {
        loop {
            // Made before the look: what is paid from here on ends the wait.
            let paid = self.paid.notified();
            if self.has_room() {
                return;
            }
            paid.await;
        }
    }

    /// Waits until no other subscription makes notifications for the connection.
    pub(crate) async fn room(self: &Arc<Self>) -> Room {
        let turn = Arc::clone(&self.room).lock_owned().await;
        Room { flow: Arc::clone(self), _turn: turn }
    }

    /// Why a call is refused that is about notifications where there can be none.
    fn no_notifications(&self, method: &str) -> Option<ErrorObjectOwned> {
        let is_about_them = is_begun_by(method) || is_ended_by(method);
        (is_about_them && !self.counts().is_websocket).then(error::no_notifications)
    }

    /// The head of a request is whole.
    fn begin<B>(self: &Arc<Self>, request: &http::Request<B>) -> UnderWay {
        let is_websocket = is_upgrade_request(request);
        let is_http2 = request.version() == Version::HTTP_2;
        self.change(|counts| {
            counts.is_websocket |= is_websocket;
            counts.is_http2 |= is_http2;
            counts.requests = counts.requests.saturating_add(1);
            counts.since = None;
        });
        UnderWay(Arc::clone(self))
    }

    /// Counts a message from here on.
    fn enter(self: &Arc<Self>) -> Entered {
        self.change(|counts| counts.calls = counts.calls.saturating_add(1));
        Entered(Arc::clone(self))
    }
}

impl Counts {
    /// What is read now is of the head of a request: all else was answered. HTTP/2 says other
    /// things between requests.
    const fn awaits_request(&self) -> bool {
        let is_framed = self.is_websocket || self.is_http2;
        !is_framed && self.requests == 0 && self.unsent_bytes == 0
    }

    /// Takes so many bytes off what is owed; gives how many those are. Headers and frames are
    /// written that nobody owed.
    fn pay(&mut self, bytes: u64) -> u64 {
        let paid = self.unsent_bytes.min(bytes);
        self.unsent_bytes = self.unsent_bytes.saturating_sub(paid);
        paid
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        let unsent = self.counts().unsent_bytes;
        self.all_unsent.fetch_sub(unsent, Ordering::Relaxed);
    }
}

/// The turn to make notifications for a connection.
pub(crate) struct Room {
    flow: Arc<Flow>,
    _turn: OwnedMutexGuard<()>,
}

impl Room {
    /// Waits until few enough bytes are unsent for one more message.
    pub(crate) async fn opens(&self) {
        self.flow.opens().await;
    }

    /// A message of so many bytes, or a few more, is on its way to be sent.
    pub(crate) fn owe(&self, bytes: usize) {
        self.flow.owe(bytes as u64);
    }

    /// It is not sent after all.
    pub(crate) fn forgive(&self, bytes: usize) {
        self.flow.sent(bytes as u64);
    }
}

/// A message that is counted.
struct Entered(Arc<Flow>);

impl Entered {
    /// Waits until few enough messages of the connection are worked on.
    ///
    /// # Errors
    /// If the server owes too much already.
    async fn turn(self) -> Result<Turn, ErrorObjectOwned> {
        let max = self.0.limits.all_unsent_bytes_max;
        if self.0.all_unsent.load(Ordering::Relaxed) > max {
            let reason = format!("{max} bytes of answers wait to be sent, the most: ask later");
            return Err(ErrorObjectOwned::owned(LIMIT_EXCEEDED, reason, None::<()>));
        }
        let permit = Arc::clone(&self.0.turns).acquire_owned().await.map_err(|_| {
            ErrorObjectOwned::owned(LIMIT_EXCEEDED, "the server has stopped", None::<()>)
        })?;
        Ok(Turn { entered: self, _permit: permit })
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.change(|counts| counts.calls = counts.calls.saturating_sub(1));
    }
}

/// A request over HTTP that is not answered.
struct UnderWay(Arc<Flow>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.change(|counts| counts.requests = counts.requests.saturating_sub(1));
    }
}

/// What an HTTP connection owes for one answer. Copies share it, and it is paid for with the last
/// of them: when the answer was written, or given up, wherever that was.
#[derive(Clone)]
pub(crate) struct Debt {
    _owed: Arc<Owed>,
}

struct Owed {
    flow: Arc<Flow>,
    bytes: u64,
}

impl Debt {
    /// From here on so many bytes are owed.
    pub(crate) fn new(flow: &Arc<Flow>, bytes: u64) -> Self {
        flow.owe(bytes);
        Self { _owed: Arc::new(Owed { flow: Arc::clone(flow), bytes }) }
    }
}

impl Drop for Owed {
    fn drop(&mut self) {
        self.flow.sent(self.bytes);
    }
}

/// A message that is worked on.
struct Turn {
    entered: Entered,
    _permit: OwnedSemaphorePermit,
}

impl Turn {
    /// Ends it. What is sent from elsewhere, or not at all, is not owed. Over HTTP the answer has
    /// its debt with it; one that is made while it is sent owes what may wait, and keeps the turn.
    fn end(self, mut answer: MethodResponse) -> MethodResponse {
        if !(answer.is_method_call() || answer.is_batch()) {
            return answer;
        }
        let offer = answer.extensions().get::<Offer>().cloned();
        if let Some(offer) = offer
            && let Some(streamed) = offer.take()
        {
            let debt = Debt::new(&self.entered.0, QUEUE_BYTES_MAX as u64);
            answer.extensions_mut().insert(debt);
            offer.accept(streamed.within(answer.as_json().get(), self));
            return answer;
        }
        let (flow, bytes) = (&self.entered.0, answer.as_json().get().len() as u64);
        let is_websocket = flow.counts().is_websocket;
        if is_websocket {
            flow.owe(bytes);
        } else {
            answer.extensions_mut().insert(Debt::new(flow, bytes));
        }
        answer
    }
}

/// Puts the bounds of a connection before its methods.
#[derive(Clone)]
pub(crate) struct FlowLayer(Arc<Flow>);

impl FlowLayer {
    pub(crate) fn new(flow: Arc<Flow>) -> Self {
        Self(flow)
    }
}

impl<S> Layer<S> for FlowLayer {
    type Service = Bounded<S>;

    fn layer(&self, inner: S) -> Bounded<S> {
        Bounded { inner, flow: Arc::clone(&self.0) }
    }
}

/// Methods within the bounds of a connection.
#[derive(Clone)]
pub(crate) struct Bounded<S> {
    inner: S,
    flow: Arc<Flow>,
}

impl<S> RpcServiceT for Bounded<S>
where
    S: RpcServiceT<
            MethodResponse = MethodResponse,
            BatchResponse = MethodResponse,
            NotificationResponse = MethodResponse,
        > + Clone
        + Send
        + Sync
        + 'static,
{
    type MethodResponse = MethodResponse;
    type NotificationResponse = MethodResponse;
    type BatchResponse = MethodResponse;

    fn call<'a>(
        &self,
        mut request: Request<'a>,
    ) -> impl Future<Output = Self::MethodResponse> + Send + 'a {
        let entered = self.flow.enter();
        let inner = self.inner.clone();
        let refusal = self.flow.no_notifications(request.method_name());
        if let Some(sent) = request.extensions_mut().remove::<Sent>() {
            sent.forget();
        }
        if is_begun_by(request.method_name()) {
            request.extensions_mut().insert(Arc::clone(&self.flow));
        }
        async move {
            if let Some(refusal) = refusal {
                return MethodResponse::error(request.id, refusal);
            }
            let turn = match entered.turn().await {
                Ok(turn) => turn,
                Err(refusal) => return MethodResponse::error(request.id, refusal),
            };
            turn.end(named::answer(&inner, request).await)
        }
    }

    /// As the server itself answers a batch, but with bounds of its own for the answers together,
    /// and for the time of the batch.
    fn batch<'a>(&self, batch: Batch<'a>) -> impl Future<Output = Self::BatchResponse> + Send + 'a {
        let FlowLimits { batch_bytes_max, batch_time_max, .. } = self.flow.limits;
        let entered = self.flow.enter();
        let misread = misread_of(&batch);
        forget_calls(&batch);
        let (inner, flow) = (self.inner.clone(), Arc::clone(&self.flow));
        async move {
            let turn = match entered.turn().await {
                Ok(turn) => turn,
                Err(refusal) => return MethodResponse::error(Id::Null, refusal),
            };
            let patience = Patience::new(batch_time_max, Arc::default());
            let mut answers = BatchResponseBuilder::new_with_limit(batch_bytes_max);
            let (mut misread, mut has_notification) = (misread, false);
            for entry in batch {
                let answer = match entry {
                    Ok(BatchEntry::Call(mut request)) => {
                        // The answer is one of several.
                        request.extensions_mut().remove::<Offer>();
                        let method = request.method_name();
                        let refusal = flow.no_notifications(method);
                        let refusal = refusal.or_else(|| error::if_subscribed_in_a_batch(method));
                        match refusal.or_else(|| patience.check().err()) {
                            None => named::answer(&inner, request).await,
                            Some(refusal) => MethodResponse::error(request.id, refusal),
                        }
                    }
                    Ok(BatchEntry::Notification(_)) if misread > 0 => {
                        misread -= 1;
                        no_request()
                    }
                    Ok(BatchEntry::Notification(notification)) => {
                        has_notification = true;
                        inner.notification(notification).await;
                        continue;
                    }
                    Err(error) => {
                        let (error, id) = error.into_parts();
                        MethodResponse::error(id, error)
                    }
                };
                if let Err(too_large) = answers.append(answer) {
                    return turn.end(too_large);
                }
            }
            turn.end(if answers.is_empty() && has_notification {
                silent(MethodResponse::notification())
            } else {
                MethodResponse::from_batch(answers.finish())
            })
        }
    }

    fn notification<'a>(
        &self,
        notification: Notification<'a>,
    ) -> impl Future<Output = Self::NotificationResponse> + Send + 'a {
        let entered = is_misread(&notification).then(|| self.flow.enter());
        let inner = self.inner.clone();
        async move {
            let Some(entered) = entered else {
                return silent(inner.notification(notification).await);
            };
            match entered.turn().await {
                Ok(turn) => turn.end(no_request()),
                Err(refusal) => MethodResponse::error(Id::Null, refusal),
            }
        }
    }
}

/// Whether what the server takes for a notification has an id. True for as many of a request over
/// HTTP as have one; over a WebSocket it is handed none.
fn is_misread(notification: &Notification<'_>) -> bool {
    notification.extensions().get::<Sent>().is_some_and(Sent::take_misread)
}

/// How many of a batch are taken for notifications, and have an id.
fn misread_of(batch: &Batch<'_>) -> usize {
    let misread = batch.iter().filter(|entry| match entry {
        Ok(BatchEntry::Notification(said)) => is_misread(said),
        Ok(BatchEntry::Call(_)) | Err(_) => false,
    });
    misread.count()
}

/// Lets go of the text of a batch in which nothing is taken for a notification: its calls may take
/// long.
fn forget_calls(batch: &Batch<'_>) {
    let mut sent = None;
    for entry in batch.iter() {
        match entry {
            Ok(BatchEntry::Notification(_)) => return,
            Ok(BatchEntry::Call(request)) => sent = request.extensions().get::<Sent>(),
            Err(_) => {}
        }
    }
    if let Some(sent) = sent {
        sent.forget();
    }
}

/// Of an answer that is none, nothing is sent.
fn silent(mut answer: MethodResponse) -> MethodResponse {
    answer.extensions_mut().insert(Silence);
    answer
}

/// Notes when a request is under way, and whether the connection becomes a WebSocket.
#[derive(Clone)]
pub(crate) struct NoteUpgrade<S> {
    inner: S,
    flow: Arc<Flow>,
}

impl<S> NoteUpgrade<S> {
    pub(crate) fn new(inner: S, flow: Arc<Flow>) -> Self {
        Self { inner, flow }
    }
}

impl<S, B> Service<http::Request<B>> for NoteUpgrade<S>
where
    S: Service<http::Request<B>, Response = HttpResponse>,
    S::Future: Send + 'static,
{
    type Response = HttpResponse;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let under_way = self.flow.begin(&request);
        let asks_for_upgrade = is_upgrade_request(&request);
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await;
            if asks_for_upgrade {
                let upgraded = StatusCode::SWITCHING_PROTOCOLS;
                under_way.0.upgrade(answer.as_ref().is_ok_and(|found| found.status() == upgraded));
            }
            drop(under_way);
            answer
        })
    }
}

#[cfg(test)]
mod tests;
