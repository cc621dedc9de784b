//! Flags of benches that execute the same recorded and generated blocks.

use super::source::{Source, Wanted};
use crate::{UsageError, cli::cores, datadir::usage};
use fugue_executor::Executor;
use std::path::{Path, PathBuf};

/// Gas of a generated block.
pub(in crate::bench) const GAS: u64 = 30_000_000;
/// Least and most gas of a generated block.
const GAS_MIN: u64 = 100_000;
const GAS_MAX: u64 = 1_000_000_000;

/// Which blocks are executed, on how many threads, and where the numbers go.
#[derive(Debug, clap::Args)]
pub(in crate::bench) struct Setup {
    /// What to execute, separated by commas: bundles, or kinds of generated blocks: transfers,
    /// chain, erc20, swaps-1, swaps-10, swaps-100, swaps-each, the same with uniswap-v2 and
    /// uniswap-v3 in place of swaps, lending, aave, vault, options, mix [default: all]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    workloads: Vec<Source>,
    /// Bundles, directories of them, or glob patterns; each PATH is measured by itself [default:
    /// testdata/bundles and ../shared/data/mainnet-blocks/blocks, as far as they are there]
    #[arg(long, value_name = "PATH", num_args = 1..)]
    bundles: Vec<String>,
    /// Folder with the compiled contracts of Uniswap and Aave [default:
    /// ../shared/data/contracts/npm, if it is there]
    #[arg(long, value_name = "DIR")]
    contracts: Option<PathBuf>,
    /// Gas of a generated block, about [default: 30000000]
    #[arg(long, value_name = "GAS",
          value_parser = clap::value_parser!(u64).range(GAS_MIN..=GAS_MAX))]
    gas: Option<u64>,
    /// The same seed generates the same blocks
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Threads for parallel execution; several numbers, separated by commas [default: all cores]
    #[arg(long, value_name = "N", value_delimiter = ',',
          value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Vec<u16>,
    /// Write one JSON object to this file, or to standard output with "-"
    #[arg(long, value_name = "PATH|-")]
    json: Option<PathBuf>,
}

impl Setup {
    /// One for each number of threads.
    ///
    /// # Errors
    /// If the system gives no threads.
    pub(in crate::bench) fn executors(&self) -> Result<Vec<Executor>, UsageError> {
        let cores = u16::try_from(cores()).unwrap_or(u16::MAX);
        let threads = distinct(&self.threads, &[cores]);
        let executor = |threads: u16| Executor::new(usize::from(threads)).map_err(usage);
        threads.into_iter().map(executor).collect()
    }

    /// The blocks: of this much gas if nothing is said, and with these shares of conflicts.
    pub(in crate::bench) fn wanted(&self, gas: u64, shares: Vec<u8>) -> Wanted<'_> {
        Wanted {
            sources: &self.workloads,
            bundles: &self.bundles,
            contracts: self.contracts.as_deref(),
            gas: self.gas.unwrap_or(gas),
            shares,
            seed: self.seed,
        }
    }

    pub(in crate::bench) const fn seed(&self) -> u64 {
        self.seed
    }

    /// Where the object goes.
    pub(in crate::bench) fn json(&self) -> Option<&Path> {
        self.json.as_deref()
    }
}

/// What was asked for, each once, or what stands for it.
pub(in crate::bench) fn distinct<T: Copy + PartialEq>(asked: &[T], otherwise: &[T]) -> Vec<T> {
    let chosen = if asked.is_empty() { otherwise } else { asked };
    let mut list = Vec::with_capacity(chosen.len());
    for item in chosen {
        if !list.contains(item) {
            list.push(*item);
        }
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_twice_is_done_once() {
        assert_eq!(distinct(&[8, 1, 8], &[4]), [8, 1]);
        assert_eq!(distinct(&[], &[4, 4]), [4]);
    }
}
