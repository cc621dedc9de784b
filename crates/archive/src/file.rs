//! Whole files, plain or zstd-compressed, with a bound on what they grow to.

use crate::Cause;
use serde::de::DeserializeOwned;
use std::{
    fs::File,
    io::{BufReader, Read, Write},
    path::Path,
};

/// Largest file that is read, in bytes after decompression.
pub const FILE_BYTES_MAX: u64 = 1 << 30;
/// Window of the compressed streams that are read: 2^27 bytes, as `zstd --long=27` writes them.
const WINDOW_LOG_MAX: u32 = 27;
/// First bytes of a zstd frame. Source: RFC 8878, section 3.1.1.
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Reads a file, decompressing it if it is zstd.
///
/// # Errors
/// [`Cause`]; a name that ends in `.zst` must hold what it says.
pub fn read_file(path: &Path) -> Result<Vec<u8>, Cause> {
    let mut file = BufReader::new(File::open(path)?);
    let mut start = Vec::new();
    Read::by_ref(&mut file).take(ZSTD_MAGIC.len() as u64).read_to_end(&mut start)?;
    let is_zstd = start == ZSTD_MAGIC;
    if !is_zstd && path.extension().is_some_and(|extension| extension == "zst") {
        return Err(Cause::NotZstd(start.iter().map(|byte| format!("{byte:02x}")).collect()));
    }
    let file = start.chain(file);
    let mut bytes = Vec::new();
    if is_zstd {
        let mut decoder = zstd::Decoder::new(file).map_err(Cause::Zstd)?;
        decoder.window_log_max(WINDOW_LOG_MAX).map_err(Cause::Zstd)?;
        decoder.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(Cause::Zstd)?;
    } else {
        file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    }
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(Cause::TooLarge { max: FILE_BYTES_MAX });
    }
    Ok(bytes)
}

/// Writes a file as one zstd frame with a checksum; whole or not at all.
///
/// # Errors
/// What the system says.
pub fn write_zstd(path: &Path, bytes: &[u8], level: i32) -> std::io::Result<()> {
    let partial = path.with_extension("partial");
    let mut encoder = zstd::Encoder::new(File::create(&partial)?, level)?;
    encoder.include_checksum(true)?;
    encoder.set_pledged_src_size(Some(bytes.len() as u64))?;
    encoder.write_all(bytes)?;
    encoder.finish()?.sync_all()?;
    std::fs::rename(&partial, path)
}

/// JSON, with the path of a field that is wrong.
pub(crate) fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Cause> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = match error.path().to_string() {
            path if path == "." => "JSON".to_owned(),
            path => path,
        };
        Cause::Json { path, source: error.into_inner() }
    })?;
    json.end().map_err(|source| Cause::Json { path: "after the end".to_owned(), source })?;
    Ok(value)
}
