//! HTTP, WebSocket and IPC, authentication, wire types, and all methods.
//!
//! ```text
//! consensus layer -> server: JWT, host -> engine methods, some of eth  -> the engine's queue
//! everyone        -> server: host, CORS -> groups of public methods     -> a view of the chain
//! this machine    -> IPC                -> all groups of public methods -> a view of the chain
//! ```
//! What goes over the wire is decided here: what is below gives values, of traces their published
//! types. Nobody but this crate and the node knows the runtime.

mod auth;
mod bodies;
mod dev;
mod engine;
mod explained;
mod flow;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod guard;
mod hosts;
mod ids;
mod ipc;
mod module;
mod named;
mod own;
mod public;
mod sent;
mod server;
mod socket;
mod stream;

pub use auth::{JwtSecret, SecretError};
pub use dev::{
    DevAncestor, DevBlocks, DevChain, DevError, DevInterval, DevSetting, DevStatus, Impersonation,
};
pub use engine::ClientVersion;
pub use explained::{explanation_of, run_of};
pub use ipc::{IPC_LIMITS, IpcLimits, ListenSocket, RunningIpc, start_ipc_server};
pub use jsonrpsee::RpcModule;
pub use module::{ModuleError, PublicApi, engine_module, public_module};
pub use public::Limits as EthLimits;
pub use server::{
    ENGINE_BATCH_MAX, ENGINE_BODY_BYTES_MAX, ENGINE_CONNECTIONS_MAX, ENGINE_RESPONSE_BYTES_MAX,
    ENGINE_SOCKETS_MAX, EngineServerOptions, Listen, PUBLIC_LIMITS, PublicLimits,
    PublicServerOptions, RunningServer, ServerError, Transport, start_engine_server,
    start_public_server,
};
