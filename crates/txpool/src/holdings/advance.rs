//! Follows the head of the chain.
//!
//! What it costs follows from what changed: only senders whose account changed are looked at. Fees
//! of the next block are asked for when somebody asks for the best transactions, so a new base fee
//! costs nothing.

use super::Holdings;
use crate::{LOCAL_SENDER_TXS_MAX, Origin, PoolHead, PoolOptions, PooledTx, check::check_at_fork};
use fugue_state::Account;
use fugue_types::{Address, AddressMap, B256, Transaction};
use std::{collections::BTreeSet, mem, sync::Arc};

/// Accounts of the last move of the head that are remembered. If it changed more, none is.
const CHANGED_MAX: usize = 1 << 16;

/// A transaction of a block that came into the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MinedTx {
    /// Its hash.
    pub hash: B256,
    /// Its sender.
    pub sender: Address,
    /// Its nonce.
    pub nonce: u64,
}

/// The head moved.
#[derive(Debug, Clone, Copy)]
pub struct HeadUpdate<'a> {
    /// Where it is.
    pub head: PoolHead,
    /// Transactions of the blocks that came into the chain.
    pub mined: &'a [MinedTx],
    /// Transactions, with their senders, of the blocks that left the chain, in their order.
    pub returned: &'a [(Transaction, Address)],
    /// Every account that is not the same after the new head as after the old one, as it is after
    /// the new one; `None` where it does not exist. Each once.
    pub changed: &'a [(Address, Option<Account>)],
    /// Number of the newest final block: what blocks up to it have does not come back. 0 if there
    /// is none.
    pub finalized: u64,
}

/// What a move of the head did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Advanced {
    /// Transactions of the pool that blocks have.
    pub mined: usize,
    /// Transactions that came back from blocks that left the chain.
    pub returned: usize,
    /// Those that became executable.
    pub promoted: usize,
    /// Those that left otherwise: their nonce was used by another, their blobs are not executable
    /// any more, the rules of a fork do not allow them, or a bound made them go.
    pub dropped: Vec<B256>,
    /// Senders that were looked at.
    pub looked_at: usize,
}

/// A move of the head, made ready outside of the lock.
#[derive(Debug)]
pub(crate) struct Moved<'a> {
    pub(crate) head: PoolHead,
    pub(crate) mined: &'a [MinedTx],
    /// With their senders' accounts; judged by themselves.
    pub(crate) returned: Vec<(PooledTx, Account)>,
    pub(crate) changed: AddressMap<Option<Account>>,
    pub(crate) finalized: u64,
}

impl Holdings {
    /// Follows the head. What was done is in the log, too; promoted and dropped ones are counted
    /// from there.
    pub(crate) fn advance(&mut self, moved: Moved<'_>, options: &PoolOptions) -> Advanced {
        let Moved { head, mined, returned, changed, finalized } = moved;
        let mut advanced = Advanced::default();
        let before = mem::replace(&mut self.head, head);
        let mut touched = BTreeSet::new();
        // 1. What blocks have leaves.
        for tx in mined {
            if let Some(taken) = self.take(&tx.hash) {
                advanced.mined += 1;
                touched.insert(taken.tx.sender);
                if taken.tx.origin == Origin::Local {
                    self.keep_mined_local(Arc::clone(&taken.tx));
                }
                self.blobs.keep_mined(taken.tx);
            }
            if let Some(sender) = self.senders.get_mut(&tx.sender) {
                let next = tx.nonce.saturating_add(1);
                sender.account.nonce = sender.account.nonce.max(next);
                touched.insert(tx.sender);
            }
        }
        self.mined_local.forget_up_to(finalized);
        // 2. Accounts are as they are after the head.
        for (address, account) in &changed {
            if let Some(sender) = self.senders.get_mut(address) {
                sender.account = account.unwrap_or_default();
                touched.insert(*address);
            }
        }
        self.changed = if changed.len() <= CHANGED_MAX { changed } else { AddressMap::default() };
        // 3. What the rules of another fork do not allow leaves.
        touched.extend(self.drop_forbidden(&before));
        // 4. Used nonces leave.
        for sender in &touched {
            self.drop_used(*sender);
        }
        // 5. What left the chain comes back, before its sender's later ones are looked at: blob
        //    transactions among those would not outlive the gap.
        for (tx, account) in returned {
            let sender = tx.sender;
            if self.bring_back(tx, account) {
                advanced.returned += 1;
                touched.insert(sender);
            }
        }
        // 6. What is left comes to its lane; promotions may have filled one.
        for sender in &touched {
            self.settle(*sender);
        }
        let trimmed = self.trim(options, None).taken;
        self.log.dropped.extend(trimmed.iter().map(|taken| taken.tx.hash));
        advanced.looked_at = touched.len();
        advanced
    }

    /// Drops the transactions whose nonces are below the account's.
    fn drop_used(&mut self, address: Address) {
        while let Some(sender) = self.senders.get(&address)
            && let Some((nonce, entry)) = sender.entries.first_key_value()
            && *nonce < sender.account.nonce
        {
            let hash = entry.tx.hash;
            self.discard(&hash);
        }
    }

    /// Puts a transaction of a block that left the chain in, if its nonce is not used and no other
    /// transaction has it. A block had it, so limits for a sender's transactions do not hold for
    /// it. Its sender must be settled then.
    fn bring_back(&mut self, mut tx: PooledTx, account: Account) -> bool {
        let account = self.account(tx.sender).unwrap_or(account);
        let has_room = self.senders.get(&tx.sender).is_none_or(|sender| {
            let is_its_kind = sender.entries.is_empty() || sender.holds_blobs() == tx.has_blobs();
            let is_free = !sender.entries.contains_key(&tx.nonce());
            is_its_kind && is_free && sender.entries.len() < LOCAL_SENDER_TXS_MAX
        });
        if !has_room || tx.nonce() < account.nonce || self.by_hash.contains_key(&tx.hash) {
            return false;
        }
        self.sequence = self.sequence.wrapping_add(1);
        tx.sequence = self.sequence;
        self.insert(Arc::new(tx), account);
        true
    }

    /// At a fork, drops what its rules do not allow, which no block would ever have: looks at every
    /// transaction, once. Gives the senders.
    ///
    /// So go blobs with the proofs of another fork. Making cell proofs for all of them would take
    /// minutes, so senders must send them anew.
    fn drop_forbidden(&mut self, before: &PoolHead) -> Vec<Address> {
        if self.head.rules.fork == before.rules.fork {
            return Vec::new();
        }
        let is_forbidden = |tx: &&Arc<PooledTx>| check_at_fork(tx, &self.head).is_err();
        let forbidden = self.by_hash.values().filter(is_forbidden);
        let forbidden: Vec<_> = forbidden.map(|tx| (tx.hash, tx.sender)).collect();
        for (hash, _) in &forbidden {
            self.discard(hash);
        }
        forbidden.into_iter().map(|(_, sender)| sender).collect()
    }
}
