//! `fugue export`: blocks of a stored chain into files.

use crate::{
    UsageError, Verdict,
    datadir::{Datadir, spec_of, usage},
    print,
    progress::Progress,
};
use clap::ValueEnum;
use fugue_archive::{Era1Writer, write_rlp};
use fugue_storage::{Access, Snapshot};
use fugue_types::{Block, SealedBlock, U256};
use std::{
    fs::File,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

/// Blocks of one era1 file. Source: the era1 format.
const ERA_BLOCKS: u64 = 8_192;

/// The form of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// One file: the RLP of one block after the other.
    Rlp,
    /// A folder of .era1 files of 8192 blocks each: whole eras before the merge only.
    Era1,
}

/// Options of `fugue export`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    datadir: Datadir,
    /// The first block
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    from: u64,
    /// The last block [default: the head]
    #[arg(long, value_name = "NUMBER")]
    to: Option<u64>,
    /// What to write
    #[arg(long, value_enum, default_value_t = Format::Rlp)]
    format: Format,
    /// Name of the network in the names of era files [default: that of the chain]
    #[arg(long, value_name = "NAME")]
    network: Option<String>,
    /// The file to write; with era1 the folder
    #[arg(value_name = "OUT")]
    out: PathBuf,
}

/// Runs the command.
pub(crate) fn run(options: &Options) -> Result<Verdict, UsageError> {
    let store = options.datadir.open(Access::Read, 1)?;
    let snapshot = store.snapshot().map_err(usage)?;
    let head = snapshot.meta().head.number;
    let to = options.to.unwrap_or(head);
    if to > head {
        return Err(UsageError(format!("--to {to}: above the head, {head}")));
    }
    if options.from > to {
        return Err(UsageError(format!("--from {}: above the last block, {to}", options.from)));
    }
    match options.format {
        Format::Rlp => export_rlp(&snapshot, options.from, to, &options.out)?,
        Format::Era1 => {
            let network = match &options.network {
                Some(network) => network.clone(),
                None => spec_of(&store)?.name().replace(' ', "_"),
            };
            export_era1(&snapshot, options, to, &network)?;
        }
    }
    Ok(Verdict::Good)
}

fn block(snapshot: &Snapshot, number: u64) -> Result<Block, UsageError> {
    let (_, header) = snapshot.header(number).map_err(usage)?;
    Ok(Block { header, body: snapshot.body(number).map_err(usage)? })
}

/// A file is replaced, whole or not at all. Whatever else is there, as a pipe, a device or a link,
/// is written to.
fn export_rlp(snapshot: &Snapshot, from: u64, to: u64, out: &Path) -> Result<(), UsageError> {
    let is_stream = std::fs::symlink_metadata(out).is_ok_and(|found| !found.is_file());
    let partial = if is_stream { out.to_owned() } else { out.with_extension("partial") };
    let at = |error: std::io::Error| UsageError::at(&partial, error);
    let mut file = BufWriter::new(File::create(&partial).map_err(at)?);
    let count = usize::try_from(to - from + 1).unwrap_or(usize::MAX);
    let progress = Progress::new("blocks", count);
    for number in from..=to {
        write_rlp(&mut file, &block(snapshot, number)?).map_err(at)?;
        progress.step(&number.to_string());
    }
    progress.finish();
    file.flush().map_err(at)?;
    if is_stream {
        // It may be standard output.
        eprintln!("{}: blocks {from} to {to}", out.display());
        return Ok(());
    }
    file.get_ref().sync_all().map_err(at)?;
    std::fs::rename(&partial, out).map_err(|error| UsageError::at(out, error))?;
    print(format_args!("{}: blocks {from} to {to}\n", out.display()))
}

fn export_era1(
    snapshot: &Snapshot,
    options: &Options,
    to: u64,
    network: &str,
) -> Result<(), UsageError> {
    let from = if options.from == 1 { 0 } else { options.from };
    if !from.is_multiple_of(ERA_BLOCKS) || !(to + 1).is_multiple_of(ERA_BLOCKS) {
        let eras = format!("blocks {from} to {to} are not whole eras of {ERA_BLOCKS} blocks");
        return Err(UsageError(eras));
    }
    let (_, last) = snapshot.header(to).map_err(usage)?;
    if last.difficulty == U256::ZERO {
        return Err(UsageError(format!("block {to} is after the merge: era1 ends before it")));
    }
    std::fs::create_dir_all(&options.out).map_err(|error| UsageError::at(&options.out, error))?;
    let count = usize::try_from(to - from + 1).unwrap_or(usize::MAX);
    let progress = Progress::new("blocks", count);
    for era in from / ERA_BLOCKS..=to / ERA_BLOCKS {
        let mut writer = Era1Writer::create(&options.out.join("export.era1")).map_err(usage)?;
        for number in era * ERA_BLOCKS..(era + 1) * ERA_BLOCKS {
            let receipts = snapshot.receipts(number).map_err(usage)?;
            let total = snapshot.total_difficulty(number).map_err(usage)?;
            let block = SealedBlock::seal(block(snapshot, number)?);
            writer.push(&block, &receipts, total).map_err(usage)?;
            progress.step(&number.to_string());
        }
        let (path, _) = writer.finish_named(network).map_err(usage)?;
        progress.say(&path.display().to_string());
    }
    progress.finish();
    Ok(())
}
