//! What era1 and ere files have in common: blocks that follow each other, what comes after the last
//! one, and a name that says what is in the file.

use crate::{
    Cause, Fault, Place,
    e2store::{EntryReader, Kind},
};
use fugue_types::{B256, Header, U256};
use std::path::Path;

/// What may follow the hash in the name of an ere file, in this order.
const PROFILES: [&str; 2] = ["-noproofs", "-noreceipts"];
/// Digits of the hash in the name.
const NAME_DIGITS: usize = 8;

/// What a verified era file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EraSummary {
    /// Number of the first block.
    pub first: u64,
    /// Number of the last block.
    pub last: u64,
    /// Hash of the last block.
    pub last_hash: B256,
    /// How many blocks there are.
    pub blocks: u64,
    /// What the file commits to; `None` in an ere file without an accumulator, or without the total
    /// difficulties that it is computed from.
    pub accumulator: Option<B256>,
}

/// The chain of the blocks that have been read, or written, so far.
#[derive(Debug, Default)]
pub(crate) struct Links {
    /// `None` if the first block may have any number.
    next_number: Option<u64>,
    last: Option<Link>,
}

#[derive(Debug, Clone, Copy)]
struct Link {
    number: u64,
    hash: B256,
    total_difficulty: Option<U256>,
}

impl Links {
    /// Of blocks from this number on.
    pub(crate) const fn from_number(number: u64) -> Self {
        Self { next_number: Some(number), last: None }
    }

    /// Number and hash of the last block.
    pub(crate) fn last(&self) -> Option<(u64, B256)> {
        self.last.map(|last| (last.number, last.hash))
    }

    /// Adds a block if it follows.
    pub(crate) fn add(
        &mut self,
        header: &Header,
        hash: B256,
        total_difficulty: Option<U256>,
    ) -> Result<(), Fault> {
        let number = header.number;
        if let Some(expected) = self.next_number
            && number != expected
        {
            return Err(Fault::Number { expected, found: number });
        }
        if let Some(last) = self.last
            && header.parent_hash != last.hash
        {
            return Err(Fault::Parent { expected: last.hash, found: header.parent_hash });
        }
        if let Some(found) = total_difficulty {
            self.check_total_difficulty(header, found)?;
        }
        self.next_number = Some(number.saturating_add(1));
        self.last = Some(Link { number, hash, total_difficulty });
        Ok(())
    }

    /// After the merge the difficulty is zero, so the total stays what it is.
    fn check_total_difficulty(&self, header: &Header, found: U256) -> Result<(), Fault> {
        let difficulty = header.difficulty;
        let before = match self.last {
            Some(last) => last.total_difficulty,
            None => (header.number == 0).then_some(U256::ZERO),
        };
        match before.map(|before| before.saturating_add(difficulty)) {
            Some(expected) if found != expected => Err(Fault::TotalDifficulty { expected, found }),
            None if found < difficulty => Err(Fault::TotalDifficultyLow { difficulty, found }),
            _ => Ok(()),
        }
    }
}

/// The accumulator among the entries that follow those of the blocks, with the byte where it is.
/// Entries of unknown types are passed over.
pub(crate) fn trailing_accumulator(
    entries: &mut EntryReader,
) -> Result<Option<(Place, B256)>, Cause> {
    let mut found = None;
    while !entries.is_at_end() {
        let place = Place::Byte(entries.position());
        match trailing_entry(entries).map_err(|fault| place.cause(fault))? {
            Some(_) if found.is_some() => return Err(place.cause(Fault::SecondAccumulator)),
            Some(root) => found = Some((place, root)),
            None => {}
        }
    }
    Ok(found)
}

fn trailing_entry(entries: &mut EntryReader) -> Result<Option<B256>, Fault> {
    let head = entries.head()?;
    match head.kind {
        Kind::ACCUMULATOR => Ok(Some(B256::from(entries.fixed::<32>(head)?))),
        // An entry of a block that is not in the index.
        Kind::VERSION
        | Kind::HEADER
        | Kind::BODY
        | Kind::RECEIPTS
        | Kind::SLIM_RECEIPTS
        | Kind::TOTAL_DIFFICULTY
        | Kind::PROOF => {
            Err(Fault::EntryKind { expected: Kind::ACCUMULATOR.name(), found: head.kind.0 })
        }
        _ => {
            entries.skip(head)?;
            Ok(None)
        }
    }
}

/// The digits of the hash in a name like `mainnet-00000-5ec1ffb8.era1`; `None` in another name,
/// which says nothing.
pub(crate) fn digits_of_name(path: &Path, extension: &str) -> Option<String> {
    let name = path.file_name()?.to_str()?.strip_suffix(extension)?;
    let profiles = PROFILES.iter().rev();
    let name = profiles.fold(name, |name, profile| name.strip_suffix(*profile).unwrap_or(name));
    let mut parts = name.split('-');
    let (_network, era, hash) = (parts.next()?, parts.next()?, parts.next()?);
    let is_era = era.len() >= 5 && era.bytes().all(|digit| digit.is_ascii_digit());
    let is_hex = |digit: u8| matches!(digit, b'0'..=b'9' | b'a'..=b'f');
    let is_hash = hash.len() == NAME_DIGITS && hash.bytes().all(is_hex);
    (is_era && is_hash && parts.next().is_none()).then(|| hash.to_owned())
}

/// The name that belongs to a file; a third part for `.era1` is the accumulator.
pub(crate) fn name_of(network: &str, era: u64, hash: B256, extension: &str) -> String {
    let digits = format!("{hash:x}");
    format!("{network}-{era:05}-{digits:.NAME_DIGITS$}{extension}")
}

/// Whether these digits, if there are any, are those of the hash.
pub(crate) fn check_name(name: Option<&str>, what: &'static str, found: B256) -> Result<(), Fault> {
    match name {
        Some(name) if !format!("{found:x}").starts_with(name) => {
            Err(Fault::FileName { name: name.to_owned(), what, found })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_only_if_it_is_one_of_an_era_file() {
        for (name, expected) in [
            ("mainnet-00000-5ec1ffb8.era1", Some("5ec1ffb8")),
            ("folder/sepolia-00021-b8814b14.era1", Some("b8814b14")),
            ("net-123456-00000000.era1", Some("00000000")),
            ("mainnet-00000-5EC1FFB8.era1", None),
            ("mainnet-0000-5ec1ffb8.era1", None),
            ("mainnet-00000-5ec1ffb.era1", None),
            ("mainnet-00000-00001-5ec1ffb8.era1", None),
            ("mainnet-00000-5ec1ffb8.ere", None),
            ("blocks.era1", None),
        ] {
            let found = digits_of_name(Path::new(name), ".era1");
            assert_eq!(found.as_deref(), expected, "{name}");
        }
        for name in ["a-00000-4bb7de2e.ere", "a-00000-4bb7de2e-noproofs-noreceipts.ere"] {
            let found = digits_of_name(Path::new(name), ".ere");
            assert_eq!(found.as_deref(), Some("4bb7de2e"), "{name}");
        }
    }

    #[test]
    fn a_name_that_is_made_is_read() {
        let hash = B256::repeat_byte(0x5e);
        let name = name_of("hoodi", 7, hash, ".era1");
        assert_eq!(name, "hoodi-00007-5e5e5e5e.era1");
        let digits = digits_of_name(Path::new(&name), ".era1");
        assert!(check_name(digits.as_deref(), "accumulator", hash).is_ok());
        assert!(check_name(digits.as_deref(), "accumulator", B256::ZERO).is_err());
        assert!(check_name(None, "accumulator", B256::ZERO).is_ok());
    }

    #[test]
    fn blocks_that_do_not_follow_are_refused() {
        let header = |number: u64, difficulty: u64| Header {
            number,
            parent_hash: B256::repeat_byte(u8::try_from(number).unwrap()),
            difficulty: U256::from(difficulty),
            ..Header::default()
        };
        let hash = |number: u64| B256::repeat_byte(u8::try_from(number).unwrap() + 1);
        let links = |blocks: &[(u64, u64, u64)]| {
            let mut links = Links::from_number(4);
            blocks.iter().try_for_each(|&(number, difficulty, total)| {
                links.add(&header(number, difficulty), hash(number), Some(U256::from(total)))
            })
        };
        assert!(links(&[(4, 10, 50), (5, 11, 61), (6, 0, 61)]).is_ok());
        assert!(matches!(links(&[(5, 10, 50)]), Err(Fault::Number { expected: 4, found: 5 })));
        assert!(matches!(links(&[(4, 10, 50), (6, 1, 51)]), Err(Fault::Number { .. })));
        assert!(matches!(links(&[(4, 10, 9)]), Err(Fault::TotalDifficultyLow { .. })));
        let wrong = links(&[(4, 10, 50), (5, 11, 62)]);
        assert!(matches!(wrong, Err(Fault::TotalDifficulty { .. })));
        let mut links = Links::default();
        links.add(&header(9, 1), B256::ZERO, None).unwrap();
        let wrong = links.add(&header(10, 1), hash(10), None);
        assert!(matches!(wrong, Err(Fault::Parent { .. })));
    }
}
