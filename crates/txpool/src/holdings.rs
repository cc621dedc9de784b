//! All that the pool holds, behind its lock: transactions by sender, by hash, by price, by blob.
//!
//! Two steps change it: a transaction is put in or taken out ([`Holdings::insert`],
//! [`Holdings::take`]), and then its sender is settled ([`Holdings::settle`]), which brings each of
//! the sender's transactions to its lane. Between the two, indexes by hash and by sender hold, and
//! lanes know nothing of new ones.

mod admit;
mod advance;
mod trim;

pub use admit::Added;
pub use advance::{Advanced, HeadUpdate, MinedTx};

pub(crate) use advance::Moved;

use crate::{
    Best, Origin, PoolHead, PoolOptions, PooledBlob, PooledTx, Sidecar,
    blobs::Blobs,
    lanes::Lanes,
    mined::MinedLocal,
    sender::{Entry, SenderTxs},
};
use fugue_state::Account;
use fugue_types::{Address, AddressMap, B256, B256Map};
use std::{mem, sync::Arc};

/// What one operation did, for those who watch.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// They became executable.
    pub(crate) pending: Vec<Arc<PooledTx>>,
    /// They left, but neither into a block nor for a replacement.
    pub(crate) dropped: Vec<B256>,
}

/// A transaction that was taken out, and its sender's account, should it come back.
#[derive(Debug)]
pub(crate) struct Taken {
    tx: Arc<PooledTx>,
    account: Account,
}

/// What the pool holds.
#[derive(Debug)]
pub(crate) struct Holdings {
    head: PoolHead,
    /// None is empty once it is settled.
    senders: AddressMap<SenderTxs>,
    by_hash: B256Map<Arc<PooledTx>>,
    lanes: Lanes,
    blobs: Blobs,
    mined_local: MinedLocal,
    /// How many transactions would delegate the account (EIP-7702).
    authorities: AddressMap<usize>,
    /// Accounts that the last move of the head changed: newer than the state of a caller who took
    /// it just before.
    changed: AddressMap<Option<Account>>,
    sequence: u64,
    version: u64,
    log: Log,
}

impl Holdings {
    pub(crate) fn new(head: PoolHead) -> Self {
        Self {
            head,
            senders: AddressMap::default(),
            by_hash: B256Map::default(),
            lanes: Lanes::default(),
            blobs: Blobs::default(),
            mined_local: MinedLocal::default(),
            authorities: AddressMap::default(),
            changed: AddressMap::default(),
            sequence: 0,
            version: 0,
            log: Log::default(),
        }
    }

    pub(crate) const fn head(&self) -> &PoolHead {
        &self.head
    }

    pub(crate) const fn lanes(&self) -> &Lanes {
        &self.lanes
    }

    /// Changes with every change of what is executable.
    pub(crate) const fn version(&self) -> u64 {
        self.version
    }

    pub(crate) fn get(&self, hash: &B256) -> Option<&Arc<PooledTx>> {
        self.by_hash.get(hash)
    }

    pub(crate) fn sender(&self, sender: Address) -> Option<&SenderTxs> {
        self.senders.get(&sender)
    }

    pub(crate) fn senders(&self) -> impl Iterator<Item = (&Address, &SenderTxs)> {
        self.senders.iter()
    }

    pub(crate) fn blob(&self, versioned_hash: &B256) -> Option<PooledBlob> {
        self.blobs.get(versioned_hash)
    }

    pub(crate) fn mined_sidecar(&self, hash: &B256) -> Option<Arc<Sidecar>> {
        let local = self.mined_local.get(hash).and_then(|tx| tx.sidecar.clone());
        local.or_else(|| self.blobs.mined_sidecar(hash))
    }

    /// Who sent a transaction that a block has, as far as that is remembered.
    pub(crate) fn mined_origin(&self, hash: &B256) -> Origin {
        self.mined_local.get(hash).map_or(Origin::External, |tx| tx.origin)
    }

    pub(crate) const fn mined_local(&self) -> &MinedLocal {
        &self.mined_local
    }

    /// A block up to the head has it.
    pub(crate) fn keep_mined_local(&mut self, tx: Arc<PooledTx>) {
        self.mined_local.keep(self.head.number, tx);
    }

    /// The account after the head, where the pool knows it better than a state of a moment ago.
    pub(crate) fn account(&self, address: Address) -> Option<Account> {
        match self.senders.get(&address) {
            Some(sender) => Some(sender.account),
            None => self.changed.get(&address).map(|account| account.unwrap_or_default()),
        }
    }

    pub(crate) fn best(&self, base_fee: u64, blob_base_fee: Option<u128>) -> Best {
        let executable = self.senders.values().map(|sender| {
            let entries = sender.entries.values().take(sender.executable);
            entries.map(|entry| Arc::clone(&entry.tx)).collect::<Vec<_>>()
        });
        Best::new(executable, base_fee, blob_base_fee)
    }

    fn is_executable(&self, tx: &PooledTx) -> bool {
        let entry = self.senders.get(&tx.sender).and_then(|one| one.entries.get(&tx.nonce()));
        entry.is_some_and(|entry| entry.tx.hash == tx.hash && entry.is_executable())
    }

    /// What was done since the last call. What became executable and is so no more is left out.
    pub(crate) fn take_log(&mut self) -> Log {
        let mut log = mem::take(&mut self.log);
        log.pending.retain(|tx| self.is_executable(tx));
        log
    }

    /// Puts a transaction in, where its sender has none with this nonce. `account` is the sender's.
    fn insert(&mut self, tx: Arc<PooledTx>, account: Account) {
        for authority in &tx.authorities {
            let count = self.authorities.entry(*authority).or_default();
            *count = count.saturating_add(1);
        }
        self.blobs.enter(&tx);
        self.mined_local.forget(&tx.hash);
        self.by_hash.insert(tx.hash, Arc::clone(&tx));
        let sender = self.senders.entry(tx.sender).or_insert_with(|| SenderTxs::new(account));
        sender.entries.insert(tx.nonce(), Entry { tx, place: None });
    }

    /// Takes a transaction out. Its sender must be settled then.
    fn take(&mut self, hash: &B256) -> Option<Taken> {
        let tx = self.by_hash.remove(hash)?;
        for authority in &tx.authorities {
            let count = self.authorities.get(authority).copied().unwrap_or_default();
            if count > 1 {
                self.authorities.insert(*authority, count - 1);
            } else {
                self.authorities.remove(authority);
            }
        }
        self.blobs.leave(&tx);
        let sender = self.senders.get_mut(&tx.sender)?;
        let account = sender.account;
        if let Some(place) = sender.entries.remove(&tx.nonce()).and_then(|entry| entry.place) {
            self.lanes.leave(place, &tx);
            if place.lane.is_executable() {
                self.version = self.version.wrapping_add(1);
            }
        }
        Some(Taken { tx, account })
    }

    /// Brings each transaction of a sender to its lane: promotes what became executable, demotes
    /// what is so no more, and drops blob transactions that are not. Forgets a sender without any.
    fn settle(&mut self, address: Address) {
        let Self { senders, lanes, log, version, .. } = self;
        let Some(sender) = senders.get_mut(&address) else { return };
        let stranded = sender.arrange(|tx, from, to| {
            if let Some(from) = from {
                lanes.leave(from, tx);
            }
            lanes.enter(to, tx);
            let was_executable = from.is_some_and(|place| place.lane.is_executable());
            let is_executable = to.lane.is_executable();
            if was_executable != is_executable {
                *version = version.wrapping_add(1);
            }
            if is_executable && !was_executable {
                log.pending.push(Arc::clone(tx));
            }
        });
        for hash in stranded {
            self.discard(&hash);
        }
        if self.senders.get(&address).is_some_and(|sender| sender.entries.is_empty()) {
            self.senders.remove(&address);
        }
    }

    /// Takes a transaction out for good, and says so in the log.
    fn discard(&mut self, hash: &B256) -> Option<Taken> {
        let taken = self.take(hash)?;
        self.log.dropped.push(*hash);
        Some(taken)
    }

    /// Forgets a transaction, and puts one of the same sender, nonce and kind in its place; without
    /// such a one those after it wait, which may fill their lane.
    pub(crate) fn remove(
        &mut self,
        hash: &B256,
        instead: Option<&Arc<PooledTx>>,
        options: &PoolOptions,
    ) -> bool {
        let Some(taken) = self.discard(hash) else { return false };
        if let Some(tx) = instead {
            self.insert(Arc::clone(tx), taken.account);
        }
        self.settle(taken.tx.sender);
        let trimmed = self.trim(options, None).taken;
        self.log.dropped.extend(trimmed.iter().map(|taken| taken.tx.hash));
        true
    }

    /// Forgets all transactions, and gives how many there were.
    pub(crate) fn clear(&mut self) -> usize {
        let hashes: Vec<B256> = self.by_hash.keys().copied().collect();
        for hash in &hashes {
            self.discard(hash);
        }
        // None has a transaction that could be settled.
        self.senders.clear();
        self.mined_local = MinedLocal::default();
        hashes.len()
    }

    /// Panics where an index says other than another, or a bound is broken.
    #[cfg(test)]
    pub(crate) fn check_invariants(&self, options: &PoolOptions) {
        invariants::check(self, options);
    }
}

#[cfg(test)]
mod invariants;
