//! `fugue capture`: blocks of any node, with what it takes to execute them, as files that
//! `fugue replay` reads.
//!
//! ```text
//! DIR/blocks/<number>.json.zst   a witness bundle, or a bundle
//! ```
//! The state before a block comes in one of three ways, the first that is open and good:
//!
//! | way | asks for | file |
//! | --- | --- | --- |
//! | `witness` | `debug_executionWitness` | witness bundle |
//! | `prestate` | `debug_traceBlockByNumber`; what its transactions do not read as below | bundle |
//! | `reads` | each account and slot, when the block is executed here and reads it | bundle |
//!
//! Every file is replayed before it gets its name: what is there has been executed in both modes,
//! and is as the block's header says.

mod block;
mod endpoint;
mod prestate;
mod remote;
mod witness;

use crate::{
    UsageError, Verdict,
    cli::{Modes, Threads},
    client::public::decoded,
    datadir::{genesis, usage},
    node::dev,
    print,
    progress::Progress,
    replay::Checker,
};
use clap::ValueEnum;
use endpoint::{Endpoint, Fault};
use fugue_archive::{BundleReader, Record, write_zstd};
use fugue_chain::Genesis;
use fugue_chainspec::ChainSpec;
use fugue_executor::Executor;
use fugue_types::{B256, Header, SealedBlock, U256};
use serde_json::{Value, json};
use std::{
    fmt,
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

/// Blocks of one run, at most.
const BLOCKS_MAX: u64 = 10_000;
/// Compression of the files: as quick as asking for them.
const LEVEL: i32 = 9;
/// `--chain` of the dev chain, which has no genesis file.
const DEV: &str = "dev";

/// Options of `fugue capture`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// JSON-RPC of the node, as http://127.0.0.1:8545
    #[arg(long, value_name = "URL")]
    rpc: String,
    /// A block by its number, or all from the first to the last one
    #[arg(long, value_name = "N[..M]", value_parser = numbers)]
    block: RangeInclusive<u64>,
    /// Folder that the files are written into
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// mainnet, sepolia, hoodi, holesky, dev, or a genesis file in geth's format; needed for other
    /// chains than the public ones
    #[arg(long, value_name = "CHAIN")]
    chain: Option<String>,
    /// Where the state before a block comes from
    #[arg(long, value_enum, default_value_t = Ways::Auto)]
    way: Ways,
    /// Longest that a call may take
    #[arg(long, value_name = "SECONDS", default_value_t = 120,
          value_parser = clap::value_parser!(u64).range(1..=3_600))]
    timeout: u64,
    #[command(flatten)]
    threads: Threads,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// `--way`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Ways {
    /// The first of the others that is open and good.
    Auto,
    /// From an execution witness.
    Witness,
    /// From traces of the transactions.
    Prestate,
    /// Account by account and slot by slot, as the block reads them.
    Reads,
}

impl Ways {
    const fn list(self) -> &'static [Way] {
        match self {
            Self::Auto => &[Way::Witness, Way::Prestate, Way::Reads],
            Self::Witness => &[Way::Witness],
            Self::Prestate => &[Way::Prestate],
            Self::Reads => &[Way::Reads],
        }
    }
}

/// Where the state before a block has come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Witness,
    Prestate,
    Reads,
}

impl Way {
    const fn name(self) -> &'static str {
        match self {
            Self::Witness => "witness",
            Self::Prestate => "prestate",
            Self::Reads => "reads",
        }
    }
}

/// A number, or two and what is between them.
fn numbers(text: &str) -> Result<RangeInclusive<u64>, String> {
    let number = |text: &str| {
        let parsed = text.parse::<u64>();
        parsed.map_err(|error| format!("{text:?} is no block number: {error}"))
    };
    let (first, last) = match text.split_once("..") {
        Some((first, last)) => (number(first)?, number(last)?),
        None => (number(text)?, number(text)?),
    };
    if first == 0 {
        return Err("the genesis is not executed: begin with block 1".to_owned());
    }
    let Some(more) = last.checked_sub(first) else {
        return Err(format!("{last} is below {first}"));
    };
    if more >= BLOCKS_MAX {
        return Err(format!("at most {BLOCKS_MAX} blocks at once"));
    }
    Ok(first..=last)
}

/// The chain that the blocks are of.
struct Chain {
    id: u64,
    /// `config` of its genesis file, for a chain that replay does not know.
    config: Option<Value>,
    spec: ChainSpec,
}

impl Chain {
    /// # Errors
    /// If the node does not say what it is, or says something else than `named`.
    fn of(endpoint: &Endpoint, named: Option<&str>) -> Result<Self, UsageError> {
        let id = endpoint.chain_id()?;
        let Some(named) = named else {
            let spec = ChainSpec::by_chain_id(id).ok_or_else(|| {
                UsageError(format!(
                    "{endpoint}: chain {id} is not known: --chain names its genesis file, or \
                     \"{DEV}\""
                ))
            })?;
            return Ok(Self { id, config: None, spec });
        };
        let begun = if named == DEV { dev::genesis(None)? } else { genesis(named)? };
        let expected = begun.chain.chain_id();
        if expected != id {
            let reason = format!("this is chain {id}, and --chain {named} is chain {expected}");
            return Err(UsageError(format!("{endpoint}: {reason}")));
        }
        let is_public = Genesis::NAMES.contains(&named);
        Ok(Self { id, config: (!is_public).then_some(begun.config), spec: begun.chain })
    }
}

/// A block, and what is taken of it in any way.
struct Subject<'c> {
    endpoint: &'c Endpoint,
    chain: &'c Chain,
    block: SealedBlock,
    parent: Header,
}

impl Subject<'_> {
    const fn header(&self) -> &Header {
        &self.block.block().header
    }

    fn take(&self, way: Way) -> Result<Record, Fault> {
        match way {
            Way::Witness => witness::take(self).map(Record::Witness),
            Way::Prestate => {
                let known = prestate::traced(self)?;
                remote::take(self, known).map(Record::Bundle)
            }
            Way::Reads => remote::take(self, remote::Known::default()).map(Record::Bundle),
        }
    }
}

/// A file that was written.
struct Captured {
    number: u64,
    hash: B256,
    path: PathBuf,
    way: Way,
    /// Ways that were not open for this block, or not good, and why.
    passed_over: Vec<(Way, String)>,
    tx_count: usize,
    gas_used: u64,
    /// Header fields that the replay has compared.
    checked: Vec<&'static str>,
}

/// A block of which no file was written.
struct Failed {
    number: u64,
    reason: String,
    /// All of the rest would fail as well.
    is_last: bool,
    verdict: Verdict,
}

/// Captures blocks one after the other.
struct Capture<'o> {
    endpoint: Endpoint,
    chain: Chain,
    executor: Executor,
    out: &'o Path,
    blocks: PathBuf,
    ways: Ways,
    /// Ways that the node does not offer at all, and what it says.
    closed: Vec<(Way, String)>,
}

/// Runs the command.
pub(crate) fn run(options: &Options) -> Result<Verdict, UsageError> {
    let endpoint = Endpoint::new(&options.rpc, options.timeout)?;
    let chain = Chain::of(&endpoint, options.chain.as_deref())?;
    let blocks = options.out.join("blocks");
    std::fs::create_dir_all(&blocks).map_err(|error| UsageError::at(&blocks, error))?;
    let executor = Executor::new(options.threads.count()).map_err(usage)?;
    let (out, ways, closed) = (options.out.as_path(), options.way, Vec::new());
    let mut capture = Capture { endpoint, chain, executor, out, blocks, ways, closed };
    let (mut done, mut failed) = (Vec::new(), Vec::new());

    let count = options.block.clone().count();
    let progress = Progress::new("blocks", count);
    for number in options.block.clone() {
        match capture.block(number) {
            Ok(captured) => {
                for (way, reason) in &captured.passed_over {
                    progress.say(&format!("not by {}: {reason}", way.name()));
                }
                done.push(captured);
            }
            Err(missed) => {
                progress.say(&format!("error: {}", missed.reason));
                let is_last = missed.is_last;
                failed.push(missed);
                if is_last {
                    let left = options.block.end().saturating_sub(number);
                    if let Some(told) = not_asked_for(left) {
                        progress.say(&told);
                    }
                    break;
                }
            }
        }
        progress.step(&number.to_string());
    }
    progress.finish();

    let verdict = failed.iter().map(|failed| failed.verdict).max().unwrap_or(Verdict::Good);
    let summary = Summary { capture: &capture, count, done: &done, failed: &failed };
    if options.json {
        print(format_args!("{}\n", summary.json()))?;
    } else {
        print(&summary)?;
    }
    Ok(verdict)
}

/// What is said of so many blocks after the last one that was asked for.
fn not_asked_for(left: u64) -> Option<String> {
    match left {
        0 => None,
        1 => Some("1 more block was not asked for".to_owned()),
        _ => Some(format!("{left} more blocks were not asked for")),
    }
}

impl Capture<'_> {
    /// A block that the node does not give, and so none after it if it is above its newest one.
    fn not_given(&self, number: u64, fault: Fault) -> Failed {
        let is_broken = matches!(fault, Fault::Broken(_));
        let mut reason = fault.into_message();
        let head = if is_broken { None } else { self.endpoint.head() };
        let head = head.filter(|head| *head < number);
        if let Some(head) = head {
            reason = format!("{reason}; the newest block is {head}");
        }
        let is_last = is_broken || head.is_some();
        Failed { number, is_last, verdict: Verdict::BadInput, reason }
    }

    fn block(&mut self, number: u64) -> Result<Captured, Failed> {
        let failed = |fault: Fault| Failed {
            number,
            is_last: matches!(fault, Fault::Broken(_)),
            verdict: Verdict::BadInput,
            reason: fault.into_message(),
        };
        let fetched = block::fetch(&self.endpoint, number);
        let (block, parent) = fetched.map_err(|fault| self.not_given(number, fault))?;
        let subject = Subject { endpoint: &self.endpoint, chain: &self.chain, block, parent };
        let (mut closed, mut passed_over) = (Vec::new(), Vec::new());
        let mut verdict = Verdict::BadInput;
        for way in self.ways.list().iter().copied() {
            if self.closed.iter().any(|(known, _)| *known == way) {
                continue;
            }
            let written = subject.take(way).and_then(|record| self.write(&subject, &record));
            match written {
                Ok((path, checked)) => {
                    let captured = Captured {
                        number,
                        hash: subject.block.hash(),
                        path,
                        way,
                        passed_over,
                        tx_count: subject.block.block().body.transactions.len(),
                        gas_used: subject.header().gas_used,
                        checked,
                    };
                    self.closed.append(&mut closed);
                    return Ok(captured);
                }
                Err(fault @ Fault::Broken(_)) => return Err(failed(fault)),
                Err(Fault::Missing(reason)) => {
                    closed.push((way, reason.clone()));
                    passed_over.push((way, reason));
                }
                Err(Fault::Unfit(reason)) => passed_over.push((way, reason)),
                Err(Fault::Differs(reason)) => {
                    verdict = Verdict::Differs;
                    passed_over.push((way, reason));
                }
            }
        }
        self.closed.append(&mut closed);
        let told = |(way, reason): &(Way, String)| format!("by {}: {reason}", way.name());
        let known = self.closed.iter().filter(|(way, _)| {
            self.ways.list().contains(way) && passed_over.iter().all(|(other, _)| other != way)
        });
        let reasons: Vec<String> = known.chain(&passed_over).map(told).collect();
        let reason = format!("block {number}: not captured: {}", reasons.join("; "));
        // What the node does not offer at all, it does not offer for the next one.
        let is_closed = |way: &Way| self.closed.iter().any(|(known, _)| known == way);
        let is_last = self.ways.list().iter().all(is_closed);
        Err(Failed { number, reason, is_last, verdict })
    }

    /// Writes a file, replays it, and gives it its name; if it is not good, nothing is left of it.
    fn write(
        &self,
        subject: &Subject<'_>,
        record: &Record,
    ) -> Result<(PathBuf, Vec<&'static str>), Fault> {
        let number = subject.header().number;
        let at = |path: &Path, error: &dyn fmt::Display| {
            Fault::Broken(format!("{}: {error}", path.display()))
        };
        // In the folder of the files, so that it only has to be renamed.
        let folder = tempfile::Builder::new().prefix(".capture-").tempdir_in(self.out);
        let folder = folder.map_err(|error| at(self.out, &error))?;
        let name = format!("{number}.json.zst");
        let path = folder.path().join(&name);
        let json = match record {
            Record::Bundle(bundle) => {
                bundle.to_json(&subject.chain.spec.rules(subject.header()).fork.to_string())
            }
            Record::Witness(bundle) => bundle.to_json(witness::METHOD),
        };
        let json = json.map_err(|error| at(&path, &error))?;
        write_zstd(&path, &json, LEVEL).map_err(|error| at(&path, &error))?;

        let unfit = |error: String| {
            let named = format!("{}: ", path.display());
            Fault::Unfit(format!("replayed: {}", error.strip_prefix(&named).unwrap_or(&error)))
        };
        let read = BundleReader::new().read_record(&path);
        let read = read.map_err(|error| unfit(error.to_string()))?;
        let findings = Checker::new(&self.executor, Modes::Both.list(false)).check(&path, &read);
        let findings = findings.map_err(|UsageError(error)| unfit(error))?;
        if let Some(first) = findings.differences.first() {
            return Err(Fault::Differs(format!("replayed: {first}")));
        }
        let named = self.blocks.join(&name);
        std::fs::rename(&path, &named).map_err(|error| at(&named, &error))?;
        Ok((named, findings.checked))
    }
}

/// What the command says in the end.
struct Summary<'s> {
    capture: &'s Capture<'s>,
    /// Blocks that were asked for.
    count: usize,
    done: &'s [Captured],
    failed: &'s [Failed],
}

impl Summary<'_> {
    fn by(&self, way: Way) -> usize {
        self.done.iter().filter(|captured| captured.way == way).count()
    }

    fn json(&self) -> Value {
        let passed = |(way, reason): &(Way, String)| json!({ "way": way.name(), "reason": reason });
        let block = |captured: &Captured| {
            json!({
                "number": captured.number,
                "hash": captured.hash,
                "file": captured.path,
                "way": captured.way.name(),
                "passedOver": captured.passed_over.iter().map(passed).collect::<Vec<_>>(),
                "txs": captured.tx_count,
                "gasUsed": captured.gas_used,
                "checked": captured.checked,
            })
        };
        let failed = |failed: &Failed| json!({ "number": failed.number, "reason": failed.reason });
        json!({
            "type": "capture",
            "rpc": self.capture.endpoint.to_string(),
            "chainId": self.capture.chain.id,
            "asked": self.count,
            "blocks": self.done.iter().map(block).collect::<Vec<_>>(),
            "failed": self.failed.iter().map(failed).collect::<Vec<_>>(),
            "ways": {
                "witness": self.by(Way::Witness),
                "prestate": self.by(Way::Prestate),
                "reads": self.by(Way::Reads),
            },
        })
    }
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for captured in self.done {
            writeln!(
                f,
                "{:>10}  {}  by {:<8}  {:>5} txs  {}",
                captured.number,
                captured.hash,
                captured.way.name(),
                captured.tx_count,
                captured.path.display(),
            )?;
        }
        writeln!(
            f,
            "{} of {} blocks captured: {} by witness, {} by prestate, {} by reads; all replayed",
            self.done.len(),
            self.count,
            self.by(Way::Witness),
            self.by(Way::Prestate),
            self.by(Way::Reads),
        )
    }
}

/// A number that has 256 bits in JSON.
fn number_of(value: Value) -> Result<u64, String> {
    let number: U256 = decoded(value)?;
    u64::try_from(number).map_err(|_| format!("{number} is too large"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_a_number_or_a_range_with_both_ends() {
        assert_eq!(numbers("7"), Ok(7..=7));
        assert_eq!(numbers("7..9"), Ok(7..=9));
        for (wrong, reason) in [
            ("0", "the genesis"),
            ("0..3", "the genesis"),
            ("9..7", "7 is below 9"),
            ("1..10001", "at most 10000"),
            ("latest", "\"latest\" is no block number: "),
            ("1..", "\"\" is no block number: "),
            ("1..=2", "\"=2\" is no block number: "),
        ] {
            let found = numbers(wrong).unwrap_err();
            assert!(found.starts_with(reason), "{wrong}: {found}");
        }
        assert_eq!(numbers("1..10000"), Ok(1..=10_000));
    }

    #[test]
    fn blocks_that_are_left_are_told_as_one_or_as_many() {
        let told = [0, 1, 2].map(not_asked_for);
        let [none, one, two] = told.each_ref().map(Option::as_deref);
        assert_eq!(none, None);
        assert_eq!(one, Some("1 more block was not asked for"));
        assert_eq!(two, Some("2 more blocks were not asked for"));
    }
}
