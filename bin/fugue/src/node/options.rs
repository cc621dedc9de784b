//! The flags of `fugue node`, under the names that operators know, and what is wrong with them
//! before anything is started.
//!
//! Each flag is also a variable of the environment and a key of the settings file: see `config`.

mod rpc;

use crate::{
    UsageError,
    cli::Threads,
    datadir::{genesis, usage},
};
use clap::ValueEnum;
use fugue_chain::Retention;
use fugue_executor::Mode;
use fugue_rpc::JwtSecret;
use fugue_txpool::PoolOptions;
use fugue_types::Bytes;
use rpc::Rpc;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
};
use tracing_subscriber::{EnvFilter, filter::LevelFilter};

/// Name of the secret file in the data folder, where `--authrpc.jwtsecret` names no other.
const SECRET: &str = "jwt.hex";
/// Name of the socket in the data folder, where `--ipcpath` names no other.
const SOCKET: &str = "fugue.ipc";
/// Longest path of a socket, in bytes. Source: unix(7).
const SOCKET_PATH_BYTES_MAX: usize = 107;
/// Bytes of extra data that a header may have.
const EXTRA_DATA_BYTES_MAX: usize = 32;

/// Options of `fugue node`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// TOML file of settings; flags and the environment come before it
    #[arg(id = "config", long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// mainnet, sepolia, hoodi, holesky, or a genesis file in geth's format; not needed if the data
    /// folder has a chain
    #[arg(long, value_name = "CHAIN")]
    pub(super) chain: Option<String>,
    /// Folder of the node's data; needed but with --dev, which then keeps nothing
    #[arg(long, value_name = "DIR")]
    pub(super) datadir: Option<PathBuf>,
    /// How to execute: seq, occ, bal, lanes or auto
    #[arg(long, value_name = "MODE", default_value_t = Mode::Auto)]
    pub(super) mode: Mode,
    #[command(flatten)]
    pub(super) threads: Threads,
    /// What of the past to keep: archive, full[:BLOCKS] or minimal[:BLOCKS]
    #[arg(long, value_name = "KEEP", default_value_t = Retention::Archive)]
    pub(super) retention: Retention,
    /// Begin the chain with an index of addresses, which methods need that list accounts or search
    /// for the transactions of an address; with --dev a chain begins with it anyway
    #[arg(long)]
    pub(super) index_addresses: bool,
    /// Serve metrics for Prometheus, /health and /ready at this address
    #[arg(long, value_name = "ADDR:PORT")]
    pub(super) metrics: Option<SocketAddr>,
    #[command(flatten, next_help_heading = "Engine API")]
    pub(super) authrpc: Authrpc,
    #[command(flatten, next_help_heading = "HTTP")]
    pub(super) http: Http,
    #[command(flatten, next_help_heading = "WebSocket")]
    pub(super) ws: Ws,
    #[command(flatten, next_help_heading = "Bounds of HTTP and WebSocket")]
    pub(super) rpc: Rpc,
    #[command(flatten, next_help_heading = "IPC")]
    pub(super) ipc: Ipc,
    #[command(flatten, next_help_heading = "Transaction pool")]
    pub(super) txpool: Txpool,
    #[command(flatten, next_help_heading = "Building payloads")]
    pub(super) builder: Builder,
    #[command(flatten, next_help_heading = "Without a consensus client")]
    pub(super) dev: Dev,
    #[command(flatten, next_help_heading = "Log")]
    pub(super) log: Log,
}

/// `--authrpc.*`: where a consensus client connects.
#[derive(Debug, clap::Args)]
pub(super) struct Authrpc {
    /// Address that the Engine API listens at
    #[arg(id = "authrpc.addr", long, value_name = "ADDR", default_value = "127.0.0.1")]
    pub(super) addr: IpAddr,
    /// Port of the Engine API; 0 takes a free one
    #[arg(id = "authrpc.port", long, value_name = "PORT", default_value_t = 8551)]
    pub(super) port: u16,
    /// File of the secret that is shared with the consensus client, 64 hexadecimal digits
    /// [default: jwt.hex in the data folder, made if it is not there]
    #[arg(id = "authrpc.jwtsecret", long, value_name = "FILE")]
    pub(super) jwtsecret: Option<PathBuf>,
    /// Host names that requests may name; * allows all
    #[arg(
        id = "authrpc.vhosts",
        long,
        value_name = "HOSTS",
        value_delimiter = ',',
        default_value = "localhost"
    )]
    pub(super) vhosts: Vec<String>,
}

/// A group of methods that a public server has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(super) enum Api {
    /// Blocks, state, transactions.
    Eth,
    /// The network.
    Net,
    /// The client.
    Web3,
    /// The pool of transactions.
    Txpool,
    /// What the chain has in its own encoding, and traces as go-ethereum has them.
    Debug,
    /// The node.
    Admin,
    /// Blocks of transactions that the caller names.
    Testing,
    /// Traces as OpenEthereum had them.
    Trace,
    /// What the explorer Otterscan asks for.
    Ots,
    /// What is Fugue's own.
    Fugue,
}

impl Api {
    /// All of them.
    pub(super) const ALL: &[Self] = &[
        Self::Eth,
        Self::Net,
        Self::Web3,
        Self::Txpool,
        Self::Debug,
        Self::Admin,
        Self::Testing,
        Self::Trace,
        Self::Ots,
        Self::Fugue,
    ];

    /// What its methods begin with.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Eth => "eth",
            Self::Net => "net",
            Self::Web3 => "web3",
            Self::Txpool => "txpool",
            Self::Debug => "debug",
            Self::Admin => "admin",
            Self::Testing => "testing",
            Self::Trace => "trace",
            Self::Ots => "ots",
            Self::Fugue => "fugue",
        }
    }
}

/// `--http.*`: the public server.
#[derive(Debug, clap::Args)]
pub(super) struct Http {
    /// Serve JSON-RPC over HTTP
    #[arg(id = "http", long)]
    pub(super) is_on: bool,
    /// Address that it listens at
    #[arg(id = "http.addr", long, value_name = "ADDR", default_value = "127.0.0.1")]
    pub(super) addr: IpAddr,
    /// Its port; 0 takes a free one
    #[arg(id = "http.port", long, value_name = "PORT", default_value_t = 8545)]
    pub(super) port: u16,
    /// Groups of methods that it has
    #[arg(
        id = "http.api",
        long,
        value_name = "APIS",
        value_delimiter = ',',
        default_value = "eth,net,web3"
    )]
    pub(super) api: Vec<Api>,
    /// Origins from which a browser may ask, as scheme://host:port; * allows all
    #[arg(id = "http.corsdomain", long, value_name = "ORIGINS", value_delimiter = ',')]
    pub(super) corsdomain: Vec<String>,
    /// Host names that requests may name, also those of WebSocket; * allows all
    #[arg(
        id = "http.vhosts",
        long,
        value_name = "HOSTS",
        value_delimiter = ',',
        default_value = "localhost"
    )]
    pub(super) vhosts: Vec<String>,
    /// Send answers as they are, also to callers that accept them compressed
    #[arg(id = "http.disable-compression", long)]
    pub(super) disable_compression: bool,
}

/// `--ws.*`: the public server of subscriptions.
#[derive(Debug, clap::Args)]
pub(super) struct Ws {
    /// Serve JSON-RPC over WebSocket
    #[arg(id = "ws", long)]
    pub(super) is_on: bool,
    /// Address that it listens at
    #[arg(id = "ws.addr", long, value_name = "ADDR", default_value = "127.0.0.1")]
    pub(super) addr: IpAddr,
    /// Its port; 0 takes a free one
    #[arg(id = "ws.port", long, value_name = "PORT", default_value_t = 8546)]
    pub(super) port: u16,
    /// Groups of methods that it has
    #[arg(
        id = "ws.api",
        long,
        value_name = "APIS",
        value_delimiter = ',',
        default_value = "eth,net,web3"
    )]
    pub(super) api: Vec<Api>,
    /// Origins from which a browser may connect, as scheme://host, or scheme://host:port for that
    /// port alone; * allows all [default: http://localhost,http://127.0.0.1]
    #[arg(id = "ws.origins", long, value_name = "ORIGINS", value_delimiter = ',')]
    pub(super) origins: Vec<String>,
}

/// `--ipc*`: the socket for programs of this machine.
#[derive(Debug, clap::Args)]
pub(super) struct Ipc {
    /// Path of the socket [default: fugue.ipc in the data folder]
    #[arg(id = "ipcpath", long, value_name = "PATH")]
    pub(super) path: Option<PathBuf>,
    /// Serve no socket
    #[arg(id = "ipcdisable", long)]
    pub(super) is_off: bool,
}

/// `--txpool.*`: what the pool holds.
#[derive(Debug, clap::Args)]
pub(super) struct Txpool {
    /// MiB of transactions that could be in the next block
    #[arg(id = "txpool.pending-size", long, value_name = "MIB", default_value_t = 64,
          value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub(super) pending_mib: u32,
    /// MiB of transactions that wait for another, or for a balance
    #[arg(id = "txpool.queued-size", long, value_name = "MIB", default_value_t = 16,
          value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub(super) queued_mib: u32,
    /// MiB of blob transactions, with their blobs
    #[arg(id = "txpool.blob-size", long, value_name = "MIB", default_value_t = 256,
          value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub(super) blob_mib: u32,
    /// Transactions of one sender
    #[arg(id = "txpool.accountslots", long, value_name = "COUNT", default_value_t = 64,
          value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub(super) account_slots: u32,
    /// Blob transactions of one sender
    #[arg(id = "txpool.blobslots", long, value_name = "COUNT", default_value_t = 16,
          value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub(super) blob_slots: u32,
    /// Percent of the fees that a replacement has to offer more
    #[arg(id = "txpool.pricebump", long, value_name = "PERCENT", default_value_t = 10,
          value_parser = clap::value_parser!(u64).range(..=10_000))]
    pub(super) price_bump: u64,
    /// The same for blob transactions
    #[arg(id = "txpool.blobpricebump", long, value_name = "PERCENT", default_value_t = 100,
          value_parser = clap::value_parser!(u64).range(..=10_000))]
    pub(super) blob_price_bump: u64,
    /// Least tip, in wei per gas; does not hold for local transactions
    #[arg(id = "txpool.pricelimit", long, value_name = "WEI", default_value_t = 1)]
    pub(super) price_limit: u64,
    /// Treat transactions of this node's own users as all others
    #[arg(id = "txpool.nolocals", long)]
    pub(super) no_locals: bool,
}

impl Txpool {
    /// As the pool is told.
    pub(super) fn options(&self) -> PoolOptions {
        let bytes = |mib: u32| (mib as usize) << 20;
        PoolOptions {
            pending_bytes_max: bytes(self.pending_mib),
            queued_bytes_max: bytes(self.queued_mib),
            blob_bytes_max: bytes(self.blob_mib),
            sender_txs_max: self.account_slots as usize,
            sender_blob_txs_max: self.blob_slots as usize,
            price_bump_percent: self.price_bump,
            blob_price_bump_percent: self.blob_price_bump,
            tip_min: u128::from(self.price_limit),
            ..PoolOptions::default()
        }
    }
}

/// `--builder.*`: the blocks that this node proposes.
#[derive(Debug, clap::Args)]
pub(super) struct Builder {
    /// Gas limit to go towards; from Amsterdam on the consensus client names it
    #[arg(id = "builder.gaslimit", long, value_name = "GAS", default_value_t = 60_000_000,
          value_parser = clap::value_parser!(u64).range(5_000..=0x7fff_ffff_ffff_ffff))]
    pub(super) gas_limit: u64,
    /// What the header says besides, at most 32 bytes; 0x and hexadecimal digits, or text
    #[arg(id = "builder.extradata", long, value_name = "TEXT", default_value = "fugue",
          value_parser = extra_data)]
    pub(super) extra_data: Bytes,
    /// Milliseconds from one build of a payload to the next better one
    #[arg(id = "builder.interval", long, value_name = "MS", default_value_t = 500,
          value_parser = clap::value_parser!(u64).range(10..=60_000))]
    pub(super) interval_ms: u64,
}

/// `--dev*`: a chain of its own.
#[derive(Debug, clap::Args)]
pub(super) struct Dev {
    /// Make a chain with ten funded accounts, and its blocks; goes without --chain
    #[arg(id = "dev", long)]
    pub(super) is_on: bool,
    /// Seconds from one block to the next [default: a block when there is a transaction]
    #[arg(id = "dev.block-time", long, value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub(super) block_time: Option<u64>,
    /// Chain id [default: 1337]
    #[arg(id = "dev.chain-id", long, value_name = "ID",
          value_parser = clap::value_parser!(u64).range(1..=0x1f_ffff_ffff_ffff))]
    pub(super) chain_id: Option<u64>,
}

/// `--log.*`: what the node says on standard error.
#[derive(Debug, clap::Args)]
pub(super) struct Log {
    /// For people or for programs
    #[arg(id = "log.format", long, value_name = "FORMAT", default_value_t = LogFormat::Terminal)]
    pub(super) format: LogFormat,
    /// error, warn, info, debug or trace; also by part: info,fugue_rpc=debug
    #[arg(id = "log.level", long, value_name = "FILTER", default_value = "info",
          value_parser = log_filter)]
    pub(super) level: String,
}

/// Form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    /// Lines, with colours where a terminal shows them.
    Terminal,
    /// One JSON object in each line.
    Json,
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Terminal => "terminal",
            Self::Json => "json",
        })
    }
}

fn log_filter(text: &str) -> Result<String, String> {
    EnvFilter::try_new(text).map_err(|error| error.to_string())?;
    // A word that is no level would be the name of a part, and all others would say nothing.
    let mut words = text.split(',').filter(|word| !word.contains('='));
    let wrong = words.find(|word| word.parse::<LevelFilter>().is_err());
    match wrong.filter(|_| !text.contains('[')) {
        None => Ok(text.to_owned()),
        Some(word) => Err(format!("{word:?} is no level; a part is given one: fugue_rpc=debug")),
    }
}

fn extra_data(text: &str) -> Result<Bytes, String> {
    let bytes: Bytes = if text.starts_with("0x") {
        text.parse::<Bytes>().map_err(|error| error.to_string())?
    } else {
        text.as_bytes().to_vec().into()
    };
    if bytes.len() > EXTRA_DATA_BYTES_MAX {
        return Err(format!("{} bytes, at most {EXTRA_DATA_BYTES_MAX}", bytes.len()));
    }
    Ok(bytes)
}

impl Options {
    /// The secret of the Engine API; makes one if no file is named, and there is none.
    pub(super) fn secret(&self, datadir: &Path) -> Result<JwtSecret, UsageError> {
        let secret = match &self.authrpc.jwtsecret {
            Some(path) => JwtSecret::load(path),
            None => JwtSecret::load_or_create(&datadir.join(SECRET)),
        };
        secret.map_err(usage)
    }

    /// The socket, if there is to be one.
    pub(super) fn socket_path(&self, datadir: &Path) -> Option<PathBuf> {
        (!self.ipc.is_off).then(|| self.ipc.path.clone().unwrap_or_else(|| datadir.join(SOCKET)))
    }

    /// Whether a node can be started so, as far as that can be told beforehand.
    ///
    /// # Errors
    /// All faults, one in each line.
    pub(crate) fn check(&self) -> Result<(), UsageError> {
        let mut faults = Vec::new();
        match (&self.datadir, &self.chain, self.dev.is_on) {
            (None, _, false) => {
                faults.push("--datadir: missing; only --dev goes without".to_owned());
            }
            (_, Some(_), true) => {
                faults.push("--chain: --dev makes a chain of its own".to_owned());
            }
            (_, Some(chain), false) => {
                faults.extend(genesis(chain).err().map(|UsageError(fault)| fault));
            }
            _ => {}
        }
        if self.dev.block_time.is_some() && !self.dev.is_on {
            faults.push("--dev.block-time: has a meaning only with --dev".to_owned());
        }
        if self.dev.chain_id.is_some() && !self.dev.is_on {
            faults.push("--dev.chain-id: has a meaning only with --dev".to_owned());
        }
        if let Some(datadir) = &self.datadir {
            if datadir.exists() && !datadir.is_dir() {
                faults.push(format!("--datadir {}: not a folder", datadir.display()));
            }
            faults.extend(self.socket_path(datadir).and_then(|path| socket_fault(&path)));
        }
        faults.extend(self.secret_fault());
        faults.extend(self.port_faults());
        faults.extend(origin_faults("--http.corsdomain", &self.http.corsdomain));
        faults.extend(origin_faults("--ws.origins", &self.ws.origins));
        faults.extend(self.rpc.faults());
        let groups = |apis: &[Api]| apis.iter().copied().collect::<BTreeSet<_>>();
        if self.is_one_server() && groups(&self.http.api) != groups(&self.ws.api) {
            faults.push("--ws.api: not as --http.api, though both have one address".to_owned());
        }
        if faults.is_empty() { Ok(()) } else { Err(UsageError(faults.join("\nerror: "))) }
    }

    /// The secret is there, or is made if `--authrpc.jwtsecret` names no file.
    fn secret_fault(&self) -> Option<String> {
        let named = self.authrpc.jwtsecret.as_deref();
        let default = self.datadir.as_ref().map(|datadir| datadir.join(SECRET));
        let path = named.or(default.as_deref().filter(|path| path.exists()))?;
        JwtSecret::load(path).err().map(|error| error.to_string())
    }

    /// Whether HTTP and WebSocket have one address, and so one server.
    pub(super) fn is_one_server(&self) -> bool {
        let Self { http, ws, .. } = self;
        let is_same = (http.addr, http.port) == (ws.addr, ws.port);
        http.is_on && ws.is_on && is_same && http.port != 0
    }

    /// The flags of ports that are to be listened at, with their addresses.
    fn listened(&self) -> Vec<(&'static str, SocketAddr)> {
        let Self { authrpc, http, ws, .. } = self;
        let mut listened: Vec<(&'static str, SocketAddr)> =
            vec![("--authrpc.port", (authrpc.addr, authrpc.port).into())];
        if http.is_on {
            listened.push(("--http.port", (http.addr, http.port).into()));
        }
        if ws.is_on && !self.is_one_server() {
            listened.push(("--ws.port", (ws.addr, ws.port).into()));
        }
        listened.extend(self.metrics.map(|address| ("--metrics", address)));
        listened
    }

    /// Two servers do not listen at one address, of which port 0 is none.
    fn port_faults(&self) -> Vec<String> {
        let mut by_port: BTreeMap<u16, Vec<(&str, IpAddr)>> = BTreeMap::new();
        let mut faults = Vec::new();
        for (flag, address) in self.listened().into_iter().filter(|(_, at)| at.port() != 0) {
            let others = by_port.entry(address.port()).or_default();
            let ip = address.ip();
            let meets = |other: &IpAddr| *other == ip || covers(ip, *other) || covers(*other, ip);
            if let Some((other, _)) = others.iter().find(|(_, other)| meets(other)) {
                faults.push(format!("{flag}: {address} is also that of {other}"));
            }
            others.push((flag, ip));
        }
        faults
    }
}

/// Whether who listens at `all` has every address of this kind: `[::]` takes IPv4 as well, unless
/// the system says otherwise, but `0.0.0.0` no IPv6.
const fn covers(all: IpAddr, one: IpAddr) -> bool {
    all.is_unspecified() && (all.is_ipv6() || one.is_ipv4())
}

/// What is wrong with the origins that a flag names.
fn origin_faults(flag: &str, origins: &[String]) -> Vec<String> {
    let wrong = origins.iter().filter(|origin| *origin != "*" && !is_origin(origin));
    let told = |origin: &String| {
        format!("{flag}: {origin:?} is no origin as https://app.example:8080, or *")
    };
    wrong.map(told).collect()
}

/// Whether this is an origin as a browser names one: a scheme, a host, and a port where it is not
/// that of the scheme. Source: RFC 6454, section 6.2.
fn is_origin(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    let (host, port) = match rest.rsplit_once(':') {
        // The colons of an IPv6 address stand in brackets.
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (rest, None),
    };
    let is_of = |text: &str, others: &[u8]| {
        let is_known = |byte: u8| byte.is_ascii_alphanumeric() || others.contains(&byte);
        !text.is_empty() && text.bytes().all(is_known)
    };
    let is_host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => is_of(host, b"-._"),
    };
    let is_port = |port: &str| !port.starts_with('+') && port.parse::<u16>().is_ok();
    is_of(scheme, b"+-.") && is_host && port.is_none_or(is_port)
}

/// What is wrong with the path of a socket.
fn socket_fault(path: &Path) -> Option<String> {
    let bytes = path.as_os_str().len();
    (bytes > SOCKET_PATH_BYTES_MAX).then(|| {
        let path = path.display();
        format!(
            "--ipcpath {path}: {bytes} bytes, but a socket's path has at most \
             {SOCKET_PATH_BYTES_MAX}; --ipcdisable goes without"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        options: Options,
    }

    fn options(arguments: &[&str]) -> Options {
        Cli::parse_from([&["node"][..], arguments].concat()).options
    }

    fn fault(arguments: &[&str]) -> String {
        options(arguments).check().expect_err("a fault").0
    }

    #[test]
    fn the_pool_is_as_it_is_by_itself_where_nothing_is_said() {
        assert_eq!(options(&[]).txpool.options(), PoolOptions::default());
    }

    #[test]
    fn servers_do_not_share_an_address() {
        let folder = ["--datadir", "nowhere", "--ipcdisable", "--http"];
        let with = |more: &[&'static str]| [&folder[..], more].concat();
        assert!(options(&with(&[])).check().is_ok());
        assert!(options(&with(&["--http.port", "0", "--authrpc.port", "0"])).check().is_ok());
        assert!(
            options(&with(&["--http.port", "8551", "--http.addr", "127.0.0.2"])).check().is_ok()
        );
        let told = "--http.port: 127.0.0.1:8551 is also that of --authrpc.port";
        assert_eq!(fault(&with(&["--http.port", "8551"])), told);
        assert!(options(&with(&["--ws", "--ws.port", "8545"])).check().is_ok());
        let told = fault(&with(&["--ws", "--ws.port", "8545", "--ws.api", "eth"]));
        assert_eq!(told, "--ws.api: not as --http.api, though both have one address");
        let same = ["--ws", "--ws.port", "8545", "--http.api", "eth,net", "--ws.api", "net,eth"];
        assert!(options(&with(&same)).check().is_ok());
        let told = "--metrics: 0.0.0.0:8545 is also that of --http.port";
        assert_eq!(fault(&with(&["--metrics", "0.0.0.0:8545"])), told);
        let told = "--metrics: [::]:8545 is also that of --http.port";
        assert_eq!(fault(&with(&["--metrics", "[::]:8545"])), told);
        for (http, metrics) in [("::1", "0.0.0.0:8545"), ("0.0.0.0", "[::1]:8545")] {
            let apart = with(&["--http.addr", http, "--metrics", metrics]);
            assert!(options(&apart).check().is_ok(), "{http} {metrics}");
        }
    }

    #[test]
    fn all_faults_are_told_at_once() {
        let told = fault(&["--dev.block-time", "2", "--authrpc.jwtsecret", "no/such/folder/jwt"]);
        let told: Vec<&str> = told.lines().collect();
        assert!(told[0].starts_with("--datadir: missing"), "{told:?}");
        assert!(told[1].contains("--dev.block-time: has a meaning only with --dev"), "{told:?}");
        assert!(told[2].contains("the JWT secret cannot be read"), "{told:?}");
        assert!(fault(&["--dev", "--chain", "mainnet"]).contains("a chain of its own"));
    }

    #[test]
    fn an_origin_is_a_scheme_a_host_and_perhaps_a_port() {
        for good in [
            "https://app.example",
            "http://localhost:3000",
            "http://127.0.0.1",
            "http://[::1]:8080",
            "http://[::1]",
            "chrome-extension://abcdef",
        ] {
            assert!(is_origin(good), "{good}");
        }
        for bad in [
            "",
            "null",
            "app.example",
            "https://",
            "://app.example",
            "https://app.example/",
            "https://app.example:",
            "https://app.example:65536",
            "https://*.example",
            "https://[::1",
            "https://a\n",
            "https://a b",
        ] {
            assert!(!is_origin(bad), "{bad:?}");
        }
        let folder = ["--datadir", "nowhere", "--ipcdisable"];
        let with = |more: &[&'static str]| [&folder[..], more].concat();
        assert!(options(&with(&["--http.corsdomain", "*", "--ws.origins", "*"])).check().is_ok());
        let told = fault(&with(&["--http.corsdomain", "https://a,b", "--ws.origins", "c"]));
        let told: Vec<&str> = told.lines().collect();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].starts_with("--http.corsdomain: \"b\" is no origin"), "{told:?}");
        assert!(told[1].contains("--ws.origins: \"c\" is no origin"), "{told:?}");
    }

    #[test]
    fn a_word_of_a_log_filter_is_a_level() {
        for good in ["info", "WARN", "off", "3", "info,fugue_rpc=debug", "[call{id=1}]=trace"] {
            assert_eq!(log_filter(good), Ok(good.to_owned()));
        }
        for bad in ["verbose", "warning", "info,fugue_rpc", "fugue_rpc=loud"] {
            assert!(log_filter(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn extra_data_is_text_or_hexadecimal_and_short() {
        assert_eq!(extra_data("fugue"), Ok(Bytes::from_static(b"fugue")));
        assert_eq!(extra_data("0x00ff"), Ok(Bytes::from_static(&[0, 255])));
        assert!(extra_data("0x0").is_err());
        assert!(extra_data(&"x".repeat(32)).is_ok());
        assert!(extra_data(&"x".repeat(33)).is_err());
    }
}
