//! The servers of a node: for the consensus client, for everybody, and for programs of this
//! machine.

use super::{
    Runtimes, observe,
    options::{Api, Options},
};
use crate::{UsageError, datadir::usage};
use fugue_chain::Engine;
use fugue_rpc::{
    ClientVersion, DevChain, ENGINE_SOCKETS_MAX, EngineServerOptions, EthLimits, Listen,
    ListenSocket, PublicApi, PublicServerOptions, RpcModule, RunningIpc, RunningServer, Transport,
    start_engine_server, start_ipc_server, start_public_server,
};
use std::{path::Path, sync::Arc};
use tokio::task::JoinSet;
use tracing::info;

/// Servers that run.
pub(super) struct Servers {
    engine: RunningServer,
    public: Vec<RunningServer>,
    ipc: Option<RunningIpc>,
}

impl Servers {
    /// Starts them.
    ///
    /// # Errors
    /// If the secret is none, a folder cannot be made, or an address cannot be listened at. Then
    /// none is left running.
    pub(super) fn start(
        options: &Options,
        datadir: &Path,
        runtimes: &Runtimes,
        engine: &Engine,
        dev: Option<Arc<dyn DevChain>>,
    ) -> Result<Self, UsageError> {
        let server = EngineServerOptions {
            listen: Listen {
                address: (options.authrpc.addr, options.authrpc.port).into(),
                flag: "--authrpc.port",
            },
            secret: options.secret(datadir)?,
            vhosts: options.authrpc.vhosts.clone(),
        };
        let limits = limits(options);
        let folder = std::path::absolute(datadir).map_err(usage)?;
        // One for all: what they may do at a time holds for all of them together.
        let shared = PublicApi::new(engine.clone(), limits).with_datadir(&folder);
        let shared = match options.rpc.trace_folder() {
            Some(path) => shared.with_trace_files(path).map_err(|error| {
                UsageError(format!("--rpc.trace-files {}: {error}", path.display()))
            })?,
            None => shared,
        };
        let shared = match dev {
            Some(dev) => shared.with_dev(dev),
            None => shared,
        };
        let methods = fugue_rpc::engine_module(engine.clone(), client(), limits).map_err(usage)?;
        let started = start_engine_server(server, methods);
        let authenticated = runtimes.engine.block_on(started).map_err(usage)?;
        info!(address = %authenticated.local_addr(), "Engine API");
        let mut servers = Self { engine: authenticated, public: Vec::new(), ipc: None };
        match servers.open(options, datadir, runtimes, &shared) {
            Ok(()) => Ok(servers),
            Err(error) => {
                servers.stop(runtimes);
                Err(error)
            }
        }
    }

    /// Starts all but the one for the consensus client.
    fn open(
        &mut self,
        options: &Options,
        datadir: &Path,
        runtimes: &Runtimes,
        shared: &PublicApi,
    ) -> Result<(), UsageError> {
        // Whoever reaches HTTP or WebSocket is a stranger; with --dev it is the operator.
        let are_strangers_local = options.dev.is_on && !options.txpool.no_locals;
        for (server, apis, what) in public(options) {
            let methods = methods(shared, apis, are_strangers_local)?;
            let is_both = matches!(server.transport, Transport::Both);
            let started = start_public_server(server, methods);
            let server = runtimes.rpc.block_on(started).map_err(usage)?;
            info!(address = %server.local_addr(), "{what}");
            if is_both {
                info!(address = %server.local_addr(), "WebSocket");
            }
            self.public.push(server);
        }
        if let Some(path) = options.socket_path(datadir) {
            let methods = methods(shared, Api::ALL, !options.txpool.no_locals)?;
            let socket = ListenSocket { path, flag: "--ipcpath" };
            let started = start_ipc_server(socket, options.rpc.ipc(), methods);
            let server = runtimes.rpc.block_on(started).map_err(usage)?;
            info!(path = %server.path().display(), "IPC");
            self.ipc = Some(server);
        }
        Ok(())
    }

    /// Answers what was asked, and ends; each server waits for a few seconds at most.
    pub(super) fn stop(self, runtimes: &Runtimes) {
        let Self { engine, public, ipc } = self;
        runtimes.engine.block_on(engine.stop());
        runtimes.rpc.block_on(async {
            let mut stopping = JoinSet::new();
            for server in public {
                stopping.spawn(server.stop());
            }
            while stopping.join_next().await.is_some() {}
            if let Some(server) = ipc {
                server.stop().await;
            }
        });
    }
}

/// Sockets of all servers together, that of metrics among them, at most.
pub(super) fn sockets_max(options: &Options) -> usize {
    let public = public(options).into_iter().map(|(server, ..)| server.limits.sockets_max);
    let ipc = if options.ipc.is_off { 0 } else { options.rpc.ipc().connections_max };
    let metrics = options.metrics.map_or(0, |_| observe::CONNECTIONS_MAX);
    ENGINE_SOCKETS_MAX + public.sum::<usize>() + ipc + metrics
}

/// The public servers: one where HTTP and WebSocket have the same address.
fn public(options: &Options) -> Vec<(PublicServerOptions, &[Api], &'static str)> {
    let Options { http, ws, rpc, .. } = options;
    let limits = rpc.servers(!http.disable_compression);
    let mut http_server = http.is_on.then(|| PublicServerOptions {
        listen: Listen { address: (http.addr, http.port).into(), flag: "--http.port" },
        transport: Transport::Http,
        vhosts: http.vhosts.clone(),
        origins: http.corsdomain.clone(),
        ws_origins: Vec::new(),
        limits,
    });
    let mut ws_server = ws.is_on.then(|| PublicServerOptions {
        listen: Listen { address: (ws.addr, ws.port).into(), flag: "--ws.port" },
        transport: Transport::WebSocket,
        vhosts: http.vhosts.clone(),
        origins: Vec::new(),
        ws_origins: ws.origins.clone(),
        limits,
    });
    if options.is_one_server()
        && let (Some(server), Some(other)) = (&mut http_server, ws_server.take())
    {
        server.transport = Transport::Both;
        server.ws_origins = other.ws_origins;
    }
    let http_server = http_server.map(|server| (server, http.api.as_slice(), "HTTP"));
    let ws_server = ws_server.map(|server| (server, ws.api.as_slice(), "WebSocket"));
    http_server.into_iter().chain(ws_server).collect()
}

/// The methods of these groups.
fn methods(
    shared: &PublicApi,
    apis: &[Api],
    are_sent_local: bool,
) -> Result<RpcModule<()>, UsageError> {
    let apis: Vec<String> = apis.iter().map(|api| api.name().to_owned()).collect();
    shared.module(&apis, are_sent_local).map_err(usage)
}

/// Who reaches the port of the consensus client knows the secret: what they send is local.
fn limits(options: &Options) -> EthLimits {
    options.rpc.limits(!options.txpool.no_locals)
}

/// What the consensus client is told of this program.
fn client() -> ClientVersion {
    ClientVersion {
        code: "FU".to_owned(),
        name: "Fugue".to_owned(),
        version: format!("v{}", env!("CARGO_PKG_VERSION")),
        commit: format!("0x{}", env!("FUGUE_COMMIT")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::files;
    use clap::Parser;

    /// Files that a process may usually have open where nobody has said anything.
    const FILES_USUAL: u64 = 1_024;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        options: Options,
    }

    fn options(arguments: &[&str]) -> Options {
        Cli::parse_from([&["node"][..], arguments].concat()).options
    }

    fn sockets(arguments: &[&str]) -> usize {
        sockets_max(&options(arguments))
    }

    #[test]
    fn sites_that_may_open_a_websocket_may_not_therefore_read_answers_over_http() {
        let flags = ["--http", "--http.corsdomain", "https://a.example"];
        let more = ["--ws", "--ws.origins", "https://b.example", "--ws.port"];
        let [http, ws] = ["https://a.example", "https://b.example"].map(|site| [site.to_owned()]);
        let one = options(&[&flags[..], &more, &["8545"]].concat());
        let one = public(&one);
        assert_eq!(one.len(), 1);
        assert_eq!((&one[0].0.origins[..], &one[0].0.ws_origins[..]), (&http[..], &ws[..]));
        let two = options(&[&flags[..], &more, &["8546"]].concat());
        let two = public(&two);
        assert_eq!(two.len(), 2);
        assert_eq!((&two[0].0.origins[..], two[0].0.ws_origins.len()), (&http[..], 0));
        assert_eq!((two[1].0.origins.len(), &two[1].0.ws_origins[..]), (0, &ws[..]));
    }

    #[test]
    fn all_servers_together_take_fewer_files_than_a_process_usually_may_have() {
        assert_eq!(sockets(&["--ipcdisable"]), ENGINE_SOCKETS_MAX);
        let one = sockets(&["--http", "--ws", "--ws.port", "8545"]);
        assert_eq!(one, sockets(&["--http"]));
        let all = sockets(&["--http", "--ws", "--metrics", "127.0.0.1:9001"]);
        assert!(all > one && files::needed(all) <= FILES_USUAL, "{all}");
    }
}
