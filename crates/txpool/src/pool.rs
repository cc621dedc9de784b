//! The pool: one lock around what it holds, and what is done outside of it.

use crate::{
    Added, Advanced, Best, HeadUpdate, Origin, PoolError, PoolHead, PoolOptions, PooledBlob,
    PooledTransaction, PooledTx,
    account::SenderFacts,
    check::{check_alone, check_returned, decode},
    holdings::{Holdings, Log, Moved},
    lanes::Lane,
    sender::SenderTxs,
    sidecar::check_proofs,
    tx::split,
};
use fugue_state::{Account, StateView};
use fugue_types::{Address, AddressMap, B256, HashSet, TransactionTrait};
use parking_lot::RwLock;
use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

/// Is told of every transaction that became executable.
pub type Observer = dyn Fn(&Arc<PooledTx>) + Send + Sync;

/// How much the pool holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PoolStatus {
    /// Executable transactions, those with blobs among them.
    pub pending: usize,
    /// Transactions that wait.
    pub queued: usize,
    /// Blob transactions.
    pub blobs: usize,
    /// Bytes of executable transactions without blobs.
    pub pending_bytes: usize,
    /// Bytes of transactions that wait.
    pub queued_bytes: usize,
    /// Bytes of blob transactions.
    pub blob_bytes: usize,
}

/// All transactions of the pool, by sender and in the order of nonces.
#[derive(Debug, Clone, Default)]
pub struct PoolContent {
    /// Executable ones.
    pub pending: BTreeMap<Address, Vec<Arc<PooledTx>>>,
    /// Those that wait.
    pub queued: BTreeMap<Address, Vec<Arc<PooledTx>>>,
}

/// Pending transactions. All threads may use it at once.
pub struct Pool {
    options: PoolOptions,
    holdings: RwLock<Holdings>,
    /// Of the holdings, to be read without waiting for them.
    version: AtomicU64,
    observers: RwLock<Vec<Weak<Observer>>>,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { options, holdings: _, version: _, observers: _ } = self;
        let status = self.status();
        f.debug_struct("Pool").field("options", options).field("status", &status).finish()
    }
}

impl Pool {
    /// An empty pool.
    pub fn new(options: PoolOptions, head: PoolHead) -> Self {
        let holdings = RwLock::new(Holdings::new(head));
        Self { options, holdings, version: AtomicU64::new(0), observers: RwLock::default() }
    }

    /// The bounds.
    pub const fn options(&self) -> &PoolOptions {
        &self.options
    }

    /// The head that the pool follows.
    pub fn head(&self) -> PoolHead {
        *self.holdings.read().head()
    }

    /// Decodes a transaction in the form in which it is sent (EIP-2718, blob transactions with
    /// their sidecar), to the last byte, and takes it in. `state` is the state after the head.
    /// If that moves to another fork meanwhile, the transaction is judged once more.
    ///
    /// # Errors
    /// As [`Pool::add`]; and `PoolError::Decode`, or `PoolError::SidecarMissing` for a blob
    /// transaction in the form in which a block carries it.
    pub fn add_encoded(
        &self,
        bytes: &[u8],
        origin: Origin,
        state: &dyn StateView,
    ) -> Result<Added, PoolError> {
        let add = || self.add(decode(bytes, &self.options)?, origin, state);
        match add() {
            Err(PoolError::HeadMoved) => add(),
            done => done,
        }
    }

    /// Takes a transaction in. `state` is the state after the head.
    ///
    /// If the head moves meanwhile, what the pool was told of accounts is stronger than `state`.
    /// For a blob transaction this takes milliseconds, most of it for the proofs.
    ///
    /// # Errors
    /// The first reason not to take it: first by itself, then by its sender, then by the others.
    /// Then nothing changed. `PoolError::State` and `PoolError::HeadMoved` are no verdicts.
    pub fn add(
        &self,
        tx: PooledTransaction,
        origin: Origin,
        state: &dyn StateView,
    ) -> Result<Added, PoolError> {
        let (tx, sidecar) = split(tx);
        let head = {
            let holdings = self.holdings.read();
            if holdings.get(tx.hash()).is_some() {
                return Err(PoolError::AlreadyKnown);
            }
            *holdings.head()
        };
        let tx = check_alone(tx, sidecar, origin, &head, &self.options)?;
        let known = self.holdings.read().account(tx.sender);
        let account = match known {
            Some(account) => account,
            None => state.account(tx.sender)?.unwrap_or_default(),
        };
        let facts = SenderFacts::of(tx.sender, account, &head.rules, state)?;
        if let Some(sidecar) = &tx.sidecar {
            // The proofs are dear: first see whether there is a cheaper reason.
            self.holdings.read().judge(&tx, facts, &self.options)?;
            check_proofs(tx.tx.blob_versioned_hashes().unwrap_or_default(), sidecar)?;
        }
        let (added, log) = {
            let mut holdings = self.holdings.write();
            if holdings.head().rules.fork != head.rules.fork {
                return Err(PoolError::HeadMoved);
            }
            let added = holdings.admit(tx, facts, &self.options);
            self.version.store(holdings.version(), Ordering::Release);
            (added, holdings.take_log())
        };
        self.announce(&log);
        added
    }

    /// Takes in again, as a local one, what [`Pool::local`] gave before a restart. If its nonce is
    /// used, a block has it: it is kept for as long as that may leave the chain.
    ///
    /// # Errors
    /// As [`Pool::add_encoded`], but for a nonce that is used.
    pub fn restore(&self, bytes: &[u8], state: &dyn StateView) -> Result<(), PoolError> {
        match self.add_encoded(bytes, Origin::Local, state) {
            Err(PoolError::NonceTooLow { .. }) => {
                let (tx, sidecar) = split(decode(bytes, &self.options)?);
                let tx = check_alone(tx, sidecar, Origin::Local, &self.head(), &self.options)?;
                self.holdings.write().keep_mined_local(Arc::new(tx));
                Ok(())
            }
            added => added.map(drop),
        }
    }

    /// Follows the head. `state` is the state after it.
    ///
    /// Looks only at senders whose account changed, so `update` must name all of those. A blob
    /// transaction of a block that left the chain comes back if its sidecar was in the pool and is
    /// still kept; one whose sender cannot be read does not come back.
    pub fn advance(&self, update: HeadUpdate<'_>, state: &dyn StateView) -> Advanced {
        let HeadUpdate { head, mined, changed, finalized, .. } = update;
        let returned = self.check_all_returned(&update, state);
        let changed: AddressMap<_> = changed.iter().copied().collect();
        let moved = Moved { head, mined, returned, changed, finalized };
        let (mut advanced, log) = {
            let mut holdings = self.holdings.write();
            let advanced = holdings.advance(moved, &self.options);
            self.version.store(holdings.version(), Ordering::Release);
            (advanced, holdings.take_log())
        };
        self.announce(&log);
        advanced.promoted = log.pending.len();
        advanced.dropped = log.dropped;
        advanced
    }

    /// Transactions of blocks that left the chain which are good for the next block, as far as
    /// they and their senders tell.
    fn check_all_returned(
        &self,
        update: &HeadUpdate<'_>,
        state: &dyn StateView,
    ) -> Vec<(PooledTx, Account)> {
        if update.returned.is_empty() {
            return Vec::new();
        }
        let mined: HashSet<_> = update.mined.iter().map(|tx| tx.hash).collect();
        let gone = update.returned.iter().filter(|(tx, _)| !mined.contains(tx.hash()));
        let checked = gone.map(|(tx, sender)| {
            let (sidecar, origin) = {
                let holdings = self.holdings.read();
                (holdings.mined_sidecar(tx.hash()), holdings.mined_origin(tx.hash()))
            };
            let (head, options) = (&update.head, &self.options);
            let tx = check_returned(tx.clone(), *sender, sidecar, origin, head, options)?;
            let account = state.account(*sender)?.unwrap_or_default();
            let facts = SenderFacts::of(*sender, account, &head.rules, state)?;
            Ok::<_, PoolError>((tx, facts.account))
        });
        checked.filter_map(Result::ok).collect()
    }

    /// Forgets a transaction, such as one that a block refused for good. Those of its sender after
    /// it wait, or leave if they have blobs. Whether it was there.
    pub fn remove(&self, hash: &B256) -> bool {
        self.remove_for(hash, None)
    }

    /// Forgets a transaction that was taken in, and brings the one back that it took the place of;
    /// does nothing if it is here no more. What had to go for it stays away.
    pub fn take_back(&self, added: &Added) {
        self.remove_for(&added.hash, added.replaced.as_ref());
    }

    fn remove_for(&self, hash: &B256, instead: Option<&Arc<PooledTx>>) -> bool {
        let mut holdings = self.holdings.write();
        let was_there = holdings.remove(hash, instead, &self.options);
        self.version.store(holdings.version(), Ordering::Release);
        holdings.take_log();
        was_there
    }

    /// Forgets all transactions, mined local ones too, and gives how many there were. The blobs of
    /// mined ones stay.
    pub fn clear(&self) -> usize {
        let mut holdings = self.holdings.write();
        let count = holdings.clear();
        self.version.store(holdings.version(), Ordering::Release);
        holdings.take_log();
        count
    }

    /// Executable transactions for a block with these fees, in the order in which it takes them.
    ///
    /// A snapshot: what comes later is not in it. Copies a reference to each executable
    /// transaction.
    pub fn best(&self, base_fee: u64, blob_base_fee: Option<u128>) -> Best {
        self.holdings.read().best(base_fee, blob_base_fee)
    }

    /// The transaction with this hash.
    pub fn get(&self, hash: &B256) -> Option<Arc<PooledTx>> {
        self.holdings.read().get(hash).cloned()
    }

    /// Who sent the transactions with these hashes, in their order; `None` for those that are not
    /// here. Empty while somebody changes the pool: nobody has to wait for it.
    ///
    /// A hash covers the signature, and only what the fork of the head allows is taken in: from
    /// Homestead on no signature with a high `s` (EIP-2).
    pub fn senders_of(&self, hashes: &[B256]) -> Vec<Option<Address>> {
        // Whoever changes the pool may have to wait for a core.
        let Some(holdings) = self.holdings.try_read() else { return Vec::new() };
        hashes.iter().map(|hash| holdings.get(hash).map(|tx| tx.sender)).collect()
    }

    /// The blob with this versioned hash: of the pool, or of a transaction that was mined lately.
    pub fn blob(&self, versioned_hash: &B256) -> Option<PooledBlob> {
        self.holdings.read().blob(versioned_hash)
    }

    /// The nonce after the sender's executable transactions; `None` if it has no transaction here.
    pub fn next_nonce(&self, sender: Address) -> Option<u64> {
        self.holdings.read().sender(sender).map(SenderTxs::next_nonce)
    }

    /// How much the pool holds.
    pub fn status(&self) -> PoolStatus {
        let holdings = self.holdings.read();
        let [pending, queued, blob] =
            [Lane::Pending, Lane::Queued, Lane::Blob].map(|lane| holdings.lanes().get(lane));
        PoolStatus {
            pending: pending.count.saturating_add(blob.count),
            queued: queued.count,
            blobs: blob.count,
            pending_bytes: pending.bytes,
            queued_bytes: queued.bytes,
            blob_bytes: blob.bytes,
        }
    }

    /// All transactions.
    pub fn content(&self) -> PoolContent {
        let mut content = PoolContent::default();
        for (address, sender) in self.holdings.read().senders() {
            for entry in sender.entries.values() {
                let part =
                    if entry.is_executable() { &mut content.pending } else { &mut content.queued };
                part.entry(*address).or_default().push(Arc::clone(&entry.tx));
            }
        }
        content
    }

    /// The transactions of one sender: pending ones, then queued ones, each in the order of nonces.
    pub fn content_of(&self, sender: Address) -> [Vec<Arc<PooledTx>>; 2] {
        let holdings = self.holdings.read();
        let entries = holdings.sender(sender).into_iter().flat_map(|one| one.entries.values());
        let (pending, queued): (Vec<_>, Vec<_>) = entries.partition(|entry| entry.is_executable());
        [pending, queued].map(|part| part.into_iter().map(|entry| Arc::clone(&entry.tx)).collect())
    }

    /// All transactions of senders with a local one, and local ones of blocks that are not final,
    /// in the form in which they are sent, for a journal that the caller writes: by nonce, and of
    /// equal ones in the order in which they arrived.
    ///
    /// A replacement arrived after its successors, and so did what a block gave back. Without it a
    /// pool refuses blobs, and nonces that lie too far above the next one; without those before it
    /// as well, whoever sent them.
    pub fn local(&self) -> Vec<Vec<u8>> {
        let mut txs: Vec<_> = {
            let holdings = self.holdings.read();
            let txs = holdings.lanes().local().filter_map(|hash| holdings.get(hash));
            txs.chain(holdings.mined_local().iter()).cloned().collect()
        };
        txs.sort_unstable_by_key(|tx| (tx.nonce(), tx.sequence()));
        txs.iter().map(|tx| tx.encoded()).collect()
    }

    /// What [`Pool::local`] gives more since this transaction came, in the same order: nothing if
    /// its sender has no local one, and all of its sender's if it is the first local one.
    pub fn local_with(&self, hash: &B256) -> Vec<Vec<u8>> {
        let txs: Vec<Arc<PooledTx>> = {
            let holdings = self.holdings.read();
            let Some(tx) = holdings.get(hash) else {
                // A block may have it already.
                let mined = holdings.mined_local().get(hash);
                return mined.map(|tx| tx.encoded()).into_iter().collect();
            };
            let sender = holdings.sender(tx.sender).into_iter();
            let txs = sender.flat_map(|one| one.entries.values()).map(|entry| &entry.tx);
            let is_local = |tx: &Arc<PooledTx>| tx.origin == Origin::Local;
            if txs.clone().any(|one| one.hash != *hash && is_local(one)) {
                vec![Arc::clone(tx)]
            } else if is_local(tx) {
                txs.cloned().collect()
            } else {
                Vec::new()
            }
        };
        txs.iter().map(|tx| tx.encoded()).collect()
    }

    /// A number that changes whenever the executable transactions change.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// `observer` is told of every transaction that becomes executable, on the thread that made it
    /// so, outside of the lock: it may use the pool. It is told for as long as the caller keeps it.
    pub fn on_pending(&self, observer: &Arc<Observer>) {
        let mut observers = self.observers.write();
        observers.retain(|known| known.strong_count() > 0);
        observers.push(Arc::downgrade(observer));
    }

    fn announce(&self, log: &Log) {
        if log.pending.is_empty() {
            return;
        }
        let observers: Vec<Arc<Observer>> =
            self.observers.read().iter().filter_map(Weak::upgrade).collect();
        for tx in &log.pending {
            for observer in &observers {
                observer(tx);
            }
        }
    }

    /// Panics where the pool contradicts itself.
    #[cfg(test)]
    pub(crate) fn check_invariants(&self) {
        self.holdings.read().check_invariants(&self.options);
    }
}

#[cfg(test)]
mod tests;
