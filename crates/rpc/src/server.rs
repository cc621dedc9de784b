//! The servers for HTTP and WebSocket: one for the consensus layer, and public ones.
//!
//! A server runs on the tokio runtime in whose context it is started. The node has one runtime for
//! the engine and another one for the public servers, so that no public call delays the engine.
//!
//! Over HTTP the calls of a connection are worked on one after the other. Over a WebSocket they are
//! not: jsonrpsee gives each message a task of its own, so a caller that needs an order, as the
//! engine's rule E14 is one, waits for an answer before it asks again, or uses HTTP.

use crate::{
    auth::{JwtSecret, Verifier},
    bodies::{BodyLayer, BodyLimits},
    flow::{Flow, FlowLayer, FlowLimits, NoteUpgrade},
    guard::GuardLayer,
    hosts::{ANY, Hosts, Origins},
    ids::RandomIds,
    socket::{IdleStream, Serving, SocketLimits, accept},
};
use http::{HeaderValue, Method};
use jsonrpsee::{
    Methods,
    core::BoxError,
    server::{
        BatchRequestConfig, PingConfig, Server, ServerConfig, ServerConfigBuilder, ServerHandle,
        middleware::rpc::RpcServiceBuilder, serve_with_graceful_shutdown, stop_channel,
    },
};
use std::{
    io::{self, ErrorKind},
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::timeout,
};
use tower::ServiceBuilder;
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

/// Bytes of a request to the engine: a payload of the largest blocks, in hex, is far below.
pub const ENGINE_BODY_BYTES_MAX: u32 = 128 * 1024 * 1024;
/// Bytes of an answer of the engine, all answers to a batch together.
pub const ENGINE_RESPONSE_BYTES_MAX: u32 = 250_000_000;
/// Calls in a batch to the engine.
pub const ENGINE_BATCH_MAX: u32 = 2_000;
/// Requests and WebSockets of the engine at a time.
pub const ENGINE_CONNECTIONS_MAX: u32 = 256;
/// Sockets of the engine at a time, idle ones too; more wait at the system.
pub const ENGINE_SOCKETS_MAX: usize = 128;

/// How long a connection of the engine may be idle: much longer than any of its calls takes.
const ENGINE_IDLE_MAX: Duration = Duration::from_secs(600);
/// How long the head of a request to the engine may take, and then its body: as go-ethereum has it.
const ENGINE_REQUEST_TIME_MAX: Duration = Duration::from_secs(30);
/// Answers and notifications of a WebSocket that wait to be sent, before their calls wait.
const WAITING_ANSWERS_MAX: u32 = 16;
/// What a connection to the engine may have under way.
const ENGINE_FLOW: FlowLimits = FlowLimits {
    calls_max: 64,
    unsent_bytes_max: 256 * 1024 * 1024,
    all_unsent_bytes_max: 1024 * 1024 * 1024,
    batch_bytes_max: ENGINE_RESPONSE_BYTES_MAX as usize,
    // Over HTTP its connection is idle meanwhile, and ends then.
    batch_time_max: ENGINE_IDLE_MAX,
};
/// How long a browser may go on without asking anew whether a page may call: as go-ethereum has it.
const CORS_AGE_MAX: Duration = Duration::from_secs(600);
/// How long a server that stops waits for calls and connections, before it drops them.
pub(crate) const STOP_PATIENCE: Duration = Duration::from_secs(3);

/// What a public server answers at most where the operator does not say otherwise.
pub const PUBLIC_LIMITS: PublicLimits = PublicLimits {
    body_bytes_max: 5 * 1024 * 1024,
    response_bytes_max: 150 * 1024 * 1024,
    batch_max: 1_000,
    connections_max: 500,
    subscriptions_max: 1_024,
    // Two servers, the engine's and IPC stay far below the 1,024 files that a process may have
    // open where the operator has said nothing.
    sockets_max: 256,
    batch_bytes_max: 25_000_000,
    // As long as a single call may wait for its turn and then take.
    batch_time_max: Duration::from_secs(10),
    calls_max: 32,
    unsent_bytes_max: 32 * 1024 * 1024,
    all_unsent_bytes_max: 1024 * 1024 * 1024,
    idle_max: Duration::from_secs(120),
    // As go-ethereum has it.
    request_time_max: Duration::from_secs(30),
    compresses: true,
};

/// A server was not started.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Another program, or another server of this one, has the port.
    #[error("{address} is in use: choose another port with {flag}")]
    Taken {
        /// The address.
        address: SocketAddr,
        /// The option that names it.
        flag: &'static str,
    },
    /// The address cannot be listened on for another reason.
    #[error("cannot listen on {address} ({flag}): {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The option that names it.
        flag: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// Another program listens on the socket.
    #[error("{} is in use by another program: choose another file with {flag}", path.display())]
    SocketTaken {
        /// The socket.
        path: PathBuf,
        /// The option that names it.
        flag: &'static str,
    },
    /// The socket cannot be made for another reason.
    #[error("cannot listen on {} ({flag}): {source}", path.display())]
    Socket {
        /// The socket.
        path: PathBuf,
        /// The option that names it.
        flag: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// Not a site.
    #[error("{0:?} is not an origin: it must be like https://site.example, or *")]
    Origin(String),
}

/// Where a server listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listen {
    /// Port 0 lets the system choose.
    pub address: SocketAddr,
    /// The option of the command line that names the port, for messages.
    pub flag: &'static str,
}

/// The server for the consensus layer.
#[derive(Debug, Clone)]
pub struct EngineServerOptions {
    /// Where it listens, for HTTP and WebSocket.
    pub listen: Listen,
    /// What requests must be signed with.
    pub secret: JwtSecret,
    /// Names that the node may be called by, `*` for any; addresses are allowed in any case.
    pub vhosts: Vec<String>,
}

/// A server for everyone who reaches it.
#[derive(Debug, Clone)]
pub struct PublicServerOptions {
    /// Where it listens.
    pub listen: Listen,
    /// What it speaks.
    pub transport: Transport,
    /// Names that the node may be called by, `*` for any; addresses are allowed in any case.
    pub vhosts: Vec<String>,
    /// Sites whose pages may read answers over HTTP, `*` for any.
    pub origins: Vec<String>,
    /// Sites whose pages may open a WebSocket, `*` for any; pages of this machine where there is
    /// none.
    pub ws_origins: Vec<String>,
    /// What it answers at most.
    pub limits: PublicLimits,
}

/// What a server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Requests alone.
    Http,
    /// WebSockets alone.
    WebSocket,
    /// Both on one port.
    Both,
}

/// What a public server answers at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicLimits {
    /// Bytes of a request.
    pub body_bytes_max: u32,
    /// Bytes of an answer.
    pub response_bytes_max: u32,
    /// Calls in a batch.
    pub batch_max: u32,
    /// Requests and WebSockets at a time.
    pub connections_max: u32,
    /// Subscriptions of one WebSocket.
    pub subscriptions_max: u32,
    /// Sockets at a time, idle ones too; more wait at the system.
    pub sockets_max: usize,
    /// Bytes of all answers to a batch together.
    pub batch_bytes_max: usize,
    /// How long calls of a batch are begun; further ones are given up.
    pub batch_time_max: Duration,
    /// Messages of one connection that are worked on at the same time; more wait.
    pub calls_max: usize,
    /// Bytes of answers of one WebSocket that are not sent, above which no more is read from it.
    pub unsent_bytes_max: u64,
    /// The same for all connections, above which calls are refused.
    pub all_unsent_bytes_max: u64,
    /// How long a connection may be idle: longer than a call or a batch may take, and than it takes
    /// from one ping of a WebSocket to the next.
    pub idle_max: Duration,
    /// How long the head of a request over HTTP may take, and then its body.
    pub request_time_max: Duration,
    /// Answers over HTTP are compressed for callers that accept it.
    pub compresses: bool,
}

/// A server that runs. It ends when this is dropped.
#[derive(Debug)]
pub struct RunningServer {
    local_addr: SocketAddr,
    handle: ServerHandle,
    accepting: JoinHandle<()>,
}

impl RunningServer {
    /// Where it listens; with the port that the system chose.
    pub const fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Answers what was asked, and ends; what takes longer than a few seconds is dropped.
    pub async fn stop(self) {
        let local_addr = self.local_addr;
        if !self.stop_within(STOP_PATIENCE).await {
            tracing::warn!(target: "fugue::rpc", %local_addr, "connections are dropped");
        }
    }

    /// Says whether everything has ended by itself within this time; else the rest is dropped.
    async fn stop_within(self, patience: Duration) -> bool {
        let Self { local_addr: _, handle, mut accepting } = self;
        // An error says that it has ended already.
        let _ = handle.stop();
        let ended = timeout(patience, async {
            // An error says that it panicked; its connections are gone then.
            let _ = (&mut accepting).await;
            handle.stopped().await;
        });
        let has_ended = ended.await.is_ok();
        if !has_ended {
            accepting.abort();
        }
        has_ended
    }
}

impl PublicLimits {
    const fn sockets(self) -> SocketLimits {
        let flow = FlowLimits {
            calls_max: self.calls_max,
            unsent_bytes_max: self.unsent_bytes_max,
            all_unsent_bytes_max: self.all_unsent_bytes_max,
            batch_bytes_max: self.batch_bytes_max,
            batch_time_max: self.batch_time_max,
        };
        SocketLimits {
            sockets_max: self.sockets_max,
            idle_max: self.idle_max,
            request_time_max: self.request_time_max,
            message_bytes_max: self.body_bytes_max as usize,
            batch_max: self.batch_max as usize,
            flow,
        }
    }

    const fn bodies(self) -> BodyLimits {
        BodyLimits {
            request_bytes_max: self.body_bytes_max,
            response_bytes_max: self.response_bytes_max,
            connections_max: self.connections_max,
            request_time_max: self.request_time_max,
            compresses: self.compresses,
        }
    }
}

impl Listen {
    async fn bind(self) -> Result<(TcpListener, SocketAddr), ServerError> {
        let listener = TcpListener::bind(self.address).await.map_err(|error| self.error(error))?;
        let local_addr = listener.local_addr().map_err(|error| self.error(error))?;
        Ok((listener, local_addr))
    }

    fn error(self, source: io::Error) -> ServerError {
        let Self { address, flag } = self;
        match source.kind() {
            ErrorKind::AddrInUse => ServerError::Taken { address, flag },
            _ => ServerError::Listen { address, flag, source },
        }
    }
}

/// Starts the server for the consensus layer, on the current runtime.
///
/// # Errors
/// [`ServerError::Taken`], [`ServerError::Listen`].
pub async fn start_engine_server(
    options: EngineServerOptions,
    methods: impl Into<Methods>,
) -> Result<RunningServer, ServerError> {
    let EngineServerOptions { listen, secret, vhosts } = options;
    let config = ServerConfig::builder()
        .max_request_body_size(ENGINE_BODY_BYTES_MAX)
        .max_response_body_size(ENGINE_RESPONSE_BYTES_MAX)
        .max_connections(ENGINE_CONNECTIONS_MAX)
        .set_message_buffer_capacity(WAITING_ANSWERS_MAX)
        .set_batch_request_config(BatchRequestConfig::Limit(ENGINE_BATCH_MAX))
        .build();
    let sockets = SocketLimits {
        sockets_max: ENGINE_SOCKETS_MAX,
        idle_max: ENGINE_IDLE_MAX,
        request_time_max: ENGINE_REQUEST_TIME_MAX,
        message_bytes_max: ENGINE_BODY_BYTES_MAX as usize,
        batch_max: ENGINE_BATCH_MAX as usize,
        flow: ENGINE_FLOW,
    };
    let guards = [Hosts::new(&vhosts).into_layer(), Verifier::new(&secret).into_layer()];
    // The consensus client is near, and waits for what would be compressed.
    let bodies = BodyLimits {
        request_bytes_max: ENGINE_BODY_BYTES_MAX,
        response_bytes_max: ENGINE_RESPONSE_BYTES_MAX,
        connections_max: ENGINE_CONNECTIONS_MAX,
        request_time_max: ENGINE_REQUEST_TIME_MAX,
        compresses: false,
    };
    start(listen, Plan { config, sockets, guards, cors: None, bodies }, methods.into()).await
}

/// Starts a public server, on the current runtime.
///
/// # Errors
/// [`ServerError::Taken`], [`ServerError::Listen`], [`ServerError::Origin`].
pub async fn start_public_server(
    options: PublicServerOptions,
    methods: impl Into<Methods>,
) -> Result<RunningServer, ServerError> {
    let PublicServerOptions { listen, transport, vhosts, origins, ws_origins, limits } = options;
    let config = public_config(transport, limits).build();
    let guards = [Hosts::new(&vhosts).into_layer(), Origins::new(&ws_origins).into_layer()];
    let (sockets, bodies) = (limits.sockets(), limits.bodies());
    let plan = Plan { config, sockets, guards, cors: cors(&origins)?, bodies };
    start(listen, plan, methods.into()).await
}

/// In what servers differ.
struct Plan {
    config: ServerConfig,
    sockets: SocketLimits,
    /// From the outside in: what one of them refuses, the next one does not see.
    guards: [GuardLayer; 2],
    cors: Option<CorsLayer>,
    bodies: BodyLimits,
}

async fn start(listen: Listen, plan: Plan, methods: Methods) -> Result<RunningServer, ServerError> {
    let Plan { config, sockets, guards: [outer, inner], cors, bodies } = plan;
    let layers = ServiceBuilder::new().layer(outer).layer(inner).option_layer(cors);
    let layers = layers.layer(BodyLayer::new(bodies));
    let services = Server::builder().set_config(config).set_http_middleware(layers);
    let services = services.to_service_builder();
    let (stop, handle) = stop_channel();
    let stopped = stop.clone();
    let serve = move |stream: IdleStream<TcpStream>, flow: Arc<Flow>| -> Serving {
        let rpc = RpcServiceBuilder::new().layer(FlowLayer::new(Arc::clone(&flow)));
        let service = services.clone().set_rpc_middleware(rpc);
        let service = service.build(methods.clone(), stopped.clone());
        let service = NoteUpgrade::new(service, flow);
        let served = serve_with_graceful_shutdown(stream, service, stopped.clone().shutdown());
        Box::pin(async move { ended(served.await) })
    };
    let (listener, local_addr) = listen.bind().await?;
    let accepting = tokio::spawn(accept(listener, sockets, stop, serve));
    Ok(RunningServer { local_addr, handle, accepting })
}

/// Tells why a connection ended, to whoever looks for it.
fn ended(served: Result<(), BoxError>) {
    if let Err(error) = served {
        tracing::debug!(target: "fugue::rpc", %error, "connection failed");
    }
}

fn public_config(transport: Transport, limits: PublicLimits) -> ServerConfigBuilder {
    let PublicLimits {
        body_bytes_max,
        response_bytes_max,
        batch_max,
        connections_max,
        subscriptions_max,
        // Those of the sockets.
        sockets_max: _,
        batch_bytes_max: _,
        batch_time_max: _,
        calls_max: _,
        unsent_bytes_max: _,
        all_unsent_bytes_max: _,
        idle_max: _,
        request_time_max: _,
        // Of the bodies.
        compresses: _,
    } = limits;
    let config = ServerConfig::builder()
        .max_request_body_size(body_bytes_max)
        .max_response_body_size(response_bytes_max)
        .max_connections(connections_max)
        .max_subscriptions_per_connection(subscriptions_max)
        .set_id_provider(RandomIds)
        .set_message_buffer_capacity(WAITING_ANSWERS_MAX)
        .set_batch_request_config(BatchRequestConfig::Limit(batch_max))
        .enable_ws_ping(PingConfig::default());
    match transport {
        Transport::Http => config.http_only(),
        Transport::WebSocket => config.ws_only(),
        Transport::Both => config,
    }
}

/// Lets the browser show answers to pages of these sites; `None` without any.
fn cors(origins: &[String]) -> Result<Option<CorsLayer>, ServerError> {
    if origins.is_empty() {
        return Ok(None);
    }
    let allowed = if origins.iter().any(|origin| origin == ANY) {
        AllowOrigin::any()
    } else {
        let values = origins.iter().map(|origin| {
            // Browsers name them in lower case.
            match HeaderValue::from_str(&origin.to_ascii_lowercase()) {
                Ok(value) if origin.contains("://") => Ok(value),
                _ => Err(ServerError::Origin(origin.clone())),
            }
        });
        AllowOrigin::list(values.collect::<Result<Vec<_>, _>>()?)
    };
    let layer = CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods([Method::POST, Method::GET])
        // Libraries send headers of their own, and none is acted on that would need care.
        .allow_headers(AllowHeaders::mirror_request())
        .max_age(CORS_AGE_MAX);
    Ok(Some(layer))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jsonrpsee::RpcModule;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    const FLAG: &str = "--test.port";
    /// Longest that a server may take to stop where nothing is under way: many times what it takes,
    /// and less than the 30 s after which a connection without a request ends by itself.
    const HANG: Duration = Duration::from_secs(20);

    fn anywhere() -> Listen {
        Listen { address: SocketAddr::from(([127, 0, 0, 1], 0)), flag: FLAG }
    }

    fn options(listen: Listen) -> EngineServerOptions {
        EngineServerOptions { listen, secret: JwtSecret::new([7; 32]), vhosts: Vec::new() }
    }

    #[tokio::test]
    async fn a_taken_port_is_an_error_that_names_address_and_option() {
        let first = start_engine_server(options(anywhere()), RpcModule::new(())).await.unwrap();
        let listen = Listen { address: first.local_addr(), flag: FLAG };
        let error = start_engine_server(options(listen), RpcModule::new(())).await.unwrap_err();
        let message = error.to_string();
        assert!(message.contains(&first.local_addr().to_string()), "{message}");
        assert!(message.contains(FLAG), "{message}");
        first.stop().await;
    }

    #[tokio::test]
    async fn a_public_server_starts_with_each_transport_and_stops() {
        for transport in [Transport::Http, Transport::WebSocket, Transport::Both] {
            let options = PublicServerOptions {
                listen: anywhere(),
                transport,
                vhosts: vec!["localhost".to_owned()],
                origins: vec!["https://app.example".to_owned()],
                ws_origins: Vec::new(),
                limits: PUBLIC_LIMITS,
            };
            let server = start_public_server(options, RpcModule::new(())).await.unwrap();
            assert_ne!(server.local_addr().port(), 0);
            // Whatever the transport, load balancers see that it is there.
            let mut stream = TcpStream::connect(server.local_addr()).await.unwrap();
            stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
            let mut answer = [0; 12];
            stream.read_exact(&mut answer).await.unwrap();
            assert_eq!(&answer, b"HTTP/1.1 200");
            drop(stream);
            server.stop().await;
        }
    }

    #[tokio::test]
    async fn a_server_that_stops_ends_connections_that_ask_for_nothing() {
        let server = start_engine_server(options(anywhere()), RpcModule::new(())).await.unwrap();
        let silent = TcpStream::connect(server.local_addr()).await.unwrap();
        let mut kept = TcpStream::connect(server.local_addr()).await.unwrap();
        kept.write_all(b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n").await.unwrap();
        let mut answer = [0; 12];
        kept.read_exact(&mut answer).await.unwrap();
        // The second one is answered, so both were accepted.
        assert_eq!(&answer, b"HTTP/1.1 401");
        assert!(server.stop_within(HANG).await, "connections had to be dropped");
        drop((silent, kept));
    }

    #[test]
    fn an_origin_is_a_scheme_and_a_host() {
        assert!(cors(&[]).unwrap().is_none());
        assert!(cors(&["*".to_owned()]).unwrap().is_some());
        assert!(cors(&["https://app.example".to_owned()]).unwrap().is_some());
        for bad in ["app.example", "", "https://a\n"] {
            assert!(matches!(cors(&[bad.to_owned()]), Err(ServerError::Origin(_))), "{bad:?}");
        }
    }
}
