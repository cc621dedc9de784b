//! The block that would come next with what the pool has of it, for readers. Nothing becomes of it.
//!
//! It is built on the thread of whoever asks, by one of them at a time, and kept for the others:
//!
//! ```text
//! fresh enough --------------------------------------> given
//! else nobody builds ------------> built, kept ------> given
//! else there is one on this head ------------- given, though older
//! else waits for whoever builds
//! ```
//! On a chain for development the last one is given only if it would be the same again: whoever
//! sends a transaction there looks for it at once.

use super::{BuildAttributes, BuildError, BuildOrder, Contents, Engine, Shared, pool::next_header};
use crate::{DevBlock, ImportError, ViewedBlock};
use fugue_chainspec::Fork;
use fugue_types::{Address, B256, Block};
use parking_lot::Mutex;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// How long a block is fresh while the pool changes: building one takes a thread up to a second.
const FRESH_MAX: Duration = Duration::from_secs(1);
/// Between two looks whether a block that somebody else builds is there, or not wanted any more.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// The block that was built last, if there was one.
#[derive(Debug, Default)]
pub(super) struct Pending {
    last: Mutex<Option<Last>>,
    /// Held by whoever builds one.
    building: Mutex<()>,
}

#[derive(Debug)]
struct Last {
    block: Arc<ViewedBlock>,
    /// As it was asked for.
    wanted: Option<DevBlock>,
    /// Of the pool before it was built.
    version: u64,
    /// When it was.
    built: Instant,
}

impl Pending {
    /// The last block, if it is on this head and good enough.
    fn on(&self, head: B256, is_good: &dyn Fn(&Last) -> bool) -> Option<Arc<ViewedBlock>> {
        let last = self.last.lock();
        let last = last.as_ref().filter(|last| last.block.header.parent_hash == head)?;
        is_good(last).then(|| last.block.clone())
    }
}

impl Engine {
    /// The block after the head with what it would take of the pool, while `goes_on` says so;
    /// `None` where it would have proof of work. It may be a second old. Of what the consensus
    /// layer says of a block it has nothing: no withdrawals, zeros, the RANDAO of its parent, and a
    /// timestamp a slot after that.
    ///
    /// On a chain for development `wanted` is how it is made; it is not older than the call then.
    ///
    /// # Errors
    /// [`BuildError`], also if the head was taken back meanwhile.
    pub fn pending_block(
        &self,
        wanted: Option<DevBlock>,
        goes_on: &(dyn Fn() -> bool + Sync),
    ) -> Result<Option<Arc<ViewedBlock>>, BuildError> {
        let Shared { spec, pool, pending, .. } = &*self.shared;
        let view = self.view();
        let header = view.header(view.head().number)?;
        let (head, parent) = header.ok_or_else(|| {
            BuildError::Broken(ImportError::Internal("the head has no header".to_owned()))
        })?;
        let version = pool.version();
        let is_fresh = |last: &Last| {
            let is_same = last.version == version && last.wanted == wanted;
            is_same || (wanted.is_none() && last.built.elapsed() < FRESH_MAX)
        };
        let _building = loop {
            if let Some(block) = pending.on(head, &is_fresh) {
                return Ok(Some(block));
            }
            if let Some(building) = pending.building.try_lock_for(LOOK_EVERY) {
                break building;
            }
            if let Some(block) = pending.on(head, &|_: &Last| wanted.is_none()) {
                return Ok(Some(block));
            }
            if !goes_on() {
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
        let contents = Contents::Pool;
        let order = BuildOrder { parent: head, attributes, contents, extra_data: None };
        let (built, senders) = self.build_with_senders(order, wanted.as_ref(), goes_on)?;
        let hash = built.block.hash();
        let Block { header, body } = built.block.block().clone();
        let block = Arc::new(ViewedBlock { hash, header, body, senders });
        let last = Last { block: block.clone(), wanted, version, built: Instant::now() };
        *pending.last.lock() = Some(last);
        Ok(Some(block))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Chain, ChainOptions, DevContent, EngineOptions, EngineThread,
        engine::samples::{After, World},
        pool_head,
    };
    use fugue_chainspec::ChainSpec;
    use fugue_executor::Mode;
    use fugue_txpool::{Pool, PoolOptions};

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

    fn ask(engine: &Engine) -> Arc<ViewedBlock> {
        let found = engine.pending_block(None, &|| true);
        found.expect("a block").expect("there is no proof of work")
    }

    #[test]
    fn the_pending_block_is_on_the_head_and_nothing_becomes_of_it() {
        let (engine, thread, genesis) = start();
        let block = ask(&engine);
        assert_eq!((block.header.number, block.header.parent_hash), (1, genesis.head.hash));
        assert!(block.body.transactions.is_empty() && block.senders.is_empty());
        assert_eq!(block.hash, block.header.hash_slow());
        assert_eq!(engine.view().head(), genesis.head);
        stop(engine, thread);
    }

    #[test]
    fn on_a_chain_for_development_it_is_as_it_would_be_made_at_this_moment() {
        let (engine, thread, genesis) = start();
        let wanted = DevBlock {
            timestamp: genesis.header.timestamp + 500,
            prev_randao: B256::repeat_byte(1),
            fee_recipient: Address::repeat_byte(2),
            base_fee: Some(77),
            gas_limit: Some(1_234_567),
            content: DevContent::Pool,
        };
        let ask = |wanted: &DevBlock| {
            let found = engine.pending_block(Some(wanted.clone()), &|| true).expect("a block");
            found.expect("there is no proof of work")
        };
        let block = ask(&wanted);
        let header = &block.header;
        assert_eq!(
            (header.timestamp, header.mix_hash, header.beneficiary),
            (wanted.timestamp, wanted.prev_randao, wanted.fee_recipient)
        );
        assert_eq!((header.base_fee_per_gas, header.gas_limit), (Some(77), 1_234_567));
        assert!(Arc::ptr_eq(&ask(&wanted), &block));
        // Another one is built, however short the time.
        let other = DevBlock { timestamp: 0, ..wanted };
        assert_eq!(ask(&other).header.timestamp, genesis.header.timestamp + 1);
        stop(engine, thread);
    }

    #[test]
    fn one_builds_the_block_and_the_others_take_it() {
        let (engine, thread, _) = start();
        let Shared { pending, .. } = &*engine.shared;
        // Nobody waits for a block without wanting it.
        let building = pending.building.lock();
        assert_eq!(engine.pending_block(None, &|| false), Err(BuildError::GivenUp));
        drop(building);
        let block = ask(&engine);
        assert!(Arc::ptr_eq(&ask(&engine), &block), "it is the same, and not built again");
        // The pool has changed, some time ago.
        if let Some(last) = pending.last.lock().as_mut() {
            last.version += 1;
            last.built = last.built.checked_sub(2 * FRESH_MAX).expect("the clock runs for longer");
        }
        let building = pending.building.lock();
        assert!(Arc::ptr_eq(&ask(&engine), &block), "somebody builds the next one");
        drop(building);
        assert!(!Arc::ptr_eq(&ask(&engine), &block), "it was built");
        stop(engine, thread);
    }
}
