//! Reads and writes block files.
//!
//! A [`Bundle`] is one block with the state that its transactions read, a [`WitnessBundle`] one
//! with the trie nodes that prove this state; a [`Record`] is either. A [`BlockFile`] is a run of
//! blocks: an era1 or ere file, or a stream of RLP blocks.

mod error;
mod fault;

mod bundle;
mod file;
mod record;
mod witness;

mod accumulator;
mod block_file;
mod contents;
mod e2store;
mod era;
mod era1;
mod era1_writer;
mod ere;
mod index;
mod rlp_stream;
#[cfg(test)]
mod sample;

pub use block_file::{BlockFile, FileBlock, FileKind, verify};
pub use bundle::{Bundle, BundleReader, FORMAT, PreAccount, PreState};
pub use e2store::BLOCK_BYTES_MAX;
pub use era::EraSummary;
pub use era1_writer::Era1Writer;
pub use error::{ArchiveError, Cause};
pub use fault::{Fault, Place};
pub use file::{FILE_BYTES_MAX, read_file, write_zstd};
pub use index::ERA_BLOCKS_MAX;
pub use record::Record;
pub use rlp_stream::write_rlp;
pub use witness::{WITNESS_FORMAT, WitnessBundle};
