//! Analysed bytecode by hash, shared by all workers and kept across blocks.

use fugue_types::{B256, B256Map, Bytes, KECCAK256_EMPTY};
use parking_lot::RwLock;
use revm::bytecode::Bytecode;

/// Shards, so that workers rarely meet.
const SHARDS: usize = 16;
/// Codes kept in one shard; a full shard starts anew. At most 24 KiB of code and as much analysis
/// each: about 200 MiB in all.
const SHARD_CODES_MAX: usize = 256;

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

    /// The analysed code, fetched by `load` if it is not here yet.
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

    /// Keeps a code that was just deployed. `hash` is its keccak256.
    pub(crate) fn insert(&self, hash: B256, code: Bytecode) {
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
