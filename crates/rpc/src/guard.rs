//! Looks at a request before it is read, and refuses it with a plain reason.

use http::{
    HeaderMap, HeaderValue, StatusCode, Uri,
    header::{CONTENT_TYPE, WWW_AUTHENTICATE},
};
use jsonrpsee::{
    core::BoxError,
    server::{HttpBody, HttpResponse},
};
use metrics::counter;
use std::{
    future::{Future, ready},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tower::{Layer, Service};

/// Requests that were refused, by reason: a host or origin that may not call, or no good token.
const REFUSED: &str = "fugue_rpc_refused_total";

/// What is answered instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) status: StatusCode,
    pub(crate) reason: String,
}

/// Says whether a request is read. Called on the threads of the server: may not block.
pub(crate) type Check = dyn Fn(&HeaderMap, &Uri) -> Result<(), Refused> + Send + Sync;

/// Puts a check before a service.
#[derive(Clone)]
pub(crate) struct GuardLayer(Arc<Check>);

impl GuardLayer {
    pub(crate) fn new(check: Arc<Check>) -> Self {
        Self(check)
    }
}

impl<S> Layer<S> for GuardLayer {
    type Service = Guard<S>;

    fn layer(&self, inner: S) -> Guard<S> {
        Guard { check: self.0.clone(), inner }
    }
}

/// A service behind a check.
#[derive(Clone)]
pub(crate) struct Guard<S> {
    check: Arc<Check>,
    inner: S,
}

impl<S, B> Service<http::Request<B>> for Guard<S>
where
    S: Service<http::Request<B>, Response = HttpResponse, Error = BoxError>,
    S::Future: Send + 'static,
{
    type Response = HttpResponse;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        match (self.check)(request.headers(), request.uri()) {
            Ok(()) => Box::pin(self.inner.call(request)),
            Err(refused) => {
                let Refused { status, reason } = &refused;
                // Anybody can cause it, as often as they like: counted, and not told.
                let kind = if *status == StatusCode::UNAUTHORIZED { "token" } else { "host" };
                counter!(REFUSED, "reason" => kind).increment(1);
                tracing::debug!(target: "fugue::rpc", %status, %reason, "request refused");
                Box::pin(ready(Ok(refused.into_response())))
            }
        }
    }
}

impl Refused {
    /// As it is sent.
    pub(crate) fn into_response(self) -> HttpResponse {
        let Self { status, reason } = self;
        let mut response = HttpResponse::new(HttpBody::from(format!("{reason}\n")));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
