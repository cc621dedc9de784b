//! `fugue bench newpayload`: blocks as a consensus client sends them, and as it has them built.
//!
//! A node of this process stands over a new data folder and serves the Engine API over HTTP; the
//! client is the same process. For each block of the workload `engine_newPayload` is called, then
//! `engine_forkchoiceUpdated` with the block as head, and it is measured how long the client waits:
//!
//! | name | time |
//! | --- | --- |
//! | `newPayload`, `forkchoice`, `both` | from the call, whose JSON is ready, to the answer |
//! | `decode` | from the parameters of the call to a block whose hash is compared |
//! | `recover` | checking the body and recovering senders |
//! | `execute`, `root` | as P and R of `bench import` |
//! | `insert` | comparing with the header, tree, journal, and a view for readers |
//! | `rest` | what is left of newPayload: HTTP, JSON-RPC, the queue, judging the header |
//! | `wait` | waiting, in either call, for blocks to become durable: no room for more |
//!
//! Senders are recovered within, as a node must. Then, on another data folder, blocks are built:
//! the transactions of a block of the workload are put into the pool, and it is measured how long
//! it takes from `engine_forkchoiceUpdated` with attributes to the answer of `engine_getPayload`.
//! No empty payload is made before, so that the payload holds what the pool holds, and the build
//! begins when the pool was run ahead. Then the block itself is sent: `newPayload` of transactions
//! that are known is called `foreseen`.

mod report;

use super::{
    alone::{self, Alone},
    folder::Folder,
    show,
    spread::Spread,
    workload::{Workload, WorkloadOptions},
};
use crate::{
    UsageError, Verdict,
    cli::{Modes, Threads},
    client::{
        self, EngineHost,
        payload::{self, Versions},
    },
    datadir::usage,
    progress::Progress,
};
use alloy_eips::Encodable2718;
use fugue_chain::{Chain, ChainOptions, EngineOptions, Head, SubmitError, Times};
use fugue_chainspec::ChainSpec;
use fugue_executor::Mode;
use fugue_storage::{Access, Store, StoreOptions};
use fugue_txpool::{Origin, PoolOptions};
use fugue_types::{B256, SealedBlock};
use report::Report;
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::runtime::Runtime;

/// Threads that serve the Engine API, as many as a node has.
const SERVER_THREADS: usize = 2;
/// Threads that read the store beside those of the executor.
const READERS: usize = 4;
/// How long a build waits for the pool's transactions to be run ahead, at most.
const RUN_AHEAD_MAX: Duration = Duration::from_secs(2);
/// File in the data folder with the blocks that are not durable.
const JOURNAL: &str = "journal";

/// A pool that takes all transactions of a block, whoever sends how many of them.
const POOL: PoolLimits = PoolLimits { bytes: 1 << 30, txs: 1 << 20 };

struct PoolLimits {
    bytes: usize,
    txs: usize,
}

/// Options of `fugue bench newpayload`.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    #[command(flatten)]
    workload: WorkloadOptions,
    /// How to execute, and to build
    #[arg(long, value_enum, default_value_t = Modes::Both)]
    mode: Modes,
    #[command(flatten)]
    threads: Threads,
    /// Blocks to be built of the transactions of the first blocks; none with 0
    #[arg(long, value_name = "B", default_value_t = 10)]
    builds: u32,
    /// Where a folder is made for the time of the bench [default: among temporary files]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Write one JSON object to this file, or to standard output with "-"
    #[arg(long, value_name = "PATH|-")]
    json: Option<PathBuf>,
}

/// What was waited for one block, and where the time went.
#[derive(Debug, Default)]
struct Waits {
    new_payload: Vec<Duration>,
    forkchoice: Vec<Duration>,
    both: Vec<Duration>,
    decode: Vec<Duration>,
    recover: Vec<Duration>,
    execute: Vec<Duration>,
    root: Vec<Duration>,
    insert: Vec<Duration>,
    rest: Vec<Duration>,
    wait: Vec<Duration>,
}

/// All blocks, sent in one mode.
#[derive(Debug)]
struct Run {
    mode: Mode,
    /// The last durable block.
    head: Head,
    waits: Waits,
    /// Making durable, beside the calls; without what was left in the end.
    durable: Duration,
    /// Blocks whose parallel run gave another outcome.
    differed: u64,
}

/// Blocks that were built in one mode.
#[derive(Debug)]
struct Build {
    mode: Mode,
    /// Of each block.
    times: Vec<Duration>,
    /// Of `newPayload` of the block of the workload then, whose transactions were run ahead.
    foreseen: Vec<Duration>,
    /// Transactions that the pool did not take.
    refused: usize,
    /// Transactions that it had when the builds began.
    pooled: usize,
    /// Transactions of the payloads.
    built: usize,
}

/// What all runs share.
struct Bench<'b> {
    workload: &'b Workload,
    alone: &'b Alone,
    folder: &'b Folder,
    runtime: Arc<Runtime>,
    threads: usize,
}

/// A payload that was built, as far as it is looked at.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BuiltPayload {
    parent_hash: B256,
    transactions: Vec<Value>,
}

/// Runs the command.
pub(super) fn run(options: &Options) -> Result<Verdict, UsageError> {
    let threads = options.threads.count();
    let folder = Folder::create(options.dir.as_deref())?;
    let workload = options.workload.make(threads, &folder)?;
    let alone = alone::run(&workload, threads)?;
    let runtime = client::runtime_of_threads(SERVER_THREADS)?;
    let bench = Bench { workload: &workload, alone: &alone, folder: &folder, runtime, threads };
    let (mut runs, mut builds) = (Vec::new(), Vec::new());
    for mode in options.mode.list(false) {
        runs.push(bench.replay(*mode)?);
    }
    let count = workload.amount().blocks.min(options.builds as usize);
    for mode in options.mode.list(false).iter().filter(|_| count > 0) {
        builds.push(bench.build(*mode, count)?);
    }
    let report =
        Report { workload: &workload, threads, folder: folder.path(), alone, runs, builds };
    show(options.json.as_deref(), &report.to_json(), &report)?;
    Ok(if report.is_good() { Verdict::Good } else { Verdict::Differs })
}

impl Bench<'_> {
    /// A node over a new data folder, at the genesis.
    fn host(&self, name: &str, mode: Mode) -> Result<EngineHost, UsageError> {
        let datadir = self.folder.path().join(format!("{name}-{mode}"));
        let readers = self.threads + READERS;
        let store = Store::open(&datadir.join("db"), StoreOptions::new(Access::Write, readers));
        let store = store.map_err(usage)?;
        let (spec, gas_limit) = begin(self.workload, &store, name, mode)?;
        let chain_options = ChainOptions::following(mode, self.threads);
        let chain = Chain::open(store, spec.clone(), chain_options).map_err(usage)?;
        let options = EngineOptions {
            build_mode: mode,
            build_threads: self.threads,
            builds_empty_first: false,
            gas_limit,
            journal: Some(datadir.join(JOURNAL)),
            ..EngineOptions::default()
        };
        let PoolLimits { bytes, txs } = POOL;
        let pool = PoolOptions {
            pending_bytes_max: bytes,
            queued_bytes_max: bytes,
            sender_txs_max: txs,
            nonce_gap_max: txs as u64,
            ..PoolOptions::default()
        };
        EngineHost::start(&self.runtime, chain, &spec, pool, options)
    }

    /// Sends all blocks.
    fn replay(&self, mode: Mode) -> Result<Run, UsageError> {
        let mut host = self.host("replay", mode)?;
        let sent = self.send_all(&mut host, mode);
        let status = host.engine().status();
        let stopped = host.stop();
        let waits = sent?;
        let (head, durable) = (stopped?, status.times.durable);
        Ok(Run { mode, head, waits, durable, differed: status.parallel_differed })
    }

    fn send_all(&self, host: &mut EngineHost, mode: Mode) -> Result<Waits, UsageError> {
        let noun = match mode {
            Mode::Seq => "blocks sent (seq)",
            Mode::Occ => "blocks sent (occ)",
            Mode::Auto => "blocks sent (auto)",
            Mode::Lanes => "blocks sent (lanes)",
            Mode::Bal => "blocks sent (bal)",
        };
        let progress = Progress::new(noun, self.workload.amount().blocks);
        let mut waits = Waits::default();
        for (index, block) in self.workload.blocks().enumerate() {
            let block = block?;
            let call = self.call(host, index, &block)?;
            self.send(host, call, &mut waits)?;
            progress.step(&block.block().header.number.to_string());
        }
        progress.finish();
        Ok(waits)
    }

    /// The call of `engine_newPayload` for a block.
    fn call(
        &self,
        host: &EngineHost,
        index: usize,
        block: &SealedBlock,
    ) -> Result<Call, UsageError> {
        let header = &block.block().header;
        let rules = host.engine().spec().rules_at(header.number, header.timestamp);
        let versions = Versions::of(&rules);
        let beside = self.alone.beside.get(index).cloned().unwrap_or_default();
        let params = payload::new_payload(block, versions.new_payload, &beside);
        let params = params.ok_or_else(|| {
            let number = header.number;
            UsageError(format!("block {number} is no payload: it is from before the merge"))
        })?;
        let params = client::raw(&params).map_err(usage)?;
        Ok(Call { versions, params, hash: block.hash() })
    }

    /// Sends a block, makes it the head, and takes the time.
    fn send(&self, host: &mut EngineHost, call: Call, waits: &mut Waits) -> Result<(), UsageError> {
        let Call { versions, params, hash } = call;
        host.client().refresh()?;
        let before = host.engine().status().times;
        let started = Instant::now();
        let status = host.client().new_payload(versions.new_payload, params).map_err(usage)?;
        let new_payload = started.elapsed();
        let between = host.engine().status().times;
        if !status.is_valid(hash) {
            return Err(UsageError(format!("block {hash}: newPayload answers {status:?}")));
        }
        let started = Instant::now();
        let followed = host.client().forkchoice(versions.forkchoice, hash, None).map_err(usage)?;
        let forkchoice = started.elapsed();
        if !followed.payload_status.is_valid(hash) {
            return Err(UsageError(format!("block {hash}: forkchoice answers {followed:?}")));
        }
        waits.add(new_payload, forkchoice, [before, between, host.engine().status().times]);
        Ok(())
    }

    /// Has blocks built of the transactions of the first blocks.
    fn build(&self, mode: Mode, count: usize) -> Result<Build, UsageError> {
        let mut host = self.host("build", mode)?;
        let built = self.build_all(&mut host, mode, count);
        let stopped = host.stop();
        let built = built?;
        stopped?;
        Ok(built)
    }

    fn build_all(
        &self,
        host: &mut EngineHost,
        mode: Mode,
        count: usize,
    ) -> Result<Build, UsageError> {
        let noun = match mode {
            Mode::Seq => "blocks built (seq)",
            Mode::Occ => "blocks built (occ)",
            Mode::Auto => "blocks built (auto)",
            Mode::Lanes => "blocks built (lanes)",
            Mode::Bal => "blocks built (bal)",
        };
        let progress = Progress::new(noun, count);
        let (times, foreseen) = (Vec::new(), Vec::new());
        let mut build = Build { mode, times, foreseen, refused: 0, pooled: 0, built: 0 };
        let mut waits = Waits::default();
        for (index, block) in self.workload.blocks().take(count).enumerate() {
            let block = block?;
            let call = self.call(host, index, &block)?;
            for tx in &block.block().body.transactions {
                match host.engine().submit(&tx.encoded_2718(), Origin::External) {
                    Ok(_) => {}
                    Err(SubmitError::Pool(_)) => build.refused += 1,
                    Err(broken) => return Err(usage(broken)),
                }
            }
            let pooled = host.engine().pool().status().pending;
            wait_until_run_ahead(host, pooled);
            build.pooled += pooled;
            let (time, txs) = build_one(host, &block, call.versions)?;
            build.times.push(time);
            build.built += txs;
            // The next one is built upon the block of the workload.
            self.send(host, call, &mut waits)?;
            progress.step(&block.block().header.number.to_string());
        }
        progress.finish();
        build.foreseen = waits.new_payload;
        Ok(build)
    }
}

/// A block as it is sent.
struct Call {
    versions: Versions,
    params: Box<RawValue>,
    hash: B256,
}

/// Waits until the transactions of the pool were run on the state of the head, for which a node has
/// the seconds between two blocks.
fn wait_until_run_ahead(host: &EngineHost, pooled: usize) {
    let started = Instant::now();
    while host.engine().status().preexecuted < pooled && started.elapsed() < RUN_AHEAD_MAX {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Has a block built in place of this one. Gives how long that took, and how many transactions it
/// has.
fn build_one(
    host: &mut EngineHost,
    block: &SealedBlock,
    versions: Versions,
) -> Result<(Duration, usize), UsageError> {
    let parent = block.block().header.parent_hash;
    let attributes = payload::attributes(block.block(), versions.forkchoice);
    let method = format!("engine_getPayloadV{}", versions.get_payload);
    let client = host.client();
    client.refresh()?;
    let started = Instant::now();
    let followed = client.forkchoice(versions.forkchoice, parent, Some(&attributes));
    let followed = followed.map_err(usage)?;
    let Some(id) = &followed.payload_id else {
        return Err(UsageError(format!("no build has begun: forkchoice answers {followed:?}")));
    };
    let params = client::raw(&json!([id])).map_err(usage)?;
    let payload: Box<RawValue> = client.call(&method, params).map_err(usage)?;
    let time = started.elapsed();

    let payload: Value = serde_json::from_str(payload.get()).map_err(usage)?;
    // The first version has the payload alone.
    let payload = if versions.get_payload == 1 { &payload } else { &payload["executionPayload"] };
    let payload = BuiltPayload::deserialize(payload).map_err(usage)?;
    if payload.parent_hash != parent {
        return Err(UsageError(format!("{method} answers with a child of another block")));
    }
    Ok((time, payload.transactions.len()))
}

/// Begins the chain; gives its rules, and the gas limit of its first block. The state of its
/// genesis is gone then.
fn begin(
    workload: &Workload,
    store: &Store,
    name: &str,
    mode: Mode,
) -> Result<(ChainSpec, u64), UsageError> {
    let genesis = workload.genesis()?;
    eprintln!("{name}, {mode}: beginning a chain with {} accounts", genesis.state.accounts.len());
    Chain::init(store, &genesis).map_err(usage)?;
    let gas_limit = genesis.header(B256::ZERO).gas_limit;
    Ok((genesis.chain, gas_limit))
}

impl Waits {
    /// Adds a block. `times` are those of the chain before its payload, after it, and in the end.
    fn add(&mut self, new_payload: Duration, forkchoice: Duration, times: [Times; 3]) {
        let [before, between, after] = times;
        let within = |time: fn(&Times) -> Duration| time(&between).saturating_sub(time(&before));
        let decode = within(|times| times.decoded);
        let recover = within(|times| times.prepared);
        let execute = within(|times| times.executed);
        let root = within(|times| times.rooted);
        let insert = within(|times| times.inserted);
        let told = decode + recover + execute + root + insert + within(|times| times.waited);
        self.new_payload.push(new_payload);
        self.forkchoice.push(forkchoice);
        self.both.push(new_payload + forkchoice);
        self.decode.push(decode);
        self.recover.push(recover);
        self.execute.push(execute);
        self.root.push(root);
        self.insert.push(insert);
        self.rest.push(new_payload.saturating_sub(told));
        self.wait.push(after.waited.saturating_sub(before.waited));
    }

    /// Each with its name.
    fn parts(&self) -> [(&'static str, Spread); 10] {
        let Self {
            new_payload,
            forkchoice,
            both,
            decode,
            recover,
            execute,
            root,
            insert,
            rest,
            wait,
        } = self;
        [
            ("newPayload", new_payload),
            ("decode", decode),
            ("recover", recover),
            ("execute", execute),
            ("root", root),
            ("insert", insert),
            ("rest", rest),
            ("forkchoice", forkchoice),
            ("both", both),
            ("wait", wait),
        ]
        .map(|(name, times)| (name, Spread::of(times)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_of_a_call_is_what_the_chain_does_not_tell_of() {
        let ms = Duration::from_millis;
        let before = Times { prepared: ms(5), inserted: ms(9), ..Times::default() };
        let between = Times {
            decoded: ms(4),
            prepared: ms(6),
            executed: ms(20),
            rooted: ms(3),
            inserted: ms(11),
            durable: ms(50),
            waited: ms(2),
        };
        let after = Times { waited: ms(7), ..between };
        let mut waits = Waits::default();
        waits.add(ms(36), ms(10), [before, between, after]);
        let parts = waits.parts().map(|(name, spread)| (name, spread.p50.as_millis()));
        let expected = [
            ("newPayload", 36),
            ("decode", 4),
            ("recover", 1),
            ("execute", 20),
            ("root", 3),
            ("insert", 2),
            ("rest", 4),
            ("forkchoice", 10),
            ("both", 46),
            ("wait", 7),
        ];
        assert_eq!(parts, expected);
    }
}
