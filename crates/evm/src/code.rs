//! Analysed bytecode by hash, shared by all workers and kept across blocks.
//!
//! One form of code has two meanings: until London it may be deployed as any other (EIP-3541), and
//! before Prague it is one, whose first byte is no instruction; from Prague on it is a delegation
//! designator, whoever has put it there (EIP-7702). It is kept as the latter, and
//! [`as_before_prague`] makes the former of it.

use fugue_types::{B256, B256Map, Bytes, KECCAK256_EMPTY};
use parking_lot::RwLock;
use revm::bytecode::Bytecode;

/// Shards, so that workers rarely meet.
const SHARDS: usize = 16;
/// Codes kept in one shard; a full shard starts anew. With their analysis about 300 MiB in all.
const SHARD_CODES_MAX: usize = 256;
/// Bytes of a code that is kept: more than any that was deployed (EIP-170, EIP-7954). A question
/// may assume larger ones, as many as it likes.
const CODE_BYTES_MAX: usize = 64 * 1024;

/// A code as it is before Prague.
pub(crate) fn as_before_prague(code: Bytecode) -> Bytecode {
    if code.is_eip7702() { Bytecode::new_legacy(code.original_bytes()) } else { code }
}

/// Whether this is another code from Prague on.
fn will_designate(code: &Bytecode) -> bool {
    // Few codes begin so: EIP-3541.
    let may = !code.is_eip7702() && code.original_byte_slice().first() == Some(&0xef);
    may && Bytecode::new_raw_checked(code.original_bytes()).is_ok_and(|code| code.is_eip7702())
}

/// Analysed codes by their keccak256. Content-addressed: an entry is right in every state.
#[derive(Debug, Default)]
pub struct CodeCache {
    shards: [RwLock<B256Map<Bytecode>>; SHARDS],
}

impl CodeCache {
    /// An empty cache.
    pub fn new() -> Self {
        Self::default()
    }

    /// Analyses a code ahead of its first use. `hash` is its keccak256.
    pub fn warm(&self, hash: B256, code: &Bytes) {
        let Ok(_) = self.get(hash, || Ok::<_, std::convert::Infallible>(code.clone()));
    }

    /// The analysed code as it is from Prague on, fetched by `load` if it is not here yet.
    pub(crate) fn get<E>(
        &self,
        hash: B256,
        load: impl FnOnce() -> Result<Bytes, E>,
    ) -> Result<Bytecode, E> {
        if hash == KECCAK256_EMPTY {
            return Ok(Bytecode::default());
        }
        if let Some(found) = self.shard(hash).read().get(&hash) {
            return Ok(found.clone());
        }
        let bytes = load()?;
        // Refused is only a delegation designator (EIP-7702) of a wrong length or version: it
        // designates nothing, so it is code like any other.
        let code = Bytecode::new_raw_checked(bytes.clone())
            .unwrap_or_else(|_| Bytecode::new_legacy(bytes));
        self.insert(hash, code.clone());
        Ok(code)
    }

    /// Keeps a code, as one that was just deployed, if it is not too large. `hash` is its
    /// keccak256.
    pub(crate) fn insert(&self, hash: B256, code: Bytecode) {
        if code.len() > CODE_BYTES_MAX || will_designate(&code) {
            return;
        }
        let mut shard = self.shard(hash).write();
        if shard.len() >= SHARD_CODES_MAX {
            shard.clear();
        }
        shard.insert(hash, code);
    }

    fn shard(&self, hash: B256) -> &RwLock<B256Map<Bytecode>> {
        &self.shards[usize::from(hash[0]) % SHARDS]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fugue_types::keccak256;
    use std::convert::Infallible;

    #[test]
    fn what_looks_like_a_designator_is_code_before_prague_wherever_it_comes_from() {
        let cache = CodeCache::new();
        let bytes = Bytes::from([&[0xef, 1, 0][..], &[7; 20]].concat());
        let hash = keccak256(&bytes);
        let deployed = Bytecode::new_legacy(bytes.clone());
        cache.insert(hash, deployed.clone());
        let get = || {
            let Ok(code) = cache.get(hash, || Ok::<_, Infallible>(bytes.clone()));
            code
        };
        for _ in 0..2 {
            assert!(get().is_eip7702());
            assert_eq!(as_before_prague(get()), deployed);
        }
        let other = Bytecode::new_legacy(Bytes::from_static(&[0xef]));
        assert_eq!(as_before_prague(other.clone()), other);
    }

    #[test]
    fn what_is_too_large_to_have_been_deployed_is_run_and_not_kept() {
        let cache = CodeCache::new();
        for (size, is_kept) in [(CODE_BYTES_MAX, true), (CODE_BYTES_MAX + 1, false)] {
            let code = Bytes::from(vec![0; size]);
            let hash = keccak256(&code);
            let Ok(found) = cache.get(hash, || Ok::<_, Infallible>(code));
            assert_eq!(found.len(), size);
            assert_eq!(cache.shard(hash).read().contains_key(&hash), is_kept, "{size}");
        }
    }
}
