//! Looks at a request before it is read, and refuses it with a plain reason.

use http::{
    HeaderValue, StatusCode,
    header::{CONTENT_TYPE, WWW_AUTHENTICATE},
};
use jsonrpsee::{
    core::BoxError,
    server::{HttpBody, HttpRequest, HttpResponse},
};
use std::{
    future::{Future, ready},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tower::{Layer, Service};

/// What is answered instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) status: StatusCode,
    pub(crate) reason: String,
}

/// Says whether a request is read. Called on the threads of the server: may not block.
pub(crate) type Check = dyn Fn(&HttpRequest) -> Result<(), Refused> + Send + Sync;

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

impl<S> Service<HttpRequest> for Guard<S>
where
    S: Service<HttpRequest, Response = HttpResponse, Error = BoxError>,
    S::Future: Send + 'static,
{
    type Response = HttpResponse;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: HttpRequest) -> Self::Future {
        match (self.check)(&request) {
            Ok(()) => Box::pin(self.inner.call(request)),
            Err(refused) => {
                let Refused { status, reason } = &refused;
                tracing::warn!(target: "fugue::rpc", %status, %reason, "request refused");
                Box::pin(ready(Ok(refused.into_response())))
            }
        }
    }
}

impl Refused {
    fn into_response(self) -> HttpResponse {
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
