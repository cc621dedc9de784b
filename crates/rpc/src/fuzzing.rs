//! Bodies of fuzz targets: everything that decodes what anybody may send.
//!
//! A body takes any bytes, and panics if something is not as it should be. Each runs with inputs of
//! `cargo-fuzz` (`tests/fuzz`), and with random and awkward ones among the tests beside it. What
//! methods do with what was decoded is asked in the tests of the whole program.

use crate::{
    bodies::{BodyLayer, BodyLimits},
    engine,
    flow::{Flow, FlowLayer, FlowLimits},
    ipc, public,
};
use http::{StatusCode, header::CONTENT_TYPE};
use http_body::Body;
use jsonrpsee::{
    Methods, RpcModule,
    server::{
        BatchRequestConfig, HttpBody, Server, ServerConfig, middleware::rpc::RpcServiceBuilder,
        stop_channel,
    },
};
use serde::{Deserialize, Deserializer, de::IgnoredAny};
use serde_json::{Value, value::RawValue};
use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    time::Duration,
};
use tokio::runtime::Builder;
use tower::{ServiceBuilder, ServiceExt};

/// Bytes of a request or message.
const BYTES_MAX: u32 = 4 * 1024 * 1024;
/// Calls in a batch over HTTP.
const BATCH_MAX: u32 = 100;
const FLOW: FlowLimits = FlowLimits {
    calls_max: 1,
    unsent_bytes_max: u64::MAX,
    all_unsent_bytes_max: u64::MAX,
    batch_bytes_max: BYTES_MAX as usize,
    batch_time_max: Duration::from_secs(3600),
};

/// A body.
pub type Target = fn(&[u8]);

/// All of them, by name.
pub const TARGETS: [(&str, Target); 5] = [
    ("engine_params", engine_params),
    ("http_request", http_request),
    ("ipc_stream", ipc_stream),
    ("public_params", public_params),
    ("revert_data", revert_data),
];

/// Parameters of the methods of the Engine API.
pub fn engine_params(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        engine::fuzz::decode(text);
    }
}

/// Arguments of the public methods.
pub fn public_params(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        public::fuzz::decode(text);
    }
}

/// What a message gives that reverts: also code of others decides what that is.
pub fn revert_data(data: &[u8]) {
    public::fuzz::tell_revert(data);
}

/// What a caller sends over IPC.
pub fn ipc_stream(data: &[u8]) {
    block_on(ipc::fuzz(data, methods(), BYTES_MAX as usize));
}

/// The body of a request over HTTP. Every answer is JSON, but to what is nothing but notifications,
/// which is empty, and none says that the node is at fault.
pub fn http_request(data: &[u8]) {
    block_on(async {
        let limits = BodyLimits {
            request_time_max: crate::PUBLIC_LIMITS.request_time_max,
            request_bytes_max: BYTES_MAX,
            response_bytes_max: BYTES_MAX,
            connections_max: 1,
            compresses: false,
        };
        let config = ServerConfig::builder()
            .max_request_body_size(BYTES_MAX)
            .set_batch_request_config(BatchRequestConfig::Limit(BATCH_MAX))
            .build();
        let layers = ServiceBuilder::new().layer(BodyLayer::new(limits));
        let services = Server::builder().set_config(config).set_http_middleware(layers);
        let flow = Flow::new(FLOW, Arc::default());
        let rpc = RpcServiceBuilder::new().layer(FlowLayer::new(flow));
        let services = services.to_service_builder().set_rpc_middleware(rpc);
        let (stop, _handle) = stop_channel();
        let service = services.build(methods(), stop);
        let request = http::Request::post("/")
            .header(CONTENT_TYPE, "application/json")
            .body(HttpBody::from(data.to_vec()))
            .expect("a good request");
        let answer = service.oneshot(request).await.expect("an answer");
        let status = answer.status();
        let known = [StatusCode::OK, StatusCode::PAYLOAD_TOO_LARGE];
        assert!(known.contains(&status), "{status}");
        let answer = collect(answer.into_body()).await;
        if answer.is_empty() {
            // Whoever sent anything else would wait for an answer.
            assert!(are_notifications(data), "not answered");
            return;
        }
        let answer: Value = serde_json::from_slice(&answer).expect("an answer is JSON");
        let is_ours = |answer: &Value| answer["error"]["code"] == -32603;
        let all = answer.as_array().map_or(std::slice::from_ref(&answer), Vec::as_slice);
        assert!(!all.iter().any(is_ours), "{answer}");
    });
}

/// Whether this is a notification, or a batch of nothing else, as JSON-RPC 2.0 has it in sections
/// 4.1 and 6, and not as the server reads it.
fn are_notifications(data: &[u8]) -> bool {
    let text = data.trim_ascii_start();
    if !text.starts_with(b"[") {
        return is_notification(text);
    }
    let entries = serde_json::from_slice::<Vec<&RawValue>>(text).unwrap_or_default();
    let mut texts = entries.iter().map(|entry| entry.get().as_bytes());
    !entries.is_empty() && texts.all(is_notification)
}

fn is_notification(text: &[u8]) -> bool {
    // Of what else is in it, nobody asks whether it is UTF-8.
    matches!(serde_json::from_slice(text), Ok(Named { id: false, method: true }))
}

/// Which members an object has, whatever they are.
#[derive(Deserialize)]
struct Named {
    #[serde(default, deserialize_with = "is_there")]
    id: bool,
    #[serde(default, deserialize_with = "is_there")]
    method: bool,
}

fn is_there<'de, D: Deserializer<'de>>(value: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(value).map(|_| true)
}

fn block_on(work: impl Future<Output = ()>) {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.expect("the system gives what a runtime needs").block_on(work);
}

/// Methods with short names, so that they are found by chance.
fn methods() -> Methods {
    let mut module = RpcModule::new(());
    // It does not give back what it was given, which may be as deep as JSON is read at most.
    let is_object = |value: Value| value.is_object();
    let is_new = module
        .register_method("a", move |params, _, _| params.one::<Value>().map(is_object))
        .is_ok();
    assert!(is_new && module.register_method("b", |_, _, _| "b").is_ok(), "two names");
    module.into()
}

async fn collect(mut body: HttpBody) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        if let Ok(data) = frame.expect("a body of memory").into_data() {
            bytes.extend_from_slice(&data);
        }
    }
    bytes
}

#[cfg(test)]
mod tests;
