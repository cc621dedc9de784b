//! The Engine API from the other side: a node within this process, and a client that calls it over
//! HTTP as a consensus client does. For the program's own checks and benchmarks. [`public`] calls
//! other nodes.
//!
//! | job | started when | gives | awaited where |
//! | --- | --- | --- | --- |
//! | the engine's threads | [`EngineHost::start`] | verdicts and payloads | [`EngineHost::stop`] |
//! | the server, on the runtime | after them | answers | [`EngineHost::stop`] |
//!
//! Calls block the thread that makes them. It must be no thread of the runtime.

pub(crate) mod payload;
pub(crate) mod public;

use crate::{UsageError, datadir::usage};
use fugue_chain::{Chain, Engine, EngineOptions, EngineThread, Head, pool_head};
use fugue_chainspec::ChainSpec;
use fugue_rpc::{
    ClientVersion, ENGINE_BODY_BYTES_MAX, ENGINE_RESPONSE_BYTES_MAX, EngineServerOptions,
    EthLimits, JwtSecret, Listen, RpcModule, RunningServer, engine_module, start_engine_server,
};
use fugue_txpool::{Pool, PoolOptions};
use fugue_types::B256;
use jsonrpsee::core::{ClientError, client::ClientT, traits::ToRpcParams};
use jsonrpsee_http_client::{HeaderMap, HeaderValue, HttpClient, HttpClientBuilder};
use jsonwebtoken::{EncodingKey, Header, encode, get_current_timestamp};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{
    Value, json,
    value::{RawValue, to_raw_value},
};
use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::runtime::{Builder, Runtime};

/// How old a token gets. The server takes those of a minute.
const TOKEN_TIME: Duration = Duration::from_secs(30);
/// Longest that a call may take.
const CALL_TIME: Duration = Duration::from_secs(600);

/// A runtime without threads of its own: its tasks go on while a call is waited for.
///
/// # Errors
/// If the system gives none.
pub(crate) fn runtime_of_caller() -> Result<Arc<Runtime>, UsageError> {
    Builder::new_current_thread().enable_all().build().map(Arc::new).map_err(usage)
}

/// A runtime with so many threads.
///
/// # Errors
/// If the system gives none.
pub(crate) fn runtime_of_threads(threads: usize) -> Result<Arc<Runtime>, UsageError> {
    let mut builder = Builder::new_multi_thread();
    builder.thread_name("fugue-engine").worker_threads(threads.max(1)).enable_all();
    builder.build().map(Arc::new).map_err(usage)
}

/// A call was not answered with a result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CallError {
    /// It was answered with an error.
    #[error("error {code}: {message}")]
    Refused { code: i32, message: String },
    /// There was no answer, or not one of its form.
    #[error("no answer: {0}")]
    Broken(String),
}

impl CallError {
    fn broken(error: impl std::fmt::Display) -> Self {
        Self::Broken(error.to_string())
    }
}

impl From<ClientError> for CallError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Call(error) => {
                let data = error.data().map_or_else(String::new, |data| format!(" {}", data.get()));
                Self::Refused { code: error.code(), message: format!("{}{data}", error.message()) }
            }
            error => Self::broken(error),
        }
    }
}

/// `PayloadStatusV1`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PayloadStatus {
    pub(crate) status: String,
    pub(crate) latest_valid_hash: Option<B256>,
    pub(crate) validation_error: Option<String>,
}

/// The answer of `engine_forkchoiceUpdated`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Followed {
    pub(crate) payload_status: PayloadStatus,
    pub(crate) payload_id: Option<String>,
}

impl PayloadStatus {
    /// Whether the block with this hash is valid.
    pub(crate) fn is_valid(&self, hash: B256) -> bool {
        self.status == "VALID" && self.latest_valid_hash == Some(hash)
    }
}

/// Parameters that are JSON already.
pub(crate) struct Params(pub(crate) Box<RawValue>);

impl ToRpcParams for Params {
    fn to_rpc_params(self) -> Result<Option<Box<RawValue>>, serde_json::Error> {
        Ok(Some(self.0))
    }
}

/// A consensus client, as far as there is one.
pub(crate) struct EngineClient {
    runtime: Arc<Runtime>,
    url: String,
    secret: JwtSecret,
    http: HttpClient,
    /// When its token was made.
    signed: Instant,
}

impl EngineClient {
    /// Of a node that serves the Engine API at this address.
    ///
    /// # Errors
    /// If there is no token to be made.
    pub(crate) fn new(
        runtime: Arc<Runtime>,
        address: SocketAddr,
        secret: JwtSecret,
    ) -> Result<Self, UsageError> {
        let url = format!("http://{address}");
        let http = connect(&runtime, &url, &secret)?;
        Ok(Self { runtime, url, secret, http, signed: Instant::now() })
    }

    /// Makes a new token, and with it a new connection, if the token has become old. Calls do this
    /// themselves; who times them does it before.
    ///
    /// # Errors
    /// If there is no token to be made.
    pub(crate) fn refresh(&mut self) -> Result<(), UsageError> {
        if self.signed.elapsed() >= TOKEN_TIME {
            self.http = connect(&self.runtime, &self.url, &self.secret)?;
            self.signed = Instant::now();
        }
        Ok(())
    }

    /// Calls a method with parameters in JSON.
    ///
    /// # Errors
    /// [`CallError`].
    pub(crate) fn call<T: DeserializeOwned>(
        &mut self,
        method: &str,
        params: Box<RawValue>,
    ) -> Result<T, CallError> {
        self.refresh().map_err(|UsageError(message)| CallError::Broken(message))?;
        let answer = self.http.request::<T, _>(method, Params(params));
        Ok(self.runtime.block_on(answer)?)
    }

    /// `engine_newPayload` of a version.
    ///
    /// # Errors
    /// [`CallError`].
    pub(crate) fn new_payload(
        &mut self,
        version: u8,
        params: Box<RawValue>,
    ) -> Result<PayloadStatus, CallError> {
        self.call(&format!("engine_newPayloadV{version}"), params)
    }

    /// `engine_forkchoiceUpdated` of a version, with a head alone.
    ///
    /// # Errors
    /// [`CallError`].
    pub(crate) fn forkchoice(
        &mut self,
        version: u8,
        head: B256,
        attributes: Option<&Value>,
    ) -> Result<Followed, CallError> {
        let state = json!({
            "headBlockHash": head,
            "safeBlockHash": B256::ZERO,
            "finalizedBlockHash": B256::ZERO,
        });
        let params = raw(&json!([state, attributes]))?;
        self.call(&format!("engine_forkchoiceUpdatedV{version}"), params)
    }
}

/// JSON as it is sent.
///
/// # Errors
/// None in practice: every value has a text.
pub(crate) fn raw(value: &Value) -> Result<Box<RawValue>, CallError> {
    to_raw_value(value).map_err(CallError::broken)
}

fn connect(runtime: &Runtime, url: &str, secret: &JwtSecret) -> Result<HttpClient, UsageError> {
    let _within = runtime.enter();
    let claims = json!({ "iat": get_current_timestamp() });
    let key = EncodingKey::from_secret(secret.as_bytes());
    // The header by default says HS256.
    let token = encode(&Header::default(), &claims, &key).map_err(usage)?;
    let mut headers = HeaderMap::new();
    let bearer = HeaderValue::from_str(&format!("Bearer {token}")).map_err(usage)?;
    headers.insert("authorization", bearer);
    HttpClientBuilder::default()
        .max_request_size(ENGINE_BODY_BYTES_MAX)
        .max_response_size(ENGINE_RESPONSE_BYTES_MAX)
        .request_timeout(CALL_TIME)
        .set_headers(headers)
        .build(url)
        .map_err(usage)
}

/// A node that serves the Engine API alone, on a port of its own, and its one client.
pub(crate) struct EngineHost {
    runtime: Arc<Runtime>,
    server: RunningServer,
    client: EngineClient,
    engine: Engine,
    threads: EngineThread,
}

impl EngineHost {
    /// Starts a node over a chain whose head is durable. `spec` are the chain's rules.
    ///
    /// # Errors
    /// What the store says, or if there are no threads or ports to be had.
    pub(crate) fn start(
        runtime: &Arc<Runtime>,
        chain: Chain,
        spec: &ChainSpec,
        pool: PoolOptions,
        options: EngineOptions,
    ) -> Result<Self, UsageError> {
        let (hash, header) = {
            let snapshot = chain.store().snapshot().map_err(usage)?;
            snapshot.header(chain.head().number).map_err(usage)?
        };
        let pool = Arc::new(Pool::new(pool, pool_head(spec, hash, &header)));
        let (engine, threads) = Engine::start(chain, pool, options).map_err(usage)?;
        match serve(runtime, engine.clone()) {
            Ok((server, client)) => {
                Ok(Self { runtime: runtime.clone(), server, client, engine, threads })
            }
            Err(error) => {
                // What is wrong has been said already.
                let _ = threads.stop();
                Err(error)
            }
        }
    }

    /// Its client.
    pub(crate) const fn client(&mut self) -> &mut EngineClient {
        &mut self.client
    }

    /// Its engine, for what is not asked over HTTP.
    pub(crate) const fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Ends it. The chain of the head is then durable; gives the head.
    ///
    /// # Errors
    /// What the store says.
    pub(crate) fn stop(self) -> Result<Head, UsageError> {
        let Self { runtime, server, client, engine, threads } = self;
        drop(client);
        runtime.block_on(server.stop());
        drop(engine);
        threads.stop().map_err(usage)
    }
}

fn serve(
    runtime: &Arc<Runtime>,
    engine: Engine,
) -> Result<(RunningServer, EngineClient), UsageError> {
    let secret = JwtSecret::new(B256::random().0);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let server = EngineServerOptions {
        listen: Listen { address, flag: "the port of the Engine API" },
        secret: secret.clone(),
        vhosts: Vec::new(),
    };
    let methods = methods(engine)?;
    let server = runtime.block_on(start_engine_server(server, methods)).map_err(usage)?;
    let client = EngineClient::new(runtime.clone(), server.local_addr(), secret)?;
    Ok((server, client))
}

/// What the port offers: the same as a node's.
fn methods(engine: Engine) -> Result<RpcModule<()>, UsageError> {
    let client = ClientVersion {
        code: "FG".to_owned(),
        name: "Fugue".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        commit: "0x00000000".to_owned(),
    };
    engine_module(engine, client, EthLimits::default()).map_err(usage)
}
