//! Bodies over HTTP: how much of a request is read, and in which form its answer is sent.
//!
//! ```text
//! request -> as it is? -> counted, refused above the bound -> if it begins as one -> the server
//! answer  <- owed until it is freed <- compressed where it is worth it <- in pieces? <- the server
//! ```
//! The server itself looks at the length that a request announces. One that announces none would be
//! read up to the bound, and then be answered as if the node were at fault, and so would one that
//! breaks off. One that never ends would be waited for as long as anything comes. One that does not
//! begin as JSON would have another status than one that goes on as none, and end its connection.
//!
//! A `GET` of nothing is answered here, with nothing.
//!
//! Requests are not decompressed: a few bytes could stand for any number of them.
//!
//! The server itself knows fewer names of JSON than there are: it is told one that it knows.

use crate::{
    flow::Debt,
    guard::Refused,
    sent::{Sent, Silence, no_request},
    stream::Streaming,
};
use alloy_primitives::bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, UPGRADE},
};
use http_body::{Body, Frame, SizeHint};
use jsonrpsee::{
    core::BoxError,
    server::{
        HttpBody, HttpResponse,
        http::response::{from_method_response, too_large},
    },
};
use std::{
    future::{Future, poll_fn, ready},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::sleep;
use tower::{Layer, Service};
use tower_http::{
    CompressionLevel,
    compression::{
        Compression, CompressionBody, CompressionLayer, Predicate, predicate::SizeAbove,
    },
};

/// Bytes of an answer from which on it is compressed: less fits into one packet as it is.
pub(crate) const COMPRESSED_BYTES_MIN: u16 = 1_400;
/// The only coding that a request may have. Source: RFC 9110, section 8.4.
const IDENTITY: &str = "identity";
/// The media type of JSON. Source: RFC 8259, section 11.
const JSON: &str = "application/json";
/// Others that mean it. Source: go-ethereum, `rpc/http.go`, `acceptedContentTypes`.
const JSON_RPC: [&str; 2] = ["application/json-rpc", "application/jsonrequest"];

/// What bodies may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BodyLimits {
    /// Bytes of a request.
    pub(crate) request_bytes_max: u32,
    /// Bytes of an answer that is sent while it is made.
    pub(crate) response_bytes_max: u32,
    /// Requests and WebSockets at a time, which the server counts.
    pub(crate) connections_max: u32,
    /// How long the body of a request may take.
    pub(crate) request_time_max: Duration,
    /// Answers are compressed for callers that accept it.
    pub(crate) compresses: bool,
}

/// Puts the bounds of bodies before a service.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BodyLayer(BodyLimits);

impl BodyLayer {
    pub(crate) const fn new(limits: BodyLimits) -> Self {
        Self(limits)
    }
}

impl<S> Layer<S> for BodyLayer {
    type Service = Bodies<S>;

    fn layer(&self, inner: S) -> Bodies<S> {
        let worth = Worth { compresses: self.0.compresses };
        // On answers of a test chain the fastest level leaves 9 % of the bytes, the usual one 7 %
        // in twice the time.
        let compression = CompressionLayer::new().quality(CompressionLevel::Fastest);
        let inner = Streaming::new(inner, self.0.response_bytes_max as usize);
        Bodies { limits: self.0, inner: compression.compress_when(worth).layer(inner) }
    }
}

/// Which answers are compressed where the caller accepts it.
#[derive(Debug, Clone, Copy)]
struct Worth {
    compresses: bool,
}

impl Predicate for Worth {
    fn should_compress<B>(&self, response: &http::Response<B>) -> bool
    where
        B: Body,
    {
        self.compresses && SizeAbove::new(COMPRESSED_BYTES_MIN).should_compress(response)
    }
}

/// A service behind the bounds of bodies.
#[derive(Clone)]
pub(crate) struct Bodies<S> {
    limits: BodyLimits,
    inner: Compression<Streaming<S>, Worth>,
}

impl<S, B> Service<http::Request<B>> for Bodies<S>
where
    S: Service<http::Request<HttpBody>, Response = HttpResponse, Error = BoxError>,
    S::Future: Send + 'static,
    B: Body<Data = <HttpBody as Body>::Data> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = HttpResponse;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Service::<http::Request<HttpBody>>::poll_ready(&mut self.inner, cx)
    }

    fn call(&mut self, mut request: http::Request<B>) -> Self::Future {
        if is_health_check(&request) {
            return Box::pin(ready(Ok(HttpResponse::new(HttpBody::empty()))));
        }
        if !is_as_it_is(request.headers()) {
            return Box::pin(ready(Ok(encoded())));
        }
        if is_json(request.headers()) {
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
        }
        let limits = self.limits;
        let (sent, course) = (Sent::default(), Arc::new(Course::default()));
        request.extensions_mut().insert(sent.clone());
        let (noted, text) = (Arc::clone(&course), sent.clone());
        let request = request.map(|body| {
            let (body, left) = (HttpBody::new(body), u64::from(limits.request_bytes_max));
            HttpBody::new(Counted { body, left, begin: Begin::Blank, sent: text, course: noted })
        });
        let mut late = Box::pin(sleep(limits.request_time_max));
        let mut answer = Box::pin(self.inner.call(request));
        Box::pin(poll_fn(move |cx| {
            let polled = answer.as_mut().poll(cx);
            // The body is read within that, so it is known here at once.
            if course.is_over.load(Ordering::Relaxed) {
                return Poll::Ready(Ok(too_large(limits.request_bytes_max)));
            }
            if course.is_broken.load(Ordering::Relaxed) {
                return Poll::Ready(Ok(broken_off()));
            }
            if polled.is_pending()
                && !course.is_whole.load(Ordering::Relaxed)
                && late.as_mut().poll(cx).is_ready()
            {
                return Poll::Ready(Ok(too_late(limits.request_time_max)));
            }
            polled.map_ok(|response| {
                if sent.is_misjudged() {
                    return from_method_response(no_request());
                }
                finished(response, limits)
            })
        }))
    }
}

/// Whether a request asks for nothing: load balancers look that way whether the node is there, also
/// where the server has WebSocket only. Source: go-ethereum, `rpc/http.go`, `ServeHTTP`.
fn is_health_check<B: Body>(request: &http::Request<B>) -> bool {
    request.method() == Method::GET
        && request.uri().query().is_none_or(str::is_empty)
        && !request.headers().contains_key(UPGRADE)
        && request.body().is_end_stream()
}

/// Whether the body of a request is not compressed or the like.
fn is_as_it_is(headers: &HeaderMap) -> bool {
    headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .all(|value| value.to_str().is_ok_and(|value| value.trim().eq_ignore_ascii_case(IDENTITY)))
}

/// Whether the body of a request is said to be JSON, whatever the parameters: JSON has none.
fn is_json(headers: &HeaderMap) -> bool {
    let said = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let said = said.and_then(|value| value.split(';').next()).unwrap_or_default().trim();
    JSON_RPC.iter().chain([&JSON]).any(|known| said.eq_ignore_ascii_case(known))
}

/// The answer to a request that is not as it is. Source: RFC 9110, section 15.5.16.
fn encoded() -> HttpResponse {
    let reason = "a request with a Content-Encoding is not read: send it as it is".to_owned();
    let refused = Refused { status: StatusCode::UNSUPPORTED_MEDIA_TYPE, reason };
    let mut response = refused.into_response();
    response.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static(IDENTITY));
    response
}

/// The answer to a request that takes too long. Source: RFC 9110, section 15.5.9.
fn too_late(max: Duration) -> HttpResponse {
    let reason = format!("the body of the request was not whole within {} s", max.as_secs());
    Refused { status: StatusCode::REQUEST_TIMEOUT, reason }.into_response()
}

/// The answer to a request that ends too early, if anybody is there to read it.
fn broken_off() -> HttpResponse {
    let reason = "the body of the request broke off".to_owned();
    Refused { status: StatusCode::BAD_REQUEST, reason }.into_response()
}

/// An answer as it is sent.
fn finished(
    response: http::Response<CompressionBody<HttpBody>>,
    limits: BodyLimits,
) -> HttpResponse {
    // The server does not say how many are too many.
    if response.status() == StatusCode::TOO_MANY_REQUESTS {
        let max = limits.connections_max;
        let reason = format!("{max} requests and WebSockets at a time, the most: ask later");
        return Refused { status: StatusCode::TOO_MANY_REQUESTS, reason }.into_response();
    }
    let (mut parts, body) = response.into_parts();
    // The server has this status for what does not begin as JSON, and 200 for what goes on as none.
    // Both are answers of JSON-RPC, so both have 200, as with geth.
    if parts.status == StatusCode::BAD_REQUEST {
        parts.status = StatusCode::OK;
    }
    // The request is not needed any more.
    parts.extensions.remove::<Sent>();
    let body = match parts.extensions.remove::<Silence>() {
        Some(Silence) => HttpBody::empty(),
        None => HttpBody::new(body),
    };
    let body = match parts.extensions.remove::<Debt>() {
        Some(debt) => HttpBody::new(Owed { body, debt }),
        None => body,
    };
    HttpResponse::from_parts(parts, body)
}

/// The body of a request, of which no more is handed out than may be: from where an object or a
/// list begins, and nothing if it does not begin as that. The server itself looks for the beginning
/// in the first piece alone, and in few bytes of it, and leaves the rest unread, with which the
/// connection ends.
struct Counted {
    body: HttpBody,
    left: u64,
    begin: Begin,
    sent: Sent,
    course: Arc<Course>,
}

/// What a body begins with.
enum Begin {
    /// Nothing but space was read.
    Blank,
    /// An object or a list.
    Nested,
    Other,
}

/// How reading a body went.
#[derive(Default)]
struct Course {
    /// It is longer than it may be.
    is_over: AtomicBool,
    /// It ended before its end.
    is_broken: AtomicBool,
    /// All of it was read.
    is_whole: AtomicBool,
}

impl Body for Counted {
    type Data = <HttpBody as Body>::Data;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, BoxError>>> {
        let this = self.get_mut();
        loop {
            let polled = ready!(Pin::new(&mut this.body).poll_frame(cx));
            let data = match polled.map(|read| read.map(Frame::into_data)) {
                Some(Ok(Ok(data))) => data,
                // Trailers.
                Some(Ok(Err(frame))) => return Poll::Ready(Some(Ok(frame))),
                Some(Err(error)) => {
                    this.course.is_broken.store(true, Ordering::Relaxed);
                    return Poll::Ready(Some(Err(error)));
                }
                None => {
                    this.course.is_whole.store(true, Ordering::Relaxed);
                    return Poll::Ready(None);
                }
            };
            let Some(left) = this.left.checked_sub(data.len() as u64) else {
                this.course.is_over.store(true, Ordering::Relaxed);
                // It never goes on: whoever waits for the answer is told, and drops this.
                return Poll::Pending;
            };
            this.left = left;
            let data = this.begin.text_of(data);
            this.sent.push(&data);
            if !data.is_empty() && matches!(this.begin, Begin::Nested) {
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    /// At most what is sent.
    fn size_hint(&self) -> SizeHint {
        let mut hint = SizeHint::new();
        if let Some(most) = self.body.size_hint().upper() {
            hint.set_upper(most);
        }
        hint
    }
}

impl Begin {
    /// The next piece without the space before the text.
    fn text_of(&mut self, data: Bytes) -> Bytes {
        if !matches!(self, Self::Blank) {
            return data;
        }
        let spaces = data.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let data = data.slice(spaces..);
        match data.first() {
            None => {}
            Some(b'{' | b'[') => *self = Self::Nested,
            Some(_) => *self = Self::Other,
        }
        data
    }
}

/// An answer that is owed, as long as it was before it was compressed: until this and all that it
/// has given out are gone. A peer may give up a stream of HTTP/2 at any time, and then nobody
/// writes the rest.
struct Owed {
    body: HttpBody,
    debt: Debt,
}

/// A part of such an answer.
struct Part {
    data: Bytes,
    _debt: Debt,
}

impl AsRef<[u8]> for Part {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}

impl Body for Owed {
    type Data = <HttpBody as Body>::Data;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, BoxError>>> {
        let this = self.get_mut();
        let polled = ready!(Pin::new(&mut this.body).poll_frame(cx));
        let part = |data| Bytes::from_owner(Part { data, _debt: this.debt.clone() });
        Poll::Ready(polled.map(|frame| frame.map(|frame| frame.map_data(part))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::{Flow, FlowLimits};
    use http::header::VARY;
    use jsonrpsee::server::http::response::malformed;
    use std::sync::atomic::AtomicU64;
    use tower::{ServiceExt, service_fn};

    const LIMITS: BodyLimits = BodyLimits {
        request_bytes_max: 10,
        response_bytes_max: 1_000_000,
        connections_max: 7,
        request_time_max: Duration::from_secs(3600),
        compresses: true,
    };
    const FLOW: FlowLimits = FlowLimits {
        calls_max: 1,
        unsent_bytes_max: 1,
        all_unsent_bytes_max: 1,
        batch_bytes_max: 1,
        batch_time_max: Duration::from_secs(3600),
    };
    /// Of an answer that is worth compressing.
    const LONG: usize = 10 * COMPRESSED_BYTES_MIN as usize;

    async fn collect(mut body: HttpBody) -> Vec<u8> {
        let mut bytes = Vec::new();
        while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            if let Ok(data) = frame.unwrap().into_data() {
                bytes.extend_from_slice(&data);
            }
        }
        bytes
    }

    /// Asks a server that reads the request to its end and answers with as many bytes.
    async fn ask(
        limits: BodyLimits,
        header: (&'static str, &'static str),
        body: Vec<u8>,
    ) -> HttpResponse {
        let echo = service_fn(|request: http::Request<HttpBody>| async move {
            let body = collect(request.into_body()).await;
            Ok::<_, BoxError>(HttpResponse::new(HttpBody::from(body)))
        });
        let mut request = http::Request::post("/").body(HttpBody::from(body)).unwrap();
        request.headers_mut().insert(header.0, HeaderValue::from_static(header.1));
        BodyLayer::new(limits).layer(echo).oneshot(request).await.unwrap()
    }

    const NOTHING: (&str, &str) = ("accept", "*/*");
    const GZIP: (&str, &str) = ("accept-encoding", "deflate, gzip;q=0.5, br");

    fn up_to(request_bytes_max: usize) -> BodyLimits {
        BodyLimits { request_bytes_max: request_bytes_max as u32, ..LIMITS }
    }

    #[tokio::test]
    async fn a_request_that_does_not_announce_its_length_is_bounded_too() {
        let answer = ask(LIMITS, NOTHING, vec![b'x'; 10]).await;
        assert_eq!(answer.status(), StatusCode::OK);
        let answer = ask(LIMITS, NOTHING, vec![b'x'; 11]).await;
        assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
        let told = String::from_utf8(collect(answer.into_body()).await).unwrap();
        assert!(told.contains("limit of 10"), "{told}");
    }

    /// A body that fails once, and then says nothing.
    struct Stuck(Option<BoxError>);

    impl Body for Stuck {
        type Data = <HttpBody as Body>::Data;
        type Error = BoxError;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Self::Data>, BoxError>>> {
            match self.get_mut().0.take() {
                Some(error) => Poll::Ready(Some(Err(error))),
                None => Poll::Pending,
            }
        }
    }

    #[tokio::test]
    async fn a_request_that_does_not_end_or_breaks_off_is_its_callers_fault() {
        let at_once = BodyLimits { request_time_max: Duration::ZERO, ..LIMITS };
        for (body, limits, status) in [
            (Stuck(None), at_once, StatusCode::REQUEST_TIMEOUT),
            (Stuck(Some("gone".into())), LIMITS, StatusCode::BAD_REQUEST),
        ] {
            let reads = service_fn(|request: http::Request<HttpBody>| async move {
                let mut body = request.into_body();
                let frame = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
                assert!(frame.is_some_and(|frame| frame.is_err()));
                let mut response = HttpResponse::new(HttpBody::empty());
                *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                Ok::<_, BoxError>(response)
            });
            let request = http::Request::post("/").body(HttpBody::new(body)).unwrap();
            let answer = BodyLayer::new(limits).layer(reads).oneshot(request).await.unwrap();
            assert_eq!(answer.status(), status);
        }
    }

    /// A body in pieces.
    struct Pieces(std::vec::IntoIter<&'static str>);

    impl Body for Pieces {
        type Data = <HttpBody as Body>::Data;
        type Error = BoxError;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Self::Data>, BoxError>>> {
            let piece = self.get_mut().0.next();
            let data = piece.map(|piece| Bytes::from_static(piece.as_bytes()));
            Poll::Ready(data.map(|data| Ok(Frame::data(data))))
        }
    }

    #[tokio::test]
    async fn a_body_is_handed_out_from_where_its_json_begins() {
        for (pieces, wanted) in [
            (vec!["[1]"], "[1]"),
            (vec![" ", "\r\n", " [1", "]"], "[1]"),
            (vec!["[", " ", "] "], "[ ] "),
            (vec!["\u{feff}[]"], ""),
            (vec!["x", "[]"], ""),
            (vec!["  "], ""),
            (vec![], ""),
        ] {
            let echo = service_fn(|request: http::Request<HttpBody>| async move {
                let body = HttpBody::from(collect(request.into_body()).await);
                Ok::<_, BoxError>(HttpResponse::new(body))
            });
            let told = format!("{pieces:?}");
            let request =
                http::Request::post("/").body(HttpBody::new(Pieces(pieces.into_iter()))).unwrap();
            let answer = BodyLayer::new(LIMITS).layer(echo).oneshot(request).await.unwrap();
            assert_eq!(answer.status(), StatusCode::OK, "{told}");
            assert_eq!(collect(answer.into_body()).await, wanted.as_bytes(), "{told}");
        }
    }

    #[tokio::test]
    async fn json_that_is_no_request_is_told_so_and_what_is_no_json_is_told_that() {
        for (body, code) in [
            ("{}", -32600),
            (" {\"foo\":1}", -32600),
            ("null", -32600),
            ("1", -32600),
            (" \"abc\" ", -32600),
            ("", -32700),
            ("{", -32700),
            ("1 2", -32700),
        ] {
            let refuses = service_fn(|request: http::Request<HttpBody>| async move {
                collect(request.into_body()).await;
                Ok::<_, BoxError>(malformed())
            });
            let request = http::Request::post("/").body(HttpBody::from(body)).unwrap();
            let answer = BodyLayer::new(LIMITS).layer(refuses).oneshot(request).await.unwrap();
            assert_eq!(answer.status(), StatusCode::OK, "{body}");
            let told: serde_json::Value =
                serde_json::from_slice(&collect(answer.into_body()).await).unwrap();
            assert_eq!(told["error"]["code"], code, "{body}");
        }
    }

    #[tokio::test]
    async fn of_an_answer_that_is_none_nothing_is_sent() {
        let silent = service_fn(|_: http::Request<HttpBody>| {
            let mut response = HttpResponse::new(HttpBody::from("null"));
            response.extensions_mut().insert(Silence);
            ready(Ok::<_, BoxError>(response))
        });
        let request = http::Request::post("/").body(HttpBody::empty()).unwrap();
        let answer = BodyLayer::new(LIMITS).layer(silent).oneshot(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert!(collect(answer.into_body()).await.is_empty());
    }

    #[tokio::test]
    async fn a_request_with_an_encoding_is_refused() {
        for coding in ["gzip", "br", "identity, gzip", ""] {
            let answer = ask(LIMITS, ("content-encoding", coding), vec![b'x'; 3]).await;
            assert_eq!(answer.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE, "{coding}");
            assert_eq!(answer.headers()[ACCEPT_ENCODING], IDENTITY);
        }
        for coding in ["identity", "Identity"] {
            let answer = ask(LIMITS, ("content-encoding", coding), vec![b'x'; 3]).await;
            assert_eq!(answer.status(), StatusCode::OK, "{coding}");
        }
    }

    #[tokio::test]
    async fn a_get_of_nothing_finds_the_node_well() {
        let refuses = service_fn(|_: http::Request<HttpBody>| {
            let mut response = HttpResponse::new(HttpBody::from("not allowed"));
            *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
            ready(Ok::<_, BoxError>(response))
        });
        let upgrade = ("upgrade", "websocket");
        for (method, uri, header, body, is_check) in [
            ("GET", "/", NOTHING, "", true),
            ("GET", "/health", NOTHING, "", true),
            ("GET", "/?id=1", NOTHING, "", false),
            ("GET", "/", upgrade, "", false),
            ("GET", "/", NOTHING, "{}", false),
            ("PUT", "/", NOTHING, "", false),
        ] {
            let told = format!("{method} {uri} {header:?} {body:?}");
            let request = http::Request::builder().method(method).uri(uri);
            let request = request.header(header.0, header.1).body(HttpBody::from(body)).unwrap();
            let answer = BodyLayer::new(LIMITS).layer(refuses).oneshot(request).await.unwrap();
            let is_well = answer.status() == StatusCode::OK;
            assert!(is_well || answer.status() == StatusCode::METHOD_NOT_ALLOWED, "{told}");
            assert_eq!(is_well, is_check, "{told}");
            assert_eq!(collect(answer.into_body()).await.is_empty(), is_check, "{told}");
        }
    }

    #[tokio::test]
    async fn long_answers_are_compressed_for_who_accepts_it() {
        let answer = ask(up_to(LONG), GZIP, vec![b'['; LONG]).await;
        assert_eq!(answer.headers()[CONTENT_ENCODING], "gzip");
        assert_eq!(answer.headers()[VARY], "accept-encoding");
        let compressed = collect(answer.into_body()).await;
        assert_eq!(compressed[..2], [0x1f, 0x8b]);
        assert!(compressed.len() < LONG / 10, "{}", compressed.len());
        let short = usize::from(COMPRESSED_BYTES_MIN) - 1;
        let off = BodyLimits { compresses: false, ..up_to(LONG) };
        for (limits, header, bytes) in [
            (up_to(LONG), NOTHING, LONG),
            (up_to(LONG), ("accept-encoding", "gzip;q=0"), LONG),
            (up_to(LONG), GZIP, short),
            (off, GZIP, LONG),
        ] {
            let answer = ask(limits, header, vec![b'['; bytes]).await;
            assert!(!answer.headers().contains_key(CONTENT_ENCODING), "{header:?} {bytes}");
            assert_eq!(collect(answer.into_body()).await, vec![b'['; bytes]);
        }
    }

    #[tokio::test]
    async fn an_answer_is_owed_for_as_long_as_any_of_it_is_in_memory() {
        let all_unsent = Arc::new(AtomicU64::new(0));
        let owed = || all_unsent.load(Ordering::Relaxed);
        for (accepts, is_begun) in [(GZIP, true), (GZIP, false), (NOTHING, true), (NOTHING, false)]
        {
            let flow = Flow::new(FLOW, Arc::clone(&all_unsent));
            let indebted = service_fn(move |_: http::Request<HttpBody>| {
                let mut response = HttpResponse::new(HttpBody::from(vec![b'x'; LONG]));
                response.extensions_mut().insert(Debt::new(&flow, LONG as u64));
                ready(Ok::<_, BoxError>(response))
            });
            let mut request = http::Request::post("/").body(HttpBody::empty()).unwrap();
            request.headers_mut().insert(accepts.0, HeaderValue::from_static(accepts.1));
            let answer = BodyLayer::new(LIMITS).layer(indebted).oneshot(request).await.unwrap();
            let is_compressed = answer.headers().contains_key(CONTENT_ENCODING);
            assert_eq!((owed(), is_compressed), (LONG as u64, accepts == GZIP));
            let mut body = answer.into_body();
            if is_begun {
                let part = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
                // The peer gives up, while a part is on its way.
                drop(body);
                assert_eq!(owed(), LONG as u64);
                drop(part);
            } else {
                drop(body);
            }
            assert_eq!(owed(), 0);
        }
    }

    #[tokio::test]
    async fn a_crowd_is_told_how_many_there_may_be() {
        let crowded = service_fn(|_: http::Request<HttpBody>| {
            let mut response = HttpResponse::new(HttpBody::empty());
            *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
            ready(Ok::<_, BoxError>(response))
        });
        let request = http::Request::post("/").body(HttpBody::empty()).unwrap();
        let answer = BodyLayer::new(LIMITS).layer(crowded).oneshot(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
        let told = String::from_utf8(collect(answer.into_body()).await).unwrap();
        assert!(told.starts_with("7 requests"), "{told}");
    }
}
