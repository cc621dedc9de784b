//! Accounts and slots of the durable state that were read lately, for all threads.
//!
//! The store hashes every key and searches a tree; what blocks come back to is found here by its
//! plain key. After a commit the cache takes the new values.

use fugue_state::{Account, AccountDiff, StateDiff, StateError, StateView};
use fugue_types::{Address, B256, Bytes, HashMap, U256};
use parking_lot::Mutex;

/// Parts of the cache, each behind a lock of its own.
const SHARDS: usize = 64;
/// Accounts and slots that one part holds; it is emptied when it is full.
const SHARD_ENTRIES_MAX: usize = 8_192;

#[derive(Debug, Default)]
struct Shard {
    accounts: HashMap<Address, Option<Account>>,
    slots: HashMap<(Address, U256), U256>,
}

/// What was read of one state.
#[derive(Debug)]
pub(crate) struct StateCache {
    shards: Vec<Mutex<Shard>>,
}

impl StateCache {
    pub(crate) fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect() }
    }

    /// Forgets everything: the state is another one.
    pub(crate) fn clear(&self) {
        for shard in &self.shards {
            *shard.lock() = Shard::default();
        }
    }

    /// Takes the values that a change leaves.
    pub(crate) fn advance(&self, diff: &StateDiff) {
        for AccountDiff { address, before: _, after, wiped, slots } in &diff.accounts {
            let mut shard = self.shard(*address).lock();
            shard.accounts.insert(*address, *after);
            if *wiped || after.is_none() {
                shard.slots.retain(|(owner, _), _| owner != address);
            }
            for slot in slots {
                shard.slots.insert((*address, slot.slot), slot.after);
            }
        }
    }

    fn shard(&self, address: Address) -> &Mutex<Shard> {
        &self.shards[usize::from(address.0[19]) % SHARDS]
    }

    /// The cached state over the store's.
    pub(crate) fn over<'v>(&'v self, state: &'v dyn StateView) -> CachedState<'v> {
        CachedState { cache: self, state }
    }
}

/// A state through the cache.
pub(crate) struct CachedState<'v> {
    cache: &'v StateCache,
    state: &'v dyn StateView,
}

impl StateView for CachedState<'_> {
    fn account(&self, address: Address) -> Result<Option<Account>, StateError> {
        let shard = self.cache.shard(address);
        if let Some(account) = shard.lock().accounts.get(&address) {
            return Ok(*account);
        }
        let account = self.state.account(address)?;
        let mut shard = shard.lock();
        if shard.accounts.len() >= SHARD_ENTRIES_MAX {
            shard.accounts = HashMap::default();
        }
        shard.accounts.insert(address, account);
        Ok(account)
    }

    fn slot(&self, address: Address, slot: U256) -> Result<U256, StateError> {
        let shard = self.cache.shard(address);
        if let Some(value) = shard.lock().slots.get(&(address, slot)) {
            return Ok(*value);
        }
        let value = self.state.slot(address, slot)?;
        let mut shard = shard.lock();
        if shard.slots.len() >= SHARD_ENTRIES_MAX {
            shard.slots = HashMap::default();
        }
        shard.slots.insert((address, slot), value);
        Ok(value)
    }

    fn has_storage(&self, address: Address) -> Result<bool, StateError> {
        self.state.has_storage(address)
    }

    fn code(&self, code_hash: B256) -> Result<Bytes, StateError> {
        self.state.code(code_hash)
    }

    fn block_hash(&self, number: u64) -> Result<B256, StateError> {
        self.state.block_hash(number)
    }
}
