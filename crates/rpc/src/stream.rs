//! Answers that are sent while they are made.
//!
//! The traces of a block may be much larger than what they are made of. Over HTTP their text is
//! sent piece by piece, so that it is never in memory as a whole:
//!
//! ```text
//! server: Offer -> a single call -> Writer -> little: a whole answer, as any other
//!                                          -> more:   queue, bounded -> Streamed: the body
//! ```
//! What goes wrong is an error as any other while nothing was sent. After that the answer cannot
//! say so any more: its body breaks off, so that the transfer fails and nobody takes half of an
//! answer for a whole one. A version of HTTP whose bodies end with the connection could not show
//! that, and is not offered it.
//!
//! | job | started when | gives | awaited where |
//! | --- | --- | --- | --- |
//! | a method that writes | called | pieces | in its queue; given up when the body is dropped |

use crate::public::{
    error,
    patience::{Patience, Waiting},
};
use alloy_primitives::bytes::Bytes;
use http::{Request, Version};
use http_body::{Body, Frame};
use jsonrpsee::{
    core::{BoxError, JsonRawValue},
    server::{HttpBody, HttpResponse, ws::is_upgrade_request},
    types::ErrorObjectOwned,
};
use std::{
    collections::VecDeque,
    future::Future,
    mem,
    pin::Pin,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
    time::Duration,
};
use tokio::sync::Notify;
use tower::Service;

/// Bytes of an answer up to which it is sent as a whole.
pub(crate) const WHOLE_BYTES_MAX: usize = 256 * 1024;
/// Bytes that wait to be sent, above which the method waits; the first piece may have.
pub(crate) const QUEUE_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of the pieces after the first one.
const PIECE_BYTES: usize = 64 * 1024;
/// How often a method that waits looks whether it is given up.
const LOOK: Duration = Duration::from_millis(50);
/// What stands in an answer for a result that is sent piece by piece.
const PLACEHOLDER: &str = "null";

/// Whoever answers a request may do so piece by piece: in the extensions of the request, and so of
/// its answer.
#[derive(Clone)]
pub(crate) struct Offer {
    /// Bytes of an answer.
    bytes_max: usize,
    taken: Arc<Mutex<Option<Streamed>>>,
}

impl Offer {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, taken: Arc::default() }
    }

    /// Both ends of an answer, of which nothing is sent yet.
    pub(crate) fn open(&self) -> (Outlet, Inlet) {
        let pipe = Arc::new(Pipe {
            bytes_max: self.bytes_max,
            state: Mutex::default(),
            begun: Notify::new(),
            taken: Condvar::new(),
        });
        (Outlet(Arc::new(Sending(Arc::clone(&pipe)))), Inlet(pipe))
    }

    /// The answer is this one, in place of the one that the server is given.
    pub(crate) fn accept(&self, streamed: Streamed) {
        *self.taken.lock().unwrap_or_else(PoisonError::into_inner) = Some(streamed);
    }

    /// The answer, if it was made so.
    pub(crate) fn take(&self) -> Option<Streamed> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// What both ends share.
struct Pipe {
    bytes_max: usize,
    state: Mutex<State>,
    /// Told with the first piece.
    begun: Notify,
    /// Told when a piece was taken.
    taken: Condvar,
}

#[derive(Default)]
struct State {
    pieces: VecDeque<Bytes>,
    /// Bytes of them.
    waiting_bytes: usize,
    /// Bytes of these and of all before.
    sent_bytes: usize,
    end: Option<End>,
    /// Whoever waits for a piece.
    reader: Option<Waker>,
}

/// What comes after the last piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Nothing: it was all.
    Complete,
    /// There should be more.
    Broken,
}

impl Pipe {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_begun(&self) -> bool {
        self.state().sent_bytes > 0
    }

    /// Changes the state, and lets the reader look at it.
    fn change(&self, mut state: MutexGuard<'_, State>, change: impl FnOnce(&mut State)) {
        change(&mut state);
        let reader = state.reader.take();
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    fn end(&self, end: End) {
        self.change(self.state(), |state| state.end = state.end.or(Some(end)));
    }
}

/// Where an answer is sent to. When the last copy is dropped before the end, it breaks off.
#[derive(Clone)]
pub(crate) struct Outlet(Arc<Sending>);

struct Sending(Arc<Pipe>);

impl Drop for Sending {
    fn drop(&mut self) {
        self.0.end(End::Broken);
    }
}

impl Outlet {
    fn has_begun(&self) -> bool {
        self.0.0.has_begun()
    }

    /// Sends a piece; waits while many are waiting.
    ///
    /// # Errors
    /// If the answer is too long with it, or the call is given up: also when it waits too long.
    fn send(&self, piece: Vec<u8>, patience: &Patience) -> Result<(), ErrorObjectOwned> {
        let pipe = &*self.0.0;
        let mut state = pipe.state();
        let sent_bytes = state.sent_bytes.saturating_add(piece.len());
        if sent_bytes > pipe.bytes_max {
            return Err(error::response_too_large(pipe.bytes_max));
        }
        loop {
            patience.check()?;
            let waiting_bytes = state.waiting_bytes.saturating_add(piece.len());
            if state.waiting_bytes == 0 || waiting_bytes <= QUEUE_BYTES_MAX {
                break;
            }
            let waited = pipe.taken.wait_timeout(state, LOOK);
            (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
        let is_first = state.sent_bytes == 0;
        pipe.change(state, |state| {
            state.sent_bytes = sent_bytes;
            state.waiting_bytes = state.waiting_bytes.saturating_add(piece.len());
            state.pieces.push_back(piece.into());
        });
        if is_first {
            pipe.begun.notify_one();
        }
        Ok(())
    }

    /// Says how the method has ended.
    pub(crate) fn end<T>(
        &self,
        answer: Result<T, ErrorObjectOwned>,
    ) -> Result<T, ErrorObjectOwned> {
        match &answer {
            Ok(_) => self.0.0.end(End::Complete),
            Err(error) => {
                if self.has_begun() {
                    let reason = error.message();
                    tracing::debug!(target: "fugue::rpc", %reason, "an answer was broken off");
                }
                self.0.0.end(End::Broken);
            }
        }
        answer
    }
}

/// The other end.
pub(crate) struct Inlet(Arc<Pipe>);

impl Inlet {
    /// Waits until something was sent. Called once.
    pub(crate) async fn begun(&self) {
        self.0.begun.notified().await;
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.0.has_begun()
    }

    /// The next piece; `None` when all of them were given.
    fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BoxError>>> {
        let mut state = self.0.state();
        if let Some(piece) = state.pieces.pop_front() {
            state.waiting_bytes = state.waiting_bytes.saturating_sub(piece.len());
            self.0.taken.notify_one();
            return Poll::Ready(Some(Ok(piece)));
        }
        match state.end {
            Some(End::Complete) => Poll::Ready(None),
            Some(End::Broken) => Poll::Ready(Some(Err("the answer was broken off".into()))),
            None => {
                state.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

/// An answer that is on its way. The call is given up when this is dropped.
pub(crate) struct Streamed {
    inlet: Inlet,
    _waiting: Waiting,
    /// What comes before the pieces, until it was sent, and after them.
    before: Option<Bytes>,
    after: Option<Bytes>,
    /// Let go with it.
    _held: Option<Box<dyn Send>>,
}

impl Streamed {
    pub(crate) fn new(inlet: Inlet, waiting: Waiting) -> Self {
        Self { inlet, _waiting: waiting, before: None, after: None, _held: None }
    }

    /// The result that stands for it until then.
    pub(crate) fn placeholder() -> Box<JsonRawValue> {
        JsonRawValue::NULL.to_owned()
    }

    /// In place of the placeholder of this answer, and with what is held as long.
    pub(crate) fn within(mut self, answer: &str, held: impl Send + 'static) -> Self {
        // The result is the last member.
        let (before, after) = answer.rsplit_once(PLACEHOLDER).unwrap_or((answer, ""));
        self.before = Some(Bytes::copy_from_slice(before.as_bytes()));
        self.after = Some(Bytes::copy_from_slice(after.as_bytes()));
        self._held = Some(Box::new(held));
        self
    }
}

impl Body for Streamed {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        if let Some(before) = this.before.take() {
            return Poll::Ready(Some(Ok(Frame::data(before))));
        }
        if this.after.is_none() {
            return Poll::Ready(None);
        }
        Poll::Ready(match ready!(this.inlet.poll_next(cx)) {
            Some(Ok(piece)) => Some(Ok(Frame::data(piece))),
            Some(Err(error)) => {
                this.after = None;
                Some(Err(error))
            }
            None => this.after.take().map(|after| Ok(Frame::data(after))),
        })
    }
}

/// The text of a result in the making: in memory, or sent from some length on.
pub(crate) struct Writer {
    /// What is not sent.
    text: Vec<u8>,
    outlet: Option<Outlet>,
    patience: Patience,
}

impl Writer {
    pub(crate) fn new(outlet: Option<Outlet>, patience: Patience) -> Self {
        Self { text: Vec::new(), outlet, patience }
    }

    /// Whether it is sent, once it is long enough.
    pub(crate) fn may_send(&self) -> bool {
        self.outlet.is_some()
    }

    /// More of the text.
    ///
    /// # Errors
    /// If it cannot be sent: the answer is too long with it, or given up.
    pub(crate) fn push(&mut self, more: &[u8]) -> Result<(), ErrorObjectOwned> {
        let Some(outlet) = &self.outlet else {
            self.text.extend_from_slice(more);
            return Ok(());
        };
        for more in more.chunks(PIECE_BYTES) {
            self.text.extend_from_slice(more);
            let least = if outlet.has_begun() { PIECE_BYTES } else { WHOLE_BYTES_MAX };
            if self.text.len() > least {
                outlet.send(mem::take(&mut self.text), &self.patience)?;
            }
        }
        Ok(())
    }

    /// The result: whole, or what stands for it.
    ///
    /// # Errors
    /// As [`Writer::push`], or if it is no JSON.
    pub(crate) fn finish(self) -> Result<Box<JsonRawValue>, ErrorObjectOwned> {
        let Self { text, outlet, patience } = self;
        if let Some(outlet) = outlet.filter(Outlet::has_begun) {
            if !text.is_empty() {
                outlet.send(text, &patience)?;
            }
            return Ok(Streamed::placeholder());
        }
        let text = String::from_utf8(text).map_err(error::internal)?;
        JsonRawValue::from_string(text).map_err(error::internal)
    }
}

/// A service whose answers may be sent piece by piece.
#[derive(Clone)]
pub(crate) struct Streaming<S> {
    inner: S,
    /// Bytes of an answer.
    bytes_max: usize,
}

impl<S> Streaming<S> {
    pub(crate) const fn new(inner: S, bytes_max: usize) -> Self {
        Self { inner, bytes_max }
    }
}

impl<S> Service<Request<HttpBody>> for Streaming<S>
where
    S: Service<Request<HttpBody>, Response = HttpResponse, Error = BoxError>,
    S::Future: Send + 'static,
{
    type Response = HttpResponse;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<HttpBody>) -> Self::Future {
        if request.version() >= Version::HTTP_11 && !is_upgrade_request(&request) {
            request.extensions_mut().insert(Offer::new(self.bytes_max));
        }
        let answer = self.inner.call(request);
        Box::pin(async move { answer.await.map(streamed) })
    }
}

/// With the body that a method sends, if it does.
fn streamed(mut response: HttpResponse) -> HttpResponse {
    match response.extensions_mut().remove::<Offer>().and_then(|offer| offer.take()) {
        Some(streamed) => response.map(|_| HttpBody::new(streamed)),
        None => response,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        future::{poll_fn, ready},
        sync::atomic::AtomicBool,
        thread,
    };
    use tower::{ServiceExt, service_fn};

    const BEFORE: &str = r#"{"id":"null","result":"#;
    const MAX: usize = 100 * QUEUE_BYTES_MAX;

    fn opened(bytes_max: usize) -> (Writer, Outlet, Streamed) {
        let (outlet, inlet) = Offer::new(bytes_max).open();
        let is_gone = Arc::new(AtomicBool::new(false));
        let patience = Patience::new(Duration::from_secs(3600), Arc::clone(&is_gone));
        let streamed = Streamed::new(inlet, Waiting(is_gone));
        let streamed = streamed.within(&format!("{BEFORE}null}}"), ());
        (Writer::new(Some(outlet.clone()), patience), outlet, streamed)
    }

    async fn next(body: &mut Streamed) -> Option<Result<Bytes, BoxError>> {
        let frame = poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await?;
        Some(frame.map(|frame| frame.into_data().expect("no trailers")))
    }

    /// All of it; the error if it broke off.
    async fn collect(mut body: Streamed) -> Result<Vec<u8>, BoxError> {
        let mut bytes = Vec::new();
        while let Some(piece) = next(&mut body).await {
            bytes.extend_from_slice(&piece?);
        }
        Ok(bytes)
    }

    fn long(bytes: usize) -> String {
        format!("\"{}\"", "x".repeat(bytes - 2))
    }

    #[test]
    fn a_long_answer_is_sent_in_pieces_that_wait_for_their_reader() {
        let (mut writer, outlet, mut body) = opened(MAX);
        let text = long(10 * QUEUE_BYTES_MAX);
        let pipe = Arc::clone(&outlet.0.0);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (mut most, mut read) = (0, Vec::new());
        thread::scope(|scope| {
            scope.spawn(|| {
                writer.push(text.as_bytes()).expect("it is read");
                outlet.end(writer.finish()).expect("it is read");
            });
            runtime.block_on(async {
                while let Some(piece) = next(&mut body).await {
                    read.extend_from_slice(&piece.expect("it does not break off"));
                    most = most.max(pipe.state().waiting_bytes);
                }
            });
        });
        assert!(most <= QUEUE_BYTES_MAX, "{most} bytes waited");
        assert!(read == format!("{BEFORE}{text}}}").into_bytes());
    }

    #[tokio::test]
    async fn a_short_answer_is_whole_and_its_errors_are_errors() {
        let (mut writer, outlet, body) = opened(MAX);
        let text = long(WHOLE_BYTES_MAX);
        writer.push(text.as_bytes()).unwrap();
        assert_eq!(outlet.end(writer.finish()).unwrap().get(), text);
        assert!(!body.inlet.has_begun());
        let (mut writer, ..) = opened(WHOLE_BYTES_MAX);
        let error = writer.push(long(WHOLE_BYTES_MAX + 1).as_bytes()).unwrap_err();
        assert_eq!(error.code(), -32008, "{}", error.message());
    }

    #[tokio::test]
    async fn an_answer_that_cannot_be_ended_breaks_off() {
        // It becomes too long, it fails, or its thread panics.
        for fault in 0..3 {
            let (mut writer, outlet, body) = opened(2 * WHOLE_BYTES_MAX);
            writer.push(long(WHOLE_BYTES_MAX + 1).as_bytes()).unwrap();
            assert!(body.inlet.has_begun());
            match fault {
                0 => {
                    let refused = writer.push(long(WHOLE_BYTES_MAX).as_bytes());
                    assert_eq!(outlet.end(refused).unwrap_err().code(), -32008);
                }
                1 => assert!(outlet.end(Err::<(), _>(error::refused("no more"))).is_err()),
                _ => {}
            }
            drop((writer, outlet));
            assert!(collect(body).await.is_err(), "{fault}");
        }
    }

    #[tokio::test]
    async fn a_caller_that_has_gone_or_does_not_read_stops_the_work() {
        let (mut writer, _outlet, body) = opened(MAX);
        writer.push(long(WHOLE_BYTES_MAX + 1).as_bytes()).unwrap();
        drop(body);
        let error = writer.push(long(QUEUE_BYTES_MAX).as_bytes()).unwrap_err();
        assert!(error.message().ends_with("the caller has gone"), "{}", error.message());
        let (writer, _outlet, _body) = opened(MAX);
        let patience = Patience::new(Duration::from_millis(100), Arc::default());
        let mut writer = Writer { patience, ..writer };
        let error = writer.push(long(2 * QUEUE_BYTES_MAX).as_bytes()).unwrap_err();
        assert!(error.message().contains("longer than 0.1 s"), "{}", error.message());
    }

    #[tokio::test]
    async fn the_server_offers_it_where_a_broken_answer_can_be_told_from_a_whole_one() {
        for (version, upgrade, is_offered) in [
            (Version::HTTP_10, None, false),
            (Version::HTTP_11, None, true),
            (Version::HTTP_2, None, true),
            (Version::HTTP_11, Some("websocket"), false),
        ] {
            let answers = service_fn(move |mut request: Request<HttpBody>| {
                let offer = request.extensions_mut().remove::<Offer>();
                assert_eq!(offer.is_some(), is_offered, "{version:?} {upgrade:?}");
                let mut response = HttpResponse::new(HttpBody::from("whole"));
                if let Some(offer) = offer {
                    let (mut writer, outlet, body) = opened(MAX);
                    writer.push(long(WHOLE_BYTES_MAX + 1).as_bytes()).unwrap();
                    outlet.end(writer.finish()).unwrap();
                    offer.accept(body);
                    response.extensions_mut().insert(offer);
                }
                ready(Ok::<_, BoxError>(response))
            });
            let mut request = Request::new(HttpBody::empty());
            *request.version_mut() = version;
            if let Some(protocol) = upgrade {
                let headers = request.headers_mut();
                headers.insert("connection", "upgrade".parse().unwrap());
                headers.insert("upgrade", protocol.parse().unwrap());
                headers.insert("sec-websocket-version", "13".parse().unwrap());
                headers.insert("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==".parse().unwrap());
            }
            let response = Streaming::new(answers, MAX).oneshot(request).await.unwrap();
            let mut body = response.into_body();
            let mut bytes = 0;
            while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
                bytes += frame.unwrap().into_data().unwrap().len();
            }
            let expected = if is_offered { BEFORE.len() + WHOLE_BYTES_MAX + 2 } else { 5 };
            assert_eq!(bytes, expected);
        }
    }
}
