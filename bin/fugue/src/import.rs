//! `fugue import`: blocks from files into a chain on disk.
//!
//! One thread, `fugue-read`, reads and decodes blocks, checks their bodies and recovers their
//! senders; it hands them over in order through a channel of [`AHEAD_MAX`]. The caller's thread
//! judges, executes, roots and commits, with the threads of the executor, and says how far it came,
//! so that the reader is not more than [`AHEAD_BYTES_MAX`] ahead.
//!
//! Blocks become durable in batches. Interrupted, the next run goes on after the last durable one.

mod progress;

use crate::{
    UsageError, Verdict,
    cli::Threads,
    datadir::{AddressIndex, Datadir, genesis, spec_of, usage},
};
use fugue_archive::{BlockFile, FileKind};
use fugue_chain::{Chain, ChainOptions, ImportError, Imported, Place, Preparer, Retention};
use fugue_executor::{Mode, PreparedBlock};
use fugue_storage::{Access, Store};
use fugue_types::{B256, Header, SealedBlock};
use progress::ImportProgress;
use std::{
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel},
};

/// Blocks that are read and prepared ahead of the import.
const AHEAD_MAX: usize = 32;
/// Bytes of files that are read ahead, but for one block.
const AHEAD_BYTES_MAX: u64 = 32 << 20;

/// Options of `fugue import`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// mainnet, sepolia, hoodi, holesky, or a genesis file in geth's format; not needed if the data
    /// folder has a chain
    #[arg(long, value_name = "CHAIN")]
    chain: Option<String>,
    #[command(flatten)]
    datadir: Datadir,
    /// How to execute: seq, occ, lanes or auto; bal is occ here, since files have no access lists
    #[arg(long, default_value_t = Mode::Auto)]
    mode: Mode,
    #[command(flatten)]
    threads: Threads,
    /// The last block to import
    #[arg(long, value_name = "NUMBER")]
    to: Option<u64>,
    /// What of the past to keep: archive, full[:BLOCKS] or minimal[:BLOCKS]
    #[arg(long, default_value_t = Retention::Archive)]
    retention: Retention,
    /// Begin the chain with an index of addresses, as in init
    #[arg(long)]
    index_addresses: bool,
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
    /// Refused as it was prepared.
    Block(Box<Header>, B256, ImportError),
}

/// The reader's end.
struct Ahead {
    sender: SyncSender<Read>,
    /// Positions to which the import came, at most one for each block that was handed over.
    came: Receiver<u64>,
    imported: u64,
    handed_over: u64,
}

impl Ahead {
    /// Hands something over, when there is room for it. Says whether somebody takes more.
    fn hand_over(&mut self, read: Read) -> bool {
        while self.handed_over.saturating_sub(self.imported) > AHEAD_BYTES_MAX {
            // What was handed over is imported some time, or nobody listens.
            match self.came.recv() {
                Ok(imported) => self.imported = imported,
                Err(_) => return false,
            }
        }
        self.imported = self.came.try_iter().last().unwrap_or(self.imported);
        if let Read::Prepared(_, position) | Read::Sealed(_, position) = &read {
            self.handed_over = *position;
        }
        let is_last = matches!(read, Read::Failed(_));
        self.sender.send(read).is_ok() && !is_last
    }
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
        let (done, came) = channel();
        std::thread::Builder::new()
            .name("fugue-read".to_owned())
            .spawn_scoped(scope, move || {
                let ahead = Ahead { sender, came, imported: 0, handed_over: 0 };
                read(&options.files, &preparer, known_to, options.to, genesis, ahead);
            })
            .map_err(usage)?;
        import(&mut chain, receiver, &done, &mut progress)
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
    let index = AddressIndex::of_flag(options.index_addresses);
    match &options.chain {
        Some(chain) => Ok(options.datadir.open_or_init(&genesis(chain)?, threads, index)?.0),
        None => {
            let store = options.datadir.open(Access::Write, threads)?;
            options.datadir.check_index(&store, index)?;
            Ok(store)
        }
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
    mut ahead: Ahead,
) {
    let mut before = 0;
    for path in files {
        let mut file = match BlockFile::open(path) {
            Ok(file) => file,
            Err(error) => {
                ahead.hand_over(Read::Failed(ReadFault::File(usage(error))));
                return;
            }
        };
        while let Some(found) = file.next() {
            let position = before + file.position();
            let block = match found {
                Ok(found) => found.block,
                Err(error) => {
                    ahead.hand_over(Read::Failed(ReadFault::File(usage(error))));
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
                let (header, hash) = (block.block().header.clone(), block.hash());
                match preparer.prepare(block) {
                    Ok(prepared) => Read::Prepared(Box::new(prepared), position),
                    Err(error) => Read::Failed(ReadFault::Block(Box::new(header), hash, error)),
                }
            };
            if !ahead.hand_over(read) {
                return;
            }
        }
        before += file.bytes();
    }
}

fn import(
    chain: &mut Chain,
    receiver: Receiver<Read>,
    done: &Sender<u64>,
    progress: &mut ImportProgress,
) -> Result<Verdict, UsageError> {
    for read in receiver {
        let (imported, position) = match read {
            Read::Prepared(block, position) => (chain.import_prepared(*block), position),
            Read::Sealed(block, position) => (chain.import(*block), position),
            Read::Failed(ReadFault::File(error)) => return Err(error),
            Read::Failed(ReadFault::Block(header, hash, error)) => {
                (Err(chain.refuse(&header, hash, error)), 0)
            }
        };
        // Nobody listens when everything is read.
        let _ = done.send(position);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reader_waits_for_the_import_and_goes_when_nobody_imports() {
        let (sender, receiver) = sync_channel(AHEAD_MAX);
        let (done, came) = channel();
        let mut ahead = Ahead { sender, came, imported: 0, handed_over: 0 };
        let block =
            |position| Read::Sealed(Box::new(SealedBlock::seal(Default::default())), position);
        // One block may be as large as it likes.
        assert!(ahead.hand_over(block(AHEAD_BYTES_MAX * 2)));
        done.send(AHEAD_BYTES_MAX).expect("the reader is there");
        assert!(ahead.hand_over(block(AHEAD_BYTES_MAX * 2 + 1)));
        assert_eq!(ahead.imported, AHEAD_BYTES_MAX, "it has listened");
        drop(done);
        assert!(!ahead.hand_over(block(AHEAD_BYTES_MAX * 2 + 2)), "it is too far ahead");
        assert_eq!(receiver.try_iter().count(), 2);
    }
}
