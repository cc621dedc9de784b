//! Files of entries, and the compressed entries in them.
//!
//! ```text
//! byte 0     type of the entry, u16
//!      2     length of its payload in bytes, u32
//!      6     reserved, u16: zero
//!      8     the payload
//! ```
//! Integers are little-endian. A compressed payload is one stream of snappy frames, each with a
//! checksum. Source: nimbus-eth2, "The e2store"; snappy, "Snappy framing format description".

use crate::Fault;
use snap::{read::FrameDecoder, write::FrameEncoder};
use std::{
    fs::File,
    io::{BufReader, Cursor, ErrorKind, Read, Seek, SeekFrom, Write},
    path::Path,
};

/// Largest block, and largest part of one, that is read: in bytes, before and after decompression.
pub const BLOCK_BYTES_MAX: u64 = 64 << 20;
/// Bytes before the payload of an entry.
pub(crate) const HEAD_BYTES: u64 = 8;
/// Bytes that are read from a file at a time.
const BUFFER_BYTES: usize = 64 << 10;
/// What every compressed payload begins with. Source: snappy framing format, section 4.1.
const STREAM_IDENTIFIER: &[u8] = b"\xff\x06\x00\x00sNaPpY";

/// Type of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kind(pub(crate) u16);

impl Kind {
    pub(crate) const VERSION: Self = Self(0x3265);
    pub(crate) const HEADER: Self = Self(0x0003);
    pub(crate) const BODY: Self = Self(0x0004);
    pub(crate) const RECEIPTS: Self = Self(0x0005);
    pub(crate) const TOTAL_DIFFICULTY: Self = Self(0x0006);
    pub(crate) const ACCUMULATOR: Self = Self(0x0007);
    pub(crate) const SLIM_RECEIPTS: Self = Self(0x000a);
    pub(crate) const PROOF: Self = Self(0x000b);
    pub(crate) const BLOCK_INDEX: Self = Self(0x3266);
    pub(crate) const DYNAMIC_BLOCK_INDEX: Self = Self(0x3267);

    /// As messages call it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::VERSION => "version",
            Self::HEADER => "header",
            Self::BODY => "body",
            Self::RECEIPTS => "receipts",
            Self::TOTAL_DIFFICULTY => "total difficulty",
            Self::ACCUMULATOR => "accumulator",
            Self::SLIM_RECEIPTS => "slim receipts",
            Self::PROOF => "proof",
            Self::BLOCK_INDEX | Self::DYNAMIC_BLOCK_INDEX => "block index",
            _ => "entry",
        }
    }
}

/// What is before the payload of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) kind: Kind,
    /// Of the payload, in bytes.
    pub(crate) length: u32,
}

impl Head {
    /// The first entry of every file of entries.
    pub(crate) const VERSION: Self = Self { kind: Kind::VERSION, length: 0 };

    pub(crate) fn from_bytes(bytes: [u8; 8]) -> Result<Self, Fault> {
        let [kind @ .., l0, l1, l2, l3, r0, r1] = bytes;
        let reserved = u16::from_le_bytes([r0, r1]);
        if reserved != 0 {
            return Err(Fault::Reserved(reserved));
        }
        let kind = Kind(u16::from_le_bytes(kind));
        Ok(Self { kind, length: u32::from_le_bytes([l0, l1, l2, l3]) })
    }

    pub(crate) const fn to_bytes(self) -> [u8; 8] {
        let [k0, k1] = self.kind.0.to_le_bytes();
        let [l0, l1, l2, l3] = self.length.to_le_bytes();
        [k0, k1, l0, l1, l2, l3, 0, 0]
    }
}

/// Reads entries of a file, one after another or by their places.
#[derive(Debug)]
pub(crate) struct EntryReader {
    file: BufReader<File>,
    /// The byte that is read next.
    position: u64,
    /// Where the entries end.
    end: u64,
    /// Bytes that were read, or skipped with an entry.
    taken: u64,
}

impl EntryReader {
    /// Reads from the byte `position` on; no entry reaches beyond `end`.
    pub(crate) fn open(path: &Path, position: u64, end: u64) -> Result<Self, Fault> {
        let mut file = BufReader::with_capacity(BUFFER_BYTES, File::open(path)?);
        file.seek(SeekFrom::Start(position))?;
        Ok(Self { file, position, end, taken: 0 })
    }

    pub(crate) const fn position(&self) -> u64 {
        self.position
    }

    pub(crate) const fn taken(&self) -> u64 {
        self.taken
    }

    pub(crate) const fn is_at_end(&self) -> bool {
        self.position >= self.end
    }

    /// Goes on at this byte. Places that follow each other closely are read from the file once.
    pub(crate) fn seek(&mut self, position: u64) -> Result<(), Fault> {
        match i64::try_from(i128::from(position) - i128::from(self.position)) {
            Ok(distance) => self.file.seek_relative(distance)?,
            Err(_) => {
                self.file.seek(SeekFrom::Start(position))?;
            }
        }
        self.position = position;
        Ok(())
    }

    /// The head of the entry that comes next. Its payload lies before the end.
    pub(crate) fn head(&mut self) -> Result<Head, Fault> {
        let left = self.end.saturating_sub(self.position);
        if left < HEAD_BYTES {
            return Err(Fault::EntryEnd { needed: HEAD_BYTES, left });
        }
        let mut bytes = [0; 8];
        self.file.read_exact(&mut bytes)?;
        self.advance(HEAD_BYTES);
        let head = Head::from_bytes(bytes)?;
        let left = left.saturating_sub(HEAD_BYTES);
        if u64::from(head.length) > left {
            return Err(Fault::EntryEnd { needed: head.length.into(), left });
        }
        Ok(head)
    }

    /// The head of the entry that comes next, which must be of this kind.
    pub(crate) fn head_of(&mut self, kind: Kind) -> Result<Head, Fault> {
        let head = self.head()?;
        if head.kind == kind {
            Ok(head)
        } else {
            Err(Fault::EntryKind { expected: kind.name(), found: head.kind.0 })
        }
    }

    /// Replaces what is in `payload` by the payload of this entry.
    fn payload(&mut self, head: Head, payload: &mut Vec<u8>) -> Result<(), Fault> {
        let length = u64::from(head.length);
        if length > BLOCK_BYTES_MAX {
            return Err(Fault::TooLarge { what: head.kind.name(), max: BLOCK_BYTES_MAX });
        }
        payload.clear();
        let read = Read::by_ref(&mut self.file).take(length).read_to_end(payload)?;
        self.advance(length);
        if read as u64 == length { Ok(()) } else { Err(Fault::Io(ErrorKind::UnexpectedEof.into())) }
    }

    /// The payload of this entry, which has a fixed length.
    pub(crate) fn fixed<const N: usize>(&mut self, head: Head) -> Result<[u8; N], Fault> {
        let found = u64::from(head.length);
        if found != N as u64 {
            return Err(Fault::EntryLength { what: head.kind.name(), expected: N as u64, found });
        }
        let mut payload = [0; N];
        self.file.read_exact(&mut payload)?;
        self.advance(found);
        Ok(payload)
    }

    /// Passes over the payload of this entry.
    pub(crate) fn skip(&mut self, head: Head) -> Result<(), Fault> {
        self.file.seek_relative(head.length.into())?;
        self.advance(head.length.into());
        Ok(())
    }

    /// What was read lies before the end, so the sums cannot overflow.
    const fn advance(&mut self, bytes: u64) {
        self.position = self.position.saturating_add(bytes);
        self.taken = self.taken.saturating_add(bytes);
    }
}

/// Decompresses entries, keeping its room from one to the next.
#[derive(Debug)]
pub(crate) struct Unpacker {
    frames: FrameDecoder<Cursor<Vec<u8>>>,
    plain: Vec<u8>,
}

impl Unpacker {
    pub(crate) fn new() -> Self {
        Self { frames: FrameDecoder::new(Cursor::default()), plain: Vec::new() }
    }

    /// The decompressed payload of the entry that comes next, which must be of this kind.
    pub(crate) fn read(&mut self, entries: &mut EntryReader, kind: Kind) -> Result<&[u8], Fault> {
        let what = kind.name();
        let head = entries.head_of(kind)?;
        // The decoder has given out all of the entry before. It takes the next one for more of the
        // same stream, which frames allow; so the identifier at its start is looked for here.
        let packed = self.frames.get_mut();
        packed.set_position(0);
        entries.payload(head, packed.get_mut())?;
        if !packed.get_ref().starts_with(STREAM_IDENTIFIER) {
            return Err(Fault::NotSnappy { what });
        }
        self.plain.clear();
        let plain = Read::by_ref(&mut self.frames).take(BLOCK_BYTES_MAX + 1);
        let fault = match read_all(plain, &mut self.plain) {
            Ok(bytes) if bytes <= BLOCK_BYTES_MAX => return Ok(&self.plain),
            Ok(_) => Fault::TooLarge { what, max: BLOCK_BYTES_MAX },
            Err(source) => Fault::Snappy { what, source },
        };
        // What the decoder still holds is of no use to another entry.
        self.frames = FrameDecoder::new(Cursor::default());
        Err(fault)
    }
}

fn read_all(mut from: impl Read, to: &mut Vec<u8>) -> std::io::Result<u64> {
    from.read_to_end(to).map(|bytes| bytes as u64)
}

/// Appends an entry.
pub(crate) fn put_entry(out: &mut Vec<u8>, kind: Kind, payload: &[u8]) -> Result<(), Fault> {
    let too_large = Fault::TooLarge { what: kind.name(), max: u32::MAX.into() };
    let length = u32::try_from(payload.len()).map_err(|_| too_large)?;
    out.extend_from_slice(&Head { kind, length }.to_bytes());
    out.extend_from_slice(payload);
    Ok(())
}

/// Appends an entry, its payload compressed.
pub(crate) fn put_packed(out: &mut Vec<u8>, kind: Kind, plain: &[u8]) -> Result<(), Fault> {
    if plain.len() as u64 > BLOCK_BYTES_MAX {
        return Err(Fault::TooLarge { what: kind.name(), max: BLOCK_BYTES_MAX });
    }
    let mut frames = FrameEncoder::new(Vec::new());
    frames.write_all(plain)?;
    frames.flush()?;
    put_entry(out, kind, frames.get_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Entries of a file that holds these bytes.
    fn entries(bytes: &[u8]) -> (tempfile::TempDir, EntryReader) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("entries");
        std::fs::write(&path, bytes).unwrap();
        let entries = EntryReader::open(&path, 0, bytes.len() as u64).unwrap();
        (folder, entries)
    }

    #[test]
    fn a_head_survives_its_bytes() {
        let head = Head { kind: Kind(0x3222), length: 0x0403_0201 };
        assert_eq!(head.to_bytes(), [0x22, 0x32, 1, 2, 3, 4, 0, 0]);
        assert_eq!(Head::from_bytes(head.to_bytes()).unwrap(), head);
        let reserved = Head::from_bytes([0x22, 0x32, 1, 2, 3, 4, 0, 1]);
        assert!(matches!(reserved, Err(Fault::Reserved(0x0100))));
    }

    #[test]
    fn compressed_entries_are_read_one_after_another() {
        // Of every size around the 65,536 bytes of a frame.
        let sizes = [1, 100, 65_535, 65_536, 65_537, 200_000];
        let plain = sizes.map(|size| (0..size).map(|i| (i / 7 % 251) as u8).collect::<Vec<_>>());
        let mut bytes = Vec::new();
        for plain in &plain {
            put_packed(&mut bytes, Kind::BODY, plain).unwrap();
        }
        let (_folder, mut entries) = entries(&bytes);
        let mut unpacker = Unpacker::new();
        for plain in &plain {
            assert_eq!(unpacker.read(&mut entries, Kind::BODY).unwrap(), plain);
        }
        assert!(entries.is_at_end());
        assert_eq!(entries.taken(), bytes.len() as u64);
    }

    #[test]
    fn an_entry_decompresses_to_a_bounded_size() {
        let frame = |plain: &[u8]| {
            let mut frames = FrameEncoder::new(Vec::new());
            frames.write_all(plain).unwrap();
            frames.flush().unwrap();
            frames.get_ref().clone()
        };
        let frame = frame(&[0; 1 << 16]);
        let count = usize::try_from(BLOCK_BYTES_MAX >> 16).unwrap() + 1;
        let mut bytes = Vec::new();
        put_entry(&mut bytes, Kind::BODY, &frame.repeat(count)).unwrap();
        let (_folder, mut entries) = entries(&bytes);
        let fault = Unpacker::new().read(&mut entries, Kind::BODY).map(<[u8]>::len).unwrap_err();
        assert!(matches!(fault, Fault::TooLarge { .. }), "{fault}");
    }

    #[test]
    fn an_entry_without_a_stream_identifier_is_refused() {
        let mut bytes = Vec::new();
        put_packed(&mut bytes, Kind::BODY, b"first").unwrap();
        let packed = bytes[8 + STREAM_IDENTIFIER.len()..].to_vec();
        put_entry(&mut bytes, Kind::BODY, &packed).unwrap();
        let (_folder, mut entries) = entries(&bytes);
        let mut unpacker = Unpacker::new();
        assert_eq!(unpacker.read(&mut entries, Kind::BODY).unwrap(), b"first");
        let fault = unpacker.read(&mut entries, Kind::BODY).unwrap_err();
        assert!(matches!(fault, Fault::NotSnappy { .. }), "{fault}");
    }
}
