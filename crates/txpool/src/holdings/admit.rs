//! Judges a transaction by its sender and by the others, and takes it in.

use super::{Holdings, Taken, trim::Trimmed};
use crate::{
    LOCAL_SENDER_TXS_MAX, Origin, PoolError, PoolOptions, PooledTx,
    account::SenderFacts,
    sender::{Entry, SenderTxs},
};
use fugue_state::Account;
use fugue_types::{B256, U256};
use std::sync::Arc;

/// A transaction was taken in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Added {
    /// Its hash.
    pub hash: B256,
    /// Whether it is executable; else it waits.
    pub is_pending: bool,
    /// The transaction with the same sender and nonce that it took the place of.
    pub replaced: Option<Arc<PooledTx>>,
    /// Those that had to go for it.
    pub dropped: Vec<B256>,
}

impl Holdings {
    /// Takes a transaction in, which was judged by itself.
    ///
    /// # Errors
    /// The reason not to; then nothing changed.
    pub(crate) fn admit(
        &mut self,
        mut tx: PooledTx,
        facts: SenderFacts,
        options: &PoolOptions,
    ) -> Result<Added, PoolError> {
        let replaced = self.judge(&tx, facts, options)?;
        self.sequence = self.sequence.wrapping_add(1);
        tx.sequence = self.sequence;
        let tx = Arc::new(tx);
        let (hash, sender) = (tx.hash, tx.sender);
        let account = self.account(sender).unwrap_or(facts.account);
        let logged = self.log.pending.len();
        let replaced = replaced.and_then(|replaced| self.take(&replaced));
        self.insert(Arc::clone(&tx), account);
        self.settle(sender);
        let Trimmed { taken, is_newcomer_out } = self.trim(options, Some(hash));
        if is_newcomer_out {
            self.restore(taken.into_iter().chain(replaced), hash);
            // Nobody has seen what is undone.
            self.log.pending.truncate(logged);
            return Err(PoolError::Full);
        }
        let dropped: Vec<_> = taken.iter().map(|taken| taken.tx.hash).collect();
        self.log.dropped.extend(&dropped);
        Ok(Added {
            hash,
            is_pending: self.is_executable(&tx),
            replaced: replaced.map(|replaced| replaced.tx),
            dropped,
        })
    }

    /// Brings back what went for a newcomer that is not taken in.
    fn restore(&mut self, taken: impl Iterator<Item = Taken>, newcomer: B256) {
        let mut senders = Vec::new();
        for Taken { tx, account } in taken {
            senders.push(tx.sender);
            if tx.hash != newcomer {
                self.insert(tx, account);
            }
        }
        for sender in senders {
            self.settle(sender);
        }
    }

    /// Judges a transaction by its sender and by the others. Gives the hash of the one that it
    /// would replace.
    ///
    /// # Errors
    /// The first reason not to take it in.
    pub(crate) fn judge(
        &self,
        tx: &PooledTx,
        facts: SenderFacts,
        options: &PoolOptions,
    ) -> Result<Option<B256>, PoolError> {
        if self.by_hash.contains_key(&tx.hash) {
            return Err(PoolError::AlreadyKnown);
        }
        let account = self.account(tx.sender).unwrap_or(facts.account);
        let sender = self.senders.get(&tx.sender);
        let rival = sender.and_then(|sender| sender.entries.get(&tx.nonce()));
        check_nonce(tx, account, sender, options)?;
        check_kind(tx, sender)?;
        match rival {
            Some(rival) => check_bump(tx, &rival.tx, options)?,
            None => check_count(tx, sender, options)?,
        }
        check_funds(tx, account, sender, rival)?;
        // Nobody floods a chain for development.
        if !self.head.rules.is_dev {
            self.check_delegation(tx, account, facts.is_delegated)?;
            self.check_authorities(tx)?;
        }
        Ok(rival.map(|rival| rival.tx.hash))
    }

    /// The balance of an account with delegated code can fall at any time, through the calls of
    /// anybody. So of such an account, or of one that a transaction of the pool would delegate, one
    /// transaction is held, and that without a gap. It can be replaced.
    ///
    /// Source: EIP-7702, "Transaction propagation".
    fn check_delegation(
        &self,
        tx: &PooledTx,
        account: Account,
        is_delegated: bool,
    ) -> Result<(), PoolError> {
        if !is_delegated && !self.authorities.contains_key(&tx.sender) {
            return Ok(());
        }
        match self.senders.get(&tx.sender) {
            Some(sender) if sender.entries.contains_key(&tx.nonce()) => Ok(()),
            Some(_) => Err(PoolError::DelegatedLimit),
            None if tx.nonce() != account.nonce => {
                Err(PoolError::DelegatedGap { next: account.nonce, nonce: tx.nonce() })
            }
            None => Ok(()),
        }
    }

    /// An account that the transaction would delegate may have one other at most, and none with
    /// blobs. Source: EIP-7702, "Transaction propagation".
    fn check_authorities(&self, tx: &PooledTx) -> Result<(), PoolError> {
        for authority in &tx.authorities {
            let Some(sender) = self.senders.get(authority) else { continue };
            let has_rival = *authority == tx.sender && sender.entries.contains_key(&tx.nonce());
            let others = sender.entries.len().saturating_sub(usize::from(has_rival));
            if others > 1 || sender.holds_blobs() {
                return Err(PoolError::AuthorityReserved(*authority));
            }
        }
        Ok(())
    }
}

fn check_nonce(
    tx: &PooledTx,
    account: Account,
    sender: Option<&SenderTxs>,
    options: &PoolOptions,
) -> Result<(), PoolError> {
    let nonce = tx.nonce();
    if nonce < account.nonce {
        return Err(PoolError::NonceTooLow { next: account.nonce, nonce });
    }
    let next = sender.map_or(account.nonce, SenderTxs::next_nonce);
    // Blobs are too large to wait for another transaction.
    let gap_max = if tx.has_blobs() { 0 } else { options.nonce_gap_max };
    if nonce.saturating_sub(next) > gap_max {
        return Err(PoolError::NonceTooHigh { next, nonce, gap_max });
    }
    Ok(())
}

/// A sender has blob transactions or others, not both: the two are bounded apart, and one kind
/// could not be executed without the other.
fn check_kind(tx: &PooledTx, sender: Option<&SenderTxs>) -> Result<(), PoolError> {
    match sender {
        Some(sender) if sender.holds_blobs() != tx.has_blobs() => {
            Err(PoolError::KindReserved(tx.sender))
        }
        _ => Ok(()),
    }
}

/// All fees must rise, or replacing would cost less than what it makes the network do.
fn check_bump(tx: &PooledTx, rival: &PooledTx, options: &PoolOptions) -> Result<(), PoolError> {
    let percent =
        if tx.has_blobs() { options.blob_price_bump_percent } else { options.price_bump_percent };
    let fees = [
        ("gas fee cap", tx.max_fee(), rival.max_fee()),
        ("gas tip cap", tx.max_tip(), rival.max_tip()),
    ];
    let blob_fee = tx.max_blob_fee().zip(rival.max_blob_fee());
    let blob_fee = blob_fee.map(|(fee, rival_fee)| ("blob fee cap", fee, rival_fee));
    for (fee, found, rival_found) in fees.into_iter().chain(blob_fee) {
        let min = bumped(rival_found, percent);
        if U256::from(found) < min {
            return Err(PoolError::ReplacementUnderpriced { fee, found, min });
        }
    }
    Ok(())
}

/// So many percent more, rounded up, and more in any case.
fn bumped(fee: u128, percent: u64) -> U256 {
    let fee = U256::from(fee);
    let raised = fee.saturating_mul(U256::from(100 + u128::from(percent)));
    raised.div_ceil(U256::from(100)).max(fee.saturating_add(U256::from(1)))
}

fn check_count(
    tx: &PooledTx,
    sender: Option<&SenderTxs>,
    options: &PoolOptions,
) -> Result<(), PoolError> {
    let count = sender.map_or(0, |sender| sender.entries.len());
    let max = match (tx.has_blobs(), tx.origin) {
        (true, _) => options.sender_blob_txs_max.min(LOCAL_SENDER_TXS_MAX),
        (false, Origin::Local) => LOCAL_SENDER_TXS_MAX,
        (false, Origin::External) => options.sender_txs_max.min(LOCAL_SENDER_TXS_MAX),
    };
    if count >= max { Err(PoolError::SenderLimit { count, max }) } else { Ok(()) }
}

/// The sender can pay for it and for all its executable ones but for the one that it replaces.
fn check_funds(
    tx: &PooledTx,
    account: Account,
    sender: Option<&SenderTxs>,
    rival: Option<&Entry>,
) -> Result<(), PoolError> {
    let freed = rival.filter(|rival| rival.is_executable()).map_or(U256::ZERO, |one| one.tx.cost);
    let pending_cost = sender.map_or(U256::ZERO, |sender| sender.cost).saturating_sub(freed);
    let (balance, cost) = (account.balance, tx.cost);
    if cost.saturating_add(pending_cost) > balance {
        return Err(PoolError::InsufficientFunds { balance, cost, pending_cost });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bump_is_rounded_up_and_never_nothing() {
        let cases =
            [(0, 10, 1_u64), (1, 10, 2), (10, 10, 11), (11, 10, 13), (7, 100, 14), (7, 0, 8)];
        for (fee, percent, min) in cases {
            assert_eq!(bumped(fee, percent), U256::from(min), "{fee} {percent}");
        }
        assert!(bumped(u128::MAX, u64::MAX) > U256::from(u128::MAX));
    }
}
