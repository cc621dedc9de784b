//! The block that would come next with what the pool has of it, for readers, and what it would do
//! to the state. Nothing becomes of it.
//!
//! It is built on the thread of whoever asks, by one of them at a time, and kept for the others,
//! without the view that it was built on, which would keep the store from reusing what it has:
//!
//! ```text
//! fresh enough ---------------------------------------> given
//! else nobody builds ------------> built, kept -------> given
//! else there is one on this head, not much older -----> given
//! else waits for whoever builds
//! ```
//! A build takes about a second at most, and ends when the head moves. On a chain for development
//! the last one is given only if it is as wanted, and the pool not older than the call: whoever
//! sends a transaction there looks for it at once.

use super::{
    BuildAttributes, BuildError, BuildOrder, Contents, Engine, Shared, at_once::Filled,
    pool::next_header,
};
use crate::{ChainView, DevBlock, ImportError, executed::Executed, view::recovered};
use fugue_chainspec::Fork;
use fugue_storage::BlockRecord;
use fugue_types::{Address, B256, U256};
use parking_lot::Mutex;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// How long a block is filled: what went in by then is kept, and whoever waits gets it.
const BUILD_MAX: Duration = Duration::from_secs(1);
/// How long a block is fresh while the pool changes: building one takes a thread up to a second.
const FRESH_MAX: Duration = Duration::from_secs(1);
/// How old a block may be that is given while somebody builds the next one.
const AGE_MAX: Duration = FRESH_MAX.saturating_mul(2);
/// Between two looks whether a block that somebody else builds is there, or not wanted any more.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// The block that was built last, if there was one.
#[derive(Debug, Default)]
pub(super) struct Pending {
    last: Mutex<Option<Last>>,
    /// Held by whoever builds one. Whether the last build ended because the head had moved.
    building: Mutex<bool>,
}

#[derive(Debug)]
struct Last {
    block: Arc<BlockRecord>,
    /// As it was asked for.
    wanted: Option<DevBlock>,
    /// Of the pool before it was built.
    version: u64,
    /// When it was.
    built: Instant,
}

impl Pending {
    /// The last block, if it is on this head and good enough.
    fn on(&self, head: B256, is_good: &dyn Fn(&Last) -> bool) -> Option<Arc<BlockRecord>> {
        let last = self.last.lock();
        let is_on_head = |last: &&Last| last.block.block.block().header.parent_hash == head;
        let last = last.as_ref().filter(is_on_head)?;
        is_good(last).then(|| last.block.clone())
    }
}

impl Engine {
    /// The chain with one more block as its head: the one after the head with what it would take of
    /// the pool within a second, built while `goes_on` says so; `None` where it would have proof of
    /// work. It may be two seconds old. Of what the consensus layer says of a block it has nothing:
    /// no withdrawals, zeros, the RANDAO of its parent, and a timestamp a slot after that.
    ///
    /// On a chain for development `wanted` is how it is made; it is not older than the call then.
    ///
    /// # Errors
    /// [`BuildError`]; given up also if the head moves: ask again then, with what is wanted on it.
    pub fn pending_view(
        &self,
        wanted: Option<DevBlock>,
        goes_on: &(dyn Fn() -> bool + Sync),
    ) -> Result<Option<ChainView>, BuildError> {
        let view = self.view();
        let block = self.pending_block(&view, wanted, goes_on)?;
        Ok(block.map(|block| view.with_child(block)))
    }

    /// The block after the head of this view.
    fn pending_block(
        &self,
        view: &ChainView,
        wanted: Option<DevBlock>,
        goes_on: &(dyn Fn() -> bool + Sync),
    ) -> Result<Option<Arc<BlockRecord>>, BuildError> {
        let Shared { spec, pool, pending, view: newest, .. } = &*self.shared;
        let header = view.header(view.head().number)?;
        let (head, parent) = header.ok_or_else(|| {
            BuildError::Broken(ImportError::Internal("the head has no header".to_owned()))
        })?;
        let is_head = || newest.read().head().hash == head;
        let asked = pool.version();
        let is_fresh = |last: &Last| {
            let is_good = last.version >= asked && last.wanted == wanted;
            is_good || (wanted.is_none() && last.built.elapsed() < FRESH_MAX)
        };
        let is_young = |last: &Last| wanted.is_none() && last.built.elapsed() < AGE_MAX;
        let mut building = loop {
            if let Some(block) = pending.on(head, &is_fresh) {
                return Ok(Some(block));
            }
            if let Some(building) = pending.building.try_lock_for(LOOK_EVERY) {
                break building;
            }
            if let Some(block) = pending.on(head, &is_young) {
                return Ok(Some(block));
            }
            if !goes_on() || !is_head() {
                return Err(BuildError::GivenUp);
            }
        };
        // Somebody else may have built it just before.
        if let Some(block) = pending.on(head, &is_fresh) {
            return Ok(Some(block));
        }

        let next = next_header(spec, head, &parent);
        let soonest = parent.timestamp.saturating_add(1);
        let timestamp =
            wanted.as_ref().map_or(next.timestamp, |block| block.timestamp.max(soonest));
        let rules = spec.rules_at(next.number, timestamp);
        if !rules.has(Fork::Paris) {
            return Ok(None);
        }
        let attributes = BuildAttributes {
            timestamp,
            prev_randao: wanted.as_ref().map_or(next.mix_hash, |block| block.prev_randao),
            fee_recipient: wanted.as_ref().map_or(Address::ZERO, |block| block.fee_recipient),
            withdrawals: rules.has(Fork::Shanghai).then(Vec::new),
            parent_beacon_block_root: rules.has(Fork::Cancun).then_some(B256::ZERO),
            slot_number: rules
                .has(Fork::Amsterdam)
                .then(|| parent.slot_number.map_or(0, |slot| slot.saturating_add(1))),
            target_gas_limit: None,
        };
        // The pool may have changed while somebody else built.
        let version = pool.version();
        // Of two in a row one comes to its end, or a head that moves all the time had none.
        let was_stopped = std::mem::take(&mut *building);
        let is_stopped = AtomicBool::new(false);
        let is_wanted = || {
            let goes_on = goes_on();
            if !was_stopped && !is_head() {
                is_stopped.store(true, Ordering::Relaxed);
            }
            goes_on && !is_stopped.load(Ordering::Relaxed)
        };
        let contents = Contents::Pool;
        let order = BuildOrder { parent: head, attributes, contents, extra_data: None };
        let until = Some(Instant::now() + BUILD_MAX);
        let filled = self.build_on(view, order, wanted.as_ref(), until, &is_wanted);
        *building = is_stopped.into_inner();
        let block = Arc::new(record(filled?)?);
        let last = Last { block: block.clone(), wanted, version, built: Instant::now() };
        *pending.last.lock() = Some(last);
        Ok(Some(block))
    }
}

/// All of a block that was built.
fn record(filled: Filled) -> Result<BlockRecord, ImportError> {
    let Filled { payload, senders, executed, .. } = filled;
    let Executed { diff, receipts, access_list, storage_roots } = executed;
    let block = recovered(payload.block, senders);
    let block = block.map_err(|error| ImportError::Internal(error.to_string()))?;
    // Who chooses between chains by it never comes by this block.
    let total_difficulty = U256::ZERO;
    Ok(BlockRecord { block, total_difficulty, receipts, access_list, diff, storage_roots })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Chain, ChainOptions, DevContent, EngineOptions, EngineThread, Head,
        engine::samples::{After, World},
        pool_head,
    };
    use fugue_chainspec::ChainSpec;
    use fugue_executor::Mode;
    use fugue_state::StateView;
    use fugue_txpool::{Pool, PoolOptions};
    use fugue_types::Header;
    use std::{iter, sync::atomic::AtomicUsize};

    /// A running engine at a genesis.
    fn start() -> (Engine, EngineThread, After) {
        let World { store, spec, genesis, .. } = World::new();
        let options = ChainOptions::following(Mode::Seq, 1);
        let chain = Chain::open(store, ChainSpec::clone(&spec), options).expect("a good store");
        let head = pool_head(&spec, genesis.head.hash, &genesis.header);
        let pool = Pool::new(PoolOptions::default(), head);
        let options = EngineOptions { build_mode: Mode::Seq, ..EngineOptions::default() };
        let (engine, thread) = Engine::start(chain, Arc::new(pool), options).expect("threads");
        (engine, thread, genesis)
    }

    fn stop(engine: Engine, thread: EngineThread) {
        drop(engine);
        thread.stop().expect("a good store");
    }

    fn ask_for(engine: &Engine, wanted: Option<DevBlock>) -> Arc<BlockRecord> {
        let found = engine.pending_block(&engine.view(), wanted, &|| true);
        found.expect("a block").expect("there is no proof of work")
    }

    fn ask(engine: &Engine) -> Arc<BlockRecord> {
        ask_for(engine, None)
    }

    fn dev_block(timestamp: u64) -> DevBlock {
        DevBlock {
            timestamp,
            prev_randao: B256::repeat_byte(1),
            fee_recipient: Address::repeat_byte(2),
            base_fee: Some(77),
            gas_limit: Some(1_234_567),
            content: DevContent::Pool,
        }
    }

    fn header(block: &BlockRecord) -> &Header {
        &block.block.block().header
    }

    #[test]
    fn the_pending_block_is_on_the_head_and_nothing_becomes_of_it() {
        let (engine, thread, genesis) = start();
        let block = ask(&engine);
        assert_eq!((header(&block).number, header(&block).parent_hash), (1, genesis.head.hash));
        assert!(block.block.senders().is_empty() && block.receipts.is_empty());
        assert_eq!(block.block.hash(), header(&block).hash_slow());
        assert_eq!(engine.view().head(), genesis.head);
        stop(engine, thread);
    }

    #[test]
    fn the_pending_block_is_the_head_of_a_view_of_its_own() {
        let (engine, thread, genesis) = start();
        let view = engine.pending_view(None, &|| true).expect("a block");
        let view = view.expect("there is no proof of work");
        let block = ask(&engine);
        assert_eq!(view.head(), Head { number: 1, hash: block.block.hash() });
        let found = view.header(1).expect("a good store").expect("its head");
        assert_eq!(found, (view.head().hash, header(&block).clone()));
        assert_eq!(view.header(0), Ok(Some((genesis.head.hash, genesis.header.clone()))));
        let address = Address::repeat_byte(1);
        let account = view.with_state(1, |state| state.account(address)).expect("a good store");
        assert_eq!(account, Some(genesis.state.account(address)));
        stop(engine, thread);
    }

    #[test]
    fn on_a_chain_for_development_it_is_as_it_would_be_made_at_this_moment() {
        let (engine, thread, genesis) = start();
        let wanted = dev_block(genesis.header.timestamp + 500);
        let ask = |wanted: &DevBlock| ask_for(&engine, Some(wanted.clone()));
        let block = ask(&wanted);
        let made = header(&block);
        assert_eq!(
            (made.timestamp, made.mix_hash, made.beneficiary),
            (wanted.timestamp, wanted.prev_randao, wanted.fee_recipient)
        );
        assert_eq!((made.base_fee_per_gas, made.gas_limit), (Some(77), 1_234_567));
        assert!(Arc::ptr_eq(&ask(&wanted), &block));
        // Another one is built, however short the time.
        let other = DevBlock { timestamp: 0, ..wanted };
        assert_eq!(header(&ask(&other)).timestamp, genesis.header.timestamp + 1);
        stop(engine, thread);
    }

    #[test]
    fn one_builds_the_block_and_the_others_take_it() {
        let (engine, thread, _) = start();
        let Shared { pending, .. } = &*engine.shared;
        // Nobody waits for a block without wanting it.
        let building = pending.building.lock();
        let given_up = engine.pending_block(&engine.view(), None, &|| false);
        assert_eq!(given_up, Err(BuildError::GivenUp));
        drop(building);
        let block = ask(&engine);
        assert!(Arc::ptr_eq(&ask(&engine), &block), "it is the same, and not built again");
        // What is of a newer pool than the call is good, too, however old it is.
        let age = |by: Duration| {
            if let Some(last) = pending.last.lock().as_mut() {
                last.version = 1;
                last.built = Instant::now().checked_sub(by).expect("the clock runs for longer");
            }
        };
        age(AGE_MAX);
        assert!(Arc::ptr_eq(&ask(&engine), &block), "it would be the same or newer");
        // It would be another one.
        if let Some(last) = pending.last.lock().as_mut() {
            last.wanted = Some(dev_block(0));
        }
        let building = pending.building.lock();
        let ask_once = || engine.pending_block(&engine.view(), None, &|| false);
        assert_eq!(ask_once(), Err(BuildError::GivenUp), "it is too old");
        // A slow machine may take as long as it stays young.
        let asked = iter::repeat_with(|| {
            age(FRESH_MAX);
            ask_once()
        });
        let given = asked.take(100).find_map(Result::ok).flatten().expect("a block");
        assert!(Arc::ptr_eq(&given, &block), "somebody builds the next one");
        age(FRESH_MAX);
        drop(building);
        assert!(!Arc::ptr_eq(&ask(&engine), &block), "it was built");
        stop(engine, thread);
    }

    #[test]
    fn nobody_builds_or_waits_on_a_head_that_is_left() {
        let (engine, thread, _) = start();
        let Shared { pending, view, .. } = &*engine.shared;
        let old = engine.view();
        let new = Arc::new(old.with_child(ask(&engine)));
        let begin = || {
            *pending.last.lock() = None;
            *view.write() = old.clone();
        };
        // It moves at the first look.
        let looks = AtomicUsize::new(0);
        let moves = || {
            *view.write() = new.clone();
            looks.fetch_add(1, Ordering::Relaxed) < 1_000
        };

        begin();
        let building = pending.building.lock();
        assert_eq!(engine.pending_block(&old, None, &moves), Err(BuildError::GivenUp));
        assert_eq!(looks.swap(0, Ordering::Relaxed), 1, "it does not wait any longer");
        drop(building);

        // Of builds on heads that are left at once every second one is finished.
        for is_stopped in [true, false, true] {
            begin();
            let built = engine.pending_block(&old, None, &moves);
            assert_eq!(built == Err(BuildError::GivenUp), is_stopped, "{built:?}");
            assert!(looks.swap(0, Ordering::Relaxed) < 1_000, "it was not the caller");
        }
        // Who asks next is on the new one.
        let next = ask(&engine);
        assert_eq!(header(&next).parent_hash, new.head().hash);
        begin();
        stop(engine, thread);
    }
}
