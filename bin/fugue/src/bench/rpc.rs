//! `fugue bench rpc`: requests per second and times of public methods, alone and while blocks are
//! imported, and what that does to `engine_newPayload`.
//!
//! The node is this program in a process of its own, with all its servers: what is timed goes over
//! HTTP, with the priorities and bounds of a node. Blocks come over its Engine API:
//!
//! | step | blocks | measured |
//! | --- | --- | --- |
//! | history | one after the other | nothing |
//! | idle | at a steady rate | `newPayload` |
//! | each kind of request, alone | none, for as long as the others take | requests |
//! | the same, beside imports | at a steady rate | both |
//!
//! Where the contracts of Uniswap are there, the chain deploys them, swaps go to their pools, and
//! quotes are theirs; else both are those of our own exchange.
//!
//! Each connection asks again as soon as it is answered. Those who ask are threads of this process
//! with the lowest priority: they stand for other machines, whose processors are not the node's.

mod load;
mod node;
mod report;
mod requests;

use super::{contracts, folder::Folder, show, spread::Spread, workload::Workload};
use crate::{
    UsageError, Verdict,
    cli::Threads,
    client::{
        self, EngineClient,
        payload::{self, Beside, Versions},
    },
    datadir::{AddressIndex, Datadir, usage},
    progress::Progress,
};
use fugue_chainspec::ChainSpec;
use fugue_executor::Mode;
use fugue_rpc::JwtSecret;
use fugue_types::{B256, Requests, SealedBlock};
use fugue_workload::{Market, MarketSize};
use load::{Asked, Loader};
use node::{NodeProcess, NodeSettings};
use report::Report;
use requests::{Kind, Targets};
use serde_json::{Value, json};
use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

/// Most transactions of a block.
const TXS_MAX: i64 = 20_000;
/// Most blocks before those that are measured.
const HISTORY_MAX: i64 = 100_000;
/// Most blocks of a step, and the longest time from one to the next.
const PAYLOADS_MAX: i64 = 1_000;
const INTERVAL_MS_MAX: u64 = 60_000;
/// Most connections, which each have a place among the sockets of the node.
const CONNECTIONS_MAX: i64 = 200;

/// Options of `fugue bench rpc`.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Accounts of the generated chain, at least 16
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    accounts: u32,
    /// Transactions of a block
    #[arg(long, value_name = "T", default_value_t = 200,
          value_parser = clap::value_parser!(u32).range(1..=TXS_MAX))]
    txs: u32,
    /// Blocks before those that are measured, which requests ask for
    #[arg(long, value_name = "M", default_value_t = 1_000,
          value_parser = clap::value_parser!(u32).range(1..=HISTORY_MAX))]
    blocks: u32,
    /// Blocks that are imported while requests of one kind are measured
    #[arg(long, value_name = "P", default_value_t = 20,
          value_parser = clap::value_parser!(u32).range(1..=PAYLOADS_MAX))]
    payloads: u32,
    /// Milliseconds from one of these blocks to the next
    #[arg(long, value_name = "MS", default_value_t = 250,
          value_parser = clap::value_parser!(u64).range(1..=INTERVAL_MS_MAX))]
    interval: u64,
    /// Connections that ask at the same time
    #[arg(long, value_name = "C", default_value_t = 8,
          value_parser = clap::value_parser!(u32).range(1..=CONNECTIONS_MAX))]
    connections: u32,
    /// The same seed generates the same chain
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Folder with the compiled contracts of Uniswap [default: ../shared/data/contracts/npm, if it
    /// is there]
    #[arg(long, value_name = "DIR")]
    contracts: Option<PathBuf>,
    /// How the node executes: seq, occ, bal, lanes or auto
    #[arg(long, value_name = "MODE", default_value_t = Mode::Auto)]
    mode: Mode,
    #[command(flatten)]
    threads: Threads,
    /// Where a folder is made for the time of the bench [default: among temporary files]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Write one JSON object to this file, or to standard output with "-"
    #[arg(long, value_name = "PATH|-")]
    json: Option<PathBuf>,
}

/// Requests of one kind, and the payloads beside them.
#[derive(Debug)]
struct Run {
    kind: Kind,
    alone: Asked,
    beside: Asked,
    /// Of `newPayload` meanwhile.
    new_payload: Spread,
}

/// What was measured.
#[derive(Debug)]
struct Measured {
    /// Of `newPayload` without requests.
    idle: Spread,
    runs: Vec<Run>,
    /// Kinds that were not asked for, and why.
    skipped: Vec<(Kind, String)>,
    /// The last block that was sent is the head of the node.
    is_at_head: bool,
}

/// Runs the command.
pub(super) fn run(options: &Options) -> Result<Verdict, UsageError> {
    let threads = options.threads.count();
    let folder = Folder::create(options.dir.as_deref())?;
    let size = MarketSize::new(options.accounts as usize, options.txs as usize);
    let market = match contracts::uniswap(options.contracts.as_deref())? {
        Some(codes) => Market::with_uniswap(options.seed, &size, &codes),
        None => Market::new(options.seed, &size),
    };
    let targets = Targets::new(&market);
    let kinds = targets.kinds();
    let (history, payloads) = (options.blocks as usize, options.payloads as usize);
    let history = market.setup_blocks() + history;
    let blocks = history + payloads * (1 + kinds.len());
    let workload = Workload::of_market(market, blocks, threads, &folder)?;
    let datadir = Datadir { datadir: folder.path().join("node") };
    let spec = begin(&workload, &datadir)?;
    let path = folder.path().join("jwt.hex");
    let secret = JwtSecret::load_or_create(&path).map_err(usage)?;
    let settings =
        NodeSettings { datadir: &datadir.datadir, secret: &path, mode: options.mode, threads };
    let node = NodeProcess::start(&settings)?;
    let client = EngineClient::new(client::runtime_of_caller()?, node.engine(), secret)?;
    let bench = Bench {
        loader: Loader::new(node.public(), options.connections as usize)?,
        payloads,
        interval: Duration::from_millis(options.interval),
        sender: Sender { spec, client, blocks: Box::new(workload.blocks()), head: B256::ZERO },
    };
    let measured = bench.measure(targets, &kinds, history)?;
    node.stop()?;
    let folder = folder.path();
    let report = Report { options, workload: &workload, threads, folder, kinds: &kinds, measured };
    show(options.json.as_deref(), &report.to_json(), &report)?;
    Ok(if report.is_good() { Verdict::Good } else { Verdict::Differs })
}

/// Begins the chain of the node; gives its rules. The state of its genesis is gone then.
fn begin(workload: &Workload, datadir: &Datadir) -> Result<ChainSpec, UsageError> {
    let genesis = workload.genesis()?;
    eprintln!("beginning a chain with {} accounts", genesis.state.accounts.len());
    drop(datadir.open_or_init(&genesis, 1, AddressIndex::Kept)?);
    Ok(genesis.chain)
}

/// A node that runs, and who calls it.
struct Bench<'w> {
    loader: Loader,
    payloads: usize,
    interval: Duration,
    sender: Sender<'w>,
}

impl Bench<'_> {
    fn measure(
        mut self,
        mut targets: Targets,
        kinds: &[Kind],
        history: usize,
    ) -> Result<Measured, UsageError> {
        let progress = Progress::new("blocks sent", history);
        for _ in 0..history {
            let call = self.sender.next_call()?;
            self.sender.send(&call)?;
            targets.add(call.block.block());
            progress.step(&call.block.block().header.number.to_string());
        }
        progress.finish();
        let targets = Arc::new(targets);

        eprintln!("engine_newPayload without requests");
        let idle = self.sender.send_steadily(self.payloads, self.interval)?;
        let (mut runs, mut skipped) = (Vec::new(), Vec::new());
        for kind in kinds.iter().copied() {
            if let Some(reason) = self.loader.probe(kind, &targets)? {
                skipped.push((kind, reason));
                continue;
            }
            eprintln!("{}", kind.name());
            let load = self.loader.begin(kind, &targets);
            std::thread::sleep(self.interval * self.payloads as u32);
            let alone = load.end()?;
            let load = self.loader.begin(kind, &targets);
            let new_payload = self.sender.send_steadily(self.payloads, self.interval)?;
            let beside = load.end()?;
            runs.push(Run { kind, alone, beside, new_payload });
        }
        Ok(Measured { idle, runs, skipped, is_at_head: self.sender.is_at_head()? })
    }
}

/// The consensus client, and the blocks that are not sent yet.
struct Sender<'w> {
    spec: ChainSpec,
    client: EngineClient,
    blocks: Box<dyn Iterator<Item = Result<SealedBlock, UsageError>> + 'w>,
    /// Hash of the block that was sent last.
    head: B256,
}

/// A block as it is sent.
struct Call {
    block: SealedBlock,
    versions: Versions,
    params: Value,
}

impl Sender<'_> {
    fn next_call(&mut self) -> Result<Call, UsageError> {
        let block = self.blocks.next();
        let block = block.unwrap_or_else(|| Err(usage("there are too few blocks: a defect")))?;
        let header = &block.block().header;
        let versions = Versions::of(&self.spec.rules_at(header.number, header.timestamp));
        // Nobody asks for anything in a generated block.
        let beside = Beside { requests: Some(Requests::default()), access_list: None };
        let params = payload::new_payload(&block, versions.new_payload, &beside);
        let params =
            params.ok_or_else(|| UsageError(format!("block {} is no payload", block.hash())))?;
        Ok(Call { block, versions, params })
    }

    /// Sends a block, and makes it the head; gives how long the first of that took.
    fn send(&mut self, call: &Call) -> Result<Duration, UsageError> {
        let Call { block, versions, params } = call;
        let hash = block.hash();
        let params = client::raw(params).map_err(usage)?;
        self.client.refresh()?;
        let started = Instant::now();
        let status = self.client.new_payload(versions.new_payload, params).map_err(usage)?;
        let time = started.elapsed();
        if !status.is_valid(hash) {
            return Err(UsageError(format!("block {hash}: newPayload answers {status:?}")));
        }
        let followed = self.client.forkchoice(versions.forkchoice, hash, None).map_err(usage)?;
        if !followed.payload_status.is_valid(hash) {
            return Err(UsageError(format!("block {hash}: forkchoice answers {followed:?}")));
        }
        self.head = hash;
        Ok(time)
    }

    /// Sends the next blocks, each at its time; gives how long `newPayload` took.
    fn send_steadily(&mut self, count: usize, interval: Duration) -> Result<Spread, UsageError> {
        let mut times = Vec::with_capacity(count);
        let mut due = Instant::now();
        for _ in 0..count {
            let call = self.next_call()?;
            due += interval;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            times.push(self.send(&call)?);
        }
        Ok(Spread::of(&times))
    }

    fn is_at_head(&mut self) -> Result<bool, UsageError> {
        let params = client::raw(&json!(["latest", false])).map_err(usage)?;
        let block: Value = self.client.call("eth_getBlockByNumber", params).map_err(usage)?;
        Ok(block["hash"] == json!(self.head))
    }
}
