//! A file of entries that are appended one by one: what a restart needs of the time since the last
//! commit.
//!
//! ```text
//! file   entry*
//! entry  length of the payload, 4 bytes big-endian
//!        first 8 bytes of keccak256(payload)
//!        payload
//! ```
//!
//! If the last entry is cut, or does not have its hash, the process ended while it was written: it
//! is dropped. If more follows such an entry, the file is damaged, and nothing is dropped.

use crate::{StorageError, lock::of_io};
use fugue_types::{Keccak256, keccak256};
use std::{
    fs::{File, OpenOptions},
    io::{Read, Seek, SeekFrom, Write},
    ops::Range,
    path::{Path, PathBuf},
};

/// Bytes of an entry before its payload.
const HEAD_BYTES: usize = 12;

/// The journal in a folder, open for appending.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    bytes: u64,
    /// Something may stand behind the last whole entry, where a further one would not be found.
    has_tail: bool,
}

impl Journal {
    /// Opens the journal, making it if it is not there, and gives the payloads that it holds. A
    /// half-written end is cut off.
    ///
    /// # Errors
    /// [`StorageError::DamagedJournal`], or what the system says.
    pub fn open(path: &Path) -> Result<(Self, Vec<Vec<u8>>), StorageError> {
        let mut options = OpenOptions::new();
        let opened = options.read(true).write(true).create(true).truncate(false).open(path);
        let mut file = opened.map_err(|error| of_io(path, "opening the journal", &error))?;
        let mut found = Vec::new();
        file.read_to_end(&mut found).map_err(|error| of_io(path, "reading the journal", &error))?;
        let (entries, rest) = entries(&found);
        let bytes = (found.len() - rest.len()) as u64;
        if !is_torn(rest) {
            return Err(StorageError::DamagedJournal { path: path.to_owned(), offset: bytes });
        }
        let mut journal = Self { path: path.to_owned(), file, bytes, has_tail: false };
        journal.cut()?;
        Ok((journal, entries))
    }

    /// Bytes of the file.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Appends an entry. It survives the end of the process; that of the system only after
    /// [`Journal::sync`].
    ///
    /// # Errors
    /// What the system says; the journal then ends where it did.
    pub fn append(&mut self, payload: &[u8]) -> Result<(), StorageError> {
        if self.has_tail {
            self.cut()?;
        }
        let entry = entry(payload);
        if let Err(error) = self.file.write_all(&entry) {
            let error = self.fail("appending to the journal", &error);
            self.cut()?;
            return Err(error);
        }
        self.bytes += entry.len() as u64;
        Ok(())
    }

    /// Returns when all entries are on the disk.
    ///
    /// # Errors
    /// What the system says.
    pub fn sync(&self) -> Result<(), StorageError> {
        self.file.sync_data().map_err(|error| self.fail("syncing the journal", &error))
    }

    /// Puts these entries in the place of all others, at once or not at all.
    ///
    /// # Errors
    /// What the system says. The journal is then as it was; or it has these entries, and only a
    /// failure of the system may bring the others back. Either way what is appended goes to the
    /// file that a restart opens.
    pub fn replace<'p>(
        &mut self,
        payloads: impl IntoIterator<Item = &'p [u8]>,
    ) -> Result<(), StorageError> {
        self.replace_by(payloads, File::sync_data)
    }

    fn replace_by<'p>(
        &mut self,
        payloads: impl IntoIterator<Item = &'p [u8]>,
        sync_folder: impl FnOnce(&File) -> std::io::Result<()>,
    ) -> Result<(), StorageError> {
        let next = self.path.with_extension("next");
        let write = || {
            // Opened first: after the renaming nothing but its sync can fail.
            let folder = self.path.parent().filter(|it| !it.as_os_str().is_empty());
            let folder = folder.map(File::open).transpose()?;
            let mut options = OpenOptions::new();
            // The handle that is written through goes on after the renaming.
            let mut file =
                options.read(true).write(true).create(true).truncate(true).open(&next)?;
            let mut bytes = 0;
            for payload in payloads {
                let entry = entry(payload);
                file.write_all(&entry)?;
                bytes += entry.len() as u64;
            }
            file.sync_data()?;
            std::fs::rename(&next, &self.path)?;
            Ok((file, bytes, folder))
        };
        let (file, bytes, folder) =
            write().map_err(|error| self.fail("rewriting the journal", &error))?;
        (self.file, self.bytes, self.has_tail) = (file, bytes, false);
        // Without this a loss of power could bring the old file back.
        let synced = folder.map_or(Ok(()), |folder| sync_folder(&folder));
        synced.map_err(|error| self.fail("syncing the folder of the journal", &error))
    }

    /// Ends the file after the last whole entry.
    fn cut(&mut self) -> Result<(), StorageError> {
        self.has_tail = true;
        let end = SeekFrom::Start(self.bytes);
        let cut = self.file.set_len(self.bytes).and_then(|()| self.file.seek(end));
        cut.map_err(|error| self.fail("cutting the journal", &error))?;
        self.has_tail = false;
        Ok(())
    }

    fn fail(&self, doing: &'static str, error: &std::io::Error) -> StorageError {
        of_io(&self.path, doing, error)
    }
}

fn entry(payload: &[u8]) -> Vec<u8> {
    // The caller's payloads are far below 4 GiB: blocks are bounded.
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let mut entry = Vec::with_capacity(HEAD_BYTES + payload.len());
    entry.extend_from_slice(&length.to_be_bytes());
    entry.extend_from_slice(&keccak256(payload)[..8]);
    entry.extend_from_slice(payload);
    entry
}

/// The length and the hash that an entry has, and what follows them.
fn split_head(bytes: &[u8]) -> Option<(usize, &[u8], &[u8])> {
    let ([a, b, c, d, hash @ ..], rest) = bytes.split_first_chunk::<HEAD_BYTES>()?;
    Some((u32::from_be_bytes([*a, *b, *c, *d]) as usize, hash.as_slice(), rest))
}

/// The payloads of the whole entries before the first that is not, and what is left from there on.
fn entries(mut bytes: &[u8]) -> (Vec<Vec<u8>>, &[u8]) {
    let mut entries = Vec::new();
    while let Some((length, hash, rest)) = split_head(bytes) {
        let Some((payload, rest)) = rest.split_at_checked(length) else { break };
        if keccak256(payload)[..8] != *hash {
            break;
        }
        entries.push(payload.to_vec());
        bytes = rest;
    }
    (entries, bytes)
}

/// Whether what is left may be a last entry that was not written to its end.
///
/// A crash leaves the beginning of such an entry, and zeros where the file system had made room.
/// All but zeros then lies before the end of the entry, which is told twice: by its length, and by
/// how many of the bytes after its head have its hash. A length that is cut has only zeros behind
/// it, and no mere beginning of a payload has the hash of all of it. So what is found behind either
/// end was appended later, and the entry was whole once.
///
/// That some bytes further on are a whole entry would say nothing: a transaction may carry such
/// bytes, and the block with it may be cut. For each byte one hash is finished at most.
fn is_torn(bytes: &[u8]) -> bool {
    let Some((length, hash, rest)) = split_head(bytes) else { return true };
    let zeros = rest.iter().rev().take_while(|byte| **byte == 0).count();
    let written = rest.len() - zeros;
    if length < written {
        // Unless it is the last all the same, and its length is what is damaged.
        has_hash(rest, written..rest.len() + 1, hash)
    } else {
        !has_hash(rest, 0..written, hash)
    }
}

/// Whether the hash is that of the first bytes, for any of these lengths.
fn has_hash(bytes: &[u8], lengths: Range<usize>, hash: &[u8]) -> bool {
    let mut hasher = Keccak256::new();
    hasher.update(&bytes[..lengths.start]);
    for length in lengths {
        if hasher.clone().finalize()[..8] == *hash {
            return true;
        }
        hasher.update(bytes.get(length..=length).unwrap_or_default());
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reopened(path: &Path) -> Vec<Vec<u8>> {
        Journal::open(path).expect("a journal").1
    }

    #[test]
    fn what_was_appended_is_there_after_opening_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("journal");
        let (mut journal, found) = Journal::open(&path).expect("a journal");
        assert!(found.is_empty());
        journal.append(b"one").expect("room");
        journal.append(b"").expect("room");
        assert_eq!(reopened(&path), [b"one".to_vec(), Vec::new()]);
        journal.replace([&b"two"[..]]).expect("room");
        journal.append(b"three").expect("room");
        assert_eq!(reopened(&path), [b"two".to_vec(), b"three".to_vec()]);
        assert_eq!(journal.bytes(), std::fs::metadata(&path).expect("a file").len());
    }

    /// Three entries, and where each of them begins. In the last one lies what is an entry as well.
    fn three(path: &Path) -> (Vec<u8>, [usize; 3]) {
        let (mut journal, _) = Journal::open(path).expect("a journal");
        let zeros = [0_u8; 40];
        let last = [&zeros[..], &entry(b"inside"), &entry(b""), &zeros, &[1]].concat();
        let starts = [&b"first"[..], b"second", &last].map(|payload| {
            let start = journal.bytes() as usize;
            journal.append(payload).expect("room");
            start
        });
        (std::fs::read(path).expect("a file"), starts)
    }

    /// What is found once these bytes are the file, and what the file is then.
    fn opened(path: &Path, bytes: &[u8]) -> (Result<usize, StorageError>, Vec<u8>) {
        std::fs::write(path, bytes).expect("room");
        let count = Journal::open(path).map(|(_, entries)| entries.len());
        (count, std::fs::read(path).expect("a file"))
    }

    #[test]
    fn a_last_entry_that_is_cut_or_damaged_is_dropped_and_the_rest_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("journal");
        let (whole, [.., last]) = three(&path);
        let kept = whole[..last].to_vec();
        for end in last..whole.len() {
            for zeros in [0, 1, HEAD_BYTES, 4096] {
                let torn = [&whole[..end], &vec![0; zeros]].concat();
                assert_eq!(opened(&path, &torn), (Ok(2), kept.clone()), "{end}, {zeros} zeros");
            }
            for bit in 0..8 {
                let mut damaged = whole.clone();
                damaged[end] ^= 1 << bit;
                assert_eq!(opened(&path, &damaged), (Ok(2), kept.clone()), "{end}, bit {bit}");
            }
        }
        let padded = [&whole[..], &[0; 4096]].concat();
        assert_eq!(opened(&path, &padded), (Ok(3), whole));
    }

    #[test]
    fn damage_before_other_entries_is_told_and_nothing_is_dropped() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("journal");
        let (whole, [_, second, last]) = three(&path);
        let refused = |offset: usize| StorageError::DamagedJournal {
            path: path.clone(),
            offset: offset as u64,
        };
        for at in 0..last {
            let error = refused(if at < second { 0 } else { second });
            for bit in 0..8 {
                let mut damaged = whole.clone();
                damaged[at] ^= 1 << bit;
                let found = opened(&path, &damaged);
                assert_eq!(found, (Err(error.clone()), damaged), "{at}, bit {bit}");
            }
        }
        // A sector that was lost.
        for [start, end] in [[0, second], [second, last], [0, last]] {
            let mut damaged = whole.clone();
            damaged[start..end].fill(0);
            assert_eq!(opened(&path, &damaged), (Err(refused(start)), damaged), "{start} to {end}");
        }
        let told = refused(second).to_string();
        assert!(told.contains("journal: the entry at byte 17 is damaged"), "{told}");
    }

    #[test]
    fn a_replacement_that_fails_leaves_a_journal_that_goes_on() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("journal");
        let (mut journal, _) = Journal::open(&path).expect("a journal");
        journal.append(b"old").expect("room");
        // Before the renaming: no file can be made there.
        let next = path.with_extension("next");
        std::fs::create_dir(&next).expect("room");
        journal.replace([&b"new"[..]]).expect_err("a folder is in the way");
        std::fs::remove_dir(&next).expect("it is there");
        journal.append(b"older").expect("room");
        assert_eq!(reopened(&path), [b"old".to_vec(), b"older".to_vec()]);
        // After it.
        let failed = journal.replace_by([&b"new"[..]], |_| Err(std::io::Error::other("no sync")));
        failed.expect_err("no sync");
        journal.append(b"newer").expect("room");
        assert_eq!(reopened(&path), [b"new".to_vec(), b"newer".to_vec()]);
        assert_eq!(journal.bytes(), std::fs::metadata(&path).expect("a file").len());
    }

    /// 1. A process is killed between the writing of the new file and its renaming.
    /// 2. The next one has less to write there.
    #[test]
    fn what_a_killed_replacement_left_does_not_follow_the_entries_of_the_next() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("journal");
        let left = [&b"one"[..], b"two", b"three"].map(entry).concat();
        std::fs::write(path.with_extension("next"), left).expect("room");
        let (mut journal, found) = Journal::open(&path).expect("a journal");
        assert!(found.is_empty(), "it was never in place");
        // As long as the first of those that were left.
        journal.replace([&b"new"[..]]).expect("room");
        assert_eq!(reopened(&path), [b"new".to_vec()]);
    }

    #[test]
    fn an_entry_has_the_bytes_that_are_drawn() {
        let mut expected = vec![0, 0, 0, 2];
        expected.extend_from_slice(&keccak256([7, 8])[..8]);
        expected.extend_from_slice(&[7, 8]);
        assert_eq!(entry(&[7, 8]), expected);
    }
}
