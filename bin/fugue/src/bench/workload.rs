//! The blocks of a bench: generated ones, or those of files. Memory never holds all of them.
//! Those of `bench import` and `bench newpayload` are chosen by the same options.

use super::{folder::Folder, mb};
use crate::{
    UsageError,
    datadir::{self, usage},
    progress::Progress,
};
use alloy_rlp::Encodable;
use fugue_archive::BlockFile;
use fugue_chain::Genesis;
use fugue_types::{B256, Block, SealedBlock};
use fugue_workload::{Forge, Forged, Market, MarketMix, MarketSize};
use serde_json::{Value, json};
use std::{
    fmt,
    fs::File,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

/// Blocks that are generated where nothing else is said.
const BLOCKS: u32 = 50;
/// Most transactions of a generated block: a block has at most 8 MiB (EIP-7934).
const TXS_MAX: i64 = 20_000;

/// Which blocks a bench works with.
#[derive(Debug, clap::Args)]
pub(super) struct WorkloadOptions {
    /// Accounts of the generated chain, at least 16
    #[arg(long, value_name = "N", default_value_t = 1_000_000, conflicts_with = "files")]
    accounts: u32,
    /// Blocks to generate, or to import of the files [default: 50, or all]
    #[arg(long, value_name = "M", value_parser = clap::value_parser!(u32).range(1..))]
    blocks: Option<u32>,
    /// Transactions of a generated block
    #[arg(long, value_name = "T", default_value_t = 2_000, conflicts_with = "files",
          value_parser = clap::value_parser!(u32).range(1..=TXS_MAX))]
    txs: u32,
    /// The same seed generates the same chain
    #[arg(long, default_value_t = 1, conflicts_with = "files")]
    seed: u64,
    /// The chain of the files: mainnet, sepolia, hoodi, holesky, or a genesis file in geth's format
    #[arg(long, value_name = "CHAIN", requires = "files")]
    chain: Option<String>,
    /// Files of blocks in place of a generated chain, from its first block on: RLP streams, .era1
    /// or .ere
    #[arg(value_name = "FILE", requires = "chain")]
    files: Vec<PathBuf>,
}

impl WorkloadOptions {
    /// Generates the blocks into the folder, or reads the files.
    pub(super) fn make(&self, threads: usize, folder: &Folder) -> Result<Workload, UsageError> {
        match &self.chain {
            Some(chain) => {
                let blocks_max = self.blocks.map(|blocks| blocks as usize);
                Workload::read(chain, &self.files, blocks_max)
            }
            None => {
                let size = MarketSize::new(self.accounts as usize, self.txs as usize);
                let blocks = self.blocks.unwrap_or(BLOCKS) as usize;
                Workload::generate(self.seed, &size, blocks, threads, folder)
            }
        }
    }
}

/// How much there is to import.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Amount {
    pub(super) blocks: usize,
    pub(super) txs: usize,
    pub(super) gas: u64,
    /// Bytes of the blocks in RLP.
    pub(super) bytes: u64,
}

impl Amount {
    pub(super) fn add(&mut self, block: &Block) {
        self.blocks += 1;
        self.txs += block.body.transactions.len();
        // A header may claim any number.
        self.gas = self.gas.saturating_add(block.header.gas_used);
        self.bytes += block.length() as u64;
    }
}

/// Where the chain comes from.
#[derive(Debug)]
enum Source {
    Market(Box<Market>),
    Chain(String),
}

/// A chain, and blocks of it in files.
#[derive(Debug)]
pub(super) struct Workload {
    source: Source,
    files: Vec<PathBuf>,
    amount: Amount,
}

impl Workload {
    /// Generates blocks into a file of the folder.
    pub(super) fn generate(
        seed: u64,
        size: &MarketSize,
        blocks: usize,
        threads: usize,
        folder: &Folder,
    ) -> Result<Self, UsageError> {
        Self::of_market(Market::new(seed, size), blocks, threads, folder)
    }

    /// Generates the next blocks of a market into a file of the folder.
    pub(super) fn of_market(
        mut market: Market,
        blocks: usize,
        threads: usize,
        folder: &Folder,
    ) -> Result<Self, UsageError> {
        eprintln!("making a state of {} accounts", market.size().accounts);
        let genesis = genesis_of(&market)?;
        let head = genesis.header(B256::ZERO);
        let forged = Forge::new(genesis.chain, genesis.state, head, threads);
        let mut forge = forged.map_err(usage)?;
        let path = folder.path().join("blocks.rlp");
        let at = |error: std::io::Error| UsageError::at(&path, error);
        let mut out = BufWriter::new(File::create(&path).map_err(at)?);
        let mut amount = Amount::default();
        let progress = Progress::new("blocks generated", blocks);
        for _ in 0..blocks {
            let Forged { block, .. } = forge.add(&market.next_block()).map_err(usage)?;
            amount.add(block.block());
            out.write_all(&alloy_rlp::encode(block.block())).map_err(at)?;
            progress.step(&block.block().header.number.to_string());
        }
        progress.finish();
        out.flush().map_err(at)?;
        let source = Source::Market(Box::new(market));
        Ok(Self { source, files: vec![path], amount })
    }

    /// The blocks of files, or the first of them. All are read once, to count them.
    pub(super) fn read(
        chain: &str,
        files: &[PathBuf],
        blocks_max: Option<usize>,
    ) -> Result<Self, UsageError> {
        let source = Source::Chain(chain.to_owned());
        let blocks = blocks_max.unwrap_or(usize::MAX);
        let all = Amount { blocks, ..Amount::default() };
        let mut workload = Self { source, files: files.to_vec(), amount: all };
        let mut amount = Amount::default();
        for block in workload.blocks() {
            amount.add(block?.block());
        }
        if amount.blocks == 0 {
            return Err(UsageError("no blocks after the first in these files".to_owned()));
        }
        workload.amount = amount;
        Ok(workload)
    }

    pub(super) const fn amount(&self) -> Amount {
        self.amount
    }

    /// Where the chain begins, with its state.
    pub(super) fn genesis(&self) -> Result<Genesis, UsageError> {
        match &self.source {
            Source::Market(market) => genesis_of(market),
            Source::Chain(chain) => datadir::genesis(chain),
        }
    }

    /// The blocks in order, without the first of the chain.
    pub(super) fn blocks(&self) -> impl Iterator<Item = Result<SealedBlock, UsageError>> {
        let is_first = |block: &SealedBlock| block.block().header.number == 0;
        self.files
            .iter()
            .flat_map(|path| blocks_of(path))
            .filter(move |block| !block.as_ref().is_ok_and(is_first))
            .take(self.amount.blocks)
    }

    pub(super) fn to_json(&self) -> Value {
        let Amount { blocks, txs, gas, bytes } = self.amount;
        let mut object = match &self.source {
            Source::Market(market) => {
                let seed = market.seed();
                let MarketSize { accounts, senders, txs, mix } = market.size();
                let MarketMix { ether, tokens, swaps } = mix;
                json!({
                    "kind": "generated", "seed": seed, "accounts": accounts, "senders": senders,
                    "txsPerBlock": txs, "fork": Market::FORK.to_string(),
                    "mix": { "ether": ether, "tokens": tokens, "swaps": swaps },
                })
            }
            Source::Chain(chain) => {
                let files = self.files.iter().map(|path| path.display().to_string());
                json!({ "kind": "files", "chain": chain, "files": files.collect::<Vec<_>>() })
            }
        };
        for (name, value) in [
            ("blocks", json!(blocks)),
            ("txs", json!(txs)),
            ("gasUsed", json!(gas)),
            ("bytes", json!(bytes)),
        ] {
            object[name] = value;
        }
        object
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Amount { blocks, txs, gas, bytes } = self.amount;
        match &self.source {
            Source::Market(market) => {
                let seed = market.seed();
                let MarketSize { accounts, senders, txs, mix } = market.size();
                let MarketMix { ether, tokens, swaps } = mix;
                writeln!(
                    f,
                    "workload   generated (seed {seed}, {}): {accounts} accounts, {senders} of \
                     them send; {txs} transactions a block, ether : tokens : swaps as \
                     {ether} : {tokens} : {swaps}",
                    Market::FORK
                )?;
            }
            Source::Chain(chain) => {
                writeln!(f, "workload   {} files of {chain}", self.files.len())?;
            }
        }
        let mgas = gas as f64 / 1e6;
        writeln!(f, "           {blocks} blocks, {txs} transactions, {mgas:.1} Mgas, {}", mb(bytes))
    }
}

fn genesis_of(market: &Market) -> Result<Genesis, UsageError> {
    let file = market.genesis_json().to_string();
    let mut genesis = Genesis::from_json(file.as_bytes()).map_err(usage)?;
    genesis.state = market.genesis_state();
    Ok(genesis)
}

/// The blocks of one file.
fn blocks_of(path: &Path) -> Box<dyn Iterator<Item = Result<SealedBlock, UsageError>>> {
    match BlockFile::open(path) {
        Ok(file) => Box::new(file.map(|found| found.map(|found| found.block).map_err(usage))),
        Err(error) => Box::new(std::iter::once(Err(usage(error)))),
    }
}
