//! Analysed bytecode by hash, shared by all workers and kept across blocks.
//!
//! One form of code has two meanings: until London it may be deployed as any other (EIP-3541), and
//! before Prague it is one, whose first byte is no instruction; from Prague on it is a delegation
//! designator, whoever has put it there (EIP-7702). It is kept as the latter, and
//! [`as_before_prague`] makes the former of it.

use fugue_types::{B256, B256Map, Bytes, KECCAK256_EMPTY};
use parking_lot::RwLock;
use revm::bytecode::Bytecode;
use std::hash::{BuildHasher, RandomState};

/// Shards, so that workers rarely meet.
const SHARDS: usize = 16;
/// Codes kept in one shard; in a full one each that is new takes the place of another, whichever.
/// With their analysis about 300 MiB in all.
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
    /// Nobody can choose codes that are all in one shard, and have one another analysed at each
    /// call.
    seed: RandomState,
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
        if shard.len() >= SHARD_CODES_MAX && !shard.contains_key(&hash) {
            let place = self.place(hash) / SHARDS % SHARD_CODES_MAX;
            if let Some(other) = shard.keys().nth(place).copied() {
                shard.remove(&other);
            }
        }
        shard.insert(hash, code);
    }

    fn shard(&self, hash: B256) -> &RwLock<B256Map<Bytecode>> {
        &self.shards[self.place(hash) % SHARDS]
    }

    /// Where a code belongs, before it is taken modulo anything.
    fn place(&self, hash: B256) -> usize {
        self.seed.hash_one(hash) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fugue_types::{U256, keccak256};
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

    /// How often codes with these hashes are loaded if each is asked for twice.
    fn loads(cache: &CodeCache, hashes: &[B256]) -> usize {
        let mut count = 0;
        for hash in hashes.iter().chain(hashes) {
            let Ok(_) = cache.get(*hash, || {
                count += 1;
                Ok::<_, Infallible>(Bytes::from_static(&[0]))
            });
        }
        count
    }

    #[test]
    fn codes_with_hashes_that_somebody_has_chosen_do_not_push_one_another_out() {
        // They begin alike.
        let hashes: Vec<_> =
            (0..2 * SHARD_CODES_MAX as u64).map(|number| B256::from(U256::from(number))).collect();
        assert_eq!(loads(&CodeCache::new(), &hashes), hashes.len());
    }

    #[test]
    fn a_code_that_finds_no_place_takes_that_of_one_other() {
        let cache = CodeCache::new();
        let codes = SHARDS * SHARD_CODES_MAX;
        let hashes: Vec<_> = (0..2 * codes as u64).map(|n| keccak256(n.to_be_bytes())).collect();
        loads(&cache, &hashes);
        let kept: Vec<_> = cache.shards.iter().map(|shard| shard.read().len()).collect();
        assert_eq!(kept, [SHARD_CODES_MAX; SHARDS], "all are full, and none has more");
        // Who is there already needs no place.
        let known: Vec<_> = cache.shards[0].read().keys().copied().collect();
        known.iter().for_each(|hash| cache.insert(*hash, Bytecode::default()));
        assert!(known.iter().all(|hash| cache.shards[0].read().contains_key(hash)));
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
