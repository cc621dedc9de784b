//! Transactions of this node's own users: they come back after a restart.

use crate::{ChainView, ImportError};
use fugue_storage::{Journal, StorageError};
use fugue_txpool::{Added, Origin, Pool, PoolError};
use fugue_types::B256;
use parking_lot::Mutex;
use std::path::Path;

/// Bytes that the file may grow by before what does not come back any more is left out.
const SLACK_BYTES: u64 = 4 << 20;

/// A transaction was not taken.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The pool does not take it.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// The state that it is judged by cannot be read, or it cannot be kept for a restart.
    #[error(transparent)]
    Broken(#[from] ImportError),
}

/// The file, and its bytes when it was last rewritten.
#[derive(Debug)]
struct File {
    journal: Journal,
    rewritten: u64,
}

/// Keeps local transactions; nothing if there is no file.
#[derive(Debug, Default)]
pub(crate) struct LocalTxs {
    file: Mutex<Option<File>>,
}

impl LocalTxs {
    /// Opens the file, and gives the pool back what it holds. What the pool does not take any more
    /// is left out.
    pub(crate) fn open(
        &self,
        path: &Path,
        pool: &Pool,
        view: &ChainView,
    ) -> Result<(), ImportError> {
        let (journal, entries) = Journal::open(path)?;
        for entry in entries {
            view.with_state(view.head().number, |state| {
                let _ = pool.restore(&entry, state);
            })?;
        }
        let mut file = File { journal, rewritten: 0 };
        file.rewrite(pool)?;
        *self.file.lock() = Some(file);
        Ok(())
    }

    /// Puts a transaction into the pool, and keeps it for a restart if it is local, or its sender
    /// has sent a local one: that may not be taken without it.
    pub(crate) fn submit(
        &self,
        encoded: &[u8],
        origin: Origin,
        pool: &Pool,
        view: &ChainView,
    ) -> Result<Added, SubmitError> {
        Self::submit_by(encoded, origin, pool, view, |hash| self.keep(hash, pool))
    }

    fn submit_by(
        encoded: &[u8],
        origin: Origin,
        pool: &Pool,
        view: &ChainView,
        keep: impl FnOnce(&B256) -> Result<(), StorageError>,
    ) -> Result<Added, SubmitError> {
        let head = view.head();
        let added =
            view.with_state(head.number, |state| pool.add_encoded(encoded, origin, state))?;
        let added = added.ok_or_else(|| {
            ImportError::Internal(format!("there is no state of the head {}", head.number))
        })??;
        let kept = keep(&added.hash);
        if origin == Origin::Local
            && let Err(error) = kept
        {
            // Who sent it is not told that it is kept, so it must not be.
            pool.take_back(&added);
            return Err(ImportError::from(error).into());
        }
        Ok(added)
    }

    /// An error means that not all is in the file that should be.
    fn keep(&self, hash: &B256, pool: &Pool) -> Result<(), StorageError> {
        let entries = pool.local_with(hash);
        if entries.is_empty() {
            // Nobody has to wait for the file for nothing.
            return Ok(());
        }
        match &mut *self.file.lock() {
            Some(file) => entries.iter().try_for_each(|entry| file.append(entry, pool)),
            None => Ok(()),
        }
    }

    /// Leaves in the file what is in the pool, and what blocks have that are not final.
    pub(crate) fn close(&self, pool: &Pool) -> Result<(), ImportError> {
        match &mut *self.file.lock() {
            Some(file) => Ok(file.rewrite(pool)?),
            None => Ok(()),
        }
    }
}

impl File {
    /// An error means that the transaction is not in the file.
    fn append(&mut self, encoded: &[u8], pool: &Pool) -> Result<(), StorageError> {
        self.journal.append(encoded)?;
        let grown = self.journal.bytes().saturating_sub(self.rewritten);
        if grown > self.rewritten.saturating_add(SLACK_BYTES) {
            // The transaction is kept whatever becomes of this, which only makes the file smaller.
            let _ = self.rewrite(pool);
        }
        Ok(())
    }

    fn rewrite(&mut self, pool: &Pool) -> Result<(), StorageError> {
        let local = pool.local();
        let replaced = self.journal.replace(local.iter().map(Vec::as_slice));
        // After a failure too: not each transaction from then on is to try it again.
        self.rewritten = self.journal.bytes();
        replaced
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Chain, ChainOptions, Engine, EngineOptions, EngineThread, engine::samples::World, pool_head,
    };
    use alloy_consensus::{Signed, TxLegacy};
    use alloy_eips::Encodable2718;
    use fugue_chainspec::ChainSpec;
    use fugue_executor::Mode;
    use fugue_state::{Account, AccountDiff, StateDiff};
    use fugue_txpool::PoolOptions;
    use fugue_types::{Address, Transaction, TxKind, U256, impersonating};
    use std::sync::Arc;

    /// An engine on a chain for development, which keeps local transactions in this file.
    fn start(path: &Path) -> (Engine, EngineThread) {
        let World { store, spec, genesis, .. } = World::new();
        let spec = ChainSpec::clone(&spec).for_dev();
        let head = pool_head(&spec, genesis.head.hash, &genesis.header);
        let options = PoolOptions { tip_min: 0, ..PoolOptions::default() };
        let pool = Arc::new(Pool::new(options, head));
        let options = ChainOptions::following(Mode::Seq, 1);
        let chain = Chain::open(store, spec, options).expect("a good store");
        let local_txs = Some(path.to_owned());
        let options =
            EngineOptions { build_mode: Mode::Seq, local_txs, ..EngineOptions::default() };
        Engine::start(chain, pool, options).expect("threads")
    }

    /// A transaction of an account of the genesis, which has sent one.
    fn transfer(byte: u8, nonce: u64, gas_price: u128) -> Transaction {
        let sender = Address::repeat_byte(byte);
        let to = TxKind::Call(sender);
        let tx = TxLegacy { nonce, gas_price, gas_limit: 21_000, to, ..TxLegacy::default() };
        Transaction::Legacy(Signed::new_unhashed(tx, impersonating(sender)))
    }

    fn kept(path: &Path) -> Vec<Vec<u8>> {
        Journal::open(path).expect("a journal").1
    }

    #[test]
    fn a_transaction_that_is_dropped_is_not_kept_for_a_restart() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("transactions");
        let (engine, thread) = start(&path);
        let tx = transfer(1, 1, 0);
        let encoded = tx.encoded_2718();
        engine.submit(&encoded, Origin::Local).expect("it is taken");
        assert_eq!(kept(&path), [encoded]);
        assert_eq!(engine.drop_pooled(&[*tx.hash()]), Ok(1));
        assert!(kept(&path).is_empty(), "a kill would bring it back");
        assert_eq!(engine.drop_pooled(&[*tx.hash()]), Ok(0));
        drop(engine);
        thread.stop().expect("a good store");
    }

    #[test]
    fn what_a_local_transaction_may_need_is_in_the_file_with_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("transactions");
        let (engine, thread) = start(&path);
        let submit = |byte: u8, nonce: u64, origin: Origin| {
            let encoded = transfer(byte, nonce, 0).encoded_2718();
            engine.submit(&encoded, origin).expect("it is taken");
            encoded
        };
        let first = submit(1, 1, Origin::External);
        submit(2, 1, Origin::External);
        assert!(kept(&path).is_empty());
        let second = submit(1, 2, Origin::Local);
        let third = submit(1, 3, Origin::External);
        let fourth = submit(1, 4, Origin::Local);
        let all = [first, second, third, fourth];
        // A kill would leave this.
        assert_eq!(kept(&path), all);
        drop(engine);
        thread.stop().expect("a good store");
        assert_eq!(kept(&path), all);
        let (engine, thread) = start(&path);
        assert_eq!(engine.pool().status().pending, 4);
        drop(engine);
        thread.stop().expect("a good store");
    }

    #[test]
    fn a_transaction_that_cannot_be_kept_leaves_the_one_that_it_would_replace() {
        let mut world = World::new();
        world.spec = Arc::new(ChainSpec::clone(&world.spec).for_dev());
        // Whoever replaces must pay.
        let address = Address::repeat_byte(1);
        let before = world.genesis.state.accounts[&address].account;
        let after = Some(Account { balance: U256::from(1_000_000), ..before });
        let (before, wiped, slots) = (Some(before), false, Vec::new());
        let accounts = vec![AccountDiff { address, before, after, wiped, slots }];
        let head = world.genesis.child(StateDiff { accounts, codes: Vec::new() });
        let view = world.view(&world.snapshot(), &head);
        let pool_head = pool_head(&world.spec, head.head.hash, &head.header);
        let pool = Pool::new(PoolOptions::default(), pool_head);
        let submit = |gas_price: u128, kept: Result<(), StorageError>| {
            let encoded = transfer(1, 1, gas_price).encoded_2718();
            LocalTxs::submit_by(&encoded, Origin::Local, &pool, &view, |_| kept)
        };
        let pending = || pool.content_of(address)[0].iter().map(|tx| tx.hash).collect::<Vec<_>>();
        let first = submit(1, Ok(())).expect("it is taken").hash;
        let full = StorageError::Full { path: "transactions".into(), reason: String::new() };
        let refused = submit(2, Err(full));
        let error = refused.expect_err("it would be lost by a restart");
        assert!(matches!(error, SubmitError::Broken(ImportError::Storage(_))), "{error}");
        assert_eq!(pending(), [first]);
        let second = submit(2, Ok(())).expect("it is taken");
        assert_eq!(second.replaced.map(|tx| tx.hash), Some(first));
        assert_eq!(pending(), [second.hash]);
    }

    #[test]
    fn what_is_appended_is_kept_also_if_the_file_cannot_be_rewritten() {
        let World { spec, genesis, .. } = World::new();
        let head = pool_head(&spec, genesis.head.hash, &genesis.header);
        let pool = Pool::new(PoolOptions::default(), head);
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("transactions");
        let (journal, _) = Journal::open(&path).expect("a journal");
        let mut file = File { journal, rewritten: 0 };
        // The file that would take its place cannot be made.
        std::fs::create_dir(path.with_extension("next")).expect("room");
        let large = vec![1; SLACK_BYTES as usize];
        file.append(&large, &pool).expect("it is in the file");
        // It was tried.
        assert_eq!(file.rewritten, file.journal.bytes());
        file.append(b"small", &pool).expect("it is in the file");
        let (_, entries) = Journal::open(&path).expect("a journal");
        assert!(entries == [large, b"small".to_vec()], "{} entries", entries.len());
    }
}
