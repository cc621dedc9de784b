//! `fugue import`: blocks from files into a chain on disk.
//!
//! One thread, `fugue-read`, reads and decodes blocks, checks their bodies and recovers their
//! senders; it hands them over in order through a channel of [`AHEAD_MAX`]. The caller's thread
//! judges, executes, roots and commits, with the threads of the executor.
//!
//! Blocks become durable in batches. Interrupted, the next run goes on after the last durable one.

mod progress;

use crate::{
    UsageError, Verdict,
    cli::Threads,
    datadir::{Datadir, genesis, spec_of, usage},
};
use fugue_archive::{BlockFile, FileKind};
use fugue_chain::{Chain, ChainOptions, ImportError, Imported, Place, Preparer, Retention};
use fugue_executor::{Mode, PreparedBlock};
use fugue_storage::{Access, Store};
use fugue_types::{B256, SealedBlock};
use progress::ImportProgress;
use std::{
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, SyncSender, sync_channel},
};

/// Blocks that are read and prepared ahead of the import.
const AHEAD_MAX: usize = 32;

/// Options of `fugue import`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// mainnet, sepolia, hoodi, holesky, or a genesis file in geth's format; not needed if the data
    /// folder has a chain
    #[arg(long, value_name = "CHAIN")]
    chain: Option<String>,
    #[command(flatten)]
    datadir: Datadir,
    /// How to execute: seq or occ
    #[arg(long, default_value_t = Mode::Occ)]
    mode: Mode,
    #[command(flatten)]
    threads: Threads,
    /// The last block to import
    #[arg(long, value_name = "NUMBER")]
    to: Option<u64>,
    /// What of the past to keep: archive, full[:BLOCKS] or minimal[:BLOCKS]
    #[arg(long, default_value_t = Retention::Archive)]
    retention: Retention,
    /// Blocks that become durable together, at most
    #[arg(long, value_name = "BLOCKS", default_value_t = 1024,
          value_parser = clap::value_parser!(u16).range(1..))]
    batch: u16,
    /// Print one JSON object per durable batch and a summary
    #[arg(long)]
    json: bool,
    /// Files of blocks: RLP streams, .era1 or .ere
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// What the reader hands over.
enum Read {
    /// Prepared, with the bytes that the file has come to.
    Prepared(Box<PreparedBlock>, u64),
    /// Perhaps known: not prepared.
    Sealed(Box<SealedBlock>, u64),
    /// Nothing more comes.
    Failed(ReadFault),
}

enum ReadFault {
    File(UsageError),
    Block(ImportError),
}

/// Runs the command.
pub(crate) fn run(options: &Options) -> Result<Verdict, UsageError> {
    let threads = options.threads.count();
    let store = open(options, threads)?;
    for path in &options.files {
        // The sum of an era stands at its end: it is compared before anything is imported.
        if BlockFile::open(path).map_err(usage)?.kind() != FileKind::Rlp {
            fugue_archive::verify(path).map_err(usage)?;
        }
    }
    let spec = spec_of(&store)?;
    let chain_options = ChainOptions {
        retention: options.retention,
        batch_blocks_max: usize::from(options.batch),
        ..ChainOptions::new(options.mode, threads)
    };
    let mut chain = Chain::open(store, spec, chain_options).map_err(usage)?;
    let bytes = options.files.iter().map(|path| file_bytes(path)).sum::<Result<u64, _>>()?;
    let mut progress = ImportProgress::new(options.json, bytes, chain.head())?;
    let preparer = chain.preparer();
    let known_to = chain.head().number;
    let genesis = chain.store().snapshot().map_err(usage)?.meta().genesis;
    let imported = std::thread::scope(|scope| {
        let (sender, receiver) = sync_channel(AHEAD_MAX);
        std::thread::Builder::new()
            .name("fugue-read".to_owned())
            .spawn_scoped(scope, move || {
                read(&options.files, &preparer, known_to, options.to, genesis, &sender);
            })
            .map_err(usage)?;
        import(&mut chain, receiver, &mut progress)
    });
    let flushed = chain.flush();
    if let Ok(Some(head)) = &flushed {
        progress.durable(*head)?;
    }
    let verdict = imported?;
    flushed.map_err(usage)?;
    progress.finish(&chain)?;
    Ok(verdict)
}

fn open(options: &Options, threads: usize) -> Result<Store, UsageError> {
    match &options.chain {
        Some(chain) => Ok(options.datadir.open_or_init(&genesis(chain)?, threads)?.0),
        None => options.datadir.open(Access::Write, threads),
    }
}

fn file_bytes(path: &Path) -> Result<u64, UsageError> {
    let metadata = std::fs::metadata(path).map_err(|error| UsageError::at(path, error))?;
    Ok(metadata.len())
}

/// Reads the files and hands over their blocks, until one is above `to` or nobody takes them.
fn read(
    files: &[PathBuf],
    preparer: &Preparer,
    known_to: u64,
    to: Option<u64>,
    genesis: B256,
    sender: &SyncSender<Read>,
) {
    let mut before = 0;
    for path in files {
        let mut file = match BlockFile::open(path) {
            Ok(file) => file,
            Err(error) => {
                let _ = sender.send(Read::Failed(ReadFault::File(usage(error))));
                return;
            }
        };
        while let Some(found) = file.next() {
            let position = before + file.position();
            let block = match found {
                Ok(found) => found.block,
                Err(error) => {
                    let _ = sender.send(Read::Failed(ReadFault::File(usage(error))));
                    return;
                }
            };
            let number = block.block().header.number;
            if to.is_some_and(|to| number > to) {
                return;
            }
            if block.hash() == genesis {
                continue;
            }
            let read = if number <= known_to {
                Read::Sealed(Box::new(block), position)
            } else {
                match preparer.prepare(block) {
                    Ok(prepared) => Read::Prepared(Box::new(prepared), position),
                    Err(error) => Read::Failed(ReadFault::Block(error)),
                }
            };
            let is_last = matches!(read, Read::Failed(_));
            if sender.send(read).is_err() || is_last {
                return;
            }
        }
        before += file.bytes();
    }
}

fn import(
    chain: &mut Chain,
    receiver: Receiver<Read>,
    progress: &mut ImportProgress,
) -> Result<Verdict, UsageError> {
    for read in receiver {
        let (imported, position) = match read {
            Read::Prepared(block, position) => (chain.import_prepared(*block), position),
            Read::Sealed(block, position) => (chain.import(*block), position),
            Read::Failed(ReadFault::File(error)) => return Err(error),
            Read::Failed(ReadFault::Block(error)) => (Err(error), 0),
        };
        match imported {
            Ok(imported) => report(&imported, position, progress)?,
            Err(error @ ImportError::Invalid { .. }) => {
                progress.say(&format!("error: {error}"))?;
                return Ok(Verdict::Differs);
            }
            Err(error @ ImportError::TooDeep { .. }) => {
                progress.say(&format!("warning: a block is left out: {error}"))?;
            }
            Err(error) => return Err(usage(error)),
        }
    }
    Ok(Verdict::Good)
}

fn report(
    imported: &Imported,
    position: u64,
    progress: &mut ImportProgress,
) -> Result<(), UsageError> {
    if imported.parallel_differed {
        progress.say(&format!(
            "warning: block {} ({}): the parallel run differed; the sequential one stands",
            imported.number, imported.hash
        ))?;
    }
    if imported.place == Place::Reorganised {
        let Imported { number, hash, .. } = imported;
        progress.say(&format!("reorganised to block {number} ({hash})"))?;
    }
    progress.block(imported, position)?;
    match imported.durable {
        Some(head) => progress.durable(head),
        None => Ok(()),
    }
}
