//! JSON-RPC of any node over HTTP, from the other side.
//!
//! Calls block the thread that makes them. It must be no thread of a runtime.

use super::{CallError, Params, raw, runtime_of_caller};
use crate::UsageError;
use jsonrpsee::core::client::ClientT;
use jsonrpsee_http_client::{HttpClient, HttpClientBuilder};
use serde_json::Value;
use std::{sync::Arc, thread, time::Duration};
use tokio::runtime::Runtime;

/// Bytes of an answer, at most: traces and witnesses of the largest blocks are far below.
const RESPONSE_BYTES_MAX: u32 = 1 << 30;
/// Times that a call is made again which was not answered.
const RETRIES_MAX: u32 = 3;
/// Wait before the first of them; it doubles from one to the next.
const RETRY_WAIT: Duration = Duration::from_millis(250);

/// A caller of one endpoint.
pub(crate) struct PublicClient {
    runtime: Arc<Runtime>,
    http: HttpClient,
}

impl PublicClient {
    /// Of the endpoint at a URL that begins with `http://`; nothing is sent yet. A call takes
    /// `call_time` at most.
    ///
    /// # Errors
    /// If the URL is none of those.
    pub(crate) fn new(url: &str, call_time: Duration) -> Result<Self, UsageError> {
        if url.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("https://")) {
            let reason = "https is not supported, only http: put a proxy before it";
            return Err(UsageError(format!("{url}: {reason}")));
        }
        let runtime = runtime_of_caller()?;
        let http = {
            let _within = runtime.enter();
            let builder = HttpClientBuilder::default().max_response_size(RESPONSE_BYTES_MAX);
            builder.request_timeout(call_time).build(url)
        };
        let http = http.map_err(|error| UsageError(format!("{url}: {error}")))?;
        Ok(Self { runtime, http })
    }

    /// Calls a method; again for a few times if there is no answer.
    ///
    /// # Errors
    /// [`CallError`].
    pub(crate) fn call(&self, method: &str, params: &Value) -> Result<Value, CallError> {
        let mut wait = RETRY_WAIT;
        for _ in 0..RETRIES_MAX {
            match self.call_once(method, params) {
                Err(CallError::Broken(_)) => thread::sleep(wait),
                answer => return answer,
            }
            wait *= 2;
        }
        self.call_once(method, params)
    }

    fn call_once(&self, method: &str, params: &Value) -> Result<Value, CallError> {
        let answer = self.http.request::<Value, _>(method, Params(raw(params)?));
        Ok(self.runtime.block_on(answer)?)
    }
}

/// A number as it is sent.
pub(crate) fn quantity(number: u64) -> Value {
    Value::String(format!("{number:#x}"))
}

/// An answer in the form that its method has.
///
/// # Errors
/// What does not fit.
pub(crate) fn decoded<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, String> {
    serde_path_to_error::deserialize(value).map_err(|error| error.to_string())
}
