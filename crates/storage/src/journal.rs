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
//! An entry that is cut, or does not have its hash, is the last: the process ended while it was
//! written. It is dropped with all that follows.

use crate::{StorageError, lock::of_io};
use fugue_types::keccak256;
use std::{
    fs::{File, OpenOptions},
    io::{Read, Seek, SeekFrom, Write},
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
    /// Opens the journal, making it if it is not there, and gives the payloads that it holds.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(path: &Path) -> Result<(Self, Vec<Vec<u8>>), StorageError> {
        let mut options = OpenOptions::new();
        let opened = options.read(true).write(true).create(true).truncate(false).open(path);
        let mut file = opened.map_err(|error| of_io(path, "opening the journal", &error))?;
        let mut found = Vec::new();
        file.read_to_end(&mut found).map_err(|error| of_io(path, "reading the journal", &error))?;
        let (entries, bytes) = entries(&found);
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
    /// What the system says; the journal is then as it was.
    pub fn replace<'p>(
        &mut self,
        payloads: impl IntoIterator<Item = &'p [u8]>,
    ) -> Result<(), StorageError> {
        let next = self.path.with_extension("next");
        let write = || {
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
            // Without this a loss of power could bring the old file back.
            if let Some(folder) = self.path.parent().filter(|it| !it.as_os_str().is_empty()) {
                File::open(folder)?.sync_data()?;
            }
            Ok((file, bytes))
        };
        (self.file, self.bytes) =
            write().map_err(|error| self.fail("rewriting the journal", &error))?;
        self.has_tail = false;
        Ok(())
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

/// All whole entries, and where the last of them ends.
fn entries(mut bytes: &[u8]) -> (Vec<Vec<u8>>, u64) {
    let (mut entries, whole) = (Vec::new(), bytes.len());
    while let Some((head, rest)) = bytes.split_first_chunk::<HEAD_BYTES>() {
        let [a, b, c, d, hash @ ..] = head;
        let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        let Some((payload, rest)) = rest.split_at_checked(length) else { break };
        if keccak256(payload)[..8] != hash[..] {
            break;
        }
        entries.push(payload.to_vec());
        bytes = rest;
    }
    (entries, (whole - bytes.len()) as u64)
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

    #[test]
    fn an_entry_that_is_cut_or_damaged_is_dropped_and_the_rest_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("journal");
        let (mut journal, _) = Journal::open(&path).expect("a journal");
        journal.append(b"first").expect("room");
        let first = journal.bytes();
        journal.append(b"second").expect("room");
        let whole = std::fs::read(&path).expect("a file");
        for end in first as usize..whole.len() {
            std::fs::write(&path, &whole[..end]).expect("room");
            assert_eq!(reopened(&path), [b"first".to_vec()], "{end}");
            assert_eq!(std::fs::metadata(&path).expect("a file").len(), first);
            let mut damaged = whole.clone();
            damaged[end] ^= 1;
            std::fs::write(&path, &damaged).expect("room");
            assert_eq!(reopened(&path), [b"first".to_vec()], "{end}");
        }
    }

    #[test]
    fn an_entry_has_the_bytes_that_are_drawn() {
        let mut expected = vec![0, 0, 0, 2];
        expected.extend_from_slice(&keccak256([7, 8])[..8]);
        expected.extend_from_slice(&[7, 8]);
        assert_eq!(entry(&[7, 8]), expected);
    }
}
