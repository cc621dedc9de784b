//! `fugue generate`: write deterministic blocks with their state.
//!
//! ```text
//! DIR/blocks/<scenario>-<number>.json.zst   a bundle, its codes in it
//! DIR/index.json                            scenario, fork, blocks, transactions, gas
//! ```

use crate::{UsageError, Verdict, print, progress::Progress};
use fugue_archive::write_zstd;
use fugue_chainspec::Fork;
use fugue_workload::{Scenario, build, catalog, random};
use rayon::prelude::*;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Compression of the bundles: small matters more than quick.
const LEVEL: i32 = 19;
/// Most transactions of a random scenario.
const RANDOM_TXS_MAX: u32 = 2_000;

/// Options of `fugue generate`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Where the bundles are written
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The same seed gives the same bytes
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// One random scenario in place of the catalog
    #[arg(long)]
    random: bool,
    /// Fork of the random scenario
    #[arg(long, requires = "random", default_value = "osaka")]
    fork: Fork,
    /// Transactions of the random scenario; they may fill several blocks
    #[arg(long, requires = "random", default_value_t = 100,
          value_parser = clap::value_parser!(u32).range(1..=i64::from(RANDOM_TXS_MAX)))]
    txs: u32,
}

/// Runs the command.
pub(crate) fn run(options: &Options) -> Result<Verdict, UsageError> {
    let scenarios = if options.random {
        vec![random(options.seed, options.fork, options.txs as usize)]
    } else {
        catalog(options.seed)
    };
    let blocks = options.out.join("blocks");
    std::fs::create_dir_all(&blocks).map_err(|error| UsageError::at(&blocks, error))?;
    let progress = Progress::new("scenarios", scenarios.len());
    let entries = scenarios
        .par_iter()
        .map(|scenario| {
            let entries = write(scenario, &blocks);
            progress.step(&scenario.name);
            entries
        })
        .collect::<Result<Vec<_>, _>>()?;
    progress.finish();
    let entries: Vec<Value> = entries.into_iter().flatten().collect();
    let total = |field| entries.iter().filter_map(|entry| entry[field].as_u64()).sum::<u64>();
    print(format_args!(
        "{} blocks of {} scenarios, {} transactions, {} gas: {}\n",
        entries.len(),
        scenarios.len(),
        total("txs"),
        total("gasUsed"),
        options.out.display()
    ))?;
    let index = options.out.join("index.json");
    let json = json!({ "seed": options.seed, "blocks": entries });
    let mut json =
        serde_json::to_vec_pretty(&json).map_err(|error| UsageError(error.to_string()))?;
    json.push(b'\n');
    std::fs::write(&index, json).map_err(|error| UsageError::at(&index, error))?;
    Ok(Verdict::Good)
}

fn write(scenario: &Scenario, folder: &Path) -> Result<Vec<Value>, UsageError> {
    let bundles = build(scenario).map_err(|error| UsageError(error.to_string()))?;
    let mut entries = Vec::with_capacity(bundles.len());
    for bundle in &bundles {
        let header = &bundle.block.block().header;
        let name = format!("{}-{}.json.zst", scenario.name, header.number);
        let path = folder.join(&name);
        let json = bundle
            .to_json(&scenario.fork.to_string())
            .map_err(|error| UsageError::at(&path, error))?;
        write_zstd(&path, &json, LEVEL).map_err(|error| UsageError::at(&path, error))?;
        entries.push(json!({
            "file": format!("blocks/{name}"),
            "about": scenario.about,
            "fork": scenario.fork.to_string(),
            "number": header.number,
            "hash": bundle.block.hash(),
            "txs": bundle.block.block().body.transactions.len(),
            "gasUsed": header.gas_used,
        }));
    }
    Ok(entries)
}
