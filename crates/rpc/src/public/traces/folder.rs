//! Traces as files of a folder that the operator has named.
//!
//! ```text
//! turn of the folder -> .name.part, one for each transaction -> all are written -> name
//! ```
//! A name is made of hashes and numbers alone, so no caller leads anything out of the folder. A
//! file that is not whole has a name of its own, and goes with the call that writes it, or when the
//! folder is opened the next time, if the process was killed.

use crate::public::{
    Limits,
    error::{self, refused},
};
use alloy_primitives::{FixedBytes, hex};
use fugue_types::B256;
use jsonrpsee::types::ErrorObjectOwned;
use serde::Serialize;
use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    sync::{
        Mutex, MutexGuard, TryLockError,
        atomic::{AtomicU64, Ordering},
    },
};

/// How the names of all files begin.
const PREFIX: &str = "block_0x";
/// How the names of those end that are not whole. They begin with a dot.
const PART: &str = ".part";
/// Names that are tried for a file: one is taken already once in a million times.
const TRIES: usize = 8;
/// Bytes of a hash that a name has. Source: go-ethereum, `eth/tracers/api.go`.
const HASH_BYTES: usize = 4;

/// A folder for traces.
#[derive(Debug)]
pub(crate) struct TraceFolder {
    path: PathBuf,
    /// Held by the call that writes.
    turn: Mutex<()>,
}

/// The turn of a call that writes into the folder.
pub(crate) struct FolderTurn<'f> {
    path: &'f Path,
    /// Bytes that the folder may still take.
    room: AtomicU64,
    limits: Limits,
    _turn: MutexGuard<'f, ()>,
}

impl TraceFolder {
    /// Makes the folder if it is not there. What an earlier process has not ended is taken away.
    ///
    /// # Errors
    /// If it cannot be made or read.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        fs::create_dir_all(path)?;
        let path = fs::canonicalize(path)?;
        for entry in fs::read_dir(&path)? {
            let entry = entry?;
            if is_part(&entry.file_name()) && entry.file_type()?.is_file() {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(Self { path, turn: Mutex::default() })
    }

    /// The turn of a call that writes so many files.
    ///
    /// # Errors
    /// If another call has it, or the folder has no room for them.
    pub(crate) fn begin(
        &self,
        count: usize,
        limits: &Limits,
    ) -> Result<FolderTurn<'_>, ErrorObjectOwned> {
        let turn = match self.turn.try_lock() {
            Ok(turn) => turn,
            // Whoever panicked has changed nothing of it.
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {
                return Err(refused("another call is writing traces to files: ask later"));
            }
        };
        let (files, bytes) = self.content(limits.trace_files_max).map_err(error::internal)?;
        let (after, max) = (files.saturating_add(count), limits.trace_files_max);
        if after > max {
            return Err(refused(format!(
                "the folder of traces would have more than {max} files (--rpc.max-trace-files): \
                 ask for a single transaction, or have files taken away"
            )));
        }
        let room = AtomicU64::new(limits.trace_folder_bytes_max.saturating_sub(bytes));
        Ok(FolderTurn { path: &self.path, room, limits: *limits, _turn: turn })
    }

    /// Files in the folder and their bytes; no more is counted than it takes to be above `max`.
    fn content(&self, max: usize) -> io::Result<(usize, u64)> {
        let (mut files, mut bytes) = (0_usize, 0_u64);
        for entry in fs::read_dir(&self.path)? {
            let size = match entry?.metadata() {
                Ok(metadata) => metadata.len(),
                // Somebody makes room.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            files = files.saturating_add(1);
            bytes = bytes.saturating_add(size);
            if files > max {
                break;
            }
        }
        Ok((files, bytes))
    }
}

fn is_part(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    let whole = name.strip_prefix('.').and_then(|name| name.strip_suffix(PART));
    whole.is_some_and(|name| name.starts_with(PREFIX))
}

impl FolderTurn<'_> {
    /// A file for the transaction with this index of a block.
    ///
    /// # Errors
    /// If there can be none.
    pub(crate) fn file(
        &self,
        block: B256,
        index: usize,
        tx: B256,
    ) -> Result<TraceWriter<'_>, ErrorObjectOwned> {
        let short = |hash: B256| hex::encode_prefixed(&hash[..HASH_BYTES]);
        let prefix = format!("block_{}-{index}-{}-", short(block), short(tx));
        for _ in 0..TRIES {
            let name = format!("{prefix}{}", u32::from_be_bytes(FixedBytes::<4>::random().0));
            let whole = self.path.join(&name);
            if whole.try_exists().map_err(error::internal)? {
                continue;
            }
            let path = self.path.join(format!(".{name}{PART}"));
            match File::create_new(&path) {
                Ok(file) => {
                    let file = BufWriter::new(file);
                    let written = TraceFile { path, whole, is_kept: false };
                    let line = Vec::new();
                    return Ok(TraceWriter { file, written, line, bytes: 0, turn: self });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error::internal(error)),
            }
        }
        Err(error::internal("no name is free in the folder of traces"))
    }

    /// Gives all files the names of whole ones, and names them.
    ///
    /// # Errors
    /// If one cannot be given its name: then none is left.
    pub(crate) fn keep(self, mut files: Vec<TraceFile>) -> Result<Vec<String>, ErrorObjectOwned> {
        for file in &mut files {
            file.rename().map_err(error::internal)?;
        }
        let keep = |mut file: TraceFile| {
            file.is_kept = true;
            file.path.to_string_lossy().into_owned()
        };
        Ok(files.into_iter().map(keep).collect())
    }
}

/// A file that is being written.
pub(crate) struct TraceWriter<'f> {
    file: BufWriter<File>,
    written: TraceFile,
    /// The line that was written last.
    line: Vec<u8>,
    bytes: u64,
    turn: &'f FolderTurn<'f>,
}

impl TraceWriter<'_> {
    /// Writes a line.
    ///
    /// # Errors
    /// If it does not fit, or is not taken.
    pub(crate) fn line<T: Serialize + ?Sized>(
        &mut self,
        value: &T,
    ) -> Result<(), ErrorObjectOwned> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, value).map_err(error::internal)?;
        self.line.push(b'\n');
        let bytes = self.line.len() as u64;
        self.bytes = self.bytes.saturating_add(bytes);
        let Limits { trace_file_bytes_max, trace_folder_bytes_max, .. } = self.turn.limits;
        if self.bytes > trace_file_bytes_max {
            return Err(refused(format!(
                "the trace of a transaction takes more than {trace_file_bytes_max} bytes \
                 (--rpc.max-trace-file-size)"
            )));
        }
        let less = |room: u64| room.checked_sub(bytes);
        let taken = self.turn.room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        taken.map_err(|_| {
            refused(format!(
                "the folder of traces would have more than {trace_folder_bytes_max} bytes \
                 (--rpc.max-trace-folder-size): ask for a single transaction, or have files taken \
                 away"
            ))
        })?;
        self.file.write_all(&self.line).map_err(error::internal)
    }

    /// The file with all that was written.
    ///
    /// # Errors
    /// If that is not taken.
    pub(crate) fn end(self) -> Result<TraceFile, ErrorObjectOwned> {
        let Self { mut file, written, .. } = self;
        file.flush().map_err(error::internal)?;
        Ok(written)
    }
}

/// A file that goes when this is dropped, unless it is kept.
#[derive(Debug)]
pub(crate) struct TraceFile {
    path: PathBuf,
    /// Where it is to be.
    whole: PathBuf,
    is_kept: bool,
}

impl TraceFile {
    fn rename(&mut self) -> io::Result<()> {
        fs::rename(&self.path, &self.whole)?;
        self.path.clone_from(&self.whole);
        Ok(())
    }
}

impl Drop for TraceFile {
    fn drop(&mut self) {
        if !self.is_kept
            && let Err(error) = fs::remove_file(&self.path)
        {
            let path = self.path.display();
            tracing::warn!(target: "fugue::rpc", %path, %error, "a file of a trace is left");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(files: usize, file: u64, folder: u64) -> Limits {
        Limits {
            trace_files_max: files,
            trace_file_bytes_max: file,
            trace_folder_bytes_max: folder,
            ..Limits::default()
        }
    }

    fn names(path: &Path) -> Vec<String> {
        let entries = path.read_dir().expect("a folder");
        let name = |entry: io::Result<fs::DirEntry>| entry.expect("an entry").file_name();
        let mut names: Vec<_> =
            entries.map(|entry| name(entry).to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    fn one(turn: &FolderTurn<'_>, index: usize) -> Result<TraceFile, ErrorObjectOwned> {
        let (block, tx) = (B256::repeat_byte(0xab), B256::repeat_byte(0x01));
        let mut writer = turn.file(block, index, tx)?;
        writer.line("12345")?;
        writer.line("67")?;
        writer.end()
    }

    #[test]
    fn files_have_the_names_of_go_ethereum_and_are_there_when_all_are_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("of/traces");
        let traces = TraceFolder::open(&path).expect("a folder");
        let turn = traces.begin(2, &limits(2, 100, 100)).expect("a turn");
        let files: Vec<_> = (0..2).map(|index| one(&turn, index).expect("room")).collect();
        assert!(names(&path).iter().all(|name| is_part(OsStr::new(name))), "{:?}", names(&path));
        let told = turn.keep(files).expect("a folder");
        let found = names(&path);
        assert_eq!(found.len(), 2);
        for (index, (name, told)) in found.iter().zip(&told).enumerate() {
            let random = name.strip_prefix(&format!("block_0xabababab-{index}-0x01010101-"));
            assert!(random.is_some_and(|random| random.parse::<u32>().is_ok()), "{name}");
            let told = Path::new(told);
            assert_eq!(told, fs::canonicalize(&path).expect("a folder").join(name));
            assert_eq!(fs::read_to_string(told).expect("a file"), "\"12345\"\n\"67\"\n");
        }
    }

    #[test]
    fn nothing_is_left_of_a_call_that_does_not_come_to_its_end() {
        let folder = tempfile::tempdir().expect("a folder");
        let traces = TraceFolder::open(folder.path()).expect("a folder");
        let turn = traces.begin(3, &limits(9, 100, 1_000)).expect("a turn");
        let whole = one(&turn, 0).expect("room");
        let mut half = turn.file(B256::ZERO, 1, B256::ZERO).expect("room");
        half.line(&7).expect("room");
        assert_eq!(names(folder.path()).len(), 2);
        drop((whole, half));
        assert_eq!(names(folder.path()), [""; 0]);
        // One that cannot have its name takes those with it that have theirs.
        let files = [one(&turn, 0), one(&turn, 1)].map(|file| file.expect("room"));
        let [first, mut second] = files;
        fs::remove_file(&second.path).expect("a file");
        second.is_kept = true;
        let told = turn.keep(vec![first, second]).expect_err("a file is gone");
        assert_eq!(told.code(), error::INTERNAL);
        assert_eq!(names(folder.path()), [""; 0]);
    }

    #[test]
    fn bounds_are_those_of_files_of_a_file_and_of_the_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("other"), [0; 10]).expect("a file");
        let traces = TraceFolder::open(folder.path()).expect("a folder");
        let refused = |limits: Limits, count: usize| {
            let turn = match traces.begin(count, &limits) {
                Ok(turn) => turn,
                Err(error) => return error.message().to_owned(),
            };
            let error = one(&turn, 0).expect_err("there is no room");
            error.message().to_owned()
        };
        for (told, flag) in [
            (refused(limits(2, 100, 100), 2), "--rpc.max-trace-files)"),
            // Two lines: 8 bytes and 5.
            (refused(limits(9, 12, 100), 1), "--rpc.max-trace-file-size)"),
            (refused(limits(9, 100, 22), 1), "--rpc.max-trace-folder-size)"),
        ] {
            assert!(told.contains(flag), "{told}");
        }
        let turn = traces.begin(1, &limits(2, 13, 23)).expect("a turn");
        assert!(one(&turn, 0).is_ok());
        assert_eq!(names(folder.path()), ["other"]);
        // One call at a time.
        let told = traces.begin(1, &limits(9, 100, 100)).err().expect("it is another's turn");
        assert!(told.message().contains("another call"), "{told}");
    }

    #[test]
    fn what_a_killed_process_has_left_goes_and_nothing_else_does() {
        let folder = tempfile::tempdir().expect("a folder");
        let kept = [".block_0x.part.txt", "block_0x00-0-0x00-1", "other.part"];
        for name in kept.iter().chain(&[".block_0x00-0-0x00-2.part"]) {
            fs::write(folder.path().join(name), "{}").expect("a file");
        }
        TraceFolder::open(folder.path()).expect("a folder");
        assert_eq!(names(folder.path()), kept);
    }
}
